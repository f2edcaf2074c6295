use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{StdError, http};
use wiesel_common::config::Configuration;
use wiesel_common::ending;
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_common::rpc::{Answer, Channel, Connector, Transport, timeout_of};

use super::*;
use crate::gateway::TaskExecutors;
use crate::jobmaster::operator_coordinator_holder::{
    Command, CoordinatorCalls, Ending, OperatorCoordinatorHolder, Subtask, SubtaskEvent,
};

const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A peer that does not answer: a call fails when its time is over.
#[derive(Clone, Default)]
struct Silence {
    calls: Arc<Mutex<usize>>,
}

impl Transport for Silence {
    fn call(&self, request: http::Request<Body>) -> Answer {
        *self.calls.lock() += 1;
        let limit = timeout_of(&request);
        Box::pin(async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
            Err(StdError::from(Status::cancelled("Timeout expired")))
        })
    }
}

impl Connector for Silence {
    fn connect(&self, _: &str) -> Result<Channel, Status> {
        Ok(Channel::new(self.clone()))
    }
}

/// Gives each reader that asks one split, and notes which one asked.
struct Splits(Arc<Mutex<Vec<u32>>>);

impl SplitEnumerator for Splits {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, subtask: u32, _: &str) -> Result<SplitAssignment> {
        self.0.lock().push(subtask);
        Ok(SplitAssignment::Splits(vec![Bytes::new()]))
    }

    fn snapshot(&mut self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// The coordinator of two readers that do not answer, with its holder, and the readers that have asked for splits so far.
fn coordinator(silence: &Silence) -> (OperatorCoordinatorHolder, MakeCoordinator, Arc<Mutex<Vec<u32>>>) {
    let asked = Arc::<Mutex<Vec<u32>>>::default();
    let of_factory = asked.clone();
    let factory: EnumeratorFactory = Arc::new(move |_, _| Ok(Box::new(Splits(of_factory.clone()))));
    let reader = |number: u8| Subtask { attempt: AttemptId([number; 16]), rpc_address: "a:1".into() };
    let holder = OperatorCoordinatorHolder {
        job_id: JobId([1; 16]),
        fence: LeaderSessionId::random(),
        operator: OperatorId([2; 16]),
        name: "enumerator of the source orders".into(),
        subtasks: vec![reader(1), reader(2)],
        begins_checkpoints: true,
        executors: TaskExecutors::new(Arc::new(silence.clone())),
        calls: CoordinatorCalls::Inline,
        from: 0,
        restore: None,
        runs_on: None,
        call_timeout: CALL_TIMEOUT,
        ending: Ending::default(),
    };
    (holder, make(&factory), asked)
}

fn make(factory: &EnumeratorFactory) -> MakeCoordinator {
    let spec = proto::SourceSpec { table: "orders".into(), ..Default::default() };
    let context = EnumeratorContext { parallelism: 2, configuration: Arc::new(Configuration::default()) };
    source_coordinator(factory, &spec, context)
}

fn request(subtask: u32, number: u64) -> Command {
    let said = Said::RequestSplit(proto::RequestSplit { hostname: "localhost".into() });
    let event = proto::SourceEventToCoordinator { event: Some(said) }.encode_to_vec().into();
    let sender = EventSender { subtask, attempt: AttemptId([subtask as u8 + 1; 16]) };
    Command::Event(SubtaskEvent { sender, number, event, room: None })
}

/// Failed before: a reader that nothing reached, while its TaskManager's heartbeats came, was waited for for ever.
#[tokio::test(start_paused = true)]
async fn a_split_that_does_not_reach_its_reader_fails_the_job() {
    let silence = Silence::default();
    let (coordinator, make, _) = coordinator(&silence);
    let (sender, commands) = mpsc::unbounded_channel();
    assert!(sender.send(request(0, 1)).is_ok());
    let ended = tokio::time::timeout(CALL_TIMEOUT * 2, coordinator.run(make, commands)).await.expect("not for ever");
    let failure = ended.unwrap_err().cause;
    assert!(failure.message.contains("orders"), "{failure}");
    assert_eq!(*silence.calls.lock(), 1, "it is not sent again: the reader may have it");
}

/// Failed before: the reader was given two splits where it had asked for one.
#[tokio::test(start_paused = true)]
async fn a_request_for_a_split_that_is_repeated_is_one_request() {
    let (coordinator, make, asked) = coordinator(&Silence::default());
    let (sender, commands) = mpsc::unbounded_channel();
    for (subtask, number) in [(0, 1), (0, 1), (1, 1), (0, 2), (1, 1), (0, 1)] {
        assert!(sender.send(request(subtask, number)).is_ok());
    }
    drop(sender);
    coordinator.run(make, commands).await.unwrap();
    assert_eq!(*asked.lock(), [0, 1, 0]);
}

/// Its first discovery waits until the test goes on, and then says whether it is told to end.
struct Discovery {
    begun: Option<oneshot::Sender<()>>,
    go_on: std::sync::mpsc::Receiver<()>,
    told: Option<oneshot::Sender<bool>>,
}

impl SplitEnumerator for Discovery {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        self.begun.take().unwrap().send(()).unwrap();
        self.go_on.recv().unwrap();
        self.told.take().unwrap().send(ending::is_told_to_end()).unwrap();
        Ok(Vec::new())
    }

    fn request_split(&mut self, _: u32, _: &str) -> Result<SplitAssignment> {
        Ok(SplitAssignment::NoMoreSplits)
    }

    fn snapshot(&mut self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Failed before: the listing of a job's files went on for hours after the job was cancelled.
#[tokio::test]
async fn a_call_to_the_enumerator_is_told_when_the_execution_has_ended() {
    for ends in [false, true] {
        let ((begun, has_begun), (told, was_told)) = (oneshot::channel(), oneshot::channel());
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let discovery = Discovery { begun: Some(begun), go_on: may_go_on, told: Some(told) };
        let discovery = Mutex::new(Some(discovery));
        let (mut coordinator, ..) = coordinator(&Silence::default());
        let factory: EnumeratorFactory = Arc::new(move |_, _| Ok(Box::new(discovery.lock().take().unwrap())));
        coordinator.calls = CoordinatorCalls::OnBlockingThreads;
        let (_sender, commands) = mpsc::unbounded_channel();
        let running = tokio::spawn(coordinator.run(make(&factory), commands));
        has_begun.await.unwrap();
        if ends {
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
        }
        go_on.send(()).unwrap();
        assert_eq!(was_told.await.unwrap(), ends);
    }
}

/// Keeps the state that it goes on from, behind the splits that were given since.
struct Kept(Vec<u8>);

impl SplitEnumerator for Kept {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, _: u32, _: &str) -> Result<SplitAssignment> {
        Ok(SplitAssignment::NoMoreSplits)
    }

    fn snapshot(&mut self) -> Result<Bytes> {
        Ok(self.0.clone().into())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.0 = state.to_vec();
        Ok(())
    }

    fn given(&mut self, given: &[(u32, Bytes)]) -> Result<bool> {
        for (subtask, split) in given {
            self.0.extend_from_slice(format!(", {subtask} has {}", String::from_utf8_lossy(split)).as_bytes());
        }
        Ok(true)
    }
}

#[test]
fn the_enumerator_of_readers_that_go_on_is_told_what_they_were_given() {
    let factory: EnumeratorFactory = Arc::new(|_, _| Ok(Box::new(Kept(Vec::new()))));
    let event = |event: Event| Bytes::from(proto::SourceEventToReader { event: Some(event) }.encode_to_vec());
    let splits = |splits: &[&'static str]| {
        let splits = splits.iter().map(|split| Bytes::from_static(split.as_bytes())).collect();
        event(Event::AddSplits(proto::AddSplits { splits }))
    };
    let none = event(Event::NoMoreSplits(proto::NoMoreSplits {}));
    let mut coordinator = make(&factory)().unwrap();
    coordinator.restore(3, b"before").unwrap();
    assert!(coordinator.sent(&[(1, splits(&["a", "b"])), (0, splits(&["c"])), (1, none)]).unwrap());
    assert_eq!(coordinator.snapshot(4).unwrap(), "before, 1 has a, 1 has b, 0 has c");
    assert!(coordinator.sent(&[(0, Bytes::from_static(b"\xff"))]).is_err());
    assert!(coordinator.sent(&[(0, Bytes::new())]).is_err());
    // One that does not say how it would go on does not.
    let factory: EnumeratorFactory = Arc::new(|_, _| Ok(Box::new(Splits(Arc::default()))));
    assert!(!make(&factory)().unwrap().sent(&[(0, splits(&["a"]))]).unwrap());
}

/// Nothing is put around it: checkpoints that were written before operators other than sources could have coordinators are read.
#[test]
fn the_state_of_a_sources_coordinator_is_its_enumerators() {
    let factory: EnumeratorFactory = Arc::new(|_, _| Ok(Box::new(Kept(Vec::new()))));
    let mut coordinator = make(&factory)().unwrap();
    coordinator.restore(3, b"before").unwrap();
    assert_eq!(coordinator.snapshot(4).unwrap(), "before");
}
