//! The gRPC services. They check the fencing token, forward to an actor and wait for its answer; nothing else.
use std::pin::Pin;

use futures::Stream;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_proto as proto;
use wiesel_proto::job_master_server::JobMaster;
use wiesel_proto::resource_manager_server::ResourceManager;

use crate::dispatcher::JobMasters;
use crate::jobmaster::collect::CollectCoordinators;
use crate::jobmaster::{self, JobMasterHandle};
use crate::options::ControlOptions;
use crate::resourcemanager::{Message, ResourceManagerHandle};

fn check_fence(expected: LeaderSessionId, given: &[u8]) -> Result<(), Status> {
    if given == expected.0 {
        return Ok(());
    }
    Err(Status::failed_precondition("the fencing token is not the current leader's"))
}

/// [`ResourceManager`] over gRPC.
pub(crate) struct ResourceManagerService {
    pub(crate) handle: ResourceManagerHandle,
    pub(crate) options: ControlOptions,
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
    inbound: Streaming<proto::TaskManagerHeartbeat>,
    closed: CancellationToken,
    ticks: tokio::time::Interval,
    end: StreamEnd,
}

impl HeartbeatStream {
    /// The next message to the TaskManager; none: the stream is over. Messages from it are forwarded meanwhile.
    async fn next(&mut self) -> Option<Result<proto::ResourceManagerHeartbeat, Status>> {
        let fence = self.end.handle.fence();
        loop {
            tokio::select! {
                () = self.closed.cancelled() => return None,
                _ = self.ticks.tick() => return Some(Ok(proto::ResourceManagerHeartbeat {})),
                message = self.inbound.next() => match message {
                    Some(Ok(heartbeat)) if heartbeat.fence == fence.0[..] && heartbeat.resource_id == self.end.resource_id => {
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
        self.handle.register(request.into_inner()).await?;
        Ok(Response::new(proto::RegisterTaskManagerResponse {
            fence: self.handle.fence().to_bytes(),
            heartbeat_interval: self.options.heartbeat_interval.as_millis() as u64,
            heartbeat_timeout: self.options.heartbeat_timeout.as_millis() as u64,
        }))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<proto::ResourceManagerHeartbeat, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<proto::TaskManagerHeartbeat>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let mut inbound = request.into_inner();
        let first = inbound
            .next()
            .await
            .ok_or_else(|| Status::invalid_argument("the first heartbeat names the TaskManager"))??;
        check_fence(self.handle.fence(), &first.fence)?;
        let resource_id = first.resource_id.clone();
        let closed = CancellationToken::new();
        let stream = self.handle.open_heartbeat(resource_id.clone(), closed.clone()).await?;
        self.handle.send(Message::Heartbeat { stream, heartbeat: first });
        let end = StreamEnd { handle: self.handle.clone(), resource_id, stream };
        let ticks = tokio::time::interval(self.options.heartbeat_interval);
        let stream = HeartbeatStream { inbound, closed, ticks, end };
        let outbound = futures::stream::unfold(Some(stream), |stream| async move {
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
        self.handle.send(Message::Disconnect { resource_id: request.resource_id, reason: request.reason });
        Ok(Response::new(proto::Empty {}))
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
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::OfferSlots { request, reply });
        let response = answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(response))
    }

    async fn update_task_state(
        &self,
        request: Request<proto::TaskStateUpdate>,
    ) -> Result<Response<proto::Empty>, Status> {
        let update = request.into_inner();
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
        let request = request.into_inner();
        let master = self.find(&request.job_id, &request.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::DeclineCheckpoint { request, reply });
        answer.await.map_err(|_| over(master.job_id()))??;
        Ok(Response::new(proto::Empty {}))
    }

    async fn report_task_metrics(
        &self,
        request: Request<proto::TaskMetricsReport>,
    ) -> Result<Response<proto::TaskMetricsResponse>, Status> {
        let report = request.into_inner();
        let master = self.find(&report.job_id, &report.fence)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        master.send(jobmaster::Message::Metrics { report, reply });
        Ok(Response::new(answer.await.map_err(|_| over(master.job_id()))?))
    }
}
