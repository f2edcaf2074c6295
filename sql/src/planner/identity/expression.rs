//! What an expression gives.
use datafusion_common::ScalarValue;
use wiesel_operators::expression::{Expression, Node};

use super::digest::{Digest, Id};
use super::rows::{column, field_of, named};

/// What an expression gives over columns. A column is what it is under any name and any nullability.
pub(crate) fn expression(of: &Expression, columns: &[Id]) -> Id {
    match &of.node {
        Node::Input(index) => columns.get(*index).copied().unwrap_or_else(|| column([0; 16], *index as i64)),
        Node::Literal(value) => {
            Digest::new("literal").text(&of.data_type.kind.to_string()).text(&format!("{value:?}")).finish()
        }
        Node::Call { function, operands } => {
            if let Some(id) = field(function, operands, columns) {
                return id;
            }
            let digest = Digest::new("function").text(function).text(&of.data_type.kind.to_string());
            digest.ids(operands.iter().map(|operand| expression(operand, columns))).finish()
        }
    }
}

/// A field of a row is the same whether the source reads it alone or it is taken out of the whole row.
fn field(function: &str, operands: &[Expression], columns: &[Id]) -> Option<Id> {
    let [row, index] = operands else { return None };
    let Node::Literal(ScalarValue::Int32(Some(index))) = &index.node else { return None };
    let field = field_of(&row.data_type.kind, usize::try_from(*index).ok()?).filter(|_| function == "FIELD")?;
    Some(named(expression(row, columns), &field.name))
}
