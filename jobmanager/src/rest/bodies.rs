//! What clients upload: all bodies that are held at one time share one budget, of which one peer has at most half, and each
//! comes in time.
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use wiesel_common::logging::Limit;

use super::error::RestError;
use super::peers::{Peer, Shares, permits};

/// Bodies up to this size need no room in the budget: the number of connections bounds them.
const SMALL: usize = 64 << 10;
/// How long a body may wait for room.
const WAIT: Duration = Duration::from_secs(30);
/// How long nothing of a body may come.
const STALLED: Duration = Duration::from_secs(30);
/// How long a body may take altogether.
const LONGEST: Duration = Duration::from_secs(600);
/// Room is counted in so many bytes.
const UNIT: usize = 1 << 10;
/// A piece of a body that is handed on has at most such a part of the largest body, besides what comes at once.
const PIECES: usize = 16;

/// The budget: for one peer a body of the largest size, or as many smaller ones as that is, and as much for others.
pub(super) struct Bodies {
    largest: usize,
    wait: Duration,
    room: Arc<Semaphore>,
    shares: Shares,
    warnings: Limit,
}

impl Bodies {
    /// `largest`: `rest.server.max-content-length`.
    pub(super) fn new(largest: usize) -> Self {
        let share = units(largest) as usize;
        let room = Arc::new(Semaphore::new(2 * share));
        let shares = Shares::new("room for uploads", share);
        Self { largest, wait: WAIT, room, shares, warnings: Limit::once_a_minute() }
    }

    /// The request once there is room for its body, which has to be kept until the request has been dealt with.
    pub(super) async fn admit(&self, request: Request) -> Result<(Request, Room), RestError> {
        let Some(length) = length(request.headers()) else { return Ok((request, Room::default())) };
        // One that is too long is refused when it is read, before it is longer than this.
        let bytes = length.min(self.largest);
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        let taken = if bytes <= SMALL { Vec::new() } else { self.room_for(bytes, peer).await? };
        let room = Room(Arc::new(Mutex::new(taken)));
        let (parts, body) = request.into_parts();
        let reading = Reading { chunks: body.into_data_stream(), is_over: false, bytes: 0, room: room.clone() };
        Ok((Request::from_parts(parts, in_pieces(reading, self.largest / PIECES)), room))
    }

    async fn room_for(&self, bytes: usize, peer: Peer) -> Result<Vec<OwnedSemaphorePermit>, RestError> {
        let (count, until) = (units(bytes), Instant::now() + self.wait);
        let mut taken = Vec::with_capacity(2);
        if let Some(share) = self.shares.of(peer) {
            let Some(own) = permits(share, count, until).await else {
                self.shares.warn(peer);
                let message =
                    "Other uploads of this address take all the room that one address may have: try again later.";
                return Err(RestError::handler(StatusCode::TOO_MANY_REQUESTS, message));
            };
            taken.push(own);
        }
        let Some(room) = permits(Arc::clone(&self.room), count, until).await else {
            if let Some(unsaid) = self.warnings.admit_now() {
                tracing::warn!(bytes, unsaid, "an upload is refused: others take all the room that there is for them");
            }
            let message = "Other uploads take all the room that there is for them: try again later.";
            return Err(RestError::handler(StatusCode::SERVICE_UNAVAILABLE, message));
        };
        taken.push(room);
        Ok(taken)
    }
}

/// The room of a body. How long one is that does not say so is known when it has been read, and a handler that has read a small
/// one may take any time to answer: then the body takes no more than it needs, of the budget and of its peer's share.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl Room {
    /// The body has so many bytes and no more.
    fn shrink(&self, bytes: usize) {
        let mut taken = self.0.lock();
        let needed = if bytes <= SMALL { 0 } else { units(bytes) as usize };
        if needed == 0 {
            taken.clear();
        }
        for permits in taken.iter_mut() {
            let left_over = permits.num_permits().saturating_sub(needed);
            drop(permits.split(left_over));
        }
    }
}

/// A body that is being read. Once it is not any more, its room is what was read of it.
struct Reading {
    chunks: BodyDataStream,
    is_over: bool,
    bytes: usize,
    room: Room,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.room.shrink(self.bytes);
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// How long the body says it is, the largest number if it does not say; none: there is no body.
fn length(headers: &HeaderMap) -> Option<usize> {
    if !headers.contains_key(TRANSFER_ENCODING) && !headers.contains_key(CONTENT_LENGTH) {
        return None;
    }
    let length = stated_length(headers).unwrap_or(usize::MAX);
    (length > 0).then_some(length)
}

/// How long the body says it is, if it does.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<usize> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// That a body does not come in time.
#[derive(Debug)]
pub(super) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stalled, longest) = (STALLED.as_secs(), LONGEST.as_secs());
        write!(
            f,
            "The body of the request did not come in time: more of it has to come within {stalled} s, and all of it within {longest} s."
        )
    }
}

