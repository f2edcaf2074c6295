//! The first words on a connection: that both ends speak the same version, that both have the cluster's secret, if there is one,
//! and whether rows carry check sums.
//!
//! ```text
//! consumer                              producer
//!   Hello: what it wants, a nonce  ->
//!                                  <-   Challenge: what it wants, a nonce
//!   Proof: the code of both        ->
//!                                  <-   Welcome: another code of both
//! ```
//!
//! No nonce comes twice, so what was overheard proves nothing on another connection. The consumer, who came uninvited, is the
//! first to prove that it has the secret; nothing is told, and no channel given, before it has. Where there is no secret, there
//! is nothing to prove, and the rest is as it is.
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wiesel_common::connections::Refusal;
use wiesel_common::secret::{ADVICE, CODE, Secret, nonce};

use crate::client::FAILURE_PRODUCER;
use crate::frame::{CHECKSUM_LENGTH, HEADER_LENGTH, Header, Kind, MAX_CONTROL_PAYLOAD, Malformed, put_control, verify};
use crate::options::Options;

/// Rows are to carry check sums.
const CHECKSUMS: u8 = 1;
/// There is a secret here.
const SECURED: u8 = 2;
/// Bytes of the first two messages: flags and a nonce.
const WORDS: usize = 1 + CODE;

/// What the consumer's code is for.
const CONSUMER: &str = "wiesel data plane, consumer";
/// What the producer's code is for.
const PRODUCER: &str = "wiesel data plane, producer";

/// What both ends go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Rows carry check sums, as all other frames do.
    pub(crate) checksums: bool,
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Protocol(String),
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Io(error) => Self::Gone(error),
            Refused::Protocol(cause) => Self::Because(cause),
        }
    }
}

impl From<Malformed> for Refused {
    fn from(error: Malformed) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// The consumer's part.
///
/// # Errors
/// Also those that the producer tells.
pub(crate) async fn introduce<S>(stream: &mut S, options: &Options) -> Result<Agreement, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = words(options);
    send(stream, Kind::Hello, &own).await?;
    let theirs = received_words(&receive(stream, Kind::Challenge).await?)?;
    let agreement = agree(own[0], theirs[0])?;
    let secret = options.secret.as_ref();
    send(stream, Kind::Proof, &code(secret, CONSUMER, &own, &theirs)).await?;
    let welcome = receive(stream, Kind::Welcome).await?;
    check(secret, PRODUCER, &own, &theirs, &welcome)?;
    Ok(agreement)
}

/// The producer's part.
///
/// # Errors
/// The consumer is told, too.
pub(crate) async fn welcome<S>(stream: &mut S, options: &Options) -> Result<Agreement, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refused = match answer(stream, options).await {
        Err(Refused::Protocol(cause)) => cause,
        other => return other,
    };
    let mut told = vec![FAILURE_PRODUCER];
    told.extend_from_slice(&refused.as_bytes()[..refused.floor_char_boundary(MAX_CONTROL_PAYLOAD - 1)]);
    // Whoever does not hear it is gone.
    let _ = send(stream, Kind::Failure, &told).await;
    Err(Refused::Protocol(refused))
}

async fn answer<S>(stream: &mut S, options: &Options) -> Result<Agreement, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let theirs = received_words(&receive(stream, Kind::Hello).await?)?;
    let own = words(options);
    let agreement = agree(own[0], theirs[0])?;
    send(stream, Kind::Challenge, &own).await?;
    let secret = options.secret.as_ref();
    let proof = receive(stream, Kind::Proof).await?;
    check(secret, CONSUMER, &theirs, &own, &proof)?;
    send(stream, Kind::Welcome, &code(secret, PRODUCER, &theirs, &own)).await?;
    Ok(agreement)
}

fn words(options: &Options) -> [u8; WORDS] {
    let mut words = [0; WORDS];
    words[0] = if options.payload_checksums { CHECKSUMS } else { 0 };
    words[0] |= if options.secret.is_some() { SECURED } else { 0 };
    words[1..].copy_from_slice(&nonce());
    words
}

fn received_words(payload: &[u8]) -> Result<[u8; WORDS], Refused> {
    payload
        .try_into()
        .map_err(|_| Refused::Protocol("a connection that begins with something else than a greeting".into()))
}

fn agree(own: u8, theirs: u8) -> Result<Agreement, Refused> {
    if (own ^ theirs) & SECURED != 0 {
        let what = "one end of the connection has a secret and the other has none";
        return Err(Refused::Protocol(format!("{what}: {ADVICE}")));
    }
    Ok(Agreement { checksums: (own | theirs) & CHECKSUMS != 0 })
}

fn code(secret: Option<&Secret>, purpose: &str, consumer: &[u8], producer: &[u8]) -> [u8; CODE] {
    secret.map_or([0; CODE], |secret| secret.code(purpose, &[consumer, producer]))
}

