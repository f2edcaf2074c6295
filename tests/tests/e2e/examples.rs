//! The examples run as their headers say.
use std::path::Path;
use std::process::Output;

use wiesel_tests::Cluster;
use wiesel_tests::cluster::home;

/// Runs what an example's header says, from a folder that has nothing to do with the installation.
fn run(cluster: &Cluster, example: &Path) -> Output {
    let text = std::fs::read_to_string(example).expect("an example can be read");
    let command = text.lines().find_map(|line| line.strip_prefix("-- Run it: "));
    let command = command.unwrap_or_else(|| panic!("{} does not say how to run it", example.display()));
    // With the environment of the cluster: its configuration, and a folder of its own.
    let program = command.split_whitespace().next().expect("a command has a program");
    let program = Path::new(program).strip_prefix(home()).unwrap_or_else(|_| panic!("{command}: not in {:?}", home()));
    let arguments = command.split_whitespace().skip(1);
    cluster.command(&program.to_string_lossy()).args(arguments).output().expect("the program can be run")
}

/// Failed before: their paths were of the folder that the cluster happened to be started in.
#[test]
fn examples_run_as_their_headers_say_from_any_folder() {
    let cluster = Cluster::builder().start();
    let mut examples: Vec<_> = std::fs::read_dir(home().join("examples")).unwrap().map(|e| e.unwrap().path()).collect();
    examples.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    examples.sort();
    assert!(examples.len() >= 3, "{examples:?}");
    for example in examples {
        let output = run(&cluster, &example);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !said.contains("[ERROR]"), "{}: {said}", example.display());
        if let Some(job) = said.split("JobID ").nth(1).and_then(|rest| rest.split_whitespace().next()) {
            cluster.wait_for_tasks(job, std::time::Duration::from_secs(20));
            assert!(cluster.script("flink", &["cancel", job]).status.success());
        }
    }
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
