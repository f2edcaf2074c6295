//! CREATE, DROP, USE.
use std::collections::HashMap;
use std::sync::Arc;

use sqlparser::ast::{ObjectName, SelectItem, SetExpr, Spanned};
use wiesel_expressions::types::RowField;

use super::names::{parts, place};
use super::{Outcome, Session};
use crate::analyzer;
use crate::ast::{CreateTable, CreateView, Drop};
use crate::catalog::{self, CatalogObject, ObjectIdentifier, ResolvedView};
use crate::error::{Error, Location, Place, Result};

impl Session {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<Outcome> {
        let identifier = self.identifier(&create.name)?;
        if !self.may_create(&identifier, create.temporary, create.if_not_exists, &create.name)? {
            return Ok(Outcome::Done);
        }
        if create.query.is_some() {
            return Err(Error::unsupported(
                "CREATE TABLE … AS: create the table, then INSERT INTO it",
                place(&create.name),
            ));
        }
        let base = match &create.like {
            Some((source, _)) => match self.catalog.get(&self.identifier(source)?) {
                Some(CatalogObject::Table(table)) => Some(table),
                Some(CatalogObject::View(_)) => {
                    return Err(Error::validation(
                        format!("Source table '{source}' of the LIKE clause can not be a VIEW"),
                        place(source),
                    ));
                }
                None => {
                    let wanted = self.identifier(source)?.serializable();
                    return Err(Error::validation(
                        format!("Source table '{wanted}' of the LIKE clause not found in the catalog"),
                        place(source),
                    ));
                }
            },
            None => None,
        };
        let analyze = |fields: &[RowField], expression: &_| self.analyze_expression(fields, expression);
        let table = catalog::create_table(identifier.clone(), create, base.as_deref(), &analyze)?;
        self.catalog.insert(identifier, CatalogObject::Table(Arc::new(table)), create.temporary);
        Ok(Outcome::Done)
    }

    pub(super) fn create_view(&mut self, create: &CreateView) -> Result<Outcome> {
        let identifier = self.identifier(&create.name)?;
        if !self.may_create(&identifier, create.temporary, create.if_not_exists, &create.name)? {
            return Ok(Outcome::Done);
        }
        let mut columns = analyzer::analyze_view(&self.catalog, &identifier, &create.query)?.fields;
        let selected = columns.iter().map(|field| field.name.clone()).collect();
        if !create.columns.is_empty() {
            if create.columns.len() != columns.len() {
                let defined: Vec<&str> = create.columns.iter().map(|name| name.value.as_str()).collect();
                let given: Vec<&str> = columns.iter().map(|field| field.name.as_str()).collect();
                let message = format!(
                    "VIEW definition and input fields not match:\n\tDef fields: [{}].\n\tInput fields: [{}].",
                    defined.join(", "),
                    given.join(", ")
                );
                return Err(Error::validation(message, place(&create.name)));
            }
            for (field, name) in columns.iter_mut().zip(&create.columns) {
                field.name = name.value.clone();
            }
        }
        refuse_equal_names(create, &columns)?;
        let view = ResolvedView {
            identifier: identifier.clone(),
            text: create.query.to_string(),
            query: create.query.clone(),
            selected,
            columns,
            comment: create.comment.clone(),
        };
        self.catalog.insert(identifier, CatalogObject::View(Arc::new(view)), create.temporary);
        Ok(Outcome::Done)
    }

