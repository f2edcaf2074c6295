//! Checkpoints through real TaskExecutors, with a coordinator of the test's own and real files.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::stateful::{Board, Stateful, counts_of, position_of};
use common::{Cluster, Deployed, edge, is_end, options, schema, vertex};
use wiesel_proto as proto;
use wiesel_proto::CheckpointOutcome::{Aborted, Completed};
use wiesel_proto::ExecutionState::{Failed, Finished, Running};
use wiesel_proto::operator_spec::Kind;
use wiesel_proto::{CheckpointBarrier, Partitioner};

/// A job of sources that shuffle their numbers to sinks that count them.
struct Run {
    cluster: Cluster,
    board: Arc<Board>,
    configuration: Vec<(String, String)>,
    source: Vec<(&'static str, &'static str)>,
    sink: Vec<(&'static str, &'static str)>,
    sinks: u32,
    _folder: tempfile::TempDir,
}

const PARALLELISM: u32 = 2;

impl Run {
    fn new(source: &[(&'static str, &'static str)], sink: &[(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let board = Arc::new(Board::default());
        let cluster = Cluster::start_with(2, 2, &[], Arc::new(Stateful(board.clone())));
        let directory = format!("file://{}", folder.path().display());
        let configuration = vec![
            ("execution.checkpointing.dir".to_owned(), directory),
            ("execution.checkpointing.data-inline-threshold".to_owned(), "0".to_owned()),
            ("execution.checkpointing.interval".to_owned(), "1 h".to_owned()),
        ];
        Self {
            cluster,
            board,
            configuration,
            source: source.to_vec(),
            sink: sink.to_vec(),
            sinks: PARALLELISM,
            _folder: folder,
        }
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.configuration.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Of 800,000 rows, with unaligned checkpoints, whose sinks hold up the sources: small batches fill the queues, and each takes
    /// a sink a while.
    fn back_pressured() -> (Self, Deployed) {
        let source = [("rows", "800000"), ("batch", "3000")];
        let mut run = Self::new(&source, &[("slow", "")]).set("execution.checkpointing.unaligned.enabled", "true");
        let job = run.deploy(None);
        run.running(&job);
        run.cluster.until("back-pressure", |heard| {
            job.attempts[0].iter().all(|a| heard.metrics.get(a).is_some_and(|m| m.back_pressured_ms > 300))
        });
        (run, job)
    }

    /// Deploys the job; the subtasks start from those states, by vertex.
    fn deploy(&mut self, restore: Option<&BTreeMap<(usize, usize), proto::TaskState>>) -> Deployed {
        let source = proto::SourceSpec { options: options(&self.source), ..proto::SourceSpec::default() };
        let sink =
            proto::SinkSpec { options: options(&self.sink), input: Some(schema()), ..proto::SinkSpec::default() };
        let vertices =
            vec![vertex("Source", PARALLELISM, Kind::Source(source)), vertex("Sink", self.sinks, Kind::Sink(sink))];
        let configuration: Vec<_> = self.configuration.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let job = self.cluster.try_restore(vertices, vec![edge(0, 1, Partitioner::Hash)], &configuration, |v, s| {
            let state = restore?.get(&(v, s))?.clone();
            Some(proto::TaskRestore { checkpoint_id: 1, state: Some(state) })
        });
        assert!(job.refused.is_none(), "{:?}", job.refused);
        job
    }

    fn running(&self, job: &Deployed) {
        for attempt in job.attempts.iter().flatten() {
            let runs = |states: &Vec<proto::ExecutionState>| states.contains(&Running);
            self.cluster.until("running", |heard| heard.states.get(attempt).is_some_and(runs));
        }
    }

    fn trigger(&self, job: &Deployed, barrier: &CheckpointBarrier) -> Result<(), tonic::Status> {
        self.cluster.trigger(job, &job.attempts[0].iter().collect::<Vec<_>>(), barrier)
    }

    /// Waits until all tasks have acknowledged.
    fn acknowledged(&self, job: &Deployed, checkpoint: u64) -> BTreeMap<(usize, usize), proto::TaskState> {
        let mut states = BTreeMap::new();
        for (v, s, attempt) in tasks(job) {
            let key = (attempt.clone(), checkpoint);
            self.cluster.until("an acknowledgement", |heard| {
                assert!(!heard.declined.contains_key(&key), "declined: {:?}", heard.declined[&key]);
                heard.acknowledged.contains_key(&key)
            });
            states.insert((v, s), self.cluster.job_manager.heard.lock().acknowledged[&key].state.clone().unwrap());
        }
        states
    }

    fn metrics(&self, attempt: &Bytes, checkpoint: u64) -> proto::CheckpointMetrics {
        self.cluster.job_manager.heard.lock().acknowledged[&(attempt.clone(), checkpoint)].metrics.unwrap()
    }

    fn has_acknowledged(&self, attempt: &Bytes, checkpoint: u64) -> bool {
        self.cluster.job_manager.heard.lock().acknowledged.contains_key(&(attempt.clone(), checkpoint))
    }

    /// Lets the job end, and checks that every number was counted once for each source.
    fn finish(&self, job: &Deployed, rows: i64) {
        self.board.open.store(true, Ordering::SeqCst);
        self.cluster.finish(job);
        for attempt in job.attempts.iter().flatten() {
            let heard = self.cluster.job_manager.heard.lock();
            assert_eq!(heard.states[attempt].last(), Some(&Finished), "{:?}", heard.failures.get(attempt));
        }
        assert_eq!(self.board.total(), (0..rows).map(|value| (value, u64::from(PARALLELISM))).collect());
    }

    /// Lets three sinks start where there were two, as the JobMaster does it: each gets the inputs of all old ones.
    fn rescale(&mut self, states: &mut BTreeMap<(usize, usize), proto::TaskState>) {
        let inputs: Vec<_> = (0..2).flat_map(|s| states[&(1, s)].channels.clone()).collect();
        states.insert((1, 2), proto::TaskState::default());
        (0..3).for_each(|s| states.get_mut(&(1, s)).unwrap().channels = inputs.clone());
        self.sinks = 3;
    }

    /// Ends the job as a failure would, and forgets what its sinks had.
    fn kill(&self, job: &Deployed) {
        self.cluster.cancel(job);
        self.cluster.finish(job);
        self.board.results.lock().clear();
    }
}

fn tasks(job: &Deployed) -> Vec<(usize, usize, Bytes)> {
    let vertices = job.attempts.iter().enumerate();
    vertices.flat_map(|(v, attempts)| attempts.iter().enumerate().map(move |(s, a)| (v, s, a.clone()))).collect()
}

fn barrier(checkpoint_id: u64) -> CheckpointBarrier {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    CheckpointBarrier { checkpoint_id, timestamp: now.as_millis() as i64, ..CheckpointBarrier::default() }
}

/// The counts in the states are exactly the numbers before the positions, but for rows in flight.
fn check_cut(states: &BTreeMap<(usize, usize), proto::TaskState>) -> bool {
    let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
    for state in states.iter().filter(|((v, _), _)| *v == 0).map(|(_, state)| state) {
        (0..position_of(state)).for_each(|value| *expected.entry(value).or_default() += 1);
    }
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    for state in states.iter().filter(|((v, _), _)| *v == 1).map(|(_, state)| state) {
        counts_of(state).into_iter().for_each(|(value, count)| *found.entry(value).or_default() += count);
    }
    let in_flight: u64 = states.values().flat_map(|state| &state.channels).map(|channel| channel.rows).sum();
    let missing = expected.values().sum::<u64>() - found.values().sum::<u64>();
    assert_eq!(missing, in_flight);
    assert!(found.iter().all(|(value, count)| expected.get(value).is_some_and(|expected| expected >= count)));
    in_flight > 0
}

#[test]
fn every_checkpoint_under_load_is_an_exact_cut_and_can_be_restored() {
    let mut run = Run::new(&[("rows", "60000"), ("batch", "50"), ("hold", "40000")], &[]);
    let job = run.deploy(None);
    run.running(&job);
    let mut taken = Vec::new();
    for checkpoint in 1..=8 {
        run.trigger(&job, &barrier(checkpoint)).unwrap();
        let states = run.acknowledged(&job, checkpoint);
        assert!(!check_cut(&states));
        run.cluster.notify(&job, checkpoint, Completed);
        let written: usize = states.values().flat_map(|state| &state.operators).map(|o| o.lists.len()).sum();
        assert_eq!(written, 4);
        taken.push(states);
    }
    run.cluster.until("the sinks to hear of it", |_| {
        run.board.saw("Sink 0 completed 8") && run.board.saw("Sink 1 completed 8")
    });
    run.finish(&job, 60_000);
    for states in taken.iter().step_by(3) {
        run.board.results.lock().clear();
        run.board.restored.lock().clear();
        let job = run.deploy(Some(states));
        run.finish(&job, 60_000);
        let mut restored = run.board.restored.lock().clone();
        restored.sort_unstable();
        let mut expected: Vec<_> = (0..2).map(|s| position_of(&states[&(0, s)])).collect();
        expected.sort_unstable();
        assert_eq!(restored, expected);
    }
}

#[test]
fn at_least_once_loses_nothing() {
    let mut run = Run::new(&[("rows", "30000"), ("batch", "50"), ("hold", "20000")], &[]);
    let job = run.deploy(None);
    run.running(&job);
    for checkpoint in 1..=3 {
        run.trigger(&job, &CheckpointBarrier { at_least_once: true, ..barrier(checkpoint) }).unwrap();
    }
    for checkpoint in 1..=3 {
        let states = run.acknowledged(&job, checkpoint);
        let emitted: i64 = (0..2).map(|s| position_of(&states[&(0, s)])).sum();
        let counted: u64 = (0..2).flat_map(|s| counts_of(&states[&(1, s)]).into_values()).sum();
        assert!(counted >= emitted as u64, "{counted} of {emitted}");
    }
    run.finish(&job, 30_000);
}

#[test]
fn an_unaligned_checkpoint_passes_a_slow_sink_and_an_aligned_one_does_not() {
    let (mut run, job) = Run::back_pressured();
    run.trigger(&job, &barrier(1)).unwrap();
    run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, ..barrier(2) }).unwrap();
    let states = run.acknowledged(&job, 2);
    assert!(check_cut(&states), "no row was in flight");
    assert!(job.attempts[1].iter().any(|attempt| run.metrics(attempt, 2).unaligned));
    assert!(job.attempts[1].iter().any(|attempt| run.metrics(attempt, 2).persisted_bytes > 0));
    // The first one is still behind the rows, and given up for the newer one.
    assert!(job.attempts[1].iter().all(|attempt| !run.has_acknowledged(attempt, 1)));

    // Aligned at first, it overtakes when it has waited long enough.
    run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, alignment_timeout: 100, ..barrier(3) }).unwrap();
    let later = run.acknowledged(&job, 3);
    assert!(check_cut(&later));
    run.kill(&job);

    run.board.open.store(true, Ordering::SeqCst);
    for states in [states, later] {
        let job = run.deploy(Some(&states));
        run.finish(&job, 800_000);
        run.board.results.lock().clear();
    }
}

