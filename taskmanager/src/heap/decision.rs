//! Which task is failed when the process runs out of memory, and the message of its failure: a decision over measured numbers.
use std::time::{Duration, Instant};

use wiesel_common::config::MemorySize;
use wiesel_common::config::options::memory::{TASK_HEAP, TASKMANAGER};
use wiesel_common::id::JobId;
use wiesel_common::memory::TaskManagerMemory;
use wiesel_proto as proto;

/// The shortest and the longest time between two looks at the memory.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// The shortest and the longest time between two counts of reserved memory: jemalloc goes through all arenas for one.
const COUNT_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Bytes a millisecond, the fastest that resident memory grows: a page counts once it was written to.
const FASTEST: u64 = 4 << 20;

/// What the process may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// The whole process: beyond it a container ends the process, and with it every task.
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

    /// The resident memory at which a task is failed. It is less than the whole process, because the task grows until it notices
    /// that it has failed, and the system takes memory too.
    pub(super) fn limit(&self) -> u64 {
        self.process - self.large_excess()
    }

    /// A task that holds so much more than its share is failed whether or not that brings the process below its limit.
    fn large_excess(&self) -> u64 {
        self.process / 16
    }

    /// Whether reserved memory is counted: jemalloc takes time for it, which is saved while the process is far from its limit.
    pub(super) fn is_half_full(&self, resident: u64) -> bool {
        resident > self.limit() / 2
    }

    /// Whether the process takes more than it may, so that a task may have to be failed.
    pub(super) fn is_over(&self, resident: u64, reserved: u64) -> bool {
        self.excess(resident, reserved, 0) > 0
    }

    /// How many bytes the process takes beyond what it may once `being_freed` bytes are free. Reserved memory that was never
    /// written to takes nothing yet, and some never will: a vector has room for more than it needs. So it counts only where it
    /// is more than the whole process may take: then it is about to be written to.
    fn excess(&self, resident: u64, reserved: u64, being_freed: u64) -> u64 {
        let of_resident = resident.saturating_sub(being_freed).saturating_sub(self.limit());
        let of_reserved = reserved.saturating_sub(being_freed).saturating_sub(self.process);
        of_resident.max(of_reserved)
    }

    /// What tasks may hold together while RocksDB has so much of managed memory.
    pub(super) fn allowance(&self, rocksdb: u64) -> u64 {
        self.tasks.saturating_add(self.managed.saturating_sub(rocksdb))
    }
}

/// When reserved memory is counted. It becomes a danger when it is written to, which makes resident memory rise: then it is counted
/// often, and else now and then.
#[derive(Debug, Default)]
pub(super) struct Counting {
    last: Option<Instant>,
    /// The least resident memory since.
    lowest: u64,
}

impl Counting {
    /// Whether to count now, of which it takes note. `process`: what the process may take; `is_full`: it seems to take more.
    pub(super) fn is_due(&mut self, resident: u64, process: u64, is_full: bool, now: Instant) -> bool {
        self.lowest = self.lowest.min(resident);
        let rises = resident - self.lowest > process / 64;
        let (short, long) = COUNT_INTERVALS;
        let interval = if rises || is_full { short } else { long };
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        if is_due {
            *self = Self { last: Some(now), lowest: resident };
        }
        is_due
    }
}

/// The time until the next look: too short for the process to grow to its limit.
pub(super) fn pause(resident: u64, limit: u64) -> Duration {
    Duration::from_millis(limit.saturating_sub(resident) / FASTEST).clamp(PAUSES.0, PAUSES.1)
}

/// The memory of an arena, and the tasks of one job that allocate there: one task, unless there are fewer arenas than tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) arena: u32,
    pub(super) job: JobId,
    pub(super) tasks: u64,
    /// What was allocated in the arena and is not freed, also where another task or thread has it now.
    pub(super) bytes: u64,
    pub(super) state: HolderState,
}

