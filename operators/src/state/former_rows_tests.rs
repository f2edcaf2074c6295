//! State of releases whose tables were in Arrow's row format.
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, NullArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use wiesel_common::keygroup;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};
use wiesel_proto as proto;
use wiesel_state::keyed::{KeptBack, KeyedBackend, SnapshotOptions, TableId, WriteBatch};

use super::cache::Values;
use super::former_rows::VERSION;
use super::kept_back::{content as beside, write_restored};
use super::table::{RowTable, TableLayout, key_groups};
use crate::aggregate::nested::{retype, row_type};
use crate::aggregate::{physical_type, to_logical};
use crate::operator::{Error, RestoredState};
use crate::rows;
use crate::testing::state::{BACKENDS, World};
use crate::testing::{context, context_with};

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

/// How a table was described.
fn former_descriptor(layout: &TableLayout<'_>) -> proto::StateTableDescriptor {
    // What has expired is written, too.
    let ttl = if layout.ttl > 0 { u64::MAX } else { 0 };
    proto::StateTableDescriptor { row_format: VERSION, ttl, ..layout.descriptor() }
}

/// Writes a table as it was, as far as key groups are the back end's.
fn write_former(backend: &mut dyn KeyedBackend, layout: &TableLayout<'_>, content: &Content) {
    let table = backend.table(&former_descriptor(layout)).unwrap();
    let own = backend.key_groups().unwrap();
    let groups = key_groups(&content.keys[..layout.key.len()], content.rows, 128).unwrap();
    let (keys, values) = (former_rows(&content.keys, content.rows), former_rows(&content.values, content.rows));
    let mut entries: Vec<(Bytes, Option<Bytes>)> = Vec::new();
    for row in (0..content.rows).filter(|row| own.contains(&groups[*row])) {
        let mut key = groups[row].to_be_bytes().to_vec();
        key.extend(content.namespaces.get(row).into_iter().flat_map(|at| (*at as u64 ^ 1 << 63).to_be_bytes()));
        key.extend(&keys[row]);
        let mut value: Vec<u8> = content.written.get(row).into_iter().flat_map(|time| time.to_be_bytes()).collect();
        value.extend(&values[row]);
        entries.push((key.into(), Some(value.into())));
    }
    entries.sort();
    backend.write(table, WriteBatch { entries }).unwrap();
}

/// A snapshot that refers to no earlier one: sorted entries, or the back end's own files and what is kept back.
fn saved(
    world: &World,
    backend: &mut dyn KeyedBackend,
    canonical: bool,
    kept_back: Vec<KeptBack>,
) -> proto::KeyedStateHandle {
    let options = SnapshotOptions { checkpoint_id: 1, canonical, full: true, savepoint: false };
    world.upload(backend.snapshot(&options, kept_back).unwrap(), &options)
}

/// A snapshot of a table as it was; also of what has expired.
fn former_table(world: &World, layout: &TableLayout<'_>, content: &Content) -> proto::KeyedStateHandle {
    let mut backend = world.open(0..=127, &[]);
    write_former(&mut *backend, layout, content);
    saved(world, &mut *backend, false, Vec::new())
}

/// What a table has today.
fn entries(table: &RowTable, content: &Content) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = table.keys(&content.keys, &content.namespaces, content.rows).unwrap();
    let values = table.values(&content.values, &content.written, content.rows).unwrap();
    (0..content.rows).map(|row| (keys.get(row).to_vec(), values.get(row).to_vec())).collect()
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
        let expected = entries(&table, content);
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

