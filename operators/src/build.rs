//! From the specification of an operator in a job graph to the operator.
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use crate::operator::{BuiltOperator, Error, OperatorContext, Result};

/// Builds an operator that is neither source nor sink; [`crate::operator::Operator::open`] is still to be called.
///
/// # Errors
/// [`Error::Plan`] names the operator and what is wrong with its specification.
pub fn build_operator(spec: &proto::OperatorSpec, context: &OperatorContext) -> Result<BuiltOperator> {
    let _ = context;
    match &spec.kind {
        Some(Kind::Source(_) | Kind::Sink(_) | Kind::CollectSink(_)) => Err(wrong(spec, "is built by its connector")),
        None => Err(wrong(spec, "does not say what it does")),
        _ => Err(wrong(spec, "is not supported")),
    }
}

fn wrong(spec: &proto::OperatorSpec, what: &str) -> Error {
    Error::Plan(format!("operator `{}` {what}", spec.name))
}
