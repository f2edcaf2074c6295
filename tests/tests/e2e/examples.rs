//! The examples run as their headers say.
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wiesel_tests::Cluster;
use wiesel_tests::cluster::home;

fn examples(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.join("examples")).expect("an installation has examples");
    let mut examples: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    examples.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    examples.sort();
    assert!(examples.len() >= 3, "{examples:?}");
    examples
}

/// Runs what an example's header says, from a folder that has nothing to do with the installation.
fn run(cluster: &Cluster, example: &Path) -> Output {
    let text = std::fs::read_to_string(example).expect("an example can be read");
    let command = text.lines().find_map(|line| line.strip_prefix("-- Run it: "));
    let command = command.unwrap_or_else(|| panic!("{} does not say how to run it", example.display()));
    // With the environment of the cluster: its configuration, and a folder of its own.
    let program = command.split_whitespace().next().expect("a command has a program");
    let home = home().canonicalize().expect("the installation is there");
    let program = Path::new(program).strip_prefix(&home).unwrap_or_else(|_| panic!("{command}: not in {home:?}"));
    let arguments = command.split_whitespace().skip(1);
    cluster.command(&program.to_string_lossy()).args(arguments).output().expect("the program can be run")
}

/// Failed before: their paths were of the folder that the cluster happened to be started in.
#[test]
fn examples_run_as_their_headers_say_from_any_folder() {
    let cluster = Cluster::builder().start();
    for example in examples(home()) {
        let output = run(&cluster, &example);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !said.contains("[ERROR]"), "{}: {said}", example.display());
        if let Some(job) = said.split("JobID ").nth(1).and_then(|rest| rest.split_whitespace().next()) {
            cluster.wait_for_tasks(job, std::time::Duration::from_secs(20));
            assert!(cluster.script("flink", &["cancel", job]).status.success());
        }
    }
}

/// Failed before: the examples of a copy named the installation that it was copied from.
#[test]
fn examples_of_an_installation_that_was_copied_or_moved_name_its_place() {
    let cluster = Cluster::builder().start();
    let dir = cluster.dir().canonicalize().unwrap();
    let first = dir.join("data");
    std::fs::create_dir(&first).unwrap();
    for folder in ["bin", "conf", "examples"] {
        let copied = Command::new("cp").arg("-r").args([&home().join(folder), &first]).status();
        assert!(copied.unwrap().success());
    }
    symlink(home().join("lib"), first.join("lib")).unwrap();
    // The second name ends in the first, and is part of a path in the examples.
    let second = dir.join("moved/data");
    std::fs::create_dir(dir.join("moved")).unwrap();
    let before = home().canonicalize().unwrap();
    for (place, former) in [(&first, &before), (&second, &first)] {
        if place == &second {
            std::fs::rename(&first, &second).unwrap();
        }
        // Whichever script is run first.
        let ran = Command::new(place.join("bin/flink")).arg("--help").output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        for (here, there) in examples(place).iter().zip(examples(home())) {
            let expected = std::fs::read_to_string(there).unwrap();
            let expected = expected.replace(&*before.to_string_lossy(), &place.to_string_lossy());
            assert_eq!(std::fs::read_to_string(here).unwrap(), expected, "moved from {}", former.display());
        }
    }
    let example = second.join("examples/carriers.sql");
    let client = second.join("bin/sql-client.sh");
    let output = cluster.command(&client.to_string_lossy()).arg("-f").arg(&example).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("[ERROR]") && said.contains("total of"), "{said}");
}

/// Failed before: it was named as it was given.
#[test]
fn a_script_that_is_missing_is_named_in_full_by_the_client() {
    let cluster = Cluster::builder().prepare();
    for (program, arguments) in [("flink", ["run", "nothing.sql"]), ("sql-client.sh", ["-f", "nothing.sql"])] {
        let output = cluster.script(program, &arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let file = cluster.dir().join("nothing.sql");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the client cannot read") && said.contains(&*file.to_string_lossy()), "{said}");
    }
}

/// Before, it was an unrecognized subcommand, with status 2.
#[test]
fn a_target_that_there_is_not_says_what_to_use() {
    let output = Cluster::builder().prepare().script("flink", &["run-application", "-t", "yarn-application", "x.jar"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no YARN client") && said.contains("bin/standalone-job.sh"), "{said}");
}
