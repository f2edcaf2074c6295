//! The rows that are at hand: by number their key, position and values; by key the order of their numbers.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use wiesel_state::Error as StateError;
use wiesel_state::keyed::Rows;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::columns::{NONE, RowColumns};
use super::filter::Filters;
use super::namespaces;
use super::order::Order;
use crate::aggregate::key_bytes::KeyBytes;
use crate::aggregate::keys::{KeyIndex, KeyStore};
use crate::operator::{Error, Result};
use crate::rows::{Encoded, KeyCodec};
use crate::state::bits::Bits;
use crate::state::cache::{Cache, Values};
use crate::state::table::RowTable;
use crate::state::write_back::CachedEntries;

/// The key of a number that no row has.
const NO_KEY: u32 = u32::MAX;

/// Bytes of a key's order beside those of rows: few rows leave room in it.
const ORDER_BYTES: usize = size_of::<Option<Order>>() + 64;

/// Where a position of a key is.
pub(super) enum Found {
    /// This row is there.
    Row(u32),
    /// No row is at hand; so it would be in the stretch at the first of these, at the second of them there.
    Place((usize, usize)),
}

/// See the module.
pub(super) struct RowEntries {
    key_types: Vec<DataType>,
    value_types: Vec<DataType>,
    codec: KeyCodec,
    /// Milliseconds; 0: kept for ever.
    pub(super) ttl: i64,

    /// Keys by number.
    keys: KeyStore,
    index: KeyIndex,
    /// Of each key what its keys in the table begin with.
    heads: KeyBytes,
    /// Of each key its rows; none: the number is free.
    pub(super) orders: Vec<Option<Order>>,
    /// Bytes of all orders, roughly: noted when they are gone through.
    order_bytes: usize,
    /// Keys that may have no row at hand any more.
    emptied: Vec<u32>,
    /// By namespace the keys that are at hand; none: keys have no namespaces.
    pub(super) namespaces: Option<BTreeMap<i64, BTreeSet<u32>>>,

    /// By row its key, or [`NO_KEY`].
    owners: Vec<u32>,
    /// By row its position, as a key of the table has it.
    positions: KeyBytes,
    /// Rows that are only there to be taken out of the table.
    gone: Bits,
    /// By row when it was written, if there is a time to live.
    written: Vec<i64>,
    columns: RowColumns,
    free: Vec<u32>,
    /// Rows that columns have room for from before all were gone.
    left_room: usize,

    pub(super) filters: Filters,
    /// The key that eviction looks at next, and the stretch of it.
    hand: (usize, usize),
}

impl RowEntries {
    pub(super) fn new(
        key_types: Vec<DataType>,
        position_types: &[DataType],
        value_types: Vec<DataType>,
        ttl: i64,
        filters: Filters,
    ) -> Result<Self> {
        let (keys, columns) = (KeyStore::new(key_types.clone())?, RowColumns::new(&value_types)?);
        Ok(Self {
            key_types,
            value_types,
            codec: KeyCodec::new(position_types)?,
            ttl,
            keys,
            index: KeyIndex::default(),
            heads: KeyBytes::default(),
            orders: Vec::new(),
            order_bytes: 0,
            emptied: Vec::new(),
            namespaces: None,
            owners: Vec::new(),
            positions: KeyBytes::default(),
            gone: Bits::default(),
            written: Vec::new(),
            columns,
            free: Vec::new(),
            left_room: 0,
            filters,
            hand: (0, 0),
        })
    }

    /// The number of the key of each row. `nothing`: the table has no key that is not at hand.
    pub(super) fn assign(
        &mut self,
        table: &RowTable,
        columns: &[ArrayRef],
        rows: usize,
        nothing: bool,
    ) -> Result<Vec<u32>> {
        let mut numbers = Vec::with_capacity(rows);
        self.keys.load(columns)?;
        self.keys.assign(&mut self.index, 0..rows, &mut numbers);
        let fresh = self.keys.fresh();
        if fresh.is_empty() {
            return Ok(numbers);
        }
        let columns = self.keys.columns(fresh)?;
        let (namespaces, columns) = namespaces::split(&columns, table.has_namespace());
        let heads = table.heads(columns, namespaces, fresh.len())?;
        self.orders.resize_with(self.keys.capacity().max(self.orders.len()), || None);
        for (at, key) in fresh.iter().enumerate() {
            let head = heads.get(at);
            let absent = nothing || !self.filters.may_have(group_of(head), xxh3_64(head));
            self.heads.set(*key, head);
            self.orders[*key as usize] = Some(Order::new(absent));
            self.order_bytes += ORDER_BYTES;
        }
        self.emptied.extend_from_slice(fresh);
        if let Some(known) = &mut self.namespaces {
            let fresh = fresh.iter().zip(namespaces);
            fresh.for_each(|(key, namespace)| _ = known.entry(*namespace).or_default().insert(*key));
        }
        Ok(numbers)
    }

