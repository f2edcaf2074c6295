//! What requests have to pass before anything is done for them, over HTTP.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use reqwest::Method;
use serde_json::Value;
use support::{Cluster, DEADLINE, TaskManager, one_after_the_other, real_enumerators, shuffle, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wiesel_jobmanager::jobmaster::status::JobStatus;

/// The status of an answer, which must be JSON, and its first error.
async fn refused(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json; charset=UTF-8");
    let answer: Value = response.json().await.unwrap();
    (status, answer["errors"][0].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn pages_of_others_change_nothing_and_read_nothing() {
    let cluster = Cluster::start(&[("web.access-control-allow-origin", "https://ui.example")]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let evil = |method: Method, path: &str| {
        cluster.http.request(method, cluster.rest(path)).header("Origin", "http://evil.example").body("{}")
    };
    for (method, path) in [
        (Method::GET, format!("/jobs/{id}/yarn-cancel")),
        (Method::PATCH, format!("/v1/jobs/{id}")),
        (Method::POST, "/jars/upload".to_owned()),
        (Method::DELETE, "/cluster".to_owned()),
    ] {
        let (status, error) = refused(evil(method, &path)).await;
        assert!(status == 403 && error.contains("web.access-control-allow-origin"), "{path}: {status} {error}");
    }
    let (status, error) =
        refused(cluster.http.get(cluster.rest("/overview")).header("Host", "evil.example:8081")).await;
    assert!(status == 403 && error.contains("rest.address"), "{status} {error}");
    assert_eq!(cluster.job(id).await.status, JobStatus::Running);

    let answer = evil(Method::GET, "/overview").send().await.unwrap();
    assert!(answer.status() == 200 && !answer.headers().contains_key("access-control-allow-origin"));
    let friend = cluster.http.get(cluster.rest("/overview")).header("Origin", "https://ui.example");
    let answer = friend.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://ui.example");
    assert_eq!(answer.headers()["vary"], "Origin");
    // The page itself, and a client that is no browser.
    let own = format!("http://{}", cluster.manager.rest_address());
    let cancelled = cluster.http.patch(cluster.rest(&format!("/jobs/{id}"))).header("Origin", own);
    assert_eq!(cancelled.send().await.unwrap().status(), 202);
    assert_eq!(cluster.get("/overview").await.0, 200);
}

/// Before, OPTIONS was unknown, so that browsers sent nothing of such a page that is not a form, whatever was allowed.
#[tokio::test]
async fn pages_that_are_allowed_may_ask_what_they_may_send() {
    let cluster = Cluster::start(&[("web.access-control-allow-origin", "https://ui.example")]).await;
    let ask = async |origin: &'static str, method: Option<&'static str>| {
        let mut request = cluster.http.request(Method::OPTIONS, cluster.rest("/jars/x.sql/run"));
        request = request.header("Origin", origin);
        if let Some(method) = method {
            request = request.header("Access-Control-Request-Method", method);
        }
        request.send().await.unwrap()
    };
    let answer = ask("https://ui.example", Some("POST")).await;
    assert_eq!(answer.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://ui.example"),
        ("access-control-allow-methods", "DELETE, GET, PATCH, POST"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
    let named = answer.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(named.split(", ").any(|name| name == "Content-Type"), "{named}");
    assert!(!answer.headers().contains_key("content-type"), "there is nothing");
    for (origin, method) in [("http://evil.example", Some("POST")), ("https://ui.example", None)] {
        let answer = ask(origin, method).await;
        assert_eq!(answer.status(), 404, "as Flink answers");
        assert!(!answer.headers().contains_key("access-control-allow-methods"));
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), method.is_none());
    }
    // What it then sends is done; here there is no such script.
    let send = cluster.http.post(cluster.rest("/jars/x.sql/run")).header("Origin", "https://ui.example");
    assert_eq!(send.json(&serde_json::json!({})).send().await.unwrap().status(), 500);
}

/// Before, they were plain text that said it was JSON.
#[tokio::test]
async fn errors_of_the_framework_are_json() {
    let cluster = Cluster::start(&[]).await;
    let http = &cluster.http;
    let (status, error) = refused(http.get(cluster.rest("/jobs/%ff"))).await;
    assert!(status == 400 && error.contains("UTF-8"), "{status} {error}");
    let (status, error) = refused(http.post(cluster.rest("/jars/upload")).body("no form")).await;
    assert!(status == 400 && error.contains("boundary"), "{status} {error}");
    // A form that breaks off is the client's fault.
    let form = "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.sql\"\r\n\r\nSELECT";
    let broken = http.post(cluster.rest("/jars/upload")).header("Content-Type", "multipart/form-data; boundary=b");
    let (status, error) = refused(broken.body(form)).await;
    assert_eq!(status, 400, "{error}");
}

/// Before, a run whose body came in chunks took all room for uploads until its jobs had ended.
#[tokio::test]
async fn a_run_that_waits_for_its_jobs_takes_no_room_for_uploads() {
    let limit = ("rest.server.max-content-length", "204800");
    let cluster = Cluster::with_enumerators(&[limit], real_enumerators()).await;
    let artifact = cluster.upload(one_after_the_other()).await;
    let run = || {
        let body = reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>("{}")]));
        tokio::spawn(cluster.http.post(cluster.rest(&format!("/jars/{artifact}/run"))).body(body).send())
    };
    // There are no slots: no job ends.
    let runs = [run(), run(), run()];
    until("all runs wait for their jobs", async || {
        (cluster.manager.dispatcher().describe_all().await.len() == runs.len()).then_some(())
    })
    .await;
    cluster.upload(format!("-- {}\nSELECT 1;", "x".repeat(150 << 10))).await;
    for run in runs {
        assert!(!run.is_finished());
        run.abort();
    }
}

#[tokio::test]
async fn what_a_run_is_told_has_a_length() {
    let cluster = Cluster::start(&[]).await;
    let body = serde_json::json!({ "flinkConfiguration": { "a": "x".repeat(66_000) } });
    for path in ["/jars/x.sql/run", "/jars/x.sql/plan"] {
        let (status, answer) = cluster.post(path, &body).await;
        let error = answer["errors"][0].as_str().unwrap();
        let words = format!("has {} bytes: at most 65536 bytes are allowed where nothing", body.to_string().len());
        assert!(status == 413 && error.contains(&words), "{path}: {status} {error}");
    }
}

/// What is said to these bytes, which are all sent before anything is read, until the connection ends.
async fn said(cluster: &Cluster, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(cluster.manager.rest_address()).await.unwrap();
    let talking = async {
        for part in parts {
            stream.write_all(part).await.expect("all of it is taken");
        }
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("nothing is taken back");
        said
    };
    tokio::time::timeout(DEADLINE, talking).await.expect("no hang")
}

/// The first error of an answer, which must have this status, be JSON and end the connection.
fn error_of(answer: &str, status: u16) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(head.contains("content-type: application/json; charset=UTF-8"), "{head}");
    let answer: Value = serde_json::from_str(body).unwrap();
    answer["errors"][0].as_str().unwrap().to_owned()
}

