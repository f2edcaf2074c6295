//! The holder of an operator's coordinator: it runs beside the JobMaster, calls the coordinator on blocking threads
//! ([`CoordinatorCalls`]), and sends its events to subtasks.
//!
//! One holder serves one execution of the job; a restart begins with a new one, which goes on from the checkpoint.
//!
//! What is sent to a subtask after a checkpoint has taken the coordinator's state comes to it after it has taken its own part: a
//! split, say, is either in the enumerator's state or in that of the reader which was given it before. Where checkpoints begin, a
//! task has the word on one in its mailbox, and what is sent after that is behind it. To other tasks the barrier comes over their
//! channels: each is sent nothing until it has handed over its state.
//!
//! A subtask that has finished hears nothing any more: what is for it is dropped, and a call to it that fails is no failure. What it
//! has said before is handled before the job is FINISHED ([`Command::Finish`]).
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_common::rpc::is_answer;
use wiesel_common::{ending, fault};
use wiesel_operators::coordinator::{
    CoordinatorContext, EventSender, Events, MAX_EVENT_TO_SUBTASK, MakeCoordinator, OperatorCoordinator,
};
use wiesel_operators::operator::{Error as OperatorError, Result as OperatorResult};
use wiesel_proto as proto;

use crate::failure::{self, FailureInfo};
use crate::gateway::{TaskExecutors, describe};

/// Subtasks of one TaskManager that are sent events at once. One that has no room is none of them while it waits.
const CALLS_AT_ONCE: usize = 16;
/// Bytes of events that subtasks have not taken with which a coordinator is called no more: what one call makes comes on top.
const MAX_UNSENT: usize = 64 << 20;
/// The pauses between attempts to send to a task that has no room.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// What an event is counted as that waits, beside its bytes.
pub(super) const EVENT_BYTES: usize = 512;

/// Makes what makes the coordinator of an operator that is no source; none: it has none. It is called by the JobMaster, so it
/// waits for nothing.
pub type CoordinatorFactory =
    Arc<dyn Fn(&proto::OperatorSpec, &CoordinatorContext) -> Option<MakeCoordinator> + Send + Sync>;

/// For a JobManager whose sources alone have coordinators.
pub fn no_coordinators() -> CoordinatorFactory {
    Arc::new(|_, _| None)
}

/// Where coordinators, which may wait for I/O, are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorCalls {
    /// On the runtime's blocking threads.
    OnBlockingThreads,
    /// In the holder itself: for coordinators that never wait, and one thread.
    Inline,
}

/// One attempt of one subtask of the operator.
#[derive(Clone, Debug)]
pub struct Subtask {
    /// The attempt.
    pub attempt: AttemptId,
    /// The TaskExecutor that runs it.
    pub rpc_address: String,
}

/// A subtask says something.
#[derive(Debug)]
pub struct SubtaskEvent {
    /// Which.
    pub sender: EventSender,
    /// Counts the events of the attempt, from 1. One that is repeated, because its answer was lost, has the same number.
    pub number: u64,
    /// What it says.
    pub event: Bytes,
    /// Its part of the bytes that may wait.
    pub room: Option<OwnedSemaphorePermit>,
}

/// What a holder is told.
pub enum Command {
    /// A subtask runs: it can be sent something.
    Running {
        /// Which.
        subtask: u32,
    },
    /// A subtask says something.
    Event(SubtaskEvent),
    /// A subtask has finished: it has said all that it had to say, and hears nothing any more.
    Finished {
        /// Which.
        subtask: u32,
    },
    /// All subtasks have finished: the coordinator is to handle what they have said, whatever holds it back, because nothing that it
    /// sends goes anywhere.
    Finish {
        /// Told when it has.
        reply: oneshot::Sender<()>,
    },
    /// Hand over the coordinator's state and send nothing until the release.
    Snapshot {
        /// For which checkpoint.
        checkpoint: u64,
        /// Gets the state.
        reply: Snapshot,
    },
    /// The tasks at which the checkpoint begins know of it, or it failed.
    Release {
        /// Which.
        checkpoint: u64,
    },
    /// A subtask has taken its part in a checkpoint.
    Acknowledged {
        /// Which checkpoint.
        checkpoint: u64,
        /// Which subtask; none: no part is missing, of whatever subtask.
        subtask: Option<u32>,
    },
    /// A checkpoint is durable, or will never be.
    CheckpointEnded {
        /// Which.
        checkpoint: u64,
        /// Durable.
        completed: bool,
    },
}

