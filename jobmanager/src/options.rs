//! What the configuration says about the JobManager.
use std::path::PathBuf;
use std::time::Duration;

use wiesel_common::config::options::{cluster, jobmanager, rest, restart};
use wiesel_common::config::{ConfigError, ConfigOption, Configuration, MemorySize, PortRange};

use crate::jobmaster::checkpoint::options::CheckpointOptions;
use crate::jobmaster::restart_strategy::RestartStrategyOptions;
use crate::resourcemanager::slot_manager::LoadBalanceMode;

wiesel_common::config_enum! {
    /// How slots are chosen.
    enum LoadBalance {
        /// It does not matter.
        None = "NONE",
        /// By free slots.
        Slots = "SLOTS",
        /// As few TaskManagers as possible.
        MinResources = "MIN_RESOURCES",
        /// By tasks.
        Tasks = "TASKS",
    }
}

wiesel_common::config_enum! {
    /// What restarts when a task fails.
    enum FailoverStrategy {
        /// Its pipelined region.
        Region = "region",
        /// The job.
        Full = "full",
    }
}

const LOAD_BALANCE: ConfigOption<LoadBalance> = ConfigOption::new("taskmanager.load-balance.mode").default("NONE");
const JOB_STORE_CAPACITY: ConfigOption<usize> = ConfigOption::new("jobstore.max-capacity").default("2147483647");
const JOB_STORE_EXPIRATION_SECONDS: ConfigOption<u64> = ConfigOption::new("jobstore.expiration-time").default("3600");
const JOB_STORE_CACHE_BYTES: ConfigOption<usize> = ConfigOption::new("jobstore.cache-size").default("52428800");
const CLIENT_HEARTBEAT_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("client.heartbeat.timeout").default("3 min");
const ATTACHED: ConfigOption<bool> = ConfigOption::new("execution.attached").default("false");
const SHUTDOWN_ON_ATTACHED_EXIT: ConfigOption<bool> =
    ConfigOption::new("execution.shutdown-on-attached-exit").default("false");
const COLLECT_BATCH_SIZE: ConfigOption<MemorySize> = ConfigOption::new("collect-sink.batch-size.max").default("2 mb");
const FAILOVER_STRATEGY: ConfigOption<FailoverStrategy> =
    ConfigOption::new("jobmanager.execution.failover-strategy").default("region");
const OBJECT_REUSE: ConfigOption<bool> = ConfigOption::new("pipeline.object-reuse").default("false");
const RESULT_RETENTION: ConfigOption<Duration> = ConfigOption::new("rest.async.store-duration").default("5 min");
const REFRESH_INTERVAL: ConfigOption<Duration> =
    ConfigOption::new("web.refresh-interval").default("3 s").fallback(&["jobmanager.web.refresh-interval"]);
const TMP_DIR: ConfigOption<String> =
    ConfigOption::new("web.tmpdir").fallback(&["jobmanager.web.tmpdir", "io.tmp.dirs"]);

/// The control plane.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// The host others reach this process by.
    pub address: String,
    /// The interface to listen on.
    pub bind_host: String,
    /// The port others are told; the bound one if it is 0.
    pub port: u16,
    /// The port to listen on.
    pub bind_port: u16,
    /// How often heartbeats are sent.
    pub heartbeat_interval: Duration,
    /// Silence after which a TaskManager is lost.
    pub heartbeat_timeout: Duration,
    /// How long a call to a TaskManager may take.
    pub rpc_timeout: Duration,
    /// How slots are chosen.
    pub load_balance: LoadBalanceMode,
}

/// Finished jobs.
#[derive(Clone, Debug)]
pub struct JobStoreOptions {
    /// At most so many.
    pub capacity: usize,
    /// For so long.
    pub expiration: Duration,
    /// At most so many bytes, estimated.
    pub bytes: usize,
    /// Collected rows wait for their client for so long.
    pub result_retention: Duration,
}

