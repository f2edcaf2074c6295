//! What the connector gives of a table, before it is known what of it is read.
use wiesel_connectors::factory::ProjectionSupport;
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::Converted;
use super::super::explain::attributes::path;
use super::super::expressions::Path;
use super::super::metadata_columns::{Reading, declared, reading};
use super::super::optimize::prune::{Pruned, Wanted, add, counted, projected};
use super::super::optimize::pushdown::stay;
use super::super::physical::Plan;
use super::super::source::describe;
use super::Relation;
use crate::catalog::ResolvedTable;
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
        let description = describe(&table)?;
        let nested = description.projection == ProjectionSupport::Nested;
        let Reading { given, places: metadata } = reading(&table, &description)?;
        let physical = table.physical.len();
        // Where a column of the table stands in what the connector gives, and the other way round.
        let below = |path: Path| match path[0].checked_sub(physical) {
            Some(index) => vec![metadata[index]],
            None if nested => path,
            None => vec![path[0]],
        };
        let above = |path: &Path| match metadata.iter().position(|place| *place == path[0]) {
            Some(index) => vec![physical + index],
            None => path.clone(),
        };
        let mut projection = Wanted::new();
        for path in wanted {
            add(&mut projection, below(path));
        }
        let projection: Vec<Path> = projection.into_iter().collect();
        let paths: Vec<Path> = projection.iter().map(above).collect();
        let wanted: Vec<RowField> = paths.iter().map(|path| projected(&fields, path)).collect();
        // The names are the query's: it may have other ones for the columns.
        let named = |(path, wanted): (&Path, &RowField)| RowField {
            name: wanted.name.clone(),
            ..projected(&given.fields, path)
        };
        let columns: Vec<RowField> = projection.iter().zip(&wanted).map(named).collect();
        let node = RelNode::Source(LogicalSource { table, given, projection, filters: Vec::new() });
        let rel = Rel { node, fields: columns };
        // No column of the table may stand for its rows: a value that cannot be read would fail a query that asks for none.
        let rel = match rel.fields.is_empty() {
            true => counted(rel),
            false => declared(rel, wanted),
        };
        Ok(Pruned { rel, places: paths.into_iter().zip(0..).collect() })
    }

    fn convert(&self, _: &mut Plan, _: &[RowField], _: &Context) -> Result<Converted> {
        let message = format!("table '{}' was not given to the optimiser", self.table.identifier);
        Err(Error::Unsupported { message, location: None })
    }

    fn describe(&self, _: &[RowField]) -> String {
        scan_text(&self.table)
    }
}

/// A table as a relation reads it, with the metadata that it declares.
pub(super) fn scan_text(table: &ResolvedTable) -> String {
    let table_path = path(&table.identifier);
    if table.metadata.is_empty() {
        return format!("LogicalTableScan(table=[[{table_path}]])");
    }
    let known = describe(table).map(|source| source.metadata).unwrap_or_default();
    let is_declared = |key: &&RowField| table.metadata.iter().any(|column| column.key() == key.name);
    let keys: Vec<&str> = known.iter().filter(is_declared).map(|key| key.name.as_str()).collect();
    format!("LogicalTableScan(table=[[{table_path}, metadata=[{}]]])", keys.join(", "))
}
