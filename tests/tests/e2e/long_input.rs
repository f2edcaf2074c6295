//! What clients and scripts of the shell are given is read within bounds and quoted by its beginning, whatever it is.
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use wiesel_tests::{Cluster, home};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Before, they took gigabytes within seconds.
#[test]
fn scripts_without_an_end_are_refused() {
    let cluster = Cluster::builder().prepare();
    for (program, arguments) in [
        ("sql-client.sh", &["-f", "/dev/zero"][..]),
        ("sql-client.sh", &["-i", "/dev/zero", "-f", "/dev/null"][..]),
        ("flink", &["run", "/dev/zero"][..]),
        ("flink", &["info", "/dev/zero"][..]),
    ] {
        let refused = cluster.script(program, arguments);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("/dev/zero: it is a device"), "{said}");
    }
    for arguments in [&[][..], &["-f", "/dev/stdin"][..]] {
        let mut command = cluster.command("bin/sql-client.sh");
        let refused = command.args(arguments).stdin(File::open("/dev/zero").unwrap()).output().unwrap();
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("more than 16777216 bytes") || said.contains("it is a device"), "{said}");
    }
    let long = cluster.file("long.sql", &" ".repeat((2 << 20) + 1));
    let said = text(&cluster.script("flink", &["run", &long.to_string_lossy()]));
    assert!(said.contains("long.sql") && said.contains("of at most 2097152: split it"), "{said}");
}

#[test]
fn scripts_come_through_pipes() {
    let cluster = Cluster::builder().prepare();
    let client = home().join("bin/sql-client.sh");
    let mut substituted = cluster.command("/usr/bin/env");
    substituted.args(["bash", "-c", "\"$0\" -f <(echo 'SHOW TABLES;')"]).arg(&client);
    let substituted = substituted.output().unwrap();
    assert!(substituted.status.success() && text(&substituted).contains("Empty set"), "{substituted:?}");
    for arguments in [&[][..], &["-f", "/dev/stdin"][..]] {
        let mut command = cluster.command("bin/sql-client.sh");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        client.stdin.take().unwrap().write_all(b"SHOW TABLES;\n").unwrap();
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success() && text(&output).contains("Empty set"), "{output:?}");
    }
    let nothing = cluster.script("sql-client.sh", &["-f", "/dev/null"]);
    assert!(nothing.status.success(), "{nothing:?}");
}

/// Before, all of it was printed, and what steers a terminal went to it.
#[test]
fn arguments_are_quoted_by_their_beginning_and_without_control_characters() {
    let cluster = Cluster::builder().prepare();
    for given in ["x".repeat(130_000), "\x1b[2Jx\x07".to_owned()] {
        for (program, arguments) in [
            ("sql-client.sh", &[][..]),
            ("sql-client.sh", &["--fold-json", "-f", "x.sql", "--rescale-to"][..]),
            ("sql-client.sh", &["-f"][..]),
            ("sql-client.sh", &["-s", "default", "-D"][..]),
            ("flink", &[][..]),
            ("flink", &["cancel"][..]),
            ("flink", &["run"][..]),
            ("flink", &["run", "-p"][..]),
            ("flink", &["list", "-m"][..]),
            ("flink", &["savepoint", "-d"][..]),
            ("flink-daemon.sh", &["start"][..]),
            ("flink-daemon.sh", &[][..]),
            ("flink-console.sh", &[][..]),
        ] {
            let mut all = arguments.to_vec();
            all.push(&given);
            let output = cluster.script(program, &all);
            let said = text(&output);
            assert!(!output.status.success() && !said.is_empty(), "{program} {arguments:?}: {output:?}");
            assert!(said.len() < 4000, "{program} {arguments:?}: {} bytes", said.len());
            assert!(!said.contains(['\x1b', '\x07']), "{program} {arguments:?}: {said:?}");
        }
    }
}

