//! Rows and barriers between simulated tasks: partitions at their producers, gates at their consumers, in order.
//!
//! A consumer opens a channel to each of its producers, over a connection to the producer's TaskManager if that is another.
//! What was produced before waits; a connection that breaks fails the consumer, and what would have gone over it is lost.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use wiesel_common::id::JobId;
use wiesel_taskmanager::runner::LocalBarrier;

use crate::endpoint::Endpoint;
use crate::external::Record;
use crate::network::{ConnectionId, Payload};

/// What a producer says.
#[derive(Clone, Debug)]
pub enum Item {
    /// Rows.
    Records(Vec<Record>),
    /// A barrier.
    Barrier(Arc<LocalBarrier>),
    /// It has ended; `stopped`: with a savepoint, and not because everything was read.
    End {
        /// See there.
        stopped: bool,
    },
}

/// A channel: from a producer to a consumer in one execution of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelKey {
    /// The job.
    pub job: JobId,
    /// Its execution.
    pub execution: u32,
    /// The producing subtask.
    pub producer: u32,
    /// The consuming subtask.
    pub consumer: u32,
}

/// Between TaskManagers.
#[derive(Debug)]
pub enum DataMessage {
    /// The consumer wants what the channel has.
    Open(ChannelKey),
    /// The channel's next item.
    Item(ChannelKey, Item),
}

/// What a consumer hears of one of its channels.
#[derive(Debug)]
pub enum Heard {
    /// The next item of this producer.
    Item(u32, Item),
    /// The connection to this producer broke.
    Lost(u32),
}

/// A channel at its producer.
#[derive(Default)]
struct Partition {
    waiting: VecDeque<Item>,
    to: Option<Consumer>,
    /// The consumer was there and is not any more.
    broken: bool,
    /// The producer has said its last item.
    ended: bool,
}

#[derive(Clone, Copy)]
enum Consumer {
    Here,
    At(ConnectionId),
}

struct Gate {
    heard: mpsc::UnboundedSender<Heard>,
    connection: Option<ConnectionId>,
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<ChannelKey, Partition>,
    gates: BTreeMap<ChannelKey, Gate>,
    connections: BTreeMap<String, Arc<Mutex<Option<ConnectionId>>>>,
}

/// The data plane of a TaskManager. Cheap to clone.
#[derive(Clone)]
pub struct DataPlane {
    endpoint: Endpoint,
    state: Arc<Mutex<State>>,
}

impl DataPlane {
    /// Of the process with this end of the network.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, state: Arc::default() }
    }

    /// A producer says something.
    pub fn emit(&self, key: ChannelKey, item: Item) {
        let mut state = self.state.lock();
        let partition = state.partitions.entry(key).or_default();
        partition.ended |= matches!(item, Item::End { .. });
        if !partition.broken {
            partition.waiting.push_back(item);
            self.flush(&mut state, key);
        }
    }

    /// A producer sends a barrier, maybe after its end: then it goes before that end, and to nobody who has taken it.
    pub fn barrier(&self, key: ChannelKey, barrier: Arc<LocalBarrier>) {
        let mut state = self.state.lock();
        let partition = state.partitions.entry(key).or_default();
        let end = matches!(partition.waiting.back(), Some(Item::End { .. }));
        if partition.broken || (partition.ended && !end) {
            return;
        }
        let at = partition.waiting.len() - usize::from(end);
        partition.waiting.insert(at, Item::Barrier(barrier));
        self.flush(&mut state, key);
    }

    fn flush(&self, state: &mut State, key: ChannelKey) {
        let Some(partition) = state.partitions.get_mut(&key) else { return };
        let Some(to) = partition.to else { return };
        let waiting = std::mem::take(&mut partition.waiting);
        for item in waiting {
            match to {
                Consumer::Here => hear(state, key, item),
                Consumer::At(connection) => {
                    let message = Payload::Data(DataMessage::Item(key, item));
                    self.endpoint.network().send(self.endpoint.process(), connection, message);
                }
            }
        }
    }

    /// A consumer wants a channel; `address`: of its producer's TaskManager, none if it is this one.
    ///
    /// # Errors
    /// The producer's TaskManager is not reached.
    pub async fn open(
        &self,
        key: ChannelKey,
        address: Option<&str>,
        heard: mpsc::UnboundedSender<Heard>,
    ) -> Result<(), String> {
        let Some(address) = address else {
            let mut state = self.state.lock();
            state.gates.insert(key, Gate { heard, connection: None });
            state.partitions.entry(key).or_default().to = Some(Consumer::Here);
            self.flush(&mut state, key);
            return Ok(());
        };
        let known = self.state.lock().connections.entry(address.to_owned()).or_default().clone();
        let connection = self.endpoint.connection(address, &known).await.map_err(|error| error.to_string())?;
        self.state.lock().gates.insert(key, Gate { heard, connection: Some(connection) });
        let message = Payload::Data(DataMessage::Open(key));
        self.endpoint.network().send(self.endpoint.process(), connection, message);
        Ok(())
    }

    /// What came from another TaskManager.
    pub fn receive(&self, connection: ConnectionId, message: DataMessage) {
        let mut state = self.state.lock();
        match message {
            DataMessage::Open(key) => {
                let partition = state.partitions.entry(key).or_default();
                if !partition.broken {
                    partition.to = Some(Consumer::At(connection));
                }
                self.flush(&mut state, key);
            }
            DataMessage::Item(key, item) => hear(&mut state, key, item),
        }
    }

    /// A connection is gone.
    pub fn broken(&self, connection: ConnectionId) {
        let mut state = self.state.lock();
        for partition in state.partitions.values_mut() {
            if matches!(partition.to, Some(Consumer::At(known)) if known == connection) {
                (partition.to, partition.broken) = (None, true);
                partition.waiting.clear();
            }
        }
        state.gates.retain(|key, gate| {
            let lost = gate.connection == Some(connection);
            if lost {
                // The consumer may have ended.
                let _ = gate.heard.send(Heard::Lost(key.producer));
            }
            !lost
        });
    }

    /// Whether everything that a producer said was taken by its consumers, or is on its way to them.
    pub fn is_flushed(&self, job: JobId, execution: u32, producer: u32) -> bool {
        let of = |key: &ChannelKey| key.job == job && key.execution == execution && key.producer == producer;
        let state = self.state.lock();
        let mut own = state.partitions.iter().filter(|(key, _)| of(key));
        own.all(|(_, partition)| partition.waiting.is_empty())
    }

    /// What belongs to a job's earlier executions, or with `none` to the job, is not needed any more.
    pub fn forget(&self, job: JobId, before: Option<u32>) {
        let old = |key: &ChannelKey| key.job == job && before.is_none_or(|before| key.execution < before);
        let mut state = self.state.lock();
        state.partitions.retain(|key, _| !old(key));
        state.gates.retain(|key, _| !old(key));
    }
}

fn hear(state: &mut State, key: ChannelKey, item: Item) {
    if let Some(gate) = state.gates.get(&key) {
        // The consumer may have ended.
        let _ = gate.heard.send(Heard::Item(key.producer, item));
    }
}
