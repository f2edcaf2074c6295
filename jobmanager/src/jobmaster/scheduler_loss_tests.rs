//! TaskManagers that are lost or late, slots that are lost before anything runs in them, and attempts that no TaskManager names.
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
    /// The TaskManager "a" names these attempts, in the report of this registration and number.
    fn named(&mut self, (registration, number): (u64, u64), attempts: &[AttemptId]) {
        let named = attempts.iter().copied().collect();
        let report = MetricsReportNumber { registration, number };
        self.scheduler.attempts_named("a", report, &named, &mut self.env);
    }
}

/// Failed before: the job took it, ran there, and was never told that the TaskManager was gone.
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
fn a_task_manager_that_did_not_take_a_cancellation_is_not_its_successor() {
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
        "it names the registration: {actions:?}"
    );
}

/// Failed before: the TaskManager that had the id when the call failed at last was given up, whenever it had registered.
#[test]
fn a_task_manager_that_does_not_take_the_end_of_a_savepoint_is_not_its_successor() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.take(vec![slot_of("a", 1, 0)]);
    job.all(ExecutionState::Running);
    let tasks = plan(job.scheduler.graph(), true).unwrap();
    let told = by_task_manager(tasks.into_iter().filter_map(|task| task.task).collect());
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
fn an_attempt_that_its_task_manager_does_not_name_any_more_is_over_when_it_is_not_there() {
    let mut job = Job::running(1, fixed_delay(9));
    let before = job.attempts();
    job.scheduler.attempts_seen(&before, 3);
    job.named((1, 4), &before);
    assert!(job.scheduler.take_actions().is_empty());
    job.named((1, 5), &before[1..]);
    assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Canceling; 2]));
    assert_eq!(cancelled(job.scheduler.take_actions()), before);
    let failure = job.scheduler.history().entries().next().unwrap().failure.to_string();
    assert!(failure.contains("TaskManager a does not have the task any more"), "{failure}");
    job.scheduler.tasks_gone(&before[..1], &mut job.env);
    assert_eq!(job.states(), [ExecutionState::Failed, ExecutionState::Canceling]);
    job.report(before[1], ExecutionState::Canceled);
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying; 2]));
    job.scheduler.take_actions();
    job.scheduler.attempts_seen(&job.attempts(), 6);
    job.named((1, 7), &[]);
    assert_eq!(cancelled(job.scheduler.take_actions()), job.attempts());
}

/// Failed before: two reports that did not name them were proof, though both may have been made before the attempts came.
#[test]
fn reports_that_are_late_say_nothing_of_attempts_that_came_later() {
    let mut job = Job::running(1, RestartStrategyOptions::None);
    let attempts = job.attempts();
    let expect_nothing = |job: &mut Job, why: &str| {
        assert!(job.scheduler.take_actions().is_empty(), "{why}");
        assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Running; 2]), "{why}");
    };
    for number in [7, 8, 9] {
        job.named((1, number), &[]);
    }
    expect_nothing(&mut job, "whether it had them by then is not known");
    job.scheduler.attempts_seen(&attempts[..1], 12);
    for number in [10, 11, 12] {
        job.named((1, number), &[]);
    }
    expect_nothing(&mut job, "they were made before");
    job.named((0, 99), &[]);
    expect_nothing(&mut job, "it was made under an earlier registration");
    // What a report names was there, whatever became of the answer to its deployment.
    job.named((1, 13), &attempts);
    job.named((1, 12), &[]);
    expect_nothing(&mut job, "it was overtaken");
    job.named((1, 14), &attempts[..1]);
    assert_eq!(job.status(), JobStatus::Failing);
    assert_eq!(cancelled(job.scheduler.take_actions()).len(), 2);
}

