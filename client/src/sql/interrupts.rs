//! Ctrl-C while a statement runs.
use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The interrupts of one statement: none that comes while this is kept is lost, whatever the client does at that moment.
pub(super) struct Interrupts(Signal);

impl Interrupts {
    /// From now on.
    pub fn of_statement() -> io::Result<Self> {
        signal(SignalKind::interrupt()).map(Self)
    }

    /// What some work gives. None: Ctrl-C came before, and the work was dropped. It is asked for whenever the work waits.
    pub async fn unless_any<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.0.recv() => None,
            done = work => Some(done),
        }
    }
}
