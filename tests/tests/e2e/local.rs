//! The target `local`: a cluster in one process that a client starts and that ends with it.
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::{Cluster, eventually, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(60);

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The local clusters of the clients of a test.
fn clusters(of: &Cluster) -> Vec<u32> {
    let conf = of.conf().to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = processes.filter(|entry| {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        read("comm") == b"minicluster\n" && String::from_utf8_lossy(&read("environ")).contains(&conf)
    });
    found
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|pid| process::is_alive(*pid))
        .collect()
}

/// A table of files in the cluster's folder, and the lines that are in it later.
fn table(cluster: &Cluster, name: &str) -> String {
    let path = cluster.dir().join(name);
    format!(
        "CREATE TABLE {name} (k BIGINT, c BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');\n",
        path.display()
    )
}

fn lines(cluster: &Cluster, name: &str) -> usize {
    let files = fs::read_dir(cluster.dir().join(name)).unwrap().flatten();
    let visible = files.filter(|file| !file.file_name().to_string_lossy().starts_with(['.', '_']));
    visible.map(|file| fs::read_to_string(file.path()).unwrap().lines().count()).sum()
}

/// Numbers in event time, which take a second or so.
fn numbers() -> &'static str {
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
       'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1500');\n"
}

/// The INSERT goes on when the client has read the script: the client waits for it.
#[test]
fn a_script_runs_without_a_cluster_to_its_end() {
    let cluster = Cluster::builder().prepare();
    let script = format!(
        "{}{}INSERT INTO files SELECT n, n FROM numbers;\nSELECT COUNT(*) AS counted FROM numbers;\n",
        numbers(),
        table(&cluster, "files")
    );
    let script = cluster.file("x.sql", &script);
    let arguments = ["local", "-Dsql-client.execution.result-mode=tableau", "-f", &script.to_string_lossy()];
    let ran = cluster.script("sql-client.sh", &arguments);
    assert!(ran.status.success() && said(&ran).contains("1500"), "{}", said(&ran));
    assert_eq!(lines(&cluster, "files"), 1500, "{}", said(&ran));
    assert!(clusters(&cluster).is_empty());
}

/// Failed before where no variable names the user, as in a container: the log was `flink--minicluster.log`.
#[test]
fn the_log_of_a_local_cluster_is_named_by_the_user() {
    let cluster = Cluster::builder().prepare();
    let script = cluster.file("x.sql", "SELECT 1;\n");
    let mut command = cluster.command("bin/sql-client.sh");
    command.arg("local").arg("-f").arg(script);
    let ran = command.env_remove("FLINK_IDENT_STRING").env_remove("USER").env_remove("LOGNAME").output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    let user = Command::new("id").arg("-un").output().unwrap();
    let expected = format!("flink-{}-minicluster.log", String::from_utf8_lossy(&user.stdout).trim());
    assert!(cluster.dir().join("log").join(&expected).is_file(), "no {expected}: {:?}", cluster.log_files());
}

/// Failed before: nobody read what the cluster's process printed, so each such job failed, cannot print to the TaskManager's output.
#[test]
fn what_jobs_print_is_the_clients_output() {
    let cluster = Cluster::builder().set("parallelism.default", "1").prepare();
    let script = cluster.file(
        "x.sql",
        "CREATE TABLE n (k BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '2000',
           'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '2000');
         CREATE TABLE p (k BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'ü');
         INSERT INTO p SELECT k FROM n;\n",
    );
    let script = script.to_string_lossy();
    let rows = |text: &str| {
        let found = text.lines().filter_map(|line| line.strip_prefix("ü> +I[")?.strip_suffix(']')?.parse().ok());
        let mut found: Vec<u64> = found.collect();
        found.sort_unstable();
        found
    };
    let all: Vec<u64> = (1..=2000).collect();
    let programs: [(&str, &[&str]); 2] =
        [("flink", &["run", "-t", "local", &script]), ("sql-client.sh", &["local", "-f", &script])];
    for (program, arguments) in programs {
        let ran = cluster.script(program, arguments);
        assert!(ran.status.success(), "{}", said(&ran));
        assert_eq!(rows(&String::from_utf8_lossy(&ran.stdout)), all, "{program}");
    }
    // Its output is for something else.
    let folded = cluster.script("sql-client.sh", &["local", "-f", &script, "--fold-json"]);
    assert!(folded.status.success() && rows(&String::from_utf8_lossy(&folded.stdout)).is_empty(), "{}", said(&folded));
    let logs = fs::read_dir(cluster.dir().join("log")).unwrap().flatten();
    let printed = logs.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "out"));
    assert_eq!(rows(&fs::read_to_string(printed.expect("an .out file")).unwrap()), all);
}

