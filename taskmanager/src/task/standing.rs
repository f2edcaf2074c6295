//! How a task stands by what it has said of itself.
use wiesel_proto::ExecutionState;

use super::reporter::Report;

/// How a task stands by what it has said of itself, to whichever JobMaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last state that it entered.
    pub state: ExecutionState,
    /// It has reached the end of its data ...
    pub end_of_data: bool,
    /// ... and stays until a checkpoint of its end is complete.
    pub awaits_checkpoint: bool,
    /// The newest checkpoint that it has handed over its state of; 0: none.
    pub checkpoint: u64,
}

impl Default for Standing {
    fn default() -> Self {
        Self { state: ExecutionState::Deploying, end_of_data: false, awaits_checkpoint: false, checkpoint: 0 }
    }
}

impl Standing {
    pub(super) fn note(&mut self, report: &Report) {
        match report {
            Report::State(state, _) => self.state = *state,
            Report::EndOfData { awaits_checkpoint } => {
                (self.end_of_data, self.awaits_checkpoint) = (true, *awaits_checkpoint);
            }
            Report::Acknowledge { checkpoint, .. } => self.checkpoint = self.checkpoint.max(*checkpoint),
            Report::RequestSplit(_) | Report::OperatorEvent { .. } | Report::Decline { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wiesel_proto as proto;

    use super::*;

    #[test]
    fn how_a_task_stands_follows_from_what_it_says() {
        let mut standing = Standing::default();
        let acknowledge = |checkpoint| Report::Acknowledge {
            checkpoint,
            state: proto::TaskState::default(),
            metrics: proto::CheckpointMetrics::default(),
        };
        // Of two uploads the later one may be done first.
        let said = [
            Report::State(ExecutionState::Running, None),
            acknowledge(4),
            acknowledge(3),
            Report::Decline { checkpoint: 5, failure: proto::Failure::default() },
            Report::RequestSplit(Bytes::new()),
            Report::EndOfData { awaits_checkpoint: true },
        ];
        said.iter().for_each(|report| standing.note(report));
        let state = ExecutionState::Running;
        assert_eq!(standing, Standing { state, end_of_data: true, awaits_checkpoint: true, checkpoint: 4 });
    }
}
