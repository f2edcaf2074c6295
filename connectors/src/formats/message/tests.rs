//! Messages, and a connector of them that is a queue in memory. What comes of single messages is what Apache Flink 2.3 made of them.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Decimal128Array, Int8Array, Int32Array, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::datatypes::Schema;
use wiesel_expressions::types::{RowField, TypeKind, to_arrow_schema};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::Error;

use super::*;
use crate::factory::ChangelogMode;
use crate::formats::Format;
use crate::options::{Options, ValidationError};
use crate::print::row_text;

/// Key and value of each message.
type Queue = Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>;

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn two() -> Vec<RowField> {
    vec![RowField::new("a", TypeKind::Int.nullable()), RowField::new("b", TypeKind::string().nullable())]
}

/// The rows as text, with their kinds.
fn texts(fields: &[RowField], rows: Rows) -> Vec<String> {
    let arrow = fields.iter().map(|field| field.data_type.with_nullable(true).to_arrow_field(&field.name));
    let schema = Arc::new(Schema::new(arrow.collect::<Vec<_>>()));
    let count = RecordBatchOptions::new().with_row_count(Some(rows.rows));
    let records = RecordBatch::try_new_with_options(schema, rows.columns, &count).unwrap();
    let batch = Batch { records, kinds: rows.kinds };
    let text = |row| row_text(&batch.records, row).replacen("+I", batch.kind(row).short_string(), 1);
    (0..batch.num_rows()).map(text).collect()
}

/// What becomes of one message of (a INT, b STRING).
fn one(name: &str, options: &[(&str, &str)], message: &str) -> std::result::Result<Vec<String>, String> {
    let format = Format::new(name, Options::new(&strings(options)), two()).unwrap();
    let mut schema = format.deserialization_schema(vec![0, 1]).unwrap();
    let made = schema.deserialize(message.as_bytes()).map_err(|error| error.to_string())?;
    let rows = schema.take();
    assert_eq!(rows.rows, made.rows);
    Ok(texts(&two(), rows))
}

const CSV_IGNORE: &[(&str, &str)] = &[("csv.ignore-parse-errors", "true")];
const JSON_IGNORE: &[(&str, &str)] = &[("json.ignore-parse-errors", "true")];
const TREE: (&str, &str) = ("json.decode.json-parser.enabled", "false");

#[test]
fn a_message_of_csv_is_one_row() {
    let ok = |message: &str, options: &[(&str, &str)], rows: &[&str]| {
        assert_eq!(one("csv", options, message).unwrap(), rows, "{message:?} {options:?}");
    };
    for message in ["1,x", "1,x\n", "1,x\n2,y\n", "\u{feff}1,x", "1,x\r\n"] {
        ok(message, &[], &["+I[1, x]"]);
    }
    ok("\"1\",\"x\ny\"", &[], &["+I[1, x\ny]"]);
    ok("#c\n3,c", &[("csv.allow-comments", "true")], &["+I[3, c]"]);
    for (message, rows) in [
        ("", vec![]),
        ("\n", vec!["+I[null, null]"]),
        ("1", vec!["+I[1, null]"]),
        ("1,x,z", vec![]),
        ("x,y", vec!["+I[null, y]"]),
        ("1,\"x", vec![]),
        (",", vec!["+I[null, ]"]),
    ] {
        ok(message, CSV_IGNORE, &rows);
    }
    let comments = [("csv.allow-comments", "true"), CSV_IGNORE[0]];
    ok("#c", &comments, &[]);
    for (message, words) in [
        ("", "No content to map due to end-of-input"),
        ("\n", "Row length mismatch. 2 fields expected but was 1."),
        ("1,x,z", "Too many entries: expected at most 2"),
        ("x,y", "column 'a'"),
    ] {
        let error = one("csv", &[], message).unwrap_err();
        assert!(error.contains("Failed to deserialize CSV row '") && error.contains(words), "{message:?}: {error}");
    }
}

