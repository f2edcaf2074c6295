//! The election of `high-availability.type: object-store`: whoever holds the lease in the cluster's folder leads.
//!
//! A holder renews its lease every `retry-period`, and takes it for lost when it could not for `renew-deadline`, counted from when the
//! last renewal that was answered had been sent. Others count from when they saw it, and wait for longer: so it knows of the loss first,
//! unless it stood still. What it does then is refused by its epoch.
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wiesel_common::config::saturating_millis;
use wiesel_common::filesystem::{Location, SwapError, Tag};
use wiesel_common::id::LeaderSessionId;
use wiesel_common::leader::lease::{Lease, LeaseError, LeaseFile, LeaseTimes};
use wiesel_common::leader::{ClusterStorage, LeaderInformation};
use wiesel_common::logging::Limit;
use wiesel_common::random;
use wiesel_common::time::Clock;

use super::RecordError;
use super::contest::{Contest, Step};
use super::election::{ElectionError, LeaderElection, Leadership, Loss};
use super::stored_fence::StoredFence;

/// A candidate for the lease.
pub struct LeaseElection {
    storage: ClusterStorage,
    file: LeaseFile,
    fence: StoredFence,
    timing: Timing,
    /// A name that no other candidate has.
    holder: String,
    trouble: Limit,
}

/// When what is due, and by which clock.
#[derive(Clone)]
struct Timing {
    times: LeaseTimes,
    clock: Arc<dyn Clock>,
}

impl Timing {
    fn now(&self) -> i64 {
        self.clock.monotonic_millis()
    }

    /// How long one request may take: a second one has to fit in before the deadline.
    fn request(&self) -> Duration {
        self.times.renew_deadline / 2
    }

    /// How long a lease may still be counted on that was renewed by a request sent then; none: no longer.
    fn left(&self, sent: i64) -> Option<Duration> {
        let deadline = sent.saturating_add(saturating_millis(self.times.renew_deadline));
        let left = deadline.saturating_sub(self.now());
        (left > 0).then(|| Duration::from_millis(left.unsigned_abs()))
    }

    async fn pause(&self, at_most: Duration) {
        tokio::time::sleep(self.times.retry_period.min(at_most)).await;
    }
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    #[error(transparent)]
    Read(#[from] LeaseError),
    #[error(transparent)]
    Write(#[from] SwapError),
    #[error(transparent)]
    Fence(#[from] RecordError),
}

async fn in_time<T, E: Into<Trouble>>(
    limit: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Trouble::NoAnswer(limit)),
    }
}

impl LeaseElection {
    /// A candidate for the lease of this cluster. `clock`: only the one of its clocks that cannot be set is read.
    pub fn new(storage: ClusterStorage, times: LeaseTimes, clock: Arc<dyn Clock>) -> Self {
        let (file, fence, holder) = (storage.lease(), StoredFence::of(&storage), random::uuid().simple().to_string());
        Self { storage, file, fence, timing: Timing { times, clock }, holder, trouble: Limit::once_a_minute() }
    }

    fn log(&self, what: &str, trouble: &dyn std::fmt::Display) {
        if let Some(unsaid) = self.trouble.admit(self.timing.now()) {
            tracing::warn!(unsaid, "{what}, it will be tried again: {trouble}");
        }
    }

    /// Waits until the store has shown that it replaces files only as they were read.
    async fn check_store(&self) -> Result<(), ElectionError> {
        let probe = self.storage.probe();
        loop {
            match check_conditions(&probe).await {
                Err(ElectionError::Storage(error)) if error.may_pass() => {
                    self.log("the store of the leader's lease does not answer", &error);
                }
                checked => return checked,
            }
            self.timing.pause(Duration::MAX).await;
        }
    }

    /// The epoch to claim where the lease says that it is this one; none: there is no larger one than the records have. The file of the
    /// lease is never removed, but somebody may do so, or put an earlier one back: then the records are ahead of it, and would refuse
    /// as many leaders as there have been.
    async fn epoch_beyond_records(&self, of_lease: u64) -> Result<Option<u64>, Trouble> {
        let begun = match in_time(self.timing.request(), self.fence.begun()).await {
            // The JobManager that leads says what is wrong with it.
            Err(Trouble::Fence(RecordError::Damaged { .. })) => 0,
            begun => begun?,
        };
        Ok(begun.checked_add(1).map(|next| next.max(of_lease)))
    }

