//! A session: runs statement after statement and keeps what they set and create.
//!
//! ```text
//! script ── parse ──> statements ── execute ──> Outcome: rows, or a job graph to submit
//! ```
//!
//! - `definitions`: CREATE, DROP, USE;
//! - `settings`: SET, RESET, and the keys that a job takes along;
//! - `show`: SHOW, DESCRIBE;
//! - `jobs`: queries, INSERT, statement sets, EXPLAIN.
//!
//! Invariants: a session never talks to a cluster; whoever holds it submits the graphs that it returns. A statement that
//! fails changes nothing. The time zone of a graph is settled here: it does not hang on where the graph runs.
use wiesel_common::config::Configuration;
use wiesel_common::id::OperatorId;
use wiesel_expressions::expression::Zone;
use wiesel_expressions::types::RowField;
use wiesel_proto::JobGraph;

use crate::ast::{LocatedStatement, Statement, StopJob};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::parser;

mod definitions;
mod jobs;
mod names;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub use settings::{goes_with_jobs, is_of_processes};

/// What a session is told with each statement.
#[derive(Clone, Debug, Default)]
pub struct ExecuteOptions {
    /// A query's columns become `CAST(x AS STRING)`; [`QueryJob::fields`] keeps their names and types.
    pub as_strings: bool,
    /// All but BINARY and VARBINARY, whose bytes need not be text.
    pub but_bytes: bool,
}

/// What came of a statement.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is done: DDL, SET, RESET, USE.
    Done,
    /// Rows that the session itself knows: SHOW, DESCRIBE, EXPLAIN, SET without a value.
    Rows {
        /// Names and types of the columns.
        fields: Vec<RowField>,
        /// Values as text, none for null.
        rows: Vec<Vec<Option<String>>>,
    },
    /// A job to submit that writes to tables: INSERT INTO, EXECUTE STATEMENT SET.
    Insert(InsertJob),
    /// A job to submit whose rows the client fetches.
    Query(QueryJob),
    /// `SHOW JOBS`: the client asks the cluster.
    ShowJobs,
    /// `DESCRIBE JOB`: the client asks the cluster.
    DescribeJob(String),
    /// `STOP JOB`: the client asks the cluster for it.
    StopJob(StopJob),
}

/// The job of INSERT INTO or EXECUTE STATEMENT SET.
#[derive(Clone, Debug)]
pub struct InsertJob {
    /// To submit; its id is new.
    pub graph: JobGraph,
    /// The tables it writes, `catalog.database.table`.
    pub sinks: Vec<String>,
    /// `table.dml-sync`: the client waits for the job's end.
    pub wait: bool,
}

/// The job of a SELECT.
#[derive(Clone, Debug)]
pub struct QueryJob {
    /// To submit; its id is new.
    pub graph: JobGraph,
    /// The query's own names and types, also if its values are cast to STRING.
    pub fields: Vec<RowField>,
    /// What the collect sink emits: as `fields`, or STRING for all, or for all but bytes.
    pub collected: Vec<RowField>,
    /// The collect sink, by which rows are fetched.
    pub collect_operator: OperatorId,
    /// Rows carry a kind other than +I.
    pub changelog: bool,
    /// The job ends by itself.
    pub bounded: bool,
    /// Columns of the collected rows that identify a row of the result; empty: rows are a multiset, or there is one at most. A
    /// changelog without -U would always have them; this planner always asks for -U.
    pub upsert_key: Vec<usize>,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    base: Configuration,
    configuration: Configuration,
    /// What `table.local-time-zone` is where it is not set, or is `default`.
    default_zone: Zone,
    catalog: Catalog,
}

impl Session {
    /// A session over a cluster's or a command line's configuration, of somebody in this process's time zone.
    pub fn new(configuration: Configuration) -> Self {
        Self::in_zone(configuration, Zone::of_process())
    }

    /// A session of somebody in this time zone, which counts where the configuration and SET choose none.
    pub fn in_zone(configuration: Configuration, default_zone: Zone) -> Self {
        Self { base: configuration.clone(), configuration, default_zone, catalog: Catalog::default() }
    }

    /// The configuration with what was SET over it.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The tables and views.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The statements of a script; fails at the first that does not parse. To go on after one that does not, take
    /// [`parser::split`] and [`parser::parse_statement`].
    pub fn parse(&self, script: &str) -> Result<Vec<LocatedStatement>> {
        parser::parse(script)
    }

    /// Runs a statement as far as it can be run here.
    ///
    /// # Errors
    /// What does not fit, with its place in the script if it has one.
    pub fn execute(&mut self, statement: &LocatedStatement, options: &ExecuteOptions) -> Result<Outcome> {
        match &statement.statement {
            Statement::Query(query) => self.query(query, &statement.text, options),
            Statement::Insert(insert) => self.insert(std::slice::from_ref(insert)),
            Statement::StatementSet(inserts) => self.insert(inserts),
            Statement::Explain { details, statement } => self.explain(details, statement),
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateView(create) => self.create_view(create),
            Statement::Drop(drop) => self.drop_object(drop),
            Statement::Use { catalog, name } => self.use_name(*catalog, name),
            Statement::Show(show) => self.show(show),
            Statement::Describe(name) => self.describe(name, None),
            Statement::DescribeJob(job) => Ok(Outcome::DescribeJob(job.clone())),
            Statement::StopJob(stop) => Ok(Outcome::StopJob(stop.clone())),
            Statement::Set(setting) => self.set(setting.as_ref()),
            Statement::Reset(key) => self.reset(key.as_deref()),
        }
    }
}
