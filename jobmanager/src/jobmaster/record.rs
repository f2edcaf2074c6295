//! The record of a job, which outlives its JobMaster ([`proto::JobRecord`]): what is in it, and that it is durable before whoever
//! acts on it hears of it.
//!
//! A JobMaster puts all that it wants done into the queue of its [`JobRecorder`], behind what it has put into the record for that. It
//! comes out when the record is durable as it was then. Without records, as where there is no high availability, that is at once.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use wiesel_common::fault;
use wiesel_common::id::JobId;
use wiesel_proto as proto;
use wiesel_proto::{JobDecision, JobResult};

use super::result::RecordedResult;
use crate::failure::FailureInfo;
use crate::ha::{MAX_RECORD, Record, RecordError, RecordKey, RecordKind, RecordStore, Version};

/// The version of the records that are written.
const VERSION: u32 = 1;
/// What a decoded record, and the graph in it, may each take in memory.
const MAX_DECODED: u64 = 512 << 20;
/// Until the store is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The records of all jobs, as one leader sees them. Cheap to clone.
#[derive(Clone)]
pub struct JobRecords {
    store: Arc<dyn RecordStore>,
    epoch: u64,
}

/// A job that another JobManager has led.
#[derive(Clone, Debug)]
pub struct RecordedJob {
    /// The job.
    pub(crate) id: JobId,
    pub(crate) record: proto::JobRecord,
    pub(crate) version: Version,
}

impl JobRecords {
    /// Those of a store, for the leader of this epoch. From the answer on no leader of an earlier one writes to them.
    ///
    /// # Errors
    /// The store does not answer, or a later leader has begun.
    pub async fn lead(store: Arc<dyn RecordStore>, epoch: u64) -> Result<Self, RecordError> {
        store.fence(epoch).await?;
        Ok(Self { store, epoch })
    }

    /// All jobs that have not ended, or whose end was not seen to.
    ///
    /// # Errors
    /// The store does not answer, a later leader has begun, or a record cannot be read.
    pub async fn jobs(&self) -> Result<Vec<RecordedJob>, RecordError> {
        let mut jobs = Vec::new();
        for key in self.store.list(self.epoch, RecordKind::Job).await? {
            let RecordKey::Job(id) = key else { continue };
            // It may have been deleted by then.
            let Some(Record { bytes, version }) = self.store.read(self.epoch, key).await? else { continue };
            let damaged = |reason: String| RecordError::Damaged { place: key.to_string(), reason };
            jobs.push(RecordedJob { id, record: decode(bytes, id).map_err(damaged)?, version });
        }
        Ok(jobs)
    }

    /// Writes the record of a job until it is done. `run`: the job's, whose record nobody else writes in this epoch.
    async fn write(
        &self,
        job: JobId,
        run: u64,
        mut expected: Option<Version>,
        bytes: Bytes,
    ) -> Result<Version, RecordError> {
        let key = RecordKey::Job(job);
        loop {
            match self.store.write(self.epoch, key, expected.as_ref(), bytes.clone()).await {
                Err(RecordError::Unknown { .. } | RecordError::Conflict { .. }) => {
                    match self.read_back(key, run).await? {
                        Some(found) if found.bytes == bytes => return Ok(found.version),
                        // It was deleted: this write is too late.
                        None if expected.is_some() => return Err(RecordError::Conflict { key }),
                        found => expected = found.map(|found| found.version),
                    }
                }
                Err(error @ RecordError::Unreachable { .. }) => self.try_again(key, &error).await,
                outcome => return outcome,
            }
        }
    }

    /// Deletes the record of a job until it is done.
    ///
    /// # Errors
    /// A later leader has begun.
    async fn delete(&self, job: JobId, run: u64, mut expected: Version) -> Result<(), RecordError> {
        let key = RecordKey::Job(job);
        loop {
            match self.store.delete(self.epoch, key, &expected).await {
                Err(RecordError::Unknown { .. } | RecordError::Conflict { .. }) => {
                    match self.read_back(key, run).await? {
                        Some(found) => expected = found.version,
                        None => return Ok(()),
                    }
                }
                Err(error @ RecordError::Unreachable { .. }) => self.try_again(key, &error).await,
                outcome => return outcome,
            }
        }
    }

