//! Casts of strings and bytes to BINARY and VARBINARY.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder};

use super::{Cast, identity};
use crate::types::{MAX_LENGTH, TypeKind};

/// A cast to BINARY or VARBINARY: cuts what is too long, fills a BINARY with zeros.
pub(super) fn cast(from: &TypeKind, to: &TypeKind) -> Option<Cast> {
    let (length, pad) = match to {
        TypeKind::Binary(length) => (*length as usize, *length < MAX_LENGTH),
        TypeKind::Varbinary(length) => (*length as usize, false),
        _ => return None,
    };
    let text = matches!(from, TypeKind::Char(_) | TypeKind::Varchar(_));
    if from == to {
        return Some(identity());
    }
    Some(Box::new(move |array| {
        let bytes = if text { array.as_string_view().clone().to_binary_view() } else { array.as_binary_view().clone() };
        if length == MAX_LENGTH as usize {
            return Ok(Arc::new(bytes));
        }
        let mut builder = BinaryViewBuilder::with_capacity(bytes.len());
        let mut buffer = Vec::with_capacity(if pad { length } else { 0 });
        for row in 0..bytes.len() {
            if bytes.is_null(row) {
                builder.append_null();
                continue;
            }
            let value = bytes.value(row);
            let value = &value[..value.len().min(length)];
            if pad && value.len() < length {
                buffer.clear();
                buffer.extend_from_slice(value);
                buffer.resize(length, 0);
                builder.append_value(&buffer);
            } else {
                builder.append_value(value);
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    }))
}
