//! Logs in Flink's form, to a file or to standard error.
//!
//! ```text
//! 2026-01-31 12:00:00,123 INFO  wiesel_jobmanager::dispatcher                                [] - job submitted job_id=…
//! ```
//!
//! The file is named by `WIESEL_LOG_FILE`, which the scripts set; it is rolled at the start and at 100 MB. The level is
//! `RUST_LOG` (a filter such as `info,wiesel_network=debug`), else `env.log.level` or `rootLogger.level`.
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{ConfigOption, Configuration};

mod format;
mod rolling;

/// The variable that names the log file.
pub const LOG_FILE_VARIABLE: &str = "WIESEL_LOG_FILE";

const LEVEL: ConfigOption<String> = ConfigOption::new("rootLogger.level").fallback(&["env.log.level"]);

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
    let (filter, handle) = reload::Layer::new(filter("INFO"));
    let layer = fmt::layer().with_ansi(false).event_format(format::FlinkFormat).with_writer(writer);
    if tracing_subscriber::registry().with(filter).with(layer).try_init().is_ok() {
        // Set once: only the first subscriber is kept.
        let _ = FILTER.set(handle);
    }
}

/// Sets the level that a configuration asks for, unless `RUST_LOG` is set.
pub fn apply(config: &Configuration) {
    let level = config.get_optional(&LEVEL).ok().flatten();
    if let (Some(level), Some(handle)) = (level, FILTER.get())
        && std::env::var_os("RUST_LOG").is_none()
        && let Err(error) = handle.reload(filter(&level))
    {
        tracing::warn!(%error, "cannot set the level of the log");
    }
}

fn filter(level: &str) -> EnvFilter {
    if let Ok(filter) = EnvFilter::try_from_default_env() {
        return filter;
    }
    let level = match level.to_ascii_lowercase().as_str() {
        "fatal" => "error".to_owned(),
        "all" => "trace".to_owned(),
        other => other.to_owned(),
    };
    EnvFilter::try_new(format!("{level},{QUIET}")).unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET}")))
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
