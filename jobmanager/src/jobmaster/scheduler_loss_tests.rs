//! TaskManagers that are lost or late, slots that are lost before anything runs in them, and attempts that nobody names.
use super::*;
use crate::jobmaster::checkpoint::calls::by_task_manager;
use crate::jobmaster::checkpoint::plan::plan;

fn slot_of(task_manager: &str, registration: u64, index: u32) -> JobSlot {
    JobSlot { since: ReportNumber { registration, version: 1 }, ..slot(task_manager, index) }
}

fn gone() -> FailureInfo {
    FailureInfo::new(failure::TASK_MANAGER_LOST, "gone")
}

fn cancelled(actions: Vec<Action>) -> Vec<AttemptId> {
    let asked = actions.into_iter().filter_map(|action| match action {
        Action::Cancel { attempts, .. } => Some(attempts),
        _ => None,
    });
    asked.flatten().collect()
}

impl Job {
    /// Its TaskManager names these attempts, under a registration.
    fn named(&mut self, registration: u64, attempts: &[AttemptId]) {
        let named = attempts.iter().copied().collect();
        self.scheduler.attempts_named("a", registration, &named, &BTreeSet::new(), &mut self.env);
    }
}

/// Failed before: the job took it, ran there, and nobody ever told it that the TaskManager was gone.
#[test]
fn an_offer_of_a_lost_task_manager_is_refused_whenever_it_comes() {
    let mut job = Job::new(vec![vertex(1, 2, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    job.scheduler.task_manager_lost("a", 1, gone(), &mut job.env);
    assert!(job.take(vec![slot_of("a", 1, 0)]).is_empty());
    let (again, other) = (slot_of("a", 2, 1), slot_of("b", 3, 0));
    assert_eq!(job.take(vec![again.clone()]), [again.allocation]);
    // What was said of the process before comes late.
    job.scheduler.task_manager_lost("a", 1, gone(), &mut job.env);
    assert_eq!(job.take(vec![other.clone()]), [other.allocation]);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying; 2]));
    job.scheduler.task_manager_lost("a", 1, gone(), &mut job.env);
    assert_eq!((job.status(), job.scheduler.slots().len()), (JobStatus::Running, 2));
    job.scheduler.task_manager_lost("a", 2, gone(), &mut job.env);
    assert_eq!(job.status(), JobStatus::Failing);
}

/// Failed before where the successor had the same address: its innocent tasks were given up.
#[test]
fn who_did_not_take_a_cancellation_is_not_its_successor() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.take(vec![slot_of("a", 2, 0)]);
    job.all(ExecutionState::Running);
    job.scheduler.abandon_task_manager("a", 1, gone(), &mut job.env);
    assert_eq!((job.status(), job.scheduler.slots().len()), (JobStatus::Running, 1));
    job.scheduler.abandon_task_manager("a", 2, gone(), &mut job.env);
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Restarting, ExecutionState::Failed));
    job.scheduler.restart_due(1, &mut job.env);
    // It lives, and may be the only one.
    let offer = slot_of("a", 2, 1);
    assert_eq!(job.take(vec![offer.clone()]), [offer.allocation]);
    assert_eq!(job.states(), [ExecutionState::Deploying]);
    job.scheduler.take_actions();
    job.scheduler.cancel(&mut job.env);
    let actions = job.scheduler.take_actions();
    assert!(
        actions.iter().any(|action| matches!(action, Action::Cancel { registration: 2, .. })),
        "it says whom it means: {actions:?}"
    );
}

/// Failed before: whoever had its id when telling it failed at last was given up, whenever it had registered.
#[test]
fn who_does_not_take_the_end_of_a_savepoint_is_not_its_successor() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.take(vec![slot_of("a", 1, 0)]);
    job.all(ExecutionState::Running);
    let tasks = plan(job.scheduler.graph(), true).unwrap();
    let told = by_task_manager(tasks.into_iter().map(|task| task.task).collect());
    job.scheduler.task_manager_lost("a", 1, gone(), &mut job.env);
    job.scheduler.restart_due(1, &mut job.env);
    job.take(vec![slot_of("a", 2, 1)]);
    job.all(ExecutionState::Running);
    for told in told {
        job.scheduler.abandon_task_manager(&told.location.resource_id, told.registration, gone(), &mut job.env);
    }
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Running]));
    assert_eq!(job.scheduler.slots().len(), 1);
}

