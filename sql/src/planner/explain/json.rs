//! `EXPLAIN JSON_EXECUTION_PLAN`: the operators that run and how rows come to them.
use serde_json::{Value, json};
use wiesel_proto as proto;

use super::super::graph::PlannedGraph;
use super::super::physical::Plan;

/// The plan of a job graph, as Flink's web pages and `flink info` read it.
pub(crate) fn execution_plan(plan: &Plan, job: &PlannedGraph) -> String {
    let PlannedGraph { graph, chains } = job;
    let mut first_id = 1;
    let firsts: Vec<usize> = graph
        .vertices
        .iter()
        .map(|vertex| {
            let first = first_id;
            first_id += vertex.operators.len();
            first
        })
        .collect();
    let mut nodes = Vec::new();
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let described: Vec<&str> = vertex.description.split("\n+- ").collect();
        for (position, operator) in vertex.operators.iter().enumerate() {
            let predecessors: Vec<Value> = if position > 0 {
                vec![predecessor(firsts[index] + position - 1, "FORWARD")]
            } else {
                let edges = graph.edges.iter().filter(|edge| edge.target as usize == index);
                let last = |edge: &proto::JobEdge| {
                    let source = edge.source as usize;
                    firsts[source] + graph.vertices[source].operators.len() - 1
                };
                edges.map(|edge| predecessor(last(edge), edge.partitioner().as_str_name())).collect()
            };
            let planned = &plan.nodes[chains[index][position]];
            let pact = match (planned.inputs.is_empty(), planned.op.is_sink()) {
                (true, _) => "Data Source",
                (false, true) => "Data Sink",
                (false, false) => "Operator",
            };
            let mut node = json!({
                "id": firsts[index] + position,
                "type": operator.name,
                "pact": pact,
                "contents": described.get(position).copied().unwrap_or_default(),
                "parallelism": vertex.parallelism,
            });
            if !predecessors.is_empty() {
                node["predecessors"] = Value::Array(predecessors);
            }
            nodes.push(node);
        }
    }
    serde_json::to_string_pretty(&json!({ "nodes": nodes })).unwrap_or_default()
}

fn predecessor(id: usize, ship_strategy: &str) -> Value {
    json!({ "id": id, "ship_strategy": ship_strategy, "side": "second" })
}
