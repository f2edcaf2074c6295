//! Records in memory: they outlive the leader in a simulation and in tests, and nothing without high availability, where the
//! process is all that there is.
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{MAX_RECORD, Record, RecordError, RecordKey, RecordKind, RecordStore, Version};

/// The records. All clones are the same ones.
#[derive(Clone, Default)]
pub struct MemoryRecords(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    /// The latest that has begun.
    epoch: u64,
    /// How many versions there were.
    versions: u64,
    records: BTreeMap<RecordKey, Record>,
    /// So many writes from now on are done without an answer.
    lost_answers: u32,
    /// So many calls from now on do not arrive.
    lost_calls: u32,
}

impl MemoryRecords {
    /// Does so many writes and deletions from now on without an answer that says so.
    pub fn lose_answers(&self, many: u32) {
        self.0.lock().lost_answers = many;
    }

    /// Does nothing of so many calls from now on, and says that the store is not reached.
    pub fn lose_calls(&self, many: u32) {
        self.0.lock().lost_calls = many;
    }
}

impl Records {
    /// Lets a call of a leader pass.
    fn admit(&mut self, epoch: u64) -> Result<(), RecordError> {
        if self.lost_calls > 0 {
            self.lost_calls -= 1;
            return Err(RecordError::Unreachable { reason: "the call was lost".to_owned() });
        }
        if epoch < self.epoch {
            return Err(RecordError::Superseded { epoch, newer: self.epoch });
        }
        Ok(())
    }

    fn expect(&self, key: RecordKey, expected: Option<&Version>) -> Result<(), RecordError> {
        let found = self.records.get(&key).map(|record| &record.version);
        if found == expected { Ok(()) } else { Err(RecordError::Conflict { key }) }
    }

    /// Answers what was done, unless the answer is lost.
    fn answer<T>(&mut self, key: RecordKey, done: T) -> Result<T, RecordError> {
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return Err(RecordError::Unknown { key, reason: "the answer was lost".to_owned() });
        }
        Ok(done)
    }

    fn put(&mut self, key: RecordKey, bytes: Bytes) -> Version {
        self.versions += 1;
        let version = Version(self.versions.to_string());
        self.records.insert(key, Record { bytes, version: version.clone() });
        version
    }
}

#[tonic::async_trait]
impl RecordStore for MemoryRecords {
    async fn fence(&self, epoch: u64) -> Result<(), RecordError> {
        let mut records = self.0.lock();
        records.admit(epoch)?;
        records.epoch = epoch;
        Ok(())
    }

    async fn list(&self, epoch: u64, kind: RecordKind) -> Result<Vec<RecordKey>, RecordError> {
        let mut records = self.0.lock();
        records.admit(epoch)?;
        Ok(records.records.keys().copied().filter(|key| key.kind() == kind).collect())
    }

    async fn read(&self, epoch: u64, key: RecordKey) -> Result<Option<Record>, RecordError> {
        let mut records = self.0.lock();
        records.admit(epoch)?;
        Ok(records.records.get(&key).cloned())
    }

