//! The rows of a VALUES clause, or of a query that was computed while it was planned.
use std::collections::VecDeque;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion_common::ScalarValue;
use wiesel_common::fault;
use wiesel_expressions::expression::literal_from_proto;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::to_arrow_schema;
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SourceStatus, SplitEnumerator};
use wiesel_proto as proto;

use crate::connector::Connector;
use crate::encoding;
use crate::enumerator::{OneSplitEach, Requests};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;

/// A split: the next row.
fn encode(next: u64) -> Bytes {
    encoding::Writer::new(1).u64(next).finish()
}

struct ValuesReader {
    schema: SchemaRef,
    /// One a column.
    columns: Vec<ArrayRef>,
    rows: usize,
    /// The next row of each split; there is one split for all readers.
    splits: VecDeque<usize>,
    requests: Requests,
}

/// The connector.
pub(crate) struct Values;

impl Connector for Values {
    fn identifier(&self) -> &'static str {
        "values"
    }

    fn is_of_tables(&self) -> bool {
        false
    }

    fn reader(&self, spec: &proto::SourceSpec, _formats: &dyn BulkFormats) -> Result<Box<dyn SourceReader>> {
        reader(spec)
    }

    fn enumerator(&self, spec: &proto::SourceSpec, context: EnumeratorContext) -> Result<Box<dyn SplitEnumerator>> {
        enumerator(spec, context)
    }
}

/// The reader: the one that gets the split emits all rows.
fn reader(spec: &proto::SourceSpec) -> Result<Box<dyn SourceReader>> {
    let fields = crate::connector::fields(spec.physical.as_ref())?;
    let mut emitted = Vec::with_capacity(spec.projection.len());
    for path in &spec.projection {
        let index = path.indexes.first().map(|index| *index as usize);
        let index = index.filter(|index| *index < fields.len());
        emitted.push(index.ok_or_else(|| Error::Plan(format!("VALUES has no column {:?}", path.indexes)))?);
    }
    let mut columns = Vec::with_capacity(emitted.len());
    for index in &emitted {
        let field = &fields[*index];
        let mut scalars = Vec::with_capacity(spec.values.len());
        for row in &spec.values {
            let literal = row.fields.get(*index);
            let literal = literal.ok_or_else(|| Error::Plan("a row of VALUES is too short".into()))?;
            scalars.push(literal_from_proto(literal, &field.data_type)?);
        }
        let array = match scalars.is_empty() {
            true => new_empty_array(&field.data_type.kind.to_arrow()),
            false => ScalarValue::iter_to_array(scalars)?,
        };
        columns.push(array);
    }
    let emitted: Vec<_> = emitted.iter().map(|index| fields[*index].clone()).collect();
    Ok(Box::new(ValuesReader {
        schema: to_arrow_schema(&emitted),
        columns,
        rows: spec.values.len(),
        splits: VecDeque::new(),
        requests: Requests::default(),
    }))
}

/// All rows go to the first reader.
fn enumerator(_spec: &proto::SourceSpec, context: EnumeratorContext) -> Result<Box<dyn SplitEnumerator>> {
    Ok(Box::new(OneSplitEach::new(context.parallelism, vec![encode(0)])))
}

impl SourceReader for ValuesReader {
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        if self.splits.is_empty() {
            self.requests.want();
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        let Some(next) = self.splits.front().copied() else { return Ok(self.requests.status()) };
        let rows = self.rows.saturating_sub(next).min(fault::limit("source.rows", BATCH_ROWS));
        if rows == 0 {
            self.splits.pop_front();
            if !self.splits.is_empty() {
                return Ok(SourceStatus::MoreAvailable);
            }
            self.requests.want();
            return Ok(self.requests.status());
        }
        let columns = self.columns.iter().map(|column| column.slice(next, rows)).collect();
        let giver = |_: usize| "a constant expression of VALUES".to_owned();
        let records = record_batch(&self.schema, columns, rows, giver)?;
        self.splits[0] = next + rows;
        out.collect(Batch::insert_only(records))?;
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let mut reader = encoding::Reader::new("a split of VALUES", 1, &split)?;
            self.splits.push_back(reader.u64()? as usize);
            reader.end()?;
            self.requests.have();
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        let unread = self.splits.iter().filter(|next| **next < self.rows);
        Ok(unread.map(|next| encode(*next as u64)).collect())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }
}
