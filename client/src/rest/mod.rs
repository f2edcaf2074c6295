//! A JobManager's REST API, as far as the clients use it.
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiesel_common::config::{ConfigError, Configuration, Host, LOOPBACK, format_duration, host_and_port, options};
use wiesel_common::filesystem;
use wiesel_common::id::{JobId, OperatorId};
use wiesel_proto as proto;

use self::leader::Leader;
use self::limits::{Limits, Missing};

mod leader;
mod limits;
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
    /// The connection ended before the whole answer had come.
    #[error(
        "the connection to {address} ended before {call} was answered ({reason}); does the JobManager still run there, and what does its log say?"
    )]
    Broken {
        /// `http://host:port`.
        address: String,
        /// What was asked.
        call: String,
        /// What the connection said.
        reason: String,
    },
    /// Somebody took the call and did not answer.
    #[error(
        "{address} did not answer {call} within {limit}: either the JobManager there hangs, or another program has its port; rest.address and rest.port (or -m) say where it is"
    )]
    Silent {
        /// `http://host:port`.
        address: String,
        /// What was asked.
        call: String,
        /// How long nothing came, and what says so.
        limit: String,
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
        /// Its HTTP status, if that is what is wrong.
        status: Option<u16>,
    },
    /// A call that changes something has no answer that says whether it did.
    #[error("{cause}\n{perhaps}")]
    Open {
        /// Why there is none.
        cause: Box<Error>,
        /// What may have been done, and how to find out.
        perhaps: String,
    },
}

impl Error {
    /// Whether the JobManager may have done what the call asked for.
    fn leaves_open(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Silent { .. } => true,
            // A proxy may have passed it on, unless it says that the call itself is wrong.
            Self::Unexpected { status, .. } => !status.is_some_and(|status| (400..500).contains(&status)),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Open { .. } => false,
        }
    }

    /// The same of a call that changes something. `perhaps`: what may have been done all the same, and how to find out.
    fn or_perhaps(self, perhaps: impl FnOnce() -> String) -> Self {
        if self.leaves_open() { Self::Open { perhaps: perhaps(), cause: Box::new(self) } } else { self }
    }
}

/// How long it may take to connect to a JobManager.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a JobManager may take to answer where `client.timeout` is not known: its default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer it may take to answer what has a script planned: it waits a minute for a thread and is planned for a minute, at
/// most.
const PLANNING: Duration = Duration::from_secs(120);

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A client of one JobManager, or of whichever leads.
#[derive(Clone)]
pub struct RestClient {
    http: reqwest::Client,
    /// `http://host:port`, where it was given.
    address: String,
    /// Where it has to be looked for.
    leader: Option<Arc<Leader>>,
    /// Whether this looks for another one when that is gone; otherwise it goes along.
    looks: bool,
    limits: Limits,
    /// See [`PLANNING`].
    planning: Duration,
}

impl RestClient {
    /// A client of the JobManager at `host:port`. An address of IPv6 may stand in brackets.
    pub fn new(host: &str, port: u16) -> Self {
        let address = format!("http://{}", host_and_port(host, port));
        let limits = Limits::new(TIMEOUT);
        Self { http: http_client(), address, leader: None, looks: true, limits, planning: PLANNING }
    }

    /// A client that waits for answers as long as `client.timeout` says.
    pub fn patient_by(mut self, configuration: &Configuration) -> std::result::Result<Self, ConfigError> {
        self.limits = Limits::new(configuration.get(&options::client::TIMEOUT)?);
        Ok(self)
    }

    /// A client of the same JobManager with connections of its own, for another runtime. Which one leads it knows from this client.
    pub(crate) fn anew(&self) -> Self {
        Self { http: http_client(), looks: false, ..self.clone() }
    }

    /// A client of the JobManager of a configuration: of whichever leads, or, where there is no election, of the one that it names by
    /// `rest.address` and `rest.port`.
    ///
    /// # Errors
    /// A bad value, or a folder of the election that is none.
    pub fn from_configuration(configuration: &Configuration) -> filesystem::Result<Self> {
        let leader = Leader::configured(configuration)?.map(Arc::new);
        Ok(Self { leader, ..Self::at_configured_address(configuration)? })
    }

