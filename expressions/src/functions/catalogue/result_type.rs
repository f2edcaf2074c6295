//! The types that functions give.
use std::fmt;

use datafusion_common::ScalarValue;

use crate::expression::{Expression, Node};
use crate::types::{LogicalType, MAX_LENGTH, RowField, TimeAttribute, TypeKind};

/// What a function gives.
#[derive(Clone, Copy)]
pub enum Gives {
    /// Null if an argument is.
    Kind(fn() -> TypeKind),
    /// Perhaps null whatever the arguments are.
    Nullable(fn() -> TypeKind),
    /// Never null.
    NotNull(fn() -> TypeKind),
    /// The type of the first argument; null if an argument is.
    First,
    /// The first argument's, a CHAR as VARCHAR; null if an argument is.
    FirstVarying,
    /// The first argument's, a CHAR as VARCHAR; perhaps null whatever the arguments are.
    FirstVaryingNullable,
    /// By the arguments, and how that is told to people.
    Of(fn(&[Expression]) -> LogicalType, &'static str),
}

impl fmt::Display for Gives {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "`{}`", kind()),
            Self::Nullable(kind) => write!(f, "`{}`, may be NULL", kind()),
            Self::NotNull(kind) => write!(f, "`{} NOT NULL`", kind()),
            Self::First => f.write_str("as the first argument"),
            Self::FirstVarying => f.write_str("as the first argument, CHAR as VARCHAR"),
            Self::FirstVaryingNullable => f.write_str("as the first argument, CHAR as VARCHAR, may be NULL"),
            Self::Of(_, told) => f.write_str(told),
        }
    }
}

impl Gives {
    /// The type of a call.
    pub fn result_type(self, operands: &[Expression]) -> LogicalType {
        let nullable = any_nullable(operands);
        let first = || operands.first().map_or(TypeKind::Null, |operand| operand.data_type.kind.clone());
        match self {
            Self::Kind(kind) => LogicalType { kind: kind(), nullable },
            Self::Nullable(kind) => kind().nullable(),
            Self::NotNull(kind) => kind().not_null(),
            Self::First => LogicalType { kind: first(), nullable },
            Self::FirstVarying => LogicalType { kind: varying(first()), nullable },
            Self::FirstVaryingNullable => varying(first()).nullable(),
            Self::Of(infer, _) => infer(operands),
        }
    }
}

pub(super) const INT: fn() -> TypeKind = || TypeKind::Int;
pub(super) const BIGINT: fn() -> TypeKind = || TypeKind::Bigint;
pub(super) const DOUBLE: fn() -> TypeKind = || TypeKind::Double;
pub(super) const BOOLEAN: fn() -> TypeKind = || TypeKind::Boolean;
pub(super) const STRING: fn() -> TypeKind = TypeKind::string;
pub(super) const BITMAP: fn() -> TypeKind = || TypeKind::Bitmap;
pub(super) const INTS: fn() -> TypeKind = || TypeKind::Array(Box::new(TypeKind::Int.nullable()));
pub(super) const VARIANT: fn() -> TypeKind = || TypeKind::Variant;
pub(super) const BYTES: fn() -> TypeKind = TypeKind::bytes;
pub(super) const DATE: fn() -> TypeKind = || TypeKind::Date;
pub(super) const TIME: fn() -> TypeKind = || TypeKind::Time(0);
pub(super) const TIMESTAMP: fn() -> TypeKind = || TypeKind::Timestamp(3, TimeAttribute::Regular);
pub(super) const LTZ: fn() -> TypeKind = || TypeKind::TimestampLtz(3, TimeAttribute::Regular);
pub(super) const PROCTIME: fn() -> TypeKind = || TypeKind::TimestampLtz(3, TimeAttribute::Proctime);
pub(super) const STRINGS: fn() -> TypeKind = || TypeKind::Array(Box::new(TypeKind::string().nullable()));
pub(super) const STRING_MAP: fn() -> TypeKind =
    || TypeKind::Map(Box::new(TypeKind::string().nullable()), Box::new(TypeKind::string().nullable()));

fn any_nullable<'a>(operands: impl IntoIterator<Item = &'a Expression>) -> bool {
    operands.into_iter().any(|operand| operand.data_type.nullable)
}

/// A CHAR as VARCHAR.
pub fn varying(kind: TypeKind) -> TypeKind {
    match kind {
        TypeKind::Char(length) => TypeKind::Varchar(length),
        kind => kind,
    }
}

/// Null where the text is: what is to be replaced, and by what, may be NULL.
pub(super) fn translated(operands: &[Expression]) -> LogicalType {
    LogicalType { kind: TypeKind::string(), nullable: any_nullable(operands.first()) }
}

/// As long as the text and what is put over it.
pub(super) fn overlaid(operands: &[Expression]) -> LogicalType {
    let length = |operand: &Expression| match operand.data_type.kind {
        TypeKind::Char(length) | TypeKind::Varchar(length) => length,
        _ => MAX_LENGTH,
    };
    let length = length(&operands[0]).saturating_add(length(&operands[1])).min(MAX_LENGTH);
    LogicalType { kind: TypeKind::Varchar(length), nullable: any_nullable(operands) }
}

