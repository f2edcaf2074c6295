//! The enumerator of sources whose readers know from their position what to read.
use std::collections::BTreeSet;

use bytes::Bytes;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SourceStatus, SplitAssignment, SplitEnumerator};

/// Gives each reader its own split, once.
pub struct OneSplitEach {
    splits: Vec<Option<Bytes>>,
}

impl OneSplitEach {
    /// Reader i gets `splits[i]`.
    pub fn new(splits: Vec<Bytes>) -> Self {
        Self { splits: splits.into_iter().map(Some).collect() }
    }
}

impl SplitEnumerator for OneSplitEach {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, subtask: u32, _hostname: &str) -> Result<SplitAssignment> {
        let split = self.splits.get_mut(subtask as usize).and_then(Option::take);
        Ok(split.map_or(SplitAssignment::NoMoreSplits, |split| SplitAssignment::Splits(vec![split])))
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

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
