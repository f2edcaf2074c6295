//! The data plane.
use std::time::Duration;

use crate::config::{ConfigOption, MemorySize};

crate::config_enum! {
    /// How shuffled data is compressed.
    pub enum Compression {
        /// Not at all.
        None = "NONE",
        /// LZ4.
        Lz4 = "LZ4",
        /// LZO, which is not supported.
        Lzo = "LZO",
        /// Zstandard.
        Zstd = "ZSTD",
    }
}

/// The size of a buffer.
pub const SEGMENT_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.segment-size").default("32 kb");
/// The least size of a buffer.
pub const MIN_SEGMENT_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.min-segment-size").default("256 bytes");
/// Buffers of their own for each channel.
pub const BUFFERS_PER_CHANNEL: ConfigOption<u32> =
    ConfigOption::new("taskmanager.network.memory.buffers-per-channel").default("2");
/// Buffers that the channels of a gate share.
pub const FLOATING_BUFFERS_PER_GATE: ConfigOption<u32> =
    ConfigOption::new("taskmanager.network.memory.floating-buffers-per-gate").default("8");
/// The compression of shuffled data.
pub const COMPRESSION_CODEC: ConfigOption<Compression> =
    ConfigOption::new("taskmanager.network.compression.codec").default("LZ4");
/// How long a consumer waits for a producer to exist.
pub const PARTITION_REQUEST_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("taskmanager.network.partition-request-timeout").default("10 s");
/// How often a failed connection is tried again.
pub const RETRIES: ConfigOption<u32> = ConfigOption::new("taskmanager.network.retries").default("0");
/// Whether rows are checked for damage on their way to another TaskManager.
pub const PAYLOAD_CHECKSUM: ConfigOption<bool> =
    ConfigOption::new("taskmanager.network.payload-checksum").default("true");
/// How long a connection may take, in seconds.
pub const CONNECT_TIMEOUT_SECONDS: ConfigOption<u32> =
    ConfigOption::new("taskmanager.network.netty.client.connectTimeoutSec")
        .default("120")
        .fallback(&["taskmanager.net.client.connectTimeoutSec"]);
