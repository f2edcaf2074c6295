//! Barriers between two data planes and inside one: blocked channels, barriers that overtake, connections that break.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arrow::array::RecordBatch;
use common::{Cluster, Reader, as_sent, barrier, eventually, keys, partition_id, proxy, rows, schema};
use proptest::prelude::*;
use wiesel_common::notifier::Notifier;
use wiesel_network::environment::{GateDescriptor, PartitionDescriptor};
use wiesel_network::options::Flush;
use wiesel_network::{
    Barrier, Element, Event, InputGate, NetworkEnvironment, Options, Partitioner, ResultPartition, Waiter,
};

fn as_barrier(event: Event) -> Barrier {
    let Event::Barrier(barrier) = event else { panic!("{event:?} is no barrier") };
    barrier
}

/// A partition with its consumer in the same process.
fn local(environment: &Arc<NetworkEnvironment>, producers: u32, overdraft: bool) -> (Vec<ResultPartition>, InputGate) {
    let ids: Vec<_> = (0..producers).map(|producer| partition_id(1, producer)).collect();
    let partitions = ids.iter().map(|id| {
        let descriptor = PartitionDescriptor {
            id: *id,
            consumers: vec![(0, false)],
            partitioner: Partitioner::Forward,
            schema: schema(),
            flush: Flush::Always,
            overdraft,
        };
        environment.create_partition(descriptor, Waiter::default()).unwrap()
    });
    let partitions = partitions.collect();
    let producers = ids.iter().map(|id| (*id, None)).collect();
    let gate = GateDescriptor { producers, consumer: 0, schema: schema() };
    (partitions, environment.create_gate(gate, Arc::new(Notifier::default())).unwrap())
}

fn row(element: &Element) -> i64 {
    match element {
        Element::Batch(batch) => keys(batch)[0],
        Element::Event(event) => panic!("{event:?} is no row"),
    }
}

#[test]
fn a_blocked_channel_keeps_what_it_has_and_does_not_spin() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, mut gate) = local(&cluster.producer, 2, false);
    gate.block(0);
    partitions[0].emit(rows(1, 2)).unwrap();
    partitions[1].emit(rows(2, 3)).unwrap();
    assert_eq!(row(&gate.poll().unwrap().unwrap().1), 2);
    for _ in 0..10 {
        assert!(gate.poll().unwrap().is_none());
    }
    let mut sent = 1;
    while partitions[0].is_available() {
        partitions[0].emit(rows(0, 1000)).unwrap();
        sent += 1;
    }
    assert!(sent > 2);
    assert!(gate.poll().unwrap().is_none());
    gate.resume(0);
    for at in 0..sent {
        let (channel, element) = gate.poll().unwrap().unwrap();
        assert_eq!((channel, row(&element)), (0, i64::from(at == 0)));
    }
    assert!(partitions[0].is_available());
}

/// A task that takes no rows now hears of the events that no rows are before, and gets the rows in their place when it takes them.
#[test]
fn events_come_without_the_rows_of_other_channels() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, mut gate) = local(&cluster.producer, 2, false);
    partitions[0].emit(rows(1, 2)).unwrap();
    partitions[0].broadcast(Event::Watermark(7)).unwrap();
    partitions[1].broadcast(Event::Watermark(5)).unwrap();
    assert!(matches!(gate.poll_events().unwrap(), Some((1, Element::Event(Event::Watermark(5))))));
    for _ in 0..10 {
        assert!(gate.poll_events().unwrap().is_none());
    }
    partitions[0].barrier(&as_barrier(barrier(1, true))).unwrap();
    assert!(matches!(gate.poll_events().unwrap(), Some((0, Element::Event(Event::Barrier(_))))));
    assert!(gate.poll_events().unwrap().is_none());
    assert_eq!(row(&gate.poll().unwrap().unwrap().1), 1);
    assert!(matches!(gate.poll_events().unwrap(), Some((0, Element::Event(Event::Watermark(7))))));
    assert!(gate.poll().unwrap().is_none());
}

