use proptest::prelude::*;

use super::*;

fn ids() -> impl FnMut() -> AllocationId {
    let mut next = 0u128;
    move || {
        next += 1;
        AllocationId(next.to_be_bytes())
    }
}

fn job(number: u8) -> JobId {
    JobId([number; 16])
}

fn spread_of(decisions: &[NewAllocation]) -> Vec<&str> {
    decisions.iter().map(|decision| decision.task_manager.as_str()).collect()
}

fn free(index: u32) -> ReportedSlot {
    ReportedSlot { index, allocation: None, releasing: false }
}

fn held(index: u32, id: u8, number: u8) -> ReportedSlot {
    let allocation = SlotAllocation { allocation: AllocationId([id; 16]), job: job(number) };
    ReportedSlot { index, allocation: Some(allocation), releasing: false }
}

/// A TaskManager that has said that all its slots are free.
fn register(slots: &mut SlotManager, id: &str, count: u32) {
    slots.register(id, count);
    let report: Vec<ReportedSlot> = (0..count).map(free).collect();
    assert_eq!(slots.report(id, 1, &report), Reconciliation::default());
}

#[test]
fn a_job_is_spread_over_task_managers() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 4);
    register(&mut slots, "b", 4);
    slots.require(job(1), 4);
    assert_eq!(spread_of(&slots.decide(&mut ids())), ["a", "b", "a", "b"]);
}

#[test]
fn two_slots_cross_even_beside_another_job() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 2);
    register(&mut slots, "b", 2);
    let mut ids = ids();
    slots.require(job(1), 1);
    slots.decide(&mut ids);
    slots.require(job(2), 2);
    let decisions = slots.decide(&mut ids);
    let mut spread = spread_of(&decisions);
    spread.sort_unstable();
    assert_eq!(spread, ["a", "b"]);
}

#[test]
fn packing_fills_one_after_the_other() {
    let mut slots = SlotManager::new(LoadBalanceMode::Pack);
    register(&mut slots, "a", 2);
    register(&mut slots, "b", 2);
    slots.require(job(1), 3);
    assert_eq!(spread_of(&slots.decide(&mut ids())), ["a", "a", "b"]);
}

#[test]
fn a_job_gets_all_or_nothing_and_lets_smaller_ones_pass() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 2);
    slots.require(job(1), 3);
    slots.require(job(2), 1);
    let mut ids = ids();
    let decisions = slots.decide(&mut ids);
    assert_eq!(decisions.iter().map(|decision| decision.job).collect::<Vec<_>>(), [job(2)]);
    register(&mut slots, "b", 2);
    assert_eq!(slots.decide(&mut ids).len(), 3);
}

#[test]
fn a_lost_task_manager_names_its_jobs_and_its_slots_are_given_anew() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    register(&mut slots, "b", 1);
    slots.require(job(1), 2);
    let mut ids = ids();
    slots.decide(&mut ids);
    assert_eq!(slots.unregister("a"), BTreeSet::from([job(1)]));
    register(&mut slots, "c", 5);
    assert_eq!(spread_of(&slots.decide(&mut ids)), ["c"]);
}

#[test]
fn nothing_is_given_before_it_is_reported() {
    let mut slots = SlotManager::default();
    slots.register("a", 1);
    slots.require(job(1), 1);
    assert!(slots.decide(&mut ids()).is_empty());
    slots.report("a", 5, &[free(0)]);
    assert_eq!(slots.decide(&mut ids()).len(), 1);
}

/// Failed before slots were given by reports: an unanswered request made the slot free, whatever had become of it.
#[test]
fn an_unanswered_slot_is_given_to_nobody_until_it_is_reported() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    slots.require(job(1), 1);
    let mut ids = ids();
    let first = slots.decide(&mut ids)[0].allocation;
    slots.not_granted("a", first);
    assert!(slots.decide(&mut ids).is_empty());
    // It was given after all, and its job has it.
    let taken = SlotAllocation { allocation: first, job: job(1) };
    slots.report("a", 2, &[ReportedSlot { index: 0, allocation: Some(taken), releasing: false }]);
    assert_eq!(slots.task_manager("a").unwrap().slots(), [SlotState::Held(taken)]);
    assert!(slots.decide(&mut ids).is_empty());
    // Or another one was not.
    slots.report("a", 3, &[free(0)]);
    let second = slots.decide(&mut ids)[0].allocation;
    slots.not_granted("a", second);
    slots.report("a", 4, &[free(0)]);
    assert_eq!(slots.decide(&mut ids).len(), 1);
}