/// Gets the state of a coordinator.
pub type Snapshot = oneshot::Sender<Result<proto::CoordinatorState, FailureInfo>>;

/// What there is of subtasks that run, and go on from a JobMaster before this one.
#[derive(Default)]
pub struct RunsOn {
    /// The events that they have been sent since the checkpoint, by subtask, those of one in their order.
    pub sent: Vec<(u32, Bytes)>,
    /// The events of theirs that are in the coordinator's state.
    pub handled: Vec<proto::HandledEvents>,
    /// Those that have finished.
    pub finished: Vec<u32>,
    /// Told when the coordinator goes on with them; dropped if it does not.
    pub begun: Option<oneshot::Sender<()>>,
}

/// What a holder works with.
pub struct OperatorCoordinatorHolder {
    /// The job.
    pub job_id: JobId,
    /// The job's token.
    pub fence: LeaderSessionId,
    /// The operator.
    pub operator: OperatorId,
    /// What messages call the coordinator, behind `the`.
    pub name: String,
    /// The subtasks, by number.
    pub subtasks: Vec<Subtask>,
    /// Whether checkpoints begin at them.
    pub begins_checkpoints: bool,
    /// Ways to the subtasks.
    pub executors: TaskExecutors,
    /// Where the coordinator is called.
    pub calls: CoordinatorCalls,
    /// The checkpoint that the subtasks go on from; 0: none. What is sent to them is sent after it, also by a coordinator that has no
    /// state in it.
    pub from: u64,
    /// The checkpoint and the state that the coordinator goes on from.
    pub restore: Option<(u64, Bytes)>,
    /// The subtasks run. None: they are deployed.
    pub runs_on: Option<RunsOn>,
    /// How long a call to a subtask may take. It is not made again, so what is merely late must have the time.
    pub call_timeout: Duration,
    /// Tells calls to the coordinator to end.
    pub ending: Ending,
}

/// Why a holder has ended.
#[derive(Debug)]
pub struct HolderFailure {
    /// The attempt that an event has not reached, or maybe not; none: the coordinator has failed.
    pub unreached: Option<AttemptId>,
    /// What went wrong.
    pub cause: FailureInfo,
}

impl From<FailureInfo> for HolderFailure {
    fn from(cause: FailureInfo) -> Self {
        Self { unreached: None, cause }
    }
}

/// Tells the calls that a holder made to its coordinator to end when the holder is gone: a thread that waits for I/O or looks at
/// millions of files is not ended by that alone.
#[derive(Default)]
pub struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A coordinator at work.
struct Serving {
    coordinator: Box<dyn OperatorCoordinator>,
    /// The newest checkpoint that has taken its state, or that it goes on from; 0: none.
    checkpoint: u64,
    /// When its timer is due.
    timer: Option<Instant>,
    /// Checkpoints that hold back events.
    held: BTreeSet<u64>,
    /// Events that wait, and checkpoints that have ended: no more than there may be at once.
    waiting: VecDeque<Waiting>,
    /// The number of each subtask's last event.
    heard: HashMap<u32, u64>,
    /// The number of each subtask's last event that the coordinator has handled.
    handled: BTreeMap<u32, u64>,
    /// Checkpoints that want the coordinator's state.
    snapshots: VecDeque<(u64, Snapshot)>,
    /// All subtasks have finished.
    finishing: bool,
    /// Told when the coordinator has handled what they have said.
    finish: Option<oneshot::Sender<()>>,
}

