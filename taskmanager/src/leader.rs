//! The JobMaster that leads a task, as far as is known here: what the task says goes to it.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use wiesel_common::rpc::Channel;
use wiesel_proto::job_master_client::JobMasterClient;

/// A JobMaster.
#[derive(Clone)]
pub struct JobMaster {
    /// The way to it.
    pub client: JobMasterClient<Channel>,
    /// Its token.
    pub fence: Bytes,
}

/// The JobMaster that leads a task.
#[derive(Clone)]
pub enum Leader {
    /// This JobMaster.
    Known(JobMaster),
    /// The last one is lost, and the task goes on: what it has to say waits for the next one.
    Awaited,
    /// Nobody any more: the task ends, and is not listened to.
    Gone,
}

/// See the module. All clones follow the same leader.
#[derive(Clone)]
pub struct LeaderWatch(Arc<watch::Sender<Leader>>);

impl LeaderWatch {
    /// A task that this JobMaster leads.
    pub fn new(master: JobMaster) -> Self {
        Self(Arc::new(watch::Sender::new(Leader::Known(master))))
    }

    /// From now on it is led otherwise.
    pub fn set(&self, leader: Leader) {
        self.0.send_replace(leader);
    }

    /// Whether a JobMaster leads.
    pub fn is_known(&self) -> bool {
        matches!(*self.0.borrow(), Leader::Known(_))
    }

    /// Whether the task is to end.
    pub fn is_gone(&self) -> bool {
        matches!(*self.0.borrow(), Leader::Gone)
    }

    /// Whether the task goes on without one.
    pub fn is_awaited(&self) -> bool {
        matches!(*self.0.borrow(), Leader::Awaited)
    }

    /// Hears of changes from now on.
    pub fn subscribe(&self) -> watch::Receiver<Leader> {
        self.0.subscribe()
    }

    /// The JobMaster that leads, if `waits` also one that is still to come. None: there is none to speak to.
    pub async fn master(&self, waits: bool) -> Option<JobMaster> {
        let mut changes = self.0.subscribe();
        let decided = changes.wait_for(|leader| !(waits && matches!(leader, Leader::Awaited))).await;
        // Its sender is at hand, so that it does not close.
        match decided.as_deref() {
            Ok(Leader::Known(master)) => Some(master.clone()),
            _ => None,
        }
    }

    /// Returns when the task is to end.
    pub async fn until_gone(&self) {
        let mut changes = self.0.subscribe();
        if changes.wait_for(|leader| matches!(leader, Leader::Gone)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the JobMaster with this token leads no more.
    pub async fn until_superseded(&self, fence: &Bytes) {
        let mut changes = self.0.subscribe();
        let leads = |leader: &Leader| matches!(leader, Leader::Known(master) if master.fence == *fence);
        if changes.wait_for(|leader| !leads(leader)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tonic::body::Body;
    use tonic::codegen::http;
    use wiesel_common::rpc::{Answer, Transport};

    use super::*;

    struct Silence;

    impl Transport for Silence {
        fn call(&self, _: http::Request<Body>) -> Answer {
            Box::pin(std::future::pending())
        }
    }

    fn master(fence: u8) -> JobMaster {
        let client = JobMasterClient::new(Channel::new(Silence));
        JobMaster { client, fence: vec![fence; 16].into() }
    }

    fn fence_of(found: Option<Option<JobMaster>>) -> Option<Option<u8>> {
        found.map(|master| master.map(|master| master.fence[0]))
    }

    /// Before, the loss was looked for five times a second.
    #[test]
    fn the_loss_of_the_job_master_is_noticed_when_it_happens() {
        let leader = LeaderWatch::new(master(1));
        let fence = master(1).fence;
        let mut superseded = std::pin::pin!(leader.until_superseded(&fence));
        let mut gone = std::pin::pin!(leader.until_gone());
        assert!(superseded.as_mut().now_or_never().is_none() && gone.as_mut().now_or_never().is_none());
        leader.set(Leader::Gone);
        assert!(superseded.now_or_never().is_some() && gone.now_or_never().is_some());
        assert!(leader.until_superseded(&fence).now_or_never().is_some(), "it was lost before");
        assert_eq!(fence_of(leader.master(true).now_or_never()), Some(None));
    }

    #[test]
    fn whoever_waits_gets_the_next_job_master() {
        let leader = LeaderWatch::new(master(1));
        assert_eq!(fence_of(leader.master(true).now_or_never()), Some(Some(1)));
        leader.set(Leader::Awaited);
        assert!(leader.is_awaited() && !leader.is_known() && !leader.is_gone());
        assert_eq!(fence_of(leader.master(false).now_or_never()), Some(None));
        let mut next = std::pin::pin!(leader.master(true));
        assert!(next.as_mut().now_or_never().is_none());
        leader.set(Leader::Known(master(2)));
        assert_eq!(fence_of(next.now_or_never()), Some(Some(2)));
    }
}
