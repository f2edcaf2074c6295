//! When partitions are complete and what tells readers so: `sink.partition-commit.*`.
//!
//! Flink has an operator for this, of parallelism 1, that hears of each writer's commits. Here the subtasks of the sink tell
//! each other: when a checkpoint is durable and its files have their names, a subtask writes its progress (its watermark at
//! that checkpoint, the partitions in which a file goes on) to a hidden file beside the partitions ([`progress`]), then reads
//! those of all others. Thus it knows which checkpoint all of them have reached, and commits what it waited for at that one and
//! what has become due: at once, if it is the last to reach it, else with its next checkpoint. Doing it twice changes nothing.
//! A subtask that has ended leaves its progress, and the partitions that it waits for, for the others to act on, and the last
//! one to end commits what there is.
//!
//! Invariants:
//! - When a partition is committed, every file has its name that a row of it went to before the checkpoint that all subtasks
//!   have reached, and no subtask has a file in it that goes on beyond the checkpoint that it has reached itself.
//! - As long as a file of a partition is to get its name, or got it after the last commit, a subtask or its checkpoint waits for
//!   the partition: it is committed once more.
//! - A checkpoint waits for no partition whose rows all came after it.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::fault;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::{MAX_WATERMARK, MIN_WATERMARK};
use wiesel_operators::operator::{OperatorContext, Result};

use super::part_file::unwritable;
use crate::encoding;
use crate::options::{Options, invalid};

mod progress;
mod time;

use progress::{Board, Progress};
use time::PartitionTime;

/// When a partition is complete.
enum Trigger {
    /// So long after it was first written to.
    ProcessTime,
    /// So long after the time that it stands for, by the watermark.
    PartitionTime(PartitionTime),
}

/// The options of a table.
pub(crate) struct Settings {
    trigger: Trigger,
    /// Milliseconds.
    delay: i64,
    /// What is put into a complete partition.
    success_file: String,
}

impl Settings {
    /// None: partitions are not committed.
    pub(super) fn new(options: Options<'_>, partition_keys: &[String]) -> crate::options::Result<Option<Self>> {
        let time = PartitionTime::new(options)?;
        let delay = options.duration("sink.partition-commit.delay")?.unwrap_or(0);
        let trigger = match options.text("sink.partition-commit.trigger").unwrap_or("process-time") {
            "process-time" => Trigger::ProcessTime,
            "partition-time" => Trigger::PartitionTime(time),
            other => {
                return invalid(format!(
                    "Unsupported partition commit trigger: {other}. Expected 'process-time' or 'partition-time'."
                ));
            }
        };
        let kinds = options.text("sink.partition-commit.policy.kind").unwrap_or_default();
        let mut success = false;
        for kind in kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty() && !partition_keys.is_empty()) {
            match kind.to_ascii_lowercase().as_str() {
                "success-file" => success = true,
                "metastore" => {
                    return invalid(
                        "Can not configure a 'metastore' partition commit policy for a file system table. You can only \
                         configure 'metastore' partition commit policy for a hive table.",
                    );
                }
                "custom" => {
                    return invalid(
                        "The partition commit policy 'custom' names a Java class, which cannot be run. Use 'success-file'.",
                    );
                }
                _ => return invalid(format!("Unsupported policy: {kind}")),
            }
        }
        let name = options.text("sink.partition-commit.success-file.name").unwrap_or("_SUCCESS");
        let settings = Self { trigger, delay: i64::try_from(delay).unwrap_or(i64::MAX), success_file: name.to_owned() };
        Ok(success.then_some(settings))
    }
}

/// A partition that waits for its commit.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// When it was first written to, in milliseconds since the epoch.
    since: i64,
    /// How many snapshots there were when a file was last begun in it.
    touched: u64,
}

/// What can be said when a checkpoint is durable.
struct Reached {
    progress: Progress,
    /// How many snapshots there were then.
    snapshots: u64,
}

/// The partitions that one subtask has written to.
pub(super) struct PartitionCommitter {
    root: PathBuf,
    settings: Settings,
    board: Board,
    clock: Arc<dyn Clock>,
    pub(super) watermark: i64,
    pub(super) idle: bool,
    /// That of all subtasks, when this one looked last.
    common_watermark: i64,
    /// By folder.
    outstanding: BTreeMap<String, Outstanding>,
    snapshots: u64,
    /// From the checkpoint that all subtasks had reached when this one looked last.
    at_checkpoint: BTreeMap<u64, Reached>,
    /// Partitions of subtasks that have ended, committed here since: the same one may wait for several.
    done_for_others: BTreeMap<u32, BTreeSet<String>>,
    ended: bool,
}