/// What the coordinator is told when its turn comes.
enum Waiting {
    Event(SubtaskEvent),
    CheckpointEnded { checkpoint: u64, completed: bool },
}

impl Serving {
    fn note(&mut self, command: Command, sending: &mut Sending) {
        match command {
            Command::Running { subtask } => sending.reach(subtask),
            Command::Event(event) => {
                // It runs, whatever has been heard of that.
                sending.reach(event.sender.subtask);
                let last = self.heard.entry(event.sender.subtask).or_default();
                if event.number > *last {
                    *last = event.number;
                    self.waiting.push_back(Waiting::Event(event));
                }
            }
            Command::Finished { subtask } => sending.finish(subtask),
            Command::Finish { reply } => {
                self.finishing = true;
                self.finish = Some(reply);
            }
            Command::Acknowledged { checkpoint, subtask: Some(subtask) } => sending.open(checkpoint, subtask),
            Command::Acknowledged { checkpoint, subtask: None } => sending.open_all(checkpoint),
            Command::CheckpointEnded { checkpoint, completed } => {
                sending.open_all(checkpoint);
                self.waiting.push_back(Waiting::CheckpointEnded { checkpoint, completed });
            }
            Command::Snapshot { checkpoint, reply } => self.snapshots.push_back((checkpoint, reply)),
            Command::Release { checkpoint } => {
                self.held.remove(&checkpoint);
                // It was given up before its turn came: nothing would release it again.
                self.snapshots.retain(|(waiting, _)| *waiting != checkpoint);
            }
        }
    }

    /// What is made now would be neither in the state that a checkpoint gets nor with a subtask when it begins there; or a snapshot is
    /// due, for which all is to be sent. One that waits until subtasks have taken their parts in the checkpoint before does not hold the
    /// coordinator back: a subtask may wait for just that before it takes its part.
    fn holds_back(&self, sending: &Sending) -> bool {
        let snapshot_is_due = !self.snapshots.is_empty() && !sending.awaits_parts();
        !self.finishing && (!self.held.is_empty() || snapshot_is_due)
    }
}

/// Events on their way: to many subtasks at once, one after another to each. A subtask that does not answer holds up no other.
#[derive(Default)]
struct Sending {
    /// By subtask, in the order in which the coordinator made them.
    queues: HashMap<u32, VecDeque<proto::OperatorEventToTask>>,
    /// Bytes that wait in them or are on their way.
    unsent: usize,
    /// The subtasks that are sent nothing now and for which something waits.
    ready: VecDeque<u32>,
    calls: JoinSet<(u32, Result<(), FailureInfo>)>,
    /// The subtasks that are being sent something, and how many bytes.
    busy: HashMap<u32, usize>,
    /// By the address of a TaskManager: turns to call it.
    turns: HashMap<String, Arc<Semaphore>>,
    /// The subtasks that run, or have: before that their TaskManagers know nothing of them.
    reachable: HashSet<u32>,
    /// The subtasks that have finished.
    finished: HashSet<u32>,
    /// By checkpoint that has the coordinator's state, the subtasks whose state it may not have: they are sent nothing, because it
    /// would be in their state and, by the coordinator's, be sent again.
    closed: BTreeMap<u64, HashSet<u32>>,
}

fn bytes_of(message: &proto::OperatorEventToTask) -> usize {
    EVENT_BYTES + message.event.len()
}

