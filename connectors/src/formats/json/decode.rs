//! Lines of JSON to Arrow arrays, for the wanted columns only.
use arrow::array::ArrayRef;
use wiesel_operators::operator::{Error, Result};

use super::JsonFormat;
use super::fields::Fields;
use super::scan::{Cursor, Value, for_each_element};
use super::value::{Reading, append};
use crate::formats::column::ColumnBuilder;
use crate::formats::{Decoder, Progress, describe_row};

/// Decodes lines of one table.
pub(crate) struct JsonDecoder {
    format: JsonFormat,
    fields: Fields,
    names: Vec<String>,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    lines: u64,
    scratch: Vec<u8>,
}

impl JsonDecoder {
    pub(crate) fn new(format: JsonFormat, wanted: Vec<usize>) -> Self {
        let columns: Vec<_> = wanted.iter().filter_map(|index| format.columns.get(*index)).collect();
        let builders = columns.iter().map(|column| ColumnBuilder::new(&column.data_type)).collect();
        let fields = Fields::new(columns.iter().copied());
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Self { format, fields, names, builders, rows: 0, lines: 0, scratch: Vec::new() }
    }

    fn line(&mut self, line: &[u8]) -> std::result::Result<(), String> {
        let mut cursor = Cursor::new(line);
        cursor.skip_space();
        if cursor.peek().is_none() {
            return Ok(());
        }
        match cursor.value()? {
            Value::Object(object) => self.row(object),
            Value::Array(array) => for_each_element(array, |element| match element {
                Value::Object(object) => self.row(object),
                _ => Err("No content to map due to end-of-input".to_owned()),
            }),
            _ => Err("No content to map due to end-of-input".to_owned()),
        }
    }

    fn row(&mut self, object: &[u8]) -> std::result::Result<(), String> {
        let found = self.fields.find(object, self.format.parser, &mut self.scratch)?;
        if self.format.fail_on_missing_field
            && let Some(missing) = found.iter().position(Option::is_none)
        {
            let name = self.fields.name(missing);
            return Err(format!("Some field is missing in the JSON data. Could not find field with name '{name}'."));
        }
        let mut to = Reading { format: &self.format, scratch: &mut self.scratch };
        for (i, (column, value)) in self.builders.iter_mut().zip(found).enumerate() {
            append(column, self.fields.child(i), value.unwrap_or(Value::Null), &mut to)
                .map_err(|why| format!("Fail to deserialize at field: {}. {why}", self.names[i]))?;
        }
        self.rows += 1;
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, buffer: &[u8], last: bool, end: usize, rows: usize) -> Result<Progress> {
        let mut at = 0;
        while self.rows < rows {
            if at >= end || (last && at >= buffer.len()) {
                return Ok(Progress { consumed: at, done: true });
            }
            let next = match memchr::memchr(b'\n', &buffer[at..]) {
                Some(offset) => at + offset + 1,
                None if last => buffer.len(),
                None => return Ok(Progress { consumed: at, done: false }),
            };
            self.lines += 1;
            if let Err(why) = self.line(&buffer[at..next])
                && !self.format.ignore_parse_errors
            {
                return Err(Error::data(
                    "java.io.IOException",
                    format!(
                        "Failed to deserialize JSON '{}' (line {}): {why}",
                        describe_row(&buffer[at..next]),
                        self.lines
                    ),
                ));
            }
            at = next;
        }
        Ok(Progress { consumed: at, done: at >= end })
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        Ok(self.builders.iter_mut().map(ColumnBuilder::finish).collect())
    }
}
