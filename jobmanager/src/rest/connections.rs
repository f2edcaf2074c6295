//! Connections of the REST port: how many there are, of all and of one peer, and how long one may take to ask for something.
//!
//! HTTP/1 only: a connection has one request at a time, so that counting connections is counting requests. It waits for one,
//! receives its head, and is at work; only the last may take any time, because answers are waited for. What is at work is known
//! from the requests that have begun and ended; their bodies are [`super::bodies`]' affair.
use std::borrow::Borrow;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use wiesel_common::connections::{Admission, Conversation, FIRST_BYTES, Leave, Timed};

use super::error::HANDLER;
use super::peers::{Peer, Shares};

/// How long a connection may wait for its next request: clients that keep connections give up theirs before.
const IDLE: Duration = Duration::from_secs(120);
/// How long the head of a request may take from its first byte.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may take no byte of an answer.
const STALLED_ANSWER: Duration = Duration::from_secs(60);
/// How long a client is listened to that has its answer and sends on: one that reads while it sends ends at once, one that does
/// not has to have sent all of it first. It takes a connection and no memory.
const UNWANTED: Leave = Leave { time: Duration::from_secs(30), bytes: 32 << 20 };

/// After how long a silence the system asks whether the other side is still there, how often, and how many times in vain.
/// A peer that is gone without a word would be waited for otherwise: a handler waits for a job as long as its client does.
const ASK_AFTER: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASK_TIMES: u32 = 3;
/// What answers under way may take once there is an end: a client that waits for rows must not hold up the stop.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// How long it may take to tell a peer that it has too many connections, and how many are told so at once; others hear nothing.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELLS: usize = 8;

/// Serves until the token is cancelled.
pub(crate) async fn serve(listener: impl Borrow<TcpListener>, api: Router, stop: CancellationToken) {
    Entrance::new(Admission::by_open_files("REST"), Peer::of).serve(listener, api, stop).await;
}

/// Which connections the port lets in.
struct Entrance {
    admission: Admission,
    /// Half of the room is for one peer, the rest for others.
    shares: Shares,
    peer_of: fn(IpAddr) -> Peer,
    farewells: Arc<Semaphore>,
}

impl Entrance {
    fn new(admission: Admission, peer_of: fn(IpAddr) -> Peer) -> Self {
        let shares = Shares::new("connections to REST", admission.most() / 2);
        Self { admission, shares, peer_of, farewells: Arc::new(Semaphore::new(FAREWELLS)) }
    }

    async fn serve(self, listener: impl Borrow<TcpListener>, api: Router, stop: CancellationToken) {
        let api = TowerToHyperService::new(api);
        // They end with this.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                (stream, address, room) = self.admission.accept(listener.borrow()) => {
                    let peer = (self.peer_of)(address.ip());
                    match self.shares.of(peer).map(Semaphore::try_acquire_owned).transpose() {
                        Ok(share) => {
                            let (api, stop) = (api.clone(), stop.clone());
                            connections.spawn(async move {
                                answer(connection(stream), peer, api, stop).await;
                                drop((room, share));
                            });
                        }
                        Err(_) => {
                            self.shares.warn(peer);
                            if let Ok(turn) = Arc::clone(&self.farewells).try_acquire_owned() {
                                connections.spawn(turn_away(stream, self.shares.most(), turn));
                            }
                        }
                    }
                }
                // One that panicked has said so.
                Some(_) = connections.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        drop(listener);
        let _ = timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
    }
}

/// Tells a peer that it has too many connections.
async fn turn_away(mut stream: TcpStream, most: usize, _turn: OwnedSemaphorePermit) {
    let error = format!(
        "{HANDLER}: This address has {most} connections, as many as one may have. Close some, or try again later."
    );
    let body = serde_json::json!({ "errors": [error] }).to_string();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // The system takes an answer back if what the other side has sent is not read.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// Answers what comes over a connection, to its end.
async fn answer(
    mut connection: Timed<Requests>,
    peer: Peer,
    api: TowerToHyperService<Router>,
    stop: CancellationToken,
) {
    let activity = connection.conversation().activity.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(activity.clone());
        request.extensions_mut().insert(peer);
        api.call(request)
    });
    let mut conversation = pin!(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a REST connection broke off");
    }
}

