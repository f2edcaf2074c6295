//! What a JobManager consists of, without its ports: the actors and the services in front of them. A simulation starts these
//! and plays network and clock itself.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use wiesel_common::config::{ConfigError, Configuration};
use wiesel_common::id::LeaderSessionId;
use wiesel_common::rpc::{Callee, Connector, Tcp};
use wiesel_common::secret::Secret;
use wiesel_common::time::Clock;
use wiesel_expressions::expression::Zone;
use wiesel_proto::job_master_server::JobMasterServer;
use wiesel_proto::resource_manager_server::ResourceManagerServer;

use crate::dispatcher::{Dispatcher, DispatcherHandle};
use crate::gateway::TaskExecutors;
use crate::jobmaster::collect::CollectCoordinators;
use crate::jobmaster::operator_coordinator_holder::{CoordinatorCalls, CoordinatorFactory, no_coordinators};
use crate::jobmaster::source_coordinator::EnumeratorFactory;
use crate::jobmaster::{JobMasterContext, JobRecords, RecordedJob, RecordedResult};
use crate::operations::Operations;
use crate::options::{ControlOptions, JobOptions, JobStoreOptions, RestOptions, check_folders};
use crate::resourcemanager::{ResourceManager, ResourceManagerHandle};
use crate::rest::{self, RestState};
use crate::rpc::{JobMasterService, ResourceManagerService};

pub use wiesel_common::rpc::MAX_MESSAGE_BYTES;

/// How long a connection to a TaskManager may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a JobManager is started with besides its configuration: the outside world.
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The epoch in which it leads: TaskManagers that have heard of a later one refuse what it says. 0: there is no election.
    pub epoch: u64,
    /// The cluster's time zone.
    pub time_zone: Zone,
    /// Opens connections to TaskManagers.
    pub connector: Arc<dyn Connector>,
    /// Makes the enumerators of sources.
    pub enumerators: EnumeratorFactory,
    /// Makes the coordinators of operators that are no sources.
    pub coordinators: CoordinatorFactory,
    /// Where coordinators are called.
    pub coordinator_calls: CoordinatorCalls,
    /// The records of jobs, which outlive the JobManager; none: no job does.
    pub records: Option<JobRecords>,
    /// The jobs that go on from the JobManager that has led before.
    pub recorded_jobs: Vec<RecordedJob>,
    /// The jobs that have ended under it.
    pub recorded_results: Vec<RecordedResult>,
    /// Tasks of such jobs go on as they are, if they can. Otherwise they are begun again from the last checkpoint.
    pub adopts_tasks: bool,
}

impl Environment {
    /// The machine's clock, TCP and the connectors' enumerators. `secret`: what TaskManagers must have, too.
    pub fn real(secret: Option<Secret>) -> Self {
        Self {
            clock: Arc::new(wiesel_common::time::SystemClock),
            epoch: 0,
            time_zone: Zone::of_process(),
            connector: Arc::new(Tcp { connect_timeout: CONNECT_TIMEOUT, secret, callee: Callee::TaskManager }),
            enumerators: Arc::new(wiesel_connectors::factory::enumerator),
            coordinators: no_coordinators(),
            coordinator_calls: CoordinatorCalls::OnBlockingThreads,
            records: None,
            recorded_jobs: Vec::new(),
            recorded_results: Vec::new(),
            adopts_tasks: false,
        }
    }
}

/// Reads what the parts run under, and what every job would stumble over.
///
/// # Errors
/// A bad value.
pub(crate) fn check(configuration: &Configuration) -> Result<(ControlOptions, JobStoreOptions), ConfigError> {
    let control = ControlOptions::read(configuration)?;
    let store = JobStoreOptions::read(configuration)?;
    JobOptions::read(configuration)?;
    wiesel_common::config::options::check(configuration)?;
    check_folders(configuration)?;
    Ok((control, store))
}

