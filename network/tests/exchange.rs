//! Rows between two data planes over loopback, and inside one.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use common::{Cluster, as_sent, barrier, eventually, keys, partition_id, proxy, rows, schema};
use wiesel_common::notifier::Notifier;
use wiesel_network::codec::Compression;
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::options::Flush;
use wiesel_network::{Element, Error, Event, Options, Partitioner, Waiter};

#[test]
fn rows_and_events_keep_their_order_over_a_connection() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let cluster = Cluster::start(Options { compression, ..Options::default() });
        let id = partition_id(1, 0);
        let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
        let mut reader = cluster.gate(&[id], 0);
        let producer = thread::spawn(move || {
            for step in 0..200 {
                partition.emit(rows(step * 50, step * 50 + 50)).unwrap();
                if step % 10 == 9 {
                    partition.broadcast(Event::Watermark(step * 50 + 49)).unwrap();
                }
            }
            partition.broadcast(Event::Idle).unwrap();
            partition.broadcast(Event::Active).unwrap();
            partition.broadcast(barrier(3, false)).unwrap();
            partition.broadcast(Event::EndOfInput).unwrap();
            partition.drain().unwrap();
            assert_eq!(partition.counters().0, 10_000);
        });
        let mut seen = 0;
        let mut events = vec![];
        while !reader.gate.is_ended() {
            match reader.next().unwrap().1 {
                Element::Batch(batch) => {
                    let expected = rows(seen, seen + batch.num_rows() as i64);
                    assert_eq!(batch, expected);
                    seen += batch.num_rows() as i64;
                }
                Element::Event(Event::Watermark(watermark)) => assert_eq!(watermark + 1, seen),
                Element::Event(Event::Barrier(barrier)) => events.push(Event::Barrier(as_sent(barrier))),
                Element::Event(event) => events.push(event),
            }
        }
        assert_eq!(seen, 10_000);
        assert_eq!(events, [Event::Idle, Event::Active, barrier(3, false), Event::EndOfInput]);
        assert_eq!(reader.gate.counters().0, 10_000);
        producer.join().unwrap();
        drop(reader);
        let (sender, receiver) = (&cluster.producer, &cluster.consumer);
        eventually("giving everything back", || {
            sender.registered() == 0
                && sender.pool().available() == sender.pool().total()
                && receiver.pool().available() == receiver.pool().total()
        });
    }
}

