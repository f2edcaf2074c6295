//! A process's end of the network: calls that it makes, calls that it answers.
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, StdError};
use tonic::service::Routes;
use wiesel_common::rpc::{Answer, Channel, Connector, Transport, timeout_of};

use crate::data::DataPlane;
use crate::network::{CallId, Connecting, ConnectionId, Network, Packet, Part, Payload, ProcessId};

/// How often a client that hears nothing tries to connect again.
const CONNECT_AGAIN: Duration = Duration::from_millis(100);

/// What a call has heard.
enum Heard {
    Response(Box<Response<()>>),
    Part(Part),
    Broken,
}

struct OpenCall {
    connection: ConnectionId,
    heard: mpsc::UnboundedSender<Heard>,
    /// Of a call that is answered here: the handler.
    handler: Option<AbortHandle>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    process: ProcessId,
    network: Network,
    connect_timeout: Duration,
    calls: Arc<Mutex<BTreeMap<CallId, OpenCall>>>,
}

impl Endpoint {
    /// The end of a process.
    pub fn new(process: ProcessId, network: Network, connect_timeout: Duration) -> Self {
        Self { process, network, connect_timeout, calls: Arc::default() }
    }

    /// The process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Takes what arrives, for as long as the process lives.
    pub async fn serve(self, mut inbox: mpsc::UnboundedReceiver<Packet>, routes: Routes, data: Option<DataPlane>) {
        while let Some(Packet { connection, from, payload }) = inbox.recv().await {
            match payload {
                Payload::Request(call, request) => self.answer(connection, call, *request, routes.clone()),
                Payload::RequestPart(call, part) | Payload::ResponsePart(call, part) => {
                    self.hear(call, Heard::Part(part));
                }
                Payload::Response(call, response) => self.hear(call, Heard::Response(response)),
                Payload::Cancel(call) => self.end(call),
                Payload::Data(message) => {
                    if let Some(data) = &data {
                        data.receive(connection, message);
                    }
                }
                Payload::Broken => {
                    let broken = |open: &OpenCall| open.connection == connection;
                    let calls: Vec<CallId> =
                        self.calls.lock().iter().filter(|(_, open)| broken(open)).map(|(call, _)| *call).collect();
                    for call in calls {
                        self.hear(call, Heard::Broken);
                        self.end(call);
                    }
                    if let Some(data) = &data {
                        data.broken(connection);
                    }
                    tracing::trace!(connection, from, "a connection is gone");
                }
            }
        }
    }

    fn hear(&self, call: CallId, heard: Heard) {
        if let Some(open) = self.calls.lock().get(&call) {
            // Nobody reads on where the rest does not matter.
            let _ = open.heard.send(heard);
        }
    }

    fn end(&self, call: CallId) {
        let ended = self.calls.lock().remove(&call);
        if let Some(handler) = ended.and_then(|open| open.handler) {
            handler.abort();
        }
    }

    /// Answers a call in a task of its own, as a server does.
    fn answer(&self, connection: ConnectionId, call: CallId, request: Request<()>, mut routes: Routes) {
        let (heard, receiver) = mpsc::unbounded_channel();
        let limit = timeout_of(&request);
        let body = Body::new(Incoming { receiver, guard: None, ended: false });
        let request = request.map(|()| body);
        let this = self.clone();
        self.calls.lock().insert(call, OpenCall { connection, heard, handler: None });
        let handler = tokio::spawn(async move {
            let handling = routes.call(request);
            let response = match limit {
                Some(limit) => tokio::time::timeout(limit, handling).await,
                None => Ok(handling.await),
            };
            let response = match response {
                Ok(Ok(response)) => response.map(Body::new),
                Ok(Err(impossible)) => match impossible {},
                Err(_) => Status::cancelled("Timeout expired").into_http(),
            };
            let (parts, body) = response.into_parts();
            let head = Payload::Response(call, Box::new(Response::from_parts(parts, ())));
            this.network.send(this.process, connection, head);
            this.send_body(body, connection, |part| Payload::ResponsePart(call, part)).await;
            this.calls.lock().remove(&call);
        });
        if let Some(open) = self.calls.lock().get_mut(&call) {
            open.handler = Some(handler.abort_handle());
        }
    }

    async fn send_body(&self, mut body: Body, connection: ConnectionId, wrap: impl Fn(Part) -> Payload) {
        loop {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let part = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Part::Bytes(bytes),
                    Err(frame) => frame.into_trailers().map_or(Part::End, Part::Trailers),
                },
                Some(Err(_)) | None => Part::End,
            };
            let end = matches!(part, Part::End);
            self.network.send(self.process, connection, wrap(part));
            if end {
                return;
            }
        }
    }
}

