//! SHOW and DESCRIBE.
use sqlparser::ast::ObjectName;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};

use super::names::{parts, place};
use super::{Outcome, Session};
use crate::analyzer;
use crate::ast::{Show, ShowFilter};
use crate::catalog::{self, CatalogObject, ResolvedColumnKind};
use crate::error::{Error, Result};

impl Session {
    pub(super) fn show(&self, show: &Show) -> Result<Outcome> {
        match show {
            Show::Jobs => Ok(Outcome::ShowJobs),
            Show::Tables(filter) => self.objects("table name", filter, |_| true),
            Show::Views(filter) => self.objects("view name", filter, |object| matches!(object, CatalogObject::View(_))),
            Show::Columns(name, filter) => self.describe(name, Some(filter)),
            Show::Catalogs(filter) => Ok(list("catalog name", self.catalog.catalogs(), filter)),
            Show::Databases(filter) => {
                let catalog = match &filter.from {
                    Some(name) => parts(name).join("."),
                    None => self.catalog.current_catalog().to_owned(),
                };
                let databases = self.catalog.databases(&catalog).ok_or_else(|| {
                    Error::validation(format!("A catalog with name [{catalog}] does not exist."), None)
                })?;
                Ok(list("database name", databases, filter))
            }
            Show::Functions(filter) => {
                let mut names: Vec<String> = crate::functions::names().map(str::to_uppercase).collect();
                names.sort();
                names.dedup();
                // A function may be called in any case, and so is it looked for.
                Ok(list("function name", names, &ShowFilter { case_insensitive: true, ..filter.clone() }))
            }
            // There is no way to make one.
            Show::UserFunctions(filter) => Ok(list("function name", Vec::new(), filter)),
            Show::CurrentCatalog => Ok(one("current catalog name", self.catalog.current_catalog())),
            Show::CurrentDatabase => Ok(one("current database name", self.catalog.current_database())),
            Show::CreateTable(name) => match self.object(name)? {
                CatalogObject::Table(table) => {
                    let temporary = self.catalog.is_temporary(&table.identifier);
                    Ok(one("result", &catalog::show_create_table(&table, temporary)))
                }
                CatalogObject::View(view) => Err(Error::validation(
                    format!(
                        "SHOW CREATE TABLE is only supported for tables, but {} is a view. Please use SHOW CREATE VIEW instead.",
                        view.identifier.serializable()
                    ),
                    place(name),
                )),
            },
            Show::CreateView(name) => match self.object(name)? {
                CatalogObject::View(view) => {
                    let temporary = self.catalog.is_temporary(&view.identifier);
                    let query = analyzer::view_text(&self.catalog, &view);
                    Ok(one("result", &catalog::show_create_view(&view, &query, temporary)))
                }
                CatalogObject::Table(table) => Err(Error::validation(
                    format!(
                        "SHOW CREATE VIEW is only supported for views, but {} is a table. Please use SHOW CREATE TABLE instead.",
                        table.identifier.serializable()
                    ),
                    place(name),
                )),
            },
        }
    }

    /// The table or view of a name.
    fn object(&self, name: &ObjectName) -> Result<CatalogObject> {
        let identifier = self.identifier(name)?;
        self.catalog.get(&identifier).ok_or_else(|| {
            let message = format!("Tables or views with the identifier '{identifier}' doesn't exist.");
            Error::validation(message, place(name))
        })
    }

    fn objects(&self, title: &str, filter: &ShowFilter, wanted: fn(&CatalogObject) -> bool) -> Result<Outcome> {
        let (catalog, database) = match filter.from.as_ref().map(parts).as_deref() {
            None => (self.catalog.current_catalog().to_owned(), self.catalog.current_database().to_owned()),
            Some([database]) => (self.catalog.current_catalog().to_owned(), database.clone()),
            Some([catalog, database]) => (catalog.clone(), database.clone()),
            Some(path) => {
                return Err(Error::validation(format!("'{}' is no [catalog.]database", path.join(".")), None));
            }
        };
        if !self.catalog.databases(&catalog).is_some_and(|databases| databases.contains(&database)) {
            let message = format!("Database '{catalog}'.'{database}' doesn't exist.");
            return Err(Error::validation(message, filter.from.as_ref().and_then(place)));
        }
        Ok(list(title, self.catalog.names_of(&catalog, &database, wanted), filter))
    }

