use proptest::prelude::*;

use super::*;

#[path = "slot_manager_answer_tests.rs"]
mod answers;

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
    holding(index, SlotAllocation { allocation: AllocationId([id; 16]), job: job(number) })
}

/// Of a report under the first registration.
fn number(version: u64) -> ReportNumber {
    ReportNumber { registration: 1, version }
}

fn taken_by(asked: &NewAllocation) -> SlotAllocation {
    SlotAllocation { allocation: asked.allocation, job: asked.job }
}

fn holding(index: u32, taken: SlotAllocation) -> ReportedSlot {
    ReportedSlot { index, allocation: Some(taken), releasing: false }
}

/// A TaskManager that has said that all its slots are free.
fn register(slots: &mut SlotManager, id: &str, count: u32) {
    slots.register(id, 1, count);
    let report: Vec<ReportedSlot> = (0..count).map(free).collect();
    assert_eq!(slots.report(id, number(1), &report), Reconciliation::default());
}

/// TaskManagers with so many free slots each, and job 1, which requires so many.
fn slots_for_a_job(task_managers: &[(&str, u32)], required: u32) -> SlotManager {
    let mut slots = SlotManager::default();
    for (id, count) in task_managers {
        register(&mut slots, id, *count);
    }
    slots.require(job(1), required);
    slots
}

#[test]
fn a_job_is_spread_over_task_managers() {
    let mut slots = slots_for_a_job(&[("a", 4), ("b", 4)], 4);
    assert_eq!(spread_of(&slots.decide(0, &mut ids())), ["a", "b", "a", "b"]);
}

#[test]
fn two_slots_cross_even_beside_another_job() {
    let mut slots = slots_for_a_job(&[("a", 2), ("b", 2)], 1);
    let mut ids = ids();
    slots.decide(0, &mut ids);
    slots.require(job(2), 2);
    let decisions = slots.decide(0, &mut ids);
    let mut spread = spread_of(&decisions);
    spread.sort_unstable();
    assert_eq!(spread, ["a", "b"]);
}

/// A job that another JobMaster has led: what runs in its slots may be reported any moment.
#[test]
fn a_job_that_is_taken_over_keeps_what_is_held_for_it_and_gets_nothing_else() {
    let mut slots = SlotManager::default();
    slots.hold(job(1), 3);
    slots.register("a", 1, 2);
    let known = slots.report("a", number(1), &[held(0, 5, 1), free(1)]);
    assert_eq!(known, Reconciliation::default(), "it is not to be freed");
    register(&mut slots, "b", 4);
    assert!(slots.decide(0, &mut ids()).is_empty() && slots.shortage(job(1)).is_none());
    let since = SlotAllocation { allocation: AllocationId([5; 16]), job: job(1) };
    assert_eq!(slots.accepted("a", since, number(1)), Acceptance::Confirmed);
    // What it misses it says then.
    slots.require(job(1), 3);
    assert_eq!(slots.decide(0, &mut ids()).len(), 2);
}

#[test]
fn packing_fills_one_after_the_other() {
    let mut slots = SlotManager::new(LoadBalanceMode::Pack);
    register(&mut slots, "a", 2);
    register(&mut slots, "b", 2);
    slots.require(job(1), 3);
    assert_eq!(spread_of(&slots.decide(0, &mut ids())), ["a", "a", "b"]);
}

/// Before, each of the jobs that wait was looked at whenever one more came.
#[test]
fn thousands_that_wait_cost_nothing_as_long_as_no_slot_is_free() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    let mut ids = ids();
    let job = |number: u32| JobId(u128::from(number).to_be_bytes());
    let start = std::time::Instant::now();
    for number in 0..20_000 {
        slots.require(job(number), 1);
        assert_eq!(slots.decide(0, &mut ids).len(), usize::from(number == 0));
    }
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    // The first to come is the first to get what is given back.
    slots.release(job(0));
    assert_eq!(slots.report("a", number(2), &[free(0)]), Reconciliation::default());
    let decisions = slots.decide(0, &mut ids);
    assert_eq!(decisions.iter().map(|decision| decision.job).collect::<Vec<_>>(), [job(1)]);
}

