//! What the configuration says about a TaskManager.
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use wiesel_common::config::options::high_availability::{self, HighAvailabilityMode};
use wiesel_common::config::options::{self, cluster, jobmanager, network, taskmanager};
use wiesel_common::config::{
    ConfigError, ConfigOption, Configuration, FOR_EVER, Host, LOOPBACK, PortRange, format_duration, host_and_port,
};
use wiesel_common::memory::TaskManagerMemory;
use wiesel_common::secret::Secret;
use wiesel_network::codec::Compression;

use crate::executor::registration;

const MAX_BUFFERS_PER_CHANNEL: ConfigOption<u32> =
    ConfigOption::new("taskmanager.network.memory.max-buffers-per-channel").default("10");

/// Tasks end before so long without a JobMaster: nobody comes for them any more, and what they have to say waits for no longer.
const LONGEST_WITHOUT_LEADER: Duration = Duration::from_secs(600);

/// Settings of a TaskManager.
#[derive(Clone, Debug)]
pub struct Options {
    /// "host:port" of the JobManager.
    pub job_manager: String,
    /// The host under which others reach this process.
    pub host: String,
    /// The interface to listen on.
    pub bind_host: String,
    /// Ports for calls: what is told to others (0: the bound one) and what is bound.
    pub rpc_port: u16,
    /// Ports to try to bind for calls.
    pub rpc_bind_ports: PortRange,
    /// The data port told to others; 0: the bound one.
    pub data_port: u16,
    /// Ports to try to bind for the data plane.
    pub data_bind_ports: PortRange,
    /// How many slots.
    pub slots: u32,
    /// CPU cores that it says it has; none: the machine's.
    pub cpu_cores: Option<f64>,
    /// Its id, if it is given.
    pub resource_id: Option<String>,
    /// How long a slot waits for its job.
    pub slot_timeout: Duration,
    /// How long a cancelled task may go on; none: for ever.
    pub cancellation_timeout: Option<Duration>,
    /// How long tasks go on without a JobMaster; zero, as without an election: they end when it is lost.
    pub tasks_without_leader: Duration,
    /// The parts of the memory.
    pub memory: TaskManagerMemory,
    /// The data plane.
    pub network: wiesel_network::Options,
    /// What the cluster's processes share.
    pub secret: Option<Secret>,
    pub(crate) registration: registration::Options,
}

impl Options {
    /// Reads the options.
    ///
    /// # Errors
    /// The first bad or missing value.
    pub fn from_configuration(config: &Configuration) -> Result<Self, ConfigError> {
        options::check(config)?;
        let address = config.get(&jobmanager::RPC_ADDRESS)?.into_string();
        let job_manager = host_and_port(&address, config.get(&jobmanager::RPC_PORT)?);
        let host = match config.get_optional(&taskmanager::HOST)? {
            Some(host) => host.into_string(),
            None => own_address(&job_manager).or_else(address_of_name).unwrap_or_else(|| LOOPBACK.to_owned()),
        };
        let rpc = config.get(&taskmanager::RPC_PORT)?;
        let (rpc_port, rpc_bind_ports) = match config.get_optional(&taskmanager::RPC_BIND_PORT)? {
            Some(bind) => (rpc.iter().next().unwrap_or(0), PortRange::single(bind)),
            None => (0, rpc),
        };
        let data_port = config.get(&taskmanager::DATA_PORT)?;
        let data_bind_ports =
            config.get_optional(&taskmanager::DATA_BIND_PORT)?.unwrap_or_else(|| PortRange::single(data_port));
        let bind_host = config.get_optional(&taskmanager::BIND_HOST)?;
        let cpu_cores = config.get_optional(&taskmanager::CPU_CORES)?;
        if let Some(cores) = cpu_cores.filter(|cores| *cores <= 0.0) {
            let (option, shown) = (&taskmanager::CPU_CORES, cores.to_string());
            return Err(option.bad_value(option.key(), &shown, "expected a number above 0"));
        }
        let cancellation = config.get(&taskmanager::CANCELLATION_TIMEOUT)?;
        let memory = TaskManagerMemory::from_config(config)?;
        let secret = Secret::from_configuration(config)?;
        Ok(Self {
            job_manager,
            host,
            bind_host: bind_host.map_or_else(|| LOOPBACK.to_owned(), Host::into_string),
            rpc_port,
            rpc_bind_ports,
            data_port,
            data_bind_ports,
            slots: config.get(&taskmanager::SLOTS)?.0,
            cpu_cores,
            resource_id: config.get_optional(&taskmanager::RESOURCE_ID)?.map(|id| id.0),
            slot_timeout: config.get(&taskmanager::SLOT_TIMEOUT)?.min(FOR_EVER),
            cancellation_timeout: Some(cancellation.min(FOR_EVER)).filter(|timeout| !timeout.is_zero()),
            tasks_without_leader: tasks_without_leader(config)?,
            network: network_options(config, memory.network.bytes(), secret.clone())?,
            memory,
            secret,
            registration: registration::Options {
                initial_timeout: config.get(&cluster::REGISTRATION_INITIAL_TIMEOUT)?.min(FOR_EVER),
                max_timeout: config.get(&cluster::REGISTRATION_MAX_TIMEOUT)?.min(FOR_EVER),
                error_delay: config.get(&cluster::REGISTRATION_ERROR_DELAY)?.min(FOR_EVER),
                refused_delay: config.get(&cluster::REGISTRATION_REFUSED_DELAY)?.min(FOR_EVER),
                give_up_after: config.get(&taskmanager::REGISTRATION_TIMEOUT)?.min(FOR_EVER),
            },
        })
    }
}

