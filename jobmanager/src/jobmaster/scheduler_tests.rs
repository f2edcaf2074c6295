use prost::Message;

use super::*;
use crate::jobmaster::deployment_plan::plan_deployment;
use crate::jobmaster::restart_strategy::RestartStrategyOptions;

#[path = "scheduler_end_tests.rs"]
mod end;
#[path = "scheduler_loss_tests.rs"]
mod losses;
#[path = "scheduler_restart_tests.rs"]
mod restarts;
#[path = "scheduler_taking_over_tests.rs"]
mod taken_over;

struct TestEnvironment {
    now: i64,
    next_id: u128,
}

impl Environment for TestEnvironment {
    fn now(&self) -> i64 {
        self.now
    }

    fn monotonic(&self) -> i64 {
        self.now
    }

    fn random(&mut self) -> f64 {
        0.5
    }

    fn attempt_id(&mut self) -> AttemptId {
        self.next_id += 1;
        AttemptId(self.next_id.to_be_bytes())
    }
}

fn vertex(id: u8, parallelism: u32, group: &str) -> proto::JobVertex {
    proto::JobVertex {
        id: vec![id; 16].into(),
        name: format!("vertex {id}"),
        parallelism,
        slot_sharing_group: group.into(),
        ..Default::default()
    }
}

struct Job {
    scheduler: Scheduler,
    env: TestEnvironment,
}

impl Job {
    fn new(vertices: Vec<proto::JobVertex>, strategy: RestartStrategyOptions) -> Self {
        let mut env = TestEnvironment { now: 1_000, next_id: 0 };
        let graph = Arc::new(proto::JobGraph { vertices, name: "test".into(), ..Default::default() });
        let strategy = RestartStrategy::new(strategy);
        let scheduler = Scheduler::new(graph, JobId([9; 16]), strategy, ExceptionHistory::new(16), 900, &mut env);
        Self { scheduler, env }
    }

    /// Two vertices at this parallelism, running on two TaskManagers.
    fn running(parallelism: u32, strategy: RestartStrategyOptions) -> Self {
        let mut job = Self::new(vec![vertex(1, parallelism, ""), vertex(2, parallelism, "")], strategy);
        job.scheduler.start(&mut job.env);
        job.offer(parallelism as usize);
        job.all(ExecutionState::Running);
        job.scheduler.take_actions();
        job
    }

    fn offer(&mut self, count: usize) -> usize {
        let offers = (0..count).map(|i| slot(if i % 2 == 0 { "a" } else { "b" }, i as u32)).collect();
        self.take(offers).len()
    }

    /// Offers slots, and confirms those that are taken.
    fn take(&mut self, offers: Vec<JobSlot>) -> Vec<AllocationId> {
        let taken = self.scheduler.offer_slots(offers);
        self.scheduler.slots_confirmed(&taken, &mut self.env);
        taken
    }

    fn attempts(&self) -> Vec<AttemptId> {
        self.scheduler.graph.executions().map(|execution| execution.attempt_id).collect()
    }

    fn states(&self) -> Vec<ExecutionState> {
        self.scheduler.graph.executions().map(|execution| execution.state).collect()
    }

    fn report(&mut self, attempt: AttemptId, state: ExecutionState) -> UpdateOutcome {
        self.scheduler.task_state(attempt, state, None, None, &mut self.env)
    }

    fn report_failure(&mut self, attempt: AttemptId, message: &str) {
        let failure = FailureInfo::new("java.lang.ArithmeticException", message);
        self.scheduler.task_state(attempt, ExecutionState::Failed, Some(failure), None, &mut self.env);
    }

    fn all(&mut self, state: ExecutionState) {
        for attempt in self.attempts() {
            self.report(attempt, state);
        }
    }

    fn status(&self) -> JobStatus {
        self.scheduler.status()
    }
}

fn slot(task_manager: &str, index: u32) -> JobSlot {
    let mut allocation = [index as u8; 16];
    allocation[0] = task_manager.as_bytes()[0];
    JobSlot {
        allocation: AllocationId(allocation),
        index,
        since: ReportNumber { registration: 1, version: 1 },
        location: Arc::new(TaskManagerLocation {
            resource_id: task_manager.into(),
            rpc_address: format!("{task_manager}:1"),
            data_address: format!("{task_manager}:2"),
            hostname: task_manager.into(),
        }),
    }
}

fn fixed_delay(attempts: u32) -> RestartStrategyOptions {
    RestartStrategyOptions::FixedDelay { attempts, delay: Duration::from_secs(1) }
}

