//! Makes watermarks.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::name;
use super::super::explain::expression::{Style, text};
use super::super::identity::{Id, Identity};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Distribution, Edge, PhysicalOperator, written};
use crate::error::Result;
use crate::rex::Expression;
use crate::rex::lowering::message;

/// A rowtime and the watermark of a row.
#[derive(Debug)]
pub(crate) struct WatermarkAssigner {
    pub rowtime: usize,
    pub watermark: Expression,
}

impl PhysicalOperator for WatermarkAssigner {
    fn expressions(&self) -> Vec<&Expression> {
        vec![&self.watermark]
    }

    fn sharing_key(&self) -> Option<String> {
        Some(format!("WatermarkAssigner {} {}", self.rowtime, written([&self.watermark])?))
    }

    fn produces(&self, _: &[Changes]) -> Changes {
        Changes::INSERT_ONLY
    }

    fn takes_inserts_only(&self) -> Option<String> {
        Some("StreamPhysicalWatermarkAssigner".to_owned())
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    fn wants_before(&self, _: usize, _: bool) -> bool {
        false
    }

    fn gives_before(&self, _: Changes, _: bool, _: bool) -> bool {
        false
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, options: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::WatermarkAssigner(proto::WatermarkAssignerSpec {
            rowtime: self.rowtime as u32,
            watermark: Some(message(&self.watermark)?),
            idle_timeout: options.idle_timeout,
            input: Some(schema_to_proto(&place.input(0).fields)),
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

    /// Rows stay what they are.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        inputs[0].clone()
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("WatermarkAssigner").finish()
    }

    fn describe(&self, place: &Place<'_>, style: Style) -> String {
        let input = &place.input(0).fields;
        let (rowtime, watermark) = (name(input, self.rowtime), text(&self.watermark, input, style));
        format!("WatermarkAssigner(rowtime=[{rowtime}], watermark=[{watermark}])")
    }

    fn name(&self, number: usize) -> String {
        format!("WatermarkAssigner[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
