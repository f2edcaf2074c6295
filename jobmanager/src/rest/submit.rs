//! `POST /jobs`: a job graph from a client that planned it.
use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wiesel_common::quote::quote;
use wiesel_proto as proto;

use super::Rest;
use super::bodies::Late;
use super::error::RestError;
use super::limits::BodyLimit;
use crate::application::restore_keys;
use crate::dispatcher::SubmitError;

/// The most parts of a body: each is kept by itself until all are there.
const MAX_PARTS: usize = 1_000;

/// How much memory a job graph may take: some two million columns and parts of expressions.
const MAX_GRAPH: u64 = 512 << 20;

/// What Java's object streams begin with.
const JAVA_MAGIC: [u8; 2] = [0xac, 0xed];

/// A part of a multipart body.
pub(super) struct Part {
    /// Its field's name.
    pub(super) name: String,
    /// The file's name, if it is a file.
    pub(super) file_name: Option<String>,
    /// Its content.
    pub(super) content: Bytes,
}

/// All parts of a body. A task of its own takes the body apart: the one that answers the request is woken by all that comes over
/// the connection, and with each wake the parser would look anew through what it holds.
pub(super) async fn parts(multipart: Multipart, limit: BodyLimit) -> Result<Vec<Part>, RestError> {
    // It ends with the request.
    let mut parsing = JoinSet::new();
    parsing.spawn(take_apart(multipart, limit));
    match parsing.join_next().await {
        Some(Ok(parts)) => parts,
        Some(Err(panicked)) => Err(RestError::internal(panicked)),
        None => unreachable!("a task was started"),
    }
}

async fn take_apart(mut multipart: Multipart, limit: BodyLimit) -> Result<Vec<Part>, RestError> {
    let bad = |error: MultipartError| unreadable(&error, limit);
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(bad)? {
        if parts.len() >= MAX_PARTS {
            return Err(RestError::bad_request(format!("The body has more than {MAX_PARTS} parts.")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let content = field.bytes().await.map_err(bad)?;
        parts.push(Part { name, file_name, content });
    }
    Ok(parts)
}

/// Why a body cannot be read.
fn unreadable(error: &MultipartError, limit: BodyLimit) -> RestError {
    match error.status() {
        _ if Late::is_cause_of(error) => RestError::handler(StatusCode::REQUEST_TIMEOUT, Late),
        StatusCode::PAYLOAD_TOO_LARGE => limit.exceeded(),
        // A body that breaks off.
        StatusCode::INTERNAL_SERVER_ERROR => RestError::bad_request(error.body_text()),
        status => RestError::handler(status, error.body_text()),
    }
}

/// `POST /jobs`.
pub(super) async fn submit(
    State(state): Rest,
    headers: HeaderMap,
    multipart: Multipart,
) -> Result<(StatusCode, Json<Value>), RestError> {
    let limit = BodyLimit::of_upload(&headers, state.options.max_content_length);
    let graph = graph_of(&parts(multipart, limit).await?)?;
    let id = state.dispatcher.submit(graph).await.map_err(|error| refused(&error))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "jobUrl": format!("/jobs/{id}") }))))
}

/// A refusal of the dispatcher.
pub(super) fn refused(error: &SubmitError) -> RestError {
    match error {
        SubmitError::Duplicate(_) | SubmitError::Aftermath(_) => RestError::handler(StatusCode::CONFLICT, error),
        SubmitError::Invalid(_) => RestError::bad_request(error),
        SubmitError::Stopping | SubmitError::NotRecorded(_) => {
            RestError::handler(StatusCode::SERVICE_UNAVAILABLE, error)
        }
    }
}

