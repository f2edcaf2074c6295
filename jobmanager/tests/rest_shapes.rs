//! The JSON of each endpoint beside what Apache Flink answered: the same keys, the same kinds of values.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use serde_json::Value;
use support::{Cluster, TaskManager, failure, shuffle};
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished};

fn captured(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Keys below these are ids, not names.
const MAPS: [&str; 2] = ["accumulator-results", "user-config"];

fn compare(path: &str, flink: &Value, ours: &Value, differences: &mut Vec<String>) {
    match (flink, ours) {
        (Value::Object(_), Value::Object(_)) if MAPS.iter().any(|map| path.ends_with(map)) => {}
        (Value::Object(flink), Value::Object(ours)) => {
            for key in flink.keys().filter(|key| !ours.contains_key(*key)) {
                differences.push(format!("{path}.{key} is missing"));
            }
            for (key, value) in ours {
                match flink.get(key) {
                    Some(expected) => compare(&format!("{path}.{key}"), expected, value, differences),
                    None => differences.push(format!("{path}.{key} is not Flink's")),
                }
            }
        }
        (Value::Array(flink), Value::Array(ours)) => {
            // Elements may differ in optional keys: each of ours is like one of theirs.
            for (i, value) in ours.iter().enumerate() {
                let mut least: Option<Vec<String>> = None;
                for expected in flink {
                    let mut found = Vec::new();
                    compare(&format!("{path}[{i}]"), expected, value, &mut found);
                    if least.as_ref().is_none_or(|known| found.len() < known.len()) {
                        least = Some(found);
                    }
                }
                differences.extend(least.unwrap_or_default());
            }
        }
        (Value::Number(flink), Value::Number(ours)) => {
            if flink.is_f64() != ours.is_f64() {
                differences.push(format!("{path}: {ours} is not the kind of number that {flink} is"));
            }
        }
        // A busy time that Flink does not know.
        (Value::String(text), Value::Number(ours)) if text == "NaN" && ours.is_f64() => {}
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        _ => differences.push(format!("{path}: {ours} instead of {flink}")),
    }
}

async fn check(cluster: &Cluster, path: &str, capture: &str) {
    let mut differences = Vec::new();
    for prefix in ["", "/v1"] {
        let response = cluster.http.get(cluster.rest(&format!("{prefix}{path}"))).body("{}").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json; charset=UTF-8");
        // Flink says `*`, and any page that a user has open may read it.
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        let ours: Value = response.json().await.unwrap();
        compare(capture, &captured(capture), &ours, &mut differences);
    }
    assert!(differences.is_empty(), "GET {path}: {differences:#?}");
}

#[tokio::test]
async fn answers_have_flinks_shape() {
    let cluster = Cluster::start(&[("restart-strategy.type", "none")]).await;
    let mut a = TaskManager::start(&cluster, "a", 4).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let vertex = "02".repeat(16);
    for (path, capture) in [
        ("/overview".to_owned(), "GET_overview"),
        ("/config".into(), "GET_config"),
        ("/datasets".into(), "GET_datasets"),
        ("/jobs".into(), "GET_jobs"),
        ("/jobs/overview".into(), "GET_jobs_overview"),
        (format!("/jobs/{id}"), "GET_jobs_id_running"),
        (format!("/jobs/{id}/status"), "GET_jobs_id_status_running"),
        (format!("/jobs/{id}/plan"), "GET_jobs_id_plan_running"),
        (format!("/jobs/{id}/config"), "GET_jobs_id_config_running"),
        (format!("/jobs/{id}/accumulators"), "GET_jobs_id_accumulators_running"),
        (format!("/jobs/{id}/exceptions"), "GET_jobs_id_exceptions_finished"),
        (format!("/jobs/{id}/execution-result"), "GET_jobs_id_execution-result_running"),
        (format!("/jobs/{id}/vertices/{vertex}"), "GET_jobs_id_vertices_vid1_running"),
        (format!("/jobs/{id}/vertices/{vertex}/subtasktimes"), "GET_jobs_id_vertices_vid1_subtasktimes_running"),
        (format!("/jobs/{id}/vertices/{vertex}/taskmanagers"), "GET_jobs_id_vertices_vid1_taskmanagers_running"),
        (format!("/jobs/{id}/vertices/{vertex}/watermarks"), "GET_jobs_id_vertices_vid1_watermarks_running"),
        (format!("/jobs/{id}/vertices/{vertex}/accumulators"), "GET_jobs_id_vertices_vid1_accumulators_running"),
        ("/taskmanagers".into(), "GET_taskmanagers"),
        ("/taskmanagers/a".into(), "GET_taskmanagers_id"),
        ("/jobmanager/config".into(), "GET_jobmanager_config"),
        ("/jobmanager/environment".into(), "GET_jobmanager_environment"),
        ("/applications/overview".into(), "GET_applications_overview"),
        (format!("/applications/{id}"), "GET_applications_id"),
        ("/jars".into(), "GET_jars"),
    ] {
        check(&cluster, &path, capture).await;
    }
    let (_, job) = cluster.get(&format!("/jobs/{id}")).await;
    assert_eq!(job["vertices"][1]["metrics"]["read-records"], 14, "two subtasks reported seven each");
    assert_eq!(job["plan"]["nodes"][0]["inputs"][0]["ship_strategy"], "HASH");
    assert_eq!(cluster.get("/taskmanagers/a").await.1["assignedTasks"], 4);

    a.report_all(&deployed, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
    check(&cluster, &format!("/jobs/{id}/execution-result"), "GET_jobs_id_execution-result_finished").await;

    let failed = cluster.submit(shuffle(2, 1)).await;
    let deployed = a.next_submit().await;
    a.report(&deployed, 0, Failed, failure("java.lang.IllegalStateException", "boom")).await.unwrap();
    a.report(&deployed, 1, Canceled, None).await.unwrap();
    cluster.await_status(failed, JobStatus::Failed).await;
    check(&cluster, &format!("/jobs/{failed}/exceptions"), "GET_jobs_id_exceptions_failed").await;
    check(&cluster, &format!("/jobs/{failed}/execution-result"), "GET_jobs_id_execution-result_failed").await;
}

#[tokio::test]
async fn errors_are_flinks() {
    let cluster = Cluster::start(&[]).await;
    let zero = "0".repeat(32);
    for (method, path, status, capture) in [
        ("GET", "/nosuch".to_owned(), 404, "ERR_GET_unknown_path"),
        ("GET", "/v2/overview".into(), 404, "ERR_GET_v2_overview"),
        ("POST", "/overview".into(), 404, "ERR_POST_overview"),
        ("GET", "/jobs/xyz".into(), 400, "ERR_GET_jobs_id_badid"),
        ("GET", format!("/jobs/{zero}"), 404, "ERR_GET_jobs_id_unknown"),
        ("PATCH", format!("/jobs/{zero}?mode=foo"), 400, "ERR_PATCH_jobs_id_badmode"),
        ("PATCH", format!("/jobs/{zero}?mode=stop"), 308, "ERR_PATCH_jobs_id_stopmode"),
        ("PATCH", format!("/jobs/{zero}?mode=cancel"), 404, "ERR_PATCH_jobs_id_unknown"),
        ("GET", "/taskmanagers/nosuch".into(), 500, "ERR_GET_taskmanager_unknown"),
        ("GET", format!("/jobs/{zero}/exceptions?maxExceptions=abc"), 400, "ERR_GET_exceptions_bad"),
    ] {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = client.request(method.parse().unwrap(), cluster.rest(&path)).body("{}");
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let ours: Value = response.json().await.unwrap();
        let theirs = captured(capture);
        let lines = |value: &Value| {
            let errors = value["errors"].as_array().unwrap();
            errors
                .iter()
                .map(|text| text.as_str().unwrap().lines().take(2).collect::<Vec<_>>().join("\n"))
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&ours), lines(&theirs), "{method} {path}");
    }
    let head = cluster.http.head(cluster.rest("/overview")).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 404);
}