fn is_over(actions: &[Action]) -> bool {
    matches!(actions, [.., Action::ReleaseSlots, Action::Terminated])
}

#[test]
fn a_job_runs_to_its_end() {
    let mut job = Job::new(vec![vertex(1, 2, ""), vertex(2, 1, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    assert!(matches!(job.scheduler.take_actions()[..], [Action::RequireSlots { slots: 2, .. }]));
    assert_eq!(job.status(), JobStatus::Running);
    assert_eq!(job.states(), [ExecutionState::Scheduled; 3]);
    job.offer(1);
    assert!(job.scheduler.take_actions().is_empty());
    assert_eq!(job.offer(3), 2, "one slot more than needed is refused");
    assert!(matches!(job.scheduler.take_actions()[..], [Action::Deploy { .. }]));
    job.all(ExecutionState::Initializing);
    job.all(ExecutionState::Running);
    assert_eq!(job.states(), [ExecutionState::Running; 3]);
    job.all(ExecutionState::Finished);
    assert_eq!(job.status(), JobStatus::Finished);
    assert!(is_over(&job.scheduler.take_actions()));
    assert_eq!(job.scheduler.timestamps().get(JobStatus::Initializing), 900);
}

#[test]
fn subtasks_of_a_sharing_group_share_slots_and_groups_do_not() {
    let mut job =
        Job::new(vec![vertex(1, 2, ""), vertex(2, 1, "other"), vertex(3, 2, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    assert!(matches!(job.scheduler.take_actions()[..], [Action::RequireSlots { slots: 3, .. }]));
    job.offer(3);
    let allocation = |v: usize, s: usize| {
        let execution = &job.scheduler.graph.vertices[v].subtasks[s];
        execution.slot.as_ref().map(|slot| slot.allocation)
    };
    assert_eq!(allocation(0, 0), allocation(2, 0));
    assert_eq!(allocation(0, 1), allocation(2, 1));
    assert_ne!(allocation(0, 0), allocation(0, 1));
    assert_ne!(allocation(1, 0), allocation(0, 0));
    assert_ne!(allocation(1, 0), allocation(0, 1));
}

fn deployments(job: &Job, regions: &BTreeSet<usize>) -> Vec<proto::SubmitTasksRequest> {
    let fence = bytes::Bytes::new();
    let (shared, shares) = plan_deployment(job.scheduler.graph(), regions, fence, "jm:6123", &|_, _| None);
    shares.into_iter().map(|share| shared.request(share.receiver, share.tasks)).collect()
}

#[test]
fn deployments_name_every_task_once_and_where_all_are() {
    let job = Job::running(4, RestartStrategyOptions::None);
    let all = job.scheduler.graph.all_regions();
    let deployments = deployments(&job, &all);
    assert_eq!(deployments.len(), 2);
    let mut seen = Vec::new();
    for (receiver, deployment) in deployments.iter().enumerate() {
        assert_eq!(deployment.receiver as usize, receiver);
        assert_eq!(deployment.task_managers, ["a:2", "b:2"]);
        for task in &deployment.tasks {
            let place = deployment.placements[task.vertex as usize].task_manager[task.subtask as usize];
            assert_eq!(place as usize, receiver);
            seen.push((task.vertex, task.subtask));
        }
    }
    seen.sort_unstable();
    let expected: Vec<_> = (0..2).flat_map(|v| (0..4).map(move |s| (v, s))).collect();
    assert_eq!(seen, expected);
    let subtasks = &deployments[0].placements[0].task_manager;
    assert_eq!(subtasks, &[0, 1, 0, 1], "neighbours run on different TaskManagers");
}

/// Failed before: whatever its size, what a TaskManager was to run was one message, which it refused where it was too large.
#[test]
fn a_deployment_is_cut_by_its_size_and_a_task_that_is_too_large_for_any_is_named() {
    let job = Job::running(4, RestartStrategyOptions::None);
    let state = |bytes: usize| {
        let splits = vec![bytes::Bytes::from(vec![7_u8; bytes])];
        let list = proto::OperatorListState { name: "splits".into(), entries: splits, ..Default::default() };
        let operator = proto::OperatorSubtaskState { lists: vec![list], ..Default::default() };
        proto::TaskState { operators: vec![operator], ..Default::default() }
    };
    let restore = |v: usize, s: usize| {
        let bytes = if (v, s) == (1, 2) { 3000 } else { 1000 };
        Some(proto::TaskRestore { checkpoint_id: 7, state: Some(state(bytes)) })
    };
    let all = job.scheduler.graph.all_regions();
    let fence = bytes::Bytes::from_static(&[1; 16]);
    let (shared, shares) = plan_deployment(job.scheduler.graph(), &all, fence, "jm:6123", &restore);
    for share in shares {
        let whole = shared.cut(&share.location, share.tasks.clone(), 1 << 20).unwrap();
        assert_eq!(whole, std::slice::from_ref(&share.tasks));
        let limit = 4000;
        let parts = shared.cut(&share.location, share.tasks.clone(), limit).unwrap();
        assert!(parts.len() > 1 && parts.iter().all(|part| !part.is_empty()));
        assert_eq!(parts.concat(), share.tasks, "in order, so that producers come first");
        for part in parts {
            assert!(shared.request(share.receiver, part).encoded_len() <= limit);
        }
        let cut = shared.cut(&share.location, share.tasks.clone(), 2500);
        if share.location.resource_id == "b" {
            assert_eq!(cut.unwrap().len(), 2);
            continue;
        }
        let refused = cut.unwrap_err().to_string();
        for part in ["vertex 2 (3/4)", "TaskManager a", "at most 2500", "the state", "more subtasks"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}

#[test]
fn without_a_strategy_a_failure_fails_the_job_after_all_tasks_ended() {
    let mut job = Job::running(2, RestartStrategyOptions::None);
    let attempts = job.attempts();
    job.report_failure(attempts[0], "/ by zero");
    assert_eq!(job.status(), JobStatus::Failing);
    let cancelled: usize = job
        .scheduler
        .take_actions()
        .iter()
        .map(|action| if let Action::Cancel { attempts, .. } = action { attempts.len() } else { 0 })
        .sum();
    assert_eq!(cancelled, 3);
    for attempt in &attempts[1..] {
        assert_eq!(job.report(*attempt, ExecutionState::Canceled), UpdateOutcome::Accepted);
    }
    assert_eq!(job.status(), JobStatus::Failed);
    assert!(is_over(&job.scheduler.take_actions()));
    let failure = job.scheduler.failure().unwrap();
    assert_eq!(
        failure.stack_trace(),
        "org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy\n\
         Caused by: java.lang.ArithmeticException: / by zero\n"
    );
    let entries: Vec<_> = job.scheduler.history().entries().collect();
    assert_eq!(entries.len(), 1);
    let task = entries[0].concurrent[0].task.as_ref().unwrap();
    assert_eq!(task.name, "vertex 1 (1/2) - execution #0");
}

#[test]
fn a_restart_begins_anew_with_the_slots_it_has() {
    let mut job = Job::running(2, fixed_delay(1));
    let before = job.attempts();
    job.report_failure(before[2], "boom");
    assert_eq!(job.status(), JobStatus::Restarting);
    assert!(job.scheduler.take_actions().iter().any(|action| matches!(action, Action::RestartAfter { .. })));
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting, "tasks are still being cancelled");
    for attempt in &before {
        job.report(*attempt, ExecutionState::Canceled);
    }
    assert_eq!(job.status(), JobStatus::Running);
    let actions = job.scheduler.take_actions();
    assert!(matches!(actions[..], [Action::RequireSlots { slots: 2, .. }, Action::Deploy { .. }]), "{actions:?}");
    let after = job.attempts();
    assert!(before.iter().all(|attempt| !after.contains(attempt)));
    assert_eq!(job.report(before[0], ExecutionState::Running), UpdateOutcome::Unknown);
    assert!(job.scheduler.graph.executions().all(|execution| execution.attempt_number == 1));
    job.report_failure(after[0], "boom again");
    assert_eq!(job.status(), JobStatus::Failing, "one attempt was allowed");
}

#[test]
fn a_lost_task_manager_takes_its_tasks_and_slots_along() {
    let mut job = Job::running(2, fixed_delay(3));
    let lost = FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
    job.scheduler.task_manager_lost("b", 1, lost, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    let actions = job.scheduler.take_actions();
    for action in &actions {
        if let Action::Cancel { location, attempts, .. } = action {
            assert_eq!((location.resource_id.as_str(), attempts.len()), ("a", 2));
        }
    }
    job.all(ExecutionState::Canceled);
    job.scheduler.restart_due(1, &mut job.env);
    assert!(matches!(job.scheduler.take_actions()[..], [Action::RequireSlots { slots: 2, .. }]));
    assert_eq!(job.scheduler.slots().len(), 1);
    let accepted = job.take(vec![slot("c", 7)]);
    assert_eq!(accepted.len(), 1);
    assert!(matches!(job.scheduler.take_actions()[..], [Action::Deploy { .. }]));
}

#[test]
fn losing_every_task_manager_ends_a_cancellation() {
    let mut job = Job::running(2, RestartStrategyOptions::None);
    job.scheduler.cancel(&mut job.env);
    assert_eq!(job.status(), JobStatus::Cancelling);
    for id in ["a", "b"] {
        let lost = FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
        job.scheduler.task_manager_lost(id, 1, lost, &mut job.env);
    }
    assert_eq!(job.status(), JobStatus::Canceled);
    assert_eq!(job.states(), [ExecutionState::Canceled; 4]);
}

/// Before, it said that the job got 0 slots, though there were 2: it is given all or nothing.
#[test]
fn a_job_that_misses_slots_says_how_many_and_how_many_there_were() {
    let mut job = Job::new(vec![vertex(1, 16, "")], RestartStrategyOptions::None);
    let shortage = SlotShortage { required: 16, given: 0, free: 2, total: 8 };
    job.scheduler.set_slot_shortage(Some(shortage));
    assert_eq!(job.scheduler.slot_shortage(), None, "it has not asked for slots yet");
    job.scheduler.start(&mut job.env);
    assert_eq!(job.scheduler.slot_shortage(), None, "that was before it asked");
    job.scheduler.set_slot_shortage(Some(shortage));
    assert_eq!(job.scheduler.slot_shortage().map(|shortage| shortage.missing()), Some(14));
    job.scheduler.slots_timed_out(1, Duration::from_secs(300), &mut job.env);
    let trace = job.scheduler.failure().unwrap().stack_trace();
    assert!(trace.contains("requires 16 slots and 2 could be had within slot.request.timeout (300000 ms)"), "{trace}");
    assert!(
        trace.contains("14 of 16 slots are missing, the job has 0, the TaskManagers have 8 in all, 2 of them free")
    );
    assert_eq!(job.scheduler.slot_shortage(), None, "it does not wait any more");
}

#[test]
fn a_job_without_slots_fails_in_flinks_words() {
    let mut job = Job::new(vec![vertex(1, 3, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    job.offer(1);
    job.scheduler.slots_timed_out(0, Duration::from_secs(300), &mut job.env);
    assert_eq!(job.status(), JobStatus::Running, "an older request");
    job.scheduler.slots_timed_out(1, Duration::from_secs(300), &mut job.env);
    assert_eq!(job.status(), JobStatus::Failed);
    let trace = job.scheduler.failure().unwrap().stack_trace();
    assert!(trace.contains("NoResourceAvailableException: Could not acquire the minimum required resources."));
    let actions = job.scheduler.take_actions();
    // Before, it kept the slot, and so did another one that missed it: two jobs waited for each other for ever.
    assert!(
        actions.iter().any(|action| matches!(action, Action::GiveUpSlots(slots) if slots.len() == 1)),
        "{actions:?}"
    );
    assert!(is_over(&actions) && job.scheduler.slots().is_empty());
}

#[test]
fn cancelling_while_waiting_for_slots_or_for_a_restart_ends_at_once() {
    let mut waiting = Job::new(vec![vertex(1, 3, "")], RestartStrategyOptions::None);
    waiting.scheduler.start(&mut waiting.env);
    waiting.scheduler.cancel(&mut waiting.env);
    assert_eq!(waiting.status(), JobStatus::Canceled);
    assert_eq!(waiting.offer(3), 0);

    let mut restarting = Job::running(1, fixed_delay(5));
    let attempts = restarting.attempts();
    restarting.report_failure(attempts[0], "boom");
    restarting.report(attempts[1], ExecutionState::Canceled);
    assert_eq!(restarting.status(), JobStatus::Restarting);
    restarting.scheduler.cancel(&mut restarting.env);
    assert_eq!(restarting.status(), JobStatus::Canceled);
    restarting.scheduler.take_actions();
    restarting.scheduler.restart_due(1, &mut restarting.env);
    assert!(restarting.scheduler.take_actions().is_empty());
}

/// Before, it was left to the end of tasks that no process reported on any more, and could not be cancelled.
#[test]
fn a_failing_job_can_be_cancelled() {
    let mut job = Job::running(2, RestartStrategyOptions::None);
    let attempts = job.attempts();
    job.report_failure(attempts[0], "boom");
    assert_eq!(job.status(), JobStatus::Failing);
    job.report(attempts[1], ExecutionState::Canceled);
    job.scheduler.take_actions();

    for _ in 0..2 {
        job.scheduler.cancel(&mut job.env);
        assert_eq!(job.status(), JobStatus::Cancelling);
        let asked = job.scheduler.take_actions().into_iter();
        let asked = asked.filter_map(|action| match action {
            Action::Cancel { attempts, .. } => Some(attempts),
            _ => None,
        });
        let mut asked: Vec<AttemptId> = asked.flatten().collect();
        asked.sort_unstable();
        assert_eq!(asked, attempts[2..], "those that have not ended are told once more");
    }
    // One of them is not known to its TaskManager.
    job.scheduler.tasks_gone(&[attempts[0], attempts[2], AttemptId([99; 16])], &mut job.env);
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Cancelling, ExecutionState::Failed));
    job.report(attempts[3], ExecutionState::Failed);
    assert_eq!(job.status(), JobStatus::Canceled);
    assert!(is_over(&job.scheduler.take_actions()));
    job.scheduler.cancel(&mut job.env);
    assert!(job.scheduler.take_actions().is_empty(), "what is over stays so");
}

#[test]
fn only_what_is_being_cancelled_is_over_when_it_is_gone() {
    let mut job = Job::running(1, RestartStrategyOptions::None);
    let attempts = job.attempts();
    job.scheduler.tasks_gone(&attempts, &mut job.env);
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Running, ExecutionState::Running));
}

#[test]
fn a_failed_deployment_fails_its_tasks_and_cancels_what_may_run() {
    let mut job = Job::new(vec![vertex(1, 2, "")], RestartStrategyOptions::None);
    job.scheduler.start(&mut job.env);
    job.offer(2);
    job.scheduler.take_actions();
    let refusal = FailureInfo::new("java.io.IOException", "Insufficient number of network buffers");
    let on_a: Vec<_> = job
        .scheduler
        .graph
        .executions()
        .filter(|execution| execution.slot.as_ref().unwrap().location.resource_id == "a")
        .map(|execution| execution.attempt_id)
        .collect();
    job.scheduler.deployment_failed(&on_a, refusal, &mut job.env);
    assert_eq!(job.status(), JobStatus::Failing);
    let cancels: Vec<_> = job
        .scheduler
        .take_actions()
        .into_iter()
        .filter_map(|action| if let Action::Cancel { location, .. } = action { Some(location) } else { None })
        .collect();
    assert_eq!(cancels.len(), 2);
    job.all(ExecutionState::Canceled);
    assert_eq!(job.status(), JobStatus::Failed);
    assert!(job.scheduler.failure().unwrap().stack_trace().contains("Insufficient number of network buffers"));
}

/// Failed before: they counted as over at once, and their successors were deployed beside them.
#[test]
fn tasks_whose_deployment_had_no_answer_are_over_when_their_task_manager_says_so() {
    let lost = || FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
    for word in 0..5 {
        let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
        job.scheduler.start(&mut job.env);
        job.offer(2);
        job.scheduler.take_actions();
        let before = job.attempts();
        let place = job.scheduler.graph.vertices[0].subtasks[0].slot.clone().unwrap();
        assert_eq!(place.location.resource_id, "a");
        let silence = FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
        job.scheduler.deployment_failed(&before[..1], silence, &mut job.env);
        assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Canceling; 2]));
        let asked = job.scheduler.take_actions().into_iter().filter_map(|action| match action {
            Action::Cancel { attempts, .. } => Some(attempts),
            _ => None,
        });
        assert_eq!(asked.flatten().collect::<Vec<_>>(), before, "each once");
        job.scheduler.restart_due(1, &mut job.env);
        job.report(before[1], ExecutionState::Canceled);
        assert_eq!(job.status(), JobStatus::Restarting, "the other one may run");
        match word {
            0 => job.scheduler.tasks_gone(&before[..1], &mut job.env),
            1 => _ = job.report(before[0], ExecutionState::Canceled),
            2 => _ = job.report(before[0], ExecutionState::Finished),
            3 => job.scheduler.task_manager_lost("a", 1, lost(), &mut job.env),
            _ => job.scheduler.abandon_task_manager("a", 1, lost(), &mut job.env),
        }
        assert_eq!(job.status(), JobStatus::Running);
        assert!(job.attempts().iter().all(|attempt| !before.contains(attempt)));
        let failures: Vec<_> = job.scheduler.history().entries().collect();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].failure.message.starts_with("Could not deploy"), "{}", failures[0].failure);
    }
}

#[test]
fn a_task_that_cannot_be_deployed_was_sent_to_no_task_manager_and_is_over_at_once() {
    let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.offer(2);
    job.scheduler.take_actions();
    let cause = FailureInfo::new("java.lang.IllegalStateException", "the state fits no operator");
    let regions = job.scheduler.graph.all_regions();
    job.scheduler.not_deployed(&regions, cause, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Failed; 2]));
    assert!(!job.scheduler.take_actions().iter().any(|action| matches!(action, Action::Cancel { .. })));
}

