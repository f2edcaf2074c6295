//! SET and RESET, and the keys that a job takes along.
use std::collections::BTreeMap;

use wiesel_common::config::{HIDDEN, is_secret};
use wiesel_common::quote::MAX_JOB_NAME;
use wiesel_operators::types::{RowField, TypeKind};

use super::{Outcome, Session};
use crate::error::{Error, Result};
use crate::planner::Context;

/// What a job is called.
pub(super) const PIPELINE_NAME: &str = "pipeline.name";
/// Keys of processes, not of jobs: what a client has set for itself is not sent.
const OF_PROCESSES: [&str; 18] = [
    "blob.",
    "classloader.",
    "client.",
    "cluster.",
    "containerized.",
    "env.",
    "fs.",
    "high-availability",
    "historyserver.",
    "io.tmp",
    "jobmanager.",
    "kubernetes.",
    "metrics.",
    "process.",
    "rest.",
    "security.",
    "sql-",
    "web.",
];

impl Session {
    pub(super) fn set(&mut self, setting: Option<&(String, Option<String>)>) -> Result<Outcome> {
        match setting {
            Some((key, Some(value))) => {
                if key == PIPELINE_NAME && value.len() > MAX_JOB_NAME {
                    let bytes = value.len();
                    let message =
                        format!("'{key}' has {bytes} bytes: the name of a job may have at most {MAX_JOB_NAME}.");
                    return Err(Error::validation(message, None));
                }
                // A bad value is refused here, where it is written, not at the next query.
                if key != "execution.runtime-mode" {
                    let mut alone = wiesel_common::config::Configuration::default();
                    alone.set(key.clone(), value.clone());
                    Context::new(&alone)?;
                }
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

    /// The keys that a job takes along: all that were SET, and of the session's beginning those that concern jobs.
    pub(super) fn job_configuration(&self) -> BTreeMap<String, String> {
        let was_set = |key: &str, value: &str| self.base.get_raw(key) != Some(value);
        let of_process = |key: &str| {
            OF_PROCESSES.iter().any(|prefix| key.starts_with(prefix))
                || (key.starts_with("taskmanager.") && !key.starts_with("taskmanager.network."))
        };
        let taken = self.configuration.iter().filter(|(key, value)| was_set(key, value) || !of_process(key));
        taken.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}
