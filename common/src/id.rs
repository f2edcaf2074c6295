//! The ids of jobs, vertices, attempts and slots: 16 bytes, shown as 32 hexadecimal digits as Flink shows them.
use std::fmt;
use std::str::FromStr;

/// Text that is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no id: 32 hexadecimal digits expected")]
pub struct InvalidId(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(*crate::random::uuid().as_bytes())
            }

            /// The id in a message; none if it does not have 16 bytes.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The id for a message.
            pub fn to_bytes(self) -> bytes::Bytes {
                bytes::Bytes::copy_from_slice(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId(text.to_owned());
                if text.len() != 32 || !text.is_ascii() {
                    return Err(invalid());
                }
                let mut id = [0; 16];
                for (i, byte) in id.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| invalid())?;
                }
                Ok(Self(id))
            }
        }
    };
}

id!(
    /// A job.
    JobId
);
id!(
    /// An application.
    ApplicationId
);
id!(
    /// A vertex of a job graph.
    VertexId
);
id!(
    /// An operator: the identity of its state.
    OperatorId
);
id!(
    /// One attempt to run one subtask.
    AttemptId
);
id!(
    /// A slot as long as one job holds it.
    AllocationId
);
id!(
    /// The session of a leader: the fencing token of everything said to it. It begins with the epoch of the leader.
    LeaderSessionId
);

impl LeaderSessionId {
    /// A new session in this epoch.
    pub fn of_epoch(epoch: u64) -> Self {
        let mut session = Self::random();
        session.0[..8].copy_from_slice(&epoch.to_be_bytes());
        session
    }

    /// The epoch, which the election of leaders counts upwards; 0: there is no election. A process that has heard of a later one
    /// refuses what is said in this one.
    pub fn epoch(self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|i| self.0[i]))
    }

    /// The number of a run of a job, from the session of its JobMaster: the part that is drawn anew for each.
    pub fn run(self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|i| self.0[8 + i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_epoch_are_different_runs() {
        let (one, other) = (LeaderSessionId::of_epoch(7), LeaderSessionId::of_epoch(7));
        assert_eq!((one.epoch(), other.epoch()), (7, 7));
        assert_ne!(one.run(), other.run());
        assert_eq!(LeaderSessionId::from_bytes(&one.to_bytes()), Some(one));
        assert_eq!(LeaderSessionId::of_epoch(u64::MAX).epoch(), u64::MAX);
    }
}
