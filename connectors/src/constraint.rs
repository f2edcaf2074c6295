//! What a sink table's columns are declared to hold: NOT NULL, and no more than their length.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, RecordBatch, StringViewBuilder};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use wiesel_expressions::not_null::VIOLATION;
use wiesel_expressions::types::{MAX_LENGTH, RowField, TypeKind};
use wiesel_operators::background::Waker;
use wiesel_operators::coordinator::CoordinatorGateway;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{
    Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

/// Puts the enforcement of a sink's constraints in front of it.
pub(crate) fn enforce(spec: &proto::SinkSpec, sink: Box<dyn Operator>) -> Result<Box<dyn Operator>> {
    let misfit = match spec.type_length_enforcer.as_str() {
        "TRIM_PAD" => Some(Misfit::Fit),
        "ERROR" => Some(Misfit::Fail),
        _ => None,
    };
    if spec.not_null.is_empty() && misfit.is_none() {
        return Ok(sink);
    }
    let fields = crate::connector::fields(spec.input.as_ref())?;
    let mut not_null = Vec::with_capacity(spec.not_null.len());
    for index in &spec.not_null {
        let index = *index as usize;
        let field = fields.get(index).ok_or_else(|| Error::Plan(format!("the sink has no column {index}")))?;
        not_null.push((index, field.name.clone()));
    }
    let lengths = misfit.map_or_else(Vec::new, |misfit| lengths(&fields, misfit));
    if not_null.is_empty() && lengths.is_empty() {
        return Ok(sink);
    }
    let drop = spec.not_null_enforcer.eq_ignore_ascii_case("DROP");
    Ok(Box::new(ConstraintEnforcer { not_null, drop, lengths, sink }))
}

struct ConstraintEnforcer {
    not_null: Vec<(usize, String)>,
    drop: bool,
    lengths: Vec<Length>,
    sink: Box<dyn Operator>,
}

impl ConstraintEnforcer {
    fn check(&self, batch: Batch) -> Result<Batch> {
        let batch = self.check_nulls(batch)?;
        self.check_lengths(batch)
    }

    fn check_nulls(&self, batch: Batch) -> Result<Batch> {
        let mut valid: Option<NullBuffer> = None;
        for (index, name) in &self.not_null {
            let column = batch.records.column(*index);
            if column.null_count() == 0 {
                continue;
            }
            if !self.drop {
                return Err(Error::data(
                    VIOLATION,
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
        Ok(Batch { records, kinds })
    }

    fn check_lengths(&self, batch: Batch) -> Result<Batch> {
        let mut fitted: Option<Vec<ArrayRef>> = None;
        for length in &self.lengths {
            if let Some(column) = length.enforce(batch.records.column(length.column))? {
                fitted.get_or_insert_with(|| batch.records.columns().to_vec())[length.column] = column;
            }
        }
        let Some(columns) = fitted else { return Ok(batch) };
        let records = RecordBatch::try_new(batch.records.schema(), columns)?;
        Ok(Batch { records, kinds: batch.kinds })
    }
}

/// What becomes of a value that is too long, or too short for a CHAR or BINARY: `table.exec.sink.type-length-enforcer`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Misfit {
    /// It is cut or filled: `TRIM_PAD`.
    Fit,
    /// It fails the job: `ERROR`.
    Fail,
}

/// A column of texts, counted in characters, or bytes whose type says how long they are.
struct Length {
    column: usize,
    name: String,
    kind: TypeKind,
    limit: usize,
    /// They are never shorter.
    fixed: bool,
    misfit: Misfit,
}

/// The columns whose types say how long their values are.
fn lengths(fields: &[RowField], misfit: Misfit) -> Vec<Length> {
    let length = |(column, field): (usize, &RowField)| {
        let kind = &field.data_type.kind;
        let (limit, fixed) = match kind {
            TypeKind::Char(limit) | TypeKind::Binary(limit) => (*limit, true),
            TypeKind::Varchar(limit) | TypeKind::Varbinary(limit) => (*limit, false),
            _ => return None,
        };
        let (name, kind) = (field.name.clone(), kind.clone());
        (limit < MAX_LENGTH).then_some(Length { column, name, kind, limit: limit as usize, fixed, misfit })
    };
    fields.iter().enumerate().filter_map(length).collect()
}

impl Length {
    /// The column as its type has it; none if it is so already.
    fn enforce(&self, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        let Some(length) = self.first_misfit(column) else { return Ok(None) };
        if self.misfit == Misfit::Fit {
            return Ok(Some(if self.is_text() { self.fit_texts(column) } else { self.fit_bytes(column) }));
        }
        let (name, kind) = (&self.name, &self.kind);
        Err(Error::data(
            VIOLATION,
            format!(
                "Column '{name}' is {kind}, however, a string of length {length} is being written into it. You can set job \
                 configuration 'table.exec.sink.type-length-enforcer' to control this behaviour."
            ),
        ))
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, TypeKind::Char(_) | TypeKind::Varchar(_))
    }

    /// The length of the first value that the type does not have.
    fn first_misfit(&self, column: &ArrayRef) -> Option<usize> {
        let misfits = |length: &usize| *length > self.limit || self.fixed && *length < self.limit;
        if self.is_text() {
            return column.as_string_view().iter().flatten().map(|text| text.chars().count()).find(misfits);
        }
        column.as_binary_view().iter().flatten().map(|bytes| bytes.len()).find(misfits)
    }

    fn fit_texts(&self, column: &ArrayRef) -> ArrayRef {
        let mut builder = StringViewBuilder::with_capacity(column.len());
        let mut fitted = String::new();
        for text in column.as_string_view().iter() {
            let Some(text) = text else {
                builder.append_null();
                continue;
            };
            fitted.clear();
            fitted.extend(text.chars().take(self.limit));
            if self.fixed {
                let missing = self.limit - fitted.chars().count();
                fitted.extend(std::iter::repeat_n(' ', missing));
            }
            builder.append_value(&fitted);
        }
        Arc::new(builder.finish())
    }

    fn fit_bytes(&self, column: &ArrayRef) -> ArrayRef {
        let mut builder = BinaryViewBuilder::with_capacity(column.len());
        let mut fitted = Vec::new();
        for bytes in column.as_binary_view().iter() {
            let Some(bytes) = bytes else {
                builder.append_null();
                continue;
            };
            fitted.clear();
            fitted.extend_from_slice(&bytes[..bytes.len().min(self.limit)]);
            if self.fixed {
                fitted.resize(self.limit, 0);
            }
            builder.append_value(&fitted);
        }
        Arc::new(builder.finish())
    }
}

impl Operator for ConstraintEnforcer {
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

    fn take_waker(&mut self, waker: Waker) -> bool {
        self.sink.take_waker(waker)
    }

    fn is_available(&self) -> bool {
        self.sink.is_available()
    }

    fn has_rows_in_flight(&self) -> bool {
        self.sink.has_rows_in_flight()
    }

    fn woken(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.sink.woken(out)
    }

    fn take_gateway(&mut self, gateway: Box<dyn CoordinatorGateway>) {
        self.sink.take_gateway(gateway);
    }

    fn coordinator_event(&mut self, event: Bytes) -> Result<()> {
        self.sink.coordinator_event(event)
    }

    fn held_back(&mut self, time: Duration) {
        self.sink.held_back(time);
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

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryViewArray, StringViewArray};
    use wiesel_expressions::types::to_arrow_schema;

    use super::*;
    use crate::testing::Collected;

    /// Hands on what a sink would write.
    struct Written;

    impl Operator for Written {
        fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
            out.collect(batch)
        }
    }

    fn columns() -> Vec<RowField> {
        [
            ("v", TypeKind::Varchar(2)),
            ("c", TypeKind::Char(3)),
            ("s", TypeKind::string()),
            ("b", TypeKind::Binary(2)),
            ("vb", TypeKind::Varbinary(1)),
        ]
        .map(|(name, kind)| RowField::new(name, kind.nullable()))
        .to_vec()
    }

    /// What a sink with this enforcer gets of a row and of a row of nulls.
    fn write(enforcer: &str, texts: [&str; 3], bytes: [&[u8]; 2]) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for text in texts {
            arrays.push(Arc::new(StringViewArray::from(vec![Some(text), None])));
        }
        for bytes in bytes {
            arrays.push(Arc::new(BinaryViewArray::from(vec![Some(bytes), None])));
        }
        let records = RecordBatch::try_new(to_arrow_schema(&columns()), arrays).unwrap();
        let input = proto::Schema { fields: columns().iter().map(proto::Field::from).collect() };
        let spec = proto::SinkSpec { input: Some(input), type_length_enforcer: enforcer.into(), ..Default::default() };
        let mut out = Collected::default();
        enforce(&spec, Box::new(Written))?.process(0, Batch::insert_only(records), &mut out)?;
        Ok(out.batches.remove(0).records)
    }

    #[test]
    fn values_that_lie_about_their_length_are_fitted_ignored_or_refused() {
        let row = |records: &RecordBatch| {
            let text = |column: usize| records.column(column).as_string_view().value(0).to_owned();
            let bytes = |column: usize| records.column(column).as_binary_view().value(0).to_vec();
            assert!(records.columns().iter().all(|column| column.is_null(1) && column.len() == 2));
            ([text(0), text(1), text(2)], [bytes(3), bytes(4)])
        };
        let long: ([&str; 3], [&[u8]; 2]) = (["äöü", "a", "anna"], [b"\x01", b"\x01\x02"]);
        let ignored = write("IGNORE", long.0, long.1).unwrap();
        assert_eq!(row(&ignored), (long.0.map(str::to_owned), long.1.map(<[u8]>::to_vec)));
        let fitted = write("TRIM_PAD", long.0, long.1).unwrap();
        let wanted = (["äö", "a  ", "anna"].map(str::to_owned), [vec![1, 0], vec![1]]);
        assert_eq!(row(&fitted), wanted);
        let fits: ([&str; 3], [&[u8]; 2]) = (["äö", "abc", "anna"], [b"\x01\x02", b""]);
        assert_eq!(row(&write("ERROR", fits.0, fits.1).unwrap()), (fits.0.map(str::to_owned), [vec![1, 2], vec![]]));
        for (texts, bytes, wrong) in [
            (["äöü", "abc", ""], fits.1, "Column 'v' is VARCHAR(2), however, a string of length 3 is"),
            (["", "ab", ""], fits.1, "Column 'c' is CHAR(3), however, a string of length 2 is"),
            (fits.0, long.1, "Column 'b' is BINARY(2), however, a string of length 1 is"),
        ] {
            let error = write("ERROR", texts, bytes).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
