//! One reader's share of the rows, at its share of the rate.
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_operators::types::{RowField, to_arrow_schema};

use super::Settings;
use super::field::Values;
use super::generate::{Generator, Row};
use crate::enumerator::Requests;

/// Rows of a batch, at most.
const BATCH_ROWS: u64 = 4096;

pub(super) struct DatagenReader {
    settings: Settings,
    generator: Generator,
    schema: SchemaRef,
    parallelism: u64,
    share: Option<Share>,
    requests: Requests,
    clock: Arc<dyn Clock>,
}

/// The rows of this reader: the n-th has position `first + n * readers` of every sequence.
struct Share {
    first: u64,
    made: u64,
    /// None: without end.
    rows: Option<u64>,
    started: Option<i64>,
}

/// The `subtask`-th of `readers` shares of a count, as even as can be.
fn share_of(count: u64, subtask: u64, readers: u64) -> u64 {
    count / readers + u64::from(count % readers > subtask)
}

impl DatagenReader {
    /// `emitted`: positions of the wanted columns.
    pub(super) fn new(settings: Settings, physical: &[RowField], emitted: &[usize], seed: u64) -> Self {
        let columns: Vec<RowField> = emitted.iter().map(|index| physical[*index].clone()).collect();
        let fields = emitted.iter().map(|index| settings.fields[*index].clone()).collect();
        Self {
            settings,
            generator: Generator::new(fields, SmallRng::seed_from_u64(seed)),
            schema: to_arrow_schema(&columns),
            parallelism: 1,
            share: None,
            requests: Requests::default(),
            clock: Arc::new(SystemClock),
        }
    }

    fn share(&self, subtask: u64) -> Share {
        let readers = self.parallelism;
        let lengths = self.settings.fields.iter().filter_map(|field| match &field.values {
            Values::Sequence(sequence) => Some(sequence.count),
            _ => None,
        });
        // A sequence ends the table, even one in a column that nobody reads.
        let rows = self.settings.rows.into_iter().chain(lengths).map(|count| share_of(count, subtask, readers)).min();
        Share { first: subtask, made: 0, rows, started: None }
    }
}

impl SourceReader for DatagenReader {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        self.parallelism = u64::from(context.parallelism.max(1));
        self.requests.want();
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        let Some(share) = &mut self.share else { return Ok(self.requests.status()) };
        let left = share.rows.map_or(u64::MAX, |rows| rows - share.made);
        if left == 0 {
            self.share = None;
            self.requests.want();
            return Ok(self.requests.status());
        }
        let now = self.clock.now_millis();
        let started = *share.started.get_or_insert(now);
        // The rate is that of all readers together.
        let per_second = self.settings.rows_per_second as f64 / self.parallelism as f64;
        let allowed = ((now - started).max(0) as f64 * per_second / 1000.0) as u64 + 1;
        let due = allowed.saturating_sub(share.made);
        if due == 0 {
            // Small batches now and then rather than a row each time: at most a tenth of a second late.
            let wanted = share.made as f64 + (per_second / 10.0).clamp(1.0, BATCH_ROWS as f64) - 1.0;
            let until = started + (wanted * 1000.0 / per_second).ceil() as i64;
            return Ok(SourceStatus::NothingAvailable { until: Some(until.max(now + 1)) });
        }
        let rows = due.min(left).min(BATCH_ROWS);
        for _ in 0..rows {
            self.generator.push(&Row { position: share.first + share.made * self.parallelism, now });
            share.made += 1;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), self.generator.finish(), &options)?;
        out.collect(Batch::insert_only(records))?;
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let subtask = split.as_ref().try_into().map(u64::from_le_bytes);
            let subtask = subtask.map_err(|_| Error::Plan("a malformed datagen split".into()))?;
            self.share = Some(self.share(subtask));
        }
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }
}
