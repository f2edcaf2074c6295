//! The relations of a FROM clause.
use std::sync::Arc;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins,
};
use wiesel_common::quote::{MAX_REASON, bounded};
use wiesel_expressions::types::RowField;

use super::places::{place_of_name, place_of_names, start_of};
use super::query::{QueryAnalyzer, renamed};
use super::scope::Scope;
use super::view_text::{Named, Names};
use super::{CatalogObject, ResolvedView, project, suggestion};
use crate::catalog::{DEFAULT_CATALOG, DEFAULT_DATABASE, ResolvedColumnKind, ResolvedTable};
use crate::error::{Error, Result};
use crate::functions::scalar::{SOURCE_WATERMARK, source_watermark_refused};
use crate::parser::{options_of_hint, reserved};
use crate::rel::{LogicalTableScan, LogicalValues, LogicalWatermarkAssigner, Rel, RelNode};
use crate::rex::{Expression, Node};

impl QueryAnalyzer<'_> {
    /// The rows of FROM and what their columns are called.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<(Rel, Scope)> {
        let table = match from {
            [] => {
                let one_row =
                    Rel { node: RelNode::Values(LogicalValues { rows: vec![Vec::new()] }), fields: Vec::new() };
                return Ok((one_row, Scope::empty().within(self.outer.clone())));
            }
            [table] => table,
            [_, second, ..] => return Err(Error::unsupported("A join is not supported", start_of(second))),
        };
        if let Some(join) = table.joins.first() {
            return Err(Error::unsupported("A join is not supported", start_of(join)));
        }
        let (rel, path) = self.factor(&table.relation)?;
        let scope = Scope::of_table(path, rel.fields.clone()).within(self.outer.clone());
        Ok((rel, scope))
    }

    /// A relation and the name that qualifies its columns.
    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<(Rel, Option<Vec<String>>)> {
        match factor {
            TableFactor::Table { name, alias, args, version, sample, .. } => {
                if version.is_some() {
                    return Err(Error::unsupported("FOR SYSTEM_TIME AS OF is not supported", start_of(factor)));
                }
                if sample.is_some() {
                    return Err(Error::unsupported("TABLESAMPLE is not supported", start_of(factor)));
                }
                let options = hint_options(args.as_ref(), name)?;
                let parts = parts_of(name);
                parts.iter().try_for_each(reserved::refuse)?;
                let rel = self.table(&parts, &options)?;
                let path = self.full_path(&parts);
                if let Some(noted) = &mut self.noted {
                    noted.note(Named::Table, factor, Names { path: path.clone(), columns: Vec::new() });
                }
                aliased(rel, alias.as_ref(), Some(path))
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let rel = self.query(subquery)?;
                aliased(rel, alias.as_ref(), None)
            }
            TableFactor::TableFunction { expr, alias } => {
                let rel = self.window_table_function(expr)?;
                aliased(rel, alias.as_ref(), None)
            }
            TableFactor::NestedJoin { .. } => Err(Error::unsupported("A join is not supported", start_of(factor))),
            TableFactor::MatchRecognize { .. } => {
                Err(Error::unsupported("MATCH_RECOGNIZE is not supported", start_of(factor)))
            }
            TableFactor::UNNEST { .. } => Err(Error::unsupported("UNNEST is not supported", start_of(factor))),
            other => Err(Error::unsupported(format!("{other} in FROM is not supported"), start_of(other))),
        }
    }

    /// The table, view or WITH query of this name.
    pub(super) fn table(&mut self, parts: &[Ident], options: &[(String, String)]) -> Result<Rel> {
        if let [name] = parts
            && let Some(rel) = self.common_table(name)?
        {
            return Ok(rel);
        }
        let path: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
        match self.catalog.resolve(&path) {
            Some(CatalogObject::Table(table)) => {
                self.refuse_own_view(&table.identifier, parts)?;
                let Some(name) = parts.last() else { return Err(self.not_found(parts)) };
                self.reads(table.columns.iter().map(|column| column.field.data_type.parts()).sum(), name)?;
                refuse_source_watermark(&table, name)?;
                Ok(scan(with_options(table, options)))
            }
            Some(CatalogObject::View(view)) => {
                self.refuse_own_view(&view.identifier, parts)?;
                let Some(name) = parts.last() else { return Err(self.not_found(parts)) };
                let mut rel = self.view(&view, name)?;
                refuse_other_columns(&view, &rel.fields, name)?;
                let names = view.columns.iter().map(|column| column.name.clone());
                rel.fields.iter_mut().zip(names).for_each(|(field, name)| field.name = name);
                Ok(rel)
            }
            None => Err(self.not_found(parts)),
        }
    }

    /// What may qualify a table's columns: its name, with database and catalog before it if it is one of a catalog.
    pub(super) fn full_path(&self, parts: &[Ident]) -> Vec<String> {
        let common = matches!(parts, [name] if self.is_common(name));
        let defaults: &[&str] = if common { &[] } else { &[DEFAULT_CATALOG, DEFAULT_DATABASE] };
        let missing = defaults.len().saturating_sub(parts.len().saturating_sub(1));
        let defaults = defaults[..missing].iter().map(|name| (*name).to_owned());
        defaults.chain(parts.iter().map(|part| part.value.clone())).collect()
    }

    fn not_found(&self, parts: &[Ident]) -> Error {
        // A path fails at its first part that is unknown; only the defaults are sure to be known.
        let path: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        let (missing, within) = match path.as_slice() {
            [DEFAULT_CATALOG, DEFAULT_DATABASE, missing, ..] | [DEFAULT_DATABASE, missing, ..] => {
                (*missing, format!(" within '{DEFAULT_CATALOG}.{DEFAULT_DATABASE}'"))
            }
            [DEFAULT_CATALOG, missing, ..] => (*missing, format!(" within '{DEFAULT_CATALOG}'")),
            [missing, ..] => (*missing, String::new()),
            [] => return Error::validation("A table needs a name", None),
        };
        let names = self.catalog.names();
        let near = suggestion(missing, names.iter().map(String::as_str));
        Error::validation(format!("Object '{missing}' not found{within}{near}"), place_of_names(parts))
    }
}