/// How long tasks go on without a JobMaster. Without an election no other one comes that could take them over.
fn tasks_without_leader(config: &Configuration) -> Result<Duration, ConfigError> {
    let (option, kind) = (&taskmanager::TASKS_WITHOUT_LEADER, &high_availability::TYPE);
    let limit = config.get(option)?;
    if limit >= LONGEST_WITHOUT_LEADER {
        let expected = format!("expected less than {}", format_duration(LONGEST_WITHOUT_LEADER));
        return Err(option.bad_value(option.key(), &format_duration(limit), expected));
    }
    if config.get(kind)? != HighAvailabilityMode::None {
        return Ok(limit);
    }
    if config.contains(option) && !limit.is_zero() {
        let (key, kind) = (option.key(), kind.key());
        tracing::warn!("{key} has no effect where {kind} is NONE: tasks end when their JobManager is lost");
    }
    Ok(Duration::ZERO)
}

fn network_options(
    config: &Configuration,
    memory: u64,
    secret: Option<Secret>,
) -> Result<wiesel_network::Options, ConfigError> {
    let segment_size = config.get(&network::SEGMENT_SIZE)?;
    let least = config.get(&network::MIN_SEGMENT_SIZE)?.max(wiesel_common::config::MemorySize(256));
    if segment_size < least || segment_size.bytes() > 1 << 30 || !segment_size.bytes().is_power_of_two() {
        let shown = format!("{} bytes", segment_size.bytes());
        let expected = format!("expected a power of two from {} bytes to 1 gb", least.bytes());
        return Err(network::SEGMENT_SIZE.bad_value(network::SEGMENT_SIZE.key(), &shown, expected));
    }
    // As in Flink, streams are compressed only where that is configured: the default codec is for batch shuffles.
    let codec = if config.contains(&network::COMPRESSION_CODEC) {
        config.get(&network::COMPRESSION_CODEC)?
    } else {
        network::Compression::None
    };
    let compression = match codec {
        network::Compression::None => Compression::None,
        network::Compression::Lz4 => Compression::Lz4,
        network::Compression::Zstd => Compression::Zstd,
        network::Compression::Lzo => {
            let key = network::COMPRESSION_CODEC.key();
            return Err(network::COMPRESSION_CODEC.bad_value(
                key,
                "LZO",
                "expected NONE, LZ4 or ZSTD: there is no LZO here",
            ));
        }
    };
    Ok(wiesel_network::Options {
        memory,
        segment_size: segment_size.bytes() as usize,
        buffers_per_channel: config.get(&network::BUFFERS_PER_CHANNEL)? as usize,
        floating_buffers_per_gate: config.get(&network::FLOATING_BUFFERS_PER_GATE)? as usize,
        max_buffers_per_channel: config.get(&MAX_BUFFERS_PER_CHANNEL)? as usize,
        compression,
        partition_request_timeout: config.get(&network::PARTITION_REQUEST_TIMEOUT)?.min(FOR_EVER),
        connect_timeout: Duration::from_secs(config.get(&network::CONNECT_TIMEOUT_SECONDS)?.into()),
        connect_retries: config.get(&network::RETRIES)?,
        payload_checksums: config.get(&network::PAYLOAD_CHECKSUM)?,
        secret,
    })
}

/// The address by which this machine would speak to the JobManager. Nothing is sent.
fn own_address(job_manager: &str) -> Option<String> {
    let peer = job_manager.to_socket_addrs().ok()?.next()?;
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    let own: IpAddr = socket.local_addr().ok()?.ip();
    Some(own.to_string())
}

/// The address that the name of this machine stands for: a container may run before there is a name for its JobManager.
fn address_of_name() -> Option<String> {
    let machine = rustix::system::uname();
    let name = machine.nodename().to_str().ok()?;
    first_of_network((name, 0_u16).to_socket_addrs().ok()?.map(|address| address.ip()))
}

