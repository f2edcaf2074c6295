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
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UploadPart};
use tokio::sync::oneshot;
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
    // It ends with this call's future, which the task hears of by its end of the channel.
    let (caller, _held) = oneshot::channel();
    let task = InParts { store: store.clone(), path: path.clone(), uri: uri.to_owned(), from: from.to_owned(), caller };
    let outcome = tokio::spawn(task.run(reader).in_current_span()).await;
    outcome.unwrap_or_else(|error| {
        let store = "multipart upload";
        Err(Error::object("write", uri, &object_store::Error::Generic { store, source: Box::new(error) }))
    })
}

/// An upload in parts, which the service keeps until it is completed or aborted: it is aborted however its caller ends.
///
/// It is a task of its own because an abort must come behind the answers to all its requests: a service carries out a
/// request whose client has gone, too, and a part that it stores behind the abort brings the upload back.
struct InParts {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    uri: String,
    from: PathBuf,
    /// Closed when the caller does not wait for the outcome any more.
    caller: oneshot::Sender<()>,
}

impl InParts {
    async fn run(self, reader: PartReader) -> Result<Written> {
        let upload = self.store.put_multipart(&self.path).await.map_err(|error| self.failed(error))?;
        self.put_all(upload, reader).await
    }

    async fn put_all(&self, mut upload: Box<dyn MultipartUpload>, mut reader: PartReader) -> Result<Written> {
        let outcome = match self.put_parts(&mut *upload, &mut reader).await {
            Ok(()) => upload.complete().await.map(|_| reader.seen).map_err(|error| self.failed(error)),
            // The first failure is the one to report.
            Err(error) => Err(error),
        };
        if outcome.is_err()
            && let Err(error) = upload.abort().await
        {
            // Until the job's folder is swept.
            tracing::debug!(%error, "an unfinished upload stays for now");
        }
        outcome
    }

    /// Puts all parts. However that ends, no request is under way behind it.
    async fn put_parts(&self, upload: &mut dyn MultipartUpload, reader: &mut PartReader) -> Result<()> {
        let mut under_way = FuturesUnordered::new();
        let mut outcome = self.begin_parts(upload, reader, &mut under_way).await;
        while let Some(answer) = under_way.next().await {
            outcome = outcome.and(answer.map_err(|error| self.failed(error)));
        }
        outcome.and_then(|()| self.still_wanted())
    }

    async fn begin_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        reader: &mut PartReader,
        under_way: &mut FuturesUnordered<UploadPart>,
    ) -> Result<()> {
        loop {
            self.still_wanted()?;
            let local = |error: std::io::Error| Error::io("read", &self.from.display().to_string(), &error);
            let bytes = reader.next().await.map_err(local)?;
            if bytes.is_empty() {
                return Ok(());
            }
            if under_way.len() >= PARTS_AT_ONCE {
                under_way.try_next().await.map_err(|error| self.failed(error))?;
            }
            under_way.push(upload.put_part(PutPayload::from_bytes(bytes)));
        }
    }

    fn still_wanted(&self) -> Result<()> {
        match self.caller.is_closed() {
            true => Err(self.failed(object_store::Error::Generic {
                store: "multipart upload",
                source: "nobody waits for it any more".into(),
            })),
            false => Ok(()),
        }
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::object("write", &self.uri, &error)
    }
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

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{PutResult, Result as StoreResult};
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    /// Stores a part when it is let, whether its client waits for it or not.
    #[derive(Debug)]
    struct Slow {
        let_through: Arc<Semaphore>,
        seen: Arc<Mutex<Vec<&'static str>>>,
    }

    #[tonic::async_trait]
    impl MultipartUpload for Slow {
        fn put_part(&mut self, _data: PutPayload) -> UploadPart {
            let (let_through, seen) = (self.let_through.clone(), self.seen.clone());
            let stored = tokio::spawn(async move {
                let_through.acquire().await.unwrap().forget();
                seen.lock().push("part");
            });
            Box::pin(async { stored.await.map_err(object_store::Error::from) })
        }

        async fn complete(&mut self) -> StoreResult<PutResult> {
            self.seen.lock().push("complete");
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort(&mut self) -> StoreResult<()> {
            self.seen.lock().push("abort");
            Ok(())
        }
    }

    /// Failed before: the abort went out at once, and a part that the service stored behind it brought the upload back,
    /// for ever where no sweep came by.
    #[tokio::test]
    async fn an_upload_that_is_given_up_is_aborted_behind_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap().set_len(4 * PART).unwrap();
        let (let_through, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let upload = Box::new(Slow { let_through: let_through.clone(), seen: seen.clone() });
        let (caller, waits) = oneshot::channel();
        let (uri, path) = ("s3://b/file".to_owned(), ObjectPath::from("file"));
        let task = InParts { store: Arc::new(InMemory::new()), path, uri, from: file.clone(), caller };
        let going = tokio::spawn(async move { task.put_all(upload, PartReader::open(&file).unwrap()).await });
        let_through.add_permits(1);
        while seen.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(waits);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*seen.lock(), ["part"]);
        let_through.add_permits(PARTS_AT_ONCE);
        let error = going.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("nobody waits for it any more"), "{error}");
        let seen = seen.lock();
        let (last, parts) = seen.split_last().unwrap();
        assert!(*last == "abort" && parts.iter().all(|part| *part == "part"), "{seen:?}");
    }
}
