//! Functions that keep much of a group as rows of keyed state, an entry a row: a checkpoint has those that changed.
//!
//! A group with few entries has them in its own value, where they take the least room and time. When it has more, they become
//! rows, and its value has a mark instead; they stay rows as long as the group lives.
use std::any::Any;

use wiesel_expressions::types::LogicalType;
use wiesel_state::Error as StateError;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, SnapshotOptions};

use super::distinct::Distinct;
use super::keys::KeyStore;
use super::spill::{Keeping, KeyedBatch};
use crate::operator::{Error, Result};
use crate::state::write_back::Backend;

/// What the table of a function is opened with.
pub struct RowsRequest<'a> {
    /// The position of the function among those of the query.
    pub(super) at: usize,
    /// The types of the columns of the groups' key.
    pub(super) key: &'a [LogicalType],
    /// The types of the function's arguments.
    pub(super) arguments: &'a [LogicalType],
    /// The job's number of key groups.
    pub(super) max_parallelism: u32,
    /// What rows that are at hand may take; none where all of a group is at hand anyway.
    pub(super) budget: Option<CacheShare>,
    /// How rows of a DISTINCT are kept: those of other functions are in no namespace, and do not expire.
    pub(super) keeping: Keeping,
}

impl RowsRequest<'_> {
    /// The memory of a function whose rows are at hand in part.
    pub(super) fn take_budget(&mut self) -> Result<CacheShare> {
        self.budget.take().ok_or_else(|| Error::Plan("no memory was dealt out for the rows of a function".into()))
    }
}

/// A function that may keep entries of its groups as rows. Without a table it keeps all with the groups.
pub trait KeepsRows: Any {
    /// Opens the table: from now on groups that have many entries keep them there.
    fn open_rows(&mut self, backend: &mut dyn KeyedBackend, request: RowsRequest<'_>) -> Result<()>;

    /// Goes on with the table of another, which is the same function.
    fn take_rows(&mut self, other: &mut dyn KeepsRows);

    /// Reads what groups that were loaded must have at hand as a whole.
    fn load_rows(&mut self, keyed: &KeyedBatch<'_>) -> Result<()> {
        let _ = keyed;
        Ok(())
    }

    /// Makes rows of the entries of those of these groups that have many. A batch has touched the groups, and is done.
    fn spill(&mut self, keys: &KeyStore, groups: &[u32]) -> Result<()>;

    /// Writes the rows that changed of groups that are at hand as a whole: they are about to be written, or to leave memory.
    fn flush_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        let _ = (backend, keys);
        Ok(())
    }

    /// Takes out the rows of groups that have some: the groups begin anew, or are nothing any more.
    fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()>;

    /// Drops rows from memory if they take too much.
    fn trim_rows(&mut self, backend: &mut Backend) -> Result<()> {
        let _ = backend;
        Ok(())
    }

    /// For a snapshot: writes the other rows that changed. Returns what is kept back instead.
    fn write_rows(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        let _ = (backend, options);
        Ok(Vec::new())
    }

    /// How many bytes the rows take that are at hand beside what the function has of its groups.
    fn rows_size(&self) -> usize {
        0
    }

    /// The function as a DISTINCT, if it is one: no other function has rows in namespaces, or values that expire by themselves.
    fn distinct(&self) -> Option<&Distinct> {
        None
    }

    /// The same, to change it.
    fn distinct_mut(&mut self) -> Option<&mut Distinct> {
        None
    }
}

/// Rows of groups were found where there can be none.
pub(super) fn no_rows(function: &str) -> Error {
    Error::State(StateError::Incompatible(format!(
        "the values of {function} are rows of their own in this state, which this query does not read: start without this state"
    )))
}