#[test]
fn a_job_that_waits_for_slots_does_not_fail_with_those_that_it_loses() {
    let mut job = Job::new(vec![vertex(1, 3, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    let (a, b) = (slot_of("a", 1, 0), slot_of("b", 2, 1));
    job.take(vec![a.clone(), b]);
    let lost = FailureInfo::new(failure::INTERNAL, "The slot is not the job's any more.");
    job.scheduler.slot_lost(a.allocation, lost, &mut job.env);
    job.scheduler.task_manager_lost("b", 2, gone(), &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Scheduled; 3]));
    assert_eq!((job.scheduler.slots().len(), job.scheduler.history().entries().count()), (0, 0));
    job.take((0..3).map(|index| slot_of("b", 3, index)).collect());
    assert_eq!(job.states(), [ExecutionState::Deploying; 3]);
}

/// Failed before: what had been offered before the JobManager stood still was deployed into, and the job failed.
#[test]
fn nothing_is_deployed_into_slots_that_are_not_confirmed() {
    let mut job = Job::new(vec![vertex(1, 2, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    let (late, good) = (slot_of("a", 1, 0), slot_of("b", 2, 0));
    let taken = job.scheduler.offer_slots(vec![late, good.clone()]);
    assert_eq!(taken.len(), 2);
    job.scheduler.slots_confirmed(&[good.allocation], &mut job.env);
    assert_eq!(job.states(), [ExecutionState::Scheduled; 2]);
    job.scheduler.task_manager_lost("a", 1, gone(), &mut job.env);
    assert_eq!((job.status(), job.scheduler.slots().len()), (JobStatus::Running, 1));
    // The one that takes its place is no other, and the one that is gone is not waited for.
    let again = slot_of("a", 3, 1);
    job.scheduler.offer_slots(vec![again.clone()]);
    assert_eq!(job.states(), [ExecutionState::Scheduled; 2]);
    job.scheduler.slots_confirmed(&[again.allocation], &mut job.env);
    assert_eq!(job.states(), [ExecutionState::Deploying; 2]);
}

/// Failed before: a task whose last word was lost was RUNNING for ever, and so was its job.
#[test]
fn an_attempt_that_its_task_manager_does_not_name_twice_is_over_when_it_is_not_there() {
    let mut job = Job::running(1, fixed_delay(9));
    let before = job.attempts();
    job.named(1, &before);
    job.named(1, &before[1..]);
    assert!(job.scheduler.take_actions().is_empty(), "the report may have been late");
    job.named(1, &before[1..]);
    assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Canceling; 2]));
    assert_eq!(cancelled(job.scheduler.take_actions()), before);
    let failure = job.scheduler.history().entries().next().unwrap().failure.to_string();
    assert!(failure.contains("TaskManager a does not have the task any more"), "{failure}");
    job.scheduler.tasks_gone(&before[..1], &mut job.env);
    assert_eq!(job.states(), [ExecutionState::Failed, ExecutionState::Canceling]);
    job.report(before[1], ExecutionState::Canceled);
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying; 2]));
    // The deployment has been answered by now: who was created is named.
    job.named(1, &[]);
    job.named(1, &[]);
    assert_eq!(cancelled(job.scheduler.take_actions()), job.attempts());
}

#[test]
fn an_attempt_is_not_missing_for_reports_that_do_not_follow_one_another() {
    let mut job = Job::running(1, fixed_delay(9));
    let attempts = job.attempts();
    job.report(attempts[1], ExecutionState::Finished);
    for registration in [1, 2, 3] {
        job.named(registration, &[]);
    }
    job.named(3, &attempts[..1]);
    job.named(3, &[]);
    // Of the registration before the one that gave the slot.
    job.named(0, &[]);
    job.named(0, &[]);
    job.scheduler.attempts_named("b", 3, &HashSet::new(), &BTreeSet::new(), &mut job.env);
    let postponed = job.scheduler.graph.all_regions();
    job.named(3, &attempts);
    for _ in 0..3 {
        job.scheduler.attempts_named("a", 3, &HashSet::new(), &postponed, &mut job.env);
    }
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Running, ExecutionState::Running));
    assert!(job.scheduler.take_actions().is_empty());
    // What is being cancelled has one more report from then on, and is asked for once.
    job.named(3, &[]);
    job.scheduler.cancel(&mut job.env);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts[..1]);
    job.named(3, &[]);
    assert!(job.scheduler.take_actions().is_empty());
    for _ in 0..3 {
        job.named(3, &[]);
    }
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts[..1]);
    job.scheduler.tasks_gone(&attempts, &mut job.env);
    assert_eq!(job.status(), JobStatus::Canceled);
}

/// Failed before: it was taken for a failed one, and ran again.
#[test]
fn a_region_that_was_given_up_and_has_finished_does_not_run_again() {
    let silence = || FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
    for parallelism in [1, 2] {
        let mut job = Job::new(vec![vertex(1, parallelism, "")], fixed_delay(9));
        job.scheduler.start(&mut job.env);
        job.offer(parallelism as usize);
        let before = job.attempts();
        job.scheduler.deployment_failed(&before[..1], silence(), &mut job.env);
        assert_eq!(job.status(), JobStatus::Restarting);
        job.report(before[0], ExecutionState::Finished);
        assert_eq!(job.states()[0], ExecutionState::Finished);
        // Another one of its region was cancelled, and has to run: then so has all of the region.
        job.report(*before.last().unwrap(), ExecutionState::Canceled);
        job.scheduler.take_actions();
        job.scheduler.restart_due(1, &mut job.env);
        let again = job.attempts() != before;
        if parallelism == 1 {
            assert_eq!((job.status(), again), (JobStatus::Finished, false));
            assert!(is_over(&job.scheduler.take_actions()));
        } else {
            assert_eq!((job.status(), again), (JobStatus::Running, true));
        }
    }
    // What was cancelled for the failure of another one may have finished as well: it is not asked.
    let mut job = two_regions(fixed_delay(9));
    let attempts = job.attempts();
    job.scheduler.deployment_failed(&attempts, silence(), &mut job.env);
    assert_eq!(job.status(), JobStatus::Running, "all of them run");
    job.report_failure(attempts[4], "boom");
    job.report(attempts[5], ExecutionState::Finished);
    assert_eq!(job.states()[4..], [ExecutionState::Failed, ExecutionState::Canceled]);
}
