//! How long what clients send may be where nobody needs it long: it is kept, and some of it is logged.
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;

use super::error::RestError;
use crate::jobmaster::checkpoint::options::MAX_PATH_BYTES;

/// The longest body of a request that only starts something, in bytes.
pub(super) const MAX_TRIGGER_BYTES: usize = 64 << 10;

/// What comes with such a request, or why it could not be read.
pub(super) type TriggerBody = Result<Bytes, BytesRejection>;

/// The body of a request that only starts something.
pub(super) fn content(body: TriggerBody) -> Result<Bytes, RestError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => RestError::handler(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body of this request may have at most {MAX_TRIGGER_BYTES} bytes."),
        ),
        status => RestError::handler(status, rejection.body_text()),
    })
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
    use super::*;

    #[test]
    fn a_path_has_a_length() {
        assert!(check_path("target-directory", None).is_ok());
        assert!(check_path("target-directory", Some("x".repeat(4096).as_str())).is_ok());
        let refused = format!("{:?}", check_path("target-directory", Some("x".repeat(4097).as_str())).unwrap_err());
        assert!(refused.contains("target-directory has 4097 bytes") && refused.len() < 300, "{refused}");
    }
}
