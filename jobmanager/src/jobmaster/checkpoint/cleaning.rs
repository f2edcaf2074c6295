//! What is to be deleted of checkpoints, and when: without I/O.
//!
//! What is known by name goes in rounds, one at a time: a file that several checkpoints refer to goes with the last of them,
//! when the metadata of all is gone. Nothing waits for them: a store that hangs holds up no checkpoint, and what is not done in
//! time is tried again. What comes to more than is kept in mind is left to a sweep, and rounds wait for that. A sweep looks
//! through the job's folder for what is not known by name: files of uploads that were given up, or of processes that died. It is
//! due when something has failed, once soon and once when those that are thought dead must have noticed it, and at the end of
//! the job.
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use wiesel_proto as proto;
use wiesel_state::storage::{Deleted, IN_MEMORY, all_files};

use super::store::{CompletedCheckpoint, Owner};

/// Checkpoints in one round.
const ROUND: usize = 64;
/// Checkpoints that wait for their round.
const MAX_WAITING: usize = 1024;
/// Files that are kept in mind because they could not be deleted.
const MAX_LEFT: usize = 10_000;
/// Savepoints that failed and whose folders are looked through.
const MAX_SAVEPOINTS: usize = 256;
/// From a failure to the sweep: tasks are told of it first and delete what they know of.
const SOON: i64 = 10_000;
/// From one sweep to the next at least.
const PAUSE: i64 = 60_000;
/// Until the last sweep after a failure: no task of a TaskManager that has lost its JobManager goes on for so long.
const LATER: i64 = 600_000;

/// What is to be deleted.
#[derive(Clone, Debug)]
pub enum Garbage {
    /// A completed checkpoint.
    Completed(Arc<CompletedCheckpoint>),
    /// A checkpoint whose metadata could not be written, as far as is known: the store may have taken it, and then it names
    /// what earlier ones name, too.
    Unfinished(Arc<proto::CheckpointMetadata>),
    /// What there is of one that failed.
    Failed {
        /// What it was to be.
        barrier: proto::CheckpointBarrier,
        /// URIs of the files that tasks handed over.
        files: Vec<String>,
    },
}

impl Garbage {
    /// URIs of the files that it names, or its metadata may name.
    pub fn named(&self) -> HashSet<String> {
        match self {
            Self::Completed(checkpoint) => all_files(&checkpoint.metadata),
            Self::Unfinished(metadata) => all_files(metadata),
            Self::Failed { .. } => HashSet::new(),
        }
    }
}

/// What became of a round or a sweep. The default: nothing is known.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// URIs of files that could not be deleted; metadata before what it names.
    pub left: Vec<String>,
    /// What was not deleted in time, or only in part.
    pub given_up: Vec<Garbage>,
    /// All was looked at, and all went.
    pub complete: bool,
}

impl Cleaned {
    /// All went, so far.
    pub fn all() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// A round took too long.
    pub fn given_up(garbage: Vec<Garbage>) -> Self {
        Self { given_up: garbage, ..Self::default() }
    }

    /// Adds what became of one deletion.
    pub fn and(&mut self, deleted: Deleted) {
        self.complete &= deleted.failure.is_none();
        self.left.extend(deleted.left);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Cleaning {
    waiting: VecDeque<Waiting>,
    /// A round is under way.
    deleting: bool,
    /// Since when there may be metadata of checkpoints that were given up, here or under another JobMaster. What they name no round may delete, until a sweep has
    /// found the metadata gone.
    unclear: Option<i64>,
    /// URIs of files that could not be deleted, or have no other way to be found.
    left: BTreeSet<String>,
    /// What of that the sweep under way tries.
    tried: Vec<String>,
    /// Savepoints that failed and whose folders are looked through: number, folder, and when they failed.
    failed_savepoints: VecDeque<(u64, String, i64)>,
    /// When something failed for the first time since the last sweep began.
    unswept: Option<i64>,
    /// When something last failed, until it was swept for the last time.
    failed: Option<i64>,
    /// When the last sweep ended.
    swept: Option<i64>,
    /// The sweep under way began at that time.
    sweeping: Option<i64>,
    last: Last,
}

struct Waiting {
    garbage: Garbage,
    /// It was in a round that was not done in time. It makes a round of its own then: one that is never done in time does not
    /// hold up all others for ever.
    was_late: bool,
}

/// The sweep at the end of the job.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    NotYet,
    Due,
    Begun,
}

impl Cleaning {
    /// Something is to go. What does not find room is returned: how many checkpoints are left to a sweep.
    pub(super) fn add(&mut self, garbage: impl IntoIterator<Item = Garbage>, run: u64, now: i64) -> usize {
        self.waiting.extend(garbage.into_iter().map(|garbage| Waiting { garbage, was_late: false }));
        self.give_up_oldest(run, now)
    }

