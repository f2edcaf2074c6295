//! The type that values of several types have in common: of CASE, COALESCE, IN, UNION, ARRAY and of the two sides of a
//! comparison.
use wiesel_operators::types::{LogicalType, MAX_LENGTH, RowField, TypeKind};

use super::numeric::{MAX_PRECISION, digits, is_approximate, is_exact, is_numeric};

/// The least type that holds the values of all; none if there is no such type.
pub(crate) fn common_type<'a>(types: impl IntoIterator<Item = &'a LogicalType>) -> Option<LogicalType> {
    let mut types = types.into_iter();
    let mut result = types.next()?.clone();
    for data_type in types {
        let kind = match (&result.kind, &data_type.kind) {
            (TypeKind::Null, kind) | (kind, TypeKind::Null) => kind.clone(),
            (left, right) => common_kind(left, right)?,
        };
        let nullable = result.nullable || data_type.nullable;
        result = LogicalType { kind, nullable };
    }
    Some(result)
}

fn common_kind(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    use TypeKind as T;
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (T::Char(a) | T::Varchar(a), T::Char(b) | T::Varchar(b)) => T::Varchar((*a).max(*b).min(MAX_LENGTH)),
        (T::Binary(a) | T::Varbinary(a), T::Binary(b) | T::Varbinary(b)) => T::Varbinary((*a).max(*b).min(MAX_LENGTH)),
        (l, r) if is_numeric(l) && is_numeric(r) => common_number(l, r)?,
        (T::Time(a), T::Time(b)) => T::Time(*a.max(b)),
        (T::Timestamp(a, time), T::Timestamp(b, _)) => T::Timestamp(*a.max(b), *time),
        (T::TimestampLtz(a, time), T::TimestampLtz(b, _)) => T::TimestampLtz(*a.max(b), *time),
        (T::Timestamp(a, _), T::TimestampLtz(b, _)) | (T::TimestampLtz(a, _), T::Timestamp(b, _)) => {
            T::TimestampLtz(*a.max(b), Default::default())
        }
        (T::Array(a), T::Array(b)) => T::Array(Box::new(common_type([&**a, &**b])?)),
        (T::Multiset(a), T::Multiset(b)) => T::Multiset(Box::new(common_type([&**a, &**b])?)),
        (T::Map(ka, va), T::Map(kb, vb)) => {
            T::Map(Box::new(common_type([&**ka, &**kb])?), Box::new(common_type([&**va, &**vb])?))
        }
        (T::Row(a), T::Row(b)) if a.len() == b.len() => T::Row(
            a.iter()
                .zip(b)
                .map(|(l, r)| Some(RowField::new(l.name.clone(), common_type([&l.data_type, &r.data_type])?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
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
