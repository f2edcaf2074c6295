use std::sync::Arc;

use proptest::prelude::*;
use wiesel_common::id::JobId;

use super::*;

/// A source with two subtasks and a sink with one, which are a region, and a vertex by itself.
fn graph() -> ExecutionGraph {
    graph_with(None)
}

/// `alone`: the operator of the last vertex.
fn graph_with(alone: Option<Kind>) -> ExecutionGraph {
    let vertex = |id: u8, parallelism| proto::JobVertex { id: vec![id; 16].into(), parallelism, ..Default::default() };
    let mut vertices = vec![vertex(1, 2), vertex(2, 1), vertex(3, 1)];
    vertices[2].operators = vec![proto::OperatorSpec { kind: alone, ..Default::default() }];
    let edges = vec![proto::JobEdge { source: 0, target: 1, ..Default::default() }];
    let plan = proto::JobGraph { vertices, edges, ..Default::default() };
    let mut next = 0_u128;
    let mut id = move || {
        next += 1;
        AttemptId(next.to_be_bytes())
    };
    let mut graph = ExecutionGraph::new(Arc::new(plan), JobId([9; 16]), 0, &mut id);
    graph.cut_regions();
    graph
}

/// Runs since checkpoint 3, and has taken its part in 5.
fn task(vertex: usize, subtask: usize) -> ReportedTask {
    ReportedTask {
        vertex,
        subtask,
        attempt: AttemptId([(vertex * 8 + subtask) as u8; 16]),
        attempt_number: 1,
        execution: 2,
        restored: 3,
        state: ExecutionState::Running,
        end_of_data: false,
        awaits_checkpoint: false,
        checkpoint: 5,
        events_complete_from: 0,
    }
}

const ALL: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (2, 0)];

fn all() -> Vec<ReportedTask> {
    ALL.map(|(vertex, subtask)| task(vertex, subtask)).to_vec()
}

/// With the last checkpoint 5, in which nothing had finished.
fn decided(reports: &[ReportedTask]) -> [Verdict; 2] {
    decided_with(5, &|_, _| false, reports)
}

fn decided_with(id: u64, finished: &dyn Fn(usize, usize) -> bool, reports: &[ReportedTask]) -> [Verdict; 2] {
    let verdicts = decide(&graph(), LastCheckpoint { id, finished }, reports);
    Vec::from_iter(verdicts.into_values()).try_into().unwrap()
}

fn restarts(verdict: &Verdict) -> &Obstacle {
    match verdict {
        Verdict::Restarts(obstacle) => obstacle,
        Verdict::Adopted(tasks) => panic!("adopted: {tasks:?}"),
    }
}

fn is_adopted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Adopted(_))
}

/// A TaskManager that was thought lost may report what others have replaced, before those are reported.
#[test]
fn all_is_accounted_for_when_each_subtask_is_reported_with_the_newest_execution_or_had_finished() {
    let complete =
        |finished: &dyn Fn(usize, usize) -> bool, reports: &[ReportedTask]| is_complete(&graph(), finished, reports);
    let none = |_: usize, _: usize| false;
    let first = |vertex: usize, subtask: usize| (vertex, subtask) == (0, 0);
    assert!(complete(&none, &all()) && !complete(&none, &all()[1..]) && complete(&first, &all()[1..]));
    let mut replaced = all();
    replaced[1].execution = 1;
    assert!(!complete(&none, &replaced));
    replaced.push(task(0, 1));
    assert!(complete(&none, &replaced));
    let last = last_attempts(&graph(), graph().regions[0], &replaced);
    assert_eq!(last, all()[..3]);
}

#[test]
fn what_runs_is_adopted_and_only_the_region_restarts_that_is_not_whole() {
    let reports = all();
    assert_eq!(decided(&reports), [Verdict::Adopted(reports[..3].to_vec()), Verdict::Adopted(reports[3..].to_vec())]);
    let without = |missing: usize| -> Vec<ReportedTask> {
        let rest = reports.iter().enumerate().filter(|(at, _)| *at != missing);
        rest.map(|(_, report)| report.clone()).collect()
    };
    let [first, second] = decided(&without(1));
    assert_eq!(restarts(&first), &Obstacle::Missing { vertex: 0, subtask: 1 });
    assert!(is_adopted(&second));
    let [first, second] = decided(&without(3));
    assert!(is_adopted(&first));
    assert_eq!(restarts(&second), &Obstacle::Missing { vertex: 2, subtask: 0 });
    assert!(decided(&[]).iter().all(|verdict| !is_adopted(verdict)));
}

