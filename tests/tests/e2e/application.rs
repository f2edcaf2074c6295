//! Application mode: a cluster that lives as long as the script of its `usrlib`, and whose exit status tells how that ended.
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::cluster::home;
use wiesel_tests::{Cluster, ClusterBuilder, eventually, http, process};

use super::savepoints::wait_for_rows;
use super::sql;

const LIMIT: Duration = Duration::from_secs(60);

/// A JobManager in the foreground, which does not outlive its test.
struct Foreground(Child);

impl Foreground {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The exit status once it has ended.
    fn status(mut self, cluster: &Cluster) -> i32 {
        let status = eventually("the JobManager ends", LIMIT, || match self.0.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        status.code().unwrap_or_else(|| panic!("{status}\n{}", cluster.log_text()))
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster with a `usrlib` of its own, beside a link to the installation's programs.
fn prepare(builder: ClusterBuilder, scripts: &[(&str, &str)]) -> Cluster {
    let cluster = builder.prepare();
    symlink(home().join("lib"), cluster.dir().join("lib")).unwrap();
    fs::create_dir(cluster.dir().join("usrlib")).unwrap();
    fs::create_dir(cluster.dir().join("log")).unwrap();
    for (name, text) in scripts {
        fs::write(cluster.dir().join("usrlib").join(name), text).unwrap();
    }
    cluster
}

fn standalone_job(cluster: &Cluster, action: &str, arguments: &[&str]) -> Command {
    let mut command = cluster.command("bin/standalone-job.sh");
    command.env("FLINK_LIB_DIR", cluster.dir().join("lib")).arg(action).args(arguments);
    command
}

fn start(cluster: &Cluster, arguments: &[&str]) -> Foreground {
    let log = fs::File::options().create(true).append(true).open(cluster.dir().join("log/application.log")).unwrap();
    let mut command = standalone_job(cluster, "start-foreground", arguments);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    Foreground(command.spawn().unwrap())
}

fn start_task_managers(cluster: &Cluster, count: usize) {
    (0..count).for_each(|_| cluster.start_one("taskmanager.sh", |_| {}));
}

/// The id of the only job once it runs with all its tasks.
fn running_job(cluster: &Cluster) -> String {
    let id = eventually("a job", LIMIT, || {
        let answer = http::request(cluster.port(), "GET", "/jobs", "application/json", b"");
        let answer = answer.map_err(|error| format!("{error:#}"))?.json();
        answer["jobs"][0]["id"].as_str().map(str::to_owned).ok_or_else(|| answer.to_string())
    });
    cluster.wait_for_tasks(&id, LIMIT);
    id
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines in the files of a folder, sorted.
fn lines(cluster: &Cluster, folder: &str) -> Vec<String> {
    let files = fs::read_dir(cluster.dir().join(folder)).unwrap().flatten();
    let visible = files.filter(|file| !file.file_name().to_string_lossy().starts_with(['.', '_']));
    let texts = visible.map(|file| fs::read_to_string(file.path()).unwrap());
    let mut lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort();
    lines
}

#[test]
fn an_application_that_has_finished_ends_its_cluster_with_status_0() {
    let cluster = prepare(Cluster::builder(), &[]);
    let table = |name: &str| {
        let path = cluster.dir().join(name);
        format!(
            "CREATE TABLE {name} (n INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');\n",
            path.display()
        )
    };
    let script = format!(
        "{}{}INSERT INTO a VALUES (1), (2);\n\
         EXECUTE STATEMENT SET BEGIN INSERT INTO a VALUES (3); INSERT INTO b VALUES (4); END;\n",
        table("a"),
        table("b")
    );
    fs::write(cluster.dir().join("usrlib/job.sql"), script).unwrap();
    start_task_managers(&cluster, 1);
    assert_eq!(start(&cluster, &[]).status(&cluster), 0);
    assert_eq!(
        (lines(&cluster, "a"), lines(&cluster, "b")),
        (vec!["1".into(), "2".into(), "3".into()], vec!["4".into()])
    );
    assert!(cluster.log_text().contains("Application completed SUCCESSFULLY"), "{}", cluster.log_text());
}

#[test]
fn an_application_of_which_a_job_fails_ends_its_cluster_with_status_1() {
    let script = format!(
        "{}CREATE TABLE few (n INT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '1');\n\
         CREATE TABLE quotients (n INT) WITH ('connector' = 'blackhole');\n\
         INSERT INTO quotients SELECT 1 / (n - 1) FROM few;\n",
        sql::endless_shuffle(100)
    );
    let cluster = prepare(Cluster::builder(), &[("job.sql", &script)]);
    start_task_managers(&cluster, 1);
    assert_eq!(start(&cluster, &[]).status(&cluster), 1);
    let log = cluster.log_text();
    assert!(log.contains("Application FAILED") && log.contains("/ by zero"), "{log}");
}

#[test]
fn an_application_that_is_cancelled_ends_its_cluster_with_status_2() {
    let cluster = prepare(Cluster::builder(), &[("job.sql", &sql::endless_shuffle(100))]);
    start_task_managers(&cluster, 1);
    let job_manager = start(&cluster, &[]);
    let job = running_job(&cluster);
    let overview = cluster.get("/applications/overview");
    let application = &overview["applications"][0];
    assert_eq!((&application["name"], &application["status"]), (&json!("job.sql"), &json!("RUNNING")), "{overview}");
    assert_eq!((&application["jobs"], &application["end-time"]), (&json!({ "RUNNING": 1 }), &json!(-1)), "{overview}");
    let id = application["id"].as_str().unwrap();
    let details = cluster.get(&format!("/applications/{id}"));
    assert_eq!((&details["jobs"][0]["jid"], &details["timestamps"]["FAILED"]), (&json!(job), &json!(0)), "{details}");
    assert_eq!(cluster.request("GET", &format!("/applications/{job}")).status, 404);
    // It takes no others.
    let other = cluster.run(&sql::trivial(), &[]);
    assert!(!other.status.success() && said(&other).contains("the cluster of one application"), "{}", said(&other));
    let cancelled = cluster.script("flink", &["cancel", &job]);
    assert!(cancelled.status.success(), "{}", said(&cancelled));
    assert_eq!(job_manager.status(&cluster), 2);
}

#[test]
fn a_cluster_that_is_ended_before_its_application_does_not_say_that_it_has_finished() {
    let cluster = prepare(Cluster::builder(), &[("job.sql", &sql::endless_shuffle(100))]);
    start_task_managers(&cluster, 1);
    let job_manager = start(&cluster, &[]);
    running_job(&cluster);
    process::signal(job_manager.pid(), Signal::TERM);
    assert_eq!(job_manager.status(&cluster), 143);
    // The same as a daemon.
    let started = standalone_job(&cluster, "start", &[]).output().unwrap();
    assert!(started.status.success() && said(&started).contains("Starting standalonejob daemon"), "{}", said(&started));
    running_job(&cluster);
    let stopped = standalone_job(&cluster, "stop", &[]).output().unwrap();
    assert!(stopped.status.success() && said(&stopped).contains("Stopping standalonejob daemon"), "{}", said(&stopped));
    assert_eq!(cluster.all_pids(), cluster.task_manager_pids());
}

#[test]
fn a_usrlib_without_a_script_or_with_two_is_refused_with_what_to_do() {
    let cluster = prepare(Cluster::builder(), &[]);
    let refused = |action: &str, words: &str| {
        let output = standalone_job(&cluster, action, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{action}: {}", said(&output));
        assert!(said(&output).contains(words), "{action}: {}", said(&output));
    };
    let usrlib = cluster.dir().join("usrlib").display().to_string();
    for action in ["start-foreground", "start"] {
        refused(action, &format!("There is no SQL script (*.sql) in {usrlib}. Put that of the application there"));
    }
    for name in ["b.sql", "a.sql"] {
        fs::write(cluster.dir().join("usrlib").join(name), "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');")
            .unwrap();
    }
    for action in ["start-foreground", "start"] {
        refused(action, &format!("There are 2 SQL scripts in {usrlib} (a.sql, b.sql). Name the one to run with --job"));
    }
    let bad = standalone_job(&cluster, "start-foreground", &["--job-id", "xyz"]).output().unwrap();
    assert!(bad.status.code() == Some(1) && said(&bad).contains("32 hexadecimal digits"), "{}", said(&bad));
    // One that is named runs, and has nothing to wait for.
    assert_eq!(start(&cluster, &["--job", "b.sql"]).status(&cluster), 0);
}

/// The cluster is there until `flink stop`, which asks after the job has ended, knows where the savepoint is.
#[test]
fn an_application_goes_on_from_the_savepoint_that_another_ended_with() {
    let builder = Cluster::builder().task_managers(2).slots(3).set("execution.checkpointing.interval", "1 s");
    let cluster = prepare(builder, &[]);
    let job = FilesJob::of(&cluster, Size { rows: 40_000, per_second: 4_000 });
    fs::write(cluster.dir().join("usrlib/windows.sql"), job.script()).unwrap();
    start_task_managers(&cluster, 2);
    let id = "00000000000000000000000000000001";
    let first = start(&cluster, &["--job-id", id, "-Dparallelism.default=2"]);
    assert_eq!(running_job(&cluster), id);
    wait_for_rows(&cluster, id, 500);
    let folder = cluster.dir().join("savepoints");
    let stopped = cluster.script("flink", &["stop", "--savepointPath", &folder.to_string_lossy(), id]);
    let said = said(&stopped);
    assert!(stopped.status.success(), "{said}");
    let path = said.split("Savepoint completed. Path: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let path = path.unwrap_or_else(|| panic!("no savepoint: {said}")).to_owned();
    assert_eq!(first.status(&cluster), 0, "a job that was stopped has finished");
    let second = start(&cluster, &["--fromSavepoint", &path, "-Dparallelism.default=3"]);
    assert_eq!(second.status(&cluster), 0);
    println!("{}", job.verify_files());
}
