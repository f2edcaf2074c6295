//! Reads files of sorted entries, as much of them as the wanted key groups take.
use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use wiesel_proto as proto;
use wiesel_state::storage::CheckpointStorage;
use wiesel_state::{Error, Result};

use super::{BLOCK_HEADER, END_MAGIC, FOOTER, HEADER, INDEX_ENTRY, MAGIC, VERSION};

/// Up to this size a file is read at once.
const SMALL: u64 = 256 << 10;
/// What is read first of a larger one: the footer and most indexes.
const TAIL: u64 = 64 << 10;

#[derive(Clone, Copy)]
struct Group {
    number: u16,
    offset: u64,
    length: u64,
    entries: u64,
}

impl Group {
    fn span(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

/// Visits the entries of the wanted key groups in key order.
///
/// # Errors
/// The file is missing or damaged, and whatever `visit` fails with; some entries may have been visited then.
pub(crate) async fn read(
    storage: &CheckpointStorage,
    file: &proto::StateFile,
    wanted: &RangeInclusive<u16>,
    visit: &mut (dyn FnMut(&[u8], &[u8]) -> Result<()> + Send),
) -> Result<()> {
    let name = if file.path.is_empty() { "inline state" } else { file.path.as_str() };
    let source = Source { storage, file, name };
    let whole = if file.size <= SMALL || !file.inline.is_empty() { Some(storage.read(file).await?) } else { None };
    let tail_start = if whole.is_some() { 0 } else { file.size.saturating_sub(TAIL) };
    let tail = match &whole {
        Some(bytes) => bytes.clone(),
        None => storage.read_range(file, tail_start..file.size).await?,
    };
    let groups = source.index(&tail, tail_start).await?;
    let groups: Vec<Group> = groups.into_iter().filter(|group| wanted.contains(&group.number)).collect();
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return Ok(()) };
    let span = first.offset..last.span().end;
    let (bytes, start) = match whole {
        Some(bytes) => (bytes, 0),
        // Nearly all of it: then its checksum can be verified as well.
        None if (span.end - span.start) * 4 >= file.size * 3 => (storage.read(file).await?, 0),
        None => (storage.read_range(file, span.clone()).await?, span.start),
    };
    groups.iter().try_for_each(|group| {
        let span = group.span();
        let blocks = &bytes[(span.start - start) as usize..(span.end - start) as usize];
        source.visit_group(group, blocks, visit)
    })
}

struct Source<'a> {
    storage: &'a CheckpointStorage,
    file: &'a proto::StateFile,
    name: &'a str,
}

