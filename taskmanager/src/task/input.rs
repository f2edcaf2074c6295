//! The beginning of a chain that is no source: rows out of the gates, watermarks and ends combined over channels.
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int8Type, SchemaRef};
use wiesel_network::{Element, Event, InputGate};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::watermark_valve::{Advance, CombinedWatermark, WatermarkValve};

use super::checkpoint::alignment::Due;
use super::checkpoint::barriers::Barriers;
use super::checkpoint::channel_state::{Channel, ChannelRows};
use super::failure::from_network;

/// One edge that enters the task.
pub(crate) struct InputEdge {
    pub(crate) gate: InputGate,
    /// Which input of the head operator it belongs to.
    pub(crate) input: usize,
    /// The columns of its rows, without those below.
    pub(crate) schema: SchemaRef,
    /// A column with the kinds follows the row's.
    pub(crate) changelog: bool,
    /// The columns by whose key group its rows come here; none: they come for another reason.
    pub(crate) keys: Option<Vec<usize>>,
    /// The first of the producing subtasks.
    pub(crate) first_producer: u32,
    /// Whether barriers may overtake its rows.
    pub(crate) overtakable: bool,
    /// Its first channel among all channels of the input.
    pub(super) first_channel: usize,
    /// Its first channel among all channels of the task.
    pub(super) offset: usize,
    /// Channels over which everything came again that was in flight.
    pub(super) replayed: usize,
}

impl InputEdge {
    pub(crate) fn new(
        gate: InputGate,
        input: usize,
        schema: SchemaRef,
        changelog: bool,
        keys: Option<Vec<usize>>,
    ) -> Self {
        Self {
            gate,
            input,
            schema,
            changelog,
            keys,
            first_producer: 0,
            overtakable: false,
            first_channel: 0,
            offset: 0,
            replayed: 0,
        }
    }

    /// Whether all came again over it that was in flight. Only what barriers may overtake can have been in flight.
    fn is_replayed(&self) -> bool {
        !self.overtakable || self.replayed == self.gate.channels()
    }

    /// The channel's name in a checkpoint; `edge` is this edge's position.
    pub(super) fn channel(&self, edge: usize, channel: usize) -> Channel {
        Channel { edge: edge as u32, output: false, subtask: self.first_producer + channel as u32 }
    }

    /// Takes apart what [`super::output`] put together.
    fn unpack(&self, records: RecordBatch) -> Result<Batch> {
        let rows = records.num_rows();
        let mut columns = records.columns().to_vec();
        let missing = || Error::Plan("a batch came in without the columns that its edge announces".into());
        let kinds = match self.changelog {
            true => {
                let column = columns.pop().ok_or_else(missing)?;
                Some(column.as_primitive_opt::<Int8Type>().ok_or_else(missing)?.clone())
            }
            false => None,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(Batch { records, kinds })
    }
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Rows for an input of the head operator.
    Batch(usize, Batch),
    /// The watermark and the status over all inputs.
    Advance(Advance),
    /// A channel has ended, and with it maybe an input. What is due for checkpoints comes first.
    Ended(Vec<Due>, Option<usize>),
    /// A barrier: what is due for checkpoints.
    Checkpoint(Vec<Due>),
}

/// All inputs of a task.
pub(crate) struct Inputs {
    pub(super) edges: Vec<InputEdge>,
    valves: Vec<WatermarkValve>,
    /// Channels that have not ended, for each input.
    open: Vec<usize>,
    combined: CombinedWatermark,
    /// The edge that is polled first.
    turn: usize,
    pub(super) barriers: Barriers,
    /// When the barriers of checkpoints overtake that wait behind rows in channels.
    pub(super) waiting: BTreeMap<u64, Instant>,
    /// For each unaligned checkpoint, the rows between its snapshot and its barriers.
    pub(super) recorded: BTreeMap<u64, ChannelRows>,
    /// Rows that were in flight when the state was written that the task starts from. They come first.
    pub(super) replay: VecDeque<(Channel, RecordBatch)>,
    /// Not everything has come yet that was in flight then. Nothing new is read before, and no barrier overtakes: with another
    /// parallelism rows of a key may have been in flight from one producer and be new from another, and their order would be
    /// lost in a state that holds both as rows in flight.
    pub(super) replaying: bool,
    stopped: bool,
}

impl Inputs {
    /// Edges into inputs 0 to the highest named.
    pub(crate) fn new(mut edges: Vec<InputEdge>) -> Self {
        let inputs = edges.iter().map(|edge| edge.input + 1).max().unwrap_or(0);
        let mut open = vec![0; inputs];
        let mut channels = 0;
        for edge in &mut edges {
            edge.first_channel = open[edge.input];
            edge.offset = channels;
            open[edge.input] += edge.gate.channels();
            channels += edge.gate.channels();
        }
        let valves = open.iter().map(|channels| WatermarkValve::new(*channels)).collect();
        let replaying = edges.iter().any(|edge| edge.overtakable);
        Self {
            edges,
            valves,
            open,
            combined: CombinedWatermark::new(inputs),
            turn: 0,
            barriers: Barriers::new(channels),
            waiting: BTreeMap::new(),
            recorded: BTreeMap::new(),
            replay: VecDeque::new(),
            replaying,
            stopped: false,
        }
    }

