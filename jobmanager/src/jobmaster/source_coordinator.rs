//! The enumerator of a source: it runs beside the JobMaster, on blocking threads, and sends splits to readers.
//!
//! One coordinator serves one execution of the job; a restart begins with a new one, and so from the first split.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::{Code, Status};
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_operators::operator::Result as OperatorResult;
use wiesel_operators::source::{EnumeratorContext, SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;

use crate::failure::{self, FailureInfo};
use crate::gateway::{TaskExecutors, describe};

/// Makes the enumerator of a source.
pub type EnumeratorFactory =
    Arc<dyn Fn(&proto::SourceSpec, EnumeratorContext) -> OperatorResult<Box<dyn SplitEnumerator>> + Send + Sync>;

/// A reader of the source: one attempt of one subtask.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The attempt.
    pub attempt: AttemptId,
    /// The TaskExecutor that runs it.
    pub rpc_address: String,
}

/// A reader has no split left.
#[derive(Clone, Debug)]
pub struct SplitRequest {
    /// Which reader.
    pub subtask: u32,
    /// Where it runs.
    pub hostname: String,
}

/// What a coordinator works with.
pub struct SourceCoordinator {
    /// The job.
    pub job_id: JobId,
    /// The job's token.
    pub fence: LeaderSessionId,
    /// The source.
    pub operator: OperatorId,
    /// What the source is.
    pub spec: proto::SourceSpec,
    /// For the enumerator.
    pub context: EnumeratorContext,
    /// The readers, by subtask.
    pub readers: Vec<Reader>,
    /// Ways to the readers.
    pub executors: TaskExecutors,
    /// Makes the enumerator.
    pub factory: EnumeratorFactory,
}

impl SourceCoordinator {
    /// Serves requests until the execution ends (the sender is dropped or this is aborted). An error fails the job.
    pub async fn run(self, mut requests: mpsc::UnboundedReceiver<SplitRequest>) -> Result<(), FailureInfo> {
        let (factory, spec, context) = (Arc::clone(&self.factory), self.spec.clone(), self.context.clone());
        let enumerator = self.blocking(move || factory(&spec, context)).await?;
        let (mut enumerator, mut interval) = self.discover(enumerator).await?;
        loop {
            let next_discovery = async {
                match interval {
                    Some(interval) => tokio::time::sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                request = requests.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    enumerator = self.serve(enumerator, request).await?;
                }
                () = next_discovery => (enumerator, interval) = self.discover(enumerator).await?,
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> OperatorResult<T> + Send + 'static,
    ) -> Result<T, FailureInfo> {
        let failed = |cause: FailureInfo| {
            let message = format!("The enumerator of the source {} failed.", self.spec.table);
            FailureInfo::wrap(failure::INTERNAL, message, &cause)
        };
        match tokio::task::spawn_blocking(call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(FailureInfo::from(&error))),
            Err(error) => Err(failed(FailureInfo::new(failure::INTERNAL, error.to_string()))),
        }
    }

    async fn discover(
        &self,
        mut enumerator: Box<dyn SplitEnumerator>,
    ) -> Result<(Box<dyn SplitEnumerator>, Option<Duration>), FailureInfo> {
        let (enumerator, assignments, interval) = self
            .blocking(move || {
                let assignments = enumerator.discover()?;
                let interval = enumerator.discovery_interval().map(Duration::from_millis);
                Ok((enumerator, assignments, interval))
            })
            .await?;
        for (subtask, assignment) in assignments {
            self.assign(subtask, assignment).await?;
        }
        Ok((enumerator, interval))
    }

    async fn serve(
        &self,
        mut enumerator: Box<dyn SplitEnumerator>,
        request: SplitRequest,
    ) -> Result<Box<dyn SplitEnumerator>, FailureInfo> {
        let subtask = request.subtask;
        let (enumerator, assignment) = self
            .blocking(move || {
                let assignment = enumerator.request_split(request.subtask, &request.hostname)?;
                Ok((enumerator, assignment))
            })
            .await?;
        self.assign(subtask, assignment).await?;
        Ok(enumerator)
    }

    async fn assign(&self, subtask: u32, assignment: SplitAssignment) -> Result<(), FailureInfo> {
        use proto::operator_event_to_task::Event;
        let event = match assignment {
            SplitAssignment::Splits(splits) => Event::AddSplits(proto::AddSplits { splits }),
            SplitAssignment::NoMoreSplits => Event::NoMoreSplits(proto::NoMoreSplits {}),
            SplitAssignment::Wait => return Ok(()),
        };
        let Some(reader) = self.readers.get(subtask as usize) else {
            let message = format!("the source {} has no reader {subtask}", self.spec.table);
            return Err(FailureInfo::new(failure::INTERNAL, message));
        };
        let message = proto::OperatorEventToTask {
            fence: self.fence.to_bytes(),
            job_id: self.job_id.to_bytes(),
            attempt_id: reader.attempt.to_bytes(),
            operator_uid: self.operator.to_bytes(),
            event: Some(event),
        };
        self.send(reader, message).await.map_err(|status| {
            let message = format!("Splits of the source {} could not be sent to a reader.", self.spec.table);
            FailureInfo::new(failure::INTERNAL, message).because(format!(
                "{} answered: {}",
                reader.rpc_address,
                describe(&status)
            ))
        })
    }

    /// Never sent twice: a reader that got the same splits again would read them again.
    async fn send(&self, reader: &Reader, message: proto::OperatorEventToTask) -> Result<(), Status> {
        let mut client = self.executors.get(&reader.rpc_address)?;
        match client.send_operator_event(message).await {
            // The task is over, or its slot is: their own reports tell the JobMaster how.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition && !status.message().contains("full") => Ok(()),
            other => other.map(|_| ()),
        }
    }
}
