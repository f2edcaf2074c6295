//! Values made of others: `ARRAY[…]`, `MAP[…]`, `ROW(…)`.
use wiesel_expressions::types::{RowField, TypeKind};

use super::common_type::common_type;
use super::{cast, operators, refuse_untyped_null, type_too_deep};
use crate::error::{Error, Result};
use crate::parser::types::MAX_DEPTH;
use crate::rex::Expression;

/// `ARRAY[…]`.
pub(crate) fn array(elements: Vec<Expression>) -> Result<Expression> {
    let common = common_type(elements.iter().map(|element| &element.data_type));
    let Some(common) = common.filter(|common| common.kind != TypeKind::Null) else {
        let message =
            if elements.is_empty() { "Require at least 1 argument" } else { "Parameters must be of the same type" };
        return Err(Error::validation(message, None));
    };
    let elements = elements.into_iter().map(|element| cast::cast_to(element, &common.kind)).collect();
    constructed("ARRAY", elements, TypeKind::Array(Box::new(common)))
}

/// `ROW(…)`.
pub(crate) fn row(items: Vec<Expression>) -> Result<Expression> {
    refuse_untyped_null(&items)?;
    let fields = items.iter().enumerate().map(|(i, item)| RowField::new(format!("EXPR${i}"), item.data_type.clone()));
    let kind = TypeKind::Row(fields.collect());
    constructed("ROW", items, kind)
}

/// `MAP[key, value, …]`.
pub(crate) fn map(items: Vec<Expression>) -> Result<Expression> {
    if items.is_empty() || !items.len().is_multiple_of(2) {
        return Err(Error::validation("Map requires an even number of arguments", None));
    }
    // To Flink a NULL is of the type of the first key, whether it stands for a key or a value.
    let first = items[0].data_type.kind.clone();
    let items: Vec<Expression> = items.into_iter().map(|item| operators::cast_null(item, &first)).collect();
    let common = |skipped: usize| {
        let common = common_type(items.iter().skip(skipped).step_by(2).map(|item| &item.data_type));
        common.filter(|common| common.kind != TypeKind::Null)
    };
    let (Some(key), Some(value)) = (common(0), common(1)) else {
        return Err(Error::validation("Parameters must be of the same type", None));
    };
    let kinds = [key.kind.clone(), value.kind.clone()];
    let items = items.into_iter().enumerate().map(|(i, item)| cast::cast_to(item, &kinds[i % 2])).collect();
    constructed("MAP", items, TypeKind::Map(Box::new(key), Box::new(value)))
}

/// What an ARRAY, MAP or ROW is made of as one. A type that is too deep is refused here already: each level has the types of
/// all below, and what is made of the value may have nothing left of it that a check of the plan would see.
fn constructed(constructor: &str, items: Vec<Expression>, kind: TypeKind) -> Result<Expression> {
    let data_type = kind.not_null();
    if data_type.depth() > MAX_DEPTH {
        return Err(type_too_deep("an expression"));
    }
    Ok(Expression::call(constructor, items, data_type))
}