/// Failed before: an answer that was lost failed what ran.
#[test]
fn what_has_said_that_it_runs_was_deployed_whatever_became_of_the_call() {
    let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    job.offer(2);
    let attempts = job.attempts();
    job.report(attempts[0], ExecutionState::Initializing);
    job.report(attempts[1], ExecutionState::Running);
    job.scheduler.take_actions();
    let silence = FailureInfo::new(failure::INTERNAL, "Could not deploy tasks to TaskManager a.");
    job.scheduler.deployment_failed(&attempts, silence, &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    assert!(job.scheduler.take_actions().is_empty());
}

/// Failed before: a TaskManager says that it gives a slot back before the tasks in it have ended.
#[test]
fn tasks_in_a_slot_that_is_lost_are_over_when_their_task_manager_says_so() {
    let mut job = Job::running(1, fixed_delay(9));
    let before = job.attempts();
    let lost = FailureInfo::new(failure::INTERNAL, "The slot is not the job's any more.");
    job.scheduler.slot_lost(slot("a", 0).allocation, lost, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Restarting, vec![ExecutionState::Canceling; 2]));
    let actions = job.scheduler.take_actions();
    assert!(
        actions.iter().any(|action| matches!(action, Action::Cancel { attempts, .. } if *attempts == before)),
        "{actions:?}"
    );
    job.scheduler.restart_due(1, &mut job.env);
    job.report(before[0], ExecutionState::Failed);
    assert_eq!(job.states(), [ExecutionState::Failed, ExecutionState::Canceling]);
    job.scheduler.tasks_gone(&before, &mut job.env);
    assert_eq!((job.status(), job.states()), (JobStatus::Running, vec![ExecutionState::Scheduled; 2]));
}

