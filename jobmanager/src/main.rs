//! The `jobmanager` process.
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use wiesel_common::config::options::{jobmanager, rest};
use wiesel_common::config::{ConfigError, Configuration, conf_dir, load, parse_property};
use wiesel_common::logging::complain;
use wiesel_common::memory::JobManagerMemory;
use wiesel_common::secret::{self, Secret};
use wiesel_jobmanager::cluster::{Environment, JobManager};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Few arenas and a quick return of unused pages: a JobManager allocates little and idles much.
#[allow(unsafe_code, reason = "the name under which jemalloc looks for its options; nothing is dereferenced here")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 73] = b"narenas:2,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:1000\0";

/// Threads that run actors and handlers; none of them ever computes for long.
const WORKERS: usize = 2;
/// Threads for enumerators and files. Scripts are planned on threads of their own.
const MAX_BLOCKING: usize = 16;
/// For deeply nested SQL.
const STACK_BYTES: usize = 8 << 20;

/// The JobManager of a session cluster.
#[derive(Parser)]
#[command(name = "jobmanager", version, disable_help_flag = true)]
struct Arguments {
    /// A configuration key over those of the file.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    properties: Vec<String>,
    /// The folder of config.yaml, instead of FLINK_CONF_DIR.
    #[arg(short = 'c', long = "configDir", value_name = "FOLDER")]
    config_dir: Option<std::path::PathBuf>,
    /// The host this JobManager is reached by (jobmanager.rpc.address).
    #[arg(short = 'h', long = "host")]
    host: Option<String>,
    /// The port of REST (rest.port).
    #[arg(short = 'r', long = "webui-port", value_name = "PORT")]
    webui_port: Option<u16>,
    /// Only `cluster` is known; taken for the sake of scripts.
    #[arg(short = 'x', long = "executionMode", value_name = "MODE")]
    execution_mode: Option<String>,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

fn configuration(arguments: &Arguments) -> Result<Configuration, ConfigError> {
    let mut pairs = arguments.properties.iter().map(|text| parse_property(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(host) = &arguments.host {
        pairs.push((jobmanager::RPC_ADDRESS.key().into(), host.clone()));
    }
    if let Some(port) = arguments.webui_port {
        pairs.push((rest::PORT.key().into(), port.to_string()));
    }
    let folder = arguments.config_dir.clone().unwrap_or_else(conf_dir);
    let mut configuration = load(&folder, pairs)?;
    secret::load(&mut configuration, &folder)?;
    Ok(configuration)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = wiesel_common::logging::init() {
        complain(format_args!("cannot open the log file: {error}"));
        return ExitCode::FAILURE;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the JobManager cannot run: {error}");
            if std::env::var_os(wiesel_common::logging::LOG_FILE_VARIABLE).is_some() {
                complain(format_args!("the JobManager cannot run: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let configuration = configuration(arguments)?;
    wiesel_common::logging::apply(&configuration)?;
    wiesel_common::process::raise_open_files();
    wiesel_common::process::set_role("the JobManager");
    tracing::info!("Starting Wiesel JobManager {}", env!("CARGO_PKG_VERSION"));
    configuration.log();
    tracing::info!("Final Master Memory configuration:");
    for line in JobManagerMemory::from_config(&configuration)?.breakdown() {
        tracing::info!("{line}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_BLOCKING)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .thread_stack_size(STACK_BYTES)
        .thread_name("jobmanager")
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(configuration));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

async fn serve(configuration: Configuration) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let secret = Secret::from_configuration(&configuration)?;
    // A signal that ends it does not wait until it leads.
    let manager = tokio::select! {
        started = JobManager::start(configuration, Environment::real(secret)) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!("RPC endpoint listening at {}", manager.rpc_address());
    tracing::info!("Rest endpoint listening at {}", manager.rest_address());
    wiesel_common::process::announce_up();
    let stop = manager.stop_token();
    let wait = manager.wait();
    tokio::pin!(wait);
    let signal = tokio::select! {
        outcome = &mut wait => return Ok(outcome?),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!("RECEIVED SIGNAL {signal}. Shutting down as requested.");
    stop.cancel();
    Ok(wait.await?)
}
