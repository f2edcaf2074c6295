//! Physical operators: one file each, with all that the planner asks of it.
//!
//! Invariant: what an operator does is asked of it, through [`PhysicalOperator`], and nowhere in this crate told by which one it
//! is. So a new one is here a file of its own and the place in `convert` that adds it. Outside, its message has a kind of its own:
//! the crates that read messages name all of them, and so does the test of what an operator expects.
use std::fmt::Debug;

use wiesel_expressions::types::RowField;
use wiesel_proto::operator_spec::Kind;

use super::explain::expression::Style;
use super::identity::{Id, Identity};
use super::options::PlannerOptions;
use super::physical::{Changes, Place};
use crate::error::Result;
use crate::rex::Expression;
use crate::rex::lowering::messages;

mod calc;
mod collect;
mod exchange;
mod group_aggregate;
mod sink;
mod source;
mod union;
mod values;
mod watermark_assigner;
mod window_aggregate;
mod window_table_function;

pub(crate) use calc::Calc;
pub(crate) use collect::Collect;
pub(crate) use exchange::{Distribution, Exchange};
pub(crate) use group_aggregate::GroupAggregate;
pub(crate) use sink::Sink;
pub(crate) use source::Source;
pub(crate) use union::Union;
pub(crate) use values::Values;
pub(crate) use watermark_assigner::WatermarkAssigner;
pub(crate) use window_aggregate::WindowAggregate;
pub(crate) use window_table_function::WindowTableFunction;

/// What is an edge where the job runs, and no operator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge<'a> {
    /// Rows go to where this sends them.
    Exchange(&'a Distribution),
    /// Rows of several inputs come into one.
    Union,
}

/// An operator of the stream plan.
///
/// Where it is asked about what it gets, it is told of each of its inputs, in their order: there are as many as it was added with.
/// What has a default below is right for all, or refuses.
pub(crate) trait PhysicalOperator: Debug {
    // The plan.

    /// All its expressions, those that become values of a table among them: what is not checked here fails, or overflows a
    /// stack, where it runs.
    fn expressions(&self) -> Vec<&Expression>;

    /// What it does, as text that equal operators have and others do not: over equal inputs those are one. None if it stands for
    /// itself, because it writes something or computes something at random.
    fn sharing_key(&self) -> Option<String>;

    // Changes.

    /// The changes that it produces of what its inputs produce. Whether it gives -U is settled later.
    fn produces(&self, inputs: &[Changes]) -> Changes;

    /// As what messages know an operator that takes inserts only; none takes all changes.
    fn takes_inserts_only(&self) -> Option<String>;

    /// Whether it only passes on the changes of its inputs.
    fn passes_changes_on(&self) -> bool;

    /// Whether it needs the -U of an input's updates; `wanted`: one of its own readers does.
    fn wants_before(&self, input: usize, wanted: bool) -> bool;

    /// Whether it gives a -U before each +U; `given`: an input does, `wanted`: a reader needs it.
    fn gives_before(&self, produced: Changes, given: bool, wanted: bool) -> bool;

    // The job graph.

    /// What it is there, if it does not run.
    fn edge(&self) -> Option<Edge<'_>>;

    /// Its message; none of an edge.
    ///
    /// # Errors
    /// An expression that no task evaluates.
    fn spec(&self, place: &Place<'_>, options: &PlannerOptions) -> Result<Option<Kind>>;

    /// How many subtasks it has; `inherited`: as many as its inputs bind it to.
    fn parallelism(&self, inherited: u32, options: &PlannerOptions) -> u32;

    /// The parallelism to which it binds its readers; `own`: that which it has itself.
    fn binds_readers_to(&self, own: u32, options: &PlannerOptions) -> u32;

    /// How the rows of an input must come to its subtasks; none: as they are. The plan puts an exchange where they do not.
    fn wants(&self, input: usize) -> Option<Distribution>;

    /// The columns of its input by which the changes of a row come to the same of its subtasks, in order, where there are not as
    /// many (`to`) as of the operator before it (`from`). None: all rows go to one subtask.
    ///
    /// # Errors
    /// The number of subtasks is one that a user asks for, and there are no such columns.
    fn keys_of_changes(&self, _from: u32, _to: u32) -> Result<Option<Vec<usize>>> {
        Ok(None)
    }

    // Identity.

    /// Which rows it gives, and what each of its columns (`fields`) holds.
    fn identity(&self, inputs: &[&Identity], fields: &[RowField]) -> Identity;

    /// The uid that it has if no other operator has it; `given` is its own identity.
    fn uid(&self, inputs: &[&Identity], given: &Identity) -> Id;

    /// What tells it apart from operators with the same uid, before it is asked where its results go: all of its columns.
    fn distinction(&self, given: &Identity) -> Vec<Id> {
        given.columns.clone()
    }

    // EXPLAIN.

    /// Its name and its attributes.
    fn describe(&self, place: &Place<'_>, style: Style) -> String;

    /// Its name in the job graph, such as `Calc[3]`.
    fn name(&self, number: usize) -> String;

    /// Whether rows end here: then it gives no changes, not even inserts.
    fn is_sink(&self) -> bool;
}

/// Expressions as text that equal ones have and others do not: that of their messages. None: no task evaluates one
/// of them. The text of a library's constants is no such: it has a null and an empty text, and `['a', 'b']` and `['a, b']`, alike.
fn written<'a>(expressions: impl IntoIterator<Item = &'a Expression>) -> Option<String> {
    Some(format!("{:?}", messages(expressions).ok()?))
}
