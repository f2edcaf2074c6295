//! Who leads a cluster, and how it is reached: what TaskManagers, clients and JobManagers that stand by ask for.
//!
//! [`lease`] has the file in which a leader says so where `high-availability.type` is `object-store`, and [`storage`] the folder that
//! it is in.
use tokio::sync::watch;

use crate::config::options::high_availability::{self, HighAvailabilityMode};
use crate::config::unsupported::OBJECT_STORE;
use crate::config::{ConfigError, Configuration};
use crate::filesystem;
use crate::id::LeaderSessionId;
use crate::logging::Limit;

pub mod lease;
pub mod storage;

pub use lease::LeaseRetrieval;
pub use storage::ClusterStorage;

/// How a JobManager that stands by begins what it answers to each call of REST.
pub const STANDS_BY: &str = "This JobManager stands by.";
/// The same as long as nobody leads: Flink's words.
pub const NOBODY_LEADS: &str = "Service temporarily unavailable due to an ongoing leader election. Please refresh.";

/// Whether an answer is one of a JobManager that stands by, which has done nothing.
pub fn is_said_by_standby(body: &[u8]) -> bool {
    let says = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
    says(STANDS_BY) || says(NOBODY_LEADS)
}

/// A JobManager that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInformation {
    /// The session in which it was elected, which begins with its epoch; its components have sessions of their own in that epoch, of
    /// which whoever registers with them is told. None where there is no election.
    pub session: Option<LeaderSessionId>,
    /// `host:port` of its calls.
    pub rpc_address: String,
    /// `host:port` of REST.
    pub rest_address: String,
}

