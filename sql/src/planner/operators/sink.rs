//! Writes a table.
use std::sync::Arc;

use wiesel_connectors::factory::{ChangelogMode, SinkDescription};
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::names;
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity, table_name};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::super::specs::indexes;
use super::{Distribution, Edge, PhysicalOperator};
use crate::catalog::{ResolvedColumnKind, ResolvedTable};
use crate::error::{Error, Result};
use crate::rex::Expression;

/// A table to write.
#[derive(Debug)]
pub(crate) struct Sink {
    pub table: Arc<ResolvedTable>,
    /// `sink.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it takes.
    pub takes: ChangelogMode,
    /// The persisted columns declared NOT NULL whose values may be null.
    pub not_null: Vec<usize>,
    /// Keys of the metadata that it gets behind the physical columns.
    pub metadata: Vec<String>,
    /// Primary key, as positions in its input.
    pub primary_key: Vec<usize>,
}

impl Sink {
    /// A sink of a table that gets these columns.
    pub fn new(table: &Arc<ResolvedTable>, description: &SinkDescription, input: &[RowField]) -> Self {
        let may_be_null = |column: usize| input.get(column).is_none_or(|field| field.data_type.nullable);
        let declared = table.physical.iter().enumerate().filter(|(_, field)| !field.data_type.nullable);
        let not_null = declared.map(|(column, _)| column).filter(|column| may_be_null(*column)).collect();
        let physical = |column: &usize| match table.columns[*column].kind {
            ResolvedColumnKind::Physical(index) => Some(index),
            ResolvedColumnKind::Metadata(_) | ResolvedColumnKind::Computed(_) => None,
        };
        Self {
            table: table.clone(),
            parallelism: description.parallelism,
            takes: description.changelog,
            not_null,
            metadata: Vec::new(),
            primary_key: table.primary_key.iter().filter_map(physical).collect(),
        }
    }
}

impl PhysicalOperator for Sink {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        None
    }

    fn produces(&self, _: &[Changes]) -> Changes {
        Changes::INSERT_ONLY
    }

    fn takes_inserts_only(&self) -> Option<String> {
        match self.takes {
            ChangelogMode::InsertOnly => Some(format!("Table sink '{}'", self.table.identifier)),
            ChangelogMode::Upsert | ChangelogMode::All => None,
        }
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    fn wants_before(&self, _: usize, _: bool) -> bool {
        self.takes == ChangelogMode::All
    }

    fn gives_before(&self, _: Changes, _: bool, _: bool) -> bool {
        false
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, options: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::Sink(proto::SinkSpec {
            connector: self.table.options.get("connector").cloned().unwrap_or_default(),
            options: self.table.options.clone(),
            table: self.table.identifier.to_string(),
            input: Some(schema_to_proto(&place.input(0).fields)),
            input_changelog: place.input(0).changes.is_changelog(),
            not_null: indexes(&self.not_null),
            not_null_enforcer: options.not_null_enforcer.clone(),
            primary_key: indexes(&self.primary_key),
            partition_keys: self.table.partition_keys.clone(),
            type_length_enforcer: options.type_length_enforcer.clone(),
            metadata: self.metadata.clone(),
        })))
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        self.parallelism.unwrap_or(inherited)
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    fn wants(&self, _: usize) -> Option<Distribution> {
        None
    }

    /// The primary key.
    fn keys_of_changes(&self, from: u32, to: u32) -> Result<Option<Vec<usize>>> {
        if !self.primary_key.is_empty() {
            return Ok(Some(self.primary_key.clone()));
        }
        if self.parallelism.is_none() {
            return Ok(None);
        }
        let message = format!(
            "The sink for table '{}' has a configured parallelism of {to}, while the input parallelism is {from}. Since the \
             changelog mode of the input is not insert-only, a primary key is required but could not be found.",
            self.table.identifier
        );
        Err(Error::Validation { message, location: None })
    }

    /// Rows stay what they are.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        inputs[0].clone()
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        Digest::new("Sink").text(&table_name(&self.table.identifier)).id(given.rows.id()).finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        format!("Sink(table=[{}], fields=[{}])", self.table.identifier, names(place.fields()))
    }

    fn name(&self, number: usize) -> String {
        format!("Sink: {}[{number}]", self.table.identifier.object)
    }

    fn is_sink(&self) -> bool {
        true
    }
}
