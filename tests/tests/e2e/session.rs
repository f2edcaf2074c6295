//! A session from its start to its end.
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wiesel_tests::{Cluster, eventually, home, process};

use super::sql;

#[test]
fn starts_and_stops_and_leaves_nothing_behind() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let pids = cluster.all_pids();
    assert_eq!(pids.len(), 3);
    assert_eq!(cluster.get("/taskmanagers")["taskmanagers"].as_array().map(Vec::len), Some(2));
    let again = cluster.script("taskmanager.sh", &["start"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("2 instance(s) of taskexecutor are already running"));
    cluster.wait_for_slots(3);

    let all = cluster.script("taskmanager.sh", &["stop-all"]);
    assert!(all.status.success());
    cluster.wait_for_slots(0);
    let stopped = cluster.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(pids.iter().all(|pid| !process::is_alive(*pid)));
    assert_eq!(std::fs::read_dir(cluster.dir().join("pid")).unwrap().count(), 0, "pid files are left");
    assert!(TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
    assert!(!cluster.log_text().contains(" ERROR "), "{}", cluster.log_text());
    // Before, what a TaskManager's memory was derived from was there twice.
    for (path, text) in cluster.log_files() {
        if path.extension().is_some_and(|extension| extension == "log") {
            assert_eq!(text.matches("The JVM Overhead derived").count(), 1, "{}", path.display());
        }
    }
}

#[test]
fn a_shuffle_between_two_task_managers_counts_every_flight() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let query = format!("{}SELECT origin, COUNT(*), SUM(distance) FROM flights GROUP BY origin;", sql::flights());
    let two = cluster.rows(&query, 2);
    let count: u64 = two.iter().map(|row| row[1].parse::<u64>().unwrap()).sum();
    assert_eq!((two.len(), count), (3, 336_776));
    assert_eq!(cluster.rows(&query, 1), two);
    // All of that went over ports that hear only who has the secret, which nobody else can read.
    let file = cluster.conf().join("internal.secret");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(secret.len() == 64 && !cluster.log_text().contains(&secret));
}

