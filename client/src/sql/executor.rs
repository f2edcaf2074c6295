//! Runs one statement and shows what came of it.
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::pin;

use chrono::{Local, TimeZone};
use wiesel_common::config::Configuration;
use wiesel_common::config::options::checkpointing;
use wiesel_common::id::JobId;
use wiesel_common::quote::quote;
use wiesel_expressions::types::{RowField, TypeKind};
use wiesel_sql::ast::{Insert, LocatedStatement, Statement, StopJob};
use wiesel_sql::parser::{self, StatementText};
use wiesel_sql::session::{ExecuteOptions, InsertJob, Outcome, QueryJob, Session};

use super::fetch::{QueryRun, Row};
use super::format::{Table, row_count};
use super::interrupts::Interrupts;
use super::settings::{MAX_COLUMN_WIDTH, RESULT_MODE, ResultMode, check, problems_of_reset, setting};
use super::{tableau, view};
use crate::cli::{Failure, end_before_start, end_of, lost_sight_of, wait_for_savepoint};
use crate::lease::Lease;
use crate::progress::{CTRL_C_CANCELS, watched};
use crate::rest::{JobEnd, RestClient};
use crate::termination::Tied;

/// A session and the cluster its jobs go to.
pub(super) struct Executor {
    client: RestClient,
    session: Session,
    /// Somebody sits before a terminal: results may take the whole screen.
    pub interactive: bool,
    /// What was typed or pasted while a result took the screen, and was not meant for it.
    pub typed_ahead: String,
}

