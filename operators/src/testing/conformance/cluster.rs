//! One run: steps are carried out on tasks, then everything comes to its end and is compared.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMillisecondType;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use wiesel_common::keygroup;
use wiesel_common::time::Clock;

use super::Subject;
use super::checkpoint::{Completed, Pending};
use super::exchange::{Channel, Consumer, Item, Producer};
use super::plan::{self, Mode, Plan, Shape, Step};
use super::reference::{Log, Told};
use crate::element::{Batch, MAX_WATERMARK, MIN_WATERMARK, StreamElement, WatermarkStatus};
use crate::operator::OperatorContext;
use crate::testing::state::{World, by_subtask};
use crate::testing::{ManualClock, Output, context_with, fold, rows_text};
use crate::watermark_valve::Advance;

/// Longer than anything that waits for the clock.
const LONG: i64 = 100_000;

/// A job with one operator behind an exchange.
pub struct Cluster<'a> {
    pub(super) subject: &'a Subject,
    pub(super) plan: &'a Plan,
    pub(super) world: Arc<World>,
    context: OperatorContext,
    clock: Arc<ManualClock>,
    /// How much of each split was read.
    pub(super) positions: Vec<usize>,
    pub(super) producers: Vec<Producer>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) log: Log,
    /// The results of earlier runs of the job that count.
    pub(super) survived: Vec<String>,
    pub(super) pending: Option<Pending>,
    pub(super) last: Completed,
    pub(super) checkpoint: u64,
    /// No result is at or before this time any more.
    pub(super) floor: i64,
    /// Rows may be there twice.
    pub(super) repeats: bool,
}

/// Carries out a plan.
pub fn run(subject: &Subject, plan: &Plan) -> TestCaseResult {
    let mut cluster = Cluster::new(subject, plan);
    plan.steps.iter().for_each(|step| cluster.step(step));
    cluster.end();
    cluster.compare()
}

impl<'a> Cluster<'a> {
    fn new(subject: &'a Subject, plan: &'a Plan) -> Self {
        let (context, clock) = context_with(&[]);
        let context = OperatorContext { max_parallelism: plan.max_parallelism, ..context };
        let mut cluster = Self {
            subject,
            plan,
            world: World::new(&context, "hashmap"),
            context,
            clock,
            positions: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            log: Log::new(plan.max_parallelism),
            survived: Vec::new(),
            pending: None,
            last: Completed::nothing(plan.splits.len(), plan.max_parallelism),
            checkpoint: 0,
            floor: MIN_WATERMARK,
            repeats: false,
        };
        cluster.start(plan.shape);
        cluster
    }

