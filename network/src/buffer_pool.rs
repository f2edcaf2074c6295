//! Who may hold how much of the network memory.
//!
//! The memory is counted in segments, as Flink's, though data is held in buffers of any size: a pool that holds `n`
//! segments may hold `n * segment_size` bytes. Nothing is allocated in advance.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use wiesel_common::notifier::Notifier;

use crate::error::{Error, Result};

/// All segments of a TaskManager.
#[derive(Debug)]
pub struct NetworkBufferPool {
    segment_size: usize,
    total: usize,
    available: AtomicUsize,
}

impl NetworkBufferPool {
    /// `memory` bytes in segments of `segment_size`.
    pub fn new(memory: u64, segment_size: usize) -> Arc<Self> {
        let total = usize::try_from(memory).unwrap_or(usize::MAX) / segment_size.max(1);
        Arc::new(Self { segment_size: segment_size.max(1), total, available: AtomicUsize::new(total) })
    }

    /// Bytes of a segment.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// Segments there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Segments that nobody holds.
    pub fn available(&self) -> usize {
        self.available.load(Ordering::Relaxed)
    }

    /// Takes exactly `required` segments, until the reservation is dropped.
    ///
    /// # Errors
    /// [`Error::InsufficientBuffers`] if there are fewer; none is taken then.
    pub fn reserve(self: &Arc<Self>, required: usize) -> Result<Segments> {
        self.available
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |available| available.checked_sub(required))
            .map(|_| Segments { pool: self.clone(), count: required })
            .map_err(|available| Error::InsufficientBuffers {
                required,
                available,
                total: self.total,
                segment_size: self.segment_size,
            })
    }
}

/// Segments that are held until this is dropped.
#[derive(Debug)]
pub struct Segments {
    pool: Arc<NetworkBufferPool>,
    count: usize,
}

impl Segments {
    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Holds `count` from now on if the pool has enough; false leaves it as it was. Giving back always works.
    pub fn resize(&mut self, count: usize) -> bool {
        if count > self.count {
            let more = count - self.count;
            let taken = self
                .pool
                .available
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |available| available.checked_sub(more));
            if taken.is_err() {
                return false;
            }
        } else {
            self.pool.available.fetch_add(self.count - count, Ordering::Relaxed);
        }
        self.count = count;
        true
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.pool.available.fetch_add(self.count, Ordering::Relaxed);
    }
}

/// How many times its budget a user may hold while it must not wait.
pub const OVERDRAFT: usize = 4;

/// The budget of one user of network memory: some segments for sure, more while there are any.
#[derive(Debug)]
pub struct LocalBufferPool {
    segment_size: usize,
    max: usize,
    state: Mutex<LocalState>,
    /// Woken when bytes come back while somebody was refused.
    notifier: Arc<Notifier>,
}

#[derive(Debug)]
struct LocalState {
    used: usize,
    segments: Segments,
    /// What is kept however little is used.
    required: usize,
    refused: bool,
}

impl LocalBufferPool {
    /// A budget of `required` to `max` segments.
    ///
    /// # Errors
    /// [`Error::InsufficientBuffers`] if the required ones are not there.
    pub fn new(
        global: &Arc<NetworkBufferPool>,
        required: usize,
        max: usize,
        notifier: Arc<Notifier>,
    ) -> Result<Arc<Self>> {
        let segments = global.reserve(required)?;
        Ok(Arc::new(Self {
            segment_size: global.segment_size,
            max: max.max(required),
            state: Mutex::new(LocalState { used: 0, segments, required, refused: false }),
            notifier,
        }))
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Takes `bytes` of the budget. Whoever holds nothing gets any number, so that a single large row passes; false
    /// otherwise means to wait for the notifier.
    pub fn try_acquire(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let used = state.used + bytes;
        let needed = used.div_ceil(self.segment_size);
        let fits = needed <= state.segments.count || (needed <= self.max && state.segments.resize(needed));
        if fits || state.used == 0 {
            state.used = used;
            return true;
        }
        state.refused = true;
        false
    }

    /// Takes `bytes` beyond the budget, up to [`OVERDRAFT`] times as many; false leaves it as it was. Nothing else is let in
    /// before as many have come back.
    pub fn try_overdraw(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let used = state.used + bytes;
        let allowed = state.used == 0 || used <= OVERDRAFT * self.max * self.segment_size;
        if allowed {
            self.overdraw_locked(&mut state, used);
        }
        allowed
    }

    /// Takes `bytes` however many there are: for what is bounded elsewhere, such as rows that wait for company.
    pub fn overdraw(&self, bytes: usize) {
        let mut state = self.state.lock();
        let used = state.used + bytes;
        self.overdraw_locked(&mut state, used);
    }

    fn overdraw_locked(&self, state: &mut LocalState, used: usize) {
        let needed = used.div_ceil(self.segment_size).min(self.max);
        if needed > state.segments.count {
            // If the pool has none left, what is beyond is held without a segment: it is back before more is let in.
            state.segments.resize(needed);
        }
        state.used = used;
    }

    /// Whether anything is left of the budget.
    pub fn is_available(&self) -> bool {
        let mut state = self.state.lock();
        let available = state.used < self.max * self.segment_size;
        state.refused |= !available;
        available
    }

    /// The owner is gone: segments are held for what is still in use, until it is given back.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.required = 0;
        self.shrink(&mut state);
    }

