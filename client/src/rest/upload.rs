//! Requests with long bodies, each over a connection of its own.
//!
//! A JobManager, or what stands in front of it, may answer before it has read all of a body, and then read no more of it. A
//! client that is sending meets a connection that is closed, and the reason is there to be read. An HTTP client gives up with the
//! first of the two that it notices, so it does not hear of the end of the sending as long as there may be an answer ([`Sending`]).
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::limits::{Limits, Missing};
use super::root_cause;

/// The status and the body of the answer, or why there is none. `patience`: how long connecting may take.
pub(super) async fn send(
    request: reqwest::Request,
    patience: Duration,
    limits: Limits,
) -> Result<(StatusCode, Vec<u8>), Missing> {
    let mut request = Request::<reqwest::Body>::try_from(request)?;
    let address = to_origin(&mut request).map_err(Missing::Unreachable)?;
    let stream = connect(address, patience).await.map_err(Missing::Unreachable)?;
    exchange(stream, request, limits).await
}

async fn connect(address: String, patience: Duration) -> Result<TcpStream, String> {
    let connecting = timeout(patience, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| format!("no connection within {} s", patience.as_secs()))?;
    let stream = stream.map_err(|error| root_cause(&error))?;
    stream.set_nodelay(true).map_err(|error| root_cause(&error))?;
    Ok(stream)
}

/// Makes the request one to the server that its address names, `host:port`, and tells that.
fn to_origin(request: &mut Request<reqwest::Body>) -> Result<String, String> {
    let uri = std::mem::take(request.uri_mut());
    let (Some(authority), Some(path)) = (uri.authority(), uri.path_and_query()) else {
        return Err(format!("'{uri}' names no server"));
    };
    let host = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = Uri::from(path.clone());
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<reqwest::Body>,
    limits: Limits,
) -> Result<(StatusCode, Vec<u8>), Missing> {
    let progress = Progress::new();
    let (mut sender, connection) = http1::handshake(TokioIo::new(Sending::new(stream, progress.clone()))).await?;
    let received = progress.clone();
    let talk = async move {
        let mut connection = pin!(connection);
        let mut answer = pin!(async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, Missing>((status, whole(response.into_body(), limits, &received).await?))
        });
        tokio::select! {
            // What is still being sent then is not read.
            answer = &mut answer => answer,
            // It has told the caller that waits for the answer how it ended.
            _ = &mut connection => answer.await,
        }
    };
    let mut talk = pin!(talk);
    loop {
        let latest = progress.latest();
        match limits.next_since(latest, &mut talk).await {
            Ok(answer) => return answer,
            Err(silent) if progress.latest() == latest => return Err(silent),
            Err(_) => {}
        }
    }
}

async fn whole(mut body: Incoming, limits: Limits, progress: &Progress) -> Result<Vec<u8>, Missing> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            limits.add(&mut bytes, &data)?;
            progress.add(data.len());
        }
    }
    Ok(bytes)
}

