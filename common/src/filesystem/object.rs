//! Objects of a store such as S3.
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetResult, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::answers::in_pieces;
use super::bounded::Bound;
use super::parts::{LATE_PARTS, log_abort};
use super::regular::open_regular;
use super::{Error, Result, Written};
use crate::spawn;

/// What is moved in one request.
const PART: u64 = 8 << 20;
/// A service takes 10,000 parts of one object.
const MAX_PARTS: u64 = 9_000;
/// Requests of one file under way at once.
const PARTS_AT_ONCE: usize = 3;
/// How often a conflict is taken for a passing one.
const CONFLICTS: u32 = 6;

/// All of an object. The answer says how long it is before it brings it: what is too long, or longer than that, is cut off.
pub(super) async fn read(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, bound: Bound) -> Result<Bytes> {
    let found = store.get_opts(path, in_pieces()).await.map_err(|error| Error::object("read", uri, &error))?;
    collect(found, uri, bound).await
}

/// All of an object that was asked for in pieces.
pub(super) async fn collect(found: GetResult, uri: &str, bound: Bound) -> Result<Bytes> {
    let failed = |error| Error::object("read", uri, &error);
    let refused = |refusal| Error::refused(uri, refusal);
    let size = found.meta.size;
    let mut chunks = found.into_stream();
    let mut bytes = Vec::new();
    while bytes.len() < bound.start
        && let Some(chunk) = chunks.try_next().await.map_err(failed)?
    {
        bytes.extend_from_slice(&chunk);
    }
    bound.check_start(&bytes, size).map_err(refused)?;
    bytes.reserve_exact(usize::try_from(size).unwrap_or_default().saturating_sub(bytes.len()));
    while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
        bound.check_length((bytes.len() + chunk.len()) as u64).map_err(refused)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

/// These bytes of an object, and no more than them, whatever is sent; with an ETag: of the object that had it.
pub(super) async fn read_range(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    uri: &str,
    range: Range<u64>,
    e_tag: Option<&str>,
) -> Result<Bytes> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let failed = |error| Error::object("read", uri, &error);
    let wanted = range.end - range.start;
    let found = store.get_opts(path, in_pieces().with_range(Some(range)).with_if_match(e_tag)).await.map_err(failed)?;
    let mut chunks = found.into_stream();
    let mut bytes = Vec::with_capacity(wanted.min(PART) as usize);
    let wrong = |reason: &str| Error::io("read", uri, &std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
        if (bytes.len() + chunk.len()) as u64 > wanted {
            return Err(wrong("the answer is longer than what was asked for"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if (bytes.len() as u64) < wanted {
        return Err(wrong("the file is shorter than it should be"));
    }
    Ok(bytes.into())
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

/// Writes an object that must not be there with other content: an answer that was lost is told apart from another writer's object.
pub(super) async fn write_new(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, bytes: Bytes) -> Result<()> {
    let mut pause = Duration::from_millis(20);
    for attempt in 1..=CONFLICTS {
        let put = store.put_opts(path, PutPayload::from_bytes(bytes.clone()), PutMode::Create.into()).await;
        match put {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(error) => return Err(Error::object("write", uri, &error)),
        }
        match read(store, path, uri, Bound::at_most(bytes.len() as u64)).await {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) | Err(Error::Refused { .. }) => return Err(Error::already_there(uri)),
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
    let (caller, outcome) = oneshot::channel();
    let upload = InParts { store: store.clone(), path: path.clone(), uri: uri.to_owned(), from: from.to_owned() };
    spawn::detached(&Handle::current(), upload.run(reader, caller).in_current_span());
    outcome.await.unwrap_or_else(|error| Err(failed_in_parts(uri, Box::new(error))))
}

/// An upload in parts, which the service keeps until it is completed or aborted: it is aborted however its caller ends.
///
/// It is a task of its own because one abort is not enough ([`LATE_PARTS`]). To wait for the answers instead would hold the parts
/// in memory for as long as a slow service takes.
struct InParts {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    uri: String,
    from: PathBuf,
}

impl InParts {
    async fn run(self, reader: PartReader, caller: oneshot::Sender<Result<Written>>) {
        match self.store.put_multipart(&self.path).await {
            Ok(upload) => self.put_or_abort(upload, reader, caller).await,
            Err(error) => _ = caller.send(Err(Error::object("write", &self.uri, &error))),
        }
    }

    async fn put_or_abort(
        &self,
        mut upload: Box<dyn MultipartUpload>,
        reader: PartReader,
        mut caller: oneshot::Sender<Result<Written>>,
    ) {
        let outcome = tokio::select! {
            outcome = self.put_all(&mut *upload, reader) => outcome,
            // With the requests under way go their parts.
            () = caller.closed() => Err(failed_in_parts(&self.uri, "its caller has gone".into())),
        };
        if outcome.is_ok() {
            _ = caller.send(outcome);
            return;
        }
        log_abort(upload.abort().await, &self.uri);
        _ = caller.send(outcome);
        for pause in LATE_PARTS {
            tokio::time::sleep(pause).await;
            log_abort(upload.abort().await, &self.uri);
        }
    }

    async fn put_all(&self, upload: &mut dyn MultipartUpload, mut reader: PartReader) -> Result<Written> {
        let failed = |error| Error::object("write", &self.uri, &error);
        let local = |error: std::io::Error| Error::io("read", &self.from.display().to_string(), &error);
        let mut under_way = FuturesUnordered::new();
        loop {
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
        upload.complete().await.map(|_| reader.seen).map_err(failed)
    }
}

fn failed_in_parts(uri: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::object("write", uri, &object_store::Error::Generic { store: "multipart upload", source })
}

pub(super) async fn download(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    uri: &str,
    to: &Path,
    bound: Bound,
) -> Result<Written> {
    let size = size(store, path, uri).await?;
    bound.check_length(size).map_err(|refusal| Error::refused(uri, refusal))?;
    let ranges = (0..size.div_ceil(PART)).map(|part| part * PART..size.min((part + 1) * PART));
    let mut parts =
        futures::stream::iter(ranges.map(|range| read_range(store, path, uri, range, None))).buffered(PARTS_AT_ONCE);
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

/// Files and folders in a folder, not those below them, of a store that has no pages.
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

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{PutResult, Result as StoreResult, UploadPart};
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    /// A service that stores a part when it is let, whether its client waits for the answer or not.
    #[derive(Debug)]
    struct Slow {
        let_through: Arc<Semaphore>,
        service: Arc<Mutex<Service>>,
    }

    #[derive(Debug, Default)]
    struct Service {
        parts_asked: usize,
        parts_stored: usize,
        aborts: usize,
        has_upload: bool,
    }

    #[tonic::async_trait]
    impl MultipartUpload for Slow {
        fn put_part(&mut self, _data: PutPayload) -> UploadPart {
            let (let_through, service) = (self.let_through.clone(), self.service.clone());
            service.lock().parts_asked += 1;
            let stored = tokio::spawn(async move {
                let_through.acquire().await.unwrap().forget();
                let mut service = service.lock();
                service.parts_stored += 1;
                service.has_upload = true;
            });
            Box::pin(async { stored.await.map_err(object_store::Error::from) })
        }

        async fn complete(&mut self) -> StoreResult<PutResult> {
            panic!("it was given up")
        }

        async fn abort(&mut self) -> StoreResult<()> {
            let mut service = self.service.lock();
            service.aborts += 1;
            service.has_upload = false;
            Ok(())
        }
    }

    /// Failed before: the one abort went out at once, and a part that the service stored behind it brought the upload back, for
    /// ever where no sweep came by.
    #[tokio::test(start_paused = true)]
    async fn an_upload_that_is_given_up_is_aborted_again_behind_late_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap().set_len(8 * PART).unwrap();
        let (let_through, service) = (Arc::new(Semaphore::new(1)), Arc::new(Mutex::new(Service::default())));
        let upload = Box::new(Slow { let_through: let_through.clone(), service: service.clone() });
        let (caller, outcome) = oneshot::channel();
        let (uri, path) = ("s3://b/file".to_owned(), ObjectPath::from("file"));
        let task = InParts { store: Arc::new(InMemory::new()), path, uri, from: file.clone() };
        let going =
            tokio::spawn(async move { task.put_or_abort(upload, PartReader::open(&file).unwrap(), caller).await });
        let until = async |condition: fn(&Service) -> bool| {
            while !condition(&service.lock()) {
                tokio::task::yield_now().await;
            }
        };
        // The fourth waits for the first one's place.
        until(|service| service.parts_asked == 4).await;
        drop(outcome);
        until(|service| service.aborts == 1).await;
        let_through.add_permits(PARTS_AT_ONCE);
        until(|service| service.parts_stored == 4).await;
        assert!(service.lock().has_upload);
        going.await.unwrap();
        let service = service.lock();
        assert_eq!((service.parts_asked, service.has_upload), (4, false), "{service:?}");
    }
}
