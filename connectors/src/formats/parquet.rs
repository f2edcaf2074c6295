//! `parquet`: its options and the types that it can hold, as plain data. The description of a table needs no more; what reads and
//! writes the files is made of it where tasks run, and links the library of the format.
use std::ops::RangeInclusive;

use wiesel_expressions::expression::MAX_VALUE_BYTES;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::options::{Options, Result, invalid, unparsable};

/// The name of the format.
pub const IDENTIFIER: &str = "parquet";

/// The most bytes of a page, unpacked, that are read. Writers end a page at about 1 MiB, behind a value that may be as long as one may
/// be.
pub const MAX_PAGE_BYTES: u64 = 4 * MAX_VALUE_BYTES as u64;

/// The levels that ZSTD has.
const ZSTD_LEVELS: RangeInclusive<i32> = 1..=22;

/// How fine INT64 timestamps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Thousandths of a second.
    Millis,
    /// Millionths.
    Micros,
    /// Billionths.
    Nanos,
}

/// What packs pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Nothing.
    Uncompressed,
    /// Snappy.
    Snappy,
    /// GZIP, at its usual level.
    Gzip,
    /// LZ4 in the frames of Hadoop.
    Lz4,
    /// LZ4 without frames.
    Lz4Raw,
    /// ZSTD, at a level that it has.
    Zstd(i32),
}

/// The version of the pages that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Pages of version 1.
    V1,
    /// Pages of version 2.
    V2,
}

/// The options of the format, checked against the columns it reads or writes.
#[derive(Clone, Debug)]
pub struct ParquetOptions {
    /// The columns of the files, in order: Parquet can hold their types.
    pub columns: Vec<RowField>,
    /// `parquet.write.int64.timestamp`; none: INT96.
    pub int64: Option<Unit>,
    /// `parquet.utc-timezone`: timestamps are taken for instants in UTC, not in the cluster's zone.
    pub utc: bool,
    /// `parquet.compression`.
    pub codec: Codec,
    /// `parquet.enable.dictionary`.
    pub has_dictionaries: bool,
    /// `parquet.page.size`, if it is given.
    pub page_bytes: Option<usize>,
    /// `parquet.dictionary.page.size`, if it is given.
    pub dictionary_page_bytes: Option<usize>,
    /// `parquet.writer.version`.
    pub version: Version,
    /// `parquet.block.size`: bytes of a row group.
    pub row_group_bytes: usize,
}

impl ParquetOptions {
    /// From `parquet.` options; those of Parquet itself that have no meaning here are accepted, as Flink hands all of them on.
    pub fn new(options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        for column in &columns {
            check_type(&column.name, &column.data_type)?;
        }
        const UNIT: &str = "parquet.timestamp.time.unit";
        let unit = match options.text(UNIT).unwrap_or("micros") {
            unit if unit.eq_ignore_ascii_case("millis") => Unit::Millis,
            unit if unit.eq_ignore_ascii_case("micros") => Unit::Micros,
            unit if unit.eq_ignore_ascii_case("nanos") => Unit::Nanos,
            other => return Err(unparsable(UNIT, other, "Expected one of nanos, micros, millis")),
        };
        let int64 = options.boolean("parquet.write.int64.timestamp", false)?.then_some(unit);
        let utc = options.boolean("parquet.utc-timezone", false)?;
        let codec = codec(options)?;
        let has_dictionaries = options.boolean("parquet.enable.dictionary", true)?;
        // A page grows beyond its size by what is written at once: half of what is read again.
        const MOST: i64 = (MAX_PAGE_BYTES / 2) as i64;
        let page_bytes = positive(options, "parquet.page.size", MOST)?;
        let dictionary_page_bytes = positive(options, "parquet.dictionary.page.size", MOST)?;
        let version = match options.text("parquet.writer.version").unwrap_or("v1") {
            "v1" | "PARQUET_1_0" => Version::V1,
            "v2" | "PARQUET_2_0" => Version::V2,
            other => return Err(unparsable("parquet.writer.version", other, "Expected one of v1, v2")),
        };
        let row_group_bytes = positive(options, "parquet.block.size", i64::MAX)?.unwrap_or(128 << 20);
        Ok(Self {
            columns,
            int64,
            utc,
            codec,
            has_dictionaries,
            page_bytes,
            dictionary_page_bytes,
            version,
            row_group_bytes,
        })
    }
}

/// A number of bytes, one at least.
fn positive(options: Options<'_>, key: &str, most: i64) -> Result<Option<usize>> {
    match options.number::<i64>(key)? {
        Some(bytes) if !(1..=most).contains(&bytes) => {
            invalid(format!("Option '{key}' must be a number from 1 to {most}, but was: {bytes}"))
        }
        bytes => Ok(bytes.and_then(|bytes| usize::try_from(bytes).ok())),
    }
}

