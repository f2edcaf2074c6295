//! The gates' side of a checkpoint: channels are blocked and resumed, barriers overtake, what they overtake is recorded.
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use wiesel_network::{Barrier, Overtaken};
use wiesel_operators::operator::{Error, Result};
use wiesel_proto::{CheckpointBarrier, SnapshotKind};

use super::barriers::{Action, LocalBarrier};
use super::channel_state::{Channel, ChannelRows};
use crate::task::failure::from_network;
use crate::task::input::Inputs;

/// What a task has to do for a checkpoint, once its channels are seen to.
#[derive(Debug)]
pub(crate) enum Due {
    /// Take the snapshot, before anything else is read.
    Snapshot {
        /// Of this checkpoint.
        barrier: Arc<LocalBarrier>,
        /// When its first barrier came.
        since: Instant,
        /// The rows in flight follow with [`Due::Recorded`].
        unaligned: bool,
    },
    /// The rows in flight of an unaligned checkpoint.
    Recorded(u64, ChannelRows),
    /// The task gives the checkpoint up; a reason is for the JobMaster, which does not know.
    GiveUp(u64, Option<&'static str>),
}

/// What travels in a barrier of the data plane.
pub(crate) fn to_network(barrier: &LocalBarrier, urgent: bool) -> Barrier {
    Barrier {
        checkpoint: barrier.checkpoint_id,
        began: barrier.began,
        urgent,
        options: barrier.message.encode_to_vec().into(),
    }
}

fn from_barrier(barrier: &Barrier) -> Result<Arc<LocalBarrier>> {
    let decoded = CheckpointBarrier::decode(barrier.options.clone()).map_err(|error| {
        Error::Plan(format!("the barrier of checkpoint {} is malformed: {error}", barrier.checkpoint))
    })?;
    Ok(Arc::new(LocalBarrier { message: normalise(decoded), began: barrier.began }))
}

/// The barrier of a checkpoint that the JobMaster asks for now.
pub(crate) fn begun(message: CheckpointBarrier, now: Instant) -> LocalBarrier {
    LocalBarrier { message: normalise(message), began: now }
}

/// A savepoint is always aligned: it must not hold rows in flight, which only this parallelism could take.
fn normalise(mut barrier: CheckpointBarrier) -> CheckpointBarrier {
    barrier.unaligned_allowed &= barrier.kind() != SnapshotKind::Savepoint && !barrier.at_least_once;
    barrier
}

/// What a task without channels has to do.
pub(crate) fn without_channels(actions: Vec<Action>) -> Vec<Due> {
    let due = actions.into_iter().filter_map(|action| match action {
        Action::Snapshot { barrier, since, unaligned } => Some(Due::Snapshot { barrier, since, unaligned }),
        Action::GiveUp { checkpoint, reason } => Some(Due::GiveUp(checkpoint, reason)),
        Action::Block(_) | Action::Resume(_) | Action::Recorded(_) => None,
    });
    due.collect()
}

impl Inputs {
    /// A barrier came in its place.
    pub(crate) fn barrier(&mut self, edge: usize, channel: usize, barrier: &Barrier, now: Instant) -> Result<Vec<Due>> {
        let channel = self.edges[edge].offset + channel;
        let actions = self.barriers.barrier(channel, &from_barrier(barrier)?, now);
        Ok(self.carry_out(actions))
    }

    /// A channel has ended.
    pub(crate) fn channel_ended(&mut self, edge: usize, channel: usize) -> Vec<Due> {
        let actions = self.barriers.ended(self.edges[edge].offset + channel);
        self.carry_out(actions)
    }

    /// The JobMaster asks for a checkpoint.
    pub(crate) fn triggered(&mut self, barrier: &Arc<LocalBarrier>, now: Instant) -> Vec<Due> {
        let actions = self.barriers.triggered(barrier, now);
        self.carry_out(actions)
    }

    /// The JobMaster gave a checkpoint up.
    pub(crate) fn aborted(&mut self, checkpoint: u64) -> Vec<Due> {
        let actions = self.barriers.aborted(checkpoint);
        self.carry_out(actions)
    }

    /// Another JobMaster has taken the task over: whatever began before its first checkpoint is over.
    pub(crate) fn forget_before(&mut self, checkpoint: u64) -> Vec<Due> {
        let actions = self.barriers.forget_before(checkpoint);
        self.carry_out(actions)
    }

