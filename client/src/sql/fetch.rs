//! Fetching the rows of a SELECT.
use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use arrow::array::{Array, ArrayRef, AsArray, Int8Array, RecordBatch};
use arrow::datatypes::Int8Type;
use arrow::ipc::reader::StreamReader;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_expressions::row_kind::RowKind;
use wiesel_proto as proto;
use wiesel_sql::session::QueryJob;

use crate::cli::{Failure, end_of};
use crate::lease::{Heartbeats, Lease};
use crate::rest::{JobEnd, RestClient};
use crate::termination::Tied;

/// How long the JobManager has to take the cancellation of a query that failed here.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

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

/// A SELECT that runs on the cluster, and does not outlive its client: it is cancelled where the client can still do so, and
/// else the JobManager does when it hears nothing of the client any more.
pub(super) struct QueryRun {
    client: RestClient,
    job: JobId,
    query: QueryJob,
    version: u64,
    result: ResultBuffer,
    _tied: Tied,
    _heartbeats: Option<Heartbeats>,
}

/// Rows on their way to the user: those that a restart of the job may take back are held.
#[derive(Default)]
struct ResultBuffer {
    /// Rows that were handed out.
    shown: u64,
    held: VecDeque<Row>,
    /// Rows that are final.
    committed: u64,
}

impl ResultBuffer {
    /// Rows that the client has.
    fn offset(&self) -> u64 {
        self.shown + self.held.len() as u64
    }

    /// The job was restarted and goes on behind so many rows. False: rows that were handed out are void.
    fn restart(&mut self, kept: u64) -> bool {
        let Some(held) = kept.checked_sub(self.shown) else { return false };
        self.held.truncate(usize::try_from(held).unwrap_or(usize::MAX));
        true
    }

    /// The rows that are final and were not handed out.
    fn release(&mut self) -> Vec<Row> {
        let rows = self.committed.saturating_sub(self.shown).min(self.held.len() as u64);
        self.shown += rows;
        self.held.drain(..rows as usize).collect()
    }
}

impl QueryRun {
    /// Submits a query of a session with this configuration.
    pub async fn submit(
        client: &RestClient,
        configuration: &Configuration,
        mut query: QueryJob,
    ) -> Result<Self, Failure> {
        let job = JobId::from_bytes(&query.graph.job_id).context("a job graph without an id")?;
        let lease = Lease::of_query(configuration, &mut query.graph.configuration)?;
        let tied = Tied::new(client, job);
        client.submit(&query.graph).await?;
        Ok(Self {
            client: client.clone(),
            job,
            query,
            version: 0,
            result: ResultBuffer::default(),
            _tied: tied,
            _heartbeats: lease.map(|lease| lease.keep(client, job)),
        })
    }

    pub fn job(&self) -> JobId {
        self.job
    }

    /// What the job waits for, if it waits for slots.
    pub async fn waits_for_slots(&self) -> Option<String> {
        self.client.job(self.job).await.ok()?.slots.describe()
    }

    /// Waits for rows, at most for `max_wait`. Fails with the job's failure.
    pub async fn next(&mut self, max_wait: Duration) -> Result<Fetched, Failure> {
        let request = proto::FetchResultsRequest {
            version: self.version,
            offset: self.result.offset(),
            max_wait: max_wait.as_millis() as u64,
            committed: self.result.committed,
        };
        let answer = self.client.fetch(self.job, self.query.collect_operator, &request).await?;
        if answer.version != self.version {
            let restarted = self.version != 0;
            self.version = answer.version;
            if restarted && !self.result.restart(answer.kept) {
                self.result = ResultBuffer::default();
                return Ok(Fetched::Restarted);
            }
        }
        let taken = self.take(&answer)?;
        self.result.committed = answer.committed;
        let rows = self.result.release();
        if answer.end && taken == 0 && rows.is_empty() {
            return match end_of(&self.client, self.job).await? {
                JobEnd::Finished { .. } => Ok(Fetched::End),
                JobEnd::Canceled => Err(anyhow::anyhow!("job {} was cancelled", self.job)),
                JobEnd::Failed(cause) => Err(anyhow::anyhow!("{cause}")),
            };
        }
        Ok(Fetched::Rows(rows))
    }

