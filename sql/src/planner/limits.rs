//! What no job could run, said before there is one.
use wiesel_operators::expression::{Expression, MAX_DEPTH};
use wiesel_operators::types::{LogicalType, TypeKind};

use super::physical::{Op, Plan};
use crate::error::{Error, Result};
use crate::parser::types::MAX_DEPTH as MAX_TYPE_DEPTH;

/// Checks what has no bound in the text of a query, but in the messages and on the threads that run it.
///
/// # Errors
/// An expression, or the type of a column, that is too deep.
pub(super) fn check(plan: &Plan) -> Result<()> {
    for node in &plan.nodes {
        for expression in expressions(&node.op) {
            let levels = expression.extent().1;
            if levels > MAX_DEPTH {
                let message = format!(
                    "An expression nests {levels} levels deep, of at most {MAX_DEPTH}. Write what a part of it gives to a table, \
                     and read that."
                );
                return Err(Error::unsupported(message, None));
            }
            let mut flat = true;
            expression.visit(&mut |part| flat &= type_depth(&part.data_type) <= MAX_TYPE_DEPTH);
            if !flat {
                return Err(too_deep("an expression"));
            }
        }
        if let Some(field) = node.fields.iter().find(|field| type_depth(&field.data_type) > MAX_TYPE_DEPTH) {
            return Err(too_deep(&format!("column '{}'", field.name)));
        }
    }
    Ok(())
}

fn too_deep(what: &str) -> Error {
    let message =
        format!("The type of {what} has more than {MAX_TYPE_DEPTH} types within each other. Make it flatter.");
    Error::unsupported(message, None)
}

/// All expressions of an operator, those that become values of a table among them. Every operator is named, so that a new one
/// is not forgotten: what is not checked here fails, or overflows a stack, where it runs.
fn expressions(op: &Op) -> Vec<&Expression> {
    match op {
        Op::Source(source) => source.filters.iter().collect(),
        Op::Values(rows) => rows.iter().flatten().collect(),
        Op::Calc { condition, projection } => condition.iter().chain(projection).collect(),
        Op::WatermarkAssigner { rowtime: _, watermark } => vec![watermark],
        Op::GroupAggregate { keys: _, aggregates: _ }
        | Op::WindowAggregate { phase: _, aggregate: _ }
        | Op::WindowTableFunction { window: _, event_time: _ }
        | Op::Exchange(_)
        | Op::Union
        | Op::Sink(_)
        | Op::Collect => Vec::new(),
    }
}

/// Types within each other.
fn type_depth(data_type: &LogicalType) -> usize {
    let below = match &data_type.kind {
        TypeKind::Array(element) | TypeKind::Multiset(element) => type_depth(element),
        TypeKind::Map(key, value) => type_depth(key).max(type_depth(value)),
        TypeKind::Row(fields) => fields.iter().map(|field| type_depth(&field.data_type)).max().unwrap_or(0),
        _ => 0,
    };
    below + 1
}
