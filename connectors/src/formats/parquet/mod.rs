//! `parquet`: columns in files, with Flink's mapping of types.
//!
//! - `schema`: a table's types as Parquet types, as Flink writes them.
//! - `write`: rows to files; `levels` takes nested columns apart.
//! - `read`: files to rows; before, `footer`, `pages` and `values` look at what a file announces, the first two in the format
//!   of `thrift`.
use std::fs::File;

use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::schema::types::TypePtr;
use wiesel_common::config::Configuration;
use wiesel_expressions::expression::{Zone, cluster_time_zone};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};
use wiesel_operators::operator::Error;

use crate::input::InputFile;
use crate::options::{Options, Result, invalid, unparsable};

mod footer;
mod levels;
mod pages;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod thrift;
mod values;
mod write;

pub(crate) use read::ParquetReader;
pub(crate) use write::ParquetWriter;

/// How fine INT64 timestamps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// The options of the format.
#[derive(Clone, Debug)]
pub struct ParquetFormat {
    pub(crate) columns: Vec<RowField>,
    /// `parquet.write.int64.timestamp`; none: INT96.
    int64: Option<Unit>,
    /// `parquet.utc-timezone`: UTC, or the cluster's zone, in which timestamps are taken for instants. None: that is not known, the
    /// format is not open yet.
    zone: Option<Zone>,
    properties: WriterProperties,
    /// `parquet.block.size`: bytes of a row group.
    row_group: usize,
    root: TypePtr,
}

impl ParquetFormat {
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
        let zone = utc.then_some(Zone::UTC);
        let root = schema::message(&columns, int64);
        Ok(Self {
            properties: properties(options)?,
            row_group: positive(options, "parquet.block.size", i64::MAX)?.unwrap_or(128 << 20),
            columns,
            int64,
            zone,
            root,
        })
    }

    /// Before files are read or written: takes from the job's configuration what the table's options leave to the cluster.
    pub(crate) fn open(&mut self, configuration: &Configuration) -> wiesel_operators::operator::Result<()> {
        if self.zone.is_none() {
            self.zone = Some(cluster_time_zone(configuration)?);
        }
        Ok(())
    }

    fn zone(&self) -> wiesel_operators::operator::Result<Zone> {
        self.zone.ok_or_else(|| Error::Plan("a parquet file of a format that is not open".into()))
    }

    /// A writer into a file.
    pub(crate) fn writer(&self, file: &File) -> wiesel_operators::operator::Result<ParquetWriter> {
        ParquetWriter::new(self, file)
    }

    /// A reader of the row groups of a file whose middle lies in a range of bytes, behind their first rows.
    pub(crate) fn reader(
        &self,
        file: impl Into<InputFile>,
        wanted: &[usize],
        range: std::ops::Range<u64>,
        skip: u64,
        batch_rows: usize,
    ) -> wiesel_operators::operator::Result<ParquetReader> {
        let wanted: Vec<RowField> = wanted.iter().map(|index| self.columns[*index].clone()).collect();
        ParquetReader::open(file.into(), wanted, self.zone()?, range, skip, batch_rows)
    }
}

fn properties(options: Options<'_>) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("wiesel version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression(options)?)
        .set_dictionary_enabled(options.boolean("parquet.enable.dictionary", true)?);
    // A page grows beyond its size by what is written at once: half of what is read again.
    const MOST: i64 = (pages::MAX_PAGE_BYTES / 2) as i64;
    if let Some(size) = positive(options, "parquet.page.size", MOST)? {
        properties = properties.set_data_page_size_limit(size);
    }
    if let Some(size) = positive(options, "parquet.dictionary.page.size", MOST)? {
        properties = properties.set_dictionary_page_size_limit(size);
    }
    let version = match options.text("parquet.writer.version").unwrap_or("v1") {
        "v1" | "PARQUET_1_0" => WriterVersion::PARQUET_1_0,
        "v2" | "PARQUET_2_0" => WriterVersion::PARQUET_2_0,
        other => return Err(unparsable("parquet.writer.version", other, "Expected one of v1, v2")),
    };
    Ok(properties.set_writer_version(version).build())
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

fn compression(options: Options<'_>) -> Result<Compression> {
    const KEY: &str = "parquet.compression";
    let name = options.text(KEY).unwrap_or("SNAPPY");
    Ok(match name.to_ascii_uppercase().as_str() {
        "UNCOMPRESSED" => Compression::UNCOMPRESSED,
        "SNAPPY" => Compression::SNAPPY,
        "GZIP" => Compression::GZIP(GzipLevel::default()),
        "LZ4" => Compression::LZ4,
        "LZ4_RAW" => Compression::LZ4_RAW,
        "ZSTD" => {
            const LEVEL: &str = "parquet.compression.codec.zstd.level";
            let level = options.number::<i32>(LEVEL)?.unwrap_or(3);
            Compression::ZSTD(ZstdLevel::try_new(level).map_err(|why| unparsable(LEVEL, &level.to_string(), why))?)
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
