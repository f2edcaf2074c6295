//! Jobs whose JobMaster is lost: their tasks go on, for a time, until the next one takes them over.
//!
//! ```text
//!  led ──JobManager lost──> awaited ──registered, found──> offered, slot by slot ──tasks adopted──> led
//!                              │                              └── refused ──> slot released
//!                              └──────── unknown, the same as before, or the time is over ──> all slots released
//! ```
//!
//! From the loss on nothing is accepted under the token of the JobMaster that was lost. So what is reported to the next one is
//! all that has happened.
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;
use wiesel_proto::resource_manager_client::ResourceManagerClient;

use super::job::Task;
use super::{CALL_TIMEOUT, Internal, TaskExecutor, deliver};
use crate::leader::JobMaster;
use crate::task::mailbox::Mail;

/// A job that waits for its next JobMaster.
pub(super) struct Waiting {
    since: Instant,
    /// The next JobMaster is known, and is being offered the slots.
    found: bool,
}

impl Waiting {
    /// Whether its next JobMaster is known.
    pub(super) fn is_found(&self) -> bool {
        self.found
    }
}

/// A question for the ResourceManager.
pub(super) struct Search {
    /// The ResourceManager, and the registration there.
    fence: Bytes,
    registration: u64,
    jobs: Vec<JobId>,
}

impl Search {
    /// Of the ResourceManager that there is.
    pub(super) fn of(executor: &TaskExecutor, jobs: Vec<JobId>) -> Self {
        let fence = executor.resource_manager.clone().unwrap_or_default();
        Self { fence, registration: executor.registration, jobs }
    }
}

