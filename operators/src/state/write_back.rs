//! The write-back cache of a table, as every operator with keyed state has it: entries that are at hand in columns, of which each
//! has a small dense number, before a table of a back end.
//!
//! [`WriteBack`] owns what happens to them: entries are touched by batches, fetched when they are missed, written or kept back at a
//! snapshot, trimmed to a budget of bytes and evicted. What they are made of and how their keys are found is the operator's
//! ([`CachedEntries`]).
//!
//! The back end is the operator's, lent to each call: several tables share one. There is none until the operator was restored; all
//! that was given to it is at hand then.
use std::ops::Range;

use arrow::array::ArrayRef;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, KeyedSnapshot, Rows, SnapshotOptions};

use super::cache::{Cache, PART_BYTES, Values};
use super::table::RowTable;
use crate::operator::{Error, OperatorSnapshot, Result};
use wiesel_common::ending;

/// An operator's back end; none until it was restored.
pub(crate) type Backend = Option<Box<dyn KeyedBackend>>;

/// What an operator has at hand of a table: entries by number, and what finds them.
pub(crate) trait CachedEntries {
    /// How many there are.
    fn len(&self) -> usize;
    /// The numbers of those that can be found.
    fn all(&self) -> impl Iterator<Item = u32>;
    /// How many bytes they take.
    fn size(&self) -> usize;
    /// How many bytes they take, and the room that those that went have left in columns.
    fn room(&self) -> usize;
    /// Bytes of an entry that a snapshot has beside the table.
    fn width(&self) -> usize;

    /// Cuts entries into parts of at most so many bytes that are to be copied one after the other.
    fn parts(&self, entries: &[u32], most: usize) -> Vec<Range<usize>>;
    /// The keys of entries in the table.
    fn keys(&self, table: &RowTable, entries: &[u32], namespaces: &[i64]) -> Result<Rows>;
    /// The columns of these keys, in memory of their own.
    fn key_columns(&self, entries: &[u32]) -> Result<Vec<ArrayRef>>;
    /// What is written of entries.
    fn values(&self, entries: &[u32]) -> Result<Values>;
    /// Makes empty entries what they were when these values were written.
    fn load(&mut self, entries: &[u32], columns: &[ArrayRef], written: &[i64]) -> Result<()>;

    /// Whether an entry is only there to be taken out of the table.
    fn is_gone(&self, _entry: u32) -> bool {
        false
    }
    /// Makes entries such: [`CachedEntries::is_gone`].
    fn clear(&mut self, entries: &[u32]);
    /// Takes entries out of what finds them; if they are `evicted`, the table has them.
    fn unlink(&mut self, entries: &[u32], evicted: bool);
    /// Empties entries that are not found any more and gives their numbers back.
    fn release(&mut self, entries: &[u32]);
    /// Begins with new columns, now that there are no entries: columns keep the room that they once took.
    fn start_afresh(&mut self) -> Result<()>;

    /// Whether snapshots may have entries beside the table: keys have no namespace then.
    fn keeps_back(&self) -> bool {
        true
    }
    /// These entries in the order in which they are written, and the namespaces of their keys, if there are any.
    fn places(&self, entries: &[u32]) -> (Vec<u32>, Vec<i64>) {
        (entries.to_vec(), Vec::new())
    }
    /// Entries, which have these keys, are about to be in the table.
    fn note_written(&mut self, _entries: &[u32], _keys: &Rows, _namespaces: &[i64]) -> Result<()> {
        Ok(())
    }
    /// Entries are about to be evicted: what of them is written beside their values must be.
    fn before_eviction(&mut self, _backend: &mut Backend) -> Result<()> {
        Ok(())
    }
    /// The entries to evict next, about `enough` of them, and how many of them, at the end, did change.
    fn victims(&mut self, cache: &mut Cache, enough: usize) -> (Vec<u32>, usize) {
        cache.victims(self.all(), enough)
    }
}

