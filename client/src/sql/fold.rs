//! `--fold-json`: the final rows of each SELECT as one JSON line, so that results can be compared.
use std::collections::BTreeMap;
use std::time::Duration;

use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_common::logging::in_one_line;
use wiesel_expressions::expression::Zone;
use wiesel_expressions::types::RowField;
use wiesel_sql::ast::LocatedStatement;
use wiesel_sql::parser::{self, StatementText};
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

use super::fetch::{Fetched, QueryRun, Row};
use super::rescale::{self, Stopped};
use crate::cli::{Failure, end_of};
use crate::rest::{JobEnd, RestClient};

/// Runs a script. A SELECT that fails is reported and the next statement runs; another statement that fails ends it.
/// True: nothing failed. Without `table.local-time-zone` times are of UTC, so that results are the same everywhere.
/// With `rescale` each job is stopped and restored at that parallelism, see [`rescale`].
pub(super) async fn run(
    client: RestClient,
    configuration: Configuration,
    script: &str,
    rescale: Option<u32>,
) -> Result<bool, Failure> {
    let mut folder = Folder { client, session: Session::in_zone(configuration, Zone::UTC), rescale };
    let mut query = 0;
    let mut succeeded = true;
    for statement in parser::split(script) {
        let select = is_select(&statement);
        query += u32::from(select);
        match folder.statement(&statement).await {
            Ok(None) => {}
            // What VALUES or TABLE gives has no number of its own.
            Ok(Some((fields, rows))) if select => println!("{}", result_line(query, &fields, &rows)),
            Ok(Some(_)) => {}
            Err(error) => {
                println!("{{\"query\": {query}, \"error\": {}}}", json(&format!("{error:#}")));
                succeeded = false;
                if !select {
                    break;
                }
            }
        }
    }
    Ok(succeeded)
}

struct Folder {
    client: RestClient,
    session: Session,
    /// The parallelism at which jobs go on after a savepoint.
    rescale: Option<u32>,
}

type Bag = BTreeMap<Vec<Option<String>>, i64>;

impl Folder {
    async fn statement(&mut self, text: &StatementText) -> Result<Option<(Vec<RowField>, Bag)>, Failure> {
        let statement = parser::parse_statement(text)?;
        match self.session.execute(&statement, &ExecuteOptions { as_strings: true, ..Default::default() })? {
            Outcome::Done | Outcome::Rows { .. } | Outcome::ShowJobs | Outcome::DescribeJob(_) => Ok(None),
            Outcome::StopJob(_) => anyhow::bail!("STOP JOB is not for --fold-json"),
            Outcome::Insert(insert) => {
                let job =
                    JobId::from_bytes(&insert.graph.job_id).ok_or_else(|| anyhow::anyhow!("a job without an id"))?;
                self.client.submit(&insert.graph).await?;
                let stopped = self.interrupted(job).await?;
                if !stopped.as_ref().is_some_and(|stopped| stopped.failed) {
                    self.wait(&insert.graph.job_id).await?;
                }
                if let Some(Outcome::Insert(insert)) = self.again(&statement, stopped)? {
                    self.client.submit(&insert.graph).await?;
                    self.wait(&insert.graph.job_id).await?;
                }
                Ok(None)
            }
            Outcome::Query(query) => {
                let fields = query.fields.clone();
                let mut bag = Bag::new();
                let run = QueryRun::submit(&self.client, self.session.configuration(), query).await?;
                let job = run.job();
                // Rows are fetched meanwhile: a sink that waits for its client holds up the savepoint.
                let (folded, stopped) = tokio::join!(fold(run, &mut bag), self.interrupted(job));
                let stopped = stopped?;
                // Of a job that failed after the savepoint the rows before it are there all the same.
                if !stopped.as_ref().is_some_and(|stopped| stopped.failed) {
                    folded?;
                }
                if let Some(Outcome::Query(query)) = self.again(&statement, stopped)? {
                    let run = QueryRun::submit(&self.client, self.session.configuration(), query).await?;
                    fold(run, &mut bag).await?;
                }
                Ok(Some((fields, balanced(bag)?)))
            }
        }
    }

    /// Stops a job that is to go on at another parallelism.
    async fn interrupted(&self, job: JobId) -> Result<Option<Stopped>, Failure> {
        let Some(parallelism) = self.rescale else { return Ok(None) };
        let stopped = rescale::interrupt(&self.client, job).await?;
        if let Some(Stopped { savepoint, failed }) = &stopped {
            let after = if *failed { ", after it failed" } else { "" };
            eprintln!("job {job} goes on from {} at parallelism {parallelism}{after}", in_one_line(savepoint));
        }
        Ok(stopped)
    }

