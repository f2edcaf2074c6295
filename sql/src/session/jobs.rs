//! Statements that become jobs: queries, INSERT, statement sets; and EXPLAIN, which only tells.
use std::sync::Arc;

use sqlparser::ast::{Expr, Query};
use wiesel_common::config::options::job;
use wiesel_common::quote::bound_job_name;
use wiesel_expressions::types::{RowField, TypeKind};

use super::names::place;
use super::settings::PIPELINE_NAME;
use super::{ExecuteOptions, InsertJob, Outcome, QueryJob, Session};
use crate::analyzer;
use crate::ast::{Insert, Statement};
use crate::catalog::{CatalogObject, ResolvedTable};
use crate::error::{Error, Result};
use crate::functions::is_bytes;
use crate::planner::{self, Context, End, explain, metadata};
use crate::rel::{LogicalProject, Rel, RelNode};
use crate::rex::Expression;

/// INSERTs of a statement set, at most.
const MAX_INSERTS: usize = 2_000;

impl Session {
    /// A query with names and types settled.
    pub(super) fn analyze_query(&self, query: &Query) -> Result<Rel> {
        analyzer::analyze_query(&self.catalog, &self.configuration, query)
    }

    /// An expression over columns, for computed columns and watermarks.
    pub(super) fn analyze_expression(&self, fields: &[RowField], expression: &Expr) -> Result<Expression> {
        analyzer::analyze_expression(&self.catalog, &self.configuration, fields, expression)
    }

    /// What statements are planned with.
    fn context(&self) -> Result<Context> {
        Context::new(&self.configuration, self.default_zone)
    }

    pub(super) fn query(&self, query: &Query, text: &str, options: &ExecuteOptions) -> Result<Outcome> {
        let context = self.context()?;
        let rel = self.analyze_query(query)?;
        let fields = rel.fields.clone();
        let upsert_key = metadata::upsert_keys(&rel).into_iter().next().unwrap_or_default().into_iter().collect();
        let rel = if options.as_strings { as_strings(rel, options.but_bytes) } else { rel };
        let collected = rel.fields.clone();
        let plan = planner::plan(vec![(rel, End::Collect)], &context)?;
        let name = self.job_name(|| text.split_whitespace().collect::<Vec<_>>().join(" "))?;
        let planned = planner::job_graph(&plan, name, self.job_configuration(), &context)?;
        let (collect_operator, changelog) = planned.collect_operator(&plan)?;
        Ok(Outcome::Query(QueryJob {
            bounded: plan.bounded,
            graph: planned.graph,
            fields,
            collected,
            collect_operator,
            changelog,
            upsert_key,
        }))
    }

    pub(super) fn insert(&self, inserts: &[Insert]) -> Result<Outcome> {
        let context = self.context()?;
        let queries = self.inserts(inserts)?;
        let sinks: Vec<String> = queries
            .iter()
            .filter_map(|(_, end)| match end {
                End::Table(table) => Some(table.identifier.to_string()),
                _ => None,
            })
            .collect();
        let plan = planner::plan(queries, &context)?;
        let name = self.job_name(|| format!("insert-into_{}", sinks.join(",")))?;
        let graph = planner::job_graph(&plan, name, self.job_configuration(), &context)?.graph;
        Ok(Outcome::Insert(InsertJob { graph, sinks, wait: self.configuration.get(&job::DML_SYNC)? }))
    }

    fn inserts(&self, inserts: &[Insert]) -> Result<Vec<(Rel, End)>> {
        if inserts.is_empty() {
            return Err(Error::validation("No statements to execute: the statement set is empty.", None));
        }
        if inserts.len() > MAX_INSERTS {
            let message = format!(
                "A statement set has {} INSERTs, of at most {MAX_INSERTS}: it would be one job with as many sinks. Make several of it",
                inserts.len()
            );
            return Err(Error::unsupported(message, place(&inserts[MAX_INSERTS].table)));
        }
        inserts
            .iter()
            .map(|insert| {
                let table = self.sink_table(insert)?;
                let rel = analyzer::analyze_insert(&self.catalog, &self.configuration, insert, &table)?;
                Ok((rel, End::Table(table)))
            })
            .collect()
    }

    fn sink_table(&self, insert: &Insert) -> Result<Arc<ResolvedTable>> {
        let identifier = self.identifier(&insert.table)?;
        if insert.overwrite {
            let message = format!("INSERT OVERWRITE into '{identifier}': a streaming job cannot overwrite");
            return Err(Error::unsupported(message, place(&insert.table)));
        }
        match self.catalog.get(&identifier) {
            Some(CatalogObject::Table(table)) if insert.options.is_empty() => Ok(table),
            Some(CatalogObject::Table(table)) => {
                let mut table = (*table).clone();
                table.options.extend(insert.options.iter().cloned());
                Ok(Arc::new(table))
            }
            _ => {
                let message = format!("Sink '{identifier}' does not exists");
                Err(Error::validation(message, place(&insert.table)))
            }
        }
    }

    pub(super) fn explain(&self, details: &[String], statement: &Statement) -> Result<Outcome> {
        let has = |wanted: &str| details.iter().any(|detail| detail.replace(' ', "_") == wanted);
        let queries = match statement {
            Statement::Query(query) => vec![(self.analyze_query(query)?, End::None)],
            Statement::Insert(insert) => self.inserts(std::slice::from_ref(insert))?,
            Statement::StatementSet(inserts) => self.inserts(inserts)?,
            _ => return Err(Error::unsupported("EXPLAIN of this statement: SELECT, INSERT or a statement set", None)),
        };
        let context = self.context()?;
        let plan = planner::plan(queries.clone(), &context)?;
        let mut text = explain::explain(&queries, &plan, has("CHANGELOG_MODE"));
        if has("JSON_EXECUTION_PLAN") {
            let planned = planner::job_graph(&plan, String::new(), self.job_configuration(), &context)?;
            text.push_str(&format!("\n== Physical Execution Plan ==\n{}", explain::execution_plan(&plan, &planned)));
        }
        let fields = vec![RowField::new("result", TypeKind::string().not_null())];
        Ok(Outcome::Rows { fields, rows: vec![vec![Some(text)]] })
    }

    /// `pipeline.name`, else what the statement suggests, which may be as long as the statement: its beginning is enough.
    fn job_name(&self, otherwise: impl FnOnce() -> String) -> Result<String> {
        let mut name = self.configuration.get_optional(&PIPELINE_NAME)?.unwrap_or_else(otherwise);
        bound_job_name(&mut name);
        Ok(name)
    }
}

/// A query with all its columns cast to STRING, maybe without those of bytes.
fn as_strings(rel: Rel, but_bytes: bool) -> Rel {
    let string = |nullable: bool| TypeKind::string().nullable().with_nullable(nullable);
    let stays = |kind: &TypeKind| *kind == TypeKind::string() || but_bytes && is_bytes(kind);
    let cast = |(index, field): (usize, &RowField)| {
        let column = Expression::input(index, field.data_type.clone());
        match &field.data_type.kind {
            kind if stays(kind) => column,
            _ => Expression::call("CAST", vec![column], string(field.data_type.nullable)),
        }
    };
    let expressions = rel.fields.iter().enumerate().map(cast).collect();
    let named = |field: &RowField| {
        let data_type = match &field.data_type.kind {
            kind if stays(kind) => field.data_type.clone(),
            _ => string(field.data_type.nullable),
        };
        RowField::new(format!("{}_s", field.name), data_type)
    };
    let fields = rel.fields.iter().map(named).collect();
    Rel { node: RelNode::Project(LogicalProject { input: Box::new(rel), expressions }), fields }
}