#[test]
fn every_partitioner_brings_each_row_to_its_consumers() {
    let hash = Partitioner::Hash { keys: vec![0], max_parallelism: 128 };
    let partitioners =
        [hash, Partitioner::Rebalance, Partitioner::Rescale, Partitioner::Broadcast, Partitioner::Global];
    for (job, partitioner) in partitioners.into_iter().enumerate() {
        let cluster = Cluster::start(Options::default());
        let ids = [partition_id(job as u8, 0), partition_id(job as u8, 1)];
        let producers: Vec<_> = ids
            .iter()
            .map(|id| {
                let (mut partition, _) = cluster.partition(*id, 3, partitioner.clone());
                thread::spawn(move || {
                    for step in 0..40 {
                        partition.emit(rows(step * 500, step * 500 + 500)).unwrap();
                    }
                    partition.broadcast(Event::EndOfInput).unwrap();
                    partition.drain().unwrap();
                })
            })
            .collect();
        let mut readers: Vec<_> = (0..3).map(|consumer| cluster.gate(&ids, consumer)).collect();
        let read: Vec<Vec<i64>> = thread::scope(|scope| {
            let threads: Vec<_> =
                readers.iter_mut().map(|reader| scope.spawn(|| reader.read_all().unwrap().0)).collect();
            threads.into_iter().map(|t| t.join().unwrap().iter().flat_map(keys).collect()).collect()
        });
        producers.into_iter().for_each(|t| t.join().unwrap());
        let sorted = |parts: &[Vec<i64>]| {
            let mut all: Vec<i64> = parts.concat();
            all.sort_unstable();
            all
        };
        let twice = |times: usize| {
            let mut all: Vec<i64> = (0..20_000).flat_map(|i| std::iter::repeat_n(i, times)).collect();
            all.sort_unstable();
            all
        };
        match partitioner {
            Partitioner::Broadcast => assert!(read.iter().all(|part| sorted(std::slice::from_ref(part)) == twice(2))),
            Partitioner::Global => {
                assert_eq!(sorted(&read[..1]), twice(2));
                assert!(read[1].is_empty() && read[2].is_empty());
            }
            Partitioner::Hash { .. } => {
                assert_eq!(sorted(&read), twice(2));
                // A key goes to one consumer only.
                let mut sets: Vec<std::collections::HashSet<i64>> =
                    read.iter().map(|part| part.iter().copied().collect()).collect();
                assert_eq!(sets.iter().map(|set| set.len()).sum::<usize>(), 20_000);
                let last = sets.pop().unwrap();
                assert!(!last.is_empty() && sets.iter().all(|set| set.is_disjoint(&last)));
            }
            _ => {
                assert_eq!(sorted(&read), twice(2));
                assert!(
                    read.iter().all(|part| part.len() > 5000),
                    "{:?}",
                    read.iter().map(Vec::len).collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn inside_a_process_batches_are_not_copied() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let descriptor = PartitionDescriptor {
        id,
        consumers: vec![(0, false)],
        partitioner: Partitioner::Forward,
        schema: schema(),
        flush: Flush::Always,
        overdraft: false,
    };
    let waiter = Waiter::default();
    let mut partition = cluster.producer.create_partition(descriptor, waiter).unwrap();
    let gate = GateDescriptor { producers: vec![(id, None)], consumer: 0, schema: schema() };
    let notifier = Arc::new(Notifier::default());
    let mut gate = cluster.producer.create_gate(gate.clone(), notifier).unwrap();
    let sent = rows(0, 100);
    partition.emit(sent.clone()).unwrap();
    partition.broadcast(Event::EndOfInput).unwrap();
    let Some((0, Element::Batch(received))) = gate.poll().unwrap() else { panic!("no rows") };
    let address = |batch: &arrow::array::RecordBatch| batch.column(0).to_data().buffers()[0].as_ptr();
    assert_eq!(address(&sent), address(&received));
    assert!(matches!(gate.poll().unwrap(), Some((0, Element::Event(Event::EndOfInput)))));
    partition.drain().unwrap();
    assert!(gate.is_ended());
}

#[test]
fn a_slow_channel_does_not_hold_up_its_neighbour() {
    let cluster = Cluster::start(Options::default());
    let (slow, fast) = (partition_id(1, 0), partition_id(2, 0));
    let (mut slow_partition, slow_waiter) = cluster.partition(slow, 1, Partitioner::Forward);
    let (mut fast_partition, _) = cluster.partition(fast, 1, Partitioner::Forward);
    // Nobody reads this gate, which shares the connection with the other.
    let slow_reader = cluster.gate(&[slow], 0);
    let mut fast_reader = cluster.gate(&[fast], 0);
    let blocked = thread::spawn(move || {
        let mut step = 0;
        loop {
            if let Err(error) = slow_partition.emit(rows(step, step + 1000)) {
                return error;
            }
            step += 1000;
        }
    });
    eventually("back-pressure", || slow_waiter.notifier().waiting_for().is_some());
    let producer = thread::spawn(move || {
        for step in 0..500 {
            fast_partition.emit(rows(step * 1000, step * 1000 + 1000)).unwrap();
        }
        fast_partition.broadcast(Event::EndOfInput).unwrap();
        fast_partition.drain().unwrap();
    });
    let (batches, _) = fast_reader.read_all().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 500_000);
    assert_eq!(cluster.consumer.connections(), 1);
    producer.join().unwrap();
    assert_eq!(slow_waiter.notifier().waiting_for(), Some("consumers to make room"));
    slow_waiter.cancel();
    assert!(matches!(blocked.join().unwrap(), Error::Cancelled));
    drop(slow_reader);
}

#[test]
fn a_source_that_is_faster_than_its_consumer_holds_no_more_than_its_budget() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, waiter) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate(&[id], 0);
    let producer = thread::spawn(move || {
        let batch = rows(0, 1000);
        let mut sent = 0;
        loop {
            match partition.emit(batch.clone()) {
                Ok(()) => sent += 1,
                Err(Error::Cancelled) => return (sent, partition.counters().1),
                Err(other) => panic!("{other}"),
            }
        }
    });
    for _ in 0..20 {
        eventually("back-pressure", || waiter.notifier().waiting_for().is_some());
        let taken = cluster.producer.pool().total() - cluster.producer.pool().available();
        assert!(taken <= 64, "the producer holds {taken} segments");
        let taken = cluster.consumer.pool().total() - cluster.consumer.pool().available();
        assert!(taken <= 10, "the consumer holds {taken} segments");
        for _ in 0..5 {
            reader.next().unwrap();
        }
    }
    waiter.cancel();
    let (_, bytes) = producer.join().unwrap();
    let (_, consumed) = reader.gate.counters();
    // Ten segments wait here and ten there, and a frame of ten more on each side.
    assert!(bytes - consumed <= 4 * 10 * 32768, "{} bytes are under way", bytes - consumed);
}

#[test]
fn a_row_larger_than_every_window_passes() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate(&[id], 0);
    let text = "x".repeat(3 << 20);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3])),
        Arc::new(arrow::array::StringViewArray::from(vec![text.as_str(), "y", text.as_str()])),
    ];
    let batch = arrow::array::RecordBatch::try_new(schema(), columns).unwrap();
    let sent = batch.clone();
    let producer = thread::spawn(move || {
        for _ in 0..3 {
            partition.emit(sent.clone()).unwrap();
        }
        partition.broadcast(Event::EndOfInput).unwrap();
        partition.drain().unwrap();
    });
    let (batches, _) = reader.read_all().unwrap();
    assert_eq!(
        concat_batches(&schema(), &batches).unwrap(),
        concat_batches(&schema(), [&batch, &batch, &batch]).unwrap()
    );
    producer.join().unwrap();
}

