//! A table whose keys and values are rows.
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use wiesel_common::keygroup;
use wiesel_proto as proto;
use wiesel_state::keyed::{KeyedBackend, Rows, TableId};

use crate::aggregate::nested::{retype, row_type};
use crate::operator::{Error, Result};
use crate::types::{LogicalType, RowField, TimeAttribute, TypeKind, schema_to_proto};

/// Bytes of a key group.
const GROUP: usize = 2;

/// What a table is made of.
pub(crate) struct TableLayout<'a> {
    /// Its name within the operator.
    pub name: &'a str,
    /// The columns of keys.
    pub key: &'a [LogicalType],
    /// The columns after those of the key, which make several entries of one key. The key group is not theirs.
    pub sub_key: &'a [LogicalType],
    /// The columns of values.
    pub value: &'a [LogicalType],
    /// Keys have a namespace before their columns.
    pub namespace: bool,
    /// Milliseconds for which values are kept after they were written; 0: for ever.
    pub ttl: i64,
    /// The job's number of key groups.
    pub max_parallelism: u32,
}

/// A table of a back end.
pub(crate) struct RowTable {
    /// The table in the back end.
    pub id: TableId,
    /// Of the key's columns and, behind them, those of the sub-key.
    key: Codec,
    /// Of the key's columns alone, where there is a sub-key.
    head: Option<Codec>,
    /// How many columns the key has without the sub-key.
    head_width: usize,
    value: Codec,
    namespace: bool,
    ttl: bool,
    max_parallelism: u32,
}

impl RowTable {
    /// Opens the table.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub(crate) fn open(backend: &mut dyn KeyedBackend, layout: &TableLayout<'_>) -> Result<Self> {
        let columns = [layout.key, layout.sub_key].concat();
        let namespace = layout.namespace.then(|| TypeKind::Bigint.not_null());
        let key: Vec<LogicalType> = namespace.into_iter().chain(columns.iter().cloned()).collect();
        let descriptor = proto::StateTableDescriptor {
            name: layout.name.to_owned(),
            key: Some(schema_to_proto(&named("key", &key))),
            value: Some(schema_to_proto(&named("value", layout.value))),
            ttl: u64::try_from(layout.ttl).unwrap_or(0),
        };
        Ok(Self {
            id: backend.table(&descriptor)?,
            key: Codec::new(&columns)?,
            head: (!layout.sub_key.is_empty()).then(|| Codec::new(layout.key)).transpose()?,
            head_width: layout.key.len(),
            value: Codec::new(layout.value)?,
            namespace: layout.namespace,
            ttl: layout.ttl > 0,
            max_parallelism: layout.max_parallelism,
        })
    }

    /// How many columns keys have, with those of the sub-key.
    pub(crate) fn key_width(&self) -> usize {
        self.key.types.len()
    }

    /// How many columns keys have without those of the sub-key.
    pub(crate) fn head_width(&self) -> usize {
        self.head_width
    }

    /// How many columns values have.
    pub(crate) fn value_width(&self) -> usize {
        self.value.types.len()
    }

    /// Whether keys have a namespace.
    pub(crate) fn has_namespace(&self) -> bool {
        self.namespace
    }

    /// Whether values have the time of their last write.
    pub(crate) fn has_ttl(&self) -> bool {
        self.ttl
    }

    /// The key group of each row of key columns.
    pub(crate) fn key_groups(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u16>> {
        key_groups(&columns[..self.head_width], rows, self.max_parallelism)
    }

    /// The keys of `rows` rows; `namespaces` has one for each, if the table has namespaces.
    pub(crate) fn keys(&self, columns: &[ArrayRef], namespaces: &[i64], rows: usize) -> Result<Rows> {
        self.encode(&self.key, columns, namespaces, rows)
    }

    /// What the keys of `rows` rows have before their sub-key. No other key begins so: each column ends by itself.
    pub(crate) fn heads(&self, columns: &[ArrayRef], namespaces: &[i64], rows: usize) -> Result<Rows> {
        self.encode(self.head.as_ref().unwrap_or(&self.key), columns, namespaces, rows)
    }

    fn encode(&self, key: &Codec, columns: &[ArrayRef], namespaces: &[i64], rows: usize) -> Result<Rows> {
        let groups = self.key_groups(columns, rows)?;
        let encoded = key.encode(columns)?;
        let fixed = GROUP + if self.namespace { 8 } else { 0 };
        let mut bytes = Vec::with_capacity(rows * (fixed + 16));
        let mut ends = Vec::with_capacity(rows);
        for (row, group) in groups.iter().enumerate() {
            bytes.extend_from_slice(&group.to_be_bytes());
            if self.namespace {
                bytes.extend_from_slice(&ordered(namespaces[row]));
            }
            if let Some(encoded) = &encoded {
                bytes.extend_from_slice(encoded.row(row).as_ref());
            }
            ends.push(bytes.len());
        }
        Ok(Rows { bytes: bytes.into(), ends })
    }

    /// The key columns of keys.
    pub(crate) fn key_columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let skipped = GROUP + if self.namespace { 8 } else { 0 };
        self.key.decode(keys.map(|key| &key[skipped..]))
    }

    /// The key group and the namespace of a key.
    pub(crate) fn group_and_namespace(key: &[u8]) -> wiesel_state::Result<(u16, i64)> {
        let parts = key.split_first_chunk::<GROUP>();
        let parts = parts.and_then(|(group, rest)| Some((*group, *rest.first_chunk::<8>()?)));
        let (group, namespace) =
            parts.ok_or_else(|| wiesel_state::Error::Corrupt("a key without its namespace".into()))?;
        Ok((u16::from_be_bytes(group), (u64::from_be_bytes(namespace) ^ 1 << 63) as i64))
    }

    /// What of a key is behind its namespace.
    pub(crate) fn after_namespace(key: &[u8]) -> &[u8] {
        &key[GROUP + 8..]
    }

    /// What the keys of a key group and a namespace begin with.
    pub(crate) fn prefix(&self, group: u16, namespace: i64) -> [u8; GROUP + 8] {
        let mut prefix = [0; GROUP + 8];
        prefix[..GROUP].copy_from_slice(&group.to_be_bytes());
        prefix[GROUP..].copy_from_slice(&ordered(namespace));
        prefix
    }

    /// The values of rows; `written` has the time of each, if the table has a time to live.
    pub(crate) fn values(&self, columns: &[ArrayRef], written: &[i64], rows: usize) -> Result<Rows> {
        let encoded = self.value.encode(columns)?;
        let mut bytes = Vec::with_capacity(rows * 32);
        let mut ends = Vec::with_capacity(rows);
        for row in 0..rows {
            if let Some(time) = written.get(row).filter(|_| self.ttl) {
                bytes.extend_from_slice(&time.to_be_bytes());
            }
            if let Some(encoded) = &encoded {
                bytes.extend_from_slice(encoded.row(row).as_ref());
            }
            ends.push(bytes.len());
        }
        Ok(Rows { bytes: bytes.into(), ends })
    }

    /// Columns of values in the types that values are read in.
    pub(crate) fn typed(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let typed = columns.iter().zip(&self.value.types).map(|(column, data_type)| retype(column, data_type));
        Ok(typed.collect::<Result<_, _>>()?)
    }

    /// The columns of values, and when each was written, if the table has a time to live.
    pub(crate) fn columns(&self, values: &[impl AsRef<[u8]>]) -> Result<(Vec<ArrayRef>, Vec<i64>)> {
        if !self.ttl {
            return Ok((self.value.decode(values.iter().map(AsRef::as_ref))?, Vec::new()));
        }
        let split = values.iter().map(|value| {
            let (written, row) = value.as_ref().split_first_chunk::<8>()?;
            Some((i64::from_be_bytes(*written), row))
        });
        let split: Option<(Vec<i64>, Vec<&[u8]>)> = split.collect();
        let (written, rows) = split.ok_or_else(|| wiesel_state::Error::Corrupt("a value without its time".into()))?;
        Ok((self.value.decode(rows.into_iter())?, written))
    }
}

