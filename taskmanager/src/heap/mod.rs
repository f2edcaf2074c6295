//! The memory that tasks hold, and the end of the one that holds too much before the system ends all.
//!
//! Each task's thread allocates in an arena of its own (`arenas`, `pool`), so that what a task holds is known, rows that it has
//! sent and others hold included. A thread of its own looks at what the process takes ([`Watcher`]). Only when that
//! comes to the end of its budget are the arenas asked; who holds most beyond its share is failed (`decision`), as by
//! `RunningTask::fail`: it ends at the next letter, batch or wait. Where another allocator serves the process nobody is.
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

use self::decision::{Budget, Holder, Situation, Verdict, decide, failure, pause};
use self::pool::Pool;

mod arenas;
mod decision;
mod pool;

/// How long the other tasks of a job are expected to end because one was failed: until then what they hold counts as given back.
const PATIENCE: Duration = Duration::from_secs(5);
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
    /// Until then it is expected to end: a task of its job was failed.
    ends_until: Option<Instant>,
}

impl Member {
    fn is_ending(&self, now: Instant) -> bool {
        self.waiter.is_cancelled() || self.ends_until.is_some_and(|until| now < until)
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
            ends_until: None,
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
        let members = self.members.lock();
        let ending = |arena: u32| {
            let mut tasks = members.tasks.values().filter(|task| task.arena == Some(arena));
            tasks.all(|task| task.is_ending(now))
        };
        let holders = members.pool.taken().iter().map(|taken| Holder {
            arena: taken.arena,
            job: taken.job,
            tasks: taken.tasks,
            bytes: arenas::live_bytes(taken.arena).unwrap_or(0),
            ending: ending(taken.arena),
        });
        let holders = holders.collect();
        let tasks = members.tasks.values().filter(|task| !task.is_ending(now)).count() as u64;
        let allowance = self.budget.allowance(self.state.rocksdb_bytes());
        (Situation { resident, budget: self.budget, allowance, tasks }, holders)
    }

    /// Tells the tasks of an arena to end. The rest of the job ends with them.
    fn fail(&self, situation: &Situation, holder: &Holder, now: Instant) {
        let mut members = self.members.lock();
        for task in members.tasks.values_mut().filter(|task| task.job == holder.job) {
            task.ends_until = Some(now + PATIENCE);
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
            let mut watch = Watch { heap, recycled: None, purged: None, warned: None };
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
        let (resident, limit) = (process::resident_bytes(), self.heap.budget.limit());
        if resident > limit {
            self.over_the_limit(resident, now);
        }
        pause(resident, limit)
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
        match decide(&situation, &holders) {
            Verdict::Within => {}
            Verdict::Fail(position) => self.heap.fail(&situation, &holders[position], now),
            Verdict::Nobody if is_due(self.warned, WARNING_INTERVAL, now) => {
                self.warned = Some(now);
                tracing::warn!(
                    resident = MemorySize(situation.resident).human_readable(),
                    limit = MemorySize(situation.budget.limit()).human_readable(),
                    "the process is at the end of its memory, and no task holds more than its share, so that none is failed: \
                     raise '{}'",
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
