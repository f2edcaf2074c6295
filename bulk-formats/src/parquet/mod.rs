//! `parquet`: columns in files, with Flink's mapping of types.
//!
//! - `schema`: a table's types as Parquet types, as Flink writes them.
//! - `write`: rows to files; `levels` takes nested columns apart.
//! - `read`: files to rows; before, `footer`, `pages` and `values` look at what a file announces, the first two in the format
//!   of `thrift`.
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::schema::types::TypePtr;
use wiesel_common::config::Configuration;
use wiesel_connectors::formats::parquet::{Codec, ParquetOptions, Version};
use wiesel_connectors::options::Options;
use wiesel_expressions::expression::{Zone, cluster_time_zone};
use wiesel_expressions::types::RowField;
use wiesel_operators::bulk_format::{BulkFormat, BulkFormatSpec, BulkReader, BulkWriter, RandomAccess};
use wiesel_operators::operator::{Error, Result};

use self::read::ParquetReader;
use self::write::ParquetWriter;
use crate::input::InputFile;

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

/// A table in Parquet files.
pub(crate) struct ParquetFormat {
    options: ParquetOptions,
    /// In which timestamps are taken for instants: UTC, or the cluster's zone. None: that is not known, the format is not open yet.
    zone: Option<Zone>,
    properties: WriterProperties,
    root: TypePtr,
}

impl ParquetFormat {
    pub(crate) fn new(spec: &BulkFormatSpec) -> Result<Self> {
        let options = ParquetOptions::new(Options::new(&spec.options), spec.columns.clone())?;
        Ok(Self {
            zone: options.utc.then_some(Zone::UTC),
            properties: properties(&options)?,
            root: schema::message(&options.columns, options.int64),
            options,
        })
    }

    fn zone(&self) -> Result<Zone> {
        self.zone.ok_or_else(|| Error::Plan("a parquet file of a format that is not open".into()))
    }
}

impl BulkFormat for ParquetFormat {
    fn open(&mut self, configuration: &Configuration) -> Result<()> {
        if self.zone.is_none() {
            self.zone = Some(cluster_time_zone(configuration)?);
        }
        Ok(())
    }

    /// Of the row groups whose middle lies in the range.
    fn reader(
        &self,
        file: Arc<dyn RandomAccess>,
        wanted: &[usize],
        range: Range<u64>,
        skip: u64,
        batch_rows: usize,
    ) -> Result<Box<dyn BulkReader>> {
        let file =
            InputFile::open(file).map_err(|error| Error::external("cannot see the length of the file", error))?;
        let wanted: Vec<RowField> = wanted.iter().map(|index| self.options.columns[*index].clone()).collect();
        Ok(Box::new(ParquetReader::open(file, wanted, self.zone()?, range, skip, batch_rows)?))
    }

    fn writer(&self, file: &File) -> Result<Box<dyn BulkWriter>> {
        Ok(Box::new(ParquetWriter::new(self, file)?))
    }
}

fn properties(options: &ParquetOptions) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("wiesel version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression(options.codec)?)
        .set_dictionary_enabled(options.has_dictionaries);
    if let Some(size) = options.page_bytes {
        properties = properties.set_data_page_size_limit(size);
    }
    if let Some(size) = options.dictionary_page_bytes {
        properties = properties.set_dictionary_page_size_limit(size);
    }
    let version = match options.version {
        Version::V1 => WriterVersion::PARQUET_1_0,
        Version::V2 => WriterVersion::PARQUET_2_0,
    };
    Ok(properties.set_writer_version(version).build())
}

fn compression(codec: Codec) -> Result<Compression> {
    Ok(match codec {
        Codec::Uncompressed => Compression::UNCOMPRESSED,
        Codec::Snappy => Compression::SNAPPY,
        Codec::Gzip => Compression::GZIP(GzipLevel::default()),
        Codec::Lz4 => Compression::LZ4,
        Codec::Lz4Raw => Compression::LZ4_RAW,
        Codec::Zstd(level) => {
            Compression::ZSTD(ZstdLevel::try_new(level).map_err(|error| Error::Plan(error.to_string()))?)
        }
    })
}
