//! `flink checkpoint`.
use std::process::ExitCode;

use clap::Args;
use wiesel_common::logging::in_one_line;

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
        // The job may have ended just now: then there is nobody to ask, and the checkpoint has been taken all the same.
        if let Some(id) = id.as_u64()
            && let Ok(retained) = client.retained_checkpoint(job, id).await
        {
            match retained {
                Some(path) => {
                    let path = in_one_line(&path);
                    println!("Path: {path}\nYou can resume your program from this checkpoint with the run command.");
                }
                None => println!(
                    "No job can start from it later: it is not retained in files (execution.checkpointing.dir, \
                     execution.checkpointing.externalized-checkpoint-retention). Take a savepoint for that."
                ),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
