//! Job graphs: any message is a job whose operators can be made or refused, or it is no job.
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::runtime::Runtime;
use wiesel_common::id::{AttemptId, JobId};
use wiesel_common::time::SystemClock;
use wiesel_connectors::collect::CollectTransport;
use wiesel_connectors::factory;
use wiesel_expressions::expression::{CLUSTER_TIME_ZONE, LOCAL_TIME_ZONE};
use wiesel_fuzz::Target;
use wiesel_jobmanager::dispatcher::validate;
use wiesel_jobmanager::jobmaster::execution_graph::ExecutionGraph;
use wiesel_operators::operator::{OperatorContext, Result};
use wiesel_operators::source::EnumeratorContext;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;
use wiesel_taskmanager::factory::{BuiltIn, OperatorFactory};

use super::planned::graphs;
use super::sql::scripts;

/// A graph of more tasks is left to the bound that the JobManager has for them.
const TASKS: u64 = 10_000;

/// Nobody takes rows.
struct Nowhere;

impl CollectTransport for Nowhere {
    fn send(&mut self, _offset: u64, _batch: Bytes, _rows: u64) -> Result<()> {
        Ok(())
    }

    fn resume(&mut self, _offset: u64) -> Result<()> {
        Ok(())
    }

    fn resume_finished(&mut self) -> Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self, _checkpoint_id: u64, _offset: u64) -> Result<()> {
        Ok(())
    }
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What the operators of the only subtask know.
pub(super) fn context(runtime: &Runtime) -> OperatorContext {
    let zones = [LOCAL_TIME_ZONE, CLUSTER_TIME_ZONE];
    OperatorContext {
        job_id: JobId([7; 16]),
        run: 1,
        task_name: "task (1/1)#0".into(),
        attempt_number: 0,
        subtask: 0,
        parallelism: 1,
        max_parallelism: 128,
        configuration: Arc::new(zones.into_iter().map(|key| (key.to_owned(), "UTC".to_owned())).collect()),
        clock: Arc::new(SystemClock),
        notifier: Arc::default(),
        runtime: runtime.handle().clone(),
    }
}

/// Makes what the JobMaster and a TaskManager make of an operator. None of it reads or writes a file before it is opened.
fn build(spec: &proto::OperatorSpec, context: &OperatorContext) -> bool {
    if let Some(Kind::Source(source)) = &spec.kind {
        let configuration = Arc::clone(&context.configuration);
        let enumerator = factory::enumerator(source, EnumeratorContext { parallelism: 1, configuration });
        return enumerator.is_ok() & BuiltIn.source(spec).is_ok();
    }
    BuiltIn.operator(spec, context, Box::new(Nowhere)).is_ok()
}

fn run(input: &[u8], context: &OperatorContext) -> bool {
    let Ok(mut graph) = proto::decode_at_most::<proto::JobGraph>(Bytes::copy_from_slice(input), 512 << 20) else {
        return false;
    };
    let Ok(validated) = validate(&mut graph) else { return false };
    let graph = Arc::new(graph);
    let tasks: u64 = graph.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
    if tasks <= TASKS {
        ExecutionGraph::new(Arc::clone(&graph), validated.job_id, 0, &mut AttemptId::random);
    }
    let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    // All of them, whichever is not taken.
    let taken: Vec<bool> = operators.map(|operator| build(operator, context)).collect();
    !taken.contains(&false)
}

#[test]
fn job_graphs() {
    // All of the golden tests' plans are a few seconds' work for a compiler that optimises nothing: some will do.
    let scripts = scripts().into_iter().filter(|script| script.len() < 4000).step_by(3);
    let scripts: Vec<String> = scripts.map(|script| String::from_utf8_lossy(&script).into_owned()).collect();
    let planned =
        wiesel_sql::on_deep_stack(|| scripts.iter().flat_map(|script| graphs(script)).flatten().collect::<Vec<_>>());
    let seeds: Vec<Vec<u8>> = planned.unwrap().iter().map(Message::encode_to_vec).collect();
    assert!(seeds.len() > 10, "only {} plans", seeds.len());
    let runtime = runtime();
    // As for SQL: a task's own stack follows from how deep its expressions are.
    let target = Target { inputs: 1000, stack: 1 << 30, ..Target::new("job_graphs") };
    target.run(seeds, move |input| run(input, &context(&runtime)));
}
