use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::printer::print_schema;
use arrow::array::RecordBatch;
use wiesel_expressions::types::{LogicalType, TypeKind, to_arrow_schema};

use super::*;
use crate::testing::{configuration, rows_of};

mod limits;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn closed(columns: &[RowField], pairs: &[(&str, &str)]) -> ParquetFormat {
    let (identifier, columns) = ("parquet".to_owned(), columns.to_vec());
    ParquetFormat::new(&BulkFormatSpec { identifier, options: options(pairs), columns }).unwrap()
}

fn format(columns: &[RowField], pairs: &[(&str, &str)]) -> ParquetFormat {
    let mut format = closed(columns, pairs);
    format.open(&configuration()).unwrap();
    format
}

/// A reader of a file that several read.
fn opened(
    format: &ParquetFormat,
    file: &File,
    wanted: &[usize],
    range: Range<u64>,
    skip: u64,
) -> Result<Box<dyn BulkReader>> {
    format.reader(Arc::new(file.try_clone().unwrap()), wanted, range, skip, 100)
}

/// Before, it was the zone of whichever process wrote or read the file, and two could have two.
#[test]
fn the_zone_is_the_clusters_unless_it_is_utc() {
    let cluster: Configuration =
        [("$internal.cluster.time-zone".to_owned(), "Asia/Tokyo".to_owned())].into_iter().collect();
    let columns = [RowField::new("a", TypeKind::Int.nullable())];
    let zone = |pairs: &[(&str, &str)], configuration: &Configuration| {
        let mut format = closed(&columns, pairs);
        format.open(configuration).and_then(|()| format.zone()).map_err(|error| error.to_string())
    };
    assert_eq!(zone(&[], &cluster), Zone::parse("Asia/Tokyo"));
    let utc = [("parquet.utc-timezone", "true")];
    assert_eq!(zone(&utc, &cluster), Ok(Zone::UTC));
    assert_eq!(zone(&utc, &Configuration::default()), Ok(Zone::UTC));
    let error = zone(&[], &Configuration::default()).unwrap_err();
    assert!(error.contains("$internal.cluster.time-zone"), "{error}");
}

/// A file that Apache Flink 2.3 wrote.
fn written_by_flink(name: &str) -> File {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/sql/data/parquet").join(name).join("part-0");
    File::open(path).unwrap()
}

fn schema_of(file: File) -> String {
    let reader = SerializedFileReader::new(file).unwrap();
    let mut text = Vec::new();
    print_schema(&mut text, reader.metadata().file_metadata().schema());
    String::from_utf8(text).unwrap()
}

fn text() -> LogicalType {
    TypeKind::string().nullable()
}

fn timestamp(precision: u8) -> LogicalType {
    TypeKind::Timestamp(precision, Default::default()).nullable()
}

/// The columns of the file `types`.
fn all_types() -> Vec<RowField> {
    let int = || TypeKind::Int.nullable();
    let row = TypeKind::Row(vec![RowField::new("x", int()), RowField::new("y", text())]);
    let columns = [
        ("b", TypeKind::Boolean.nullable()),
        ("t", TypeKind::Tinyint.nullable()),
        ("sm", TypeKind::Smallint.nullable()),
        ("i", int()),
        ("l", TypeKind::Bigint.nullable()),
        ("f", TypeKind::Float.nullable()),
        ("d", TypeKind::Double.nullable()),
        ("dec1", TypeKind::Decimal(9, 2).nullable()),
        ("dec2", TypeKind::Decimal(18, 4).nullable()),
        ("dec3", TypeKind::Decimal(30, 10).nullable()),
        ("s", text()),
        ("c", TypeKind::Char(3).nullable()),
        ("byt", TypeKind::bytes().nullable()),
        ("da", TypeKind::Date.nullable()),
        ("ti", TypeKind::Time(0).nullable()),
        ("ts3", timestamp(3)),
        ("ts6", timestamp(6)),
        ("ts9", timestamp(9)),
        ("tz", TypeKind::TimestampLtz(3, Default::default()).nullable()),
        ("ar", TypeKind::Array(Box::new(int())).nullable()),
        ("ro", row.nullable()),
        ("ma", TypeKind::Map(Box::new(text()), Box::new(int())).nullable()),
    ];
    columns.map(|(name, data_type)| RowField::new(name, data_type)).to_vec()
}

