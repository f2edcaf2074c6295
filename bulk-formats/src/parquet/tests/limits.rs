//! What a file announces and does not hold.
use std::os::unix::fs::FileExt;

use arrow::array::{Int32Array, ListArray, StringViewArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;

use super::*;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a struct, of the type I32, so far behind the one before.
fn integer(delta: u8, value: i64) -> Vec<u8> {
    [vec![delta << 4 | 5], varint(((value << 1) ^ (value >> 63)) as u64)].concat()
}

/// A page's header; `inner`: the field of its kind, from the third on, and that one's fields.
fn header(kind: i64, unpacked: i64, packed: i64, inner: u8, fields: &[i64]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|value| integer(1, *value)).collect();
    [integer(1, kind), integer(1, unpacked), integer(1, packed), vec![(inner - 3) << 4 | 12], fields, vec![0, 0]]
        .concat()
}

fn data_page(unpacked: i64, packed: i64, values: i64) -> Vec<u8> {
    header(0, unpacked, packed, 5, &[values, 0, 3, 3])
}

fn error_of(format: &ParquetFormat, file: &File) -> String {
    opened(format, file, &[0], 0..u64::MAX, 0).err().unwrap().to_string()
}

/// Failed before: so much was set aside as the header says, up to 2 GiB a page, before the page was looked at.
#[test]
fn pages_that_announce_more_than_they_hold_are_refused() {
    const VALUES: i64 = 10_000;
    let columns = vec![RowField::new("i", TypeKind::Int.nullable())];
    let values = Int32Array::from_iter_values(0..VALUES as i32);
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(values)]).unwrap();
    let refused = |codec: &str, header: &[u8]| {
        let format = format(&columns, &[("parquet.compression", codec), ("parquet.enable.dictionary", "false")]);
        let file = write(&format, std::slice::from_ref(&rows), 1);
        assert_eq!(whole(&read(&format, &file, 0..u64::MAX, 0), &columns), rows);
        let start = SerializedFileReader::new(file.try_clone().unwrap()).unwrap();
        let start = start.metadata().row_group(0).column(0).byte_range().0;
        file.write_all_at(header, start).unwrap();
        let error = error_of(&format, &file);
        assert!(error.contains("column 'i'") && error.contains(&format!("page at byte {start}")), "{error}");
        error
    };
    let check = |codec: &str, header: &[u8], why: &str| {
        let error = refused(codec, header);
        assert!(error.contains(why), "{codec}: expected `{why}`: {error}");
    };
    let longest = i64::from(i32::MAX);
    let v2 = header(3, longest, 10, 8, &[1, 0, 1, 0, 0, 0]);
    let dictionary = header(2, longest, 10, 7, &[1, 0]);
    for codec in ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZ4", "LZ4_RAW", "ZSTD"] {
        for header in [&data_page(longest, 10, 1), &v2, &dictionary] {
            check(codec, header, "10 bytes, 2147483647 unpacked: at most 268435456 are read");
        }
    }
    for codec in ["SNAPPY", "GZIP", "LZ4", "LZ4_RAW", "ZSTD"] {
        check(codec, &data_page(200 << 20, 10, 1), "packs at most");
    }
    check("SNAPPY", &data_page(10, longest, 1), "the column has");
    check("SNAPPY", &data_page(-1, 10, 1), "a size or a count is -1");
    check("SNAPPY", &data_page(10, 10, longest), "says 2147483647 values with those before it: the column has 10000");
    check("SNAPPY", &header(2, 100, 100, 7, &[1000, 0]), "says 1000 values in 100 bytes: they take 4000");
}

/// Failed before: room was made for a million million lengths, and the process ended where there was none.
#[test]
fn pages_whose_encoding_announces_more_values_than_their_header_are_refused() {
    let columns = vec![RowField::new("s", TypeKind::string().not_null())];
    let texts = StringViewArray::from_iter_values((0..5000).map(|row| format!("text {row}")));
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(texts)]).unwrap();
    let format = format(&columns, &[("parquet.compression", "UNCOMPRESSED"), ("parquet.enable.dictionary", "false")]);
    // Blocks of 128 in 4 parts, so many lengths, and the first of them.
    let lengths = |count: u64| [varint(128), varint(4), varint(count), vec![0]].concat();
    const DELTA_LENGTH: i64 = 6;
    const DELTA: i64 = 7;
    for (encoding, body) in [(DELTA_LENGTH, lengths(1 << 40)), (DELTA, [lengths(1), lengths(1 << 40)].concat())] {
        let file = write(&format, std::slice::from_ref(&rows), 1);
        let reader = SerializedFileReader::new(file.try_clone().unwrap()).unwrap();
        let (start, length) = reader.metadata().row_group(0).column(0).byte_range();
        // One page as long as the column.
        let page = |packed: i64| header(0, packed, packed, 5, &[5000, encoding, 3, 3]);
        let packed = length as i64 - page(length as i64).len() as i64;
        assert_eq!(page(packed).len() as i64 + packed, length as i64);
        file.write_all_at(&[page(packed), body].concat(), start).unwrap();
        let error = error_of(&format, &file);
        assert!(error.contains("column 's'"), "{error}");
        assert!(error.contains("the lengths of 1099511627776 texts: its header says 5000 values"), "{error}");
    }
}

