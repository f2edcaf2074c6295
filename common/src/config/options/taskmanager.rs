//! Where a TaskManager is and what it offers.
use std::time::Duration;

use crate::config::{ConfigOption, ConfigValue, Host, PortRange};
use crate::keygroup::UPPER_BOUND_MAX_PARALLELISM;

/// The most slots that a TaskManager may have: as many as a job may have subtasks.
pub const MAX_SLOTS: u32 = UPPER_BOUND_MAX_PARALLELISM;

/// A number of slots that a TaskManager may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCount(pub u32);

impl ConfigValue for SlotCount {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().parse::<u32>().ok().filter(|number| (1..=MAX_SLOTS).contains(number));
        number.map(Self).ok_or_else(|| format!("expected a whole number from 1 to {MAX_SLOTS}"))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Bytes of a TaskManager's id, at most: it is in each line of the log, and in each answer, about it.
const MAX_ID: usize = 256;

/// The id of a TaskManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagerId(pub String);

impl ConfigValue for TaskManagerId {
    fn parse(text: &str) -> Result<Self, String> {
        match text.len() <= MAX_ID {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("expected an id of at most {MAX_ID} bytes")),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The address under which this TaskManager is reached.
pub const HOST: ConfigOption<Host> = ConfigOption::new("taskmanager.host");
/// The interface the TaskManager listens on; not set: this machine alone reaches it.
pub const BIND_HOST: ConfigOption<Host> = ConfigOption::new("taskmanager.bind-host");
/// The ports for calls to the TaskManager; 0 lets the system choose.
pub const RPC_PORT: ConfigOption<PortRange> = ConfigOption::new("taskmanager.rpc.port").default("0");
/// The port it listens on for calls, where it differs from the one it is reached under.
pub const RPC_BIND_PORT: ConfigOption<u16> = ConfigOption::new("taskmanager.rpc.bind-port");
/// The port of the data plane; 0 lets the system choose.
pub const DATA_PORT: ConfigOption<u16> = ConfigOption::new("taskmanager.data.port").default("0");
/// The port the data plane listens on, where it differs from the one it is reached under.
pub const DATA_BIND_PORT: ConfigOption<PortRange> = ConfigOption::new("taskmanager.data.bind-port");
/// Slots that the TaskManager offers.
pub const SLOTS: ConfigOption<SlotCount> = ConfigOption::new("taskmanager.numberOfTaskSlots").default("1");
/// CPU cores that the TaskManager says it has; not set: the machine's.
pub const CPU_CORES: ConfigOption<f64> = ConfigOption::new("taskmanager.cpu.cores");
/// The TaskManager's id; a random one where none is set.
pub const RESOURCE_ID: ConfigOption<TaskManagerId> = ConfigOption::new("taskmanager.resource-id");
/// How long a TaskManager tries to register before it gives up.
pub const REGISTRATION_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("taskmanager.registration.timeout")
    .default("5 min")
    .fallback(&["taskmanager.maxRegistrationDuration"]);
/// How long tasks go on while nobody leads their job, where there is an election.
pub const TASKS_WITHOUT_LEADER: ConfigOption<Duration> =
    ConfigOption::new("taskmanager.tasks-without-leader.timeout").default("5 min");
/// How long a slot stays with a job that does not claim it.
pub const SLOT_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("taskmanager.slot.timeout").default("10 s").fallback(&["pekko.ask.timeout"]);
/// How long a task may take to be cancelled before the process ends itself; 0 lets it take for ever.
pub const CANCELLATION_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("task.cancellation.timeout").default("3 min");

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, one of 100,000 letters was taken.
    #[test]
    fn an_id_has_a_length() {
        assert_eq!(TaskManagerId::parse("a"), Ok(TaskManagerId("a".to_owned())));
        assert!(TaskManagerId::parse(&"x".repeat(256)).is_ok());
        assert!(TaskManagerId::parse(&"x".repeat(257)).unwrap_err().contains("at most 256 bytes"));
    }
}
