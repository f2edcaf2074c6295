//! A cluster in one process: a JobManager and a TaskManager with the real network between them, on ports of the loopback interface
//! that the system chooses. Clients start it with `execution.target: local`, and it ends with them.
//!
//! Invariant: nothing outside this machine reaches it, and no process that it did not start joins it: its secret is made anew.
use std::net::SocketAddr;

use wiesel_common::config::options::{high_availability, job, jobmanager, memory, rest, taskmanager};
use wiesel_common::config::{ConfigError, Configuration};
use wiesel_common::secret::{SECRET, Secret};
use wiesel_jobmanager::cluster::{self, Environment, JobManager};
use wiesel_taskmanager::{StartError, TaskManager};

/// Where all of it listens.
const LOOPBACK: &str = "127.0.0.1";
/// The memory of the TaskManager where no key says it: as the shipped configuration has it.
const TASK_MANAGER_MEMORY: &str = "1728m";
/// Its id: there is no other.
const TASK_MANAGER: &str = "taskmanager";

/// Why it does not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The JobManager.
    #[error(transparent)]
    JobManager(#[from] cluster::Error),
    /// The TaskManager does not start.
    #[error(transparent)]
    TaskManager(#[from] StartError),
    /// The TaskManager ended by itself.
    #[error("the TaskManager ended: {0}")]
    Ended(String),
}

/// See the module. Dropping it ends it at once; [`MiniCluster::stop`] takes leave.
pub struct MiniCluster {
    job_manager: JobManager,
    task_manager: TaskManager,
}

impl MiniCluster {
    /// Starts both. When this returns REST answers, and the slots are there or will soon be.
    ///
    /// # Errors
    /// A bad value, or something that the system does not give. Nothing is left running then.
    pub async fn start(configuration: &Configuration) -> Result<Self, Error> {
        let mut configuration = local(configuration)?;
        let secret = Secret::from_configuration(&configuration)?;
        let job_manager = JobManager::start(configuration.clone(), Environment::real(secret)).await?;
        configuration.set(jobmanager::RPC_PORT.key(), job_manager.rpc_address().port().to_string());
        let task_manager = TaskManager::start(configuration).await?;
        Ok(Self { job_manager, task_manager })
    }

    /// Where clients reach it.
    pub fn rest_address(&self) -> SocketAddr {
        self.job_manager.rest_address()
    }

    /// Waits until it ends by itself, which it does when a client has asked for that (`DELETE /cluster`), or if it cannot go on; or
    /// until it is to end. Its jobs end with it.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn run_until(self, end: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { job_manager, mut task_manager } = self;
        let stop = job_manager.stop_token();
        let wait = job_manager.wait();
        tokio::pin!(wait);
        let (of_job_manager, of_task_manager) = tokio::select! {
            () = end => (None, Ok(())),
            ended = &mut wait => (Some(ended), Ok(())),
            ended = task_manager.wait() => (None, ended.map_err(Error::Ended)),
        };
        stop.cancel();
        task_manager.stop("the local cluster ends").await;
        let of_job_manager = match of_job_manager {
            Some(ended) => ended,
            None => wait.await,
        };
        of_task_manager.and(of_job_manager.map_err(Error::JobManager))
    }
}

