//! The lease of a leader: a file that it replaces again and again as long as it leads.
//!
//! No two contents are equal, because each has the epoch, the holder and how often it was renewed. Whoever watches it takes the time
//! for which one content stands unchanged by its own clock, one that only runs: no time of another machine is ever compared. The
//! file is never removed, so that epochs go on growing.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{LeaderInformation, LeaderRetrieval, RetrievalError};
use crate::config::options::high_availability::{self, LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD};
use crate::config::{ConfigError, Configuration};
use crate::filesystem::{self, Location, SwapError, Tag};
use crate::id::LeaderSessionId;
use crate::quote::quote;

/// What this release writes, and the one that it reads.
const FORMAT: u32 = 1;
/// The longest lease, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// The shortest time that is told.
const LEAST: Duration = Duration::from_millis(1);
/// The longest time for which a lease may be held without being renewed.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// When a lease is renewed and given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// A lease that has not changed for so long is anybody's.
    pub duration: Duration,
    /// Its holder takes it for lost when it could not renew it for so long.
    pub renew_deadline: Duration,
    /// How often it is renewed, and looked at.
    pub retry_period: Duration,
}

impl LeaseTimes {
    /// Those of the configuration.
    ///
    /// # Errors
    /// They do not fit into each other: a holder has to know that it has lost the lease before another one takes it.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let times = Self {
            duration: config.get(&high_availability::LEASE_DURATION)?,
            renew_deadline: config.get(&high_availability::RENEW_DEADLINE)?,
            retry_period: config.get(&high_availability::RETRY_PERIOD)?,
        };
        let shown = |time: Duration| format!("{} ms", time.as_millis());
        if !(LEAST..=MAX_DURATION).contains(&times.duration) {
            let expected = "expected a duration from 1 ms to 1 h";
            return Err(LEASE_DURATION.bad_value(LEASE_DURATION.key(), &shown(times.duration), expected));
        }
        if times.renew_deadline >= times.duration {
            let expected = format!("expected less than {} ({})", LEASE_DURATION.key(), shown(times.duration));
            return Err(RENEW_DEADLINE.bad_value(RENEW_DEADLINE.key(), &shown(times.renew_deadline), expected));
        }
        if times.retry_period < LEAST || times.retry_period >= times.renew_deadline {
            let most = shown(times.renew_deadline);
            let expected = format!("expected at least 1 ms and less than {} ({most})", RENEW_DEADLINE.key());
            return Err(RETRY_PERIOD.bad_value(RETRY_PERIOD.key(), &shown(times.retry_period), expected));
        }
        Ok(times)
    }
}

/// A content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// That of its holder: larger than those of all before.
    pub epoch: u64,
    /// Which process it is: a name that no other has.
    pub holder: String,
    /// How often its holder has renewed it.
    pub renewals: u64,
    /// How long its holder counts on it.
    pub duration: Duration,
    /// How its holder is reached; none: it leads no more.
    pub leader: Option<LeaderInformation>,
}

/// The lease as it is written: JSON, because people look at it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    epoch: u64,
    holder: String,
    renewals: u64,
    lease_duration_millis: u64,
    leader: Option<WrittenLeader>,
}

#[derive(Serialize, Deserialize)]
struct WrittenLeader {
    session: String,
    rpc_address: String,
    rest_address: String,
}

impl Lease {
    fn to_bytes(&self) -> Bytes {
        let written = Written {
            format: FORMAT,
            epoch: self.epoch,
            holder: self.holder.clone(),
            renewals: self.renewals,
            lease_duration_millis: self.duration.as_millis().try_into().unwrap_or(u64::MAX),
            leader: self.leader.clone().map(|leader| WrittenLeader {
                session: leader.session.map(|session| session.to_string()).unwrap_or_default(),
                rpc_address: leader.rpc_address,
                rest_address: leader.rest_address,
            }),
        };
        serde_json::to_vec(&written).expect("numbers and texts are JSON").into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if written.format != FORMAT {
            return Err(format!("it has the format {}, and this release reads {FORMAT}", written.format));
        }
        let leader = written.leader.map(|leader| {
            let session: LeaderSessionId = leader.session.parse().map_err(|_| "its session is none".to_owned())?;
            if session.epoch() != written.epoch {
                return Err(format!("its session has the epoch {}, not {}", session.epoch(), written.epoch));
            }
            let (rpc_address, rest_address) = (leader.rpc_address, leader.rest_address);
            Ok(LeaderInformation { session: Some(session), rpc_address, rest_address })
        });
        Ok(Self {
            epoch: written.epoch,
            holder: written.holder,
            renewals: written.renewals,
            duration: Duration::from_millis(written.lease_duration_millis).min(MAX_DURATION),
            leader: leader.transpose()?,
        })
    }
}

