//! Delimited text to Arrow arrays, for the wanted columns only.
use wiesel_common::ending::Steps;
use wiesel_common::quote::quote;
use wiesel_operators::operator::{Error, Result};

use super::CsvFormat;
use super::tokens::{FieldRange, Found, Tokenizer, behind_line_end};
use crate::formats::{Decoder, NO_CONTENT, Progress, RowBatch, describe_row};

/// Decodes records of one table.
pub(crate) struct CsvDecoder {
    format: CsvFormat,
    tokenizer: Tokenizer,
    /// The wanted columns: where they stand in a record.
    wanted: Vec<usize>,
    batch: RowBatch,
    /// Since the file, or the part of it, began.
    records: u64,
    fields: Vec<FieldRange>,
    scratch: Vec<u8>,
}

impl CsvDecoder {
    pub(crate) fn new(format: CsvFormat, wanted: Vec<usize>) -> Self {
        // One more than there may be, which the error shows, and another one: an empty one may follow the last if it is the last.
        let most = format.columns.len() + 2;
        let tokenizer = Tokenizer::new(format.delimiter, format.quote, format.escape, format.allow_comments, most);
        let batch = RowBatch::new(wanted.iter().map(|i| &format.columns[*i].data_type));
        Self { format, tokenizer, wanted, batch, records: 0, fields: Vec::new(), scratch: Vec::new() }
    }

    /// Takes the record whose fields were found.
    fn append(&mut self, buffer: &[u8]) -> std::result::Result<(), String> {
        let expected = self.format.columns.len();
        // As Jackson has it, the delimiter may also stand behind the last field.
        let is_surplus = |extra: &&FieldRange| {
            self.fields.len() > expected + 1 || !buffer[extra.start..extra.end].trim_ascii().is_empty()
        };
        if let Some(extra) = self.fields.get(expected).filter(is_surplus) {
            let text = String::from_utf8_lossy(&buffer[extra.start..extra.end]);
            let length = text.chars().count();
            let text = quote(&text);
            return Err(format!(
                "Too many entries: expected at most {expected} (value #{expected} ({length} chars) \"{text}\")"
            ));
        }
        if self.wanted.len() > self.fields.len() && !self.format.ignore_parse_errors {
            let (wanted, found) = (self.wanted.len(), self.fields.len());
            return Err(format!("Row length mismatch. {wanted} fields expected but was {found}."));
        }
        self.batch.budget.begin();
        self.batch.begin_row()?;
        for (builder, index) in self.batch.columns.iter_mut().zip(&self.wanted) {
            let Some(field) = self.fields.get(*index) else {
                builder.append_null();
                continue;
            };
            let mut text = &buffer[field.start..field.end];
            if field.escaped {
                self.tokenizer.unescape(text, field.quoted, &mut self.scratch);
                text = &self.scratch;
            }
            if let Err(why) = super::value::append(builder, text, &self.format, &mut self.batch.budget) {
                let column = &self.format.columns[*index];
                // A sink writes NULL as nothing unless this option says otherwise, and reads it back only with it.
                let may_be_null = text.is_empty() && self.format.null_literal.is_none();
                let hint = if may_be_null { "; with 'csv.null-literal' = '' an empty field is NULL" } else { "" };
                return Err(format!("{why} (column '{}', {}){hint}", column.name, column.data_type));
            }
        }
        self.batch.end_row();
        Ok(())
    }

    /// Takes the first record of a message; what follows it is left out.
    fn first_record(&mut self, message: &[u8]) -> std::result::Result<(), String> {
        let mut at = 0;
        loop {
            let mut fields = std::mem::take(&mut self.fields);
            let found = self.tokenizer.record(message, at, true, &mut fields);
            self.fields = fields;
            match found {
                Found::Incomplete => return Err(NO_CONTENT.to_owned()),
                Found::Skip { next } => at = next,
                Found::Malformed { why, .. } => return Err(why),
                Found::Record { .. } => return self.append(message),
            }
        }
    }
}

impl Decoder for CsvDecoder {
    fn begin(&mut self) {
        self.records = 0;
    }

    fn decode(&mut self, buffer: &[u8], last: bool, end: usize, rows: usize) -> Result<Progress> {
        let mut at = 0;
        let mut steps = Steps::default();
        while self.batch.rows() < rows && !self.batch.is_full() {
            steps.step()?;
            if at >= end {
                return Ok(Progress { consumed: at, done: true });
            }
            let mut fields = std::mem::take(&mut self.fields);
            let found = self.tokenizer.record(buffer, at, last, &mut fields);
            self.fields = fields;
            let (next, outcome) = match found {
                Found::Incomplete => return Ok(Progress { consumed: at, done: last && at >= buffer.len() }),
                Found::Skip { next } => {
                    self.records += 1;
                    at = next;
                    continue;
                }
                Found::Malformed { next, why } => (next, Err(why)),
                Found::Record { next } => (next, self.append(buffer)),
            };
            self.records += 1;
            if let Err(why) = outcome
                && !self.batch.budget.may_ignore(self.format.ignore_parse_errors)
            {
                let row = describe_row(&buffer[at..next]);
                return Err(Error::data(
                    "java.io.IOException",
                    format!("Failed to deserialize CSV row '{row}' (record {}): {why}", self.records),
                ));
            }
            // Otherwise only the shape of a row can be wrong, which is known before any of its fields is taken.
            at = next;
        }
        Ok(Progress { consumed: at, done: at >= end })
    }

