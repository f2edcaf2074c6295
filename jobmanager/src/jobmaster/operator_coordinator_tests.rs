use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::codegen::{StdError, http};
use wiesel_common::rpc::{Answer, Channel, Connector, Transport};

use super::*;

/// TaskManagers whose tasks have ended.
#[derive(Clone, Default)]
struct Gone {
    calls: Arc<Mutex<usize>>,
    /// So many calls find a task that has no room.
    full: Arc<Mutex<usize>>,
    /// Their processes were killed: a connection breaks before there is an answer.
    killed: Arc<Mutex<bool>>,
    /// Calls have no answer before this, and then fail on the way.
    breaks: Option<Arc<Notify>>,
    /// No call to this address has an answer.
    silent: Option<&'static str>,
    /// Tasks at this address never have room.
    crowded: Option<&'static str>,
    /// Of each event that came, the checkpoint after which it was sent.
    after: Arc<Mutex<Vec<u64>>>,
    /// Where it was connected to.
    address: String,
}

impl Transport for Gone {
    fn call(&self, request: http::Request<Body>) -> Answer {
        *self.calls.lock() += 1;
        if *self.killed.lock() {
            let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            return Box::pin(std::future::ready(Err(StdError::from(broken))));
        }
        if let Some(breaks) = self.breaks.clone() {
            return Box::pin(async move {
                breaks.notified().await;
                Err::<http::Response<Body>, _>(StdError::from(Status::unavailable("transport error")))
            });
        }
        if self.silent == Some(self.address.as_str()) {
            return Box::pin(std::future::pending());
        }
        let mut full = self.full.lock();
        *full += usize::from(self.crowded == Some(self.address.as_str()));
        let status = if *full > 0 {
            *full -= 1;
            Status::resource_exhausted("the task's mailbox is full")
        } else {
            Status::not_found("no such task runs here")
        };
        let answer = StdError::from(status);
        let (after, body) = (Arc::clone(&self.after), axum::body::Body::new(request.into_body()));
        Box::pin(async move {
            let frame = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            // Behind whether it is compressed, and its length.
            let event = proto::OperatorEventToTask::decode(frame.slice(5..)).unwrap();
            after.lock().push(event.after_checkpoint_id);
            Err::<http::Response<Body>, _>(answer)
        })
    }
}

impl Connector for Gone {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        Ok(Channel::new(Self { address: address.to_owned(), ..self.clone() }))
    }
}

type Log = Arc<Mutex<Vec<String>>>;

/// The event that the toy cannot handle.
const UNHEARD_OF: &str = "unheard of";

/// Counts events, and notes what it is told.
struct Toy {
    log: Log,
    events: u8,
    /// Bytes of what it sends to the first subtask at its start.
    greeting: Option<usize>,
}

impl Toy {
    fn note(&self, what: String) {
        self.log.lock().push(what);
    }
}

impl OperatorCoordinator for Toy {
    fn restore(&mut self, checkpoint_id: u64, state: &[u8]) -> OperatorResult<()> {
        self.events = state[0];
        self.note(format!("restore {} of {checkpoint_id}", self.events));
        Ok(())
    }

    /// It cannot go on without any.
    fn sent(&mut self, sent: &[(u32, Bytes)]) -> OperatorResult<bool> {
        let sent: Vec<String> =
            sent.iter().map(|(subtask, event)| format!("{subtask} has {}", String::from_utf8_lossy(event))).collect();
        self.note(sent.join(", "));
        Ok(!sent.is_empty())
    }

    fn start(&mut self, events: &mut Events) -> OperatorResult<()> {
        if let Some(bytes) = self.greeting {
            events.send(0, vec![0; bytes].into());
        }
        self.note("start".into());
        Ok(())
    }

    fn handle_event(&mut self, sender: EventSender, event: Bytes, events: &mut Events) -> OperatorResult<()> {
        if event == UNHEARD_OF {
            return Err(OperatorError::Plan(UNHEARD_OF.into()));
        }
        self.events += 1;
        events.send(sender.subtask, event.clone());
        self.note(format!("{} says {}", sender.subtask, String::from_utf8_lossy(&event)));
        Ok(())
    }

