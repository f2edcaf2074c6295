//! Artifacts: SQL scripts that the cluster keeps, plans and runs. Flink's paths speak of jars.
use std::collections::{BTreeMap, HashMap};
use std::path::{Path as FilePath, PathBuf};
use std::time::UNIX_EPOCH;

use axum::Extension;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wiesel_common::config::host_and_port;
use wiesel_common::config::options::job;
use wiesel_common::id::JobId;
use wiesel_common::input::{Bound, read_file};
use wiesel_common::quote::quote;
use wiesel_common::text::without_byte_order_mark;
use wiesel_expressions::expression::Zone;
use wiesel_sql::MAX_UPLOAD_BYTES;
use wiesel_sql::session::Session;

use super::error::RestError;
use super::limits::{BodyLimit, TriggerBody, content};
use super::peers::Peer;
use super::plan::plan_of;
use super::scalars::scalar;
use super::submit::{Part, parts, refused};
use super::{Answer, Rest, RestState, json as answer};
use crate::application::restore_keys;
use crate::application::script::{self, PlannedJob, only_job, some_jobs};
use crate::application::submission::{Submission, SubmissionError};

/// What the file of one may have.
const MAX_FILE: Bound =
    Bound { bytes: MAX_UPLOAD_BYTES, advice: "it is not what was uploaded; upload the script again" };
/// The longest name of a script, in bytes: with the hash before it, it is the name of a file.
const MAX_NAME_BYTES: usize = 150;

fn enabled(state: &RestState) -> Result<(), RestError> {
    if state.options.submit {
        return Ok(());
    }
    Err(RestError::handler(StatusCode::NOT_FOUND, "Uploads are disabled: web.submit.enable is false."))
}

/// `GET /jars`.
pub(super) async fn list(State(state): Rest) -> Answer {
    enabled(&state)?;
    let folder = state.options.upload_dir.clone();
    let mut files = blocking(move || Ok(artifacts(&folder))).await?;
    files.sort_by_key(|file| std::cmp::Reverse(file.uploaded));
    let files: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "id": file.id,
                "name": file.name,
                "uploaded": file.uploaded,
                "entry": [{ "name": file.name, "description": null }],
            })
        })
        .collect();
    let address = format!("http://{}", host_and_port(&state.options.address, state.bound.port()));
    answer(json!({ "address": address, "files": files }))
}

struct Artifact {
    id: String,
    name: String,
    uploaded: u64,
}

fn artifacts(folder: &FilePath) -> Vec<Artifact> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().into_string().ok()?;
            let (_, name) = id.split_once('_').filter(|_| id.ends_with(".sql"))?;
            let name = name.to_owned();
            let modified = entry.metadata().ok()?.modified().ok()?;
            let uploaded = modified.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64;
            Some(Artifact { name, id, uploaded })
        })
        .collect()
}

/// `POST /jars/upload`.
pub(super) async fn upload(
    State(state): Rest,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    multipart: Multipart,
) -> Answer {
    enabled(&state)?;
    let limit = BodyLimit::of_upload(&headers, state.options.max_content_length);
    let parts = parts(multipart, limit).await?;
    let folder = state.options.upload_dir.clone();
    let [part] = &parts[..] else {
        return Err(RestError::bad_request(format!("Exactly 1 file must be sent, received {}.", parts.len())));
    };
    let (name, text) = script_of(part).map_err(RestError::bad_request)?;
    let planned = state.planning.run(peer, move || {
        script::check(&name, &text).map_err(RestError::bad_request)?;
        store(&folder, &name, text.as_bytes())
    });
    let path = planned.await?;
    answer(json!({ "filename": path.display().to_string(), "status": "success" }))
}

/// The script in an upload, or why it is none.
fn script_of(part: &Part) -> Result<(String, String), String> {
    let name = part.file_name.as_deref().unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() {
        return Err("The upload has no file name.".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("The upload's file name has {} bytes: it may have at most {MAX_NAME_BYTES}.", name.len()));
    }
    if !name.to_lowercase().ends_with(".sql") {
        return Err(format!(
            "Only SQL scripts (*.sql) can be run here, `{name}` is none: this cluster has no JVM for jars."
        ));
    }
    let name = name.replace(|c: char| c.is_control(), "_");
    if part.content.len() > MAX_UPLOAD_BYTES {
        return Err(format!(
            "`{name}` has {} bytes: a script may have at most {MAX_UPLOAD_BYTES}. Split it, or read rows that it contains from a \
             file.",
            part.content.len()
        ));
    }
    match std::str::from_utf8(&part.content) {
        Ok(text) if !text.contains('\0') => Ok((name, without_byte_order_mark(text).to_owned())),
        _ => Err(format!("`{name}` is no SQL script: it is not text in UTF-8.")),
    }
}

