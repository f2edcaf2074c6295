//! The time zone in which windows were cut, beside their slices.
//!
//! Slices are stretches of local time. In another zone they end at other instants: a restore would take windows that are open for
//! complete, and their rows would be lost. So the zone is kept for each key group, and state that another one would misread is
//! refused.
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use bytes::Bytes;
use wiesel_expressions::expression::{LOCAL_TIME_ZONE, Zone};
use wiesel_expressions::types::TypeKind;
use wiesel_state::Error as StateError;
use wiesel_state::keyed::{KeyedBackend, WriteBatch};

use super::assigner::WindowZone;
use crate::operator::Result;
use crate::state::table::{RowTable, TableLayout};

/// Where the zone of key groups is kept.
pub(super) struct ZoneTable {
    table: RowTable,
    /// The job's.
    zone: Zone,
    /// It need not be written again.
    written: bool,
}

impl ZoneTable {
    /// Opens the table of windows that are cut in this zone.
    pub(super) fn open(backend: &mut dyn KeyedBackend, zone: Zone, max_parallelism: u32) -> Result<Self> {
        let value = [TypeKind::string().not_null()];
        let layout = TableLayout {
            name: "zone",
            key: &[],
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl: 0,
            max_parallelism,
        };
        Ok(Self { table: RowTable::open(backend, &layout)?, zone, written: false })
    }

    /// Refuses what was restored of key groups, which were so far (`now`) and have windows with these ends, if any of it is another
    /// instant in this zone than in the one in which the windows were cut. That is not known of state of former releases.
    pub(super) fn refuse_other(
        &self,
        backend: &dyn KeyedBackend,
        key_groups: Range<u32>,
        now: i64,
        window_ends: &[i64],
    ) -> Result<()> {
        let own = WindowZone::new(self.zone, true);
        for name in self.saved(backend, key_groups)? {
            let saved = Zone::parse(&name)
                .map_err(|why| StateError::Corrupt(format!("the state 'zone': '{name}' is no time zone: {why}")))?;
            if !own.agrees_with(WindowZone::new(saved, true), now, window_ends) {
                return Err(StateError::Incompatible(format!(
                    "the windows of the state were cut in the time zone {name}, those of the job are in {}: rows of windows that \
                     are open would be lost or come into others. SET '{LOCAL_TIME_ZONE}' = '{name}', as it was, or start the \
                     job without this state",
                    self.zone
                ))
                .into());
            }
        }
        Ok(())
    }

    /// The zones of these key groups.
    fn saved(&self, backend: &dyn KeyedBackend, key_groups: Range<u32>) -> Result<BTreeSet<String>> {
        let keys: Vec<[u8; 2]> = group_keys(key_groups).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
        let values = backend.get(self.table.id, &keys)?;
        let present: Vec<&Bytes> = values.iter().flatten().collect();
        if present.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (columns, _) = self.table.columns(&present)?;
        Ok(columns[0].as_string_view().iter().flatten().map(str::to_owned).collect())
    }

    /// Writes the zone for these key groups, all of the subtask, if it was not yet.
    pub(super) fn save(&mut self, backend: &mut dyn KeyedBackend, key_groups: Range<u32>) -> Result<()> {
        if self.written {
            return Ok(());
        }
        let name = self.zone.to_string();
        let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(key_groups.clone().map(|_| name.as_str())));
        let values = self.table.values(&[names], &[], key_groups.len())?;
        let keys = group_keys(key_groups).map(|key| Bytes::copy_from_slice(&key));
        let entries = keys.enumerate().map(|(at, key)| (key, Some(values.share(at)))).collect();
        backend.write(self.table.id, WriteBatch { entries })?;
        self.written = true;
        Ok(())
    }
}

/// The keys of key groups, where there is one entry for each.
pub(super) fn group_keys(groups: Range<u32>) -> impl Iterator<Item = [u8; 2]> {
    groups.map(|group| (group as u16).to_be_bytes())
}
