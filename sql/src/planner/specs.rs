//! From physical operators to their messages.
use std::collections::BTreeMap;

use wiesel_operators::expression::{Expression, Node, literal_to_proto};
use wiesel_operators::types::{RowField, schema_to_proto};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::options::PlannerOptions;
use super::physical::{Op, Plan, PlanNode, Sink, Source, WindowAggregate};
use crate::rel::{Aggregate, Window};

/// The message of an operator. Exchanges and unions have none: they are edges.
pub(crate) fn spec(plan: &Plan, node: &PlanNode, options: &PlannerOptions) -> Option<Kind> {
    let below = node.inputs.first().map(|input| &plan.nodes[*input]);
    let fields: &[RowField] = below.map_or(&[], |input| &input.fields);
    let schema = || Some(schema_to_proto(fields));
    let input_changelog = node.inputs.iter().any(|input| plan.nodes[*input].changes.is_changelog());
    Some(match &node.op {
        Op::Source(source) => Kind::Source(source_spec(source)),
        Op::Values(rows) => Kind::Source(values_spec(rows, &node.fields)),
        Op::Calc { condition, projection } => Kind::Calc(proto::CalcSpec {
            input: schema(),
            condition: condition.as_ref().map(proto::Expression::from),
            projection: projection.iter().map(proto::Expression::from).collect(),
        }),
        Op::WatermarkAssigner { rowtime, watermark } => Kind::WatermarkAssigner(proto::WatermarkAssignerSpec {
            rowtime: *rowtime as u32,
            watermark: Some(watermark.into()),
            idle_timeout: options.idle_timeout,
            input: schema(),
        }),
        Op::GroupAggregate { keys, aggregates } => Kind::GroupAggregate(proto::GroupAggregateSpec {
            input: schema(),
            keys: indexes(keys),
            aggregates: aggregates
                .iter()
                .enumerate()
                .map(|(index, aggregate)| call(aggregate, &node.fields[keys.len() + index].name))
                .collect(),
            input_changelog,
            generate_update_before: node.changes.before,
            state_ttl: options.state_ttl,
        }),
        Op::WindowAggregate { phase, aggregate } => Kind::WindowAggregate(window_aggregate(aggregate, *phase)),
        Op::WindowTableFunction { window, event_time } => Kind::WindowTableFunction(proto::WindowTableFunctionSpec {
            input: schema(),
            window: Some(window_spec(window, *event_time)),
        }),
        Op::Sink(sink) => Kind::Sink(sink_spec(sink, fields, input_changelog, options)),
        Op::Collect => Kind::CollectSink(proto::CollectSinkSpec { input: schema(), input_changelog }),
        Op::Exchange(_) | Op::Union => return None,
    })
}

/// The message of an aggregation by window.
pub(crate) fn window_aggregate(aggregate: &WindowAggregate, phase: proto::WindowPhase) -> proto::WindowAggregateSpec {
    proto::WindowAggregateSpec {
        input: Some(schema_to_proto(&aggregate.input)),
        keys: indexes(&aggregate.keys),
        aggregates: aggregate.aggregates.iter().zip(&aggregate.names).map(|(a, name)| call(a, name)).collect(),
        window: Some(window_spec(&aggregate.window, aggregate.event_time)),
        phase: phase.into(),
        properties: aggregate.properties.iter().map(|property| (*property).into()).collect(),
    }
}

fn window_spec(window: &Window, event_time: bool) -> proto::WindowSpec {
    proto::WindowSpec {
        kind: window.kind.into(),
        size: window.size,
        slide: window.slide,
        offset: window.offset,
        time: window.time as u32,
        event_time,
    }
}

fn call(aggregate: &Aggregate, name: &str) -> proto::AggregateCall {
    proto::AggregateCall {
        function: aggregate.function.clone(),
        arguments: indexes(&aggregate.arguments),
        distinct: aggregate.distinct,
        filter: aggregate.filter.map(|column| column as u32),
        r#type: Some((&aggregate.data_type).into()),
        name: name.to_owned(),
    }
}

fn source_spec(source: &Source) -> proto::SourceSpec {
    let path = |path: &Vec<usize>| proto::FieldPath { indexes: indexes(path) };
    proto::SourceSpec {
        connector: source.table.options.get("connector").cloned().unwrap_or_default(),
        options: source.table.options.clone(),
        table: source.table.identifier.to_string(),
        physical: Some(schema_to_proto(&source.table.physical)),
        projection: source.projection.iter().map(path).collect(),
        filters: source.filters.iter().map(proto::Expression::from).collect(),
        partition_keys: source.table.partition_keys.clone(),
        values: Vec::new(),
    }
}

/// The connector of constant rows; no table can name it.
pub(crate) const VALUES: &str = "values";

fn values_spec(rows: &[Vec<Expression>], fields: &[RowField]) -> proto::SourceSpec {
    let literal = |expression: &Expression| match &expression.node {
        Node::Literal(value) => literal_to_proto(value, &expression.data_type),
        _ => proto::Literal { r#type: Some((&expression.data_type).into()), value: None },
    };
    proto::SourceSpec {
        connector: VALUES.to_owned(),
        options: BTreeMap::new(),
        table: String::new(),
        physical: Some(schema_to_proto(fields)),
        projection: (0..fields.len()).map(|index| proto::FieldPath { indexes: vec![index as u32] }).collect(),
        filters: Vec::new(),
        partition_keys: Vec::new(),
        values: rows.iter().map(|row| proto::ValuesRow { fields: row.iter().map(literal).collect() }).collect(),
    }
}

fn sink_spec(sink: &Sink, input: &[RowField], input_changelog: bool, options: &PlannerOptions) -> proto::SinkSpec {
    proto::SinkSpec {
        connector: sink.table.options.get("connector").cloned().unwrap_or_default(),
        options: sink.table.options.clone(),
        table: sink.table.identifier.to_string(),
        input: Some(schema_to_proto(input)),
        input_changelog,
        not_null: indexes(&sink.not_null),
        not_null_enforcer: options.not_null_enforcer.clone(),
        primary_key: indexes(&sink.primary_key),
        partition_keys: sink.table.partition_keys.clone(),
        type_length_enforcer: options.type_length_enforcer.clone(),
    }
}

pub(crate) fn indexes(columns: &[usize]) -> Vec<u32> {
    columns.iter().map(|column| *column as u32).collect()
}
