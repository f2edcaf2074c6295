//! Looks for files and hands out parts of them.
use std::collections::{HashSet, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use regex::Regex;
use wiesel_common::ending;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};

use super::compression::is_compressed;
use super::known_files::KnownFiles;
use super::partitions::PartitionFilter;
use super::path::{LIMITS, MOST_LEFT_OUT, Root, list, too_large, unreadable};
use super::records::LONGEST_RECORD;
use super::split::FileSplit;
use super::store_listing;
use crate::encoding::{Reader, Writer};
use crate::enumerator::Waiting;
use crate::input::Files;

/// Files are cut into parts of at least ...
const LEAST_SPLIT: u64 = 8 << 20;
/// ... and at most so many bytes.
const MOST_SPLIT: u64 = 128 << 20;

/// The bytes that the files take which are known, and those that no reader has yet, at most.
const MOST_BYTES: usize = 512 << 20;

const STATE: &str = "the files that a source has seen";

pub(super) struct FileEnumerator {
    root: Root,
    files: Files,
    pattern: Option<Regex>,
    /// Milliseconds; none: the files of the first look are all.
    interval: Option<u64>,
    parallelism: u32,
    /// Bytes that may hide a line end inside a record.
    line_hiders: Vec<u8>,
    /// Files that it does not pass are not read.
    filter: PartitionFilter,
    known: KnownFiles,
    /// What is not read, and was warned of.
    left_out: HashSet<PathBuf>,
    pending: VecDeque<Pending>,
    most_bytes: usize,
    waiting: Waiting,
    discovered: bool,
    /// Bytes that were looked at to cut files.
    looked_at: u64,
    /// How many of them one discovery looks at, about: a checkpoint waits for it.
    most_looked_at: u64,
}

/// What no reader has yet of a known file.
#[derive(Clone, Copy)]
struct Pending {
    file: u32,
    /// Whether it is cut as it is given out: a file may be as large as a number, and have billions of parts.
    is_cut: bool,
    start: u64,
    /// The largest number: to the end of the file. If it is cut: the length that the file had when it was found.
    end: u64,
}

impl FileEnumerator {
    pub(super) fn new(
        root: Root,
        files: Files,
        pattern: Option<Regex>,
        interval: Option<u64>,
        parallelism: u32,
        line_hiders: Vec<u8>,
        filter: PartitionFilter,
    ) -> Self {
        Self {
            root,
            files,
            pattern,
            interval,
            parallelism,
            line_hiders,
            filter,
            known: KnownFiles::default(),
            left_out: HashSet::new(),
            pending: VecDeque::new(),
            most_bytes: MOST_BYTES,
            waiting: Waiting::default(),
            discovered: false,
            looked_at: 0,
            most_looked_at: MOST_SPLIT,
        }
    }

    fn look(&mut self) -> Result<()> {
        self.discovered = true;
        let mut found = Vec::new();
        let Self { root, files, pattern, known, pending, most_bytes, .. } = self;
        let mut take = |path: &str, length: u64| -> Result<()> {
            let (file, is_new) = known.insert(path);
            if is_new {
                found.push((file, length));
                check_bytes(root, known, pending, *most_bytes)?;
            }
            Ok(())
        };
        let others = match &*root {
            Root::Local(path) => list(path, pattern.as_ref(), LIMITS, &mut take)?,
            Root::Store(uri) => {
                store_listing::list(files, uri, pattern.as_ref(), LIMITS, &mut take)?;
                Vec::new()
            }
        };
        for path in others {
            if self.left_out.len() < MOST_LEFT_OUT && self.left_out.insert(path.clone()) {
                tracing::warn!(
                    path = %path.display(),
                    "left out: a FIFO, a socket, a device or a folder of the system, only files are read"
                );
            }
        }
        found.sort_unstable_by(|(one, _), (other, _)| self.known.compare(*one, *other));
        for (file, length) in found {
            ending::check()?;
            let path = self.known.path(file);
            if self.filter.passes(&path)? {
                let is_whole = length <= self.part(length, 0) || is_compressed(&path);
                let end = if is_whole { u64::MAX } else { length };
                self.pending.push_back(Pending { file, is_cut: !is_whole, start: 0, end });
                check_bytes(&self.root, &self.known, &self.pending, self.most_bytes)?;
            }
        }
        Ok(())
    }

    /// How many bytes from `start` on the next part of a file of this length has; all that are left rather than one of these
    /// and a small one.
    fn part(&self, length: u64, start: u64) -> u64 {
        let size = (length / (u64::from(self.parallelism) * 4)).clamp(LEAST_SPLIT, MOST_SPLIT);
        let left = length.saturating_sub(start);
        if left <= size + size / 2 { left } else { size }
    }

