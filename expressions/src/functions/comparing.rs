//! GREATEST and LEAST.
use arrow::array::{Array, ArrayRef, AsArray, DynComparator, make_comparator};
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::DataType;

use crate::cast::numeric_to_double;
use crate::error::Result;
use crate::expression::comparison::{object_order, utf16_order};
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;

/// The largest or smallest operand; null if one is null.
pub(super) fn extreme(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let greatest = site.function == "GREATEST";
    let target = site.arrow_type();
    Ok(Box::new(move |args| {
        let columns = (0..args.len()).map(|index| {
            let array = args.array(index);
            Ok(if *array.data_type() == target { array.clone() } else { arrow::compute::cast(array, &target)? })
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let mut best = vec![(0, 0); args.rows];
        for (row, best) in best.iter_mut().enumerate() {
            best.1 = args.row(0, row);
        }
        for next in 1..columns.len() {
            // The best so far may be any column before: one comparator each.
            let comparators = columns[..next].iter().map(|column| comparator(column, &columns[next]));
            let comparators = comparators.collect::<Result<Vec<_>>>()?;
            for (row, best) in best.iter_mut().enumerate() {
                let at = args.row(next, row);
                let order = comparators[best.0](best.1, at);
                if if greatest { order.is_lt() } else { order.is_gt() } {
                    *best = (next, at);
                }
            }
        }
        let nulls = args.nulls();
        if let Some(nulls) = &nulls {
            for (row, best) in best.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)) {
                let position = columns.iter().enumerate().find(|(index, column)| column.is_null(args.row(*index, row)));
                if let Some((index, _)) = position {
                    *best = (index, args.row(index, row));
                }
            }
        }
        let references: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
        Ok(interleave(&references, &best)?)
    }))
}

/// Compares values of two columns: strings by their UTF-16 units, any NaN above all numbers.
fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<DynComparator> {
    Ok(match left.data_type() {
        DataType::Utf8View => {
            let (left, right) = (left.as_string_view().clone(), right.as_string_view().clone());
            Box::new(move |one, other| utf16_order(left.value(one), right.value(other)))
        }
        DataType::Float32 | DataType::Float64 => {
            let (left, right) = (numeric_to_double(left)?, numeric_to_double(right)?);
            Box::new(move |one, other| object_order(left.value(one), right.value(other)))
        }
        _ => make_comparator(left, right, SortOptions::default())?,
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    /// A NaN with a sign, as 0.0 / 0.0 is on some processors, was below all numbers.
    #[test]
    fn a_nan_of_either_sign_is_above_all_numbers() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, -f64::NAN, f64::INFINITY, -0.0, 0.0]));
        let order = comparator(&values, &values).unwrap();
        assert_eq!(order(0, 1), Ordering::Equal);
        for number in 2..5 {
            assert_eq!((order(0, number), order(number, 1)), (Ordering::Greater, Ordering::Less));
        }
        assert_eq!(order(3, 4), Ordering::Less);
    }
}
