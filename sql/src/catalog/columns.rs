//! The columns that `CREATE TABLE` declares, behind those that it takes over from another table or in their places.
use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::Ident;
use wiesel_expressions::types::{RowField, TypeKind};

use super::like::{Inherited, inputs};
use super::table::{AnalyzeExpression, at, invalid};
use super::{MetadataColumn, ResolvedColumn, ResolvedColumnKind, ResolvedTable};
use crate::analyzer::expression_text;
use crate::ast::{ColumnDefinition, ColumnKind, CreateTable};
use crate::error::{Error, Result};
use crate::functions::cast::plain;
use crate::rex::{Expression, null_literal};

/// Adds the declared columns to those that the table took over.
pub(super) fn append(
    table: &mut ResolvedTable,
    create: &CreateTable,
    strategies: &Inherited,
    analyze: &AnalyzeExpression,
) -> Result<()> {
    let inherited = table.columns.len();
    let mut places = Vec::with_capacity(create.columns.len());
    let mut changed = Vec::new();
    // Computed columns may read any other column, wherever it is declared.
    append_physical(table, create);
    for (number, definition) in create.columns.iter().enumerate() {
        let place = place(table, definition, inherited, strategies)?;
        let column = pending(table, definition, place);
        match place {
            None => table.columns.push(column),
            Some(index) => {
                if create.columns[..number].iter().any(|other| other.name.value == definition.name.value) {
                    return Err(twice(definition));
                }
                if overwrite(table, index, column) {
                    changed.push((index, &definition.name));
                }
            }
        }
        places.push(place.unwrap_or(table.columns.len() - 1));
    }
    refuse_readers(table, &changed)?;
    let given = table.given();
    for (definition, place) in create.columns.iter().zip(places) {
        if let ColumnKind::Computed(expression) = &definition.kind {
            let column = &mut table.columns[place];
            column.text = Some(expression_text(expression));
            let expression = analyze(&given, expression)?;
            column.field.data_type = expression.data_type.clone();
            column.kind = ResolvedColumnKind::Computed(expression);
        }
    }
    Ok(())
}

/// Adds what the declared columns need of the connector. Metadata stands behind it: what reads it reads further behind.
fn append_physical(table: &mut ResolvedTable, create: &CreateTable) {
    let before = table.physical.len();
    for definition in &create.columns {
        if let ColumnKind::Physical(data_type) = &definition.kind {
            // Computed columns see that a column of the key is never null.
            let key = create.primary_key.iter().any(|name| name.value == definition.name.value);
            let data_type = data_type.with_nullable(data_type.nullable && !key);
            table.physical.push(RowField::new(&definition.name.value, data_type));
        }
    }
    let added = table.physical.len() - before;
    for column in &mut table.columns {
        if let ResolvedColumnKind::Computed(expression) = &mut column.kind {
            *expression = expression.map_inputs(&mut |index, data_type| {
                Expression::input(if index < before { index } else { index + added }, data_type.clone())
            });
        }
    }
}

/// Where a declared column goes: in the place of an inherited one, or (none) behind all.
fn place(
    table: &ResolvedTable,
    definition: &ColumnDefinition,
    inherited: usize,
    strategies: &Inherited,
) -> Result<Option<usize>> {
    use ColumnKind as New;
    use ResolvedColumnKind as Old;
    let name = &definition.name.value;
    let Some(existing) = table.columns.iter().position(|column| column.field.name == *name) else { return Ok(None) };
    let message = match (&definition.kind, &table.columns[existing].kind) {
        (New::Metadata { .. }, Old::Physical(_)) | (New::Physical(_), Old::Metadata(_)) if existing >= inherited => {
            both_regular_and_metadata(name)
        }
        _ if existing >= inherited => return Err(twice(definition)),
        (New::Metadata { .. }, Old::Metadata(_)) if strategies.overwrites_metadata() => return Ok(Some(existing)),
        (New::Computed(_), Old::Computed(_)) if strategies.overwrites_generated() => return Ok(Some(existing)),
        (New::Metadata { .. }, Old::Metadata(_)) => format!(
            "A metadata column named '{name}' already exists in the base table. You might want to specify EXCLUDING METADATA or \
             OVERWRITING METADATA."
        ),
        (New::Computed(_), Old::Computed(_)) => format!(
            "A generated column named '{name}' already exists in the base table. You might want to specify EXCLUDING GENERATED \
             or OVERWRITING GENERATED."
        ),
        (New::Metadata { .. }, Old::Physical(_)) => both_regular_and_metadata(name),
        (New::Metadata { .. }, _) => format!(
            "A column named '{name}' already exists in the base table. Metadata columns can only overwrite other metadata columns."
        ),
        (New::Computed(_), _) => format!(
            "A column named '{name}' already exists in the base table. Computed columns can only overwrite other computed columns."
        ),
        (New::Physical(_), _) => format!("A column named '{name}' already exists in the base table."),
    };
    Err(invalid(message, Some(&definition.name)))
}