impl Connector for Endpoint {
    fn connect(&self, address: &str) -> Result<Channel, Status> {
        Ok(Channel::new(Caller { endpoint: self.clone(), address: address.to_owned(), connection: Arc::default() }))
    }
}

/// A connection as its client has it: made with the first call, and again when it broke.
struct Caller {
    endpoint: Endpoint,
    address: String,
    connection: Arc<Mutex<Option<ConnectionId>>>,
}

impl Transport for Caller {
    fn call(&self, request: Request<Body>) -> Answer {
        let (endpoint, address, connection) = (self.endpoint.clone(), self.address.clone(), self.connection.clone());
        let limit = timeout_of(&request);
        Box::pin(async move {
            let calling = async {
                let connection = endpoint.connection(&address, &connection).await?;
                endpoint.call(connection, request).await
            };
            match limit {
                Some(limit) => match tokio::time::timeout(limit, calling).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Box::new(Status::cancelled("Timeout expired")) as StdError),
                },
                None => calling.await,
            }
        })
    }
}

impl Endpoint {
    /// The connection that is there, or a new one.
    pub async fn connection(
        &self,
        address: &str,
        known: &Mutex<Option<ConnectionId>>,
    ) -> Result<ConnectionId, StdError> {
        let deadline = tokio::time::Instant::now() + self.connect_timeout;
        loop {
            let open = *known.lock();
            if let Some(open) = open.filter(|open| self.network.is_open(*open)) {
                return Ok(open);
            }
            match self.network.connect(self.process, address) {
                Connecting::Connected(connection) => *known.lock() = Some(connection),
                Connecting::Refused => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    return Err(Box::new(Status::unavailable(format!("{address}: connection refused"))));
                }
                Connecting::Silence if tokio::time::Instant::now() >= deadline => {
                    return Err(Box::new(Status::unavailable(format!("{address}: connecting timed out"))));
                }
                Connecting::Silence => tokio::time::sleep(CONNECT_AGAIN).await,
            }
        }
    }

    async fn call(&self, connection: ConnectionId, request: Request<Body>) -> Result<Response<Body>, StdError> {
        let call = self.network.new_call();
        let (heard, mut receiver) = mpsc::unbounded_channel();
        self.calls.lock().insert(call, OpenCall { connection, heard, handler: None });
        let (parts, body) = request.into_parts();
        let this = self.clone();
        let head = Payload::Request(call, Box::new(Request::from_parts(parts, ())));
        self.network.send(self.process, connection, head);
        let sending =
            tokio::spawn(
                async move { this.send_body(body, connection, |part| Payload::RequestPart(call, part)).await },
            );
        let guard = CallGuard { endpoint: self.clone(), connection, call, sending: sending.abort_handle() };
        match receiver.recv().await {
            Some(Heard::Response(response)) => {
                Ok(response.map(|()| Body::new(Incoming { receiver, guard: Some(guard), ended: false })))
            }
            Some(Heard::Broken | Heard::Part(_)) | None => Err(Box::new(Status::unavailable("the connection broke"))),
        }
    }
}

/// Ends a call with its caller.
struct CallGuard {
    endpoint: Endpoint,
    connection: ConnectionId,
    call: CallId,
    sending: AbortHandle,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.sending.abort();
        if self.endpoint.calls.lock().remove(&self.call).is_some() {
            self.endpoint.network.send(self.endpoint.process, self.connection, Payload::Cancel(self.call));
        }
    }
}

/// A body as it arrives.
struct Incoming {
    receiver: mpsc::UnboundedReceiver<Heard>,
    guard: Option<CallGuard>,
    ended: bool,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.receiver.poll_recv(context)) {
            Some(Heard::Part(Part::Bytes(bytes))) => Some(Ok(Frame::data(bytes))),
            Some(Heard::Part(Part::Trailers(trailers))) => Some(Ok(Frame::trailers(trailers))),
            Some(Heard::Part(Part::End)) => {
                self.ended = true;
                if let Some(guard) = self.guard.take() {
                    // The call ended well: nothing is given up.
                    guard.endpoint.calls.lock().remove(&guard.call);
                }
                None
            }
            Some(Heard::Broken | Heard::Response(_)) | None => {
                self.ended = true;
                Some(Err(Status::unavailable("the connection broke")))
            }
        })
    }
}
