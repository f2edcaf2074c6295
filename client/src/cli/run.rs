//! `flink run`.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde_json::{Map, Value, json};
use wiesel_common::config::Configuration;
use wiesel_common::config::options::{checkpointing, client as client_options};
use wiesel_common::id::JobId;

use super::options::{self, claim_mode};
use super::submission::{self, ScriptJobs, Unanswered};
use super::{Cluster, Failure, load_configuration, script};
use crate::lease::Lease;
use crate::progress::{told_of, watched};
use crate::rest::{JobEnd, RestClient};
use crate::target::Target;
use crate::termination::Tied;

/// Between two questions after a job; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    cluster: Cluster,
    /// Do not wait for the end of the jobs.
    #[arg(short, long)]
    detached: bool,
    /// The parallelism; by default `parallelism.default` of this client's configuration, else of the cluster's.
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = options::parallelism)]
    parallelism: Option<u32>,
    /// Start from the state of this savepoint or checkpoint.
    #[arg(short = 's', long = "fromSavepoint", value_name = "PATH")]
    from_savepoint: Option<String>,
    /// Pass over state of the savepoint that no operator of the script wants.
    #[arg(short = 'n', long = "allowNonRestoredState", requires = "from_savepoint")]
    allow_non_restored_state: bool,
    /// claim: the savepoint becomes the job's, which removes it in time; no_claim (the default): it stays as it is.
    #[arg(long = "claimMode", visible_alias = "cm", aliases = ["rm", "restoreMode"], value_name = "MODE", value_parser = claim_mode, requires = "from_savepoint")]
    claim_mode: Option<&'static str>,
    /// What only Java programs have.
    #[arg(short = 'c', long = "class", hide = true, value_parser = options::no_java)]
    class: Option<String>,
    /// The same.
    #[arg(short = 'C', long = "classpath", hide = true, value_parser = options::no_java)]
    classpath: Option<String>,
    /// What only Python programs have, under all its names.
    #[arg(long = "python", aliases = options::PYTHON, hide = true, value_parser = options::no_python)]
    python: Option<String>,
    /// The jobs end with this client: SIGINT, SIGTERM and SIGHUP cancel them, and the JobManager does when it has heard nothing of
    /// the client for `client.heartbeat.timeout`; not with -d.
    #[arg(long = "shutdownOnAttachedExit", visible_alias = "sae")]
    shutdown_on_attached_exit: bool,
    /// The SQL script.
    #[arg(value_name = "SCRIPT.sql", value_parser = OsStringValueParser::new().try_map(options::script))]
    script: PathBuf,
}

