//! What no job could run, said before there is one.
use wiesel_operators::expression::{Expression, MAX_DEPTH};

use super::physical::{Op, Plan};
use crate::error::{Error, Result};
use crate::functions::type_too_deep;
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
            expression.visit(&mut |part| flat &= part.data_type.depth() <= MAX_TYPE_DEPTH);
            if !flat {
                return Err(type_too_deep("an expression"));
            }
        }
        if let Some(field) = node.fields.iter().find(|field| field.data_type.depth() > MAX_TYPE_DEPTH) {
            return Err(type_too_deep(&format!("column '{}'", field.name)));
        }
    }
    Ok(())
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
