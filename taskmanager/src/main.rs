//! The process of a TaskManager.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use wiesel_common::config::{self, Configuration};
use wiesel_common::logging::complain;
use wiesel_common::memory::TaskManagerMemory;
use wiesel_common::secret;
use wiesel_taskmanager::TaskManager;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs the tasks of Wiesel's jobs.
#[derive(Parser)]
#[command(name = "taskmanager", version)]
struct Arguments {
    /// Sets a configuration key, over the configuration file.
    #[arg(short = 'D', value_name = "key=value", value_parser = config::parse_property)]
    dynamic: Vec<(String, String)>,
    /// The folder with config.yaml; FLINK_CONF_DIR where it is not given.
    #[arg(short = 'c', long = "configDir", value_name = "DIR")]
    config_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = wiesel_common::logging::init() {
        complain(format_args!("TaskManager: cannot open the log file: {error}"));
        return ExitCode::FAILURE;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = format!("{error:#}");
            tracing::error!(reason = message, "the TaskManager ends");
            complain(format_args!("TaskManager: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let folder = arguments.config_dir.unwrap_or_else(config::conf_dir);
    let mut configuration = config::load(&folder, arguments.dynamic)?;
    secret::load(&mut configuration, &folder)?;
    wiesel_common::logging::apply(&configuration)?;
    wiesel_common::process::raise_open_files();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting TaskManager");
    TaskManagerMemory::give_size(&mut configuration);
    configuration.log();
    // Tasks have threads of their own: these two carry calls and the data plane's connections.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("taskmanager-io")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(configuration));
    runtime.shutdown_background();
    ended
}

async fn serve(configuration: Configuration) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A signal that ends it does not wait for what it waits for to start.
    let mut task_manager = tokio::select! {
        started = TaskManager::start(configuration) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    wiesel_common::process::set_role(format!("TaskManager {}", task_manager.resource_id()));
    wiesel_common::process::announce_up();
    let signalled = tokio::select! {
        ended = task_manager.wait() => return ended.map_err(anyhow::Error::msg),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    task_manager.stop(&format!("received {signalled}")).await;
    Ok(())
}
