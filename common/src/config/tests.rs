use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::sources::{from_sources, with_defaults};
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
    assert_eq!(nested.get(&taskmanager::SLOTS), Ok(taskmanager::SlotCount(4)));
}

#[test]
fn yaml_scalars_lists_and_maps() {
    let config =
        loaded("a: true\nb: 1.5\nc: [x, 'y;z', 3]\npipeline:\n  global-job-parameters: {k: v, l: 2}\nd:\ne: ''\n");
    assert_eq!(config.get(&ConfigOption::<bool>::new("a")), Ok(true));
    assert_eq!(config.get(&ConfigOption::<f64>::new("b")), Ok(1.5));
    assert_eq!(config.get(&ConfigOption::<Vec<String>>::new("c")).unwrap(), ["x", "y;z", "3"]);
    let parameters = ConfigOption::<BTreeMap<String, String>>::new("pipeline.global-job-parameters");
    let parameters = config.get(&parameters).unwrap();
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
fn defaults_hold_where_no_source_sets_a_key_under_any_of_its_names() {
    let defaults = "rest.bind-address: 0.0.0.0\njobmanager.bind-host: 0.0.0.0\ntaskmanager.bind-host: 0.0.0.0\n";
    let set = config(&[("web.address", "10.0.0.1"), ("taskmanager.bind-host", "10.0.0.2")]);
    let bound = with_defaults(set, Some(defaults)).unwrap();
    let address = |config: &Configuration| config.get(&rest::BIND_ADDRESS).map(Host::into_string);
    assert_eq!(address(&bound).unwrap(), "10.0.0.1", "a former name is a name");
    assert_eq!(bound.get_raw("taskmanager.bind-host"), Some("10.0.0.2"));
    assert_eq!(bound.get_raw("jobmanager.bind-host"), Some("0.0.0.0"));
    assert_eq!(address(&with_defaults(config(&[]), Some(defaults)).unwrap()).unwrap(), "0.0.0.0");
    assert_eq!(with_defaults(config(&[("a", "b")]), None).unwrap(), config(&[("a", "b")]));
    let error = with_defaults(config(&[]), Some("- a")).unwrap_err().to_string();
    assert!(error.contains("WIESEL_DEFAULT_PROPERTIES"), "{error}");
    let promised = with_defaults(config(&[]), Some("security.ssl.internal.enabled: true")).unwrap_err().to_string();
    assert!(promised.contains("security.ssl.internal.enabled"), "{promised}");
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
    assert!(bad("config.yaml", "a: 1\na: 2\n").contains("`a` is there twice, in lines 1 and 2"));
    // Before, it was line 2: there the block begins that holds both.
    let nested = "# x: 1\njobmanager:\n  rpc: {port: 1}\nrest:\n  port: 1\n\njobmanager: # again\n  bind-host: h\n";
    assert!(bad("config.yaml", nested).contains("`jobmanager` is there twice, in lines 2 and 7"));
    let below = "rest.port: 1\nrest:\n  port: 2\n  'port': 3\n";
    assert!(bad("config.yaml", below).contains("`rest.port` is there twice, in lines 3 and 4"));
    // Where lines do not tell it, the parser's words stand.
    assert!(bad("config.yaml", "a: {b: 1, b: 2}\n").contains("duplicate entry"));
    assert!(bad("config.yaml", "- a\n").contains("`key: value`"));
    assert!(bad("flink-conf.yaml", "ok: 1\nnonsense\n").contains("line 2"));
    let missing = from_sources(Some(Path::new("/nowhere")), None, []).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/config.yaml") && missing.contains("FLINK_CONF_DIR"), "{missing}");
    // Before, the advice was the same for a file that is there.
    let text = "rest.port: 80\n";
    let marked: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [&marked[..], &marked[2..], &b"rest.port: \xff\n"[..]] {
        let folder = folder(&[]);
        std::fs::write(folder.path().join("config.yaml"), bytes).unwrap();
        let error = from_sources(Some(folder.path()), None, []).unwrap_err().to_string();
        assert!(error.contains("save it as UTF-8") && !error.contains("FLINK_CONF_DIR"), "{error}");
    }
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
fn a_bad_value_is_quoted_by_its_beginning() {
    let long = "x".repeat(1 << 20);
    for key in ["rest.port", "heartbeat.interval", "taskmanager.memory.segment-size"] {
        let config = config(&[(key, long.as_str())]);
        let error = match key {
            "rest.port" => config.get(&rest::PORT).map(drop),
            "heartbeat.interval" => config.get(&options::cluster::HEARTBEAT_INTERVAL).map(drop),
            _ => config.get(&network::SEGMENT_SIZE).map(drop),
        };
        let text = error.unwrap_err().to_string();
        assert!(text.len() < 2000 && text.contains("more bytes"), "{} bytes", text.len());
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

/// Before, a value of a megabyte was a line of a megabyte.
#[test]
fn the_log_shows_long_keys_and_values_by_their_beginnings() {
    let long = "x".repeat(1 << 20);
    let lines: Vec<_> = config(&[(long.as_str(), long.as_str()), ("rest.port", "80")]).lines().collect();
    assert_eq!(lines[0], "rest.port, 80");
    assert!(lines[1].len() < 2000 && lines[1].matches("more bytes").count() == 2, "{} bytes", lines[1].len());
    let told = config(&[(long.as_str(), "1")]).key_problems()[0].to_string();
    assert!(told.len() < 1000 && told.contains("more bytes"), "{} bytes", told.len());
}

/// Before, the parser read for minutes before it refused them.
#[test]
fn what_is_nested_too_deep_is_refused() {
    let deep = "[".repeat(100_000);
    let file = folder(&[("config.yaml", format!("a: {deep}").as_str())]);
    let error = from_sources(Some(file.path()), None, []).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 128 levels"), "{error}");
    let list = config(&[("a", deep.as_str())]).get(&ConfigOption::<Vec<String>>::new("a"));
    assert_eq!(list, Ok(vec![deep]));
}

#[test]
fn doubtful_keys() {
    let problem = |key: &str| config(&[(key, "1")]).key_problems().first().map(ToString::to_string);
    let unknown = problem("taskmanager.numberOfTaskSlot").unwrap();
    assert!(unknown.contains("did you mean 'taskmanager.numberOfTaskSlots'?"), "{unknown}");
    assert!(problem("no.such.thing.at.all").unwrap().ends_with("it has no effect"));
    assert!(problem("env.java.opts.all").unwrap().contains("Java virtual machines only"));
    assert!(problem("execution.buffer-timeout").unwrap().contains("use 'execution.buffer-timeout.interval'"));
    for key in ["rest.port", "s3.endpoint", "env.pid.dir", "io.tmp.dirs"] {
        assert_eq!(problem(key), None, "{key}");
    }
}

/// Before, nothing was said of keys that are Flink's and do nothing here.
#[test]
fn keys_of_flink_without_effect() {
    let problem = |key: &str| config(&[(key, "1")]).key_problems().first().map(ToString::to_string);
    for key in ["metrics.reporter.prom.port", "table.exec.mini-batch.enabled", "slot.idle.timeout", "zookeeper.x"] {
        let text = problem(key).unwrap();
        assert!(text.contains(key) && text.contains("has no effect"), "{text}");
    }
    // Also below the prefixes where users choose names.
    let near = problem("s3.acces-key").unwrap();
    assert!(near.contains("did you mean 's3.access-key'?"), "{near}");
    assert_eq!(problem("taskmanager.memory.managed.consumer-weights.OPERATOR"), None);
}

#[test]
fn what_promises_protection_does_not_start() {
    let file = folder(&[("config.yaml", "security.ssl.internal.enabled: true\n")]);
    let error = from_sources(Some(file.path()), None, []).unwrap_err().to_string();
    assert!(error.contains("'security.ssl.internal.enabled'") && error.contains("TLS"), "{error}");
    let argument = [("high-availability.type".to_owned(), "zookeeper".to_owned())];
    let error = from_sources(None, None, argument).unwrap_err().to_string();
    assert!(error.contains("high availability"), "{error}");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(loaded("\u{feff}rest:\n  port: 80\n").get(&rest::PORT), Ok(80));
    let older = folder(&[("flink-conf.yaml", "\u{feff}rest.port: 81\n")]);
    assert_eq!(from_sources(Some(older.path()), None, []).unwrap().get(&rest::PORT), Ok(81));
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

const DECLARATION: &str = "ConfigOption::new(";

/// The keys of each option that a file declares: its own and the former ones.
fn declarations(source: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for declaration in source.split(DECLARATION).skip(1) {
        let declaration = declaration.split(';').next().unwrap_or_default();
        let (option, former) = declaration.split_once(".fallback(").unwrap_or((declaration, ""));
        // What is no literal is a parameter: its keys are declared elsewhere.
        let Some(key) = option.trim_start().strip_prefix('"').and_then(|literal| literal.split('"').next()) else {
            continue;
        };
        found.push((key, former.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2).collect()));
    }
    found
}

/// The keys of the options that a file declares, former ones too.
fn declared_keys(source: &str) -> Vec<&str> {
    declarations(source).into_iter().flat_map(|(key, former)| std::iter::once(key).chain(former)).collect()
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

/// The code of a file without what only tests run.
fn shipped(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n")
}

/// The code that the programs are built of, by file.
fn shipped_files(root: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources_below(root, &mut files);
    let is_of_tests = |path: &Path| {
        let below = path.strip_prefix(root).unwrap_or(path);
        let folders = ["tests", "benches", "simulation", "testing", "examples", "target"];
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The second file lists what is refused, the third all that exist.
        name.ends_with("tests.rs")
            || below.ends_with("config/unsupported.rs")
            || below.ends_with("config/keys.rs")
            || below.iter().any(|part| folders.iter().any(|folder| part == *folder))
    };
    files.retain(|file| !is_of_tests(file));
    let with_code = |file: PathBuf| {
        let code = shipped(&std::fs::read_to_string(&file).unwrap());
        (file, code)
    };
    files.into_iter().map(with_code).collect()
}

/// The keys that the programs and the scripts read.
fn keys_read(root: &Path) -> BTreeSet<String> {
    let files = shipped_files(root);
    let declared = files.iter().flat_map(|(_, code)| declared_keys(code)).map(str::to_owned);
    let mut read: BTreeSet<String> = declared.collect();
    let script = std::fs::read_to_string(root.join("dist/bin/config.sh")).unwrap();
    let looked_up = script.split("{CONFIG[").skip(1).filter_map(|text| text.split(']').next());
    read.extend(looked_up.map(str::to_owned));
    read
}

fn honoured() -> BTreeSet<String> {
    let lines = include_str!("honoured.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// So that a key which nothing reads is warned of, and one which is read is not.
#[test]
fn the_list_of_honoured_keys_is_that_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (read, listed) = (keys_read(root), honoured());
    let missing: Vec<_> = read.difference(&listed).collect();
    let left_over: Vec<_> = listed.difference(&read).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "common/src/config/honoured.txt lacks {missing:#?} and has without reason {left_over:#?}"
    );
}

/// Before, keys were read as text here and there: under one name only, and a bad value was taken for none.
#[test]
fn every_key_in_code_is_that_of_an_option() {
    let code = "get_raw(\"rest.port\"); const A: T = ConfigOption::new(\"rest.address\"); say(\"rest.port or a\")";
    assert_eq!(keys_by_themselves(code), ["rest.port"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (file, code) in shipped_files(root) {
        let keys = keys_by_themselves(&code);
        assert!(
            keys.is_empty(),
            "{} has {keys:?}: declare a ConfigOption, read it, and name it by key()",
            file.display()
        );
    }
}

/// The keys that stand in code elsewhere than in the declaration of an option.
fn keys_by_themselves(code: &str) -> Vec<&str> {
    let mut parts = code.split(DECLARATION);
    let first = parts.next().unwrap_or_default();
    let behind = parts.filter_map(|part| part.split_once(';').map(|(_, behind)| behind));
    let texts = std::iter::once(first).chain(behind).flat_map(|part| part.split('"'));
    // A former key is also what REST calls a job's restart strategy.
    texts.filter(|text| keys::is_listed(text) && *text != "restart-strategy").collect()
}

/// Where what is set is handled as text, whatever it means: the options themselves, SET and RESET, and a key that no user sets.
const READS_TEXT: [&str; 6] = [
    "common/src/config/mod.rs",
    "common/src/config/option.rs",
    "sql/src/session/settings.rs",
    "client/src/sql/settings.rs",
    "client/src/sql/rescale.rs",
    "src/expression/context.rs",
];

/// Ways to read by a key alone: without its type, its default and its fallback keys.
const BY_KEY: [&str; 5] = ["get_raw(", "get(", "contains_key(", "remove(", "below("];

/// The lines that read an option by its key, not as what it is declared.
fn reads_by_key(code: &str) -> Vec<&str> {
    let is_one = |line: &&str| {
        let of_key =
            |way: &str| line.split(way).skip(1).any(|rest| rest.split(')').next().unwrap_or("").ends_with(".key("));
        line.contains("get_raw(") || BY_KEY.into_iter().any(of_key)
    };
    code.lines().filter(is_one).collect()
}

#[test]
fn options_are_read_as_what_they_are_declared() {
    let code =
        "a.get(&PORT)\na.get(PORT.key())\na.get_raw(name)\nmap.remove(rest::PORT.key())\nadd(PORT.key(), get(1))";
    assert_eq!(reads_by_key(code), ["a.get(PORT.key())", "a.get_raw(name)", "map.remove(rest::PORT.key())"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut known = 0;
    for (file, code) in shipped_files(root) {
        let found = reads_by_key(&code);
        if READS_TEXT.iter().any(|path| file.ends_with(path)) {
            known += usize::from(!found.is_empty());
        } else {
            assert!(found.is_empty(), "{} reads options as text: {found:#?}. Give get() the option", file.display());
        }
    }
    assert_eq!(known, READS_TEXT.len(), "READS_TEXT names files that read nothing as text any more");
}

/// Two declarations would differ one day in their defaults, or in their fallback keys.
#[test]
fn an_option_is_declared_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut declared: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (file, code) in shipped_files(root) {
        for (key, _) in declarations(&code) {
            if let Some(first) = declared.insert(key.to_owned(), file.clone()) {
                panic!("{key} is declared in {} and in {}: use one of them", first.display(), file.display());
            }
        }
    }
    assert!(declared.len() > 100, "{} options below {}", declared.len(), root.display());
}

/// Before, `pipeline.operator-chaining`, `jobmanager.web.submit.enable` and others, which Flink still reads, had no effect.
#[test]
fn an_option_is_read_under_all_names_that_it_had() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = shipped_files(root);
    let options: BTreeMap<&str, Vec<&str>> = files.iter().flat_map(|(_, code)| declarations(code)).collect();
    let mut count = 0;
    for line in include_str!("keys.tsv").lines() {
        let [former, "was", now] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let Some(names) = options.get(now) else { continue };
        count += 1;
        assert!(names.contains(&former), "{former} is now {now}, whose fallback keys are {names:?}");
    }
    assert!(count > 30, "{count} former names");
}

/// An option that is declared for several crates and read by none would count as honoured.
#[test]
fn every_shared_option_is_read_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    sources_below(root, &mut files);
    let (options, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.parent().is_some_and(|folder| folder.ends_with("config/options")));
    let others = others.iter().filter(|file| !file.ends_with("common/src/config/tests.rs"));
    let code: String = others.map(|file| shipped(&std::fs::read_to_string(file).unwrap())).collect();
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').collect();
    let mut count = 0;
    for file in options {
        let module = file.file_stem().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&file).unwrap();
        for declaration in source.split("pub const ").skip(1) {
            let Some((name, _)) = declaration.split_once(": ConfigOption<") else { continue };
            count += 1;
            let path = format!("{module}::{name}");
            let longer = format!("::{path}");
            // `memory.rs` imports them by name; there are no two of these.
            let is_read = words.iter().any(|word| *word == path || word.ends_with(longer.as_str()))
                || (module == "memory" && words.contains(name));
            assert!(is_read, "nothing reads {path}: remove it");
        }
    }
    assert!(count > 50, "{count} options");
}

/// Before, a process noticed `state.backend.rocksdb.thread.num: many` with the first job.
#[test]
fn every_shared_option_is_checked_at_the_start() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/options");
    let mut files = Vec::new();
    sources_below(&folder, &mut files);
    let list = std::fs::read_to_string(folder.join("mod.rs")).unwrap();
    // The memory model reads its options itself.
    for file in files.iter().filter(|file| !file.ends_with("memory.rs") && !file.ends_with("mod.rs")) {
        let module = file.file_stem().unwrap().to_string_lossy();
        let source = std::fs::read_to_string(file).unwrap();
        for name in source.split("pub const ").skip(1).filter_map(|text| text.split_once(": ConfigOption<")) {
            let name = format!(" {module}::{},", name.0);
            assert!(list.contains(&name), "options::check does not read{name}");
        }
    }
    assert_eq!(options::check(&Configuration::default()), Ok(()));
    for (key, value) in [
        ("state.backend.rocksdb.thread.num", "many"),
        ("execution.checkpointing.unaligned", "1"),
        // Before, the JobManager took it.
        ("taskmanager.numberOfTaskSlots", "0"),
    ] {
        let error = options::check(&config(&[(key, value)])).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}

/// `docs/configuration.md` has a row for each honoured key, and for no other.
#[test]
fn the_documented_keys_are_the_honoured_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    let documented: BTreeSet<String> =
        first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    let listed = honoured();
    let missing: Vec<_> = listed.difference(&documented).collect();
    let left_over: Vec<_> = documented.difference(&listed).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "docs/configuration.md lacks {missing:#?} and has without effect {left_over:#?}"
    );
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

/// Before, a folder's file was read whole, though it was a device that goes on for ever.
#[test]
fn a_file_that_is_none_or_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let refused = || from_sources(Some(folder.path()), None, []).unwrap_err().to_string();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let said = refused();
    assert!(said.contains("config.yaml") && said.contains("a device"), "{said}");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, format!("a: b\n#{}\n", "x".repeat(1 << 20))).unwrap();
    let said = refused();
    let parts = ["config.yaml", "1048583 bytes, of at most 1048576", "FLINK_CONF_DIR"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    // What is wrong with a line is told with its beginning.
    std::fs::write(folder.path().join("flink-conf.yaml"), "x".repeat(1 << 19)).unwrap();
    let said = refused();
    assert!(said.contains("line 1: expected") && said.len() < 1000, "{said}");
}