/// The REST endpoint.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// The host clients reach this process by.
    pub address: String,
    /// The interface to listen on.
    pub bind_address: String,
    /// Ports to try.
    pub bind_ports: PortRange,
    /// The longest body.
    pub max_content_length: usize,
    /// Artifacts may be uploaded and run.
    pub submit: bool,
    /// The dashboard may cancel jobs.
    pub cancel: bool,
    /// Where artifacts are kept.
    pub upload_dir: PathBuf,
    /// The folder was made for this process alone and is removed with it.
    pub upload_dir_is_temporary: bool,
    /// How often the dashboard asks.
    pub refresh_interval: Duration,
}

/// What a job runs under: the cluster's configuration with the job's own keys over it.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// After a failure.
    pub restart: RestartStrategyOptions,
    /// How many failures are kept.
    pub exception_history: usize,
    /// How long the job waits for slots.
    pub slot_request_timeout: Duration,
    /// The job is cancelled if its client is silent for so long; none: it goes on.
    pub client_timeout: Option<Duration>,
    /// The most bytes of collected rows in one answer; twice as many are buffered.
    pub collect_batch_bytes: usize,
    /// For the job's configuration page.
    pub object_reuse: bool,
    /// Only the region of a failed task restarts, not the whole job.
    pub restart_regions: bool,
    /// Checkpoints, and what the job starts from.
    pub checkpoints: CheckpointOptions,
}

impl ControlOptions {
    /// Reads them.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let port = config.get(&jobmanager::RPC_PORT)?;
        let pack = config.get(&LOAD_BALANCE)? == LoadBalance::MinResources;
        let options = Self {
            address: config.get_optional(&jobmanager::RPC_ADDRESS)?.unwrap_or_else(|| "localhost".into()),
            bind_host: config.get_optional(&jobmanager::BIND_HOST)?.unwrap_or_else(|| "0.0.0.0".into()),
            port,
            bind_port: config.get_optional(&jobmanager::RPC_BIND_PORT)?.unwrap_or(port),
            heartbeat_interval: config.get(&cluster::HEARTBEAT_INTERVAL)?,
            heartbeat_timeout: config.get(&cluster::HEARTBEAT_TIMEOUT)?,
            rpc_timeout: config.get(&cluster::RPC_ASK_TIMEOUT)?,
            load_balance: if pack { LoadBalanceMode::Pack } else { LoadBalanceMode::Spread },
        };
        if options.heartbeat_interval.is_zero() || options.heartbeat_interval >= options.heartbeat_timeout {
            return Err(ConfigError::Inconsistent(format!(
                "heartbeat.interval ({:?}) must be greater than zero and less than heartbeat.timeout ({:?})",
                options.heartbeat_interval, options.heartbeat_timeout
            )));
        }
        Ok(options)
    }
}

impl JobStoreOptions {
    /// Reads them.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        Ok(Self {
            capacity: config.get(&JOB_STORE_CAPACITY)?,
            expiration: Duration::from_secs(config.get(&JOB_STORE_EXPIRATION_SECONDS)?),
            bytes: config.get(&JOB_STORE_CACHE_BYTES)?,
            result_retention: config.get(&RESULT_RETENTION)?,
        })
    }
}

impl RestOptions {
    /// Reads them.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let configured = config.get_optional(&rest::UPLOAD_DIR)?;
        let upload_dir_is_temporary = configured.is_none();
        let base = match configured {
            Some(folder) => PathBuf::from(folder),
            None => {
                let tmp = config.get_optional(&TMP_DIR)?;
                let tmp = tmp.map_or_else(std::env::temp_dir, PathBuf::from);
                tmp.join(format!("flink-web-{}", uuid::Uuid::new_v4()))
            }
        };
        Ok(Self {
            address: config.get_optional(&rest::ADDRESS)?.unwrap_or_else(|| "localhost".into()),
            bind_address: config.get_optional(&rest::BIND_ADDRESS)?.unwrap_or_else(|| "0.0.0.0".into()),
            bind_ports: config.get(&rest::BIND_PORT)?,
            max_content_length: config.get(&rest::SERVER_MAX_CONTENT_LENGTH)?.0 as usize,
            submit: config.get(&rest::SUBMIT_ENABLE)?,
            cancel: config.get(&rest::CANCEL_ENABLE)?,
            upload_dir: base.join("flink-web-upload"),
            upload_dir_is_temporary,
            refresh_interval: config.get(&REFRESH_INTERVAL)?,
        })
    }
}