    /// Deploys the job, from the last checkpoint.
    pub(super) fn start(&mut self, shape: Shape) {
        let from = self.last.clone();
        self.repeats |= from.repeats;
        self.floor = from.floor;
        self.log.truncate(&from.told);
        (self.survived, self.positions) = (from.results, from.positions);
        let context = OperatorContext { parallelism: shape.producers as u32, ..self.context.clone() };
        let producer = |number: usize| Producer {
            local: self.subject.local.as_ref().map(|build| build(&context)),
            splits: (0..self.plan.splits.len()).filter(|split| split % shape.producers == number).collect(),
            highest: MIN_WATERMARK,
            watermark: MIN_WATERMARK,
            idle: false,
            ended: false,
        };
        self.producers = (0..shape.producers).map(producer).collect();
        let consumer = |subtask: u32| {
            let context = OperatorContext { subtask, parallelism: shape.subtasks, ..self.context.clone() };
            let groups = keygroup::key_groups(subtask, shape.subtasks, context.max_parallelism);
            let mut operator = (self.subject.build)(&context);
            let mut restored = self.world.restored(shape.backend, groups.clone(), &from.keyed, shape.cache);
            operator.restore(&mut restored).unwrap();
            operator.open(&context).unwrap();
            Consumer::new(operator, groups, shape.producers)
        };
        self.consumers = (0..shape.subtasks).map(consumer).collect();
        self.replay(from.inputs, from.outputs);
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    fn step(&mut self, step: &Step) {
        let producer = |producer: &usize| producer % self.producers.len();
        let consumer = |subtask: &usize| subtask % self.consumers.len();
        match step {
            Step::Read { producer: of, split, rows } => self.read(producer(of), *split, *rows),
            Step::Watermark { producer: of, lag } => self.send_watermark(producer(of), *lag),
            Step::Idle { producer: of } => self.idle(producer(of)),
            Step::Deliver { subtask, channel, elements } => {
                let (subtask, channels) = (consumer(subtask), self.producers.len());
                let is_slow = self.plan.slow.is_some_and(|slow| slow % self.consumers.len() == subtask);
                let elements = if is_slow { 1 } else { *elements };
                (0..elements).for_each(|turn| _ = self.deliver(subtask, channel.unwrap_or(turn) % channels));
            }
            Step::Clock(millis) => self.clock.set(self.now() + millis),
            Step::Timers { subtask } => self.fire_timers(consumer(subtask)),
            Step::Trigger { mode, canonical } => self.trigger(*mode, *canonical),
            Step::Barrier { producer: of, waiting } => self.send_barrier(producer(of), *waiting),
            Step::Overtake { subtask } => self.look_for_barriers(consumer(subtask)),
            Step::Complete { told } => self.complete(*told),
            Step::Restart { shape, complete } => self.restart(*shape, *complete),
        }
    }

    fn unread(&self, split: usize) -> &'a [plan::Row] {
        &self.plan.splits[split][self.positions[split]..]
    }

    fn read(&mut self, number: usize, split: usize, rows: usize) {
        if self.producers[number].ended {
            return;
        }
        let open = self.producers[number].splits.iter().copied().filter(|split| !self.unread(*split).is_empty());
        let open: Vec<usize> = open.collect();
        if open.is_empty() {
            return if self.plan.idle { self.set_idle(number, true) } else { self.end_producer(number) };
        }
        let split = open[split % open.len()];
        let rows = &self.unread(split)[..rows.min(self.unread(split).len())];
        self.positions[split] += rows.len();
        let producer = &mut self.producers[number];
        producer.highest = rows.iter().map(|row| row.time).fold(producer.highest, i64::max);
        let batch = plan::rows(rows, self.subject.changelog);
        self.set_idle(number, false);
        self.produce(number, |local, out| match local {
            Some(local) => local.process(0, batch, out).unwrap(),
            None => out.elements.push(StreamElement::Batch(batch)),
        });
    }

    fn send_watermark(&mut self, number: usize, lag: i64) {
        let left = (0..self.plan.splits.len()).flat_map(|split| self.unread(split)).map(|row| row.time).min();
        let producer = &mut self.producers[number];
        let reached = match (self.plan.in_time, left) {
            (true, Some(left)) => left - 1,
            _ => producer.highest,
        };
        let watermark = reached.saturating_sub(lag);
        if !producer.ended && watermark > producer.watermark {
            producer.watermark = watermark;
            self.set_idle(number, false);
            self.emit_watermark(number, watermark);
        }
    }

    fn emit_watermark(&mut self, number: usize, watermark: i64) {
        self.produce(number, |local, out| match local {
            Some(local) => local.watermark(watermark, out).unwrap(),
            None => out.elements.push(StreamElement::Watermark(watermark)),
        });
    }

    /// An idle producer does not hold others back: where all rows are to be in time, it must have none left.
    fn idle(&mut self, number: usize) {
        let has_rows = self.producers[number].splits.iter().any(|split| !self.unread(*split).is_empty());
        if self.plan.idle && !(self.plan.in_time && has_rows) {
            self.set_idle(number, true);
        }
    }

