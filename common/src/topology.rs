//! Which subtasks an edge connects: the JobManager and the TaskManagers must agree.
//!
//! A pointwise edge (forward, rescale) connects each subtask with a few of the other side, any other edge with all of them.
use std::ops::Range;

/// The consumers of a producer.
pub fn consumers(pointwise: bool, producer: u32, producers: u32, consumers: u32) -> Range<u32> {
    if !pointwise {
        return 0..consumers;
    }
    if producers > consumers {
        // Each consumer reads a range of producers: this producer is in the last one that begins no later.
        let (producer, producers, consumers) = (u64::from(producer), u64::from(producers), u64::from(consumers));
        let consumer = (((producer + 1) * consumers).div_ceil(producers).max(1) - 1) as u32;
        return consumer..consumer + 1;
    }
    spread(producer, producers, consumers)
}

/// The producers of a consumer.
pub fn producers(pointwise: bool, consumer: u32, producers: u32, consumers: u32) -> Range<u32> {
    if !pointwise {
        return 0..producers;
    }
    if producers > consumers {
        return pointwise_range(consumer, consumers, producers);
    }
    // The last producer whose range begins no later.
    let producer = (u64::from(consumer) * u64::from(producers) / u64::from(consumers)) as u32;
    producer..producer + 1
}

/// The `index`th of `parts` nearly equal ranges of `total`, as Flink cuts producers for fewer consumers.
fn pointwise_range(index: u32, parts: u32, total: u32) -> Range<u32> {
    let at = |index: u32| (u64::from(index) * u64::from(total) / u64::from(parts)) as u32;
    at(index)..at(index + 1)
}

/// The same for consumers of fewer producers, where Flink rounds up.
fn spread(index: u32, parts: u32, total: u32) -> Range<u32> {
    let at = |index: u32| (u64::from(index) * u64::from(total)).div_ceil(u64::from(parts)) as u32;
    at(index)..at(index + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{consumers, producers};

    proptest! {
        /// Both ends of an edge agree, and no subtask is left out.
        #[test]
        fn both_ends_agree(p in 1..40_u32, c in 1..40_u32, pointwise in any::<bool>()) {
            for producer in 0..p {
                let targets = consumers(pointwise, producer, p, c);
                prop_assert!(!targets.is_empty());
                for consumer in 0..c {
                    let sources = producers(pointwise, consumer, p, c);
                    prop_assert!(!sources.is_empty());
                    prop_assert_eq!(targets.contains(&consumer), sources.contains(&producer));
                }
            }
        }
    }

    #[test]
    fn equal_parallelism_is_one_to_one() {
        for subtask in 0..5 {
            assert_eq!(consumers(true, subtask, 5, 5), subtask..subtask + 1);
            assert_eq!(producers(true, subtask, 5, 5), subtask..subtask + 1);
        }
    }
}