#[test]
fn the_command_line_runs_a_script_in_a_cluster_of_its_own() {
    let cluster = Cluster::builder().prepare();
    let script = format!("{}{}INSERT INTO files SELECT n, n FROM numbers;\n", numbers(), table(&cluster, "files"));
    let script = cluster.file("x.sql", &script);
    let script = script.to_string_lossy();
    for (round, arguments) in [
        &["run", "-t", "local"][..],
        &["run-application", "-t", "local"],
        &["run", "-Dexecution.target=local", "-p", "3"],
    ]
    .into_iter()
    .enumerate()
    {
        let ran = cluster.script("flink", &[arguments, &[&*script]].concat());
        assert!(ran.status.success() && said(&ran).contains("has finished"), "{arguments:?}: {}", said(&ran));
        assert_eq!(lines(&cluster, "files"), (round + 1) * 1500, "{arguments:?}: {}", said(&ran));
    }
    for (arguments, words) in [
        (&["run", "-t", "local", "-d"][..], "exclude each other"),
        (&["run-application", "-t", "remote"], "`local` is here"),
        (&["run-application", "-t", "kubernetes-application"], "no Kubernetes client"),
        (&["run", "-Dexecution.target=yarn-application"], "no YARN client"),
        (&["run", "-t", "local", "-m", "localhost:1"], "leave one of them out"),
    ] {
        let refused = cluster.script("flink", &[arguments, &[&*script]].concat());
        assert!(
            refused.status.code() == Some(1) && said(&refused).contains(words),
            "{arguments:?}: {}",
            said(&refused)
        );
    }
    let failing = cluster.file(
        "failing.sql",
        &format!(
            "{}{}INSERT INTO quotients SELECT 1 / (n - n) FROM numbers;\n",
            numbers(),
            "CREATE TABLE quotients (n BIGINT) WITH ('connector' = 'blackhole');\n"
        ),
    );
    for (program, arguments) in [("flink", ["run", "-t", "local"]), ("sql-client.sh", ["local", "-D", "a=b"])] {
        let file = failing.to_string_lossy();
        let file = if program == "flink" { vec![&*file] } else { vec!["-f", &*file] };
        let failed = cluster.script(program, &[&arguments[..], &file].concat());
        assert_eq!(failed.status.code(), Some(1), "{program}: {}", said(&failed));
        assert!(said(&failed).contains("/ by zero"), "{program}: {}", said(&failed));
    }
    assert!(clusters(&cluster).is_empty());
}

#[test]
fn a_local_cluster_ends_with_a_client_that_is_killed() {
    let cluster = Cluster::builder().prepare();
    let script = cluster.file("x.sql", &sql::endless_shuffle(100));
    let mut client = cluster.command("bin/flink");
    client.args(["run", "-t", "local"]).arg(script).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    eventually("a local cluster", LIMIT, || match clusters(&cluster)[..] {
        [_] => Ok(()),
        ref found => Err(format!("{found:?}")),
    });
    process::signal(client.id(), Signal::KILL);
    client.wait().unwrap();
    eventually("its end", LIMIT, || match clusters(&cluster)[..] {
        [] => Ok(()),
        ref found => Err(format!("{found:?}")),
    });
}
