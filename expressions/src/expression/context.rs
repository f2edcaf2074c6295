//! What expressions depend on besides their row.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use wiesel_common::config::Configuration;
use wiesel_common::config::options::job;
use wiesel_common::time::Clock;

use super::budget::Budget;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::functions::{Compiled, Generators};

/// The session's time zone. The process that plans a job settles it and writes it into the job's configuration.
pub const LOCAL_TIME_ZONE: &str = job::LOCAL_TIME_ZONE.key();

/// The time zone that a configuration names. None: it leaves that to the planner, with `default` or without a word.
///
/// # Errors
/// What it names is no time zone.
pub fn local_time_zone(configuration: &Configuration) -> Result<Option<Zone>> {
    let name = configuration.get(&job::LOCAL_TIME_ZONE).map_err(|error| Error::Plan(error.to_string()))?;
    if name.eq_ignore_ascii_case("default") {
        return Ok(None);
    }
    let zone = Zone::parse(&name).map_err(|problem| {
        Error::Plan(format!(
            "{LOCAL_TIME_ZONE}: '{name}' is no time zone ({problem}); give UTC, an offset such as GMT+02:00 or a name such as \
             Europe/Berlin"
        ))
    })?;
    Ok(Some(zone))
}

/// The cluster's time zone: the JobManager's own, which it writes into the configuration of each job that it takes. For what Flink
/// does in the zone of the process that does it: all tasks of all jobs do it in this one.
pub const CLUSTER_TIME_ZONE: &str = "$internal.cluster.time-zone";

/// The cluster's time zone.
///
/// # Errors
/// The configuration is none that a JobManager gave to a task.
pub fn cluster_time_zone(configuration: &Configuration) -> Result<Zone> {
    let zone = configuration.get_raw(CLUSTER_TIME_ZONE).and_then(|name| Zone::parse(name).ok());
    zone.ok_or_else(|| {
        Error::Plan(format!(
            "the job has no {CLUSTER_TIME_ZONE}: its JobManager must be of the version of its TaskManagers"
        ))
    })
}

/// The watermark of an operator that has had none yet.
pub const NO_WATERMARK: i64 = i64::MIN;

/// The session's time zone, the clock and the watermark, for functions that ask for them.
#[derive(Clone)]
pub struct EvaluationContext {
    /// `table.local-time-zone`.
    pub zone: Zone,
    /// For `PROCTIME()`, `CURRENT_TIMESTAMP` and the like.
    pub clock: Arc<dyn Clock>,
    /// What `CURRENT_WATERMARK` gives; the operator stores its watermark (milliseconds) here.
    pub watermark: Arc<AtomicI64>,
    /// What may be made at once; without a limit unless the operator sets one.
    pub budget: Budget,
    /// Those of `RAND` and `RAND_INTEGER`.
    pub generators: Generators,
    /// What the constant patterns take.
    pub(crate) patterns: Compiled,
}

impl EvaluationContext {
    /// A context from a job's configuration.
    ///
    /// # Errors
    /// It names no time zone: this process's own may be another one than that of the next task, or of the plan.
    pub fn new(configuration: &Configuration, clock: Arc<dyn Clock>) -> Result<Self> {
        let zone = local_time_zone(configuration)?.ok_or_else(|| {
            Error::Plan(format!(
                "the job's plan has no {LOCAL_TIME_ZONE}: submit the job anew with a client of this version"
            ))
        })?;
        Ok(Self::in_zone(zone, clock))
    }

    /// The context of a session with this time zone.
    pub fn in_zone(zone: Zone, clock: Arc<dyn Clock>) -> Self {
        let watermark = Arc::new(AtomicI64::new(NO_WATERMARK));
        let (budget, generators, patterns) = (Budget::default(), Generators::default(), Compiled::default());
        Self { zone, clock, watermark, budget, generators, patterns }
    }

    /// Tells `CURRENT_WATERMARK` how far event time is, in milliseconds.
    pub fn set_watermark(&self, watermark: i64) {
        self.watermark.store(watermark, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::time::ManualClock;

    use super::*;

    fn zone_of_task(name: Option<&str>) -> Result<Zone> {
        let pairs = name.map(|name| (LOCAL_TIME_ZONE.to_owned(), name.to_owned()));
        let configuration: Configuration = pairs.into_iter().collect();
        EvaluationContext::new(&configuration, Arc::new(ManualClock::default())).map(|context| context.zone)
    }

    /// Before, each process took its own zone: two tasks of a job could have two, and constants a third.
    #[test]
    fn a_task_has_the_zone_of_its_plan_and_none_of_its_own() {
        assert_eq!(zone_of_task(Some("Asia/Tokyo")).unwrap(), Zone::parse("Asia/Tokyo").unwrap());
        for unsettled in [None, Some("default"), Some("Default")] {
            let error = zone_of_task(unsettled).unwrap_err().to_string();
            assert!(error.contains(LOCAL_TIME_ZONE) && error.contains("submit the job anew"), "{error}");
        }
        let error = zone_of_task(Some("Mars/Olympus")).unwrap_err().to_string();
        assert!(error.contains("'Mars/Olympus' is no time zone"), "{error}");
    }
}