fn hash_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps a script, at once or not at all. Its id names its content by hash, and this upload: a client that uploads the same
/// script again and removes it does not take it from others.
fn store(folder: &FilePath, name: &str, content: &[u8]) -> Result<PathBuf, RestError> {
    let upload = wiesel_common::random::uuid();
    let path = folder.join(format!("{}-{}_{name}", hash_of(content), &upload.simple().to_string()[..12]));
    let part = folder.join(format!(".{upload}"));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&part, content))
        .and_then(|()| std::fs::rename(&part, &path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&part);
        RestError::internal(format!("java.io.IOException: cannot write {}: {error}", path.display()))
    })?;
    Ok(path)
}

/// The text of an artifact, verified.
fn load(path: &FilePath, id: &str) -> Result<String, RestError> {
    let failed = |reason: String| RestError::internal(format!("java.io.IOException: {}: {reason}", path.display()));
    let bytes = read_file(path, &MAX_FILE).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| failed(format!("cannot be read: {error}")))?;
    if !id.starts_with(&hash_of(text.as_bytes())) {
        return Err(failed("the content is not what was uploaded; upload the script again".into()));
    }
    Ok(text)
}

/// The file of an artifact; none: there is no such one. Only what [`list`] shows is found.
fn find(folder: &FilePath, id: &str) -> Option<PathBuf> {
    artifacts(folder).into_iter().find(|artifact| artifact.id == id).map(|artifact| folder.join(artifact.id))
}

/// `DELETE /jars/:id`.
pub(super) async fn remove(State(state): Rest, Path(id): Path<String>) -> Answer {
    enabled(&state)?;
    let folder = state.options.upload_dir.clone();
    blocking(move || {
        let missing = || RestError::bad_request(format!("File {} does not exist in {}.", quote(&id), folder.display()));
        let path = find(&folder, &id).ok_or_else(missing)?;
        std::fs::remove_file(&path).map_err(|error| {
            RestError::internal(format!("java.io.IOException: cannot delete {}: {error}", path.display()))
        })
    })
    .await?;
    answer(json!({}))
}

/// What a client may say with `run` and `plan`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunRequest {
    #[serde(default, deserialize_with = "scalar")]
    parallelism: Option<u32>,
    job_id: Option<String>,
    flink_configuration: Option<BTreeMap<String, Value>>,
    savepoint_path: Option<String>,
    #[serde(default, deserialize_with = "scalar")]
    allow_non_restored_state: Option<bool>,
    claim_mode: Option<String>,
    /// What claimMode was called before.
    restore_mode: Option<String>,
    /// The client's time zone, which is the session's where neither the script nor a configuration has one.
    client_time_zone: Option<String>,
    /// What only a Java program has use for.
    entry_class: Option<String>,
    program_args: Option<String>,
    program_args_list: Option<Vec<String>>,
}

impl RunRequest {
    /// `id`: of the artifact that is asked for.
    fn of(id: &str, query: &HashMap<String, String>, body: &[u8]) -> Result<Self, RestError> {
        let mut request = if body.iter().all(u8::is_ascii_whitespace) {
            Self::default()
        } else {
            serde_json::from_slice(body).map_err(|_| RestError::bad_body("JarRunRequestBody"))?
        };
        if let Some(text) = query.get("parallelism") {
            request.parallelism = Some(text.parse().map_err(|_| RestError::bad_query("parallelism", text))?);
        }
        if let Some(text) = query.get("jobId").or_else(|| query.get("jobid")) {
            request.job_id = Some(text.clone());
        }
        if let Some(text) = query.get("savepointPath") {
            request.savepoint_path = Some(text.clone());
        }
        if let Some(text) = query.get("allowNonRestoredState") {
            let allowed = text.parse().map_err(|_| RestError::bad_query("allowNonRestoredState", text))?;
            request.allow_non_restored_state = Some(allowed);
        }
        if let Some(text) = query.get("claimMode").or_else(|| query.get("restoreMode")) {
            request.claim_mode = Some(text.clone());
        }
        request.refuse_what_programs_have(name_of(id), query)?;
        Ok(request)
    }

