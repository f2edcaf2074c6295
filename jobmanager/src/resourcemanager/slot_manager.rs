//! Which slot goes to which job: decisions over known facts, without I/O.
//!
//! A TaskManager decides which job has each of its slots, and says so in numbered reports. The state of a slot here follows from
//! the last report and from what was requested since: a slot is requested only if its TaskManager reported it as free, and a
//! request without an answer counts for nothing until a report says what became of it. Reports of an earlier registration, by a
//! process that is gone or that has given back all its slots, are ignored.
//!
//! A TaskManager whose calls fail, though its heartbeats may come, is asked for no slot for a while that doubles with each call
//! that fails, and is the last choice until it has answered one: other TaskManagers have free slots.
//!
//! Invariant: a slot is given to at most one job at a time, and a job is given no more slots than it misses.
use std::collections::BTreeMap;
use std::fmt;

use wiesel_common::id::{AllocationId, JobId};

/// Milliseconds for which a TaskManager is asked for no slot after a call to it has failed ...
const FIRST_PAUSE: u64 = 1_000;
/// ... and at most so many after many have.
const LAST_PAUSE: u64 = 16_000;

/// How slots are chosen where several fit (`taskmanager.load-balance.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalanceMode {
    /// Over the TaskManagers, least used first. `NONE` leaves the choice open, and then this is the best one; `SLOTS`
    /// and `TASKS` ask for it.
    #[default]
    Spread,
    /// `MIN_RESOURCES`: as few TaskManagers as possible.
    Pack,
}

/// A slot for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotAllocation {
    /// The allocation.
    pub allocation: AllocationId,
    /// Whose it is.
    pub job: JobId,
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Its TaskManager has not said yet what it is.
    Unreported,
    /// No job's.
    Free,
    /// Its TaskManager is being asked to give it to a job.
    Requested(SlotAllocation),
    /// Its TaskManager was asked and did not answer, or another call to it for the same job has failed since: an answer that comes
    /// after all, or the next report, tells what became of it.
    Unanswered(SlotAllocation),
    /// A job's.
    Held(SlotAllocation),
    /// Being given back: free once its TaskManager says so.
    Releasing(SlotAllocation),
}

impl SlotState {
    /// The job that has it, or is to have it.
    pub fn job(&self) -> Option<JobId> {
        self.counted().map(|taken| taken.job)
    }

    /// What counts as the job's.
    fn counted(&self) -> Option<SlotAllocation> {
        match self {
            Self::Requested(taken) | Self::Held(taken) => Some(*taken),
            Self::Unreported | Self::Free | Self::Unanswered(_) | Self::Releasing(_) => None,
        }
    }

    fn allocation(&self) -> Option<SlotAllocation> {
        match self {
            Self::Requested(taken) | Self::Unanswered(taken) | Self::Held(taken) | Self::Releasing(taken) => {
                Some(*taken)
            }
            Self::Unreported | Self::Free => None,
        }
    }
}

/// The number of what a TaskManager says of its slots. The larger one is right: a later registration under the same resource id
/// voids what was reported before, by whichever process and however it was numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportNumber {
    /// The registration it belongs to; those of a ResourceManager are numbered upwards.
    pub registration: u64,
    /// Counts the changes of the slots, from the beginning of the TaskManager's process.
    pub version: u64,
}

/// The slots of one TaskManager, by their index.
#[derive(Clone, Debug)]
pub struct TaskManagerSlots {
    order: u64,
    /// The number of its last report.
    reported: ReportNumber,
    /// Reports before this one do not count: that report, or a later word of the TaskManager on one of its slots.
    last: ReportNumber,
    slots: Vec<SlotState>,
    /// Slots that jobs took and that were not asked for, as far as is known here, and since when the TaskManager holds them. It has
    /// reported nothing since. They count as their jobs' until it has.
    open: Vec<(SlotAllocation, ReportNumber)>,
    free: usize,
    failed_calls: FailedCalls,
}

