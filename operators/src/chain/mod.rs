//! A chain: operators of one task in a row, where what leaves one enters the next without a queue between them.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use wiesel_state::keyed::SnapshotOptions;

use crate::background::Waker;
use crate::coordinator::CoordinatorGateway;
use crate::element::{Batch, MIN_WATERMARK, WatermarkStatus};
use crate::operator::{
    BuiltOperator, Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result,
};

#[cfg(test)]
mod background_tests;
#[cfg(test)]
mod tests;

/// What passed through an operator. Written by the task's thread only, read by anyone.
#[derive(Debug)]
pub struct OperatorCounters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    watermark: AtomicI64,
}

impl Default for OperatorCounters {
    fn default() -> Self {
        Self { records_in: AtomicU64::new(0), records_out: AtomicU64::new(0), watermark: AtomicI64::new(MIN_WATERMARK) }
    }
}

impl OperatorCounters {
    /// Rows that came in (Flink's `numRecordsIn`).
    pub fn records_in(&self) -> u64 {
        self.records_in.load(Ordering::Relaxed)
    }

    /// Rows that went out (Flink's `numRecordsOut`).
    pub fn records_out(&self) -> u64 {
        self.records_out.load(Ordering::Relaxed)
    }

    /// The last watermark that came in (Flink's `currentInputWatermark`), in milliseconds.
    pub fn watermark(&self) -> i64 {
        self.watermark.load(Ordering::Relaxed)
    }

    fn add(counter: &AtomicU64, rows: usize) {
        // One writer: no read-modify-write needed.
        counter.store(counter.load(Ordering::Relaxed) + rows as u64, Ordering::Relaxed);
    }
}

struct Link {
    operator: Box<dyn Operator>,
    uid: Bytes,
    name: String,
    counters: Arc<OperatorCounters>,
    /// Of an operator that works in the background.
    waker: Option<Waker>,
}

impl Link {
    fn is_available(&self) -> bool {
        self.waker.is_none() || self.operator.is_available()
    }

    fn has_rows_in_flight(&self) -> bool {
        self.waker.is_some() && self.operator.has_rows_in_flight()
    }
}

/// The operators of a task, without its source. A chain may be empty: then everything passes through.
#[derive(Default)]
pub struct Chain {
    links: Vec<Link>,
    /// An operator works in the background.
    background: bool,
    ended: Ended,
}

/// How far [`Chain::finish`] has come.
#[derive(Default)]
struct Ended {
    /// Operators that have finished.
    finished: usize,
    /// The next one was told that its input has ended.
    told: bool,
}

impl Chain {
    /// A chain of these operators, head first.
    pub fn new(operators: Vec<BuiltOperator>) -> Self {
        let links = operators.into_iter().map(|built| Link {
            operator: built.operator,
            uid: built.uid,
            name: built.name,
            counters: Arc::new(OperatorCounters::default()),
            waker: None,
        });
        Self { links: links.collect(), ..Self::default() }
    }

    /// The name and the counters of each operator, head first.
    pub fn counters(&self) -> Vec<(String, Arc<OperatorCounters>)> {
        self.links.iter().map(|link| (link.name.clone(), link.counters.clone())).collect()
    }

    /// Gives each operator the state it starts from; `state` is asked for it by the operator's uid.
    pub fn restore<S: RestoredState>(&mut self, mut state: impl FnMut(&Bytes) -> Result<S>) -> Result<()> {
        self.links.iter_mut().try_for_each(|link| link.operator.restore(&mut state(&link.uid)?))
    }

    /// Opens the operators, last first, so that none emits into one that is not open.
    pub fn open(&mut self, context: &OperatorContext) -> Result<()> {
        for link in self.links.iter_mut().rev() {
            link.operator.open(context)?;
            let waker = Waker::new(context.notifier.clone());
            link.waker = link.operator.take_waker(waker.clone()).then_some(waker);
            self.background |= link.waker.is_some();
        }
        Ok(())
    }

    /// Gives each operator its way to its coordinator, by its uid.
    pub fn connect(&mut self, mut gateway: impl FnMut(&Bytes) -> Box<dyn CoordinatorGateway>) {
        self.links.iter_mut().for_each(|link| link.operator.take_gateway(gateway(&link.uid)));
    }

