//! The sink behind SELECT: sends rows to the JobMaster, where the client fetches them.
//!
//! With checkpoints a client shows each row exactly once: rows are sent as they come, but shown when a checkpoint that follows
//! them is durable. The offset at a barrier is in the checkpoint, and the JobMaster is told of it, which knows first when the
//! checkpoint is complete; after a restore the sink first says from which offset it goes on, and what was sent behind it is
//! void. Without checkpoints a restart begins anew.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_expressions::types::to_arrow_fields;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use crate::encoding;
use crate::options::checkpointing;

/// The name of the column that holds the kind of each row, last in a batch that is a changelog.
pub const KIND_COLUMN: &str = "$kind";
/// Rows are sent at latest after this many milliseconds.
const FLUSH_INTERVAL: i64 = 100;
/// Rows are sent as soon as there are so many ...
const FLUSH_ROWS: usize = 8192;
/// ... or they take so many bytes.
const FLUSH_BYTES: usize = 1 << 20;

/// The way to the JobMaster.
pub trait CollectTransport: Send {
    /// Sends `rows` rows, an Arrow IPC stream; `offset` counts the rows sent before. Returns when the JobMaster has taken
    /// them and has room for more: waiting here is the back-pressure. Fails with
    /// [`wiesel_operators::operator::Error::Cancelled`] when the task ends.
    fn send(&mut self, offset: u64, batch: Bytes, rows: u64) -> Result<()>;

    /// With checkpoints, first: rows will be sent from this offset on, what came from there on before is void.
    fn resume(&mut self, offset: u64) -> Result<()>;

    /// Instead of [`resume`](Self::resume) where the sink had finished before the checkpoint: no rows will be sent, those that
    /// are final stay.
    fn resume_finished(&mut self) -> Result<()>;

    /// Rows before this offset belong to this checkpoint. Returns when the JobMaster has noted it.
    fn checkpoint(&mut self, checkpoint_id: u64, offset: u64) -> Result<()>;
}

/// The list that holds the offset in a checkpoint.
const OFFSET: &str = "offset";

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
    /// It had finished before the checkpoint that it was restored from, which has no offset of it.
    finished: bool,
}

