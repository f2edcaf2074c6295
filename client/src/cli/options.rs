//! What the actions' options have in common, and Flink's way to spell them.
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use wiesel_common::arguments::with_two_dashes;
use wiesel_common::id::JobId;
use wiesel_common::keygroup::UPPER_BOUND_MAX_PARALLELISM;
use wiesel_common::quote::quote;

use super::Failure;

/// Names of `flink`'s options that Flink takes after one dash as well as after two.
pub(super) const OF_FLINK: &[&str] = &[
    "all",
    "allowNonRestoredState",
    "claimMode",
    "class",
    "classpath",
    "cm",
    "detached",
    "dispose",
    "drain",
    "executor",
    "fromSavepoint",
    "full",
    "help",
    "jarfile",
    "jobmanager",
    "parallelism",
    "python",
    "restoreMode",
    "rm",
    "running",
    "sae",
    "savepointPath",
    "scheduled",
    "shutdownOnAttachedExit",
    "target",
    "type",
    "version",
    "withSavepoint",
    "yD",
    "yarndetached",
    "yat",
    "yd",
    "yid",
    "yjm",
    "ynl",
    "ynm",
    "yq",
    "yqu",
    "ys",
    "yt",
    "ytm",
    "yz",
    "zookeeperNamespace",
];

/// At the end of each action's help.
pub(super) const ONE_DASH: &str =
    "Names of more than one letter are taken after one dash, too, as Flink spells them: -jobmanager is --jobmanager.";

/// Flink's options for YARN beside `--yarndetached`.
pub(super) const YARN: [&str; 13] =
    ["yD", "yat", "yd", "yid", "yjm", "ynl", "ynm", "yq", "yqu", "ys", "yt", "ytm", "yz"];

/// Names that `--claimMode` has beside this one.
const CLAIM_MODE: [&str; 3] = ["cm", "restoreMode", "rm"];

/// The same of `sql-client.sh`.
pub(crate) const OF_SQL_CLIENT: &[&str] = &[
    "endpoint", "file", "help", "hist", "history", "init", "jar", "library", "python", "session", "update", "version",
];

/// Flink's options for Python, which both take after one dash or two.
pub(crate) const PYTHON: [&str; 15] = [
    "py",
    "pyArchives",
    "pyClientExecutable",
    "pyExecutable",
    "pyFiles",
    "pyModule",
    "pyPythonPath",
    "pyRequirements",
    "pyarch",
    "pyclientexec",
    "pyexec",
    "pyfs",
    "pym",
    "pypath",
    "pyreq",
];

/// Arguments as the parser takes them: options of these names may have one dash.
fn as_parsed(arguments: impl IntoIterator<Item = OsString>, names: &[&str]) -> impl Iterator<Item = OsString> {
    with_two_dashes(arguments, move |name| names.contains(&name) || PYTHON.contains(&name))
}

/// What is wrong with arguments, with the beginnings of what was given.
fn refusal(mut error: clap::Error) -> String {
    let given: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in given {
        if kind != ContextKind::Usage {
            error.insert(kind, beginning(value));
        }
    }
    error.to_string()
}

fn beginning(value: ContextValue) -> ContextValue {
    match value {
        ContextValue::String(text) => ContextValue::String(quote(&text).into_owned()),
        ContextValue::Strings(texts) => {
            ContextValue::Strings(texts.iter().map(|text| quote(text).into_owned()).collect())
        }
        ContextValue::StyledStr(text) => ContextValue::StyledStr(quote(&text.to_string()).into_owned().into()),
        ContextValue::StyledStrs(texts) => {
            ContextValue::StyledStrs(texts.iter().map(|text| quote(&text.to_string()).into_owned().into()).collect())
        }
        other => other,
    }
}

/// The exit status for arguments that make no sense: Flink's clients have no other for what fails.
const BAD_ARGUMENTS: i32 = 1;

/// Reads the command line of a process, where the options of these names may have one dash. Help, and what is wrong with it, is
/// printed, and the process ends.
pub(crate) fn parse<A: Parser>(names: &[&str]) -> A {
    try_parse(std::env::args_os().collect(), names).unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        eprintln!("{}", refusal(error).trim_end());
        std::process::exit(BAD_ARGUMENTS)
    })
}