    /// Whether an object is to be created: false if it is there and may be. Temporary ones and permanent ones do not get into each
    /// other's way.
    fn may_create(
        &self,
        identifier: &ObjectIdentifier,
        temporary: bool,
        if_not_exists: bool,
        name: &ObjectName,
    ) -> Result<bool> {
        let known = self.catalog.databases(&identifier.catalog);
        if !known.is_some_and(|databases| databases.contains(&identifier.database)) {
            let message = format!("Database {}.{} does not exist.", identifier.catalog, identifier.database);
            return Err(Error::validation(message, place(name)));
        }
        match self.catalog.get_among(temporary, identifier) {
            None => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(_) if temporary => {
                // Of a view, too.
                let message = format!("Temporary table '{}' already exists", identifier.serializable());
                Err(Error::validation(message, place(name)))
            }
            Some(_) => {
                let message = format!(
                    "Could not execute CreateTable in path {}\nTable (or view) {}.{} already exists in Catalog {}.",
                    identifier.serializable(),
                    identifier.database,
                    identifier.object,
                    identifier.catalog
                );
                Err(Error::validation(message, place(name)))
            }
        }
    }

    pub(super) fn drop_object(&mut self, drop: &Drop) -> Result<Outcome> {
        let identifier = self.identifier(&drop.name)?;
        let found = |temporary: bool| {
            let object = self.catalog.get_among(temporary, &identifier);
            object.is_some_and(|object| matches!(object, CatalogObject::View(_)) == drop.view)
        };
        if !drop.temporary && found(true) {
            let kind = if drop.view { "view" } else { "table" };
            let message = format!(
                "Temporary {kind} with identifier '{}' exists. Drop it first before removing the permanent {kind}.",
                identifier.serializable()
            );
            return Err(Error::validation(message, place(&drop.name)));
        }
        if found(drop.temporary) {
            self.catalog.remove(drop.temporary, &identifier);
        } else if !drop.if_exists {
            let kind = match (drop.temporary, drop.view) {
                (true, true) => "Temporary view",
                (true, false) => "Temporary table",
                (false, true) => "View",
                (false, false) => "Table",
            };
            let message = format!("{kind} with identifier '{identifier}' does not exist.");
            return Err(Error::validation(message, place(&drop.name)));
        }
        Ok(Outcome::Done)
    }

    pub(super) fn use_name(&mut self, of_catalog: bool, name: &ObjectName) -> Result<Outcome> {
        let path = parts(name);
        let (known, missing) = match path.as_slice() {
            [catalog] if of_catalog => {
                (self.catalog.use_catalog(catalog), format!("A catalog with name [{catalog}] does not exist."))
            }
            [database] => {
                let catalog = self.catalog.current_catalog().to_owned();
                (
                    self.catalog.use_database(&catalog, database),
                    format!("A database with name [{database}] does not exist in the catalog: [{catalog}]."),
                )
            }
            [catalog, database] if !of_catalog => (
                self.catalog.use_database(catalog, database),
                format!("A database with name [{database}] does not exist in the catalog: [{catalog}]."),
            ),
            _ => (false, format!("'{name}' names no catalog or database")),
        };
        if known { Ok(Outcome::Done) } else { Err(Error::validation(missing, place(name))) }
    }
}

/// The columns of a query may be alike, for they are told apart when it is shown; those of a view may not.
fn refuse_equal_names(create: &CreateView, columns: &[RowField]) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, field) in columns.iter().enumerate() {
        let Some(earlier) = seen.insert(field.name.as_str(), index) else { continue };
        let at = column_place(create, earlier).map_or_else(String::new, |at| format!(" at {at}"));
        let message = format!("A column with the same name `{}` has been defined{at}.", field.name);
        let place = column_place(create, index).map(Place::starting).or(place(&create.name));
        return Err(Error::validation(message, place));
    }
    Ok(())
}

/// Where a column of a view is named: in its list, or in a SELECT that lists its columns one by one.
fn column_place(create: &CreateView, index: usize) -> Option<Location> {
    if let Some(name) = create.columns.get(index) {
        return location(name.span.start);
    }
    let SetExpr::Select(select) = create.query.body.as_ref() else { return None };
    let single = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !select.projection.iter().take(index + 1).all(single) {
        return None;
    }
    location(select.projection.get(index)?.span().start)
}

fn location(start: sqlparser::tokenizer::Location) -> Option<Location> {
    (start.line > 0).then_some(Location { line: start.line, column: start.column })
}
