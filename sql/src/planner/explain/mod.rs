//! EXPLAIN: a plan as text, laid out as Flink lays it out; and the names of operators.
pub(super) mod attributes;
pub(super) mod expression;
mod json;
mod logical;
mod tree;

use expression::Style;
pub(crate) use json::execution_plan;

use super::End;
use super::operators::Edge;
use super::physical::{Changes, NodeId, Plan};
use crate::rel::Rel;

/// The three sections of EXPLAIN. `changelog`: the physical plan shows the changes of each operator.
pub(crate) fn explain(queries: &[(Rel, End)], plan: &Plan, changelog: bool) -> String {
    let syntax: Vec<String> = queries.iter().map(|(rel, end)| logical::explain(rel, end)).collect();
    let physical: Vec<String> = plan.roots.iter().map(|root| physical(plan, *root, changelog)).collect();
    format!(
        "== Abstract Syntax Tree ==\n{}\n== Optimized Physical Plan ==\n{}\n== Optimized Execution Plan ==\n{}",
        syntax.join("\n"),
        physical.join("\n"),
        execution(plan)
    )
}

fn physical(plan: &Plan, root: NodeId, changelog: bool) -> String {
    fn write(plan: &Plan, id: NodeId, changelog: bool, lines: &mut String, own: &str, below: &str) {
        let node = &plan.nodes[id];
        let mut text = describe(plan, id);
        if changelog {
            text.pop();
            let mode = if node.op.is_sink() { "NONE".to_owned() } else { mode(node.changes) };
            text.push_str(&format!(", changelogMode=[{mode}])"));
        }
        tree::line(lines, own, &text);
        for (index, input) in node.inputs.iter().enumerate() {
            let last = index + 1 == node.inputs.len();
            tree::child(lines, below, last, |lines, own, below| write(plan, *input, changelog, lines, own, below));
        }
    }
    let mut lines = String::new();
    write(plan, root, changelog, &mut lines, "", "");
    lines
}

fn execution(plan: &Plan) -> String {
    struct Writer<'a> {
        plan: &'a Plan,
        readers: Vec<usize>,
        reused: Vec<NodeId>,
    }
    impl Writer<'_> {
        fn write(&mut self, id: NodeId, lines: &mut String, own: &str, below: &str) {
            if let Some(found) = self.reused.iter().position(|other| *other == id) {
                return tree::line(lines, own, &format!("Reused(reference_id=[{}])", found + 1));
            }
            let mut text = describe_as_executed(self.plan, id);
            if self.readers[id] > 1 {
                self.reused.push(id);
                text.push_str(&format!("(reuse_id=[{}])", self.reused.len()));
            }
            tree::line(lines, own, &text);
            let inputs = self.plan.nodes[id].inputs.clone();
            for (index, input) in inputs.iter().enumerate() {
                let last = index + 1 == inputs.len();
                tree::child(lines, below, last, |lines, own, below| self.write(*input, lines, own, below));
            }
        }
    }
    let mut writer = Writer { plan, readers: plan.readers(), reused: Vec::new() };
    let mut trees = Vec::new();
    for root in &plan.roots {
        let mut lines = String::new();
        writer.write(*root, &mut lines, "", "");
        trees.push(lines);
    }
    trees.join("\n")
}

/// `I,UB,UA,D`.
fn mode(changes: Changes) -> String {
    let kinds = [(true, "I"), (changes.before, "UB"), (changes.update, "UA"), (changes.delete, "D")];
    kinds.into_iter().filter(|(emitted, _)| *emitted).map(|(_, kind)| kind).collect::<Vec<_>>().join(",")
}

/// An operator with its attributes, for messages.
pub(super) fn describe(plan: &Plan, id: NodeId) -> String {
    plan.nodes[id].op.describe(&plan.place(id), Style::Physical)
}

/// An operator with its attributes, as the execution plan shows it.
pub(super) fn describe_as_executed(plan: &Plan, id: NodeId) -> String {
    plan.nodes[id].op.describe(&plan.place(id), Style::Execution)
}

/// The number of each operator, inputs first; unions have none.
pub(super) fn numbers(plan: &Plan) -> Vec<usize> {
    let mut next = 0;
    let number = |node: &super::physical::PlanNode| {
        next += usize::from(!matches!(node.op.edge(), Some(Edge::Union)));
        next
    };
    plan.nodes.iter().map(number).collect()
}

/// The name of an operator, such as `Calc[3]`.
pub(super) fn name(plan: &Plan, id: NodeId, numbers: &[usize]) -> String {
    plan.nodes[id].op.name(numbers[id])
}
