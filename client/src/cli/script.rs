//! Scripts that the JobManager plans: from a file to an upload, and what is doubtful about them.
use std::path::Path;
use std::time::Duration;

use wiesel_common::config::{Configuration, KeyProblem};
use wiesel_common::logging::in_one_line;
use wiesel_common::quote::quote;
use wiesel_sql::ast::{LocatedStatement, Statement};
use wiesel_sql::parser::{self, StatementText};
use wiesel_sql::session::is_of_processes;

use super::Failure;
use crate::input;
use crate::rest::{self, RestClient};

/// What is doubtful about the keys that a script SETs and RESETs: the JobManager, which plans it, has no console.
pub(super) fn problems_of_settings(script: &str) -> Vec<KeyProblem> {
    let begins = |text: &str, word: &str| text.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    let sets = |text: &StatementText| begins(&text.text, "SET") || begins(&text.text, "RESET");
    let statements = parser::split(script).into_iter().filter(sets);
    // Of what does not parse the JobManager says so.
    let settings = statements.filter_map(|text| match parser::parse_statement(&text) {
        Ok(LocatedStatement { statement: Statement::Set(Some((key, Some(value)))), .. }) => Some((key, value)),
        Ok(LocatedStatement { statement: Statement::Reset(Some(key)), .. }) => Some((key, String::new())),
        _ => None,
    });
    problems_where_set(&settings.collect())
}

/// What is doubtful about keys that are SET, where those of processes change nothing.
pub(crate) fn problems_where_set(settings: &Configuration) -> Vec<KeyProblem> {
    let mut problems = settings.key_problems();
    for (key, value) in settings.iter().filter(|(key, _)| is_of_processes(key)) {
        let alone: Configuration = [(key.to_owned(), value.to_owned())].into_iter().collect();
        // Of one that changes nothing anywhere, that is said.
        if alone.key_problems().is_empty() {
            problems.push(KeyProblem::OfProcesses(key.to_owned()));
        }
    }
    problems
}

/// A script that the JobManager is to plan.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let is = |extension: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let only = format!("Only SQL scripts (*.sql) can be run here, `{}` is none", quote(&name));
    anyhow::ensure!(!is("jar"), "{only}: this cluster has no JVM for jars");
    anyhow::ensure!(!is("py"), "{only}: this cluster runs no Python");
    input::script(path, &input::UPLOADED)
}

/// The name under which a script is uploaded, and which errors in it give: its own, with what the JobManager takes scripts by.
pub(super) fn uploaded_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".sql") { name.into_owned() } else { format!("{name}.sql") }
}

/// How long a JobManager has to remove a script whose call it did not answer: that was waited for already.
const REMOVAL_AFTER_SILENCE: Duration = Duration::from_secs(1);

/// Removes an uploaded script after the call that it was for. It was only the way to a plan or to jobs: what becomes of these does
/// not hang on it.
pub(super) async fn remove<T>(client: &RestClient, artifact: &str, outcome: &rest::Result<T>) {
    let answered = matches!(outcome, Ok(_) | Err(rest::Error::Refused { .. }));
    let patience = if answered { Duration::MAX } else { REMOVAL_AFTER_SILENCE };
    let why = match tokio::time::timeout(patience, client.delete_artifact(artifact)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it does not answer".to_owned(),
    };
    eprintln!("[WARNING] The uploaded script {} stays with the JobManager: {why}", in_one_line(artifact));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, `x.txt` was called `x.sql`, which may be another file.
    #[test]
    fn a_script_keeps_its_name() {
        for (path, name) in
            [("a/x.sql", "x.sql"), ("x.txt", "x.txt.sql"), ("/dev/fd/63", "63.sql"), ("X.SQL", "X.SQL.sql")]
        {
            assert_eq!(uploaded_name(Path::new(path)), name);
        }
    }

    /// Nothing was said of them anywhere.
    #[test]
    fn misspelt_keys_of_a_script_are_told_with_the_nearest_one() {
        let script = "-- first\nSET 'execution.checkpointing.intervall' = '10 s';\nset 'parallelism.default' = '2';\n\
                      SET 'foo.bar' = 'x'; SET; RESET 'no.such';\nSETTLE;\nINSERT INTO t SELECT 'SET a = b';";
        let problems: Vec<String> = problems_of_settings(script).iter().map(ToString::to_string).collect();
        // Before, nothing was said of RESET.
        let [interval, foo, reset] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(
            interval.contains("intervall'") && interval.contains("'execution.checkpointing.interval'?"),
            "{interval}"
        );
        assert!(foo.contains("unknown configuration key 'foo.bar'"), "{foo}");
        assert!(reset.contains("unknown configuration key 'no.such'"), "{reset}");
    }

    /// "stream did not contain valid UTF-8", or of an empty one that it has no statements.
    #[test]
    fn a_jar_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, words) in [
            ("z.jar", &b""[..], "`z.jar` is none: this cluster has no JVM"),
            ("Z.JAR", &b"SELECT 1;"[..], "no JVM"),
            ("renamed.sql", &b"PK\x03\x04\xff"[..], "no JVM"),
            ("job.py", &b"print(1)"[..], "no Python"),
            ("utf16.sql", &b"\xff\xfeS\0"[..], "no text in UTF-8"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
        let path = folder.path().join("x.sql");
        std::fs::write(&path, "\u{feff}SELECT 1;").unwrap();
        assert_eq!(read(&path).unwrap(), "SELECT 1;");
    }
}