    /// Takes the lease, if it is still the expected one and the answer comes in time.
    async fn claim(&self, expected: Option<Tag>, lease: Lease) -> Option<HeldLease> {
        let sent = self.timing.now();
        match in_time(self.timing.request(), self.file.write(expected.as_ref(), &lease)).await {
            Ok(tag) => {
                let timing = self.timing.clone();
                let held = HeldLease { file: self.file.clone(), timing, lease, tag: Some(tag), sent, trouble: None };
                held.timing.left(sent).map(|_| held)
            }
            Err(Trouble::Write(SwapError::Refused { .. })) => None,
            Err(trouble) => {
                self.log("the leader's lease could not be claimed", &trouble);
                None
            }
        }
    }

    fn exhausted(&self) -> ElectionError {
        unfit(&self.storage.records(), "all epochs of leaders are used up")
    }

    fn lease_of(&self, epoch: u64, rpc_address: &str, rest_address: &str) -> Lease {
        let leader = LeaderInformation {
            session: Some(LeaderSessionId::of_epoch(epoch)),
            rpc_address: rpc_address.to_owned(),
            rest_address: rest_address.to_owned(),
        };
        let (holder, duration) = (self.holder.clone(), self.timing.times.duration);
        Lease { epoch, holder, renewals: 0, duration, leader: Some(leader) }
    }
}

#[tonic::async_trait]
impl LeaderElection for LeaseElection {
    async fn campaign(&mut self, rpc_address: &str, rest_address: &str) -> Result<Box<dyn Leadership>, ElectionError> {
        self.check_store().await?;
        let mut contest = Contest::new(self.holder.clone(), self.timing.times.duration);
        let mut stands_by = false;
        loop {
            match in_time(self.timing.request(), self.file.read()).await {
                Ok(found) => contest.observe(found, self.timing.now()),
                Err(Trouble::Read(damaged @ LeaseError::Damaged { .. })) => return Err(damaged.into()),
                Err(trouble) => {
                    self.log("the leader's lease could not be read", &trouble);
                    self.timing.pause(Duration::MAX).await;
                    continue;
                }
            }
            match contest.decide(self.timing.now()) {
                Step::Wait(left) => {
                    if !std::mem::replace(&mut stands_by, true) {
                        tracing::info!(place = self.file.uri(), "another JobManager leads, this one stands by");
                    }
                    self.timing.pause(left).await;
                }
                Step::Claim { expected, epoch: of_lease } => {
                    let epoch = match self.epoch_beyond_records(of_lease).await {
                        Ok(Some(epoch)) => epoch,
                        Ok(None) => return Err(self.exhausted()),
                        Err(trouble) => {
                            self.log("how far the records have come could not be read", &trouble);
                            self.timing.pause(Duration::MAX).await;
                            continue;
                        }
                    };
                    let lease = self.lease_of(epoch, rpc_address, rest_address);
                    if let Some(held) = self.claim(expected, lease).await {
                        if epoch > of_lease {
                            tracing::warn!(
                                place = self.file.uri(),
                                epoch,
                                "the lease of the leader was older than the records: it was removed, or an earlier one put back"
                            );
                        }
                        tracing::info!(epoch, session = %held.session(), "this JobManager was granted leadership");
                        return Ok(Box::new(held));
                    }
                    self.timing.pause(Duration::MAX).await;
                }
                Step::Exhausted => return Err(self.exhausted()),
            }
        }
    }
}

/// A lease that this process holds.
struct HeldLease {
    file: LeaseFile,
    timing: Timing,
    lease: Lease,
    /// None: a write had no answer, so that it is not known which content is there.
    tag: Option<Tag>,
    /// When the last renewal was sent that was answered.
    sent: i64,
    /// What went wrong since.
    trouble: Option<String>,
}

/// Why a lease was not renewed.
enum NotRenewed {
    Lost(Loss),
    Trouble(Trouble),
}

impl From<LeaseError> for NotRenewed {
    fn from(error: LeaseError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<SwapError> for NotRenewed {
    fn from(error: SwapError) -> Self {
        Self::Trouble(error.into())
    }
}

impl HeldLease {
    /// Writes the next content.
    async fn renew(&mut self) -> Result<(), NotRenewed> {
        let sent = self.timing.now();
        let tag = match self.tag.take() {
            Some(tag) => tag,
            None => self.find().await?,
        };
        self.lease.renewals += 1;
        match self.file.write(Some(&tag), &self.lease).await {
            Ok(tag) => {
                (self.tag, self.sent, self.trouble) = (Some(tag), sent, None);
                Ok(())
            }
            // Another one's, or a renewal of this process of which it had no answer.
            Err(refused @ SwapError::Refused { .. }) => {
                self.tag = Some(self.find().await?);
                Err(refused.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The tag of the lease, if it is still held by this process.
    async fn find(&mut self) -> Result<Tag, NotRenewed> {
        let Some((found, tag)) = self.file.read().await? else {
            return Err(NotRenewed::Lost(Loss::Removed { uri: self.file.uri().to_owned() }));
        };
        if found.holder != self.lease.holder || found.epoch != self.lease.epoch {
            return Err(NotRenewed::Lost(Loss::Superseded { epoch: found.epoch }));
        }
        self.lease.renewals = self.lease.renewals.max(found.renewals);
        Ok(tag)
    }

    /// Renews the lease if that comes about within this time.
    async fn try_to_renew(&mut self, limit: Duration) -> Option<Loss> {
        let trouble = match tokio::time::timeout(limit, self.renew()).await {
            Ok(Ok(())) => return None,
            Ok(Err(NotRenewed::Lost(loss))) => return Some(loss),
            Ok(Err(NotRenewed::Trouble(trouble))) => trouble,
            Err(_) => Trouble::NoAnswer(limit),
        };
        tracing::warn!("the lease of this leader could not be renewed, it will be tried again: {trouble}");
        self.trouble = Some(trouble.to_string());
        None
    }

    async fn give_up(&mut self) -> Result<(), NotRenewed> {
        let tag = match self.tag.take() {
            Some(tag) => tag,
            None => self.find().await?,
        };
        let resigned = Lease { renewals: self.lease.renewals + 1, leader: None, ..self.lease.clone() };
        self.file.write(Some(&tag), &resigned).await?;
        Ok(())
    }
}

#[tonic::async_trait]
impl Leadership for HeldLease {
    fn session(&self) -> LeaderSessionId {
        let session = self.lease.leader.as_ref().and_then(|leader| leader.session);
        session.expect("a lease that was claimed has the session of its holder")
    }

    async fn until_lost(&mut self) -> Loss {
        while let Some(left) = self.timing.left(self.sent) {
            self.timing.pause(left).await;
            let Some(left) = self.timing.left(self.sent) else { break };
            if let Some(loss) = self.try_to_renew(left.min(self.timing.request())).await {
                return loss;
            }
        }
        let reason = self.trouble.take().unwrap_or_else(|| "this process stood still".to_owned());
        Loss::NotRenewed { reason }
    }

    async fn resign(mut self: Box<Self>) {
        let outcome = tokio::time::timeout(self.timing.request(), self.give_up()).await;
        let trouble = match outcome {
            Ok(Ok(()) | Err(NotRenewed::Lost(_))) => return,
            Ok(Err(NotRenewed::Trouble(trouble))) => trouble,
            Err(_) => Trouble::NoAnswer(self.timing.request()),
        };
        tracing::warn!("the lease of this leader could not be given up, the next one waits until it ends: {trouble}");
    }
}

fn unfit(place: &Location, reason: impl Into<String>) -> ElectionError {
    ElectionError::Unfit { uri: place.uri().to_owned(), reason: reason.into() }
}

/// Tries whether a store refuses puts whose condition does not hold. The file stays: what is left of it tells nobody anything, and
/// a folder that is never empty is one that no store removes under a writer.
async fn check_conditions(probe: &Location) -> Result<(), ElectionError> {
    let content = || Bytes::from(random::uuid().simple().to_string());
    match probe.swap(None, content()).await {
        Ok(_) | Err(SwapError::Refused { .. }) => {}
        Err(error) => return Err(not_tried(probe, error)),
    }
    for (expected, condition) in [(None, "If-None-Match: *"), (Some(Tag::of_nothing(probe)), "If-Match")] {
        match probe.swap(expected.as_ref(), content()).await {
            Err(SwapError::Refused { .. }) => {}
            Ok(_) => {
                let reason = format!(
                    "the store carries out a put whose condition `{condition}` does not hold, so that two JobManagers could \
                     lead at once; use a store that has conditional puts, or a local folder"
                );
                return Err(unfit(probe, reason));
            }
            Err(error) => return Err(not_tried(probe, error)),
        }
    }
    Ok(())
}

fn not_tried(probe: &Location, error: SwapError) -> ElectionError {
    match error {
        // A store that says so.
        SwapError::Unknown(error) | SwapError::Failed(error) if error.to_string().contains("NotImplemented") => {
            unfit(probe, format!("the store has no conditional puts ({error}); use another one, or a local folder"))
        }
        SwapError::Unknown(error) | SwapError::Failed(error) => ElectionError::Storage(error),
        refused @ SwapError::Refused { .. } => unfit(probe, refused.to_string()),
    }
}

#[cfg(test)]
#[path = "lease_election_tests.rs"]
mod tests;
