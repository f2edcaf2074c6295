//! One line on a terminal that says how a job gets on.
use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use wiesel_common::id::JobId;
use wiesel_common::logging::in_one_line;

use crate::rest::RestClient;

/// What Ctrl-C does while the SQL client waits for a job.
pub(crate) const CTRL_C_CANCELS: &str = " (Ctrl-C cancels it)";

/// How often a job is asked after that the client waits for.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// After how long it is said what a call waits for.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// The line, which goes when this is dropped. If standard error is no terminal it is told once that the job waits for slots, and
/// nothing else.
pub(crate) struct Progress {
    terminal: bool,
    shown: bool,
    told_of_slots: bool,
    has_slots: bool,
}

/// Waits for something that a job does and meanwhile says how the job gets on. `hint`: what the user can do.
pub(crate) async fn watched<T>(client: &RestClient, job: JobId, hint: &str, wait: impl Future<Output = T>) -> T {
    let mut progress = Progress::new();
    let mut wait = std::pin::pin!(wait);
    loop {
        tokio::select! {
            done = &mut wait => return done,
            () = tokio::time::sleep(LOOK) => progress.job(client, job, hint).await,
        }
    }
}

/// Waits for a call that is answered when something is done that may take long, and says after a while what for.
pub(crate) async fn told_of<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    match tokio::time::timeout(TELL_AFTER, &mut wait).await {
        Ok(done) => done,
        Err(_) => {
            eprintln!("Waiting for {what}...");
            wait.await
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false, told_of_slots: false, has_slots: false }
    }

    /// So many rows, in words, after so long.
    pub fn rows(&mut self, rows: &str, elapsed: Duration, job: JobId) {
        self.show(&format!("{rows}, {:.0} s, job {job}{CTRL_C_CANCELS}", elapsed.as_secs_f64()));
    }

    /// A job's state and time, or what it waits for. `hint`: what the user can do.
    pub async fn job(&mut self, client: &RestClient, job: JobId, hint: &str) {
        if !self.terminal && self.has_slots {
            return;
        }
        let Ok(details) = client.job(job).await else { return };
        let waits = details.slots.describe();
        if self.terminal {
            let state = waits.unwrap_or(details.state);
            self.show(&format!("{} {state}, {} s{hint}", details.name, details.duration / 1000));
        } else if let Some(waits) = waits {
            if !std::mem::replace(&mut self.told_of_slots, true) {
                eprintln!("Job {job} {waits}");
            }
        } else {
            self.has_slots = details.was_started();
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
            // In one line, whatever a job is called.
            self.write(&format!("\r\x1b[K{}", in_one_line(text)));
            self.shown = true;
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // On a terminal that is gone nothing can be shown.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