#[test]
fn a_region_with_a_task_that_ends_or_has_failed_restarts() {
    for (state, goes_on) in [
        (ExecutionState::Deploying, true),
        (ExecutionState::Initializing, true),
        (ExecutionState::Running, true),
        (ExecutionState::Finished, true),
        (ExecutionState::Canceling, false),
        (ExecutionState::Canceled, false),
        (ExecutionState::Failed, false),
    ] {
        let mut reports = all();
        reports[1].state = state;
        let [first, second] = decided(&reports);
        assert_eq!(is_adopted(&first), goes_on, "{state:?}");
        assert!(is_adopted(&second));
        if !goes_on {
            assert_eq!(restarts(&first), &Obstacle::Ended { attempt: reports[1].attempt, state });
        }
    }
}

/// A restart was under way: what is left of the execution before counts for nothing.
#[test]
fn only_the_newest_execution_counts() {
    let next = |at: usize| {
        let before = task(ALL[at].0, ALL[at].1);
        ReportedTask { attempt: AttemptId([90 + at as u8; 16]), execution: 4, restored: 5, checkpoint: 0, ..before }
    };
    let mut reports = all();
    reports.push(next(2));
    assert_eq!(restarts(&decided(&reports)[0]), &Obstacle::Missing { vertex: 0, subtask: 0 });
    reports.extend([next(0), next(1)]);
    assert_eq!(decided(&reports)[0], Verdict::Adopted(vec![next(0), next(1), next(2)]));
    // The same again is the same; another one cannot be.
    reports.push(next(0));
    assert!(is_adopted(&decided(&reports)[0]));
    reports.push(ReportedTask { attempt: AttemptId([99; 16]), ..next(0) });
    assert_eq!(restarts(&decided(&reports)[0]), &Obstacle::Twice { vertex: 0, subtask: 0 });
}

#[test]
fn tasks_fit_a_checkpoint_that_they_began_with_or_have_taken_part_in() {
    let fits = |checkpoint: u64, restored: u64, taken: u64| {
        let reports = all().into_iter().map(|task| ReportedTask { restored, checkpoint: taken, ..task });
        let verdicts = decided_with(checkpoint, &|_, _| false, &Vec::from_iter(reports));
        verdicts.iter().all(is_adopted)
    };
    assert!(fits(5, 5, 0) && fits(5, 3, 5) && fits(5, 3, 7) && fits(0, 0, 0) && fits(0, 0, 2));
    let mut reports = all();
    reports[1].restored = 2;
    assert!(!is_adopted(&decided(&reports)[0]), "tasks of one execution began with one checkpoint");
    // Of another course of events, or without the checkpoint that they began with.
    assert!(!fits(5, 3, 4) && !fits(5, 3, 0) && !fits(5, 6, 0) && !fits(5, 6, 7) && !fits(0, 3, 5));
}

#[test]
fn a_subtask_that_had_finished_before_the_checkpoint_need_not_be_there() {
    let finished = |vertex: usize, subtask: usize| (vertex, subtask) == (0, 1);
    let mut reports = all();
    let gone = reports.remove(1);
    assert!(is_adopted(&decided_with(5, &finished, &reports)[0]));
    // Its TaskManager may still know of it, and that it took no part.
    let known = ReportedTask { state: ExecutionState::Finished, checkpoint: 4, ..gone.clone() };
    assert!(is_adopted(&decided_with(5, &finished, &[reports.clone(), vec![known]].concat())[0]));
    let running = ReportedTask { checkpoint: 4, ..gone };
    assert!(!is_adopted(&decided_with(5, &finished, &[reports.clone(), vec![running]].concat())[0]));
    // An execution that began with the checkpoint has run it again.
    let began = reports.into_iter().map(|task| ReportedTask { restored: 5, checkpoint: 0, ..task });
    let began = decided_with(5, &finished, &Vec::from_iter(began));
    assert_eq!(restarts(&began[0]), &Obstacle::Missing { vertex: 0, subtask: 1 });
}

#[test]
fn events_that_are_not_known_any_more_count_if_the_checkpoint_lacks_them() {
    for (complete_from, adopted) in [(0, true), (5, true), (6, false)] {
        let mut reports = all();
        reports[0].events_complete_from = complete_from;
        let [first, second] = decided(&reports);
        assert_eq!((is_adopted(&first), is_adopted(&second)), (adopted, true), "{complete_from}");
    }
}

