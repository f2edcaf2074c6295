//! The file that says which leader may write records: what is to be written with the epoch of an earlier one is refused.
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wiesel_common::filesystem::{Error, Location, SwapError, Tag};
use wiesel_common::leader::ClusterStorage;
use wiesel_common::random;

use super::RecordError;

/// Its name, beside the records.
pub(super) const FENCE: &str = "fence";
/// What this release writes, and the one that it reads.
const FORMAT: u32 = 1;
/// The longest such file, in bytes.
const MAX_BYTES: u64 = 4 << 10;
/// How often another leader may be met in the middle.
pub(super) const ATTEMPTS: usize = 10;

/// The file.
pub(super) struct StoredFence(Location);

/// How far leaders have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// The latest epoch that has begun.
    begun: u64,
    /// The latest that has taken over all records. What is written with an earlier one, and was not there then, came behind it.
    complete: u64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    begun: u64,
    complete: u64,
    /// No two contents are equal.
    nonce: String,
}

impl StoredFence {
    pub(super) fn new(location: Location) -> Self {
        Self(location)
    }

    /// That of a cluster.
    pub(super) fn of(storage: &ClusterStorage) -> Self {
        Self::new(storage.records().join(FENCE))
    }

    /// The latest epoch that has begun; 0 if none has.
    pub(super) async fn begun(&self) -> Result<u64, RecordError> {
        self.read().await.map(|(found, _)| found.begun)
    }

    /// Begins an epoch. The latest one that was complete before.
    pub(super) async fn begin(&self, epoch: u64) -> Result<u64, RecordError> {
        self.advance(epoch, move |found| Progress { begun: epoch, ..found }).await.map(|found| found.complete)
    }

    /// Says that this epoch, which has begun, has taken over all records.
    pub(super) async fn complete(&self, epoch: u64) -> Result<(), RecordError> {
        self.advance(epoch, move |_| Progress { begun: epoch, complete: epoch }).await.map(drop)
    }

    /// Whether this epoch is the latest.
    pub(super) async fn check(&self, epoch: u64) -> Result<(), RecordError> {
        let (found, _) = self.read().await?;
        check(epoch, found)
    }

    /// What was found before it was replaced by what comes next.
    async fn advance(&self, epoch: u64, next: impl Fn(Progress) -> Progress) -> Result<Progress, RecordError> {
        for _ in 0..ATTEMPTS {
            let (found, tag) = self.read().await?;
            check(epoch, found)?;
            let next = next(found);
            if next == found {
                return Ok(found);
            }
            match self.0.swap(tag.as_ref(), to_bytes(next)).await {
                Ok(_) => return Ok(found),
                Err(SwapError::Refused { .. }) => {}
                Err(error) => return Err(RecordError::Unreachable { reason: error.to_string() }),
            }
        }
        Err(RecordError::Unreachable { reason: format!("{} is changed again and again", self.0.uri()) })
    }

    async fn read(&self) -> Result<(Progress, Option<Tag>), RecordError> {
        let damaged = |reason| RecordError::Damaged { place: self.0.uri().to_owned(), reason };
        let found = match self.0.read_tagged(MAX_BYTES).await {
            Err(error @ Error::Refused { .. }) => return Err(damaged(error.to_string())),
            found => found.map_err(|error| RecordError::Unreachable { reason: error.to_string() })?,
        };
        let Some((bytes, tag)) = found else { return Ok((Progress::default(), None)) };
        Ok((from_bytes(&bytes).map_err(damaged)?, Some(tag)))
    }
}

fn check(epoch: u64, found: Progress) -> Result<(), RecordError> {
    if found.begun > epoch { Err(RecordError::Superseded { epoch, newer: found.begun }) } else { Ok(()) }
}

fn to_bytes(progress: Progress) -> Bytes {
    let Progress { begun, complete } = progress;
    let written = Written { format: FORMAT, begun, complete, nonce: random::uuid().simple().to_string() };
    serde_json::to_vec(&written).expect("numbers and texts are JSON").into()
}

fn from_bytes(bytes: &[u8]) -> Result<Progress, String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let Written { format, begun, complete, .. } = written;
    if format != FORMAT {
        return Err(format!("it has the format {format}, and this release reads {FORMAT}"));
    }
    if complete > begun {
        return Err(format!("the epoch {complete} is complete and has not begun"));
    }
    Ok(Progress { begun, complete })
}

#[cfg(test)]
mod tests {
    use wiesel_common::config::Configuration;
    use wiesel_common::filesystem::unsure::{PutFault, UnsureBucket};

    use super::*;

    #[tokio::test]
    async fn epochs_begin_and_are_complete_in_their_order() {
        let bucket = UnsureBucket::mount("fence");
        let fence = StoredFence::new(Location::of_uri("s3://fence/fence", &Configuration::default()).unwrap());
        // Without an election nothing is written.
        assert_eq!(fence.begin(0).await, Ok(0));
        assert_eq!(fence.complete(0).await, Ok(()));
        assert_eq!(fence.read().await.unwrap(), (Progress::default(), None));
        assert_eq!(fence.begin(1).await, Ok(0));
        assert_eq!(fence.begin(1).await, Ok(0));
        assert_eq!(fence.complete(1).await, Ok(()));
        assert_eq!(fence.begin(1).await, Ok(1));
        // The third one finds that the second was never complete.
        assert_eq!(fence.begin(2).await, Ok(1));
        assert_eq!(fence.begin(3).await, Ok(1));
        let superseded = RecordError::Superseded { epoch: 2, newer: 3 };
        assert_eq!(fence.complete(2).await, Err(superseded.clone()));
        assert_eq!(fence.check(2).await, Err(superseded));
        assert_eq!(fence.check(3).await, Ok(()));
        bucket.fail_puts(&[PutFault::Lost, PutFault::LostAnswer]);
        assert!(matches!(fence.complete(3).await, Err(RecordError::Unreachable { .. })));
        assert_eq!(fence.complete(3).await, Ok(()));
        assert_eq!(fence.read().await.unwrap().0, Progress { begun: 3, complete: 3 });
    }

    #[test]
    fn what_is_no_fence_is_not_believed() {
        for (text, reason) in [
            ("{}", "missing field"),
            (r#"{"format":2,"begun":1,"complete":1,"nonce":""}"#, "format 2"),
            (r#"{"format":1,"begun":1,"complete":2,"nonce":""}"#, "has not begun"),
        ] {
            let error = from_bytes(text.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
