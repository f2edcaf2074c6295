//! What each TaskManager is told to run: worked out for all at once, made into a request for one after the other, because
//! each request repeats the whole graph.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use wiesel_proto as proto;

use super::execution_graph::{ExecutionGraph, TaskManagerLocation};

/// What all TaskManagers are told.
#[derive(Debug)]
pub struct SharedPart {
    fence: Bytes,
    graph: Arc<proto::JobGraph>,
    execution: u32,
    task_managers: Vec<String>,
    placements: Vec<proto::VertexPlacement>,
    job_master_address: String,
}

/// What one TaskManager is told.
#[derive(Debug)]
pub struct Share {
    /// Whom.
    pub location: Arc<TaskManagerLocation>,
    /// Which of the TaskManagers it is.
    pub receiver: u32,
    /// What it is to run; never nothing.
    pub tasks: Vec<proto::TaskDeployment>,
}

impl SharedPart {
    /// The request for one TaskManager.
    pub fn request(&self, receiver: u32, tasks: Vec<proto::TaskDeployment>) -> proto::SubmitTasksRequest {
        proto::SubmitTasksRequest {
            fence: self.fence.clone(),
            graph: Some(proto::JobGraph::clone(&self.graph)),
            execution: self.execution,
            task_managers: self.task_managers.clone(),
            placements: self.placements.clone(),
            receiver,
            tasks,
            job_master_address: self.job_master_address.clone(),
        }
    }
}

/// Who runs what of some regions; `restore`: what a subtask of a vertex starts from.
pub fn plan_deployment(
    graph: &ExecutionGraph,
    regions: &BTreeSet<usize>,
    fence: Bytes,
    job_master_address: &str,
    restore: &dyn Fn(usize, usize) -> Option<proto::TaskRestore>,
) -> (Arc<SharedPart>, Vec<Share>) {
    let mut positions: HashMap<&str, u32> = HashMap::new();
    let mut shares: Vec<Share> = Vec::new();
    let mut placements = Vec::with_capacity(graph.vertices.len());
    for (v, vertex) in graph.vertices.iter().enumerate() {
        let mut placed = Vec::with_capacity(vertex.subtasks.len());
        for (s, execution) in vertex.subtasks.iter().enumerate() {
            // What has no slot does not run, and nobody asks where.
            let Some(slot) = &execution.slot else {
                placed.push(0);
                continue;
            };
            let position = *positions.entry(&slot.location.resource_id).or_insert_with(|| {
                let receiver = shares.len() as u32;
                shares.push(Share { location: Arc::clone(&slot.location), receiver, tasks: Vec::new() });
                receiver
            });
            placed.push(position);
            if regions.contains(&graph.regions[v]) {
                shares[position as usize].tasks.push(proto::TaskDeployment {
                    vertex: v as u32,
                    subtask: s as u32,
                    attempt_id: execution.attempt_id.to_bytes(),
                    attempt_number: execution.attempt_number,
                    allocation_id: slot.allocation.to_bytes(),
                    restore: restore(v, s),
                });
            }
        }
        placements.push(proto::VertexPlacement { task_manager: placed });
    }
    let shared = SharedPart {
        fence,
        graph: Arc::clone(&graph.graph),
        execution: graph.execution,
        task_managers: shares.iter().map(|share| share.location.data_address.clone()).collect(),
        placements,
        job_master_address: job_master_address.to_owned(),
    };
    shares.retain(|share| !share.tasks.is_empty());
    (Arc::new(shared), shares)
}