#[tokio::test]
async fn uploads_that_are_no_sql_are_refused() {
    let cluster = Cluster::start(&[]).await;
    let send = async |name: &'static str, content: &'static [u8]| {
        let part = reqwest::multipart::Part::bytes(content).file_name(name);
        let form = reqwest::multipart::Form::new().part("jarfile", part);
        let response = cluster.http.post(cluster.rest("/v1/jars/upload")).multipart(form).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap().to_string())
    };
    let (status, body) = send("demo.jar", b"PK\x03\x04").await;
    assert_eq!(status, 400);
    assert!(body.contains("Only SQL scripts"), "{body}");
    let (status, body) = send("demo.sql", b"PK\x03\x04\x00\x01").await;
    assert_eq!(status, 400);
    assert!(body.contains("is no SQL script"), "{body}");
    assert_eq!(cluster.get("/jars").await.1["files"], serde_json::json!([]));
    let response = cluster.http.delete(cluster.rest("/jars/nosuch.sql")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
}

#[tokio::test]
async fn there_is_a_page_for_people() {
    let cluster = Cluster::start(&[]).await;
    for (path, kind, content) in [
        ("/", "text/html; charset=UTF-8", concat!("<h1>Wiesel ", env!("CARGO_PKG_VERSION"), "</h1>")),
        ("/index.html", "text/html; charset=UTF-8", "Apache Flink 2.3.0"),
        ("/index.js", "text/javascript; charset=UTF-8", "textContent"),
        ("/index.css", "text/css; charset=UTF-8", "body {"),
    ] {
        let page = cluster.http.get(cluster.rest(path)).send().await.unwrap();
        let head = cluster.http.head(cluster.rest(path)).send().await.unwrap();
        for answer in [&page, &head] {
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-type"], kind);
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
        assert_eq!(head.headers()["content-length"], page.headers()["content-length"]);
        assert_eq!(head.text().await.unwrap(), "");
        let text = page.text().await.unwrap();
        assert!(text.contains(content), "{path}: {text}");
        assert!(!text.contains("{{") && !text.contains("innerHTML"), "{path}");
        // It loads nothing from elsewhere, and runs nothing that its policy would stop.
        for foreign in ["src=\"http", "<link rel=\"stylesheet\" href=\"http", "style=", "onclick="] {
            assert!(!text.contains(foreign), "{path}: {foreign}");
        }
    }
    let response = cluster.http.post(cluster.rest("/")).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(cluster.get("/index.htm").await.0, 404);
}
