//! State on its way to the checkpoint storage, while the task goes on.
//!
//! Each upload is a tokio task of the task's: it ends with it. When it is done it hands the acknowledgement to the reporter, or
//! the reason why there is none; a panic counts as such a reason.
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{Instrument, Span};
use wiesel_common::fault;
use wiesel_common::logging::checkpoint_span;
use wiesel_common::notifier::Notifier;
use wiesel_common::spawn;
use wiesel_operators::operator::OperatorSnapshot;
use wiesel_proto as proto;
use wiesel_state::keyed::CheckpointFiles;
use wiesel_state::{Error, Result};

use super::channel_state::{self, ChannelRows};
use crate::task::failure;
use crate::task::reporter::{Report, Reporter};

/// Uploads of one task that may be under way at once.
const MAX_UPLOADS: usize = 8;

/// What a task hands over at a barrier.
pub(crate) struct TaskSnapshot {
    pub(crate) operators: Vec<(Bytes, OperatorSnapshot)>,
    pub(crate) rows: ChannelRows,
    pub(crate) metrics: proto::CheckpointMetrics,
    /// The task had finished before the checkpoint that it was restored from.
    pub(crate) finished: bool,
}

type Running = Arc<Mutex<BTreeMap<u64, Option<AbortHandle>>>>;

/// The uploads of one task.
pub(crate) struct Uploads {
    runtime: Handle,
    reporter: Reporter,
    notifier: Arc<Notifier>,
    running: Running,
}

impl Uploads {
    /// For one task; the notifier is woken when an upload ends.
    pub(crate) fn new(runtime: Handle, reporter: Reporter, notifier: Arc<Notifier>) -> Self {
        Self { runtime, reporter, notifier, running: Running::default() }
    }

    /// Whether all are done: what they had to say is with the reporter.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.lock().is_empty()
    }

    /// Whether another one may begin.
    pub(crate) fn has_room(&self) -> bool {
        self.running.lock().len() < MAX_UPLOADS
    }

    /// Begins one. If there is no room, the checkpoint is declined.
    pub(crate) fn start(&self, checkpoint: u64, snapshot: TaskSnapshot, files: Arc<dyn CheckpointFiles>) {
        // Known before it runs, so that it can tell its end.
        self.running.lock().insert(checkpoint, None);
        let (running, reporter, notifier) = (self.running.clone(), self.reporter.clone(), self.notifier.clone());
        let span = checkpoint_span(checkpoint);
        let mut unheard = Unheard { files: Some(files.clone()), runtime: self.runtime.clone(), span: span.clone() };
        let upload = async move {
            let written = AssertUnwindSafe(write(snapshot, &*files)).catch_unwind().await;
            fault::point("checkpoint.before-ack");
            let report = match written {
                Ok(Ok((state, metrics))) => Report::Acknowledge { checkpoint, state, metrics },
                Ok(Err(error)) => {
                    tracing::warn!(reason = %error, "the state of a checkpoint could not be written");
                    Report::Decline { checkpoint, failure: failure::describe(&error.into()) }
                }
                Err(panic) => Report::Decline { checkpoint, failure: failure::from_panic(&*panic) },
            };
            // An upload that was given up says nothing.
            let mut running = running.lock();
            if running.remove(&checkpoint).is_some() {
                if matches!(report, Report::Acknowledge { .. }) {
                    unheard.keep();
                }
                reporter.report(report);
            }
            drop(running);
            notifier.notify();
        };
        let handle = spawn::owned_on(&self.runtime, upload.instrument(span)).abort_handle();
        if let Some(slot) = self.running.lock().get_mut(&checkpoint) {
            *slot = Some(handle);
        }
    }

    /// Gives one up.
    pub(crate) fn abort(&self, checkpoint: u64) {
        if let Some(Some(upload)) = self.running.lock().remove(&checkpoint) {
            upload.abort();
        }
    }
}

/// The files of an upload of which the JobMaster will not hear: they go with it.
struct Unheard {
    files: Option<Arc<dyn CheckpointFiles>>,
    runtime: Handle,
    span: Span,
}

