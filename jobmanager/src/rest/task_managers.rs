//! TaskManagers.
use axum::extract::{Path, State};
use serde_json::{Value, json};
use wiesel_common::id::JobId;
use wiesel_common::quote::quote;
use wiesel_proto as proto;

use super::error::RestError;
use super::{Answer, Rest, RestState, json as answer};
use crate::jobmaster::JobInfo;
use crate::resourcemanager::TaskManagerInfo;
use std::sync::Arc;

/// `GET /taskmanagers`.
pub(super) async fn list(State(state): Rest) -> Answer {
    let resources = state.resource_manager.describe().await;
    let jobs = running_jobs(&state).await;
    let task_managers: Vec<Value> = resources.task_managers.iter().map(|known| summary(known, &jobs)).collect();
    answer(json!({ "taskmanagers": task_managers }))
}

/// `GET /taskmanagers/:id`.
pub(super) async fn details(State(state): Rest, Path(id): Path<String>) -> Answer {
    let resources = state.resource_manager.describe().await;
    let known = resources.task_managers.iter().find(|known| known.registration.resource_id == id);
    let known = known.ok_or_else(|| {
        RestError::internal(format!(
            "org.apache.flink.runtime.resourcemanager.exceptions.UnknownTaskExecutorException: No TaskExecutor \
             registered under {}.",
            quote(&id)
        ))
    })?;
    let jobs = running_jobs(&state).await;
    let profile = known.registration.slot_profile.unwrap_or_default();
    let slots: Vec<Value> = known
        .slots
        .iter()
        .enumerate()
        .filter_map(|(index, job)| {
            let job = (*job)?;
            Some(json!({
                "jobId": job.to_string(),
                "resource": resource(&profile, 1),
                "assignedTasks": tasks(&jobs, &id, Some((job, index as u32))),
            }))
        })
        .collect();
    let mut value = summary(known, &jobs);
    value["allocatedSlots"] = Value::Array(slots);
    value["metrics"] = metrics(known);
    answer(value)
}

async fn running_jobs(state: &RestState) -> Vec<Arc<JobInfo>> {
    let mut jobs = state.dispatcher.describe_all().await;
    jobs.retain(|job| !job.status.is_terminal());
    jobs
}

/// Tasks that run on a TaskManager, of all jobs or in one slot.
fn tasks(jobs: &[Arc<JobInfo>], resource_id: &str, only: Option<(JobId, u32)>) -> usize {
    let of_job = |job: &&Arc<JobInfo>| only.is_none_or(|(id, _)| id == job.job_id);
    jobs.iter()
        .filter(of_job)
        .flat_map(|job| job.graph.executions())
        .filter(|task| task.is_deployed())
        .filter_map(|task| task.slot.as_ref())
        .filter(|slot| slot.location.resource_id == resource_id && only.is_none_or(|(_, index)| index == slot.index))
        .count()
}

fn summary(known: &TaskManagerInfo, jobs: &[Arc<JobInfo>]) -> Value {
    let registration = &known.registration;
    let free = known.slots.iter().filter(|slot| slot.is_none()).count();
    let profile = registration.slot_profile.unwrap_or_default();
    let hardware = registration.hardware.unwrap_or_default();
    let memory = registration.memory.unwrap_or_default();
    let data_port = registration.data_address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    json!({
        "id": registration.resource_id,
        "path": registration.rpc_address,
        "dataPort": data_port.map_or(-1, i32::from),
        "jmxPort": -1,
        "timeSinceLastHeartbeat": known.last_heartbeat,
        "slotsNumber": registration.slots,
        "freeSlots": free,
        "assignedTasks": tasks(jobs, &registration.resource_id, None),
        "totalResource": resource(&profile, registration.slots as usize),
        "freeResource": resource(&profile, free),
        "hardware": {
            "cpuCores": hardware.cpu_cores,
            "physicalMemory": hardware.physical_memory,
            "freeMemory": hardware.free_memory,
            "managedMemory": hardware.managed_memory,
        },
        "memoryConfiguration": {
            "frameworkHeap": memory.framework_heap,
            "taskHeap": memory.task_heap,
            "frameworkOffHeap": memory.framework_off_heap,
            "taskOffHeap": memory.task_off_heap,
            "networkMemory": memory.network,
            "managedMemory": memory.managed,
            "jvmMetaspace": memory.jvm_metaspace,
            "jvmOverhead": memory.jvm_overhead,
            "totalFlinkMemory": memory.total_flink,
            "totalProcessMemory": memory.total_process,
        },
    })
}

