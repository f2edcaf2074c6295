//! The gRPC services. They check the fencing token, forward to an actor and wait for its answer; nothing else.
use std::collections::HashSet;
use std::pin::Pin;

use futures::Stream;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use wiesel_common::config::options::taskmanager::MAX_SLOTS;
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_common::quote::{bound_failure, bound_message};
use wiesel_proto as proto;
use wiesel_proto::job_master_server::JobMaster;
use wiesel_proto::resource_manager_server::ResourceManager;

use crate::dispatcher::{JobMasters, MAX_TASKS};
use crate::jobmaster::collect::CollectCoordinators;
use crate::jobmaster::{self, JobMasterHandle};
use crate::options::ControlOptions;
use crate::resourcemanager::slot_manager::check_report;
use crate::resourcemanager::{Message, OpenStream, ResourceManagerHandle, check_name, check_slots};

fn check_fence(expected: LeaderSessionId, given: &[u8]) -> Result<(), Status> {
    if given == expected.0 {
        return Ok(());
    }
    Err(Status::failed_precondition("the fencing token is not the current leader's"))
}

/// A failure as it is kept, in the history of the job, and logged: a TaskManager bounds what it says, but it comes from outside.
fn bound(failure: &mut proto::Failure) {
    bound_failure([&mut failure.message, &mut failure.class], &mut failure.causes);
}

fn check_offers(request: &proto::OfferSlotsRequest) -> Result<(), Status> {
    check_name("resource id", &request.resource_id)?;
    check_name("address for calls", &request.rpc_address)?;
    check_name("address for data", &request.data_address)?;
    check_name("host name", &request.hostname)?;
    check_report(MAX_SLOTS, request.slots.iter().map(|offer| offer.index))
        .map_err(|error| Status::invalid_argument(format!("a malformed offer of slots: {error}")))?;
    check_distinct(request.slots.iter().map(|offer| &offer.allocation_id[..]))?;
    if request.tasks.len() as u64 <= MAX_TASKS {
        return Ok(());
    }
    let tasks = request.tasks.len();
    Err(Status::invalid_argument(format!("an offer with {tasks} tasks: a job has at most {MAX_TASKS}")))
}

fn check_metrics(report: &proto::TaskMetricsReport) -> Result<(), Status> {
    check_name("resource id", &report.resource_id)?;
    if report.slots.len() > MAX_SLOTS as usize || report.tasks.len() as u64 > MAX_TASKS {
        let message = format!(
            "a report of {} slots and {} tasks: a TaskManager has at most {MAX_SLOTS} slots, and a job at most {MAX_TASKS} \
             tasks",
            report.slots.len(),
            report.tasks.len()
        );
        return Err(Status::invalid_argument(message));
    }
    check_distinct(report.slots.iter().map(|slot| &slot.allocation_id[..]))
}

/// Refuses what names an allocation twice.
fn check_distinct<'a>(mut allocations: impl Iterator<Item = &'a [u8]>) -> Result<(), Status> {
    let mut seen = HashSet::new();
    if allocations.all(|allocation| seen.insert(allocation)) {
        return Ok(());
    }
    Err(Status::invalid_argument("an allocation is named twice"))
}

/// [`ResourceManager`] over gRPC.
pub(crate) struct ResourceManagerService {
    pub(crate) handle: ResourceManagerHandle,
    pub(crate) options: ControlOptions,
    pub(crate) masters: JobMasters,
    /// "host:port" under which TaskManagers reach the JobMasters.
    pub(crate) address: String,
}

/// Tells the ResourceManager that a heartbeat stream ended, however it ended.
struct StreamEnd {
    handle: ResourceManagerHandle,
    resource_id: String,
    stream: u64,
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        let resource_id = std::mem::take(&mut self.resource_id);
        self.handle.send(Message::HeartbeatEnded { resource_id, stream: self.stream });
    }
}

struct HeartbeatStream {
    /// How many slots the TaskManager has.
    slots: u32,
    inbound: Streaming<proto::TaskManagerHeartbeat>,
    closed: CancellationToken,
    ticks: tokio::time::Interval,
    end: StreamEnd,
}

impl HeartbeatStream {
    /// What is malformed ends the stream, and with it the TaskManager's registration: nothing that it says can be relied on.
    fn check(&self, heartbeat: &proto::TaskManagerHeartbeat) -> Result<(), Status> {
        check_slots(self.slots, &heartbeat.slots).inspect_err(|status| {
            tracing::warn!(task_manager = %self.end.resource_id, reason = %status.message(), "a heartbeat is refused");
        })
    }

    /// The next message to the TaskManager; none: the stream is over. Messages from it are forwarded meanwhile.
    async fn next(&mut self) -> Option<Result<proto::ResourceManagerHeartbeat, Status>> {
        let fence = self.end.handle.fence();
        loop {
            tokio::select! {
                () = self.closed.cancelled() => return None,
                _ = self.ticks.tick() => return Some(Ok(proto::ResourceManagerHeartbeat {})),
                message = self.inbound.next() => match message {
                    Some(Ok(heartbeat)) if heartbeat.fence == fence.0[..] && heartbeat.resource_id == self.end.resource_id => {
                        if let Err(status) = self.check(&heartbeat) {
                            return Some(Err(status));
                        }
                        self.end.handle.send(Message::Heartbeat { stream: self.end.stream, heartbeat });
                    }
                    Some(Ok(_)) => return Some(Err(Status::failed_precondition("a heartbeat of another session"))),
                    Some(Err(_)) | None => return None,
                },
            }
        }
    }
}