pub(crate) fn try_parse<A: Parser>(written: Vec<OsString>, names: &[&str]) -> Result<A, clap::Error> {
    A::try_parse_from(as_parsed(written.iter().cloned(), names)).map_err(|error| in_own_words(error, &written))
}

/// An error that names an option as it was written, not by another of its names, and does not advise to give it as a value: none
/// is wanted that begins with a dash.
fn in_own_words(mut error: clap::Error, written: &[OsString]) -> clap::Error {
    let name = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => name_as_written(option, written),
        _ => None,
    };
    if let Some(name) = name {
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        tips.retain(|tip| !tip.to_string().contains("as a value, use"));
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    error
}

/// What stands in the arguments of an option, given as `--name <VALUE>`, that has several names.
fn name_as_written(option: &str, written: &[OsString]) -> Option<String> {
    let first = option.trim_start_matches('-').split(' ').next()?;
    let others = match first {
        "claimMode" => &CLAIM_MODE[..],
        "python" => &PYTHON[..],
        "yarndetached" => &YARN[..],
        _ => return None,
    };
    let names = written.iter().filter_map(|argument| argument.to_str()?.split('=').next());
    let mut names = names.filter(|name| {
        let bare = name.strip_prefix("--").or_else(|| name.strip_prefix('-'));
        bare.is_some_and(|bare| bare == first || others.contains(&bare))
    });
    names.next().map(str::to_owned)
}

/// `-p` of an action.
pub(super) fn parallelism(text: &str) -> Result<u32, String> {
    let parallelism =
        text.parse::<u32>().ok().filter(|parallelism| (1..=UPPER_BOUND_MAX_PARALLELISM).contains(parallelism));
    parallelism.ok_or_else(|| format!("a parallelism is a number from 1 to {UPPER_BOUND_MAX_PARALLELISM}"))
}

/// The path of a script.
pub(super) fn script(path: OsString) -> Result<PathBuf, &'static str> {
    if path.is_empty() { Err("the script's name is empty") } else { Ok(path.into()) }
}

/// Refuses an option that only means something to a Java virtual machine.
pub(crate) fn no_java(_: &str) -> Result<String, String> {
    Err("not supported: Wiesel runs SQL and no Java; its connectors, formats and functions are built in".to_owned())
}

/// Refuses an option of Python programs.
pub(crate) fn no_python(_: &str) -> Result<String, String> {
    Err("not supported: Wiesel runs SQL and no Python".to_owned())
}

/// Refuses an option of YARN's.
pub(super) fn no_yarn(_: &str) -> Result<String, String> {
    Err("not supported: there is no YARN client; jobs run on the session cluster of -m or rest.address".to_owned())
}

/// Refuses an option of high availability.
pub(super) fn no_high_availability(_: &str) -> Result<String, String> {
    Err("not supported yet: there is no high availability".to_owned())
}

/// `-type` of a savepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Independent of the state back end.
    #[default]
    Canonical,
    /// The state back end's own.
    Native,
}

impl Format {
    /// As REST and Flink's messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_uppercase().as_str() {
            "CANONICAL" => Ok(Self::Canonical),
            "NATIVE" => Ok(Self::Native),
            _ => Err("expected canonical or native".to_owned()),
        }
    }
}

/// `-claimMode` of a restore, as the configuration names it.
pub(super) fn claim_mode(text: &str) -> Result<&'static str, String> {
    match text.to_uppercase().as_str() {
        "CLAIM" => Ok("CLAIM"),
        "NO_CLAIM" => Ok("NO_CLAIM"),
        "LEGACY" => Err("legacy is no longer supported: take no_claim or claim".to_owned()),
        _ => Err("expected claim or no_claim".to_owned()),
    }
}