    /// What follows a job that was stopped for it, if it was.
    fn again(&mut self, statement: &LocatedStatement, stopped: Option<Stopped>) -> Result<Option<Outcome>, Failure> {
        match (self.rescale, stopped) {
            (Some(parallelism), Some(stopped)) => {
                rescale::again(&mut self.session, statement, &stopped.savepoint, parallelism).map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn wait(&self, job: &[u8]) -> Result<(), Failure> {
        let job = JobId::from_bytes(job).ok_or_else(|| anyhow::anyhow!("a job without an id"))?;
        match end_of(&self.client, job).await? {
            JobEnd::Finished { .. } => Ok(()),
            JobEnd::Canceled => anyhow::bail!("job {job} was cancelled"),
            JobEnd::Failed(cause) => anyhow::bail!("{cause}"),
        }
    }
}

async fn fold(mut run: QueryRun, bag: &mut Bag) -> Result<(), Failure> {
    let folded = fold_all(&mut run, bag).await;
    if folded.is_err() {
        run.abandon().await;
    }
    folded
}

async fn fold_all(run: &mut QueryRun, bag: &mut Bag) -> Result<(), Failure> {
    loop {
        match run.next(Duration::from_secs(10)).await? {
            Fetched::Rows(rows) => rows.into_iter().for_each(|row| add(bag, row)),
            Fetched::Restarted => bag.clear(),
            Fetched::End => return Ok(()),
        }
    }
}

/// The rows, unless one was taken back too often.
fn balanced(bag: Bag) -> Result<Bag, Failure> {
    match bag.iter().find(|(_, count)| **count < 0) {
        Some((row, _)) => anyhow::bail!("row retracted more often than added: {}", json_row(row)),
        None => Ok(bag),
    }
}

fn add(bag: &mut Bag, row: Row) {
    let weight = row.kind.weight();
    match bag.entry(row.cells) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(weight);
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            *entry.get_mut() += weight;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

fn is_select(statement: &StatementText) -> bool {
    let text = statement.text.to_uppercase();
    ["SELECT", "WITH", "("].iter().any(|start| text.starts_with(start))
}

fn result_line(query: u32, fields: &[RowField], rows: &Bag) -> String {
    let columns = fields.iter().map(|field| format!("[{}, {}]", json(&field.name), json(&field.data_type.to_string())));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let mut lines = Vec::with_capacity(rows.len());
    for (row, count) in rows {
        lines.extend(std::iter::repeat_n(json_row(row), *count as usize));
    }
    format!("{{\"query\": {query}, \"columns\": [{columns}], \"rows\": [{}]}}", lines.join(", "))
}

fn json_row(row: &[Option<String>]) -> String {
    let cells = row.iter().map(|cell| cell.as_deref().map_or_else(|| "null".to_owned(), json));
    format!("[{}]", cells.collect::<Vec<_>>().join(", "))
}

/// A JSON string; only what must be escaped is.
fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c < ' ' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiesel_expressions::row_kind::RowKind;

    fn row(kind: RowKind, cell: &str) -> Row {
        Row { kind, cells: vec![Some(cell.to_owned())] }
    }

    #[test]
    fn a_changelog_folds_to_its_final_rows() {
        let mut bag = Bag::new();
        for (kind, cell) in [
            (RowKind::Insert, "1"),
            (RowKind::UpdateBefore, "1"),
            (RowKind::UpdateAfter, "2"),
            (RowKind::Insert, "2"),
            (RowKind::Insert, "3"),
            (RowKind::Delete, "3"),
        ] {
            add(&mut bag, row(kind, cell));
        }
        assert_eq!(bag, Bag::from([(vec![Some("2".to_owned())], 2)]));
        // A retraction may come before what it takes back.
        add(&mut bag, row(RowKind::Delete, "9"));
        add(&mut bag, row(RowKind::Insert, "9"));
        assert_eq!(bag.len(), 1);
    }

    #[test]
    fn selects_are_told_from_other_statements_whatever_comments_precede_them() {
        let script = "-- first\n /* second */ select 1; WITH a AS (SELECT 1) SELECT * FROM a; (SELECT 1); EXPLAIN SELECT 1; \
                      -- SELECT";
        let selects: Vec<bool> = parser::split(script).iter().map(is_select).collect();
        assert_eq!(selects, [true, true, true, false]);
    }

    #[test]
    fn text_is_escaped_as_json() {
        assert_eq!(json("a\"b\\c\nü"), "\"a\\\"b\\\\c\\u000aü\"");
    }
}