/// Why a lease cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It is not reached.
    #[error(transparent)]
    Storage(#[from] filesystem::Error),
    /// It is no lease, or that of another release.
    #[error("{uri} is no lease of a leader: {reason}; is {} that of another program?", high_availability::STORAGE_DIR.key())]
    Damaged {
        /// The file.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file.
#[derive(Clone, Debug)]
pub struct LeaseFile(Arc<Location>);

impl LeaseFile {
    pub(super) fn new(location: Location) -> Self {
        Self(Arc::new(location))
    }

    /// Where it is.
    pub fn uri(&self) -> &str {
        self.0.uri()
    }

    /// The lease with its tag; none if there was never one.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn read(&self) -> Result<Option<(Lease, Tag)>, LeaseError> {
        let damaged = |reason: String| {
            let (uri, reason) = (self.0.uri().to_owned(), quote(&reason).into_owned());
            LeaseError::Damaged { uri, reason }
        };
        let found = match self.0.read_tagged(MAX_BYTES).await {
            Err(filesystem::Error::Refused { refusal, .. }) => return Err(damaged(refusal.to_string())),
            found => found?,
        };
        let Some((bytes, tag)) = found else { return Ok(None) };
        Ok(Some((Lease::from_bytes(&bytes).map_err(damaged)?, tag)))
    }

    /// Replaces the lease that has this tag.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn write(&self, expected: Option<&Tag>, lease: &Lease) -> Result<Tag, SwapError> {
        self.0.swap(expected, lease.to_bytes()).await
    }
}

/// Watches who leads by looking at the lease. A holder that has gone without a word is told of until another one holds it.
pub struct LeaseRetrieval {
    file: LeaseFile,
    retry_period: Duration,
    has_looked: bool,
    told: Option<Option<LeaderInformation>>,
}

impl LeaseRetrieval {
    /// Looks at the lease so often.
    pub fn new(file: LeaseFile, retry_period: Duration) -> Self {
        Self { file, retry_period, has_looked: false, told: None }
    }
}

