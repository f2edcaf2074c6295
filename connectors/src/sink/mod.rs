//! The operator of every sink that commits in two phases ([`wiesel_operators::sink`]).
//!
//! It keeps what is complete with the checkpoint that names it, writes it into each snapshot until it is final, and has it
//! committed: when the checkpoint is durable (also the one that the job stops with), when a checkpoint that names it is restored,
//! and at the end of a task that waits for no checkpoint. What cannot be committed for now is tried again a few times, then the
//! task fails with the last reason: a restart goes on from the checkpoint, which names it still.
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Handle;
use wiesel_common::fault;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{
    Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};
use wiesel_operators::sink::{CommitRequest, Committer, RestoredSink, SinkEntry, SinkState, SinkWriter};
use wiesel_proto as proto;
use wiesel_proto::operator_list_state::Redistribution;
use wiesel_state::keyed::SnapshotOptions;

use crate::blocking;

#[cfg(test)]
mod tests;

/// How often a committable is tried, and how long the task waits between: no longer than an upload of a checkpoint does.
#[derive(Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(5), tries: 8 }
    }
}

impl Backoff {
    /// How long to wait after so many tries; none: they were all.
    fn pause(&self, tries: u32) -> Option<Duration> {
        let doubled = self.first.saturating_mul(1u32 << tries.saturating_sub(1).min(20));
        (tries < self.tries).then(|| doubled.min(self.most))
    }
}

/// A sink as an operator.
pub(crate) struct SinkOperator<S: SinkWriter> {
    sink: S,
    backoff: Backoff,
    runtime: Option<Handle>,
    restored: Option<RestoredSink<S::State, S::Committable>>,
    /// Complete at the snapshot of that checkpoint, and not final.
    uncommitted: BTreeMap<u64, Vec<S::Committable>>,
    finished: bool,
}

impl<S: Committer + SinkState> SinkOperator<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self {
            sink,
            backoff: Backoff::default(),
            runtime: None,
            restored: None,
            uncommitted: BTreeMap::new(),
            finished: false,
        }
    }

    /// Makes all of these final.
    fn commit(&mut self, committables: impl IntoIterator<Item = S::Committable>, is_restored: bool) -> Result<()> {
        let request = |committable| CommitRequest { committable, is_restored };
        let mut requests: Vec<_> = committables.into_iter().map(request).collect();
        // A sink may have nothing to do for no committables that waits for others.
        if requests.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            let unfinished = self.sink.commit(requests)?;
            let Some(last) = unfinished.last() else { return Ok(()) };
            tries += 1;
            let Some(pause) = self.backoff.pause(tries) else { return Err(given_up(tries, unfinished)) };
            tracing::warn!(
                committables = unfinished.len(),
                tries,
                reason = %last.reason,
                "what was written cannot be committed for now: it is tried again"
            );
            self.wait(pause)?;
            let again = |unfinished: wiesel_operators::sink::Unfinished<S::Committable>| unfinished.request;
            requests = unfinished.into_iter().map(again).collect();
        }
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        match &self.runtime {
            Some(runtime) => blocking::pause(runtime, pause),
            None => Ok(()),
        }
    }
}

/// The error of what was tried often enough: the last reason says what to do.
fn given_up<C>(tries: u32, mut unfinished: Vec<wiesel_operators::sink::Unfinished<C>>) -> Error {
    let others = unfinished.len().saturating_sub(1);
    match unfinished.pop().map(|last| last.reason) {
        Some(Error::External { message, source }) => {
            let others = if others > 0 { format!(", and {others} others") } else { String::new() };
            Error::External { message: format!("{message} (tried {tries} times{others})"), source }
        }
        Some(other) => other,
        None => Error::Plan("a commit without an outcome".into()),
    }
}

impl<S: Committer + SinkState> Operator for SinkOperator<S> {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        if let Some(checkpoint) = state.checkpoint_id() {
            let entries = state.list(S::LIST).iter().map(|entry| S::decode(entry)).collect::<Result<_>>()?;
            self.restored = Some(RestoredSink { checkpoint, entries });
        }
        self.sink.restore(state)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.runtime = Some(context.runtime.clone());
        let restored = self.restored.take();
        let due = self.sink.open(context, restored)?;
        self.commit(due, true)
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Collector) -> Result<()> {
        fault::point("sink.write");
        self.sink.write(batch)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.sink.watermark(watermark)?;
        out.watermark(watermark)
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        self.sink.status(status)?;
        out.status(status)
    }

    fn next_timer(&self) -> Option<i64> {
        self.sink.next_timer()
    }

    fn processing_time(&mut self, now: i64, _out: &mut dyn Collector) -> Result<()> {
        self.sink.processing_time(now)
    }

    fn finish(&mut self, _out: &mut dyn Collector) -> Result<()> {
        self.finished = true;
        self.sink.finish()
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let complete = self.sink.prepare_commit()?;
        let mut entries: Vec<_> = self.sink.snapshot()?.into_iter().map(SinkEntry::Writer).collect();
        // No entry where there is nothing to commit: the task would wait for that checkpoint at its end.
        if !complete.is_empty() {
            self.uncommitted.entry(options.checkpoint_id).or_default().extend(complete);
        }
        entries.extend(self.uncommitted.values().flatten().cloned().map(SinkEntry::Committable));
        let others = self.sink.lists(options, &entries)?;
        let own = proto::OperatorListState {
            name: S::LIST.to_owned(),
            redistribution: Redistribution::BySubtask.into(),
            entries: entries.iter().map(S::encode).collect::<Result<_>>()?,
        };
        Ok(OperatorSnapshot { keyed: None, lists: [own].into_iter().chain(others).collect() })
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        fault::point("sink.before-commit");
        let later = self.uncommitted.split_off(&(checkpoint_id + 1));
        let due = std::mem::replace(&mut self.uncommitted, later);
        self.commit(due.into_values().flatten(), false)?;
        fault::point("sink.after-commits");
        self.sink.checkpoint_completed(checkpoint_id)
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.sink.checkpoint_aborted(checkpoint_id)
    }

    fn awaits_checkpoint(&self) -> bool {
        self.finished && (!self.uncommitted.is_empty() || self.sink.awaits_checkpoint())
    }

    fn commit_at_end(&mut self) -> Result<()> {
        fault::point("sink.before-commit");
        let waiting: Vec<_> = std::mem::take(&mut self.uncommitted).into_values().flatten().collect();
        let complete = self.sink.prepare_commit()?;
        self.commit(waiting.into_iter().chain(complete), false)?;
        fault::point("sink.after-commits");
        self.sink.ended()
    }

    fn close(&mut self) -> Result<()> {
        self.sink.close()
    }
}
