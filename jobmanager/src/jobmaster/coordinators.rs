//! The coordinators of a job's operators: each has a holder, for one execution of its region. Every source has one; other operators
//! have what the JobManager was started with.
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError};
use tonic::Status;
use tracing::Instrument;
use wiesel_common::id::{AttemptId, OperatorId};
use wiesel_common::mailbox::mailbox;
use wiesel_operators::coordinator::{CoordinatorContext, EventSender, MAX_EVENT_TO_COORDINATOR, MakeCoordinator};
use wiesel_operators::source::EnumeratorContext;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::actor::{Completion, JobMaster};
use super::checkpointing::attempt_of;
use super::operator_coordinator_holder::{
    Command, EVENT_BYTES, Ending, HolderFailure, OperatorCoordinatorHolder, RunsOn, Subtask, SubtaskEvent,
};
use super::source_coordinator::source_coordinator;
use super::status::JobStatus;
use crate::failure::{self, FailureInfo};

/// Bytes of events that may wait for a coordinator, beside one small event of each subtask.
const WAITING_BYTES: usize = 16 << 20;

/// A coordinator at work.
pub(super) struct Coordinator {
    vertex: usize,
    region: usize,
    begins_checkpoints: bool,
    /// A source's: it gives out splits, which nobody asks for any more when all readers have finished.
    is_enumerator: bool,
    commands: mpsc::UnboundedSender<Command>,
    /// Bytes of events that may come.
    room: Arc<Semaphore>,
    task: AbortHandle,
}

impl JobMaster {
    /// `from`: the checkpoint that the subtasks go on from; 0: none. `running`: of an operator of a vertex the subtasks that run already; none: they are deployed.
    pub(super) fn start_coordinators(
        &mut self,
        regions: &BTreeSet<usize>,
        from: u64,
        restore: impl Fn(OperatorId) -> Option<(u64, Bytes)>,
        mut running: impl FnMut(usize, OperatorId) -> Option<(Vec<Subtask>, RunsOn)>,
    ) -> Result<(), FailureInfo> {
        self.end_coordinators(regions);
        let graph = Arc::clone(&self.scheduler.graph().graph);
        for (v, vertex) in graph.vertices.iter().enumerate() {
            let region = self.scheduler.graph().regions[v];
            if !regions.contains(&region) {
                continue;
            }
            let begins_checkpoints = graph.edges.iter().all(|edge| edge.target as usize != v);
            for operator in &vertex.operators {
                let Some((name, make)) = self.coordinator_of(operator, vertex.parallelism) else { continue };
                let Some(uid) = OperatorId::from_bytes(&operator.uid) else { return Err(without_id(operator)) };
                let is_enumerator = matches!(operator.kind, Some(Kind::Source(_)));
                if !is_enumerator {
                    self.scheduler.note_coordinator(region);
                }
                let (subtasks, runs_on) = match running(v, uid) {
                    Some((subtasks, runs_on)) => (subtasks, Some(runs_on)),
                    None => (self.subtasks(v), None),
                };
                let (sender, commands) = mailbox();
                let holder = OperatorCoordinatorHolder {
                    job_id: self.handle.job_id,
                    fence: self.handle.fence,
                    operator: uid,
                    name,
                    subtasks,
                    begins_checkpoints,
                    executors: self.context.executors.clone(),
                    calls: self.context.coordinator_calls,
                    from,
                    restore: restore(uid),
                    runs_on,
                    call_timeout: self.context.single_call_timeout,
                    ending: Ending::default(),
                };
                let task = self.holders.spawn(holder.run(make, commands).in_current_span());
                let room = Arc::new(Semaphore::new(WAITING_BYTES + vertex.parallelism as usize * 2 * EVENT_BYTES));
                let commands = sender;
                let coordinator =
                    Coordinator { vertex: v, region, begins_checkpoints, is_enumerator, commands, room, task };
                self.coordinators.insert(uid, coordinator);
            }
        }
        Ok(())
    }

    /// What messages call the coordinator of an operator, and what makes it; none: it has none.
    fn coordinator_of(&self, operator: &proto::OperatorSpec, parallelism: u32) -> Option<(String, MakeCoordinator)> {
        let configuration = Arc::clone(&self.configuration);
        if let Some(Kind::Source(spec)) = &operator.kind {
            let context = EnumeratorContext { parallelism, configuration };
            let make = source_coordinator(&self.context.enumerators, spec, context);
            return Some((format!("enumerator of the source {}", spec.table), make));
        }
        let make = (self.context.coordinators)(operator, &CoordinatorContext { parallelism, configuration })?;
        Some((format!("coordinator of {}", operator.name), make))
    }

    fn subtasks(&self, vertex: usize) -> Vec<Subtask> {
        let subtasks = &self.scheduler.graph().vertices[vertex].subtasks;
        subtasks
            .iter()
            .map(|subtask| Subtask {
                attempt: subtask.attempt_id,
                rpc_address: subtask.slot.as_ref().map_or_else(String::new, |slot| slot.location.rpc_address.clone()),
            })
            .collect()
    }

    pub(super) fn end_coordinators(&mut self, regions: &BTreeSet<usize>) {
        self.coordinators.retain(|_, coordinator| {
            let ends = regions.contains(&coordinator.region);
            if ends {
                coordinator.task.abort();
            }
            !ends
        });
    }