    fn give_up_oldest(&mut self, run: u64, now: i64) -> usize {
        let mut given_up = 0;
        while self.waiting.len() > MAX_WAITING {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.give_up(&oldest.garbage, run, now);
            given_up += 1;
        }
        if given_up > 0 {
            self.disturbed(now);
        }
        given_up
    }

    /// A checkpoint or savepoint failed for which tasks may have written something.
    pub(super) fn failed(&mut self, barrier: &proto::CheckpointBarrier, now: i64) {
        if barrier.kind() == proto::SnapshotKind::Savepoint {
            self.failed_savepoints.push_back((barrier.checkpoint_id, barrier.target.clone(), now));
            if self.failed_savepoints.len() > MAX_SAVEPOINTS {
                self.failed_savepoints.pop_front();
            }
        }
        self.disturbed(now);
    }

    /// There may be files that are not known by name.
    pub(super) fn disturbed(&mut self, now: i64) {
        self.unswept.get_or_insert(now);
        self.failed = Some(now);
    }

    /// Another JobMaster has led the job. It may have left metadata of a checkpoint that it did not complete, which names what those
    /// before it name, too.
    pub(super) fn left_by_another(&mut self, now: i64) {
        self.unclear = Some(now);
        self.disturbed(now);
    }

    /// The checkpoints of the next round, if one may begin.
    pub(super) fn next_round(&mut self) -> Option<Vec<Garbage>> {
        if self.deleting || self.waiting.is_empty() || self.unclear.is_some() {
            return None;
        }
        self.deleting = true;
        let in_time = self.waiting.iter().take(ROUND).take_while(|waiting| !waiting.was_late).count();
        Some(self.waiting.drain(..in_time.max(1)).map(|waiting| waiting.garbage).collect())
    }

    /// URIs of files that stay beyond the round under way: a checkpoint may name them whose metadata is not gone yet.
    pub(super) fn still_named(&self) -> impl Iterator<Item = String> {
        self.waiting.iter().flat_map(|waiting| waiting.garbage.named()).chain(self.left.iter().cloned())
    }

    /// A round is over. What was not done in time waits for another one: its metadata may still be there, so that what it names
    /// must stay.
    pub(super) fn round_done(&mut self, cleaned: Cleaned, run: u64, now: i64) {
        self.deleting = false;
        if !cleaned.complete {
            self.disturbed(now);
        }
        self.keep_in_mind(cleaned.left);
        self.waiting.extend(cleaned.given_up.into_iter().map(|garbage| Waiting { garbage, was_late: true }));
        self.give_up_oldest(run, now);
    }

    /// Leaves a checkpoint to a sweep.
    fn give_up(&mut self, garbage: &Garbage, run: u64, now: i64) {
        if !matches!(garbage, Garbage::Failed { .. }) {
            self.unclear = Some(now);
        }
        self.keep_in_mind(not_found_by_a_sweep(garbage, run));
    }

    /// Where there is no room for all, the first ones count: metadata, so that nothing looks complete whose files go.
    fn keep_in_mind(&mut self, left: impl IntoIterator<Item = String>) {
        for file in left {
            if self.left.len() >= MAX_LEFT {
                return;
            }
            self.left.insert(file);
        }
    }

    /// Whether a sweep begins now.
    pub(super) fn begins_sweep(&mut self, now: i64) -> bool {
        // What was late once may never be done.
        let rest = self.waiting.iter().all(|waiting| waiting.was_late) && !self.deleting && self.unclear.is_none();
        let last = self.last == Last::Due && rest;
        let begins = self.sweeping.is_none() && (last || self.sweep_due().is_some_and(|due| due <= now));
        if begins {
            self.sweeping = Some(now);
            self.unswept = None;
            self.last = if last { Last::Begun } else { self.last };
        }
        begins
    }

    /// When the next sweep is due, as things are.
    pub(super) fn sweep_due(&self) -> Option<i64> {
        // Before the last one others come only if rounds wait for them.
        let may_come = self.sweeping.is_none() && (self.last != Last::Due || self.unclear.is_some());
        let failed = self.failed.filter(|_| may_come)?;
        // After the first one a task may not have noticed yet.
        let due = self.unswept.map_or(failed + LATER, |unswept| unswept + SOON);
        Some(due.max(self.swept.map_or(i64::MIN, |swept| swept + PAUSE)))
    }

