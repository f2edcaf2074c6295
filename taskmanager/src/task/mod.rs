//! A task: one attempt to run one subtask, on a thread of its own.
//!
//! The executor creates it, sends it letters and cancels it; it tells the JobMaster its states itself, in order, and the
//! executor when its thread is over and everything it held is free.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tracing::Instrument;
use wiesel_common::ending;
use wiesel_common::id::{AllocationId, AttemptId};
use wiesel_common::logging::task_span;
use wiesel_common::spawn;
use wiesel_common::time::SystemClock;
use wiesel_network::Waiter;
use wiesel_operators::chain::Chain;
use wiesel_operators::operator::{Error, OperatorContext, Result};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use self::checkpoint::Checkpoints;
use self::checkpoint::restore::{JobState, Restore};
use self::checkpoint::upload::Uploads;
use self::collect::RpcTransport;
use self::counters::TaskCounters;
use self::deployment::{Deployment, Prepared};
use self::driver::{Driver, Head, Times};
use self::input::Inputs;
use self::log::{JobLog, TaskLog};
use self::mailbox::{Mail, Mailbox, Post, Undelivered};
use self::output::Outputs;
use self::reporter::{Report, Reporter, Sender};
use self::standing::Standing;
use crate::factory::OperatorFactory;
use crate::heap::Heap;
use crate::runner::RunningTask;

pub(crate) mod checkpoint;
mod collect;
pub mod counters;
pub(crate) mod deployment;
mod driver;
pub(crate) mod events;
mod failure;
mod input;
pub(crate) mod log;
pub(crate) mod mailbox;
mod output;
pub(crate) mod reporter;
mod stack;
pub(crate) mod standing;
mod topology;

/// What the executor keeps of a task.
pub(crate) struct TaskHandle {
    attempt: AttemptId,
    allocation: AllocationId,
    name: String,
    counters: Arc<TaskCounters>,
    waiter: Waiter,
    post: Post,
    standing: Arc<parking_lot::Mutex<Standing>>,
    /// Why it is cancelled, if that makes it a failure.
    fault: Arc<parking_lot::Mutex<Option<proto::Failure>>>,
}

impl RunningTask for TaskHandle {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    fn allocation(&self) -> AllocationId {
        self.allocation
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Ends the thread's present and later waits.
    fn cancel(&self) {
        self.waiter.cancel();
    }

    fn fail(&self, failure: proto::Failure) {
        self.fault.lock().get_or_insert(failure);
        self.waiter.cancel();
    }

    fn deliver(&self, mail: Mail) -> Result<(), Undelivered> {
        self.post.deliver(mail)
    }

    fn reads_mail(&self) -> bool {
        self.post.is_open()
    }

    fn is_ending(&self) -> bool {
        self.waiter.is_cancelled()
    }

    fn waiting_for(&self) -> Option<&'static str> {
        self.waiter.notifier().waiting_for()
    }

    fn metrics(&self) -> proto::TaskMetrics {
        self.counters.snapshot()
    }

    fn standing(&self) -> Standing {
        *self.standing.lock()
    }
}

impl Drop for TaskHandle {
    /// Nothing else could end the task any more.
    fn drop(&mut self) {
        self.waiter.cancel();
    }
}

/// What every task of a TaskManager is given.
pub(crate) struct Surroundings {
    pub(crate) runtime: Handle,
    pub(crate) sender: Sender,
    pub(crate) factory: Arc<dyn OperatorFactory>,
    pub(crate) state: JobState,
    /// The id of the TaskManager.
    pub(crate) task_manager: String,
    /// What is logged of the tasks of the job.
    pub(crate) log: Arc<JobLog>,
    /// What the tasks hold; none where that is not known.
    pub(crate) heap: Option<Arc<Heap>>,
}

/// What a thread starts with.
struct Start {
    name: String,
    log: TaskLog,
    operators: Vec<proto::OperatorSpec>,
    factory: Arc<dyn OperatorFactory>,
    inputs: Option<Inputs>,
    outputs: Outputs,
    context: OperatorContext,
    waiter: Waiter,
    mailbox: Mailbox,
    restore: Restore,
    awaits_checkpoint: bool,
    counters: Arc<TaskCounters>,
    reporter: Reporter,
    sender: Sender,
    fault: Arc<parking_lot::Mutex<Option<proto::Failure>>>,
}

