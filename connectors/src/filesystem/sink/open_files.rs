//! How many part files are open at once. A file that is closed early takes no more rows, and its partition gets another one: with fewer
//! open files than partitions that rows go to in turn, each few rows would be a file of their own.
use std::sync::atomic::{AtomicU64, Ordering};

use wiesel_common::process;

/// Each sink may have so many open, however many others have.
pub(super) const LEAST: usize = 64;
/// No sink has more: a file takes some KiB of memory beside its rows, and is synced, or sent, when the next barrier comes.
pub(super) const MOST: usize = 1024;
/// This part of what the process may open is for part files; the rest is for connections, state and files that are read.
const SHARE: u64 = 4;

/// Buffers of the files of a sink that has few of them; ...
const BUFFER: usize = 128 << 10;
/// ... in all, about, where they are many, but ...
const BUFFERS: usize = 8 << 20;
/// ... no less for each: below it rows are written one by one.
const LEAST_BUFFER: usize = 8 << 10;

/// Descriptors of part files in this process.
static USED: AtomicU64 = AtomicU64::new(0);

/// The descriptors of an open file.
pub(super) struct Descriptors {
    many: u64,
    used: &'static AtomicU64,
}

impl Descriptors {
    pub(super) fn take(many: u64) -> Self {
        Self::of(many, &USED)
    }

    fn of(many: u64, used: &'static AtomicU64) -> Self {
        used.fetch_add(many, Ordering::Relaxed);
        Self { many, used }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        self.used.fetch_sub(self.many, Ordering::Relaxed);
    }
}

/// Whether a sink that has so many files open may open another one.
pub(super) fn is_room(open: usize) -> bool {
    may_open(open, USED.load(Ordering::Relaxed), process::most_open_files())
}

fn may_open(open: usize, used: u64, most_descriptors: u64) -> bool {
    open < LEAST || (open < MOST && used < most_descriptors / SHARE)
}

/// Bytes of the buffer of a file beside which so many are open.
pub(super) fn buffer(open: usize) -> usize {
    (BUFFERS / (open + 1)).clamp(LEAST_BUFFER, BUFFER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_open_where_the_process_may_open_them() {
        assert!(may_open(63, u64::MAX, 0), "some at least");
        assert!(!may_open(64, 256, 1024) && may_open(64, 255, 1024));
        assert!(may_open(1023, 1023, 1 << 20) && !may_open(1024, 0, 1 << 20));
    }

    #[test]
    fn buffers_take_little_however_many_there_are() {
        assert_eq!((buffer(0), buffer(63), buffer(MOST)), (128 << 10, 128 << 10, 8 << 10));
        assert!((0..MOST).map(buffer).sum::<usize>() < 5 * BUFFERS);
    }

    #[test]
    fn descriptors_are_given_back() {
        static OF_TEST: AtomicU64 = AtomicU64::new(0);
        let taken = [Descriptors::of(1, &OF_TEST), Descriptors::of(2, &OF_TEST)];
        assert_eq!(OF_TEST.load(Ordering::Relaxed), 3);
        drop(taken);
        assert_eq!(OF_TEST.load(Ordering::Relaxed), 0);
    }
}
