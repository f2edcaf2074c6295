//! Aggregate functions: which there are, what they take and what they give.
use datafusion_common::ScalarValue;
use wiesel_expressions::functions::catalogue;
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::cast::cast_to;
use super::numeric::{average_type, is_integer, is_numeric, sum_type};
use super::{calcite_name, is_bytes, is_composite, is_interval, is_text, is_unordered, no_such_function};
use crate::error::{Error, Result};
use crate::rex::{Expression, Node};

/// The aggregate's canonical name, if it is one; the name is in upper case.
pub(crate) fn canonical(name: &str) -> Option<&'static str> {
    if name == "$SUM0" { Some("SUM0") } else { catalogue::aggregate(name) }
}

/// How long JSON_ARRAYAGG and JSON_OBJECTAGG are to Flink, though what they give is often longer.
const JSON_LENGTH: u32 = 2000;

/// The arguments of `PERCENTILE(number, percentage or percentages[, frequency])` as tasks take them: percentages as DOUBLE.
pub(crate) fn percentile(arguments: Vec<Expression>) -> Result<Vec<Expression>> {
    let is_percentage = |data_type: &LogicalType| is_numeric(&data_type.kind) && !data_type.nullable;
    let fits = match arguments.as_slice() {
        [value, percentage, frequency @ ..] if frequency.len() < 2 => {
            let is_share = match &percentage.data_type.kind {
                TypeKind::Array(element) => is_percentage(element) && !percentage.data_type.nullable,
                _ => is_percentage(&percentage.data_type) && is_from_0_to_1(percentage),
            };
            let counts = frequency.iter().all(|frequency| is_integer(&frequency.data_type.kind));
            is_numeric(&value.data_type.kind) && is_share && counts
        }
        _ => return Err(no_such_function("PERCENTILE", &arguments)),
    };
    if !fits {
        let given: Vec<String> = arguments.iter().map(|argument| argument.data_type.to_string()).collect();
        let message = format!(
            "Invalid input arguments. PERCENTILE takes a number, a number from 0 to 1 or an ARRAY of such that are NOT NULL, and an \
             integer if it has three arguments; it has ({})",
            given.join(", ")
        );
        return Err(Error::validation(message, None));
    }
    let share = match &arguments[1].data_type.kind {
        TypeKind::Array(_) => TypeKind::Array(Box::new(TypeKind::Double.not_null())),
        _ => TypeKind::Double,
    };
    let taken = |(index, argument): (usize, Expression)| match index {
        1 => cast_to(argument, &share),
        _ => argument,
    };
    Ok(arguments.into_iter().enumerate().map(taken).collect())
}

/// A constant that is no percentage is refused; what is no constant is looked at in each row.
fn is_from_0_to_1(percentage: &Expression) -> bool {
    let Node::Literal(value) = &percentage.node else { return true };
    match value.cast_to(&TypeKind::Double.to_arrow()) {
        Ok(ScalarValue::Float64(Some(value))) => (0.0..=1.0).contains(&value),
        _ => false,
    }
}

fn percentile_type(percentage: &TypeKind) -> LogicalType {
    match percentage {
        TypeKind::Array(_) => TypeKind::Array(Box::new(TypeKind::Double.nullable())).nullable(),
        _ => TypeKind::Double.nullable(),
    }
}

/// The arguments with smaller integers as INT.
pub(crate) fn widened(arguments: Vec<Expression>) -> Vec<Expression> {
    let is_small = |kind: &TypeKind| matches!(kind, TypeKind::Tinyint | TypeKind::Smallint);
    let widen = |argument: Expression| match is_small(&argument.data_type.kind) {
        true => cast_to(argument, &TypeKind::Int),
        false => argument,
    };
    arguments.into_iter().map(widen).collect()
}

/// What an aggregate of bitmaps, or of integers that become one, gives.
fn bitmap_type(name: &str, argument: &LogicalType) -> Result<LogicalType> {
    let (expected, root) = match name.starts_with("BITMAP_BUILD_") {
        true => (TypeKind::Int, "INTEGER"),
        false => (TypeKind::Bitmap, "BITMAP"),
    };
    if argument.kind != expected {
        let message =
            format!("Unsupported argument type. Expected type root '{root}' but actual type was '{argument}'.");
        return Err(Error::validation(message, None));
    }
    let result = if name.ends_with("_CARDINALITY_AGG") { TypeKind::Bigint } else { TypeKind::Bitmap };
    Ok(result.nullable())
}