/// Calls to a TaskManager that failed since it last answered one.
#[derive(Clone, Copy, Debug, Default)]
struct FailedCalls {
    count: u32,
    /// The TaskManager is asked for no slot before this time of the monotonic clock, in milliseconds.
    paused_until: i64,
}

impl FailedCalls {
    /// One more has failed. Those that were under way together fail together.
    fn note(&mut self, now: i64) {
        if self.paused_until > now {
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.count.min(16)).min(LAST_PAUSE);
        self.count = self.count.saturating_add(1);
        self.paused_until = now.saturating_add_unsigned(pause);
    }
}

impl TaskManagerSlots {
    /// The slots.
    pub fn slots(&self) -> &[SlotState] {
        &self.slots
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// How many may be asked for now.
    fn available(&self, now: i64) -> usize {
        if self.failed_calls.paused_until > now { 0 } else { self.free }
    }

    /// Whether the last call to it succeeded, or none was made.
    fn answers(&self) -> bool {
        self.failed_calls.count == 0
    }

    fn given_to(&self, job: JobId) -> usize {
        self.slots.iter().filter(|slot| slot.job() == Some(job)).count()
    }
}

/// A slot that is now asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAllocation {
    /// The TaskManager's resource id.
    pub task_manager: String,
    /// Which of its slots.
    pub slot: u32,
    /// The job that is to get it.
    pub job: JobId,
    /// Its id.
    pub allocation: AllocationId,
}

#[derive(Clone, Debug)]
struct Requirement {
    order: u64,
    slots: u32,
    /// It is not known yet how many of them TaskManagers hold for the job: none is asked for.
    is_held: bool,
}

/// The slots of all TaskManagers, counted for jobs that wait for slots.
struct SlotCounts {
    /// Slots that TaskManagers have reported.
    total: usize,
    /// Free slots, of TaskManagers that answer.
    free: usize,
    /// For each job the slots requested from TaskManagers that did not answer their last call. They are in `SlotManager::given`,
    /// but a job that waits is not told that it has them.
    requested_without_answer: BTreeMap<JobId, usize>,
    /// For each job the slots that it took and of which nothing is known yet.
    open: BTreeMap<JobId, usize>,
}

/// That a job requires more slots than there are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotShortage {
    /// Slots that it requires.
    pub required: u32,
    /// Those that it has or is being given, by TaskManagers that answer.
    pub given: u32,
    /// Slots that no job holds, of TaskManagers that answer.
    pub free: u32,
    /// Slots of all TaskManagers.
    pub total: u32,
}

impl SlotShortage {
    /// How many slots the job could have now.
    pub fn available(&self) -> u32 {
        self.given.saturating_add(self.free)
    }

    /// How many slots must come, or become free, before the job can run.
    pub fn missing(&self) -> u32 {
        self.required.saturating_sub(self.available())
    }
}

impl fmt::Display for SlotShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { required, given, free, total } = self;
        let missing = self.missing();
        write!(
            f,
            "{missing} of {required} slots are missing, the job has {given}, the TaskManagers have {total} in all, {free} \
             of them free"
        )
    }
}

/// What a TaskManager says about one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedSlot {
    /// Its index.
    pub index: u32,
    /// What it is allocated to; none: free.
    pub allocation: Option<SlotAllocation>,
    /// It is being given back.
    pub releasing: bool,
}

/// Why a report of slots is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReport {
    /// More slots than there are.
    #[error("it names {named} slots of a TaskManager that has {slots}")]
    TooMany {
        /// So many.
        named: usize,
        /// The TaskManager's.
        slots: u32,
    },
    /// A slot that there is not.
    #[error("it names slot {index} of a TaskManager that has {slots}")]
    NoSuchSlot {
        /// The slot.
        index: u32,
        /// The TaskManager's.
        slots: u32,
    },
    /// A slot twice: only one of what it says can be true.
    #[error("it names slot {index} twice")]
    Twice {
        /// The slot.
        index: u32,
    },
}

