//! `flink stop`: ends a job with a savepoint.
use std::process::ExitCode;

use clap::Args;
use wiesel_common::logging::in_one_line;

use super::operation::wait_for_savepoint;
use super::options::{Format, directory_and_job};
use super::{Cluster, Failure};

#[derive(Args)]
pub(super) struct Stop {
    #[command(flatten)]
    cluster: Cluster,
    /// Send MAX_WATERMARK before the savepoint: windows fire, the job is not to be resumed.
    #[arg(short, long)]
    drain: bool,
    /// Only trigger it and print its trigger id.
    #[arg(long)]
    detached: bool,
    /// Where the savepoint goes; by default `execution.checkpointing.savepoint-dir`.
    #[arg(short = 'p', long = "savepointPath", value_name = "DIRECTORY", num_args = 0..=1)]
    savepoint_path: Option<Option<String>>,
    /// canonical: a format for all state back ends; native: that of the chosen one, maybe faster to take and restore.
    #[arg(long = "type", value_name = "FORMAT", default_value = "canonical")]
    format: Format,
    /// The job's id: 32 hexadecimal digits.
    #[arg(value_name = "JOB ID")]
    job: Option<String>,
}

impl Stop {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let (directory, job) = directory_and_job(self.savepoint_path, self.job, "Missing JobId")?;
        let client = self.cluster.client(&self.cluster.configuration()?)?;
        let format = self.format.name();
        println!("{} job \"{job}\" with a {format} savepoint.", if self.drain { "Draining" } else { "Suspending" });
        let how = if self.detached { " in detached mode" } else { "" };
        println!("Triggering stop-with-savepoint{how} for job {job}.");
        let what = format!("Could not stop with a savepoint job \"{job}\".");
        let operation = client.trigger_stop(job, directory.as_deref(), self.drain, format).await;
        let operation = operation.map_err(|error| anyhow::anyhow!("{what}\nCaused by: {error}"))?;
        if self.detached {
            println!(
                "Successfully trigger stop-with-savepoint in detached mode, triggerId: {}",
                in_one_line(&operation.id)
            );
            return Ok(ExitCode::SUCCESS);
        }
        println!("Waiting for response...");
        let path = wait_for_savepoint(&client, job, &operation, &what).await?;
        println!("Savepoint completed. Path: {}", in_one_line(&path));
        Ok(ExitCode::SUCCESS)
    }
}
