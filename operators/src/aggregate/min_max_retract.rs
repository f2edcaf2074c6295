//! `MIN` and `MAX` over rows that can be taken back: an ordered multiset of its values a group. Floating point numbers are in
//! Java's total order: -0.0 before 0.0, NaN last.
//!
//! A group of many values has them as rows of keyed state ([`CountedRows`]), and the best of them at hand. Rows are in the order
//! of values: when the best one goes, the next is found behind it, however many there are.
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray, StringViewArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use hashbrown::HashMap;
use wiesel_state::keyed::{KeptBack, KeyedBackend, ScanOrder, SnapshotOptions};

use super::counted_rows::CountedRows;
use super::distinct::AS_ROWS;
use super::keeps_rows::{KeepsRows, RowsRequest, no_rows};
use super::keys::KeyStore;
use super::min_max::unsupported;
use super::number_hasher::NumberHasher;
use super::physical::{physical_type, to_logical, to_physical};
use super::saved::{Lists, lists};
use super::spill::{INLINE, Keeping, KeyedBatch};
use super::sum::wrong_argument;
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};
use crate::state::write_back::Backend;

/// The function's name in errors.
const NAME: &str = "a MIN or MAX of changes";

pub(super) fn build(argument: &DataType, minimum: bool) -> Result<Box<dyn Accumulators>> {
    Ok(match physical_type(argument) {
        DataType::Int8 => multisets::<Primitives<Int8Type>>(argument, minimum),
        DataType::Int16 => multisets::<Primitives<Int16Type>>(argument, minimum),
        DataType::Int32 => multisets::<Primitives<Int32Type>>(argument, minimum),
        DataType::Int64 => multisets::<Primitives<Int64Type>>(argument, minimum),
        DataType::Float32 => multisets::<Primitives<Float32Type>>(argument, minimum),
        DataType::Float64 => multisets::<Primitives<Float64Type>>(argument, minimum),
        DataType::Decimal128(..) => multisets::<Primitives<Decimal128Type>>(argument, minimum),
        DataType::Boolean => multisets::<Booleans>(argument, minimum),
        DataType::Utf8View => multisets::<Strings>(argument, minimum),
        other => return Err(unsupported(&other, minimum)),
    })
}

/// Values of one type as keys of an ordered map.
trait Values: Send + 'static {
    type Array: Array + 'static;
    type Key: Ord + Clone + Send;
    fn key(array: &Self::Array, row: usize) -> Self::Key;
    fn array(keys: impl Iterator<Item = Option<Self::Key>>, data_type: &DataType) -> ArrayRef;
    /// The column with the same bits in all values that have the same key.
    fn canonical(column: &ArrayRef) -> ArrayRef {
        column.clone()
    }
    /// Bytes of a key besides its own size.
    fn heap(_: &Self::Key) -> usize {
        0
    }
}

/// A number with its place in the order.
trait Ordered: Copy {
    type Key: Ord + Copy + Send;
    fn key(self) -> Self::Key;
    fn value(key: Self::Key) -> Self;
}

macro_rules! ordered_integers {
    ($($native:ty),*) => {$(
        impl Ordered for $native {
            type Key = $native;
            fn key(self) -> Self::Key {
                self
            }
            fn value(key: Self::Key) -> Self {
                key
            }
        }
    )*};
}
ordered_integers!(i8, i16, i32, i64, i128);

macro_rules! ordered_floats {
    ($($native:ty, $bits:ty, $nan:expr;)*) => {$(
        // The bits of a positive float grow with it, those of a negative one shrink.
        impl Ordered for $native {
            type Key = $bits;
            fn key(self) -> Self::Key {
                let bits = if self.is_nan() { $nan } else { self }.to_bits() as $bits;
                if bits < 0 { bits ^ <$bits>::MAX } else { bits }
            }
            fn value(key: Self::Key) -> Self {
                <$native>::from_bits(if key < 0 { key ^ <$bits>::MAX } else { key } as _)
            }
        }
    )*};
}
ordered_floats!(f32, i32, f32::NAN; f64, i64, f64::NAN;);

struct Primitives<T>(std::marker::PhantomData<fn() -> T>);

