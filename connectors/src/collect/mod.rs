//! The sink behind SELECT: sends rows to the JobMaster, where the client fetches them.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, Operator, OperatorContext, Result};
use wiesel_operators::types::to_arrow_fields;
use wiesel_proto as proto;

/// The name of the column that holds the kind of each row, last in a batch that is a changelog.
pub const KIND_COLUMN: &str = "$kind";
/// Rows are sent at latest after this many milliseconds.
const FLUSH_INTERVAL: i64 = 100;
/// Rows are sent as soon as there are so many ...
const FLUSH_ROWS: usize = 8192;
/// ... or they take so many bytes.
const FLUSH_BYTES: usize = 4 << 20;

/// The way to the JobMaster.
pub trait CollectTransport: Send {
    /// Sends `rows` rows, an Arrow IPC stream; `offset` counts the rows sent before. Returns when the JobMaster has taken
    /// them and has room for more: waiting here is the back-pressure. Fails with [`Error::Cancelled`] when the task ends.
    fn send(&mut self, offset: u64, batch: Bytes, rows: u64) -> Result<()>;
}

/// The sink.
pub struct CollectSink {
    schema: SchemaRef,
    changelog: bool,
    transport: Box<dyn CollectTransport>,
    clock: Arc<dyn Clock>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    /// When the oldest pending row must go.
    due: Option<i64>,
    sent: u64,
}

impl CollectSink {
    pub(crate) fn new(spec: &proto::CollectSinkSpec, transport: Box<dyn CollectTransport>) -> Result<Self> {
        let fields = crate::factory::fields(spec.input.as_ref()).map_err(|e| Error::Plan(e.to_string()))?;
        let mut fields: Vec<_> = to_arrow_fields(&fields).iter().cloned().collect();
        if spec.input_changelog {
            fields.push(Arc::new(Field::new(KIND_COLUMN, DataType::Int8, false)));
        }
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            changelog: spec.input_changelog,
            transport,
            clock: Arc::new(SystemClock),
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            due: None,
            sent: 0,
        })
    }

    fn flush(&mut self) -> Result<()> {
        self.due = None;
        if self.pending_rows == 0 {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(self.pending_bytes + 1024);
        let mut writer = StreamWriter::try_new(&mut buffer, &self.schema)?;
        for batch in self.pending.drain(..) {
            writer.write(&batch)?;
        }
        writer.finish()?;
        drop(writer);
        let rows = std::mem::take(&mut self.pending_rows) as u64;
        self.pending_bytes = 0;
        self.transport.send(self.sent, buffer.into(), rows)?;
        self.sent += rows;
        Ok(())
    }
}

impl Operator for CollectSink {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Collector) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let mut columns = batch.records.columns().to_vec();
        if self.changelog {
            let kinds = batch.kinds.unwrap_or_else(|| Int8Array::from(vec![0i8; rows]));
            columns.push(Arc::new(kinds) as ArrayRef);
        }
        // A view of a short slice may keep a large buffer alive and would send all of it.
        let columns = columns.iter().map(compact).collect::<Vec<_>>();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.pending_bytes += records.get_array_memory_size();
        self.pending_rows += rows;
        self.pending.push(records);
        if self.pending_rows >= FLUSH_ROWS || self.pending_bytes >= FLUSH_BYTES {
            return self.flush();
        }
        if self.due.is_none() {
            self.due = Some(self.clock.now_millis() + FLUSH_INTERVAL);
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        self.due
    }

    fn processing_time(&mut self, now: i64, _out: &mut dyn Collector) -> Result<()> {
        if self.due.is_some_and(|due| due <= now) { self.flush() } else { Ok(()) }
    }

    fn finish(&mut self, _out: &mut dyn Collector) -> Result<()> {
        self.flush()
    }
}

fn compact(column: &ArrayRef) -> ArrayRef {
    use arrow::array::{Array, AsArray};
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}
