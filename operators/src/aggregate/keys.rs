//! Groups by key: each distinct key gets a small dense number, under which operators keep what belongs to it in columns.
//!
//! [`KeyStore`] gives out the numbers and keeps the keys; a [`KeyIndex`] finds the number of a key. A window operator has one
//! store and an index a slice, so that one column of accumulators serves all slices. Two keys are equal if they are bit for
//! bit; null equals null.
//!
//! The hash here is not the shuffle's: of that one, a subtask only sees the few values that fall into its key groups.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::key_bytes::KeyBytes;
use super::physical::{physical_type, to_logical, to_physical};
use crate::operator::{Error, Result};
use crate::rows::{Encoded, ValueCodec};

/// The keys of all groups, and who uses which number.
pub struct KeyStore {
    types: Vec<DataType>,
    layout: Layout,
    /// Numbers that were given out at least once are below this.
    next: u32,
    free: Vec<u32>,
    /// The groups that [`KeyStore::assign`] gave to new keys since the last [`KeyStore::load`].
    fresh: Vec<u32>,
}

/// How keys are kept, and those of the batch at hand.
enum Layout {
    /// No key columns: one group.
    None,
    /// One column of a fixed width of up to eight bytes.
    Fixed { keys: Vec<u64>, null: Vec<bool>, batch: Vec<u64>, batch_nulls: Option<NullBuffer> },
    /// Anything else, as bytes.
    Rows { codec: ValueCodec, keys: KeyBytes, batch: Encoded },
}

/// Finds the number of a key.
#[derive(Default)]
pub struct KeyIndex {
    table: HashTable<Slot>,
    null: Option<u32>,
}

struct Slot {
    /// The key of the fixed layout, otherwise the key's hash.
    word: u64,
    group: u32,
}

impl KeyIndex {
    /// How many keys it knows.
    pub fn len(&self) -> usize {
        self.table.len() + usize::from(self.null.is_some())
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of all its keys.
    pub fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.null.into_iter().chain(self.table.iter().map(|slot| slot.group))
    }

    /// How many bytes it takes, roughly: a hash table is half empty on average after it has grown.
    pub fn size(&self) -> usize {
        self.table.len() * 2 * (size_of::<Slot>() + 1)
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.table.clear();
        self.null = None;
    }
}

#[inline]
fn hash_word(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9E37_79B9_7F4A_7C15) * 0xA24B_AED4_963E_E407;
    (product as u64) ^ ((product >> 64) as u64)
}

impl KeyStore {
    /// For keys of these columns.
    ///
    /// # Errors
    /// A type cannot be a key.
    pub fn new(types: Vec<DataType>) -> Result<Self> {
        let layout = match &types[..] {
            [] => Layout::None,
            [single] if is_fixed(single) => {
                Layout::Fixed { keys: Vec::new(), null: Vec::new(), batch: Vec::new(), batch_nulls: None }
            }
            _ => Layout::Rows { codec: ValueCodec::new(&types)?, keys: KeyBytes::default(), batch: Encoded::default() },
        };
        Ok(Self { types, layout, next: 0, free: Vec::new(), fresh: Vec::new() })
    }

