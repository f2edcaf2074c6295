//! Connections for calls between processes, by address.
//!
//! What calls others is given a [`Connector`] and knows no more of the network, so that a simulation can stand in for it.
//! A caller that concludes something from a status asks [`is_answer`] first: of a call that was not answered it cannot know
//! what the called process would have said.
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::Uri;
use tonic::codegen::{Service, StdError, http};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::connections::Refusal;
use crate::handshake;
use crate::secret::Secret;

/// The largest message that a JobManager takes: a task's part of a checkpoint, a batch of collected rows. Senders look
/// here whether one fits.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The largest message that a TaskManager takes: tasks with the job graph and what they start from.
pub const MAX_DEPLOYMENT_BYTES: usize = 256 << 20;

/// How long the failure of a connection is also that of further calls: of those that waited for it, which would otherwise try
/// one after the other, and of callers that try again without a pause.
const FAILURE_LASTS: Duration = Duration::from_millis(100);

/// What becomes of a call.
pub type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, StdError>> + Send>>;

/// Something that carries calls to one address.
pub trait Transport: Send + Sync {
    /// Sends a request; dropping the answer gives the call up. What [`timeout_of`] the request says is how long it may take
    /// until the answer begins, the wait for a connection included.
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
    /// The name that both ends of a connection prove to have meant. A listener at one's address that passes the connection on
    /// to another gets nowhere.
    pub fn name(self, address: &str) -> String {
        match self {
            Self::JobManager => "JobManager".to_owned(),
            Self::TaskManager => format!("TaskManager {address}"),
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
struct NoAnswer {
    code: Code,
    text: String,
}

impl From<NoAnswer> for Status {
    fn from(cause: NoAnswer) -> Self {
        let mut status = Self::new(cause.code, cause.text.clone());
        status.set_source(Arc::new(cause));
        status
    }
}

/// Whether the called process said this: what was made of a failure on the way has a cause on this side, and says nothing of
/// what the called process did or would have said.
pub fn is_answer(status: &Status) -> bool {
    Error::source(status).is_none()
}

/// How long a call may take, of its `grpc-timeout`: at most eight digits and a unit.
pub fn timeout_of<T>(request: &http::Request<T>) -> Option<Duration> {
    let text = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Connections over TCP, which begin with the greeting of [`crate::connections::incoming`].
#[derive(Clone, Debug)]
pub struct Tcp {
    /// How long a connection may take to come up, its greeting included.
    pub connect_timeout: Duration,
    /// What both ends must have.
    pub secret: Option<Secret>,
    /// What is called over these connections.
    pub callee: Callee,
}

impl Connector for Tcp {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
            let text = format!("`{address}` is no address: {error}");
            NoAnswer { code: Code::InvalidArgument, text }
        })?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        // A name may stand for several addresses, which share this time.
        http.set_connect_timeout(Some(self.connect_timeout));
        let dialer = Dialer {
            http,
            secret: self.secret.clone(),
            name: self.callee.name(address),
            address: address.to_owned(),
            patience: self.connect_timeout,
            dialling: AtomicBool::new(false),
            failed: Mutex::new(None),
        };
        let dialer = Arc::new(dialer);
        let channel = endpoint.connect_with_connector_lazy(Dial(Arc::clone(&dialer)));
        Ok(Channel::new(TcpTransport { channel, dialer }))
    }
}

/// Connects to an address, and greets its listener before HTTP/2 begins.
struct Dialer {
    http: HttpConnector,
    secret: Option<Secret>,
    /// The name of the callee.
    name: String,
    address: String,
    patience: Duration,
    /// There is no connection yet.
    dialling: AtomicBool,
    /// What came of the last attempt, if it failed, and when.
    failed: Mutex<Option<(Instant, NoAnswer)>>,
}

impl Dialer {
    /// A connection, or why there is none: tonic asks once for each call that waits, one after the other.
    async fn dial(&self, uri: Uri) -> Result<TcpStream, NoAnswer> {
        if let Some(failure) = self.recent_failure() {
            return Err(failure);
        }
        self.dialling.store(true, Ordering::Relaxed);
        let outcome = self.attempts(uri).await;
        self.dialling.store(false, Ordering::Relaxed);
        outcome
    }

    async fn attempts(&self, uri: Uri) -> Result<TcpStream, NoAnswer> {
        loop {
            let deadline = Instant::now() + self.patience;
            let failure = match self.attempt(&uri, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            let now = Instant::now();
            // Nothing goes on here while no call waits. One that comes later is not to fail for the time when there was none.
            if now <= deadline + FAILURE_LASTS {
                *self.failed.lock() = Some((now, failure.clone()));
                return Err(failure);
            }
        }
    }

    fn recent_failure(&self) -> Option<NoAnswer> {
        let failed = self.failed.lock();
        failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_LASTS).map(|(_, failure)| failure.clone())
    }

