//! When partitions are complete and what tells readers so: `sink.partition-commit.*`.
//!
//! Flink has an operator for this, of parallelism 1 (`PartitionCommitter`), to which each writer sends a `PartitionCommitInfo`
//! per checkpoint. Here the subtasks of the sink exchange the same through files: when a checkpoint is durable and its files
//! have their names, a subtask writes its progress (its watermark at that checkpoint, the partitions in which a file goes on) to
//! a hidden progress file beside the partitions ([`progress`]), then reads those of all others. Thus it knows which checkpoint
//! all of them have reached, and commits the partitions that were pending at that one and are due: at once, if it is the last
//! to reach it, else with its next checkpoint. Doing it twice changes nothing. The progress file of a subtask that has ended
//! stays, with its pending partitions, for the others to commit, and the last one to end commits all that are pending.
//!
//! Invariants:
//! - When a partition is committed, every file has its name that a row of it went to before the checkpoint that all subtasks
//!   have reached, and no subtask has a file in it that goes on beyond the checkpoint that it has reached itself.
//! - As long as a file of a partition is to get its name, or got it after the last commit, the partition is pending in a subtask
//!   or its checkpoint: it is committed once more.
//! - No partition is pending in a checkpoint whose rows all came after it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::fault;
use wiesel_common::quote::quote;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_operators::element::{MAX_WATERMARK, MIN_WATERMARK};
use wiesel_operators::operator::{OperatorContext, Result};

use super::table_folder::{SmallFile, TableFolder};
use crate::encoding;
use crate::options::{Options, invalid};

mod progress;
mod time;

use progress::{Progress, ProgressFiles};
use time::PartitionTimeExtractor;