#[tonic::async_trait]
impl ResourceManager for ResourceManagerService {
    async fn register_task_manager(
        &self,
        request: Request<proto::RegisterTaskManagerRequest>,
    ) -> Result<Response<proto::RegisterTaskManagerResponse>, Status> {
        let peer = request.remote_addr().map(|peer| peer.ip());
        let registration = self.handle.register(request.into_inner(), peer).await?;
        Ok(Response::new(proto::RegisterTaskManagerResponse {
            fence: self.handle.fence().to_bytes(),
            heartbeat_interval: self.options.heartbeat_interval.as_millis() as u64,
            heartbeat_timeout: self.options.heartbeat_timeout.as_millis() as u64,
            registration,
            release: proto::RELEASE.to_owned(),
        }))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<proto::ResourceManagerHeartbeat, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<proto::TaskManagerHeartbeat>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let mut inbound = request.into_inner();
        // A peer that opens a stream has something to say.
        let first = tokio::time::timeout(self.options.heartbeat_timeout, inbound.next())
            .await
            .map_err(|_| Status::deadline_exceeded("no heartbeat came after the stream was opened"))?
            .ok_or_else(|| Status::invalid_argument("the first heartbeat names the TaskManager"))??;
        check_fence(self.handle.fence(), &first.fence)?;
        let resource_id = first.resource_id.clone();
        let closed = CancellationToken::new();
        let OpenStream { stream, slots } =
            self.handle.open_heartbeat(resource_id.clone(), first.registration, closed.clone()).await?;
        let end = StreamEnd { handle: self.handle.clone(), resource_id, stream };
        let ticks = tokio::time::interval(self.options.heartbeat_interval);
        let heartbeats = HeartbeatStream { slots, inbound, closed, ticks, end };
        heartbeats.check(&first)?;
        self.handle.send(Message::Heartbeat { stream, heartbeat: first });
        let outbound = futures::stream::unfold(Some(heartbeats), |stream| async move {
            let mut stream = stream?;
            match stream.next().await? {
                Ok(heartbeat) => Some((Ok(heartbeat), Some(stream))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(outbound)))
    }

    async fn disconnect_task_manager(
        &self,
        request: Request<proto::DisconnectTaskManagerRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        check_fence(self.handle.fence(), &request.fence)?;
        let proto::DisconnectTaskManagerRequest { resource_id, mut reason, registration, .. } = request;
        bound_message(&mut reason);
        self.handle.send(Message::Disconnect { resource_id, registration, reason });
        Ok(Response::new(proto::Empty {}))
    }

    async fn find_job_masters(
        &self,
        request: Request<proto::FindJobMastersRequest>,
    ) -> Result<Response<proto::FindJobMastersResponse>, Status> {
        let request = request.into_inner();
        check_fence(self.handle.fence(), &request.fence)?;
        if request.job_ids.len() > MAX_SLOTS as usize {
            let jobs = request.job_ids.len();
            let message = format!("{jobs} jobs at once: a TaskManager has slots for at most {MAX_SLOTS}");
            return Err(Status::invalid_argument(message));
        }
        let masters = request.job_ids.iter().filter_map(|id| self.masters.get(JobId::from_bytes(id)?));
        let location = |master: JobMasterHandle| proto::JobMasterLocation {
            job_id: master.job_id().to_bytes(),
            address: self.address.clone(),
            fence: master.fence().to_bytes(),
        };
        Ok(Response::new(proto::FindJobMastersResponse { job_masters: masters.map(location).collect() }))
    }
}

/// [`JobMaster`] over gRPC, for all jobs.
pub(crate) struct JobMasterService {
    pub(crate) masters: JobMasters,
    pub(crate) collectors: CollectCoordinators,
}

impl JobMasterService {
    fn find(&self, job_id: &[u8], fence: &[u8]) -> Result<JobMasterHandle, Status> {
        let id = JobId::from_bytes(job_id).ok_or_else(|| Status::invalid_argument("a job id must have 16 bytes"))?;
        let master = self.masters.get(id).ok_or_else(|| over(id))?;
        check_fence(master.fence(), fence)?;
        Ok(master)
    }
}

fn over(id: JobId) -> Status {
    Status::not_found(format!("the job {id} is not running here"))
}

#[tonic::async_trait]
impl JobMaster for JobMasterService {
    async fn offer_slots(
        &self,
        request: Request<proto::OfferSlotsRequest>,
    ) -> Result<Response<proto::OfferSlotsResponse>, Status> {
        let request = request.into_inner();
        let master = self.find(&request.job_id, &request.fence)?;
        check_offers(&request)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::OfferSlots { request, reply });
        let response = answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(response))
    }

