//! Connections for calls between processes, by address.
//!
//! What calls others is given a [`Connector`] and knows no more of the network, so that a simulation can stand in for it.
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::http::HeaderValue;
use tonic::codegen::{Service, StdError, http};
use tonic::service::Interceptor;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::secret::{Secret, is_same};

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

/// Where a call says that its caller has the secret of the cluster.
const AUTHORIZATION: &str = "wiesel-authorization";
/// What that is the code of.
const PURPOSE: &str = "wiesel rpc 1";

/// What a caller with this secret says, in hexadecimal digits.
fn authorization(secret: &Secret) -> String {
    secret.code(PURPOSE, &[]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses calls of those that do not have the secret, if there is one, before anything of them is read.
#[derive(Clone)]
pub struct Guard(Option<Arc<str>>);

impl Guard {
    /// For services whose callers must have this secret; none: they need not have any.
    pub fn new(secret: Option<&Secret>) -> Self {
        Self(secret.map(|secret| authorization(secret).into()))
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.0 else { return Ok(request) };
        let given = request.metadata().get(AUTHORIZATION).map_or(&[][..], |given| given.as_encoded_bytes());
        if is_same(expected.as_bytes(), given) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "the caller does not have the secret of this cluster: all of its processes need the same \
             'security.internal.secret', or the same file internal.secret in their configuration folders",
        ))
    }
}

/// Connections over TCP.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// What those who are called are shown to know.
    pub secret: Option<Secret>,
}

impl Connector for Tcp {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("`{address}` is no address: {error}")))?;
        let channel = endpoint.connect_timeout(self.connect_timeout).tcp_nodelay(true).connect_lazy();
        let authorization = self.secret.as_ref().map(|secret| {
            let value = HeaderValue::from_str(&authorization(secret));
            value.map_err(|error| Status::internal(format!("a header cannot hold the secret's code: {error}")))
        });
        let mut authorization = authorization.transpose()?;
        // Never shown, and never in the tables by which headers are compressed.
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        Ok(Channel::new(TcpTransport { channel, authorization }))
    }
}

struct TcpTransport {
    channel: tonic::transport::Channel,
    authorization: Option<HeaderValue>,
}

impl Transport for TcpTransport {
    fn call(&self, mut request: http::Request<Body>) -> Answer {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let mut channel = self.channel.clone();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, whoever reached a port was heard.
    #[test]
    fn only_who_has_the_secret_is_heard() {
        let secret = Secret::new("0123456789abcdef").unwrap();
        let request = |authorization: Option<&str>| {
            let mut request = Request::new(());
            if let Some(authorization) = authorization {
                request.metadata_mut().insert(AUTHORIZATION, authorization.parse().unwrap());
            }
            request
        };
        let (good, other) = (authorization(&secret), authorization(&Secret::new("0123456789abcdeF").unwrap()));
        let mut guard = Guard::new(Some(&secret));
        assert!(guard.call(request(Some(&good))).is_ok());
        for bad in [None, Some(""), Some(other.as_str()), Some(&good[..63]), Some("0123456789abcdef")] {
            let refused = guard.call(request(bad)).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::Unauthenticated);
            assert!(refused.message().contains("security.internal.secret") && !refused.message().contains(&good));
        }
        for any in [None, Some(good.as_str())] {
            assert!(Guard::new(None).call(request(any)).is_ok());
        }
    }
}
