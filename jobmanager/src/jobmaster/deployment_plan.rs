//! What each TaskManager is told to run: worked out for all at once, made into a request for one after the other, because
//! each request repeats the whole graph.
//!
//! What does not fit into one message, because tasks start from much state that is part of it, goes in several. A TaskManager
//! starts what it is told when it is told: a consumer finds the producers that run beside it if they come before it or with it,
//! as they do in the order of vertices, in which no edge points back.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
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
    /// What a request takes besides its tasks.
    bytes: usize,
}

/// What one TaskManager is told.
#[derive(Debug)]
pub struct Share {
    /// The TaskManager's addresses.
    pub location: Arc<TaskManagerLocation>,
    /// Which of the TaskManagers it is.
    pub receiver: u32,
    /// What it is to run, in the order of vertices; never nothing.
    pub tasks: Vec<proto::TaskDeployment>,
}

/// What a field of a message takes besides its content: its number and its length.
const FIELD_BYTES: usize = 16;

/// A task that no message to its TaskManager has room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{task} cannot be deployed to TaskManager {task_manager}: the message would take {bytes} bytes, of which {state} are the state \
     that it starts from and {plan} the job graph, and a TaskManager takes at most {limit}. State that is not kept by key \
     (positions of splits, files of sinks) is part of the message, and so is what was smaller than \
     execution.checkpointing.data-inline-threshold when the checkpoint was made. Start the job from this checkpoint with more \
     subtasks, which then have less each to start from, or from an earlier checkpoint or savepoint; set the threshold to a \
     smaller value."
)]
pub struct TooLarge {
    task: String,
    task_manager: String,
    bytes: usize,
    state: usize,
    plan: usize,
    limit: usize,
}

impl SharedPart {
    /// Cuts the tasks of a TaskManager into those of one request after the other, none of which takes more than `limit` bytes.
    pub fn cut(
        &self,
        location: &TaskManagerLocation,
        tasks: Vec<proto::TaskDeployment>,
        limit: usize,
    ) -> Result<Vec<Vec<proto::TaskDeployment>>, TooLarge> {
        let plan = self.bytes;
        let mut parts = Vec::new();
        let (mut part, mut bytes) = (Vec::new(), plan);
        for task in tasks {
            let size = task.encoded_len() + FIELD_BYTES;
            if plan + size > limit {
                let state = task.restore.as_ref().map_or(0, Message::encoded_len);
                let (task, task_manager) = (self.task_name(&task), location.resource_id.clone());
                return Err(TooLarge { task, task_manager, bytes: plan + size, state, plan, limit });
            }
            if bytes + size > limit {
                parts.push(std::mem::take(&mut part));
                bytes = plan;
            }
            part.push(task);
            bytes += size;
        }
        parts.push(part);
        Ok(parts)
    }

    fn task_name(&self, task: &proto::TaskDeployment) -> String {
        let vertex = self.graph.vertices.get(task.vertex as usize);
        let (name, parallelism) = vertex.map_or(("a task", 0), |vertex| (vertex.name.as_str(), vertex.parallelism));
        format!("{name} ({}/{parallelism})", task.subtask + 1)
    }

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

/// Which TaskManager runs which tasks of some regions; `restore`: what a subtask of a vertex starts from.
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
            // What has no slot does not run, and where it would is not looked at.
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
    let mut shared = SharedPart {
        fence,
        graph: Arc::clone(&graph.graph),
        execution: graph.execution,
        task_managers: shares.iter().map(|share| share.location.data_address.clone()).collect(),
        placements,
        job_master_address: job_master_address.to_owned(),
        bytes: 0,
    };
    // The largest number of a receiver takes the most.
    shared.bytes = shared.request(u32::MAX, Vec::new()).encoded_len();
    shares.retain(|share| !share.tasks.is_empty());
    (Arc::new(shared), shares)
}