/// The sinks are three where they were two: rows in flight to them go to the subtask that has their key now.
#[test]
fn rows_in_flight_are_kept_at_another_parallelism() {
    let (mut run, job) = Run::back_pressured();
    run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, ..barrier(1) }).unwrap();
    let mut states = run.acknowledged(&job, 1);
    assert!(check_cut(&states));
    let side = |output: bool| states.values().flat_map(|s| &s.channels).any(|c| c.output == output && c.rows > 0);
    assert!(side(true) && side(false));
    run.kill(&job);
    run.rescale(&mut states);
    run.board.open.store(true, Ordering::SeqCst);
    let job = run.deploy(Some(&states));
    run.finish(&job, 800_000);
    assert_eq!(run.board.results.lock().len(), 3);
}

/// Rows of a key that were in flight from one producer may be followed by new ones from another. A second checkpoint does not
/// have both in flight, for it keeps the order of rows in a channel, not across channels: it comes after the first kind.
#[test]
fn rows_in_flight_of_one_checkpoint_are_not_in_flight_in_the_next() {
    let (mut run, job) = Run::back_pressured();
    run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, ..barrier(1) }).unwrap();
    let mut states = run.acknowledged(&job, 1);
    assert!(check_cut(&states));
    run.kill(&job);
    run.rescale(&mut states);
    let first_new = (0..2).map(|s| position_of(&states[&(0, s)])).min().unwrap();

    for alignment_timeout in [0, 1] {
        let job = run.deploy(Some(&states));
        run.running(&job);
        run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, alignment_timeout, ..barrier(2) }).unwrap();
        let later = run.acknowledged(&job, 2);
        let counts = (0..3).flat_map(|s| counts_of(&later[&(1, s)]));
        let counted: u64 = counts.filter(|(value, _)| *value < first_new).map(|(_, count)| count).sum();
        assert_eq!(counted, 2 * first_new as u64);
        run.kill(&job);
    }
}

