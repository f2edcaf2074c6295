//! An operator with two inputs, in tasks over real connections.
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, Schema};
use bytes::Bytes;
use common::{Cluster, ROWS, TestOperators, edge, sink, source};
use parking_lot::Mutex;
use wiesel_connectors::collect::CollectTransport;
use wiesel_operators::element::{Batch, MAX_WATERMARK, MIN_WATERMARK};
use wiesel_operators::operator::{BuiltOperator, Collector, Operator, OperatorContext, Result};
use wiesel_operators::source::SourceReader;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Finished, Initializing, Running};
use wiesel_proto::Partitioner;
use wiesel_taskmanager::factory::OperatorFactory;

/// What a subtask of the operator saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// How often each number came, by input.
    numbers: [BTreeMap<i64, u64>; 2],
    /// Inputs, as they ended.
    ended: Vec<usize>,
    /// The last watermark, when all had ended.
    finished_at: Option<i64>,
}

type Board = Arc<Mutex<BTreeMap<u32, Seen>>>;

/// Makes sources of numbers, and the operator under test where the graph has a sink.
struct Operators(Board);

impl OperatorFactory for Operators {
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>> {
        TestOperators.source(spec)
    }

    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        _: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator> {
        let operator = TwoInputs { subtask: context.subtask, watermark: MIN_WATERMARK, board: self.0.clone() };
        Ok(BuiltOperator::new(spec, Box::new(operator), Arc::new(Schema::empty())))
    }
}

struct TwoInputs {
    subtask: u32,
    watermark: i64,
    board: Board,
}

impl TwoInputs {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(self.board.lock().entry(self.subtask).or_default());
    }
}

impl Operator for TwoInputs {
    fn process(&mut self, input: usize, batch: Batch, _: &mut dyn Collector) -> Result<()> {
        for number in batch.records.column(0).as_primitive::<Int64Type>().values() {
            assert!(*number >= self.watermark, "input {input} gave {number} behind watermark {}", self.watermark);
            self.note(|seen| *seen.numbers[input].entry(*number).or_default() += 1);
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        assert!(watermark > self.watermark);
        self.watermark = watermark;
        out.watermark(watermark)
    }

    fn end_input(&mut self, input: usize, _: &mut dyn Collector) -> Result<()> {
        self.note(|seen| seen.ended.push(input));
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Collector) -> Result<()> {
        self.note(|seen| seen.finished_at = Some(self.watermark));
        Ok(())
    }
}

fn named(name: &'static str, mut vertex: proto::JobVertex) -> proto::JobVertex {
    name.clone_into(&mut vertex.name);
    vertex.operators[0].uid = Bytes::from_static(name.as_bytes());
    vertex
}

fn into(source: u32, target: u32, input: u32) -> proto::JobEdge {
    proto::JobEdge { target_input: input, ..edge(source, target, Partitioner::Hash) }
}

/// Input 0 has one edge, input 1 is a union of two. Rows of a key come to the same subtask over each of them, and no watermark
/// is ahead of the slower input.
#[test]
fn an_operator_knows_its_inputs_apart() {
    let board = Board::default();
    let mut cluster = Cluster::start_with(2, 1, &[], Arc::new(Operators(board.clone())));
    let vertices = vec![
        named("Left", source(1, &[])),
        named("Right", source(2, &[])),
        named("More", source(1, &[])),
        named("Both", sink(2, &[])),
    ];
    let job = cluster.submit(vertices, vec![into(0, 3, 0), into(1, 3, 1), into(2, 3, 1)]);
    cluster.finish(&job);
    for attempt in job.attempts.iter().flatten() {
        assert_eq!(cluster.state(attempt), [Initializing, Running, Finished]);
    }
    let board = board.lock();
    assert_eq!(board.len(), 2);
    let mut all: Vec<i64> = Vec::new();
    for seen in board.values() {
        let [left, right] = &seen.numbers;
        assert!(left.len() > 1000, "{}", left.len());
        assert!(left.keys().eq(right.keys()));
        assert!(left.values().all(|count| *count == 1) && right.values().all(|count| *count == 3));
        let mut ended = seen.ended.clone();
        ended.sort_unstable();
        assert_eq!((ended, seen.finished_at), (vec![0, 1], Some(MAX_WATERMARK)));
        all.extend(left.keys());
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..ROWS));
}

/// Failed before: the task kept something for each input up to the highest, however high, and waited for the watermark of one that
/// nothing comes into.
#[test]
fn inputs_that_are_left_out_are_refused() {
    for edges in [vec![into(0, 1, u32::MAX)], vec![into(0, 1, 0), into(0, 1, 2)]] {
        let mut cluster = Cluster::start(1, 1, &[]);
        let job = cluster.try_submit(vec![source(1, &[]), sink(1, &[])], edges);
        let status = job.refused.unwrap();
        assert!(status.message().contains("the edges into `Sink` leave out its input"), "{}", status.message());
    }
}
