//! Applications: SQL scripts that the JobManager plans itself, and their jobs. REST runs those that clients upload, application
//! mode the one that the cluster was started for.
//!
//! - `script`: from the text to jobs.
//! - `submission`: one job after the other, as `table.dml-sync` says.
//! - [`artifact`], [`options`]: the script and the options of application mode.
//! - [`bootstrap`]: an application from its start to its end, [`status`]; [`info`]: what is known of it meanwhile.
use wiesel_common::config::options::checkpointing;

pub mod artifact;
pub mod bootstrap;
pub mod info;
mod job_ids;
pub mod options;
pub(crate) mod script;
pub mod status;
pub(crate) mod submission;

/// The keys that stand for what a user says about the state that a job starts from.
pub fn restore_keys(
    path: Option<&str>,
    allow_non_restored: Option<bool>,
    claim_mode: Option<&str>,
) -> Vec<(String, String)> {
    let path = path.filter(|path| !path.trim().is_empty());
    let pairs = [
        (checkpointing::RESTORE_PATH.key(), path.map(str::to_owned)),
        (checkpointing::IGNORE_UNCLAIMED_STATE.key(), allow_non_restored.map(|allowed| allowed.to_string())),
        (checkpointing::CLAIM_MODE.key(), claim_mode.map(str::to_owned)),
    ];
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
