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
        self.process - self.part()
    }

    /// A sixteenth of it: who holds so much beyond its share is to blame in any case.
    fn part(&self) -> u64 {
        self.process / 16
    }

    /// Whether what is reserved is worth counting: it takes time, and where this little is taken there is time.
    pub(super) fn is_half_full(&self, resident: u64) -> bool {
        resident > self.limit() / 2
    }

    /// Whether somebody may have to go.
    pub(super) fn is_over(&self, resident: u64, reserved: u64) -> bool {
        self.excess(resident, reserved, 0) > 0
    }

    /// How many bytes the process is beyond what it may take, when so many have been given back. What is reserved and was never
    /// written to takes nothing yet, and some of it never will: a vector has room for more than it needs. Where it is more than
    /// the process may take altogether, somebody is about to write to it.
    fn excess(&self, resident: u64, reserved: u64, going: u64) -> u64 {
        let taken = resident.saturating_sub(going).saturating_sub(self.limit());
        taken.max(reserved.saturating_sub(going).saturating_sub(self.process))
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
    pub(super) stage: Stage,
}

/// How far the end of a holder's tasks is; of several, that of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// They were told to end, or are about to be, a short while ago: what they hold counts as given back.
    Ending,
    /// They were told and have not ended since, in one long step or in a call that does not return. Nobody knows when they will,
    /// and telling them again changes nothing: they hold what they hold.
    Stuck,
    /// Nobody told them to end.
    Running,
}

/// What is true of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// What it takes.
    pub(super) resident: u64,
    /// What was allocated in it and is not freed, whether or not it was ever written to; without what RocksDB has.
    pub(super) reserved: u64,
    /// Its budget.
    pub(super) budget: Budget,
    /// What its tasks may hold together.
    pub(super) allowance: u64,
    /// How many tasks share that: those that are not ending.
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
    /// Nothing, though it is not: what tasks hold beyond their shares is not what takes it.
    Nobody,
    /// The holder at this position has to go.
    Fail(usize),
}