#[test]
fn an_older_report_than_the_last_does_not_count() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    slots.require(job(1), 1);
    let allocation = slots.decide(&mut ids())[0].allocation;
    assert!(slots.granted("a", allocation));
    let taken = SlotAllocation { allocation, job: job(1) };
    slots.report("a", 7, &[ReportedSlot { index: 0, allocation: Some(taken), releasing: false }]);
    assert_eq!(slots.report("a", 6, &[free(0)]), Reconciliation::default());
    assert_eq!(slots.totals(), (1, 0));
    let lost = Reconciliation { to_free: vec![], lost: vec![taken] };
    assert_eq!(slots.report("a", 8, &[free(0)]), lost, "its job is told");
    assert_eq!(slots.totals(), (1, 1));
}

#[test]
fn a_reported_slot_is_its_jobs_and_unwanted_without_one() {
    let mut slots = SlotManager::default();
    slots.register("a", 2);
    let unwanted = |id| Reconciliation { to_free: vec![AllocationId([id; 16])], lost: vec![] };
    assert_eq!(slots.report("a", 1, &[held(0, 7, 1), free(1)]), unwanted(7));
    slots.require(job(1), 1);
    assert_eq!(slots.report("a", 2, &[free(0), held(1, 8, 1)]), Reconciliation::default());
    assert!(slots.decide(&mut ids()).is_empty(), "it has what it requires");
    assert_eq!(slots.release(job(1)), [("a".to_owned(), AllocationId([8; 16]))]);
    // The TaskManager was not reached: it is told again.
    assert_eq!(slots.report("a", 2, &[free(0), held(1, 8, 1)]), unwanted(8));
    let releasing = ReportedSlot { releasing: true, ..held(1, 8, 1) };
    assert_eq!(slots.report("a", 3, &[free(0), releasing]), Reconciliation::default());
    assert_eq!(slots.totals(), (2, 1), "its tasks have not ended");
    slots.report("a", 4, &[free(0), free(1)]);
    assert_eq!(slots.totals(), (2, 2));
}

#[test]
fn a_slot_that_its_job_does_not_have_is_freed_and_another_one_asked_for() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 2);
    slots.require(job(1), 1);
    let mut ids = ids();
    let first = slots.decide(&mut ids)[0].clone();
    assert!(slots.granted("a", first.allocation));
    assert!(slots.give_up("a", first.allocation));
    let second = slots.decide(&mut ids)[0].clone();
    assert_ne!(first.slot, second.slot);
    assert!(!slots.give_up("a", AllocationId([9; 16])), "nobody has it");
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u32),
    Unregister(u8),
    Require(u8, u32),
    Release(u8),
    Decide,
    /// The TaskManager hears of the oldest request under way, and its answer arrives or not.
    Arrive {
        answered: bool,
    },
    /// A TaskManager gives up a slot by itself.
    Drop(u8, u32),
    Report(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5u8, 0..5u32).prop_map(|(id, slots)| Step::Register(id, slots)),
        (0..5u8).prop_map(Step::Unregister),
        (0..5u8, 0..8u32).prop_map(|(id, slots)| Step::Require(id, slots)),
        (0..5u8).prop_map(Step::Release),
        Just(Step::Decide),
        any::<bool>().prop_map(|answered| Step::Arrive { answered }),
        (0..5u8, 0..5u32).prop_map(|(id, slot)| Step::Drop(id, slot)),
        (0..5u8).prop_map(Step::Report),
    ]
}

/// What is true at a TaskManager.
#[derive(Default)]
struct Truth {
    version: u64,
    slots: Vec<Option<SlotAllocation>>,
}

impl Truth {
    fn report(&self) -> Vec<ReportedSlot> {
        let slots = self.slots.iter().enumerate();
        slots.map(|(index, slot)| ReportedSlot { index: index as u32, allocation: *slot, releasing: false }).collect()
    }
}

/// The TaskManagers as they are, and what is on its way to them.
#[derive(Default)]
struct Cluster {
    truth: BTreeMap<String, Truth>,
    under_way: Vec<NewAllocation>,
}

impl Cluster {
    fn arrive(&mut self, slots: &mut SlotManager, answered: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let request = self.under_way.remove(0);
        let Some(truth) = self.truth.get_mut(&request.task_manager) else { return };
        let slot = truth.slots.get_mut(request.slot as usize);
        let granted = slot.is_some_and(|slot| {
            let free = slot.is_none();
            slot.get_or_insert(SlotAllocation { allocation: request.allocation, job: request.job });
            free
        });
        truth.version += u64::from(granted);
        if granted && answered {
            slots.granted(&request.task_manager, request.allocation);
        } else {
            slots.not_granted(&request.task_manager, request.allocation);
        }
    }