    fn snapshot(&mut self, checkpoint_id: u64) -> OperatorResult<Bytes> {
        self.note(format!("snapshot {checkpoint_id}"));
        Ok(vec![self.events].into())
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64, _: &mut Events) -> OperatorResult<()> {
        self.note(format!("completed {checkpoint_id}"));
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> OperatorResult<()> {
        self.note(format!("aborted {checkpoint_id}"));
        Ok(())
    }
}

/// A toy with its holder, which runs.
struct Run {
    commands: mpsc::UnboundedSender<Command>,
    running: tokio::task::JoinHandle<Result<(), HolderFailure>>,
    log: Log,
    gone: Gone,
}

impl Run {
    fn new(greeting: Option<usize>, restore: Option<(u64, Bytes)>) -> Self {
        Self::of_tasks(true, greeting, restore)
    }

    fn of_tasks(begins_checkpoints: bool, greeting: Option<usize>, restore: Option<(u64, Bytes)>) -> Self {
        Self::with(Gone::default(), &["a:1"; 2], begins_checkpoints, greeting, restore)
    }

    /// Of a subtask at each of these addresses.
    fn with(
        gone: Gone,
        addresses: &[&str],
        begins_checkpoints: bool,
        greeting: Option<usize>,
        restore: Option<(u64, Bytes)>,
    ) -> Self {
        Self::called_on(CoordinatorCalls::Inline, gone, addresses, begins_checkpoints, greeting, restore)
    }

    fn called_on(
        calls: CoordinatorCalls,
        gone: Gone,
        addresses: &[&str],
        begins_checkpoints: bool,
        greeting: Option<usize>,
        restore: Option<(u64, Bytes)>,
    ) -> Self {
        let from = restore.as_ref().map_or(0, |(checkpoint, _)| *checkpoint);
        Self::beside(calls, gone, addresses, begins_checkpoints, greeting, (from, restore, None))
    }

    /// Of subtasks that run and have been sent this.
    fn with_sent(greeting: Option<usize>, restore: Option<(u64, Bytes)>, sent: Vec<(u32, Bytes)>) -> Self {
        Self::beside_running(greeting, restore, RunsOn { sent, ..RunsOn::default() })
    }

    fn beside_running(greeting: Option<usize>, restore: Option<(u64, Bytes)>, runs_on: RunsOn) -> Self {
        let from = restore.as_ref().map_or(0, |(checkpoint, _)| *checkpoint);
        let (calls, restore) = (CoordinatorCalls::Inline, (from, restore, Some(runs_on)));
        Self::beside(calls, Gone::default(), &["a:1"; 2], true, greeting, restore)
    }

    fn beside(
        calls: CoordinatorCalls,
        gone: Gone,
        addresses: &[&str],
        begins_checkpoints: bool,
        greeting: Option<usize>,
        (from, restore, runs_on): (u64, Option<(u64, Bytes)>, Option<RunsOn>),
    ) -> Self {
        let log = Log::default();
        let subtask = |(number, address): (usize, &&str)| Subtask {
            attempt: AttemptId([number as u8; 16]),
            rpc_address: (*address).to_owned(),
        };
        let holder = OperatorCoordinatorHolder {
            job_id: JobId([1; 16]),
            fence: LeaderSessionId::random(),
            operator: OperatorId([2; 16]),
            name: "coordinator of Toy".into(),
            subtasks: addresses.iter().enumerate().map(subtask).collect(),
            begins_checkpoints,
            executors: TaskExecutors::new(Arc::new(gone.clone())),
            calls,
            from,
            restore,
            runs_on,
            call_timeout: Duration::from_secs(60),
            ending: Ending::default(),
        };
        let of_toy = log.clone();
        let make: MakeCoordinator = Box::new(move || Ok(Box::new(Toy { log: of_toy, events: 0, greeting })));
        let (commands, receiver) = mpsc::unbounded_channel();
        Self { commands, running: tokio::spawn(holder.run(make, receiver)), log, gone }
    }

    fn tell(&self, command: Command) {
        assert!(self.commands.send(command).is_ok());
    }

    fn say(&self, subtask: u32, number: u64, what: &'static str) {
        let sender = EventSender { subtask, attempt: AttemptId([subtask as u8; 16]) };
        self.tell(Command::Event(SubtaskEvent {
            sender,
            number,
            event: Bytes::from_static(what.as_bytes()),
            room: None,
        }));
    }

