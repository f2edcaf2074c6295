//! Spans that name a job, a task, a checkpoint on every line that is logged inside them, also by libraries.
//!
//! One field each, always by these names: `job_id`, `task` (vertex, subtask and attempt: "Source: t (2/4)#0"),
//! `checkpoint_id`, `request` (what is done to which file of a store). A line that names one of them itself, or is in a span
//! within a span, has it once. Their level is ERROR, so that they are there whatever level is logged.
use std::fmt::Display;

use tracing::Span;

/// What is logged belongs to a job.
pub fn job_span(job_id: impl Display) -> Span {
    tracing::error_span!(parent: None, "job", %job_id)
}

/// What is logged belongs to a task of a job.
pub fn task_span(job_id: impl Display, task: &str) -> Span {
    let job = job_span(job_id);
    tracing::error_span!(parent: &job, "task", %task)
}

/// What is logged belongs to a checkpoint, of the job and the task that the span is made in.
pub fn checkpoint_span(checkpoint_id: u64) -> Span {
    tracing::error_span!("checkpoint", checkpoint_id)
}

/// What is logged belongs to a request to a store: what is done to which file.
pub fn request_span(operation: &str, uri: &str) -> Span {
    tracing::error_span!("request", request = %format_args!("{operation} {uri}"))
}
