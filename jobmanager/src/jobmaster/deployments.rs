//! Tasks on their way to TaskManagers, and turns to send them: each request repeats the job's graph.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use wiesel_common::id::AttemptId;

/// How many TaskManagers are given their tasks at once.
const DEPLOYMENTS_AT_ONCE: usize = 16;

/// Tasks on their way to a TaskManager.
pub(super) struct Deploying {
    pub(super) execution: u32,
    /// Under which registration it gave the slots that they are to run in.
    pub(super) registration: u64,
    pub(super) attempts: Vec<AttemptId>,
    /// The call, or its wait for a turn.
    pub(super) call: AbortHandle,
    /// Cancellations that must not overtake them.
    pub(super) cancelled: Vec<AttemptId>,
}

/// See the module.
pub(super) struct Deployments {
    turns: Arc<Semaphore>,
    /// By TaskManager.
    under_way: HashMap<String, Vec<Deploying>>,
}

impl Default for Deployments {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(DEPLOYMENTS_AT_ONCE)), under_way: HashMap::new() }
    }
}

impl Deployments {
    /// Where a call waits for its turn.
    pub(super) fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turns)
    }

    pub(super) fn begin(&mut self, resource_id: &str, deploying: Deploying) {
        self.under_way.entry(resource_id.to_owned()).or_default().push(deploying);
    }

    /// A call has ended. None: it is of no interest any more.
    pub(super) fn end(&mut self, resource_id: &str, execution: u32) -> Option<Deploying> {
        let known = self.under_way.get_mut(resource_id)?;
        let position = known.iter().position(|deploying| deploying.execution == execution)?;
        let ended = known.swap_remove(position);
        if known.is_empty() {
            self.under_way.remove(resource_id);
        }
        Some(ended)
    }

    /// A cancellation must not overtake its task: those of attempts under way are kept for later. Returns the others.
    pub(super) fn hold_back(&mut self, resource_id: &str, mut attempts: Vec<AttemptId>) -> Vec<AttemptId> {
        for deploying in self.under_way.get_mut(resource_id).into_iter().flatten() {
            let under_way: HashSet<AttemptId> = deploying.attempts.iter().copied().collect();
            let (waiting, others) = attempts.into_iter().partition(|attempt| under_way.contains(attempt));
            deploying.cancelled.extend::<Vec<AttemptId>>(waiting);
            attempts = others;
        }
        attempts
    }

    /// What was on its way to a TaskManager under this registration is given up, with its turn: others wait for one.
    pub(super) fn task_manager_lost(&mut self, resource_id: &str, registration: u64) {
        let Some(known) = self.under_way.get_mut(resource_id) else { return };
        known.retain(|deploying| {
            let stays = deploying.registration > registration;
            if !stays {
                deploying.call.abort();
            }
            stays
        });
        if known.is_empty() {
            self.under_way.remove(resource_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn deploying(registration: u64, attempt: u8, call: AbortHandle) -> Deploying {
        Deploying { execution: 0, registration, attempts: vec![AttemptId([attempt; 16])], call, cancelled: Vec::new() }
    }

    /// Failed before: the turns came back when the time of the calls was over.
    #[tokio::test]
    async fn what_is_on_its_way_to_lost_task_managers_holds_up_no_other() {
        let mut deployments = Deployments::default();
        let mut calls = JoinSet::new();
        for number in 0..DEPLOYMENTS_AT_ONCE {
            let turn = deployments.turns().try_acquire_owned().expect("a turn is free");
            let call = calls.spawn(async move {
                let _turn = turn;
                std::future::pending::<()>().await;
            });
            deployments.begin(&number.to_string(), deploying(1, 1, call));
        }
        assert!(deployments.turns().try_acquire_owned().is_err());
        for number in 0..DEPLOYMENTS_AT_ONCE {
            deployments.task_manager_lost(&number.to_string(), 1);
        }
        while let Some(ended) = calls.join_next().await {
            assert!(ended.unwrap_err().is_cancelled());
        }
        assert_eq!(deployments.turns().available_permits(), DEPLOYMENTS_AT_ONCE);
        assert!(deployments.end("0", 0).is_none());
    }

    #[tokio::test]
    async fn a_cancellation_waits_for_the_deployment_of_its_task() {
        let mut deployments = Deployments::default();
        let call = tokio::spawn(std::future::pending::<()>());
        deployments.begin("a", deploying(2, 1, call.abort_handle()));
        let attempts = |numbers: &[u8]| numbers.iter().map(|number| AttemptId([*number; 16])).collect::<Vec<_>>();
        assert_eq!(deployments.hold_back("a", attempts(&[1, 2])), attempts(&[2]));
        assert_eq!(deployments.hold_back("b", attempts(&[1])), attempts(&[1]));
        // Its successor is not lost.
        deployments.task_manager_lost("a", 1);
        assert_eq!(deployments.end("a", 0).map(|ended| ended.cancelled), Some(attempts(&[1])));
        assert!(deployments.end("a", 0).is_none());
        call.abort();
    }
}
