//! Looks for files and hands out parts of them.
use std::collections::{HashSet, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use regex::Regex;
use wiesel_common::filesystem::open_regular;
use wiesel_operators::ending;
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};

use super::compression::is_compressed;
use super::partitions::PartitionFilter;
use super::path::{LIMITS, Listing, list, unreadable};
use super::split::FileSplit;
use crate::encoding::{Reader, Writer};
use crate::enumerator::Waiting;

/// Files are cut into parts of at least ...
const LEAST_SPLIT: u64 = 8 << 20;
/// ... and at most so many bytes.
const MOST_SPLIT: u64 = 128 << 20;

/// So many things that are not read are warned of, at most.
const MOST_LEFT_OUT: usize = 100;

pub(super) struct FileEnumerator {
    root: PathBuf,
    pattern: Option<Regex>,
    /// Milliseconds; none: the files of the first look are all.
    interval: Option<u64>,
    parallelism: u32,
    /// Bytes that may hide a line end inside a record.
    line_hiders: Vec<u8>,
    /// Files that it does not pass are not read.
    filter: PartitionFilter,
    known: HashSet<String>,
    /// What is not read, and was warned of.
    left_out: HashSet<PathBuf>,
    pending: VecDeque<FileSplit>,
    waiting: Waiting,
    discovered: bool,
}

impl FileEnumerator {
    pub(super) fn new(
        root: PathBuf,
        pattern: Option<Regex>,
        interval: Option<u64>,
        parallelism: u32,
        line_hiders: Vec<u8>,
        filter: PartitionFilter,
    ) -> Self {
        Self {
            root,
            pattern,
            interval,
            parallelism,
            line_hiders,
            filter,
            known: HashSet::new(),
            left_out: HashSet::new(),
            pending: VecDeque::new(),
            waiting: Waiting::default(),
            discovered: false,
        }
    }

    fn look(&mut self) -> Result<()> {
        self.discovered = true;
        let Listing { files, others } = list(&self.root, self.pattern.as_ref(), LIMITS)?;
        for path in others {
            if self.left_out.len() < MOST_LEFT_OUT && self.left_out.insert(path.clone()) {
                tracing::warn!(
                    path = %path.display(),
                    "left out: a FIFO, a socket, a device or a folder of the system, only files are read"
                );
            }
        }
        for (path, length) in files {
            ending::check()?;
            if self.known.insert(path.clone()) && self.filter.passes(&path)? {
                self.cut(path, length)?;
            }
        }
        Ok(())
    }

    /// Whole records only: a file whose records may hold line ends is not cut.
    fn cut(&mut self, path: String, length: u64) -> Result<()> {
        let size = (length / (u64::from(self.parallelism) * 4)).clamp(LEAST_SPLIT, MOST_SPLIT);
        let whole = length <= size + size / 2 || is_compressed(&path) || holds(&path, &self.line_hiders)?;
        if whole {
            self.pending.push_back(FileSplit::new(path, 0, u64::MAX));
            return Ok(());
        }
        let mut start = 0;
        while start < length {
            let end = if length - start <= size + size / 2 { u64::MAX } else { start + size };
            self.pending.push_back(FileSplit::new(path.clone(), start, end));
            if end == u64::MAX {
                break;
            }
            start = end;
        }
        Ok(())
    }

    fn assign(&mut self, subtask: u32) -> SplitAssignment {
        match self.pending.pop_front() {
            Some(split) => SplitAssignment::Splits(vec![split.encode()]),
            None if self.interval.is_none() => SplitAssignment::NoMoreSplits,
            None => {
                self.waiting.add(subtask);
                SplitAssignment::Wait
            }
        }
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        if !self.discovered || self.interval.is_some() {
            self.look()?;
        }
        let mut given = Vec::new();
        while !self.pending.is_empty() && !self.waiting.is_empty() {
            if let Some(subtask) = self.waiting.pop() {
                given.push((subtask, self.assign(subtask)));
            }
        }
        Ok(given)
    }

    fn discovery_interval(&self) -> Option<u64> {
        self.interval
    }

    fn request_split(&mut self, subtask: u32, _hostname: &str) -> Result<SplitAssignment> {
        if !self.discovered {
            self.look()?;
        }
        Ok(self.assign(subtask))
    }

    /// Files that were seen are remembered also where nothing looks for new ones: a restore may begin to.
    fn snapshot(&mut self) -> Result<Bytes> {
        let mut out = Writer::new(1);
        out.u64(u64::from(self.discovered));
        let mut known: Vec<&String> = self.known.iter().collect();
        known.sort_unstable();
        out.u64(known.len() as u64);
        known.iter().for_each(|path| {
            out.bytes(path.as_bytes());
        });
        out.u64(self.pending.len() as u64);
        self.pending.iter().for_each(|split| {
            out.bytes(&split.encode());
        });
        Ok(out.finish())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader::new("the files that a source has seen", 1, state)?;
        self.discovered = reader.u64()? != 0;
        self.known = (0..reader.count()?).map(|_| reader.text()).collect::<Result<_>>()?;
        self.pending = (0..reader.count()?).map(|_| FileSplit::decode(reader.bytes()?)).collect::<Result<_>>()?;
        reader.end()
    }
}

/// Whether a file holds one of up to three bytes.
fn holds(path: &str, bytes: &[u8]) -> Result<bool> {
    if bytes.is_empty() {
        return Ok(false);
    }
    let failed = |error| unreadable(Path::new(path), error);
    let mut file = open_regular(Path::new(path)).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        ending::check()?;
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(false);
        }
        let found = match *bytes {
            [a] => memchr::memchr(a, &buffer[..read]),
            [a, b] => memchr::memchr2(a, b, &buffer[..read]),
            _ => return Err(Error::Plan("a format with more than two quoting characters".into())),
        };
        if found.is_some() {
            return Ok(true);
        }
    }
}