impl Source<'_> {
    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("{} is damaged: {what}", self.name))
    }

    /// The groups of the file; `tail` is its end, which begins at `tail_start`.
    async fn index(&self, tail: &Bytes, tail_start: u64) -> Result<Vec<Group>> {
        let size = self.file.size;
        if size < (HEADER + FOOTER) as u64 || tail.len() < FOOTER {
            return Err(self.corrupt("it is too short"));
        }
        let footer = &tail[tail.len() - FOOTER..];
        if &footer[FOOTER - 8..] != END_MAGIC {
            return Err(self.corrupt("it does not end as it should"));
        }
        if crc32c::crc32c(&footer[..FOOTER - 12]) != u32_at(footer, FOOTER - 12) {
            return Err(self.corrupt("the checksum of its footer does not match"));
        }
        let (start, count) = (u64_at(footer, 0), u64::from(u32_at(footer, 8)));
        let end = size - FOOTER as u64;
        if start < HEADER as u64 || start.checked_add(count * INDEX_ENTRY as u64) != Some(end) {
            return Err(self.corrupt("its index is not where it should be"));
        }
        let index = match start.checked_sub(tail_start) {
            Some(at) => tail.slice(at as usize..tail.len() - FOOTER),
            None => self.storage.read_range(self.file, start..end).await?,
        };
        if crc32c::crc32c(&index) != u32_at(footer, 12) {
            return Err(self.corrupt("the checksum of its index does not match"));
        }
        self.check_header(tail, tail_start).await?;
        let groups: Vec<Group> = index.chunks_exact(INDEX_ENTRY).map(group_at).collect();
        self.check_index(&groups, start, u64_at(footer, 16))?;
        Ok(groups)
    }

    async fn check_header(&self, tail: &Bytes, tail_start: u64) -> Result<()> {
        let header = match tail_start {
            0 => tail.slice(..HEADER),
            _ => self.storage.read_range(self.file, 0..HEADER as u64).await?,
        };
        if &header[..8] != MAGIC {
            return Err(self.corrupt("it does not begin as it should"));
        }
        if crc32c::crc32c(&header[..HEADER - 4]) != u32_at(&header, HEADER - 4) {
            return Err(self.corrupt("the checksum of its header does not match"));
        }
        let version = u16::from_be_bytes([header[8], header[9]]);
        if version == 0 || version > VERSION {
            let name = self.name;
            let message =
                format!("{name} has version {version} of the format; this Wiesel reads versions up to {VERSION}");
            return Err(Error::Corrupt(message));
        }
        Ok(())
    }

    /// Groups follow one another without gaps.
    fn check_index(&self, groups: &[Group], end: u64, entries: u64) -> Result<()> {
        let mut at = HEADER as u64;
        for (i, group) in groups.iter().enumerate() {
            let ascending = i == 0 || groups[i - 1].number < group.number;
            let next = at.checked_add(group.length).filter(|next| *next <= end);
            at = match next {
                Some(next) if ascending && group.offset == at => next,
                _ => return Err(self.corrupt("its index is not in order")),
            };
        }
        let counted = groups.iter().fold(0u64, |sum, group| sum.wrapping_add(group.entries));
        if at != end || counted != entries {
            return Err(self.corrupt("its index is not complete"));
        }
        Ok(())
    }

    fn visit_group(
        &self,
        group: &Group,
        mut blocks: &[u8],
        visit: &mut (dyn FnMut(&[u8], &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let mut entries = 0;
        while !blocks.is_empty() {
            let length = if blocks.len() < BLOCK_HEADER { usize::MAX } else { u32_at(blocks, 0) as usize };
            if length > blocks.len().saturating_sub(BLOCK_HEADER) {
                return Err(self.corrupt("a block is cut off"));
            }
            let payload = &blocks[BLOCK_HEADER..BLOCK_HEADER + length];
            if crc32c::crc32c(payload) != u32_at(blocks, 4) {
                return Err(self.corrupt("the checksum of a block does not match"));
            }
            entries += self.visit_block(group.number, payload, visit)?;
            blocks = &blocks[BLOCK_HEADER + length..];
        }
        if entries == group.entries { Ok(()) } else { Err(self.corrupt("a key group is not complete")) }
    }

    fn visit_block(
        &self,
        group: u16,
        mut payload: &[u8],
        visit: &mut (dyn FnMut(&[u8], &[u8]) -> Result<()> + Send),
    ) -> Result<u64> {
        let mut entries = 0;
        while !payload.is_empty() {
            let lengths = take_varint(&mut payload).zip(take_varint(&mut payload));
            let (key, value) = lengths
                .and_then(|(key, value)| {
                    let (key, rest) = payload.split_at_checked(usize::try_from(key).ok()?)?;
                    let (value, rest) = rest.split_at_checked(usize::try_from(value).ok()?)?;
                    payload = rest;
                    Some((key, value))
                })
                .ok_or_else(|| self.corrupt("an entry is cut off"))?;
            if key.first_chunk::<2>() != Some(&group.to_be_bytes()) {
                return Err(self.corrupt("an entry is in the wrong key group"));
            }
            visit(key, value)?;
            entries += 1;
        }
        Ok(entries)
    }
}

fn group_at(bytes: &[u8]) -> Group {
    Group {
        number: u16::from_be_bytes([bytes[0], bytes[1]]),
        offset: u64_at(bytes, 2),
        length: u64_at(bytes, 10),
        entries: u64_at(bytes, 18),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    (u64::from(u32_at(bytes, at)) << 32) | u64::from(u32_at(bytes, at + 4))
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
