use tokio::io::{DuplexStream, duplex};

use super::*;

const SECRET: &str = "0123456789abcdef";
const NAME: &str = "the called one";

fn secret(text: Option<&str>) -> Option<Secret> {
    text.map(|text| Secret::new(text).unwrap())
}

fn secret_of_test() -> Option<Secret> {
    secret(Some(SECRET))
}

fn pair() -> (DuplexStream, DuplexStream) {
    duplex(1 << 16)
}

/// What is wrong; panics if nothing is.
fn cause(outcome: Result<(), Refusal>) -> String {
    match outcome {
        Err(Refusal::Because(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

/// A called end that is played: its first message and its proof.
async fn challenge(stream: &mut DuplexStream, own: &[u8; WORDS], proof: [u8; CODE]) {
    stream.write_all(own).await.unwrap();
    stream.write_all(&proof).await.unwrap();
}

async fn heard<const N: usize>(stream: &mut DuplexStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn both_ends_agree_with_and_without_a_secret() {
    for text in [None, Some(SECRET)] {
        let (mut one, mut other) = pair();
        let secret = secret(text);
        let (caller, called) =
            tokio::join!(call(&mut one, secret.as_ref(), NAME), answer(&mut other, secret.as_ref(), NAME));
        caller.unwrap();
        called.unwrap();
        // Not one byte of what follows was taken.
        one.write_all(HTTP2).await.unwrap();
        assert_eq!(heard::<24>(&mut other).await, *HTTP2);
    }
}

#[tokio::test]
async fn both_ends_say_what_is_wrong_with_the_secret() {
    let right = Some(SECRET);
    for (caller, called, name, words) in [
        (None, right, NAME, "the caller has none"),
        (right, None, NAME, "the called process has none"),
        (Some("another secret...."), right, NAME, "do not have the same secret"),
        // As if another process had been put in the place of the one that was to be called.
        (right, right, "another one", "another process answers"),
    ] {
        let (mut one, mut other) = pair();
        let (caller, called) = (secret(caller), secret(called));
        let calling = async move {
            let outcome = call(&mut one, caller.as_ref(), NAME).await;
            drop(one);
            outcome
        };
        let (caller, called) = tokio::join!(calling, answer(&mut other, called.as_ref(), name));
        for cause in [cause(caller), cause(called)] {
            assert!(cause.contains(words) && cause.contains("internal.secret") && !cause.contains(SECRET), "{cause}");
        }
    }
}

/// Before, a caller sent with its first call what every other call could be made with.
#[tokio::test]
async fn a_called_end_that_proves_nothing_hears_nothing_of_use() {
    let secret = secret_of_test();
    let zeros = [0; WORDS];
    for proof in [[0; CODE], secret.as_ref().unwrap().code(CALLED, &[NAME.as_bytes(), &zeros, &zeros])] {
        let (mut one, mut other) = pair();
        let listener = async move {
            let hello: [u8; WORDS] = heard(&mut other).await;
            assert_eq!(hello[..HEAD], *b"WIESEL\n\x01\x01");
            challenge(&mut other, &words(0), proof).await;
            let mut rest = Vec::new();
            other.read_to_end(&mut rest).await.unwrap();
            let mut nothing = [0; 1 + CODE];
            nothing[0] = Verdict::OtherSecret as u8;
            assert_eq!(rest, nothing);
        };
        let caller = async move { cause(call(&mut one, secret_of_test().as_ref(), NAME).await) };
        let (cause, ()) = tokio::join!(caller, listener);
        assert!(cause.contains("do not have the same secret"), "{cause}");
    }
}

/// A caller that has heard a whole greeting before, and says the same once more.
#[tokio::test]
async fn what_was_heard_on_another_connection_proves_nothing() {
    let secret = secret_of_test();
    let own = words(SECURED);
    let mut replies = Vec::new();
    for round in 0..2 {
        let (mut one, mut other) = pair();
        let caller = async {
            one.write_all(&own).await.unwrap();
            let theirs: [u8; WORDS] = heard(&mut one).await;
            let proof: [u8; CODE] = heard(&mut one).await;
            let parts = [NAME.as_bytes(), &own[..], &theirs[..]];
            assert!(secret.as_ref().unwrap().is_code(CALLED, &parts, &proof));
            if round == 0 {
                replies.push(prove(secret.as_ref(), CALLER, &parts));
            }
            let mut reply = [0; 1 + CODE];
            reply[1..].copy_from_slice(&replies[0]);
            one.write_all(&reply).await.unwrap();
            let [verdict] = heard::<1>(&mut one).await;
            drop(one);
            verdict
        };
        let (verdict, called) = tokio::join!(caller, answer(&mut other, secret.as_ref(), NAME));
        if round == 0 {
            assert_eq!(verdict, Verdict::Welcome as u8);
            called.unwrap();
        } else {
            assert_eq!(verdict, Verdict::OtherSecret as u8);
            assert!(cause(called).contains("do not have the same secret"));
        }
    }

    // The same of a called end: its nonce and proof are those of another connection.
    let (theirs, old) = (words(0), words(SECURED));
    let proof = prove(secret.as_ref(), CALLED, &[NAME.as_bytes(), &old, &theirs]);
    let (mut one, mut other) = pair();
    let listener = async {
        let _: [u8; WORDS] = heard(&mut other).await;
        challenge(&mut other, &theirs, proof).await;
        heard::<{ 1 + CODE }>(&mut other).await
    };
    let (caller, reply) = tokio::join!(call(&mut one, secret.as_ref(), NAME), listener);
    assert!(cause(caller).contains("do not have the same secret"));
    assert_eq!(reply[1..], [0; CODE]);
}

/// One that knows nothing gives each end back what it said itself.
#[tokio::test]
async fn no_end_accepts_its_own_bytes_sent_back() {
    let secret = secret_of_test();
    // The called end's own proof, as the caller's.
    let (mut one, mut other) = pair();
    let mirror = async {
        one.write_all(&words(SECURED)).await.unwrap();
        let _: [u8; WORDS] = heard(&mut one).await;
        let proof: [u8; CODE] = heard(&mut one).await;
        let mut reply = [0; 1 + CODE];
        reply[1..].copy_from_slice(&proof);
        one.write_all(&reply).await.unwrap();
        let [verdict] = heard::<1>(&mut one).await;
        drop(one);
        verdict
    };
    let (verdict, called) = tokio::join!(mirror, answer(&mut other, secret.as_ref(), NAME));
    assert_eq!(verdict, Verdict::OtherSecret as u8);
    assert!(cause(called).contains("do not have the same secret"));

    // The caller's own nonce, and the proof that this caller gives where it is called itself.
    let (mut one, mut other) = pair();
    let mirror = async {
        let hello: [u8; WORDS] = heard(&mut other).await;
        let mut theirs = words(0);
        theirs[HEAD..].copy_from_slice(&hello[HEAD..]);
        let (mut as_caller, mut as_called) = pair();
        let ask = async {
            as_caller.write_all(&hello).await.unwrap();
            let _: [u8; WORDS] = heard(&mut as_caller).await;
            let proof: [u8; CODE] = heard(&mut as_caller).await;
            drop(as_caller);
            proof
        };
        let (proof, gone) = tokio::join!(ask, answer(&mut as_called, secret.as_ref(), "the caller"));
        assert!(matches!(gone, Err(Refusal::Gone(_))), "{gone:?}");
        challenge(&mut other, &theirs, proof).await;
        heard::<{ 1 + CODE }>(&mut other).await
    };
    let (caller, reply) = tokio::join!(call(&mut one, secret.as_ref(), NAME), mirror);
    assert!(cause(caller).contains("do not have the same secret"));
    assert_eq!(reply[1..], [0; CODE]);
}

#[tokio::test]
async fn what_is_no_greeting_is_refused_at_once_and_told_why() {
    let mut newer = words(0);
    newer[MAGIC.len()] = VERSION + 1;
    let unknown_flag = words(2);
    for text in [None, Some(SECRET)] {
        let secret = secret(text);
        for (bytes, verdict) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Verdict::NoGreeting),
            (&b"x"[..], Verdict::NoGreeting),
            (&b"WIESEX"[..], Verdict::NoGreeting),
            (&b"\x16\x03\x01\x02\x00\x01"[..], Verdict::NoGreeting),
            (&newer[..HEAD], Verdict::OtherVersion),
            (&unknown_flag[..], Verdict::OtherVersion),
        ] {
            let (mut one, mut other) = pair();
            one.write_all(bytes).await.unwrap();
            let told = async {
                let mut told = Vec::new();
                one.read_to_end(&mut told).await.unwrap();
                drop(one);
                told
            };
            let (told, refused) = tokio::join!(told, answer(&mut other, secret.as_ref(), NAME));
            assert_eq!(told[..HEAD], [&MAGIC[..], &[VERSION, verdict as u8]].concat());
            assert_eq!(told[HEAD..], *format!("{}\n", cause(refused)).as_bytes());
        }
    }
}

/// A client that begins with HTTP/2 is told in its own words.
#[tokio::test]
async fn plain_http2_is_told_to_go_away() {
    let (mut one, mut other) = pair();
    let secret = secret_of_test();
    one.write_all(HTTP2).await.unwrap();
    one.write_all(&[0; 100]).await.unwrap();
    let told = async {
        let mut told = Vec::new();
        one.read_to_end(&mut told).await.unwrap();
        drop(one);
        told
    };
    let (told, refused) = tokio::join!(told, answer(&mut other, secret.as_ref(), NAME));
    let cause = cause(refused);
    assert!(cause.contains("rest.port"), "{cause}");
    // A frame of settings, and one that ends the connection: length, kind, flags, stream, last stream, error, text.
    let mut expected = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    expected.extend_from_slice(&[0, 0, 8 + cause.len() as u8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc]);
    expected.extend_from_slice(cause.as_bytes());
    assert!(cause.len() + 8 < 256);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_listener_that_is_no_process_of_a_cluster_is_refused() {
    let mut newer = words(0);
    newer[MAGIC.len()] = VERSION + 1;
    let mut unknown = words(0);
    unknown[HEAD - 1] = 99;
    for (bytes, words) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n"[..], "check the address"),
        (&b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"[..], "check the address"),
        (&newer[..], "one version"),
        (&unknown[..], "one version"),
    ] {
        let (mut one, mut other) = pair();
        other.write_all(bytes).await.unwrap();
        let refused = cause(call(&mut one, secret_of_test().as_ref(), NAME).await);
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
async fn one_that_goes_is_not_refused() {
    for sent in [&b""[..], b"WIES", &words(0)[..]] {
        let (mut one, mut other) = pair();
        one.write_all(sent).await.unwrap();
        drop(one);
        let gone = answer(&mut other, None, NAME).await;
        assert!(matches!(gone, Err(Refusal::Gone(_))), "{gone:?}");
    }
    let (mut one, other) = pair();
    drop(other);
    assert!(matches!(call(&mut one, None, NAME).await, Err(Refusal::Gone(_))));
}
