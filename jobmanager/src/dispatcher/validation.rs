//! What a submitted job graph must be before anything is started for it.
use std::collections::{BTreeSet, HashSet};

use prost::Message;
use wiesel_common::id::{JobId, OperatorId, VertexId};
use wiesel_common::keygroup::UPPER_BOUND_MAX_PARALLELISM as MAX_PARALLELISM;
use wiesel_common::quote::{bound_description, bound_job_name, bound_task_name};
use wiesel_proto as proto;

use crate::jobmaster::execution_graph::default_max_parallelism;

/// The most tasks of a job: each takes most of a kilobyte before anything runs.
pub(crate) const MAX_TASKS: u64 = 1 << 17;
/// The most tasks of all jobs that are not over.
pub(crate) const MAX_TASKS_OF_ALL: u64 = 1 << 19;

/// How many tasks a job has.
pub(crate) fn tasks(graph: &proto::JobGraph) -> u64 {
    graph.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum()
}

/// A graph that can be run.
#[derive(Debug, PartialEq, Eq)]
pub struct Validated {
    /// The job.
    pub job_id: JobId,
    /// By vertex, whether its maximum parallelism follows from the rule: then a checkpoint may decide otherwise.
    pub derived_max_parallelism: Vec<bool>,
}

/// Checks the graph, fills in what was left to rules and bounds what is shown of it. An error says what is wrong.
pub fn validate(graph: &mut proto::JobGraph) -> Result<Validated, String> {
    let job_id = JobId::from_bytes(&graph.job_id).ok_or("the job id must have 16 bytes")?;
    if graph.vertices.is_empty() {
        return Err("the job has no vertices".into());
    }
    bound_names(graph);
    let derived_max_parallelism = graph.vertices.iter().map(|vertex| vertex.max_parallelism == 0).collect();
    let mut ids = HashSet::new();
    for vertex in &mut graph.vertices {
        let name = &vertex.name;
        let id =
            VertexId::from_bytes(&vertex.id).ok_or_else(|| format!("the id of vertex `{name}` must have 16 bytes"))?;
        if !ids.insert(id) {
            return Err(format!("two vertices have the id {id}"));
        }
        if vertex.parallelism == 0 {
            return Err(format!("the parallelism of vertex `{name}` must be at least 1"));
        }
        if vertex.max_parallelism == 0 {
            vertex.max_parallelism = default_max_parallelism(vertex.parallelism);
        }
        if vertex.max_parallelism > MAX_PARALLELISM || vertex.parallelism > vertex.max_parallelism {
            return Err(format!(
                "vertex `{name}`'s parallelism ({}) is higher than its max parallelism ({}), which is at most \
                 {MAX_PARALLELISM}",
                vertex.parallelism, vertex.max_parallelism
            ));
        }
        for operator in &vertex.operators {
            // Its state and its coordinator are found by it.
            if OperatorId::from_bytes(&operator.uid).is_none() {
                return Err(format!("the id of operator `{}` must have 16 bytes", operator.name));
            }
        }
    }
    let tasks = tasks(graph);
    if tasks > MAX_TASKS {
        return Err(format!("it has {tasks} tasks, at most {MAX_TASKS} are possible: lower the parallelism"));
    }
    for edge in &graph.edges {
        if edge.source >= edge.target || edge.target as usize >= graph.vertices.len() {
            return Err(format!(
                "the edge from vertex {} to {} does not follow the order of the vertices",
                edge.source, edge.target
            ));
        }
    }
    inputs_are_numbered(graph)?;
    readable(graph)?;
    Ok(Validated { job_id, derived_max_parallelism })
}

/// Whether the inputs of each vertex are numbered from 0 on. A task keeps something for each up to the highest, and waits for the
/// watermark of each.
fn inputs_are_numbered(graph: &proto::JobGraph) -> Result<(), String> {
    let mut inputs = vec![BTreeSet::new(); graph.vertices.len()];
    for edge in &graph.edges {
        inputs[edge.target as usize].insert(edge.target_input);
    }
    for (vertex, inputs) in graph.vertices.iter().zip(&inputs) {
        if let Some((missing, _)) = (0u32..).zip(inputs).find(|(number, input)| number != *input) {
            return Err(format!(
                "the edges into vertex `{}` leave out its input {missing}: inputs are numbered from 0 on",
                vertex.name
            ));
        }
    }
    Ok(())
}