/// Failed before: a TaskManager that came back was not told to end the tasks that had been given up.
#[test]
fn counters_of_an_attempt_that_was_given_up_are_of_no_attempt() {
    let mut job = Job::running(1, fixed_delay(9));
    let before = job.attempts();
    let report = |job: &mut Job, attempt| job.scheduler.task_metrics(attempt, proto::TaskMetrics::default());
    assert_eq!(report(&mut job, before[0]), UpdateOutcome::Accepted);
    job.report(before[1], ExecutionState::Finished);
    assert_eq!(report(&mut job, before[1]), UpdateOutcome::Accepted, "it is on its way out");
    let lost = FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
    job.scheduler.task_manager_lost("a", 1, lost, &mut job.env);
    assert_eq!(report(&mut job, before[0]), UpdateOutcome::Unknown);
    job.scheduler.restart_due(1, &mut job.env);
    for attempt in [before[0], before[1], AttemptId([99; 16])] {
        assert_eq!(report(&mut job, attempt), UpdateOutcome::Unknown);
    }
}

#[test]
fn a_fatal_failure_is_not_retried() {
    let mut job = Job::running(1, fixed_delay(5));
    let attempt = job.attempts()[0];
    let failure = FailureInfo { fatal: true, ..FailureInfo::new("x.Y", "no such column") };
    job.scheduler.task_state(attempt, ExecutionState::Failed, Some(failure), None, &mut job.env);
    assert_eq!(job.status(), JobStatus::Failing);
}

