//! When two elements are equal for functions that look for one in an array.
use arrow::array::{Array, ArrayRef, AsArray, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use crate::cast::numeric_to_double;
use crate::error::Result;
use crate::expression::comparison::with_sorted_maps;

/// Whether the value at a position of one column equals that at a position of another.
pub(super) type Equality = Box<dyn Fn(usize, usize) -> bool>;

/// Null equals null. FLOAT and DOUBLE, in fields of rows too, are compared as Java's primitives: NaN equals nothing, -0.0 is
/// 0.0. Those within arrays are compared as its objects. Maps hold the same entries in whatever order.
pub(super) fn equality(left: &ArrayRef, right: &ArrayRef) -> Result<Equality> {
    let valid: Equality = match (left.data_type(), right.data_type()) {
        (DataType::Float32 | DataType::Float64, DataType::Float32 | DataType::Float64) => {
            let (left, right) = (numeric_to_double(left)?, numeric_to_double(right)?);
            Box::new(move |one, other| left.value(one) == right.value(other))
        }
        (DataType::Struct(_), DataType::Struct(_)) => {
            let columns = left.as_struct().columns().iter().zip(right.as_struct().columns());
            let fields = columns.map(|(left, right)| equality(left, right)).collect::<Result<Vec<_>>>()?;
            Box::new(move |one, other| fields.iter().all(|equal| equal(one, other)))
        }
        _ => objects(left, right)?,
    };
    let (left, right) = (left.logical_nulls(), right.logical_nulls());
    let is_null = |nulls: &Option<NullBuffer>, at: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at));
    Ok(Box::new(move |one, other| match (is_null(&left, one), is_null(&right, other)) {
        (false, false) => valid(one, other),
        (one, other) => one == other,
    }))
}

fn objects(left: &ArrayRef, right: &ArrayRef) -> Result<Equality> {
    let (left, right) = (with_sorted_maps(left)?, with_sorted_maps(right)?);
    let compare = make_comparator(&left, &right, SortOptions::default())?;
    Ok(Box::new(move |one, other| compare(one, other).is_eq()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, ListArray, MapArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Float64Type};

    use super::*;

    fn doubles(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    /// What Apache Flink 2.3 gives. Before, all were compared as objects, and NaN was found in an array.
    #[test]
    fn floats_are_primitives_in_rows_and_objects_in_arrays() {
        let left = doubles(&[Some(0.0), Some(f64::NAN), Some(1.0), Some(3.0), None]);
        let right = doubles(&[Some(-0.0), Some(f64::NAN), Some(2.0), Some(3.0), None]);
        let row = |values: &ArrayRef| -> ArrayRef {
            let field = Field::new("f", values.data_type().clone(), true);
            Arc::new(StructArray::new(vec![field].into(), vec![values.clone()], None))
        };
        let list = |values: &ArrayRef| -> ArrayRef {
            let values = values.as_primitive::<Float64Type>().iter().map(|value| Some([value]));
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(values))
        };
        let primitive = [true, false, false, true, true];
        let object = [false, true, false, true, true];
        for (left, right, wanted) in [
            (left.clone(), right.clone(), primitive),
            (row(&left), row(&right), primitive),
            (list(&left), list(&right), object),
            (row(&list(&left)), row(&list(&right)), object),
        ] {
            let equal = equality(&left, &right).unwrap();
            let found: Vec<bool> = (0..5).map(|at| equal(at, at)).collect();
            assert_eq!(found, wanted, "{}", left.data_type());
        }
    }

    fn map(keys: &[i32], values: &[i32]) -> ArrayRef {
        let column = |numbers: &[i32]| -> ArrayRef { Arc::new(Int32Array::from(numbers.to_vec())) };
        let field = |name| Field::new(name, DataType::Int32, true);
        let fields = vec![field("key").with_nullable(false), field("value")];
        let entries = StructArray::new(fields.into(), vec![column(keys), column(values)], None);
        let entry = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        Arc::new(MapArray::new(entry, OffsetBuffer::from_lengths([keys.len()]), entries, None, false))
    }

    fn are_equal(left: &ArrayRef, right: &ArrayRef) -> bool {
        equality(left, right).unwrap()(0, 0)
    }

    /// Before, the order of the entries counted.
    #[test]
    fn maps_are_equal_in_whatever_order() {
        let (one, same, other) = (map(&[1, 2], &[3, 4]), map(&[2, 1], &[4, 3]), map(&[2, 1], &[3, 4]));
        let list = |map: &ArrayRef| -> ArrayRef {
            let item = Arc::new(Field::new("item", map.data_type().clone(), true));
            Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1]), map.clone(), None))
        };
        assert!(are_equal(&one, &same) && !are_equal(&one, &other));
        // Arrays are equal if their bytes are.
        assert!(are_equal(&list(&one), &list(&one)) && !are_equal(&list(&one), &list(&same)));
        // As MAP_FROM_ARRAYS makes them.
        let twice = |values: [i32; 2]| map(&[1, 1], &values);
        assert!(are_equal(&twice([2, 3]), &twice([3, 2])) && !are_equal(&twice([2, 2]), &twice([2, 3])));
    }

    /// Failed before: each entry was looked for among all of the other map, 2 x 10^10 times here, which nothing ended.
    #[test]
    fn large_maps_are_compared_in_a_short_time() {
        let numbers: Vec<i32> = (0..200_000).collect();
        let backwards: Vec<i32> = numbers.iter().rev().copied().collect();
        assert!(are_equal(&map(&numbers, &numbers), &map(&backwards, &backwards)));
    }
}
