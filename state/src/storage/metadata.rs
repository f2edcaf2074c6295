//! The file `_metadata`: a header that says what it is, then [`proto::CheckpointMetadata`]. docs/checkpoint-format.md.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `WIESELCP` |
//! | 4 | version of the format |
//! | 8 | bytes of the body |
//! | 4 | CRC-32C of the body |
//! | 4 | CRC-32C of the 24 bytes before |
//! | | the body |
use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::checkpointing;
use wiesel_common::filesystem::{self, Location, Refusal};
use wiesel_proto as proto;

use super::METADATA;
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"WIESELCP";
/// The first four bytes of Apache Flink's.
const FLINK_MAGIC: [u8; 4] = [0x49, 0x60, 0x67, 0x2d];
/// The version that is written. Older ones are read.
pub const VERSION: u32 = 3;
const HEADER: usize = 28;
/// The longest body, in bytes: a JobManager has it in memory, several times while it writes it.
const MAX_BODY: u64 = 512 << 20;
/// How much memory a body may take beside itself once it is decoded. A file of state, or of rows in flight, takes some 300 bytes.
const MAX_DECODED: u64 = 512 << 20;

/// A checkpoint or savepoint that a pointer led to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its folder, a URI.
    pub folder: String,
    /// The file that makes it one, a URI.
    pub file: String,
    /// What it holds; paths of files are complete URIs.
    pub metadata: proto::CheckpointMetadata,
}

/// Finds a checkpoint or savepoint: the pointer names its folder or its `_metadata` file.
///
/// # Errors
/// Nothing is there, the path is relative, it is no checkpoint, is damaged, or is of a newer version.
pub async fn find(pointer: &str, configuration: &Configuration) -> Result<Found> {
    let (file, bytes) = read_file(pointer, configuration).await?;
    let folder = file.parent().map(|folder| folder.uri().to_owned()).unwrap_or_default();
    let metadata = decode(&bytes, file.uri(), &folder)?;
    Ok(Found { folder, file: file.uri().to_owned(), metadata })
}

/// The folder and the content of what [`find`] finds.
///
/// # Errors
/// As [`find`].
pub async fn read_metadata(
    pointer: &str,
    configuration: &Configuration,
) -> Result<(String, proto::CheckpointMetadata)> {
    find(pointer, configuration).await.map(|found| (found.folder, found.metadata))
}

async fn read_file(pointer: &str, configuration: &Configuration) -> Result<(Location, Bytes)> {
    let location = Location::resolve(pointer, configuration)?;
    let inside = if location.name() == METADATA { location.clone() } else { location.join(METADATA) };
    match read(&inside).await {
        Ok(bytes) => return Ok((inside, bytes)),
        Err(error) if !error.is_not_found() => return Err(error),
        Err(_) => {}
    }
    let is_folder = location.as_local().is_some_and(|path| path.is_dir());
    match read(&location).await {
        Ok(bytes) => return Ok((location, bytes)),
        // What is there and is no file, or may not be read.
        Err(error) if !is_folder && !error.is_not_found() => return Err(error),
        Err(_) => {}
    }
    Err(Error::Corrupt(match is_folder {
        true => format!(
            "Cannot find meta data file '{METADATA}' in directory '{}': the checkpoint or savepoint was never completed, \
             or the directory is another one",
            location.uri()
        ),
        false => format!("Cannot find checkpoint or savepoint file/directory '{}'", location.uri()),
    }))
}

/// What has no header that fits it, or is too long, is not read any further.
async fn read(file: &Location) -> Result<Bytes> {
    let check = |start: &[u8], size: u64| Header::read(start, size).map(drop);
    file.read_checked(MAX_BODY + HEADER as u64, HEADER, check).await.map_err(|error| match error {
        filesystem::Error::Refused { uri, refusal: Refusal::Checked(what) } => Error::Corrupt(format!("{uri} {what}")),
        error => error.into(),
    })
}

/// The bytes of a `_metadata` file in a folder. Files in the folder go by their names there, so that the whole can be moved.
pub fn encode(metadata: &proto::CheckpointMetadata, folder: &str) -> Bytes {
    let mut metadata = metadata.clone();
    if !metadata.claimed.is_empty() {
        folder.clone_into(&mut metadata.folder);
    }
    let prefix = format!("{folder}/");
    for_each_file(&mut metadata, |file, _| {
        if let Some(name) = file.path.strip_prefix(&prefix).filter(|name| !name.contains('/')) {
            file.path = name.to_owned();
        }
    });
    let body = metadata.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes.into()
}

/// Whether what [`encode`] gave can be read.
///
/// # Errors
/// It is too much.
pub(super) fn check_written(bytes: &Bytes) -> Result<()> {
    let (size, body) = (bytes.len() as u64, bytes.get(HEADER..).unwrap_or_default());
    let reason = match proto::check_memory::<proto::CheckpointMetadata>(body, MAX_DECODED) {
        _ if size > MAX_BODY + HEADER as u64 => format!("it has {size} bytes, at most {MAX_BODY} can be read back"),
        Err(error) => error.to_string(),
        Ok(()) => return Ok(()),
    };
    Err(Error::TooLarge(format!(
        "The metadata of the checkpoint is too large: {reason}. Lower '{}' so that more state is in files, or the parallelism",
        checkpointing::INLINE_THRESHOLD.key()
    )))
}

/// What a file begins with.
struct Header {
    /// Of the body.
    checksum: u32,
}

