//! Casts of arrays, maps and rows: element by element.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::datatypes::DataType;

use super::{Cast, Mode, cast as cast_element};
use crate::operator::{Error, Result};
use crate::types::{LogicalType, TypeKind};

/// A cast between two types of the same structure.
pub(super) fn cast(from: &TypeKind, to: &TypeKind, mode: Mode) -> Option<Cast> {
    prepare(from, to, mode).ok()
}

fn prepare(from: &TypeKind, to: &TypeKind, mode: Mode) -> Result<Cast> {
    let target = to.to_arrow();
    let wrong = || Error::Plan("a cast between structures that differ".into());
    match (from, to) {
        (TypeKind::Array(source), TypeKind::Array(element)) => {
            let element = cast_element(source, element, mode)?;
            let DataType::List(field) = target else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let list = array.as_list::<i32>();
                let values = element(list.values())?;
                Ok(Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?))
            }))
        }
        (TypeKind::Row(source), TypeKind::Row(fields)) if source.len() == fields.len() => {
            let casts = source.iter().zip(fields).map(|(from, to)| cast_element(&from.data_type, &to.data_type, mode));
            let casts = casts.collect::<Result<Vec<_>>>()?;
            let DataType::Struct(fields) = target else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let row = array.as_struct();
                let columns = row.columns().iter().zip(&casts).map(|(column, cast)| cast(column));
                let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
                Ok(Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    columns,
                    row.nulls().cloned(),
                    row.len(),
                )?))
            }))
        }
        (TypeKind::Map(..) | TypeKind::Multiset(_), TypeKind::Map(..) | TypeKind::Multiset(_)) => {
            let (from, to) = (entry(from).ok_or_else(wrong)?, entry(to).ok_or_else(wrong)?);
            let (keys, values) = (cast_element(&from.0, &to.0, mode)?, cast_element(&from.1, &to.1, mode)?);
            let DataType::Map(entries, _) = target else { return Err(wrong()) };
            let DataType::Struct(fields) = entries.data_type().clone() else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let map = array.as_map();
                let columns = vec![keys(map.keys())?, values(map.values())?];
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                let nulls = map.nulls().cloned();
                Ok(Arc::new(MapArray::try_new(entries.clone(), map.offsets().clone(), pairs, nulls, false)?))
            }))
        }
        _ => Err(wrong()),
    }
}

/// The types of a map's keys and values.
fn entry(kind: &TypeKind) -> Option<(LogicalType, LogicalType)> {
    match kind {
        TypeKind::Map(key, value) => Some(((**key).clone(), (**value).clone())),
        TypeKind::Multiset(element) => Some(((**element).clone(), TypeKind::Int.not_null())),
        _ => None,
    }
}
