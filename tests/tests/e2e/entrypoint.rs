//! The entrypoint of the image without a container: what it makes of arguments and variables. `tests/more/image.sh` runs it in one.
use std::process::{Command, Output};

use wiesel_tests::cluster::home;

const VARIABLES: [&str; 5] = [
    "FLINK_PROPERTIES",
    "WIESEL_DEFAULT_PROPERTIES",
    "JOB_MANAGER_RPC_ADDRESS",
    "TASK_MANAGER_NUMBER_OF_TASK_SLOTS",
    "ENABLE_BUILT_IN_PLUGINS",
];

fn entrypoint(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(home().join("docker/docker-entrypoint.sh"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.args(arguments).env("FLINK_HOME", home()).envs(variables.iter().copied()).output().unwrap()
}

/// What a command that the entrypoint runs finds in a variable.
fn found(name: &str, variables: &[(&str, &str)]) -> String {
    let output = entrypoint(&["printenv", name], variables);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn variables_become_properties() {
    let properties = |variables: &[(&str, &str)]| found("FLINK_PROPERTIES", variables);
    let own = ("JOB_MANAGER_RPC_ADDRESS", "jm");
    assert_eq!(properties(&[]), "\n");
    assert_eq!(properties(&[own]).trim(), "jobmanager.rpc.address: jm");
    // Lines of the user's go over it, also those that Flink's image takes without a blank.
    let with_address = ("FLINK_PROPERTIES", "\njobmanager.rpc.address:its-own\n  a.b:  c d \n");
    assert_eq!(properties(&[own, with_address]).trim(), "jobmanager.rpc.address: its-own\n  a.b:  c d");
    let slots = ("TASK_MANAGER_NUMBER_OF_TASK_SLOTS", "3");
    assert_eq!(properties(&[slots, ("FLINK_PROPERTIES", "a: b")]).trim(), "taskmanager.numberOfTaskSlots: 3\na: b");
}

#[test]
fn properties_name_variables() {
    for (text, expanded) in [
        ("a: ${WIESEL_A}", "a: one"),
        ("a: $WIESEL_A-$WIESEL_A", "a: one-one"),
        ("a: <${WIESEL_NONE}$WIESEL_NONE>", "a: <>"),
        ("a: 5$ $1 ${} ${ $", "a: 5$ $1 ${} ${ $"),
        ("a: s3://bucket/$(id)`id`\nb: 'x'", "a: s3://bucket/$(id)`id`\nb: 'x'"),
    ] {
        assert_eq!(found("FLINK_PROPERTIES", &[("FLINK_PROPERTIES", text), ("WIESEL_A", "one")]).trim(), expanded);
    }
}

#[test]
fn a_container_has_defaults_of_its_own() {
    let defaults = found("WIESEL_DEFAULT_PROPERTIES", &[]);
    for part in ["jobmanager.rpc.address: ", "rest.bind-address: 0.0.0.0\n", "taskmanager.bind-host: 0.0.0.0\n"] {
        assert!(defaults.contains(part), "{defaults}");
    }
    assert_eq!(found("WIESEL_DEFAULT_PROPERTIES", &[("WIESEL_DEFAULT_PROPERTIES", "a: b")]), "a: b\n");
}

#[test]
fn what_there_is_not_is_refused_by_name() {
    let refused = entrypoint(&["history-server"], &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("no history-server in this version") && said.contains("Usage"), "{said}");
    for arguments in [&["help"][..], &[]] {
        let helped = entrypoint(arguments, &[]);
        assert!(
            helped.status.success() && String::from_utf8_lossy(&helped.stdout).contains("taskmanager"),
            "{helped:?}"
        );
    }
    assert_eq!(entrypoint(&["no-such-command"], &[]).status.code(), Some(127));
    assert_eq!(entrypoint(&["sh", "-c", "exit 3"], &[]).status.code(), Some(3));
    let plugins = ("ENABLE_BUILT_IN_PLUGINS", "flink-s3-fs-presto-2.3.0.jar;;flink-azure-fs-hadoop-2.3.0.jar");
    let warned = entrypoint(&["true"], &[plugins]);
    let said = String::from_utf8_lossy(&warned.stderr).into_owned();
    assert!(warned.status.success() && said.contains("'flink-azure-fs-hadoop-2.3.0.jar'"), "{said}");
    assert!(!said.contains("presto"), "{said}");
}
