//! What happens to a checkpoint in any order: events at random around the coordinator, and what holds after each.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use wiesel_state::storage::shared_files;

use super::*;

/// What may happen at any moment.
#[derive(Clone, Debug)]
enum Event {
    Tick(i64),
    Prepared(bool),
    Triggered(bool),
    Ack { checkpoint: usize, task: u8 },
    Decline { checkpoint: usize },
    Finish { task: u8 },
    EndOfData { task: u8 },
    Finalized(bool),
    Discarded,
    Savepoint,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..800_i64).prop_map(Event::Tick),
        6 => any::<bool>().prop_map(Event::Prepared),
        6 => (0..8_u8).prop_map(|luck| Event::Triggered(luck > 0)),
        20 => (0..4_usize, 1..5_u8).prop_map(|(checkpoint, task)| Event::Ack { checkpoint, task }),
        1 => (0..4_usize).prop_map(|checkpoint| Event::Decline { checkpoint }),
        1 => (1..5_u8).prop_map(|task| Event::Finish { task }),
        1 => (1..5_u8).prop_map(|task| Event::EndOfData { task }),
        5 => (0..6_u8).prop_map(|luck| Event::Finalized(luck > 0)),
        3 => Just(Event::Discarded),
        1 => Just(Event::Savepoint),
        1 => Just(Event::Restart),
    ]
}

/// The world around the coordinator: what it was asked to do and has not reported, which files there are, and what each
/// task knows.
struct World {
    job: Fixture,
    preparing: Vec<u64>,
    /// With the tasks that are told.
    calls: Vec<(u64, Vec<AttemptId>)>,
    writing: Vec<Arc<proto::CheckpointMetadata>>,
    cleaning: usize,
    /// Checkpoints that were triggered, with what their barrier said; newest last.
    barriers: Vec<proto::CheckpointBarrier>,
    acknowledged: HashSet<(u64, u8)>,
    /// Shared files that were written and not deleted.
    files: HashSet<String>,
    /// What each task refers to in an incremental checkpoint: its last state of each checkpoint.
    states: HashMap<(u64, u8), HashSet<String>>,
    tickets: HashSet<u64>,
    complete: HashSet<u64>,
    /// Of these, with tasks that took part and have not heard of it.
    untold: HashSet<(u64, AttemptId)>,
    /// Those that have.
    told: HashSet<(u64, AttemptId)>,
}

