//! TaskManagers with a JobManager of the tests' own, over real connections.
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use bytes::Bytes;
use common::{Cluster, ROWS, collect, common_wait, configuration, edge, is_end, sink, source};
use wiesel_common::process;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished, Initializing, Running};
use wiesel_proto::Partitioner;
use wiesel_taskmanager::TaskManager;

#[test]
fn a_job_runs_across_two_task_managers() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let job = cluster.submit(vec![source(2, &[]), sink(2, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&job);
    for attempt in job.attempts.iter().flatten() {
        assert_eq!(cluster.state(attempt), [Initializing, Running, Finished]);
    }
    let heard = cluster.job_manager.heard.lock();
    let sum = |vertex: usize, of: fn(&proto::TaskMetrics) -> u64| -> u64 {
        job.attempts[vertex].iter().map(|attempt| of(&heard.metrics[attempt])).sum()
    };
    assert_eq!(sum(0, |metrics| metrics.records_out), 2 * ROWS as u64);
    assert_eq!(sum(1, |metrics| metrics.records_in), 2 * ROWS as u64);
    assert!(job.attempts[1].iter().all(|attempt| heard.metrics[attempt].watermark == i64::MAX));
    assert!(job.attempts[1].iter().all(|attempt| heard.metrics[attempt].records_in > 1000));
    assert!(sum(1, |metrics| metrics.bytes_in) > 2 * ROWS as u64 * 8);
}

/// As of a deployment that is too large for one message: producers first, which run when their consumers come.
#[test]
fn a_job_runs_that_is_deployed_task_by_task() {
    let mut cluster = Cluster::start(2, 1, &[]);
    cluster.tasks_at_once = 1;
    let job = cluster.submit(vec![source(2, &[]), sink(2, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&job);
    for attempt in job.attempts.iter().flatten() {
        assert_eq!(cluster.state(attempt), [Initializing, Running, Finished]);
    }
    let heard = cluster.job_manager.heard.lock();
    assert_eq!(job.attempts[1].iter().map(|attempt| heard.metrics[attempt].records_in).sum::<u64>(), 2 * ROWS as u64);
}

#[test]
fn results_reach_the_job_master() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let job = cluster.submit(vec![source(2, &[]), collect(1)], vec![edge(0, 1, Partitioner::Global)]);
    cluster.finish(&job);
    assert_eq!(cluster.state(&job.attempts[1][0]), [Initializing, Running, Finished]);
    let heard = cluster.job_manager.heard.lock();
    let mut next = 0;
    for (offset, rows) in &heard.collected {
        assert_eq!(*offset, next);
        next += rows;
    }
    assert_eq!(next, 2 * ROWS as u64);
}

#[test]
fn a_failure_is_told_with_its_cause_and_its_consumers_are_cancelled() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let job =
        cluster.submit(vec![source(2, &[("fail-at", "2000")]), sink(2, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&job);
    for attempt in &job.attempts[0] {
        assert_eq!(cluster.state(attempt), [Initializing, Running, Failed]);
        let heard = cluster.job_manager.heard.lock();
        assert_eq!(heard.failures[attempt].message, "/ by zero");
        assert_eq!(heard.failures[attempt].class, "java.lang.ArithmeticException");
    }
    for attempt in &job.attempts[1] {
        assert_eq!(cluster.state(attempt).last(), Some(&Canceled));
    }
}

#[test]
fn a_panic_fails_its_task_and_nothing_else() {
    let mut cluster = Cluster::start(1, 2, &[]);
    let job = cluster.submit(vec![source(1, &[("panic-at", "1000")])], vec![]);
    cluster.finish(&job);
    let attempt = &job.attempts[0][0];
    assert_eq!(cluster.state(attempt).last(), Some(&Failed));
    let message = cluster.job_manager.heard.lock().failures[attempt].message.clone();
    assert!(message.contains("something impossible"), "{message}");
    let job = cluster.submit(vec![source(2, &[]), sink(2, &[])], vec![edge(0, 1, Partitioner::Rebalance)]);
    cluster.finish(&job);
    assert_eq!(cluster.state(&job.attempts[1][0]).last(), Some(&Finished));
}

/// Before, the task was INITIALIZING for ever, and its slot taken.
#[test]
fn a_panic_while_operators_are_made_fails_the_task() {
    let mut cluster = Cluster::start(1, 1, &[]);
    let job = cluster.submit(vec![source(1, &[]), sink(1, &[("panic", "")])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&job);
    let attempt = &job.attempts[1][0];
    assert_eq!(cluster.state(attempt), [Initializing, Failed]);
    let message = cluster.job_manager.heard.lock().failures[attempt].message.clone();
    assert!(message.contains("a panic while an operator is made"), "{message}");
    let job = cluster.submit(vec![source(1, &[]), sink(1, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&job);
    assert_eq!(cluster.state(&job.attempts[1][0]).last(), Some(&Finished));
}

/// Before, a failure of more bytes than a message may have was never heard of, nor that the task had ended.
#[test]
fn a_failure_of_any_size_is_told() {
    let mut cluster = Cluster::start(1, 1, &[]);
    let bytes = (70 << 20).to_string();
    let job = cluster.submit(vec![source(1, &[("fail-at", "1000"), ("fail-bytes", &bytes)])], vec![]);
    cluster.finish(&job);
    let attempt = &job.attempts[0][0];
    assert_eq!(cluster.state(attempt).last(), Some(&Failed));
    let message = cluster.job_manager.heard.lock().failures[attempt].message.clone();
    assert!(message.starts_with("xxx") && message.ends_with("more bytes)") && message.len() < 100_000);
}

/// Before, the state was dropped with its text, and the job waited for this task for ever.
#[test]
fn a_failure_that_is_refused_for_its_size_is_told_without_its_text() {
    let mut cluster = Cluster::start(1, 1, &[]);
    cluster.job_manager.heard.lock().longest_failure = Some(500);
    let job = cluster.submit(vec![source(1, &[("fail-at", "1000"), ("fail-bytes", "2000")])], vec![]);
    cluster.finish(&job);
    let attempt = &job.attempts[0][0];
    assert_eq!(cluster.state(attempt).last(), Some(&Failed));
    let failure = cluster.job_manager.heard.lock().failures[attempt].clone();
    assert!(failure.message.contains("log of the TaskManager") && failure.causes.is_empty(), "{failure:?}");
    assert!(failure.class.starts_with("java.") || failure.class.starts_with("org."), "{failure:?}");
}

#[test]
fn cancelling_ends_every_wait_and_frees_everything() {
    let mut cluster = Cluster::start(2, 2, &[]);
    let threads = process::threads();
    let job = cluster
        .submit(vec![source(4, &[("endless", "")]), sink(4, &[("slow", "")])], vec![edge(0, 1, Partitioner::Hash)]);
    for attempt in job.attempts.iter().flatten() {
        cluster
            .until("running", |heard| heard.states.get(attempt).is_some_and(|states| states.last() == Some(&Running)));
    }
    // The sources are held back by the sinks.
    cluster.until("back-pressure", |heard| {
        job.attempts[0].iter().all(|attempt| heard.metrics.get(attempt).is_some_and(|m| m.back_pressured_ms > 500))
    });
    cluster.cancel(&job);
    cluster.finish(&job);
    for attempt in job.attempts.iter().flatten() {
        assert_eq!(cluster.state(attempt), [Initializing, Running, Canceled]);
    }
    for task_manager in &cluster.task_managers {
        let pool = task_manager.network().pool();
        common_wait("network memory", || pool.available() == pool.total());
        assert_eq!(task_manager.network().registered(), 0);
    }
    common_wait("threads", || process::threads() <= threads);
}

#[test]
fn two_hundred_jobs_leave_nothing_behind() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let run = |cluster: &mut Cluster| {
        let job = cluster.submit(vec![source(2, &[]), sink(2, &[])], vec![edge(0, 1, Partitioner::Hash)]);
        cluster.finish(&job);
        assert!(job.attempts.iter().flatten().all(|attempt| cluster.state(attempt).last() == Some(&Finished)));
        cluster.job_manager.heard.lock().states.clear();
    };
    (0..5).for_each(|_| run(&mut cluster));
    let (threads, files) = (process::threads(), process::open_files());
    (0..195).for_each(|_| run(&mut cluster));
    common_wait("threads", || process::threads() <= threads);
    common_wait("files", || process::open_files() <= files);
    for task_manager in &cluster.task_managers {
        let pool = task_manager.network().pool();
        assert_eq!(pool.available(), pool.total());
    }
}

#[test]
fn a_lost_task_manager_fails_the_tasks_that_read_from_it() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let job = cluster
        .submit(vec![source(2, &[("endless", "")]), sink(2, &[("slow", "")])], vec![edge(0, 1, Partitioner::Hash)]);
    for attempt in job.attempts.iter().flatten() {
        cluster
            .until("running", |heard| heard.states.get(attempt).is_some_and(|states| states.last() == Some(&Running)));
    }
    // Its consumers' subtask 0 reads from a proxy-free connection to the TaskManager that goes.
    let gone = cluster.task_managers.pop().unwrap();
    cluster.runtime.block_on(gone.stop("the test says so"));
    let attempt = &job.attempts[1][0];
    cluster.until("the end of the consumer", |heard| heard.states.get(attempt).is_some_and(|states| is_end(states)));
    assert_ne!(cluster.state(attempt).last(), Some(&Finished));
    assert_eq!(cluster.job_manager.heard.lock().registrations.len(), 1);
    let stopped = &job.attempts[0][1];
    let message = cluster.job_manager.heard.lock().failures[stopped].message.clone();
    assert!(message.contains("shutting down"), "{message}");
}

#[test]
fn too_few_buffers_refuse_the_deployment() {
    let memory = [("taskmanager.memory.network.min", "1mb"), ("taskmanager.memory.network.max", "1mb")];
    let mut cluster = Cluster::start(1, 16, &memory);
    let job = cluster.try_submit(vec![source(16, &[]), sink(16, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    let status = job.refused.unwrap();
    assert!(
        status.message().starts_with("Insufficient number of network buffers: required 17, but only 15 available."),
        "{}",
        status.message()
    );
    let pool = cluster.task_managers[0].network().pool();
    assert_eq!(pool.available(), pool.total());
    assert_eq!(cluster.task_managers[0].network().registered(), 0);
}

#[test]
fn stale_leaders_are_refused() {
    let cluster = Cluster::start(1, 1, &[]);
    let mut executor = cluster.executor(0);
    let request = proto::RequestSlotRequest {
        fence: Bytes::from_static(&[1; 16]),
        slot: 0,
        job_id: Bytes::from_static(&[1; 16]),
        allocation_id: Bytes::from_static(&[1; 16]),
        job_master_address: cluster.address.clone(),
        job_master_fence: Bytes::from_static(&[1; 16]),
    };
    let status = cluster.runtime.block_on(executor.request_slot(request)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let submit = proto::SubmitTasksRequest {
        fence: Bytes::from_static(&[1; 16]),
        graph: Some(proto::JobGraph { job_id: Bytes::from_static(&[1; 16]), ..proto::JobGraph::default() }),
        tasks: vec![proto::TaskDeployment { allocation_id: Bytes::from_static(&[3; 16]), ..Default::default() }],
        ..proto::SubmitTasksRequest::default()
    };
    let status = cluster.runtime.block_on(executor.submit_tasks(submit)).unwrap_err();
    assert!(status.message().starts_with("No task slot allocated for job ID"), "{}", status.message());
}

/// Those of today refuse it themselves. Earlier ones take it and say nothing of their release.
#[test]
fn a_task_manager_does_not_stay_with_a_job_manager_of_another_release() {
    let cluster = Cluster::start(0, 1, &[]);
    let (_, port) = cluster.address.rsplit_once(':').unwrap();
    for (release, named) in [("", "the JobManager is of an earlier release"), ("0.0.9 (messages 1)", "of 0.0.9 (")] {
        cluster.job_manager.heard.lock().release = Some(release);
        let configuration = configuration(port.parse().unwrap(), 1, &[("taskmanager.registration.timeout", "1 s")]);
        let ended = cluster.runtime.block_on(async { TaskManager::start(configuration).await.unwrap().wait().await });
        let reason = ended.unwrap_err();
        assert!(reason.contains(named) && reason.contains(proto::RELEASE), "{reason}");
        assert!(reason.contains("taskmanager.registration.timeout"), "{reason}");
        let heard = cluster.job_manager.heard.lock();
        assert!(heard.registrations.is_empty() && heard.slots.is_empty(), "it took leave and reported nothing");
    }
}

#[test]
fn a_lost_job_manager_ends_its_tasks_and_is_found_again() {
    let mut cluster = Cluster::start(1, 1, &[]);
    let job = cluster.submit(vec![source(1, &[("endless", "")])], vec![]);
    let attempt = &job.attempts[0][0];
    cluster.until("running", |heard| heard.states.get(attempt).is_some_and(|states| states.last() == Some(&Running)));
    cluster.job_manager.heard.lock().registrations.clear();
    let threads = process::threads();
    cluster.cut_heartbeats();
    // No report is sent: the JobMaster that asked for the task is gone.
    common_wait("the task's thread", || process::threads() < threads);
    assert_eq!(cluster.state(attempt).last(), Some(&Running));
    cluster.until("the registration", |heard| heard.registrations.len() == 1);
    cluster.until("the slot", |heard| heard.slots.values().flatten().all(|slot| slot.allocation_id.is_empty()));
}
