//! `BITMAP_BUILD_AGG` of integers, `BITMAP_AND_AGG`, `BITMAP_OR_AGG` and `BITMAP_XOR_AGG` of bitmaps, and how many numbers these
//! have (`…_CARDINALITY_AGG`); null without any.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::saved::{Lists, list_type, lists};
use super::{Accumulators, Rows, sum::wrong_argument};
use crate::operator::{Error, Result};
use wiesel_expressions::expression::check_value;
use wiesel_expressions::functions::{Bitmap, BitmapOperation};
use wiesel_expressions::types::{LogicalType, TypeKind};

/// What a node of the map takes for each number, roughly.
const NUMBER_BYTES: usize = 32;

/// What becomes of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How bitmaps become one; none: the arguments are integers.
    pub operation: Option<BitmapOperation>,
    /// The result is how many numbers there are.
    pub cardinality: bool,
}

impl Shape {
    /// Of the function of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.strip_prefix("BITMAP_")?.strip_suffix("_AGG")?;
        let (name, cardinality) = name.strip_suffix("_CARDINALITY").map_or((name, false), |name| (name, true));
        let operation = match name {
            "BUILD" => None,
            "AND" => Some(BitmapOperation::And),
            "OR" => Some(BitmapOperation::Or),
            "XOR" => Some(BitmapOperation::Xor),
            _ => return None,
        };
        Some(Self { operation, cardinality })
    }
}

/// What is kept of a group.
enum Kept {
    /// Rows are only added: what they have come to; none: nothing.
    Added(Option<Bitmap>),
    /// Rows are taken back, too: how many there are, and in how many of them each number is.
    Counted { rows: i64, counts: BTreeMap<u32, i64> },
}

impl Kept {
    fn new(retract: bool) -> Self {
        if retract { Self::Counted { rows: 0, counts: BTreeMap::new() } } else { Self::Added(None) }
    }

    fn heap(&self) -> usize {
        match self {
            Self::Added(bitmap) => bitmap.as_ref().map_or(0, Bitmap::heap),
            Self::Counted { counts, .. } => counts.len() * NUMBER_BYTES,
        }
    }

    fn add_number(&mut self, number: u32, weight: i64) {
        match self {
            Self::Added(bitmap) => bitmap.get_or_insert_default().insert(number),
            Self::Counted { rows, counts } => {
                *rows += weight;
                count(counts, number, weight);
            }
        }
    }

    /// # Errors
    /// More numbers would be counted than there may be: one takes more memory than in a bitmap.
    fn add(&mut self, bitmap: Bitmap, operation: BitmapOperation, weight: i64) -> Result<()> {
        match self {
            Self::Added(Some(kept)) => kept.combine(&bitmap, operation),
            Self::Added(none) => *none = Some(bitmap),
            Self::Counted { rows, counts } => {
                *rows += weight;
                for number in bitmap.numbers() {
                    count(counts, number, weight);
                    check_value(counts.len() * NUMBER_BYTES)?;
                }
            }
        }
        Ok(())
    }

    fn result(&self, operation: Option<BitmapOperation>) -> Option<Cow<'_, Bitmap>> {
        let (rows, counts) = match self {
            Self::Added(bitmap) => return bitmap.as_ref().map(Cow::Borrowed),
            Self::Counted { rows, counts } => (*rows, counts),
        };
        let is_in = |count: i64| match operation {
            Some(BitmapOperation::And) => count >= rows,
            Some(BitmapOperation::Xor) => count.rem_euclid(2) == 1,
            _ => count > 0,
        };
        let numbers = counts.iter().filter(|(_, count)| is_in(**count)).map(|(number, _)| *number);
        (rows > 0).then(|| Cow::Owned(Bitmap::of(numbers)))
    }
}

fn count(counts: &mut BTreeMap<u32, i64>, number: u32, weight: i64) {
    let left = counts.entry(number).or_insert(0);
    *left += weight;
    if *left == 0 {
        counts.remove(&number);
    }
}

/// The columns in which a group is saved: its bitmap; or how many rows there are, and each number with how many have it.
pub(super) fn state_types(retract: bool) -> Vec<LogicalType> {
    let bigint = || TypeKind::Bigint.not_null();
    match retract {
        true => vec![bigint(), list_type([bigint(), bigint()])],
        false => vec![TypeKind::Bitmap.nullable()],
    }
}

