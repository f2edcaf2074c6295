//! What the configuration says about the JobManager.
use std::path::PathBuf;
use std::time::Duration;

use wiesel_common::config::options::high_availability::{self, HighAvailabilityMode};
use wiesel_common::config::options::{checkpointing, client, cluster, job, jobmanager, rest, restart, state};
use wiesel_common::config::{
    ConfigError, ConfigOption, ConfigValue, Configuration, FOR_EVER, Host, LOOPBACK, MemorySize, PortRange,
    format_duration,
};
use wiesel_common::filesystem::Location;

use crate::application::info::ApplicationHandle;
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
const COLLECT_BATCH_SIZE: ConfigOption<MemorySize> = ConfigOption::new("collect-sink.batch-size.max").default("2 mb");
const FAILOVER_STRATEGY: ConfigOption<FailoverStrategy> =
    ConfigOption::new("jobmanager.execution.failover-strategy").default("region");
const OBJECT_REUSE: ConfigOption<bool> = ConfigOption::new("pipeline.object-reuse").default("false");
const RESULT_RETENTION: ConfigOption<Duration> = ConfigOption::new("rest.async.store-duration").default("5 min");
const REFRESH_INTERVAL: ConfigOption<Duration> =
    ConfigOption::new("web.refresh-interval").default("3 s").fallback(&["jobmanager.web.refresh-interval"]);
const TMP_DIR: ConfigOption<String> = ConfigOption::new("web.tmpdir").fallback(&["jobmanager.web.tmpdir"]);

/// The shortest time that a TaskManager has for a call that is not made again.
const SINGLE_CALL: Duration = Duration::from_secs(60);

/// The control plane.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// The host others reach this process by.
    pub address: String,
    /// The interface to listen on.
    pub bind_host: String,
    /// The port others are told; the bound one if it is 0.
    pub port: u16,
    /// Ports to try.
    pub bind_ports: PortRange,
    /// The key that sets them.
    pub ports_key: &'static str,
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
    /// What the cluster is for, if clients may not submit jobs and run artifacts.
    pub application: Option<ApplicationHandle>,
    /// Artifacts may be uploaded and run.
    pub submit: bool,
    /// A dashboard may offer to cancel jobs.
    pub cancel: bool,
    /// Where artifacts are kept.
    pub upload_dir: PathBuf,
    /// The key that says where it is, or that may say so.
    pub upload_dir_key: &'static str,
    /// The folder was made for this process alone and is removed with it.
    pub upload_dir_is_temporary: bool,
    /// How often the dashboard asks.
    pub refresh_interval: Duration,
    /// Origins whose pages may read answers and change something (`web.access-control-allow-origin`).
    pub allow_origin: String,
    /// Further names of this process.
    pub names: Vec<String>,
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
        let (port, bind_ports, ports_key) = rpc_ports(config)?;
        let pack = config.get(&LOAD_BALANCE)? == LoadBalance::MinResources;
        let options = Self {
            address: host(config, &jobmanager::RPC_ADDRESS)?,
            bind_host: host(config, &jobmanager::BIND_HOST)?,
            port,
            bind_ports,
            ports_key,
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
        // They are added to times, and calls carry the last.
        Ok(Self {
            heartbeat_interval: options.heartbeat_interval.min(FOR_EVER),
            heartbeat_timeout: options.heartbeat_timeout.min(FOR_EVER),
            rpc_timeout: options.rpc_timeout.min(FOR_EVER),
            ..options
        })
    }

    /// How long a call to a TaskManager may take that is not made again: to create its tasks, which may wait for network buffers, or to
    /// take splits. It has an end because a TaskManager may send heartbeats though no call reaches it. One that stands still and goes on
    /// before `heartbeat.timeout` is over is not lost, and no job fails for it: it has the time of a call beyond that.
    pub fn single_call_timeout(&self) -> Duration {
        self.heartbeat_timeout.saturating_add(self.rpc_timeout).clamp(SINGLE_CALL, FOR_EVER)
    }
}