/// Failed before: as many rows as were asked for came at once, each with a copy of the text.
#[test]
fn a_long_text_of_a_dictionary_is_not_repeated_in_many_rows_at_once() {
    let columns = vec![RowField::new("s", text())];
    let long = "x".repeat(4 << 20);
    let texts = StringViewArray::from_iter_values((0..3000).map(|row| if row == 0 { long.as_str() } else { "short" }));
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(texts)]).unwrap();
    let format = format(&columns, &[("parquet.dictionary.page.size", "16777216")]);
    let found = read(&format, &write(&format, std::slice::from_ref(&rows), 1), 0..u64::MAX, 0);
    assert_eq!(found[0].num_rows(), 64, "256 MiB by 4 MiB");
    assert_eq!(whole(&found, &columns), rows);
}

/// A footer behind what is before one.
fn assembled(before: &[u8], footer: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    let length = (footer.len() as u32).to_le_bytes();
    file.write_all_at(&[before, footer, &length, b"PAR1"].concat(), 0).unwrap();
    file
}

/// A footer and nothing else.
fn with_footer(footer: &[u8]) -> File {
    assembled(b"PAR1", footer)
}

/// What is before the footer of a file, and the footer.
fn taken_apart(file: &File) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let tail = bytes.split_off(bytes.len() - 8);
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    let footer = bytes.split_off(bytes.len() - length as usize);
    (bytes, footer)
}

/// Failed before: 2.9 GB were set aside for the elements of a schema that a file of 3 KB announces, and a schema was followed as deep
/// as the stack goes, and deeper.
#[test]
fn footers_that_announce_more_than_they_hold_are_refused() {
    let format = format(&[RowField::new("i", TypeKind::Int.nullable())], &[]);
    let check = |footer: &[u8], why: &str| {
        let error = error_of(&format, &with_footer(footer));
        assert!(error.contains("the footer is refused") && error.contains(why), "expected `{why}`: {error}");
    };
    let version = integer(1, 1);
    let list = |field: u8, count: u64| [vec![field << 4 | 9, 0xfc], varint(count)].concat();
    let group = |children: i64| [vec![0x48, 1, b'a'], integer(1, children), vec![0]].concat();
    // Schema, row groups, properties, orders of columns, and one that nobody knows.
    for field in [1, 3, 4, 6, 7] {
        check(&[version.clone(), list(field, 30_132_267)].concat(), "30132267 elements: at most 1000000");
        check(&[version.clone(), list(field, 900_000)].concat(), "announces 900000 bytes or elements");
    }
    // The library takes the bytes of a number for a list.
    check(&[version.clone(), vec![0x15, 0xf2, 0xab, 0x90, 0xaf, 0x0e]].concat(), "field 2 has the type 5");
    check(&[version.clone(), list(1, 1), group(900_000), vec![0]].concat(), "announces 900000 fields and has 1");
    check(&[version.clone(), list(1, 1), group(-1), vec![0]].concat(), "a size or a count is -1");
    check(&[version, list(1, 5000), group(1).repeat(5000), vec![0]].concat(), "nested deeper than 100");
    let file = with_footer(&[]);
    file.write_all_at(&1000u32.to_le_bytes(), 4).unwrap();
    let error = error_of(&format, &file);
    assert!(error.contains("would have 1000 bytes, the file has 12"), "{error}");
    // What was found by changing a file at random.
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(include_bytes!("../../../../fuzz/corpus/parquet/long_schema"), 0).unwrap();
    let error = error_of(&format, &file);
    assert!(error.contains("the footer is refused"), "{error}");
}