/// Whether a report that names these slots may be of a TaskManager with so many. What is reported is acted upon slot by slot:
/// a report that names one again and again would have a call follow from each time.
pub fn check_report(slots: u32, named: impl ExactSizeIterator<Item = u32>) -> Result<(), MalformedReport> {
    if named.len() > slots as usize {
        return Err(MalformedReport::TooMany { named: named.len(), slots });
    }
    let mut seen = vec![false; slots as usize];
    for index in named {
        let Some(slot) = seen.get_mut(index as usize) else {
            return Err(MalformedReport::NoSuchSlot { index, slots });
        };
        if std::mem::replace(slot, true) {
            return Err(MalformedReport::Twice { index });
        }
    }
    Ok(())
}

/// What follows from a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Allocations that the TaskManager holds and no job wants.
    pub to_free: Vec<AllocationId>,
    /// Slots that jobs had, or took, and have no more.
    pub lost: Vec<SlotAllocation>,
    /// Slots that jobs took, which was [`Acceptance::Open`], and have.
    pub confirmed: Vec<SlotAllocation>,
}

/// What is known of a slot that a job took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is the job's.
    Confirmed,
    /// It was the job's, and is not any more: the offer was late.
    Lost,
    /// The offer is newer than all that is known here of its TaskManager. The next report tells.
    Open,
}

/// All slots, and how many each job requires.
#[derive(Clone, Debug, Default)]
pub struct SlotManager {
    mode: LoadBalanceMode,
    next_order: u64,
    task_managers: BTreeMap<String, TaskManagerSlots>,
    requirements: BTreeMap<JobId, Requirement>,
    /// How many slots count as each job's.
    given: BTreeMap<JobId, usize>,
    /// Something changed since the last decisions.
    changed: bool,
    /// When the next TaskManager whose calls failed may be asked again.
    next_trial: Option<i64>,
}

impl SlotManager {
    /// No slots, no jobs.
    pub fn new(mode: LoadBalanceMode) -> Self {
        Self { mode, ..Self::default() }
    }

    fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// A TaskManager, whose slots are given away once it has reported them. It must not be known; the number of its registration
    /// is larger than any before.
    pub fn register(&mut self, task_manager: &str, registration: u64, slots: u32) {
        let order = self.order();
        let slots = vec![SlotState::Unreported; slots as usize];
        let none = ReportNumber { registration, version: 0 };
        let known = TaskManagerSlots {
            order,
            reported: none,
            last: none,
            slots,
            open: Vec::new(),
            free: 0,
            failed_calls: FailedCalls::default(),
        };
        self.task_managers.insert(task_manager.to_owned(), known);
    }

    /// Whether a slot of a TaskManager is given to a job, is being given to one, or has not come back from one.
    pub fn has_allocations(&self, task_manager: &str) -> bool {
        let known = self.task_managers.get(task_manager);
        known.is_some_and(|known| known.slots.iter().any(|slot| slot.allocation().is_some()))
    }

    /// A TaskManager is gone.
    pub fn unregister(&mut self, task_manager: &str) {
        for index in 0..self.task_managers.get(task_manager).map_or(0, |known| known.slots.len()) {
            self.set(task_manager, index, SlotState::Free);
        }
        let gone = self.task_managers.remove(task_manager);
        self.changed |= gone.is_some_and(|gone| !gone.open.is_empty());
    }

    /// The only place where the state of a slot changes. Returns what it was.
    fn set(&mut self, task_manager: &str, index: usize, state: SlotState) -> SlotState {
        let Some(known) = self.task_managers.get_mut(task_manager) else { return SlotState::Unreported };
        let before = std::mem::replace(&mut known.slots[index], state);
        known.free += usize::from(state == SlotState::Free);
        known.free -= usize::from(before == SlotState::Free);
        if let Some(job) = before.job()
            && let Some(count) = self.given.get_mut(&job)
        {
            *count -= 1;
            if *count == 0 {
                self.given.remove(&job);
            }
        }
        if let Some(job) = state.job() {
            *self.given.entry(job).or_default() += 1;
        }
        self.changed |= before != state;
        before
    }