/// See the module. Dropping them ends the actors at once.
pub struct Components {
    /// The jobs.
    pub dispatcher: DispatcherHandle,
    /// The TaskManagers.
    pub resource_manager: ResourceManagerHandle,
    /// What users asked for and is under way.
    pub(crate) operations: Operations,
    /// Rows for clients.
    collectors: CollectCoordinators,
    configuration: Arc<Configuration>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// What TaskManagers call.
    pub services: Routes,
    /// The actors, which end after `stop` was cancelled; each says its name then.
    pub parts: JoinSet<&'static str>,
}

impl Components {
    /// Starts the actors. `advertised`: "host:port" under which TaskManagers reach the services.
    ///
    /// # Errors
    /// A bad value, also one that every job would stumble over.
    pub fn start(
        configuration: Arc<Configuration>,
        environment: Environment,
        advertised: String,
        stop: CancellationToken,
    ) -> Result<Self, ConfigError> {
        let (control, store) = check(&configuration)?;
        let executors = TaskExecutors::new(environment.connector);
        let (clock, epoch) = (environment.clock, environment.epoch);
        let (resource_manager, resource_manager_handle) = ResourceManager::new(
            control.clone(),
            LeaderSessionId::of_epoch(epoch),
            advertised.clone(),
            Arc::clone(&clock),
            executors.clone(),
        );
        let collectors = CollectCoordinators::default();
        let operations = Operations::new(store.result_retention, Arc::clone(&clock));
        let context = JobMasterContext {
            configuration: Arc::clone(&configuration),
            address: advertised,
            rpc_timeout: control.rpc_timeout,
            single_call_timeout: control.single_call_timeout(),
            heartbeat_timeout: control.heartbeat_timeout,
            clock: Arc::clone(&clock),
            epoch,
            adopts_tasks: environment.adopts_tasks,
            time_zone: environment.time_zone,
            executors,
            resource_manager: resource_manager_handle.clone(),
            collectors: collectors.clone(),
            operations: operations.clone(),
            enumerators: environment.enumerators,
            coordinators: environment.coordinators,
            coordinator_calls: environment.coordinator_calls,
        };
        let address = context.address.clone();
        let recorded = (environment.recorded_jobs, environment.recorded_results);
        let (dispatcher, dispatcher_handle, masters) = Dispatcher::new(context, store, environment.records, recorded);

        // The ResourceManager outlives the dispatcher: what is suspended still frees its slots.
        let stop_resource_manager = CancellationToken::new();
        let mut parts = JoinSet::new();
        let resource_manager_stop = stop_resource_manager.clone();
        parts.spawn(async move {
            resource_manager.run(resource_manager_stop).await;
            "ResourceManager"
        });
        let dispatcher_stop = stop.clone();
        parts.spawn(async move {
            dispatcher.run(dispatcher_stop).await;
            stop_resource_manager.cancel();
            "Dispatcher"
        });
        let rpc = ResourceManagerServer::new(ResourceManagerService {
            handle: resource_manager_handle.clone(),
            options: control,
            masters: masters.clone(),
            address,
        });
        let masters = JobMasterServer::new(JobMasterService { masters, collectors: collectors.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self {
            dispatcher: dispatcher_handle,
            resource_manager: resource_manager_handle,
            operations,
            collectors,
            configuration,
            clock,
            stop,
            services: Routes::new(rpc).add_service(masters),
            parts,
        })
    }

    /// What clients call, for a server that listens there.
    pub fn rest(&self, options: RestOptions, bound: SocketAddr) -> axum::Router {
        rest::router(RestState {
            options: Arc::new(options),
            bound,
            configuration: Arc::clone(&self.configuration),
            clock: Arc::clone(&self.clock),
            dispatcher: self.dispatcher.clone(),
            resource_manager: self.resource_manager.clone(),
            collectors: self.collectors.clone(),
            operations: self.operations.clone(),
            planning: rest::Planning::new(Arc::clone(&self.clock)),
            stop: self.stop.clone(),
        })
    }
}