fn first_of_network(mut addresses: impl Iterator<Item = IpAddr>) -> Option<String> {
    addresses.find(|address| !address.is_loopback()).map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options, ConfigError> {
        let mut config = Configuration::default();
        config.set("jobmanager.rpc.address", "localhost");
        config.set("taskmanager.host", "localhost");
        config.set("taskmanager.memory.process.size", "2 gb");
        for (key, value) in pairs {
            config.set(*key, *value);
        }
        Options::from_configuration(&config)
    }

    /// Before, room was made for as many slots as were asked for: 20 GB for the largest number.
    #[test]
    fn more_slots_than_a_job_can_use_are_refused() {
        for slots in ["0", "32769", "4294967295", "many", "-1"] {
            let error = read(&[("taskmanager.numberOfTaskSlots", slots)]).unwrap_err().to_string();
            let shown = format!("'{slots}'");
            let parts = [shown.as_str(), "'taskmanager.numberOfTaskSlots'", "from 1 to 32768"];
            assert!(parts.iter().all(|part| error.contains(*part)), "{error}");
        }
        assert_eq!(read(&[("taskmanager.numberOfTaskSlots", "4")]).unwrap().slots, 4);
    }

    /// Before, NaN was taken for no number of cores and an empty host for one.
    #[test]
    fn what_cannot_work_is_refused() {
        for (key, value, expected) in [
            ("taskmanager.cpu.cores", "NaN", "a number"),
            ("taskmanager.cpu.cores", "-1", "above 0"),
            ("taskmanager.cpu.cores", "0", "above 0"),
            ("taskmanager.host", "", "a host"),
            ("taskmanager.bind-host", " ", "a host"),
            ("jobmanager.rpc.address", "", "a host"),
            ("jobmanager.rpc.address", "localhost:6123", "without scheme and port"),
        ] {
            let error = read(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(expected), "{error}");
        }
        assert_eq!(read(&[("taskmanager.cpu.cores", "1.5")]).unwrap().cpu_cores, Some(1.5));
    }

    /// Before, `::1:6123` and `[::1]` were connected to, which lead nowhere.
    #[test]
    fn an_address_of_ipv6_is_taken_with_and_without_brackets() {
        for host in ["::1", "[::1]"] {
            let keys = ["jobmanager.rpc.address", "taskmanager.host", "taskmanager.bind-host"];
            let options = read(&keys.map(|key| (key, host))).unwrap();
            assert_eq!((&*options.job_manager, &*options.host, &*options.bind_host), ("[::1]:6123", "::1", "::1"));
        }
    }

    /// Failed before: a TaskManager that started before its JobManager's name was known told the others to find it at `localhost`.
    #[test]
    fn a_name_that_leads_to_this_machine_alone_is_no_address_for_others() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let first = |texts: &[&str]| first_of_network(addresses(texts).into_iter());
        assert_eq!(first(&["127.0.1.1", "::1"]), None);
        assert_eq!(first(&["127.0.1.1", "172.18.0.3", "10.0.0.1"]).as_deref(), Some("172.18.0.3"));
        assert_eq!(first(&["fd00::3"]).as_deref(), Some("fd00::3"));
    }

    #[test]
    fn tasks_go_on_without_a_leader_where_another_one_comes() {
        let object_store = ("high-availability.type", "object-store");
        let key = "taskmanager.tasks-without-leader.timeout";
        let limit = |pairs: &[(&str, &str)]| read(pairs).unwrap().tasks_without_leader;
        assert_eq!(limit(&[]), Duration::ZERO);
        assert_eq!(limit(&[(key, "1 min")]), Duration::ZERO);
        assert_eq!(limit(&[object_store]), Duration::from_secs(300));
        assert_eq!(limit(&[object_store, (key, "1 min")]), Duration::from_secs(60));
        assert_eq!(limit(&[object_store, (key, "0 s")]), Duration::ZERO);
        for too_long in ["10 min", "9223372036854775807 s"] {
            let error = read(&[(key, too_long)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("less than 10 min"), "{error}");
        }
    }

    /// Before, it was every interface of the machine.
    #[test]
    fn without_a_bind_host_the_ports_listen_on_this_machine() {
        assert_eq!(read(&[]).unwrap().bind_host, "localhost");
        assert_eq!(read(&[("taskmanager.bind-host", "0.0.0.0")]).unwrap().bind_host, "0.0.0.0");
    }

    /// Before, the longest duration that can be written was more than a moment can be later than now.
    #[test]
    fn waits_that_never_end_can_be_added_to_a_time() {
        let never = "9223372036854775807 s";
        let options = read(&[
            ("taskmanager.registration.timeout", never),
            ("cluster.registration.error-delay", never),
            ("task.cancellation.timeout", never),
            ("taskmanager.slot.timeout", never),
        ]);
        let options = options.unwrap();
        for wait in [
            options.registration.give_up_after,
            options.registration.error_delay,
            options.cancellation_timeout.unwrap(),
            options.slot_timeout,
        ] {
            assert!(std::time::Instant::now().checked_add(wait).is_some(), "{wait:?}");
        }
        assert_eq!(read(&[("task.cancellation.timeout", "0 s")]).unwrap().cancellation_timeout, None);
    }
}
