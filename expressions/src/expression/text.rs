//! Expressions as errors name them.
use arrow::datatypes::Schema;
use datafusion_common::ScalarValue;
use wiesel_common::quote::quote;

use super::{Expression, Node};

/// Bytes of an expression that are shown, at most.
const MAX_TEXT: usize = 200;
/// Bytes of a constant byte string that are shown, at most.
const MAX_BYTES: usize = 16;

/// An expression over the columns of `input`, as in `+(CAST(i AS DECIMAL(3, 1)), 1)`; of a long one the beginning.
pub fn expression_text(expression: &Expression, input: &Schema) -> String {
    let mut text = String::new();
    write(expression, input, &mut text);
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push_str("...");
    }
    text
}

/// Writes no more than it must: each level writes something, so that this also ends soon where an expression is deep.
fn write(expression: &Expression, input: &Schema, text: &mut String) {
    match &expression.node {
        Node::Input(index) => match input.fields().get(*index) {
            Some(field) => text.push_str(field.name()),
            None => text.push_str(&format!("${index}")),
        },
        Node::Literal(value) => write_constant(value, text),
        Node::Call { function, operands } => {
            text.push_str(function);
            text.push('(');
            for (position, operand) in operands.iter().enumerate() {
                if text.len() > MAX_TEXT {
                    return;
                }
                if position > 0 {
                    text.push_str(", ");
                }
                write(operand, input, text);
            }
            if matches!(function.as_str(), "CAST" | "TRY_CAST") {
                text.push_str(&format!(" AS {}", expression.data_type.kind));
            }
            text.push(')');
        }
    }
}

fn write_constant(value: &ScalarValue, text: &mut String) {
    match value {
        value if value.is_null() => text.push_str("NULL"),
        ScalarValue::Utf8View(Some(constant)) => text.push_str(&format!("'{}'", quote(constant))),
        ScalarValue::BinaryView(Some(bytes)) => {
            let digits: String = bytes.iter().take(MAX_BYTES).map(|byte| format!("{byte:02X}")).collect();
            text.push_str(&format!("X'{digits}'"));
        }
        value if value.data_type().is_nested() => text.push_str("a constant"),
        value => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::types::TypeKind;

    #[test]
    fn an_expression_is_shown_by_its_beginning() {
        let input = Schema::new(vec![Field::new("i", DataType::Int32, false)]);
        let column = Expression::input(0, TypeKind::Int.not_null());
        let number = Expression::literal(ScalarValue::Int32(Some(7)), TypeKind::Int.not_null());
        let text = Expression::literal(ScalarValue::Utf8View(Some("it".into())), TypeKind::string().not_null());
        let cast = Expression::call("CAST", vec![column], TypeKind::Decimal(3, 1).not_null());
        let call = Expression::call("F", vec![cast.clone(), number, text], TypeKind::Int.not_null());
        assert_eq!(expression_text(&call, &input), "F(CAST(i AS DECIMAL(3, 1)), 7, 'it')");
        let deep = (0..1_000).fold(cast, |below, _| Expression::call("NEG", vec![below], TypeKind::Int.not_null()));
        let shown = expression_text(&deep, &input);
        assert!(shown.starts_with("NEG(NEG(") && shown.ends_with("...") && shown.len() < 210, "{shown}");
    }
}
