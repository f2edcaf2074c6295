//! Files that are read: of this machine, or of a store that gives ranges of them.
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wiesel_common::config::Configuration;
use wiesel_common::filesystem::{self, Location, Status, open_regular};
use wiesel_common::spawn;
use wiesel_operators::bulk_format::RandomAccess;
use wiesel_operators::operator::{Error, Result as TaskResult};

use crate::blocking;

mod scratch;

pub(crate) use scratch::Scratch;

/// Bytes of one request where a file is read from one end to the other, ...
const CHUNK: u64 = 4 << 20;
/// ... and behind what is expected to be read: the rest of a record.
const SMALL_CHUNK: u64 = 256 << 10;
/// Of files that are read here and there so much is fetched at once, ...
const BLOCK: u64 = 1 << 20;
/// ... in requests of so many blocks at most, ...
const BLOCKS_AT_ONCE: usize = 8;
/// ... of which so many are under way.
const REQUESTS: usize = 4;

/// Opens files, with what a job knows of stores.
#[derive(Clone, Default)]
pub(crate) struct Files {
    configuration: Arc<Configuration>,
    runtime: Option<Handle>,
}

impl Files {
    /// For a thread that works for no runtime.
    pub(crate) fn new(configuration: Arc<Configuration>, runtime: Handle) -> Self {
        Self { configuration, runtime: Some(runtime) }
    }

    /// For a thread that may wait, with the runtime that it works for.
    pub(crate) fn here(configuration: Arc<Configuration>) -> Self {
        Self { configuration, runtime: Handle::try_current().ok() }
    }

    /// The place of a URI.
    pub(crate) fn location(&self, uri: &str) -> TaskResult<Location> {
        Location::of_uri(uri, &self.configuration).map_err(failed)
    }

    /// Waits for what is done in the background.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = filesystem::Result<T>>) -> TaskResult<T> {
        self.wait_for(work)?.map_err(failed)
    }

    /// The same, with the failure as it is.
    pub(crate) fn wait_for<T>(
        &self,
        work: impl Future<Output = filesystem::Result<T>>,
    ) -> TaskResult<filesystem::Result<T>> {
        blocking::wait(self.runtime()?, work)
    }

    fn runtime(&self) -> TaskResult<&Handle> {
        self.runtime.as_ref().ok_or_else(|| Error::Plan("a file of a store where no runtime is".into()))
    }

    /// Opens a file, and says which one it is.
    pub(crate) fn open(&self, path: &str) -> io::Result<(InputFile, Status)> {
        if !Location::is_object_uri(path) {
            let file = open_regular(Path::new(path))?;
            let status = Status::of(&file.metadata()?);
            return Ok((InputFile::Local(file), status));
        }
        let location = Location::of_uri(path, &self.configuration).map_err(as_io)?;
        let runtime = self.runtime().map_err(io::Error::other)?.clone();
        let status = blocking::wait(&runtime, location.status()).map_err(io::Error::other)?.map_err(as_io)?;
        let source = Arc::new(Source { location, status: status.clone(), runtime });
        let scratch = Scratch::new(&self.configuration);
        Ok((InputFile::Stored(StoredFile::new(source, scratch)), status))
    }
}

/// The error of a file of a store, which names it.
pub(crate) fn failed(error: filesystem::Error) -> Error {
    Error::external(error.to_string(), error)
}

fn as_io(error: filesystem::Error) -> io::Error {
    let kind = if error.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

/// A file that is open.
pub(crate) enum InputFile {
    /// Of this machine.
    Local(File),
    /// Of a store.
    Stored(StoredFile),
}

impl InputFile {
    /// Goes to a place.
    pub(crate) fn seek_to(&mut self, position: u64) -> io::Result<()> {
        match self {
            Self::Local(file) => file.seek(SeekFrom::Start(position)).map(drop),
            Self::Stored(file) => {
                file.sequence.position = position;
                Ok(())
            }
        }
    }

    /// Bytes from here up to that place are about to be read one after another, and few behind it.
    pub(crate) fn expect_to_read_to(&mut self, end: u64) {
        if let Self::Stored(file) = self {
            file.sequence.expected_end = end;
        }
    }
}

impl Read for InputFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(into),
            Self::Stored(file) => file.sequence.read(&file.source, into),
        }
    }
}

impl RandomAccess for InputFile {
    fn length(&self) -> io::Result<u64> {
        match self {
            Self::Local(file) => file.length(),
            Self::Stored(file) => Ok(file.source.status.size),
        }
    }

    fn read_exact_from(&self, position: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Local(file) => file.read_exact_from(position, into),
            Self::Stored(file) => file.read_exact_at(into, position),
        }
    }

    fn expect_to_read(&self, start: u64, end: u64) -> io::Result<()> {
        match self {
            Self::Local(file) => file.expect_to_read(start, end),
            Self::Stored(file) => file.fetch(start, end),
        }
    }
}

/// Where the bytes of a file of a store come from.
struct Source {
    location: Location,
    /// As it was opened: no byte of another content is read.
    status: Status,
    runtime: Handle,
}

impl Source {
    /// Begins to get bytes.
    fn get(self: &Arc<Self>, start: u64, end: u64) -> Request {
        let source = self.clone();
        Request(spawn::owned_on(&self.runtime, async move {
            source.location.read_range_of(&source.status, start..end).await
        }))
    }

