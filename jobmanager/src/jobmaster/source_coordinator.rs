//! The enumerator of a source: it runs beside the JobMaster, on blocking threads ([`EnumeratorCalls`]), and sends splits to
//! readers.
//!
//! One coordinator serves one execution of the job; a restart begins with a new one, which goes on from the checkpoint.
//!
//! From the moment that a checkpoint takes the enumerator's state until the readers have been told of that checkpoint,
//! nothing is assigned: a split is either in the enumerator's state or in that of the reader which was given it before.
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::ending;
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_operators::operator::{Error as OperatorError, Result as OperatorResult};
use wiesel_operators::source::{EnumeratorContext, SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;

use crate::failure::{self, FailureInfo};
use crate::gateway::{TaskExecutors, describe};

/// Readers that are sent splits at once.
const CALLS_AT_ONCE: usize = 64;

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
    /// Counts the reader's requests, from 1. One that is repeated, because its answer was lost, has the same number.
    pub number: u64,
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
    /// How long a call to a reader may take. It is not made again, so what is merely late must have the time.
    pub call_timeout: Duration,
    /// Tells calls to the enumerator to end.
    pub ending: Ending,
}

/// Tells the calls that a coordinator made to its enumerator to end when the coordinator is gone: a thread that waits for I/O
/// or looks at millions of files is not ended by that alone.
#[derive(Default)]
pub struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
    /// The number of each reader's last request.
    requested: HashMap<u32, u64>,
    /// Checkpoints that want the enumerator's state.
    snapshots: VecDeque<(u64, oneshot::Sender<Result<Bytes, FailureInfo>>)>,
}

impl Serving {
    fn note(&mut self, command: Command) {
        match command {
            Command::Split(request) => {
                let last = self.requested.entry(request.subtask).or_default();
                if request.number > *last {
                    *last = request.number;
                    self.waiting.push_back(request);
                }
            }
            Command::Snapshot { checkpoint, reply } => self.snapshots.push_back((checkpoint, reply)),
            Command::Release { checkpoint } => {
                self.held.remove(&checkpoint);
                // It was given up before its turn came: nothing would release it again.
                self.snapshots.retain(|(waiting, _)| *waiting != checkpoint);
            }
        }
    }

    /// What is assigned now would be neither in the state that a checkpoint gets nor with a reader when it begins there.
    fn holds_back(&self) -> bool {
        !self.held.is_empty() || !self.snapshots.is_empty()
    }
}

/// Assignments on their way: to many readers at once, one after another to each. A reader that does not answer holds up no
/// other.
#[derive(Default)]
struct Sending {
    /// By reader, in the order in which the enumerator made them.
    queues: HashMap<u32, VecDeque<proto::OperatorEventToTask>>,
    /// The readers that are sent nothing now and for which something waits.
    ready: VecDeque<u32>,
    calls: JoinSet<(u32, Result<(), FailureInfo>)>,
    /// The readers that are being sent something.
    busy: HashSet<u32>,
}

