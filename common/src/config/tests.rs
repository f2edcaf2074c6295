use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::sources::from_sources;
use super::*;
use crate::config::options::restart::{self, RestartStrategy};
use crate::config::options::{job, memory, network, rest, taskmanager};

fn config(pairs: &[(&str, &str)]) -> Configuration {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn loaded(text: &str) -> Configuration {
    from_sources(Some(folder(&[("config.yaml", text)]).path()), None, []).unwrap()
}

#[test]
fn nested_and_flat_keys_are_the_same() {
    let nested = loaded("rest:\n  port: 80\n  bind-port: 80-90\ntaskmanager:\n  numberOfTaskSlots: 4 # four\n");
    let flat = loaded("rest.port: 80\nrest:\n  bind-port: 80-90\ntaskmanager.numberOfTaskSlots: 4\n");
    assert_eq!(nested, flat);
    assert_eq!(nested.get(&rest::PORT), Ok(80));
    assert_eq!(nested.get(&rest::BIND_PORT).unwrap().iter().count(), 11);
    assert_eq!(nested.get(&taskmanager::SLOTS), Ok(4));
}

#[test]
fn yaml_scalars_lists_and_maps() {
    let config =
        loaded("a: true\nb: 1.5\nc: [x, 'y;z', 3]\npipeline:\n  global-job-parameters: {k: v, l: 2}\nd:\ne: ''\n");
    assert_eq!(config.get(&ConfigOption::<bool>::new("a")), Ok(true));
    assert_eq!(config.get(&ConfigOption::<f64>::new("b")), Ok(1.5));
    assert_eq!(config.get(&ConfigOption::<Vec<String>>::new("c")).unwrap(), ["x", "y;z", "3"]);
    let parameters = config.get(&job::GLOBAL_JOB_PARAMETERS).unwrap();
    assert_eq!(parameters, BTreeMap::from([("k".into(), "v".into()), ("l".into(), "2".into())]));
    assert_eq!((config.get_raw("d"), config.get_raw("e")), (None, Some("")));
}

#[test]
fn each_source_goes_over_the_one_before() {
    let folder = folder(&[("config.yaml", "a: file\nb: file\nc: file\n")]);
    let dynamic = [parse_property("c=command line").unwrap()];
    let config = from_sources(Some(folder.path()), Some("b: variable\nc: variable\nb: last one\n"), dynamic).unwrap();
    let pairs: Vec<_> = config.iter().collect();
    assert_eq!(pairs, [("a", "file"), ("b", "last one"), ("c", "command line")]);
}

#[test]
fn the_older_file() {
    let files = [
        ("flink-conf.yaml", "# older\nrest.port: 80 # eighty\n\nrestart-strategy: fixed-delay\n"),
        ("config.yaml", "rest.port: 81\n"),
    ];
    let config = from_sources(Some(folder(&files).path()), None, []).unwrap();
    assert_eq!(config.get(&rest::PORT), Ok(80));
    assert_eq!(config.get(&restart::TYPE), Ok(RestartStrategy::FixedDelay));
}

#[test]
fn a_file_that_cannot_be_read_says_where() {
    let bad = |name: &str, text: &str| {
        let error = from_sources(Some(folder(&[(name, text)]).path()), None, []).unwrap_err();
        error.to_string()
    };
    let yaml = bad("config.yaml", "rest:\n  port: 80\n bad");
    assert!(yaml.contains("config.yaml") && yaml.contains("line 3"), "{yaml}");
    assert!(bad("config.yaml", "a: 1\na: 2\n").contains("duplicate"));
    assert!(bad("config.yaml", "- a\n").contains("`key: value`"));
    assert!(bad("flink-conf.yaml", "ok: 1\nnonsense\n").contains("line 2"));
    let missing = from_sources(Some(Path::new("/nowhere")), None, []).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/config.yaml") && missing.contains("FLINK_CONF_DIR"), "{missing}");
}

#[test]
fn properties_of_the_command_line() {
    assert_eq!(parse_property("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
    assert_eq!(parse_property("a.b"), Ok(("a.b".into(), "true".into())));
    assert!(parse_property("=x").unwrap_err().to_string().contains("-Dkey=value"));
}

#[test]
fn former_keys_and_defaults() {
    let old = config(&[("execution.buffer-timeout", "5 ms"), ("web.port", "9")]);
    assert_eq!(old.get(&job::BUFFER_TIMEOUT), Ok(Duration::from_millis(5)));
    assert_eq!(old.get(&rest::PORT), Ok(9));
    assert_eq!(old.get(&rest::BIND_PORT), Ok(PortRange::single(9)));
    let none = Configuration::default();
    assert_eq!(none.get(&job::BUFFER_TIMEOUT), Ok(Duration::from_millis(100)));
    assert_eq!(none.get(&memory::NETWORK_MAX), Ok(MemorySize::MAX));
    assert_eq!(none.get_optional(&rest::ADDRESS), Ok(None));
    assert_eq!(none.get(&rest::ADDRESS), Err(ConfigError::Missing("rest.address".into())));
    assert_eq!(none.get(&network::COMPRESSION_CODEC), Ok(network::Compression::Lz4));
}

#[test]
fn a_bad_value_names_key_value_and_what_was_expected() {
    let cases = [
        ("rest.port", "70000", "0 to 65535"),
        ("heartbeat.interval", "soon", "a duration"),
        ("taskmanager.memory.segment-size", "much", "a memory size"),
        ("restart-strategy.type", "sometimes", "none, fixed-delay, failure-rate, exponential-delay"),
        ("web.submit.enable", "yes", "`true` or `false`"),
        ("rest.bind-port", "90-80", "empty"),
    ];
    for (key, value, expected) in cases {
        let config = config(&[(key, value)]);
        let error = match key {
            "rest.port" => config.get(&rest::PORT).map(drop),
            "heartbeat.interval" => config.get(&options::cluster::HEARTBEAT_INTERVAL).map(drop),
            "taskmanager.memory.segment-size" => config.get(&network::SEGMENT_SIZE).map(drop),
            "restart-strategy.type" => config.get(&restart::TYPE).map(drop),
            "web.submit.enable" => config.get(&rest::SUBMIT_ENABLE).map(drop),
            _ => config.get(&rest::BIND_PORT).map(drop),
        };
        let text = error.unwrap_err().to_string();
        assert!([key, value, expected].iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn secrets_are_hidden() {
    let config =
        config(&[("s3.secret-key", "abc"), ("security.ssl.rest.keystore-PASSWORD", "def"), ("rest.port", "80")]);
    let shown: Vec<_> = config.iter_masked().map(|(_, value)| value).collect();
    assert_eq!(shown, ["80", HIDDEN, HIDDEN]);
    let error = config.get(&ConfigOption::<u16>::new("s3.secret-key")).unwrap_err().to_string();
    assert!(!error.contains("abc"), "{error}");
}

#[test]
fn doubtful_keys() {
    let problem = |key: &str| config(&[(key, "1")]).key_problems().first().map(ToString::to_string);
    let unknown = problem("taskmanager.numberOfTaskSlot").unwrap();
    assert!(unknown.contains("did you mean 'taskmanager.numberOfTaskSlots'?"), "{unknown}");
    assert!(problem("no.such.thing.at.all").unwrap().ends_with("it has no effect"));
    assert!(problem("env.java.opts.all").unwrap().contains("Java virtual machines only"));
    assert!(problem("execution.buffer-timeout").unwrap().contains("use 'execution.buffer-timeout.interval'"));
    for key in ["rest.port", "metrics.reporter.prom.port", "s3.endpoint", "env.pid.dir", "io.tmp.dirs"] {
        assert_eq!(problem(key), None, "{key}");
    }
}

/// The files of code below a folder.
fn sources_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                sources_below(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The keys of the options that a file declares, former ones too.
fn declared_keys(source: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for declaration in source.split("ConfigOption::new(").skip(1) {
        let declaration = declaration.split(';').next().unwrap_or_default();
        let (option, former) = declaration.split_once(".fallback(").unwrap_or((declaration, ""));
        // What is no literal is a parameter: its keys are declared elsewhere.
        let Some(literal) = option.trim_start().strip_prefix('"') else { continue };
        keys.extend(literal.split('"').next());
        keys.extend(former.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2));
    }
    keys
}

/// Before, the log said of `task.cancellation.timeout` and others that they have no effect: they were not in the table, which
/// is of the classes that Flink documents.
#[test]
fn every_option_of_the_code_is_known() {
    let former = "const A: T = ConfigOption::new(\n    \"a.b\").default(\"1\").fallback(&[\"c\", \"d\"]);";
    assert_eq!(declared_keys(former), ["a.b", "c", "d"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    sources_below(root, &mut files);
    let mut count = 0;
    for file in files.iter().filter(|file| !file.ends_with("common/src/config/tests.rs")) {
        let source = std::fs::read_to_string(file).unwrap_or_default();
        for key in declared_keys(&source) {
            count += 1;
            let problem = config(&[(key, "1")]).key_problems().into_iter().next();
            assert!(!matches!(problem, Some(KeyProblem::Unknown(..))), "{key} of {}", file.display());
        }
    }
    assert!(count > 100, "{count} options below {}", root.display());
}

proptest! {
    #[test]
    fn lists_maps_and_ports_are_read_as_shown(
        list in proptest::collection::vec("[ -~]{0,6}", 0..4),
        map in proptest::collection::btree_map("[a-z.;:,']{1,5}", "[ -~]{1,6}", 0..4),
        ports in proptest::collection::vec((1..40000u16, 0..9u16), 1..4),
    ) {
        prop_assert_eq!(Vec::<String>::parse(&list.show()), Ok(list));
        prop_assert_eq!(BTreeMap::<String, String>::parse(&map.show()), Ok(map));
        let text = ports.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect::<Vec<_>>().join(",");
        let range = PortRange::parse(&text).unwrap();
        prop_assert_eq!(PortRange::parse(&range.show()), Ok(range));
    }

    #[test]
    fn no_file_panics(text in "[a-c:#\\- \n\\[\\]{}'\"]{0,40}") {
        let files = folder(&[("config.yaml", &text)]);
        let _ = from_sources(Some(files.path()), Some(&text), []);
    }
}