/// When a partition is complete.
enum Trigger {
    /// So long after it was first written to.
    ProcessTime,
    /// So long after the time that it stands for, by the watermark.
    PartitionTime(PartitionTimeExtractor),
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
        let time = PartitionTimeExtractor::new(options)?;
        let delay = options.duration("sink.partition-commit.delay")?.unwrap_or(0);
        let trigger = match options.text("sink.partition-commit.trigger").unwrap_or("process-time") {
            "process-time" => Trigger::ProcessTime,
            "partition-time" => Trigger::PartitionTime(time),
            other => {
                return invalid(format!(
                    "Unsupported partition commit trigger: {}. Expected 'process-time' or 'partition-time'.",
                    quote(other)
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
                _ => return invalid(format!("Unsupported policy: {}", quote(kind))),
            }
        }
        let name = options.text("sink.partition-commit.success-file.name").unwrap_or("_SUCCESS");
        let settings = Self { trigger, delay: i64::try_from(delay).unwrap_or(i64::MAX), success_file: name.to_owned() };
        Ok(success.then_some(settings))
    }
}

/// A partition that waits for its commit.
#[derive(Clone, Copy, Debug)]
struct PendingPartition {
    /// When it was first written to, in milliseconds since the epoch.
    since: i64,
    /// How many snapshots there were when a file was last begun in it.
    touched: u64,
}

/// What a subtask writes when a checkpoint is durable.
struct AtCheckpoint {
    progress: Progress,
    /// How many snapshots there were then.
    snapshots: u64,
}

/// The partitions that one subtask has written to.
pub(super) struct PartitionCommitter {
    folder: TableFolder,
    settings: Settings,
    progress_files: ProgressFiles,
    clock: Arc<dyn Clock>,
    pub(super) watermark: i64,
    pub(super) idle: bool,
    /// That of all subtasks, when this one looked last.
    common_watermark: i64,
    /// By folder.
    pending: BTreeMap<String, PendingPartition>,
    snapshots: u64,
    /// From the checkpoint that all subtasks had reached when this one looked last.
    at_checkpoint: BTreeMap<u64, AtCheckpoint>,
    /// Partitions of subtasks that have ended, committed here since: the same one may wait for several.
    committed_for_others: BTreeMap<u32, BTreeSet<String>>,
    ended: bool,
}

impl PartitionCommitter {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            folder: TableFolder::default(),
            progress_files: ProgressFiles::default(),
            settings,
            clock: Arc::new(SystemClock),
            watermark: MIN_WATERMARK,
            idle: false,
            common_watermark: MIN_WATERMARK,
            pending: BTreeMap::new(),
            snapshots: 0,
            at_checkpoint: BTreeMap::new(),
            committed_for_others: BTreeMap::new(),
            ended: false,
        }
    }

    /// Returns the progress files of other runs of the job that this subtask is to remove once these runs are over.
    pub(super) fn open(&mut self, folder: &TableFolder, sink: u64, context: &OperatorContext) -> Vec<SmallFile> {
        self.folder = folder.clone();
        self.clock = context.clock.clone();
        self.progress_files = ProgressFiles::new(folder.clone(), sink, context);
        self.progress_files.remove_earlier()
    }

    /// A file was begun at that time.
    pub(super) fn written(&mut self, folder: &str, now: i64) {
        let touched = self.snapshots;
        self.pending.entry(folder.to_owned()).or_insert(PendingPartition { since: now, touched }).touched = touched;
    }

    /// Whether this subtask would call the partition complete: then its file takes no rows beyond the next checkpoint. Also by
    /// the watermark of the others: of one that is idle the file would keep them waiting.
    pub(super) fn is_complete(&self, folder: &str, now: i64) -> Result<bool> {
        let since = self.pending.get(folder).map_or(now, |partition| partition.since);
        self.is_due(folder, since, self.watermark.max(self.common_watermark), now)
    }

    fn is_due(&self, folder: &str, since: i64, watermark: i64, now: i64) -> Result<bool> {
        let delay = self.settings.delay;
        match &self.settings.trigger {
            Trigger::ProcessTime => Ok(delay == 0 || now > since.saturating_add(delay)),
            Trigger::PartitionTime(time) => Ok(watermark > time.of(folder)?.saturating_add(delay)),
        }
    }

    /// Keeps the progress to write when the checkpoint is durable, and returns the pending partitions as state of the checkpoint.
    /// Those of subtasks that have ended are among them: a checkpoint has no state of these. So are those of subtasks that will
    /// have ended when an earlier checkpoint is durable: the progress that they write then may come too late for this one. Where
    /// this subtask takes its snapshot first, the other one takes its own before it ends: it is notified that the earlier
    /// checkpoint is durable after this one was triggered. `open`: folders with a file that goes on and does not get its name
    /// with the checkpoint.
    pub(super) fn snapshot(&mut self, checkpoint: u64, ended: bool, open: BTreeSet<String>) -> Result<Vec<Bytes>> {
        self.snapshots += 1;
        let progress = self.progress(checkpoint, ended, open);
        let mut pending: BTreeMap<String, i64> = progress.pending.iter().cloned().collect();
        // A subtask that has ended writes no more: the last one may have removed the files, and no subtask would do so again.
        if ended && !self.ended {
            self.progress_files.write_ending(&progress)?;
        }
        // One that takes part in this checkpoint has its own in it, and may have ended with rows that came after it.
        let before =
            self.progress_files.read_ending_others()?.into_iter().filter(|(_, other)| other.checkpoint < checkpoint);
        for (subtask, other) in before {
            for (folder, since) in other.pending {
                if !self.is_committed_for(subtask, &folder) {
                    pending.entry(folder).and_modify(|known| *known = since.min(*known)).or_insert(since);
                }
            }
        }
        self.at_checkpoint.insert(checkpoint, AtCheckpoint { progress, snapshots: self.snapshots });
        Ok(pending.iter().map(|(folder, since)| encode(folder, *since)).collect())
    }

    pub(super) fn restore(&mut self, entries: impl Iterator<Item = Bytes>) -> Result<()> {
        for entry in entries {
            let (folder, since) = decode(&entry)?;
            let known = self.pending.entry(folder).or_insert(PendingPartition { since, touched: 0 });
            known.since = known.since.min(since);
        }
        Ok(())
    }

    fn progress(&self, checkpoint: u64, ended: bool, open: BTreeSet<String>) -> Progress {
        let pending = self.pending.iter().map(|(folder, partition)| (folder.clone(), partition.since)).collect();
        let watermark = if ended { MAX_WATERMARK } else { self.watermark };
        Progress { checkpoint, watermark, idle: self.idle, ended, pending, open }
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
        self.progress_files.write_ending(&progress)?;
        self.at_checkpoint.insert(last, AtCheckpoint { progress, snapshots: u64::MAX });
        self.advance(last)
    }

    /// The task closes its operators, whether this subtask has ended or not. Of one that has ended the others know it.
    pub(super) fn close(&self) {
        if !self.ended {
            self.progress_files.close();
        }
    }

    /// The others know that this subtask has committed everything it ever will.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn is_committed_for(&self, subtask: u32, folder: &str) -> bool {
        self.committed_for_others.get(&subtask).is_some_and(|done| done.contains(folder))
    }

    /// Writes the progress of that durable checkpoint, and commits the partitions that have become complete by it.
    fn advance(&mut self, completed: u64) -> Result<()> {
        // The others commit for a subtask that has ended.
        if self.ended {
            return Ok(());
        }
        let Some(own) = self.at_checkpoint.get(&completed) else { return Ok(()) };
        self.progress_files.write(&own.progress)?;
        self.ended = own.progress.ended;
        let Some(others) = self.progress_files.read_others()? else {
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
        for (folder, since) in at_reached.into_iter().flat_map(|(_, then)| &then.progress.pending) {
            // It may have been committed since then.
            let is_pending = self.pending.get(folder).is_some_and(|partition| partition.since == *since);
            if is_pending && is_due(folder, *since)? {
                complete.insert(folder.clone());
            }
        }
        for (subtask, other) in others.iter().filter(|(_, other)| other.ended && other.checkpoint <= reached) {
            for (folder, since) in &other.pending {
                if !self.is_committed_for(*subtask, folder) && is_due(folder, *since)? {
                    complete.insert(folder.clone());
                }
            }
        }
        let (snapshots, needed) = (own.snapshots, at_reached.map(|(checkpoint, _)| *checkpoint));
        for folder in &complete {
            self.commit(folder)?;
            // Unless a file was begun in it since then: it will be complete once more.
            if self.pending.get(folder).is_some_and(|partition| partition.touched < snapshots) {
                self.pending.remove(folder);
            }
        }
        for (subtask, other) in others.iter().filter(|(_, other)| other.ended) {
            let folders = other.pending.iter().map(|(folder, _)| folder);
            let done = folders.filter(|folder| complete.contains(*folder)).cloned();
            self.committed_for_others.entry(*subtask).or_default().extend(done);
        }
        self.common_watermark = watermark;
        if let Some(needed) = needed {
            self.at_checkpoint = self.at_checkpoint.split_off(&needed);
        }
        if over {
            self.progress_files.remove_all();
        }
        Ok(())
    }

    fn commit(&self, folder: &str) -> Result<()> {
        let file = self.folder.file(&format!("{folder}{}", self.settings.success_file))?;
        fault::point("sink.before-success-file");
        let is_first = !file.exists().unwrap_or(false);
        file.make()?;
        // Late rows make it complete at each checkpoint, for each subtask: once is news.
        match is_first {
            true => tracing::info!(partition = folder, "committed a partition"),
            false => tracing::debug!(partition = folder, "committed a partition again"),
        }
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
