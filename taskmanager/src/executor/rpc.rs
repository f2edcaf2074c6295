//! The TaskExecutor's face to the cluster: every call becomes a message to the actor.
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};
use wiesel_proto as proto;
use wiesel_proto::task_executor_server::TaskExecutor;

/// Where a call's answer goes.
pub(crate) type Reply<T = ()> = oneshot::Sender<Result<T, Status>>;

/// A call.
pub(crate) enum Call {
    RequestSlot(proto::RequestSlotRequest, Reply<proto::RequestSlotResponse>),
    FreeSlot(proto::FreeSlotRequest, Reply),
    SubmitTasks(Box<proto::SubmitTasksRequest>, Reply<proto::SubmitTasksResponse>),
    CancelTasks(proto::CancelTasksRequest, Reply<proto::CancelTasksResponse>),
    OperatorEvent(proto::OperatorEventToTask, Reply),
    TriggerCheckpoint(proto::TriggerCheckpointRequest, Reply),
    NotifyCheckpoint(proto::NotifyCheckpointRequest, Reply),
    AdoptTasks(proto::AdoptTasksRequest, Reply<proto::AdoptTasksResponse>),
}

/// Hands calls on.
pub(crate) struct Gateway {
    pub(crate) calls: mpsc::Sender<Call>,
}

fn stopping() -> Status {
    Status::unavailable("the TaskManager is shutting down")
}

impl Gateway {
    async fn send(&self, call: Call) -> Result<(), Status> {
        self.calls.send(call).await.map_err(|_| stopping())
    }

    async fn call(&self, call: impl FnOnce(Reply) -> Call) -> Result<Response<proto::Empty>, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(call(reply)).await?;
        answer.await.map_err(|_| stopping())??;
        Ok(Response::new(proto::Empty {}))
    }
}

#[tonic::async_trait]
impl TaskExecutor for Gateway {
    async fn request_slot(
        &self,
        request: Request<proto::RequestSlotRequest>,
    ) -> Result<Response<proto::RequestSlotResponse>, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Call::RequestSlot(request.into_inner(), reply)).await?;
        Ok(Response::new(answer.await.map_err(|_| stopping())??))
    }

    async fn free_slot(&self, request: Request<proto::FreeSlotRequest>) -> Result<Response<proto::Empty>, Status> {
        self.call(|reply| Call::FreeSlot(request.into_inner(), reply)).await
    }

    async fn submit_tasks(
        &self,
        request: Request<proto::SubmitTasksRequest>,
    ) -> Result<Response<proto::SubmitTasksResponse>, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Call::SubmitTasks(Box::new(request.into_inner()), reply)).await?;
        Ok(Response::new(answer.await.map_err(|_| stopping())??))
    }

    async fn cancel_tasks(
        &self,
        request: Request<proto::CancelTasksRequest>,
    ) -> Result<Response<proto::CancelTasksResponse>, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Call::CancelTasks(request.into_inner(), reply)).await?;
        Ok(Response::new(answer.await.map_err(|_| stopping())??))
    }

    async fn send_operator_event(
        &self,
        request: Request<proto::OperatorEventToTask>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(|reply| Call::OperatorEvent(request.into_inner(), reply)).await
    }

    async fn trigger_checkpoint(
        &self,
        request: Request<proto::TriggerCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(|reply| Call::TriggerCheckpoint(request.into_inner(), reply)).await
    }

    async fn notify_checkpoint(
        &self,
        request: Request<proto::NotifyCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        self.call(|reply| Call::NotifyCheckpoint(request.into_inner(), reply)).await
    }

    async fn adopt_tasks(
        &self,
        request: Request<proto::AdoptTasksRequest>,
    ) -> Result<Response<proto::AdoptTasksResponse>, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Call::AdoptTasks(request.into_inner(), reply)).await?;
        Ok(Response::new(answer.await.map_err(|_| stopping())??))
    }
}
