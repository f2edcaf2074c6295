//! The coordinator of simulated sinks: it gives out numbered tickets, which sinks write in their transactions beside their rows.
//!
//! What must hold, whatever goes wrong:
//! - Every ticket is committed once. One that the coordinator's state counts as given is in the state of a subtask or committed, and no
//!   other is: what a lost or doubled event or a snapshot that does not fit comes to is a ticket too few or too many.
//! - What an attempt and its coordinator say to each other comes once and in its order.
//! - What the tasks of a job have said last is heard before the job is FINISHED.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use wiesel_common::id::{AttemptId, JobId};
use wiesel_jobmanager::jobmaster::operator_coordinator_holder::CoordinatorFactory;
use wiesel_operators::coordinator::{EventSender, Events, MakeCoordinator, OperatorCoordinator};
use wiesel_operators::operator::{Error, Result};
use wiesel_proto::operator_spec::Kind;

use crate::external::External;

/// Milliseconds between tickets that nobody has asked for.
const PAUSE: u64 = 1_000;

/// What a sink may say to its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Word {
    /// It wants a ticket.
    Ask = 0,
    /// It wants no more, and is to be sent nothing behind the answer.
    Leave = 1,
    /// It ends. There is no answer.
    Farewell = 2,
}

/// What a sink says.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Said {
    /// Counts what the attempt says, from 1.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// What.
    #[prost(enumeration = "Word", tag = "2")]
    pub word: i32,
}

/// What a sink hears.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Told {
    /// Counts what the attempt is told, from 1.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// A ticket.
    #[prost(uint32, optional, tag = "2")]
    pub ticket: Option<u32>,
    /// It has asked for it.
    #[prost(bool, tag = "3")]
    pub asked: bool,
    /// It is told nothing more.
    #[prost(bool, tag = "4")]
    pub last: bool,
    /// Which coordinator tells it: they are numbered, and `number` counts what this one has told the attempt.
    #[prost(uint64, tag = "5")]
    pub coordinator: u64,
}

/// What a coordinator goes on from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Snapshot {
    #[prost(uint32, tag = "1")]
    next: u32,
    /// Tickets before the next one that nobody has.
    #[prost(uint32, repeated, tag = "2")]
    free: Vec<u32>,
    /// By subtask, whether it wants none any more.
    #[prost(bool, repeated, tag = "3")]
    left: Vec<bool>,
}

#[derive(Default)]
struct State {
    /// By workload: the next ticket of its last coordinator, and those before it that it counts as not given.
    given: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    /// How many coordinators there have been.
    coordinators: u64,
    /// By job and subtask: the attempt of the latest execution that has ended well, and that execution.
    ended: BTreeMap<JobId, BTreeMap<u32, (u32, AttemptId)>>,
    /// The attempts whose last word was heard.
    heard: BTreeSet<AttemptId>,
    /// Snapshots of coordinators that nobody has looked at.
    snapshots: u32,
    violations: Vec<String>,
}

/// What is known of all coordinators of a run. Clones are the same.
#[derive(Clone, Default)]
pub struct Tickets(Arc<Mutex<State>>);

impl Tickets {
    /// Makes the coordinators of simulated sinks.
    pub fn coordinators(&self) -> CoordinatorFactory {
        let tickets = self.clone();
        Arc::new(move |operator, context| {
            let Some(Kind::Sink(spec)) = &operator.kind else { return None };
            let workload = spec.options.get("workload")?.parse().ok()?;
            let customers = (0..context.parallelism).map(|_| Customer::default()).collect();
            let number = {
                let mut state = tickets.0.lock();
                state.coordinators += 1;
                state.coordinators
            };
            let tickets = tickets.clone();
            let office = Office { tickets, workload, number, customers, ..Office::default() };
            let make: MakeCoordinator = Box::new(move || Ok(Box::new(office)));
            Some(make)
        })
    }

    /// An attempt ends well, and has said so to its coordinator.
    pub fn ends(&self, job: JobId, execution: u32, subtask: u32, attempt: AttemptId) {
        let mut state = self.0.lock();
        let known = state.ended.entry(job).or_default().entry(subtask).or_insert((execution, attempt));
        if known.0 <= execution {
            *known = (execution, attempt);
        }
    }

    /// Of a job that is FINISHED: what its coordinator has not heard.
    pub fn unheard(&self, job: JobId) -> Option<String> {
        let state = self.0.lock();
        let ended = state.ended.get(&job)?;
        let unheard = ended.iter().find(|(_, (_, attempt))| !state.heard.contains(attempt));
        unheard.map(|(subtask, (_, attempt))| {
            format!("the job {job} is FINISHED and the last word of its sink {subtask}, {attempt}, was not heard")
        })
    }

    /// Of a workload: what is wrong with its tickets if all that were given are to be committed.
    pub fn missing(&self, workload: u32, external: &External) -> Option<String> {
        let (given, free) = self.0.lock().given.get(&workload).cloned().unwrap_or_default();
        let committed = external.tickets(workload);
        let missing = (0..given).find(|ticket| !free.contains(ticket) && !committed.contains(ticket));
        let unknown = committed.range(given..).chain(committed.intersection(&free)).next();
        match (missing, unknown) {
            (None, None) => None,
            (Some(ticket), _) => Some(format!("ticket {ticket} of {given} of workload {workload} was not committed")),
            (None, Some(ticket)) => Some(format!("ticket {ticket} of workload {workload} was committed, of {given}")),
        }
    }

    /// Snapshots of coordinators since the last look.
    pub fn take_snapshots(&self) -> u32 {
        std::mem::take(&mut self.0.lock().snapshots)
    }

