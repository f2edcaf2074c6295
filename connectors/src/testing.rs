//! What the tests of sources and sinks share.
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use wiesel_common::time::Clock;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::EnumeratorContext;

/// Keeps what is collected.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) batches: Vec<Batch>,
}

impl Collector for Collected {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }

    fn watermark(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _status: WatermarkStatus) -> Result<()> {
        Ok(())
    }
}

/// What an operator knows in a test.
pub(crate) fn context(subtask: u32, parallelism: u32) -> OperatorContext {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap());
    OperatorContext {
        task_name: "test".into(),
        subtask,
        parallelism,
        max_parallelism: 128,
        configuration: Arc::default(),
        clock: Arc::new(TestClock::default()),
        notifier: Arc::default(),
        runtime: RUNTIME.handle().clone(),
    }
}

/// What an enumerator knows in a test.
pub(crate) fn enumerator_context(parallelism: u32) -> EnumeratorContext {
    EnumeratorContext { parallelism, configuration: Arc::default() }
}

/// A clock that stands at what it was set to.
#[derive(Default)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
