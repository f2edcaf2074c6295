//! What every row of a shuffle passes through: hashing and taking apart, encoding and decoding.
#![allow(missing_docs)]
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{Field, Schema};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wiesel_common::keygroup;
use wiesel_network::codec::{Compression, Encoder, decode, row_bytes};
use wiesel_network::frame::{Header, Kind};
use wiesel_network::partitioner::HashSelector;

const ROWS: i64 = 8192;

/// Rows as a bid of Nexmark: numbers, a time, a short and a long text.
fn rows() -> RecordBatch {
    let scattered = |factor: i64| (0..ROWS).map(|i| i.wrapping_mul(factor) % 10_007).collect::<Int64Array>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(scattered(7919)),
        Arc::new(scattered(104_729)),
        Arc::new(scattered(31)),
        Arc::new((0..ROWS).map(|i| Some(format!("channel-{}", i % 100))).collect::<StringViewArray>()),
        Arc::new(
            (0..ROWS).map(|i| Some(format!("https://www.nexmark.com/item.htm?query={i}"))).collect::<StringViewArray>(),
        ),
        Arc::new(TimestampMillisecondArray::from_iter_values(0..ROWS)),
    ];
    let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), false));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    match RecordBatch::try_new(Arc::new(schema), columns) {
        Ok(batch) => batch,
        Err(error) => panic!("{error}"),
    }
}

fn hash(c: &mut Criterion) {
    let batch = rows();
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, column) in [("bigint", 0), ("text", 4)] {
        let keys = [batch.column(column).clone()];
        group.bench_function(name, |b| b.iter(|| keygroup::hash_columns(black_box(&keys), ROWS as usize)));
    }
    group.finish();
}

fn partition(c: &mut Criterion) {
    let batch = rows();
    let mut group = c.benchmark_group("partition");
    group.throughput(Throughput::Elements(ROWS as u64));
    for consumers in [2, 8, 64] {
        let Ok(mut selector) = HashSelector::new(vec![0], 128, consumers, &batch.schema()) else { return };
        group.bench_function(BenchmarkId::from_parameter(consumers), |b| {
            b.iter(|| {
                selector.select(black_box(&batch), |target, part| {
                    black_box((target, part));
                    Ok(())
                })
            });
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let batch = rows();
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Bytes(row_bytes(&batch) as u64));
    for (name, compression) in [("plain", Compression::None), ("lz4", Compression::Lz4)] {
        let Ok(mut encoder) = Encoder::new(compression) else { return };
        group.bench_function(BenchmarkId::new("encode", name), |b| b.iter(|| encoder.encode(black_box(&batch))));
        let Ok(payload) = encoder.encode(&batch) else { return };
        let mut buffer = MutableBuffer::new(payload.len());
        buffer.extend_from_slice(&payload.head);
        buffer.extend_from_slice(&payload.body);
        let (schema, buffer) = (batch.schema(), Buffer::from(buffer));
        group.bench_function(BenchmarkId::new("decode", name), |b| b.iter(|| decode(&schema, black_box(&buffer))));
    }
    group.finish();
    let header = Header { kind: Kind::Data, channel: 7, backlog: 1 << 20, sequence: 123, length: 65536, checked: true };
    c.bench_function("frame/header", |b| b.iter(|| Header::decode(&black_box(header).encode())));
}

criterion_group!(benches, hash, partition, frames);
criterion_main!(benches);