/// Entries before a table.
pub(crate) struct WriteBack<E> {
    /// Those that are at hand.
    pub entries: E,
    /// How they differ from the table's; none until there is a table.
    pub cache: Option<Cache>,
    /// All that the table has is at hand: no key that is new has to be looked for there.
    complete: bool,
    /// Memory has run short.
    evicted: bool,
}

impl<E: CachedEntries> WriteBack<E> {
    /// Without a table yet.
    pub(crate) fn new(entries: E) -> Self {
        Self { entries, cache: None, complete: true, evicted: false }
    }

    /// From now on before a table. What a restored snapshot has beside it is written.
    ///
    /// # Errors
    /// The back end fails.
    pub(crate) fn open(&mut self, backend: &mut dyn KeyedBackend, table: RowTable, budget: CacheShare) -> Result<()> {
        self.cache = Some(Cache::new(backend, table, budget)?);
        self.complete = backend.is_empty();
        Ok(())
    }

    /// Whether all that the table has is at hand.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The table has nothing: it was looked through.
    pub(crate) fn note_empty(&mut self) {
        self.complete = true;
    }

    /// Whether memory has run short.
    pub(crate) fn has_evicted(&self) -> bool {
        self.evicted
    }

    /// Notes that entries changed.
    #[inline]
    pub(crate) fn touch(&mut self, entries: &[u32]) {
        if let Some(cache) = &mut self.cache {
            cache.touch(entries);
        }
    }

    /// Reads what the table has of entries that are new here. Returns the positions of those that it has.
    pub(crate) fn fetch(&mut self, backend: &Backend, fresh: &[u32], namespaces: &[i64]) -> Result<Vec<usize>> {
        let (Some(cache), Some(backend)) = (&mut self.cache, backend) else { return Ok(Vec::new()) };
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.entries.keys(cache.table(), fresh, namespaces)?;
        let found = cache.read(&**backend, fresh, &keys)?;
        let entries: Vec<u32> = found.positions.iter().map(|at| fresh[*at]).collect();
        self.entries.load(&entries, &found.columns, &found.written)?;
        Ok(found.positions)
    }

    /// Writes entries. Drops those that were only kept to be taken out of the table, and returns the others.
    fn write(&mut self, backend: &mut dyn KeyedBackend, entries: &[u32]) -> Result<Vec<u32>> {
        let Some(cache) = self.cache.as_mut().filter(|_| !entries.is_empty()) else { return Ok(Vec::new()) };
        let (entries, namespaces) = self.entries.places(entries);
        for part in self.entries.parts(&entries, PART_BYTES) {
            ending::check()?;
            let namespaces = if namespaces.is_empty() { &[][..] } else { &namespaces[part.clone()] };
            let part = &entries[part];
            let keys = self.entries.keys(cache.table(), part, namespaces)?;
            self.entries.note_written(part, &keys, namespaces)?;
            let held = &self.entries;
            cache.write(backend, part, &keys, |chunk| held.values(chunk), |entry| held.is_gone(entry))?;
        }
        let (gone, left): (Vec<u32>, Vec<u32>) = entries.into_iter().partition(|entry| self.entries.is_gone(*entry));
        self.discard(&gone);
        Ok(left)
    }

    /// Writes all that changed.
    pub(crate) fn flush(&mut self, backend: &mut Backend) -> Result<()> {
        let (Some(cache), Some(backend)) = (&mut self.cache, backend) else { return Ok(()) };
        cache.track(self.entries.all());
        let changed = cache.unwritten();
        self.write(&mut **backend, &changed).map(|_| ())
    }

    /// For a snapshot, which [`snapshot`] takes next: writes what changed, or keeps it back.
    pub(crate) fn write_changes(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        if !self.entries.keeps_back() {
            self.flush(backend)?;
            return Ok(Vec::new());
        }
        let (Some(cache), Some(backend)) = (&mut self.cache, backend) else { return Ok(Vec::new()) };
        cache.track(self.entries.all());
        let (mut written, kept) = cache.due(&**backend, options, self.entries.width());
        let (gone, kept): (Vec<u32>, Vec<u32>) = kept.into_iter().partition(|entry| self.entries.is_gone(*entry));
        written.extend(gone);
        self.write(&mut **backend, &written)?;
        let (Some(cache), held) = (&mut self.cache, &self.entries) else { return Ok(Vec::new()) };
        cache.keep_back(&kept, |part| Ok((held.key_columns(part)?, held.values(part)?)))
    }