impl<T: ArrowPrimitiveType> Values for Primitives<T>
where
    T::Native: Ordered,
{
    type Array = PrimitiveArray<T>;
    type Key = <T::Native as Ordered>::Key;

    fn key(array: &Self::Array, row: usize) -> Self::Key {
        array.value(row).key()
    }

    fn array(keys: impl Iterator<Item = Option<Self::Key>>, data_type: &DataType) -> ArrayRef {
        let array = keys.map(|key| key.map(T::Native::value)).collect::<PrimitiveArray<T>>();
        match data_type {
            DataType::Decimal128(..) => Arc::new(array.with_data_type(data_type.clone())),
            logical => to_logical(Arc::new(array), logical),
        }
    }

    /// There is one NaN.
    fn canonical(column: &ArrayRef) -> ArrayRef {
        match column.as_primitive_opt::<T>().filter(|_| T::DATA_TYPE.is_floating()) {
            Some(numbers) => Arc::new(numbers.unary::<_, T>(|number| T::Native::value(number.key()))),
            None => column.clone(),
        }
    }
}

struct Booleans;

impl Values for Booleans {
    type Array = BooleanArray;
    type Key = bool;

    fn key(array: &Self::Array, row: usize) -> Self::Key {
        array.value(row)
    }

    fn array(keys: impl Iterator<Item = Option<Self::Key>>, _: &DataType) -> ArrayRef {
        Arc::new(keys.collect::<BooleanArray>())
    }
}

struct Strings;

impl Values for Strings {
    type Array = StringViewArray;
    type Key = Box<str>;

    fn key(array: &Self::Array, row: usize) -> Self::Key {
        array.value(row).into()
    }

    fn array(keys: impl Iterator<Item = Option<Self::Key>>, _: &DataType) -> ArrayRef {
        Arc::new(keys.collect::<StringViewArray>())
    }

    fn heap(key: &Self::Key) -> usize {
        key.len()
    }
}

fn multisets<V: Values>(argument: &DataType, minimum: bool) -> Box<dyn Accumulators> {
    Box::new(Multisets::<V> {
        data_type: argument.clone(),
        minimum,
        groups: Vec::new(),
        values: 0,
        heap: 0,
        rows: None,
        best: HashMap::default(),
    })
}

struct Multisets<V: Values> {
    data_type: DataType,
    minimum: bool,
    /// How often each value is there; negative when it was taken back before it came.
    groups: Vec<BTreeMap<V::Key, i64>>,
    /// How many values all groups have here.
    values: usize,
    /// Bytes of these values, and of the best ones, besides their own size.
    heap: usize,
    /// Where the values of groups are that have many.
    rows: Option<CountedRows>,
    /// Of each of these groups the best value of those that came more often than they were taken back.
    best: ByGroup<Option<V::Key>>,
}

type ByGroup<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// What a batch does to the best value of a group.
struct Moves<K> {
    /// Better ones that came.
    better: BTreeSet<K>,
    /// It went.
    lost: bool,
}

/// The best value of those that came more often than they were taken back.
fn best_of<K>(values: &BTreeMap<K, i64>, minimum: bool) -> Option<&K> {
    let mut present = values.iter().filter(|(_, count)| **count > 0).map(|(value, _)| value);
    if minimum { present.next() } else { present.next_back() }
}

