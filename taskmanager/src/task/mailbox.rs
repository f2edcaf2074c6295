//! What reaches a task from outside, between batches.
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use wiesel_common::notifier::Notifier;

use super::checkpoint::barriers::LocalBarrier;

/// Letters that may wait; coordinators answer requests, so there are never many.
const CAPACITY: usize = 1024;

/// A letter to a task.
#[derive(Debug)]
pub enum Mail {
    /// From an operator's coordinator.
    OperatorEvent {
        /// Which operator.
        uid: Bytes,
        /// What it says.
        event: Bytes,
    },
    /// The JobMaster asks for a checkpoint.
    Trigger(Arc<LocalBarrier>),
    /// A checkpoint is durable, or will never be.
    CheckpointEnded {
        /// Which.
        checkpoint: u64,
        /// Durable.
        completed: bool,
    },
}

/// Why a letter was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The task does not come to read its mail.
    #[error("the task's mailbox is full")]
    Full,
    /// The task has ended.
    #[error("the task has ended")]
    Ended,
}

/// The outside's end.
pub(crate) struct Post {
    sender: Sender<Mail>,
    open: Arc<Mutex<bool>>,
    notifier: Arc<Notifier>,
}

/// The task's end. What was taken is read: the mailbox is only closed when it is empty.
pub(crate) struct Mailbox {
    receiver: Receiver<Mail>,
    open: Arc<Mutex<bool>>,
}

/// A mailbox, empty and open; the notifier is woken by each letter.
pub(crate) fn mailbox(notifier: Arc<Notifier>) -> (Post, Mailbox) {
    let (sender, receiver) = bounded(CAPACITY);
    let open = Arc::new(Mutex::new(true));
    (Post { sender, open: open.clone(), notifier }, Mailbox { receiver, open })
}

impl Post {
    /// Puts a letter into the mailbox.
    pub(crate) fn deliver(&self, mail: Mail) -> Result<(), Undelivered> {
        let open = self.open.lock();
        if !*open {
            return Err(Undelivered::Ended);
        }
        self.sender.try_send(mail).map_err(|error| match error {
            TrySendError::Full(_) => Undelivered::Full,
            TrySendError::Disconnected(_) => Undelivered::Ended,
        })?;
        drop(open);
        self.notifier.notify();
        Ok(())
    }

    /// Whether letters are taken.
    pub(crate) fn is_open(&self) -> bool {
        *self.open.lock()
    }
}

impl Mailbox {
    /// The next letter.
    pub(crate) fn next(&self) -> Option<Mail> {
        self.receiver.try_recv().ok()
    }

    /// Takes no more letters, unless one waits.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut open = self.open.lock();
        *open = !self.receiver.is_empty();
        !*open
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        *self.open.lock() = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_read_before_it_closes() {
        let (post, mailbox) = mailbox(Arc::default());
        let mail = || Mail::CheckpointEnded { checkpoint: 1, completed: true };
        post.deliver(mail()).unwrap();
        assert!(!mailbox.close_if_empty());
        assert!(mailbox.next().is_some());
        assert!(mailbox.close_if_empty());
        assert_eq!(post.deliver(mail()), Err(Undelivered::Ended));
        assert!(!post.is_open());
    }

    #[test]
    fn a_task_that_does_not_read_gets_no_more() {
        let (post, mailbox) = mailbox(Arc::default());
        let mail = || Mail::CheckpointEnded { checkpoint: 1, completed: true };
        (0..CAPACITY).for_each(|_| post.deliver(mail()).unwrap());
        assert_eq!(post.deliver(mail()), Err(Undelivered::Full));
        drop(mailbox);
        assert_eq!(post.deliver(mail()), Err(Undelivered::Ended));
    }
}