#[test]
fn an_aborted_checkpoint_leaves_no_channel_blocked() {
    let mut run = Run::new(&[("rows", "40000"), ("batch", "50"), ("hold", "20000")], &[]);
    let job = run.deploy(None);
    run.running(&job);
    // One source alone: the sinks wait for the other one's barrier.
    run.cluster.trigger(&job, &[&job.attempts[0][0]], &barrier(1)).unwrap();
    let key = (job.attempts[0][0].clone(), 1);
    run.cluster.until("the source's state", |heard| heard.acknowledged.contains_key(&key));
    run.cluster.notify(&job, 1, Aborted);
    run.cluster
        .until("the sinks to hear of it", |_| run.board.saw("Sink 0 aborted 1") && run.board.saw("Sink 1 aborted 1"));
    assert!(job.attempts[1].iter().all(|attempt| !run.has_acknowledged(attempt, 1)));
    run.trigger(&job, &barrier(2)).unwrap();
    assert!(!check_cut(&run.acknowledged(&job, 2)));
    run.finish(&job, 40_000);
}

#[test]
fn a_state_that_cannot_be_written_declines_and_nothing_else() {
    let mut run = Run::new(&[("rows", "20000"), ("hold", "10000")], &[]);
    let job = run.deploy(None);
    run.running(&job);
    // A savepoint to where nothing can be written.
    let target = "file:///proc/nowhere/savepoint-1".to_owned();
    let savepoint = CheckpointBarrier {
        kind: proto::SnapshotKind::Savepoint as i32,
        target,
        unaligned_allowed: true,
        ..barrier(2)
    };
    run.trigger(&job, &savepoint).unwrap();
    run.cluster.until("an answer of every task", |heard| {
        job.attempts.iter().flatten().all(|a| {
            let key = (a.clone(), 2);
            heard.declined.contains_key(&key) || heard.acknowledged.contains_key(&key)
        })
    });
    run.cluster.notify(&job, 2, Aborted);
    run.trigger(&job, &barrier(3)).unwrap();
    assert!(!check_cut(&run.acknowledged(&job, 3)));
    run.finish(&job, 20_000);
}

