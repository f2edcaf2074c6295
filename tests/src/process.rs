//! Processes: what they use, and signals to them.
use std::fs;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Resident memory in kibibytes.
    pub resident_kib: u64,
}

/// What a process uses now; none if there is no such process.
pub fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |label: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Usage { threads: number("Threads:")?, files, resident_kib: number("VmRSS:")? })
}

/// Sends a signal. Nothing happens if there is no such process.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process exists and is not just waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    let exists = Pid::from_raw(pid as i32).is_some_and(|pid| test_kill_process(pid).is_ok());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    exists && !state.starts_with(['Z', 'X'])
}
