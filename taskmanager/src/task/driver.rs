//! The loop of a task's thread: a letter, a timer, a batch, and again.
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use wiesel_common::time::Clock;
use wiesel_network::Waiter;
use wiesel_operators::chain::Chain;
use wiesel_operators::element::{MAX_WATERMARK, MIN_WATERMARK};
use wiesel_operators::operator::{Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto::operator_event_to_task::Event;

use super::counters::TaskCounters;
use super::input::{Incoming, Inputs};
use super::mailbox::Mail;
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
    pub(crate) mailbox: Receiver<Mail>,
    pub(crate) waiter: Waiter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<TaskCounters>,
    pub(crate) reporter: Reporter,
    /// Reports that were handed to the reporter.
    pub(crate) said: u64,
    pub(crate) times: Times,
}

/// How the time goes by.
pub(crate) struct Times {
    start: Instant,
    counted: Instant,
    idle: Duration,
    back_pressured: Duration,
    watermark: i64,
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
        }
    }
}

impl Driver {
    /// Opens the operators, last first.
    pub(crate) fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.chain.open(context)?;
        match &mut self.head {
            Head::Source { reader, .. } => reader.open(context),
            Head::Inputs(_) => Ok(()),
        }
    }

    /// Runs until everything is read, written, and taken by the consumers.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.times = Times::default();
        loop {
            if self.waiter.is_cancelled() {
                return Err(Error::Cancelled);
            }
            while let Ok(mail) = self.mailbox.try_recv() {
                self.deliver(mail)?;
            }
            self.fire_timers()?;
            let now = Instant::now();
            self.outputs.flush_due(now)?;
            if now.duration_since(self.times.counted) >= COUNT_INTERVAL {
                self.count(now);
            }
            if !self.outputs.is_available() {
                self.wait("consumers to make room", None);
                self.times.back_pressured += now.elapsed();
                continue;
            }
            match self.step()? {
                Step::Progress => {}
                Step::Idle(until) => {
                    self.outputs.flush_idle()?;
                    let start = Instant::now();
                    self.count(start);
                    self.wait("input", until);
                    self.times.idle += start.elapsed();
                }
                Step::End => break,
            }
        }
        self.finish()
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

    fn finish(&mut self) -> Result<()> {
        if self.times.watermark != MAX_WATERMARK {
            self.watermark(MAX_WATERMARK)?;
        }
        if matches!(self.head, Head::Source { .. }) {
            self.chain.end_input(0, &mut self.outputs)?;
        }
        self.chain.finish(&mut self.outputs)?;
        self.outputs.finish()?;
        self.count(Instant::now());
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        match &mut self.head {
            Head::Source { reader, uid } => {
                let status = reader.poll(&mut self.chain.collector(&mut self.outputs))?;
                if reader.take_split_request() {
                    self.said += 1;
                    self.reporter.report(Report::RequestSplit(uid.clone()));
                }
                Ok(match status {
                    SourceStatus::MoreAvailable => Step::Progress,
                    SourceStatus::NothingAvailable { until } => Step::Idle(until),
                    SourceStatus::EndOfInput => Step::End,
                })
            }
            Head::Inputs(inputs) => {
                let Some(incoming) = inputs.poll()? else {
                    return Ok(if inputs.is_ended() { Step::End } else { Step::Idle(None) });
                };
                match incoming {
                    Incoming::Batch(input, batch) => self.chain.process(input, batch, &mut self.outputs)?,
                    Incoming::Advance(advance) => {
                        if let Some(watermark) = advance.watermark {
                            self.watermark(watermark)?;
                        }
                        if let Some(status) = advance.status {
                            self.chain.status(status, &mut self.outputs)?;
                        }
                    }
                    Incoming::EndOfInput(input) => {
                        // The last watermark precedes the last end, also where all channels were idle.
                        if inputs.is_ended() && self.times.watermark != MAX_WATERMARK {
                            self.watermark(MAX_WATERMARK)?;
                        }
                        self.chain.end_input(input, &mut self.outputs)?;
                    }
                    Incoming::Nothing => {}
                }
                Ok(Step::Progress)
            }
        }
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        self.times.watermark = watermark;
        self.counters.set_watermark(watermark);
        self.chain.watermark(watermark, &mut self.outputs)
    }

    fn deliver(&mut self, mail: Mail) -> Result<()> {
        let Mail::OperatorEvent { uid: to, event } = mail;
        match &mut self.head {
            Head::Source { reader, uid } if *uid == to => match event {
                Event::AddSplits(splits) => reader.add_splits(splits.splits),
                Event::NoMoreSplits(_) => {
                    reader.no_more_splits();
                    Ok(())
                }
            },
            _ => Err(Error::Plan("an event came for an operator that is not in this task".into())),
        }
    }

    fn fire_timers(&mut self) -> Result<()> {
        let Some(timer) = self.chain.next_timer() else { return Ok(()) };
        let now = self.clock.now_millis();
        if timer <= now { self.chain.processing_time(now, &mut self.outputs) } else { Ok(()) }
    }

    /// Waits for the notifier, at most until the next timer or `until` (milliseconds since the epoch).
    fn wait(&self, label: &'static str, until: Option<i64>) {
        let next = [self.chain.next_timer(), until].into_iter().flatten().min();
        let timeout = next.map(|next| {
            Duration::from_millis(u64::try_from(next.saturating_sub(self.clock.now_millis())).unwrap_or(0))
        });
        self.waiter.notifier().wait(label, timeout);
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