/// Before, the first channel came first again each time that rows were taken: the others had their turn when it had run dry.
#[test]
fn channels_take_turns_though_rows_are_taken_only_now_and_then() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, mut gate) = local(&cluster.producer, 3, false);
    for step in 0..3 {
        for (channel, partition) in (0..).zip(&mut partitions) {
            let row = 10 * channel + step;
            partition.emit(rows(row, row + 1)).unwrap();
        }
    }
    let mut taken = Vec::new();
    for _ in 0..9 {
        assert!(gate.poll_events().unwrap().is_none());
        taken.push(row(&gate.poll().unwrap().unwrap().1));
    }
    assert_eq!(taken, [0, 10, 20, 1, 11, 21, 2, 12, 22]);
    assert!(gate.poll().unwrap().is_none());
}

#[test]
fn events_come_without_the_rows_of_a_connection() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let mut reader = cluster.gate(&[id], 0);
    let (mut partition, _waiter) = cluster.partition(id, 1, Partitioner::Forward);
    partition.broadcast(Event::Watermark(5)).unwrap();
    partition.emit(rows(1, 2)).unwrap();
    partition.broadcast(Event::Watermark(7)).unwrap();
    let first = loop {
        match reader.gate.poll_events().unwrap() {
            Some(first) => break first,
            None => assert!(reader.notifier.wait("input", Some(Duration::from_secs(10)))),
        }
    };
    assert!(matches!(first, (0, Element::Event(Event::Watermark(5)))));
    for _ in 0..10 {
        assert!(reader.gate.poll_events().unwrap().is_none());
    }
    assert_eq!(row(&reader.next().unwrap().1), 1);
    assert!(matches!(reader.next().unwrap(), (0, Element::Event(Event::Watermark(7)))));
}

#[test]
fn a_blocked_channel_of_a_connection_holds_its_producer_back_and_no_other() {
    let cluster = Cluster::start(Options::default());
    let ids = [partition_id(1, 0), partition_id(1, 1)];
    let mut reader = cluster.gate(&ids, 0);
    let producers: Vec<_> = ids
        .iter()
        .map(|id| {
            let (mut partition, waiter) = cluster.partition(*id, 1, Partitioner::Forward);
            let thread = thread::spawn(move || {
                (0..200).for_each(|step| partition.emit(rows(step * 1000, step * 1000 + 1000)).unwrap());
                partition.broadcast(Event::EndOfInput).unwrap();
                partition.drain().unwrap();
            });
            (waiter, thread)
        })
        .collect();
    reader.gate.block(0);
    let mut other = 0;
    loop {
        match reader.next().unwrap() {
            (1, Element::Batch(batch)) => other += batch.num_rows(),
            (1, Element::Event(Event::EndOfInput)) => break,
            (channel, element) => panic!("{element:?} on channel {channel}"),
        }
    }
    assert_eq!(other, 200_000);
    eventually("back-pressure", || producers[0].0.notifier().waiting_for().is_some());
    reader.gate.resume(0);
    let (batches, _) = reader.read_all().unwrap();
    assert_eq!(batches.iter().flat_map(keys).collect::<Vec<_>>(), (0..200_000).collect::<Vec<_>>());
    producers.into_iter().for_each(|(_, thread)| thread.join().unwrap());
}

