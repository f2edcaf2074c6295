//! Several JobManagers of one cluster: which one leads, and what it takes that another one does.
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Cluster, ClusterBuilder};
use crate::store::Place;
use crate::{eventually, http, process};

/// A JobManager: the port of its REST, by which it is known, and its process.
#[derive(Clone, Copy, Debug)]
pub struct Master {
    /// The port.
    pub rest: u16,
    /// The process that was started last.
    pub pid: u32,
}

impl ClusterBuilder {
    /// So many JobManagers with high availability, whose records are in a folder of this machine. A leader that is gone is followed
    /// within seconds.
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self.set("high-availability.type", "object-store")
            .set("high-availability.cluster-id", "/tests")
            .set("high-availability.object-store.leader-election.lease-duration", "5 s")
            .set("high-availability.object-store.leader-election.renew-deadline", "3500 ms")
            .set("high-availability.object-store.leader-election.retry-period", "500 ms")
    }

    /// Keeps the records there.
    pub fn records(self, place: &Place) -> Self {
        self.set("high-availability.storageDir", &place.uri)
    }
}

impl Cluster {
    /// Where records are kept if nothing else is said.
    pub(super) fn records_folder(&self) -> PathBuf {
        self.dir().join("ha")
    }

    /// Notes which process has which port, once all are started.
    pub(super) fn note_masters(&self) {
        let pids = self.pids("standalonesession");
        let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(pids.len(), masters.len(), "a process for each master");
        masters.iter_mut().zip(pids).for_each(|(master, pid)| master.pid = pid);
    }

    fn all_masters(&self) -> Vec<Master> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one that requests go to: that of which [`Cluster::follow_leader`] has found that it leads.
    pub fn leader(&self) -> Master {
        let masters = self.all_masters();
        *masters.iter().find(|master| master.rest == self.port()).expect("a master has the port")
    }

    /// One that does not lead.
    pub fn standby(&self) -> Master {
        let masters = self.all_masters();
        *masters.iter().find(|master| master.rest != self.port()).expect("there is another master")
    }

    /// Waits until REST of a JobManager other than this one answers, to which requests go from then on. Says how long it took.
    pub fn follow_leader(&self, not: Option<Master>, limit: Duration) -> Duration {
        let begun = Instant::now();
        let candidates: Vec<Master> =
            self.all_masters().into_iter().filter(|master| not.is_none_or(|not| not.pid != master.pid)).collect();
        let leader = eventually("a JobManager leads", limit, || {
            let leads = |master: &&Master| {
                let answer = http::request(master.rest, "GET", "/overview", "application/json", b"");
                answer.is_ok_and(|answer| answer.status == 200)
            };
            candidates.iter().find(leads).copied().ok_or_else(|| format!("none of {candidates:?}"))
        });
        self.rest.store(leader.rest, Ordering::Relaxed);
        begun.elapsed()
    }

    /// Ends the leader as a crash would, and says which one it was.
    pub fn kill_leader(&self) -> Master {
        let leader = self.leader();
        process::signal(leader.pid, Signal::KILL);
        eventually("the JobManager is gone", Duration::from_secs(10), || match process::is_alive(leader.pid) {
            true => Err("it still runs".to_owned()),
            false => Ok(()),
        });
        leader
    }

    /// Starts a JobManager, without fault points, in the place of one that is gone.
    pub fn start_master(&self, gone: Master) {
        self.start_one("jobmanager.sh", |command| {
            command.args(["localhost", &gone.rest.to_string()]).env("WIESEL_FAULT_POINTS", "");
        });
        let pid = *self.pids("standalonesession").last().expect("it was started");
        let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        for master in masters.iter_mut().filter(|master| master.rest == gone.rest) {
            master.pid = pid;
        }
    }
}
