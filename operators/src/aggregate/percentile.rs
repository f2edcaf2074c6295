//! `PERCENTILE(number, percentage or percentages[, frequency])`: what so much of the sorted numbers is at or below, interpolated
//! between two of them. A number counts as often as its frequency says; percentages are those of the group's first row.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type};

use super::saved::{Lists, list_type, lists};
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};
use wiesel_expressions::cast::{numeric_to_double, write_double};
use wiesel_expressions::types::{LogicalType, TypeKind};

/// What a node of the map takes for each number, roughly.
const NUMBER_BYTES: usize = 32;

/// A DOUBLE in the order that Java has: NaN, of which there is one, is the greatest, and -0.0 is less than 0.0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered(i64);

impl Ordered {
    fn of(value: f64) -> Self {
        let bits = if value.is_nan() { f64::NAN.abs().to_bits() } else { value.to_bits() } as i64;
        Self(Self::turned(bits))
    }

    fn value(self) -> f64 {
        f64::from_bits(Self::turned(self.0) as u64)
    }

    /// Turns the order of negative numbers round; twice it changes nothing.
    fn turned(bits: i64) -> i64 {
        bits ^ ((bits >> 63) as u64 >> 1) as i64
    }
}

#[derive(Default)]
struct Group {
    percentages: Vec<f64>,
    /// How often each number came; less than nothing if it was taken back before it came.
    counts: BTreeMap<Ordered, i64>,
}

impl Group {
    fn add(&mut self, value: f64, count: i64) {
        let number = Ordered::of(value);
        let left = self.counts.entry(number).or_insert(0);
        *left = left.wrapping_add(count);
        if *left == 0 {
            self.counts.remove(&number);
        }
    }

    /// One number for each percentage; none: there are no numbers.
    fn percentiles(&self) -> Option<Vec<Option<f64>>> {
        let total = self.counts.values().fold(0_i64, |total, count| total.wrapping_add(*count));
        if total <= 0 || self.percentages.is_empty() {
            return None;
        }
        let mut positions: Vec<(usize, f64)> =
            self.percentages.iter().map(|share| share * (total - 1) as f64 + 1.0).enumerate().collect();
        positions.sort_by(|(_, left), (_, right)| left.total_cmp(right));
        let mut found = vec![None; positions.len()];
        let mut numbers = self.counts.iter().peekable();
        let (mut number, mut behind) = (0.0, 0_i64);
        for (index, position) in positions {
            let (lower, higher) = (position.floor() as i64, position.ceil() as i64);
            while behind < lower
                && let Some((next, count)) = numbers.next()
            {
                number = next.value();
                behind = behind.wrapping_add(*count);
            }
            found[index] = match numbers.peek() {
                Some((next, _)) if behind < higher => {
                    Some((higher as f64 - position) * number + (position - lower as f64) * next.value())
                }
                _ => Some(number),
            };
        }
        Some(found)
    }
}

/// The columns in which a group is saved: its numbers and how often each came, and its percentages.
pub(super) fn state_types() -> Vec<LogicalType> {
    let double = || TypeKind::Double.not_null();
    vec![list_type([double(), TypeKind::Bigint.not_null()]), list_type([double()])]
}

pub(super) struct Percentile {
    /// The elements of results; none: there is one percentage.
    element: Option<FieldRef>,
    groups: Vec<Group>,
    /// The numbers of all groups.
    numbers: usize,
    /// Their percentages.
    percentages: usize,
}

impl Percentile {
    /// By the result's type: DOUBLE, or a list of such.
    pub(super) fn new(result: &DataType) -> Result<Self> {
        let element = match result {
            DataType::Float64 => None,
            DataType::List(element) if *element.data_type() == DataType::Float64 => Some(element.clone()),
            other => return Err(Error::Plan(format!("PERCENTILE cannot give {other}"))),
        };
        Ok(Self { element, groups: Vec::new(), numbers: 0, percentages: 0 })
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut Group)) {
        let group = &mut self.groups[group];
        self.numbers -= group.counts.len();
        self.percentages -= group.percentages.len();
        change(group);
        self.numbers += group.counts.len();
        self.percentages += group.percentages.len();
    }
}

/// The percentages of a row; none: they are null.
fn percentages(column: &ArrayRef, row: usize) -> Result<Option<Vec<f64>>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let shares = match column.as_list_opt::<i32>() {
        Some(lists) => lists.value(row),
        None => column.slice(row, 1),
    };
    let shares = shares.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_percentages(column))?;
    for share in shares.iter() {
        let share = share.ok_or_else(|| bad_percentage("NULL"))?;
        if !(0.0..=1.0).contains(&share) {
            let mut text = String::new();
            write_double(share, &mut text);
            return Err(bad_percentage(&text));
        }
    }
    Ok(Some(shares.values().to_vec()))
}

