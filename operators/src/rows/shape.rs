//! What rows are made of: a flat list of parts, a ROW before its fields.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use super::{Encoded, corrupt};
use crate::aggregate::{physical_type, to_physical};
use crate::operator::{Error, Result};

/// Decimals of so many digits have eight bytes.
const SHORT_DIGITS: u8 = 18;

/// The parts of rows.
pub(super) struct Shape {
    pub nodes: Vec<Node>,
    /// How many columns rows have.
    pub columns: usize,
    /// Bytes of all parts of a fixed width.
    pub fixed: usize,
    /// How many parts are of no fixed width.
    pub variable: usize,
}

/// A part of rows: a column, or a field of a ROW.
pub(super) struct Node {
    pub data_type: DataType,
    pub kind: Kind,
    /// Bytes of the parts of a fixed width before this one.
    pub offset: usize,
}

/// How the values of a part are written.
pub(super) enum Kind {
    /// Always null.
    Null,
    /// Its fields are the next parts.
    Row,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    ShortDecimal,
    LongDecimal,
    Bytes,
    /// An array of such rows; a map as an array of its entries.
    Collection(Shape),
}

impl Kind {
    fn of(data_type: &DataType) -> Result<Self> {
        Ok(match physical_type(data_type) {
            DataType::Null => Self::Null,
            DataType::Struct(_) => Self::Row,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(..=SHORT_DIGITS, _) => Self::ShortDecimal,
            DataType::Decimal128(..) => Self::LongDecimal,
            DataType::Utf8View | DataType::BinaryView => Self::Bytes,
            DataType::List(item) => Self::Collection(Shape::new(std::slice::from_ref(item.data_type()))?),
            DataType::Map(entries, _) => Self::Collection(Shape::of_entries(&entries)?),
            other => return Err(Error::Plan(format!("values of {other} cannot be kept as state"))),
        })
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Null | Self::Row | Self::Bytes | Self::Collection(_) => 0,
            Self::Boolean | Self::Int8 => 1,
            Self::Int16 => 2,
            Self::Int32 | Self::Float32 => 4,
            Self::Int64 | Self::Float64 | Self::ShortDecimal => 8,
            Self::LongDecimal => 16,
        }
    }
}