#[test]
fn a_message_of_json_is_a_row_or_a_list_of_them() {
    let ok = |message: &str, options: &[(&str, &str)], rows: &[&str]| {
        assert_eq!(one("json", options, message).unwrap(), rows, "{message:?} {options:?}");
    };
    for options in [&[][..], &[TREE], JSON_IGNORE, &[TREE, JSON_IGNORE[0]]] {
        ok("{\"a\":1,\"b\":\"x\"}", options, &["+I[1, x]"]);
        ok("{\"a\":1,\n\"b\":\"x\"}\n", options, &["+I[1, x]"]);
        ok("[{\"a\":1},{\"b\":\"y\"}]", options, &["+I[1, null]", "+I[null, y]"]);
        ok("[]", options, &[]);
        ok("", options, &[]);
        ok("{\"a\":1} junk", options, &["+I[1, null]"]);
        ok("\u{feff}{\"a\":1}", options, &["+I[1, null]"]);
    }
    // The reader of whole trees takes what is no value for no row.
    for message in ["\n", "  ", "null"] {
        ok(message, &[TREE], &[]);
        ok(message, JSON_IGNORE, &[]);
        let error = one("json", &[], message).unwrap_err();
        assert!(error.contains("Failed to deserialize JSON '") && error.contains("No content to map"), "{error}");
    }
    ok("{\"a\":\"q\"}", JSON_IGNORE, &["+I[null, null]"]);
    ok("{\"a\":", JSON_IGNORE, &[]);
    ok("1", JSON_IGNORE, &[]);
    // Failed before: what stood behind an element that is no object was lost.
    ok("[{\"a\":1},2,{\"a\":3}]", &[TREE, JSON_IGNORE[0]], &["+I[1, null]", "+I[3, null]"]);
    assert!(one("json", &[], "[{\"a\":1},2,{\"a\":3}]").is_err());
    assert!(one("json", &[], "{\"a\":\"q\"}").unwrap_err().contains("Fail to deserialize at field: a."));
}

/// The messages of rows with an INT, a STRING and a DECIMAL(10, 2).
fn written(name: &str, options: &[(&str, &str)]) -> Vec<String> {
    let mut fields = two();
    fields.push(RowField::new("d", TypeKind::Decimal(10, 2).nullable()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None, Some(2), Some(3)])),
        Arc::new(StringViewArray::from(vec![Some("x"), None, Some("a b,\"c\nd"), Some("")])),
        Arc::new(
            Decimal128Array::from(vec![Some(10_000), None, Some(150), Some(0)])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
    ];
    let mut schema =
        Format::new(name, Options::new(&strings(options)), fields).unwrap().serialization_schema().unwrap();
    let message = |row: usize| {
        let mut out = b"before ".to_vec();
        schema.serialize(&columns, row, RowKind::Insert, &mut out).unwrap();
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    };
    (0..4).map(message).collect()
}

#[test]
fn a_row_is_one_message_without_a_line_end() {
    assert_eq!(written("csv", &[]), ["1,x,100.00", ",,", "2,\"a b,\"\"c\nd\",1.50", "3,,0.00"]);
    const SCIENTIFIC: &str = "csv.write-bigdecimal-in-scientific-notation";
    assert_eq!(written("csv", &[(SCIENTIFIC, "true")]), ["1,x,1E+2", ",,", "2,\"a b,\"\"c\nd\",1.5", "3,,0"]);
    assert_eq!(written("csv", &[(SCIENTIFIC, "false")])[0], "1,x,100.00");
    let json = [
        "{\"a\":1,\"b\":\"x\",\"d\":1E+2}",
        "{\"a\":null,\"b\":null,\"d\":null}",
        "{\"a\":2,\"b\":\"a b,\\\"c\\nd\",\"d\":1.5}",
        "{\"a\":3,\"b\":\"\",\"d\":0}",
    ];
    assert_eq!(written("json", &[]), json);
}

#[test]
fn formats_say_which_changes_they_know_and_whether_they_have_messages() {
    let none = BTreeMap::new();
    for name in ["csv", "json", "parquet"] {
        let format = Format::new(name, Options::new(&none), two()).unwrap();
        assert_eq!(format.changelog_mode(), ChangelogMode::InsertOnly);
        assert_eq!(format.serialization_schema().is_some(), name != "parquet");
        assert_eq!(format.deserialization_schema(vec![0]).is_some(), name != "parquet");
    }
}

