//! Writes rows to files that readers see when a checkpoint has made them final.
//!
//! A file is written under a hidden name ([`names`]), which readers leave out. When it is complete ([`rolling`]) it waits for
//! the next checkpoint, and gets its own name when that checkpoint is durable: half a file is never seen, and no row twice.
//! A checkpoint names the files that wait and, for JSON, those that are being written and how much of them is valid ([`state`];
//! files of the other formats are complete at each checkpoint); a restore gives the first their names and goes on with the
//! others ([`recovery`]). Where the task waits for no checkpoint before it ends, files appear at its end.
//!
//! In a store, which cannot rename, a file is an upload in parts ([`upload`]) that waits to be completed ([`uploads`]); it is complete
//! at each checkpoint, whatever its format.
//!
//! Invariant: a hidden file that a snapshot names is never changed before the length it had then. One that a checkpoint names
//! is removed only when its rows were copied to another file and a later checkpoint is durable; what goes without one no
//! checkpoint names, and it is the attempt's own, or of an earlier attempt of its run. One that a savepoint names stays until it
//! has its final name, or a job that started from the savepoint has taken its rows over and has a durable checkpoint
//! ([`savepoint`]). A complete file of another run of the job is never removed: it is renamed by the run that restores it.
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use bytes::Bytes;
use tokio::runtime::Handle;
use wiesel_common::ending;
use wiesel_common::fault;
use wiesel_common::random;
use wiesel_common::spawn;
use wiesel_common::time::{Clock, SystemClock};
use wiesel_expressions::row_kind::RowKind;
use wiesel_expressions::types::RowField;
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Error, OperatorContext, RestoredState, Result};
use wiesel_operators::sink::{CommitRequest, Committer, RestoredSink, SinkState, SinkWriter, Unfinished};
use wiesel_proto as proto;
use wiesel_proto::operator_list_state::Redistribution;
use wiesel_state::keyed::SnapshotOptions;

use super::partitions::partition_text;
use super::path::{Root, escape, unreadable};
use crate::formats::{FileWriter, FileWriters};
use crate::input::Files;

mod names;
mod open_files;
mod part_file;
pub(super) mod partition_commit;
mod recovery;
mod rolling;
mod savepoint;
mod state;
mod table_folder;
#[cfg(test)]
mod tests;
mod upload;
mod uploads;

use names::Names;
use part_file::{Closing, Held, PartFile, no_folder, unwritable};
use partition_commit::PartitionCommitter;
use recovery::Obsolete;
use rolling::RollingPolicy;
use savepoint::Guard;
use state::{Committable, FileKey, FileState, HiddenFile, InProgress};
use table_folder::TableFolder;

/// At most so many are complete and still on their way to a store.
const CLOSING_FILES: usize = 64;
/// Files of bulk formats keep rows of at most so many bytes in memory, all together, ...
const BUFFERED_BYTES: usize = 64 << 20;
/// ... and so many bytes of what their ends will say of what was written.
const NOTED_BYTES: usize = 64 << 20;
/// How long a task that ends waits until a store has taken note of that.
const CLOSING: Duration = Duration::from_secs(3);
/// The list of partitions that wait for their commit.
const PARTITIONS: &str = "partitions";

/// What a table is written with, checked when the table is described.
pub(super) struct Settings {
    rolling: RollingPolicy,
    partition_commit: Option<partition_commit::Settings>,
}

impl Settings {
    /// From the options of a table with these partition columns.
    pub(super) fn new(options: crate::options::Options<'_>, partition_keys: &[String]) -> crate::options::Result<Self> {
        if options.boolean("auto-compaction", false)? {
            return crate::options::invalid(
                "Option 'auto-compaction' is not supported: small files are not merged. Set it to false; larger files come \
                 from a longer checkpoint interval or 'sink.rolling-policy.*'.",
            );
        }
        let partition_commit = partition_commit::Settings::new(options, partition_keys)?;
        Ok(Self { rolling: RollingPolicy::new(options)?, partition_commit })
    }
}