    /// All numbers are below this one.
    pub fn capacity(&self) -> usize {
        self.next as usize
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.capacity() - self.free.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the key columns of a batch; [`KeyStore::assign`] then speaks of its rows.
    pub fn load(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.fresh.clear();
        match &mut self.layout {
            Layout::None => {}
            Layout::Fixed { batch, batch_nulls, .. } => {
                let column = to_physical(&columns[0]);
                batch.clear();
                read_words(&column, batch)?;
                *batch_nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
            }
            Layout::Rows { codec, batch, .. } => {
                let rows = columns.first().map_or(0, |column| column.len());
                codec.encode(columns, rows, 0, batch)?;
            }
        }
        Ok(())
    }

    /// Appends the group of each of these rows, new keys get a new one. What [`KeyStore::release`] freed is used first.
    pub fn assign(&mut self, index: &mut KeyIndex, rows: Range<usize>, groups: &mut Vec<u32>) {
        let Self { layout, next, free, fresh, .. } = self;
        let mut take_number = |next: &mut u32, free: &mut Vec<u32>| {
            let group = take_number(next, free);
            fresh.push(group);
            group
        };
        match layout {
            Layout::None => {
                let group = *index.null.get_or_insert_with(|| take_number(next, free));
                groups.extend(rows.map(|_| group));
            }
            Layout::Fixed { keys, null, batch, batch_nulls } => {
                let mut add = |word: u64, is_null: bool| {
                    let group = take_number(next, free);
                    if keys.len() <= group as usize {
                        keys.resize(group as usize + 1, 0);
                        null.resize(group as usize + 1, false);
                    }
                    keys[group as usize] = word;
                    null[group as usize] = is_null;
                    group
                };
                groups.reserve(rows.len());
                match batch_nulls {
                    None => groups.extend(batch[rows].iter().map(|word| find_word(&mut index.table, *word, &mut add))),
                    Some(nulls) => groups.extend(rows.map(|row| match nulls.is_valid(row) {
                        true => find_word(&mut index.table, batch[row], &mut add),
                        false => *index.null.get_or_insert_with(|| add(0, true)),
                    })),
                }
            }
            Layout::Rows { keys, batch, .. } => {
                groups.extend(rows.map(|row| {
                    let key = batch.get(row);
                    let hash = xxh3_64(key);
                    let same = |slot: &Slot| slot.word == hash && keys.get(slot.group) == key;
                    if let Some(slot) = index.table.find(hash, same) {
                        return slot.group;
                    }
                    let group = take_number(next, free);
                    keys.set(group, key);
                    index.table.insert_unique(hash, Slot { word: hash, group }, |slot| slot.word);
                    group
                }));
            }
        }
    }

    /// The groups of the keys that were new since [`KeyStore::load`], in the order in which they came.
    pub fn fresh(&self) -> &[u32] {
        &self.fresh
    }

    /// A number without a key, to keep something aside; given back by [`KeyStore::release`].
    pub fn reserve(&mut self) -> u32 {
        let group = take_number(&mut self.next, &mut self.free);
        match &mut self.layout {
            Layout::None => {}
            Layout::Fixed { keys, null, .. } => {
                keys.resize(keys.len().max(group as usize + 1), 0);
                null.resize(null.len().max(group as usize + 1), false);
            }
            Layout::Rows { keys, .. } => keys.extend_to(group),
        }
        group
    }

    /// The group of another group's key in this index; a new one with the same key if need be.
    pub fn assign_as(&mut self, index: &mut KeyIndex, like: u32) -> u32 {
        match &self.layout {
            Layout::None => *index.null.get_or_insert_with(|| take_number(&mut self.next, &mut self.free)),
            Layout::Fixed { keys, null, .. } => {
                let (word, is_null) = (keys[like as usize], null[like as usize]);
                let known = match is_null {
                    true => index.null,
                    false => index.table.find(hash_word(word), |slot| slot.word == word).map(|slot| slot.group),
                };
                if let Some(group) = known {
                    return group;
                }
                let group = self.reserve();
                if let Layout::Fixed { keys, null, .. } = &mut self.layout {
                    keys[group as usize] = word;
                    null[group as usize] = is_null;
                }
                match is_null {
                    true => index.null = Some(group),
                    false => {
                        index.table.insert_unique(hash_word(word), Slot { word, group }, |slot| hash_word(slot.word));
                    }
                }
                group
            }
            Layout::Rows { keys, .. } => {
                let key = keys.get(like);
                let hash = xxh3_64(key);
                let same = |slot: &Slot| slot.word == hash && keys.get(slot.group) == key;
                if let Some(slot) = index.table.find(hash, same) {
                    return slot.group;
                }
                let group = self.reserve();
                if let Layout::Rows { keys, .. } = &mut self.layout {
                    keys.copy(like, group);
                }
                index.table.insert_unique(hash, Slot { word: hash, group }, |slot| slot.word);
                group
            }
        }
    }

    /// Takes a group's key out of the index. Its number stays taken until [`KeyStore::release`].
    pub fn forget(&self, index: &mut KeyIndex, group: u32) {
        let hash = match &self.layout {
            Layout::None => {
                index.null = None;
                return;
            }
            Layout::Fixed { null, .. } if null[group as usize] => {
                index.null = None;
                return;
            }
            Layout::Fixed { keys, .. } => hash_word(keys[group as usize]),
            Layout::Rows { keys, .. } => xxh3_64(keys.get(group)),
        };
        if let Ok(entry) = index.table.find_entry(hash, |slot| slot.group == group) {
            entry.remove();
        }
    }

    /// Gives numbers back, each once, after no index knows them any more.
    pub fn release(&mut self, groups: &[u32]) {
        self.free.extend_from_slice(groups);
        if let Layout::Rows { keys, .. } = &mut self.layout {
            keys.remove(groups);
        }
        if self.is_empty() {
            self.next = 0;
            self.free.clear();
        }
    }

    /// The order of two groups' keys: some total order that does not depend on numbers.
    pub fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        match &self.layout {
            Layout::None => std::cmp::Ordering::Equal,
            Layout::Fixed { keys, null, .. } => {
                let (a, b) = (a as usize, b as usize);
                (null[a], keys[a]).cmp(&(null[b], keys[b]))
            }
            Layout::Rows { keys, .. } => keys.get(a).cmp(keys.get(b)),
        }
    }

