//! Timers of keys: Flink's `InternalTimerService`.
use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use bytes::Bytes;
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::{KeyedBackend, Rows};

use super::access;
use super::batch::Keys;
use super::table::{RowTable, TableLayout};
use crate::operator::{Error, Result};

/// How many timers are looked for at first.
const REACH: usize = 1 << 10;

/// The time that timers wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDomain {
    /// Watermarks.
    Event,
    /// The clock.
    Processing,
}

/// Timers that are due, in order of time.
#[derive(Clone, Debug)]
pub struct Due {
    /// When each was due.
    pub times: Vec<i64>,
    /// Their keys' columns.
    pub keys: Vec<ArrayRef>,
    /// Their namespaces' columns.
    pub namespaces: Vec<ArrayRef>,
}

impl Due {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// The timers of all keys of a subtask in one domain of time. Namespaces are columns, too. A timer is there once for
/// each time, key and namespace, however often it is registered.
///
/// A row of the table `timers/event` or `timers/processing` is `key group | time | key | namespace`, without a value:
/// the timers of a key group are in order of time. The first time of each key group is at hand.
pub struct Timers {
    table: RowTable,
    /// The first of the subtask's key groups.
    first: u16,
    /// The first time of each key group, if it has any timer.
    first_times: Vec<Option<FirstTime>>,
    /// The first time of all.
    earliest: Option<i64>,
    /// How many timers are looked for at most.
    reach: usize,
}

/// No timer of a key group is before this time.
#[derive(Clone, Copy)]
struct FirstTime {
    time: i64,
    /// There is one at this time.
    certain: bool,
}

impl Timers {
    /// Opens the timers of a domain, for keys and namespaces of these columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        domain: TimeDomain,
        key: &[LogicalType],
        namespace: &[LogicalType],
        max_parallelism: u32,
    ) -> Result<Self> {
        let name = match domain {
            TimeDomain::Event => "timers/event",
            TimeDomain::Processing => "timers/processing",
        };
        let layout =
            TableLayout { name, key, sub_key: namespace, value: &[], namespace: true, ttl: 0, max_parallelism };
        let table = RowTable::open(backend, &layout)?;
        let (first, groups) = backend.key_groups().map_or((0, 0), |own| (*own.start(), own.count()));
        // What was restored is looked at once all tables are open.
        let unknown = (!backend.is_empty()).then_some(FirstTime { time: i64::MIN, certain: false });
        let earliest = unknown.filter(|_| groups > 0).map(|unknown| unknown.time);
        Ok(Self { table, first, first_times: vec![unknown; groups], earliest, reach: REACH })
    }

    /// The time of the earliest timer. Before anything else was called, after a restore, it may be earlier than that.
    pub fn next(&self) -> Option<i64> {
        self.earliest
    }

    /// Registers a timer for each row.
    ///
    /// # Errors
    /// The keys or namespaces are not what the timers were opened with, or the back end fails.
    pub fn register(
        &mut self,
        backend: &mut dyn KeyedBackend,
        keys: Keys<'_>,
        namespaces: &[ArrayRef],
        times: &[i64],
    ) -> Result<()> {
        let keys = keys.in_namespaces(times).with_sub_keys(&self.table, namespaces)?;
        self.each(&keys, |first, time| match first {
            Some(known) if known.time < time => {}
            first => *first = Some(FirstTime { time, certain: true }),
        })?;
        access::write(backend, &self.table, &keys, |_| Some(Bytes::new()))?;
        self.settle(backend)
    }

    /// Takes back the timer of each row, if there is one.
    ///
    /// # Errors
    /// The keys or namespaces are not what the timers were opened with, or the back end fails.
    pub fn delete(
        &mut self,
        backend: &mut dyn KeyedBackend,
        keys: Keys<'_>,
        namespaces: &[ArrayRef],
        times: &[i64],
    ) -> Result<()> {
        let keys = keys.in_namespaces(times).with_sub_keys(&self.table, namespaces)?;
        self.each(&keys, |first, time| {
            if let Some(first) = first.as_mut().filter(|first| first.time == time) {
                first.certain = false;
            }
        })?;
        access::remove(backend, &self.table, &keys)?;
        self.settle(backend)
    }

