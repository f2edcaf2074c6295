//! What a TaskManager consists of, without its ports: the actor, its registration and the services in front of it. A
//! simulation starts these and plays network, clock and tasks itself.
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tonic::service::Routes;
use wiesel_common::leader::{LeaderRetrieval, StandaloneRetrieval, follow};
use wiesel_common::rpc::{Connector, MAX_DEPLOYMENT_BYTES};
use wiesel_common::spawn;
use wiesel_proto as proto;
use wiesel_proto::task_executor_server::TaskExecutorServer;

use crate::executor::registration::Registration;
use crate::executor::rpc::Gateway;
use crate::executor::{End, Inbox, Setup, SlotStatus, TaskExecutor};
use crate::options::Options;
use crate::runner::TaskRunner;

/// Calls that wait for the actor.
const CALLS: usize = 256;

/// What a TaskManager is started with besides its options: the outside world.
pub struct World {
    /// Makes its tasks.
    pub runner: Arc<dyn TaskRunner>,
    /// Opens connections to JobManagers.
    pub connector: Arc<dyn Connector>,
    /// What it uses now.
    pub metrics: Box<dyn Fn() -> proto::TaskManagerMetrics + Send + Sync>,
}

/// See the module. Dropping `background` and aborting `actor` ends it at once.
pub struct Components {
    /// What JobManagers call.
    pub services: Routes,
    /// Takes the reason to stop.
    pub stop: mpsc::Sender<String>,
    /// The actor, which ends when it is stopped or cannot go on.
    pub actor: JoinHandle<End>,
    /// What else runs.
    pub background: JoinSet<()>,
    identity: proto::RegisterTaskManagerRequest,
    slots: watch::Receiver<SlotStatus>,
}

impl Components {
    /// Starts the actor, which begins to register as `identity` with the JobManager of the options.
    pub fn start(options: &Options, identity: proto::RegisterTaskManagerRequest, world: World) -> Self {
        let leader = StandaloneRetrieval::new(options.job_manager.clone(), String::new());
        Self::start_with(options, identity, world, Box::new(leader))
    }

    /// Starts the actor, which begins to register as `identity` with whichever JobManager leads.
    pub fn start_with(
        options: &Options,
        identity: proto::RegisterTaskManagerRequest,
        world: World,
        retrieval: Box<dyn LeaderRetrieval>,
    ) -> Self {
        let World { runner, connector, metrics } = world;
        let (calls, call_receiver) = mpsc::channel(CALLS);
        let (events, event_receiver) = mpsc::channel(4);
        let (stop, stop_receiver) = mpsc::channel(1);
        let (status, status_receiver) = watch::channel(SlotStatus::default());
        let (leader_sender, leader) = watch::channel(None);
        let registration = Registration {
            leader,
            known: None,
            connector: connector.clone(),
            request: identity.clone(),
            epoch: 0,
            options: options.registration.clone(),
            events,
            status: status_receiver.clone(),
            metrics,
        };
        let mut background = JoinSet::new();
        background.spawn(follow(retrieval, leader_sender));
        background.spawn(registration.run());
        let executor = TaskExecutor::new(Setup {
            runner,
            connector,
            slots: options.slots,
            slot_timeout: options.slot_timeout,
            cancellation_timeout: options.cancellation_timeout,
            tasks_without_leader: options.tasks_without_leader,
            identity: identity.clone(),
            resource_manager_address: options.job_manager.clone(),
            status,
        });
        let inbox = Inbox { calls: call_receiver, registration: event_receiver, stop: stop_receiver };
        let actor = spawn::owned(executor.run(inbox));
        let services =
            Routes::new(TaskExecutorServer::new(Gateway { calls }).max_decoding_message_size(MAX_DEPLOYMENT_BYTES));
        Self { services, stop, actor, background, identity, slots: status_receiver }
    }

    /// Its resource id, and what is true of its slots.
    pub fn slots(&self) -> (String, Vec<proto::SlotReport>) {
        (self.identity.resource_id.clone(), self.slots.borrow().slots.clone())
    }
}
