//! The keys of the prompt, of which none is lost.
//!
//! The line editor reads whatever there is and forgets what stands behind the line that it returns: statements that were typed
//! ahead or pasted. So it does not read the terminal but a pseudo-terminal, to which a thread brings the keys of the terminal
//! line by line, and only while the prompt is shown. At other times nobody reads the terminal: it is as it was found, Ctrl-C
//! does what it does anywhere, and what is typed waits there.
//!
//! Lines that are there together were pasted, or typed ahead: the editor is given them as a paste up to the end of their
//! statement, for it draws all of a statement anew with each line that it takes.
//!
//! Invariant: keys come to the editor in the order in which they were typed. What was read and not brought yet waits here for
//! the next prompt.
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::dup2_stdin;
use rustix::termios::{OptionalActions, tcsetattr};
use wiesel_common::spawn;

use super::script::own;
use crate::terminal::{self, Found, change};

/// How long the editor has to say what becomes of a line before it is given more. It says so of every line that ends with
/// Enter, but not of a key that ends only some lines, such as Ctrl-D.
const PAUSE: Duration = Duration::from_millis(200);

/// Terminals on which the editor does not edit, but reads lines as any program does.
const WITHOUT_EDITING: [&str; 3] = ["dumb", "cons25", "emacs"];

const PASTE_BEGINS: [u8; 6] = *b"\x1b[200~";
const PASTE_ENDS: [u8; 6] = *b"\x1b[201~";
/// The last bytes that were taken, where the next ones begin a line.
const AT_A_BEGINNING: [u8; 6] = *b"\0\0\0\0\0\r";
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// See the module.
pub(super) struct Keyboard {
    found: &'static Found,
    /// The editor's side of the pseudo-terminal.
    editor_side: OwnedFd,
    shared: Arc<Shared>,
}

/// The prompt is shown as long as this is kept.
pub(super) struct Prompt<'a>(&'a Keyboard);

/// By which the editor says that a line is not the last one of its statement.
#[derive(Clone)]
pub(super) struct GoesOn(Arc<Shared>);

struct Shared {
    keys: Mutex<Keys>,
    changed: Condvar,
    /// Ends a wait for keys.
    wake: OwnedFd,
}

#[derive(Default)]
struct Keys {
    /// The prompt is shown.
    open: bool,
    /// Counts the lines of which it is known what became of them.
    answers: u64,
    waiting: Lines,
}

/// Keys that wait for the editor.
#[derive(Default)]
struct Lines {
    bytes: VecDeque<u8>,
    /// The last bytes that were taken, to see where a paste begins and ends.
    recent: [u8; 6],
    pasting: bool,
}

impl Lines {
    /// What the editor is given next: the lines of a statement that are there, or one line. True: it ends a line.
    fn take_piece(&mut self) -> (Vec<u8>, bool) {
        let Some(length) = self.plain_lines() else { return self.take_line() };
        let lines = self.bytes.drain(..length - 1).map(|byte| if byte == b'\r' { b'\n' } else { byte });
        let piece = PASTE_BEGINS.into_iter().chain(lines).chain(PASTE_ENDS).chain([b'\r']).collect();
        // The end of the last line.
        self.bytes.pop_front();
        self.recent = AT_A_BEGINNING;
        (piece, true)
    }

    /// How long the lines at the front are that can be given together: at least two, of text alone, up to the first that may
    /// end an input.
    fn plain_lines(&self) -> Option<usize> {
        if self.pasting || !matches!(self.recent[5], 0 | b'\r' | b'\n' | CTRL_C | CTRL_D) {
            return None;
        }
        let (mut line, mut lines, mut length) = (Vec::new(), 0, 0);
        for (index, byte) in self.bytes.iter().copied().enumerate() {
            match byte {
                b'\r' | b'\n' => {
                    (lines, length) = (lines + 1, index + 1);
                    if may_end_input(&String::from_utf8_lossy(&line)) {
                        break;
                    }
                    line.clear();
                }
                // Keys that edit.
                0..0x20 | 0x7f => break,
                _ => line.push(byte),
            }
        }
        (lines > 1).then_some(length)
    }

