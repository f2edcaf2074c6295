//! Which casts there are, those that are written, and those that the analyser inserts.
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};

use super::numeric::{digits, is_exact, is_integer, is_numeric};
use super::{calcite_name, is_timestamp};
use crate::error::{Error, Result};
use crate::rex::{Expression, Node, null_literal};

/// Whether `CAST(from AS to)` is a cast that Flink has.
pub(crate) fn can_cast(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    let text = |kind: &T| matches!(kind, T::Char(_) | T::Varchar(_));
    let bytes = |kind: &T| matches!(kind, T::Binary(_) | T::Varbinary(_));
    let timestamp = |kind: &T| matches!(kind, T::Timestamp(..) | T::TimestampLtz(..));
    match (from, to) {
        (T::Null, _) | (T::Variant, T::Variant) | (T::Bitmap, T::Bitmap) => true,
        // What is in one is taken out of it by its functions only.
        (T::Variant, _) | (_, T::Variant | T::Bitmap) => false,
        (_, to) if text(to) => true,
        (from, to) if text(from) => {
            is_numeric(to) || bytes(to) || timestamp(to) || matches!(to, T::Boolean | T::Date | T::Time(_))
        }
        (from, to) if bytes(from) => bytes(to),
        (T::Boolean, to) => *to == T::Boolean || is_numeric(to),
        (from, T::Boolean) => is_numeric(from),
        (from, T::IntervalYearMonth(_) | T::IntervalDayTime(_)) if is_numeric(from) => is_exact(from),
        (from, to) if is_numeric(from) => is_numeric(to),
        (T::IntervalYearMonth(_), T::IntervalYearMonth(_)) | (T::IntervalDayTime(_), T::IntervalDayTime(_)) => true,
        (T::Date, to) => *to == T::Date || timestamp(to),
        (T::Time(_), to) => matches!(to, T::Time(_)) || timestamp(to),
        (from, to) if timestamp(from) => timestamp(to) || matches!(to, T::Date | T::Time(_)),
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => can_cast(&a.kind, &b.kind),
        (T::Map(ka, va), T::Map(kb, vb)) => can_cast(&ka.kind, &kb.kind) && can_cast(&va.kind, &vb.kind),
        // By their places, whatever they and their fields are called.
        (T::Row(a) | T::Structured(_, a), T::Row(b) | T::Structured(_, b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| can_cast(&a.data_type.kind, &b.data_type.kind))
        }
        _ => false,
    }
}

/// Whether values of one type go into a sink's column of another by themselves. Whether null is among them does not matter:
/// what a sink declares NOT NULL is enforced when its rows are written.
pub(crate) fn can_cast_implicitly(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    match (from, to) {
        (T::Null, _) => true,
        (T::Char(_), T::Char(_)) | (T::Char(_) | T::Varchar(_), T::Varchar(_)) => true,
        (T::Binary(_), T::Binary(_)) | (T::Binary(_) | T::Varbinary(_), T::Varbinary(_)) => true,
        (from, T::Decimal(..) | T::Double) if is_numeric(from) => true,
        (from, T::Float) => is_numeric(from) && *from != T::Double,
        (from, to) if is_integer(from) && is_integer(to) => digits(from) <= digits(to),
        (T::Timestamp(..), T::Date | T::Time(_)) | (T::Time(_), T::Time(_)) => true,
        (T::Timestamp(..) | T::TimestampLtz(..), T::Timestamp(..) | T::TimestampLtz(..)) => true,
        (T::IntervalYearMonth(fields) | T::IntervalDayTime(fields), to) if is_integer(to) => is_single_field(fields),
        (from, T::IntervalYearMonth(fields) | T::IntervalDayTime(fields)) if is_exact(from) => is_single_field(fields),
        (T::IntervalYearMonth(_), T::IntervalYearMonth(_)) | (T::IntervalDayTime(_), T::IntervalDayTime(_)) => true,
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => can_cast_implicitly(&a.kind, &b.kind),
        (T::Map(ka, va), T::Map(kb, vb)) => {
            can_cast_implicitly(&ka.kind, &kb.kind) && can_cast_implicitly(&va.kind, &vb.kind)
        }
        (T::Row(a) | T::Structured(_, a), T::Row(b) | T::Structured(_, b)) => {
            let fits = |(a, b): (&RowField, &RowField)| can_cast_implicitly(&a.data_type.kind, &b.data_type.kind);
            a.len() == b.len() && a.iter().zip(b).all(fits)
        }
        (from, to) => from == to,
    }
}