impl JobStoreOptions {
    /// Reads them.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        Ok(Self {
            capacity: config.get(&JOB_STORE_CAPACITY)?,
            expiration: Duration::from_secs(config.get(&JOB_STORE_EXPIRATION_SECONDS)?).min(FOR_EVER),
            bytes: config.get(&JOB_STORE_CACHE_BYTES)?,
            result_retention: config.get(&RESULT_RETENTION)?.min(FOR_EVER),
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
                let tmp = match config.get_optional(&TMP_DIR)? {
                    Some(folder) => Some(PathBuf::from(folder)),
                    None if config.contains(&state::TEMPORARY_DIRECTORIES) => {
                        state::folders(&config.get(&state::TEMPORARY_DIRECTORIES)?).into_iter().next()
                    }
                    None => None,
                };
                let tmp = tmp.unwrap_or_else(std::env::temp_dir);
                tmp.join(format!("flink-web-{}", wiesel_common::random::uuid()))
            }
        };
        Ok(Self {
            address: host(config, &rest::ADDRESS)?,
            bind_address: host(config, &rest::BIND_ADDRESS)?,
            bind_ports: config.get(&rest::BIND_PORT)?,
            max_content_length: max_content_length(config)?,
            application: None,
            submit: config.get(&rest::SUBMIT_ENABLE)?,
            cancel: config.get(&rest::CANCEL_ENABLE)?,
            upload_dir: base.join("flink-web-upload"),
            upload_dir_key: upload_dir_key(config),
            upload_dir_is_temporary,
            refresh_interval: config.get(&REFRESH_INTERVAL)?.min(FOR_EVER),
            allow_origin: config.get(&rest::ALLOW_ORIGIN)?,
            names: config.get_optional(&jobmanager::RPC_ADDRESS)?.into_iter().map(Host::into_string).collect(),
        })
    }
}

/// The port for calls that others are told (0: the bound one), those to try to listen on, and the key of them.
fn rpc_ports(config: &Configuration) -> Result<(u16, PortRange, &'static str), ConfigError> {
    let bound = config.get_optional(&jobmanager::RPC_BIND_PORT)?;
    if config.get(&high_availability::TYPE)? == HighAvailabilityMode::None {
        let port = config.get(&jobmanager::RPC_PORT)?;
        return Ok((port, PortRange::single(bound.unwrap_or(port)), jobmanager::RPC_PORT.key()));
    }
    // As in Flink: there may be several JobManagers, and whoever looks for the one that leads is told its port.
    let ports = config.get(&high_availability::JOB_MANAGER_PORT)?;
    let (port, ports) = match bound {
        Some(bound) => (ports.iter().next().unwrap_or(0), PortRange::single(bound)),
        None => (0, ports),
    };
    Ok((port, ports, high_availability::JOB_MANAGER_PORT.key()))
}

/// The key that says where uploads are kept, or the one that may say so.
fn upload_dir_key(config: &Configuration) -> &'static str {
    let own = config.key_of(&rest::UPLOAD_DIR);
    let temporary = || config.key_of(&TMP_DIR).or_else(|| config.key_of(&state::TEMPORARY_DIRECTORIES));
    own.or_else(temporary).unwrap_or(rest::UPLOAD_DIR.key())
}

