//! `OBJECT_OF` and `OBJECT_UPDATE`: values of structured types, which are held as rows.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};

use crate::error::Result;
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;

/// `OBJECT_OF(class, name, value, …)`.
pub(super) fn object_of(site: &Site) -> Result<Kernel> {
    let DataType::Struct(fields) = site.arrow_type() else { return Err(site.unsupported()) };
    if site.operands.len() != 1 + 2 * fields.len() {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let columns = (0..fields.len()).map(|field| args.expanded(2 * field + 2)).collect::<Result<Vec<_>>>()?;
        objects(&fields, columns, None, args.rows)
    }))
}

/// `OBJECT_UPDATE(object, name, value, …)`: null of null.
pub(super) fn object_update(site: &Site) -> Result<Kernel> {
    let Some(fields) = site.operand_type(0)?.fields() else { return Err(site.unsupported()) };
    // The operand that a field is taken from, if not from the object.
    let mut updates: Vec<Option<usize>> = vec![None; fields.len()];
    for at in (1..site.operands.len()).step_by(2) {
        let name = site.text(at).ok_or_else(|| site.unsupported())?;
        let field = fields.iter().position(|field| field.name == name).ok_or_else(|| site.unsupported())?;
        updates[field] = Some(at + 1);
    }
    let DataType::Struct(fields) = site.arrow_type() else { return Err(site.unsupported()) };
    if fields.len() != updates.len() {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let object = args.expanded(0)?;
        let object = object.as_struct();
        let columns = updates.iter().zip(object.columns()).map(|(update, column)| match update {
            Some(at) => args.expanded(*at),
            None => Ok(column.clone()),
        });
        objects(&fields, columns.collect::<Result<Vec<_>>>()?, object.nulls().cloned(), args.rows)
    }))
}

/// Rows of columns; nested values may carry other names or nullability than the type that the plan gave.
fn objects(fields: &Fields, columns: Vec<ArrayRef>, nulls: Option<NullBuffer>, rows: usize) -> Result<ArrayRef> {
    let fields = fields
        .iter()
        .zip(&columns)
        .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true));
    Ok(Arc::new(StructArray::try_new_with_length(fields.collect(), columns, nulls, rows)?))
}
