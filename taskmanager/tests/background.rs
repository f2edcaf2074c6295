//! An operator that works on another thread, in tasks with real channels and files.
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use common::stateful::{Board, Stateful, counts_of};
use common::{Cluster, Deployed, edge, options, schema, vertex};
use parking_lot::{Condvar, Mutex};
use wiesel_common::spawn;
use wiesel_connectors::collect::CollectTransport;
use wiesel_operators::background::Waker;
use wiesel_operators::coordinator::CoordinatorGateway;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{
    BuiltOperator, Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};
use wiesel_operators::source::SourceReader;
use wiesel_proto as proto;
use wiesel_proto::CheckpointBarrier;
use wiesel_proto::CheckpointOutcome::{Aborted, Completed};
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished, Running};
use wiesel_proto::Partitioner;
use wiesel_proto::operator_list_state::Redistribution;
use wiesel_proto::operator_spec::Kind;
use wiesel_state::keyed::SnapshotOptions;
use wiesel_taskmanager::factory::OperatorFactory;

/// What the operator asks for each batch. It answers while it is open.
#[derive(Default)]
struct Service {
    open: Mutex<bool>,
    changed: Condvar,
    /// Rows that were asked about.
    asked: AtomicUsize,
    /// Events that the operator sends to its coordinator with its first batch.
    greetings: AtomicUsize,
    /// What the coordinator said, and [`SNAPSHOT`] for each snapshot.
    heard: Mutex<Vec<Bytes>>,
    /// Inputs that have ended.
    ended: AtomicUsize,
    /// Times that the operator was held back.
    held_back: AtomicUsize,
    /// Where the operator stops the next time that it is woken: it says so, and waits.
    stop: Mutex<Option<(SyncSender<()>, Receiver<()>)>>,
}

const SNAPSHOT: Bytes = Bytes::from_static(b"snapshot");

impl Service {
    fn open(&self) {
        *self.open.lock() = true;
        self.changed.notify_all();
    }

    /// Until it is open. False: the caller has ended.
    fn ask(&self, ended: &Mutex<bool>) -> bool {
        let mut open = self.open.lock();
        while !*open && !*ended.lock() {
            self.changed.wait(&mut open);
        }
        *open
    }
}

/// Hands rows on when the service has answered.
struct Calls {
    service: Arc<Service>,
    /// Batches in flight, at most.
    capacity: usize,
    in_flight: VecDeque<Batch>,
    /// The last watermark, if it waits for the rows before it.
    watermark: Option<i64>,
    /// Batches that were answered and not handed on.
    answered: Arc<AtomicUsize>,
    ended: Arc<Mutex<bool>>,
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    waker: Waker,
    gateway: Option<Box<dyn CoordinatorGateway>>,
}

impl Calls {
    fn new(service: &Arc<Service>, capacity: usize) -> Self {
        Self {
            service: service.clone(),
            capacity,
            in_flight: VecDeque::new(),
            watermark: None,
            answered: Arc::default(),
            ended: Arc::default(),
            requests: None,
            thread: None,
            waker: Waker::default(),
            gateway: None,
        }
    }

    fn call(&self, rows: usize) {
        self.requests.as_ref().unwrap().send(()).unwrap();
        self.service.asked.fetch_add(rows, Ordering::SeqCst);
    }
}

const IN_FLIGHT: &str = "in flight";

fn values(entry: &Bytes) -> Vec<i64> {
    entry.chunks_exact(8).map(|value| i64::from_le_bytes(value.try_into().unwrap())).collect()
}

fn numbers(values: Vec<i64>) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
    Batch::insert_only(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap())
}

