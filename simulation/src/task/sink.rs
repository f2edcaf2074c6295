//! Writes rows in transactions: prepared at a barrier, committed once the checkpoint is complete. The tickets that its coordinator gives
//! it are written as rows are.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use wiesel_taskmanager::runner::{Action, Barriers, LocalBarrier, Mail, Report};

use super::customer::Customer;
use super::{Stopped, TaskContext, now};
use crate::data::{ChannelKey, Heard, Item};
use crate::external::{Record, TICKETS, TransactionId};

/// The list of transactions in a checkpoint.
pub(crate) const TRANSACTIONS: &str = "transactions";

struct Sink<'a> {
    context: &'a mut TaskContext,
    mailbox: mpsc::UnboundedReceiver<Mail>,
    /// Letters behind which a snapshot looked for events.
    set_aside: VecDeque<Mail>,
    customer: Customer,
    producers: Vec<u32>,
    ended: BTreeSet<u32>,
    /// A producer ended with a savepoint: what comes after it is another job's.
    stopped: bool,
    /// The savepoint that the job stops with is complete: what its coordinator says behind that is said to another job, too.
    saved: bool,
    /// When it takes part in a checkpoint: a real task's own decision. Its channels are the positions in `producers`.
    barriers: Barriers,
    /// The producers from which nothing is taken before the barriers of others.
    blocked: BTreeSet<u32>,
    /// What came from them meanwhile.
    held: BTreeMap<u32, VecDeque<Item>>,
    /// The savepoint that the job is to stop with, until its outcome is known.
    stop: Option<Arc<LocalBarrier>>,
    open: Vec<Record>,
    /// Prepared, by the checkpoint they belong to.
    pending: BTreeMap<u64, TransactionId>,
}

pub(super) async fn run(
    context: &mut TaskContext,
    mailbox: mpsc::UnboundedReceiver<Mail>,
    open: &Arc<AtomicBool>,
) -> Result<(), Stopped> {
    for entry in context.restored(TRANSACTIONS) {
        let id = String::from_utf8(entry.to_vec()).map_err(|error| Stopped::Failed(error.to_string()))?;
        context.external.commit(&id);
    }
    let (heard, mut gate) = mpsc::unbounded_channel();
    let producers = context.peers.clone();
    for &producer in &producers {
        let key = ChannelKey { job: context.job, execution: context.execution, producer, consumer: context.subtask };
        let address = context.others[producer as usize].clone();
        let opened = context.data.open(key, address.as_deref(), heard.clone()).await;
        opened.map_err(|reason| Stopped::Failed(format!("producer {producer} is not reached: {reason}")))?;
    }
    let barriers = Barriers::new(producers.len());
    let mut sink = Sink {
        context,
        mailbox,
        set_aside: VecDeque::new(),
        customer: Customer::new(),
        producers,
        ended: BTreeSet::new(),
        stopped: false,
        saved: false,
        barriers,
        blocked: BTreeSet::new(),
        held: BTreeMap::new(),
        stop: None,
        open: Vec::new(),
        pending: BTreeMap::new(),
    };
    let mut at_end = false;
    loop {
        let done = sink.is_done();
        if sink.all_ended() && !std::mem::replace(&mut at_end, true) {
            sink.context.reporter.report(Report::EndOfData { awaits_checkpoint: !done && !sink.stopped });
        }
        if done {
            break;
        }
        sink.leave_at_end();
        if let Some(mail) = sink.set_aside.pop_front() {
            sink.mail(mail);
            continue;
        }
        tokio::select! {
            biased;
            Some(mail) = sink.mailbox.recv() => sink.mail(mail),
            Some(heard) = gate.recv() => match heard {
                Heard::Item(producer, item) => sink.hear(producer, item),
                Heard::Lost(producer) => return Err(Stopped::Failed(format!("the connection to producer {producer} is lost"))),
            },
        }
    }
    sink.customer.end(sink.context);
    open.store(false, Ordering::SeqCst);
    sink.context.uploaded().await;
    Ok(())
}

