//! Counters of tasks, and their distribution over subtasks.
use serde_json::{Map, Value, json};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use crate::jobmaster::execution_graph::{EXECUTION_STATES, Execution, is_terminal};

/// The states whose durations are shown.
const TIMED_STATES: [ExecutionState; 5] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
];

/// `IOMetrics` of some attempts together.
pub(super) fn io_metrics<'a>(tasks: impl Iterator<Item = &'a Execution>) -> Value {
    let mut sum = proto::TaskMetrics::default();
    for task in tasks {
        // What a task says of itself may be any number.
        let metrics = &task.metrics;
        sum.records_in = sum.records_in.saturating_add(metrics.records_in);
        sum.records_out = sum.records_out.saturating_add(metrics.records_out);
        sum.bytes_in = sum.bytes_in.saturating_add(metrics.bytes_in);
        sum.bytes_out = sum.bytes_out.saturating_add(metrics.bytes_out);
        sum.busy_ms = sum.busy_ms.saturating_add(metrics.busy_ms);
        sum.idle_ms = sum.idle_ms.saturating_add(metrics.idle_ms);
        sum.back_pressured_ms = sum.back_pressured_ms.saturating_add(metrics.back_pressured_ms);
    }
    json!({
        "read-bytes": sum.bytes_in,
        "read-bytes-complete": true,
        "write-bytes": sum.bytes_out,
        "write-bytes-complete": true,
        "read-records": sum.records_in,
        "read-records-complete": true,
        "write-records": sum.records_out,
        "write-records-complete": true,
        "accumulated-backpressured-time": sum.back_pressured_ms,
        "accumulated-idle-time": sum.idle_ms,
        "accumulated-busy-time": sum.busy_ms as f64,
    })
}

/// How many attempts are in each state, by its name.
pub(super) fn state_counts<'a>(states: impl Iterator<Item = &'a ExecutionState>) -> Value {
    let mut counts = [0_u64; EXECUTION_STATES.len()];
    for state in states {
        counts[*state as usize] += 1;
    }
    Value::Object(named(|state| json!(counts[state as usize])))
}

/// A value for each state, by its name.
pub(super) fn named(value: impl Fn(ExecutionState) -> Value) -> Map<String, Value> {
    EXECUTION_STATES.iter().map(|state| (state.as_str_name().to_owned(), value(*state))).collect()
}

/// Milliseconds an attempt spent in a state until it left it or now; -1: never entered.
fn status_duration(task: &Execution, position: usize, now: i64) -> i64 {
    let begin = task.timestamp(TIMED_STATES[position]);
    if begin == 0 {
        return -1;
    }
    let later = TIMED_STATES[position + 1..].iter().map(|state| task.timestamp(*state)).find(|time| *time > 0);
    let left = later.or_else(|| is_terminal(task.state).then(|| task.end_time()));
    (left.unwrap_or(now) - begin).max(0)
}

/// `status-duration` of one attempt.
pub(super) fn status_durations(task: &Execution, now: i64) -> Value {
    let durations = TIMED_STATES
        .iter()
        .enumerate()
        .map(|(position, state)| (state.as_str_name().to_owned(), json!(status_duration(task, position, now))));
    Value::Object(durations.collect())
}

/// `aggregated` of some attempts.
pub(super) fn aggregated(tasks: &[&Execution], now: i64) -> Value {
    let metric = |value: fn(&proto::TaskMetrics) -> u64| {
        distribution(tasks.iter().map(|task| i64::try_from(value(&task.metrics)).unwrap_or(i64::MAX)).collect())
    };
    let durations: Map<String, Value> = TIMED_STATES
        .iter()
        .enumerate()
        .map(|(position, state)| {
            let values = tasks.iter().map(|task| status_duration(task, position, now)).collect();
            (state.as_str_name().to_owned(), distribution(values))
        })
        .collect();
    json!({
        "metrics": {
            "read-bytes": metric(|metrics| metrics.bytes_in),
            "write-bytes": metric(|metrics| metrics.bytes_out),
            "read-records": metric(|metrics| metrics.records_in),
            "write-records": metric(|metrics| metrics.records_out),
            "accumulated-backpressured-time": metric(|metrics| metrics.back_pressured_ms),
            "accumulated-idle-time": metric(|metrics| metrics.idle_ms),
            "accumulated-busy-time": metric(|metrics| metrics.busy_ms),
        },
        "status-duration": durations,
    })
}

fn distribution(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let sum: i128 = values.iter().copied().map(i128::from).sum();
    let average = sum.checked_div(values.len() as i128).unwrap_or(0);
    json!({
        "min": values.first().copied().unwrap_or(0),
        "max": values.last().copied().unwrap_or(0),
        "avg": i64::try_from(average).unwrap_or(i64::MAX),
        "sum": i64::try_from(sum).unwrap_or(i64::MAX),
        "median": percentile(&values, 0.5),
        "p25": percentile(&values, 0.25),
        "p75": percentile(&values, 0.75),
        "p95": percentile(&values, 0.95),
    })
}

/// Between neighbours at rank p (n + 1), as Flink computes it.
fn percentile(sorted: &[i64], p: f64) -> i64 {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return 0 };
    let rank = p * (sorted.len() as f64 + 1.0);
    if rank < 1.0 {
        return *first;
    }
    if rank >= sorted.len() as f64 {
        return *last;
    }
    let below = rank.floor() as usize;
    let (low, high) = (sorted[below - 1] as f64, sorted[below] as f64);
    (low + (rank - rank.floor()) * (high - low)) as i64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wiesel_common::id::{AttemptId, JobId};

    use super::*;
    use crate::jobmaster::execution_graph::ExecutionGraph;

    #[test]
    fn a_distribution_is_flinks() {
        assert_eq!(
            distribution(vec![71_386, 71_293]),
            json!({
                "p25": 71293, "min": 71293, "avg": 71339, "median": 71339,
                "max": 71386, "sum": 142_679, "p95": 71386, "p75": 71386
            })
        );
        assert_eq!(distribution(Vec::new())["max"], 0);
    }

    /// Before, the sum overflowed, and the answer to the request was empty.
    #[test]
    fn counters_of_any_size_are_shown() {
        let largest = distribution(vec![i64::MAX, i64::MAX]);
        assert_eq!((&largest["sum"], &largest["avg"]), (&json!(i64::MAX), &json!(i64::MAX)));
        let most = u64::MAX;
        let metrics = proto::TaskMetrics {
            records_in: most,
            records_out: most,
            bytes_in: most,
            bytes_out: most,
            busy_ms: most,
            idle_ms: most,
            back_pressured_ms: most,
            watermark: i64::MAX,
        };
        let vertex = proto::JobVertex { id: vec![1; 16].into(), parallelism: 2, ..Default::default() };
        let graph = proto::JobGraph { vertices: vec![vertex], ..Default::default() };
        let mut next = 0;
        let mut new_id = || {
            next += 1;
            AttemptId([next; 16])
        };
        let graph = ExecutionGraph::new(Arc::new(graph), JobId([9; 16]), 0, &mut new_id);
        let mut tasks = graph.vertices[0].subtasks.clone();
        for task in &mut tasks {
            task.metrics = metrics;
        }
        let tasks: Vec<&Execution> = tasks.iter().collect();
        let sums = io_metrics(tasks.iter().copied());
        assert_eq!((&sums["read-bytes"], &sums["accumulated-idle-time"]), (&json!(most), &json!(most)));
        assert_eq!(aggregated(&tasks, 1_000)["metrics"]["read-bytes"]["sum"], json!(i64::MAX));
    }
}