    /// Puts into the record of a job whose JobMaster has ended without a word that the job is failing, unless its end is decided: it
    /// is not to run again under the next leader. Its checkpoints stay, because nobody knows what it has come to.
    ///
    /// # Errors
    /// A later leader has begun, or the record cannot be read.
    pub(crate) async fn give_up(&self, job: JobId, cause: FailureInfo) -> Result<(), RecordError> {
        let key = RecordKey::Job(job);
        let failure = proto::Failure::from(cause);
        loop {
            let written = match self.store.read(self.epoch, key).await {
                Ok(None) => return Ok(()),
                Ok(Some(Record { bytes, version })) => {
                    let damaged = |reason: String| RecordError::Damaged { place: key.to_string(), reason };
                    let mut record = decode(bytes, job).map_err(damaged)?;
                    if record.decision() != JobDecision::None || record.result() != JobResult::None {
                        return Ok(());
                    }
                    record.set_decision(JobDecision::Fail);
                    (record.failure, record.unrecoverable) = (Some(failure.clone()), true);
                    record.revision += 1;
                    self.store.write(self.epoch, key, Some(&version), record.encode_to_vec().into()).await.map(drop)
                }
                Err(error) => Err(error),
            };
            match written {
                // What the JobMaster was writing may come yet.
                Err(RecordError::Unknown { .. } | RecordError::Conflict { .. }) => {}
                Err(error @ RecordError::Unreachable { .. }) => self.try_again(key, &error).await,
                outcome => return outcome,
            }
        }
    }

    /// A record as it is by now, for whoever does not know what became of a write. One of another run is not to be written over.
    async fn read_back(&self, key: RecordKey, run: u64) -> Result<Option<Record>, RecordError> {
        let Some(found) = self.read_until_done(key).await? else { return Ok(None) };
        let known = proto::decode_at_most::<proto::JobRecord>(found.bytes.clone(), MAX_DECODED);
        let is_own = known.is_ok_and(|known| known.run == run);
        if is_own { Ok(Some(found)) } else { Err(RecordError::Conflict { key }) }
    }

    /// Reads a record until there is an answer.
    pub(super) async fn read_until_done(&self, key: RecordKey) -> Result<Option<Record>, RecordError> {
        loop {
            match self.store.read(self.epoch, key).await {
                Err(error @ (RecordError::Unreachable { .. } | RecordError::Unknown { .. })) => {
                    self.try_again(key, &error).await;
                }
                outcome => return outcome,
            }
        }
    }

    pub(super) fn store(&self) -> &dyn RecordStore {
        &*self.store
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) async fn try_again(&self, key: RecordKey, error: &RecordError) {
        tracing::debug!(record = %key, reason = %error, "the records of the cluster are tried again");
        tokio::time::sleep(PAUSE).await;
    }
}

fn decode(bytes: Bytes, id: JobId) -> Result<proto::JobRecord, String> {
    if bytes.len() > MAX_RECORD {
        return Err(format!("it has {} bytes, of {MAX_RECORD} at most", bytes.len()));
    }
    let record: proto::JobRecord = proto::decode_at_most(bytes, MAX_DECODED).map_err(|error| error.to_string())?;
    if record.version != VERSION {
        return Err(format!("it has version {}, and {VERSION} is known", record.version));
    }
    let graph = graph_of(&record)?;
    if graph.job_id != id.0[..] {
        return Err("it is the record of another job".to_owned());
    }
    if record.derived_max_parallelism.len() != graph.vertices.len() {
        return Err("it does not say of each vertex where its maximum parallelism comes from".to_owned());
    }
    Ok(record)
}

/// The graph of a recorded job.
pub(crate) fn graph_of(record: &proto::JobRecord) -> Result<proto::JobGraph, String> {
    proto::decode_at_most(record.graph.clone(), MAX_DECODED).map_err(|error| format!("the job's graph: {error}"))
}

/// One write of the record.
pub(super) struct Write {
    records: JobRecords,
    job: JobId,
    run: u64,
    expected: Option<Version>,
    bytes: Bytes,
    /// Fault points that lie before it, and behind it.
    before: Vec<&'static str>,
    after: Vec<&'static str>,
}

impl Write {
    pub(super) async fn run(self) -> Result<Version, RecordError> {
        self.before.into_iter().for_each(fault::point);
        let written = self.records.write(self.job, self.run, self.expected, self.bytes).await;
        if written.is_ok() {
            self.after.into_iter().for_each(fault::point);
        }
        written
    }
}

