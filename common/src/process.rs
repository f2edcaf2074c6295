//! What this process uses, as the kernel counts it.
use std::fs;

/// Resident memory in bytes; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    status_number("VmRSS:") * 1024
}

/// Threads; 0 where the kernel does not say.
pub fn threads() -> u64 {
    status_number("Threads:")
}

/// Open files and sockets; 0 where the kernel does not say.
pub fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

fn status_number(label: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn counts() {
        assert!(resident_bytes() > 100_000);
        assert!(threads() >= 1 && open_files() >= 3);
    }
}
