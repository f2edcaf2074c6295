use super::*;

const SINK: AttemptId = AttemptId([1; 16]);

fn rows(offset: u64, rows: u64, bytes: usize) -> proto::CollectRequest {
    proto::CollectRequest { offset, rows, batch: vec![offset as u8; bytes].into(), ..Default::default() }
}

fn want(version: u64, offset: u64) -> proto::FetchResultsRequest {
    proto::FetchResultsRequest { version, offset, ..Default::default() }
}

fn coordinator() -> CollectCoordinator {
    let coordinator = CollectCoordinator::new(100);
    coordinator.begin(1, [SINK]);
    coordinator
}

#[tokio::test]
async fn rows_come_in_order_and_go_when_the_client_has_them() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &rows(3, 2, 10)).await.unwrap();
    let response = coordinator.fetch(&want(0, 0)).await;
    assert_eq!((response.version, response.offset, response.rows, response.end), (1, 0, 5, false));
    assert_eq!(coordinator.fetch(&want(1, 0)).await, response, "until it says that it has them");
    let response = coordinator.fetch(&want(1, 3)).await;
    assert_eq!((response.offset, response.rows), (3, 2));
    let response = coordinator.fetch(&want(1, 5)).await;
    assert_eq!((response.offset, response.rows, response.end), (5, 0, false));
    assert_eq!(coordinator.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_repeat_is_ignored_and_a_gap_refused() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    assert_eq!(coordinator.fetch(&want(0, 0)).await.rows, 3);
    let gap = coordinator.collect(SINK, &rows(5, 1, 10)).await.unwrap_err();
    assert_eq!(gap.code(), tonic::Code::FailedPrecondition);
    let other = coordinator.collect(AttemptId([2; 16]), &rows(0, 1, 10)).await.unwrap_err();
    assert_eq!(other.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_full_buffer_makes_the_sink_wait_for_the_client() {
    let coordinator = Arc::new(coordinator());
    coordinator.collect(SINK, &rows(0, 1, 150)).await.unwrap();
    let sink = Arc::clone(&coordinator);
    let waiting = tokio::spawn(async move { sink.collect(SINK, &rows(1, 1, 60)).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(coordinator.fetch(&want(0, 0)).await.rows, 1, "an oversized batch goes alone");
    let rest =
        coordinator.fetch(&proto::FetchResultsRequest { version: 1, offset: 1, max_wait: 10_000, committed: 0 }).await;
    assert_eq!((rest.offset, rest.rows), (1, 1));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restart_voids_what_was_fetched() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    assert_eq!(coordinator.fetch(&want(1, 3)).await.rows, 0);
    let second = AttemptId([2; 16]);
    coordinator.begin(2, [second]);
    assert!(coordinator.collect(SINK, &rows(3, 1, 10)).await.is_err());
    let void = coordinator.fetch(&want(1, 3)).await;
    assert_eq!((void.version, void.offset, void.rows), (2, 0, 0));
    coordinator.collect(second, &rows(0, 1, 10)).await.unwrap();
    assert_eq!(coordinator.fetch(&want(2, 0)).await.rows, 1);
}

fn resume(offset: u64) -> proto::CollectRequest {
    proto::CollectRequest { offset, resume: true, ..Default::default() }
}

fn checkpoint(checkpoint_id: u64, offset: u64) -> proto::CollectRequest {
    proto::CollectRequest { offset, checkpoint_id, ..Default::default() }
}

#[tokio::test]
async fn with_checkpoints_a_restart_voids_only_what_the_checkpoint_lacks() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(0)).await.unwrap();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &rows(3, 2, 10)).await.unwrap();
    let first = coordinator.fetch(&want(0, 0)).await;
    assert_eq!((first.rows, first.committed), (5, 0), "sent, but not final");
    coordinator.collect(SINK, &checkpoint(1, 3)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(2, 5)).await.unwrap();
    coordinator.checkpoint_completed(1, false);
    let news = coordinator.fetch(&want(1, 5)).await;
    assert_eq!((news.rows, news.committed), (0, 3));
    coordinator.collect(SINK, &rows(5, 1, 10)).await.unwrap();
    let second = AttemptId([2; 16]);
    coordinator.begin(2, [second]);
    let nothing = coordinator.fetch(&proto::FetchResultsRequest { committed: 3, ..want(1, 5) }).await;
    assert_eq!(
        (nothing.version, nothing.offset, nothing.rows),
        (1, 5, 0),
        "the new sink has not said where it goes on"
    );
    coordinator.collect(second, &resume(3)).await.unwrap();
    let restarted = coordinator.fetch(&proto::FetchResultsRequest { committed: 3, ..want(1, 5) }).await;
    assert_eq!((restarted.version, restarted.kept, restarted.offset, restarted.rows), (2, 3, 3, 0));
    coordinator.collect(second, &rows(3, 4, 10)).await.unwrap();
    let response = coordinator.fetch(&want(2, 3)).await;
    assert_eq!((response.offset, response.rows, response.committed), (3, 4, 3));
    coordinator.checkpoint_completed(2, false);
    assert_eq!(coordinator.fetch(&want(2, 7)).await.committed, 3, "that was of the sink before");
    coordinator.end(JobStatus::Finished);
    assert_eq!(coordinator.fetch(&want(2, 7)).await.committed, u64::MAX, "a job that is done has no more restarts");
}

#[tokio::test]
async fn of_a_job_that_fails_the_rows_up_to_its_last_checkpoint_can_be_fetched() {
    for restarting in [false, true] {
        let coordinator = coordinator();
        coordinator.collect(SINK, &resume(0)).await.unwrap();
        coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
        coordinator.collect(SINK, &checkpoint(1, 3)).await.unwrap();
        coordinator.collect(SINK, &rows(3, 2, 10)).await.unwrap();
        assert_eq!(coordinator.fetch(&want(0, 0)).await.rows, 5, "fetched, but not final");
        coordinator.collect(SINK, &checkpoint(2, 5)).await.unwrap();
        coordinator.checkpoint_completed(1, false);
        if restarting {
            coordinator.begin(2, [AttemptId([2; 16])]);
        }
        coordinator.end(JobStatus::Failed);
        let version = if restarting { 2 } else { 1 };
        let rest = coordinator.fetch(&want(1, 2)).await;
        assert_eq!((rest.version, rest.offset, rest.rows, rest.committed, rest.end), (version, 0, 3, 3, true));
        assert_eq!(rest.kept, if restarting { 3 } else { 0 });
        let end = coordinator.fetch(&want(version, 5)).await;
        assert_eq!((end.offset, end.rows, end.committed, end.end), (3, 0, 3, true));
    }
}

#[tokio::test]
async fn of_a_job_without_checkpoints_that_fails_all_rows_can_be_fetched_and_none_of_one_that_was_cancelled() {
    for (status, expected) in [(JobStatus::Failed, 3), (JobStatus::Canceled, 0)] {
        let coordinator = coordinator();
        coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
        coordinator.end(status);
        let rest = coordinator.fetch(&want(0, 0)).await;
        assert_eq!((rest.rows, rest.committed, rest.end), (expected, u64::MAX, true));
    }
}

#[tokio::test]
async fn a_job_that_begins_with_a_savepoint_has_only_the_rows_after_it() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(500)).await.unwrap();
    coordinator.collect(SINK, &rows(500, 2, 10)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(9, 502)).await.unwrap();
    coordinator.checkpoint_completed(9, false);
    let response = coordinator.fetch(&want(0, 0)).await;
    assert_eq!((response.offset, response.rows, response.committed, response.kept), (0, 2, 2, 0));
}

