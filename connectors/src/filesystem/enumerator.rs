//! Looks for files and hands out parts of them.
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use regex::Regex;
use wiesel_common::ending;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};

use super::compression::is_compressed;
use super::given::{GivenPart, left};
use super::known_files::KnownFiles;
use super::listing::{ListedFile, Listing, Step};
use super::partitions::PartitionFilter;
use super::path::{MOST_LEFT_OUT, Root, too_large};
use super::split::{FileSplit, FileVersion};
use crate::encoding::{Reader, Writer};
use crate::enumerator::Waiting;
use crate::input::Files;

/// Files are cut into parts of at least ...
const LEAST_SPLIT: u64 = 8 << 20;
/// ... and at most so many bytes.
const MOST_SPLIT: u64 = 128 << 20;

/// The bytes that the files take which are known, and those that no reader has yet, at most.
const MOST_BYTES: usize = 512 << 20;

/// Checkpoints and readers that ask for a split wait for one call at most, and a call takes so many pages of a listing, ...
const PAGES_AT_ONCE: usize = 4;
/// ... and, if it has nothing that readers could have meanwhile, waits so long for each: a table of a few files is listed within the
/// first call.
const PATIENCE: Duration = Duration::from_millis(25);
/// Milliseconds until the next call while a listing is under way. What waits meanwhile comes first.
const AT_ONCE: u64 = 1;

const STATE: &str = "the files that a source has seen";

/// The enumerator of a table. A listing goes on beside its calls, and what that finds is given out as it comes.
///
/// A path is read once: a file that is known is never looked at again, whatever it is by now. So that this is not taken for more than
/// it is, a split names the content that was found, and reading another one fails. A checkpoint may come in the middle of a listing: it
/// has the files that were taken from it, with what no reader has of them; a listing that had not come to its end begins anew behind a
/// restore, and finds those that are not known.
pub(super) struct FileEnumerator {
    root: Root,
    files: Files,
    pattern: Option<Regex>,
    /// Milliseconds; none: the files of the first listing are all.
    interval: Option<u64>,
    parallelism: u32,
    /// Whether a file may be cut anywhere.
    is_splittable: bool,
    /// Files that it does not pass are not read.
    filter: PartitionFilter,
    known: KnownFiles,
    /// What is not read, and was warned of.
    left_out: HashSet<PathBuf>,
    pending: VecDeque<Pending>,
    most_bytes: usize,
    waiting: Waiting,
    /// The one that is under way.
    listing: Option<Listing>,
    /// A listing has come to its end.
    discovered: bool,
}

/// What no reader has yet of a known file.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) file: u32,
    /// Whether it is cut as it is given out: a file may be as large as a number, and have billions of parts.
    pub(super) is_cut: bool,
    pub(super) start: u64,
    /// The largest number: to the end of the file. If it is cut: the length that the file had when it was found.
    pub(super) end: u64,
    /// The file as it was found.
    pub(super) found: Option<FileVersion>,
}

impl FileEnumerator {
    pub(super) fn new(
        root: Root,
        files: Files,
        pattern: Option<Regex>,
        interval: Option<u64>,
        parallelism: u32,
        is_splittable: bool,
        filter: PartitionFilter,
    ) -> Self {
        Self {
            root,
            files,
            pattern,
            interval,
            parallelism,
            is_splittable,
            filter,
            known: KnownFiles::default(),
            left_out: HashSet::new(),
            pending: VecDeque::new(),
            most_bytes: MOST_BYTES,
            waiting: Waiting::default(),
            listing: None,
            discovered: false,
        }
    }

    /// Takes what the listing under way has by now.
    fn take_pages(&mut self) -> Result<()> {
        let patience = self.patience();
        for _ in 0..PAGES_AT_ONCE {
            let Some(listing) = &self.listing else { return Ok(()) };
            match listing.next(patience)? {
                Step::Page(page) => self.add(page)?,
                Step::Wait => return Ok(()),
                Step::End(others) => {
                    self.listing = None;
                    self.discovered = true;
                    self.warn_of(others);
                }
            }
        }
        Ok(())
    }