impl Sending {
    /// Nothing waits for a subtask that may take it, or is on its way to one.
    fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.busy.is_empty()
    }

    fn push(&mut self, subtask: u32, message: proto::OperatorEventToTask) {
        if self.finished.contains(&subtask) {
            return;
        }
        self.unsent += bytes_of(&message);
        let queue = self.queues.entry(subtask).or_default();
        queue.push_back(message);
        if queue.len() == 1 {
            self.look_at(subtask);
        }
    }

    /// Something has changed for a subtask that was not ready.
    fn look_at(&mut self, subtask: u32) {
        if self.queues.contains_key(&subtask)
            && !self.busy.contains_key(&subtask)
            && self.reachable.contains(&subtask)
            && !self.closed.values().any(|closed| closed.contains(&subtask))
        {
            self.ready.push_back(subtask);
        }
    }

    fn reach(&mut self, subtask: u32) {
        if self.reachable.insert(subtask) {
            self.look_at(subtask);
        }
    }

    /// A subtask has finished: what waits for it is dropped, and nobody waits for a call to it.
    fn finish(&mut self, subtask: u32) {
        if !self.finished.insert(subtask) {
            return;
        }
        self.ready.retain(|ready| *ready != subtask);
        let waiting = self.queues.remove(&subtask).unwrap_or_default();
        let on_its_way = self.busy.remove(&subtask).unwrap_or_default();
        self.unsent -= waiting.iter().map(bytes_of).sum::<usize>() + on_its_way;
    }

    /// A checkpoint has the coordinator's state, which nothing was left to send before.
    fn close(&mut self, checkpoint: u64, subtasks: usize) {
        self.closed.insert(checkpoint, (0..subtasks as u32).collect());
    }

    fn open(&mut self, checkpoint: u64, subtask: u32) {
        let Some(closed) = self.closed.get_mut(&checkpoint) else { return };
        if closed.remove(&subtask) {
            self.look_at(subtask);
        }
    }

    fn open_all(&mut self, checkpoint: u64) {
        for subtask in self.closed.remove(&checkpoint).unwrap_or_default() {
            self.look_at(subtask);
        }
    }

    /// Something waits until a subtask has taken its part in a checkpoint.
    fn awaits_parts(&self) -> bool {
        let is_closed = |subtask: &u32| self.closed.values().any(|closed| closed.contains(subtask));
        !self.closed.is_empty() && self.queues.keys().any(is_closed)
    }

    fn is_full(&self) -> bool {
        self.unsent >= MAX_UNSENT
    }

    /// What may be sent now.
    fn next(&mut self) -> Option<(u32, proto::OperatorEventToTask)> {
        let subtask = self.ready.pop_front()?;
        let queue = self.queues.get_mut(&subtask)?;
        let message = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&subtask);
        }
        self.busy.insert(subtask, bytes_of(&message));
        Some((subtask, message))
    }

    /// Turns to call a TaskManager: one that does not answer, or whose tasks have no room, holds up no other.
    fn turns(&mut self, address: &str) -> Arc<Semaphore> {
        let turns = || Arc::new(Semaphore::new(CALLS_AT_ONCE));
        Arc::clone(self.turns.entry(address.to_owned()).or_insert_with(turns))
    }

    /// A subtask has been sent something, or could not be. Of one that has finished meanwhile it is no matter: it has taken what it
    /// wanted, and its TaskManager may be gone.
    fn sent(&mut self, subtask: u32, outcome: Result<(), FailureInfo>) -> Result<(), FailureInfo> {
        if self.finished.contains(&subtask) {
            return Ok(());
        }
        self.unsent -= self.busy.remove(&subtask).unwrap_or_default();
        self.look_at(subtask);
        outcome
    }
}