/// Whether the tasks of a holder are being cancelled. Of several tasks the largest value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HolderState {
    /// Cancelled, or about to be with their job, a short while ago. What they hold counts as free.
    Canceling,
    /// Cancelled longer ago, and still not ended: in one long step, or in a call that does not return. When they end is not
    /// known, and to fail them would change nothing. What they hold counts.
    Stuck,
    /// Not cancelled.
    Running,
}

/// The measured memory of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Resident memory, in bytes.
    pub(super) resident: u64,
    /// What was allocated and is not freed, whether or not it was ever written to; without what RocksDB allocates.
    pub(super) reserved: u64,
    pub(super) budget: Budget,
    /// What all tasks may hold together.
    pub(super) allowance: u64,
    /// How many tasks share that: all but those that are [`HolderState::Canceling`].
    pub(super) tasks: u64,
}

impl Situation {
    /// What one task may hold.
    fn share(&self) -> u64 {
        self.allowance / self.tasks.max(1)
    }

    /// What a holder has beyond the shares of its tasks.
    fn excess(&self, holder: &Holder) -> u64 {
        holder.bytes.saturating_sub(self.share().saturating_mul(holder.tasks))
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the process is within its limit, or will be once the tasks that are being cancelled have ended.
    WithinLimit,
    /// Nothing, though the process is beyond its limit: it would be even if no task held more than its share.
    NoTaskToBlame,
    /// Fail the tasks of the holder at this position.
    Fail(usize),
}

/// Below the limit no task is failed, however much it holds: memory that other tasks leave unused may be used.
///
/// Above it, the task that holds most beyond its share is failed, in one of two cases:
///
/// - Failing helps: without what running tasks hold beyond their shares the process would be within its limit. Otherwise something
///   else takes the memory (RocksDB beyond its bounds, threads, fragmentation), and one task after the other would be failed for
///   a few bytes, restarted and failed again.
/// - The task holds very much beyond its share ([`Budget::large_excess`]).
///
/// A task that is stuck has a share like a running one, and what it holds is not expected to become free. So other tasks are failed
/// because of it only if they hold more than their shares themselves and failing them is enough.
pub(super) fn decide(situation: &Situation, holders: &[Holder]) -> Verdict {
    let canceling = holders.iter().filter(|holder| holder.state == HolderState::Canceling);
    let being_freed: u64 = canceling.map(|holder| holder.bytes).sum();
    let needed = situation.budget.excess(situation.resident, situation.reserved, being_freed);
    if needed == 0 {
        return Verdict::WithinLimit;
    }
    let running = holders.iter().enumerate().filter(|(_, holder)| holder.state == HolderState::Running);
    let excesses = running.map(|(position, holder)| (situation.excess(holder), position));
    let excesses: Vec<(u64, usize)> = excesses.filter(|(excess, _)| *excess > 0).collect();
    let together: u64 = excesses.iter().map(|(excess, _)| excess).sum();
    match excesses.into_iter().max_by_key(|(excess, _)| *excess) {
        Some((most, position)) if together >= needed || most >= situation.budget.large_excess() => {
            Verdict::Fail(position)
        }
        _ => Verdict::NoTaskToBlame,
    }
}

/// The failure of a task that holds too much.
pub(super) fn failure(task: &str, situation: &Situation, holder: &Holder) -> proto::Failure {
    let size = |bytes: u64| MemorySize(bytes).human_readable();
    let together = match holder.tasks {
        0 | 1 => String::new(),
        tasks => format!(", together with {} other tasks of its job", tasks - 1),
    };
    let message = format!(
        "The TaskManager's process is at the end of its memory: it takes {resident} of {process} and has reserved {reserved}. \
         When it takes {limit} or reserves more than {process}, a task is failed before the system ends all of them. \
         {task} holds {held}{together}, which is the most beyond a task's share: {share} of the {allowance} that tasks may \
         hold here. Raise '{process_key}' (or '{heap_key}' where the parts are \
         configured), give the job a higher parallelism on more TaskManagers, or keep its state on disk \
         ('state.backend.type: rocksdb'). A restart helps only if the task holds less then: what grows with the input comes \
         to this point again.",
        resident = size(situation.resident),
        reserved = size(situation.reserved),
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
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const BUDGET: Budget = Budget { process: 1600 * MIB, tasks: 400 * MIB, managed: 400 * MIB };

    fn situation(resident: u64, tasks: u64) -> Situation {
        let (resident, allowance) = (resident * MIB, BUDGET.allowance(0));
        Situation { resident, reserved: 0, budget: BUDGET, allowance, tasks }
    }

    fn holder(bytes: u64) -> Holder {
        Holder { arena: 9, job: JobId([1; 16]), tasks: 1, bytes: bytes * MIB, state: HolderState::Running }
    }

    #[test]
    fn no_task_is_failed_within_the_limit() {
        assert_eq!(BUDGET.limit(), 1500 * MIB);
        assert_eq!(decide(&situation(1500, 2), &[holder(1400), holder(50)]), Verdict::WithinLimit);
    }

    #[test]
    fn the_task_that_holds_most_beyond_its_share_is_failed() {
        assert_eq!(decide(&situation(1501, 4), &[holder(199), holder(900), holder(300), holder(10)]), Verdict::Fail(1));
        // A job whose tasks share an arena has a share for each of them.
        let shared = Holder { tasks: 8, ..holder(700) };
        assert_eq!(decide(&situation(1501, 10), &[shared, holder(200), holder(300)]), Verdict::Fail(2));
    }

    #[test]
    fn what_no_task_holds_fails_no_task() {
        assert_eq!(decide(&situation(3000, 4), &[holder(200), holder(180), holder(1)]), Verdict::NoTaskToBlame);
        assert_eq!(decide(&situation(3000, 0), &[]), Verdict::NoTaskToBlame);
    }

    /// Before, a task was failed for any byte beyond its share, whatever it was that took the memory, and then the next one.
    #[test]
    fn a_task_that_holds_little_too_much_is_failed_only_where_that_helps() {
        let mut holders = vec![holder(8); 100];
        (holders[7], holders[9]) = (holder(15), holder(14));
        assert_eq!(decide(&situation(1513, 100), &holders), Verdict::Fail(7));
        assert_eq!(decide(&situation(1514, 100), &holders), Verdict::NoTaskToBlame);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::NoTaskToBlame);
        // A task that holds very much too much is failed in any case.
        holders[9] = holder(8 + 99);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::NoTaskToBlame);
        holders[9] = holder(8 + 100);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::Fail(9));
    }

    /// The second is not failed for what the first is about to give back.
    #[test]
    fn no_task_is_failed_while_one_that_is_cancelled_gives_back_enough() {
        let canceling = Holder { state: HolderState::Canceling, ..holder(900) };
        assert_eq!(decide(&situation(2000, 1), &[canceling, holder(1000)]), Verdict::WithinLimit);
        assert_eq!(decide(&situation(2401, 1), &[canceling, holder(1000)]), Verdict::Fail(1));
        assert_eq!(decide(&situation(2401, 1), &[canceling, holder(800)]), Verdict::NoTaskToBlame);
    }

    /// Before, what it held counted as given back for as long as it was cancelled.
    #[test]
    fn what_a_task_holds_that_does_not_end_is_not_expected_back() {
        let stuck = Holder { state: HolderState::Stuck, ..holder(900) };
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(400), holder(100)]), Verdict::Fail(1));
        // It cannot be failed again, and no other is failed that holds no more than its share or whose end would not help.
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(266), holder(100)]), Verdict::NoTaskToBlame);
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(300), holder(100)]), Verdict::NoTaskToBlame);
    }

    /// Before, a task was seen only when it had written to what it had reserved, which may be within one step.
    #[test]
    fn what_is_reserved_counts_when_it_is_more_than_there_is() {
        let reserving = |reserved: u64| Situation { reserved: reserved * MIB, ..situation(900, 2) };
        assert_eq!(decide(&reserving(1600), &[holder(1400), holder(50)]), Verdict::WithinLimit);
        assert_eq!(decide(&reserving(1601), &[holder(1400), holder(50)]), Verdict::Fail(0));
        let canceling = Holder { state: HolderState::Canceling, ..holder(1400) };
        assert_eq!(decide(&reserving(1601), &[canceling, holder(50)]), Verdict::WithinLimit);
        assert_eq!(decide(&reserving(1601), &[holder(400), holder(50)]), Verdict::NoTaskToBlame);
        let over = |resident: u64, reserved: u64| BUDGET.is_over(resident * MIB, reserved * MIB);
        assert_eq!([over(1500, 1600), over(1501, 0), over(0, 1601)], [false, true, true]);
        assert_eq!([750, 751].map(|resident| BUDGET.is_half_full(resident * MIB)), [false, true]);
    }

    proptest! {
        /// A task that is failed held more than its share. Where none holds very much too much, one is failed only if it and those
        /// that are failed after it bring the process back to its limit.
        #[test]
        fn no_task_is_failed_in_vain(
            resident in 1400..2600_u64,
            held in prop::collection::vec((0..400_u64, 1..4_u64, 0..8_u8), 0..12),
        ) {
            let state = |number: u8| match number {
                0 => HolderState::Canceling,
                1 => HolderState::Stuck,
                _ => HolderState::Running,
            };
            let one = |(bytes, tasks, number): (u64, u64, u8)| Holder { tasks, state: state(number), ..holder(bytes) };
            let mut holders: Vec<Holder> = held.into_iter().map(one).collect();
            let now = |holders: &[Holder]| {
                let staying = holders.iter().filter(|holder| holder.state != HolderState::Canceling);
                situation(resident, staying.map(|holder| holder.tasks).sum())
            };
            let much = BUDGET.large_excess();
            let mut failed = 0;
            let mut much_failed = false;
            let last = loop {
                let situation = now(&holders);
                match decide(&situation, &holders) {
                    Verdict::Fail(position) => {
                        let holder = holders[position];
                        prop_assert_eq!(holder.state, HolderState::Running);
                        prop_assert!(situation.excess(&holder) > 0);
                        much_failed |= situation.excess(&holder) >= much;
                        holders[position].state = HolderState::Canceling;
                        failed += 1;
                    }
                    verdict => break verdict,
                }
            };
            prop_assert!(failed <= holders.len());
            prop_assert!(failed == 0 || much_failed || last == Verdict::WithinLimit, "{last:?}");
        }
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

    /// Before, it was counted ten times a second for as long as the process was half full, which took some per cent of a core.
    #[test]
    fn reserved_memory_is_counted_often_only_while_resident_memory_rises() {
        let start = Instant::now();
        let mut counting = Counting::default();
        let mut counts = |from: u64, to: u64, is_full: bool, resident: &dyn Fn(u64) -> u64| {
            let looks = (from..to).step_by(50);
            let due = |at: &u64| {
                counting.is_due(resident(*at) * MIB, BUDGET.process, is_full, start + Duration::from_millis(*at))
            };
            looks.filter(due).count()
        };
        // A process of 1600 MiB.
        assert_eq!(counts(0, 8_000, false, &|at| 900 + at % 20), 8, "it stays where it is");
        assert_eq!(counts(8_000, 9_000, false, &|at| at / 2 - 3_000), 10, "it rises from 1000 MiB by 500 a second");
        // It falls, and what it rises by from there counts.
        assert_eq!(counts(9_000, 9_500, false, &|_| 800), 0);
        assert_eq!(counts(9_500, 9_600, false, &|_| 826), 1);
        assert_eq!(counts(9_600, 9_900, true, &|_| 826), 3, "it seems to have reserved too much");
    }

    #[test]
    fn a_failure_says_what_happened_to_which_task_and_what_to_do() {
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
