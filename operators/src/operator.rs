//! The contract between an operator, the chain it stands in, and the task that runs the chain.
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use wiesel_common::ending::ToldToEnd;
use wiesel_common::id::JobId;
use wiesel_common::notifier::Notifier;
use wiesel_common::quote;
use wiesel_common::time::Clock;
use wiesel_expressions::error::Error as ExpressionError;
use wiesel_expressions::expression::EvaluationContext;
use wiesel_expressions::types::Malformed;
use wiesel_proto as proto;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeyedBackend, KeyedSnapshot, SnapshotOptions};

use crate::background::Waker;
use crate::coordinator::CoordinatorGateway;
use crate::element::{Batch, WatermarkStatus};

/// Why an operator failed. It ends the task; whether the job restarts is the restart strategy's decision.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that the query cannot work with: division by zero, a failed cast, a null where none is allowed.
    #[error("{message}")]
    Data {
        /// The class that Flink names, such as `java.lang.ArithmeticException`.
        class: &'static str,
        /// What happened, and to which value.
        message: String,
    },
    /// The outside world: a file, a connection.
    #[error("{message}")]
    External {
        /// What was tried on what.
        message: String,
        /// Its cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// More came of the rows of a batch than is made at once: the operator that evaluates cuts the batch.
    #[error("the values made of a batch have more bytes than it may have")]
    OverBudget,
    /// A kernel refused its input.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// An expression could not be evaluated.
    #[error(transparent)]
    Expression(#[from] datafusion_common::DataFusionError),
    /// The plan asks for what this operator does not do.
    #[error("{0}")]
    Plan(String),
    /// State could not be read or written, or does not fit.
    #[error(transparent)]
    State(#[from] wiesel_state::Error),
    /// The task is being cancelled.
    #[error("the task was cancelled")]
    Cancelled,
}

impl Error {
    /// A [`Error::Data`].
    pub fn data(class: &'static str, message: impl Into<String>) -> Self {
        Self::Data { class, message: quote::message(message) }
    }

    /// A [`Error::External`].
    pub fn external(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::External { message: message.into(), source: Some(source.into()) }
    }
}

impl From<ExpressionError> for Error {
    fn from(error: ExpressionError) -> Self {
        match error {
            ExpressionError::Data { class, message } => Self::Data { class, message },
            ExpressionError::OverBudget => Self::OverBudget,
            ExpressionError::Arrow(error) => Self::Arrow(error),
            ExpressionError::Expression(error) => Self::Expression(error),
            ExpressionError::Plan(problem) => Self::Plan(problem),
            ExpressionError::Cancelled => Self::Cancelled,
        }
    }
}

/// What a message of the plan says of types and expressions is as much of the plan as the rest of it.
impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Self::Plan(error.to_string())
    }
}

impl From<ToldToEnd> for Error {
    fn from(_: ToldToEnd) -> Self {
        Self::Cancelled
    }
}

/// The outcome of an operator's step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where an operator puts what it produces: the next operator of the chain, or the task's result partitions.
pub trait Collector {
    /// Hands on rows. May block while the task's output is full; fails with [`Error::Cancelled`] if the task ends then.
    fn collect(&mut self, batch: Batch) -> Result<()>;
    /// Hands on a watermark.
    fn watermark(&mut self, watermark: i64) -> Result<()>;
    /// Hands on a change of status.
    fn status(&mut self, status: WatermarkStatus) -> Result<()>;
    /// Whether the task is to end without its result. It is asked between the batches that one step of an operator emits: a step
    /// may emit thousands (windows that fire together) into a sink that is slow.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// What an operator knows of the task it runs in.
#[derive(Clone)]
pub struct OperatorContext {
    /// The job, over all its restarts.
    pub job_id: JobId,
    /// The run of the job, over its restarts: random, new each time that a job of this id is submitted.
    pub run: u64,
    /// Display name of the task, for messages.
    pub task_name: String,
    /// How many attempts to run the subtask there were before in this run of the job, the same for all subtasks of a vertex. An
    /// attempt that was given up may go on beside a later one.
    pub attempt_number: u32,
    /// Position among the subtasks, from 0.
    pub subtask: u32,
    /// How many subtasks.
    pub parallelism: u32,
    /// How many key groups.
    pub max_parallelism: u32,
    /// The job's effective configuration.
    pub configuration: Arc<wiesel_common::config::Configuration>,
    /// The clock: processing time.
    pub clock: Arc<dyn Clock>,
    /// Wakes the task's thread: for sources and sinks that work in the background.
    pub notifier: Arc<Notifier>,
    /// For background work of sources and sinks.
    pub runtime: tokio::runtime::Handle,
}

impl OperatorContext {
    /// What the operator's expressions depend on besides their row.
    ///
    /// # Errors
    /// The configuration names no time zone.
    pub fn evaluation(&self) -> Result<EvaluationContext> {
        Ok(EvaluationContext::new(&self.configuration, self.clock.clone())?)
    }
}

/// The state that an operator starts from.
pub trait RestoredState {
    /// The checkpoint that the job starts from, if it does.
    fn checkpoint_id(&self) -> Option<u64>;

    /// Whether the whole vertex had finished before that checkpoint: no rows will come, and what it had to say is said.
    fn is_finished(&self) -> bool {
        false
    }

    /// Opens the operator's keyed state, with what was restored in it. At most once.
    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>>;

    /// The restored entries of a list that are this subtask's.
    fn list(&mut self, name: &str) -> Vec<Bytes>;