    /// Until the coordinator has noted so much.
    async fn heard(&self, notes: usize) {
        for _ in 0..1000 {
            if self.log.lock().len() >= notes {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{:?}", self.log.lock());
    }

    /// Until so many events were sent.
    async fn sent(&self, events: usize) {
        for _ in 0..1000 {
            if *self.gone.calls.lock() >= events {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(*self.gone.calls.lock(), events);
    }

    async fn snapshot(&self, checkpoint: u64) -> Bytes {
        let (reply, state) = oneshot::channel();
        self.tell(Command::Snapshot { checkpoint, reply });
        state.await.unwrap().unwrap().state
    }

    async fn end(self) -> Vec<String> {
        drop(self.commands);
        self.running.await.unwrap().unwrap();
        Arc::into_inner(self.log).unwrap().into_inner()
    }
}

/// Until there is nothing to do.
async fn rest() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_heard_between_a_snapshot_and_its_release() {
    let run = Run::new(None, None);
    run.say(1, 1, "a");
    run.say(1, 1, "a");
    run.tell(Command::CheckpointEnded { checkpoint: 1, completed: false });
    run.heard(3).await;
    assert_eq!(run.snapshot(2).await, Bytes::from_static(&[1]));
    run.say(1, 2, "b");
    run.tell(Command::CheckpointEnded { checkpoint: 2, completed: true });
    assert_eq!(run.snapshot(3).await, Bytes::from_static(&[1]), "the second event is behind both");
    run.tell(Command::Release { checkpoint: 2 });
    run.tell(Command::Release { checkpoint: 3 });
    let expected = ["start", "1 says a", "aborted 1", "snapshot 2", "snapshot 3", "1 says b", "completed 2"];
    assert_eq!(run.end().await, expected);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_from_the_state_of_a_checkpoint() {
    let run = Run::new(None, Some((7, Bytes::from_static(&[5]))));
    run.say(0, 1, "a");
    run.heard(3).await;
    assert_eq!(run.snapshot(8).await, Bytes::from_static(&[6]));
    assert_eq!(run.end().await, ["restore 5 of 7", "start", "0 says a", "snapshot 8"]);
}

/// They need not say that they run: nothing has to come of them for a long time.
#[tokio::test(start_paused = true)]
async fn it_goes_on_with_subtasks_that_run_and_knows_what_they_were_sent() {
    let restore = Some((7, Bytes::from_static(&[5])));
    let sent = vec![(1, Bytes::from_static(b"a")), (0, Bytes::from_static(b"b"))];
    let run = Run::with_sent(Some(3), restore.clone(), sent);
    run.sent(1).await;
    assert_eq!(run.end().await, ["restore 5 of 7", "1 has a, 0 has b", "start"]);
    let run = Run::with_sent(None, restore, Vec::new());
    let failure = run.running.await.unwrap().unwrap_err();
    let trace = failure.cause.stack_trace();
    assert!(failure.unreached.is_none() && trace.contains("the subtasks have run on without it"), "{trace}");
}

/// Failed before: it counted as sent before that checkpoint, and the next JobMaster did not hear of it.
#[tokio::test(start_paused = true)]
async fn what_a_coordinator_without_state_sends_is_sent_after_the_checkpoint_of_its_subtasks() {
    let gone = Gone::default();
    let run = Run::beside(CoordinatorCalls::Inline, gone.clone(), &["a:1"; 2], true, Some(3), (7, None, None));
    run.tell(Command::Running { subtask: 0 });
    // All is sent before it.
    run.snapshot(8).await;
    run.tell(Command::Release { checkpoint: 8 });
    run.say(0, 1, "a");
    run.sent(2).await;
    run.snapshot(9).await;
    assert_eq!(*gone.after.lock(), [7, 8]);
}

/// Failed before: the event that it had handled was handled again where its answer was lost with the JobMaster.
#[tokio::test(start_paused = true)]
async fn what_a_subtask_repeats_to_the_next_coordinator_is_handled_once() {
    let run = Run::new(None, None);
    run.say(0, 1, "a");
    run.say(0, 2, "b");
    run.say(1, 7, "c");
    run.heard(4).await;
    let (reply, answer) = oneshot::channel();
    run.tell(Command::Snapshot { checkpoint: 3, reply });
    let state = answer.await.unwrap().unwrap();
    let handled = |subtask: u32, attempt: u8, number: u64| proto::HandledEvents {
        subtask,
        attempt_id: vec![attempt; 16].into(),
        number,
    };
    assert_eq!((&state.uid[..], &state.handled[..]), (&[2; 16][..], &[handled(0, 0, 2), handled(1, 1, 7)][..]));

    // The second one has another attempt by then, which counts from the beginning.
    let handled = vec![state.handled[0].clone(), handled(1, 9, 7)];
    let (begun, began) = oneshot::channel();
    let sent = vec![(1, Bytes::from_static(b"x"))];
    let runs_on = RunsOn { sent, handled, begun: Some(begun), ..RunsOn::default() };
    let run = Run::beside_running(None, Some((3, state.state)), runs_on);
    began.await.unwrap();
    run.say(0, 2, "b");
    run.say(0, 3, "d");
    run.say(1, 1, "e");
    run.heard(5).await;
    assert_eq!(run.end().await[2..], ["start", "0 says d", "1 says e"]);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_go_on_has_not_begun_and_finished_subtasks_hear_nothing() {
    let (begun, began) = oneshot::channel();
    let run = Run::beside_running(None, None, RunsOn { begun: Some(begun), ..RunsOn::default() });
    assert!(began.await.is_err() && run.running.await.unwrap().is_err());

    let sent = vec![(0, Bytes::from_static(b"x"))];
    let run = Run::beside_running(Some(3), None, RunsOn { sent, finished: vec![0], ..RunsOn::default() });
    // All is sent that is to be.
    run.snapshot(1).await;
    assert_eq!(*run.gone.calls.lock(), 0);
}

/// A TaskManager knows no task that was not deployed: what it is told of that would be lost.
#[tokio::test(start_paused = true)]
async fn what_is_sent_to_a_subtask_waits_until_it_runs() {
    let run = Run::new(Some(3), None);
    run.tell(Command::Running { subtask: 1 });
    assert!(tokio::time::timeout(Duration::from_secs(3600), run.snapshot(1)).await.is_err());
    assert_eq!(*run.gone.calls.lock(), 0);
    run.tell(Command::Release { checkpoint: 1 });
    run.tell(Command::Running { subtask: 0 });
    run.snapshot(2).await;
    assert_eq!(*run.gone.calls.lock(), 1);
}

/// Before, a task that was held back for long failed the job.
#[tokio::test(start_paused = true)]
async fn an_event_for_a_task_that_has_no_room_waits() {
    let run = Run::new(None, None);
    *run.gone.full.lock() = 5;
    for (subtask, what) in [(0, "a"), (1, "b")] {
        run.tell(Command::Running { subtask });
        run.say(subtask, 1, what);
    }
    run.heard(3).await;
    // It is behind what is sent.
    run.snapshot(1).await;
    assert_eq!(*run.gone.calls.lock(), 2 + 5);
    assert_eq!(run.end().await, ["start", "0 says a", "1 says b", "snapshot 1"]);
}

/// Failed before: the cause of a job whose TaskManager was killed was "could not be sent to a subtask" when an event was the first to
/// notice.
#[tokio::test(start_paused = true)]
async fn an_event_that_a_lost_task_manager_does_not_answer_says_that_it_may_be_lost() {
    let run = Run::new(Some(3), None);
    *run.gone.killed.lock() = true;
    run.tell(Command::Running { subtask: 0 });
    let failure = run.running.await.unwrap().unwrap_err().cause;
    let expected = "Sending an event of the coordinator of Toy to subtask 0 at remote task manager 'a:1' has failed. This might indicate that \
                    the remote task manager was lost.";
    assert_eq!(failure.message, expected);
    assert!(failure.causes[0].contains("broken pipe") && !failure.fatal, "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_event_for_a_subtask_has_a_bound() {
    let run = Run::new(Some(MAX_EVENT_TO_SUBTASK + 1), None);
    let failure = run.running.await.unwrap().unwrap_err();
    assert!(failure.cause.message.contains("coordinator of Toy has an event of 16777217 bytes"), "{failure:?}");
    assert_eq!(failure.unreached, None);
}

/// Before, a subtask to which the barrier comes over channels had events before the barrier that its coordinator's state does not
/// know as sent: they came twice after a restore.
#[tokio::test(start_paused = true)]
async fn behind_a_snapshot_a_subtask_is_sent_nothing_before_it_has_taken_its_part() {
    let run = Run::of_tasks(false, None, None);
    run.snapshot(1).await;
    run.tell(Command::Release { checkpoint: 1 });
    run.say(0, 1, "a");
    run.say(1, 1, "b");
    run.heard(4).await;
    rest().await;
    run.sent(0).await;
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: Some(1) });
    run.sent(1).await;
    rest().await;
    run.sent(1).await;
    // The first one has ended without a word of the checkpoint.
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: None });
    run.sent(2).await;
    run.snapshot(2).await;
    run.say(0, 2, "c");
    run.tell(Command::CheckpointEnded { checkpoint: 2, completed: false });
    run.tell(Command::Release { checkpoint: 2 });
    run.sent(3).await;
}

/// A checkpoint that begins meanwhile waits until they are sent: they are not in its state.
#[tokio::test(start_paused = true)]
async fn the_next_snapshot_is_behind_what_an_earlier_checkpoint_has_held_back() {
    let run = Run::of_tasks(false, None, None);
    run.snapshot(1).await;
    run.tell(Command::Release { checkpoint: 1 });
    run.say(0, 1, "a");
    run.heard(3).await;
    assert!(tokio::time::timeout(Duration::from_secs(3600), run.snapshot(2)).await.is_err());
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: Some(0) });
    run.sent(1).await;
}

/// Failed before: the coordinator was not called until then. Of a subtask that waited for it before it took its part, that was for ever,
/// or until the earlier checkpoint had failed with its timeout.
#[tokio::test(start_paused = true)]
async fn a_coordinator_is_called_while_its_snapshot_waits_for_the_checkpoint_before() {
    let run = Run::of_tasks(false, None, None);
    run.snapshot(1).await;
    run.tell(Command::Release { checkpoint: 1 });
    run.say(0, 1, "a");
    run.heard(3).await;
    let (reply, state) = oneshot::channel();
    run.tell(Command::Snapshot { checkpoint: 2, reply });
    rest().await;
    run.say(1, 1, "b");
    run.heard(4).await;
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: Some(0) });
    run.sent(1).await;
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: Some(1) });
    assert_eq!(state.await.unwrap().unwrap().state, Bytes::from_static(&[2]));
    run.sent(2).await;
    // It is taken: what comes now is behind it.
    run.say(1, 2, "c");
    rest().await;
    assert_eq!(run.end().await, ["start", "snapshot 1", "0 says a", "1 says b", "snapshot 2"]);
}

