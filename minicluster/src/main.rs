//! The `minicluster` process: a client starts it, reads from its standard output where REST is, and keeps its standard input open as
//! long as the cluster is to live.
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::sync::oneshot;
use wiesel_common::config::{self, Configuration};
use wiesel_common::logging::complain;
use wiesel_common::{process, secret, spawn};
use wiesel_minicluster::MiniCluster;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads for calls, handlers and connections; tasks have their own.
const WORKERS: usize = 2;
/// Threads for files and enumerators.
const MAX_BLOCKING: usize = 32;
/// For deeply nested SQL.
const STACK_BYTES: usize = 8 << 20;

/// A JobManager and a TaskManager in one process, until standard input ends. Prints one line when it is up: host and port of REST.
#[derive(Parser)]
#[command(name = "minicluster", version)]
struct Arguments {
    /// Sets a configuration key, over the configuration file.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = config::parse_property)]
    properties: Vec<(String, String)>,
    /// The folder with config.yaml; FLINK_CONF_DIR where it is not given.
    #[arg(short = 'c', long = "configDir", value_name = "FOLDER")]
    config_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = wiesel_common::logging::init() {
        complain(format_args!("the local cluster cannot open its log file: {error}"));
        return ExitCode::FAILURE;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = format!("{error:#}");
            tracing::error!(reason = message, "the local cluster ends");
            complain(format_args!("The local cluster cannot run: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let folder = arguments.config_dir.unwrap_or_else(config::conf_dir);
    let mut configuration = config::load(&folder, arguments.properties)?;
    // Its secret is another one, but no job is to read the file.
    secret::load(&mut configuration, &folder)?;
    wiesel_common::logging::apply(&configuration)?;
    process::raise_open_files();
    process::set_role("the local cluster");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting a local cluster");
    configuration.log();
    let client = client_is_gone()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_BLOCKING)
        .thread_stack_size(STACK_BYTES)
        .thread_name("minicluster")
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(&configuration, client));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

async fn serve(configuration: &Configuration, client: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let cluster = MiniCluster::start(configuration).await?;
    tracing::info!("Rest endpoint listening at {}", cluster.rest_address());
    // A client that is gone reads nothing: standard input tells so as well.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{}", cluster.rest_address()).and_then(|()| out.flush());
    let end = async {
        let _ = client.await;
        tracing::info!("the client is gone");
    };
    Ok(cluster.run_until(end).await?)
}

/// Told when standard input ends: when the client closes it, or ends in whatever way.
fn client_is_gone() -> std::io::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    spawn::thread("client", move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = [0; 64];
        // What it says means nothing.
        while input.read(&mut bytes).is_ok_and(|read| read > 0) {}
        let _ = tell.send(());
    })
    .map(drop)?;
    Ok(told)
}
