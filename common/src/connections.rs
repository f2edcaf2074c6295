//! Connections that others make: how many of them there may be, how long one may stay that says nothing, and which are let in.
//!
//! A connection that finds no room waits in the queue of the operating system until another one ends; a line in the log says so.
//! Connections that have yet to show that they belong here ([`Gate`]) have a few places of their own and little time, so that
//! they take no room from those that do. How long one that was let in is waited for is the affair of [`Timed`].
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::logging::Limit;
use crate::secret::Secret;
use crate::{handshake, process};

mod timed;

pub use timed::{Conversation, Leave, Timed};

/// How long a connection may take to say what every one of its kind begins with.
pub const FIRST_BYTES: Duration = Duration::from_secs(30);
/// What a connection for calls begins with: HTTP/2's preface.
const PREFACE_BYTES: usize = 24;
/// The pause after a connection that could not be accepted: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bounds of how many connections a port may have. Each is a descriptor, and files need some, too.
const LEAST_CONNECTIONS: u64 = 64;
const MOST_CONNECTIONS: u64 = 4096;
/// How many connections wait in the queue of the operating system, which may allow fewer (`net.core.somaxconn`). A client
/// that finds it full comes again after 1, 3, 7 … s.
const BACKLOG: u32 = 1024;

/// Listens at the first of these addresses that can be had.
///
/// # Errors
/// None of them can be had; the error is that of the last.
pub async fn listen(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen at");
    for address in lookup_host(addresses).await? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port of a process that has just ended can be had at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The room for connections of one port.
pub struct Admission {
    port: &'static str,
    most: usize,
    room: Arc<Semaphore>,
    /// There is no room, or the system gives no connection.
    trouble: Limit,
    refusals: Limit,
}

impl Admission {
    /// So many at once. `port` is what people call it.
    pub fn new(port: &'static str, most: usize) -> Self {
        Self {
            port,
            most,
            room: Arc::new(Semaphore::new(most)),
            trouble: Limit::once_a_minute(),
            refusals: Limit::once_a_minute(),
        }
    }

    /// As many as this process has descriptors for.
    pub fn by_open_files(port: &'static str) -> Self {
        let most = (process::most_open_files() / 8).clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS);
        Self::new(port, most as usize)
    }

    /// How many there may be at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The next connection, once there is room for it. It takes the room as long as what is returned with it lives.
    pub async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        let room = self.admit().await;
        let (stream, peer) = self.arrival(listener).await;
        (stream, peer, room)
    }

    /// The next connection, whether there is room for it or not.
    async fn arrival(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Small messages must not wait for the acknowledgement of earlier ones.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "a connection without TCP_NODELAY");
                    }
                    return (stream, peer);
                }
                // It was gone before it was looked at.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::ConnectionRefused
                    ) => {}
                Err(error) => {
                    if self.trouble.admit_now().is_some() {
                        tracing::warn!(port = self.port, %error, "a connection could not be accepted");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn admit(&self) -> OwnedSemaphorePermit {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            return room;
        }
        if self.trouble.admit_now().is_some() {
            tracing::warn!(
                port = self.port,
                connections = self.most,
                "as many connections as there may be: others wait until one ends (the limit follows from that of open files)"
            );
        }
        match Arc::clone(&self.room).acquire_owned().await {
            Ok(room) => room,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Says that a connection was refused or ended for what its peer did, and why.
    pub fn refused(&self, peer: SocketAddr, cause: &str) {
        match self.refusals.admit_now() {
            Some(unsaid) => tracing::warn!(port = self.port, %peer, cause, unsaid, "refused a connection"),
            None => tracing::debug!(port = self.port, %peer, cause, "refused a connection"),
        }
    }
}

/// Why a connection is not let in.
#[derive(Debug)]
pub enum Refusal {
    /// It ended; a client that only looks whether the port is open ends it, too.
    Gone(io::Error),
    /// What is wrong, and what to do.
    Because(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// What connections get that have yet to show that they belong here.
struct Patience {
    /// Places for them, beside those of a port's connections and never more than those.
    places: usize,
    /// How long one may have its place.
    most: Duration,
    /// How long one may have it that others wait for and that has said nothing yet: a peer of the cluster speaks at once.
    silent: Duration,
    /// How long one may have it that others wait for and that has begun to speak: long enough for a peer of the cluster.
    crowded: Duration,
}

/// A full queue of silent ones ([`BACKLOG`]) is through within a second.
const PATIENCE: Patience =
    Patience { places: 256, most: FIRST_BYTES, silent: Duration::from_millis(200), crowded: Duration::from_secs(1) };

/// That of a connection that has yet to show that it belongs here.
struct Place {
    since: Instant,
    /// It has said something.
    has_spoken: Arc<AtomicBool>,
    greeting: AbortHandle,
}

impl Place {
    /// Until when it has it if others wait for it.
    fn until(&self, patience: &Patience) -> Instant {
        let spoken = self.has_spoken.load(Ordering::Relaxed);
        self.since + if spoken { patience.crowded } else { patience.silent }
    }
}

/// Lets in the connections of a port that show that they belong here.
pub struct Gate<T> {
    listener: TcpListener,
    admission: Arc<Admission>,
    patience: Patience,
    greetings: JoinSet<Option<(T, SocketAddr)>>,
    /// Those of the greetings, the oldest first.
    places: Vec<Place>,
}

impl<T: Send + 'static> Gate<T> {
    /// No connection has come yet.
    pub fn new(listener: TcpListener, admission: Arc<Admission>) -> Self {
        let patience = Patience { places: PATIENCE.places.min(admission.most()), ..PATIENCE };
        Self { listener, admission, patience, greetings: JoinSet::new(), places: Vec::new() }
    }

    /// The next connection that `greet` lets in, once there is room for it. It takes the room as long as what is returned with
    /// it lives. Giving this up loses nothing.
    pub async fn next<G, F>(&mut self, greet: G) -> (T, SocketAddr, OwnedSemaphorePermit)
    where
        G: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let room = self.admission.admit().await;
        loop {
            self.places.retain(|place| !place.greeting.is_finished());
            let full = self.places.len() >= self.patience.places;
            let crowded = self.places.iter().map(|place| place.until(&self.patience)).min();
            tokio::select! {
                biased;
                Some(greeted) = self.greetings.join_next(), if !self.greetings.is_empty() => {
                    if let Ok(Some((greeted, peer))) = greeted {
                        return (greeted, peer, room);
                    }
                }
                (stream, peer) = self.admission.arrival(&self.listener), if !full => {
                    self.begin(stream, peer, greet.clone());
                }
                () = reached(crowded), if full => self.free_a_place(),
            }
        }
    }

    /// Ends the oldest connection that has had its place for as long as it may while others wait. There is none if it has begun to
    /// speak meanwhile: then it has more time.
    fn free_a_place(&mut self) {
        let now = Instant::now();
        let Some(index) = self.places.iter().position(|place| place.until(&self.patience) <= now) else { return };
        self.places.remove(index).greeting.abort();
        if self.admission.trouble.admit_now().is_some() {
            tracing::warn!(
                port = self.admission.port,
                connections = self.patience.places,
                "as many connections as there may be that have not shown that they belong to this cluster: the one that has been \
                 there longest ends"
            );
        }
    }

    fn begin<G, F>(&mut self, stream: TcpStream, peer: SocketAddr, greet: G)
    where
        G: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let (admission, most) = (Arc::clone(&self.admission), self.patience.most);
        let has_spoken = Arc::new(AtomicBool::new(false));
        let speaks = Arc::clone(&has_spoken);
        let greeting = async move {
            // The system may call a connection ready to be read that is not: only a byte counts.
            stream.peek(&mut [0]).await?;
            speaks.store(true, Ordering::Relaxed);
            let greeting = greet(stream);
            greeting.await
        };
        let greeting = self.greetings.spawn(async move {
            match timeout(most, greeting).await {
                Ok(Ok(greeted)) => return Some((greeted, peer)),
                Ok(Err(Refusal::Gone(error))) => {
                    tracing::debug!(port = admission.port, %peer, %error, "a connection ended before it had begun");
                }
                Ok(Err(Refusal::Because(cause))) => admission.refused(peer, &cause),
                Err(_) => {
                    let cause = format!("it has not shown within {} s that it belongs to this cluster", most.as_secs());
                    admission.refused(peer, &cause);
                }
            }
            None
        });
        self.places.push(Place { since: Instant::now(), has_spoken, greeting });
    }
}

async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Connections for calls (gRPC), of those that have the secret, if there is one. `name`: what is called, see
/// [`Callee::name`](crate::rpc::Callee::name). One that does not begin as such in time ends.
pub fn incoming(
    listener: TcpListener,
    admission: Admission,
    secret: Option<Secret>,
    name: String,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let called = Arc::new((secret, name));
    let greet = move |mut stream: TcpStream| {
        let called = Arc::clone(&called);
        async move {
            let (secret, name) = &*called;
            handshake::answer(&mut stream, secret.as_ref(), name).await?;
            Ok::<_, Refusal>(stream)
        }
    };
    let gate = Gate::new(listener, Arc::new(admission));
    futures::stream::unfold((gate, greet), |(mut gate, greet)| async move {
        let (stream, _, room) = gate.next(greet.clone()).await;
        Some((Ok::<_, io::Error>(Connection::of_caller(stream, room)), (gate, greet)))
    })
}

/// How long the other side of a connection for calls may be silent before it is asked whether it is there, and how long it may
/// take to answer: not shorter than what counts as a missed heartbeat, lest a process be lost that only stalls.
pub fn keep_alive(heartbeat_timeout: Duration) -> Duration {
    heartbeat_timeout.clamp(Duration::from_secs(10), Duration::from_secs(24 * 3600))
}

/// A connection for calls.
pub type Connection = Timed<Preface>;

impl Connection {
    fn of_caller(stream: TcpStream, room: OwnedSemaphorePermit) -> Self {
        let preface = Preface { missing: PREFACE_BYTES, until: Instant::now() + FIRST_BYTES, _room: room };
        Self::new(stream, preface)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream().connect_info()
    }
}

/// What is said over a connection for calls: its preface is due, and HTTP/2 sees to what follows.
pub struct Preface {
    /// Bytes that have to come.
    missing: usize,
    /// The end of the time for them.
    until: Instant,
    _room: OwnedSemaphorePermit,
}

impl Conversation for Preface {
    fn due(&mut self) -> Option<Instant> {
        (self.missing > 0).then_some(self.until)
    }

    fn received(&mut self, bytes: usize) {
        self.missing = self.missing.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn connected() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut incoming = std::pin::pin!(incoming(listener, Admission::new("test", 4), None, "test".into()));
        let calling = async {
            let mut stream = stream;
            handshake::call(&mut stream, None, "test").await.unwrap();
            stream
        };
        let (connection, stream) = tokio::join!(incoming.next(), calling);
        (connection.unwrap().unwrap(), stream)
    }

    fn expire(connection: &mut Connection) {
        connection.conversation().until = Instant::now();
    }

    /// Before, a connection that said nothing stayed for ever.
    #[tokio::test]
    async fn a_silent_connection_is_not_waited_for() {
        let mut buffer = [0; 64];
        let (mut silent, _stranger) = connected().await;
        expire(&mut silent);
        assert_eq!(silent.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut slow, mut stranger) = connected().await;
        stranger.write_all(&[1; PREFACE_BYTES - 1]).await.unwrap();
        assert_eq!(slow.read(&mut buffer).await.unwrap(), PREFACE_BYTES - 1);
        expire(&mut slow);
        assert_eq!(slow.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut caller, mut peer) = connected().await;
        peer.write_all(&[1; PREFACE_BYTES]).await.unwrap();
        assert_eq!(caller.read(&mut buffer).await.unwrap(), PREFACE_BYTES);
        assert_eq!(caller.conversation().due(), None, "a peer that has begun may be silent");
    }

    #[tokio::test]
    async fn there_are_so_many_connections_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let admission = Admission::new("test", 2);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (_first, _, first_room) = admission.accept(&listener).await;
        let _second = admission.accept(&listener).await;
        {
            let mut third = std::pin::pin!(admission.accept(&listener));
            assert!(third.as_mut().now_or_never().is_none());
            assert_eq!(admission.trouble.admit_now(), None, "it is said");
            drop(first_room);
            let _third = third.await;
        }
        assert_eq!(admission.trouble.admit_now(), None, "not again and again");
    }

    /// Lets in a peer that says `y`; one that says something else does not belong here.
    async fn greet(mut stream: TcpStream) -> Result<TcpStream, Refusal> {
        match stream.read_u8().await? {
            b'y' => Ok(stream),
            other => Err(Refusal::Because(format!("it said {other}"))),
        }
    }

    async fn gate(most: usize, patience: Patience) -> (Gate<TcpStream>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate { patience, ..Gate::new(listener, Arc::new(Admission::new("test", most))) };
        (gate, address)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    async fn is_closed(stream: &mut TcpStream) -> bool {
        !matches!(stream.read(&mut [0; 8]).await, Ok(1..))
    }

    /// Before, they had the room of those that belong here, for 30 s each.
    #[tokio::test]
    async fn a_connection_that_has_not_been_greeted_takes_no_room() {
        let (mut gate, address) = gate(1, Patience { places: 4, most: HOUR, silent: HOUR, crowded: HOUR }).await;
        let mut silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let mut wrong = TcpStream::connect(address).await.unwrap();
        wrong.write_all(b"n").await.unwrap();
        let mut friend = TcpStream::connect(address).await.unwrap();
        friend.write_all(b"y").await.unwrap();
        let (_, peer, room) = gate.next(greet).await;
        assert_eq!(peer, friend.local_addr().unwrap());
        // There is room for one: the next waits for it, and has shown meanwhile that it belongs here.
        silent[1].write_all(b"y").await.unwrap();
        assert!(gate.next(greet).now_or_never().is_none());
        drop(room);
        assert_eq!(gate.next(greet).await.1, silent[1].local_addr().unwrap());
        assert!(is_closed(&mut wrong).await);
        assert_eq!(gate.admission.refusals.admit_now(), None, "it is said");
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_silent_connections_ends_and_a_greeted_one_gets_in() {
        let (mut gate, address) =
            gate(4, Patience { places: 2, most: HOUR, silent: Duration::ZERO, crowded: Duration::ZERO }).await;
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut friend = TcpStream::connect(address).await.unwrap();
        friend.write_all(b"y").await.unwrap();
        assert_eq!(gate.next(greet).await.1, friend.local_addr().unwrap());
        for stream in &mut silent[..4] {
            assert!(is_closed(stream).await);
        }
        assert!(gate.places.len() <= 2);
    }

    /// Before, each had as long as one that speaks: 64 such connections a second kept others out for as long as they came.
    #[tokio::test]
    async fn a_crowd_that_says_nothing_is_not_waited_for() {
        let patience = Patience { places: 8, most: HOUR, silent: Duration::ZERO, crowded: HOUR };
        let (mut gate, address) = gate(4, patience).await;
        let mut silent = Vec::new();
        for _ in 0..64 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut friend = TcpStream::connect(address).await.unwrap();
        friend.write_all(b"y").await.unwrap();
        assert_eq!(gate.next(greet).await.1, friend.local_addr().unwrap());
        // With the times and places of a port a full queue of them is through in less than a second.
        assert!(PATIENCE.silent * BACKLOG / (PATIENCE.places as u32) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_connection_that_has_begun_its_greeting_is_given_longer() {
        /// Lets in a peer that says two bytes.
        async fn greet_slowly(mut stream: TcpStream) -> Result<TcpStream, Refusal> {
            stream.read_exact(&mut [0; 2]).await?;
            Ok(stream)
        }
        let patience = Patience { places: 2, most: HOUR, silent: Duration::ZERO, crowded: HOUR };
        let (mut gate, address) = gate(4, patience).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"y").await.unwrap();
        while !gate.places.iter().any(|place| place.has_spoken.load(Ordering::Relaxed)) {
            assert!(gate.next(greet_slowly).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        let mut silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        tokio::select! {
            _ = gate.next(greet_slowly) => panic!("no peer has said two bytes"),
            closed = is_closed(&mut silent[0]) => assert!(closed),
        }
        slow.write_all(b"y").await.unwrap();
        assert_eq!(gate.next(greet_slowly).await.1, slow.local_addr().unwrap());
    }

    /// Before, 128 did, and a client that came after them was not heard for seconds.
    #[tokio::test]
    async fn many_wait_in_the_queue_of_the_system() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..300 {
            waiting.push(TcpStream::connect(address).await.unwrap());
        }
        let taken = listen(address).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let both = listen(&[address, (address.ip(), 0).into()][..]).await.unwrap();
        assert_ne!(both.local_addr().unwrap(), address, "the first that can be had");
    }

    #[tokio::test]
    async fn strangers_have_no_more_descriptors_than_the_connections_of_a_port() {
        for (most, places) in [(64, 64), (128, 128), (4096, 256)] {
            let listener = listen("127.0.0.1:0").await.unwrap();
            let gate: Gate<TcpStream> = Gate::new(listener, Arc::new(Admission::new("test", most)));
            assert_eq!(gate.patience.places, places);
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_greeting_in_time_ends() {
        let patience = Patience { places: 2, most: Duration::from_millis(1), silent: HOUR, crowded: HOUR };
        let (mut gate, address) = gate(4, patience).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            _ = gate.next(greet) => panic!("no peer belongs here"),
            closed = is_closed(&mut silent) => assert!(closed),
        }
        assert_eq!(gate.admission.refusals.admit_now(), None, "it is said");
    }
}
