//! Nested columns as types that differ in what can be null; and in Arrow's row format, which knows no maps.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

/// The type in which the row format takes a column: maps as lists of their entries.
pub(crate) fn row_type(logical: &DataType) -> DataType {
    match logical {
        DataType::Map(entries, _) => DataType::List(row_field(entries)),
        DataType::List(item) => DataType::List(row_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(row_field).collect()),
        other => other.clone(),
    }
}

fn row_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), row_type(field.data_type()), field.is_nullable()))
}

/// The column in a type that differs from its own in maps that are lists of entries, and in what can be null.
pub(crate) fn retype(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == target {
        return Ok(column.clone());
    }
    match (target, column.data_type()) {
        (DataType::List(item), DataType::List(_)) => {
            let (_, offsets, values, nulls) = column.as_list::<i32>().clone().into_parts();
            let values = retype(&values, item.data_type())?;
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
        }
        (DataType::List(item), DataType::Map(..)) => {
            let (_, offsets, entries, nulls, _) = column.as_map().clone().into_parts();
            let values = retype(&(Arc::new(entries) as ArrayRef), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
        }
        (DataType::Map(entries, sorted), DataType::List(_)) => {
            let (_, offsets, values, nulls) = column.as_list::<i32>().clone().into_parts();
            let pairs = retype(&values, entries.data_type())?;
            let pairs = pairs.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?))
        }
        (DataType::Struct(fields), DataType::Struct(_)) => {
            let length = column.len();
            let (_, columns, nulls) = column.as_struct().clone().into_parts();
            let columns = columns.iter().zip(fields).map(|(column, field)| retype(column, field.data_type()));
            let columns = columns.collect::<Result<_, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, length)?))
        }
        _ => Ok(column.clone()),
    }
}