impl Error for Late {}

impl Late {
    /// Whether something failed because a body was late.
    pub(super) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl Reading {
    /// What comes next of the body: an error if it does not come in time. It may be asked again after the end.
    async fn next(&mut self, end: Instant) -> Option<Result<Bytes, BoxError>> {
        if self.is_over {
            return None;
        }
        match timeout_at(end.min(Instant::now() + STALLED), self.chunks.next()).await {
            Ok(Some(Ok(chunk))) => {
                self.bytes += chunk.len();
                Some(Ok(chunk))
            }
            Ok(Some(Err(error))) => Some(Err(BoxError::from(error))),
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(_) => Some(Err(BoxError::from(Late))),
        }
    }

    /// As much as has been handed on before, or `most`, or the rest of the body.
    async fn piece(&mut self, most: usize, end: Instant) -> Option<Result<Bytes, BoxError>> {
        let wanted = self.bytes.clamp(1, most.max(1));
        let mut piece = BytesMut::new();
        loop {
            let chunk = match self.next(end).await {
                Some(Ok(chunk)) => chunk,
                None if !piece.is_empty() => return Some(Ok(piece.freeze())),
                over_or_failed => return over_or_failed,
            };
            if piece.is_empty() && chunk.len() >= wanted {
                return Some(Ok(chunk));
            }
            piece.extend_from_slice(&chunk);
            if piece.len() >= wanted {
                return Some(Ok(piece.freeze()));
            }
        }
    }
}

/// The body, which ends with an error if it does not come in time. The multipart parser looks each time that its task is woken
/// through all that it holds for what is not there yet. So there are few pieces, however small the chunks are that the client
/// sends, and another task gathers them: each chunk wakes that one, only a piece wakes the parser's.
fn in_pieces(mut reading: Reading, most: usize) -> Body {
    let end = Instant::now() + LONGEST;
    let gather = move |sender: mpsc::Sender<Result<Bytes, BoxError>>| async move {
        while let Some(piece) = reading.piece(most, end).await {
            let is_last = piece.is_err();
            if sender.send(piece).await.is_err() || is_last {
                break;
            }
        }
        // The room is what was read once the end is known.
        drop(reading);
        drop(sender);
    };
    // Only when somebody wants it: a client may wait to be told to go on.
    let pieces = async move {
        let (sender, receiver) = mpsc::channel(1);
        // It ends with the body, read or not.
        let mut gathering = JoinSet::new();
        gathering.spawn(gather(sender));
        futures::stream::unfold((receiver, gathering), |(mut receiver, gathering)| async move {
            Some((receiver.recv().await?, (receiver, gathering)))
        })
    };
    Body::from_stream(pieces.flatten_stream())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: (&str, &str), body: Body) -> Request {
        axum::http::Request::builder().header(header.0, header.1).body(body).unwrap()
    }

    /// The bytes of a room, in the budget.
    fn taken(room: &Room) -> usize {
        room.0.lock().last().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT
    }

    /// Before, twelve uploads of 95 MB were held at once.
    #[tokio::test]
    async fn bodies_share_their_room() {
        let bodies = Bodies { wait: Duration::from_millis(20), ..Bodies::new(100 << 20) };
        let upload = || request(("content-length", "99614720"), Body::empty());
        let (held, first) = bodies.admit(upload()).await.unwrap();
        assert_eq!(taken(&first), 99_614_720);
        let _second = bodies.admit(upload()).await.unwrap();
        for header in
            [("content-length", "99614720"), ("transfer-encoding", "chunked"), ("content-length", "9999999999")]
        {
            let refused = bodies.admit(request(header, Body::empty())).await.map(|_| ()).unwrap_err();
            assert!(format!("{refused:?}").contains("503"), "{refused:?}");
        }
        // Before, each was a line in the log.
        assert_eq!(bodies.warnings.admit(i64::MAX), Some(2), "one was told, the others are counted");
        // Small ones need none.
        let (_, small) = bodies.admit(request(("content-length", "65536"), Body::empty())).await.unwrap();
        let (_, none) = bodies.admit(request(("accept", "*/*"), Body::empty())).await.unwrap();
        assert_eq!((taken(&small), taken(&none)), (0, 0));
        drop((held, first));
        assert!(bodies.admit(upload()).now_or_never().is_some_and(|admitted| admitted.is_ok()));
    }

