//! Filters, then projects.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{join, name};
use super::super::explain::expression::{Style, text};
use super::super::expressions::{conjuncts, is_deterministic};
use super::super::identity::{Id, Identity, expression};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Distribution, Edge, PhysicalOperator, written};
use crate::error::Result;
use crate::rex::lowering::{message, messages};
use crate::rex::{Expression, Node};

/// A condition and a projection over the same input.
#[derive(Debug)]
pub(crate) struct Calc {
    pub condition: Option<Expression>,
    pub projection: Vec<Expression>,
}

impl PhysicalOperator for Calc {
    fn expressions(&self) -> Vec<&Expression> {
        self.condition.iter().chain(&self.projection).collect()
    }

    fn sharing_key(&self) -> Option<String> {
        let deterministic = self.expressions().into_iter().all(is_deterministic);
        let texts = || Some((written(&self.condition)?, written(&self.projection)?));
        let (condition, projection) = deterministic.then(texts)??;
        Some(format!("Calc {condition} {projection}"))
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

    /// A row that passed may not pass after its update: only its -U takes it back.
    fn wants_before(&self, _: usize, wanted: bool) -> bool {
        wanted || self.condition.is_some()
    }

    fn gives_before(&self, _: Changes, given: bool, _: bool) -> bool {
        given
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::Calc(proto::CalcSpec {
            input: Some(schema_to_proto(&place.input(0).fields)),
            condition: self.condition.as_ref().map(message).transpose()?,
            projection: messages(&self.projection)?,
        })))
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

    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        let Identity { rows, columns } = inputs[0];
        let mut rows = rows.clone();
        let conditions = self.condition.iter().flat_map(conjuncts);
        rows.conditions.extend(conditions.map(|condition| expression(&condition, columns)));
        Identity { rows, columns: self.projection.iter().map(|output| expression(output, columns)).collect() }
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("Calc").finish()
    }

    fn describe(&self, place: &Place<'_>, style: Style) -> String {
        let input = &place.input(0).fields;
        let columns = self.projection.iter().zip(place.fields());
        let select = join(columns.map(|(expression, field)| column(expression, field, input, style)));
        match &self.condition {
            Some(condition) => format!("Calc(select=[{select}], where=[{}])", text(condition, input, style)),
            None => format!("Calc(select=[{select}])"),
        }
    }

    fn name(&self, number: usize) -> String {
        format!("Calc[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}

/// A column with its name, which a column of the input under its own name has already.
fn column(expression: &Expression, field: &RowField, input: &[RowField], style: Style) -> String {
    let shown = text(expression, input, style);
    let has_its_name = matches!(expression.node, Node::Input(index) if name(input, index) == field.name);
    if has_its_name { shown } else { format!("{shown} AS {}", field.name) }
}
