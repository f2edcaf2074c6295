//! What a task counts: written by its thread, read by the reports.
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use wiesel_operators::element::MIN_WATERMARK;
use wiesel_proto as proto;

/// A task's counters.
#[derive(Debug)]
pub struct TaskCounters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    busy_ms: AtomicU64,
    idle_ms: AtomicU64,
    back_pressured_ms: AtomicU64,
    watermark: AtomicI64,
}

impl Default for TaskCounters {
    fn default() -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            busy_ms: AtomicU64::new(0),
            idle_ms: AtomicU64::new(0),
            back_pressured_ms: AtomicU64::new(0),
            watermark: AtomicI64::new(MIN_WATERMARK),
        }
    }
}

impl TaskCounters {
    /// Rows and bytes that came in.
    pub(crate) fn set_input(&self, (records, bytes): (u64, u64)) {
        self.records_in.store(records, Ordering::Relaxed);
        self.bytes_in.store(bytes, Ordering::Relaxed);
    }

    /// Rows and bytes that went out.
    pub(crate) fn set_output(&self, (records, bytes): (u64, u64)) {
        self.records_out.store(records, Ordering::Relaxed);
        self.bytes_out.store(bytes, Ordering::Relaxed);
    }

    /// How the time since the task started running was spent.
    pub(crate) fn set_times(&self, total: Duration, idle: Duration, back_pressured: Duration) {
        let busy = total.saturating_sub(idle).saturating_sub(back_pressured);
        self.busy_ms.store(busy.as_millis() as u64, Ordering::Relaxed);
        self.idle_ms.store(idle.as_millis() as u64, Ordering::Relaxed);
        self.back_pressured_ms.store(back_pressured.as_millis() as u64, Ordering::Relaxed);
    }

    /// The event time the task has reached, milliseconds.
    pub(crate) fn set_watermark(&self, watermark: i64) {
        self.watermark.store(watermark, Ordering::Relaxed);
    }

    /// The counters as they are.
    pub fn snapshot(&self) -> proto::TaskMetrics {
        proto::TaskMetrics {
            records_in: self.records_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            busy_ms: self.busy_ms.load(Ordering::Relaxed),
            idle_ms: self.idle_ms.load(Ordering::Relaxed),
            back_pressured_ms: self.back_pressured_ms.load(Ordering::Relaxed),
            watermark: self.watermark.load(Ordering::Relaxed),
        }
    }
}
