//! The physical columns of a table, before it is known which of them are read.
use wiesel_connectors::factory::ProjectionSupport;
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::explain::attributes::path;
use super::super::expressions::Path;
use super::super::optimize::prune::{Pruned, Wanted, add, counted, projected};
use super::super::optimize::pushdown::stay;
use super::super::physical::{NodeId, Plan};
use super::super::source::describe;
use super::Relation;
use crate::error::{Error, Result};
use crate::rel::{LogicalSource, LogicalTableScan, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalTableScan {
    fn inputs(&self) -> Vec<&Rel> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        Vec::new()
    }

    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        Vec::new()
    }

    fn has_no_rows(&self) -> bool {
        false
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        stay(Rel { node: RelNode::Scan(*self), fields }, conditions)
    }

    /// Reads what is wanted, and fields alone if the connector can.
    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let Self { table } = *self;
        let nested = describe(&table)?.projection == ProjectionSupport::Nested;
        let mut projection = Wanted::new();
        for path in wanted {
            add(&mut projection, if nested { path } else { path[..1].to_vec() });
        }
        let projection: Vec<Path> = projection.into_iter().collect();
        let fields: Vec<RowField> = projection.iter().map(|path| projected(&fields, path)).collect();
        let places = projection.iter().cloned().zip(0..).collect();
        let node = RelNode::Source(LogicalSource { table, projection, filters: Vec::new() });
        let rel = Rel { node, fields };
        // No column of the table may stand for its rows: a value that cannot be read would fail a query that asks for none.
        Ok(Pruned { rel: if rel.fields.is_empty() { counted(rel) } else { rel }, places })
    }

    fn convert(&self, _: &mut Plan, _: &[RowField], _: &Context) -> Result<NodeId> {
        let message = format!("table '{}' was not given to the optimiser", self.table.identifier);
        Err(Error::Unsupported { message, location: None })
    }

    fn describe(&self, _: &[RowField]) -> String {
        format!("LogicalTableScan(table=[[{}]])", path(&self.table.identifier))
    }
}