impl Header {
    /// Of a file of this size that begins like this. An error says what is wrong with it.
    fn read(start: &[u8], size: u64) -> std::result::Result<Self, String> {
        if start.starts_with(&FLINK_MAGIC) {
            return Err("is a checkpoint or savepoint of Apache Flink, whose format cannot be read here".into());
        }
        let known = start.len().min(MAGIC.len());
        if start.is_empty() || start[..known] != MAGIC[..known] {
            return Err("is not the metadata of a checkpoint or savepoint".into());
        }
        if start.len() < HEADER {
            return Err(format!("is truncated: it has {} bytes of a header of {HEADER}", start.len()));
        }
        let number = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        if crc32c::crc32c(&start[..HEADER - 4]) != number(HEADER - 4) {
            return Err("is damaged: the checksum of its header does not match".into());
        }
        let version = number(8);
        if version == 0 || version > VERSION {
            return Err(format!("has version {version} of the format; this Wiesel reads versions up to {VERSION}"));
        }
        let length = (u64::from(number(12)) << 32) | u64::from(number(16));
        let found = size.saturating_sub(HEADER as u64);
        if found != length {
            let what = if found < length { "truncated" } else { "damaged" };
            return Err(format!("is {what}: it has {found} bytes of metadata instead of {length}"));
        }
        if length > MAX_BODY {
            return Err(format!(
                "has {length} bytes of metadata, and at most {MAX_BODY} are read: start from another checkpoint or savepoint, \
                 taken with a lower '{}'",
                checkpointing::INLINE_THRESHOLD.key()
            ));
        }
        Ok(Self { checksum: number(20) })
    }
}

/// What a `_metadata` file of this name in this folder holds.
pub fn decode(bytes: &Bytes, file: &str, folder: &str) -> Result<proto::CheckpointMetadata> {
    let corrupt = |what: String| Error::Corrupt(format!("{file} {what}"));
    let start = &bytes[..bytes.len().min(HEADER)];
    let header = Header::read(start, bytes.len() as u64).map_err(corrupt)?;
    let body = bytes.slice(HEADER..);
    if crc32c::crc32c(&body) != header.checksum {
        return Err(corrupt("is damaged: its checksum does not match".into()));
    }
    let mut metadata: proto::CheckpointMetadata =
        proto::decode_at_most(body, MAX_DECODED).map_err(|error| corrupt(format!("cannot be decoded: {error}")))?;
    let mut relative = 0;
    visit_files(&metadata, |file, _| relative += u64::from(is_relative(file)));
    if relative.saturating_mul(folder.len() as u64) > MAX_DECODED {
        let what = "names so many files that their paths would take more than";
        return Err(corrupt(format!("{what} {MAX_DECODED} bytes of memory: move the checkpoint to a shorter path")));
    }
    let mut outside = None;
    for_each_file(&mut metadata, |file, _| {
        if !is_relative(file) {
            return;
        }
        if file.path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            outside.get_or_insert_with(|| file.path.clone());
        }
        file.path = format!("{folder}/{}", file.path);
    });
    match outside {
        Some(path) => Err(corrupt(format!("names the file '{path}', which cannot be in its folder"))),
        None => Ok(metadata),
    }
}

/// Whether its path is one in the folder of the metadata.
fn is_relative(file: &proto::StateFile) -> bool {
    !file.path.is_empty() && !file.path.contains(":/")
}

/// The URIs of the files in `shared/` that a checkpoint refers to.
pub fn shared_files(metadata: &proto::CheckpointMetadata) -> HashSet<String> {
    let mut found = HashSet::new();
    visit_files(metadata, |file, shared| {
        if shared && !file.path.is_empty() {
            found.insert(file.path.clone());
        }
    });
    found
}

/// The URIs of all files that a checkpoint refers to.
pub fn all_files(metadata: &proto::CheckpointMetadata) -> HashSet<String> {
    let mut found = HashSet::new();
    visit_files(metadata, |file, _| {
        if !file.path.is_empty() {
            found.insert(file.path.clone());
        }
    });
    found
}

/// The URIs of the files that a task handed over.
pub fn files_of_task(task: &proto::TaskState) -> Vec<String> {
    let mut found = Vec::new();
    visit_task_files(task, &mut |file, _| {
        if !file.path.is_empty() {
            found.push(file.path.clone());
        }
    });
    found
}

/// The bytes of all state that a checkpoint refers to.
pub fn state_size(metadata: &proto::CheckpointMetadata) -> u64 {
    let mut size = 0;
    visit_files(metadata, |file, _| size += file.size);
    size
}

/// Visits every file, and whether it is in `shared/`.
pub(super) fn visit_files(metadata: &proto::CheckpointMetadata, mut visit: impl FnMut(&proto::StateFile, bool)) {
    for task in metadata.vertices.iter().flat_map(|vertex| &vertex.subtasks) {
        visit_task_files(task, &mut visit);
    }
}

/// Visits every file of a task, and whether it is in `shared/`.
pub(super) fn visit_task_files(task: &proto::TaskState, visit: &mut impl FnMut(&proto::StateFile, bool)) {
    let keyed = task.operators.iter().flat_map(|operator| &operator.keyed).flat_map(|handle| &handle.files);
    for (file, shared) in keyed.filter_map(|keyed| Some((keyed.file.as_ref()?, keyed.shared))) {
        visit(file, shared);
    }
    task.channels.iter().filter_map(|channel| channel.file.as_ref()).for_each(|file| visit(file, false));
}

fn for_each_file(metadata: &mut proto::CheckpointMetadata, mut change: impl FnMut(&mut proto::StateFile, bool)) {
    for task in metadata.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks) {
        let handles = task.operators.iter_mut().flat_map(|operator| &mut operator.keyed);
        for keyed in handles.flat_map(|handle| &mut handle.files) {
            if let Some(file) = &mut keyed.file {
                change(file, keyed.shared);
            }
        }
        task.channels.iter_mut().filter_map(|channel| channel.file.as_mut()).for_each(|file| change(file, false));
    }
}