impl Operator for Calls {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.in_flight = state.list(IN_FLIGHT).iter().map(|entry| numbers(values(entry))).collect();
        Ok(())
    }

    fn take_waker(&mut self, waker: Waker) -> bool {
        self.waker = waker.clone();
        let (sender, receiver) = sync_channel(self.capacity.max(self.in_flight.len()));
        let (service, answered, ended) = (self.service.clone(), self.answered.clone(), self.ended.clone());
        let work = move || {
            while receiver.recv().is_ok() && service.ask(&ended) {
                answered.fetch_add(1, Ordering::SeqCst);
                waker.wake();
            }
        };
        self.thread = Some(spawn::thread("calls", work).unwrap());
        self.requests = Some(sender);
        self.in_flight.iter().for_each(|batch| self.call(batch.num_rows()));
        true
    }

    fn take_gateway(&mut self, gateway: Box<dyn CoordinatorGateway>) {
        self.gateway = Some(gateway);
    }

    fn coordinator_event(&mut self, event: Bytes) -> Result<()> {
        self.service.heard.lock().push(event);
        Ok(())
    }

    fn is_available(&self) -> bool {
        self.in_flight.len() < self.capacity
    }

    fn has_rows_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    fn woken(&mut self, out: &mut dyn Collector) -> Result<()> {
        let stop = self.service.stop.lock().take();
        if let Some((stopped, go_on)) = stop {
            stopped.send(()).unwrap();
            go_on.recv().unwrap();
        }
        for _ in 0..self.answered.swap(0, Ordering::SeqCst) {
            out.collect(self.in_flight.pop_front().unwrap())?;
        }
        match self.watermark.take_if(|_| self.in_flight.is_empty()) {
            Some(watermark) => out.watermark(watermark),
            None => Ok(()),
        }
    }

    fn process(&mut self, _: usize, batch: Batch, _: &mut dyn Collector) -> Result<()> {
        assert!(self.is_available(), "it takes no rows");
        for greeting in 0..self.service.greetings.swap(0, Ordering::SeqCst) {
            self.gateway.as_mut().unwrap().send(greeting.to_string().into())?;
        }
        let rows = batch.num_rows();
        self.in_flight.push_back(batch);
        self.call(rows);
        Ok(())
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        if self.in_flight.is_empty() {
            return out.watermark(watermark);
        }
        self.watermark = Some(watermark);
        Ok(())
    }

    fn held_back(&mut self, _: Duration) {
        self.service.held_back.fetch_add(1, Ordering::SeqCst);
    }

    fn end_input(&mut self, _: usize, _: &mut dyn Collector) -> Result<()> {
        self.service.ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn snapshot(&mut self, _: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.service.heard.lock().push(SNAPSHOT);
        let entry = |batch: &Batch| {
            let values = batch.records.column(0).as_primitive::<Int64Type>().values();
            values.iter().flat_map(|value| value.to_le_bytes()).collect::<Bytes>()
        };
        let list = proto::OperatorListState {
            name: IN_FLIGHT.to_owned(),
            redistribution: Redistribution::Split as i32,
            entries: self.in_flight.iter().map(entry).collect(),
        };
        Ok(OperatorSnapshot { keyed: None, lists: vec![list] })
    }

    fn close(&mut self) -> Result<()> {
        *self.ended.lock() = true;
        // The thread that waits for an answer looks again.
        drop(self.service.open.lock());
        self.service.changed.notify_all();
        self.requests = None;
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
        Ok(())
    }
}

struct Operators {
    board: Arc<Board>,
    service: Arc<Service>,
    capacity: usize,
}

impl OperatorFactory for Operators {
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>> {
        Stateful(self.board.clone()).source(spec)
    }

    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        results: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator> {
        if !matches!(spec.kind, Some(Kind::Calc(_))) {
            return Stateful(self.board.clone()).operator(spec, context, results);
        }
        let operator = Box::new(Calls::new(&self.service, self.capacity));
        Ok(BuiltOperator::new(spec, operator, Arc::new(Schema::empty())))
    }
}

/// A job of a source that sends its numbers to [`Calls`] with a sink behind it, which counts them.
struct Run {
    cluster: Cluster,
    board: Arc<Board>,
    service: Arc<Service>,
    source: Vec<(&'static str, &'static str)>,
    folder: tempfile::TempDir,
}