/// Null and two values.
fn column(kind: &TypeKind) -> ArrayRef {
    let data_type = kind.to_arrow();
    let physical: ArrayRef = match physical_type(&data_type) {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![None, Some(false), Some(true)])),
        DataType::Int8 => Arc::new(Int8Array::from(vec![None, Some(i8::MIN), Some(1)])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![None, Some(i16::MIN), Some(1)])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![None, Some(-1), Some(1)])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![None, Some(-1), Some(1)])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![None, Some(-0.0), Some(f32::NAN)])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![None, Some(-0.0), Some(f64::NAN)])),
        DataType::Decimal128(precision, scale) => {
            let largest = 10i128.pow(u32::from(precision)) - 1;
            let values = Decimal128Array::from(vec![None, Some(-largest), Some(largest)]);
            Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
        }
        DataType::Utf8View => Arc::new(StringViewArray::from(vec![None, Some(""), Some("a  ")])),
        DataType::BinaryView => {
            let values: [Option<&[u8]>; 3] = [None, Some(&[0]), Some(&[0, 1, 0xff])];
            Arc::new(BinaryViewArray::from_iter(values))
        }
        other => panic!("{other}"),
    };
    to_logical(physical, &data_type)
}

/// Alone in keys and values, and as elements of an array: of null, of none, and of two values.
#[test]
fn values_of_each_plain_type_are_written_anew() {
    use TimeAttribute::Regular;
    let kinds = [
        TypeKind::Char(3),
        TypeKind::Boolean,
        TypeKind::Binary(3),
        TypeKind::Decimal(18, 2),
        TypeKind::Decimal(19, 2),
        TypeKind::Decimal(38, 0),
        TypeKind::Tinyint,
        TypeKind::Smallint,
        TypeKind::Int,
        TypeKind::Bigint,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(3, Regular),
        TypeKind::Timestamp(6, Regular),
        TypeKind::Timestamp(9, Regular),
        TypeKind::TimestampLtz(3, Regular),
        TypeKind::TimestampLtz(6, Regular),
        TypeKind::TimestampLtz(9, Regular),
        TypeKind::IntervalYearMonth("MONTH".into()),
        TypeKind::IntervalDayTime("SECOND(3)".into()),
    ];
    for kind in kinds {
        let array = TypeKind::Array(Box::new(kind.clone().nullable()));
        let DataType::List(item) = array.to_arrow() else { panic!() };
        let arrays = ListArray::new(item, OffsetBuffer::from_lengths([1, 0, 2]), column(&kind), None);
        let columns = vec![column(&kind), Arc::new(arrays) as ArrayRef];
        let types = [kind.nullable(), array.nullable()];
        let content =
            Content { rows: 3, keys: columns.clone(), namespaces: Vec::new(), values: columns, written: Vec::new() };
        let (key, sub_key, namespace) = (&types, &[], false);
        let layout = TableLayout { name: "t", key, sub_key, value: &types, namespace, ttl: 0, max_parallelism: 128 };
        is_written_anew(&layout, &content);
    }
}

/// So many rows with two columns of keys and one of values.
fn numbered_texts(rows: i64) -> Content {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let texts = (0..rows).map(|number| (number % 7 > 0).then(|| format!("text {}", number / 10)));
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter(texts));
    let keys = vec![texts.clone(), numbers];
    Content { rows: rows as usize, keys, namespaces: Vec::new(), values: vec![texts], written: Vec::new() }
}

/// Also from files of the other back end, and so that the next incremental checkpoint has what they had.
#[test]
fn parts_are_written_anew_at_another_parallelism() {
    let content = numbered_texts(3_000);
    let (key, sub_key, value) = ([text()], [bigint()], [text()]);
    let layout = TableLayout {
        name: "t",
        key: &key,
        sub_key: &sub_key,
        value: &value,
        namespace: false,
        ttl: 0,
        max_parallelism: 128,
    };
    let ways = BACKENDS.into_iter().flat_map(|from| BACKENDS.map(|to| (from, to)));
    for (from, to, canonical) in ways.flat_map(|(from, to)| [false, true].map(|canonical| (from, to, canonical))) {
        let case = format!("{from} to {to}, canonical: {canonical}");
        let world = World::new(&context(), from);
        let former = [0..=63, 64..=127].map(|own| {
            let mut backend = world.open(own, &[]);
            write_former(&mut *backend, &layout, &content);
            saved(&world, &mut *backend, canonical, Vec::new())
        });
        let (mut all_rows, mut later) = (BTreeMap::new(), Vec::new());
        // An attempt that fails changes nothing of what the next one starts from.
        for attempt in 0..2 {
            all_rows.clear();
            later.clear();
            for own in (0..3).map(|subtask| keygroup::key_groups(subtask, 3, 128)) {
                let mut backend = world.restored(to, own.clone(), &former, usize::MAX).keyed().unwrap();
                let table = RowTable::open(&mut *backend, &layout).unwrap();
                let mut expected = entries(&table, &content);
                expected.retain(|key, _| own.contains(&u32::from(u16::from_be_bytes([key[0], key[1]]))));
                assert_eq!(all(&*backend, table.id), expected, "{case}, attempt {attempt}");
                all_rows.extend(expected);
                for checkpoint_id in [2, 3] {
                    let options = SnapshotOptions { checkpoint_id, canonical: false, full: false, savepoint: false };
                    let handle = world.upload(backend.snapshot(&options, Vec::new()).unwrap(), &options);
                    backend.checkpoint_completed(checkpoint_id);
                    later.retain(|known: &proto::KeyedStateHandle| known.first_key_group != handle.first_key_group);
                    later.push(handle);
                }
            }
        }
        assert_eq!((all_rows.len(), later.len()), (content.rows, 3), "{case}");
        let mut backend = world.open(0..=127, &later);
        let table = RowTable::open(&mut *backend, &layout).unwrap();
        assert_eq!(all(&*backend, table.id), all_rows, "{case}");
    }
}