/// Has the system notice that the other side is gone.
fn notice_the_end(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(stream, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASK_TIMES)?;
    sockopt::set_socket_keepalive(stream, true)
}

/// The requests of a connection, for the handlers that answer them.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Progress>);

#[derive(Default)]
struct Progress {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Of the last one's body more may come, which no handler reads.
    unwanted: AtomicBool,
}

impl Activity {
    /// A request has begun, and goes on as long as what is returned lives.
    pub(super) fn begin(&self) -> InProgress {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        InProgress(self.clone())
    }

    /// The request is answered before its body has come, and the connection ends with it.
    pub(super) fn more_may_come(&self) {
        self.0.unwanted.store(true, Ordering::SeqCst);
    }

    /// How many have begun, and whether one goes on.
    fn requests(&self) -> (u64, bool) {
        let ended = self.0.ended.load(Ordering::SeqCst);
        let begun = self.0.begun.load(Ordering::SeqCst);
        (begun, begun > ended)
    }
}

/// See [`Activity::begin`].
pub(super) struct InProgress(Activity);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// Its head has begun.
    Head,
    /// It is being answered.
    Work,
}

/// What is said over a connection: one request after the other.
struct Requests {
    activity: Activity,
    phase: Phase,
    /// The end of the phase, unless it is work.
    until: Instant,
    /// Requests that were seen to have begun.
    begun: u64,
}

/// A connection that has just been made: it is given up sooner than one that waits for its next request.
fn connection(stream: TcpStream) -> Timed<Requests> {
    if let Err(error) = notice_the_end(&stream) {
        tracing::debug!(%error, "a connection whose end will not be noticed if nothing is sent");
    }
    let until = Instant::now() + FIRST_BYTES;
    Timed::new(stream, Requests { activity: Activity::default(), phase: Phase::Idle, until, begun: 0 })
}

impl Requests {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.until = Instant::now() + if phase == Phase::Head { HEAD } else { IDLE };
    }

    /// Takes note of requests that have begun or ended.
    fn look(&mut self) {
        let (begun, goes_on) = self.activity.requests();
        if begun == self.begun && (self.phase != Phase::Work || goes_on) {
            return;
        }
        self.begun = begun;
        self.enter(if goes_on { Phase::Work } else { Phase::Idle });
    }
}

impl Conversation for Requests {
    const STALLED: Option<Duration> = Some(STALLED_ANSWER);

    fn due(&mut self) -> Option<Instant> {
        self.look();
        (self.phase != Phase::Work).then_some(self.until)
    }

    fn received(&mut self, bytes: usize) {
        self.look();
        if self.phase == Phase::Idle && bytes > 0 {
            self.enter(Phase::Head);
        }
    }

    fn sent(&mut self) {
        if self.phase == Phase::Idle {
            // Of an answer that is longer than what fits at once.
            self.enter(Phase::Idle);
        }
    }