#[tonic::async_trait]
impl LeaderRetrieval for LeaseRetrieval {
    async fn changed(&mut self) -> Result<Option<LeaderInformation>, RetrievalError> {
        loop {
            if self.has_looked {
                tokio::time::sleep(self.retry_period).await;
            }
            self.has_looked = true;
            let leader = self.file.read().await?.and_then(|(lease, _)| lease.leader);
            if self.told.as_ref() != Some(&leader) {
                self.told = Some(leader.clone());
                return Ok(leader);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lease(epoch: u64, renewals: u64) -> Lease {
        let leader = LeaderInformation {
            session: Some(LeaderSessionId::of_epoch(epoch)),
            rpc_address: format!("jm{epoch}:6123"),
            rest_address: format!("jm{epoch}:8081"),
        };
        let duration = Duration::from_secs(15);
        Lease { epoch, holder: "h".to_owned(), renewals, duration, leader: Some(leader) }
    }

    fn file(bucket: &str) -> LeaseFile {
        filesystem::unsure::UnsureBucket::mount(bucket);
        let config: Configuration =
            [("high-availability.storageDir".to_owned(), format!("s3://{bucket}/ha"))].into_iter().collect();
        super::super::ClusterStorage::open(&config).unwrap().lease()
    }

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let mut some = lease(7, 3);
        assert_eq!(Lease::from_bytes(&some.to_bytes()).unwrap(), some);
        assert_ne!(some.to_bytes(), Lease { renewals: 4, ..some.clone() }.to_bytes());
        some.leader = None;
        assert_eq!(Lease::from_bytes(&some.to_bytes()).unwrap(), some);
        some.duration = Duration::from_secs(1 << 40);
        assert_eq!(Lease::from_bytes(&some.to_bytes()).unwrap().duration, MAX_DURATION);
        let text = String::from_utf8(lease(7, 3).to_bytes().to_vec()).unwrap();
        for (from, to, reason) in [
            ("\"format\":1", "\"format\":2", "format 2"),
            ("\"epoch\":7", "\"epoch\":8", "epoch 7, not 8"),
            ("\"epoch\":7", "\"epoch\":-7", "invalid value"),
            ("\"session\":\"0", "\"session\":\"", "session is none"),
            ("{\"format\"", "{\"other\"", "missing field"),
        ] {
            assert!(text.contains(from), "{text}");
            let error = Lease::from_bytes(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn times_have_to_fit_into_each_other() {
        let read = |duration: &str, deadline: &str, retry: &str| {
            let pairs = [(&LEASE_DURATION, duration), (&RENEW_DEADLINE, deadline), (&RETRY_PERIOD, retry)];
            let config = pairs.iter().map(|(option, value)| (option.key().to_owned(), (*value).to_owned())).collect();
            LeaseTimes::read(&config).map_err(|error| error.to_string())
        };
        let default = LeaseTimes::read(&Configuration::default()).unwrap();
        assert_eq!(Ok(default), read("15 s", "10 s", "2 s"));
        assert!(read("3 ms", "2 ms", "1 ms").is_ok() && read("1 h", "59 min", "1 s").is_ok());
        for (duration, deadline, retry, key) in [
            ("0 s", "10 s", "2 s", &LEASE_DURATION),
            ("61 min", "10 s", "2 s", &LEASE_DURATION),
            ("15 s", "15 s", "2 s", &RENEW_DEADLINE),
            ("15 s", "1000000 d", "2 s", &RENEW_DEADLINE),
            ("15 s", "0 s", "2 s", &RETRY_PERIOD),
            ("15 s", "10 s", "10 s", &RETRY_PERIOD),
            ("15 s", "10 s", "0 s", &RETRY_PERIOD),
            ("15 s", "10 s", "1 ns", &RETRY_PERIOD),
        ] {
            let error = read(duration, deadline, retry).unwrap_err();
            assert!(error.contains(&format!("for key '{}'", key.key())), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_watches_is_told_of_changes_alone() {
        let file = file("watched-lease");
        let mut retrieval = LeaseRetrieval::new(file.clone(), Duration::from_secs(2));
        assert_eq!(retrieval.changed().await.unwrap(), None);
        assert!(retrieval.changed().now_or_never().is_none());
        let tag = file.write(None, &lease(1, 0)).await.unwrap();
        let first = retrieval.changed().await.unwrap().unwrap();
        assert_eq!((first.rpc_address.as_str(), first.rest_address.as_str()), ("jm1:6123", "jm1:8081"));
        assert_eq!(first.session.map(LeaderSessionId::epoch), Some(1));
        // A renewal is no change.
        let renewed = Lease { leader: Some(first.clone()), ..lease(1, 1) };
        let tag = file.write(Some(&tag), &renewed).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(60), retrieval.changed()).await.is_err());
        let tag = file.write(Some(&tag), &Lease { leader: None, ..lease(1, 2) }).await.unwrap();
        assert_eq!(retrieval.changed().await.unwrap(), None);
        file.write(Some(&tag), &lease(2, 0)).await.unwrap();
        assert_eq!(retrieval.changed().await.unwrap().unwrap().rpc_address, "jm2:6123");
        // One who comes later hears of the last one.
        let mut other = LeaseRetrieval::new(file, Duration::from_secs(2));
        assert_eq!(other.changed().await.unwrap().unwrap().rpc_address, "jm2:6123");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_read_is_looked_at_again() {
        let bucket = filesystem::unsure::UnsureBucket::mount("unread-lease");
        let location = Location::of_uri("s3://unread-lease/leader", &Configuration::default()).unwrap();
        location.write(Bytes::from_static(b"{}")).await.unwrap();
        let file = LeaseFile::new(location.clone());
        let mut retrieval = LeaseRetrieval::new(file.clone(), Duration::from_secs(2));
        let error = retrieval.changed().await.unwrap_err().to_string();
        assert!(error.contains("s3://unread-lease/leader is no lease") && error.contains("storageDir"), "{error}");
        location.write(lease(3, 0).to_bytes()).await.unwrap();
        bucket.fail_reads(1);
        assert!(retrieval.changed().await.is_err());
        assert_eq!(retrieval.changed().await.unwrap().unwrap().rpc_address, "jm3:6123");
        location.write(vec![b' '; MAX_BYTES as usize + 1].into()).await.unwrap();
        let error = file.read().await.unwrap_err().to_string();
        assert!(error.contains("is no lease") && error.contains("65537 bytes"), "{error}");
    }
}
