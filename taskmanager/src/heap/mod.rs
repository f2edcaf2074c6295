//! The memory that tasks hold, and the end of the one that holds too much before the system ends all.
//!
//! Each task's thread allocates in an arena of its own (`arenas`, `pool`), so that what a task holds is known, rows that it has
//! sent and others hold included. A thread of its own looks at what the process takes, and has reserved ([`Watcher`]). Only when
//! that comes to the end of its budget are the arenas asked, one by one; who holds most beyond its share is failed (`decision`), as
//! by `RunningTask::fail`: it ends at the next letter, batch or wait, and where a step that takes long asks whether it is to end
//! (`common::ending`). Where another allocator serves the process nobody is.
//!
//! Not seen here: what RocksDB allocates (it has an allocator and bounds of its own), and what other threads allocate for a task,
//! which are frames on their way, bounded by network memory, and files on their way to a checkpoint. A task that restores its
//! state is failed when it has restored it.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wiesel_common::config::MemorySize;
use wiesel_common::config::options::memory::TASKMANAGER;
use wiesel_common::id::JobId;
use wiesel_common::memory::TaskManagerMemory;
use wiesel_common::process;
use wiesel_network::Waiter;
use wiesel_proto as proto;
use wiesel_state::backend::StateResources;

use self::decision::{Budget, Holder, Situation, Stage, Verdict, decide, failure, pause};
use self::pool::Pool;

mod arenas;
mod decision;
mod pool;

/// How long a task that was cancelled is expected to end, and so are the other tasks of a job because one was failed: until then
/// what they hold counts as given back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what is reserved is counted: jemalloc goes through all arenas for it.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is looked whether arenas of tasks that have ended are empty: jemalloc counts all arenas for it.
const RECYCLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often unused pages are given back though no task is to blame for what the process takes.
const PURGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often that is in the log.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The memory of a TaskManager's tasks.
pub(crate) struct Heap {
    budget: Budget,
    state: Arc<StateResources>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    tasks: BTreeMap<u64, Member>,
    pool: Pool,
}

/// A task whose thread has not ended.
struct Member {
    name: String,
    job: JobId,
    arena: Option<u32>,
    waiter: Waiter,
    fault: Arc<Mutex<Option<proto::Failure>>>,
    /// When a task of its job was failed: it is about to be cancelled.
    job_failed: Option<Instant>,
    /// When it was first seen that it is cancelled.
    cancelled: Option<Instant>,
}

impl Member {
    fn stage(&mut self, now: Instant) -> Stage {
        if self.waiter.is_cancelled() {
            self.cancelled.get_or_insert(now);
        }
        let is_recent = |since: Instant| now.saturating_duration_since(since) < PATIENCE;
        if self.cancelled.or(self.job_failed).is_some_and(is_recent) {
            Stage::Ending
        } else if self.cancelled.is_some() {
            Stage::Stuck
        } else {
            Stage::Running
        }
    }
}

impl Heap {
    /// None where jemalloc does not serve the process: what a task holds is not known then.
    pub(crate) fn new(memory: &TaskManagerMemory, state: Arc<StateResources>) -> Option<Arc<Self>> {
        if !arenas::are_there() {
            tracing::debug!("another allocator serves this process: no task is failed for the memory that it holds");
            return None;
        }
        Some(Arc::new(Self { budget: Budget::new(memory), state, members: Mutex::default() }))
    }

    /// Another task comes. It is failed by `fault` and `waiter`.
    pub(crate) fn join(
        self: &Arc<Self>,
        job: JobId,
        name: &str,
        waiter: &Waiter,
        fault: &Arc<Mutex<Option<proto::Failure>>>,
    ) -> TaskHeap {
        let mut members = self.members.lock();
        let arena = members.pool.take(job, arenas::create);
        let id = members.next;
        members.next += 1;
        let member = Member {
            name: name.to_owned(),
            job,
            arena,
            waiter: waiter.clone(),
            fault: fault.clone(),
            job_failed: None,
            cancelled: None,
        };
        members.tasks.insert(id, member);
        TaskHeap { heap: self.clone(), id, arena }
    }

    /// Arenas of tasks that have ended serve others when they are empty.
    fn recycle(&self) {
        let mut members = self.members.lock();
        if members.pool.is_resting() && arenas::refresh() {
            members.pool.recycle(arenas::live_bytes);
        }
    }

    /// What is true now, and who holds what.
    fn observe(&self, resident: u64, now: Instant) -> (Situation, Vec<Holder>) {
        arenas::refresh();
        let reserved = arenas::live_bytes_of_all().unwrap_or(0);
        let mut members = self.members.lock();
        let stages: Vec<(Option<u32>, Stage)> =
            members.tasks.values_mut().map(|task| (task.arena, task.stage(now))).collect();
        let stage = |arena: u32| {
            let of_arena = stages.iter().filter(|(of, _)| *of == Some(arena));
            of_arena.map(|(_, stage)| *stage).max().unwrap_or(Stage::Ending)
        };
        let holders = members.pool.taken().iter().map(|taken| Holder {
            arena: taken.arena,
            job: taken.job,
            tasks: taken.tasks,
            bytes: arenas::live_bytes(taken.arena).unwrap_or(0),
            stage: stage(taken.arena),
        });
        let holders = holders.collect();
        let tasks = stages.iter().filter(|(_, stage)| *stage != Stage::Ending).count() as u64;
        let allowance = self.budget.allowance(self.state.rocksdb_bytes());
        (Situation { resident, reserved, budget: self.budget, allowance, tasks }, holders)
    }