#[test]
fn failures_that_come_along_are_kept_with_the_first() {
    let mut job = Job::running(2, fixed_delay(5));
    let attempts = job.attempts();
    job.report_failure(attempts[0], "first");
    job.report_failure(attempts[1], "second");
    assert_eq!(job.scheduler.history().entries().count(), 1);
    assert_eq!(job.states()[1], ExecutionState::Canceled, "it was being cancelled already");
    assert_eq!(job.status(), JobStatus::Restarting);
}

#[test]
fn suspension_ends_everything_here() {
    let mut job = Job::running(2, fixed_delay(5));
    job.scheduler.suspend(&mut job.env);
    assert_eq!(job.status(), JobStatus::Suspended);
    assert!(is_over(&job.scheduler.take_actions()));
}

/// Vertices 0 and 1 are connected, 2 is on its own.
fn two_regions(strategy: RestartStrategyOptions) -> Job {
    let mut env = TestEnvironment { now: 1_000, next_id: 0 };
    let edge = proto::JobEdge { source: 0, target: 1, ..Default::default() };
    let vertices = vec![vertex(1, 2, ""), vertex(2, 2, ""), vertex(3, 2, "")];
    let graph = Arc::new(proto::JobGraph { vertices, edges: vec![edge], name: "test".into(), ..Default::default() });
    let strategy = RestartStrategy::new(strategy);
    let mut scheduler = Scheduler::new(graph, JobId([9; 16]), strategy, ExceptionHistory::new(16), 900, &mut env);
    scheduler.restart_regions();
    let mut job = Job { scheduler, env };
    job.scheduler.start(&mut job.env);
    job.offer(2);
    job.all(ExecutionState::Running);
    job.scheduler.take_actions();
    job
}