/// Before, a name went to ssh as an option and to the terminal as it was, and one of a megabyte took longer than anybody waits.
#[test]
fn lists_of_hosts_hold_names_of_hosts() {
    let cluster = Cluster::builder().prepare();
    // Several run at once: each appends its line in one piece.
    let ssh = cluster.file("ssh", "#!/bin/sh\nline=$(printf '%s|' \"$@\")\nprintf '%s\\n' \"$line\" >>\"$SSH_LOG\"\n");
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = cluster.dir().join("ssh.log");
    let stop = |workers: &str| {
        std::fs::write(cluster.conf().join("workers"), workers).unwrap();
        let path = format!("{}:{}", cluster.dir().display(), std::env::var("PATH").unwrap_or_default());
        let began = Instant::now();
        let mut command = cluster.command("bin/stop-cluster.sh");
        let output = command.env("PATH", path).env("SSH_LOG", &log).output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        output
    };
    for (workers, place, reason) in [
        ("localhost\n-oProxyCommand=x\n".to_owned(), "workers, line 2", "cannot begin with -"),
        ("a\x1b[2J\x07\n".to_owned(), "workers, line 1", "no name has"),
        ("a\nb;c\n".to_owned(), "workers, line 2", "no name has"),
        (format!("a\n\n{}", "x".repeat(1 << 20)), "workers, line 3", "more than 1000 characters"),
    ] {
        let refused = stop(&workers);
        let said = text(&refused);
        assert!(!refused.status.success() && said.contains(place) && said.contains(reason), "{said}");
        assert!(said.len() < 1000 && !said.contains(['\x1b', '\x07']), "{said:?}");
        assert!(!log.exists(), "ssh was run");
    }
    let stopped = stop("\u{feff}worker-1 # one\r\n\n/rack/user@worker_2.x\nlocalhost");
    assert!(stopped.status.success(), "{stopped:?}");
    let mut calls: Vec<String> = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    calls.sort();
    let [one, two] = &calls[..] else { panic!("{calls:?}") };
    assert!(one.starts_with("-n|--|user@worker_2.x|/bin/bash -l ") && two.starts_with("-n|--|worker-1|"), "{calls:?}");
}

/// Before, twenty seconds were not enough for a line with ten thousand blanks.
#[test]
fn scripts_read_a_configuration_with_long_lines() {
    let cluster = Cluster::builder().prepare();
    let path = cluster.conf().join("config.yaml");
    let before = std::fs::read_to_string(&path).unwrap();
    // A busy machine takes longer for both; each step for each blank would make it thousands of times as long.
    let began = Instant::now();
    assert!(cluster.script("stop-cluster.sh", &[]).status.success());
    let bound = 200 * began.elapsed();
    let blanks = format!("{before}\nx.y: x{}\n", " ".repeat(100_000));
    let many = format!("{before}\n{}", "\n".repeat(1 << 20));
    for (text_of_file, starts) in [(blanks, true), (many, false)] {
        std::fs::write(&path, text_of_file).unwrap();
        let began = Instant::now();
        let output = cluster.script("stop-cluster.sh", &[]);
        assert_eq!(output.status.success(), starts, "{output:?}");
        assert!(starts || text(&output).contains("config.yaml has more than"), "{output:?}");
        assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    }
}

/// Failed before: 0 is a process group, that of the script itself, which was killed with all that was started with it.
#[test]
fn a_pid_file_that_holds_no_pid_stops_nothing() {
    let cluster = Cluster::builder().prepare();
    let folder = cluster.dir().join("pid");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("flink-x-standalonesession.pid"), "0\n00\n99999999999999999999\n-1\n").unwrap();
    let mut command = cluster.command("bin/jobmanager.sh");
    let stopped = command.arg("stop").env("FLINK_IDENT_STRING", "x").process_group(0).output().unwrap();
    assert!(stopped.status.success() && text(&stopped).contains("No standalonesession daemon to stop"), "{stopped:?}");
}
