//! From relations to a job graph.
//!
//! ```text
//! Rel ─ optimize ─> Rel ─ convert ─> Plan ─ changelog ─> Plan ─ graph ─> JobGraph
//!                                                          └─ explain ─> text
//! ```
//!
//! One pass per concern, each in its own file:
//! - `optimize`: constants, conditions, columns, shared scans;
//! - `convert`: physical operators, with `window` and `attached_window` for groups by window, and exchanges where these want them;
//!   `source` asks the connectors, `metadata_columns` what they have beside columns;
//! - `changelog`: which kinds of change each edge carries;
//! - `limits`: what no job could run;
//! - `graph`: parallelism, partitioners, chains and names; `identity`: the uids of operators;
//! - `explain`: all of it as text.
//!
//! What the passes have to know of a relation or of a physical operator they ask it: `relations` and `operators` have one file
//! each. What is known of the rows of a relation (keys, windows, whether they end) is in `metadata`, a file for each property. Only
//! rewrites of several relations that stand over each other (`optimize`, `window`) match relations, and name each kind of them.
//!
//! Invariant: ids and names depend on what the statement says, never on when or where it is planned.
use std::sync::Arc;

use wiesel_common::config::Configuration;
use wiesel_common::time::SystemClock;
use wiesel_expressions::expression::{EvaluationContext, Zone, local_time_zone};

use crate::catalog::ResolvedTable;
use crate::error::{Error, Result};
use crate::rel::Rel;
use crate::script::still_wanted;

mod attached_window;
mod changelog;
mod convert;
pub(crate) mod explain;
mod expressions;
mod graph;
mod identity;
mod limits;
pub(crate) mod metadata;
mod metadata_columns;
mod operators;
mod optimize;
mod options;
mod physical;
mod relations;
mod source;
mod specs;
#[cfg(test)]
pub(crate) mod tests;
mod window;

pub(crate) use graph::job_graph;
pub use options::CHOICES;
use options::PlannerOptions;
use physical::Plan;

/// What planning needs besides the query.
pub(crate) struct Context {
    options: PlannerOptions,
    /// Evaluates constants, in the time zone that the job has.
    evaluation: EvaluationContext,
}

impl Context {
    /// Reads the configuration. `default_zone`: the time zone where it names none.
    ///
    /// # Errors
    /// A value that is none of its key's.
    pub fn new(configuration: &Configuration, default_zone: Zone) -> Result<Self> {
        let zone = local_time_zone(configuration).map_err(|error| Error::Option(error.to_string()))?;
        let evaluation = EvaluationContext::in_zone(zone.unwrap_or(default_zone), Arc::new(SystemClock));
        Ok(Self { options: PlannerOptions::new(configuration)?, evaluation })
    }
}

/// What becomes of a query's rows.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Nothing: the query is only explained.
    None,
    /// The client fetches them.
    Collect,
    /// They are written to a table; the query gives its persisted columns.
    Table(Arc<ResolvedTable>),
}

fn all_bounded(rels: &[Rel]) -> Result<bool> {
    for rel in rels {
        if !metadata::is_bounded(rel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Optimises the queries of one job. What is written keeps the names that the table has for its columns: they stand in its files.
fn optimized(rels: Vec<Rel>, ends: &[End], context: &Context) -> Result<Vec<Rel>> {
    let is_written = |end: &End| matches!(end, End::Table(_));
    let fields: Vec<_> = rels.iter().zip(ends).map(|(rel, end)| is_written(end).then(|| rel.fields.clone())).collect();
    let optimized = optimize::optimize(rels, context)?.into_iter().zip(fields);
    Ok(optimized.map(|(rel, fields)| fields.into_iter().fold(rel, optimize::rename)).collect())
}

/// Plans the queries of one job.
pub(crate) fn plan(queries: Vec<(Rel, End)>, context: &Context) -> Result<Plan> {
    let (rels, ends): (Vec<Rel>, Vec<End>) = queries.into_iter().unzip();
    // Options of a sink are checked before anything is said about what is written to it.
    for end in &ends {
        if let End::Table(table) = end {
            metadata_columns::written(table, &source::describe_sink(table)?)?;
        }
    }
    let rels = optimized(rels, &ends, context)?;
    let mut plan = Plan::default();
    for (rel, end) in rels.iter().zip(&ends) {
        still_wanted()?;
        if !context.options.reuse_sub_plans {
            plan.stop_sharing();
        }
        let root = convert::convert_query(&mut plan, rel, end, context)?;
        plan.roots.push(root);
    }
    plan.bounded = all_bounded(&rels)?;
    limits::check(&plan)?;
    changelog::settle(&mut plan)?;
    Ok(plan)
}
