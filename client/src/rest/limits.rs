//! What an answer may take. Whatever has the JobManager's port may send without end, or nothing at all.
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::root_cause;

/// Bytes of an answer, at most. The longest that a JobManager gives are the plans of large scripts and the details of large jobs;
/// rows come in batches of a few megabytes.
const LARGEST: usize = 256 << 20;

/// What an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes.
    pub bytes: usize,
    /// How long nothing may come; none: the call waits for what may take any time.
    pub silence: Option<Duration>,
}

impl Limits {
    pub fn new(silence: Duration) -> Self {
        Self { bytes: LARGEST, silence: Some(silence) }
    }

    /// Of a call that the JobManager may take so much longer to answer.
    pub fn longer(self, by: Duration) -> Self {
        Self { silence: self.silence.map(|silence| silence.saturating_add(by)), ..self }
    }

    /// Of a call that the JobManager answers when it has done what may take any time.
    pub fn waiting(self) -> Self {
        Self { silence: None, ..self }
    }

    /// Waits for the next thing to come.
    pub async fn next<T>(self, coming: impl Future<Output = T>) -> Result<T, Missing> {
        match self.silence {
            None => Ok(coming.await),
            Some(silence) => timeout(silence, coming).await.map_err(|_| Missing::Silent(silence)),
        }
    }

    /// The same where nothing has come since then.
    pub async fn next_since<T>(self, since: Instant, coming: impl Future<Output = T>) -> Result<T, Missing> {
        match self.silence.and_then(|silence| Some((silence, since.checked_add(silence)?))) {
            None => Ok(coming.await),
            Some((silence, until)) => timeout_at(until, coming).await.map_err(|_| Missing::Silent(silence)),
        }
    }

    /// Adds a part of an answer to those before it.
    pub fn add(self, answer: &mut Vec<u8>, part: &[u8]) -> Result<(), Missing> {
        if part.len() > self.bytes.saturating_sub(answer.len()) {
            return Err(Missing::TooLong(self.bytes));
        }
        answer.extend_from_slice(part);
        Ok(())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Missing {
    /// Why there is no connection.
    Unreachable(String),
    /// How the connection ended after the call had begun.
    Broken(String),
    /// For so long nothing came.
    Silent(Duration),
    /// It has more than so many bytes.
    TooLong(usize),
}

impl From<reqwest::Error> for Missing {
    fn from(error: reqwest::Error) -> Self {
        let begun = !error.is_connect() && !error.is_builder();
        let reason = root_cause(&error);
        if begun { Self::Broken(reason) } else { Self::Unreachable(reason) }
    }
}

impl From<hyper::Error> for Missing {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(root_cause(&error))
    }
}
