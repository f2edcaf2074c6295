//! `flink cancel`.
use std::process::ExitCode;

use clap::Args;
use wiesel_common::logging::in_one_line;
use wiesel_common::quote::quote;

use super::operation::wait_for_savepoint;
use super::options::{Format, directory_and_job};
use super::{Cluster, Failure};

#[derive(Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    cluster: Cluster,
    /// Deprecated, use `stop`: take a savepoint first, by default into `execution.checkpointing.savepoint-dir`.
    #[arg(short = 's', long = "withSavepoint", value_name = "DIRECTORY", num_args = 0..=1)]
    with_savepoint: Option<Option<String>>,
    /// The job's id: 32 hexadecimal digits.
    #[arg(value_name = "JOB ID")]
    job: Option<String>,
}

impl Cancel {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let with_savepoint = self.with_savepoint.is_some();
        let missing = "Missing JobID. Specify a JobID to cancel a job.";
        let (directory, job) = directory_and_job(self.with_savepoint, self.job, missing)?;
        let client = self.cluster.client(&self.cluster.configuration()?)?;
        let what = format!("Could not cancel job {job}.");
        let failed = |error: crate::rest::Error| anyhow::anyhow!("{what}\nCaused by: {error}");
        if !with_savepoint {
            println!("Cancelling job {job}.");
            client.cancel(job).await.map_err(failed)?;
            println!("Cancelled job {job}.");
            return Ok(ExitCode::SUCCESS);
        }
        println!("DEPRECATION WARNING: Cancelling a job with savepoint is deprecated. Use \"stop\" instead.");
        let format = Format::default().name();
        let target = quote(directory.as_deref().unwrap_or("default savepoint directory"));
        println!("Cancelling job {job} with {format} savepoint to {target}.");
        let operation = client.trigger_savepoint(job, directory.as_deref(), true, format).await.map_err(failed)?;
        let path = wait_for_savepoint(&client, job, &operation, &what).await?;
        println!("Cancelled job {job}. Savepoint stored in {}.", in_one_line(&path));
        Ok(ExitCode::SUCCESS)
    }
}
