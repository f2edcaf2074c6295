//! Writes a table of a savepoint as releases did whose rows were in Arrow's row format: version 0 of their encoding
//! (`docs/checkpoint-format.md`). Of columns of whole numbers, which differ in their marks alone.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use wiesel_proto as proto;
use wiesel_state::storage::METADATA;
use wiesel_state::storage::metadata::{decode, encode};

/// Bytes of a file of sorted entries: its header, the header of a block, an entry of the index, the footer.
const HEADER: usize = 16;
const BLOCK_HEADER: usize = 8;
const INDEX_ENTRY: usize = 26;
const FOOTER: usize = 36;
/// The marks of null and of a value in a key, and before.
const NULL: u8 = 0x10;
const VALUE: u8 = 0x11;

/// Writes all entries of the table with this name anew, in the folder of a savepoint whose state is in its metadata; its keys have a
/// namespace. Says how many entries that were.
///
/// # Errors
/// It is no such savepoint or no such table.
pub fn rewrite(savepoint: &Path, table: &str) -> Result<u64> {
    let path = savepoint.join(METADATA);
    let folder = format!("file://{}", savepoint.display());
    let mut metadata = decode(&Bytes::from(fs::read(&path)?), &path.display().to_string(), &folder)?;
    let subtasks = metadata.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks);
    let operators = subtasks.flat_map(|subtask| &mut subtask.operators);
    let mut entries = 0;
    for handle in operators.flat_map(|operator| &mut operator.keyed) {
        let Some(descriptor) = handle.tables.iter_mut().find(|described| described.name == table) else { continue };
        ensure!(descriptor.row_format == 1, "{table} is in version {} of its rows", descriptor.row_format);
        descriptor.row_format = 0;
        // The first column of keys is the namespace.
        let (key, value) = (widths(&descriptor.key)?, widths(&descriptor.value)?);
        for file in handle.files.iter_mut().filter(|file| file.name == table) {
            let file = file.file.as_mut().context("a file of state without its place")?;
            ensure!(file.path.is_empty(), "the state is not in the metadata: {}", file.path);
            let (bytes, count) = rewrite_file(&file.inline, &key[1..], &value)?;
            entries += count;
            (file.size, file.crc32c, file.inline) = (bytes.len() as u64, crc32c::crc32c(&bytes), bytes.into());
        }
    }
    fs::write(&path, encode(&metadata, &folder))?;
    Ok(entries)
}

/// Bytes of the values of columns.
fn widths(schema: &Option<proto::Schema>) -> Result<Vec<usize>> {
    let fields = schema.as_ref().map_or(&[][..], |schema| &schema.fields);
    let width = |field: &proto::Field| match field.r#type.as_ref().map(proto::DataType::root) {
        Some(proto::TypeRoot::Bigint) => Ok(8),
        Some(proto::TypeRoot::Integer) => Ok(4),
        other => bail!("{}: {other:?} is no whole number", field.name),
    };
    fields.iter().map(width).collect()
}

fn rewrite_file(file: &[u8], key: &[usize], value: &[usize]) -> Result<(Vec<u8>, u64)> {
    ensure!(file.len() >= HEADER + FOOTER, "a file of {} bytes", file.len());
    let footer = &file[file.len() - FOOTER..];
    let (index, groups) = (number::<8>(footer, 0) as usize, number::<4>(footer, 8) as usize);
    let mut written = file[..HEADER].to_vec();
    let mut new_index = Vec::new();
    let mut entries = 0;
    for group in 0..groups {
        let at = &file[index + group * INDEX_ENTRY..][..INDEX_ENTRY];
        let (start, length) = (number::<8>(at, 2) as usize, number::<8>(at, 10) as usize);
        let new_start = written.len();
        let mut blocks = &file[start..start + length];
        while !blocks.is_empty() {
            let size = number::<4>(blocks, 0) as usize;
            let payload = rewrite_block(&blocks[BLOCK_HEADER..BLOCK_HEADER + size], key, value)?;
            written.extend((payload.len() as u32).to_be_bytes());
            written.extend(crc32c::crc32c(&payload).to_be_bytes());
            written.extend(payload);
            blocks = &blocks[BLOCK_HEADER + size..];
        }
        new_index.extend_from_slice(&at[..2]);
        new_index.extend((new_start as u64).to_be_bytes());
        new_index.extend(((written.len() - new_start) as u64).to_be_bytes());
        new_index.extend_from_slice(&at[18..]);
        entries += number::<8>(at, 18);
    }
    let mut new_footer = (written.len() as u64).to_be_bytes().to_vec();
    new_footer.extend((groups as u32).to_be_bytes());
    new_footer.extend(crc32c::crc32c(&new_index).to_be_bytes());
    new_footer.extend(entries.to_be_bytes());
    new_footer.extend(crc32c::crc32c(&new_footer).to_be_bytes());
    new_footer.extend_from_slice(&footer[FOOTER - 8..]);
    written.extend(new_index);
    written.extend(new_footer);
    Ok((written, entries))
}