#[test]
fn only_the_region_of_a_failed_task_restarts() {
    let mut job = two_regions(fixed_delay(3));
    assert_eq!(job.scheduler.graph.regions, [0, 0, 2]);
    let before = job.attempts();
    job.report_failure(before[0], "boom");
    assert_eq!(job.status(), JobStatus::Restarting);
    let actions = job.scheduler.take_actions();
    let regions = BTreeSet::from([0]);
    assert!(
        actions.iter().any(|action| matches!(action, Action::EndExecution { regions: ended } if *ended == regions))
    );
    for attempt in &before[1..4] {
        job.report(*attempt, ExecutionState::Canceled);
    }
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    let actions = job.scheduler.take_actions();
    assert!(
        actions.iter().any(|action| matches!(action, Action::Deploy { regions: deployed } if *deployed == regions))
    );
    assert_eq!(job.attempts()[4..], before[4..], "the other region goes on");
    assert_eq!(job.states()[4..], [ExecutionState::Running; 2]);
    let deployments = deployments(&job, &regions);
    assert_eq!(deployments.iter().map(|deployment| deployment.tasks.len()).sum::<usize>(), 4);
    assert!(deployments.iter().all(|deployment| deployment.execution == 1));
}

#[test]
fn a_second_region_may_fail_while_the_first_restarts() {
    let mut job = two_regions(fixed_delay(3));
    let before = job.attempts();
    job.report_failure(before[0], "boom");
    job.scheduler.take_actions();
    job.report_failure(before[4], "bang");
    let actions = job.scheduler.take_actions();
    assert!(actions.iter().any(|action| matches!(action, Action::RestartAfter { restart: 2, .. })), "{actions:?}");
    job.all(ExecutionState::Canceled);
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting, "the later wait counts");
    job.scheduler.restart_due(2, &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    assert!(job.attempts().iter().all(|attempt| !before.contains(attempt)));
    assert_eq!(job.scheduler.history().entries().count(), 2);
}

