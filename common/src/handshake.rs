//! The first words on a connection for calls, before HTTP/2 begins: that both ends have the cluster's secret, if there is one.
//!
//! ```text
//! caller                                   called
//!   magic, version, flags, nonce     ->
//!                                    <-    magic, version, verdict, nonce, its proof
//!   verdict, its proof               ->
//!                                    <-    verdict
//! ```
//!
//! A proof is the code of what the caller wanted to call and of both first messages, for one of the two roles. No nonce comes
//! twice and the roles differ, so what was overheard proves nothing on another connection, nor does what one end has just
//! said. The called end proves first: a listener at an address receives nothing that it could use before it has proved the
//! secret. A man in the middle that passes on what both ends say is not found out, unless the end that it passes it on to is
//! another than the caller wanted; that takes TLS, for which another version or flag is free.
//!
//! Everything has a fixed size, but for the words for people behind a verdict that is none of welcome. Those are not read by
//! the caller: the verdict says it all. Where there is no secret, there is nothing to prove, and the rest is as it is.
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::connections::Refusal;
use crate::secret::{ADVICE, CODE, Secret, nonce};

const MAGIC: &[u8; 7] = b"WIESEL\n";
const VERSION: u8 = 1;
/// The flag of a caller that there is a secret.
const SECURED: u8 = 1;
/// Magic, version, and flags or a verdict.
const HEAD: usize = MAGIC.len() + 2;
/// A head and a nonce.
const WORDS: usize = HEAD + CODE;
/// What a caller begins with that knows nothing of greetings.
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the caller's proof is for.
const CALLER: &str = "wiesel rpc, caller";
/// What the called end's proof is for.
const CALLED: &str = "wiesel rpc, called";

/// How long, and for how many more bytes, one is listened to that was refused: bytes that are left unread when a connection is
/// closed take back what was said last.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LAST_BYTES: usize = 64 << 10;

/// What comes of a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Welcome = 0,
    CalledHasNone = 1,
    CallerHasNone = 2,
    OtherSecret = 3,
    OtherVersion = 4,
    NoGreeting = 5,
    /// [`Verdict::NoGreeting`], and it is known what came instead.
    PlainHttp2 = 6,
}

impl Verdict {
    fn of(byte: u8) -> Option<Self> {
        use Verdict::{CalledHasNone, CallerHasNone, NoGreeting, OtherSecret, OtherVersion, PlainHttp2, Welcome};
        let all = [Welcome, CalledHasNone, CallerHasNone, OtherSecret, OtherVersion, NoGreeting, PlainHttp2];
        all.into_iter().find(|verdict| *verdict as u8 == byte)
    }

    /// For both ends.
    fn text(self) -> String {
        match self {
            Self::Welcome => "welcome".to_owned(),
            Self::CalledHasNone => {
                format!("the caller has the secret of a cluster and the called process has none: {ADVICE}")
            }
            Self::CallerHasNone => {
                format!("the called process has the secret of a cluster and the caller has none: {ADVICE}")
            }
            Self::OtherSecret => format!(
                "caller and called process do not have the same secret, or another process answers than the one that was \
                 to be called: {ADVICE}"
            ),
            Self::OtherVersion => "caller and called process begin a connection in different ways: all processes of a \
                                   cluster must be of one version"
                .to_owned(),
            Self::NoGreeting | Self::PlainHttp2 => "what came does not begin as a connection for calls between processes of \
                                                    a cluster does: nothing else is heard on this port, and clients use REST \
                                                    (rest.port)"
                .to_owned(),
        }
    }
}

/// The caller's part. `callee`: the name of the process to be called.
///
/// # Errors
/// Also those that the called end tells.
pub(crate) async fn call<S>(stream: &mut S, secret: Option<&Secret>, callee: &str) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = words(if secret.is_some() { SECURED } else { 0 });
    send(stream, &own).await?;
    let mut theirs = [0; WORDS];
    stream.read_exact(&mut theirs[..HEAD]).await?;
    if !theirs.starts_with(MAGIC) {
        return Err(Refusal::Because(
            "what listens there does not answer as a process of a cluster: check the address and port".into(),
        ));
    }
    if theirs[MAGIC.len()] != VERSION {
        return Err(Refusal::Because(Verdict::OtherVersion.text()));
    }
    heed(theirs[HEAD - 1])?;
    stream.read_exact(&mut theirs[HEAD..]).await?;
    let mut proof = [0; CODE];
    stream.read_exact(&mut proof).await?;
    let parts = [callee.as_bytes(), &own[..], &theirs[..]];
    let mut reply = [0; 1 + CODE];
    if secret.is_some_and(|secret| !secret.is_code(CALLED, &parts, &proof)) {
        // Nothing is proved to one that has proved nothing.
        reply[0] = Verdict::OtherSecret as u8;
        let _ = send(stream, &reply).await;
        return Err(Refusal::Because(Verdict::OtherSecret.text()));
    }
    reply[1..].copy_from_slice(&prove(secret, CALLER, &parts));
    send(stream, &reply).await?;
    let mut verdict = [0];
    stream.read_exact(&mut verdict).await?;
    heed(verdict[0])
}

