//! Where the configuration comes from, each source over the one before: the variable `WIESEL_DEFAULT_PROPERTIES`, the file in the
//! configuration folder, the variable `FLINK_PROPERTIES`, the pairs of the command line.
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_norway::Value;

use super::aliases::parse;
use super::nesting::{MAX_DEPTH, is_too_deep};
use super::{ConfigError, Configuration, keys};
use crate::input::{Bound, read_file};
use crate::quote::quote;
use crate::text::without_byte_order_mark;

/// The configuration file.
const CONFIG_FILE: &str = "config.yaml";
/// The file of Flink 1.x, one `key: value` a line. Where it exists it is the one that is read, as in Flink 1.19 and 1.20.
const LEGACY_FILE: &str = "flink-conf.yaml";

/// What a configuration file may have.
const MAX_FILE: Bound =
    Bound { bytes: 1 << 20, advice: "a configuration is short: FLINK_CONF_DIR names the folder that holds it" };

/// The variable with lines of the same form.
const PROPERTIES: &str = "FLINK_PROPERTIES";

/// The variable with lines of the same form that hold where no other source sets a key: an image has defaults of its own there.
const DEFAULTS: &str = "WIESEL_DEFAULT_PROPERTIES";

/// The configuration folder: `FLINK_CONF_DIR`, else `FLINK_HOME/conf`, else `conf` beside the folder of this executable,
/// else `conf` here.
pub fn conf_dir() -> PathBuf {
    if let Some(folder) = variable("FLINK_CONF_DIR") {
        return PathBuf::from(folder);
    }
    if let Some(home) = variable("FLINK_HOME") {
        return Path::new(&home).join("conf");
    }
    let executable = std::env::current_exe().ok();
    let installed = executable.as_deref().and_then(Path::parent).and_then(Path::parent).map(|home| home.join("conf"));
    installed.filter(|folder| folder.is_dir()).unwrap_or_else(|| PathBuf::from("conf"))
}

/// Loads the two variables, the file in [`conf_dir`] and the command line's pairs.
pub fn from_environment(dynamic: impl IntoIterator<Item = (String, String)>) -> Result<Configuration, ConfigError> {
    load(&conf_dir(), dynamic)
}

/// Loads the two variables, the file in a folder and the command line's pairs.
pub fn load(
    conf_dir: &Path,
    dynamic: impl IntoIterator<Item = (String, String)>,
) -> Result<Configuration, ConfigError> {
    let config = from_sources(Some(conf_dir), text_of_variable(PROPERTIES)?.as_deref(), dynamic)?;
    with_defaults(config, text_of_variable(DEFAULTS)?.as_deref())
}

fn text_of_variable(name: &str) -> Result<Option<String>, ConfigError> {
    // What is left out because it cannot be read may be the secret.
    std::env::var_os(name)
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| ConfigError::Unreadable { source_name: name.to_owned(), reason: "it is not UTF-8".to_owned() })
}

/// Sets those of the default properties whose key is not set under any of its names.
pub(super) fn with_defaults(mut config: Configuration, defaults: Option<&str>) -> Result<Configuration, ConfigError> {
    let Some(defaults) = defaults else { return Ok(config) };
    let set: BTreeSet<String> = config.iter().map(|(key, _)| keys::current_name(key).to_owned()).collect();
    for (key, value) in from_properties(defaults, DEFAULTS)? {
        if !set.contains(keys::current_name(&key)) {
            config.set(key, value);
        }
    }
    super::unsupported::refuse(&config)?;
    Ok(config)
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Loads a folder's file, if a folder is given, then properties in the form of the file, then pairs. An error also where
/// they ask for a protection that is not there.
pub fn from_sources(
    folder: Option<&Path>,
    properties: Option<&str>,
    dynamic: impl IntoIterator<Item = (String, String)>,
) -> Result<Configuration, ConfigError> {
    let mut config = match folder {
        Some(folder) => from_folder(folder)?,
        None => Configuration::default(),
    };
    if let Some(text) = properties {
        config = config.merged(from_properties(text, PROPERTIES)?);
    }
    let config = config.merged(dynamic);
    super::unsupported::refuse(&config)?;
    Ok(config)
}

fn from_folder(folder: &Path) -> Result<Configuration, ConfigError> {
    let legacy = folder.join(LEGACY_FILE);
    let (path, is_legacy) = if legacy.is_file() { (legacy, true) } else { (folder.join(CONFIG_FILE), false) };
    let name = quote(&path.to_string_lossy()).into_owned();
    let unreadable = |reason: String| ConfigError::Unreadable { source_name: name.clone(), reason };
    let bytes = read_file(&path, &MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            unreadable(format!("{error}; set FLINK_CONF_DIR to the folder that holds config.yaml"))
        }
        _ => unreadable(error.to_string()),
    })?;
    // UTF-16 without a mark is UTF-8 with zeros.
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| unreadable("it is not UTF-8, perhaps UTF-16: save it as UTF-8".to_owned()))?;
    let text = without_byte_order_mark(&text);
    let pairs = if is_legacy { from_lines(text).map_err(unreadable)? } else { from_yaml(text, &name)? };
    Ok(pairs.into_iter().collect())
}