impl PartitionCommitter {
    pub(super) fn new(root: PathBuf, settings: Settings) -> Self {
        Self {
            board: Board::default(),
            root,
            settings,
            clock: Arc::new(SystemClock),
            watermark: MIN_WATERMARK,
            idle: false,
            common_watermark: MIN_WATERMARK,
            outstanding: BTreeMap::new(),
            snapshots: 0,
            at_checkpoint: BTreeMap::new(),
            done_for_others: BTreeMap::new(),
            ended: false,
        }
    }

    /// What other runs of the job left at this subtask's places.
    pub(super) fn open(&mut self, sink: u64, context: &OperatorContext) -> Vec<PathBuf> {
        self.clock = context.clock.clone();
        self.board = Board::new(self.root.clone(), sink, context);
        self.board.clear()
    }

    /// A file was begun at that time.
    pub(super) fn written(&mut self, folder: &str, now: i64) {
        let touched = self.snapshots;
        self.outstanding.entry(folder.to_owned()).or_insert(Outstanding { since: now, touched }).touched = touched;
    }

    /// Whether this subtask would call the partition complete: then its file takes no rows beyond the next checkpoint. Also by
    /// the watermark of the others: of one that is idle the file would keep them waiting.
    pub(super) fn is_complete(&self, folder: &str, now: i64) -> Result<bool> {
        let since = self.outstanding.get(folder).map_or(now, |partition| partition.since);
        self.is_due(folder, since, self.watermark.max(self.common_watermark), now)
    }

    fn is_due(&self, folder: &str, since: i64, watermark: i64, now: i64) -> Result<bool> {
        let delay = self.settings.delay;
        match &self.settings.trigger {
            Trigger::ProcessTime => Ok(delay == 0 || now > since.saturating_add(delay)),
            Trigger::PartitionTime(time) => Ok(watermark > time.of(folder)?.saturating_add(delay)),
        }
    }

    /// Remembers what will be true when the checkpoint is durable; the partitions that wait, for the checkpoint. Those of
    /// subtasks that have ended are among them: a checkpoint has no state of these. So are those of subtasks that will have when
    /// an earlier checkpoint is durable: what they say then may come too late for this one. Where this subtask takes its part
    /// first, the other one takes its own before it ends: it hears that the earlier checkpoint is durable when it has heard that
    /// this one has begun. `open`: folders with a file that goes on and does not get its name with the checkpoint.
    pub(super) fn snapshot(&mut self, checkpoint: u64, ended: bool, open: BTreeSet<String>) -> Result<Vec<Bytes>> {
        self.snapshots += 1;
        let progress = self.progress(checkpoint, ended, open);
        let mut waiting: BTreeMap<String, i64> = progress.partitions.iter().cloned().collect();
        // Who has ended says nothing more: the last one may have cleared the board, and nobody would do so again.
        if ended && !self.ended {
            self.board.post_ending(&progress)?;
        }
        // One that takes part in this checkpoint has its own in it, and may have ended with rows that came after it.
        let before = self.board.ending_others()?.into_iter().filter(|(_, other)| other.checkpoint < checkpoint);
        for (subtask, other) in before {
            for (folder, since) in other.partitions {
                if !self.is_done_for(subtask, &folder) {
                    waiting.entry(folder).and_modify(|known| *known = since.min(*known)).or_insert(since);
                }
            }
        }
        self.at_checkpoint.insert(checkpoint, Reached { progress, snapshots: self.snapshots });
        Ok(waiting.iter().map(|(folder, since)| encode(folder, *since)).collect())
    }

    pub(super) fn restore(&mut self, entries: impl Iterator<Item = Bytes>) -> Result<()> {
        for entry in entries {
            let (folder, since) = decode(&entry)?;
            let known = self.outstanding.entry(folder).or_insert(Outstanding { since, touched: 0 });
            known.since = known.since.min(since);
        }
        Ok(())
    }

    fn progress(&self, checkpoint: u64, ended: bool, open: BTreeSet<String>) -> Progress {
        let partitions = self.outstanding.iter().map(|(folder, partition)| (folder.clone(), partition.since)).collect();
        let watermark = if ended { MAX_WATERMARK } else { self.watermark };
        Progress { checkpoint, watermark, idle: self.idle, ended, partitions, open }
    }

    /// A checkpoint is durable and its files have their names.
    pub(super) fn checkpoint_completed(&mut self, checkpoint: u64) -> Result<()> {
        let latest = self.at_checkpoint.range(..=checkpoint).next_back().map(|(checkpoint, _)| *checkpoint);
        latest.map_or(Ok(()), |latest| self.advance(latest))
    }

