//! Records in the cluster's folder, local or of a store.
//!
//! Each record is a file of its own, which is replaced only as it was read ([`Location::swap`]). Its name has the record's key and
//! something drawn when it was made, and is never used again: a put that was believed lost may still arrive.
//!
//! A leader begins with [`RecordStore::fence`]: it says in the file `fence` that its epoch has begun, and writes every record anew under
//! its own epoch. From then on earlier leaders name versions that are no more. What they make anew is not refused by the store, so
//! whoever has made a record looks at the fence before it believes in it; and what was made behind a fence that is complete is told
//! by its epoch: it was never answered as done, counts as not there, and goes.
use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use parking_lot::Mutex;
use wiesel_common::filesystem::{Error, Location, SwapError, Tag};
use wiesel_common::id::JobId;
use wiesel_common::leader::ClusterStorage;
use wiesel_common::random;

use super::frame::{Frame, HEADER};
use super::stored_fence::{ATTEMPTS, StoredFence};
use super::{MAX_RECORD, Record, RecordError, RecordKey, RecordKind, RecordStore, Version};

/// Records that are taken over at once: each may have [`MAX_RECORD`] bytes.
const AT_ONCE: usize = 4;

/// See the module.
pub struct StoredRecords {
    folder: Location,
    fence: StoredFence,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The epoch that has begun here.
    epoch: Option<u64>,
    /// All records. Nobody but this process makes or deletes one in its epoch.
    entries: BTreeMap<RecordKey, Entry>,
}

/// What is known of a record.
#[derive(Clone, Debug)]
struct Entry {
    file: String,
    /// The content that is there, as far as is known; none: it may never have been made.
    known: Option<(Tag, Version)>,
    /// How often it was tried to make it.
    makings: u32,
    /// Whether one of these may still arrive at the store. Then its file stays when it is deleted.
    may_come_late: bool,
    /// Whether no later leader had begun when it was there: only then will every later one find it.
    is_confirmed: bool,
}

impl Entry {
    /// Of a record that is to be made.
    fn new(key: RecordKey) -> Self {
        let drawn = random::uuid().simple();
        let file = match key {
            RecordKey::Job(job) => format!("job.{job}.{drawn}"),
            RecordKey::Result(job) => format!("result.{job}.{drawn}"),
            RecordKey::Application => format!("application.{drawn}"),
        };
        Self { file, known: None, makings: 0, may_come_late: true, is_confirmed: false }
    }

    /// Of one that is there.
    fn of(file: &str, tag: Tag, version: Version) -> Self {
        let known = Some((tag, version));
        Self { file: file.to_owned(), known, makings: 0, may_come_late: false, is_confirmed: true }
    }

    fn version(&self) -> Option<&Version> {
        self.known.as_ref().map(|(_, version)| version)
    }
}

/// What a file is when an epoch begins.
enum Found {
    /// A record.
    Record(RecordKey, Entry),
    /// What says that a record was deleted, or was never there. It goes once the epoch is complete: until then it keeps away the
    /// put that made the record, which may come again and would be believed by whoever leads next.
    Mark,
    /// No record, or what stays for the sake of what may come late in this epoch.
    Nothing,
}

/// Whose record a file is; none: it is none.
fn key_of(file: &str) -> Option<RecordKey> {
    match file.split('.').collect::<Vec<_>>()[..] {
        ["job", job, _] => job.parse::<JobId>().ok().map(RecordKey::Job),
        ["result", job, _] => job.parse::<JobId>().ok().map(RecordKey::Result),
        ["application", _] => Some(RecordKey::Application),
        _ => None,
    }
}

fn unreachable(error: impl std::fmt::Display) -> RecordError {
    RecordError::Unreachable { reason: error.to_string() }
}

impl StoredRecords {
    /// Those of this cluster.
    pub fn new(storage: &ClusterStorage) -> Self {
        Self { fence: StoredFence::of(storage), folder: storage.records(), state: Mutex::default() }
    }

    fn file(&self, name: &str) -> Location {
        self.folder.join(name)
    }

    /// What is in a file; none if it is not there.
    async fn frame(&self, name: &str) -> Result<Option<(Frame, Tag)>, RecordError> {
        let file = self.file(name);
        let damaged = |reason| RecordError::Damaged { place: file.uri().to_owned(), reason };
        let Some((bytes, tag)) = (match file.read_tagged((HEADER + MAX_RECORD) as u64).await {
            Err(error @ Error::Refused { .. }) => return Err(damaged(error.to_string())),
            read => read.map_err(unreachable)?,
        }) else {
            return Ok(None);
        };
        Ok(Some((Frame::from_bytes(&bytes).map_err(damaged)?, tag)))
    }

