//! State of releases whose tables were in Arrow's row format.
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    NullArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use wiesel_proto as proto;
use wiesel_state::keyed::{KeyedBackend, SnapshotOptions, TableId, WriteBatch};

use super::former_rows::VERSION;
use super::table::{RowTable, TableLayout, key_groups};
use crate::aggregate::nested::{retype, row_type};
use crate::testing::state::{BACKENDS, World};
use crate::testing::{context, context_with};
use crate::types::{LogicalType, RowField, TypeKind};

/// The columns of a table's rows.
struct Content {
    rows: usize,
    keys: Vec<ArrayRef>,
    namespaces: Vec<i64>,
    values: Vec<ArrayRef>,
    written: Vec<i64>,
}

/// Rows as they were.
fn former_rows(columns: &[ArrayRef], rows: usize) -> Vec<Vec<u8>> {
    if columns.is_empty() {
        return vec![Vec::new(); rows];
    }
    let types = columns.iter().map(|column| SortField::new(row_type(column.data_type()))).collect();
    let columns: Vec<ArrayRef> =
        columns.iter().map(|column| retype(column, &row_type(column.data_type())).unwrap()).collect();
    let rows = RowConverter::new(types).unwrap().convert_columns(&columns).unwrap();
    rows.iter().map(|row| row.as_ref().to_vec()).collect()
}

/// A snapshot of a table as it was; also of what has expired.
fn former_table(world: &World, layout: &TableLayout<'_>, content: &Content) -> proto::KeyedStateHandle {
    let mut backend = world.open(0..=127, &[]);
    let ttl = if layout.ttl > 0 { u64::MAX } else { 0 };
    let described = proto::StateTableDescriptor { row_format: VERSION, ttl, ..layout.descriptor() };
    let table = backend.table(&described).unwrap();
    let groups = key_groups(&content.keys[..layout.key.len()], content.rows, 128).unwrap();
    let (keys, values) = (former_rows(&content.keys, content.rows), former_rows(&content.values, content.rows));
    let mut entries: Vec<(Bytes, Option<Bytes>)> = Vec::new();
    for row in 0..content.rows {
        let mut key = groups[row].to_be_bytes().to_vec();
        key.extend(content.namespaces.get(row).into_iter().flat_map(|at| (*at as u64 ^ 1 << 63).to_be_bytes()));
        key.extend(&keys[row]);
        let mut value: Vec<u8> = content.written.get(row).into_iter().flat_map(|time| time.to_be_bytes()).collect();
        value.extend(&values[row]);
        entries.push((key.into(), Some(value.into())));
    }
    entries.sort();
    backend.write(table, WriteBatch { entries }).unwrap();
    let options = SnapshotOptions { checkpoint_id: 1, canonical: false, full: true, savepoint: false };
    world.upload(backend.snapshot(&options, Vec::new()).unwrap(), &options)
}

fn all(backend: &dyn KeyedBackend, table: TableId) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        entries.insert(key.to_vec(), value.to_vec());
        Ok(ControlFlow::Continue(()))
    };
    backend.scan(table, &[], &mut visit).unwrap();
    entries
}

/// After the table was opened it has what it had, in the encoding of today and nothing else; and so has what is restored from it.
fn is_written_anew(layout: &TableLayout<'_>, content: &Content) {
    for backend in BACKENDS {
        let (context, clock) = context_with(&[]);
        clock.set(5_000);
        let world = World::new(&context, backend);
        let saved = [former_table(&world, layout, content)];
        let mut restored = world.open(0..=127, &saved);
        let table = RowTable::open(&mut *restored, layout).unwrap();
        let keys = table.keys(&content.keys, &content.namespaces, content.rows).unwrap();
        let values = table.values(&content.values, &content.written, content.rows).unwrap();
        let entry = |row: usize| (keys.get(row).to_vec(), values.get(row).to_vec());
        let expected: BTreeMap<Vec<u8>, Vec<u8>> = (0..content.rows).map(entry).collect();
        assert_eq!(expected.len(), content.rows);
        let id = with_expired(&mut *restored, layout);
        assert_eq!(all(&*restored, id), expected, "{backend}");
        let options = SnapshotOptions { checkpoint_id: 2, canonical: true, full: true, savepoint: false };
        let saved = [world.upload(restored.snapshot(&options, Vec::new()).unwrap(), &options)];
        assert_eq!(saved[0].tables[0].row_format, layout.descriptor().row_format);
        let mut again = world.open(0..=127, &saved);
        let id = RowTable::open(&mut *again, layout).unwrap().id;
        assert_eq!(with_expired(&mut *again, layout), id);
        assert_eq!(all(&*again, id), expected, "{backend}");
    }
}

/// The table, of which all is seen that is in it.
fn with_expired(backend: &mut dyn KeyedBackend, layout: &TableLayout<'_>) -> TableId {
    let ttl = u64::from(layout.ttl > 0) * u64::MAX;
    backend.table(&proto::StateTableDescriptor { ttl, ..layout.descriptor() }).unwrap()
}

fn text() -> LogicalType {
    TypeKind::string().nullable()
}

fn bigint() -> LogicalType {
    TypeKind::Bigint.nullable()
}