fn nested() -> Vec<RowField> {
    let rows = |name: &str, data_type| TypeKind::Row(vec![RowField::new(name, data_type)]).nullable();
    let list = TypeKind::Array(Box::new(rows("q", TypeKind::Int.nullable()))).nullable();
    let map = TypeKind::Map(Box::new(TypeKind::Int.nullable()), Box::new(rows("r", text()))).nullable();
    let both = TypeKind::Row(vec![RowField::new("p", list), RowField::new("m", map)]);
    vec![
        RowField::new("a", TypeKind::Int.nullable()),
        RowField::new("ts6", timestamp(6)),
        RowField::new("ts9", timestamp(9)),
        RowField::new("n", both.nullable()),
    ]
}

#[test]
fn types_are_mapped_as_flink_maps_them() {
    let ours = |columns: &[RowField], pairs: &[(&str, &str)]| {
        let mut text = Vec::new();
        print_schema(&mut text, &format(columns, pairs).root);
        String::from_utf8(text).unwrap()
    };
    assert_eq!(ours(&all_types(), &[]), schema_of(written_by_flink("types")));
    let micros = [("parquet.write.int64.timestamp", "true"), ("parquet.timestamp.time.unit", "micros")];
    assert_eq!(ours(&nested(), &micros), schema_of(written_by_flink("nested")));
}

/// Rows of random values.
fn random(columns: &[RowField], rows: usize) -> RecordBatch {
    let mut fields: BTreeMap<String, String> = options(&[("connector", "datagen"), ("rows-per-second", "1000000000")]);
    fields.insert("number-of-rows".into(), rows.to_string());
    for column in columns {
        let can_be_null = !matches!(
            column.data_type.kind,
            TypeKind::Binary(_) | TypeKind::Varbinary(_) | TypeKind::Date | TypeKind::Time(_)
        );
        if can_be_null {
            fields.insert(format!("fields.{}.null-rate", column.name), "0.3".into());
        }
    }
    let spec = wiesel_proto::SourceSpec {
        connector: "datagen".into(),
        options: fields.into_iter().collect(),
        table: "t".into(),
        physical: Some(wiesel_proto::Schema { fields: columns.iter().map(wiesel_proto::Field::from).collect() }),
        projection: (0..columns.len() as u32).map(|index| wiesel_proto::FieldPath { indexes: vec![index] }).collect(),
        ..Default::default()
    };
    whole(&rows_of(&spec), columns)
}

fn write(format: &ParquetFormat, batches: &[RecordBatch], groups: usize) -> File {
    let file = tempfile::tempfile().unwrap();
    let mut writer = format.writer(&file).unwrap();
    for batch in batches {
        for group in 0..groups {
            let (from, to) = (batch.num_rows() * group / groups, batch.num_rows() * (group + 1) / groups);
            writer.write(batch.slice(from, to - from).columns()).unwrap();
            writer.spill().unwrap();
        }
    }
    writer.finish().unwrap();
    file
}

fn read(format: &ParquetFormat, file: &File, range: Range<u64>, skip: u64) -> Vec<RecordBatch> {
    let wanted: Vec<usize> = (0..format.options.columns.len()).collect();
    let mut reader = opened(format, file, &wanted, range, skip).unwrap();
    let mut batches = Vec::new();
    while let Some((columns, rows)) = reader.next_batch().unwrap() {
        let batch = RecordBatch::try_new(to_arrow_schema(&format.options.columns), columns).unwrap();
        assert_eq!(batch.num_rows(), rows);
        batches.push(batch);
    }
    batches
}

fn whole(batches: &[RecordBatch], columns: &[RowField]) -> RecordBatch {
    arrow::compute::concat_batches(&to_arrow_schema(columns), batches).unwrap()
}

#[test]
fn what_is_written_is_read_in_every_type() {
    for columns in [all_types(), nested()] {
        for pairs in [
            &[("parquet.compression", "GZIP")][..],
            &[("parquet.write.int64.timestamp", "true"), ("parquet.timestamp.time.unit", "nanos")],
            &[
                ("parquet.compression", "ZSTD"),
                ("parquet.enable.dictionary", "false"),
                ("parquet.utc-timezone", "true"),
            ],
        ] {
            let format = format(&columns, pairs);
            let rows = random(&columns, 1000);
            let file = write(&format, std::slice::from_ref(&rows), 3);
            let found = whole(&read(&format, &file, 0..u64::MAX, 0), &columns);
            assert_eq!(found, rows, "{pairs:?}");
        }
    }
}

