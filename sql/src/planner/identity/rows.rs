//! What an operator gives, in terms of tables: which rows, and what each of their columns holds.
use std::collections::BTreeSet;

use wiesel_operators::types::{RowField, TypeKind};

use super::digest::{Digest, Id};

/// Which rows there are, whatever columns they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub of: Id,
    /// Conditions that they meet, wherever they are checked.
    pub conditions: BTreeSet<Id>,
}

impl Rows {
    pub fn all(of: Id) -> Self {
        Self { of, conditions: BTreeSet::new() }
    }

    pub fn id(&self) -> Id {
        match self.conditions.is_empty() {
            true => self.of,
            false => Digest::new("where").id(self.of).ids(self.conditions.iter().copied()).finish(),
        }
    }
}

/// What an operator gives.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub rows: Rows,
    pub columns: Vec<Id>,
}

impl Identity {
    /// The beginning of the uid of an operator that is known by all that it gives.
    pub fn digest(&self, operator: &str) -> Digest {
        Digest::new(operator).id(self.rows.id()).ids(self.columns.iter().copied())
    }
}

/// A field of a row, by its name: where it stands does not matter.
pub(crate) fn named(of: Id, name: &str) -> Id {
    Digest::new("field").id(of).text(name).finish()
}

/// A column of rows, by its place.
pub(crate) fn column(of: Id, at: i64) -> Id {
    Digest::new("column").id(of).number(at).finish()
}

/// A field of a type.
pub(crate) fn field_of(kind: &TypeKind, index: usize) -> Option<&RowField> {
    match kind {
        TypeKind::Row(fields) => fields.get(index),
        _ => None,
    }
}
