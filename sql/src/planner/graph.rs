//! From the stream plan to the job graph: parallelism, edges, chains, ids.
use std::collections::BTreeMap;

use wiesel_common::id::{JobId, OperatorId};
use wiesel_common::quote::{bound_description, bound_task_name, message};
use wiesel_expressions::expression::LOCAL_TIME_ZONE;
use wiesel_expressions::types::schema_to_proto;
use wiesel_proto as proto;

use super::Context;
use super::explain;
use super::identity;
use super::operators::{Distribution, Edge};
use super::options::PlannerOptions;
use super::physical::{NodeId, Plan};
use super::specs::indexes;
use crate::error::{Error, Result};

/// How rows come from one operator to another, exchanges and unions resolved.
#[derive(Clone, Debug)]
struct Link {
    source: NodeId,
    target: NodeId,
    /// Which input of the target it is.
    input: usize,
    partitioner: proto::Partitioner,
    keys: Vec<u32>,
}

/// A job graph, and where its operators stand in the plan that it was made of.
pub(crate) struct PlannedGraph {
    pub graph: proto::JobGraph,
    /// For each vertex the operators of its chain.
    pub chains: Vec<Vec<NodeId>>,
}

impl PlannedGraph {
    /// The operator with the rows of a query, which the client fetches by its uid, and whether it gets changes.
    ///
    /// # Errors
    /// The plan is of another statement.
    pub fn collect_operator(&self, plan: &Plan) -> Result<(OperatorId, bool)> {
        let found = plan.roots.first().and_then(|root| {
            let uid = OperatorId::from_bytes(&self.operator(*root)?.uid)?;
            Some((uid, plan.place(*root).input(0).changes.is_changelog()))
        });
        found.ok_or_else(|| Error::unsupported("a query without a collect sink", None))
    }

    /// An operator of the plan; none: it is an edge.
    fn operator(&self, id: NodeId) -> Option<&proto::OperatorSpec> {
        self.chains.iter().zip(&self.graph.vertices).find_map(|(chain, vertex)| {
            let position = chain.iter().position(|other| *other == id)?;
            vertex.operators.get(position)
        })
    }
}

/// The job graph of a plan. Its configuration has the time zone that it was planned with, which its tasks have then as well.
///
/// # Errors
/// A sink whose parallelism tears changes of one row apart.
pub(crate) fn job_graph(
    plan: &Plan,
    name: String,
    mut configuration: BTreeMap<String, String>,
    context: &Context,
) -> Result<PlannedGraph> {
    configuration.insert(LOCAL_TIME_ZONE.to_owned(), context.evaluation.zone.to_string());
    let options = &context.options;
    let parallelism = parallelism(plan, options);
    let links = links(plan, &parallelism)?;
    let uids = identity::uids(plan)?;
    let numbers = explain::numbers(plan);
    let heads = heads(plan, &links, &parallelism, options);

    let mut vertex_of = vec![usize::MAX; plan.nodes.len()];
    let mut vertices: Vec<proto::JobVertex> = Vec::new();
    let mut chains: Vec<Vec<NodeId>> = Vec::new();
    for (id, node) in plan.nodes.iter().enumerate() {
        let Some(kind) = node.op.spec(&plan.place(id), options)? else { continue };
        let operator = proto::OperatorSpec {
            uid: uids[id].to_vec().into(),
            name: explain::name(plan, id, &numbers),
            output: Some(schema_to_proto(&node.fields)),
            output_changelog: node.changes.is_changelog(),
            kind: Some(kind),
        };
        match heads[id] {
            Some(producer) => {
                let vertex = vertex_of[producer];
                vertices[vertex].operators.push(operator);
                chains[vertex].push(id);
                vertex_of[id] = vertex;
            }
            None => {
                vertex_of[id] = vertices.len();
                chains.push(vec![id]);
                vertices.push(proto::JobVertex {
                    parallelism: parallelism[id],
                    max_parallelism: options.max_parallelism,
                    operators: vec![operator],
                    ..proto::JobVertex::default()
                });
            }
        }
    }
    for (vertex, chain) in vertices.iter_mut().zip(&chains) {
        let names: Vec<&str> = vertex.operators.iter().map(|operator| operator.name.as_str()).collect();
        let described =
            chain.iter().map(|id| message(format!("[{}]:{}", numbers[*id], explain::describe_as_executed(plan, *id))));
        let described: Vec<String> = described.collect();
        vertex.name = names.join(" -> ");
        bound_task_name(&mut vertex.name);
        vertex.description = described.join("\n+- ");
        bound_description(&mut vertex.description);
        // A chain behind a shuffle is known by its head, whose state it is: what stands behind may change.
        let is_source = plan.nodes[chain[0]].inputs.is_empty();
        let named_by = if is_source { vertex.operators.len() } else { 1 };
        let uids = vertex.operators[..named_by].iter();
        vertex.id = identity::of_chain(uids.map(|operator| &operator.uid[..])).to_vec().into();
    }
    let crosses = |link: &&Link| vertex_of[link.source] != vertex_of[link.target];
    let edges = links.iter().filter(crosses).map(|link| proto::JobEdge {
        source: vertex_of[link.source] as u32,
        target: vertex_of[link.target] as u32,
        target_input: link.input as u32,
        partitioner: link.partitioner.into(),
        keys: link.keys.clone(),
        schema: Some(schema_to_proto(&plan.nodes[link.source].fields)),
        changelog: plan.nodes[link.source].changes.is_changelog(),
    });
    let edges = edges.collect();
    let job_id = JobId::random().to_bytes();
    let graph = proto::JobGraph { job_id, name, vertices, edges, configuration, bounded: plan.bounded };
    Ok(PlannedGraph { graph, chains })
}

