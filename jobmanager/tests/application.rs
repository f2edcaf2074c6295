//! Applications from their start to their end, on a real JobManager without TaskManagers: their jobs wait for slots.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use std::sync::Arc;

use serde_json::json;
use support::{Cluster, until};
use tokio::task::JoinHandle;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_common::time::SystemClock;
use wiesel_jobmanager::application::artifact::Artifact;
use wiesel_jobmanager::application::bootstrap::Application;
use wiesel_jobmanager::application::status::ApplicationStatus::{self, Canceled, Failed, Succeeded, Unknown};
use wiesel_jobmanager::jobmaster::status::JobStatus;

const TABLES: &str = "CREATE TABLE s (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
    CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');
    CREATE TABLE u (a INT) WITH ('connector' = 'blackhole');\n";
const INSERT: &str = "INSERT INTO t SELECT a FROM s;\n";

async fn cluster() -> Cluster {
    Cluster::with_enumerators(&[], Arc::new(wiesel_connectors::factory::enumerator)).await
}

/// Starts an application of such a script.
fn start(
    cluster: &Cluster,
    statements: &str,
    job_id: Option<JobId>,
    keys: &[(&str, &str)],
) -> JoinHandle<ApplicationStatus> {
    let artifact = Artifact { name: "a.sql".into(), text: format!("{TABLES}{statements}") };
    let configuration: Configuration = keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let application = Application::new(artifact, job_id, &configuration, Arc::new(SystemClock)).unwrap();
    tokio::spawn(application.run(cluster.manager.dispatcher().clone()))
}

/// The ids of the jobs once there are so many.
async fn jobs(cluster: &Cluster, count: usize) -> Vec<JobId> {
    until("jobs are submitted", async || {
        let jobs = cluster.manager.dispatcher().describe_all().await;
        (jobs.len() == count).then(|| jobs.iter().map(|job| job.job_id).collect())
    })
    .await
}

#[tokio::test]
async fn a_script_without_jobs_has_finished() {
    let cluster = cluster().await;
    assert_eq!(start(&cluster, "", None, &[]).await.unwrap(), Succeeded);
    assert!(jobs(&cluster, 0).await.is_empty());
}

#[tokio::test]
async fn a_script_that_cannot_be_planned_fails_before_any_job_runs() {
    let cluster = cluster().await;
    let statements = format!("{INSERT}INSERT INTO nowhere SELECT a FROM s;");
    assert_eq!(start(&cluster, &statements, None, &[]).await.unwrap(), Failed);
    assert!(jobs(&cluster, 0).await.is_empty());
}

#[tokio::test]
async fn one_job_that_is_cancelled_takes_the_others_with_it() {
    let cluster = cluster().await;
    let statements = format!(
        "{INSERT}EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT a FROM s; INSERT INTO u SELECT a FROM s; END;"
    );
    let application = start(&cluster, &statements, None, &[]);
    let ids = jobs(&cluster, 2).await;
    assert_eq!(cluster.patch(&format!("/jobs/{}", ids[1])).await.0, 202);
    assert_eq!(application.await.unwrap(), Canceled);
    for id in ids {
        assert_eq!(cluster.job(id).await.status, JobStatus::Canceled);
    }
}

/// The job fails because it waits for slots no longer than it may.
#[tokio::test]
async fn one_job_that_fails_takes_the_others_with_it() {
    let cluster = cluster().await;
    let statements = format!("{INSERT}SET 'slot.request.timeout' = '1 ms';\n{INSERT}");
    assert_eq!(start(&cluster, &statements, None, &[]).await.unwrap(), Failed);
    let jobs = cluster.manager.dispatcher().describe_all().await;
    let mut ends: Vec<JobStatus> = jobs.iter().map(|job| job.status).collect();
    ends.sort_unstable();
    assert_eq!(ends, [JobStatus::Failed, JobStatus::Canceled]);
}

/// As in Flink, where such an application ends when its program has submitted all jobs.
#[tokio::test]
async fn an_application_that_does_not_end_with_its_jobs_ends_once_they_are_submitted() {
    let cluster = cluster().await;
    let key = ("execution.terminate-application-on-any-job-terminated-exceptionally", "false");
    assert_eq!(start(&cluster, INSERT, None, &[key]).await.unwrap(), Succeeded);
    let ids = jobs(&cluster, 1).await;
    assert_eq!(cluster.job(ids[0]).await.status, JobStatus::Canceled);
}

#[tokio::test]
async fn fixed_ids_are_those_of_all_jobs() {
    let cluster = cluster().await;
    let id = JobId([1; 16]);
    let application = start(&cluster, &format!("{INSERT}{INSERT}"), Some(id), &[]);
    let ids = jobs(&cluster, 2).await;
    assert!(ids.contains(&id) && ids.contains(&JobId([1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2])), "{ids:?}");
    cluster.manager.stop_token().cancel();
    assert_eq!(application.await.unwrap(), Unknown);
}

#[tokio::test]
async fn a_savepoint_is_that_of_one_job() {
    let cluster = cluster().await;
    let savepoint = ("execution.state-recovery.path", "/nowhere");
    let application = start(&cluster, &format!("{INSERT}{INSERT}"), None, &[savepoint]);
    assert_eq!(application.await.unwrap(), Failed);
    assert!(jobs(&cluster, 0).await.is_empty());
}

#[tokio::test]
async fn the_failure_of_an_application_may_be_shown_as_that_of_a_job() {
    let cluster = cluster().await;
    let key = ("execution.submit-failed-job-on-application-error", "true");
    let id = JobId([7; 16]);
    assert_eq!(start(&cluster, "no statement;", Some(id), &[key]).await.unwrap(), Failed);
    let (status, job) = cluster.get(&format!("/jobs/{id}")).await;
    assert_eq!((status, &job["name"], &job["state"]), (200, &json!("(application driver)"), &json!("FAILED")));
    let (_, exceptions) = cluster.get(&format!("/jobs/{id}/exceptions")).await;
    let cause = exceptions["exceptionHistory"]["entries"][0]["stacktrace"].as_str().unwrap_or_default();
    assert!(cause.contains("ApplicationExecutionException") && cause.contains("a.sql: "), "{cause}");
    let (_, result) = cluster.get(&format!("/jobs/{id}/execution-result")).await;
    assert_eq!(result["job-execution-result"]["application-status"], "FAILED");
    // Without an id for it Flink refuses the application for asking.
    assert_eq!(start(&cluster, INSERT, None, &[key]).await.unwrap(), Failed);
    assert_eq!(jobs(&cluster, 1).await, [id]);
}
