//! A file as it is at one time, and reads that fail once it is another one.
use std::fs::Metadata;
use std::ops::Range;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::{Error, Location, Place, Result, local, object, open_regular};

/// What tells one content of a file from another, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes.
    pub size: u64,
    /// What the store calls this content, where it does.
    pub e_tag: Option<String>,
    /// Nanoseconds since the epoch.
    pub modified: i64,
}

impl Status {
    /// Of a local file.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        Self { size: metadata.len(), e_tag: None, modified }
    }

    /// Of an object of a store.
    pub(super) fn of_object(object: ObjectMeta) -> Self {
        let modified = object.last_modified.timestamp_nanos_opt().unwrap_or(0);
        Self { size: object.size, e_tag: object.e_tag, modified }
    }
}

impl Location {
    /// The file as it is now.
    pub async fn status(&self) -> Result<Status> {
        match &self.place {
            Place::Local(path) => {
                local::run("look at", &self.uri, path, |path| Ok(Status::of(&open_regular(path)?.metadata()?))).await
            }
            Place::Object { store, path, .. } => {
                let found = self.named("look at", store.objects.head(path)).await;
                let found = found.map_err(|error| Error::object("look at", &self.uri, &error))?;
                Ok(Status::of_object(found))
            }
        }
    }

    /// Some bytes of the file as it was then.
    ///
    /// # Errors
    /// Also if the file is shorter, and [`Error::is_changed`] if it is another one by now, where the store can tell.
    pub async fn read_range_of(&self, status: &Status, range: Range<u64>) -> Result<Bytes> {
        match &self.place {
            Place::Local(_) => self.read_range(range).await,
            Place::Object { store, path, .. } => {
                let read = object::read_range(&*store.objects, path, &self.uri, range, status.e_tag.as_deref());
                self.named("read", read).await
            }
        }
    }
}
