//! Rows in few bytes.
//!
//! A row begins with a bit for each part, set for null, and the values of a fixed width, zeros for null: both are at the same place
//! in all rows. Behind them each part of no fixed width has its length and its bytes; those of an array are its elements, rows
//! again.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, NullArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::fixed::{self, Sink, Source};
use super::shape::{Elements, Kind, Node, Offsets, Part, Shape};
use super::{Encoded, corrupt, cut_off};
use crate::operator::Result;

/// Encodes values.
pub struct ValueCodec {
    shape: Shape,
}

impl ValueCodec {
    /// For rows of these columns.
    ///
    /// # Errors
    /// A type cannot be kept.
    pub fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self { shape: Shape::new(types)? })
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
            false => Err(corrupt("a value has more columns than its table")),
        }
    }
}

/// Bytes of the bits of a row.
fn bits(shape: &Shape) -> usize {
    shape.nodes.len().div_ceil(8)
}

/// Bytes that are at the same place in all rows.
fn head(shape: &Shape) -> usize {
    bits(shape) + shape.fixed
}

fn encode(shape: &Shape, columns: &[ArrayRef], rows: usize, room: usize, encoded: &mut Encoded) -> Result<()> {
    let parts = shape.parts(columns, rows)?;
    encoded.begin(rows, room + head(shape));
    let prepared = shape.nodes.iter().zip(&parts).map(|(node, part)| prepare(node, part, &mut encoded.ends));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    encoded.lay_out(room);
    let starts = encoded.ends.clone();
    encoded.ends.iter_mut().for_each(|end| *end += head(shape));
    for (number, ((node, part), elements)) in shape.nodes.iter().zip(&parts).zip(&prepared).enumerate() {
        let nulls = part.null_rows();
        nulls.iter().for_each(|row| encoded.bytes[starts[*row] + number / 8] |= 1 << (number % 8));
        match (&node.kind, elements) {
            (Kind::Bytes, _) => write_bytes(part, encoded),
            (_, Some(elements)) => write_elements(part, elements, encoded),
            _ => write_fixed(node, part, &starts, bits(shape) + node.offset, &nulls, encoded)?,
        }
    }
    Ok(())
}

/// Adds to the lengths of rows what a part of no fixed width takes. Returns the elements if there are some.
fn prepare(node: &Node, part: &Part, lengths: &mut [usize]) -> Result<Option<Elements>> {
    match &node.kind {
        Kind::Bytes => {
            let values = part.column.as_binary_view().lengths();
            for (row, (length, bytes)) in lengths.iter_mut().zip(values).enumerate() {
                *length += sized(if part.is_valid(row) { bytes as usize } else { 0 });
            }
            Ok(None)
        }
        Kind::Collection(shape) => {
            let elements =
                Elements::new(&part.column, |columns, rows, encoded| encode(shape, columns, rows, 0, encoded))?;
            for (row, length) in lengths.iter_mut().enumerate() {
                *length += sized(if part.is_valid(row) { elements.of(row).len() } else { 0 });
            }
            Ok(Some(elements))
        }
        _ => Ok(None),
    }
}

/// How long so many bytes are with their length before them.
#[inline]
fn sized(length: usize) -> usize {
    let significant = usize::BITS - (length | 1).leading_zeros();
    length + significant.div_ceil(7) as usize
}

/// Appends a length and so many bytes to a row.
#[inline]
fn put(encoded: &mut Encoded, row: usize, value: &[u8]) {
    let (mut at, mut length) = (encoded.ends[row], value.len());
    while length > 0x7f {
        encoded.bytes[at] = length as u8 | 0x80;
        length >>= 7;
        at += 1;
    }
    encoded.bytes[at] = length as u8;
    let end = at + 1 + value.len();
    encoded.bytes[at + 1..end].copy_from_slice(value);
    encoded.ends[row] = end;
}

fn write_bytes(part: &Part, encoded: &mut Encoded) {
    let values = part.column.as_binary_view();
    for row in 0..values.len() {
        put(encoded, row, if part.is_valid(row) { values.value(row) } else { &[] });
    }
}

fn write_elements(part: &Part, elements: &Elements, encoded: &mut Encoded) {
    for row in 0..part.column.len() {
        put(encoded, row, if part.is_valid(row) { elements.of(row) } else { &[] });
    }
}

/// First as if nothing was null.
fn write_fixed(
    node: &Node,
    part: &Part,
    starts: &[usize],
    offset: usize,
    nulls: &[usize],
    encoded: &mut Encoded,
) -> Result<()> {
    fixed::write(node, part, &mut Fields { bytes: &mut encoded.bytes, starts, offset })?;
    let width = node.kind.width();
    for row in nulls {
        let start = starts[*row] + offset;
        encoded.bytes[start..start + width].fill(0);
    }
    Ok(())
}

/// A part of a fixed width of each row.
struct Fields<'a> {
    bytes: &'a mut [u8],
    starts: &'a [usize],
    offset: usize,
}