    /// Positions as the table has them.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded> {
        let mut positions = Encoded::default();
        self.codec.encode(columns, rows, 0, &mut positions)?;
        Ok(positions)
    }

    /// What the keys of a key in the table begin with.
    pub(super) fn head(&self, key: u32) -> &[u8] {
        self.heads.get(key)
    }

    pub(super) fn key_group(&self, key: u32) -> u16 {
        group_of(self.heads.get(key))
    }

    /// The rows of a key whose number was given out.
    pub(super) fn order(&self, key: u32) -> Result<&Order> {
        self.orders.get(key as usize).and_then(Option::as_ref).ok_or_else(lost)
    }

    /// The same, to change them, and the positions of all rows.
    pub(super) fn order_mut(&mut self, key: u32) -> Result<(&mut Order, &KeyBytes)> {
        let order = self.orders.get_mut(key as usize).and_then(Option::as_mut).ok_or_else(lost)?;
        Ok((order, &self.positions))
    }

    pub(super) fn position_bytes(&self) -> &KeyBytes {
        &self.positions
    }

    /// Finds the row of a key at a position.
    pub(super) fn find(&mut self, key: u32, position: &[u8]) -> Result<Found> {
        let (order, positions) = self.order_mut(key)?;
        let (stretch, found) = order.find(positions, position);
        order.stretch_mut(stretch).used = true;
        Ok(match found {
            Ok(row) => Found::Row(row),
            Err(place) => Found::Place((stretch, place)),
        })
    }

    /// Whether the table may have a row at a position of a stretch, though none is at hand.
    pub(super) fn may_be_stored(&self, key: u32, stretch: usize, position: &[u8]) -> Result<bool> {
        if self.order(key)?.stretch(stretch).complete {
            return Ok(false);
        }
        let head = self.heads.get(key);
        Ok(self.filters.may_have(group_of(head), row_hash(head, position)))
    }

    /// Takes in a row without values where [`RowEntries::find`] said it would be.
    pub(super) fn add(&mut self, key: u32, position: &[u8], place: (usize, usize)) -> Result<u32> {
        let row = self.free.pop().unwrap_or(self.owners.len() as u32);
        if row as usize == self.owners.len() {
            if row == NONE {
                return Err(Error::Plan("more rows are at hand than can be numbered".into()));
            }
            self.owners.push(NO_KEY);
            if self.ttl > 0 {
                self.written.push(0);
            }
        }
        self.owners[row as usize] = key;
        self.positions.set(row, position);
        let (order, positions) = self.order_mut(key)?;
        order.insert(positions, row, place);
        self.columns.resize(row as usize + 1);
        Ok(row)
    }

    /// Gives rows their values: they are there from now on.
    pub(super) fn set(&mut self, rows: &[u32], values: &[ArrayRef], now: i64) -> Result<()> {
        rows.iter().for_each(|row| self.gone.remove(*row));
        if self.ttl > 0 {
            rows.iter().for_each(|row| self.written[*row as usize] = now);
        }
        self.columns.set(rows, values)
    }

    /// Whether a row that is at hand can be seen.
    #[inline]
    pub(super) fn is_visible(&self, row: u32, now: i64) -> bool {
        !self.gone.has(row) && (self.ttl == 0 || self.written[row as usize].saturating_add(self.ttl) > now)
    }

    /// The rows that were last written to at this time or before. Of those that are to be taken out of the table it is not known
    /// when the table's were written: they stay until they are.
    pub(super) fn written_by(&self, by: i64) -> Vec<u32> {
        let is_one = |row: u32| self.written.get(row as usize).is_some_and(|written| *written <= by);
        self.all().filter(|row| is_one(*row) && !self.gone.has(*row)).collect()
    }

    /// The values of rows; null where there is none.
    pub(super) fn get(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns.get(rows)
    }

    /// The columns of positions.
    pub(super) fn decode<'a>(&self, positions: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        self.codec.decode(positions)
    }

    /// The columns of the positions of rows.
    pub(super) fn position_columns(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.codec.decode(rows.iter().map(|row| self.positions.get(*row)))
    }

    /// Drops keys without rows at hand. That the table has nothing of one is only remembered if it would have to be looked for
    /// again; not if `cheap`: it costs little.
    pub(super) fn drop_emptied(&mut self, nothing: bool, cheap: bool) {
        let mut dropped = Vec::new();
        for key in std::mem::take(&mut self.emptied) {
            let Some(order) = self.orders.get(key as usize).and_then(Option::as_ref) else { continue };
            let head = self.heads.get(key);
            let known = || nothing || cheap || !self.filters.may_have(group_of(head), xxh3_64(head));
            if order.is_empty() && (!order.is_complete() || known()) {
                self.orders[key as usize] = None;
                dropped.push(key);
            }
        }
        self.drop_keys(&dropped);
    }

    /// Gives back the numbers of keys, whose orders were taken.
    pub(super) fn drop_keys(&mut self, keys: &[u32]) {
        if keys.is_empty() {
            return;
        }
        keys.iter().for_each(|key| self.keys.forget(&mut self.index, *key));
        self.forget_namespaces(keys);
        self.heads.remove(keys);
        self.keys.release(keys);
        self.order_bytes = self.order_bytes.saturating_sub(keys.len() * ORDER_BYTES);
    }

    /// Goes on to the next stretch that eviction looks at, and drops keys without rows on the way. Returns the key and the
    /// stretch.
    fn advance(&mut self) -> Option<(usize, usize)> {
        for _ in 0..=self.orders.len() {
            let (key, stretch) = self.hand;
            if let Some(order) = self.orders.get(key).and_then(Option::as_ref) {
                if order.is_empty() {
                    self.orders[key] = None;
                    self.drop_keys(&[key as u32]);
                } else if stretch < order.len() {
                    self.hand = (key, stretch + 1);
                    return Some((key, stretch));
                }
            }
            self.hand = ((key + 1) % self.orders.len().max(1), 0);
        }
        None
    }

    /// Bytes of a row in columns that grow by doubling, and of its place in the order of its key, which is cut when it is full:
    /// on average they have room for half as many again.
    fn column_width(&self) -> usize {
        let place = 2 * size_of::<u64>();
        let written = if self.ttl > 0 { size_of::<i64>() } else { 0 };
        (size_of::<u32>() + place + written + self.columns.width()) * 3 / 2
    }

    /// Bytes of keys, of what of rows is in no such column, and of filters.
    fn besides(&self) -> usize {
        let keys = self.keys.size() + self.index.size() + self.heads.size(self.keys.len()) + self.order_bytes;
        keys + self.positions.size(self.len()) + self.columns.heap(self.len()) + self.filters.bytes()
    }
}

