//! The configuration keys that shape a plan.
use wiesel_common::config::Configuration;

use crate::error::{Error, Result};

const RUNTIME_MODE: &str = "execution.runtime-mode";
const AGG_PHASE_STRATEGY: &str = "table.optimizer.agg-phase-strategy";
const NESTED_CONSTRAINT_ENFORCER: &str = "table.exec.sink.nested-constraint-enforcer";
const NOT_NULL_ENFORCER: (&str, &[&str]) = ("table.exec.sink.not-null-enforcer", &["ERROR", "DROP"]);
const TYPE_LENGTH_ENFORCER: (&str, &[&str]) =
    ("table.exec.sink.type-length-enforcer", &["IGNORE", "TRIM_PAD", "ERROR"]);

/// The planner's keys that have few values, with those that work.
pub const CHOICES: &[(&str, &[&str])] = &[
    (RUNTIME_MODE, &["streaming"]),
    (NESTED_CONSTRAINT_ENFORCER, &["IGNORE"]),
    NOT_NULL_ENFORCER,
    TYPE_LENGTH_ENFORCER,
    (AGG_PHASE_STRATEGY, &["AUTO", "ONE_PHASE", "TWO_PHASE"]),
];

/// `table.optimizer.agg-phase-strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregatePhaseStrategy {
    Auto,
    OnePhase,
    TwoPhase,
}

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
        let mode = configuration.get_raw(RUNTIME_MODE).unwrap_or("streaming");
        match mode.to_ascii_lowercase().as_str() {
            "streaming" => {}
            "batch" | "automatic" => {
                return Err(Error::Unsupported {
                    message: format!(
                        "execution.runtime-mode: {mode}: queries run in streaming mode only; bounded tables end the job when they are read"
                    ),
                    location: None,
                });
            }
            _ => return Err(invalid(RUNTIME_MODE, mode, "STREAMING")),
        }
        let strategy = configuration.get_raw(AGG_PHASE_STRATEGY).unwrap_or("AUTO");
        let phases = match strategy.to_ascii_uppercase().as_str() {
            "AUTO" => AggregatePhaseStrategy::Auto,
            "ONE_PHASE" => AggregatePhaseStrategy::OnePhase,
            "TWO_PHASE" => AggregatePhaseStrategy::TwoPhase,
            _ => return Err(invalid(AGG_PHASE_STRATEGY, strategy, "AUTO, ONE_PHASE or TWO_PHASE")),
        };
        let not_null_enforcer = choice(configuration, NOT_NULL_ENFORCER)?;
        let type_length_enforcer = choice(configuration, TYPE_LENGTH_ENFORCER)?;
        let nested: &[&str] = &["IGNORE", "ROWS", "ROWS_AND_COLLECTIONS"];
        let nested = choice(configuration, (NESTED_CONSTRAINT_ENFORCER, nested))?;
        if nested != "IGNORE" {
            let message = format!(
                "table.exec.sink.nested-constraint-enforcer: {nested}: constraints of columns are enforced, those within \
                 them are not"
            );
            return Err(Error::unsupported(message, None));
        }
        let reuse_sub_plans = boolean(configuration, "table.optimizer.reuse-sub-plan-enabled", true)?;
        Ok(Self {
            parallelism: count(configuration, "parallelism.default", 1)?.max(1),
            max_parallelism: count(configuration, "pipeline.max-parallelism", 0)?,
            chaining: boolean(configuration, "pipeline.operator-chaining.enabled", true)?,
            phases,
            idle_timeout: millis(configuration, "table.exec.source.idle-timeout")?,
            state_ttl: millis(configuration, "table.exec.state.ttl")?,
            not_null_enforcer,
            type_length_enforcer,
            reuse_sub_plans,
            reuse_sources: reuse_sub_plans && boolean(configuration, "table.optimizer.reuse-source-enabled", true)?,
        })
    }
}

fn invalid(key: &str, value: &str, expected: &str) -> Error {
    let value = wiesel_common::quote::quote(value);
    Error::Option(format!("Could not parse value '{value}' for key '{key}': expected {expected}."))
}

/// One of some values, in capital letters; the first is the default.
fn choice(configuration: &Configuration, (key, values): (&str, &[&str])) -> Result<String> {
    let Some(text) = configuration.get_raw(key).map(str::trim) else { return Ok(values[0].to_owned()) };
    let found = values.iter().find(|value| value.eq_ignore_ascii_case(text));
    found.map(|value| (*value).to_owned()).ok_or_else(|| invalid(key, text, &values.join(", ")))
}

/// A count; -1, as Flink writes its "not set", is 0.
fn count(configuration: &Configuration, key: &str, default: u32) -> Result<u32> {
    match configuration.get_raw(key).map(str::trim) {
        None => Ok(default),
        Some("-1") => Ok(0),
        Some(text) => match text.parse::<u32>() {
            Ok(count) if (1..=32_768).contains(&count) => Ok(count),
            _ => Err(invalid(key, text, "a whole number from 1 to 32768")),
        },
    }
}

fn boolean(configuration: &Configuration, key: &str, default: bool) -> Result<bool> {
    match configuration.get_raw(key).map(str::trim) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(invalid(key, text, "true or false")),
    }
}

fn millis(configuration: &Configuration, key: &str) -> Result<u64> {
    match configuration.get_raw(key) {
        None => Ok(0),
        Some(text) => match wiesel_common::config::parse_duration(text) {
            Ok(duration) => Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            Err(error) => Err(invalid(key, text, &format!("a duration such as `10 s` ({error})"))),
        },
    }
}

/// A flag of the session, for its own statements.
pub(crate) fn flag(configuration: &Configuration, key: &str) -> Result<bool> {
    boolean(configuration, key, false)
}