    /// What a sweep tries again: files, and folders of savepoints.
    pub(super) fn known(&mut self) -> (Vec<String>, Vec<(u64, String)>) {
        self.tried = self.left.iter().cloned().collect();
        (self.tried.clone(), self.failed_savepoints.iter().map(|(id, folder, _)| (*id, folder.clone())).collect())
    }

    /// A sweep is over.
    pub(super) fn swept(&mut self, cleaned: Cleaned, now: i64) {
        let began = self.sweeping.take().unwrap_or(now);
        self.swept = Some(now);
        // However it went: a folder that cannot be looked into now may never be.
        self.failed_savepoints.retain(|(_, _, failed)| began < failed + LATER);
        if !cleaned.complete {
            self.keep_in_mind(cleaned.left);
            return self.disturbed(now);
        }
        if self.unclear.is_some_and(|since| began >= since) {
            self.unclear = None;
        }
        for file in std::mem::take(&mut self.tried) {
            self.left.remove(&file);
        }
        if self.failed.is_some_and(|failed| began >= failed + LATER) {
            self.failed = None;
        }
    }

    /// The job is over. `used`: there were checkpoints.
    pub(super) fn finish(&mut self, used: bool) {
        // The job's end waits for rounds, they wait for a sweep, and no task is left that would delete what it knows of before.
        if let Some(since) = self.unclear.filter(|_| !self.waiting.is_empty()) {
            self.unswept = Some(since.saturating_sub(SOON));
        }
        if used && self.last == Last::NotYet {
            self.last = Last::Due;
        }
    }

    /// Whether something is still to be done, or under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.deleting || self.sweeping.is_some() || self.last == Last::Due
    }
}