/// The hash of a key of the table by which the filters know it.
fn row_hash(head: &[u8], position: &[u8]) -> u64 {
    xxh3_64_with_seed(position, xxh3_64(head))
}

/// The key group that a key of the table begins with.
fn group_of(head: &[u8]) -> u16 {
    head.first_chunk::<2>().map_or(0, |group| u16::from_be_bytes(*group))
}

/// A number stands for nothing.
fn lost() -> Error {
    Error::State(StateError::Backend("rows of a key were asked for that is not at hand".into()))
}

impl CachedEntries for RowEntries {
    fn len(&self) -> usize {
        self.owners.len() - self.free.len()
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.owners.iter().enumerate().filter(|(_, key)| **key != NO_KEY).map(|(row, _)| row as u32)
    }

    fn size(&self) -> usize {
        self.len() * self.column_width() + self.besides()
    }

    fn room(&self) -> usize {
        let orders = self.orders.len().saturating_sub(self.keys.len()) * size_of::<Option<Order>>();
        self.owners.len().max(self.left_room) * self.column_width() + orders + self.besides()
    }

    fn width(&self) -> usize {
        (self.size() - self.filters.bytes()) / self.len().max(1)
    }

    fn parts(&self, rows: &[u32], most: usize) -> Vec<Range<usize>> {
        let besides = self.columns.width() + self.columns.heap(self.len()) / self.len().max(1);
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0_usize);
        for (at, row) in rows.iter().enumerate() {
            let key = self.heads.get(self.owners[*row as usize]).len() + self.positions.get(*row).len();
            if at > start && bytes + key + besides > most {
                parts.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes += key + besides;
        }
        if start < rows.len() {
            parts.push(start..rows.len());
        }
        parts
    }