#[test]
fn a_consumer_may_come_before_its_producer() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let mut reader = cluster.gate(&[id], 0);
    eventually("the request", || cluster.producer.registered() == 1);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    partition.emit(rows(0, 10)).unwrap();
    partition.flush_idle().unwrap();
    assert!(matches!(reader.next().unwrap().1, Element::Batch(batch) if batch.num_rows() == 10));
}

#[test]
fn a_partition_that_nobody_offers_is_reported() {
    let options = Options { partition_request_timeout: Duration::from_millis(50), ..Options::default() };
    let cluster = Cluster::start(options);
    let id = partition_id(1, 7);
    let mut reader = cluster.gate(&[id], 0);
    let error = reader.next().unwrap_err();
    assert_eq!(error.to_string(), format!("Partition {id} not found."));
    assert_eq!(cluster.producer.registered(), 0);
}

#[test]
fn a_producer_that_fails_tells_its_consumers_why() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate(&[id], 0);
    partition.emit(rows(0, 10)).unwrap();
    partition.flush().unwrap();
    reader.next().unwrap();
    partition.set_failure("Source (1/1)#0: division by zero");
    drop(partition);
    match reader.next().unwrap_err() {
        Error::ProducerFailed { cause, .. } => assert_eq!(&*cause, "Source (1/1)#0: division by zero"),
        other => panic!("{other}"),
    }
}

#[test]
fn producer_and_consumer_must_agree_about_the_columns() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (_partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let other = Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, false)]));
    let mut reader = cluster.gate_of(&cluster.producer_address(), &[id], 0, other);
    assert!(reader.next().unwrap_err().to_string().contains("disagree about the columns"));
}

#[test]
fn a_cut_connection_fails_the_consumer_and_frees_the_producer() {
    let cluster = Cluster::start(Options::default());
    let (sender, streams) = std::sync::mpsc::channel();
    let address = proxy(cluster.producer_address(), move |mut from, mut to| {
        sender.send([to.try_clone().unwrap(), from.try_clone().unwrap()]).unwrap();
        let _ = std::io::copy(&mut from, &mut to);
    });
    let id = partition_id(1, 0);
    let (mut partition, waiter) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate_at(&address, &[id], 0);
    let producer = thread::spawn(move || {
        loop {
            if let Err(error) = partition.emit(rows(0, 1000)) {
                return error;
            }
        }
    });
    reader.next().unwrap();
    for stream in streams.recv().unwrap() {
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    let error = loop {
        if let Err(error) = reader.next() {
            break error;
        }
    };
    assert_eq!(
        error.to_string(),
        format!(
            "Connection unexpectedly closed by remote task manager '{address}'. This might indicate that the remote task \
             manager was lost."
        )
    );
    // The producer goes on, into the void, until somebody cancels it.
    waiter.cancel();
    assert!(matches!(producer.join().unwrap(), Error::Cancelled));
    drop(reader);
    eventually("giving everything back", || {
        cluster.consumer.pool().available() == cluster.consumer.pool().total()
            && cluster.producer.pool().available() == cluster.producer.pool().total()
            && cluster.consumer.connections() == 0
    });
}

#[test]
fn nobody_there_is_a_clear_failure() {
    let cluster = Cluster::start(Options::default());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut reader = cluster.gate_at(&free, &[partition_id(1, 0)], 0);
    let error = reader.next().unwrap_err().to_string();
    assert!(error.starts_with(&format!("Connecting to remote task manager '{free}' has failed.")), "{error}");
}

#[test]
fn garbage_on_the_data_port_disturbs_nobody() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate(&[id], 0);
    let mut state = 42_u64;
    for attempt in 0..50 {
        let mut stream = TcpStream::connect(cluster.producer_address()).unwrap();
        let garbage: Vec<u8> = (0..attempt * 40)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        if attempt % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        let _ = stream.write_all(&garbage);
        if garbage.len() >= 32 {
            // The connection is closed on the first bad frame.
            let _ = stream.read_to_end(&mut vec![]);
        }
    }
    partition.emit(rows(0, 10)).unwrap();
    partition.flush().unwrap();
    assert!(matches!(reader.next().unwrap().1, Element::Batch(batch) if batch.num_rows() == 10));
}

