//! What operators and built-in functions take and give, as Flink's planner types them.
//!
//! - [`operators`]: arithmetic, comparison, logic, concatenation; [`numeric`] has the rules of DECIMAL.
//! - [`scalar`]: calls by name, as the catalogue of `wiesel_expressions` has them; [`conditional`]: CASE, COALESCE and their kin; [`constructors`]: ARRAY, MAP, ROW; [`json`]; [`structured`]; [`aggregate`].
//! - [`page`]: the page on functions in the docs. [`literal`], [`datetime`]: constants as they are written. [`cast`], [`common_type`]: conversions.
//!
//! Invariant: an expression that leaves here has operands of the types that evaluation expects: casts are explicit.
use wiesel_common::text::suggestion;
use wiesel_expressions::types::{LogicalType, MAX_LENGTH, TypeKind};

use crate::error::{Error, Result};
use crate::parser::types::MAX_DEPTH;
use crate::rex::Expression;

pub(crate) mod aggregate;
pub(crate) mod cast;
pub(crate) mod common_type;
pub(crate) mod conditional;
pub(crate) mod constructors;
pub(crate) mod datetime;
pub(crate) mod json;
pub(crate) mod literal;
pub(crate) mod numeric;
pub(crate) mod operators;
mod page;
pub(crate) mod scalar;
pub(crate) mod structured;
#[cfg(test)]
mod tests;

pub use page::page;
pub use scalar::names;

/// The names of Flink's functions, one a line.
const OF_FLINK: &str = include_str!("flink.txt");

pub(crate) fn is_text(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Char(_) | TypeKind::Varchar(_))
}

pub(crate) fn is_bytes(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Binary(_) | TypeKind::Varbinary(_))
}

pub(crate) fn is_timestamp(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Timestamp(..) | TypeKind::TimestampLtz(..))
}

pub(crate) fn is_datetime(kind: &TypeKind) -> bool {
    is_timestamp(kind) || matches!(kind, TypeKind::Date | TypeKind::Time(_))
}

pub(crate) fn is_interval(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::IntervalYearMonth(_) | TypeKind::IntervalDayTime(_))
}

/// A collection, a ROW or a structured type: their values are equal or not, but have no order.
pub(crate) fn is_composite(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_)) || kind.fields().is_some()
}

/// Values of which none is less than another.
pub(crate) fn is_unordered(kind: &TypeKind) -> bool {
    is_composite(kind) || matches!(kind, TypeKind::Variant | TypeKind::Bitmap)
}

/// Values without an order where one is needed.
pub(crate) fn comparable_type_expected(found: &LogicalType) -> Error {
    Error::validation(format!("Comparable type expected, but was '{found}'."), None)
}

pub(crate) fn any_nullable<'a>(operands: impl IntoIterator<Item = &'a Expression>) -> bool {
    operands.into_iter().any(|operand| operand.data_type.nullable)
}

/// Whether null may be an operand or a field of one at any depth. To Flink's planner a comparison of such rows may be null, though
/// it never is; elements of collections do not count.
pub(crate) fn any_nullable_within<'a>(operands: impl IntoIterator<Item = &'a Expression>) -> bool {
    fn within(data_type: &LogicalType) -> bool {
        let fields = data_type.kind.fields().unwrap_or_default();
        data_type.nullable || fields.iter().any(|field| within(&field.data_type))
    }
    operands.into_iter().any(|operand| within(&operand.data_type))
}

/// The message for a NULL that nothing gives a type to.
pub(crate) const UNTYPED_NULL: &str = "Illegal use of 'NULL'";

/// Refuses a NULL that nothing gives a type to. Flink takes one where it is compared, tested for NULL, cast, put into a
/// collection or given by a condition, and by some functions ([`scalar`] lists them); nowhere else, whatever stands beside it.
pub(crate) fn refuse_untyped_null<'a>(operands: impl IntoIterator<Item = &'a Expression>) -> Result<()> {
    if operands.into_iter().any(|operand| operand.data_type.kind == TypeKind::Null) {
        return Err(Error::validation(UNTYPED_NULL, None));
    }
    Ok(())
}

