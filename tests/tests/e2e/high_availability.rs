//! JobManagers die, stand still and follow each other, while jobs whose output is compared exactly go on.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::http::{self, Answer};
use wiesel_tests::s3::S3Server;
use wiesel_tests::store::Place;
use wiesel_tests::{Cluster, ClusterBuilder, eventually, process};

const LIMIT: Duration = Duration::from_secs(120);
/// The lease, and what a loaded machine takes to start what is behind it.
const SUCCESSION: Duration = Duration::from_secs(40);
/// How many seconds jobs read for each change of the leader.
const SECONDS: u64 = 45;
/// Of the job that aggregates, and of the one that hands on rows as they are.
const AGGREGATED: u64 = 2_500;
const HANDED_ON: u64 = 2_000;

/// The job that aggregates reads so much.
fn size(changes: u64) -> Size {
    Size { rows: AGGREGATED * SECONDS * changes, per_second: AGGREGATED }
}

/// Eight slots, often a checkpoint, and no restart strategy: a task that fails ends its job.
fn builder(masters: usize, checkpoints: &Place) -> ClusterBuilder {
    Cluster::builder()
        .masters(masters)
        .task_managers(2)
        .slots(4)
        .set("restart-strategy.type", "none")
        .set("execution.checkpointing.interval", "500 ms")
        .set("execution.checkpointing.dir", &checkpoints.uri)
        .set("heartbeat.interval", "1 s")
        .set("heartbeat.timeout", "15 s")
}

/// A job that writes numbers to files as they come.
struct RowsJob {
    id: String,
    folder: PathBuf,
    rows: u64,
}

impl RowsJob {
    fn submit(cluster: &Cluster, changes: u64) -> Self {
        let rows = HANDED_ON * SECONDS * changes;
        let folder = cluster.dir().join("rows");
        let script = format!(
            "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{HANDED_ON}',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{}');
             CREATE TABLE files (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
               'sink.rolling-policy.rollover-interval' = '2 s', 'sink.rolling-policy.check-interval' = '500 ms');
             INSERT INTO files SELECT n FROM numbers;\n",
            rows - 1,
            folder.display()
        );
        let id = cluster.submit(&script, 2);
        Self { id, folder, rows }
    }

    fn verify(&self, cluster: &Cluster) {
        cluster.wait_for_state(&self.id, "FINISHED", LIMIT);
        let mut found = numbers(&self.folder);
        found.sort_unstable();
        let count = found.len();
        assert!(found.into_iter().eq(0..self.rows), "{count} rows, which are not the {} numbers", self.rows);
    }
}

/// What a reader sees in the files of a folder.
fn numbers(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).expect("a folder of files").flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(['.', '_']));
    let texts = visible.map(|entry| fs::read_to_string(entry.path()).expect("a committed file can be read"));
    texts.flat_map(|text| text.lines().map(|line| line.parse().expect("a row")).collect::<Vec<u64>>()).collect()
}

/// By vertex and subtask, the number of the attempt.
fn attempts(cluster: &Cluster, job: &str) -> BTreeMap<(String, u64), u64> {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().cloned().unwrap_or_default();
    let of_vertex = |vertex: &Value| {
        let id = vertex["id"].as_str().unwrap_or_default().to_owned();
        let subtasks = cluster.get(&format!("/jobs/{job}/vertices/{id}"))["subtasks"].as_array().cloned();
        let number = |subtask: &Value, key: &str| subtask[key].as_u64().expect("a number");
        let subtasks = subtasks.unwrap_or_default();
        subtasks.iter().map(|task| ((id.clone(), number(task, "subtask")), number(task, "attempt"))).collect::<Vec<_>>()
    };
    vertices.iter().flat_map(of_vertex).collect()
}

/// Waits for so many more checkpoints of a job.
fn wait_for_checkpoints(cluster: &Cluster, job: &str, more: u64) {
    let completed = || cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["completed"].as_u64().unwrap_or(0);
    let before = completed();
    eventually("checkpoints", LIMIT, || match completed() {
        enough if enough >= before + more => Ok(()),
        few => Err(format!("{few} after {before}")),
    });
}

/// Jobs run while one leader after the other is killed, each followed by one that stood by.
fn leaders_are_killed(cluster: &Cluster, times: u64) {
    let (windows, rows) = (FilesJob::submit(cluster, size(times)), RowsJob::submit(cluster, times));
    let jobs = [windows.id(), rows.id.as_str()];
    jobs.iter().for_each(|job| cluster.wait_for_tasks(job, LIMIT));
    let ran = jobs.map(|job| attempts(cluster, job));
    assert!(ran.iter().all(|attempts| !attempts.is_empty()), "{ran:?}");
    for time in 1..=times {
        jobs.iter().for_each(|job| wait_for_checkpoints(cluster, job, 2));
        let gone = cluster.kill_leader();
        let took = cluster.follow_leader(Some(gone), SUCCESSION);
        jobs.iter().for_each(|job| cluster.wait_for_tasks(job, LIMIT));
        println!("{time}: REST of the next leader answered after {} ms", took.as_millis());
        assert_eq!(jobs.map(|job| attempts(cluster, job)), ran, "no task was begun again");
        cluster.start_master(gone);
    }
    println!("{}", windows.verify(cluster, LIMIT));
    rows.verify(cluster);
}

