//! Writes files of sorted entries.
use bytes::Bytes;

use super::{BLOCK, BLOCK_HEADER, END_MAGIC, MAGIC, VERSION};

struct Group {
    number: u16,
    offset: u64,
    length: u64,
    entries: u64,
}

/// A file that grows entry by entry.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// Where the header of the open block is.
    block: Option<usize>,
    groups: Vec<Group>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        Self { bytes, block: None, groups: Vec::new() }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds an entry; its key begins with the key group and is larger than those before.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        let number = key.first_chunk::<2>().map_or(0, |group| u16::from_be_bytes(*group));
        if self.groups.last().is_none_or(|group| group.number != number) {
            self.close_block();
            self.groups.push(Group { number, offset: self.bytes.len() as u64, length: 0, entries: 0 });
        }
        if self.block.is_some_and(|start| self.bytes.len() - start >= BLOCK) {
            self.close_block();
        }
        if self.block.is_none() {
            self.block = Some(self.bytes.len());
            self.bytes.extend_from_slice(&[0; BLOCK_HEADER]);
        }
        put_varint(&mut self.bytes, key.len() as u64);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        if let Some(group) = self.groups.last_mut() {
            group.entries += 1;
        }
    }

    fn close_block(&mut self) {
        let Some(start) = self.block.take() else { return };
        let payload = start + BLOCK_HEADER;
        let length = (self.bytes.len() - payload) as u32;
        let checksum = crc32c::crc32c(&self.bytes[payload..]);
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.bytes[start + 4..payload].copy_from_slice(&checksum.to_be_bytes());
        let end = self.bytes.len() as u64;
        if let Some(group) = self.groups.last_mut() {
            group.length = end - group.offset;
        }
    }

    /// The whole file.
    pub(crate) fn finish(mut self) -> Bytes {
        self.close_block();
        let index = self.bytes.len();
        for group in &self.groups {
            self.bytes.extend_from_slice(&group.number.to_be_bytes());
            self.bytes.extend_from_slice(&group.offset.to_be_bytes());
            self.bytes.extend_from_slice(&group.length.to_be_bytes());
            self.bytes.extend_from_slice(&group.entries.to_be_bytes());
        }
        let entries: u64 = self.groups.iter().map(|group| group.entries).sum();
        let checksum = crc32c::crc32c(&self.bytes[index..]);
        let footer = self.bytes.len();
        self.bytes.extend_from_slice(&(index as u64).to_be_bytes());
        self.bytes.extend_from_slice(&(self.groups.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        self.bytes.extend_from_slice(&entries.to_be_bytes());
        let checksum = crc32c::crc32c(&self.bytes[footer..]);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        self.bytes.extend_from_slice(END_MAGIC);
        self.bytes.into()
    }
}

/// LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