/// The number of so many bytes at a place.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + BYTES].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn rewrite_block(payload: &[u8], key: &[usize], value: &[usize]) -> Result<Vec<u8>> {
    let mut rest = payload;
    let mut written = Vec::with_capacity(2 * payload.len());
    while !rest.is_empty() {
        let (key_length, value_length) = (take_length(&mut rest)?, take_length(&mut rest)?);
        let (old_key, behind) = rest.split_at(key_length);
        let (old_value, behind) = behind.split_at(value_length);
        rest = behind;
        let (new_key, new_value) = (former_key(old_key, key)?, former_value(old_value, value)?);
        for length in [new_key.len(), new_value.len()] {
            ensure!(length < 128, "a row of {length} bytes");
            written.push(length as u8);
        }
        written.extend(new_key);
        written.extend(new_value);
    }
    Ok(written)
}

fn take_length(bytes: &mut &[u8]) -> Result<usize> {
    let (length, rest) = bytes.split_first().context("an entry is cut off")?;
    ensure!(*length < 128, "a row of more than 127 bytes");
    *bytes = rest;
    Ok(usize::from(*length))
}

/// Key group and namespace stay; of each column the mark changes.
fn former_key(key: &[u8], widths: &[usize]) -> Result<Vec<u8>> {
    let wanted = 10 + widths.len() + widths.iter().sum::<usize>();
    ensure!(key.len() == wanted, "a key of {} bytes instead of {wanted}", key.len());
    let (mut written, mut at) = (key[..10].to_vec(), 10);
    for width in widths {
        written.push(match key[at] {
            NULL => 0,
            VALUE => 1,
            other => bail!("a key has the mark {other}"),
        });
        written.extend_from_slice(&key[at + 1..=at + width]);
        at += 1 + width;
    }
    Ok(written)
}

/// What is null was said in front of all columns, and is in front of each.
fn former_value(value: &[u8], widths: &[usize]) -> Result<Vec<u8>> {
    let mut at = widths.len().div_ceil(8);
    let wanted = at + widths.iter().sum::<usize>();
    ensure!(value.len() == wanted, "a value of {} bytes instead of {wanted}", value.len());
    let nulls = &value[..at];
    let mut written = Vec::with_capacity(value.len() + widths.len());
    for (column, width) in widths.iter().enumerate() {
        written.push(u8::from(nulls[column / 8] >> (column % 8) & 1 == 0));
        written.extend_from_slice(&value[at..at + width]);
        at += width;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers() {
        let key = [&[0, 7][..], &[0x80, 0, 0, 0, 0, 0, 0, 9], &[VALUE, 0x80, 0, 0, 5], &[NULL, 0, 0, 0, 0]].concat();
        let former = [&[0, 7][..], &[0x80, 0, 0, 0, 0, 0, 0, 9], &[1, 0x80, 0, 0, 5], &[0, 0, 0, 0, 0]].concat();
        assert_eq!(former_key(&key, &[4, 4]).unwrap(), former);
        assert_eq!(
            former_value(&[0b10, 0x80, 0, 0, 1, 0, 0, 0, 0], &[4, 4]).unwrap(),
            [1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0]
        );
        assert!(former_key(&key, &[4]).is_err() && former_value(&[0, 1, 2, 3, 4], &[8]).is_err());
    }
}