/// Rows that came out of the gate, that the barrier overtook in it, and that it overtook before: each once, in order.
#[test]
fn an_urgent_barrier_overtakes_every_queue_and_loses_no_row() {
    for remote in [true, false] {
        let cluster = Cluster::start(Options::default());
        let id = partition_id(1, 0);
        let (mut partition, mut gate, notifier) = if remote {
            let (partition, _) = cluster.partition(id, 1, Partitioner::Forward);
            let Reader { gate, notifier } = cluster.gate(&[id], 0);
            (partition, gate, notifier)
        } else {
            let (mut partitions, gate) = local(&cluster.producer, 1, false);
            (partitions.pop().unwrap(), gate, Arc::default())
        };
        let mut sent = 0;
        loop {
            while partition.is_available() {
                partition.emit(rows(sent, sent + 700)).unwrap();
                sent += 700;
            }
            // What the connection takes makes room again, up to a point.
            thread::sleep(Duration::from_millis(20));
            if !partition.is_available() {
                break;
            }
        }
        // Some wait for company, too.
        let output = partition.barrier(&as_barrier(barrier(1, true))).unwrap();
        let output: Vec<i64> = output.iter().flat_map(|output| &output.rows).flat_map(keys).collect();
        let mut found = loop {
            if gate.take_urgent() {
                break gate.overtake(|barrier| barrier.urgent).unwrap();
            }
            assert!(notifier.wait("a barrier", Some(Duration::from_secs(10))));
        };
        let found = found.pop().unwrap();
        assert_eq!((found.channel, as_sent(found.barrier)), (0, as_barrier(barrier(1, true))));
        let input: Vec<i64> = found.rows.iter().flat_map(keys).collect();
        let in_flight: Vec<i64> = input.iter().chain(&output).copied().collect();
        assert_eq!(in_flight, (0..sent).collect::<Vec<_>>(), "remote: {remote}");
        assert_eq!(input.is_empty(), !remote);
        // All of them come, and no second barrier.
        let mut read = 0;
        while read < sent {
            match gate.poll().unwrap() {
                Some((_, Element::Batch(batch))) => read += batch.num_rows() as i64,
                Some((_, Element::Event(event))) => panic!("{event:?}"),
                None => assert!(notifier.wait("rows", Some(Duration::from_secs(10)))),
            }
        }
        assert!(!gate.take_urgent());
    }
}

/// Its producer cannot let it overtake any more: the consumer is told that it is there.
#[test]
fn a_barrier_behind_rows_of_a_connection_is_told() {
    let cluster = Cluster::start(Options::default());
    let id = partition_id(1, 0);
    let mut reader = cluster.gate(&[id], 0);
    let (mut partition, _waiter) = cluster.partition(id, 1, Partitioner::Forward);
    for checkpoint in 1..=3 {
        // The first one may find the queue empty, and then it is in its place.
        partition.barrier(&as_barrier(barrier(checkpoint, false))).unwrap();
        partition.emit(rows(0, 10)).unwrap();
    }
    partition.broadcast(Event::Watermark(7)).unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&3) {
        told.extend(reader.gate.take_waiting().into_iter().map(|barrier| barrier.checkpoint));
        assert!(told.last() == Some(&3) || reader.notifier.wait("barriers", Some(Duration::from_secs(10))));
    }
    assert_eq!(told, [2, 3]);
    let found = reader.gate.overtake(|barrier| barrier.checkpoint == 3).unwrap().pop().unwrap();
    assert_eq!(found.rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
    assert!(reader.gate.take_waiting().is_empty());
}

#[test]
fn a_barrier_that_waits_becomes_urgent() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, mut gate) = local(&cluster.producer, 1, false);
    let partition = &mut partitions[0];
    partition.emit(rows(0, 10)).unwrap();
    partition.barrier(&as_barrier(barrier(1, false))).unwrap();
    partition.emit(rows(10, 20)).unwrap();
    assert!(partition.holds_barrier(1) && !partition.holds_barrier(2) && !gate.take_urgent());
    let overtaken = partition.make_urgent(1).unwrap();
    assert_eq!(
        overtaken.iter().flat_map(|output| &output.rows).flat_map(keys).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    assert!(partition.make_urgent(1).unwrap().is_empty());
    // A second one goes behind the first, and overtakes what the first did.
    let overtaken = partition.barrier(&as_barrier(barrier(2, true))).unwrap();
    assert_eq!(overtaken[0].rows.iter().flat_map(keys).count(), 20);
    assert!(gate.take_urgent());
    for checkpoint in [1, 2] {
        assert!(partition.holds_barrier(checkpoint));
        let event = gate.poll().unwrap().unwrap().1;
        assert!(
            matches!(event, Element::Event(Event::Barrier(found)) if found == as_barrier(barrier(checkpoint, true)))
        );
        assert!(!partition.holds_barrier(checkpoint));
    }
    assert_eq!(row(&gate.poll().unwrap().unwrap().1), 0);
    assert_eq!(row(&gate.poll().unwrap().unwrap().1), 10);
}

