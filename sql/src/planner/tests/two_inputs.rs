//! An operator with two inputs: the passes of the planner tell them apart.
use wiesel_expressions::types::schema_to_proto;
use wiesel_proto::operator_spec::Kind;

use super::*;
use crate::planner::explain::expression::Style;
use crate::planner::identity::{Digest, Id, Identity, Rows};
use crate::planner::operators::{
    Collect, Distribution, Edge, Exchange, GroupAggregate, PhysicalOperator, Union, Values,
};
use crate::planner::physical::{Changes, NodeId, Place};

/// Gives the columns of its first input, and needs the -U of its second one.
#[derive(Debug)]
struct Both;

impl PhysicalOperator for Both {
    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn sharing_key(&self) -> Option<String> {
        None
    }

    fn produces(&self, inputs: &[Changes]) -> Changes {
        assert_eq!(inputs.len(), 2);
        Changes::of_all(inputs)
    }

    fn takes_inserts_only(&self) -> Option<String> {
        None
    }

    fn passes_changes_on(&self) -> bool {
        false
    }

    fn wants_before(&self, input: usize, _: bool) -> bool {
        input == 1
    }

    fn gives_before(&self, _: Changes, _: bool, _: bool) -> bool {
        false
    }

    fn edge(&self) -> Option<Edge<'_>> {
        None
    }

    fn spec(&self, place: &Place<'_>, _: &PlannerOptions) -> Result<Option<Kind>> {
        let input = Some(schema_to_proto(&place.input(1).fields));
        Ok(Some(Kind::Calc(proto::CalcSpec { input, ..proto::CalcSpec::default() })))
    }

    fn parallelism(&self, inherited: u32, _: &PlannerOptions) -> u32 {
        inherited
    }

    fn binds_readers_to(&self, own: u32, _: &PlannerOptions) -> u32 {
        own
    }

    /// Both by their only column.
    fn wants(&self, _: usize) -> Option<Distribution> {
        Some(Distribution::Hash(vec![0]))
    }

    fn identity(&self, inputs: &[&Identity], _: &[RowField]) -> Identity {
        let rows = Digest::new("both").ids(inputs.iter().map(|input| input.rows.id())).finish();
        Identity { rows: Rows::all(rows), columns: inputs[0].columns.clone() }
    }

    fn uid(&self, _: &[&Identity], given: &Identity) -> Id {
        given.digest("Both").finish()
    }

    fn describe(&self, _: &Place<'_>, _: Style) -> String {
        "Both()".to_owned()
    }

    fn name(&self, number: usize) -> String {
        format!("Both[{number}]")
    }

    fn is_sink(&self) -> bool {
        false
    }
}

fn fields() -> Vec<RowField> {
    vec![RowField::new("v", TypeKind::Int.not_null())]
}

/// The distinct values of one constant row.
fn distinct(plan: &mut Plan, number: i32) -> NodeId {
    let number = Expression::literal(ScalarValue::Int32(Some(number)), TypeKind::Int.not_null());
    let values = plan.add(Values { rows: vec![vec![number]] }, vec![], fields());
    plan.add(GroupAggregate { keys: vec![0], aggregates: vec![] }, vec![values], fields())
}

/// One group at the first input, the union of two at the second one.
fn planned(left: i32, right: [i32; 2]) -> (Plan, [NodeId; 3]) {
    let mut plan = Plan::default();
    let left = distinct(&mut plan, left);
    let right = right.map(|number| distinct(&mut plan, number));
    let union = plan.add(Union, right.to_vec(), fields());
    let both = plan.add(Both, vec![left, union], fields());
    let collect = plan.add(Collect, vec![both], fields());
    plan.roots.push(collect);
    changelog::settle(&mut plan).unwrap();
    (plan, [left, right[0], right[1]])
}

fn graph_of_both(left: i32, right: [i32; 2]) -> proto::JobGraph {
    let graph = job_graph(&planned(left, right).0, "test".into(), BTreeMap::new(), &context()).unwrap().graph;
    check_graph(&graph);
    graph
}

fn position(graph: &proto::JobGraph) -> usize {
    graph.vertices.iter().position(|vertex| vertex.name.starts_with("Both[")).unwrap()
}

/// Failed before: all edges came into input 0.
#[test]
fn edges_say_into_which_input_they_come() {
    let graph = graph_of_both(1, [2, 3]);
    let both = position(&graph);
    let into: Vec<u32> =
        graph.edges.iter().filter(|edge| edge.target as usize == both).map(|edge| edge.target_input).collect();
    assert_eq!(into, [0, 1, 1]);
    assert_eq!(graph.vertices[both].operators.len(), 1, "a head of its own");
}

#[test]
fn each_input_says_itself_whether_it_needs_what_was_before() {
    let (plan, groups) = planned(1, [2, 3]);
    assert_eq!(groups.map(|group| plan.nodes[group].changes.before), [false, true, true]);
}

#[test]
fn both_inputs_make_the_uid() {
    let uid = |left, right| {
        let graph = graph_of_both(left, right);
        graph.vertices[position(&graph)].operators[0].uid.clone()
    };
    assert_eq!(uid(1, [2, 3]), uid(1, [3, 2]), "a union is the same in any order");
    assert_ne!(uid(1, [2, 3]), uid(1, [2, 4]));
    assert_ne!(uid(1, [2, 3]), uid(4, [2, 3]));
}

#[test]
fn an_exchange_stands_where_rows_do_not_come_as_they_are_wanted() {
    let number = Expression::literal(ScalarValue::Int32(Some(1)), TypeKind::Int.not_null());
    let distributed = |given: Option<Distribution>, keys: Vec<usize>| {
        let mut plan = Plan::default();
        let mut input = plan.add(Values { rows: vec![vec![number.clone()]] }, vec![], fields());
        if let Some(distribution) = given {
            input = plan.add(Exchange { distribution }, vec![input], fields());
        }
        plan.add(GroupAggregate { keys, aggregates: vec![] }, vec![input], fields());
        let exchanges = plan.nodes.iter().filter_map(|node| match node.op.edge() {
            Some(Edge::Exchange(distribution)) => Some(distribution.clone()),
            _ => None,
        });
        exchanges.collect::<Vec<_>>()
    };
    let hash = || Distribution::Hash(vec![0]);
    assert_eq!(distributed(None, vec![0]), [hash()]);
    assert_eq!(distributed(Some(hash()), vec![0]), [hash()], "once");
    assert_eq!(distributed(Some(Distribution::Single), vec![0]), [Distribution::Single, hash()]);
    assert_eq!(distributed(None, vec![]), [Distribution::Single]);
}
