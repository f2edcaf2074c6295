//! Slots that jobs took, whatever is known of them, and answers to requests that were believed to have failed.
use super::*;

/// Failed before: the answer made the slot the job's, confirmed it, and had it freed as one that no job wants.
#[test]
fn a_slot_that_is_granted_after_its_request_was_given_up_is_its_jobs_and_not_freed() {
    for is_taken in [false, true] {
        let mut slots = slots_for_a_job(&[("a", 2)], 2);
        let asked = slots.decide(0, &mut ids());
        let taken = SlotAllocation { allocation: asked[0].allocation, job: job(1) };
        // The call for the job's other slot runs out of time, and the TaskManager has done nothing yet.
        slots.not_granted("a", asked[1].allocation);
        slots.call_failed("a", job(1), 0);
        slots.report("a", number(2), &[free(0), free(1)]);
        if is_taken {
            assert_eq!(slots.accepted("a", taken, number(3)), Acceptance::Open);
        }
        let report = [holding(0, taken), free(1)];
        let outcome = slots.answered("a", taken.allocation, true, number(3), &report);
        let confirmed = if is_taken { vec![taken] } else { Vec::new() };
        assert_eq!(outcome, Reconciliation { confirmed, ..Reconciliation::default() });
        assert!(slots.task_manager("a").unwrap().slots().contains(&SlotState::Held(taken)));
    }
}

/// Failed before: the other job's slot was asked for elsewhere too, and given back there or here.
#[test]
fn a_call_that_fails_says_nothing_of_the_calls_for_other_jobs() {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 4);
    let mut ids = ids();
    slots.require(job(1), 2);
    let first = slots.decide(0, &mut ids);
    // Much later, so that its call is in time.
    slots.require(job(2), 1);
    let second = slots.decide(9_900, &mut ids).remove(0);
    register(&mut slots, "b", 4);
    for (failed, now) in [(&first[0], 10_000), (&first[1], 10_001)] {
        slots.not_granted("a", failed.allocation);
        slots.call_failed("a", job(1), now);
    }
    let of_second = SlotAllocation { allocation: second.allocation, job: job(2) };
    assert!(slots.task_manager("a").unwrap().slots().contains(&SlotState::Requested(of_second)));
    let again = slots.decide(10_001, &mut ids);
    assert_eq!(
        again.iter().map(|asked| (asked.job, asked.task_manager.as_str())).collect::<Vec<_>>(),
        [(job(1), "b"), (job(1), "b")]
    );
    // Its own call fails within the pause, which it does not make longer.
    slots.not_granted("a", second.allocation);
    slots.call_failed("a", job(2), 10_002);
    let again = slots.decide(10_002, &mut ids).remove(0);
    assert_eq!((again.job, again.task_manager.as_str()), (job(2), "b"));
    slots.require(job(3), 3);
    slots.report("a", number(2), &[free(0), free(1), free(2), free(3)]);
    assert_eq!(slots.decide(10_000 + FIRST_PAUSE as i64, &mut ids).len(), 3);
}

/// A job of one slot that took one of "a" whose request had failed, been reported as not done and been done late. In its place one of
/// "b" was asked for, and granted.
fn taken_late() -> (SlotManager, SlotAllocation, NewAllocation, impl FnMut() -> AllocationId) {
    let mut slots = SlotManager::default();
    register(&mut slots, "a", 1);
    register(&mut slots, "b", 1);
    slots.require(job(1), 1);
    let mut ids = ids();
    let late = slots.decide(0, &mut ids).remove(0);
    assert_eq!(late.task_manager, "a");
    slots.not_granted("a", late.allocation);
    slots.call_failed("a", job(1), 0);
    slots.report("a", number(2), &[free(0)]);
    let other = slots.decide(0, &mut ids).remove(0);
    assert_eq!(other.task_manager, "b");
    let taken = SlotAllocation { allocation: late.allocation, job: job(1) };
    assert_eq!(slots.accepted("a", taken, number(3)), Acceptance::Open);
    let given = SlotAllocation { allocation: other.allocation, job: job(1) };
    let held = ReportedSlot { index: 0, allocation: Some(given), releasing: false };
    slots.answered("b", other.allocation, true, number(2), &[held]);
    (slots, taken, other, ids)
}

/// Failed before: the slot of "b" was asked for, refused by the job and given back, again and again until "a" reported.
#[test]
fn no_slot_is_asked_for_in_place_of_one_that_a_job_took_and_nothing_is_known_of() {
    for is_held in [true, false] {
        let (mut slots, taken, other, mut ids) = taken_late();
        // The job has its slot, and does not want the other one.
        assert!(slots.give_up("b", other.allocation));
        assert!(slots.decide(0, &mut ids).is_empty());
        slots.report("b", number(3), &[free(0)]);
        assert!(slots.decide(0, &mut ids).is_empty());
        assert_eq!(slots.shortage(job(1)), None, "it has one");
        let held = ReportedSlot { index: 0, allocation: Some(taken), releasing: false };
        let said = if is_held { (number(3), held) } else { (number(4), free(0)) };
        let outcome = slots.report("a", said.0, &[said.1]);
        let (confirmed, lost) = if is_held { (vec![taken], vec![]) } else { (vec![], vec![taken]) };
        assert_eq!(outcome, Reconciliation { confirmed, lost, ..Default::default() });
        assert_eq!(spread_of(&slots.decide(0, &mut ids)), if is_held { vec![] } else { vec!["b"] });
    }
}

