//! What is wrong with a statement, and where.
use std::fmt;

use wiesel_common::quote;

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
    /// The text is no statement. The message says where.
    #[error("SQL parse failed. {message}")]
    Parse {
        /// What was found, where, and what was expected.
        message: String,
        /// Where.
        location: Option<Location>,
    },
    /// A name, a type or a call that does not fit.
    #[error("SQL validation failed. {}{message}", at(.location))]
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
    #[error("Not supported yet. {}{message}", at(.location))]
    Unsupported {
        /// What.
        message: String,
        /// Where.
        location: Option<Location>,
    },
}

impl Error {
    /// A name, a type or a call that does not fit.
    pub fn validation(message: impl Into<String>, location: Option<Location>) -> Self {
        Self::Validation { message: quote::message(message), location }
    }

    /// Flink SQL that this version does not run.
    pub fn unsupported(message: impl Into<String>, location: Option<Location>) -> Self {
        Self::Unsupported { message: quote::message(message), location }
    }

    /// What is wrong, without the class of the error and without the place unless the message itself names it.
    pub fn message(&self) -> &str {
        match self {
            Self::Parse { message, .. } | Self::Validation { message, .. } | Self::Unsupported { message, .. } => {
                message
            }
            Self::Option(message) => message,
        }
    }

    /// Where, if known.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Parse { location, .. } | Self::Validation { location, .. } | Self::Unsupported { location, .. } => {
                *location
            }
            Self::Option(_) => None,
        }
    }

    /// The same error at this place, if it has none.
    pub(crate) fn or_at(mut self, place: Option<Location>) -> Self {
        match &mut self {
            Self::Validation { location, .. } | Self::Unsupported { location, .. } if location.is_none() => {
                *location = place;
            }
            _ => {}
        }
        self
    }
}

fn at(location: &Option<Location>) -> String {
    location.map_or_else(String::new, |location| format!("At {location}: "))
}

/// The outcome of a step of planning.
pub type Result<T, E = Error> = std::result::Result<T, E>;
