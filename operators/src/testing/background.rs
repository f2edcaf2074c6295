//! An operator that works on other threads.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use wiesel_common::spawn;
use wiesel_proto as proto;
use wiesel_proto::operator_list_state::Redistribution;
use wiesel_state::keyed::SnapshotOptions;

use super::{batch, fields};
use crate::background::Waker;
use crate::element::{Batch, WatermarkStatus};
use crate::operator::{Collector, Operator, OperatorSnapshot, RestoredState, Result};
use wiesel_expressions::types::TypeKind;

/// The list of an operator's state that has its rows in flight.
pub const IN_FLIGHT: &str = "in flight";
/// Threads of an operator.
const THREADS: usize = 2;

/// Says which work may be done, and knows which is.
#[derive(Default)]
pub struct Pace {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    allowed: BTreeSet<u64>,
    done: BTreeSet<u64>,
    closed: bool,
}

impl Pace {
    /// Lets the batch of this number be worked on, and waits until it is done.
    pub fn let_through(&self, number: u64) {
        let mut state = self.state.lock().unwrap();
        state.allowed.insert(number);
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.done.contains(&number)).unwrap());
    }

    /// Waits until a batch may be worked on. False: it never may.
    fn pass(&self, number: u64) -> bool {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |state| !state.closed && !state.allowed.contains(&number)).unwrap();
        !state.closed
    }

    fn done(&self, number: u64) {
        self.state.lock().unwrap().done.insert(number);
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.changed.notify_all();
    }
}

/// A column of numbers.
pub fn numbers(values: &[i64]) -> Batch {
    batch(&fields(&[("a", TypeKind::Bigint.not_null())]), vec![Arc::new(Int64Array::from(values.to_vec()))])
}

/// What waits for its turn to be emitted.
enum Entry {
    Rows { number: u64, batch: Batch },
    Watermark(i64),
    Status(WatermarkStatus),
}

/// Multiplies a column of numbers by ten, each batch on one of several other threads. Emits in the order in which batches came,
/// whichever is done first; watermarks and statuses keep their places.
pub struct TimesTen {
    pace: Arc<Pace>,
    /// Batches in flight, at most.
    capacity: usize,
    next: u64,
    queue: VecDeque<Entry>,
    in_flight: usize,
    requests: Option<SyncSender<(u64, Batch)>>,
    results: Arc<Mutex<BTreeMap<u64, Batch>>>,
    waker: Waker,
    threads: Vec<JoinHandle<()>>,
    restored: Vec<Batch>,
}

impl TimesTen {
    pub fn new(capacity: usize, pace: &Arc<Pace>) -> Self {
        Self {
            pace: pace.clone(),
            capacity,
            next: 0,
            queue: VecDeque::new(),
            in_flight: 0,
            requests: None,
            results: Arc::default(),
            waker: Waker::default(),
            threads: Vec::new(),
            restored: Vec::new(),
        }
    }

    fn start(&mut self, batch: Batch) {
        let number = self.next;
        self.next += 1;
        self.in_flight += 1;
        self.queue.push_back(Entry::Rows { number, batch: batch.clone() });
        // As many may wait there as may be in flight.
        self.requests.as_ref().unwrap().send((number, batch)).unwrap();
    }

    fn is_first_done(&self) -> bool {
        match self.queue.front() {
            Some(Entry::Rows { number, .. }) => self.results.lock().unwrap().contains_key(number),
            _ => true,
        }
    }

    fn emit(&mut self, out: &mut dyn Collector) -> Result<()> {
        while self.is_first_done() {
            match self.queue.pop_front() {
                Some(Entry::Rows { number, .. }) => {
                    self.in_flight -= 1;
                    let batch = self.results.lock().unwrap().remove(&number).unwrap();
                    out.collect(batch)?;
                }
                Some(Entry::Watermark(watermark)) => out.watermark(watermark)?,
                Some(Entry::Status(status)) => out.status(status)?,
                None => break,
            }
        }
        Ok(())
    }
}

fn work(requests: &Mutex<Receiver<(u64, Batch)>>, results: &Mutex<BTreeMap<u64, Batch>>, pace: &Pace, waker: &Waker) {
    loop {
        let request = requests.lock().unwrap().recv();
        let Ok((number, batch)) = request else { return };
        if !pace.pass(number) {
            return;
        }
        let values = batch.records.column(0).as_primitive::<Int64Type>().values();
        let product: Vec<i64> = values.iter().map(|value| value * 10).collect();
        results.lock().unwrap().insert(number, numbers(&product));
        waker.wake();
        pace.done(number);
    }
}

impl Operator for TimesTen {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        let values = |entry: &Bytes| -> Vec<i64> {
            entry.chunks_exact(8).map(|value| i64::from_le_bytes(value.try_into().unwrap())).collect()
        };
        self.restored = state.list(IN_FLIGHT).iter().map(|entry| numbers(&values(entry))).collect();
        Ok(())
    }

    fn take_waker(&mut self, waker: Waker) -> bool {
        self.waker = waker;
        let (sender, receiver) = sync_channel(self.capacity.max(self.restored.len()));
        self.requests = Some(sender);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let (receiver, results, pace) = (receiver.clone(), self.results.clone(), self.pace.clone());
            let waker = self.waker.clone();
            self.threads.push(spawn::thread("times-ten", move || work(&receiver, &results, &pace, &waker)).unwrap());
        }
        std::mem::take(&mut self.restored).into_iter().for_each(|batch| self.start(batch));
        true
    }

    fn is_available(&self) -> bool {
        self.in_flight < self.capacity
    }

    fn has_rows_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    fn woken(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.emit(out)
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        if !self.is_available() {
            self.waker.wait_until("the oldest of the rows in flight", out, || self.is_first_done())?;
            self.emit(out)?;
        }
        self.start(batch);
        Ok(())
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        match self.queue.back_mut() {
            None => return out.watermark(watermark),
            // So that no more wait than rows.
            Some(Entry::Watermark(last)) => *last = watermark,
            Some(_) => self.queue.push_back(Entry::Watermark(watermark)),
        }
        Ok(())
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        if self.queue.is_empty() {
            return out.status(status);
        }
        self.queue.push_back(Entry::Status(status));
        Ok(())
    }

    fn snapshot(&mut self, _: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let entries = self.queue.iter().filter_map(|entry| match entry {
            Entry::Rows { batch, .. } => {
                let values = batch.records.column(0).as_primitive::<Int64Type>().values();
                Some(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Bytes>())
            }
            _ => None,
        });
        let list = proto::OperatorListState {
            name: IN_FLIGHT.to_owned(),
            redistribution: Redistribution::Split as i32,
            entries: entries.collect(),
        };
        Ok(OperatorSnapshot { keyed: None, lists: vec![list] })
    }

    fn close(&mut self) -> Result<()> {
        self.requests = None;
        self.pace.close();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        Ok(())
    }
}