/// What waits for subtasks is bounded: the coordinator makes no more.
#[tokio::test(start_paused = true)]
async fn a_coordinator_is_called_no_more_when_too_much_waits_for_its_subtasks() {
    let run = Run::of_tasks(false, None, None);
    run.snapshot(1).await;
    run.tell(Command::Release { checkpoint: 1 });
    let text: &'static str = String::leak("x".repeat(MAX_EVENT_TO_SUBTASK));
    (1..=5).for_each(|number| run.say(0, number, text));
    run.heard(6).await;
    rest().await;
    assert_eq!(run.log.lock().len(), 6, "the last one waits");
    run.tell(Command::Acknowledged { checkpoint: 1, subtask: Some(0) });
    run.heard(7).await;
}

/// Failed before: what was held back when the last task finished was dropped with the coordinator.
#[tokio::test(start_paused = true)]
async fn what_finished_subtasks_have_said_is_handled_though_a_checkpoint_holds_it_back() {
    let run = Run::new(None, None);
    run.snapshot(1).await;
    run.say(0, 1, "a");
    run.tell(Command::CheckpointEnded { checkpoint: 1, completed: false });
    rest().await;
    assert_eq!(run.log.lock().len(), 2, "it is held back");
    run.tell(Command::Finished { subtask: 0 });
    run.tell(Command::Finished { subtask: 1 });
    let (reply, finished) = oneshot::channel();
    run.tell(Command::Finish { reply });
    finished.await.unwrap();
    assert_eq!(*run.log.lock(), ["start", "snapshot 1", "0 says a", "aborted 1"]);
    // It is asked again if another part of the job has run once more.
    let (reply, finished) = oneshot::channel();
    run.tell(Command::Finish { reply });
    finished.await.unwrap();
    assert_eq!(*run.gone.calls.lock(), 0, "nobody is there to be sent an answer");
    assert_eq!(run.end().await.len(), 4);
}

