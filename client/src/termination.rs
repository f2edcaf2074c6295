//! SIGTERM and SIGHUP: the jobs that are tied to this client are cancelled, such as queries, for nobody will see their rows, the
//! terminal is left as it was found, and the process ends.
//!
//! A thread of its own does so: the main thread may wait for keys, or stand in a write that is not read.
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;
use wiesel_common::id::JobId;
use wiesel_common::spawn;

use crate::rest::RestClient;
use crate::terminal;

/// How long the JobManager has to take cancellations. Jobs that it does not hear of in time end with their leases.
const PATIENCE: Duration = Duration::from_secs(2);

/// The jobs that end with this process.
static TIED: Mutex<BTreeMap<JobId, RestClient>> = Mutex::new(BTreeMap::new());

/// A signal ends the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Of the thread that watches.
static WATCH: OnceLock<Handle> = OnceLock::new();

/// A job that does not outlive the process; as long as this is kept. It has a lease beside, for a process that is killed.
pub(crate) struct Tied(JobId);

impl Tied {
    /// Best before the job is submitted: it may be that the process ends in between.
    pub fn new(client: &RestClient, job: JobId) -> Self {
        TIED.lock().unwrap_or_else(PoisonError::into_inner).insert(job, client.clone());
        Self(job)
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        TIED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Begins to watch for signals.
pub(crate) fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on the signals are taken, whether the thread has begun or not.
    let (terminate, hang_up) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, heeded(SignalKind::hangup())?)
    };
    // Set once: a process watches once.
    let _ = WATCH.set(runtime.handle().clone());
    let watch = move || wait_and_end(&runtime, terminate, hang_up);
    spawn::thread("signals", watch).map(drop)
}

fn wait_and_end(runtime: &Runtime, terminate: Signal, hang_up: Option<Signal>) {
    let kind = runtime.block_on(first_of(terminate, hang_up));
    runtime.block_on(cancel_tied());
    // Last: until then the main thread may draw.
    terminal::close();
    std::process::exit(128 + kind.as_raw_value());
}

/// Does not return if a signal ends the process, whose status is that of the signal then: that a job was cancelled the main
/// thread takes for a failure.
pub(crate) fn wait_if_ending() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Runs something where the main thread does not hold it up, if this process watches for signals.
pub(crate) fn beside(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    match WATCH.get() {
        Some(watch) => spawn::owned_on(watch, work).abort_handle(),
        None => spawn::owned(work).abort_handle(),
    }
}

/// A signal, unless the process was started so that it ignores it (`nohup`).
pub(crate) fn heeded(kind: SignalKind) -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores(&status, kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
}

/// Whether a process with this `/proc/<pid>/status` ignores a signal.
fn ignores(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

async fn first_of(terminate: Signal, hang_up: Option<Signal>) -> SignalKind {
    tokio::select! {
        () = coming(Some(terminate)) => SignalKind::terminate(),
        () = coming(hang_up) => SignalKind::hangup(),
    }
}

/// Waits for a signal of [`heeded`].
pub(crate) async fn coming(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Cancels the jobs that are tied to this process, which a signal ends.
pub(crate) async fn cancel_tied() {
    ENDING.store(true, Ordering::SeqCst);
    let jobs = std::mem::take(&mut *TIED.lock().unwrap_or_else(PoisonError::into_inner));
    let cancel = async {
        for (job, client) in jobs {
            // Connections of the main thread's client are served there. One that is over needs no cancellation, and nobody is
            // left to be told of another error.
            let _ = client.anew().cancel(job).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, cancel).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_stays_so() {
        let status =
            "Name:\tsql-client\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert!(ignores(status, 1), "SIGHUP");
        assert!(ignores(status, 13), "SIGPIPE");
        assert!(!ignores(status, 15), "SIGTERM");
        assert!(!ignores("", 1));
    }
}
