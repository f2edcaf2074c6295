//! Random values and sequences into columns.
use arrow::array::ArrayRef;
use rand::Rng;
use rand::rngs::SmallRng;
use wiesel_expressions::types::TIMESTAMP_RANGE;
use wiesel_operators::operator::{Error, Result};

use super::field::{Field, Length, Values};
use crate::formats::ColumnBuilder;
use crate::formats::text::NANOS_PER_MILLI;

const DAY_MILLIS: i64 = 86_400_000;

/// What the values of a row depend on.
pub(super) struct Row {
    /// Which of its sequence's values the row has, counted from 0.
    pub(super) position: u64,
    /// Milliseconds since the epoch.
    pub(super) now: i64,
}

/// Makes the columns of rows.
pub(super) struct Generator {
    fields: Vec<Field>,
    builders: Vec<ColumnBuilder>,
    random: SmallRng,
    scratch: Vec<u8>,
}

impl Generator {
    pub(super) fn new(fields: Vec<Field>, random: SmallRng) -> Self {
        let builders = fields.iter().map(|field| ColumnBuilder::new(&field.data_type)).collect();
        Self { fields, builders, random, scratch: Vec::new() }
    }

    /// Adds a row; fails for a time that its type cannot hold.
    pub(super) fn push(&mut self, row: &Row) -> Result<()> {
        for (field, column) in self.fields.iter().zip(&mut self.builders) {
            append(column, field, row, &mut self.random, &mut self.scratch)?;
        }
        Ok(())
    }

    /// The columns of the rows since the last time.
    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.builders.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

fn append(
    column: &mut ColumnBuilder,
    field: &Field,
    row: &Row,
    random: &mut SmallRng,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    // Asked as Flink asks: with a rate that is no number nothing is above it, so that all is null.
    let is_value = field.null_rate == 0.0 || random.random::<f32>() > field.null_rate;
    if !is_value {
        column.append_null();
        return Ok(());
    }
    match &field.values {
        Values::Sequence(sequence) => append_number(column, sequence.start.wrapping_add(row.position as i64)),
        Values::Boolean => {
            if let ColumnBuilder::Boolean(b) = column {
                b.append_value(random.random());
            }
        }
        Values::Integer(least, most) => append_number(column, random.random_range(*least..=*most)),
        Values::Float(least, most) => append_float(column, between(*least, *most, random.random())),
        Values::Text(length) => {
            scratch.clear();
            for _ in 0..draw(*length, random) {
                scratch.push(b"0123456789abcdef"[random.random_range(0..16)]);
            }
            if let ColumnBuilder::Text(b) = column {
                b.append_value(std::str::from_utf8(scratch).unwrap_or_default());
            }
        }
        Values::Bytes(length) => {
            scratch.resize(draw(*length, random), 0);
            random.fill(scratch.as_mut_slice());
            if let ColumnBuilder::Bytes(b) = column {
                b.append_value(&scratch);
            }
        }
        Values::Now(past) => {
            let past = i64::try_from(*past).unwrap_or(i64::MAX);
            let past = if past == 0 { 0 } else { random.random_range(0..past) };
            append_instant(column, field, row.now.saturating_sub(past))?;
        }
        Values::Row(fields) => {
            if let ColumnBuilder::Row(b) = column {
                for (column, field) in b.columns.iter_mut().zip(fields) {
                    append(column, field, row, random, scratch)?;
                }
                b.end(true);
            }
        }
        Values::Array(element, length) => {
            if let ColumnBuilder::Array(b) = column {
                for _ in 0..*length {
                    append(&mut b.element, element, row, random, scratch)?;
                }
                b.end(true);
            }
        }
        Values::Map(key, value, length) => {
            if let ColumnBuilder::Map(b) = column {
                for _ in 0..*length {
                    append(&mut b.keys, key, row, random, scratch)?;
                    append(&mut b.values, value, row, random, scratch)?;
                }
                b.end(true);
            }
        }
    }
    Ok(())
}

/// The number that lies at `place`, from 0 to 1, between two others, whose difference may be more than a DOUBLE can hold.
fn between(least: f64, most: f64, place: f64) -> f64 {
    place * most + (1.0 - place) * least
}

fn draw(length: Length, random: &mut SmallRng) -> usize {
    if length.varies { random.random_range(1..=length.most.max(1)) } else { length.most }
}

/// A whole number as the column's type; what does not fit wraps around, as Java's casts do.
fn append_number(column: &mut ColumnBuilder, value: i64) {
    match column {
        ColumnBuilder::Tinyint(b) => b.append_value(value as i8),
        ColumnBuilder::Smallint(b) => b.append_value(value as i16),
        ColumnBuilder::Int(b) => b.append_value(value as i32),
        ColumnBuilder::Bigint(b) => b.append_value(value),
        ColumnBuilder::Float(b) => b.append_value(value as f32),
        ColumnBuilder::Double(b) => b.append_value(value as f64),
        ColumnBuilder::Decimal(b, precision, scale) => {
            let unscaled = i128::from(value) * 10i128.pow(u32::from(scale.unsigned_abs()));
            let limit = 10i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
            b.append_option(Some(unscaled).filter(|unscaled| unscaled.abs() < limit));
        }
        ColumnBuilder::Text(b) => b.append_value(value.to_string()),
        ColumnBuilder::Bytes(b) => b.append_value(value.to_be_bytes()),
        other => other.append_null(),
    }
}

fn append_float(column: &mut ColumnBuilder, value: f64) {
    match column {
        ColumnBuilder::Float(b) => b.append_value(value as f32),
        ColumnBuilder::Double(b) => b.append_value(value),
        ColumnBuilder::Decimal(b, precision, scale) => {
            let limit = 10i128.checked_pow(u32::from(*precision)).map_or(i128::MAX, |limit| limit - 1);
            let unscaled = (value * 10f64.powi(i32::from(*scale))) as i128;
            b.append_value(unscaled.clamp(-limit, limit));
        }
        other => other.append_null(),
    }
}

fn append_instant(column: &mut ColumnBuilder, field: &Field, millis: i64) -> Result<()> {
    let (days, rest) = (millis.div_euclid(DAY_MILLIS), millis.rem_euclid(DAY_MILLIS));
    match column {
        ColumnBuilder::Date(b) => b.append_value(days as i32),
        ColumnBuilder::Time(b, precision) => {
            b.append_value(if *precision == 0 { rest / 1000 * 1000 } else { rest } as i32);
        }
        ColumnBuilder::Timestamp(b) => {
            if !b.append(days, rest * NANOS_PER_MILLI) {
                return Err(Error::data(
                    "java.lang.ArithmeticException",
                    format!(
                        "datagen made a {} of {millis} ms after 1970-01-01, which is out of range: {TIMESTAMP_RANGE}. Set a \
                         shorter 'fields.#.max-past'",
                        field.data_type
                    ),
                ));
            }
        }
        other => other.append_null(),
    }
    Ok(())
}
