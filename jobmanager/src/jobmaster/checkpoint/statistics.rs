//! What REST shows of checkpoints: counts, the latest of each kind, a short history, and sums over all.
use std::collections::VecDeque;
use std::sync::Arc;

use wiesel_common::id::VertexId;
use wiesel_proto as proto;

/// Checkpoints that the percentiles are taken over.
const WINDOW: usize = 1000;

/// Where a checkpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Under way.
    InProgress,
    /// Durable.
    Completed,
    /// It will never be.
    Failed,
}

/// What one subtask reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubtaskRecord {
    /// When it did (milliseconds since the epoch).
    pub acknowledged: i64,
    /// What.
    pub metrics: proto::CheckpointMetrics,
}

/// A vertex in a checkpoint.
#[derive(Clone, Debug)]
pub struct VertexRecord {
    /// Its id.
    pub id: VertexId,
    /// Those that took part, by subtask; none inside: not heard of yet. Subtasks that had ended are not in it.
    pub subtasks: Vec<(usize, Option<SubtaskRecord>)>,
}

/// What kind of checkpoint it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// A user asked for it.
    pub savepoint: bool,
    /// A savepoint in the back end's own format.
    pub native: bool,
    /// The job ends with it.
    pub stop: bool,
}

/// One checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointRecord {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub status: Status,
    /// When it was triggered.
    pub triggered: i64,
    /// Its vertices.
    pub vertices: Vec<VertexRecord>,
    /// Completed: where it is.
    pub external_path: String,
    /// It is deleted.
    pub discarded: bool,
    /// When it failed.
    pub failed: i64,
    /// Why.
    pub failure: Option<String>,
}

/// The sums over subtasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Latest report; -1: none.
    pub latest_ack: i64,
    /// Uploaded bytes.
    pub checkpointed_size: u64,
    /// All bytes.
    pub state_size: u64,
    /// Bytes processed while aligning.
    pub processed: u64,
    /// Bytes in channels.
    pub persisted: u64,
    /// Subtasks.
    pub subtasks: usize,
    /// That reported.
    pub acknowledged: usize,
}

/// Sums up subtasks.
pub fn totals<'a>(subtasks: impl Iterator<Item = &'a Option<SubtaskRecord>>) -> Totals {
    let mut totals = Totals {
        latest_ack: -1,
        checkpointed_size: 0,
        state_size: 0,
        processed: 0,
        persisted: 0,
        subtasks: 0,
        acknowledged: 0,
    };
    for subtask in subtasks {
        totals.subtasks += 1;
        let Some(record) = subtask else { continue };
        totals.acknowledged += 1;
        totals.latest_ack = totals.latest_ack.max(record.acknowledged);
        // What a task says of itself may be any number.
        totals.checkpointed_size = totals.checkpointed_size.saturating_add(record.metrics.checkpointed_bytes);
        totals.state_size = totals.state_size.saturating_add(record.metrics.state_bytes);
        totals.processed = totals.processed.saturating_add(record.metrics.processed_bytes);
        totals.persisted = totals.persisted.saturating_add(record.metrics.persisted_bytes);
    }
    totals
}

impl CheckpointRecord {
    /// Over all vertices.
    pub fn totals(&self) -> Totals {
        totals(self.vertices.iter().flat_map(|vertex| vertex.subtasks.iter().map(|(_, record)| record)))
    }

    /// Milliseconds from the trigger to the last report, to the failure, or to now.
    pub fn duration(&self, now: i64) -> i64 {
        let end = match self.status {
            Status::InProgress => now,
            Status::Completed => self.totals().latest_ack,
            Status::Failed => self.failed,
        };
        (end - self.triggered).max(0)
    }

    /// A barrier overtook rows.
    pub fn is_unaligned(&self) -> bool {
        let mut records = self.vertices.iter().flat_map(|vertex| &vertex.subtasks).filter_map(|(_, record)| *record);
        records.any(|record| record.metrics.unaligned)
    }
}

/// Minimum, maximum, mean and percentiles of a number.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    window: VecDeque<u64>,
}