impl Sending {
    fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.calls.is_empty()
    }

    fn push(&mut self, reader: u32, message: proto::OperatorEventToTask) {
        let queue = self.queues.entry(reader).or_default();
        queue.push_back(message);
        if queue.len() == 1 && !self.busy.contains(&reader) {
            self.ready.push_back(reader);
        }
    }

    /// What may be sent now.
    fn next(&mut self) -> Option<(u32, proto::OperatorEventToTask)> {
        if self.calls.len() >= CALLS_AT_ONCE {
            return None;
        }
        let reader = self.ready.pop_front()?;
        let queue = self.queues.get_mut(&reader)?;
        let message = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&reader);
        }
        self.busy.insert(reader);
        Some((reader, message))
    }

    /// A reader has been sent something.
    fn sent(&mut self, reader: u32) {
        self.busy.remove(&reader);
        if self.queues.contains_key(&reader) {
            self.ready.push_back(reader);
        }
    }
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
        let mut sending = Sending::default();
        let mut serving = Serving {
            enumerator,
            interval: None,
            discovery: None,
            held: BTreeSet::new(),
            waiting: VecDeque::new(),
            requested: HashMap::new(),
            snapshots: VecDeque::new(),
        };
        serving = self.discover(serving, &mut sending).await?;
        loop {
            // A checkpoint waits for no request that came with it.
            while let Ok(command) = commands.try_recv() {
                serving.note(command);
            }
            if sending.is_empty()
                && let Some((checkpoint, reply)) = serving.snapshots.pop_front()
            {
                serving = self.snapshot(serving, checkpoint, reply).await?;
                continue;
            }
            self.send_some(&mut sending)?;
            if sending.ready.is_empty()
                && !serving.holds_back()
                && let Some(request) = serving.waiting.pop_front()
            {
                serving = self.serve(serving, request, &mut sending).await?;
                continue;
            }
            let discovery = serving.discovery.filter(|_| !serving.holds_back());
            let next_discovery = async {
                match discovery {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => serving.note(command),
                    None => return Ok(()),
                },
                Some(sent) = sending.calls.join_next() => {
                    let (subtask, outcome) =
                        sent.map_err(|error| self.failed(&FailureInfo::new(failure::INTERNAL, error.to_string())))?;
                    sending.sent(subtask);
                    outcome?;
                }
                () = next_discovery => serving = self.discover(serving, &mut sending).await?,
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
        // The receiver is gone if the checkpoint failed meanwhile: then nothing is held back for it.
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
        let told = Arc::clone(&self.ending.0);
        let call = move || {
            let _told = ending::register(told);
            // It may have waited for a thread until its job had ended.
            if ending::is_told_to_end() { Err(OperatorError::Cancelled) } else { call() }
        };
        let outcome = match self.calls {
            EnumeratorCalls::Inline => Ok(call()),
            EnumeratorCalls::OnBlockingThreads => {
                // What it logs, and what it says when it panics, names the job there too.
                let span = tracing::Span::current();
                tokio::task::spawn_blocking(move || span.in_scope(call)).await
            }
        };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&FailureInfo::from(&error))),
            Err(error) => Err(self.failed(&FailureInfo::new(failure::INTERNAL, error.to_string()))),
        }
    }

    async fn discover(&self, mut serving: Serving, sending: &mut Sending) -> Result<Serving, FailureInfo> {
        let (mut serving, assignments) = self
            .blocking(move || {
                let assignments = serving.enumerator.discover()?;
                serving.interval = serving.enumerator.discovery_interval().map(Duration::from_millis);
                Ok((serving, assignments))
            })
            .await?;
        serving.discovery = serving.interval.map(|interval| Instant::now() + interval);
        for (subtask, assignment) in assignments {
            self.assign(subtask, assignment, sending)?;
        }
        Ok(serving)
    }

    async fn serve(
        &self,
        mut serving: Serving,
        request: SplitRequest,
        sending: &mut Sending,
    ) -> Result<Serving, FailureInfo> {
        let subtask = request.subtask;
        let (serving, assignment) = self
            .blocking(move || {
                let assignment = serving.enumerator.request_split(request.subtask, &request.hostname)?;
                Ok((serving, assignment))
            })
            .await?;
        self.assign(subtask, assignment, sending)?;
        Ok(serving)
    }

    fn reader(&self, subtask: u32) -> Result<&Reader, FailureInfo> {
        self.readers.get(subtask as usize).ok_or_else(|| {
            let message = format!("the source {} has no reader {subtask}", self.spec.table);
            FailureInfo::new(failure::INTERNAL, message)
        })
    }

    fn assign(&self, subtask: u32, assignment: SplitAssignment, sending: &mut Sending) -> Result<(), FailureInfo> {
        use proto::operator_event_to_task::Event;
        let event = match assignment {
            SplitAssignment::Splits(splits) => Event::AddSplits(proto::AddSplits { splits }),
            SplitAssignment::NoMoreSplits => Event::NoMoreSplits(proto::NoMoreSplits {}),
            SplitAssignment::Wait => return Ok(()),
        };
        let message = proto::OperatorEventToTask {
            fence: self.fence.to_bytes(),
            job_id: self.job_id.to_bytes(),
            attempt_id: self.reader(subtask)?.attempt.to_bytes(),
            operator_uid: self.operator.to_bytes(),
            event: Some(event),
        };
        sending.push(subtask, message);
        Ok(())
    }

    /// Begins to send what may be sent now.
    fn send_some(&self, sending: &mut Sending) -> Result<(), FailureInfo> {
        while let Some((subtask, message)) = sending.next() {
            let address = self.reader(subtask)?.rpc_address.clone();
            let (executors, table, timeout) = (self.executors.clone(), self.spec.table.clone(), self.call_timeout);
            sending.calls.spawn(async move {
                let outcome = send(&executors, &address, message, timeout).await.map_err(|status| {
                    let message = format!("Splits of the source {table} could not be sent to a reader.");
                    let reason = format!("{address} answered: {}", describe(&status));
                    FailureInfo::new(failure::INTERNAL, message).because(reason)
                });
                (subtask, outcome)
            });
        }
        Ok(())
    }
}

/// Never sent twice: a reader that got the same splits again would read them again.
async fn send(
    executors: &TaskExecutors,
    address: &str,
    message: proto::OperatorEventToTask,
    timeout: Duration,
) -> Result<(), Status> {
    let mut client = executors.get(address)?;
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    match client.send_operator_event(request).await {
        // The task is over, or its slot is: their own reports tell the JobMaster how.
        Err(status) if status.code() == Code::NotFound => Ok(()),
        Err(status) if status.code() == Code::FailedPrecondition && !status.message().contains("full") => Ok(()),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
#[path = "source_coordinator_tests.rs"]
mod tests;
