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

#[test]
fn a_job_is_spread_over_task_managers() {
    let mut slots = SlotManager::default();
    slots.register("a", 4);
    slots.register("b", 4);
    slots.require(job(1), 4);
    assert_eq!(spread_of(&slots.decide(&mut ids())), ["a", "b", "a", "b"]);
}

#[test]
fn two_slots_cross_even_beside_another_job() {
    let mut slots = SlotManager::default();
    slots.register("a", 2);
    slots.register("b", 2);
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
    slots.register("a", 2);
    slots.register("b", 2);
    slots.require(job(1), 3);
    assert_eq!(spread_of(&slots.decide(&mut ids())), ["a", "a", "b"]);
}

#[test]
fn a_job_gets_all_or_nothing_and_lets_smaller_ones_pass() {
    let mut slots = SlotManager::default();
    slots.register("a", 2);
    slots.require(job(1), 3);
    slots.require(job(2), 1);
    let mut ids = ids();
    let decisions = slots.decide(&mut ids);
    assert_eq!(decisions.iter().map(|decision| decision.job).collect::<Vec<_>>(), [job(2)]);
    slots.register("b", 2);
    assert_eq!(slots.decide(&mut ids).len(), 3);
}

#[test]
fn a_lost_task_manager_names_its_jobs_and_its_slots_are_given_anew() {
    let mut slots = SlotManager::default();
    slots.register("a", 1);
    slots.register("b", 1);
    slots.require(job(1), 2);
    let mut ids = ids();
    slots.decide(&mut ids);
    assert_eq!(slots.unregister("a"), BTreeSet::from([job(1)]));
    slots.register("c", 5);
    assert_eq!(spread_of(&slots.decide(&mut ids)), ["c"]);
}

#[test]
fn reports_correct_what_was_believed() {
    let mut slots = SlotManager::default();
    slots.register("a", 2);
    slots.require(job(1), 1);
    let mut ids = ids();
    let allocation = slots.decide(&mut ids)[0].allocation;
    let free = |index| ReportedSlot { index, allocation: None };
    assert!(slots.reconcile("a", &[free(0), free(1)], 100_000).is_empty());
    assert_eq!(slots.totals(), (2, 1), "an allocation under way is not given up");
    assert!(slots.confirm("a", allocation, 0));
    slots.reconcile("a", &[free(0), free(1)], 10);
    assert_eq!(slots.totals(), (2, 1), "the report may be older than the confirmation");
    slots.reconcile("a", &[free(0), free(1)], 10_000);
    assert_eq!(slots.totals(), (2, 2));
    assert!(!slots.confirm("a", allocation, 10_000));
}

#[test]
fn a_reported_slot_is_adopted_if_its_job_misses_one_and_unwanted_otherwise() {
    let mut slots = SlotManager::default();
    slots.register("a", 2);
    let stray = |index, id| ReportedSlot { index, allocation: Some((AllocationId([id; 16]), job(1))) };
    assert_eq!(slots.reconcile("a", &[stray(0, 7)], 0), [AllocationId([7; 16])]);
    slots.require(job(1), 1);
    assert!(slots.reconcile("a", &[stray(0, 8)], 0).is_empty());
    assert_eq!(slots.totals(), (2, 1));
    assert_eq!(slots.reconcile("a", &[stray(1, 9)], 0), [AllocationId([9; 16])], "one is enough");
    assert!(slots.decide(&mut ids()).is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u32),
    Unregister(u8),
    Require(u8, u32),
    Release(u8),
    Decide,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5u8, 0..5u32).prop_map(|(id, slots)| Step::Register(id, slots)),
        (0..5u8).prop_map(Step::Unregister),
        (0..5u8, 0..8u32).prop_map(|(id, slots)| Step::Require(id, slots)),
        (0..5u8).prop_map(Step::Release),
        Just(Step::Decide),
    ]
}

proptest! {
    #[test]
    fn no_slot_twice_no_job_over_its_need_and_none_waits_that_fits(
        steps in prop::collection::vec(step(), 1..60),
        pack in any::<bool>(),
    ) {
        let mut slots = SlotManager::new(if pack { LoadBalanceMode::Pack } else { LoadBalanceMode::Spread });
        let mut ids = ids();
        let mut required = BTreeMap::new();
        for step in steps {
            match step {
                Step::Register(id, count) => {
                    slots.unregister(&id.to_string());
                    slots.register(&id.to_string(), count);
                }
                Step::Unregister(id) => {
                    slots.unregister(&id.to_string());
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
                    let decisions = slots.decide(&mut ids);
                    let (_, free) = slots.totals();
                    prop_assert_eq!(before - decisions.len(), free);
                    for (id, required) in &required {
                        let missing = *required as usize - held(&slots, job(*id));
                        prop_assert!(missing == 0 || missing > free, "job {} misses {} of {} free", id, missing, free);
                    }
                }
            }
            for (id, required) in &required {
                prop_assert!(held(&slots, job(*id)) <= *required as usize);
            }
            let mut seen = BTreeSet::new();
            for taken in slots.task_managers.values().flat_map(|known| known.slots.iter().flatten()) {
                prop_assert!(seen.insert(taken.allocation));
            }
        }
    }

    #[test]
    fn spreading_is_even(slots_each in 1..6u32, task_managers in 1..6u32, needed in 1..30u32) {
        let mut slots = SlotManager::default();
        for id in 0..task_managers {
            slots.register(&id.to_string(), slots_each);
        }
        let needed = needed.min(slots_each * task_managers);
        slots.require(job(1), needed);
        slots.decide(&mut ids());
        let counts: Vec<_> = slots.task_managers.values().map(|known| known.held_by(job(1))).collect();
        let least = counts.iter().min().copied().unwrap();
        let most = counts.iter().max().copied().unwrap();
        prop_assert!(most - least <= 1, "{:?}", counts);
    }
}

fn held(slots: &SlotManager, job: JobId) -> usize {
    slots.task_managers.values().map(|known| known.held_by(job)).sum()
}
