//! Two data planes in one process, joined by real sockets.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(dead_code, missing_docs)]
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use wiesel_common::id::{JobId, LeaderSessionId};
use wiesel_common::notifier::Notifier;
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::id::PartitionId;
use wiesel_network::options::Flush;
use wiesel_network::{
    Barrier, Element, Error, Event, InputGate, NetworkEnvironment, Options, Partitioner, ResultPartition, Waiter,
};

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false), Field::new("text", DataType::Utf8View, true)]))
}

/// Rows `from..to`: the number, and a text that is sometimes long and sometimes null.
pub fn rows(from: i64, to: i64) -> RecordBatch {
    let texts = (from..to).map(|i| match i % 3 {
        0 => None,
        1 => Some(format!("t{i}")),
        _ => Some(format!("a text too long for its view, number {i}")),
    });
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new((from..to).collect::<Int64Array>()), Arc::new(texts.collect::<StringViewArray>())];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub fn keys(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// When the checkpoints of the tests began.
static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);

/// A barrier as it was sent: what came from elsewhere has gone by the clock there, and lost less than a millisecond of its age.
pub fn as_sent(mut barrier: Barrier) -> Barrier {
    let lost = barrier.began.saturating_duration_since(*BEGAN);
    assert!(barrier.began >= *BEGAN && lost < Duration::from_secs(10), "{lost:?}");
    barrier.began = *BEGAN;
    barrier
}

pub fn barrier(checkpoint: u64, urgent: bool) -> Event {
    Event::Barrier(Barrier { checkpoint, began: *BEGAN, urgent, options: vec![checkpoint as u8; 50].into() })
}

pub fn partition_id(job: u8, producer: u32) -> PartitionId {
    PartitionId { job: JobId([job; 16]), session: LeaderSessionId([9; 16]), execution: 0, edge: 0, producer }
}

pub struct Cluster {
    pub runtime: tokio::runtime::Runtime,
    pub producer: Arc<NetworkEnvironment>,
    pub consumer: Arc<NetworkEnvironment>,
}

impl Cluster {
    pub fn start(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let any = [([127, 0, 0, 1], 0).into()];
        let (producer, consumer) = runtime.block_on(async {
            let producer = NetworkEnvironment::start(options.clone(), &any).await.unwrap();
            (producer, NetworkEnvironment::start(options, &any).await.unwrap())
        });
        Self { runtime, producer, consumer }
    }

    pub fn producer_address(&self) -> String {
        format!("127.0.0.1:{}", self.producer.port())
    }

    /// A partition of the producer for consumers that are all on the other side.
    pub fn partition(&self, id: PartitionId, consumers: u32, partitioner: Partitioner) -> (ResultPartition, Waiter) {
        let waiter = Waiter::default();
        let descriptor = PartitionDescriptor {
            id,
            consumers: (0..consumers).map(|consumer| (consumer, true)).collect(),
            partitioner,
            schema: schema(),
            flush: Flush::After(Duration::from_millis(100)),
            overdraft: false,
        };
        (self.producer.create_partition(descriptor, waiter.clone()).unwrap(), waiter)
    }

    /// A gate on the other side.
    pub fn gate(&self, producers: &[PartitionId], consumer: u32) -> Reader {
        self.gate_at(&self.producer_address(), producers, consumer)
    }

    pub fn gate_at(&self, address: &str, producers: &[PartitionId], consumer: u32) -> Reader {
        self.gate_of(address, producers, consumer, schema())
    }

    /// For rows of these columns.
    pub fn gate_of(&self, address: &str, producers: &[PartitionId], consumer: u32, schema: SchemaRef) -> Reader {
        let notifier = Arc::new(Notifier::default());
        let descriptor = GateDescriptor {
            producers: producers.iter().map(|id| (*id, Some(address.to_owned()))).collect(),
            consumer,
            schema,
        };
        Reader { gate: self.consumer.create_gate(descriptor, notifier.clone()).unwrap(), notifier }
    }
}

/// A gate with the thread that reads it.
pub struct Reader {
    pub gate: InputGate,
    pub notifier: Arc<Notifier>,
}

impl Reader {
    /// The next element; panics after ten seconds.
    pub fn next(&mut self) -> Result<(usize, Element), Error> {
        loop {
            if let Some(element) = self.gate.poll()? {
                return Ok(element);
            }
            assert!(self.notifier.wait("input", Some(Duration::from_secs(10))), "nothing came within ten seconds");
        }
    }

    /// Everything until all channels end: the rows and the other events.
    pub fn read_all(&mut self) -> Result<(Vec<RecordBatch>, Vec<Event>), Error> {
        let (mut batches, mut events) = (vec![], vec![]);
        while !self.gate.is_ended() {
            match self.next()?.1 {
                Element::Batch(batch) => batches.push(batch),
                Element::Event(event) => events.push(event),
            }
        }
        Ok((batches, events))
    }
}

/// Stands between a consumer and a producer: passes on what the consumer sends, and has `pass_back` pass on what comes from the
/// producer (the first stream) to the consumer. Returns the address for the consumer.
pub fn proxy(producer: String, pass_back: impl FnOnce(TcpStream, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (consumer, _) = listener.accept().unwrap();
        let producer = TcpStream::connect(producer).unwrap();
        let (mut from, mut to) = (consumer.try_clone().unwrap(), producer.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        pass_back(producer, consumer);
    });
    address
}

/// Waits for something that happens in the background; panics after ten seconds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen within ten seconds");
        std::thread::yield_now();
    }
}