/// A coordinator that is to end does not wait for subtasks: not for one that never took what it was sent, either.
#[tokio::test(start_paused = true)]
async fn a_coordinator_that_ends_waits_for_no_call() {
    let gone = Gone { silent: Some("a:1"), ..Gone::default() };
    let run = Run::with(gone, &["a:1", "b:1"], true, Some(3), None);
    run.tell(Command::Running { subtask: 0 });
    run.sent(1).await;
    run.say(1, 1, "b");
    run.heard(2).await;
    run.tell(Command::Finished { subtask: 1 });
    // The snapshot is behind what is on its way, until nobody is there to take it.
    let (state, answer) = oneshot::channel();
    run.tell(Command::Snapshot { checkpoint: 1, reply: state });
    rest().await;
    run.tell(Command::Finished { subtask: 0 });
    assert_eq!(answer.await.unwrap().unwrap().state, Bytes::from_static(&[1]));
    let (reply, finished) = oneshot::channel();
    run.tell(Command::Finish { reply });
    finished.await.unwrap();
    assert_eq!(run.end().await, ["start", "1 says b", "snapshot 1"]);
}

/// Failed before: the coordinator failed, and the job with it, when the TaskManager of a subtask went away that had finished.
#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_reach_a_subtask_that_has_finished_is_no_failure() {
    for finished in [true, false] {
        let breaks = Arc::new(Notify::new());
        let gone = Gone { breaks: Some(Arc::clone(&breaks)), ..Gone::default() };
        let run = Run::with(gone, &["a:1", "a:1"], true, Some(3), None);
        run.tell(Command::Running { subtask: 0 });
        run.sent(1).await;
        if finished {
            run.tell(Command::Finished { subtask: 0 });
        }
        breaks.notify_one();
        rest().await;
        if finished {
            // What it says is dropped, before the call as after it.
            run.say(0, 1, "a");
            run.heard(2).await;
            run.snapshot(1).await;
            run.sent(1).await;
            assert_eq!(run.end().await, ["start", "0 says a", "snapshot 1"]);
        } else {
            let failure = run.running.await.unwrap().unwrap_err();
            assert_eq!(failure.unreached, Some(AttemptId([0; 16])));
            assert!(failure.cause.message.contains("coordinator of Toy"), "{failure:?}");
        }
    }
}