/// The resources of some slots, in whole mebibytes.
fn resource(slot: &proto::ResourceProfile, slots: usize) -> Value {
    // Wider than the numbers, which come from the network.
    let mebibytes = |bytes: u64| u64::try_from((u128::from(bytes) * slots as u128) >> 20).unwrap_or(u64::MAX);
    json!({
        "cpuCores": slot.cpu_cores * slots as f64,
        "taskHeapMemory": mebibytes(slot.task_heap),
        "taskOffHeapMemory": mebibytes(slot.task_off_heap),
        "managedMemory": mebibytes(slot.managed),
        "networkMemory": mebibytes(slot.network),
        "extendedResources": {},
    })
}

/// What a JVM would have is 0; the heap is what the process holds.
fn metrics(known: &TaskManagerInfo) -> Value {
    let metrics = &known.metrics;
    let memory = known.registration.memory.unwrap_or_default();
    let heap = memory.framework_heap.saturating_add(memory.task_heap);
    json!({
        "heapUsed": metrics.heap_used,
        "heapCommitted": metrics.resident_bytes,
        "heapMax": heap,
        "nonHeapUsed": 0,
        "nonHeapCommitted": 0,
        "nonHeapMax": 0,
        "directCount": 0,
        "directUsed": 0,
        "directMax": 0,
        "mappedCount": 0,
        "mappedUsed": 0,
        "mappedMax": 0,
        "nettyShuffleMemorySegmentsAvailable": metrics.network_segments_available,
        "nettyShuffleMemorySegmentsUsed":
            metrics.network_segments_total.saturating_sub(metrics.network_segments_available),
        "nettyShuffleMemorySegmentsTotal": metrics.network_segments_total,
        "nettyShuffleMemoryAvailable": metrics.network_bytes_available,
        "nettyShuffleMemoryUsed": metrics.network_bytes_total.saturating_sub(metrics.network_bytes_available),
        "nettyShuffleMemoryTotal": metrics.network_bytes_total,
        "garbageCollectors": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, the products and sums overflowed, and the answer to the request was empty.
    #[test]
    fn a_task_manager_of_any_size_is_shown() {
        let most = u64::MAX;
        let registration = proto::RegisterTaskManagerRequest {
            resource_id: "a".into(),
            slots: 32_768,
            slot_profile: Some(proto::ResourceProfile {
                cpu_cores: f64::MAX,
                task_heap: most,
                task_off_heap: 1 << 63,
                managed: most,
                network: most,
            }),
            memory: Some(proto::MemoryConfiguration { framework_heap: most, task_heap: most, ..Default::default() }),
            ..Default::default()
        };
        let metrics = proto::TaskManagerMetrics { network_segments_available: most, ..Default::default() };
        let known = TaskManagerInfo {
            registration: Arc::new(registration),
            last_heartbeat: 0,
            slots: vec![None; 32_768],
            metrics,
        };
        let shown = summary(&known, &[]);
        // In mebibytes, of all slots.
        assert_eq!(shown["totalResource"]["taskHeapMemory"], json!((1_u64 << 59) - 1));
        assert_eq!(shown["freeResource"]["taskOffHeapMemory"], json!(1_u64 << 58));
        assert_eq!(super::metrics(&known)["heapMax"], json!(most));
    }
}