    async fn attempt(&self, uri: &Uri, deadline: Instant) -> Result<TcpStream, NoAnswer> {
        let mut http = self.http.clone();
        let mut stream = match timeout_at(deadline, http.call(uri.clone())).await {
            Ok(Ok(stream)) => stream.into_inner(),
            Ok(Err(error)) => {
                return Err(self.failure(Code::Unavailable, &with_causes(error.to_string(), error.source())));
            }
            Err(_) => {
                let cause = format!("no connection within {} ms", self.patience.as_millis());
                return Err(self.failure(Code::Unavailable, &cause));
            }
        };
        let greeting = handshake::call(&mut stream, self.secret.as_ref(), &self.name);
        match timeout_at(deadline, greeting).await {
            Ok(Ok(())) => Ok(stream),
            // It does not belong to the cluster, or says that this process does not.
            Ok(Err(Refusal::Because(cause))) => Err(self.failure(Code::Unauthenticated, &cause)),
            Ok(Err(Refusal::Gone(error))) => {
                let cause = format!("the connection ended during the greeting: {error}");
                Err(self.failure(Code::Unavailable, &cause))
            }
            Err(_) => {
                let cause = format!(
                    "the greeting was not answered within {} ms: the process is stalled, or another one listens there",
                    self.patience.as_millis()
                );
                Err(self.failure(Code::Unavailable, &cause))
            }
        }
    }

    fn failure(&self, code: Code, cause: &str) -> NoAnswer {
        NoAnswer { code, text: format!("{}: {cause}", self.address) }
    }
}

/// A [`Dialer`] as tonic wants it.
struct Dial(Arc<Dialer>);

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoAnswer>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoAnswer>> {
        // As the connector always is: it resolves names on threads.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move { dialer.dial(uri).await.map(TokioIo::new) })
    }
}

struct TcpTransport {
    channel: tonic::transport::Channel,
    dialer: Arc<Dialer>,
}

impl Transport for TcpTransport {
    fn call(&self, request: http::Request<Body>) -> Answer {
        let (mut channel, dialer) = (self.channel.clone(), Arc::clone(&self.dialer));
        let limit = timeout_of(&request);
        Box::pin(async move {
            let calling = async {
                match poll_fn(|context| channel.poll_ready(context)).await {
                    Ok(()) => channel.call(request).await,
                    Err(closed) => Err(closed),
                }
            };
            // tonic counts from when the request is sent only. A stream goes on for as long as it likes once it was answered.
            let answer = match limit {
                None => calling.await,
                Some(limit) => match timeout(limit, calling).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        // More time would not help one that was not even sent.
                        let (code, what) = if dialer.dialling.load(Ordering::Relaxed) {
                            (Code::Unavailable, "connection")
                        } else {
                            (Code::DeadlineExceeded, "answer")
                        };
                        let cause = format!("no {what} within {} ms", limit.as_millis());
                        return Err(StdError::from(Status::from(dialer.failure(code, &cause))));
                    }
                },
            };
            answer.map_err(|error| match no_connection(&error) {
                Some(cause) => StdError::from(Status::from(cause.clone())),
                None => StdError::from(error),
            })
        })
    }
}

fn no_connection<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a NoAnswer> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
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
    with_causes(text, Error::source(status))
}