/// Why it is not known who leads. It may be asked again.
#[derive(Debug, thiserror::Error)]
#[error("it is not known which JobManager leads: {0}")]
pub struct RetrievalError(#[from] lease::LeaseError);

/// Watches who leads.
#[tonic::async_trait]
pub trait LeaderRetrieval: Send {
    /// Returns when another one leads than was told the last time, the first time at once. None: nobody does. It may be dropped
    /// before it returns.
    ///
    /// # Errors
    /// See [`RetrievalError`]. The next call, which makes a pause, has missed nothing.
    async fn changed(&mut self) -> Result<Option<LeaderInformation>, RetrievalError>;
}

/// Without an election: the one JobManager that the configuration names.
pub struct StandaloneRetrieval(Option<LeaderInformation>);

impl StandaloneRetrieval {
    /// It is at these addresses, `host:port`.
    pub fn new(rpc_address: String, rest_address: String) -> Self {
        Self(Some(LeaderInformation { session: None, rpc_address, rest_address }))
    }
}

#[tonic::async_trait]
impl LeaderRetrieval for StandaloneRetrieval {
    async fn changed(&mut self) -> Result<Option<LeaderInformation>, RetrievalError> {
        match self.0.take() {
            Some(leader) => Ok(Some(leader)),
            None => std::future::pending().await,
        }
    }
}

/// The way to find the leader that the configuration asks for. Without an election it is at these addresses, `host:port`.
///
/// # Errors
/// A bad value, a place that is none, or a kind of high availability that there is not.
pub fn retrieval(
    config: &Configuration,
    rpc_address: String,
    rest_address: String,
) -> filesystem::Result<Box<dyn LeaderRetrieval>> {
    match config.get(&high_availability::TYPE)? {
        HighAvailabilityMode::None => Ok(Box::new(StandaloneRetrieval::new(rpc_address, rest_address))),
        HighAvailabilityMode::ObjectStore => {
            let retry_period = lease::LeaseTimes::read(config)?.retry_period;
            Ok(Box::new(LeaseRetrieval::new(ClusterStorage::open(config)?.lease(), retry_period)))
        }
        HighAvailabilityMode::ZooKeeper | HighAvailabilityMode::Kubernetes => Err(unsupported().into()),
    }
}

/// The kind of high availability that is configured is one that there is not.
pub fn unsupported() -> ConfigError {
    let (key, what) = (high_availability::TYPE.key().to_owned(), "high availability by ZooKeeper or Kubernetes");
    ConfigError::Unsupported { key, what, instead: OBJECT_STORE }
}

/// Tells all who watch who leads, as long as somebody does.
pub async fn follow(mut retrieval: Box<dyn LeaderRetrieval>, leader: watch::Sender<Option<LeaderInformation>>) {
    let trouble = Limit::once_a_minute();
    loop {
        let changed = tokio::select! {
            changed = retrieval.changed() => changed,
            () = leader.closed() => return,
        };
        match changed {
            Ok(changed) => _ = leader.send_replace(changed),
            Err(error) => {
                if let Some(unsaid) = trouble.admit_now() {
                    tracing::warn!(unsaid, "{error}");
                }
            }
        }
    }
}

/// Returns when another one leads than this one; that nobody does is no change.
pub async fn another_leads(leader: &mut watch::Receiver<Option<LeaderInformation>>, known: &Option<LeaderInformation>) {
    let is_another = |leader: &Option<LeaderInformation>| leader.is_some() && leader != known;
    if leader.wait_for(is_another).await.is_err() {
        // Nobody tells any more.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn without_an_election_the_leader_never_changes() {
        let mut retrieval = StandaloneRetrieval::new("jm:6123".to_owned(), "jm:8081".to_owned());
        let leader = retrieval.changed().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(
            (leader.session, leader.rpc_address.as_str(), leader.rest_address.as_str()),
            (None, "jm:6123", "jm:8081")
        );
        assert!(retrieval.changed().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_follows_hears_of_another_leader() {
        let bucket = filesystem::unsure::UnsureBucket::mount("follow");
        let pairs = [("high-availability.type", "object-store"), ("high-availability.storageDir", "s3://follow/ha")];
        let config = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let file = ClusterStorage::open(&config).unwrap().lease();
        let (sender, mut leader) = watch::channel(None);
        bucket.fail_reads(1);
        let following = tokio::spawn(follow(retrieval(&config, String::new(), String::new()).unwrap(), sender));
        let lease = |epoch: u64| {
            let session = Some(LeaderSessionId::of_epoch(epoch));
            let (rpc_address, rest_address) = (format!("jm{epoch}:6123"), format!("jm{epoch}:8081"));
            let leader = Some(LeaderInformation { session, rpc_address, rest_address });
            let duration = std::time::Duration::from_secs(15);
            lease::Lease { epoch, holder: "h".to_owned(), renewals: 0, duration, leader }
        };
        let tag = file.write(None, &lease(1)).await.unwrap();
        another_leads(&mut leader, &None).await;
        let first = leader.borrow().clone();
        assert_eq!(first.as_ref().unwrap().rpc_address, "jm1:6123");
        // Between two leaders there is none.
        let tag = file.write(Some(&tag), &lease::Lease { leader: None, renewals: 1, ..lease(1) }).await.unwrap();
        leader.wait_for(Option::is_none).await.unwrap();
        file.write(Some(&tag), &lease(2)).await.unwrap();
        another_leads(&mut leader, &first).await;
        assert_eq!(leader.borrow().as_ref().unwrap().rpc_address, "jm2:6123");
        drop(leader);
        following.await.unwrap();
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let of = |mode: &str| {
            let config = [("high-availability.type".to_owned(), mode.to_owned())].into_iter().collect();
            retrieval(&config, "jm:6123".to_owned(), "jm:8081".to_owned()).err().map(|error| error.to_string())
        };
        assert!(["NONE", "", "Standalone"].into_iter().all(|mode| of(mode).is_none()));
        for (mode, expected) in [
            ("ZooKeeper", "high availability"),
            ("kubernetes", "high availability"),
            ("object-store", "high-availability.storageDir"),
            ("other", "expected one of NONE, object-store, zookeeper, kubernetes"),
        ] {
            let error = of(mode).unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