#[test]
fn a_region_that_waits_for_slots_is_scheduled_again_with_one_that_fails_then() {
    let mut job = two_regions(fixed_delay(9));
    let before = job.attempts();
    let lost = FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
    job.report_failure(before[0], "boom");
    job.scheduler.slots.remove(slot("b", 1).allocation);
    for attempt in &before[1..4] {
        job.report(*attempt, ExecutionState::Canceled);
    }
    job.scheduler.restart_due(1, &mut job.env);
    assert_eq!((job.status(), job.states()[0]), (JobStatus::Running, ExecutionState::Scheduled));
    job.scheduler.task_manager_lost("a", 1, lost, &mut job.env);
    assert_eq!(job.status(), JobStatus::Restarting);
    job.all(ExecutionState::Canceled);
    job.scheduler.restart_due(2, &mut job.env);
    assert_eq!(job.states(), [ExecutionState::Scheduled; 6]);
    let offers = vec![slot("c", 7), slot("c", 8)];
    job.take(offers);
    assert_eq!(job.states(), [ExecutionState::Deploying; 6]);
}

#[test]
fn a_new_slot_takes_the_place_of_the_lost_one() {
    let mut job = Job::running(4, fixed_delay(9));
    let place = |job: &Job, s: usize| job.scheduler.graph.vertices[0].subtasks[s].slot.clone().unwrap();
    let before: Vec<_> = (0..4).map(|s| place(&job, s)).collect();
    let lost = FailureInfo::new(failure::TASK_MANAGER_LOST, "gone");
    job.scheduler.task_manager_lost("b", 1, lost, &mut job.env);
    job.all(ExecutionState::Canceled);
    job.scheduler.restart_due(1, &mut job.env);
    job.take(vec![slot("c", 7), slot("c", 8)]);
    for (s, before) in before.iter().enumerate() {
        let now = place(&job, s);
        let kept = before.location.resource_id == "a";
        assert_eq!(now.allocation == before.allocation, kept);
        assert_eq!(now.location.resource_id, if kept { "a" } else { "c" });
    }
}