impl TaskExecutor {
    /// The JobManager is lost: tasks go on without it, if they may.
    pub(super) fn leaders_lost(&mut self, reason: &str) {
        if self.setup.tasks_without_leader.is_zero() {
            return self.drop_everything(reason);
        }
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.leader_lost(job, reason);
        }
    }

    fn leader_lost(&mut self, id: JobId, reason: &str) {
        for held in self.slots.held(id) {
            if let Some(offer) = self.offers.remove(&held.id) {
                offer.abort();
            }
            // The job has not accepted it, as far as is known.
            if !held.active {
                self.release(held.id, reason);
            }
        }
        let held: HashSet<AllocationId> = self.slots.held(id).into_iter().map(|held| held.id).collect();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if held.is_empty() {
            return job.abandon();
        }
        // Those whose slot is being given back end.
        let (kept, ending): (Vec<_>, Vec<_>) = job.tasks.values().partition(|task| held.contains(&task.allocation()));
        kept.into_iter().for_each(Task::await_leader);
        ending.into_iter().for_each(Task::abandon);
        job.reporting = false;
        // It may have been lost before, and its successor as well: the time goes on.
        job.waiting.get_or_insert(Waiting { since: Instant::now(), found: false }).found = false;
        tracing::info!(job_id = %id, reason, tasks = job.tasks.len(), "tasks go on without a JobMaster");
    }

    /// Whether tasks of a job are without a JobMaster that has taken them over.
    pub(super) fn awaits_leader(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.waiting.is_some())
    }

    /// Whether it is not known who leads a job.
    fn is_leaderless(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.waiting.as_ref().is_some_and(|waiting| !waiting.found))
    }

    /// Ends the waits whose time is over, and asks for the JobMasters of the others.
    pub(super) fn attend_to_waiting(&mut self) {
        let limit = self.setup.tasks_without_leader;
        let is_over = |waiting: &Waiting| waiting.since.elapsed() >= limit;
        let over = self.jobs.iter().filter(|(_, job)| job.waiting.as_ref().is_some_and(is_over));
        for job in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.give_up_waiting(job, "no JobMaster has taken the tasks over in time");
        }
        self.find_job_masters();
    }

    /// Asks the ResourceManager who leads the jobs that wait.
    pub(super) fn find_job_masters(&mut self) {
        if self.searching || self.resource_manager.is_none() {
            return;
        }
        let jobs: Vec<JobId> = self.jobs.keys().copied().filter(|job| self.is_leaderless(*job)).collect();
        if jobs.is_empty() {
            return;
        }
        let address = self.setup.resource_manager_address.clone();
        // It was connected to for the registration.
        let Ok(channel) = self.channel(&address) else { return };
        let job_ids = jobs.iter().map(|job| job.to_bytes()).collect();
        let search = Search::of(self, jobs);
        let mut request = tonic::Request::new(proto::FindJobMastersRequest { fence: search.fence.clone(), job_ids });
        request.set_timeout(CALL_TIMEOUT);
        let internal = self.internal.clone();
        self.searching = true;
        self.background.spawn(async move {
            let found = match ResourceManagerClient::new(channel).find_job_masters(request).await {
                Ok(answer) => Some(answer.into_inner().job_masters),
                Err(status) => {
                    tracing::debug!(reason = status.message(), "could not ask who leads the jobs, trying again");
                    None
                }
            };
            let _ = internal.send(Internal::Searched { search, found });
        });
    }

    /// The ResourceManager has answered, or could not.
    pub(super) fn searched(&mut self, search: Search, found: Option<Vec<proto::JobMasterLocation>>) {
        self.searching = false;
        if self.resource_manager.as_ref() != Some(&search.fence) || self.registration != search.registration {
            // That one is lost, too.
            return self.find_job_masters();
        }
        let Some(found) = found else { return };
        let found = found.into_iter().filter_map(|location| Some((JobId::from_bytes(&location.job_id)?, location)));
        let mut found: HashMap<JobId, proto::JobMasterLocation> = found.collect();
        for job in search.jobs.into_iter().filter(|job| self.is_leaderless(*job)).collect::<Vec<_>>() {
            match found.remove(&job) {
                Some(location) => self.job_master_found(job, location.fence, &location.address),
                None => self.give_up_waiting(job, "the JobManager does not lead the job"),
            }
        }
    }

    /// A job that waits has this JobMaster: it is offered what the job has here.
    pub(super) fn job_master_found(&mut self, id: JobId, fence: Bytes, address: &str) {
        let limit = self.setup.tasks_without_leader;
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(waiting) = job.waiting.as_ref().filter(|waiting| !waiting.found) else { return };
        let patience = limit.saturating_sub(waiting.since.elapsed());
        if job.master.fence == fence {
            // It lives, and has put others in the place of these tasks.
            return self.give_up_waiting(id, "the JobMaster has counted this TaskManager as lost");
        }
        let channel = self.check_job_master(id, &fence).and_then(|()| self.channel(address));
        let channel = match channel {
            Ok(channel) => channel,
            Err(status) => return self.give_up_waiting(id, status.message()),
        };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // What it deploys itself speaks to it at once.
        job.master = JobMaster { client: JobMasterClient::new(channel), fence };
        if let Some(waiting) = &mut job.waiting {
            waiting.found = true;
        }
        tracing::info!(job_id = %id, address, tasks = job.tasks.len(), "offering slots and tasks to the next JobMaster");
        self.offer_all(id, patience);
    }

    fn offer_all(&mut self, job: JobId, patience: Duration) {
        for held in self.slots.held(job) {
            self.offer(job, held.id, held.index, patience);
        }
    }

    /// The JobMaster takes tasks over.
    pub(super) fn adopt_tasks(
        &mut self,
        request: &proto::AdoptTasksRequest,
    ) -> Result<proto::AdoptTasksResponse, Status> {
        let job = self.fenced_job(&request.job_id, &request.fence)?;
        let mut not_running = Vec::new();
        let mut adopted = Vec::with_capacity(request.attempt_ids.len());
        for bytes in &request.attempt_ids {
            match AttemptId::from_bytes(bytes).and_then(|id| job.tasks.get(&id)) {
                Some(task) => adopted.push(task),
                None => not_running.push(bytes.clone()),
            }
        }
        let (completed, first) = (request.completed_checkpoint_id, request.first_checkpoint_id);
        // One that has ended but for its word reads no letter any more.
        for task in adopted.iter().filter(|task| task.reads_mail()) {
            match deliver(&***task, Mail::Adopted { completed, first }) {
                Err(status) if status.code() != Code::NotFound => return Err(status),
                _ => {}
            }
        }
        adopted.iter().for_each(|task| task.adopt(&job.master));
        if let Some(id) = JobId::from_bytes(&request.job_id) {
            if let Some(job) = self.jobs.get_mut(&id).filter(|_| completed > 0) {
                job.checkpoint_completed(completed);
            }
            self.settle_waiting(id);
        }
        Ok(proto::AdoptTasksResponse { not_running, reports: self.reports.load(Ordering::Relaxed) })
    }

    /// If the JobMaster is known, and no task is left that it has to take over, the job is led.
    pub(super) fn settle_waiting(&mut self, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job)
            && job.waiting.as_ref().is_some_and(Waiting::is_found)
            && !job.has_awaiting_tasks()
        {
            job.waiting = None;
        }
    }

    /// A task whose slot is given back waits for no leader any more. It may have been about to end, and have waited to say so.
    pub(super) fn end_wait_of(&mut self, job: JobId, attempt: AttemptId) {
        let task = self.jobs.get(&job).and_then(|job| job.tasks.get(&attempt));
        if let Some(task) = task.filter(|task| task.awaits_leader()) {
            task.abandon();
            if let Some(since) = self.cancelling.get_mut(&attempt) {
                *since = Instant::now();
            }
        }
    }

    /// Nobody takes the tasks over: they end, and their slots are free. Without a JobMaster no slot is the job's any more.
    fn give_up_waiting(&mut self, id: JobId, reason: &str) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.waiting.is_some()) else { return };
        let leaderless = self.is_leaderless(id);
        let awaiting = job.tasks.values().filter(|task| task.awaits_leader());
        let with_awaiting: HashSet<AllocationId> = awaiting.map(|task| task.allocation()).collect();
        let mut given_up = self.slots.held(id);
        given_up.retain(|held| leaderless || with_awaiting.contains(&held.id));
        for held in given_up {
            self.release(held.id, reason);
        }
        if leaderless && let Some(job) = self.jobs.get_mut(&id) {
            job.abandon();
        }
        self.settle_waiting(id);
    }
}
