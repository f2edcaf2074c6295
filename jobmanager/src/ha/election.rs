//! Who leads: a JobManager campaigns until it is granted the leadership, and ends as soon as it has lost it.
use std::future::Future;

use wiesel_common::filesystem;
use wiesel_common::id::LeaderSessionId;
use wiesel_common::leader::lease::LeaseError;

/// Why nobody can be elected. To try again does not help.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// The store lacks what an election needs.
    #[error("{uri} cannot hold what an election of leaders needs: {reason}")]
    Unfit {
        /// The place.
        uri: String,
        /// What it lacks, and what to do.
        reason: String,
    },
    /// The place is not reached, or refuses this process.
    #[error("cannot take part in the election of a leader: {0}")]
    Storage(#[from] filesystem::Error),
    /// What is there is no lease.
    #[error("cannot take part in the election of a leader: {0}")]
    Lease(#[from] LeaseError),
}

/// Why a leader leads no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Another one leads.
    #[error("another JobManager leads, in the epoch {epoch}")]
    Superseded {
        /// Its epoch.
        epoch: u64,
    },
    /// It could not say in time that it lives, so that another one may lead by now.
    #[error("the leadership could not be renewed in time: {reason}")]
    NotRenewed {
        /// What happened the last time that it was tried.
        reason: String,
    },
    /// What says who leads is gone: somebody has removed it.
    #[error("what says who leads was removed from {uri}")]
    Removed {
        /// The place.
        uri: String,
    },
}

/// A candidate.
#[tonic::async_trait]
pub trait LeaderElection: Send {
    /// Waits until this process leads, and tells all others the addresses, `host:port`, under which it is then reached.
    ///
    /// # Errors
    /// See [`ElectionError`]; what may pass is waited for.
    async fn campaign(&mut self, rpc_address: &str, rest_address: &str) -> Result<Box<dyn Leadership>, ElectionError>;
}

/// The leadership of this process. It is kept as long as [`Leadership::until_lost`] is awaited, which has to begin at once.
#[tonic::async_trait]
pub trait Leadership: Send + Sync {
    /// The session, which begins with an epoch that is larger than those of all leaders before; 0 without an election.
    fn session(&self) -> LeaderSessionId;

    /// Keeps the leadership, and returns when it is lost. It may be dropped and called again.
    async fn until_lost(&mut self) -> Loss;

    /// Gives the leadership up, so that the next leader need not wait until it has ended. Nothing that this process has to say as
    /// leader may come later.
    async fn resign(self: Box<Self>);
}

/// Does some work as long as the leadership is kept.
///
/// # Errors
/// It was lost: the work was dropped.
pub async fn while_leading<T>(leadership: &mut dyn Leadership, work: impl Future<Output = T>) -> Result<T, Loss> {
    tokio::select! {
        done = work => Ok(done),
        loss = leadership.until_lost() => Err(loss),
    }
}

/// Without high availability: the one JobManager leads.
pub struct StandaloneElection;

struct StandaloneLeadership(LeaderSessionId);

#[tonic::async_trait]
impl LeaderElection for StandaloneElection {
    async fn campaign(&mut self, _: &str, _: &str) -> Result<Box<dyn Leadership>, ElectionError> {
        Ok(Box::new(StandaloneLeadership(LeaderSessionId::of_epoch(0))))
    }
}

#[tonic::async_trait]
impl Leadership for StandaloneLeadership {
    fn session(&self) -> LeaderSessionId {
        self.0
    }

    async fn until_lost(&mut self) -> Loss {
        std::future::pending().await
    }

    async fn resign(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn without_an_election_whoever_asks_leads_for_ever() {
        let campaign = StandaloneElection.campaign("jm:6123", "jm:8081").now_or_never();
        let mut leadership = campaign.unwrap().unwrap();
        assert_eq!(leadership.session().epoch(), 0);
        assert!(leadership.until_lost().now_or_never().is_none());
        assert_eq!(while_leading(&mut *leadership, async { 7 }).now_or_never(), Some(Ok(7)));
        assert!(while_leading(&mut *leadership, std::future::pending::<()>()).now_or_never().is_none());
        assert!(leadership.resign().now_or_never().is_some());
    }
}