    /// Refuses an entry class and arguments, as the command line does. Clients send them empty, and as the entry class what `/jars`
    /// calls the script's entry.
    fn refuse_what_programs_have(&self, script: &str, query: &HashMap<String, String>) -> Result<(), RestError> {
        let asked = |key: &'static str| (key, query.get(key).map_or("", String::as_str));
        let list = self.program_args_list.as_ref().map(|list| list.join(" ")).unwrap_or_default();
        let entries = [asked("entry-class"), ("entryClass", self.entry_class.as_deref().unwrap_or_default())];
        let arguments = [
            asked("program-args"),
            asked("programArg"),
            ("programArgs", self.program_args.as_deref().unwrap_or_default()),
            ("programArgsList", list.as_str()),
        ];
        let mut given = entries.into_iter().filter(|(_, value)| *value != script).chain(arguments);
        match given.find(|(_, value)| !value.trim().is_empty()) {
            None => Ok(()),
            Some((key, value)) => Err(RestError::bad_request(format!(
                "'{key}' ({}) is not supported: {} is a SQL script, which has no entry class and no arguments. Leave it out; SET \
                 in the script, or flinkConfiguration, says how its jobs run.",
                quote(value),
                quote(script)
            ))),
        }
    }

    fn job_id(&self) -> Result<Option<JobId>, RestError> {
        let Some(text) = &self.job_id else { return Ok(None) };
        Ok(Some(text.parse().map_err(|_| RestError::bad_query("jobId", text))?))
    }

    /// The time zone where none is set: the client's or, of one that does not say it, this JobManager's.
    fn default_zone(&self) -> Result<Zone, RestError> {
        let Some(name) = &self.client_time_zone else { return Ok(Zone::of_process()) };
        Zone::parse(name)
            .map_err(|why| RestError::bad_request(format!("clientTimeZone: '{}' is no time zone: {why}", quote(name))))
    }

    /// The keys over the cluster's configuration.
    fn overrides(&self) -> BTreeMap<String, String> {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in self.flink_configuration.iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            keys.insert(key.clone(), text);
        }
        if let Some(parallelism) = self.parallelism {
            keys.insert(job::PARALLELISM.key().into(), parallelism.to_string());
        }
        let claim_mode = self.claim_mode.as_deref().or(self.restore_mode.as_deref());
        keys.extend(restore_keys(self.savepoint_path.as_deref(), self.allow_non_restored_state, claim_mode));
        keys
    }
}

/// The name of an artifact's script.
fn name_of(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, name)| name)
}

