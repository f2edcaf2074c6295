//! Expressions as Flink's plans show them.
use arrow::temporal_conversions::{date32_to_datetime, time32ms_to_time};
use datafusion_common::ScalarValue;
use wiesel_expressions::functions::catalogue::{self, Shown};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::rex::{Expression, Node};

/// The three ways in which Flink's plans write expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Abstract syntax tree: `>($7, 400)`, `CAST($7):DOUBLE`.
    Logical,
    /// Optimised physical plan: `>(arr_delay, 400)`, `CAST(arr_delay AS DOUBLE)`.
    Physical,
    /// Optimised execution plan: `(arr_delay > 400)`.
    Execution,
}

/// An expression over these columns.
pub(crate) fn text(expression: &Expression, fields: &[RowField], style: Style) -> String {
    match &expression.node {
        Node::Input(index) if style == Style::Logical => format!("${index}"),
        Node::Input(index) => fields.get(*index).map_or_else(|| format!("${index}"), |field| field.name.clone()),
        Node::Literal(value) => literal(value, &expression.data_type, style),
        Node::Call { function, operands } => call(function, operands, &expression.data_type, fields, style),
        Node::Aggregate(index) => format!("$aggregate{index}"),
        Node::Correlated { level, index } => format!("$cor{level}.${index}"),
        Node::Over(over) => format!("{}({}) OVER", over.function, texts(&over.operands, fields, style)),
        Node::Subquery(subquery) => format!("{}({})", subquery.kind.name(), texts(&subquery.operands, fields, style)),
    }
}

/// Expressions behind commas.
fn texts(expressions: &[Expression], fields: &[RowField], style: Style) -> String {
    expressions.iter().map(|expression| text(expression, fields, style)).collect::<Vec<_>>().join(", ")
}

fn call(function: &str, operands: &[Expression], data_type: &LogicalType, fields: &[RowField], style: Style) -> String {
    let operand = |index: usize| operands.get(index).map_or_else(String::new, |o| text(o, fields, style));
    if function == "FIELD" {
        let name = match (operands, operands.first().and_then(|row| row.data_type.kind.fields())) {
            ([_, Expression { node: Node::Literal(ScalarValue::Int32(Some(index))), .. }], Some(inner)) => {
                inner.get(*index as usize).map(|field| field.name.clone())
            }
            _ => None,
        };
        return format!("{}.{}", operand(0), name.unwrap_or_else(|| operand(1)));
    }
    if matches!(function, "CAST" | "TRY_CAST") {
        let target = type_name(data_type, style);
        return match style {
            Style::Logical => format!("{function}({}):{target}", operand(0)),
            _ => format!("{function}({} AS {target})", operand(0)),
        };
    }
    let all: Vec<String> = (0..operands.len()).map(operand).collect();
    if function == "TIMESTAMP_ADD"
        && let [time, interval] = operands
        && let Some(positive) = negated(interval)
    {
        let (time, interval) = (text(time, fields, style), text(&positive, fields, style));
        return if style == Style::Execution {
            format!("({time} - {interval})")
        } else {
            format!("-({time}, {interval})")
        };
    }
    let shown = catalogue::lookup(function).map_or(Shown::Call, |function| function.shown);
    if style == Style::Execution {
        match (shown, all.as_slice()) {
            (Shown::Joined(word), _) => return format!("({})", all.join(&format!(" {word} "))),
            (Shown::Infix(word), [left, right]) => return format!("({left} {word} {right})"),
            (Shown::Postfix(words), [value]) => return format!("{value} {words}"),
            (_, [value, items @ ..]) if function == "IN" => return format!("{value} IN ({})", items.join(", ")),
            _ => {}
        }
    }
    if function == "EXTRACT" {
        return format!("EXTRACT(FLAG({}), {})", unit(operands), all[1..].join(", "));
    }
    let name = match shown {
        Shown::Call => function,
        Shown::Named(name) | Shown::Infix(name) | Shown::Joined(name) | Shown::Postfix(name) => name,
    };
    format!("{name}({})", all.join(", "))
}

/// The unit of EXTRACT, without quotes.
fn unit(operands: &[Expression]) -> &str {
    match operands.first().map(|unit| &unit.node) {
        Some(Node::Literal(ScalarValue::Utf8View(Some(unit)))) => unit,
        _ => "",
    }
}

/// The positive interval of a negative one: it was subtracted.
fn negated(interval: &Expression) -> Option<Expression> {
    let positive = match interval.node {
        Node::Literal(ScalarValue::DurationMillisecond(Some(count))) if count < 0 => {
            ScalarValue::DurationMillisecond(Some(count.checked_neg()?))
        }
        Node::Literal(ScalarValue::IntervalYearMonth(Some(count))) if count < 0 => {
            ScalarValue::IntervalYearMonth(Some(count.checked_neg()?))
        }
        _ => return None,
    };
    Some(Expression::literal(positive, interval.data_type.clone()))
}

