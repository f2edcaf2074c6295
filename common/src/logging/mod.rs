//! Logs in Flink's form, to a file or to standard error.
//!
//! ```text
//! 2026-01-31 12:00:00,123 INFO  wiesel_jobmanager::dispatcher                                [] - job submitted job_id=…
//! ```
//!
//! The file is named by `WIESEL_LOG_FILE`, which the scripts set; it is rolled at the start and at 100 MB. The level is
//! `RUST_LOG` (a filter such as `info,wiesel_network=debug`), else `rootLogger.level` or `env.log.level`; until the configuration
//! has been read, and where nothing is set, it is INFO.
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{ConfigError, ConfigOption, Configuration};
use crate::quote::quote;

mod escape;
mod format;
mod ids;
mod limit;
mod retries;
mod rolling;

pub use escape::in_one_line;
pub use ids::{checkpoint_span, job_span, request_span, task_span};
pub use limit::Limit;

/// The variable that names the log file.
pub const LOG_FILE_VARIABLE: &str = "WIESEL_LOG_FILE";

const LEVEL: ConfigOption<String> = ConfigOption::new("rootLogger.level").fallback(&["env.log.level"]);
/// The variable that goes over it.
const LEVEL_VARIABLE: &str = "RUST_LOG";
const LEVELS: &str = "OFF, FATAL, ERROR, WARN, INFO, DEBUG, TRACE, ALL";

/// The libraries whose chatter says nothing to a user.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,reqwest=warn,rustyline=warn";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging, to the file that `WIESEL_LOG_FILE` names or to standard error, and logs panics. An error if the file
/// cannot be opened. A second call has no effect.
pub fn init() -> io::Result<()> {
    match std::env::var_os(LOG_FILE_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => start(rolling::RollingFile::open(PathBuf::from(path))?),
        None => start(io::stderr),
    }
    log_panics();
    Ok(())
}

fn start(writer: impl for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static) {
    let (filter, handle) = reload::Layer::new(filter("info"));
    // A line that cannot be written is lost. The layer would say so with a macro that panics if standard error cannot be written
    // either, as on a disk that is full.
    let layer = fmt::layer()
        .with_ansi(false)
        .log_internal_errors(false)
        .event_format(format::FlinkFormat::default())
        .with_writer(writer);
    if tracing_subscriber::registry().with(filter).with(layer).try_init().is_ok() {
        // Set once: only the first subscriber is kept.
        let _ = FILTER.set(handle);
    }
}

/// Sets the level that a configuration asks for, unless `RUST_LOG` is set.
///
/// # Errors
/// A level that does not exist, of the configuration or of `RUST_LOG`.
pub fn apply(config: &Configuration) -> Result<(), ConfigError> {
    let of_environment = filter_of_environment(std::env::var_os(LEVEL_VARIABLE))?;
    let Some(level) = level(config)? else { return Ok(()) };
    if let Some(handle) = FILTER.get()
        && of_environment.is_none()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!(%error, "cannot set the level of the log");
    }
    Ok(())
}

fn level(config: &Configuration) -> Result<Option<&'static str>, ConfigError> {
    let Some(text) = config.get_optional(&LEVEL)? else { return Ok(None) };
    let key = config.key_of(&LEVEL).unwrap_or(LEVEL.key());
    let expected = || LEVEL.bad_value(key, &text, format!("expected one of {LEVELS}"));
    directive(&text).map(Some).ok_or_else(expected)
}

/// A level of Flink's as the filter names it. Anything else would be taken for the name of a module, and all others would be
/// silent.
fn directive(level: &str) -> Option<&'static str> {
    Some(match level.trim().to_ascii_uppercase().as_str() {
        "OFF" => "off",
        "FATAL" | "ERROR" => "error",
        "WARN" => "warn",
        "INFO" => "info",
        "DEBUG" => "debug",
        "TRACE" | "ALL" => "trace",
        _ => return None,
    })
}

fn filter(level: &str) -> EnvFilter {
    // What is wrong with the variable is said once the log is open, and ends the process.
    let of_environment = filter_of_environment(std::env::var_os(LEVEL_VARIABLE)).ok().flatten();
    of_environment.unwrap_or_else(|| EnvFilter::new(format!("{level},{QUIET}")))
}

fn filter_of_environment(value: Option<OsString>) -> Result<Option<EnvFilter>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let text = value.to_string_lossy();
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let filter = EnvFilter::try_new(text).ok().filter(|_| text.contains('[') || text.split(',').all(names_a_level));
    let refused = || {
        ConfigError::Inconsistent(format!(
            "the variable {LEVEL_VARIABLE} is '{}': expected a level, or levels of parts, such as `info,wiesel_network=debug`; \
             levels are off, error, warn, info, debug and trace",
            quote(text)
        ))
    };
    filter.map(Some).ok_or_else(refused)
}

/// Whether a part of a filter names a level. One that does not is the name of a module, and all others would be silent.
fn names_a_level(part: &str) -> bool {
    part.rsplit('=').next().unwrap_or(part).parse::<LevelFilter>().is_ok()
}

/// Says something on standard error, for whoever starts a process by hand. Unlike `eprintln!` it does not panic if that is
/// closed or full: then there is nobody to tell.
pub fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Has panics in the log as well as on standard error.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
        before(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, each of these was passed over, at most with a warning.
    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        for (level, directive_of_it) in [("info", "info"), ("Warn ", "warn"), ("FATAL", "error"), ("ALL", "trace")] {
            assert_eq!(directive(level), Some(directive_of_it));
        }
        assert!(LEVELS.split(", ").all(|level| directive(level).is_some()));
        for key in ["rootLogger.level", "env.log.level"] {
            for bad in ["FOO", "", "info,h2=off", "wiesel_common", "5"] {
                let mut config = Configuration::default();
                config.set(key, bad);
                let error = level(&config).unwrap_err().to_string();
                let named = error.contains(&format!("'{bad}' for key '{key}'"));
                assert!(named && error.contains("expected one of OFF, FATAL"), "{error}");
            }
        }
        assert_eq!(level(&Configuration::default()), Ok(None));
    }

    #[test]
    fn a_filter_of_the_environment_names_levels() {
        let read = |text: &str| filter_of_environment(Some(text.into()));
        for filter in
            ["info", "WARN", "info,wiesel_network=debug", "wiesel_common::rpc=trace,off", "info,", "[job]=debug"]
        {
            assert!(read(filter).unwrap().is_some(), "{filter}");
        }
        for none in ["", " "] {
            assert!(read(none).unwrap().is_none());
        }
        assert!(filter_of_environment(None).unwrap().is_none());
        for filter in ["loud,=x", "loud", "wiesel_network=loud", "info,wiesel_network", "info, warn"] {
            let error = read(filter).unwrap_err().to_string();
            assert!(error.contains("RUST_LOG") && error.contains(&format!("'{filter}'")), "{error}");
        }
    }
}
