//! Who leads a cluster, and how it is reached: what TaskManagers, clients and JobManagers that stand by ask for.
//!
//! [`lease`] has the file in which a leader says so where `high-availability.type` is `object-store`, and [`storage`] the folder that
//! it is in.
use crate::id::LeaderSessionId;

pub mod lease;
pub mod storage;

pub use lease::LeaseRetrieval;
pub use storage::ClusterStorage;

/// A JobManager that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInformation {
    /// Its session, which begins with its epoch; none where there is no election: whoever registers with it is told.
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
    /// See [`RetrievalError`]; nothing was missed by the next call.
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
}