#[test]
fn a_job_gets_all_or_nothing_and_lets_smaller_ones_pass() {
    let mut slots = slots_for_a_job(&[("a", 2)], 3);
    slots.require(job(2), 1);
    let mut ids = ids();
    let decisions = slots.decide(0, &mut ids);
    assert_eq!(decisions.iter().map(|decision| decision.job).collect::<Vec<_>>(), [job(2)]);
    register(&mut slots, "b", 2);
    assert_eq!(slots.decide(0, &mut ids).len(), 3);
}

#[test]
fn slots_of_a_lost_task_manager_are_given_anew() {
    let mut slots = slots_for_a_job(&[("a", 1), ("b", 1)], 2);
    let mut ids = ids();
    slots.decide(0, &mut ids);
    slots.unregister("a");
    register(&mut slots, "c", 5);
    assert_eq!(spread_of(&slots.decide(0, &mut ids)), ["c"]);
}

/// What registers again before a job has got anything of it has lost nothing.
#[test]
fn a_task_manager_has_allocations_from_the_request_until_they_have_come_back() {
    let mut slots = SlotManager::default();
    assert!(!slots.has_allocations("a"));
    slots.register("a", 1, 2);
    assert!(!slots.has_allocations("a"));
    assert_eq!(slots.report("a", number(1), &[free(0), free(1)]), Reconciliation::default());
    assert!(!slots.has_allocations("a"));
    slots.require(job(1), 1);
    assert_eq!(slots.decide(0, &mut ids()).len(), 1);
    assert!(slots.has_allocations("a"));
    slots.release(job(1));
    assert!(slots.has_allocations("a"));
    assert_eq!(slots.report("a", number(2), &[free(0), free(1)]), Reconciliation::default());
    assert!(!slots.has_allocations("a"));
}

/// Before, each mention of a slot was acted upon: a heartbeat of 80,000 of them brought as many calls.
#[test]
fn a_report_names_each_slot_at_most_once() {
    let check = |slots, named: &[u32]| check_report(slots, named.iter().copied());
    assert_eq!(check(4, &[3, 0, 1, 2]), Ok(()));
    assert_eq!(check(4, &[2]), Ok(()));
    assert_eq!(check(0, &[]), Ok(()));
    assert_eq!(check(4, &[0, 1, 0]), Err(MalformedReport::Twice { index: 0 }));
    assert_eq!(check(4, &[4]), Err(MalformedReport::NoSuchSlot { index: 4, slots: 4 }));
    assert_eq!(check(4, &[u32::MAX]), Err(MalformedReport::NoSuchSlot { index: u32::MAX, slots: 4 }));
    let many: Vec<u32> = (0..80_000).map(|entry| entry % 4).collect();
    assert_eq!(check(4, &many), Err(MalformedReport::TooMany { named: 80_000, slots: 4 }));
}

#[test]
fn nothing_is_given_before_it_is_reported() {
    let mut slots = SlotManager::default();
    slots.register("a", 1, 1);
    slots.require(job(1), 1);
    assert!(slots.decide(0, &mut ids()).is_empty());
    slots.report("a", number(5), &[free(0)]);
    assert_eq!(slots.decide(0, &mut ids()).len(), 1);
}

/// Failed before slots were given by reports: an unanswered request made the slot free, whatever had become of it.
#[test]
fn an_unanswered_slot_is_given_to_no_job_until_it_is_reported() {
    let mut slots = slots_for_a_job(&[("a", 1)], 1);
    let mut ids = ids();
    let first = slots.decide(0, &mut ids)[0].allocation;
    slots.not_granted("a", first);
    assert!(slots.decide(0, &mut ids).is_empty());
    // It was given after all, and its job has it.
    let taken = SlotAllocation { allocation: first, job: job(1) };
    slots.report("a", number(2), &[holding(0, taken)]);
    assert_eq!(slots.task_manager("a").unwrap().slots(), [SlotState::Held(taken)]);
    assert!(slots.decide(0, &mut ids).is_empty());
    // Or another one was not.
    slots.report("a", number(3), &[free(0)]);
    let second = slots.decide(0, &mut ids)[0].allocation;
    slots.not_granted("a", second);
    slots.report("a", number(4), &[free(0)]);
    assert_eq!(slots.decide(0, &mut ids).len(), 1);
}

