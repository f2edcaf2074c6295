//! What an operator gives, in terms of tables: which rows, and what each of their columns holds.
use std::collections::BTreeSet;

use wiesel_expressions::types::{RowField, TypeKind};

use super::digest::{Digest, Id};
use crate::catalog::ObjectIdentifier;

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

/// The name of a table, as no other table has it: parts with a dot in them are quoted.
pub(crate) fn table_name(table: &ObjectIdentifier) -> String {
    let parts = [&table.catalog, &table.database, &table.object];
    match parts.iter().any(|part| part.contains(['.', '`'])) {
        true => parts.map(|part| format!("`{}`", part.replace('`', "``"))).join("."),
        false => table.to_string(),
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
    kind.fields()?.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: they had the same name, and with it each other's state.
    #[test]
    fn a_dot_in_a_name_does_not_make_it_that_of_another_table() {
        let name = |database: &str, object: &str| {
            let [catalog, database, object] = ["default_catalog", database, object].map(str::to_owned);
            table_name(&ObjectIdentifier { catalog, database, object })
        };
        assert_eq!(name("shop", "orders"), "default_catalog.shop.orders");
        assert_eq!(name("shop.old", "orders"), "`default_catalog`.`shop.old`.`orders`");
        assert_ne!(name("shop.old", "orders"), name("shop", "old.orders"));
        assert_ne!(name("a`.`b", "c"), name("a", "b`.`c"));
    }
}
