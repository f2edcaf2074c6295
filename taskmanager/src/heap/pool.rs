//! Which arena serves which tasks.
use wiesel_common::id::JobId;

/// An arena takes up to 180 KiB beside what is in it, and jemalloc has at most 4095.
const MOST: usize = 256;
/// A job of many tasks leaves arenas to others.
const MOST_OF_A_JOB: usize = 64;
/// An arena that has given out no more than this serves the next task: what threads keep of it for their next allocations.
const EMPTY: u64 = 4 << 20;

/// Arenas, each for the tasks of one job at a time. A task has one of its own while there are enough, then one with other tasks
/// of its job, or none: so what an arena has given out is never another job's.
#[derive(Default)]
pub(super) struct Pool {
    taken: Vec<Taken>,
    /// Their tasks have ended; others may have memory of theirs still, rows on their way above all.
    resting: Vec<u32>,
    free: Vec<u32>,
    made: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) arena: u32,
    pub(super) job: JobId,
    pub(super) tasks: u64,
}

impl Pool {
    /// An arena for another task.
    pub(super) fn take(&mut self, job: JobId, create: impl FnOnce() -> Option<u32>) -> Option<u32> {
        let of_job = self.taken.iter().filter(|taken| taken.job == job).count();
        let own = if of_job < MOST_OF_A_JOB { self.unused(create) } else { None };
        if let Some(arena) = own {
            self.taken.push(Taken { arena, job, tasks: 1 });
            return own;
        }
        let shared = self.taken.iter_mut().filter(|taken| taken.job == job).min_by_key(|taken| taken.tasks)?;
        shared.tasks += 1;
        Some(shared.arena)
    }

    fn unused(&mut self, create: impl FnOnce() -> Option<u32>) -> Option<u32> {
        if let Some(arena) = self.free.pop() {
            return Some(arena);
        }
        let made = if self.made < MOST { create() } else { None };
        self.made += usize::from(made.is_some());
        made
    }

    /// A task of this arena has ended; whether it was the last.
    pub(super) fn put_back(&mut self, arena: u32) -> bool {
        let Some(position) = self.taken.iter().position(|taken| taken.arena == arena) else { return false };
        self.taken[position].tasks -= 1;
        let last = self.taken[position].tasks == 0;
        if last {
            self.taken.swap_remove(position);
            self.resting.push(arena);
        }
        last
    }

    pub(super) fn is_resting(&self) -> bool {
        !self.resting.is_empty()
    }

    /// Takes note of the arenas that are empty again.
    pub(super) fn recycle(&mut self, live_bytes: impl Fn(u32) -> Option<u64>) {
        let is_empty = |arena: &mut u32| live_bytes(*arena).is_some_and(|bytes| bytes <= EMPTY);
        self.free.extend(self.resting.extract_if(.., is_empty));
    }

    /// The arenas that have tasks.
    pub(super) fn taken(&self) -> &[Taken] {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId([1; 16]);
    const OTHER: JobId = JobId([2; 16]);

    #[test]
    fn an_arena_serves_the_next_task_when_it_is_empty() {
        let mut pool = Pool::default();
        assert_eq!(pool.take(JOB, || Some(7)), Some(7));
        assert!(pool.put_back(7) && pool.is_resting());
        // Rows of the first task are still held elsewhere: they are not the second's.
        pool.recycle(|_| Some(EMPTY + 1));
        assert_eq!(pool.take(OTHER, || Some(8)), Some(8));
        pool.recycle(|_| None);
        assert!(pool.is_resting());
        pool.recycle(|_| Some(EMPTY));
        assert!(!pool.is_resting());
        assert_eq!(pool.take(OTHER, || None), Some(7));
        assert_eq!(pool.taken().len(), 2);
    }

    #[test]
    fn tasks_share_arenas_with_those_of_their_job_only() {
        let mut pool = Pool::default();
        let mut next = 0..;
        let jobs: Vec<JobId> = (0..).map(|number| JobId([number; 16])).take(MOST / MOST_OF_A_JOB + 1).collect();
        let (last, jobs) = jobs.split_last().unwrap();
        for job in jobs {
            let own: Vec<u32> = (0..MOST_OF_A_JOB).filter_map(|_| pool.take(*job, || next.next())).collect();
            assert_eq!(own.len(), MOST_OF_A_JOB);
            let shared = pool.take(*job, || next.next()).unwrap();
            assert!(own.contains(&shared));
            assert!(!pool.put_back(shared), "a task of it is there still");
            assert!(pool.taken().iter().any(|taken| taken.arena == shared && taken.tasks == 1));
        }
        assert_eq!((pool.taken().len(), next.next()), (MOST, Some(MOST as u32)));
        assert_eq!(pool.take(*last, || next.next()), None, "another job's");
    }
}
