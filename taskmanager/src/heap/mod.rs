//! How much memory each task holds. When the process runs out of memory, the task that holds too much is failed, before the
//! system ends the process with all tasks in it.
//!
//! Each task's thread allocates in a jemalloc arena of its own (`arenas`, `pool`). So it is known what a task holds, including rows
//! that it has sent and that other tasks still have. A thread ([`Watcher`]) looks at the process's resident and reserved memory.
//! Only when these are over the limit are the arenas looked at, one by one, and `decision` says which task is failed, if any. The
//! task fails as by `RunningTask::fail`: it ends at its next message, batch or wait, or where a long step asks whether the task is
//! to end (`common::ending`). If the process has another allocator than jemalloc, no task is failed.
//!
//! Not counted here: what RocksDB allocates (it has an allocator and bounds of its own), and what other threads allocate for a task,
//! which is frames in flight, bounded by network memory, and files being uploaded to a checkpoint. A task that is failed while it
//! restores its state ends when the state is restored.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wiesel_common::config::MemorySize;
use wiesel_common::config::options::memory::TASKMANAGER;
use wiesel_common::id::JobId;
use wiesel_common::memory::TaskManagerMemory;
use wiesel_common::{process, spawn};
use wiesel_network::Waiter;
use wiesel_proto as proto;
use wiesel_state_backends::StateResources;

use self::decision::{Budget, Counting, Holder, HolderState, Situation, Verdict, decide, failure, pause};
use self::pool::Pool;

mod arenas;
mod decision;
mod pool;

/// How long what a task holds counts as free after it was cancelled, or after another task of its job was failed, which has the
/// job's other tasks cancelled.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often arenas of ended tasks are checked for being empty: jemalloc counts all arenas for it.
const RECYCLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often unused pages are given back while the process is over its limit and no task is to blame.
const PURGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the log says that the process is over its limit and no task is to blame.
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
    /// When another task of its job was failed, so that this one is about to be cancelled.
    job_failed: Option<Instant>,
    /// When it was first seen that it is cancelled.
    cancelled: Option<Instant>,
}

