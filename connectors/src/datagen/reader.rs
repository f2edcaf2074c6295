//! One reader's shares of the rows, at their share of the rate.
//!
//! A reader may have several shares, after a restore with another parallelism. It makes their rows in the order of their
//! positions, so that sequences grow as evenly as they would with a reader for each share.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_expressions::expression::BATCH_BYTES;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{RowField, to_arrow_schema};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};

use super::Settings;
use super::field::{Field, Values};
use super::generate::{Generator, Row};
use crate::encoding;
use crate::enumerator::Requests;

/// Rows of a batch, at most; fewer if they are so long that they would have more than [`BATCH_BYTES`].
const BATCH_ROWS: u64 = 4096;

pub(super) struct DatagenReader {
    settings: Settings,
    generator: Generator,
    schema: SchemaRef,
    batch_rows: u64,
    shares: Vec<Share>,
    pace: Option<Pace>,
    requests: Requests,
    clock: Arc<dyn Clock>,
}

/// The rows of one split: the n-th has position `first + n * readers` of every sequence.
struct Share {
    first: u64,
    readers: u64,
    made: u64,
    /// None: without end.
    rows: Option<u64>,
}

/// Rows made since shares came or went, and when that was (milliseconds of the clock that only runs: a wall clock that is set forward
/// would have all the rows made at once that it skips, one that is set back none until then): what the rate counts from.
struct Pace {
    started: i64,
    made: u64,
}

/// A split: which of how many shares, and how many of its rows were made.
pub(super) fn encode(first: u64, readers: u64, made: u64) -> Bytes {
    encoding::Writer::new(1).u64(first).u64(readers).u64(made).finish()
}

/// The `subtask`-th of `readers` shares of a count, as even as can be.
fn share_of(count: u64, subtask: u64, readers: u64) -> u64 {
    count / readers + u64::from(count % readers > subtask)
}

impl Share {
    fn position(&self) -> u64 {
        self.first.saturating_add(self.made.saturating_mul(self.readers))
    }

    fn is_done(&self) -> bool {
        self.rows.is_some_and(|rows| self.made >= rows)
    }
}

impl DatagenReader {
    /// `emitted`: positions of the wanted columns.
    pub(super) fn new(settings: Settings, physical: &[RowField], emitted: &[usize], seed: u64) -> Self {
        let columns: Vec<RowField> = emitted.iter().map(|index| physical[*index].clone()).collect();
        let fields: Vec<Field> = emitted.iter().map(|index| settings.fields[*index].clone()).collect();
        let row_bytes = fields.iter().map(Field::most_bytes).fold(1, usize::saturating_add);
        Self {
            settings,
            generator: Generator::new(fields, SmallRng::seed_from_u64(seed)),
            schema: to_arrow_schema(&columns),
            batch_rows: ((BATCH_BYTES / row_bytes) as u64).clamp(1, BATCH_ROWS),
            shares: Vec::new(),
            pace: None,
            requests: Requests::default(),
            clock: Arc::new(SystemClock),
        }
    }

    fn share(&self, split: &[u8]) -> Result<Share> {
        let mut reader = encoding::Reader::new("a datagen split", 1, split)?;
        let (first, readers, made) = (reader.u64()?, reader.u64()?.max(1), reader.u64()?);
        reader.end()?;
        let lengths = self.settings.fields.iter().filter_map(|field| match &field.values {
            Values::Sequence(sequence) => Some(sequence.count),
            _ => None,
        });
        // A sequence ends the table, even one in a column that is not read.
        let rows = self.settings.rows.into_iter().chain(lengths).map(|count| share_of(count, first, readers)).min();
        Ok(Share { first, readers, made, rows })
    }

    /// How many rows are due, or when to ask again. The rate is that of all readers together.
    fn due(&mut self, now: i64) -> std::result::Result<u64, i64> {
        let per_second: f64 =
            self.shares.iter().map(|share| self.settings.rows_per_second as f64 / share.readers as f64).sum();
        let pace = self.pace.get_or_insert(Pace { started: now, made: 0 });
        let allowed = ((now - pace.started).max(0) as f64 * per_second / 1000.0) as u64 + 1;
        let due = allowed.saturating_sub(pace.made);
        if due > 0 {
            return Ok(due);
        }
        // Small batches now and then rather than a row each time: at most a tenth of a second late.
        let wanted = pace.made as f64 + (per_second / 10.0).clamp(1.0, BATCH_ROWS as f64) - 1.0;
        let until = pace.started + (wanted * 1000.0 / per_second).ceil() as i64;
        Err(until.max(now + 1))
    }

    /// Makes up to so many rows, smallest position first; stops where a share ends, as the rate changes there.
    fn make(&mut self, most: u64, now: i64) -> Result<u64> {
        let mut rows = 0;
        while rows < most {
            let Some(share) = self.shares.iter_mut().min_by_key(|share| (share.position(), share.first)) else { break };
            self.generator.push(&Row { position: share.position(), now })?;
            share.made += 1;
            rows += 1;
            if share.is_done() {
                break;
            }
        }
        Ok(rows)
    }
}

impl SourceReader for DatagenReader {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        if self.shares.is_empty() {
            self.requests.want();
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        let shares = self.shares.len();
        if shares == 0 {
            return Ok(self.requests.status());
        }
        self.shares.retain(|share| !share.is_done());
        if self.shares.len() < shares {
            self.pace = None;
        }
        if self.shares.is_empty() {
            self.requests.want();
            return Ok(self.requests.status());
        }
        let now = self.clock.now();
        let due = match self.due(now.monotonic) {
            Ok(due) => due,
            Err(until) => return Ok(SourceStatus::NothingAvailable { until: Some(until) }),
        };
        let rows = self.make(due.min(self.batch_rows), now.wall)?;
        if let Some(pace) = &mut self.pace {
            pace.made += rows;
        }
        let giver = |_: usize| "datagen (its 'null-rate')".to_owned();
        let records = record_batch(&self.schema, self.generator.finish(), rows as usize, giver)?;
        out.collect(Batch::insert_only(records))?;
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let share = self.share(&split)?;
            self.shares.push(share);
            self.pace = None;
            self.requests.have();
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        let unread = self.shares.iter().filter(|share| !share.is_done());
        Ok(unread.map(|share| encode(share.first, share.readers, share.made)).collect())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }
}