    /// The key columns of groups.
    pub fn columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.layout {
            Layout::None => Ok(Vec::new()),
            Layout::Fixed { keys, null, .. } => {
                let words = groups.iter().map(|group| keys[*group as usize]);
                let nulls = NullBuffer::from_iter(groups.iter().map(|group| !null[*group as usize]));
                let nulls = (nulls.null_count() > 0).then_some(nulls);
                Ok(vec![to_logical(write_words(words, nulls, &self.types[0])?, &self.types[0])])
            }
            Layout::Rows { codec, keys, .. } => codec.decode(groups.iter().map(|group| keys.get(*group))),
        }
    }

    /// Cuts groups into parts that are to be copied one after the other: each has at most so many bytes, or one group. A group
    /// takes `besides` bytes beside its key.
    pub fn parts(&self, groups: &[u32], besides: usize, most: usize) -> Vec<Range<usize>> {
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0_usize);
        for (at, group) in groups.iter().enumerate() {
            let key = match &self.layout {
                Layout::None => 0,
                Layout::Fixed { .. } => 9,
                Layout::Rows { keys, .. } => keys.get(*group).len(),
            };
            let taken = key.saturating_add(besides);
            if at > start && bytes.saturating_add(taken) > most {
                parts.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes = bytes.saturating_add(taken);
        }
        if start < groups.len() {
            parts.push(start..groups.len());
        }
        parts
    }

    /// How many bytes the keys of all groups take, roughly.
    pub fn size(&self) -> usize {
        match &self.layout {
            Layout::None => 0,
            Layout::Fixed { .. } => self.len() * 9,
            Layout::Rows { keys, .. } => keys.size(self.len()),
        }
    }
}

#[inline]
fn find_word(table: &mut HashTable<Slot>, word: u64, add: &mut impl FnMut(u64, bool) -> u32) -> u32 {
    let hash = hash_word(word);
    if let Some(slot) = table.find(hash, |slot| slot.word == word) {
        return slot.group;
    }
    let group = add(word, false);
    table.insert_unique(hash, Slot { word, group }, |slot| hash_word(slot.word));
    group
}

