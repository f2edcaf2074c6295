//! SET and RESET, and the keys that a job takes along.
use std::collections::BTreeMap;

use wiesel_common::config::{ConfigOption, Configuration, HIDDEN, is_secret, options};
use wiesel_common::quote::MAX_JOB_NAME;
use wiesel_expressions::expression::Zone;
use wiesel_expressions::types::{RowField, TypeKind};

use super::{Outcome, Session};
use crate::error::{Error, Result};
use crate::planner::Context;

/// What a job is called.
pub(super) const PIPELINE_NAME: ConfigOption<String> = ConfigOption::new("pipeline.name");
/// Keys of processes, not of jobs: what a client is configured with for itself is not sent.
const OF_PROCESSES: [&str; 24] = [
    "akka.",
    "blob.",
    "classloader.",
    "client.",
    "cluster.",
    "containerized.",
    "env.",
    "fs.",
    "heartbeat.",
    "high-availability",
    "historyserver.",
    "io.tmp",
    "jobmanager.",
    "jobstore.",
    "kubernetes.",
    "logger.",
    "metrics.",
    "pekko.",
    "process.",
    "rest.",
    "rootLogger.",
    "sql-",
    "web.",
    "yarn.",
];

/// What opens a store or a cluster: each process has its own, and a job's configuration can be read by whoever asks for it.
const OF_CREDENTIALS: [&str; 5] = ["fs.s3a.", "presto.s3.", "s3.", "s3a.", "security."];

/// How keys begin that begin like those of processes, and that are read for each job or by its client.
const OF_JOBS_TOO: [&str; 9] = [
    "client.heartbeat.",
    "fs.default-",
    "io.tmp.",
    "jobmanager.execution.",
    "jobmanager.web.checkpoints.",
    "sql-client.",
    "taskmanager.tmp.",
    "web.checkpoints.",
    "web.exception-history-",
];

/// Whether a key changes nothing where it is SET, because processes alone read it, when they start. Where its jobs run is what a client
/// knows before its first statement.
pub fn is_of_processes(key: &str) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let of_process =
        begins(&OF_PROCESSES) || begins(&[options::client::TARGET.key(), "task.cancellation.", "taskmanager."]);
    begins(&OF_CREDENTIALS) || (of_process && !begins(&OF_JOBS_TOO))
}

/// Whether a key of a client's configuration goes with the jobs that it submits. `was_set`: for this very session or run,
/// by SET or on the command line, so that the user means the job.
pub fn goes_with_jobs(key: &str, was_set: bool) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let of_process =
        begins(&OF_PROCESSES) || (key.starts_with("taskmanager.") && !key.starts_with("taskmanager.network."));
    !is_secret(key) && !begins(&OF_CREDENTIALS) && (was_set || !of_process)
}

impl Session {
    pub(super) fn set(&mut self, setting: Option<&(String, Option<String>)>) -> Result<Outcome> {
        match setting {
            Some((key, Some(value))) => {
                check(key, value)?;
                self.configuration.set(key.clone(), value.clone());
                Ok(Outcome::Done)
            }
            Some((key, None)) => Ok(self.settings(Some(key))),
            None => Ok(self.settings(None)),
        }
    }

    pub(super) fn reset(&mut self, key: Option<&str>) -> Result<Outcome> {
        match key {
            None => self.configuration = self.base.clone(),
            Some(key) => match self.base.get_raw(key) {
                Some(value) => self.configuration.set(key, value.to_owned()),
                None => {
                    self.configuration.remove(key);
                }
            },
        }
        Ok(Outcome::Done)
    }

    fn settings(&self, wanted: Option<&str>) -> Outcome {
        let string = TypeKind::string().not_null();
        let shown = |key: &str, value: &str| if is_secret(key) { HIDDEN.to_owned() } else { value.to_owned() };
        let chosen = self.configuration.iter().filter(|(key, _)| wanted.is_none_or(|wanted| wanted == *key));
        let rows = chosen.map(|(key, value)| vec![Some(key.to_owned()), Some(shown(key, value))]).collect();
        Outcome::Rows { fields: vec![RowField::new("key", string.clone()), RowField::new("value", string)], rows }
    }

    /// The keys that a job takes along.
    pub(super) fn job_configuration(&self) -> BTreeMap<String, String> {
        let was_set = |key: &str, value: &str| self.base.get_raw(key) != Some(value);
        let taken = self.configuration.iter().filter(|(key, value)| goes_with_jobs(key, was_set(key, value)));
        taken.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// Refuses a bad value where it is written, not at the next query or by the JobManager.
fn check(key: &str, value: &str) -> Result<()> {
    if key == PIPELINE_NAME.key() && value.len() > MAX_JOB_NAME {
        let bytes = value.len();
        let message = format!("'{key}' has {bytes} bytes: the name of a job may have at most {MAX_JOB_NAME}.");
        return Err(Error::validation(message, None));
    }
    let mut alone = Configuration::default();
    alone.set(key, value);
    Context::new(&alone, Zone::UTC)?;
    options::check(&alone)?;
    Ok(())
}
