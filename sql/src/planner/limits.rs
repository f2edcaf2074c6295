//! What no job could run, said before there is one.
use wiesel_expressions::expression::MAX_DEPTH;

use super::physical::Plan;
use crate::error::{Error, Result};
use crate::functions::type_too_deep;
use crate::parser::types::MAX_DEPTH as MAX_TYPE_DEPTH;

/// Checks what has no bound in the text of a query, but in the messages and on the threads that run it.
///
/// # Errors
/// An expression, or the type of a column, that is too deep.
pub(super) fn check(plan: &Plan) -> Result<()> {
    for node in &plan.nodes {
        for expression in node.op.expressions() {
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