impl JobOptions {
    /// Reads them from a job's effective configuration.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let tied = config.get(&client::ATTACHED)? && config.get(&client::SHUTDOWN_ON_ATTACHED_EXIT)?;
        let client_timeout = config.get(&client::HEARTBEAT_TIMEOUT)?.min(FOR_EVER);
        let checkpoints = CheckpointOptions::read(config)?;
        // What they say is in the job's plan: here they are read for the sake of their errors.
        for option in [&job::PARALLELISM, &job::MAX_PARALLELISM] {
            config.get(option)?;
        }
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

/// Refuses folders for checkpoints and savepoints that no job could use. What only their store knows comes later.
pub(crate) fn check_folders(config: &Configuration) -> Result<(), ConfigError> {
    for option in [&checkpointing::DIRECTORY, &checkpointing::SAVEPOINT_DIRECTORY] {
        // As for a job, an empty one is none.
        let Some(uri) = config.get_optional(option)?.filter(|uri| !uri.trim().is_empty()) else { continue };
        Location::check(&uri, config).map_err(|error| option.bad_value(option.key(), &uri, error.to_string()))?;
    }
    Ok(())
}

fn host(config: &Configuration, option: &ConfigOption<Host>) -> Result<String, ConfigError> {
    Ok(config.get_optional(option)?.map_or_else(|| LOOPBACK.to_owned(), Host::into_string))
}

fn max_content_length(config: &Configuration) -> Result<usize, ConfigError> {
    let least = "expected at least 1 byte: what is not set is 100 mb";
    let bytes = checked(config, &rest::SERVER_MAX_CONTENT_LENGTH, |size| size.bytes() > 0, least)?.bytes();
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
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
            max_failures: checked(config, &restart::FAILURE_RATE_MAX, |most| *most > 0, "expected at least 1")?,
            interval: checked(config, &restart::FAILURE_RATE_INTERVAL, is_a_millisecond, AT_LEAST_A_MILLISECOND)?,
            delay: config.get(&restart::FAILURE_RATE_DELAY)?,
        },
        RestartStrategy::ExponentialDelay => exponential_delay(config)?,
    })
}

/// With what Flink's strategy asks of its parameters.
fn exponential_delay(config: &Configuration) -> Result<RestartStrategyOptions, ConfigError> {
    let max = checked(config, &restart::EXPONENTIAL_MAX, is_a_millisecond, AT_LEAST_A_MILLISECOND)?;
    let between = format!("expected from 1 ms to {} ({})", format_duration(max), restart::EXPONENTIAL_MAX.key());
    let fits = |initial: &Duration| is_a_millisecond(initial) && *initial <= max;
    Ok(RestartStrategyOptions::ExponentialDelay {
        initial: checked(config, &restart::EXPONENTIAL_INITIAL, fits, &between)?,
        max,
        multiplier: checked(config, &restart::EXPONENTIAL_MULTIPLIER, |by| *by > 1.0, "expected a number above 1")?,
        reset_threshold: checked(config, &restart::EXPONENTIAL_RESET, is_a_millisecond, AT_LEAST_A_MILLISECOND)?,
        jitter: checked(
            config,
            &restart::EXPONENTIAL_JITTER,
            |share| (0.0..=1.0).contains(share),
            "expected a number from 0 to 1",
        )?,
        attempts: checked(config, &restart::EXPONENTIAL_ATTEMPTS, |most| *most > 0, "expected at least 1")?,
    })
}

const AT_LEAST_A_MILLISECOND: &str = "expected at least 1 ms";

fn is_a_millisecond(duration: &Duration) -> bool {
    *duration >= Duration::from_millis(1)
}