    fn next_split(&mut self) -> Result<Option<FileSplit>> {
        let Some(Pending { file, is_cut, start, end }) = self.pending.pop_front() else { return Ok(None) };
        let path = self.known.path(file);
        if !is_cut {
            return Ok(Some(FileSplit::new(path, start, end)));
        }
        let next = start + self.part(end, start);
        if next < end && !self.line_hiders.is_empty() {
            self.looked_at += next - start;
        }
        let cut = if next < end { cut(&self.files, &path, start, next, &self.line_hiders)? } else { None };
        let Some(next) = cut.filter(|next| *next < end) else {
            return Ok(Some(FileSplit::new(path, start, u64::MAX)));
        };
        self.pending.push_front(Pending { file, is_cut, start: next, end });
        Ok(Some(FileSplit::new(path, start, next)))
    }

    /// A reader waits though there is something to read.
    fn is_behind(&self) -> bool {
        !self.pending.is_empty() && !self.waiting.is_empty()
    }

    fn assign(&mut self, subtask: u32) -> Result<SplitAssignment> {
        Ok(match self.next_split()? {
            Some(split) => SplitAssignment::Splits(vec![split.encode()]),
            None if self.interval.is_none() => SplitAssignment::NoMoreSplits,
            None => {
                self.waiting.add(subtask);
                SplitAssignment::Wait
            }
        })
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        if !self.is_behind() && (!self.discovered || self.interval.is_some()) {
            self.look()?;
        }
        let mut given = Vec::new();
        let most = self.looked_at + self.most_looked_at;
        while self.is_behind() && self.looked_at < most {
            if let Some(subtask) = self.waiting.pop() {
                given.push((subtask, self.assign(subtask)?));
            }
        }
        Ok(given)
    }

    /// What one discovery left goes on at once, behind checkpoints that wait.
    fn discovery_interval(&self) -> Option<u64> {
        if self.is_behind() { Some(1) } else { self.interval }
    }

    fn request_split(&mut self, subtask: u32, _hostname: &str) -> Result<SplitAssignment> {
        if !self.discovered {
            self.look()?;
        }
        self.assign(subtask)
    }

    /// Files that were seen are remembered also where nothing looks for new ones: a restore may begin to.
    fn snapshot(&mut self) -> Result<Bytes> {
        let mut out = Writer::new(2);
        out.reserve(held(&self.known, &self.pending));
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
        for Pending { file, is_cut, start, end } in &self.pending {
            out.u64(u64::from(*file)).u64(u64::from(*is_cut)).u64(*start).u64(*end);
        }
        Ok(out.finish())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader::new(STATE, 2, state)?;
        self.discovered = reader.u64()? != 0;
        (self.known, self.pending) = match reader.version() {
            1 => read_whole_paths(&mut reader)?,
            _ => read_folders(&mut reader)?,
        };
        reader.end()
    }
}

/// Version 1 had whole paths, and files cut into all of their parts.
fn read_whole_paths(reader: &mut Reader<'_>) -> Result<(KnownFiles, VecDeque<Pending>)> {
    let (mut known, mut pending) = (KnownFiles::default(), VecDeque::new());
    for _ in 0..reader.count()? {
        known.insert(reader.str()?);
    }
    for _ in 0..reader.count()? {
        let FileSplit { path, start, end, resume } = FileSplit::decode(reader.bytes()?)?;
        if resume.is_some() {
            return Err(reader.malformed());
        }
        pending.push_back(Pending { file: known.insert(&path).0, is_cut: false, start, end });
    }
    Ok((known, pending))
}

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
        pending.push_back(Pending { file, is_cut, start, end });
    }
    Ok((known, pending))
}

/// The bytes that the enumerator holds of files.
fn held(known: &KnownFiles, pending: &VecDeque<Pending>) -> usize {
    known.bytes() + pending.capacity() * size_of::<Pending>()
}

fn check_bytes(root: &Root, known: &KnownFiles, pending: &VecDeque<Pending>, most: usize) -> Result<()> {
    if held(known, pending) <= most {
        return Ok(());
    }
    let files = known.len();
    Err(too_large(
        root,
        &format!(
            "more files than can be remembered: {files} take more than {most} bytes, those counted that were seen before and \
             are gone"
        ),
    ))
}