/// When bytes of the request were last sent, or bytes of the body of its answer came: a long request takes long, and a peer that
/// takes it is not silent meanwhile. What comes before an answer, such as one `100 Continue` after the other, is none of it.
#[derive(Clone, Debug)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    /// None yet.
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// So many bytes have passed.
    fn add(&self, bytes: usize) {
        if bytes > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    fn latest(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes on where nothing can be sent any more: then what is sent is dropped, and what was said is read.
struct Sending<S> {
    stream: S,
    /// Why nothing can be sent. It is told if there is nothing to be read either.
    broken: Option<io::Error>,
    heard: bool,
    progress: Progress,
}

impl<S> Sending<S> {
    fn new(stream: S, progress: Progress) -> Self {
        Self { stream, broken: None, heard: false, progress }
    }

    /// What sending so many bytes came to.
    fn sent(&mut self, outcome: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match outcome {
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) => {
                self.broken = Some(error);
                Ok(bytes)
            }
            Ok(sent) => {
                self.progress.add(sent);
                Ok(sent)
            }
            outcome => outcome,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sending<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        this.heard |= buffer.filled().len() > before;
        match this.broken.take_if(|_| !this.heard) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(read),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sending<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        Poll::Ready(this.sent(outcome, bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if this.broken.is_some() {
            return Poll::Ready(Ok(bytes));
        }
        let outcome = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices));
        Poll::Ready(this.sent(outcome, bytes))
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use wiesel_proto as proto;

    use super::super::{Error, RestClient};
    use super::*;

    /// What a client says that submits a long graph to a server which answers so and closes, with most of it unread.
    fn said(answer: &'static str) -> Error {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            connection.read_exact(&mut [0; 1024]).unwrap();
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let graph = proto::JobGraph { name: "x".repeat(32 << 20), ..Default::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(RestClient::new("127.0.0.1", port).submit(&graph)).unwrap_err();
        server.join().unwrap();
        refused
    }

    /// Before, it said that the pipe was broken or the connection reset.
    #[test]
    fn an_answer_is_heard_though_not_all_could_be_sent() {
        let refused = said("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 23\r\n\r\n{\"errors\":[\"too long\"]}");
        assert!(matches!(refused, Error::Refused { status: 413, .. }), "{refused}");
        assert_eq!(refused.to_string(), "too long");
    }

    #[test]
    fn a_peer_that_closes_without_an_answer_may_have_done_what_it_was_asked_for() {
        let refused = said("");
        let Error::Open { cause, .. } = &refused else { panic!("{refused}") };
        assert!(matches!(**cause, Error::Broken { .. }), "{refused}");
    }

    /// Before, it was given up after twice the time: the request, which had been sent at once, counted as progress until the time
    /// was over, and then all of it was waited again.
    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_when_the_time_since_its_last_sign_is_over() {
        const LIMIT: Duration = Duration::from_secs(5);
        let (stream, mut peer) = tokio::io::duplex(1 << 16);
        let request = reqwest::Client::new().post("http://localhost/v1/jobs").body("{}").build().unwrap();
        let request = Request::<reqwest::Body>::try_from(request).unwrap();
        let begun = Instant::now();
        // A part of an answer comes after 3 s, and nothing more.
        let answering = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
            std::future::pending::<()>().await;
        };
        let said = tokio::select! {
            said = exchange(stream, request, Limits::new(LIMIT)) => said,
            () = answering => unreachable!("it has no end"),
        };
        assert!(matches!(said, Err(Missing::Silent(limit)) if limit == LIMIT), "{said:?}");
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(8) && waited < Duration::from_millis(8_100), "{waited:?}");
    }

    /// Takes nothing, and says this.
    struct Refusing(&'static [u8]);

    impl AsyncRead for Refusing {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Refusing {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_was_said_is_read_though_nothing_is_taken() {
        let mut connection = Sending::new(Refusing(b"no"), Progress::new());
        connection.write_all(&[7; 1000]).await.unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "no");
        let mut silent = Sending::new(Refusing(b""), Progress::new());
        silent.write_all(&[7; 1000]).await.unwrap();
        assert_eq!(silent.read_to_string(&mut said).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_request_goes_to_the_server_that_its_address_names() {
        for (url, address, host) in [
            ("http://localhost:8081/v1/jobs?a=b", "localhost:8081", "localhost:8081"),
            ("http://[::1]:8081/v1/jobs?a=b", "[::1]:8081", "[::1]:8081"),
            ("http://example/v1/jobs?a=b", "example:80", "example"),
        ] {
            let request = reqwest::Client::new().post(url).body("{}").build().unwrap();
            let mut request = Request::<reqwest::Body>::try_from(request).unwrap();
            assert_eq!(to_origin(&mut request).unwrap(), address);
            assert_eq!(request.uri().to_string(), "/v1/jobs?a=b");
            assert_eq!(request.headers()[HOST], host);
        }
    }
}
