//! Which subtasks an edge connects.
use std::ops::Range;

use wiesel_common::topology;
use wiesel_proto as proto;

/// The consumers of a producer.
pub(crate) fn consumers(partitioner: proto::Partitioner, producer: u32, producers: u32, consumers: u32) -> Range<u32> {
    topology::consumers(is_pointwise(partitioner), producer, producers, consumers)
}

/// The producers of a consumer.
pub(crate) fn producers(partitioner: proto::Partitioner, consumer: u32, producers: u32, consumers: u32) -> Range<u32> {
    topology::producers(is_pointwise(partitioner), consumer, producers, consumers)
}

fn is_pointwise(partitioner: proto::Partitioner) -> bool {
    matches!(partitioner, proto::Partitioner::Forward | proto::Partitioner::Rescale)
}
