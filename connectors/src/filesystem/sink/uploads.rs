//! Uploads that wait for their commit, and those that earlier attempts have left.
use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument;
use wiesel_common::fault;
use wiesel_common::filesystem::{self, Completion, Location};
use wiesel_common::spawn;
use wiesel_operators::operator::{Error, OperatorContext, Result};
use wiesel_operators::sink::{CommitRequest, Unfinished};

use super::names;
use super::state::{Committable, FileKey, Upload};
use super::table_folder::{StoreFolder, TableFolder};
use crate::blocking;
use crate::input::{Files, failed};

/// Uploads that are completed at once.
const COMPLETIONS: usize = 32;
/// Uploads that are aborted at once for a subtask, however many attempts of it follow each other.
const ABORTS: usize = 16;

/// The folder of a table, the sink, the run of the job and the subtask that uploads are aborted for.
type Whose = (String, u64, u64, u32);

/// Uploads that are still to be aborted. There is an entry as long as its worker is at work.
static LEFT: Mutex<BTreeMap<Whose, Vec<filesystem::Unfinished>>> = Mutex::new(BTreeMap::new());

/// Completes uploads, and tells of each when it is. Returns those that are not, for now. One that was completed before is complete.
///
/// Of an upload that is not there any more, nor its file, nothing tells whether it was completed and the file taken away since, or
/// the service has removed it, as rules for unfinished uploads say that a store may have. That is an error in the end, as in Flink,
/// because the second is a loss of rows.
pub(super) fn complete(
    files: &Files,
    runtime: &Handle,
    requests: Vec<(Upload, CommitRequest<Committable>)>,
    mut is_complete: impl FnMut(&Upload),
) -> Result<Vec<Unfinished<Committable>>> {
    let mut unfinished = Vec::new();
    let mut requests = requests.into_iter();
    loop {
        let mut under_way = Vec::with_capacity(COMPLETIONS);
        for (upload, request) in requests.by_ref().take(COMPLETIONS) {
            let location = files.location(&upload.uri)?;
            let (id, parts, length) = (upload.id.clone(), upload.parts.clone(), upload.length);
            let completion = async move { location.complete_parts(&id, &parts, length).await };
            under_way.push((upload, request, spawn::owned_on(runtime, completion)));
        }
        if under_way.is_empty() {
            return Ok(unfinished);
        }
        for (upload, request, completion) in under_way {
            let outcome = blocking::wait(runtime, completion)?;
            let outcome = outcome.map_err(|error| Error::external("a commit did not come to its end", error))?;
            match reason(&upload, outcome)? {
                None => {
                    fault::point("sink.between-commits");
                    is_complete(&upload);
                }
                Some(reason) => unfinished.push(Unfinished { request, reason }),
            }
        }
    }
}

/// Why an upload is not complete for now; none: it is.
fn reason(upload: &Upload, outcome: filesystem::Result<Completion>) -> Result<Option<Error>> {
    match outcome {
        Ok(Completion::Complete) => Ok(None),
        Ok(Completion::Gone) => {
            let message = format!(
                "cannot commit {}: neither the file is there nor its upload, whose {} bytes a checkpoint names. The store has \
                 removed the upload (a rule for unfinished uploads must leave them longer than checkpoints and savepoints are \
                 started from), or the file was committed and taken away since. Start from a later checkpoint or savepoint, or put \
                 the file back",
                upload.uri, upload.length
            );
            Ok(Some(Error::External { message, source: None }))
        }
        Err(error) if error.may_pass() => Ok(Some(failed(error))),
        Err(error) => Err(failed(error)),
    }
}