#[test]
fn jobs_go_on_as_they_are_when_their_job_manager_is_killed() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(2, &Place::local(checkpoints.path())).start();
    leaders_are_killed(&cluster, 2);
    assert!(cluster.stop().status.success());
}

#[test]
fn jobs_go_on_when_records_and_checkpoints_are_in_s3() {
    let Some(server) = S3Server::start("high_availability::jobs_go_on_when_records_and_checkpoints_are_in_s3") else {
        return;
    };
    let mut builder = builder(2, &server.bucket().join("checkpoints")).records(&server.bucket().join("ha"));
    for (key, value) in S3Server::configuration(server.port()) {
        builder = builder.set(key, value);
    }
    leaders_are_killed(&builder.start(), 1);
}

/// There is no other one: the same is started again, as whatever supervises it would do.
#[test]
fn jobs_wait_for_the_only_job_manager_to_be_started_again() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(1, &Place::local(checkpoints.path())).start();
    let job = FilesJob::submit(&cluster, size(2));
    cluster.wait_for_tasks(job.id(), LIMIT);
    let ran = attempts(&cluster, job.id());
    wait_for_checkpoints(&cluster, job.id(), 2);
    // It is asked to stop once, and killed once.
    for signal in [Signal::TERM, Signal::KILL] {
        let gone = cluster.leader();
        process::signal(gone.pid, signal);
        eventually("the JobManager is gone", LIMIT, || match process::is_alive(gone.pid) {
            true => Err("it still runs".to_owned()),
            false => Ok(()),
        });
        cluster.start_master(gone);
        let took = cluster.follow_leader(None, SUCCESSION);
        println!("{signal:?}: REST answered after {} ms", took.as_millis());
        cluster.wait_for_tasks(job.id(), LIMIT);
        assert_eq!(attempts(&cluster, job.id()), ran, "no task was begun again");
        wait_for_checkpoints(&cluster, job.id(), 2);
    }
    println!("{}", job.verify(&cluster, LIMIT));
}

/// Runs a script whose only job gets this id.
fn run_as(cluster: &Cluster, id: &str, script: &str) -> Answer {
    let uploaded = http::upload(cluster.port(), "/jars/upload", "job.sql", script.as_bytes()).expect("an answer");
    let name = uploaded.json()["filename"].as_str().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
    let name = name.unwrap_or_else(|| panic!("no script was uploaded: {uploaded:?}"));
    let body = format!("{{\"jobId\":\"{id}\"}}");
    let path = format!("/jars/{name}/run");
    http::request(cluster.port(), "POST", &path, "application/json", body.as_bytes()).expect("an answer")
}

/// The result of a job is the same under the next leader, which does not run it again whoever asks for that; nor one that runs.
#[test]
fn a_job_is_run_once_whoever_leads_and_however_often_it_is_submitted() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(2, &Place::local(checkpoints.path())).start();
    let (ended, running) = ("0a".repeat(16), "0b".repeat(16));
    let script = |name: &str, rate: u32, count: u32| {
        format!(
            "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{}');
             CREATE TABLE files (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
             INSERT INTO files SELECT n FROM numbers;\n",
            count - 1,
            cluster.dir().join(name).display()
        )
    };
    let (short, long) = (script("short", 1_000, 1_000), script("long", 1_000, 30_000));
    for (id, script) in [(&ended, &short), (&running, &long)] {
        let taken = run_as(&cluster, id, script);
        assert_eq!(taken.status, 200, "{taken:?}");
        let again = run_as(&cluster, id, script);
        assert!(again.status == 409 && again.body.contains("already been submitted"), "{again:?}");
    }
    cluster.wait_for_state(&ended, "FINISHED", LIMIT);
    let result = |job: &str| cluster.get(&format!("/jobs/{job}/execution-result"))["job-execution-result"].clone();
    let before = result(&ended);
    let gone = cluster.kill_leader();
    cluster.follow_leader(Some(gone), SUCCESSION);
    let after = result(&ended);
    for key in ["application-status", "name", "start-time", "end-time"] {
        assert!(!after[key].is_null() && after[key] == before[key], "{key}: {before} {after}");
    }
    for (id, script) in [(&ended, &short), (&running, &long)] {
        let again = run_as(&cluster, id, script);
        assert!(again.status == 409 && again.body.contains("already been submitted"), "{again:?}");
    }
    cluster.wait_for_state(&running, "FINISHED", LIMIT);
    for (name, count) in [("short", 1_000), ("long", 30_000)] {
        let mut found = numbers(&cluster.dir().join(name));
        found.sort_unstable();
        assert!(found.iter().copied().eq(0..count), "{name}: {} rows", found.len());
    }
}

