//! A sink's side of its coordinator, which gives it tickets.
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use rand::Rng;
use tokio::time::Instant;
use wiesel_taskmanager::runner::Report;

use super::TaskContext;
use crate::tickets::{Said, Told, Word};

/// The most tickets that it asks for at once.
const MOST: u64 = 3;
/// The longest that it waits before it asks again, in milliseconds.
const LONGEST: u64 = 3_000;

/// See the module.
pub(super) struct Customer {
    /// How many events it has sent, and how many it got.
    said: u64,
    heard: u64,
    /// The coordinator that it got the last one from.
    coordinator: u64,
    /// Tickets that it has asked for and not got.
    awaited: u64,
    ask_at: Instant,
    leaves: bool,
    /// It is told nothing more.
    has_left: bool,
}

impl Customer {
    pub(super) fn new() -> Self {
        Self { said: 0, heard: 0, coordinator: 0, awaited: 0, ask_at: Instant::now(), leaves: false, has_left: false }
    }

    fn say(&mut self, context: &TaskContext, word: Word) {
        self.said += 1;
        let event = Said { number: self.said, word: word as i32 }.encode_to_vec().into();
        context.reporter.report(Report::OperatorEvent { uid: context.uid.clone(), event });
    }

    /// Asks for tickets now and then.
    pub(super) fn rows_came(&mut self, context: &mut TaskContext) {
        if self.awaited > 0 || self.leaves || Instant::now() < self.ask_at {
            return;
        }
        self.ask_at = Instant::now() + Duration::from_millis(context.random.random_range(100..LONGEST));
        self.awaited = context.random.random_range(1..=MOST);
        for _ in 0..self.awaited {
            self.say(context, Word::Ask);
        }
    }

    /// The coordinator says something. The ticket that it gives, if it does.
    pub(super) fn hear(&mut self, context: &TaskContext, event: Bytes) -> Option<u32> {
        let told = Told::decode(event).unwrap_or_default();
        if told.coordinator > self.coordinator {
            // It counts anew.
            (self.coordinator, self.heard) = (told.coordinator, 0);
        }
        self.heard += 1;
        if told.coordinator != self.coordinator || told.number != self.heard || self.has_left {
            context.tickets.violated(format!(
                "sink {} ({}) of workload {} hears event {} of its coordinator as its event {}{}",
                context.subtask,
                context.attempt,
                context.workload,
                told.number,
                self.heard,
                if self.has_left { " behind the last" } else { "" }
            ));
        }
        self.awaited -= u64::from(told.asked).min(self.awaited);
        self.has_left |= told.last;
        told.ticket
    }

    /// Wants no more tickets.
    pub(super) fn leave(&mut self, context: &TaskContext) {
        if !std::mem::replace(&mut self.leaves, true) {
            self.say(context, Word::Leave);
        }
    }

    /// Another JobMaster has taken the task over: its coordinator may not have heard what the one before has.
    pub(super) fn say_again(&mut self, context: &TaskContext) {
        for _ in 0..self.awaited {
            self.say(context, Word::Ask);
        }
        if self.leaves && !self.has_left {
            self.say(context, Word::Leave);
        }
    }

    /// Whether it is told nothing more: all that it was given is there.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// The last word.
    pub(super) fn end(&mut self, context: &TaskContext) {
        self.say(context, Word::Farewell);
        context.tickets.ends(context.job, context.execution, context.subtask, context.attempt);
    }
}