    fn keys(&self, _: &RowTable, rows: &[u32], _: &[i64]) -> Result<Rows> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(rows.len()));
        for row in rows {
            bytes.extend_from_slice(self.heads.get(self.owners[*row as usize]));
            bytes.extend_from_slice(self.positions.get(*row));
            ends.push(bytes.len());
        }
        Ok(Rows { bytes: bytes.into(), ends })
    }

    fn key_columns(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let owners: Vec<u32> = rows.iter().map(|row| self.owners[*row as usize]).collect();
        let mut columns = self.keys.columns(&owners)?;
        columns.extend(self.position_columns(rows)?);
        Ok(columns)
    }

    fn values(&self, rows: &[u32]) -> Result<Values> {
        let written =
            if self.ttl > 0 { rows.iter().map(|row| self.written[*row as usize]).collect() } else { Vec::new() };
        Ok(Values { columns: self.columns.get(rows)?, written })
    }

    fn load(&mut self, rows: &[u32], columns: &[ArrayRef], written: &[i64]) -> Result<()> {
        rows.iter().zip(written).for_each(|(row, written)| self.written[*row as usize] = *written);
        self.columns.set(rows, columns)
    }

    fn is_gone(&self, row: u32) -> bool {
        self.gone.has(row)
    }

    /// What is kept back has no namespaces.
    fn keeps_back(&self) -> bool {
        self.namespaces.is_none()
    }

    fn clear(&mut self, rows: &[u32]) {
        rows.iter().for_each(|row| self.gone.insert(*row));
        self.columns.remove(rows);
    }

    fn unlink(&mut self, rows: &[u32], evicted: bool) {
        if !evicted {
            for row in rows {
                let owner = self.owners[*row as usize];
                if let Some(order) = self.orders.get_mut(owner as usize).and_then(Option::as_mut) {
                    order.remove(&self.positions, self.positions.get(*row));
                    self.emptied.extend(order.is_empty().then_some(owner));
                }
            }
            return;
        }
        let mut dropped = Bits::default();
        rows.iter().for_each(|row| dropped.insert(*row));
        let mut owners = Vec::new();
        for row in rows {
            let owner = self.owners[*row as usize];
            let Some(order) = self.orders.get_mut(owner as usize).and_then(Option::as_mut) else { continue };
            // Stretches go as a whole: most rows went with one before them.
            if let (at, Ok(_)) = order.find(&self.positions, self.positions.get(*row)) {
                let stretch = order.stretch_mut(at);
                stretch.retain(|row| !dropped.has(row));
                stretch.complete = false;
            }
            if owners.last() != Some(&owner) {
                owners.push(owner);
            }
        }
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            if let Some(order) = &mut self.orders[owner as usize] {
                order.join();
                self.emptied.push(owner);
            }
        }
    }

    fn release(&mut self, rows: &[u32]) {
        self.columns.remove(rows);
        self.positions.remove(rows);
        for row in rows {
            self.owners[*row as usize] = NO_KEY;
            self.gone.remove(*row);
        }
        self.free.extend_from_slice(rows);
        if self.len() == 0 {
            self.left_room = self.left_room.max(self.owners.len());
            self.owners.clear();
            self.written.clear();
            self.free.clear();
        }
    }

    fn start_afresh(&mut self) -> Result<()> {
        (self.keys, self.index, self.heads) =
            (KeyStore::new(self.key_types.clone())?, KeyIndex::default(), KeyBytes::default());
        (self.orders, self.order_bytes, self.emptied, self.hand) = (Vec::new(), 0, Vec::new(), (0, 0));
        self.namespaces.iter_mut().for_each(BTreeMap::clear);
        (self.owners, self.positions, self.gone) = (Vec::new(), KeyBytes::default(), Bits::default());
        (self.written, self.free, self.columns) = (Vec::new(), Vec::new(), RowColumns::new(&self.value_types)?);
        self.left_room = 0;
        Ok(())
    }

    fn note_written(&mut self, rows: &[u32], _: &Rows, _: &[i64]) -> Result<()> {
        for row in rows.iter().filter(|row| !self.gone.has(**row)) {
            let head = self.heads.get(self.owners[*row as usize]);
            let (group, key, row) = (group_of(head), xxh3_64(head), row_hash(head, self.positions.get(*row)));
            self.filters.insert(group, key);
            self.filters.insert(group, row);
        }
        Ok(())
    }

    /// Round and round, stretch by stretch, those that were needed since eviction last came by not this time. Keys that have
    /// nothing at hand go at once.
    fn victims(&mut self, cache: &mut Cache, enough: usize) -> (Vec<u32>, usize) {
        let mut rows = Vec::new();
        // Each is looked at twice at most.
        let stretches: usize = self.orders.iter().flatten().map(Order::len).sum();
        for _ in 0..2 * stretches {
            if rows.len() >= enough {
                break;
            }
            let Some((key, at)) = self.advance() else { break };
            let Some(order) = &mut self.orders[key] else { continue };
            let stretch = order.stretch_mut(at);
            if !stretch.used {
                rows.extend(stretch.rows());
            }
            // What is taken now is not taken once more.
            stretch.used = !stretch.used;
        }
        let (mut victims, changed): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(|row| !cache.is_changed(*row));
        victims.extend_from_slice(&changed);
        (victims, changed.len())
    }
}