    fn report(&mut self, slots: &mut SlotManager, id: &str) {
        let Some(truth) = self.truth.get_mut(id) else { return };
        let outcome = slots.report(id, truth.version, &truth.report());
        for freed in outcome.to_free {
            for slot in &mut truth.slots {
                slot.take_if(|taken| taken.allocation == freed);
            }
            truth.version += 1;
        }
    }
}

proptest! {
    /// Whatever is lost on the way: after each TaskManager has reported, what is believed is true.
    #[test]
    fn no_slot_twice_no_job_over_its_need_and_reports_bring_the_truth(
        steps in prop::collection::vec(step(), 1..80),
        pack in any::<bool>(),
    ) {
        let mut slots = SlotManager::new(if pack { LoadBalanceMode::Pack } else { LoadBalanceMode::Spread });
        let mut cluster = Cluster::default();
        let mut ids = ids();
        let mut required = BTreeMap::new();
        for step in steps {
            match step {
                Step::Register(id, count) => {
                    slots.unregister(&id.to_string());
                    slots.register(&id.to_string(), count);
                    let truth = Truth { version: 1, slots: vec![None; count as usize] };
                    cluster.truth.insert(id.to_string(), truth);
                }
                Step::Unregister(id) => {
                    slots.unregister(&id.to_string());
                    cluster.truth.remove(&id.to_string());
                }
                Step::Require(id, count) => {
                    // A requirement shrinks only by a release.
                    let known = required.entry(id).or_insert(0);
                    *known = count.max(*known);
                    slots.require(job(id), *known);
                }
                Step::Release(id) => {
                    required.remove(&id);
                    slots.release(job(id));
                }
                Step::Decide => {
                    let (_, before) = slots.totals();
                    let given: BTreeMap<u8, usize> = required.keys().map(|id| (*id, given(&slots, job(*id)))).collect();
                    let decisions = slots.decide(&mut ids);
                    let (_, free) = slots.totals();
                    prop_assert_eq!(before - decisions.len(), free);
                    for decision in &decisions {
                        let id = decision.job.0[0];
                        prop_assert!(given[&id] < required[&id] as usize, "job {} misses nothing", id);
                    }
                    cluster.under_way.extend(decisions);
                }
                Step::Arrive { answered } => cluster.arrive(&mut slots, answered),
                Step::Drop(id, slot) => {
                    if let Some(truth) = cluster.truth.get_mut(&id.to_string())
                        && let Some(slot) = truth.slots.get_mut(slot as usize)
                    {
                        truth.version += u64::from(slot.take().is_some());
                    }
                }
                Step::Report(id) => cluster.report(&mut slots, &id.to_string()),
            }
        }
        while !cluster.under_way.is_empty() {
            cluster.arrive(&mut slots, false);
        }
        // Twice: what is freed for a job that is over is reported with the second.
        for id in (0..10u8).map(|id| (id % 5).to_string()) {
            cluster.report(&mut slots, &id);
        }
        for (id, truth) in &cluster.truth {
            let believed: Vec<_> = slots.task_manager(id).unwrap().slots().iter().map(SlotState::counted).collect();
            prop_assert_eq!(&believed, &truth.slots);
        }
        // And every job that fits gets what it misses.
        slots.decide(&mut ids);
        let (_, free) = slots.totals();
        for (id, required) in &required {
            let missing = (*required as usize).saturating_sub(given(&slots, job(*id)));
            prop_assert!(missing == 0 || missing > free, "job {} misses {} of {} free", id, missing, free);
        }
    }

    #[test]
    fn spreading_is_even(slots_each in 1..6u32, task_managers in 1..6u32, needed in 1..30u32) {
        let mut slots = SlotManager::default();
        for id in 0..task_managers {
            register(&mut slots, &id.to_string(), slots_each);
        }
        let needed = needed.min(slots_each * task_managers);
        slots.require(job(1), needed);
        slots.decide(&mut ids());
        let counts: Vec<_> = slots.task_managers.values().map(|known| known.given_to(job(1))).collect();
        let least = counts.iter().min().copied().unwrap();
        let most = counts.iter().max().copied().unwrap();
        prop_assert!(most - least <= 1, "{:?}", counts);
    }
}

fn given(slots: &SlotManager, job: JobId) -> usize {
    slots.task_managers.values().map(|known| known.given_to(job)).sum()
}
