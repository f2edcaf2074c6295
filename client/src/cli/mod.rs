//! `bin/flink`.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use wiesel_common::config::Configuration;

use crate::rest::RestClient;

mod cancel;
mod checkpoint;
mod info;
mod list;
mod operation;
mod options;
mod run;
mod savepoint;
mod stop;

pub(crate) use operation::wait_for_savepoint;
pub(crate) use run::end_of;

/// Runs and controls jobs of a Wiesel cluster.
#[derive(Parser)]
#[command(name = "flink", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a SQL script on the cluster: each INSERT or statement set becomes a job.
    Run(run::Run),
    /// Lists jobs; without options those that run or wait to.
    List(list::List),
    /// Cancels a job.
    Cancel(cancel::Cancel),
    /// Ends a job with a savepoint.
    Stop(stop::Stop),
    /// Takes a savepoint of a job that runs, or disposes of one.
    Savepoint(savepoint::Savepoint),
    /// Takes a checkpoint of a job that runs.
    Checkpoint(checkpoint::Checkpoint),
    /// Shows the plan of a SQL script as JSON, without running it.
    Info(info::Info),
}

/// What every action takes.
#[derive(Args)]
struct Cluster {
    /// A configuration key and its value, over conf/config.yaml.
    #[arg(short = 'D', value_name = "KEY=VALUE", allow_hyphen_values = true)]
    properties: Vec<String>,
    /// The JobManager's REST endpoint; by default `rest.address` and `rest.port`.
    #[arg(short = 'm', long = "jobmanager", value_name = "HOST:PORT")]
    job_manager: Option<String>,
}

/// What went wrong: printed to standard error, exit status 1.
pub(crate) type Failure = anyhow::Error;

impl Cluster {
    fn configuration(&self) -> Result<Configuration, Failure> {
        load_configuration(self.properties()?)
    }

    fn properties(&self) -> Result<Vec<(String, String)>, Failure> {
        self.properties.iter().map(|property| parse_property(property)).collect()
    }

    /// The `-D` properties for a request that makes a job.
    fn job_properties(&self) -> Result<serde_json::Map<String, Value>, Failure> {
        Ok(self.properties()?.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
    }

    fn client(&self, configuration: &Configuration) -> Result<RestClient, Failure> {
        match &self.job_manager {
            None => RestClient::from_configuration(configuration).map_err(Failure::msg),
            Some(endpoint) => {
                let (host, port) = endpoint
                    .rsplit_once(':')
                    .and_then(|(host, port)| Some((host, port.parse().ok()?)))
                    .ok_or_else(|| anyhow::anyhow!("-m {endpoint}: HOST:PORT expected"))?;
                Ok(RestClient::new(host, port))
            }
        }
    }
}

/// `key=value` of a `-D` option.
pub(crate) fn parse_property(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = pair.ok_or_else(|| anyhow::anyhow!("-D{text}: -Dkey=value expected"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The installation's configuration (`FLINK_CONF_DIR`) with properties over it.
pub(crate) fn load_configuration(properties: Vec<(String, String)>) -> Result<Configuration, Failure> {
    Ok(wiesel_common::config::from_environment(properties)?)
}

fn read_script(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("cannot read the script {}: {error}", path.display()))
}

fn script_name(path: &Path) -> String {
    let name = PathBuf::from(path.file_name().unwrap_or_default());
    let name =
        if name.extension().is_some_and(|extension| extension == "sql") { name } else { name.with_extension("sql") };
    name.to_string_lossy().into_owned()
}

/// Runs the command line; the exit status is 0 only if the action did what was asked.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse_from(options::with_two_dashes(std::env::args()));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(act(arguments.action)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Run(run) => run.act().await,
        Action::List(list) => list.act().await,
        Action::Cancel(cancel) => cancel.act().await,
        Action::Stop(stop) => stop.act().await,
        Action::Savepoint(savepoint) => savepoint.act().await,
        Action::Checkpoint(checkpoint) => checkpoint.act().await,
        Action::Info(info) => info.act().await,
    }
}
