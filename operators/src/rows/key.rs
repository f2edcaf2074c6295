//! Rows whose bytes are in the order of their values.
//!
//! Each part of a row begins with a mark: null, or a value. Both are above the marks of version 0, so that no key is one of that
//! version. A value of a fixed width follows as such, zeros for null; a text up to a zero, which is below all that it may have; an
//! array up to a zero, which is below the mark of another element.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, NullArray, NullBufferBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::fixed::{self, Sink, Source};
use super::shape::{Elements, Kind, Node, Offsets, Part, Shape};
use super::{Encoded, corrupt, cut_off};
use crate::operator::{Error, Result};

/// Before null.
pub(super) const NULL: u8 = 0x10;
/// Before a value.
pub(super) const VALUE: u8 = 0x11;
/// Behind the bytes of a text and the elements of an array.
const END: u8 = 0x00;
/// Before a byte of a text that is [`END`] or this, which is one more then.
const ESCAPE: u8 = 0x01;

/// Encodes keys: their bytes compare as their values do, nulls first, and none begins another's.
pub struct KeyCodec {
    shape: Shape,
}

impl KeyCodec {
    /// For rows of these columns.
    ///
    /// # Errors
    /// A type cannot be kept.
    pub fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self { shape: Shape::new(types)? })
    }

    /// How many columns rows have.
    pub fn width(&self) -> usize {
        self.shape.columns
    }

    /// Encodes the rows of columns, each behind `room` bytes that are the caller's.
    ///
    /// # Errors
    /// The columns are of other types.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize, room: usize, encoded: &mut Encoded) -> Result<()> {
        encode(&self.shape, columns, rows, room, encoded)
    }

    /// The columns of encoded rows, without the room before each.
    ///
    /// # Errors
    /// These are no such rows.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let mut rows: Vec<&[u8]> = rows.collect();
        let columns = decode(&self.shape, &mut rows)?;
        match rows.iter().all(|rest| rest.is_empty()) {
            true => Ok(columns),
            false => Err(corrupt("a key has more columns than its table")),
        }
    }
}

/// What has to be known of a part before it is written.
enum Prepared {
    Nothing,
    Bytes {
        /// There are bytes to escape.
        escapes: bool,
    },
    Elements(Elements),
}

fn encode(shape: &Shape, columns: &[ArrayRef], rows: usize, room: usize, encoded: &mut Encoded) -> Result<()> {
    let parts = shape.parts(columns, rows)?;
    encoded.begin(rows, room + shape.nodes.len() + shape.fixed);
    let prepared = shape.nodes.iter().zip(&parts).map(|(node, part)| prepare(node, part, &mut encoded.ends));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    encoded.lay_out(room);
    for ((node, part), prepared) in shape.nodes.iter().zip(&parts).zip(&prepared) {
        match prepared {
            Prepared::Bytes { escapes } => write_bytes(part, *escapes, encoded),
            Prepared::Elements(elements) => write_elements(part, elements, encoded),
            Prepared::Nothing if node.kind.width() > 0 => write_fixed(node, part, encoded)?,
            Prepared::Nothing => (0..rows).for_each(|row| write_mark(part, row, encoded)),
        }
    }
    Ok(())
}

/// Adds to the lengths of rows what a part takes beside its mark and a fixed width.
fn prepare(node: &Node, part: &Part, lengths: &mut [usize]) -> Result<Prepared> {
    match &node.kind {
        Kind::Bytes => {
            let values = part.column.as_binary_view();
            let mut escapes = false;
            for (row, length) in lengths.iter_mut().enumerate().filter(|(row, _)| part.is_valid(*row)) {
                let value = values.value(row);
                *length += value.len() + 1;
                if has_escapes(value) {
                    escapes = true;
                    *length += value.iter().filter(|byte| **byte <= ESCAPE).count();
                }
            }
            Ok(Prepared::Bytes { escapes })
        }
        Kind::Collection(shape) => {
            let elements =
                Elements::new(&part.column, |columns, rows, encoded| encode(shape, columns, rows, 0, encoded))?;
            for (row, length) in lengths.iter_mut().enumerate().filter(|(row, _)| part.is_valid(*row)) {
                *length += elements.of(row).len() + 1;
            }
            Ok(Prepared::Elements(elements))
        }
        _ => Ok(Prepared::Nothing),
    }
}