#[test]
fn a_barrier_precedes_an_end_that_nobody_has_seen() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, mut gate) = local(&cluster.producer, 1, false);
    let partition = &mut partitions[0];
    partition.emit(rows(0, 10)).unwrap();
    partition.broadcast(Event::EndOfInput).unwrap();
    partition.barrier(&as_barrier(barrier(1, false))).unwrap();
    let overtaken = partition.barrier(&as_barrier(barrier(2, true))).unwrap();
    assert_eq!(overtaken.len(), 1);
    let mut read = || gate.poll().unwrap().unwrap().1;
    assert!(matches!(read(), Element::Event(Event::Barrier(Barrier { checkpoint: 2, .. }))));
    assert!(matches!(read(), Element::Batch(_)));
    assert!(matches!(read(), Element::Event(Event::Barrier(Barrier { checkpoint: 1, .. }))));
    assert!(!partition.is_drained());
    assert!(matches!(read(), Element::Event(Event::EndOfInput)));
    partition.barrier(&as_barrier(barrier(3, false))).unwrap();
    assert!(gate.poll().unwrap().is_none(), "whoever has seen the end gets no barrier");
    assert!(partition.is_drained());
}

#[test]
fn a_step_that_has_begun_does_not_wait_where_barriers_may_overtake() {
    let cluster = Cluster::start(Options::default());
    let (mut partitions, gate) = local(&cluster.producer, 1, true);
    let partition = &mut partitions[0];
    while partition.is_available() {
        partition.emit(rows(0, 1000)).unwrap();
    }
    // Nobody reads: without the overdraft this would wait for ever.
    partition.emit(rows(0, 10_000)).unwrap();
    assert!(!partition.is_available());
    assert_eq!(partition.waited(), Duration::ZERO);
    drop((partitions, gate));
    assert_eq!(cluster.producer.pool().available(), cluster.producer.pool().total());
}