#[test]
fn an_older_report_than_the_last_does_not_count() {
    let mut slots = slots_for_a_job(&[("a", 1)], 1);
    let allocation = slots.decide(0, &mut ids())[0].allocation;
    assert!(slots.granted("a", allocation));
    let taken = SlotAllocation { allocation, job: job(1) };
    slots.report("a", number(7), &[holding(0, taken)]);
    assert_eq!(slots.report("a", number(6), &[free(0)]), Reconciliation::default());
    assert_eq!(slots.totals(), (1, 0));
    let lost = Reconciliation { lost: vec![taken], ..Default::default() };
    assert_eq!(slots.report("a", number(8), &[free(0)]), lost, "its job is told");
    assert_eq!(slots.totals(), (1, 1));
}

/// Failed before registrations were numbered: the answer of the old process was the truth about the new one, whose own reports,
/// numbered from the beginning again, were dropped for ever.
#[test]
fn a_late_answer_of_a_dead_process_says_nothing_of_its_successor() {
    let mut slots = slots_for_a_job(&[("a", 1)], 1);
    let mut ids = ids();
    let asked = slots.decide(0, &mut ids)[0].allocation;
    slots.unregister("a");
    slots.register("a", 2, 1);
    let old = ReportNumber { registration: 1, version: 57 };
    let gave = holding(0, SlotAllocation { allocation: asked, job: job(1) });
    assert_eq!(slots.answered("a", asked, true, old, &[gave]), Reconciliation::default());
    assert_eq!(slots.task_manager("a").unwrap().slots(), [SlotState::Unreported]);
    let new = |version| ReportNumber { registration: 2, version };
    slots.report("a", new(1), &[free(0)]);
    let asked_anew = slots.decide(0, &mut ids)[0].allocation;
    assert_ne!(asked, asked_anew);
    // Nor what it refused, or reported, and whatever becomes of the new one's answer.
    slots.answered("a", asked, false, old, &[gave]);
    assert_eq!(slots.report("a", old, &[gave]), Reconciliation::default());
    let taken = SlotAllocation { allocation: asked_anew, job: job(1) };
    let gives = ReportedSlot { allocation: Some(taken), ..gave };
    assert_eq!(slots.answered("a", asked_anew, true, new(2), &[gives]), Reconciliation::default());
    assert_eq!(slots.task_manager("a").unwrap().slots(), [SlotState::Held(taken)]);
}

#[test]
fn what_is_given_and_not_wanted_any_more_is_freed() {
    let mut slots = slots_for_a_job(&[("a", 1)], 1);
    let asked = slots.decide(0, &mut ids())[0].allocation;
    slots.release(job(1));
    let gave = holding(0, SlotAllocation { allocation: asked, job: job(1) });
    assert_eq!(slots.answered("a", asked, true, number(2), &[gave]).to_free, [asked]);
    slots.report("a", number(3), &[free(0)]);
    assert_eq!(slots.totals(), (1, 1));
}

#[test]
fn a_reported_slot_is_its_jobs_and_unwanted_without_one() {
    let mut slots = SlotManager::default();
    slots.register("a", 1, 2);
    let unwanted = |id| Reconciliation { to_free: vec![AllocationId([id; 16])], ..Default::default() };
    assert_eq!(slots.report("a", number(1), &[held(0, 7, 1), free(1)]), unwanted(7));
    slots.require(job(1), 1);
    assert_eq!(slots.report("a", number(2), &[free(0), held(1, 8, 1)]), Reconciliation::default());
    assert!(slots.decide(0, &mut ids()).is_empty(), "it has what it requires");
    assert_eq!(slots.release(job(1)), [("a".to_owned(), AllocationId([8; 16]))]);
    // The TaskManager was not reached: it is told again.
    assert_eq!(slots.report("a", number(2), &[free(0), held(1, 8, 1)]), unwanted(8));
    let releasing = ReportedSlot { releasing: true, ..held(1, 8, 1) };
    assert_eq!(slots.report("a", number(3), &[free(0), releasing]), Reconciliation::default());
    assert_eq!(slots.totals(), (2, 1), "its tasks have not ended");
    slots.report("a", number(4), &[free(0), free(1)]);
    assert_eq!(slots.totals(), (2, 2));
}

