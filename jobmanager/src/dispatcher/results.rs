//! The recorded results of jobs that are over: they go with the archive, so that as much of them is kept.
use std::collections::VecDeque;

use tokio::task::JoinSet;
use wiesel_common::id::JobId;

use crate::jobmaster::JobRecords;

/// Results that are recorded at the most: the next leader reads all of them before it leads.
const MOST: usize = 256;

/// See the module.
pub(super) struct Results {
    /// None: nothing outlives the JobManager.
    records: Option<JobRecords>,
    /// Those that are kept, oldest first.
    kept: VecDeque<JobId>,
    forgetting: JoinSet<()>,
}

impl Results {
    pub(super) fn new(records: Option<JobRecords>) -> Self {
        Self { records, kept: VecDeque::new(), forgetting: JoinSet::new() }
    }

    /// That of this job is recorded, or will be.
    pub(super) fn kept(&mut self, job: JobId) {
        if self.records.is_none() {
            return;
        }
        self.kept.push_back(job);
        if self.kept.len() > MOST {
            let oldest = self.kept.pop_front();
            self.delete(oldest.into_iter().collect());
        }
    }

    /// The archive has these no more.
    pub(super) fn forget(&mut self, jobs: Vec<JobId>) {
        let (gone, kept): (VecDeque<JobId>, VecDeque<JobId>) =
            std::mem::take(&mut self.kept).into_iter().partition(|job| jobs.contains(job));
        self.kept = kept;
        self.delete(gone.into());
    }

    /// That of this job was not recorded before all was done that its end left to do.
    pub(super) fn written_late(&mut self, job: JobId) {
        if !self.kept.contains(&job) {
            self.delete(vec![job]);
        }
    }

    fn delete(&mut self, jobs: Vec<JobId>) {
        if let Some(records) = self.records.clone().filter(|_| !jobs.is_empty()) {
            self.forgetting.spawn(records.forget_results(jobs));
        }
    }

    /// Returns when some are deleted.
    pub(super) async fn next_forgotten(&mut self) {
        if self.forgetting.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::ha::{MemoryRecords, RecordKey, RecordKind, RecordStore as _};

    fn job(number: usize) -> JobId {
        JobId((number as u128).to_be_bytes())
    }

    #[tokio::test]
    async fn results_go_with_the_archive_and_are_never_too_many() {
        let store = MemoryRecords::default();
        let records = JobRecords::lead(Arc::new(store.clone()), 1).await.unwrap();
        let mut results = Results::new(Some(records));
        for number in 0..MOST + 2 {
            store.write(1, RecordKey::Result(job(number)), None, Bytes::new()).await.unwrap();
            results.kept(job(number));
        }
        results.forget(vec![job(5), job(MOST + 9)]);
        results.written_late(job(6));
        // One that the archive has dropped before.
        results.forget(vec![job(7)]);
        store.write(1, RecordKey::Result(job(1000)), None, Bytes::new()).await.unwrap();
        results.written_late(job(1000));
        while !results.forgetting.is_empty() {
            results.next_forgotten().await;
        }
        let left = store.list(1, RecordKind::Result).await.unwrap();
        let expected = (0..MOST + 2).filter(|number| ![0, 1, 5, 7].contains(number)).map(job).map(RecordKey::Result);
        assert!(left.iter().copied().eq(expected), "{left:?}");
        let mut without = Results::new(None);
        without.kept(job(1));
        without.forget(vec![job(1)]);
        assert!(without.kept.is_empty() && without.forgetting.is_empty());
    }
}