/// The configuration of both processes: what a user has set, with addresses, ports and a secret of this cluster over it.
fn local(configuration: &Configuration) -> Result<Configuration, ConfigError> {
    let mut local = configuration.clone();
    let (slots, secret) = (slots(configuration)?.to_string(), new_secret());
    for (key, value) in [
        // It is the only one that its jobs have.
        (high_availability::TYPE.key(), "NONE"),
        (jobmanager::RPC_ADDRESS.key(), LOOPBACK),
        (jobmanager::BIND_HOST.key(), LOOPBACK),
        (jobmanager::RPC_PORT.key(), "0"),
        (jobmanager::RPC_BIND_PORT.key(), "0"),
        (rest::ADDRESS.key(), LOOPBACK),
        (rest::BIND_ADDRESS.key(), LOOPBACK),
        (rest::PORT.key(), "0"),
        (rest::BIND_PORT.key(), "0"),
        (taskmanager::HOST.key(), LOOPBACK),
        (taskmanager::BIND_HOST.key(), LOOPBACK),
        (taskmanager::RPC_PORT.key(), "0"),
        (taskmanager::RPC_BIND_PORT.key(), "0"),
        (taskmanager::DATA_PORT.key(), "0"),
        (taskmanager::DATA_BIND_PORT.key(), "0"),
        (taskmanager::RESOURCE_ID.key(), TASK_MANAGER),
        (taskmanager::SLOTS.key(), slots.as_str()),
        (SECRET.key(), secret.as_str()),
        // Never a candidate for the lead of the cluster that the configuration is written for.
        (high_availability::TYPE.key(), "NONE"),
    ] {
        local.set(key, value);
    }
    let sizes =
        [&memory::TASKMANAGER.process_size, &memory::TASKMANAGER.flink_size, &memory::TASK_HEAP, &memory::MANAGED_SIZE];
    if !sizes.into_iter().any(|size| local.contains(size)) {
        local.set(memory::TASKMANAGER.process_size.key(), TASK_MANAGER_MEMORY);
    }
    Ok(local)
}

/// As many slots as are configured, and no fewer than jobs of the default parallelism and the machine's cores want: nobody could add
/// a TaskManager.
fn slots(configuration: &Configuration) -> Result<u32, ConfigError> {
    let configured = configuration.get(&taskmanager::SLOTS)?.0;
    let parallelism = configuration.get(&job::PARALLELISM)?.0.unwrap_or(1);
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    Ok(configured.max(parallelism).max(cores).min(taskmanager::MAX_SLOTS))
}

fn new_secret() -> String {
    let half = || wiesel_common::random::uuid().simple().to_string();
    half() + &half()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_local_cluster_is_reached_from_this_machine_alone_whatever_is_configured() {
        let configured = configuration(&[
            ("jobmanager.rpc.address", "master"),
            ("jobmanager.bind-host", "0.0.0.0"),
            ("jobmanager.rpc.bind-port", "6123"),
            ("rest.bind-address", "0.0.0.0"),
            ("web.port", "8081"),
            ("taskmanager.bind-host", "0.0.0.0"),
            ("taskmanager.data.bind-port", "7000"),
            ("security.internal.secret", "that of another cluster"),
            ("high-availability.type", "object-store"),
        ]);
        let local = local(&configured).unwrap();
        for option in [&jobmanager::RPC_ADDRESS, &jobmanager::BIND_HOST, &rest::BIND_ADDRESS, &taskmanager::BIND_HOST] {
            assert_eq!(local.get(option).unwrap().into_string(), LOOPBACK);
        }
        assert_eq!(local.get(&high_availability::TYPE), Ok(high_availability::HighAvailabilityMode::None));
        assert_eq!(local.get(&jobmanager::RPC_BIND_PORT), Ok(0));
        assert_eq!(local.get(&rest::BIND_PORT).unwrap().iter().collect::<Vec<u16>>(), [0_u16]);
        assert_eq!(local.get(&taskmanager::DATA_BIND_PORT).unwrap().iter().collect::<Vec<u16>>(), [0_u16]);
        let secrets = [&local, &super::local(&configured).unwrap(), &configured].map(|of| of.get(&SECRET).unwrap());
        assert!(secrets[0] != secrets[1] && secrets[0] != secrets[2] && secrets[0].len() == 64);
    }

    #[test]
    fn there_are_slots_for_what_is_configured_and_memory() {
        let of = |pairs| local(&configuration(pairs)).unwrap();
        assert_eq!(of(&[("taskmanager.numberOfTaskSlots", "700")]).get(&taskmanager::SLOTS).unwrap().0, 700);
        assert_eq!(of(&[("parallelism.default", "600")]).get(&taskmanager::SLOTS).unwrap().0, 600);
        assert!(of(&[]).get(&taskmanager::SLOTS).unwrap().0 >= 1);
        let size = |pairs| of(pairs).get_optional(&memory::TASKMANAGER.process_size).unwrap().map(|size| size.bytes());
        assert_eq!(size(&[]), Some(1728 << 20));
        assert_eq!(size(&[("taskmanager.memory.flink.size", "1 gb")]), None);
    }
}
