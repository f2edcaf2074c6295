//! Jobs that another JobMaster has led.
use super::*;
use crate::jobmaster::adoption::ReportedTask;
use crate::jobmaster::checkpoint::plan::plan;
use crate::jobmaster::scheduler::taking_over::TakenOver;

/// In a slot of its number: of `a`, then of `b`, and so on.
fn left(vertex: usize, subtask: usize, state: ExecutionState) -> (ReportedTask, JobSlot) {
    let task = ReportedTask {
        vertex,
        subtask,
        attempt: AttemptId([0x40 + (vertex * 8 + subtask) as u8; 16]),
        attempt_number: 2,
        execution: 4,
        restored: 3,
        state,
        end_of_data: false,
        awaits_checkpoint: false,
        checkpoint: 5,
        events_complete_from: 0,
    };
    (task, slot(if subtask.is_multiple_of(2) { "a" } else { "b" }, subtask as u32))
}

/// Two regions of two subtasks each, in the same slots.
fn job() -> Job {
    job_with(RestartStrategyOptions::None)
}

fn job_with(strategy: RestartStrategyOptions) -> Job {
    let mut job = Job::new(vec![vertex(1, 2, ""), vertex(2, 2, "")], strategy);
    job.scheduler.restart_regions();
    job
}

const BOTH: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

fn all(state: ExecutionState) -> Vec<(ReportedTask, JobSlot)> {
    BOTH.map(|(vertex, subtask)| left(vertex, subtask, state)).to_vec()
}

fn taken_over(tasks: Vec<(ReportedTask, JobSlot)>) -> TakenOver {
    TakenOver { execution: 7, tasks, finished: Vec::new(), restarting: BTreeSet::new() }
}

#[test]
fn what_is_adopted_runs_on_as_it_is() {
    let mut job = job();
    let mut tasks = all(ExecutionState::Running);
    tasks[1].0.end_of_data = true;
    let attempts: Vec<AttemptId> = tasks.iter().map(|(task, _)| task.attempt).collect();
    job.scheduler.take_over(taken_over(tasks), &mut job.env);
    assert!(matches!(job.scheduler.take_actions()[..], [Action::RequireSlots { slots: 2, .. }]));
    assert_eq!((job.status(), job.attempts()), (JobStatus::Running, attempts.clone()));
    assert!(job.scheduler.all_tasks_run() && job.scheduler.slots().len() == 2);
    let executions: Vec<_> = job.scheduler.graph.executions().collect();
    assert!(executions.iter().all(|execution| execution.attempt_number == 2 && execution.slot.is_some()));
    assert!(executions[1].end_of_data && !executions[0].end_of_data);
    // It ends, or fails, as any other.
    assert_eq!(job.report(attempts[0], ExecutionState::Finished), UpdateOutcome::Accepted);
    assert_eq!(job.scheduler.offer_slots(vec![slot("c", 9)]), [], "it has all slots that it needs");
    attempts[1..].iter().for_each(|attempt| _ = job.report(*attempt, ExecutionState::Finished));
    assert_eq!(job.status(), JobStatus::Finished);
    assert!(is_over(&job.scheduler.take_actions()));
}

/// Failed before: a subtask that had finished before the last checkpoint has no slot under the next JobMaster, and without one no
/// checkpoint began: sinks that wait for one waited for ever.
#[test]
fn checkpoints_begin_beside_a_task_that_had_finished_under_another_job_master() {
    let mut job = job();
    let tasks = all(ExecutionState::Running).split_off(1);
    let left = TakenOver { finished: vec![(0, 0)], ..taken_over(tasks) };
    job.scheduler.take_over(left, &mut job.env);
    assert_eq!(job.states()[0], ExecutionState::Finished);
    let tasks = plan(job.scheduler.graph(), true).unwrap();
    let ended: Vec<_> = tasks.iter().map(|task| (task.vertex, task.subtask, task.has_ended())).collect();
    assert_eq!(ended, [(0, 0, true), (0, 1, false), (1, 0, false), (1, 1, false)]);
    let attempts: Vec<AttemptId> = tasks.iter().filter_map(|task| Some(task.task.as_ref()?.attempt)).collect();
    assert_eq!(attempts, job.attempts()[1..]);
    assert!(plan(job.scheduler.graph(), false).is_none());
}

