//! Tasks that reach the end of their data: where checkpoints begin then, and when the last one does.
use super::*;

impl Fixture {
    /// The calls of both checkpoints to the sources have been answered.
    fn with_two_triggered() -> Self {
        let mut job = Self::new(&[("interval", "1 s"), ("max-concurrent-checkpoints", "2")]);
        for (id, now) in [(1, 1_000), (2, 2_000)] {
            job.at(now);
            job.prepared(id);
            job.triggered(id);
        }
        job
    }

    pub(super) fn end_of_data(&mut self, attempt: u8, awaits_checkpoint: bool) -> Vec<Action> {
        let attempt = AttemptId([attempt; 16]);
        let (vertex, subtask) = self.graph.find(attempt).unwrap();
        self.graph.end_of_data(vertex, subtask, awaits_checkpoint);
        self.coordinator.end_of_data(attempt, &self.graph, self.now);
        self.actions()
    }

    /// All tasks reach the end of their data; the sinks wait there or not.
    fn end(&mut self, sinks_wait: bool) -> Vec<Action> {
        let tasks = SOURCES.into_iter().map(|source| (source, false)).chain(SINKS.map(|sink| (sink, sinks_wait)));
        tasks.flat_map(|(attempt, waits)| self.end_of_data(attempt, waits)).collect()
    }
}

/// Before, no barrier reached a sink that had taken the end of all sources while the sources waited for another sink.
#[test]
fn a_checkpoint_begins_at_tasks_at_the_end_of_their_data() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    assert!(job.end_of_data(3, false).is_empty());
    job.at(1_000);
    assert_eq!(triggers(&job.prepared(1)), [(1, vec![1, 2, 3])], "said before the checkpoint");
    assert_eq!(triggers(&job.end_of_data(4, false)), [(1, vec![4])], "and after it began");
    assert!(job.end_of_data(4, false).is_empty(), "the same again");
    assert!(job.triggered(1).is_empty());
    assert!(matches!(job.triggered(1)[..], [Action::Release { id: 1 }]));
    for attempt in [1, 2, 3] {
        assert!(job.ack(1, attempt).is_empty());
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert!(metadata.vertices.iter().flat_map(|vertex| &vertex.subtasks).all(|state| !state.finished));
}

#[test]
fn a_task_that_ends_while_a_checkpoint_is_prepared_is_not_forgotten() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    assert_eq!(prepare(&job.at(1_000)), Some(1));
    assert!(job.end_of_data(4, false).is_empty());
    assert_eq!(triggers(&job.prepared(1)), [(1, vec![1, 2, 4])]);
}

#[test]
fn a_task_that_has_begun_a_checkpoint_is_not_triggered_again() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    job.ack(1, 3);
    assert!(job.end_of_data(3, false).is_empty());
    // Its producers are gone, too: it begins once.
    assert_eq!(triggers(&job.end_of_data(4, false)), [(1, vec![4])]);
    assert!([1, 2].into_iter().all(|source| job.finish_task(source).is_empty()));
}

/// Calls may overtake one another: a task that began the second checkpoint first would never begin the first.
#[test]
fn a_task_is_told_of_checkpoints_in_their_order() {
    for lucky in [true, false] {
        let mut job = Fixture::with_two_triggered();
        assert_eq!(triggers(&job.end_of_data(3, false)), [(1, vec![3])]);
        assert_eq!(triggers(&job.end_of_data(4, false)), [(1, vec![4])]);
        assert!(job.triggered(1).is_empty(), "one call is not answered");
        let result = if lucky { Ok(()) } else { Err(CheckpointFailure::new(Reason::TriggerFailure)) };
        job.coordinator.triggered(1, result, &job.graph, job.now);
        assert_eq!(triggers(&job.actions()), [(2, vec![3, 4])]);
    }
}

