//! `TABLE(TUMBLE(…))`, `TABLE(HOP(…))`, `TABLE(CUMULATE(…))`.
use datafusion_common::ScalarValue;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned};
use wiesel_expressions::types::{RowField, TimeAttribute, TypeKind};
use wiesel_operators::window_aggregate::assigner::MAX_WINDOWS;
use wiesel_proto::WindowKind;

use super::calls::refuse_clauses;
use super::expression::ExpressionAnalyzer;
use super::places::{place_of, place_of_name};
use super::query::QueryAnalyzer;
use super::scope::Scope;
use super::suggestion;
use super::view_text::{Named, Names};
use crate::error::{Error, Result};
use crate::parser::dialect::{TABLE_ARGUMENT, TABLE_PARTITIONED};
use crate::parser::{lexer, options_of_hint};
use crate::rel::{LogicalWindowTableFunction, Rel, RelNode, Window};
use crate::rex::Node;
use crate::rex::lowering::no_over;

impl QueryAnalyzer<'_> {
    /// The relation of a window table function.
    pub(super) fn window_table_function(&mut self, expr: &Expr) -> Result<Rel> {
        let Expr::Function(function) = expr else {
            return Err(Error::unsupported(format!("TABLE({expr}) is not supported"), place_of(expr)));
        };
        let name = function.name.to_string().to_uppercase();
        let place = lexer::place_of(function.name.span());
        let (kind, parameters): (WindowKind, &[&str]) = match name.as_str() {
            "TUMBLE" => (WindowKind::Tumble, &["DATA", "TIMECOL", "SIZE", "OFFSET"]),
            "HOP" => (WindowKind::Hop, &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"]),
            "CUMULATE" => (WindowKind::Cumulate, &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"]),
            "SESSION" => return Err(Error::unsupported("SESSION windows are not supported", place)),
            _ => {
                let near = suggestion(&name, ["TUMBLE", "HOP", "CUMULATE"].into_iter());
                let message = format!("No match found for function signature {}(…){near}", function.name);
                return Err(Error::validation(message, place));
            }
        };
        if function.over.is_some() {
            return Err(no_over(&name, place));
        }
        if function.filter.is_some() {
            return Err(Error::validation("FILTER must not be used with non-aggregate function", place));
        }
        refuse_clauses(&name, function).map_err(|e| e.or_at(place))?;
        let arguments = arguments(function, parameters).map_err(|e| e.or_at(place))?;
        let argument = |parameter: &str| parameters.iter().position(|p| *p == parameter).and_then(|i| arguments[i]);
        let required = |parameter: &str| {
            argument(parameter).ok_or_else(|| {
                let count = parameters.len() - 1;
                let message = format!("Invalid number of arguments to function '{name}'. Was expecting {count} arguments, {parameter} is missing");
                Error::validation(message, place)
            })
        };
        let input = self.table_argument(required("DATA")?)?;
        let time = descriptor(required("TIMECOL")?, &input)?;
        let interval = |parameter: &str| required(parameter).and_then(|expr| milliseconds(expr, &name));
        let size = interval("SIZE")?;
        let slide = match kind {
            WindowKind::Tumble => size,
            WindowKind::Hop => interval("SLIDE")?,
            WindowKind::Cumulate => interval("STEP")?,
        };
        let offset = argument("OFFSET").map(|expr| milliseconds(expr, &name)).transpose()?.unwrap_or(0);
        let window = Window { kind, size, slide, offset, time };
        check(&window, &name).map_err(|e| e.or_at(place))?;
        append_window(input, window)
    }

    fn table_argument(&mut self, expr: &Expr) -> Result<Rel> {
        match expr {
            Expr::Subquery(query) => self.query(query),
            Expr::Nested(inner) => self.table_argument(inner),
            Expr::Function(function) if function.name.to_string() == TABLE_PARTITIONED => {
                Err(Error::unsupported("PARTITION BY in a window table function is not supported", place_of(expr)))
            }
            Expr::Function(function) if function.name.to_string().trim_matches('`') == TABLE_ARGUMENT => {
                let arguments = super::calls::arguments(function)?;
                let [Expr::CompoundIdentifier(parts), hints @ ..] = arguments.as_slice() else {
                    return Err(Error::validation(format!("{expr} is no table"), place_of(expr)));
                };
                let hints: Vec<Expr> = hints.iter().map(|hint| (*hint).clone()).collect();
                let options = if hints.is_empty() { Some(Vec::new()) } else { options_of_hint(&hints) };
                let Some(options) = options else {
                    return Err(Error::validation("A hint needs pairs of 'key' = 'value'", place_of(expr)));
                };
                let rel = self.table(parts, &options)?;
                let path = self.full_path(parts);
                if let Some(noted) = self.noted.as_mut().filter(|_| hints.is_empty()) {
                    let columns = rel.fields.iter().map(|field| field.name.clone()).collect();
                    noted.note(Named::Argument, expr, Names { path, columns });
                }
                Ok(rel)
            }
            other => {
                let message = format!("A window table function needs TABLE name or a query, not {other}");
                Err(Error::validation(message, place_of(other)))
            }
        }
    }
}

/// The arguments by parameter, given in order or by name.
fn arguments<'e>(function: &'e Function, parameters: &[&str]) -> Result<Vec<Option<&'e Expr>>> {
    let mut found: Vec<Option<&Expr>> = vec![None; parameters.len()];
    let FunctionArguments::List(list) = &function.args else { return Ok(found) };
    for (i, argument) in list.args.iter().enumerate() {
        let (position, expr) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (Some(i), expr),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                let position = parameters.iter().position(|p| p.eq_ignore_ascii_case(&name.value));
                if position.is_none() {
                    let near = suggestion(&name.value.to_uppercase(), parameters.iter().copied());
                    let message = format!("'{}' is no parameter of {}{near}", name.value, function.name);
                    return Err(Error::validation(message, place_of_name(name)));
                }
                (position, expr)
            }
            other => return Err(Error::validation(format!("{other} is no argument of {}", function.name), None)),
        };
        match position.and_then(|position| found.get_mut(position)) {
            Some(slot @ None) => *slot = Some(expr),
            _ => {
                let message = format!(
                    "Invalid number of arguments to function '{}'. Was expecting {} arguments",
                    function.name,
                    parameters.len() - 1
                );
                return Err(Error::validation(message, None));
            }
        }
    }
    Ok(found)
}

