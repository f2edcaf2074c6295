//! Events by number: one reader.
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};

use super::columns::Plan;
use super::filter::Kinds;
use super::generator::{Generator, Settings};
use crate::enumerator::Requests;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Events looked at for a batch, at most: a filter may leave few of them.
const BATCH_EVENTS: usize = 1 << 18;

/// A split: the next event number, and how far it is to the one after it.
pub(super) fn encode(next: u64, stride: u64) -> Bytes {
    [next.to_le_bytes(), stride.to_le_bytes()].concat().into()
}

fn decode(split: &[u8]) -> Option<(u64, u64)> {
    let (next, stride) = split.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*next), u64::from_le_bytes(stride.try_into().ok()?)))
}

/// Where a reader is in the stream. Everything moves by addition: no event costs a division.
struct Position {
    next: u64,
    stride: u64,
    epoch: i64,
    offset: i64,
    /// Milliseconds since event 0, and what is left of the division that gave them.
    millis: i64,
    rest: i64,
    /// When the first event was made, and its number: what a rate limit counts from.
    started: Option<(i64, u64)>,
}

pub(super) struct NexmarkReader {
    generator: Generator,
    plan: Plan,
    kinds: Kinds,
    position: Option<Position>,
    requests: Requests,
    clock: Arc<dyn Clock>,
}

impl NexmarkReader {
    pub(super) fn new(settings: Settings, kinds: Kinds, plan: Plan) -> Self {
        Self {
            generator: Generator::new(settings),
            plan,
            kinds,
            position: None,
            requests: Requests::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The first event number that may not be made yet, and when to ask again.
    fn limit(&mut self) -> (u64, Option<i64>) {
        let settings = &self.generator.settings;
        let Some(position) = self.position.as_mut().filter(|_| settings.rate_limited) else {
            return (settings.events, None);
        };
        let now = self.clock.now_millis();
        let (start, first) = *position.started.get_or_insert((now, position.next));
        let due = i128::from(now - start) * i128::from(settings.rate) / 1000 + i128::from(first) + 1;
        let due = u64::try_from(due).unwrap_or(0);
        let wait = i128::from(position.next.saturating_sub(first)) * 1000 / i128::from(settings.rate) + 1;
        (due.min(settings.events), Some(start + wait as i64))
    }
}

impl SourceReader for NexmarkReader {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        self.requests.want();
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        let (limit, until) = self.limit();
        let Some(position) = &mut self.position else {
            return Ok(self.requests.status());
        };
        if position.next >= self.generator.settings.events {
            self.position = None;
            self.requests.want();
            return Ok(self.requests.status());
        }
        if position.next >= limit {
            return Ok(SourceStatus::NothingAvailable { until });
        }
        let total = self.generator.total();
        let stride = position.stride as i64;
        let (epochs, offsets) = (stride / total, stride % total);
        let rate = self.generator.settings.rate;
        let (step_millis, step_rest) = (stride.wrapping_mul(1000) / rate, stride.wrapping_mul(1000) % rate);
        let base = self.generator.settings.base_time;
        let single = self.kinds.iter().filter(|wanted| **wanted).count() <= 1;
        let mut batch = self.plan.builder(BATCH_ROWS, single);
        let mut seen = 0;
        while position.next < limit && batch.rows() < BATCH_ROWS && seen < BATCH_EVENTS {
            seen += 1;
            let event = self.generator.event(position.epoch, position.offset, base + position.millis);
            if self.kinds[event.kind as usize] {
                batch.push(&self.generator, &event);
            }
            position.next = position.next.saturating_add(position.stride);
            position.epoch += epochs;
            position.offset += offsets;
            if position.offset >= total {
                position.offset -= total;
                position.epoch += 1;
            }
            position.millis += step_millis;
            position.rest += step_rest;
            if position.rest >= rate {
                position.rest -= rate;
                position.millis += 1;
            }
        }
        if batch.rows() > 0 {
            let kind = self.kinds.iter().position(|wanted| *wanted).unwrap_or(0) as i32;
            out.collect(Batch::insert_only(batch.finish(&self.plan, kind)?))?;
        }
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let (next, stride) = decode(&split).ok_or_else(|| Error::Plan("a malformed nexmark split".into()))?;
            let total = self.generator.total();
            let rate = self.generator.settings.rate;
            let scaled = (next as i64).wrapping_mul(1000);
            self.position = Some(Position {
                next,
                stride: stride.max(1),
                epoch: next as i64 / total,
                offset: next as i64 % total,
                millis: scaled / rate,
                rest: scaled % rate,
                started: None,
            });
        }
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }
}
