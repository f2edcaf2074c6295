//! What the tests of formats share.
use std::sync::Arc;

use arrow::array::RecordBatch;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_common::time::ManualClock;
use wiesel_connectors::factory;
use wiesel_expressions::expression::{CLUSTER_TIME_ZONE, LOCAL_TIME_ZONE};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::{EnumeratorContext, SourceStatus, SplitAssignment};
use wiesel_proto as proto;

use crate::BuiltInFormats;

/// A job's configuration in a test: it always has these time zones.
pub(crate) fn configuration() -> Arc<Configuration> {
    let zones = [LOCAL_TIME_ZONE, CLUSTER_TIME_ZONE];
    Arc::new(zones.into_iter().map(|key| (key.to_owned(), "UTC".to_owned())).collect())
}

/// Keeps what is collected.
#[derive(Default)]
struct Collected(Vec<RecordBatch>);

impl Collector for Collected {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.0.push(batch.records);
        Ok(())
    }

    fn watermark(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _status: WatermarkStatus) -> Result<()> {
        Ok(())
    }
}

/// The rows of a bounded source.
pub(crate) fn rows_of(spec: &proto::SourceSpec) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Arc::new(ManualClock::default());
    let context = OperatorContext {
        job_id: JobId([7; 16]),
        run: 1,
        task_name: "test".into(),
        attempt_number: 0,
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        configuration: configuration(),
        clock: clock.clone(),
        notifier: Arc::default(),
        runtime: runtime.handle().clone(),
    };
    let enumerator = EnumeratorContext { parallelism: 1, configuration: configuration() };
    let mut enumerator = factory::enumerator(spec, enumerator).unwrap();
    assert!(enumerator.discover().unwrap().is_empty());
    while enumerator.discovery_interval().is_some() {
        assert!(enumerator.discover().unwrap().is_empty());
    }
    let mut reader = factory::build_source(spec, &BuiltInFormats).unwrap();
    reader.open(&context).unwrap();
    let mut out = Collected::default();
    loop {
        let status = reader.poll(&mut out).unwrap();
        if reader.take_split_request() {
            match enumerator.request_split(0, "localhost").unwrap() {
                SplitAssignment::Splits(splits) => reader.add_splits(splits).unwrap(),
                SplitAssignment::NoMoreSplits => reader.no_more_splits(),
                SplitAssignment::Wait => unreachable!("a bounded source"),
            }
        }
        match status {
            SourceStatus::NothingAvailable { until: Some(until) } => clock.set(until),
            SourceStatus::EndOfInput => return out.0,
            _ => {}
        }
    }
}