    /// How much memory the operator may take for what it keeps of its keyed state in columns of its own. Without a bound
    /// where the back end keeps all in memory anyway.
    fn cache_share(&mut self) -> CacheShare {
        CacheShare::fixed(usize::MAX)
    }
}

/// What an operator hands over at a barrier.
#[derive(Default)]
pub struct OperatorSnapshot {
    /// Its keyed state, to be written in the background.
    pub keyed: Option<Box<dyn KeyedSnapshot>>,
    /// Its lists.
    pub lists: Vec<proto::OperatorListState>,
}

/// One operator of a chain. All calls come from the task's thread.
///
/// An operator with one input sees `input` = 0. Watermarks are already combined over the channels of an input and over
/// the inputs of the operator: [`Operator::watermark`] sees each new minimum once.
///
/// An operator that works in the background (calls of a service, of a broker) keeps the [`Waker`] that it is given. It holds the rows
/// in flight itself, at most so many: they are part of its snapshot, and a barrier passes without them.
pub trait Operator: Send {
    /// Called once before [`Operator::open`], also where nothing is restored.
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Called once before anything flows.
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// Called once after [`Operator::open`]. An operator that works in the background keeps the waker and answers true; of the others
    /// [`Operator::is_available`], [`Operator::has_rows_in_flight`] and [`Operator::woken`] are never asked.
    fn take_waker(&mut self, waker: Waker) -> bool {
        let _ = waker;
        false
    }

    /// Whether it takes rows now. If not, the task gives its chain none, so that its producers are held back, until the waker was used
    /// and this is true. Barriers, watermarks, ends and timers go on, as far as no rows are before them. What an operator
    /// before this one makes of those, or of one batch, comes all the same: without room for it [`Operator::process`] waits
    /// ([`Waker::wait_until`]).
    fn is_available(&self) -> bool {
        true
    }

    /// Whether it has taken rows that it may yet emit something for. Between [`Operator::end_input`] and [`Operator::finish`] the task
    /// waits until it has none. It does so before the barrier of a savepoint that drains, too: no event of the coordinator comes then.
    fn has_rows_in_flight(&self) -> bool {
        false
    }

    /// The waker was used: emit what is done. Not called between a savepoint that the job stops with and its outcome, and not while an
    /// operator behind this one takes no rows.
    fn woken(&mut self, out: &mut dyn Collector) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// Called once after [`Operator::open`]: the way to its coordinator, for an operator that has one.
    fn take_gateway(&mut self, gateway: Box<dyn CoordinatorGateway>) {
        drop(gateway);
    }

    /// Its coordinator says something. Not called after [`Operator::finish`]. It emits nothing: an operator that has something to emit
    /// because of it wakes itself ([`Operator::take_waker`]).
    fn coordinator_event(&mut self, event: Bytes) -> Result<()> {
        drop(event);
        Err(Error::Plan("an event came for an operator that has no coordinator".into()))
    }

    /// Handles rows.
    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()>;

    /// Event time moved on: fire what is due, then hand the watermark on.
    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        out.watermark(watermark)
    }

    /// The task has given its chain no rows for so long, though there may have been some: its outputs were full, an operator was not
    /// available, or it waited for the outcome of a savepoint. That its input is idle cannot be told from this time.
    fn held_back(&mut self, time: Duration) {
        let _ = time;
    }

    /// The input became idle or active as a whole.
    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        out.status(status)
    }

    /// The next processing time (milliseconds since the epoch) at which [`Operator::processing_time`] wants to be called.
    fn next_timer(&self) -> Option<i64> {
        None
    }

    /// Processing time reached [`Operator::next_timer`].
    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        let _ = (now, out);
        Ok(())
    }

    /// One input has ended.
    fn end_input(&mut self, input: usize, out: &mut dyn Collector) -> Result<()> {
        let _ = (input, out);
        Ok(())
    }

    /// All inputs have ended, the last watermark has passed, and no rows are in flight: emit what is left.
    fn finish(&mut self, out: &mut dyn Collector) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// A barrier is about to pass: emit what is held back and not part of the state.
    fn before_barrier(&mut self, out: &mut dyn Collector) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// The state at the barrier. Nothing is processed between this and [`Operator::before_barrier`].
    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let _ = options;
        Ok(OperatorSnapshot::default())
    }

    /// A checkpoint is durable. May come late, for several at once (then for the last), or never.
    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }

    /// A checkpoint will never be durable.
    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }

    /// Whether something waits for a checkpoint to be durable: where checkpoints are taken, the task does not end before one
    /// after [`Operator::finish`] is.
    fn awaits_checkpoint(&self) -> bool {
        false
    }

    /// The task ends and waits for no checkpoint, be it that none are taken or that none are after a task has finished: what
    /// waits for one is made final now, or never. Called after everything else but [`Operator::close`].
    fn commit_at_end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called once at the end, also after a failure or a cancellation.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What a chain is built from: an operator and the schema of what leaves it.
pub struct BuiltOperator {
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// The identity of its state.
    pub uid: Bytes,
    /// Its name, as the plan shows it.
    pub name: String,
    /// What it emits.
    pub output: SchemaRef,
}

impl BuiltOperator {
    /// The operator of a specification.
    pub fn new(spec: &proto::OperatorSpec, operator: Box<dyn Operator>, output: SchemaRef) -> Self {
        Self { operator, uid: spec.uid.clone(), name: spec.name.clone(), output }
    }
}
