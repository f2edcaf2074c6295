//! The factory of the operators that a task runs.
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_connectors::collect::CollectTransport;
use wiesel_connectors::factory;
use wiesel_expressions::types::{schema_from_proto, to_arrow_schema};
use wiesel_operators::operator::{BuiltOperator, Error, Operator, OperatorContext, Result};
use wiesel_operators::source::SourceReader;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

/// Makes operators from their specifications.
pub trait OperatorFactory: Send + Sync {
    /// The reader at the head of a source task.
    ///
    /// # Errors
    /// What is wrong with the specification.
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>>;

    /// Any other operator. `results` is where a collect sink sends its rows.
    ///
    /// # Errors
    /// What is wrong with the specification.
    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        results: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator>;
}

/// Sources and sinks from `connectors` with the formats of `bulk-formats`, the rest from `operators`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

impl OperatorFactory for BuiltIn {
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>> {
        match &spec.kind {
            Some(Kind::Source(source)) => factory::build_source(source, &BuiltInFormats),
            _ => Err(Error::Plan(format!("`{}` has no input and is no source", spec.name))),
        }
    }

    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        results: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator> {
        let operator: Box<dyn Operator> = match &spec.kind {
            Some(Kind::Sink(sink)) => factory::build_sink(sink, &spec.uid, &BuiltInFormats)?,
            Some(Kind::CollectSink(sink)) => Box::new(factory::build_collect_sink(sink, results)?),
            _ => return wiesel_operators::build::build_operator(spec, context),
        };
        let fields = match &spec.output {
            Some(output) => schema_from_proto(Some(output))?,
            None => Vec::new(),
        };
        Ok(BuiltOperator::new(spec, operator, to_arrow_schema(&fields)))
    }
}