/// How many subtasks each operator has: Flink's rules.
fn parallelism(plan: &Plan, options: &PlannerOptions) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let bound = node.inputs.iter().map(|input| plan.nodes[*input].op.binds_readers_to(all[*input], options));
        let inherited = bound.max().unwrap_or(options.parallelism);
        all.push(node.op.parallelism(inherited, options));
    }
    all
}

/// The edges between operators that run.
fn links(plan: &Plan, parallelism: &[u32]) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for (target, node) in plan.nodes.iter().enumerate() {
        if node.op.edge().is_some() {
            continue;
        }
        for (input, behind) in node.inputs.iter().enumerate() {
            for (source, distribution) in producers(plan, *behind) {
                let equal = parallelism[source] == parallelism[target];
                let (partitioner, keys) = match distribution {
                    Some(Distribution::Hash(keys)) => (proto::Partitioner::Hash, indexes(&keys)),
                    Some(Distribution::Single) => (proto::Partitioner::Global, Vec::new()),
                    None if equal => (proto::Partitioner::Forward, Vec::new()),
                    None => spread(plan, source, target, parallelism)?,
                };
                links.push(Link { source, target, input, partitioner, keys });
            }
        }
    }
    Ok(links)
}

/// The operators behind exchanges and unions, with the exchange on the way.
fn producers(plan: &Plan, id: NodeId) -> Vec<(NodeId, Option<Distribution>)> {
    let node = &plan.nodes[id];
    let behind = node.inputs.iter().flat_map(|input| producers(plan, *input));
    match node.op.edge() {
        None => vec![(id, None)],
        Some(Edge::Union) => behind.collect(),
        Some(Edge::Exchange(distribution)) => behind.map(|(source, _)| (source, Some(distribution.clone()))).collect(),
    }
}

/// How rows go to another number of subtasks. The changes of a row must stay in order: a sink gets them by primary key. Without one
/// a single subtask gets all, as where a member of a UNION ALL has one subtask and another one has more.
fn spread(plan: &Plan, source: NodeId, target: NodeId, parallelism: &[u32]) -> Result<(proto::Partitioner, Vec<u32>)> {
    if !plan.nodes[source].changes.is_changelog() || parallelism[target] == 1 {
        return Ok((proto::Partitioner::Rebalance, Vec::new()));
    }
    Ok(match plan.nodes[target].op.keys_of_changes(parallelism[source], parallelism[target])? {
        Some(keys) => (proto::Partitioner::Hash, indexes(&keys)),
        None => (proto::Partitioner::Global, Vec::new()),
    })
}

/// For each operator: the one before it in its chain, if it stands in one.
fn heads(plan: &Plan, links: &[Link], parallelism: &[u32], options: &PlannerOptions) -> Vec<Option<NodeId>> {
    let mut before = vec![None; plan.nodes.len()];
    if !options.chaining {
        return before;
    }
    let (mut inputs, mut readers) = (vec![0; plan.nodes.len()], vec![0; plan.nodes.len()]);
    for link in links {
        inputs[link.target] += 1;
        readers[link.source] += 1;
    }
    for link in links {
        let (only_input, only_reader) = (inputs[link.target] == 1, readers[link.source] == 1);
        let forward = link.partitioner == proto::Partitioner::Forward;
        let equal = parallelism[link.source] == parallelism[link.target];
        if only_input && only_reader && forward && equal {
            before[link.target] = Some(link.source);
        }
    }
    before
}