impl Unheard {
    /// The JobMaster knows of them.
    fn keep(&mut self) {
        self.files = None;
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if let Some(files) = self.files.take() {
            let give_up = async move { files.give_up().await };
            spawn::detached(&self.runtime, give_up.instrument(self.span.clone()));
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        for upload in std::mem::take(&mut *self.running.lock()).into_values().flatten() {
            upload.abort();
        }
    }
}

async fn write(
    snapshot: TaskSnapshot,
    files: &dyn CheckpointFiles,
) -> Result<(proto::TaskState, proto::CheckpointMetrics)> {
    let start = Instant::now();
    let TaskSnapshot { operators, rows, mut metrics, finished } = snapshot;
    let mut state = proto::TaskState { finished, ..Default::default() };
    for (uid, OperatorSnapshot { keyed, lists }) in operators {
        let mut operator = proto::OperatorSubtaskState { uid, keyed: Vec::new(), lists };
        let in_lists: usize = operator.lists.iter().flat_map(|list| &list.entries).map(Bytes::len).sum();
        metrics.checkpointed_bytes += in_lists as u64;
        metrics.state_bytes += in_lists as u64;
        if let Some(keyed) = keyed {
            let (handle, written) = keyed.upload(files).await?;
            metrics.checkpointed_bytes += written;
            metrics.state_bytes +=
                handle.files.iter().filter_map(|file| file.file.as_ref()).map(|file| file.size).sum::<u64>();
            operator.keyed.push(handle);
        }
        if !operator.keyed.is_empty() || !operator.lists.is_empty() {
            state.operators.push(operator);
        }
    }
    for (channel, rows) in rows.into_channels() {
        let (bytes, rows) = channel_state::encode(&rows)
            .map_err(|error| Error::Backend(format!("rows in flight could not be encoded: {error}")))?;
        let size = bytes.len() as u64;
        metrics.persisted_bytes += size;
        metrics.checkpointed_bytes += size;
        metrics.state_bytes += size;
        state.channels.push(proto::ChannelState {
            edge: channel.edge,
            output: channel.output,
            subtask: channel.subtask,
            file: Some(files.put(bytes, false).await?),
            rows,
        });
    }
    metrics.async_duration = start.elapsed().as_millis() as u64;
    Ok((state, metrics))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::BoxFuture;
    use tokio::sync::Notify;
    use wiesel_state::keyed::KeyedSnapshot;

    use super::*;
    use crate::task::reporter::Sender;
    use wiesel_common::rpc::{Callee, Connector, Tcp};

    /// What becomes of an upload.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Fate {
        Done,
        Fails,
        Panics,
        Hangs,
    }

    struct Files {
        fate: Fate,
        begun: Notify,
        given_up: AtomicUsize,
        gone: Notify,
    }

    impl CheckpointFiles for Files {
        fn put(&self, bytes: Bytes, _shared: bool) -> BoxFuture<'_, Result<proto::StateFile>> {
            async move {
                self.begun.notify_one();
                match self.fate {
                    Fate::Done => Ok(proto::StateFile { size: bytes.len() as u64, ..Default::default() }),
                    Fate::Fails => Err(Error::Backend("no space left".into())),
                    Fate::Panics => panic!("on purpose"),
                    Fate::Hangs => std::future::pending().await,
                }
            }
            .boxed()
        }

        fn put_file<'a>(&'a self, _path: &'a Path, shared: bool) -> BoxFuture<'a, Result<proto::StateFile>> {
            self.put(Bytes::new(), shared)
        }

        fn give_up(&self) -> BoxFuture<'_, ()> {
            self.given_up.fetch_add(1, Ordering::SeqCst);
            self.gone.notify_one();
            Box::pin(std::future::ready(()))
        }
    }

    struct OneFile;

    impl KeyedSnapshot for OneFile {
        fn upload<'a>(
            self: Box<Self>,
            files: &'a dyn CheckpointFiles,
        ) -> BoxFuture<'a, Result<(proto::KeyedStateHandle, u64)>> {
            async move { files.put(Bytes::from_static(b"state"), false).await.map(|_| Default::default()) }.boxed()
        }
    }

    fn uploads() -> (Uploads, Arc<Notifier>) {
        let notifier = Arc::new(Notifier::default());
        let connect_timeout = std::time::Duration::from_secs(1);
        let tcp = Tcp { connect_timeout, secret: None, callee: Callee::JobManager };
        let nobody = tcp.connect("127.0.0.1:1").unwrap();
        let (reporter, _) = Reporter::new(Sender::for_test(nobody), Arc::default(), notifier.clone());
        (Uploads::new(Handle::current(), reporter, notifier.clone()), notifier)
    }

    fn start(uploads: &Uploads, fate: Fate) -> Arc<Files> {
        let files = Arc::new(Files { fate, begun: Notify::new(), given_up: AtomicUsize::new(0), gone: Notify::new() });
        let keyed = OperatorSnapshot { keyed: Some(Box::new(OneFile)), lists: Vec::new() };
        let (operators, rows) = (vec![(Bytes::new(), keyed)], ChannelRows::default());
        uploads.start(7, TaskSnapshot { operators, rows, metrics: Default::default(), finished: false }, files.clone());
        files
    }

    /// Failed before: what such an upload had written stayed for ever.
    #[tokio::test]
    async fn the_files_of_an_upload_that_is_not_acknowledged_go() {
        for fate in [Fate::Fails, Fate::Panics] {
            let (uploads, _) = uploads();
            start(&uploads, fate).gone.notified().await;
        }
        let (uploads, _) = uploads();
        let aborted = start(&uploads, Fate::Hangs);
        aborted.begun.notified().await;
        uploads.abort(7);
        aborted.gone.notified().await;
        // The task ends.
        let cancelled = start(&uploads, Fate::Hangs);
        cancelled.begun.notified().await;
        drop(uploads);
        cancelled.gone.notified().await;
    }

    #[tokio::test]
    async fn the_files_of_an_upload_that_is_acknowledged_stay() {
        let (uploads, _) = uploads();
        let files = start(&uploads, Fate::Done);
        while !uploads.is_empty() {
            tokio::task::yield_now().await;
        }
        uploads.abort(7);
        drop(uploads);
        tokio::task::yield_now().await;
        assert_eq!(files.given_up.load(Ordering::SeqCst), 0);
    }
}
