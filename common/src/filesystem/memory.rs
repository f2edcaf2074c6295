//! A bucket in memory, with uploads in parts, for tests and simulations.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{MultipartId, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result as StoreResult};
use parking_lot::Mutex;

use super::parts::Parts;
use super::{Bucket, MOUNTED, Result, Unfinished, UploadStore};

/// The bucket.
#[derive(Clone, Debug, Default)]
pub struct MemoryBucket {
    objects: Arc<InMemory>,
    uploads: Arc<Mutex<Uploads>>,
}

#[derive(Debug, Default)]
struct Uploads {
    begun: u64,
    open: BTreeMap<String, (ObjectPath, BTreeMap<usize, Bytes>)>,
    /// So many completions are refused from now on.
    busy: u32,
    /// The answers of so many completions are lost from now on.
    lost_answers: u32,
    /// How often another task has its turn before an upload is aborted.
    abort_turns: u32,
    /// Uploads that are being aborted, and the most that ever were at once.
    aborting: (usize, usize),
}

impl MemoryBucket {
    /// Puts a new bucket in the place of one of this name, in this process: see [`super::mount`].
    pub fn mount(bucket: &str) -> Self {
        let memory = Self::default();
        let (objects, uploads) = (memory.objects.clone(), Arc::new(memory.clone()));
        let parts = Some(Parts(Arc::new(memory.clone())));
        MOUNTED.lock().insert(bucket.to_owned(), Bucket { objects, pages: None, uploads, parts });
        memory
    }

    /// The same, where it takes so long to list a folder.
    pub fn mount_slow(bucket: &str, listing: Duration) -> Self {
        let memory = Self::mount(bucket);
        let objects: Arc<dyn ObjectStore> = memory.objects.clone();
        let config = ThrottleConfig { wait_list_with_delimiter_per_call: listing, ..ThrottleConfig::default() };
        if let Some(mounted) = MOUNTED.lock().get_mut(bucket) {
            mounted.objects = Arc::new(ThrottledStore::new(objects, config));
        }
        memory
    }

    /// The keys of uploads that were neither completed nor aborted.
    pub fn unfinished(&self) -> Vec<String> {
        self.uploads.lock().open.values().map(|(path, _)| path.to_string()).collect()
    }

    /// Refuses so many completions from now on.
    pub fn refuse_completions(&self, many: u32) {
        self.uploads.lock().busy = many;
    }

    /// Lets other tasks have their turn so often, from now on, before an upload is aborted.
    pub fn slow_aborts(&self, turns: u32) {
        self.uploads.lock().abort_turns = turns;
    }

    /// How many uploads were being aborted at once, at most.
    pub fn most_aborts_at_once(&self) -> usize {
        self.uploads.lock().aborting.1
    }

    /// Carries out so many completions from now on without an answer that says so.
    pub fn lose_answers(&self, many: u32) {
        self.uploads.lock().lost_answers = many;
    }
}

fn no_upload(path: &ObjectPath, id: &str) -> object_store::Error {
    object_store::Error::NotFound { path: path.to_string(), source: format!("NoSuchUpload: {id}").into() }
}

fn busy() -> object_store::Error {
    object_store::Error::Generic { store: "memory", source: "503: SlowDown".into() }
}

#[tonic::async_trait]
impl MultipartStore for MemoryBucket {
    async fn create_multipart(&self, path: &ObjectPath) -> StoreResult<MultipartId> {
        let mut uploads = self.uploads.lock();
        uploads.begun += 1;
        let id = format!("upload-{}", uploads.begun);
        uploads.open.insert(id.clone(), (path.clone(), BTreeMap::new()));
        Ok(id)
    }

    async fn put_part(
        &self,
        path: &ObjectPath,
        id: &MultipartId,
        part: usize,
        data: PutPayload,
    ) -> StoreResult<PartId> {
        let mut uploads = self.uploads.lock();
        let (_, parts) = uploads.open.get_mut(id).ok_or_else(|| no_upload(path, id))?;
        parts.insert(part, data.into());
        Ok(PartId { content_id: format!("{id}/{part}") })
    }

