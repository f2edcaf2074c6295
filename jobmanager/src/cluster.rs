//! A JobManager as a whole: its ports, what listens on them, and how it stops.
//!
//! ```text
//! gRPC ── ResourceManager, JobMasters ─┐
//!                                      ├── dispatcher ── JobMaster ... ── resourcemanager
//! REST ────────────────────────────────┘
//! ```
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wiesel_common::config::{ConfigError, Configuration};
use wiesel_common::connections::{self, Admission};
use wiesel_common::rpc::Callee;

pub use crate::candidate::Candidate;
use crate::candidate::{Ports, StartOptions, Uploads};
pub use crate::components::{Components, Environment, MAX_MESSAGE_BYTES};
use crate::dispatcher::DispatcherHandle;
use crate::ha::{ElectionError, Leadership, Loss, RecordError};
use crate::operations::Operations;
use crate::resourcemanager::ResourceManagerHandle;
use crate::rest;

/// Why a JobManager does not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port.
    #[error("cannot listen on {what} {address}: {source}; {}", bind_advice(.source, .key))]
    Bind {
        /// Which port.
        what: &'static str,
        /// The address that was tried, or all of them.
        address: String,
        /// The key that sets it.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder for artifacts.
    #[error("cannot create the folder {path} for uploads: {source}; choose another with {key}")]
    UploadDir {
        /// The folder.
        path: String,
        /// The key that sets it.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Where it is kept what outlives it.
    #[error(transparent)]
    HighAvailability(#[from] wiesel_common::filesystem::Error),
    /// It cannot be elected.
    #[error(transparent)]
    Election(#[from] ElectionError),
    /// An application that would be run once more by each leader.
    #[error(
        "'{key}' is set, and the cluster of an application has no high availability yet: leave the option out, or submit the script \
         to a session cluster, which has it"
    )]
    OfApplication {
        /// The key.
        key: &'static str,
    },
    /// What the JobManager before has left cannot be read.
    #[error("the jobs of this cluster cannot go on: {0}")]
    Records(#[from] RecordError),
    /// It led, and leads no more: nothing that it does may count.
    #[error("the JobManager leads no more and ends: {0}")]
    LeadershipLost(Loss),
    /// A part of the JobManager ended that must not.
    #[error("the {0} ended abnormally: the JobManager cannot go on")]
    Fatal(&'static str),
}

fn bind_advice(error: &std::io::Error, key: &str) -> String {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return format!(
            "another process has it, perhaps a JobManager that was started before: stop that, or choose another with {key}"
        );
    }
    format!("choose another with {key}")
}

/// A running JobManager.
pub struct JobManager {
    rpc_address: SocketAddr,
    rest_address: SocketAddr,
    dispatcher: DispatcherHandle,
    resource_manager: ResourceManagerHandle,
    operations: Operations,
    leadership: Box<dyn Leadership>,
    stop: CancellationToken,
    parts: JoinSet<&'static str>,
    _uploads: Uploads,
}

impl JobManager {
    /// Binds the ports, waits until it leads and starts everything. When this returns, both ports answer; from then on it is to be
    /// waited for ([`JobManager::wait`]), which keeps the leadership.
    pub async fn start(configuration: Configuration, environment: Environment) -> Result<Self, Error> {
        Candidate::bind(None, configuration, environment).await?.lead().await
    }

    /// Starts what is behind the ports of a leader.
    pub(crate) fn start_leading(
        ports: Ports,
        options: StartOptions,
        configuration: Arc<Configuration>,
        environment: Environment,
        leadership: Box<dyn Leadership>,
    ) -> Result<Self, (ConfigError, Box<dyn Leadership>)> {
        let Ports { rpc: rpc_listener, rest: rest_listener, rpc_address, rest_address, advertised } = ports;
        let StartOptions { rest: rest_options, secret, heartbeat_timeout, uploads } = options;
        let stop = CancellationToken::new();
        let components = match Components::start(configuration, environment, advertised.clone(), stop.clone()) {
            Ok(components) => components,
            Err(error) => return Err((error, leadership)),
        };
        let api = components.rest(rest_options, rest_address);
        let Components { dispatcher, resource_manager, operations, services, mut parts, .. } = components;
        let rpc_stop = stop.clone();
        let patience = connections::keep_alive(heartbeat_timeout);
        let name = Callee::JobManager.name(&advertised);
        parts.spawn(async move {
            let admission = Admission::by_open_files("RPC");
            let incoming = connections::incoming(rpc_listener, admission, secret, name);
            let server = tonic::transport::Server::builder()
                .http2_keepalive_interval(Some(patience))
                .http2_keepalive_timeout(Some(patience))
                .add_routes(services);
            // Heartbeat streams never end by themselves, so the server is dropped rather than drained.
            tokio::select! {
                result = server.serve_with_incoming(incoming) => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the RPC endpoint failed");
                    }
                }
                () = rpc_stop.cancelled() => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
            "RPC endpoint"
        });
        let rest_stop = stop.clone();
        parts.spawn(async move {
            rest::serve(rest_listener, api, rest_stop).await;
            "REST endpoint"
        });
        Ok(Self {
            rpc_address,
            rest_address,
            dispatcher,
            resource_manager,
            operations,
            leadership,
            stop,
            parts,
            _uploads: uploads,
        })
    }

    /// The bound port of the control plane.
    pub fn rpc_address(&self) -> SocketAddr {
        self.rpc_address
    }

    /// The bound port of REST.
    pub fn rest_address(&self) -> SocketAddr {
        self.rest_address
    }

    /// Waits until clients know how the savepoints and checkpoints that they asked for ended, at the most for
    /// `rest.async.store-duration`.
    pub fn until_told(&self) -> impl Future<Output = ()> + Send + use<> {
        let operations = self.operations.clone();
        async move { operations.until_told().await }
    }

    /// The jobs.
    pub fn dispatcher(&self) -> &DispatcherHandle {
        &self.dispatcher
    }

    /// The TaskManagers.
    pub fn resource_manager(&self) -> &ResourceManagerHandle {
        &self.resource_manager
    }

    /// Cancelled: the JobManager stops. `DELETE /cluster` does so too.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Keeps the leadership, and waits until the JobManager was told to stop and has, or a part of it ended that must not. One that
    /// leads no more ends at once and tells nobody anything: its tasks are the next one's.
    pub async fn wait(mut self) -> Result<(), Error> {
        let outcome = self.keep_going().await;
        if matches!(outcome, Err(Error::LeadershipLost(_))) {
            self.parts.abort_all();
        } else {
            self.leadership.resign().await;
        }
        outcome
    }

    async fn keep_going(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                ended = self.parts.join_next() => ended,
                loss = self.leadership.until_lost() => return Err(Error::LeadershipLost(loss)),
            };
            let Some(ended) = ended else { return outcome };
            let part = ended.unwrap_or("part");
            if !self.stop.is_cancelled() {
                outcome = Err(Error::Fatal(part));
                self.stop.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use wiesel_common::filesystem::unsure::UnsureBucket;
    use wiesel_common::leader::ClusterStorage;
    use wiesel_common::leader::lease::Lease;

    use super::*;

    /// Failed before: a JobManager ran whoever else did.
    #[tokio::test]
    async fn one_job_manager_leads_and_one_that_is_superseded_ends() {
        UnsureBucket::mount("led");
        let uploads = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        for (key, value) in [
            ("jobmanager.rpc.address", "127.0.0.1"),
            ("jobmanager.bind-host", "127.0.0.1"),
            ("jobmanager.rpc.port", "0"),
            ("rest.bind-address", "127.0.0.1"),
            ("rest.bind-port", "0"),
            ("web.upload.dir", uploads.path().to_str().unwrap()),
            ("high-availability.type", "object-store"),
            ("high-availability.storageDir", "s3://led/ha"),
            ("high-availability.object-store.leader-election.lease-duration", "10 min"),
            ("high-availability.object-store.leader-election.renew-deadline", "5 min"),
            ("high-availability.object-store.leader-election.retry-period", "10 ms"),
        ] {
            configuration.set(key, value);
        }
        let start = || JobManager::start(configuration.clone(), Environment::real(None));
        let file = ClusterStorage::open(&configuration).unwrap().lease();
        let first = start().await.unwrap();
        let told = file.read().await.unwrap().unwrap().0.leader.unwrap();
        assert_eq!(told.rpc_address, first.rpc_address().to_string());
        assert_eq!(told.rest_address, first.rest_address().to_string());

        let mut stands_by = std::pin::pin!(start());
        assert!(stands_by.as_mut().now_or_never().is_none());
        first.stop_token().cancel();
        first.wait().await.unwrap();
        let second = stands_by.await.unwrap();
        let (lease, tag) = file.read().await.unwrap().unwrap();
        assert_eq!(lease.leader.as_ref().unwrap().rpc_address, second.rpc_address().to_string());
        assert_eq!(lease.epoch, 2);

        file.write(Some(&tag), &Lease { epoch: 3, holder: "other".to_owned(), leader: None, ..lease }).await.unwrap();
        let outcome = second.wait().await;
        assert!(matches!(outcome, Err(Error::LeadershipLost(Loss::Superseded { epoch: 3 }))), "{outcome:?}");
    }

    #[test]
    fn a_port_that_is_taken_may_be_that_of_a_job_manager() {
        let said = |kind: std::io::ErrorKind| {
            let (what, address, key) = ("the RPC port", "localhost:6123".to_owned(), "jobmanager.rpc.port");
            Error::Bind { what, address, key, source: kind.into() }.to_string()
        };
        let taken = said(std::io::ErrorKind::AddrInUse);
        assert!(taken.contains("perhaps a JobManager") && taken.ends_with("jobmanager.rpc.port"), "{taken}");
        let other = said(std::io::ErrorKind::PermissionDenied);
        assert!(other.ends_with("; choose another with jobmanager.rpc.port"), "{other}");
    }
}