type States = BTreeMap<usize, proto::TaskState>;

impl Run {
    fn new(capacity: usize, source: &[(&'static str, &'static str)]) -> Self {
        let (board, service) = (Arc::<Board>::default(), Arc::<Service>::default());
        let operators = Operators { board: board.clone(), service: service.clone(), capacity };
        let cluster = Cluster::start_with(1, 1, &[], Arc::new(operators));
        Self { cluster, board, service, source: source.to_vec(), folder: tempfile::tempdir().unwrap() }
    }

    fn directory(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    fn deploy(&mut self, restore: Option<&States>) -> Deployed {
        let source = proto::SourceSpec { options: options(&self.source), ..proto::SourceSpec::default() };
        let sink = proto::SinkSpec { input: Some(schema()), ..proto::SinkSpec::default() };
        let mut consumer = vertex("Sink", 1, Kind::Sink(sink));
        let mut calls = vertex("Calls", 1, Kind::Calc(proto::CalcSpec::default()));
        calls.operators.append(&mut consumer.operators);
        consumer.operators = calls.operators;
        let vertices = vec![vertex("Source", 1, Kind::Source(source)), consumer];
        let directory = self.directory();
        let configuration = [
            ("execution.checkpointing.dir", directory.as_str()),
            ("execution.checkpointing.interval", "1 h"),
            ("execution.checkpointing.unaligned.enabled", "true"),
            // Each batch is sent by itself.
            ("execution.buffer-timeout.interval", "0 ms"),
        ];
        let edges = vec![edge(0, 1, Partitioner::Hash)];
        let job = self.cluster.try_restore(vertices, edges, &configuration, |vertex, _| {
            Some(proto::TaskRestore { checkpoint_id: 1, state: Some(restore?.get(&vertex)?.clone()) })
        });
        assert!(job.refused.is_none(), "{:?}", job.refused);
        for attempt in job.attempts.iter().flatten() {
            let runs = |states: &Vec<proto::ExecutionState>| states.contains(&Running);
            self.cluster.until("running", |heard| heard.states.get(attempt).is_some_and(runs));
        }
        job
    }

    /// Waits until the service was asked about so many rows.
    fn asked(&self, rows: usize) {
        self.cluster.until("the calls", |_| self.service.asked.load(Ordering::SeqCst) == rows);
    }

    /// What a vertex hands over for a checkpoint.
    fn acknowledged(&self, job: &Deployed, vertex: usize) -> proto::TaskState {
        let key = (job.attempts[vertex][0].clone(), 1);
        self.cluster.until("an acknowledgement", |heard| {
            assert!(!heard.declined.contains_key(&key), "declined: {:?}", heard.declined[&key]);
            heard.acknowledged.contains_key(&key)
        });
        self.cluster.job_manager.heard.lock().acknowledged[&key].state.clone().unwrap()
    }

    fn checkpoint(&self, job: &Deployed, barrier: &CheckpointBarrier) -> States {
        self.cluster.trigger(job, &[&job.attempts[0][0]], barrier).unwrap();
        (0..2).map(|vertex| (vertex, self.acknowledged(job, vertex))).collect()
    }

    /// Ends the job as a failure would.
    fn kill(&self, job: &Deployed) {
        self.cluster.cancel(job);
        self.end(job, Canceled);
        self.board.results.lock().clear();
    }

    fn end(&self, job: &Deployed, state: proto::ExecutionState) {
        self.cluster.finish(job);
        for attempt in job.attempts.iter().flatten() {
            let heard = self.cluster.job_manager.heard.lock();
            assert_eq!(heard.states[attempt].last(), Some(&state), "{:?}", heard.failures.get(attempt));
        }
    }

    /// Lets the job end, and checks that every number was counted once.
    fn finish(&self, job: &Deployed, rows: i64) {
        self.board.open.store(true, Ordering::SeqCst);
        self.service.open();
        self.end(job, Finished);
        assert_eq!(self.board.total(), (0..rows).map(|value| (value, 1)).collect());
    }
}

fn barrier() -> CheckpointBarrier {
    CheckpointBarrier { checkpoint_id: 1, ..CheckpointBarrier::default() }
}

/// The numbers in flight in a state, in order of their batches.
fn in_flight(state: &proto::TaskState) -> Vec<i64> {
    let lists = state.operators.iter().flat_map(|operator| &operator.lists).filter(|list| list.name == IN_FLIGHT);
    lists.flat_map(|list| &list.entries).flat_map(values).collect()
}

#[test]
fn a_checkpoint_has_the_rows_in_flight_and_the_next_attempt_works_on_them() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "400")]);
    let job = run.deploy(None);
    run.asked(400);
    let states = run.checkpoint(&job, &barrier());
    assert_eq!(in_flight(&states[&1]), (0..400).collect::<Vec<_>>());
    assert_eq!(counts_of(&states[&1]), BTreeMap::new());
    run.kill(&job);
    let job = run.deploy(Some(&states));
    run.finish(&job, 1000);
}

