//! Reads a table.
use std::collections::BTreeSet;
use std::sync::Arc;

use wiesel_connectors::factory::ChangelogMode;
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{join, names, path};
use super::super::explain::expression::{Style, text};
use super::super::expressions::{Path, conjuncts};
use super::super::identity::{Digest, Id, Identity, Rows, column, expression, field_of, named, table_name};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::super::specs::indexes;
use super::{Distribution, Edge, PhysicalOperator, written};
use crate::catalog::ResolvedTable;
use crate::error::Result;
use crate::rel::SourceColumns;
use crate::rex::Expression;
use crate::rex::lowering::messages;

/// A table to read.
#[derive(Debug)]
pub(crate) struct Source {
    pub table: Arc<ResolvedTable>,
    /// What its connector can give.
    pub given: Arc<SourceColumns>,
    pub projection: Vec<Path>,
    pub filters: Vec<Expression>,
    /// `scan.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it emits.
    pub emits: ChangelogMode,
}

impl Source {
    /// The columns of metadata that are read, in the connector's order.
    fn metadata(&self) -> Vec<usize> {
        let columns = self.projection.iter().map(|path| path[0]);
        let read: BTreeSet<usize> = columns.filter(|column| self.given.key(*column).is_some()).collect();
        read.into_iter().collect()
    }

    fn keys(&self, metadata: &[usize]) -> Vec<String> {
        metadata.iter().filter_map(|column| self.given.key(*column)).map(str::to_owned).collect()
    }
}

impl PhysicalOperator for Source {
    fn expressions(&self) -> Vec<&Expression> {
        self.filters.iter().collect()
    }

    fn sharing_key(&self) -> Option<String> {
        let Self { table, projection, filters, .. } = self;
        let filters = written(filters)?;
        Some(format!("Source {:?} {:?} {projection:?} {filters}", table.identifier, table.options))
    }

    fn produces(&self, _: &[Changes]) -> Changes {
        match self.emits {
            ChangelogMode::InsertOnly => Changes::INSERT_ONLY,
            ChangelogMode::Upsert => Changes { update: true, before: false, delete: true },
            ChangelogMode::All => Changes { update: true, before: true, delete: true },
        }
    }

    fn takes_inserts_only(&self) -> Option<String> {
        None
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    fn wants_before(&self, _: usize, _: bool) -> bool {
        false
    }

    fn gives_before(&self, produced: Changes, _: bool, _: bool) -> bool {
        produced.before
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, _: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        let physical = self.table.physical.len();
        let metadata = self.metadata();
        let path = |path: &Path| match metadata.iter().position(|column| *column == path[0]) {
            Some(number) => proto::FieldPath { indexes: indexes(&[physical + number]) },
            None => proto::FieldPath { indexes: indexes(path) },
        };
        Ok(Some(Kind::Source(proto::SourceSpec {
            connector: self.table.options.get("connector").cloned().unwrap_or_default(),
            options: self.table.options.clone(),
            table: self.table.identifier.to_string(),
            physical: Some(schema_to_proto(&self.table.physical)),
            projection: self.projection.iter().map(path).collect(),
            filters: messages(&self.filters)?,
            partition_keys: self.table.partition_keys.clone(),
            values: Vec::new(),
            metadata: self.keys(&metadata),
        })))
    }

    fn parallelism(&self, _: u32, options: &PlannerOptions) -> u32 {
        self.parallelism.unwrap_or(options.parallelism)
    }

    /// A parallelism of its own does not bind its readers.
    fn binds_readers_to(&self, own: u32, options: &PlannerOptions) -> u32 {
        if self.parallelism.is_some() { options.parallelism } else { own }
    }

    fn wants(&self, _: usize) -> Option<Distribution> {
        None
    }

    fn identity(&self, _: &[&Identity], _: &[RowField]) -> Identity {
        let table = Digest::new("table").text(&table_name(&self.table.identifier)).finish();
        let physical = |index: usize| match (self.given.key(index), self.given.fields.get(index)) {
            (Some(key), _) => Digest::new("metadata").id(table).text(key).finish(),
            (None, Some(field)) => named(table, &field.name),
            (None, None) => column(table, index as i64),
        };
        let path = |path: &Path| {
            let root = path.first().copied().unwrap_or_default();
            let mut data_type = self.given.fields.get(root).map(|field| &field.data_type);
            let mut id = physical(root);
            for index in path.iter().skip(1) {
                let field = data_type.and_then(|data_type| field_of(&data_type.kind, *index));
                id = field.map_or_else(|| column(id, *index as i64), |field| named(id, &field.name));
                data_type = field.map(|field| &field.data_type);
            }
            id
        };
        let all: Vec<Id> = (0..self.given.fields.len()).map(physical).collect();
        let conditions = self.filters.iter().flat_map(conjuncts);
        let conditions = conditions.map(|condition| expression(&condition, &all)).collect();
        Identity { rows: Rows { of: table, conditions }, columns: self.projection.iter().map(path).collect() }
    }

    fn uid(&self, _: &[&Identity], _: &Identity) -> Id {
        Digest::new("Source").text(&table_name(&self.table.identifier)).finish()
    }

    /// The conditions that it applies and its options.
    fn distinction(&self, given: &Identity) -> Vec<Id> {
        let options = self.table.options.iter();
        let options = options.fold(Digest::new("options"), |digest, (key, value)| digest.text(key).text(value));
        [options.finish()].into_iter().chain(given.rows.conditions.iter().copied()).collect()
    }

    fn describe(&self, place: &Place<'_>, style: Style) -> String {
        let metadata = self.metadata();
        let all = (0..self.table.physical.len()).chain(metadata.iter().copied()).map(|i| [i]);
        let whole = self.projection.iter().map(Vec::as_slice).eq(all) && metadata.len() == self.table.metadata.len();
        let mut table = path(&self.table.identifier);
        if !self.filters.is_empty() {
            let filters = self.filters.iter().map(|filter| text(filter, &self.given.fields, style));
            table = format!("{table}, filter=[{}]", join(filters));
        }
        let fields = names(place.fields());
        let keys = self.keys(&metadata).join(", ");
        if !whole {
            let physical = self.projection.iter().zip(place.fields());
            let physical = physical.filter(|(path, _)| self.given.key(path[0]).is_none());
            table = format!(
                "{table}, project=[{}], metadata=[{keys}]",
                join(physical.map(|(_, field)| field.name.clone()))
            );
        } else if !metadata.is_empty() {
            table = format!("{table}, metadata=[{keys}]");
        }
        format!("TableSourceScan(table=[[{table}]], fields=[{fields}])")
    }

    fn name(&self, number: usize) -> String {
        format!("Source: {}[{number}]", self.table.identifier.object)
    }

    fn is_sink(&self) -> bool {
        false
    }
}