#[test]
fn parts_of_a_file_and_positions_in_them_hold_every_row_once() {
    let columns = vec![RowField::new("a", TypeKind::Bigint.nullable()), RowField::new("s", text())];
    let format = format(&columns, &[]);
    let rows = random(&columns, 2000);
    let file = write(&format, std::slice::from_ref(&rows), 7);
    let length = file.metadata().unwrap().len();
    for parts in [1, 2, 5, 50] {
        let part = |n: u64| if n == parts { u64::MAX } else { length * n / parts };
        let mut found = Vec::new();
        for n in 0..parts {
            found.extend(read(&format, &file, part(n)..part(n + 1), 0));
        }
        assert_eq!(whole(&found, &columns), rows, "{parts} parts");
    }
    for skip in [0, 1, 285, 286, 1999, 2000] {
        let found = whole(&read(&format, &file, 0..u64::MAX, skip), &columns);
        assert_eq!(found, rows.slice(skip as usize, 2000 - skip as usize), "after {skip} rows");
    }
}

/// How many rows a reader finds in a range behind the first ones, where all of its columns are null.
fn count(table: &ParquetFormat, file: &File, wanted: &[usize], range: Range<u64>, skip: u64) -> u64 {
    let mut reader = opened(table, file, wanted, range, skip).unwrap();
    let mut found = 0;
    while let Some((columns, rows)) = reader.next_batch().unwrap() {
        assert!(columns.len() == wanted.len() && columns.iter().all(|column| column.null_count() == rows));
        found += rows as u64;
    }
    found
}

#[test]
fn rows_are_counted_where_no_column_of_the_file_is_read() {
    let list = vec![RowField::new("l", TypeKind::Array(Box::new(TypeKind::Int.nullable())).nullable())];
    let missing = format(&[RowField::new("missing", text())], &[]);
    for columns in [all_types(), nested(), list] {
        for version in ["v1", "v2"] {
            let format = format(&columns, &[("parquet.writer.version", version)]);
            let file = write(&format, &[random(&columns, 1000)], 3);
            let length = file.metadata().unwrap().len();
            let tables: [(&ParquetFormat, &[usize]); 2] = [(&format, &[]), (&missing, &[0])];
            for (table, wanted) in tables {
                for skip in [0, 1, 333, 334, 999, 1000] {
                    assert_eq!(count(table, &file, wanted, 0..u64::MAX, skip), 1000 - skip, "after {skip} rows");
                }
                for parts in [2, 5] {
                    let part = |n: u64| if n == parts { u64::MAX } else { length * n / parts };
                    let rows = (0..parts).map(|n| count(table, &file, wanted, part(n)..part(n + 1), 0));
                    assert_eq!(rows.sum::<u64>(), 1000, "{parts} parts");
                }
            }
            // Few rows, and none.
            for rows in [7, 0] {
                let few = write(&format, &[random(&columns, 1000).slice(0, rows)], 3);
                for skip in 0..=rows as u64 {
                    assert_eq!(count(&format, &few, &[], 0..u64::MAX, skip), rows as u64 - skip, "after {skip} rows");
                }
            }
        }
    }
}

/// Before, a batch had 8192 rows, however long.
#[test]
fn long_rows_make_batches_of_few() {
    let columns = vec![RowField::new("s", text())];
    let format = format(&columns, &[]);
    let texts = (0..40).map(|row| Some(format!("{row:04}{}", "x".repeat(1 << 20))));
    let texts: arrow::array::ArrayRef = Arc::new(texts.collect::<arrow::array::StringViewArray>());
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![texts]).unwrap();
    let file = write(&format, std::slice::from_ref(&rows), 1);
    let found = read(&format, &file, 0..u64::MAX, 0);
    assert!(found.iter().all(|batch| batch.num_rows() <= 16), "{}", found.len());
    assert_eq!(whole(&found, &columns), rows);
}

