//! Savepoints, checkpoints that a user asks for, stopping with a savepoint, disposal: started here, asked about later.
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiesel_common::config::options::checkpointing::ClaimMode;
use wiesel_common::filesystem::Location;
use wiesel_common::id::JobId;
use wiesel_proto as proto;
use wiesel_state::storage::{CheckpointStorage, Found, dispose_savepoint, find};

use super::error::{RestError, job_id};
use super::limits::{TriggerBody, check_path, content};
use super::scalars::scalar;
use super::throwable::serialized_throwable;
use super::{Answer, Rest, RestState, json as answer};
use crate::dispatcher::JobRef;
use crate::failure::FailureInfo;
use crate::jobmaster::checkpoint::failure::state_failure;
use crate::jobmaster::checkpoint::options::RestoreSettings;
use crate::jobmaster::{Message, SnapshotRequest};
use crate::operations::{Key, Kind, Outcome, Progress, Promise};

/// Flink's class for a job that is not there.
const JOB_NOT_FOUND: &str = "org.apache.flink.runtime.messages.FlinkJobNotFoundException";

type Accepted = Result<(StatusCode, Json<Value>), RestError>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct SavepointTriggerRequestBody {
    target_directory: Option<String>,
    #[serde(deserialize_with = "scalar")]
    cancel_job: Option<bool>,
    #[serde(rename = "formatType")]
    format_type: Option<Format>,
    #[serde(rename = "triggerId")]
    trigger_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StopWithSavepointRequestBody {
    target_directory: Option<String>,
    #[serde(deserialize_with = "scalar")]
    drain: Option<bool>,
    format_type: Option<Format>,
    trigger_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CheckpointTriggerRequestBody {
    checkpoint_type: Option<CheckpointType>,
    trigger_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SavepointDisposalRequestBody {
    savepoint_path: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Format {
    Canonical,
    Native,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum CheckpointType {
    Configured,
    Full,
    Incremental,
}

fn body<T: DeserializeOwned + Default>(bytes: &[u8], name: &str) -> Result<T, RestError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|_| RestError::bad_body(name))
}

fn is_native(format: Option<Format>) -> bool {
    format == Some(Format::Native)
}

/// The trigger id in a text; none: a new one.
fn trigger(text: Option<&str>) -> Result<[u8; 16], RestError> {
    match text {
        None => Ok(JobId::random().0),
        Some(text) => parse_trigger(text),
    }
}

fn parse_trigger(text: &str) -> Result<[u8; 16], RestError> {
    let id: JobId = text.parse().map_err(|_| RestError::bad_path("triggerid", text))?;
    Ok(id.0)
}

fn accepted(status: StatusCode, trigger: [u8; 16]) -> Accepted {
    Ok((status, Json(json!({ "request-id": JobId(trigger).to_string() }))))
}

/// `POST /jobs/:jobid/savepoints`.
pub(super) async fn savepoint(State(state): Rest, Path(id): Path<String>, bytes: TriggerBody) -> Accepted {
    let id = job_id(&id)?;
    let body: SavepointTriggerRequestBody = body(&content(bytes)?, "SavepointTriggerRequestBody")?;
    check_path("target-directory", body.target_directory.as_deref())?;
    let native = is_native(body.format_type);
    let cancel = body.cancel_job.unwrap_or(false);
    let request = SnapshotRequest::Savepoint { directory: body.target_directory, native, cancel };
    begin(&state, id, Kind::Savepoint, body.trigger_id.as_deref(), request).await
}

/// `POST /jobs/:jobid/stop`.
pub(super) async fn stop(State(state): Rest, Path(id): Path<String>, bytes: TriggerBody) -> Accepted {
    let id = job_id(&id)?;
    let body: StopWithSavepointRequestBody = body(&content(bytes)?, "StopWithSavepointRequestBody")?;
    check_path("targetDirectory", body.target_directory.as_deref())?;
    let native = is_native(body.format_type);
    let drain = body.drain.unwrap_or(false);
    let request = SnapshotRequest::Stop { directory: body.target_directory, native, drain };
    begin(&state, id, Kind::Savepoint, body.trigger_id.as_deref(), request).await
}

/// `POST /jobs/:jobid/checkpoints`.
pub(super) async fn checkpoint(State(state): Rest, Path(id): Path<String>, bytes: TriggerBody) -> Accepted {
    let id = job_id(&id)?;
    let body: CheckpointTriggerRequestBody = body(&content(bytes)?, "CheckpointTriggerRequestBody")?;
    let full = body.checkpoint_type == Some(CheckpointType::Full);
    begin(&state, id, Kind::Checkpoint, body.trigger_id.as_deref(), SnapshotRequest::Checkpoint { full }).await
}

async fn begin(state: &RestState, id: JobId, kind: Kind, given: Option<&str>, request: SnapshotRequest) -> Accepted {
    let trigger = trigger(given)?;
    // A repeat is the operation that is known already.
    if let Some(promise) = state.operations.begin(Key { kind, job: Some(id), trigger }) {
        hand_over(state, id, request, promise).await;
    }
    accepted(StatusCode::ACCEPTED, trigger)
}

/// Gives the request to the job. One that is not there is told with the outcome, as Flink does.
async fn hand_over(state: &RestState, id: JobId, request: SnapshotRequest, promise: Promise) {
    match state.dispatcher.job(id).await {
        // One that ends in this moment drops the promise, which then has failed.
        Some(JobRef::Running(master)) => {
            master.send(Message::Snapshot { request, promise });
        }
        _ => promise.keep(Err(FailureInfo::new(JOB_NOT_FOUND, format!("Could not find Flink job ({id})")))),
    }
}

/// `GET /jobs/:jobid/savepoints/:triggerid`.
pub(super) async fn savepoint_status(State(state): Rest, Path((id, trigger)): Path<(String, String)>) -> Answer {
    status(&state, Kind::Savepoint, Some(job_id(&id)?), &trigger)
}

/// `GET /jobs/:jobid/checkpoints/:triggerid`.
pub(super) async fn checkpoint_status(State(state): Rest, Path((id, trigger)): Path<(String, String)>) -> Answer {
    status(&state, Kind::Checkpoint, Some(job_id(&id)?), &trigger)
}

/// `GET /savepoint-disposal/:triggerid`.
pub(super) async fn disposal_status(State(state): Rest, Path(trigger): Path<String>) -> Answer {
    status(&state, Kind::Disposal, None, &trigger)
}

fn status(state: &RestState, kind: Kind, job: Option<JobId>, text: &str) -> Answer {
    let trigger = parse_trigger(text)?;
    match state.operations.progress(&Key { kind, job, trigger }) {
        None => Err(RestError::handler(StatusCode::NOT_FOUND, unknown(kind, job, text))),
        Some(Progress::InProgress) => answer(json!({ "status": { "id": "IN_PROGRESS" }, "operation": null })),
        Some(Progress::Over(result)) => {
            answer(json!({ "status": { "id": "COMPLETED" }, "operation": operation(kind, &result) }))
        }
    }
}

fn unknown(kind: Kind, job: Option<JobId>, trigger: &str) -> String {
    let job = job.map_or_else(String::new, |job| job.to_string());
    match kind {
        Kind::Savepoint => format!("There is no savepoint operation with triggerId={trigger} for job {job}."),
        Kind::Checkpoint => format!("There is no checkpoint operation with triggerId={trigger} for job {job}."),
        Kind::Disposal => format!("There is no savepoint disposal operation with triggerId={trigger}."),
    }
}

fn operation(kind: Kind, result: &Result<Outcome, FailureInfo>) -> Value {
    match (kind, result) {
        (Kind::Checkpoint, Ok(Outcome::Snapshot { id, .. })) => json!({ "checkpointId": id }),
        (_, Ok(Outcome::Snapshot { location, .. })) => json!({ "location": location }),
        (_, Ok(Outcome::Disposed)) => json!({}),
        (Kind::Checkpoint, Err(failure)) => json!({ "failureCause": cause(failure) }),
        (_, Err(failure)) => json!({ "failure-cause": cause(failure) }),
    }
}

fn cause(failure: &FailureInfo) -> Value {
    json!({
        "class": failure.class,
        "stack-trace": failure.stack_trace(),
        "serialized-throwable": serialized_throwable(failure),
    })
}

/// `POST /savepoint-disposal`.
pub(super) async fn dispose(State(state): Rest, bytes: TriggerBody) -> Accepted {
    let body: SavepointDisposalRequestBody =
        serde_json::from_slice(&content(bytes)?).map_err(|_| RestError::bad_body("SavepointDisposalRequest"))?;
    check_path("savepoint-path", Some(body.savepoint_path.as_str()))?;
    let trigger = trigger(None)?;
    if let Some(promise) = state.operations.begin(Key { kind: Kind::Disposal, job: None, trigger }) {
        let operations = state.operations.clone();
        operations.run(async move {
            let result = dispose_unless_in_use(&state, &body.savepoint_path).await;
            promise.keep(result.map(|()| Outcome::Disposed));
        });
    }
    accepted(StatusCode::OK, trigger)
}

/// Deletes a savepoint, or a checkpoint that is not of a job that runs here.
async fn dispose_unless_in_use(state: &RestState, path: &str) -> Result<(), FailureInfo> {
    let found = find(path, &state.configuration).await.map_err(|error| state_failure(&error))?;
    if let Some(job) = running_owner(state, &found).await {
        let message = format!(
            "The checkpoint {} is one of the job {job}, which runs: it may be what a restart begins with, and later \
             checkpoints refer to its files. Cancel the job first, or leave it to the job to delete the checkpoint when newer \
             ones replace it.",
            found.folder
        );
        return Err(FailureInfo::new("java.lang.IllegalStateException", message));
    }
    if let Some(job) = running_claimer(state, &found).await {
        let message = format!(
            "The job {job}, which runs, was started from {} and has claimed it: it may be what a restart begins with. The job \
             deletes it when it does not need it any more.",
            found.folder
        );
        return Err(FailureInfo::new("java.lang.IllegalStateException", message));
    }
    // A checkpoint that a job has claimed has a mark, wherever that job runs.
    dispose_savepoint(path, &state.configuration).await.map_err(|error| state_failure(&error))
}

/// The job that runs here and has a checkpoint in its folder; none: also of a copy elsewhere, which names files of others.
async fn running_owner(state: &RestState, found: &Found) -> Option<JobId> {
    if found.metadata.kind() == proto::SnapshotKind::Savepoint {
        return None;
    }
    let id = JobId::from_bytes(&found.metadata.job_id)?;
    let job = state.dispatcher.describe(id).await.filter(|job| !job.status.is_terminal())?;
    let pairs = job.graph.graph.configuration.iter().map(|(key, value)| (key.clone(), value.clone()));
    let configuration = state.configuration.merged(pairs);
    let storage = CheckpointStorage::new(&configuration, id).ok()?;
    let folder = Location::resolve(storage.folder()?, &configuration).ok()?.without_entropy();
    let (above, _) = found.folder.rsplit_once('/')?;
    (place(above) == place(folder.uri())).then_some(id)
}

/// The job that runs here and has claimed the savepoint, which has no mark as a checkpoint has. As long as the savepoint is
/// there, the job has not replaced it.
async fn running_claimer(state: &RestState, found: &Found) -> Option<JobId> {
    if found.metadata.kind() != proto::SnapshotKind::Savepoint {
        return None;
    }
    let claims = |restore: &RestoreSettings| {
        let pointer = Location::resolve(&restore.path, &state.configuration);
        restore.claim_mode == ClaimMode::Claim
            && pointer
                .is_ok_and(|pointer| [&found.folder, &found.file].iter().any(|uri| place(uri) == place(pointer.uri())))
    };
    let jobs = state.dispatcher.describe_all().await;
    let claimer = jobs.iter().find(|job| {
        let restore = job.checkpoints.as_ref().and_then(|checkpoints| checkpoints.options.restore.as_ref());
        !job.status.is_terminal() && restore.is_some_and(claims)
    });
    claimer.map(|job| job.job_id)
}

/// A URI without its scheme: one bucket goes by several.
fn place(uri: &str) -> &str {
    uri.split_once(':').map_or(uri, |(_, place)| place)
}
