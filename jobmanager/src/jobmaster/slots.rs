//! The slots of a job: offers of TaskManagers, and what becomes of slots that others know to be lost.
//!
//! What a TaskManager says has a number (see [`ReportNumber`]): a slot is told by it from a report that was made before the slot
//! was offered, and from a word of the process that was there before.
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tonic::Status;
use wiesel_common::id::{AllocationId, AttemptId};
use wiesel_proto as proto;

use super::actor::JobMaster;
use super::execution_graph::{JobSlot, TaskManagerLocation};
use super::scheduler::{MORE_SLOTS, MetricsReportNumber, UpdateOutcome};
use crate::failure::{self, FailureInfo};
use crate::resourcemanager;
use crate::resourcemanager::slot_manager::{ReportNumber, SlotShortage};

/// After how many milliseconds a job that waits for slots says so again; each time it waits twice as long.
const FIRST_REMINDER: i64 = 60_000;

/// When the log was told that the job waits for slots.
#[derive(Debug, Default)]
pub(super) struct WaitForSlots {
    /// Between the last line and the next; 0: there was none.
    pause: i64,
    next: i64,
}

impl WaitForSlots {
    /// Whether a line is due: at once, then ever less often.
    fn is_due(&mut self, now: i64) -> bool {
        if self.pause > 0 && now < self.next {
            return false;
        }
        self.pause = self.pause.saturating_mul(2).max(FIRST_REMINDER);
        self.next = now.saturating_add(self.pause);
        true
    }
}

impl JobMaster {
    /// The ResourceManager says what the job waits for, or that it need not wait any more.
    pub(super) fn slot_shortage(&mut self, shortage: Option<SlotShortage>) {
        self.scheduler.set_slot_shortage(shortage);
        let now = self.now();
        if let Some(shortage) = self.scheduler.slot_shortage()
            && self.wait_for_slots.is_due(now)
        {
            tracing::warn!(job_id = %self.job_id(), "job waits for slots: {shortage}; {MORE_SLOTS}");
        }
    }

    pub(super) fn offer_slots(
        &mut self,
        request: proto::OfferSlotsRequest,
    ) -> Result<proto::OfferSlotsResponse, Status> {
        // Tasks that another JobMaster has deployed are not taken over any more, so that their slots are of no use before they have
        // ended. A slot that the job has is offered again where the answer was lost.
        let busy: HashSet<&[u8]> = request.tasks.iter().map(|task| &task.allocation_id[..]).collect();
        let offered = offered_slots(&request)?;
        let is_of_use = |slot: &&JobSlot| {
            !busy.contains(&slot.allocation.0[..]) || self.scheduler.slots().contains(slot.allocation)
        };
        let free = offered.iter().filter(is_of_use).cloned().collect();
        let accepted = self.scheduler.offer_slots(free);
        let taken: HashSet<AllocationId> = accepted.iter().copied().collect();
        let (taken, others): (Vec<_>, Vec<_>) = offered.into_iter().partition(|slot| taken.contains(&slot.allocation));
        self.tell_accepted(&taken);
        for slot in others {
            self.tell_given_up(&slot.location.resource_id, slot.allocation);
        }
        Ok(proto::OfferSlotsResponse { accepted: accepted.into_iter().map(AllocationId::to_bytes).collect() })
    }

    /// Tells the ResourceManager which slots the job has taken. It confirms them, or says that they, or their TaskManager, are lost, and
    /// counts as the job's what the job has.
    pub(super) fn tell_accepted(&self, slots: &[JobSlot]) {
        let mut offers: BTreeMap<(&str, ReportNumber), Vec<AllocationId>> = BTreeMap::new();
        for slot in slots {
            offers.entry((slot.location.resource_id.as_str(), slot.since)).or_default().push(slot.allocation);
        }
        for ((resource_id, since), allocations) in offers {
            let (job, resource_id) = (self.job_id(), resource_id.to_owned());
            let taken = resourcemanager::Message::Accepted { job, resource_id, since, allocations };
            self.context.resource_manager.send(taken);
        }
    }

