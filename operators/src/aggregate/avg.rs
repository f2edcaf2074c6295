//! `AVG`: the sum divided by the count, in Flink's types: integers by integer division from a `BIGINT` sum, `FLOAT` and
//! `DOUBLE` from a `DOUBLE` sum, decimals rounded half up to the result's scale.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::sum::{Summand, load_sums, save_sums};
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};

/// The type of the sum for an argument of this type.
pub(super) fn sum_type(argument: &LogicalType) -> Result<TypeKind> {
    Ok(match &argument.kind {
        TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint => TypeKind::Bigint,
        TypeKind::Float | TypeKind::Double => TypeKind::Double,
        TypeKind::Decimal(_, scale) => TypeKind::Decimal(38, *scale),
        other => return Err(Error::Plan(format!("AVG does not take {other}"))),
    })
}

pub(super) fn build(argument: &DataType, result: &DataType) -> Result<Box<dyn Accumulators>> {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
    Ok(match (argument, result) {
        (Int8 | Int16 | Int32 | Int64, Int8 | Int16 | Int32 | Int64) => Box::new(Avg::<Int64Type>::new(Int64, result)),
        (Float32 | Float64, Float32 | Float64) => Box::new(Avg::<Float64Type>::new(Float64, result)),
        (Decimal128(_, scale), Decimal128(_, result_scale)) if result_scale >= scale => {
            Box::new(Avg::<Decimal128Type>::new(Decimal128(38, *scale), result))
        }
        _ => return Err(Error::Plan(format!("AVG does not make {result} of {argument}"))),
    })
}

/// How a sum is divided.
trait Dividend: Summand {
    /// Stands for a sum beyond what the type holds: it and all that is made of it is null.
    const OVERFLOW: Option<Self::Native> = None;

    /// `sum / count`; `up` is ten to the power of the digits that the result has more than the sum.
    fn divide(sum: Self::Native, count: i64, up: i256) -> Option<Self::Native>;
}

impl Dividend for Int64Type {
    fn divide(sum: i64, count: i64, _: i256) -> Option<i64> {
        Some(sum.wrapping_div(count))
    }
}

impl Dividend for Float64Type {
    fn divide(sum: f64, count: i64, _: i256) -> Option<f64> {
        Some(sum / count as f64)
    }
}

impl Dividend for Decimal128Type {
    const OVERFLOW: Option<i128> = Some(i128::MAX);

    fn divide(sum: i128, count: i64, up: i256) -> Option<i128> {
        let count = i256::from_i128(i128::from(count));
        let dividend = i256::from_i128(sum).wrapping_mul(up);
        let quotient = dividend.wrapping_div(count);
        let remainder = dividend.wrapping_rem(count).wrapping_abs();
        let half_up = remainder.wrapping_add(remainder) >= count.wrapping_abs();
        let sign = if (sum < 0) == count.is_negative() { 1 } else { -1 };
        let away = i256::from_i128(if half_up { sign } else { 0 });
        quotient.wrapping_add(away).to_i128().filter(|value| value.unsigned_abs() < 10u128.pow(38))
    }
}

struct Avg<T: Dividend> {
    sum_type: DataType,
    result_type: DataType,
    up: i256,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: Dividend> Avg<T> {
    fn new(sum_type: DataType, result_type: &DataType) -> Self {
        let digits = match (&sum_type, result_type) {
            (DataType::Decimal128(_, sum), DataType::Decimal128(_, result)) => (result - sum).unsigned_abs(),
            _ => 0,
        };
        let up = i256::from_i128(10).wrapping_pow(u32::from(digits));
        Self { sum_type, result_type: result_type.clone(), up, sums: Vec::new(), counts: Vec::new() }
    }

    fn add(&mut self, group: usize, sum: T::Native, count: i64) {
        self.counts[group] += count;
        let total = self.sums[group];
        if T::OVERFLOW != Some(total) {
            let total = if count >= 0 { T::add(total, sum) } else { T::subtract(total, sum) };
            self.sums[group] = total.or(T::OVERFLOW).unwrap_or_default();
        }
    }

    /// The sum of a group, if it has values and they do not overflow.
    fn sum(&self, group: u32) -> Option<T::Native> {
        let sum = self.sums[group as usize];
        (self.counts[group as usize] != 0 && T::OVERFLOW != Some(sum)).then_some(sum)
    }
}

impl<T: Dividend> Accumulators for Avg<T> {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, T::Native::default());
        self.counts.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = T::Native::default();
            self.counts[*group as usize] = 0;
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        // Decimals differ in precision only, which does not matter to the sum.
        let argument = match &self.sum_type {
            DataType::Decimal128(..) => rows.arguments[0].clone(),
            sum_type => cast(&rows.arguments[0], sum_type)?,
        };
        let values =
            argument.as_primitive_opt::<T>().ok_or_else(|| super::sum::wrong_argument(rows, &self.sum_type))?;
        let values = values.values();
        rows.for_each_not_null(|row, group, weight| self.add(group, values[row], weight));
        Ok(())
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = groups.iter().map(|group| self.sum(*group)).collect::<PrimitiveArray<T>>();
        let counts = Int64Array::from_iter_values(groups.iter().map(|group| self.counts[*group as usize]));
        Ok(vec![Arc::new(sums.with_data_type(self.sum_type.clone())), Arc::new(counts)])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (state[0].as_primitive::<T>(), state[1].as_primitive::<Int64Type>().values());
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| counts[*row] != 0) {
            let group = *group as usize;
            match sums.is_valid(row) {
                true => self.add(group, sums.value(row), counts[row]),
                false => {
                    self.counts[group] += counts[row];
                    self.sums[group] = T::OVERFLOW.unwrap_or_default();
                }
            }
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(save_sums::<T>(groups, &self.sums, &self.counts, &self.sum_type))
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        load_sums::<T>(groups, saved, &mut self.sums, &mut self.counts);
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<T::Native>() + size_of::<i64>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let quotients = groups
            .iter()
            .map(|group| self.sum(*group).and_then(|sum| T::divide(sum, self.counts[*group as usize], self.up)));
        let quotients = quotients.collect::<PrimitiveArray<T>>();
        if matches!(self.result_type, DataType::Decimal128(..)) {
            return Ok(Arc::new(quotients.with_data_type(self.result_type.clone())));
        }
        // An average lies between its values, so that it fits their type.
        Ok(cast(&quotients, &self.result_type)?)
    }

    fn minds_order(&self) -> bool {
        !T::EXACT
    }

    fn retracts_exactly(&self) -> bool {
        T::EXACT
    }
}