    /// How long a call waits for what comes next of a listing: not while readers that ask for what was found would wait with it.
    fn patience(&self) -> Duration {
        if self.pending.is_empty() { PATIENCE } else { Duration::ZERO }
    }

    fn add(&mut self, page: Vec<ListedFile>) -> Result<()> {
        for ListedFile { path, length, version } in page {
            ending::check()?;
            let (file, is_new) = self.known.insert(&path);
            if is_new && self.filter.passes(&path)? {
                let is_whole = !self.is_splittable || length <= self.part(length, 0) || is_compressed(&path);
                let end = if is_whole { u64::MAX } else { length };
                self.pending.push_back(Pending { file, is_cut: !is_whole, start: 0, end, found: version });
            }
            self.check_bytes()?;
        }
        Ok(())
    }

    fn warn_of(&mut self, others: Vec<PathBuf>) {
        for path in others {
            if self.left_out.len() < MOST_LEFT_OUT && self.left_out.insert(path.clone()) {
                tracing::warn!(
                    path = %path.display(),
                    "left out: a FIFO, a socket, a device or a folder of the system, only files are read"
                );
            }
        }
    }

    /// How many bytes from `start` on the next part of a file of this length has; all that are left rather than one of these
    /// and a small one.
    fn part(&self, length: u64, start: u64) -> u64 {
        let size = (length / (u64::from(self.parallelism) * 4)).clamp(LEAST_SPLIT, MOST_SPLIT);
        let left = length.saturating_sub(start);
        if left <= size + size / 2 { left } else { size }
    }

    fn next_split(&mut self) -> Option<FileSplit> {
        let pending = self.pending.pop_front()?;
        let Pending { file, is_cut, start, end, found } = pending;
        // Earlier releases cut files that are not cut any more: what is left of one is one part.
        let next = if is_cut && self.is_splittable { start.saturating_add(self.part(end, start)) } else { end };
        let is_last = next >= end;
        if !is_last {
            self.pending.push_front(Pending { start: next, ..pending });
        }
        // What is one part by itself may be a part of an older checkpoint, which has an end.
        let end = if is_cut && is_last { u64::MAX } else { next };
        Some(FileSplit { found, ..FileSplit::new(self.known.path(file), start, end) })
    }

    /// Whether nothing comes behind what waits to be given out.
    fn is_complete(&self) -> bool {
        self.discovered && self.interval.is_none()
    }

    fn assign(&mut self, subtask: u32) -> SplitAssignment {
        match self.next_split() {
            Some(split) => SplitAssignment::Splits(vec![split.encode()]),
            None if self.is_complete() => SplitAssignment::NoMoreSplits,
            None => {
                self.waiting.add(subtask);
                SplitAssignment::Wait
            }
        }
    }

    /// The bytes that it holds of files.
    fn held(&self) -> usize {
        self.known.bytes() + self.pending.capacity() * size_of::<Pending>()
    }

    fn check_bytes(&self) -> Result<()> {
        let most = self.most_bytes;
        if self.held() <= most {
            return Ok(());
        }
        let files = self.known.len();
        Err(too_large(
            &self.root,
            &format!(
                "more files than can be remembered: {files} take more than {most} bytes, those counted that were seen before and \
                 are gone"
            ),
        ))
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        if self.listing.is_none() && !self.is_complete() {
            self.listing = Some(Listing::begin(self.root.clone(), self.files.clone(), self.pattern.clone())?);
        }
        self.take_pages()?;
        let mut given = Vec::new();
        while (!self.pending.is_empty() || self.is_complete())
            && let Some(subtask) = self.waiting.pop()
        {
            given.push((subtask, self.assign(subtask)));
        }
        Ok(given)
    }