    fn set_idle(&mut self, number: usize, idle: bool) {
        if std::mem::replace(&mut self.producers[number].idle, idle) != idle {
            let status = if idle { WatermarkStatus::Idle } else { WatermarkStatus::Active };
            self.produce(number, |local, out| match local {
                Some(local) => local.status(status, out).unwrap(),
                None => out.elements.push(StreamElement::WatermarkStatus(status)),
            });
        }
    }

    fn end_producer(&mut self, number: usize) {
        self.emit_watermark(number, MAX_WATERMARK);
        self.produce(number, |local, out| {
            if let Some(local) = local {
                local.end_input(0, out).unwrap();
                local.finish(out).unwrap();
            }
            out.elements.push(StreamElement::EndOfInput);
        });
        self.producers[number].ended = true;
        self.producer_ended(number);
    }

    /// Lets what a producer runs do something, and sends what comes out.
    pub(super) fn produce(
        &mut self,
        number: usize,
        act: impl FnOnce(Option<&mut Box<dyn crate::operator::Operator>>, &mut Output),
    ) {
        let mut out = Output::default();
        act(self.producers[number].local.as_mut(), &mut out);
        for element in out.elements {
            match element {
                StreamElement::Batch(batch) => self.send_rows(number, &batch),
                StreamElement::Watermark(watermark) => self.broadcast(number, &Item::Watermark(watermark)),
                StreamElement::WatermarkStatus(status) => self.broadcast(number, &Item::Status(status)),
                StreamElement::EndOfInput => self.broadcast(number, &Item::End),
            }
        }
    }

    /// Sends rows to the subtasks of their key groups.
    pub(super) fn send_rows(&mut self, number: usize, batch: &Batch) {
        let parallelism = self.consumers.len() as u32;
        let parts = by_subtask(batch, &self.subject.keys, parallelism, self.plan.max_parallelism);
        for (consumer, part) in self.consumers.iter_mut().zip(parts).filter(|(_, part)| part.num_rows() > 0) {
            consumer.channels[number].queue.push_back(Item::Rows(part));
        }
    }

    pub(super) fn broadcast(&mut self, number: usize, item: &Item) {
        self.consumers.iter_mut().for_each(|consumer| consumer.channels[number].queue.push_back(item.clone()));
    }

    /// A subtask takes the next element of a channel; whether there was one.
    pub(super) fn deliver(&mut self, subtask: usize, channel: usize) -> bool {
        let consumer = &mut self.consumers[subtask];
        if let Some((_, batch)) = consumer.replay.pop_front() {
            self.process(subtask, batch);
            return true;
        }
        let Channel { queue, blocked, held, .. } = &mut consumer.channels[channel];
        let Some(item) = (!*blocked && !*held).then(|| queue.pop_front()).flatten() else { return false };
        match item {
            Item::Rows(batch) => {
                self.record(subtask, channel, &batch);
                self.process(subtask, batch);
            }
            Item::Watermark(watermark) => {
                let advance = consumer.valve.watermark(channel, watermark);
                self.advance(subtask, advance);
            }
            Item::Status(status) => {
                let advance = consumer.valve.status(channel, status);
                self.advance(subtask, advance);
            }
            Item::Barrier(checkpoint) => self.barrier_came(subtask, channel, checkpoint),
            Item::Replayed => consumer.channel_replayed(channel),
            Item::End => self.channel_ended(subtask, channel),
        }
        true
    }

    fn process(&mut self, subtask: usize, batch: Batch) {
        let now = self.now();
        self.log.rows(self.consumers[subtask].key_groups.clone(), now, &batch, &self.subject.keys);
        self.consume(subtask, |operator, out| operator.process(0, batch, out).unwrap());
    }

    fn advance(&mut self, subtask: usize, advance: Advance) {
        if let Some(watermark) = advance.watermark {
            self.tell(subtask, &Told::Watermark(watermark));
            self.consume(subtask, |operator, out| operator.watermark(watermark, out).unwrap());
        }
        if let Some(status) = advance.status {
            self.consume(subtask, |operator, out| operator.status(status, out).unwrap());
        }
    }