fn codec(options: Options<'_>) -> Result<Codec> {
    const KEY: &str = "parquet.compression";
    let name = options.text(KEY).unwrap_or("SNAPPY");
    Ok(match name.to_ascii_uppercase().as_str() {
        "UNCOMPRESSED" => Codec::Uncompressed,
        "SNAPPY" => Codec::Snappy,
        "GZIP" => Codec::Gzip,
        "LZ4" => Codec::Lz4,
        "LZ4_RAW" => Codec::Lz4Raw,
        "ZSTD" => {
            const LEVEL: &str = "parquet.compression.codec.zstd.level";
            let level = options.number::<i32>(LEVEL)?.unwrap_or(3);
            if !ZSTD_LEVELS.contains(&level) {
                let why = format!("Expected a level from {} to {}", ZSTD_LEVELS.start(), ZSTD_LEVELS.end());
                return Err(unparsable(LEVEL, &level.to_string(), why));
            }
            Codec::Zstd(level)
        }
        _ => {
            return Err(unparsable(KEY, name, "Expected one of UNCOMPRESSED, SNAPPY, GZIP, LZ4, LZ4_RAW, ZSTD"));
        }
    })
}

/// Fails for types that Parquet cannot hold.
fn check_type(name: &str, data_type: &LogicalType) -> Result<()> {
    match &data_type.kind {
        TypeKind::IntervalYearMonth(_)
        | TypeKind::IntervalDayTime(_)
        | TypeKind::Variant
        | TypeKind::Bitmap
        | TypeKind::Structured(..)
        | TypeKind::Null => invalid(format!("Unsupported type: {data_type}")),
        TypeKind::Array(element) | TypeKind::Multiset(element) => check_type(name, element),
        TypeKind::Map(key, value) => check_type(name, key).and_then(|()| check_type(name, value)),
        TypeKind::Row(fields) if fields.is_empty() => {
            invalid(format!("Unsupported type '{data_type}' for field '{name}': Parquet has no rows without fields."))
        }
        TypeKind::Row(fields) => fields.iter().try_for_each(|field| check_type(&field.name, &field.data_type)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ParquetOptions> {
        let options: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ParquetOptions::new(Options::new(&options), vec![RowField::new("a", TypeKind::Int.nullable())])
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        read(pairs).unwrap_err().0
    }

    #[test]
    fn options_are_checked() {
        assert!(refused(&[("parquet.compression", "BROTLI")]).contains("SNAPPY"));
        assert!(refused(&[("parquet.timestamp.time.unit", "days")]).contains("millis"));
        assert!(refused(&[("parquet.writer.version", "v3")]).contains("v1, v2"));
        // Before, 0 was another number than it said, and a page could become longer than its header can tell, or than is read.
        for (key, most) in [
            ("parquet.block.size", i64::MAX),
            ("parquet.page.size", 128 << 20),
            ("parquet.dictionary.page.size", 128 << 20),
        ] {
            for value in ["-1", "0", "9223372036854775808", ""] {
                let refused = refused(&[(key, value)]);
                assert!(refused.contains(key) && refused.contains(value), "{refused}");
            }
            if most < i64::MAX {
                let refused = refused(&[(key, "2147483648")]);
                assert!(refused.contains("from 1 to 134217728, but was: 2147483648"), "{refused}");
            }
        }
    }

    #[test]
    fn zstd_has_the_levels_from_1_to_22() {
        let level = |level: &str| {
            read(&[("parquet.compression", "zstd"), ("parquet.compression.codec.zstd.level", level)])
                .map(|options| options.codec)
                .map_err(|error| error.0)
        };
        assert_eq!(read(&[("parquet.compression", "zstd")]).unwrap().codec, Codec::Zstd(3));
        assert_eq!((level("1"), level("22")), (Ok(Codec::Zstd(1)), Ok(Codec::Zstd(22))));
        for outside in ["0", "23", "-1"] {
            let refused = level(outside).unwrap_err();
            let named = format!("value '{outside}' for key 'parquet.compression.codec.zstd.level'");
            assert!(refused.contains(&named) && refused.contains("from 1 to 22"), "{refused}");
        }
    }

    #[test]
    fn types_that_parquet_cannot_hold_are_refused_wherever_they_are() {
        let refused = |data_type: LogicalType| {
            let columns = vec![RowField::new("a", data_type)];
            ParquetOptions::new(Options::new(&BTreeMap::new()), columns).unwrap_err().0
        };
        let list = |element: TypeKind| TypeKind::Array(Box::new(element.nullable())).nullable();
        for kind in [TypeKind::Variant, TypeKind::Bitmap, TypeKind::Null] {
            let message = format!("Unsupported type: {}", kind.clone().nullable());
            assert_eq!(refused(kind.clone().nullable()), message);
            assert_eq!(refused(list(kind)), message);
        }
        assert!(refused(list(TypeKind::Row(Vec::new()))).contains("no rows without fields"));
    }
}
