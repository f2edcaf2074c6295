//! Why an expression failed.
use wiesel_common::ending::ToldToEnd;
use wiesel_common::quote;

/// Why an expression could not be compiled or evaluated. An operator's error has the same variants, and those of what else an
/// operator does.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that the query cannot work with: division by zero, a failed cast, a null where none is allowed.
    #[error("{message}")]
    Data {
        /// The class that Flink names, such as `java.lang.ArithmeticException`.
        class: &'static str,
        /// What happened, and to which value.
        message: String,
    },
    /// More came of the rows of a batch than is made at once: the caller cuts the batch.
    #[error("the values made of a batch have more bytes than it may have")]
    OverBudget,
    /// A kernel refused its input.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// An expression could not be evaluated.
    #[error(transparent)]
    Expression(#[from] datafusion_common::DataFusionError),
    /// The plan asks for what no expression does.
    #[error("{0}")]
    Plan(String),
    /// The task is being cancelled.
    #[error("the task was cancelled")]
    Cancelled,
}

impl Error {
    /// A [`Error::Data`].
    pub fn data(class: &'static str, message: impl Into<String>) -> Self {
        Self::Data { class, message: quote::message(message) }
    }
}

impl From<ToldToEnd> for Error {
    fn from(_: ToldToEnd) -> Self {
        Self::Cancelled
    }
}

/// The outcome of compiling or evaluating an expression.
pub type Result<T, E = Error> = std::result::Result<T, E>;
