//! `MIN` and `MAX` over rows that can be taken back: an ordered multiset of its values a group. Floating point numbers are in
//! Java's total order: -0.0 before 0.0, NaN last.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray, StringViewArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::min_max::unsupported;
use super::physical::{physical_type, to_logical, to_physical};
use super::saved::{Lists, lists};
use super::sum::wrong_argument;
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};

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
    Box::new(Multisets::<V> { data_type: argument.clone(), minimum, groups: Vec::new(), values: 0, heap: 0 })
}

struct Multisets<V: Values> {
    data_type: DataType,
    minimum: bool,
    /// How often each value is there; negative when it was taken back before it came.
    groups: Vec<BTreeMap<V::Key, i64>>,
    /// How many values all groups have.
    values: usize,
    /// Bytes of these values besides their own size.
    heap: usize,
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
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = to_physical(&rows.arguments[0]);
        let values =
            argument.as_any().downcast_ref::<V::Array>().ok_or_else(|| wrong_argument(rows, &self.data_type))?;
        rows.for_each_not_null(|row, group, weight| self.add(group, V::key(values, row), weight));
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            for (key, count) in self.groups[*source as usize].clone() {
                self.add(*target as usize, key, count);
            }
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| &self.groups[*group as usize];
        let keys = V::array(groups.iter().flat_map(|group| of(group).keys().cloned().map(Some)), &self.data_type);
        let counts = Int64Array::from_iter_values(groups.iter().flat_map(|group| of(group).values().copied()));
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), vec![keys, Arc::new(counts)])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 2)?;
        let values = to_physical(saved.column(0));
        let values = values.as_any().downcast_ref::<V::Array>();
        let values = values.ok_or_else(|| Error::Plan(format!("saved values are no {}", self.data_type)))?;
        let counts = saved.column(1).as_primitive::<Int64Type>().values();
        saved.for_each(groups, |group, row| self.add(group, V::key(values, row), counts[row]));
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<BTreeMap<V::Key, i64>>()
    }

    fn heap(&self) -> usize {
        // Nodes of the tree are two thirds full on average.
        self.values * (size_of::<V::Key>() + size_of::<i64>()) * 3 / 2 + self.heap
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let best = |group: &u32| {
            let mut present =
                self.groups[*group as usize].iter().filter(|(_, count)| **count > 0).map(|(value, _)| value);
            let best = if self.minimum { present.next() } else { present.next_back() };
            best.cloned()
        };
        Ok(V::array(groups.iter().map(best), &self.data_type))
    }
}