/// An attempt whose deployment had no answer is found by what it says of itself, or by the answer to its cancellation.
#[test]
fn an_attempt_that_is_known_in_whatever_way_is_missed() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.offer(1);
    job.scheduler.take_actions();
    let attempts = job.attempts();
    let failure = FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
    job.scheduler.deployment_failed(&attempts, failure, &mut job.env);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts);
    job.named((1, 4), &[]);
    assert!(job.scheduler.take_actions().is_empty(), "the answer to the cancellation tells");
    // It has it, and ends it, and its last word is lost.
    job.scheduler.attempts_seen(&attempts, 4);
    job.named((1, 5), &[]);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts);
    job.scheduler.tasks_gone(&attempts, &mut job.env);
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying]));
}

#[test]
fn an_attempt_is_missed_once_and_by_its_own_task_manager() {
    let mut job = Job::running(1, fixed_delay(9));
    let attempts = job.attempts();
    job.report(attempts[1], ExecutionState::Finished);
    job.scheduler.attempts_seen(&attempts, 1);
    let other = MetricsReportNumber { registration: 3, number: 9 };
    job.scheduler.attempts_named("b", other, &HashSet::new(), &mut job.env);
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Running, ExecutionState::Running));
    // What is being cancelled is asked for once more, and what has ended is not.
    job.scheduler.cancel(&mut job.env);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts[..1]);
    job.named((3, 2), &[]);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts[..1]);
    for number in [3, 4, 5] {
        job.named((3, number), &[]);
    }
    assert!(job.scheduler.take_actions().is_empty());
    job.scheduler.tasks_gone(&attempts, &mut job.env);
    assert_eq!(job.status(), JobStatus::Canceled);
}

/// Failed before: the job waited for the rest of the delay of a restart of nothing, and could be cancelled meanwhile.
#[test]
fn a_job_of_which_nothing_is_to_restart_does_not_wait_for_a_restart() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.offer(1);
    let attempts = job.attempts();
    let silence = FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
    job.scheduler.deployment_failed(&attempts, silence, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    job.report(attempts[0], ExecutionState::Finished);
    assert_eq!(job.status(), JobStatus::Finished);
    assert!(is_over(&job.scheduler.take_actions()));
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.attempts()), (JobStatus::Finished, attempts));
    assert!(job.scheduler.take_actions().is_empty());
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
        job.scheduler.restart_due(1, &mut job.env);
        let again = job.attempts() != before;
        let expected = if parallelism == 1 { (JobStatus::Finished, false) } else { (JobStatus::Running, true) };
        assert_eq!((job.status(), again), expected);
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

/// Failed before: all of the job ran again, also what had nothing to do with the task.
#[test]
fn an_event_that_a_task_may_not_have_got_takes_its_region_back_and_no_other() {
    let lost =
        || FailureInfo::new(failure::INTERNAL, "An event of the coordinator of sink could not be sent to a subtask.");
    let mut job = two_regions(fixed_delay(9));
    let attempts = job.attempts();
    job.scheduler.event_lost(attempts[0], lost(), &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    assert_eq!(job.states()[..4], [ExecutionState::Canceling; 4]);
    assert_eq!(job.states()[4..], [ExecutionState::Running; 2]);
    let mut told = cancelled(job.scheduler.take_actions());
    told.sort();
    told.dedup();
    let mut region = attempts[..4].to_vec();
    region.sort();
    assert_eq!(told, region);
    let task = job.scheduler.history().entries().next().unwrap().task.as_ref().unwrap().name.clone();
    assert!(task.starts_with("vertex 1 (1/2)"), "{task}");
    // Another coordinator of the region has lost one as well, and there are attempts of which nobody knows any more.
    job.scheduler.event_lost(attempts[1], lost(), &mut job.env);
    job.scheduler.event_lost(AttemptId([99; 16]), lost(), &mut job.env);
    assert!(job.scheduler.take_actions().is_empty());
    // It has finished, and others miss the coordinator.
    job.report(attempts[4], ExecutionState::Finished);
    job.scheduler.event_lost(attempts[4], lost(), &mut job.env);
    assert_eq!(cancelled(job.scheduler.take_actions()), attempts[5..]);
}
