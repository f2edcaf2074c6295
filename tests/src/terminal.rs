//! A program on a terminal: its keys and its screen. The terminal is that of `script` (util-linux).
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::{Cluster, eventually};

const LIMIT: Duration = Duration::from_secs(30);

/// The program and everything that it has written so far.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
    hold: Arc<Hold>,
    /// How much of the screen was looked at.
    seen: usize,
}

/// Whether nothing is read of what the program writes, as if the terminal was at the end of a slow line.
#[derive(Default)]
struct Hold {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Hold {
    fn set(&self, held: bool) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(held, |held| *held));
    }
}

impl Terminal {
    /// Runs a program of the installation on a terminal of 100 columns and 30 rows.
    pub fn open(cluster: &Cluster, program: &str) -> Self {
        Self::run(cluster, program, |program| format!("exec {program}"))
    }

    /// The same from a shell that shows, once it has ended, with which status and how it left the terminal.
    pub fn open_in_shell(cluster: &Cluster, program: &str) -> Self {
        Self::run(cluster, program, |program| format!("{program}; echo status $?; stty -a"))
    }

    fn run(cluster: &Cluster, program: &str, line: impl FnOnce(&str) -> String) -> Self {
        let command = cluster.command(program);
        let mut script = Command::new("script");
        let program = format!("'{}'", command.get_program().to_string_lossy());
        let line = format!("stty rows 30 cols 100; {}", line(&program));
        script.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]).current_dir(cluster.dir());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => script.env(key, value),
                None => script.env_remove(key),
            };
        }
        script.env("HOME", cluster.dir()).env("TERM", "xterm").env("SHELL", "/bin/bash");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("`script` of util-linux gives a terminal");
        let keys = child.stdin.take().expect("stdin is piped");
        let mut output = child.stdout.take().expect("stdout is piped");
        let screen = Arc::new(Mutex::new(String::new()));
        let hold = Arc::new(Hold::default());
        let (written, held) = (screen.clone(), hold.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]);
                written.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                held.wait();
            }
        });
        Self { child, keys, screen, hold, seen: 0 }
    }

    /// Reads no more of what the program writes, which waits for it when all buffers are full, or reads on.
    pub fn hold(&self, held: bool) {
        self.hold.set(held);
    }

    /// Types keys: `\r` is Enter, `\x03` Ctrl-C, `\t` Tab.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the program reads its keys");
    }

    /// Waits until a text appears that was not there at the last wait. Panics with the screen if it does not.
    pub fn wait_for(&mut self, text: &str) {
        let seen = eventually(&format!("`{text}` on the screen"), LIMIT, || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let new = &screen[self.seen..];
            new.find(text).map(|at| self.seen + at + text.len()).ok_or_else(|| new.to_owned())
        });
        self.seen = seen;
    }

    /// Waits for the program's end.
    pub fn wait(mut self) -> ExitStatus {
        eventually("the program ends", LIMIT, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.hold.set(false);
        // It has ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