/// The sink of one subtask.
pub(super) struct FileSink {
    root: Root,
    /// The same, once the sink is open.
    folder: TableFolder,
    files: Files,
    runtime: Option<Handle>,
    uid: Vec<u8>,
    writer: FileWriter,
    completes_at_checkpoint: bool,
    /// Positions in a row.
    file_columns: Vec<usize>,
    /// Name and position.
    partitions: Vec<(String, usize)>,
    default_partition: String,
    rolling: RollingPolicy,
    clock: Arc<dyn Clock>,
    names: Names,
    /// By folder.
    open: HashMap<String, PartFile>,
    /// What all of them have in memory.
    held: Held,
    uses: u64,
    next_check: i64,
    bytes: Vec<u8>,
    /// Complete since the last snapshot.
    closed: Vec<Committable>,
    /// The same, but the last of them is still on its way to the store.
    closing: VecDeque<Closing>,
    /// Files of earlier attempts whose rows were taken over, and progress files of other runs of the job.
    obsolete: Vec<Obsolete>,
    /// There while a savepoint of this attempt names files that have not got their names yet.
    guard: Option<Guard>,
    committer: Option<PartitionCommitter>,
    /// From the checkpoint, until the sink is opened.
    restored_partitions: Vec<Bytes>,
    finished: bool,
}

impl FileSink {
    pub(super) fn new(
        root: Root,
        uid: &[u8],
        writers: FileWriters,
        physical: &[RowField],
        partition_keys: &[String],
        default_partition: String,
        settings: Settings,
    ) -> Result<Self> {
        let mut partitions = Vec::with_capacity(partition_keys.len());
        for key in partition_keys {
            let position = physical.iter().position(|column| column.name == *key);
            let position = position.ok_or_else(|| Error::Plan(format!("the sink has no partition column '{key}'")))?;
            partitions.push((key.clone(), position));
        }
        let inside = |position: &usize| !partitions.iter().any(|(_, partition)| partition == position);
        let file_columns = (0..physical.len()).filter(inside).collect();
        Ok(Self {
            committer: settings.partition_commit.map(PartitionCommitter::new),
            root,
            folder: TableFolder::default(),
            files: Files::default(),
            runtime: None,
            uid: uid.to_vec(),
            writer: writers.writer,
            completes_at_checkpoint: writers.completes_at_checkpoint,
            file_columns,
            partitions,
            default_partition,
            rolling: settings.rolling,
            clock: Arc::new(SystemClock),
            names: Names::new(0, 0, 0, 0, 0),
            open: HashMap::new(),
            held: Held::default(),
            uses: 0,
            next_check: 0,
            bytes: Vec::new(),
            closed: Vec::new(),
            closing: VecDeque::new(),
            obsolete: Vec::new(),
            guard: None,
            restored_partitions: Vec::new(),
            finished: false,
        })
    }

    /// The folder of a row below the root: `key=value/...`.
    fn folder_of(&self, columns: &[ArrayRef], row: usize) -> Result<String> {
        let mut folder = String::new();
        for (key, position) in &self.partitions {
            let value = partition_text(columns[*position].as_ref(), row)?;
            let value = value.as_deref().unwrap_or(&self.default_partition);
            folder.push_str(&format!("{}={}/", escape(key), escape(value)));
        }
        Ok(folder)
    }

