//! Which slot belongs to which job: decisions only, nothing in here waits or talks.
use std::collections::HashSet;

use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_proto as proto;

/// A slot as long as a job holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) id: AllocationId,
    pub(crate) job: JobId,
    /// The job has accepted the slot.
    pub(crate) active: bool,
    /// The slot is given back once its tasks are over.
    pub(crate) releasing: bool,
    tasks: HashSet<AttemptId>,
}

/// The slots of a TaskManager.
#[derive(Debug)]
pub(crate) struct SlotTable {
    slots: Vec<Option<Allocation>>,
    /// Counts changes: what is said of the slots is numbered by it.
    version: u64,
}

/// A slot of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: AllocationId,
    pub(crate) index: u32,
    /// The job has accepted it.
    pub(crate) active: bool,
}

/// What becomes of a request for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The slot is the job's now and is to be offered to it.
    Allocated,
    /// It has been since an earlier request.
    Known,
    /// Another allocation holds it.
    Taken,
    /// There is no such slot.
    Unknown,
}

impl SlotTable {
    pub(crate) fn new(slots: u32) -> Self {
        Self { slots: (0..slots).map(|_| None).collect(), version: 1 }
    }

    /// Gives a free slot to a job.
    pub(crate) fn allocate(&mut self, index: u32, id: AllocationId, job: JobId) -> Answer {
        match self.slots.get_mut(index as usize) {
            None => Answer::Unknown,
            Some(Some(known)) if known.id == id && !known.releasing => Answer::Known,
            Some(Some(_)) => Answer::Taken,
            Some(slot) => {
                *slot = Some(Allocation { id, job, active: false, releasing: false, tasks: HashSet::new() });
                self.version += 1;
                Answer::Allocated
            }
        }
    }

    fn find(&mut self, id: AllocationId) -> Option<&mut Option<Allocation>> {
        self.slots.iter_mut().find(|slot| slot.as_ref().is_some_and(|allocation| allocation.id == id))
    }

    /// What holds the slot of that allocation.
    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.slots.iter().flatten().find(|allocation| allocation.id == id)
    }

    /// The job has accepted the slot.
    pub(crate) fn activate(&mut self, id: AllocationId) {
        if let Some(Some(allocation)) = self.find(id) {
            allocation.active = true;
        }
    }

    /// The number of what is true now.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Those that a job holds and that are not being given back.
    pub(crate) fn held(&self, job: JobId) -> Vec<Held> {
        let slots = (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot.as_ref()?)));
        let held = slots.filter(|(_, held)| held.job == job && !held.releasing);
        held.map(|(index, held)| Held { id: held.id, index, active: held.active }).collect()
    }

    /// What a JobMaster is told of them.
    pub(crate) fn held_by(&self, job: JobId) -> Vec<proto::HeldSlot> {
        let told = |held: Held| proto::HeldSlot { allocation_id: held.id.to_bytes(), active: held.active };
        self.held(job).into_iter().map(told).collect()
    }

    /// A task runs in the slot. False: the slot is not that job's.
    pub(crate) fn add_task(&mut self, id: AllocationId, job: JobId, task: AttemptId) -> bool {
        match self.find(id) {
            Some(Some(allocation)) if allocation.job == job && !allocation.releasing => {
                // The JobMaster deploys into what it accepted, whether or not its answer has arrived.
                allocation.active = true;
                allocation.tasks.insert(task);
                true
            }
            _ => false,
        }
    }

    /// A task is over. True: its slot is free again by that.
    pub(crate) fn remove_task(&mut self, id: AllocationId, task: AttemptId) -> bool {
        let Some(slot) = self.find(id) else { return false };
        let Some(allocation) = slot else { return false };
        allocation.tasks.remove(&task);
        let free = allocation.releasing && allocation.tasks.is_empty();
        if free {
            *slot = None;
            self.version += 1;
        }
        free
    }

    /// Gives a slot back: at once, or when its tasks, which are to be ended, are over. None: there is no such allocation.
    pub(crate) fn release(&mut self, id: AllocationId) -> Option<Vec<AttemptId>> {
        let slot = self.find(id)?;
        let allocation = slot.as_mut()?;
        allocation.releasing = true;
        let tasks: Vec<AttemptId> = allocation.tasks.iter().copied().collect();
        if tasks.is_empty() {
            *slot = None;
        }
        self.version += 1;
        Some(tasks)
    }

    /// All allocations.
    pub(crate) fn allocations(&self) -> Vec<AllocationId> {
        self.slots.iter().flatten().map(|allocation| allocation.id).collect()
    }

    /// Whether a job holds any slot.
    pub(crate) fn holds(&self, job: JobId) -> bool {
        self.slots.iter().flatten().any(|allocation| allocation.job == job)
    }

    /// What the ResourceManager is told.
    pub(crate) fn report(&self) -> Vec<proto::SlotReport> {
        let report = |(index, slot): (usize, &Option<Allocation>)| proto::SlotReport {
            index: index as u32,
            allocation_id: slot.as_ref().map(|allocation| allocation.id.to_bytes()).unwrap_or_default(),
            job_id: slot.as_ref().map(|allocation| allocation.job.to_bytes()).unwrap_or_default(),
            releasing: slot.as_ref().is_some_and(|allocation| allocation.releasing),
        };
        self.slots.iter().enumerate().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId([1; 16]);
    const FIRST: AllocationId = AllocationId([2; 16]);
    const SECOND: AllocationId = AllocationId([3; 16]);
    const TASK: AttemptId = AttemptId([4; 16]);

    #[test]
    fn a_slot_is_given_once() {
        let mut slots = SlotTable::new(1);
        assert_eq!(slots.allocate(1, FIRST, JOB), Answer::Unknown);
        assert_eq!(slots.allocate(0, FIRST, JOB), Answer::Allocated);
        assert_eq!(slots.allocate(0, FIRST, JOB), Answer::Known);
        assert_eq!(slots.allocate(0, SECOND, JOB), Answer::Taken);
        assert_eq!(slots.release(FIRST), Some(vec![]));
        assert_eq!(slots.allocate(0, SECOND, JOB), Answer::Allocated);
    }

    #[test]
    fn a_slot_is_free_only_after_its_tasks() {
        let mut slots = SlotTable::new(1);
        slots.allocate(0, FIRST, JOB);
        assert!(slots.add_task(FIRST, JOB, TASK));
        assert!(!slots.add_task(FIRST, JobId([9; 16]), TASK));
        assert_eq!(slots.release(FIRST), Some(vec![TASK]));
        assert_eq!(slots.allocate(0, SECOND, JOB), Answer::Taken);
        assert!(!slots.add_task(FIRST, JOB, AttemptId([5; 16])));
        assert!(slots.remove_task(FIRST, TASK));
        assert_eq!(slots.allocate(0, SECOND, JOB), Answer::Allocated);
        assert_eq!(slots.release(FIRST), None);
    }
}
