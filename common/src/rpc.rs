//! Connections for calls between processes, by address.
//!
//! What calls others is given a [`Connector`] and knows no more of the network, so that a simulation can stand in for it.
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Uri;
use tonic::codegen::{Service, StdError, http};
use tonic::transport::Endpoint;

use crate::connections::Refusal;
use crate::handshake;
use crate::secret::Secret;

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

/// What is called over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A JobManager: it has several addresses, and TaskManagers may know it by another than it does itself.
    JobManager,
    /// A TaskManager: it is called by the address that it tells.
    TaskManager,
}

impl Callee {
    /// The name that both ends of a connection prove to have meant. Who listens at one's address and passes the connection on to
    /// another gets nowhere.
    pub fn name(self, address: &str) -> String {
        match self {
            Self::JobManager => "JobManager".to_owned(),
            Self::TaskManager => format!("TaskManager {address}"),
        }
    }
}

/// Connections over TCP, which begin with the greeting of [`crate::connections::incoming`].
#[derive(Clone, Debug)]
pub struct Tcp {
    /// How long a connection may take to come up, and then the greeting.
    pub connect_timeout: Duration,
    /// What both ends must have.
    pub secret: Option<Secret>,
    /// What is called over these connections.
    pub callee: Callee,
}

impl Connector for Tcp {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("`{address}` is no address: {error}")))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(self.connect_timeout));
        let greeting = Greeting {
            secret: self.secret.clone(),
            name: self.callee.name(address),
            address: address.to_owned(),
            patience: self.connect_timeout,
        };
        let dialer = Dialer { http, greeting: Arc::new(greeting) };
        Ok(Channel::new(TcpTransport(endpoint.connect_with_connector_lazy(dialer))))
    }
}

/// What is said on a new connection.
struct Greeting {
    secret: Option<Secret>,
    name: String,
    address: String,
    patience: Duration,
}

impl Greeting {
    async fn exchange(&self, mut stream: TcpStream) -> Result<TcpStream, StdError> {
        let address = &self.address;
        let greeting = handshake::call(&mut stream, self.secret.as_ref(), &self.name);
        let cause = match timeout(self.patience, greeting).await {
            Ok(Ok(())) => return Ok(stream),
            Ok(Err(Refusal::Because(cause))) => return Err(Refused(format!("{address}: {cause}")).into()),
            Ok(Err(Refusal::Gone(error))) => format!("the connection ended during the greeting: {error}"),
            Err(_) => format!(
                "the greeting was not answered within {} ms: the process is stalled, or another one listens there",
                self.patience.as_millis()
            ),
        };
        Err(format!("{address}: {cause}").into())
    }
}

/// The end that listens does not belong to the cluster, or says that this one does not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Connects, and greets who listens before HTTP/2 begins.
struct Dialer {
    http: HttpConnector,
    greeting: Arc<Greeting>,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, greeting) = (self.http.call(uri), Arc::clone(&self.greeting));
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            Ok(TokioIo::new(greeting.exchange(stream).await?))
        })
    }
}

struct TcpTransport(tonic::transport::Channel);

impl Transport for TcpTransport {
    fn call(&self, request: http::Request<Body>) -> Answer {
        let mut channel = self.0.clone();
        Box::pin(async move {
            poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await.map_err(|error| match refusal(&error) {
                Some(refused) => StdError::from(Status::unauthenticated(refused.to_string())),
                None => StdError::from(error),
            })
        })
    }
}

fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// What a user is told about a failed call: its message and the causes that say more.
pub fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if text.is_empty() {
        text = status.code().to_string();
    }
    let mut source = Error::source(status);
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tonic::Code;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn tcp(secret: Option<&str>) -> Tcp {
        let secret = secret.map(|text| Secret::new(text).unwrap());
        Tcp { connect_timeout: Duration::from_secs(60), secret, callee: Callee::JobManager }
    }

    /// The outcome of a call that cannot succeed.
    async fn called(channel: Channel) -> Status {
        let request = http::Request::builder().uri("http://service/Method").body(Body::empty()).unwrap();
        match channel.0.call(request).await {
            Ok(_) => panic!("it was answered"),
            Err(error) => Status::from_error(error),
        }
    }

    /// Before, the first call told whoever listened what he could make every other call with.
    #[tokio::test]
    async fn whoever_listens_hears_nothing_of_use() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = tcp(Some(SECRET)).connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let recorded = async {
            let mut both = Vec::new();
            for answer in [&b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"[..], &b"SSH-2.0-x"[..]] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.unwrap();
                both.push(heard);
            }
            both
        };
        let calling = async {
            for _ in 0..2 {
                let refused = called(channel.clone()).await;
                assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
                assert!(refused.message().contains("check the address") && refused.message().contains("127.0.0.1:"));
            }
        };
        let (recorded, ()) = tokio::join!(recorded, calling);
        // Magic, version, flags, and a nonce that comes once.
        assert!(recorded.iter().all(|heard| heard.len() == 41 && heard.starts_with(b"WIESEL\n\x01\x01")));
        assert_ne!(recorded[0], recorded[1]);
    }

    #[tokio::test]
    async fn who_does_not_answer_a_greeting_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let impatient = Tcp { connect_timeout: Duration::from_millis(1), ..tcp(None) };
        let silent = called(impatient.connect(&address).unwrap()).await;
        assert_eq!(silent.code(), Code::Unavailable, "{silent}");
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
        let going = async { drop(listener.accept().await.unwrap()) };
        let (gone, ()) = tokio::join!(called(tcp(None).connect(&address).unwrap()), going);
        assert_eq!(gone.code(), Code::Unavailable, "{gone}");
        assert!(gone.message().contains(&address), "{gone}");
    }

    #[test]
    fn a_task_manager_is_meant_by_its_address() {
        assert_eq!(Callee::TaskManager.name("a:1"), "TaskManager a:1");
        assert_eq!(Callee::JobManager.name("a:1"), Callee::JobManager.name("b:2"));
    }
}