    /// Drops entries from memory if they take too much.
    pub(crate) fn trim(&mut self, backend: &mut Backend) -> Result<()> {
        let budget = self.cache.as_ref().map(Cache::budget).filter(|budget| self.entries.size() > *budget);
        if budget.is_some() {
            self.entries.before_eviction(backend)?;
        }
        let (Some(budget), Some(backend)) = (budget, backend) else { return Ok(()) };
        // A little at a time: what changed has to be written first, and the task waits.
        let target = budget / 16 * 15;
        while self.entries.size() > target && self.evict(&mut **backend, target)? {}
        if self.entries.room() > budget / 4 * 5 {
            // Columns keep the room of entries that went, and what the others hold has grown: only new ones have none.
            while self.evict(&mut **backend, 0)? {}
            self.entries.start_afresh()?;
        }
        Ok(())
    }

    /// Drops as many entries as are needed to come down to `target` bytes, if they are all of a size. Returns whether there were
    /// any to drop.
    fn evict(&mut self, backend: &mut dyn KeyedBackend, target: usize) -> Result<bool> {
        let share = 1.0 - target as f64 / self.entries.size().max(1) as f64;
        let enough = (self.entries.len() as f64 * share).ceil().max(1.0) as usize;
        self.evicted = true;
        let Some(cache) = &mut self.cache else { return Ok(false) };
        cache.track(self.entries.all());
        let (mut victims, changed) = self.entries.victims(cache, enough);
        let any = !victims.is_empty();
        let changed = victims.split_off(victims.len() - changed);
        victims.extend(self.write(backend, &changed)?);
        self.complete &= victims.is_empty();
        self.entries.unlink(&victims, true);
        self.release(&victims);
        Ok(any)
    }

    /// Entries are nothing any more. Those that the table has stay as empty ones until they are taken out of it, or have been
    /// there for so long that the table drops them by itself.
    pub(crate) fn remove(&mut self, entries: Vec<u32>) {
        let stored = |entry: &u32| self.cache.as_ref().is_some_and(|cache| cache.is_stored(*entry));
        let (stored, others): (Vec<u32>, Vec<u32>) = entries.into_iter().partition(stored);
        self.entries.clear(&stored);
        self.discard(&others);
    }

    /// Drops entries that the table does not have.
    pub(crate) fn discard(&mut self, entries: &[u32]) {
        if entries.is_empty() {
            return;
        }
        self.entries.unlink(entries, false);
        self.release(entries);
    }

    /// Empties entries that are not found any more and gives their numbers back.
    pub(crate) fn release(&mut self, entries: &[u32]) {
        self.entries.release(entries);
        if let Some(cache) = &mut self.cache {
            cache.forget(entries);
        }
    }
}

/// Fixes the state of an operator as it was written, with what its tables kept back.
pub(crate) fn snapshot(
    backend: &mut Backend,
    options: &SnapshotOptions,
    kept_back: Vec<KeptBack>,
) -> Result<OperatorSnapshot> {
    let backend = backend.as_mut().ok_or_else(|| Error::Plan("an operator without its state back end".into()))?;
    let keyed: Box<dyn KeyedSnapshot> = backend.snapshot(options, kept_back)?;
    Ok(OperatorSnapshot { keyed: Some(keyed), lists: Vec::new() })
}

/// How a checkpoint ended.
pub(crate) fn checkpoint_ended(backend: &mut Backend, checkpoint_id: u64, completed: bool) {
    match (backend, completed) {
        (Some(backend), true) => backend.checkpoint_completed(checkpoint_id),
        (Some(backend), false) => backend.checkpoint_aborted(checkpoint_id),
        (None, _) => {}
    }
}