#[test]
fn columns_are_found_by_name_and_those_that_are_missing_are_null() {
    let file = format(&all_types(), &[]);
    let wanted = vec![
        RowField::new("new", text()),
        RowField::new("l", TypeKind::Bigint.nullable()),
        RowField::new("i", TypeKind::Bigint.nullable()),
    ];
    let table = format(&wanted, &[]);
    let rows = random(&all_types(), 10);
    let found = whole(&read(&table, &write(&file, std::slice::from_ref(&rows), 1), 0..u64::MAX, 0), &wanted);
    assert_eq!(found.column(0).null_count(), 10);
    assert_eq!(found.column(1), rows.column(4));
    assert_eq!(found.column(2), &arrow::compute::cast(rows.column(3), &arrow::datatypes::DataType::Int64).unwrap());
    let wrong = format(&[RowField::new("s", TypeKind::Int.nullable())], &[]);
    let mut reader = opened(&wrong, &write(&file, &[rows], 1), &[0], 0..u64::MAX, 0).unwrap();
    let error = reader.next_batch().err().unwrap().to_string();
    assert!(error.contains("column 's'") && error.contains("INT"), "{error}");
}

#[test]
fn timestamps_far_from_today_keep_their_value() {
    let columns = vec![RowField::new("t", timestamp(3))];
    let values = arrow::array::TimestampMillisecondArray::from(vec![-62_135_596_800_000, -1, 0, 253_402_300_799_999]);
    let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(values)]).unwrap();
    for pairs in [&[][..], &[("parquet.write.int64.timestamp", "true"), ("parquet.timestamp.time.unit", "millis")]] {
        let format = format(&columns, pairs);
        let file = write(&format, std::slice::from_ref(&rows), 1);
        assert_eq!(whole(&read(&format, &file, 0..u64::MAX, 0), &columns), rows, "{pairs:?}");
    }
    let nanos =
        format(&columns, &[("parquet.write.int64.timestamp", "true"), ("parquet.timestamp.time.unit", "nanos")]);
    let file = tempfile::tempfile().unwrap();
    let mut writer = nanos.writer(&file).unwrap();
    writer.write(rows.columns()).unwrap();
    assert!(writer.spill().unwrap_err().to_string().contains("out of"), "nanoseconds reach to 2262 only");
}

/// What a table's description lets pass, no task refuses.
#[test]
fn the_library_takes_every_codec_that_a_description_does() {
    let columns = vec![RowField::new("a", TypeKind::Int.nullable())];
    let compression = |pairs: &[(&str, &str)]| {
        let format = closed(&columns, pairs);
        format.properties.compression(&::parquet::schema::types::ColumnPath::from("a"))
    };
    for (name, codec) in [
        ("UNCOMPRESSED", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
        ("GZIP", Compression::GZIP(GzipLevel::default())),
        ("LZ4", Compression::LZ4),
        ("LZ4_RAW", Compression::LZ4_RAW),
    ] {
        assert_eq!(compression(&[("parquet.compression", name)]), codec);
    }
    for level in 1..=22 {
        let text = level.to_string();
        let pairs = [("parquet.compression", "ZSTD"), ("parquet.compression.codec.zstd.level", text.as_str())];
        assert_eq!(compression(&pairs), Compression::ZSTD(ZstdLevel::try_new(level).unwrap()));
    }
}

/// For a look by another reader: what Flink wrote, written again into the folder that `WIESEL_PARQUET` names.
#[test]
#[ignore = "writes files for another program to read"]
fn rewrite() {
    let Some(folder) = std::env::var_os("WIESEL_PARQUET").map(PathBuf::from) else { return };
    for (name, columns, pairs) in [
        ("types", all_types(), &[][..]),
        ("nested", nested(), &[("parquet.write.int64.timestamp", "true"), ("parquet.compression", "GZIP")]),
    ] {
        let format = format(&columns, pairs);
        let rows = read(&format, &written_by_flink(name), 0..u64::MAX, 0);
        std::fs::create_dir_all(folder.join(name)).unwrap();
        let file = File::create(folder.join(name).join("part-0")).unwrap();
        let mut writer = format.writer(&file).unwrap();
        rows.iter().for_each(|batch| writer.write(batch.columns()).unwrap());
        writer.finish().unwrap();
    }
}

/// Failed before: all pages were looked at, of which a file may have any number, though the task was to end.
#[test]
fn the_check_of_a_file_ends_with_its_task() {
    let columns = all_types();
    let format = format(&columns, &[]);
    let opened = |wanted: &[usize]| opened(&format, &written_by_flink("types"), wanted, 0..u64::MAX, 0);
    for wanted in [&[0, 10][..], &[]] {
        let told = wiesel_common::ending::register(Arc::new(true.into()));
        let error = opened(wanted).err().unwrap();
        assert!(matches!(error, Error::Cancelled), "{error}");
        drop(told);
        assert!(opened(wanted).is_ok());
    }
}