/// An option whose value may be left out, before a job's id: without the value the id stands in its place.
pub(super) fn directory_and_job(
    option: Option<Option<String>>,
    job: Option<String>,
    missing: &str,
) -> Result<(Option<String>, JobId), Failure> {
    let (directory, job) = match (option, job) {
        (option, Some(job)) => (option.flatten(), Some(job)),
        (Some(Some(job)), None) => (None, Some(job)),
        (_, None) => (None, None),
    };
    Ok((directory, job_id(job.as_deref(), missing)?))
}

/// The job's id, or what is missing.
pub(super) fn job_id(text: Option<&str>, missing: &str) -> Result<JobId, Failure> {
    const HELP: &str = "\n\nUse the help option (-h or --help) to get help on the command.";
    let text = text.ok_or_else(|| anyhow::anyhow!("{missing}{HELP}"))?;
    text.parse().map_err(|_| {
        anyhow::anyhow!(
            "Cannot parse JobID from \"{}\". The expected format is [0-9a-fA-F]{{32}}, e.g. \
             fd72014d4c864993a2e5a9287b4a9c5d.{HELP}",
            quote(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_one_dash_are_those_after_two() {
        let arguments =
            ["flink", "savepoint", "-type", "native", "-detached", "-Da=b", "-d", "--drain", "-type=x", "-typo"];
        let rewritten: Vec<_> = as_parsed(arguments.map(OsString::from), OF_FLINK).collect();
        let wanted =
            ["flink", "savepoint", "--type", "native", "--detached", "-Da=b", "-d", "--drain", "--type=x", "-typo"];
        assert_eq!(rewritten, wanted);
        let arguments = ["-hist", "F", "-f", "x.sql", "-hist=F", "-pyarch", "a", "-type"].map(OsString::from);
        let rewritten: Vec<_> = as_parsed(arguments, OF_SQL_CLIENT).collect();
        assert_eq!(rewritten, ["--hist", "F", "-f", "x.sql", "--hist=F", "--pyarch", "a", "-type"]);
    }

    /// Failed before: all of what was given was in the message, once or more.
    #[test]
    fn messages_quote_the_beginning_of_what_was_given() {
        let number = clap::Arg::new("number").short('n').value_parser(clap::value_parser!(u32).range(1..=10));
        let word = clap::Arg::new("word").value_parser(no_java);
        let command = clap::Command::new("program").arg(number).arg(word);
        let long = "x".repeat(130_000);
        let option = format!("--{long}");
        for arguments in [vec![long.as_str()], vec!["-n", long.as_str()], vec![option.as_str()]] {
            let given = std::iter::once("program").chain(arguments);
            let said = refusal(command.clone().try_get_matches_from(given).unwrap_err());
            assert!(said.contains("xxx... (") && said.contains("more bytes)") && said.len() < 2500, "{said}");
            assert!(said.contains("--help"), "{said}");
        }
        let missing = job_id(Some(&long), "").unwrap_err().to_string();
        assert!(missing.contains("more bytes)\". The expected format is") && missing.len() < 1000, "{missing}");
    }

    #[test]
    fn a_directory_may_be_left_out_before_the_job() {
        let id = "fd72014d4c864993a2e5a9287b4a9c5d";
        let text = |text: &str| Some(text.to_owned());
        let parsed = |option, job| {
            directory_and_job(option, job, "missing").map(|(directory, job)| (directory, job.to_string()))
        };
        assert_eq!(parsed(Some(text("/sp")), text(id)).unwrap(), (text("/sp"), id.to_owned()));
        assert_eq!(parsed(Some(text(id)), None).unwrap(), (None, id.to_owned()));
        assert_eq!(parsed(None, text(id)).unwrap(), (None, id.to_owned()));
        assert!(parsed(None, None).unwrap_err().to_string().starts_with("missing"));
        assert!(parsed(Some(text("/sp")), None).unwrap_err().to_string().contains("Cannot parse JobID from \"/sp\""));
    }

    #[test]
    fn formats_and_claim_modes() {
        assert_eq!("native".parse(), Ok(Format::Native));
        assert!("other".parse::<Format>().is_err());
        assert_eq!(claim_mode("no_claim"), Ok("NO_CLAIM"));
        assert!(claim_mode("legacy").is_err() && claim_mode("x").is_err());
    }
}