    fn decode_message(&mut self, text: &[u8]) -> Result<()> {
        match self.first_record(text) {
            Err(why) if !self.batch.budget.may_ignore(self.format.ignore_parse_errors) => {
                let message = format!("Failed to deserialize CSV row '{}': {why}", describe_row(text));
                Err(Error::data("java.io.IOException", message))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn behind_line_end(&self, buffer: &[u8], last: bool) -> Option<usize> {
        behind_line_end(buffer, last)
    }

    fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    fn batch(&mut self) -> &mut RowBatch {
        &mut self.batch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wiesel_expressions::types::{RowField, TypeKind};

    use super::*;
    use crate::formats::RecordBudget;
    use crate::options::Options;

    /// Failed before: each field of a line was noted before they were counted, 16 times the bytes of a line of delimiters.
    #[test]
    fn fields_beyond_the_columns_are_not_noted() {
        let columns = vec![RowField::new("a", TypeKind::string().nullable())];
        let format = CsvFormat::new(Options::new(&BTreeMap::new()), columns).map_err(|error| error.0).unwrap();
        let mut decoder = CsvDecoder::new(format, vec![0]);
        for line in [",".repeat(100_000), "\"\",".repeat(100_000)] {
            let line = format!("{line}\n");
            let error = decoder.decode(line.as_bytes(), true, line.len(), 10).err().unwrap().to_string();
            assert!(error.contains("Too many entries: expected at most 1 (value #1 (0 chars) \"\")"), "{error}");
            assert_eq!(decoder.fields.len(), 3);
        }
    }

    /// Failed before: a line that ends with a delimiter had too many entries. Flink takes it, if nothing else follows.
    #[test]
    fn a_delimiter_may_stand_behind_the_last_field() {
        let columns = vec![RowField::new("a", TypeKind::string().nullable())];
        let options = BTreeMap::from([("csv.ignore-parse-errors".to_owned(), "true".to_owned())]);
        let format = CsvFormat::new(Options::new(&options), columns).map_err(|error| error.0).unwrap();
        let lines = b"ab,\n,\ncd, \nef,\"\"\ngh,,\nij,x\nkl,x,\n";
        let mut decoder = CsvDecoder::new(format, vec![0]);
        assert!(decoder.decode(lines, true, lines.len(), 10).is_ok());
        assert_eq!(decoder.batch.rows(), 4);
    }

    /// Failed before: a field of delimiters became sixteen times its bytes, or was null where parse errors are ignored.
    #[test]
    fn arrays_and_rows_in_a_field_have_bounds() {
        let decoder = |kind: TypeKind| {
            let columns = vec![RowField::new("a", kind.nullable())];
            let options = BTreeMap::from([("csv.ignore-parse-errors".to_owned(), "true".to_owned())]);
            let format = CsvFormat::new(Options::new(&options), columns).map_err(|error| error.0).unwrap();
            let mut decoder = CsvDecoder::new(format, vec![0]);
            decoder.batch.budget = RecordBudget::of(1 << 20);
            decoder
        };
        let string = || TypeKind::string().nullable();
        let lines = |elements: usize| format!("{}\n", ";".repeat(elements - 1));
        // With four bytes where the array ends.
        let most = ((1 << 20) - 4) / 16;
        let mut arrays = decoder(TypeKind::Array(Box::new(string())));
        let line = lines(most);
        assert!(arrays.decode(line.as_bytes(), true, line.len(), 10).is_ok());
        assert_eq!(arrays.batch.rows(), 1);
        let line = lines(most + 1);
        let error = arrays.decode(line.as_bytes(), true, line.len(), 10).err().unwrap().to_string();
        assert!(error.contains("(record 2): The values made of the record have more than 1048576 bytes"), "{error}");
        assert!(error.contains("(column 'a', ARRAY<"), "{error}");
        let mut rows = decoder(TypeKind::Row(vec![RowField::new("x", string()), RowField::new("y", string())]));
        let line = lines(1_000_000);
        assert!(rows.decode(line.as_bytes(), true, line.len(), 10).is_ok());
        assert_eq!(rows.batch.rows(), 1);
    }
}
