//! A file that rows are being written to and that is to be in a store. What is written is in a scratch file of this machine; each
//! part of it that is whole is sent while the next one is written. The file appears in the store when its upload is completed: at
//! the commit.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use wiesel_common::filesystem::{LEAST_PART, Location, MOST_PARTS};
use wiesel_common::spawn;
use wiesel_operators::operator::{Error, Result};

use super::state::Upload;
use super::table_folder::StoreFolder;
use crate::blocking;
use crate::input::failed;

/// Bytes of each part but the last.
const PART: u64 = 8 << 20;
const _: () = assert!(PART >= LEAST_PART);
/// Parts of one file that are on their way: then its writer waits.
const UNDER_WAY: usize = 3;

/// The upload of one file. Unless it is finished, it is given up with this.
pub(super) struct PartUpload {
    location: Location,
    store: StoreFolder,
    file: Arc<File>,
    /// The name of the upload, once it is begun.
    id: Arc<OnceCell<String>>,
    /// Bytes of the parts.
    sent: u64,
    parts: Vec<Part>,
    is_finished: bool,
}

enum Part {
    UnderWay(JoinHandle<Result<String>>),
    /// The name that the store gave it.
    Stored(String),
    /// Its sending has failed.
    Failed,
}

impl PartUpload {
    /// Of a scratch file, to that place.
    pub(super) fn new(location: Location, store: &StoreFolder, file: Arc<File>) -> Self {
        let (store, id) = (store.clone(), Arc::default());
        Self { location, store, file, id, sent: 0, parts: Vec::new(), is_finished: false }
    }

    /// Whether the file takes no more rows, because of the number of its parts.
    pub(super) fn is_full(&self) -> bool {
        self.parts.len() >= MOST_PARTS
    }

    /// Sends the parts that are whole.
    pub(super) fn send_whole_parts(&mut self) -> Result<()> {
        let length = self.length()?;
        while length - self.sent >= PART {
            self.send(PART)?;
        }
        Ok(())
    }

    /// Sends what is left: nothing more is written.
    pub(super) fn send_rest(&mut self) -> Result<()> {
        self.send_whole_parts()?;
        let rest = self.length()? - self.sent;
        // A file has one part at least.
        if rest > 0 || self.parts.is_empty() { self.send(rest) } else { Ok(()) }
    }

    /// Waits until all is stored.
    pub(super) fn finish(mut self) -> Result<Upload> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for at in 0..self.parts.len() {
            parts.push(self.stored(at)?.to_owned());
        }
        let id = self.id.get().cloned().ok_or_else(|| Error::Plan("an upload without a part".into()))?;
        self.is_finished = true;
        let uri = self.location.uri().to_owned();
        Ok(Upload { uri, id, parts, length: self.sent, in_snapshot: false })
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| self.unwritable(error))?.len())
    }

    fn send(&mut self, bytes: u64) -> Result<()> {
        if let Some(oldest) = self.parts.len().checked_sub(UNDER_WAY) {
            self.stored(oldest)?;
        }
        let (number, start) = (self.parts.len(), self.sent);
        let (location, id, file) = (self.location.clone(), self.id.clone(), self.file.clone());
        let (memory, needed) = (self.store.part_memory.clone(), mebibytes(bytes));
        let scratch = self.store.scratch.clone();
        let sending = async move {
            // Closed never: it goes with the last that holds it.
            let permits = memory.acquire_many(needed).await;
            let _permits = permits.map_err(|error| Error::external("no part is sent any more", error))?;
            let read = tokio::task::spawn_blocking(move || read(&file, start, bytes)).await;
            let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            let content = read.map_err(|error| unwritable(&location, scratch.failed(error)))?;
            let id = id.get_or_try_init(|| location.begin_parts()).await.map_err(failed)?;
            location.put_part(id, number, content).await.map_err(failed)
        };
        self.parts.push(Part::UnderWay(spawn::owned_on(&self.store.runtime, sending)));
        self.sent += bytes;
        Ok(())
    }

    /// Waits for a part: its name.
    fn stored(&mut self, part: usize) -> Result<&str> {
        if let Part::UnderWay(sending) = &mut self.parts[part] {
            let stored = blocking::wait(&self.store.runtime, sending)?;
            // Its outcome is there once.
            self.parts[part] = Part::Failed;
            let stored = stored.map_err(|error| Error::external("a part was not sent to its end", error))?;
            self.parts[part] = Part::Stored(stored?);
        }
        match &self.parts[part] {
            Part::Stored(name) => Ok(name),
            Part::UnderWay(_) | Part::Failed => Err(Error::Plan("a part of an upload that has failed".into())),
        }
    }

    fn unwritable(&self, error: io::Error) -> Error {
        unwritable(&self.location, self.store.scratch.failed(error))
    }
}

impl Drop for PartUpload {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let (location, id, parts) = (self.location.clone(), self.id.clone(), std::mem::take(&mut self.parts));
        spawn::detached(&self.store.runtime, async move {
            for part in parts {
                if let Part::UnderWay(sending) = part {
                    sending.abort();
                    // One that is beyond being aborted may only now have begun the upload.
                    _ = sending.await;
                }
            }
            if let Some(id) = id.get() {
                location.abandon_parts(id).await;
            }
        });
    }
}

/// What a part takes of the memory for parts, which has room for several whole ones.
fn mebibytes(bytes: u64) -> u32 {
    bytes.min(PART).div_ceil(1 << 20).max(1) as u32
}

fn read(file: &File, start: u64, bytes: u64) -> io::Result<Bytes> {
    let mut content = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut content, start)?;
    Ok(content.into())
}

fn unwritable(location: &Location, error: io::Error) -> Error {
    Error::external(format!("cannot write {}: its rows cannot be kept on this machine: {error}", location.uri()), error)
}
