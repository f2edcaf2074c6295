//! The loop of a task's thread: a letter, a timer, a batch, and again.
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wiesel_common::fault;
use wiesel_common::logging::checkpoint_span;
use wiesel_common::time::Clock;
use wiesel_network::{Event as DataEvent, Waiter};
use wiesel_operators::chain::Chain;
use wiesel_operators::element::{MAX_WATERMARK, MIN_WATERMARK};
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto::source_event_to_reader::Event;

use super::checkpoint::restore::Restore;
use super::checkpoint::{Checkpoints, stop_failed};
use super::counters::TaskCounters;
use super::events::{Gateway, source_event};
use super::failure::from_network;
use super::input::{Incoming, Inputs};
use super::mailbox::{Mail, Mailbox};
use super::output::Outputs;
use super::reporter::{Report, Reporter};

/// How often the counters are brought up to date while the task is busy.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);

/// What a task reads.
pub(crate) enum Head {
    Source { reader: Box<dyn SourceReader>, uid: Bytes },
    Inputs(Inputs),
}

/// What a step left to do.
enum Step {
    /// There was something; there may be more.
    Progress,
    /// There is nothing before this processing time, or before the notifier is woken.
    Idle(Option<i64>),
    /// Everything is read.
    End,
}

/// A task while it runs. Everything in here belongs to the task's thread.
pub(crate) struct Driver {
    pub(crate) head: Head,
    pub(crate) chain: Chain,
    pub(crate) outputs: Outputs,
    pub(crate) mailbox: Mailbox,
    pub(crate) waiter: Waiter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<TaskCounters>,
    pub(crate) reporter: Reporter,
    pub(crate) checkpoints: Checkpoints,
    /// The task had read everything, and said so, before the checkpoint that it was restored from.
    pub(crate) already_finished: bool,
    /// The operators were told that all their inputs have ended.
    pub(crate) end_told: bool,
    /// The operators have finished: they are not called again but for checkpoints.
    pub(crate) chain_finished: bool,
    /// Nothing is left to do but to write state of checkpoints that have begun: there are no more of them.
    pub(crate) ends: bool,
    /// Whether the end is put off until what the sinks have prepared is durable.
    pub(crate) awaits_checkpoint: bool,
    /// The reader has asked for a split, and has had no answer.
    pub(crate) awaits_split: bool,
    pub(crate) times: Times,
}

/// How the time goes by.
pub(crate) struct Times {
    start: Instant,
    counted: Instant,
    idle: Duration,
    back_pressured: Duration,
    watermark: i64,
    polls: fault::Passes,
}

impl Default for Times {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            counted: now,
            idle: Duration::ZERO,
            back_pressured: Duration::ZERO,
            watermark: MIN_WATERMARK,
            polls: fault::Passes::default(),
        }
    }
}

impl Driver {
    /// Restores and opens the operators, last first, and gives the rows in flight back to the channels.
    pub(crate) fn open(&mut self, context: &OperatorContext, restore: &Restore) -> Result<()> {
        let _span = restore.checkpoint.as_ref().map(|restore| checkpoint_span(restore.checkpoint_id).entered());
        fault::point("restore.before-open");
        self.already_finished = restore.is_finished();
        self.chain_finished = self.already_finished;
        self.chain.restore(|uid| Ok(restore.operator(uid, context)))?;
        self.chain.open(context)?;
        let (reporter, waiter) = (&self.reporter, &self.waiter);
        self.chain.connect(|uid| Box::new(Gateway::new(uid.clone(), reporter.clone(), waiter.clone())));
        match &mut self.head {
            Head::Source { reader, uid } => {
                reader.open(context)?;
                let splits = restore.splits(uid, context);
                if !splits.is_empty() {
                    reader.add_splits(splits)?;
                }
                restore.rows_in_flight(None, &mut self.outputs, context)?;
            }
            Head::Inputs(inputs) => restore.rows_in_flight(Some(inputs), &mut self.outputs, context)?,
        }
        self.outputs.replayed()
    }

