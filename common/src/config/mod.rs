//! Configuration under Flink's keys.
//!
//! A [`Configuration`] is flat text, key to value, read from a file, the environment and the command line ([`load`]). An
//! option that a component knows is declared once as a [`ConfigOption`] with its type, default and former names; reading
//! it either gives a value of that type or an error that names the key, the value and what was expected.
use std::collections::BTreeMap;

use crate::quote::{MAX_REASON, bounded, quote};

mod aliases;
mod duration;
mod host;
mod keys;
mod list;
mod memory_size;
mod nesting;
mod option;
pub mod options;
mod secrets;
mod sources;
pub(crate) mod unsupported;
mod value;

pub use duration::{FOR_EVER, format_duration, parse_duration, saturating_millis};
pub use host::{Host, LOOPBACK, host_and_port};
pub use keys::{KeyProblem, honoured_keys, nearest_key};
pub use memory_size::{MemorySize, format_memory_size, parse_memory_size};
pub use option::ConfigOption;
pub use secrets::{HIDDEN, is_secret};
pub use sources::{conf_dir, from_environment, from_sources, load, parse_property};
pub use value::{ConfigValue, PortRange};

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A file or text that cannot be read as a configuration.
    #[error("cannot read the configuration from {source_name}: {reason}")]
    Unreadable {
        /// The file, or the variable that holds the text.
        source_name: String,
        /// What was found there.
        reason: String,
    },
    /// A value of the wrong kind.
    #[error("Could not parse value '{value}' for key '{key}': {expected}")]
    BadValue {
        /// The key as it was written.
        key: String,
        /// The value, hidden if the key names a secret.
        value: String,
        /// What the option takes.
        expected: String,
    },
    /// An option without default that is not set.
    #[error("the option '{0}' must be set: it has no default")]
    Missing(String),
    /// Options that contradict each other.
    #[error("{0}")]
    Inconsistent(String),
    /// An option that promises what is not there, where going on without it would do harm.
    #[error("the option '{key}' asks for {what}, which Wiesel does not have yet: it would run without. {instead}")]
    Unsupported {
        /// The key as it was written.
        key: String,
        /// What it asks for.
        what: &'static str,
        /// What to do: a sentence without a full stop.
        instead: &'static str,
    },
}

/// Flink's configuration: keys and their values as text, flat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    values: BTreeMap<String, String>,
}

impl Configuration {
    /// The value of a key as it was written.
    pub fn get_raw(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// An option's value or its default. An error if the value is bad or there is neither.
    pub fn get<T: ConfigValue>(&self, option: &ConfigOption<T>) -> Result<T, ConfigError> {
        self.get_optional(option)?.ok_or_else(|| ConfigError::Missing(option.key().to_owned()))
    }

    /// An option's value or its default, if it has one. An error if the value is bad.
    pub fn get_optional<T: ConfigValue>(&self, option: &ConfigOption<T>) -> Result<Option<T>, ConfigError> {
        option.read(self)
    }

    /// The key under which an option is set: its own, or the first of the former ones.
    pub fn key_of<T>(&self, option: &ConfigOption<T>) -> Option<&'static str> {
        option.keys().find(|key| self.values.contains_key(*key))
    }

    /// Whether an option is set, under its key or a former one.
    pub fn contains<T>(&self, option: &ConfigOption<T>) -> bool {
        self.key_of(option).is_some()
    }

    /// Sets a key, over whatever was there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// Removes a key and says what it was set to.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// All keys in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// All keys in order with the values of secrets hidden: for logs, pages and answers.
    pub fn iter_masked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(key, value)| (key, if is_secret(key) { HIDDEN } else { value }))
    }

    /// The keys below `prefix`, which ends in a dot, without it.
    pub fn below(&self, prefix: &str) -> BTreeMap<String, String> {
        let from = self.values.range(prefix.to_owned()..);
        let below = from.take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, value)| (key[prefix.len()..].to_owned(), value.clone())).collect()
    }

    /// This configuration with another's keys over it.
    pub fn merged(&self, over: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut values = self.values.clone();
        values.extend(over);
        Self { values }
    }

    /// What the user should know about the keys: unknown, deprecated, or without effect here.
    pub fn key_problems(&self) -> Vec<KeyProblem> {
        keys::problems(self.values.keys())
    }

    /// Logs the configuration as it was loaded and what is doubtful about its keys.
    pub fn log(&self) {
        for line in self.lines() {
            tracing::info!("Loading configuration property: {line}");
        }
        for problem in self.key_problems() {
            tracing::warn!("{problem}");
        }
    }

    /// The pairs for the log, each of a bounded length.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.iter_masked().map(|(key, value)| format!("{}, {}", quote(key), bounded(value, MAX_REASON)))
    }
}

impl FromIterator<(String, String)> for Configuration {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests;
