//! The producer's end of a connection: serves channels from subpartitions within the credit of their consumers.
//!
//! One connection has one reading and one writing loop. The writer serves the channels that have something to send and may
//! send it in turn, a frame each: none waits for another's credit.
use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use wiesel_common::connections::FIRST_BYTES;

use crate::client::{FAILURE_NOT_FOUND, FAILURE_PRODUCER};
use crate::frame::{CHECKSUM_LENGTH, HEADER_LENGTH, Header, Kind, MAX_CONTROL_PAYLOAD, Malformed, verify};
use crate::handshake::Agreement;
use crate::id::ChannelKey;
use crate::options::Options;
use crate::subpartition::{Claim, Consumer, Outgoing, Registry, Subpartition};

#[cfg(test)]
mod tests;

/// Channels that one connection may have open.
const MAX_CHANNELS: usize = 1 << 20;
/// How long a consumer is waited for that has been let in.
const PATIENCE: Patience = Patience { first_frame: FIRST_BYTES, whole_frame: Duration::from_secs(30) };

/// See [`PATIENCE`].
#[derive(Clone, Copy)]
struct Patience {
    /// Until its first frame has begun and its header is there.
    first_frame: Duration,
    /// For a frame to come whole once its first byte has. Consumers send small ones.
    whole_frame: Duration,
}
/// Bytes that are handed to the operating system at once, at least.
const WRITE_CHUNK: usize = 256 << 10;
/// Frames that are handed to the operating system at once, at most.
const WRITE_FRAMES: usize = 64;

/// A channel as the producer's side of a connection sees it.
struct View {
    id: u32,
    key: ChannelKey,
    schema_checksum: u32,
    connection: Weak<Shared>,
    credit: AtomicI64,
    queued: AtomicBool,
    sequence: AtomicU64,
    received: AtomicU64,
    subpartition: OnceLock<Arc<Subpartition>>,
    /// The subpartition knows of this view.
    attached: AtomicBool,
    /// Told instead of data.
    refusal: OnceLock<(u8, String)>,
}

impl View {
    fn mark_ready(&self) {
        if let Some(connection) = self.connection.upgrade()
            && !self.queued.swap(true, Ordering::SeqCst)
        {
            connection.ready.lock().push_back(self.id);
            connection.wake.notify_one();
        }
    }

    fn refuse(&self, kind: u8, cause: &str) {
        let mut cause = cause.to_owned();
        cause.truncate(cause.floor_char_boundary(MAX_CONTROL_PAYLOAD - 1));
        if self.refusal.set((kind, cause)).is_ok() {
            self.mark_ready();
        }
    }
}

impl Consumer for View {
    fn data_available(&self) {
        self.mark_ready();
    }
}

impl Claim for View {
    fn found(self: Arc<Self>, subpartition: Arc<Subpartition>) {
        if self.subpartition.set(subpartition).is_ok() {
            // The writing loop attaches it: here the registry is locked.
            self.mark_ready();
        }
    }
}

#[derive(Default)]
struct Shared {
    views: Mutex<HashMap<u32, Arc<View>>>,
    ready: Mutex<VecDeque<u32>>,
    wake: Notify,
}

impl Shared {
    fn drop_view(&self, id: u32, registry: &Registry) {
        let view = self.views.lock().remove(&id);
        if let Some(view) = view {
            view.let_go(registry);
        }
    }
}

impl View {
    /// The consumer is gone.
    fn let_go(self: &Arc<Self>, registry: &Registry) {
        registry.disclaim(&self.key, self);
        // A partition that was found and not attached would wait for this consumer for ever.
        if let Some(subpartition) = self.subpartition.get()
            && (self.attached.load(Ordering::SeqCst) || subpartition.attach(self.clone()))
        {
            subpartition.detach();
        }
    }
}