    async fn write(
        &self,
        epoch: u64,
        key: RecordKey,
        expected: Option<&Version>,
        bytes: Bytes,
    ) -> Result<Version, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong { key, bytes: bytes.len() });
        }
        let mut records = self.0.lock();
        records.admit(epoch)?;
        records.expect(key, expected)?;
        let version = records.put(key, bytes);
        records.answer(key, version)
    }

    async fn delete(&self, epoch: u64, key: RecordKey, expected: &Version) -> Result<(), RecordError> {
        let mut records = self.0.lock();
        records.admit(epoch)?;
        records.expect(key, Some(expected))?;
        records.records.remove(&key);
        records.answer(key, ())
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::id::JobId;

    use super::*;

    const JOB: RecordKey = RecordKey::Job(JobId([7; 16]));

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn a_record_is_replaced_only_as_it_was_read() {
        let records = MemoryRecords::default();
        assert_eq!(records.read(0, JOB).await, Ok(None));
        let first = records.write(0, JOB, None, bytes("a")).await.unwrap();
        assert_eq!(records.write(0, JOB, None, bytes("b")).await, Err(RecordError::Conflict { key: JOB }));
        let second = records.write(0, JOB, Some(&first), bytes("a")).await.unwrap();
        // The same bytes are another version.
        assert_ne!(first, second);
        assert_eq!(records.write(0, JOB, Some(&first), bytes("c")).await, Err(RecordError::Conflict { key: JOB }));
        assert_eq!(records.delete(0, JOB, &first).await, Err(RecordError::Conflict { key: JOB }));
        assert_eq!(records.read(0, JOB).await, Ok(Some(Record { bytes: bytes("a"), version: second.clone() })));
        records.delete(0, JOB, &second).await.unwrap();
        assert_eq!(records.delete(0, JOB, &second).await, Err(RecordError::Conflict { key: JOB }));
        let third = records.write(0, JOB, None, bytes("a")).await.unwrap();
        assert!(third != first && third != second);
    }

    #[tokio::test]
    async fn a_kind_is_listed_by_itself() {
        let records = MemoryRecords::default();
        let jobs = [RecordKey::Job(JobId([1; 16])), RecordKey::Job(JobId([2; 16]))];
        for key in [jobs[1], RecordKey::Application, RecordKey::Result(JobId([1; 16])), jobs[0]] {
            records.write(0, key, None, Bytes::new()).await.unwrap();
        }
        assert_eq!(records.list(0, RecordKind::Job).await.unwrap(), jobs);
        assert_eq!(records.list(0, RecordKind::Application).await.unwrap(), [RecordKey::Application]);
        assert_eq!(records.list(0, RecordKind::Result).await.unwrap(), [RecordKey::Result(JobId([1; 16]))]);
        assert_eq!(RecordKey::Result(JobId([1; 16])).to_string(), format!("results/{}", "01".repeat(16)));
    }

    #[tokio::test]
    async fn a_superseded_leader_reads_and_writes_nothing() {
        let (former, latter) = (MemoryRecords::default(), 2);
        let records = former.clone();
        former.fence(1).await.unwrap();
        let version = former.write(1, JOB, None, bytes("a")).await.unwrap();
        records.fence(latter).await.unwrap();
        let refused = RecordError::Superseded { epoch: 1, newer: 2 };
        assert_eq!(former.write(1, JOB, Some(&version), bytes("b")).await, Err(refused.clone()));
        assert_eq!(former.write(1, RecordKey::Application, None, bytes("b")).await, Err(refused.clone()));
        assert_eq!(former.delete(1, JOB, &version).await, Err(refused.clone()));
        assert_eq!(former.read(1, JOB).await, Err(refused.clone()));
        assert_eq!(former.list(1, RecordKind::Job).await, Err(refused.clone()));
        assert_eq!(former.fence(1).await, Err(refused));
        // What it wrote before is the next one's.
        let found = records.read(latter, JOB).await.unwrap().unwrap();
        assert_eq!(found.bytes, "a");
        records.write(latter, JOB, Some(&found.version), bytes("c")).await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_is_told_from_a_lost_call() {
        let records = MemoryRecords::default();
        records.lose_answers(1);
        let unknown = records.write(0, JOB, None, bytes("a")).await.unwrap_err();
        assert!(matches!(unknown, RecordError::Unknown { key: JOB, .. }));
        assert_eq!(records.read(0, JOB).await.unwrap().unwrap().bytes, "a");
        records.lose_calls(1);
        let lost = records.write(0, RecordKey::Application, None, bytes("a")).await.unwrap_err();
        assert!(matches!(lost, RecordError::Unreachable { .. }));
        assert_eq!(records.read(0, RecordKey::Application).await, Ok(None));
    }

    #[tokio::test]
    async fn a_record_that_is_too_long_is_refused() {
        let records = MemoryRecords::default();
        let error = records.write(0, JOB, None, vec![0; MAX_RECORD + 1].into()).await.unwrap_err();
        assert_eq!(error, RecordError::TooLong { key: JOB, bytes: MAX_RECORD + 1 });
    }
}
