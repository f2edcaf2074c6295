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
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

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

pub(super) async fn upload(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, from: &Path) -> Result<Written> {
    let local = |error: std::io::Error| Error::io("read", &from.display().to_string(), &error);
    let mut reader = PartReader::open(from).map_err(local)?;
    if reader.size <= PART {
        let bytes = reader.next().await.map_err(local)?;
        write(store, path, uri, bytes).await?;
        return Ok(reader.seen);
    }
    let failed = |error| Error::object("write", uri, &error);
    let mut upload = store.put_multipart(path).await.map_err(failed)?;
    let outcome = match upload_parts(&mut *upload, &mut reader, uri, from).await {
        Ok(()) => upload.complete().await.map(|_| ()).map_err(failed),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // The parts are of no use; the first failure is the one to report.
        let _ = upload.abort().await;
    }
    outcome.map(|()| reader.seen)
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
    Ok(())
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

pub(super) async fn list(store: &dyn ObjectStore, folder: &ObjectPath, uri: &str) -> Result<Vec<(String, u64)>> {
    let prefix = folder.as_ref().len();
    let named = store.list(Some(folder)).map_ok(|found| {
        let name = found.location.as_ref()[prefix..].trim_start_matches('/').to_owned();
        (name, found.size)
    });
    named.try_collect().await.map_err(|error| Error::object("list", uri, &error))
}

pub(super) async fn delete(store: &dyn ObjectStore, path: &ObjectPath, uri: &str) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(Error::object("delete", uri, &error)),
    }
}

pub(super) async fn delete_folder(store: Arc<dyn ObjectStore>, folder: &ObjectPath, uri: &str) -> Result<()> {
    let found = store.list(Some(folder)).map_ok(|found| found.location).boxed();
    let mut deleted = store.delete_stream(found);
    while let Some(outcome) = deleted.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Error::object("delete", uri, &error)),
        }
    }
    Ok(())
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
        let file = File::open(path)?;
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
