//! Who has to go when the process comes to the end of its memory, and what is said of it. Decided from what was observed.
use std::time::Duration;

use wiesel_common::config::MemorySize;
use wiesel_common::config::options::memory::{TASK_HEAP, TASKMANAGER};
use wiesel_common::id::JobId;
use wiesel_common::memory::TaskManagerMemory;
use wiesel_proto as proto;

/// How long the memory is not looked at, at least and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// No process grows faster, in bytes a millisecond: memory is written to before it counts.
const FASTEST: u64 = 4 << 20;

/// What the process may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// All of it: beyond it a container ends the process, and with it every task.
    pub(super) process: u64,
    /// What tasks may hold outside managed memory.
    pub(super) tasks: u64,
    /// Managed memory.
    pub(super) managed: u64,
}

impl Budget {
    pub(super) fn new(memory: &TaskManagerMemory) -> Self {
        let tasks = memory.task_heap.bytes().saturating_add(memory.task_off_heap.bytes());
        Self { process: memory.total_process().bytes(), tasks, managed: memory.managed.bytes() }
    }

    /// Where a task is failed: below the end, for a task grows until it hears of it, and the system takes memory too.
    pub(super) fn limit(&self) -> u64 {
        self.process - self.process / 16
    }

    /// What tasks may hold together while RocksDB has so much of managed memory.
    pub(super) fn allowance(&self, rocksdb: u64) -> u64 {
        self.tasks.saturating_add(self.managed.saturating_sub(rocksdb))
    }
}

/// How long after a look the next one is due: in that time no process comes from here to the limit.
pub(super) fn pause(resident: u64, limit: u64) -> Duration {
    Duration::from_millis(limit.saturating_sub(resident) / FASTEST).clamp(PAUSES.0, PAUSES.1)
}

/// An arena, and the tasks of one job whose memory comes from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) arena: u32,
    pub(super) job: JobId,
    pub(super) tasks: u64,
    /// What was allocated there and is not freed, whoever has it now.
    pub(super) bytes: u64,
    /// They were told to end, or are about to be.
    pub(super) ending: bool,
}

/// What is true of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// What it takes.
    pub(super) resident: u64,
    /// Its budget.
    pub(super) budget: Budget,
    /// What its tasks may hold together.
    pub(super) allowance: u64,
    /// How many tasks share that: those that stay.
    pub(super) tasks: u64,
}

impl Situation {
    /// What one task may hold.
    fn share(&self) -> u64 {
        self.allowance / self.tasks.max(1)
    }

