//! The consumer's end of a connection: asks for channels, grants credit, receives rows.
//!
//! The owner of a connection is the environment; a connection ends with the peer, with its first broken frame, or with the
//! environment, and fails every channel on it then.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::buffer::{Buffer, MutableBuffer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::event::{Barrier, Event};
use crate::frame::{CHECKSUM_LENGTH, HEADER_LENGTH, Header, Kind, Malformed, put_control, verify};
use crate::gate::GateShared;
use crate::handshake::{Agreement, Refused, introduce};
use crate::id::ChannelKey;
use crate::options::Options;

/// What came over a channel.
#[derive(Debug)]
pub enum Received {
    /// An encoded batch.
    Rows(Buffer),
    /// An event.
    Event(Event),
}

/// A channel from a producer in another TaskManager.
pub struct RemoteChannel {
    id: u32,
    key: ChannelKey,
    /// Position in the gate.
    index: u32,
    gate: Arc<GateShared>,
    connection: Arc<Connection>,
    schema_checksum: u32,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Control>,
    queued: AtomicBool,
}

/// What has arrived, and the account of the channel's window: what the producer may still send, what is queued and what was
/// consumed but not granted again add up to the window.
#[derive(Default)]
struct Incoming {
    queue: VecDeque<Received>,
    error: Option<Error>,
    ended: bool,
    next_sequence: u64,
    /// What the producer may still send; below zero if it sent one large frame.
    granted: i64,
    /// Consumed and not granted again.
    unreturned: usize,
    /// Borrowed from the gate, in segments.
    floating: usize,
    /// What the producer said waits on its side.
    backlog: usize,
}

/// What is to be said to the producer.
#[derive(Default)]
struct Control {
    sequence: u64,
    opened: bool,
    credit: u64,
    close: bool,
}

impl RemoteChannel {
    /// The next thing that came, and whether more waits; rows only if they are wanted.
    ///
    /// # Errors
    /// What broke the channel, once everything before it was taken.
    pub(crate) fn take(&self, rows: bool) -> Result<Option<(Received, bool)>> {
        let mut incoming = self.incoming.lock();
        if !rows && matches!(incoming.queue.front(), Some(Received::Rows(_))) {
            return Ok(None);
        }
        match incoming.queue.pop_front() {
            Some(received) => {
                let more = !incoming.queue.is_empty() || incoming.error.is_some();
                Ok(Some((received, more)))
            }
            None => incoming.error.clone().map_or(Ok(None), Err),
        }
    }

    /// Takes the first barrier that is wanted out of the queue, with a copy of the rows that it overtook.
    pub(crate) fn extract_barrier(&self, wanted: impl Fn(&Barrier) -> bool) -> Option<(Barrier, Vec<Buffer>)> {
        let mut incoming = self.incoming.lock();
        let position = incoming
            .queue
            .iter()
            .position(|received| matches!(received, Received::Event(Event::Barrier(barrier)) if wanted(barrier)))?;
        let rows = incoming.queue.range(..position).filter_map(|received| match received {
            Received::Rows(payload) => Some(payload.clone()),
            Received::Event(_) => None,
        });
        let rows = rows.collect();
        match incoming.queue.remove(position)? {
            Received::Event(Event::Barrier(barrier)) => Some((barrier, rows)),
            _ => None,
        }
    }