/// Failed attempts are over, others are cancelled first; a subtask that is missing holds up nothing.
#[test]
fn what_is_not_adopted_is_ended_and_begun_again_though_no_failure_may_restart_the_job() {
    let mut job = job();
    let mut tasks = all(ExecutionState::Running);
    tasks[2].0.state = ExecutionState::Canceling;
    tasks.truncate(3);
    let attempts: Vec<AttemptId> = tasks.iter().map(|(task, _)| task.attempt).collect();
    // Its slot is known by the other region.
    let restarting = BTreeSet::from([1]);
    job.scheduler.take_over(TakenOver { restarting, ..taken_over(tasks) }, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    let running = ExecutionState::Running;
    assert_eq!(job.states(), [running, running, ExecutionState::Canceling, ExecutionState::Canceled]);
    let actions = job.scheduler.take_actions();
    let [
        Action::RequireSlots { .. },
        Action::Cancel { attempts: cancelled, .. },
        Action::EndExecution { regions },
        after,
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((&cancelled[..], regions), (&attempts[2..], &BTreeSet::from([1])));
    let Action::RestartAfter { delay, restart } = after else { panic!("{after:?}") };
    assert_eq!(*delay, Duration::ZERO);
    job.scheduler.restart_due(*restart, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting, "one of its tasks runs");
    job.scheduler.tasks_gone(&[attempts[2]], &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    let taken: Vec<AllocationId> = job.scheduler.slots().iter().map(|slot| slot.allocation).collect();
    job.scheduler.slots_confirmed(&taken, &mut job.env);
    let actions = job.scheduler.take_actions();
    assert!(matches!(&actions[..], [Action::RequireSlots { .. }, Action::Deploy { regions }] if regions.contains(&1)));
    let executions: Vec<_> = job.scheduler.graph.executions().collect();
    assert_eq!(executions[0].attempt_id, attempts[0]);
    // Beyond all numbers that there may have been, each in the slot of its place.
    assert_eq!(executions.iter().map(|execution| execution.attempt_number).collect::<Vec<_>>(), [2, 2, 8, 8]);
    assert_eq!(job.scheduler.graph.execution, 8);
    let place = |at: usize| executions[at].slot.as_ref().map(|slot| slot.allocation);
    assert_eq!([place(2), place(3)], [place(0), place(1)]);
}

#[test]
fn a_job_that_has_finished_is_finished() {
    let mut job = job();
    let mut tasks = all(ExecutionState::Finished);
    tasks.remove(1);
    let left = TakenOver { finished: vec![(0, 1)], ..taken_over(tasks) };
    job.scheduler.take_over(left, &mut job.env);
    assert_eq!(job.status(), JobStatus::Finished);
    assert!(is_over(&job.scheduler.take_actions()));
}

#[test]
fn a_job_whose_tasks_have_finished_is_finished_behind_its_coordinators() {
    let mut job = job();
    job.scheduler.note_coordinator(1);
    job.scheduler.take_over(taken_over(all(ExecutionState::Finished)), &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    let actions = job.scheduler.take_actions();
    assert!(actions.iter().any(|action| matches!(action, Action::FinishCoordinators { restart: 0 })), "{actions:?}");
    job.scheduler.coordinators_finished(0, &mut job.env);
    assert_eq!(job.status(), JobStatus::Finished);
}

/// It was reported with its slot, and that is known of it though no report of counters has named it.
#[test]
fn an_attempt_that_ends_without_a_word_is_missing_in_the_first_report() {
    let mut job = job_with(fixed_delay(1));
    let tasks = all(ExecutionState::Running);
    let attempts: Vec<AttemptId> = tasks.iter().map(|(task, _)| task.attempt).collect();
    job.scheduler.take_over(taken_over(tasks), &mut job.env);
    job.scheduler.take_actions();
    let named = HashSet::from([attempts[0]]);
    let number = MetricsReportNumber { registration: 1, number: 1 };
    job.scheduler.attempts_named("a", number, &named, &mut job.env);
    assert_eq!(job.states()[2], ExecutionState::Canceling);
    assert_eq!(job.states()[0], ExecutionState::Running);
}

#[test]
fn a_job_that_was_cancelled_meanwhile_is_not_taken_over() {
    let mut job = job();
    job.scheduler.cancel(&mut job.env);
    assert_eq!(job.status(), JobStatus::Canceled);
    job.scheduler.take_actions();
    job.scheduler.take_over(taken_over(all(ExecutionState::Running)), &mut job.env);
    assert!(job.scheduler.take_actions().is_empty());
}

/// A superseded JobMaster cancels nothing with the number of a restart that is not recorded.
#[test]
fn the_number_of_a_restart_is_used_when_it_is_decided() {
    let mut job = job_with(fixed_delay(1));
    job.scheduler.take_over(taken_over(all(ExecutionState::Running)), &mut job.env);
    assert_eq!(job.scheduler.used_execution(), 7);
    job.report(job.attempts()[0], ExecutionState::Failed);
    assert_eq!((job.status(), job.scheduler.used_execution()), (JobStatus::Restarting, 8));
}

#[test]
fn a_region_has_the_number_of_its_own_restart() {
    let mut job = job_with(fixed_delay(1));
    assert_eq!(Vec::from_iter(job.scheduler.executions()), [0, 0]);
    job.scheduler.take_over(taken_over(all(ExecutionState::Running)), &mut job.env);
    assert_eq!(Vec::from_iter(job.scheduler.executions()), [4, 4]);
    job.report(job.attempts()[0], ExecutionState::Failed);
    assert_eq!(Vec::from_iter(job.scheduler.executions()), [8, 4], "it is decided");
}

#[test]
fn a_job_that_was_failing_goes_on_failing() {
    let mut job = job_with(fixed_delay(1));
    job.scheduler.take_over(taken_over(all(ExecutionState::Running)), &mut job.env);
    job.scheduler.take_actions();
    let cause = FailureInfo::new(failure::JOB_EXCEPTION, "as it was");
    job.scheduler.go_on_failing(cause.clone(), true, &mut job.env);
    assert_eq!((job.status(), job.scheduler.failure()), (JobStatus::Failing, Some(&cause)));
    let actions = job.scheduler.take_actions();
    assert!(actions.iter().any(|action| matches!(action, Action::Cancel { .. })), "{actions:?}");
    job.scheduler.tasks_gone(&job.attempts(), &mut job.env);
    assert_eq!(job.status(), JobStatus::Failed);
    assert!(job.scheduler.is_unrecoverable());
}

#[test]
fn a_job_that_has_ended_under_another_job_master_is_over_at_once() {
    let cause = FailureInfo::new(failure::JOB_EXCEPTION, "as it was");
    for status in [JobStatus::Finished, JobStatus::Canceled, JobStatus::Failed] {
        let mut job = job();
        job.scheduler.has_ended(status, Some(cause.clone()), false, &mut job.env);
        assert_eq!(job.status(), status);
        assert_eq!(job.scheduler.failure().is_some(), status == JobStatus::Failed);
        assert!(job.scheduler.graph.is_over() && is_over(&job.scheduler.take_actions()));
    }
}

/// It has finished or failed between its report and the word that it is taken over.
#[test]
fn an_attempt_that_is_gone_when_it_is_taken_over_fails_if_it_had_not_finished() {
    let mut job = job_with(fixed_delay(1));
    let mut tasks = all(ExecutionState::Running);
    tasks[0].0.state = ExecutionState::Finished;
    let attempts: Vec<AttemptId> = tasks.iter().map(|(task, _)| task.attempt).collect();
    job.scheduler.take_over(taken_over(tasks), &mut job.env);
    job.scheduler.not_running("a", &attempts[..1], &mut job.env);
    assert_eq!(job.status(), JobStatus::Running, "that was known");
    job.scheduler.not_running("b", &attempts[1..2], &mut job.env);
    assert_eq!((job.status(), job.states()[1]), (JobStatus::Restarting, ExecutionState::Canceling));
}

#[test]
fn a_job_that_is_left_is_not_touched() {
    let mut job = job();
    job.scheduler.take_over(taken_over(all(ExecutionState::Running)), &mut job.env);
    job.scheduler.leave(&mut job.env);
    assert!(job.status() == JobStatus::Suspended && job.scheduler.take_actions().is_empty());
    assert!(job.states().iter().all(|state| *state == ExecutionState::Running));
}

/// Failed before: whoever waited for the job heard that it had finished, and the next leader, which had not, may have run it again.
#[test]
fn a_job_that_is_left_before_its_end_is_recorded_has_not_ended() {
    let mut job = job();
    job.scheduler.take_over(taken_over(all(ExecutionState::Finished)), &mut job.env);
    assert_eq!(job.status(), JobStatus::Finished);
    job.scheduler.leave(&mut job.env);
    assert!(job.status() == JobStatus::Suspended && job.scheduler.take_actions().is_empty());
}
