//! The slots of a job: offers of TaskManagers, and what becomes of slots that others know to be lost.
use std::collections::HashMap;
use std::sync::Arc;

use tonic::Status;
use wiesel_common::id::{AllocationId, AttemptId};
use wiesel_proto as proto;

use super::actor::JobMaster;
use super::execution_graph::{JobSlot, TaskManagerLocation};
use crate::failure::{self, FailureInfo};
use crate::resourcemanager;

impl JobMaster {
    pub(super) fn offer_slots(
        &mut self,
        request: proto::OfferSlotsRequest,
    ) -> Result<proto::OfferSlotsResponse, Status> {
        let location = Arc::new(TaskManagerLocation {
            resource_id: request.resource_id,
            rpc_address: request.rpc_address,
            data_address: request.data_address,
            hostname: request.hostname,
        });
        let mut offers = Vec::with_capacity(request.slots.len());
        for slot in &request.slots {
            let allocation = AllocationId::from_bytes(&slot.allocation_id)
                .ok_or_else(|| Status::invalid_argument("an allocation id must have 16 bytes"))?;
            let (index, version) = (slot.index, request.slots_version);
            offers.push(JobSlot { allocation, index, version, location: Arc::clone(&location) });
        }
        let offered: Vec<AllocationId> = offers.iter().map(|offer| offer.allocation).collect();
        let accepted = self.scheduler.offer_slots(offers, &mut self.env);
        for allocation in offered.into_iter().filter(|offer| !accepted.contains(offer)) {
            self.tell_given_up(&location.resource_id, allocation);
        }
        Ok(proto::OfferSlotsResponse { accepted: accepted.into_iter().map(AllocationId::to_bytes).collect() })
    }

    /// Takes the counters of tasks, and what their TaskManager holds for the job: a slot that it does not hold is lost, and
    /// one that the job does not have is to be given back.
    pub(super) fn task_manager_report(&mut self, report: proto::TaskMetricsReport) -> proto::TaskMetricsResponse {
        for task in report.tasks {
            if let (Some(attempt), Some(metrics)) = (AttemptId::from_bytes(&task.attempt_id), task.metrics) {
                self.scheduler.task_metrics(attempt, metrics);
            }
        }
        let held: HashMap<AllocationId, bool> = report
            .slots
            .iter()
            .filter_map(|slot| Some((AllocationId::from_bytes(&slot.allocation_id)?, slot.active)))
            .collect();
        // What was offered later than the report was made is not in it.
        let lost = |slot: &&JobSlot| {
            slot.location.resource_id == report.resource_id
                && slot.version <= report.slots_version
                && !held.contains_key(&slot.allocation)
        };
        let lost: Vec<AllocationId> = self.scheduler.slots().iter().filter(lost).map(|slot| slot.allocation).collect();
        for allocation in lost {
            self.give_up(&report.resource_id, allocation);
        }
        let has = |allocation| self.scheduler.slots().iter().any(|slot| slot.allocation == allocation);
        let unwanted = held.into_iter().filter(|(allocation, active)| *active && !has(*allocation));
        proto::TaskMetricsResponse { unwanted: unwanted.map(|(allocation, _)| allocation.to_bytes()).collect() }
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

    /// The job does without a TaskManager that does not do what it is told, though the ResourceManager hears of it.
    pub(super) fn abandon_task_manager(&mut self, resource_id: &str, failure: FailureInfo) {
        let slots = self.scheduler.slots().iter().filter(|slot| slot.location.resource_id == resource_id);
        for allocation in slots.map(|slot| slot.allocation).collect::<Vec<_>>() {
            self.tell_given_up(resource_id, allocation);
        }
        self.scheduler.task_manager_lost(resource_id, failure, &mut self.env);
    }

    fn tell_given_up(&self, resource_id: &str, allocation: AllocationId) {
        let resource_id = resource_id.to_owned();
        self.context.resource_manager.send(resourcemanager::Message::GiveUp { resource_id, allocation });
    }
}
