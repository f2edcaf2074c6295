//! What a client says of its configuration.
use wiesel_common::config::{Configuration, KeyProblem};
use wiesel_sql::session::is_of_processes;

/// Says on the console what is doubtful about keys.
pub(super) fn warn_of(problems: &[KeyProblem]) {
    for problem in problems {
        eprintln!("[WARNING] {problem}");
    }
}

/// Says on the console what is doubtful about the keys of a configuration. `given`: with `-D`. `makes_jobs`: the configuration goes
/// with jobs.
pub(crate) fn warn_of_keys(configuration: &Configuration, given: &[(String, String)], makes_jobs: bool) {
    let (told, others) = divide(configuration.key_problems(), given, makes_jobs);
    match others.len() {
        0 | 1 => warn_of(&[told, others].concat()),
        count => {
            warn_of(&told);
            eprintln!(
                "[WARNING] {count} keys of the configuration are deprecated or have no effect: the logs of the processes \
                 name them"
            );
        }
    }
}

/// What each call tells, and what it sums up: all processes share the file and name such keys in their logs.
fn divide(
    problems: Vec<KeyProblem>,
    given: &[(String, String)],
    makes_jobs: bool,
) -> (Vec<KeyProblem>, Vec<KeyProblem>) {
    let is_given = |key: &str| given.iter().any(|(known, _)| known == key);
    let misses_jobs = |problem: &KeyProblem| makes_jobs && problem.has_no_effect() && !is_of_processes(problem.key());
    problems.into_iter().partition(|problem| problem.may_be_slip() || is_given(problem.key()) || misses_jobs(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: with the configuration of a Flink cluster each `flink list` printed a line for each such key.
    #[test]
    fn what_the_logs_tell_of_a_file_is_summed_up() {
        let keys =
            ["env.java.opts.all", "metrics.reporters", "rest.prot", "state.backend", "table.exec.mini-batch.enabled"];
        let configuration: Configuration = keys.into_iter().map(|key| (key.to_owned(), "1".to_owned())).collect();
        let told = |given: &[&str], makes_jobs| {
            let given: Vec<_> = given.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
            let (told, others) = divide(configuration.key_problems(), &given, makes_jobs);
            assert_eq!(told.len() + others.len(), keys.len(), "none is left out");
            told.iter().map(|problem| problem.key().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&[], false), ["rest.prot"]);
        assert_eq!(told(&[], true), ["rest.prot", "table.exec.mini-batch.enabled"]);
        assert_eq!(
            told(&["metrics.reporters", "state.backend"], false),
            ["metrics.reporters", "rest.prot", "state.backend"]
        );
    }
}
