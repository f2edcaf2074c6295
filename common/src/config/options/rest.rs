//! The REST endpoint.
use std::time::Duration;

use crate::config::{ConfigOption, Host, MemorySize, PortRange};

/// The address clients connect to.
pub const ADDRESS: ConfigOption<Host> = ConfigOption::new("rest.address").fallback(&["jobmanager.rpc.address"]);
/// The port clients connect to, and the one that is bound where no range is set.
pub const PORT: ConfigOption<u16> = ConfigOption::new("rest.port").default("8081").fallback(&["web.port"]);
/// The ports to try to listen on.
pub const BIND_PORT: ConfigOption<PortRange> =
    ConfigOption::new("rest.bind-port").default("8081").fallback(&["rest.port", "web.port", "jobmanager.web.port"]);
/// The interface to listen on; not set: this machine alone reaches it.
pub const BIND_ADDRESS: ConfigOption<Host> =
    ConfigOption::new("rest.bind-address").fallback(&["web.address", "jobmanager.web.address"]);
/// How long a client waits for a JobManager to lead, and to answer, where there is an election.
pub const AWAIT_LEADER_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("rest.await-leader-timeout").default("30 s");
/// The longest body a request may have.
pub const SERVER_MAX_CONTENT_LENGTH: ConfigOption<MemorySize> =
    ConfigOption::new("rest.server.max-content-length").default("104857600");
/// Whether artifacts may be uploaded and run. `sql-client.sh` needs none.
pub const SUBMIT_ENABLE: ConfigOption<bool> =
    ConfigOption::new("web.submit.enable").default("true").fallback(&["jobmanager.web.submit.enable"]);
/// Whether a dashboard offers to cancel jobs. REST does so all the same, as in Flink.
pub const CANCEL_ENABLE: ConfigOption<bool> = ConfigOption::new("web.cancel.enable").default("true");
/// Origins (scheme, host and port, with commas between them) whose pages may read answers and change something, or `*`. Flink's
/// default is `*`: any page that a user has open.
pub const ALLOW_ORIGIN: ConfigOption<String> = ConfigOption::new("web.access-control-allow-origin")
    .default("")
    .fallback(&["jobmanager.web.access-control-allow-origin"]);
/// The folder for uploaded artifacts.
pub const UPLOAD_DIR: ConfigOption<String> =
    ConfigOption::new("web.upload.dir").fallback(&["jobmanager.web.upload.dir"]);
/// How many former failures are kept for a job.
pub const EXCEPTION_HISTORY_SIZE: ConfigOption<usize> = ConfigOption::new("web.exception-history-size").default("16");
