//! `flink savepoint`: takes one, or disposes of one.
use std::process::ExitCode;

use clap::Args;
use wiesel_common::id::JobId;
use wiesel_common::logging::in_one_line;
use wiesel_common::quote::quote;

use super::operation::{wait, wait_for_savepoint};
use super::options::{self, Format, job_id};
use super::{Cluster, Failure};
use crate::rest::RestClient;

#[derive(Args)]
pub(super) struct Savepoint {
    #[command(flatten)]
    cluster: Cluster,
    /// The path of a savepoint to dispose of.
    #[arg(short, long, value_name = "PATH", conflicts_with_all = ["job", "detached"])]
    dispose: Option<String>,
    /// What only savepoints of Java programs need.
    #[arg(short = 'j', long = "jarfile", hide = true, value_parser = options::no_java)]
    jarfile: Option<String>,
    /// Only trigger it and print its trigger id.
    #[arg(long)]
    detached: bool,
    /// canonical: a format for all state back ends; native: that of the chosen one, maybe faster to take and restore.
    #[arg(long = "type", value_name = "FORMAT", default_value = "canonical")]
    format: Format,
    /// The job's id: 32 hexadecimal digits.
    #[arg(value_name = "JOB ID")]
    job: Option<String>,
    /// Where to; by default `execution.checkpointing.savepoint-dir`.
    #[arg(value_name = "TARGET DIRECTORY")]
    directory: Option<String>,
}

impl Savepoint {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        if let Some(path) = &self.dispose {
            return dispose(&self.cluster.client(&self.cluster.configuration()?)?, path).await;
        }
        let job = job_id(self.job.as_deref(), "Missing JobID. Specify a Job ID to trigger a savepoint.")?;
        let client = self.cluster.client(&self.cluster.configuration()?)?;
        if self.detached { self.trigger(&client, job).await } else { self.take(&client, job).await }
    }

    async fn take(&self, client: &RestClient, job: JobId) -> Result<ExitCode, Failure> {
        println!("Triggering savepoint for job {job}.\nWaiting for response...");
        let what = format!("Failed to trigger a savepoint for the job {job}.");
        let operation = client.trigger_savepoint(job, self.directory.as_deref(), false, self.format.name()).await;
        let operation = operation.map_err(|error| anyhow::anyhow!("{what}\nCaused by: {error}"))?;
        let path = wait_for_savepoint(client, job, &operation, &what).await?;
        println!(
            "Savepoint completed. Path: {}\nYou can resume your program from this savepoint with the run command.",
            in_one_line(&path)
        );
        Ok(ExitCode::SUCCESS)
    }

    async fn trigger(&self, client: &RestClient, job: JobId) -> Result<ExitCode, Failure> {
        println!("Triggering savepoint in detached mode for job {job}.");
        let operation = client.trigger_savepoint(job, self.directory.as_deref(), false, self.format.name()).await;
        let operation = operation
            .map_err(|error| anyhow::anyhow!("Failed to trigger a savepoint for the job {job}.\nCaused by: {error}"))?;
        println!("Successfully trigger manual savepoint, triggerId: {}", in_one_line(&operation.id));
        Ok(ExitCode::SUCCESS)
    }
}

async fn dispose(client: &RestClient, path: &str) -> Result<ExitCode, Failure> {
    let shown = quote(path);
    println!("Disposing savepoint '{shown}'.\nWaiting for response...");
    let what = format!("Failed to dispose the savepoint '{shown}'.");
    let operation = client.trigger_disposal(path).await;
    let operation = operation.map_err(|error| anyhow::anyhow!("{what}\nCaused by: {error}"))?;
    wait(client, None, &operation, &what).await?;
    println!("Savepoint '{shown}' disposed.");
    Ok(ExitCode::SUCCESS)
}