impl Shape {
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        let mut shape = Self { nodes: Vec::new(), columns: types.len(), fixed: 0, variable: 0 };
        types.iter().try_for_each(|data_type| shape.add(data_type))?;
        Ok(shape)
    }

    fn of_entries(entries: &FieldRef) -> Result<Self> {
        match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                Self::new(&[fields[0].data_type().clone(), fields[1].data_type().clone()])
            }
            other => Err(Error::Plan(format!("a map has {other} as its entries"))),
        }
    }

    fn add(&mut self, data_type: &DataType) -> Result<()> {
        let kind = Kind::of(data_type)?;
        let offset = self.fixed;
        self.fixed += kind.width();
        self.variable += usize::from(matches!(kind, Kind::Bytes | Kind::Collection(_)));
        self.nodes.push(Node { data_type: data_type.clone(), kind, offset });
        match data_type {
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.add(field.data_type())),
            _ => Ok(()),
        }
    }

    /// The parts of columns, in the order of [`Shape::nodes`].
    pub(super) fn parts(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Part>> {
        if columns.len() != self.columns {
            let (given, kept) = (columns.len(), self.columns);
            return Err(Error::Plan(format!("{given} columns were given for rows of {kept}")));
        }
        let mut parts = Vec::with_capacity(self.nodes.len());
        for column in columns {
            if column.len() != rows {
                return Err(Error::Plan(format!("a column of {} rows was given for {rows} rows", column.len())));
            }
            self.take_apart(column, None, &mut parts)?;
        }
        Ok(parts)
    }

    /// `outer`: what is null in the ROW that this is a field of, and so here.
    fn take_apart(&self, column: &ArrayRef, outer: Option<&NullBuffer>, parts: &mut Vec<Part>) -> Result<()> {
        let given = column.data_type();
        let node = self.nodes.get(parts.len()).filter(|node| fits(&node.data_type, given));
        let Some(node) = node else {
            let kept = self.nodes.get(parts.len()).map(|node| node.data_type.to_string()).unwrap_or_default();
            return Err(Error::Plan(format!("a column of {given} was given where rows have {kept}")));
        };
        let nulls = match node.kind {
            Kind::Null => Some(NullBuffer::new_null(column.len())),
            _ => NullBuffer::union(outer, column.nulls()),
        };
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        parts.push(Part { column: plain(column), nulls: nulls.clone() });
        match node.kind {
            Kind::Row => {
                let fields = column.as_struct().columns();
                fields.iter().try_for_each(|field| self.take_apart(field, nulls.as_ref(), parts))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a column can be kept as this type. Names, and what cannot be null, may differ; what is within is looked at when its
/// turn comes.
fn fits(kept: &DataType, given: &DataType) -> bool {
    match (kept, given) {
        (DataType::Struct(kept), DataType::Struct(given)) => kept.len() == given.len(),
        (DataType::List(_), DataType::List(_)) | (DataType::Map(..), DataType::Map(..)) => true,
        _ => kept == given,
    }
}

/// Times as numbers, texts as bytes; without copying.
fn plain(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().clone().to_binary_view()),
        _ => to_physical(column),
    }
}

/// The values of a node.
pub(super) struct Part {
    pub column: ArrayRef,
    /// What is null here, or in a ROW around.
    pub nulls: Option<NullBuffer>,
}

impl Part {
    #[inline]
    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    pub(super) fn null_rows(&self) -> Vec<usize> {
        match &self.nulls {
            None => Vec::new(),
            Some(nulls) => (!nulls.inner()).set_indices().collect(),
        }
    }
}

/// The encoded elements of a column of arrays or maps.
pub(super) struct Elements {
    encoded: Encoded,
    /// Where those of each row begin, and where the last one's end.
    bounds: Vec<usize>,
}

impl Elements {
    pub(super) fn new(
        column: &ArrayRef,
        encode: impl FnOnce(&[ArrayRef], usize, &mut Encoded) -> Result<()>,
    ) -> Result<Self> {
        let (offsets, columns) = match column.data_type() {
            DataType::Map(..) => (column.as_map().offsets(), column.as_map().entries().columns()),
            _ => (column.as_list::<i32>().offsets(), std::slice::from_ref(column.as_list::<i32>().values())),
        };
        // Of a slice, what is before and behind it is not looked at.
        let at = |position: usize| offsets.get(position).map_or(0, |offset| *offset as usize);
        let (first, count) = (at(0), at(column.len()) - at(0));
        let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(first, count)).collect();
        let mut encoded = Encoded::default();
        encode(&columns, count, &mut encoded)?;
        let bounds = offsets.iter().map(|offset| encoded.start(*offset as usize - first)).collect();
        Ok(Self { encoded, bounds })
    }

    /// The elements of a row, one after another.
    #[inline]
    pub(super) fn of(&self, row: usize) -> &[u8] {
        &self.encoded.bytes[self.bounds[row]..self.bounds[row + 1]]
    }
}

/// Which elements are which row's, while they are found.
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    pub(super) fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self(offsets)
    }

    /// Ends a row, where so many elements were found so far.
    pub(super) fn end_row(&mut self, elements: usize) -> Result<()> {
        let end = i32::try_from(elements).map_err(|_| corrupt("arrays have more elements than a batch may have"))?;
        self.0.push(end);
        Ok(())
    }

    /// The arrays or maps that have these columns of elements.
    pub(super) fn finish(
        self,
        data_type: &DataType,
        columns: Vec<ArrayRef>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let count = self.0.last().map_or(0, |last| *last as usize);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.0));
        match (data_type, columns.first()) {
            (DataType::List(item), Some(elements)) => {
                Ok(Arc::new(ListArray::try_new(item.clone(), offsets, elements.clone(), nulls)?))
            }
            (DataType::Map(entries, sorted), _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(Error::Plan("a map without entries".into()));
                };
                let pairs = StructArray::try_new_with_length(fields.clone(), columns, None, count)?;
                Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?))
            }
            _ => Err(Error::Plan(format!("{data_type} has no elements"))),
        }
    }
}
