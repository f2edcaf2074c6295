//! `SUM` and `SUM0`: in the type of the argument, as Flink does: integers wrap around, a `DECIMAL` beyond 38 digits is null.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::{Accumulators, Rows};
use crate::operator::{Error, Result};

/// 10^38: no `DECIMAL` reaches it.
const DECIMAL_LIMIT: i128 = 10i128.pow(38);

/// A number as sums see it.
pub(super) trait Summand: ArrowPrimitiveType {
    /// None: the type cannot hold the sum.
    fn add(a: Self::Native, b: Self::Native) -> Option<Self::Native> {
        Some(a.add_wrapping(b))
    }

    fn subtract(a: Self::Native, b: Self::Native) -> Option<Self::Native> {
        Some(a.sub_wrapping(b))
    }

    /// Adding and subtracting a value gives back exactly what was there.
    const EXACT: bool = true;

    /// What changes no value that is added to it: of floating point numbers -0.0, for 0.0 + -0.0 is 0.0.
    const NOTHING: Self::Native = Self::Native::ZERO;
}

impl Summand for Int8Type {}
impl Summand for Int16Type {}
impl Summand for Int32Type {}
impl Summand for Int64Type {}
impl Summand for Float32Type {
    const EXACT: bool = false;
    const NOTHING: f32 = -0.0;
}
impl Summand for Float64Type {
    const EXACT: bool = false;
    const NOTHING: f64 = -0.0;
}
impl Summand for Decimal128Type {
    fn add(a: i128, b: i128) -> Option<i128> {
        a.checked_add(b).filter(|sum| sum.abs() < DECIMAL_LIMIT)
    }

    fn subtract(a: i128, b: i128) -> Option<i128> {
        a.checked_sub(b).filter(|sum| sum.abs() < DECIMAL_LIMIT)
    }
}

/// What a sum is of, which says what it begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The first value: the sum of -0.0 is -0.0.
    Rows,
    /// Rows of which some may be taken back: zero.
    UpdatedRows,
    /// SUM0: zero, which is also what a group without values gives.
    RowsAndZero,
}

/// The accumulators of a sum whose argument and result have this type (but for the precision of decimals).
pub(super) fn build(result: &DataType, of: Of) -> Result<Box<dyn Accumulators>> {
    Ok(match result {
        DataType::Int8 => Box::new(Sum::<Int8Type>::new(result, of)),
        DataType::Int16 => Box::new(Sum::<Int16Type>::new(result, of)),
        DataType::Int32 => Box::new(Sum::<Int32Type>::new(result, of)),
        DataType::Int64 => Box::new(Sum::<Int64Type>::new(result, of)),
        DataType::Float32 => Box::new(Sum::<Float32Type>::new(result, of)),
        DataType::Float64 => Box::new(Sum::<Float64Type>::new(result, of)),
        DataType::Decimal128(..) => Box::new(Sum::<Decimal128Type>::new(result, of)),
        other => return Err(Error::Plan(format!("SUM does not take {other}"))),
    })
}

struct Sum<T: ArrowPrimitiveType> {
    data_type: DataType,
    of: Of,
    sums: Vec<T::Native>,
    /// Values in the sum; 0: it is null.
    counts: Vec<i64>,
}

impl<T: Summand> Sum<T> {
    fn new(data_type: &DataType, of: Of) -> Self {
        Self { data_type: data_type.clone(), of, sums: Vec::new(), counts: Vec::new() }
    }

    /// What a group begins with.
    fn beginning(&self) -> T::Native {
        if self.of == Of::Rows { T::NOTHING } else { T::Native::ZERO }
    }
}

/// Sums and counts of groups as they are saved, those of averages too.
pub(super) fn save_sums<T: ArrowPrimitiveType>(
    groups: &[u32],
    sums: &[T::Native],
    counts: &[i64],
    sum_type: &DataType,
) -> Vec<ArrayRef> {
    let sums = PrimitiveArray::<T>::from_iter_values(groups.iter().map(|group| sums[*group as usize]));
    let counts = Int64Array::from_iter_values(groups.iter().map(|group| counts[*group as usize]));
    vec![Arc::new(sums.with_data_type(sum_type.clone())), Arc::new(counts)]
}

/// Takes what [`save_sums`] gave.
pub(super) fn load_sums<T: ArrowPrimitiveType>(
    groups: &[u32],
    saved: &[ArrayRef],
    sums: &mut [T::Native],
    counts: &mut [i64],
) {
    let saved_sums = saved[0].as_primitive::<T>().values();
    let saved_counts = saved[1].as_primitive::<Int64Type>().values();
    for (row, group) in groups.iter().enumerate() {
        sums[*group as usize] = saved_sums[row];
        counts[*group as usize] = saved_counts[row];
    }
}

impl<T: Summand> Accumulators for Sum<T> {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, self.beginning());
        self.counts.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        let beginning = self.beginning();
        for group in groups {
            self.sums[*group as usize] = beginning;
            self.counts[*group as usize] = 0;
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = rows.arguments[0].as_primitive_opt::<T>().ok_or_else(|| wrong_argument(rows, &self.data_type))?;
        let values = values.values();
        let (sums, counts) = (&mut self.sums[..], &mut self.counts[..]);
        rows.for_each_not_null(|row, group, weight| {
            let (sum, value) = (sums[group], values[row]);
            match if weight > 0 { T::add(sum, value) } else { T::subtract(sum, value) } {
                Some(sum) => {
                    sums[group] = sum;
                    counts[group] += weight;
                }
                // Null, and the next value starts anew.
                None => {
                    sums[group] = T::Native::ZERO;
                    counts[group] = 0;
                }
            }
        });
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        // Not by `state`, which does not say how many values there are: some may yet be taken back.
        for (target, source) in targets.iter().zip(sources) {
            let (target, source) = (*target as usize, *source as usize);
            if self.counts[source] == 0 {
                continue;
            }
            let sum = T::add(self.sums[target], self.sums[source]);
            self.counts[target] = sum.map_or(0, |_| self.counts[target] + self.counts[source]);
            self.sums[target] = sum.unwrap_or(T::Native::ZERO);
        }
        Ok(())
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = groups.iter().map(|group| self.sums[*group as usize]);
        let present = BooleanBuffer::collect_bool(groups.len(), |i| self.counts[groups[i] as usize] != 0);
        let sums = PrimitiveArray::<T>::new(sums.collect(), Some(NullBuffer::new(present)));
        Ok(vec![Arc::new(sums.with_data_type(self.data_type.clone()))])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.update(&Rows { groups, arguments: &state[..1], selected: None, weights: None })
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(save_sums::<T>(groups, &self.sums, &self.counts, &self.data_type))
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        load_sums::<T>(groups, saved, &mut self.sums, &mut self.counts);
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<T::Native>() + size_of::<i64>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        if self.of == Of::RowsAndZero {
            let sums = PrimitiveArray::<T>::from_iter_values(groups.iter().map(|group| self.sums[*group as usize]));
            return Ok(Arc::new(sums.with_data_type(self.data_type.clone())));
        }
        Ok(self.state(groups)?.remove(0))
    }

    fn minds_order(&self) -> bool {
        !T::EXACT
    }

    fn retracts_exactly(&self) -> bool {
        T::EXACT
    }
}

/// An argument of another type than the plan says.
pub(super) fn wrong_argument(rows: &Rows<'_>, expected: &DataType) -> Error {
    let found = rows.arguments.first().map(|argument| argument.data_type().clone());
    Error::Plan(format!("an aggregate over {expected} was given {}", found.unwrap_or(DataType::Null)))
}
