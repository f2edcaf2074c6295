//! The TaskExecutor's face to the cluster: every call becomes a message to the actor.
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};
use wiesel_proto as proto;
use wiesel_proto::task_executor_server::TaskExecutor;

/// Where a call's answer goes.
pub(crate) type Reply = oneshot::Sender<Result<(), Status>>;

/// A call.
pub(crate) enum Call {
    RequestSlot(proto::RequestSlotRequest),
    FreeSlot(proto::FreeSlotRequest),
    SubmitTasks(Box<proto::SubmitTasksRequest>),
    CancelTasks(proto::CancelTasksRequest),
    OperatorEvent(proto::OperatorEventToTask),
    TriggerCheckpoint(proto::TriggerCheckpointRequest),
    NotifyCheckpoint(proto::NotifyCheckpointRequest),
}

/// Hands calls on.
pub(crate) struct Gateway {
    pub(crate) calls: mpsc::Sender<(Call, Reply)>,
}

impl Gateway {
    async fn call(&self, call: Call) -> Result<Response<proto::Empty>, Status> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Status::unavailable("the TaskManager is shutting down");
        self.calls.send((call, reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())??;
        Ok(Response::new(proto::Empty {}))
    }
}

#[tonic::async_trait]
impl TaskExecutor for Gateway {
    async fn request_slot(
        &self,
        request: Request<proto::RequestSlotRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::RequestSlot(request.into_inner())).await
    }

    async fn free_slot(&self, request: Request<proto::FreeSlotRequest>) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::FreeSlot(request.into_inner())).await
    }

    async fn submit_tasks(
        &self,
        request: Request<proto::SubmitTasksRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::SubmitTasks(Box::new(request.into_inner()))).await
    }

    async fn cancel_tasks(
        &self,
        request: Request<proto::CancelTasksRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::CancelTasks(request.into_inner())).await
    }

    async fn send_operator_event(
        &self,
        request: Request<proto::OperatorEventToTask>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::OperatorEvent(request.into_inner())).await
    }

    async fn trigger_checkpoint(
        &self,
        request: Request<proto::TriggerCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::TriggerCheckpoint(request.into_inner())).await
    }

    async fn notify_checkpoint(
        &self,
        request: Request<proto::NotifyCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(Call::NotifyCheckpoint(request.into_inner())).await
    }
}
