//! `CREATE TABLE`: columns, types, watermark and keys, settled with Flink's rules.
use std::collections::BTreeMap;

use sqlparser::ast::{Expr, FunctionArguments, Ident};
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};

use super::like::{Inherited, inherit};
use super::{ObjectIdentifier, ResolvedColumnKind, ResolvedTable, columns};
use crate::analyzer::expression_text;
use crate::ast::CreateTable;
use crate::error::{Error, Place, Result};
use crate::functions::scalar::SOURCE_WATERMARK;
use crate::rex::Expression;

/// Columns of a table, at most.
const MAX_COLUMNS: usize = 5_000;

/// Types an expression over columns.
pub(crate) type AnalyzeExpression<'a> = dyn Fn(&[RowField], &Expr) -> Result<Expression> + 'a;

/// Resolves `CREATE TABLE`. `base`: the table after LIKE.
///
/// # Errors
/// A column, watermark or key that does not fit, in Flink's words; or more columns than there may be.
pub(crate) fn create_table(
    identifier: ObjectIdentifier,
    create: &CreateTable,
    base: Option<&ResolvedTable>,
    analyze: &AnalyzeExpression,
) -> Result<ResolvedTable> {
    let strategies = Inherited::parse(create.like.as_ref().map_or(&[][..], |(_, options)| options.as_slice()))?;
    let mut table = match base {
        Some(base) => inherit(base, &strategies, identifier)?,
        None => empty(identifier),
    };
    let all = table.columns.len() + create.columns.len();
    if all > MAX_COLUMNS {
        let message = format!(
            "table '{}' has {all} columns, of at most {MAX_COLUMNS}. Declare fewer, or put some into a ROW",
            table.identifier
        );
        return Err(Error::unsupported(message, at(create.columns.last().map(|column| &column.name))));
    }
    columns::append(&mut table, create, &strategies, analyze)?;
    refuse_equal_keys(&table)?;
    primary_key(&mut table, &create.primary_key)?;
    if let Some((path, expression)) = &create.watermark {
        if table.watermark.is_some() {
            return Err(invalid(
                "There already exists a watermark spec for a column in the base table. You might want to specify EXCLUDING WATERMARKS or OVERWRITING WATERMARKS.",
                path.first(),
            ));
        }
        watermark(&mut table, path, expression, analyze)?;
    }
    partition_keys(&mut table, &create.partitioned_by)?;
    let options: BTreeMap<String, String> = create.options.iter().cloned().collect();
    if base.is_some()
        && strategies.options_must_differ()
        && let Some(key) = options.keys().find(|key| table.options.contains_key(*key))
    {
        return Err(invalid(
            format!(
                "There already exists an option ['{key}' -> '{}']  in the base table. You might want to specify EXCLUDING OPTIONS or OVERWRITING OPTIONS.",
                table.options[key]
            ),
            None,
        ));
    }
    table.options.extend(options);
    if create.comment.is_some() {
        table.comment = create.comment.clone();
    }
    Ok(table)
}

fn empty(identifier: ObjectIdentifier) -> ResolvedTable {
    ResolvedTable {
        identifier,
        columns: Vec::new(),
        physical: Vec::new(),
        metadata: Vec::new(),
        watermark: None,
        watermark_text: None,
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::new(),
        comment: None,
    }
}

pub(super) fn at(name: Option<&Ident>) -> Option<Place> {
    crate::parser::lexer::place_of(name?.span)
}

pub(super) fn invalid(message: impl Into<String>, name: Option<&Ident>) -> Error {
    Error::validation(message, at(name))
}

/// Refuses two columns of the same metadata.
fn refuse_equal_keys(table: &ResolvedTable) -> Result<()> {
    let mut seen = BTreeMap::new();
    for column in &table.metadata {
        if let Some(first) = seen.insert(column.key(), &column.field.name) {
            let message = format!(
                "The column `{first}` and `{}` in the table are both from the same metadata key '{}'. Please specify one of the \
                 columns as the metadata column and use the computed column syntax to specify the others.",
                column.field.name,
                column.key()
            );
            return Err(invalid(message, None));
        }
    }
    Ok(())
}

fn primary_key(table: &mut ResolvedTable, key: &[Ident]) -> Result<()> {
    if key.is_empty() {
        return Ok(());
    }
    if !table.primary_key.is_empty() {
        return Err(invalid(
            "The base table already has a primary key. You might want to specify EXCLUDING CONSTRAINTS.",
            key.first(),
        ));
    }
    for name in key {
        let value = &name.value;
        let Some(index) = table.columns.iter().position(|column| column.field.name == *value) else {
            let message = format!("Primary key column '{value}' is not defined in the schema{}", place(name));
            return Err(invalid(message, Some(name)));
        };
        let ResolvedColumnKind::Physical(physical) = table.columns[index].kind else {
            let message = format!(
                "Could not create a PRIMARY KEY with column '{value}'{}.\nA PRIMARY KEY constraint must be declared on physical columns.",
                place(name)
            );
            return Err(invalid(message, Some(name)));
        };
        if table.primary_key.contains(&index) {
            let names: Vec<&str> = key.iter().map(|name| name.value.as_str()).collect();
            let message = format!(
                "Invalid primary key 'PK_{}'. A primary key must not contain duplicate columns. Found: [{value}]",
                names.join("_")
            );
            return Err(invalid(message, Some(name)));
        }
        table.primary_key.push(index);
        table.columns[index].field.data_type.nullable = false;
        table.physical[physical].data_type.nullable = false;
    }
    Ok(())
}

