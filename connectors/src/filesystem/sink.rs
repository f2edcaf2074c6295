//! Writes rows to files that appear when the task is done.
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::ArrayRef;
use rand::Rng;
use wiesel_operators::element::{Batch, RowKind};
use wiesel_operators::operator::{Collector, Error, Operator, OperatorContext, Result};
use wiesel_operators::types::RowField;

use super::path::escape;
use crate::formats::{Encoder, Format, partition_text};

/// At most so many files are open at once; their rows are on disk already and wait under a hidden name.
const OPEN_FILES: usize = 64;

/// The sink of one subtask. A file is written under a hidden name, which readers leave out, and gets its own when every row
/// is in it: half a file is never seen.
pub(super) struct FileSink {
    root: PathBuf,
    encoder: Box<dyn Encoder>,
    /// Positions in a row.
    file_columns: Vec<usize>,
    /// Name and position.
    partitions: Vec<(String, usize)>,
    default_partition: String,
    /// `part-<random>-<subtask>`.
    prefix: String,
    files: HashMap<String, PartFile>,
    written: u64,
    clock: u64,
    bytes: Vec<u8>,
    /// Hidden and final name of files that are closed.
    finished: Vec<(PathBuf, PathBuf)>,
}

struct PartFile {
    hidden: PathBuf,
    path: PathBuf,
    writer: BufWriter<File>,
    used: u64,
}

impl FileSink {
    pub(super) fn new(
        root: PathBuf,
        format: &Format,
        physical: &[RowField],
        partition_keys: &[String],
        default_partition: String,
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
            root,
            encoder: format.encoder(),
            file_columns,
            partitions,
            default_partition,
            prefix: String::new(),
            files: HashMap::new(),
            written: 0,
            clock: 0,
            bytes: Vec::new(),
            finished: Vec::new(),
        })
    }

    /// The folder of a row below the root: `key=value/...`.
    fn folder(&self, columns: &[ArrayRef], row: usize) -> Result<String> {
        let mut folder = String::new();
        for (key, position) in &self.partitions {
            let value = partition_text(columns[*position].as_ref(), row)?;
            let value = value.as_deref().unwrap_or(&self.default_partition);
            folder.push_str(&format!("{}={}/", escape(key), escape(value)));
        }
        Ok(folder)
    }

    /// The open file of a folder.
    fn file(&mut self, folder: &str) -> Result<&mut PartFile> {
        self.clock += 1;
        if !self.files.contains_key(folder) {
            if self.files.len() >= OPEN_FILES {
                self.close_oldest()?;
            }
            let directory = self.root.join(folder);
            let name = format!("{}-{}", self.prefix, self.written);
            self.written += 1;
            let hidden = directory.join(format!(".{name}.inprogress"));
            fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, error))?;
            let file = File::create_new(&hidden).map_err(|error| unwritable(&hidden, error))?;
            let writer = BufWriter::with_capacity(128 << 10, file);
            let part = PartFile { hidden, path: directory.join(name), writer, used: 0 };
            self.files.insert(folder.to_owned(), part);
        }
        let clock = self.clock;
        match self.files.get_mut(folder) {
            Some(file) => {
                file.used = clock;
                Ok(file)
            }
            None => Err(Error::Plan(format!("no file for partition '{folder}'"))),
        }
    }

    fn close_oldest(&mut self) -> Result<()> {
        let oldest = self.files.iter().min_by_key(|(_, file)| file.used).map(|(folder, _)| folder.clone());
        match oldest.and_then(|folder| self.files.remove(&folder)) {
            Some(file) => self.close_file(file),
            None => Ok(()),
        }
    }

    fn close_file(&mut self, file: PartFile) -> Result<()> {
        let synced = file.writer.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
        synced.map_err(|error| unwritable(&file.hidden, error))?;
        self.finished.push((file.hidden, file.path));
        Ok(())
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::external(format!("cannot write {}: {error}", path.display()), error)
}

impl Operator for FileSink {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let random: u128 = rand::rng().random();
        self.prefix = format!("part-{random:032x}-{}", context.subtask);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Collector) -> Result<()> {
        let columns = batch.records.columns();
        let inside: Vec<ArrayRef> = self.file_columns.iter().map(|position| columns[*position].clone()).collect();
        for row in 0..batch.num_rows() {
            if !matches!(batch.kind(row), RowKind::Insert | RowKind::UpdateAfter) {
                return Err(Error::Plan("the filesystem sink takes inserts only".into()));
            }
            let folder = self.folder(columns, row)?;
            self.bytes.clear();
            self.encoder.encode(&inside, row, &mut self.bytes)?;
            let bytes = std::mem::take(&mut self.bytes);
            let file = self.file(&folder)?;
            let written = file.writer.write_all(&bytes).map_err(|error| unwritable(&file.hidden, error));
            self.bytes = bytes;
            written?;
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Collector) -> Result<()> {
        for (_, file) in std::mem::take(&mut self.files) {
            self.close_file(file)?;
        }
        for (hidden, path) in std::mem::take(&mut self.finished) {
            fs::rename(&hidden, &path).map_err(|error| unwritable(&path, error))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        // What is still hidden belongs to a task that did not finish: its rows will be written again.
        let open = self.files.drain().map(|(_, file)| file.hidden);
        for hidden in open.chain(self.finished.drain(..).map(|(hidden, _)| hidden)) {
            if let Err(error) = fs::remove_file(&hidden) {
                tracing::warn!(file = %hidden.display(), %error, "cannot remove an unfinished file");
            }
        }
        Ok(())
    }
}
