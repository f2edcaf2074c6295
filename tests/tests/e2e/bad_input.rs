//! What a user gets wrong: one clear message, in the client, in the log and for the job.
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::Output;
use std::time::Duration;

use wiesel_tests::http::{request, upload};
use wiesel_tests::{Cluster, eventually, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(30);

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a script that must fail: exit status 1, the words in what the client says, no panic anywhere.
fn fails(cluster: &Cluster, script: &str, words: &[&str]) -> String {
    let output = cluster.run(script, &["-p", "1"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}\n{}", cluster.log_text());
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    assert!(!cluster.log_text().contains("panicked"), "{}", cluster.log_text());
    said
}

/// A job that must fail: the words are in the client's answer, in the job's exceptions and in the log.
fn job_fails(cluster: &Cluster, script: &str, words: &[&str]) {
    fails(cluster, script, words);
    let jobs = cluster.get("/jobs/overview");
    let last = jobs["jobs"].as_array().into_iter().flatten().max_by_key(|job| job["start-time"].as_u64());
    let job = last.and_then(|job| job["jid"].as_str()).unwrap_or_else(|| panic!("no job: {jobs}")).to_owned();
    assert_eq!(cluster.state(&job), "FAILED");
    let failure = cluster.failure(&job);
    for word in words {
        assert!(failure.contains(word), "`{word}` is not in the exceptions:\n{failure}");
        assert!(cluster.log_text().contains(word), "`{word}` is not in the log");
    }
}

#[test]
fn a_port_in_use() {
    let cluster = Cluster::builder().prepare();
    let taken = TcpListener::bind(("127.0.0.1", cluster.port())).unwrap();
    let output = cluster.command("bin/jobmanager.sh").arg("start-foreground").output().unwrap();
    let said = text(&output);
    assert!(!output.status.success());
    assert!(said.contains(&cluster.port().to_string()) && said.contains("rest."), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    drop(taken);
}

#[test]
fn a_bad_value_in_the_configuration() {
    for (program, key, value) in [
        ("jobmanager", "rest.port", "eighty"),
        ("jobmanager", "heartbeat.interval", "soon"),
        ("taskmanager", "taskmanager.numberOfTaskSlots", "many"),
        ("jobmanager", "taskmanager.numberOfTaskSlots", "0"),
        ("taskmanager", "taskmanager.memory.process.size", "100m"),
        ("taskmanager", "taskmanager.cpu.cores", "NaN"),
        ("jobmanager", "parallelism.default", "0"),
        ("jobmanager", "execution.checkpointing.dir", "hdfs://host/x"),
        ("jobmanager", "security.ssl.internal.enabled", "true"),
        ("taskmanager", "high-availability.type", "zookeeper"),
        ("jobmanager", "rootLogger.level", "LOUD"),
        ("taskmanager", "env.log.level", "LOUD"),
    ] {
        let cluster = Cluster::builder().prepare();
        let pair = format!("{key}={value}");
        let script = format!("bin/{program}.sh");
        let output = cluster.command(&script).args(["start-foreground", "-D", &pair]).output().unwrap();
        let said = text(&output);
        assert!(!output.status.success() && !said.contains("panicked"), "{pair}: {said}");
        assert!(said.contains(key), "{pair}: {said}");
    }
}

/// Before, it was as if nothing had been set, without a word.
#[test]
fn a_bad_value_in_the_environment() {
    let cluster = Cluster::builder().prepare();
    for (variable, value, expected) in [
        ("RUST_LOG", &b"loud,=x"[..], "the variable RUST_LOG is 'loud,=x'"),
        ("FLINK_PROPERTIES", &b"rest.port: \xff"[..], "cannot read the configuration from FLINK_PROPERTIES"),
        ("STD_REDIRECT_TO_FILE", &b"yes"[..], "'yes' for key 'env.stdout-err.redirect-to-file'"),
    ] {
        for program in ["jobmanager", "taskmanager"] {
            let mut command = cluster.command(&format!("bin/{program}.sh"));
            let output = command.arg("start-foreground").env(variable, OsStr::from_bytes(value)).output().unwrap();
            let said = text(&output);
            assert!(!output.status.success() && said.contains(expected), "{program}: {said}");
        }
    }
}

#[test]
fn an_unknown_key_is_warned_of_with_the_nearest_name() {
    let cluster = Cluster::builder().set("taskmanager.numberOfTaskSlot", 3).set("env.java.opts.all", "-Xmx1g").start();
    let log = cluster.log_text();
    assert!(log.contains("did you mean 'taskmanager.numberOfTaskSlots'?"), "{log}");
    assert!(log.contains("'env.java.opts.all' is ignored"), "{log}");
}

#[test]
fn sql_that_does_not_parse_or_resolve() {
    let cluster = Cluster::builder().start();
    let numbers = "CREATE TABLE numbers (amount BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');\n";
    let nowhere = sql::blackhole("n BIGINT");
    let insert = |query: &str| format!("{numbers}{nowhere}INSERT INTO nowhere\n{query};\n");
    fails(&cluster, &insert("SELEC amount FROM numbers"), &["line"]);
    fails(&cluster, &insert("SELECT amont FROM numbers"), &["amont", "amount"]);
    fails(&cluster, &insert("SELECT amount FROM nubers"), &["nubers", "numbers"]);
    fails(&cluster, &insert("SELECT CHAR_LENGHT('a') FROM numbers"), &["CHAR_LENGHT"]);
    fails(&cluster, &insert("SELECT amount, 1 FROM numbers"), &["nowhere"]);
    fails(&cluster, "nonsense;", &["line 1"]);
    assert_eq!(cluster.get("/jobs/overview")["jobs"].as_array().map(Vec::len), Some(0), "a job was begun");
}

#[test]
fn table_options_missing_unknown_or_ill_typed() {
    let cluster = Cluster::builder().start();
    let table = |options: &str| {
        let nowhere = sql::blackhole("n BIGINT");
        format!("CREATE TABLE t (n BIGINT) WITH ({options});\n{nowhere}INSERT INTO nowhere SELECT n FROM t;\n")
    };
    fails(&cluster, &table("'connector' = 'filesystem', 'format' = 'csv'"), &["path"]);
    fails(&cluster, &table("'connector' = 'filesystem', 'path' = '/tmp'"), &["format"]);
    fails(&cluster, &table("'connector' = 'datagen', 'row-per-second' = '5'"), &["row-per-second", "rows-per-second"]);
    fails(&cluster, &table("'connector' = 'datagen', 'rows-per-second' = 'five'"), &["rows-per-second", "five"]);
    fails(&cluster, &table("'connector' = 'teleporter'"), &["teleporter", "datagen"]);
}

#[test]
fn missing_and_malformed_files() {
    let cluster = Cluster::builder().start();
    let csv = cluster.file("rows.csv", "1,a\n2,b\nthree,c\n4,d\n");
    let json = cluster.file("rows.json", "{\"n\": 1, \"s\": \"a\"}\n{\"n\": 2\n{\"n\": 4, \"s\": \"d\"}\n");
    let table = |path: &std::path::Path, format: &str, more: &str| {
        format!(
            "CREATE TABLE t (n INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{format}'{more});\n",
            path.display()
        )
    };
    let insert = format!("{}INSERT INTO nowhere SELECT n, s FROM t;\n", sql::blackhole("n INT, s STRING"));
    let missing = cluster.dir().join("nothing.csv");
    job_fails(
        &cluster,
        &format!("{}{insert}", table(&missing, "csv", "")),
        &["nothing.csv", "the JobManager looked for it"],
    );
    job_fails(&cluster, &format!("{}{insert}", table(&csv, "csv", "")), &["rows.csv", "three"]);
    job_fails(&cluster, &format!("{}{insert}", table(&json, "json", "")), &["rows.json"]);
    // Before, nothing could wake the thread that opened it.
    let pipe = cluster.dir().join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    job_fails(&cluster, &format!("{}{insert}", table(&pipe, "csv", "")), &["pipe.csv", "FIFO"]);
    // Before, its rows were the secret, with which every process of the cluster can be called.
    let secret = cluster.conf().join("internal.secret");
    job_fails(&cluster, &format!("{}{insert}", table(&secret, "csv", "")), &["internal.secret", "no job is given"]);
    // Before, the whole of it was in the message.
    let long = cluster.file("long.json", &"x".repeat(8 << 20));
    job_fails(&cluster, &format!("{}{insert}", table(&long, "json", "")), &["long.json", "more bytes"]);
    assert!(cluster.log_text().len() < 1 << 20, "the log holds all of it");
    let select = "SELECT n, s FROM t;";
    let lenient = cluster.rows(&format!("{}{select}", table(&csv, "csv", ", 'csv.ignore-parse-errors' = 'true'")), 1);
    assert_eq!(lenient.len(), 4, "{lenient:?}");
    let lenient =
        cluster.rows(&format!("{}{select}", table(&json, "json", ", 'json.ignore-parse-errors' = 'true'")), 1);
    assert_eq!(lenient.len(), 2, "{lenient:?}");
}

#[test]
fn not_enough_slots_waits_and_then_fails_in_flinks_words() {
    let cluster = Cluster::builder().slots(1).set("slot.request.timeout", "500 ms").start();
    let output = cluster.run(&sql::trivial(), &["-p", "4"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Could not acquire the minimum required resources"), "{said}");
    cluster.wait_for_free_slots(1);
    // A slot that comes in time is enough.
    let patient = Cluster::builder().slots(1).start();
    let job = patient.submit(&sql::trivial(), 2);
    assert_eq!(patient.get(&format!("/jobs/{job}"))["state"], "RUNNING");
    assert!(patient.script("taskmanager.sh", &["start"]).status.success());
    patient.wait_for_state(&job, "FINISHED", LIMIT);
}

#[test]
fn too_few_network_buffers() {
    let cluster = Cluster::builder()
        .slots(8)
        .set("taskmanager.memory.network.min", "256 kb")
        .set("taskmanager.memory.network.max", "256 kb")
        .start();
    let output = cluster.run(&sql::endless_shuffle(100), &["-p", "8"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Insufficient number of network buffers"), "{said}");
    assert!(said.contains("taskmanager.memory.network"), "no advice: {said}");
    cluster.wait_for_free_slots(8);
}

#[test]
fn an_upload_that_is_no_sql() {
    let cluster = Cluster::builder().start();
    let refused = upload(cluster.port(), "/jars/upload", "job.txt", b"SELECT 1;").unwrap();
    assert!(refused.status == 400 && refused.body.contains("errors"), "{refused:?}");
    let binary = upload(cluster.port(), "/jars/upload", "job.sql", &[0xff, 0xfe, 0x00, 0x01, 0x80]).unwrap();
    if binary.status == 200 {
        let id = binary.json()["filename"].as_str().and_then(|name| name.rsplit('/').next()).unwrap().to_owned();
        let run = request(cluster.port(), "POST", &format!("/jars/{id}/run"), "application/json", b"{}").unwrap();
        assert!(run.status >= 400 && run.body.contains("errors"), "{run:?}");
    } else {
        assert_eq!(binary.status, 400, "{binary:?}");
    }
    let none = request(cluster.port(), "POST", "/jars/upload", "application/json", b"{}").unwrap();
    assert!(none.status == 400, "{none:?}");
    let unknown = request(cluster.port(), "POST", "/jars/nothing.sql/run", "application/json", b"{}").unwrap();
    assert!(unknown.status >= 400 && unknown.body.contains("nothing.sql"), "{unknown:?}");
    let done = cluster.run(&sql::trivial(), &[]);
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_task_manager_without_a_job_manager_gives_up() {
    let cluster = Cluster::builder().set("taskmanager.registration.timeout", "1 s").prepare();
    assert!(cluster.script("taskmanager.sh", &["start"]).status.success());
    let pid = cluster.task_manager_pids()[0];
    eventually("the TaskManager ends", LIMIT, || match process::is_alive(pid) {
        true => Err("it still runs".to_owned()),
        false => Ok(()),
    });
    let log = cluster.log_text();
    assert!(log.contains("registration") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_client_without_a_cluster() {
    let cluster = Cluster::builder().prepare();
    let output = cluster.run(&sql::trivial(), &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&cluster.port().to_string()), "{said}");
    let folded = cluster.script("sql-client.sh", &["-f", "/nowhere.sql", "--fold-json"]);
    assert_eq!(folded.status.code(), Some(1), "{folded:?}");
    assert!(text(&folded).contains("/nowhere.sql"), "{folded:?}");
}