    /// What is in a file of this epoch or an earlier one.
    async fn frame_for(&self, epoch: u64, name: &str) -> Result<Option<(Frame, Tag)>, RecordError> {
        match self.frame(name).await? {
            Some((frame, _)) if frame.epoch > epoch => Err(RecordError::Superseded { epoch, newer: frame.epoch }),
            found => Ok(found),
        }
    }

    /// Writes what is in a file anew under this epoch. What is none, or was made behind the fence of the epoch that is complete, goes.
    async fn take_over(&self, epoch: u64, complete: u64, name: &str) -> Result<Found, RecordError> {
        let Some(key) = key_of(name) else { return Ok(Found::Nothing) };
        for _ in 0..ATTEMPTS {
            let Some((found, tag)) = self.frame_for(epoch, name).await? else { return Ok(Found::Nothing) };
            if found.content.is_none() {
                return Ok(if found.epoch < epoch { Found::Mark } else { Found::Nothing });
            }
            if found.epoch == epoch {
                return Ok(Found::Record(key, Entry::of(name, tag, found.version())));
            }
            let next = Frame::new(epoch, found.content.filter(|_| found.epoch >= complete));
            match self.file(name).swap(Some(&tag), next.to_bytes()).await {
                Ok(tag) if next.content.is_some() => {
                    return Ok(Found::Record(key, Entry::of(name, tag, next.version())));
                }
                Ok(_) => return Ok(Found::Mark),
                // Its former leader was faster.
                Err(SwapError::Refused { .. }) => {}
                Err(error) => return Err(unreachable(error)),
            }
        }
        Err(unreachable(format!("{} is changed again and again", self.file(name).uri())))
    }

    /// Removes a file that says that its record was deleted. One that stays goes with the next change of the leader.
    async fn remove(&self, name: &str) {
        let file = self.file(name);
        if let Err(error) = file.remove_tagged().await {
            tracing::debug!("what is left of a deleted record stays for now: {error}");
        }
    }

    async fn remove_all(&self, names: &[String]) {
        for some in names.chunks(AT_ONCE) {
            join_all(some.iter().map(|name| self.remove(name))).await;
        }
    }

    /// The records, and the files that are to go once the epoch is complete.
    async fn take_over_all(
        &self,
        epoch: u64,
        complete: u64,
    ) -> Result<(BTreeMap<RecordKey, Entry>, Vec<String>), RecordError> {
        let names = self.folder.tagged_files().await.map_err(unreachable)?;
        let (mut entries, mut marks): (BTreeMap<RecordKey, Entry>, Vec<String>) = Default::default();
        for some in names.chunks(AT_ONCE) {
            let taken = some.iter().map(|name| self.take_over(epoch, complete, name));
            for (name, found) in some.iter().zip(try_join_all(taken).await?) {
                let (key, entry) = match found {
                    Found::Record(key, entry) => (key, entry),
                    Found::Mark => {
                        marks.push(name.clone());
                        continue;
                    }
                    Found::Nothing => continue,
                };
                let file = entry.file.clone();
                if let Some(other) = entries.insert(key, entry) {
                    let reason = format!("{} is a record of the same thing", self.file(&other.file).uri());
                    return Err(RecordError::Damaged { place: self.file(&file).uri().to_owned(), reason });
                }
            }
        }
        Ok((entries, marks))
    }

    /// The state, as long as this epoch has begun here and no later one has.
    fn with_state<T>(&self, epoch: u64, with: impl FnOnce(&mut State) -> T) -> Result<T, RecordError> {
        let mut state = self.state.lock();
        let begun = state.epoch;
        match begun {
            Some(begun) if begun == epoch => Ok(with(&mut state)),
            Some(newer) if newer > epoch => Err(RecordError::Superseded { epoch, newer }),
            _ => Err(unreachable(format!("the epoch {epoch} has not begun"))),
        }
    }

    fn entry(&self, epoch: u64, key: RecordKey) -> Result<Option<Entry>, RecordError> {
        self.with_state(epoch, |state| state.entries.get(&key).cloned())
    }

    /// Takes note of a record, unless it was made under another name by now.
    fn note(&self, epoch: u64, key: RecordKey, entry: Entry) -> Result<(), RecordError> {
        self.with_state(epoch, |state| {
            if state.entries.get(&key).is_some_and(|known| known.file == entry.file) {
                state.entries.insert(key, entry);
            }
        })
    }

    fn forget(&self, epoch: u64, key: RecordKey, file: &str) -> Result<(), RecordError> {
        self.with_state(epoch, |state| {
            if state.entries.get(&key).is_some_and(|known| known.file == file) {
                state.entries.remove(&key);
            }
        })
    }

