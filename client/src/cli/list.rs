//! `flink list`.
use std::process::ExitCode;

use chrono::{Local, TimeZone};
use clap::Args;
use wiesel_common::logging::in_one_line;

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
    jobs.iter().for_each(|job| println!("{}", line(job)));
    println!("{}", "-".repeat(WIDTH));
}

/// One line, whatever the job is called: it could be taken for several jobs.
fn line(job: &JobOverview) -> String {
    let start = Local.timestamp_millis_opt(job.start_time).single();
    let start = start.map_or_else(String::new, |start| start.format("%d.%m.%Y %H:%M:%S").to_string());
    let waits = job.slots.describe().map_or_else(String::new, |waits| format!(" {waits}"));
    let [id, name, state] = [&job.jid, &job.name, &job.state].map(|text| in_one_line(text));
    format!("{start} : {id} : {name} ({state}){waits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: the end of a line in the name of a job was one in the list, and what followed could look like another job.
    #[test]
    fn a_job_is_one_line() {
        let job = serde_json::json!({
            "jid": "0a", "name": "a\r\n01.01.2026 00:00:00 : 0b : b\t\u{1b}[2J\u{202e}", "state": "RUNNING", "start-time": 0
        });
        let line = line(&serde_json::from_value(job).unwrap());
        let (_, told) = line.split_once(" : ").unwrap();
        assert_eq!(told, "0a : a\\r\\n01.01.2026 00:00:00 : 0b : b\\t\\u{1b}[2J\\u{202e} (RUNNING)");
    }
}
