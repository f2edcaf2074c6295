//! Heartbeats, registration, slots: what both sides of the control plane go by.
use std::time::Duration;

use crate::config::ConfigOption;

/// How often heartbeats are asked for.
pub const HEARTBEAT_INTERVAL: ConfigOption<Duration> = ConfigOption::new("heartbeat.interval").default("10 s");
/// Without a heartbeat for so long the other side counts as lost.
pub const HEARTBEAT_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("heartbeat.timeout").default("50 s");

/// The first time a registration waits for its answer; doubled at each retry.
pub const REGISTRATION_INITIAL_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("cluster.registration.initial-timeout").default("100 ms");
/// The longest time a registration waits for its answer.
pub const REGISTRATION_MAX_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("cluster.registration.max-timeout").default("30 s");
/// The pause after a registration failed other than by time.
pub const REGISTRATION_ERROR_DELAY: ConfigOption<Duration> =
    ConfigOption::new("cluster.registration.error-delay").default("10 s");
/// The pause after a registration was declined.
pub const REGISTRATION_REFUSED_DELAY: ConfigOption<Duration> =
    ConfigOption::new("cluster.registration.refused-registration-delay").default("30 s");

/// How long a job waits for a slot before it fails.
pub const SLOT_REQUEST_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("slot.request.timeout").default("5 min");

/// How long a call to another component may take.
pub const RPC_ASK_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("pekko.ask.timeout").default("10 s").fallback(&["akka.ask.timeout"]);
