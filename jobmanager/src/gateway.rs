//! Connections to TaskExecutors, one for each address.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Status;
use wiesel_common::rpc::{Channel, Connector};
use wiesel_proto::task_executor_client::TaskExecutorClient;

pub use wiesel_common::rpc::describe;

/// Clients of TaskExecutors; cheap to clone, all clones share the connections.
#[derive(Clone)]
pub struct TaskExecutors {
    connector: Arc<dyn Connector>,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

impl TaskExecutors {
    /// No connections yet.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, channels: Arc::default() }
    }

    /// The client for "host:port"; it connects with its first call.
    pub fn get(&self, address: &str) -> Result<TaskExecutorClient<Channel>, Status> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(TaskExecutorClient::new(channel.clone()));
        }
        let channel = self.connector.connect(address)?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(TaskExecutorClient::new(channel))
    }

    /// Closes the connection to a TaskExecutor that is gone.
    pub fn forget(&self, address: &str) {
        self.channels.lock().remove(address);
    }
}
