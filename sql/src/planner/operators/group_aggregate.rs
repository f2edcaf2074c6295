//! Groups without windows.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{aggregate, group_by, join, name};
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity, aggregated, grouped, groups};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::super::specs::{call, indexes};
use super::{Distribution, Edge, PhysicalOperator};
use crate::error::Result;
use crate::rel::Aggregate;
use crate::rex::Expression;

/// Keys and aggregates over columns of the input.
#[derive(Debug)]
pub(crate) struct GroupAggregate {
    pub keys: Vec<usize>,
    pub aggregates: Vec<Aggregate>,
}

impl PhysicalOperator for GroupAggregate {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    fn produces(&self, inputs: &[Changes]) -> Changes {
        let all = Changes::of_all(inputs);
        Changes { update: true, before: false, delete: all.update || all.delete }
    }

    fn takes_inserts_only(&self) -> Option<String> {
        None
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    /// What a row added to its group has to be taken out of it again.
    fn wants_before(&self, _: usize, _: bool) -> bool {
        true
    }

    fn gives_before(&self, produced: Changes, _: bool, wanted: bool) -> bool {
        produced.update && wanted
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, options: &PlannerOptions) -> Result<Option<Kind>> {
        let results = &place.fields()[self.keys.len()..];
        let calls = self.aggregates.iter().zip(results).map(|(aggregate, field)| call(aggregate, &field.name));
        Ok(Some(Kind::GroupAggregate(proto::GroupAggregateSpec {
            input: Some(schema_to_proto(&place.input(0).fields)),
            keys: indexes(&self.keys),
            aggregates: calls.collect(),
            input_changelog: place.input(0).changes.is_changelog(),
            generate_update_before: place.changes().before,
            state_ttl: options.state_ttl,
        })))
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        inherited
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    /// All rows of a group.
    fn wants(&self, _: usize) -> Option<Distribution> {
        Some(Distribution::by(self.keys.clone()))
    }

    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        let rows = grouped(Digest::new("group"), inputs[0], &self.keys).finish();
        aggregated(rows, inputs[0], &self.keys, &self.aggregates)
    }

    fn uid(&self, inputs: &[&Identity], _: &Identity) -> Id {
        groups(Digest::new("GroupAggregate"), inputs[0], &self.keys, &self.aggregates).finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        let below = place.input(0);
        let input = &below.fields;
        let retracts = below.changes.update || below.changes.delete;
        let calls = self.aggregates.iter().zip(&place.fields()[self.keys.len()..]);
        let calls = calls.map(|(call, field)| format!("{} AS {}", aggregate(call, input, retracts), field.name));
        let select = self.keys.iter().map(|key| name(input, *key)).chain(calls);
        format!("GroupAggregate({}select=[{}])", group_by(&self.keys, input), join(select))
    }

    fn name(&self, number: usize) -> String {
        format!("GroupAggregate[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
