//! One line on a terminal that says how a job gets on.
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use wiesel_common::id::JobId;

use crate::rest::RestClient;

/// The line; nothing if standard error is no terminal.
pub(crate) struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false }
    }

    /// So many rows after so long.
    pub fn rows(&mut self, rows: usize, elapsed: Duration, job: JobId) {
        self.show(&format!("{rows} rows, {:.0} s, job {job} (Ctrl-C cancels it)", elapsed.as_secs_f64()));
    }

    /// A job's state and time.
    pub async fn job(&mut self, client: &RestClient, job: JobId) {
        if self.terminal
            && let Ok(details) = client.job(job).await
        {
            self.show(&format!(
                "{} {}, {} s (Ctrl-C cancels it)",
                details.name,
                details.state,
                details.duration / 1000
            ));
        }
    }

    /// How far the checkpoint or savepoint of a job is.
    pub async fn checkpoint(&mut self, client: &RestClient, job: JobId, elapsed: Duration) {
        if !self.terminal {
            return;
        }
        let seconds = elapsed.as_secs();
        match client.checkpoint_in_progress(job).await {
            Ok(Some((id, done, all))) => {
                self.show(&format!("checkpoint {id}: {done} of {all} subtasks have acknowledged, {seconds} s"));
            }
            _ => self.show(&format!("{seconds} s")),
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
            self.shown = false;
        }
    }

    fn show(&mut self, text: &str) {
        if self.terminal {
            self.write(&format!("\r\x1b[K{text}"));
            self.shown = true;
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // A terminal that is gone has nobody to tell.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
