//! Keys in namespaces, such as the slices of windows. The namespace is the first column of a key; it is not part of what the key
//! group follows from. All that is in a namespace goes at once, without a look at its rows.
use std::ops::ControlFlow;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use wiesel_common::ending;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeyRange, KeyedBackend, ScanOrder};

use super::entries::RowEntries;
use super::{KeyedRows, RowsDescriptor};
use crate::operator::Result;
use crate::state::table::{LAST, RowTable};
use crate::state::write_back::Backend;

/// The namespaces of keys, if they have any, and their other columns.
pub(super) fn split(columns: &[ArrayRef], has_namespaces: bool) -> (&[i64], &[ArrayRef]) {
    match columns.split_first() {
        Some((first, rest)) if has_namespaces => (&first.as_primitive::<Int64Type>().values()[..], rest),
        _ => (&[], columns),
    }
}

impl KeyedRows {
    /// As [`KeyedRows::open`], with keys in namespaces: where columns of keys are given, a BIGINT that is never null comes before
    /// those of the descriptor.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open_in_namespaces(
        backend: &mut dyn KeyedBackend,
        descriptor: &RowsDescriptor<'_>,
        budget: CacheShare,
    ) -> Result<Self> {
        Self::open_with(backend, descriptor, budget, true)
    }

    /// Whether the table may have rows that are not at hand: it was restored with some, or memory has run short.
    pub fn may_have_more(&self) -> bool {
        !self.state.is_complete()
    }

    /// Takes all rows of a namespace out; the table has some of it in these key groups at most, which are in order.
    ///
    /// # Errors
    /// The back end fails.
    pub fn drop_namespace(&mut self, backend: &mut Backend, namespace: i64, key_groups: &[u16]) -> Result<()> {
        let rows = self.state.entries.take_namespace(namespace);
        if !rows.is_empty() {
            self.state.release(&rows);
        }
        let table = self.table()?;
        let Some(backend) = backend.as_mut().filter(|backend| !backend.is_empty()) else { return Ok(()) };
        let prefixes: Vec<[u8; 10]> = key_groups.iter().map(|group| table.prefix(*group, namespace)).collect();
        let ends: Vec<Vec<u8>> = prefixes.iter().map(|prefix| [&prefix[..], &[LAST]].concat()).collect();
        let ranges: Vec<KeyRange<'_>> = prefixes.iter().zip(&ends).map(|(from, to)| KeyRange { from, to }).collect();
        // Each deletion of a range is a mark that reads come across for long: none where there is nothing.
        let mut present = Vec::new();
        backend.scan_ranges(table.id, &ranges, ScanOrder::Forwards, &mut |at, _, _| {
            present.push(ranges[at]);
            Ok(ControlFlow::Break(()))
        })?;
        for range in present {
            ending::check()?;
            backend.delete_range(table.id, range)?;
        }
        Ok(())
    }
}

impl RowEntries {
    /// Takes the keys of a namespace out of what finds them. Returns their rows, which are to be released.
    fn take_namespace(&mut self, namespace: i64) -> Vec<u32> {
        let keys = self.namespaces.as_mut().and_then(|known| known.remove(&namespace)).unwrap_or_default();
        let keys: Vec<u32> = keys.into_iter().collect();
        let mut rows = Vec::new();
        for key in &keys {
            if let Some(order) = self.orders.get_mut(*key as usize).and_then(Option::take) {
                (0..order.len()).for_each(|stretch| rows.extend(order.stretch(stretch).rows()));
            }
        }
        self.drop_keys(&keys);
        rows
    }

    /// Forgets which namespaces these keys are in, whose numbers are given back.
    pub(super) fn forget_namespaces(&mut self, keys: &[u32]) {
        if self.namespaces.is_none() {
            return;
        }
        for key in keys {
            let namespace = RowTable::group_and_namespace(self.head(*key)).map(|(_, namespace)| namespace);
            let (Some(known), Ok(namespace)) = (&mut self.namespaces, namespace) else { continue };
            if let Some(others) = known.get_mut(&namespace) {
                others.remove(key);
                if others.is_empty() {
                    known.remove(&namespace);
                }
            }
        }
    }
}
