//! Brings rows of a key together.
use wiesel_expressions::types::RowField;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{join, name};
use super::super::explain::expression::Style;
use super::super::identity::{Id, Identity};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Edge, PhysicalOperator};
use crate::error::Result;
use crate::rex::Expression;

/// Where an exchange sends rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// By the hash of these columns.
    Hash(Vec<usize>),
    /// All to one.
    Single,
}

impl Distribution {
    /// That which brings the rows together that are equal in these columns.
    pub fn by(keys: Vec<usize>) -> Self {
        if keys.is_empty() { Self::Single } else { Self::Hash(keys) }
    }
}

/// An edge that sends rows to where they belong.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub distribution: Distribution,
}

impl PhysicalOperator for Exchange {
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
        Some(Edge::Exchange(&self.distribution))
    }

    fn spec(&self, _: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(None)
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        inherited
    }

    fn binds_readers_to(&self, _: u32, options: &PlannerOptions) -> u32 {
        match self.distribution {
            Distribution::Hash(_) => options.parallelism,
            Distribution::Single => 1,
        }
    }

    fn wants(&self, _: usize) -> Option<Distribution> {
        None
    }

    /// Rows stay what they are.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        inputs[0].clone()
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("Edge").finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        match &self.distribution {
            Distribution::Hash(keys) => {
                let input = &place.input(0).fields;
                format!("Exchange(distribution=[hash[{}]])", join(keys.iter().map(|key| name(input, *key))))
            }
            Distribution::Single => "Exchange(distribution=[single])".to_owned(),
        }
    }

    fn name(&self, number: usize) -> String {
        format!("Exchange[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