    /// A coordinator's holder has ended. As in Flink, a coordinator that fails takes the whole job back to its checkpoint, and an event
    /// that a task may not have got the task's region. What is said of an execution that is over does not count.
    pub(super) fn holder_ended(&mut self, ended: Result<(Id, Result<(), HolderFailure>), JoinError>) {
        let (id, failure) = match ended {
            Ok((_, Ok(()))) => return,
            Ok((id, Err(failure))) => (id, failure),
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), FailureInfo::new(failure::INTERNAL, error.to_string()).into()),
        };
        match &mut self.taking_over {
            // Its region may be left out.
            Some(taking_over) => taking_over.holder_failed(id, failure),
            None => self.holder_failed(id, failure),
        }
    }

    pub(super) fn holder_failed(&mut self, id: Id, failure: HolderFailure) {
        if !self.coordinators.values().any(|coordinator| coordinator.task.id() == id) {
            return;
        }
        match failure.unreached {
            Some(attempt) => self.scheduler.event_lost(attempt, failure.cause, &mut self.env),
            None => self.fail(failure.cause),
        }
    }

    /// The ways to all coordinators.
    pub(super) fn coordinator_commands(&self) -> Vec<mpsc::UnboundedSender<Command>> {
        self.coordinators.values().map(|coordinator| coordinator.commands.clone()).collect()
    }

    pub(super) fn tell_coordinators(&self, command: impl Fn() -> Command) {
        for coordinator in self.coordinators.values() {
            // One that has ended has reported why.
            let _ = coordinator.commands.send(command());
        }
    }

    /// A task runs: the coordinators of its operators reach it now.
    pub(super) fn task_runs(&self, attempt: AttemptId) {
        self.tell_of_task(attempt, |_, subtask| Some(Command::Running { subtask }));
    }

    /// A task has finished: the coordinators of its operators say nothing to it any more.
    pub(super) fn task_says_no_more(&self, attempt: AttemptId) {
        self.tell_of_task(attempt, |_, subtask| Some(Command::Finished { subtask }));
    }

    /// All tasks have finished: what they have said is handled before the job is. `restart`: how often it had restarted then.
    pub(super) fn finish_coordinators(&mut self, restart: u64) {
        let mut answers = Vec::new();
        for coordinator in self.coordinators.values().filter(|coordinator| !coordinator.is_enumerator) {
            let (reply, answer) = oneshot::channel();
            // One that has ended does not answer, and has reported why.
            let _ = coordinator.commands.send(Command::Finish { reply });
            answers.push(answer);
        }
        self.spawn(async move {
            let mut none_failed = true;
            for answer in answers {
                none_failed &= answer.await.is_ok();
            }
            Completion::CoordinatorsFinished { restart, none_failed }
        });
    }

    /// A task has taken its part in a checkpoint.
    pub(super) fn task_acknowledged(&self, checkpoint: u64, attempt: AttemptId) {
        self.tell_of_task(attempt, |coordinator, subtask| {
            let waits = !coordinator.begins_checkpoints;
            waits.then_some(Command::Acknowledged { checkpoint, subtask: Some(subtask) })
        });
    }

    fn tell_of_task(&self, attempt: AttemptId, command: impl Fn(&Coordinator, u32) -> Option<Command>) {
        let Some((vertex, subtask)) = self.scheduler.graph().find(attempt) else { return };
        for coordinator in self.coordinators.values().filter(|coordinator| coordinator.vertex == vertex) {
            if let Some(command) = command(coordinator, subtask as u32) {
                let _ = coordinator.commands.send(command);
            }
        }
    }

    /// What a subtask of an operator tells the operator's coordinator.
    pub(super) fn operator_event(&mut self, event: proto::OperatorEventToCoordinator) -> Result<(), Status> {
        let attempt = attempt_of(&event.attempt_id)?;
        let Some((vertex, subtask)) = self.scheduler.graph().find(attempt) else {
            return Err(Status::not_found(format!("attempt {attempt} is not current")));
        };
        if !matches!(self.status(), JobStatus::Running | JobStatus::Restarting) {
            // A job that fails or is cancelled does not hear it, and the task is to end without waiting for room.
            return Err(Status::not_found("the job ends, and its coordinators with it"));
        }
        let bytes = event.event.len();
        if bytes > MAX_EVENT_TO_COORDINATOR {
            let what =
                format!("an event of {bytes} bytes for a coordinator: at most {MAX_EVENT_TO_COORDINATOR} are taken");
            return Err(Status::invalid_argument(what));
        }
        let coordinator = OperatorId::from_bytes(&event.operator_uid).and_then(|uid| self.coordinators.get(&uid));
        let Some(coordinator) = coordinator.filter(|coordinator| coordinator.vertex == vertex) else {
            return Err(Status::not_found("the operator has no coordinator in this execution of the task"));
        };
        let Ok(room) = Arc::clone(&coordinator.room).try_acquire_many_owned((bytes + EVENT_BYTES) as u32) else {
            return Err(Status::unavailable("too many events wait for the operator's coordinator"));
        };
        let sender = EventSender { subtask: subtask as u32, attempt };
        let event = SubtaskEvent { sender, number: event.number, event: event.event, room: Some(room) };
        // A coordinator that has ended has reported why.
        let _ = coordinator.commands.send(Command::Event(event));
        Ok(())
    }
}

/// An operator that the Dispatcher does not let through: nobody would find its coordinator.
fn without_id(operator: &proto::OperatorSpec) -> FailureInfo {
    let message = format!("the id of operator `{}`, which has a coordinator, must have 16 bytes", operator.name);
    FailureInfo { fatal: true, ..FailureInfo::new(failure::INTERNAL, message) }
}