/// If these bytes are others, this release of Arrow cannot read the state of earlier ones of Wiesel: the reader has to go.
#[test]
fn the_bytes_of_the_former_encoding() {
    let columns: [ArrayRef; 3] = [
        Arc::new(StringViewArray::from(vec![Some("a"), Some(""), None])),
        Arc::new(Int32Array::from(vec![Some(1), Some(-1), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
    ];
    let expected: [&[u8]; 3] = [
        &[2, b'a', 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x80, 0, 0, 1, 1, 1],
        &[1, 1, 0x7f, 0xff, 0xff, 0xff, 1, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(former_rows(&columns, 3), expected);
}

/// More than are written at once, with and without what stands before columns.
#[test]
fn tables_of_many_rows_are_written_anew() {
    let rows = 10_000;
    for (namespace, ttl) in [(false, 0), (true, 0), (false, 1000)] {
        let numbers: Vec<i64> = (0..rows as i64).collect();
        let texts = |from: i64| -> ArrayRef {
            let texts = numbers.iter().map(|number| (number % 7 > 0).then(|| format!("text {}", number / from)));
            Arc::new(StringViewArray::from_iter(texts))
        };
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
        let content = Content {
            rows,
            keys: vec![texts(50), column.clone()],
            namespaces: if namespace { numbers.iter().map(|number| number % 3 - 1).collect() } else { Vec::new() },
            values: vec![column, texts(1)],
            written: if ttl > 0 { numbers.clone() } else { Vec::new() },
        };
        let (key, sub_key, value) = ([text()], [bigint()], [bigint(), text()]);
        let layout = TableLayout {
            name: "t",
            key: &key,
            sub_key: &sub_key,
            value: &value,
            namespace,
            ttl,
            max_parallelism: 128,
        };
        is_written_anew(&layout, &content);
    }
}

#[test]
fn values_of_all_kinds_are_written_anew() {
    let row = TypeKind::Row(vec![RowField::new("a", bigint()), RowField::new("b", text())]);
    let map = TypeKind::Map(Box::new(text()), Box::new(TypeKind::Int.not_null()));
    let (DataType::Struct(fields), DataType::Map(entries, _)) = (row.to_arrow(), map.to_arrow()) else { panic!() };
    let DataType::Struct(pair) = entries.data_type() else { panic!() };
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-1)]));
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\0b"), Some(""), None]));
    let nulls = || Some(NullBuffer::from(vec![true, true, false]));
    let pairs = StructArray::new(pair.clone(), vec![texts.clone(), Arc::new(Int32Array::from(vec![1, 2, 3]))], None);
    let maps = MapArray::new(entries.clone(), OffsetBuffer::from_lengths([2, 1, 0]), pairs, nulls(), false);
    let arrays = [Some(vec![Some(1), None]), Some(Vec::new()), None];
    let columns: Vec<ArrayRef> = vec![
        numbers.clone(),
        texts.clone(),
        Arc::new(Decimal128Array::from(vec![Some(-5i128), None, Some(7)]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(Decimal128Array::from(vec![Some(-5i128), None, Some(7)]).with_precision_and_scale(30, 2).unwrap()),
        Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), None])),
        Arc::new(StructArray::new(fields, vec![numbers, texts], nulls())),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(arrays)),
        Arc::new(maps),
        Arc::new(NullArray::new(3)),
    ];
    let types = [
        bigint(),
        text(),
        TypeKind::Decimal(10, 2).nullable(),
        TypeKind::Decimal(30, 2).nullable(),
        TypeKind::Double.nullable(),
        row.nullable(),
        TypeKind::Array(Box::new(bigint())).nullable(),
        map.nullable(),
        TypeKind::Null.nullable(),
    ];
    let content =
        Content { rows: 3, keys: columns.clone(), namespaces: Vec::new(), values: columns, written: Vec::new() };
    let (key, sub_key, namespace) = (&types, &[], false);
    let layout = TableLayout { name: "t", key, sub_key, value: &types, namespace, ttl: 0, max_parallelism: 128 };
    is_written_anew(&layout, &content);
    // The first column tells the two encodings apart, whatever its type.
    for at in 0..types.len() {
        let content = Content {
            rows: 1,
            keys: vec![content.keys[at].slice(0, 1)],
            namespaces: Vec::new(),
            values: Vec::new(),
            written: Vec::new(),
        };
        let layout = TableLayout { key: &types[at..=at], value: &[], ..layout };
        is_written_anew(&layout, &content);
    }
}

/// Their keys are the same in both encodings.
#[test]
fn tables_whose_keys_have_no_columns_are_written_anew() {
    let values: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7]))];
    let content = Content { rows: 1, keys: Vec::new(), namespaces: Vec::new(), values, written: Vec::new() };
    let (key, sub_key, namespace) = (&[], &[], false);
    let layout =
        TableLayout { name: "next", key, sub_key, value: &[bigint()], namespace, ttl: 0, max_parallelism: 128 };
    is_written_anew(&layout, &content);
}

#[test]
fn a_newer_encoding_is_refused() {
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let (key, sub_key, value) = (&[bigint()], &[], &[]);
        let layout = TableLayout { name: "t", key, sub_key, value, namespace: false, ttl: 0, max_parallelism: 128 };
        let mut tables = world.open(0..=127, &[]);
        tables.table(&proto::StateTableDescriptor { row_format: 7, ..layout.descriptor() }).unwrap();
        let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: false };
        let saved = [world.upload(tables.snapshot(&options, Vec::new()).unwrap(), &options)];
        let mut restored = world.open(0..=127, &saved);
        let Err(error) = RowTable::open(&mut *restored, &layout) else { panic!("{backend}") };
        let error = error.to_string();
        assert!(error.contains("'t' of test") && error.contains("in version 7 of their encoding"), "{error}");
    }
}