#[test]
fn a_slot_that_its_job_does_not_have_is_freed_and_another_one_asked_for() {
    let mut slots = slots_for_a_job(&[("a", 2)], 1);
    let mut ids = ids();
    let first = slots.decide(0, &mut ids)[0].clone();
    assert!(slots.granted("a", first.allocation));
    assert!(slots.give_up("a", first.allocation));
    let second = slots.decide(0, &mut ids)[0].clone();
    assert_ne!(first.slot, second.slot);
    assert!(!slots.give_up("a", AllocationId([9; 16])), "no job has it");
}

#[derive(Clone, Debug)]
enum Step {
    /// A TaskManager begins, or begins anew: what it said before may still arrive.
    Register(u8, u32),
    Unregister(u8),
    Require(u8, u32),
    Release(u8),
    Decide,
    /// The TaskManager hears of the oldest request under way, and its answer is lost or on its way.
    Arrive {
        answered: bool,
    },
    /// The oldest answer arrives.
    Answer,
    /// The oldest offer arrives at its job, which takes the slot.
    Take,
    /// A call to a TaskManager fails: what became of the others for the same job that are under way is open.
    CallFails(u8, u8),
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
        Just(Step::Answer),
        Just(Step::Take),
        (0..5u8, 0..5u8).prop_map(|(id, number)| Step::CallFails(id, number)),
        (0..5u8, 0..5u32).prop_map(|(id, slot)| Step::Drop(id, slot)),
        (0..5u8).prop_map(Step::Report),
    ]
}

/// What is true at a TaskManager.
#[derive(Default)]
struct Truth {
    number: ReportNumber,
    slots: Vec<Option<SlotAllocation>>,
}

impl Truth {
    fn report(&self) -> Vec<ReportedSlot> {
        let slots = self.slots.iter().enumerate();
        slots.map(|(index, slot)| ReportedSlot { index: index as u32, allocation: *slot, releasing: false }).collect()
    }
}

/// What a TaskManager said to a request, maybe before it ended.
struct Answer {
    request: NewAllocation,
    granted: bool,
    number: ReportNumber,
    report: Vec<ReportedSlot>,
}

/// What a TaskManager offered, maybe before it took it back.
struct Offer {
    task_manager: String,
    taken: SlotAllocation,
    since: ReportNumber,
}