#[test]
fn too_few_buffers_are_refused_before_anything_runs() {
    let cluster = Cluster::start(Options { memory: 10 * 32768, ..Options::default() });
    let descriptor = PartitionDescriptor {
        id: partition_id(1, 0),
        consumers: (0..20).map(|consumer| (consumer, true)).collect(),
        partitioner: Partitioner::Rebalance,
        schema: schema(),
        flush: Flush::WhenFull,
        overdraft: false,
    };
    let error = cluster.producer.create_partition(descriptor, Waiter::default()).err().unwrap();
    assert!(error.to_string().starts_with(
        "Insufficient number of network buffers: required 21, but only 10 available. The total number of network buffers \
         is currently set to 10 of 32768 bytes each."
    ));
    assert_eq!(cluster.producer.registered(), 0);
    assert_eq!(cluster.producer.pool().available(), 10);
}

#[test]
fn a_gate_that_is_dropped_lets_its_producers_go_on() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 2, Partitioner::Rebalance);
    let mut kept = cluster.gate(&[id], 0);
    let mut dropped = cluster.gate(&[id], 1);
    let producer = thread::spawn(move || {
        for step in 0..100 {
            partition.emit(rows(step * 4000, step * 4000 + 4000)).unwrap();
        }
        partition.broadcast(Event::EndOfInput).unwrap();
        partition.drain().unwrap();
    });
    dropped.next().unwrap();
    drop(dropped);
    let (batches, _) = kept.read_all().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 200_000);
    producer.join().unwrap();
}

/// Passes on what a producer sends with one bit of one byte turned over.
fn damaging_proxy(producer: String, at: u64) -> String {
    proxy(producer, move |mut from, mut to| {
        std::io::copy(&mut (&from).take(at), &mut to).unwrap();
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        to.write_all(&[byte[0] ^ 4]).unwrap();
        let _ = std::io::copy(&mut from, &mut to);
    })
}

/// Before, rows that were damaged on their way were results like others.
#[test]
fn rows_that_are_damaged_on_their_way_fail_their_consumer() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    // Behind the greetings, within the first rows.
    let address = damaging_proxy(cluster.producer_address(), 5000);
    let mut reader = cluster.gate_at(&address, &[id], 0);
    partition.emit(rows(0, 1000)).unwrap();
    partition.flush().unwrap();
    let error = reader.next().unwrap_err();
    assert!(matches!(error, Error::Damaged { bytes, .. } if bytes > 0), "{error}");
    let message = error.to_string();
    assert!(message.contains(&address) && message.contains("taskmanager.network.payload-checksum"), "{message}");
}

#[test]
fn rows_go_without_check_sums_where_both_ends_want_none() {
    let cluster = Cluster::start(Options { payload_checksums: false, ..Options::default() });
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let mut reader = cluster.gate(&[id], 0);
    partition.emit(rows(0, 1000)).unwrap();
    partition.broadcast(Event::EndOfInput).unwrap();
    let (batches, events) = reader.read_all().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1000);
    assert_eq!(events, [Event::EndOfInput]);
}

/// Before, whoever reached the port could claim the channels of a job.
#[test]
fn a_stranger_without_the_secret_gets_no_channel() {
    let secret = wiesel_common::secret::Secret::new("a secret of the cluster").unwrap();
    let cluster = Cluster::start(Options { secret: Some(secret), ..Options::default() });
    let strangers = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let (mut partition, _) = cluster.partition(id, 1, Partitioner::Forward);
    let mut stranger = strangers.gate_at(&cluster.producer_address(), &[id], 0);
    let refused = stranger.next().unwrap_err().to_string();
    assert!(refused.contains("security.internal.secret") && !refused.contains("a secret of the cluster"), "{refused}");
    let mut reader = cluster.gate(&[id], 0);
    partition.emit(rows(0, 10)).unwrap();
    partition.flush().unwrap();
    assert!(matches!(reader.next().unwrap().1, Element::Batch(batch) if batch.num_rows() == 10));
}
