//! What the tests of operators share.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use wiesel_common::config::Configuration;
use wiesel_common::notifier::Notifier;
pub use wiesel_common::time::ManualClock;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{LogicalType, RowField, schema_to_proto, to_arrow_schema};
use wiesel_proto as proto;

use crate::element::{Batch, StreamElement, WatermarkStatus};
use crate::operator::{Collector, Operator, OperatorContext, Result};

pub mod background;
pub mod conformance;
pub mod keyed;
pub mod state;

pub fn context_with(configuration: &[(&str, &str)]) -> (OperatorContext, Arc<ManualClock>) {
    let pairs = configuration.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let mut configuration: Configuration =
        [("table.local-time-zone".to_owned(), "UTC".to_owned())].into_iter().collect();
    pairs.for_each(|(key, value)| configuration.set(key, value));
    let clock = Arc::new(ManualClock::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = OperatorContext {
        job_id: wiesel_common::id::JobId([7; 16]),
        run: 1,
        task_name: "test".into(),
        attempt_number: 0,
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        configuration: Arc::new(configuration),
        clock: clock.clone(),
        notifier: Arc::new(Notifier::default()),
        runtime: runtime.handle().clone(),
    };
    (context, clock)
}

pub fn context() -> OperatorContext {
    context_with(&[]).0
}

/// Keeps what it is given.
#[derive(Default)]
pub struct Output {
    pub elements: Vec<StreamElement>,
}

impl Collector for Output {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.elements.push(StreamElement::Batch(batch));
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        self.elements.push(StreamElement::Watermark(watermark));
        Ok(())
    }

    fn status(&mut self, status: WatermarkStatus) -> Result<()> {
        self.elements.push(StreamElement::WatermarkStatus(status));
        Ok(())
    }
}

impl Output {
    /// Everything as text: rows as `+I[a, b]`, watermarks as `w5`, statuses as `Idle`.
    pub fn take_text(&mut self) -> Vec<String> {
        let mut text = Vec::new();
        for element in self.elements.drain(..) {
            match element {
                StreamElement::Batch(batch) => text.extend(rows_text(&batch)),
                StreamElement::Watermark(watermark) => text.push(format!("w{watermark}")),
                StreamElement::WatermarkStatus(status) => text.push(format!("{status:?}")),
                StreamElement::EndOfInput => text.push("end".into()),
            }
        }
        text
    }

    /// The rows as text.
    pub fn take_rows(&mut self) -> Vec<String> {
        let batches = self.elements.drain(..).filter_map(|element| match element {
            StreamElement::Batch(batch) => Some(rows_text(&batch)),
            _ => None,
        });
        batches.flatten().collect()
    }
}

/// The rows as `+I[a, b]`.
pub fn rows_text(batch: &Batch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null").with_display_error(true);
    let columns: Vec<_> =
        batch.records.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row| {
        let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        format!("{}[{}]", batch.kind(row).short_string(), values.join(", "))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Folds changes: the rows that are left, sorted.
pub fn fold(changes: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for change in changes {
        let (kind, row) = change.split_at(2);
        match kind {
            "+I" | "+U" => rows.push(row.to_owned()),
            _ => {
                let at = rows.iter().position(|r| r == row).unwrap_or_else(|| panic!("{change} takes back nothing"));
                rows.swap_remove(at);
            }
        }
    }
    rows.sort();
    rows
}

pub fn fields(columns: &[(&str, LogicalType)]) -> Vec<RowField> {
    columns.iter().map(|(name, data_type)| RowField::new(*name, data_type.clone())).collect()
}

pub fn schema(fields: &[RowField]) -> Option<proto::Schema> {
    Some(schema_to_proto(fields))
}

pub fn batch(fields: &[RowField], columns: Vec<ArrayRef>) -> Batch {
    let rows = columns.first().map_or(0, |column| column.len());
    let records: RecordBatch = record_batch(&to_arrow_schema(fields), columns, rows, |_| "a test".to_owned()).unwrap();
    Batch::insert_only(records)
}

pub fn changes(fields: &[RowField], kinds: Vec<i8>, columns: Vec<ArrayRef>) -> Batch {
    Batch { kinds: Some(Int8Array::from(kinds)), ..batch(fields, columns) }
}

pub fn call(function: &str, arguments: &[u32], data_type: LogicalType) -> proto::AggregateCall {
    proto::AggregateCall {
        function: function.into(),
        arguments: arguments.to_vec(),
        distinct: false,
        filter: None,
        r#type: Some((&data_type).into()),
        name: function.to_lowercase(),
    }
}

/// Runs one batch through an operator.
pub fn run(operator: &mut dyn Operator, batch: Batch) -> Vec<String> {
    let mut out = Output::default();
    operator.process(0, batch, &mut out).unwrap();
    out.take_text()
}
