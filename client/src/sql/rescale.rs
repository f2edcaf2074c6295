//! For tests of restores: a job is stopped with a savepoint soon after it runs and goes on from it at another parallelism.
use std::time::Duration;

use anyhow::Context as _;
use wiesel_common::config::options::{checkpointing, job};
use wiesel_common::id::JobId;
use wiesel_sql::ast::LocatedStatement;
use wiesel_sql::parser;
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

use crate::cli::Failure;
use crate::rest::{OperationEnd, RestClient};

const PAUSE: Duration = Duration::from_millis(10);

/// How a job was stopped.
pub(super) struct Stopped {
    /// With which savepoint.
    pub savepoint: String,
    /// The job failed once the savepoint was complete.
    pub failed: bool,
}

/// Stops a job with a savepoint; none: it ended before.
pub(super) async fn interrupt(client: &RestClient, job: JobId) -> Result<Option<Stopped>, Failure> {
    loop {
        if client.execution_result(job).await?.end().is_some() {
            return Ok(None);
        }
        if client.all_tasks_run(job).await? {
            let operation = client.trigger_stop(job, None, false, "CANONICAL").await?;
            let end = loop {
                match client.outcome(&operation).await? {
                    Some(end) => break end,
                    None => tokio::time::sleep(PAUSE).await,
                }
            };
            match end {
                OperationEnd::Done(result) => {
                    let location = result["location"].as_str().context("a savepoint without a location")?;
                    return Ok(Some(Stopped { savepoint: location.to_owned(), failed: false }));
                }
                OperationEnd::Failed(cause) => {
                    if let Some(savepoint) = complete_savepoint(&cause) {
                        return Ok(Some(Stopped { savepoint: savepoint.to_owned(), failed: true }));
                    }
                    // A task may have ended just then: as long as the job runs it is tried again.
                    eprintln!("job {job} could not be stopped: {}", cause.lines().next().unwrap_or_default());
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The savepoint that a job names that failed while it stopped: another job goes on from there.
fn complete_savepoint(failure: &str) -> Option<&str> {
    let (_, rest) = failure.split_once("A savepoint has been created at: ")?;
    rest.split_once(", but the corresponding job").map(|(path, _)| path)
}

/// The job of a statement again, starting from a savepoint at another parallelism.
pub(super) fn again(
    session: &mut Session,
    statement: &LocatedStatement,
    savepoint: &str,
    parallelism: u32,
) -> Result<Outcome, Failure> {
    let changes =
        [(job::PARALLELISM.key(), parallelism.to_string()), (checkpointing::RESTORE_PATH.key(), savepoint.to_owned())];
    let before = changes.each_ref().map(|(key, _)| session.configuration().get_raw(key).map(str::to_owned));
    for (key, value) in &changes {
        run(session, &format!("SET '{key}' = '{value}'"))?;
    }
    let outcome = session.execute(statement, &ExecuteOptions { as_strings: true, ..Default::default() });
    for ((key, _), before) in changes.iter().zip(before) {
        match before {
            Some(value) => run(session, &format!("SET '{key}' = '{value}'"))?,
            None => run(session, &format!("RESET '{key}'"))?,
        }
    }
    Ok(outcome?)
}

fn run(session: &mut Session, text: &str) -> Result<(), Failure> {
    for statement in parser::parse(text)? {
        session.execute(&statement, &ExecuteOptions::default())?;
    }
    Ok(())
}