/// The JobManager dies when a cancellation is asked for: before it is recorded it was not asked for, and from then on it is done.
#[test]
fn a_cancellation_is_whole_or_was_not_asked_for() {
    for (point, wanted) in [("cancel.before-record", "RUNNING"), ("cancel.after-record", "CANCELED")] {
        let checkpoints = tempfile::tempdir().expect("a temporary folder");
        let cluster = builder(1, &Place::local(checkpoints.path())).fault_points(&format!("{point}=kill@1")).start();
        let job = FilesJob::submit(&cluster, size(1));
        cluster.wait_for_tasks(job.id(), LIMIT);
        let gone = cluster.leader();
        let path = format!("/jobs/{}?mode=cancel", job.id());
        let cut = http::request(cluster.port(), "PATCH", &path, "application/json", b"{}");
        assert!(cut.is_err(), "{point}: {cut:?}");
        cluster.start_master(gone);
        cluster.follow_leader(None, SUCCESSION);
        cluster.wait_for_state(job.id(), wanted, LIMIT);
        if wanted == "CANCELED" {
            cluster.wait_for_free_slots(8);
        } else {
            println!("{point}: {}", job.verify(&cluster, LIMIT));
        }
    }
}

/// A leader stands still until another one leads. When it goes on it ends, and what it might have done is not done.
#[test]
fn a_leader_that_stood_still_ends_and_changes_nothing() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(2, &Place::local(checkpoints.path())).start();
    let (windows, rows) = (FilesJob::submit(&cluster, size(1)), RowsJob::submit(&cluster, 1));
    let jobs = [windows.id(), rows.id.as_str()];
    jobs.iter().for_each(|job| cluster.wait_for_tasks(job, LIMIT));
    let ran = jobs.map(|job| attempts(&cluster, job));
    jobs.iter().for_each(|job| wait_for_checkpoints(&cluster, job, 2));
    let stood_still = cluster.leader();
    process::signal(stood_still.pid, Signal::STOP);
    let took = cluster.follow_leader(Some(stood_still), SUCCESSION);
    println!("REST of the next leader answered after {} ms", took.as_millis());
    jobs.iter().for_each(|job| cluster.wait_for_tasks(job, LIMIT));
    process::signal(stood_still.pid, Signal::CONT);
    eventually("the superseded leader ends", LIMIT, || match process::is_alive(stood_still.pid) {
        true => Err("it still runs".to_owned()),
        false => Ok(()),
    });
    let log = cluster.log_text();
    assert!(log.contains("the JobManager leads no more and ends"), "{log}");
    jobs.iter().for_each(|job| wait_for_checkpoints(&cluster, job, 2));
    assert_eq!(jobs.map(|job| attempts(&cluster, job)), ran, "no task was begun again");
    println!("{}", windows.verify(&cluster, LIMIT));
    rows.verify(&cluster);
}

/// Failed before: the job was left for another JobMaster, which did not come as long as this JobManager led. Its tasks kept their
/// slots, and could not be cancelled.
#[test]
fn a_job_whose_record_is_gone_gives_its_slots_back() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(1, &Place::local(checkpoints.path())).start();
    let job = RowsJob::submit(&cluster, 1);
    cluster.wait_for_tasks(&job.id, LIMIT);
    wait_for_checkpoints(&cluster, &job.id, 1);
    let records = fs::read_dir(cluster.dir().join("ha/tests/records")).expect("the folder of the records").flatten();
    let is_its = |name: &str| name.starts_with(&format!("job.{}.", job.id));
    let record = records
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| is_its(&name.to_string_lossy())));
    fs::rename(record.expect("the record of the job"), cluster.dir().join("record"))
        .expect("a record can be moved away");
    cluster.wait_for_free_slots(8);
    assert_eq!(cluster.state(&job.id), "SUSPENDED");
    let log = cluster.log_text();
    assert!(log.contains("it is gone") && log.contains("start it again with -s"), "{log}");
    // The cluster goes on.
    assert_eq!(cluster.rows("SELECT n FROM (VALUES (1), (2)) AS t (n);", 1), [["1"], ["2"]]);
}

/// Whoever asks one that stands by hears where the leader is; the clients look for it themselves.
#[test]
fn clients_find_the_leader() {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(2, &Place::local(checkpoints.path())).start();
    let standby = cluster.standby();
    let told = http::request(standby.rest, "GET", "/jobs/overview", "application/json", b"").expect("an answer");
    let leader = format!(":{}.", cluster.port());
    assert!(told.status == 503 && told.body.contains("stands by") && told.body.contains(&leader), "{told:?}");
    let job = FilesJob::submit(&cluster, size(1));
    cluster.wait_for_tasks(job.id(), LIMIT);
    // Asked while nobody leads.
    let gone = cluster.kill_leader();
    let listed = cluster.script("flink", &["list", "-a"]);
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains(job.id()), "{listed:?}");
    cluster.follow_leader(Some(gone), SUCCESSION);
    // Whoever names an address means that one.
    let named = cluster.script("flink", &["list", "-m", &format!("localhost:{}", gone.rest)]);
    assert!(!named.status.success(), "{named:?}");
    let rows = cluster.rows("SELECT n FROM (VALUES (1), (2)) AS t (n);", 1);
    assert_eq!(rows, [["1"], ["2"]]);
    println!("{}", job.verify(&cluster, LIMIT));
}