    /// Takes out timers whose time is not after `up_to`, the earliest of all key groups, in order of time; not more
    /// than `limit` (of which 0 is 1). To be called until there are none: what is registered and deleted between calls
    /// counts.
    ///
    /// No key and namespace is in a batch twice: what its timer leads to is done before its next one fires.
    ///
    /// # Errors
    /// The back end fails.
    pub fn fire(&mut self, backend: &mut dyn KeyedBackend, up_to: i64, limit: usize) -> Result<Due> {
        let mut due = self.due(backend, up_to, limit.min(self.reach).max(1))?;
        let mut seen = HashSet::with_capacity(due.len());
        let fired = due.iter().take_while(|(_, key)| seen.insert(RowTable::after_namespace(key))).count();
        for (time, key) in due.drain(fired..) {
            self.stays(time, &key)?;
        }
        // Where a batch ends early, much would be read again and again.
        self.reach = fired.max(8) * 2;
        let mut columns = self.table.key_columns(due.iter().map(|(_, key)| &key[..]))?;
        let namespaces = columns.split_off(self.table.head_width());
        let times = due.iter().map(|(time, _)| *time).collect();
        let mut gone: Vec<(Bytes, Option<Bytes>)> = due.into_iter().map(|(_, key)| (key, None)).collect();
        gone.sort_unstable();
        access::write_entries(backend, &self.table, gone)?;
        self.settle(backend)?;
        Ok(Due { times, keys: columns, namespaces })
    }

    /// The earliest `limit` timers that are due, in order of time. The first times are those of what is left.
    fn due(&mut self, backend: &dyn KeyedBackend, up_to: i64, limit: usize) -> Result<Vec<(i64, Bytes)>> {
        let first = |(position, first): (usize, &Option<FirstTime>)| Some((first.as_ref()?.time, position));
        let mut groups: Vec<(i64, usize)> = self.first_times.iter().enumerate().filter_map(first).collect();
        groups.sort_unstable();
        let mut due = BinaryHeap::new();
        for (from, position) in groups {
            let full = due.len() == limit;
            if from > up_to || due.peek().is_some_and(|(last, _): &(i64, Bytes)| full && from > *last) {
                break;
            }
            let mut left = None;
            let mut pushed_out = Vec::new();
            self.scan(backend, position, from, &mut |time, key| {
                let timer = (time, Bytes::copy_from_slice(key));
                if time > up_to || due.len() == limit && due.peek().is_some_and(|last| timer > *last) {
                    left = Some(FirstTime { time, certain: true });
                    return ControlFlow::Break(());
                }
                due.push(timer);
                if due.len() > limit {
                    pushed_out.extend(due.pop());
                }
                ControlFlow::Continue(())
            })?;
            self.first_times[position] = left;
            for (time, key) in pushed_out {
                self.stays(time, &key)?;
            }
        }
        Ok(due.into_sorted_vec())
    }

    /// A timer that was to be taken out stays.
    fn stays(&mut self, time: i64, key: &[u8]) -> Result<()> {
        let (group, _) = RowTable::group_and_namespace(key)?;
        let first = self.first_time(group)?;
        if first.is_none_or(|first| time <= first.time) {
            *first = Some(FirstTime { time, certain: true });
        }
        Ok(())
    }

    /// Does something to the first time of the key group of each key, given the key's time.
    fn each(&mut self, keys: &Rows, mut change: impl FnMut(&mut Option<FirstTime>, i64)) -> Result<()> {
        for row in 0..keys.len() {
            let (group, time) = RowTable::group_and_namespace(keys.get(row))?;
            change(self.first_time(group)?, time);
        }
        Ok(())
    }

    /// The first time of a key group.
    fn first_time(&mut self, group: u16) -> Result<&mut Option<FirstTime>> {
        let position = group.checked_sub(self.first).map(usize::from);
        let first = position.and_then(|position| self.first_times.get_mut(position));
        first.ok_or_else(|| Error::Plan(format!("the key group {group} is another subtask's")))
    }

    /// Finds the earliest timer: key groups whose first time is not certain are looked at, unless it would not matter.
    fn settle(&mut self, backend: &dyn KeyedBackend) -> Result<()> {
        let certain = self.first_times.iter().flatten().filter(|first| first.certain);
        self.earliest = certain.map(|first| first.time).min();
        for position in 0..self.first_times.len() {
            let Some(first) = self.first_times[position].filter(|first| !first.certain) else { continue };
            if self.earliest.is_some_and(|earliest| earliest <= first.time) {
                continue;
            }
            let mut found = None;
            self.scan(backend, position, first.time, &mut |time, _| {
                found = Some(FirstTime { time, certain: true });
                ControlFlow::Break(())
            })?;
            self.first_times[position] = found;
            self.earliest = self.earliest.into_iter().chain(found.map(|first| first.time)).min();
        }
        Ok(())
    }

    /// Visits the timers of a key group in order of time, from a time on before which it has none.
    fn scan(
        &self,
        backend: &dyn KeyedBackend,
        position: usize,
        from: i64,
        visit: &mut dyn FnMut(i64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        // Behind what was taken out before: it is in the way until it is compacted.
        let from = self.table.prefix(self.first + position as u16, from);
        Ok(backend.scan_from(self.table.id, &from[..2], &from, &mut |key, _| {
            let (_, time) = RowTable::group_and_namespace(key)?;
            Ok(visit(time, key))
        })?)
    }
}