    async fn complete_multipart(
        &self,
        path: &ObjectPath,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> StoreResult<PutResult> {
        let (stored, is_lost) = {
            let mut uploads = self.uploads.lock();
            if uploads.busy > 0 {
                uploads.busy -= 1;
                return Err(busy());
            }
            let (_, stored) = uploads.open.remove(id).ok_or_else(|| no_upload(path, id))?;
            let is_lost = uploads.lost_answers > 0;
            uploads.lost_answers = uploads.lost_answers.saturating_sub(1);
            (stored, is_lost)
        };
        let named: Vec<String> = stored.keys().map(|part| format!("{id}/{part}")).collect();
        assert_eq!(named, parts.into_iter().map(|part| part.content_id).collect::<Vec<_>>(), "the parts of {path}");
        let bytes: Vec<u8> = stored.into_values().flatten().collect();
        let put = self.objects.put(path, PutPayload::from(bytes)).await?;
        if is_lost { Err(busy()) } else { Ok(put) }
    }

    async fn abort_multipart(&self, path: &ObjectPath, id: &MultipartId) -> StoreResult<()> {
        self.uploads.lock().open.remove(id).map(drop).ok_or_else(|| no_upload(path, id))
    }
}

impl UploadStore for MemoryBucket {
    fn list<'a>(&'a self, folder: &'a ObjectPath, _uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>> {
        let uploads = self.uploads.lock();
        let is_below = |path: &ObjectPath| path.prefix_match(folder).is_some_and(|mut below| below.next().is_some());
        let below = uploads.open.iter().filter(|(_, (path, _))| is_below(path));
        let found = below.map(|(id, (path, _))| Unfinished { path: path.clone(), id: id.clone() }).collect();
        async move { Ok(found) }.boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Unfinished, _uri: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let turns = {
                let mut uploads = self.uploads.lock();
                let (now, most) = uploads.aborting;
                uploads.aborting = (now + 1, most.max(now + 1));
                uploads.abort_turns
            };
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let mut uploads = self.uploads.lock();
            uploads.aborting.0 -= 1;
            uploads.open.remove(&upload.id);
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::filesystem::{Completion, Location};

    fn file(uri: &str) -> Location {
        Location::of_uri(uri, &Configuration::default()).unwrap()
    }

    #[tokio::test]
    async fn an_upload_in_parts_is_completed_once_and_whoever_completes_it_again_is_told_so() {
        let bucket = MemoryBucket::mount("in-parts");
        let file = file("s3://in-parts/t/dt=2024%3A01/a b");
        let upload = file.begin_parts().await.unwrap();
        let second = file.put_part(&upload, 1, Bytes::from_static(b"cd")).await.unwrap();
        let first = file.put_part(&upload, 0, Bytes::from_static(b"ab")).await.unwrap();
        let parts = [first, second];
        assert_eq!(bucket.unfinished(), ["t/dt=2024%3A01/a b"]);
        bucket.refuse_completions(1);
        assert!(file.complete_parts(&upload, &parts, 4).await.unwrap_err().may_pass());
        bucket.lose_answers(1);
        assert!(file.complete_parts(&upload, &parts, 4).await.is_err());
        assert_eq!(file.complete_parts(&upload, &parts, 4).await.unwrap(), Completion::Complete);
        assert!(file.complete_parts(&upload, &parts, 5).await.unwrap_err().is_already_there());
        assert_eq!(file.read_at_most(4).await.unwrap(), "abcd");
        file.delete().await.unwrap();
        assert_eq!(file.complete_parts(&upload, &parts, 4).await.unwrap(), Completion::Gone);
        // What is on this machine is written otherwise.
        let local = Location::resolve("/data/x", &Configuration::default()).unwrap();
        assert!(local.begin_parts().await.is_err());
    }

    #[tokio::test]
    async fn a_range_of_a_file_that_was_replaced_is_refused() {
        MemoryBucket::mount("replaced");
        let file = file("s3://replaced/f");
        file.write(Bytes::from_static(b"0123")).await.unwrap();
        let before = file.status().await.unwrap();
        assert_eq!(file.read_range_of(&before, 1..3).await.unwrap(), "12");
        file.write(Bytes::from_static(b"0123")).await.unwrap();
        assert!(file.read_range_of(&before, 1..3).await.unwrap_err().is_changed());
        assert_ne!(file.status().await.unwrap(), before);
    }

    #[tokio::test]
    async fn files_below_a_folder_are_named_as_a_uri_names_them() {
        MemoryBucket::mount("below");
        let root = file("s3://below/t");
        // One that ends with a space was another one, the first, before.
        for name in ["a", "a ", "dt=2024%3A01/ä b", "dt=1/_x/b"] {
            let below = root.below(name).unwrap();
            assert_eq!(below.uri(), format!("s3://below/t/{name}"));
            below.write(Bytes::from_static(b"1")).await.unwrap();
        }
        file("s3://below/tt/c").write(Bytes::new()).await.unwrap();
        let mut files = root.files_below().unwrap();
        let mut found = files.next_page().await.unwrap().unwrap();
        assert!(files.next_page().await.unwrap().is_none());
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        let uris: Vec<&str> = found.iter().map(|file| file.uri.as_str()).collect();
        assert_eq!(
            uris,
            ["s3://below/t/a", "s3://below/t/a ", "s3://below/t/dt=1/_x/b", "s3://below/t/dt=2024%3A01/ä b"]
        );
        for found in &found {
            assert_eq!(file(&found.uri).uri(), found.uri);
            let status = file(&found.uri).status().await.unwrap();
            // A reader takes another status than that of the listing for another file.
            assert_eq!((status.size, &status), (1, &found.status));
        }
        assert!(root.below("a/../b").is_err());
    }
}