pub(super) struct BitmapAgg {
    shape: Shape,
    retract: bool,
    groups: Vec<Kept>,
    heap: usize,
    /// Bytes of the longest bitmap that a group ever had, as it is saved: one that is too long could not be loaded again.
    longest: usize,
}

impl BitmapAgg {
    pub(super) fn new(shape: Shape, retract: bool) -> Self {
        Self { shape, retract, groups: Vec::new(), heap: 0, longest: 0 }
    }

    /// Adds a bitmap to a group.
    fn add(&mut self, group: usize, bitmap: Bitmap, operation: BitmapOperation, weight: i64) -> Result<()> {
        self.change(group, |kept| kept.add(bitmap, operation, weight))?;
        Ok(check_value(self.longest)?)
    }

    fn change<T>(&mut self, group: usize, change: impl FnOnce(&mut Kept) -> T) -> T {
        let group = &mut self.groups[group];
        let before = group.heap();
        let changed = change(group);
        self.heap = self.heap - before + group.heap();
        if let Kept::Added(Some(bitmap)) = group {
            self.longest = self.longest.max(bitmap.serialized_len());
        }
        changed
    }
}

impl Accumulators for BitmapAgg {
    fn resize(&mut self, groups: usize) {
        let retract = self.retract;
        self.groups.resize_with(groups, || Kept::new(retract));
    }