/// All jobs of an artifact, planned before any is started.
async fn planned(
    state: &RestState,
    peer: Peer,
    id: String,
    request: &RunRequest,
) -> Result<Vec<PlannedJob>, RestError> {
    let folder = state.options.upload_dir.clone();
    let (overrides, default_zone) = (request.overrides(), request.default_zone()?);
    let configuration = state.configuration.merged(overrides.clone());
    let planned = state.planning.run(peer, move || {
        let missing = || {
            RestError::internal(format!(
                "org.apache.flink.runtime.rest.handler.RestHandlerException: Jar file {} does not exist",
                quote(&folder.join(&id).display().to_string())
            ))
        };
        let path = find(&folder, &id).ok_or_else(missing)?;
        let text = load(&path, &id)?;
        let session = Session::in_zone(configuration, default_zone);
        let planned = script::plan(name_of(&id), &text, session);
        planned.and_then(|jobs| some_jobs(name_of(&id), jobs)).map_err(RestError::bad_request)
    });
    let mut jobs = planned.await?;
    for job in &mut jobs {
        for (key, value) in &overrides {
            job.graph.configuration.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if request.savepoint_path.is_some() {
        only_job(&mut jobs, "A savepoint").map_err(RestError::bad_request)?;
    }
    if let Some(id) = request.job_id()? {
        only_job(&mut jobs, "A job id").map_err(RestError::bad_request)?.graph.job_id = id.to_bytes();
    }
    Ok(jobs)
}

/// `GET /jars/:id/plan`.
pub(super) async fn plan_get(
    state: Rest,
    peer: Extension<Peer>,
    id: Path<String>,
    query: Query<HashMap<String, String>>,
) -> Answer {
    plan_post(state, peer, id, query, TriggerBody::empty()).await
}

/// `POST /jars/:id/plan`.
pub(super) async fn plan_post(
    State(state): Rest,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    body: TriggerBody,
) -> Answer {
    enabled(&state)?;
    let request = RunRequest::of(&id, &query, &content(body)?)?;
    let jobs = planned(&state, peer, id, &request).await?;
    let plans: Vec<Value> = jobs
        .iter()
        .map(|job| plan_of(&job.graph, JobId::from_bytes(&job.graph.job_id).unwrap_or(JobId([0; 16]))))
        .collect();
    answer(json!({ "plan": plans[0], "plans": plans }))
}

/// `POST /jars/:id/run`.
pub(super) async fn run(
    State(state): Rest,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    body: TriggerBody,
) -> Answer {
    enabled(&state)?;
    let request = RunRequest::of(&id, &query, &content(body)?)?;
    let jobs = planned(&state, peer, id, &request).await?;
    let mut submission = Submission::new(&state.dispatcher);
    let outcome = submission.run(jobs).await;
    let ids: Vec<String> = submission.ids().iter().map(JobId::to_string).collect();
    outcome.map_err(|error| unfinished(&error).after_jobs(&ids))?;
    answer(json!({ "jobid": ids[0], "applicationId": ids[0], "jobids": ids }))
}

/// Why the jobs of a script were not all submitted.
fn unfinished(error: &SubmissionError) -> RestError {
    match error {
        SubmissionError::Refused(error) => refused(error),
        SubmissionError::NotFound(id) => RestError::job_not_found(*id),
        SubmissionError::Unfinished { .. } => RestError::internal(error),
    }
}

/// Files keep to blocking threads.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, RestError> + Send + 'static,
) -> Result<T, RestError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result,
        Err(error) => Err(RestError::internal(format!("java.lang.RuntimeException: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload_of(name: &str, content: &[u8]) -> Result<(String, String), String> {
        let content = axum::body::Bytes::copy_from_slice(content);
        script_of(&Part { name: "jarfile".into(), file_name: Some(name.into()), content })
    }

    #[test]
    fn only_sql_text_is_taken() {
        assert_eq!(upload_of("a/b.sql", b"SELECT 1;").unwrap().0, "b.sql");
        // Some editors put a byte order mark before a text.
        assert_eq!(upload_of("b.sql", "\u{feff}SELECT 1;".as_bytes()).unwrap().1, "SELECT 1;");
        assert!(upload_of("demo.jar", b"PK\x03\x04").unwrap_err().contains("no JVM"));
        assert!(upload_of("demo.sql", b"PK\x03\x04\x00").unwrap_err().contains("not text"));
        assert!(upload_of("demo.sql", &[0xff, 0xfe]).unwrap_err().contains("not text"));
        assert!(upload_of("", b"SELECT 1;").unwrap_err().contains("no file name"));
    }

    #[test]
    fn a_script_has_a_size() {
        let refused = upload_of("a.sql", " ".repeat(MAX_UPLOAD_BYTES + 1).as_bytes()).unwrap_err();
        assert!(refused.contains("2097153 bytes") && refused.contains("at most 2097152"), "{refused}");
        assert!(upload_of("a.sql", " ".repeat(MAX_UPLOAD_BYTES).as_bytes()).is_ok());
    }

    #[test]
    fn artifacts_are_kept_apart_and_found_by_id_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path(), "a.sql", b"SELECT 1;").unwrap();
        let second = store(folder.path(), "a.sql", b"SELECT 1;").unwrap();
        assert_ne!(first, second, "two clients may upload the same script");
        let id = first.file_name().unwrap().to_str().unwrap();
        assert_eq!(find(folder.path(), id), Some(first.clone()));
        assert_eq!(find(folder.path(), "../a.sql"), None);
        assert_eq!(artifacts(folder.path()).len(), 2);
        std::fs::remove_file(&second).unwrap();
        assert_eq!(load(&first, id).unwrap(), "SELECT 1;");
        std::fs::write(&first, "SELECT 2;").unwrap();
        assert!(load(&first, id).is_err());
        // Before, whatever lay there was read whole.
        std::fs::write(&first, " ".repeat(MAX_UPLOAD_BYTES + 1)).unwrap();
        let refused = format!("{:?}", load(&first, id).unwrap_err());
        assert!(refused.contains("2097153 bytes, of at most 2097152"), "{refused}");
    }

    #[test]
    fn keys_come_from_query_and_body() {
        let query = HashMap::from([("parallelism".to_owned(), "3".to_owned())]);
        let body = br#"{"parallelism": null, "programArgs": null, "flinkConfiguration": {"a": "b", "n": 1}}"#;
        let overrides = RunRequest::of("0_a.sql", &query, body).unwrap().overrides();
        let expected = [("a", "b"), ("n", "1"), ("parallelism.default", "3")];
        assert!(overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected));
        assert!(RunRequest::of("0_a.sql", &HashMap::new(), b"[").is_err());
        assert!(RunRequest::of("0_a.sql", &HashMap::from([("parallelism".into(), "x".into())]), b"").is_err());
    }

    /// Before, the whole body was refused.
    #[test]
    fn numbers_and_truth_values_may_be_texts() {
        let none = HashMap::new();
        let body = br#"{"entryClass": null, "parallelism": "3", "savepointPath": "", "allowNonRestoredState": "true"}"#;
        let overrides = RunRequest::of("0_a.sql", &none, body).unwrap().overrides();
        let ignored = "execution.state-recovery.ignore-unclaimed-state";
        let expected = [(ignored, "true"), ("parallelism.default", "3")];
        assert!(overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected), "{overrides:?}");
        let blank = br#"{"parallelism": "", "allowNonRestoredState": " "}"#;
        assert!(RunRequest::of("0_a.sql", &none, blank).unwrap().overrides().is_empty());
        for wrong in [r#""x""#, r#""-1""#, "-1", "1.5", "4294967296", "true", "[1]"] {
            let body = format!("{{\"parallelism\": {wrong}}}");
            assert!(RunRequest::of("0_a.sql", &none, body.as_bytes()).is_err(), "{wrong}");
        }
        assert!(RunRequest::of("0_a.sql", &none, br#"{"allowNonRestoredState": "perhaps"}"#).is_err());
    }

    /// Before, they were taken and had no effect. The command line refuses them.
    #[test]
    fn an_entry_class_and_arguments_are_refused_unless_they_are_empty() {
        let asked = |query: &[(&str, &str)], body: &str| {
            let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            RunRequest::of("0_a.sql", &query, body.as_bytes()).map(|_| ()).map_err(|error| format!("{error:?}"))
        };
        for key in ["entry-class", "program-args", "programArg"] {
            let refused = asked(&[(key, "org.Main")], "").unwrap_err();
            assert!(
                refused.contains(&format!("'{key}' (org.Main) is not supported: a.sql is a SQL script")),
                "{refused}"
            );
            assert_eq!(asked(&[(key, "")], "{}"), Ok(()));
        }
        for (key, value) in [("entryClass", "\"x\""), ("programArgs", "\"x\""), ("programArgsList", "[\"\", \"x\"]")] {
            let refused = asked(&[], &format!("{{\"{key}\": {value}}}")).unwrap_err();
            assert!(refused.contains(&format!("'{key}' (")), "{refused}");
            assert_eq!(asked(&[], &format!("{{\"{key}\": null}}")), Ok(()));
        }
        assert_eq!(asked(&[], r#"{"entryClass": "", "programArgs": " ", "programArgsList": []}"#), Ok(()));
        // The dashboard fills in what the list of artifacts has.
        assert_eq!(asked(&[("entry-class", "a.sql")], r#"{"entryClass": "a.sql"}"#), Ok(()));
    }

    /// Before, a script was planned in the JobManager's time zone, whichever client had it run.
    #[test]
    fn a_client_says_in_which_time_zone_its_script_is_planned() {
        let zone = |body: &str| RunRequest::of("0_a.sql", &HashMap::new(), body.as_bytes()).unwrap().default_zone();
        let tokyo = Zone::parse("Asia/Tokyo").unwrap();
        assert_eq!(zone(r#"{"clientTimeZone": "Asia/Tokyo"}"#).unwrap(), tokyo);
        assert_eq!(zone("{}").unwrap(), Zone::of_process());
        for none in ["Mars", "default"] {
            assert!(zone(&json!({ "clientTimeZone": none }).to_string()).is_err(), "{none}");
        }
    }
}
