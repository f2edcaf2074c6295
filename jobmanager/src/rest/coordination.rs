//! `POST /jobs/:jobid/coordinators/:operator`: a client fetches the rows of its SELECT.
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};
use wiesel_common::id::OperatorId;
use wiesel_proto as proto;

use super::error::{RestError, job_id};
use super::limits::{TriggerBody, content};
use super::{Answer, Rest, json as answer};

/// Answers when there are rows, when there will be none, or when the time that the client gave is over.
pub(super) async fn fetch(
    State(state): Rest,
    Path((job, operator)): Path<(String, String)>,
    body: TriggerBody,
) -> Answer {
    let job = job_id(&job)?;
    let operator: OperatorId = operator.parse().map_err(|_| RestError::bad_path("operator", &operator))?;
    let request = request_of(&content(body)?).ok_or_else(|| RestError::bad_body("ClientCoordinationRequestBody"))?;
    let now = state.clock.monotonic_millis();
    let Some(coordinator) = state.collectors.get_for_client(job, operator, now) else {
        return match state.dispatcher.job(job).await {
            None => Err(RestError::job_not_found(job)),
            Some(_) => Err(RestError::coordinator_not_found(operator)),
        };
    };
    let response = coordinator.fetch(&request).await;
    answer(json!({ "serializedCoordinationResult": STANDARD.encode(response.encode_to_vec()) }))
}

fn request_of(body: &[u8]) -> Option<proto::FetchResultsRequest> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let encoded = body.get("serializedCoordinationRequest")?.as_str()?;
    proto::FetchResultsRequest::decode(&STANDARD.decode(encoded).ok()?[..]).ok()
}