impl Sink for Fields<'_> {
    #[inline]
    fn put<const W: usize>(&mut self, row: usize, value: [u8; W]) {
        let start = self.starts[row] + self.offset;
        self.bytes[start..start + W].copy_from_slice(&value);
    }
}

/// Takes one row off the beginning of each.
fn decode(shape: &Shape, rows: &mut [&[u8]]) -> Result<Vec<ArrayRef>> {
    let mut heads = Vec::with_capacity(rows.len());
    for row in rows.iter_mut() {
        heads.push(take(row, head(shape))?);
    }
    let mut reader = Reader { shape, heads: &heads, rows, next: 0 };
    let mut columns = Vec::with_capacity(shape.columns);
    for _ in 0..shape.columns {
        columns.push(reader.column()?);
    }
    Ok(columns)
}

/// Takes bytes off.
#[inline]
fn take<'a>(row: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, rest) = row.split_at_checked(length).ok_or_else(cut_off)?;
    *row = rest;
    Ok(taken)
}

/// Takes a length and so many bytes off.
#[inline]
fn take_sized<'a>(row: &mut &'a [u8]) -> Result<&'a [u8]> {
    let mut length = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(row, 1)?[0];
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return take(row, usize::try_from(length).map_err(|_| cut_off())?);
        }
    }
    Err(corrupt("a length has too many bytes"))
}

/// Takes one row off.
fn pass_over(shape: &Shape, row: &mut &[u8]) -> Result<()> {
    take(row, head(shape))?;
    for _ in 0..shape.variable {
        take_sized(row)?;
    }
    Ok(())
}

struct Reader<'a, 'b> {
    shape: &'a Shape,
    /// What is at the same place in all rows.
    heads: &'a [&'b [u8]],
    /// What is left of each row.
    rows: &'a mut [&'b [u8]],
    /// The next part.
    next: usize,
}

impl Reader<'_, '_> {
    fn column(&mut self) -> Result<ArrayRef> {
        let number = self.next;
        self.next += 1;
        let shape = self.shape;
        let node = &shape.nodes[number];
        match (&node.kind, &node.data_type) {
            (Kind::Null, _) => Ok(Arc::new(NullArray::new(self.heads.len()))),
            (Kind::Row, DataType::Struct(fields)) => {
                let mut columns = Vec::with_capacity(fields.len());
                for _ in fields {
                    columns.push(self.column()?);
                }
                let (nulls, rows) = (self.nulls(number), self.heads.len());
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?))
            }
            (Kind::Bytes, data_type) => self.bytes(number, data_type),
            (Kind::Collection(elements), data_type) => self.collection(number, elements, data_type),
            _ => {
                let (heads, nulls) = (self.heads, self.nulls(number));
                fixed::read(node, &mut Column { heads, nulls, offset: bits(shape) + node.offset })
            }
        }
    }

    fn nulls(&self, number: usize) -> Option<NullBuffer> {
        let (byte, bit) = (number / 8, 1 << (number % 8));
        let is_valid = |head: &&[u8]| head[byte] & bit == 0;
        let all = self.heads.iter().all(is_valid);
        (!all).then(|| self.heads.iter().map(is_valid).collect())
    }

    fn bytes(&mut self, number: usize, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.nulls(number);
        let mut values = BinaryViewBuilder::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter_mut().enumerate() {
            let value = take_sized(row)?;
            match nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at)) {
                true => values.try_append_value(value)?,
                false => values.append_null(),
            }
        }
        let values = values.finish();
        Ok(match data_type {
            DataType::Utf8View => Arc::new(values.to_string_view()?),
            _ => Arc::new(values),
        })
    }

    fn collection(&mut self, number: usize, elements: &Shape, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.nulls(number);
        let mut offsets = Offsets::new(self.rows.len());
        let mut found: Vec<&[u8]> = Vec::new();
        for (at, row) in self.rows.iter_mut().enumerate() {
            let mut all = take_sized(row)?;
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(at)) && !all.is_empty() {
                return Err(corrupt("an array that is null has elements"));
            }
            // An element has one byte at least: that of its bits.
            while !all.is_empty() {
                found.push(all);
                pass_over(elements, &mut all)?;
            }
            offsets.end_row(found.len())?;
        }
        let columns = decode(elements, &mut found)?;
        offsets.finish(data_type, columns, nulls)
    }
}

/// A part of a fixed width of each row.
struct Column<'a, 'b> {
    heads: &'a [&'b [u8]],
    nulls: Option<NullBuffer>,
    offset: usize,
}

impl Source for Column<'_, '_> {
    fn take<const W: usize, T>(&mut self, value: impl Fn([u8; W]) -> T) -> Result<(Vec<T>, Option<NullBuffer>)> {
        let mut values = Vec::with_capacity(self.heads.len());
        for head in self.heads {
            let bytes = head.get(self.offset..).and_then(|field| field.first_chunk::<W>()).ok_or_else(cut_off)?;
            values.push(value(*bytes));
        }
        Ok((values, self.nulls.take()))
    }
}
