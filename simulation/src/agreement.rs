//! Whether the three that know of a slot agree: its TaskManager, whose word counts, the ResourceManager and the JobMasters; and
//! whether what runs is what the JobMasters know of.
//!
//! They differ for a while whenever something changes or is lost. What they differ in must not stay for longer than it takes to
//! notice: reports, heartbeats and calls that time out. Only time in which nothing goes wrong counts.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use wiesel_jobmanager::jobmaster::JobInfo;
use wiesel_jobmanager::resourcemanager::ResourceOverview;
use wiesel_proto as proto;

/// How often the tables are compared, in milliseconds.
const EVERY: u64 = 500;
/// How long they may differ in something, in milliseconds: a heartbeat's timeout, a call's, and some reports.
const PATIENCE: u64 = 120_000;

/// What everybody says at one moment.
pub struct Beliefs {
    /// The ResourceManager.
    pub overview: ResourceOverview,
    /// The JobMasters.
    pub jobs: Vec<Arc<JobInfo>>,
    /// The TaskManagers: by resource id.
    pub truth: Vec<(String, Vec<proto::SlotReport>)>,
    /// What runs twice though its JobMaster knows of one: see [`crate::attempts`].
    pub doubled: Vec<String>,
}

/// See the module.
#[derive(Default)]
pub struct Agreement {
    next: u64,
    /// Since when they differ, by what they differ in.
    since: BTreeMap<String, u64>,
}

impl Agreement {
    /// Whether the tables are to be compared now.
    pub fn is_due(&mut self, now: u64) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + EVERY;
        }
        due
    }

    /// Something went wrong: it takes its time.
    pub fn disturbed(&mut self, now: u64) {
        self.since.values_mut().for_each(|since| *since = now);
    }

    /// Compares the tables.
    ///
    /// # Errors
    /// What they differ in for too long.
    pub fn check(&mut self, now: u64, beliefs: &Beliefs) -> Result<(), String> {
        let differences = differences(beliefs);
        self.since.retain(|known, _| differences.contains(known));
        for difference in differences {
            let since = *self.since.entry(difference.clone()).or_insert(now);
            if now > since + PATIENCE {
                return Err(format!("for {} ms {difference}", now - since));
            }
        }
        Ok(())
    }
}

fn differences(Beliefs { overview, jobs, truth, doubled }: &Beliefs) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = doubled.iter().cloned().collect();
    let mut holders: HashMap<(&str, &Bytes), &Bytes> = HashMap::new();
    for (id, slots) in truth {
        let held = slots.iter().filter(|slot| !slot.allocation_id.is_empty());
        holders.extend(held.map(|slot| ((id.as_str(), &slot.allocation_id), &slot.job_id)));
        let Some(known) = overview.task_managers.iter().find(|known| known.registration.resource_id == *id) else {
            found.insert(format!("the ResourceManager does not know {id}"));
            continue;
        };
        for (slot, believed) in slots.iter().zip(&known.slots) {
            let job = (!slot.job_id.is_empty() && !slot.releasing).then(|| slot.job_id.clone());
            let believed = believed.map(|job| job.to_bytes());
            if job != believed {
                let index = slot.index;
                found.insert(format!("slot {index} of {id} is of {job:?}, the ResourceManager says of {believed:?}"));
            }
        }
    }
    for job in jobs.iter().filter(|job| !job.status.is_terminal()) {
        let open = job.graph.executions().filter(|task| task.end_time() < 0);
        for slot in open.filter_map(|task| task.slot.as_ref()) {
            let (id, allocation) = (slot.location.resource_id.as_str(), slot.allocation.to_bytes());
            if holders.get(&(id, &allocation)).is_none_or(|holder| **holder != job.job_id.to_bytes()) {
                found.insert(format!(
                    "a task of {} runs in the slot {} of {id}, which is not the job's",
                    job.job_id, slot.allocation
                ));
            }
        }
    }
    found
}