impl Run {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let script = script::read(&self.script)?;
        let mut configuration = self.cluster.configuration_for(&script)?;
        if self.shutdown_on_attached_exit {
            configuration.set(client_options::SHUTDOWN_ON_ATTACHED_EXIT.key(), "true");
        }
        anyhow::ensure!(
            !self.detached || self.cluster.target(&configuration)? == Target::Session,
            "-d and the target `local` exclude each other: the jobs would end with this client, which does not wait for them."
        );
        let cluster = self.cluster.for_script(&configuration, self.parallelism)?;
        let client = &cluster.client;
        let mut properties = self.cluster.job_properties(&configuration)?;
        properties.extend(self.recovery().map(|(key, value)| (key.to_owned(), json!(value))));
        // A job is tied to its client only while that waits for it and says so, whatever the cluster's configuration says.
        let lease = Lease::of_job(&configuration, !self.detached)?;
        properties.extend(Lease::terms(lease.as_ref()).into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
        let jobs = self.submit(client, script, &configuration, properties, lease.is_some()).await?;
        // From the beginning: a job may take long to start, and others wait for their turn.
        let _heartbeats: Vec<_> = jobs.iter().filter_map(|job| Some(lease?.keep(client, *job))).collect();
        let _tied: Vec<_> = jobs.iter().filter(|_| lease.is_some()).map(|job| Tied::new(client, *job)).collect();
        let mut ends_well = true;
        let mut started = Vec::with_capacity(jobs.len());
        for job in jobs {
            match start(client, job).await {
                Ok(None) => started.push(job),
                Ok(Some(end)) => ends_well &= tell_end(job, end),
                Err(error) => {
                    eprintln!("{error:#}");
                    ends_well = false;
                }
            }
        }
        if self.detached {
            tell_what_waits(client, &started).await;
        } else {
            ends_well &= wait(client, &started).await?;
        }
        Ok(if ends_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Run {
    /// `flink run-application`: the cluster is the script's own.
    pub(super) async fn act_as_application(self) -> Result<ExitCode, Failure> {
        // What is doubtful in the configuration is said when the script is run.
        let configuration = load_configuration(self.cluster.properties()?)?;
        self.cluster.target(&configuration)?.for_application()?;
        self.act().await
    }

    /// Uploads the script and has its jobs submitted. `tied`: they do not outlive this process.
    async fn submit(
        &self,
        client: &RestClient,
        script: String,
        configuration: &Configuration,
        properties: Map<String, Value>,
        tied: bool,
    ) -> Result<Vec<JobId>, Failure> {
        let jobs = ScriptJobs::of(&script)?;
        let (job, wait) = (jobs.only_id(), jobs.wait_for_each_other(client, configuration).await?);
        let artifact = client.upload(&script::uploaded_name(&self.script), script).await?;
        let body = Cluster::plan_request(properties, self.parallelism);
        let what = if wait { " and to run what it waits for" } else { "" };
        let what = format!("{} to plan the script{what}", client.address());
        submission::watch()?;
        let unanswered = Unanswered::new(job);
        let _tied = job.filter(|_| tied).map(|job| Tied::new(client, job));
        let submitted = told_of(&what, client.run(&artifact, body, job, wait)).await;
        drop(unanswered);
        script::remove(client, &artifact, &submitted).await;
        Ok(submitted?)
    }

    #[cfg(test)]
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The keys that say what the jobs start from.
    fn recovery(&self) -> impl Iterator<Item = (&'static str, String)> {
        let allow = self.allow_non_restored_state.then(|| "true".to_owned());
        [
            (checkpointing::RESTORE_PATH.key(), self.from_savepoint.clone()),
            (checkpointing::IGNORE_UNCLAIMED_STATE.key(), allow),
            (checkpointing::CLAIM_MODE.key(), self.claim_mode.map(str::to_owned)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
    }
}

/// Waits until a job has started, as Flink's client does before it says that the job was submitted. Some: it ended before.
async fn start(client: &RestClient, job: JobId) -> Result<Option<JobEnd>, Failure> {
    let end = watched(client, job, "", end_before_start(client, job)).await;
    // A user who does not know whether it starts has to know which job it is.
    if matches!(end, Ok(None) | Err(_)) {
        println!("Job has been submitted with JobID {job}");
    }
    end.map_err(|error| lost_sight_of(job, &error))
}

/// Says which jobs do not run yet, for this client does not wait for them.
async fn tell_what_waits(client: &RestClient, jobs: &[JobId]) {
    for job in jobs {
        if let Ok(details) = client.job(*job).await
            && let Some(waits) = details.slots.describe()
        {
            eprintln!("Job {job} {waits}");
        }
    }
}

/// Waits for the ends of jobs. True: all have finished.
async fn wait(client: &RestClient, jobs: &[JobId]) -> Result<bool, Failure> {
    let mut finished = true;
    for job in jobs {
        let end = watched(client, *job, "", end_of(client, *job)).await;
        finished &= tell_end(*job, end.map_err(|error| lost_sight_of(*job, &error))?);
    }
    Ok(finished)
}

/// That the JobManager does not say any more how a job gets on that it has taken.
pub(crate) fn lost_sight_of(job: JobId, error: &crate::rest::Error) -> Failure {
    anyhow::anyhow!(
        "What becomes of the job {job} is not known: {error}\nIt may go on: `flink list -a` shows its state, and `flink cancel \
         {job}` ends it."
    )
}

/// True: it has finished.
fn tell_end(job: JobId, end: JobEnd) -> bool {
    match end {
        JobEnd::Finished { runtime } => {
            println!("Program execution finished\nJob with JobID {job} has finished.\nJob Runtime: {runtime} ms");
            return true;
        }
        JobEnd::Canceled => eprintln!("Job with JobID {job} was cancelled."),
        JobEnd::Failed(cause) => eprintln!("Job with JobID {job} has failed:\n{cause}"),
    }
    false
}

/// Waits until a job has been started; one that cannot be, because what it starts from is missing or does not fit or its
/// checkpoints have no place, ends before: that end is given.
pub(crate) async fn end_before_start(client: &RestClient, job: JobId) -> Result<Option<JobEnd>, crate::rest::Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        match client.state(job).await?.as_str() {
            "INITIALIZING" => {}
            // It may have failed, or may have been cancelled, after it had run.
            "FAILED" | "FAILING" | "CANCELED" | "CANCELLING" => {
                if client.job(job).await?.was_started() {
                    return Ok(None);
                }
                return end_of(client, job).await.map(Some);
            }
            _ => return Ok(None),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits until a job has ended, asking ever less often.
pub(crate) async fn end_of(client: &RestClient, job: JobId) -> Result<JobEnd, crate::rest::Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(end) = client.execution_result(job).await?.end() {
            return Ok(end);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
