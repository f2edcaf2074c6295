//! `MIN` and `MAX` over rows that are never taken back. Floating point numbers compare as Java's `<` does: a NaN that comes
//! first stays, one that comes later is passed over.
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::physical::{physical_type, to_logical, to_physical};
use super::sum::wrong_argument;
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};

pub(super) fn build(argument: &DataType, minimum: bool) -> Result<Box<dyn Accumulators>> {
    Ok(match physical_type(argument) {
        DataType::Int8 => number::<Int8Type>(argument, minimum),
        DataType::Int16 => number::<Int16Type>(argument, minimum),
        DataType::Int32 => number::<Int32Type>(argument, minimum),
        DataType::Int64 => number::<Int64Type>(argument, minimum),
        DataType::Float32 => number::<Float32Type>(argument, minimum),
        DataType::Float64 => number::<Float64Type>(argument, minimum),
        DataType::Decimal128(..) => number::<Decimal128Type>(argument, minimum),
        DataType::Boolean => Box::new(Booleans { minimum, values: Vec::new() }),
        DataType::Utf8View => Box::new(Strings { minimum, values: Vec::new(), heap: 0 }),
        other => return Err(unsupported(&other, minimum)),
    })
}

/// A type that has no order.
pub(super) fn unsupported(argument: &DataType, minimum: bool) -> Error {
    Error::Plan(format!("{} does not take {argument}", if minimum { "MIN" } else { "MAX" }))
}

fn number<T: ArrowPrimitiveType>(argument: &DataType, minimum: bool) -> Box<dyn Accumulators> {
    let (data_type, values, present) = (argument.clone(), Vec::new(), Vec::new());
    match minimum {
        true => Box::new(Numbers::<T, true> { data_type, values, present }),
        false => Box::new(Numbers::<T, false> { data_type, values, present }),
    }
}

/// The methods of accumulators whose state is their result: merging adds it as a row.
macro_rules! results_are_state {
    () => {
        fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
            Ok(vec![self.evaluate(groups)?])
        }

        fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
            self.update(&Rows { groups, arguments: state, selected: None, weights: None })
        }

        fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
            self.state(groups)
        }

        fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
            self.merge(groups, saved)
        }
    };
}

struct Numbers<T: ArrowPrimitiveType, const MINIMUM: bool> {
    data_type: DataType,
    values: Vec<T::Native>,
    present: Vec<bool>,
}

impl<T: ArrowPrimitiveType, const MINIMUM: bool> Accumulators for Numbers<T, MINIMUM> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, T::default_value());
        self.present.resize(groups, false);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.present[*group as usize] = false);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = to_physical(&rows.arguments[0]);
        let values = argument.as_primitive_opt::<T>().ok_or_else(|| wrong_argument(rows, &self.data_type))?.values();
        let (best, present) = (&mut self.values[..], &mut self.present[..]);
        rows.for_each_not_null(|row, group, _| {
            let (value, old) = (values[row], best[group]);
            if !present[group] || if MINIMUM { value < old } else { value > old } {
                best[group] = value;
                present[group] = true;
            }
        });
        Ok(())
    }

    results_are_state!();

    fn width(&self) -> usize {
        size_of::<T::Native>() + size_of::<bool>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| self.values[*group as usize]).collect();
        let present = BooleanBuffer::collect_bool(groups.len(), |i| self.present[groups[i] as usize]);
        let array = PrimitiveArray::<T>::new(values, Some(NullBuffer::new(present)));
        Ok(match &self.data_type {
            DataType::Decimal128(..) => Arc::new(array.with_data_type(self.data_type.clone())),
            logical => to_logical(Arc::new(array), logical),
        })
    }
}

struct Booleans {
    minimum: bool,
    values: Vec<Option<bool>>,
}

impl Accumulators for Booleans {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.values[*group as usize] = None);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument =
            rows.arguments[0].as_boolean_opt().ok_or_else(|| wrong_argument(rows, &DataType::Boolean))?.values();
        let (best, minimum) = (&mut self.values[..], self.minimum);
        rows.for_each_not_null(|row, group, _| {
            let value = argument.value(row);
            best[group] = Some(match best[group] {
                Some(old) if minimum => old & value,
                Some(old) => old | value,
                None => value,
            });
        });
        Ok(())
    }

    results_are_state!();

    fn width(&self) -> usize {
        size_of::<Option<bool>>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|group| self.values[*group as usize]).collect::<BooleanArray>()))
    }
}

struct Strings {
    minimum: bool,
    values: Vec<Option<Box<str>>>,
    /// Bytes of all texts.
    heap: usize,
}

impl Accumulators for Strings {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.heap -= self.values[*group as usize].take().map_or(0, |text| text.len());
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument =
            rows.arguments[0].as_string_view_opt().ok_or_else(|| wrong_argument(rows, &DataType::Utf8View))?;
        let (best, heap, minimum) = (&mut self.values[..], &mut self.heap, self.minimum);
        rows.for_each_not_null(|row, group, _| {
            let value = argument.value(row);
            let better = match &best[group] {
                Some(old) if minimum => value < &**old,
                Some(old) => value > &**old,
                None => true,
            };
            if better {
                *heap += value.len();
                *heap -= best[group].replace(value.into()).map_or(0, |old| old.len());
            }
        });
        Ok(())
    }

    results_are_state!();

    fn width(&self) -> usize {
        size_of::<Option<Box<str>>>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| self.values[*group as usize].as_deref());
        Ok(Arc::new(values.collect::<StringViewArray>()))
    }
}
