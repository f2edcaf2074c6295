//! The stream plan: a graph of physical operators, inputs before their readers.
use std::collections::BTreeMap;
use std::sync::Arc;

use wiesel_connectors::factory::ChangelogMode;
use wiesel_operators::expression::Expression;
use wiesel_operators::types::RowField;
use wiesel_proto as proto;

use super::expressions::{Path, is_deterministic};
use crate::catalog::ResolvedTable;
use crate::rel::{Aggregate, Window};

/// A position in [`Plan::nodes`].
pub(crate) type NodeId = usize;

/// The stream plan of a job.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Inputs stand before their readers.
    pub nodes: Vec<PlanNode>,
    /// The sinks, or the query's last operators for EXPLAIN.
    pub roots: Vec<NodeId>,
    digests: BTreeMap<String, NodeId>,
}

/// An operator of the plan.
#[derive(Debug)]
pub(crate) struct PlanNode {
    /// What it does.
    pub op: Op,
    /// Where its rows come from.
    pub inputs: Vec<NodeId>,
    /// Its columns.
    pub fields: Vec<RowField>,
    /// Which changes it emits.
    pub changes: Changes,
}

/// Which kinds of change an operator emits, beside inserts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// +U.
    pub update: bool,
    /// -U before each +U.
    pub before: bool,
    /// -D.
    pub delete: bool,
}

impl Changes {
    /// Only inserts.
    pub const INSERT_ONLY: Self = Self { update: false, before: false, delete: false };

    /// Rows carry a kind.
    pub fn is_changelog(self) -> bool {
        self != Self::INSERT_ONLY
    }
}

/// The operators.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Reads a table.
    Source(Source),
    /// Constant rows.
    Values(Vec<Vec<Expression>>),
    /// Filters, then projects.
    Calc { condition: Option<Expression>, projection: Vec<Expression> },
    /// Makes watermarks.
    WatermarkAssigner { rowtime: usize, watermark: Expression },
    /// Groups without windows.
    GroupAggregate { keys: Vec<usize>, aggregates: Vec<Aggregate> },
    /// Groups by window, in one phase or one of two.
    WindowAggregate { phase: proto::WindowPhase, aggregate: WindowAggregate },
    /// Appends the window's columns.
    WindowTableFunction { window: Window, event_time: bool },
    /// Brings rows of a key together.
    Exchange(Distribution),
    /// All rows of all inputs.
    Union,
    /// Writes a table.
    Sink(Sink),
    /// Hands rows to the client.
    Collect,
}

/// Where an exchange sends rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// By the hash of these columns.
    Hash(Vec<usize>),
    /// All to one.
    Single,
}

/// A table to read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub table: Arc<ResolvedTable>,
    pub projection: Vec<Path>,
    pub filters: Vec<Expression>,
    pub bounded: bool,
    /// `scan.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it emits.
    pub emits: ChangelogMode,
}

/// Aggregates by window; columns are those of the raw rows.
#[derive(Clone, Debug)]
pub(crate) struct WindowAggregate {
    pub input: Vec<RowField>,
    pub keys: Vec<usize>,
    pub aggregates: Vec<Aggregate>,
    /// Names of the aggregates' columns, for EXPLAIN and for accumulators.
    pub names: Vec<String>,
    pub window: Window,
    pub event_time: bool,
    pub properties: Vec<proto::WindowProperty>,
}

/// A table to write.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub table: Arc<ResolvedTable>,
    /// `sink.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it takes.
    pub takes: ChangelogMode,
    /// The persisted columns declared NOT NULL whose values may be null.
    pub not_null: Vec<usize>,
    /// Primary key, as positions in its input.
    pub primary_key: Vec<usize>,
}

impl Plan {
    /// Adds an operator, or finds the equal one that is there already.
    pub fn add(&mut self, op: Op, inputs: Vec<NodeId>, fields: Vec<RowField>) -> NodeId {
        let digest = shareable(&op).then(|| format!("{}|{inputs:?}|{fields:?}", digest(&op)));
        if let Some(found) = digest.as_ref().and_then(|digest| self.digests.get(digest)) {
            return *found;
        }
        let id = self.add_alone(op, inputs, fields);
        if let Some(digest) = digest {
            self.digests.insert(digest, id);
        }
        id
    }

    /// Adds an operator that stands for itself.
    pub fn add_alone(&mut self, op: Op, inputs: Vec<NodeId>, fields: Vec<RowField>) -> NodeId {
        self.nodes.push(PlanNode { op, inputs, fields, changes: Changes::default() });
        self.nodes.len() - 1
    }

    /// Forgets what could be shared: what is added from now on stands for itself.
    pub fn stop_sharing(&mut self) {
        self.digests.clear();
    }

    /// How many operators read each.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| readers[*input] += 1);
        readers
    }

    /// All tables it reads end.
    pub fn is_bounded(&self) -> bool {
        self.nodes.iter().all(|node| match &node.op {
            Op::Source(source) => source.bounded,
            _ => true,
        })
    }
}

/// Whether two equal operators over equal inputs may be one: they write nothing and compute nothing at random.
fn shareable(op: &Op) -> bool {
    match op {
        Op::Sink(_) | Op::Collect => false,
        Op::Calc { condition, projection } => projection.iter().chain(condition).all(is_deterministic),
        _ => true,
    }
}

/// What an operator does, as text that is equal for equal operators.
fn digest(op: &Op) -> String {
    match op {
        Op::Source(Source { table, projection, filters, .. }) => {
            format!("Source {} {:?} {projection:?} {filters:?}", table.identifier, table.options)
        }
        Op::Sink(Sink { table, .. }) => format!("Sink {} {:?}", table.identifier, table.options),
        op => format!("{op:?}"),
    }
}
