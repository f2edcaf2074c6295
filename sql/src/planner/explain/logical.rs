//! The abstract syntax tree: a query as the analyser understood it.
use wiesel_operators::types::RowField;
use wiesel_proto::WindowKind;

use super::attributes::{function, path, tuples};
use super::expression::{Style, text, type_name};
use super::tree;
use crate::planner::End;
use crate::rel::{Rel, RelNode};

/// The tree of a query with its end.
pub(super) fn explain(rel: &Rel, end: &End) -> String {
    let mut lines = String::new();
    match end {
        End::Table(table) => {
            let names: Vec<&str> = rel.fields.iter().map(|field| field.name.as_str()).collect();
            let sink = format!("LogicalSink(table=[{}], fields=[{}])", table.identifier, names.join(", "));
            tree::line(&mut lines, "", &sink);
            tree::child(&mut lines, "", true, |lines, own, below| write(rel, lines, own, below));
        }
        End::None | End::Collect => write(rel, &mut lines, "", ""),
    }
    lines
}

fn write(rel: &Rel, lines: &mut String, own: &str, below: &str) {
    tree::line(lines, own, &describe(rel));
    let inputs: Vec<&Rel> = match &rel.node {
        RelNode::Scan(_) | RelNode::Source { .. } | RelNode::Values(_) => Vec::new(),
        RelNode::Project { input, .. }
        | RelNode::Filter { input, .. }
        | RelNode::WatermarkAssigner { input, .. }
        | RelNode::Aggregate { input, .. }
        | RelNode::WindowTableFunction { input, .. } => vec![&**input],
        RelNode::Union(inputs) => inputs.iter().collect(),
    };
    for (index, input) in inputs.iter().enumerate() {
        let last = index + 1 == inputs.len();
        tree::child(lines, below, last, |lines, own, below| write(input, lines, own, below));
    }
}

fn describe(rel: &Rel) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match &rel.node {
        RelNode::Scan(table) | RelNode::Source { table, .. } => {
            format!("LogicalTableScan(table=[[{}]])", path(&table.identifier))
        }
        RelNode::Values(rows) => format!("LogicalValues(tuples=[{}])", tuples(rows, Style::Physical)),
        RelNode::Project { input, expressions } => {
            let column = |(expression, field): (_, &RowField)| {
                format!("{}=[{}]", field.name, text(expression, &input.fields, Style::Logical))
            };
            format!("LogicalProject({})", join(expressions.iter().zip(&rel.fields).map(column).collect()))
        }
        RelNode::Filter { input, condition } => {
            format!("LogicalFilter(condition=[{}])", text(condition, &input.fields, Style::Logical))
        }
        RelNode::WatermarkAssigner { input, rowtime, watermark } => format!(
            "LogicalWatermarkAssigner(rowtime=[{}], watermark=[{}])",
            input.fields.get(*rowtime).map_or("", |field| field.name.as_str()),
            text(watermark, &input.fields, Style::Logical)
        ),
        RelNode::Aggregate { keys, aggregates, .. } => {
            let group = keys.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let mut parts = vec![format!("group=[{{{group}}}]")];
            for (aggregate, field) in aggregates.iter().zip(&rel.fields[keys.len()..]) {
                let arguments = aggregate.arguments.iter().map(|column| format!("${column}")).collect::<Vec<_>>();
                let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
                let filter = aggregate.filter.map_or_else(String::new, |column| format!(" FILTER ${column}"));
                let name = function(&aggregate.function);
                parts.push(format!("{}=[{name}({distinct}{}){filter}]", field.name, arguments.join(", ")));
            }
            format!("LogicalAggregate({})", join(parts))
        }
        RelNode::WindowTableFunction { input, window } => {
            let time = input.fields.get(window.time).map_or("", |field| field.name.as_str());
            let column =
                |f: &RowField| format!("{} {}", type_name(&f.data_type.with_nullable(true), Style::Execution), f.name);
            let columns = join(rel.fields.iter().map(column).collect());
            let millis = |value: i64| format!("{value}:INTERVAL DAY TO SECOND");
            let (name, mut durations) = match window.kind {
                WindowKind::Tumble => ("TUMBLE", vec![window.size]),
                WindowKind::Hop => ("HOP", vec![window.slide, window.size]),
                WindowKind::Cumulate => ("CUMULATE", vec![window.slide, window.size]),
            };
            if window.offset != 0 {
                durations.push(window.offset);
            }
            let durations = join(durations.into_iter().map(millis).collect());
            format!(
                "LogicalTableFunctionScan(invocation=[{name}(TABLE(#0), DESCRIPTOR(_UTF-16LE'{time}'), {durations})], \
                 rowType=[RecordType({columns})])"
            )
        }
        RelNode::Union(_) => "LogicalUnion(all=[true])".to_owned(),
    }
}
