//! Mailboxes of actors.
//!
//! A sender never waits, so that two actors that write to each other cannot block each other, and may be no async code. So a
//! mailbox has no bound of its own: what is in one is bounded by those that write to it, of which each waits for the answer before
//! it writes again, or has a bounded number of things to report (an end a task, a tick a timer). Whatever may come at any rate
//! goes through a bounded channel instead.
#![expect(clippy::disallowed_methods, reason = "this is the file from which all actors have their mailboxes")]
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A mailbox: where others write to, and what its actor reads.
pub fn mailbox<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    unbounded_channel()
}