impl OperatorCoordinatorHolder {
    /// Serves the subtasks until the execution ends (the sender is dropped or this is aborted). An error fails the job, or the task that
    /// an event has not reached.
    pub async fn run(
        mut self,
        make: MakeCoordinator,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), HolderFailure> {
        let restore = self.restore.clone();
        let runs_on = self.runs_on.take();
        let mut sending = Sending::default();
        let mut handled = BTreeMap::new();
        if let Some(runs_on) = &runs_on {
            (0..self.subtasks.len() as u32).for_each(|subtask| sending.reach(subtask));
            runs_on.finished.iter().for_each(|subtask| sending.finish(*subtask));
            handled = self.handled_of_current(&runs_on.handled);
        }
        let (sent, begun) = runs_on.map(|runs_on| (runs_on.sent, runs_on.begun)).unzip();
        let coordinator = self
            .blocking(move || {
                let mut coordinator = make()?;
                if let Some((checkpoint, state)) = restore {
                    coordinator.restore(checkpoint, &state)?;
                }
                let goes_on = match &sent {
                    Some(sent) => coordinator.sent(sent)?,
                    None => true,
                };
                if goes_on { Ok(coordinator) } else { Err(cannot_go_on()) }
            })
            .await?;
        if let Some(begun) = begun.flatten() {
            // The receiver is gone if the job has ended meanwhile.
            let _ = begun.send(());
        }
        let mut serving = Serving {
            coordinator,
            checkpoint: self.from,
            timer: None,
            held: BTreeSet::new(),
            waiting: VecDeque::new(),
            heard: handled.iter().map(|(subtask, number)| (*subtask, *number)).collect(),
            handled,
            snapshots: VecDeque::new(),
            finishing: false,
            finish: None,
        };
        serving = self.timed(serving, &mut sending, |coordinator, events| coordinator.start(events)).await?;
        loop {
            // A checkpoint waits for no event that came with it.
            while let Ok(command) = commands.try_recv() {
                serving.note(command, &mut sending);
            }
            // Nor does a subtask that has taken one wait for the next until the coordinator has handled all that waits.
            while let Some(ended) = sending.calls.try_join_next() {
                self.call_ended(ended, &mut serving, &mut sending, &mut commands)?;
            }
            if sending.is_empty()
                && let Some((checkpoint, reply)) = serving.snapshots.pop_front()
            {
                serving = self.snapshot(serving, &mut sending, checkpoint, reply).await?;
                continue;
            }
            self.send_some(&mut sending)?;
            let is_called = !serving.holds_back(&sending) && !sending.is_full();
            if is_called && let Some(waiting) = serving.waiting.pop_front() {
                serving = self.serve(serving, waiting, &mut sending).await?;
                continue;
            }
            if serving.waiting.is_empty()
                && let Some(finish) = serving.finish.take()
            {
                // The receiver is gone if the job has failed meanwhile.
                let _ = finish.send(());
            }
            let timer = serving.timer.filter(|_| is_called && !serving.finishing);
            let next_timer = async {
                match timer {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => serving.note(command, &mut sending),
                    None => return Ok(()),
                },
                Some(ended) = sending.calls.join_next() => {
                    self.call_ended(ended, &mut serving, &mut sending, &mut commands)?;
                }
                () = next_timer => {
                    serving = self.timed(serving, &mut sending, |coordinator, events| coordinator.timer(events)).await?;
                }
            }
        }
    }

    /// By subtask, of the attempts that run: what another one has said counts for nothing.
    fn handled_of_current(&self, handled: &[proto::HandledEvents]) -> BTreeMap<u32, u64> {
        let is_current = |events: &&proto::HandledEvents| {
            let subtask = self.subtasks.get(events.subtask as usize);
            subtask.is_some_and(|subtask| events.attempt_id == subtask.attempt.0[..])
        };
        handled.iter().filter(is_current).map(|events| (events.subtask, events.number)).collect()
    }

    /// What the coordinator has handled, for its state.
    fn handled(&self, serving: &Serving) -> Vec<proto::HandledEvents> {
        let of_subtask = |(subtask, number): (&u32, &u64)| {
            let attempt_id = self.subtasks.get(*subtask as usize)?.attempt.to_bytes();
            Some(proto::HandledEvents { subtask: *subtask, attempt_id, number: *number })
        };
        serving.handled.iter().filter_map(of_subtask).collect()
    }