/// Where a part of a file ends that begins at `start` and is to end at `end`. Where a record may hold line ends, which one of
/// `line_hiders` tells, it is behind the first line end from there on. None: a line end from there on may lie inside a record, or
/// there is none as far as a record may go, so that what is left of the file is one part.
///
/// `start` is 0 or such an end, so that nothing before it needs to be read again: a file is looked at part by part, while readers read
/// the parts before. In an older checkpoint it may lie within a line, of a file that had none of `line_hiders` anywhere.
pub(super) fn cut(files: &Files, path: &str, start: u64, end: u64, line_hiders: &[u8]) -> Result<Option<u64>> {
    if line_hiders.is_empty() {
        return Ok(Some(end));
    }
    let failed = |error| unreadable(Path::new(path), error);
    let (mut file, _) = files.open(path).map_err(failed)?;
    file.seek_to(start).map_err(failed)?;
    file.expect_to_read_to(end);
    let mut buffer = vec![0; 1 << 20];
    let mut at = start;
    while at <= end.saturating_add(LONGEST_RECORD as u64) {
        ending::check()?;
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(None);
        }
        let bytes = &buffer[..read];
        // A line that ends with the byte before `end` is the last one of the part.
        let from = usize::try_from(end.saturating_sub(at + 1)).unwrap_or(usize::MAX).min(read);
        let line_end = memchr::memchr(b'\n', &bytes[from..]).map(|offset| from + offset);
        // The line end may be one of them itself.
        let up_to = &bytes[..line_end.map_or(read, |line_end| line_end + 1)];
        if line_hiders.iter().any(|hider| memchr::memchr(*hider, up_to).is_some()) {
            return Ok(None);
        }
        if let Some(line_end) = line_end {
            return Ok(Some(at + line_end as u64 + 1));
        }
        at += read as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn enumerator(root: &Path, parallelism: u32) -> FileEnumerator {
        let filter = PartitionFilter::new(&[], &[], String::new()).unwrap();
        FileEnumerator::new(Root::Local(root.to_owned()), Files::default(), None, None, parallelism, Vec::new(), filter)
    }

    fn given(enumerator: &mut FileEnumerator) -> Vec<FileSplit> {
        std::iter::from_fn(|| enumerator.next_split().unwrap()).collect()
    }

    /// Failed before: only the paths of one listing were counted, each of which was held up to three times.
    #[test]
    fn what_is_known_of_files_has_a_bound_over_all_looks() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = enumerator(folder.path(), 1);
        files.most_bytes = 64 << 10;
        let mut looks = 0;
        let refused = loop {
            let path = folder.path().join(format!("{looks}-{}", "n".repeat(200)));
            fs::write(&path, "1").unwrap();
            if let Err(error) = files.look() {
                break error.to_string();
            }
            assert!(held(&files.known, &files.pending) <= files.most_bytes);
            assert_eq!(given(&mut files).len(), 1);
            fs::remove_file(&path).unwrap();
            looks += 1;
            assert!(looks < 1000, "no bound");
        };
        let root = folder.path().to_str().unwrap();
        assert!(refused.contains(root) && refused.contains("more than 65536 bytes"), "{refused}");
        assert!(refused.contains("name a folder with fewer files"), "{refused}");
    }

    /// Failed before: all parts of a file were made at once, 2^36 of one that is as long as a number.
    #[test]
    fn a_large_file_is_cut_as_it_is_given_out() {
        const LENGTH: u64 = 1 << 40;
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("sparse")).unwrap().set_len(LENGTH).unwrap();
        let mut files = enumerator(folder.path(), 2);
        files.look().unwrap();
        let (pending, bytes) = (files.pending.len(), held(&files.known, &files.pending));
        assert!(pending == 1 && bytes < 16 << 10, "{pending} in {bytes} bytes");
        let mut splits: Vec<FileSplit> = (0..10).map(|_| files.next_split().unwrap().unwrap()).collect();
        // What is left is cut behind a restore too.
        let mut restored = enumerator(folder.path(), 2);
        restored.restore(&files.snapshot().unwrap()).unwrap();
        splits.append(&mut given(&mut restored));
        assert_eq!(splits.len() as u64, LENGTH / MOST_SPLIT);
        assert_eq!((splits[0].start, splits[splits.len() - 1].end), (0, u64::MAX));
        assert!(splits.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    /// Failed before: the JobManager read each such file to its first quote, or whole, before it gave out anything, and no checkpoint
    /// was taken meanwhile; a file with a quote was read by one reader.
    #[test]
    fn a_file_that_may_hide_line_ends_is_looked_at_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let line = format!("1,{}\n", "x".repeat(1021));
        let before = line.repeat(30 << 10);
        let quoted = format!("{before}2,\"y\n\"\n{}", line.repeat(30 << 10));
        for (text, parts) in [(&before, 4), (&quoted, 2)] {
            fs::write(&path, text).unwrap();
            let mut files = enumerator(folder.path(), 1);
            files.line_hiders = vec![b'"', b'\\'];
            files.look().unwrap();
            {
                // It ends with its job.
                let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
                assert!(files.next_split().is_err());
            }
            let mut files = enumerator(folder.path(), 1);
            files.line_hiders = vec![b'"', b'\\'];
            files.look().unwrap();
            let mut splits = vec![files.next_split().unwrap().unwrap()];
            let mut restored = enumerator(folder.path(), 1);
            restored.line_hiders = vec![b'"', b'\\'];
            restored.restore(&files.snapshot().unwrap()).unwrap();
            splits.append(&mut given(&mut restored));
            let ends: Vec<u64> = splits.iter().map(|split| split.end).collect();
            assert!(splits.len() == parts && splits[0].start == 0 && ends[parts - 1] == u64::MAX, "{ends:?}");
            for pair in splits.windows(2) {
                assert!(pair[0].end == pair[1].start && pair[1].start <= before.len() as u64, "{ends:?}");
                assert_eq!(text.as_bytes()[pair[0].end as usize - 1], b'\n');
            }
        }
    }

    /// Without it a call would look at a part for each reader that waits for new files.
    #[test]
    fn readers_that_wait_for_parts_get_them_in_several_calls() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = enumerator(folder.path(), 1);
        files.line_hiders = vec![b'"'];
        files.interval = Some(60_000);
        (0..3).for_each(|subtask| assert_eq!(files.request_split(subtask, "").unwrap(), SplitAssignment::Wait));
        let path = folder.path().join("t.csv");
        fs::write(&path, format!("{}\n", "x".repeat(1023)).repeat(40 << 10)).unwrap();
        files.most_looked_at = 1;
        for reader in 0..3 {
            let given = files.discover().unwrap();
            assert!(
                matches!(given.as_slice(), [(subtask, SplitAssignment::Splits(_))] if *subtask == reader),
                "{given:?}"
            );
            assert_eq!(files.discovery_interval(), Some(if reader < 2 { 1 } else { 60_000 }));
        }
        assert_eq!(given(&mut files).len(), 1);
    }

    #[test]
    fn a_part_ends_behind_a_line_that_no_quote_is_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let text = "1,a\n2,b\r\n3,\"x\ny\"\n4,d\n";
        fs::write(&path, text).unwrap();
        let cut = |end| cut(&Files::default(), path.to_str().unwrap(), 0, end, b"\"").unwrap();
        for end in 1..text.len() as u64 {
            let wanted = match end {
                ..=4 => Some(4),
                5..=9 => Some(9),
                _ => None,
            };
            assert_eq!(cut(end), wanted, "{end}");
        }
        fs::write(&path, "1,a").unwrap();
        assert_eq!(cut(2), None);
        // Failed before: behind a line feed that is itself the escape character, the record goes on.
        fs::write(&path, "1,a\nb\r2,c\n").unwrap();
        assert_eq!(super::cut(&Files::default(), path.to_str().unwrap(), 0, 2, b"\n").unwrap(), None);
        // As far as no reader gets.
        File::create(&path).unwrap().set_len(2 * LONGEST_RECORD as u64).unwrap();
        assert_eq!(cut(2), None);
    }

    #[test]
    fn what_was_written_with_whole_paths_is_read() {
        let mut state = Writer::new(1);
        state.u64(1).u64(3).bytes(b"/t/a").bytes(b"/t/b").bytes(b"/t/p=1/c").u64(2);
        let splits = [FileSplit::new("/t/b".into(), 5, 9), FileSplit::new("/t/p=1/c".into(), 0, u64::MAX)];
        splits.iter().for_each(|split| _ = state.bytes(&split.encode()));
        let mut files = enumerator(Path::new("/t"), 1);
        files.restore(&state.finish()).unwrap();
        assert!(files.discovered && files.known.len() == 3);
        let state = files.snapshot().unwrap();
        let mut again = enumerator(Path::new("/t"), 1);
        again.restore(&state).unwrap();
        assert_eq!(given(&mut files), splits);
        assert_eq!(given(&mut again), splits);
        assert!(!again.known.insert("/t/a").1 && again.known.insert("/t/c").1);
        // What was cut off or does not fit together is refused.
        for length in 0..state.len() {
            assert!(enumerator(Path::new("/t"), 1).restore(&state[..length]).is_err(), "{length}");
        }
        let mut no_such_folder = Writer::new(2);
        no_such_folder.u64(1).u64(1).bytes(b"/t/").u64(1).u64(1).bytes(b"a").u64(0);
        let mut no_such_file = Writer::new(2);
        no_such_file.u64(1).u64(0).u64(0).u64(1).u64(0).u64(0).u64(0).u64(0);
        for mut state in [no_such_folder, no_such_file] {
            assert!(enumerator(Path::new("/t"), 1).restore(&state.finish()).is_err());
        }
    }
}
