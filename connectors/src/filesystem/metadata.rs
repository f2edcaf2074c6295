//! What a column declared `METADATA` can be told of the file that its row is in.
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::{cast, take};
use wiesel_common::filesystem::{Location, Status};
use wiesel_expressions::types::{RowField, TimeAttribute, TypeKind};
use wiesel_operators::operator::Result;

/// A key of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileMetadata {
    Path,
    Name,
    Size,
    ModificationTime,
}

const ALL: [FileMetadata; 4] =
    [FileMetadata::Path, FileMetadata::Name, FileMetadata::Size, FileMetadata::ModificationTime];

/// All keys and their types.
pub(super) fn readable() -> Vec<RowField> {
    ALL.iter().map(|metadata| metadata.field()).collect()
}

impl FileMetadata {
    /// The one that a key names.
    pub(super) fn of(key: &str) -> Option<Self> {
        ALL.into_iter().find(|metadata| metadata.key() == key)
    }

    fn key(self) -> &'static str {
        match self {
            Self::Path => "file.path",
            Self::Name => "file.name",
            Self::Size => "file.size",
            Self::ModificationTime => "file.modification-time",
        }
    }

    /// Key and type.
    pub(super) fn field(self) -> RowField {
        let kind = match self {
            Self::Path | Self::Name => TypeKind::string(),
            Self::Size => TypeKind::Bigint,
            Self::ModificationTime => TypeKind::TimestampLtz(3, TimeAttribute::Regular),
        };
        RowField::new(self.key(), kind.not_null())
    }

    /// The same value for so many rows of a file.
    pub(super) fn column(self, path: &str, file: &Status, rows: usize) -> Result<ArrayRef> {
        let value: ArrayRef = match self {
            Self::Path => Arc::new(StringViewArray::from(vec![without_bucket(path)])),
            Self::Name => Arc::new(StringViewArray::from(vec![name(path)])),
            Self::Size => Arc::new(Int64Array::from(vec![i64::try_from(file.size).unwrap_or(i64::MAX)])),
            Self::ModificationTime => {
                let millis = Int64Array::from(vec![file.modified.div_euclid(1_000_000)]);
                cast(&millis, &self.field().data_type.kind.to_arrow())?
            }
        };
        // The rows share one copy of a text.
        Ok(take(&value, &UInt32Array::from(vec![0; rows]), None)?)
    }
}

/// As in Flink, the path of a file of a store begins behind the bucket.
fn without_bucket(path: &str) -> &str {
    if !Location::is_object_uri(path) {
        return path;
    }
    let behind_scheme = path.split_once("://").map_or(path, |(_, rest)| rest);
    behind_scheme.find('/').map_or("/", |at| &behind_scheme[at..])
}

fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::time::{Duration, UNIX_EPOCH};

    use arrow::array::AsArray;
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
    use wiesel_operators::element::Batch;
    use wiesel_proto as proto;

    use super::super::tests::{read, rows_of, sink, source, two, write};
    use crate::testing::Restarts;

    const MODIFIED: i64 = 1_767_323_045_678;

    fn modified(path: &std::path::Path) {
        // Parts of a millisecond are left out.
        let time = UNIX_EPOCH + Duration::from_millis(MODIFIED as u64) + Duration::from_micros(901);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// Asks for a column and all metadata.
    fn with_metadata(mut spec: proto::SourceSpec) -> proto::SourceSpec {
        let columns = spec.physical.as_ref().map_or(0, |schema| schema.fields.len()) as u32;
        spec.metadata = ["file.size", "file.name", "file.path", "file.modification-time"].map(str::to_owned).into();
        let all = [0, columns, columns + 1, columns + 2, columns + 3];
        spec.projection = all.iter().map(|index| proto::FieldPath { indexes: vec![*index] }).collect();
        spec
    }

    /// `a size name path` of each row, all of which have the time.
    fn rows(batches: &[(u32, Batch)]) -> Vec<String> {
        let mut rows = Vec::new();
        for (_, batch) in batches {
            let columns = batch.records.columns();
            let (a, size) = (columns[0].as_primitive::<Int32Type>(), columns[1].as_primitive::<Int64Type>());
            let (name, path) = (columns[2].as_string_view(), columns[3].as_string_view());
            let time = columns[4].as_primitive::<TimestampMillisecondType>();
            for row in 0..batch.num_rows() {
                assert_eq!(time.value(row), MODIFIED);
                let (a, size) = (a.value(row), size.value(row));
                rows.push(format!("{a} {size} {} {}", name.value(row), path.value(row)));
            }
        }
        rows.sort();
        rows
    }

    #[test]
    fn a_row_knows_its_file_plain_or_compressed_in_a_partition_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        let (plain, packed) = (folder.path().join("b=x y/a b%20.csv"), folder.path().join("b=z/c.csv.gz"));
        fs::create_dir(plain.parent().unwrap()).unwrap();
        fs::create_dir(packed.parent().unwrap()).unwrap();
        fs::write(&plain, "1\n2\n").unwrap();
        let mut gzip = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
        gzip.write_all(b"3\n").unwrap();
        gzip.finish().unwrap();
        modified(&plain);
        modified(&packed);
        let spec = with_metadata(source(folder.path(), &two(), &[("format", "csv")], &["b"]));
        let size = fs::metadata(&packed).unwrap().len();
        let wanted = [
            format!("1 4 a b%20.csv {root}/b=x y/a b%20.csv"),
            format!("2 4 a b%20.csv {root}/b=x y/a b%20.csv"),
            format!("3 {size} c.csv.gz {root}/b=z/c.csv.gz"),
        ];
        assert_eq!(rows(&Restarts::new(&spec).run(2, &[]).unwrap().0), wanted);
        // Also where a restart goes on within a file.
        assert_eq!(rows(&Restarts::new(&spec).run(1, &[(1, 2), (1, 1)]).unwrap().0), wanted);
    }

    #[test]
    fn a_row_of_parquet_knows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let rows_written = rows_of(&two(), &[(Some(1), Some("x")), (Some(2), None)]);
        write(&sink(folder.path(), &two(), "parquet", &[]), vec![rows_written], true);
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        modified(&file);
        let spec = with_metadata(source(folder.path(), &two(), &[("format", "parquet")], &[]));
        let (size, name) = (fs::metadata(&file).unwrap().len(), file.file_name().unwrap().to_str().unwrap());
        let wanted = [1, 2].map(|a| format!("{a} {size} {name} {}", file.display()));
        assert_eq!(rows(&Restarts::new(&spec).run(1, &[]).unwrap().0), wanted);
    }

    #[test]
    fn a_key_that_there_is_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = with_metadata(source(folder.path(), &two(), &[("format", "csv")], &[]));
        spec.metadata.pop();
        assert!(read(&spec, 1).unwrap_err().to_string().contains("table t has no column [5]"));
    }
}