/// (k1 INT, k2 STRING, v1 INT, v2 STRING).
fn physical() -> Vec<RowField> {
    let (int, string) = (TypeKind::Int.nullable(), TypeKind::string().nullable());
    [("k_id", int.clone()), ("k_name", string.clone()), ("n", int), ("text", string)]
        .map(|(name, data_type)| RowField::new(name, data_type))
        .into()
}

fn described(options: &[(&str, &str)]) -> std::result::Result<KeyValueFormat, ValidationError> {
    KeyValueFormat::of_source(Options::new(&strings(options)), &physical())
}

/// The source of the connector: the wanted columns of all messages, taken when so many rows wait.
fn read(options: &[(&str, &str)], wanted: &[usize], queue: &Queue, rows: usize) -> Result<Vec<String>> {
    let fields: Vec<RowField> = wanted.iter().map(|index| physical()[*index].clone()).collect();
    let mut deserializer = described(options)?.deserializer(wanted)?;
    let mut all = Vec::new();
    for (key, value) in queue {
        let before = deserializer.rows();
        let added = deserializer.deserialize(key.as_deref(), value.as_deref())?;
        assert_eq!(deserializer.rows(), before + added);
        if deserializer.rows() >= rows || deserializer.is_full() {
            all.extend(texts(&fields, deserializer.take()?));
        }
    }
    all.extend(texts(&fields, deserializer.take()?));
    Ok(all)
}

/// The sink of the connector.
fn write(options: &[(&str, &str)], batch: &Batch) -> Result<Queue> {
    let mut serializer = KeyValueFormat::of_sink(Options::new(&strings(options)), &physical())?.serializer()?;
    let mut queue = Queue::new();
    serializer.serialize(batch, |message| {
        assert_eq!(message.kind, batch.kind(message.row));
        queue.push((message.key.map(<[u8]>::to_vec), Some(message.value.to_vec())));
        Ok(())
    })?;
    Ok(queue)
}

fn rows() -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
        Arc::new(StringViewArray::from(vec![Some("x"), Some("y"), None])),
        Arc::new(Int32Array::from(vec![Some(10), None, Some(30)])),
        Arc::new(StringViewArray::from(vec![Some("ten"), None, Some("thirty")])),
    ];
    Batch::insert_only(RecordBatch::try_new(to_arrow_schema(&physical()), columns).unwrap())
}

fn messages(queue: &Queue) -> Vec<String> {
    let text =
        |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("-", |bytes| std::str::from_utf8(bytes).unwrap()).to_owned();
    queue.iter().map(|(key, value)| format!("{} {}", text(key), text(value))).collect()
}

const KEY_AND_VALUE: &[(&str, &str)] = &[
    ("key.format", "csv"),
    ("key.csv.field-delimiter", ";"),
    ("key.csv.null-literal", "null"),
    ("key.fields", "k_name;k_id"),
    ("key.fields-prefix", "k_"),
    ("value.format", "json"),
    ("value.json.encode.ignore-null-fields", "true"),
    ("value.fields-include", "EXCEPT_KEY"),
];

#[test]
fn what_is_written_to_a_queue_is_read_from_it() {
    let texts = ["+I[1, x, 10, ten]", "+I[2, y, null, null]", "+I[null, null, 30, thirty]"];
    let queue = write(KEY_AND_VALUE, &rows()).unwrap();
    let wanted = ["x;1 {\"n\":10,\"text\":\"ten\"}", "y;2 {}", "null;null {\"n\":30,\"text\":\"thirty\"}"];
    assert_eq!(messages(&queue), wanted);
    for at_once in [1, 2, 100] {
        assert_eq!(read(KEY_AND_VALUE, &[0, 1, 2, 3], &queue, at_once).unwrap(), texts);
        // Only what is wanted, in any order; of a message of which nothing is, there is still the row.
        assert_eq!(read(KEY_AND_VALUE, &[3, 0], &queue, at_once).unwrap()[..2], ["+I[ten, 1]", "+I[null, 2]"]);
        assert_eq!(read(KEY_AND_VALUE, &[], &queue, at_once).unwrap(), ["+I[]"; 3]);
    }
    // Without a key format the key is left alone.
    let plain = [("format", "json"), ("json.encode.ignore-null-fields", "true")];
    let mut queue = write(&plain, &rows()).unwrap();
    assert_eq!(messages(&queue)[1], "- {\"k_id\":2,\"k_name\":\"y\"}");
    queue[1].0 = Some(b"whatever".to_vec());
    assert_eq!(read(&plain, &[0, 1, 2, 3], &queue, 2).unwrap(), texts);
    // Where both have a column it is the value's.
    let both = [("key.format", "json"), ("key.fields", "k_id"), ("format", "json")];
    let queue = vec![(Some(b"{\"k_id\":1}".to_vec()), Some(b"{\"k_id\":2,\"n\":3}".to_vec()))];
    assert_eq!(read(&both, &[0, 2], &queue, 2).unwrap(), ["+I[2, 3]"]);
}

