//! What passes between a task's operators and their coordinators.
use std::collections::VecDeque;

use bytes::Bytes;
use wiesel_network::Waiter;
use wiesel_operators::coordinator::{CoordinatorGateway, MAX_EVENT_TO_COORDINATOR, MAX_EVENT_TO_SUBTASK};
use wiesel_operators::operator::{Error, Result};
use wiesel_proto as proto;
use wiesel_proto::source_event_to_reader::Event;

use super::failure::from_network;
use super::reporter::{Report, Reporter, Said};

/// Events of an operator that may be under way.
const UNDER_WAY: usize = 16;
/// What a decoded event may take: splits may be short and many.
const EVENT_MEMORY: u64 = 8 * MAX_EVENT_TO_SUBTASK as u64;

/// What a source's coordinator says.
///
/// # Errors
/// It cannot be read.
pub fn source_event(event: Bytes) -> Result<Event> {
    let said = proto::decode_at_most::<proto::SourceEventToReader>(event, EVENT_MEMORY);
    let said = said.map_err(|error| Error::Plan(format!("an event for a source cannot be read: {error}")))?;
    said.event.ok_or_else(|| Error::Plan("an event for a source says nothing".into()))
}

/// An operator's way to its coordinator: its task's reporter.
pub(super) struct Gateway {
    uid: Bytes,
    reporter: Reporter,
    waiter: Waiter,
    /// The reports with events that may not have arrived.
    under_way: VecDeque<Said>,
}

impl Gateway {
    pub(super) fn new(uid: Bytes, reporter: Reporter, waiter: Waiter) -> Self {
        Self { uid, reporter, waiter, under_way: VecDeque::new() }
    }
}

impl CoordinatorGateway for Gateway {
    fn send(&mut self, event: Bytes) -> Result<()> {
        let bytes = event.len();
        if bytes > MAX_EVENT_TO_COORDINATOR {
            return Err(Error::Plan(format!(
                "an operator has an event of {bytes} bytes for its coordinator: {MAX_EVENT_TO_COORDINATOR} are taken at most"
            )));
        }
        while self.under_way.front().is_some_and(|said| self.reporter.is_taken(*said)) {
            self.under_way.pop_front();
        }
        if self.under_way.len() >= UNDER_WAY
            && let Some(oldest) = self.under_way.pop_front()
        {
            let taken = || self.reporter.is_taken(oldest);
            self.waiter.wait_until("the JobMaster to take events of an operator", taken).map_err(from_network)?;
        }
        self.under_way.push_back(self.reporter.report(Report::OperatorEvent { uid: self.uid.clone(), event }));
        Ok(())
    }
}
