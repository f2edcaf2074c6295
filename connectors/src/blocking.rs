//! How the thread of a task, or of an enumerator, waits for what is done in the background: it asks whether it is to end.
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Handle;
use wiesel_common::ending;
use wiesel_operators::operator::{Error, Result};

/// How long a thread that was told to end may wait before it knows.
const ASK: Duration = Duration::from_millis(100);

/// Waits for an outcome.
///
/// # Errors
/// [`Error::Cancelled`]: the thread is to end; what it waited for is dropped.
pub(crate) fn wait<T>(runtime: &Handle, work: impl Future<Output = T>) -> Result<T> {
    runtime.block_on(async {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(ASK, work.as_mut()).await {
                Ok(outcome) => return Ok::<T, Error>(outcome),
                Err(_) => ending::check()?,
            }
        }
    })
}

/// Waits for a while.
pub(crate) fn pause(runtime: &Handle, pause: Duration) -> Result<()> {
    wait(runtime, async move { tokio::time::sleep(pause).await })
}
