//! Chains with operators that work in the background.
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use bytes::Bytes;
use wiesel_state::keyed::{KeyedBackend, SnapshotOptions};

use super::Chain;
use crate::background::Waker;
use crate::element::{Batch, WatermarkStatus};
use crate::operator::{BuiltOperator, Collector, Error, Operator, OperatorContext, RestoredState, Result};
use crate::testing::background::{IN_FLIGHT, Pace, TimesTen, numbers};
use crate::testing::{Output, context};

/// Emits a row when its input has ended.
struct Last;

impl Operator for Last {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        out.collect(batch)
    }

    /// Of an operator that does not work in the background.
    fn is_available(&self) -> bool {
        panic!("it was asked")
    }

    fn has_rows_in_flight(&self) -> bool {
        panic!("it was asked")
    }

    fn woken(&mut self, _: &mut dyn Collector) -> Result<()> {
        panic!("it was asked")
    }

    fn end_input(&mut self, _: usize, out: &mut dyn Collector) -> Result<()> {
        out.collect(numbers(&[-1]))
    }

    fn finish(&mut self, out: &mut dyn Collector) -> Result<()> {
        out.collect(numbers(&[-2]))
    }
}

struct Entries(Vec<Bytes>);

impl RestoredState for Entries {
    fn checkpoint_id(&self) -> Option<u64> {
        Some(1)
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        Err(Error::Plan("there is no keyed state".into()))
    }

    fn list(&mut self, name: &str) -> Vec<Bytes> {
        if name == IN_FLIGHT { std::mem::take(&mut self.0) } else { Vec::new() }
    }
}

/// An operator with room for two batches, then [`Last`].
struct Run {
    chain: Chain,
    pace: Arc<Pace>,
    context: OperatorContext,
    out: Output,
}

impl Run {
    fn new(restored: &[Bytes]) -> Self {
        let pace = Arc::<Pace>::default();
        let operators: Vec<Box<dyn Operator>> = vec![Box::new(TimesTen::new(2, &pace)), Box::new(Last)];
        Self::of(operators, pace, restored)
    }

    fn of(operators: Vec<Box<dyn Operator>>, pace: Arc<Pace>, restored: &[Bytes]) -> Self {
        let built = operators.into_iter().map(|operator| BuiltOperator {
            operator,
            uid: Bytes::new(),
            name: String::new(),
            output: Arc::new(Schema::empty()),
        });
        let mut run = Self { chain: Chain::new(built.collect()), pace, context: context(), out: Output::default() };
        run.chain.restore(|_| Ok(Entries(restored.to_vec()))).unwrap();
        run.chain.open(&run.context).unwrap();
        run
    }

    fn process(&mut self, value: i64) {
        self.chain.process(0, numbers(&[value]), &mut self.out).unwrap();
    }

    /// What comes out after a batch was let through.
    fn after(&mut self, number: u64) -> Vec<String> {
        self.pace.let_through(number);
        assert!(self.context.notifier.wait("work", Some(Duration::from_secs(10))), "the task was not woken");
        self.chain.woken(&mut self.out).unwrap();
        self.out.take_text()
    }

    fn snapshot(&mut self) -> Vec<Bytes> {
        self.chain.before_barrier(&mut self.out).unwrap();
        let options = SnapshotOptions { checkpoint_id: 1, canonical: false, full: false, savepoint: false };
        let mut all = self.chain.snapshot(&options).unwrap();
        all.remove(0).1.lists.remove(0).entries
    }
}

#[test]
fn rows_and_watermarks_keep_their_order_whatever_is_done_first() {
    let mut run = Run::new(&[]);
    assert!(run.chain.works_in_background() && run.chain.is_available());
    run.process(1);
    run.chain.watermark(4, &mut run.out).unwrap();
    run.chain.watermark(5, &mut run.out).unwrap();
    run.process(2);
    run.chain.status(WatermarkStatus::Idle, &mut run.out).unwrap();
    assert!(!run.chain.is_available(), "two batches are in flight");
    assert_eq!(run.after(1), [] as [&str; 0]);
    assert!(!run.chain.is_available(), "the first one is before it");
    assert_eq!(run.after(0), ["+I[10]", "w5", "+I[20]", "Idle"]);
    assert!(run.chain.is_available());
    run.chain.watermark(6, &mut run.out).unwrap();
    assert_eq!(run.out.take_text(), ["w6"]);
    run.chain.close().unwrap();
}