    /// What broke the channel, whatever waits before it.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.incoming.lock().error.clone()
    }

    /// The task has taken rows of this many bytes: the producer may send as many again, in portions of half a window.
    pub(crate) fn consumed(&self, bytes: usize) {
        let segment = self.gate.segment_size;
        let mut incoming = self.incoming.lock();
        let mut kept = bytes;
        let mut given_back = 0;
        if incoming.floating > 0 && incoming.backlog <= self.gate.exclusive {
            given_back = incoming.floating.min(bytes / segment);
            incoming.floating -= given_back;
            kept -= given_back * segment;
        }
        incoming.unreturned += kept;
        let window = self.gate.exclusive + incoming.floating * segment;
        let mut grant = 0;
        if incoming.unreturned * 2 >= window {
            grant = std::mem::take(&mut incoming.unreturned);
            incoming.granted += grant as i64;
        }
        drop(incoming);
        if given_back > 0 {
            self.gate.return_floating(given_back);
        }
        self.grant(grant);
    }

    fn grant(&self, bytes: usize) {
        if bytes > 0 {
            self.outgoing.lock().credit += bytes as u64;
            self.mark_dirty();
        }
    }

    /// A frame of this number has come; what is wrong, if it is not the next one.
    fn expect_frame(&self, sequence: u64) -> std::result::Result<(), String> {
        let mut incoming = self.incoming.lock();
        if sequence != incoming.next_sequence {
            return Err(format!("frame {sequence} of a channel came instead of frame {}", incoming.next_sequence));
        }
        incoming.next_sequence += 1;
        Ok(())
    }

    /// Rows have come in. A producer that has more than it may send gets what the gate has to lend.
    fn received(&self, received: Received, backlog: usize) {
        let segment = self.gate.segment_size;
        let mut incoming = self.incoming.lock();
        let mut grant = 0;
        if let Received::Rows(payload) = &received {
            incoming.granted -= payload.len() as i64;
            incoming.backlog = backlog;
            let missing = backlog as i64 - incoming.granted;
            if missing > 0 {
                let lent = self.gate.borrow_floating((missing as usize).div_ceil(segment));
                incoming.floating += lent;
                grant = lent * segment;
                incoming.granted += grant as i64;
            }
        }
        incoming.ended |= matches!(&received, Received::Event(event) if event.is_end());
        let barrier = if let Received::Event(Event::Barrier(barrier)) = &received {
            let waits = !barrier.urgent && !incoming.queue.is_empty();
            (barrier.urgent || waits).then(|| barrier.clone())
        } else {
            None
        };
        incoming.queue.push_back(received);
        drop(incoming);
        match barrier {
            Some(barrier) if barrier.urgent => self.gate.mark_urgent(),
            Some(barrier) => self.gate.mark_waiting(barrier),
            None => {}
        }
        self.gate.mark_ready(self.index);
        self.grant(grant);
    }

    fn fail(&self, error: Error) {
        let mut incoming = self.incoming.lock();
        if !incoming.ended && incoming.error.is_none() {
            incoming.error = Some(error);
            drop(incoming);
            self.gate.mark_ready(self.index);
        }
    }

    /// The task wants nothing more from this channel.
    pub(crate) fn close(&self) {
        let (ended, floating) = {
            let mut incoming = self.incoming.lock();
            incoming.queue.clear();
            (incoming.ended || incoming.error.is_some(), std::mem::take(&mut incoming.floating))
        };
        if floating > 0 {
            self.gate.return_floating(floating);
        }
        if ended {
            self.connection.state.lock().channels.remove(&self.id);
        } else {
            self.outgoing.lock().close = true;
            self.mark_dirty();
        }
    }

    fn mark_dirty(&self) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.connection.dirty.lock().push_back(self.id);
            self.connection.wake.notify_one();
        }
    }

    /// Appends the frames that are to be sent; true: the channel is closed by them.
    fn write_control(&self, out: &mut Vec<u8>) -> bool {
        self.queued.store(false, Ordering::SeqCst);
        let mut control = self.outgoing.lock();
        let mut frame = |control: &mut Control, kind, payload: &[u8]| {
            put_control(out, kind, self.id, control.sequence, payload);
            control.sequence += 1;
        };
        if control.close {
            if control.opened {
                frame(&mut control, Kind::Close, &[]);
            }
            return true;
        }
        if !control.opened {
            control.opened = true;
            let credit = std::mem::take(&mut control.credit);
            let mut payload = self.key.encode().to_vec();
            payload.extend_from_slice(&credit.to_le_bytes());
            payload.extend_from_slice(&self.schema_checksum.to_le_bytes());
            frame(&mut control, Kind::Open, &payload);
        } else if control.credit > 0 {
            let credit = std::mem::take(&mut control.credit);
            frame(&mut control, Kind::Credit, &credit.to_le_bytes());
        }
        false
    }
}