    /// The rows of each folder, in their order.
    fn by_folder(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<(String, Vec<u32>)>> {
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for row in 0..rows {
            let folder = self.folder_of(columns, row)?;
            let group = *known.entry(folder).or_insert_with_key(|folder| {
                groups.push((folder.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(row as u32);
        }
        Ok(groups)
    }

    /// Sees to it that a folder has an open file that is not full.
    fn prepare_file(&mut self, folder: &str, now: i64) -> Result<()> {
        if self.open.get(folder).is_some_and(|file| self.rolling.is_full(file.size()) || file.has_all_parts()) {
            self.close_file(folder)?;
        }
        if !self.open.contains_key(folder) {
            self.create(folder, now)?;
        }
        self.uses += 1;
        if let Some(file) = self.open.get_mut(folder) {
            file.used = self.uses;
        }
        Ok(())
    }

    fn create(&mut self, folder: &str, now: i64) -> Result<()> {
        self.make_room()?;
        let buffer = open_files::buffer(self.open.len());
        let file = match &self.folder {
            TableFolder::Local(root) => {
                let directory = make_folder(root, folder)?;
                PartFile::create(&directory, self.names.next(), &self.writer, buffer, now)?
            }
            TableFolder::Store(store) => {
                let path = format!("{folder}{}", self.names.next_object());
                PartFile::create_in_store(store, &path, &self.writer, buffer, now)?
            }
        };
        if self.open.is_empty() {
            self.next_check = now.saturating_add(self.rolling.check_interval);
        }
        self.open.insert(folder.to_owned(), file);
        if let Some(committer) = &mut self.committer {
            committer.written(folder, now);
        }
        Ok(())
    }

    /// Closes the files that were not written to for the longest time, where there are too many for another one.
    fn make_room(&mut self) -> Result<()> {
        while !open_files::is_room(self.open.len()) {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.used).map(|(folder, _)| folder.clone());
            let Some(oldest) = oldest else { return Ok(()) };
            self.close_file(&oldest)?;
        }
        Ok(())
    }

    /// Writes encoded rows (formats of rows only): those that follow a full file go to the next.
    fn write_rows(
        &mut self,
        folder: &str,
        columns: &[ArrayRef],
        rows: usize,
        index: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let mut row = 0;
        while row < rows {
            let now = self.clock.now_millis();
            self.prepare_file(folder, now)?;
            let (Some(file), FileWriter::Rows(encoder)) = (self.open.get_mut(folder), &mut self.writer) else {
                return Err(Error::Plan(format!("no file of rows for partition '{folder}'")));
            };
            while row < rows {
                self.bytes.clear();
                encoder.encode(columns, index(row), &mut self.bytes)?;
                row += 1;
                file.write_row(&self.bytes, now)?;
                if self.rolling.is_full(file.size()) {
                    break;
                }
            }
            file.send()?;
        }
        Ok(())
    }

    /// Writes columns (bulk formats only).
    fn write_columns(&mut self, folder: &str, columns: &[ArrayRef]) -> Result<()> {
        let now = self.clock.now_millis();
        self.prepare_file(folder, now)?;
        let Some(file) = self.open.get_mut(folder) else {
            return Err(Error::Plan(format!("no file for partition '{folder}'")));
        };
        let before = file.held();
        file.write_columns(columns, now)?;
        file.send()?;
        let after = file.held();
        self.held.change(before, after);
        self.bound_memory(columns.len())
    }

    /// Writes rows that wait in memory where they are too many, and closes files whose ends have too much to say.
    fn bound_memory(&mut self, columns: usize) -> Result<()> {
        while self.held.rows > BUFFERED_BYTES {
            let Some(largest) = self.open.values_mut().max_by_key(|file| file.held().rows) else { break };
            let before = largest.held();
            largest.spill(columns)?;
            largest.send()?;
            let after = largest.held();
            self.held.change(before, after);
        }
        while self.held.notes > NOTED_BYTES {
            let most = self.open.iter().max_by_key(|(_, file)| file.held().notes).map(|(folder, _)| folder.clone());
            let Some(most) = most else { break };
            self.close_file(&most)?;
        }
        Ok(())
    }

    fn write_to(&mut self, folder: &str, columns: &[ArrayRef], rows: Option<&[u32]>, all: usize) -> Result<()> {
        match (matches!(self.writer, FileWriter::Rows(_)), rows) {
            (true, None) => self.write_rows(folder, columns, all, |row| row),
            (true, Some(rows)) => self.write_rows(folder, columns, rows.len(), |row| rows[row] as usize),
            (false, None) => self.write_columns(folder, columns),
            (false, Some(rows)) => {
                let indexes = UInt32Array::from(rows.to_vec());
                let taken = columns.iter().map(|column| take(column, &indexes, None));
                self.write_columns(folder, &taken.collect::<std::result::Result<Vec<_>, _>>()?)
            }
        }
    }

    fn close_file(&mut self, folder: &str) -> Result<()> {
        let Some(file) = self.open.remove(folder) else { return Ok(()) };
        self.held.change(file.held(), Held::default());
        self.closing.push_back(file.close()?);
        // On this machine there is nothing to wait for.
        self.finish_closing(if self.folder.is_in_store() { CLOSING_FILES } else { 0 })
    }

    /// Waits until so many files are still on their way, at most.
    fn finish_closing(&mut self, most: usize) -> Result<()> {
        while self.closing.len() > most
            && let Some(file) = self.closing.pop_front()
        {
            self.closed.push(file.finish()?);
        }
        Ok(())
    }

    /// Completes the files that are to be.
    fn roll(&mut self, due: impl Fn(&str, &PartFile) -> Result<bool>) -> Result<()> {
        let mut folders = Vec::new();
        for (folder, file) in &self.open {
            if due(folder, file)? {
                folders.push(folder.clone());
            }
        }
        folders.iter().try_for_each(|folder| self.close_file(folder))
    }

    /// Completes the files that take no rows beyond a checkpoint.
    fn roll_at_checkpoint(&mut self) -> Result<()> {
        let all = self.completes_at_checkpoint || self.folder.is_in_store();
        let (rolling, now) = (self.rolling, self.clock.now_millis());
        let committer = self.committer.take();
        let complete =
            |folder: &str| committer.as_ref().map_or(Ok(false), |committer| committer.is_complete(folder, now));
        let rolled = self.roll(|folder, file| Ok(all || rolling.is_full(file.size()) || complete(folder)?));
        self.committer = committer;
        rolled
    }
}

impl FileSink {
    /// Completes uploads; returns those that are not complete for now.
    fn complete(
        &mut self,
        uploads: Vec<(state::Upload, CommitRequest<Committable>)>,
    ) -> Result<Vec<Unfinished<Committable>>> {
        let Some(runtime) = self.runtime.clone().filter(|_| !uploads.is_empty()) else { return Ok(Vec::new()) };
        let guard = &mut self.guard;
        uploads::complete(&self.files, &runtime, uploads, |upload| {
            if let Some(guard) = guard.as_mut() {
                guard.committed(&FileKey::Upload(upload.id.clone()));
            }
        })
    }

    /// Gives up a file of a store that is written and that no checkpoint names.
    fn abandon(&self, upload: &state::Upload) {
        if let (Some(runtime), Ok(location)) = (&self.runtime, self.files.location(&upload.uri)) {
            let id = upload.id.clone();
            spawn::detached(runtime, async move { location.abandon_parts(&id).await });
        }
    }
}

/// Gives a complete file its name. Does nothing where that was done before, by whichever attempt. Of a file in neither place:
///
/// - This attempt wrote it (`is_restored` is false): no other attempt had a reason to commit it, its rows are lost. An error.
/// - The restored checkpoint names it (`is_restored`): the checkpoint is complete, so that an earlier attempt may have committed the
///   file, and a reader of the table may have taken it away since; a job whose output is moved on between two runs is in order.
///   Nothing tells that from a loss afterwards, therefore it is a warning, and therefore no attempt may ever remove a file that
///   a complete checkpoint or a savepoint could name: see `FileSink::clean`.
/// - The same, but the table's folder is not there either: files that are taken out of a folder leave the folder. This machine
///   does not see the table, or not where it was: an error, for the rows of all its files would be missed in silence.
///
/// Files that rows were being written to cannot have been taken away: without them a restore fails (`PartFile::resume`).
fn commit(file: &HiddenFile, is_restored: bool, root: &Root) -> Result<()> {
    match fs::rename(&file.hidden, &file.path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if exists(&file.path)? {
                return Ok(());
            }
            if !is_restored {
                return Err(unwritable(&file.hidden, error));
            }
            if let Root::Local(folder) = root
                && !exists(folder)?
            {
                let message = format!(
                    "the restored checkpoint names {}, but the folder of its table is not there: make {} available on this \
                     machine, or create it empty if its files were taken away on purpose",
                    file.path.display(),
                    root
                );
                return Err(Error::external(message, error));
            }
            tracing::warn!(
                file = %file.path.display(),
                "a file of the checkpoint is gone: it was committed before and taken away since, or it was removed by hand"
            );
            Ok(())
        }
        Err(error) => Err(unwritable(&file.path, error)),
    }
}

/// Makes the folder of a partition.
fn make_folder(root: &Path, folder: &str) -> Result<PathBuf> {
    let directory = root.join(folder);
    fs::create_dir_all(&directory).map_err(|error| no_folder(&directory, error))?;
    Ok(directory)
}

/// Closes what has its progress files in a store. Not on the task's thread: one that was told to end waits for no store, and one that
/// has failed is to say so soon, though the store itself may be what has failed.
fn close_in_background(committer: PartitionCommitter, runtime: &Handle) {
    let span = tracing::Span::current();
    let closing = runtime.spawn_blocking(move || span.in_scope(|| committer.close()));
    _ = runtime.block_on(async { tokio::time::timeout(CLOSING, closing).await });
}

/// Whether a file is there. An error: that cannot be told.
fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| unreadable(path, error))
}

/// Makes renames in folders below the root durable, and the folders themselves. Those of partitions may have been taken away
/// with what was committed in them.
fn sync_folders(root: &Path, folders: BTreeSet<PathBuf>) -> Result<()> {
    let mut all = BTreeSet::new();
    for folder in folders {
        all.extend(folder.ancestors().take_while(|ancestor| ancestor.starts_with(root)).map(Path::to_owned));
    }
    for folder in all {
        match File::open(&folder).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&folder, error)),
            _ => {}
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot remove an unfinished file");
        }
        _ => {}
    }
}

