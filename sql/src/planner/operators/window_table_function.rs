//! Appends the window's columns: TUMBLE, HOP, CUMULATE.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{name, window};
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity, Rows, column, windows};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::super::specs::window_spec;
use super::{Distribution, Edge, PhysicalOperator};
use crate::error::Result;
use crate::rel::Window;
use crate::rex::Expression;

/// The windows that each row is in.
#[derive(Debug)]
pub(crate) struct WindowTableFunction {
    pub window: Window,
    pub event_time: bool,
}

impl PhysicalOperator for WindowTableFunction {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    fn produces(&self, _: &[Changes]) -> Changes {
        Changes::INSERT_ONLY
    }

    fn takes_inserts_only(&self) -> Option<String> {
        Some("StreamPhysicalWindowTableFunction".to_owned())
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

    fn spec(&self, place: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::WindowTableFunction(proto::WindowTableFunctionSpec {
            input: Some(schema_to_proto(&place.input(0).fields)),
            window: Some(window_spec(&self.window, self.event_time)),
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

    /// A row for each window of a row; the columns of the row, then those of the window.
    fn identity(&self, inputs: &[&Identity], fields: &[RowField]) -> Identity {
        let input = inputs[0];
        let rows = Digest::new("windows").id(input.rows.id());
        let rows = rows.id(windows(input, &self.window, self.event_time)).finish();
        let added = (input.columns.len()..fields.len()).map(|at| column(rows, (at - input.columns.len()) as i64));
        Identity { rows: Rows::all(rows), columns: input.columns.iter().copied().chain(added).collect() }
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("WindowTableFunction").finish()
    }

    fn describe(&self, place: &Place<'_>, _: Style) -> String {
        let time = name(&place.input(0).fields, self.window.time);
        format!("WindowTableFunction(window=[{}])", window(&self.window, &format!("time_col=[{time}]")))
    }

    fn name(&self, number: usize) -> String {
        format!("WindowTableFunction[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