/// The value of an option, refused if it cannot work.
fn checked<T: ConfigValue>(
    config: &Configuration,
    option: &ConfigOption<T>,
    works: impl FnOnce(&T) -> bool,
    expected: &str,
) -> Result<T, ConfigError> {
    let value = config.get(option)?;
    if works(&value) { Ok(value) } else { Err(option.bad_value(option.key(), &value.show(), expected)) }
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

    /// Failed before: it was a minute, and a TaskManager that stood still for longer failed its job without being lost.
    #[test]
    fn a_call_that_is_not_made_again_has_time_until_its_task_manager_would_be_lost() {
        for (pairs, expected) in [
            (&[][..], 60),
            (&[("heartbeat.timeout", "20 s")][..], 60),
            (&[("heartbeat.timeout", "5 min")][..], 310),
            (&[("pekko.ask.timeout", "2 min")][..], 170),
            (&[("heartbeat.timeout", "1000000 d")][..], FOR_EVER.as_secs()),
        ] {
            let options = ControlOptions::read(&config(pairs)).unwrap();
            assert_eq!(options.single_call_timeout(), Duration::from_secs(expected), "{pairs:?}");
        }
    }

    #[test]
    fn a_strategy_by_any_of_its_names() {
        let pairs = [("restart-strategy", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "3")];
        let options = JobOptions::read(&config(&pairs)).unwrap();
        let expected = RestartStrategyOptions::FixedDelay { attempts: 3, delay: Duration::from_secs(1) };
        assert_eq!(options.restart, expected);
    }

    /// As Flink does; before, a multiplier of -1 and a jitter of 2 were taken.
    #[test]
    fn a_strategy_that_cannot_work_is_refused() {
        for (strategy, key, value, expected) in [
            ("exponential-delay", "backoff-multiplier", "0.0", "above 1"),
            ("exponential-delay", "backoff-multiplier", "-1.0", "above 1"),
            ("exponential-delay", "backoff-multiplier", "1.0", "above 1"),
            ("exponential-delay", "backoff-multiplier", "NaN", "a number"),
            ("exponential-delay", "jitter-factor", "2.0", "from 0 to 1"),
            ("exponential-delay", "jitter-factor", "-0.1", "from 0 to 1"),
            ("exponential-delay", "initial-backoff", "0 ms", "from 1 ms to 1 min"),
            ("exponential-delay", "initial-backoff", "2 min", "from 1 ms to 1 min"),
            ("exponential-delay", "max-backoff", "0 ms", "at least 1 ms"),
            ("exponential-delay", "reset-backoff-threshold", "0 ms", "at least 1 ms"),
            ("exponential-delay", "attempts-before-reset-backoff", "0", "at least 1"),
            ("failure-rate", "max-failures-per-interval", "0", "at least 1"),
            ("failure-rate", "failure-rate-interval", "0 ms", "at least 1 ms"),
        ] {
            let key = format!("restart-strategy.{strategy}.{key}");
            let pairs = [("restart-strategy.type", strategy), (key.as_str(), value)];
            let error = JobOptions::read(&config(&pairs)).unwrap_err().to_string();
            let shown = format!("'{value}' for key '{key}'");
            assert!(error.contains(&shown) && error.contains(expected), "{error}");
            // It is no matter where another strategy is chosen.
            let other = [("restart-strategy.type", "none"), (key.as_str(), value)];
            assert!(JobOptions::read(&config(&other)).is_ok());
        }
        let pairs = [
            ("restart-strategy.type", "exponential-delay"),
            ("restart-strategy.exponential-delay.jitter-factor", "1"),
            ("restart-strategy.exponential-delay.backoff-multiplier", "1.01"),
            ("restart-strategy.exponential-delay.initial-backoff", "1 min"),
        ];
        assert!(JobOptions::read(&config(&pairs)).is_ok());
    }

    /// Before, all of these started, and each job stumbled over them or did something else.
    #[test]
    fn what_no_job_can_use_is_refused() {
        for (key, value, expected) in [
            ("parallelism.default", "0", "from 1 to 32768"),
            ("parallelism.default", "32769", "from 1 to 32768"),
            ("pipeline.max-parallelism", "0", "from 1 to 32768"),
            ("state.backend.type", "foo", "hashmap, rocksdb"),
        ] {
            let error = JobOptions::read(&config(&[(key, value)])).unwrap_err().to_string();
            assert!(error.contains(&format!("'{value}' for key '{key}'")) && error.contains(expected), "{error}");
        }
        assert!(
            JobOptions::read(&config(&[("parallelism.default", "-1"), ("pipeline.max-parallelism", "-1")])).is_ok()
        );
        for key in ["execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"] {
            let error = check_folders(&config(&[(key, "hdfs://host/x")])).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("file system implementation"), "{error}");
            assert!(check_folders(&config(&[(key, "s3://bucket/x")])).is_ok());
            assert!(check_folders(&config(&[(key, "")])).is_ok());
        }
    }

    #[test]
    fn addresses_and_sizes_that_cannot_work_are_refused() {
        for (key, value, expected) in [
            ("rest.address", "", "a host"),
            ("rest.bind-address", "", "a host"),
            ("rest.server.max-content-length", "0", "at least 1 byte"),
        ] {
            let error = RestOptions::read(&config(&[(key, value)])).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(expected), "{error}");
        }
        for key in ["jobmanager.rpc.address", "jobmanager.bind-host"] {
            let error = ControlOptions::read(&config(&[(key, " ")])).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("a host"), "{error}");
        }
    }

    /// Before, a list of folders was the name of one, and the message about a folder that cannot be made named other keys.
    #[test]
    fn uploads_are_kept_below_the_first_temporary_folder() {
        let read = |pairs: &[(&str, &str)]| {
            let options = RestOptions::read(&config(pairs)).unwrap();
            assert!(options.upload_dir.ends_with("flink-web-upload"));
            (options.upload_dir, options.upload_dir_key)
        };
        for (key, value, below) in [
            ("web.upload.dir", "/a", "/a"),
            ("jobmanager.web.upload.dir", "/a", "/a"),
            ("web.tmpdir", "/a", "/a"),
            ("jobmanager.web.tmpdir", "/a", "/a"),
            ("io.tmp.dirs", "/a,/b", "/a"),
            ("taskmanager.tmp.dirs", "/a:/b", "/a"),
        ] {
            let (folder, named) = read(&[(key, value), ("taskmanager.tmp.dirs", "/a:/b")]);
            assert!(folder.starts_with(below) && named == key, "{folder:?} {named}");
        }
        let (folder, named) = read(&[]);
        assert!(folder.starts_with(std::env::temp_dir()) && named == "web.upload.dir", "{folder:?} {named}");
    }

    #[test]
    fn a_job_manager_among_several_has_a_port_that_is_found_out() {
        let ports = |pairs: &[(&str, &str)]| {
            let mut pairs = pairs.to_vec();
            pairs.push(("jobmanager.rpc.port", "7000"));
            let options = ControlOptions::read(&config(&pairs)).unwrap();
            (options.port, options.bind_ports.iter().collect::<Vec<_>>(), options.ports_key)
        };
        let (elected, key) = (("high-availability.type", "object-store"), "high-availability.jobmanager.port");
        assert_eq!(ports(&[]), (7000, vec![7000], "jobmanager.rpc.port"));
        assert_eq!(ports(&[("jobmanager.rpc.bind-port", "7001")]), (7000, vec![7001], "jobmanager.rpc.port"));
        assert_eq!(ports(&[(key, "7002")]).1, [7000]);
        assert_eq!(ports(&[elected]), (0, vec![0], key));
        assert_eq!(ports(&[elected, (key, "7002-7003")]), (0, vec![7002, 7003], key));
        let behind = [elected, (key, "7002"), ("jobmanager.rpc.bind-port", "7004")];
        assert_eq!(ports(&behind), (7002, vec![7004], key));
    }

    /// Before, it was every interface of the machine.
    #[test]
    fn without_a_bind_host_the_ports_listen_on_this_machine() {
        let none = Configuration::default();
        assert_eq!(ControlOptions::read(&none).unwrap().bind_host, "localhost");
        assert_eq!(RestOptions::read(&none).unwrap().bind_address, "localhost");
    }

    /// Before, such a duration was more than a time can be later than another, and than a call can carry.
    #[test]
    fn durations_that_never_end_can_be_added_to_a_time() {
        let never = "9223372036854775807 s";
        let control = ControlOptions::read(&config(&[
            ("heartbeat.interval", "9223372036854775807"),
            ("heartbeat.timeout", never),
            ("pekko.ask.timeout", never),
        ]));
        let control = control.unwrap();
        let store =
            config(&[("jobstore.expiration-time", "18446744073709551615"), ("rest.async.store-duration", never)]);
        let store = JobStoreOptions::read(&store).unwrap();
        let job = JobOptions::read(&config(&[
            ("execution.attached", "true"),
            ("execution.shutdown-on-attached-exit", "true"),
            ("client.heartbeat.timeout", never),
        ]));
        let client_timeout = job.unwrap().client_timeout.unwrap();
        for duration in [control.heartbeat_interval, control.heartbeat_timeout, control.rpc_timeout]
            .into_iter()
            .chain([store.expiration, store.result_retention, client_timeout])
        {
            assert_eq!(duration, FOR_EVER);
        }
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
