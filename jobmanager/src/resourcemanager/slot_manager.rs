//! Which slot goes to which job: decisions over known facts, without I/O.
//!
//! Invariant: a slot is held by at most one job, and a job never holds more slots than it requires.
use std::collections::{BTreeMap, BTreeSet};

use wiesel_common::id::{AllocationId, JobId};

/// A report older than this (milliseconds) cannot still be on its way.
const REPORT_DELAY_MS: i64 = 5_000;

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

/// A slot that a job holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotAllocation {
    /// The allocation.
    pub allocation: AllocationId,
    /// Who holds it.
    pub job: JobId,
    /// When the TaskManager confirmed it (milliseconds since the epoch); none: not yet.
    pub confirmed: Option<i64>,
}

/// The slots of one TaskManager, by their index.
#[derive(Clone, Debug)]
pub struct TaskManagerSlots {
    order: u64,
    slots: Vec<Option<SlotAllocation>>,
}

impl TaskManagerSlots {
    /// The slots, none where free.
    pub fn slots(&self) -> &[Option<SlotAllocation>] {
        &self.slots
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    fn held_by(&self, job: JobId) -> usize {
        self.slots.iter().flatten().filter(|slot| slot.job == job).count()
    }
}

/// A slot that is now given to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAllocation {
    /// The TaskManager's resource id.
    pub task_manager: String,
    /// Which of its slots.
    pub slot: u32,
    /// Who gets it.
    pub job: JobId,
    /// Its id.
    pub allocation: AllocationId,
}

#[derive(Clone, Debug)]
struct Requirement {
    order: u64,
    slots: u32,
}

/// What a TaskManager says about one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedSlot {
    /// Its index.
    pub index: u32,
    /// What it is allocated to, and for which job; none: free.
    pub allocation: Option<(AllocationId, JobId)>,
}

/// All slots and who requires how many.
#[derive(Clone, Debug, Default)]
pub struct SlotManager {
    mode: LoadBalanceMode,
    next_order: u64,
    task_managers: BTreeMap<String, TaskManagerSlots>,
    requirements: BTreeMap<JobId, Requirement>,
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

    /// A TaskManager with free slots. It must not be known.
    pub fn register(&mut self, task_manager: &str, slots: u32) {
        let order = self.order();
        let slots = TaskManagerSlots { order, slots: vec![None; slots as usize] };
        self.task_managers.insert(task_manager.to_owned(), slots);
    }

    /// A TaskManager is gone. Returns the jobs that held slots of it.
    pub fn unregister(&mut self, task_manager: &str) -> BTreeSet<JobId> {
        let gone = self.task_managers.remove(task_manager);
        gone.iter().flat_map(|gone| gone.slots.iter().flatten()).map(|slot| slot.job).collect()
    }

    /// A job requires this many slots in all.
    pub fn require(&mut self, job: JobId, slots: u32) {
        let order = self.order();
        self.requirements.entry(job).and_modify(|known| known.slots = slots).or_insert(Requirement { order, slots });
    }

    /// A job requires nothing any more. Returns what it held: TaskManager and allocation.
    pub fn release(&mut self, job: JobId) -> Vec<(String, AllocationId)> {
        self.requirements.remove(&job);
        let mut released = Vec::new();
        for (id, task_manager) in &mut self.task_managers {
            for slot in &mut task_manager.slots {
                if let Some(taken) = slot.take_if(|taken| taken.job == job) {
                    released.push((id.clone(), taken.allocation));
                }
            }
        }
        released
    }

    /// A TaskManager has given the slot to the job. False: nobody wants it any more, it must be freed.
    pub fn confirm(&mut self, task_manager: &str, allocation: AllocationId, now: i64) -> bool {
        let slot = self.find(task_manager, allocation);
        slot.is_some_and(|slot| {
            slot.iter_mut().for_each(|taken| taken.confirmed = Some(now));
            true
        })
    }

    /// A slot is free again.
    pub fn free(&mut self, task_manager: &str, allocation: AllocationId) {
        if let Some(slot) = self.find(task_manager, allocation) {
            *slot = None;
        }
    }

    fn find(&mut self, task_manager: &str, allocation: AllocationId) -> Option<&mut Option<SlotAllocation>> {
        let slots = &mut self.task_managers.get_mut(task_manager)?.slots;
        slots.iter_mut().find(|slot| slot.is_some_and(|taken| taken.allocation == allocation))
    }