impl SinkState for FileSink {
    const LIST: &'static str = "files";

    fn encode(entry: &FileState) -> Result<Bytes> {
        state::encode(entry)
    }

    fn decode(bytes: &[u8]) -> Result<FileState> {
        state::decode(bytes)
    }
}

impl SinkWriter for FileSink {
    type Committable = Committable;
    type State = InProgress;

    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.restored_partitions = state.list(PARTITIONS);
        Ok(())
    }

    fn open(
        &mut self,
        context: &OperatorContext,
        restored: Option<RestoredSink<InProgress, Committable>>,
    ) -> Result<Vec<Committable>> {
        self.clock = context.clock.clone();
        if let FileWriter::Bulk(bulk) = &mut self.writer {
            bulk.open(&context.configuration)?;
        }
        let id = xxhash_rust::xxh3::xxh3_64(&[&context.job_id.0[..], &self.uid].concat());
        let sink = Names::new_sink(id);
        self.names = Names::new(sink, context.subtask, context.run, context.attempt_number, random::number());
        self.folder = TableFolder::open(&self.root, context)?;
        self.files = Files::new(context.configuration.clone(), context.runtime.clone());
        self.runtime = Some(context.runtime.clone());
        if let Some(committer) = &mut self.committer {
            let of_other_runs = committer.open(&self.folder, sink, context);
            self.obsolete.extend(of_other_runs.into_iter().map(Obsolete::file));
        }
        self.recover(sink, context, restored)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.num_rows();
        let inserts = |row| matches!(batch.kind(row), RowKind::Insert | RowKind::UpdateAfter);
        if batch.kinds.is_some() && !(0..rows).all(inserts) {
            return Err(Error::Plan("the filesystem sink takes inserts only".into()));
        }
        let columns = batch.records.columns();
        let inside: Vec<ArrayRef> = self.file_columns.iter().map(|position| columns[*position].clone()).collect();
        if self.partitions.is_empty() {
            return self.write_to("", &inside, None, rows);
        }
        let groups = self.by_folder(columns, rows)?;
        groups.iter().try_for_each(|(folder, rows)| {
            // A batch may be thousands of files.
            ending::check()?;
            self.write_to(folder, &inside, Some(rows), rows.len())
        })
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        if let Some(committer) = &mut self.committer {
            committer.watermark = watermark;
        }
        Ok(())
    }

    fn status(&mut self, status: WatermarkStatus) -> Result<()> {
        if let Some(committer) = &mut self.committer {
            committer.idle = status == WatermarkStatus::Idle;
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        (!self.open.is_empty()).then_some(self.next_check)
    }

    fn processing_time(&mut self, now: i64) -> Result<()> {
        if now < self.next_check {
            return Ok(());
        }
        self.next_check = now.saturating_add(self.rolling.check_interval);
        let rolling = self.rolling;
        self.roll(|_, file| Ok(rolling.is_old(file.created, file.updated, now)))
    }

    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        self.roll(|_, _| Ok(true))
    }

    fn prepare_commit(&mut self) -> Result<Vec<Committable>> {
        self.roll_at_checkpoint()?;
        self.finish_closing(0)?;
        self.closed.iter_mut().for_each(Committable::note_snapshot);
        Ok(std::mem::take(&mut self.closed))
    }

    fn snapshot(&mut self) -> Result<Vec<InProgress>> {
        self.open.iter_mut().map(|(folder, file)| file.persist(folder)).collect()
    }

    fn lists(&mut self, options: &SnapshotOptions, named: &[FileState]) -> Result<Vec<proto::OperatorListState>> {
        let checkpoint = options.checkpoint_id;
        for obsolete in &mut self.obsolete {
            obsolete.not_in.get_or_insert(checkpoint);
        }
        if options.savepoint && !named.is_empty() {
            let earlier = self.guard.take();
            self.guard = Some(Guard::write(earlier, &self.folder, &self.names.guard(), checkpoint, named)?);
        }
        let Some(committer) = &mut self.committer else { return Ok(Vec::new()) };
        let open = self.open.keys().cloned().collect();
        Ok(vec![proto::OperatorListState {
            name: PARTITIONS.to_owned(),
            redistribution: Redistribution::BySubtask.into(),
            entries: committer.snapshot(checkpoint, self.finished, open)?,
        }])
    }

    fn close(&mut self) -> Result<()> {
        // What no snapshot names belongs to a task that did not get so far: its rows will be written again.
        let is_in_store = self.folder.is_in_store();
        // Of a file in a store this gives up the upload, too.
        self.closing.clear();
        self.open.drain().for_each(|(_, file)| file.give_up());
        for file in std::mem::take(&mut self.closed) {
            match file {
                Committable::File(file) if !file.in_snapshot => remove(&file.hidden),
                Committable::Upload(upload) if !upload.in_snapshot => self.abandon(&upload),
                _ => {}
            }
        }
        match (self.committer.take(), &self.runtime) {
            (Some(committer), Some(runtime)) if is_in_store => close_in_background(committer, runtime),
            (Some(committer), _) => committer.close(),
            (None, _) => {}
        }
        Ok(())
    }
}

