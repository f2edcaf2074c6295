//! A typed option: its key, default and former names.
use std::marker::PhantomData;

use super::{ConfigError, ConfigValue, Configuration, HIDDEN, is_secret};
use crate::quote::{MAX_REASON, bound, quote};

/// An option of type `T`. Declare it as a constant beside the code that reads it.
///
/// ```
/// use wiesel_common::config::{ConfigOption, Configuration};
///
/// const PORT: ConfigOption<u16> = ConfigOption::new("rest.port").default("8081").fallback(&["web.port"]);
/// let config: Configuration = [("web.port".to_owned(), "80".to_owned())].into_iter().collect();
/// assert_eq!(config.get(&PORT), Ok(80));
/// ```
#[derive(Debug)]
pub struct ConfigOption<T> {
    key: &'static str,
    default: Option<&'static str>,
    fallback: &'static [&'static str],
    value: PhantomData<fn() -> T>,
}

impl<T> ConfigOption<T> {
    /// An option without default.
    pub const fn new(key: &'static str) -> Self {
        Self { key, default: None, fallback: &[], value: PhantomData }
    }

    /// The default, as a user would write it.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Keys that are read, in order, where the option's own is not set.
    pub const fn fallback(mut self, keys: &'static [&'static str]) -> Self {
        self.fallback = keys;
        self
    }

    /// The option's key.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.key).chain(self.fallback.iter().copied())
    }
}

impl<T: ConfigValue> ConfigOption<T> {
    pub(super) fn read(&self, config: &Configuration) -> Result<Option<T>, ConfigError> {
        for key in self.keys() {
            if let Some(value) = config.get_raw(key) {
                return T::parse(value).map(Some).map_err(|expected| self.bad_value(key, value, expected));
            }
        }
        let nested = config.below(&format!("{}.", self.key));
        if !nested.is_empty()
            && let Some(value) = T::from_nested(nested)
        {
            return Ok(Some(value));
        }
        let default =
            self.default.map(|text| T::parse(text).map_err(|expected| self.bad_value(self.key, text, expected)));
        default.transpose()
    }

    /// The error for a value that parses and is still refused, such as a negative number of slots.
    pub fn bad_value(&self, key: &str, value: &str, expected: impl Into<String>) -> ConfigError {
        let value = if is_secret(key) { HIDDEN } else { value };
        // What was expected may quote the value, too.
        let mut expected = expected.into();
        bound(&mut expected, MAX_REASON);
        ConfigError::BadValue { key: key.to_owned(), value: quote(value).into_owned(), expected }
    }
}
