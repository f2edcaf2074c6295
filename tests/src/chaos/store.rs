//! Where checkpoints and savepoints go in a run, and what can go wrong there.
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::disk::SmallDisk;
use super::schedule::Blow;
use super::{Nodes, Storage};
use crate::proxy::Proxy;
use crate::s3::S3Server;
use crate::store::Place;
use crate::{ClusterBuilder, skip};

/// Enough for the checkpoints and the local state of all jobs, and soon full.
const DISK_MEGABYTES: u64 = 192;

/// The store.
pub struct Store {
    server: Option<S3Server>,
    proxy: Option<Proxy>,
    disk: Option<SmallDisk>,
    root: Place,
    local: String,
    // Last: what is in it goes first.
    _folder: TempDir,
}

impl Store {
    /// None: this machine has no server for it, and the test was counted as skipped.
    pub fn open(test: &str, storage: Storage) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |path: &Path| std::fs::create_dir(path).expect("a folder in a new folder");
        match storage {
            Storage::S3 => {
                let server = S3Server::start(test)?;
                let root = server.bucket();
                let local = folder.path().join("local");
                make(&local);
                let proxy = Some(Proxy::start(server.port()));
                let local = local.display().to_string();
                Some(Self { server: Some(server), proxy, disk: None, root, local, _folder: folder })
            }
            Storage::Files => {
                let path = folder.path().join("disk");
                make(&path);
                let disk = SmallDisk::mount(&path, DISK_MEGABYTES);
                let disk = disk.map_err(|error| skip::skip(&format!("{test} (a full disk)"), &error)).ok();
                let local = path.join("local");
                make(&local);
                let root = Place::local(&path);
                let local = local.display().to_string();
                Some(Self { server: None, proxy: None, disk, root, local, _folder: folder })
            }
        }
    }

    /// A cluster that uses it.
    pub fn configure(&self, mut builder: ClusterBuilder) -> ClusterBuilder {
        let through = self.proxy.as_ref().map(Proxy::port);
        for (key, value) in through.map(S3Server::configuration).into_iter().flatten() {
            builder = builder.set(key, value);
        }
        builder.set("io.tmp.dirs", &self.local).set("execution.checkpointing.dir", self.checkpoints().uri)
    }

    /// Where checkpoints are.
    pub fn checkpoints(&self) -> Place {
        self.root.join("checkpoints")
    }

    /// Where savepoints are.
    pub fn savepoints(&self) -> Place {
        self.root.join("savepoints")
    }

    /// Where the server keeps the parts of uploads that were neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> Option<PathBuf> {
        self.server.as_ref().map(S3Server::unfinished_uploads)
    }

    /// Whether a disk can be filled.
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether a server can fail.
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// A blow at the store. Time goes by at the nodes.
    pub fn strike(&mut self, blow: &Blow, nodes: &mut Nodes) {
        match *blow {
            Blow::FillDisk(time) => {
                if let Some(disk) = &self.disk {
                    disk.fill();
                    nodes.hold(time);
                    disk.free();
                }
            }
            Blow::Storage(fault, time) => {
                if let Some(proxy) = &self.proxy {
                    proxy.set(fault);
                    nodes.hold(time);
                    proxy.set(Default::default());
                }
            }
            Blow::KillStorage(time) => {
                if let Some(server) = &mut self.server {
                    server.kill();
                    nodes.hold(time);
                    server.restart();
                }
            }
            _ => {}
        }
    }
}