#[test]
fn the_command_line_runs_lists_and_cancels() {
    let cluster = Cluster::builder().start();
    let done = cluster.run(&sql::trivial(), &[]);
    assert!(done.status.success(), "{done:?}\n{}", cluster.log_text());
    let job = cluster.submit(&sql::endless_shuffle(1000), 2);
    cluster.wait_for_tasks(&job, Duration::from_secs(20));
    let list = cluster.script("flink", &["list", "-a"]);
    let text = String::from_utf8_lossy(&list.stdout);
    assert!(text.contains(&format!("{job} : ")) && text.contains("(RUNNING)") && text.contains("(FINISHED)"), "{text}");
    let cancel = cluster.script("flink", &["cancel", &job]);
    assert!(cancel.status.success(), "{cancel:?}");
    cluster.wait_for_state(&job, "CANCELED", Duration::from_secs(20));
    cluster.wait_for_free_slots(2);
    let unknown = cluster.script("flink", &["cancel", &"0".repeat(32)]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// Before, the first line of a plan stood on standard output, and what followed it were errors.
#[test]
fn info_shows_a_plan_or_nothing() {
    let cluster = Cluster::builder().start();
    let info = |text: &str| cluster.script("flink", &["info", &cluster.file("x.sql", text).to_string_lossy()]);
    let shown = info(&sql::trivial());
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.contains("- Execution Plan -") && text.contains("\"nodes\""), "{shown:?}");
    let refused = info("INSERT INTO nowhere SELECT 1;");
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nowhere"), "{refused:?}");
}

#[test]
fn a_task_manager_that_starts_first_waits_for_the_job_manager() {
    let cluster = Cluster::builder().prepare();
    assert!(cluster.script("taskmanager.sh", &["start"]).status.success());
    assert!(cluster.script("jobmanager.sh", &["start"]).status.success());
    cluster.wait_for_slots(2);
    assert!(cluster.stop().status.success());
}

/// Before, the JobManager warned that the TaskManager was lost with what it ran.
#[test]
fn a_task_manager_that_registers_twice_at_its_start_has_lost_nothing() {
    // The answer to a first attempt comes later than that.
    let cluster = Cluster::builder().set("cluster.registration.initial-timeout", "1 ms").start();
    let log = cluster.log_text();
    assert!(!log.contains("TaskManager lost") && !log.contains("is gone"), "{log}");
}

/// A process that calls itself a TaskManager, started for the pid file whose daemons say with this that they are up.
fn namesake(up_file: Option<&Path>) -> Child {
    let mut command = Command::new("sleep");
    command.arg0("/elsewhere/lib/taskmanager").arg("600").env_remove("WIESEL_UP_FILE");
    if let Some(up_file) = up_file {
        command.env("WIESEL_UP_FILE", up_file);
    }
    command.spawn().unwrap()
}

/// Before, any shell was killed that had the pid of a daemon that had died, and so was another cluster's TaskManager.
#[test]
fn a_pid_that_another_process_has_by_now_is_left_alone() {
    let cluster = Cluster::builder().prepare();
    let [pids, elsewhere] = ["pid", "elsewhere"].map(|folder| cluster.dir().join(folder));
    std::fs::create_dir_all(&pids).unwrap();
    std::fs::create_dir_all(&elsewhere).unwrap();
    let stop = |action: &str, processes: &[u32]| {
        let lines: String = processes.iter().map(|pid| format!("{pid}\n")).collect();
        std::fs::write(pids.join("flink-x-taskexecutor.pid"), lines).unwrap();
        let mut command = cluster.command("bin/taskmanager.sh");
        let stopped = command.arg(action).env("FLINK_IDENT_STRING", "x").output().unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
        String::from_utf8_lossy(&stopped.stdout).into_owned()
    };
    let shell = Command::new("bash").args(["-c", "read -r _"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut strangers = [
        shell,
        namesake(None),
        namesake(Some(&elsewhere.join("flink-x-taskexecutor.up.1"))),
        namesake(Some(&pids.join("flink-y-taskexecutor.up.1"))),
        namesake(Some(&pids.join("flink-x-standalonesession.up.1"))),
    ];
    for pid in strangers.each_ref().map(Child::id) {
        let said = stop("stop", &[pid]);
        assert!(said.contains(&format!("(pid: {pid}) is running anymore")), "{said}");
    }
    let mut ours = namesake(Some(&pids.join("flink-x-taskexecutor.up.1")));
    let all: Vec<u32> = strangers.iter().chain([&ours]).map(Child::id).collect();
    let said = stop("stop-all", &all);
    assert_eq!(said.matches("Skipping").count(), strangers.len(), "{said}");
    assert!(ours.try_wait().unwrap().is_some(), "{said}");
    for stranger in &mut strangers {
        assert!(stranger.try_wait().unwrap().is_none(), "{said}");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

/// Before, the script returned 0 whatever became of the processes.
#[test]
fn a_cluster_that_does_not_start_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let bad =
        [("parallelism.default", "0", 0), ("taskmanager.cpu.cores", "NaN", 0), ("taskmanager.data.port", &*port, 1)];
    for (key, value, left) in bad {
        let cluster = Cluster::builder().set(key, value).prepare();
        let started = cluster.script("start-cluster.sh", &[]);
        let said = String::from_utf8_lossy(&started.stderr);
        assert!(!started.status.success() && said.contains(key), "{started:?}");
        assert_eq!(cluster.all_pids().len(), left, "{key}: {started:?}");
        assert!(cluster.stop().status.success());
        let left_over = std::fs::read_dir(cluster.dir().join("pid")).unwrap().count();
        assert_eq!(left_over, 0, "{key}: files are left");
    }
}

/// Before, a JobManager ran that no script could stop, with status 0, and what was said of the logs named a file that was not
/// there.
#[test]
fn folders_that_cannot_be_written_are_named_and_nothing_starts() {
    let cluster = Cluster::builder().prepare();
    let folder = cluster.file("plain", "").join("folder");
    let start = |variable: &str, value: &std::path::Path| {
        let mut command = cluster.command("bin/jobmanager.sh");
        let started = command.arg("start").env("FLINK_IDENT_STRING", "x").env(variable, value).output().unwrap();
        assert!(!started.status.success(), "{started:?}");
        String::from_utf8_lossy(&started.stderr).into_owned()
    };
    for (variable, key) in [("FLINK_PID_DIR", "env.pid.dir"), ("FLINK_LOG_DIR", "env.log.dir")] {
        let said = start(variable, &folder);
        let parts = [&*folder.to_string_lossy(), key, variable];
        assert!(said.lines().count() == 1 && parts.iter().all(|part| said.contains(part)), "{said}");
    }
    // The folder can be written, the pid file cannot: what was started ends.
    let pids = cluster.dir().join("pid");
    std::fs::create_dir_all(pids.join("flink-x-standalonesession.pid.tmp/in the way")).unwrap();
    let said = start("FLINK_PID_DIR", &pids);
    assert!(said.lines().count() == 1 && said.contains("env.pid.dir"), "{said}");
    eventually("the JobManager ends", Duration::from_secs(20), || {
        match TcpStream::connect(("127.0.0.1", cluster.port())) {
            Ok(_) => Err("it listens".to_owned()),
            Err(_) => Ok(()),
        }
    });
    assert_eq!(cluster.all_pids(), Vec::<u32>::new());
}

/// Before, the script went on without its lock where it may open few files, and where the lock could not be had.
#[test]
fn the_pid_file_is_locked_or_left_alone() {
    let cluster = Cluster::builder().prepare();
    let daemon = home().join("bin/flink-daemon.sh");
    std::fs::create_dir_all(cluster.dir().join("pid")).unwrap();
    let mut few = cluster.command("/usr/bin/env");
    few.args(["bash", "-c", "ulimit -n 100 && exec \"$0\" stop standalonesession"]).arg(&daemon);
    let stopped = few.output().unwrap();
    let said = String::from_utf8_lossy(&stopped.stdout);
    assert!(stopped.status.success() && stopped.stderr.is_empty(), "{stopped:?}");
    assert!(said.starts_with("No standalonesession daemon to stop"), "{said}");

    let flock = cluster.file("flock", "#!/bin/sh\nexit 1\n");
    std::fs::set_permissions(&flock, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", cluster.dir().display(), std::env::var("PATH").unwrap_or_default());
    let mut start = cluster.command("bin/flink-daemon.sh");
    let refused = start.args(["start", "standalonesession"]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said.lines().count() == 1 && said.contains("cannot be locked") && said.contains("ulimit -n"), "{said}");
    assert_eq!(cluster.all_pids(), Vec::<u32>::new());
}

/// Before, the last line told to choose another port, where one's own JobManager had it.
#[test]
fn a_second_job_manager_says_that_there_is_one() {
    let cluster = Cluster::builder().start();
    let again = cluster.script("jobmanager.sh", &["start"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("perhaps a JobManager that was started before"), "{again:?}");
    assert!(process::is_alive(cluster.job_manager_pid()));
}

/// Before, the script ended where it missed the list, and the JobManager went on.
#[test]
fn without_its_list_of_workers_a_cluster_still_loses_its_job_manager() {
    let cluster = Cluster::builder().start();
    let job_manager = cluster.job_manager_pid();
    std::fs::remove_file(cluster.conf().join("workers")).unwrap();
    let stopped = cluster.stop();
    assert!(!process::is_alive(job_manager), "{stopped:?}");
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert!(!stopped.status.success() && said.contains("workers"), "{stopped:?}");
}

/// Before, only the JobManager got it, and no TaskManager could register, with status 0.
#[test]
fn a_secret_on_the_command_line_is_refused() {
    let cluster = Cluster::builder().prepare();
    let started = cluster.script("start-cluster.sh", &["-Dsecurity.internal.secret=0123456789abcdef"]);
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && said.contains("internal.secret, mode 600"), "{started:?}");
    assert_eq!(cluster.all_pids(), Vec::<u32>::new());
}

/// Before, whoever named another host got a JobManager here without a word.
#[test]
fn a_master_elsewhere_is_warned_of_without_high_availability() {
    let cluster = Cluster::builder().prepare();
    std::fs::write(cluster.conf().join("masters"), "localhost:8081\nelsewhere:8081\n").unwrap();
    let started = cluster.script("start-cluster.sh", &[]);
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{started:?}");
    assert!(said.contains("names elsewhere:8081") && !said.contains("names localhost"), "{started:?}");
    assert!(cluster.stop().status.success());
}

/// Before, a cluster was started from nothing.
#[test]
fn a_folder_of_configuration_that_is_not_there_is_refused() {
    let cluster = Cluster::builder().prepare();
    for script in ["start-cluster.sh", "jobmanager.sh", "taskmanager.sh", "flink", "sql-client.sh"] {
        let mut command = cluster.command(&format!("bin/{script}"));
        let output = command.arg("start").env("FLINK_CONF_DIR", "/nowhere/conf").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("/nowhere/conf"), "{script}: {output:?}");
    }
    assert_eq!(cluster.all_pids(), Vec::<u32>::new());
}

/// Before, it was 2, where Flink's is 1.
#[test]
fn arguments_that_make_no_sense_have_flinks_exit_status() {
    let cluster = Cluster::builder().prepare();
    for (script, arguments, said) in [
        ("flink", &["list", "--bogus"][..], "--bogus"),
        ("flink", &["run", "--bogus", "x.sql"][..], "--bogus"),
        ("flink", &["bogus"][..], "bogus"),
        ("flink", &[][..], "Usage"),
        ("sql-client.sh", &["--bogus"][..], "--bogus"),
    ] {
        let refused = cluster.script(script, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(said), "{refused:?}");
    }
    assert!(cluster.script("flink", &["--help"]).status.success());
}

/// Before, `-hist` printed help and ran nothing, and a byte order mark was a syntax error.
#[test]
fn the_sql_client_takes_flinks_options() {
    let cluster = Cluster::builder().prepare();
    let script = cluster.file("x.sql", "\u{feff}SHOW TABLES;\n");
    let script = script.to_string_lossy();
    let ran = cluster.script("sql-client.sh", &["-hist", "history", "-f", &script]);
    assert!(ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("SHOW TABLES"), "{ran:?}");
    let jar = cluster.script("sql-client.sh", &["-j", "x.jar", "-f", &script]);
    assert!(!jar.status.success() && String::from_utf8_lossy(&jar.stderr).contains("no Java"), "{jar:?}");
}

/// Failed before: of what is in the file only `flink run` and `flink info` said so.
#[test]
fn every_action_tells_of_a_key_that_is_misspelt_in_the_file() {
    let cluster = Cluster::builder().set("rest.prot", "1").prepare();
    let id = "0".repeat(32);
    let actions: [&[&str]; 5] =
        [&["list"], &["cancel", &id], &["stop", &id], &["savepoint", &id], &["checkpoint", &id]];
    for arguments in actions {
        let output = cluster.script("flink", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        let told = said.matches("[WARNING] unknown configuration key 'rest.prot'").count();
        assert!(told == 1 && said.contains("did you mean 'rest.port'?"), "{arguments:?}: {said}");
    }
}

/// Before, of the client's configuration only `-D` counted: parallelism 1 and no checkpoints, without a word. And nothing was
/// said anywhere of a key that is misspelt.
#[test]
fn a_job_obeys_the_configuration_of_its_client() {
    let limit = Duration::from_secs(20);
    let cluster = Cluster::builder().start();
    let script = format!("SET 'table.exec.state.tll' = '1 h';\n{}", sql::endless_shuffle(100));
    let mut command = cluster.command("bin/flink");
    command.args(["run", "-d", "-Dexecution.checkpointing.intervall=1 s"]).arg(cluster.file("run.sql", &script));
    command.env("FLINK_PROPERTIES", "parallelism.default: 2\nexecution.checkpointing.interval: 100 ms");
    let output = command.output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{output:?}");
    for near in ["did you mean 'execution.checkpointing.interval'?", "did you mean 'table.exec.state.ttl'?"] {
        assert!(said.contains("[WARNING] ") && said.contains(near), "{said}");
    }
    let job =
        out.split("JobID ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a job's id").to_owned();
    cluster.wait_for_tasks(&job, limit);
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    assert!(vertices.iter().all(|vertex| vertex["parallelism"] == 2), "{details}");
    eventually("a checkpoint", limit, || {
        let checkpoints = cluster.get(&format!("/jobs/{job}/checkpoints"));
        if checkpoints["counts"]["completed"].as_u64() > Some(0) { Ok(()) } else { Err(checkpoints.to_string()) }
    });
}

/// Before: "stream did not contain valid UTF-8".
#[test]
fn a_jar_is_refused_with_the_reason() {
    let cluster = Cluster::builder().prepare();
    std::fs::write(cluster.dir().join("z.jar"), b"PK\x03\x04\xff\xfe").unwrap();
    let output = cluster.script("flink", &["run", "z.jar"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("this cluster has no JVM for jars"), "{output:?}");
}

/// Flink goes on after an error in standard input, and has status 0 also where a file ends with one. Before, no document said what
/// is done here.
#[test]
fn a_script_ends_at_its_first_error_wherever_it_comes_from() {
    let cluster = Cluster::builder().prepare();
    let script = cluster.file("x.sql", "SHOW CATALOGS;\nSELECT x FROM nowhere;\nSHOW DATABASES;\n");
    let file = cluster.script("sql-client.sh", &["-f", &script.to_string_lossy()]);
    let mut piped = cluster.command("bin/sql-client.sh");
    let piped = piped.stdin(std::fs::File::open(&script).unwrap()).output().unwrap();
    for ran in [file, piped] {
        let said = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        assert!(said.contains("default_catalog") && said.contains("Object 'nowhere' not found"), "{said}");
        assert!(!said.contains("SHOW DATABASES"), "{said}");
    }
    let help = cluster.script("sql-client.sh", &["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("at the first that fails, with exit status 1"), "{help}");
}

/// Before, what stood behind the last complete statement was left out without a word, with status 0.
#[test]
fn a_comment_without_an_end_hides_nothing() {
    let cluster = Cluster::builder().start();
    let insert = "INSERT INTO t VALUES (1);\n";
    let table = "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');\n";
    let script = cluster.file("x.sql", &format!("{table}{insert}/* {insert}"));
    let path = script.to_string_lossy();
    let file = cluster.script("sql-client.sh", &["-f", &path]);
    let mut piped = cluster.command("bin/sql-client.sh");
    let piped = piped.stdin(std::fs::File::open(&script).unwrap()).output().unwrap();
    let submitted = cluster.script("flink", &["run", &path]);
    for ran in [file, piped, submitted] {
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("Unexpected EOF while in a multi-line comment"), "{said}");
    }
    // As with any other error at the end: the client ran what stands before it, the JobManager nothing of the script.
    let jobs = cluster.get("/jobs/overview")["jobs"].as_array().map(Vec::len);
    assert_eq!(jobs, Some(2));
}

/// Before, they were syntax errors that ended the script.
#[test]
fn a_script_may_have_the_clients_own_words() {
    let cluster = Cluster::builder().prepare();
    let script = cluster.file("x.sql", "HELP;\nCLEAR;\nSHOW TABLES;\nQUIT;\nno statement;\n");
    let ran = cluster.script("sql-client.sh", &["-f", &script.to_string_lossy()]);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("STOP JOB 'id'") && said.contains("Empty set"), "{ran:?}");
}
