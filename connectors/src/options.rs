//! The `WITH` options of a table.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use wiesel_common::config::{options, parse_duration, parse_memory_size};
use wiesel_common::quote::{MAX_REASON, bounded, quote};
use wiesel_common::text::{nearest, suggestion};

/// What is wrong with the definition of a table, in Flink's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValidationError(pub String);

impl From<ValidationError> for wiesel_operators::operator::Error {
    fn from(error: ValidationError) -> Self {
        Self::Plan(error.0)
    }
}

/// The outcome of reading options.
pub type Result<T> = std::result::Result<T, ValidationError>;

/// A [`ValidationError`].
pub fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(ValidationError(message.into()))
}

/// Options every source table takes, whatever its connector.
pub(crate) const WATERMARK_OPTIONS: [&str; 5] = [
    "scan.watermark.alignment.group",
    "scan.watermark.alignment.max-drift",
    "scan.watermark.alignment.update-interval",
    "scan.watermark.emit.strategy",
    "scan.watermark.idle-timeout",
];

/// Options as they were written, read by type.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    values: &'a BTreeMap<String, String>,
}

impl<'a> Options<'a> {
    /// These options.
    pub fn new(values: &'a BTreeMap<String, String>) -> Self {
        Self { values }
    }

    /// The text of an option.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).map(String::as_str)
    }

    /// The options whose keys begin so, without that beginning.
    pub(crate) fn below(&self, prefix: &str) -> BTreeMap<String, String> {
        let below = |(key, value): (&String, &String)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone()));
        self.values.iter().filter_map(below).collect()
    }

    /// The options whose keys begin so.
    pub(crate) fn that_begin_with(&self, prefix: &str) -> BTreeMap<String, String> {
        let begins = |(key, _): &(&String, &String)| key.starts_with(prefix);
        self.values.iter().filter(begins).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// A whole number.
    pub fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        self.text(key).map(|text| number(key, text)).transpose()
    }

    /// A whole number above 0.
    pub(crate) fn positive(&self, key: &str, default: i64) -> Result<i64> {
        match self.number::<i64>(key)? {
            Some(n) if n <= 0 => invalid(format!("Option '{key}' must be a positive number, but was: {n}")),
            n => Ok(n.unwrap_or(default)),
        }
    }

    /// `true` or `false`, in any case.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(unparsable(
                key,
                text,
                format!(
                    "Unrecognized option for boolean: {}. Expected either true or false(case insensitive)",
                    quote(text)
                ),
            )),
        }
    }

    /// A duration in whole milliseconds, such as `10 s`, `1min` or `PT10S`.
    pub fn duration(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match parse_duration(text) {
            Ok(duration) => Ok(Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
            Err(error) => Err(unparsable(key, text, error)),
        }
    }

    /// A size in bytes, such as `200b` or `64mb`.
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match parse_memory_size(text) {
            Ok(size) => Ok(Some(size.bytes())),
            Err(error) => Err(unparsable(key, text, error)),
        }
    }

    /// Fails unless all of these are there.
    pub fn require(&self, keys: &[&str]) -> Result<()> {
        let mut missing: Vec<&str> = keys.iter().copied().filter(|key| !self.values.contains_key(*key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        let missing: Vec<String> = missing.into_iter().map(|key| format!("{key}{}", self.written_for(key))).collect();
        invalid(format!(
            "One or more required options are missing.\n\nMissing required options are:\n\n{}",
            missing.join("\n")
        ))
    }

    /// `; did you mean it by 'x'?` of an option that is written much like a missing one, or nothing.
    fn written_for(&self, missing: &str) -> String {
        let written = self.values.keys().find(|key| nearest(key, [missing].into_iter()).is_some());
        written.map_or_else(String::new, |key| format!("; did you mean it by '{}'?", quote(key)))
    }

    /// Fails if an option is not among the supported ones. `connector` must be one of them; a supported key that ends in
    /// `*` stands for all that begin so.
    pub fn allow_only(&self, identifier: &str, supported: &[String]) -> Result<()> {
        let known = |key: &str| {
            supported.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => name == key,
            })
        };
        let named = || supported.iter().map(String::as_str).filter(|name| !name.ends_with('*'));
        let unknown: Vec<&String> = self.values.keys().filter(|key| !known(key)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<String> =
            unknown.into_iter().map(|key| format!("{key}{}", suggestion(key, named()))).collect();
        let mut supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        supported.sort_unstable();
        supported.dedup();
        invalid(format!(
            "Unsupported options found for '{identifier}'.\n\nUnsupported options:\n\n{}\n\nSupported options:\n\n{}",
            unknown.join("\n"),
            supported.join("\n")
        ))
    }
}

/// ` Did you mean 'x'?`, to follow a sentence about a name that is not known, or nothing.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(name, known).map_or_else(String::new, |other| format!(" Did you mean '{other}'?"))
}

/// Whether the job takes checkpoints by itself, so that sinks may wait for one.
pub(crate) fn checkpointing(configuration: &wiesel_common::config::Configuration) -> bool {
    let interval = configuration.get_optional(&options::checkpointing::INTERVAL);
    interval.ok().flatten().is_some_and(|interval| !interval.is_zero())
}

/// Reads a number, with an error that names its option.
pub(crate) fn number<T: FromStr>(key: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| unparsable(key, text, format!("For input string: \"{}\"", quote(text))))
}

pub(crate) fn unparsable(key: &str, text: &str, why: impl Display) -> ValidationError {
    let why = why.to_string();
    ValidationError(format!("Could not parse value '{}' for key '{key}': {}", quote(text), bounded(&why, MAX_REASON)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: only what is missing was named, although it stood there, misspelt.
    #[test]
    fn a_missing_option_is_likened_to_those_that_are_there() {
        let missing = |keys: &[&str]| {
            let values = keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect();
            let refused = Options::new(&values).require(&["path", "format"]).unwrap_err().0;
            refused.rsplit_once("options are:\n\n").unwrap().1.to_owned()
        };
        assert_eq!(missing(&["connector", "pth", "format"]), "path; did you mean it by 'pth'?");
        assert_eq!(missing(&["FORMAT", "path"]), "format; did you mean it by 'FORMAT'?");
        assert_eq!(missing(&["connector", "fromat"]), "format; did you mean it by 'fromat'?\npath");
    }

    /// Before, tables read durations by themselves, and neither ISO 8601 nor anything below a millisecond, as Flink does.
    #[test]
    fn durations_and_sizes_are_read_as_in_the_configuration() {
        let value = |text: &str| BTreeMap::from([("k".to_owned(), text.to_owned())]);
        for (text, millis) in [
            ("PT10S", 10_000),
            ("10 s", 10_000),
            ("1500 µs", 1),
            ("999 micros", 0),
            ("0", 0),
            (" 2 MIN ", 120_000),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(Options::new(&value(text)).duration("k").unwrap(), Some(millis), "{text}");
        }
        let long = "9".repeat(1 << 20);
        for text in ["", "-1", "1 x", "s", "NaN", "99999999999999999999 d", long.as_str(), "é", "1500 us"] {
            let refused = Options::new(&value(text)).duration("k").unwrap_err().0;
            assert!(refused.contains("for key 'k'") && refused.contains("10 s") && refused.len() < 2000, "{refused}");
        }
        assert_eq!(Options::new(&value("64 mb")).size("k").unwrap(), Some(64 << 20));
        for text in ["", "-1", "9223372036854775808", "1 x", long.as_str()] {
            let refused = Options::new(&value(text)).size("k").unwrap_err().0;
            assert!(refused.contains("for key 'k'") && refused.len() < 2000, "{refused}");
        }
    }
}
