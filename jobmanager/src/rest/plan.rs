//! The plan of a job as the dashboard draws it.
use serde_json::{Value, json};
use wiesel_common::id::{JobId, VertexId};
use wiesel_proto as proto;

/// `Plan` of a graph: sinks first.
pub(super) fn plan_of(graph: &proto::JobGraph, job_id: JobId) -> Value {
    let mut inputs: Vec<Vec<&proto::JobEdge>> = vec![Vec::new(); graph.vertices.len()];
    for edge in &graph.edges {
        if let Some(of_target) = inputs.get_mut(edge.target as usize) {
            of_target.push(edge);
        }
    }
    let nodes: Vec<Value> =
        (0..graph.vertices.len()).rev().map(|vertex| node(graph, vertex, &inputs[vertex])).collect();
    json!({ "jid": job_id.to_string(), "name": graph.name, "type": "STREAMING", "nodes": nodes })
}

fn node(graph: &proto::JobGraph, position: usize, edges: &[&proto::JobEdge]) -> Value {
    let vertex = &graph.vertices[position];
    let description = if vertex.description.is_empty() { &vertex.name } else { &vertex.description };
    let mut node = json!({
        "id": id(vertex),
        "parallelism": vertex.parallelism,
        "operator": "",
        "operator_strategy": "",
        "description": html(description),
        "optimizer_properties": {},
    });
    let inputs: Vec<Value> = edges
        .iter()
        .enumerate()
        .filter_map(|(number, edge)| {
            Some(json!({
                "num": number,
                "id": id(graph.vertices.get(edge.source as usize)?),
                "ship_strategy": ship_strategy(edge.partitioner()),
                "exchange": "pipelined_bounded",
            }))
        })
        .collect();
    if !inputs.is_empty() {
        node["inputs"] = Value::Array(inputs);
    }
    node
}

/// Lines end in `<br/>`, as Flink's do.
fn html(description: &str) -> String {
    if description.contains("<br/>") {
        return description.to_owned();
    }
    let escaped = description.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.lines().map(|line| format!("{line}<br/>")).collect()
}

/// The vertex's id as text.
pub(super) fn id(vertex: &proto::JobVertex) -> String {
    VertexId::from_bytes(&vertex.id).map_or_else(String::new, |id| id.to_string())
}

fn ship_strategy(partitioner: proto::Partitioner) -> &'static str {
    use proto::Partitioner;
    match partitioner {
        Partitioner::Forward => "FORWARD",
        Partitioner::Hash => "HASH",
        Partitioner::Rebalance => "REBALANCE",
        Partitioner::Rescale => "RESCALE",
        Partitioner::Broadcast => "BROADCAST",
        Partitioner::Global => "GLOBAL",
    }
}
