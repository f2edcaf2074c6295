//! The files of one task in one checkpoint or savepoint.
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use wiesel_common::filesystem::{Location, Written};
use wiesel_proto as proto;

use super::cleanup::delete_locations;
use super::{Inline, names};
use crate::error::{Error, Result};
use crate::keyed::CheckpointFiles;

/// Files that are deleted at once when an upload is given up.
const DELETIONS: usize = 8;

pub(super) struct Files {
    owner: names::Owner,
    /// Of this checkpoint alone; none: there are no files.
    private: Option<Location>,
    shared: Option<Location>,
    inline: Inline,
    written: AtomicU64,
    /// What was begun to be written.
    placed: Mutex<Vec<Location>>,
}

impl Files {
    pub(super) fn new(
        owner: names::Owner,
        private: Option<Location>,
        shared: Option<Location>,
        inline: Inline,
    ) -> Self {
        Self { owner, private, shared, inline, written: AtomicU64::new(0), placed: Mutex::default() }
    }

    /// A new file; none if this many bytes stay inline.
    fn place(&self, size: u64, shared: bool) -> Result<Option<Location>> {
        let folder = match self.inline {
            Inline::All(limit) if size > limit => return Err(too_large(size, limit)),
            Inline::All(_) => return Ok(None),
            Inline::UpTo(limit) if size <= limit => return Ok(None),
            Inline::UpTo(_) => self.shared.as_ref().filter(|_| shared).or(self.private.as_ref()),
        };
        let place = folder.map(|folder| folder.join(&names::new(self.owner.run, self.owner.checkpoint)).with_entropy());
        self.placed.lock().extend(place.clone());
        Ok(place)
    }

    fn count(&self, file: proto::StateFile) -> proto::StateFile {
        self.written.fetch_add(file.size, Ordering::Relaxed);
        file
    }

    async fn put_bytes(&self, bytes: Bytes, shared: bool) -> Result<proto::StateFile> {
        let written = Written { size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
        let file = match self.place(written.size, shared)? {
            None => state_file(String::new(), written, bytes),
            Some(location) => {
                location.write(bytes).await?;
                state_file(location.uri().to_owned(), written, Bytes::new())
            }
        };
        Ok(self.count(file))
    }

    async fn put_local(&self, path: &Path, shared: bool) -> Result<proto::StateFile> {
        let failed = |error| Error::storage(format!("cannot read {}", path.display()), error);
        let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
        let file = match self.place(size, shared)? {
            None => {
                let bytes = Bytes::from(tokio::fs::read(path).await.map_err(failed)?);
                let written = Written { size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
                state_file(String::new(), written, bytes)
            }
            Some(location) => {
                let written = location.upload(path).await?;
                state_file(location.uri().to_owned(), written, Bytes::new())
            }
        };
        Ok(self.count(file))
    }
}

impl CheckpointFiles for Files {
    fn put(&self, bytes: Bytes, shared: bool) -> BoxFuture<'_, Result<proto::StateFile>> {
        self.put_bytes(bytes, shared).boxed()
    }

    fn put_file<'a>(&'a self, path: &'a Path, shared: bool) -> BoxFuture<'a, Result<proto::StateFile>> {
        self.put_local(path, shared).boxed()
    }

    fn give_up(&self) -> BoxFuture<'_, ()> {
        async {
            let placed = std::mem::take(&mut *self.placed.lock());
            if let Some(error) = delete_locations(&placed, DELETIONS).await.failure {
                // The JobManager finds what stays.
                tracing::debug!(%error, "files of an upload that was given up stay for now");
            }
        }
        .boxed()
    }

    fn keeps_shared(&self) -> bool {
        self.shared.is_some()
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

fn state_file(path: String, written: Written, inline: Bytes) -> proto::StateFile {
    proto::StateFile { path, size: written.size, crc32c: written.crc32c, inline }
}

fn too_large(size: u64, limit: u64) -> Error {
    Error::TooLarge(format!(
        "Size of the state is larger than the maximum permitted memory-backed state. Size={size}, maxSize={limit}. \
         Consider using a different checkpoint storage: set 'execution.checkpointing.dir' to a folder for checkpoints."
    ))
}