/// Whether a byte must be escaped; eight at once.
#[inline]
fn has_escapes(value: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let (words, rest) = value.as_chunks::<8>();
    // The highest bit of each byte that is less than two, and maybe of bytes behind such a one.
    let below_two = |word: u64| word.wrapping_sub(ONES * 2) & !word & (ONES * 0x80) != 0;
    words.iter().any(|word| below_two(u64::from_ne_bytes(*word))) || rest.iter().any(|byte| *byte <= ESCAPE)
}

fn write_mark(part: &Part, row: usize, encoded: &mut Encoded) {
    encoded.bytes[encoded.ends[row]] = if part.is_valid(row) { VALUE } else { NULL };
    encoded.ends[row] += 1;
}

fn write_bytes(part: &Part, escapes: bool, encoded: &mut Encoded) {
    let values = part.column.as_binary_view();
    for row in 0..part.column.len() {
        write_mark(part, row, encoded);
        if !part.is_valid(row) {
            continue;
        }
        let value = values.value(row);
        let start = encoded.ends[row];
        let end = match escapes && has_escapes(value) {
            false => {
                encoded.bytes[start..start + value.len()].copy_from_slice(value);
                start + value.len()
            }
            true => write_escaped(value, start, &mut encoded.bytes),
        };
        encoded.bytes[end] = END;
        encoded.ends[row] = end + 1;
    }
}

/// Returns where it ends.
fn write_escaped(value: &[u8], start: usize, bytes: &mut [u8]) -> usize {
    let mut at = start;
    for byte in value {
        if *byte <= ESCAPE {
            bytes[at..at + 2].copy_from_slice(&[ESCAPE, *byte + 1]);
            at += 2;
        } else {
            bytes[at] = *byte;
            at += 1;
        }
    }
    at
}

fn write_elements(part: &Part, elements: &Elements, encoded: &mut Encoded) {
    for row in 0..part.column.len() {
        write_mark(part, row, encoded);
        if !part.is_valid(row) {
            continue;
        }
        let (elements, start) = (elements.of(row), encoded.ends[row]);
        let end = start + elements.len();
        encoded.bytes[start..end].copy_from_slice(elements);
        encoded.bytes[end] = END;
        encoded.ends[row] = end + 1;
    }
}

/// First as if nothing was null.
fn write_fixed(node: &Node, part: &Part, encoded: &mut Encoded) -> Result<()> {
    let width = node.kind.width();
    fixed::write(node, part, &mut Fields { bytes: &mut encoded.bytes, ends: &mut encoded.ends })?;
    for row in part.null_rows() {
        let end = encoded.ends[row];
        let field = &mut encoded.bytes[end - width - 1..end];
        field.fill(0);
        field[0] = NULL;
    }
    Ok(())
}

/// The next part of each row.
struct Fields<'a> {
    bytes: &'a mut [u8],
    ends: &'a mut [usize],
}

impl Sink for Fields<'_> {
    #[inline]
    fn put<const W: usize>(&mut self, row: usize, value: [u8; W]) {
        let start = self.ends[row];
        let field = &mut self.bytes[start..start + 1 + W];
        field[0] = VALUE;
        field[1..].copy_from_slice(&value);
        self.ends[row] = start + 1 + W;
    }
}

/// Takes the columns off the beginnings of rows.
fn decode(shape: &Shape, rows: &mut [&[u8]]) -> Result<Vec<ArrayRef>> {
    let mut nodes = shape.nodes.iter();
    let mut columns = Vec::with_capacity(shape.columns);
    for _ in 0..shape.columns {
        columns.push(read_column(&mut nodes, rows)?);
    }
    Ok(columns)
}

fn read_column(nodes: &mut std::slice::Iter<'_, Node>, rows: &mut [&[u8]]) -> Result<ArrayRef> {
    let node = nodes.next().ok_or_else(|| Error::Plan("a row without the parts of its columns".into()))?;
    match (&node.kind, &node.data_type) {
        (Kind::Null, _) => match read_marks(rows)?.map_or(0, |nulls| nulls.null_count()) == rows.len() {
            true => Ok(Arc::new(NullArray::new(rows.len()))),
            false => Err(corrupt("there is a value where all are null")),
        },
        (Kind::Row, DataType::Struct(fields)) => {
            let nulls = read_marks(rows)?;
            let mut columns = Vec::with_capacity(fields.len());
            for _ in fields {
                columns.push(read_column(nodes, rows)?);
            }
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows.len())?))
        }
        (Kind::Bytes, data_type) => read_bytes(data_type, rows),
        (Kind::Collection(elements), data_type) => read_collection(elements, data_type, rows),
        _ => fixed::read(node, &mut Rows(rows)),
    }
}