    /// Whether a producer ended because the job is stopped, and not because everything was read.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The inputs that have not ended.
    pub(crate) fn not_ended(&self) -> Vec<usize> {
        (0..self.open.len()).filter(|input| self.open[*input] > 0).collect()
    }

    /// Rows and bytes that came in.
    pub(crate) fn counters(&self) -> (u64, u64) {
        self.edges
            .iter()
            .map(|edge| edge.gate.counters())
            .fold((0, 0), |(r, b), (records, bytes)| (r + records, b + bytes))
    }

    /// Whether every channel of every input has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.open.iter().all(|open| *open == 0)
    }

    /// The next element; edges take turns. None: nothing is there now.
    pub(crate) fn poll(&mut self, now: Instant) -> Result<Option<Incoming>> {
        if let Some((channel, records)) = self.replay.pop_front() {
            self.settle_replay();
            let edge = &self.edges[channel.edge as usize];
            return Ok(Some(Incoming::Batch(edge.input, edge.unpack(records)?)));
        }
        self.poll_gates(now, InputGate::poll)
    }

    /// The next element that no rows of its channel are before, and that is none itself: the chain takes no rows now.
    pub(crate) fn poll_events(&mut self, now: Instant) -> Result<Option<Incoming>> {
        // What is in flight comes before everything else.
        if self.replay.is_empty() { self.poll_gates(now, InputGate::poll_events) } else { Ok(None) }
    }

    fn poll_gates(
        &mut self,
        now: Instant,
        poll: impl Fn(&mut InputGate) -> wiesel_network::Result<Option<(usize, Element)>>,
    ) -> Result<Option<Incoming>> {
        for _ in 0..self.edges.len() {
            let at = self.turn;
            self.turn = (self.turn + 1) % self.edges.len();
            if let Some((channel, element)) = poll(&mut self.edges[at].gate).map_err(from_network)? {
                return self.handle(at, channel, element, now).map(Some);
            }
        }
        Ok(None)
    }

    /// A producer has sent again what was in flight: its channel waits for all others.
    fn channel_replayed(&mut self, at: usize, channel: usize) {
        let edge = &mut self.edges[at];
        edge.gate.block(channel);
        edge.replayed += 1;
        self.settle_replay();
    }

    /// Lets the new rows in if everything has come that was in flight.
    fn settle_replay(&mut self) {
        if !self.replaying || !self.replay.is_empty() || !self.edges.iter().all(InputEdge::is_replayed) {
            return;
        }
        self.replaying = false;
        for edge in self.edges.iter_mut().filter(|edge| edge.overtakable) {
            (0..edge.replayed).for_each(|channel| edge.gate.resume(channel));
        }
        if self.edges.iter().all(|edge| edge.overtakable) {
            self.barriers.allow_overtaking();
        }
    }

    fn handle(&mut self, at: usize, gate_channel: usize, element: Element, now: Instant) -> Result<Incoming> {
        let edge = &self.edges[at];
        let (input, channel) = (edge.input, edge.first_channel + gate_channel);
        let valve = &mut self.valves[input];
        let advance = match element {
            Element::Batch(records) => {
                if let Some(checkpoint) = self.barriers.records(edge.offset + gate_channel) {
                    let name = edge.channel(at, gate_channel);
                    self.recorded.entry(checkpoint).or_default().add(name, records.clone());
                }
                return Ok(Incoming::Batch(input, edge.unpack(records)?));
            }
            Element::Event(Event::Watermark(watermark)) => valve.watermark(channel, watermark),
            Element::Event(Event::Idle) => valve.status(channel, WatermarkStatus::Idle),
            Element::Event(Event::Active) => valve.status(channel, WatermarkStatus::Active),
            Element::Event(Event::Barrier(barrier)) => {
                return self.barrier(at, gate_channel, &barrier, now).map(Incoming::Checkpoint);
            }
            Element::Event(Event::Replayed) => {
                self.channel_replayed(at, gate_channel);
                return Ok(Incoming::Checkpoint(Vec::new()));
            }
            Element::Event(end @ (Event::EndOfInput | Event::Stopped)) => {
                self.stopped |= end == Event::Stopped;
                self.open[input] -= 1;
                let ended = (self.open[input] == 0).then_some(input);
                return Ok(Incoming::Ended(self.channel_ended(at, gate_channel), ended));
            }
        };
        Ok(Incoming::Advance(self.combine(input, advance)))
    }

    fn combine(&mut self, input: usize, advance: Advance) -> Advance {
        let mut combined = Advance::default();
        if let Some(watermark) = advance.watermark {
            let step = self.combined.watermark(input, watermark);
            combined = Advance { watermark: step.watermark, status: step.status };
        }
        if let Some(status) = advance.status {
            let step = self.combined.status(input, status);
            combined =
                Advance { watermark: step.watermark.or(combined.watermark), status: step.status.or(combined.status) };
        }
        combined
    }
}
