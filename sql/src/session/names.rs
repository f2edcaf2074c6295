//! Names in statements.
use sqlparser::ast::ObjectName;

use super::Session;
use crate::catalog::ObjectIdentifier;
use crate::error::{Error, Location, Place, Result};

/// The parts of a name.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    let part = |part: &sqlparser::ast::ObjectNamePart| match part.as_ident() {
        Some(ident) => ident.value.clone(),
        None => part.to_string(),
    };
    name.0.iter().map(part).collect()
}

/// Where a name begins.
pub(super) fn place(name: &ObjectName) -> Option<Place> {
    let start = name.0.first()?.as_ident()?.span.start;
    (start.line > 0).then(|| Place::starting(Location { line: start.line, column: start.column }))
}

impl Session {
    /// The full name that a statement means.
    pub(super) fn identifier(&self, name: &ObjectName) -> Result<ObjectIdentifier> {
        self.catalog.qualify(&parts(name)).ok_or_else(|| {
            Error::validation(format!("'{name}' is no name of the form [[catalog.]database.]object"), place(name))
        })
    }
}
