//! Why a file could not be read or written, in words that hold no secret.
use std::error::Error as StdError;

use super::bounded::Refusal;
use super::listing::Unending;
use crate::config::ConfigError;
use crate::logging::in_one_line;
use crate::quote::{MAX_REASON, bounded, quote};

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such file.
    NotFound,
    /// There is another file of this name.
    AlreadyExists,
    /// The file or the service refuses this user.
    PermissionDenied,
    /// The disk is full.
    NoSpace,
    /// The file is not the one that was looked at before.
    Changed,
    /// Another one; trying again may help.
    Other,
}

/// The error of this module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URI of a kind that is not known.
    #[error("Could not find a file system implementation for scheme '{scheme}' (of {uri}): known are file, s3 and s3a")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// The URI.
        uri: String,
    },
    /// A URI that names nothing.
    #[error("'{uri}' is no valid path: {reason}")]
    BadPath {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A step that failed.
    #[error("cannot {action} {uri}: {reason}")]
    Failed {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On what.
        uri: String,
        /// Why it failed and what to do.
        reason: String,
        /// What kind of failure it was.
        kind: ErrorKind,
    },
    /// A file of which no more was read than shows that it is not what it should be.
    #[error("cannot read {uri}: {refusal}")]
    Refused {
        /// The file.
        uri: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// A value in the configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
}

impl Error {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Failed { kind: ErrorKind::NotFound, .. })
    }

    /// Whether there is another file of this name.
    pub fn is_already_there(&self) -> bool {
        matches!(self, Self::Failed { kind: ErrorKind::AlreadyExists, .. })
    }

    /// Whether the file is not the one that was looked at before.
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Failed { kind: ErrorKind::Changed, .. })
    }

    /// Whether trying again may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { kind: ErrorKind::Other, .. })
    }

    pub(super) fn refused(uri: &str, refusal: Refusal) -> Self {
        Self::Refused { uri: uri.to_owned(), refusal }
    }

    pub(super) fn already_there(uri: &str) -> Self {
        let reason = "it already exists, with other content".to_owned();
        Self::Failed { action: "write", uri: uri.to_owned(), reason, kind: ErrorKind::AlreadyExists }
    }

    pub(super) fn unending(action: &'static str, uri: &str, error: &Unending) -> Self {
        Self::Failed { action, uri: uri.to_owned(), reason: error.to_string(), kind: ErrorKind::Other }
    }

    pub(super) fn bad_path(uri: &str, reason: impl Into<String>) -> Self {
        Self::BadPath { uri: uri.to_owned(), reason: reason.into() }
    }

    pub(super) fn io(action: &'static str, uri: &str, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Self::already_there(uri);
        }
        let (kind, advice) = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => (ErrorKind::NotFound, ""),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::PermissionDenied, "; check the owner of the folder and its permissions")
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                (ErrorKind::NoSpace, "; free some space or use another folder")
            }
            _ => (ErrorKind::Other, ""),
        };
        Self::Failed { action, uri: uri.to_owned(), reason: format!("{error}{advice}"), kind }
    }

    /// Whether a store says that there is no such object, in a bucket that there is.
    pub(super) fn is_without_object(error: &object_store::Error) -> bool {
        matches!(error, object_store::Error::NotFound { .. }) && !chain(error).contains("NoSuchBucket")
    }

    pub(super) fn object(action: &'static str, uri: &str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let text = chain(error);
        let (kind, reason) = match error {
            E::NotFound { .. } if text.contains("NoSuchBucket") => {
                (ErrorKind::NotFound, "there is no such bucket".to_owned())
            }
            E::NotFound { .. } => (ErrorKind::NotFound, "there is no such object".to_owned()),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                let advice = "check s3.access-key and s3.secret-key, or the credentials of the environment, and what they may do";
                (
                    ErrorKind::PermissionDenied,
                    format!("the service refuses these credentials ({}); {advice}", answer(&text)),
                )
            }
            E::Precondition { .. } => {
                (ErrorKind::Changed, "the object was replaced by another one meanwhile".to_owned())
            }
            _ if text.contains("169.254.169.254") => {
                let advice = "set s3.access-key and s3.secret-key, or provide credentials through the environment";
                (ErrorKind::PermissionDenied, format!("no credentials were found; {advice}"))
            }
            _ => (ErrorKind::Other, answer(&text)),
        };
        Self::Failed { action, uri: uri.to_owned(), reason, kind }
    }
}

/// All causes in one line, each said once.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// A service's answer cut down to its code and message: the rest may repeat headers of the request, and with them tokens. It stays
/// within a line, and no more of it is told than says what it is.
fn answer(text: &str) -> String {
    let element = |name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        after.split_once(&format!("</{name}>")).map(|(value, _)| quote(value.trim()))
    };
    let told = match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.into_owned(),
        // What an address and a cause need may be longer than a value.
        _ => bounded(text.split_once('<').map_or(text, |(before, _)| before.trim()), MAX_REASON).into_owned(),
    };
    in_one_line(&told).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_code_and_message_only() {
        let body = "refused: <Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message>\
                    <CanonicalRequest>x-amz-security-token:SECRET</CanonicalRequest></Error>";
        assert_eq!(answer(body), "SignatureDoesNotMatch: no match");
        assert_eq!(answer("503: <html>SECRET</html>"), "503:");
        assert_eq!(answer("connection refused"), "connection refused");
    }

    /// Failed before: 22 MB of a refusal were in the error, in the log and in what a user was told.
    #[test]
    fn a_long_answer_is_told_by_its_beginning() {
        let long = "x".repeat(1 << 20);
        let quoted = format!("{}... ({} more bytes)", &long[..300], long.len() - 300);
        let body = format!("<Error><Code>AccessDenied</Code><Message>{long}</Message></Error>");
        assert_eq!(answer(&body), format!("AccessDenied: {quoted}"));
        assert_eq!(answer(&format!("<Code>{long}</Code>")), quoted);
        assert!(answer(&format!("502: {long}")).len() < 1100);
        assert!(answer(&format!("502: {long}<html>")).len() < 1100);
        assert_eq!(answer("<Code>A\nB</Code><Message>\u{1b}[2J</Message>"), "A\\nB: \\u{1b}[2J");
    }

    #[test]
    fn a_full_disk_is_named() {
        let error = Error::io("write", "file:/x", &std::io::Error::from_raw_os_error(28));
        assert!(error.to_string().starts_with("cannot write file:/x: No space left on device"), "{error}");
        assert!(matches!(error, Error::Failed { kind: ErrorKind::NoSpace, .. }));
    }
}
