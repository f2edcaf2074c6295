//! The command line of the `jobmanager` process.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use wiesel_common::arguments::with_two_dashes;
use wiesel_common::config::options::{jobmanager, rest};
use wiesel_common::config::{ConfigError, Configuration, conf_dir, load, parse_property};
use wiesel_common::id::JobId;
use wiesel_common::secret;
use wiesel_jobmanager::application::restore_keys;

/// Names of options that Flink takes after one dash as well as after two.
const ONE_DASH: [&str; 15] = [
    "allowNonRestoredState",
    "claimMode",
    "cm",
    "configDir",
    "fromSavepoint",
    "host",
    "jars",
    "jid",
    "job",
    "job-classname",
    "job-id",
    "restoreMode",
    "rm",
    "version",
    "webui-port",
];

/// A JobManager: by itself that of a session cluster.
#[derive(Parser)]
#[command(name = "jobmanager", version, disable_help_flag = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    session: Session,
}

/// What a cluster is there for, if not for jobs that come.
#[derive(Subcommand)]
enum Mode {
    /// The JobManager of a cluster that runs one application, and ends with it: with status 0 if all its jobs have finished, 1 if one
    /// failed or the script cannot be run, 2 if one was cancelled.
    #[command(name = "standalonejob", disable_help_flag = true)]
    StandaloneJob(StandaloneJob),
}

/// A session cluster.
#[derive(Args)]
struct Session {
    #[command(flatten)]
    process: Process,
    /// Only `cluster` is known; taken for the sake of scripts.
    #[arg(short = 'x', long = "executionMode", value_name = "MODE")]
    execution_mode: Option<String>,
}

/// What every JobManager takes.
#[derive(Args)]
struct Process {
    /// A configuration key over those of the file.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// The folder of config.yaml, instead of FLINK_CONF_DIR.
    #[arg(short = 'c', long = "configDir", value_name = "FOLDER")]
    config_dir: Option<PathBuf>,
    /// The host this JobManager is reached by (jobmanager.rpc.address).
    #[arg(short = 'h', long = "host")]
    host: Option<String>,
    /// The port of REST (rest.port).
    #[arg(short = 'r', long = "webui-port", value_name = "PORT")]
    webui_port: Option<u16>,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// An application.
#[derive(Args)]
pub(crate) struct StandaloneJob {
    #[command(flatten)]
    process: Process,
    /// The SQL script: a file of `usrlib` or, by its whole path, any other; not needed where `usrlib` has only one.
    #[arg(long = "job", value_name = "SCRIPT.sql")]
    pub(crate) job: Option<PathBuf>,
    /// The id of the script's first job, from which those of the others follow: 32 hexadecimal digits.
    #[arg(long = "job-id", visible_alias = "jid", value_name = "JOB ID")]
    pub(crate) job_id: Option<JobId>,
    /// Start from the state of this savepoint or checkpoint.
    #[arg(short = 's', long = "fromSavepoint", value_name = "PATH")]
    from_savepoint: Option<String>,
    /// Pass over state of the savepoint that no operator of the script wants.
    #[arg(short = 'n', long = "allowNonRestoredState", requires = "from_savepoint")]
    allow_non_restored_state: bool,
    /// claim: the savepoint becomes the job's, which removes it in time; no_claim (the default): it stays as it is.
    #[arg(long = "claimMode", visible_alias = "cm", aliases = ["rm", "restoreMode"], value_name = "MODE", requires = "from_savepoint")]
    claim_mode: Option<String>,
    /// What only Java programs have.
    #[arg(short = 'j', long = "job-classname", hide = true, value_parser = no_class)]
    class: Option<String>,
    /// The same.
    #[arg(long = "jars", hide = true, value_parser = no_class)]
    jars: Option<String>,
    /// The same.
    #[arg(hide = true, value_parser = no_argument)]
    arguments: Vec<String>,
}

fn no_class(_: &str) -> Result<String, String> {
    Err("not supported: this cluster has no JVM for jars and classes; --job names the SQL script to run".to_owned())
}

fn no_argument(_: &str) -> Result<String, String> {
    Err("not supported: a SQL script has no arguments; --job names it, and -D sets what its jobs run under".to_owned())
}

impl Arguments {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// Also help that was asked for.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(with_two_dashes(arguments, |name| ONE_DASH.contains(&name)))
    }