/// What a sweep does not find by its name: files of other runs that a complete checkpoint names, and before them the
/// metadata that names them. A sweep deletes that first: as long as it is there, the checkpoint looks complete.
fn not_found_by_a_sweep(garbage: &Garbage, run: u64) -> Vec<String> {
    let own = format!("/{run:016x}-");
    let of_others = |metadata: &proto::CheckpointMetadata| -> Vec<String> {
        all_files(metadata).into_iter().filter(|file| !file.contains(&own)).collect()
    };
    let checkpoint = match garbage {
        Garbage::Completed(checkpoint) => checkpoint,
        Garbage::Unfinished(metadata) => return of_others(metadata),
        Garbage::Failed { .. } => return Vec::new(),
    };
    if checkpoint.owner == Owner::Other || checkpoint.pointer == IN_MEMORY {
        return Vec::new();
    }
    let mut files = of_others(&checkpoint.metadata);
    if checkpoint.owner == Owner::Claimed || !files.is_empty() {
        files.insert(0, checkpoint.file.clone());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::super::store::metadata_with_files;
    use super::*;

    fn done() -> Cleaned {
        Cleaned::all()
    }

    fn failed(id: u64) -> Garbage {
        let barrier = proto::CheckpointBarrier { checkpoint_id: id, ..Default::default() };
        Garbage::Failed { barrier, files: Vec::new() }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut cleaning = Cleaning::default();
        let given_up: usize = (0..5_000).map(|id| cleaning.add([failed(id)], 1, 0)).sum();
        assert_eq!((given_up, cleaning.waiting.len()), (5_000 - MAX_WAITING, MAX_WAITING));
        assert_eq!(cleaning.sweep_due(), Some(SOON), "what was given up is found by a sweep");
        let rounds: Vec<_> = std::iter::from_fn(|| cleaning.next_round()).collect();
        assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [ROUND]);
        cleaning.round_done(Cleaned::default(), 1, 5);
        assert!(cleaning.next_round().is_some() && cleaning.next_round().is_none());
    }

    fn completed(owner: Owner, files: &[&str]) -> Garbage {
        let metadata = metadata_with_files(5, files, false);
        let checkpoint = CompletedCheckpoint::of_job(Arc::new(metadata), "s3://b/chk-5".into());
        Garbage::Completed(Arc::new(CompletedCheckpoint { owner, ..checkpoint }))
    }

    const METADATA: &str = "s3://b/chk-5/_metadata";
    const OTHERS: &str = "s3://b/shared/00000000000000a1-4-x";
    const OWN: &str = "s3://b/shared/00000000000000a2-4-x";
    const OF_NO_RUN: &str = "s3://b/chk-5/of-no-run";
    const RUN: u64 = 0xa2;

    #[test]
    fn what_a_sweep_does_not_find() {
        let unfound = |owner, files: &[&str]| not_found_by_a_sweep(&completed(owner, files), RUN);
        assert_eq!(unfound(Owner::Job, &[OWN]), [""; 0]);
        assert_eq!(unfound(Owner::Job, &[OWN, OTHERS]), [METADATA, OTHERS]);
        assert_eq!(unfound(Owner::Claimed, &[OWN]), [METADATA]);
        assert_eq!(unfound(Owner::Claimed, &[OF_NO_RUN]), [METADATA, OF_NO_RUN]);
        assert_eq!(unfound(Owner::Other, &[OTHERS]), [""; 0]);
        assert_eq!(not_found_by_a_sweep(&failed(1), RUN), [""; 0]);
    }

    /// Failed before: of what was claimed, shared files alone were kept in mind, or nothing.
    #[test]
    fn what_is_given_up_is_kept_in_mind() {
        let all = || completed(Owner::Claimed, &[OTHERS, OWN, OF_NO_RUN]);
        let expected = [METADATA, OF_NO_RUN, OTHERS];
        let mut too_many = Cleaning::default();
        too_many.add([all()], RUN, 0);
        assert_eq!(too_many.add((0..MAX_WAITING as u64).map(failed), RUN, 0), 1);
        assert_eq!(too_many.known().0, expected);

        assert_eq!(too_many.sweep_due(), Some(SOON));
    }

    /// Failed before: what was not done in time was left to a sweep, and the next round deleted files that it named while its
    /// metadata was still there.
    #[test]
    fn what_was_not_done_in_time_is_tried_again_and_keeps_what_it_names() {
        let mut cleaning = Cleaning::default();
        let stuck = |garbage: &Garbage| matches!(garbage, Garbage::Completed(_));
        cleaning.add([completed(Owner::Job, &[OWN])], RUN, 0);
        let (mut done_of_others, mut rounds) = (0, 0);
        let mut now = 0;
        cleaning.add((1..=200).map(failed), RUN, now);
        while done_of_others < 1_000 {
            assert!(rounds < 1_000, "{done_of_others} were deleted beside one that never is");
            // Others come meanwhile.
            cleaning.add((1..=3).map(failed), RUN, now);
            let round = cleaning.next_round().unwrap();
            rounds += 1;
            now += 300_000;
            if round.iter().any(stuck) {
                cleaning.round_done(Cleaned::given_up(round), RUN, now);
                assert!(cleaning.still_named().any(|file| file == OWN));
            } else {
                done_of_others += round.len();
                assert!(cleaning.still_named().any(|file| file == OWN));
                cleaning.round_done(done(), RUN, now);
            }
        }
        assert!(cleaning.waiting.iter().any(|waiting| stuck(&waiting.garbage)));
    }

    /// Failed before: the end of the job was never swept, though the store was well again.
    #[test]
    fn the_end_of_a_job_is_swept_also_where_rounds_wait_or_one_is_never_done() {
        let mut full = Cleaning::default();
        full.add((0..=MAX_WAITING).map(|_| completed(Owner::Job, &[OWN])), RUN, 0);
        full.finish(true);
        assert!(full.next_round().is_none() && full.begins_sweep(SOON));
        full.swept(done(), SOON);
        while full.next_round().is_some() {
            assert!(!full.begins_sweep(SOON + PAUSE));
            full.round_done(done(), RUN, SOON);
        }
        assert!(full.begins_sweep(SOON + PAUSE), "the last one");

        let mut stuck = Cleaning::default();
        stuck.add([completed(Owner::Claimed, &[OWN])], RUN, 0);
        stuck.finish(true);
        let round = stuck.next_round().unwrap();
        stuck.round_done(Cleaned::given_up(round), RUN, 1);
        assert!(stuck.begins_sweep(2), "the last one");
    }

    #[test]
    fn where_there_was_no_room_a_sweep_comes_before_the_next_round() {
        let mut cleaning = Cleaning::default();
        cleaning.add((0..=MAX_WAITING).map(|_| completed(Owner::Job, &[OWN])), RUN, 2);
        assert!(cleaning.next_round().is_none());
        assert!(cleaning.begins_sweep(2 + SOON));
        cleaning.swept(Cleaned::default(), 3 + SOON);
        assert!(cleaning.next_round().is_none(), "the sweep failed");
        let due = cleaning.sweep_due().unwrap();
        assert!(cleaning.begins_sweep(due));
        cleaning.swept(done(), due + 1);
        assert!(cleaning.next_round().is_some());
    }

    #[test]
    fn what_another_job_master_has_left_is_swept_before_the_next_round() {
        let mut cleaning = Cleaning::default();
        cleaning.left_by_another(0);
        cleaning.add([completed(Owner::Job, &[OWN])], RUN, 1);
        assert!(cleaning.next_round().is_none() && cleaning.begins_sweep(SOON));
        cleaning.swept(Cleaned::default(), SOON + 1);
        assert!(cleaning.next_round().is_none(), "the sweep failed");
        let due = cleaning.sweep_due().unwrap();
        assert!(cleaning.begins_sweep(due));
        cleaning.swept(done(), due + 1);
        assert!(cleaning.next_round().is_some());
        assert!(cleaning.sweep_due().is_some(), "what was on its way comes later");

        // The end of a job is not held up by it.
        let mut over = Cleaning::default();
        over.left_by_another(7);
        over.add([completed(Owner::Job, &[OWN])], RUN, 8);
        over.finish(false);
        assert!(over.next_round().is_none() && over.begins_sweep(8));
        over.swept(done(), 9);
        assert!(over.next_round().is_some());
    }

    #[test]
    fn a_failure_is_swept_soon_and_once_more() {
        let mut cleaning = Cleaning::default();
        assert_eq!(cleaning.sweep_due(), None);
        cleaning.disturbed(1_000);
        assert!(!cleaning.begins_sweep(1_000 + SOON - 1));
        assert!(cleaning.begins_sweep(1_000 + SOON) && !cleaning.begins_sweep(1_000 + SOON) && cleaning.is_busy());
        cleaning.swept(done(), 1_100 + SOON);
        assert_eq!(cleaning.sweep_due(), Some(1_000 + LATER));
        assert!(cleaning.begins_sweep(1_000 + LATER));
        cleaning.swept(done(), 1_000 + LATER);
        assert_eq!((cleaning.sweep_due(), cleaning.is_busy()), (None, false));
    }

    /// Failed before: it was tried again every minute, as long as the job lived.
    #[test]
    fn the_folder_of_a_failed_savepoint_is_not_tried_for_ever() {
        let mut cleaning = Cleaning::default();
        let savepoint = |checkpoint_id| proto::CheckpointBarrier {
            checkpoint_id,
            kind: proto::SnapshotKind::Savepoint.into(),
            target: "file:/root/x".into(),
            ..Default::default()
        };
        cleaning.failed(&savepoint(1), 0);
        cleaning.failed(&savepoint(2), LATER - 1);
        let mut tried = vec![0; 2];
        for now in (0..10 * LATER).step_by(1_000) {
            if cleaning.begins_sweep(now) {
                cleaning.known().1.iter().for_each(|(id, _)| tried[*id as usize - 1] += 1);
                cleaning.swept(done(), now);
            }
        }
        assert_eq!(tried, [2, 2]);
        assert_eq!((cleaning.known().1.len(), cleaning.sweep_due()), (0, None));
    }

    #[test]
    fn sweeps_are_rare_however_much_fails() {
        let mut cleaning = Cleaning::default();
        let mut sweeps = 0;
        for now in (0..3_600_000).step_by(100) {
            cleaning.disturbed(now);
            if cleaning.begins_sweep(now) {
                sweeps += 1;
                cleaning.swept(done(), now);
            }
        }
        assert!(sweeps <= 60, "{sweeps} in an hour");
        assert!(sweeps >= 30, "{sweeps} in an hour");
    }

    #[test]
    fn the_end_of_a_job_is_swept_when_all_else_is_done() {
        let mut cleaning = Cleaning::default();
        cleaning.add([failed(1)], 1, 0);
        cleaning.finish(true);
        assert!(cleaning.next_round().is_some() && !cleaning.begins_sweep(5));
        cleaning.round_done(Cleaned { left: vec!["file:/x".into()], ..Cleaned::default() }, 1, 5);
        assert!(cleaning.begins_sweep(5));
        assert_eq!(cleaning.known().0, ["file:/x"]);
        cleaning.swept(done(), 6);
        // What is late has come by then.
        assert!(!cleaning.is_busy() && !cleaning.begins_sweep(4 + LATER) && cleaning.begins_sweep(5 + LATER));
        cleaning.swept(done(), 5 + LATER);
        assert_eq!((cleaning.is_busy(), cleaning.sweep_due()), (false, None));
    }
}