    fn leave(&mut self) -> Option<Leave> {
        self.look();
        // A head that is refused may go on, too.
        let goes_on = self.phase == Phase::Head || self.activity.0.unwanted.load(Ordering::SeqCst);
        goes_on.then_some(UNWANTED)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::FutureExt;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpSocket;

    use super::*;

    async fn connected() -> (Timed<Requests>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (connection(listener.accept().await.unwrap().0), client)
    }

    fn expire(connection: &mut Timed<Requests>) {
        connection.conversation().until = Instant::now();
    }

    async fn times_out(connection: &mut Timed<Requests>) -> bool {
        let mut buffer = [0; 64];
        connection.read(&mut buffer).await.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    }

    /// Before, a connection that said nothing, or half of a head, stayed for ever.
    #[tokio::test]
    async fn a_client_that_sends_no_request_is_not_waited_for() {
        let (mut silent, _client) = connected().await;
        expire(&mut silent);
        assert!(times_out(&mut silent).await);

        let (mut slow, mut client) = connected().await;
        let mut buffer = [0; 64];
        client.write_all(b"GET /over").await.unwrap();
        assert_eq!(slow.read(&mut buffer).await.unwrap(), 9);
        assert_eq!(slow.conversation().phase, Phase::Head);
        let until = slow.conversation().until;
        client.write_all(b"v").await.unwrap();
        assert_eq!(slow.read(&mut buffer).await.unwrap(), 1);
        assert_eq!(slow.conversation().until, until, "a byte now and then gains no time");
        expire(&mut slow);
        assert!(times_out(&mut slow).await);
    }

    #[tokio::test]
    async fn an_answer_may_take_its_time() {
        let (mut connection, mut client) = connected().await;
        let mut buffer = [0; 64];
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let _ = connection.read(&mut buffer).await.unwrap();
        let request = connection.conversation().activity.begin();
        connection.conversation().look();
        expire(&mut connection);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(connection.read(&mut buffer).now_or_never().is_none(), "a handler is at work");
        drop(request);
        let requests = connection.conversation();
        requests.look();
        assert_eq!(requests.phase, Phase::Idle);
        // One that begins and ends between two looks.
        requests.phase = Phase::Head;
        drop(requests.activity.begin());
        requests.look();
        assert_eq!(requests.phase, Phase::Idle);
        expire(&mut connection);
        assert!(times_out(&mut connection).await);
    }

    #[tokio::test]
    async fn connections_have_keepalive_probes() {
        let (connection, _client) = connected().await;
        assert!(sockopt::socket_keepalive(connection.stream()).unwrap());
        assert_eq!(sockopt::tcp_keepidle(connection.stream()).unwrap(), ASK_AFTER);
        assert_eq!(sockopt::tcp_keepintvl(connection.stream()).unwrap(), ASK_EVERY);
        assert_eq!(sockopt::tcp_keepcnt(connection.stream()).unwrap(), ASK_TIMES);
    }

    const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

    fn api() -> Router {
        Router::new().route("/", axum::routing::get(|| async { "served" }))
    }

    /// What a server says to these bytes before it ends the connection.
    async fn said(address: SocketAddr, bytes: &[u8]) -> String {
        said_to(TcpStream::connect(address).await.unwrap(), bytes).await
    }

    async fn said_to(mut client: TcpStream, bytes: &[u8]) -> String {
        client.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Before, a client that began with HTTP/2's preface had any number of requests on a connection, past the deadlines of heads.
    #[tokio::test]
    async fn http_1_is_spoken_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, api(), stop.clone()));
        let answer = said(address, LAST_REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nserved"), "{answer}");
        assert!(said(address, b"GET / HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 OK\r\n"));
        // The preface with an empty SETTINGS frame, to which a server of HTTP/2 answers with its own.
        let answer = said(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        assert_eq!(answer, "");
        stop.cancel();
        server.await.unwrap();
    }

    /// Before, one address could take all connections, and no other client was answered as long as it kept them.
    #[tokio::test]
    async fn one_peer_leaves_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Addresses of this machine stand for others.
        let peer_of = |address: IpAddr| match address {
            IpAddr::V4(address) => Peer::of([192, 0, 2, address.octets()[3]].into()),
            IpAddr::V6(_) => Peer::default(),
        };
        let stop = CancellationToken::new();
        let server =
            tokio::spawn(Entrance::new(Admission::new("test", 4), peer_of).serve(listener, api(), stop.clone()));
        let mut greedy = Vec::new();
        for _ in 0..2 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert_ne!(client.read(&mut [0; 512]).await.unwrap(), 0);
            greedy.push(client);
        }
        let refused = said(address, LAST_REQUEST).await;
        assert!(
            refused.starts_with("HTTP/1.1 429 ") && refused.contains("This address has 2 connections"),
            "{refused}"
        );
        let other = TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let answer = said_to(other.connect(address).await.unwrap(), LAST_REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // Once the server has seen that one is gone there is room for the next.
        greedy.pop();
        while !said(address, LAST_REQUEST).await.starts_with("HTTP/1.1 200 ") {}
        stop.cancel();
        server.await.unwrap();
    }
}
