//! When partitions are complete and what tells readers so: `sink.partition-commit.*`.
//!
//! Flink has an operator for this, of parallelism 1, that hears of each writer's commits. Here the subtasks of the sink tell
//! each other: when a checkpoint is durable and its files have their names, a subtask writes its progress (its watermark at
//! that checkpoint, the partitions it waits for) to a hidden file beside the partitions ([`progress`]), then reads those of
//! all others. Partitions that all of them have passed are committed by whoever sees that, so the last one to commit its
//! files always does; doing it twice changes nothing. A subtask that has ended leaves its progress for the others to act on.
//!
//! Invariant: a partition is committed only when every file that a row of it went to, up to the watermarks that completed
//! it, has its name.
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
    /// Folders with a file that takes more rows beyond the checkpoint, and does not get its name with it.
    open: BTreeSet<String>,
}

/// The partitions that one subtask has written to.
pub(super) struct PartitionCommitter {
    root: PathBuf,
    settings: Settings,
    board: Board,
    clock: Arc<dyn Clock>,
    pub(super) watermark: i64,
    pub(super) idle: bool,
    /// By folder.
    outstanding: BTreeMap<String, Outstanding>,
    snapshots: u64,
    at_checkpoint: BTreeMap<u64, Reached>,
    /// Partitions of subtasks that have ended, committed here.
    done_for_others: BTreeSet<String>,
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
            outstanding: BTreeMap::new(),
            snapshots: 0,
            at_checkpoint: BTreeMap::new(),
            done_for_others: BTreeSet::new(),
            ended: false,
        }
    }

    /// What other runs of the job left at this subtask's places.
    pub(super) fn open(&mut self, sink: u64, context: &OperatorContext) -> Vec<PathBuf> {
        self.clock = context.clock.clone();
        self.board = Board::new(self.root.clone(), sink, context);
        self.board.clear()
    }

    /// A file was begun.
    pub(super) fn written(&mut self, folder: &str, now: i64) {
        let touched = self.snapshots;
        self.outstanding.entry(folder.to_owned()).or_insert(Outstanding { since: now, touched }).touched = touched;
    }

    /// Whether this subtask alone would call the partition complete: then its file takes no rows beyond the next checkpoint.
    pub(super) fn is_complete(&self, folder: &str, now: i64) -> Result<bool> {
        let since = self.outstanding.get(folder).map_or(now, |partition| partition.since);
        self.is_due(folder, since, self.watermark, now)
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
    /// an earlier checkpoint is durable: what they say then may come too late for this one. `open`: folders with a file that
    /// goes on.
    pub(super) fn snapshot(&mut self, checkpoint: u64, ended: bool, open: BTreeSet<String>) -> Result<Vec<Bytes>> {
        self.snapshots += 1;
        let progress = self.progress(checkpoint, ended);
        let mut waiting: BTreeMap<String, i64> = progress.partitions.iter().cloned().collect();
        if ended {
            self.board.post_ending(&progress)?;
        }
        for other in self.board.ending_others()? {
            for (folder, since) in other.partitions {
                if !self.done_for_others.contains(&folder) {
                    waiting.entry(folder).and_modify(|known| *known = since.min(*known)).or_insert(since);
                }
            }
        }
        self.at_checkpoint.insert(checkpoint, Reached { progress, snapshots: self.snapshots, open });
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

    fn progress(&self, checkpoint: u64, ended: bool) -> Progress {
        let partitions = self.outstanding.iter().map(|(folder, partition)| (folder.clone(), partition.since)).collect();
        let watermark = if ended { MAX_WATERMARK } else { self.watermark };
        Progress { checkpoint, watermark, idle: self.idle, ended, partitions }
    }

    /// A checkpoint is durable and its files have their names.
    pub(super) fn checkpoint_completed(&mut self, checkpoint: u64) -> Result<()> {
        let later = self.at_checkpoint.split_off(&(checkpoint + 1));
        let reached = std::mem::replace(&mut self.at_checkpoint, later).into_values().next_back();
        reached.map_or(Ok(()), |reached| self.advance(reached))
    }

    /// Without checkpoints: all files have their names and none will follow.
    pub(super) fn end(&mut self) -> Result<()> {
        let progress = self.progress(u64::MAX, true);
        self.board.post_ending(&progress)?;
        self.advance(Reached { progress, snapshots: u64::MAX, open: BTreeSet::new() })
    }

    /// The others know that this subtask has committed everything it ever will.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn advance(&mut self, Reached { progress: own, snapshots, open }: Reached) -> Result<()> {
        self.board.post(&own)?;
        self.ended = own.ended;
        let others: Option<Vec<Progress>> = self.board.others()?.into_iter().collect();
        // Not all of them have said something.
        let Some(others) = others else { return Ok(()) };
        let all = || others.iter().chain([&own]);
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
        let due = |progress: &Progress, folder: &str, since: i64| -> Result<bool> {
            Ok(over
                || (progress.checkpoint <= reached || progress.ended) && self.is_due(folder, since, watermark, now)?)
        };
        let mut complete = BTreeSet::new();
        for (folder, since) in &own.partitions {
            // Its time may have come only since the barrier, or by the watermark of others.
            if !open.contains(folder) && due(&own, folder, *since)? {
                complete.insert(folder.clone());
            }
        }
        for other in others.iter().filter(|other| other.ended) {
            for (folder, since) in &other.partitions {
                if !self.done_for_others.contains(folder) && due(other, folder, *since)? {
                    complete.insert(folder.clone());
                }
            }
        }
        for folder in complete {
            self.commit(&folder)?;
            // Unless a file was begun in it since then: it will be complete once more.
            if self.outstanding.get(&folder).is_some_and(|partition| partition.touched < snapshots) {
                self.outstanding.remove(&folder);
            }
            self.done_for_others.insert(folder);
        }
        self.done_for_others.retain(|folder| others.iter().any(|other| other.ended && other.lists(folder)));
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
