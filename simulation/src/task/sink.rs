//! Writes rows in transactions: prepared at a barrier, committed once the checkpoint is complete.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use wiesel_proto as proto;
use wiesel_taskmanager::runner::{Mail, Report};

use super::{Stopped, TaskContext};
use crate::data::{ChannelKey, Heard, Item};
use crate::external::{Record, TransactionId};

/// The list of transactions in a checkpoint.
pub(crate) const TRANSACTIONS: &str = "transactions";

/// A barrier that has not come from all producers.
struct Alignment {
    barrier: Arc<proto::CheckpointBarrier>,
    reached: BTreeSet<u32>,
}

struct Sink<'a> {
    context: &'a mut TaskContext,
    producers: Vec<u32>,
    ended: BTreeSet<u32>,
    /// A producer ended with a savepoint: what comes after it is another job's.
    stopped: bool,
    alignment: Option<Alignment>,
    /// What came from producers whose barrier is there.
    held: BTreeMap<u32, VecDeque<Item>>,
    /// The last checkpoint that was begun or given up.
    last: u64,
    /// All of them.
    begun: BTreeSet<u64>,
    /// The savepoint that the job is to stop with, until its outcome is known.
    stop: Option<Arc<proto::CheckpointBarrier>>,
    /// Asked for by the JobMaster before all inputs had ended.
    triggered: Option<Arc<proto::CheckpointBarrier>>,
    open: Vec<Record>,
    /// Prepared, by the checkpoint they belong to.
    pending: BTreeMap<u64, TransactionId>,
}

pub(super) async fn run(
    context: &mut TaskContext,
    mut mailbox: mpsc::UnboundedReceiver<Mail>,
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
    let mut sink = Sink {
        context,
        producers,
        ended: BTreeSet::new(),
        stopped: false,
        alignment: None,
        held: BTreeMap::new(),
        last: 0,
        begun: BTreeSet::new(),
        stop: None,
        triggered: None,
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
        tokio::select! {
            biased;
            Some(mail) = mailbox.recv() => sink.mail(mail),
            Some(heard) = gate.recv() => match heard {
                Heard::Item(producer, item) => sink.hear(producer, item),
                Heard::Lost(producer) => return Err(Stopped::Failed(format!("the connection to producer {producer} is lost"))),
            },
        }
    }
    open.store(false, Ordering::SeqCst);
    sink.context.uploaded().await;
    Ok(())
}

impl Sink<'_> {
    fn all_ended(&self) -> bool {
        self.ended.len() == self.producers.len()
    }

    /// All is read, and what was read is committed.
    fn is_done(&mut self) -> bool {
        if !self.all_ended() || self.alignment.is_some() || self.stop.is_some() {
            return false;
        }
        if !self.stopped && !self.context.awaits_checkpoint && (!self.open.is_empty() || !self.pending.is_empty()) {
            // As Flink does without a last checkpoint.
            let id = self.prepare(u64::MAX);
            self.pending.insert(u64::MAX, id);
            self.commit(u64::MAX);
        }
        self.open.is_empty() && self.pending.is_empty()
    }

    fn mail(&mut self, mail: Mail) {
        match mail {
            // Maybe it has come over a channel before that ended.
            Mail::Trigger(barrier) if barrier.checkpoint_id <= self.last => self.give_up(barrier.checkpoint_id),
            Mail::Trigger(barrier) => {
                let barrier = Arc::new(barrier.message.clone());
                match self.all_ended() {
                    true => self.snapshot(&barrier),
                    false => self.triggered = Some(barrier),
                }
            }
            Mail::CheckpointEnded { checkpoint, completed: true } => {
                self.context.increments.completed(checkpoint);
                self.commit(checkpoint);
                let stop = self.stop.take_if(|stop| stop.checkpoint_id == checkpoint);
                self.stopped |= stop.is_some_and(|stop| !stop.drain);
            }
            Mail::CheckpointEnded { checkpoint, completed: false } => {
                if self.stop.as_ref().is_some_and(|stop| stop.checkpoint_id == checkpoint) {
                    self.stop = None;
                }
            }
            Mail::OperatorEvent { .. } => {}
        }
    }

    fn hear(&mut self, producer: u32, item: Item) {
        let blocked = self.alignment.as_ref().is_some_and(|alignment| alignment.reached.contains(&producer));
        if blocked {
            return self.held.entry(producer).or_default().push_back(item);
        }
        match item {
            Item::Records(records) => self.open.extend(records),
            Item::Barrier(barrier) => self.barrier(producer, barrier),
            Item::End { stopped } => {
                self.stopped |= stopped;
                self.ended.insert(producer);
                self.align();
                if let Some(barrier) = self.triggered.take_if(|_| self.ended.len() == self.producers.len()) {
                    self.snapshot(&barrier);
                }
            }
        }
    }

    fn barrier(&mut self, producer: u32, barrier: Arc<proto::CheckpointBarrier>) {
        let current = self.alignment.as_ref().map(|alignment| alignment.barrier.checkpoint_id);
        let checkpoint = barrier.checkpoint_id;
        if current != Some(checkpoint) {
            if checkpoint <= self.last {
                return self.give_up(checkpoint);
            }
            self.last = checkpoint;
            self.begun.insert(checkpoint);
            self.alignment = Some(Alignment { barrier, reached: BTreeSet::new() });
            if let Some(older) = current {
                self.decline(older);
                self.release(Some(producer));
            }
        }
        if let Some(alignment) = &mut self.alignment {
            alignment.reached.insert(producer);
        }
        self.align();
    }

    /// A checkpoint of which a barrier came after a newer one had begun: the JobMaster hears of it, unless it has already.
    fn give_up(&mut self, checkpoint: u64) {
        if self.begun.insert(checkpoint) {
            self.decline(checkpoint);
        }
    }

    fn decline(&self, checkpoint: u64) {
        let message = "a newer checkpoint has begun before it".to_owned();
        let failure = proto::Failure { message, ..Default::default() };
        self.context.reporter.report(Report::Decline { checkpoint, failure });
    }

    /// Takes the snapshot if the barrier has come from all who still send one.
    fn align(&mut self) {
        let Some(alignment) = &self.alignment else { return };
        let reached = |producer| alignment.reached.contains(producer) || self.ended.contains(producer);
        let missing = !self.producers.iter().all(reached);
        if missing {
            return;
        }
        let barrier = alignment.barrier.clone();
        self.alignment = None;
        self.snapshot(&barrier);
        self.release(None);
    }

    /// Goes on with what was held back.
    fn release(&mut self, but: Option<u32>) {
        let held = std::mem::take(&mut self.held);
        for (producer, items) in held {
            for item in items {
                if Some(producer) == but {
                    self.held.entry(producer).or_default().push_back(item);
                } else {
                    self.hear(producer, item);
                }
            }
        }
    }

    fn prepare(&mut self, checkpoint: u64) -> TransactionId {
        let id = format!("{}-{}", self.context.attempt, checkpoint);
        self.context.external.prepare(&id, self.context.workload, std::mem::take(&mut self.open));
        id
    }

    fn snapshot(&mut self, barrier: &Arc<proto::CheckpointBarrier>) {
        let checkpoint = barrier.checkpoint_id;
        if self.pending.contains_key(&checkpoint) {
            return;
        }
        // What was complete when this one began may not have been told.
        self.commit(barrier.completed_checkpoint_id);
        self.last = self.last.max(checkpoint);
        self.begun.insert(checkpoint);
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
