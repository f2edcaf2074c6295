//! Hands rows to the client.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::names;
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Distribution, Edge, PhysicalOperator};
use crate::error::Result;
use crate::rex::Expression;

/// The end of a query.
#[derive(Debug)]
pub(crate) struct Collect;

impl PhysicalOperator for Collect {
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
        None
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    /// The client shows all changes.
    fn wants_before(&self, _: usize, _: bool) -> bool {
        true
    }

    fn gives_before(&self, _: Changes, _: bool, _: bool) -> bool {
        false
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::CollectSink(proto::CollectSinkSpec {
            input: Some(schema_to_proto(&place.input(0).fields)),
            input_changelog: place.input(0).changes.is_changelog(),
        })))
    }

    fn parallelism(&self, _: u32, _: &PlannerOptions) -> u32 {
        1
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    fn wants(&self, _: usize) -> Option<Distribution> {
        None
    }

    /// Rows stay what they are.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        inputs[0].clone()
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        Digest::new("Collect").id(given.rows.id()).finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        format!("Sink(table=[*anonymous_collect$1*], fields=[{}])", names(place.fields()))
    }

    fn name(&self, _: usize) -> String {
        "Sink: Collect table sink".to_owned()
    }

    fn is_sink(&self) -> bool {
        true
    }
}
