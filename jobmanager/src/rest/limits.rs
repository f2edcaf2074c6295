//! How long what clients send may be where it need not be long: it is kept, and some of it is logged.
use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};

use super::RestState;
use super::bodies::stated_length;
use super::error::RestError;
use crate::jobmaster::checkpoint::options::MAX_PATH_BYTES;

/// The longest body of a request that only starts something, in bytes.
pub(super) const MAX_TRIGGER_BYTES: usize = 64 << 10;

/// How long a body says it is, and how long it may be.
#[derive(Clone, Copy)]
pub(super) struct BodyLimit {
    stated: Option<usize>,
    most: usize,
    /// `rest.server.max-content-length` says so; else it is no upload.
    configured: bool,
}

impl BodyLimit {
    /// Of an upload. `most`: `rest.server.max-content-length`.
    pub(super) fn of_upload(headers: &HeaderMap, most: usize) -> Self {
        Self { stated: stated_length(headers), most, configured: true }
    }

    /// Of a request that only starts something.
    fn of_trigger(headers: &HeaderMap, max_content_length: usize) -> Self {
        let most = MAX_TRIGGER_BYTES.min(max_content_length);
        Self { stated: stated_length(headers), most, configured: max_content_length < MAX_TRIGGER_BYTES }
    }

    /// What is said of a body that is too long.
    pub(super) fn exceeded(self) -> RestError {
        let Self { stated, most, configured } = self;
        let has = match stated {
            Some(bytes) => format!("{bytes} bytes"),
            // It ends with the first byte that is too many.
            None => format!("more than {most} bytes"),
        };
        let rule = if configured {
            "by rest.server.max-content-length, which can be set higher for the JobManager"
        } else {
            "where nothing is uploaded"
        };
        RestError::handler(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body of this request has {has}: at most {most} bytes are allowed {rule}."),
        )
    }
}

/// What comes with a request that only starts something, or why it could not be read.
pub(super) struct TriggerBody(Result<Bytes, RestError>);

impl TriggerBody {
    pub(super) fn empty() -> Self {
        Self(Ok(Bytes::new()))
    }
}

impl FromRequest<RestState> for TriggerBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &RestState) -> Result<Self, Infallible> {
        let limit = BodyLimit::of_trigger(request.headers(), state.options.max_content_length);
        let body = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => limit.exceeded(),
            status => RestError::handler(status, rejection.body_text()),
        });
        Ok(Self(body))
    }
}

/// The body of a request that only starts something.
pub(super) fn content(body: TriggerBody) -> Result<Bytes, RestError> {
    body.0
}

/// Refuses a path that no file can have, without repeating it.
pub(super) fn check_path(name: &str, path: Option<&str>) -> Result<(), RestError> {
    match path.map_or(0, str::len) {
        bytes if bytes > MAX_PATH_BYTES => {
            Err(RestError::bad_request(format!("{name} has {bytes} bytes: it may have at most {MAX_PATH_BYTES}.")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    /// Before, it said neither how long the body is, nor which limit a short one came from.
    #[test]
    fn a_body_that_is_too_long_is_told_its_length_and_the_limit() {
        let said = |pairs: &[(&'static str, &'static str)], limit: fn(&HeaderMap) -> BodyLimit| {
            let pairs = pairs.iter();
            let headers: HeaderMap =
                pairs.map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            format!("{:?}", limit(&headers).exceeded())
        };
        let stated = [("content-length", "70000")];
        let upload = said(&stated, |headers| BodyLimit::of_upload(headers, 4711));
        assert!(upload.contains("413") && upload.contains("has 70000 bytes: at most 4711 bytes"), "{upload}");
        assert!(upload.contains("by rest.server.max-content-length"), "{upload}");
        let chunked = [("transfer-encoding", "chunked"), ("content-length", "1")];
        let upload = said(&chunked, |headers| BodyLimit::of_upload(headers, 4711));
        assert!(upload.contains("has more than 4711 bytes: at most 4711 bytes"), "{upload}");
        let trigger = said(&stated, |headers| BodyLimit::of_trigger(headers, 100 << 20));
        assert!(trigger.contains("has 70000 bytes: at most 65536 bytes"), "{trigger}");
        assert!(!trigger.contains("rest.server.max-content-length"), "{trigger}");
        let trigger = said(&stated, |headers| BodyLimit::of_trigger(headers, 1000));
        assert!(trigger.contains("at most 1000 bytes are allowed by rest.server.max-content-length"), "{trigger}");
    }

    #[test]
    fn a_path_has_a_length() {
        assert!(check_path("target-directory", None).is_ok());
        assert!(check_path("target-directory", Some("x".repeat(4096).as_str())).is_ok());
        let refused = format!("{:?}", check_path("target-directory", Some("x".repeat(4097).as_str())).unwrap_err());
        assert!(refused.contains("target-directory has 4097 bytes") && refused.len() < 300, "{refused}");
    }
}
