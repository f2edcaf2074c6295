//! What the tests of sources and sinks share.
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_common::config::Configuration;
pub(crate) use wiesel_common::time::ManualClock;
use wiesel_expressions::expression::{CLUSTER_TIME_ZONE, LOCAL_TIME_ZONE};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SourceStatus, SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;

use crate::factory;

/// Keeps what is collected.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) batches: Vec<Batch>,
}

impl Collector for Collected {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }

    fn watermark(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _status: WatermarkStatus) -> Result<()> {
        Ok(())
    }
}

/// What an operator knows in a test.
pub(crate) fn context(subtask: u32, parallelism: u32) -> OperatorContext {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    OperatorContext {
        job_id: wiesel_common::id::JobId([7; 16]),
        run: 1,
        task_name: "test".into(),
        attempt_number: 0,
        subtask,
        parallelism,
        max_parallelism: 128,
        configuration: configuration(),
        clock: Arc::new(ManualClock::default()),
        notifier: Arc::default(),
        runtime: RUNTIME.handle().clone(),
    }
}

/// A job's configuration in a test: it always has these time zones.
pub(crate) fn configuration() -> Arc<Configuration> {
    let zones = [LOCAL_TIME_ZONE, CLUSTER_TIME_ZONE];
    Arc::new(zones.into_iter().map(|key| (key.to_owned(), "UTC".to_owned())).collect())
}

/// What an enumerator knows in a test.
pub(crate) fn enumerator_context(parallelism: u32) -> EnumeratorContext {
    EnumeratorContext { parallelism, configuration: configuration() }
}

/// What waiting readers get until an enumerator has found what there is: while it looks it asks to be called again at once.
pub(crate) fn discover_all(enumerator: &mut dyn SplitEnumerator) -> Result<Vec<(u32, SplitAssignment)>> {
    let mut given = Vec::new();
    loop {
        given.extend(enumerator.discover()?);
        if enumerator.discovery_interval() != Some(1) {
            return Ok(given);
        }
    }
}

/// A bounded source whose execution can be cut anywhere and go on from a snapshot.
pub(crate) struct Restarts<'a> {
    pub(crate) spec: &'a proto::SourceSpec,
    pub(crate) clock: Arc<ManualClock>,
}

/// The polls after which a snapshot is taken, and with how many readers the source goes on from it.
pub(crate) type Cut = (usize, u32);

/// What an execution starts from.
#[derive(Default)]
struct Snapshot {
    enumerator: Option<Bytes>,
    splits: Vec<Bytes>,
}

struct Execution {
    enumerator: Box<dyn SplitEnumerator>,
    readers: Vec<(u32, Box<dyn SourceReader>)>,
}

impl<'a> Restarts<'a> {
    pub(crate) fn new(spec: &'a proto::SourceSpec) -> Self {
        Self { spec, clock: Arc::default() }
    }

    /// All batches, with the subtask that made each, and how many polls it took.
    pub(crate) fn run(&self, readers: u32, cuts: &[Cut]) -> Result<(Vec<(u32, Batch)>, usize)> {
        let mut execution = self.start(readers, Snapshot::default())?;
        let (mut batches, mut polls) = (Vec::new(), 0);
        for (after, readers) in cuts {
            polls += self.poll(&mut execution, *after, &mut batches)?;
            let mut snapshot = Snapshot { enumerator: Some(execution.enumerator.snapshot()?), splits: Vec::new() };
            for (_, reader) in &mut execution.readers {
                snapshot.splits.extend(reader.snapshot()?);
            }
            // What comes between the snapshot and the failure is void.
            self.poll(&mut execution, 3, &mut Vec::new())?;
            execution = self.start(*readers, snapshot)?;
        }
        polls += self.poll(&mut execution, usize::MAX, &mut batches)?;
        Ok((batches, polls))
    }

    /// The rows as text, sorted.
    pub(crate) fn rows(&self, readers: u32, cuts: &[Cut]) -> Vec<String> {
        let (batches, _) = self.run(readers, cuts).unwrap();
        let texts = |(_, batch): &(u32, Batch)| {
            (0..batch.num_rows()).map(|row| crate::print::row_text(&batch.records, row)).collect::<Vec<_>>()
        };
        let mut rows: Vec<String> = batches.iter().flat_map(texts).collect();
        rows.sort();
        rows
    }

    /// Cuts a run of `readers` after each poll, and each cut run once more a little later: always the same rows.
    pub(crate) fn check_every_cut(&self, readers: u32) {
        let (_, polls) = self.run(readers, &[]).unwrap();
        let wanted = self.rows(readers, &[]);
        for after in 0..=polls {
            for (first, second) in [(readers, readers), (1, 3), (readers + 1, 1), (5, 2)] {
                let cuts = [(after, first), (2, second)];
                let found = self.rows(readers, &cuts);
                assert!(found == wanted, "{cuts:?}: {} rows instead of {}", found.len(), wanted.len());
            }
        }
    }

    fn start(&self, parallelism: u32, snapshot: Snapshot) -> Result<Execution> {
        let mut enumerator = factory::enumerator(self.spec, enumerator_context(parallelism))?;
        if let Some(state) = &snapshot.enumerator {
            enumerator.restore(state)?;
        }
        assert!(discover_all(&mut *enumerator)?.is_empty());
        let mut readers = Vec::new();
        for subtask in 0..parallelism {
            let mut reader = factory::build_source(self.spec, &BuiltInFormats)?;
            reader.open(&OperatorContext { clock: self.clock.clone(), ..context(subtask, parallelism) })?;
            let splits = snapshot.splits.iter().skip(subtask as usize).step_by(parallelism as usize);
            let splits: Vec<Bytes> = splits.cloned().collect();
            if !splits.is_empty() {
                reader.add_splits(splits)?;
            }
            readers.push((subtask, reader));
        }
        Ok(Execution { enumerator, readers })
    }

    /// Polls reader after reader until there were so many polls or none is left. How many there were.
    fn poll(&self, execution: &mut Execution, most: usize, batches: &mut Vec<(u32, Batch)>) -> Result<usize> {
        let mut polls = 0;
        while polls < most && !execution.readers.is_empty() {
            let (subtask, mut reader) = execution.readers.remove(0);
            let mut out = Collected::default();
            let status = reader.poll(&mut out)?;
            polls += 1;
            batches.extend(out.batches.into_iter().map(|batch| (subtask, batch)));
            if reader.take_split_request() {
                match execution.enumerator.request_split(subtask, "localhost")? {
                    SplitAssignment::Splits(splits) => reader.add_splits(splits)?,
                    SplitAssignment::NoMoreSplits => reader.no_more_splits(),
                    SplitAssignment::Wait => unreachable!("a bounded source"),
                }
            }
            if let SourceStatus::NothingAvailable { until: Some(until) } = status {
                self.clock.0.fetch_max(until, Ordering::SeqCst);
            }
            if status != SourceStatus::EndOfInput {
                execution.readers.push((subtask, reader));
            }
        }
        Ok(polls)
    }
}