#[test]
fn each_row_of_a_value_comes_with_each_row_of_its_key() {
    let message = |key: Option<&str>, value: Option<&str>| {
        (key.map(|key| key.as_bytes().to_vec()), value.map(|value| value.as_bytes().to_vec()))
    };
    let options = [
        ("key.format", "json"),
        ("key.fields", "k_id"),
        ("value.format", "json"),
        ("value.fields-include", "EXCEPT_KEY"),
        ("key.json.ignore-parse-errors", "true"),
    ];
    let queue = vec![
        message(Some("{\"k_id\":1}"), Some("{\"n\":1}")),
        message(Some("[{\"k_id\":2},{\"k_id\":3}]"), Some("[{\"n\":2},{\"n\":3}]")),
        message(None, Some("{\"n\":4}")),
        message(Some("{\"k_id\":5}"), None),
        message(Some("nonsense"), Some("{\"n\":6}")),
        message(Some("{\"k_id\":7}"), Some("[]")),
        message(Some("{\"k_id\":8}"), Some("{\"n\":8}")),
    ];
    let wanted = ["+I[1, 1]", "+I[2, 2]", "+I[3, 2]", "+I[2, 3]", "+I[3, 3]", "+I[8, 8]"];
    for at_once in [1, 2, 3, 100] {
        assert_eq!(read(&options, &[0, 2], &queue, at_once).unwrap(), wanted, "{at_once}");
    }
}

/// A format whose messages are `<kind><number>` one after another: `+1-2`.
struct Changes {
    kinds: Vec<i8>,
    numbers: Vec<i32>,
}

impl DeserializationSchema for Changes {
    fn deserialize(&mut self, message: &[u8]) -> Result<Made> {
        let before = self.numbers.len();
        for change in message.chunks(2) {
            self.kinds.push(if change[0] == b'+' { RowKind::Insert } else { RowKind::Delete } as i8);
            self.numbers.push(i32::from(change[1] - b'0'));
        }
        Ok(Made { rows: self.numbers.len() - before, bytes: 4 * (self.numbers.len() - before) })
    }

    fn is_full(&self) -> bool {
        false
    }

    fn take(&mut self) -> Rows {
        let (kinds, numbers) = (std::mem::take(&mut self.kinds), std::mem::take(&mut self.numbers));
        Rows {
            rows: numbers.len(),
            columns: vec![Arc::new(Int32Array::from(numbers))],
            kinds: Some(Int8Array::from(kinds)),
        }
    }
}

#[test]
fn rows_keep_the_kinds_of_their_values() {
    let schema = || -> Box<dyn DeserializationSchema> { Box::new(Changes { kinds: Vec::new(), numbers: Vec::new() }) };
    let fields = [RowField::new("k", TypeKind::Int.nullable()), RowField::new("v", TypeKind::Int.nullable())];
    let mut alone = KeyValueDeserializer::new(None, schema(), vec![(false, 0)]);
    assert_eq!(alone.deserialize(Some(b"no"), Some(b"+1-2")).unwrap(), 2);
    assert_eq!(texts(&fields[1..], alone.take().unwrap()), ["+I[1]", "-D[2]"]);
    let mut both = KeyValueDeserializer::new(Some(schema()), schema(), vec![(true, 0), (false, 0)]);
    both.deserialize(Some(b"+1"), Some(b"-2")).unwrap();
    both.deserialize(Some(b"+3+4"), Some(b"+5-6")).unwrap();
    let wanted = ["-D[1, 2]", "+I[3, 5]", "+I[4, 5]", "-D[3, 6]", "-D[4, 6]"];
    assert_eq!(texts(&fields, both.take().unwrap()), wanted);
    assert_eq!(both.rows(), 0);
    both.deserialize(Some(b"+1"), Some(b"-2")).unwrap();
    assert_eq!(texts(&fields, both.take().unwrap()), ["-D[1, 2]"]);
}

