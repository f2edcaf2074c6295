//! What the data plane can be told.
use std::time::Duration;

use wiesel_common::secret::Secret;

use crate::codec::Compression;

/// Settings of a TaskManager's data plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of network memory (`taskmanager.memory.network.*`).
    pub memory: u64,
    /// Bytes of a segment (`taskmanager.memory.segment-size`).
    pub segment_size: usize,
    /// Segments that each channel has to itself (`taskmanager.network.memory.buffers-per-channel`).
    pub buffers_per_channel: usize,
    /// Segments that the channels of a gate share (`taskmanager.network.memory.floating-buffers-per-gate`).
    pub floating_buffers_per_gate: usize,
    /// Segments that may wait for one slow consumer (`taskmanager.network.memory.max-buffers-per-channel`).
    pub max_buffers_per_channel: usize,
    /// How rows are compressed between TaskManagers.
    pub compression: Compression,
    /// How long a consumer waits for a producer to be deployed (`taskmanager.network.partition-request-timeout`).
    pub partition_request_timeout: Duration,
    /// How long connecting may take (`taskmanager.network.netty.client.connectTimeoutSec`).
    pub connect_timeout: Duration,
    /// How often connecting is tried again (`taskmanager.network.retries`).
    pub connect_retries: u32,
    /// Whether rows carry a check sum (`taskmanager.network.payload-checksum`); on a connection they do if either end wants it.
    pub payload_checksums: bool,
    /// What both ends of a connection must have.
    pub secret: Option<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            segment_size: 32 << 10,
            buffers_per_channel: 2,
            floating_buffers_per_gate: 8,
            max_buffers_per_channel: 10,
            compression: Compression::None,
            partition_request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(120),
            connect_retries: 0,
            payload_checksums: true,
            secret: None,
        }
    }
}

/// When rows that were gathered are sent although they do not fill a buffer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// At once (`execution.buffer-timeout.interval: 0`).
    Always,
    /// After this time, or as soon as the producer is idle.
    After(Duration),
    /// Never (`execution.buffer-timeout.enabled: false`).
    WhenFull,
}