    /// A job requires this many slots in all.
    pub fn require(&mut self, job: JobId, slots: u32) {
        self.set_requirement(job, slots, false);
    }

    /// A job that another JobMaster has led requires this many slots. Before it says so again it gets none but those that TaskManagers
    /// hold for it, of which it may be hearing.
    pub fn hold(&mut self, job: JobId, slots: u32) {
        self.set_requirement(job, slots, true);
    }

    fn set_requirement(&mut self, job: JobId, slots: u32, is_held: bool) {
        let order = self.order();
        let known = self.requirements.entry(job).or_insert(Requirement { order, slots, is_held });
        (known.slots, known.is_held) = (slots, is_held);
        self.changed = true;
    }

    /// A job requires nothing any more. Returns what is to be freed: TaskManager and allocation.
    pub fn release(&mut self, job: JobId) -> Vec<(String, AllocationId)> {
        self.requirements.remove(&job);
        let mut released = Vec::new();
        for (id, known) in &self.task_managers {
            for (index, slot) in known.slots.iter().enumerate() {
                if let Some(taken) = slot.allocation().filter(|taken| taken.job == job) {
                    released.push((id.clone(), index, taken));
                }
            }
        }
        let mut to_free = Vec::with_capacity(released.len());
        for (id, index, taken) in released {
            self.set(&id, index, SlotState::Releasing(taken));
            to_free.push((id, taken.allocation));
        }
        to_free
    }

    /// The job of this slot does not have it, or not any more. True: its TaskManager is to free it.
    pub fn give_up(&mut self, task_manager: &str, allocation: AllocationId) -> bool {
        let Some((index, state)) = self.find(task_manager, allocation) else {
            return self.forget_open(task_manager, allocation);
        };
        if let Some(taken) = state.allocation() {
            self.set(task_manager, index, SlotState::Releasing(taken));
        }
        true
    }

    /// The job that took a slot, of which nothing is known yet, does not have it any more. False: it is none of these.
    fn forget_open(&mut self, task_manager: &str, allocation: AllocationId) -> bool {
        let Some(known) = self.task_managers.get_mut(task_manager) else { return false };
        let before = known.open.len();
        known.open.retain(|(open, _)| open.allocation != allocation);
        let was_open = known.open.len() < before;
        self.changed |= was_open;
        was_open
    }

    /// A TaskManager has given the slot to the job. False: no job wants it any more, it must be freed.
    pub fn granted(&mut self, task_manager: &str, allocation: AllocationId) -> bool {
        match self.find(task_manager, allocation) {
            Some((index, SlotState::Requested(taken) | SlotState::Unanswered(taken) | SlotState::Held(taken))) => {
                self.set(task_manager, index, SlotState::Held(taken));
                true
            }
            _ => false,
        }
    }

    /// A job has taken a slot that its TaskManager has held for it since then, whether or not the TaskManager has answered here.
    /// The offer may be late: what the TaskManager has reported since is right.
    pub fn accepted(&mut self, task_manager: &str, taken: SlotAllocation, since: ReportNumber) -> Acceptance {
        let allocation = taken.allocation;
        let state = self.find(task_manager, allocation).map(|(_, state)| state);
        let Some(known) = self.task_managers.get_mut(task_manager) else { return Acceptance::Lost };
        let reported_since = known.reported >= since;
        match state {
            Some(SlotState::Held(_)) => {}
            Some(SlotState::Requested(_) | SlotState::Unanswered(_)) if !reported_since => {
                self.granted(task_manager, allocation);
            }
            None if !reported_since => {
                known.open.retain(|(open, _)| open.allocation != allocation);
                known.open.push((taken, since));
                return Acceptance::Open;
            }
            // A report that named it would have made it the job's.
            _ => {
                self.not_granted(task_manager, allocation);
                return Acceptance::Lost;
            }
        }
        if let Some(known) = self.task_managers.get_mut(task_manager) {
            // A report of before does not name it, and may be on its way.
            known.last = known.last.max(since);
        }
        Acceptance::Confirmed
    }

