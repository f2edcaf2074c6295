//! Aggregate functions: which there are, what they take and what they give.
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::numeric::{average_type, sum_type};
use super::{calcite_name, is_bytes, is_composite, is_interval, is_text};
use crate::error::{Error, Result};

/// The canonical names and their synonyms.
pub(crate) const NAMES: &[&str] = &[
    "COUNT",
    "SUM",
    "SUM0",
    "AVG",
    "MIN",
    "MAX",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STDDEV",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "COLLECT",
    "LISTAGG",
    "FIRST_VALUE",
    "LAST_VALUE",
    "ARRAY_AGG",
];

/// The aggregate's canonical name, if it is one; the name is in upper case.
pub(crate) fn canonical(name: &str) -> Option<&'static str> {
    Some(match name {
        "STDDEV" => "STDDEV_SAMP",
        "VARIANCE" => "VAR_SAMP",
        "$SUM0" => "SUM0",
        _ => NAMES.iter().find(|known| **known == name)?,
    })
}

/// What an aggregate gives of arguments of these types. `has_keys`: no group is without rows. `filtered`: a filter can leave
/// none of them.
pub(crate) fn result_type(
    name: &str,
    arguments: &[LogicalType],
    has_keys: bool,
    filtered: bool,
) -> Result<LogicalType> {
    let expected = match name {
        "COUNT" => 0..=1,
        "LISTAGG" => 1..=2,
        _ => 1..=1,
    };
    if !expected.contains(&arguments.len()) {
        if name == "COUNT" {
            return Err(Error::validation("We now only support the count of one field.", None));
        }
        let message =
            format!("Invalid number of arguments to function '{name}'. Was expecting {} arguments", expected.start());
        return Err(Error::validation(message, None));
    }
    if name == "COUNT" {
        return Ok(TypeKind::Bigint.not_null());
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
            kind if is_composite(kind) || is_bytes(kind) => {
                let function = if name == "MIN" { "Min" } else { "Max" };
                return Err(unsupported_type(function, &format!("''{}''", root(kind))));
            }
            kind => Some(kind.clone()),
        },
        "COLLECT" => return Ok(TypeKind::Multiset(Box::new(argument.clone())).not_null()),
        "ARRAY_AGG" => {
            return Ok(LogicalType { kind: TypeKind::Array(Box::new(argument.clone())), nullable: collected });
        }
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
        TypeKind::Binary(_) => "BINARY",
        _ => "VARBINARY",
    }
}