#[test]
fn rows_in_flight_are_in_the_snapshot_and_worked_on_after_a_restore() {
    let mut run = Run::new(&[]);
    run.process(1);
    run.process(2);
    assert_eq!(run.after(0), ["+I[10]"]);
    run.process(3);
    let entries = run.snapshot();
    assert_eq!(entries.len(), 2);
    assert_eq!(run.out.take_text(), [] as [&str; 0], "a barrier waits for nothing");
    run.chain.close().unwrap();

    let mut restored = Run::new(&entries);
    assert!(!restored.chain.is_available());
    assert_eq!(restored.after(1), [] as [&str; 0]);
    assert_eq!(restored.after(0), ["+I[20]", "+I[30]"]);
    assert!(restored.snapshot().is_empty());
    restored.chain.close().unwrap();
}

#[test]
fn the_next_operator_sees_the_end_behind_the_rows_in_flight() {
    let mut run = Run::new(&[]);
    run.process(1);
    run.chain.end_input(0, &mut run.out).unwrap();
    for _ in 0..2 {
        assert!(!run.chain.finish(&mut run.out).unwrap());
    }
    assert_eq!(run.snapshot().len(), 1, "a checkpoint meanwhile");
    assert_eq!(run.after(0), ["+I[10]"]);
    assert!(run.chain.finish(&mut run.out).unwrap());
    assert_eq!(run.out.take_text(), ["+I[-1]", "+I[-2]"]);
    assert!(run.chain.finish(&mut run.out).unwrap());
    assert_eq!(run.out.take_text(), [] as [&str; 0], "what has finished does not finish again");
    run.chain.close().unwrap();
}

/// The task ends.
struct Cancelled;

impl Collector for Cancelled {
    fn collect(&mut self, _: Batch) -> Result<()> {
        Ok(())
    }

    fn watermark(&mut self, _: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _: WatermarkStatus) -> Result<()> {
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        true
    }
}

/// As one step of an operator before it may make several batches.
#[test]
fn rows_that_come_all_the_same_wait_for_room_or_for_the_end_of_the_task() {
    let mut run = Run::new(&[]);
    run.process(1);
    run.process(2);
    let mut cancelled = Cancelled;
    assert!(matches!(run.chain.process(0, numbers(&[3]), &mut cancelled), Err(Error::Cancelled)));
    let pace = run.pace.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| pace.let_through(0));
        run.process(3);
    });
    assert_eq!(run.out.take_text(), ["+I[10]"]);
    assert!(run.context.notifier.wait("work", Some(Duration::ZERO)), "the wake-up is the task's loop's, too");
    run.chain.close().unwrap();
}

/// Before, the first one handed on what the second one had no room for, and the task's thread waited there.
#[test]
fn what_an_operator_has_done_waits_for_one_behind_it_that_takes_no_rows() {
    let (first, second) = (Arc::<Pace>::default(), Arc::<Pace>::default());
    let operators: Vec<Box<dyn Operator>> =
        vec![Box::new(TimesTen::new(1, &first)), Box::new(TimesTen::new(1, &second))];
    let mut run = Run::of(operators, first, &[]);
    run.process(1);
    assert_eq!(run.after(0), [] as [&str; 0], "it is with the second one");
    run.process(2);
    run.pace.let_through(1);
    // It would notice that it is handed on.
    run.chain.woken(&mut Cancelled).unwrap();
    assert!(!run.chain.is_available());
    second.let_through(0);
    run.chain.woken(&mut run.out).unwrap();
    assert_eq!(run.out.take_text(), ["+I[100]"]);
    second.let_through(1);
    run.chain.woken(&mut run.out).unwrap();
    assert_eq!(run.out.take_text(), ["+I[200]"]);
    run.chain.close().unwrap();
}

#[test]
fn a_waker_wakes_once_for_many() {
    let context = context();
    let waker = Waker::new(context.notifier.clone());
    assert!(!waker.take());
    waker.wake();
    waker.wake();
    assert!(waker.take() && !waker.take());
    assert!(context.notifier.wait("work", Some(Duration::ZERO)));
}