impl JobOptions {
    /// Reads them from a job's effective configuration.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let tied = config.get(&ATTACHED)? && config.get(&SHUTDOWN_ON_ATTACHED_EXIT)?;
        let client_timeout = config.get(&CLIENT_HEARTBEAT_TIMEOUT)?;
        let checkpoints = CheckpointOptions::read(config)?;
        Ok(Self {
            restart: restart_strategy(config, checkpoints.interval.is_some())?,
            exception_history: config.get(&rest::EXCEPTION_HISTORY_SIZE)?,
            slot_request_timeout: config.get(&cluster::SLOT_REQUEST_TIMEOUT)?,
            client_timeout: (tied && !client_timeout.is_zero()).then_some(client_timeout),
            collect_batch_bytes: config.get(&COLLECT_BATCH_SIZE)?.0 as usize,
            object_reuse: config.get(&OBJECT_REUSE)?,
            restart_regions: config.get(&FAILOVER_STRATEGY)? == FailoverStrategy::Region,
            checkpoints,
        })
    }
}

fn restart_strategy(config: &Configuration, checkpointed: bool) -> Result<RestartStrategyOptions, ConfigError> {
    use restart::RestartStrategy;
    let kind = match config.get_optional(&restart::TYPE)? {
        Some(kind) => kind,
        None if checkpointed => RestartStrategy::ExponentialDelay,
        None => RestartStrategy::None,
    };
    Ok(match kind {
        RestartStrategy::None => RestartStrategyOptions::None,
        RestartStrategy::FixedDelay => RestartStrategyOptions::FixedDelay {
            attempts: config.get(&restart::FIXED_DELAY_ATTEMPTS)?,
            delay: config.get(&restart::FIXED_DELAY)?,
        },
        RestartStrategy::FailureRate => RestartStrategyOptions::FailureRate {
            max_failures: config.get(&restart::FAILURE_RATE_MAX)?,
            interval: config.get(&restart::FAILURE_RATE_INTERVAL)?,
            delay: config.get(&restart::FAILURE_RATE_DELAY)?,
        },
        RestartStrategy::ExponentialDelay => RestartStrategyOptions::ExponentialDelay {
            initial: config.get(&restart::EXPONENTIAL_INITIAL)?,
            max: config.get(&restart::EXPONENTIAL_MAX)?,
            multiplier: config.get(&restart::EXPONENTIAL_MULTIPLIER)?,
            reset_threshold: config.get(&restart::EXPONENTIAL_RESET)?,
            jitter: config.get(&restart::EXPONENTIAL_JITTER)?,
            attempts: config.get(&restart::EXPONENTIAL_ATTEMPTS)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn without_checkpoints_nothing_is_restarted() {
        let options = JobOptions::read(&Configuration::default()).unwrap();
        assert_eq!(options.restart, RestartStrategyOptions::None);
        assert_eq!(options.slot_request_timeout, Duration::from_secs(300));
        let checkpointed = config(&[("execution.checkpointing.interval", "10 s")]);
        let options = JobOptions::read(&checkpointed).unwrap();
        assert!(matches!(options.restart, RestartStrategyOptions::ExponentialDelay { .. }));
    }

    #[test]
    fn a_strategy_by_any_of_its_names() {
        let pairs = [("restart-strategy", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "3")];
        let options = JobOptions::read(&config(&pairs)).unwrap();
        let expected = RestartStrategyOptions::FixedDelay { attempts: 3, delay: Duration::from_secs(1) };
        assert_eq!(options.restart, expected);
    }

    #[test]
    fn a_job_is_tied_to_its_client_only_if_it_asks() {
        assert_eq!(JobOptions::read(&Configuration::default()).unwrap().client_timeout, None);
        let pairs = [("execution.attached", "true"), ("execution.shutdown-on-attached-exit", "true")];
        assert_eq!(JobOptions::read(&config(&pairs)).unwrap().client_timeout, Some(Duration::from_secs(180)));
    }

    #[test]
    fn heartbeats_must_fit_into_their_timeout() {
        let pairs = [("heartbeat.interval", "10 s"), ("heartbeat.timeout", "5 s")];
        assert!(ControlOptions::read(&config(&pairs)).unwrap_err().to_string().contains("heartbeat.interval"));
    }
}
