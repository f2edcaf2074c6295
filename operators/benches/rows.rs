//! Rows per second of the encodings of rows, beside Arrow's row format: a batch to bytes and back.
#![allow(missing_docs)]
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringViewArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wiesel_operators::rows::{Encoded, KeyCodec, ValueCodec};

const ROWS: usize = 8192;

/// What rows are made of in most queries.
fn cases() -> Vec<(&'static str, Vec<ArrayRef>)> {
    let numbers = || (0..ROWS as i64).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64));
    let bigint: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers()));
    let nullable: ArrayRef =
        Arc::new(numbers().map(|number| (number % 5 != 0).then_some(number)).collect::<Int64Array>());
    let text = |format: fn(i64) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(numbers().map(|number| format(number % 100_000))))
    };
    let (short, long) =
        (text(|number| format!("k{number}")), text(|number| format!("https://example.org/item/{number}")));
    let decimal = Decimal128Array::from_iter_values(numbers().map(|number| i128::from(number % 1_000_000)));
    let decimal: ArrayRef = Arc::new(decimal.with_precision_and_scale(10, 2).expect("a valid type"));
    vec![
        ("two bigints", vec![bigint.clone(), bigint.clone()]),
        ("short text and bigint", vec![short, bigint.clone()]),
        ("long text", vec![long]),
        (
            "six columns, some null",
            vec![bigint, nullable.clone(), decimal.clone(), decimal, nullable.clone(), nullable],
        ),
    ]
}

fn rows(criterion: &mut Criterion) {
    for (name, columns) in cases() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(ROWS as u64));
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let (key, value) = (
            KeyCodec::new(&types).expect("these types are kept"),
            ValueCodec::new(&types).expect("these types are kept"),
        );
        let mut encoded = Encoded::default();
        group.bench_function("key", |bencher| {
            bencher.iter(|| key.encode(black_box(&columns), ROWS, 0, &mut encoded).expect("these types are kept"));
        });
        group.bench_function("key back", |bencher| {
            bencher
                .iter(|| black_box(key.decode((0..ROWS).map(|row| encoded.get(row))).expect("these types are kept")));
        });
        group.bench_function("value", |bencher| {
            bencher.iter(|| value.encode(black_box(&columns), ROWS, 0, &mut encoded).expect("these types are kept"));
        });
        group.bench_function("value back", |bencher| {
            bencher
                .iter(|| black_box(value.decode((0..ROWS).map(|row| encoded.get(row))).expect("these types are kept")));
        });
        let arrow =
            RowConverter::new(types.iter().cloned().map(SortField::new).collect()).expect("these types are kept");
        let mut converted = arrow.empty_rows(0, 0);
        group.bench_function("arrow", |bencher| {
            bencher.iter(|| {
                converted.clear();
                arrow.append(&mut converted, black_box(&columns)).expect("these types are kept");
            });
        });
        let bytes: Vec<Vec<u8>> = converted.iter().map(|row| row.as_ref().to_vec()).collect();
        group.bench_function("arrow back", |bencher| {
            let parser = arrow.parser();
            bencher.iter(|| {
                black_box(arrow.convert_rows(bytes.iter().map(|row| parser.parse(row))).expect("these types are kept"))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
