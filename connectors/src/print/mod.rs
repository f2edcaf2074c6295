//! `print`: writes rows to the standard output (or error) of the TaskManager.
use std::io::Write;

use wiesel_expressions::types::RowField;
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, Operator, OperatorContext, Result as TaskResult};
use wiesel_proto as proto;

use crate::connector::{
    ChangelogMode, Connector, SinkDescription, TableDescription, check_options, fields, parallelism,
};
use crate::options::{Options, Result};

mod row;
#[cfg(test)]
mod tests;

const OPTIONS: [&str; 3] = ["print-identifier", "sink.parallelism", "standard-error"];

/// The connector.
pub(crate) struct Print;

impl Connector for Print {
    fn identifier(&self) -> &'static str {
        "print"
    }

    fn describe_sink(&self, table: &TableDescription) -> Option<Result<SinkDescription>> {
        Some(describe(table))
    }

    fn sink(&self, spec: &proto::SinkSpec, _uid: &[u8], _formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
        Ok(Box::new(sink(spec)?))
    }
}

/// What the table can do.
fn describe(table: &TableDescription) -> Result<SinkDescription> {
    check_options(table, "print", &OPTIONS)?;
    let options = Options::new(&table.options);
    options.boolean("standard-error", false)?;
    let parallelism = parallelism(table, "sink.parallelism")?;
    Ok(SinkDescription { parallelism, changelog: ChangelogMode::All, metadata: Vec::new() })
}

/// The sink.
pub struct PrintSink {
    identifier: String,
    standard_error: bool,
    fields: Vec<RowField>,
    prefix: String,
    text: String,
}

/// The sink of a table.
fn sink(spec: &proto::SinkSpec) -> TaskResult<PrintSink> {
    let options = Options::new(&spec.options);
    Ok(PrintSink {
        identifier: options.text("print-identifier").unwrap_or_default().to_owned(),
        standard_error: options.boolean("standard-error", false)?,
        fields: fields(spec.input.as_ref())?,
        prefix: String::new(),
        text: String::new(),
    })
}

impl Operator for PrintSink {
    fn open(&mut self, context: &OperatorContext) -> TaskResult<()> {
        self.prefix = prefix(&self.identifier, context.subtask, context.parallelism);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Collector) -> TaskResult<()> {
        self.text.clear();
        for row in 0..batch.num_rows() {
            self.text.push_str(&self.prefix);
            row::write_row(&mut self.text, batch.kind(row), &batch.records, &self.fields, row);
            self.text.push('\n');
        }
        let written = if self.standard_error {
            std::io::stderr().lock().write_all(self.text.as_bytes())
        } else {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(self.text.as_bytes()).and_then(|()| stdout.flush())
        };
        written.map_err(|error| Error::external("cannot print to the TaskManager's output", error))
    }
}

/// What stands in front of each row: `identifier:subtask> `, each part only where it tells something.
fn prefix(identifier: &str, subtask: u32, parallelism: u32) -> String {
    match (identifier.is_empty(), parallelism > 1) {
        (true, false) => String::new(),
        (true, true) => format!("{}> ", subtask + 1),
        (false, false) => format!("{identifier}> "),
        (false, true) => format!("{identifier}:{}> ", subtask + 1),
    }
}

/// A row as text, for the tests of sources.
#[cfg(test)]
pub(crate) fn row_text(records: &arrow::array::RecordBatch, row: usize) -> String {
    let mut text = String::new();
    row::write_row(&mut text, wiesel_expressions::row_kind::RowKind::Insert, records, &[], row);
    text
}
