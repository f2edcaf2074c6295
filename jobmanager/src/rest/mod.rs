//! Flink's REST API over HTTP.
//!
//! Handlers ask an actor and shape its answer; they decide nothing. Every path exists with and without `/v1`, bodies of GET
//! requests are ignored, and errors are `{"errors": [...]}` in Flink's words. Beside it there is a page for people.
mod bodies;
mod checkpoints;
mod cluster;
mod connections;
mod coordination;
mod error;
mod exceptions;
mod jars;
mod job_details;
mod job_manager;
mod jobs;
mod limits;
mod origins;
mod page;
mod peers;
mod plan;
mod planning;
mod remainder;
mod scalars;
mod snapshots;
mod standby;
mod statistics;
mod submit;
mod task_managers;
mod throwable;
mod vertices;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, CONTENT_TYPE, TRANSFER_ENCODING, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, patch, post};
use tokio_util::sync::CancellationToken;
use wiesel_common::config::Configuration;
use wiesel_common::quote::quote;
use wiesel_common::time::Clock;

use crate::dispatcher::DispatcherHandle;
use crate::jobmaster::collect::CollectCoordinators;
use crate::operations::Operations;
use crate::options::RestOptions;
use crate::resourcemanager::ResourceManagerHandle;
use bodies::Bodies;
use connections::Activity;
pub(crate) use connections::serve;
use error::RestError;
use origins::Origins;
use peers::Peer;
pub(crate) use planning::Planning;
use remainder::Remainder;
pub(crate) use standby::stand_by;

/// Flink's version whose API this is.
pub(crate) const FLINK_VERSION: &str = "2.3.0";

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct RestState {
    pub(crate) options: Arc<RestOptions>,
    /// Where the server listens.
    pub(crate) bound: SocketAddr,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) resource_manager: ResourceManagerHandle,
    pub(crate) collectors: CollectCoordinators,
    pub(crate) operations: Operations,
    pub(crate) planning: Planning,
    pub(crate) stop: CancellationToken,
}

type Answer = Result<axum::Json<serde_json::Value>, RestError>;

/// The whole API.
pub(crate) fn router(state: RestState) -> Router {
    let gate = Arc::new(Gate::new(&state.options, state.bound));
    let short = DefaultBodyLimit::max(limits::MAX_TRIGGER_BYTES.min(state.options.max_content_length));
    let api = Router::new()
        .route("/overview", get(cluster::overview))
        .route("/config", get(cluster::config))
        .route("/cluster", delete(cluster::shutdown))
        .route("/datasets", get(cluster::datasets))
        .route("/applications/overview", get(cluster::applications))
        .route("/applications/{id}", get(cluster::application))
        .route("/jobs", get(jobs::list))
        .route("/jobs/overview", get(jobs::overview))
        .route("/jobs/{jobid}", get(job_details::details).patch(jobs::cancel))
        .route("/jobs/{jobid}/yarn-cancel", get(jobs::yarn_cancel))
        .route("/jobs/{jobid}/status", get(jobs::status))
        .route("/jobs/{jobid}/plan", get(jobs::plan))
        .route("/jobs/{jobid}/config", get(jobs::config))
        .route("/jobs/{jobid}/exceptions", get(exceptions::history))
        .route("/jobs/{jobid}/execution-result", get(exceptions::execution_result))
        .route("/jobs/{jobid}/accumulators", get(jobs::accumulators))
        .route("/jobs/{jobid}/clientHeartbeat", patch(jobs::client_heartbeat).layer(short))
        .route("/jobs/{jobid}/checkpoints", get(checkpoints::overview).post(snapshots::checkpoint).layer(short))
        .route("/jobs/{jobid}/checkpoints/config", get(checkpoints::config))
        .route("/jobs/{jobid}/checkpoints/details/{checkpointid}", get(checkpoints::details))
        .route("/jobs/{jobid}/checkpoints/details/{checkpointid}/subtasks/{vertexid}", get(checkpoints::subtasks))
        .route("/jobs/{jobid}/checkpoints/{triggerid}", get(snapshots::checkpoint_status))
        .route("/jobs/{jobid}/savepoints", post(snapshots::savepoint).layer(short))
        .route("/jobs/{jobid}/savepoints/{triggerid}", get(snapshots::savepoint_status))
        .route("/jobs/{jobid}/stop", post(snapshots::stop).layer(short))
        .route("/savepoint-disposal", post(snapshots::dispose).layer(short))
        .route("/savepoint-disposal/{triggerid}", get(snapshots::disposal_status))
        .route("/jobs/{jobid}/coordinators/{operator}", post(coordination::fetch).layer(short))
        .route("/jobs/{jobid}/vertices/{vertexid}", get(vertices::details))
        .route("/jobs/{jobid}/vertices/{vertexid}/subtasktimes", get(vertices::subtask_times))
        .route("/jobs/{jobid}/vertices/{vertexid}/taskmanagers", get(vertices::task_managers))
        .route("/jobs/{jobid}/vertices/{vertexid}/watermarks", get(vertices::watermarks))
        .route("/jobs/{jobid}/vertices/{vertexid}/accumulators", get(vertices::accumulators))
        .route("/taskmanagers", get(task_managers::list))
        .route("/taskmanagers/{id}", get(task_managers::details))
        .route("/jobmanager/config", get(job_manager::config))
        .route("/jobmanager/environment", get(job_manager::environment))
        .merge(submissions(&state.options, short))
        .layer(DefaultBodyLimit::max(state.options.max_content_length));
    Router::new()
        .route("/", get(page::index))
        .route("/index.html", get(page::index))
        .route("/index.js", get(page::script))
        .route("/index.css", get(page::style))
        .nest("/v1", api.clone())
        .merge(api)
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(from_fn_with_state(gate, transport))
        .with_state(state)
}

