//! The enumerator of a source: it runs beside the JobMaster, on blocking threads ([`EnumeratorCalls`]), and sends splits to
//! readers.
//!
//! One coordinator serves one execution of the job; a restart begins with a new one, which goes on from the checkpoint.
//!
//! From the moment that a checkpoint takes the enumerator's state until the readers have been told of that checkpoint,
//! nothing is assigned: a split is either in the enumerator's state or in that of the reader which was given it before.
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
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

/// Where enumerators, which may wait for I/O, are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnumeratorCalls {
    /// On the runtime's blocking threads.
    OnBlockingThreads,
    /// In the coordinator itself: for enumerators that never wait, and one thread.
    Inline,
}

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

/// What a coordinator is told.
pub enum Command {
    /// Give this reader a split.
    Split(SplitRequest),
    /// Hand over the enumerator's state and assign nothing until the release.
    Snapshot {
        /// For which checkpoint.
        checkpoint: u64,
        /// Gets the state.
        reply: oneshot::Sender<Result<Bytes, FailureInfo>>,
    },
    /// The readers know of the checkpoint, or it failed.
    Release {
        /// Which.
        checkpoint: u64,
    },
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
    /// Where it is called.
    pub calls: EnumeratorCalls,
    /// The state that the enumerator goes on from.
    pub restore: Option<Bytes>,
}

/// A coordinator at work.
struct Serving {
    enumerator: Box<dyn SplitEnumerator>,
    interval: Option<Duration>,
    /// When the next discovery is due.
    discovery: Option<Instant>,
    /// Checkpoints that hold back assignments.
    held: BTreeSet<u64>,
    /// Requests that wait, at most one of each reader.
    waiting: VecDeque<SplitRequest>,
}

impl SourceCoordinator {
    /// Serves requests until the execution ends (the sender is dropped or this is aborted). An error fails the job.
    pub async fn run(self, mut commands: mpsc::UnboundedReceiver<Command>) -> Result<(), FailureInfo> {
        let (factory, spec, context) = (Arc::clone(&self.factory), self.spec.clone(), self.context.clone());
        let restore = self.restore.clone();
        let enumerator = self
            .blocking(move || {
                let mut enumerator = factory(&spec, context)?;
                if let Some(state) = restore {
                    enumerator.restore(&state)?;
                }
                Ok(enumerator)
            })
            .await?;
        let (held, waiting) = (BTreeSet::new(), VecDeque::new());
        let mut serving = Serving { enumerator, interval: None, discovery: None, held, waiting };
        serving = self.discover(serving).await?;
        loop {
            if serving.held.is_empty()
                && let Some(request) = serving.waiting.pop_front()
            {
                serving = self.serve(serving, request).await?;
                continue;
            }
            let discovery = serving.discovery.filter(|_| serving.held.is_empty());
            let next_discovery = async {
                match discovery {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Split(request)) => serving.waiting.push_back(request),
                    Some(Command::Snapshot { checkpoint, reply }) => {
                        serving = self.snapshot(serving, checkpoint, reply).await?;
                    }
                    Some(Command::Release { checkpoint }) => {
                        serving.held.remove(&checkpoint);
                    }
                    None => return Ok(()),
                },
                () = next_discovery => serving = self.discover(serving).await?,
            }
        }
    }

    async fn snapshot(
        &self,
        mut serving: Serving,
        checkpoint: u64,
        reply: oneshot::Sender<Result<Bytes, FailureInfo>>,
    ) -> Result<Serving, FailureInfo> {
        let (mut serving, state) = self
            .blocking(move || {
                let state = serving.enumerator.snapshot();
                Ok((serving, state))
            })
            .await?;
        let state = state.map_err(|error| self.failed(&FailureInfo::from(&error)));
        // Nobody listens if the checkpoint failed meanwhile: then nothing is held back for it.
        if reply.send(state).is_ok() {
            serving.held.insert(checkpoint);
        }
        Ok(serving)
    }

    fn failed(&self, cause: &FailureInfo) -> FailureInfo {
        let message = format!("The enumerator of the source {} failed.", self.spec.table);
        FailureInfo::wrap(failure::INTERNAL, message, cause)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> OperatorResult<T> + Send + 'static,
    ) -> Result<T, FailureInfo> {
        let outcome = match self.calls {
            EnumeratorCalls::Inline => Ok(call()),
            EnumeratorCalls::OnBlockingThreads => tokio::task::spawn_blocking(call).await,
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&FailureInfo::from(&error))),
            Err(error) => Err(self.failed(&FailureInfo::new(failure::INTERNAL, error.to_string()))),
        }
    }

    async fn discover(&self, mut serving: Serving) -> Result<Serving, FailureInfo> {
        let (mut serving, assignments) = self
            .blocking(move || {
                let assignments = serving.enumerator.discover()?;
                serving.interval = serving.enumerator.discovery_interval().map(Duration::from_millis);
                Ok((serving, assignments))
            })
            .await?;
        serving.discovery = serving.interval.map(|interval| Instant::now() + interval);
        for (subtask, assignment) in assignments {
            self.assign(subtask, assignment).await?;
        }
        Ok(serving)
    }

    async fn serve(&self, mut serving: Serving, request: SplitRequest) -> Result<Serving, FailureInfo> {
        let subtask = request.subtask;
        let (serving, assignment) = self
            .blocking(move || {
                let assignment = serving.enumerator.request_split(request.subtask, &request.hostname)?;
                Ok((serving, assignment))
            })
            .await?;
        self.assign(subtask, assignment).await?;
        Ok(serving)
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
