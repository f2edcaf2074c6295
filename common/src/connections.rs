//! Connections that others make: how many of them there may be, and how long one may stay that says nothing.
//!
//! Who finds no room waits in the queue of the operating system until another connection ends; a line in the log says so.
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::process;

/// How long a connection may take to say what every one of its kind begins with.
pub const FIRST_BYTES: Duration = Duration::from_secs(30);
/// What a connection for calls begins with: HTTP/2's preface.
const PREFACE_BYTES: usize = 24;
/// How often it is said that there is no room.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The pause after a connection that could not be accepted: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bounds of how many connections a port may have. Each is a descriptor, and files need some, too.
const LEAST_CONNECTIONS: u64 = 64;
const MOST_CONNECTIONS: u64 = 4096;

/// The room for connections of one port.
pub struct Admission {
    port: &'static str,
    most: usize,
    room: Arc<Semaphore>,
    said: Mutex<Option<Instant>>,
}

impl Admission {
    /// So many at once. `port` is what people call it.
    pub fn new(port: &'static str, most: usize) -> Self {
        Self { port, most, room: Arc::new(Semaphore::new(most)), said: Mutex::default() }
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
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Small messages must not wait for the acknowledgement of earlier ones.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "a connection without TCP_NODELAY");
                    }
                    return (stream, peer, room);
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
                    if self.may_speak() {
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
        if self.may_speak() {
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

    fn may_speak(&self) -> bool {
        let mut said = self.said.lock();
        let may = said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if may {
            *said = Some(Instant::now());
        }
        may
    }
}

/// Connections for calls (gRPC). One that does not begin as such in time ends.
pub fn incoming(listener: TcpListener, admission: Admission) -> impl Stream<Item = io::Result<Connection>> + Send {
    futures::stream::unfold((listener, admission), |(listener, admission)| async move {
        let (stream, _, room) = admission.accept(&listener).await;
        Some((Ok::<_, io::Error>(Connection::new(stream, room)), (listener, admission)))
    })
}

/// How long the other side of a connection for calls may be silent before it is asked whether it is there, and how long it may
/// take to answer: not shorter than what counts as a missed heartbeat, lest a process be lost that only stalls.
pub fn keep_alive(heartbeat_timeout: Duration) -> Duration {
    heartbeat_timeout.clamp(Duration::from_secs(10), Duration::from_secs(24 * 3600))
}

/// A connection for calls.
pub struct Connection {
    stream: TcpStream,
    /// Bytes that have to come, and the end of the time for them.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit) -> Self {
        Self { stream, awaited: Some((PREFACE_BYTES, Box::pin(sleep(FIRST_BYTES)))), _room: room }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some((missing, deadline)) = &mut this.awaited else { return read };
        if read.is_pending() {
            return deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        *missing = missing.saturating_sub(buffer.filled().len() - before);
        if *missing == 0 {
            this.awaited = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
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
        let mut incoming = std::pin::pin!(incoming(listener, Admission::new("test", 4)));
        (incoming.next().await.unwrap().unwrap(), stream)
    }

    fn expire(connection: &mut Connection) {
        let (_, deadline) = connection.awaited.as_mut().unwrap();
        deadline.as_mut().reset(Instant::now());
    }

    /// Before, a connection that said nothing stayed for ever.
    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
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
        assert!(caller.awaited.is_none(), "who has begun may be silent");
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
            assert!(admission.said.lock().is_some(), "it is said");
            drop(first_room);
            let _third = third.await;
        }
        assert!(!admission.may_speak(), "not again and again");
    }
}
