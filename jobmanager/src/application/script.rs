//! A SQL script that the JobManager plans: its statements, the jobs that they make, and the bounds on both.
use prost::Message as _;
use wiesel_proto as proto;
use wiesel_sql::error::Error;
use wiesel_sql::parser::{StatementText, parse_statement, split};
use wiesel_sql::session::{ExecuteOptions, Outcome, Session};

/// The longest statement of one. Its tokens take some hundred times as much.
const MAX_STATEMENT_BYTES: usize = 1 << 20;
/// The most jobs of a script, and the most bytes that they may have as messages.
const MAX_JOBS: usize = 1_000;
const MAX_JOB_BYTES: usize = 64 << 20;

/// Why a script cannot be run, with its name and the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ScriptError(String);

impl ScriptError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A job of a script.
#[derive(Debug)]
pub(crate) struct PlannedJob {
    /// To submit.
    pub(crate) graph: proto::JobGraph,
    /// The next one starts after this one has ended.
    pub(crate) wait: bool,
}

/// The statements of a script, none longer than it may be.
fn statements(name: &str, text: &str) -> Result<Vec<StatementText>, ScriptError> {
    let statements = split(text);
    if let Some(long) = statements.iter().find(|statement| statement.text.len() > MAX_STATEMENT_BYTES) {
        return Err(ScriptError(format!(
            "{name}: the statement at {} has {} bytes, of at most {MAX_STATEMENT_BYTES}. Read rows that it contains from a file.",
            long.location,
            long.text.len()
        )));
    }
    Ok(statements)
}

/// Whether all that a script says can be read. One statement after the other: read, they take far more than their text.
pub(crate) fn check(name: &str, text: &str) -> Result<(), ScriptError> {
    let statements = statements(name, text)?;
    if statements.is_empty() {
        return Err(ScriptError(format!("{name} contains no SQL statement.")));
    }
    for statement in &statements {
        parse_statement(statement).map_err(|error| ScriptError(format!("{name}: {error}")))?;
    }
    Ok(())
}

/// All jobs of a script, of which there may be none, planned before any is started. Belongs on a deep stack.
pub(crate) fn plan(name: &str, text: &str, mut session: Session) -> Result<Vec<PlannedJob>, ScriptError> {
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    for text in statements(name, text)? {
        let wrong = |error: Error| {
            ScriptError(match error {
                Error::Abandoned(_) => format!("{name}: {error} It had come to the statement at {}.", text.location),
                error => format!("{name}: {error}"),
            })
        };
        let statement = parse_statement(&text).map_err(wrong)?;
        match session.execute(&statement, &ExecuteOptions::default()).map_err(wrong)? {
            Outcome::Done | Outcome::Rows { .. } | Outcome::ShowJobs | Outcome::DescribeJob(_) => {}
            Outcome::StopJob(_) => {
                return Err(ScriptError(format!(
                    "{name}: STOP JOB at {} cannot be part of a script that the JobManager plans: use bin/flink stop or sql-client.sh.",
                    statement.location
                )));
            }
            Outcome::Insert(_) if jobs.len() >= MAX_JOBS => {
                return Err(ScriptError(format!(
                    "{name}: it has more than {MAX_JOBS} jobs, the next one at {}. Put INSERTs into statement sets (EXECUTE \
                     STATEMENT SET BEGIN … END), each of which is one job, or split the script.",
                    statement.location
                )));
            }
            Outcome::Insert(job) => {
                bytes += job.graph.encoded_len();
                if bytes > MAX_JOB_BYTES {
                    return Err(ScriptError(format!(
                        "{name}: its jobs, up to the one at {}, have {bytes} bytes, of at most {MAX_JOB_BYTES}: split the script.",
                        statement.location
                    )));
                }
                jobs.push(PlannedJob { graph: job.graph, wait: job.wait });
            }
            Outcome::Query(_) => {
                return Err(ScriptError(format!(
                    "{name}: the rows of the query at {} would be shown to no client: write them to a table with INSERT INTO, or \
                     run the script with sql-client.sh -f.",
                    statement.location
                )));
            }
        }
    }
    Ok(jobs)
}

/// The jobs of a script that is run for their sake.
pub(crate) fn some_jobs(name: &str, jobs: Vec<PlannedJob>) -> Result<Vec<PlannedJob>, ScriptError> {
    match jobs.is_empty() {
        true => {
            Err(ScriptError(format!("{name} contains no INSERT INTO and no statement set: there is no job to run.")))
        }
        false => Ok(jobs),
    }
}