#[test]
fn a_column_that_does_not_lie_in_the_file_is_refused() {
    let columns = vec![RowField::new("i", TypeKind::Int.nullable())];
    let format = format(&columns, &[]);
    let whole = write(&format, &[random(&columns, 2000)], 1);
    // The footer alone: it tells of what is cut off.
    let (_, footer) = taken_apart(&whole);
    let error = error_of(&format, &with_footer(&footer));
    assert!(error.contains("column 'i'") && error.contains("do not lie in the file"), "{error}");
}

/// A file of one column and one row group whose footer says other numbers of rows.
fn with_rows(file: &File, is: i64, of_file: i64, of_group: i64) -> File {
    // A field of the type I64, behind the one before it.
    let said = |rows: i64| [vec![0x16], varint(((rows << 1) ^ (rows >> 63)) as u64)].concat();
    let (before, footer) = taken_apart(file);
    let places: Vec<usize> = (0..footer.len()).filter(|at| footer[*at..].starts_with(&said(is))).collect();
    // Between those of the file and of the row group stand the values of a flat column.
    let [first, .., last] = places[..] else { panic!("{is} rows stand at {places:?}") };
    let behind = said(is).len();
    let (all, group) = (said(of_file), said(of_group));
    let footer = [&footer[..first], &all, &footer[first + behind..last], &group, &footer[last + behind..]].concat();
    assembled(&before, &footer)
}

/// Rows of a list of so many elements.
fn lists(rows: usize, elements: usize) -> (Vec<RowField>, RecordBatch) {
    let columns = vec![RowField::new("l", TypeKind::Array(Box::new(TypeKind::Int.not_null())).not_null())];
    let DataType::List(element) = columns[0].data_type.kind.to_arrow() else { panic!("a list") };
    let numbers = Arc::new(Int32Array::from_iter_values(0..(rows * elements) as i32));
    let lists = ListArray::new(element, OffsetBuffer::from_lengths(vec![elements; rows]), numbers, None);
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(lists)]).unwrap();
    (columns, rows)
}

/// Failed before: where no column was read the rows were taken from the footer, up to 2^63 of them; of a file that says 0 rows all
/// were lost; and a column that ended too soon went on with the rows of the next row group.
#[test]
fn rows_that_the_columns_do_not_have_are_refused() {
    const ROWS: i64 = 5000;
    let flat = vec![RowField::new("i", TypeKind::Int.nullable())];
    let numbers = Arc::new(Int32Array::from_iter_values(0..ROWS as i32));
    let numbers = RecordBatch::try_new(to_arrow_schema(&flat), vec![numbers]).unwrap();
    let missing = format(&[RowField::new("missing", text())], &[]);
    // A list of one element each has as many values as rows.
    for (columns, rows) in [(flat, numbers), lists(ROWS as usize, 1)] {
        for version in ["v1", "v2"] {
            let format = format(&columns, &[("parquet.writer.version", version)]);
            let file = write(&format, std::slice::from_ref(&rows), 1);
            let refused = |of_file: i64, of_group: i64, why: &str| {
                let file = with_rows(&file, ROWS, of_file, of_group);
                let ways: [(&ParquetFormat, &[usize]); 3] = [(&format, &[0]), (&format, &[]), (&missing, &[0])];
                for (format, wanted) in ways {
                    let error = opened(format, &file, wanted, 0..u64::MAX, 0).err();
                    let error = error.map(|error| error.to_string()).unwrap_or_default();
                    assert!(error.contains(why), "{version}, {columns:?}: expected `{why}`: {error}");
                }
            };
            for rows in [ROWS + 1, 1 << 40, i64::MAX, -1] {
                refused(rows, rows, &format!("its pages have 5000 values: the row group says {rows} rows"));
            }
            refused(0, ROWS, "the footer is refused: it says 0 rows, and its row groups say 5000");
            refused(ROWS, ROWS + 1, "the footer is refused: it says 5000 rows, and its row groups say 5001");
            if columns[0].name == "i" {
                refused(ROWS - 1, ROWS - 1, "its pages have 5000 values: the row group says 4999 rows");
            }
            // What is refused is the numbers alone.
            let same = with_rows(&file, ROWS, ROWS, ROWS);
            assert_eq!(whole(&read(&format, &same, 0..u64::MAX, 0), &columns), rows);
        }
    }
    // A file of Flink's with one row, which says 2^40.
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(include_bytes!("../../../../fuzz/corpus/parquet/endless_rows"), 0).unwrap();
    let error = error_of(&missing, &file);
    assert!(error.contains("the row group says 1099511627776 rows"), "{error}");
}