    /// The entry of a record that has the expected version; of one that is to be made, a new one.
    fn expect(&self, epoch: u64, key: RecordKey, expected: Option<&Version>) -> Result<Entry, RecordError> {
        self.with_state(epoch, |state| match expected {
            Some(_) => state.entries.get(&key).filter(|entry| entry.version() == expected).cloned(),
            None => {
                let entry = state.entries.entry(key).or_insert_with(|| Entry::new(key));
                entry.makings = entry.makings.saturating_add(1);
                Some(entry.clone()).filter(|entry| entry.known.is_none())
            }
        })?
        .ok_or(RecordError::Conflict { key })
    }

    /// Puts a content in the place of the one that an entry knows. Its tag.
    async fn put(&self, epoch: u64, key: RecordKey, entry: &Entry, frame: &Frame) -> Result<Tag, RecordError> {
        let expected = entry.known.as_ref().map(|(tag, _)| tag);
        match self.file(&entry.file).swap(expected, frame.to_bytes()).await {
            Ok(tag) => Ok(tag),
            // By a later leader, or by a write of this one that had no answer.
            Err(SwapError::Refused { .. }) => {
                self.frame_for(epoch, &entry.file).await?;
                self.fence.check(epoch).await?;
                Err(RecordError::Conflict { key })
            }
            Err(SwapError::Unknown(error)) => Err(RecordError::Unknown { key, reason: error.to_string() }),
            Err(SwapError::Failed(error)) => Err(unreachable(error)),
        }
    }

    /// Makes sure that a record which is there will be found by every later leader.
    async fn confirm(&self, epoch: u64, key: RecordKey, mut entry: Entry) -> Result<(), RecordError> {
        if entry.is_confirmed {
            return Ok(());
        }
        self.fence.check(epoch).await?;
        entry.is_confirmed = true;
        self.note(epoch, key, entry)
    }
}

#[tonic::async_trait]
impl RecordStore for StoredRecords {
    async fn fence(&self, epoch: u64) -> Result<(), RecordError> {
        let complete = self.fence.begin(epoch).await?;
        let (entries, marks) = self.take_over_all(epoch, complete).await?;
        self.fence.complete(epoch).await?;
        self.remove_all(&marks).await;
        *self.state.lock() = State { epoch: Some(epoch), entries };
        Ok(())
    }

    async fn list(&self, epoch: u64, kind: RecordKind) -> Result<Vec<RecordKey>, RecordError> {
        let is_there = |(key, entry): &(&RecordKey, &Entry)| key.kind() == kind && entry.known.is_some();
        self.with_state(epoch, |state| state.entries.iter().filter(is_there).map(|(key, _)| *key).collect())
    }

    async fn read(&self, epoch: u64, key: RecordKey) -> Result<Option<Record>, RecordError> {
        let Some(mut entry) = self.entry(epoch, key)? else { return Ok(None) };
        let Some((frame, tag)) = self.frame_for(epoch, &entry.file).await? else {
            // One that was to be made may still come.
            let has_gone = entry.known.is_some();
            self.fence.check(epoch).await?;
            let place = self.file(&entry.file).uri().to_owned();
            return if has_gone {
                Err(RecordError::Damaged { place, reason: "it is gone".to_owned() })
            } else {
                Ok(None)
            };
        };
        let version = frame.version();
        let Some(bytes) = frame.content else {
            // A deletion that had no answer.
            self.forget(epoch, key, &entry.file)?;
            return Ok(None);
        };
        entry.known = Some((tag, version.clone()));
        self.note(epoch, key, entry.clone())?;
        self.confirm(epoch, key, entry).await?;
        Ok(Some(Record { bytes, version }))
    }

    async fn write(
        &self,
        epoch: u64,
        key: RecordKey,
        expected: Option<&Version>,
        bytes: Bytes,
    ) -> Result<Version, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong { key, bytes: bytes.len() });
        }
        let mut entry = self.expect(epoch, key, expected)?;
        let frame = Frame::new(epoch, Some(bytes));
        let tag = self.put(epoch, key, &entry, &frame).await?;
        let version = frame.version();
        if entry.known.is_none() {
            entry.may_come_late = entry.makings > 1;
        }
        entry.known = Some((tag, version.clone()));
        self.note(epoch, key, entry.clone())?;
        match self.confirm(epoch, key, entry).await {
            Ok(()) => Ok(version),
            Err(superseded @ RecordError::Superseded { .. }) => Err(superseded),
            Err(error) => Err(RecordError::Unknown { key, reason: error.to_string() }),
        }
    }

    async fn delete(&self, epoch: u64, key: RecordKey, expected: &Version) -> Result<(), RecordError> {
        let entry = self.expect(epoch, key, Some(expected))?;
        self.put(epoch, key, &entry, &Frame::new(epoch, None)).await?;
        self.forget(epoch, key, &entry.file)?;
        if !entry.may_come_late {
            self.remove(&entry.file).await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "stored_records_tests.rs"]
mod tests;
