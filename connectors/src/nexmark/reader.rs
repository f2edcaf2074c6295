//! Events by number: one reader.
use bytes::Bytes;

/// A split: the next event number, and how far it is to the one after it.
pub(super) fn encode(next: u64, stride: u64) -> Bytes {
    [next.to_le_bytes(), stride.to_le_bytes()].concat().into()
}