/// The column that `DESCRIPTOR(column)` names, which must be a time attribute.
fn descriptor(expr: &Expr, input: &Rel) -> Result<usize> {
    let column: Option<&Ident> = match expr {
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") => {
            match super::calls::arguments(function)?.as_slice() {
                [Expr::Identifier(column)] => Some(column),
                _ => None,
            }
        }
        _ => None,
    };
    let Some(column) = column else {
        let message = format!("A window table function needs DESCRIPTOR(column), not {expr}");
        return Err(Error::validation(message, place_of(expr)));
    };
    let place = place_of_name(column);
    let Some(index) = input.fields.iter().position(|field| field.name == column.value) else {
        let near = suggestion(&column.value, input.fields.iter().map(|field| field.name.as_str()));
        return Err(Error::validation(format!("Unknown identifier '{}'{near}", column.value), place));
    };
    let data_type = &input.fields[index].data_type;
    match data_type.kind {
        TypeKind::Timestamp(_, TimeAttribute::Rowtime)
        | TypeKind::TimestampLtz(_, TimeAttribute::Rowtime | TimeAttribute::Proctime) => Ok(index),
        _ => {
            let message = format!(
                "The window function requires the timecol is a time attribute type, but is {}.",
                data_type.kind
            );
            Err(Error::validation(message, place))
        }
    }
}

fn milliseconds(expr: &Expr, function: &str) -> Result<i64> {
    let scope = Scope::empty();
    let value = ExpressionAnalyzer::new(&scope, "a window table function").analyze(expr)?;
    match (&value.node, &value.data_type.kind) {
        (Node::Literal(ScalarValue::DurationMillisecond(Some(milliseconds))), _) => Ok(*milliseconds),
        (_, TypeKind::IntervalYearMonth(_)) => {
            let message = "Window aggregate only support SECOND, MINUTE, HOUR, DAY as the time unit. MONTH and YEAR time unit are not supported yet.";
            Err(Error::validation(message, place_of(expr)))
        }
        (_, kind) => {
            let message = format!("{function} needs a constant INTERVAL here, not {expr} of type {kind}");
            Err(Error::validation(message, place_of(expr)))
        }
    }
}

fn check(window: &Window, name: &str) -> Result<()> {
    let refused = |message: String| Err(Error::validation(message, None));
    if window.size <= 0 || window.slide <= 0 {
        return refused(format!(
            "{name} table function based aggregate requires size and slide greater than 0, but got size {} ms and slide {} ms.",
            window.size, window.slide
        ));
    }
    match window.kind {
        WindowKind::Tumble if window.offset.unsigned_abs() >= window.size.unsigned_abs() => refused(format!(
            "TUMBLE table function parameters must satisfy abs(offset) < size, but got size {} ms and offset {} ms.",
            window.size, window.offset
        )),
        WindowKind::Hop if window.size % window.slide != 0 => refused(format!(
            "HOP table function based aggregate requires size must be an integral multiple of slide, but got size {} ms and slide {} ms",
            window.size, window.slide
        )),
        WindowKind::Cumulate if window.size % window.slide != 0 => refused(format!(
            "CUMULATE table function based aggregate requires maxSize must be an integral multiple of step, but got maxSize {} ms and step {} ms",
            window.size, window.slide
        )),
        _ if window.size / window.slide > MAX_WINDOWS => refused(format!(
            "{name} table function with a size of {} ms and a {} of {} ms: a row may be in {MAX_WINDOWS} windows at most, here it \
             would be in {}. Make the windows shorter or fewer.",
            window.size,
            if window.kind == WindowKind::Hop { "slide" } else { "step" },
            window.slide,
            window.size / window.slide
        )),
        _ => Ok(()),
    }
}

/// The input with the window's columns; its time column keeps its type, as Flink prints it.
fn append_window(input: Rel, window: Window) -> Result<Rel> {
    let time = &input.fields[window.time].data_type.kind;
    let window_time = match time {
        TypeKind::Timestamp(_, attribute) => TypeKind::Timestamp(3, *attribute),
        TypeKind::TimestampLtz(_, attribute) => TypeKind::TimestampLtz(3, *attribute),
        other => return Err(Error::validation(format!("{other} is no time attribute"), None)),
    };
    let mut fields = input.fields.clone();
    let boundary = || TypeKind::Timestamp(3, TimeAttribute::Regular).not_null();
    fields.push(RowField::new("window_start", boundary()));
    fields.push(RowField::new("window_end", boundary()));
    fields.push(RowField::new("window_time", window_time.not_null()));
    Ok(Rel {
        node: RelNode::WindowTableFunction(LogicalWindowTableFunction { input: Box::new(input), window }),
        fields,
    })
}
