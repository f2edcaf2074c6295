//! Reads splits row by row and spreads the rows over the sinks.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wiesel_proto::source_event_to_reader::Event;
use wiesel_taskmanager::runner::{Action, Barriers, LocalBarrier, Mail, Report, source_event};

use super::{Stopped, TaskContext, now};
use crate::data::{ChannelKey, Item};
use crate::external::Record;
use crate::workload::Split;

/// Rows of one step.
const ROWS: u32 = 16;
/// The list of splits in a checkpoint, as in a real task.
const SPLITS: &str = "splits";
/// For so many milliseconds at most some consumer is thought not to have taken the last data.
const SLOWEST_CONSUMER: u64 = 500;

struct Source<'a> {
    context: &'a mut TaskContext,
    splits: Vec<Split>,
    /// None will come.
    exhausted: bool,
    asked: bool,
    /// What was triggered or given up.
    barriers: Barriers,
    stop: Stop,
    next_step: Instant,
}

/// Whether the job stops with a savepoint.
enum Stop {
    No,
    /// Nothing more is read before the savepoint's outcome.
    Awaits {
        savepoint: u64,
        drain: bool,
    },
    Done,
}

pub(super) async fn run(
    context: &mut TaskContext,
    mut mailbox: mpsc::UnboundedReceiver<Mail>,
    open: &Arc<AtomicBool>,
) -> Result<(), Stopped> {
    let mut splits = Vec::new();
    for entry in context.restored(SPLITS) {
        splits.push(Split::decode(entry).map_err(|error| Stopped::Failed(error.to_string()))?);
    }
    if context.restore.finished {
        open.store(false, Ordering::SeqCst);
    }
    let exhausted = context.restore.finished;
    let (barriers, next_step) = (Barriers::new(0), Instant::now());
    let mut source = Source { context, splits, exhausted, asked: false, barriers, stop: Stop::No, next_step };
    while !source.has_ended() {
        if source.splits.is_empty() && !source.asked && !source.exhausted {
            source.asked = true;
            source.context.reporter.report(Report::RequestSplit(source.context.uid.clone()));
        }
        tokio::select! {
            biased;
            Some(mail) = mailbox.recv() => source.mail(mail)?,
            // However often it is told something meanwhile.
            () = tokio::time::sleep_until(source.next_step), if source.reads() => source.step(),
        }
    }
    source.say(&Item::End { stopped: matches!(source.stop, Stop::Done) });
    source.context.reporter.report(Report::EndOfData { awaits_checkpoint: false });
    // As a real task it goes on taking part in checkpoints, with consumers that have taken its end and others that have not.
    let slowest = Duration::from_millis(source.context.random.random_range(0..=SLOWEST_CONSUMER));
    let drained = Instant::now() + slowest;
    let (job, execution, subtask) = (source.context.job, source.context.execution, source.context.subtask);
    loop {
        while let Ok(mail) = mailbox.try_recv() {
            source.mail(mail)?;
        }
        let awaits = matches!(source.stop, Stop::Awaits { .. });
        if !awaits && Instant::now() >= drained && source.context.data.is_flushed(job, execution, subtask) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    open.store(false, Ordering::SeqCst);
    source.context.uploaded().await;
    Ok(())
}

impl Source<'_> {
    fn has_ended(&self) -> bool {
        match self.stop {
            Stop::No => self.exhausted && self.splits.is_empty(),
            Stop::Awaits { .. } => false,
            Stop::Done => true,
        }
    }

    fn reads(&self) -> bool {
        matches!(self.stop, Stop::No) && !self.splits.is_empty()
    }

    /// A checkpoint or savepoint has ended.
    fn ended(&mut self, checkpoint: u64, completed: bool) -> Result<(), Stopped> {
        if completed {
            self.context.increments.completed(checkpoint);
        } else {
            let actions = self.barriers.aborted(checkpoint);
            self.take_part(actions);
        }
        match self.stop {
            Stop::Awaits { savepoint, .. } if savepoint == checkpoint && completed => self.stop = Stop::Done,
            Stop::Awaits { savepoint, drain: true } if savepoint == checkpoint => {
                return Err(Stopped::Failed("Stop-with-savepoint failed.".to_owned()));
            }
            Stop::Awaits { savepoint, drain: false } if savepoint == checkpoint => self.stop = Stop::No,
            _ => {}
        }
        Ok(())
    }

    /// Another JobMaster has taken the task over.
    fn adopted(&mut self, completed: u64, first: u64) -> Result<(), Stopped> {
        self.ended(completed, true)?;
        let actions = self.barriers.forget_before(first);
        self.take_part(actions);
        if let Stop::Awaits { savepoint, .. } = self.stop {
            self.ended(savepoint, false)?;
        }
        if self.asked && !self.exhausted {
            self.context.reporter.report(Report::RequestSplit(self.context.uid.clone()));
        }
        Ok(())
    }

    fn mail(&mut self, mail: Mail) -> Result<(), Stopped> {
        match mail {
            Mail::OperatorEvent { event, .. } => self.event(event)?,
            Mail::Trigger(barrier) => {
                let actions = self.barriers.triggered(&barrier, now());
                self.take_part(actions);
            }
            Mail::CheckpointEnded { checkpoint, completed } => self.ended(checkpoint, completed)?,
            Mail::Adopted { completed, first } => self.adopted(completed, first)?,
        }
        Ok(())
    }

    /// What the enumerator says.
    fn event(&mut self, event: Bytes) -> Result<(), Stopped> {
        match source_event(event).map_err(|error| Stopped::Failed(error.to_string()))? {
            Event::AddSplits(splits) => {
                self.asked = false;
                for split in splits.splits {
                    self.splits.push(Split::decode(split).map_err(|error| Stopped::Failed(error.to_string()))?);
                }
            }
            Event::NoMoreSplits(_) => self.exhausted = true,
        }
        Ok(())
    }

    fn take_part(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Snapshot { barrier, .. } => self.checkpoint(&barrier),
                Action::GiveUp { checkpoint, reason: Some(reason) } => self.context.decline(checkpoint, reason),
                // There are no channels.
                Action::GiveUp { .. } | Action::Block(_) | Action::Resume(_) | Action::Recorded(_) => {}
            }
        }
    }

    fn checkpoint(&mut self, barrier: &Arc<LocalBarrier>) {
        for consumer in &self.context.peers {
            self.context.data.barrier(self.channel(*consumer), barrier.clone());
        }
        let entries = self.splits.iter().map(|split| split.encode_to_vec().into()).collect();
        self.context.acknowledge(barrier, SPLITS, entries);
        if barrier.stop {
            self.stop = Stop::Awaits { savepoint: barrier.checkpoint_id, drain: barrier.drain };
        }
    }

    fn channel(&self, consumer: u32) -> ChannelKey {
        ChannelKey {
            job: self.context.job,
            execution: self.context.execution,
            producer: self.context.subtask,
            consumer,
        }
    }

    /// To all consumers.
    fn say(&self, item: &Item) {
        for consumer in &self.context.peers {
            self.context.data.emit(self.channel(*consumer), item.clone());
        }
    }

    fn step(&mut self) {
        let pause = self.context.pace + self.context.random.random_range(0..10);
        self.next_step = Instant::now() + Duration::from_millis(pause);
        let Some(split) = self.splits.first_mut() else { return };
        let end = split.end.min(split.next + ROWS);
        let peers = &self.context.peers;
        let mut rows: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        for row in split.next..end {
            let record = (split.number, row);
            let consumer = peers[(split.number as usize * 7 + row as usize) % peers.len()];
            rows.entry(consumer).or_default().push(record);
        }
        split.next = end;
        self.splits.retain(|split| split.next < split.end);
        for (consumer, records) in rows {
            self.context.data.emit(self.channel(consumer), Item::Records(records));
        }
    }
}