/// Takes a mark off; whether a value follows.
#[inline]
fn take_mark(row: &mut &[u8]) -> Result<bool> {
    let (mark, rest) = row.split_first().ok_or_else(cut_off)?;
    *row = rest;
    match *mark {
        VALUE => Ok(true),
        NULL => Ok(false),
        _ => Err(corrupt("a column of a key does not begin as it should")),
    }
}

fn read_marks(rows: &mut [&[u8]]) -> Result<Option<NullBuffer>> {
    let mut nulls = NullBufferBuilder::new(rows.len());
    for row in rows {
        nulls.append(take_mark(row)?);
    }
    Ok(nulls.finish())
}

/// Takes the bytes of a text off, escaped as they are.
#[inline]
fn take_bytes<'a>(row: &mut &'a [u8]) -> Result<&'a [u8]> {
    let all = *row;
    let end = memchr::memchr(END, all).ok_or_else(cut_off)?;
    *row = &all[end + 1..];
    Ok(&all[..end])
}

fn read_bytes(data_type: &DataType, rows: &mut [&[u8]]) -> Result<ArrayRef> {
    let mut values = BinaryViewBuilder::with_capacity(rows.len());
    let mut unescaped = Vec::new();
    for row in rows {
        if !take_mark(row)? {
            values.append_null();
            continue;
        }
        let value = take_bytes(row)?;
        match memchr::memchr(ESCAPE, value) {
            None => values.try_append_value(value)?,
            Some(first) => {
                unescape(value, first, &mut unescaped)?;
                values.try_append_value(&unescaped[..])?;
            }
        }
    }
    let values = values.finish();
    Ok(match data_type {
        DataType::Utf8View => Arc::new(values.to_string_view()?),
        _ => Arc::new(values),
    })
}

/// `first`: where the first escape is.
fn unescape(value: &[u8], first: usize, unescaped: &mut Vec<u8>) -> Result<()> {
    unescaped.clear();
    unescaped.extend_from_slice(&value[..first]);
    let mut bytes = value[first..].iter();
    while let Some(byte) = bytes.next() {
        if *byte != ESCAPE {
            unescaped.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(1) => unescaped.push(0),
            Some(2) => unescaped.push(1),
            _ => return Err(corrupt("a byte of a text is not escaped as it should be")),
        }
    }
    Ok(())
}

fn read_collection(elements: &Shape, data_type: &DataType, rows: &mut [&[u8]]) -> Result<ArrayRef> {
    let mut nulls = NullBufferBuilder::new(rows.len());
    let mut offsets = Offsets::new(rows.len());
    let mut found: Vec<&[u8]> = Vec::new();
    for row in rows {
        let valid = take_mark(row)?;
        nulls.append(valid);
        while valid && *row.first().ok_or_else(cut_off)? != END {
            found.push(*row);
            pass_over(elements, row)?;
        }
        if valid {
            *row = &row[1..];
        }
        offsets.end_row(found.len())?;
    }
    let columns = decode(elements, &mut found)?;
    offsets.finish(data_type, columns, nulls.finish())
}

/// Takes one row off.
fn pass_over(shape: &Shape, row: &mut &[u8]) -> Result<()> {
    for node in &shape.nodes {
        let valid = take_mark(row)?;
        match &node.kind {
            Kind::Bytes if valid => _ = take_bytes(row)?,
            Kind::Collection(elements) if valid => {
                while *row.first().ok_or_else(cut_off)? != END {
                    pass_over(elements, row)?;
                }
                *row = &row[1..];
            }
            kind => *row = row.get(kind.width()..).ok_or_else(cut_off)?,
        }
    }
    Ok(())
}

/// The next part of each row.
struct Rows<'a, 'b>(&'a mut [&'b [u8]]);

impl Source for Rows<'_, '_> {
    fn take<const W: usize, T>(&mut self, value: impl Fn([u8; W]) -> T) -> Result<(Vec<T>, Option<NullBuffer>)> {
        let mut values = Vec::with_capacity(self.0.len());
        let mut nulls = NullBufferBuilder::new(self.0.len());
        for row in self.0.iter_mut() {
            nulls.append(take_mark(row)?);
            let (bytes, rest) = row.split_first_chunk::<W>().ok_or_else(cut_off)?;
            *row = rest;
            values.push(value(*bytes));
        }
        Ok((values, nulls.finish()))
    }
}
