//! Logs in Flink's form, to a file or to standard error.
//!
//! ```text
//! 2026-01-31 12:00:00,123 INFO  wiesel_jobmanager::dispatcher                                [] - job submitted job_id=…
//! ```
//!
//! The file is named by `WIESEL_LOG_FILE`, which the scripts set; it is rolled at the start and at 100 MB. The level is
//! `RUST_LOG` (a filter such as `info,wiesel_network=debug`), else `env.log.level` or `rootLogger.level`.
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{ConfigOption, Configuration};

mod escape;
mod format;
mod ids;
mod retries;
mod rolling;

pub use ids::{checkpoint_span, job_span, request_span, task_span};

/// The variable that names the log file.
pub const LOG_FILE_VARIABLE: &str = "WIESEL_LOG_FILE";

const LEVEL: ConfigOption<String> = ConfigOption::new("rootLogger.level").fallback(&["env.log.level"]);
/// The second of its names.
const FALLBACK: &str = "env.log.level";
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

/// Sets the level that a configuration asks for, unless `RUST_LOG` is set. A level that does not exist is warned of.
pub fn apply(config: &Configuration) {
    let Some(text) = config.get_optional(&LEVEL).ok().flatten() else { return };
    let Some(level) = directive(&text) else {
        let key = if config.get_raw(LEVEL.key()).is_some() { LEVEL.key() } else { FALLBACK };
        tracing::warn!(
            "Could not parse value '{text}' for key '{key}': expected one of {LEVELS}; the level stays INFO"
        );
        return;
    };
    if let Some(handle) = FILTER.get()
        && filter_of_environment().is_none()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!(%error, "cannot set the level of the log");
    }
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
    filter_of_environment().unwrap_or_else(|| EnvFilter::new(format!("{level},{QUIET}")))
}

fn filter_of_environment() -> Option<EnvFilter> {
    let directives = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty())?;
    EnvFilter::try_new(directives).ok()
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

    /// Before, `FOO` was taken for a module: nothing was logged any more.
    #[test]
    fn a_level_that_does_not_exist_changes_nothing() {
        for (level, directive_of_it) in [("info", "info"), ("Warn ", "warn"), ("FATAL", "error"), ("ALL", "trace")] {
            assert_eq!(directive(level), Some(directive_of_it));
        }
        for level in ["FOO", "", "info,h2=off", "wiesel_common", "5"] {
            assert_eq!(directive(level), None, "{level}");
        }
        assert!(LEVELS.split(", ").all(|level| directive(level).is_some()));
    }
}