    fn reset(&mut self, groups: &[u32]) {
        let retract = self.retract;
        groups.iter().for_each(|group| self.change(*group as usize, |kept| *kept = Kept::new(retract)));
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let Some(operation) = self.shape.operation else {
            let numbers = rows.arguments.first().and_then(|column| column.as_primitive_opt::<Int32Type>());
            let numbers = numbers.ok_or_else(|| wrong_argument(rows, &DataType::Int32))?;
            rows.for_each_not_null(|row, group, weight| {
                self.change(group, |kept| kept.add_number(numbers.value(row) as u32, weight));
            });
            return Ok(check_value(self.longest)?);
        };
        let bitmaps = rows.arguments.first().and_then(|column| column.as_binary_view_opt());
        let bitmaps = bitmaps.ok_or_else(|| wrong_argument(rows, &DataType::BinaryView))?;
        let mut refused = Ok(());
        rows.for_each_not_null(|row, group, weight| {
            if refused.is_err() {
                return;
            }
            let bitmap = Bitmap::read(bitmaps.value(row)).map_err(Error::from);
            refused = bitmap.and_then(|bitmap| self.add(group, bitmap, operation, weight));
        });
        refused
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        let operation = self.shape.operation.unwrap_or(BitmapOperation::Or);
        for (target, source) in targets.iter().zip(sources) {
            match &self.groups[*source as usize] {
                Kept::Added(None) => {}
                Kept::Added(Some(bitmap)) => {
                    let bitmap = bitmap.clone();
                    self.add(*target as usize, bitmap, operation, 1)?;
                }
                Kept::Counted { rows, counts } => {
                    let (more, numbers) = (*rows, counts.clone());
                    self.change(*target as usize, |kept| {
                        if let Kept::Counted { rows, counts } = kept {
                            *rows += more;
                            numbers.into_iter().for_each(|(number, times)| count(counts, number, times));
                        }
                    });
                }
            }
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        if !self.retract {
            let mut bitmaps = BinaryViewBuilder::with_capacity(groups.len());
            for group in groups {
                match &self.groups[*group as usize] {
                    Kept::Added(Some(bitmap)) => bitmaps.append_value(bytes(bitmap)),
                    _ => bitmaps.append_null(),
                }
            }
            return Ok(vec![Arc::new(bitmaps.finish())]);
        }
        let counted = groups.iter().map(|group| match &self.groups[*group as usize] {
            Kept::Counted { rows, counts } => Ok((*rows, counts)),
            Kept::Added(_) => Err(Error::Plan("a bitmap without counts".into())),
        });
        let counted = counted.collect::<Result<Vec<_>>>()?;
        let rows = Int64Array::from_iter_values(counted.iter().map(|(rows, _)| *rows));
        let entries = || counted.iter().flat_map(|(_, counts)| counts.iter());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(entries().map(|(number, _)| i64::from(*number))));
        let times: ArrayRef = Arc::new(Int64Array::from_iter_values(entries().map(|(_, times)| *times)));
        let lengths = counted.iter().map(|(_, counts)| counts.len());
        Ok(vec![Arc::new(rows), lists(lengths, vec![numbers, times])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let wrong = || Error::Plan("a saved bitmap of another kind".into());
        let first = saved.first().ok_or_else(wrong)?;
        if !self.retract {
            let bitmaps: &BinaryViewArray = first.as_binary_view_opt().ok_or_else(wrong)?;
            for (row, group) in groups.iter().enumerate().filter(|(row, _)| bitmaps.is_valid(*row)) {
                let bitmap = Bitmap::read(bitmaps.value(row))?;
                self.change(*group as usize, |kept| *kept = Kept::Added(Some(bitmap)));
            }
            return Ok(());
        }
        let rows = first.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let entries = Lists::new(saved.get(1..).unwrap_or_default(), 2)?;
        let numbers = arrow::compute::cast(entries.column(0), &DataType::UInt32)?;
        let (numbers, times): (&UInt32Array, _) =
            (numbers.as_primitive(), entries.column(1).as_primitive::<Int64Type>());
        for (row, group) in groups.iter().enumerate() {
            if let Kept::Counted { rows: of_group, .. } = &mut self.groups[*group as usize] {
                *of_group = rows.value(row);
            }
        }
        entries.for_each(groups, |group, row| {
            self.change(group, |kept| {
                if let Kept::Counted { counts, .. } = kept {
                    count(counts, numbers.value(row), times.value(row));
                }
            });
        });
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Kept>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn result_heap(&self) -> usize {
        if self.shape.cardinality { 0 } else { self.heap }
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.groups[*group as usize].result(self.shape.operation));
        if self.shape.cardinality {
            let counts = results.map(|bitmap| bitmap.map(|bitmap| bitmap.cardinality() as i64));
            return Ok(Arc::new(counts.collect::<Int64Array>()));
        }
        let mut bitmaps = BinaryViewBuilder::with_capacity(groups.len());
        for bitmap in results {
            let bytes = bitmap.as_deref().map(bytes);
            check_value(bytes.as_ref().map_or(0, Vec::len))?;
            bitmaps.append_option(bytes);
        }
        Ok(Arc::new(bitmaps.finish()))
    }

    fn minds_order(&self) -> bool {
        false
    }
}

fn bytes(bitmap: &Bitmap) -> Vec<u8> {
    let mut bytes = Vec::new();
    bitmap.write(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;

    use super::*;

    fn of(name: &str, retract: bool) -> BitmapAgg {
        let mut aggregate = BitmapAgg::new(Shape::of(name).unwrap(), retract);
        aggregate.resize(2);
        aggregate
    }

    fn numbers(aggregate: &BitmapAgg, group: u32) -> Option<Vec<u32>> {
        let result = aggregate.evaluate(&[group]).unwrap();
        let bitmaps = result.as_binary_view();
        bitmaps.is_valid(0).then(|| Bitmap::read(bitmaps.value(0)).unwrap().numbers().collect())
    }

    fn bitmaps(sets: &[&[u32]]) -> ArrayRef {
        Arc::new(sets.iter().map(|set| Some(bytes(&Bitmap::of(set.iter().copied())))).collect::<BinaryViewArray>())
    }

    #[test]
    fn bitmaps_become_one_with_and_without_rows_that_are_taken_back() {
        let sets: &[&[u32]] = &[&[1, 2, 3], &[2, 3, 4], &[3, 4, 5]];
        let expected: [(&str, &[u32]); 3] =
            [("BITMAP_AND_AGG", &[3]), ("BITMAP_OR_AGG", &[1, 2, 3, 4, 5]), ("BITMAP_XOR_AGG", &[1, 3, 5])];
        for (name, expected) in expected {
            for retract in [false, true] {
                let mut aggregate = of(name, retract);
                let arguments = [bitmaps(sets)];
                let rows = Rows { groups: &[0; 3], arguments: &arguments, selected: None, weights: None };
                aggregate.update(&rows).unwrap();
                assert_eq!(numbers(&aggregate, 0).as_deref(), Some(expected), "{name}");
                assert_eq!(numbers(&aggregate, 1), None);
                // Results are made of few groups at once where they are long.
                assert_eq!(aggregate.result_heap(), aggregate.heap());
                let mut restored = of(name, retract);
                restored.load(&[0, 1], &aggregate.save(&[0, 1]).unwrap()).unwrap();
                restored.merge_groups(&[1], &[0]).unwrap();
                assert_eq!(
                    [numbers(&restored, 0), numbers(&restored, 1)],
                    [0; 2].map(|group| numbers(&aggregate, group))
                );
            }
        }
        let mut aggregate = of("BITMAP_AND_AGG", true);
        let arguments = [bitmaps(&[&[1, 2], &[2, 3], &[2, 3]])];
        let rows = Rows { groups: &[0; 3], arguments: &arguments, selected: None, weights: Some(&[1, 1, -1]) };
        aggregate.update(&rows).unwrap();
        assert_eq!(numbers(&aggregate, 0), Some(vec![1, 2]));
    }

    /// All numbers whose upper halves are these, serialized.
    fn full(uppers: std::ops::Range<u16>) -> Vec<u8> {
        let count = uppers.len();
        let mut bytes = [12_346_u32.to_le_bytes(), (count as u32).to_le_bytes()].concat();
        uppers.for_each(|upper| bytes.extend([upper.to_le_bytes(), [0xFF; 2]].concat()));
        bytes.resize(bytes.len() + 4 * count, 0);
        bytes.resize(bytes.len() + 8192 * count, 0xFF);
        bytes
    }

    /// A group that is saved must be one that can be loaded, whatever its result is.
    #[test]
    fn a_group_is_refused_before_it_is_too_long_to_be_loaded() {
        let mut aggregate = of("BITMAP_OR_CARDINALITY_AGG", false);
        let mut add = |bitmap: Vec<u8>| {
            let arguments: [ArrayRef; 1] = [Arc::new(BinaryViewArray::from_iter_values([bitmap]))];
            let added = aggregate.update(&Rows { groups: &[0], arguments: &arguments, selected: None, weights: None });
            added.and_then(|()| aggregate.save(&[0]))
        };
        let saved = add(full(0..5000)).unwrap();
        of("BITMAP_OR_CARDINALITY_AGG", false).load(&[0], &saved).unwrap();
        let refused = add(full(5000..9000)).unwrap_err().to_string();
        assert!(refused.contains("one value may have at most 67108864"), "{refused}");
    }

    /// Before, those that a row takes back counted as if they came.
    #[test]
    fn numbers_of_a_group_are_limited_and_not_those_of_its_rows() {
        let mut aggregate = of("BITMAP_OR_CARDINALITY_AGG", true);
        let mut add = |numbers: std::ops::Range<u32>, weight: i8| {
            let arguments: [ArrayRef; 1] = [Arc::new(BinaryViewArray::from_iter_values([bytes(&Bitmap::of(numbers))]))];
            let rows = Rows {
                groups: &[0],
                arguments: &arguments,
                selected: None,
                weights: Some(std::slice::from_ref(&weight)),
            };
            aggregate.update(&rows)?;
            Ok::<_, Error>(aggregate.evaluate(&[0])?.as_primitive::<Int64Type>().value(0))
        };
        assert_eq!(add(0..1_100_000, 1).unwrap(), 1_100_000);
        assert_eq!(add(1..1_100_001, 1).unwrap(), 1_100_001);
        assert_eq!(add(0..1_100_000, -1).unwrap(), 1_100_000);
        assert!(add(2_000_000..3_500_000, 1).is_err());
    }

    #[test]
    fn integers_are_counted_once() {
        for retract in [false, true] {
            let mut aggregate = of("BITMAP_BUILD_CARDINALITY_AGG", retract);
            let arguments: [ArrayRef; 1] = [Arc::new(Int32Array::from(vec![Some(1), Some(-1), Some(1), None]))];
            let rows = Rows { groups: &[0; 4], arguments: &arguments, selected: None, weights: None };
            aggregate.update(&rows).unwrap();
            let counts = aggregate.evaluate(&[0, 1]).unwrap();
            assert_eq!(counts.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(2), None]));
            assert!(aggregate.heap() > 0 && aggregate.result_heap() == 0);
            aggregate.reset(&[0]);
            assert_eq!(aggregate.heap(), 0);
        }
    }
}