    /// When [`Inputs::overtake`] has something to do without being woken.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().filter(|(checkpoint, _)| self.barriers.may_overtake(**checkpoint));
        waiting.map(|(_, at)| *at).chain(self.barriers.deadline()).min()
    }

    /// Looks for barriers that do not wait behind rows: urgent ones, and those of a checkpoint that became unaligned here.
    pub(crate) fn overtake(&mut self, now: Instant) -> Result<Vec<Due>> {
        let mut due = Vec::new();
        if self.replaying {
            return Ok(due);
        }
        for edge in 0..self.edges.len() {
            if self.edges[edge].gate.take_urgent() {
                let Self { edges, barriers, .. } = self;
                let wanted = |barrier: &Barrier| barrier.urgent && barriers.may_overtake(barrier.checkpoint);
                let overtaken = edges[edge].gate.overtake(wanted).map_err(from_network)?;
                self.overtaken(edge, overtaken, now, &mut due)?;
            }
        }
        let actions = self.barriers.time(now);
        due.extend(self.carry_out(actions));
        for checkpoint in self.take_overdue(now)? {
            self.overtake_with(checkpoint, now, &mut due)?;
        }
        if let Some(checkpoint) = self.barriers.recording() {
            self.overtake_with(checkpoint, now, &mut due)?;
        }
        Ok(due)
    }

    /// Takes a checkpoint's barriers out of the channels.
    fn overtake_with(&mut self, checkpoint: u64, now: Instant, due: &mut Vec<Due>) -> Result<()> {
        for edge in 0..self.edges.len() {
            let overtaken =
                self.edges[edge].gate.overtake(|barrier| barrier.checkpoint == checkpoint).map_err(from_network)?;
            self.overtaken(edge, overtaken, now, due)?;
        }
        Ok(())
    }

    /// The checkpoints whose barriers have waited long enough behind rows in channels. None may have come in its place: rows need
    /// not move, be it that an operator takes none.
    fn take_overdue(&mut self, now: Instant) -> Result<Vec<u64>> {
        for edge in &mut self.edges {
            for barrier in edge.gate.take_waiting() {
                let barrier = from_barrier(&barrier)?;
                if let Some(at) = barrier.overtakes_at().filter(|_| barrier.unaligned_allowed) {
                    self.waiting.entry(barrier.checkpoint_id).or_insert(at);
                }
            }
        }
        let barriers = &self.barriers;
        self.waiting.retain(|checkpoint, _| barriers.may_overtake(*checkpoint));
        let overdue = self.waiting.iter().filter(|(_, at)| **at <= now).map(|(checkpoint, _)| *checkpoint);
        let overdue: Vec<u64> = overdue.collect();
        overdue.iter().for_each(|checkpoint| {
            self.waiting.remove(checkpoint);
        });
        Ok(overdue)
    }

    /// Rows that were in flight to this task when the state was written that it starts from.
    pub(crate) fn replay(&mut self, edge: usize, producer: u32, rows: arrow::array::RecordBatch) {
        let channel = Channel { output: false, edge: edge as u32, subtask: producer };
        self.replay.push_back((channel, rows));
    }

    fn overtaken(&mut self, edge: usize, all: Vec<Overtaken>, now: Instant, due: &mut Vec<Due>) -> Result<()> {
        for Overtaken { channel, barrier, rows } in all {
            let checkpoint = barrier.checkpoint;
            let name = self.edges[edge].channel(edge, channel);
            let recorded = self.recorded.entry(checkpoint).or_default();
            rows.into_iter().for_each(|rows| recorded.add(name, rows));
            let actions = self.barriers.overtaken(self.edges[edge].offset + channel, &from_barrier(&barrier)?, now);
            due.extend(self.carry_out(actions));
            if self.barriers.recording() != Some(checkpoint) {
                self.recorded.remove(&checkpoint);
            }
        }
        Ok(())
    }