/// Aborts uploads of earlier attempts of this run that neither its checkpoint nor a savepoint names, by the rules for hidden files
/// (`FileSink::clean`). What cannot be listed stays: that is no reason to write nothing.
///
/// Which ones is settled here, before this attempt begins one of its own. The requests are made in the background: there may be
/// thousands, and nothing leans on them.
pub(super) fn clean(store: &StoreFolder, sink: u64, context: &OperatorContext, named: &HashSet<FileKey>) -> Result<()> {
    let uploads = match store.files.wait_for(store.location.unfinished_uploads())? {
        Ok(uploads) => uploads,
        Err(error) => {
            tracing::warn!(%error, "uploads that earlier attempts have left stay: they cannot be listed");
            return Ok(());
        }
    };
    let folder = TableFolder::Store(Box::new(store.clone()));
    let mut guards: HashMap<String, bool> = HashMap::new();
    let (mut left, mut kept, mut of_other_runs) = (Vec::new(), 0u64, 0u64);
    for upload in uploads {
        let Some(owner) = names::object_owner(upload.file_name()).filter(|owner| owner.sink == sink) else { continue };
        let is_named = named.contains(&FileKey::Upload(upload.id.clone()));
        if owner.subtask % context.parallelism.max(1) != context.subtask || is_named {
            continue;
        }
        if owner.run != Some(context.run) {
            of_other_runs += 1;
            continue;
        }
        if owner.attempt_number >= context.attempt_number {
            continue;
        }
        let guard = names::guard_of_owner(owner).unwrap_or_default();
        let is_kept = match guards.get(&guard) {
            Some(known) => *known,
            None => {
                let is_there = folder.file(&guard)?.exists()?;
                guards.insert(guard, is_there);
                is_there
            }
        };
        if is_kept {
            kept += 1;
            continue;
        }
        left.push(upload);
    }
    if left.len() as u64 + kept + of_other_runs > 0 {
        tracing::info!(
            to_abort = left.len(),
            kept_for_savepoints = kept,
            of_other_runs,
            folder = store.location.uri(),
            "looked for uploads that were left: those of other runs of the job may be named by their checkpoints"
        );
    }
    if !left.is_empty() {
        abort_in_background(store, (store.location.uri().to_owned(), sink, context.run, context.subtask), left);
    }
    Ok(())
}

/// Has uploads aborted. If that is still done for an attempt before, its worker goes on with these: it has no other ones, for they are
/// all that is left. A store that is slow, for which the job restarts again and again, would else get more requests with each attempt.
fn abort_in_background(store: &StoreFolder, whose: Whose, uploads: Vec<filesystem::Unfinished>) {
    let is_at_work = LEFT.lock().insert(whose.clone(), uploads).is_some();
    if !is_at_work {
        let work = abort(store.location.clone(), Worker { whose: Some(whose) });
        spawn::detached(&store.runtime, work.in_current_span());
    }
}

/// The worker that aborts the uploads of one entry of [`LEFT`].
struct Worker {
    /// None: nothing was left, and its entry is gone.
    whose: Option<Whose>,
}

impl Worker {
    /// The next one to abort.
    fn take_one(&self) -> Option<filesystem::Unfinished> {
        LEFT.lock().get_mut(self.whose.as_ref()?)?.pop()
    }

    /// Whether nothing is left. Then this worker gets nothing more.
    fn is_done(&mut self) -> bool {
        let Some(whose) = &self.whose else { return true };
        let mut left = LEFT.lock();
        if left.get(whose).is_some_and(|left| !left.is_empty()) {
            return false;
        }
        left.remove(whose);
        self.whose = None;
        true
    }
}

impl Drop for Worker {
    /// With its runtime it may end before it is done.
    fn drop(&mut self) {
        if let Some(whose) = &self.whose {
            LEFT.lock().remove(whose);
        }
    }
}

/// Aborts uploads into a folder, some at once.
async fn abort(folder: Location, mut worker: Worker) {
    let mut under_way = JoinSet::new();
    let (mut aborted, mut failed, mut why) = (0u64, 0u64, String::new());
    loop {
        while under_way.len() < ABORTS
            && let Some(upload) = worker.take_one()
        {
            let folder = folder.clone();
            under_way.spawn(async move { folder.abort_upload(&upload).await }.in_current_span());
        }
        let error = match under_way.join_next().await {
            None if worker.is_done() => break,
            None => continue,
            Some(Ok(Ok(()))) => {
                aborted += 1;
                continue;
            }
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(error)) => error.to_string(),
        };
        failed += 1;
        why = error;
    }
    let folder = folder.uri();
    if failed > 0 {
        tracing::warn!(folder, aborted, failed, error = why, "uploads that earlier attempts have left stay");
    } else {
        tracing::info!(folder, aborted, "aborted uploads that earlier attempts had left");
    }
}