/// The key group of each row of key columns: where the shuffle sends it.
pub(crate) fn key_groups(columns: &[ArrayRef], rows: usize, max_parallelism: u32) -> Result<Vec<u16>> {
    let hashes = keygroup::hash_columns(columns, rows).map_err(|error| Error::Plan(error.to_string()))?;
    Ok(hashes.into_iter().map(|hash| keygroup::key_group(hash, max_parallelism) as u16).collect())
}

/// A number as bytes in its order.
fn ordered(number: i64) -> [u8; 8] {
    (number as u64 ^ 1 << 63).to_be_bytes()
}

/// Columns by position: what they are called in a query, whether they can be null there, and which of them are time
/// attributes makes no difference to their state.
fn named(prefix: &str, types: &[LogicalType]) -> Vec<RowField> {
    let plain = |data_type: &LogicalType| match &data_type.kind {
        TypeKind::Timestamp(precision, _) => TypeKind::Timestamp(*precision, TimeAttribute::Regular).nullable(),
        TypeKind::TimestampLtz(precision, _) => TypeKind::TimestampLtz(*precision, TimeAttribute::Regular).nullable(),
        kind => kind.clone().nullable(),
    };
    types.iter().enumerate().map(|(i, data_type)| RowField::new(format!("{prefix}{i}"), plain(data_type))).collect()
}

/// Columns to rows and back. Rows of no columns are empty.
struct Codec {
    types: Vec<DataType>,
    converter: Option<RowConverter>,
}

impl Codec {
    fn new(types: &[LogicalType]) -> Result<Self> {
        let types: Vec<DataType> = types.iter().map(|data_type| data_type.kind.to_arrow()).collect();
        let fields = types.iter().map(|data_type| SortField::new(row_type(data_type))).collect();
        let converter = (!types.is_empty()).then(|| RowConverter::new(fields)).transpose();
        let converter =
            converter.map_err(|error| Error::Plan(format!("{types:?} cannot be kept as state: {error}")))?;
        Ok(Self { types, converter })
    }

    fn encode(&self, columns: &[ArrayRef]) -> Result<Option<arrow::row::Rows>> {
        let Some(converter) = &self.converter else { return Ok(None) };
        let columns = columns.iter().zip(&self.types).map(|(column, data_type)| retype(column, &row_type(data_type)));
        Ok(Some(converter.convert_columns(&columns.collect::<Result<Vec<_>, _>>()?)?))
    }

    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        let columns = converter.convert_rows(rows.map(|row| parser.parse(row)))?;
        let typed = columns.iter().zip(&self.types).map(|(column, data_type)| retype(column, data_type));
        Ok(typed.collect::<Result<_, _>>()?)
    }
}
