//! The stream plan: a graph of physical operators, inputs before their readers.
use std::collections::BTreeMap;

use wiesel_expressions::types::RowField;

use super::operators::{Distribution, Edge, Exchange, PhysicalOperator};

/// A position in [`Plan::nodes`].
pub(crate) type NodeId = usize;

/// The stream plan of a job.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Inputs stand before their readers.
    pub nodes: Vec<PlanNode>,
    /// The sinks, or the query's last operators for EXPLAIN.
    pub roots: Vec<NodeId>,
    /// All tables it reads end.
    pub bounded: bool,
    /// What later ones may be, by what they are.
    shared: BTreeMap<String, NodeId>,
}

/// An operator of the plan.
#[derive(Debug)]
pub(crate) struct PlanNode {
    /// What it does.
    pub op: Box<dyn PhysicalOperator>,
    /// Where its rows come from.
    pub inputs: Vec<NodeId>,
    /// Its columns.
    pub fields: Vec<RowField>,
    /// Which changes it emits.
    pub changes: Changes,
}

/// Which kinds of change an operator emits, beside inserts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// +U.
    pub update: bool,
    /// -U before each +U.
    pub before: bool,
    /// -D.
    pub delete: bool,
}

impl Changes {
    /// Only inserts.
    pub const INSERT_ONLY: Self = Self { update: false, before: false, delete: false };

    /// Those of all inputs together. Whether there is a -U is settled later.
    pub fn of_all(inputs: &[Self]) -> Self {
        inputs.iter().fold(Self::INSERT_ONLY, |all, input| Self {
            update: all.update || input.update,
            before: false,
            delete: all.delete || input.delete,
        })
    }

    /// Rows carry a kind.
    pub fn is_changelog(self) -> bool {
        self != Self::INSERT_ONLY
    }
}

/// What an operator may know of where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    plan: &'a Plan,
    node: &'a PlanNode,
}

impl<'a> Place<'a> {
    /// The operator's columns.
    pub fn fields(&self) -> &'a [RowField] {
        &self.node.fields
    }

    /// Which changes the operator emits.
    pub fn changes(&self) -> Changes {
        self.node.changes
    }

    /// What stands at one of its inputs.
    pub fn input(&self, input: usize) -> &'a PlanNode {
        &self.plan.nodes[self.node.inputs[input]]
    }
}

impl Plan {
    /// Adds an operator, or finds the equal one that is there already. Its inputs come to it as it wants them.
    pub fn add(&mut self, op: impl PhysicalOperator + 'static, inputs: Vec<NodeId>, fields: Vec<RowField>) -> NodeId {
        let inputs: Vec<NodeId> =
            inputs.into_iter().enumerate().map(|(input, id)| self.distributed(id, op.wants(input))).collect();
        let key = op.sharing_key().map(|own| format!("{own}|{inputs:?}|{fields:?}"));
        if let Some(found) = key.as_ref().and_then(|key| self.shared.get(key)) {
            return *found;
        }
        let id = self.add_alone(op, inputs, fields);
        if let Some(key) = key {
            self.shared.insert(key, id);
        }
        id
    }

    /// Adds an operator that stands for itself.
    pub fn add_alone(
        &mut self,
        op: impl PhysicalOperator + 'static,
        inputs: Vec<NodeId>,
        fields: Vec<RowField>,
    ) -> NodeId {
        self.nodes.push(PlanNode { op: Box::new(op), inputs, fields, changes: Changes::default() });
        self.nodes.len() - 1
    }

    /// An operator whose rows are distributed like this: itself, or an exchange behind it.
    fn distributed(&mut self, id: NodeId, wanted: Option<Distribution>) -> NodeId {
        let Some(distribution) = wanted else { return id };
        let node = &self.nodes[id];
        if matches!(node.op.edge(), Some(Edge::Exchange(given)) if *given == distribution) {
            return id;
        }
        let fields = node.fields.clone();
        self.add(Exchange { distribution }, vec![id], fields)
    }

    /// Forgets what could be shared: what is added from now on stands for itself.
    pub fn stop_sharing(&mut self) {
        self.shared.clear();
    }

    /// Where an operator stands.
    pub fn place(&self, id: NodeId) -> Place<'_> {
        Place { plan: self, node: &self.nodes[id] }
    }

    /// How many operators read each.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| readers[*input] += 1);
        readers
    }
}