/// Starts a task's thread. `ended` is called on it when everything the task held is free.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(
    deployment: &Deployment,
    prepared: Prepared,
    surroundings: Surroundings,
    spawn_reporter: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
    ended: impl FnOnce() + Send + 'static,
) -> std::io::Result<TaskHandle> {
    let Prepared { vertex, subtask, attempt, attempt_number, allocation, waiter, outputs, inputs, restore } = prepared;
    let vertex = &deployment.graph.vertices[vertex];
    let task = format!("{} ({}/{})", vertex.name, subtask + 1, vertex.parallelism);
    let name = format!("{task}#{attempt_number}");
    let counters = Arc::new(TaskCounters::default());
    let (reporter, reporting) = Reporter::new(surroundings.sender.clone(), counters.clone(), waiter.notifier().clone());
    let standing = reporter.standing();
    let (post, mailbox) = mailbox::mailbox(waiter.notifier().clone());
    let fault: Arc<parking_lot::Mutex<Option<proto::Failure>>> = Arc::default();
    let heap = surroundings.heap.map(|heap| heap.join(deployment.job, &name, &waiter, &fault));
    let context = OperatorContext {
        job_id: deployment.job,
        run: deployment.run(),
        task_name: name.clone(),
        attempt_number,
        subtask,
        parallelism: vertex.parallelism,
        max_parallelism: deployment::max_parallelism(vertex),
        configuration: deployment.configuration.clone(),
        clock: Arc::new(SystemClock),
        notifier: waiter.notifier().clone(),
        runtime: surroundings.runtime,
    };
    let log =
        TaskLog { job: surroundings.log, task, task_manager: surroundings.task_manager, clock: context.clock.clone() };
    let start = Start {
        name: name.clone(),
        log,
        operators: vertex.operators.clone(),
        factory: surroundings.factory,
        inputs,
        outputs,
        context,
        waiter: waiter.clone(),
        mailbox,
        restore: Restore { state: surroundings.state, checkpoint: restore, attempt: attempt.to_string() },
        awaits_checkpoint: deployment.checkpoints_after_finish,
        counters: counters.clone(),
        reporter,
        sender: surroundings.sender,
        fault: fault.clone(),
    };
    // Whatever is logged for the task, on its thread or by what works for it, says whose it is.
    let span = task_span(deployment.job, &name);
    let of_thread = span.clone();
    let cancellation = waiter.cancellation();
    let stack = stack::size(&start.operators);
    spawn::thread_with_stack(&thread_name(&name), stack, move || {
        let _entered = of_thread.entered();
        let _ends = ending::register(cancellation);
        if let Some(heap) = &heap {
            heap.enter();
        }
        // Whatever becomes of the task, what it held is free.
        let _ = catch_unwind(AssertUnwindSafe(|| start.run()));
        drop(heap);
        ended();
    })?;
    spawn_reporter(Box::pin(reporting.instrument(span)));
    Ok(TaskHandle { attempt, allocation, name, counters, waiter, post, standing, fault })
}

/// What the system shows of a thread: 15 bytes.
fn thread_name(name: &str) -> String {
    let name: String = name.chars().filter(|c| *c != '\0').collect();
    name[..name.floor_char_boundary(15)].to_owned()
}

impl Start {
    fn run(self) {
        let Self {
            name,
            log,
            operators,
            factory,
            inputs,
            outputs,
            context,
            waiter,
            mailbox,
            restore,
            awaits_checkpoint,
            counters,
            reporter,
            sender,
            fault,
        } = self;
        log.starts();
        reporter.report(Report::State(ExecutionState::Initializing, None));
        let built = caught(|| build_chain(&operators, &context, inputs, &waiter, &sender, &*factory));
        let (head, chain) = match built {
            Ok(built) => built,
            Err(outcome) => {
                return end(&name, &log, Err(outcome), Some(outputs), &waiter, &reporter, &fault);
            }
        };
        let mut driver = Driver {
            head,
            chain,
            outputs,
            mailbox,
            waiter: waiter.clone(),
            clock: context.clock.clone(),
            counters,
            reporter: reporter.clone(),
            checkpoints: Checkpoints::new(
                restore.state.clone(),
                Uploads::new(context.runtime.clone(), reporter.clone(), waiter.notifier().clone()),
            ),
            already_finished: false,
            end_told: false,
            chain_finished: false,
            ends: false,
            awaits_checkpoint,
            awaits_split: false,
            times: Times::default(),
        };
        let outcome = work(&mut driver, &context, &restore);
        // Everything but the outputs is freed here: the gates, the operators and their state.
        let Driver { outputs, head, chain, mailbox, checkpoints, .. } = driver;
        let freed = caught(move || {
            drop((mailbox, checkpoints, head, chain));
            Ok(())
        });
        end(&name, &log, outcome.and(freed), Some(outputs), &waiter, &reporter, &fault);
    }
}

