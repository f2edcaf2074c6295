//! Answers to requests that were believed to have failed.
use super::*;

/// Failed before: the answer made the slot the job's, confirmed it, and had it freed as one that no job wants.
#[test]
fn a_slot_that_is_granted_after_its_request_was_given_up_is_its_jobs_and_not_freed() {
    for is_taken in [false, true] {
        let mut slots = slots_for_a_job(&[("a", 2)], 1);
        slots.require(job(2), 1);
        let asked = slots.decide(0, &mut ids());
        let of_first = asked.iter().find(|asked| asked.job == job(1)).unwrap();
        let taken = SlotAllocation { allocation: of_first.allocation, job: job(1) };
        // The call for the other job's slot runs out of time, and the TaskManager has done nothing yet.
        slots.call_failed("a", 0);
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
