//! A JobManager's REST API, as far as the clients use it.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiesel_common::config::{ConfigError, Configuration, Host, LOOPBACK, options};
use wiesel_common::id::{JobId, OperatorId};
use wiesel_proto as proto;

mod messages;
mod operations;
mod upload;

pub use messages::{ExecutionResult, JobDetails, JobEnd, JobOverview, JobsOverview};
pub use operations::{Operation, OperationEnd};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered.
    #[error(
        "no JobManager answers at {address} ({reason}); is the cluster running (bin/start-cluster.sh), and do rest.address and rest.port name it?"
    )]
    Unreachable {
        /// `http://host:port`.
        address: String,
        /// What the connection said.
        reason: String,
    },
    /// The JobManager refused.
    #[error("{}", .messages.join("\n"))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        messages: Vec<String>,
    },
    /// An answer that is none of this API.
    #[error(
        "unexpected answer of {address} to {call}: {reason}; is a JobManager's REST endpoint there? rest.address and rest.port (or -m) say where it is"
    )]
    Unexpected {
        /// `http://host:port`.
        address: String,
        /// What was asked.
        call: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// How long it may take to connect to a JobManager.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A client of one JobManager.
#[derive(Clone)]
pub struct RestClient {
    http: reqwest::Client,
    address: String,
}

impl RestClient {
    /// A client of the JobManager at `host:port`.
    pub fn new(host: &str, port: u16) -> Self {
        Self { http: http_client(), address: format!("http://{host}:{port}") }
    }

    /// A client of the same JobManager with connections of its own, for another runtime.
    pub(crate) fn anew(&self) -> Self {
        Self { http: http_client(), address: self.address.clone() }
    }

    /// A client of the JobManager that a configuration names by `rest.address` and `rest.port`.
    pub fn from_configuration(configuration: &Configuration) -> std::result::Result<Self, ConfigError> {
        let host = configuration.get_optional(&options::rest::ADDRESS)?.map(Host::into_string);
        Ok(Self::new(host.as_deref().unwrap_or(LOOPBACK), configuration.get(&options::rest::PORT)?))
    }

    /// `http://host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All jobs.
    pub async fn jobs(&self) -> Result<JobsOverview> {
        self.get("/v1/jobs/overview").await
    }

    /// One job.
    pub async fn job(&self, job: JobId) -> Result<JobDetails> {
        self.get(&format!("/v1/jobs/{job}")).await
    }

    /// The state of one job.
    pub async fn state(&self, job: JobId) -> Result<String> {
        let answer: messages::JobState = self.get(&format!("/v1/jobs/{job}/status")).await?;
        Ok(answer.status)
    }

    /// Whether a job and all its tasks run; tasks that have finished count.
    pub async fn all_tasks_run(&self, job: JobId) -> Result<bool> {
        let answer: Value = self.get(&format!("/v1/jobs/{job}")).await?;
        let count = |vertex: &Value, state: &str| vertex["tasks"][state].as_u64().unwrap_or(0);
        let mut vertices = answer["vertices"].as_array().into_iter().flatten();
        let up = |vertex: &Value| {
            Some(count(vertex, "RUNNING") + count(vertex, "FINISHED")) == vertex["parallelism"].as_u64()
        };
        Ok(answer["state"] == "RUNNING" && vertices.all(up))
    }

    /// Where a job stands, and how it ended.
    pub async fn execution_result(&self, job: JobId) -> Result<ExecutionResult> {
        self.get(&format!("/v1/jobs/{job}/execution-result")).await
    }

    /// Says that the client of a job lives, and until when that is to count (milliseconds since the epoch).
    pub(crate) async fn heartbeat(&self, job: JobId, expires: i64) -> Result<()> {
        let path = format!("/v1/jobs/{job}/clientHeartbeat");
        let request = self.http.patch(self.url(&path)).json(&json!({"expiredTimestamp": expires}));
        self.send::<Value>(&path, request).await.map(drop)
    }

    /// Asks for a job's cancellation.
    pub async fn cancel(&self, job: JobId) -> Result<()> {
        let path = format!("/v1/jobs/{job}?mode=cancel");
        let request = self.http.patch(self.url(&path)).json(&json!({}));
        self.send::<Value>(&path, request).await.map(drop)
    }

    /// Submits a job graph; answers when the JobManager has taken it.
    pub async fn submit(&self, graph: &proto::JobGraph) -> Result<()> {
        let request = json!({"jobGraphFileName": "jobGraph.bin", "jobJarFileNames": [], "jobArtifactFileNames": []});
        let file = Part::bytes(graph.encode_to_vec()).file_name("jobGraph.bin");
        let form = Form::new().text("request", request.to_string()).part("file_0", file);
        self.send_long::<Value>("/v1/jobs", form).await.map(drop)
    }

    /// Uploads a script; returns the id of the artifact.
    pub async fn upload(&self, name: &str, script: String) -> Result<String> {
        let file = Part::bytes(script.into_bytes()).file_name(name.to_owned());
        let form = Form::new().part("jarfile", file);
        let path = "/v1/jars/upload";
        let answer: Value = self.send_long(path, form).await?;
        let file = answer["filename"].as_str().ok_or_else(|| self.unexpected(path, "no `filename`"))?;
        Ok(file.rsplit('/').next().unwrap_or(file).to_owned())
    }

    /// Runs an uploaded script; returns the ids of its jobs.
    pub async fn run(&self, artifact: &str, body: &Value) -> Result<Vec<JobId>> {
        let path = format!("/v1/jars/{artifact}/run");
        let answer: Value = self.send(&path, self.http.post(self.url(&path)).json(body)).await?;
        let ids: Vec<&str> = match answer["jobids"].as_array() {
            Some(ids) => ids.iter().filter_map(Value::as_str).collect(),
            None => answer["jobid"].as_str().into_iter().collect(),
        };
        ids.iter().map(|id| id.parse().map_err(|_| self.unexpected(&path, "a malformed job id"))).collect()
    }

    /// The plan of an uploaded script.
    pub async fn plan(&self, artifact: &str, body: &Value) -> Result<Value> {
        let path = format!("/v1/jars/{artifact}/plan");
        let answer: Value = self.send(&path, self.http.post(self.url(&path)).json(body)).await?;
        Ok(answer["plan"].clone())
    }

    /// Removes an uploaded script.
    pub async fn delete_artifact(&self, artifact: &str) -> Result<()> {
        let path = format!("/v1/jars/{artifact}");
        self.send::<Value>(&path, self.http.delete(self.url(&path))).await.map(drop)
    }

    /// Fetches rows of a SELECT from its collect coordinator.
    pub async fn fetch(
        &self,
        job: JobId,
        operator: OperatorId,
        request: &proto::FetchResultsRequest,
    ) -> Result<proto::FetchResultsResponse> {
        let path = format!("/v1/jobs/{job}/coordinators/{operator}");
        let body = json!({"serializedCoordinationRequest": BASE64.encode(request.encode_to_vec())});
        let answer: Value = self.send(&path, self.http.post(self.url(&path)).json(&body)).await?;
        let text = answer["serializedCoordinationResult"].as_str();
        let bytes = text.and_then(|text| BASE64.decode(text).ok());
        bytes
            .and_then(|bytes| proto::FetchResultsResponse::decode(bytes.as_slice()).ok())
            .ok_or_else(|| self.unexpected(&path, "no `serializedCoordinationResult`"))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(path, self.http.get(self.url(path))).await
    }

    async fn send<T: DeserializeOwned>(&self, call: &str, request: reqwest::RequestBuilder) -> Result<T> {
        let unreachable = |error: reqwest::Error| self.unreachable(root_cause(&error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        self.answer(call, status, &body)
    }

    /// Sends what may be so long that it is refused before it is sent.
    async fn send_long<T: DeserializeOwned>(&self, call: &str, form: Form) -> Result<T> {
        let request = self.http.post(self.url(call)).multipart(form).build();
        let request = request.map_err(|error| self.unreachable(root_cause(&error)))?;
        let answer = upload::send(request, CONNECT_TIMEOUT).await;
        let (status, body) = answer.map_err(|reason| self.unreachable(reason))?;
        self.answer(call, status, &body)
    }

    /// What an answer says.
    fn answer<T: DeserializeOwned>(&self, call: &str, status: StatusCode, body: &[u8]) -> Result<T> {
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|error| self.unexpected(call, &error.to_string()));
        }
        match serde_json::from_slice::<messages::Errors>(body) {
            Ok(messages::Errors { errors }) if !errors.is_empty() => {
                Err(Error::Refused { status: status.as_u16(), messages: errors })
            }
            // A JobManager says why it refuses. Another program may have its port.
            _ => Err(self.unexpected(call, &format!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { address: self.address.clone(), reason }
    }

    fn unexpected(&self, call: &str, reason: &str) -> Error {
        Error::Unexpected { address: self.address.clone(), call: call.to_owned(), reason: reason.to_owned() }
    }
}

fn http_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
    builder.build().unwrap_or_default()
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// What a client says of a server that answers so.
    fn said(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = connection.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(RestClient::new("127.0.0.1", port).jobs());
        server.join().unwrap();
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// "/v1/jobs/overview: HTTP status 404 Not Found".
    #[test]
    fn who_is_no_job_manager_is_told_from_one_that_refuses() {
        for answer in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot found",
            "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
        ] {
            let said = said(answer);
            assert!(
                said.contains("http://127.0.0.1:") && said.contains("is a JobManager's REST endpoint there"),
                "{said}"
            );
        }
        let refused =
            "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{\"errors\":[\"no job\"]}";
        assert_eq!(said(refused), "no job");
    }
}
