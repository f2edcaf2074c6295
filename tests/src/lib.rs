//! What the end-to-end tests stand on: clusters of real processes from a built installation.
//!
//! A [`Cluster`] has a configuration, logs, pid files and ports of its own; when it is dropped its processes are gone,
//! whatever happened. Nothing here waits by sleeping a fixed time: [`eventually`] asks again until a condition holds or a
//! deadline passes.
#![allow(clippy::disallowed_methods, reason = "tests of real processes have real clocks, and threads of their own")]
pub mod chaos;
pub mod clock;
pub mod cluster;
pub mod former_rows;
pub mod golden;
pub mod http;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod skip;
pub mod store;
pub mod terminal;

use std::time::{Duration, Instant};

pub use cluster::{Cluster, ClusterBuilder, home};

/// Asks until there is an answer, at most for `limit`. Panics with `what` and what was seen last.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() > deadline => panic!("{what}: not within {limit:?}; last seen: {seen}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}