impl Summary {
    /// Takes note of a value.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.window.push_back(value);
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
    }

    /// Of these values.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut summary = Self::default();
        values.into_iter().for_each(|value| summary.add(value));
        summary
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest, largest and mean; zeros without a value.
    pub fn range(&self) -> (u64, u64, u64) {
        (self.min, self.max, self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// A percentile by linear interpolation between ranks, as Flink's; none without a value.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let mut values: Vec<u64> = self.window.iter().copied().collect();
        values.sort_unstable();
        let (first, last) = (*values.first()? as f64, *values.last()? as f64);
        let rank = percent / 100.0 * (values.len() + 1) as f64;
        if rank < 1.0 {
            return Some(first);
        }
        let lower = rank.floor() as usize;
        if lower >= values.len() {
            return Some(last);
        }
        let (below, above) = (values[lower - 1] as f64, values[lower] as f64);
        Some(below + (rank - rank.floor()) * (above - below))
    }
}

/// Summaries over completed checkpoints.
#[derive(Clone, Debug, Default)]
pub struct Summaries {
    /// Uploaded bytes.
    pub checkpointed_size: Summary,
    /// All bytes.
    pub state_size: Summary,
    /// Milliseconds.
    pub duration: Summary,
    /// Bytes processed while aligning.
    pub processed: Summary,
    /// Bytes in channels.
    pub persisted: Summary,
}

/// What the job started from, or went on from after a failure.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The checkpoint.
    pub id: u64,
    /// When (milliseconds since the epoch).
    pub timestamp: i64,
    /// What it was.
    pub savepoint: bool,
    /// Where it is.
    pub external_path: String,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckpointStatistics {
    limit: usize,
    /// How often the job was restored.
    pub restored_count: u64,
    /// Checkpoints begun, and attempts that failed before they were.
    pub total: u64,
    /// Under way.
    pub in_progress: u64,
    /// Durable.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Newest first.
    pub history: VecDeque<Arc<CheckpointRecord>>,
    /// The latest completed checkpoint.
    pub latest_completed: Option<Arc<CheckpointRecord>>,
    /// The latest completed savepoint.
    pub latest_savepoint: Option<Arc<CheckpointRecord>>,
    /// The latest that failed.
    pub latest_failed: Option<Arc<CheckpointRecord>>,
    /// The latest restore.
    pub restored: Option<Restored>,
    /// Over completed checkpoints.
    pub summaries: Arc<Summaries>,
}