/// Passes so many bytes of the producer on, then cuts.
fn cutting_proxy(producer: String, bytes: usize) -> String {
    proxy(producer, move |mut from, mut to| {
        let mut left = bytes;
        let mut buffer = [0; 4096];
        while left > 0 {
            let wanted = left.min(buffer.len());
            match from.read(&mut buffer[..wanted]) {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    to.write_all(&buffer[..read]).unwrap();
                    left -= read;
                }
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    })
}

/// Wherever a connection is cut during a checkpoint: the task hears of it although the channel is blocked, and the producer
/// and the memory are free.
#[test]
fn a_cut_anywhere_leaves_no_blocked_channel_behind() {
    let cluster = Cluster::start(Options::default());
    let (mut cut, mut job) = (1, 0);
    let length = loop {
        job += 1;
        let id = partition_id(job, 0);
        let address = cutting_proxy(cluster.producer_address(), cut);
        let (mut partition, waiter) = cluster.partition(id, 1, Partitioner::Forward);
        let mut reader = cluster.gate_at(&address, &[id], 0);
        partition.emit(rows(0, 3)).unwrap();
        partition.barrier(&as_barrier(barrier(1, false))).unwrap();
        partition.emit(rows(3, 6)).unwrap();
        partition.barrier(&as_barrier(barrier(2, true))).unwrap();
        partition.emit(rows(6, 9)).unwrap();
        partition.broadcast(Event::EndOfInput).unwrap();
        let ended = loop {
            match reader.next() {
                Ok((channel, Element::Event(Event::Barrier(_)))) => {
                    reader.gate.block(channel);
                    // A barrier that does not wait is taken though the channel is blocked.
                    reader.gate.overtake(|barrier| barrier.urgent).unwrap();
                    if cut < 700 {
                        continue;
                    }
                    reader.gate.resume(channel);
                }
                Ok((_, Element::Event(Event::EndOfInput))) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        waiter.cancel();
        drop((reader, partition));
        eventually("giving everything back", || {
            cluster.consumer.pool().available() == cluster.consumer.pool().total()
                && cluster.producer.pool().available() == cluster.producer.pool().total()
                && cluster.producer.registered() == 0
        });
        if ended {
            break cut;
        }
        cut += 61;
        assert!(cut < 20_000);
    };
    assert!(length > 700, "{length}");
}

#[derive(Clone, Debug)]
enum Step {
    Emit(usize),
    Barrier(usize, bool),
    Block(usize),
    Resume(usize),
    Poll,
    Overtake,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Emit),
        1 => (0..3_usize, any::<bool>()).prop_map(|(channel, urgent)| Step::Barrier(channel, urgent)),
        1 => (0..3_usize).prop_map(Step::Block),
        2 => (0..3_usize).prop_map(Step::Resume),
        5 => Just(Step::Poll),
        1 => Just(Step::Overtake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is blocked, resumed and overtaken: rows keep the order of their channel, none is lost or comes from a blocked
    /// channel, and what a barrier is said to have overtaken is what was not read.
    #[test]
    fn blocking_and_overtaking_keep_every_row(steps in prop::collection::vec(step(), 1..150)) {
        let cluster = Cluster::start(Options::default());
        let (mut partitions, mut gate) = local(&cluster.producer, 3, true);
        let (mut sent, mut read, mut blocked, mut checkpoint) = ([0_i64; 3], [0_i64; 3], [false; 3], 0);
        let mut barriers = [0, 0, 0];
        for step in steps {
            match step {
                Step::Emit(channel) if partitions[channel].is_available() => {
                    partitions[channel].emit(rows(sent[channel], sent[channel] + 1)).unwrap();
                    sent[channel] += 1;
                }
                Step::Emit(_) => {}
                Step::Barrier(channel, urgent) => {
                    checkpoint += 1;
                    let overtaken = partitions[channel].barrier(&as_barrier(barrier(checkpoint, urgent))).unwrap();
                    let overtaken: Vec<i64> = overtaken.iter().flat_map(|output| &output.rows).flat_map(keys).collect();
                    let unread: Vec<i64> = if urgent { (read[channel]..sent[channel]).collect() } else { vec![] };
                    prop_assert_eq!(overtaken, unread);
                    barriers[channel] += 1;
                }
                Step::Block(channel) => {
                    gate.block(channel);
                    blocked[channel] = true;
                }
                Step::Resume(channel) => {
                    gate.resume(channel);
                    blocked[channel] = false;
                }
                Step::Overtake => {
                    for overtaken in gate.overtake(|_| true).unwrap() {
                        let rows: Vec<i64> = overtaken.rows.iter().flat_map(keys).collect();
                        let from = read[overtaken.channel];
                        prop_assert_eq!(&rows, &(from..from + rows.len() as i64).collect::<Vec<_>>());
                        barriers[overtaken.channel] -= 1;
                    }
                }
                Step::Poll => match gate.poll().unwrap() {
                    Some((channel, Element::Batch(batch))) => {
                        prop_assert!(!blocked[channel]);
                        prop_assert_eq!(keys(&batch), [read[channel]]);
                        read[channel] += 1;
                    }
                    Some((channel, Element::Event(_))) => {
                        prop_assert!(!blocked[channel]);
                        barriers[channel] -= 1;
                    }
                    None => {
                        for channel in 0..3 {
                            prop_assert!(blocked[channel] || read[channel] == sent[channel]);
                        }
                    }
                },
            }
        }
        (0..3).for_each(|channel| gate.resume(channel));
        while let Some((channel, element)) = gate.poll().unwrap() {
            match element {
                Element::Batch(_) => read[channel] += 1,
                Element::Event(_) => barriers[channel] -= 1,
            }
        }
        prop_assert_eq!((read, barriers), (sent, [0; 3]));
    }
}

/// Else a second state would have what was in flight already in the first one beside what is new, on channels whose order it
/// does not know.
#[test]
fn no_barrier_overtakes_what_is_sent_again() {
    let cluster = Cluster::start(Options::default());
    for becomes_urgent in [false, true] {
        let (mut partitions, mut gate) = local(&cluster.producer, 1, true);
        let partition = &mut partitions[0];
        partition.replay(0, rows(1, 2)).unwrap();
        partition.replayed().unwrap();
        partition.emit(rows(2, 3)).unwrap();
        let overtaken = if becomes_urgent {
            partition.barrier(&as_barrier(barrier(1, false))).unwrap();
            partition.emit(rows(3, 4)).unwrap();
            partition.make_urgent(1).unwrap()
        } else {
            let overtaken = partition.barrier(&as_barrier(barrier(1, true))).unwrap();
            partition.emit(rows(3, 4)).unwrap();
            overtaken
        };
        assert_eq!(overtaken.iter().flat_map(|output| &output.rows).flat_map(keys).collect::<Vec<_>>(), [2]);
        // Once it is read, barriers go before everything again.
        assert_eq!(row(&gate.poll().unwrap().unwrap().1), 1);
        assert!(matches!(gate.poll().unwrap(), Some((0, Element::Event(Event::Replayed)))));
        let overtaken = partition.barrier(&as_barrier(barrier(2, true))).unwrap();
        assert_eq!(overtaken.iter().flat_map(|output| &output.rows).flat_map(keys).collect::<Vec<_>>(), [2, 3]);
        for checkpoint in [1, 2] {
            let came = gate.poll().unwrap();
            assert!(
                matches!(&came, Some((0, Element::Event(Event::Barrier(b)))) if b.checkpoint == checkpoint),
                "{came:?}"
            );
        }
        assert_eq!([0, 0].map(|_| row(&gate.poll().unwrap().unwrap().1)), [2, 3]);
    }
}

/// What was in flight to two consumers is sent to three: each row once, to the consumer that has its key now.
#[test]
fn rows_in_flight_find_their_new_consumers() {
    let cluster = Cluster::start(Options::default());
    let hash = Partitioner::Hash { keys: vec![0], max_parallelism: 128 };
    let make = |job: u8, consumers: u32, partitioner: &Partitioner| {
        let descriptor = PartitionDescriptor {
            id: partition_id(job, 0),
            consumers: (0..consumers).map(|consumer| (consumer, false)).collect(),
            partitioner: partitioner.clone(),
            schema: schema(),
            flush: Flush::WhenFull,
            overdraft: true,
        };
        let partition = cluster.producer.create_partition(descriptor, Waiter::default()).unwrap();
        let gates = (0..consumers).map(|consumer| {
            let producers = vec![(partition_id(job, 0), None)];
            let gate = GateDescriptor { producers, consumer, schema: schema() };
            cluster.producer.create_gate(gate, Arc::new(Notifier::default())).unwrap()
        });
        (partition, gates.collect::<Vec<_>>())
    };
    for (job, partitioner) in [(1, &hash), (3, &Partitioner::Rebalance)] {
        let (mut old, _gates) = make(job, 2, partitioner);
        for step in 0..20 {
            old.emit(rows(step * 100, step * 100 + 100)).unwrap();
        }
        let in_flight = old.barrier(&as_barrier(barrier(1, true))).unwrap();
        assert_eq!(in_flight.iter().flat_map(|output| &output.rows).flat_map(keys).count(), 2000);
        let (mut new, mut gates) = make(job + 1, 3, partitioner);
        for output in in_flight {
            output.rows.into_iter().for_each(|rows| new.replay(output.consumer + 1, rows).unwrap());
        }
        new.broadcast(Event::EndOfInput).unwrap();
        let mut all = vec![];
        for (consumer, gate) in gates.iter_mut().enumerate() {
            while let Some((_, Element::Batch(batch))) = gate.poll().unwrap() {
                let subtasks =
                    wiesel_common::keygroup::subtasks(&batch.columns()[..1], batch.num_rows(), 3, 128).unwrap();
                assert!(*partitioner != hash || subtasks.iter().all(|subtask| *subtask as usize == consumer));
                all.extend(keys(&batch));
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
    }
}
