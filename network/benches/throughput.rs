//! What the data plane moves between two processes over loopback, beside `iperf3` on the same machine in the same run.
//!
//! `cargo bench -p wiesel-network --bench throughput -- [seconds] [channels]`. The process starts itself again as the
//! producer. Prints one line for each, and the ratio; fails if the data plane moves less than half of what iperf3 does.
#![allow(missing_docs)]
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use wiesel_common::id::JobId;
use wiesel_common::notifier::Notifier;
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::id::PartitionId;
use wiesel_network::options::Flush;
use wiesel_network::{Element, NetworkEnvironment, Options, Partitioner, Result, Waiter};

const CHILD: &str = "WIESEL_THROUGHPUT_PRODUCER";
const COLUMNS: usize = 8;
const ROWS: i64 = 8192;

fn schema() -> SchemaRef {
    Arc::new(Schema::new((0..COLUMNS).map(|i| Field::new(format!("c{i}"), DataType::Int64, false)).collect::<Vec<_>>()))
}

fn partition(producer: u32) -> PartitionId {
    PartitionId { job: JobId([1; 16]), execution: 0, edge: 0, producer }
}

fn environment() -> Result<(tokio::runtime::Runtime, Arc<NetworkEnvironment>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let address = [([127, 0, 0, 1], 0).into()];
    let environment = runtime.block_on(NetworkEnvironment::start(Options::default(), &address))?;
    Ok((runtime, environment))
}

/// Sends the same batch on every channel until the process is killed.
fn produce(channels: u32) -> Result<()> {
    let (_runtime, environment) = environment()?;
    println!("{}", environment.port());
    let columns = (0..COLUMNS).map(|_| Arc::new((0..ROWS).collect::<Int64Array>()) as ArrayRef).collect();
    let batch = RecordBatch::try_new(schema(), columns)?;
    std::thread::scope(|scope| {
        for producer in 0..channels {
            let (environment, batch) = (&environment, &batch);
            scope.spawn(move || -> Result<()> {
                let descriptor = PartitionDescriptor {
                    id: partition(producer),
                    consumers: vec![(0, true)],
                    partitioner: Partitioner::Forward,
                    schema: schema(),
                    flush: Flush::WhenFull,
                };
                let mut partition = environment.create_partition(descriptor, Waiter::default())?;
                loop {
                    partition.emit(batch.clone())?;
                }
            });
        }
    });
    Ok(())
}

/// Bytes per second that arrive.
fn consume(address: &str, channels: u32, duration: Duration) -> Result<f64> {
    let (_runtime, environment) = environment()?;
    let rates = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..channels)
            .map(|producer| {
                let environment = &environment;
                scope.spawn(move || {
                    let notifier = Arc::new(Notifier::default());
                    let descriptor = GateDescriptor {
                        producers: vec![(partition(producer), Some(address.to_owned()))],
                        consumer: 0,
                        schema: schema(),
                    };
                    let mut gate = environment.create_gate(descriptor, notifier.clone())?;
                    let mut start = None;
                    loop {
                        match gate.poll()? {
                            Some((_, Element::Batch(batch))) => {
                                std::hint::black_box(batch);
                                let (started, before) = *start.get_or_insert_with(|| (Instant::now(), gate.counters().1));
                                let elapsed = started.elapsed();
                                if elapsed >= duration {
                                    return Ok((gate.counters().1 - before) as f64 / elapsed.as_secs_f64());
                                }
                            }
                            Some(_) => {}
                            None => {
                                notifier.wait("input", Some(Duration::from_secs(1)));
                            }
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("a reader failed"))).collect::<Result<Vec<f64>>>()
    })?;
    Ok(rates.iter().sum())
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes per second of `iperf3` over loopback with as many streams; none if it is not installed.
fn iperf3(streams: u32, duration: Duration) -> Option<f64> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port().to_string();
    let server = Command::new("iperf3").args(["-s", "-1", "-p", &port]).stdout(Stdio::null()).spawn().ok()?;
    let _server = Killed(server);
    let (seconds, streams) = (duration.as_secs().max(1).to_string(), streams.to_string());
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(100));
        let arguments = ["-c", "127.0.0.1", "-p", &port, "-t", &seconds, "-P", &streams, "-f", "k"];
        let output = Command::new("iperf3").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "[SUM]   0.00-5.00   sec  ...  12345678 Kbits/sec                  receiver", without [SUM] for one stream.
        let line = text.lines().rfind(|line| line.ends_with("receiver"));
        if let Some(line) = line {
            let mut words = line.split_whitespace().collect::<Vec<_>>().into_iter().rev();
            let rate = words.find_map(|word| (word == "Kbits/sec").then_some(()));
            rate?;
            return words.next()?.parse::<f64>().ok().map(|kilobits| kilobits * 1000.0 / 8.0);
        }
    }
    None
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let duration = Duration::from_secs(numbers.next().unwrap_or(5).into());
    let channels = numbers.next().unwrap_or(1).max(1);
    if let Ok(channels) = std::env::var(CHILD) {
        return match produce(channels.parse().unwrap_or(1)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => panic!("no path to start the producer from: {error}"),
    };
    let started = Command::new(own).env(CHILD, channels.to_string()).stdout(Stdio::piped()).spawn();
    let mut producer = Killed(started.unwrap_or_else(|error| panic!("the producer did not start: {error}")));
    let mut port = String::new();
    if let Some(stdout) = producer.0.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut port);
    }
    let rate = match consume(&format!("127.0.0.1:{}", port.trim()), channels, duration) {
        Ok(rate) => rate,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    drop(producer);
    println!("data plane  {:8.2} GB/s  ({channels} channels on one connection)", rate / 1e9);
    // One connection against one connection.
    let Some(reference) = iperf3(1, duration) else {
        println!("iperf3      not installed: nothing to compare with");
        return ExitCode::SUCCESS;
    };
    println!("iperf3      {:8.2} GB/s  (one stream)", reference / 1e9);
    println!("ratio       {:8.2}", rate / reference);
    if rate * 2.0 < reference { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