/// A connection to the TaskManager of some producers.
pub struct Connection {
    address: Arc<str>,
    state: Mutex<State>,
    /// Channels that have something to say.
    dirty: Mutex<VecDeque<u32>>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    channels: HashMap<u32, Arc<RemoteChannel>>,
    next: u32,
    dead: bool,
}

impl Connection {
    /// A connection that [`Connection::run`] has yet to make.
    pub fn new(address: &str) -> Arc<Self> {
        Arc::new(Self {
            address: address.into(),
            state: Mutex::default(),
            dirty: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Opens a channel. None: the connection is dead, another has to be made.
    pub(crate) fn open(
        self: &Arc<Self>,
        key: ChannelKey,
        gate: Arc<GateShared>,
        index: u32,
        schema_checksum: u32,
    ) -> Option<Arc<RemoteChannel>> {
        let window = gate.exclusive;
        let channel = {
            let mut state = self.state.lock();
            if state.dead {
                return None;
            }
            let id = state.next;
            state.next = state.next.wrapping_add(1);
            let channel = Arc::new(RemoteChannel {
                id,
                key,
                index,
                gate,
                connection: self.clone(),
                schema_checksum,
                incoming: Mutex::new(Incoming { granted: window as i64, ..Incoming::default() }),
                outgoing: Mutex::new(Control { credit: window as u64, ..Control::default() }),
                queued: AtomicBool::new(false),
            });
            state.channels.insert(id, channel.clone());
            channel
        };
        channel.mark_dirty();
        Some(channel)
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Ends the connection for its channels.
    pub fn fail(&self, error: &Error) {
        let channels = {
            let mut state = self.state.lock();
            state.dead = true;
            std::mem::take(&mut state.channels)
        };
        for channel in channels.into_values() {
            channel.fail(error.clone());
        }
    }

    /// Connects and serves until the connection ends; the channels learn why.
    pub async fn run(self: Arc<Self>, options: Options) {
        let error = match self.connect(&options).await {
            Err(error) => error,
            Ok((stream, agreement)) => {
                let (reader, writer) = stream.into_split();
                let reader = BufReader::with_capacity(64 << 10, reader);
                tokio::select! {
                    error = self.read(reader, agreement) => error,
                    error = self.write(writer) => error,
                }
            }
        };
        self.fail(&error);
    }

    async fn connect(&self, options: &Options) -> Result<(TcpStream, Agreement)> {
        let unanswered = || format!("no answer within {} s", options.connect_timeout.as_secs());
        let mut attempt = 0;
        loop {
            let connecting = tokio::time::timeout(options.connect_timeout, TcpStream::connect(&*self.address));
            let cause = match connecting.await {
                Ok(Ok(mut stream)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(address = %self.address, %error, "could not switch off Nagle's algorithm");
                    }
                    match tokio::time::timeout(options.connect_timeout, introduce(&mut stream, options)).await {
                        Ok(Ok(agreement)) => return Ok((stream, agreement)),
                        Ok(Err(Refused::Io(error))) => return Err(self.lost(&error)),
                        Ok(Err(Refused::Protocol(cause))) => return Err(self.protocol(cause)),
                        Err(_) => unanswered(),
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => unanswered(),
            };
            if attempt >= options.connect_retries {
                return Err(Error::ConnectFailed { address: self.address.clone(), cause: cause.into() });
            }
            attempt += 1;
        }
    }

    async fn write<W: AsyncWrite + Unpin>(&self, mut writer: W) -> Error {
        let mut out = Vec::new();
        loop {
            out.clear();
            loop {
                let next = self.dirty.lock().pop_front();
                let Some(id) = next else { break };
                let channel = self.state.lock().channels.get(&id).cloned();
                if channel.is_some_and(|channel| channel.write_control(&mut out)) {
                    self.state.lock().channels.remove(&id);
                }
                if out.len() > 64 << 10 {
                    break;
                }
            }
            if out.is_empty() {
                self.wake.notified().await;
            } else if let Err(error) = writer.write_all(&out).await {
                return self.lost(&error);
            }
        }
    }

    fn lost(&self, error: &std::io::Error) -> Error {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
                Error::ConnectionClosed(self.address.clone())
            }
            _ => Error::ConnectionLost { address: self.address.clone(), cause: error.to_string().into() },
        }
    }

    fn protocol(&self, cause: impl Into<Arc<str>>) -> Error {
        Error::Protocol { address: self.address.clone(), cause: cause.into() }
    }

    async fn read<R: AsyncRead + Unpin>(&self, mut reader: R, agreement: Agreement) -> Error {
        loop {
            let delivered = match self.next_frame(&mut reader, agreement).await {
                Ok((header, payload)) => self.deliver(header, payload),
                Err(error) => Err(error),
            };
            if let Err(error) = delivered {
                return error;
            }
        }
    }

    /// The next frame, undamaged.
    async fn next_frame<R: AsyncRead + Unpin>(
        &self,
        reader: &mut R,
        agreement: Agreement,
    ) -> Result<(Header, MutableBuffer)> {
        let lost = |error: std::io::Error| self.lost(&error);
        let mut header = [0; HEADER_LENGTH];
        reader.read_exact(&mut header).await.map_err(lost)?;
        let header = Header::decode(&header).map_err(|error| self.protocol(error.to_string()))?;
        let mut payload = MutableBuffer::from_len_zeroed(header.length as usize);
        reader.read_exact(&mut payload).await.map_err(lost)?;
        if header.checked {
            let mut checksum = [0; CHECKSUM_LENGTH];
            reader.read_exact(&mut checksum).await.map_err(lost)?;
            if verify(&payload, checksum).is_err() {
                return Err(Error::Damaged { address: self.address.clone(), bytes: payload.len() });
            }
        } else if agreement.checksums || header.kind != Kind::Data {
            return Err(self.protocol(Malformed::Unchecked.to_string()));
        }
        Ok((header, payload))
    }

    /// Gives a frame to its channel.
    fn deliver(&self, header: Header, payload: MutableBuffer) -> Result<()> {
        // A channel that was closed on this side may still have frames under way.
        let Some(channel) = self.state.lock().channels.get(&header.channel).cloned() else { return Ok(()) };
        channel.expect_frame(header.sequence).map_err(|problem| self.protocol(problem))?;
        match header.kind {
            Kind::Data => channel.received(Received::Rows(payload.into()), header.backlog as usize),
            Kind::Event => match Event::decode(&payload, std::time::Instant::now()) {
                Some(event) => channel.received(Received::Event(event), header.backlog as usize),
                None => return Err(self.protocol("an event that this version does not know")),
            },
            Kind::Failure => channel.fail(failure(channel.key, &payload)),
            kind => return Err(self.protocol(format!("a producer must not send frames of kind {kind:?}"))),
        }
        Ok(())
    }
}

/// The first byte of a failure: nobody offered the partition.
pub(crate) const FAILURE_NOT_FOUND: u8 = 0;
/// The first byte of a failure: the producer is gone.
pub(crate) const FAILURE_PRODUCER: u8 = 1;

fn failure(key: ChannelKey, payload: &[u8]) -> Error {
    match payload.split_first() {
        Some((&FAILURE_PRODUCER, cause)) => {
            Error::ProducerFailed { channel: key, cause: String::from_utf8_lossy(cause).into() }
        }
        _ => Error::PartitionNotFound(key.partition),
    }
}
