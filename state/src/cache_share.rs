//! What operators may keep of their state in memory of their own, before a back end that is on disk: a part of managed memory
//! that all operators of a TaskManager share equally, those that are there at the time.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No operator has less, in bytes: a batch has to fit.
const LEAST: usize = 1 << 20;

/// The memory that operators share.
#[derive(Debug)]
pub struct CachePool {
    /// Bytes in all.
    total: u64,
    members: AtomicUsize,
}

impl CachePool {
    /// Of so many bytes.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, members: AtomicUsize::new(0) })
    }

    /// Another operator comes.
    pub fn join(self: &Arc<Self>) -> CacheShare {
        self.members.fetch_add(1, Ordering::Relaxed);
        CacheShare { part: Part::Of(self.clone()) }
    }
}

/// The part of one operator; it is the others' again when this is dropped.
#[derive(Debug)]
pub struct CacheShare {
    part: Part,
}

#[derive(Debug)]
enum Part {
    Of(Arc<CachePool>),
    /// One of so many equal parts of a part.
    Share(Arc<CacheShare>, usize),
    Fixed(usize),
}

impl CacheShare {
    /// Always so many bytes; `usize::MAX`: without a bound.
    pub fn fixed(bytes: usize) -> Self {
        Self { part: Part::Fixed(bytes) }
    }

    /// Equal parts of it, for tables of one operator.
    pub fn split(self, parts: usize) -> Vec<Self> {
        self.parts(std::iter::repeat_n(parts, parts))
    }

    /// Parts of it, of which each is one in so many. Their holders see to it that they do not take more together than there is.
    pub fn parts(self, one_in: impl IntoIterator<Item = usize>) -> Vec<Self> {
        let whole = Arc::new(self);
        one_in.into_iter().map(|parts| Self { part: Part::Share(whole.clone(), parts.max(1)) }).collect()
    }

    /// How many bytes the operator may take now. Less than before when another one came.
    pub fn bytes(&self) -> usize {
        match &self.part {
            Part::Of(pool) => {
                let members = pool.members.load(Ordering::Relaxed).max(1) as u64;
                usize::try_from(pool.total / members).unwrap_or(usize::MAX).max(LEAST)
            }
            Part::Share(whole, parts) => match whole.bytes() {
                usize::MAX => usize::MAX,
                bytes => bytes / parts,
            },
            Part::Fixed(bytes) => *bytes,
        }
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        if let Part::Of(pool) = &self.part {
            pool.members.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_has_equal_parts() {
        let pool = CachePool::new(64 << 20);
        let first = pool.join();
        assert_eq!(first.bytes(), 64 << 20);
        let second = pool.join();
        assert_eq!((first.bytes(), second.bytes()), (32 << 20, 32 << 20));
        drop(first);
        assert_eq!(second.bytes(), 64 << 20);
        let tables = second.split(2);
        assert_eq!(tables.iter().map(CacheShare::bytes).collect::<Vec<_>>(), [32 << 20; 2]);
        let third = pool.join();
        assert_eq!((tables[0].bytes(), third.bytes()), (16 << 20, 32 << 20));
        drop(tables);
        assert_eq!(third.bytes(), 64 << 20, "the operator is gone with its tables");
        assert_eq!(CacheShare::fixed(usize::MAX).split(3)[2].bytes(), usize::MAX);
        assert_eq!(CachePool::new(0).join().bytes(), LEAST);
        assert_eq!(CacheShare::fixed(usize::MAX).bytes(), usize::MAX);
    }
}