    /// A call to a subtask has ended.
    fn call_ended(
        &self,
        ended: Result<(u32, Result<(), FailureInfo>), JoinError>,
        serving: &mut Serving,
        sending: &mut Sending,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), HolderFailure> {
        let (subtask, outcome) =
            ended.map_err(|error| self.failed(&FailureInfo::new(failure::INTERNAL, error.to_string())))?;
        // A task that finished before its TaskManager went away did so before the call failed.
        while let Ok(command) = commands.try_recv() {
            serving.note(command, sending);
        }
        let unreached = Some(self.subtask(subtask)?.attempt);
        sending.sent(subtask, outcome).map_err(|cause| HolderFailure { unreached, cause })
    }

    async fn snapshot(
        &self,
        mut serving: Serving,
        sending: &mut Sending,
        checkpoint: u64,
        reply: Snapshot,
    ) -> Result<Serving, FailureInfo> {
        let (mut serving, state) = self
            .blocking(move || {
                let state = serving.coordinator.snapshot(checkpoint);
                Ok((serving, state))
            })
            .await?;
        serving.checkpoint = checkpoint;
        let (uid, handled) = (self.operator.to_bytes(), self.handled(&serving));
        let state = state.map(|state| proto::CoordinatorState { uid, state, handled });
        let state = state.map_err(|error| self.failed(&FailureInfo::from(&error)));
        // The receiver is gone if the checkpoint failed meanwhile: then nothing is held back for it.
        if reply.send(state).is_ok() {
            serving.held.insert(checkpoint);
            if !self.begins_checkpoints {
                sending.close(checkpoint, self.subtasks.len());
            }
        }
        Ok(serving)
    }