    /// Something must not have happened and did.
    pub fn violated(&self, what: String) {
        self.0.lock().violations.push(what);
    }

    /// What must not have happened and did.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }
}

/// A subtask as its coordinator knows it.
#[derive(Default)]
struct Customer {
    attempt: Option<AttemptId>,
    /// How many events it was sent, and the number of the last that came from it.
    told: u64,
    heard: u64,
    /// It was told that it is told nothing more.
    left: bool,
    /// It may have been told so by the coordinator before: it gets nothing that it has not asked for.
    may_have_left: bool,
}

/// The coordinator.
#[derive(Default)]
struct Office {
    tickets: Tickets,
    workload: u32,
    /// Its own.
    number: u64,
    /// The next ticket, and those before it that nobody has: its state.
    next: u32,
    free: BTreeSet<u32>,
    customers: Vec<Customer>,
    /// Who gets the next ticket that nobody has asked for.
    turn: usize,
    /// By subtask, whether it had left by the snapshot.
    had_left: Vec<bool>,
    /// The subtasks go on from a coordinator before this one, which may have heard what this one does not.
    goes_on: bool,
}

impl Office {
    /// What is known of its state from outside.
    fn publish(&self) {
        self.tickets.0.lock().given.insert(self.workload, (self.next, self.free.clone()));
    }

    fn tell(&mut self, subtask: u32, told: Told, events: &mut Events) {
        let customer = &mut self.customers[subtask as usize];
        customer.told += 1;
        let told = Told { number: customer.told, coordinator: self.number, ..told };
        events.send(subtask, told.encode_to_vec().into());
    }

    fn give(&mut self, subtask: u32, asked: bool, events: &mut Events) {
        let customer = &self.customers[subtask as usize];
        if customer.left || customer.may_have_left && !asked {
            return;
        }
        let ticket = self.free.pop_first().unwrap_or(self.next);
        self.next = self.next.max(ticket + 1);
        self.tell(subtask, Told { ticket: Some(ticket), asked, ..Told::default() }, events);
        self.publish();
    }

    /// To one after the other.
    fn give_to_someone(&mut self, events: &mut Events) {
        self.turn = (self.turn + 1) % self.customers.len();
        self.give(self.turn as u32, false, events);
    }

    /// Notes what comes from a subtask, and whether it comes as it must.
    fn check(&mut self, sender: EventSender, number: u64) {
        let customer = &mut self.customers[sender.subtask as usize];
        let is_first = customer.attempt.is_none();
        customer.heard = if is_first && self.goes_on { number } else { customer.heard + 1 };
        let attempt = *customer.attempt.get_or_insert(sender.attempt);
        if (attempt, customer.heard) != (sender.attempt, number) {
            let heard = customer.heard;
            self.tickets.violated(format!(
                "the coordinator of workload {} hears event {number} of {} of subtask {}, and expects event {heard} of {attempt}",
                self.workload, sender.attempt, sender.subtask
            ));
        }
    }
}

impl OperatorCoordinator for Office {
    fn restore(&mut self, _: u64, state: &[u8]) -> Result<()> {
        let Snapshot { next, free, left } = Snapshot::decode(state).map_err(|error| Error::Plan(error.to_string()))?;
        (self.next, self.free, self.had_left) = (next, free.into_iter().collect(), left);
        Ok(())
    }

    fn sent(&mut self, sent: &[(u32, Bytes)]) -> Result<bool> {
        self.goes_on = true;
        for (customer, had_left) in self.customers.iter_mut().zip(&self.had_left) {
            customer.may_have_left = *had_left;
        }
        for (subtask, event) in sent {
            let told = Told::decode(event.clone()).map_err(|error| Error::Plan(error.to_string()))?;
            self.customers[*subtask as usize].left |= told.last;
            if let Some(ticket) = told.ticket {
                self.free.extend(self.next..ticket.max(self.next));
                self.free.remove(&ticket);
                self.next = self.next.max(ticket + 1);
            }
        }
        Ok(true)
    }

    fn start(&mut self, events: &mut Events) -> Result<()> {
        self.publish();
        (0..self.customers.len() as u32).for_each(|subtask| self.give(subtask, false, events));
        Ok(())
    }

    fn handle_event(&mut self, sender: EventSender, event: Bytes, events: &mut Events) -> Result<()> {
        let said = Said::decode(event).map_err(|error| Error::Plan(error.to_string()))?;
        self.check(sender, said.number);
        match said.word() {
            Word::Ask => self.give(sender.subtask, true, events),
            // It says so again to each coordinator that may not have heard it.
            Word::Leave if self.customers[sender.subtask as usize].left => {}
            Word::Leave => {
                self.customers[sender.subtask as usize].left = true;
                self.tell(sender.subtask, Told { last: true, ..Told::default() }, events);
            }
            Word::Farewell => _ = self.tickets.0.lock().heard.insert(sender.attempt),
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<u64> {
        Some(PAUSE)
    }

    fn timer(&mut self, events: &mut Events) -> Result<()> {
        self.give_to_someone(events);
        Ok(())
    }

    fn snapshot(&mut self, _: u64) -> Result<Bytes> {
        self.tickets.0.lock().snapshots += 1;
        let left = self.customers.iter().map(|customer| customer.left || customer.may_have_left).collect();
        let snapshot = Snapshot { next: self.next, free: self.free.iter().copied().collect(), left };
        Ok(snapshot.encode_to_vec().into())
    }

    fn checkpoint_completed(&mut self, _: u64, events: &mut Events) -> Result<()> {
        self.give_to_someone(events);
        Ok(())
    }
}
