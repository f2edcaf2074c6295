//! What `high-availability.type` chooses.
use std::sync::Arc;

use wiesel_common::config::Configuration;
use wiesel_common::config::options::high_availability::{self, HighAvailabilityMode};
use wiesel_common::filesystem;
use wiesel_common::leader::lease::LeaseTimes;
use wiesel_common::leader::{ClusterStorage, unsupported};
use wiesel_common::time::Clock;

use super::{LeaderElection, LeaseElection, MemoryRecords, RecordStore, StandaloneElection, StoredRecords};

/// The election of a leader, and the records that it finds.
pub struct HighAvailabilityServices {
    /// In which this process is a candidate.
    pub election: Box<dyn LeaderElection>,
    /// To be fenced by whoever is elected.
    pub records: Arc<dyn RecordStore>,
    /// Whether there is an election at all, and records that outlive this process.
    pub outlives: bool,
}

impl HighAvailabilityServices {
    /// Those that the configuration asks for.
    ///
    /// # Errors
    /// A bad value, a place that is none, or a kind of high availability that there is not.
    pub fn open(config: &Configuration, clock: Arc<dyn Clock>) -> filesystem::Result<Self> {
        match config.get(&high_availability::TYPE)? {
            HighAvailabilityMode::None => {
                let records = Arc::new(MemoryRecords::default());
                Ok(Self { election: Box::new(StandaloneElection), records, outlives: false })
            }
            HighAvailabilityMode::ObjectStore => {
                let (storage, times) = (ClusterStorage::open(config)?, LeaseTimes::read(config)?);
                let records = Arc::new(StoredRecords::new(&storage));
                Ok(Self { election: Box::new(LeaseElection::new(storage, times, clock)), records, outlives: true })
            }
            HighAvailabilityMode::ZooKeeper | HighAvailabilityMode::Kubernetes => Err(unsupported().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wiesel_common::filesystem::unsure::UnsureBucket;
    use wiesel_common::time::SystemClock;

    use super::*;
    use crate::ha::RecordKey;

    fn open(pairs: &[(&str, &str)]) -> filesystem::Result<HighAvailabilityServices> {
        let config = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        HighAvailabilityServices::open(&config, Arc::new(SystemClock))
    }

    /// A leader writes, gives up, and the next process finds it where that is asked for.
    #[tokio::test]
    async fn what_a_leader_wrote_outlives_it_where_that_is_asked_for() {
        UnsureBucket::mount("services");
        let object_store =
            [("high-availability.type", "object-store"), ("high-availability.storageDir", "s3://services/ha")];
        for (pairs, epochs, is_found) in [(&[][..], [0, 0], false), (&object_store[..], [1, 2], true)] {
            for (epoch, expected) in epochs.into_iter().zip([false, is_found]) {
                let HighAvailabilityServices { mut election, records, outlives } = open(pairs).unwrap();
                assert_eq!(outlives, is_found);
                let leadership = election.campaign("jm:6123", "jm:8081").await.unwrap();
                assert_eq!(leadership.session().epoch(), epoch);
                records.fence(epoch).await.unwrap();
                let found = records.read(epoch, RecordKey::Application).await.unwrap();
                assert_eq!(found.is_some(), expected, "{pairs:?}");
                if found.is_none() {
                    records.write(epoch, RecordKey::Application, None, Bytes::from_static(b"a")).await.unwrap();
                }
                leadership.resign().await;
            }
        }
    }

    #[test]
    fn what_there_is_not_is_refused() {
        for (pairs, expected) in [
            (&[("high-availability.type", "zookeeper")][..], "high availability"),
            (&[("high-availability.type", "object-store")][..], "high-availability.storageDir"),
        ] {
            let error = open(pairs).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