/// Failed before: 64 subtasks of a TaskManager that were held back, or did not answer, took all turns; nothing was sent to any other
/// subtask, and the coordinator was not called.
#[tokio::test(start_paused = true)]
async fn a_slow_task_manager_holds_up_no_other() {
    let slow =
        [Gone { silent: Some("slow:1"), ..Gone::default() }, Gone { crowded: Some("slow:1"), ..Gone::default() }];
    for gone in slow {
        let addresses = [vec!["slow:1"; 100], vec!["b:1"]].concat();
        let crowded = gone.crowded.is_some();
        let run = Run::with(gone, &addresses, true, None, None);
        for subtask in 0..100 {
            run.tell(Command::Running { subtask });
            run.say(subtask, 1, "a");
        }
        run.heard(101).await;
        rest().await;
        let called = *run.gone.calls.lock();
        // One that waits for room does not hold up the others of its TaskManager.
        assert_eq!(called, if crowded { 100 } else { CALLS_AT_ONCE });
        run.say(100, 1, "b");
        run.heard(102).await;
        run.sent(called + 1).await;
    }
}

/// Failed before: what was on its way was not counted, up to a gigabyte of it.
#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_counts_as_unsent() {
    let gone = Gone { silent: Some("slow:1"), ..Gone::default() };
    let run = Run::with(gone, &["slow:1"; 8], true, None, None);
    let text: &'static str = String::leak("x".repeat(MAX_EVENT_TO_SUBTASK));
    (0..8).for_each(|subtask| run.say(subtask, 1, text));
    run.heard(5).await;
    rest().await;
    assert_eq!((run.log.lock().len(), *run.gone.calls.lock()), (5, 4), "the coordinator is called no more");
    run.tell(Command::Finished { subtask: 0 });
    run.heard(6).await;
}

/// Failed before: while events waited, it was not noted which subtasks had taken what they were sent. Each got one event and no more until
/// all were handled, or 64 MiB waited; nor was it noted that one could not be sent.
#[tokio::test(start_paused = true)]
async fn subtasks_are_sent_one_event_after_the_other_while_others_wait_for_the_coordinator() {
    let run = Run::called_on(CoordinatorCalls::OnBlockingThreads, Gone::default(), &["a:1"], true, None, None);
    (1..=100).for_each(|number| run.say(0, number, "a"));
    // The coordinator ends with the last one: what was sent by then was sent before.
    run.say(0, 101, UNHEARD_OF);
    let failure = run.running.await.unwrap().unwrap_err();
    assert_eq!(failure.unreached, None);
    let sent = *run.gone.calls.lock();
    assert!(sent > 10, "{sent} events were sent");
}