/// Detaches all channels however the connection ends.
struct Cleanup {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let views = std::mem::take(&mut *self.shared.views.lock());
        for view in views.into_values() {
            view.let_go(&self.registry);
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("closed by the peer")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Protocol(String),
}

/// Serves one connection, after its greeting, until it ends.
pub(crate) async fn serve(stream: TcpStream, agreement: Agreement, registry: Arc<Registry>, options: &Options) -> End {
    let request_timeout = options.partition_request_timeout;
    let (reader, writer) = stream.into_split();
    let shared = Arc::new(Shared::default());
    let cleanup = Cleanup { shared: shared.clone(), registry };
    let reader = BufReader::with_capacity(16 << 10, reader);
    tokio::select! {
        end = read(reader, &shared, &cleanup.registry, request_timeout, PATIENCE) => end,
        end = write(writer, &shared, &cleanup.registry, agreement) => End::Io(end),
    }
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: R,
    shared: &Arc<Shared>,
    registry: &Arc<Registry>,
    request_timeout: Duration,
    patience: Patience,
) -> End {
    let mut payload = Vec::new();
    let mut requests = VecDeque::new();
    let mut first_by = Some(Instant::now() + patience.first_frame);
    loop {
        let asked = async {
            let header = read_header(&mut reader, first_by.take(), patience, &mut requests, registry).await?;
            read_payload(&mut reader, &header, &mut payload, patience).await?;
            handle(header, &payload, shared, registry).map_err(End::Protocol)
        };
        let asked = asked.await;
        match asked {
            Ok(None) => {}
            Ok(Some(view)) => requests.push_back((Instant::now() + request_timeout, view)),
            Err(end) => return end,
        }
        expire(&mut requests, registry);
    }
}

/// The header of the next frame. The first one of a connection has to be whole by `first_by`, others soon after their first byte.
/// Meanwhile requests expire.
async fn read_header<R: AsyncRead + Unpin>(
    reader: &mut R,
    first_by: Option<Instant>,
    patience: Patience,
    requests: &mut VecDeque<(Instant, Arc<View>)>,
    registry: &Registry,
) -> Result<Header, End> {
    let mut header = [0; HEADER_LENGTH];
    // Reading a header is not undone by the timer: it goes on filling the same bytes.
    let mut filled = 0;
    let mut whole_by = first_by;
    while filled < HEADER_LENGTH {
        let expires = requests.front().map(|(deadline, _)| *deadline);
        let deadline = whole_by.into_iter().chain(expires).min();
        let read = tokio::select! {
            read = reader.read(&mut header[filled..]) => read?,
            () = sleep_until(deadline), if deadline.is_some() => {
                if whole_by.is_some_and(|whole_by| whole_by <= Instant::now()) {
                    let is_first = first_by.is_some();
                    let what = if is_first { "no frame came after the connection was made" } else { UNFINISHED };
                    return Err(End::Protocol(what.into()));
                }
                expire(requests, registry);
                continue;
            }
        };
        match read {
            0 if filled == 0 => return Err(End::Closed),
            0 => return Err(End::Protocol("the peer closed in the middle of a frame".into())),
            read => filled += read,
        }
        whole_by = whole_by.or_else(|| Some(Instant::now() + patience.whole_frame));
    }
    Header::decode(&header).map_err(|error| End::Protocol(error.to_string()))
}

/// The payload of a frame, undamaged.
async fn read_payload<R: AsyncRead + Unpin>(
    reader: &mut R,
    header: &Header,
    payload: &mut Vec<u8>,
    patience: Patience,
) -> Result<(), End> {
    if header.kind == Kind::Data {
        return Err(End::Protocol("a consumer must not send rows".into()));
    }
    if !header.checked {
        return Err(End::Protocol(Malformed::Unchecked.to_string()));
    }
    payload.resize(header.length as usize, 0);
    let mut checksum = [0; CHECKSUM_LENGTH];
    let reading = async {
        reader.read_exact(&mut payload[..]).await?;
        reader.read_exact(&mut checksum).await
    };
    match tokio::time::timeout(patience.whole_frame, reading).await {
        Ok(read) => _ = read?,
        Err(_) => return Err(End::Protocol(UNFINISHED.into())),
    }
    verify(payload, checksum).map_err(|error| End::Protocol(error.to_string()))
}

const UNFINISHED: &str = "a frame was begun and not finished in time";

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// Answers requests whose partition did not come in time, and forgets those whose did.
fn expire(requests: &mut VecDeque<(Instant, Arc<View>)>, registry: &Registry) {
    while let Some((deadline, view)) = requests.front() {
        if view.subpartition.get().is_none() {
            if *deadline > Instant::now() {
                return;
            }
            if registry.disclaim(&view.key, view) {
                view.refuse(FAILURE_NOT_FOUND, "");
            }
        }
        requests.pop_front();
    }
}

/// Does what a frame asks for. An open frame gives the view whose partition may not be there yet.
fn handle(
    header: Header,
    payload: &[u8],
    shared: &Arc<Shared>,
    registry: &Registry,
) -> Result<Option<Arc<View>>, String> {
    if header.kind == Kind::Open {
        return open_channel(&header, payload, shared, registry).map(Some);
    }
    // A channel that ended on this side may still be spoken to.
    let Some(view) = shared.views.lock().get(&header.channel).cloned() else { return Ok(None) };
    if header.sequence != view.received.fetch_add(1, Ordering::Relaxed) {
        return Err("frames of a channel out of order".into());
    }
    match header.kind {
        Kind::Credit => {
            let credit = credit_at(payload, 0).ok_or("a credit frame that says nothing")?;
            let before = view.credit.fetch_add(credit, Ordering::SeqCst);
            if before <= 0 {
                view.mark_ready();
            }
        }
        Kind::Close => shared.drop_view(view.id, registry),
        kind => return Err(format!("a consumer must not send frames of kind {kind:?}")),
    }
    Ok(None)
}

/// Opens a channel, and claims the partition that it is to be served from.
fn open_channel(
    header: &Header,
    payload: &[u8],
    shared: &Arc<Shared>,
    registry: &Registry,
) -> Result<Arc<View>, String> {
    let key = ChannelKey::decode(payload).filter(|_| payload.len() == ChannelKey::LENGTH + 12);
    let credit = credit_at(payload, ChannelKey::LENGTH);
    let (Some(key), Some(credit), Some(checksum)) = (key, credit, payload.last_chunk::<4>()) else {
        return Err("an open frame that says nothing".into());
    };
    if header.sequence != 0 {
        return Err("a channel that starts in its middle".into());
    }
    let view = Arc::new(View {
        id: header.channel,
        key,
        schema_checksum: u32::from_le_bytes(*checksum),
        connection: Arc::downgrade(shared),
        credit: AtomicI64::new(credit),
        queued: AtomicBool::new(false),
        sequence: AtomicU64::new(0),
        received: AtomicU64::new(1),
        subpartition: OnceLock::new(),
        attached: AtomicBool::new(false),
        refusal: OnceLock::new(),
    });
    let mut views = shared.views.lock();
    if views.len() >= MAX_CHANNELS || views.contains_key(&header.channel) {
        return Err("a channel that is open already, or too many of them".into());
    }
    views.insert(header.channel, view.clone());
    drop(views);
    if !registry.claim(key, view.clone()) {
        view.refuse(FAILURE_NOT_FOUND, "");
    }
    Ok(view)
}

/// The credit that stands at a place of a payload.
fn credit_at(payload: &[u8], at: usize) -> Option<i64> {
    let bytes: [u8; 8] = payload.get(at..at + 8)?.try_into().ok()?;
    i64::try_from(u64::from_le_bytes(bytes)).ok().filter(|credit| *credit < 1 << 40)
}

/// A frame on its way out.
struct OutgoingFrame {
    header: [u8; HEADER_LENGTH],
    head: Bytes,
    body: Bytes,
    checksum: Option<[u8; CHECKSUM_LENGTH]>,
}

/// Rows that count until they are written.
struct InFlight {
    subpartition: Arc<Subpartition>,
    bytes: usize,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.subpartition.done(self.bytes);
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    shared: &Arc<Shared>,
    registry: &Registry,
    agreement: Agreement,
) -> std::io::Error {
    let mut frames: Vec<OutgoingFrame> = Vec::new();
    let mut in_flight: Vec<InFlight> = Vec::new();
    loop {
        let mut bytes = 0;
        while bytes < WRITE_CHUNK && frames.len() < WRITE_FRAMES {
            let next = shared.ready.lock().pop_front();
            let Some(id) = next else { break };
            let Some(view) = shared.views.lock().get(&id).cloned() else { continue };
            view.queued.store(false, Ordering::SeqCst);
            let Some((frame, last)) = next_frame(&view, &mut in_flight, agreement) else { continue };
            bytes += HEADER_LENGTH + frame.head.len() + frame.body.len();
            frames.push(frame);
            if last {
                shared.drop_view(id, registry);
            }
        }
        if frames.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        if let Err(error) = write_frames(&mut writer, &frames).await {
            return error;
        }
        frames.clear();
        in_flight.clear();
    }
}

/// The next frame of a channel, if there is one that may be sent, and whether it is the channel's last.
fn next_frame(view: &Arc<View>, in_flight: &mut Vec<InFlight>, agreement: Agreement) -> Option<(OutgoingFrame, bool)> {
    let frame = |kind, head: Bytes, body: Bytes, backlog: usize, checksum: Option<u32>| {
        let header = Header {
            kind,
            channel: view.id,
            backlog: u32::try_from(backlog).unwrap_or(u32::MAX),
            sequence: view.sequence.fetch_add(1, Ordering::Relaxed),
            length: (head.len() + body.len()) as u32,
            checked: checksum.is_some(),
        };
        OutgoingFrame { header: header.encode(), head, body, checksum: checksum.map(u32::to_le_bytes) }
    };
    let control = |kind, payload: Bytes, backlog: usize| {
        let checksum = Some(crc32c::crc32c(&payload));
        frame(kind, payload, Bytes::new(), backlog, checksum)
    };
    let failure = |kind: u8, cause: &str| {
        let mut payload = vec![kind];
        payload.extend_from_slice(&cause.as_bytes()[..cause.floor_char_boundary(MAX_CONTROL_PAYLOAD - 1)]);
        (control(Kind::Failure, payload.into(), 0), true)
    };
    if let Some((kind, cause)) = view.refusal.get() {
        return Some(failure(*kind, cause));
    }
    let subpartition = view.subpartition.get()?;
    if !view.attached.load(Ordering::SeqCst) {
        if subpartition.schema_checksum() != view.schema_checksum {
            return Some(failure(
                FAILURE_PRODUCER,
                "producer and consumer disagree about the columns of their channel",
            ));
        }
        let consumer: Arc<dyn Consumer> = view.clone();
        if !subpartition.attach(consumer) {
            return Some(failure(FAILURE_NOT_FOUND, ""));
        }
        view.attached.store(true, Ordering::SeqCst);
    }
    let taken = subpartition.take(view.credit.load(Ordering::SeqCst) > 0)?;
    if taken.more {
        view.mark_ready();
    }
    let done = InFlight { subpartition: subpartition.clone(), bytes: taken.bytes };
    match taken.outgoing {
        Outgoing::Encoded(payload) => {
            in_flight.push(done);
            view.credit.fetch_sub(payload.len() as i64, Ordering::SeqCst);
            let checksum = agreement.checksums.then(|| payload.checksum());
            Some((frame(Kind::Data, payload.head, payload.body, taken.backlog, checksum), false))
        }
        Outgoing::Event(event) => {
            let payload = event.encode(std::time::Instant::now());
            Some((control(Kind::Event, payload, taken.backlog), event.is_end()))
        }
        Outgoing::Failure(cause) => Some(failure(FAILURE_PRODUCER, &cause)),
        // Only a consumer in the same process is given rows as they are.
        Outgoing::Batch(_) => Some(failure(FAILURE_NOT_FOUND, "")),
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(writer: &mut W, frames: &[OutgoingFrame]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice> = Vec::with_capacity(frames.len() * 4);
    for frame in frames {
        let checksum = frame.checksum.as_ref().map_or(&[][..], |checksum| &checksum[..]);
        for part in [&frame.header[..], &frame.head, &frame.body, checksum] {
            if !part.is_empty() {
                slices.push(IoSlice::new(part));
            }
        }
    }
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = writer.write_vectored(rest).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    writer.flush().await
}