#[test]
fn long_pages_and_dictionaries_are_read_in_every_version_and_codec() {
    let columns = vec![RowField::new("s", text()), RowField::new("n", text())];
    let long = "x".repeat(4 << 20);
    // One dictionary has all of them, where there is one.
    let texts: Vec<Option<String>> = (0..2000)
        .map(|row| match row {
            1000 => Some(long.clone()),
            row if row % 7 == 0 => None,
            row if row % 2 == 0 => Some("the same".to_owned()),
            row => Some(format!("{row:0>300}")),
        })
        .collect();
    let nulls = StringViewArray::new_null(texts.len());
    let texts = StringViewArray::from_iter(texts);
    let arrays: Vec<arrow::array::ArrayRef> = vec![Arc::new(texts), Arc::new(nulls)];
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), arrays).unwrap();
    for codec in ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZ4", "LZ4_RAW", "ZSTD"] {
        for version in ["v1", "v2"] {
            for dictionary in ["true", "false"] {
                let pairs = [
                    ("parquet.compression", codec),
                    ("parquet.writer.version", version),
                    ("parquet.enable.dictionary", dictionary),
                    ("parquet.page.size", "8388608"),
                    ("parquet.dictionary.page.size", "16777216"),
                ];
                let format = format(&columns, &pairs);
                let file = write(&format, std::slice::from_ref(&rows), 1);
                assert_eq!(whole(&read(&format, &file, 0..u64::MAX, 0), &columns), rows, "{pairs:?}");
            }
        }
    }
}

/// Failed before: as many rows came as the lists have.
#[test]
fn lists_that_have_other_rows_than_their_row_group_are_an_error() {
    let (columns, rows) = lists(1000, 2);
    let format = format(&columns, &[]);
    let file = write(&format, std::slice::from_ref(&rows), 1);
    for said in [999, 1001] {
        let file = with_rows(&file, 1000, said, said);
        let mut reader = opened(&format, &file, &[0], 0..u64::MAX, 0).unwrap();
        let error = std::iter::from_fn(|| reader.next_batch().transpose()).find_map(|batch| batch.err());
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("the file is damaged"), "{said}: {error}");
    }
}

/// A file of lists in one page of version 2, without a dictionary, and where so many bytes are in it.
fn with_lists(elements: usize, bytes: &[u8]) -> (ParquetFormat, RecordBatch, File, u64) {
    let (columns, rows) = lists(1000, elements);
    let pairs = [
        ("parquet.writer.version", "v2"),
        ("parquet.compression", "UNCOMPRESSED"),
        ("parquet.enable.dictionary", "false"),
    ];
    let format = format(&columns, &pairs);
    let file = write(&format, std::slice::from_ref(&rows), 1);
    let (before, _) = taken_apart(&file);
    let at = before.windows(bytes.len()).position(|window| window == bytes).unwrap();
    (format, rows, file, at as u64)
}

/// Failed before: the rest of the row became a row of its own, and all rows behind it came beside others of other columns.
#[test]
fn pages_that_begin_within_a_row_are_refused() {
    // The repetition levels of lists of two: 0, 1, 0, 1, ... from the lowest bit on.
    let (format, rows, file, levels) = with_lists(2, &[0xaa; 16]);
    assert_eq!(whole(&read(&format, &file, 0..u64::MAX, 0), &format.options.columns), rows);
    file.write_all_at(&[0xab], levels).unwrap();
    let error = error_of(&format, &file);
    assert!(error.contains("column 'l") && error.contains("begins within a row"), "{error}");
}

/// Failed before: behind a position, a page was left out by the rows that its header says. Apache Arrow before version 12 says the
/// values of lists there.
#[test]
fn rows_are_not_lost_behind_a_position_where_pages_say_others() {
    // Values, nulls and rows.
    let (format, rows, file, header) = with_lists(2, &[integer(1, 2000), integer(1, 0), integer(1, 1000)].concat());
    file.write_all_at(&[integer(1, 2000), integer(1, 0), integer(1, 500)].concat(), header).unwrap();
    for skip in [0, 1, 500, 999, 1000] {
        let found = whole(&read(&format, &file, 0..u64::MAX, skip), &format.options.columns);
        assert_eq!(found, rows.slice(skip as usize, 1000 - skip as usize), "after {skip} rows");
    }
}