/// See the module. `T` is what a JobMaster wants done.
pub(crate) struct JobRecorder<T> {
    job: JobId,
    /// None: nothing outlives the JobManager.
    records: Option<JobRecords>,
    record: proto::JobRecord,
    /// The record as it is durable; none: it is not yet.
    durable: Option<Version>,
    /// Up to this revision.
    durable_revision: u64,
    writing: bool,
    before: Vec<&'static str>,
    after: Vec<&'static str>,
    queue: VecDeque<(u64, T)>,
}

impl<T> JobRecorder<T> {
    /// Of a job that was submitted now.
    pub(crate) fn of_new(job: JobId, records: Option<JobRecords>, mut record: proto::JobRecord) -> Self {
        // Without records nothing is ever written.
        (record.version, record.revision) = (VERSION, u64::from(records.is_some()));
        Self::new(job, records, record, None)
    }

    /// Of a job that another JobMaster has led.
    pub(crate) fn of_recorded(records: JobRecords, job: RecordedJob) -> Self {
        let RecordedJob { id, record, version } = job;
        Self::new(id, Some(records), record, Some(version))
    }

    fn new(job: JobId, records: Option<JobRecords>, record: proto::JobRecord, durable: Option<Version>) -> Self {
        let durable_revision = if durable.is_some() { record.revision } else { 0 };
        Self {
            job,
            records,
            record,
            durable,
            durable_revision,
            writing: false,
            before: Vec::new(),
            after: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    /// Whether the job outlives the JobManager.
    pub(crate) fn outlives(&self) -> bool {
        self.records.is_some()
    }

    /// What is in the record, or is to be.
    pub(crate) fn record(&self) -> &proto::JobRecord {
        &self.record
    }

    /// Changes the record. What is put into the queue after that comes out when the change is durable. `points`: fault points before
    /// and behind the write.
    pub(super) fn change(&mut self, points: [Option<&'static str>; 2], change: impl FnOnce(&mut proto::JobRecord)) {
        change(&mut self.record);
        if self.records.is_some() {
            self.record.revision += 1;
            self.before.extend(points[0]);
            self.after.extend(points[1]);
        }
    }

    /// This is to be done once the record is durable as it is now, behind all that was put here before.
    pub(super) fn queue(&mut self, wanted: T) {
        self.queue.push_back((self.record.revision, wanted));
    }

    /// What is to be done now.
    pub(super) fn next_due(&mut self) -> Option<T> {
        let due = self.records.is_none() || self.queue.front().is_some_and(|(at, _)| *at <= self.durable_revision);
        if due { self.next_of_all() } else { None }
    }

    /// What is to be done next, however far the record is.
    pub(super) fn next_of_all(&mut self) -> Option<T> {
        self.queue.pop_front().map(|(_, wanted)| wanted)
    }

    /// All that waits, none of which is to be done.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        std::mem::take(&mut self.queue).into_iter().map(|(_, wanted)| wanted).collect()
    }

    /// Whether the record is durable as it is now.
    pub(super) fn is_durable(&self) -> bool {
        self.records.is_none() || self.durable_revision == self.record.revision
    }

    /// Whether the record is durable as it is now. If not, this is to be done once it is, behind all that waits.
    pub(super) fn is_durable_or_awaited(&mut self, wanted: T) -> bool {
        let is_durable = self.is_durable();
        if !is_durable {
            self.queue(wanted);
        }
        is_durable
    }

    /// The write that is to be made now, with the revision that it makes durable.
    pub(super) fn write(&mut self) -> Option<(u64, Write)> {
        if self.writing || self.is_durable() {
            return None;
        }
        self.writing = true;
        let write = Write {
            records: self.records.clone()?,
            job: self.job,
            run: self.record.run,
            expected: self.durable.clone(),
            bytes: self.record.encode_to_vec().into(),
            before: std::mem::take(&mut self.before),
            after: std::mem::take(&mut self.after),
        };
        Some((self.record.revision, write))
    }

    /// It is done.
    pub(super) fn written(&mut self, revision: u64, version: Version) {
        self.writing = false;
        self.durable_revision = revision;
        self.durable = Some(version);
    }

    /// Writes the job's result in the place of its record: the job is over, and nothing of it is left to be seen to.
    pub(super) fn forget(&mut self, result: Option<RecordedResult>) -> impl Future<Output = ()> + Send + use<T> {
        let (job, run, known) = (self.job, self.record.run, self.records.clone().zip(self.durable.take()));
        async move {
            let Some((records, version)) = known else { return };
            let forgotten = async {
                if let Some(result) = &result {
                    records.write_result(result, run).await?;
                    fault::point("result.after-record");
                }
                records.delete(job, run, version).await
            };
            if let Err(error) = forgotten.await {
                tracing::warn!(job_id = %job, reason = %error, "the record of a job that is over stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ha::MemoryRecords;

    const JOB: JobId = JobId([3; 16]);

    fn new_record(run: u64) -> proto::JobRecord {
        let graph = proto::JobGraph {
            job_id: JOB.to_bytes(),
            vertices: vec![proto::JobVertex::default()],
            ..Default::default()
        };
        let graph = graph.encode_to_vec().into();
        proto::JobRecord { graph, run, derived_max_parallelism: vec![true], ..Default::default() }
    }

    async fn records(store: &MemoryRecords, epoch: u64) -> JobRecords {
        JobRecords::lead(Arc::new(store.clone()), epoch).await.unwrap()
    }

    async fn write<T>(recorder: &mut JobRecorder<T>) {
        let (revision, write) = recorder.write().unwrap();
        assert!(recorder.write().is_none(), "one at a time");
        let version = write.run().await.unwrap();
        recorder.written(revision, version);
    }

    #[tokio::test]
    async fn what_is_wanted_waits_for_the_record_as_it_was_then() {
        let store = MemoryRecords::default();
        let mut recorder = JobRecorder::of_new(JOB, Some(records(&store, 1).await), new_record(7));
        recorder.queue("submitted");
        assert_eq!(recorder.next_due(), None);
        let (revision, first) = recorder.write().unwrap();
        recorder.change([None; 2], |record| record.execution = 1);
        recorder.queue("restarts");
        recorder.queue("cancels");
        let version = first.run().await.unwrap();
        recorder.written(revision, version);
        assert_eq!((recorder.next_due(), recorder.next_due(), recorder.is_durable()), (Some("submitted"), None, false));
        write(&mut recorder).await;
        assert_eq!(
            [recorder.next_due(), recorder.next_due(), recorder.next_due()],
            [Some("restarts"), Some("cancels"), None]
        );
        assert!(recorder.is_durable() && recorder.write().is_none());
    }

    /// Failed before: a caller heard that a savepoint is complete, and the record had it under way for ever, so that the next leader
    /// deleted it.
    #[tokio::test]
    async fn a_job_is_over_when_all_that_was_decided_by_then_is_in_the_record() {
        let store = MemoryRecords::default();
        let mut recorder = JobRecorder::of_new(JOB, Some(records(&store, 1).await), new_record(7));
        recorder.change([None; 2], |record| record.set_result(proto::JobResult::Finished));
        recorder.queue("over");
        let (revision, result) = recorder.write().unwrap();
        recorder.change([None; 2], |record| record.savepoints.clear());
        recorder.queue("savepoint is complete");
        recorder.written(revision, result.run().await.unwrap());
        assert_eq!(recorder.next_due(), Some("over"));
        assert!(!recorder.is_durable_or_awaited("over"));
        assert_eq!(recorder.next_due(), None);
        write(&mut recorder).await;
        assert_eq!((recorder.next_due(), recorder.next_due()), (Some("savepoint is complete"), Some("over")));
        assert!(recorder.is_durable_or_awaited("over") && recorder.next_due().is_none());
    }

    #[test]
    fn without_records_nothing_waits() {
        let mut recorder = JobRecorder::of_new(JOB, None, new_record(7));
        recorder.change([None; 2], |record| record.execution = 1);
        recorder.queue(1);
        assert!(!recorder.outlives() && recorder.is_durable() && recorder.write().is_none());
        assert_eq!((recorder.next_due(), recorder.next_due()), (Some(1), None));
    }

    /// An answer that is lost is not taken for a refusal, and a call that was lost is made again.
    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_read_back() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        let mut recorder = JobRecorder::<()>::of_new(JOB, Some(own.clone()), new_record(7));
        store.lose_answers(1);
        write(&mut recorder).await;
        recorder.change([None; 2], |record| record.execution = 4);
        store.lose_calls(3);
        write(&mut recorder).await;
        let jobs = own.jobs().await.unwrap();
        assert_eq!((jobs.len(), jobs[0].id, &jobs[0].record), (1, JOB, recorder.record()));
        // The next leader goes on from there.
        let later = records(&store, 2).await;
        let mut next = JobRecorder::<()>::of_recorded(later.clone(), later.jobs().await.unwrap().remove(0));
        assert!(next.is_durable() && next.record().execution == 4);
        next.change([None; 2], |record| record.execution = 5);
        write(&mut next).await;
        recorder.change([None; 2], |record| record.execution = 6);
        let (_, late) = recorder.write().unwrap();
        assert!(matches!(late.run().await, Err(RecordError::Superseded { epoch: 1, newer: 2 })));
        store.lose_answers(1);
        next.forget(None).await;
        assert!(later.jobs().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_record_of_another_run_is_not_written_over() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        write(&mut JobRecorder::<()>::of_new(JOB, Some(own.clone()), new_record(7))).await;
        let mut other = JobRecorder::<()>::of_new(JOB, Some(own.clone()), new_record(8));
        let (_, second) = other.write().unwrap();
        assert!(matches!(second.run().await, Err(RecordError::Conflict { .. })));
        assert_eq!(own.jobs().await.unwrap()[0].record.run, 7);
    }

    /// Failed before: it was written anew, and stayed.
    #[tokio::test]
    async fn a_write_behind_the_deletion_of_a_record_does_not_bring_it_back() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        let mut recorder = JobRecorder::<()>::of_new(JOB, Some(own.clone()), new_record(7));
        write(&mut recorder).await;
        recorder.change([None; 2], |record| record.execution = 4);
        let (_, late) = recorder.write().unwrap();
        recorder.forget(None).await;
        assert!(matches!(late.run().await, Err(RecordError::Conflict { .. })));
        assert!(own.jobs().await.unwrap().is_empty());
    }

    /// Failed before: its client was told that it has failed, and the next leader ran it again.
    #[tokio::test(start_paused = true)]
    async fn a_job_whose_job_master_has_ended_without_a_word_fails_under_the_next_leader_too() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        let cause = || FailureInfo::new("c", "it panicked");
        own.give_up(JOB, cause()).await.unwrap();
        let mut recorder = JobRecorder::<()>::of_new(JOB, Some(own.clone()), new_record(7));
        write(&mut recorder).await;
        recorder.change([None; 2], |record| record.execution = 4);
        let (_, late) = recorder.write().unwrap();
        store.lose_calls(2);
        own.give_up(JOB, cause()).await.unwrap();
        let left = own.jobs().await.unwrap().remove(0).record;
        assert_eq!((left.decision(), left.unrecoverable), (JobDecision::Fail, true));
        assert_eq!(left.failure.as_ref().map(|failure| failure.message.as_str()), Some("it panicked"));
        drop(late);
        // What is decided stays so.
        store.lose_answers(1);
        own.give_up(JOB, FailureInfo::new("c", "another")).await.unwrap();
        assert_eq!(own.jobs().await.unwrap()[0].record, left);
        records(&store, 2).await;
        assert!(matches!(own.give_up(JOB, cause()).await, Err(RecordError::Superseded { .. })));
    }

    #[tokio::test]
    async fn what_is_no_record_of_the_job_is_damaged() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        let known = proto::JobRecord { version: VERSION, ..new_record(7) };
        let another = proto::JobRecord { version: VERSION + 1, ..known.clone() };
        let of_other = proto::JobGraph { job_id: JobId([4; 16]).to_bytes(), ..Default::default() };
        let of_other = proto::JobRecord { graph: of_other.encode_to_vec().into(), ..known.clone() };
        let unclear = proto::JobRecord { derived_max_parallelism: Vec::new(), ..known.clone() };
        let mut expected = None;
        for (record, good) in [(another, false), (of_other, false), (unclear, false), (known, true)] {
            let bytes = record.encode_to_vec().into();
            expected = Some(store.write(1, RecordKey::Job(JOB), expected.as_ref(), bytes).await.unwrap());
            let jobs = own.jobs().await;
            assert_eq!(jobs.is_ok(), good, "{jobs:?}");
        }
    }
}
