//! From a deployment of the JobMaster to tasks that are ready to start.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::{checkpointing, job};
use wiesel_common::id::{AllocationId, AttemptId, JobId, LeaderSessionId};
use wiesel_common::keygroup;
use wiesel_common::notifier::Notifier;
use wiesel_expressions::types::{schema_from_proto, to_arrow_schema};
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::id::PartitionId;
use wiesel_network::options::Flush;
use wiesel_network::{NetworkEnvironment, Partitioner, Waiter};
use wiesel_proto as proto;

use super::input::{InputEdge, Inputs};
use super::output::{OutputEdge, Outputs, edge_schema};
use super::topology;

/// Why a deployment is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The plan contradicts itself.
    #[error("The deployment is malformed: {0}")]
    Malformed(String),
    /// The data plane cannot serve it.
    #[error(transparent)]
    Network(#[from] wiesel_network::Error),
    /// A value in the job's configuration.
    #[error(transparent)]
    Configuration(#[from] wiesel_common::config::ConfigError),
    /// Where the job's state is to be kept.
    #[error(transparent)]
    State(wiesel_state::Error),
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::Malformed(what.into())
}

/// What all tasks of a deployment share.
pub(crate) struct Deployment {
    pub(crate) job: JobId,
    pub(crate) graph: Arc<proto::JobGraph>,
    pub(crate) configuration: Arc<Configuration>,
    session: LeaderSessionId,
    execution: u32,
    task_managers: Vec<String>,
    placements: Vec<proto::VertexPlacement>,
    receiver: u32,
    edges: Vec<Edge>,
    flush: Flush,
    /// Unaligned checkpoints may be taken.
    unaligned: bool,
    /// Tasks whose sinks wait for a checkpoint wait for it before they end: there will be one.
    pub(crate) checkpoints_after_finish: bool,
}

/// An edge of the graph, read.
struct Edge {
    source: usize,
    target: usize,
    input: usize,
    pattern: proto::Partitioner,
    partitioner: Partitioner,
    row: SchemaRef,
    /// The row and the kinds.
    schema: SchemaRef,
    changelog: bool,
}

impl Edge {
    /// Whether barriers may overtake its rows. With another parallelism, rows in flight must go where they belong: by their
    /// key, or anywhere. Rows of a pointwise or broadcast edge belong to one channel, so that Flink excepts them, too.
    fn is_overtakable(&self) -> bool {
        matches!(self.pattern, proto::Partitioner::Hash | proto::Partitioner::Rebalance | proto::Partitioner::Global)
    }
}

/// A task with its ends of the data plane.
pub(crate) struct Prepared {
    pub(crate) vertex: usize,
    pub(crate) subtask: u32,
    pub(crate) attempt: AttemptId,
    pub(crate) attempt_number: u32,
    pub(crate) allocation: AllocationId,
    pub(crate) waiter: Waiter,
    pub(crate) outputs: Outputs,
    pub(crate) inputs: Option<Inputs>,
    pub(crate) restore: Option<proto::TaskRestore>,
}

/// How many key groups a vertex has.
pub(crate) fn max_parallelism(vertex: &proto::JobVertex) -> u32 {
    match vertex.max_parallelism {
        0 => keygroup::default_max_parallelism(vertex.parallelism),
        given => given,
    }
}

impl Deployment {
    /// Reads a deployment. `cluster` is the TaskManager's own configuration, under the job's.
    pub(crate) fn read(request: proto::SubmitTasksRequest, cluster: &Configuration) -> Result<Self, Refusal> {
        let graph = request.graph.ok_or_else(|| malformed("no job graph"))?;
        let job = JobId::from_bytes(&graph.job_id).ok_or_else(|| malformed("a job id of other than 16 bytes"))?;
        let session = LeaderSessionId::from_bytes(&request.fence);
        let session = session.ok_or_else(|| malformed("a fence of other than 16 bytes"))?;
        if request.placements.len() != graph.vertices.len() {
            return Err(malformed("not every vertex is placed"));
        }
        for (vertex, placement) in graph.vertices.iter().zip(&request.placements) {
            let known = placement.task_manager.iter().all(|index| (*index as usize) < request.task_managers.len());
            if placement.task_manager.len() != vertex.parallelism as usize || !known {
                return Err(malformed(format!("the subtasks of `{}` are placed wrongly", vertex.name)));
            }
            if vertex.operators.is_empty() {
                return Err(malformed(format!("`{}` has no operators", vertex.name)));
            }
        }
        let configuration = cluster.merged(graph.configuration.iter().map(|(key, value)| (key.clone(), value.clone())));
        let flush = flush(&configuration)?;
        let unaligned = configuration.get(&checkpointing::UNALIGNED)?;
        let interval = configuration.get_optional(&checkpointing::INTERVAL)?.unwrap_or_default();
        let checkpoints_after_finish = !interval.is_zero() && configuration.get(&checkpointing::AFTER_TASKS_FINISH)?;
        let edges = graph.edges.iter().map(|edge| read_edge(&graph, edge)).collect::<Result<Vec<_>, _>>()?;
        check_inputs(&graph, &edges)?;
        Ok(Self {
            job,
            graph: Arc::new(graph),
            configuration: Arc::new(configuration),
            session,
            execution: request.execution,
            task_managers: request.task_managers,
            placements: request.placements,
            receiver: request.receiver,
            edges,
            flush,
            unaligned,
            checkpoints_after_finish,
        })
    }

    /// The number of this run of the job, the same as in the barriers of its checkpoints.
    pub(crate) fn run(&self) -> u64 {
        self.session.run()
    }

    /// Creates the partitions of all tasks, then their gates: a gate finds what is in this process. All or nothing.
    pub(crate) fn prepare(
        &self,
        tasks: &[proto::TaskDeployment],
        network: &NetworkEnvironment,
    ) -> Result<Vec<Prepared>, Refusal> {
        let mut prepared =
            tasks.iter().map(|task| self.prepare_outputs(task, network)).collect::<Result<Vec<_>, _>>()?;
        for task in &mut prepared {
            task.inputs = self.prepare_inputs(task, network)?;
        }
        Ok(prepared)
    }

    fn prepare_outputs(&self, task: &proto::TaskDeployment, network: &NetworkEnvironment) -> Result<Prepared, Refusal> {
        let vertex = task.vertex as usize;
        let described = self.graph.vertices.get(vertex).ok_or_else(|| malformed("a task of no vertex"))?;
        if task.subtask >= described.parallelism {
            return Err(malformed(format!("`{}` has no subtask {}", described.name, task.subtask)));
        }
        let waiter = Waiter::new(Arc::new(Notifier::default()));
        let mut edges = Vec::new();
        for (position, edge) in self.edges.iter().enumerate().filter(|(_, edge)| edge.source == vertex) {
            let consumers = &self.graph.vertices[edge.target];
            let targets = topology::consumers(edge.pattern, task.subtask, described.parallelism, consumers.parallelism);
            let descriptor = PartitionDescriptor {
                id: self.partition(position, task.subtask),
                consumers: targets.map(|consumer| (consumer, !self.is_local(edge.target, consumer))).collect(),
                partitioner: edge.partitioner.clone(),
                schema: edge.schema.clone(),
                flush: self.flush,
                overdraft: self.unaligned,
            };
            edges.push(OutputEdge {
                partition: network.create_partition(descriptor, waiter.clone())?,
                schema: edge.schema.clone(),
                changelog: edge.changelog,
                overtakable: edge.is_overtakable(),
            });
        }
        let id = |bytes, what| AllocationId::from_bytes(bytes).ok_or_else(|| malformed(what));
        Ok(Prepared {
            vertex,
            subtask: task.subtask,
            attempt: AttemptId::from_bytes(&task.attempt_id).ok_or_else(|| malformed("a task without attempt id"))?,
            attempt_number: task.attempt_number,
            allocation: id(&task.allocation_id, "a task without allocation id")?,
            outputs: Outputs { edges, waiter: waiter.clone() },
            waiter,
            inputs: None,
            restore: task.restore.clone(),
        })
    }

    fn prepare_inputs(&self, task: &Prepared, network: &NetworkEnvironment) -> Result<Option<Inputs>, Refusal> {
        let parallelism = self.graph.vertices[task.vertex].parallelism;
        let mut edges = Vec::new();
        for (position, edge) in self.edges.iter().enumerate().filter(|(_, edge)| edge.target == task.vertex) {
            let sources = topology::producers(
                edge.pattern,
                task.subtask,
                self.graph.vertices[edge.source].parallelism,
                parallelism,
            );
            let first_producer = sources.start;
            let producers = sources.map(|producer| {
                let address = (!self.is_local(edge.source, producer)).then(|| self.address(edge.source, producer));
                (self.partition(position, producer), address)
            });
            let descriptor =
                GateDescriptor { producers: producers.collect(), consumer: task.subtask, schema: edge.schema.clone() };
            let gate = network.create_gate(descriptor, task.waiter.notifier().clone())?;
            let keys = match &edge.partitioner {
                Partitioner::Hash { keys, .. } => Some(keys.clone()),
                _ => None,
            };
            edges.push(InputEdge {
                first_producer,
                overtakable: edge.is_overtakable(),
                ..InputEdge::new(gate, edge.input, edge.row.clone(), edge.changelog, keys)
            });
        }
        Ok((!edges.is_empty()).then(|| Inputs::new(edges)))
    }

    fn partition(&self, edge: usize, producer: u32) -> PartitionId {
        PartitionId { job: self.job, session: self.session, execution: self.execution, edge: edge as u32, producer }
    }

    fn is_local(&self, vertex: usize, subtask: u32) -> bool {
        self.placements[vertex].task_manager[subtask as usize] == self.receiver
    }

    fn address(&self, vertex: usize, subtask: u32) -> String {
        self.task_managers[self.placements[vertex].task_manager[subtask as usize] as usize].clone()
    }
}

fn read_edge(graph: &proto::JobGraph, edge: &proto::JobEdge) -> Result<Edge, Refusal> {
    let (source, target) = (edge.source as usize, edge.target as usize);
    let consumer = graph.vertices.get(target).ok_or_else(|| malformed("an edge to no vertex"))?;
    if source >= graph.vertices.len() {
        return Err(malformed("an edge from no vertex"));
    }
    let fields = schema_from_proto(edge.schema.as_ref()).map_err(|error| malformed(error.to_string()))?;
    let row = to_arrow_schema(&fields);
    let schema = edge_schema(&row, edge.changelog);
    let pattern = edge.partitioner();
    let partitioner = match pattern {
        proto::Partitioner::Forward => Partitioner::Forward,
        proto::Partitioner::Rebalance => Partitioner::Rebalance,
        proto::Partitioner::Rescale => Partitioner::Rescale,
        proto::Partitioner::Broadcast => Partitioner::Broadcast,
        proto::Partitioner::Global => Partitioner::Global,
        proto::Partitioner::Hash => Partitioner::Hash {
            keys: edge.keys.iter().map(|key| *key as usize).collect(),
            max_parallelism: max_parallelism(consumer),
        },
    };
    if pattern == proto::Partitioner::Forward && graph.vertices[source].parallelism != consumer.parallelism {
        return Err(malformed("a forward edge between vertices of different parallelism"));
    }
    Ok(Edge {
        source,
        target,
        input: edge.target_input as usize,
        pattern,
        partitioner,
        row,
        schema,
        changelog: edge.changelog,
    })
}

/// Whether the edges into each vertex number its inputs from 0 on: a task keeps something for each up to the highest, and waits for
/// the watermark of each.
fn check_inputs(graph: &proto::JobGraph, edges: &[Edge]) -> Result<(), Refusal> {
    let mut inputs: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for edge in edges {
        inputs.entry(edge.target).or_default().insert(edge.input);
    }
    for (target, inputs) in inputs {
        if let Some((missing, _)) = inputs.iter().enumerate().find(|(number, input)| number != *input) {
            let name = &graph.vertices[target].name;
            return Err(malformed(format!("the edges into `{name}` leave out its input {missing}")));
        }
    }
    Ok(())
}

fn flush(configuration: &Configuration) -> Result<Flush, Refusal> {
    if !configuration.get(&job::BUFFER_TIMEOUT_ENABLED)? {
        return Ok(Flush::WhenFull);
    }
    let interval = configuration.get(&job::BUFFER_TIMEOUT)?;
    Ok(if interval == Duration::ZERO { Flush::Always } else { Flush::After(interval) })
}
