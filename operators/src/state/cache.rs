//! Which entries at hand are the same in their table, and which have to be read or written.
//!
//! A snapshot has the groups that changed since the last one beside the table: they are kept back from it, and written once a
//! snapshot finds that they did not change again. So what changes all the time is never written. Only so much is kept back
//! that an incremental checkpoint stays small.
//!
//! Invariant: a group whose value is not the table's is changed or kept back.
use arrow::array::ArrayRef;
use bytes::Bytes;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, Rows, SnapshotOptions, WriteBatch};

use super::bits::Bits;
use super::kept_back;
use super::table::RowTable;
use crate::operator::Result;

/// Entries that are encoded and written together.
const CHUNK: usize = 1 << 16;
/// Bytes of groups that are made ready for the table together: on the way there they are copied several times, and a task cannot
/// be stopped in between.
pub(crate) const PART_BYTES: usize = 32 << 20;
/// What is kept back takes at most this part of what all groups may take.
const KEPT_BACK_SHARE: usize = 8;

/// A table, and by number which of the groups that are at hand are as it has them. The back end is lent to each call.
pub(crate) struct Cache {
    table: RowTable,
    /// How many bytes the groups may take.
    budget: CacheShare,
    /// Groups that the table has an entry of.
    stored: Bits,
    /// Groups that changed since they were read or written or part of a snapshot.
    changed: Bits,
    /// Groups that the last snapshot had beside the table.
    kept_back: Bits,
    /// Changes are noted. Before the first snapshot or eviction there is no need to: all groups are new to the table.
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
    /// Of a table of a back end; nothing of it is at hand yet. What a restored snapshot has beside the table is written.
    pub(crate) fn new(backend: &mut dyn KeyedBackend, table: RowTable, budget: CacheShare) -> Result<Self> {
        kept_back::write_restored(backend, &table)?;
        let tracking = !backend.is_empty();
        let (stored, changed, kept_back) = Default::default();
        Ok(Self { table, budget, stored, changed, kept_back, tracking, hand: 0 })
    }

    /// How many bytes the groups may take.
    pub(crate) fn budget(&self) -> usize {
        self.budget.bytes()
    }

    /// The table.
    pub(crate) fn table(&self) -> &RowTable {
        &self.table
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
        !self.tracking || self.changed.has(group) || self.kept_back.has(group)
    }

    /// Whether the table has an entry of a group.
    pub(crate) fn is_stored(&self, group: u32) -> bool {
        self.stored.has(group)
    }

    /// Notes that groups are as the table has them: they were read by a scan.
    pub(crate) fn note_stored(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.stored.insert(*group));
    }

    /// Groups were dropped: their numbers may stand for other keys from now on.
    pub(crate) fn forget(&mut self, groups: &[u32]) {
        for group in groups {
            self.stored.remove(*group);
            self.changed.remove(*group);
            self.kept_back.remove(*group);
        }
    }

    /// Notes changes from now on; so far `all` groups there are did change.
    pub(crate) fn track(&mut self, all: impl Iterator<Item = u32>) {
        if !std::mem::replace(&mut self.tracking, true) {
            all.for_each(|group| self.changed.insert(group));
        }
    }

    /// The groups whose values are not the table's.
    pub(crate) fn unwritten(&self) -> Vec<u32> {
        self.changed.or(&self.kept_back).iter().collect()
    }

    /// For a snapshot: the groups to write, and those to keep back. Of these each takes `width` bytes once more until the
    /// snapshot is uploaded.
    pub(crate) fn due(
        &self,
        backend: &dyn KeyedBackend,
        options: &SnapshotOptions,
        width: usize,
    ) -> (Vec<u32>, Vec<u32>) {
        if !backend.takes_kept_back(options) {
            return (self.unwritten(), Vec::new());
        }
        let mut written: Vec<u32> = self.kept_back.and_not(&self.changed).iter().collect();
        // Those that change all the time first.
        let mut kept: Vec<u32> = self.changed.and(&self.kept_back).iter().collect();
        kept.extend(self.changed.and_not(&self.kept_back).iter());
        let room = self.budget.bytes() / KEPT_BACK_SHARE / width.max(1);
        written.extend(kept.drain(room.min(kept.len())..));
        kept.sort_unstable();
        (written, kept)
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
    pub(crate) fn read(&mut self, backend: &dyn KeyedBackend, groups: &[u32], keys: &Rows) -> Result<Found> {
        let order = keys.order();
        let sorted: Vec<&[u8]> = order.iter().map(|at| keys.get(*at)).collect();
        let values = backend.get(self.table.id, &sorted)?;
        let found = order.into_iter().zip(values).filter_map(|(at, value)| Some((at, value?)));
        let (positions, values): (Vec<usize>, Vec<Bytes>) = found.unzip();
        positions.iter().for_each(|at| self.stored.insert(groups[*at]));
        let (columns, written) = self.table.columns(&values)?;
        Ok(Found { positions, columns, written })
    }

    /// Writes groups of at most [`PART_BYTES`], whose keys these are, in key order; `save` gives what is to be written of some of
    /// them, `is_gone` says which are to go. Changes must be noted ([`Cache::track`]).
    pub(crate) fn write(
        &mut self,
        backend: &mut dyn KeyedBackend,
        groups: &[u32],
        keys: &Rows,
        mut save: impl FnMut(&[u32]) -> Result<Values>,
        is_gone: impl Fn(u32) -> bool,
    ) -> Result<()> {
        debug_assert!(self.tracking);
        for part in keys.order().chunks(CHUNK) {
            let chunk: Vec<u32> = part.iter().map(|at| groups[*at]).collect();
            let saved = save(&chunk)?;
            let values = self.table.values(&saved.columns, &saved.written, chunk.len())?;
            let mut entries = Vec::with_capacity(chunk.len());
            for (position, (at, group)) in part.iter().zip(&chunk).enumerate() {
                let gone = is_gone(*group);
                self.changed.remove(*group);
                self.kept_back.remove(*group);
                match gone {
                    false => self.stored.insert(*group),
                    // What never was there needs not be taken out.
                    true if !self.stored.has(*group) => continue,
                    true => self.stored.remove(*group),
                }
                entries.push((keys.share(*at), (!gone).then(|| values.share(position))));
            }
            backend.write(self.table.id, WriteBatch { entries })?;
        }
        Ok(())
    }

    /// Takes entries out of the table, whose keys these are.
    pub(crate) fn delete(&self, backend: &mut dyn KeyedBackend, keys: &Rows) -> Result<()> {
        let entries = keys.order().into_iter().map(|at| (keys.share(at), None)).collect();
        Ok(backend.write(self.table.id, WriteBatch { entries })?)
    }

    /// Keeps groups back; `save` gives the keys and values of some of them. The result belongs to the snapshot that follows.
    pub(crate) fn keep_back(
        &mut self,
        groups: &[u32],
        save: impl Fn(&[u32]) -> Result<(Vec<ArrayRef>, Values)>,
    ) -> Result<Vec<KeptBack>> {
        let mut contents = Vec::new();
        for part in groups.chunks(kept_back::ROWS) {
            let (keys, values) = save(part)?;
            contents.push(kept_back::content(&self.table, part.len(), keys, values));
            for group in part {
                self.changed.remove(*group);
                self.kept_back.insert(*group);
            }
        }
        Ok(contents)
    }
}
