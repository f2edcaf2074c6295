//! An object store that is slow, fails, and does what it was asked after it has failed.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use wiesel_proto as proto;
use wiesel_state::storage::{all_files, metadata};

/// What the store does to requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mood {
    /// Of a hundred requests so many fail; of them half after they have had their effect.
    pub failing: u32,
    /// The longest that a request takes, in milliseconds.
    pub slow: u64,
    /// Nothing is answered.
    pub hangs: bool,
}

enum Effect {
    Put(Path, PutPayload, PutOptions, Option<oneshot::Sender<Result<PutResult>>>),
    Delete(Path, Option<oneshot::Sender<Result<()>>>),
}

struct State {
    now: u64,
    sequence: u64,
    random: StdRng,
    mood: Mood,
    /// It has not answered for a time.
    hung: bool,
    /// Folders of jobs of which others have claimed a checkpoint.
    claimed: BTreeSet<String>,
    /// By the time at which it happens.
    effects: BTreeMap<(u64, u64), Effect>,
    /// Of every checkpoint that is complete in the store: its metadata file.
    complete: BTreeMap<String, proto::CheckpointMetadata>,
    /// How many of them name a file.
    named: BTreeMap<String, usize>,
    violations: Vec<String>,
}

impl State {
    fn add(&mut self, file: &str, complete: proto::CheckpointMetadata) -> Option<proto::CheckpointMetadata> {
        let known = self.remove(file);
        all_files(&complete).into_iter().for_each(|named| *self.named.entry(named).or_default() += 1);
        self.complete.insert(file.to_owned(), complete);
        known
    }

    fn remove(&mut self, file: &str) -> Option<proto::CheckpointMetadata> {
        let known = self.complete.remove(file)?;
        for named in all_files(&known) {
            if let Some(count) = self.named.get_mut(&named) {
                *count -= 1;
            }
        }
        self.named.retain(|_, count| *count > 0);
        Some(known)
    }
}

/// See the module. All clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
    /// Its URI without a path.
    root: Arc<str>,
}

impl Store {
    /// An empty store whose failures follow from the seed, and that has this URI.
    pub fn new(seed: u64, root: &str) -> Self {
        let state = State {
            now: 0,
            sequence: 0,
            random: StdRng::seed_from_u64(seed),
            mood: Mood { failing: 0, slow: 20, hangs: false },
            hung: false,
            claimed: BTreeSet::new(),
            effects: BTreeMap::new(),
            complete: BTreeMap::new(),
            named: BTreeMap::new(),
            violations: Vec::new(),
        };
        Self { inner: Arc::new(InMemory::new()), state: Arc::new(Mutex::new(state)), root: root.into() }
    }

    /// Changes what it does to requests.
    pub fn set_mood(&self, mood: Mood) {
        let mut state = self.state.lock();
        state.hung |= mood.hangs;
        state.mood = mood;
    }

