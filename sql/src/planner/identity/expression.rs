//! What an expression gives.
use datafusion_common::ScalarValue;
use prost::Message;
use wiesel_expressions::expression::literal_to_proto;
use wiesel_expressions::types::LogicalType;
use wiesel_proto as proto;

use super::digest::{Digest, Id};
use super::rows::{column, field_of, named};
use crate::rex::{Expression, Node};

/// What an expression gives over columns. A column is what it is under any name and any nullability.
pub(crate) fn expression(of: &Expression, columns: &[Id]) -> Id {
    match &of.node {
        Node::Input(index) => columns.get(*index).copied().unwrap_or_else(|| column([0; 16], *index as i64)),
        Node::Literal(value) => literal(value, &of.data_type),
        Node::Call { function, operands } => {
            if let Some(id) = field(function, operands, columns) {
                return id;
            }
            let digest = Digest::new("function").text(function).text(&of.data_type.kind.to_string());
            digest.ids(operands.iter().map(|operand| expression(operand, columns))).finish()
        }
        // No operator has one of these: they cannot be lowered.
        Node::Aggregate(_) | Node::Correlated { .. } | Node::Over(_) | Node::Subquery(_) => {
            Digest::new("none").finish()
        }
    }
}

/// A constant, by its message without its own type, of which the nullability does not matter. No library's text of it is used:
/// that may change with the library, and need not tell all constants apart.
fn literal(value: &ScalarValue, data_type: &LogicalType) -> Id {
    let message = proto::Literal { r#type: None, ..literal_to_proto(value, data_type) };
    Digest::new("literal").text(&data_type.kind.to_string()).bytes(&message.encode_to_vec()).finish()
}

/// A field of a row is the same whether the source reads it alone or it is taken out of the whole row.
fn field(function: &str, operands: &[Expression], columns: &[Id]) -> Option<Id> {
    let [row, index] = operands else { return None };
    let Node::Literal(ScalarValue::Int32(Some(index))) = &index.node else { return None };
    let field = field_of(&row.data_type.kind, usize::try_from(*index).ok()?).filter(|_| function == "FIELD")?;
    Some(named(expression(row, columns), &field.name))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use wiesel_expressions::types::TypeKind;

    use super::*;

    /// Failed before: the texts of these lists are equal, so a changed constant in a condition kept the state of the former one.
    #[test]
    fn constants_that_only_look_alike_are_told_apart() {
        let list = |texts: &[Option<&str>]| {
            let texts: Vec<_> = texts.iter().map(|text| ScalarValue::Utf8View(text.map(str::to_owned))).collect();
            let list = ScalarValue::List(ScalarValue::new_list_nullable(&texts, &DataType::Utf8View));
            literal(&list, &TypeKind::Array(Box::new(TypeKind::string().nullable())).not_null())
        };
        assert_ne!(list(&[Some(""), None]), list(&[None, Some("")]));
        assert_ne!(list(&[Some("a, b")]), list(&[Some("a"), Some("b")]));
        assert_eq!(list(&[Some("a"), None]), list(&[Some("a"), None]));
    }

    #[test]
    fn a_constant_is_the_same_whether_or_not_it_may_be_null() {
        let five = ScalarValue::Int32(Some(5));
        assert_eq!(literal(&five, &TypeKind::Int.nullable()), literal(&five, &TypeKind::Int.not_null()));
        assert_ne!(literal(&five, &TypeKind::Int.nullable()), literal(&five, &TypeKind::Bigint.nullable()));
    }
}