    /// Tells an operator what its coordinator says.
    ///
    /// # Errors
    /// The operator's, or that it is not in this chain.
    pub fn coordinator_event(&mut self, uid: &Bytes, event: Bytes) -> Result<()> {
        let of_that_uid = self.links.iter().position(|link| link.uid == *uid);
        let Some(position) = of_that_uid else {
            return Err(Error::Plan("an event came for an operator that is not in this task".into()));
        };
        if position < self.ended.finished {
            return Ok(());
        }
        self.links[position].operator.coordinator_event(event)
    }

    /// Whether an operator works in the background: of another chain [`Chain::is_available`] and [`Chain::woken`] need not be asked.
    pub fn works_in_background(&self) -> bool {
        self.background
    }

    /// Whether all operators take rows now.
    pub fn is_available(&self) -> bool {
        self.links.iter().all(Link::is_available)
    }

    /// Lets the operators go on whose wakers were used, last first. One that has another behind it which takes no rows goes on when
    /// that does: what it emits would hold up the task's thread.
    pub fn woken(&mut self, out: &mut dyn Collector) -> Result<()> {
        for position in (self.ended.finished..self.links.len()).rev() {
            let Some((link, after)) = self.links[position..].split_first_mut() else { continue };
            if link.waker.as_ref().is_some_and(Waker::take) {
                let mut next = ChainCollector { rest: after, out, sender: Some(&link.counters) };
                link.operator.woken(&mut next)?;
            }
            if !link.is_available() {
                break;
            }
        }
        Ok(())
    }

    /// The chain as the collector of what stands before it (a source), ending in `out`.
    pub fn collector<'a>(&'a mut self, out: &'a mut dyn Collector) -> ChainCollector<'a> {
        ChainCollector { rest: &mut self.links, out, sender: None }
    }