/// The operator takes no rows, and there are none before the barrier.
#[test]
fn a_barrier_passes_an_operator_that_is_not_available() {
    let mut run = Run::new(1, &[("rows", "1000"), ("batch", "50"), ("hold", "50")]);
    let job = run.deploy(None);
    run.asked(50);
    let states = run.checkpoint(&job, &barrier());
    assert_eq!(in_flight(&states[&1]), (0..50).collect::<Vec<_>>());
    run.finish(&job, 1000);
    assert!(run.service.held_back.load(Ordering::SeqCst) > 0, "an input without rows meanwhile is not idle");
}

/// Rows wait in the channel; an unaligned barrier overtakes them and what the operator holds.
#[test]
fn an_operator_that_is_not_available_holds_back_rows_but_no_unaligned_barrier_and_no_cancellation() {
    let mut run = Run::new(1, &[("rows", "10000"), ("batch", "1000"), ("hold", "3000")]);
    let job = run.deploy(None);
    run.asked(1000);
    let source = &job.attempts[0][0];
    run.cluster.until("the rows", |heard| heard.metrics.get(source).is_some_and(|metrics| metrics.records_out == 3000));
    let states = run.checkpoint(&job, &CheckpointBarrier { unaligned_allowed: true, ..barrier() });
    assert_eq!(in_flight(&states[&1]), (0..1000).collect::<Vec<_>>());
    assert_eq!(states.values().flat_map(|state| &state.channels).map(|channel| channel.rows).sum::<u64>(), 2000);
    run.kill(&job);
    let job = run.deploy(Some(&states));
    run.finish(&job, 10_000);
}

/// What is in flight may take long: checkpoints go on meanwhile.
#[test]
fn the_end_of_the_input_waits_for_the_rows_in_flight() {
    let mut run = Run::new(64, &[("rows", "400"), ("batch", "50")]);
    let job = run.deploy(None);
    let (source, sink) = (&job.attempts[0][0], &job.attempts[1][0]);
    run.cluster.until("the source's end", |heard| heard.states[source].last() == Some(&Finished));
    // As the JobMaster does it: all producers have ended.
    run.cluster.trigger(&job, &[sink], &barrier()).unwrap();
    assert_eq!(in_flight(&run.acknowledged(&job, 1)), (0..400).collect::<Vec<_>>());
    assert!(!run.board.saw("Sink 0 finish"));
    assert!(!run.cluster.job_manager.heard.lock().at_end.contains_key(sink));
    run.finish(&job, 400);
    assert!(run.board.saw("Sink 0 finish"));
}

