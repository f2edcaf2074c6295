//! The decisions one by one, and a task that reads random channels.
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Of a task that barriers may overtake in.
fn overtaking(channels: usize) -> Barriers {
    let mut barriers = Barriers::new(channels);
    barriers.allow_overtaking();
    barriers
}

/// So many milliseconds after the time from which the tests count.
fn at(millis: u64) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START + Duration::from_millis(millis)
}

/// A checkpoint that began after a second, by whatever clock the JobManager has.
fn local(message: CheckpointBarrier) -> Arc<LocalBarrier> {
    Arc::new(LocalBarrier { message: CheckpointBarrier { timestamp: i64::MAX, ..message }, began: at(1000) })
}

fn aligned(id: u64) -> Arc<LocalBarrier> {
    local(CheckpointBarrier { checkpoint_id: id, ..CheckpointBarrier::default() })
}

fn at_least_once(id: u64) -> Arc<LocalBarrier> {
    local(CheckpointBarrier { checkpoint_id: id, at_least_once: true, ..CheckpointBarrier::default() })
}

fn unaligned(id: u64, alignment_timeout: u64) -> Arc<LocalBarrier> {
    let barrier = CheckpointBarrier { checkpoint_id: id, unaligned_allowed: true, ..CheckpointBarrier::default() };
    local(CheckpointBarrier { alignment_timeout, ..barrier })
}

fn snapshot(barrier: &Arc<LocalBarrier>, since: u64, unaligned: bool) -> Action {
    Action::Snapshot { barrier: barrier.clone(), since: at(since), unaligned }
}

fn given_up(checkpoint: u64, actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::GiveUp { checkpoint: id, .. } if *id == checkpoint))
}

#[test]
fn channels_wait_for_the_last_barrier() {
    let mut barriers = overtaking(3);
    let first = aligned(1);
    assert_eq!(barriers.barrier(1, &first, at(5)), [Action::Block(1)]);
    assert_eq!(barriers.barrier(0, &first, at(6)), [Action::Block(0)]);
    assert_eq!(barriers.barrier(2, &first, at(7)), [snapshot(&first, 5, false), Action::Resume(1), Action::Resume(0)]);
    assert_eq!(barriers.barrier(2, &first, at(8)), []);
}

/// A task that another JobMaster has taken over: what the one before it began is over.
#[test]
fn barriers_of_what_is_forgotten_block_nothing() {
    let mut barriers = overtaking(2);
    let (begun, on_its_way, next) = (aligned(7), aligned(9), aligned(1001));
    assert_eq!(barriers.barrier(0, &begun, at(5)), [Action::Block(0)]);
    let forgotten = [Action::Resume(0), Action::GiveUp { checkpoint: 7, reason: None }];
    assert_eq!(barriers.forget_before(1001), forgotten);
    assert_eq!(barriers.barrier(1, &begun, at(6)), []);
    assert_eq!(barriers.barrier(0, &on_its_way, at(7)), []);
    assert_eq!(barriers.barrier(0, &next, at(8)), [Action::Block(0)]);
    assert_eq!(barriers.barrier(1, &on_its_way, at(9)), []);
    assert_eq!(barriers.barrier(1, &next, at(10)), [snapshot(&next, 8, false), Action::Resume(0)]);
    assert_eq!(barriers.forget_before(1001), [], "the same again");
    assert!(!barriers.may_overtake(1000) && barriers.may_overtake(1002));
}

#[test]
fn at_least_once_blocks_nothing_and_counts_several_checkpoints() {
    let mut barriers = overtaking(2);
    let (first, second, third) = (at_least_once(1), at_least_once(2), at_least_once(3));
    assert_eq!(barriers.barrier(0, &first, at(1)), []);
    assert_eq!(barriers.barrier(0, &second, at(2)), []);
    assert_eq!(barriers.barrier(1, &first, at(3)), [snapshot(&first, 1, false)]);
    assert_eq!(barriers.barrier(0, &third, at(4)), []);
    // The second channel never heard of the second checkpoint.
    let actions = barriers.barrier(1, &third, at(5));
    assert_eq!(actions[0], snapshot(&third, 4, false));
    assert!(given_up(2, &actions));
    assert_eq!(barriers.barrier(1, &second, at(6)), []);
}

#[test]
fn a_newer_barrier_ends_an_older_checkpoint() {
    let mut barriers = overtaking(2);
    barriers.barrier(0, &aligned(1), at(1));
    let actions = barriers.barrier(1, &aligned(2), at(2));
    assert_eq!(actions[0], Action::Resume(0));
    assert!(given_up(1, &actions));
    assert_eq!(actions.last(), Some(&Action::Block(1)));
    // What comes of the first is of no use.
    assert_eq!(barriers.barrier(1, &aligned(1), at(3)), []);
    assert_eq!(barriers.barrier(0, &aligned(2), at(4)), [snapshot(&aligned(2), 2, false), Action::Resume(1)]);
}

