//! A TaskManager in this process: what the binary runs, and what a cluster inside one process runs several of.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Server;
use wiesel_common::config::options::{cluster, taskmanager};
use wiesel_common::config::{ConfigError, Configuration, PortRange, host_and_port};
use wiesel_common::connections::{self, Admission};
use wiesel_common::exposure::{self, Asked};
use wiesel_common::leader::retrieval;
use wiesel_common::rpc::{Callee, Tcp};
use wiesel_network::NetworkEnvironment;
use wiesel_state_backends::StateResources;

use crate::components::{Components, World};
pub use crate::executor::End;
use crate::factory::{BuiltIn, OperatorFactory};
use crate::heap::{Heap, Watcher};
use crate::options::Options;
use crate::resources;
use crate::runner::Threads;

/// How long a connection to the JobManager may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a TaskManager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value in the configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// A port is taken, or an interface is not this machine's.
    #[error("Could not bind {address} for calls ({key}): {cause}")]
    Bind {
        /// What was tried.
        address: String,
        /// The option to change.
        key: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The host to listen on is unknown.
    #[error("Could not resolve '{host}' (taskmanager.bind-host): {cause}")]
    Host {
        /// As configured.
        host: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The folders or the memory of state.
    #[error(transparent)]
    State(#[from] wiesel_state::Error),
    /// The data plane.
    #[error(transparent)]
    Network(#[from] wiesel_network::Error),
    /// Where it is to be found who leads.
    #[error(transparent)]
    Leader(#[from] wiesel_common::filesystem::Error),
    /// The system gives no thread.
    #[error("Could not start the thread that watches the memory: {0}")]
    Watcher(std::io::Error),
}

/// A running TaskManager. Dropping it ends it at once; [`TaskManager::stop`] takes leave.
pub struct TaskManager {
    resource_id: String,
    rpc_address: String,
    data_address: String,
    network: Arc<NetworkEnvironment>,
    stop: mpsc::Sender<String>,
    actor: Option<JoinHandle<End>>,
    _background: JoinSet<()>,
    /// None where it is not known what tasks hold.
    _watcher: Option<Watcher>,
}

impl TaskManager {
    /// Binds its ports and begins to register.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(configuration: Configuration) -> Result<Self, StartError> {
        Self::start_with(configuration, Arc::new(BuiltIn)).await
    }

    /// As [`TaskManager::start`], with operators of the caller's choice.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start_with(
        configuration: Configuration,
        factory: Arc<dyn OperatorFactory>,
    ) -> Result<Self, StartError> {
        let options = Options::from_configuration(&configuration)?;
        tracing::info!("Final TaskExecutor Memory configuration:");
        for line in options.memory.breakdown() {
            tracing::info!("{line}");
        }
        let patience = connections::keep_alive(configuration.get(&cluster::HEARTBEAT_TIMEOUT)?);
        let leader = retrieval(&configuration, options.job_manager.clone(), String::new())?;
        let state = StateResources::new(&configuration, options.memory.managed.bytes(), options.slots)?;
        let (network, listener) = bind(&options).await?;
        let rpc_bound = listener.local_addr().map_err(|cause| StartError::Bind {
            address: options.bind_host.clone(),
            key: taskmanager::RPC_PORT.key(),
            cause,
        })?;
        let data_bound = SocketAddr::new(rpc_bound.ip(), network.port());
        let asked = Asked::between_processes(options.secret.as_ref());
        exposure::warn("The port for calls", taskmanager::BIND_HOST.key(), rpc_bound, &options.host, asked);
        exposure::warn("The data port", taskmanager::BIND_HOST.key(), data_bound, &options.host, asked);
        let told = |configured: u16, bound: u16| if configured == 0 { bound } else { configured };
        let rpc_address = host_and_port(&options.host, told(options.rpc_port, rpc_bound.port()));
        let data_address = host_and_port(&options.host, told(options.data_port, network.port()));
        let resource_id = options.resource_id.clone().unwrap_or_else(|| {
            let suffix = wiesel_common::random::uuid().simple().to_string();
            format!("{rpc_address}-{}", &suffix[..6])
        });
        let identity = resources::registration(&options, &resource_id, &rpc_address, &data_address);

        let configuration = Arc::new(configuration);
        let heap = Heap::new(&options.memory, state.clone());
        let watcher = heap.clone().map(Watcher::start).transpose().map_err(StartError::Watcher)?;
        let metrics_of = network.clone();
        let world = World {
            runner: Arc::new(Threads::new(configuration, network.clone(), state, factory, heap)),
            connector: Arc::new(Tcp {
                connect_timeout: CONNECT_TIMEOUT,
                secret: options.secret.clone(),
                callee: Callee::JobManager,
            }),
            metrics: Box::new(move || resources::metrics(&metrics_of)),
        };
        let Components { services, stop, actor, mut background, .. } =
            Components::start_with(&options, identity, world, leader);
        let name = Callee::TaskManager.name(&rpc_address);
        let incoming = connections::incoming(listener, Admission::by_open_files("RPC"), options.secret.clone(), name);
        let server = Server::builder()
            .http2_keepalive_interval(Some(patience))
            .http2_keepalive_timeout(Some(patience))
            .add_routes(services);
        background.spawn(async move {
            if let Err(error) = server.serve_with_incoming(incoming).await {
                tracing::error!(%error, "the TaskExecutor's endpoint failed");
            }
        });
        tracing::info!(resource_id, rpc_address, data_address, slots = options.slots, "TaskManager started");
        let actor = Some(actor);
        Ok(Self {
            resource_id,
            rpc_address,
            data_address,
            network,
            stop,
            actor,
            _background: background,
            _watcher: watcher,
        })
    }

    /// Its id in the cluster.
    pub fn resource_id(&self) -> &str {
        &self.resource_id
    }

    /// "host:port" for calls.
    pub fn rpc_address(&self) -> &str {
        &self.rpc_address
    }

    /// "host:port" of the data plane.
    pub fn data_address(&self) -> &str {
        &self.data_address
    }

    /// The data plane, to look at.
    pub fn network(&self) -> &Arc<NetworkEnvironment> {
        &self.network
    }

    /// Waits until it ends by itself, which it only does when it cannot go on.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn wait(&mut self) -> Result<(), String> {
        let Some(actor) = &mut self.actor else { return Ok(()) };
        let ended = actor.await;
        self.actor = None;
        match ended {
            Ok(End::Stopped) => Ok(()),
            Ok(End::Fatal(reason)) => Err(reason),
            Err(error) => Err(format!("the TaskExecutor ended unexpectedly: {error}")),
        }
    }

    /// Ends its tasks and takes leave of the ResourceManager.
    pub async fn stop(mut self, reason: &str) {
        let _ = self.stop.send(reason.to_owned()).await;
        if let Err(reason) = self.wait().await {
            tracing::warn!(reason, "the TaskManager did not stop in order");
        }
    }
}

impl Drop for TaskManager {
    fn drop(&mut self) {
        if let Some(actor) = &self.actor {
            actor.abort();
        }
    }
}

/// Binds both ports, the first of each range that is free.
async fn bind(options: &Options) -> Result<(Arc<NetworkEnvironment>, TcpListener), StartError> {
    let unknown = |cause| StartError::Host { host: options.bind_host.clone(), cause };
    let interfaces: Vec<SocketAddr> = lookup_host((options.bind_host.as_str(), 0)).await.map_err(unknown)?.collect();
    let at = |ports: &PortRange| -> Vec<SocketAddr> {
        let ports = ports.iter().flat_map(|port| interfaces.iter().map(move |address| (address.ip(), port).into()));
        ports.collect()
    };
    let rpc = at(&options.rpc_bind_ports);
    let listener = connections::listen(&rpc[..]).await.map_err(|cause| StartError::Bind {
        address: rpc.first().map_or_else(|| options.bind_host.clone(), ToString::to_string),
        key: taskmanager::RPC_PORT.key(),
        cause,
    })?;
    let network = NetworkEnvironment::start(options.network.clone(), &at(&options.data_bind_ports)).await?;
    Ok((network, listener))
}
