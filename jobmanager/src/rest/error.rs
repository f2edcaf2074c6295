//! Errors as Flink's REST API gives them.
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use wiesel_common::id::{JobId, OperatorId, VertexId};
use wiesel_common::quote::quote;

/// What handlers refuse with.
pub(super) const HANDLER: &str = "org.apache.flink.runtime.rest.handler.RestHandlerException";
const NOT_FOUND: &str = "org.apache.flink.runtime.rest.NotFoundException";

/// A status and the texts of `{"errors": [...]}`.
#[derive(Debug)]
pub(crate) struct RestError {
    status: StatusCode,
    errors: Vec<String>,
}

impl RestError {
    /// A text as it is.
    pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, errors: vec![text.into()] }
    }

    /// 404 with a text as it is.
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::plain(StatusCode::NOT_FOUND, text)
    }

    /// A refusal by a handler.
    pub(crate) fn handler(status: StatusCode, message: impl std::fmt::Display) -> Self {
        Self::plain(status, format!("{HANDLER}: {message}"))
    }

    /// 400.
    pub(crate) fn bad_request(message: impl std::fmt::Display) -> Self {
        Self::handler(StatusCode::BAD_REQUEST, message)
    }

    /// A path parameter that does not parse.
    pub(crate) fn bad_path(name: &str, value: &str) -> Self {
        Self::bad_parameter("path", name, value)
    }

    /// A query parameter that does not parse.
    pub(crate) fn bad_query(name: &str, value: &str) -> Self {
        Self::bad_parameter("query", name, value)
    }

    fn bad_parameter(kind: &str, name: &str, value: &str) -> Self {
        Self::bad_request(format!(
            "Bad request, could not parse parameters: Cannot resolve {kind} parameter ({name}) from value \"{}\".",
            quote(value)
        ))
    }

    /// A body of another shape.
    pub(crate) fn bad_body(expected: &str) -> Self {
        Self::bad_request(format!("Request did not match expected format {expected}."))
    }

    /// 404 for a job.
    pub(crate) fn job_not_found(id: JobId) -> Self {
        Self::not_found(format!("{NOT_FOUND}: Job {id} not found"))
    }

    /// 404 for an application.
    pub(crate) fn application_not_found(id: JobId) -> Self {
        Self::not_found(format!("{NOT_FOUND}: Application {id} not found"))
    }

    /// 404 for a vertex.
    pub(crate) fn vertex_not_found(id: VertexId) -> Self {
        Self::not_found(format!("{NOT_FOUND}: JobVertex {id} not found"))
    }

    /// 404 for an operator without rows to fetch.
    pub(crate) fn coordinator_not_found(id: OperatorId) -> Self {
        Self::not_found(format!("{NOT_FOUND}: Coordinator of operator {id} does not exist or its rows have expired"))
    }

    /// 500.
    pub(crate) fn internal(trace: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            errors: vec![
                "Internal server error.".into(),
                format!("<Exception on server side:\n{trace}\nEnd of exception on server side>"),
            ],
        }
    }

    /// The same of a script of which these jobs had been submitted before.
    pub(crate) fn after_jobs(mut self, ids: &[String]) -> Self {
        if !ids.is_empty() {
            let (count, ids) = (ids.len(), ids.join(", "));
            self.errors.push(format!("Jobs of the script that had been submitted ({count}): {}", quote(&ids)));
        }
        self
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "errors": self.errors }))).into_response()
    }
}

/// The job id in a path.
pub(crate) fn job_id(text: &str) -> Result<JobId, RestError> {
    text.parse().map_err(|_| RestError::bad_path("jobid", text))
}

/// The vertex id in a path.
pub(crate) fn vertex_id(text: &str) -> Result<VertexId, RestError> {
    text.parse().map_err(|_| RestError::bad_path("vertexid", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, jobs that went on were not named where a later statement of their script was refused.
    #[test]
    fn jobs_of_a_script_that_breaks_off_are_named() {
        let refused = || RestError::bad_request("no slots");
        assert_eq!(refused().after_jobs(&[]).errors.len(), 1);
        let errors = refused().after_jobs(&["a".into(), "b".into()]).errors;
        assert_eq!(errors[1], "Jobs of the script that had been submitted (2): a, b");
        let many: Vec<String> = (0..1_000).map(|job| format!("{job:032x}")).collect();
        let errors = refused().after_jobs(&many).errors;
        assert!(errors[1].contains("(1000)") && errors[1].len() < 500, "{}", errors[1]);
    }
}
