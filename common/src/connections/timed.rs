//! Connections that end when what is due does not come, one mechanism for all ports: when something is due is known to the
//! protocol that is spoken over them ([`Conversation`]); here are the timers.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Bytes that are read at once of what is thrown away.
const UNWANTED: usize = 16 << 10;

/// What is said over a connection, as far as it decides how long the other side is waited for.
pub trait Conversation: Unpin {
    /// How long the other side may take nothing of what is sent; none: as long as it likes.
    const STALLED: Option<Duration> = None;

    /// Until when something has to come; none: the other side may be silent.
    fn due(&mut self) -> Option<Instant>;

    /// So many bytes have come; none: the other side sends no more.
    fn received(&mut self, bytes: usize);

    /// Something was sent.
    fn sent(&mut self) {}

    /// How long the other side is listened to after all that there was to say has been said; none: not at all.
    fn leave(&mut self) -> Option<Leave> {
        None
    }
}

/// How much is read, and for how long, of what the other side was still sending when it had its answer.
///
/// The system takes an answer back where what the other side has sent is not read: it sees its connection broken, and no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// How long, altogether.
    pub time: Duration,
    /// How many bytes.
    pub bytes: u64,
}

/// A connection with the deadlines of what is said over it.
pub struct Timed<C> {
    stream: TcpStream,
    conversation: C,
    /// There while something is due.
    silence: Option<Pin<Box<Sleep>>>,
    /// There while the other side takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    leaving: Option<Leaving>,
}

impl<C: Conversation> Timed<C> {
    /// It has begun just now.
    pub fn new(stream: TcpStream, conversation: C) -> Self {
        Self { stream, conversation, silence: None, stalled: None, leaving: None }
    }

    /// The connection itself, for its options and addresses.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What is said over it.
    pub fn conversation(&mut self) -> &mut C {
        &mut self.conversation
    }

    /// Nothing has come: is it due?
    fn silent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(due) = self.conversation.due() else {
            self.silence = None;
            return Poll::Pending;
        };
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if silence.deadline() != due {
            silence.as_mut().reset(due);
        }
        silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// What writing came to, or the end of the connection if it has come to nothing for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            self.conversation.sent();
            return outcome;
        }
        let Some(patience) = C::STALLED else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<C: Conversation> AsyncRead for Timed<C> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending => this.silent(context),
            Poll::Ready(read) => {
                this.conversation.received(buffer.filled().len() - before);
                Poll::Ready(read)
            }
        }
    }
}

impl<C: Conversation> AsyncWrite for Timed<C> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    /// Says that there is nothing more to come, and then takes leave as the conversation has it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let leaving = match &mut this.leaving {
            Some(leaving) => leaving,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                let Some(leave) = this.conversation.leave() else { return Poll::Ready(Ok(())) };
                this.leaving.insert(Leaving { until: Box::pin(sleep(leave.time)), bytes: leave.bytes })
            }
        };
        leaving.poll(&mut this.stream, context).map(Ok)
    }
}

/// What is left of a [`Leave`].
struct Leaving {
    until: Pin<Box<Sleep>>,
    bytes: u64,
}

impl Leaving {
    /// Reads and drops what comes, until the other side ends or it has had enough.
    fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; UNWANTED];
        while self.bytes > 0 && self.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.bytes = self.bytes.saturating_sub(buffer.filled().len() as u64);
                }
                // It has ended, or broken.
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Something is due once it has come so far.
    #[derive(Default)]
    struct Chat {
        due: Option<Instant>,
        received: Vec<usize>,
        sent: usize,
        leave: Option<Leave>,
    }

    impl Conversation for Chat {
        const STALLED: Option<Duration> = Some(Duration::ZERO);

        fn due(&mut self) -> Option<Instant> {
            self.due
        }

        fn received(&mut self, bytes: usize) {
            self.received.push(bytes);
        }

        fn sent(&mut self) {
            self.sent += 1;
        }

        fn leave(&mut self) -> Option<Leave> {
            self.leave
        }
    }

    async fn connected(chat: Chat) -> (Timed<Chat>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Timed::new(listener.accept().await.unwrap().0, chat), other)
    }

    #[tokio::test]
    async fn what_is_due_and_does_not_come_ends_the_connection() {
        let (mut timed, mut other) = connected(Chat::default()).await;
        let mut buffer = [0; 8];
        // Nothing is due, then it is, later, and at last now.
        for due in [None, Some(Instant::now() + HOUR), None, Some(Instant::now() + HOUR)] {
            timed.conversation().due = due;
            tokio::select! {
                biased;
                read = timed.read(&mut buffer) => panic!("{read:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        other.write_all(b"abc").await.unwrap();
        assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
        timed.conversation().due = Some(Instant::now());
        assert_eq!(timed.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        timed.conversation().due = None;
        drop(other);
        assert_eq!(timed.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(timed.conversation().received, [3, 0]);
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_not_waited_for() {
        let (mut timed, _other) = connected(Chat::default()).await;
        let ended = timed.write_all(&vec![7; 64 << 20]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert_ne!(timed.conversation().sent, 0);
    }

    /// The other side sends so much, and only then reads.
    async fn told(leave: Option<Leave>, bytes: usize) -> io::Result<String> {
        let (mut timed, mut other) = connected(Chat { leave, ..Chat::default() }).await;
        let telling = async {
            timed.write_all(b"enough").await.unwrap();
            timed.shutdown().await.unwrap();
            drop(timed);
        };
        let listening = async {
            other.write_all(&vec![7; bytes]).await?;
            let mut told = String::new();
            other.read_to_string(&mut told).await?;
            // Otherwise it is listened to for as long as it may.
            drop(other);
            Ok(told)
        };
        tokio::join!(telling, listening).1
    }

    #[tokio::test]
    async fn a_peer_that_is_still_sending_gets_the_answer() {
        let leave = Leave { time: HOUR, bytes: 1 << 30 };
        assert_eq!(told(Some(leave), 32 << 20).await.unwrap(), "enough");
        assert!(told(None, 32 << 20).await.is_err(), "as it is without");
    }

    #[tokio::test]
    async fn no_peer_is_read_from_without_end() {
        for leave in [Leave { time: HOUR, bytes: 1 << 20 }, Leave { time: Duration::ZERO, bytes: u64::MAX }] {
            assert!(told(Some(leave), 64 << 20).await.is_err());
        }
    }
}