/// Failed before: calls of the later checkpoint were under way, so it came first, and the task never began the earlier one.
#[test]
fn the_earlier_checkpoint_comes_first_also_where_the_later_one_is_being_told() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("max-concurrent-checkpoints", "2")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    job.at(2_000);
    assert_eq!(triggers(&job.prepared(2)), [(2, vec![1, 2])]);
    assert!(job.end_of_data(3, false).is_empty(), "calls are under way");
    assert_eq!(triggers(&job.triggered(2)), [(1, vec![3])]);
    assert_eq!(triggers(&job.triggered(1)), [(2, vec![3])]);
}

/// Failed before: a sink at the end of its data that waits for the first checkpoint could hear that it is complete before it
/// heard of the second. It ended, and the second was complete without the partitions that it leaves to others.
#[test]
fn a_task_hears_what_is_complete_when_it_has_heard_what_has_begun() {
    let completed = |tasks| Some((1, proto::CheckpointOutcome::Completed, tasks));
    for lucky in [true, false] {
        let mut job = Fixture::with_two_triggered();
        assert_eq!(triggers(&job.end_of_data(4, true)), [(1, vec![4])]);
        assert_eq!(triggers(&job.triggered(1)), [(2, vec![4])]);
        for attempt in [1, 2, 3] {
            job.ack(1, attempt);
        }
        let metadata = finalize(&job.ack(1, 4)).unwrap();
        let actions = job.finalized(&metadata);
        assert_eq!(notified(&actions), completed(1), "the call of the second is under way");
        assert!(
            actions.iter().any(|action| matches!(action, Action::Notify { tasks, .. } if tasks[0].attempt.0[0] == 3))
        );
        assert_eq!(job.coordinator.latest().unwrap().id, 1, "a restart begins with it");
        let result = if lucky { Ok(()) } else { Err(CheckpointFailure::new(Reason::TriggerFailure)) };
        job.coordinator.triggered(2, result, &job.graph, job.now);
        let actions = job.actions();
        let told = actions.iter().filter(|action| notified(std::slice::from_ref(*action)) == completed(3));
        assert_eq!(told.count(), 1, "{actions:?}");
    }
}

/// Failed before: as long as a TaskManager had not taken the trigger of a savepoint, no task of any other one heard that the
/// checkpoint is complete, and no sink committed.
#[test]
fn a_task_manager_that_does_not_take_a_trigger_holds_up_the_word_to_no_task_that_another_one_begins() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    assert_eq!(prepare(&job.request(savepoint(7, None))), Some(2));
    for attempt in [1, 2, 3] {
        job.ack(1, attempt);
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert_eq!(triggers(&job.prepared(2)), [(2, vec![1, 2])]);
    let told = |actions: &[Action]| -> Vec<u8> {
        let tasks = actions.iter().find_map(|action| match action {
            Action::Notify { id: 1, outcome: proto::CheckpointOutcome::Completed, tasks } => Some(tasks),
            _ => None,
        });
        tasks.into_iter().flatten().map(|task| task.attempt.0[0]).collect()
    };
    assert_eq!(told(&job.finalized(&metadata)), SINKS);
    assert_eq!(told(&job.triggered(2)), SOURCES);
}

