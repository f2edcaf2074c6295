//! What reaches a task from outside, between batches.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use wiesel_common::notifier::Notifier;
use wiesel_operators::coordinator::MAX_EVENT_TO_SUBTASK;

use super::checkpoint::barriers::LocalBarrier;

/// Letters that may wait.
const CAPACITY: usize = 1024;
/// Bytes of events that may wait.
const MAX_BYTES: usize = 2 * MAX_EVENT_TO_SUBTASK;

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
    /// Another JobMaster has taken the task over.
    Adopted {
        /// The last checkpoint that is durable; 0: none.
        completed: u64,
        /// The first number of its own checkpoints. All before that but the durable one will never be.
        first: u64,
    },
}

impl Mail {
    fn bytes(&self) -> usize {
        if let Self::OperatorEvent { event, .. } = self { event.len() } else { 0 }
    }
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
    /// Bytes of events that wait.
    bytes: Arc<AtomicUsize>,
    notifier: Arc<Notifier>,
}

/// The task's end. What was taken is read: the mailbox is only closed when it is empty.
pub(crate) struct Mailbox {
    receiver: Receiver<Mail>,
    /// Letters that were looked at and wait for their turn, before all others; as many as may wait there.
    set_aside: VecDeque<Mail>,
    open: Arc<Mutex<bool>>,
    bytes: Arc<AtomicUsize>,
}

/// A mailbox, empty and open; the notifier is woken by each letter.
pub(crate) fn mailbox(notifier: Arc<Notifier>) -> (Post, Mailbox) {
    let (sender, receiver) = bounded(CAPACITY);
    let (open, bytes) = (Arc::new(Mutex::new(true)), Arc::<AtomicUsize>::default());
    let post = Post { sender, open: open.clone(), bytes: bytes.clone(), notifier };
    (post, Mailbox { receiver, set_aside: VecDeque::new(), open, bytes })
}

impl Post {
    /// Puts a letter into the mailbox.
    pub(crate) fn deliver(&self, mail: Mail) -> Result<(), Undelivered> {
        let open = self.open.lock();
        if !*open {
            return Err(Undelivered::Ended);
        }
        let bytes = mail.bytes();
        if self.bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(Undelivered::Full);
        }
        // Before the task can take it, and under the lock: one letter after another.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = self.sender.try_send(mail).map_err(|error| match error {
            TrySendError::Full(_) => Undelivered::Full,
            TrySendError::Disconnected(_) => Undelivered::Ended,
        });
        if sent.is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        drop(open);
        sent?;
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
    pub(crate) fn next(&mut self) -> Option<Mail> {
        let mail = self.set_aside.pop_front().or_else(|| self.receiver.try_recv().ok())?;
        self.bytes.fetch_sub(mail.bytes(), Ordering::Relaxed);
        Some(mail)
    }

    /// The events that are there. The other letters are left.
    pub(crate) fn events(&mut self) -> VecDeque<Mail> {
        self.look();
        let is_event = |mail: &Mail| matches!(mail, Mail::OperatorEvent { .. });
        let (events, others): (VecDeque<_>, _) = std::mem::take(&mut self.set_aside).into_iter().partition(is_event);
        self.set_aside = others;
        self.bytes.fetch_sub(events.iter().map(Mail::bytes).sum(), Ordering::Relaxed);
        events
    }

    /// Whether a letter is there that says that a checkpoint will never be durable. All letters are left.
    pub(crate) fn is_given_up(&mut self, checkpoint: u64) -> bool {
        self.look();
        self.set_aside.iter().any(|mail| match mail {
            Mail::CheckpointEnded { checkpoint: ended, completed } => *ended == checkpoint && !completed,
            Mail::Adopted { completed, first } => checkpoint < *first && checkpoint != *completed,
            _ => false,
        })
    }

    fn look(&mut self) {
        while self.set_aside.len() < CAPACITY
            && let Ok(mail) = self.receiver.try_recv()
        {
            self.set_aside.push_back(mail);
        }
    }

    /// Takes no more letters, unless one waits.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut open = self.open.lock();
        *open = !(self.receiver.is_empty() && self.set_aside.is_empty());
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
        let (post, mut mailbox) = mailbox(Arc::default());
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

    fn event(bytes: usize) -> Mail {
        Mail::OperatorEvent { uid: Bytes::new(), event: vec![0; bytes].into() }
    }

    /// Before, a thousand events of the largest size could wait.
    #[test]
    fn events_that_wait_have_a_bound_in_bytes() {
        let (post, mut mailbox) = mailbox(Arc::default());
        post.deliver(event(MAX_EVENT_TO_SUBTASK)).unwrap();
        post.deliver(event(MAX_EVENT_TO_SUBTASK)).unwrap();
        assert_eq!(post.deliver(event(1)), Err(Undelivered::Full));
        post.deliver(Mail::CheckpointEnded { checkpoint: 1, completed: true }).unwrap();
        assert!(mailbox.next().is_some());
        post.deliver(event(MAX_EVENT_TO_SUBTASK)).unwrap();
        assert_eq!(post.deliver(event(1)), Err(Undelivered::Full));
        assert_eq!(mailbox.events().len(), 2);
        post.deliver(event(1)).unwrap();
    }

    #[test]
    fn what_the_next_job_master_does_not_go_on_with_is_given_up() {
        let (post, mut mailbox) = mailbox(Arc::default());
        post.deliver(Mail::Adopted { completed: 4, first: 1001 }).unwrap();
        assert_eq!(
            [3, 4, 5, 1000, 1001].map(|savepoint| mailbox.is_given_up(savepoint)),
            [true, false, true, true, false]
        );
    }

    #[test]
    fn what_was_looked_at_keeps_its_place() {
        let (post, mut mailbox) = mailbox(Arc::default());
        let ended = |checkpoint, completed| Mail::CheckpointEnded { checkpoint, completed };
        for mail in [ended(1, true), event(1), ended(2, false), event(2)] {
            post.deliver(mail).unwrap();
        }
        assert!(mailbox.is_given_up(2) && !mailbox.is_given_up(1) && !mailbox.close_if_empty());
        assert_eq!(mailbox.events().iter().map(Mail::bytes).collect::<Vec<_>>(), [1, 2]);
        post.deliver(ended(3, true)).unwrap();
        for expected in 1..=3 {
            let Some(Mail::CheckpointEnded { checkpoint, .. }) = mailbox.next() else { panic!("no letter") };
            assert_eq!(checkpoint, expected);
        }
        assert!(mailbox.next().is_none() && mailbox.close_if_empty());
    }
}