impl<V: Values> Multisets<V> {
    fn add(&mut self, group: usize, key: V::Key, weight: i64) {
        use std::collections::btree_map::Entry;
        match self.groups[group].entry(key) {
            Entry::Vacant(entry) => {
                self.values += 1;
                self.heap += V::heap(entry.key());
                entry.insert(weight);
            }
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += weight;
                if *entry.get() == 0 {
                    let (key, _) = entry.remove_entry();
                    self.values -= 1;
                    self.heap -= V::heap(&key);
                }
            }
        }
    }

    /// The values of a column.
    fn downcast<'a>(&self, column: &'a ArrayRef) -> Result<&'a V::Array> {
        let values = column.as_any().downcast_ref::<V::Array>();
        values.ok_or_else(|| Error::Plan(format!("values that are kept are no {}", self.data_type)))
    }

    /// Notes the best value of a group whose values are rows.
    fn set_best(&mut self, group: u32, best: Option<V::Key>) {
        self.heap += best.as_ref().map_or(0, V::heap);
        let former = self.best.insert(group, best).flatten();
        self.heap -= former.as_ref().map_or(0, V::heap);
    }

    /// A group's values are no rows any more.
    fn drop_best(&mut self, group: u32) {
        let former = self.best.remove(&group).flatten();
        self.heap -= former.as_ref().map_or(0, V::heap);
    }

    /// Counts rows of groups whose values are rows.
    fn update_rows(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let Some(table) = &mut self.rows else { return Err(no_rows(NAME)) };
        let argument = to_physical(&rows.arguments[0]);
        let values =
            argument.as_any().downcast_ref::<V::Array>().ok_or_else(|| wrong_argument(rows, &self.data_type))?;
        let Rows { groups, selected, weights, .. } = *rows;
        let arguments = [V::canonical(&rows.arguments[0])];
        let crossings = table.update(&Rows { groups, arguments: &arguments, selected, weights }, false, keyed)?;
        let mut moves: ByGroup<Moves<V::Key>> = HashMap::default();
        for ((row, group), weight) in crossings.at.iter().zip(&crossings.groups).zip(&crossings.weights) {
            let (key, came) = (V::key(values, *row as usize), *weight > 0);
            let moves = moves.entry(*group).or_insert_with(|| Moves { better: BTreeSet::new(), lost: false });
            match self.best.get(group).and_then(Option::as_ref) {
                Some(best) if key == *best => moves.lost = !came,
                Some(best) if (key < *best) != self.minimum => {}
                // It is better than all that were there before the batch: if it goes, it came with it.
                _ if came => _ = moves.better.insert(key),
                _ => _ = moves.better.remove(&key),
            }
        }
        let mut lost = Vec::new();
        for (group, mut moves) in moves {
            let best = if self.minimum { moves.better.pop_first() } else { moves.better.pop_last() };
            match best {
                Some(best) => self.set_best(group, Some(best)),
                None => lost.extend(moves.lost.then_some(group)),
            }
        }
        self.look_behind(&lost, keyed)
    }

    /// Finds the best values of groups that lost theirs: the next ones behind these.
    fn look_behind(&mut self, groups: &[u32], keyed: &KeyedBatch<'_>) -> Result<()> {
        let Some(table) = self.rows.as_mut().filter(|_| !groups.is_empty()) else { return Ok(()) };
        let from = groups.iter().map(|group| self.best.get(group).cloned().flatten());
        let order = if self.minimum { ScanOrder::Forwards } else { ScanOrder::Backwards };
        let next = to_physical(&table.next_present(groups, V::array(from, &self.data_type), order, keyed)?);
        let next = self.downcast(&next)?;
        for (row, group) in groups.iter().enumerate() {
            self.set_best(*group, next.is_valid(row).then(|| V::key(next, row)));
        }
        Ok(())
    }
}