    /// DESCRIBE, and SHOW COLUMNS, which can be filtered.
    pub(super) fn describe(&self, name: &ObjectName, filter: Option<&ShowFilter>) -> Result<Outcome> {
        let object = self.object(name)?;
        let mut rows: Vec<Vec<Option<String>>> = Vec::new();
        let mut comments = Vec::new();
        for (index, field) in catalog::fields_of(&object).iter().enumerate() {
            if filter.is_some_and(|filter| !matches(filter, &field.name)) {
                continue;
            }
            let (mut key, mut extras, mut watermark, mut comment) = (None, None, None, None);
            if let CatalogObject::Table(table) = &object {
                let column = &table.columns[index];
                if table.primary_key.contains(&index) {
                    let names = table.primary_key.iter().map(|key| table.columns[*key].field.name.as_str());
                    key = Some(format!("PRI({})", names.collect::<Vec<_>>().join(", ")));
                }
                extras = match &column.kind {
                    ResolvedColumnKind::Physical(_) => None,
                    ResolvedColumnKind::Metadata(index) => Some(catalog::metadata_text(&table.metadata[*index])),
                    ResolvedColumnKind::Computed(_) => column.text.as_ref().map(|text| format!("AS {text}")),
                };
                if table.watermark.as_ref().is_some_and(|(rowtime, _)| *rowtime == index) {
                    watermark = table.watermark_text.clone();
                }
                comment = column.comment.clone();
            }
            let nullable = if field.data_type.nullable { "TRUE" } else { "FALSE" };
            // What there is none of is an empty cell, not a null.
            let cell = |text: Option<String>| Some(text.unwrap_or_default());
            rows.push(vec![
                Some(field.name.clone()),
                Some(without_not_null(&field.data_type)),
                Some(nullable.to_owned()),
                cell(key),
                cell(extras),
                cell(watermark),
            ]);
            comments.push(comment);
        }
        let mut fields =
            vec![string("name"), string("type"), boolean("null"), string("key"), string("extras"), string("watermark")];
        if comments.iter().any(Option::is_some) {
            fields.push(string("comment"));
            rows.iter_mut().zip(comments).for_each(|(row, comment)| row.push(Some(comment.unwrap_or_default())));
        }
        Ok(Outcome::Rows { fields, rows })
    }
}

/// A type as DESCRIBE shows it: nullability has a column of its own.
fn without_not_null(data_type: &LogicalType) -> String {
    let shown = data_type.with_nullable(true);
    match shown.kind {
        TypeKind::Timestamp(_, TimeAttribute::Regular) | TypeKind::TimestampLtz(_, TimeAttribute::Regular) => {
            shown.kind.to_string()
        }
        _ => shown.to_string(),
    }
}

fn string(name: &str) -> RowField {
    RowField::new(name, TypeKind::string().nullable())
}

fn boolean(name: &str) -> RowField {
    RowField::new(name, TypeKind::Boolean.nullable())
}

fn one(title: &str, value: &str) -> Outcome {
    Outcome::Rows { fields: vec![string(title)], rows: vec![vec![Some(value.to_owned())]] }
}

fn list(title: &str, names: Vec<String>, filter: &ShowFilter) -> Outcome {
    let chosen = names.into_iter().filter(|name| matches(filter, name));
    Outcome::Rows { fields: vec![string(title)], rows: chosen.map(|name| vec![Some(name)]).collect() }
}

/// Whether a name passes `[NOT] LIKE | ILIKE '…'`.
fn matches(filter: &ShowFilter, name: &str) -> bool {
    let Some(pattern) = &filter.pattern else { return true };
    let like =
        if filter.case_insensitive { like(&pattern.to_lowercase(), &name.to_lowercase()) } else { like(pattern, name) };
    like != filter.negated
}

/// SQL's LIKE: `%` any characters, `_` one, a backslash takes away the meaning of the next.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // reached[i]: the pattern so far matches the first i characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut position = 0;
    while position < pattern.len() {
        let mut next = vec![false; text.len() + 1];
        match pattern[position] {
            '%' => {
                let mut any = false;
                for (index, slot) in next.iter_mut().enumerate() {
                    any |= reached[index];
                    *slot = any;
                }
            }
            character => {
                let escaped = character == '\\' && position + 1 < pattern.len();
                let wanted = if escaped { pattern[position + 1] } else { character };
                position += usize::from(escaped);
                for index in 0..text.len() {
                    next[index + 1] = reached[index] && ((wanted == '_' && !escaped) || text[index] == wanted);
                }
            }
        }
        reached = next;
        position += 1;
    }
    reached[text.len()]
}