    fn shrink(&self, state: &mut LocalState) {
        let needed = state.used.div_ceil(self.segment_size).max(state.required);
        if needed < state.segments.count {
            state.segments.resize(needed);
        }
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.used = state.used.saturating_sub(bytes);
        self.shrink(&mut state);
        let wake = std::mem::take(&mut state.refused);
        drop(state);
        if wake {
            self.notifier.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_few_buffers_are_refused_in_flinks_words() {
        let pool = NetworkBufferPool::new(10 * 32768, 32768);
        let _held = pool.reserve(7).unwrap();
        let error = pool.reserve(4).unwrap_err().to_string();
        assert_eq!(
            error,
            "Insufficient number of network buffers: required 4, but only 3 available. The total number of network buffers \
             is currently set to 10 of 32768 bytes each. You can increase this number by setting the configuration keys \
             'taskmanager.memory.network.fraction', 'taskmanager.memory.network.min', and 'taskmanager.memory.network.max'."
        );
    }

    #[test]
    fn a_row_larger_than_the_budget_passes_alone() {
        let pool = NetworkBufferPool::new(1000, 100);
        let local = LocalBufferPool::new(&pool, 1, 2, Arc::default()).unwrap();
        assert!(local.try_acquire(5000));
        assert!(!local.try_acquire(1));
        local.release(5000);
        assert!(local.try_acquire(1));
    }

    #[test]
    fn an_overdraft_is_bounded_and_paid_back_before_more_is_let_in() {
        let pool = NetworkBufferPool::new(1000, 100);
        let local = LocalBufferPool::new(&pool, 1, 2, Arc::default()).unwrap();
        assert!(local.try_acquire(200) && !local.is_available());
        assert!(local.try_overdraw(600));
        assert!(!local.try_overdraw(1));
        local.overdraw(50);
        assert_eq!((local.used(), pool.available()), (850, 8));
        local.release(600);
        assert!(!local.try_acquire(1) && !local.is_available());
        local.release(250);
        assert!(local.try_acquire(1) && local.is_available());
        assert_eq!(pool.available(), 9);
    }

    #[test]
    fn a_closed_budget_holds_no_more_than_is_in_use() {
        let pool = NetworkBufferPool::new(1000, 100);
        let local = LocalBufferPool::new(&pool, 4, 8, Arc::default()).unwrap();
        assert!(local.try_acquire(150));
        local.close();
        assert_eq!(pool.available(), 8);
        local.release(150);
        assert_eq!(pool.available(), 10);
    }

    proptest! {
        /// Whatever is taken and given back: never more than the maximum unless alone, and nothing is lost at the end.
        #[test]
        fn budgets_hold(steps in prop::collection::vec((0..3usize, 1..400usize), 1..200)) {
            let global = NetworkBufferPool::new(2000, 100);
            {
                let pools: Vec<_> =
                    (0..3).map(|_| LocalBufferPool::new(&global, 2, 8, Arc::default()).unwrap()).collect();
                let mut held: Vec<Vec<usize>> = vec![vec![]; 3];
                for (pool, bytes) in steps {
                    let alone = held[pool].is_empty();
                    if pools[pool].try_acquire(bytes) {
                        held[pool].push(bytes);
                    } else if let Some(bytes) = held[pool].pop() {
                        pools[pool].release(bytes);
                    }
                    let sum: usize = held[pool].iter().sum();
                    prop_assert_eq!(pools[pool].used(), sum);
                    prop_assert!(alone || sum <= 800 || held[pool].len() == 1);
                }
                for (pool, held) in pools.iter().zip(held) {
                    held.into_iter().for_each(|bytes| pool.release(bytes));
                }
                prop_assert_eq!(global.available(), 20 - 6);
            }
            prop_assert_eq!(global.available(), 20);
        }
    }
}