/// A type as the planner's messages name it.
pub(crate) fn calcite_name(kind: &TypeKind) -> String {
    use TypeKind as T;
    match kind {
        T::Varchar(length) => format!("VARCHAR({length})"),
        T::Varbinary(MAX_LENGTH) => format!("VARBINARY({MAX_LENGTH})"),
        T::Int => "INTEGER".into(),
        T::TimestampLtz(precision, _) => format!("TIMESTAMP_WITH_LOCAL_TIME_ZONE({precision})"),
        T::IntervalDayTime(_) => "INTERVAL SECOND(3)".into(),
        T::IntervalYearMonth(_) => "INTERVAL MONTH".into(),
        T::Array(element) => format!("{} ARRAY", calcite_name(&element.kind)),
        T::Multiset(element) => format!("{} MULTISET", calcite_name(&element.kind)),
        T::Map(key, value) => format!("({}, {}) MAP", calcite_name(&key.kind), calcite_name(&value.kind)),
        T::Row(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", calcite_name(&field.data_type.kind), field.name)).collect();
            format!("RecordType:peek_no_expand({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The name of a type without its parameters, as the planner's messages have it.
pub(crate) fn calcite_root(kind: &TypeKind) -> String {
    let name = calcite_name(kind);
    name.split('(').next().unwrap_or_default().to_owned()
}

/// The family of a type, as the message on an unknown function names it.
fn family(kind: &TypeKind) -> String {
    use TypeKind as T;
    match kind {
        kind if numeric::is_numeric(kind) => "NUMERIC".into(),
        kind if is_text(kind) => "CHARACTER".into(),
        kind if is_bytes(kind) => "BINARY".into(),
        kind if is_timestamp(kind) => "TIMESTAMP".into(),
        T::Time(_) => "TIME".into(),
        T::IntervalDayTime(_) => "INTERVAL_DAY_TIME".into(),
        T::IntervalYearMonth(_) => "INTERVAL_YEAR_MONTH".into(),
        other => calcite_name(other),
    }
}

fn forms(supported: &[&str]) -> String {
    supported.iter().map(|form| format!("'{form}'")).collect::<Vec<_>>().join("\n")
}

/// An operator between two operands that it does not take.
pub(crate) fn cannot_apply_operator(name: &str, left: &Expression, right: &Expression, supported: &[&str]) -> Error {
    let (l, r) = (calcite_name(&left.data_type.kind), calcite_name(&right.data_type.kind));
    let message = format!(
        "Cannot apply '{name}' to arguments of type '<{l}> {name} <{r}>'. Supported form(s): {}",
        forms(supported)
    );
    Error::validation(message, None)
}

/// A function called with operands that it does not take.
pub(crate) fn cannot_apply_function(name: &str, operands: &[Expression], supported: &[&str]) -> Error {
    let types: Vec<String> =
        operands.iter().map(|operand| format!("<{}>", calcite_name(&operand.data_type.kind))).collect();
    let types = types.join(", ");
    let message = format!(
        "Cannot apply '{name}' to arguments of type '{name}({types})'. Supported form(s): {}",
        forms(supported)
    );
    Error::validation(message, None)
}

/// The error for a type that has more types within each other than a message may have: of this expression or column.
pub(crate) fn type_too_deep(what: &str) -> Error {
    let message = format!("The type of {what} has more than {MAX_DEPTH} types within each other. Make it flatter.");
    Error::unsupported(message, None)
}

/// A function of Flink's that is not here yet, by its name in capital letters.
pub(crate) fn not_here_yet(name: &str) -> Option<Error> {
    let is_missing = OF_FLINK.lines().any(|known| known == name) && names().all(|here| here != name);
    is_missing
        .then(|| Error::unsupported(format!("{name} is not supported yet; SHOW FUNCTIONS lists those that are"), None))
}

/// A function that does not exist.
pub(crate) fn no_such_function(name: &str, operands: &[Expression]) -> Error {
    let types: Vec<String> = operands.iter().map(|operand| format!("<{}>", family(&operand.data_type.kind))).collect();
    let mut message = format!("No match found for function signature {name}({})", types.join(", "));
    message.push_str(&suggestion(&name.to_uppercase(), names()));
    Error::validation(message, None)
}