/// The paths that jobs come by. The cluster of an application has none of them, as in Flink, and says why.
fn submissions(options: &RestOptions, short: DefaultBodyLimit) -> Router<RestState> {
    if options.application.is_some() {
        return Router::new()
            .route("/jobs", post(not_taken))
            .route("/jars", any(not_taken))
            .route("/jars/{*rest}", any(not_taken));
    }
    Router::new()
        .route("/jobs", post(submit::submit))
        .route("/jars", get(jars::list))
        .route("/jars/upload", post(jars::upload))
        .route("/jars/{id}", delete(jars::remove))
        .route("/jars/{id}/plan", get(jars::plan_get).post(jars::plan_post).layer(short))
        .route("/jars/{id}/run", post(jars::run).layer(short))
}

async fn not_taken(uri: Uri) -> RestError {
    RestError::not_found(format!(
        "Not found: {}. This is the cluster of one application, which takes no other jobs: submit them to a session cluster, which \
         bin/start-cluster.sh starts.",
        quote(uri.path())
    ))
}

async fn not_found(method: Method, uri: Uri) -> RestError {
    let path = quote(uri.path());
    match method {
        Method::GET => RestError::not_found(format!("Unable to load requested file {path}.")),
        _ => RestError::not_found(format!("Not found: {path}")),
    }
}

/// What a request has to pass.
struct Gate {
    origins: Origins,
    bodies: Bodies,
}

impl Gate {
    fn new(options: &RestOptions, bound: SocketAddr) -> Self {
        Self { origins: Origins::new(options, bound.ip()), bodies: Bodies::new(options.max_content_length) }
    }
}

/// What holds for every answer.
async fn transport(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    // A caller without a connection is in this process.
    let _ = request.extensions_mut().get_or_insert_default::<Peer>();
    let closes = request.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let activity = request.extensions().get::<Activity>().cloned();
    let _in_progress = activity.as_ref().map(Activity::begin);
    let (parts, body) = request.into_parts();
    let (body, remainder) = Remainder::of(body);
    let request = Request::from_parts(parts, body);
    let framed = check_framing(request.headers());
    let closes = closes || framed.is_err();
    let checked = framed.and_then(|()| gate.origins.check(request.method(), request.uri(), request.headers()));
    let (mut response, reader) = answer(&gate.bodies, request, checked, next).await;
    let is_over = remainder.is_over();
    if let Some(activity) = activity.filter(|_| !is_over) {
        activity.more_may_come();
    }
    let closes = closes || !is_over;
    let headers = response.headers_mut();
    if let Some(reader) = reader {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, reader);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    if is_json(headers) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    }
    headers.insert(CONNECTION, HeaderValue::from_static(if closes { "close" } else { "keep-alive" }));
    response
}

/// The answer to a request that was checked, which may have told the origin that may read the answer.
async fn answer(
    bodies: &Bodies,
    request: Request,
    checked: Result<Option<HeaderValue>, RestError>,
    next: Next,
) -> (Response, Option<HeaderValue>) {
    match checked {
        Ok(reader @ Some(_)) if origins::is_preflight(request.method(), request.headers()) => {
            (origins::preflight(), reader)
        }
        Ok(reader) => (pass(bodies, request, next).await, reader),
        Err(refused) => (refused.into_response(), None),
    }
}

/// A body whose end a proxy may see somewhere else: to it what follows would be the request of another client.
fn check_framing(headers: &HeaderMap) -> Result<(), RestError> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let known = encodings.next().is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match known && encodings.next().is_none() {
        true => Ok(()),
        false => Err(RestError::bad_request("Of transfer encodings only one, chunked, is known.")),
    }
}

async fn pass(bodies: &Bodies, request: Request, next: Next) -> Response {
    // Flink knows neither of these.
    let unknown = match *request.method() {
        Method::HEAD => !page::PATHS.contains(&request.uri().path()),
        Method::OPTIONS => true,
        _ => false,
    };
    if unknown {
        return not_found(request.method().clone(), request.uri().clone()).await.into_response();
    }
    // What has been read of the body takes its room until it has been dealt with.
    match bodies.admit(request).await {
        Ok((request, _room)) => as_json(next.run(request).await).await,
        Err(refused) => refused.into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json")
}

/// The longest text of an error that is not ours.
const MAX_FOREIGN_ERROR: usize = 16 << 10;

/// Errors of what takes requests apart before a handler sees them are plain text.
async fn as_json(response: Response) -> Response {
    let status = response.status();
    if is_json(response.headers()) || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), MAX_FOREIGN_ERROR).await.unwrap_or_default();
    let reason = status.canonical_reason().unwrap_or("refused");
    let text = if text.is_empty() { reason.into() } else { String::from_utf8_lossy(&text) };
    RestError::handler(status, text).into_response()
}

/// Answers with a value.
fn json(value: serde_json::Value) -> Answer {
    Ok(axum::Json(value))
}

/// What a handler is given.
type Rest = State<RestState>;