/// Before, the JobMaster heard nothing at all, and the checkpoint held up all others until it expired.
#[test]
fn an_acknowledgement_that_is_too_large_declines_the_checkpoint() {
    // The first is more than the JobMaster of the tests takes, the second more than any.
    for bytes in [5 << 20, 65 << 20] {
        let bytes = bytes.to_string();
        let list: &'static str = bytes.clone().leak();
        let mut run = Run::new(&[("rows", "20000"), ("hold", "10000")], &[("list-bytes", list)])
            .set("execution.checkpointing.data-inline-threshold", "1 mb");
        let job = run.deploy(None);
        run.running(&job);
        run.trigger(&job, &barrier(1)).unwrap();
        let key = (job.attempts[1][0].clone(), 1);
        run.cluster.until("a word of the sink", |heard| heard.declined.contains_key(&key));
        let message = run.cluster.job_manager.heard.lock().declined[&key].message.clone();
        assert!(message.contains("of checkpoint 1 takes") && message.contains("bytes in the message"), "{message}");
        run.cluster.notify(&job, 1, Aborted);
        run.trigger(&job, &barrier(2)).unwrap();
        run.acknowledged(&job, 2);
        run.finish(&job, 20_000);
    }
}

/// Before, the task's end waited for ever behind a report that did not get through.
#[test]
fn a_failure_does_not_wait_for_a_checkpoint_that_does_not_get_through() {
    let mut run = Run::new(&[("rows", "20000"), ("hold", "10000")], &[("panic-snapshot", "2")]);
    let job = run.deploy(None);
    run.running(&job);
    run.cluster.job_manager.heard.lock().deaf_to = Some(1);
    run.trigger(&job, &barrier(1)).unwrap();
    run.cluster.until("an acknowledgement", |heard| heard.unheard > 0);
    run.trigger(&job, &barrier(2)).unwrap();
    let attempt = &job.attempts[1][0];
    run.cluster.until("the failure", |heard| heard.states.get(attempt).is_some_and(|states| is_end(states)));
    assert_eq!(run.cluster.state(attempt).last(), Some(&Failed));
    run.cluster.cancel(&job);
    run.cluster.finish(&job);
}