    /// The application that the cluster is for; none: jobs come from clients.
    pub(crate) fn application(&self) -> Option<&StandaloneJob> {
        match &self.mode {
            Some(Mode::StandaloneJob(application)) => Some(application),
            None => None,
        }
    }

    /// The configuration, with what the command line says over the file.
    ///
    /// # Errors
    /// A bad file or value.
    pub(crate) fn configuration(&self) -> Result<Configuration, ConfigError> {
        match &self.mode {
            Some(Mode::StandaloneJob(application)) => application.process.configuration(application.recovery()),
            None => self.session.process.configuration(Vec::new()),
        }
    }
}

impl StandaloneJob {
    /// The keys that say what the job starts from.
    fn recovery(&self) -> Vec<(String, String)> {
        let allowed = self.allow_non_restored_state.then_some(true);
        restore_keys(self.from_savepoint.as_deref(), allowed, self.claim_mode.as_deref())
    }
}

impl Process {
    /// `more`: what other options stand for.
    fn configuration(&self, more: Vec<(String, String)>) -> Result<Configuration, ConfigError> {
        let mut pairs = self.properties.iter().map(|text| parse_property(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(host) = &self.host {
            pairs.push((jobmanager::RPC_ADDRESS.key().into(), host.clone()));
        }
        if let Some(port) = self.webui_port {
            pairs.push((rest::PORT.key().into(), port.to_string()));
        }
        pairs.extend(more);
        let folder = self.config_dir.clone().unwrap_or_else(conf_dir);
        let mut configuration = load(&folder, pairs)?;
        secret::load(&mut configuration, &folder)?;
        Ok(configuration)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn read(arguments: &str) -> Result<Arguments, String> {
        let arguments = std::iter::once("jobmanager").chain(arguments.split_whitespace()).map(OsString::from);
        Arguments::read(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_session_cluster_is_what_is_not_said_otherwise() {
        Arguments::command().debug_assert();
        let arguments = read("-c /conf -D a=b -h master -r 80 -x cluster").unwrap();
        assert!(arguments.application().is_none());
        assert_eq!(arguments.session.process.webui_port, Some(80));
    }

    #[test]
    fn an_application_in_flinks_spelling() {
        let id = "fd72014d4c864993a2e5a9287b4a9c5d";
        for arguments in [
            format!("--configDir /conf --job x.sql --job-id {id} --fromSavepoint /sp --allowNonRestoredState -Da=b"),
            format!("-configDir /conf -job x.sql -jid {id} -s /sp -n -D a=b"),
        ] {
            let arguments = read(&format!("standalonejob {arguments}")).unwrap();
            let application = arguments.application().unwrap();
            assert_eq!(application.job, Some("x.sql".into()));
            assert_eq!(application.job_id.map(|id| id.to_string()).as_deref(), Some(id));
            assert_eq!(application.process.properties, ["a=b"]);
            let keys = application.recovery();
            let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let expected =
                [("execution.state-recovery.path", "/sp"), ("execution.state-recovery.ignore-unclaimed-state", "true")];
            assert_eq!(keys, expected);
        }
        let arguments = read("standalonejob").unwrap();
        assert!(arguments.application().is_some_and(|application| application.recovery().is_empty()));
    }

    #[test]
    fn what_only_programs_have_is_refused_with_what_to_do() {
        for (arguments, words) in [
            ("-j Main", "--job names the SQL script"),
            ("--job-classname Main", "--job names the SQL script"),
            ("--jars file:///x.jar", "no JVM for jars"),
            ("a b", "a SQL script has no arguments"),
            ("--job-id xyz", "32 hexadecimal digits"),
            ("-n", "--fromSavepoint"),
            ("--frobnicate", "unexpected argument '--frobnicate'"),
        ] {
            let said = read(&format!("standalonejob {arguments}")).err().unwrap();
            assert!(said.contains(words), "{arguments}: {said}");
        }
    }
}
