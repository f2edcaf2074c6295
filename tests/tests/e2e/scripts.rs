//! The scripts of `bin/`, wherever they are called from and by whatever name.
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use wiesel_tests::Cluster;
use wiesel_tests::cluster::home;

/// The scripts that are run; `config.sh` is for them to read.
const SCRIPTS: [&str; 9] = [
    "flink",
    "sql-client.sh",
    "flink-console.sh",
    "flink-daemon.sh",
    "jobmanager.sh",
    "standalone-job.sh",
    "taskmanager.sh",
    "start-cluster.sh",
    "stop-cluster.sh",
];

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a script by its name alone, from the folder where it is.
fn by_name(cluster: &Cluster, script: &str, arguments: &[&str]) -> Output {
    let mut command = cluster.command("/usr/bin/env");
    command.args(["bash", script]).args(arguments).current_dir(home().join("bin")).output().unwrap()
}

/// Failed before: each looked for config.sh in a folder that had the script's own name.
#[test]
fn scripts_run_by_their_names_alone_from_their_folder() {
    let cluster = Cluster::builder().prepare();
    let started = by_name(&cluster, "start-cluster.sh", &[]);
    assert!(started.status.success(), "{}", said(&started));
    cluster.wait_for_slots(2);
    for client in ["flink", "sql-client.sh"] {
        let helped = by_name(&cluster, client, &["--help"]);
        assert!(helped.status.success() && said(&helped).contains("Usage"), "{}", said(&helped));
    }
    for (script, arguments) in [
        ("taskmanager.sh", &["stop"][..]),
        ("flink-daemon.sh", &["stop", "taskexecutor"]),
        ("jobmanager.sh", &["stop"]),
        ("stop-cluster.sh", &[]),
    ] {
        let stopped = by_name(&cluster, script, arguments);
        assert!(stopped.status.success(), "{script}: {}", said(&stopped));
        assert!(stopped.stderr.is_empty(), "{script}: {}", said(&stopped));
    }
    assert!(cluster.all_pids().is_empty());
}

/// Links to the scripts: one to a link beside it, whose target is given from its own folder.
fn link(scripts: &Path, folder: &Path) {
    std::fs::create_dir_all(folder.join("real")).unwrap();
    symlink(scripts, folder.join("real/bin")).unwrap();
    for script in SCRIPTS {
        symlink(Path::new("real/bin").join(script), folder.join(format!("first-{script}"))).unwrap();
        symlink(format!("first-{script}"), folder.join(script)).unwrap();
    }
}

/// Failed before: a script looked for config.sh beside the link to it, and `cd` printed what it found through CDPATH.
#[test]
fn links_to_scripts_work_whatever_cdpath_is() {
    let cluster = Cluster::builder().prepare();
    let links = cluster.dir().join("links");
    link(&home().canonicalize().unwrap().join("bin"), &links);
    let run = |script: &str, arguments: &[&str]| {
        let mut command = cluster.command("/usr/bin/env");
        command.args(["bash", &format!("links/{script}")]).args(arguments);
        command.env("CDPATH", cluster.dir()).env("FLINK_PID_DIR", "pid").output().unwrap()
    };
    let started = run("start-cluster.sh", &[]);
    assert!(started.status.success(), "{}", said(&started));
    cluster.wait_for_slots(2);
    let listed = run("flink", &["list"]);
    assert!(listed.status.success(), "{}", said(&listed));
    let script = cluster.file("x.sql", "SHOW CATALOGS;");
    let shown = run("sql-client.sh", &["-f", &script.to_string_lossy()]);
    assert!(shown.status.success() && said(&shown).contains("default_catalog"), "{}", said(&shown));
    let stopped = run("stop-cluster.sh", &[]);
    assert!(stopped.status.success() && stopped.stderr.is_empty(), "{}", said(&stopped));
    assert!(cluster.all_pids().is_empty());
}

/// Failed before: they went on, with nothing of what they need, to `/flink` and `/taskmanager.sh`.
#[test]
fn scripts_end_without_what_they_read_first() {
    let cluster = Cluster::builder().prepare();
    let copied = Command::new("cp").arg("-r").args([&home().join("bin"), cluster.dir()]).status();
    assert!(copied.unwrap().success());
    std::fs::remove_file(cluster.dir().join("bin/config.sh")).unwrap();
    for script in SCRIPTS {
        let path = cluster.dir().join("bin").join(script);
        let ran = cluster.command(&path.to_string_lossy()).arg("stop").output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{script}: {}", said(&ran));
        let lines = said(&ran);
        assert!(lines.contains("config.sh") && lines.lines().count() == 1, "{script}: {lines}");
    }
}

/// Failed before: the pid went into the file that a link named, which in /tmp anybody can make beforehand, and a daemon whose pid
/// file was a folder could not be stopped, with status 0.
#[test]
fn the_pid_file_is_a_new_one_whatever_has_its_name() {
    let cluster = Cluster::builder().prepare();
    let pids = cluster.dir().join("pid");
    std::fs::create_dir_all(&pids).unwrap();
    let precious = cluster.file("precious", "precious");
    let run = |argument: &str| {
        let mut command = cluster.command("bin/taskmanager.sh");
        command.arg(argument).env("FLINK_IDENT_STRING", "x").env("FLINK_PID_DIR", &pids).output().unwrap()
    };
    let file = pids.join("flink-x-taskexecutor.pid");
    for link in [&file, &pids.join("flink-x-taskexecutor.pid.tmp")] {
        symlink(&precious, link).unwrap();
    }
    let started = run("start");
    assert!(started.status.success(), "{}", said(&started));
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert!(!file.is_symlink());
    let stopped = run("stop");
    assert!(stopped.status.success() && said(&stopped).contains("Stopping taskexecutor"), "{}", said(&stopped));
    assert_eq!(std::fs::read_dir(&pids).unwrap().count(), 0);

    let is_refused = |reason: &str| {
        for argument in ["start", "stop", "stop-all"] {
            let refused = run(argument);
            assert!(!refused.status.success() && said(&refused).contains(reason), "{argument}: {}", said(&refused));
        }
    };
    std::fs::create_dir(&file).unwrap();
    is_refused("is no regular file: remove it");
    std::fs::remove_dir(&file).unwrap();
    // No numbers: what is in this folder is signalled when the cluster goes.
    std::fs::write(&file, "x\n".repeat(10_000)).unwrap();
    is_refused("has 20000 bytes, of at most 16384");
}