    /// Before, one that did not say how long it is took all room until it had been answered.
    #[tokio::test]
    async fn a_body_that_has_been_read_takes_what_it_needs() {
        let bodies = Bodies::new(1 << 20);
        let chunked = |body: Vec<u8>| request(("transfer-encoding", "chunked"), Body::from(body));
        for (bytes, needed) in [(10, 0), (64 << 10, 0), (100 << 10, 100 << 10), (1 << 20, 1 << 20)] {
            let (admitted, room) = bodies.admit(chunked(vec![7; bytes])).await.unwrap();
            assert_eq!(taken(&room), 1 << 20);
            assert_eq!(axum::body::to_bytes(admitted.into_body(), usize::MAX).await.unwrap().len(), bytes);
            assert_eq!(taken(&room), needed);
        }
        // A request whose body is not wanted needs nothing.
        let (admitted, room) = bodies.admit(chunked(vec![7; 1 << 20])).await.unwrap();
        drop(admitted);
        assert_eq!(taken(&room), 0);
        assert_eq!(bodies.room.available_permits(), 2 << 10);
    }

    /// Before, one address took all of it, with one slow upload after the other.
    #[tokio::test]
    async fn one_peer_leaves_room_for_others() {
        let bodies = Bodies { wait: Duration::from_millis(20), ..Bodies::new(1 << 20) };
        let from = |last: u8, bytes: usize| {
            let mut request = request(("transfer-encoding", "chunked"), Body::from(vec![7; bytes]));
            request.extensions_mut().insert(Peer::of([192, 0, 2, last].into()));
            request
        };
        let first = bodies.admit(from(1, 100 << 10)).await.unwrap();
        let refused = bodies.admit(from(1, 100 << 10)).await.map(|_| ()).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains("429") && refused.contains("one address may have"), "{refused}");
        let second = bodies.admit(from(2, 100 << 10)).await.unwrap();
        let refused = bodies.admit(from(3, 100 << 10)).await.map(|_| ()).unwrap_err();
        assert!(format!("{refused:?}").contains("503"), "{refused:?}");
        // What is left over is given back to both.
        let (upload, room) = first;
        assert_eq!(axum::body::to_bytes(upload.into_body(), usize::MAX).await.unwrap().len(), 100 << 10);
        assert_eq!(taken(&room), 100 << 10);
        drop(second);
        assert!(bodies.admit(from(1, 0)).await.is_err(), "a share less what the first one still takes");
        drop(room);
        assert!(bodies.admit(from(1, 0)).await.is_ok());
    }

    /// Failed before: with each chunk all that was there was looked through for the first boundary of the parts. 200,000 chunks of
    /// one byte took 5 s of a core. Then chunks were gathered, but each woke the task that looks.
    #[tokio::test]
    async fn a_body_of_tiny_chunks_is_handed_on_in_few_pieces() {
        let bodies = Bodies::new(1 << 20);
        let sent: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
        let chunks: Vec<_> = sent.iter().map(|byte| Ok::<_, BoxError>(Bytes::from(vec![*byte]))).collect();
        let one_by_one = futures::stream::iter(chunks).then(|chunk| async {
            tokio::task::yield_now().await;
            chunk
        });
        let body = Body::from_stream(one_by_one);
        let (admitted, _room) = bodies.admit(request(("transfer-encoding", "chunked"), body)).await.unwrap();
        let (mut admitted, mut wakes) = (admitted.into_body().into_data_stream(), 0);
        let pieces = futures::stream::poll_fn(|context| {
            wakes += 1;
            admitted.poll_next_unpin(context)
        });
        let pieces: Vec<Bytes> = pieces.map(Result::unwrap).collect().await;
        assert!(pieces.len() < 40 && wakes < 100, "{} pieces, {wakes} wakes", pieces.len());
        // What a client sends beyond the largest body is read in part only.
        assert!(pieces.iter().all(|piece| piece.len() <= (1 << 20) / PIECES));
        assert_eq!(pieces.concat(), sent);
    }

    #[tokio::test]
    async fn a_body_is_what_was_sent() {
        let bodies = Bodies::new(1 << 20);
        let (admitted, _room) = bodies.admit(request(("content-length", "3"), Body::from("abc"))).await.unwrap();
        assert_eq!(axum::body::to_bytes(admitted.into_body(), 10).await.unwrap(), "abc");
    }
}
