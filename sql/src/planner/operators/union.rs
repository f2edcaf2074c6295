//! All rows of all inputs.
use wiesel_expressions::types::RowField;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::names;
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity, Rows};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Distribution, Edge, PhysicalOperator};
use crate::error::Result;
use crate::rex::Expression;

/// Edges into one input.
#[derive(Debug)]
pub(crate) struct Union;

impl PhysicalOperator for Union {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    fn produces(&self, inputs: &[Changes]) -> Changes {
        Changes::of_all(inputs)
    }

    fn takes_inserts_only(&self) -> Option<String> {
        None
    }

    fn passes_changes_on(&self) -> bool {
        true
    }

    fn wants_before(&self, _: usize, wanted: bool) -> bool {
        wanted
    }

    fn gives_before(&self, _: Changes, given: bool, _: bool) -> bool {
        given
    }

    fn edge(&self) -> Option<Edge<'_>> {
        Some(Edge::Union)
    }

    fn spec(&self, _: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(None)
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        inherited
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    fn wants(&self, _: usize) -> Option<Distribution> {
        None
    }

    /// The inputs are the same in any order.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        let mut inputs = inputs.to_vec();
        inputs.sort_by_cached_key(|input| (input.rows.id(), input.columns.clone()));
        let id = Digest::new("union").ids(inputs.iter().map(|input| input.rows.id())).finish();
        let width = inputs.iter().map(|input| input.columns.len()).min().unwrap_or_default();
        let column = |at: usize| Digest::new("union").ids(inputs.iter().map(|input| input.columns[at])).finish();
        Identity { rows: Rows::all(id), columns: (0..width).map(column).collect() }
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("Edge").finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        format!("Union(all=[true], union=[{}])", names(place.fields()))
    }

    fn name(&self, number: usize) -> String {
        format!("Union[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