    /// Takes the counters of tasks, and what their TaskManager holds for the job: a slot that it does not hold is lost, one that
    /// the job does not have is to be given back, an attempt that is not the job's any more is to end, and one of the job's that
    /// it does not have is over.
    pub(super) fn task_manager_report(&mut self, report: proto::TaskMetricsReport) -> proto::TaskMetricsResponse {
        let mut unknown_attempts = Vec::new();
        let mut named = HashSet::with_capacity(report.tasks.len());
        for task in report.tasks {
            let Some(attempt) = AttemptId::from_bytes(&task.attempt_id) else { continue };
            named.insert(attempt);
            if let Some(metrics) = task.metrics
                && self.scheduler.task_metrics(attempt, metrics) == UpdateOutcome::Unknown
            {
                unknown_attempts.push(task.attempt_id);
            }
        }
        let held: BTreeMap<AllocationId, bool> = report
            .slots
            .iter()
            .filter_map(|slot| Some((AllocationId::from_bytes(&slot.allocation_id)?, slot.active)))
            .collect();
        let number = ReportNumber { registration: report.registration, version: report.slots_version };
        for allocation in self.scheduler.not_held(&report.resource_id, number, |slot| held.contains_key(&slot)) {
            self.give_up(&report.resource_id, allocation);
        }
        let number = MetricsReportNumber { registration: report.registration, number: report.number };
        self.scheduler.attempts_named(&report.resource_id, number, &named, &mut self.env);
        let has = |allocation| self.scheduler.slots().contains(allocation);
        let unwanted = held.into_iter().filter(|(allocation, active)| *active && !has(*allocation));
        let unwanted = unwanted.map(|(allocation, _)| allocation.to_bytes()).collect();
        proto::TaskMetricsResponse { unwanted, unknown_attempts }
    }

    /// The job does not have the slot any more, and tells the ResourceManager, which may believe it has.
    pub(super) fn give_up(&mut self, resource_id: &str, allocation: AllocationId) {
        self.slot_lost(resource_id, allocation);
        self.tell_given_up(resource_id, allocation);
    }

    /// The job does not have the slot any more.
    pub(super) fn slot_lost(&mut self, resource_id: &str, allocation: AllocationId) {
        let message = format!("The slot {allocation} of TaskManager {resource_id} is not the job's any more.");
        let failure = FailureInfo::new(failure::INTERNAL, message);
        self.scheduler.slot_lost(allocation, failure, &mut self.env);
    }

    /// A TaskManager did not say that it took a cancellation, however often it was asked.
    pub(super) fn not_cancelled(&mut self, resource_id: &str, registration: u64, reason: String) {
        let message = format!("TaskManager with id {resource_id} does not take a cancellation.");
        let failure = FailureInfo::new(failure::TASK_MANAGER_LOST, message).because(reason);
        // A TaskManager that registered later under the same id, from the same address even, was not asked.
        self.abandon_task_manager(resource_id, registration, failure);
    }

    /// The ResourceManager does not know this registration of a TaskManager any more.
    pub(super) fn task_manager_lost(&mut self, resource_id: &str, registration: u64, failure: FailureInfo) {
        self.deployments.task_manager_lost(resource_id, registration);
        self.scheduler.task_manager_lost(resource_id, registration, failure, &mut self.env);
    }

    /// The job does without what a TaskManager gave it under this registration: it does not do what it is told, though the
    /// ResourceManager hears of it.
    pub(super) fn abandon_task_manager(&mut self, resource_id: &str, registration: u64, failure: FailureInfo) {
        let slots = self.scheduler.slots().of(resource_id);
        let slots = slots.filter(|slot| slot.since.registration <= registration);
        for allocation in slots.map(|slot| slot.allocation).collect::<Vec<_>>() {
            self.tell_given_up(resource_id, allocation);
        }
        self.scheduler.abandon_task_manager(resource_id, registration, failure, &mut self.env);
    }

    pub(super) fn tell_given_up(&self, resource_id: &str, allocation: AllocationId) {
        let resource_id = resource_id.to_owned();
        self.context.resource_manager.send(resourcemanager::Message::GiveUp { resource_id, allocation });
    }
}

/// The slots that a TaskManager offers.
pub(super) fn offered_slots(request: &proto::OfferSlotsRequest) -> Result<Vec<JobSlot>, Status> {
    let location = Arc::new(TaskManagerLocation {
        resource_id: request.resource_id.clone(),
        rpc_address: request.rpc_address.clone(),
        data_address: request.data_address.clone(),
        hostname: request.hostname.clone(),
    });
    let since = ReportNumber { registration: request.registration, version: request.slots_version };
    let slot = |offer: &proto::SlotOffer| {
        let allocation = AllocationId::from_bytes(&offer.allocation_id)
            .ok_or_else(|| Status::invalid_argument("an allocation id must have 16 bytes"))?;
        Ok(JobSlot { allocation, index: offer.index, since, location: Arc::clone(&location) })
    };
    request.slots.iter().map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_at_once_and_then_ever_less_often() {
        let mut wait = WaitForSlots::default();
        let lines: Vec<i64> = (0..600).map(|second| second * 1_000).filter(|now| wait.is_due(*now)).collect();
        assert_eq!(lines, [0, 60_000, 180_000, 420_000]);
    }
}