#[test]
fn rows_in_flight_are_in_the_savepoint_that_the_job_stops_with() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "400")]);
    let job = run.deploy(None);
    run.asked(400);
    let (kind, target) = (proto::SnapshotKind::Savepoint as i32, format!("{}/savepoint-1", run.directory()));
    let states = run.checkpoint(&job, &CheckpointBarrier { kind, target, stop: true, ..barrier() });
    run.cluster.notify(&job, 1, Completed);
    // The service does not answer.
    run.end(&job, Finished);
    assert!(!run.board.saw("Sink 0 finish"));
    assert_eq!(run.board.total(), BTreeMap::new());
    let job = run.deploy(Some(&states));
    run.finish(&job, 1000);
}

#[test]
fn rows_in_flight_come_before_a_savepoint_that_drains() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "400")]);
    let job = run.deploy(None);
    run.asked(400);
    let (kind, target) = (proto::SnapshotKind::Savepoint as i32, format!("{}/savepoint-1", run.directory()));
    let stop = CheckpointBarrier { kind, target, stop: true, drain: true, ..barrier() };
    run.cluster.trigger(&job, &[&job.attempts[0][0]], &stop).unwrap();
    run.acknowledged(&job, 0);
    run.service.open();
    let state = run.acknowledged(&job, 1);
    assert_eq!(in_flight(&state), [0; 0]);
    assert_eq!(counts_of(&state), (0..400).map(|value| (value, 1)).collect());
    run.cluster.notify(&job, 1, Completed);
    run.end(&job, Finished);
}

/// Failed before: the task waited for the service whatever became of the savepoint.
#[test]
fn a_savepoint_that_drains_and_is_given_up_ends_the_task_though_rows_are_in_flight() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "400")]);
    let job = run.deploy(None);
    run.asked(400);
    let (kind, target) = (proto::SnapshotKind::Savepoint as i32, format!("{}/savepoint-1", run.directory()));
    let stop = CheckpointBarrier { kind, target, stop: true, drain: true, ..barrier() };
    run.cluster.trigger(&job, &[&job.attempts[0][0]], &stop).unwrap();
    run.acknowledged(&job, 0);
    run.cluster.until("the end", |_| run.service.ended.load(Ordering::SeqCst) == 1);
    run.cluster.notify(&job, 1, Aborted);
    run.end(&job, Failed);
}

/// The coordinator knows it as sent. Failed before where it came after the task had looked for letters: it was behind the state.
#[test]
fn an_event_that_comes_before_the_barrier_is_in_the_state() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "50")]);
    let job = run.deploy(None);
    run.asked(50);
    let ((stopped, has_stopped), (go_on, may_go_on)) = (sync_channel(1), sync_channel(1));
    *run.service.stop.lock() = Some((stopped, may_go_on));
    run.service.open();
    has_stopped.recv().unwrap();
    run.cluster.say(&job, &job.attempts[1][0], b"Calls", b"before");
    run.cluster.trigger(&job, &[&job.attempts[0][0]], &barrier()).unwrap();
    run.acknowledged(&job, 0);
    go_on.send(()).unwrap();
    run.acknowledged(&job, 1);
    assert_eq!(*run.service.heard.lock(), [Bytes::from_static(b"before"), SNAPSHOT]);
    run.finish(&job, 1000);
}

/// More than may be under way at once.
#[test]
fn an_operator_and_its_coordinator_send_each_other_events() {
    let mut run = Run::new(64, &[("rows", "1000"), ("batch", "50"), ("hold", "400")]);
    run.service.greetings.store(100, Ordering::SeqCst);
    let job = run.deploy(None);
    let greetings: Vec<Bytes> = (0..100).map(|greeting: usize| greeting.to_string().into()).collect();
    run.cluster.until("the answers", |_| run.service.heard.lock().len() == 100);
    let said: Vec<_> = (1_u64..).zip(greetings.clone()).collect();
    assert_eq!(run.cluster.job_manager.heard.lock().events, said);
    let mut heard = run.service.heard.lock().clone();
    heard.sort_by_key(|event| String::from_utf8(event.to_vec()).unwrap().parse::<usize>().unwrap());
    assert_eq!(heard, greetings, "each once; the answers are sent side by side here");
    run.finish(&job, 1000);
}
