//! What a TaskManager says of its machine, its memory and what it uses.
use wiesel_network::NetworkEnvironment;
use wiesel_proto as proto;

use crate::options::Options;

/// The registration at the ResourceManager.
pub(crate) fn registration(
    options: &Options,
    resource_id: &str,
    rpc_address: &str,
    data_address: &str,
) -> proto::RegisterTaskManagerRequest {
    let memory = &options.memory;
    let slots = u64::from(options.slots);
    let cpu_cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let system = rustix::system::sysinfo();
    let unit = u64::from(system.mem_unit.max(1));
    proto::RegisterTaskManagerRequest {
        resource_id: resource_id.to_owned(),
        rpc_address: rpc_address.to_owned(),
        data_address: data_address.to_owned(),
        slots: options.slots,
        slot_profile: Some(proto::ResourceProfile {
            cpu_cores: options.cpu_cores.unwrap_or(f64::from(cpu_cores)) / f64::from(options.slots),
            task_heap: memory.task_heap.bytes() / slots,
            task_off_heap: memory.task_off_heap.bytes() / slots,
            managed: memory.managed.bytes() / slots,
            network: memory.network.bytes() / slots,
        }),
        hardware: Some(proto::Hardware {
            cpu_cores,
            physical_memory: system.totalram * unit,
            free_memory: memory.total_heap().bytes(),
            managed_memory: memory.managed.bytes(),
        }),
        memory: Some(proto::MemoryConfiguration {
            framework_heap: memory.framework_heap.bytes(),
            task_heap: memory.task_heap.bytes(),
            framework_off_heap: memory.framework_off_heap.bytes(),
            task_off_heap: memory.task_off_heap.bytes(),
            network: memory.network.bytes(),
            managed: memory.managed.bytes(),
            jvm_metaspace: memory.process.metaspace.bytes(),
            jvm_overhead: memory.process.overhead.bytes(),
            total_flink: memory.total_flink().bytes(),
            total_process: memory.total_process().bytes(),
        }),
        hostname: options.host.clone(),
        release: proto::RELEASE.to_owned(),
    }
}

/// What is in use now.
pub(crate) fn metrics(network: &NetworkEnvironment) -> proto::TaskManagerMetrics {
    let pool = network.pool();
    let (total, available) = (pool.total() as u64, pool.available() as u64);
    let segment = pool.segment_size() as u64;
    let resident = wiesel_common::process::resident_bytes();
    proto::TaskManagerMetrics {
        resident_bytes: resident,
        heap_used: resident,
        network_segments_total: total,
        network_segments_available: available,
        network_bytes_total: total * segment,
        network_bytes_available: available * segment,
    }
}
