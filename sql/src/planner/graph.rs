//! From the stream plan to the job graph: parallelism, edges, chains, ids.
use std::collections::BTreeMap;

use wiesel_common::id::JobId;
use wiesel_common::quote::{bound_description, bound_task_name, message};
use wiesel_operators::types::schema_to_proto;
use wiesel_proto as proto;

use super::Context;
use super::explain;
use super::identity;
use super::options::PlannerOptions;
use super::physical::{Distribution, NodeId, Op, Plan};
use super::specs::{indexes, spec};
use crate::error::{Error, Result};

/// How rows come from one operator to another, exchanges and unions resolved.
#[derive(Clone, Debug)]
struct Link {
    source: NodeId,
    target: NodeId,
    partitioner: proto::Partitioner,
    keys: Vec<u32>,
}

/// The job graph of a plan.
///
/// # Errors
/// A sink whose parallelism tears changes of one row apart.
pub(crate) fn job_graph(
    plan: &Plan,
    name: String,
    configuration: BTreeMap<String, String>,
    context: &Context,
) -> Result<proto::JobGraph> {
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
        let Some(kind) = spec(plan, node, options) else { continue };
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
        let named_by =
            if vertex.operators[0].kind.as_ref().is_some_and(is_source) { vertex.operators.len() } else { 1 };
        let uids = vertex.operators[..named_by].iter();
        vertex.id = identity::of_chain(uids.map(|operator| &operator.uid[..])).to_vec().into();
    }
    let crosses = |link: &&Link| vertex_of[link.source] != vertex_of[link.target];
    let edges = links.iter().filter(crosses).map(|link| proto::JobEdge {
        source: vertex_of[link.source] as u32,
        target: vertex_of[link.target] as u32,
        target_input: 0,
        partitioner: link.partitioner.into(),
        keys: link.keys.clone(),
        schema: Some(schema_to_proto(&plan.nodes[link.source].fields)),
        changelog: plan.nodes[link.source].changes.is_changelog(),
    });
    let edges = edges.collect();
    Ok(proto::JobGraph {
        job_id: JobId::random().to_bytes(),
        name,
        vertices,
        edges,
        configuration,
        bounded: plan.is_bounded(),
    })
}

fn is_source(kind: &proto::operator_spec::Kind) -> bool {
    matches!(kind, proto::operator_spec::Kind::Source(_))
}

/// How many subtasks each operator has: Flink's rules.
fn parallelism(plan: &Plan, options: &PlannerOptions) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let inherited = node.inputs.iter().map(|input| match &plan.nodes[*input].op {
            // A source of its own parallelism does not bind its readers.
            Op::Source(source) if source.parallelism.is_some() => options.parallelism,
            Op::Exchange(Distribution::Hash(_)) => options.parallelism,
            Op::Exchange(Distribution::Single) => 1,
            _ => all[*input],
        });
        let inherited = inherited.max().unwrap_or(options.parallelism);
        all.push(match &node.op {
            Op::Source(source) => source.parallelism.unwrap_or(options.parallelism),
            Op::Values(_) | Op::Collect => 1,
            Op::Sink(sink) => sink.parallelism.unwrap_or(inherited),
            _ => inherited,
        });
    }
    all
}

/// The edges between operators that run.
fn links(plan: &Plan, parallelism: &[u32]) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for (target, node) in plan.nodes.iter().enumerate() {
        if matches!(node.op, Op::Exchange(_) | Op::Union) {
            continue;
        }
        for input in &node.inputs {
            for (source, distribution) in producers(plan, *input) {
                let equal = parallelism[source] == parallelism[target];
                let (partitioner, keys) = match distribution {
                    Some(Distribution::Hash(keys)) => (proto::Partitioner::Hash, indexes(&keys)),
                    Some(Distribution::Single) => (proto::Partitioner::Global, Vec::new()),
                    None if equal => (proto::Partitioner::Forward, Vec::new()),
                    None => spread(plan, source, target, parallelism)?,
                };
                links.push(Link { source, target, partitioner, keys });
            }
        }
    }
    Ok(links)
}

/// The operators behind exchanges and unions, with the exchange on the way.
fn producers(plan: &Plan, id: NodeId) -> Vec<(NodeId, Option<Distribution>)> {
    let node = &plan.nodes[id];
    match &node.op {
        Op::Union => node.inputs.iter().flat_map(|input| producers(plan, *input)).collect(),
        Op::Exchange(distribution) => {
            let behind = node.inputs.iter().flat_map(|input| producers(plan, *input));
            behind.map(|(source, _)| (source, Some(distribution.clone()))).collect()
        }
        _ => vec![(id, None)],
    }
}

/// How rows go to another number of subtasks. The changes of a row must stay in order: a sink gets them by primary key.
fn spread(plan: &Plan, source: NodeId, target: NodeId, parallelism: &[u32]) -> Result<(proto::Partitioner, Vec<u32>)> {
    if !plan.nodes[source].changes.is_changelog() || parallelism[target] == 1 {
        return Ok((proto::Partitioner::Rebalance, Vec::new()));
    }
    match &plan.nodes[target].op {
        Op::Sink(sink) if !sink.primary_key.is_empty() => Ok((proto::Partitioner::Hash, indexes(&sink.primary_key))),
        Op::Sink(sink) => Err(Error::Validation {
            message: format!(
                "The sink for table '{}' has a configured parallelism of {}, while the input parallelism is {}. Since the \
                 changelog mode of the input is not insert-only, a primary key is required but could not be found.",
                sink.table.identifier, parallelism[target], parallelism[source]
            ),
            location: None,
        }),
        _ => Err(Error::Unsupported {
            message: format!(
                "changes that go from {} to {} subtasks without a key",
                parallelism[source], parallelism[target]
            ),
            location: None,
        }),
    }
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
