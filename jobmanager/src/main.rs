//! The `jobmanager` process.
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wiesel_common::config::Configuration;
use wiesel_common::logging::complain;
use wiesel_common::memory::JobManagerMemory;
use wiesel_common::secret::Secret;
use wiesel_common::time::SystemClock;
use wiesel_jobmanager::application::artifact::{Artifact, user_lib_dir};
use wiesel_jobmanager::application::bootstrap::Application;
use wiesel_jobmanager::application::status::ApplicationStatus;
use wiesel_jobmanager::cluster::{Candidate, Environment, Error};
use wiesel_jobmanager::dispatcher::DispatcherHandle;

use crate::arguments::Arguments;

mod arguments;

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

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // What cannot be printed changes nothing of the status. 2, clap's own, is that of an application that was cancelled.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = wiesel_common::logging::init() {
        complain(format_args!("cannot open the log file: {error}"));
        return ExitCode::FAILURE;
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("the JobManager cannot run: {error}");
            if std::env::var_os(wiesel_common::logging::LOG_FILE_VARIABLE).is_some() {
                complain(format_args!("the JobManager cannot run: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut configuration = arguments.configuration()?;
    wiesel_common::logging::apply(&configuration)?;
    wiesel_common::process::raise_open_files();
    wiesel_common::process::set_role("the JobManager");
    tracing::info!("Starting Wiesel JobManager {}", env!("CARGO_PKG_VERSION"));
    JobManagerMemory::give_size(&mut configuration);
    configuration.log();
    tracing::info!("Final Master Memory configuration:");
    for line in JobManagerMemory::from_config(&configuration)?.breakdown() {
        tracing::info!("{line}");
    }
    let application = application(arguments, &configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_BLOCKING)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .thread_stack_size(STACK_BYTES)
        .thread_name("jobmanager")
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(configuration, application));
    match outcome.as_ref().err().and_then(|error| error.downcast_ref::<Error>()) {
        // Another one leads: what is under way must not go on.
        Some(Error::LeadershipLost(_)) => runtime.shutdown_background(),
        _ => runtime.shutdown_timeout(std::time::Duration::from_secs(1)),
    }
    outcome
}

/// What the cluster is for, if not for jobs that come. Whether there is something to run is known before a port is bound.
fn application(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<Option<Application>> {
    let Some(asked) = arguments.application() else { return Ok(None) };
    let artifact = Artifact::load(&user_lib_dir(), asked.job.as_deref())?;
    Ok(Some(Application::new(artifact, asked.job_id, configuration, Arc::new(SystemClock))?))
}

async fn serve(configuration: Configuration, application: Option<Application>) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let secret = Secret::from_configuration(&configuration)?;
    let handle = application.as_ref().map(|application| application.handle().clone());
    let is_session = application.is_none();
    let shuts_down = application.as_ref().is_some_and(Application::shuts_down);
    let candidate = Candidate::bind(handle, configuration, Environment::real(secret)).await?;
    let may_stand_by = candidate.may_stand_by();
    if may_stand_by {
        tracing::info!("RPC endpoint bound to {}, REST to {}", candidate.rpc_address(), candidate.rest_address());
        // For how long another one leads nobody knows, and whoever has started it does not wait for that.
        wiesel_common::process::announce_up();
    }
    // A signal that ends it does not wait until it leads.
    let manager = tokio::select! {
        started = candidate.lead() => started?,
        _ = terminated(&mut terminate, &mut interrupt) => {
            let status = if is_session { ExitCode::SUCCESS } else { ExitCode::from(ApplicationStatus::Unknown.exit_status()) };
            return Ok(status);
        }
    };
    tracing::info!("RPC endpoint listening at {}", manager.rpc_address());
    tracing::info!("Rest endpoint listening at {}", manager.rest_address());
    if !may_stand_by {
        wiesel_common::process::announce_up();
    }
    let stop = manager.stop_token();
    let status = run_application(application, manager.dispatcher().clone());
    let told = manager.until_told();
    let wait = manager.wait();
    tokio::pin!(status, told, wait);
    let (mut ended, mut takes_leave) = (None, false);
    loop {
        tokio::select! {
            biased;
            now = &mut status, if ended.is_none() => {
                ended = Some(now);
                takes_leave = shuts_down;
            }
            // Whoever stops the application with a savepoint hears where it is.
            () = &mut told, if takes_leave => {
                takes_leave = false;
                tracing::info!("Shutting down with its application.");
                stop.cancel();
            }
            outcome = &mut wait => {
                outcome?;
                break;
            }
            signal = terminated(&mut terminate, &mut interrupt) => {
                tracing::info!("RECEIVED SIGNAL {signal}. Shutting down as requested.");
                stop.cancel();
            }
        }
    }
    if is_session {
        return Ok(ExitCode::SUCCESS);
    }
    let status = ended.unwrap_or(ApplicationStatus::Unknown);
    tracing::info!("Shut down with application status {status}.");
    Ok(ExitCode::from(status.exit_status()))
}

/// Runs the application; without one this has no end.
async fn run_application(application: Option<Application>, dispatcher: DispatcherHandle) -> ApplicationStatus {
    match application {
        Some(application) => application.run(dispatcher).await,
        None => std::future::pending().await,
    }
}

async fn terminated(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
