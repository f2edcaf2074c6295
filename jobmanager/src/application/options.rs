//! What the configuration says about an application.
use wiesel_common::config::{ConfigError, ConfigOption, Configuration};

const SHUTDOWN_ON_FINISH: ConfigOption<bool> =
    ConfigOption::new("execution.shutdown-on-application-finish").default("true");
const SUBMIT_FAILED_JOB: ConfigOption<bool> =
    ConfigOption::new("execution.submit-failed-job-on-application-error").default("false");
const TERMINATE_ON_ANY_JOB: ConfigOption<bool> =
    ConfigOption::new("execution.terminate-application-on-any-job-terminated-exceptionally").default("true");

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplicationOptions {
    /// The cluster ends with its application.
    pub shutdown_on_finish: bool,
    /// An application without a job is shown as a job that failed.
    pub submit_failed_job: bool,
    /// The application ends with the first of its jobs that does not finish; else once all of its jobs are submitted.
    pub terminate_on_any_job: bool,
}

impl ApplicationOptions {
    /// Reads them.
    ///
    /// # Errors
    /// A bad value.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        Ok(Self {
            shutdown_on_finish: config.get(&SHUTDOWN_ON_FINISH)?,
            submit_failed_job: config.get(&SUBMIT_FAILED_JOB)?,
            terminate_on_any_job: config.get(&TERMINATE_ON_ANY_JOB)?,
        })
    }

    /// The key that asks for a failed job, for messages.
    pub(super) fn submit_failed_job_key() -> &'static str {
        SUBMIT_FAILED_JOB.key()
    }
}
