//! Types of arithmetic: the rules of precision and scale of Flink's planner.
use wiesel_expressions::types::{LogicalType, TypeKind};

/// The digits a DECIMAL can have.
pub(crate) const MAX_PRECISION: i32 = 38;
/// The digits after the point that division and cutting down to 38 digits keep at least.
const MIN_SCALE: i32 = 6;

/// Whether it is a number.
pub(crate) fn is_numeric(kind: &TypeKind) -> bool {
    is_exact(kind) || is_approximate(kind)
}

/// Whether it is an integer.
pub(crate) fn is_integer(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint)
}

/// Whether it is an integer or a DECIMAL.
pub(crate) fn is_exact(kind: &TypeKind) -> bool {
    is_integer(kind) || matches!(kind, TypeKind::Decimal(..))
}

/// Whether it is FLOAT or DOUBLE.
pub(crate) fn is_approximate(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Float | TypeKind::Double)
}

/// Precision and scale of an exact number.
pub(crate) fn digits(kind: &TypeKind) -> Option<(i32, i32)> {
    Some(match kind {
        TypeKind::Tinyint => (3, 0),
        TypeKind::Smallint => (5, 0),
        TypeKind::Int => (10, 0),
        TypeKind::Bigint => (19, 0),
        TypeKind::Decimal(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        _ => return None,
    })
}

/// A DECIMAL of so many digits; beyond 38 the scale gives way first, down to six.
fn adjusted(precision: i32, scale: i32) -> TypeKind {
    if precision <= MAX_PRECISION {
        return TypeKind::Decimal(precision as u8, scale as i8);
    }
    let whole = precision - scale;
    let scale = (MAX_PRECISION - whole).max(scale.min(MIN_SCALE));
    TypeKind::Decimal(MAX_PRECISION as u8, scale as i8)
}

/// The DECIMAL that an arithmetic operator gives of two exact numbers of which one is a DECIMAL.
pub(crate) fn decimal_result(operator: &str, left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    if !matches!(left, TypeKind::Decimal(..)) && !matches!(right, TypeKind::Decimal(..)) {
        return None;
    }
    let ((p1, s1), (p2, s2)) = (digits(left)?, digits(right)?);
    Some(match operator {
        "+" | "-" => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        "*" => adjusted(p1 + p2 + 1, s1 + s2),
        "/" => {
            let scale = MIN_SCALE.max(s1 + p2 + 1);
            adjusted(p1 - s1 + s2 + scale, scale)
        }
        "%" => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).min(p2 - s2) + scale, scale)
        }
        _ => return None,
    })
}

/// The type of SUM.
pub(crate) fn sum_type(kind: &TypeKind) -> Option<TypeKind> {
    match kind {
        TypeKind::Decimal(_, scale) => Some(TypeKind::Decimal(MAX_PRECISION as u8, *scale)),
        kind if is_numeric(kind) => Some(kind.clone()),
        _ => None,
    }
}

/// The type of AVG.
pub(crate) fn average_type(kind: &TypeKind) -> Option<TypeKind> {
    match kind {
        TypeKind::Decimal(_, scale) => Some(TypeKind::Decimal(MAX_PRECISION as u8, (*scale).max(MIN_SCALE as i8))),
        kind if is_numeric(kind) => Some(kind.clone()),
        _ => None,
    }
}

/// Digits of an integer type as a DECIMAL; a DECIMAL stays as it is.
pub(crate) fn as_decimal(data_type: &LogicalType) -> Option<LogicalType> {
    let (precision, scale) = digits(&data_type.kind)?;
    Some(LogicalType { kind: TypeKind::Decimal(precision as u8, scale as i8), nullable: data_type.nullable })
}