/// A constant.
fn literal(value: &ScalarValue, data_type: &LogicalType, style: Style) -> String {
    if value.is_null() {
        return format!("null:{}", type_name(&data_type.with_nullable(true), style));
    }
    match (&data_type.kind, value) {
        (TypeKind::Char(_) | TypeKind::Varchar(_), ScalarValue::Utf8View(Some(text))) => {
            let quoted = format!("'{}'", text.replace('\'', "''"));
            match (&data_type.kind, style) {
                (_, Style::Execution) => quoted,
                (TypeKind::Char(_), _) => format!("_UTF-16LE{quoted}"),
                _ => format!("_UTF-16LE{quoted}:{}", type_name(&data_type.with_nullable(true), style)),
            }
        }
        (TypeKind::Boolean, ScalarValue::Boolean(Some(value))) => value.to_string(),
        (TypeKind::Int, _) => value.to_string(),
        (TypeKind::Decimal(..), _) => {
            let number = decimal(value);
            if style == Style::Execution {
                number
            } else {
                format!("{number}:{}", type_name(&data_type.with_nullable(true), style))
            }
        }
        (TypeKind::IntervalDayTime(_) | TypeKind::IntervalYearMonth(_), _) => {
            let count = match value {
                ScalarValue::DurationMillisecond(Some(count)) => *count,
                ScalarValue::IntervalYearMonth(Some(count)) => i64::from(*count),
                _ => 0,
            };
            format!("{count}:{}", type_name(&data_type.with_nullable(true), style))
        }
        (TypeKind::Timestamp(..) | TypeKind::TimestampLtz(..), _) => timestamp(value),
        (TypeKind::Date, ScalarValue::Date32(Some(days))) => {
            date32_to_datetime(*days).map_or_else(|| days.to_string(), |date| date.date().to_string())
        }
        (TypeKind::Time(_), ScalarValue::Time32Millisecond(Some(millis))) => {
            time32ms_to_time(*millis).map_or_else(|| millis.to_string(), |time| time.to_string())
        }
        _ if style == Style::Execution => value.to_string(),
        _ => format!("{value}:{}", type_name(&data_type.with_nullable(true), style)),
    }
}

fn decimal(value: &ScalarValue) -> String {
    let ScalarValue::Decimal128(Some(unscaled), _, scale) = value else { return value.to_string() };
    let scale = usize::try_from(*scale).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if *unscaled < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn timestamp(value: &ScalarValue) -> String {
    let converted = match value {
        ScalarValue::TimestampMillisecond(Some(v), _) => arrow::temporal_conversions::timestamp_ms_to_datetime(*v),
        ScalarValue::TimestampMicrosecond(Some(v), _) => arrow::temporal_conversions::timestamp_us_to_datetime(*v),
        ScalarValue::TimestampNanosecond(Some(v), _) => arrow::temporal_conversions::timestamp_ns_to_datetime(*v),
        _ => None,
    };
    converted.map_or_else(|| value.to_string(), |time| time.to_string())
}

/// A type as Calcite writes it.
pub(crate) fn type_name(data_type: &LogicalType, style: Style) -> String {
    let charset = if style == Style::Execution { "" } else { " CHARACTER SET \"UTF-16LE\"" };
    let name = match &data_type.kind {
        TypeKind::Char(length) => format!("CHAR({length}){charset}"),
        TypeKind::Varchar(length) => format!("VARCHAR({length}){charset}"),
        TypeKind::Varbinary(length) => format!("VARBINARY({length})"),
        TypeKind::Int => "INTEGER".to_owned(),
        TypeKind::Timestamp(precision, time) => format!("TIMESTAMP({precision}){}", attribute(*time)),
        TypeKind::TimestampLtz(precision, time) => {
            format!("TIMESTAMP_WITH_LOCAL_TIME_ZONE({precision}){}", attribute(*time))
        }
        TypeKind::IntervalDayTime(resolution) | TypeKind::IntervalYearMonth(resolution) => {
            format!("INTERVAL {}", without_precision(resolution))
        }
        kind => kind.to_string(),
    };
    if data_type.nullable || style == Style::Execution { name } else { format!("{name} NOT NULL") }
}

fn attribute(time: wiesel_expressions::types::TimeAttribute) -> &'static str {
    match time {
        wiesel_expressions::types::TimeAttribute::Regular => "",
        wiesel_expressions::types::TimeAttribute::Rowtime => " *ROWTIME*",
        wiesel_expressions::types::TimeAttribute::Proctime => " *PROCTIME*",
    }
}

/// `DAY(2) TO SECOND(6)` without its numbers.
fn without_precision(resolution: &str) -> String {
    let mut inside = false;
    let kept = resolution.chars().filter(|c| {
        inside = (inside && *c != ')') || *c == '(';
        !inside && *c != ')'
    });
    kept.collect()
}