#[test]
fn an_abort_resumes_and_holds_for_barriers_that_come_later() {
    let mut barriers = overtaking(2);
    barriers.barrier(0, &aligned(1), at(1));
    assert_eq!(barriers.aborted(1), [Action::Resume(0), Action::GiveUp { checkpoint: 1, reason: None }]);
    assert_eq!(barriers.barrier(1, &aligned(1), at(2)), []);
    assert_eq!(barriers.aborted(2), []);
    assert_eq!(barriers.barrier(0, &aligned(2), at(3)), []);
    assert_eq!(barriers.barrier(0, &aligned(3), at(3)), [Action::Block(0)]);
}

/// Before, nothing was said of the older one, which the JobMaster went on waiting for, or took for complete without this task
/// when that ended.
#[test]
fn a_barrier_that_comes_after_a_newer_checkpoint_has_begun_is_declined_once() {
    let mut barriers = overtaking(2);
    assert_eq!(barriers.triggered(&aligned(5), at(1)), []);
    for channel in 0..2 {
        let actions = barriers.barrier(channel, &aligned(4), at(2));
        assert_eq!(given_up(4, &actions), channel == 0, "{actions:?}");
    }
    assert_eq!(barriers.triggered(&aligned(4), at(2)), []);
    assert_eq!(barriers.ended(0), []);
    assert_eq!(barriers.ended(1), [snapshot(&aligned(5), 1, false)]);
    // A newer one overtook it in its queue.
    let mut barriers = overtaking(1);
    assert_eq!(
        barriers.overtaken(0, &unaligned(2, 0), at(2000)).first(),
        Some(&snapshot(&unaligned(2, 0), 2000, true))
    );
    assert!(!barriers.may_overtake(1));
    assert!(given_up(1, &barriers.barrier(0, &unaligned(1, 0), at(2001))));
    // Nor is it waited for where nothing is blocked.
    let mut barriers = overtaking(1);
    assert_eq!(barriers.barrier(0, &at_least_once(2), at(1)), [snapshot(&at_least_once(2), 1, false)]);
    assert!(given_up(1, &barriers.barrier(0, &at_least_once(1), at(2))));
}

#[test]
fn many_that_were_given_up_do_not_end_one_that_waits_for_its_barriers() {
    let mut barriers = overtaking(2);
    barriers.barrier(0, &aligned(1), at(1));
    (2..=MAX_REMEMBERED as u64 + 2).for_each(|checkpoint| assert_eq!(barriers.aborted(checkpoint), []));
    assert_eq!(barriers.barrier(1, &aligned(1), at(2)), [snapshot(&aligned(1), 1, false), Action::Resume(0)]);
}

/// A source: before, the trigger of a savepoint that comes behind its abort made it wait for the outcome for ever.
#[test]
fn a_task_without_channels_begins_what_it_is_told_unless_that_was_given_up() {
    let mut barriers = Barriers::new(0);
    assert_eq!(barriers.triggered(&aligned(1), at(1)), [snapshot(&aligned(1), 1, false)]);
    assert_eq!(barriers.triggered(&aligned(1), at(2)), []);
    assert_eq!(barriers.aborted(3), []);
    assert_eq!(barriers.triggered(&aligned(3), at(3)), []);
    assert_eq!(barriers.triggered(&aligned(4), at(4)), [snapshot(&aligned(4), 4, false)]);
    assert!(given_up(2, &barriers.triggered(&aligned(2), at(5))));
}

#[test]
fn a_channel_that_ended_is_not_waited_for() {
    let mut barriers = overtaking(3);
    assert_eq!(barriers.ended(1), []);
    barriers.barrier(0, &aligned(1), at(1));
    assert_eq!(barriers.ended(2), [snapshot(&aligned(1), 1, false), Action::Resume(0)]);
    assert_eq!(barriers.barrier(0, &aligned(2), at(1)), [snapshot(&aligned(2), 1, false)]);
    // The JobMaster triggers it once no producer is left to send a barrier.
    assert_eq!(barriers.triggered(&aligned(3), at(2)), []);
    assert_eq!(barriers.ended(0), [snapshot(&aligned(3), 2, false)]);
    assert_eq!(barriers.triggered(&aligned(4), at(3)), [snapshot(&aligned(4), 3, false)]);
    assert_eq!(barriers.triggered(&aligned(4), at(3)), []);
}

