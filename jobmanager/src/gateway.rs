//! Connections to TaskExecutors, one for each address.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::rpc::{Channel, Connector};
use wiesel_proto::task_executor_client::TaskExecutorClient;

pub use wiesel_common::rpc::describe;

/// How often a TaskManager is told at least what it must hear.
const ATTEMPTS: u32 = 5;

/// Calls with which a TaskManager is told what it must hear, until one is answered.
pub(crate) struct Attempts {
    begun: Instant,
    made: u32,
    patience: Duration,
}

impl Attempts {
    /// None was made yet. `patience`: a TaskManager that stands still for so long is lost.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { begun: Instant::now(), made: 0, patience }
    }

    /// A call failed with this. Whether no other is to be made: a TaskManager that cannot be reached, or refuses, does not do what it is
    /// told. One that does not answer may stand still, and goes on unless it is lost before.
    pub(crate) fn are_over(&mut self, status: &Status) -> bool {
        self.made = self.made.saturating_add(1);
        let unanswered = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
        self.made >= ATTEMPTS && !(unanswered && self.begun.elapsed() < self.patience)
    }
}

/// Clients of TaskExecutors; cheap to clone, all clones share the connections. A connection is kept as long as a TaskManager is
/// registered with its address: TaskManagers come and go, each with a port of its own, and calls to one that is gone may go on.
#[derive(Clone)]
pub struct TaskExecutors {
    connector: Arc<dyn Connector>,
    registered: Arc<Mutex<HashMap<String, Registered>>>,
}

/// An address that TaskManagers are registered with.
#[derive(Default)]
struct Registered {
    /// How many: one that was started again may register before the former one is known to be gone.
    task_managers: usize,
    /// None: no call was made yet.
    channel: Option<Channel>,
}

impl TaskExecutors {
    /// No connections yet.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, registered: Arc::default() }
    }

    /// The client for "host:port"; it connects with its first call. To an address that no TaskManager is registered
    /// with it has a connection of its own.
    pub fn get(&self, address: &str) -> Result<TaskExecutorClient<Channel>, Status> {
        let mut registered = self.registered.lock();
        let Some(known) = registered.get_mut(address) else {
            return Ok(TaskExecutorClient::new(self.connector.connect(address)?));
        };
        let channel = match &known.channel {
            Some(channel) => channel.clone(),
            None => known.channel.insert(self.connector.connect(address)?).clone(),
        };
        Ok(TaskExecutorClient::new(channel))
    }

    /// A TaskManager has registered with this address.
    pub fn registered(&self, address: &str) {
        self.registered.lock().entry(address.to_owned()).or_default().task_managers += 1;
    }

    /// A TaskManager that was registered with this address is gone: the connection is closed.
    pub fn forget(&self, address: &str) {
        let mut registered = self.registered.lock();
        let Some(known) = registered.get_mut(address) else { return };
        known.channel = None;
        known.task_managers = known.task_managers.saturating_sub(1);
        if known.task_managers == 0 {
            registered.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::body::Body;
    use tonic::codegen::http;
    use wiesel_common::rpc::{Answer, Transport};

    use super::*;

    /// Counts connections, over which nothing is answered.
    #[derive(Clone, Default)]
    struct Connections(Arc<Mutex<usize>>);

    impl Transport for Connections {
        fn call(&self, _: http::Request<Body>) -> Answer {
            Box::pin(std::future::pending())
        }
    }

    impl Connector for Connections {
        fn connect(&self, _: &str) -> Result<Channel, Status> {
            *self.0.lock() += 1;
            Ok(Channel::new(self.clone()))
        }
    }

    /// Failed before: it was given up after five calls, though it was not lost and would go on.
    #[tokio::test(start_paused = true)]
    async fn a_task_manager_that_does_not_answer_is_told_until_it_would_be_lost() {
        let (patience, call) = (Duration::from_secs(300), Duration::from_secs(10));
        for unanswered in [Status::deadline_exceeded("late"), Status::cancelled("Timeout expired")] {
            let (mut attempts, begun) = (Attempts::new(patience), Instant::now());
            loop {
                tokio::time::sleep(call).await;
                if attempts.are_over(&unanswered) {
                    break;
                }
            }
            assert!(begun.elapsed() >= patience && begun.elapsed() < patience + call * 2, "{:?}", begun.elapsed());
        }
        let mut attempts = Attempts::new(patience);
        let over: Vec<bool> = (0..5).map(|_| attempts.are_over(&Status::unavailable("refused"))).collect();
        assert_eq!(over, [false, false, false, false, true]);
    }

    /// Failed before: a cancellation that was tried again put the address of a TaskManager back that was gone, for ever.
    #[test]
    fn no_connection_is_kept_to_an_address_that_no_task_manager_is_registered_with() {
        let connections = Connections::default();
        let executors = TaskExecutors::new(Arc::new(connections.clone()));
        let made = |address: &str| {
            let before = *connections.0.lock();
            assert!(executors.get(address).is_ok());
            *connections.0.lock() - before
        };
        executors.registered("a:1");
        assert_eq!([made("a:1"), made("a:1")], [1, 0]);
        executors.forget("a:1");
        assert_eq!([made("a:1"), made("a:1")], [1, 1]);
        assert!(executors.registered.lock().is_empty());
        // A second one with the address has a connection of its own once the first is gone, and keeps it.
        executors.registered("a:1");
        executors.registered("a:1");
        assert_eq!([made("a:1"), made("a:1")], [1, 0]);
        executors.forget("a:1");
        assert_eq!([made("a:1"), made("a:1")], [1, 0]);
        executors.forget("a:1");
        assert!(executors.registered.lock().is_empty());
    }
}