/// What an aggregate gives of arguments of these types. `has_keys`: no group is without rows. `filtered`: a filter can leave
/// none of them.
pub(crate) fn result_type(
    name: &str,
    arguments: &[LogicalType],
    has_keys: bool,
    filtered: bool,
) -> Result<LogicalType> {
    if name.starts_with("JSON_") {
        return Ok(TypeKind::Varchar(JSON_LENGTH).not_null());
    }
    let expected = match name {
        "COUNT" => 0..=1,
        "LISTAGG" => 1..=2,
        "PERCENTILE" => 2..=3,
        _ => 1..=1,
    };
    if !expected.contains(&arguments.len()) {
        if name == "COUNT" || name == "APPROX_COUNT_DISTINCT" && !arguments.is_empty() {
            return Err(Error::validation("We now only support the count of one field.", None));
        }
        let message =
            format!("Invalid number of arguments to function '{name}'. Was expecting {} arguments", expected.start());
        return Err(Error::validation(message, None));
    }
    match name {
        "COUNT" => return Ok(TypeKind::Bigint.not_null()),
        // There is no batch mode, in which alone Flink computes it.
        "APPROX_COUNT_DISTINCT" => {
            let message = "APPROX_COUNT_DISTINCT aggregate function does not support yet for streaming.";
            return Err(Error::unsupported(message, None));
        }
        _ => {}
    }
    let argument = &arguments[0];
    let kind = &argument.kind;
    let nullable = argument.nullable || !has_keys || filtered;
    // What collects values is not null to Flink where these are not, for a group exists by its rows. That does not hold behind
    // a filter, where Flink has the same type and fails the job when none of a group's rows passes.
    let collected = filtered || arguments.iter().any(|argument| argument.nullable);
    let refused = |form: &str| {
        let types: Vec<String> =
            arguments.iter().map(|argument| format!("<{}>", calcite_name(&argument.kind))).collect();
        let message = format!(
            "Cannot apply '{name}' to arguments of type '{name}({})'. Supported form(s): '{name}(<{form}>)'",
            types.join(", ")
        );
        Error::validation(message, None)
    };
    let kind = match name {
        "SUM" | "SUM0" => sum_type(kind).or_else(|| is_interval(kind).then(|| kind.clone())),
        "AVG" | "STDDEV_POP" | "STDDEV_SAMP" | "VAR_POP" | "VAR_SAMP" => average_type(kind),
        "MIN" | "MAX" => match kind {
            TypeKind::Null => return Err(refused("COMPARABLE_TYPE")),
            kind if is_unordered(kind) || is_bytes(kind) => {
                let function = if name == "MIN" { "Min" } else { "Max" };
                return Err(unsupported_type(function, &format!("''{}''", root(kind))));
            }
            kind => Some(kind.clone()),
        },
        "COLLECT" => return Ok(TypeKind::Multiset(Box::new(argument.clone())).not_null()),
        "ARRAY_AGG" => {
            return Ok(LogicalType { kind: TypeKind::Array(Box::new(argument.clone())), nullable: collected });
        }
        bitmap if bitmap.starts_with("BITMAP_") => return bitmap_type(bitmap, argument),
        "PERCENTILE" => return Ok(percentile_type(&arguments[1].kind)),
        "LISTAGG" => {
            if !arguments.iter().all(|argument| is_text(&argument.kind)) {
                return Err(refused("CHARACTER"));
            }
            // Of the type of one value, to Flink, though several together are longer.
            return Ok(LogicalType { kind: kind.clone(), nullable: collected });
        }
        _ => Some(kind.clone()),
    };
    match kind {
        Some(kind) if name != "SUM0" => Ok(LogicalType { kind, nullable }),
        Some(kind) => Ok(kind.not_null()),
        None => Err(refused("NUMERIC")),
    }
}

/// Refuses DISTINCT of values that Flink does not tell apart.
pub(crate) fn refuse_distinct(arguments: &[LogicalType]) -> Result<()> {
    let composite = |kind: &TypeKind| is_composite(kind) && !matches!(kind, TypeKind::Array(_));
    match arguments.iter().find(|argument| composite(&argument.kind)) {
        Some(argument) => Err(unsupported_type("Distinct", root(&argument.kind))),
        None => Ok(()),
    }
}

fn unsupported_type(function: &str, root: &str) -> Error {
    let message =
        format!("{function} aggregate function does not support type: {root}.\nPlease re-check the data type.");
    Error::validation(message, None)
}

/// The name of a type without its parameters, as aggregates that refuse it have it.
fn root(kind: &TypeKind) -> &'static str {
    match kind {
        TypeKind::Array(_) => "ARRAY",
        TypeKind::Map(..) => "MAP",
        TypeKind::Multiset(_) => "MULTISET",
        TypeKind::Row(_) => "ROW",
        TypeKind::Structured(..) => "STRUCTURED_TYPE",
        TypeKind::Variant => "VARIANT",
        TypeKind::Bitmap => "BITMAP",
        TypeKind::Binary(_) => "BINARY",
        _ => "VARBINARY",
    }
}