    /// A client of the JobManager that a configuration names by `rest.address` and `rest.port`.
    pub fn at_configured_address(configuration: &Configuration) -> std::result::Result<Self, ConfigError> {
        let host = configuration.get_optional(&options::rest::ADDRESS)?.map(Host::into_string);
        let client = Self::new(host.as_deref().unwrap_or(LOOPBACK), configuration.get(&options::rest::PORT)?);
        client.patient_by(configuration)
    }

    /// `http://host:port`; of a leader that was not found yet, where that is looked for.
    pub fn address(&self) -> String {
        match &self.leader {
            Some(leader) => leader.known().unwrap_or_else(|| leader.place().to_owned()),
            None => self.address.clone(),
        }
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
        let answer = self.send::<Value>(&path, request).await.map(drop);
        answer.map_err(|error| {
            error.or_perhaps(|| "It may be cancelled all the same: `flink list -a` shows its state.".to_owned())
        })
    }

    /// Submits a job graph; answers when the JobManager has taken it.
    pub async fn submit(&self, graph: &proto::JobGraph) -> Result<()> {
        let request = json!({"jobGraphFileName": "jobGraph.bin", "jobJarFileNames": [], "jobArtifactFileNames": []});
        let file = Part::bytes(graph.encode_to_vec()).file_name("jobGraph.bin");
        let form = Form::new().text("request", request.to_string()).part("file_0", file);
        let answer = self.send_long::<Value>("/v1/jobs", form).await.map(drop);
        answer.map_err(|error| error.or_perhaps(|| perhaps_submitted(graph)))
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

    /// Runs an uploaded script; returns the ids of its jobs. `job`: the id that its only job gets. `wait`: a job ends before the next
    /// one starts, which may take any time.
    pub async fn run(&self, artifact: &str, mut body: Value, job: Option<JobId>, wait: bool) -> Result<Vec<JobId>> {
        body["jobId"] = json!(job.map(|job| job.to_string()));
        let limits = if wait { self.limits.waiting() } else { self.limits.longer(self.planning) };
        let answer = self.run_script(artifact, &body, limits).await;
        answer.map_err(|error| error.or_perhaps(|| perhaps_run(job)))
    }

    async fn run_script(&self, artifact: &str, body: &Value, limits: Limits) -> Result<Vec<JobId>> {
        let path = format!("/v1/jars/{artifact}/run");
        let request = self.http.post(self.url(&path)).json(body);
        let answer: Value = self.send_within(limits, &path, request).await?;
        let ids: Vec<&str> = match answer["jobids"].as_array() {
            Some(ids) => ids.iter().filter_map(Value::as_str).collect(),
            None => answer["jobid"].as_str().into_iter().collect(),
        };
        ids.iter().map(|id| id.parse().map_err(|_| self.unexpected(&path, "a malformed job id"))).collect()
    }

    /// The plan of an uploaded script, which takes as long as it takes to make it.
    pub async fn plan(&self, artifact: &str, body: &Value) -> Result<Value> {
        let path = format!("/v1/jars/{artifact}/plan");
        let request = self.http.post(self.url(&path)).json(body);
        let answer: Value = self.send_within(self.limits.longer(self.planning), &path, request).await?;
        Ok(answer["plan"].clone())
    }

    /// What the JobManager's configuration has under a key.
    pub(crate) async fn configured(&self, key: &str) -> Result<Option<String>> {
        let answer: Value = self.get("/v1/jobmanager/config").await?;
        let mut pairs = answer.as_array().into_iter().flatten();
        let pair = pairs.find(|pair| pair["key"] == key);
        Ok(pair.and_then(|pair| pair["value"].as_str()).map(str::to_owned))
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
        let limits = self.limits.longer(Duration::from_millis(request.max_wait));
        // Rows are told by their offset: to ask for them again loses none.
        let request = self.http.post(self.url(&path)).json(&body);
        let answer: Value = self.send_again(limits, &path, request, true).await?;
        let text = answer["serializedCoordinationResult"].as_str();
        let bytes = text.and_then(|text| BASE64.decode(text).ok());
        bytes
            .and_then(|bytes| proto::FetchResultsResponse::decode(bytes.as_slice()).ok())
            .ok_or_else(|| self.unexpected(&path, "no `serializedCoordinationResult`"))
    }

    fn url(&self, path: &str) -> String {
        match &self.leader {
            Some(leader) => format!("{}{path}", leader.known().as_deref().unwrap_or(leader::ANYBODY)),
            None => format!("{}{path}", self.address),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send_again(self.limits, path, self.http.get(self.url(path)), true).await
    }

    async fn send<T: DeserializeOwned>(&self, call: &str, request: reqwest::RequestBuilder) -> Result<T> {
        self.send_within(self.limits, call, request).await
    }

    async fn send_within<T: DeserializeOwned>(
        &self,
        limits: Limits,
        call: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T> {
        self.send_again(limits, call, request, false).await
    }

    /// `repeats`: the call may be made twice.
    async fn send_again<T: DeserializeOwned>(
        &self,
        limits: Limits,
        call: &str,
        request: reqwest::RequestBuilder,
        repeats: bool,
    ) -> Result<T> {
        let answer = self.exchange(limits, request, repeats).await;
        let (status, body) = answer.map_err(|missing| self.missing(call, missing))?;
        self.answer(call, status, &body)
    }

    async fn exchange(
        &self,
        limits: Limits,
        request: reqwest::RequestBuilder,
        repeats: bool,
    ) -> std::result::Result<Answer, Missing> {
        match self.leader.as_ref().filter(|_| self.looks) {
            Some(leader) => leader.send(&self.http, request.build()?, limits, repeats).await,
            None => exchange(request.send(), limits).await,
        }
    }

    /// Sends what may be so long that it is refused before it is sent.
    async fn send_long<T: DeserializeOwned>(&self, call: &str, form: Form) -> Result<T> {
        if self.leader.is_some() {
            // It cannot be sent twice: who leads, and answers, is found out before.
            self.get::<Value>("/v1/config").await?;
        }
        let request = self.http.post(self.url(call)).multipart(form).build();
        let request = request.map_err(|error| self.missing(call, error.into()))?;
        let answer = upload::send(request, CONNECT_TIMEOUT, self.limits).await;
        let (status, body) = answer.map_err(|missing| self.missing(call, missing))?;
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
            _ => Err(Error::Unexpected {
                address: self.address(),
                call: call.to_owned(),
                reason: format!("HTTP status {status}"),
                status: Some(status.as_u16()),
            }),
        }
    }

    fn missing(&self, call: &str, missing: Missing) -> Error {
        let address = self.address();
        match missing {
            Missing::Unreachable(reason) => Error::Unreachable { address, reason },
            Missing::Broken(reason) => Error::Broken { address, call: call.to_owned(), reason },
            Missing::Silent(limit) => Error::Silent { address, call: call.to_owned(), limit: self.said(limit) },
            Missing::TooLong(limit) => self.unexpected(call, &format!("it has more than {limit} bytes")),
        }
    }

    /// A limit with what says so.
    fn said(&self, limit: Duration) -> String {
        let more = limit.saturating_sub(self.limits.silence.unwrap_or(limit));
        let more = if more.is_zero() { String::new() } else { format!(" and {} more", format_duration(more)) };
        format!("{} (client.timeout{more})", format_duration(limit))
    }

    fn unexpected(&self, call: &str, reason: &str) -> Error {
        let (address, call, reason) = (self.address(), call.to_owned(), reason.to_owned());
        Error::Unexpected { address, call, reason, status: None }
    }
}

/// What may have become of a job graph whose submission has no answer.
fn perhaps_submitted(graph: &proto::JobGraph) -> String {
    match JobId::from_bytes(&graph.job_id) {
        Some(job) => perhaps_job(job),
        None => "The job may have been submitted all the same: `flink list -a` shows whether it was.".to_owned(),
    }
}

/// The same of a script. `job`: its only job.
pub(crate) fn perhaps_run(job: Option<JobId>) -> String {
    job.map_or_else(
        || {
            "Jobs of the script may have been submitted all the same: `flink list -a` shows them, by the name that pipeline.name gives \
             them or else by the tables that they write to, and `flink cancel` ends one."
                .to_owned()
        },
        perhaps_job,
    )
}

fn perhaps_job(job: JobId) -> String {
    format!(
        "The job {job} may have been submitted all the same: `flink list -a` shows whether it was, and `flink cancel {job}` ends it."
    )
}

/// The status and the body of an answer.
type Answer = (StatusCode, Vec<u8>);

/// The answer to a call, or why there is none.
async fn exchange(
    call: impl Future<Output = reqwest::Result<reqwest::Response>>,
    limits: Limits,
) -> std::result::Result<Answer, Missing> {
    let mut response = limits.next(call).await??;
    let mut body = Vec::new();
    while let Some(part) = limits.next(response.chunk()).await?? {
        limits.add(&mut body, &part)?;
    }
    Ok((response.status(), body))
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
        said_of(answer, async |client| client.jobs().await.map(drop))
    }

    /// What a client says to a call that a server answers so.
    fn said_of(answer: &'static str, call: impl AsyncFnOnce(RestClient) -> Result<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                let read = connection.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(call(RestClient::new("127.0.0.1", port)));
        server.join().unwrap();
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// What the calls of a client with these limits say of a server that answers each connection so, for ever if the answer is to
    /// be repeated, and then says nothing more. One submits, the other asks.
    fn said_within(limits: Limits, answer: &'static [u8], repeated: bool) -> [Error; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut connection, _) = listener.accept().unwrap();
                let asked = connection.read(&mut [0; 1024]).is_ok_and(|read| read > 0);
                while asked && connection.write_all(answer).is_ok() && repeated {}
                // Until the client has gone.
                let _ = std::io::copy(&mut connection, &mut std::io::sink());
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(async {
            let client = RestClient { limits, ..RestClient::new("127.0.0.1", port) };
            let graph = proto::JobGraph { job_id: vec![7; 16].into(), ..Default::default() };
            let submitted = client.submit(&graph).await.unwrap_err();
            [submitted, client.jobs().await.unwrap_err()]
        });
        // With it go the connections that it keeps.
        drop(runtime);
        server.join().unwrap();
        said
    }

    /// Before, a client took gigabytes until its memory was full.
    #[test]
    fn an_answer_without_end_is_refused() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = b"10\r\n0123456789abcdef\r\n".repeat(100);
        let answer: &'static [u8] = [head.as_slice(), &chunk].concat().leak();
        for said in said_within(Limits { bytes: 1000, silence: None }, answer, false) {
            let said = said.to_string();
            assert!(said.contains("http://127.0.0.1:") && said.contains("/v1/jobs"), "{said}");
            assert!(said.contains("it has more than 1000 bytes"), "{said}");
        }
    }

    /// Before, a client waited for ever, without a word; then it gave up a submission as if nothing had become of it.
    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let patience = Limits::new(Duration::from_millis(20));
        for (answer, repeated) in [
            (b"".as_slice(), false),
            (b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".as_slice(), false),
        ] {
            let [submitted, asked] = said_within(patience, answer, repeated);
            assert!(matches!(submitted, Error::Open { .. }), "{submitted}");
            assert!(matches!(asked, Error::Silent { .. }), "{asked}");
            let [submitted, asked] = [submitted.to_string(), asked.to_string()];
            for said in [&submitted, &asked] {
                assert!(said.contains("/v1/jobs") && said.contains("client.timeout"), "{said}");
            }
            let job = "07".repeat(16);
            let perhaps = format!("The job {job} may have been submitted all the same: `flink list -a`");
            assert!(submitted.contains(&perhaps) && !asked.contains("all the same"), "{submitted} {asked}");
        }
    }

    /// Before, they said that nobody answers, or that a JobManager refuses, and nothing of what may have been done.
    #[test]
    fn a_call_without_an_answer_may_have_done_what_it_asked_for() {
        const PAGE: &str = "Content-Length: 6\r\nConnection: close\r\n\r\n<html>";
        const JOB: JobId = JobId([7; 16]);
        async fn run(client: RestClient) -> Result<()> {
            client.run("x.sql", json!({}), None, false).await.map(drop)
        }
        async fn cancel(client: RestClient) -> Result<()> {
            client.cancel(JOB).await
        }
        async fn stop(client: RestClient) -> Result<()> {
            client.trigger_stop(JOB, None, false, "NATIVE").await.map(drop)
        }
        let bad_gateway: &'static str = format!("HTTP/1.1 504 Gateway Timeout\r\n{PAGE}").leak();
        let not_found: &'static str = format!("HTTP/1.1 404 Not Found\r\n{PAGE}").leak();
        for (answer, open) in [("", true), (bad_gateway, true), (not_found, false)] {
            for (said, perhaps) in [
                (said_of(answer, run), "Jobs of the script may have been submitted all the same: `flink list -a`"),
                (said_of(answer, cancel), "It may be cancelled all the same"),
                (said_of(answer, stop), "It may be under way all the same"),
            ] {
                assert_eq!(said.contains(perhaps), open, "{said}");
                assert!(said.contains("http://127.0.0.1:"), "{said}");
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nobody = runtime.block_on(run(RestClient::new("127.0.0.1", free))).unwrap_err();
        assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
    }

    /// Before, both waited for ever, and the one that submits did not know its job.
    #[test]
    fn a_script_without_an_answer_is_given_up_after_the_time_that_it_may_take() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (patience, planning) = (Duration::from_millis(20), Duration::from_millis(30));
        let client = RestClient { limits: Limits::new(patience), planning, ..RestClient::new("127.0.0.1", port) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // The system takes the connections, and nobody reads from them.
        let (ran, planned) = runtime.block_on(async {
            let ran = client.run("x.sql", json!({}), Some(JobId([7; 16])), false).await.unwrap_err();
            (ran, client.plan("x.sql", &json!({})).await.unwrap_err())
        });
        assert!(matches!(ran, Error::Open { .. }) && matches!(planned, Error::Silent { .. }), "{ran} {planned}");
        let (ran, planned) = (ran.to_string(), planned.to_string());
        for said in [&ran, &planned] {
            assert!(said.contains("within 50 ms (client.timeout and 30 ms more)"), "{said}");
        }
        let perhaps = format!("The job {} may have been submitted all the same", "07".repeat(16));
        assert!(ran.contains(&perhaps) && !planned.contains("all the same"), "{ran} {planned}");
    }

    #[test]
    fn some_calls_wait_longer() {
        let limits = Limits::new(TIMEOUT);
        assert_eq!(limits.longer(Duration::from_secs(5)).silence, Some(Duration::from_secs(65)));
        assert_eq!(limits.longer(Duration::MAX).silence, Some(Duration::MAX));
        assert_eq!(limits.waiting().silence, None);
        let pairs = [("client.timeout".to_owned(), "7 s".to_owned())];
        let client = RestClient::from_configuration(&pairs.into_iter().collect()).unwrap();
        assert_eq!(client.limits.silence, Some(Duration::from_secs(7)));
        assert_eq!(client.anew().limits.silence, Some(Duration::from_secs(7)));
        assert_eq!(Configuration::default().get(&options::client::TIMEOUT), Ok(TIMEOUT));
    }

    /// "/v1/jobs/overview: HTTP status 404 Not Found".
    #[test]
    fn a_peer_that_is_no_job_manager_is_told_from_one_that_refuses() {
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