/// The called end's part. `name`: its own.
///
/// # Errors
/// The caller is told, too.
pub(crate) async fn answer<S>(stream: &mut S, secret: Option<&Secret>, name: &str) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let verdict = hear(stream, secret, name).await?;
    if verdict == Verdict::Welcome {
        return Ok(());
    }
    // A caller that does not read it is gone.
    let _ = tokio::time::timeout(LAST_WORDS, refuse(stream, verdict)).await;
    Err(Refusal::Because(verdict.text()))
}

async fn hear<S>(stream: &mut S, secret: Option<&Secret>, name: &str) -> io::Result<Verdict>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut theirs = [0; WORDS];
    let mut filled = 0;
    while filled < HEAD {
        let read = stream.read(&mut theirs[filled..HEAD]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        // Told at once: a caller that sends three other bytes and waits for an answer would wait for the end of its time.
        let begins_as = |word: &[u8]| theirs[..filled].iter().zip(word).all(|(one, other)| one == other);
        if !begins_as(MAGIC) && !begins_as(HTTP2) {
            return Ok(Verdict::NoGreeting);
        }
    }
    if !theirs.starts_with(MAGIC) {
        return Ok(Verdict::PlainHttp2);
    }
    let flags = theirs[HEAD - 1];
    if theirs[MAGIC.len()] != VERSION || flags & !SECURED != 0 {
        return Ok(Verdict::OtherVersion);
    }
    stream.read_exact(&mut theirs[HEAD..]).await?;
    match (flags == SECURED, secret.is_some()) {
        (true, false) => return Ok(Verdict::CalledHasNone),
        (false, true) => return Ok(Verdict::CallerHasNone),
        (true, true) | (false, false) => {}
    }
    let own = words(Verdict::Welcome as u8);
    let parts = [name.as_bytes(), &theirs[..], &own[..]];
    let mut challenge = own.to_vec();
    challenge.extend_from_slice(&prove(secret, CALLED, &parts));
    send(stream, &challenge).await?;
    let mut reply = [0; 1 + CODE];
    stream.read_exact(&mut reply).await?;
    if reply[0] != Verdict::Welcome as u8 {
        return Ok(Verdict::OtherSecret);
    }
    let proven = secret.is_none_or(|secret| secret.is_code(CALLER, &parts, &reply[1..]));
    let verdict = if proven { Verdict::Welcome } else { Verdict::OtherSecret };
    send(stream, &[verdict as u8]).await?;
    Ok(verdict)
}

async fn refuse<S>(stream: &mut S, verdict: Verdict) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = verdict.text();
    let last = match verdict {
        Verdict::PlainHttp2 => go_away(&text),
        _ => [&MAGIC[..], &[VERSION, verdict as u8], text.as_bytes(), b"\n"].concat(),
    };
    send(stream, &last).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let mut heard = 0;
    while heard < LAST_BYTES {
        match stream.read(&mut rest).await? {
            0 => break,
            read => heard += read,
        }
    }
    Ok(())
}

/// The end of a connection in HTTP/2's words: its first frame, of settings (none), and GOAWAY with what is wrong.
fn go_away(text: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const INADEQUATE_SECURITY: u32 = 0xc;
    let length = 8 + text.len() as u32;
    let mut frames = SETTINGS.to_vec();
    frames.extend_from_slice(&length.to_be_bytes()[1..]);
    // GOAWAY, without flags, of the connection; no stream of it was looked at.
    frames.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    frames.extend_from_slice(&INADEQUATE_SECURITY.to_be_bytes());
    frames.extend_from_slice(text.as_bytes());
    frames
}

fn words(flags: u8) -> [u8; WORDS] {
    let mut words = [0; WORDS];
    words[..MAGIC.len()].copy_from_slice(MAGIC);
    words[MAGIC.len()] = VERSION;
    words[HEAD - 1] = flags;
    words[HEAD..].copy_from_slice(&nonce());
    words
}

fn prove(secret: Option<&Secret>, role: &str, parts: &[&[u8]]) -> [u8; CODE] {
    secret.map_or([0; CODE], |secret| secret.code(role, parts))
}

fn heed(verdict: u8) -> Result<(), Refusal> {
    match Verdict::of(verdict) {
        Some(Verdict::Welcome) => Ok(()),
        Some(refused) => Err(Refusal::Because(refused.text())),
        None => Err(Refusal::Because(Verdict::OtherVersion.text())),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests;
