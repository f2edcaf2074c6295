//! The jobs that are simulated: bounded splits of numbered rows, read by sources, spread by row, and written exactly once by
//! sinks with transactions.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use wiesel_common::id::JobId;
use wiesel_jobmanager::jobmaster::source_coordinator::EnumeratorFactory;
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

/// The uid of the source in every job.
pub const SOURCE: [u8; 16] = [1; 16];
/// The uid of the sink in every job.
pub const SINK: [u8; 16] = [2; 16];

/// What is to be done once, by one job or by several that go on from one another's checkpoints.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its number.
    pub id: u32,
    /// How many splits.
    pub splits: u32,
    /// Rows of each.
    pub rows: u32,
}

impl Workload {
    /// All rows.
    pub fn all_rows(&self) -> usize {
        self.splits as usize * self.rows as usize
    }
}

/// A split, or what is left of one: rows from `next` to `end`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Split {
    /// Which.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// The first row that was not read.
    #[prost(uint32, tag = "2")]
    pub next: u32,
    /// Behind the last.
    #[prost(uint32, tag = "3")]
    pub end: u32,
}

/// A job that does (the rest of) a workload.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// What it does.
    pub workload: Workload,
    /// Subtasks of the source.
    pub sources: u32,
    /// Subtasks of the sink.
    pub sinks: u32,
    /// Each source has a sink of its own, of which there are as many.
    pub forward: bool,
    /// Its keys over the cluster's.
    pub configuration: BTreeMap<String, String>,
}

impl JobPlan {
    /// The job under this id.
    pub fn graph(&self, id: JobId) -> proto::JobGraph {
        let options = [
            ("workload", self.workload.id.to_string()),
            ("splits", self.workload.splits.to_string()),
            ("rows", self.workload.rows.to_string()),
        ];
        let options: BTreeMap<String, String> =
            options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let source =
            proto::SourceSpec { connector: "simulated".into(), options: options.clone(), ..Default::default() };
        let sink = proto::SinkSpec { connector: "simulated".into(), options, ..Default::default() };
        let partitioner = if self.forward { proto::Partitioner::Forward } else { proto::Partitioner::Hash };
        let vertex = |uid: [u8; 16], name: &str, parallelism: u32, kind| proto::JobVertex {
            id: Bytes::copy_from_slice(&uid),
            name: name.into(),
            parallelism,
            max_parallelism: 128.max(parallelism.next_power_of_two()),
            operators: vec![proto::OperatorSpec {
                uid: Bytes::copy_from_slice(&uid),
                name: name.into(),
                kind: Some(kind),
                ..Default::default()
            }],
            ..Default::default()
        };
        proto::JobGraph {
            job_id: id.to_bytes(),
            name: format!("workload {}", self.workload.id),
            vertices: vec![
                vertex(SOURCE, "source", self.sources, Kind::Source(source)),
                vertex(SINK, "sink", self.sinks, Kind::Sink(sink)),
            ],
            edges: vec![proto::JobEdge { source: 0, target: 1, partitioner: partitioner as i32, ..Default::default() }],
            configuration: self.configuration.clone().into_iter().collect(),
            bounded: true,
        }
    }
}

/// Hands out the splits one by one, in order.
struct Enumerator {
    rows: u32,
    /// Their numbers.
    left: BTreeSet<u32>,
}

/// Makes the enumerators of simulated sources.
pub fn enumerators() -> EnumeratorFactory {
    Arc::new(|spec, _| {
        let number = |key: &str| spec.options.get(key).and_then(|value| value.parse().ok());
        match (number("splits"), number("rows")) {
            (Some(splits), Some(rows)) => Ok(Box::new(Enumerator { rows, left: (0..splits).collect() }) as _),
            _ => Err(Error::Plan("not a simulated source".into())),
        }
    })
}

impl SplitEnumerator for Enumerator {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, _: u32, _: &str) -> Result<SplitAssignment> {
        let Some(number) = self.left.pop_first() else { return Ok(SplitAssignment::NoMoreSplits) };
        let split = Split { number, next: 0, end: self.rows };
        Ok(SplitAssignment::Splits(vec![split.encode_to_vec().into()]))
    }

    fn snapshot(&mut self) -> Result<Bytes> {
        Ok(self.left.iter().flat_map(|number| number.to_be_bytes()).collect())
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let numbers = state.chunks(4).map(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
        let numbers: Option<BTreeSet<u32>> = numbers.collect();
        self.left = numbers.ok_or_else(|| Error::Plan("the state of an enumerator has 4 bytes a split".into()))?;
        Ok(())
    }

    fn given(&mut self, given: &[(u32, Bytes)]) -> Result<bool> {
        for (_, split) in given {
            let split = Split::decode(split.clone()).map_err(|error| Error::Plan(error.to_string()))?;
            self.left.remove(&split.number);
        }
        Ok(true)
    }
}
