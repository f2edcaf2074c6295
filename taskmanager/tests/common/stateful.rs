//! Operators with state, for checkpoints: numbers with a position, counts by number, and what the test wants to go wrong.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use parking_lot::Mutex;
use wiesel_connectors::collect::CollectTransport;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{
    BuiltOperator, Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto as proto;
use wiesel_proto::operator_list_state::Redistribution;
use wiesel_proto::operator_spec::Kind;
use wiesel_state::keyed::SnapshotOptions;
use wiesel_taskmanager::factory::OperatorFactory;

/// What operators and test tell each other.
#[derive(Default)]
pub struct Board {
    /// The counts of every sink that has finished, by subtask.
    pub results: Mutex<HashMap<u32, BTreeMap<i64, u64>>>,
    /// Sinks that are told to be slow stop here until it is set.
    pub open: AtomicBool,
    /// What operators saw of checkpoints: their name and the event.
    pub events: Mutex<Vec<String>>,
    /// What subtasks of sources were restored with.
    pub restored: Mutex<Vec<i64>>,
}

impl Board {
    /// The counts of all sinks.
    pub fn total(&self) -> BTreeMap<i64, u64> {
        let mut total = BTreeMap::new();
        for (value, count) in self.results.lock().values().flatten() {
            *total.entry(*value).or_default() += count;
        }
        total
    }

    fn note(&self, event: String) {
        self.events.lock().push(event);
    }

    pub fn saw(&self, event: &str) -> bool {
        self.events.lock().iter().any(|seen| seen == event)
    }
}

/// Makes them. Options of a source: `rows`, `batch`, `hold` (go on only when the board is open, from this row on). Options of
/// a sink: `slow` (stop until the board is open), `stands` (this subtask does nothing until then), `fail-snapshot`,
/// `panic-snapshot`, `two-phase`, `list-bytes` (of a list in the first snapshot).
pub struct Stateful(pub Arc<Board>);

impl OperatorFactory for Stateful {
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>> {
        let Some(Kind::Source(spec)) = &spec.kind else { return Err(Error::Plan("no source".into())) };
        let number =
            |key: &str, default: i64| spec.options.get(key).map_or(default, |value| value.parse::<i64>().unwrap());
        Ok(Box::new(Positions {
            rows: number("rows", 1000),
            batch: number("batch", 100),
            hold: number("hold", i64::MAX),
            board: self.0.clone(),
            next: None,
            position: 0,
            asked: false,
            request: false,
            end: false,
        }))
    }

    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        _: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator> {
        let operator: Box<dyn Operator> = match &spec.kind {
            Some(Kind::Sink(sink)) => Box::new(Counts {
                name: spec.name.clone(),
                options: sink.options.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
                board: self.0.clone(),
                subtask: context.subtask,
                counts: BTreeMap::new(),
                finished: false,
                prepared: None,
                awaits: false,
            }),
            _ => Box::new(Pass),
        };
        let output = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        Ok(BuiltOperator::new(spec, operator, output))
    }
}

/// Hands rows on.
struct Pass;

impl Operator for Pass {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        out.collect(batch)
    }
}

/// Emits the numbers from 0 to `rows`; its split is the position.
struct Positions {
    rows: i64,
    batch: i64,
    hold: i64,
    board: Arc<Board>,
    /// Where it reads on, while it has a split.
    next: Option<i64>,
    position: i64,
    asked: bool,
    request: bool,
    end: bool,
}

impl SourceReader for Positions {
    fn open(&mut self, _: &OperatorContext) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        let Some(next) = self.next else {
            if self.end {
                return Ok(SourceStatus::EndOfInput);
            }
            self.request = !std::mem::replace(&mut self.asked, true);
            return Ok(SourceStatus::NothingAvailable { until: None });
        };
        if next >= self.hold && !self.board.open.load(Ordering::SeqCst) {
            // Looked at again soon: nothing wakes the reader when it may go on.
            return Ok(SourceStatus::NothingAvailable { until: Some(0) });
        }
        let end = (next + self.batch).min(self.rows);
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let values = (next..end).collect::<Int64Array>();
        out.collect(Batch::insert_only(RecordBatch::try_new(schema, vec![Arc::new(values)])?))?;
        out.watermark(end)?;
        self.position = end;
        self.next = (end < self.rows).then_some(end);
        self.asked = false;
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let position = <[u8; 8]>::try_from(&split[..]).map_or(0, i64::from_le_bytes);
            if split.len() == 8 {
                self.board.restored.lock().push(position);
            }
            self.position = position;
            self.next = (position < self.rows).then_some(position);
        }
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.end = true;
    }

    fn take_split_request(&mut self) -> bool {
        std::mem::take(&mut self.request)
    }

    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        Ok(vec![Bytes::copy_from_slice(&self.position.to_le_bytes())])
    }
}

