//! What expressions depend on besides their row.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use wiesel_common::config::Configuration;
use wiesel_common::config::options::job;
use wiesel_common::time::Clock;

use super::budget::Budget;
use super::zone::Zone;
use crate::element::MIN_WATERMARK;
use crate::functions::{Compiled, Generators};
use crate::operator::{Error, OperatorContext, Result};

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
    pub(crate) generators: Generators,
    /// What the constant patterns take.
    pub(crate) patterns: Compiled,
}

impl EvaluationContext {
    /// A context from a job's configuration.
    pub fn new(configuration: &Configuration, clock: Arc<dyn Clock>) -> Result<Self> {
        let name = configuration.get(&job::LOCAL_TIME_ZONE).map_err(|error| Error::Plan(error.to_string()))?;
        let zone = Zone::parse(&name).map_err(|problem| {
            let key = job::LOCAL_TIME_ZONE.key();
            Error::Plan(format!("{key}: '{name}' is no time zone ({problem}); give UTC, an offset such as GMT+02:00 or a name such as Europe/Berlin"))
        })?;
        let watermark = Arc::new(AtomicI64::new(MIN_WATERMARK));
        let (budget, generators, patterns) = (Budget::default(), Generators::default(), Compiled::default());
        Ok(Self { zone, clock, watermark, budget, generators, patterns })
    }

    /// The context of an operator.
    pub fn of(operator: &OperatorContext) -> Result<Self> {
        Self::new(&operator.configuration, operator.clock.clone())
    }

    /// Tells `CURRENT_WATERMARK` how far event time is, in milliseconds.
    pub fn set_watermark(&self, watermark: i64) {
        self.watermark.store(watermark, Ordering::Relaxed);
    }
}
