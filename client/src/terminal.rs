//! The terminal as it was found: it is left so however the process ends.
//!
//! What changes it restores it when it is dropped: the prompt, the view of a result. That does not happen where a signal ends
//! the process, and happens too late for what a panic says.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp,
    tcsetattr,
};

use crate::termination::wait_if_ending;

static FOUND: OnceLock<Found> = OnceLock::new();
/// A result takes the whole screen.
static OTHER_SCREEN: AtomicBool = AtomicBool::new(false);

/// It was restored for good: the process ends. A thread that changes the terminal holds the lock until all of the change is made,
/// so that none follows the restoration; but see [`close`].
static CLOSED: Mutex<bool> = Mutex::new(false);

/// The most that is read at once of what was typed ahead, in bytes.
const MAX_UNREAD: usize = 1 << 20;

/// Cursor, main screen.
const LEAVE_OTHER_SCREEN: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// What is pasted comes as if it was typed.
const PLAIN_PASTE: &[u8] = b"\x1b[?2004l";

/// The terminal, and how it was.
pub(crate) struct Found {
    /// Standard input as it was given: while the prompt is shown it is another.
    pub terminal: OwnedFd,
    pub termios: Termios,
}

impl Found {
    /// Keys one by one and without an echo. What is written is treated as it was.
    pub fn raw(&self) -> Termios {
        let mut raw = self.termios.clone();
        raw.input_modes &=
            !(InputModes::BRKINT | InputModes::ICRNL | InputModes::INPCK | InputModes::ISTRIP | InputModes::IXON);
        raw.control_modes |= ControlModes::CS8;
        raw.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        raw
    }
}

/// Looks at the terminal, if there is one. From now on it is restored before a panic is reported.
pub(crate) fn remember() {
    let (Ok(termios), Ok(terminal)) = (tcgetattr(stdin()), stdin().try_clone_to_owned()) else { return };
    if FOUND.set(Found { terminal, termios }).is_err() {
        return;
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
    }));
}

/// The terminal that was looked at.
pub(crate) fn found() -> Option<&'static Found> {
    FOUND.get()
}

/// What was typed and not read, where keys come one by one. Enter is a line feed in it.
pub(crate) fn unread() -> String {
    let Some(Found { terminal, .. }) = FOUND.get() else { return String::new() };
    let mut keys = Vec::new();
    let mut buffer = [0u8; 4096];
    while keys.len() < MAX_UNREAD && is_readable(terminal) {
        match rustix::io::read(terminal, &mut buffer) {
            Ok(read @ 1..) => keys.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&keys).replace('\r', "\n")
}

fn is_readable(terminal: &OwnedFd) -> bool {
    let mut ready = [PollFd::new(terminal, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ready, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Notes whether the other screen is shown; says whether it was.
pub(crate) fn other_screen(shown: bool) -> bool {
    OTHER_SCREEN.swap(shown, Ordering::SeqCst)
}

/// Changes how the terminal gives keys and which screen it shows. Does not return if a signal ends the process: else the prompt that comes next would
/// change what has just been restored.
pub(crate) fn change(set: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let closed = CLOSED.lock().unwrap_or_else(PoisonError::into_inner);
    if *closed {
        drop(closed);
        wait_if_ending();
        return Err(io::Error::other("the process ends"));
    }
    set()
}

/// Leaves the terminal as it was found, for good. A thread that changes it may stand still, on a terminal that takes no
/// output: it is waited for a second, for a signal must end the process.
pub(crate) fn close() {
    for _ in 0..100 {
        match CLOSED.try_lock() {
            Ok(mut closed) => *closed = true,
            Err(TryLockError::Poisoned(closed)) => *closed.into_inner() = true,
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        }
        break;
    }
    restore();
}

/// Leaves the terminal as it was found.
pub(crate) fn restore() {
    let Some(Found { terminal, termios }) = FOUND.get() else { return };
    // It is another's while this process is in the background, which would be stopped by what follows.
    if !tcgetpgrp(terminal).is_ok_and(|front| front == getpgrp()) {
        return;
    }
    // Past the lock of standard output: the thread that holds it may stand still. Errors of a terminal that is gone do not matter.
    if isatty(stdout()) {
        if other_screen(false) {
            let _ = rustix::io::write(stdout(), LEAVE_OTHER_SCREEN);
        }
        let _ = rustix::io::write(stdout(), PLAIN_PASTE);
    }
    let _ = tcsetattr(terminal, OptionalActions::Now, termios);
}
