//! Numbers that grow within a key group: behind what the order of rows is by, they keep rows in the order in which they came.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use wiesel_state::keyed::{KeyedBackend, WriteBatch};

use crate::operator::{Error, Result};
use crate::state::table::{RowTable, TableLayout};
use wiesel_expressions::types::TypeKind;

/// Numbers of a key group that are set aside at once: so many are given out before their end is noted again.
const BLOCK: i64 = 1 << 20;

/// Numbers by key group. The table `<name>/next` has for each key group one that was not given out.
pub(super) struct Sequence {
    table: RowTable,
    /// The first of the subtask's key groups.
    first: u16,
    groups: Vec<Block>,
}

/// The numbers of a key group.
struct Block {
    /// The next that is free.
    next: i64,
    /// Where those end that are set aside in the table.
    end: i64,
}

impl Sequence {
    /// Goes on behind what was set aside before.
    pub(super) fn open(backend: &mut dyn KeyedBackend, name: &str, max_parallelism: u32) -> Result<Self> {
        let (name, value) = (format!("{name}/next"), [TypeKind::Bigint.not_null()]);
        let layout = TableLayout {
            name: &name,
            key: &[],
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl: 0,
            max_parallelism,
        };
        let table = RowTable::open(backend, &layout)?;
        let Some(own) = backend.key_groups() else { return Ok(Self { table, first: 0, groups: Vec::new() }) };
        let first = *own.start();
        let keys: Vec<[u8; 2]> = own.map(u16::to_be_bytes).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
        let values = backend.get(table.id, &keys)?;
        let present: Vec<&Bytes> = values.iter().flatten().collect();
        let (columns, _) = table.columns(&present)?;
        let mut ends = columns[0].as_primitive::<Int64Type>().values().iter();
        let end = |value: &Option<Bytes>| value.as_ref().and_then(|_| ends.next()).copied().unwrap_or(0);
        let groups = values.iter().map(end).map(|end| Block { next: end, end }).collect();
        Ok(Self { table, first, groups })
    }

    /// A number for each row of these key groups.
    pub(super) fn take(
        &mut self,
        backend: &mut dyn KeyedBackend,
        groups: impl Iterator<Item = u16>,
    ) -> Result<Int64Array> {
        let (blocks, first) = (&mut self.groups, self.first);
        let mut used_up = Vec::new();
        let number = |group: u16| {
            let position = group.checked_sub(first).map(usize::from);
            let block = position.and_then(|position| blocks.get_mut(position));
            let block = block.ok_or_else(|| Error::Plan(format!("the key group {group} is another subtask's")))?;
            if block.next == block.end {
                block.end += BLOCK;
                used_up.push(group);
            }
            block.next += 1;
            Ok(block.next - 1)
        };
        let numbers = groups.map(number).collect::<Result<Vec<i64>>>()?;
        if !used_up.is_empty() {
            used_up.sort_unstable();
            used_up.dedup();
            let ends = used_up.iter().map(|group| self.groups[usize::from(group - self.first)].end);
            let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(ends));
            let values = self.table.values(&[ends], &[], used_up.len())?;
            let key = |group: &u16| Bytes::copy_from_slice(&group.to_be_bytes());
            let entries = used_up.iter().enumerate().map(|(at, group)| (key(group), Some(values.share(at))));
            backend.write(self.table.id, WriteBatch { entries: entries.collect() })?;
        }
        Ok(numbers.into())
    }
}