impl Member {
    fn state(&mut self, now: Instant) -> HolderState {
        if self.waiter.is_cancelled() {
            self.cancelled.get_or_insert(now);
        }
        let is_recent = |since: Instant| now.saturating_duration_since(since) < PATIENCE;
        if self.cancelled.or(self.job_failed).is_some_and(is_recent) {
            HolderState::Canceling
        } else if self.cancelled.is_some() {
            HolderState::Stuck
        } else {
            HolderState::Running
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

    /// Adds a task. It is failed by putting the failure into `fault` and cancelling `waiter`.
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

    /// Lets arenas of tasks that have ended serve other tasks once they are empty.
    fn recycle(&self) {
        let mut members = self.members.lock();
        if members.pool.is_resting() && arenas::refresh() {
            members.pool.recycle(arenas::live_bytes);
        }
    }

    /// Measures the process, and what each arena's tasks hold.
    fn observe(&self, resident: u64, now: Instant) -> (Situation, Vec<Holder>) {
        arenas::refresh();
        let reserved = arenas::live_bytes_of_all().unwrap_or(0);
        let mut members = self.members.lock();
        let states: Vec<(Option<u32>, HolderState)> =
            members.tasks.values_mut().map(|task| (task.arena, task.state(now))).collect();
        let state = |arena: u32| {
            let of_arena = states.iter().filter(|(of, _)| *of == Some(arena));
            of_arena.map(|(_, state)| *state).max().unwrap_or(HolderState::Canceling)
        };
        let holders = members.pool.taken().iter().map(|taken| Holder {
            arena: taken.arena,
            job: taken.job,
            tasks: taken.tasks,
            bytes: arenas::live_bytes(taken.arena).unwrap_or(0),
            state: state(taken.arena),
        });
        let holders = holders.collect();
        let tasks = states.iter().filter(|(_, state)| *state != HolderState::Canceling).count() as u64;
        let allowance = self.budget.allowance(self.state.rocksdb_bytes());
        (Situation { resident, reserved, budget: self.budget, allowance, tasks }, holders)
    }

    /// Reserved memory; 0 where it is not known.
    fn reserved() -> u64 {
        if arenas::refresh() { arenas::live_bytes_of_all().unwrap_or(0) } else { 0 }
    }

    /// Fails the tasks of an arena. The other tasks of the job will be cancelled with them.
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

/// The thread that watches the memory of the process. It ends when this is dropped.
pub(crate) struct Watcher {
    thread: Option<JoinHandle<()>>,
    waiter: Waiter,
}

impl Watcher {
    /// Starts the thread. It is none of the runtime's: it must look in time however busy the runtime is, and giving pages back
    /// takes time.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(heap: Arc<Heap>) -> std::io::Result<Self> {
        let waiter = Waiter::default();
        let of_thread = waiter.clone();
        let thread = spawn::thread("memory-watcher", move || {
            let mut watch =
                Watch { heap, recycled: None, counting: Counting::default(), reserved: 0, purged: None, warned: None };
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

/// The state of the watching thread.
struct Watch {
    heap: Arc<Heap>,
    recycled: Option<Instant>,
    counting: Counting,
    /// Reserved memory when it was counted last; 0: the process takes so little that it does not matter.
    reserved: u64,
    purged: Option<Instant>,
    warned: Option<Instant>,
}

impl Watch {
    /// Looks once. Returns the time until the next look.
    fn look(&mut self) -> Duration {
        let now = Instant::now();
        if is_due(self.recycled, RECYCLE_INTERVAL, now) {
            self.recycled = Some(now);
            self.heap.recycle();
        }
        let (resident, budget) = (process::resident_bytes(), self.heap.budget);
        let is_full = budget.is_over(resident, self.reserved);
        if !budget.is_half_full(resident) {
            self.reserved = 0;
        } else if self.counting.is_due(resident, budget.process, is_full, now) {
            self.reserved = Heap::reserved();
        }
        if budget.is_over(resident, self.reserved) {
            self.over_the_limit(resident, now);
        }
        pause(resident, budget.limit())
    }

    fn over_the_limit(&mut self, resident: u64, now: Instant) {
        let (mut situation, holders) = self.heap.observe(resident, now);
        let verdict = decide(&situation, &holders);
        if verdict == Verdict::WithinLimit
            || (verdict == Verdict::NoTaskToBlame && !is_due(self.purged, PURGE_INTERVAL, now))
        {
            return;
        }
        // The resident memory includes pages that no task uses any more: without them it may be within the limit.
        arenas::purge_all();
        self.purged = Some(now);
        situation.resident = process::resident_bytes();
        let limit = situation.budget.limit();
        match decide(&situation, &holders) {
            Verdict::WithinLimit => {}
            Verdict::Fail(position) => self.heap.fail(&situation, &holders[position], now),
            // Memory that is only reserved takes nothing yet: no warning for it.
            Verdict::NoTaskToBlame if situation.resident > limit && is_due(self.warned, WARNING_INTERVAL, now) => {
                self.warned = Some(now);
                tracing::warn!(
                    resident = MemorySize(situation.resident).human_readable(),
                    limit = MemorySize(limit).human_readable(),
                    "the process is at the end of its memory, and what tasks hold beyond their shares is not what takes it, so \
                     that none is failed: raise '{}'",
                    TASKMANAGER.process_size.key()
                );
            }
            Verdict::NoTaskToBlame => {}
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
        assert_eq!(member.state(at(0)), HolderState::Running);
        // It is about to be cancelled with its job; if not, it goes on.
        member.job_failed = Some(at(1));
        assert_eq!([5, 6].map(|seconds| member.state(at(seconds))), [HolderState::Canceling, HolderState::Running]);
        // It was cancelled: that is seen at the next look, however long ago it was.
        member.waiter.cancel();
        assert_eq!(
            [20, 24, 25].map(|seconds| member.state(at(seconds))),
            [HolderState::Canceling, HolderState::Canceling, HolderState::Stuck]
        );
        member.job_failed = Some(at(30));
        assert_eq!(member.state(at(31)), HolderState::Stuck);
    }
}