/// Failed before: its TaskManager was not told, and the slot became the job's with the next report.
#[test]
fn a_slot_that_a_job_took_and_gave_up_is_freed_before_anything_is_known_of_it() {
    let (mut slots, taken, other, mut ids) = taken_late();
    assert!(slots.give_up("b", other.allocation));
    slots.report("b", number(3), &[free(0)]);
    assert!(slots.give_up("a", taken.allocation));
    assert!(!slots.give_up("a", taken.allocation), "it is freed once");
    assert_eq!(spread_of(&slots.decide(0, &mut ids)), ["b"]);
}

#[test]
fn a_slot_that_a_job_took_goes_with_its_task_manager() {
    let (mut slots, _, other, mut ids) = taken_late();
    assert!(slots.give_up("b", other.allocation));
    slots.report("b", number(3), &[free(0)]);
    assert!(slots.decide(0, &mut ids).is_empty());
    slots.unregister("a");
    assert_eq!(spread_of(&slots.decide(0, &mut ids)), ["b"]);
}

/// Failed before: until the next heartbeat it was no job's, and one slot after the other was asked for, which the job did not take.
#[test]
fn a_slot_that_its_job_has_taken_counts_whether_or_not_its_task_manager_has_answered() {
    let mut slots = slots_for_a_job(&[("a", 1), ("b", 1)], 1);
    let mut ids = ids();
    let asked = slots.decide(0, &mut ids).remove(0);
    assert_eq!(asked.task_manager, "a");
    let holder = |slots: &SlotManager| slots.task_manager("a").unwrap().slots()[0].job();
    slots.not_granted("a", asked.allocation);
    assert_eq!(holder(&slots), None);
    let taken = taken_by(&asked);
    assert_eq!(slots.accepted("a", taken, number(2)), Acceptance::Confirmed);
    assert_eq!(holder(&slots), Some(job(1)));
    assert!(slots.decide(0, &mut ids).is_empty());
    // A report that was made before, and is late, does not know of it.
    assert_eq!(slots.report("a", number(1), &[free(0)]), Reconciliation::default());
    assert_eq!(holder(&slots), Some(job(1)));
    let outcome = slots.report("a", number(3), &[free(0)]);
    assert_eq!(outcome.lost, [taken]);
    assert_eq!(slots.accepted("a", taken, number(2)), Acceptance::Lost, "what has been said of it later is right");
    assert_eq!(holder(&slots), None);
}

/// Failed before: it was confirmed, and the job deployed into a slot that was not held for it.
#[test]
fn a_slot_that_its_task_manager_gave_back_before_its_job_took_it_is_lost() {
    let mut slots = slots_for_a_job(&[("a", 2)], 1);
    let mut ids = ids();
    let asked = slots.decide(0, &mut ids).remove(0);
    let taken = taken_by(&asked);
    let held = holding(asked.slot, taken);
    slots.answered("a", asked.allocation, true, number(2), &[held]);
    assert_eq!(slots.report("a", number(3), &[free(0), free(1)]).lost, [taken], "its job does not have it yet");
    assert_eq!(slots.accepted("a", taken, number(2)), Acceptance::Lost);
    // The other one that was asked for since is being given back by the job, which had taken the first.
    let asked = slots.decide(0, &mut ids).remove(0);
    let taken = taken_by(&asked);
    assert!(slots.granted("a", asked.allocation));
    assert!(slots.give_up("a", asked.allocation));
    assert_eq!(slots.accepted("a", taken, number(4)), Acceptance::Lost, "and it is offered again");
    assert_eq!(slots.decide(0, &mut ids).len(), 1, "no job waits for it");
}

/// Failed before: the slot counted as the job's whose request had no answer yet, or whose answer had come late.
#[test]
fn a_slot_that_was_given_back_is_lost_whether_or_not_its_task_manager_has_answered() {
    let mut slots = slots_for_a_job(&[("a", 1), ("b", 1)], 1);
    let mut ids = ids();
    let asked = slots.decide(0, &mut ids).remove(0);
    let taken = taken_by(&asked);
    let held = holding(0, taken);
    slots.report("a", number(3), &[free(0)]);
    assert_eq!(slots.accepted("a", taken, number(2)), Acceptance::Lost);
    assert_eq!(spread_of(&slots.decide(0, &mut ids)), ["b"], "another one is asked for at once");
    assert_eq!(slots.answered("a", asked.allocation, true, number(2), &[held]), Reconciliation::default());
    assert_eq!(slots.accepted("a", taken, number(2)), Acceptance::Lost);
    slots.report("a", number(3), &[free(0)]);
    assert_eq!(slots.task_manager("a").unwrap().slots(), [SlotState::Free]);
}

/// An offer that says more than is known here is not taken at its word, and no job waits for ever for what is true.
#[test]
fn a_slot_of_which_nothing_is_known_is_its_jobs_or_lost_with_the_next_report() {
    for is_held in [true, false] {
        let mut slots = slots_for_a_job(&[("a", 2)], 2);
        // Its request had failed, was reported as not done, and was done late.
        let taken = SlotAllocation { allocation: AllocationId([7; 16]), job: job(1) };
        let held = holding(1, taken);
        for _ in 0..2 {
            assert_eq!(slots.accepted("a", taken, number(4)), Acceptance::Open);
        }
        let before = slots.report("a", number(3), &[free(0), free(1)]);
        assert_eq!(before, Reconciliation::default(), "it was made before the slot was offered");
        let told = if is_held {
            slots.report("a", number(4), &[free(0), held])
        } else {
            slots.report("a", number(5), &[free(0), free(1)])
        };
        let (confirmed, lost) = if is_held { (vec![taken], vec![]) } else { (vec![], vec![taken]) };
        assert_eq!(told, Reconciliation { confirmed, lost, ..Default::default() });
        assert!(slots.report("a", number(5), &[free(0), free(1)]).confirmed.is_empty(), "it is said once");
    }
}