    fn wait(&self, mut request: Request) -> io::Result<Bytes> {
        let got = blocking::wait(&self.runtime, &mut request.0).map_err(io::Error::other)?;
        got.map_err(io::Error::other)?.map_err(as_io)
    }
}

/// A request under way, which ends with its owner.
struct Request(JoinHandle<filesystem::Result<Bytes>>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A file of a store. It is read from one end to the other in large requests, one of them ahead, or here and there: then what was
/// fetched is in a scratch file, because what reads a bulk format comes back to it.
pub(crate) struct StoredFile {
    source: Arc<Source>,
    fetched: Fetched,
    sequence: Sequence,
}

impl StoredFile {
    fn new(source: Arc<Source>, scratch: Scratch) -> Self {
        Self {
            source,
            fetched: Fetched { scratch, blocks: Mutex::default() },
            sequence: Sequence { expected_end: u64::MAX, ..Sequence::default() },
        }
    }

    fn read_exact_at(&self, into: &mut [u8], position: u64) -> io::Result<()> {
        let end = position.saturating_add(into.len() as u64);
        if end > self.source.status.size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before that"));
        }
        self.fetch(position, end)?;
        let blocks = self.fetched.blocks.lock();
        match &blocks.file {
            Some(file) => file.read_exact_at(into, position),
            None => Ok(()),
        }
    }

    /// Has these bytes in the scratch file.
    fn fetch(&self, start: u64, end: u64) -> io::Result<()> {
        let size = self.source.status.size;
        let end = end.min(size);
        if start >= end {
            return Ok(());
        }
        let mut blocks = self.fetched.blocks.lock();
        if blocks.file.is_none() {
            blocks.file = Some(self.fetched.scratch.create()?);
            blocks.is_there = vec![false; usize::try_from(size.div_ceil(BLOCK)).map_err(io::Error::other)?];
        }
        let mut missing = blocks.missing((start / BLOCK) as usize, end.div_ceil(BLOCK) as usize).into_iter().peekable();
        while missing.peek().is_some() {
            let now = missing.by_ref().take(REQUESTS);
            let requests = now.map(|(first, behind)| {
                let (start, end) = (first as u64 * BLOCK, (behind as u64 * BLOCK).min(size));
                (first, behind, self.source.get(start, end))
            });
            for (first, behind, request) in requests.collect::<Vec<_>>() {
                let bytes = self.source.wait(request)?;
                if let Some(file) = &blocks.file {
                    let written = file.write_all_at(&bytes, first as u64 * BLOCK);
                    written.map_err(|error| self.fetched.scratch.failed(error))?;
                }
                blocks.is_there[first..behind].fill(true);
            }
        }
        Ok(())
    }
}

/// What was fetched of a file.
struct Fetched {
    scratch: Scratch,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    /// As long as the file, and with holes.
    file: Option<File>,
    /// By number.
    is_there: Vec<bool>,
}

impl Blocks {
    /// Runs of blocks that are not there, none longer than is fetched at once.
    fn missing(&self, first: usize, behind: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in (first..behind.min(self.is_there.len())).filter(|block| !self.is_there[*block]) {
            match runs.last_mut() {
                Some((start, end)) if *end == block && block - *start < BLOCKS_AT_ONCE => *end += 1,
                _ => runs.push((block, block + 1)),
            }
        }
        runs
    }
}

/// A file that is read from one end to the other.
#[derive(Default)]
struct Sequence {
    position: u64,
    /// The bytes from `position` on that were got.
    chunk: Bytes,
    /// Where `chunk` begins.
    chunk_start: u64,
    /// The next ones.
    ahead: Option<(u64, u64, Request)>,
    expected_end: u64,
}

impl Sequence {
    fn read(&mut self, source: &Arc<Source>, into: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() || self.chunk_start != self.position {
            self.next_chunk(source)?;
        }
        let read = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..read]);
        self.position += read as u64;
        self.chunk_start = self.position;
        Ok(read)
    }

    fn next_chunk(&mut self, source: &Arc<Source>) -> io::Result<()> {
        self.chunk = Bytes::new();
        let (start, end) = self.range(source, self.position);
        let request = match self.ahead.take() {
            Some((ahead, ahead_end, request)) if ahead == start => {
                self.read_ahead(source, ahead_end);
                request
            }
            _ if start == end => return Ok(()),
            _ => {
                let request = source.get(start, end);
                self.read_ahead(source, end);
                request
            }
        };
        self.chunk = source.wait(request)?;
        self.chunk_start = start;
        Ok(())
    }

    fn read_ahead(&mut self, source: &Arc<Source>, from: u64) {
        let (start, end) = self.range(source, from);
        if start < end && start < self.expected_end {
            self.ahead = Some((start, end, source.get(start, end)));
        }
    }

    /// What is got at once from there on.
    fn range(&self, source: &Source, from: u64) -> (u64, u64) {
        let size = source.status.size;
        let length = match self.expected_end.saturating_sub(from) {
            0 => SMALL_CHUNK,
            expected => expected.min(CHUNK),
        };
        (from.min(size), from.saturating_add(length).min(size))
    }
}

#[cfg(test)]
mod tests;
