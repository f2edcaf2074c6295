//! The type that values of several types have in common: of CASE, IN, UNION, ARRAY and of the two sides of a comparison, and
//! by another rule of numbers that of the arguments of COALESCE and its kin.
use wiesel_expressions::types::{LogicalType, MAX_LENGTH, RowField, TypeKind};

use super::numeric::{MAX_PRECISION, digits, is_approximate, is_exact, is_numeric};

/// The number that two numbers become.
type OfNumbers = fn(&TypeKind, &TypeKind) -> Option<TypeKind>;

/// The least type that holds the values of all; none if there is no such type.
pub(crate) fn common_type<'a>(types: impl IntoIterator<Item = &'a LogicalType>) -> Option<LogicalType> {
    common(types, common_number)
}

/// What the arguments of COALESCE, IFNULL, GREATEST and LEAST become; none if there is no such type.
pub(crate) fn common_argument_type<'a>(types: impl IntoIterator<Item = &'a LogicalType>) -> Option<LogicalType> {
    common(types, common_argument)
}

fn common<'a>(types: impl IntoIterator<Item = &'a LogicalType>, numbers: OfNumbers) -> Option<LogicalType> {
    let mut types = types.into_iter();
    let mut result = types.next()?.clone();
    for data_type in types {
        let kind = match (&result.kind, &data_type.kind) {
            (TypeKind::Null, kind) | (kind, TypeKind::Null) => kind.clone(),
            (left, right) => common_kind(left, right, numbers)?,
        };
        let nullable = result.nullable || data_type.nullable;
        result = LogicalType { kind, nullable };
    }
    Some(result)
}

fn common_kind(left: &TypeKind, right: &TypeKind, numbers: OfNumbers) -> Option<TypeKind> {
    use TypeKind as T;
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (T::Char(a) | T::Varchar(a), T::Char(b) | T::Varchar(b)) => T::Varchar((*a).max(*b).min(MAX_LENGTH)),
        (T::Binary(a) | T::Varbinary(a), T::Binary(b) | T::Varbinary(b)) => T::Varbinary((*a).max(*b).min(MAX_LENGTH)),
        (l, r) if is_numeric(l) && is_numeric(r) => numbers(l, r)?,
        (T::Time(a), T::Time(b)) => T::Time(*a.max(b)),
        (T::Timestamp(a, time), T::Timestamp(b, _)) => T::Timestamp(*a.max(b), *time),
        (T::TimestampLtz(a, time), T::TimestampLtz(b, _)) => T::TimestampLtz(*a.max(b), *time),
        (T::Timestamp(a, _), T::TimestampLtz(b, _)) | (T::TimestampLtz(a, _), T::Timestamp(b, _)) => {
            T::TimestampLtz(*a.max(b), Default::default())
        }
        (T::Array(a), T::Array(b)) => T::Array(Box::new(common([&**a, &**b], numbers)?)),
        (T::Multiset(a), T::Multiset(b)) => T::Multiset(Box::new(common([&**a, &**b], numbers)?)),
        (T::Map(ka, va), T::Map(kb, vb)) => {
            T::Map(Box::new(common([&**ka, &**kb], numbers)?), Box::new(common([&**va, &**vb], numbers)?))
        }
        (T::Row(a), T::Row(b)) if a.len() == b.len() => T::Row(
            a.iter()
                .zip(b)
                .map(|(l, r)| Some(RowField::new(l.name.clone(), common([&l.data_type, &r.data_type], numbers)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// A DECIMAL becomes what follows it, also a FLOAT; a FLOAT and a DOUBLE are a DOUBLE in either order.
fn common_argument(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    match (left, right) {
        (TypeKind::Decimal(..), approximate) if is_approximate(approximate) => Some(approximate.clone()),
        (TypeKind::Float, TypeKind::Double) => Some(TypeKind::Double),
        _ => common_number(left, right),
    }
}

/// What a side of a comparison is brought to, of what both have in common. What counts nanoseconds does not reach as far as other
/// timestamps, and needs not be what both are: these stay as precise as they are.
pub(super) fn compared_as(own: &TypeKind, common: &TypeKind) -> TypeKind {
    use TypeKind as T;
    let part = |own: &LogicalType, common: &LogicalType| {
        let kind = compared_as(&own.kind, &common.kind);
        LogicalType { kind, nullable: common.nullable }
    };
    match (own, common) {
        (T::Timestamp(a, _), T::Timestamp(b, _)) | (T::TimestampLtz(a, _), T::TimestampLtz(b, _))
            if (*a > 6) != (*b > 6) =>
        {
            own.clone()
        }
        (T::Timestamp(a, _), T::TimestampLtz(b, _)) if (*a > 6) != (*b > 6) => T::TimestampLtz(*a, Default::default()),
        (T::Array(a), T::Array(b)) => T::Array(Box::new(part(a, b))),
        (T::Multiset(a), T::Multiset(b)) => T::Multiset(Box::new(part(a, b))),
        (T::Map(ka, va), T::Map(kb, vb)) => T::Map(Box::new(part(ka, kb)), Box::new(part(va, vb))),
        (T::Row(a), T::Row(b)) => {
            let fields = a.iter().zip(b);
            T::Row(fields.map(|(a, b)| RowField::new(b.name.clone(), part(&a.data_type, &b.data_type))).collect())
        }
        _ => common.clone(),
    }
}

/// Of two approximate numbers the first wins: the planner takes FLOAT and DOUBLE to be equally precise.
fn common_number(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    let decimal = |kind: &TypeKind| matches!(kind, TypeKind::Decimal(..));
    if is_approximate(left) || is_approximate(right) {
        return Some(if decimal(left) || decimal(right) {
            TypeKind::Double
        } else if is_exact(left) {
            right.clone()
        } else {
            left.clone()
        });
    }
    let ((p1, s1), (p2, s2)) = (digits(left)?, digits(right)?);
    if !decimal(left) && !decimal(right) {
        return Some(if p2 > p1 { right.clone() } else { left.clone() });
    }
    let whole = (p1 - s1).max(p2 - s2).min(MAX_PRECISION);
    let scale = s1.max(s2).min(MAX_PRECISION - whole);
    Some(TypeKind::Decimal((whole + scale) as u8, scale as i8))
}
