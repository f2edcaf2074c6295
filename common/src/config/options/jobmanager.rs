//! Where the JobManager is.
use crate::config::{ConfigOption, Host};

/// The address under which the JobManager is reached.
pub const RPC_ADDRESS: ConfigOption<Host> = ConfigOption::new("jobmanager.rpc.address");
/// The port under which the JobManager is reached.
pub const RPC_PORT: ConfigOption<u16> = ConfigOption::new("jobmanager.rpc.port").default("6123");
/// The port the JobManager listens on, where it differs from the one it is reached under.
pub const RPC_BIND_PORT: ConfigOption<u16> = ConfigOption::new("jobmanager.rpc.bind-port");
/// The interface the JobManager listens on; not set: this machine alone reaches it.
pub const BIND_HOST: ConfigOption<Host> = ConfigOption::new("jobmanager.bind-host");