    /// Asks for the job's cancellation, for a query whose rows are not wanted any more.
    pub async fn cancel(&self) -> Result<(), Failure> {
        Ok(self.client.cancel(self.job).await?)
    }

    /// Ends the query because its rows cannot be shown. It may have ended by itself, and a JobManager that cannot be reached
    /// ends it with its lease.
    pub async fn abandon(&self) {
        let _ = tokio::time::timeout(CANCEL_PATIENCE, self.client.cancel(self.job)).await;
    }

    /// Takes the rows of an answer and says how many were new.
    fn take(&mut self, answer: &proto::FetchResultsResponse) -> Result<usize, Failure> {
        let mut rows = Vec::with_capacity(answer.rows as usize);
        for batch in &answer.batches {
            for batch in StreamReader::try_new(batch.as_ref(), None)? {
                decode(&batch?, &mut rows)?;
            }
        }
        // An answer may begin before what was asked for: the rows in between were fetched already.
        let known = self.result.offset().checked_sub(answer.offset).context("the JobManager left out rows")?;
        rows.drain(..(known as usize).min(rows.len()));
        let new = rows.len();
        self.result.held.extend(rows);
        Ok(new)
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
            cells.push(cell(column, row)?);
        }
        rows.push(Row { kind, cells });
    }
    Ok(())
}

/// A value as it is shown: bytes as the literal that they are.
fn cell(column: &ArrayRef, row: usize) -> Result<Option<String>, Failure> {
    if column.is_null(row) {
        return Ok(None);
    }
    if let Some(bytes) = column.as_binary_view_opt() {
        let digits = |text: String, byte: &u8| text + &format!("{byte:02x}");
        return Ok(Some(bytes.value(row).iter().fold("x'".to_owned(), digits) + "'"));
    }
    let text = column.as_string_view_opt().context("a column that is not text")?;
    Ok(Some(text.value(row).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryViewArray, StringViewArray};

    use super::*;

    #[test]
    fn bytes_are_shown_as_a_literal() {
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(&b"\xab\xcd"[..]), Some(&b""[..]), None]));
        let shown: Vec<_> = (0..3).map(|row| cell(&bytes, row).unwrap()).collect();
        assert_eq!(shown, [Some("x'abcd'".to_owned()), Some("x''".to_owned()), None]);
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["abcd"]));
        assert_eq!(cell(&text, 0).unwrap().as_deref(), Some("abcd"));
    }

    fn buffer(shown: u64, held: u64, committed: u64) -> ResultBuffer {
        let row = |number: u64| Row { kind: RowKind::Insert, cells: vec![Some(number.to_string())] };
        ResultBuffer { shown, held: (shown..shown + held).map(row).collect(), committed }
    }

    fn numbers(rows: Vec<Row>) -> Vec<u64> {
        rows.into_iter().map(|row| row.cells[0].as_deref().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn rows_are_handed_out_when_they_are_final() {
        let mut result = buffer(2, 3, 4);
        assert_eq!(numbers(result.release()), [2, 3]);
        assert_eq!((result.offset(), result.shown), (5, 4));
        assert!(result.release().is_empty());
        result.committed = u64::MAX;
        assert_eq!(numbers(result.release()), [4]);
    }

    #[test]
    fn a_restart_takes_back_what_was_held_and_voids_what_was_shown_only_without_a_checkpoint() {
        let mut result = buffer(2, 3, 2);
        assert!(result.restart(3));
        assert_eq!(result.offset(), 3);
        assert!(result.restart(2), "nothing shown is taken back");
        assert_eq!(result.offset(), 2);
        assert!(!result.restart(0), "the rows that were shown are void");
    }
}