/// The only job of a script: what concerns one job (`what`) means none of several.
pub(crate) fn only_job<'a>(jobs: &'a mut [PlannedJob], what: &str) -> Result<&'a mut PlannedJob, ScriptError> {
    match jobs {
        [job] => Ok(job),
        _ => Err(ScriptError(format!("{what} can be given only to a script with one job; this one has several."))),
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::config::Configuration;
    use wiesel_common::time::{Clock, SystemClock};
    use wiesel_expressions::expression::Zone;
    use wiesel_sql::while_wanted;

    use super::*;

    #[test]
    fn a_script_has_a_number_of_jobs_and_a_statement_a_size() {
        let long = format!("SELECT 1;\nSELECT '{}';", "x".repeat(MAX_STATEMENT_BYTES));
        let refused = check("a.sql", &long).unwrap_err().to_string();
        assert!(refused.contains("the statement at line 2, column 1 has 1048585 bytes"), "{refused}");
        let script = |jobs: usize| {
            let tables = "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');\n";
            format!("{tables}{}SET 'a' = 'b';", "INSERT INTO t VALUES (1);\n".repeat(jobs))
        };
        let plan = |jobs| plan("a.sql", &script(jobs), Session::new(Configuration::default()));
        assert_eq!(plan(3).map(|jobs| jobs.len()).unwrap(), 3);
        let refused = plan(MAX_JOBS + 1).unwrap_err().to_string();
        assert!(refused.contains("more than 1000 jobs, the next one at line 1002, column 1"), "{refused}");
    }

    /// Before, each SET copied the whole configuration, and this took longer than a script may.
    #[test]
    fn many_settings_are_planned_in_the_time_of_a_script() {
        let settings: String = (0..20_000).map(|n| format!("SET 'k{n}'='v';\n")).collect();
        let tables = "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');\n";
        let script = format!("{settings}{tables}INSERT INTO t VALUES (1);");
        let begun = SystemClock.monotonic_millis();
        let in_time = move || match SystemClock.monotonic_millis() - begun {
            ..=60_000 => Ok(()),
            _ => Err("it takes more than a minute".to_owned()),
        };
        let session = Session::new(Configuration::default());
        let jobs = while_wanted(in_time, || plan("a.sql", &script, session)).unwrap();
        assert!(jobs[0].graph.configuration.len() >= 20_000);
    }

    /// Before, a script was planned in the JobManager's time zone, whoever had it run.
    #[test]
    fn a_script_is_planned_in_the_time_zone_of_its_session() {
        let tokyo = Zone::parse("Asia/Tokyo").unwrap();
        let planned = |set: &str| {
            let script = format!(
                "{set}CREATE TABLE t (a STRING) WITH ('connector' = 'blackhole');
                 INSERT INTO t SELECT CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING);"
            );
            let jobs = plan("a.sql", &script, Session::in_zone(Configuration::default(), tokyo)).unwrap();
            jobs[0].graph.configuration["table.local-time-zone"].clone()
        };
        assert_eq!(planned(""), "Asia/Tokyo");
        assert_eq!(planned("SET 'table.local-time-zone' = 'default';"), "Asia/Tokyo");
        assert_eq!(planned("SET 'table.local-time-zone' = 'Europe/Berlin';"), "Europe/Berlin");
    }

    #[test]
    fn a_script_may_have_to_have_jobs_or_only_one() {
        let script = |inserts: usize| {
            format!(
                "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');{}",
                "INSERT INTO t VALUES (1);".repeat(inserts)
            )
        };
        let planned = |inserts| plan("a.sql", &script(inserts), Session::new(Configuration::default())).unwrap();
        assert!(some_jobs("a.sql", planned(1)).is_ok());
        let refused = some_jobs("a.sql", planned(0)).unwrap_err().to_string();
        assert_eq!(refused, "a.sql contains no INSERT INTO and no statement set: there is no job to run.");
        assert!(only_job(&mut planned(1), "A savepoint").is_ok());
        let refused = only_job(&mut planned(2), "A savepoint").unwrap_err().to_string();
        assert_eq!(refused, "A savepoint can be given only to a script with one job; this one has several.");
    }
}
