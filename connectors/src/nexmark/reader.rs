//! Events by number: one reader.
//!
//! A reader may have several splits, after a restore with another parallelism. It makes their events in the order of their
//! numbers, so that none is later than it would be with a split of its own.
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};

use super::columns::{Builder, Plan};
use super::filter::Kinds;
use super::generator::{Generator, Settings};
use crate::encoding;
use crate::enumerator::Requests;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Events looked at for a batch, at most: a filter may leave few of them.
const BATCH_EVENTS: usize = 1 << 18;

/// A split: the next event number, and how far it is to the one after it.
pub(super) fn encode(next: u64, stride: u64) -> Bytes {
    encoding::Writer::new(1).u64(next).u64(stride).finish()
}

fn decode(split: &[u8]) -> Result<(u64, u64)> {
    let mut reader = encoding::Reader::new("a nexmark split", 1, split)?;
    let split = (reader.u64()?, reader.u64()?.max(1));
    reader.end()?;
    Ok(split)
}

/// Where a split is in the stream. Everything moves by addition: no event costs a division.
struct Position {
    next: u64,
    stride: u64,
    epoch: i64,
    offset: i64,
    /// Milliseconds since event 0, and what is left of the division that gave them.
    millis: i64,
    rest: i64,
    step: Step,
}

/// What `epoch`, `offset`, `millis` and `rest` grow by.
struct Step {
    epochs: i64,
    offsets: i64,
    millis: i64,
    rest: i64,
}

impl Position {
    fn new(generator: &Generator, next: u64, stride: u64) -> Self {
        let (total, rate) = (generator.total(), generator.settings.rate);
        let millis = (next as i64).wrapping_mul(1000);
        let step_millis = (stride as i64).wrapping_mul(1000);
        Self {
            next,
            stride,
            epoch: next as i64 / total,
            offset: next as i64 % total,
            millis: millis / rate,
            rest: millis % rate,
            step: Step {
                epochs: stride as i64 / total,
                offsets: stride as i64 % total,
                millis: step_millis / rate,
                rest: step_millis % rate,
            },
        }
    }

    fn advance(&mut self, total: i64, rate: i64) {
        self.next = self.next.saturating_add(self.stride);
        self.epoch += self.step.epochs;
        self.offset += self.step.offsets;
        if self.offset >= total {
            self.offset -= total;
            self.epoch += 1;
        }
        self.millis += self.step.millis;
        self.rest += self.step.rest;
        if self.rest >= rate {
            self.rest -= rate;
            self.millis += 1;
        }
    }
}

/// The position with the smallest event number, and the smallest number of the others.
fn earliest(positions: &mut [Position]) -> Option<(&mut Position, u64)> {
    let (mut first, mut second) = (None::<(usize, u64)>, u64::MAX);
    for (at, position) in positions.iter().enumerate() {
        match first {
            Some((_, least)) if position.next >= least => second = second.min(position.next),
            _ => {
                second = first.map_or(u64::MAX, |(_, least)| least);
                first = Some((at, position.next));
            }
        }
    }
    Some((&mut positions[first?.0], second))
}

pub(super) struct NexmarkReader {
    generator: Generator,
    plan: Plan,
    kinds: Kinds,
    positions: Vec<Position>,
    /// When the first event was made since the start (milliseconds of the clock that only runs), and its number: what a rate limit
    /// counts from.
    started: Option<(i64, u64)>,
    requests: Requests,
    clock: Arc<dyn Clock>,
}

impl NexmarkReader {
    pub(super) fn new(settings: Settings, kinds: Kinds, plan: Plan) -> Self {
        Self {
            generator: Generator::new(settings),
            plan,
            kinds,
            positions: Vec::new(),
            started: None,
            requests: Requests::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The first event number that may not be made yet, and when to ask again.
    fn limit(&mut self) -> (u64, Option<i64>) {
        let settings = &self.generator.settings;
        let next = self.positions.iter().map(|position| position.next).min();
        let Some(next) = next.filter(|_| settings.rate_limited) else {
            return (settings.events, None);
        };
        let now = self.clock.monotonic_millis();
        let (start, first) = *self.started.get_or_insert((now, next));
        let due = i128::from(now - start) * i128::from(settings.rate) / 1000 + i128::from(first) + 1;
        let due = u64::try_from(due).unwrap_or(0);
        let wait = i128::from(next.saturating_sub(first)) * 1000 / i128::from(settings.rate) + 1;
        (due.min(settings.events), Some(start + wait as i64))
    }

    /// Makes events before `limit`, smallest number first, until a batch is full.
    fn make(&mut self, limit: u64) -> Builder {
        let generator = &self.generator;
        let (total, rate, base) = (generator.total(), generator.settings.rate, generator.settings.base_time);
        let single = self.kinds.iter().filter(|wanted| **wanted).count() <= 1;
        let mut batch = self.plan.builder(BATCH_ROWS, single);
        let mut seen = 0;
        while batch.rows() < BATCH_ROWS && seen < BATCH_EVENTS {
            let Some((position, others)) = earliest(&mut self.positions) else { break };
            let end = limit.min(others.max(position.next.saturating_add(1)));
            if position.next >= end {
                break;
            }
            while position.next < end && batch.rows() < BATCH_ROWS && seen < BATCH_EVENTS {
                seen += 1;
                let event = generator.event(position.epoch, position.offset, base + position.millis);
                if self.kinds[event.kind as usize] {
                    batch.push(generator, &event);
                }
                position.advance(total, rate);
            }
        }
        batch
    }
}

impl SourceReader for NexmarkReader {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        if self.positions.is_empty() {
            self.requests.want();
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        if self.positions.is_empty() {
            return Ok(self.requests.status());
        }
        let events = self.generator.settings.events;
        self.positions.retain(|position| position.next < events);
        if self.positions.is_empty() {
            self.requests.want();
            return Ok(self.requests.status());
        }
        let (limit, until) = self.limit();
        if self.positions.iter().all(|position| position.next >= limit) {
            return Ok(SourceStatus::NothingAvailable { until });
        }
        let batch = self.make(limit);
        if batch.rows() > 0 {
            let kind = self.kinds.iter().position(|wanted| *wanted).unwrap_or(0) as i32;
            out.collect(Batch::insert_only(batch.finish(&self.plan, kind)?))?;
        }
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let (next, stride) = decode(&split)?;
            self.positions.push(Position::new(&self.generator, next, stride));
            self.requests.have();
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        let unread = self.positions.iter().filter(|position| position.next < self.generator.settings.events);
        Ok(unread.map(|position| encode(position.next, position.stride)).collect())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }
}
