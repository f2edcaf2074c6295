//! Reads and writes of 10,000 keys at once on both back ends, in a table of a million entries.
#![allow(missing_docs)]
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_proto::StateTableDescriptor;
use wiesel_state::keyed::{KeyedBackend, OpenRequest, TableId, WriteBatch};
use wiesel_state::storage::CheckpointStorage;
use wiesel_state_backends::{StateResources, backend};

const ENTRIES: u64 = 1_000_000;
const BATCH: u64 = 10_000;

fn key(number: u64) -> Bytes {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let group = (mixed >> 57) as u16;
    [&group.to_be_bytes()[..], &mixed.to_be_bytes()[..]].concat().into()
}

fn batch(from: u64, value: u8) -> WriteBatch {
    let mut entries: Vec<_> = (from..from + BATCH).map(|n| (key(n), Some(Bytes::from(vec![value; 32])))).collect();
    entries.sort();
    WriteBatch { entries }
}

fn open(kind: &str, folder: &std::path::Path, runtime: &tokio::runtime::Runtime) -> (Box<dyn KeyedBackend>, TableId) {
    let mut config = Configuration::default();
    config.set("state.backend.type", kind);
    config.set("io.tmp.dirs", folder.display().to_string());
    let resources = StateResources::new(&config, 512 << 20, 1).expect("the configuration is good");
    let storage = CheckpointStorage::new(&config, JobId([0; 16])).expect("the configuration is good");
    let opened = backend(&config, &resources, storage, runtime.handle().clone())
        .expect("the configuration is good")
        .open(OpenRequest {
            operator: "0".into(),
            task_name: "bench".into(),
            attempt: "0".into(),
            key_groups: Some(0..=127),
            restore: Vec::new(),
        });
    let mut tables = opened.expect("the folder can be written");
    let table = tables.table(&StateTableDescriptor { name: "t".into(), ..Default::default() });
    (tables, table.expect("it is the first table"))
}

fn tables(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let folder = tempfile::tempdir().expect("a folder can be made");
    for kind in ["hashmap", "rocksdb"] {
        let (mut tables, table) = open(kind, folder.path(), &runtime);
        for from in (0..ENTRIES).step_by(BATCH as usize) {
            tables.write(table, batch(from, 1)).expect("it can be written");
        }
        let mut group = criterion.benchmark_group(kind);
        group.throughput(Throughput::Elements(BATCH)).sample_size(20);
        let mut from = 0;
        group.bench_function("get", |bencher| {
            bencher.iter_batched(
                || {
                    from = (from + BATCH) % ENTRIES;
                    batch(from, 0).entries
                },
                |entries| {
                    let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| &key[..]).collect();
                    black_box(tables.get(table, &keys).expect("it can be read"))
                },
                criterion::BatchSize::LargeInput,
            );
        });
        group.bench_function("write", |bencher| {
            bencher.iter_batched(
                || {
                    from = (from + BATCH) % ENTRIES;
                    batch(from, 2)
                },
                |batch| tables.write(table, batch).expect("it can be written"),
                criterion::BatchSize::LargeInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, tables);
criterion_main!(benches);
