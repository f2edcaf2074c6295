//! A table whose keys and values are rows.
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use wiesel_common::keygroup;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind, schema_to_proto};
use wiesel_proto as proto;
use wiesel_state::Error as StateError;
use wiesel_state::keyed::{KeyedBackend, Rows, TableId};

use super::former_rows::{self, FormerRows};
use crate::operator::{Error, Result};
use crate::rows::{self, Encoded, KeyCodec, ValueCodec};

/// Bytes of a key group.
const GROUP: usize = 2;
/// Bytes of the time of the last write.
const TIME: usize = 8;
/// Behind the first bytes of a key it is behind all keys that begin so: columns begin with smaller marks.
pub(crate) const LAST: u8 = 0xff;

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

impl TableLayout<'_> {
    /// What a back end is told of it.
    pub(super) fn descriptor(&self) -> proto::StateTableDescriptor {
        let namespace = self.namespace.then(|| TypeKind::Bigint.not_null());
        let key: Vec<LogicalType> = namespace.into_iter().chain([self.key, self.sub_key].concat()).collect();
        proto::StateTableDescriptor {
            name: self.name.to_owned(),
            key: Some(schema_to_proto(&named("key", &key))),
            value: Some(schema_to_proto(&named("value", self.value))),
            ttl: u64::try_from(self.ttl).unwrap_or(0),
            row_format: rows::VERSION,
        }
    }
}

/// A table of a back end.
pub(crate) struct RowTable {
    /// The table in the back end.
    pub id: TableId,
    name: String,
    /// Of the key's columns and, behind them, those of the sub-key.
    key: KeyCodec,
    /// Of the key's columns alone, where there is a sub-key.
    head: Option<KeyCodec>,
    /// How many columns the key has without the sub-key.
    head_width: usize,
    value: ValueCodec,
    value_types: Vec<DataType>,
    namespace: bool,
    ttl: bool,
    max_parallelism: u32,
}

impl RowTable {
    /// Opens the table. What was restored in the former encoding is written anew.
    ///
    /// # Errors
    /// What was restored has other types or another encoding, or a type cannot be kept.
    pub(crate) fn open(backend: &mut dyn KeyedBackend, layout: &TableLayout<'_>) -> Result<Self> {
        let descriptor = layout.descriptor();
        let (key_types, head_types) = (to_arrow(layout.key.iter().chain(layout.sub_key)), to_arrow(layout.key));
        let value_types = to_arrow(layout.value);
        let (key, value) = (KeyCodec::new(&key_types)?, ValueCodec::new(&value_types)?);
        if backend.row_format(layout.name) == Some(former_rows::VERSION) {
            let of_keys = (&key_types[..], key_room(layout.namespace), &key);
            let of_values = (&value_types[..], value_room(layout.ttl > 0), &value);
            let former = FormerRows::new(of_keys, of_values)?;
            former.rewrite(backend, &descriptor).map_err(|error| in_table(layout.name, error))?;
        }
        Ok(Self {
            id: backend.table(&descriptor)?,
            name: layout.name.to_owned(),
            key,
            head: (!layout.sub_key.is_empty()).then(|| KeyCodec::new(&head_types)).transpose()?,
            head_width: layout.key.len(),
            value,
            value_types,
            namespace: layout.namespace,
            ttl: layout.ttl > 0,
            max_parallelism: layout.max_parallelism,
        })
    }

    /// How many columns keys have, with those of the sub-key.
    pub(crate) fn key_width(&self) -> usize {
        self.key.width()
    }

    /// How many columns keys have without those of the sub-key.
    pub(crate) fn head_width(&self) -> usize {
        self.head_width
    }

    /// How many columns values have.
    pub(crate) fn value_width(&self) -> usize {
        self.value_types.len()
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

    fn encode(&self, key: &KeyCodec, columns: &[ArrayRef], namespaces: &[i64], rows: usize) -> Result<Rows> {
        let groups = self.key_groups(columns, rows)?;
        let room = key_room(self.namespace);
        let mut keys = Encoded::default();
        key.encode(columns, rows, room, &mut keys)?;
        for (row, group) in groups.iter().enumerate() {
            let key = keys.get_mut(row);
            key[..GROUP].copy_from_slice(&group.to_be_bytes());
            if self.namespace {
                key[GROUP..room].copy_from_slice(&ordered(namespaces[row]));
            }
        }
        Ok(keys.into_rows())
    }

    /// The key columns of keys.
    pub(crate) fn key_columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let room = key_room(self.namespace);
        // What is too short is for the codec to refuse.
        let columns = self.key.decode(keys.map(|key| key.get(room..).unwrap_or_default()));
        columns.map_err(|error| in_table(&self.name, error))
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
        let mut values = Encoded::default();
        self.value.encode(columns, rows, value_room(self.ttl), &mut values)?;
        if self.ttl {
            if written.len() != rows {
                return Err(Error::Plan(format!("{} times were given for {rows} values", written.len())));
            }
            for (row, time) in written.iter().enumerate() {
                values.get_mut(row)[..TIME].copy_from_slice(&time.to_be_bytes());
            }
        }
        Ok(values.into_rows())
    }

    /// The columns of values, and when each was written, if the table has a time to live.
    pub(crate) fn columns(&self, values: &[impl AsRef<[u8]>]) -> Result<(Vec<ArrayRef>, Vec<i64>)> {
        if !self.ttl {
            return Ok((self.decode_values(values.iter().map(AsRef::as_ref))?, Vec::new()));
        }
        let split = values.iter().map(|value| {
            let (written, row) = value.as_ref().split_first_chunk::<TIME>()?;
            Some((i64::from_be_bytes(*written), row))
        });
        let split: Option<(Vec<i64>, Vec<&[u8]>)> = split.collect();
        let (written, rows) = split.ok_or_else(|| StateError::Corrupt("a value without its time".into()))?;
        Ok((self.decode_values(rows.into_iter())?, written))
    }

    fn decode_values<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        self.value.decode(values).map_err(|error| in_table(&self.name, error))
    }
}

/// Says which table has a damaged row.
fn in_table(table: &str, error: Error) -> Error {
    match error {
        Error::State(StateError::Corrupt(what)) => StateError::Corrupt(format!("the state '{table}': {what}")).into(),
        other => other,
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

/// Bytes of a key before its columns.
fn key_room(namespace: bool) -> usize {
    if namespace { GROUP + 8 } else { GROUP }
}

/// Bytes of a value before its columns.
fn value_room(ttl: bool) -> usize {
    if ttl { TIME } else { 0 }
}

fn to_arrow<'a>(types: impl IntoIterator<Item = &'a LogicalType>) -> Vec<DataType> {
    types.into_iter().map(|data_type| data_type.kind.to_arrow()).collect()
}
