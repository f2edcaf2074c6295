//! Drops expired entries while RocksDB sorts its files.
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::rocksdb::CompactionDecision;
use ::rocksdb::compaction_filter::CompactionFilter;
use ::rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use wiesel_common::time::Clock;
use wiesel_state::ttl::Ttl;

const NAME: &CStr = c"wiesel-ttl";

/// Makes a filter for each compaction of a table.
pub(crate) struct TtlFactory {
    /// Milliseconds; 0 as long as no operator has said what it is: then nothing goes.
    pub(crate) millis: Arc<AtomicU64>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Entries between two looks at the clock.
    pub(crate) clock_entries: u64,
}

impl CompactionFilterFactory for TtlFactory {
    type Filter = TtlFilter;

    fn create(&mut self, _context: CompactionFilterContext) -> TtlFilter {
        let ttl = Ttl { millis: self.millis.load(Ordering::Relaxed), now: self.clock.now_millis() };
        TtlFilter { ttl, clock: self.clock.clone(), clock_entries: self.clock_entries, seen: 0 }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}

pub(crate) struct TtlFilter {
    ttl: Ttl,
    clock: Arc<dyn Clock>,
    clock_entries: u64,
    seen: u64,
}

impl CompactionFilter for TtlFilter {
    fn filter(&mut self, _level: u32, _key: &[u8], value: &[u8]) -> CompactionDecision {
        self.seen += 1;
        if self.seen.is_multiple_of(self.clock_entries) {
            self.ttl.now = self.clock.now_millis();
        }
        if self.ttl.expired(value) { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}