#[test]
fn after_the_savepoint_that_it_stops_with_a_job_is_not_restarted() {
    let mut job = Job::running(1, fixed_delay(9));
    job.scheduler.stops_with("file:/sp".into(), &mut job.env);
    assert_eq!(job.status(), JobStatus::Running);
    let attempts = job.attempts();
    job.report_failure(attempts[0], "boom");
    assert_eq!(job.status(), JobStatus::Failing);
    let trace = job.scheduler.failure().unwrap().stack_trace();
    assert!(trace.contains("StopWithSavepointStoppingException: A savepoint has been created at: file:/sp"), "{trace}");
}

#[test]
fn a_savepoint_to_stop_with_that_completes_after_a_failure_ends_the_restart() {
    let restarting = |job: &mut Job| job.report_failure(job.attempts()[0], "boom");
    let again = |job: &mut Job| {
        restarting(job);
        job.all(ExecutionState::Canceled);
        job.scheduler.restart_due(1, &mut job.env);
        assert_eq!(job.status(), JobStatus::Running);
    };
    for fails in [&restarting as &dyn Fn(&mut Job), &again] {
        let mut job = Job::running(2, fixed_delay(9));
        fails(&mut job);
        job.scheduler.stops_with("file:/sp".into(), &mut job.env);
        assert!(matches!(job.status(), JobStatus::Failing | JobStatus::Failed), "{}", job.status());
        let trace = job.scheduler.failure().unwrap().stack_trace();
        assert!(trace.contains("created at: file:/sp") && trace.contains("boom"), "{trace}");
        job.all(ExecutionState::Canceled);
        job.scheduler.restart_due(1, &mut job.env);
        assert_eq!(job.status(), JobStatus::Failed);
    }
}

#[test]
fn a_job_that_cannot_be_set_up_fails_without_having_run() {
    let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
    job.scheduler.start_failed(FailureInfo::new(failure::JOB_INITIALIZATION, "no such savepoint"), &mut job.env);
    assert_eq!(job.status(), JobStatus::Failed);
    assert!(is_over(&job.scheduler.take_actions()));
    assert_eq!(job.scheduler.history().entries().count(), 1);
}

/// Failed before registrations were numbered: the large number of a dead process's report was taken for the latest word of its
/// successor, and the job gave the slots of the successor up.
#[test]
fn a_late_word_of_a_dead_process_does_not_touch_the_slots_of_its_successor() {
    let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    let of =
        |registration, version, index| JobSlot { since: ReportNumber { registration, version }, ..slot("a", index) };
    let new = of(4, 2, 0);
    assert_eq!(job.take(vec![new.clone()]), [new.allocation]);
    let number = |registration, version| ReportNumber { registration, version };
    assert!(job.scheduler.not_held("a", number(3, 57), |_| false).is_empty());
    assert!(job.scheduler.not_held("a", number(4, 1), |_| false).is_empty(), "it was offered later");
    assert_eq!(job.scheduler.not_held("a", number(4, 2), |_| false), [new.allocation]);
    assert!(job.scheduler.not_held("a", number(4, 2), |slot| slot == new.allocation).is_empty());
    assert!(job.scheduler.not_held("b", number(4, 2), |_| false).is_empty());
    assert!(job.take(vec![of(3, 56, 1)]).is_empty(), "nor is its offer one");
    // One that came before the successor's first word is gone with it.
    let mut job = Job::new(vec![vertex(1, 2, "")], fixed_delay(9));
    job.scheduler.start(&mut job.env);
    let old = of(3, 56, 1);
    job.take(vec![old.clone()]);
    job.take(vec![new.clone()]);
    let holds = |slot: AllocationId| slot == new.allocation;
    assert_eq!(job.scheduler.not_held("a", number(4, 2), holds), [old.allocation]);
}