    /// A TaskManager did not give the slot, or did not answer. What it says of its slots comes with a report.
    pub fn not_granted(&mut self, task_manager: &str, allocation: AllocationId) {
        if let Some((index, SlotState::Requested(taken))) = self.find(task_manager, allocation) {
            self.set(task_manager, index, SlotState::Unanswered(taken));
        }
    }

    /// Whether a TaskManager has said later what is true of its slots.
    fn is_outdated(&self, task_manager: &str, number: ReportNumber) -> bool {
        self.task_managers.get(task_manager).is_some_and(|known| known.reported > number)
    }

    /// A call for a slot of a TaskManager for this job failed at this time: it refused the call, could not be reached or did not
    /// answer.
    pub fn call_failed(&mut self, task_manager: &str, job: JobId, now: i64) {
        let Some(known) = self.task_managers.get_mut(task_manager) else { return };
        known.failed_calls.note(now);
        // Nothing says that the other calls for the job fare better: it is not to wait for them while others have free slots. Those
        // for other jobs, which may have been made much later, have their own time.
        let requested = |(index, slot): (usize, &SlotState)| match slot {
            SlotState::Requested(taken) if taken.job == job => Some((index, *taken)),
            _ => None,
        };
        let unanswered: Vec<_> = known.slots.iter().enumerate().filter_map(requested).collect();
        for (index, taken) in unanswered {
            self.set(task_manager, index, SlotState::Unanswered(taken));
        }
        self.changed = true;
    }

    /// A TaskManager has answered whether it gives the slot, and with it has said what is true of all.
    pub fn answered(
        &mut self,
        task_manager: &str,
        allocation: AllocationId,
        granted: bool,
        number: ReportNumber,
        report: &[ReportedSlot],
    ) -> Reconciliation {
        let registered = self.task_managers.get(task_manager).map(|known| known.last.registration);
        if registered != Some(number.registration) {
            // What it gave went with the registration.
            self.not_granted(task_manager, allocation);
            return Reconciliation::default();
        }
        self.call_succeeded(task_manager);
        // What it has reported since it gave the slot is right: if it had it still, it would be the job's by now.
        if granted && !self.is_outdated(task_manager, number) {
            self.granted(task_manager, allocation);
        } else {
            self.not_granted(task_manager, allocation);
        }
        // The report names the slot, and so decides whether its job wants it: also if the request was believed to have failed.
        self.report(task_manager, number, report)
    }

    fn call_succeeded(&mut self, task_manager: &str) {
        if let Some(known) = self.task_managers.get_mut(task_manager)
            && !known.answers()
        {
            known.failed_calls = FailedCalls::default();
            self.changed = true;
        }
    }

    fn find(&self, task_manager: &str, allocation: AllocationId) -> Option<(usize, SlotState)> {
        let slots = &self.task_managers.get(task_manager)?.slots;
        let holds = |slot: &SlotState| slot.allocation().is_some_and(|taken| taken.allocation == allocation);
        slots.iter().position(holds).map(|index| (index, slots[index]))
    }

    /// Takes what a TaskManager says of its slots as the truth, unless it said something later already, or said this under
    /// another registration. A report that [`check_report`] refuses must not come here.
    pub fn report(&mut self, task_manager: &str, number: ReportNumber, report: &[ReportedSlot]) -> Reconciliation {
        let mut outcome = Reconciliation::default();
        match self.task_managers.get_mut(task_manager) {
            Some(known) if known.last.registration == number.registration && known.last <= number => {
                (known.reported, known.last) = (number, number);
            }
            _ => return outcome,
        }
        for reported in report {
            let index = reported.index as usize;
            let known = self.task_managers.get(task_manager).and_then(|known| known.slots.get(index));
            let Some(believed) = known.copied() else { continue };
            let state = self.reconciled(believed, reported);
            self.set(task_manager, index, state);
            if let SlotState::Held(before) = believed
                && state.counted() != Some(before)
            {
                outcome.lost.push(before);
            }
            if let SlotState::Releasing(taken) = state
                && !reported.releasing
            {
                outcome.to_free.push(taken.allocation);
            }
        }
        self.settle_open(task_manager, number, &mut outcome);
        outcome
    }