/// Refuses a view whose query has other columns than when it was created: a `*` or a name in it means another table or view by now,
/// and the view's own names would be given to columns that they do not belong to.
fn refuse_other_columns(view: &ResolvedView, fields: &[RowField], name: &Ident) -> Result<()> {
    if view.selected.iter().eq(fields.iter().map(|field| &field.name)) {
        return Ok(());
    }
    let listed = |names: &[&str]| bounded(&names.join(", "), MAX_REASON).into_owned();
    let then: Vec<&str> = view.selected.iter().map(String::as_str).collect();
    let now: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let message = format!(
        "The query of the view '{}' had the columns [{}] when it was created and has [{}] now: what it reads was replaced. Create \
         the view again, or drop what hides the table or view that it read",
        view.identifier,
        listed(&then),
        listed(&now)
    );
    Err(Error::validation(message, place_of_name(name)))
}

fn parts_of(name: &ObjectName) -> Vec<Ident> {
    name.0.iter().filter_map(|part| part.as_ident().cloned()).collect()
}

fn aliased(rel: Rel, alias: Option<&TableAlias>, path: Option<Vec<String>>) -> Result<(Rel, Option<Vec<String>>)> {
    match alias {
        Some(alias) => {
            reserved::refuse(&alias.name)?;
            let names: Vec<Ident> = alias.columns.iter().map(|column| column.name.clone()).collect();
            if !names.is_empty() && names.len() != rel.fields.len() {
                let columns: Vec<String> = rel.fields.iter().map(|field| format!("'{}'", field.name)).collect();
                let message = format!(
                    "List of column aliases must have same degree as table; table has {} columns ({}), whereas alias list has {} columns",
                    columns.len(),
                    columns.join(", "),
                    names.len()
                );
                return Err(Error::validation(message, place_of_names(&names)));
            }
            Ok((renamed(rel, &names)?, Some(vec![alias.name.value.clone()])))
        }
        None => Ok((rel, path)),
    }
}

fn hint_options(args: Option<&TableFunctionArgs>, name: &ObjectName) -> Result<Vec<(String, String)>> {
    let Some(args) = args else { return Ok(Vec::new()) };
    let expressions: Vec<Expr> = args
        .args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    options_of_hint(&expressions).ok_or_else(|| {
        let message = format!("The table function {name} is not supported; window functions stand within TABLE(…)");
        Error::unsupported(message, start_of(name))
    })
}

/// The table with options of a hint over its own.
pub(super) fn with_options(table: Arc<ResolvedTable>, options: &[(String, String)]) -> Arc<ResolvedTable> {
    if options.is_empty() {
        return table;
    }
    let mut table = ResolvedTable::clone(&table);
    table.options.extend(options.iter().cloned());
    Arc::new(table)
}

/// Refuses to read a table that leaves its watermarks to its source: there is no source that gives them.
fn refuse_source_watermark(table: &ResolvedTable, name: &Ident) -> Result<()> {
    let is_of_source = |watermark: &Expression| match &watermark.node {
        Node::Call { function, .. } => function == SOURCE_WATERMARK,
        _ => false,
    };
    match &table.watermark {
        Some((_, watermark)) if is_of_source(watermark) => Err(source_watermark_refused().or_at(place_of_name(name))),
        _ => Ok(()),
    }
}

/// The rows of a table: what the connector reads, then its computed columns, then its watermark.
fn scan(table: Arc<ResolvedTable>) -> Rel {
    let given = table.given();
    let read = Rel { node: RelNode::Scan(LogicalTableScan { table: table.clone() }), fields: given.clone() };
    let input = |index: usize| Expression::input(index, given[index].data_type.clone());
    let columns = table.columns.iter().map(|column| {
        let expression = match &column.kind {
            ResolvedColumnKind::Physical(index) => input(*index),
            ResolvedColumnKind::Metadata(index) => input(table.physical.len() + index),
            ResolvedColumnKind::Computed(expression) => expression.clone(),
        };
        (column.field.name.clone(), expression)
    });
    let rows = project(read, columns.collect());
    let fields: Vec<RowField> = table.columns.iter().map(|column| column.field.clone()).collect();
    match &table.watermark {
        Some((rowtime, watermark)) => Rel {
            node: RelNode::WatermarkAssigner(LogicalWatermarkAssigner {
                input: Box::new(rows),
                rowtime: *rowtime,
                watermark: watermark.clone(),
            }),
            fields,
        },
        None => Rel { fields, ..rows },
    }
}
