//! Fault points: named places at which a test may have this process killed, held up or failed.
//!
//! They exist with the cargo feature `fault-points`, which the member `tests` switches on: builds for development and tests
//! have it, a release (`make dist`) is built without. Without the feature both functions are empty.
//!
//! `WIESEL_FAULT_POINTS` names what happens, rules separated by `;`: `NAME=ACTION[@N]`, where the action is `kill` (as
//! `kill -9` would), `pause:MILLISECONDS` or `error`. It happens when the point is passed for the N-th time (default 1),
//! with `@N+` each time from then on, with `@N..M` up to the M-th time. `NAME=limit:COUNT` lowers a [`limit`].
//!
//! ```text
//! WIESEL_FAULT_POINTS='checkpoint.before-ack=kill@3;sink.before-commit=pause:500@1+'
//! ```
//!
//! | point | where |
//! | --- | --- |
//! | `checkpoint.before-trigger` | coordinators have handed over their state and hold back their events, no task knows of the checkpoint |
//! | `checkpoint.before-release` | tasks at which the checkpoint begins know of it, coordinators hold back their events still |
//! | `checkpoint.before-barrier` | a task has its trigger or all barriers, and has passed none on |
//! | `checkpoint.before-ack` | a task's state is written, the JobManager does not know |
//! | `checkpoint.before-metadata` | all tasks have acknowledged, `_metadata` is not written |
//! | `checkpoint.after-metadata` | `_metadata` is written, no task was notified |
//! | `checkpoint.before-pointer-answer` | the pointer of a checkpoint is in the job's record, the JobMaster does not know |
//! | `checkpoint.before-notify` | the JobManager is about to tell the tasks that a checkpoint is complete |
//! | `sink.write` | a sink that commits in two phases has a batch and has written none of it |
//! | `sink.before-commit` | a sink knows that its checkpoint is complete and has committed nothing |
//! | `sink.between-commits` | a filesystem sink has committed one file of several |
//! | `sink.after-commits` | it has committed all files, and nothing was said of their partitions |
//! | `sink.before-success-file` | a partition is complete, and the file that says so is not written |
//! | `source.poll` | a source task is about to ask its reader for rows; counted for each task |
//! | `source.rows` | limit: how many rows a reader gives at once |
//! | `restore.before-open` | a task has been deployed with state and has not opened its operators |
//! | `restore.between-parts` | a part of a table of a former encoding was written anew, and the next one is not |
//! | `restore.part` | limit: how many entries such a part has |
//! | `checkpoint.before-discard` | checkpoints that others have replaced, or that failed, are about to be deleted |
//! | `coordinator.before-send` | a coordinator's event is about to be sent to a subtask |
//! | `coordinator.after-send` | the subtask has answered, or the call failed, and the coordinator does not know |
//! | `deployment.between-calls` | a TaskManager has taken the tasks of one call, and others may be to come |
//! | `restart.before-number` | a restart is decided, the number of its execution is not in the job's record, no task is cancelled |
//! | `restart.after-number` | it is in the record, and no task is cancelled |
//! | `cancel.before-record` | a cancellation was asked for, and is not in the job's record |
//! | `cancel.after-record` | it is in the record, and no task is cancelled |
//! | `fail.after-record` | the job fails for good, its cause is in the job's record, and no task is cancelled |
//! | `stop.after-record` | the savepoint that the job stops with is in the job's record, and no task was told |
//! | `result.before-record` | all tasks have ended, and the job's result is not in its record |
//! | `result.after-record` | the result of a job is recorded by itself, and the job's record is not deleted |
//! | `claim.before-mark` | a job is about to claim a checkpoint, and its mark is not written |
//! | `claim.after-mark` | the mark is written, and the job has not looked at what it owns |

/// An error on purpose.
#[derive(Debug, thiserror::Error)]
#[error("fault point {0}: an error on purpose")]
pub struct Injected(String);

/// Passes a point that may kill or hold up the process.
#[inline(always)]
pub fn point(name: &'static str) {
    #[cfg(feature = "fault-points")]
    if points::pass(name).is_err() {
        tracing::warn!(point = name, "this fault point cannot fail, only kill or pause");
    }
    #[cfg(not(feature = "fault-points"))]
    let _ = name;
}

/// Passes a point that may also fail.
///
/// # Errors
/// When a rule says so.
#[inline(always)]
pub fn fallible(name: &'static str) -> Result<(), Injected> {
    #[cfg(feature = "fault-points")]
    return points::pass(name);
    #[cfg(not(feature = "fault-points"))]
    {
        let _ = name;
        Ok(())
    }
}

/// A limit that a test may lower.
#[inline(always)]
pub fn limit(name: &'static str, normal: usize) -> usize {
    #[cfg(feature = "fault-points")]
    return points::limit(name).map_or(normal, |limit| limit.min(normal));
    #[cfg(not(feature = "fault-points"))]
    {
        let _ = name;
        normal
    }
}

