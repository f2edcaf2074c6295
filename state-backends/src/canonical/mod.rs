//! Sorted entries in files that any back end writes and reads. docs/checkpoint-format.md has the layout to the bit.
//!
//! A file holds entries of one table in key order. They stand in blocks, each of one key group and with a checksum; an index
//! at the end says where each key group begins, so that a restore reads what it needs.
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::read;
pub(crate) use write::Writer;

const MAGIC: &[u8; 8] = b"WIESELKS";
const END_MAGIC: &[u8; 8] = b"WIESELKE";
const VERSION: u16 = 1;
const HEADER: usize = 16;
const BLOCK_HEADER: usize = 8;
const INDEX_ENTRY: usize = 26;
const FOOTER: usize = 36;
/// A block is closed when it has so many bytes.
const BLOCK: usize = 64 << 10;
/// A file is closed when it has so many bytes.
pub(crate) const FILE: usize = 32 << 20;
