//! Waiting for what the JobManager works on.
use std::time::{Duration, Instant};

use serde_json::Value;
use wiesel_common::id::JobId;
use wiesel_common::logging::in_one_line;

use super::Failure;
use crate::progress::Progress;
use crate::rest::{Operation, OperationEnd, RestClient};

/// The first pause between two questions; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A wait that is longer shows how it gets on.
const LONG: Duration = Duration::from_secs(1);

/// Waits for the end of an operation, on a terminal with a line that says how far it is. Fails with `what` as the outer
/// cause.
pub(crate) async fn wait(
    client: &RestClient,
    job: Option<JobId>,
    operation: &Operation,
    what: &str,
) -> Result<Value, Failure> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut progress = Progress::new();
    loop {
        let outcome = client.outcome(operation).await;
        let outcome = outcome.map_err(|error| {
            anyhow::anyhow!("{what}\nThe outcome of operation {} is unknown: {error}", in_one_line(&operation.id))
        })?;
        match outcome {
            Some(OperationEnd::Done(result)) => return Ok(result),
            Some(OperationEnd::Failed(cause)) => anyhow::bail!("{what}\nCaused by: {cause}"),
            None => {}
        }
        if let Some(job) = job
            && began.elapsed() > LONG
        {
            progress.checkpoint(client, job, began.elapsed()).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for a savepoint; its path.
pub(crate) async fn wait_for_savepoint(
    client: &RestClient,
    job: JobId,
    operation: &Operation,
    what: &str,
) -> Result<String, Failure> {
    let result = wait(client, Some(job), operation, what).await?;
    let location = result["location"].as_str().map(str::to_owned);
    location.ok_or_else(|| anyhow::anyhow!("{what}\nThe JobManager named no path: {result}"))
}
