//! The attributes of operators, as Flink's plans show them.
use wiesel_common::config::format_duration;
use wiesel_expressions::types::RowField;
use wiesel_proto::WindowKind;

use super::expression::{Style, text};
use crate::catalog::ObjectIdentifier;
use crate::rel::{Aggregate, Window};
use crate::rex::Expression;

/// Parts behind commas.
pub(crate) fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// The names of columns.
pub(crate) fn names(fields: &[RowField]) -> String {
    join(fields.iter().map(|field| field.name.clone()))
}

/// The name of a column.
pub(crate) fn name(fields: &[RowField], column: usize) -> String {
    fields.get(column).map_or_else(|| format!("${column}"), |field| field.name.clone())
}

/// `catalog, database, table`.
pub(crate) fn path(identifier: &ObjectIdentifier) -> String {
    format!("{}, {}, {}", identifier.catalog, identifier.database, identifier.object)
}

/// `{ 1, 'a' }, { 2, 'b' }` in brackets.
pub(crate) fn tuples(rows: &[Vec<Expression>], style: Style) -> String {
    let row = |row: &Vec<Expression>| format!("{{ {} }}", join(row.iter().map(|value| text(value, &[], style))));
    format!("[{}]", join(rows.iter().map(row)))
}

/// `groupBy=[a, b], `; nothing without keys.
pub(crate) fn group_by(keys: &[usize], input: &[RowField]) -> String {
    match keys {
        [] => String::new(),
        keys => format!("groupBy=[{}], ", join(keys.iter().map(|key| name(input, *key)))),
    }
}

/// `COUNT(DISTINCT tail) FILTER $f2`.
pub(crate) fn aggregate(aggregate: &Aggregate, input: &[RowField], retracts: bool) -> String {
    let arguments = match aggregate.arguments.as_slice() {
        [] => "*".to_owned(),
        arguments => join(arguments.iter().map(|column| name(input, *column))),
    };
    let function = if retracts && aggregate.function == "COUNT" && aggregate.arguments.is_empty() {
        "COUNT_RETRACT"
    } else {
        function(&aggregate.function)
    };
    let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
    let filter = aggregate.filter.map_or_else(String::new, |column| format!(" FILTER {}", name(input, column)));
    format!("{function}({distinct}{arguments}){filter}")
}

/// An aggregate function by its name in Calcite.
pub(crate) fn function(name: &str) -> &str {
    if name == "SUM0" { "$SUM0" } else { name }
}

/// The window that a table function or an aggregate uses; `time` says what is cut into windows.
pub(crate) fn window(window: &Window, time: &str) -> String {
    let duration = |millis: i64| format_duration(std::time::Duration::from_millis(millis.unsigned_abs()));
    let size = duration(window.size);
    let offset = if window.offset == 0 { String::new() } else { format!(", offset=[{}]", duration(window.offset)) };
    match window.kind {
        WindowKind::Tumble => format!("TUMBLE({time}, size=[{size}]{offset})"),
        WindowKind::Hop => format!("HOP({time}, size=[{size}], slide=[{}]{offset})", duration(window.slide)),
        WindowKind::Cumulate => {
            format!("CUMULATE({time}, max_size=[{size}], step=[{}]{offset})", duration(window.slide))
        }
    }
}
