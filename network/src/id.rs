//! What partitions and channels are called.
use std::fmt;

use wiesel_common::id::JobId;

/// What one subtask produces for one edge in one execution of a job. Executions never share a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionId {
    /// The job.
    pub job: JobId,
    /// Counts the restarts of the job.
    pub execution: u32,
    /// Position of the edge in the job graph.
    pub edge: u32,
    /// The producing subtask.
    pub producer: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}#{}", self.job, self.execution, self.edge, self.producer)
    }
}

/// The part of a partition that one consuming subtask reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey {
    /// Whose data.
    pub partition: PartitionId,
    /// The consuming subtask.
    pub consumer: u32,
}

impl ChannelKey {
    /// Bytes of the encoded key.
    pub const LENGTH: usize = 32;

    /// The key as it stands in an open frame.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&self.partition.job.0);
        let numbers = [self.partition.execution, self.partition.edge, self.partition.producer, self.consumer];
        for (chunk, number) in bytes[16..].chunks_exact_mut(4).zip(numbers) {
            chunk.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The key in an open frame; none if it is too short.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let job = JobId::from_bytes(bytes.get(..16)?)?;
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            partition: PartitionId { job, execution: number(16)?, edge: number(20)?, producer: number(24)? },
            consumer: number(28)?,
        })
    }
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.partition, self.consumer)
    }
}