/// Whether the parts of one type may be null wherever those of another may.
pub(crate) fn takes_nulls(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    let part =
        |from: &LogicalType, to: &LogicalType| (to.nullable || !from.nullable) && takes_nulls(&from.kind, &to.kind);
    match (from, to) {
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => part(a, b),
        (T::Map(ka, va), T::Map(kb, vb)) => part(ka, kb) && part(va, vb),
        (T::Row(a) | T::Structured(_, a), T::Row(b) | T::Structured(_, b)) => {
            a.iter().zip(b).all(|(a, b)| part(&a.data_type, &b.data_type))
        }
        _ => true,
    }
}

/// Whether an interval counts one unit only, so that it can be taken for a number of those.
fn is_single_field(resolution: &str) -> bool {
    !resolution.contains(" TO ")
}

/// Whether values of one kind are values of another as they are: a text of at most three characters is one of at most five.
pub(crate) fn is_within(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    match (from, to) {
        (T::Char(a) | T::Varchar(a), T::Varchar(b)) | (T::Binary(a) | T::Varbinary(a), T::Varbinary(b)) => a <= b,
        (from, to) => plain(from) == plain(to),
    }
}

/// The kind with null among the values of all its parts.
pub(crate) fn with_nullable_parts(kind: &TypeKind) -> TypeKind {
    use TypeKind as T;
    let part = |part: &LogicalType| with_nullable_parts(&part.kind).nullable();
    let parts = |fields: &[RowField]| -> Vec<RowField> {
        fields.iter().map(|field| RowField::new(field.name.clone(), part(&field.data_type))).collect()
    };
    match kind {
        T::Array(element) => T::Array(Box::new(part(element))),
        T::Multiset(element) => T::Multiset(Box::new(part(element))),
        T::Map(key, value) => T::Map(Box::new(part(key)), Box::new(part(value))),
        T::Row(fields) => T::Row(parts(fields)),
        T::Structured(class, fields) => T::Structured(class.clone(), parts(fields)),
        other => other.clone(),
    }
}

/// `CAST(value AS target)`, `TRY_CAST(value AS target)`.
pub(crate) fn explicit(value: Expression, target: LogicalType, fallible: bool) -> Result<Expression> {
    let (from, to) = (&value.data_type.kind, &target.kind);
    if !can_cast(from, to) {
        let message = if is_numeric(from) && is_timestamp(to) {
            "The cast from NUMERIC type to TIMESTAMP type is not allowed. It's recommended to use \
             TO_TIMESTAMP(FROM_UNIXTIME(numeric_col)) instead, note the numeric is in seconds."
                .to_owned()
        } else {
            let (from, to) = (calcite_name(from), calcite_name(to));
            format!("Cast function cannot convert value of type {from} to type {to}")
        };
        return Err(Error::validation(message, None));
    }
    if value.data_type.kind == TypeKind::Null {
        return Ok(null_literal(target.kind));
    }
    let nullable = fallible || value.data_type.nullable;
    let data_type = LogicalType { kind: target.kind, nullable };
    if value.data_type.kind == data_type.kind && !fallible {
        return Ok(value);
    }
    Ok(Expression::call(if fallible { "TRY_CAST" } else { "CAST" }, vec![value], data_type))
}

/// The expression as a value of this kind, keeping its nullability.
pub(crate) fn cast_to(expression: Expression, kind: &TypeKind) -> Expression {
    if plain(&expression.data_type.kind) == plain(kind) {
        return expression;
    }
    let nullable = expression.data_type.nullable;
    if matches!(expression.data_type.kind, TypeKind::Null) {
        return null_literal(kind.clone());
    }
    let data_type = LogicalType { kind: kind.clone(), nullable };
    if let (Node::Literal(value), Some(kept)) = (&expression.node, same_value(&expression.data_type.kind, kind))
        && let Ok(value) = value.cast_to(&kept)
    {
        return Expression::literal(value, data_type);
    }
    Expression::call("CAST", vec![expression], data_type)
}

/// The Arrow type of a literal that widens without a change of its value.
fn same_value(from: &TypeKind, to: &TypeKind) -> Option<arrow::datatypes::DataType> {
    use TypeKind as T;
    let widens = match (from, to) {
        (T::Char(a) | T::Varchar(a), T::Varchar(b)) => a <= b,
        (T::Tinyint | T::Smallint | T::Int, T::Int | T::Bigint | T::Double) => true,
        (T::Tinyint | T::Smallint | T::Int | T::Bigint, T::Decimal(p, s)) => {
            digits(from).is_some_and(|(digits, _)| digits <= i32::from(*p) - i32::from(*s))
        }
        _ => false,
    };
    widens.then(|| to.to_arrow())
}

/// The kind without its time attribute.
pub(crate) fn plain(kind: &TypeKind) -> TypeKind {
    match kind {
        TypeKind::Timestamp(precision, _) => TypeKind::Timestamp(*precision, TimeAttribute::Regular),
        TypeKind::TimestampLtz(precision, _) => TypeKind::TimestampLtz(*precision, TimeAttribute::Regular),
        kind => kind.clone(),
    }
}
