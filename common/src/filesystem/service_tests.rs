//! A service that speaks HTTP and whose answers are not what they should be.
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const MIB: u64 = 1 << 20;

/// Gives every request the same answer.
struct Service {
    /// `s3://bucket/x`.
    location: Location,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    /// Bytes of bodies.
    sent: AtomicU64,
}

impl Service {
    /// `headers`: with the status before them.
    async fn start(headers: &str, body: impl Into<Vec<u8>>, is_endless: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 {headers}\r\nConnection: close\r\n\r\n");
        let body: Vec<u8> = body.into();
        let answer = Arc::new((head, body));
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(give(stream, answer.clone(), is_endless, counted.clone()));
            }
        });
        let mut config = Configuration::default();
        for (key, value) in [("s3.access-key", "a"), ("s3.secret-key", "s"), ("s3.endpoint", endpoint.as_str())] {
            config.set(key, value);
        }
        Self { location: Location::resolve("s3://bucket/x", &config).unwrap(), counts }
    }

    fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }
}

/// Until the client has gone, if the body is endless.
async fn give(
    mut stream: TcpStream,
    answer: Arc<(String, Vec<u8>)>,
    is_endless: bool,
    counts: Arc<Counts>,
) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let (head, body) = &*answer;
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(body).await?;
        counts.sent.fetch_add(body.len() as u64, Ordering::SeqCst);
        if !is_endless {
            return stream.shutdown().await;
        }
    }
}

/// Failed before: all that came was kept until the request had taken its minute, and what was said to be long ended the process.
#[tokio::test]
async fn no_answer_is_kept_that_does_not_end() {
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for (headers, words) in [
        ("200 OK\r\nTransfer-Encoding: chunked", "the answer of the store (200) is longer than 8 MiB"),
        ("200 OK\r\nContent-Length: 1152921504606846976", "the answer of the store (200) is longer than 8 MiB"),
        ("403 Forbidden\r\nTransfer-Encoding: chunked", "the answer of the store (403) is longer than 1 MiB"),
    ] {
        let service = Service::start(headers, chunk.clone(), true).await;
        let error = service.location.children().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot list s3://bucket/x: ") && error.contains(words), "{error}");
        // What the system holds of a connection comes on top.
        assert!(service.requests() == 1 && service.sent() < 64 * MIB, "{} {}", service.requests(), service.sent());
    }
    let service = Service::start("404 Not Found\r\nTransfer-Encoding: chunked", chunk.clone(), true).await;
    let error = service.location.read_at_most(100 * MIB).await.unwrap_err().to_string();
    assert!(error.contains("the answer of the store (404) is longer than 1 MiB"), "{error}");
    let service = Service::start("200 OK\r\nTransfer-Encoding: chunked", chunk, true).await;
    let error = service.location.unfinished_uploads().await.unwrap_err().to_string();
    assert!(error.contains("the answer of the store (200) is longer than 8 MiB"), "{error}");
    assert!(service.sent() < 256 * MIB, "{} in {} requests", service.sent(), service.requests());
}

#[tokio::test]
async fn an_object_may_be_longer_than_other_answers() {
    let object: Vec<u8> = (0..9 * MIB).map(|i| (i % 251) as u8).collect();
    let service = Service::start(&format!("200 OK\r\nContent-Length: {}", object.len()), object.clone(), false).await;
    assert!(service.location.read_at_most(9 * MIB).await.unwrap() == object);
    let headers = format!(
        "206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes 0-{last}/{length}",
        length = object.len(),
        last = object.len() - 1
    );
    let service = Service::start(&headers, object.clone(), false).await;
    assert!(service.location.read_range(0..9 * MIB).await.unwrap() == object);
}

/// Failed before: both listings were followed for ever.
#[tokio::test]
async fn a_listing_that_leads_back_is_given_up() {
    let body = "<R><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>\
                <NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker></R>";
    let service = Service::start(&format!("200 OK\r\nContent-Length: {}", body.len()), body, false).await;
    let never_ends = "s3://bucket/x: the listing of the store never ends: a page leads back to one that was read";
    let error = service.location.children().await.unwrap_err().to_string();
    assert_eq!((error, service.requests()), (format!("cannot list {never_ends}"), 2));
    let error = service.location.unfinished_uploads().await.unwrap_err().to_string();
    assert_eq!((error, service.requests()), (format!("cannot list unfinished uploads into {never_ends}"), 4));
}

/// Failed before: nothing told a folder that a tool had made, and that has no files yet, from one that is not there.
#[tokio::test]
async fn a_folder_without_files_may_have_a_mark() {
    let object = |key: &str| {
        format!("<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>0</Size></Contents>")
    };
    for (objects, files, is_marked) in [
        (String::new(), 0, false),
        (object("x/"), 0, true),
        (object("x/a"), 1, false),
        (format!("{}{}", object("x/"), object("x/a/")), 1, true),
    ] {
        let body = format!("<R>{objects}<IsTruncated>false</IsTruncated></R>");
        let service = Service::start(&format!("200 OK\r\nContent-Length: {}", body.len()), body, false).await;
        let mut below = service.location.files_below().unwrap();
        assert_eq!(below.next_page().await.unwrap().unwrap().len(), files);
        assert_eq!((below.next_page().await.unwrap(), below.is_marked()), (None, is_marked));
    }
}

#[tokio::test]
async fn a_listing_tells_the_etag_of_each_object() {
    let body = "<R><Contents><Key>x/a</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>7</Size>\
                <ETag>&quot;5d41&quot;</ETag></Contents><IsTruncated>false</IsTruncated></R>";
    let service = Service::start(&format!("200 OK\r\nContent-Length: {}", body.len()), body.to_owned(), false).await;
    let mut below = service.location.files_below().unwrap();
    let page = below.next_page().await.unwrap().unwrap();
    let [found] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!((found.status.size, found.status.e_tag.as_deref()), (7, Some("\"5d41\"")));
}

/// Failed before: all that a service had to say was in the error.
#[tokio::test]
async fn an_error_tells_the_beginning_of_a_long_answer() {
    let body = format!("<Error><Code>AccessDenied</Code><Message>{}</Message></Error>", "no ".repeat(300_000));
    let service = Service::start(&format!("403 Forbidden\r\nContent-Length: {}", body.len()), body, false).await;
    let errors = [
        service.location.read_at_most(1).await.unwrap_err(),
        service.location.children().await.unwrap_err(),
        service.location.unfinished_uploads().await.unwrap_err(),
    ];
    for error in errors.map(|error| error.to_string()) {
        assert!(error.contains("AccessDenied: no no no ") && error.len() < 1000, "{error}");
    }
}