    fn channel_ended(&mut self, subtask: usize, channel: usize) {
        let consumer = &mut self.consumers[subtask];
        consumer.channels[channel].ended = true;
        let all_ended = consumer.channels.iter().all(|channel| channel.ended);
        self.settle(subtask);
        if all_ended {
            self.consumers[subtask].finished = true;
            self.tell(subtask, &Told::EndOfInput);
            self.consume(subtask, |operator, out| {
                operator.end_input(0, out).unwrap();
                operator.finish(out).unwrap();
            });
        }
    }

    fn fire_timers(&mut self, subtask: usize) {
        let now = self.now();
        if self.consumers[subtask].operator.next_timer().is_some_and(|timer| timer <= now) {
            self.tell(subtask, &Told::Timer);
            self.consume(subtask, |operator, out| operator.processing_time(now, out).unwrap());
        }
    }

    pub(super) fn tell(&mut self, subtask: usize, told: &Told) {
        let now = self.now();
        self.log.all(self.consumers[subtask].key_groups.clone(), now, told);
    }

    /// Lets a subtask do something, and takes what comes out.
    pub(super) fn consume(
        &mut self,
        subtask: usize,
        act: impl FnOnce(&mut dyn crate::operator::Operator, &mut Output),
    ) {
        let (windows, floor) = (self.subject.windows, self.floor);
        let consumer = &mut self.consumers[subtask];
        let mut out = Output::default();
        act(&mut *consumer.operator, &mut out);
        for element in out.elements {
            match element {
                StreamElement::Batch(batch) => {
                    if windows {
                        let column = batch.records.columns().last().unwrap();
                        let ends = column.as_primitive::<TimestampMillisecondType>().values();
                        let passed = floor.max(consumer.handed_on);
                        assert!(ends.iter().all(|end| end - 1 > passed), "a window of {ends:?} behind {passed}");
                    }
                    consumer.results.extend(rows_text(&batch));
                }
                StreamElement::Watermark(watermark) => {
                    assert!(watermark > consumer.handed_on, "{watermark} behind {}", consumer.handed_on);
                    consumer.handed_on = watermark;
                }
                StreamElement::WatermarkStatus(_) | StreamElement::EndOfInput => {}
            }
        }
    }

    /// Everything is read, moves, and comes to its end.
    fn end(&mut self) {
        self.complete(true);
        for number in 0..self.producers.len() {
            while !self.producers[number].ended
                && self.producers[number].splits.iter().any(|split| !self.unread(*split).is_empty())
            {
                self.read(number, 0, 7);
            }
        }
        (0..self.producers.len()).for_each(|number| self.set_idle(number, false));
        self.deliver_all();
        self.clock.set(self.now() + LONG);
        (0..self.consumers.len()).for_each(|subtask| self.fire_timers(subtask));
        let open: Vec<usize> = (0..self.producers.len()).filter(|number| !self.producers[*number].ended).collect();
        open.into_iter().for_each(|number| self.end_producer(number));
        self.deliver_all();
        assert!(self.consumers.iter().all(|consumer| consumer.finished));
        // A last checkpoint.
        self.trigger(Mode::Aligned, true);
        self.complete(true);
    }