    /// Lets happen what is due.
    pub fn advance(&self, now: u64) {
        loop {
            let effect = {
                let mut state = self.state.lock();
                state.now = now;
                let due = state.effects.first_entry().filter(|entry| entry.key().0 <= now);
                match due {
                    Some(entry) => entry.remove(),
                    None => return,
                }
            };
            self.apply(effect);
        }
    }

    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Put(path, payload, options, reply) => {
                // Known, and not mended: where a store takes the metadata of a checkpoint only after the JobManager has given it
                // up, what is there looks complete and its files are gone. Nobody is told of it.
                if path.filename() == Some("_metadata") && reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
                    return;
                }
                let bytes: Bytes = payload.clone().into();
                let exists = self.inner.head(&path).now_or_never().is_some_and(|found| found.is_ok());
                let outcome = self.inner.put_opts(&path, payload, options).now_or_never();
                let outcome = outcome.unwrap_or_else(|| Err(failed("it did not answer")));
                if outcome.is_ok() {
                    tracing::debug!(file = %path, "written");
                    self.written(&path, &bytes, exists);
                }
                reply.map(|reply| reply.send(outcome));
            }
            Effect::Delete(path, reply) => {
                tracing::debug!(file = %path, "deleted");
                let outcome = self.inner.delete(&path).now_or_never();
                self.deleted(&path);
                reply.map(|reply| reply.send(outcome.unwrap_or(Ok(()))));
            }
        }
    }

    fn uri(&self, path: &Path) -> String {
        format!("{}/{path}", self.root)
    }

    fn written(&self, path: &Path, bytes: &Bytes, exists: bool) {
        if let Some((job, _)) = self.uri(path).split_once("/shared/.claimed-") {
            self.state.lock().claimed.insert(job.to_owned());
        }
        if path.filename() != Some("_metadata") {
            return;
        }
        let file = self.uri(path);
        let folder = file.trim_end_matches("/_metadata").to_owned();
        let mut violation = None;
        match metadata::decode(bytes, &file, &folder) {
            Ok(complete) => {
                for path in all_files(&complete) {
                    if !self.has(&path) {
                        violation = Some(format!("{file} refers to {path}, which is not there"));
                    }
                }
                let known = self.state.lock().add(&file, complete.clone());
                if exists && known.is_none_or(|known| known != complete) {
                    violation = Some(format!("{file} is written over another"));
                }
            }
            Err(error) => violation = Some(format!("{file} is not readable: {error}")),
        }
        self.state.lock().violations.extend(violation);
    }

    fn deleted(&self, path: &Path) {
        let uri = self.uri(path);
        let mut state = self.state.lock();
        if state.remove(&uri).is_some() || !state.named.contains_key(&uri) {
            return;
        }
        let user = state.complete.iter().find(|(_, known)| all_files(known).contains(&uri));
        let violation = user.map(|(file, _)| format!("{uri} is deleted, which {file} refers to"));
        state.violations.extend(violation);
    }

    /// Whether there is a file with this URI.
    pub fn has(&self, uri: &str) -> bool {
        let path = uri.strip_prefix(&*self.root).map(|path| Path::from(path.trim_start_matches('/')));
        path.is_some_and(|path| self.inner.head(&path).now_or_never().is_some_and(|found| found.is_ok()))
    }

    /// The URIs of all files.
    pub fn files(&self) -> Vec<String> {
        let listed = self.inner.list(None).try_collect::<Vec<ObjectMeta>>().now_or_never();
        let listed = listed.and_then(Result::ok).unwrap_or_default();
        listed.into_iter().map(|found| self.uri(&found.location)).collect()
    }

    /// Complete checkpoints by the URI of their metadata file.
    pub fn complete(&self) -> BTreeMap<String, proto::CheckpointMetadata> {
        self.state.lock().complete.clone()
    }

    /// Whether it has hung, and whether another job has ever claimed a checkpoint of the job that a file belongs to: known, and
    /// not mended. A checkpoint whose deletion hangs looks complete to whoever claims the next one, who spares what it names; and
    /// the first job takes that for claimed, also when the other has long deleted what it claimed.
    pub fn was_claimed_while_deletions_hung(&self, file: &str) -> bool {
        let Some((job, _)) = file.split_once("/shared/") else { return false };
        let state = self.state.lock();
        state.hung && state.claimed.contains(job)
    }

    /// Files that no complete checkpoint refers to.
    pub fn orphans(&self) -> Vec<String> {
        let complete = self.complete();
        let used: BTreeSet<String> = complete.values().flat_map(all_files).collect();
        let orphan = |file: &String| !used.contains(file) && !complete.contains_key(file) && !is_mark(file);
        self.files().into_iter().filter(orphan).collect()
    }

    /// Marks of claims, each with the job that claims, which has no complete checkpoint of its own and none that another job has
    /// claimed in its turn: that one's checkpoints may refer to what the mark guards.
    pub fn idle_marks(&self) -> Vec<(String, String)> {
        let (complete, claimed) = (self.complete(), self.state.lock().claimed.clone());
        let claimer = |file: &String| {
            let (_, claim) = file.split_once("/shared/.claimed-chk-")?;
            let job = claim.split('-').nth(1)?.to_owned();
            let folder = format!("/checkpoints/{job}/chk-");
            let is_claimed = claimed.iter().any(|claimed| claimed.ends_with(&format!("/checkpoints/{job}")));
            let is_idle = !is_claimed && !complete.keys().any(|metadata| metadata.contains(&folder));
            is_idle.then(|| (file.clone(), job))
        };
        self.files().iter().filter_map(claimer).collect()
    }

    /// What must not have happened and did.
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    /// Decides what becomes of a request: when its effect comes (none: never), and whether its answer is a failure.
    fn decide(&self) -> (Option<u64>, bool) {
        let mut state = self.state.lock();
        let (mood, now) = (state.mood, state.now);
        let at = now + 1 + state.random.random_range(0..=mood.slow);
        if mood.hangs {
            // It comes long after everybody has given up, or never.
            let late = state.random.random_ratio(1, 2).then(|| at + state.random.random_range(1_000..60_000));
            return (late, true);
        }
        if state.random.random_range(0..100) < mood.failing {
            let happens = state.random.random_ratio(1, 2).then_some(at);
            return (happens, true);
        }
        (Some(at), false)
    }

    fn schedule(&self, at: u64, effect: Effect) {
        let mut state = self.state.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        state.effects.insert((at, sequence), effect);
    }

    async fn pause(&self) -> Result<()> {
        let (at, fails) = self.decide();
        let (now, hangs) = {
            let state = self.state.lock();
            (state.now, state.mood.hangs)
        };
        if hangs {
            tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(at.unwrap_or(now).saturating_sub(now))).await;
        if fails { Err(failed("the store fails")) } else { Ok(()) }
    }

    async fn delete_one(&self, path: Path) -> Result<Path> {
        let (at, fails) = self.decide();
        let (reply, answer) = oneshot::channel();
        let Some(at) = at else { return self.fail().await };
        let effect = Effect::Delete(path.clone(), (!fails).then_some(reply));
        self.schedule(at, effect);
        if fails {
            return self.fail().await;
        }
        answer.await.map_err(|_| failed("the store is gone"))?.map(|()| path)
    }

    async fn fail<T>(&self) -> Result<T> {
        let hangs = self.state.lock().mood.hangs;
        tokio::time::sleep(std::time::Duration::from_millis(if hangs { 600_000 } else { 30 })).await;
        Err(failed("the store fails"))
    }
}

/// What stands for a folder, or for its being claimed.
fn is_mark(file: &str) -> bool {
    file.ends_with("/.keep") || file.contains("/.claimed-")
}

fn failed(reason: &'static str) -> Error {
    Error::Generic { store: "simulated", source: reason.into() }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

#[tonic::async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (at, fails) = self.decide();
        let (reply, answer) = oneshot::channel();
        let Some(at) = at else { return self.fail().await };
        // What makes a checkpoint complete is there or not by the time that the failure is told.
        let decides = location.filename() == Some("_metadata");
        let effect = Effect::Put(location.clone(), payload, opts, (!fails || decides).then_some(reply));
        self.schedule(at, effect);
        if decides {
            let outcome = answer.await.map_err(|_| failed("the store is gone"))?;
            return if fails { self.fail().await } else { outcome };
        }
        if fails {
            return self.fail().await;
        }
        answer.await.map_err(|_| failed("the store is gone"))?
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.pause().await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.pause().await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .then(move |path| {
                let this = this.clone();
                async move { this.delete_one(path?).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            this.pause().await?;
            Ok::<_, Error>(this.inner.list(prefix.as_ref()))
        };
        listing.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pause().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pause().await?;
        self.inner.copy_opts(from, to, options).await
    }
}