/// Before, a snapshot that failed declined the checkpoint and the task went on, with an operator that was not what it had been:
/// a file sink on a full disk lost the files that it could not close, and the job finished without their rows.
#[test]
fn a_snapshot_that_fails_or_panics_fails_the_task() {
    for (option, expected) in
        [("fail-snapshot", "the state cannot be fixed"), ("panic-snapshot", "a panic in a snapshot")]
    {
        let mut run = Run::new(&[("rows", "20000"), ("hold", "10000")], &[(option, "1")]);
        let job = run.deploy(None);
        run.running(&job);
        run.trigger(&job, &barrier(1)).unwrap();
        let attempt = &job.attempts[1][0];
        run.cluster.until("the failure", |heard| heard.states.get(attempt).is_some_and(|states| is_end(states)));
        assert_eq!(run.cluster.state(attempt).last(), Some(&Failed));
        let message = run.cluster.job_manager.heard.lock().failures[attempt].message.clone();
        assert!(message.contains(expected), "{message}");
        assert!(!run.has_acknowledged(attempt, 1));
        run.cluster.cancel(&job);
        run.cluster.finish(&job);
    }
}

#[test]
fn a_sink_waits_for_the_checkpoint_of_its_last_rows() {
    let mut run = Run::new(&[("rows", "1000")], &[("two-phase", "")]);
    let job = run.deploy(None);
    for attempt in &job.attempts[0] {
        run.cluster.until("the sources' end", |heard| heard.states.get(attempt).is_some_and(|s| is_end(s)));
    }
    run.cluster.until("the sinks' end", |_| run.board.saw("Sink 0 finish") && run.board.saw("Sink 1 finish"));
    // The sources are gone: a call that names them is answered so.
    let status = run.trigger(&job, &barrier(1)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    let sinks: Vec<_> = job.attempts[1].iter().collect();
    for checkpoint in 2..=3 {
        run.cluster.trigger(&job, &sinks, &barrier(checkpoint)).unwrap();
        for sink in &sinks {
            let key = ((*sink).clone(), checkpoint);
            run.cluster.until("an acknowledgement", |heard| heard.acknowledged.contains_key(&key));
            assert_ne!(run.cluster.state(sink).last(), Some(&Finished));
        }
        // The first one fails: its last rows are in the second.
        run.cluster.notify(&job, checkpoint, if checkpoint == 2 { Aborted } else { Completed });
    }
    run.finish(&job, 1000);
    assert!(!run.board.saw("Sink 0 committed at the end"), "the checkpoint has committed everything");
}

/// Before, it handed over the state of operators of which nothing was restored, and the next restart took it for one that had
/// not finished.
#[test]
fn a_task_that_was_restored_as_finished_is_finished_in_the_next_checkpoint() {
    let mut run = Run::new(&[("rows", "1000"), ("hold", "0")], &[("two-phase", "")]);
    let job = run.deploy(None);
    run.running(&job);
    run.trigger(&job, &barrier(1)).unwrap();
    let mut states = run.acknowledged(&job, 1);
    run.kill(&job);
    let finished = proto::TaskState { finished: true, ..Default::default() };
    (0..2).for_each(|sink| drop(states.insert((1, sink), finished.clone())));
    for checkpoint in 2..=3 {
        let job = run.deploy(Some(&states));
        run.running(&job);
        run.trigger(&job, &barrier(checkpoint)).unwrap();
        states = run.acknowledged(&job, checkpoint);
        assert_eq!([&states[&(1, 0)], &states[&(1, 1)]], [&finished; 2]);
        run.cluster.notify(&job, checkpoint, Completed);
        run.kill(&job);
    }
}

/// A source that has sent everything, to a sink that has taken it and to one that stands still. The other source has ended.
fn at_the_end(run: &mut Run) -> Deployed {
    let job = run.deploy(None);
    let (source, sink) = (&job.attempts[0][1], &job.attempts[1][0]);
    run.cluster.until("the end of the data", |heard| {
        let is_over = heard.states.get(&job.attempts[0][0]).is_some_and(|states| is_end(states));
        is_over && heard.at_end.get(source) == Some(&false) && heard.at_end.get(sink) == Some(&true)
    });
    assert_eq!(run.cluster.state(source).last(), Some(&Running));
    assert!(!run.cluster.job_manager.heard.lock().at_end.contains_key(&job.attempts[1][1]));
    job
}

/// Begins a checkpoint as the JobMaster does: at the source, and at the sink that has said that its inputs have ended.
fn begin_at_the_end(run: &Run, job: &Deployed, barrier: &CheckpointBarrier) {
    let tasks = [&job.attempts[0][1], &job.attempts[1][0]];
    run.cluster.trigger(job, &tasks, barrier).unwrap();
    for task in tasks {
        let key = (task.clone(), barrier.checkpoint_id);
        run.cluster.until("an acknowledgement", |heard| {
            assert!(heard.declined.is_empty(), "{:?}", heard.declined);
            heard.acknowledged.contains_key(&key)
        });
    }
}

/// The states of those that have not ended, as a restore would get them; together they hold every row.
fn states_at_the_end(run: &Run, job: &Deployed, checkpoint: u64) -> BTreeMap<(usize, usize), proto::TaskState> {
    let last = (job.attempts[1][1].clone(), checkpoint);
    run.cluster.until("the other sink's state", |heard| heard.acknowledged.contains_key(&last));
    let heard = run.cluster.job_manager.heard.lock();
    let state = |(v, s, attempt): (usize, usize, Bytes)| {
        let acknowledged = heard.acknowledged.get(&(attempt, checkpoint));
        ((v, s), acknowledged.map_or_else(proto::TaskState::default, |known| known.state.clone().unwrap()))
    };
    let states: BTreeMap<_, _> = tasks(job).into_iter().map(state).collect();
    let counted: u64 = states.values().flat_map(|state| counts_of(state).into_values()).sum();
    let in_flight: u64 = states.values().flat_map(|state| &state.channels).map(|channel| channel.rows).sum();
    assert_eq!(counted + in_flight, 2_000);
    states
}

/// Failed before: the source declined every checkpoint, because its barrier could not reach the sink that had taken its end.
#[test]
fn a_task_that_waits_for_a_slow_consumer_takes_part_in_checkpoints() {
    for unaligned_allowed in [false, true] {
        let mut run = Run::new(&[("rows", "1000")], &[("two-phase", ""), ("stands", "1")])
            .set("execution.checkpointing.unaligned.enabled", "true");
        let job = at_the_end(&mut run);
        for checkpoint in 1..=2 {
            begin_at_the_end(&run, &job, &CheckpointBarrier { unaligned_allowed, ..barrier(checkpoint) });
            assert!(!run.has_acknowledged(&job.attempts[1][1], checkpoint), "it stands still");
            if checkpoint == 1 {
                run.cluster.notify(&job, 1, Aborted);
            }
        }
        run.board.open.store(true, Ordering::SeqCst);
        let states = states_at_the_end(&run, &job, 2);
        let last = &job.attempts[1][1];
        run.cluster.until("the end of the data", |heard| heard.at_end.get(last) == Some(&true));
        // The last checkpoint, which the sinks wait for.
        run.cluster.trigger(&job, &job.attempts[1].iter().collect::<Vec<_>>(), &barrier(3)).unwrap();
        for sink in &job.attempts[1] {
            let key = (sink.clone(), 3);
            run.cluster.until("an acknowledgement", |heard| heard.acknowledged.contains_key(&key));
        }
        run.cluster.notify(&job, 3, Completed);
        run.finish(&job, 1_000);
        run.board.results.lock().clear();
        run.sink.clear();
        let job = run.deploy(Some(&states));
        run.finish(&job, 1_000);
    }
}

/// Failed before: a task that had the end of its data behind the savepoint let its operators finish, and what they emit then
/// is in no savepoint.
#[test]
fn operators_do_not_see_the_end_behind_the_savepoint_that_the_job_stops_with() {
    let mut run = Run::new(&[("rows", "1000")], &[("two-phase", ""), ("stands", "1")]);
    let job = at_the_end(&mut run);
    let target = format!("{}/savepoint-1", run.configuration[0].1);
    let kind = proto::SnapshotKind::Savepoint as i32;
    begin_at_the_end(&run, &job, &CheckpointBarrier { kind, target, stop: true, ..barrier(1) });
    run.board.open.store(true, Ordering::SeqCst);
    let states = states_at_the_end(&run, &job, 1);
    run.cluster.notify(&job, 1, Completed);
    run.finish(&job, 1_000);
    assert!(run.board.saw("Sink 0 finish") && !run.board.saw("Sink 1 finish"));
    run.board.results.lock().clear();
    run.sink.clear();
    let job = run.deploy(Some(&states));
    run.finish(&job, 1_000);
}

/// Before sinks were told of their task's end, what waited for a checkpoint that would never come was thrown away.
#[test]
fn a_sink_whose_task_waits_for_no_checkpoint_commits_when_it_ends() {
    for (key, value) in [("checkpoints-after-tasks-finish", "false"), ("interval", "0 s")] {
        let key = format!("execution.checkpointing.{key}");
        let mut run = Run::new(&[("rows", "1000")], &[("two-phase", "")]).set(&key, value);
        let job = run.deploy(None);
        run.finish(&job, 1000);
        for sink in 0..2 {
            let seen = run.board.events.lock().clone();
            let of = |event: &str| seen.iter().filter(|seen| **seen == format!("Sink {sink} {event}")).count();
            assert_eq!((of("finish"), of("committed at the end")), (1, 1), "{key}: {seen:?}");
        }
    }
}

/// The rows that a savepoint stops behind belong to the job that goes on from it; with `drain` the savepoint itself commits.
#[test]
fn a_sink_commits_nothing_at_the_end_beside_the_savepoint_it_stops_with() {
    for drain in [false, true] {
        let mut run = Run::new(&[("rows", "50000"), ("batch", "50"), ("hold", "20000")], &[("two-phase", "")])
            .set("execution.checkpointing.checkpoints-after-tasks-finish", "false");
        let job = run.deploy(None);
        run.running(&job);
        let target = format!("{}/savepoint-1", run.configuration[0].1);
        let kind = proto::SnapshotKind::Savepoint as i32;
        run.trigger(&job, &CheckpointBarrier { kind, target, stop: true, drain, ..barrier(1) }).unwrap();
        run.acknowledged(&job, 1);
        assert!(!run.board.saw("Sink 0 committed at the end"), "before the savepoint is complete");
        run.cluster.notify(&job, 1, Completed);
        run.cluster.finish(&job);
        let seen = run.board.events.lock().clone();
        let position = |event: &str| seen.iter().position(|seen| seen == event);
        let completed = position("Sink 0 completed 1").unwrap();
        assert_eq!(position("Sink 0 committed at the end").map(|at| at > completed), drain.then_some(true), "{seen:?}");
    }
}

/// Failed before: tasks took the completion of a later checkpoint for that of the savepoint, and ended. It failed, and the rows
/// behind it were never read.
#[test]
fn a_later_checkpoint_says_nothing_of_the_savepoint_that_a_job_stops_with() {
    let mut run = Run::new(&[("rows", "50000"), ("batch", "50"), ("hold", "20000")], &[("two-phase", "")]);
    let job = run.deploy(None);
    run.running(&job);
    let target = format!("{}/savepoint-1", run.configuration[0].1);
    let kind = proto::SnapshotKind::Savepoint as i32;
    run.trigger(&job, &CheckpointBarrier { kind, target, stop: true, ..barrier(1) }).unwrap();
    run.acknowledged(&job, 1);
    run.trigger(&job, &barrier(2)).unwrap();
    run.acknowledged(&job, 2);
    run.cluster.notify(&job, 2, Completed);
    run.cluster.notify(&job, 1, Aborted);
    run.trigger(&job, &barrier(3)).unwrap();
    run.acknowledged(&job, 3);
    assert!(job.attempts.iter().flatten().all(|a| !is_end(&run.cluster.state(a))));
}

/// The checkpoint was complete, of which no task had heard; a savepoint to stop with was under way.
#[test]
fn adopted_tasks_go_on_from_what_is_complete_and_give_up_the_rest() {
    let mut run = Run::new(&[("rows", "50000"), ("batch", "50"), ("hold", "20000")], &[("two-phase", "")]);
    let job = run.deploy(None);
    run.running(&job);
    run.trigger(&job, &barrier(1)).unwrap();
    run.acknowledged(&job, 1);
    let target = format!("{}/savepoint-1", run.configuration[0].1);
    let kind = proto::SnapshotKind::Savepoint as i32;
    run.trigger(&job, &CheckpointBarrier { kind, target, stop: true, ..barrier(2) }).unwrap();
    run.acknowledged(&job, 2);
    run.cluster.adopt(&job, 1, 1001);
    // What the JobMaster before that says comes late.
    run.trigger(&job, &barrier(3)).unwrap();
    run.trigger(&job, &barrier(1001)).unwrap();
    run.acknowledged(&job, 1001);
    assert!(run.board.saw("Sink 0 completed 1") && run.board.saw("Sink 1 completed 1"));
    assert!(!run.board.saw("Sink 0 completed 2"));
    let heard = run.cluster.job_manager.heard.lock();
    assert!(job.attempts.iter().flatten().all(|a| !heard.acknowledged.contains_key(&(a.clone(), 3))));
    drop(heard);
    // The sources read on.
    run.board.open.store(true, Ordering::SeqCst);
    for source in &job.attempts[0] {
        run.cluster.until("the end of the data", |heard| heard.at_end.contains_key(source));
    }
}

#[test]
fn stop_with_savepoint_ends_the_job_at_the_savepoint() {
    for drain in [false, true] {
        let mut run = Run::new(&[("rows", "50000"), ("batch", "50"), ("hold", "20000")], &[("two-phase", "")]);
        let job = run.deploy(None);
        run.running(&job);
        let target = format!("{}/savepoint-1", run.configuration[0].1);
        let stop = |checkpoint_id, target: &str| CheckpointBarrier {
            kind: proto::SnapshotKind::Savepoint as i32,
            target: target.to_owned(),
            stop: true,
            drain,
            ..barrier(checkpoint_id)
        };
        if !drain {
            // One that fails changes nothing.
            run.trigger(&job, &stop(1, &target)).unwrap();
            run.acknowledged(&job, 1);
            run.cluster.notify(&job, 1, Aborted);
        }
        run.trigger(&job, &stop(2, &target)).unwrap();
        let states = run.acknowledged(&job, 2);
        check_cut(&states);
        assert!(job.attempts.iter().flatten().all(|a| !is_end(&run.cluster.state(a))));
        run.cluster.notify(&job, 2, Completed);
        run.cluster.finish(&job);
        assert!(job.attempts.iter().flatten().all(|a| run.cluster.state(a).last() == Some(&Finished)));
        assert!(run.board.saw("Sink 0 completed 2") && run.board.saw("Sink 1 completed 2"));
        assert_eq!(run.board.saw("Sink 0 finish"), drain);
        let counted: u64 = run.board.total().values().sum();
        let emitted: i64 = (0..2).map(|s| position_of(&states[&(0, s)])).sum();
        assert_eq!(counted, emitted as u64, "drain: {drain}");
        // And on from there.
        run.board.results.lock().clear();
        run.sink.clear();
        let job = run.deploy(Some(&states));
        run.finish(&job, 50_000);
    }
}

#[test]
fn corrupt_state_fails_the_job_for_good() {
    let (mut run, job) = Run::back_pressured();
    run.trigger(&job, &CheckpointBarrier { unaligned_allowed: true, ..barrier(1) }).unwrap();
    let mut states = run.acknowledged(&job, 1);
    run.kill(&job);
    let (task, state) = states.iter_mut().find(|(_, state)| !state.channels.is_empty()).unwrap();
    let task = *task;
    state.channels[0].file.as_mut().unwrap().crc32c ^= 1;
    let job = run.deploy(Some(&states));
    let attempt = &job.attempts[task.0][task.1];
    run.cluster.until("the failure", |heard| heard.states.get(attempt).is_some_and(|states| is_end(states)));
    let failure = run.cluster.job_manager.heard.lock().failures[attempt].clone();
    assert!(failure.fatal, "{failure:?}");
    assert!(!run.cluster.state(attempt).contains(&Running));
    run.cluster.cancel(&job);
    run.cluster.finish(&job);
}