/// How a task ends other than well.
enum Outcome {
    Error(Error),
    Panic(proto::Failure),
}

/// A step of a task. A panic ends the task and nothing else.
fn caught<T>(step: impl FnOnce() -> Result<T>) -> Result<T, Outcome> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(done) => done.map_err(Outcome::Error),
        Err(panic) => Err(Outcome::Panic(failure::from_panic(&*panic))),
    }
}

/// Opens, runs and closes. The first failure counts.
fn work(driver: &mut Driver, context: &OperatorContext, restore: &Restore) -> Result<(), Outcome> {
    let ran = caught(|| {
        driver.open(context, restore)?;
        driver.reporter.report(Report::State(ExecutionState::Running, None));
        driver.run()
    });
    match (ran, caught(|| driver.close())) {
        (Ok(()), closed) => closed,
        (failed, _) => failed,
    }
}

/// Tells the JobMaster how the task ended, and frees its outputs: before a good end or a cancellation is told, but only
/// after a failure was taken note of, so that no consumer reports the consequence before the cause.
fn end(
    name: &str,
    log: &TaskLog,
    outcome: Result<(), Outcome>,
    mut outputs: Option<Outputs>,
    waiter: &Waiter,
    reporter: &Reporter,
    fault: &parking_lot::Mutex<Option<proto::Failure>>,
) {
    let fault = fault.lock().take();
    let (state, failure) = match outcome {
        Ok(()) => (ExecutionState::Finished, None),
        Err(Outcome::Panic(failure)) => (ExecutionState::Failed, Some(failure)),
        Err(Outcome::Error(error)) => match fault {
            Some(fault) => (ExecutionState::Failed, Some(fault)),
            None if waiter.is_cancelled() || matches!(error, Error::Cancelled) || failure::is_consequence(&error) => {
                (ExecutionState::Canceled, None)
            }
            None => (ExecutionState::Failed, Some(failure::describe(&error))),
        },
    };
    match &failure {
        Some(failure) => log.failed(failure),
        None => log.ended(state),
    }
    if let (Some(failure), Some(outputs)) = (&failure, &mut outputs) {
        outputs.set_failure(&format!("{name}: {}", failure.message));
        reporter.report_and_wait(Report::State(state, Some(failure.clone())));
    } else {
        drop(outputs.take());
        reporter.report_and_wait(Report::State(state, failure));
    }
}

/// The head and the chain of a vertex.
fn build_chain(
    operators: &[proto::OperatorSpec],
    context: &OperatorContext,
    inputs: Option<Inputs>,
    waiter: &Waiter,
    sender: &Sender,
    factory: &dyn OperatorFactory,
) -> Result<(Head, Chain)> {
    let (head, rest) = match (operators.split_first(), inputs) {
        (Some((first, rest)), None) => (Head::Source { reader: factory.source(first)?, uid: first.uid.clone() }, rest),
        (_, Some(inputs)) => (Head::Inputs(inputs), operators),
        (None, None) => return Err(Error::Plan("a task without operators".into())),
    };
    let build = |spec: &proto::OperatorSpec| {
        let transport = RpcTransport {
            sender: sender.clone(),
            operator_uid: Bytes::clone(&spec.uid),
            runtime: context.runtime.clone(),
            waiter: waiter.clone(),
        };
        factory.operator(spec, context, Box::new(transport))
    };
    Ok((head, Chain::new(rest.iter().map(build).collect::<Result<Vec<_>>>()?)))
}