impl<V: Values> Accumulators for Multisets<V> {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, BTreeMap::new);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            let values = std::mem::take(&mut self.groups[*group as usize]);
            self.values -= values.len();
            self.heap -= values.keys().map(V::heap).sum::<usize>();
            if !self.best.is_empty() {
                self.drop_best(*group);
            }
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = to_physical(&rows.arguments[0]);
        let values =
            argument.as_any().downcast_ref::<V::Array>().ok_or_else(|| wrong_argument(rows, &self.data_type))?;
        rows.for_each_not_null(|row, group, weight| self.add(group, V::key(values, row), weight));
        Ok(())
    }

    fn update_keyed(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let as_rows = |group: u32| self.best.contains_key(&group);
        if self.best.is_empty() || !rows.groups.iter().copied().any(as_rows) {
            return self.update(rows);
        }
        let (of_rows, others) = rows.parted(as_rows);
        let Rows { groups, arguments, weights, .. } = *rows;
        self.update(&Rows { groups, arguments, weights, selected: Some(&others) })?;
        self.update_rows(&Rows { groups, arguments, weights, selected: Some(&of_rows) }, keyed)
    }

    fn keeps_rows(&self) -> Option<&dyn KeepsRows> {
        Some(self)
    }

    fn keeps_rows_mut(&mut self) -> Option<&mut dyn KeepsRows> {
        Some(self)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        if !self.best.is_empty() && targets.iter().chain(sources).any(|group| self.best.contains_key(group)) {
            return Err(no_rows(NAME));
        }
        for (target, source) in targets.iter().zip(sources) {
            for (key, count) in self.groups[*source as usize].clone() {
                self.add(*target as usize, key, count);
            }
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut keys, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(groups.len()));
        for group in groups {
            let before = keys.len();
            match self.best.get(group) {
                // A group whose values are rows has none of its own, but a mark, and the best of them.
                Some(best) => {
                    keys.push(best.clone());
                    counts.push(AS_ROWS);
                }
                None => {
                    let values = &self.groups[*group as usize];
                    keys.extend(values.keys().cloned().map(Some));
                    counts.extend(values.values());
                }
            }
            lengths.push(keys.len() - before);
        }
        let keys = V::array(keys.into_iter(), &self.data_type);
        Ok(vec![lists(lengths.into_iter(), vec![keys, Arc::new(Int64Array::from(counts))])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 2)?;
        let values = to_physical(saved.column(0));
        let values = self.downcast(&values)?;
        let counts = saved.column(1).as_primitive::<Int64Type>().values();
        let mut any_rows = false;
        saved.for_each(groups, |group, row| {
            if counts[row] == AS_ROWS {
                any_rows = true;
                self.set_best(group as u32, values.is_valid(row).then(|| V::key(values, row)));
            } else {
                self.add(group, V::key(values, row), counts[row]);
            }
        });
        if any_rows && self.rows.is_none() { Err(no_rows(NAME)) } else { Ok(()) }
    }

    fn width(&self) -> usize {
        size_of::<BTreeMap<V::Key, i64>>()
    }

    fn heap(&self) -> usize {
        // Nodes of the tree are two thirds full on average, a hash table half.
        let trees = self.values * (size_of::<V::Key>() + size_of::<i64>()) * 3 / 2;
        trees + self.best.len() * 2 * size_of::<(u32, Option<V::Key>)>() + self.heap
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let best = |group: &u32| match self.best.get(group) {
            Some(best) => best.clone(),
            None => best_of(&self.groups[*group as usize], self.minimum).cloned(),
        };
        Ok(V::array(groups.iter().map(best), &self.data_type))
    }
}

impl<V: Values> KeepsRows for Multisets<V> {
    fn open_rows(&mut self, backend: &mut dyn KeyedBackend, mut request: RowsRequest<'_>) -> Result<()> {
        let budget = request.take_budget()?;
        let RowsRequest { at, key, arguments, max_parallelism, .. } = request;
        let name = format!("min_max/{at}");
        let keeping = Keeping::default();
        self.rows = Some(CountedRows::open(backend, &name, key, arguments, max_parallelism, budget, keeping)?);
        Ok(())
    }

    fn take_rows(&mut self, other: &mut dyn KeepsRows) {
        if let Some(other) = (other as &mut dyn Any).downcast_mut::<Self>() {
            self.rows = other.rows.take();
        }
    }

    fn spill(&mut self, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        let Some(table) = &mut self.rows else { return Ok(()) };
        let mut spilled = Vec::new();
        for group in groups {
            let values = &mut self.groups[*group as usize];
            if values.len() > INLINE {
                spilled.push((*group, best_of(values, self.minimum).cloned()));
                let (values, counts): (Vec<V::Key>, Vec<i64>) = std::mem::take(values).into_iter().unzip();
                self.values -= values.len();
                self.heap -= values.iter().map(V::heap).sum::<usize>();
                let column = V::array(values.into_iter().map(Some), &self.data_type);
                table.put(keys, &[], *group, &[column], counts, 0)?;
            }
        }
        spilled.into_iter().for_each(|(group, best)| self.set_best(group, best));
        Ok(())
    }

    fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        let Some(table) = self.rows.as_mut().filter(|_| !self.best.is_empty()) else { return Ok(()) };
        let groups: Vec<u32> = groups.iter().copied().filter(|group| self.best.contains_key(group)).collect();
        match groups.is_empty() {
            true => Ok(()),
            false => table.clear(backend, keys, &groups),
        }
    }

    fn trim_rows(&mut self, backend: &mut Backend) -> Result<()> {
        self.rows.as_mut().map_or(Ok(()), |rows| rows.trim(backend))
    }

    fn write_rows(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        self.rows.as_mut().map_or(Ok(Vec::new()), |rows| rows.write_changes(backend, options))
    }

    fn rows_size(&self) -> usize {
        self.rows.as_ref().map_or(0, CountedRows::size)
    }
}