impl CheckpointStatistics {
    /// Of a job that has begun none; so many are remembered.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            restored_count: 0,
            total: 0,
            in_progress: 0,
            completed: 0,
            failed: 0,
            history: VecDeque::new(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            restored: None,
            summaries: Arc::default(),
        }
    }

    /// A checkpoint that REST may ask for.
    pub fn find(&self, id: u64) -> Option<&Arc<CheckpointRecord>> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed];
        let latest = latest.into_iter().flatten().find(|record| record.id == id);
        latest.or_else(|| self.history.iter().find(|record| record.id == id))
    }

    pub(super) fn began(&mut self, record: CheckpointRecord) {
        self.total += 1;
        self.in_progress += 1;
        self.history.push_front(Arc::new(record));
        // One under way stays in sight, however short the history is.
        while self.history.len() > self.limit.max(1)
            && self.history.back().is_some_and(|record| record.status != Status::InProgress)
        {
            self.history.pop_back();
        }
    }

    pub(super) fn failed_to_begin(&mut self) {
        self.total += 1;
        self.failed += 1;
    }

    pub(super) fn acknowledged(&mut self, id: u64, vertex: VertexId, subtask: usize, record: SubtaskRecord) {
        let Some(known) = self.record(id) else { return };
        let subtasks =
            known.vertices.iter_mut().filter(|known| known.id == vertex).flat_map(|known| &mut known.subtasks);
        for (index, known) in subtasks {
            if *index == subtask {
                *known = Some(record);
            }
        }
    }

    pub(super) fn completed(&mut self, id: u64, external_path: &str) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.completed += 1;
        let Some(record) = self.record(id) else { return };
        record.status = Status::Completed;
        record.external_path = external_path.to_owned();
        let (totals, duration) = (record.totals(), record.duration(0));
        let summaries = Arc::make_mut(&mut self.summaries);
        summaries.checkpointed_size.add(totals.checkpointed_size);
        summaries.state_size.add(totals.state_size);
        summaries.duration.add(duration as u64);
        summaries.processed.add(totals.processed);
        summaries.persisted.add(totals.persisted);
        let record = self.history.iter().find(|record| record.id == id).cloned();
        if record.as_ref().is_some_and(|record| record.kind.savepoint) {
            self.latest_savepoint = record;
        } else {
            self.latest_completed = record;
        }
    }

    pub(super) fn failed(&mut self, id: u64, now: i64, reason: &str) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.failed += 1;
        let Some(record) = self.record(id) else { return };
        record.status = Status::Failed;
        record.failed = now;
        record.failure = Some(reason.to_owned());
        self.latest_failed = self.history.iter().find(|record| record.id == id).cloned();
    }

    pub(super) fn discarded(&mut self, id: u64) {
        if let Some(record) = self.record(id) {
            record.discarded = true;
        }
        if let Some(record) = self.latest_completed.as_mut().filter(|record| record.id == id) {
            Arc::make_mut(record).discarded = true;
        }
    }

    pub(super) fn restored(&mut self, restored: Restored) {
        self.restored_count += 1;
        self.restored = Some(restored);
    }

    fn record(&mut self, id: u64) -> Option<&mut CheckpointRecord> {
        self.history.iter_mut().find(|record| record.id == id).map(Arc::make_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_flinks() {
        let mut summary = Summary::default();
        assert_eq!(summary.percentile(50.0), None);
        for value in [15, 20, 35, 40, 50] {
            summary.add(value);
        }
        assert_eq!(summary.range(), (15, 50, 32));
        assert_eq!(summary.percentile(50.0), Some(35.0));
        assert_eq!(summary.percentile(75.0), Some(45.0));
        assert_eq!(summary.percentile(99.9), Some(50.0));
        assert_eq!(summary.percentile(1.0), Some(15.0));
    }

    const VERTEX: VertexId = VertexId([1; 16]);

    fn record(id: u64) -> CheckpointRecord {
        CheckpointRecord {
            id,
            kind: Kind::default(),
            status: Status::InProgress,
            triggered: 100,
            vertices: vec![VertexRecord { id: VERTEX, subtasks: vec![(0, None), (2, None)] }],
            external_path: String::new(),
            discarded: false,
            failed: 0,
            failure: None,
        }
    }

    /// Before, the second such acknowledgement was the end of the JobMaster.
    #[test]
    fn sums_of_the_largest_numbers_stay_the_largest() {
        let most = u64::MAX;
        let metrics = proto::CheckpointMetrics {
            sync_duration: most,
            async_duration: most,
            alignment_duration: most,
            start_delay: most,
            checkpointed_bytes: most,
            state_bytes: most,
            processed_bytes: most,
            persisted_bytes: most,
            unaligned: true,
        };
        let mut statistics = CheckpointStatistics::new(2);
        for id in 1..=2 {
            statistics.began(record(id));
            for subtask in [0, 2] {
                statistics.acknowledged(id, VERTEX, subtask, SubtaskRecord { acknowledged: 130, metrics });
            }
            statistics.completed(id, "file:/x");
        }
        let totals = statistics.latest_completed.as_ref().unwrap().totals();
        assert_eq!((totals.checkpointed_size, totals.state_size), (most, most));
        assert_eq!((totals.processed, totals.persisted), (most, most));
        assert_eq!(statistics.summaries.state_size.range(), (most, most, most / 2));
    }

    #[test]
    fn a_checkpoint_moves_through_the_history() {
        let vertex = VERTEX;
        let mut statistics = CheckpointStatistics::new(2);
        for id in 1..=3 {
            statistics.began(record(id));
            let metrics = proto::CheckpointMetrics { checkpointed_bytes: 5, state_bytes: 9, ..Default::default() };
            statistics.acknowledged(id, vertex, 2, SubtaskRecord { acknowledged: 130, metrics });
            statistics.completed(id, "file:/x");
        }
        statistics.discarded(3);
        assert_eq!((statistics.total, statistics.in_progress, statistics.completed), (3, 0, 3));
        assert_eq!(statistics.history.iter().map(|record| record.id).collect::<Vec<_>>(), [3, 2]);
        let latest = statistics.latest_completed.as_ref().unwrap();
        assert!(latest.discarded);
        assert_eq!((latest.duration(0), latest.totals().state_size, latest.totals().subtasks), (30, 9, 2));
        assert!(statistics.find(1).is_none());
    }
}
