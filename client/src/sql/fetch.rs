//! Fetching the rows of a SELECT.
use std::time::Duration;

use anyhow::Context as _;
use arrow::array::{Array, AsArray, Int8Array, RecordBatch};
use arrow::datatypes::Int8Type;
use arrow::ipc::reader::StreamReader;
use wiesel_common::id::JobId;
use wiesel_operators::element::RowKind;
use wiesel_proto as proto;
use wiesel_sql::session::QueryJob;

use crate::cli::{Failure, end_of};
use crate::rest::{JobEnd, RestClient};

/// The column that carries the kinds of a changelog.
const KIND: &str = "$kind";

/// A row of a result, its values as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub kind: RowKind,
    pub cells: Vec<Option<String>>,
}

/// What a fetch brought.
pub(super) enum Fetched {
    /// More rows; maybe none yet.
    Rows(Vec<Row>),
    /// The job started over: rows so far are void.
    Restarted,
    /// The job is done and all its rows were fetched.
    End,
}

/// A SELECT that runs on the cluster.
pub(super) struct QueryRun {
    client: RestClient,
    job: JobId,
    query: QueryJob,
    version: u64,
    offset: u64,
}

impl QueryRun {
    /// Submits a query.
    pub async fn submit(client: &RestClient, query: QueryJob) -> Result<Self, Failure> {
        let job = JobId::from_bytes(&query.graph.job_id).context("a job graph without an id")?;
        client.submit(&query.graph).await?;
        Ok(Self { client: client.clone(), job, query, version: 0, offset: 0 })
    }

    pub fn job(&self) -> JobId {
        self.job
    }

    /// Waits for rows, at most for `max_wait`. Fails with the job's failure.
    pub async fn next(&mut self, max_wait: Duration) -> Result<Fetched, Failure> {
        let request = proto::FetchResultsRequest {
            version: self.version,
            offset: self.offset,
            max_wait: max_wait.as_millis() as u64,
        };
        let answer = self.client.fetch(self.job, self.query.collect_operator, &request).await?;
        if answer.version != self.version {
            let restarted = self.version != 0;
            self.version = answer.version;
            self.offset = 0;
            if restarted {
                return Ok(Fetched::Restarted);
            }
        }
        let rows = self.take(&answer)?;
        if answer.end && rows.is_empty() {
            return match end_of(&self.client, self.job).await? {
                JobEnd::Finished { .. } => Ok(Fetched::End),
                JobEnd::Canceled => Err(anyhow::anyhow!("job {} was cancelled", self.job)),
                JobEnd::Failed(cause) => Err(anyhow::anyhow!("{cause}")),
            };
        }
        Ok(Fetched::Rows(rows))
    }

    /// Asks for the job's cancellation, for a query whose rows nobody wants any more.
    pub async fn cancel(&self) -> Result<(), Failure> {
        Ok(self.client.cancel(self.job).await?)
    }

    fn take(&mut self, answer: &proto::FetchResultsResponse) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::with_capacity(answer.rows as usize);
        for batch in &answer.batches {
            for batch in StreamReader::try_new(batch.as_ref(), None)? {
                decode(&batch?, &mut rows)?;
            }
        }
        // An answer may begin before what was asked for: the rows in between were fetched already.
        let known = self.offset.checked_sub(answer.offset).context("the JobManager left out rows")?;
        rows.drain(..(known as usize).min(rows.len()));
        self.offset += rows.len() as u64;
        Ok(rows)
    }
}

fn decode(batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let kinds: Option<&Int8Array> = batch.column_by_name(KIND).map(|column| column.as_primitive::<Int8Type>());
    let width = batch.num_columns() - usize::from(kinds.is_some());
    let columns = &batch.columns()[..width];
    for row in 0..batch.num_rows() {
        let kind = match kinds {
            Some(kinds) => RowKind::from_byte(kinds.value(row)).context("a row of an unknown kind")?,
            None => RowKind::Insert,
        };
        let mut cells = Vec::with_capacity(width);
        for column in columns {
            let column = column.as_string_view_opt().context("a column that is not text")?;
            cells.push(column.is_valid(row).then(|| column.value(row).to_owned()));
        }
        rows.push(Row { kind, cells });
    }
    Ok(())
}
