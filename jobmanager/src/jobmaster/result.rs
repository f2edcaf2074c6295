//! The result of a job that has ended ([`proto::JobResultRecord`]): later leaders answer for the job with it and do not run it again.
//!
//! It is written before the job's own record is deleted: a leader finds one of the two, or both. Where both are the job's record
//! counts, because something is left to be seen to.
use bytes::Bytes;
use futures::future::try_join_all;
use prost::Message;
use wiesel_common::id::JobId;
use wiesel_proto as proto;
use wiesel_proto::JobResult;

use super::JobInfo;
use super::record::JobRecords;
use super::recording::status_of;
use super::status::JobStatus;
use crate::failure::FailureInfo;
use crate::ha::{MAX_RECORD, Record, RecordError, RecordKey, RecordKind};

/// The version of the records that are written.
const VERSION: u32 = 1;
/// Records that are read at once.
const AT_ONCE: usize = 16;
/// What a decoded record may take in memory.
const MAX_DECODED: u64 = 16 << 20;

/// A job that has ended under another JobManager, or under this one.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedResult {
    /// The job.
    pub(crate) id: JobId,
    pub(crate) name: String,
    /// Of those that no JobManager leaves.
    pub(crate) status: JobStatus,
    /// Milliseconds since the epoch.
    pub(crate) submitted_at: i64,
    pub(crate) ended_at: i64,
    pub(crate) failure: Option<FailureInfo>,
}

impl RecordedResult {
    /// That of a job as it is at its end; none: it has not ended for all JobManagers.
    pub(super) fn of(info: &JobInfo) -> Option<Self> {
        info.status.is_globally_terminal().then(|| Self {
            id: info.job_id,
            name: info.name().to_owned(),
            status: info.status,
            submitted_at: info.start_time(),
            ended_at: info.end_time(),
            failure: info.failure.clone(),
        })
    }

    fn encode(&self, run: u64) -> Bytes {
        let result = match self.status {
            JobStatus::Finished => JobResult::Finished,
            JobStatus::Canceled => JobResult::Canceled,
            JobStatus::Failed => JobResult::Failed,
            _ => JobResult::None,
        };
        let record = proto::JobResultRecord {
            version: VERSION,
            job_id: self.id.to_bytes(),
            run,
            name: self.name.clone(),
            result: result.into(),
            submitted_at: self.submitted_at,
            ended_at: self.ended_at,
            failure: self.failure.clone().map(proto::Failure::from),
        };
        record.encode_to_vec().into()
    }

    fn decode(bytes: Bytes, id: JobId) -> Result<Self, String> {
        let record = decode(bytes)?;
        if record.version != VERSION {
            return Err(format!("it has version {}, and {VERSION} is known", record.version));
        }
        if record.job_id != id.0[..] {
            return Err("it is the result of another job".to_owned());
        }
        let status = status_of(record.result()).ok_or("it does not say how the job has ended")?;
        let proto::JobResultRecord { name, submitted_at, ended_at, failure, .. } = record;
        Ok(Self { id, name, status, submitted_at, ended_at, failure: failure.map(FailureInfo::from) })
    }
}

fn decode(bytes: Bytes) -> Result<proto::JobResultRecord, String> {
    if bytes.len() > MAX_RECORD {
        return Err(format!("it has {} bytes, of {MAX_RECORD} at most", bytes.len()));
    }
    proto::decode_at_most(bytes, MAX_DECODED).map_err(|error| error.to_string())
}

impl JobRecords {
    /// The jobs that have ended, those that ended first first.
    ///
    /// # Errors
    /// The store does not answer, a later leader has begun, or a record cannot be read.
    pub async fn results(&self) -> Result<Vec<RecordedResult>, RecordError> {
        let keys = self.store().list(self.epoch(), RecordKind::Result).await?;
        let mut results: Vec<RecordedResult> = Vec::with_capacity(keys.len());
        for some in keys.chunks(AT_ONCE) {
            let read = some.iter().map(|key| self.read_result(*key));
            results.extend(try_join_all(read).await?.into_iter().flatten());
        }
        results.sort_by_key(|result| result.ended_at);
        Ok(results)
    }

    /// None: it was deleted meanwhile.
    async fn read_result(&self, key: RecordKey) -> Result<Option<RecordedResult>, RecordError> {
        let RecordKey::Result(id) = key else { return Ok(None) };
        let Some(Record { bytes, .. }) = self.store().read(self.epoch(), key).await? else { return Ok(None) };
        let damaged = |reason: String| RecordError::Damaged { place: key.to_string(), reason };
        RecordedResult::decode(bytes, id).map(Some).map_err(damaged)
    }