    fn discovery_interval(&self) -> Option<u64> {
        if self.listing.is_some() { Some(AT_ONCE) } else { self.interval }
    }

    fn request_split(&mut self, subtask: u32, _hostname: &str) -> Result<SplitAssignment> {
        Ok(self.assign(subtask))
    }

    /// Files that were seen are remembered also where nothing looks for new ones: a restore may begin to.
    fn snapshot(&mut self) -> Result<Bytes> {
        let mut out = Writer::new(3);
        out.reserve(self.held());
        out.u64(u64::from(self.discovered));
        out.u64(self.known.folders().len() as u64);
        for folder in self.known.folders() {
            out.bytes(folder.as_bytes());
        }
        out.u64(self.known.names().len() as u64);
        for (folder, name) in self.known.names() {
            out.u64(u64::from(folder)).bytes(name.as_bytes());
        }
        out.u64(self.pending.len() as u64);
        for Pending { file, is_cut, start, end, found } in &self.pending {
            out.u64(u64::from(*file)).u64(u64::from(*is_cut)).u64(*start).u64(*end);
            FileVersion::encode(*found, &mut out);
        }
        Ok(out.finish())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader::new(STATE, 3, state)?;
        self.discovered = reader.u64()? != 0;
        (self.known, self.pending) = match reader.version() {
            1 => read_whole_paths(&mut reader)?,
            _ => read_folders(&mut reader)?,
        };
        reader.end()
    }

    fn given(&mut self, given: &[(u32, Bytes)]) -> Result<bool> {
        let (mut parts, mut found_since) = (Vec::with_capacity(given.len()), HashSet::new());
        for (_, split) in given {
            let FileSplit { path, start, end, found, .. } = FileSplit::decode(split)?;
            let (file, is_new) = self.known.insert(&path);
            found_since.extend(is_new.then_some(file));
            parts.push(GivenPart { file, start, end, found });
        }
        let Some(left) = left(std::mem::take(&mut self.pending), &parts, &found_since) else { return Ok(false) };
        self.pending = left;
        self.check_bytes()?;
        Ok(true)
    }
}

/// Version 1 had whole paths, and files cut into all of their parts.
fn read_whole_paths(reader: &mut Reader<'_>) -> Result<(KnownFiles, VecDeque<Pending>)> {
    let (mut known, mut pending) = (KnownFiles::default(), VecDeque::new());
    for _ in 0..reader.count()? {
        known.insert(reader.str()?);
    }
    for _ in 0..reader.count()? {
        let FileSplit { path, start, end, found, resume } = FileSplit::decode(reader.bytes()?)?;
        if resume.is_some() {
            return Err(reader.malformed());
        }
        pending.push_back(Pending { file: known.insert(&path).0, is_cut: false, start, end, found });
    }
    Ok((known, pending))
}

/// Version 2 did not have the files as they were found.
fn read_folders(reader: &mut Reader<'_>) -> Result<(KnownFiles, VecDeque<Pending>)> {
    let (mut known, mut pending) = (KnownFiles::default(), VecDeque::new());
    for _ in 0..reader.count()? {
        if !known.add_folder(reader.str()?) {
            return Err(reader.malformed());
        }
    }
    for _ in 0..reader.count()? {
        if !known.add_name(reader.u64()?, reader.str()?) {
            return Err(reader.malformed());
        }
    }
    for _ in 0..reader.count()? {
        let file = u32::try_from(reader.u64()?).ok().filter(|file| (*file as usize) < known.len());
        let file = file.ok_or_else(|| reader.malformed())?;
        let (is_cut, start, end) = (reader.u64()? != 0, reader.u64()?, reader.u64()?);
        let found = if reader.version() < 3 { None } else { FileVersion::decode(reader)? };
        pending.push_back(Pending { file, is_cut, start, end, found });
    }
    Ok((known, pending))
}

#[cfg(test)]
mod tests;