/// Passes counted on their own, for a point that each task passes.
#[derive(Debug, Default)]
pub struct Passes {
    #[cfg(feature = "fault-points")]
    passed: u64,
}

impl Passes {
    /// As [`point`], with this count.
    #[inline(always)]
    pub fn point(&mut self, name: &'static str) {
        #[cfg(feature = "fault-points")]
        {
            self.passed += 1;
            points::pass_nth(name, self.passed);
        }
        #[cfg(not(feature = "fault-points"))]
        let _ = name;
    }
}

#[cfg(feature = "fault-points")]
mod points {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::Injected;

    /// The environment's rules.
    const RULES: &str = "WIESEL_FAULT_POINTS";

    #[derive(Debug, PartialEq, Eq)]
    enum Action {
        Kill,
        Pause(Duration),
        Error,
        Limit(usize),
    }

    #[derive(Debug)]
    struct Rule {
        name: String,
        action: Action,
        first: u64,
        last: u64,
        passed: AtomicU64,
    }

    impl Rule {
        fn parse(text: &str) -> Option<Self> {
            let (name, rest) = text.trim().split_once('=')?;
            let (action, count) = rest.split_once('@').unwrap_or((rest, "1"));
            let action = match action.split_once(':') {
                Some(("pause", millis)) => Action::Pause(Duration::from_millis(millis.parse().ok()?)),
                Some(("limit", count)) => Action::Limit(count.parse().ok()?),
                None if action == "kill" => Action::Kill,
                None if action == "error" => Action::Error,
                _ => return None,
            };
            let (first, last) = match (count.strip_suffix('+'), count.split_once("..")) {
                (Some(first), _) => (first.parse().ok()?, u64::MAX),
                (None, Some((first, last))) => (first.parse().ok()?, last.parse().ok()?),
                (None, None) => (count.parse().ok()?, count.parse().ok()?),
            };
            Some(Self { name: name.to_owned(), action, first, last, passed: AtomicU64::new(0) })
        }

        fn next_pass(&self) -> u64 {
            self.passed.fetch_add(1, Ordering::Relaxed) + 1
        }

        fn is_due(&self, pass: u64) -> bool {
            (self.first..=self.last).contains(&pass)
        }
    }

    fn parse(text: &str) -> Vec<Rule> {
        let rules = text.split(';').filter(|rule| !rule.trim().is_empty());
        rules.map(|rule| Rule::parse(rule).unwrap_or_else(|| panic!("{RULES}: `{rule}` is no rule"))).collect()
    }

    fn plan() -> &'static [Rule] {
        static PLAN: OnceLock<Vec<Rule>> = OnceLock::new();
        PLAN.get_or_init(|| parse(&std::env::var(RULES).unwrap_or_default()))
    }

    pub(super) fn pass(name: &str) -> Result<(), Injected> {
        apply(plan(), name)
    }

    /// Nothing fails here: an error would have nowhere to go.
    pub(super) fn pass_nth(name: &str, pass: u64) {
        for rule in plan().iter().filter(|rule| rule.name == name && rule.is_due(pass)) {
            let _ = rule.act();
        }
    }

    pub(super) fn limit(name: &str) -> Option<usize> {
        plan().iter().find_map(|rule| match rule.action {
            Action::Limit(limit) if rule.name == name => Some(limit),
            _ => None,
        })
    }

    fn apply(rules: &[Rule], name: &str) -> Result<(), Injected> {
        for rule in rules.iter().filter(|rule| rule.name == name) {
            if rule.is_due(rule.next_pass()) {
                tracing::warn!(point = name, action = ?rule.action, "fault point");
                rule.act()?;
            }
        }
        Ok(())
    }

    impl Rule {
        fn act(&self) -> Result<(), Injected> {
            match self.action {
                Action::Kill => kill(),
                Action::Pause(pause) => std::thread::sleep(pause),
                Action::Error => return Err(Injected(self.name.clone())),
                Action::Limit(_) => {}
            }
            Ok(())
        }
    }

    fn kill() {
        // A process may always send itself a signal; nothing runs after this one.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn rules_take_effect_at_their_pass() {
            let rules = parse("a=error@2; b=error@2+ ;c=pause:0;d=error@2..3;l=limit:3");
            let failed = |name: &str| (0..4).map(|_| apply(&rules, name).is_err()).collect::<Vec<_>>();
            assert_eq!(failed("a"), [false, true, false, false]);
            assert_eq!(failed("b"), [false, true, true, true]);
            assert_eq!(failed("c"), [false; 4]);
            assert_eq!(failed("d"), [false, true, true, false]);
            assert_eq!(failed("l"), [false; 4]);
            assert_eq!(failed("e"), [false; 4]);
            assert_eq!(rules[4].action, Action::Limit(3));
            assert_eq!(parse("x=kill@7")[0].action, Action::Kill);
            for wrong in
                ["a", "a=", "a=stop", "a=pause", "a=pause:x", "a=error@x", "a=error@", "a=error@1..", "a=limit:x"]
            {
                assert!(Rule::parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