#[test]
fn an_unaligned_checkpoint_records_until_the_last_barrier() {
    let mut barriers = overtaking(2);
    let first = unaligned(1, 0);
    let actions = barriers.overtaken(0, &first, at(2000));
    assert_eq!(actions, [snapshot(&first, 2000, true)]);
    assert_eq!((barriers.records(0), barriers.records(1)), (None, Some(1)));
    assert_eq!(barriers.barrier(1, &first, at(2001)), [Action::Recorded(1)]);
    assert_eq!(barriers.records(1), None);
}

#[test]
fn an_aligned_checkpoint_becomes_unaligned_in_time() {
    let mut barriers = overtaking(3);
    let first = unaligned(1, 100);
    assert_eq!(barriers.barrier(0, &first, at(1050)), [Action::Block(0)]);
    assert_eq!(barriers.deadline(), Some(at(1100)));
    assert_eq!(barriers.time(at(1099)), []);
    assert_eq!(barriers.time(at(1100)), [snapshot(&first, 1050, true), Action::Resume(0)]);
    assert_eq!(barriers.deadline(), None);
    assert_eq!(barriers.overtaken(1, &first, at(1101)), []);
    assert_eq!(barriers.records(2), Some(1));
    assert_eq!(barriers.ended(2), [Action::Recorded(1)]);
}

/// Before, the JobManager's wall clock was compared with this machine's: one that was behind made every checkpoint unaligned at
/// once, one that was ahead none in time.
#[test]
fn no_clock_but_its_own_decides_when_a_checkpoint_becomes_unaligned() {
    for timestamp in [i64::MIN, 0, i64::MAX] {
        let mut barriers = overtaking(2);
        let LocalBarrier { message, began } = (*unaligned(1, 100)).clone();
        let barrier = Arc::new(LocalBarrier { message: CheckpointBarrier { timestamp, ..message }, began });
        assert_eq!(barriers.barrier(0, &barrier, at(1050)), [Action::Block(0)], "{timestamp}");
        assert_eq!(barriers.time(at(1099)), []);
        assert_eq!(barriers.time(at(1100)), [snapshot(&barrier, 1050, true), Action::Resume(0)], "{timestamp}");
    }
}

#[test]
fn where_rows_must_not_be_overtaken_it_stays_aligned() {
    let mut barriers = Barriers::new(2);
    let first = unaligned(1, 0);
    assert!(!barriers.may_overtake(1));
    assert_eq!(barriers.barrier(0, &first, at(5000)), [Action::Block(0)]);
    assert_eq!(barriers.deadline(), None);
    assert_eq!(barriers.barrier(1, &first, at(5000)), [snapshot(&first, 5000, false), Action::Resume(0)]);
}

/// What a producer sends.
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Row,
    Barrier(u64),
}

/// What one channel has to offer: barriers rise, some are left out.
fn channel() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec((0..4_usize, prop::bool::weighted(0.9)), 5).prop_map(|steps| {
        let mut sent = Vec::new();
        for (id, (rows, kept)) in steps.into_iter().enumerate() {
            sent.extend(std::iter::repeat_n(Sent::Row, rows));
            if kept {
                sent.push(Sent::Barrier(id as u64 + 1));
            }
        }
        sent
    })
}

/// A task as its driver runs it, with counts instead of rows.
struct Task {
    barriers: Barriers,
    channels: Vec<std::collections::VecDeque<Sent>>,
    blocked: Vec<bool>,
    ended: Vec<bool>,
    processed: Vec<usize>,
    /// For each checkpoint, the rows that count as before it, by channel.
    cut: BTreeMap<u64, Vec<usize>>,
    complete: Vec<u64>,
}