    /// Runs until everything is read, written, taken by the consumers and, where sinks need it, durable.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.times = Times::default();
        if !(self.already_finished && matches!(self.head, Head::Source { .. })) {
            self.read_everything()?;
        }
        self.finish()
    }

    fn read_everything(&mut self) -> Result<()> {
        loop {
            self.attend()?;
            self.fire_timers()?;
            let now = Instant::now();
            self.outputs.flush_due(now)?;
            if now.duration_since(self.times.counted) >= COUNT_INTERVAL {
                self.count(now);
            }
            if matches!(self.head, Head::Source { .. }) {
                if self.checkpoints.is_stopped() {
                    return Ok(());
                }
                if self.checkpoints.awaits_stop() {
                    self.wait("the savepoint to be complete", None);
                    self.chain.held_back(now.elapsed());
                    continue;
                }
            }
            if !self.outputs.is_available() {
                self.wait("consumers to make room", None);
                self.times.back_pressured += now.elapsed();
                self.chain.held_back(now.elapsed());
                continue;
            }
            let takes_rows = !self.chain.works_in_background() || self.attend_background()?;
            match self.step(takes_rows)? {
                Step::Progress => {}
                Step::Idle(until) => {
                    self.outputs.flush_idle()?;
                    let start = Instant::now();
                    self.count(start);
                    if takes_rows {
                        self.wait("input", until);
                        self.times.idle += start.elapsed();
                    } else {
                        // Busy: it is this task that holds up others.
                        self.wait("background work of an operator", until);
                        self.chain.held_back(start.elapsed());
                    }
                }
                Step::End => return Ok(()),
            }
        }
    }

    /// Closes the operators. The first failure counts.
    pub(crate) fn close(&mut self) -> Result<()> {
        let closed = self.chain.close();
        let reader_closed = match &mut self.head {
            Head::Source { reader, .. } => reader.close(),
            Head::Inputs(_) => Ok(()),
        };
        closed.and(reader_closed)
    }

    /// Does what others ask for.
    fn attend(&mut self) -> Result<()> {
        if self.waiter.is_cancelled() {
            return Err(Error::Cancelled);
        }
        while let Some(mail) = self.mailbox.next() {
            self.deliver(mail)?;
        }
        self.attend_checkpoints()
    }

    /// Lets operators go on that their background work has woken. Whether the chain takes rows now.
    fn attend_background(&mut self) -> Result<bool> {
        // What they would emit after a savepoint that ends the job belongs to the job that goes on from it.
        if !self.chain_finished && !self.checkpoints.awaits_stop() && !self.is_stopped() {
            self.chain.woken(&mut self.outputs)?;
        }
        Ok(self.chain.is_available())
    }

    /// Ends the outputs and waits for whatever must be done before the task may say that it is.
    fn finish(&mut self) -> Result<()> {
        self.await_stop()?;
        if !self.is_stopped() {
            self.finish_operators()?;
        }
        let stopped = self.is_stopped();
        if stopped {
            // The rows after the savepoint are another job's: operators do not see an end here.
            self.chain_finished = true;
        } else if self.already_finished {
            // The tasks that read from this one may not have finished.
            self.outputs.watermark(MAX_WATERMARK)?;
        }
        self.outputs.end(if stopped { &DataEvent::Stopped } else { &DataEvent::EndOfInput })?;
        let waits = self.awaits_checkpoint && !stopped;
        // Only now: a snapshot that the JobMaster asks for because of it is of operators that have finished.
        self.reporter.report(Report::EndOfData { awaits_checkpoint: waits && self.chain.awaits_checkpoint() });
        self.count(Instant::now());
        loop {
            self.attend()?;
            let waits_for = if !self.outputs.is_drained() {
                "consumers to take the last data"
            } else if self.checkpoints.awaits_stop() {
                "the savepoint to be complete"
            } else if waits && self.chain.awaits_checkpoint() {
                "a checkpoint of the last data"
            } else if !self.checkpoints.is_idle() {
                // No more of it: where a checkpoint has always begun before the one before is written, this would never end.
                self.ends = true;
                "state to be written"
            } else if self.mailbox.close_if_empty() {
                break;
            } else {
                continue;
            };
            let start = Instant::now();
            self.wait(waits_for, None);
            self.times.idle += start.elapsed();
        }
        if !stopped && !self.awaits_checkpoint {
            // The next leader may have put another task in the place of this one.
            self.waiter
                .wait_until("a JobMaster that leads the task", || self.reporter.is_led())
                .map_err(from_network)?;
            self.chain.commit_at_end()?;
        }
        self.count(Instant::now());
        Ok(())
    }

    /// Whether what follows in the stream is another job's: operators do not see an end here.
    fn is_stopped(&self) -> bool {
        let inputs = if let Head::Inputs(inputs) = &self.head { inputs.is_stopped() } else { false };
        inputs || self.checkpoints.is_suspended()
    }

    /// Before the operators see an end: waits for the outcome of the savepoint that the job is to stop with, if the task has
    /// taken its part in one. Behind a savepoint that is complete the end is another job's, though a producer that had reached
    /// the end of its data before has said `EndOfInput`. No producer waits for this task meanwhile: over all its channels the
    /// barrier has come or the end, so it has taken all that its producers send before they acknowledge.
    fn await_stop(&mut self) -> Result<()> {
        while self.checkpoints.awaits_stop() && !self.chain_finished && !self.is_stopped() {
            self.wait("the savepoint to be complete", None);
            self.attend()?;
        }
        Ok(())
    }

    /// Lets the operators finish. While one has rows in flight the task takes part in checkpoints, of which they are part; if the job
    /// stops with one of them, they are another job's.
    fn finish_operators(&mut self) -> Result<()> {
        while !self.finish_chain()? {
            self.outputs.flush_idle()?;
            self.wait("rows in flight", None);
            self.attend()?;
            self.await_stop()?;
            if self.is_stopped() {
                return Ok(());
            }
            self.fire_timers()?;
        }
        Ok(())
    }

    /// Lets the operators finish, and waits here for what is in flight: it is to be before the barrier of the savepoint that is
    /// about to be taken. Letters wait; one that gives the savepoint up ends the task, which cannot go on from here.
    pub(super) fn drain_chain(&mut self, savepoint: u64) -> Result<()> {
        let mut waited = false;
        while !self.finish_chain()? {
            self.wait("rows in flight before a savepoint that drains", None);
            waited = true;
            if self.waiter.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.mailbox.is_given_up(savepoint) {
                return Err(stop_failed());
            }
            self.attend_outputs(Instant::now())?;
            self.fire_timers()?;
        }
        // The notifications taken here may have been for letters.
        if waited {
            self.waiter.notifier().notify();
        }
        Ok(())
    }

    /// Lets the operators finish, once: all their inputs have ended, or will with the savepoint that is about to be taken. False: there
    /// are rows in flight. To be called again when the task was woken.
    fn finish_chain(&mut self) -> Result<bool> {
        if self.chain_finished {
            return Ok(true);
        }
        if !std::mem::replace(&mut self.end_told, true) {
            self.tell_end()?;
        }
        if self.chain.works_in_background() {
            self.chain.woken(&mut self.outputs)?;
        }
        self.chain_finished = self.chain.finish(&mut self.outputs)?;
        Ok(self.chain_finished)
    }

    fn tell_end(&mut self) -> Result<()> {
        if self.times.watermark != MAX_WATERMARK {
            self.watermark(MAX_WATERMARK)?;
        }
        match &self.head {
            Head::Source { .. } => self.chain.end_input(0, &mut self.outputs)?,
            Head::Inputs(inputs) => {
                for input in inputs.not_ended() {
                    self.chain.end_input(input, &mut self.outputs)?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, takes_rows: bool) -> Result<Step> {
        match &mut self.head {
            Head::Source { .. } if !takes_rows => Ok(Step::Idle(None)),
            Head::Source { reader, uid } => {
                self.times.polls.point("source.poll");
                let status = reader.poll(&mut self.chain.collector(&mut self.outputs))?;
                if reader.take_split_request() {
                    self.awaits_split = true;
                    self.reporter.report(Report::RequestSplit(uid.clone()));
                }
                Ok(match status {
                    SourceStatus::MoreAvailable => Step::Progress,
                    SourceStatus::NothingAvailable { until } => Step::Idle(until),
                    SourceStatus::EndOfInput => Step::End,
                })
            }
            Head::Inputs(inputs) => {
                let now = Instant::now();
                let incoming = if takes_rows { inputs.poll(now) } else { inputs.poll_events(now) };
                let Some(incoming) = incoming? else {
                    return Ok(if inputs.is_ended() { Step::End } else { Step::Idle(None) });
                };
                self.take(incoming)?;
                Ok(Step::Progress)
            }
        }
    }

    fn take(&mut self, incoming: Incoming) -> Result<()> {
        match incoming {
            Incoming::Batch(input, batch) => self.chain.process(input, batch, &mut self.outputs),
            Incoming::Advance(advance) => {
                if let Some(watermark) = advance.watermark.filter(|_| !self.chain_finished) {
                    self.watermark(watermark)?;
                }
                match advance.status.filter(|_| !self.chain_finished) {
                    Some(status) => self.chain.status(status, &mut self.outputs),
                    None => Ok(()),
                }
            }
            Incoming::Checkpoint(due) => self.carry_out(due),
            Incoming::Ended(due, input) => {
                self.carry_out(due)?;
                match input {
                    Some(input) => self.input_ended(input),
                    None => Ok(()),
                }
            }
        }
    }

    fn input_ended(&mut self, input: usize) -> Result<()> {
        self.await_stop()?;
        if self.is_stopped() || self.chain_finished {
            return Ok(());
        }
        let Head::Inputs(inputs) = &self.head else { return Ok(()) };
        // The last watermark precedes the last end, also where all channels were idle.
        if inputs.is_ended() && self.times.watermark != MAX_WATERMARK {
            self.watermark(MAX_WATERMARK)?;
        }
        self.chain.end_input(input, &mut self.outputs)
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        self.times.watermark = watermark;
        self.counters.set_watermark(watermark);
        self.chain.watermark(watermark, &mut self.outputs)
    }

    pub(super) fn deliver(&mut self, mail: Mail) -> Result<()> {
        match mail {
            Mail::OperatorEvent { uid, event } => self.operator_event(&uid, event),
            Mail::Trigger(barrier) => self.trigger(&barrier),
            Mail::CheckpointEnded { checkpoint, completed } => self.checkpoint_ended(checkpoint, completed),
            Mail::Adopted { completed, first } => {
                self.adopted(completed, first)?;
                // The enumerator that may have heard it is gone.
                if let (Head::Source { uid, .. }, true) = (&self.head, self.awaits_split) {
                    self.reporter.report(Report::RequestSplit(uid.clone()));
                }
                Ok(())
            }
        }
    }

    fn operator_event(&mut self, to: &Bytes, event: Bytes) -> Result<()> {
        match &mut self.head {
            Head::Source { reader, uid } if *uid == *to => {
                self.awaits_split = false;
                match source_event(event)? {
                    Event::AddSplits(splits) => reader.add_splits(splits.splits),
                    Event::NoMoreSplits(_) => {
                        reader.no_more_splits();
                        Ok(())
                    }
                }
            }
            // An operator that has finished has nothing to do with it any more.
            _ if self.chain_finished => Ok(()),
            _ => self.chain.coordinator_event(to, event),
        }
    }

    /// What a timer would emit after a savepoint that ends the job belongs to the job that goes on from it.
    fn next_timer(&self) -> Option<i64> {
        if self.chain_finished || self.checkpoints.awaits_stop() { None } else { self.chain.next_timer() }
    }

    fn fire_timers(&mut self) -> Result<()> {
        let Some(timer) = self.next_timer() else { return Ok(()) };
        let now = self.clock.now_millis();
        if timer <= now { self.chain.processing_time(now, &mut self.outputs) } else { Ok(()) }
    }

    /// Waits for the notifier, at most until the next timer, the next barrier that is to overtake, or `until` (milliseconds of the
    /// clock that only runs).
    fn wait(&self, label: &'static str, until: Option<i64>) {
        let now = self.clock.now();
        let left = |at: i64, now: i64| Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0));
        let timer = self.next_timer().map(|at| left(at, now.wall));
        let poll = until.map(|at| left(at, now.monotonic));
        let barrier = if let Head::Inputs(inputs) = &self.head { inputs.deadline() } else { None };
        let barrier = [barrier, self.checkpoints.deadline()].into_iter().flatten().min();
        let barrier = barrier.map(|at| at.saturating_duration_since(Instant::now()));
        self.waiter.notifier().wait(label, [timer, poll, barrier].into_iter().flatten().min());
    }

    fn count(&mut self, now: Instant) {
        self.times.counted = now;
        if let Head::Inputs(inputs) = &self.head {
            self.counters.set_input(inputs.counters());
        }
        self.counters.set_output(self.outputs.counters());
        let back_pressured = self.times.back_pressured + self.outputs.waited();
        self.counters.set_times(now.duration_since(self.times.start), self.times.idle, back_pressured);
    }
}
