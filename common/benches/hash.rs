//! Rows hashed and assigned to subtasks a second.
#![allow(missing_docs)]
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wiesel_common::keygroup::{hash_columns, subtasks};

const ROWS: usize = 8192;

fn hashes(criterion: &mut Criterion) {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(|i| i * 7919)));
    let gaps: ArrayRef = Arc::new(Int64Array::from_iter((0..ROWS as i64).map(|i| (i % 7 != 0).then_some(i))));
    let words: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| format!("key {i}"))));
    let texts = (0..ROWS).map(|i| format!("https://www.nexmark.com/item/{i}/of/many"));
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
    let cases = [
        ("bigint", vec![numbers.clone()]),
        ("bigint with nulls", vec![gaps]),
        ("short string", vec![words.clone()]),
        ("long string", vec![texts]),
        ("bigint and string", vec![numbers, words]),
    ];
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, columns) in &cases {
        group.bench_function(*name, |bencher| bencher.iter(|| hash_columns(black_box(columns), ROWS)));
    }
    group.bench_function("bigint to subtask", |bencher| {
        bencher.iter(|| subtasks(black_box(&cases[0].1), ROWS, 4, 128));
    });
    group.finish();
}

criterion_group!(benches, hashes);
criterion_main!(benches);
