//! A JobManager before it leads: its ports are bound, so that it can say where it will be reached, and its configuration is one
//! that it can run under. Its components start when it leads, from what the leader before has left.
//!
//! While it stands by REST answers that it does, and where the leader is. Its port for calls turns everybody away: TaskManagers ask who
//! leads.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use wiesel_common::config::options::{high_availability, jobmanager, rest as rest_keys};
use wiesel_common::config::{Configuration, PortRange, host_and_port};
use wiesel_common::connections::{self, Admission};
use wiesel_common::exposure::{self, Asked};
use wiesel_common::leader::{follow, retrieval};
use wiesel_common::logging::Limit;
use wiesel_common::secret::Secret;
use wiesel_common::time::Clock;

use crate::application::info::ApplicationHandle;
use crate::cluster::{Error, JobManager};
use crate::components::{self, Environment};
use crate::ha::{HighAvailabilityServices, Leadership, Loss, RecordError, RecordStore, while_leading};
use crate::jobmaster::{JobRecords, RecordedJob, RecordedResult};
use crate::options::{ControlOptions, RestOptions};
use crate::rest;

/// Until records are tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The ports, bound.
pub(crate) struct Ports {
    pub(crate) rpc: TcpListener,
    pub(crate) rest: TcpListener,
    pub(crate) rpc_address: SocketAddr,
    pub(crate) rest_address: SocketAddr,
    /// `host:port` under which TaskManagers reach it.
    pub(crate) advertised: String,
}

/// What the ports serve under.
pub(crate) struct StartOptions {
    pub(crate) rest: RestOptions,
    pub(crate) secret: Option<Secret>,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) uploads: Uploads,
}

/// The folder for uploads. One that was made for this process alone goes with it.
pub(crate) struct Uploads(Option<PathBuf>);

