//! The answers that the clients read, with the fields they use.
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
    /// It failed, with the chain of causes.
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
                let trace = outcome.failure.as_ref().map(|failure| failure.stack_trace.clone());
                JobEnd::Failed(trace.unwrap_or_else(|| "the JobManager gave no cause".to_owned()))
            }
        })
    }
}