impl World {
    fn new(concurrent: &str, retained: &str) -> Self {
        let job = Fixture::new(&[
            ("interval", "1 s"),
            ("timeout", "3 s"),
            ("max-concurrent-checkpoints", concurrent),
            ("num-retained", retained),
            ("tolerable-failed-checkpoints", "2147483647"),
        ]);
        Self {
            job,
            preparing: Vec::new(),
            calls: Vec::new(),
            writing: Vec::new(),
            cleaning: 0,
            barriers: Vec::new(),
            acknowledged: HashSet::new(),
            files: HashSet::new(),
            states: HashMap::new(),
            tickets: HashSet::new(),
            complete: HashSet::new(),
            untold: HashSet::new(),
            told: HashSet::new(),
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare { id } => self.preparing.push(id),
                Action::Trigger { tasks, barrier } => {
                    self.calls.push((barrier.checkpoint_id, tasks.iter().map(|task| task.attempt).collect()));
                    if self.barriers.last().is_none_or(|last| last.checkpoint_id < barrier.checkpoint_id) {
                        self.barriers.push(barrier);
                    }
                }
                Action::Finalize { metadata, .. } => {
                    self.check_complete(&metadata);
                    self.writing.push(metadata);
                }
                Action::Discard { garbage, referenced } => {
                    self.cleaning += 1;
                    for garbage in garbage {
                        self.delete(&garbage, &referenced);
                    }
                }
                Action::Sweep(_) => self.job.coordinator.swept(Cleaned::all(), self.job.now),
                Action::Answer { ticket, .. } => assert!(self.tickets.remove(&ticket), "an answer no caller waits for"),
                Action::Notify { id, outcome: proto::CheckpointOutcome::Completed, tasks } => self.hear(id, &tasks),
                _ => {}
            }
        }
    }

    /// Tasks hear that a checkpoint is complete.
    fn hear(&mut self, id: u64, tasks: &[TaskRef]) {
        assert!(self.complete.contains(&id), "checkpoint {id} is not complete");
        for TaskRef { attempt, .. } in tasks {
            let goes_on = |call: u64| self.job.coordinator.barrier_of(call).is_some();
            let mut under_way = self.calls.iter().filter(|(call, _)| goes_on(*call));
            assert!(!under_way.any(|(_, told)| told.contains(attempt)), "it has not heard of one that has begun");
            self.untold.remove(&(id, *attempt));
            assert!(self.told.insert((id, *attempt)), "it knows that {id} is complete");
        }
    }

    /// Every task that had not ended has handed over its state.
    fn check_complete(&self, metadata: &proto::CheckpointMetadata) {
        let id = metadata.checkpoint_id;
        for (task, state) in metadata.vertices.iter().flat_map(|vertex| &vertex.subtasks).enumerate() {
            let task = task as u8 + 1;
            assert_eq!(!state.finished, self.acknowledged.contains(&(id, task)), "task {task} of checkpoint {id}");
            let execution = self.job.graph.executions().nth(task as usize - 1).unwrap();
            assert!(!state.finished || execution.state == ExecutionState::Finished);
        }
    }

    fn delete(&mut self, garbage: &Garbage, referenced: &HashSet<String>) {
        let files: HashSet<String> = match garbage {
            Garbage::Completed(checkpoint) => shared_files(&checkpoint.metadata),
            Garbage::Unfinished(metadata) => shared_files(metadata),
            Garbage::Failed { files, .. } => files.iter().cloned().collect(),
        };
        self.files.retain(|file| !files.contains(file) || referenced.contains(file));
    }

    /// A task's state: a file of this checkpoint, and what it wrote for the checkpoint that the barrier says is complete.
    fn snapshot(&mut self, barrier: &proto::CheckpointBarrier, task: u8) -> proto::TaskState {
        let base = (barrier.completed_checkpoint_id, task);
        let mut files = match barrier.full {
            true => HashSet::new(),
            false => self.states.get(&base).cloned().unwrap_or_default(),
        };
        // Compaction drops some of the older ones.
        files.retain(|file| file.len() % 3 != barrier.checkpoint_id as usize % 3);
        files.insert(format!("{}-{task}{}", barrier.checkpoint_id, "x".repeat(barrier.checkpoint_id as usize % 3)));
        self.states.insert((barrier.checkpoint_id, task), files.clone());
        self.files.extend(files.iter().cloned());
        let file = |path: &String| proto::KeyedStateFile {
            shared: true,
            file: Some(proto::StateFile { path: path.clone(), ..Default::default() }),
            ..Default::default()
        };
        let keyed = vec![proto::KeyedStateHandle { files: files.iter().map(file).collect(), ..Default::default() }];
        let operator = proto::OperatorSubtaskState { keyed, ..Default::default() };
        proto::TaskState { operators: vec![operator], ..Default::default() }
    }

    fn happen(&mut self, event: Event) {
        let now = self.job.now;
        match event {
            Event::Tick(by) => {
                let actions = self.job.at(now + by);
                self.take(actions);
            }
            Event::Prepared(lucky) if !self.preparing.is_empty() => {
                let id = self.preparing.remove(0);
                let result = match lucky || !id.is_multiple_of(5) {
                    true => Ok(Vec::new()),
                    false => Err(CheckpointFailure::new(Reason::TriggerFailure)),
                };
                self.job.coordinator.prepared(id, result, &self.job.graph, now);
            }
            Event::Triggered(lucky) if !self.calls.is_empty() => {
                let (id, _) = self.calls.remove(0);
                let result = if lucky { Ok(()) } else { Err(CheckpointFailure::new(Reason::TriggerFailure)) };
                self.job.coordinator.triggered(id, result, &self.job.graph, now);
            }
            Event::Ack { checkpoint, task } => self.acknowledge(checkpoint, task),
            Event::Decline { checkpoint } if checkpoint < self.barriers.len() => {
                let id = self.barriers[self.barriers.len() - 1 - checkpoint].checkpoint_id;
                let failure = CheckpointFailure::new(Reason::AsyncException);
                self.job.coordinator.decline(id, failure, &self.job.graph, now);
            }
            Event::Finish { task } => {
                let actions = self.job.finish_task(task);
                self.take(actions);
            }
            Event::EndOfData { task } => {
                let actions = self.job.end_of_data(task, task > 2);
                self.take(actions);
            }
            Event::Finalized(lucky) if !self.writing.is_empty() => {
                let metadata = self.writing.remove(0);
                let id = metadata.checkpoint_id;
                let result = match lucky {
                    true => Ok(format!("file:/chk-{id}")),
                    false => Err(CheckpointFailure::new(Reason::IoException)),
                };
                self.job.coordinator.finalized(metadata, result, &self.job.graph, now);
                if self.job.coordinator.latest().is_some_and(|latest| latest.id == id) {
                    self.complete.insert(id);
                    let took_part = self.acknowledged.iter().filter(|(taken, _)| *taken == id);
                    self.untold.extend(took_part.map(|(_, task)| (id, AttemptId([*task; 16]))));
                }
            }
            Event::Discarded if self.cleaning > 0 => {
                self.cleaning -= 1;
                self.job.coordinator.discarded(Cleaned::all(), now);
            }
            Event::Savepoint => {
                let ticket = 1 + self.tickets.iter().max().copied().unwrap_or_default();
                self.tickets.insert(ticket);
                self.job.coordinator.request(savepoint(ticket, None), &self.job.graph, now);
            }
            Event::Restart => {
                self.job.coordinator.suspend(Reason::CoordinatorSuspend, now);
                let actions = self.job.actions();
                self.take(actions);
                self.job.coordinator.resume(now, 0.5);
            }
            _ => {}
        }
        let actions = self.job.actions();
        self.take(actions);
        self.check_files();
    }

    fn acknowledge(&mut self, checkpoint: usize, task: u8) {
        let Some(position) = self.barriers.len().checked_sub(checkpoint + 1) else { return };
        let barrier = self.barriers[position].clone();
        let execution = self.job.graph.executions().nth(task as usize - 1).unwrap();
        let id = barrier.checkpoint_id;
        if execution.state != ExecutionState::Running || self.acknowledged.contains(&(id, task)) {
            return;
        }
        // A task takes its snapshots in order.
        if self.acknowledged.iter().any(|(later, other)| *other == task && *later > id) {
            return;
        }
        self.acknowledged.insert((id, task));
        let state = self.snapshot(&barrier, task);
        let metrics = proto::CheckpointMetrics::default();
        let attempt = AttemptId([task; 16]);
        self.job.coordinator.acknowledge(id, attempt, &state, metrics, &self.job.graph, self.job.now);
    }

    /// No file is gone that a retained checkpoint needs.
    fn check_files(&self) {
        for checkpoint in self.job.coordinator.retained() {
            for file in shared_files(&checkpoint.metadata) {
                assert!(self.files.contains(&file), "{file} of checkpoint {}", checkpoint.id);
            }
        }
    }

    /// Everything that was asked for answers and time passes: then nothing is pending any more.
    fn settle(&mut self) {
        self.job.coordinator.suspend(Reason::CoordinatorShutdown, self.job.now);
        let actions = self.job.actions();
        self.take(actions);
        while !self.preparing.is_empty() || !self.calls.is_empty() || !self.writing.is_empty() || self.cleaning > 0 {
            for event in [Event::Prepared(true), Event::Triggered(true), Event::Finalized(true), Event::Discarded] {
                self.happen(event);
            }
        }
        assert!(!self.job.coordinator.is_busy());
        assert!(self.tickets.is_empty(), "a caller waits for ever");
        assert!(self.untold.is_empty(), "tasks never hear of {:?}", self.untold);
    }

    /// Without any report from a task every checkpoint ends in time.
    fn time_out(&mut self) {
        for _ in 0..40 {
            self.happen(Event::Tick(200));
        }
        let oldest = self.job.now - Duration::from_secs(4).as_millis() as i64;
        let statistics = self.job.coordinator.statistics();
        for record in statistics.history.iter().filter(|record| record.status == Status::InProgress) {
            let written = self.writing.iter().any(|metadata| metadata.checkpoint_id == record.id);
            assert!(record.triggered > oldest || written, "checkpoint {} is pending for ever", record.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whatever order: a checkpoint completes only with the state of every task, and each task hears of it once,
    /// when it has heard of those that begin at it, no file is deleted that a retained checkpoint needs, none stays pending for
    /// ever, and everybody gets an answer.
    #[test]
    fn no_order_of_events_does_harm(
        concurrent in 1..4_u32,
        retained in 1..3_u32,
        events in proptest::collection::vec(event(), 1..250),
    ) {
        let mut world = World::new(&concurrent.to_string(), &retained.to_string());
        for event in events {
            world.happen(event);
        }
        world.time_out();
        world.settle();
    }
}