    /// Does what concerns the channels; what concerns the task is left.
    fn carry_out(&mut self, actions: Vec<Action>) -> Vec<Due> {
        let mut due = Vec::new();
        for action in actions {
            match action {
                Action::Block(channel) => self.with_gate(channel, |gate, channel| gate.block(channel)),
                Action::Resume(channel) => self.with_gate(channel, |gate, channel| gate.resume(channel)),
                Action::Snapshot { barrier, since, unaligned } => {
                    due.push(Due::Snapshot { barrier, since, unaligned });
                }
                Action::Recorded(checkpoint) => {
                    due.push(Due::Recorded(checkpoint, self.recorded.remove(&checkpoint).unwrap_or_default()));
                }
                Action::GiveUp { checkpoint, reason } => {
                    self.recorded.remove(&checkpoint);
                    due.push(Due::GiveUp(checkpoint, reason));
                }
            }
        }
        due
    }

    fn with_gate(&mut self, channel: usize, act: impl FnOnce(&mut wiesel_network::InputGate, usize)) {
        let edge = self.edges.iter_mut().rev().find(|edge| edge.offset <= channel);
        if let Some(edge) = edge {
            act(&mut edge.gate, channel - edge.offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use wiesel_common::id::{JobId, LeaderSessionId};
    use wiesel_common::notifier::Notifier;
    use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
    use wiesel_network::id::PartitionId;
    use wiesel_network::options::Flush;
    use wiesel_network::{NetworkEnvironment, Options, Partitioner, Waiter};

    use super::*;
    use crate::task::input::{Incoming, InputEdge};

    /// Failed before: the barrier stayed behind the rows as long as the operator took none, whatever the timeout was.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_barrier_behind_rows_that_do_not_move_overtakes_after_its_timeout() {
        let any = [([127, 0, 0, 1], 0).into()];
        let producer = NetworkEnvironment::start(Options::default(), &any).await.unwrap();
        let consumer = NetworkEnvironment::start(Options::default(), &any).await.unwrap();
        tokio::task::spawn_blocking(move || overtakes(&producer, &consumer)).await.unwrap();
    }

    fn overtakes(producer: &Arc<NetworkEnvironment>, consumer: &Arc<NetworkEnvironment>) {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let (job, session) = (JobId([1; 16]), LeaderSessionId([2; 16]));
        let id = PartitionId { job, session, execution: 0, edge: 0, producer: 0 };
        let descriptor = PartitionDescriptor {
            id,
            consumers: vec![(0, true)],
            partitioner: Partitioner::Forward,
            schema: schema.clone(),
            flush: Flush::Always,
            overdraft: false,
        };
        let mut partition = producer.create_partition(descriptor, Waiter::default()).unwrap();
        let address = format!("127.0.0.1:{}", producer.port());
        let gate = GateDescriptor { producers: vec![(id, Some(address))], consumer: 0, schema: schema.clone() };
        let notifier = Arc::new(Notifier::default());
        let gate = consumer.create_gate(gate, notifier.clone()).unwrap();
        let edge = InputEdge { overtakable: true, ..InputEdge::new(gate, 0, schema.clone(), false, None) };
        let mut inputs = Inputs::new(vec![edge]);
        let wait = || assert!(notifier.wait("the connection", Some(Duration::from_secs(10))));

        partition.replayed().unwrap();
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        partition.emit(RecordBatch::try_new(schema, vec![values]).unwrap()).unwrap();
        let message = CheckpointBarrier {
            checkpoint_id: 1,
            unaligned_allowed: true,
            alignment_timeout: 60_000,
            ..CheckpointBarrier::default()
        };
        let now = Instant::now();
        partition.barrier(&to_network(&begun(message, now), false)).unwrap();
        while inputs.replaying {
            match inputs.poll_events(now).unwrap() {
                Some(Incoming::Checkpoint(due)) => assert!(due.is_empty()),
                Some(other) => panic!("{other:?}"),
                None => wait(),
            }
        }
        let overtakes_at = loop {
            assert!(inputs.overtake(now).unwrap().is_empty());
            match inputs.deadline() {
                Some(at) => break at,
                None => wait(),
            }
        };
        assert!(overtakes_at > now);
        assert!(inputs.poll_events(now).unwrap().is_none());
        let due = inputs.overtake(overtakes_at).unwrap();
        let [Due::Snapshot { unaligned: true, barrier, .. }, Due::Recorded(1, _)] = &due[..] else { panic!("{due:?}") };
        assert_eq!(barrier.checkpoint_id, 1);
        assert_eq!(inputs.deadline(), None);
        assert!(matches!(inputs.poll(now).unwrap(), Some(Incoming::Batch(0, batch)) if batch.num_rows() == 3));
        assert!(inputs.poll(now).unwrap().is_none());
    }
}
