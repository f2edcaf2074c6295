//! The way of a collect sink's rows to the JobMaster.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;
use wiesel_common::spawn;
use wiesel_connectors::collect::CollectTransport;
use wiesel_network::Waiter;
use wiesel_operators::operator::{Error, Result};
use wiesel_proto as proto;

use super::failure::from_network;
use super::reporter::{Sender, is_final};
use crate::leader::JobMaster;

/// How long a single attempt may take; the JobMaster answers when it has room, which a client that reads slowly decides.
const ATTEMPT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

type Answer = Arc<Mutex<Option<Result<(), tonic::Status>>>>;

/// Calls `JobMaster.Collect` and waits for the answer on the task's thread.
pub(crate) struct RpcTransport {
    pub(crate) sender: Sender,
    pub(crate) operator_uid: Bytes,
    pub(crate) runtime: Handle,
    pub(crate) waiter: Waiter,
}

/// A call that ends with its waiter.
struct Call(JoinHandle<()>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RpcTransport {
    fn request(&self, offset: u64) -> proto::CollectRequest {
        proto::CollectRequest {
            job_id: self.sender.job_id.clone(),
            attempt_id: self.sender.attempt_id.clone(),
            operator_uid: self.operator_uid.clone(),
            offset,
            ..Default::default()
        }
    }

    fn call(&mut self, request: proto::CollectRequest) -> Result<()> {
        let answer: Answer = Arc::default();
        let call = call(self.sender.clone(), request, answer.clone(), self.waiter.clone());
        let call = Call(spawn::owned_on(&self.runtime, call.in_current_span()));
        self.waiter.wait_until("the JobMaster to take results", || answer.lock().is_some()).map_err(from_network)?;
        drop(call);
        match answer.lock().take() {
            Some(Err(status)) => Err(Error::External {
                message: format!("the JobMaster refused results: {}", status.message()),
                source: None,
            }),
            _ => Ok(()),
        }
    }
}

impl CollectTransport for RpcTransport {
    fn send(&mut self, offset: u64, batch: Bytes, rows: u64) -> Result<()> {
        self.call(proto::CollectRequest { batch, rows, ..self.request(offset) })
    }

    fn resume(&mut self, offset: u64) -> Result<()> {
        self.call(proto::CollectRequest { resume: true, ..self.request(offset) })
    }

    fn resume_finished(&mut self) -> Result<()> {
        self.call(proto::CollectRequest { resume: true, finished: true, ..self.request(0) })
    }

    fn checkpoint(&mut self, checkpoint_id: u64, offset: u64) -> Result<()> {
        self.call(proto::CollectRequest { checkpoint_id, ..self.request(offset) })
    }
}

/// Sends until it is taken: a repeat of what was taken before is ignored by its offset.
async fn call(sender: Sender, request: proto::CollectRequest, answer: Answer, waiter: Waiter) {
    let result = loop {
        // Without one the task ends, and this call with it.
        let Some(JobMaster { mut client, fence }) = sender.leader.master(true).await else { return };
        let mut attempt = tonic::Request::new(proto::CollectRequest { fence: fence.clone(), ..request.clone() });
        attempt.set_timeout(ATTEMPT);
        let collected = tokio::select! {
            collected = client.collect(attempt) => collected,
            () = sender.leader.until_superseded(&fence) => continue,
        };
        match collected {
            Ok(_) => break Ok(()),
            Err(status) if is_final(&status) => break Err(status),
            Err(status) => {
                tracing::debug!(reason = status.message(), "sending results failed, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    *answer.lock() = Some(result);
    waiter.notifier().notify();
}