    async fn update_task_state(
        &self,
        request: Request<proto::TaskStateUpdate>,
    ) -> Result<Response<proto::Empty>, Status> {
        let mut update = request.into_inner();
        update.failure.iter_mut().for_each(bound);
        let master = self.find(&update.job_id, &update.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::UpdateTaskState { update, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn send_operator_event(
        &self,
        request: Request<proto::OperatorEventToCoordinator>,
    ) -> Result<Response<proto::Empty>, Status> {
        let event = request.into_inner();
        let master = self.find(&event.job_id, &event.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::OperatorEvent { event, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn collect(
        &self,
        request: Request<proto::CollectRequest>,
    ) -> Result<Response<proto::CollectResponse>, Status> {
        let request = request.into_inner();
        let master = self.find(&request.job_id, &request.fence)?;
        let ids = (OperatorId::from_bytes(&request.operator_uid), AttemptId::from_bytes(&request.attempt_id));
        let (Some(operator), Some(attempt)) = ids else {
            return Err(Status::invalid_argument("an operator id and an attempt id must have 16 bytes"));
        };
        let collector = self
            .collectors
            .get(master.job_id(), operator)
            .ok_or_else(|| Status::not_found(format!("the job collects nothing from operator {operator}")))?;
        collector.collect(attempt, &request).await?;
        Ok(Response::new(proto::CollectResponse {}))
    }

    async fn acknowledge_checkpoint(
        &self,
        request: Request<proto::AcknowledgeCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        let master = self.find(&request.job_id, &request.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::AcknowledgeCheckpoint { request, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn decline_checkpoint(
        &self,
        request: Request<proto::DeclineCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        let mut request = request.into_inner();
        request.failure.iter_mut().for_each(bound);
        let master = self.find(&request.job_id, &request.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::DeclineCheckpoint { request, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn notify_end_of_data(
        &self,
        request: Request<proto::NotifyEndOfDataRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        let master = self.find(&request.job_id, &request.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::EndOfData { request, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn report_task_metrics(
        &self,
        request: Request<proto::TaskMetricsReport>,
    ) -> Result<Response<proto::TaskMetricsResponse>, Status> {
        let report = request.into_inner();
        let master = self.find(&report.job_id, &report.fence)?;
        check_metrics(&report)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::Metrics { report, reply });
        Ok(Response::new(answer.await.map_err(|_| over(master.job_id()))?))
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::quote::{MAX_CAUSES, MAX_MESSAGE};

    use super::*;

    fn offers(slots: &[(u8, u32)]) -> proto::OfferSlotsRequest {
        let offer = |(id, index): &(u8, u32)| proto::SlotOffer { allocation_id: vec![*id; 16].into(), index: *index };
        proto::OfferSlotsRequest { slots: slots.iter().map(offer).collect(), ..Default::default() }
    }

    fn refused(result: Result<(), Status>) -> String {
        let status = result.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn an_offer_names_each_slot_once() {
        assert!(check_offers(&offers(&[(1, 0), (2, 7)])).is_ok());
        assert!(refused(check_offers(&offers(&[(1, 0), (2, 0)]))).contains("slot 0 twice"));
        assert!(refused(check_offers(&offers(&[(1, 0), (1, 1)]))).contains("named twice"));
        assert!(refused(check_offers(&offers(&[(1, 32_768)]))).contains("slot 32768"));
        let named = proto::OfferSlotsRequest { hostname: "h".repeat(1025), ..offers(&[]) };
        assert!(refused(check_offers(&named)).contains("host name has 1025 bytes"));
        let tasks = vec![proto::TaskReport::default(); MAX_TASKS as usize + 1];
        assert!(refused(check_offers(&proto::OfferSlotsRequest { tasks, ..offers(&[]) })).contains("131073 tasks"));
    }

    #[test]
    fn a_report_of_counters_is_bounded() {
        let held = |id: u32| proto::HeldSlot { allocation_id: id.to_be_bytes().to_vec().into(), active: true };
        let report = |slots: Vec<proto::HeldSlot>| proto::TaskMetricsReport { slots, ..Default::default() };
        assert!(check_metrics(&report((0..MAX_SLOTS).map(held).collect())).is_ok());
        assert!(refused(check_metrics(&report((0..=MAX_SLOTS).map(held).collect()))).contains("32769 slots"));
        assert!(refused(check_metrics(&report(vec![held(1), held(1)]))).contains("named twice"));
    }

    #[test]
    fn a_failure_is_kept_up_to_a_length() {
        let mut failure = proto::Failure {
            message: "\u{e4}".repeat(MAX_MESSAGE),
            class: "x".repeat(2 * MAX_MESSAGE),
            causes: vec!["short".into(); MAX_CAUSES + 1],
            ..Default::default()
        };
        bound(&mut failure);
        assert!(
            failure.message.ends_with("\u{e4}... (32768 more bytes)") && failure.class.ends_with("(32768 more bytes)")
        );
        assert_eq!((failure.causes.len(), failure.causes[0].as_str()), (MAX_CAUSES, "short"));
    }
}
