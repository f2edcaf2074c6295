//! Partition columns: their values as names of folders, and conditions on them, which tell what files need not be read.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Schema, SchemaRef};
use wiesel_expressions::expression::{Condition, EvaluationContext, Expression, Mask, Node};
use wiesel_expressions::types::{LogicalType, RowField, TIMESTAMP_RANGE};
use wiesel_operators::operator::{Error, Result};
use wiesel_proto as proto;

use super::path::{partition_value, unescape};
use crate::formats::parse::{self, Parsed, TimestampStyle};
use crate::formats::{ColumnBuilder, RecordBudget, csv, text};

/// A value as it stands in a path, in the words of Java's `toString`; none: it is null or empty.
pub(super) fn partition_text(column: &dyn Array, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let mut out = String::new();
    match column.data_type() {
        DataType::Decimal128(_, scale) => {
            text::write_decimal(&mut out, column.as_primitive::<Decimal128Type>().value(row), *scale);
        }
        // Flink holds dates as days and times as milliseconds.
        DataType::Date32 => out = column.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Time32(_) => out = text::number(column, row).to_string(),
        DataType::Timestamp(unit, _) => {
            let (seconds, nanos) = text::split_timestamp(text::number(column, row), *unit);
            text::write_date(&mut out, seconds.div_euclid(86_400) as i32);
            out.push('T');
            text::write_local_time(&mut out, seconds.rem_euclid(86_400) * text::NANOS_PER_SECOND + nanos);
        }
        _ => csv::write_value(&mut out, &csv::CsvFormat::plain(), column, row)?,
    }
    Ok(Some(out).filter(|text| !text.is_empty()))
}

/// A column of the value that a path has for a partition column.
pub(super) fn partition_column(
    path: &str,
    name: &str,
    data_type: &LogicalType,
    default: &str,
    rows: usize,
) -> Result<ArrayRef> {
    let value = partition_value(path, name).map(unescape);
    let value = value.as_deref().filter(|value| *value != default);
    let format = csv::CsvFormat::plain();
    let mut column = ColumnBuilder::new(data_type);
    for _ in 0..rows {
        match value {
            Some(value) => append(&mut column, value, &format).map_err(|why| {
                Error::data("java.io.IOException", format!("partition column '{name}' of file {path}: {why}"))
            })?,
            None => column.append_null(),
        }
    }
    Ok(column.finish())
}

fn append(column: &mut ColumnBuilder, value: &str, format: &csv::CsvFormat) -> Parsed<()> {
    let bytes = value.as_bytes();
    match column {
        ColumnBuilder::Date(b) => {
            let days = parse::date(bytes).map_err(|why| match value.parse::<i32>() {
                Ok(_) => format!(
                    "{why}: as in Apache Flink, a sink names the partitions of a DATE by its days since 1970-01-01, which a \
                     source does not take for one; declare the column INT to read them"
                ),
                Err(_) => why,
            })?;
            b.append_value(i32::try_from(days).map_err(|_| "the date is out of range".to_owned())?);
            Ok(())
        }
        ColumnBuilder::Timestamp(b) => {
            // As a sink names it, or as one of an earlier version did.
            let named = parse::timestamp(bytes, TimestampStyle::Iso, false);
            let (days, nanos) =
                named.or_else(|why| parse::timestamp(bytes, TimestampStyle::Sql, b.zone).map_err(|_| why))?;
            if b.append(days, nanos) {
                Ok(())
            } else {
                Err(format!("Text '{value}' is out of range: {TIMESTAMP_RANGE}"))
            }
        }
        ColumnBuilder::Time(b, _) if value.bytes().all(|byte| byte.is_ascii_digit()) => {
            b.append_value(parse::integer(bytes, 0, 86_399_999)? as i32);
            Ok(())
        }
        column => csv::append_value(column, bytes, format, &mut RecordBudget::default()),
    }
}

/// Conditions on partition columns: a file passes if they are true for its path.
pub(super) struct PartitionFilter {
    expressions: Vec<Expression>,
    /// The columns that the conditions read.
    columns: Vec<RowField>,
    schema: SchemaRef,
    default: String,
    conditions: Vec<Condition>,
}

/// Whether a condition over the physical columns depends on some of these columns and on nothing else.
pub(super) fn depends_on(condition: &Expression, columns: &[usize]) -> bool {
    let (mut any, mut only) = (false, true);
    condition.visit(&mut |part| match &part.node {
        Node::Input(index) => {
            any = true;
            only &= columns.contains(index);
        }
        Node::Call { function, operands } => {
            only &= wiesel_expressions::expression::is_deterministic(function, operands);
        }
        Node::Literal(_) => {}
    });
    any && only
}

impl PartitionFilter {
    /// The conditions of a source; `default` stands for null in a path.
    pub(super) fn new(conditions: &[proto::Expression], physical: &[RowField], default: String) -> Result<Self> {
        let malformed = |error: &dyn std::fmt::Display| Error::Plan(error.to_string());
        let mut columns: Vec<RowField> = Vec::new();
        let mut expressions = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let condition = Expression::try_from(condition).map_err(|error| malformed(&error))?;
            let mut unknown = None;
            let mut local = |index: usize, data_type: &LogicalType| {
                let Some(field) = physical.get(index) else {
                    unknown = Some(index);
                    return Expression::input(index, data_type.clone());
                };
                let known = columns.iter().position(|column| column.name == field.name);
                let at = known.unwrap_or_else(|| {
                    columns.push(field.clone());
                    columns.len() - 1
                });
                Expression::input(at, data_type.clone())
            };
            expressions.push(condition.map_inputs(&mut local));
            if let Some(index) = unknown {
                return Err(malformed(&format!("a condition on column {index} of {}", physical.len())));
            }
        }
        let fields = columns.iter().map(|field| field.data_type.with_nullable(true).to_arrow_field(&field.name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { expressions, columns, schema, default, conditions: Vec::new() })
    }

    /// Compiles the conditions. Without this all files pass.
    pub(super) fn prepare(&mut self, context: &EvaluationContext) -> Result<()> {
        let compiled = self.expressions.iter().map(|condition| Condition::compile(condition, &self.schema, context));
        self.conditions = compiled.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Whether a file may hold wanted rows; if so, all of its rows are.
    pub(super) fn passes(&self, path: &str) -> Result<bool> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let columns =
            self.columns.iter().map(|column| partition_column(path, &column.name, &column.data_type, &self.default, 1));
        let row = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_>>()?)?;
        for condition in &self.conditions {
            let passes = match condition.evaluate(&row)? {
                Mask::All => true,
                Mask::None => false,
                Mask::Some(mask) => mask.value(0),
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