    /// Keys up to the end of a line; what is pasted is one line with what follows. True: there is an end.
    fn take_line(&mut self) -> (Vec<u8>, bool) {
        let mut line = Vec::new();
        while let Some(byte) = self.bytes.pop_front() {
            self.recent.rotate_left(1);
            self.recent[5] = byte;
            match self.recent {
                PASTE_BEGINS => self.pasting = true,
                PASTE_ENDS => self.pasting = false,
                _ => {}
            }
            // Enter is a line feed where it was typed while the terminal was as it was found.
            line.push(if byte == b'\n' && !self.pasting { b'\r' } else { byte });
            if !self.pasting && matches!(byte, b'\r' | b'\n' | CTRL_C | CTRL_D) {
                return (line, true);
            }
        }
        (line, false)
    }
}

/// Whether an input may end with this line: what follows is another one then.
fn may_end_input(line: &str) -> bool {
    line.trim_end().ends_with(';') || own(line).is_some()
}

impl Keyboard {
    /// None: there is no terminal on which the editor edits, or no pseudo-terminal to be had. Then it reads the terminal itself.
    pub fn open() -> Option<Self> {
        let found = terminal::found()?;
        let kind = std::env::var("TERM").unwrap_or_default();
        if WITHOUT_EDITING.iter().any(|other| kind.eq_ignore_ascii_case(other)) {
            return None;
        }
        Self::on(found).ok()
    }

    fn on(found: &'static Found) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let our_side = openpt(flags)?;
        unlockpt(&our_side)?;
        let editor_side = ioctl_tiocgptpeer(&our_side, flags)?;
        // Nothing comes back on our side, which is not read.
        tcsetattr(&editor_side, OptionalActions::Now, &found.raw())?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { keys: Mutex::default(), changed: Condvar::new(), wake });
        let theirs = Arc::clone(&shared);
        spawn::thread("keys", move || theirs.bring_keys(found, &our_side))?;
        Ok(Self { found, editor_side, shared })
    }

    /// Has the editor read keys from here.
    pub fn prompt(&self) -> io::Result<Prompt<'_>> {
        // From here on the terminal is put right again whatever fails.
        let prompt = Prompt(self);
        change(|| Ok(tcsetattr(&self.found.terminal, OptionalActions::Drain, &self.found.raw())?))?;
        dup2_stdin(&self.editor_side)?;
        self.shared.lock().open = true;
        self.shared.changed.notify_all();
        Ok(prompt)
    }

    /// What others read of the terminal and was not meant for them.
    pub fn type_ahead(&self, keys: &str) {
        self.shared.lock().waiting.bytes.extend(keys.as_bytes());
    }

    pub fn goes_on(&self) -> GoesOn {
        GoesOn(Arc::clone(&self.shared))
    }
}

impl Drop for Prompt<'_> {
    fn drop(&mut self) {
        let Self(Keyboard { found, shared, .. }) = self;
        let mut keys = shared.lock();
        keys.open = false;
        keys.answers += 1;
        drop(keys);
        shared.changed.notify_all();
        let _ = rustix::io::write(&shared.wake, &1u64.to_ne_bytes());
        // If the terminal is gone there is nothing to put right.
        let _ = dup2_stdin(&found.terminal);
        let _ = tcsetattr(&found.terminal, OptionalActions::Drain, &found.termios);
    }
}

