//! Connections for calls between processes, by address.
//!
//! What calls others is given a [`Connector`] and knows no more of the network, so that a simulation can stand in for it.
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, StdError, http};
use tonic::transport::Endpoint;

/// The largest message that a JobManager takes: a task's part of a checkpoint, a batch of collected rows. Who sends one asks here
/// whether it fits.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The largest message that a TaskManager takes: tasks with the job graph and what they start from.
pub const MAX_DEPLOYMENT_BYTES: usize = 256 << 20;

/// What becomes of a call.
pub type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, StdError>> + Send>>;

/// Something that carries calls to one address.
pub trait Transport: Send + Sync {
    /// Sends a request; dropping the answer gives the call up.
    fn call(&self, request: http::Request<Body>) -> Answer;
}

/// Opens connections.
pub trait Connector: Send + Sync {
    /// The way to "host:port". It connects with its first call, and again with a later one if the connection broke.
    ///
    /// # Errors
    /// It is no address.
    fn connect(&self, address: &str) -> Result<Channel, Status>;
}

/// A way to one address: what a client of a service is made of. Cheap to clone, all clones share the connection.
#[derive(Clone)]
pub struct Channel(Arc<dyn Transport>);

impl Channel {
    /// Over this transport.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Self(Arc::new(transport))
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        self.0.call(request)
    }
}

/// Connections over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
}

impl Connector for Tcp {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("`{address}` is no address: {error}")))?;
        let channel = endpoint.connect_timeout(self.connect_timeout).tcp_nodelay(true).connect_lazy();
        Ok(Channel::new(TcpTransport(channel)))
    }
}

struct TcpTransport(tonic::transport::Channel);

impl Transport for TcpTransport {
    fn call(&self, request: http::Request<Body>) -> Answer {
        let mut channel = self.0.clone();
        Box::pin(async move {
            poll_fn(|context| channel.poll_ready(context)).await?;
            Ok(channel.call(request).await?)
        })
    }
}

/// What a user is told about a failed call: its message and the causes that say more.
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