#[test]
fn what_collects_rows_for_a_client_restarts() {
    let graph = graph_with(Some(Kind::CollectSink(proto::CollectSinkSpec::default())));
    let verdicts = decide(&graph, LastCheckpoint { id: 5, finished: &|_, _| false }, &all());
    let [first, second] = [&verdicts[&graph.regions[0]], &verdicts[&graph.regions[2]]];
    assert!(is_adopted(first));
    assert_eq!(restarts(second), &Obstacle::Collects);
}

#[test]
fn a_report_of_no_task_of_the_job_is_refused() {
    let report = proto::TaskReport {
        attempt_id: vec![8; 16].into(),
        attempt_number: 7,
        vertex: 0,
        subtask: 1,
        execution: 2,
        restored_checkpoint_id: 3,
        state: ExecutionState::Finished as i32,
        end_of_data: true,
        awaits_checkpoint: true,
        checkpoint_id: 5,
        events_complete_from: 4,
        ..Default::default()
    };
    let expected = ReportedTask {
        vertex: 0,
        subtask: 1,
        attempt: AttemptId([8; 16]),
        attempt_number: 7,
        execution: 2,
        restored: 3,
        state: ExecutionState::Finished,
        end_of_data: true,
        awaits_checkpoint: true,
        checkpoint: 5,
        events_complete_from: 4,
    };
    assert_eq!(ReportedTask::read(&report, &graph()), Ok(expected));
    for malformed in [
        proto::TaskReport { vertex: 3, ..report.clone() },
        proto::TaskReport { vertex: u32::MAX, ..report.clone() },
        proto::TaskReport { subtask: 2, ..report.clone() },
        proto::TaskReport { state: 99, ..report.clone() },
        proto::TaskReport { attempt_id: vec![8; 15].into(), ..report },
    ] {
        let refused = ReportedTask::read(&malformed, &graph()).unwrap_err().to_string();
        assert!(refused.contains("the job does not have"), "{refused}");
    }
}

proptest! {
    /// Whatever is reported, and in whatever order: what is adopted is whole, of one execution, and goes on.
    #[test]
    fn an_adopted_region_is_whole(
        reports in prop::collection::vec((0..4_usize, 0..3_u32, 3..6_u64, 3..7_u64, 0..3_u8, any::<bool>()), 0..12),
        finished in prop::collection::vec(any::<bool>(), 4),
        seed in any::<u64>(),
    ) {
        let read = |(at, execution, restored, checkpoint, attempt, fails): &(usize, u32, u64, u64, u8, bool)| {
            let state = if *fails { ExecutionState::Failed } else { ExecutionState::Running };
            ReportedTask {
                execution: *execution,
                restored: *restored,
                checkpoint: *checkpoint,
                attempt: AttemptId([*at as u8 * 32 + *execution as u8 * 8 + *attempt; 16]),
                state,
                ..task(ALL[*at].0, ALL[*at].1)
            }
        };
        let reports: Vec<ReportedTask> = reports.iter().map(read).collect();
        let at = |vertex, subtask| ALL.iter().position(|known| *known == (vertex, subtask)).unwrap();
        let has_finished = |vertex: usize, subtask: usize| finished[at(vertex, subtask)];
        let graph = graph();
        let verdicts = decide(&graph, LastCheckpoint { id: 5, finished: &has_finished }, &reports);
        for (region, verdict) in &verdicts {
            let Verdict::Adopted(tasks) = verdict else { continue };
            let executions: BTreeSet<u32> = tasks.iter().map(|task| task.execution).collect();
            prop_assert!(executions.len() <= 1);
            prop_assert!(tasks.iter().all(|task| task.goes_on() && reports.contains(task)));
            let of_region = ALL.into_iter().filter(|(vertex, _)| graph.regions[*vertex] == *region);
            for (vertex, subtask) in of_region {
                let found = tasks.iter().filter(|task| (task.vertex, task.subtask) == (vertex, subtask)).count();
                prop_assert!(found == 1 || found == 0 && has_finished(vertex, subtask));
            }
        }
        // Of each attempt there is one report, or the last one counts: order is no matter among different attempts.
        let attempts: BTreeSet<AttemptId> = reports.iter().map(|report| report.attempt).collect();
        if attempts.len() == reports.len() {
            let mut others = reports.clone();
            let turns = others.len().max(1);
            others.rotate_left((seed % turns as u64) as usize);
            let adopted = |verdicts: BTreeMap<usize, Verdict>| -> Vec<Verdict> {
                verdicts.into_values().filter(is_adopted).collect()
            };
            let again = decide(&graph, LastCheckpoint { id: 5, finished: &has_finished }, &others);
            prop_assert_eq!(adopted(again), adopted(verdicts));
        }
    }
}
