//! Physical operators as Flink's plans show them.
use wiesel_operators::expression::{Expression, Node};
use wiesel_operators::types::RowField;
use wiesel_proto::{WindowPhase, WindowProperty};

use super::attributes::{aggregate, function, group_by, join, name, names, path, tuples, window};
use super::expression::{Style, text, type_name};
use crate::planner::physical::{Distribution, NodeId, Op, Plan, Sink, Source, WindowAggregate};
use crate::rel::Aggregate;

/// An operator's name and attributes.
pub(super) fn describe(plan: &Plan, id: NodeId, style: Style) -> String {
    let node = &plan.nodes[id];
    let below = node.inputs.first().map(|input| &plan.nodes[*input]);
    let input: &[RowField] = below.map_or(&[], |input| &input.fields);
    match &node.op {
        Op::Source(source) => scan(source, &node.fields, style),
        Op::Values(rows) => {
            let of_type = match style {
                Style::Execution => String::new(),
                _ => {
                    let column = |f: &RowField| {
                        format!("{} {}", type_name(&f.data_type.with_nullable(true), Style::Execution), f.name)
                    };
                    format!("type=[RecordType({})], ", join(node.fields.iter().map(column)))
                }
            };
            format!("Values({of_type}tuples=[{}])", tuples(rows, style))
        }
        Op::Calc { condition, projection } => {
            let select =
                projection.iter().zip(&node.fields).map(|(e, field)| named(&text(e, input, style), e, field, input));
            let select = join(select);
            match condition {
                Some(condition) => format!("Calc(select=[{select}], where=[{}])", text(condition, input, style)),
                None => format!("Calc(select=[{select}])"),
            }
        }
        Op::WatermarkAssigner { rowtime, watermark } => format!(
            "WatermarkAssigner(rowtime=[{}], watermark=[{}])",
            name(input, *rowtime),
            text(watermark, input, style)
        ),
        Op::GroupAggregate { keys, aggregates } => {
            let retracts = below.is_some_and(|input| input.changes.update || input.changes.delete);
            let calls = aggregates.iter().zip(&node.fields[keys.len()..]);
            let calls = calls.map(|(a, field)| format!("{} AS {}", aggregate(a, input, retracts), field.name));
            let select = keys.iter().map(|key| name(input, *key)).chain(calls);
            format!("GroupAggregate({}select=[{}])", group_by(keys, input), join(select))
        }
        Op::WindowAggregate { phase, aggregate } => windowed(*phase, aggregate),
        Op::WindowTableFunction { window: spec, .. } => {
            format!("WindowTableFunction(window=[{}])", window(spec, &format!("time_col=[{}]", name(input, spec.time))))
        }
        Op::Exchange(Distribution::Hash(keys)) => {
            format!("Exchange(distribution=[hash[{}]])", join(keys.iter().map(|key| name(input, *key))))
        }
        Op::Exchange(Distribution::Single) => "Exchange(distribution=[single])".to_owned(),
        Op::Union => format!("Union(all=[true], union=[{}])", names(&node.fields)),
        Op::Sink(Sink { table, .. }) => {
            format!("Sink(table=[{}], fields=[{}])", table.identifier, names(&node.fields))
        }
        Op::Collect => format!("Sink(table=[*anonymous_collect$1*], fields=[{}])", names(&node.fields)),
    }
}

fn named(shown: &str, expression: &Expression, field: &RowField, input: &[RowField]) -> String {
    match expression.node {
        Node::Input(index) if name(input, index) == field.name => shown.to_owned(),
        _ => format!("{shown} AS {}", field.name),
    }
}

fn scan(source: &Source, fields: &[RowField], style: Style) -> String {
    let whole = source.projection.iter().map(Vec::as_slice).eq((0..source.table.physical.len()).map(|i| [i]));
    let mut table = path(&source.table.identifier);
    if !source.filters.is_empty() {
        let filters = source.filters.iter().map(|filter| text(filter, &source.table.physical, style));
        table = format!("{table}, filter=[{}]", join(filters));
    }
    if !whole {
        table = format!("{table}, project=[{}], metadata=[]", names(fields));
    }
    format!("TableSourceScan(table=[[{table}]], fields=[{}])", names(fields))
}

/// One of the three operators that aggregate by window.
fn windowed(phase: WindowPhase, spec: &WindowAggregate) -> String {
    let input = &spec.input;
    let (operator, time) = match phase {
        WindowPhase::Single => ("WindowAggregate", format!("time_col=[{}]", name(input, spec.window.time))),
        WindowPhase::Local => ("LocalWindowAggregate", format!("time_col=[{}]", name(input, spec.window.time))),
        WindowPhase::Final => ("GlobalWindowAggregate", "slice_end=[$slice_end]".to_owned()),
    };
    let mut select: Vec<String> = spec.keys.iter().map(|key| name(input, *key)).collect();
    let mut next = 0;
    for (call, result) in spec.aggregates.iter().zip(&spec.names) {
        let accumulator = accumulator(call, &mut next);
        select.push(match phase {
            WindowPhase::Single => format!("{} AS {result}", aggregate(call, input, false)),
            WindowPhase::Local => format!("{} AS {accumulator}", aggregate(call, input, false)),
            WindowPhase::Final => format!("{}({accumulator}) AS {result}", function(&call.function)),
        });
    }
    match phase {
        WindowPhase::Local => select.push("slice_end('w$) AS $slice_end".to_owned()),
        _ => select.extend(spec.properties.iter().map(|property| {
            match property {
                WindowProperty::WindowStart => "start('w$) AS window_start",
                WindowProperty::WindowEnd => "end('w$) AS window_end",
                WindowProperty::WindowTime => "rowtime('w$) AS window_time",
            }
            .to_owned()
        })),
    }
    format!(
        "{operator}({}window=[{}], select=[{}])",
        group_by(&spec.keys, input),
        window(&spec.window, &time),
        select.join(", ")
    )
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
