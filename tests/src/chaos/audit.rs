//! What must hold when all jobs have ended: the store is in order, and logs are short.
use std::time::Duration;

use super::store::Store;
use crate::store::Audit;
use crate::{Cluster, eventually};

/// Checkpoints are deleted in the background: how long that may take.
const CLEANING: Duration = Duration::from_secs(60);

/// Waits until the store is as it must be; `claimed`: folders of jobs whose checkpoints others were to claim. Panics with what
/// is too much and what is missing; says what there is.
pub fn store(store: &Store, claimed: &[String]) -> String {
    let (roots, uploads) = ([store.checkpoints(), store.savepoints()], store.unfinished_uploads());
    eventually("the store has what complete checkpoints refer to and nothing else", CLEANING, || {
        Audit::of(&roots, uploads.as_deref()).with_claimed(claimed).verdict()
    })
}

/// Panics if a process has logged more in a minute than it may; says what the most is. Fault points log each pass: these
/// lines do not count.
pub fn logs(cluster: &Cluster, time: Duration, per_minute: f64) -> String {
    let volume = |text: &str| text.lines().filter(|line| !line.contains("fault point")).map(str::len).sum::<usize>();
    let minutes = time.as_secs_f64() / 60.0;
    let logs = cluster.log_files().into_iter().map(|(path, text)| (volume(&text) as f64 / minutes, path));
    let most = logs.max_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, path) = most.expect("each process has a log");
    assert!(rate < per_minute, "{} grew by {:.1} MB a minute", path.display(), rate / 1e6);
    format!("{:.2} MB a minute are the most that a process has logged", rate / 1e6)
}