    /// Without checkpoints: all files have their names and none will follow.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let last = self.at_checkpoint.last_key_value().map_or(0, |(checkpoint, _)| *checkpoint);
        let progress = self.progress(last, true, BTreeSet::new());
        self.board.post_ending(&progress)?;
        self.at_checkpoint.insert(last, Reached { progress, snapshots: u64::MAX });
        self.advance(last)
    }

    /// This subtask does nothing any more. That is known of one that has ended.
    pub(super) fn close(&self) {
        if !self.ended {
            self.board.leave();
        }
    }

    /// The others know that this subtask has committed everything it ever will.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn is_done_for(&self, subtask: u32, folder: &str) -> bool {
        self.done_for_others.get(&subtask).is_some_and(|done| done.contains(folder))
    }

    /// Says what is true since that checkpoint is durable, and commits what has become complete by it.
    fn advance(&mut self, completed: u64) -> Result<()> {
        // The others act for who has ended.
        if self.ended {
            return Ok(());
        }
        let Some(own) = self.at_checkpoint.get(&completed) else { return Ok(()) };
        self.board.post(&own.progress)?;
        self.ended = own.progress.ended;
        let Some(others) = self.board.others()? else {
            self.at_checkpoint = self.at_checkpoint.split_off(&completed);
            return Ok(());
        };
        let all = || others.iter().map(|(_, progress)| progress).chain([&own.progress]);
        let over = all().all(|progress| progress.ended);
        let active = || all().filter(|progress| !progress.ended);
        let reached = active().map(|progress| progress.checkpoint).min().unwrap_or(u64::MAX);
        // Where every subtask is idle no watermark speaks for the rows to come.
        let watermark = active()
            .filter(|progress| !progress.idle)
            .map(|progress| progress.watermark)
            .min()
            .unwrap_or(MIN_WATERMARK);
        let now = self.clock.now_millis();
        let is_due = |folder: &str, since: i64| -> Result<bool> {
            // Its time may have come only since the barrier, or by the watermark of others.
            let goes_on = all().any(|progress| progress.open.contains(folder));
            Ok(!goes_on && (over || self.is_due(folder, since, watermark, now)?))
        };
        let mut complete = BTreeSet::new();
        let at_reached = self.at_checkpoint.range(..=reached.min(completed)).next_back();
        for (folder, since) in at_reached.into_iter().flat_map(|(_, then)| &then.progress.partitions) {
            // It may have been committed since then.
            let waits = self.outstanding.get(folder).is_some_and(|partition| partition.since == *since);
            if waits && is_due(folder, *since)? {
                complete.insert(folder.clone());
            }
        }
        for (subtask, other) in others.iter().filter(|(_, other)| other.ended && other.checkpoint <= reached) {
            for (folder, since) in &other.partitions {
                if !self.is_done_for(*subtask, folder) && is_due(folder, *since)? {
                    complete.insert(folder.clone());
                }
            }
        }
        let (snapshots, needed) = (own.snapshots, at_reached.map(|(checkpoint, _)| *checkpoint));
        for folder in &complete {
            self.commit(folder)?;
            // Unless a file was begun in it since then: it will be complete once more.
            if self.outstanding.get(folder).is_some_and(|partition| partition.touched < snapshots) {
                self.outstanding.remove(folder);
            }
        }
        for (subtask, other) in others.iter().filter(|(_, other)| other.ended) {
            let folders = other.partitions.iter().map(|(folder, _)| folder);
            let done = folders.filter(|folder| complete.contains(*folder)).cloned();
            self.done_for_others.entry(*subtask).or_default().extend(done);
        }
        self.common_watermark = watermark;
        if let Some(needed) = needed {
            self.at_checkpoint = self.at_checkpoint.split_off(&needed);
        }
        if over {
            self.board.clear_all();
        }
        Ok(())
    }

    fn commit(&self, folder: &str) -> Result<()> {
        let path = self.root.join(folder).join(&self.settings.success_file);
        fault::point("sink.before-success-file");
        fs::write(&path, b"").map_err(|error| unwritable(&path, error))?;
        tracing::info!(partition = folder, "committed a partition");
        Ok(())
    }
}

fn encode(folder: &str, since: i64) -> Bytes {
    encoding::Writer::new(1).bytes(folder.as_bytes()).i64(since).finish()
}

fn decode(entry: &[u8]) -> Result<(String, i64)> {
    let mut reader = encoding::Reader::new("a partition of a filesystem sink", 1, entry)?;
    let partition = (reader.text()?, reader.i64()?);
    reader.end()?;
    Ok(partition)
}