    /// Hands rows of an input to the head.
    pub fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        match self.links.split_first_mut() {
            Some((head, rest)) => {
                OperatorCounters::add(&head.counters.records_in, batch.num_rows());
                let mut next = ChainCollector { rest, out, sender: Some(&head.counters) };
                head.operator.process(input, batch, &mut next)
            }
            None => out.collect(batch),
        }
    }

    /// Hands a watermark, combined over the inputs, to the head.
    pub fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.collector(out).watermark(watermark)
    }

    /// The task has given the chain no rows for so long, though there may have been some.
    pub fn held_back(&mut self, time: Duration) {
        self.links.iter_mut().for_each(|link| link.operator.held_back(time));
    }

    /// Hands a status, combined over the inputs, to the head.
    pub fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        self.collector(out).status(status)
    }

    /// A barrier is about to pass: head first, so that each has emitted before the next one is asked.
    pub fn before_barrier(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.each(out, |link, next| link.operator.before_barrier(next))
    }

    /// The state of each operator at the barrier, by uid, head first.
    pub fn snapshot(&mut self, options: &SnapshotOptions) -> Result<Vec<(Bytes, OperatorSnapshot)>> {
        self.links.iter_mut().map(|link| Ok((link.uid.clone(), link.operator.snapshot(options)?))).collect()
    }

    /// Tells the operators that a checkpoint is durable, or that it will never be.
    pub fn checkpoint_ended(&mut self, checkpoint_id: u64, completed: bool) -> Result<()> {
        self.links.iter_mut().try_for_each(|link| match completed {
            true => link.operator.checkpoint_completed(checkpoint_id),
            false => link.operator.checkpoint_aborted(checkpoint_id),
        })
    }

    /// Whether an operator waits for a checkpoint to be durable.
    pub fn awaits_checkpoint(&self) -> bool {
        self.links.iter().any(|link| link.operator.awaits_checkpoint())
    }

    /// The task ends without a checkpoint of its end: head first.
    pub fn commit_at_end(&mut self) -> Result<()> {
        self.links.iter_mut().try_for_each(|link| link.operator.commit_at_end())
    }

    /// The next processing time (milliseconds since the epoch) at which [`Chain::processing_time`] is to be called.
    pub fn next_timer(&self) -> Option<i64> {
        self.links[self.ended.finished..].iter().filter_map(|link| link.operator.next_timer()).min()
    }

    /// Fires the timers that are due, head first.
    pub fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        let due = |operator: &dyn Operator| operator.next_timer().is_some_and(|timer| timer <= now);
        let mut finished = self.ended.finished;
        self.each(out, |link, next| {
            if finished > 0 {
                finished -= 1;
                return Ok(());
            }
            if due(&*link.operator) { link.operator.processing_time(now, next) } else { Ok(()) }
        })
    }

    /// One input of the head has ended, while others go on. The last one is told by [`Chain::finish`].
    pub fn end_input(&mut self, input: usize, out: &mut dyn Collector) -> Result<()> {
        match self.links.split_first_mut() {
            Some((head, rest)) => {
                let mut next = ChainCollector { rest, out, sender: Some(&head.counters) };
                head.operator.end_input(input, &mut next)
            }
            None => Ok(()),
        }
    }

    /// All inputs have ended, each was told to [`Chain::end_input`], and the last watermark has passed: finishes the
    /// operators head first, each before the next one's input ends. False: one has rows in flight; to be called again when it was
    /// woken. What has finished is not called again.
    pub fn finish(&mut self, out: &mut dyn Collector) -> Result<bool> {
        while let Some((link, after)) = self.links[self.ended.finished..].split_first_mut() {
            let counters = link.counters.clone();
            let mut next = ChainCollector { rest: after, out, sender: Some(&counters) };
            // The head was told by its inputs.
            if !std::mem::replace(&mut self.ended.told, true) && self.ended.finished > 0 {
                link.operator.end_input(0, &mut next)?;
            }
            if link.has_rows_in_flight() {
                return Ok(false);
            }
            link.operator.finish(&mut next)?;
            self.ended = Ended { finished: self.ended.finished + 1, told: false };
        }
        Ok(true)
    }

    /// Closes all operators, also after one fails to; the first failure is reported.
    pub fn close(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for link in self.links.iter_mut().rev() {
            outcome = outcome.and(link.operator.close());
        }
        outcome
    }

    fn each(
        &mut self,
        out: &mut dyn Collector,
        mut step: impl FnMut(&mut Link, &mut dyn Collector) -> Result<()>,
    ) -> Result<()> {
        let mut rest = &mut self.links[..];
        while let Some((link, after)) = rest.split_first_mut() {
            let counters = link.counters.clone();
            step(link, &mut ChainCollector { rest: after, out, sender: Some(&counters) })?;
            rest = after;
        }
        Ok(())
    }
}

/// What an operator of a chain emits into: the operators behind it, then the end of the chain.
pub struct ChainCollector<'a> {
    rest: &'a mut [Link],
    out: &'a mut dyn Collector,
    sender: Option<&'a OperatorCounters>,
}

impl Collector for ChainCollector<'_> {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        if self.out.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if let Some(sender) = self.sender {
            OperatorCounters::add(&sender.records_out, rows);
        }
        match self.rest.split_first_mut() {
            Some((link, rest)) => {
                OperatorCounters::add(&link.counters.records_in, rows);
                let mut next = ChainCollector { rest, out: self.out, sender: Some(&link.counters) };
                link.operator.process(0, batch, &mut next)
            }
            None => self.out.collect(batch),
        }
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        match self.rest.split_first_mut() {
            Some((link, rest)) => {
                link.counters.watermark.store(watermark, Ordering::Relaxed);
                let mut next = ChainCollector { rest, out: self.out, sender: Some(&link.counters) };
                link.operator.watermark(watermark, &mut next)
            }
            None => self.out.watermark(watermark),
        }
    }

    fn status(&mut self, status: WatermarkStatus) -> Result<()> {
        match self.rest.split_first_mut() {
            Some((link, rest)) => {
                let mut next = ChainCollector { rest, out: self.out, sender: Some(&link.counters) };
                link.operator.status(status, &mut next)
            }
            None => self.out.status(status),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.out.is_cancelled()
    }
}
