//! The sources of a job: each has a coordinator with its enumerator, for one execution of its region.
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;
use tracing::Instrument;
use wiesel_common::id::OperatorId;
use wiesel_common::mailbox::mailbox;
use wiesel_operators::source::EnumeratorContext;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::actor::JobMaster;
use super::checkpointing::attempt_of;
use super::source_coordinator::{Command, Ending, Reader, SourceCoordinator, SplitRequest};

/// A source's coordinator.
pub(super) struct Source {
    region: usize,
    commands: mpsc::UnboundedSender<Command>,
    task: tokio::task::AbortHandle,
}

impl JobMaster {
    pub(super) fn start_sources(
        &mut self,
        regions: &BTreeSet<usize>,
        restore: impl Fn(OperatorId) -> Option<bytes::Bytes>,
    ) {
        self.end_sources(regions);
        let graph = Arc::clone(&self.scheduler.graph().graph);
        for (v, vertex) in graph.vertices.iter().enumerate() {
            let region = self.scheduler.graph().regions[v];
            if !regions.contains(&region) {
                continue;
            }
            for operator in &vertex.operators {
                let (Some(Kind::Source(spec)), Some(uid)) = (&operator.kind, OperatorId::from_bytes(&operator.uid))
                else {
                    continue;
                };
                let readers = self.readers(v);
                let (sender, commands) = mailbox();
                let coordinator = SourceCoordinator {
                    job_id: self.handle.job_id,
                    fence: self.handle.fence,
                    operator: uid,
                    spec: spec.clone(),
                    context: EnumeratorContext {
                        parallelism: vertex.parallelism,
                        configuration: Arc::clone(&self.configuration),
                    },
                    readers,
                    executors: self.context.executors.clone(),
                    factory: Arc::clone(&self.context.enumerators),
                    calls: self.context.enumerator_calls,
                    restore: restore(uid),
                    call_timeout: self.context.single_call_timeout,
                    ending: Ending::default(),
                };
                let task = self.sources.spawn(coordinator.run(commands).in_current_span());
                self.source_coordinators.insert(uid, Source { region, commands: sender, task });
            }
        }
    }

    fn readers(&self, vertex: usize) -> Vec<Reader> {
        let subtasks = &self.scheduler.graph().vertices[vertex].subtasks;
        subtasks
            .iter()
            .map(|subtask| Reader {
                attempt: subtask.attempt_id,
                rpc_address: subtask.slot.as_ref().map_or_else(String::new, |slot| slot.location.rpc_address.clone()),
            })
            .collect()
    }

    pub(super) fn end_sources(&mut self, regions: &BTreeSet<usize>) {
        self.source_coordinators.retain(|_, source| {
            let ends = regions.contains(&source.region);
            if ends {
                source.task.abort();
            }
            !ends
        });
    }

    /// The ways to all sources.
    pub(super) fn source_commands(&self) -> Vec<(OperatorId, mpsc::UnboundedSender<Command>)> {
        self.source_coordinators.iter().map(|(uid, source)| (*uid, source.commands.clone())).collect()
    }

    pub(super) fn tell_sources(&self, command: impl Fn() -> Command) {
        for source in self.source_coordinators.values() {
            // One that has ended has reported why.
            let _ = source.commands.send(command());
        }
    }

    /// What a reader of a source tells its enumerator.
    pub(super) fn operator_event(&mut self, event: proto::OperatorEventToCoordinator) -> Result<(), Status> {
        use proto::operator_event_to_coordinator::Event;
        let attempt = attempt_of(&event.attempt_id)?;
        if self.scheduler.graph().find(attempt).is_none() {
            return Err(Status::not_found(format!("attempt {attempt} is not current")));
        }
        let source = OperatorId::from_bytes(&event.operator_uid).and_then(|uid| self.source_coordinators.get(&uid));
        let Some(source) = source else {
            return Err(Status::not_found("the operator has no coordinator in this execution"));
        };
        match event.event {
            Some(Event::RequestSplit(request)) => {
                // A coordinator that has ended has reported why.
                let proto::RequestSplit { subtask, hostname, number } = request;
                let request = SplitRequest { subtask, hostname, number };
                let _ = source.commands.send(Command::Split(request));
                Ok(())
            }
            None => Err(Status::invalid_argument("an event without content")),
        }
    }
}