/// ` at line 1, column 2`.
fn place(name: &Ident) -> String {
    at(Some(name)).map_or_else(String::new, |place| format!(" at {}", place.start))
}

fn watermark(table: &mut ResolvedTable, path: &[Ident], expression: &Expr, analyze: &AnalyzeExpression) -> Result<()> {
    let [name] = path else {
        return Err(Error::unsupported("a rowtime attribute inside a ROW", at(path.first())));
    };
    let value = &name.value;
    let Some(index) = table.columns.iter().position(|column| column.field.name == *value) else {
        let known: Vec<String> = table.columns.iter().map(|column| format!("'{}'", column.field.name)).collect();
        let place = at(Some(name)).map_or_else(String::new, |place| format!(", at {}", place.start));
        let message = format!(
            "The rowtime attribute field '{value}' is not defined in the table schema{place}\nAvailable fields: [{}]",
            known.join(", ")
        );
        return Err(invalid(message, Some(name)));
    };
    let time = table.columns[index].field.data_type.clone();
    if !fits_rowtime(&time) {
        let message = format!(
            "Invalid data type of time field for watermark definition. The field must be of type TIMESTAMP(p) or TIMESTAMP_LTZ(p), \
             the supported precision 'p' is from 0 to 3, but the time field type is {time}"
        );
        return Err(invalid(message, Some(name)));
    }
    let fields: Vec<RowField> = table.columns.iter().map(|column| column.field.clone()).collect();
    let resolved = match is_source_watermark(expression) {
        true => Expression::call(SOURCE_WATERMARK, Vec::new(), time.with_nullable(true)),
        false => analyze(&fields, expression)?,
    };
    if !fits_rowtime(&resolved.data_type) {
        let message = format!(
            "Invalid data type of expression for watermark definition. The field must be of type TIMESTAMP(p) or TIMESTAMP_LTZ(p), \
             the supported precision 'p' is from 0 to 3, but the watermark expression type is {}",
            resolved.data_type
        );
        return Err(invalid(message, Some(name)));
    }
    if std::mem::discriminant(&time.kind) != std::mem::discriminant(&resolved.data_type.kind) {
        let message = format!(
            "The watermark declaration's output data type '{}' is different from the time field's data type '{time}'.",
            resolved.data_type
        );
        return Err(invalid(message, Some(name)));
    }
    let column = &mut table.columns[index].field.data_type;
    column.kind = match column.kind {
        TypeKind::TimestampLtz(precision, _) => TypeKind::TimestampLtz(precision, TimeAttribute::Rowtime),
        TypeKind::Timestamp(precision, _) => TypeKind::Timestamp(precision, TimeAttribute::Rowtime),
        _ => column.kind.clone(),
    };
    table.watermark = Some((index, resolved));
    table.watermark_text = Some(expression_text(expression));
    Ok(())
}

/// Whether a watermark is `SOURCE_WATERMARK()` and nothing else: then it is of the type of the time field.
fn is_source_watermark(expression: &Expr) -> bool {
    let Expr::Function(call) = expression else { return false };
    let has_arguments = match &call.args {
        FunctionArguments::None => false,
        FunctionArguments::List(list) => !list.args.is_empty(),
        FunctionArguments::Subquery(_) => true,
    };
    let name = call.name.to_string();
    name.trim_matches('`').eq_ignore_ascii_case(SOURCE_WATERMARK) && !has_arguments
}

fn fits_rowtime(data_type: &LogicalType) -> bool {
    matches!(
        data_type.kind,
        TypeKind::Timestamp(0..=3, TimeAttribute::Regular | TimeAttribute::Rowtime)
            | TypeKind::TimestampLtz(0..=3, TimeAttribute::Regular | TimeAttribute::Rowtime)
    )
}

fn partition_keys(table: &mut ResolvedTable, keys: &[Ident]) -> Result<()> {
    for key in keys {
        if table.columns.iter().all(|column| column.field.name != key.value) {
            let known: Vec<String> = table.columns.iter().map(|column| format!("'{}'", column.field.name)).collect();
            let message = format!(
                "Partition column '{}' not defined in the table schema. Available columns: [{}]",
                key.value,
                known.join(", ")
            );
            return Err(invalid(message, Some(key)));
        }
        if table.physical.iter().all(|column| column.name != key.value) {
            let known: Vec<&str> = table.physical.iter().map(|column| column.name.as_str()).collect();
            let message = format!(
                "Invalid partition key '{}'. A partition key must reference a physical column in the schema. Available columns \
                 are: [{}]",
                key.value,
                known.join(", ")
            );
            return Err(invalid(message, Some(key)));
        }
        if table.partition_keys.contains(&key.value) {
            return Err(invalid(format!("Partition column '{}' is given twice", key.value), Some(key)));
        }
        table.partition_keys.push(key.value.clone());
    }
    Ok(())
}
