//! `VAR_POP`, `VAR_SAMP`, `STDDEV_POP`, `STDDEV_SAMP`: by Welford's recurrence (B. P. Welford, Technometrics 4(3), 1962) over
//! DOUBLE, as Apache Flink computes them, then in the type of `AVG`.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use wiesel_expressions::cast::{numeric_to_double, to_decimal};

use super::{Accumulators, Rows};
use crate::operator::Result;

#[derive(Clone, Copy, Default)]
struct Moments {
    count: i64,
    mean: f64,
    /// The sum of the squares of the distances from the mean.
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        if self.count <= 0 {
            return;
        }
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    fn retract(&mut self, value: f64) {
        self.count -= 1;
        if self.count <= 0 {
            *self = Self { count: self.count, ..Self::default() };
            return;
        }
        let distance = value - self.mean;
        self.mean -= distance / self.count as f64;
        self.squares -= distance * (value - self.mean);
    }

    fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        if other.count == 0 || count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        // To the last bit as Flink has it, which depends on the order of the operations.
        let distance = other.mean - self.mean;
        let (ours, theirs, all) = (self.count as f64, other.count as f64, count as f64);
        self.mean += theirs / all * distance;
        self.squares = self.squares + other.squares + ours * theirs / all * distance * distance;
        self.count = count;
    }
}

pub(super) struct Variance {
    result: DataType,
    /// Divides by one less than the count.
    sample: bool,
    root: bool,
    groups: Vec<Moments>,
}

impl Variance {
    pub(super) fn new(result: &DataType, sample: bool, root: bool) -> Self {
        Self { result: result.clone(), sample, root, groups: Vec::new() }
    }
}

impl Accumulators for Variance {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Moments::default());
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.groups[*group as usize] = Moments::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = numeric_to_double(&rows.arguments[0])?;
        let values = values.values();
        let groups = &mut self.groups[..];
        rows.for_each_not_null(|row, group, weight| match weight > 0 {
            true => groups[group].add(values[row]),
            false => groups[group].retract(values[row]),
        });
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let source = self.groups[*source as usize];
            self.groups[*target as usize].merge(source);
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| self.groups[*group as usize];
        let counts = Int64Array::from_iter_values(groups.iter().map(|group| of(group).count));
        let means = Float64Array::from_iter_values(groups.iter().map(|group| of(group).mean));
        let squares = Float64Array::from_iter_values(groups.iter().map(|group| of(group).squares));
        Ok(vec![Arc::new(counts), Arc::new(means), Arc::new(squares)])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let counts = saved[0].as_primitive::<Int64Type>().values();
        let (means, squares) = (saved[1].as_primitive::<Float64Type>(), saved[2].as_primitive::<Float64Type>());
        for (row, group) in groups.iter().enumerate() {
            let (mean, squares) = (means.value(row), squares.value(row));
            self.groups[*group as usize] = Moments { count: counts[row], mean, squares };
        }
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Moments>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| {
            let moments = self.groups[*group as usize];
            let divisor = moments.count - i64::from(self.sample);
            // Rows that were taken back may leave less than nothing. NaN and infinities among the values are in the result.
            let known = moments.squares >= 0.0 || moments.squares.is_nan();
            let variance = (divisor > 0 && known).then(|| moments.squares / divisor as f64);
            if self.root { variance.map(f64::sqrt) } else { variance }
        });
        match &self.result {
            DataType::Decimal128(precision, scale) => {
                let mut text = String::new();
                let unscaled =
                    results.map(|result| result.and_then(|result| to_decimal(result, *precision, *scale, &mut text)));
                let array = unscaled.collect::<Decimal128Array>();
                Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
            }
            // Integers lose their fraction; one that is too large for the type becomes what Java's casts make of it.
            DataType::Int8 => Ok(Arc::new(results.map(|result| Some(result? as i32 as i8)).collect::<Int8Array>())),
            DataType::Int16 => Ok(Arc::new(results.map(|result| Some(result? as i32 as i16)).collect::<Int16Array>())),
            DataType::Int32 => Ok(Arc::new(results.map(|result| Some(result? as i32)).collect::<Int32Array>())),
            DataType::Int64 => Ok(Arc::new(results.map(|result| Some(result? as i64)).collect::<Int64Array>())),
            other => Ok(cast(&results.collect::<Float64Array>(), other)?),
        }
    }

    fn retracts_exactly(&self) -> bool {
        false
    }
}