    /// What the process has reserved, where it takes so much that it matters; else 0.
    fn reserved(&self, resident: u64) -> u64 {
        if !self.budget.is_half_full(resident) || !arenas::refresh() {
            return 0;
        }
        arenas::live_bytes_of_all().unwrap_or(0)
    }

    /// Tells the tasks of an arena to end. The rest of the job ends with them.
    fn fail(&self, situation: &Situation, holder: &Holder, now: Instant) {
        let mut members = self.members.lock();
        for task in members.tasks.values_mut().filter(|task| task.job == holder.job) {
            task.job_failed = Some(now);
            if task.arena == Some(holder.arena) {
                task.fault.lock().get_or_insert_with(|| failure(&task.name, situation, holder));
                task.waiter.cancel();
            }
        }
    }
}

/// A task's part of the heap, for as long as its thread runs.
pub(crate) struct TaskHeap {
    heap: Arc<Heap>,
    id: u64,
    arena: Option<u32>,
}

impl TaskHeap {
    /// What this thread allocates from now on is the task's.
    pub(crate) fn enter(&self) {
        if let Some(arena) = self.arena
            && !arenas::enter(arena)
        {
            tracing::debug!(arena, "jemalloc refused a thread's arena: what the task holds is not known");
        }
    }
}

impl Drop for TaskHeap {
    /// The task's memory is free, and is given back.
    fn drop(&mut self) {
        let mut members = self.heap.members.lock();
        members.tasks.remove(&self.id);
        let emptied = self.arena.filter(|arena| members.pool.put_back(*arena));
        drop(members);
        if let Some(arena) = emptied {
            arenas::purge(arena);
        }
    }
}

/// The thread that looks at what the process takes. It ends when this is dropped.
pub(crate) struct Watcher {
    thread: Option<JoinHandle<()>>,
    waiter: Waiter,
}

impl Watcher {
    /// A thread, because it must come to it in time, whatever the runtime is busy with, and giving pages back takes time.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(heap: Arc<Heap>) -> std::io::Result<Self> {
        let waiter = Waiter::default();
        let of_thread = waiter.clone();
        let thread = std::thread::Builder::new().name("memory-watcher".to_owned()).spawn(move || {
            let mut watch = Watch { heap, recycled: None, counted: None, reserved: 0, purged: None, warned: None };
            while !of_thread.is_cancelled() {
                let pause = watch.look();
                of_thread.notifier().wait("the next look at memory", Some(pause));
            }
        })?;
        Ok(Self { thread: Some(thread), waiter })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.waiter.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the memory panicked");
        }
    }
}

/// What the watching thread knows.
struct Watch {
    heap: Arc<Heap>,
    recycled: Option<Instant>,
    counted: Option<Instant>,
    /// What the process had reserved when that was counted last.
    reserved: u64,
    purged: Option<Instant>,
    warned: Option<Instant>,
}

impl Watch {
    /// Looks once; returns how long not to look.
    fn look(&mut self) -> Duration {
        let now = Instant::now();
        if is_due(self.recycled, RECYCLE_INTERVAL, now) {
            self.recycled = Some(now);
            self.heap.recycle();
        }
        let (resident, budget) = (process::resident_bytes(), self.heap.budget);
        if is_due(self.counted, COUNT_INTERVAL, now) {
            self.counted = Some(now);
            self.reserved = self.heap.reserved(resident);
        }
        if budget.is_over(resident, self.reserved) {
            self.over_the_limit(resident, now);
        }
        pause(resident, budget.limit())
    }

    fn over_the_limit(&mut self, resident: u64, now: Instant) {
        let (mut situation, holders) = self.heap.observe(resident, now);
        let verdict = decide(&situation, &holders);
        if verdict == Verdict::Within || (verdict == Verdict::Nobody && !is_due(self.purged, PURGE_INTERVAL, now)) {
            return;
        }
        // Pages that nobody uses are nobody's.
        arenas::purge_all();
        self.purged = Some(now);
        situation.resident = process::resident_bytes();
        let limit = situation.budget.limit();
        match decide(&situation, &holders) {
            Verdict::Within => {}
            Verdict::Fail(position) => self.heap.fail(&situation, &holders[position], now),
            // What is only reserved takes nothing yet.
            Verdict::Nobody if situation.resident > limit && is_due(self.warned, WARNING_INTERVAL, now) => {
                self.warned = Some(now);
                tracing::warn!(
                    resident = MemorySize(situation.resident).human_readable(),
                    limit = MemorySize(limit).human_readable(),
                    "the process is at the end of its memory, and what tasks hold beyond their shares is not what takes it, so \
                     that none is failed: raise '{}'",
                    TASKMANAGER.process_size.key()
                );
            }
            Verdict::Nobody => {}
        }
    }
}

fn is_due(last: Option<Instant>, interval: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, a task that was cancelled counted as gone for as long as it did not end.
    #[test]
    fn a_task_is_expected_to_end_for_a_while() {
        let mut member = Member {
            name: "Sink (1/1)#0".to_owned(),
            job: JobId([1; 16]),
            arena: None,
            waiter: Waiter::default(),
            fault: Arc::default(),
            job_failed: None,
            cancelled: None,
        };
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(member.stage(at(0)), Stage::Running);
        // It is about to be cancelled with its job; if not, it goes on.
        member.job_failed = Some(at(1));
        assert_eq!([5, 6].map(|seconds| member.stage(at(seconds))), [Stage::Ending, Stage::Running]);
        // It was cancelled: that is seen at the next look, however long ago it was.
        member.waiter.cancel();
        assert_eq!([20, 24, 25].map(|seconds| member.stage(at(seconds))), [Stage::Ending, Stage::Ending, Stage::Stuck]);
        member.job_failed = Some(at(30));
        assert_eq!(member.stage(at(31)), Stage::Stuck);
    }
}