    /// Compares with what a TaskManager reports. Returns allocations that it holds and nobody wants. A slot that it holds
    /// for a job that misses one is that job's; one that it reports as free although it was confirmed is free again, unless
    /// that was just now: the report may have been on its way already.
    pub fn reconcile(&mut self, task_manager: &str, report: &[ReportedSlot], now: i64) -> Vec<AllocationId> {
        let mut unwanted = Vec::new();
        for reported in report {
            let index = reported.index as usize;
            let Some(known) = self.task_managers.get(task_manager).and_then(|known| known.slots.get(index)) else {
                continue;
            };
            let corrected = match (known, reported.allocation) {
                (Some(taken), None) if taken.confirmed.is_some_and(|at| now - at > REPORT_DELAY_MS) => None,
                (Some(taken), Some((allocation, _))) if taken.allocation != allocation => {
                    unwanted.push(allocation);
                    continue;
                }
                (None, Some((allocation, job))) if self.misses_slots(job) => {
                    Some(SlotAllocation { allocation, job, confirmed: Some(now) })
                }
                (None, Some((allocation, _))) => {
                    unwanted.push(allocation);
                    continue;
                }
                _ => continue,
            };
            if let Some(known) = self.task_managers.get_mut(task_manager) {
                known.slots[index] = corrected;
            }
        }
        unwanted
    }

    fn held(&self, job: JobId) -> usize {
        self.task_managers.values().map(|task_manager| task_manager.held_by(job)).sum()
    }

    fn misses_slots(&self, job: JobId) -> bool {
        self.requirements.get(&job).is_some_and(|needed| self.held(job) < needed.slots as usize)
    }

    /// Gives free slots to the jobs that miss some, first come first served. A job gets all it misses or nothing, so that
    /// two jobs never starve each other with half of what they need; a job that does not fit lets smaller ones pass.
    pub fn decide(&mut self, new_id: &mut dyn FnMut() -> AllocationId) -> Vec<NewAllocation> {
        let mut requirements: Vec<_> =
            self.requirements.iter().map(|(job, needed)| (needed.order, *job, needed.slots)).collect();
        requirements.sort_unstable();
        let mut free = self.task_managers.values().map(TaskManagerSlots::free).sum::<usize>();
        let mut decisions = Vec::new();
        for (_, job, required) in requirements {
            let missing = (required as usize).saturating_sub(self.held(job));
            if missing > free {
                continue;
            }
            for _ in 0..missing {
                let Some(decision) = self.take_best(job, new_id) else { break };
                decisions.push(decision);
            }
            free -= missing;
        }
        decisions
    }

    fn take_best(&mut self, job: JobId, new_id: &mut dyn FnMut() -> AllocationId) -> Option<NewAllocation> {
        let mode = self.mode;
        let (id, best) = self
            .task_managers
            .iter_mut()
            .filter(|(_, task_manager)| task_manager.free() > 0)
            .min_by_key(|(_, task_manager)| preference(mode, task_manager, job))?;
        let slot = best.slots.iter().position(Option::is_none)?;
        let allocation = new_id();
        best.slots[slot] = Some(SlotAllocation { allocation, job, confirmed: None });
        Some(NewAllocation { task_manager: id.clone(), slot: slot as u32, job, allocation })
    }

    /// The slots of a TaskManager.
    pub fn task_manager(&self, id: &str) -> Option<&TaskManagerSlots> {
        self.task_managers.get(id)
    }

    /// How many slots there are, and how many are free.
    pub fn totals(&self) -> (usize, usize) {
        let total = self.task_managers.values().map(|task_manager| task_manager.slots.len()).sum();
        (total, self.task_managers.values().map(TaskManagerSlots::free).sum())
    }
}

/// The smaller the better: share of slots in use in parts per million, slots of this job, age.
fn preference(mode: LoadBalanceMode, task_manager: &TaskManagerSlots, job: JobId) -> (u64, usize, u64) {
    let total = task_manager.slots.len().max(1);
    let used = ((total - task_manager.free()) * 1_000_000 / total) as u64;
    match mode {
        LoadBalanceMode::Spread => (used, task_manager.held_by(job), task_manager.order),
        LoadBalanceMode::Pack => (1_000_000 - used, 0, task_manager.order),
    }
}

#[cfg(test)]
#[path = "slot_manager_tests.rs"]
mod tests;
