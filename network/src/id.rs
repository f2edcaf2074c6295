//! What partitions and channels are called.
use std::fmt;

use wiesel_common::id::{JobId, LeaderSessionId};

/// What one subtask produces for one edge in one execution of a job. Executions never share a partition, nor do those of two
/// JobMasters, which both count from 0: a consumer that was deployed before never takes a channel from one that came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionId {
    /// The job.
    pub job: JobId,
    /// The session of the JobMaster that deployed it.
    pub session: LeaderSessionId,
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
    pub const LENGTH: usize = 48;

    /// The key as it stands in an open frame.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&self.partition.job.0);
        bytes[16..32].copy_from_slice(&self.partition.session.0);
        let numbers = [self.partition.execution, self.partition.edge, self.partition.producer, self.consumer];
        for (chunk, number) in bytes[32..].chunks_exact_mut(4).zip(numbers) {
            chunk.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The key in an open frame; none if it is too short.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let job = JobId::from_bytes(bytes.get(..16)?)?;
        let session = LeaderSessionId::from_bytes(bytes.get(16..32)?)?;
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            partition: PartitionId { job, session, execution: number(32)?, edge: number(36)?, producer: number(40)? },
            consumer: number(44)?,
        })
    }
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.partition, self.consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_wire_and_is_told_from_that_of_another_session() {
        let job = JobId::random();
        let key = |session| ChannelKey {
            partition: PartitionId { job, session, execution: 1, edge: 2, producer: 3 },
            consumer: 4,
        };
        let (one, other) = (key(LeaderSessionId::random()), key(LeaderSessionId::random()));
        assert_eq!(ChannelKey::decode(&one.encode()), Some(one));
        assert_ne!(one.encode(), other.encode());
        assert_eq!(ChannelKey::decode(&one.encode()[..ChannelKey::LENGTH - 1]), None);
    }
}