/// Below the limit nobody has to go, however much a task holds: what others do not use is nobody's loss. Above it it is who
/// holds most beyond its share, if that helps: if the process would be within its limit were it not for what tasks hold beyond
/// their shares. Where it would not, something else takes the memory (RocksDB beyond its bounds, threads, fragments), and one task
/// after the other would be failed for a few bytes, restarted and failed again. But who holds much too much goes all the same:
/// the less there is beyond the limit, the better.
///
/// Who is stuck counts among those who share, and what it holds is not expected back: others are failed for it only where they
/// hold too much themselves and that is enough. So it does not take the others with it, but they do not end with the process
/// because of it either, as long as they can help it.
pub(super) fn decide(situation: &Situation, holders: &[Holder]) -> Verdict {
    let going: u64 = holders.iter().filter(|holder| holder.stage == Stage::Ending).map(|holder| holder.bytes).sum();
    let missing = situation.budget.excess(situation.resident, situation.reserved, going);
    if missing == 0 {
        return Verdict::Within;
    }
    let running = holders.iter().enumerate().filter(|(_, holder)| holder.stage == Stage::Running);
    let beyond =
        running.map(|(position, holder)| (situation.excess(holder), position)).filter(|(excess, _)| *excess > 0);
    let beyond: Vec<(u64, usize)> = beyond.collect();
    let together: u64 = beyond.iter().map(|(excess, _)| excess).sum();
    match beyond.into_iter().max_by_key(|(excess, _)| *excess) {
        Some((most, position)) if together >= missing || most >= situation.budget.part() => Verdict::Fail(position),
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
        Holder { arena: 9, job: JobId([1; 16]), tasks: 1, bytes: bytes * MIB, stage: Stage::Running }
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

    /// Before, a task was failed for any byte beyond its share, whatever it was that took the memory, and then the next one.
    #[test]
    fn who_holds_little_too_much_is_failed_only_where_that_helps() {
        let mut holders = vec![holder(8); 100];
        (holders[7], holders[9]) = (holder(15), holder(14));
        assert_eq!(decide(&situation(1513, 100), &holders), Verdict::Fail(7));
        assert_eq!(decide(&situation(1514, 100), &holders), Verdict::Nobody);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::Nobody);
        // Who holds much too much is failed in any case.
        holders[9] = holder(8 + 99);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::Nobody);
        holders[9] = holder(8 + 100);
        assert_eq!(decide(&situation(2000, 100), &holders), Verdict::Fail(9));
    }

    /// The second is not failed for what the first is about to give back.
    #[test]
    fn who_was_told_to_end_is_waited_for_while_that_suffices() {
        let ending = Holder { stage: Stage::Ending, ..holder(900) };
        assert_eq!(decide(&situation(2000, 1), &[ending, holder(1000)]), Verdict::Within);
        assert_eq!(decide(&situation(2401, 1), &[ending, holder(1000)]), Verdict::Fail(1));
        assert_eq!(decide(&situation(2401, 1), &[ending, holder(800)]), Verdict::Nobody);
    }

    /// Before, what it held counted as given back for as long as it was cancelled.
    #[test]
    fn who_does_not_end_is_not_waited_for_any_more() {
        let stuck = Holder { stage: Stage::Stuck, ..holder(900) };
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(400), holder(100)]), Verdict::Fail(1));
        // It cannot be failed again, and nobody is failed for it who holds no more than a share or cannot help.
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(266), holder(100)]), Verdict::Nobody);
        assert_eq!(decide(&situation(1600, 3), &[stuck, holder(300), holder(100)]), Verdict::Nobody);
    }

    /// Before, a task was seen only when it had written to what it had reserved, which may be within one step.
    #[test]
    fn what_is_reserved_counts_when_it_is_more_than_there_is() {
        let reserving = |reserved: u64| Situation { reserved: reserved * MIB, ..situation(900, 2) };
        assert_eq!(decide(&reserving(1600), &[holder(1400), holder(50)]), Verdict::Within);
        assert_eq!(decide(&reserving(1601), &[holder(1400), holder(50)]), Verdict::Fail(0));
        let ending = Holder { stage: Stage::Ending, ..holder(1400) };
        assert_eq!(decide(&reserving(1601), &[ending, holder(50)]), Verdict::Within);
        assert_eq!(decide(&reserving(1601), &[holder(400), holder(50)]), Verdict::Nobody);
        let over = |resident: u64, reserved: u64| BUDGET.is_over(resident * MIB, reserved * MIB);
        assert_eq!([over(1500, 1600), over(1501, 0), over(0, 1601)], [false, true, true]);
        assert_eq!([750, 751].map(|resident| BUDGET.is_half_full(resident * MIB)), [false, true]);
    }

    proptest! {
        /// Whoever is failed held more than its share. Where nobody holds much too much, one is failed only if with those who are
        /// failed after it the process comes to its limit.
        #[test]
        fn nobody_is_failed_in_vain(
            resident in 1400..2600_u64,
            held in prop::collection::vec((0..400_u64, 1..4_u64, 0..8_u8), 0..12),
        ) {
            let stage = |number: u8| match number {
                0 => Stage::Ending,
                1 => Stage::Stuck,
                _ => Stage::Running,
            };
            let one = |(bytes, tasks, number): (u64, u64, u8)| Holder { tasks, stage: stage(number), ..holder(bytes) };
            let mut holders: Vec<Holder> = held.into_iter().map(one).collect();
            let now = |holders: &[Holder]| {
                let staying = holders.iter().filter(|holder| holder.stage != Stage::Ending);
                situation(resident, staying.map(|holder| holder.tasks).sum())
            };
            let much = BUDGET.part();
            let mut failed = 0;
            let mut much_failed = false;
            let last = loop {
                let situation = now(&holders);
                match decide(&situation, &holders) {
                    Verdict::Fail(position) => {
                        let holder = holders[position];
                        prop_assert_eq!(holder.stage, Stage::Running);
                        prop_assert!(situation.excess(&holder) > 0);
                        much_failed |= situation.excess(&holder) >= much;
                        holders[position].stage = Stage::Ending;
                        failed += 1;
                    }
                    verdict => break verdict,
                }
            };
            prop_assert!(failed <= holders.len());
            prop_assert!(failed == 0 || much_failed || last == Verdict::Within, "{last:?}");
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