    fn excess(&self, holder: &Holder) -> u64 {
        holder.bytes.saturating_sub(self.share().saturating_mul(holder.tasks))
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the process is within its limit, or will be when those who were told to end have ended.
    Within,
    /// Nothing, though it is not: no task holds more than its share, so that it is not a task that takes it.
    Nobody,
    /// The holder at this position has to go.
    Fail(usize),
}

/// Below the limit nobody has to go, however much a task holds: what others do not use is nobody's loss. Above it it is who
/// holds most beyond its share.
pub(super) fn decide(situation: &Situation, holders: &[Holder]) -> Verdict {
    let going: u64 = holders.iter().filter(|holder| holder.ending).map(|holder| holder.bytes).sum();
    if situation.resident.saturating_sub(going) <= situation.budget.limit() {
        return Verdict::Within;
    }
    let staying = holders.iter().enumerate().filter(|(_, holder)| !holder.ending);
    match staying.max_by_key(|(_, holder)| situation.excess(holder)) {
        Some((position, holder)) if situation.excess(holder) > 0 => Verdict::Fail(position),
        _ => Verdict::Nobody,
    }
}

/// What a task is told that has to go.
pub(super) fn failure(task: &str, situation: &Situation, holder: &Holder) -> proto::Failure {
    let size = |bytes: u64| MemorySize(bytes).human_readable();
    let together = match holder.tasks {
        0 | 1 => String::new(),
        tasks => format!(", together with {} other tasks of its job", tasks - 1),
    };
    let message = format!(
        "The TaskManager's process is at the end of its memory: it takes {resident} of {process}, and from {limit} on a task is \
         failed before the system ends all of them. {task} holds {held}{together}, which is the most beyond a task's share: \
         {share} of the {allowance} that tasks may hold here. Raise '{process_key}' (or '{heap_key}' where the parts are \
         configured), give the job a higher parallelism on more TaskManagers, or keep its state on disk \
         ('state.backend.type: rocksdb'). A restart helps only if the task holds less then: what grows with the input comes \
         to this point again.",
        resident = size(situation.resident),
        process = size(situation.budget.process),
        limit = size(situation.budget.limit()),
        held = size(holder.bytes),
        share = size(situation.share()),
        allowance = size(situation.allowance),
        process_key = TASKMANAGER.process_size.key(),
        heap_key = TASK_HEAP.key(),
    );
    proto::Failure { message, causes: Vec::new(), class: "java.lang.OutOfMemoryError".to_owned(), fatal: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const BUDGET: Budget = Budget { process: 1600 * MIB, tasks: 400 * MIB, managed: 400 * MIB };

    fn situation(resident: u64, tasks: u64) -> Situation {
        Situation { resident: resident * MIB, budget: BUDGET, allowance: BUDGET.allowance(0), tasks }
    }

    fn holder(bytes: u64) -> Holder {
        Holder { arena: 9, job: JobId([1; 16]), tasks: 1, bytes: bytes * MIB, ending: false }
    }

    #[test]
    fn nobody_is_failed_within_the_limit() {
        assert_eq!(BUDGET.limit(), 1500 * MIB);
        assert_eq!(decide(&situation(1500, 2), &[holder(1400), holder(50)]), Verdict::Within);
    }

    #[test]
    fn who_holds_most_beyond_its_share_has_to_go() {
        assert_eq!(decide(&situation(1501, 4), &[holder(199), holder(900), holder(300), holder(10)]), Verdict::Fail(1));
        // A job whose tasks share an arena has a share for each of them.
        let shared = Holder { tasks: 8, ..holder(700) };
        assert_eq!(decide(&situation(1501, 10), &[shared, holder(200), holder(300)]), Verdict::Fail(2));
    }

    #[test]
    fn what_no_task_holds_fails_no_task() {
        assert_eq!(decide(&situation(3000, 4), &[holder(200), holder(180), holder(1)]), Verdict::Nobody);
        assert_eq!(decide(&situation(3000, 0), &[]), Verdict::Nobody);
    }

    /// The second is not failed for what the first is about to give back.
    #[test]
    fn who_was_told_to_end_is_waited_for_while_that_suffices() {
        let ending = Holder { ending: true, ..holder(900) };
        assert_eq!(decide(&situation(2000, 1), &[ending, holder(1000)]), Verdict::Within);
        assert_eq!(decide(&situation(2401, 1), &[ending, holder(1000)]), Verdict::Fail(1));
        assert_eq!(decide(&situation(2401, 1), &[ending, holder(800)]), Verdict::Nobody);
    }

    #[test]
    fn tasks_have_of_managed_memory_what_rocksdb_has_not() {
        assert_eq!(BUDGET.allowance(100 * MIB), 700 * MIB);
        assert_eq!(BUDGET.allowance(500 * MIB), 400 * MIB);
    }

    #[test]
    fn memory_is_looked_at_more_often_where_it_gets_short() {
        let millis = |resident: u64| pause(resident * MIB, 1500 * MIB).as_millis();
        assert_eq!([0, 1100, 1300, 1461, 1500, 1600].map(millis), [100, 100, 50, 10, 10, 10]);
    }

    #[test]
    fn a_failure_says_what_who_and_what_to_do() {
        let failure = failure("Sink (1/1)#0", &situation(1520, 4), &Holder { tasks: 3, ..holder(900) });
        for part in [
            "Sink (1/1)#0 holds 900.000mb",
            "with 2 other tasks",
            "1.484gb",
            "1.563gb",
            "200.000mb",
            "'taskmanager.memory.process.size'",
            "'taskmanager.memory.task.heap.size'",
            "A restart helps only if",
        ] {
            assert!(failure.message.contains(part), "{part}: {}", failure.message);
        }
        assert!(!failure.fatal && failure.class == "java.lang.OutOfMemoryError");
    }
}
