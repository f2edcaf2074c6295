//! A job that is ended in the middle and goes on from its latest checkpoint, or from a savepoint, at another parallelism.
use std::path::PathBuf;
use std::time::Duration;

use super::jobs::FilesJob;
use super::nodes::Nodes;
use super::schedule::{Origin, Rescale};
use super::store::Store;
use crate::Cluster;
use crate::store::Place;

/// Within this a job ends that was cancelled: a process that stands still is waited for, or given up.
const END: Duration = Duration::from_secs(120);
/// So often a job is submitted again that could not start because its storage failed.
const STARTS: u32 = 20;

impl FilesJob {
    /// Ends the job and lets it go on as it is told. Says what became of it.
    pub fn rescale(&mut self, nodes: &mut Nodes, store: &Store, how: &Rescale) -> String {
        if let Some((victim, after, time)) = how.stall {
            nodes.freeze(victim, after, time);
        }
        let mut command = nodes.cluster.command("bin/flink");
        match how.from {
            Origin::Checkpoint { .. } => command.arg("cancel"),
            Origin::Savepoint { .. } => command.args(["stop", "--savepointPath", &store.savepoints().uri]),
        };
        let output = nodes.run(command.arg(self.id()));
        let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        let ends = output.status.success() || self.has_ended(&nodes.cluster);
        if !ends {
            // A savepoint that fails leaves the job as it was.
            return format!("it goes on as before: {said}");
        }
        let ended = nodes.hold_until(END, |cluster| self.has_ended(cluster));
        assert!(ended, "job {} does not end: {}", self.id(), self.describe(&nodes.cluster));
        let savepoint = savepoint_of(&store.savepoints(), self.id());
        let state = nodes.cluster.state(self.id());
        if state == "FINISHED" && savepoint.is_none() {
            return "it had finished".to_owned();
        }
        let mut options = how.options();
        if let (Origin::Savepoint { rocksdb }, Some(_)) = (how.from, &savepoint) {
            self.backend = Some(if rocksdb { "rocksdb" } else { "hashmap" });
        }
        options.extend(["-p".to_owned(), how.parallelism.to_string()]);
        self.start_from(nodes, store, options)
    }

    /// Submits it again if it could not start because its storage failed, or if it was stopped by an order whose outcome was
    /// not known. Says so.
    pub fn settle(&mut self, nodes: &mut Nodes, store: &Store) -> Option<String> {
        let state = nodes.cluster.state(self.id());
        let stopped = state == "FINISHED" && savepoint_of(&store.savepoints(), self.id()).is_some();
        if state != "FAILED" && !stopped {
            return None;
        }
        let cause = nodes.cluster.failure(self.id());
        let may_fail = ["JobInitializationException", "StopWithSavepointStoppingException"];
        assert!(
            stopped || may_fail.iter().any(|name| cause.contains(name)),
            "job {} failed: {}",
            self.id(),
            self.describe(&nodes.cluster)
        );
        self.starts += 1;
        assert!(self.starts < STARTS, "the job does not start: {}", self.describe(&nodes.cluster));
        let options = self.options.clone();
        let went_on = self.start_from(nodes, store, options);
        Some(format!("{state}, {}; {went_on}", cause.lines().next_back().unwrap_or_default()))
    }

    /// Submits it with what is left of it.
    fn start_from(&mut self, nodes: &mut Nodes, store: &Store, options: Vec<String>) -> String {
        let latest = savepoint_of(&store.savepoints(), self.id())
            .or_else(|| latest_checkpoint(&store.checkpoints().join(self.id())))
            .or_else(|| self.from.clone());
        let mut arguments = options.clone();
        arguments.extend(self.backend.map(|backend| format!("-Dstate.backend.type={backend}")));
        match &latest {
            Some(pointer) => arguments.extend(["-s".to_owned(), pointer.clone()]),
            // Nothing was committed: it begins anew, and nobody's files can be claimed.
            None => arguments.retain(|argument| !["-claimMode", "claim"].contains(&argument.as_str())),
        }
        if arguments.iter().any(|argument| argument == "claim") {
            let folder = latest.as_ref().and_then(|pointer| pointer.rsplit_once('/'));
            self.claimed.extend(folder.map(|(job, _)| job.to_owned()));
        }
        let script = self.script();
        let script = nodes.cluster.file("again.sql", &script);
        let mut command = nodes.cluster.command("bin/flink");
        let output = nodes.run(command.args(["run", "-d"]).args(&arguments).arg(script));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let id = text.split("JobID ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let id = id.unwrap_or_else(|| panic!("job {} does not go on: {output:?}", self.id())).to_owned();
        let from = latest.as_deref().unwrap_or("nothing").to_owned();
        (self.from, self.options) = (latest, options);
        self.became(id);
        format!("{} goes on from {from}", self.id())
    }

    /// What is known of it, for messages.
    fn describe(&self, cluster: &Cluster) -> String {
        let details = cluster.get(&format!("/jobs/{}", self.id()));
        format!("{}\n{}", cluster.failure(self.id()), details)
    }
}

fn complete(folder: &Place, prefix: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(&folder.path).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(name, path)| name.starts_with(prefix) && path.join("_metadata").is_file()).collect()
}

/// The latest complete checkpoint in the folder of a job.
fn latest_checkpoint(job: &Place) -> Option<String> {
    let number = |name: &str| name.strip_prefix("chk-")?.parse::<u64>().ok();
    let found = complete(job, "chk-").into_iter().filter_map(|(name, _)| Some((number(&name)?, name)));
    found.max().map(|(_, name)| job.join(&name).uri)
}

/// The savepoint that a job was stopped with.
fn savepoint_of(folder: &Place, job: &str) -> Option<String> {
    let found = complete(folder, &format!("savepoint-{}-", &job[..6]));
    found.first().map(|(name, _)| folder.join(name).uri)
}