/// The pairs of a variable.
fn from_properties(text: &str, name: &str) -> Result<Vec<(String, String)>, ConfigError> {
    // Lines may set a key twice, which YAML forbids: the last one counts.
    from_yaml(text, name).or_else(|error| from_lines(text).map_err(|_| error))
}

/// The pairs of `key: value` lines; `#` begins a comment.
fn from_lines(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let pair = line.split_once(": ").map(|(key, value)| (key.trim(), value.trim()));
        match pair {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                pairs.push((key.to_owned(), value.to_owned()))
            }
            _ => return Err(format!("line {}: expected `key: value`, found `{}`", number + 1, quote(shown(line)))),
        }
    }
    Ok(pairs)
}

/// A line for an error message: nothing after a key that names a secret.
fn shown(line: &str) -> &str {
    let key = line.split([':', '=', ' ']).next().unwrap_or_default();
    if super::is_secret(line) { key } else { line }
}

/// The pairs of a YAML document, nested keys joined by dots.
fn from_yaml(text: &str, name: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { source_name: name.to_owned(), reason };
    if is_too_deep(text) {
        return Err(unreadable(format!("lists and maps are nested deeper than {MAX_DEPTH} levels")));
    }
    let document = parse(text).map_err(|error| {
        // The parser names the line of the block that holds both.
        let twice = error.contains("duplicate entry").then(|| set_twice(text)).flatten();
        unreadable(twice.unwrap_or(error))
    })?;
    let mut pairs = Vec::new();
    match document {
        Value::Null => {}
        Value::Mapping(_) => flatten(String::new(), document, &mut pairs),
        _ => return Err(unreadable("expected `key: value` pairs".to_owned())),
    }
    Ok(pairs)
}

/// Which key is set twice, and in which lines. It goes by the lines alone, so it is only for texts that have one.
fn set_twice(text: &str) -> Option<String> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut lines: HashMap<Vec<&str>, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.trim_start();
        let indent = line.len() - entry.len();
        let Some((key, rest)) = entry.split_once(':').filter(|_| !entry.starts_with(['#', '-'])) else { continue };
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            continue;
        }
        while above.last().is_some_and(|(of, _)| *of >= indent) {
            above.pop();
        }
        above.push((indent, key.trim().trim_matches(['"', '\''])));
        // Then the parser has another complaint.
        if above.len() > MAX_DEPTH {
            return None;
        }
        let path: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
        let name = path.join(".");
        if let Some(first) = lines.insert(path, number + 1) {
            let second = number + 1;
            let name = quote(&name);
            return Some(format!(
                "`{name}` is there twice, in lines {first} and {second}: put what belongs to it in one place"
            ));
        }
    }
    None
}

fn flatten(key: String, value: Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Mapping(entries) => {
            for (name, value) in entries {
                let name = scalar_text(name);
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, pairs);
            }
        }
        _ => pairs.push((key, scalar_text(value))),
    }
}

/// A YAML value as the text of an option: scalars as they are, lists and maps in YAML's flow style.
pub(super) fn scalar_text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value,
        // JSON is YAML in flow style.
        other => serde_json::to_string(&other).unwrap_or_default(),
    }
}

/// The pair of a `-Dkey=value` argument without its `-D`. A key alone means `true`.
pub fn parse_property(text: &str) -> Result<(String, String), ConfigError> {
    let (key, value) = text.split_once('=').unwrap_or((text, "true"));
    let key = key.trim();
    if key.is_empty() {
        let expected = "expected -Dkey=value".to_owned();
        return Err(ConfigError::BadValue { key: "-D".to_owned(), value: quote(shown(text)).into_owned(), expected });
    }
    Ok((key.to_owned(), value.to_owned()))
}