fn check(
    secret: Option<&Secret>,
    purpose: &str,
    consumer: &[u8],
    producer: &[u8],
    given: &[u8],
) -> Result<(), Refused> {
    if secret.is_none_or(|secret| secret.is_code(purpose, &[consumer, producer], given)) {
        return Ok(());
    }
    Err(Refused::Protocol(format!("the peer does not have the secret of this cluster: {ADVICE}")))
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, kind: Kind, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = Vec::new();
    put_control(&mut frame, kind, 0, 0, payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// The payload of the next frame, which must be of this kind. Not one byte more is read.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S, kind: Kind) -> Result<Vec<u8>, Refused> {
    let mut header = [0; HEADER_LENGTH];
    stream.read_exact(&mut header).await?;
    let header = Header::decode(&header)?;
    if header.kind == Kind::Data || !header.checked {
        return Err(Refused::Protocol(format!("a frame of the kind {:?} instead of {kind:?}", header.kind)));
    }
    let mut payload = vec![0; header.length as usize];
    stream.read_exact(&mut payload).await?;
    let mut checksum = [0; CHECKSUM_LENGTH];
    stream.read_exact(&mut checksum).await?;
    verify(&payload, checksum)?;
    match header.kind {
        found if found == kind => Ok(payload),
        Kind::Failure => {
            Err(Refused::Protocol(String::from_utf8_lossy(payload.get(1..).unwrap_or_default()).into_owned()))
        }
        found => Err(Refused::Protocol(format!("a frame of the kind {found:?} instead of {kind:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn options(secret: Option<&str>, payload_checksums: bool) -> Options {
        let secret = secret.map(|text| Secret::new(text).unwrap());
        Options { secret, payload_checksums, ..Options::default() }
    }

    fn pair() -> (DuplexStream, DuplexStream) {
        duplex(1 << 16)
    }

    async fn meet(consumer: Options, producer: Options) -> (Result<Agreement, Refused>, Result<Agreement, Refused>) {
        let (mut one, mut other) = pair();
        tokio::join!(introduce(&mut one, &consumer), welcome(&mut other, &producer))
    }

    #[tokio::test]
    async fn both_ends_agree() {
        for secret in [None, Some("0123456789abcdef")] {
            for (consumer, producer) in [(false, false), (false, true), (true, false), (true, true)] {
                let (one, other) = meet(options(secret, consumer), options(secret, producer)).await;
                let expected = Agreement { checksums: consumer || producer };
                assert_eq!((one.unwrap(), other.unwrap()), (expected, expected));
            }
        }
    }

    #[tokio::test]
    async fn who_lacks_the_secret_is_refused_and_told_why() {
        let right = Some("0123456789abcdef");
        for (consumer, producer) in [(None, right), (right, None), (Some("another secret...."), right)] {
            let (one, other) = meet(options(consumer, true), options(producer, true)).await;
            for refused in [one.unwrap_err(), other.unwrap_err()] {
                let message = refused.to_string();
                assert!(message.contains("security.internal.secret") && !message.contains("0123456789"), "{message}");
            }
        }
    }

    /// What was heard on another connection proves nothing, nor does what the other end has just said.
    #[tokio::test]
    async fn a_proof_of_another_connection_is_none() {
        let options = options(Some("0123456789abcdef"), true);
        let heard = code(options.secret.as_ref(), CONSUMER, &[0; WORDS], &[0; WORDS]);
        let (mut one, mut other) = pair();
        let stranger = async {
            send(&mut one, Kind::Hello, &words(&options)).await.unwrap();
            let theirs = receive(&mut one, Kind::Challenge).await.unwrap();
            assert_eq!(theirs.len(), WORDS);
            send(&mut one, Kind::Proof, &heard).await.unwrap();
            receive(&mut one, Kind::Welcome).await.unwrap_err().to_string()
        };
        let (told, refused) = tokio::join!(stranger, welcome(&mut other, &options));
        assert!(told.contains("does not have the secret") && refused.is_err(), "{told}");

        let (mut one, mut other) = pair();
        let stranger = async {
            receive(&mut other, Kind::Hello).await.unwrap();
            send(&mut other, Kind::Challenge, &words(&options)).await.unwrap();
            // What the consumer has just proved is no proof of the producer's.
            let proof = receive(&mut other, Kind::Proof).await.unwrap();
            send(&mut other, Kind::Welcome, &proof).await.unwrap();
        };
        let (refused, ()) = tokio::join!(introduce(&mut one, &options), stranger);
        assert!(refused.unwrap_err().to_string().contains("does not have the secret"));
    }

    #[tokio::test]
    async fn what_is_no_greeting_is_refused() {
        let options = options(None, true);
        let mut frames = Vec::new();
        put_control(&mut frames, Kind::Open, 0, 0, &[0; 60]);
        put_control(&mut frames, Kind::Hello, 0, 0, &[0; WORDS - 1]);
        let (first, second) = frames.split_at(HEADER_LENGTH + 60 + CHECKSUM_LENGTH);
        let mut damaged = Vec::new();
        put_control(&mut damaged, Kind::Hello, 0, 0, &[0; WORDS]);
        damaged[HEADER_LENGTH] ^= 1;
        for (bytes, words) in [(first, "kind Open"), (second, "greeting"), (&damaged[..], "check sum")] {
            let (mut one, mut other) = pair();
            one.write_all(bytes).await.unwrap();
            let refused = welcome(&mut other, &options).await.unwrap_err().to_string();
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}
