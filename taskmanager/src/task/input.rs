//! The beginning of a chain that is no source: rows out of the gates, watermarks and ends combined over channels.
use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int8Type, SchemaRef, UInt64Type};
use wiesel_network::{Element, Event, InputGate};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::watermark_valve::{Advance, CombinedWatermark, WatermarkValve};

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
    /// A column with the hashes comes last.
    pub(crate) hashed: bool,
    /// Its first channel among all channels of the input.
    first_channel: usize,
}

impl InputEdge {
    pub(crate) fn new(gate: InputGate, input: usize, schema: SchemaRef, changelog: bool, hashed: bool) -> Self {
        Self { gate, input, schema, changelog, hashed, first_channel: 0 }
    }

    /// Takes apart what [`super::output`] and the partitioner put together.
    fn unpack(&self, records: RecordBatch) -> Result<Batch> {
        let rows = records.num_rows();
        let mut columns = records.columns().to_vec();
        let missing = || Error::Plan("a batch came in without the columns that its edge announces".into());
        let hashes = match self.hashed {
            true => {
                let column = columns.pop().ok_or_else(missing)?;
                Some(column.as_primitive_opt::<UInt64Type>().ok_or_else(missing)?.clone())
            }
            false => None,
        };
        let kinds = match self.changelog {
            true => {
                let column = columns.pop().ok_or_else(missing)?;
                Some(column.as_primitive_opt::<Int8Type>().ok_or_else(missing)?.clone())
            }
            false => None,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(Batch { records, kinds, hashes })
    }
}

/// What the head operator gets.
#[derive(Debug)]
pub(crate) enum Incoming {
    Batch(usize, Batch),
    /// The watermark and the status over all inputs.
    Advance(Advance),
    /// An input has ended.
    EndOfInput(usize),
    /// Something came that does not concern the head operator.
    Nothing,
}

/// All inputs of a task.
pub(crate) struct Inputs {
    edges: Vec<InputEdge>,
    valves: Vec<WatermarkValve>,
    /// Channels that have not ended, for each input.
    open: Vec<usize>,
    combined: CombinedWatermark,
    /// The edge that is polled first.
    turn: usize,
}

impl Inputs {
    /// Edges into inputs 0 to the highest named.
    pub(crate) fn new(mut edges: Vec<InputEdge>) -> Self {
        let inputs = edges.iter().map(|edge| edge.input + 1).max().unwrap_or(0);
        let mut open = vec![0; inputs];
        for edge in &mut edges {
            edge.first_channel = open[edge.input];
            open[edge.input] += edge.gate.channels();
        }
        let valves = open.iter().map(|channels| WatermarkValve::new(*channels)).collect();
        Self { edges, valves, open, combined: CombinedWatermark::new(inputs), turn: 0 }
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
    pub(crate) fn poll(&mut self) -> Result<Option<Incoming>> {
        for _ in 0..self.edges.len() {
            let at = self.turn;
            self.turn = (self.turn + 1) % self.edges.len();
            if let Some((channel, element)) = self.edges[at].gate.poll().map_err(from_network)? {
                return self.handle(at, channel, element).map(Some);
            }
        }
        Ok(None)
    }

    fn handle(&mut self, at: usize, channel: usize, element: Element) -> Result<Incoming> {
        let edge = &self.edges[at];
        let (input, channel) = (edge.input, edge.first_channel + channel);
        let valve = &mut self.valves[input];
        let advance = match element {
            Element::Batch(records) => return Ok(Incoming::Batch(input, edge.unpack(records)?)),
            Element::Event(Event::Watermark(watermark)) => valve.watermark(channel, watermark),
            Element::Event(Event::Idle) => valve.status(channel, WatermarkStatus::Idle),
            Element::Event(Event::Active) => valve.status(channel, WatermarkStatus::Active),
            Element::Event(Event::EndOfInput) => {
                self.open[input] -= 1;
                return Ok(if self.open[input] == 0 { Incoming::EndOfInput(input) } else { Incoming::Nothing });
            }
            Element::Event(Event::Barrier { .. }) => {
                return Err(Error::Plan("a checkpoint barrier came although checkpointing is off".into()));
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