impl Uploads {
    fn create(options: &RestOptions) -> Result<Self, Error> {
        std::fs::create_dir_all(&options.upload_dir).map_err(|source| Error::UploadDir {
            path: options.upload_dir.display().to_string(),
            key: options.upload_dir_key,
            source,
        })?;
        let own = options.upload_dir.parent().filter(|_| options.upload_dir_is_temporary);
        Ok(Self(own.map(PathBuf::from)))
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// See the module.
pub struct Candidate {
    ports: Ports,
    options: StartOptions,
    /// `host:port` under which clients reach it.
    rest_advertised: String,
    services: HighAvailabilityServices,
    configuration: Arc<Configuration>,
    environment: Environment,
}

/// What a leader goes on from.
struct Inheritance {
    records: JobRecords,
    jobs: Vec<RecordedJob>,
    results: Vec<RecordedResult>,
}

impl Candidate {
    /// Binds the ports. `application`: what the cluster is for, if not for jobs that come. REST tells of it, and takes no other jobs.
    ///
    /// # Errors
    /// A bad value, or a port that is taken.
    pub async fn bind(
        application: Option<ApplicationHandle>,
        configuration: Configuration,
        environment: Environment,
    ) -> Result<Self, Error> {
        // One that stands by does not find out when it is needed that it cannot lead.
        let (control, _) = components::check(&configuration)?;
        let rest = RestOptions { application, ..RestOptions::read(&configuration)? };
        let secret = Secret::from_configuration(&configuration)?;
        let services = HighAvailabilityServices::open(&configuration, Arc::clone(&environment.clock))?;
        if services.outlives && rest.application.is_some() {
            // Its script would run once more, beside the jobs that go on.
            return Err(Error::OfApplication { key: high_availability::TYPE.key() });
        }
        let ports = bind(&control, &rest).await?;
        warn_of_exposure(&ports, &control, &rest, secret.as_ref());
        let uploads = Uploads::create(&rest)?;
        Ok(Self {
            rest_advertised: host_and_port(&rest_host(&rest, ports.rest_address), ports.rest_address.port()),
            options: StartOptions { rest, secret, heartbeat_timeout: control.heartbeat_timeout, uploads },
            ports,
            services,
            configuration: Arc::new(configuration),
            environment,
        })
    }

    /// Whether it may have to wait until it leads.
    pub fn may_stand_by(&self) -> bool {
        self.services.outlives
    }

    /// The bound port of the control plane.
    pub fn rpc_address(&self) -> SocketAddr {
        self.ports.rpc_address
    }

    /// The bound port of REST.
    pub fn rest_address(&self) -> SocketAddr {
        self.ports.rest_address
    }

    /// Waits until it leads, and starts everything. When this returns, both ports answer; from then on the JobManager is to be waited
    /// for, which keeps the leadership.
    ///
    /// # Errors
    /// It cannot be elected, was superseded before it had begun, or cannot read what the leader before has left.
    pub async fn lead(mut self) -> Result<JobManager, Error> {
        let mut leadership = self.campaign().await?;
        self.environment.epoch = leadership.session().epoch();
        if self.services.outlives {
            let inherited = inherit(&self.services.records, &*self.environment.clock, &mut *leadership).await;
            match inherited {
                Ok(Inheritance { records, jobs, results }) => {
                    self.environment.records = Some(records);
                    (self.environment.recorded_jobs, self.environment.recorded_results) = (jobs, results);
                    self.environment.adopts_tasks = true;
                }
                Err(lost @ Error::LeadershipLost(_)) => return Err(lost),
                Err(error) => {
                    leadership.resign().await;
                    return Err(error);
                }
            }
        }
        let Self { ports, options, configuration, environment, .. } = self;
        match JobManager::start_leading(ports, options, configuration, environment, leadership) {
            Ok(job_manager) => Ok(job_manager),
            Err((error, leadership)) => {
                leadership.resign().await;
                Err(error.into())
            }
        }
    }

    /// Stands by until it leads.
    async fn campaign(&mut self) -> Result<Box<dyn Leadership>, Error> {
        let Self { ports, options, rest_advertised: own, services, configuration, .. } = self;
        let (sender, leader) = watch::channel(None);
        let retrieval = retrieval(configuration, String::new(), String::new())?;
        let answering = rest::stand_by(&ports.rest, &options.rest, ports.rest_address, own, leader);
        let standing_by = async { tokio::join!(follow(retrieval, sender), answering, turn_away(&ports.rpc)) };
        tokio::select! {
            // Without an election it leads at once.
            biased;
            led = services.election.campaign(&ports.advertised, own) => Ok(led?),
            _ = standing_by => Err(Error::Fatal("REST endpoint")),
        }
    }
}

/// Closes what is connected to. Otherwise the system would keep it, until no more came in: not even whoever only looks whether the
/// process lives.
async fn turn_away(listener: &TcpListener) {
    let admission = Admission::by_open_files("RPC");
    loop {
        drop(admission.accept(listener).await);
    }
}

/// Reads what the leader before has left, as long as this one leads.
async fn inherit(
    store: &Arc<dyn RecordStore>,
    clock: &dyn Clock,
    leadership: &mut dyn Leadership,
) -> Result<Inheritance, Error> {
    let (epoch, trouble) = (leadership.session().epoch(), Limit::once_a_minute());
    let reading = async {
        loop {
            match read_records(store, epoch).await {
                Err(error @ (RecordError::Unreachable { .. } | RecordError::Unknown { .. })) => {
                    if let Some(unsaid) = trouble.admit(clock.monotonic_millis()) {
                        tracing::warn!(unsaid, reason = %error, "the records of the cluster are tried again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    };
    match while_leading(leadership, reading).await.map_err(Error::LeadershipLost)? {
        Ok(inherited) => {
            let (jobs, results) = (inherited.jobs.len(), inherited.results.len());
            tracing::info!(epoch, jobs, results, "the records of the cluster are read");
            Ok(inherited)
        }
        Err(RecordError::Superseded { newer, .. }) => Err(Error::LeadershipLost(Loss::Superseded { epoch: newer })),
        Err(error) => Err(error.into()),
    }
}

async fn read_records(store: &Arc<dyn RecordStore>, epoch: u64) -> Result<Inheritance, RecordError> {
    let records = JobRecords::lead(Arc::clone(store), epoch).await?;
    let (jobs, results) = (records.jobs().await?, records.results().await?);
    Ok(Inheritance { records, jobs, results })
}

async fn bind(control: &ControlOptions, options: &RestOptions) -> Result<Ports, Error> {
    let rpc = bind_one("the RPC port", &control.bind_host, &control.bind_ports, control.ports_key).await?;
    let (host, ports) = (&options.bind_address, &options.bind_ports);
    let rest = bind_one("the REST port", host, ports, "rest.port or rest.bind-port").await?;
    let key = jobmanager::RPC_PORT.key();
    let address = |source| Error::Bind { what: "port", address: String::new(), key, source };
    let (rpc_address, rest_address) = (rpc.local_addr().map_err(address)?, rest.local_addr().map_err(address)?);
    let port = if control.port == 0 { rpc_address.port() } else { control.port };
    Ok(Ports { rpc, rest, rpc_address, rest_address, advertised: host_and_port(&control.address, port) })
}

async fn bind_one(what: &'static str, host: &str, ports: &PortRange, key: &'static str) -> Result<TcpListener, Error> {
    let mut tried = Vec::new();
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for port in ports.iter() {
        match connections::listen((host, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                tried.push(port);
                last = error;
            }
        }
    }
    let ports = match tried[..] {
        [first, .., last] => format!("{first} to {last}"),
        _ => tried.first().map_or_else(String::new, u16::to_string),
    };
    Err(Error::Bind { what, address: host_and_port(host, ports), key, source: last })
}

/// The host that clients are told: as in Flink that of the interface that REST listens on, if it is one.
fn rest_host(options: &RestOptions, bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() { options.address.clone() } else { bound.ip().to_string() }
}

fn warn_of_exposure(ports: &Ports, control: &ControlOptions, options: &RestOptions, secret: Option<&Secret>) {
    let asked = Asked::between_processes(secret);
    exposure::warn("The RPC port", jobmanager::BIND_HOST.key(), ports.rpc_address, &control.address, asked);
    let key = rest_keys::BIND_ADDRESS.key();
    exposure::warn("The REST port", key, ports.rest_address, &options.address, Asked::Nothing);
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn clients_are_told_the_interface_that_rest_listens_on() {
        let pairs = [("rest.address", "master.example")];
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let options = RestOptions::read(&pairs.collect()).unwrap();
        for (bound, host) in [("0.0.0.0:1", "master.example"), ("[::]:1", "master.example"), ("10.0.0.7:1", "10.0.0.7")]
        {
            assert_eq!(rest_host(&options, bound.parse().unwrap()), host);
        }
    }

    /// Such a cluster would run its script once more after each change of the leader.
    #[tokio::test]
    async fn the_cluster_of_an_application_has_no_high_availability() {
        let folder = tempfile::tempdir().unwrap();
        let storage = format!("file://{}", folder.path().display());
        let pairs = [("high-availability.type", "object-store"), ("high-availability.storageDir", storage.as_str())];
        let configuration = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let environment = Environment::real(None);
        let application = ApplicationHandle::new("x.sql".to_owned(), Arc::clone(&environment.clock));
        let refused = Candidate::bind(Some(application), configuration, environment).await.err().unwrap().to_string();
        assert!(refused.contains("high-availability.type") && refused.contains("session cluster"), "{refused}");
    }

    /// Failed before: after as many looks as the system keeps connections, one that stood by counted as dead.
    #[tokio::test]
    async fn whoever_looks_whether_one_that_stands_by_lives_is_turned_away() {
        let listener = connections::listen(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let looks = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.read(&mut [0]).await.unwrap_or(0)
        };
        tokio::select! {
            read = looks => assert_eq!(read, 0),
            () = turn_away(&listener) => {}
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = connections::listen(("127.0.0.1", 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind_one("the RPC port", "127.0.0.1", &PortRange::single(port), "a.key").await.unwrap_err();
        assert!(error.to_string().contains(&port.to_string()) && error.to_string().contains("a.key"), "{error}");
    }
}
