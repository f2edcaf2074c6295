//! What becomes of jobs and of the terminal when their client ends otherwise than it should, and of output that nobody takes.
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::proxy::{Fault, Proxy};
use wiesel_tests::{Cluster, eventually, home, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(20);

const ENDLESS: &str = "CREATE TABLE n (k INT) WITH ('connector' = 'datagen', 'rows-per-second' = '50',\n\
                       'fields.k.min' = '1', 'fields.k.max' = '3');\n\
                       SELECT k FROM n;\n";

/// A client that forgets its query unless it says every 300 ms that it lives.
fn cluster() -> Cluster {
    Cluster::builder()
        .slots(4)
        .set("client.heartbeat.interval", "300 ms")
        .set("client.heartbeat.timeout", "2 s")
        .set("parallelism.default", "1")
        .start()
}

/// The SQL client with a query that does not end, and its output.
fn query(cluster: &Cluster) -> Command {
    let script = cluster.file("endless.sql", ENDLESS);
    let mut command = cluster.command("bin/sql-client.sh");
    command.arg("-f").arg(script).stderr(Stdio::piped());
    command
}

/// Waits until rows are printed; the output goes on being read where it is given back.
fn rows_are_shown(client: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(client.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    while !line.contains("| +I |") {
        line.clear();
        assert!(output.read_line(&mut line).expect("the client's output can be read") > 0, "the client has ended");
    }
    output
}

fn ended(client: &mut Child) -> Option<i32> {
    eventually("the client ends", LIMIT, || match client.try_wait() {
        Ok(Some(status)) => Ok(status.code()),
        other => Err(format!("{other:?}")),
    })
}

fn wait_for_canceled(cluster: &Cluster, jobs: usize) {
    eventually("cancelled jobs", LIMIT, || {
        let all = cluster.get("/jobs");
        let states =
            |state: &str| all["jobs"].as_array().into_iter().flatten().filter(|job| job["status"] == state).count();
        if (states("CANCELED"), states("RUNNING")) == (jobs, 0) { Ok(()) } else { Err(all.to_string()) }
    });
}

/// Under `nohup` the client ignores SIGHUP, as it should, and in the background of a script SIGINT.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[test]
fn a_query_ends_with_its_client_however_that_ends() {
    let cluster = cluster();
    let mut ends = vec![(Signal::TERM, Some(143)), (Signal::KILL, None)];
    if !ignored(Signal::HUP) {
        ends.push((Signal::HUP, Some(129)));
    }
    let by_signals = ends.len();
    for (done, (signal, status)) in ends.into_iter().enumerate() {
        let mut client = query(&cluster).stdout(Stdio::piped()).spawn().unwrap();
        // Read to its end: a client that finds its output closed beside the signal may end for either.
        let mut output = rows_are_shown(&mut client);
        process::signal(client.id(), signal);
        let drain = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        assert_eq!(ended(&mut client), status, "{signal:?}");
        drain.join().unwrap().unwrap();
        wait_for_canceled(&cluster, done + 1);
    }

    // As with `| head`: nobody reads any more, and nothing is said of it.
    let mut client = query(&cluster).stdout(Stdio::piped()).spawn().unwrap();
    drop(rows_are_shown(&mut client));
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(141), "".into()));
    wait_for_canceled(&cluster, by_signals + 1);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = query(&cluster).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("cannot write to standard output: No space left on device"), "{said}");
}

#[test]
fn a_query_goes_on_as_long_as_its_client_says_that_it_lives() {
    let cluster = cluster();
    let mut client = query(&cluster).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = rows_are_shown(&mut client);
    let drain = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    let old = eventually("a query of twice the timeout", LIMIT, || {
        let all = cluster.get("/jobs/overview");
        let job = &all["jobs"][0];
        let old = job["duration"].as_i64().is_some_and(|duration| duration > 4_000);
        if old { Ok(job["state"].clone()) } else { Err(all.to_string()) }
    });
    assert_eq!(old, "RUNNING");
    process::signal(client.id(), Signal::TERM);
    ended(&mut client);
    drain.join().unwrap().unwrap();
    wait_for_canceled(&cluster, 1);
}

