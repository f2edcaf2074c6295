//! What the actions' options have in common.
use std::str::FromStr;

use wiesel_common::id::JobId;

use super::Failure;

/// Names that Flink takes after one dash as well as after two.
const AFTER_ONE_DASH: &[&str] = &[
    "all",
    "allowNonRestoredState",
    "claimMode",
    "cm",
    "detached",
    "dispose",
    "drain",
    "fromSavepoint",
    "full",
    "jobmanager",
    "parallelism",
    "restoreMode",
    "rm",
    "running",
    "savepointPath",
    "scheduled",
    "type",
    "withSavepoint",
];

/// Arguments as the parser takes them: `-type native` becomes `--type native`.
pub(super) fn with_two_dashes(arguments: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    arguments.into_iter().map(|argument| {
        let name = argument.strip_prefix('-').map(|rest| rest.split_once('=').map_or(rest, |(name, _)| name));
        match name {
            Some(name) if AFTER_ONE_DASH.contains(&name) => format!("-{argument}"),
            _ => argument,
        }
    })
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
            "Cannot parse JobID from \"{text}\". The expected format is [0-9a-fA-F]{{32}}, e.g. \
             fd72014d4c864993a2e5a9287b4a9c5d.{HELP}"
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
        let rewritten: Vec<_> = with_two_dashes(arguments.map(str::to_owned)).collect();
        let wanted =
            ["flink", "savepoint", "--type", "native", "--detached", "-Da=b", "-d", "--drain", "--type=x", "-typo"];
        assert_eq!(rewritten, wanted);
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
