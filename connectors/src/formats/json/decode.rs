//! Lines of JSON to Arrow arrays, for the wanted columns only.
use wiesel_common::ending::Steps;
use wiesel_operators::operator::{Error, Result};

use super::JsonFormat;
use super::fields::Fields;
use super::scan::{Cursor, Value, for_each_element};
use super::value::{Reading, append};
use crate::formats::{BYTE_ORDER_MARK, Decoder, NO_CONTENT, Progress, RowBatch, describe_row};

/// Decodes lines of one table.
pub(crate) struct JsonDecoder {
    format: JsonFormat,
    fields: Fields,
    names: Vec<String>,
    batch: RowBatch,
    /// Since the file, or the part of it, began.
    lines: u64,
    scratch: Vec<u8>,
}

impl JsonDecoder {
    pub(crate) fn new(format: JsonFormat, wanted: Vec<usize>) -> Self {
        let columns: Vec<_> = wanted.iter().filter_map(|index| format.columns.get(*index)).collect();
        let batch = RowBatch::new(columns.iter().map(|column| &column.data_type));
        let fields = Fields::new(columns.iter().copied());
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Self { format, fields, names, batch, lines: 0, scratch: Vec::new() }
    }

    fn line(&mut self, line: &[u8]) -> std::result::Result<(), String> {
        // A line end, or none where the file ends.
        if matches!(line, b"\n" | b"\r\n" | b"" | b"\r") {
            return Ok(());
        }
        // Each line is a text of its own: where files were put together, one within begins with the mark, too.
        self.text(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line))
    }

    /// An object is a row, an array one for each of its elements. As Flink's, the reader of whole trees takes what is no value
    /// for none.
    fn text(&mut self, text: &[u8]) -> std::result::Result<(), String> {
        let no_content = || Err(NO_CONTENT.to_owned());
        let whole_tree = !self.format.parser;
        let ignore = self.format.ignore_parse_errors;
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        if cursor.peek().is_none() {
            return if whole_tree { Ok(()) } else { no_content() };
        }
        match cursor.value()? {
            Value::Object(object) => self.row(object),
            Value::Array(array) => for_each_element(array, |element| match element {
                Value::Object(object) => self.row(object),
                Value::Null if whole_tree => Ok(()),
                _ if ignore => Ok(()),
                _ => no_content(),
            }),
            Value::Null if whole_tree => Ok(()),
            _ => no_content(),
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
        self.batch.begin_row()?;
        let mut to = Reading { format: &self.format, scratch: &mut self.scratch, budget: &mut self.batch.budget };
        for (i, (column, value)) in self.batch.columns.iter_mut().zip(found).enumerate() {
            append(column, self.fields.child(i), value.unwrap_or(Value::Null), &mut to)
                .map_err(|why| format!("Fail to deserialize at field: {}. {why}", self.names[i]))?;
        }
        self.batch.end_row();
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn begin(&mut self) {
        self.lines = 0;
    }

    fn decode(&mut self, buffer: &[u8], last: bool, end: usize, rows: usize) -> Result<Progress> {
        let mut at = 0;
        let mut steps = Steps::default();
        while self.batch.rows() < rows && !self.batch.is_full() {
            steps.step()?;
            if at >= end || (last && at >= buffer.len()) {
                return Ok(Progress { consumed: at, done: true });
            }
            let next = match memchr::memchr(b'\n', &buffer[at..]) {
                Some(offset) => at + offset + 1,
                None if last => buffer.len(),
                None => return Ok(Progress { consumed: at, done: false }),
            };
            self.lines += 1;
            self.batch.budget.begin();
            if let Err(why) = self.line(&buffer[at..next])
                && !self.batch.budget.may_ignore(self.format.ignore_parse_errors)
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

    fn decode_message(&mut self, text: &[u8]) -> Result<()> {
        // An empty message is none, a blank one is not.
        let outcome = if text.is_empty() { Ok(()) } else { self.text(text) };
        match outcome {
            Err(why) if !self.batch.budget.may_ignore(self.format.ignore_parse_errors) => {
                let message = format!("Failed to deserialize JSON '{}': {why}", describe_row(text));
                Err(Error::data("java.io.IOException", message))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn behind_line_end(&self, buffer: &[u8], _last: bool) -> Option<usize> {
        memchr::memchr(b'\n', buffer).map(|offset| offset + 1)
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

    use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

    use super::*;
    use crate::formats::RecordBudget;
    use crate::options::Options;

    const LIMIT: usize = 1 << 20;

    /// The error of a text, whose records may have so much made of them.
    fn refused(data_type: LogicalType, options: &[(&str, &str)], text: &str) -> Option<String> {
        let options: BTreeMap<_, _> =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let columns = vec![RowField::new("a", data_type)];
        let format = JsonFormat::new(Options::new(&options), columns).map_err(|error| error.0).unwrap();
        let mut decoder = JsonDecoder::new(format, vec![0]);
        decoder.batch.budget = RecordBudget::of(LIMIT);
        decoder.decode(text.as_bytes(), true, text.len(), 1 << 30).err().map(|error| error.to_string())
    }

    fn list(open: &str, element: &str, count: usize, close: &str) -> String {
        format!("{open}{}{close}", vec![element; count].join(","))
    }

    /// Failed before: `[0,0,...]` became eight times its bytes, `[{},{},...]` as many more as its rows have fields.
    #[test]
    fn what_is_made_of_a_record_has_a_limit() {
        let decimal = || TypeKind::Decimal(38, 0).nullable();
        let wide = TypeKind::Row((0..100).map(|i| RowField::new(format!("f{i}"), decimal())).collect());
        let numbers = TypeKind::Map(Box::new(TypeKind::string().not_null()), Box::new(TypeKind::Int.nullable()));
        let array = |element: LogicalType| TypeKind::Array(Box::new(element)).nullable();
        let field = |value: String| format!("{{\"a\":1}}\n{{\"a\":{value}}}\n");
        type Text<'a> = &'a dyn Fn(usize) -> String;
        let cases: [(&str, LogicalType, usize, Text<'_>); 6] = [
            // An array's end has four bytes.
            ("decimals", array(decimal()), (LIMIT - 4) / 16, &|n| field(list("[", "0", n, "]"))),
            ("rows", array(wide.nullable()), (LIMIT - 4) / 1601, &|n| field(list("[", "{}", n, "]"))),
            // Each list in it has its own end.
            ("lists", array(array(TypeKind::Int.nullable())), (LIMIT - 4) / 8, &|n| field(list("[", "[1]", n, "]"))),
            // A key of one byte, its place and the value's.
            ("map", numbers.nullable(), (LIMIT - 4) / 21, &|n| field(list("{", "\"k\":1", n, "}"))),
            // As Java writes it: 1000000.0, and a comma or a bracket.
            ("text", TypeKind::string().nullable(), (LIMIT - 17) / 10, &|n| field(list("[", "1e6", n, "]"))),
            ("objects", decimal(), LIMIT / 16, &|n| format!("{{}}\n{}\n", list("[", "{\"a\":1}", n, "]"))),
        ];
        for (what, data_type, most, text) in cases {
            // A scalar is no array: the first line is left out or has a null, and a record too large is not.
            let ignore = [("json.ignore-parse-errors", "true")];
            assert_eq!(refused(data_type.clone(), &ignore, &text(most)), None, "{what}");
            let error = refused(data_type.clone(), &ignore, &text(most + 1)).unwrap_or_default();
            assert!(error.contains("(line 2)") && error.contains("have more than 1048576 bytes"), "{what}: {error}");
        }
        let text = list("{\"a\":[", "0", LIMIT / 16, "]}");
        let error = refused(array(decimal()), &[], &text).unwrap_or_default();
        assert!(error.contains("have more than 1048576 bytes") && error.len() < 1000, "{error}");
    }
}
