//! The answers that the clients read, with the fields they use.
use std::collections::BTreeMap;

use serde::Deserialize;

/// `{"errors": […]}`.
#[derive(Debug, Deserialize)]
pub(super) struct Errors {
    pub errors: Vec<String>,
}

/// `GET /jobs/overview`.
#[derive(Debug, Deserialize)]
pub struct JobsOverview {
    /// All jobs the cluster remembers.
    pub jobs: Vec<JobOverview>,
}

/// A job in a list.
#[derive(Debug, Deserialize)]
pub struct JobOverview {
    /// Its id.
    pub jid: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Milliseconds since the epoch.
    #[serde(rename = "start-time")]
    pub start_time: i64,
    /// What it waits for.
    #[serde(flatten)]
    pub slots: SlotShortage,
}

/// That a job waits for slots that are not there, if it does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct SlotShortage {
    #[serde(rename = "slots-required")]
    required: Option<u32>,
    #[serde(rename = "slots-missing")]
    missing: Option<u32>,
}

impl SlotShortage {
    /// In words, behind the name of the job.
    pub fn describe(&self) -> Option<String> {
        let (missing, required) = (self.missing?, self.required?);
        Some(format!("waits for slots: {missing} of {required} are missing"))
    }
}

/// `GET /jobs/:id`.
#[derive(Debug, Deserialize)]
pub struct JobDetails {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Milliseconds it ran.
    pub duration: i64,
    /// When it entered each state, by name.
    #[serde(default)]
    timestamps: BTreeMap<String, i64>,
    /// What it waits for.
    #[serde(flatten)]
    pub slots: SlotShortage,
}

impl JobDetails {
    /// Whether it was ever started: what it starts from was found and fits.
    pub fn was_started(&self) -> bool {
        self.timestamps.get("RUNNING").is_some_and(|time| *time > 0)
    }
}

/// `GET /jobs/:id/status`.
#[derive(Debug, Deserialize)]
pub(super) struct JobState {
    pub status: String,
}

/// `GET /jobs/:id/execution-result`.
#[derive(Debug, Deserialize)]
pub struct ExecutionResult {
    status: QueueStatus,
    #[serde(rename = "job-execution-result")]
    result: Option<Outcome>,
}

#[derive(Debug, Deserialize)]
struct QueueStatus {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    #[serde(rename = "application-status")]
    application_status: String,
    #[serde(rename = "net-runtime")]
    net_runtime: i64,
    #[serde(rename = "failure-cause")]
    failure: Option<FailureCause>,
}

#[derive(Debug, Deserialize)]
struct FailureCause {
    #[serde(rename = "stack-trace")]
    stack_trace: String,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// All its records are through.
    Finished {
        /// Milliseconds.
        runtime: i64,
    },
    /// Somebody cancelled it.
    Canceled,
    /// It failed: what it failed by with its causes, then that it was not restarted.
    Failed(String),
}

impl ExecutionResult {
    /// None: it runs.
    pub fn end(&self) -> Option<JobEnd> {
        if self.status.id != "COMPLETED" {
            return None;
        }
        let outcome = self.result.as_ref()?;
        Some(match outcome.application_status.as_str() {
            "SUCCEEDED" => JobEnd::Finished { runtime: outcome.net_runtime },
            "CANCELED" => JobEnd::Canceled,
            _ => {
                let trace = outcome.failure.as_ref().map(|failure| told(&failure.stack_trace));
                JobEnd::Failed(trace.unwrap_or_else(|| "the JobManager gave no cause".to_owned()))
            }
        })
    }
}

/// What a stack trace begins with where a job was not restarted; what it failed by comes after.
const NOT_RESTARTED: &str = "org.apache.flink.runtime.JobException: ";

/// The failure of a job for people: what it failed by first, then that it was not restarted.
fn told(trace: &str) -> String {
    match trace.trim_end().split_once("\nCaused by: ") {
        Some((outer, causes)) if outer.starts_with(NOT_RESTARTED) => format!("{causes}\nThe job failed by it: {outer}"),
        _ => trace.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_waits_for_is_there_only_while_it_waits() {
        let job = |more: &str| -> JobDetails {
            let text = format!(r#"{{"name": "j", "state": "RUNNING", "duration": 1, "plan": {{}}{more}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let waits = job(r#", "timestamps": {"RUNNING": 5}, "slots-required": 16, "slots-missing": 14"#);
        assert_eq!(waits.slots.describe().as_deref(), Some("waits for slots: 14 of 16 are missing"));
        assert!(waits.was_started());
        let runs = job(r#", "timestamps": {"RUNNING": 0}"#);
        assert_eq!(runs.slots.describe(), None);
        assert!(!runs.was_started() && !job("").was_started());
    }

    /// Before, what the user needs came last, behind Flink's words for a job that is not restarted.
    #[test]
    fn what_a_job_failed_by_is_told_first() {
        let failed = |trace: &str| {
            let result = serde_json::json!({
                "status": {"id": "COMPLETED"},
                "job-execution-result": {
                    "application-status": "FAILED", "net-runtime": 1, "failure-cause": {"stack-trace": trace},
                },
            });
            serde_json::from_value::<ExecutionResult>(result).unwrap().end()
        };
        let suppressed =
            "org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy";
        let cause = "java.lang.NumberFormatException: For input string: 'zz'.\nCaused by: row 7";
        assert_eq!(
            failed(&format!("{suppressed}\nCaused by: {cause}\n")),
            Some(JobEnd::Failed(format!("{cause}\nThe job failed by it: {suppressed}")))
        );
        for plain in [suppressed, cause, ""] {
            assert_eq!(failed(plain), Some(JobEnd::Failed(plain.to_owned())));
        }
    }
}
