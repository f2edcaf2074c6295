//! The abstract syntax tree: a query as the analyser understood it.
use super::tree;
use crate::planner::End;
use crate::rel::Rel;

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
    let relation = rel.node.relation();
    tree::line(lines, own, &relation.describe(&rel.fields));
    let inputs = relation.inputs();
    for (index, input) in inputs.iter().enumerate() {
        let last = index + 1 == inputs.len();
        tree::child(lines, below, last, |lines, own, below| write(input, lines, own, below));
    }
}