fn resume_finished() -> proto::CollectRequest {
    proto::CollectRequest { finished: true, ..resume(0) }
}

/// Before, a checkpoint of which the sink is no part made none of its last rows final, and a restart from it took all of them
/// back.
#[tokio::test]
async fn the_rows_of_a_sink_that_has_finished_stay() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(500)).await.unwrap();
    coordinator.collect(SINK, &rows(500, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(1, 503)).await.unwrap();
    coordinator.collect(SINK, &rows(503, 2, 10)).await.unwrap();
    coordinator.checkpoint_completed(1, false);
    assert_eq!(coordinator.fetch(&want(0, 0)).await.committed, 3);
    coordinator.checkpoint_completed(2, true);
    assert_eq!(coordinator.fetch(&want(1, 0)).await.committed, 5);
    for version in 2..4 {
        let again = AttemptId([version; 16]);
        coordinator.begin(u64::from(version), [again]);
        coordinator.collect(again, &resume_finished()).await.unwrap();
        let response = coordinator.fetch(&want(1, 0)).await;
        assert_eq!((response.rows, response.committed, response.kept), (5, 5, 5));
    }
    // Another job begins with that checkpoint: it has no rows of its own.
    let other = CollectCoordinator::new(100);
    other.begin(1, [SINK]);
    other.collect(SINK, &resume_finished()).await.unwrap();
    other.checkpoint_completed(3, true);
    other.end(JobStatus::Finished);
    let response = other.fetch(&want(0, 0)).await;
    assert_eq!((response.rows, response.kept, response.end), (0, 0, true));
}