    /// A report tells of slots that jobs took before it was made whether they are theirs.
    fn settle_open(&mut self, task_manager: &str, number: ReportNumber, outcome: &mut Reconciliation) {
        let Some(known) = self.task_managers.get_mut(task_manager) else { return };
        let (slots, before) = (&known.slots, known.open.len());
        known.open.retain(|(taken, since)| {
            let told = *since <= number;
            if told {
                let is_held = slots.contains(&SlotState::Held(*taken));
                let told_of = if is_held { &mut outcome.confirmed } else { &mut outcome.lost };
                told_of.push(*taken);
            }
            !told
        });
        self.changed |= known.open.len() < before;
    }

    /// What a slot is that was believed to be something and is reported as something.
    fn reconciled(&self, believed: SlotState, reported: &ReportedSlot) -> SlotState {
        match (believed, reported.allocation) {
            // The request is still on its way, or its answer is.
            (SlotState::Requested(_), None) => believed,
            (_, None) => SlotState::Free,
            (SlotState::Releasing(taken), Some(held)) if taken == held => believed,
            (_, Some(held)) if reported.releasing || !self.requirements.contains_key(&held.job) => {
                SlotState::Releasing(held)
            }
            (_, Some(held)) => SlotState::Held(held),
        }
    }

    /// Asks for slots for the jobs that miss some, first come first served. A job gets all it misses or nothing, so that two
    /// jobs never starve each other with half of what they need; a job that does not fit lets smaller ones pass.
    /// `now`: milliseconds of the monotonic clock.
    pub fn decide(&mut self, now: i64, new_id: &mut dyn FnMut() -> AllocationId) -> Vec<NewAllocation> {
        let trial = self.next_trial.is_some_and(|at| at <= now);
        if !std::mem::take(&mut self.changed) && !trial {
            return Vec::new();
        }
        let pauses = self.task_managers.values().map(|known| known.failed_calls.paused_until);
        self.next_trial = pauses.filter(|until| *until > now).min();
        // Before the jobs are looked at: thousands may wait, and each that gets its slots, or is over, brings the next decision.
        let mut free = self.task_managers.values().map(|known| known.available(now)).sum::<usize>();
        if free == 0 {
            return Vec::new();
        }
        let open = self.open();
        let of = |slots: &BTreeMap<JobId, usize>, job: &JobId| slots.get(job).copied().unwrap_or(0);
        let missing = |(job, needed): (&JobId, &Requirement)| {
            let missing = (needed.slots as usize).saturating_sub(of(&self.given, job) + of(&open, job));
            (missing > 0 && !needed.is_held).then_some((needed.order, *job, missing))
        };
        let mut missing: Vec<_> = self.requirements.iter().filter_map(missing).collect();
        missing.sort_unstable();
        let mut decisions = Vec::new();
        for (_, job, missing) in missing {
            if free == 0 {
                break;
            }
            if missing > free {
                continue;
            }
            for _ in 0..missing {
                let Some(decision) = self.take_best(job, now, new_id) else { break };
                decisions.push(decision);
            }
            free -= missing;
        }
        self.changed = false;
        decisions
    }

    /// How many slots each job took of which nothing is known yet. It has no use for others in their place, and would refuse one
    /// after the other.
    fn open(&self) -> BTreeMap<JobId, usize> {
        let mut open = BTreeMap::new();
        for (taken, _) in self.task_managers.values().flat_map(|known| &known.open) {
            *open.entry(taken.job).or_default() += 1;
        }
        open
    }

