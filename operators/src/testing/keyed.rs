//! An operator that is nothing but one state or the timers of keys, in subtasks that are cut by snapshots.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use wiesel_common::keygroup;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::keyed::{KeyedBackend, SnapshotOptions};

use super::context;
use super::state::{Subtasks, World};
use crate::element::Batch;
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::table::key_groups;

pub const MAX_PARALLELISM: u32 = 16;

/// One row of a batch: its key, namespace, sub-key and value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: Key,
    pub namespace: i64,
    pub sub_key: Option<String>,
    pub value: Value,
}

pub type Key = (Option<i64>, Option<String>);
pub type Value = (Option<i64>, Option<String>);

pub fn types() -> [LogicalType; 2] {
    [TypeKind::Bigint.nullable(), TypeKind::string().nullable()]
}

/// The two columns of keys or values.
pub fn columns<'a>(pairs: impl Iterator<Item = &'a (Option<i64>, Option<String>)>) -> Vec<ArrayRef> {
    let (numbers, texts): (Vec<_>, Vec<_>) = pairs.cloned().unzip();
    vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringViewArray::from_iter(texts))]
}

pub fn key_columns(rows: &[Row]) -> Vec<ArrayRef> {
    columns(rows.iter().map(|row| &row.key))
}

pub fn sub_keys(rows: &[Row]) -> Vec<ArrayRef> {
    vec![Arc::new(rows.iter().map(|row| row.sub_key.clone()).collect::<StringViewArray>())]
}

/// The rows of two columns.
pub fn pairs(columns: &[ArrayRef]) -> Vec<(Option<i64>, Option<String>)> {
    let (numbers, texts) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_string_view());
    numbers.iter().zip(texts).map(|(number, text)| (number, text.map(str::to_owned))).collect()
}

pub fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    column.as_string_view().iter().map(|text| text.map(str::to_owned)).collect()
}

/// Few, so that they meet again; some begin as others do.
pub fn some_keys() -> Vec<Key> {
    let text = |text: &str| Some(text.to_owned());
    vec![(None, None), (None, text("")), (Some(0), None), (Some(1), text("a")), (Some(i64::MIN), text("a\0"))]
}

pub fn some_sub_keys() -> Vec<Option<String>> {
    vec![None, Some(String::new()), Some("x".to_owned())]
}

pub fn row(namespaces: &'static [i64]) -> impl Strategy<Value = Row> {
    let keys = (prop::sample::select(some_keys()), prop::sample::select(namespaces));
    let value = (prop::option::of(-9..9i64), prop::option::of("[a-c]{0,2}"));
    (keys, prop::sample::select(some_sub_keys()), value).prop_map(|((key, namespace), sub_key, value)| Row {
        key,
        namespace,
        sub_key,
        value,
    })
}

/// A subtask with one state.
pub struct Holder<S> {
    open: Arc<dyn Fn(&mut dyn KeyedBackend) -> S + Send + Sync>,
    opened: Option<(Box<dyn KeyedBackend>, S)>,
}

impl<S: Send> Operator for Holder<S> {
    fn restore(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let mut backend = restored.keyed()?;
        let state = (self.open)(&mut *backend);
        self.opened = Some((backend, state));
        Ok(())
    }

    fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let (backend, _) = self.opened.as_mut().unwrap();
        Ok(OperatorSnapshot { keyed: Some(backend.snapshot(options, Vec::new())?), lists: Vec::new() })
    }
}

/// All subtasks of an operator with one state.
pub struct Cluster<S> {
    pub world: Arc<World>,
    context: OperatorContext,
    open: Arc<dyn Fn(&mut dyn KeyedBackend) -> S + Send + Sync>,
    subtasks: Subtasks<Holder<S>>,
    checkpoint: u64,
}

impl<S: Send> Cluster<S> {
    /// With one subtask.
    pub fn new(backend: &'static str, open: impl Fn(&mut dyn KeyedBackend) -> S + Send + Sync + 'static) -> Self {
        let context = context();
        let context = OperatorContext { max_parallelism: MAX_PARALLELISM, ..context };
        let world = World::new(&context, backend);
        let open: Arc<dyn Fn(&mut dyn KeyedBackend) -> S + Send + Sync> = Arc::new(open);
        let holder = |_: &OperatorContext| Holder { open: open.clone(), opened: None };
        let subtasks = Subtasks::start(&world, &context, 1, &[], usize::MAX, holder);
        Self { world, context, open, subtasks, checkpoint: 0 }
    }

    /// Cuts a snapshot and goes on with it.
    pub fn restart(&mut self, parallelism: u32) {
        self.checkpoint += 1;
        let saved = self.subtasks.save(self.checkpoint);
        let holder = |_: &OperatorContext| Holder { open: self.open.clone(), opened: None };
        self.subtasks = Subtasks::start(&self.world, &self.context, parallelism, &saved, usize::MAX, holder);
    }

    /// Gives each subtask those of the rows that are its own.
    pub fn each(&mut self, rows: &[Row], mut with: impl FnMut(&mut S, &mut dyn KeyedBackend, &[Row])) {
        let groups = key_groups(&key_columns(rows), rows.len(), MAX_PARALLELISM).unwrap();
        let parallelism = self.subtasks.operators.len() as u32;
        for (subtask, holder) in self.subtasks.operators.iter_mut().enumerate() {
            let target = |group: u16| keygroup::subtask(u32::from(group), parallelism, MAX_PARALLELISM);
            let own = rows.iter().zip(&groups).filter(|(_, group)| target(**group) == subtask as u32);
            let own: Vec<Row> = own.map(|(row, _)| row.clone()).collect();
            let (backend, state) = holder.opened.as_mut().unwrap();
            with(state, &mut **backend, &own);
        }
    }
}