    fn deliver_all(&mut self) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for subtask in 0..self.consumers.len() {
                for channel in 0..self.producers.len() {
                    moved |= self.deliver(subtask, channel);
                }
            }
        }
    }

    fn compare(&self) -> TestCaseResult {
        let results = &self.last.results;
        for table in self.subject.emptied {
            prop_assert!(self.world.entries(&self.last.keyed, table).is_empty(), "something is left in '{table}'");
        }
        self.compare_rows()?;
        let expected = self.log.replay(self.subject, &self.world, &self.context, &self.clock);
        same("those of key groups alone", results.clone(), expected)?;
        let never_late = self.plan.in_time || !self.subject.windows;
        if self.subject.timeless && never_late && self.plan.own_keys {
            self.compare_with_plain_run(results)?;
        }
        Ok(())
    }

    /// Every row was processed, and once.
    fn compare_rows(&self) -> TestCaseResult {
        if self.subject.local.is_some() {
            return Ok(());
        }
        let found = self.log.numbers(plan::NUMBER as usize);
        let all = self.plan.splits.iter().flatten().map(|row| (row.number, 1));
        match self.repeats {
            false => prop_assert_eq!(found, all.collect::<BTreeMap<_, _>>()),
            true => prop_assert!(all.map(|(number, _)| number).all(|number| found.contains_key(&number)), "{found:?}"),
        }
        Ok(())
    }

    fn compare_with_plain_run(&self, results: &[String]) -> TestCaseResult {
        let plain = self.plain_run();
        match self.subject.counts.filter(|_| self.repeats) {
            None if self.repeats => Ok(()),
            Some(column) => {
                let counts = |lines| counts(column, self.subject.windows, fold(lines));
                let (found, expected) = (counts(results.to_vec()), counts(plain));
                for (key, count) in expected {
                    let found = found.get(&key).copied().unwrap_or(0);
                    prop_assert!(found >= count, "{found} rows of {count} in {key:?}");
                }
                Ok(())
            }
            None => same("those of a plain run", fold(results.to_vec()), fold(plain)),
        }
    }

    /// What comes out where nothing happens.
    fn plain_run(&self) -> Vec<String> {
        let context = OperatorContext { parallelism: 1, ..self.context.clone() };
        let mut operator = (self.subject.build)(&context);
        let all = 0..context.max_parallelism;
        operator.restore(&mut self.world.restored("hashmap", all, &[], usize::MAX)).unwrap();
        operator.open(&context).unwrap();
        let mut local = self.subject.local.as_ref().map(|build| build(&context));
        let mut out = Output::default();
        for rows in self.plan.splits.iter().filter(|rows| !rows.is_empty()) {
            let batch = plan::rows(rows, self.subject.changelog);
            let mut between = Output::default();
            match &mut local {
                Some(local) => {
                    local.process(0, batch, &mut between).unwrap();
                    local.end_input(0, &mut between).unwrap();
                }
                None => between.elements.push(StreamElement::Batch(batch)),
            }
            for element in between.elements {
                if let StreamElement::Batch(batch) = element {
                    operator.process(0, batch, &mut out).unwrap();
                }
            }
        }
        operator.watermark(MAX_WATERMARK, &mut out).unwrap();
        operator.end_input(0, &mut out).unwrap();
        operator.finish(&mut out).unwrap();
        out.take_rows()
    }
}

/// Compares results in any order and shows those that only one side has.
fn same(with: &str, mut found: Vec<String>, mut expected: Vec<String>) -> TestCaseResult {
    found.sort();
    expected.sort();
    let mut missing = expected.clone();
    let mut more = Vec::new();
    for line in &found {
        match missing.binary_search(line) {
            Ok(at) => _ = missing.remove(at),
            Err(_) => more.push(line.clone()),
        }
    }
    prop_assert!(missing.is_empty() && more.is_empty(), "beside {with}, missing: {missing:#?}, too many: {more:#?}");
    Ok(())
}

/// The counts of results by what is before them, the key, and the window if it follows last.
fn counts(column: usize, windows: bool, lines: Vec<String>) -> BTreeMap<(String, String), i64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let columns: Vec<&str> = line.trim_matches(&['[', ']'][..]).split(", ").collect();
        let key = (columns[..column].join(", "), columns.last().filter(|_| windows).map_or("", |last| last).to_owned());
        *counts.entry(key).or_insert(0) += columns[column].parse::<i64>().unwrap();
    }
    counts
}