impl GoesOn {
    /// The editor wants more of the statement.
    pub fn say(&self) {
        self.0.lock().answers += 1;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings keys to the editor until the terminal or the editor is gone.
    fn bring_keys(&self, found: &Found, editor: &OwnedFd) {
        loop {
            let (line, ends, answers) = self.next_line();
            if line.is_empty() {
                if self.read_keys(found).is_err() {
                    return;
                }
                continue;
            }
            if write_all(editor, &line).is_err() {
                return;
            }
            if ends {
                self.wait_for_answer(answers);
            }
        }
    }

    /// Waits for the prompt; what waits for it, whether that ends a line, and how many lines have been answered.
    fn next_line(&self) -> (Vec<u8>, bool, u64) {
        let keys = self.lock();
        let mut keys = self.changed.wait_while(keys, |keys| !keys.open).unwrap_or_else(PoisonError::into_inner);
        let (line, ends) = keys.waiting.take_piece();
        (line, ends, keys.answers)
    }

    fn wait_for_answer(&self, answers: u64) {
        let keys = self.lock();
        // However it ends, it goes on.
        drop(self.changed.wait_timeout_while(keys, PAUSE, |keys| keys.answers == answers));
    }

    /// Waits for keys, or for the end of the prompt. An error: the terminal is gone.
    fn read_keys(&self, found: &Found) -> Result<(), Errno> {
        let mut ready = [PollFd::new(&found.terminal, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error),
        }
        let (keys_came, woken) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if woken {
            let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        }
        // Read under the lock: once the prompt is closed nothing is read here.
        let mut keys = self.lock();
        if !keys_came || !keys.open {
            return Ok(());
        }
        let mut buffer = [0u8; 4096];
        match rustix::io::read(&found.terminal, &mut buffer) {
            Ok(0) => Err(Errno::IO),
            Ok(read) => {
                keys.waiting.bytes.extend(&buffer[..read]);
                Ok(())
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn write_all(out: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(out.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(keys: &str) -> Vec<(String, bool)> {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        lines.bytes.extend(keys.as_bytes());
        loop {
            let (line, ends) = lines.take_piece();
            if line.is_empty() {
                return taken;
            }
            taken.push((String::from_utf8(line).unwrap(), ends));
        }
    }

    fn line(text: &str) -> (String, bool) {
        (text.to_owned(), true)
    }

    #[test]
    fn the_editor_is_given_one_line_after_another() {
        let rest = ("SEL".to_owned(), false);
        assert_eq!(lines("SELECT 1;\rSELECT 2;\nSEL"), [line("SELECT 1;\r"), line("SELECT 2;\r"), rest]);
        assert_eq!(lines("half\x03SELECT 1;\r"), [line("half\x03"), line("SELECT 1;\r")]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn what_is_pasted_is_one_line_with_what_follows() {
        let paste = "\x1b[200~SELECT 1;\rSELECT\n 2;\x1b[201~\r";
        assert_eq!(lines(&format!("{paste}quit\r")), [line(paste), line("quit\r")]);
        // The beginning may be read before the rest.
        let mut lines = Lines::default();
        lines.bytes.extend(b"\x1b[20");
        assert_eq!(lines.take_piece(), (b"\x1b[20".to_vec(), false));
        lines.bytes.extend(b"0~a\rb\rc");
        assert_eq!(lines.take_piece(), (b"0~a\rb\rc".to_vec(), false));
    }

    /// The editor drew all that it had with each line: 3000 of them took minutes.
    #[test]
    fn the_lines_of_a_statement_that_are_there_are_given_at_once() {
        let paste = |text: &str| line(&format!("\x1b[200~{text}\x1b[201~\r"));
        let two = "SELECT\n 2;\rSELECT 3;\rSELECT\r\r 4,\r";
        assert_eq!(lines(two), [paste("SELECT\n 2;"), line("SELECT 3;\r"), paste("SELECT\n\n 4,")]);
        let rest = (" '5'".to_owned(), false);
        assert_eq!(lines("SELECT\r 4,\r '5'"), [paste("SELECT\n 4,"), rest]);
        // A word of the client's own ends an input, and keys that edit are no text.
        assert_eq!(lines("quit\rSELECT 1;\r"), [line("quit\r"), line("SELECT 1;\r")]);
        assert_eq!(lines("SELE\t\r1;\r"), [line("SELE\t\r"), line("1;\r")]);
        assert_eq!(lines("a\rb\rc\x7fd\r"), [paste("a\nb"), line("c\x7fd\r")]);
        let many = format!("INSERT INTO t VALUES\r{}(0);\r", "('äöü', 1),\r".repeat(3000));
        assert_eq!(lines(&many).len(), 1);
        // What begins within a line is its end.
        let mut lines = Lines::default();
        lines.bytes.extend(b"SEL");
        lines.take_piece();
        lines.bytes.extend(b"ECT\r1,\r2;\r");
        assert_eq!(lines.take_piece(), (b"ECT\r".to_vec(), true));
        assert_eq!(lines.take_piece(), (b"\x1b[200~1,\n2;\x1b[201~\r".to_vec(), true));
    }
}