    fn failed(&self, cause: &FailureInfo) -> FailureInfo {
        FailureInfo::wrap(failure::INTERNAL, format!("The {} failed.", self.name), cause)
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
            CoordinatorCalls::Inline => Ok(call()),
            CoordinatorCalls::OnBlockingThreads => {
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

    /// A call of the coordinator, whose events are sent.
    async fn call(
        &self,
        mut serving: Serving,
        sending: &mut Sending,
        call: impl FnOnce(&mut dyn OperatorCoordinator, &mut Events) -> OperatorResult<()> + Send + 'static,
    ) -> Result<Serving, FailureInfo> {
        let (serving, events) = self
            .blocking(move || {
                let mut events = Events::default();
                call(&mut *serving.coordinator, &mut events)?;
                Ok((serving, events))
            })
            .await?;
        for (subtask, event) in events {
            sending.push(subtask, self.message(subtask, event, serving.checkpoint)?);
        }
        Ok(serving)
    }

    /// A call after which the coordinator says when its timer is due.
    async fn timed(
        &self,
        serving: Serving,
        sending: &mut Sending,
        call: impl FnOnce(&mut dyn OperatorCoordinator, &mut Events) -> OperatorResult<()> + Send + 'static,
    ) -> Result<Serving, FailureInfo> {
        let mut serving = self.call(serving, sending, call).await?;
        let next = serving.coordinator.next_timer();
        serving.timer = next.map(|millis| Instant::now() + Duration::from_millis(millis));
        Ok(serving)
    }

    async fn serve(
        &self,
        mut serving: Serving,
        waiting: Waiting,
        sending: &mut Sending,
    ) -> Result<Serving, FailureInfo> {
        if let Waiting::Event(SubtaskEvent { sender, number, .. }) = &waiting {
            serving.handled.insert(sender.subtask, *number);
        }
        self.call(serving, sending, move |coordinator, events| match waiting {
            Waiting::Event(SubtaskEvent { sender, event, .. }) => coordinator.handle_event(sender, event, events),
            Waiting::CheckpointEnded { checkpoint, completed: true } => {
                coordinator.checkpoint_completed(checkpoint, events)
            }
            Waiting::CheckpointEnded { checkpoint, completed: false } => coordinator.checkpoint_aborted(checkpoint),
        })
        .await
    }

    fn subtask(&self, subtask: u32) -> Result<&Subtask, FailureInfo> {
        self.subtasks.get(subtask as usize).ok_or_else(|| {
            let message = format!("the {} has no subtask {subtask}", self.name);
            FailureInfo::new(failure::INTERNAL, message)
        })
    }

    fn message(&self, subtask: u32, event: Bytes, after: u64) -> Result<proto::OperatorEventToTask, FailureInfo> {
        if event.len() > MAX_EVENT_TO_SUBTASK {
            let (bytes, name) = (event.len(), &self.name);
            let message = format!(
                "The {name} has an event of {bytes} bytes for a subtask; it may have {MAX_EVENT_TO_SUBTASK} at most."
            );
            return Err(FailureInfo::new(failure::INTERNAL, message));
        }
        Ok(proto::OperatorEventToTask {
            fence: self.fence.to_bytes(),
            job_id: self.job_id.to_bytes(),
            attempt_id: self.subtask(subtask)?.attempt.to_bytes(),
            operator_uid: self.operator.to_bytes(),
            event,
            after_checkpoint_id: after,
        })
    }

    /// Begins to send what may be sent now.
    fn send_some(&self, sending: &mut Sending) -> Result<(), FailureInfo> {
        while let Some((subtask, message)) = sending.next() {
            let address = self.subtask(subtask)?.rpc_address.clone();
            let (executors, name, timeout) = (self.executors.clone(), self.name.clone(), self.call_timeout);
            let turns = sending.turns(&address);
            sending.calls.spawn(async move {
                let outcome = send(&executors, &address, message, timeout, &turns).await;
                (subtask, outcome.map_err(|status| not_sent(&name, subtask, &address, &status)))
            });
        }
        Ok(())
    }
}

fn cannot_go_on() -> OperatorError {
    let message =
        "the subtasks have run on without it, and it cannot go on from its checkpoint with what they were sent since";
    OperatorError::External { message: message.to_owned(), source: None }
}

/// Never sent twice: a reader that got the same splits again would read them again. What a task says that it has no room for it has
/// not taken.
async fn send(
    executors: &TaskExecutors,
    address: &str,
    message: proto::OperatorEventToTask,
    timeout: Duration,
    turns: &Semaphore,
) -> Result<(), Status> {
    let mut client = executors.get(address)?;
    let mut pause = FIRST_PAUSE;
    loop {
        // Never closed: an error would let it go on all the same.
        let turn = turns.acquire().await;
        let mut request = tonic::Request::new(message.clone());
        request.set_timeout(timeout);
        fault::point("coordinator.before-send");
        let answer = client.send_operator_event(request).await;
        fault::point("coordinator.after-send");
        match answer {
            // The task is over, or its slot is: their own reports tell the JobMaster how.
            Err(status) if matches!(status.code(), Code::NotFound | Code::FailedPrecondition) => return Ok(()),
            // It is held back, maybe for long.
            Err(status) if status.code() == Code::ResourceExhausted && is_answer(&status) => {
                drop(turn);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
            other => return other.map(|_| ()),
        }
    }
}

/// A call that was not answered is often the first sign that a TaskManager was lost: the cause of the job's failure says so, as a task
/// does whose connection to it breaks. Whether the event arrived is not known then.
fn not_sent(coordinator: &str, subtask: u32, address: &str, status: &Status) -> FailureInfo {
    let message = if is_answer(status) {
        format!("Subtask {subtask}, at task manager '{address}', does not take an event of the {coordinator}.")
    } else {
        format!(
            "Sending an event of the {coordinator} to subtask {subtask} at remote task manager '{address}' has failed. This might \
             indicate that the remote task manager was lost."
        )
    };
    FailureInfo::new(failure::INTERNAL, message).because(describe(status))
}

#[cfg(test)]
#[path = "operator_coordinator_tests.rs"]
mod tests;