fn graph_of(parts: &[Part]) -> Result<proto::JobGraph, RestError> {
    let request = parts
        .iter()
        .find(|part| part.name == "request")
        .ok_or_else(|| RestError::bad_request("Bad request: the part `request` is missing."))?;
    let request: Value =
        serde_json::from_slice(&request.content).map_err(|_| RestError::bad_body("JobSubmitRequestBody"))?;
    let wanted = ["jobGraphFileName", "executionPlanFileName"].iter().find_map(|key| request.get(key)?.as_str());
    let wanted = wanted.ok_or_else(|| RestError::bad_body("JobSubmitRequestBody"))?;
    let file = parts.iter().find(|part| part.file_name.as_deref() == Some(wanted));
    let file =
        file.ok_or_else(|| RestError::bad_request(format!("Bad request: the file {} is missing.", quote(wanted))))?;
    if file.content.starts_with(&JAVA_MAGIC) {
        return Err(RestError::bad_request(
            "The plan is a Java object of Apache Flink's client. This cluster runs Flink SQL without a JVM: submit the \
             SQL script with Wiesel's `flink run` or `sql-client.sh`.",
        ));
    }
    let mut graph: proto::JobGraph = proto::decode_at_most(file.content.clone(), MAX_GRAPH)
        .map_err(|error| RestError::bad_request(format!("The job graph cannot be read: {error}.")))?;
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let allowed = request.get("allowNonRestoredState").and_then(Value::as_bool);
    let claim_mode = text("claimMode").or_else(|| text("restoreMode"));
    graph.configuration.extend(restore_keys(text("savepointPath"), allowed, claim_mode));
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use axum::BoxError;
    use axum::body::Body;
    use axum::extract::FromRequest;
    use prost::Message;

    use super::*;

    fn part(name: &str, file_name: Option<&str>, content: &[u8]) -> Part {
        Part { name: name.into(), file_name: file_name.map(str::to_owned), content: Bytes::copy_from_slice(content) }
    }

    /// What is said of an upload with such a body.
    async fn said(body: Body) -> String {
        let request = axum::http::Request::builder()
            .header("content-type", "multipart/form-data; boundary=b")
            .body(body)
            .unwrap();
        let multipart = Multipart::from_request(request, &()).await.unwrap();
        format!("{:?}", parts(multipart, BodyLimit::of_upload(&HeaderMap::new(), 4711)).await.map(|_| ()).unwrap_err())
    }

    /// Before: "Request payload is too large", "failed to read stream".
    #[tokio::test]
    async fn what_cannot_be_read_is_refused_with_the_limit() {
        let head = Bytes::from_static(b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
        // Longer than bodies may be where no limit is set.
        let long = Bytes::from(vec![b'x'; 3 << 20]);
        let chunks = [Ok::<_, BoxError>(head.clone()), Ok(long)];
        let said_of_long = said(Body::from_stream(futures::stream::iter(chunks))).await;
        assert!(said_of_long.contains("413") && said_of_long.contains("at most 4711 bytes"), "{said_of_long}");
        assert!(said_of_long.contains("rest.server.max-content-length"), "{said_of_long}");
        let late = said(Body::from_stream(futures::stream::iter([Ok(head), Err(BoxError::from(Late))]))).await;
        assert!(late.contains("408") && late.contains("within 30 s"), "{late}");
    }

    #[test]
    fn the_graph_is_the_file_that_the_request_names() {
        let graph = proto::JobGraph { name: "x".into(), ..Default::default() };
        let parts = [
            part("request", None, br#"{"jobGraphFileName": "g.bin"}"#),
            part("file_0", Some("other"), b"?"),
            part("file_1", Some("g.bin"), &graph.encode_to_vec()),
        ];
        assert_eq!(graph_of(&parts).unwrap(), graph);
    }

    #[test]
    fn what_is_no_graph_is_refused_with_a_reason() {
        let text = |parts: &[Part]| format!("{:?}", graph_of(parts).unwrap_err());
        let request = || part("request", None, br#"{"executionPlanFileName": "g.bin"}"#);
        assert!(text(&[]).contains("`request` is missing"));
        assert!(text(&[part("request", None, b"{")]).contains("JobSubmitRequestBody"));
        assert!(text(&[request()]).contains("g.bin is missing"));
        assert!(text(&[request(), part("file_0", Some("g.bin"), &[0xac, 0xed, 0, 5])]).contains("Java object"));
        assert!(text(&[request(), part("file_0", Some("g.bin"), &[0xff; 9])]).contains("cannot be read"));
        // Before, each two bytes of it took some hundred.
        let many = [0x1au8, 0].repeat(5 << 20);
        let refused = text(&[request(), part("file_0", Some("g.bin"), &many)]);
        assert!(refused.contains("more than 536870912 bytes of memory"), "{refused}");
    }
}
