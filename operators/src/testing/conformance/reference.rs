//! What ought to come out: each key group by itself, in an operator that nothing ever happens to.
//!
//! Which rows are late, and which of two rows comes first, depends on how elements of different channels interleave. So what
//! became of each key group is written down, as far as it counts: a restart takes back what came after the checkpoint. An
//! operator that has this key group alone, keeps all in memory and is never restored is then told the same.
use std::collections::BTreeMap;

use arrow::array::BooleanArray;

use super::Subject;
use crate::element::Batch;
use crate::operator::OperatorContext;
use crate::state::table::key_groups;
use crate::testing::state::{World, select};
use crate::testing::{ManualClock, Output};

/// What an operator was told.
#[derive(Clone, Debug)]
pub enum Told {
    Rows(Batch),
    Watermark(i64),
    /// The clock reached a timer.
    Timer,
    Barrier,
    EndOfInput,
}

/// What each key group was told, and when.
pub struct Log {
    groups: Vec<Vec<(i64, Told)>>,
}

impl Log {
    pub fn new(max_parallelism: u32) -> Self {
        Self { groups: vec![Vec::new(); max_parallelism as usize] }
    }

    /// A subtask was told something that concerns all its key groups.
    pub fn all(&mut self, groups: std::ops::Range<u32>, now: i64, told: &Told) {
        groups.for_each(|group| self.groups[group as usize].push((now, told.clone())));
    }

    /// A subtask with these key groups was given rows.
    pub fn rows(&mut self, own: std::ops::Range<u32>, now: i64, batch: &Batch, keys: &[usize]) {
        let columns: Vec<_> = keys.iter().map(|key| batch.records.column(*key).clone()).collect();
        let groups = key_groups(&columns, batch.num_rows(), self.groups.len() as u32).unwrap();
        let mut present = groups.clone();
        present.sort_unstable();
        present.dedup();
        for group in present {
            assert!(own.contains(&u32::from(group)), "a row of key group {group} came to the subtask of {own:?}");
            let mask: BooleanArray = groups.iter().map(|of| Some(*of == group)).collect();
            self.groups[usize::from(group)].push((now, Told::Rows(select(batch, &mask))));
        }
    }

    /// How much each key group was told.
    pub fn lengths(&self, groups: std::ops::Range<u32>) -> Vec<(u32, usize)> {
        groups.map(|group| (group, self.groups[group as usize].len())).collect()
    }

    /// Forgets what came later.
    pub fn truncate(&mut self, lengths: &[(u32, usize)]) {
        lengths.iter().for_each(|(group, length)| self.groups[*group as usize].truncate(*length));
    }

    /// The numbers in a column of all rows: how often each is there.
    pub fn numbers(&self, column: usize) -> BTreeMap<i64, usize> {
        let mut numbers = BTreeMap::new();
        for (_, told) in self.groups.iter().flatten() {
            let Told::Rows(batch) = told else { continue };
            let column = batch.records.column(column);
            let column = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(column);
            column.values().iter().for_each(|number| *numbers.entry(*number).or_default() += 1);
        }
        numbers
    }

    /// What comes out.
    pub fn replay(
        &self,
        subject: &Subject,
        world: &World,
        context: &OperatorContext,
        clock: &ManualClock,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for (group, told) in (0u32..).zip(&self.groups) {
            // Without rows there is nothing to come out.
            if !told.iter().any(|(_, told)| matches!(told, Told::Rows(_))) {
                continue;
            }
            let context = OperatorContext { subtask: group, parallelism: context.max_parallelism, ..context.clone() };
            let mut operator = (subject.build)(&context);
            operator.restore(&mut world.restored("hashmap", group..group + 1, &[], usize::MAX)).unwrap();
            operator.open(&context).unwrap();
            let mut out = Output::default();
            for (now, told) in told {
                clock.set(*now);
                match told {
                    Told::Rows(batch) => operator.process(0, batch.clone(), &mut out).unwrap(),
                    Told::Watermark(watermark) => operator.watermark(*watermark, &mut out).unwrap(),
                    Told::Timer if operator.next_timer().is_some_and(|timer| timer <= *now) => {
                        operator.processing_time(*now, &mut out).unwrap();
                    }
                    Told::Timer => {}
                    Told::Barrier => operator.before_barrier(&mut out).unwrap(),
                    Told::EndOfInput => {
                        operator.end_input(0, &mut out).unwrap();
                        operator.finish(&mut out).unwrap();
                    }
                }
            }
            lines.extend(out.take_rows());
        }
        lines
    }
}