#[test]
fn a_message_has_at_most_so_many_pairs_of_rows() {
    let list = |open: &str, count: usize| format!("[{}]", vec![open; count].join(",")).into_bytes();
    let options =
        [("key.format", "json"), ("key.fields", "k_id"), ("format", "json"), ("value.fields-include", "EXCEPT_KEY")];
    let mut deserializer = described(&options).unwrap().deserializer(&[]).unwrap();
    let (key, value) = (list("{}", 1 << 17), list("{}", 1 << 17));
    let error = deserializer.deserialize(Some(&key), Some(&value)).unwrap_err();
    assert!(matches!(error, Error::Data { .. }), "{error}");
    assert!(
        error.to_string().contains("131072 rows in its key and 131072 in its value would be 17179869184 rows"),
        "{error}"
    );
}

#[test]
fn options_of_key_and_value_are_checked_in_the_words_of_flink() {
    let refused = |options: &[(&str, &str)]| described(options).map_or_else(|error| error.0, |_| String::new());
    let key = ("key.format", "csv");
    let value = ("value.format", "json");
    for (options, words) in [
        (vec![], "Could not find required scan format 'value.format'."),
        (vec![key, ("key.fields", "k_id")], "Could not find required scan format 'value.format'."),
        (
            vec![value, ("key.fields", "k_id")],
            "The option 'key.fields' can only be declared if a key format is defined using 'key.format'.",
        ),
        (
            vec![key, value],
            "A key format 'key.format' requires the declaration of one or more of key fields using 'key.fields'.",
        ),
        (
            vec![key, value, ("key.fields", "k_id;x")],
            "Could not find the field 'x' in the table schema for usage in the key format. A key field must be a regular, physical \
             column. The following columns can be selected in the 'key.fields' option:\n[k_id, k_name, n, text]",
        ),
        (
            vec![
                key,
                value,
                ("key.fields", "k_id;n"),
                ("key.fields-prefix", "k_"),
                ("value.fields-include", "EXCEPT_KEY"),
            ],
            "All fields in 'key.fields' must be prefixed with 'k_' when option 'key.fields-prefix' is set but field 'n' is not prefixed.",
        ),
        (
            vec![key, value, ("key.fields", "k_id"), ("key.fields-prefix", "k_")],
            "A key prefix is not allowed when option 'value.fields-include' is set to 'ALL'. Set it to 'EXCEPT_KEY' instead to avoid \
             field overlaps.",
        ),
        (vec![value, ("value.fields-include", "some")], "Could not parse value 'some' for key 'value.fields-include'"),
        (vec![("format", "parquet")], "Could not find any factory for identifier 'parquet' that implements"),
        (vec![("format", "jsn")], "Could not find any format factory for identifier 'jsn'"),
        (
            vec![value, ("value.json.ignore-parse-errors", "x")],
            "Could not parse value 'x' for key 'json.ignore-parse-errors'",
        ),
        (vec![value, ("json.ignore-parse-errors", "x")], ""),
        (vec![value, ("value.fields-include", "except_key")], ""),
    ] {
        let found = refused(&options);
        assert!(found.starts_with(words) && found.is_empty() == words.is_empty(), "{options:?}: {found}");
    }
    let error = KeyValueFormat::of_sink(Options::new(&BTreeMap::new()), &physical()).unwrap_err();
    assert_eq!(error.0, "Could not find required sink format 'value.format'.");
    assert_eq!(described(KEY_AND_VALUE).unwrap().changelog_mode(), ChangelogMode::InsertOnly);
    let known = KeyValueFormat::options(Options::new(&strings(KEY_AND_VALUE)));
    assert_eq!(known[6..], ["key.csv.*", "value.json.*"]);
    assert!(Options::new(&strings(KEY_AND_VALUE)).allow_only("queue", &known).is_ok());
}