fn take_number(next: &mut u32, free: &mut Vec<u32>) -> u32 {
    free.pop().unwrap_or_else(|| {
        *next += 1;
        *next - 1
    })
}

/// Whether a value of this type fits a word.
pub(crate) fn is_fixed(logical: &DataType) -> bool {
    use DataType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64};
    matches!(physical_type(logical), Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64)
}

/// The values as words, null as anything.
pub(crate) fn read_words(column: &ArrayRef, words: &mut Vec<u64>) -> Result<()> {
    match column.data_type() {
        DataType::Int8 => words.extend(column.as_primitive::<Int8Type>().values().iter().map(|v| *v as u64)),
        DataType::Int16 => words.extend(column.as_primitive::<Int16Type>().values().iter().map(|v| *v as u64)),
        DataType::Int32 => words.extend(column.as_primitive::<Int32Type>().values().iter().map(|v| *v as u64)),
        DataType::Int64 => words.extend(column.as_primitive::<Int64Type>().values().iter().map(|v| *v as u64)),
        DataType::Float32 => {
            words.extend(column.as_primitive::<Float32Type>().values().iter().map(|v| u64::from(v.to_bits())));
        }
        DataType::Float64 => words.extend(column.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits())),
        DataType::Boolean => words.extend(column.as_boolean().values().iter().map(u64::from)),
        other => return Err(Error::Plan(format!("{other} is no key of a fixed width"))),
    }
    Ok(())
}

/// The inverse of [`read_words`].
pub(crate) fn write_words(
    words: impl Iterator<Item = u64>,
    nulls: Option<NullBuffer>,
    logical: &DataType,
) -> Result<ArrayRef> {
    Ok(match physical_type(logical) {
        DataType::Int8 => Arc::new(Int8Array::new(words.map(|word| word as i8).collect(), nulls)),
        DataType::Int16 => Arc::new(Int16Array::new(words.map(|word| word as i16).collect(), nulls)),
        DataType::Int32 => Arc::new(Int32Array::new(words.map(|word| word as i32).collect(), nulls)),
        DataType::Int64 => Arc::new(Int64Array::new(words.map(|word| word as i64).collect(), nulls)),
        DataType::Float32 => {
            Arc::new(Float32Array::new(words.map(|word| f32::from_bits(word as u32)).collect(), nulls))
        }
        DataType::Float64 => Arc::new(Float64Array::new(words.map(f64::from_bits).collect(), nulls)),
        DataType::Boolean => Arc::new(BooleanArray::new(words.map(|word| word != 0).collect(), nulls)),
        other => return Err(Error::Plan(format!("{other} is no key of a fixed width"))),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn parts_have_at_most_so_many_bytes_or_one_group() {
        let lengths = [10, 90, 1, 200, 30, 30, 30];
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(lengths.map(|length| "x".repeat(length))));
        let mut store = KeyStore::new(vec![DataType::Utf8View, DataType::Utf8View]).unwrap();
        let (mut index, mut groups) = (KeyIndex::default(), Vec::new());
        store.load(&[texts.clone(), texts]).unwrap();
        store.assign(&mut index, 0..lengths.len(), &mut groups);
        groups.truncate(5);
        let size = |group: &u32| match &store.layout {
            Layout::Rows { keys, .. } => keys.get(*group).len() + 7,
            _ => 0,
        };
        let sizes: Vec<usize> = groups.iter().map(size).collect();
        // All of them, one each, and what comes of a bound in between.
        assert_eq!(store.parts(&groups, 7, sizes.iter().sum()), std::slice::from_ref(&(0..5)));
        assert_eq!(store.parts(&groups, 7, 0), [0..1, 1..2, 2..3, 3..4, 4..5]);
        assert_eq!(store.parts(&groups, 7, sizes[0] + sizes[1] + sizes[2]), [0..3, 3..4, 4..5]);
        assert!(store.parts(&[], 7, 100).is_empty());
    }
}
