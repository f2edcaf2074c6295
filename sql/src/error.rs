//! What is wrong with a statement, and where.
use std::fmt;

use wiesel_common::config::ConfigError;
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

/// The part of a script that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first character.
    pub start: Location,
    /// Its last character, if that is known.
    pub end: Option<Location>,
}

impl Place {
    /// What begins here; where it ends is not known.
    pub(crate) fn starting(start: Location) -> Self {
        Self { start, end: None }
    }

    /// From the beginning of one part to the end of another. The end is known if both parts are known to their ends: of what
    /// has no known end the beginning may be that of a part of it.
    pub(crate) fn between(first: Option<Self>, last: Option<Self>) -> Option<Self> {
        match (first, last) {
            (Some(first), Some(last)) => Some(Self { start: first.start, end: first.end.and(last.end) }),
            (first, last) => first.or(last).map(|known| Self::starting(known.start)),
        }
    }
}

/// As Flink says it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) if end != self.start => write!(f, "From {} to {end}", self.start),
            _ => write!(f, "At {}", self.start),
        }
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
        location: Option<Place>,
    },
    /// A table's options.
    #[error("{0}")]
    Option(String),
    /// Nobody waits for it any more, or not for so long: see [`while_wanted`](crate::while_wanted).
    #[error("{0}")]
    Abandoned(String),
    /// Flink SQL that this version does not run.
    #[error("Not supported yet. {}{message}", at(.location))]
    Unsupported {
        /// What.
        message: String,
        /// Where.
        location: Option<Place>,
    },
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Option(error.to_string())
    }
}

impl Error {
    /// A name, a type or a call that does not fit.
    pub fn validation(message: impl Into<String>, location: Option<Place>) -> Self {
        Self::Validation { message: quote::message(message), location }
    }

    /// Flink SQL that this version does not run.
    pub fn unsupported(message: impl Into<String>, location: Option<Place>) -> Self {
        Self::Unsupported { message: quote::message(message), location }
    }

    /// What is wrong, without the class of the error and without the place unless the message itself names it.
    pub fn message(&self) -> &str {
        match self {
            Self::Parse { message, .. } | Self::Validation { message, .. } | Self::Unsupported { message, .. } => {
                message
            }
            Self::Option(message) | Self::Abandoned(message) => message,
        }
    }

    /// Where what it is about begins, if known.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Parse { location, .. } => *location,
            Self::Validation { location, .. } | Self::Unsupported { location, .. } => location.map(|place| place.start),
            Self::Option(_) | Self::Abandoned(_) => None,
        }
    }

    /// The same error at another place: that of a view's name, where its own is in the text that made the view.
    pub(crate) fn moved_to(mut self, place: Option<Place>) -> Self {
        if let Self::Validation { location, .. } | Self::Unsupported { location, .. } = &mut self {
            *location = place;
        }
        self
    }

    /// The same error at this place, if it has none.
    pub(crate) fn or_at(mut self, place: Option<Place>) -> Self {
        match &mut self {
            Self::Validation { location, .. } | Self::Unsupported { location, .. } if location.is_none() => {
                *location = place;
            }
            _ => {}
        }
        self
    }
}

fn at(place: &Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}

/// The outcome of a step of planning.
pub type Result<T, E = Error> = std::result::Result<T, E>;