    fn take_best(&mut self, job: JobId, now: i64, new_id: &mut dyn FnMut() -> AllocationId) -> Option<NewAllocation> {
        let candidates = self.task_managers.iter().filter(|(_, known)| known.available(now) > 0);
        let (id, best) = candidates.min_by_key(|(_, known)| preference(self.mode, known, job))?;
        let slot = best.slots.iter().position(|slot| *slot == SlotState::Free)?;
        let (id, allocation) = (id.clone(), new_id());
        self.set(&id, slot, SlotState::Requested(SlotAllocation { allocation, job }));
        Some(NewAllocation { task_manager: id, slot: slot as u32, job, allocation })
    }

    /// What a job waits for after the last decisions, if it does.
    pub fn shortage(&self, job: JobId) -> Option<SlotShortage> {
        self.shortage_of(job, self.requirements.get(&job)?, &self.counts())
    }

    /// What jobs wait for after the last decisions.
    pub fn shortages(&self) -> BTreeMap<JobId, SlotShortage> {
        let counts = self.counts();
        let waiting = self.requirements.iter();
        waiting.filter_map(|(job, needed)| Some((*job, self.shortage_of(*job, needed, &counts)?))).collect()
    }

    fn shortage_of(&self, job: JobId, needed: &Requirement, counts: &SlotCounts) -> Option<SlotShortage> {
        let number = |slots: usize| u32::try_from(slots).unwrap_or(u32::MAX);
        let of_job = |slots: &BTreeMap<JobId, usize>| slots.get(&job).copied().unwrap_or(0);
        let given = of_job(&self.given).saturating_sub(of_job(&counts.requested_without_answer));
        let given = given + of_job(&counts.open);
        let shortage = SlotShortage {
            required: needed.slots,
            given: number(given),
            free: number(counts.free),
            total: number(counts.total),
        };
        (shortage.missing() > 0 && !needed.is_held).then_some(shortage)
    }

    fn counts(&self) -> SlotCounts {
        let (answering, silent): (Vec<_>, Vec<_>) = self.task_managers.values().partition(|known| known.answers());
        let mut requested_without_answer: BTreeMap<JobId, usize> = BTreeMap::new();
        for slot in silent.iter().flat_map(|known| &known.slots) {
            if let SlotState::Requested(taken) = slot {
                *requested_without_answer.entry(taken.job).or_default() += 1;
            }
        }
        let free = answering.into_iter().map(TaskManagerSlots::free).sum::<usize>();
        SlotCounts { total: self.totals().0, free, requested_without_answer, open: self.open() }
    }

    /// The slots of a TaskManager.
    pub fn task_manager(&self, id: &str) -> Option<&TaskManagerSlots> {
        self.task_managers.get(id)
    }

    /// How many slots there are by what TaskManagers have reported, and how many are free.
    pub fn totals(&self) -> (usize, usize) {
        let slots = self.task_managers.values().flat_map(|known| &known.slots);
        let total = slots.filter(|slot| **slot != SlotState::Unreported).count();
        (total, self.task_managers.values().map(TaskManagerSlots::free).sum())
    }
}

/// The TaskManager with the smallest one is taken: calls that failed, share of slots in use in parts per million, slots of this
/// job, age.
fn preference(mode: LoadBalanceMode, known: &TaskManagerSlots, job: JobId) -> (u32, u64, usize, u64) {
    let total = known.slots.len().max(1);
    let used = ((total - known.free()) * 1_000_000 / total) as u64;
    let failed = known.failed_calls.count;
    match mode {
        LoadBalanceMode::Spread => (failed, used, known.given_to(job), known.order),
        LoadBalanceMode::Pack => (failed, 1_000_000 - used, 0, known.order),
    }
}

#[cfg(test)]
#[path = "slot_manager_tests.rs"]
mod tests;
