//! What the data plane moves between two processes over loopback, beside `iperf3` in the same run.
//!
//! `cargo bench -p wiesel-benches` prints both and the ratio. A row is four 64-bit columns, so the bytes counted are those
//! of the values alone; frames and flow control are overhead.
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use wiesel_common::id::{JobId, LeaderSessionId};
use wiesel_common::notifier::Notifier;
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::id::PartitionId;
use wiesel_network::options::Flush;
use wiesel_network::{Element, Event, NetworkEnvironment, Options, Partitioner, Waiter};

const SECONDS: u64 = 5;
const COLUMNS: usize = 4;
const ROWS: usize = 8192;
const ID: PartitionId =
    PartitionId { job: JobId([7; 16]), session: LeaderSessionId([8; 16]), execution: 0, edge: 0, producer: 0 };

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, address] = &arguments[..]
        && role == "consume"
    {
        return consume(address);
    }
    // Cargo asks a benchmark without harness to list itself under `cargo test`.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("two processes over loopback, {SECONDS} s each");
    let forward = produce(&Partitioner::Forward)?;
    println!("data plane, forward:  {forward:7.2} Gbit/s");
    let hash = produce(&Partitioner::Hash { keys: vec![0], max_parallelism: 128 })?;
    println!("data plane, hash:     {hash:7.2} Gbit/s");
    match iperf() {
        Ok(iperf) => {
            println!("iperf3:               {iperf:7.2} Gbit/s; forward is {:.0} % of it", 100.0 * forward / iperf)
        }
        Err(error) => println!("iperf3 cannot be compared with: {error:#}"),
    }
    Ok(())
}

fn schema() -> SchemaRef {
    let field = |i| Field::new(format!("c{i}"), DataType::Int64, false);
    Arc::new(Schema::new((0..COLUMNS).map(field).collect::<Vec<_>>()))
}

fn batch() -> Result<RecordBatch> {
    let column =
        |i: usize| Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| (row * 31 + i) as i64))) as ArrayRef;
    Ok(RecordBatch::try_new(schema(), (0..COLUMNS).map(column).collect())?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn environment(runtime: &tokio::runtime::Runtime) -> Result<Arc<NetworkEnvironment>> {
    Ok(runtime.block_on(NetworkEnvironment::start(Options::default(), &[([127, 0, 0, 1], 0).into()]))?)
}

/// Sends batches to a consumer in another process for a while; returns the gigabits a second that the consumer saw.
fn produce(partitioner: &Partitioner) -> Result<f64> {
    let runtime = runtime()?;
    let environment = environment(&runtime)?;
    let descriptor = PartitionDescriptor {
        id: ID,
        consumers: vec![(0, true)],
        partitioner: partitioner.clone(),
        schema: schema(),
        flush: Flush::After(Duration::from_millis(100)),
        overdraft: false,
    };
    let mut partition = environment.create_partition(descriptor, Waiter::default())?;
    let address = format!("127.0.0.1:{}", environment.port());
    let mut consumer =
        Command::new(std::env::current_exe()?).args(["consume", &address]).stdout(Stdio::piped()).spawn()?;
    let batch = batch()?;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        partition.emit(batch.clone())?;
    }
    partition.broadcast(Event::EndOfInput)?;
    partition.drain()?;
    let mut line = String::new();
    BufReader::new(consumer.stdout.take().context("the consumer's output is piped")?).read_line(&mut line)?;
    if !consumer.wait()?.success() {
        bail!("the consumer failed");
    }
    Ok(line.trim().parse()?)
}

/// Reads until the end and prints gigabits a second since the first batch.
fn consume(address: &str) -> Result<()> {
    let runtime = runtime()?;
    let environment = environment(&runtime)?;
    let notifier = Arc::new(Notifier::default());
    let descriptor = GateDescriptor { producers: vec![(ID, Some(address.to_owned()))], consumer: 0, schema: schema() };
    let mut gate = environment.create_gate(descriptor, notifier.clone())?;
    let (mut rows, mut start) = (0, None);
    while !gate.is_ended() {
        match gate.poll()? {
            Some((_, Element::Batch(batch))) => {
                start.get_or_insert_with(Instant::now);
                rows += batch.num_rows();
            }
            Some(_) => {}
            None => {
                notifier.wait("input", None);
            }
        }
    }
    let seconds = start.context("nothing came")?.elapsed().as_secs_f64();
    println!("{}", (rows * COLUMNS * 64) as f64 / seconds / 1e9);
    Ok(())
}

/// What iperf3 moves over loopback with one stream.
fn iperf() -> Result<f64> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let server =
        Command::new("iperf3").args(["-s", "-1", "-B", "127.0.0.1", "-p", &port]).stdout(Stdio::null()).spawn();
    let mut server = server.context("iperf3 is not installed")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let json: Value = loop {
        let client =
            Command::new("iperf3").args(["-c", "127.0.0.1", "-p", &port, "-t", &SECONDS.to_string(), "-J"]).output()?;
        let json: Value = serde_json::from_slice(&client.stdout)?;
        // The server may not listen yet.
        if client.status.success() || Instant::now() > deadline {
            break json;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let _ = server.kill();
    server.wait()?;
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(bits.with_context(|| format!("iperf3 said {json}"))? / 1e9)
}
