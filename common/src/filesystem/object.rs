//! Objects of a store such as S3.
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tracing::Instrument;

use super::regular::open_regular;
use super::{Error, Result, Written};

/// What is moved in one request.
const PART: u64 = 8 << 20;
/// A service takes 10,000 parts of one object.
const MAX_PARTS: u64 = 9_000;
/// Requests of one file under way at once.
const PARTS_AT_ONCE: usize = 3;
/// How often a conflict is taken for a passing one.
const CONFLICTS: u32 = 6;

pub(super) async fn read(store: &dyn ObjectStore, path: &ObjectPath, uri: &str) -> Result<Bytes> {
    let failed = |error| Error::object("read", uri, &error);
    store.get(path).await.map_err(failed)?.bytes().await.map_err(failed)
}

pub(super) async fn read_range(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    uri: &str,
    range: Range<u64>,
) -> Result<Bytes> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let wanted = range.end - range.start;
    let bytes = store.get_range(path, range).await.map_err(|error| Error::object("read", uri, &error))?;
    if bytes.len() as u64 != wanted {
        let short = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file is shorter than it should be");
        return Err(Error::io("read", uri, &short));
    }
    Ok(bytes)
}

pub(super) async fn size(store: &dyn ObjectStore, path: &ObjectPath, uri: &str) -> Result<u64> {
    let found = store.head(path).await.map_err(|error| Error::object("look at", uri, &error))?;
    Ok(found.size)
}

pub(super) async fn write(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, bytes: Bytes) -> Result<()> {
    let mut pause = Duration::from_millis(20);
    for _ in 1..CONFLICTS {
        match store.put(path, PutPayload::from_bytes(bytes.clone())).await {
            Ok(_) => return Ok(()),
            // Some services refuse a put into a folder from which the last object is being deleted.
            Err(object_store::Error::AlreadyExists { .. }) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(Error::object("write", uri, &error)),
        }
    }
    let outcome = store.put(path, PutPayload::from_bytes(bytes)).await;
    outcome.map(|_| ()).map_err(|error| Error::object("write", uri, &error))
}

/// Writes an object that must not be there with other content: an answer that was lost is told apart from somebody else's.
pub(super) async fn write_new(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, bytes: Bytes) -> Result<()> {
    let mut pause = Duration::from_millis(20);
    for attempt in 1..=CONFLICTS {
        let put = store.put_opts(path, PutPayload::from_bytes(bytes.clone()), PutMode::Create.into()).await;
        match put {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(error) => return Err(Error::object("write", uri, &error)),
        }
        match read(store, path, uri).await {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => return Err(Error::already_there(uri)),
            // A conflict with something that is over: see `write`.
            Err(error) if error.is_not_found() && attempt < CONFLICTS => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::already_there(uri))
}

pub(super) async fn upload(store: &Arc<dyn ObjectStore>, path: &ObjectPath, uri: &str, from: &Path) -> Result<Written> {
    let local = |error: std::io::Error| Error::io("read", &from.display().to_string(), &error);
    let mut reader = PartReader::open(from).map_err(local)?;
    if reader.size <= PART {
        let bytes = reader.next().await.map_err(local)?;
        write(&**store, path, uri, bytes).await?;
        return Ok(reader.seen);
    }
    let failed = |error| Error::object("write", uri, &error);
    let mut parts = Parts::begin(store, path).await.map_err(failed)?;
    let outcome = match &mut parts.0 {
        Some(upload) => upload_parts(&mut **upload, &mut reader, uri, from).await,
        None => Ok(()),
    };
    match outcome {
        Ok(()) => parts.0 = None,
        // The first failure is the one to report.
        Err(_) => parts.abort().await,
    }
    outcome.map(|()| reader.seen)
}

type Multipart = Box<dyn MultipartUpload>;

/// An upload in parts, which the service keeps until it is completed or aborted: it is aborted however its owner ends.
struct Parts(Option<Multipart>);

impl Parts {
    /// Begins one. If nobody waits for that any more, it is aborted when it has begun.
    async fn begin(store: &Arc<dyn ObjectStore>, path: &ObjectPath) -> object_store::Result<Self> {
        let (store, path) = (store.clone(), path.clone());
        let begin = async move { store.put_multipart(&path).await.map(|upload| Self(Some(upload))) };
        tokio::spawn(begin.in_current_span()).await.unwrap_or_else(|error| {
            Err(object_store::Error::Generic { store: "multipart upload", source: Box::new(error) })
        })
    }

    async fn abort(mut self) {
        if let Some(upload) = self.0.take() {
            abort(upload).await;
        }
    }
}

/// What cannot be aborted stays until the job's folder is swept.
async fn abort(mut upload: Multipart) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(%error, "an unfinished upload stays for now");
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let (Some(upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(abort(upload).in_current_span());
        }
    }
}

