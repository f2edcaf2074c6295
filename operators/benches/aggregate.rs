//! Rows per second of the aggregates: a group aggregate and a tumbling count, both by a BIGINT key.
#![allow(missing_docs)]
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wiesel_common::config::Configuration;
use wiesel_common::notifier::Notifier;
use wiesel_common::time::SystemClock;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind, schema_to_proto, to_arrow_schema};
use wiesel_operators::build::build_operator;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, Operator, OperatorContext, Result};
use wiesel_operators::window_aggregate::local_output;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

const ROWS: usize = 8192;
const BATCHES: usize = 64;
const WINDOW: i64 = 10_000;

/// Counts the rows that come out.
#[derive(Default)]
struct Sink(usize);

impl Collector for Sink {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.0 += batch.num_rows();
        Ok(())
    }

    fn watermark(&mut self, _: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _: WatermarkStatus) -> Result<()> {
        Ok(())
    }
}

fn context(runtime: &tokio::runtime::Runtime) -> OperatorContext {
    OperatorContext {
        job_id: wiesel_common::id::JobId([7; 16]),
        run: 1,
        task_name: "bench".into(),
        attempt_number: 0,
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        configuration: Arc::new(Configuration::from_iter([("table.local-time-zone".to_owned(), "UTC".to_owned())])),
        clock: Arc::new(SystemClock),
        notifier: Arc::new(Notifier::default()),
        runtime: runtime.handle().clone(),
    }
}

fn fields() -> Vec<RowField> {
    let time = TypeKind::Timestamp(3, TimeAttribute::Rowtime).not_null();
    let bigint = || TypeKind::Bigint.not_null();
    vec![RowField::new("k", bigint()), RowField::new("ts", time), RowField::new("v", bigint())]
}

/// Batches with keys below `keys`, a hundred rows a millisecond.
fn batches(keys: u64) -> Vec<Batch> {
    let mut seed = 42u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let schema = to_arrow_schema(&fields());
    let batch = |number: usize| {
        let rows = number * ROWS..(number + 1) * ROWS;
        let ids = Int64Array::from_iter_values(rows.clone().map(|_| (random() % keys) as i64));
        let times = TimestampMillisecondArray::from_iter_values(rows.clone().map(|row| row as i64 / 100));
        let values = Int64Array::from_iter_values(rows.map(|row| row as i64));
        let columns = vec![Arc::new(ids) as _, Arc::new(times) as _, Arc::new(values) as _];
        Batch::insert_only(RecordBatch::try_new(schema.clone(), columns).expect("columns fit the schema"))
    };
    (0..BATCHES).map(batch).collect()
}

fn call(function: &str, arguments: &[u32]) -> proto::AggregateCall {
    let data_type: &LogicalType = &TypeKind::Bigint.nullable();
    proto::AggregateCall {
        function: function.into(),
        arguments: arguments.to_vec(),
        r#type: Some(data_type.into()),
        name: function.into(),
        ..proto::AggregateCall::default()
    }
}

fn group_aggregate(calls: Vec<proto::AggregateCall>, context: &OperatorContext) -> Box<dyn Operator> {
    let mut output = vec![fields()[0].clone()];
    output.extend(calls.iter().map(|call| RowField::new(call.name.clone(), TypeKind::Bigint.nullable())));
    let spec = proto::GroupAggregateSpec {
        input: Some(schema_to_proto(&fields())),
        keys: vec![0],
        aggregates: calls,
        generate_update_before: false,
        ..proto::GroupAggregateSpec::default()
    };
    build("GroupAggregate", &output, Kind::GroupAggregate(spec), context)
}

fn local_window(context: &OperatorContext) -> Box<dyn Operator> {
    let window = proto::WindowSpec { size: WINDOW, time: 1, event_time: true, ..proto::WindowSpec::default() };
    let spec = proto::WindowAggregateSpec {
        input: Some(schema_to_proto(&fields())),
        keys: vec![0],
        aggregates: vec![call("COUNT", &[])],
        window: Some(window),
        phase: proto::WindowPhase::Local as i32,
        properties: Vec::new(),
    };
    let output = local_output(&spec).expect("COUNT can be split");
    build("LocalWindowAggregate", &output, Kind::WindowAggregate(spec), context)
}

fn build(name: &str, output: &[RowField], kind: Kind, context: &OperatorContext) -> Box<dyn Operator> {
    let spec = proto::OperatorSpec {
        name: name.into(),
        output: Some(schema_to_proto(output)),
        output_changelog: true,
        kind: Some(kind),
        ..proto::OperatorSpec::default()
    };
    build_operator(&spec, context).expect("the specification is sound").operator
}

fn run(operator: &mut dyn Operator, batches: &[Batch]) -> usize {
    let mut sink = Sink::default();
    for batch in batches {
        operator.process(0, batch.clone(), &mut sink).expect("rows are sound");
    }
    sink.0
}

fn aggregates(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let context = context(&runtime);
    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Elements((ROWS * BATCHES) as u64)).sample_size(20);
    for keys in [1_000, 100_000] {
        let batches = batches(keys);
        group.bench_with_input(BenchmarkId::new("local tumbling count", keys), &batches, |bencher, batches| {
            bencher.iter_batched_ref(
                || local_window(&context),
                |operator| {
                    let mut sink = Sink::default();
                    for (number, batch) in batches.iter().enumerate() {
                        operator.process(0, batch.clone(), &mut sink).expect("rows are sound");
                        let time = ((number + 1) * ROWS) as i64 / 100;
                        operator.watermark(time - 1, &mut sink).expect("windows can be emitted");
                    }
                    operator.watermark(i64::MAX, &mut sink).expect("windows can be emitted");
                    black_box(sink.0)
                },
                criterion::BatchSize::LargeInput,
            );
        });
        let counts = [
            ("count", vec![call("COUNT", &[])]),
            ("count sum max", vec![call("COUNT", &[]), call("SUM", &[2]), call("MAX", &[2])]),
        ];
        for (name, calls) in counts {
            let mut operator = group_aggregate(calls, &context);
            run(&mut *operator, &batches);
            let id = BenchmarkId::new(format!("group {name}"), keys);
            group.bench_with_input(id, &batches, |bencher, batches| {
                bencher.iter(|| black_box(run(&mut *operator, batches)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, aggregates);
criterion_main!(benches);
