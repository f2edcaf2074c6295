//! What is known of the application of a cluster: REST tells it.
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use wiesel_common::id::ApplicationId;
use wiesel_common::time::Clock;

use super::status::ApplicationStatus;

/// Flink's `ApplicationState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// It has not begun.
    Created,
    /// Its jobs run.
    Running,
    /// It has failed; its other jobs are being cancelled.
    Failing,
    /// It has failed.
    Failed,
    /// A job was cancelled; the others are being.
    Canceling,
    /// It was cancelled.
    Canceled,
    /// All its jobs have finished.
    Finished,
}

impl ApplicationState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Created, Self::Running, Self::Failing, Self::Failed, Self::Canceling, Self::Canceled, Self::Finished];

    /// Flink's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
        }
    }

    /// It is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// While the jobs of an application that has ended so are being cancelled; none: it was told to stop and is suspended.
    pub(super) fn ending(status: ApplicationStatus) -> Option<Self> {
        match status {
            ApplicationStatus::Failed => Some(Self::Failing),
            ApplicationStatus::Canceled => Some(Self::Canceling),
            ApplicationStatus::Succeeded | ApplicationStatus::Unknown => None,
        }
    }

    /// The last one of an application that has ended so.
    pub(super) fn last(status: ApplicationStatus) -> Option<Self> {
        match status {
            ApplicationStatus::Succeeded => Some(Self::Finished),
            ApplicationStatus::Failed => Some(Self::Failed),
            ApplicationStatus::Canceled => Some(Self::Canceled),
            ApplicationStatus::Unknown => None,
        }
    }
}

/// An application at one moment.
#[derive(Clone, Debug)]
pub struct ApplicationInfo {
    /// Its id.
    pub id: ApplicationId,
    /// The name of its script.
    pub name: String,
    /// Its state.
    pub state: ApplicationState,
    /// When it entered each state (milliseconds since the epoch), in their order; 0: never.
    timestamps: [i64; ApplicationState::ALL.len()],
}

impl ApplicationInfo {
    /// When it entered a state, in milliseconds since the epoch; 0: never.
    pub fn entered(&self, state: ApplicationState) -> i64 {
        self.timestamps[state as usize]
    }

    /// When it ended; -1: not yet.
    pub fn end_time(&self) -> i64 {
        if self.state.is_terminal() { self.entered(self.state) } else { -1 }
    }

    fn enter(&mut self, state: ApplicationState, now: i64) {
        self.state = state;
        self.timestamps[state as usize] = now;
    }
}

/// The application of a cluster. All clones are of the same one.
#[derive(Clone)]
pub struct ApplicationHandle {
    info: Arc<RwLock<ApplicationInfo>>,
    clock: Arc<dyn Clock>,
}

impl ApplicationHandle {
    pub(crate) fn new(name: String, clock: Arc<dyn Clock>) -> Self {
        let (state, timestamps) = (ApplicationState::Created, [0; ApplicationState::ALL.len()]);
        let mut info = ApplicationInfo { id: ApplicationId::random(), name, state, timestamps };
        info.enter(ApplicationState::Created, clock.now_millis());
        Self { info: Arc::new(RwLock::new(info)), clock }
    }

    pub(super) fn enter(&self, state: ApplicationState) {
        self.info.write().enter(state, self.clock.now_millis());
    }

    /// It as it is.
    pub fn describe(&self) -> ApplicationInfo {
        self.info.read().clone()
    }
}

impl fmt::Debug for ApplicationHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::time::ManualClock;

    use super::*;

    #[test]
    fn it_is_known_when_each_state_was_entered() {
        let clock = Arc::new(ManualClock::default());
        clock.set(10);
        let handle = ApplicationHandle::new("a.sql".into(), Arc::clone(&clock) as Arc<dyn Clock>);
        clock.set(20);
        handle.enter(ApplicationState::Running);
        assert_eq!((handle.describe().state, handle.describe().end_time()), (ApplicationState::Running, -1));
        clock.set(30);
        handle.enter(ApplicationState::Canceled);
        let info = handle.describe();
        assert_eq!(ApplicationState::ALL.map(|state| info.entered(state)), [10, 20, 0, 0, 0, 30, 0]);
        assert_eq!((info.state.name(), info.end_time()), ("CANCELED", 30));
    }
}
