//! The terminal as it was found: it is left so however the process ends.
//!
//! What changes it restores it when it is dropped: the prompt, the view of a result. That does not happen where a signal ends
//! the process, and happens too late for what a panic says.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::getpgrp;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

static FOUND: OnceLock<Termios> = OnceLock::new();
/// A result takes the whole screen.
static OTHER_SCREEN: AtomicBool = AtomicBool::new(false);

/// Cursor, main screen.
const LEAVE_OTHER_SCREEN: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// What is pasted comes as if it was typed.
const PLAIN_PASTE: &[u8] = b"\x1b[?2004l";

/// Looks at the terminal, if there is one. From now on it is restored before a panic is reported.
pub(crate) fn remember() {
    let Ok(found) = tcgetattr(stdin()) else { return };
    if FOUND.set(found).is_err() {
        return;
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
    }));
}

/// Notes whether the other screen is shown; says whether it was.
pub(crate) fn other_screen(shown: bool) -> bool {
    OTHER_SCREEN.swap(shown, Ordering::SeqCst)
}

/// Leaves the terminal as it was found.
pub(crate) fn restore() {
    let Some(found) = FOUND.get() else { return };
    // It is another's while this process is in the background, which would be stopped by what follows.
    if !tcgetpgrp(stdin()).is_ok_and(|front| front == getpgrp()) {
        return;
    }
    // Past the lock of standard output: who holds it may stand still. A terminal that is gone has nobody to tell.
    if isatty(stdout()) {
        if other_screen(false) {
            let _ = rustix::io::write(stdout(), LEAVE_OTHER_SCREEN);
        }
        let _ = rustix::io::write(stdout(), PLAIN_PASTE);
    }
    let _ = tcsetattr(stdin(), OptionalActions::Now, found);
}
