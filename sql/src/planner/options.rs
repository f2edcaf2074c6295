//! The configuration keys that shape a plan.
use std::time::Duration;

use wiesel_common::config::options::job;
use wiesel_common::config::{ConfigOption, ConfigValue, Configuration};

use crate::error::{Error, Result};

wiesel_common::config_enum! {
    /// How bounded tables are read.
    enum RuntimeMode {
        /// As any other.
        Streaming = "STREAMING",
        /// One step of the plan after the other; there is no such plan here.
        Batch = "BATCH",
        /// As a batch if all tables are bounded.
        Automatic = "AUTOMATIC",
    }
}

wiesel_common::config_enum! {
    /// In how many steps rows are aggregated.
    pub(crate) enum AggregatePhaseStrategy {
        /// In two where that is less work.
        Auto = "AUTO",
        /// After the shuffle.
        OnePhase = "ONE_PHASE",
        /// Before it and after it.
        TwoPhase = "TWO_PHASE",
    }
}

wiesel_common::config_enum! {
    /// What becomes of a row with NULL in a column of a sink that has none.
    enum NotNullEnforcer {
        /// The job fails.
        Error = "ERROR",
        /// It is left out.
        Drop = "DROP",
    }
}

wiesel_common::config_enum! {
    /// What becomes of a text or bytes whose length is not that of their column.
    enum TypeLengthEnforcer {
        /// They go as they are.
        Ignore = "IGNORE",
        /// They are cut, or filled up.
        TrimPad = "TRIM_PAD",
        /// The job fails.
        Error = "ERROR",
    }
}

wiesel_common::config_enum! {
    /// Whether the constraints of what is within a column hold as well.
    enum NestedConstraintEnforcer {
        /// No.
        Ignore = "IGNORE",
        /// Those within rows do.
        Rows = "ROWS",
        /// Those within arrays and maps, too.
        RowsAndCollections = "ROWS_AND_COLLECTIONS",
    }
}

const RUNTIME_MODE: ConfigOption<RuntimeMode> = ConfigOption::new("execution.runtime-mode").default("STREAMING");
const CHAINING: ConfigOption<bool> =
    ConfigOption::new("pipeline.operator-chaining.enabled").default("true").fallback(&["pipeline.operator-chaining"]);
const AGG_PHASE_STRATEGY: ConfigOption<AggregatePhaseStrategy> =
    ConfigOption::new("table.optimizer.agg-phase-strategy").default("AUTO");
const IDLE_TIMEOUT: ConfigOption<Duration> = ConfigOption::new("table.exec.source.idle-timeout").default("0 ms");
const STATE_TTL: ConfigOption<Duration> = ConfigOption::new("table.exec.state.ttl").default("0 ms");
const NOT_NULL_ENFORCER: ConfigOption<NotNullEnforcer> =
    ConfigOption::new("table.exec.sink.not-null-enforcer").default("ERROR");
const TYPE_LENGTH_ENFORCER: ConfigOption<TypeLengthEnforcer> =
    ConfigOption::new("table.exec.sink.type-length-enforcer").default("IGNORE");
const NESTED_CONSTRAINT_ENFORCER: ConfigOption<NestedConstraintEnforcer> =
    ConfigOption::new("table.exec.sink.nested-constraint-enforcer").default("IGNORE");
const REUSE_SUB_PLANS: ConfigOption<bool> = ConfigOption::new("table.optimizer.reuse-sub-plan-enabled").default("true");
const REUSE_SOURCES: ConfigOption<bool> = ConfigOption::new("table.optimizer.reuse-source-enabled").default("true");

const SWITCH: &[&str] = &["true", "false"];

/// The planner's keys that have few values, with those that work.
pub const CHOICES: &[(&str, &[&str])] = &[
    (RUNTIME_MODE.key(), &["streaming"]),
    (CHAINING.key(), SWITCH),
    (REUSE_SOURCES.key(), SWITCH),
    (REUSE_SUB_PLANS.key(), SWITCH),
    (NESTED_CONSTRAINT_ENFORCER.key(), &["IGNORE"]),
    (NOT_NULL_ENFORCER.key(), &["ERROR", "DROP"]),
    (TYPE_LENGTH_ENFORCER.key(), &["IGNORE", "TRIM_PAD", "ERROR"]),
    (AGG_PHASE_STRATEGY.key(), &["AUTO", "ONE_PHASE", "TWO_PHASE"]),
];

/// What the planner reads of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct PlannerOptions {
    /// `parallelism.default`.
    pub parallelism: u32,
    /// `pipeline.max-parallelism`; 0: by Flink's rule.
    pub max_parallelism: u32,
    /// `pipeline.operator-chaining.enabled`.
    pub chaining: bool,
    /// `table.optimizer.agg-phase-strategy`.
    pub phases: AggregatePhaseStrategy,
    /// `table.exec.source.idle-timeout`, milliseconds.
    pub idle_timeout: u64,
    /// `table.exec.state.ttl`, milliseconds.
    pub state_ttl: u64,
    /// `table.exec.sink.not-null-enforcer`: ERROR or DROP.
    pub not_null_enforcer: String,
    /// `table.exec.sink.type-length-enforcer`: IGNORE, TRIM_PAD or ERROR.
    pub type_length_enforcer: String,
    /// `table.optimizer.reuse-sub-plan-enabled`.
    pub reuse_sub_plans: bool,
    /// `table.optimizer.reuse-source-enabled`.
    pub reuse_sources: bool,
}

impl PlannerOptions {
    /// Reads them.
    ///
    /// # Errors
    /// A value that is none of its key's, or the batch mode.
    pub fn new(configuration: &Configuration) -> Result<Self> {
        refuse_what_is_missing(configuration)?;
        let reuse_sub_plans = configuration.get(&REUSE_SUB_PLANS)?;
        Ok(Self {
            parallelism: configuration.get(&job::PARALLELISM)?.0.unwrap_or(1),
            max_parallelism: configuration.get(&job::MAX_PARALLELISM)?.0.unwrap_or(0),
            chaining: configuration.get(&CHAINING)?,
            phases: configuration.get(&AGG_PHASE_STRATEGY)?,
            idle_timeout: millis(configuration.get(&IDLE_TIMEOUT)?),
            state_ttl: millis(configuration.get(&STATE_TTL)?),
            not_null_enforcer: configuration.get(&NOT_NULL_ENFORCER)?.show(),
            type_length_enforcer: configuration.get(&TYPE_LENGTH_ENFORCER)?.show(),
            reuse_sub_plans,
            reuse_sources: configuration.get(&REUSE_SOURCES)? && reuse_sub_plans,
        })
    }
}

/// Refuses values that Flink has and this planner has nothing for.
fn refuse_what_is_missing(configuration: &Configuration) -> Result<()> {
    let mode = configuration.get(&RUNTIME_MODE)?;
    if mode != RuntimeMode::Streaming {
        let message = format!(
            "{}: {}: queries run in streaming mode only; bounded tables end the job when they are read",
            RUNTIME_MODE.key(),
            mode.show().to_lowercase()
        );
        return Err(Error::unsupported(message, None));
    }
    let nested = configuration.get(&NESTED_CONSTRAINT_ENFORCER)?;
    if nested != NestedConstraintEnforcer::Ignore {
        let message = format!(
            "{}: {}: constraints of columns are enforced, those within them are not",
            NESTED_CONSTRAINT_ENFORCER.key(),
            nested.show()
        );
        return Err(Error::unsupported(message, None));
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