/// Failed before: a client that came after both restarts kept rows of the first execution that the second had sent anew.
#[tokio::test]
async fn a_client_that_misses_a_restart_has_what_both_have_kept() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(0)).await.unwrap();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(1, 3)).await.unwrap();
    coordinator.collect(SINK, &rows(3, 7, 10)).await.unwrap();
    assert_eq!(coordinator.fetch(&want(0, 0)).await.rows, 10);
    coordinator.checkpoint_completed(1, false);
    let (second, third) = (AttemptId([2; 16]), AttemptId([3; 16]));
    coordinator.begin(2, [second]);
    coordinator.collect(second, &resume(3)).await.unwrap();
    coordinator.collect(second, &rows(3, 5, 10)).await.unwrap();
    coordinator.collect(second, &checkpoint(2, 8)).await.unwrap();
    coordinator.checkpoint_completed(2, false);
    coordinator.begin(3, [third]);
    coordinator.collect(third, &resume(8)).await.unwrap();
    for (known, kept) in [(1, 3), (2, 8)] {
        let response = coordinator.fetch(&want(known, 10)).await;
        assert_eq!((response.version, response.kept, response.committed), (3, kept, 8));
    }
    let rest = coordinator.fetch(&want(3, 3)).await;
    assert_eq!((rest.offset, rest.rows), (3, 5));
}

/// Failed before: a client that learned of a restart when the job had finished was told that all it had was void.
#[tokio::test]
async fn a_client_that_comes_after_a_restart_and_the_end_keeps_what_it_has() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(0)).await.unwrap();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(1, 3)).await.unwrap();
    coordinator.checkpoint_completed(1, false);
    assert_eq!(coordinator.fetch(&want(0, 0)).await.rows, 3);
    assert_eq!(coordinator.fetch(&want(1, 3)).await.committed, 3);
    let second = AttemptId([2; 16]);
    coordinator.begin(2, [second]);
    coordinator.collect(second, &resume(3)).await.unwrap();
    coordinator.collect(second, &rows(3, 1, 10)).await.unwrap();
    coordinator.end(JobStatus::Finished);
    let rest = coordinator.fetch(&want(1, 3)).await;
    assert_eq!((rest.version, rest.kept, rest.offset, rest.rows, rest.committed), (2, 3, 3, 1, u64::MAX));
}

#[tokio::test]
async fn a_sink_that_would_take_back_what_is_final_is_refused() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &resume(0)).await.unwrap();
    coordinator.collect(SINK, &rows(0, 3, 10)).await.unwrap();
    coordinator.collect(SINK, &checkpoint(1, 3)).await.unwrap();
    coordinator.checkpoint_completed(1, false);
    let second = AttemptId([2; 16]);
    coordinator.begin(2, [second]);
    let refused = coordinator.collect(second, &resume(2)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    coordinator.collect(second, &resume(3)).await.unwrap();
    assert_eq!(coordinator.fetch(&want(2, 0)).await.rows, 3);
}

#[tokio::test]
async fn the_end_comes_with_the_last_rows() {
    let coordinator = coordinator();
    coordinator.collect(SINK, &rows(0, 1, 90)).await.unwrap();
    coordinator.collect(SINK, &rows(1, 1, 90)).await.unwrap();
    coordinator.end(JobStatus::Finished);
    let first = coordinator.fetch(&want(0, 0)).await;
    assert_eq!((first.rows, first.end), (1, false));
    let last = coordinator.fetch(&want(1, 1)).await;
    assert_eq!((last.rows, last.end), (1, true));
    assert!(coordinator.fetch(&want(1, 2)).await.end);
}

#[test]
fn results_of_finished_jobs_expire() {
    let coordinators = CollectCoordinators::default();
    let (job, operator) = (JobId([1; 16]), OperatorId([2; 16]));
    coordinators.create(job, operator, 100);
    coordinators.expire(1_000_000, Duration::from_secs(10), 0);
    assert!(coordinators.get(job, operator).is_some(), "the job still runs");
    coordinators.job_ended(job, JobStatus::Finished, 1_000_000);
    coordinators.get_for_client(job, operator, 1_005_000);
    coordinators.expire(1_014_000, Duration::from_secs(10), 0);
    assert!(coordinators.get(job, operator).is_some());
    coordinators.expire(1_016_000, Duration::from_secs(10), 0);
    assert!(coordinators.get(job, operator).is_none());
}