/// The TaskManagers as they are, and what is on its way to them and from them.
#[derive(Default)]
struct Cluster {
    truth: BTreeMap<String, Truth>,
    under_way: Vec<NewAllocation>,
    answers: Vec<Answer>,
    offers: Vec<Offer>,
    /// The last reports that counted.
    reported: BTreeMap<String, Truth>,
    /// Slots that jobs took and that they wait to hear of, with their TaskManagers.
    unconfirmed: Vec<(String, SlotAllocation)>,
    registrations: u64,
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
        truth.number.version += u64::from(granted);
        if granted {
            let taken = SlotAllocation { allocation: request.allocation, job: request.job };
            let task_manager = request.task_manager.clone();
            self.offers.push(Offer { task_manager, taken, since: truth.number });
        }
        if answered {
            let (number, report) = (truth.number, truth.report());
            self.answers.push(Answer { request, granted, number, report });
        } else {
            slots.not_granted(&request.task_manager, request.allocation);
        }
    }

    fn answer(&mut self, slots: &mut SlotManager) {
        if self.answers.is_empty() {
            return;
        }
        let Answer { request, granted, number, report } = self.answers.remove(0);
        let outcome = slots.answered(&request.task_manager, request.allocation, granted, number, &report);
        let held = |id: &AllocationId| matches!(slots.find(&request.task_manager, *id), Some((_, SlotState::Held(_))));
        assert!(!outcome.to_free.iter().any(held), "what is freed is no job's");
        let said = report.iter().map(|slot| slot.allocation).collect();
        self.heard(slots, &request.task_manager, Truth { number, slots: said });
        self.free(&request.task_manager, outcome);
    }

    fn report(&mut self, slots: &mut SlotManager, id: &str) {
        let Some(truth) = self.truth.get(id) else { return };
        let outcome = slots.report(id, truth.number, &truth.report());
        let said = Truth { number: truth.number, slots: truth.slots.clone() };
        self.heard(slots, id, said);
        self.free(id, outcome);
    }

    fn heard(&mut self, slots: &SlotManager, id: &str, said: Truth) {
        if slots.task_manager(id).is_some_and(|known| known.reported == said.number) {
            self.reported.insert(id.to_owned(), said);
        }
    }

    /// A TaskManager is gone, and jobs are told.
    fn forget(&mut self, id: &str) {
        self.truth.remove(id);
        self.reported.remove(id);
        self.unconfirmed.retain(|(task_manager, _)| task_manager != id);
    }

    /// A job takes what it was offered. Whether the last word of the TaskManager speaks against what is confirmed.
    fn take(&mut self, slots: &mut SlotManager) -> bool {
        if self.offers.is_empty() {
            return false;
        }
        let Offer { task_manager, taken, since } = self.offers.remove(0);
        let registered = self.truth.get(&task_manager).map(|truth| truth.number.registration);
        if registered != Some(since.registration) {
            // The ResourceManager says that the TaskManager is lost.
            return false;
        }
        match slots.accepted(&task_manager, taken, since) {
            Acceptance::Lost => false,
            Acceptance::Open => {
                self.unconfirmed.push((task_manager, taken));
                false
            }
            Acceptance::Confirmed => {
                let word = self.reported.get(&task_manager).filter(|word| word.number >= since);
                word.is_some_and(|word| !word.slots.contains(&Some(taken)))
            }
        }
    }

    fn free(&mut self, id: &str, outcome: Reconciliation) {
        let told = |taken: &SlotAllocation| outcome.confirmed.contains(taken) || outcome.lost.contains(taken);
        self.unconfirmed.retain(|(_, taken)| !told(taken));
        let Some(truth) = self.truth.get_mut(id) else { return };
        for freed in outcome.to_free {
            for slot in &mut truth.slots {
                slot.take_if(|taken| taken.allocation == freed);
            }
            truth.number.version += 1;
        }
    }
}

/// Before, an unreachable TaskManager was the least used one, and was asked again and again.
#[test]
fn a_task_manager_that_does_not_answer_is_left_alone_for_a_while() {
    let mut slots = slots_for_a_job(&[("a", 4), ("b", 2)], 1);
    let mut ids = ids();
    let asked = slots.decide(100, &mut ids)[0].clone();
    assert_eq!(asked.task_manager, "a");
    slots.not_granted("a", asked.allocation);
    slots.call_failed("a", job(1), 100);
    // Its heartbeats come all the same, and say that it has free slots.
    let all_free: Vec<ReportedSlot> = (0..4).map(free).collect();
    slots.report("a", number(2), &all_free);
    assert_eq!(spread_of(&slots.decide(100, &mut ids)), ["b"]);
    slots.require(job(2), 1);
    assert_eq!(spread_of(&slots.decide(200, &mut ids)), ["b"], "though it is used more");
    // What fits nowhere else waits, and is tried again without anything else having happened.
    slots.require(job(3), 2);
    assert!(slots.decide(FIRST_PAUSE as i64 + 99, &mut ids).is_empty());
    let again = slots.decide(FIRST_PAUSE as i64 + 100, &mut ids);
    assert_eq!(spread_of(&again), ["a", "a"]);
    // Both calls fail: that is one failure, and the pause is twice as long.
    for failed in again {
        slots.not_granted("a", failed.allocation);
        slots.call_failed("a", job(3), 5_000);
    }
    slots.report("a", number(3), &all_free);
    assert!(slots.decide(5_000 + 2 * FIRST_PAUSE as i64 - 1, &mut ids).is_empty());
    let again = slots.decide(5_000 + 2 * FIRST_PAUSE as i64, &mut ids);
    assert_eq!(spread_of(&again), ["a", "a"]);
    // Once it has answered it is one like the others.
    let held = |slot: &NewAllocation| holding(slot.slot, taken_by(slot));
    slots.answered("a", again[0].allocation, true, number(4), &[held(&again[0])]);
    slots.answered("a", again[1].allocation, true, number(5), &[held(&again[0]), held(&again[1])]);
    slots.require(job(4), 1);
    assert_eq!(spread_of(&slots.decide(9_000, &mut ids)), ["a"]);
}