impl Sink<'_> {
    fn all_ended(&self) -> bool {
        self.ended.len() == self.producers.len()
    }

    /// Tickets are another job's.
    fn is_behind_savepoint(&self) -> bool {
        self.stopped || self.saved
    }

    /// At the end it wants no more tickets.
    fn leave_at_end(&mut self) {
        if self.all_ended() && self.stop.is_none() && !self.is_behind_savepoint() {
            self.customer.leave(self.context);
        }
    }

    /// All is read, and what was read is committed.
    fn is_done(&mut self) -> bool {
        if !self.all_ended() || self.stop.is_some() {
            return false;
        }
        if !self.is_behind_savepoint() && !self.customer.has_left() {
            return false;
        }
        if self.is_behind_savepoint() {
            self.open.retain(|(split, _)| *split != TICKETS);
        }
        if !self.stopped && !self.context.awaits_checkpoint && (!self.open.is_empty() || !self.pending.is_empty()) {
            // As Flink does without a last checkpoint.
            let id = self.prepare(u64::MAX);
            self.pending.insert(u64::MAX, id);
            self.commit(u64::MAX);
        }
        self.open.is_empty() && self.pending.is_empty()
    }

    fn completed(&mut self, checkpoint: u64) {
        self.context.increments.completed(checkpoint);
        self.commit(checkpoint);
        let stop = self.stop.take_if(|stop| stop.checkpoint_id == checkpoint);
        self.saved |= stop.is_some();
        self.stopped |= stop.is_some_and(|stop| !stop.drain);
    }

    fn mail(&mut self, mail: Mail) {
        match mail {
            Mail::Trigger(barrier) => {
                let actions = self.barriers.triggered(&barrier, now());
                self.take_part(actions);
            }
            Mail::CheckpointEnded { checkpoint, completed: true } => self.completed(checkpoint),
            Mail::CheckpointEnded { checkpoint, completed: false } => {
                let actions = self.barriers.aborted(checkpoint);
                self.take_part(actions);
                if self.stop.as_ref().is_some_and(|stop| stop.checkpoint_id == checkpoint) {
                    self.stop = None;
                }
            }
            // Another JobMaster has taken the task over: it goes on from what is complete, and all else is over.
            Mail::Adopted { completed, first } => {
                self.completed(completed);
                let actions = self.barriers.forget_before(first);
                self.take_part(actions);
                self.stop = None;
                self.customer.say_again(self.context);
            }
            Mail::OperatorEvent { event, .. } => self.event(event),
        }
        self.go_on();
    }

    fn event(&mut self, event: Bytes) {
        let ticket = self.customer.hear(self.context, event);
        self.open.extend(ticket.map(|ticket| (TICKETS, ticket)));
    }

    /// Takes what came from a producer, or holds it back.
    fn hear(&mut self, producer: u32, item: Item) {
        if self.blocked.contains(&producer) {
            return self.held.entry(producer).or_default().push_back(item);
        }
        self.take(producer, item);
        self.go_on();
    }

    fn take(&mut self, producer: u32, item: Item) {
        let channel = self.producers.iter().position(|known| *known == producer).unwrap_or_default();
        let actions = match item {
            Item::Records(records) => {
                self.open.extend(records);
                return self.customer.rows_came(self.context);
            }
            Item::Barrier(barrier) => self.barriers.barrier(channel, &barrier, now()),
            Item::End { stopped } => {
                self.stopped |= stopped;
                self.ended.insert(producer);
                self.barriers.ended(channel)
            }
        };
        self.take_part(actions);
    }

    fn take_part(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Block(channel) => _ = self.blocked.insert(self.producers[channel]),
                Action::Resume(channel) => _ = self.blocked.remove(&self.producers[channel]),
                Action::Snapshot { barrier, .. } => self.snapshot(&barrier),
                Action::GiveUp { checkpoint, reason: Some(reason) } => self.context.decline(checkpoint, reason),
                // No simulated barrier overtakes.
                Action::GiveUp { .. } | Action::Recorded(_) => {}
            }
        }
    }

    /// Takes what was held back and is not any more; it may hold back the rest again.
    fn go_on(&mut self) {
        while let Some(producer) = self.held.keys().find(|producer| !self.blocked.contains(producer)).copied() {
            match self.held.get_mut(&producer).and_then(VecDeque::pop_front) {
                Some(item) => self.take(producer, item),
                None => _ = self.held.remove(&producer),
            }
        }
    }

    fn prepare(&mut self, checkpoint: u64) -> TransactionId {
        let id = format!("{}-{}", self.context.attempt, checkpoint);
        self.context.external.prepare(&id, self.context.workload, std::mem::take(&mut self.open));
        id
    }

    fn snapshot(&mut self, barrier: &Arc<LocalBarrier>) {
        let checkpoint = barrier.checkpoint_id;
        // As in a real task, what has come of the coordinator is before the barrier.
        while let Ok(mail) = self.mailbox.try_recv() {
            match mail {
                Mail::OperatorEvent { event, .. } => self.event(event),
                other => self.set_aside.push_back(other),
            }
        }
        // What was complete when this one began may not have been told.
        self.commit(barrier.completed_checkpoint_id);
        let id = self.prepare(checkpoint);
        self.pending.insert(checkpoint, id);
        if barrier.stop {
            self.stop = Some(barrier.clone());
        }
        let entries = self.pending.values().map(|id| Bytes::from(id.clone())).collect();
        self.context.acknowledge(barrier, TRANSACTIONS, entries);
    }

    fn commit(&mut self, checkpoint: u64) {
        let later = checkpoint.checked_add(1).map(|next| self.pending.split_off(&next)).unwrap_or_default();
        for id in std::mem::replace(&mut self.pending, later).into_values() {
            self.context.external.commit(&id);
        }
    }
}