/// It was refused, though the keys that it stands for worked.
#[test]
fn a_job_of_sae_ends_with_its_client() {
    let cluster = cluster();
    let mut client = cluster.spawn_run(&sql::endless_shuffle(100), &["-sae"]);
    let mut output = BufReader::new(client.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("the client's output can be read");
    assert!(line.contains("Job has been submitted"), "{line}");
    client.kill().expect("it waits for its job");
    client.wait().expect("it is killed");
    wait_for_canceled(&cluster, 1);
}

/// Failed before: it went on until its client had not been heard of for three minutes. Flink's client cancels it at once.
#[test]
fn a_job_of_sae_is_cancelled_by_the_signal_that_ends_its_client() {
    let cluster = Cluster::builder().slots(4).set("parallelism.default", "1").start();
    let mut canceled = 0;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        if ignored(signal) {
            continue;
        }
        let mut client = cluster.spawn_run(&sql::endless_shuffle(100), &["-sae"]);
        let mut output = BufReader::new(client.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the client's output can be read");
        assert!(line.contains("Job has been submitted"), "{line}");
        process::signal(client.id(), signal);
        assert_eq!(ended(&mut client), None, "{signal:?} ends it");
        canceled += 1;
        wait_for_canceled(&cluster, canceled);
    }

    // The SQL client has the same key, for a job that it waits for.
    let keys = "SET 'table.dml-sync' = 'true';\nSET 'execution.shutdown-on-attached-exit' = 'true';\n";
    let script = cluster.file("waits.sql", &format!("{keys}{}", sql::endless_shuffle(100)));
    let mut command = cluster.command("bin/sql-client.sh");
    let mut client = command.arg("-f").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(client.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    while !line.contains("in sync mode") {
        line.clear();
        assert!(output.read_line(&mut line).expect("the client's output can be read") > 0, "the client has ended");
    }
    process::signal(client.id(), Signal::TERM);
    assert_eq!(ended(&mut client), Some(143));
    wait_for_canceled(&cluster, canceled + 1);
}

/// Before, they said that the job had been submitted, with status 0.
#[test]
fn a_job_that_fails_while_it_starts_was_not_submitted() {
    let cluster = Cluster::builder().start();
    let cause = "JobInitializationException";
    let nowhere = cluster.dir().join("nowhere").display().to_string();
    let folder = ["-Dexecution.checkpointing.interval=1 s", "-Dexecution.checkpointing.dir=file:///dev/null/folder"];
    for arguments in [["-s", nowhere.as_str()], folder] {
        for detached in [&["-d"][..], &[]] {
            let output = cluster.run(&sql::trivial(), &[detached, &arguments].concat());
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!((output.status.code(), &*out), (Some(1), ""), "{err}");
            assert!(err.contains(cause) && (err.contains("nowhere") || err.contains("/dev/null")), "{err}");
        }
    }
    let script = format!("SET 'execution.state-recovery.path' = '{nowhere}';\n{}", sql::trivial());
    let script = cluster.file("insert.sql", &script);
    let output = cluster.script("sql-client.sh", &["-f", &script.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(cause) && said.contains("nowhere") && !said.contains("successfully submitted"), "{said}");
}

/// Before, it said that the JobManager did not answer, and nothing of the job, which may have started.
#[test]
fn a_submission_without_an_answer_names_the_job_that_may_run() {
    let cluster = Cluster::builder().set("client.timeout", "2 s").start();
    let script = cluster.file("insert.sql", &sql::trivial());
    let job_manager = cluster.job_manager_pid();
    process::signal(job_manager, Signal::STOP);
    let output = cluster.script("sql-client.sh", &["-f", &script.to_string_lossy()]);
    process::signal(job_manager, Signal::CONT);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("client.timeout") && said.contains("may have been submitted all the same"), "{said}");
    assert!(said.contains("`flink list -a` shows whether it was"), "{said}");
}

/// Before, a signal ended the client without a word, and one whose connection was lost did not know its job.
#[test]
fn a_script_without_an_answer_names_the_job_that_may_run() {
    let cluster = Cluster::builder().slots(4).start();
    let proxy = Proxy::start(cluster.port());
    proxy.set(Fault::Withhold(".sql/run HTTP"));
    let endpoint = format!("127.0.0.1:{}", proxy.port());
    let signals = [Signal::TERM, Signal::INT].into_iter().filter(|signal| !ignored(*signal)).map(Some);
    for (before, signal) in std::iter::once(None).chain(signals).enumerate() {
        let client = cluster.spawn_run(&sql::endless_shuffle(100), &["-d", "-m", &endpoint]);
        let jobs = eventually("the job runs", LIMIT, || {
            let all = cluster.get("/jobs");
            let jobs = all["jobs"].as_array().into_iter().flatten().filter(|job| job["status"] == "RUNNING");
            let jobs: Vec<String> = jobs.filter_map(|job| job["id"].as_str().map(str::to_owned)).collect();
            if jobs.len() > before { Ok(jobs) } else { Err(all.to_string()) }
        });
        match signal {
            Some(signal) => process::signal(client.id(), signal),
            None => proxy.cut(),
        }
        let output = client.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let named = |job: &String| said.contains(&format!("The job {job} may have been submitted all the same"));
        assert!(jobs.iter().any(named) && said.contains("`flink list -a`"), "{signal:?}: {output:?}");
        match signal {
            Some(signal) => assert_eq!(output.status.signal(), Some(signal.as_raw()), "{output:?}"),
            None => assert_eq!(output.status.code(), Some(1), "{output:?}"),
        }
    }
}

/// Before, the job was RUNNING and nothing else was said of it for five minutes.
#[test]
fn a_job_that_waits_for_slots_is_told_from_one_that_runs() {
    const WAITS: &str = "waits for slots: 2 of 3 are missing";
    let cluster = Cluster::builder().slots(1).start();
    let job = cluster.submit(&sql::endless_shuffle(100), 3);
    let list = || String::from_utf8_lossy(&cluster.script("flink", &["list"]).stdout).into_owned();
    eventually("the list says that the job waits", LIMIT, || {
        let text = list();
        if text.contains(&format!("(RUNNING) {WAITS}")) { Ok(()) } else { Err(text) }
    });
    let log = cluster.log_text();
    assert_eq!(log.matches("2 of 3 slots are missing").count(), 1, "{log}");
    let mut attached = cluster.spawn_run(&sql::endless_shuffle(100), &["-p", "3"]);
    let mut said = BufReader::new(attached.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("the client says something");
    assert!(line.contains(WAITS), "{line}");
    attached.kill().expect("it waits");
    attached.wait().expect("it is killed");
    for _ in 0..2 {
        assert!(cluster.script("taskmanager.sh", &["start"]).status.success());
    }
    cluster.wait_for_tasks(&job, LIMIT);
    assert!(!list().lines().any(|line| line.contains(&job) && line.contains("waits")), "{}", list());
}

#[test]
fn output_that_cannot_be_written_is_no_panic() {
    let cluster = Cluster::builder().start();
    let flink = || {
        let mut command = cluster.command("bin/flink");
        command.args(["list", "-a"]);
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = flink().stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(141), "".into()));
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = flink().stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("cannot write to standard output"), "{output:?}");
    let both = flink().stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(both.code(), Some(1));
    // The others log to standard error where no file is named, and fail for a reason of their own.
    for program in ["jobmanager", "taskmanager"] {
        let mut command = Command::new(home().join("lib").join(program));
        command
            .arg("-Djobmanager.rpc.port=no port")
            .env("FLINK_CONF_DIR", cluster.conf())
            .env_remove("WIESEL_LOG_FILE");
        let status = command.stdin(Stdio::null()).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{program}");
    }
}
