//! Messages: any key and value are rows or an error.
use std::collections::BTreeMap;
use std::path::Path;

use wiesel_connectors::formats::message::KeyValueFormat;
use wiesel_connectors::options::Options;
use wiesel_expressions::expression::ROW_BYTES;
use wiesel_expressions::types::RowField;
use wiesel_fuzz::{Target, corpus};
use wiesel_operators::operator::Result;

use super::planned::source;

const COLUMNS: &str = "k_a INT, k_c STRING, b BIGINT, d DECIMAL(10, 2), e TIMESTAMP(3), j BYTES, k ROW<x INT, y STRING>, \
                       l ARRAY<STRING>";

/// Options of tables beside each other; a key and a value are read as one of them.
const TABLES: [&[(&str, &str)]; 3] = [
    &[
        ("key.format", "csv"),
        ("key.fields", "k_c;k_a"),
        ("key.fields-prefix", "k_"),
        ("value.format", "json"),
        ("value.fields-include", "EXCEPT_KEY"),
    ],
    &[
        ("key.format", "json"),
        ("key.fields", "k_a"),
        ("key.json.ignore-parse-errors", "true"),
        ("format", "json"),
        ("json.ignore-parse-errors", "true"),
        ("json.decode.json-parser.enabled", "false"),
    ],
    &[("format", "csv"), ("csv.ignore-parse-errors", "true"), ("csv.allow-comments", "true")],
];

/// How many rows a key and a value are, told twice so that both messages are in a batch.
fn read(format: &KeyValueFormat, columns: usize, key: &[u8], value: &[u8]) -> Result<usize> {
    let wanted: Vec<usize> = (0..columns).rev().collect();
    let mut deserializer = format.deserializer(&wanted)?;
    let first = deserializer.deserialize(Some(key), Some(value))?;
    let second = deserializer.deserialize(Some(key), Some(value))?;
    let rows = deserializer.take()?;
    assert_eq!((first, first + second), (second, rows.rows));
    assert!(rows.columns.len() == columns && rows.columns.iter().all(|column| column.len() == rows.rows));
    Ok(rows.rows)
}

#[test]
fn messages() {
    let schema = source(COLUMNS, "'connector' = 'filesystem', 'path' = '/t', 'format' = 'json'").physical.unwrap();
    let physical: Vec<RowField> = schema.fields.iter().map(|field| RowField::try_from(field).unwrap()).collect();
    let formats = TABLES.map(|options| {
        let options: BTreeMap<String, String> =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        KeyValueFormat::of_source(Options::new(&options), &physical).unwrap()
    });
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sql/data");
    let mut seeds = corpus(&data, ".csv");
    seeds.extend(corpus(&data, ".json"));
    seeds.retain(|file| file.len() < 4 << 10);
    seeds.push(b"{\"k_a\":1}\0[{\"b\":2,\"l\":[\"x\"]},{\"b\":3,\"k\":{\"x\":4}}]".to_vec());
    seeds.push(b"c;1\0{\"b\":2}".to_vec());
    let words = &["{", "}", "[", "]", ",", ";", "\"", "null", "{},", "\"k_a\":1", "\0", "\u{feff}", "#", "\n"];
    // Each row of a key comes with each of its value: up to what one message may be, and there are two.
    let target = Target {
        inputs: 2000,
        longest: 8 << 10,
        memory: 2 * ROW_BYTES + (256 << 20),
        words,
        ..Target::new("messages")
    };
    target.run(seeds, move |input| {
        let format = &formats[crc32c::crc32c(input) as usize % formats.len()];
        let at = input.iter().position(|byte| *byte == 0).unwrap_or(0);
        let (key, value) = input.split_at(at);
        read(format, physical.len(), key, value.strip_prefix(b"\0").unwrap_or(value)).is_ok_and(|rows| rows > 0)
    });
}
