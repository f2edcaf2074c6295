//! Groups by window, in one phase or one of two.
use wiesel_expressions::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;
use wiesel_proto::{WindowPhase, WindowProperty};

use super::super::explain::attributes::{aggregate, function, group_by, name, window};
use super::super::explain::expression::Style;
use super::super::identity::{Digest, Id, Identity, aggregated, column, grouped, groups, windows};
use super::super::options::PlannerOptions;
use super::super::physical::{Changes, Place};
use super::super::specs::{call, indexes, window_spec};
use super::{Distribution, Edge, PhysicalOperator};
use crate::error::Result;
use crate::rel::{Aggregate, Window};
use crate::rex::Expression;

/// Aggregates by window; columns are those of the raw rows.
#[derive(Clone, Debug)]
pub(crate) struct WindowAggregate {
    pub phase: WindowPhase,
    pub input: Vec<RowField>,
    pub keys: Vec<usize>,
    pub aggregates: Vec<Aggregate>,
    /// Names of the aggregates' columns, for EXPLAIN and for accumulators.
    pub names: Vec<String>,
    pub window: Window,
    pub event_time: bool,
    pub properties: Vec<WindowProperty>,
}

impl WindowAggregate {
    /// The same in another phase.
    pub fn in_phase(self, phase: WindowPhase) -> Self {
        Self { phase, ..self }
    }

    /// Its message, which depends on nothing around it.
    pub fn message(&self) -> proto::WindowAggregateSpec {
        proto::WindowAggregateSpec {
            input: Some(schema_to_proto(&self.input)),
            keys: indexes(&self.keys),
            aggregates: self.aggregates.iter().zip(&self.names).map(|(a, name)| call(a, name)).collect(),
            window: Some(window_spec(&self.window, self.event_time)),
            phase: self.phase.into(),
            properties: self.properties.iter().map(|property| (*property).into()).collect(),
        }
    }

    /// The windows of raw rows.
    fn windows(&self, raw: &Identity) -> Id {
        windows(raw, &self.window, self.event_time)
    }

    /// The name of the operator, which is that of the phase.
    fn operator(&self) -> &'static str {
        match self.phase {
            WindowPhase::Single => "WindowAggregate",
            WindowPhase::Local => "LocalWindowAggregate",
            WindowPhase::Final => "GlobalWindowAggregate",
        }
    }
}

impl PhysicalOperator for WindowAggregate {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    fn produces(&self, _: &[Changes]) -> Changes {
        Changes::INSERT_ONLY
    }

    fn takes_inserts_only(&self) -> Option<String> {
        Some("StreamPhysicalWindowAggregate".to_owned())
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    fn wants_before(&self, _: usize, _: bool) -> bool {
        false
    }

    fn gives_before(&self, _: Changes, _: bool, _: bool) -> bool {
        false
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, _: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        Ok(Some(Kind::WindowAggregate(self.message())))
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        inherited
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    /// All rows of a group; the first of two phases aggregates what it gets, and puts the keys first.
    fn wants(&self, _: usize) -> Option<Distribution> {
        match self.phase {
            WindowPhase::Local => None,
            WindowPhase::Single => Some(Distribution::by(self.keys.clone())),
            WindowPhase::Final => Some(Distribution::by((0..self.keys.len()).collect())),
        }
    }

    /// The first of two phases leaves raw rows what they are, so that the last one knows of what its columns speak.
    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        let raw = inputs[0];
        match self.phase {
            WindowPhase::Local => raw.clone(),
            WindowPhase::Single | WindowPhase::Final => {
                let rows = grouped(Digest::new("group by window"), raw, &self.keys);
                let rows = rows.id(self.windows(raw)).finish();
                let mut identity = aggregated(rows, raw, &self.keys, &self.aggregates);
                let properties = self.properties.iter().map(|property| column(rows, *property as i64));
                identity.columns.extend(properties);
                identity
            }
        }
    }

    fn uid(&self, inputs: &[&Identity], _: &Identity) -> Id {
        let raw = inputs[0];
        // The last phase has the same state as the only one.
        let kind = match self.phase {
            WindowPhase::Local => "LocalWindowAggregate",
            WindowPhase::Single | WindowPhase::Final => "WindowAggregate",
        };
        groups(Digest::new(kind), raw, &self.keys, &self.aggregates).id(self.windows(raw)).finish()
    }

    fn describe(&self, _: &Place<'_>, _: Style) -> String {
        let input = &self.input;
        let time = match self.phase {
            WindowPhase::Single | WindowPhase::Local => format!("time_col=[{}]", name(input, self.window.time)),
            WindowPhase::Final => "slice_end=[$slice_end]".to_owned(),
        };
        let mut select: Vec<String> = self.keys.iter().map(|key| name(input, *key)).collect();
        let mut next = 0;
        for (call, result) in self.aggregates.iter().zip(&self.names) {
            let accumulator = accumulator(call, &mut next);
            select.push(match self.phase {
                WindowPhase::Single => format!("{} AS {result}", aggregate(call, input, false)),
                WindowPhase::Local => format!("{} AS {accumulator}", aggregate(call, input, false)),
                WindowPhase::Final => format!("{}({accumulator}) AS {result}", function(&call.function)),
            });
        }
        match self.phase {
            WindowPhase::Local => select.push("slice_end('w$) AS $slice_end".to_owned()),
            WindowPhase::Single | WindowPhase::Final => select.extend(self.properties.iter().map(property)),
        }
        format!(
            "{}({}window=[{}], select=[{}])",
            self.operator(),
            group_by(&self.keys, input),
            window(&self.window, &time),
            select.join(", ")
        )
    }

    fn name(&self, number: usize) -> String {
        format!("{}[{number}]", self.operator())
    }

    fn is_sink(&self) -> bool {
        false
    }
}

/// A column that a window gives.
fn property(property: &WindowProperty) -> String {
    match property {
        WindowProperty::WindowStart => "start('w$) AS window_start",
        WindowProperty::WindowEnd => "end('w$) AS window_end",
        WindowProperty::WindowTime => "rowtime('w$) AS window_time",
    }
    .to_owned()
}

/// The names that Flink gives to what one phase hands to the next.
fn accumulator(aggregate: &Aggregate, next: &mut usize) -> String {
    let mut take = |name: &str| {
        *next += 1;
        format!("{name}${}", *next - 1)
    };
    match (aggregate.function.as_str(), aggregate.arguments.len()) {
        ("COUNT", 0) => take("count1"),
        ("AVG", _) => {
            let sum = take("sum");
            format!("({sum}, {})", take("count"))
        }
        ("SUM0", _) => take("sum"),
        (function, _) => take(&function.to_ascii_lowercase()),
    }
}
