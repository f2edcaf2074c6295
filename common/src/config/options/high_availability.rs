//! Where a cluster keeps what outlives its JobManager, and how leaders follow each other.
use std::time::Duration;

use crate::config::{ConfigOption, PortRange};

crate::config_enum! {
    /// What keeps records and elects leaders.
    pub enum HighAvailabilityMode {
        /// Nothing: there is one JobManager, and its jobs end with it.
        None = "NONE" | "" | "standalone",
        /// The folder of [`STORAGE_DIR`] alone.
        ObjectStore = "object-store",
        /// ZooKeeper.
        ZooKeeper = "zookeeper",
        /// The API server of Kubernetes.
        Kubernetes = "kubernetes",
    }
}

/// What keeps records and elects leaders.
pub const TYPE: ConfigOption<HighAvailabilityMode> =
    ConfigOption::new("high-availability.type").default("NONE").fallback(&["high-availability", "recovery.mode"]);
/// The folder of what outlives a JobManager.
pub const STORAGE_DIR: ConfigOption<String> = ConfigOption::new("high-availability.storageDir")
    .fallback(&["high-availability.zookeeper.storageDir", "recovery.zookeeper.storageDir"]);
/// The cluster, among those that share the folder.
pub const CLUSTER_ID: ConfigOption<String> = ConfigOption::new("high-availability.cluster-id")
    .default("/default")
    .fallback(&["high-availability.zookeeper.path.namespace", "recovery.zookeeper.path.namespace"]);
/// The ports of a JobManager for calls, in place of `jobmanager.rpc.port`: whoever looks for it is told which one it has. 0 lets the
/// system choose.
pub const JOB_MANAGER_PORT: ConfigOption<PortRange> =
    ConfigOption::new("high-availability.jobmanager.port").default("0").fallback(&["recovery.jobmanager.port"]);

/// A leader that has not renewed its lease for so long is followed by another one.
pub const LEASE_DURATION: ConfigOption<Duration> =
    ConfigOption::new("high-availability.object-store.leader-election.lease-duration").default("15 s");
/// A leader that could not renew its lease for so long leads no more.
pub const RENEW_DEADLINE: ConfigOption<Duration> =
    ConfigOption::new("high-availability.object-store.leader-election.renew-deadline").default("10 s");
/// How often a lease is renewed, and looked at.
pub const RETRY_PERIOD: ConfigOption<Duration> =
    ConfigOption::new("high-availability.object-store.leader-election.retry-period").default("2 s");