impl Executor {
    pub fn new(client: RestClient, configuration: Configuration) -> Self {
        Self { client, session: Session::new(configuration), interactive: false, typed_ahead: String::new() }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Runs a statement; what it gives goes to standard output.
    pub async fn execute(&mut self, text: &StatementText) -> Result<(), Failure> {
        self.run(&parser::parse_statement(text)?).await
    }

    /// An INSERT for a statement set, which is planned for the sake of its errors and not run.
    pub fn insert_of_set(&mut self, text: &StatementText) -> Result<Insert, Failure> {
        let statement = parser::parse_statement(text)?;
        if matches!(statement.statement, Statement::Insert(_)) {
            self.session.execute(&statement, &ExecuteOptions::default())?;
        }
        match statement.statement {
            Statement::Insert(insert) => Ok(insert),
            _ => anyhow::bail!("Only INSERT INTO can be part of a statement set. END; runs it, QUIT; leaves without."),
        }
    }

    /// Runs a statement that has been read.
    pub async fn run(&mut self, statement: &LocatedStatement) -> Result<(), Failure> {
        let set = setting(&statement.statement).map(|setting| check(&setting)).transpose()?;
        let problems = set.unwrap_or_else(|| problems_of_reset(&statement.statement, self.session.configuration()));
        match self.session.execute(statement, &ExecuteOptions { as_strings: true, but_bytes: true })? {
            Outcome::Done => {
                problems.iter().for_each(|problem| println!("[WARNING] {problem}"));
                println!("[INFO] Execute statement succeeded.");
            }
            Outcome::Rows { fields, rows } => print_rows(&fields, &rows),
            Outcome::ShowJobs => self.show_jobs(None).await?,
            Outcome::DescribeJob(job) => self.show_jobs(Some(job_id(&job)?)).await?,
            Outcome::StopJob(stop) => self.stop_job(&stop).await?,
            Outcome::Insert(insert) => self.insert(insert).await?,
            Outcome::Query(query) => self.query(query).await?,
        }
        Ok(())
    }

    async fn insert(&self, mut insert: InsertJob) -> Result<(), Failure> {
        let job =
            JobId::from_bytes(&insert.graph.job_id).ok_or_else(|| anyhow::anyhow!("a job graph without an id"))?;
        if let [_, _, ..] = insert.sinks.as_slice() {
            println!("[INFO] Statement set: {} statements into {}.", insert.sinks.len(), insert.sinks.join(", "));
        }
        println!("[INFO] Submitting SQL update statement to the cluster...");
        // The job is tied to this client only while it waits for it.
        let configuration = self.session.configuration().merged(insert.graph.configuration.clone());
        let lease = Lease::of_job(&configuration, insert.wait)?;
        let terms = Lease::terms(lease.as_ref()).into_iter().map(|(key, value)| (key.to_owned(), value));
        insert.graph.configuration.extend(terms);
        let mut interrupts = Interrupts::of_statement()?;
        let _tied = lease.map(|_| Tied::new(&self.client, job));
        self.client.submit(&insert.graph).await?;
        let _heartbeats = lease.map(|lease| lease.keep(&self.client, job));
        if let Some(end) = self.until(job, &mut interrupts, end_before_start(&self.client, job)).await? {
            return tell_end(job, end);
        }
        if !insert.wait {
            println!("[INFO] SQL update statement has been successfully submitted to the cluster:\nJob ID: {job}");
            if let Ok(details) = self.client.job(job).await
                && let Some(waits) = details.slots.describe()
            {
                println!("[INFO] The job {waits}.");
            }
            println!();
            return Ok(());
        }
        println!("[INFO] Execute statement in sync mode. Please wait for the execution finish...");
        tell_end(job, self.until(job, &mut interrupts, end_of(&self.client, job)).await?)
    }

    /// Waits for something that a job does; Ctrl-C cancels the job.
    async fn until<T>(
        &self,
        job: JobId,
        interrupts: &mut Interrupts,
        wait: impl Future<Output = Result<T, crate::rest::Error>>,
    ) -> Result<T, Failure> {
        let done = interrupts.unless_any(pin!(watched(&self.client, job, CTRL_C_CANCELS, wait))).await;
        match done {
            Some(done) => done.map_err(|error| lost_sight_of(job, &error)),
            None => {
                self.client.cancel(job).await?;
                anyhow::bail!("job {job} was cancelled");
            }
        }
    }

    async fn query(&mut self, query: QueryJob) -> Result<(), Failure> {
        let max_width = self.session.configuration().get(&MAX_COLUMN_WIDTH)?;
        match self.result_mode()? {
            ResultMode::Tableau => {
                let table = Table::streaming(&query.fields, true, max_width);
                let mut interrupts = Interrupts::of_statement()?;
                let mut run = self.submit(query).await?;
                let shown = tableau::show(&self.client, &mut run, &table, &mut interrupts).await;
                if shown.is_err() {
                    run.abandon().await;
                }
                match shown? {
                    tableau::End::Cancelled if !self.interactive => anyhow::bail!("the query was cancelled"),
                    tableau::End::Cancelled | tableau::End::Complete => Ok(()),
                }
            }
            mode => {
                let run = self.submit(query.clone()).await?;
                view::show(run, &query, mode, max_width, &mut self.typed_ahead).await
            }
        }
    }

    async fn submit(&self, query: QueryJob) -> Result<QueryRun, Failure> {
        QueryRun::submit(&self.client, self.session.configuration(), query).await
    }

    fn result_mode(&self) -> Result<ResultMode, Failure> {
        let whole_screen = self.interactive && std::io::stdout().is_terminal();
        if !whole_screen {
            return Ok(ResultMode::Tableau);
        }
        Ok(self.session.configuration().get(&RESULT_MODE)?)
    }

    /// `STOP JOB`: with a savepoint, whose path is shown, or as a cancellation.
    async fn stop_job(&self, stop: &StopJob) -> Result<(), Failure> {
        let job = job_id(&stop.job)?;
        if !stop.savepoint {
            let failed = |error: crate::rest::Error| anyhow::anyhow!("Could not stop job {job}.\nCaused by: {error}");
            self.client.cancel(job).await.map_err(failed)?;
            println!("[INFO] Execute statement succeeded.");
            return Ok(());
        }
        let configuration = self.session.configuration();
        let directory = configuration.get_optional(&checkpointing::SAVEPOINT_DIRECTORY)?;
        let what = format!("Could not stop job {job} with a savepoint.");
        let operation = self.client.trigger_stop(job, directory.as_deref(), stop.drain, "CANONICAL").await;
        let operation = operation.map_err(|error| anyhow::anyhow!("{what}\nCaused by: {error}"))?;
        let path = wait_for_savepoint(&self.client, job, &operation, &what).await?;
        print_rows(&[RowField::new("savepoint path", TypeKind::string().not_null())], &[vec![Some(path)]]);
        Ok(())
    }

    /// All jobs, or one.
    async fn show_jobs(&self, wanted: Option<JobId>) -> Result<(), Failure> {
        let names = ["job id", "job name", "status", "start time"];
        let fields: Vec<_> = names.map(|name| RowField::new(name, TypeKind::string().nullable())).into();
        let wanted = wanted.map(|job| job.to_string());
        let mut jobs = self.client.jobs().await?.jobs;
        if let Some(id) = &wanted {
            jobs.retain(|job| job.jid == *id);
            anyhow::ensure!(!jobs.is_empty(), "Described job {id} does not exist in the cluster.");
        }
        let rows = jobs.into_iter().map(|job| {
            let start = Local.timestamp_millis_opt(job.start_time).single();
            let start = start.map(|start| start.format("%Y-%m-%dT%H:%M:%S%.3f").to_string());
            vec![Some(job.jid), Some(job.name), Some(job.state), start]
        });
        print_rows(&fields, &rows.collect::<Vec<_>>());
        Ok(())
    }
}

/// Says how the job of a statement ended.
fn tell_end(job: JobId, end: JobEnd) -> Result<(), Failure> {
    match end {
        JobEnd::Finished { runtime } => {
            println!("[INFO] Complete execution of the SQL update statement in {runtime} ms.\nJob ID: {job}\n");
            Ok(())
        }
        JobEnd::Canceled => anyhow::bail!("job {job} was cancelled"),
        JobEnd::Failed(cause) => anyhow::bail!("{cause}"),
    }
}

/// The id in a statement.
fn job_id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(|_| anyhow::anyhow!("'{}' is no job id: 32 hexadecimal digits expected", quote(text)))
}

/// A row's values with its kind in front.
pub(super) fn with_kind(row: &Row) -> Vec<Option<&str>> {
    std::iter::once(Some(row.kind.short_string())).chain(row.cells.iter().map(Option::as_deref)).collect()
}

/// Rows that are all there; a single wide value, such as a plan, is printed as it is.
fn print_rows(fields: &[RowField], rows: &[Vec<Option<String>>]) {
    if let ([field], [row]) = (fields, rows)
        && field.name == "result"
        && let Some(Some(text)) = row.first()
    {
        println!("{text}");
        return;
    }
    let table = Table::around(fields.iter().map(|field| field.name.clone()).collect(), rows);
    if !rows.is_empty() {
        println!("{}\n{}\n{}", table.rule(), table.header(), table.rule());
        rows.iter().for_each(|row| println!("{}", table.line(&row.iter().map(Option::as_deref).collect::<Vec<_>>())));
        println!("{}", table.rule());
    }
    println!("{}", row_count(rows.len()));
}
