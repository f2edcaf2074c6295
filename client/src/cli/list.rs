//! `flink list`.
use std::process::ExitCode;

use chrono::{Local, TimeZone};
use clap::Args;

use super::{Cluster, Failure};
use crate::rest::JobOverview;

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    cluster: Cluster,
    /// Also those that have ended.
    #[arg(short, long)]
    all: bool,
    /// Only running jobs.
    #[arg(short, long)]
    running: bool,
    /// Only jobs that wait to be scheduled.
    #[arg(short, long)]
    scheduled: bool,
}

impl List {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let client = self.cluster.client(&self.cluster.configuration()?)?;
        println!("Waiting for response...");
        let mut jobs = client.jobs().await?.jobs;
        jobs.sort_by_key(|job| job.start_time);
        let (scheduled, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| matches!(job.state.as_str(), "CREATED" | "INITIALIZING"));
        let (terminated, running): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|job| matches!(job.state.as_str(), "FINISHED" | "CANCELED" | "FAILED"));
        let neither = !self.running && !self.scheduled;
        if self.running || self.all || neither {
            print("Running/Restarting Jobs", "No running jobs.", &running);
        }
        if self.scheduled || self.all || neither {
            print("Scheduled Jobs", "No scheduled jobs.", &scheduled);
        }
        if self.all && !terminated.is_empty() {
            print("Terminated Jobs", "", &terminated);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    #[cfg(test)]
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

const WIDTH: usize = 62;

fn print(title: &str, nothing: &str, jobs: &[JobOverview]) {
    if jobs.is_empty() {
        println!("{nothing}");
        return;
    }
    println!("{:-^WIDTH$}", format!(" {title} "));
    for job in jobs {
        let start = Local.timestamp_millis_opt(job.start_time).single();
        let start = start.map_or_else(String::new, |start| start.format("%d.%m.%Y %H:%M:%S").to_string());
        let waits = job.slots.describe().map_or_else(String::new, |waits| format!(" {waits}"));
        println!("{start} : {} : {} ({}){waits}", job.jid, job.name, job.state);
    }
    println!("{}", "-".repeat(WIDTH));
}