/// What an attempt has written anew goes with it: the next one starts from what was saved.
#[test]
fn an_attempt_that_dies_between_two_parts_is_followed_by_one_that_has_everything_once() {
    let content = numbered_texts(10_000);
    let (key, sub_key, value) = ([text()], [bigint()], [text()]);
    let layout = TableLayout {
        name: "t",
        key: &key,
        sub_key: &sub_key,
        value: &value,
        namespace: false,
        ttl: 0,
        max_parallelism: 128,
    };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let former = [former_table(&world, &layout, &content)];
        for parts in 0..3 {
            world.fail_after(parts);
            let before = world.written();
            let mut died = world.restored(backend, 0..128, &former, usize::MAX).keyed().unwrap();
            let Err(error) = RowTable::open(&mut *died, &layout) else { panic!("{backend} has no part {parts}") };
            assert_eq!(error.to_string(), "a write fails on purpose");
            assert_eq!(world.written() > before, parts > 0, "{backend}: {parts} parts");
            // A process that is killed puts nothing in order.
            std::mem::forget(died);

            world.fail_after(usize::MAX);
            let mut next = world.restored(backend, 0..128, &former, usize::MAX).keyed().unwrap();
            let table = RowTable::open(&mut *next, &layout).unwrap();
            let expected = entries(&table, &content);
            assert_eq!(expected.len(), content.rows);
            assert_eq!(all(&*next, table.id), expected, "{backend}: {parts} parts");
            let handle = [saved(&world, &mut *next, true, Vec::new())];
            assert_eq!(handle[0].tables[0].row_format, rows::VERSION, "{backend}: {parts} parts");
        }
    }
}

/// What a snapshot has beside a table stands for what the table has of its keys.
#[test]
fn what_was_kept_back_is_written_over_what_is_written_anew() {
    for ttl in [0, 1_000] {
        let (context, clock) = context_with(&[]);
        clock.set(5_000);
        let world = World::new(&context, "rocksdb");
        let (key, value) = ([bigint()], [text()]);
        let layout = TableLayout {
            name: "t",
            key: &key,
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl,
            max_parallelism: 128,
        };
        let content = |numbers: [i64; 3], prefix: &str| {
            let texts = numbers.map(|number| format!("{prefix} {number}"));
            Content {
                rows: 3,
                keys: vec![Arc::new(Int64Array::from_iter_values(numbers))],
                namespaces: Vec::new(),
                values: vec![Arc::new(StringViewArray::from_iter_values(texts))],
                written: if ttl > 0 { vec![4_500; 3] } else { Vec::new() },
            }
        };
        let (stored, newer) = (content([1, 2, 3], "stored"), content([3, 4, 5], "newer"));
        let mut former = world.open(0..=127, &[]);
        write_former(&mut *former, &layout, &stored);
        // It has the number of the only table.
        let table = RowTable::open(&mut *world.open(0..=127, &[]), &layout).unwrap();
        let values = Values { columns: newer.values.clone(), written: newer.written.clone() };
        let kept_back = beside(&table, newer.rows, newer.keys.clone(), values);
        let former = [saved(&world, &mut *former, false, vec![kept_back])];
        for backend in BACKENDS {
            let mut restored = world.restored(backend, 0..128, &former, usize::MAX).keyed().unwrap();
            let table = RowTable::open(&mut *restored, &layout).unwrap();
            write_restored(&mut *restored, &table).unwrap();
            let mut expected = entries(&table, &stored);
            expected.extend(entries(&table, &newer));
            assert_eq!(expected.len(), 5);
            assert_eq!(all(&*restored, table.id), expected, "{backend}, time to live: {ttl}");
        }
    }
}

