//! What is wrong with a statement, and where.
use std::fmt;

/// A place in a script, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a statement cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no statement.
    #[error("SQL parse failed{}: {message}", at(.location))]
    Parse {
        /// What was found and what was expected.
        message: String,
        /// Where.
        location: Option<Location>,
    },
    /// A name, a type or a call that does not fit.
    #[error("SQL validation failed{}: {message}", at(.location))]
    Validation {
        /// What does not fit, with the nearest name if one is near.
        message: String,
        /// Where.
        location: Option<Location>,
    },
    /// A table's options.
    #[error("{0}")]
    Option(String),
    /// Flink SQL that this version does not run.
    #[error("not supported{}: {message}", at(.location))]
    Unsupported {
        /// What.
        message: String,
        /// Where.
        location: Option<Location>,
    },
}

fn at(location: &Option<Location>) -> String {
    location.map_or_else(String::new, |location| format!(" at {location}"))
}

/// The outcome of a step of planning.
pub type Result<T, E = Error> = std::result::Result<T, E>;
