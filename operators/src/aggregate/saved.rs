//! How functions that keep values are saved: a list of rows a group.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::operator::{Error, Result};

/// The type of a list whose rows have these columns.
pub(super) fn list_type(columns: impl IntoIterator<Item = LogicalType>) -> LogicalType {
    let field = |(i, column): (usize, LogicalType)| RowField::new(format!("f{i}"), column.with_nullable(true));
    let row = TypeKind::Row(columns.into_iter().enumerate().map(field).collect()).not_null();
    TypeKind::Array(Box::new(row)).not_null()
}

/// A list a group, `lengths` rows long; the columns hold the rows of all groups, one after another.
pub(super) fn lists(lengths: impl Iterator<Item = usize>, columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    let field = |(i, column): (usize, &ArrayRef)| Field::new(format!("f{i}"), column.data_type().clone(), true);
    let fields: Fields = columns.iter().enumerate().map(field).collect();
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(rows), None)?))
}

/// What [`lists`] made a column of.
pub(super) struct Lists {
    list: ListArray,
    columns: Vec<ArrayRef>,
}

impl Lists {
    /// Of this column of a saved state, whose lists have `columns` columns.
    pub(super) fn new(saved: &[ArrayRef], columns: usize) -> Result<Self> {
        let list = saved.first().and_then(|column| column.as_list_opt::<i32>());
        let rows = list.and_then(|list| Some((list, list.values().as_struct_opt()?)));
        match rows {
            Some((list, rows)) if rows.num_columns() == columns && list.null_count() == 0 => {
                Ok(Self { list: list.clone(), columns: rows.columns().to_vec() })
            }
            _ => Err(Error::Plan(format!("a saved accumulator is no list of rows with {columns} columns"))),
        }
    }

    /// A column of the rows of all lists.
    pub(super) fn column(&self, at: usize) -> &ArrayRef {
        &self.columns[at]
    }

    /// All columns of the rows of all lists.
    pub(super) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// Calls `step(group, row)` for each row of each group's list.
    pub(super) fn for_each(&self, groups: &[u32], mut step: impl FnMut(usize, usize)) {
        for (group, bounds) in groups.iter().zip(self.list.value_offsets().windows(2)) {
            (bounds[0] as usize..bounds[1] as usize).for_each(|row| step(*group as usize, row));
        }
    }
}