/// A text and those of its causes that say more.
fn with_causes(mut text: String, mut cause: Option<&(dyn Error + 'static)>) -> String {
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn tcp(secret: Option<&str>) -> Tcp {
        let secret = secret.map(|text| Secret::new(text).unwrap());
        Tcp { connect_timeout: Duration::from_secs(60), secret, callee: Callee::JobManager }
    }

    fn request(timeout: Option<&str>) -> http::Request<Body> {
        let mut builder = http::Request::builder().uri("http://service/Method");
        if let Some(timeout) = timeout {
            builder = builder.header("grpc-timeout", timeout);
        }
        builder.body(Body::empty()).unwrap()
    }

    /// The outcome of a call that cannot succeed.
    async fn called(channel: Channel) -> Status {
        called_within(channel, None).await
    }

    async fn called_within(channel: Channel, timeout: Option<&str>) -> Status {
        match channel.0.call(request(timeout)).await {
            Ok(_) => panic!("it was answered"),
            Err(error) => Status::from_error(error),
        }
    }

    /// Before, the first call told any listener what it could make every other call with.
    #[tokio::test]
    async fn a_listener_without_the_secret_receives_nothing_of_use() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
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
                let refused = called(tcp(Some(SECRET)).connect(&address).unwrap()).await;
                assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
                assert!(!is_answer(&refused), "{refused}");
                assert!(refused.message().contains("check the address") && refused.message().contains("127.0.0.1:"));
            }
        };
        let (recorded, ()) = tokio::join!(recorded, calling);
        // Magic, version, flags, and a nonce that comes once.
        assert!(recorded.iter().all(|heard| heard.len() == 41 && heard.starts_with(b"WIESEL\n\x01\x01")));
        assert_ne!(recorded[0], recorded[1]);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_answer_a_greeting_is_not_waited_for() {
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

    /// Accepts and says nothing.
    struct Silent(std::net::TcpListener);

    impl Silent {
        fn new() -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            Self(listener)
        }

        fn channel(&self) -> Channel {
            tcp(None).connect(&self.0.local_addr().unwrap().to_string()).unwrap()
        }

        /// How many have connected since they were counted.
        fn connections(&self) -> usize {
            std::iter::from_fn(|| self.0.accept().ok()).count()
        }
    }

    /// Before, each of them made the next one wait for a connection of its own.
    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_for_one_connection_fail_together() {
        let silent = Silent::new();
        let channel = silent.channel();
        let begun = Instant::now();
        for failed in join_all((0..8).map(|_| called(channel.clone()))).await {
            assert_eq!(failed.code(), Code::Unavailable, "{failed}");
            assert!(!is_answer(&failed), "{failed}");
        }
        assert!(begun.elapsed() < Duration::from_secs(61), "{:?}", begun.elapsed());
        assert_eq!(silent.connections(), 1);
        // A caller that tries again at once gets the same, and one that waits a moment has a connection of its own.
        called(channel.clone()).await;
        assert_eq!(silent.connections(), 0);
        tokio::time::advance(FAILURE_LASTS).await;
        called(channel).await;
        assert_eq!(silent.connections(), 1);
    }

    /// Before, the time began when there was a connection.
    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_call_includes_the_wait_for_a_connection() {
        let silent = Silent::new();
        let channel = silent.channel();
        let begun = Instant::now();
        for late in join_all((0..8).map(|_| called_within(channel.clone(), Some("1500m")))).await {
            assert_eq!(late.code(), Code::Unavailable, "{late}");
            assert!(late.message().contains("no connection within 1500 ms") && !is_answer(&late), "{late}");
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // The attempt that no call waits for any more is not what a later call fails with.
        tokio::time::advance(Duration::from_secs(120)).await;
        let begun = Instant::now();
        let failed = called(channel).await;
        assert_eq!(failed.code(), Code::Unavailable, "{failed}");
        assert!(begun.elapsed() >= Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!(silent.connections(), 2);
    }

    #[test]
    fn what_the_called_process_says_has_no_cause_on_this_side() {
        assert!(is_answer(&Status::unauthenticated("who are you")));
        assert!(!is_answer(&tcp(None).connect("not an address").err().unwrap()));
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(!is_answer(&Status::from_error(broken.into())));
    }

    #[test]
    fn the_time_of_a_call_is_read_as_tonic_writes_it() {
        for nanos in [0, 7, 99_999_999, 100_000_000, 3_600_000_000_000, 86_400_000_000_000_000] {
            let time = Duration::from_nanos(nanos);
            let mut written = tonic::Request::new(());
            written.set_timeout(time);
            let text = written.metadata().get("grpc-timeout").unwrap().to_str().unwrap().to_owned();
            let read = timeout_of(&request(Some(&text))).unwrap();
            assert!(read <= time && time - read < Duration::from_secs(1), "{time:?} is {text}, read as {read:?}");
        }
        assert_eq!(timeout_of(&request(Some("2M"))), Some(Duration::from_secs(120)));
        assert_eq!(timeout_of(&request(Some("99999999H"))), Some(Duration::from_secs(99_999_999 * 3600)));
        for malformed in ["", "S", "5", "5 S", "+5S", "-1S", "1.5S", "100000000H", "5s"] {
            assert_eq!(timeout_of(&request(Some(malformed))), None, "{malformed}");
        }
        assert_eq!(timeout_of(&request(None)), None);
    }

    #[test]
    fn a_task_manager_is_meant_by_its_address() {
        assert_eq!(Callee::TaskManager.name("a:1"), "TaskManager a:1");
        assert_eq!(Callee::JobManager.name("a:1"), Callee::JobManager.name("b:2"));
    }
}
