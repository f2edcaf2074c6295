//! From the specification of an operator in a job graph to the operator.
use arrow::datatypes::SchemaRef;
use wiesel_expressions::expression::Expression;
use wiesel_expressions::types::{Malformed, schema_from_proto, to_arrow_schema};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use crate::calc::Calc;
use crate::group_aggregate::GroupAggregate;
use crate::operator::{BuiltOperator, Error, Operator, OperatorContext, Result};
use crate::watermark_assigner::WatermarkAssigner;
use crate::window_aggregate::WindowAggregate;
use crate::window_aggregate::local::LocalWindowAggregate;
use crate::window_table_function::WindowTableFunction;

/// Builds an operator that is neither source nor sink; [`crate::operator::Operator::open`] is still to be called.
///
/// # Errors
/// [`Error::Plan`] names the operator and what is wrong with its specification.
pub fn build_operator(spec: &proto::OperatorSpec, context: &OperatorContext) -> Result<BuiltOperator> {
    let output = schema(spec.output.as_ref()).map_err(|e| named(spec, e))?;
    let operator = build(spec, &output, context).map_err(|e| named(spec, e))?;
    Ok(BuiltOperator::new(spec, operator, output))
}

fn build(spec: &proto::OperatorSpec, output: &SchemaRef, context: &OperatorContext) -> Result<Box<dyn Operator>> {
    Ok(match &spec.kind {
        Some(Kind::Calc(calc)) => Box::new(build_calc(calc, output, context)?),
        Some(Kind::WatermarkAssigner(assigner)) => {
            let watermark = assigner.watermark.as_ref().ok_or_else(|| Error::Plan("there is no watermark".into()))?;
            let watermark = Expression::try_from(watermark).map_err(malformed)?;
            let idle_timeout = i64::try_from(assigner.idle_timeout).unwrap_or(i64::MAX);
            let input = schema(assigner.input.as_ref())?;
            Box::new(WatermarkAssigner::new(assigner.rowtime as usize, &watermark, idle_timeout, &input, context)?)
        }
        Some(Kind::GroupAggregate(aggregate)) => {
            expect_columns(output, aggregate.keys.len() + aggregate.aggregates.len())?;
            Box::new(GroupAggregate::new(aggregate, output.clone(), spec.output_changelog, context)?)
        }
        Some(Kind::WindowAggregate(aggregate)) if aggregate.phase() == proto::WindowPhase::Local => {
            let local = LocalWindowAggregate::new(aggregate, context)?;
            expect_columns(output, local.output().fields().len())?;
            Box::new(local)
        }
        Some(Kind::WindowAggregate(aggregate)) => Box::new(WindowAggregate::new(aggregate, output.clone(), context)?),
        Some(Kind::WindowTableFunction(function)) => {
            Box::new(WindowTableFunction::new(function, output.clone(), context)?)
        }
        Some(Kind::Source(_) | Kind::Sink(_) | Kind::CollectSink(_)) => {
            return Err(Error::Plan("a source or a sink is built by its connector".into()));
        }
        None => return Err(Error::Plan("the specification does not say what the operator does".into())),
    })
}

fn build_calc(calc: &proto::CalcSpec, output: &SchemaRef, context: &OperatorContext) -> Result<Calc> {
    let condition = calc.condition.as_ref().map(Expression::try_from).transpose().map_err(malformed)?;
    let projection = calc.projection.iter().map(Expression::try_from).collect::<Result<Vec<_>, _>>();
    let projection = projection.map_err(malformed)?;
    expect_columns(output, projection.len())?;
    Calc::new(condition.as_ref(), &projection, &schema(calc.input.as_ref())?, output.clone(), context)
}

fn schema(message: Option<&proto::Schema>) -> Result<SchemaRef> {
    Ok(to_arrow_schema(&schema_from_proto(message).map_err(malformed)?))
}

fn malformed(error: Malformed) -> Error {
    Error::Plan(error.to_string())
}

fn expect_columns(output: &SchemaRef, columns: usize) -> Result<()> {
    if output.fields().len() == columns {
        return Ok(());
    }
    Err(Error::Plan(format!("its output has {} columns, not {columns}", output.fields().len())))
}

fn named(spec: &proto::OperatorSpec, error: Error) -> Error {
    match error {
        Error::Plan(problem) => Error::Plan(format!("operator `{}`: {problem}", spec.name)),
        other => other,
    }
}
