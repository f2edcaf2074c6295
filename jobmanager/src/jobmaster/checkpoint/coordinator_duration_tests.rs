//! Durations that never end, as Flink's users write them.
use super::*;

/// The most milliseconds that Flink has, and the longest duration that can be written.
const NEVER: [&str; 2] = ["9223372036854775807", "9223372036854775807 s"];

/// Before, the sum of such a duration and the time overflowed.
#[test]
fn a_checkpoint_that_may_take_for_ever_is_not_given_up() {
    for never in NEVER {
        let mut fixture = Fixture::new(&[("timeout", never), ("aligned-checkpoint-timeout", never)]);
        fixture.now = 1_000;
        let actions = fixture.request(Request::Checkpoint { ticket: 1, full: false });
        assert!(matches!(actions[..], [Action::Prepare { id: 1 }]), "{actions:?}");
        assert!(fixture.at(i64::MAX - 1).is_empty());
        fixture.now = 2_000;
        let actions = fixture.run(1);
        assert!(actions.iter().any(|action| matches!(action, Action::Completed { id: 1, .. })), "{actions:?}");
    }
}

#[test]
fn no_checkpoint_is_due_before_for_ever_is_over() {
    for never in NEVER {
        for pairs in [&[("interval", never)][..], &[("interval", "1 s"), ("min-pause", never)]] {
            let mut fixture = Fixture::new(pairs);
            assert_eq!(fixture.coordinator.next_tick(0), Some(i64::MAX));
            assert!(fixture.at(i64::MAX - 1).is_empty());
            // Also where the first one is due between the pause and the interval, and after a stop that failed.
            fixture.coordinator.suspend(Reason::CoordinatorSuspend, 5_000);
            fixture.coordinator.resume(5_000, 1.0);
            fixture.coordinator.stop_periodic();
            fixture.coordinator.start_periodic(5_000);
            assert_eq!(fixture.coordinator.next_tick(5_000), Some(i64::MAX));
            // The moment itself: what is due next is not before it.
            fixture.at(i64::MAX);
            assert_eq!(fixture.coordinator.next_tick(i64::MAX).unwrap_or(i64::MAX), i64::MAX);
        }
    }
}
