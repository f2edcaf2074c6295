//! Offers of slots to JobMasters.
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;
use wiesel_common::id::{AllocationId, JobId};
use wiesel_common::logging::job_span;
use wiesel_common::rpc::Channel;
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;

use super::{CALL_TIMEOUT, Internal, TaskExecutor};
use crate::task::reporter::is_final;

/// The shortest time that an offer of a slot has, whatever the patience is.
const SHORTEST_OFFER: Duration = Duration::from_millis(100);

impl TaskExecutor {
    /// Offers a slot to the JobMaster of its job, with the tasks that are in it.
    pub(super) fn offer(&mut self, job: JobId, id: AllocationId, index: u32, patience: Duration) {
        let Some(known) = self.jobs.get(&job) else { return };
        let identity = &self.setup.identity;
        let offer = proto::OfferSlotsRequest {
            fence: known.master.fence.clone(),
            job_id: job.to_bytes(),
            resource_id: identity.resource_id.clone(),
            rpc_address: identity.rpc_address.clone(),
            data_address: identity.data_address.clone(),
            slots: vec![proto::SlotOffer { allocation_id: id.to_bytes(), index }],
            hostname: identity.hostname.clone(),
            slots_version: self.slots.version(),
            registration: self.registration,
            tasks: known.reports(id),
        };
        let (internal, client) = (self.internal.clone(), known.master.client.clone());
        let offering = async move {
            let accepted = offer_slot(client, offer, id, patience).await;
            let _ = internal.send(Internal::OfferAnswered { allocation: id, accepted });
        };
        self.offers.insert(id, self.background.spawn(offering.instrument(job_span(job))));
    }

    pub(super) fn offer_answered(&mut self, allocation: AllocationId, accepted: bool) {
        if self.offers.remove(&allocation).is_none() {
            // The slot was given back meanwhile.
            return;
        }
        let Some(held) = self.slots.get(allocation) else { return };
        let (job, active) = (held.job, held.active);
        if accepted {
            self.slots.activate(allocation);
        } else if !active || self.awaits_leader(job) {
            // A job that deploys into a slot wants it, whatever became of the answer; but not with tasks that it does not know.
            self.release(allocation, "the JobMaster did not accept the slot");
        }
        self.settle_waiting(job);
    }
}

/// Offers a slot until the JobMaster answers; whether it took it. It is offered once more when the patience is over: this process
/// may have stood still while the answer came, and the JobMaster deploys into the slot.
pub(super) async fn offer_slot(
    mut client: JobMasterClient<Channel>,
    offer: proto::OfferSlotsRequest,
    id: AllocationId,
    patience: Duration,
) -> bool {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        let is_last = begun.elapsed() >= patience;
        let mut request = tonic::Request::new(offer.clone());
        request.set_timeout(CALL_TIMEOUT.min(patience.max(SHORTEST_OFFER)));
        match client.offer_slots(request).await {
            Ok(answer) => return answer.into_inner().accepted.iter().any(|accepted| **accepted == id.0),
            Err(status) if is_final(&status) => {
                tracing::info!(allocation_id = %id, reason = status.message(), "a slot was not wanted");
                return false;
            }
            Err(_) if is_last => return false,
            Err(status) => {
                tracing::debug!(allocation_id = %id, reason = status.message(), "offering a slot failed, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