/// Any task may end when it hears of that savepoint, wherever another one begins.
#[test]
fn the_savepoint_that_the_job_stops_with_is_told_when_nothing_begins() {
    let mut job = Fixture::new(&[]);
    job.request(savepoint(1, Some(Stop { drain: false })));
    job.prepared(1);
    job.triggered(1);
    assert_eq!(prepare(&job.request(savepoint(2, None))), Some(2));
    assert_eq!(triggers(&job.prepared(2)), [(2, vec![1, 2])]);
    for attempt in [1, 2, 3] {
        job.ack(1, attempt);
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert_eq!(notified(&job.finalized(&metadata)), None, "the call of the second is under way");
    assert_eq!(notified(&job.triggered(2)), Some((1, proto::CheckpointOutcome::Completed, 4)));
}

/// Before, a job at its end waited for the next checkpoint by the interval.
#[test]
fn the_last_checkpoint_is_due_when_all_tasks_are_at_their_end() {
    for finished in [false, true] {
        let mut job = Fixture::new(&[("interval", "1 h")]);
        job.now = 5_000;
        for source in SOURCES {
            let actions = if finished { job.finish_task(source) } else { job.end_of_data(source, false) };
            assert!(actions.is_empty());
        }
        assert!(job.end_of_data(3, true).is_empty());
        assert_eq!(prepare(&job.end_of_data(4, true)), Some(1));
        let all = if finished { SINKS.to_vec() } else { vec![1, 2, 3, 4] };
        assert_eq!(triggers(&job.prepared(1)), [(1, all.clone())]);
        job.triggered(1);
        let actions: Vec<Action> = all.into_iter().flat_map(|attempt| job.ack(1, attempt)).collect();
        let metadata = finalize(&actions).unwrap();
        assert_eq!(prepare(&job.finalized(&metadata)), None, "one is enough");
        assert_eq!(job.coordinator.next_tick(5_000), Some(3_600_000));
    }
}

#[test]
fn no_last_checkpoint_is_due_where_no_task_waits_for_it() {
    assert!(Fixture::new(&[("interval", "1 h")]).end(false).is_empty());
    assert!(Fixture::new(&[]).end(true).is_empty());
    let off = [("interval", "1 h"), ("checkpoints-after-tasks-finish", "false")];
    assert!(Fixture::new(&off).end(true).is_empty());
}

#[test]
fn the_last_checkpoint_keeps_the_pause_and_comes_after_the_one_under_way() {
    let mut job = Fixture::new(&[("interval", "1 h"), ("min-pause", "2 s")]);
    job.now = 1_000;
    job.request(Request::Checkpoint { ticket: 1, full: false });
    assert!(job.end(true).is_empty(), "one at a time");
    job.run(1);
    assert_eq!(job.coordinator.next_tick(1_000), Some(3_000));
    assert_eq!(prepare(&job.at(3_000)), Some(2));
}

#[test]
fn a_last_checkpoint_that_fails_is_tried_again_soon_and_not_at_once() {
    let mut job = Fixture::new(&[("interval", "1 h")]);
    job.now = 5_000;
    assert_eq!(prepare(&job.end(true)), Some(1));
    job.prepared(1);
    job.coordinator.decline(1, CheckpointFailure::new(Reason::TaskNotReady), &job.graph, job.now);
    assert_eq!(prepare(&job.actions()), None);
    assert_eq!(prepare(&job.at(5_000 + LAST_RETRY - 1)), None);
    assert_eq!(prepare(&job.at(5_000 + LAST_RETRY)), Some(2));
}

/// Before, tasks that were not told of the last checkpoint waited for the next one by the interval.
#[test]
fn a_last_checkpoint_that_not_all_have_heard_of_is_followed_by_another() {
    let mut job = Fixture::new(&[("interval", "1 h")]);
    job.now = 5_000;
    assert_eq!(prepare(&job.end(true)), Some(1));
    job.prepared(1);
    job.triggered(1);
    let actions: Vec<Action> = [1, 2, 3, 4].into_iter().flat_map(|attempt| job.ack(1, attempt)).collect();
    job.finalized(&finalize(&actions).unwrap());
    job.coordinator.not_notified(job.now);
    assert_eq!(prepare(&job.at(5_000 + LAST_RETRY - 1)), None);
    assert_eq!(prepare(&job.at(5_000 + LAST_RETRY)), Some(2));
}

#[test]
fn a_stop_that_fails_does_not_lose_the_last_checkpoint() {
    let mut job = Fixture::new(&[("interval", "1 h")]);
    job.coordinator.stop_periodic();
    assert!(job.end(true).is_empty(), "the savepoint is the last");
    job.coordinator.start_periodic(1_000);
    assert_eq!(job.coordinator.next_tick(1_000), Some(1_000 + LAST_RETRY));
}