/// Before, each call had to fail for itself, one after the other, before all that the job missed was asked for elsewhere.
#[test]
fn one_failed_call_lets_the_other_slots_be_asked_for_elsewhere() {
    let mut slots = slots_for_a_job(&[("a", 4), ("b", 4)], 4);
    let mut ids = ids();
    let asked = slots.decide(100, &mut ids);
    assert_eq!(spread_of(&asked), ["a", "b", "a", "b"]);
    for given in [&asked[1], &asked[3]] {
        assert!(slots.granted("b", given.allocation));
    }
    slots.not_granted("a", asked[0].allocation);
    slots.call_failed("a", job(1), 100);
    let unanswered = slots.task_manager("a").unwrap().slots().iter();
    assert_eq!(unanswered.filter(|slot| matches!(slot, SlotState::Unanswered(_))).count(), 2);
    assert_eq!(spread_of(&slots.decide(100, &mut ids)), ["b", "b"]);
    // An answer that comes after all is heard.
    assert!(slots.granted("a", asked[2].allocation));
    assert_eq!(slots.task_manager("a").unwrap().given_to(job(1)), 1);
}

/// Before, a job that only an unreachable TaskManager had slots for missed none.
#[test]
fn slots_of_a_task_manager_that_does_not_answer_are_missing() {
    let mut slots = slots_for_a_job(&[("a", 2)], 2);
    let mut ids = ids();
    let asked = slots.decide(0, &mut ids);
    assert_eq!(slots.shortage(job(1)), None, "it is being given them");
    slots.not_granted("a", asked[0].allocation);
    slots.call_failed("a", job(1), 0);
    let shortage = SlotShortage { required: 2, given: 0, free: 0, total: 2 };
    assert_eq!(slots.shortage(job(1)), Some(shortage));
    slots.report("a", number(2), &[free(0), free(1)]);
    assert_eq!(slots.shortage(job(1)), Some(shortage), "it says that they are free, and cannot be asked");
    let again = slots.decide(FIRST_PAUSE as i64, &mut ids);
    assert_eq!(spread_of(&again), ["a", "a"]);
    assert_eq!(slots.shortages(), BTreeMap::from([(job(1), shortage)]), "it did not answer last time");
    let taken = SlotAllocation { allocation: again[0].allocation, job: job(1) };
    let held = holding(again[0].slot, taken);
    slots.answered("a", again[0].allocation, true, number(3), &[held]);
    assert_eq!(slots.shortage(job(1)), None, "it answers");
}

#[test]
fn the_pause_of_a_task_manager_has_an_end() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    let mut now = 0;
    for _ in 0..100 {
        slots.call_failed("a", job(1), now);
        now += LAST_PAUSE as i64;
    }
    slots.require(job(1), 1);
    assert_eq!(slots.decide(now, &mut ids()).len(), 1);
}

