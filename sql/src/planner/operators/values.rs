//! Constant rows.
use std::collections::BTreeMap;

use wiesel_expressions::expression::literal_to_proto;
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::super::explain::attributes::{join, tuples};
use super::super::explain::expression::{Style, type_name};
use super::super::identity::{Digest, Id, Identity, Rows, column, expression};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::{Distribution, Edge, PhysicalOperator, written};
use crate::error::Result;
use crate::rex::{Expression, Node};

/// The connector of constant rows; no table can name it.
const CONNECTOR: &str = "values";

/// Rows of literals.
#[derive(Debug)]
pub(crate) struct Values {
    pub rows: Vec<Vec<Expression>>,
}

impl PhysicalOperator for Values {
    fn expressions(&self) -> Vec<&Expression> {
        self.rows.iter().flatten().collect()
    }

    fn sharing_key(&self) -> Option<String> {
        let rows: Vec<String> = self.rows.iter().map(written).collect::<Option<_>>()?;
        Some(format!("Values {rows:?}"))
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
        let fields = place.fields();
        let literal = |expression: &Expression| {
            let Node::Literal(value) = &expression.node else {
                return proto::Literal { r#type: Some((&expression.data_type).into()), value: None };
            };
            literal_to_proto(value, &expression.data_type)
        };
        let row = |row: &Vec<Expression>| proto::ValuesRow { fields: row.iter().map(literal).collect() };
        Ok(Some(Kind::Source(proto::SourceSpec {
            connector: CONNECTOR.to_owned(),
            options: BTreeMap::new(),
            table: String::new(),
            physical: Some(schema_to_proto(fields)),
            projection: (0..fields.len()).map(|index| proto::FieldPath { indexes: vec![index as u32] }).collect(),
            filters: Vec::new(),
            partition_keys: Vec::new(),
            values: self.rows.iter().map(row).collect(),
            metadata: Vec::new(),
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

    /// There may be columns without a row: what stands for rows that a condition never lets through.
    fn identity(&self, _: &[&Identity], fields: &[RowField]) -> Identity {
        let row =
            |row: &Vec<Expression>| Digest::new("row").ids(row.iter().map(|value| expression(value, &[]))).finish();
        let id = Digest::new("values").ids(self.rows.iter().map(row)).finish();
        Identity { rows: Rows::all(id), columns: (0..fields.len()).map(|at| column(id, at as i64)).collect() }
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("Values").finish()
    }

    fn describe(&self, place: &Place<'_>, style: Style) -> String {
        let of_type = match style {
            Style::Execution => String::new(),
            Style::Logical | Style::Physical => {
                let column = |field: &RowField| {
                    let data_type = type_name(&field.data_type.with_nullable(true), Style::Execution);
                    format!("{data_type} {}", field.name)
                };
                format!("type=[RecordType({})], ", join(place.fields().iter().map(column)))
            }
        };
        format!("Values({of_type}tuples=[{}])", tuples(&self.rows, style))
    }

    fn name(&self, number: usize) -> String {
        format!("Source: Values[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}