fn wrong_percentages(column: &ArrayRef) -> Error {
    Error::Plan(format!("PERCENTILE cannot take {} for percentages", column.data_type()))
}

fn bad_percentage(share: &str) -> Error {
    let message = format!("Percentage of PERCENTILE should be between [0.0, 1.0], but was '{share}'.");
    Error::data("java.lang.IllegalArgumentException", message)
}

impl Accumulators for Percentile {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Group::default);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.change(*group as usize, |group| *group = Group::default()));
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let [values, shares, frequency @ ..] = rows.arguments else {
            return Err(Error::Plan("PERCENTILE without a percentage".into()));
        };
        let nulls = values.logical_nulls();
        let values = numeric_to_double(values)?;
        let frequency = frequency.first().map(|column| arrow::compute::cast(column, &DataType::Int64)).transpose()?;
        let frequency = frequency.as_ref().map(|column| column.as_primitive::<Int64Type>());
        let mut refused = Ok(());
        rows.for_each(|row, group, weight| {
            if refused.is_err() {
                return;
            }
            if weight > 0 && self.groups[group].percentages.is_empty() {
                match percentages(shares, row) {
                    Ok(of_row) => self.change(group, |group| group.percentages = of_row.unwrap_or_default()),
                    Err(error) => {
                        refused = Err(error);
                        return;
                    }
                }
            }
            let times = frequency.map_or(1, |frequency| if frequency.is_valid(row) { frequency.value(row) } else { 0 });
            if times > 0 && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.change(group, |group| group.add(values.value(row), times.wrapping_mul(weight)));
            }
        });
        refused
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let source = &self.groups[*source as usize];
            let (shares, counts) = (source.percentages.clone(), source.counts.clone());
            self.change(*target as usize, |target| {
                if target.percentages.is_empty() {
                    target.percentages = shares;
                }
                counts.into_iter().for_each(|(number, count)| target.add(number.value(), count));
            });
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| &self.groups[*group as usize];
        let entries = || groups.iter().flat_map(|group| &of(group).counts);
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(entries().map(|(number, _)| number.value())));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(entries().map(|(_, count)| *count)));
        let shares = groups.iter().flat_map(|group| of(group).percentages.iter().copied());
        let shares: ArrayRef = Arc::new(Float64Array::from_iter_values(shares));
        Ok(vec![
            lists(groups.iter().map(|group| of(group).counts.len()), vec![numbers, counts])?,
            lists(groups.iter().map(|group| of(group).percentages.len()), vec![shares])?,
        ])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let entries = Lists::new(saved, 2)?;
        let shares = Lists::new(saved.get(1..).unwrap_or_default(), 1)?;
        let (numbers, counts) = (entries.column(0).as_primitive::<Float64Type>(), entries.column(1));
        let counts = counts.as_primitive::<Int64Type>();
        entries.for_each(groups, |group, row| {
            self.change(group, |group| group.add(numbers.value(row), counts.value(row)));
        });
        let percentages = shares.column(0).as_primitive::<Float64Type>();
        shares.for_each(groups, |group, row| {
            self.change(group, |group| group.percentages.push(percentages.value(row)));
        });
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Group>()
    }

    fn heap(&self) -> usize {
        self.numbers * NUMBER_BYTES + self.percentages * size_of::<f64>()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results: Vec<_> = groups.iter().map(|group| self.groups[*group as usize].percentiles()).collect();
        let Some(element) = &self.element else {
            let first = results.into_iter().map(|result| result.and_then(|result| result.first().copied().flatten()));
            return Ok(Arc::new(first.collect::<Float64Array>()));
        };
        let offsets = OffsetBuffer::from_lengths(results.iter().map(|result| result.as_ref().map_or(0, Vec::len)));
        let nulls = NullBuffer::from_iter(results.iter().map(Option::is_some));
        let values = results.into_iter().flatten().flatten().collect::<Float64Array>();
        Ok(Arc::new(ListArray::try_new(element.clone(), offsets, Arc::new(values), Some(nulls))?))
    }

    fn minds_order(&self) -> bool {
        // Of percentages that differ from row to row the first ones count.
        true
    }

    fn retracts_exactly(&self) -> bool {
        // The percentages of the first row stay.
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: bool) -> Percentile {
        let kind = if list { TypeKind::Array(Box::new(TypeKind::Double.nullable())) } else { TypeKind::Double };
        let mut aggregate = Percentile::new(&kind.to_arrow()).unwrap();
        aggregate.resize(2);
        aggregate
    }

    fn add(aggregate: &mut Percentile, rows: &[(Option<i64>, f64, Option<i64>)], weights: Option<&[i8]>) -> Result<()> {
        let arguments: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        let groups = vec![0; rows.len()];
        aggregate.update(&Rows { groups: &groups, arguments: &arguments, selected: None, weights })
    }

    fn result(aggregate: &Percentile) -> [Option<f64>; 2] {
        let results = aggregate.evaluate(&[0, 1]).unwrap();
        let results = results.as_primitive::<Float64Type>();
        [0, 1].map(|row| results.is_valid(row).then(|| results.value(row)))
    }

    #[test]
    fn it_lies_between_two_numbers_and_counts_each_as_often_as_is_said() {
        for (share, expected) in [(0.0, 1.0), (0.5, 2.5), (0.75, 27.25), (1.0, 100.0)] {
            let mut aggregate = of(false);
            let rows = [3, 1, 100, 2].map(|value| (Some(value), share, Some(1)));
            add(&mut aggregate, &rows, None).unwrap();
            add(&mut aggregate, &[(None, share, Some(1)), (Some(7), share, Some(0)), (Some(7), share, None)], None)
                .unwrap();
            assert_eq!(result(&aggregate), [Some(expected), None], "{share}");
        }
        let mut aggregate = of(false);
        let rows = [(1, 2), (2, 0), (3, 5), (100, 1)].map(|(value, times)| (Some(value), 0.5, Some(times)));
        add(&mut aggregate, &rows, None).unwrap();
        assert_eq!(result(&aggregate), [Some(3.0), None]);
    }

    #[test]
    fn what_is_taken_back_or_saved_is_as_if_it_had_been_so() {
        let mut aggregate = of(false);
        let rows = [1, 2, 9].map(|value| (Some(value), 0.5, Some(1)));
        add(&mut aggregate, &rows, None).unwrap();
        add(&mut aggregate, &[(Some(1), 0.5, Some(1))], Some(&[-1])).unwrap();
        assert_eq!(result(&aggregate), [Some(5.5), None]);
        let mut restored = of(false);
        restored.load(&[0, 1], &aggregate.save(&[0, 1]).unwrap()).unwrap();
        assert_eq!((result(&restored), restored.heap()), (result(&aggregate), aggregate.heap()));
        restored.merge_groups(&[1], &[0]).unwrap();
        assert_eq!(result(&restored), [Some(5.5); 2]);
        restored.reset(&[0, 1]);
        assert_eq!((result(&restored), restored.heap()), ([None; 2], 0));
    }

    #[test]
    fn a_percentage_beyond_one_is_refused() {
        let error = add(&mut of(false), &[(Some(1), 2.0, Some(1))], None).unwrap_err().to_string();
        assert!(error.contains("should be between [0.0, 1.0], but was '2.0'"), "{error}");
    }

    #[test]
    fn several_percentages_give_as_many_numbers() {
        let mut aggregate = of(true);
        let element = Arc::new(arrow::datatypes::Field::new("item", DataType::Float64, false));
        let shares = Float64Array::from(vec![1.0, 0.1, 0.5]);
        let shares = ListArray::try_new(element, OffsetBuffer::from_lengths([3]), Arc::new(shares), None).unwrap();
        let share = arrow::compute::take(&shares, &Int64Array::from(vec![0, 0, 0]), None).unwrap();
        let arguments: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![10, 20, 40])), share];
        let rows = Rows { groups: &[0, 0, 0], arguments: &arguments, selected: None, weights: None };
        aggregate.update(&rows).unwrap();
        let results = aggregate.evaluate(&[0, 1]).unwrap();
        let results = results.as_list::<i32>();
        assert_eq!(results.value(0).as_primitive::<Float64Type>().values(), &[40.0, 12.0, 20.0]);
        assert_eq!(aggregate.heap(), 3 * NUMBER_BYTES + 3 * size_of::<f64>());
        assert!(results.is_null(1));
    }

    #[test]
    fn numbers_are_in_javas_order() {
        let sorted = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN];
        assert!(sorted.map(Ordered::of).is_sorted());
        assert!(sorted.iter().all(|value| Ordered::of(*value).value().to_bits() == value.to_bits()));
    }
}
