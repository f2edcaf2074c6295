//! What clients wait for, and jobs that are tied to the client that submitted them.
use std::time::Duration;

use crate::config::ConfigOption;

/// How long a client waits for the answer to a call that is answered at once.
pub const TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("client.timeout").default("60 s").fallback(&["akka.client.timeout"]);
/// How often the client of a job that is tied to it says that it lives.
pub const HEARTBEAT_INTERVAL: ConfigOption<Duration> = ConfigOption::new("client.heartbeat.interval").default("30 s");
/// How long the JobManager waits for that before it cancels the job; 0: for ever.
pub const HEARTBEAT_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("client.heartbeat.timeout").default("3 min");
/// Where the jobs of a client run.
pub const TARGET: ConfigOption<String> = ConfigOption::new("execution.target").default("remote");
/// The client waits for the job's end.
pub const ATTACHED: ConfigOption<bool> = ConfigOption::new("execution.attached").default("false");
/// The job ends with a client that waits for it.
pub const SHUTDOWN_ON_ATTACHED_EXIT: ConfigOption<bool> =
    ConfigOption::new("execution.shutdown-on-attached-exit").default("false");
