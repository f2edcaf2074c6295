//! Files that are written part by part and appear when they are completed, maybe by another process.
//!
//! An upload in parts has a name of its own, which the service gives. A process that knows it and the names of its parts can
//! complete it. It is completed once: then there is no such upload any more, and the file is there. An upload that is not
//! completed takes up room until it is aborted ([`super::unfinished`]).
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;

use super::{Bucket, Error, ErrorKind, Location, Place, Result};

/// Services take no smaller part but the last one: 5 MiB.
pub const LEAST_PART: u64 = 5 << 20;
/// Of one file, of the 10,000 that services take.
pub const MOST_PARTS: usize = 9_000;

/// When an upload that was given up is aborted again, each time so long after the last one. One abort is not enough: a service
/// carries out a request whose client has gone, too, and a part that it stores behind the abort brings the upload back.
pub(super) const LATE_PARTS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(100)];

/// A store that has such uploads.
#[derive(Clone)]
pub(super) struct Parts(pub(super) Arc<dyn MultipartStore>);

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

/// What has become of an upload that was to be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The file is there, by this request or by an earlier one.
    Complete,
    /// There is neither the upload nor the file. A service that is about to complete it by another request may say so for a moment.
    Gone,
}

impl Location {
    /// Begins to write this file in parts, and gives the name of the upload.
    pub async fn begin_parts(&self) -> Result<String> {
        let (store, path) = self.parts("write")?;
        let begun = self.named("begin an upload of", store.0.create_multipart(path)).await;
        begun.map_err(|error| Error::object("write", &self.uri, &error))
    }

    /// Writes one part, counted from 0, and gives its name. All but the last have [`LEAST_PART`] bytes at least.
    pub async fn put_part(&self, upload: &String, part: usize, bytes: Bytes) -> Result<String> {
        let (store, path) = self.parts("write")?;
        let put = store.0.put_part(path, upload, part, PutPayload::from_bytes(bytes));
        let put = self.named("write a part of", put).await;
        put.map(|part| part.content_id).map_err(|error| Error::object("write", &self.uri, &error))
    }

    /// Makes the file of all its parts, by the names that they were given. It has so many bytes then.
    ///
    /// # Errors
    /// Also if there is another file of this name.
    pub async fn complete_parts(&self, upload: &String, parts: &[String], size: u64) -> Result<Completion> {
        let (store, path) = self.parts("complete the upload of")?;
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let completed = self.named("complete the upload of", store.0.complete_multipart(path, upload, parts)).await;
        match completed {
            Ok(_) => Ok(Completion::Complete),
            // It was completed before, or aborted. Some services are at a loss about one that is being completed.
            Err(object_store::Error::NotFound { .. } | object_store::Error::AlreadyExists { .. }) => {
                match self.status().await {
                    Ok(found) if found.size == size => Ok(Completion::Complete),
                    Ok(_) => Err(Error::already_there(&self.uri)),
                    Err(error) if error.is_not_found() => Ok(Completion::Gone),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(Error::object("complete the upload of", &self.uri, &error)),
        }
    }

    /// Gives an upload up: it is aborted more than once, because a part may still be on its way. That takes a while and is to be
    /// done in the background; what is left in the end is swept, or stays.
    pub async fn abandon_parts(&self, upload: &String) {
        self.abort_parts(upload).await;
        for pause in LATE_PARTS {
            tokio::time::sleep(pause).await;
            self.abort_parts(upload).await;
        }
    }

    async fn abort_parts(&self, upload: &String) {
        let Ok((store, path)) = self.parts("abort the upload of") else { return };
        log_abort(self.named("abort the upload of", store.0.abort_multipart(path, upload)).await, &self.uri);
    }

    fn parts(&self, action: &'static str) -> Result<(&Parts, &ObjectPath)> {
        match &self.place {
            Place::Object { store: Bucket { parts: Some(parts), .. }, path, .. } => Ok((parts, path)),
            _ => {
                let reason = "it is on no store that takes uploads in parts".to_owned();
                Err(Error::Failed { action, uri: self.uri.clone(), reason, kind: ErrorKind::PermissionDenied })
            }
        }
    }
}

/// Logs what became of an abort that nobody waits for: what is left in the end is swept, or stays.
pub(super) fn log_abort(outcome: object_store::Result<()>, uri: &str) {
    match outcome {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => {
            let error = Error::object("abort the upload of", uri, &error);
            tracing::debug!(%error, "an unfinished upload stays for now");
        }
    }
}