/// A DECIMAL without digits after its point.
pub(super) fn whole(operands: &[Expression]) -> LogicalType {
    let data_type = &operands[0].data_type;
    let kind = match &data_type.kind {
        TypeKind::Decimal(precision, _) => TypeKind::Decimal(*precision, 0),
        kind => kind.clone(),
    };
    LogicalType { kind, nullable: data_type.nullable }
}

/// A DECIMAL with as many digits after its point as the second argument says, if that is a constant.
pub(super) fn round(operands: &[Expression]) -> LogicalType {
    let places = match operands.get(1).map(|operand| &operand.node) {
        None => Some(0),
        Some(Node::Literal(ScalarValue::Int32(Some(places)))) => Some(*places),
        Some(_) => None,
    };
    LogicalType { kind: rounded(&operands[0].data_type.kind, places), nullable: any_nullable(operands) }
}

/// The type of ROUND and TRUNCATE to `places` digits after the point; none: unknown.
fn rounded(kind: &TypeKind, places: Option<i32>) -> TypeKind {
    const MAX_PRECISION: i32 = 38;
    let (TypeKind::Decimal(precision, scale), Some(places)) = (kind, places) else { return kind.clone() };
    let (precision, scale) = (i32::from(*precision), i32::from(*scale));
    if places >= scale {
        return kind.clone();
    }
    let places = places.max(0);
    TypeKind::Decimal((1 + precision - scale + places).min(MAX_PRECISION) as u8, places as i8)
}

/// As precise as the second argument says: a number of digits, or a pattern by how many digits of a second it has.
pub(super) fn to_ltz(operands: &[Expression]) -> LogicalType {
    let precision = match operands.get(1).map(|operand| &operand.node) {
        Some(Node::Literal(ScalarValue::Utf8View(Some(pattern)))) => (pattern.matches('S').count() as u8).clamp(3, 9),
        Some(Node::Literal(ScalarValue::Int32(Some(precision @ 3..=9)))) => *precision as u8,
        _ => 3,
    };
    TypeKind::TimestampLtz(precision, TimeAttribute::Regular).nullable()
}

/// The type of the rowtime attribute, which it is none of.
pub(super) fn watermark(operands: &[Expression]) -> LogicalType {
    let kind = match operands[0].data_type.kind {
        TypeKind::TimestampLtz(precision, _) => TypeKind::TimestampLtz(precision, TimeAttribute::Regular),
        TypeKind::Timestamp(precision, _) => TypeKind::Timestamp(precision, TimeAttribute::Regular),
        _ => TIMESTAMP(),
    };
    kind.nullable()
}

/// Null only where the array is: null may be what is looked for.
pub(super) fn contains(operands: &[Expression]) -> LogicalType {
    LogicalType { kind: TypeKind::Boolean, nullable: operands[0].data_type.nullable }
}

/// The element of an array of one.
pub(super) fn element(operands: &[Expression]) -> LogicalType {
    match &operands[0].data_type.kind {
        TypeKind::Array(element) | TypeKind::Multiset(element) => {
            element.with_nullable(element.nullable || operands[0].data_type.nullable)
        }
        _ => TypeKind::Null.nullable(),
    }
}

/// The array as it is.
pub(super) fn array(operands: &[Expression]) -> LogicalType {
    operands[0].data_type.clone()
}

/// The array with the second argument among its elements.
pub(super) fn with_element(operands: &[Expression]) -> LogicalType {
    let kind = match &operands[0].data_type.kind {
        TypeKind::Array(element) => {
            let nullable = element.nullable || operands[1].data_type.nullable;
            TypeKind::Array(Box::new(element.with_nullable(nullable)))
        }
        kind => kind.clone(),
    };
    LogicalType { kind, nullable: any_nullable(operands) }
}

/// An element of the array, which may be empty.
pub(super) fn greatest_element(operands: &[Expression]) -> LogicalType {
    element(operands).with_nullable(true)
}

/// An array of the entries of a map.
pub(super) fn entries(operands: &[Expression]) -> LogicalType {
    let entry = match &operands[0].data_type.kind {
        TypeKind::Map(key, value) => {
            let (key, value) = (key.as_ref().clone(), value.as_ref().clone());
            TypeKind::Row(vec![RowField::new("key", key), RowField::new("value", value)])
        }
        _ => TypeKind::Null,
    };
    let kind = TypeKind::Array(Box::new(entry.nullable()));
    LogicalType { kind, nullable: any_nullable(operands) }
}

/// A map from the elements of one array to those of another.
pub(super) fn map_of(operands: &[Expression]) -> LogicalType {
    let part = |operand: &Expression| match &operand.data_type.kind {
        TypeKind::Array(element) => element.clone(),
        _ => Box::new(TypeKind::Null.nullable()),
    };
    let kind = TypeKind::Map(part(&operands[0]), part(&operands[1]));
    LogicalType { kind, nullable: any_nullable(operands) }
}

/// An array of the keys of a map.
pub(super) fn keys(operands: &[Expression]) -> LogicalType {
    map_part(operands, true)
}

/// An array of the values of a map.
pub(super) fn values(operands: &[Expression]) -> LogicalType {
    map_part(operands, false)
}

fn map_part(operands: &[Expression], keys: bool) -> LogicalType {
    let part = match &operands[0].data_type.kind {
        TypeKind::Map(key, value) => if keys { key } else { value }.clone(),
        _ => Box::new(TypeKind::Null.nullable()),
    };
    LogicalType { kind: TypeKind::Array(part), nullable: operands[0].data_type.nullable }
}
