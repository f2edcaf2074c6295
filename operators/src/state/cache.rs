//! Which groups of an operator are the same in its table, and which have to be read or written.
use arrow::array::ArrayRef;
use bytes::Bytes;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeyedBackend, KeyedSnapshot, SnapshotOptions, WriteBatch};

use super::bits::Bits;
use super::table::{Keys, RowTable};
use crate::operator::Result;

/// Entries that are encoded and written together.
const CHUNK: usize = 1 << 16;

/// A table and the groups of a [`crate::aggregate::keys::KeyStore`] that are its entries.
pub(crate) struct Cache {
    backend: Box<dyn KeyedBackend>,
    table: RowTable,
    /// How many bytes the groups may take.
    budget: CacheShare,
    /// Groups that the table has an entry of.
    stored: Bits,
    /// Groups that changed since they were read or written.
    changed: Bits,
    /// Changes are noted. Before the table has its first entry there is no need to: all groups are new to it.
    tracking: bool,
    /// How many groups were dropped so far.
    hand: usize,
}

/// What is written of groups.
pub(crate) struct Values {
    /// Their columns.
    pub columns: Vec<ArrayRef>,
    /// When each was written, if the table has a time to live.
    pub written: Vec<i64>,
    /// The groups that are to go.
    pub gone: Vec<bool>,
}

/// Entries that were read.
pub(crate) struct Found {
    /// The positions of their keys among those that were asked for.
    pub positions: Vec<usize>,
    /// Their columns.
    pub columns: Vec<ArrayRef>,
    /// When each was written, if the table has a time to live.
    pub written: Vec<i64>,
}

impl Cache {
    /// Of a table of a back end; nothing of it is at hand yet.
    pub(crate) fn new(backend: Box<dyn KeyedBackend>, table: RowTable, budget: CacheShare) -> Self {
        let tracking = !backend.is_empty();
        Self { backend, table, budget, stored: Bits::default(), changed: Bits::default(), tracking, hand: 0 }
    }

    /// How many bytes the groups may take.
    pub(crate) fn budget(&self) -> usize {
        self.budget.bytes()
    }

    /// The table.
    pub(crate) fn table(&self) -> &RowTable {
        &self.table
    }

    /// The back end.
    pub(crate) fn backend(&mut self) -> &mut dyn KeyedBackend {
        &mut *self.backend
    }

    /// Notes that groups changed.
    #[inline]
    pub(crate) fn touch(&mut self, groups: &[u32]) {
        if self.tracking {
            groups.iter().for_each(|group| self.changed.insert(*group));
        }
    }

    /// Whether a group has changes that the table has not.
    pub(crate) fn is_changed(&self, group: u32) -> bool {
        !self.tracking || self.changed.has(group)
    }

    /// Whether the table has an entry of a group.
    pub(crate) fn is_stored(&self, group: u32) -> bool {
        self.stored.has(group)
    }

    /// Groups were dropped: their numbers may stand for other keys from now on.
    pub(crate) fn forget(&mut self, groups: &[u32]) {
        for group in groups {
            self.stored.remove(*group);
            self.changed.remove(*group);
        }
    }

    /// Notes changes from now on; so far `all` groups there are did change.
    pub(crate) fn track(&mut self, all: impl Iterator<Item = u32>) {
        if !std::mem::replace(&mut self.tracking, true) {
            all.for_each(|group| self.changed.insert(group));
        }
    }

    /// The groups that changed since changes are noted.
    pub(crate) fn changed(&self) -> Vec<u32> {
        self.changed.iter().collect()
    }

    /// Of all groups those to drop next, `enough` of them: those that did not change first, and round and round. Also
    /// returns how many of them, at the end, did change.
    pub(crate) fn victims(&mut self, all: impl Iterator<Item = u32>, enough: usize) -> (Vec<u32>, usize) {
        let (mut victims, mut changed): (Vec<u32>, Vec<u32>) = all.partition(|group| !self.is_changed(*group));
        for groups in [&mut victims, &mut changed] {
            let start = if groups.is_empty() { 0 } else { self.hand % groups.len() };
            groups.rotate_left(start);
        }
        self.hand = self.hand.wrapping_add(enough);
        victims.truncate(enough);
        changed.truncate(enough - victims.len());
        victims.extend_from_slice(&changed);
        (victims, changed.len())
    }

    /// Reads the entries of new groups, whose keys these are.
    pub(crate) fn read(&mut self, groups: &[u32], keys: &Keys) -> Result<Found> {
        let order = keys.order();
        let sorted: Vec<&[u8]> = order.iter().map(|at| keys.get(*at)).collect();
        let values = self.backend.get(self.table.id, &sorted)?;
        let found = order.into_iter().zip(values).filter_map(|(at, value)| Some((at, value?)));
        let (positions, values): (Vec<usize>, Vec<Bytes>) = found.unzip();
        positions.iter().for_each(|at| self.stored.insert(groups[*at]));
        let (columns, written) = self.table.columns(&values)?;
        Ok(Found { positions, columns, written })
    }

    /// Writes groups, whose keys these are, in key order; `save` gives what is to be written of some of them. Changes must
    /// be noted ([`Cache::track`]).
    pub(crate) fn write(
        &mut self,
        groups: &[u32],
        keys: &Keys,
        mut save: impl FnMut(&[u32]) -> Result<Values>,
    ) -> Result<()> {
        debug_assert!(self.tracking);
        for part in keys.order().chunks(CHUNK) {
            let chunk: Vec<u32> = part.iter().map(|at| groups[*at]).collect();
            let saved = save(&chunk)?;
            let values = self.table.values(&saved.columns, &saved.written, chunk.len())?;
            let gone = saved.gone.into_iter().chain(std::iter::repeat(false));
            let mut entries = Vec::with_capacity(chunk.len());
            for (((at, group), value), gone) in part.iter().zip(&chunk).zip(values).zip(gone) {
                self.changed.remove(*group);
                match gone {
                    false => self.stored.insert(*group),
                    // What never was there needs not be taken out.
                    true if !self.stored.has(*group) => continue,
                    true => self.stored.remove(*group),
                }
                entries.push((keys.share(*at), (!gone).then_some(value)));
            }
            self.backend.write(self.table.id, WriteBatch { entries })?;
        }
        Ok(())
    }

    /// Takes entries out of the table, whose keys these are.
    pub(crate) fn delete(&mut self, keys: &Keys) -> Result<()> {
        let entries = keys.order().into_iter().map(|at| (keys.share(at), None)).collect();
        Ok(self.backend.write(self.table.id, WriteBatch { entries })?)
    }

    /// Fixes the state as it was written.
    pub(crate) fn snapshot(&mut self, options: &SnapshotOptions) -> Result<Box<dyn KeyedSnapshot>> {
        Ok(self.backend.snapshot(options)?)
    }

    /// How a checkpoint ended.
    pub(crate) fn checkpoint_ended(&mut self, checkpoint_id: u64, completed: bool) {
        match completed {
            true => self.backend.checkpoint_completed(checkpoint_id),
            false => self.backend.checkpoint_aborted(checkpoint_id),
        }
    }
}
