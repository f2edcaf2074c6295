//! `flink checkpoint`.
use std::process::ExitCode;

use clap::Args;

use super::operation::wait;
use super::options::job_id;
use super::{Cluster, Failure};

#[derive(Args)]
pub(super) struct Checkpoint {
    #[command(flatten)]
    cluster: Cluster,
    /// Write the whole state anew instead of what has changed.
    #[arg(long)]
    full: bool,
    /// The job's id: 32 hexadecimal digits.
    #[arg(value_name = "JOB ID")]
    job: Option<String>,
}

impl Checkpoint {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let job = job_id(self.job.as_deref(), "Missing JobID. Specify a Job ID to manipulate a checkpoint.")?;
        let client = self.cluster.client(&self.cluster.configuration()?)?;
        println!("Triggering checkpoint for job {job}.\nWaiting for response...");
        let what = format!("Failed to trigger a checkpoint for the job {job}.");
        let operation = client.trigger_checkpoint(job, if self.full { "FULL" } else { "CONFIGURED" }).await;
        let operation = operation.map_err(|error| anyhow::anyhow!("{what}\nCaused by: {error}"))?;
        let result = wait(&client, Some(job), &operation, &what).await?;
        let id = &result["checkpointId"];
        let kind = if self.full { "(FULL)" } else { "" };
        println!("Checkpoint{kind} {id} for job {job} completed.");
        println!("You can resume your program from this checkpoint with the run command.");
        Ok(ExitCode::SUCCESS)
    }
}