async fn upload_parts(upload: &mut dyn MultipartUpload, reader: &mut PartReader, uri: &str, from: &Path) -> Result<()> {
    let failed = |error| Error::object("write", uri, &error);
    let mut under_way = FuturesUnordered::new();
    loop {
        let local = |error: std::io::Error| Error::io("read", &from.display().to_string(), &error);
        let bytes = reader.next().await.map_err(local)?;
        if bytes.is_empty() {
            break;
        }
        if under_way.len() >= PARTS_AT_ONCE {
            under_way.try_next().await.map_err(failed)?;
        }
        under_way.push(upload.put_part(PutPayload::from_bytes(bytes)));
    }
    while under_way.try_next().await.map_err(failed)?.is_some() {}
    drop(under_way);
    upload.complete().await.map(|_| ()).map_err(failed)
}

pub(super) async fn download(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, to: &Path) -> Result<Written> {
    let size = size(store, path, uri).await?;
    let ranges = (0..size.div_ceil(PART)).map(|part| part * PART..size.min((part + 1) * PART));
    let mut parts =
        futures::stream::iter(ranges.map(|range| read_range(store, path, uri, range))).buffered(PARTS_AT_ONCE);
    let local = |error: std::io::Error| Error::io("write", &to.display().to_string(), &error);
    let mut file = Some(File::create(to).map_err(local)?);
    let mut written = Written { size: 0, crc32c: 0 };
    while let Some(bytes) = parts.try_next().await? {
        written.size += bytes.len() as u64;
        written.crc32c = crc32c::crc32c_append(written.crc32c, &bytes);
        let Some(mut open) = file.take() else { break };
        let outcome = tokio::task::spawn_blocking(move || open.write_all(&bytes).map(|()| open)).await;
        file = Some(outcome.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(local)?);
    }
    Ok(written)
}

/// Files and folders in a folder, not those below them.
pub(super) async fn children(
    store: &dyn ObjectStore,
    folder: &ObjectPath,
    uri: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let found = store.list_with_delimiter(Some(folder)).await;
    let found = found.map_err(|error| Error::object("list", uri, &error))?;
    let name = |path: &ObjectPath| path.filename().unwrap_or_default().to_owned();
    let files = found.objects.iter().map(|object| name(&object.location)).collect();
    Ok((files, found.common_prefixes.iter().map(name).collect()))
}

pub(super) async fn delete(store: &dyn ObjectStore, path: &ObjectPath, uri: &str) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(Error::object("delete", uri, &error)),
    }
}

/// Reads a local file part by part.
struct PartReader {
    file: Option<File>,
    size: u64,
    part: u64,
    seen: Written,
}

impl PartReader {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = open_regular(path)?;
        let size = file.metadata()?.len();
        let part = PART.max(size.div_ceil(MAX_PARTS));
        Ok(Self { file: Some(file), size, part, seen: Written { size: 0, crc32c: 0 } })
    }

    /// The next part; empty at the end.
    async fn next(&mut self) -> std::io::Result<Bytes> {
        let Some(mut file) = self.file.take() else { return Ok(Bytes::new()) };
        let part = self.part;
        let step = move || {
            let mut bytes = Vec::new();
            Read::by_ref(&mut file).take(part).read_to_end(&mut bytes).map(|_| (file, bytes))
        };
        let outcome = tokio::task::spawn_blocking(step).await;
        let (file, bytes) = outcome.unwrap_or_else(|error| Err(std::io::Error::other(error)))?;
        self.file = Some(file);
        self.seen.size += bytes.len() as u64;
        self.seen.crc32c = crc32c::crc32c_append(self.seen.crc32c, &bytes);
        Ok(bytes.into())
    }
}
