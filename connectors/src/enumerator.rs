//! The enumerator of sources whose readers know from their position what to read.
use std::collections::BTreeSet;

use bytes::Bytes;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SourceStatus, SplitAssignment, SplitEnumerator};

use crate::encoding::{Reader, Writer};

/// Gives each reader its own split, once.
pub struct OneSplitEach {
    readers: u32,
    /// Not given yet: for which reader, and the split.
    splits: Vec<(u32, Bytes)>,
}

const STATE: &str = "splits that no reader had";

impl OneSplitEach {
    /// Reader i gets `splits[i]`.
    pub fn new(readers: u32, splits: Vec<Bytes>) -> Self {
        Self { readers: readers.max(1), splits: (0..).zip(splits).collect() }
    }
}

impl SplitEnumerator for OneSplitEach {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    /// After a restore there may be fewer readers than there were: each then also gets splits of those that are gone.
    fn request_split(&mut self, subtask: u32, _hostname: &str) -> Result<SplitAssignment> {
        let readers = self.readers;
        let given: Vec<Bytes> =
            self.splits.extract_if(.., |(owner, _)| *owner % readers == subtask).map(|(_, split)| split).collect();
        Ok(if given.is_empty() { SplitAssignment::NoMoreSplits } else { SplitAssignment::Splits(given) })
    }

    fn snapshot(&mut self) -> Result<Bytes> {
        let mut out = Writer::new(1);
        out.u64(self.splits.len() as u64);
        for (owner, split) in &self.splits {
            out.u64(u64::from(*owner)).bytes(split);
        }
        Ok(out.finish())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader::new(STATE, 1, state)?;
        self.splits.clear();
        for _ in 0..reader.count()? {
            let owner = reader.u64()? as u32;
            self.splits.push((owner, Bytes::copy_from_slice(reader.bytes()?)));
        }
        reader.end()
    }

    /// Splits are given as they are, so that those that were are found.
    fn given(&mut self, given: &[(u32, Bytes)]) -> Result<bool> {
        let readers = self.readers;
        for (subtask, split) in given {
            let is_it = |(owner, known): &(u32, Bytes)| *owner % readers == *subtask && known == split;
            let Some(position) = self.splits.iter().position(is_it) else { return Ok(false) };
            self.splits.remove(position);
        }
        Ok(true)
    }
}

/// When a reader asks for a split: once after it was opened, and once after each time it ran out.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    wanted: bool,
    finished: bool,
}

impl Requests {
    /// The reader has nothing to read.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// The reader got something to read, maybe without having asked: from a restored checkpoint.
    pub(crate) fn have(&mut self) {
        self.wanted = false;
    }

    /// What [`wiesel_operators::source::SourceReader::take_split_request`] answers.
    pub(crate) fn take(&mut self) -> bool {
        std::mem::take(&mut self.wanted) && !self.finished
    }

    /// No splits will come.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// What a reader without a split has to say.
    pub(crate) fn status(&self) -> SourceStatus {
        if self.finished { SourceStatus::EndOfInput } else { SourceStatus::NothingAvailable { until: None } }
    }
}

/// Readers that wait for a split.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeSet<u32>);

impl Waiting {
    /// Remembers a reader.
    pub(crate) fn add(&mut self, subtask: u32) {
        self.0.insert(subtask);
    }

    /// Takes one that waits.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.0.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_have_is_not_given_again_and_what_did_not_arrive_is() {
        let split = |name: &'static str| Bytes::from_static(name.as_bytes());
        let mut before = OneSplitEach::new(4, ["a", "b", "c", "d"].map(split).to_vec());
        before.request_split(0, "").unwrap();
        let state = before.snapshot().unwrap();
        // Two readers of the four that there were: each has the splits of two.
        let restored = || {
            let mut restored = OneSplitEach::new(2, Vec::new());
            restored.restore(&state).unwrap();
            restored
        };
        let mut enumerator = restored();
        assert!(enumerator.given(&[(1, split("b")), (1, split("d"))]).unwrap());
        assert_eq!(enumerator.request_split(1, "").unwrap(), SplitAssignment::NoMoreSplits);
        assert_eq!(enumerator.request_split(0, "").unwrap(), SplitAssignment::Splits(vec![split("c")]));
        for unlikely in [vec![(0, split("b"))], vec![(0, split("a"))], vec![(0, split("c")), (0, split("c"))]] {
            assert!(!restored().given(&unlikely).unwrap(), "{unlikely:?}");
        }
    }
}