/// Before, what only registered counted as free slots that no job could get.
#[test]
fn slots_count_once_they_are_reported() {
    let mut slots = SlotManager::default();
    slots.register("a", 1, 3);
    assert_eq!(slots.totals(), (0, 0));
    slots.report("a", number(1), &[free(0), free(1), free(2)]);
    assert_eq!(slots.totals(), (3, 3));
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
                    cluster.registrations += 1;
                    let registration = cluster.registrations;
                    slots.register(&id.to_string(), registration, count);
                    let number = ReportNumber { registration, version: 1 };
                    let truth = Truth { number, slots: vec![None; count as usize] };
                    cluster.forget(&id.to_string());
                    cluster.truth.insert(id.to_string(), truth);
                }
                Step::Unregister(id) => {
                    slots.unregister(&id.to_string());
                    cluster.forget(&id.to_string());
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
                    let decisions = slots.decide(0, &mut ids);
                    let (_, free) = slots.totals();
                    prop_assert_eq!(before - decisions.len(), free);
                    for decision in &decisions {
                        let id = decision.job.0[0];
                        prop_assert!(given[&id] < required[&id] as usize, "job {} misses nothing", id);
                    }
                    cluster.under_way.extend(decisions);
                }
                Step::Arrive { answered } => cluster.arrive(&mut slots, answered),
                Step::Answer => cluster.answer(&mut slots),
                Step::Take => prop_assert!(!cluster.take(&mut slots), "it is not the job's any more"),
                Step::CallFails(id, number) => slots.call_failed(&id.to_string(), job(number), 0),
                Step::Drop(id, slot) => {
                    if let Some(truth) = cluster.truth.get_mut(&id.to_string())
                        && let Some(slot) = truth.slots.get_mut(slot as usize)
                    {
                        truth.number.version += u64::from(slot.take().is_some());
                    }
                }
                Step::Report(id) => cluster.report(&mut slots, &id.to_string()),
            }
        }
        while !cluster.under_way.is_empty() {
            cluster.arrive(&mut slots, false);
        }
        while !cluster.answers.is_empty() {
            cluster.answer(&mut slots);
        }
        while !cluster.offers.is_empty() {
            prop_assert!(!cluster.take(&mut slots), "it is not the job's any more");
        }
        // Twice: what is freed for a job that is over is reported with the second.
        for id in (0..10u8).map(|id| (id % 5).to_string()) {
            cluster.report(&mut slots, &id);
        }
        for (id, truth) in &cluster.truth {
            let believed: Vec<_> = slots.task_manager(id).unwrap().slots().iter().map(SlotState::counted).collect();
            prop_assert_eq!(&believed, &truth.slots);
        }
        prop_assert!(cluster.unconfirmed.is_empty(), "a job waits for {:?}", cluster.unconfirmed);
        // And every job that fits gets what it misses, once no TaskManager is left alone any more.
        slots.decide(LAST_PAUSE as i64, &mut ids);
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
        slots.decide(0, &mut ids());
        let counts: Vec<_> = slots.task_managers.values().map(|known| known.given_to(job(1))).collect();
        let least = counts.iter().min().copied().unwrap();
        let most = counts.iter().max().copied().unwrap();
        prop_assert!(most - least <= 1, "{:?}", counts);
    }
}

fn given(slots: &SlotManager, job: JobId) -> usize {
    slots.task_managers.values().map(|known| known.given_to(job)).sum()
}

#[test]
fn what_a_job_misses_is_known_until_it_is_there() {
    let mut slots = SlotManager::new(LoadBalanceMode::Spread);
    register(&mut slots, "a", 3);
    slots.require(job(1), 2);
    slots.require(job(2), 4);
    let mut new_id = ids();
    assert_eq!(slots.decide(0, &mut new_id).len(), 2, "the second job gets all or nothing");
    let shortage = SlotShortage { required: 4, given: 0, free: 1, total: 3 };
    assert_eq!((slots.shortage(job(1)), slots.shortage(job(2))), (None, Some(shortage)));
    assert_eq!(slots.shortages(), BTreeMap::from([(job(2), shortage)]));
    assert_eq!((shortage.available(), shortage.missing()), (1, 3));
    register(&mut slots, "b", 3);
    assert_eq!(slots.decide(0, &mut new_id).len(), 4);
    assert!(slots.shortages().is_empty());
    assert_eq!(slots.shortage(job(3)), None, "it requires nothing");
}