    /// Writes how a job has ended until it is done. What is there of the same run stays.
    ///
    /// # Errors
    /// A later leader has begun, or the record is too long or damaged.
    pub(super) async fn write_result(&self, result: &RecordedResult, run: u64) -> Result<(), RecordError> {
        let (key, bytes) = (RecordKey::Result(result.id), result.encode(run));
        let mut expected = None;
        loop {
            match self.store().write(self.epoch(), key, expected.as_ref(), bytes.clone()).await {
                Ok(_) => return Ok(()),
                // An answer was lost, or an earlier run of the job has ended before.
                Err(RecordError::Unknown { .. } | RecordError::Conflict { .. }) => {
                    let found = self.read_until_done(key).await?;
                    let is_own = |found: &Record| decode(found.bytes.clone()).is_ok_and(|known| known.run == run);
                    if found.as_ref().is_some_and(is_own) {
                        return Ok(());
                    }
                    expected = found.map(|found| found.version);
                }
                Err(error @ RecordError::Unreachable { .. }) => self.try_again(key, &error).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes what is kept of jobs that have ended. What cannot be deleted is found by the next leader.
    pub(crate) async fn forget_results(self, jobs: Vec<JobId>) {
        for job in jobs {
            if let Err(error) = self.forget_result(job).await {
                tracing::debug!(job_id = %job, reason = %error, "the result of a job stays");
            }
        }
    }

    async fn forget_result(&self, job: JobId) -> Result<(), RecordError> {
        let key = RecordKey::Result(job);
        while let Some(found) = self.read_until_done(key).await? {
            match self.store().delete(self.epoch(), key, &found.version).await {
                Err(RecordError::Unknown { .. } | RecordError::Conflict { .. }) => {}
                Err(error @ RecordError::Unreachable { .. }) => self.try_again(key, &error).await,
                outcome => return outcome,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::failure::INTERNAL;
    use crate::ha::{MemoryRecords, RecordStore as _};

    fn result(job: u8, ended_at: i64) -> RecordedResult {
        let failure = Some(FailureInfo::new(INTERNAL, "it broke").because("row 7"));
        let (id, name, status) = (JobId([job; 16]), "a job".to_owned(), JobStatus::Failed);
        RecordedResult { id, name, status, submitted_at: 1, ended_at, failure }
    }

    async fn records(store: &MemoryRecords, epoch: u64) -> JobRecords {
        JobRecords::lead(Arc::new(store.clone()), epoch).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_read_by_the_next_leader_until_it_is_forgotten() {
        let store = MemoryRecords::default();
        let first = records(&store, 1).await;
        store.lose_answers(1);
        first.write_result(&result(2, 20), 7).await.unwrap();
        store.lose_calls(1);
        first.write_result(&result(1, 30), 8).await.unwrap();
        // Another leader may see to the end of a job once more.
        first.write_result(&result(2, 40), 7).await.unwrap();
        let next = records(&store, 2).await;
        assert_eq!(next.results().await.unwrap(), [result(2, 20), result(1, 30)]);
        assert!(matches!(first.write_result(&result(3, 1), 9).await, Err(RecordError::Superseded { .. })));
        // The job has run again.
        next.write_result(&result(2, 50), 10).await.unwrap();
        assert_eq!(next.results().await.unwrap(), [result(1, 30), result(2, 50)]);
        store.lose_answers(1);
        next.clone().forget_results(vec![JobId([1; 16]), JobId([9; 16])]).await;
        assert_eq!(next.results().await.unwrap(), [result(2, 50)]);
    }

    #[tokio::test]
    async fn what_is_no_result_of_the_job_is_damaged() {
        let store = MemoryRecords::default();
        let own = records(&store, 1).await;
        let key = RecordKey::Result(JobId([1; 16]));
        let with = |change: fn(&mut proto::JobResultRecord)| {
            let mut record = decode(result(1, 30).encode(7)).unwrap();
            change(&mut record);
            Bytes::from(record.encode_to_vec())
        };
        let mut expected = None;
        for (bytes, reason) in [
            (with(|record| record.version = 2), "version 2"),
            (with(|record| record.job_id = JobId([2; 16]).to_bytes()), "another job"),
            (with(|record| record.set_result(JobResult::None)), "how the job has ended"),
            (Bytes::from_static(b"\xff"), ""),
        ] {
            expected = Some(store.write(1, key, expected.as_ref(), bytes).await.unwrap());
            let error = own.results().await.unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("results/0101"), "{error}");
        }
    }
}
