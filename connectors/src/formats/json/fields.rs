//! The names inside a type, and where an object has them.
use std::collections::HashMap;

use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use super::scan::{Scanned, Value, for_each_field, unescape};

/// The fields of a ROW, or what is inside an ARRAY, a MAP or a MULTISET.
#[derive(Debug, Default)]
pub(super) struct Fields {
    names: Vec<String>,
    positions: HashMap<Vec<u8>, usize>,
    children: Vec<Fields>,
}

impl Fields {
    pub(super) fn new<'a>(fields: impl Iterator<Item = &'a RowField>) -> Self {
        let mut found = Self::default();
        for (position, field) in fields.enumerate() {
            found.names.push(field.name.clone());
            found.positions.insert(field.name.clone().into_bytes(), position);
            found.children.push(Self::of(&field.data_type));
        }
        found
    }

    fn of(data_type: &LogicalType) -> Self {
        let plain = |children: &[&LogicalType]| Self {
            children: children.iter().map(|child| Self::of(child)).collect(),
            ..Self::default()
        };
        match &data_type.kind {
            TypeKind::Row(fields) => Self::new(fields.iter()),
            TypeKind::Array(element) => plain(&[element]),
            TypeKind::Map(key, value) => plain(&[key, value]),
            TypeKind::Multiset(element) => plain(&[element, &TypeKind::Int.not_null()]),
            _ => Self::default(),
        }
    }

    /// What is inside a field or an element.
    pub(super) fn child(&self, position: usize) -> &Fields {
        static NONE: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(Fields::default);
        self.children.get(position).unwrap_or(&NONE)
    }

    pub(super) fn name(&self, position: usize) -> &str {
        self.names.get(position).map_or("", String::as_str)
    }

    /// The values of the fields in an object; of those with the same name the last. With the parser, looking ends with as many
    /// as there are names, and a name that comes twice counts twice.
    pub(super) fn find<'a>(
        &self,
        object: &'a [u8],
        parser: bool,
        scratch: &mut Vec<u8>,
    ) -> Scanned<Vec<Option<Value<'a>>>> {
        let mut found = vec![None; self.names.len()];
        let mut left = if parser { found.len() } else { usize::MAX };
        // Objects of one stream mostly hold their fields in the order of the table.
        let mut expected = 0;
        for_each_field(object, |name, value| {
            if left == 0 {
                return Ok(());
            }
            let name = unescape(name, scratch)?;
            let position = match self.names.get(expected) {
                Some(next) if next.as_bytes() == name => Some(expected),
                _ => self.positions.get(name).copied(),
            };
            if let Some(position) = position {
                found[position] = Some(value);
                expected = position + 1;
                left -= 1;
            }
            Ok(())
        })?;
        Ok(found)
    }
}