/// One that nobody opens stays as it was, beside those that were; also where it has no rows.
#[test]
fn tables_are_written_anew_when_they_are_opened() {
    let content = numbered_texts(100);
    let (key, value) = ([text(), bigint()], [text()]);
    let layout = |name: &'static str| TableLayout {
        name,
        key: &key,
        sub_key: &[],
        value: &value,
        namespace: false,
        ttl: 0,
        max_parallelism: 128,
    };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let mut former = world.open(0..=127, &[]);
        write_former(&mut *former, &layout("opened"), &content);
        write_former(&mut *former, &layout("late"), &content);
        former.table(&former_descriptor(&layout("empty"))).unwrap();
        let former = [saved(&world, &mut *former, false, Vec::new())];
        let mut restored = world.open(0..=127, &former);
        let opened = RowTable::open(&mut *restored, &layout("opened")).unwrap();
        let empty = RowTable::open(&mut *restored, &layout("empty")).unwrap();
        let expected = entries(&opened, &content);
        assert_eq!(all(&*restored, opened.id), expected, "{backend}");
        assert!(all(&*restored, empty.id).is_empty());
        let between = [saved(&world, &mut *restored, false, Vec::new())];
        let formats: Vec<_> = between[0].tables.iter().map(|table| (&table.name[..], table.row_format)).collect();
        assert_eq!(formats, [("opened", rows::VERSION), ("late", VERSION), ("empty", rows::VERSION)], "{backend}");
        let mut again = world.open(0..=127, &between);
        for name in ["empty", "late", "opened"] {
            let table = RowTable::open(&mut *again, &layout(name)).unwrap();
            let found = all(&*again, table.id);
            assert_eq!(found, if name == "empty" { BTreeMap::new() } else { expected.clone() }, "{backend}: {name}");
        }
    }
}

/// A large state takes minutes.
#[test]
fn a_task_that_is_to_end_does_not_write_its_state_anew() {
    let content = numbered_texts(10);
    let (key, value) = ([text(), bigint()], [text()]);
    let (sub_key, namespace) = (&[], false);
    let layout = TableLayout { name: "t", key: &key, sub_key, value: &value, namespace, ttl: 0, max_parallelism: 128 };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let former = [former_table(&world, &layout, &content)];
        let mut restored = world.open(0..=127, &former);
        let told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
        assert!(matches!(RowTable::open(&mut *restored, &layout), Err(Error::Cancelled)), "{backend}");
        drop(told);
    }
}

#[test]
fn damaged_rows_are_refused_with_the_name_of_their_table() {
    let (key, value) = ([bigint()], [text()]);
    let (sub_key, namespace) = (&[], false);
    let layout = TableLayout { name: "t", key: &key, sub_key, value: &value, namespace, ttl: 0, max_parallelism: 128 };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let mut former = world.open(0..=127, &[]);
        let table = former.table(&former_descriptor(&layout)).unwrap();
        let entries = vec![(Bytes::from_static(&[0, 0]), Some(Bytes::from_static(&[0])))];
        former.write(table, WriteBatch { entries }).unwrap();
        let former = [saved(&world, &mut *former, true, Vec::new())];
        let Err(error) = RowTable::open(&mut *world.open(0..=127, &former), &layout) else { panic!("{backend}") };
        assert_eq!(error.to_string(), "the state 't': a key without its columns");
    }
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
