//! Connections to TaskExecutors, one for each address.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use wiesel_proto::task_executor_client::TaskExecutorClient;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients of TaskExecutors; cheap to clone, all clones share the connections.
#[derive(Clone, Default)]
pub struct TaskExecutors {
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

impl TaskExecutors {
    /// The client for "host:port"; it connects with its first call.
    pub fn get(&self, address: &str) -> Result<TaskExecutorClient<Channel>, Status> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(TaskExecutorClient::new(channel.clone()));
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("bad TaskExecutor address `{address}`: {error}")))?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(TaskExecutorClient::new(channel))
    }

    /// Closes the connection to a TaskExecutor that is gone.
    pub fn forget(&self, address: &str) {
        self.channels.lock().remove(address);
    }
}

/// What a user is told about a failed call.
pub fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if text.is_empty() {
        text = status.code().to_string();
    }
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