impl CollectSink {
    pub(crate) fn new(spec: &proto::CollectSinkSpec, transport: Box<dyn CollectTransport>) -> Result<Self> {
        let fields = crate::connector::fields(spec.input.as_ref())?;
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
            finished: false,
        })
    }

    fn add(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.num_rows();
        let mut columns = batch.records.columns().to_vec();
        if self.changelog {
            let kinds = batch.kinds.unwrap_or_else(|| Int8Array::from(vec![0i8; rows]));
            columns.push(Arc::new(kinds) as ArrayRef);
        }
        // A view of a short slice may keep a large buffer alive and would send all of it.
        let columns = columns.iter().map(compact).collect::<Vec<_>>();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.pending_bytes += records.columns().iter().map(|column| column.get_buffer_memory_size()).sum::<usize>();
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
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        for entry in state.list(OFFSET) {
            let mut reader = encoding::Reader::new("the offset of a result", 1, &entry)?;
            self.sent = reader.u64()?;
            reader.end()?;
        }
        self.finished = state.is_finished();
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        if checkpointing(&context.configuration) {
            return if self.finished { self.transport.resume_finished() } else { self.transport.resume(self.sent) };
        }
        // A job that starts from a savepoint and takes no checkpoints: its rows count from its own beginning.
        self.sent = 0;
        Ok(())
    }

    fn before_barrier(&mut self, _out: &mut dyn Collector) -> Result<()> {
        self.flush()
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.transport.checkpoint(options.checkpoint_id, self.sent)?;
        let offset = proto::OperatorListState {
            name: OFFSET.to_owned(),
            redistribution: proto::operator_list_state::Redistribution::Split.into(),
            entries: vec![encoding::Writer::new(1).u64(self.sent).finish()],
        };
        Ok(OperatorSnapshot { keyed: None, lists: vec![offset] })
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Collector) -> Result<()> {
        let rows = batch.num_rows();
        // Wide rows go in small pieces: what is sent at once must stay small as well.
        let bytes = batch.records.get_array_memory_size();
        let piece = if bytes > FLUSH_BYTES { (rows * FLUSH_BYTES / bytes).max(1) } else { rows };
        let mut start = 0;
        while start < rows {
            let length = piece.min(rows - start);
            self.add(batch.slice(start, length))?;
            start += length;
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
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use arrow::array::{Int32Array, StringViewArray};
    use arrow::ipc::reader::StreamReader;
    use parking_lot::Mutex;
    use wiesel_expressions::types::{RowField, TypeKind, to_arrow_schema};

    use super::*;
    use crate::testing::{Collected, ManualClock, context};

    type Sent = Arc<Mutex<Vec<(u64, Bytes, u64)>>>;

    struct Kept(Sent);

    impl CollectTransport for Kept {
        fn send(&mut self, offset: u64, batch: Bytes, rows: u64) -> Result<()> {
            self.0.lock().push((offset, batch, rows));
            Ok(())
        }

        fn resume(&mut self, offset: u64) -> Result<()> {
            self.0.lock().push((offset, "resume".into(), 0));
            Ok(())
        }

        fn resume_finished(&mut self) -> Result<()> {
            self.0.lock().push((0, "resume finished".into(), 0));
            Ok(())
        }

        fn checkpoint(&mut self, checkpoint_id: u64, offset: u64) -> Result<()> {
            self.0.lock().push((offset, format!("checkpoint {checkpoint_id} at").into(), 0));
            Ok(())
        }
    }

    struct Offset(Vec<Bytes>);

    struct Finished;

    impl RestoredState for Offset {
        fn checkpoint_id(&self) -> Option<u64> {
            Some(2)
        }

        fn keyed(&mut self) -> Result<Box<dyn wiesel_state::keyed::KeyedBackend>> {
            unreachable!("a sink has no keyed state")
        }

        fn list(&mut self, name: &str) -> Vec<Bytes> {
            assert_eq!(name, OFFSET);
            self.0.clone()
        }
    }

    impl RestoredState for Finished {
        fn checkpoint_id(&self) -> Option<u64> {
            Some(2)
        }

        fn is_finished(&self) -> bool {
            true
        }

        fn keyed(&mut self) -> Result<Box<dyn wiesel_state::keyed::KeyedBackend>> {
            unreachable!("a sink has no keyed state")
        }

        fn list(&mut self, _name: &str) -> Vec<Bytes> {
            Vec::new()
        }
    }

    /// Before, it said that it goes on from row 0, and the JobMaster dropped all that it had sent.
    #[test]
    fn a_sink_that_had_finished_takes_nothing_back() {
        let mut configuration = wiesel_common::config::Configuration::default();
        configuration.set("execution.checkpointing.interval", "1 s");
        let context = OperatorContext { configuration: Arc::new(configuration), ..context(0, 1) };
        let (mut sink, sent, _) = sink(false);
        sink.restore(&mut Finished).unwrap();
        sink.open(&context).unwrap();
        sink.finish(&mut Collected::default()).unwrap();
        assert_eq!(*sent.lock(), [(0, "resume finished".into(), 0)]);
    }

    #[test]
    fn with_checkpoints_the_sink_says_what_belongs_to_each_and_goes_on_from_there() {
        let mut configuration = wiesel_common::config::Configuration::default();
        configuration.set("execution.checkpointing.interval", "1 s");
        let context = OperatorContext { configuration: Arc::new(configuration), ..context(0, 1) };
        let (mut sink, sent, _) = sink(false);
        let mut out = Collected::default();
        sink.open(&context).unwrap();
        let mut lists = Vec::new();
        for checkpoint in 1..=3 {
            sink.process(0, Batch::insert_only(rows(2, 1)), &mut out).unwrap();
            sink.before_barrier(&mut out).unwrap();
            let options =
                SnapshotOptions { checkpoint_id: checkpoint, canonical: false, full: false, savepoint: false };
            lists.push(sink.snapshot(&options).unwrap().lists.remove(0).entries);
        }
        let said = |(offset, batch, rows): &(u64, Bytes, u64)| match rows {
            0 => format!("{} {offset}", std::str::from_utf8(batch).unwrap()),
            rows => format!("{rows} from {offset}"),
        };
        let sent_so_far: Vec<String> = sent.lock().iter().map(said).collect();
        let expected = [
            "resume 0",
            "2 from 0",
            "checkpoint 1 at 2",
            "2 from 2",
            "checkpoint 2 at 4",
            "2 from 4",
            "checkpoint 3 at 6",
        ];
        assert_eq!(sent_so_far, expected);
        let (mut restored, sent, _) = self::sink(false);
        restored.restore(&mut Offset(lists[1].clone())).unwrap();
        restored.open(&context).unwrap();
        restored.process(0, Batch::insert_only(rows(1, 1)), &mut out).unwrap();
        restored.finish(&mut out).unwrap();
        assert_eq!(sent.lock().iter().map(said).collect::<Vec<_>>(), ["resume 4", "1 from 4"]);
        // Without checkpoints a savepoint's offset says nothing of this job's rows.
        let (mut restored, sent, _) = self::sink(false);
        restored.restore(&mut Offset(lists.remove(1))).unwrap();
        restored.open(&self::context(0, 1)).unwrap();
        restored.process(0, Batch::insert_only(rows(1, 1)), &mut out).unwrap();
        restored.finish(&mut out).unwrap();
        assert_eq!(sent.lock().iter().map(said).collect::<Vec<_>>(), ["1 from 0"]);
    }

    fn fields() -> Vec<RowField> {
        vec![RowField::new("a", TypeKind::Int.nullable()), RowField::new("s", TypeKind::string().nullable())]
    }

    fn rows(count: usize, width: usize) -> RecordBatch {
        let numbers: Int32Array = (0..count as i32).map(Some).collect();
        let texts: StringViewArray = (0..count).map(|i| Some(format!("{i:width$}"))).collect();
        RecordBatch::try_new(to_arrow_schema(&fields()), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
    }

    fn sink(changelog: bool) -> (CollectSink, Sent, Arc<ManualClock>) {
        let sent = Sent::default();
        let input = Some(proto::Schema { fields: fields().iter().map(proto::Field::from).collect() });
        let spec = proto::CollectSinkSpec { input, input_changelog: changelog };
        let mut sink = CollectSink::new(&spec, Box::new(Kept(sent.clone()))).unwrap();
        let clock = Arc::new(ManualClock::default());
        sink.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
        (sink, sent, clock)
    }

    #[test]
    fn rows_go_after_a_while_and_all_at_the_end() {
        let (mut sink, sent, clock) = sink(true);
        let mut out = Collected::default();
        let kinds = Int8Array::from(vec![0, 1, 2]);
        sink.process(0, Batch::changes(rows(3, 1), kinds), &mut out).unwrap();
        assert!(sent.lock().is_empty());
        let due = sink.next_timer().unwrap();
        assert_eq!(due, FLUSH_INTERVAL);
        clock.0.store(due, Ordering::SeqCst);
        sink.processing_time(due, &mut out).unwrap();
        assert_eq!(sink.next_timer(), None);
        sink.process(0, Batch::insert_only(rows(2, 1)), &mut out).unwrap();
        sink.finish(&mut out).unwrap();
        let sent = sent.lock();
        assert_eq!(sent.iter().map(|(offset, _, rows)| (*offset, *rows)).collect::<Vec<_>>(), [(0, 3), (3, 2)]);
        let first = StreamReader::try_new(sent[0].1.as_ref(), None).unwrap().next().unwrap().unwrap();
        assert_eq!(first.schema().field(2).name(), KIND_COLUMN);
        assert_eq!(first.column(2).as_primitive::<arrow::datatypes::Int8Type>().values(), &[0, 1, 2]);
    }

    #[test]
    fn wide_rows_go_in_small_pieces() {
        let (mut sink, sent, _) = sink(false);
        let mut out = Collected::default();
        sink.process(0, Batch::insert_only(rows(5000, 2000)), &mut out).unwrap();
        sink.finish(&mut out).unwrap();
        let sent = sent.lock();
        assert!(sent.iter().all(|(_, batch, _)| batch.len() < 4 * FLUSH_BYTES), "{:?}", sent.len());
        assert_eq!(sent.iter().map(|(_, _, rows)| rows).sum::<u64>(), 5000);
    }
}
