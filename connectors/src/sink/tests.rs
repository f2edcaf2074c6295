use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wiesel_operators::sink::Unfinished;
use wiesel_state::keyed::KeyedBackend;

use super::*;
use crate::testing::{Collected, context};

/// What is seen of a sink: what was committed, and how often it was asked for.
#[derive(Default)]
struct Seen {
    committed: Vec<u64>,
    asked: Vec<(u64, bool)>,
}

/// A sink of numbers that commits each only when it was asked so often.
struct Numbers {
    seen: Arc<Mutex<Seen>>,
    refusals: usize,
    next: u64,
    complete: Vec<u64>,
}

impl SinkWriter for Numbers {
    type Committable = u64;
    type State = u64;

    fn open(&mut self, _: &OperatorContext, restored: Option<RestoredSink<u64, u64>>) -> Result<Vec<u64>> {
        let mut due = Vec::new();
        for entry in restored.into_iter().flat_map(|restored| restored.entries) {
            match entry {
                SinkEntry::Writer(next) => self.next = next,
                SinkEntry::Committable(number) => due.push(number),
            }
        }
        Ok(due)
    }

    fn write(&mut self, _: Batch) -> Result<()> {
        self.complete.push(self.next);
        self.next += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn prepare_commit(&mut self) -> Result<Vec<u64>> {
        Ok(std::mem::take(&mut self.complete))
    }

    fn snapshot(&mut self) -> Result<Vec<u64>> {
        Ok(vec![self.next])
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Committer for Numbers {
    fn commit(&mut self, requests: Vec<CommitRequest<u64>>) -> Result<Vec<Unfinished<u64>>> {
        let (mut seen, mut unfinished) = (self.seen.lock(), Vec::new());
        for request in requests {
            let asked = (request.committable, request.is_restored);
            let refusals = seen.asked.iter().filter(|before| **before == asked).count();
            seen.asked.push(asked);
            if refusals < self.refusals {
                let reason = Error::External { message: format!("{} is busy", request.committable), source: None };
                unfinished.push(Unfinished { request, reason });
            } else {
                seen.committed.push(request.committable);
            }
        }
        Ok(unfinished)
    }
}

impl SinkState for Numbers {
    const LIST: &'static str = "numbers";

    fn encode(entry: &SinkEntry<u64, u64>) -> Result<Bytes> {
        let (kind, number) = match entry {
            SinkEntry::Writer(next) => (0, *next),
            SinkEntry::Committable(number) => (1, *number),
        };
        Ok(crate::encoding::Writer::new(1).u64(kind).u64(number).finish())
    }

    fn decode(bytes: &[u8]) -> Result<SinkEntry<u64, u64>> {
        let mut reader = crate::encoding::Reader::new("a number", 1, bytes)?;
        Ok(match reader.u64()? {
            0 => SinkEntry::Writer(reader.u64()?),
            _ => SinkEntry::Committable(reader.u64()?),
        })
    }
}

struct State(Option<(u64, Vec<Bytes>)>);

impl RestoredState for State {
    fn checkpoint_id(&self) -> Option<u64> {
        self.0.as_ref().map(|(checkpoint, _)| *checkpoint)
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        unreachable!("a sink has no keyed state")
    }

    fn list(&mut self, name: &str) -> Vec<Bytes> {
        assert_eq!(name, "numbers");
        self.0.take().map(|(_, entries)| entries).unwrap_or_default()
    }
}

fn start(refusals: usize, from: Option<(u64, Vec<Bytes>)>) -> (SinkOperator<Numbers>, Arc<Mutex<Seen>>, Result<()>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sink = Numbers { seen: seen.clone(), refusals, next: 0, complete: Vec::new() };
    let mut operator = SinkOperator::new(sink);
    operator.backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(2), tries: 3 };
    operator.restore(&mut State(from)).unwrap();
    let opened = operator.open(&context(0, 1));
    (operator, seen, opened)
}

fn write(operator: &mut SinkOperator<Numbers>) {
    let empty = arrow::array::RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
    operator.process(0, Batch::insert_only(empty), &mut Collected::default()).unwrap();
}

fn snapshot(operator: &mut SinkOperator<Numbers>, checkpoint_id: u64) -> Vec<Bytes> {
    let options = SnapshotOptions { checkpoint_id, canonical: false, full: false, savepoint: false };
    operator.snapshot(&options).unwrap().lists.remove(0).entries
}

#[test]
fn what_is_complete_is_committed_with_its_checkpoint_or_with_one_that_names_it() {
    let (mut operator, seen, _) = start(0, None);
    write(&mut operator);
    snapshot(&mut operator, 1);
    write(&mut operator);
    let second = snapshot(&mut operator, 2);
    write(&mut operator);
    assert_eq!(second.len(), 3, "what waits for the first checkpoint is in the second one");
    operator.checkpoint_completed(1).unwrap();
    assert_eq!(seen.lock().committed, [0]);
    assert_eq!(snapshot(&mut operator, 3).len(), 3, "what is final is in no later one");
    operator.finish(&mut Collected::default()).unwrap();
    assert!(operator.awaits_checkpoint());
    operator.checkpoint_completed(3).unwrap();
    assert!(!operator.awaits_checkpoint());
    assert_eq!(seen.lock().committed, [0, 1, 2]);
    let (mut operator, seen, opened) = start(0, Some((2, second)));
    opened.unwrap();
    assert_eq!(seen.lock().asked, [(0, true), (1, true)]);
    write(&mut operator);
    operator.commit_at_end().unwrap();
    assert_eq!(seen.lock().committed, [0, 1, 2], "the writer goes on from its state");
}

#[test]
fn what_cannot_be_committed_is_tried_again_and_then_fails_with_its_reason() {
    let (mut operator, seen, _) = start(2, None);
    write(&mut operator);
    write(&mut operator);
    let checkpoint = snapshot(&mut operator, 1);
    operator.checkpoint_completed(1).unwrap();
    assert_eq!(seen.lock().committed, [0, 1]);
    assert_eq!(seen.lock().asked, [(0, false), (1, false)].repeat(3));
    let (_, seen, opened) = start(3, Some((1, checkpoint)));
    assert_eq!(opened.unwrap_err().to_string(), "1 is busy (tried 3 times, and 1 others)");
    assert!(seen.lock().committed.is_empty());
}
