//! Jobs whose tasks have all finished, and whose operators have coordinators.
use super::*;

fn asked(actions: &[Action]) -> Vec<u64> {
    let asked =
        |action: &Action| if let Action::FinishCoordinators { restart } = action { Some(*restart) } else { None };
    actions.iter().filter_map(asked).collect()
}

/// Failed before: the job was FINISHED, and its coordinators had not handled what its tasks had said.
#[test]
fn a_job_is_finished_when_its_coordinators_have_handled_what_its_tasks_have_said() {
    let mut job = Job::running(2, fixed_delay(9));
    job.scheduler.note_coordinator(0);
    job.all(ExecutionState::Finished);
    assert_eq!(job.status(), JobStatus::Running);
    assert_eq!(asked(&job.scheduler.take_actions()), [0]);
    let attempts = job.attempts();
    job.report(attempts[0], ExecutionState::Finished);
    assert!(job.scheduler.take_actions().is_empty(), "they are asked once");
    job.scheduler.coordinators_finished(0, &mut job.env);
    assert_eq!(job.status(), JobStatus::Finished);
    assert!(is_over(&job.scheduler.take_actions()));
}

#[test]
fn a_coordinator_that_fails_over_the_last_events_takes_the_job_back_to_its_checkpoint() {
    let mut job = Job::running(1, fixed_delay(9));
    job.scheduler.note_coordinator(0);
    job.all(ExecutionState::Finished);
    job.scheduler.take_actions();
    job.scheduler.fail(FailureInfo::new(failure::INTERNAL, "The coordinator of sink failed."), &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    // Another one has handled everything, and its word is late.
    job.scheduler.coordinators_finished(0, &mut job.env);
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying; 2]));
    job.all(ExecutionState::Running);
    job.scheduler.take_actions();
    job.all(ExecutionState::Finished);
    assert_eq!(asked(&job.scheduler.take_actions()), [1]);
    job.scheduler.coordinators_finished(0, &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    job.scheduler.coordinators_finished(1, &mut job.env);
    assert_eq!(job.status(), JobStatus::Finished);
}

#[test]
fn a_job_that_waits_for_its_coordinators_can_be_cancelled_and_can_fail() {
    for cancelled in [true, false] {
        let mut job = Job::running(1, RestartStrategyOptions::None);
        job.scheduler.note_coordinator(0);
        job.all(ExecutionState::Finished);
        let expected = if cancelled {
            job.scheduler.cancel(&mut job.env);
            JobStatus::Canceled
        } else {
            job.scheduler.fail(FailureInfo::new(failure::INTERNAL, "The coordinator of sink failed."), &mut job.env);
            JobStatus::Failed
        };
        assert_eq!(job.status(), expected);
        assert!(is_over(&job.scheduler.take_actions()));
        job.scheduler.coordinators_finished(0, &mut job.env);
        assert_eq!(job.status(), expected);
    }
}

/// Failed before: the region counted as finished, though its coordinators had been dropped with what its tasks had said.
#[test]
fn a_region_that_was_given_up_and_has_finished_runs_again_if_it_has_coordinators() {
    let mut job = Job::new(vec![vertex(1, 1, "")], fixed_delay(9));
    job.scheduler.note_coordinator(0);
    job.scheduler.start(&mut job.env);
    job.offer(1);
    let before = job.attempts();
    let silence = FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
    job.scheduler.deployment_failed(&before, silence, &mut job.env);
    job.report(before[0], ExecutionState::Finished);
    assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Finished]));
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Deploying]));
}