impl Task {
    fn new(barriers: Barriers, channels: &[Vec<Sent>]) -> Self {
        let count = channels.len();
        Self {
            barriers,
            channels: channels.iter().map(|sent| sent.iter().cloned().collect()).collect(),
            blocked: vec![false; count],
            ended: vec![false; count],
            processed: vec![0; count],
            cut: BTreeMap::new(),
            complete: Vec::new(),
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Block(channel) => self.blocked[channel] = true,
                Action::Resume(channel) => self.blocked[channel] = false,
                Action::Snapshot { barrier, unaligned, .. } => {
                    self.cut.insert(barrier.checkpoint_id, self.processed.clone());
                    if !unaligned {
                        self.complete.push(barrier.checkpoint_id);
                    }
                }
                Action::Recorded(checkpoint) => self.complete.push(checkpoint),
                Action::GiveUp { checkpoint, .. } => {
                    self.cut.remove(&checkpoint);
                }
            }
        }
    }

    fn read(&mut self, channel: usize, make: &impl Fn(u64) -> Arc<LocalBarrier>, now: Instant) {
        if self.blocked[channel] || self.ended[channel] {
            return;
        }
        match self.channels[channel].pop_front() {
            Some(Sent::Row) => {
                self.processed[channel] += 1;
                if let Some(checkpoint) = self.barriers.records(channel) {
                    self.cut.get_mut(&checkpoint).unwrap()[channel] += 1;
                }
            }
            Some(Sent::Barrier(id)) => {
                let actions = self.barriers.barrier(channel, &make(id), now);
                self.act(actions);
            }
            None => {
                self.ended[channel] = true;
                let actions = self.barriers.ended(channel);
                self.act(actions);
            }
        }
    }

    /// As the driver does while rows are recorded: takes barriers out of the queues.
    fn overtake(&mut self, channel: usize, make: &impl Fn(u64) -> Arc<LocalBarrier>, now: Instant) {
        let Some(checkpoint) = self.barriers.recording() else { return };
        let Some(at) = self.channels[channel].iter().position(|sent| *sent == Sent::Barrier(checkpoint)) else {
            return;
        };
        let rows = self.channels[channel].range(..at).filter(|sent| **sent == Sent::Row).count();
        self.channels[channel].remove(at);
        self.cut.get_mut(&checkpoint).unwrap()[channel] += rows;
        let actions = self.barriers.overtaken(channel, &make(checkpoint), now);
        self.act(actions);
    }
}

proptest! {
    /// Whatever the order in which channels are read, and whatever is aborted: a complete checkpoint has exactly the rows
    /// before its barriers, and no channel stays blocked.
    #[test]
    fn the_cut_is_exact(
        channels in prop::collection::vec(channel(), 1..5),
        order in prop::collection::vec((0..5_usize, 0..10_u8), 0..200),
        timeout in prop_oneof![Just(None), Just(Some(0)), Just(Some(50_u64))],
        can_overtake in any::<bool>(),
    ) {
        let count = channels.len();
        let make = |id| match timeout {
            Some(timeout) => unaligned(id, timeout),
            None => aligned(id),
        };
        let before = |channel: usize, id: u64| {
            let sent = &channels[channel];
            let at = sent.iter().position(|sent| *sent == Sent::Barrier(id)).unwrap_or(sent.len());
            sent[..at].iter().filter(|sent| **sent == Sent::Row).count()
        };
        let barriers = if can_overtake { overtaking(count) } else { Barriers::new(count) };
        let mut task = Task::new(barriers, &channels);
        let mut now = at(1000);
        for (channel, what) in order {
            now += Duration::from_millis(1);
            match what {
                0 => {
                    let actions = task.barriers.time(now);
                    task.act(actions);
                }
                1 => task.overtake(channel % count, &make, now),
                2 if channel == 0 => {
                    let latest = task.cut.keys().last().copied().unwrap_or(0) + 1;
                    let actions = task.barriers.aborted(latest);
                    task.act(actions);
                }
                _ => task.read(channel % count, &make, now),
            }
        }
        for _ in 0..200 {
            (0..count).for_each(|channel| task.read(channel, &make, now));
        }
        prop_assert!(task.ended.iter().all(|ended| *ended), "a channel stayed blocked: {:?}", task.blocked);
        for checkpoint in &task.complete {
            let cut = &task.cut[checkpoint];
            for channel in 0..count {
                let sent = channels[channel].contains(&Sent::Barrier(*checkpoint));
                let expected = before(channel, *checkpoint);
                prop_assert!(cut[channel] == expected || !sent, "checkpoint {checkpoint}, channel {channel}: {cut:?}");
            }
        }
    }

    /// At least once nothing is blocked, and no checkpoint is complete before all its barriers have come.
    #[test]
    fn at_least_once_takes_no_row_too_few(
        channels in prop::collection::vec(channel(), 1..5),
        order in prop::collection::vec(0..5_usize, 0..200),
    ) {
        let count = channels.len();
        let mut task = Task::new(overtaking(count), &channels);
        for channel in order.into_iter().chain((0..200).flat_map(|_| 0..5)) {
            task.read(channel % count, &at_least_once, at(0));
            prop_assert!(task.blocked.iter().all(|blocked| !blocked));
        }
        for checkpoint in &task.complete {
            for (channel, sent) in channels.iter().enumerate() {
                if let Some(at) = sent.iter().position(|sent| *sent == Sent::Barrier(*checkpoint)) {
                    let rows = sent[..at].iter().filter(|sent| **sent == Sent::Row).count();
                    prop_assert!(task.cut[checkpoint][channel] >= rows);
                }
            }
        }
    }
}
