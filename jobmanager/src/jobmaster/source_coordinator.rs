//! The coordinator of a source: its enumerator, which gives readers splits.
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use wiesel_operators::coordinator::{
    EventSender, Events, MAX_EVENT_TO_COORDINATOR, MAX_EVENT_TO_SUBTASK, MakeCoordinator, OperatorCoordinator,
};
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::source::{EnumeratorContext, SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;
use wiesel_proto::source_event_to_coordinator::Event as Said;
use wiesel_proto::source_event_to_reader::Event;

/// What a decoded event may take.
const EVENT_MEMORY: u64 = 2 * MAX_EVENT_TO_COORDINATOR as u64;
/// The same of one to a reader: splits may be short and many.
const SENT_EVENT_MEMORY: u64 = 8 * MAX_EVENT_TO_SUBTASK as u64;

/// Makes the enumerator of a source.
pub type EnumeratorFactory =
    Arc<dyn Fn(&proto::SourceSpec, EnumeratorContext) -> Result<Box<dyn SplitEnumerator>> + Send + Sync>;

/// Makes the coordinator of a source.
pub fn source_coordinator(
    factory: &EnumeratorFactory,
    spec: &proto::SourceSpec,
    context: EnumeratorContext,
) -> MakeCoordinator {
    let (factory, spec) = (Arc::clone(factory), spec.clone());
    Box::new(move || Ok(Box::new(SourceCoordinator { enumerator: factory(&spec, context)? })))
}

struct SourceCoordinator {
    enumerator: Box<dyn SplitEnumerator>,
}

impl SourceCoordinator {
    fn discover(&mut self, events: &mut Events) -> Result<()> {
        let assignments = self.enumerator.discover()?;
        assignments.into_iter().for_each(|(subtask, assignment)| assign(subtask, assignment, events));
        Ok(())
    }
}

fn assign(subtask: u32, assignment: SplitAssignment, events: &mut Events) {
    let event = match assignment {
        SplitAssignment::Splits(splits) => Event::AddSplits(proto::AddSplits { splits }),
        SplitAssignment::NoMoreSplits => Event::NoMoreSplits(proto::NoMoreSplits {}),
        SplitAssignment::Wait => return,
    };
    events.send(subtask, proto::SourceEventToReader { event: Some(event) }.encode_to_vec().into());
}

impl OperatorCoordinator for SourceCoordinator {
    fn restore(&mut self, _: u64, state: &[u8]) -> Result<()> {
        self.enumerator.restore(state)
    }

    fn sent(&mut self, sent: &[(u32, Bytes)]) -> Result<bool> {
        let mut given = Vec::new();
        for (subtask, event) in sent {
            let said = proto::decode_at_most::<proto::SourceEventToReader>(event.clone(), SENT_EVENT_MEMORY);
            let said = said.map_err(|error| Error::Plan(format!("what a reader was sent cannot be read: {error}")))?;
            match said.event {
                Some(Event::AddSplits(added)) => given.extend(added.splits.into_iter().map(|split| (*subtask, split))),
                // That there are none left follows from what is left.
                Some(Event::NoMoreSplits(_)) => {}
                None => return Err(Error::Plan("a reader was sent nothing".into())),
            }
        }
        self.enumerator.given(&given)
    }

    fn start(&mut self, events: &mut Events) -> Result<()> {
        self.discover(events)
    }

    fn handle_event(&mut self, sender: EventSender, event: Bytes, events: &mut Events) -> Result<()> {
        let said = proto::decode_at_most::<proto::SourceEventToCoordinator>(event, EVENT_MEMORY);
        let said = said.map_err(|error| Error::Plan(format!("what a reader said cannot be read: {error}")))?;
        match said.event {
            Some(Said::RequestSplit(request)) => {
                let assignment = self.enumerator.request_split(sender.subtask, &request.hostname)?;
                assign(sender.subtask, assignment, events);
                Ok(())
            }
            None => Err(Error::Plan("a reader said nothing".into())),
        }
    }

    fn next_timer(&self) -> Option<u64> {
        self.enumerator.discovery_interval()
    }

    fn timer(&mut self, events: &mut Events) -> Result<()> {
        self.discover(events)
    }

    fn snapshot(&mut self, _: u64) -> Result<Bytes> {
        self.enumerator.snapshot()
    }
}

#[cfg(test)]
#[path = "source_coordinator_tests.rs"]
mod tests;
