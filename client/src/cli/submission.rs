//! A script that was submitted and has no answer yet: which jobs it has, what may have become of them, and what a signal that
//! ends the client says of that. It cancels the jobs that are tied to the client.
use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::SignalKind;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::job::DML_SYNC;
use wiesel_common::id::JobId;
use wiesel_common::spawn;
use wiesel_sql::ast::{LocatedStatement, Statement};
use wiesel_sql::{on_deep_stack, parser};

use super::Failure;
use crate::rest::{RestClient, perhaps_run};
use crate::termination::{cancel_tied, coming, heeded};

/// What is said if a signal ends the process now.
static PERHAPS: Mutex<Option<String>> = Mutex::new(None);

/// The jobs of a script, as far as a client knows them that does not plan it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScriptJobs {
    count: usize,
    /// It sets `table.dml-sync`, to something else than false.
    sets_sync: bool,
}

impl ScriptJobs {
    /// Of what is no statement the JobManager says so.
    pub fn of(script: &str) -> Result<Self, Failure> {
        let statements = || parser::split(script).into_iter().filter_map(|text| parser::parse_statement(&text).ok());
        let jobs = on_deep_stack(|| {
            let mut jobs = Self::default();
            statements().for_each(|statement| jobs.add(&statement));
            jobs
        });
        jobs.map_err(|error| anyhow::anyhow!("cannot read the script: {error}"))
    }

    fn add(&mut self, statement: &LocatedStatement) {
        match &statement.statement {
            Statement::Insert(_) | Statement::StatementSet(_) => self.count += 1,
            Statement::Set(Some((key, Some(value)))) if key == DML_SYNC.key() => self.sets_sync |= may_be_true(value),
            _ => {}
        }
    }

    /// The id of the only job: the JobManager takes one from the client, which so knows the job though it has no answer.
    pub fn only_id(&self) -> Option<JobId> {
        (self.count == 1).then(JobId::random)
    }

    /// Whether the answer may take any time, because a job ends before the next one starts.
    pub async fn wait_for_each_other(
        &self,
        client: &RestClient,
        configuration: &Configuration,
    ) -> Result<bool, Failure> {
        if self.count < 2 || self.sets_sync {
            return Ok(self.count > 1);
        }
        if configuration.contains(&DML_SYNC) {
            return Ok(configuration.get(&DML_SYNC)?);
        }
        let sync = client.configured(DML_SYNC.key()).await?;
        Ok(sync.is_some_and(|sync| may_be_true(&sync)))
    }
}

fn may_be_true(value: &str) -> bool {
    !value.trim().eq_ignore_ascii_case("false")
}

/// A submission without an answer, as long as this is kept.
pub(super) struct Unanswered;

impl Unanswered {
    /// Before it is sent. `job`: the only one of the script, if it has an id.
    pub fn new(job: Option<JobId>) -> Self {
        *PERHAPS.lock().unwrap_or_else(PoisonError::into_inner) = Some(perhaps_run(job));
        Self
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        *PERHAPS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP end the process as they do by themselves, but not before the jobs that are tied to it
/// are cancelled and it is said what may have been submitted. A thread of its own does so: the main thread may stand in a write
/// that is not read.
pub(super) fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (interrupt, terminate, hang_up) = {
        let _entered = runtime.enter();
        (heeded(SignalKind::interrupt())?, heeded(SignalKind::terminate())?, heeded(SignalKind::hangup())?)
    };
    let watch = move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                () = coming(interrupt) => SignalKind::interrupt(),
                () = coming(terminate) => SignalKind::terminate(),
                () = coming(hang_up) => SignalKind::hangup(),
            }
        });
        runtime.block_on(cancel_tied());
        if let Some(perhaps) = PERHAPS.lock().unwrap_or_else(PoisonError::into_inner).take() {
            eprintln!("{perhaps}");
        }
        // Ended by a signal, not with its number as a status: a shell that runs one command after the other ends as well then.
        let _ = signal_hook::low_level::emulate_default_handler(kind.as_raw_value());
        std::process::exit(128 + kind.as_raw_value());
    };
    spawn::thread("signals", watch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_of_a_script_are_counted_before_it_is_planned() {
        const INSERT: &str = "INSERT INTO t SELECT 1;\n";
        const SET: &str = "EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; INSERT INTO t SELECT 2; END;\n";
        let jobs = |script: &str| ScriptJobs::of(script).unwrap();
        for (script, count) in [
            (String::new(), 0),
            (format!("-- INSERT\nEXPLAIN {INSERT}/* one */ {INSERT}no statement;"), 1),
            (SET.to_owned(), 1),
            (format!("BEGIN STATEMENT SET;\n{INSERT}{INSERT}END;"), 1),
            (format!("EXECUTE {INSERT}{SET}"), 2),
        ] {
            assert_eq!(jobs(&script), ScriptJobs { count, sets_sync: false }, "{script}");
            assert_eq!(jobs(&script).only_id().is_some(), count == 1, "{script}");
        }
        assert!(jobs("SET 'table.dml-sync' = 'true';").sets_sync);
        assert!(!jobs("SET 'table.dml-sync' = 'FALSE'; SET 'a' = 'true';").sets_sync);
    }

    /// The JobManager is asked only where nobody else says it: there is none here.
    #[tokio::test]
    async fn jobs_wait_for_each_other_only_where_there_are_several() {
        let client = RestClient::new("127.0.0.1", 1);
        let configuration = |sync: Option<&str>| {
            sync.into_iter().map(|sync| (DML_SYNC.key().to_owned(), sync.to_owned())).collect::<Configuration>()
        };
        for (count, sets_sync, configured, wait) in [
            (1, true, Some("true"), Some(false)),
            (1, false, None, Some(false)),
            (2, true, Some("false"), Some(true)),
            (2, false, Some("true"), Some(true)),
            (2, false, Some("false"), Some(false)),
            (2, false, None, None),
        ] {
            let jobs = ScriptJobs { count, sets_sync };
            assert_eq!(jobs.wait_for_each_other(&client, &configuration(configured)).await.ok(), wait, "{jobs:?}");
        }
    }
}