fn both_regular_and_metadata(name: &str) -> String {
    format!(
        "A column named '{name}' already exists in the table. Duplicate columns exist in the metadata column and regular column. "
    )
}

fn twice(definition: &ColumnDefinition) -> Error {
    let kind = match definition.kind {
        ColumnKind::Physical(_) => "regular",
        ColumnKind::Computed(_) => "computed",
        ColumnKind::Metadata { .. } => "metadata",
    };
    let message = format!("A {kind} Column named '{}' already exists in the table.", definition.name.value);
    invalid(message, Some(&definition.name))
}

/// A declared column; of a computed one, what it computes is settled once all columns are known.
fn pending(table: &mut ResolvedTable, definition: &ColumnDefinition, place: Option<usize>) -> ResolvedColumn {
    let name = &definition.name.value;
    let (data_type, kind) = match &definition.kind {
        ColumnKind::Physical(data_type) => {
            let physical = table.columns.iter().filter(|old| matches!(old.kind, ResolvedColumnKind::Physical(_)));
            (data_type.clone(), ResolvedColumnKind::Physical(physical.count()))
        }
        ColumnKind::Computed(_) => {
            let data_type = TypeKind::Null.nullable();
            let expression = null_literal(TypeKind::Null);
            (data_type, ResolvedColumnKind::Computed(expression))
        }
        ColumnKind::Metadata { data_type, key, is_virtual } => {
            let field = RowField::new(name, data_type.clone());
            let column = MetadataColumn { field, from: key.clone(), is_virtual: *is_virtual };
            let index = match place.map(|place| &table.columns[place].kind) {
                Some(ResolvedColumnKind::Metadata(index)) => *index,
                _ => table.metadata.len(),
            };
            if index == table.metadata.len() {
                table.metadata.push(column);
            } else {
                table.metadata[index] = column;
            }
            (data_type.clone(), ResolvedColumnKind::Metadata(index))
        }
    };
    ResolvedColumn { field: RowField::new(name, data_type), kind, comment: definition.comment.clone(), text: None }
}

/// Puts a column into the place of an inherited one. True: it may have another type.
fn overwrite(table: &mut ResolvedTable, index: usize, column: ResolvedColumn) -> bool {
    let old = std::mem::replace(&mut table.columns[index], column);
    let new = &mut table.columns[index];
    let (before, after) = (&old.field.data_type, &new.field.data_type);
    let is_same = matches!(new.kind, ResolvedColumnKind::Metadata(_))
        && plain(&before.kind) == plain(&after.kind)
        && before.nullable == after.nullable;
    if is_same {
        // With its mark as a time attribute.
        new.field.data_type = old.field.data_type;
    }
    !is_same
}

/// Refuses columns in the places of others whose types what is inherited was made for. Each expression is looked through once,
/// however many columns these are.
fn refuse_readers(table: &ResolvedTable, changed: &[(usize, &Ident)]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let (mut of_watermark, mut of_columns) = (BTreeSet::new(), BTreeMap::new());
    if let Some((rowtime, watermark)) = &table.watermark {
        of_watermark.insert(*rowtime);
        inputs(watermark, |column| {
            of_watermark.insert(column);
        });
    }
    for column in &table.columns {
        if let ResolvedColumnKind::Computed(expression) = &column.kind {
            inputs(expression, |input| {
                of_columns.entry(input).or_insert(&column.field.name);
            });
        }
    }
    for (index, name) in changed {
        let by_column = match table.columns[*index].kind {
            ResolvedColumnKind::Metadata(metadata) => of_columns.get(&(table.physical.len() + metadata)),
            ResolvedColumnKind::Physical(_) | ResolvedColumnKind::Computed(_) => None,
        };
        let reader = match (of_watermark.contains(index), by_column) {
            (true, _) => "the watermark".to_owned(),
            (false, Some(column)) => format!("the computed column '{column}'"),
            (false, None) => continue,
        };
        let message = format!(
            "column '{}' in the place of the base table's, where {reader} reads it. Declare that again, too: EXCLUDING WATERMARKS or \
             EXCLUDING GENERATED leaves the base table's out",
            name.value
        );
        return Err(Error::unsupported(message, at(Some(name))));
    }
    Ok(())
}