/// Names are for people: vertices, operators and their state are found by ids, which stay as they are.
fn bound_names(graph: &mut proto::JobGraph) {
    bound_job_name(&mut graph.name);
    for vertex in &mut graph.vertices {
        bound_task_name(&mut vertex.name);
        bound_description(&mut vertex.description);
        vertex.operators.iter_mut().for_each(|operator| bound_task_name(&mut operator.name));
    }
}

/// Whether TaskManagers will be able to read it: in the message to them it is a level deeper than in the one that brought it.
fn readable(graph: &proto::JobGraph) -> Result<(), String> {
    let request = proto::SubmitTasksRequest { graph: Some(graph.clone()), ..proto::SubmitTasksRequest::default() };
    let read = proto::SubmitTasksRequest::decode(request.encode_to_vec().as_slice());
    read.map(drop).map_err(|error| format!("TaskManagers could not read the job: {error}"))
}

#[cfg(test)]
mod tests {
    use wiesel_proto::operator_spec::Kind;

    use super::*;

    const UID: [u8; 16] = [3; 16];

    fn graph() -> proto::JobGraph {
        let vertex = |id: u8| proto::JobVertex {
            id: vec![id; 16].into(),
            name: format!("v{id}"),
            parallelism: 2,
            ..Default::default()
        };
        proto::JobGraph {
            job_id: vec![7; 16].into(),
            vertices: vec![vertex(1), vertex(2)],
            edges: vec![proto::JobEdge { source: 0, target: 1, ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn a_good_graph_gets_its_key_groups() {
        let mut graph = graph();
        let validated = Validated { job_id: JobId([7; 16]), derived_max_parallelism: vec![true, true] };
        assert_eq!(validate(&mut graph), Ok(validated));
        assert_eq!(graph.vertices[0].max_parallelism, 128);
    }

    /// Before, a name of 900,000 bytes was in each line of the log and in each overview of jobs.
    #[test]
    fn a_name_has_a_length() {
        let named = |name: &str| {
            let mut graph = proto::JobGraph { name: name.into(), ..graph() };
            validate(&mut graph).unwrap();
            graph.name
        };
        assert_eq!(named(&"n".repeat(1_000)), "n".repeat(1_000));
        let cut = named(&"n".repeat(900_000));
        assert_eq!(cut, format!("{}... (899000 more bytes)", "n".repeat(1_000)));
        assert_eq!(named(&cut), cut, "what a client has cut stays as it is");
    }

    /// Before, names of tables and long expressions were whole in each line about a task, and in each answer about its job.
    #[test]
    fn what_is_shown_of_tasks_has_a_length_and_ids_stay() {
        let long = "n".repeat(900_000);
        let mut graph = graph();
        graph.vertices[0].name.clone_from(&long);
        graph.vertices[0].description.clone_from(&long);
        let operator = proto::OperatorSpec { name: long, uid: UID.to_vec().into(), ..Default::default() };
        graph.vertices[0].operators.push(operator);
        validate(&mut graph).unwrap();
        let vertex = graph.vertices[0].clone();
        let cut = format!("{}... (896000 more bytes)", "n".repeat(4_000));
        assert_eq!((&vertex.name, &vertex.operators[0].name), (&cut, &cut));
        assert!(vertex.description.len() < 263_000 && vertex.description.ends_with(" more bytes)"));
        assert_eq!((&vertex.id[..], &vertex.operators[0].uid[..]), (&[1; 16][..], &UID[..]));
        validate(&mut graph).unwrap();
        assert_eq!(graph.vertices[0], vertex, "once");
    }

    /// Before, a million were taken: 764 MB for a plan of a few lines.
    #[test]
    fn a_job_has_a_number_of_tasks() {
        let with = |parallelism: u32| {
            let mut graph = graph();
            graph.vertices = (1..=8)
                .map(|id: u8| proto::JobVertex { id: vec![id; 16].into(), parallelism, ..Default::default() })
                .collect();
            graph.edges.clear();
            validate(&mut graph).map(drop)
        };
        assert_eq!(with(16_384), Ok(()));
        let refused = with(16_385).unwrap_err();
        assert_eq!(refused, "it has 131080 tasks, at most 131072 are possible: lower the parallelism");
    }

    /// Failed before: only sources and sinks of a SELECT were asked for it, and others ran without the coordinator that is found by it.
    #[test]
    fn every_operator_has_an_id() {
        let kinds = [
            None,
            Some(Kind::Calc(proto::CalcSpec::default())),
            Some(Kind::Sink(proto::SinkSpec::default())),
            Some(Kind::Source(proto::SourceSpec::default())),
        ];
        for kind in kinds {
            let with = |uid: &[u8]| {
                let (uid, kind) = (uid.to_vec().into(), kind.clone());
                let mut graph = graph();
                let operator = proto::OperatorSpec { uid, name: "o".into(), kind, ..Default::default() };
                graph.vertices[1].operators.push(operator);
                validate(&mut graph).map(drop)
            };
            assert_eq!(with(&UID), Ok(()));
            for uid in [&[][..], &UID[1..], &[3; 17][..]] {
                assert_eq!(with(uid).unwrap_err(), "the id of operator `o` must have 16 bytes", "{kind:?}");
            }
        }
    }

    #[test]
    fn each_fault_is_named() {
        let broken = |change: fn(&mut proto::JobGraph)| {
            let mut graph = graph();
            change(&mut graph);
            validate(&mut graph).unwrap_err()
        };
        assert!(broken(|graph| graph.job_id = vec![1].into()).contains("job id"));
        assert!(broken(|graph| graph.vertices.clear()).contains("no vertices"));
        assert!(broken(|graph| graph.vertices[1].id = vec![1; 16].into()).contains("two vertices"));
        assert!(broken(|graph| graph.vertices[0].parallelism = 0).contains("at least 1"));
        assert!(broken(|graph| graph.vertices[0].max_parallelism = 1).contains("max parallelism"));
        assert!(broken(|graph| graph.edges[0].target = 5).contains("edge"));
        assert!(broken(|graph| graph.edges[0].source = 1).contains("edge"));
        // Before, each of its tasks kept something for each of four thousand million inputs.
        assert!(broken(|graph| graph.edges[0].target_input = u32::MAX).contains("leave out its input 0"));
        assert!(
            broken(|graph| graph.edges.push(proto::JobEdge { target_input: 2, ..graph.edges[0].clone() }))
                .contains("input 1")
        );
    }

    /// With a type of so many types within each other, in what an operator gives, or a level deeper in what it takes.
    fn nested(levels: usize, deeper: bool) -> proto::JobGraph {
        let around = |inner, _| {
            let child = proto::Field { r#type: Some(inner), ..Default::default() };
            proto::DataType { children: vec![child], ..Default::default() }
        };
        let data_type = (0..levels).fold(proto::DataType::default(), around);
        let field = proto::Field { r#type: Some(data_type), ..Default::default() };
        let schema = Some(proto::Schema { fields: vec![field] });
        let uid = UID.to_vec().into();
        let operator = match deeper {
            false => proto::OperatorSpec { uid, output: schema, ..Default::default() },
            true => {
                let kind = Some(Kind::Calc(proto::CalcSpec { input: schema, ..Default::default() }));
                proto::OperatorSpec { uid, kind, ..Default::default() }
            }
        };
        let mut graph = graph();
        graph.vertices[0].operators.push(operator);
        graph
    }

    /// Before, such a job was taken and restarted for ever.
    #[test]
    fn what_no_task_manager_could_read_is_refused() {
        let arrives = |graph: &proto::JobGraph| proto::JobGraph::decode(graph.encode_to_vec().as_slice()).is_ok();
        let deepest = |deeper| (0..60).rev().map(|levels| nested(levels, deeper)).find(arrives).unwrap();
        // Messages within each other are read down to a depth that is fixed. A type is two messages deep for each level, so that
        // the depths of graphs of one shape are all even or all odd: the deepest of one shape that arrives here is at the limit
        // itself, the deepest of the other a message before it. Only the first is too deep in the message to TaskManagers, which
        // is a message deeper.
        let refused: Vec<String> =
            [false, true].into_iter().filter_map(|deeper| validate(&mut deepest(deeper)).err()).collect();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].starts_with("TaskManagers could not read the job: "), "{refused:?}");
        assert!(validate(&mut nested(32, true)).is_ok(), "what the parser lets pass");
    }

    #[test]
    fn key_groups_follow_flinks_rule() {
        assert_eq!(default_max_parallelism(1), 128);
        assert_eq!(default_max_parallelism(100), 256);
        assert_eq!(default_max_parallelism(40_000), 32_768);
    }
}
