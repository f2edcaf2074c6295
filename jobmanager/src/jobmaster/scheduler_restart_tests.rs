//! Jobs that fail again and again.
use super::*;
use crate::jobmaster::failure_log::FailureLog;

/// What was left out before each line, by kind of line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    tasks: Vec<u64>,
    restarts: Vec<u64>,
}

impl Job {
    /// It fails so often for this reason, each time 4 ms after it runs again.
    fn fails(&mut self, log: &FailureLog, message: &str, times: usize) -> Lines {
        let mut lines = Lines::default();
        for _ in 0..times {
            self.env.now += 4;
            let attempts = self.attempts();
            let failure = FailureInfo::new("java.lang.ArithmeticException", message);
            lines.tasks.extend(log.task("vertex 1 (1/1)", &failure, self.env.now));
            self.report_failure(attempts[0], message);
            self.report(attempts[1], ExecutionState::Canceled);
            for action in self.scheduler.take_actions() {
                if let Action::RestartAfter { delay, restart } = action {
                    assert_eq!(delay, Duration::ZERO);
                    let cause = self.scheduler.history().entries().next().unwrap().failure.stack_trace();
                    lines.restarts.extend(log.restart(&cause, self.env.now));
                    self.scheduler.restart_due(restart, &mut self.env);
                }
            }
            self.all(ExecutionState::Running);
            self.scheduler.take_actions();
            assert_eq!(self.states(), [ExecutionState::Running; 2]);
        }
        lines
    }
}

/// Before, each restart was two lines with the whole failure: 290 KB a second.
#[test]
fn a_failure_that_comes_again_is_logged_now_and_then_and_is_in_the_history() {
    let at_once = RestartStrategyOptions::FixedDelay { attempts: u32::MAX, delay: Duration::ZERO };
    let mut job = Job::running(1, at_once);
    let log = FailureLog::default();
    // For 12 s: ten lines at once, and ten after 10 s.
    let lines = job.fails(&log, "/ by zero", 3_000);
    let shown = [vec![0; 10], vec![2_490], vec![0; 9]].concat();
    assert_eq!(lines, Lines { tasks: shown.clone(), restarts: shown });
    // Another one is news.
    let lines = job.fails(&log, "overflow", 2);
    assert_eq!(lines, Lines { tasks: vec![490, 0], restarts: vec![490, 0] });
    // Many that differ are not all in the log, but all the same counted.
    let lines = (0..1_000)
        .map(|row| job.fails(&log, &format!("row {row}"), 1))
        .fold(0, |all, lines| all + lines.restarts.len());
    assert_eq!(lines, 8, "ten in ten seconds");
    let shown: Vec<&str> = job.scheduler.history().entries().map(|entry| entry.failure.message.as_str()).collect();
    assert_eq!((shown.len(), shown[0], shown[15]), (16, "row 999", "row 984"));
}

#[test]
fn a_job_that_takes_its_time_is_logged_each_time() {
    let log = FailureLog::default();
    let restarts: Vec<u64> = (0..5).filter_map(|restart| log.restart("/ by zero", restart * 10_000)).collect();
    assert_eq!(restarts, [0; 5]);
    let restores = (0..13).filter_map(|restart| log.restore("file:/a/chk-7", restart / 12 * 10_000));
    assert_eq!(restores.collect::<Vec<u64>>(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
}