/// Counts each number; its state is the counts.
struct Counts {
    name: String,
    options: HashMap<String, String>,
    board: Arc<Board>,
    subtask: u32,
    counts: BTreeMap<i64, u64>,
    finished: bool,
    /// The checkpoint that holds what is to be committed at the end.
    prepared: Option<u64>,
    awaits: bool,
}

/// The counts in a task's state.
pub fn counts_of(state: &proto::TaskState) -> BTreeMap<i64, u64> {
    let entries = state.operators.iter().flat_map(|operator| &operator.lists).filter(|list| list.name == "counts");
    entries.flat_map(|list| &list.entries).map(read_entry).collect()
}

/// The position in a source's state.
pub fn position_of(state: &proto::TaskState) -> i64 {
    let entries = state.operators.iter().flat_map(|operator| &operator.lists).filter(|list| list.name == "splits");
    let entry = entries.flat_map(|list| &list.entries).next().unwrap();
    i64::from_le_bytes(entry[..8].try_into().unwrap())
}

fn read_entry(entry: &Bytes) -> (i64, u64) {
    (i64::from_le_bytes(entry[..8].try_into().unwrap()), u64::from_le_bytes(entry[8..].try_into().unwrap()))
}

impl Operator for Counts {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.counts = state.list("counts").iter().map(read_entry).collect();
        Ok(())
    }

    fn process(&mut self, _: usize, batch: Batch, _: &mut dyn Collector) -> Result<()> {
        for value in batch.records.column(0).as_primitive::<Int64Type>().values() {
            *self.counts.entry(*value).or_default() += 1;
        }
        if self.options.contains_key("slow") && !self.board.open.load(Ordering::SeqCst) {
            // As a sink that writes to something slow: one batch at a time.
            std::thread::sleep(Duration::from_millis(30));
        }
        let stands = self.options.get("stands").is_some_and(|subtask| *subtask == self.subtask.to_string());
        while stands && !self.board.open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Collector) -> Result<()> {
        self.finished = true;
        self.awaits = self.options.contains_key("two-phase");
        self.board.note(format!("{} {} finish", self.name, self.subtask));
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let id = options.checkpoint_id.to_string();
        if self.options.get("fail-snapshot") == Some(&id) {
            return Err(Error::External { message: "the state cannot be fixed".into(), source: None });
        }
        assert!(self.options.get("panic-snapshot") != Some(&id), "a panic in a snapshot");
        if self.finished && self.prepared.is_none() {
            self.prepared = Some(options.checkpoint_id);
        }
        let entries =
            self.counts.iter().map(|(value, count)| Bytes::from([value.to_le_bytes(), count.to_le_bytes()].concat()));
        let list = |name: &str, entries| proto::OperatorListState {
            name: name.into(),
            redistribution: Redistribution::Split as i32,
            entries,
        };
        let mut lists = vec![list("counts", entries.collect())];
        if let Some(bytes) = self.options.get("list-bytes").filter(|_| id == "1") {
            lists.push(list("large", vec![vec![0; bytes.parse().unwrap()].into()]));
        }
        Ok(OperatorSnapshot { keyed: None, lists })
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.board.note(format!("{} {} completed {checkpoint_id}", self.name, self.subtask));
        if self.prepared.is_some_and(|prepared| prepared <= checkpoint_id) {
            self.awaits = false;
        }
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.board.note(format!("{} {} aborted {checkpoint_id}", self.name, self.subtask));
        self.prepared = self.prepared.filter(|prepared| *prepared != checkpoint_id);
        Ok(())
    }

    fn awaits_checkpoint(&self) -> bool {
        self.awaits
    }

    fn commit_at_end(&mut self) -> Result<()> {
        self.board.note(format!("{} {} committed at the end", self.name, self.subtask));
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.board.results.lock().insert(self.subtask, std::mem::take(&mut self.counts));
        Ok(())
    }
}
