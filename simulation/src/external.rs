//! The system that sinks write to, with transactions, as a broker or a database is: what is committed is seen by others.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

/// A row: of which split, and which of its rows.
pub type Record = (u32, u32);
/// The split of records that are tickets of coordinators.
pub const TICKETS: u32 = u32::MAX;
/// A transaction, named by whoever began it and never used again.
pub type TransactionId = String;

#[derive(Default)]
struct State {
    prepared: BTreeMap<TransactionId, (u32, Vec<Record>)>,
    committed: BTreeSet<TransactionId>,
    /// By workload: the rows that others see.
    seen: BTreeMap<u32, BTreeSet<Record>>,
    /// By workload: the tickets.
    tickets: BTreeMap<u32, BTreeSet<u32>>,
    violations: Vec<String>,
}

/// See the module. All clones are one system.
#[derive(Clone, Default)]
pub struct External(Arc<Mutex<State>>);

impl External {
    /// Keeps the rows of a transaction, for this workload, until it is committed.
    pub fn prepare(&self, id: &TransactionId, workload: u32, records: Vec<Record>) {
        self.0.lock().prepared.insert(id.clone(), (workload, records));
    }

    /// Makes the rows of a transaction seen; again is no error.
    pub fn commit(&self, id: &TransactionId) {
        let mut state = self.0.lock();
        let state = &mut *state;
        if !state.committed.insert(id.clone()) {
            return;
        }
        let Some((workload, records)) = state.prepared.get(id).cloned() else {
            state.violations.push(format!("transaction {id} is committed and was never prepared"));
            return;
        };
        for record in records {
            let new = match record {
                (TICKETS, ticket) => state.tickets.entry(workload).or_default().insert(ticket),
                row => state.seen.entry(workload).or_default().insert(row),
            };
            if !new {
                state.violations.push(format!("row {record:?} of workload {workload} is committed twice, now by {id}"));
            }
        }
    }

    /// How many rows of a workload others see.
    pub fn seen(&self, workload: u32) -> usize {
        self.0.lock().seen.get(&workload).map_or(0, BTreeSet::len)
    }

    /// The tickets of a workload that were committed.
    pub fn tickets(&self, workload: u32) -> BTreeSet<u32> {
        self.0.lock().tickets.get(&workload).cloned().unwrap_or_default()
    }

    /// What must not have happened and did.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }
}
