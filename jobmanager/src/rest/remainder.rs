//! What is left of the body of a request that has been answered.
//!
//! A handler that refuses a request, or does not want its body, answers before all of it has come. If the rest is there already it
//! is read, and the connection goes on with its next request. Otherwise the connection ends with the answer, which says so; what
//! the client was still sending is read for a while and dropped ([`super::connections`]), so that it hears why.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;

/// Bytes that are read for the sake of the connection, about.
const MOST: usize = 64 << 10;

/// The rest of a body, once no handler reads it any more.
#[derive(Clone, Default)]
pub(super) struct Remainder(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    /// A handler has the body, or it broke off.
    #[default]
    Elsewhere,
    Over,
    Left(BodyDataStream),
}

impl Remainder {
    /// The body, and what will be left of it.
    pub(super) fn of(body: Body) -> (Body, Self) {
        let remainder = Self::default();
        if body.is_end_stream() {
            *remainder.0.lock() = State::Over;
            return (body, remainder);
        }
        let reader = Reader { chunks: Some(body.into_data_stream()), remainder: remainder.clone() };
        (Body::from_stream(reader), remainder)
    }

    /// Whether the body is over: all of it was read, or the rest is there, and few enough.
    pub(super) fn is_over(&self) -> bool {
        let state = std::mem::take(&mut *self.0.lock());
        let mut left = match state {
            State::Over => return true,
            State::Elsewhere => return false,
            State::Left(left) => left,
        };
        let mut bytes = 0;
        while bytes < MOST {
            match left.next().now_or_never() {
                Some(None) => return true,
                Some(Some(Ok(chunk))) => bytes += chunk.len(),
                // It breaks off, or is yet to come.
                Some(Some(Err(_))) | None => return false,
            }
        }
        false
    }
}

/// A body that is read, which leaves what is not.
struct Reader {
    chunks: Option<BodyDataStream>,
    remainder: Remainder,
}

impl Stream for Reader {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(chunks) = &mut this.chunks else { return Poll::Ready(None) };
        let chunk = ready!(chunks.poll_next_unpin(context));
        if !matches!(chunk, Some(Ok(_))) {
            this.chunks = None;
        }
        if chunk.is_none() {
            *this.remainder.0.lock() = State::Over;
        }
        Poll::Ready(chunk)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(chunks) = self.chunks.take() {
            *self.remainder.0.lock() = State::Left(chunks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of such pieces, after which there is nothing yet or nothing any more.
    fn pieces(sizes: &[usize], ends: bool) -> Body {
        let pieces: Vec<_> = sizes.iter().map(|bytes| Ok::<_, std::io::Error>(vec![7_u8; *bytes])).collect();
        let pieces = futures::stream::iter(pieces);
        if ends { Body::from_stream(pieces) } else { Body::from_stream(pieces.chain(futures::stream::pending())) }
    }

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_not_waited_for() {
        for (body, over) in [
            (Body::empty(), true),
            (Body::from("{}"), true),
            (pieces(&[1000, 1000], true), true),
            (pieces(&[1000], false), false),
            (pieces(&[], false), false),
            (pieces(&[60_000, 60_000, 60_000], true), false),
        ] {
            let (body, remainder) = Remainder::of(body);
            drop(body);
            assert_eq!(remainder.is_over(), over);
        }
        let (body, remainder) = Remainder::of(Body::from("{}"));
        assert!(!remainder.is_over(), "a handler has it");
        drop(body);
    }

    #[tokio::test]
    async fn what_was_read_is_not_left() {
        let (body, remainder) = Remainder::of(pieces(&[100_000, 100_000], true));
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap().len(), 200_000);
        assert!(remainder.is_over());
        let (body, remainder) = Remainder::of(pieces(&[100_000, 1_000], true));
        let mut chunks = body.into_data_stream();
        assert_eq!(chunks.next().await.unwrap().unwrap().len(), 100_000);
        drop(chunks);
        assert!(remainder.is_over(), "the rest is few enough");
        let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]);
        let (body, remainder) = Remainder::of(Body::from_stream(broken));
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
        assert!(!remainder.is_over());
    }
}