/// Before, the connection was reset while the client was sending, and it saw a broken pipe in place of the answer. The answer to
/// a long body did not say how long it was.
#[tokio::test]
async fn a_client_that_is_refused_while_sending_gets_the_reason() {
    let cluster = Cluster::start(&[("rest.server.max-content-length", "1048576")]).await;
    let rest = vec![b'x'; 24 << 20];
    let part = "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.sql\"\r\n\r\n";
    let form = "Content-Type: multipart/form-data; boundary=b\r\n";
    let foreign = "Origin: http://evil.example\r\n";
    let bytes = rest.len() + part.len();
    let length = format!("Content-Length: {bytes}\r\n");
    let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{bytes:x}");
    let known = format!("has {bytes} bytes: at most 1048576 bytes are allowed by rest.server.max-content-length");
    let unknown = "has more than 1048576 bytes: at most 1048576 bytes are allowed by rest.server.max-content-length";
    let trigger = format!("has {bytes} bytes: at most 65536 bytes");
    for (request, headers, framing, status, words) in [
        ("POST /jars/upload", form, &length, 413, known.as_str()),
        ("POST /jars/upload", form, &chunk, 413, unknown),
        ("POST /jars/x.sql/run", "", &length, 413, trigger.as_str()),
        ("POST /jars/upload", foreign, &length, 403, "web.access-control-allow-origin"),
        ("POST /nothing", "", &length, 404, "Not found: /nothing"),
    ] {
        let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{framing}\r\n");
        let error = error_of(&said(&cluster, &[head.as_bytes(), part.as_bytes(), &rest]).await, status);
        assert!(error.contains(words), "{request}: {error}");
    }
    let endless = said(&cluster, &[b"GET /overview HTTP/1.1\r\nHost: localhost\r\nX: ", &rest]).await;
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
}

/// Before, an answer said that the connection stays, whether it did or not.
#[tokio::test]
async fn a_connection_stays_if_nothing_of_a_refused_request_is_to_come() {
    let cluster = Cluster::start(&[]).await;
    let refused =
        "PATCH /v1/jobs/0 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 2\r\n\r\n";
    let last = "GET /overview HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let both = said(&cluster, &[format!("{refused}{{}}{last}").as_bytes()]).await;
    assert!(both.starts_with("HTTP/1.1 403 ") && both.contains("connection: keep-alive"), "{both}");
    assert!(both.contains("HTTP/1.1 200 ") && both.contains("connection: close"), "{both}");
    // What is to come is not waited for.
    let alone = said(&cluster, &[refused.as_bytes()]).await;
    assert!(alone.starts_with("HTTP/1.1 403 ") && alone.contains("connection: close"), "{alone}");
}
