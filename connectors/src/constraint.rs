//! NOT NULL columns of a sink table.
use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{
    Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

/// Puts the enforcement of a sink's constraints in front of it.
pub(crate) fn enforce(spec: &proto::SinkSpec, sink: Box<dyn Operator>) -> Result<Box<dyn Operator>> {
    if spec.not_null.is_empty() {
        return Ok(sink);
    }
    let fields = crate::factory::fields(spec.input.as_ref()).map_err(|e| Error::Plan(e.to_string()))?;
    let mut columns = Vec::with_capacity(spec.not_null.len());
    for index in &spec.not_null {
        let index = *index as usize;
        let field = fields.get(index).ok_or_else(|| Error::Plan(format!("the sink has no column {index}")))?;
        columns.push((index, field.name.clone()));
    }
    let drop = spec.not_null_enforcer.eq_ignore_ascii_case("DROP");
    Ok(Box::new(NotNullEnforcer { columns, drop, sink }))
}

struct NotNullEnforcer {
    columns: Vec<(usize, String)>,
    drop: bool,
    sink: Box<dyn Operator>,
}

impl NotNullEnforcer {
    fn check(&self, batch: Batch) -> Result<Batch> {
        let mut valid: Option<NullBuffer> = None;
        for (index, name) in &self.columns {
            let column = batch.records.column(*index);
            if column.null_count() == 0 {
                continue;
            }
            if !self.drop {
                return Err(Error::data(
                    "org.apache.flink.table.api.TableRuntimeException",
                    format!(
                        "Column '{name}' is NOT NULL, however, a null value is being written into it. You can set job \
                         configuration 'table.exec.sink.not-null-enforcer'='DROP' to suppress this exception and drop \
                         such records silently."
                    ),
                ));
            }
            valid = NullBuffer::union(valid.as_ref(), column.nulls());
        }
        let Some(valid) = valid else { return Ok(batch) };
        let mask = BooleanArray::new(valid.into_inner(), None);
        let records = filter_record_batch(&batch.records, &mask)?;
        let kinds = match &batch.kinds {
            None => None,
            Some(kinds) => Some(arrow::compute::filter(kinds, &mask)?.to_data().into()),
        };
        Ok(Batch { records, kinds, hashes: None })
    }
}

impl Operator for NotNullEnforcer {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.sink.restore(state)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.sink.open(context)
    }

    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let batch = self.check(batch)?;
        self.sink.process(input, batch, out)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.sink.watermark(watermark, out)
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        self.sink.status(status, out)
    }

    fn next_timer(&self) -> Option<i64> {
        self.sink.next_timer()
    }

    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        self.sink.processing_time(now, out)
    }

    fn end_input(&mut self, input: usize, out: &mut dyn Collector) -> Result<()> {
        self.sink.end_input(input, out)
    }

    fn finish(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.sink.finish(out)
    }

    fn before_barrier(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.sink.before_barrier(out)
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.sink.snapshot(options)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.sink.checkpoint_completed(checkpoint_id)
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.sink.checkpoint_aborted(checkpoint_id)
    }

    fn awaits_checkpoint(&self) -> bool {
        self.sink.awaits_checkpoint()
    }

    fn commit_at_end(&mut self) -> Result<()> {
        self.sink.commit_at_end()
    }

    fn close(&mut self) -> Result<()> {
        self.sink.close()
    }
}