impl Committer for FileSink {
    /// Gives complete files their names.
    fn commit(&mut self, requests: Vec<CommitRequest<Committable>>) -> Result<Vec<Unfinished<Committable>>> {
        let (mut folders, mut uploads) = (BTreeSet::new(), Vec::new());
        for request in requests {
            match &request.committable {
                Committable::File(file) => {
                    commit(file, request.is_restored, &self.root)?;
                    fault::point("sink.between-commits");
                    if let Some(guard) = &mut self.guard {
                        guard.committed(&FileKey::Hidden(file.hidden.clone()));
                    }
                    folders.extend(file.path.parent().map(Path::to_owned));
                }
                Committable::Upload(upload) => uploads.push((upload.clone(), request)),
            }
        }
        if let Root::Local(root) = &self.root {
            sync_folders(root, folders)?;
        }
        let unfinished = self.complete(uploads)?;
        if let Some(guard) = self.guard.take_if(|guard| guard.is_over()) {
            guard.remove();
        }
        Ok(unfinished)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.remove_obsolete(checkpoint_id)?;
        match &mut self.committer {
            Some(committer) => committer.checkpoint_completed(checkpoint_id),
            None => Ok(()),
        }
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        if let Some(guard) = self.guard.take() {
            self.guard = guard.failed(checkpoint_id)?;
        }
        Ok(())
    }

    /// What the rows were taken over from stays: a checkpoint may name it that the job starts from once more.
    fn ended(&mut self) -> Result<()> {
        match &mut self.committer {
            Some(committer) => committer.end(),
            None => Ok(()),
        }
    }

    /// Also where nothing waits: other subtasks may wait to hear that this one has committed everything.
    fn awaits_checkpoint(&self) -> bool {
        let waits = !self.closed.is_empty() || !self.closing.is_empty() || !self.obsolete.is_empty();
        waits || self.committer.as_ref().is_some_and(|committer| !committer.has_ended())
    }
}
