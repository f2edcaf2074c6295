//! `datagen`: rows of random values or sequences.
use wiesel_common::random;
use wiesel_expressions::expression::ROW_BYTES;
use wiesel_expressions::types::RowField;
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::operator::{Error, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::connector::{Connector, ProjectionSupport, SourceDescription, TableDescription, parallelism};
use crate::enumerator::OneSplitEach;
use crate::options::{Options, Result, invalid};

mod field;
mod generate;
mod reader;
#[cfg(test)]
mod tests;

use field::{Field, FieldOptions, Values};

const ROWS_PER_SECOND: &str = "rows-per-second";
const NUMBER_OF_ROWS: &str = "number-of-rows";

/// The options of a table.
struct Settings {
    rows_per_second: u64,
    rows: Option<u64>,
    fields: Vec<Field>,
}

impl Settings {
    fn read(options: Options<'_>, physical: &[RowField]) -> Result<Self> {
        let own = ["connector", NUMBER_OF_ROWS, ROWS_PER_SECOND, "scan.parallelism"];
        let mut columns = FieldOptions { options, supported: own.map(str::to_owned).to_vec() };
        let fields = physical.iter().map(|column| columns.column(column)).collect::<Result<Vec<_>>>()?;
        options.allow_only("datagen", &columns.supported)?;
        let most_bytes = fields.iter().map(Field::most_bytes).fold(0, usize::saturating_add);
        if most_bytes > ROW_BYTES {
            return invalid(format!(
                "A row of the table would have up to {most_bytes} bytes: it may have at most {ROW_BYTES}. Set shorter lengths \
                 ('fields.#.length')."
            ));
        }
        let rows_per_second = options.positive(ROWS_PER_SECOND, 10_000)?.unsigned_abs();
        let rows = options.number::<i64>(NUMBER_OF_ROWS)?.map(|rows| u64::try_from(rows).unwrap_or(0));
        Ok(Self { rows_per_second, rows, fields })
    }

    fn bounded(&self) -> bool {
        self.rows.is_some() || self.fields.iter().any(|field| matches!(field.values, Values::Sequence(_)))
    }
}

/// The connector.
pub(crate) struct Datagen;

impl Connector for Datagen {
    fn identifier(&self) -> &'static str {
        "datagen"
    }

    fn describe_source(&self, table: &TableDescription) -> Option<Result<SourceDescription>> {
        Some(describe(table))
    }

    fn reader(&self, spec: &proto::SourceSpec, _formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
        reader(spec)
    }

    fn enumerator(&self, spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
        enumerator(spec, context)
    }
}

/// What the table can do.
fn describe(table: &TableDescription) -> Result<SourceDescription> {
    let settings = Settings::read(Options::new(&table.options), &table.physical)?;
    let parallelism = parallelism(table, "scan.parallelism")?;
    Ok(SourceDescription::plain(settings.bounded(), parallelism, ProjectionSupport::TopLevel))
}

/// The reader of one subtask.
fn reader(spec: &proto::SourceSpec) -> TaskResult<Box<dyn SourceReader>> {
    let physical = crate::connector::fields(spec.physical.as_ref())?;
    let settings = Settings::read(Options::new(&spec.options), &physical)?;
    let mut emitted = Vec::with_capacity(spec.projection.len());
    for path in &spec.projection {
        match path.indexes.as_slice() {
            [index] if (*index as usize) < physical.len() => emitted.push(*index as usize),
            other => return Err(Error::Plan(format!("table {} has no column {other:?}", spec.table))),
        }
    }
    Ok(Box::new(reader::DatagenReader::new(settings, &physical, &emitted, random::number())))
}

/// Each reader gets a share of the rows.
fn enumerator(_spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
    let readers = u64::from(context.parallelism);
    let splits = (0..readers).map(|subtask| reader::encode(subtask, readers, 0)).collect();
    Ok(Box::new(OneSplitEach::new(context.parallelism, splits)))
}
