//! Files of keyed state: whatever they hold, also where all checksums are right, a restore takes it or refuses it.
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::runtime::Runtime;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_fuzz::Target;
use wiesel_proto as proto;
use wiesel_state::keyed::{OpenRequest, SnapshotOptions, StateBackend, WriteBatch};
use wiesel_state::storage::CheckpointStorage;
use wiesel_state_backends::{StateResources, backend};

use super::job_graphs::runtime;

/// docs/checkpoint-format.md has the layout.
const HEADER: usize = 16;
const FOOTER: usize = 36;

struct World {
    storage: CheckpointStorage,
    backend: Arc<dyn StateBackend>,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Configuration::default();
        config.set("state.backend.type", "hashmap");
        config.set("io.tmp.dirs", folder.path().join("tmp").display().to_string());
        config.set("execution.checkpointing.dir", folder.path().join("checkpoints").display().to_string());
        let resources = StateResources::new(&config, 64 << 20, 1).unwrap();
        let storage = CheckpointStorage::new(&config, JobId([7; 16])).unwrap();
        let runtime = runtime();
        let backend = backend(&config, &resources, storage.clone(), runtime.handle().clone()).unwrap();
        Self { storage, backend, runtime, folder }
    }

    fn request(restore: Vec<proto::KeyedStateHandle>) -> OpenRequest {
        OpenRequest {
            operator: "0102".into(),
            task_name: "task (1/1)#0".into(),
            attempt: "1".into(),
            key_groups: Some(0..=7),
            restore,
        }
    }

    /// A savepoint of a few tables, its files within it.
    fn savepoint(&self, entries: u16) -> proto::KeyedStateHandle {
        let mut tables = self.backend.open(Self::request(Vec::new())).unwrap();
        for name in ["groups", "timers"] {
            let descriptor = proto::StateTableDescriptor { name: name.into(), ..Default::default() };
            let table = tables.table(&descriptor).unwrap();
            let entry = |at: u16| {
                let key = [(at % 8).to_be_bytes(), at.to_be_bytes()].concat();
                (Bytes::from(key), Some(Bytes::from(vec![at as u8; usize::from(at % 50)])))
            };
            let mut entries: Vec<_> = (0..entries).map(entry).collect();
            entries.sort();
            tables.write(table, WriteBatch { entries }).unwrap();
        }
        let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: true };
        let snapshot = tables.snapshot(&options, Vec::new()).unwrap();
        let barrier = proto::CheckpointBarrier {
            checkpoint_id: 1,
            kind: proto::SnapshotKind::Savepoint.into(),
            target: format!("file:{}/savepoint-{entries}", self.folder.path().display()),
            ..Default::default()
        };
        let files = self.storage.files(&barrier).unwrap();
        let (mut handle, _) = self.runtime.block_on(snapshot.upload(&*files)).unwrap();
        for file in handle.files.iter_mut().filter_map(|named| named.file.as_mut()) {
            file.inline = self.runtime.block_on(self.storage.read(file)).unwrap();
            file.path.clear();
        }
        handle
    }

    fn restore(&self, input: &[u8]) -> bool {
        let Ok(mut handle) = proto::KeyedStateHandle::decode(input) else { return false };
        // What RocksDB makes of damaged files of its own is behind checksums, and no allocator's of ours.
        handle.set_format(proto::KeyedStateFormat::Canonical);
        for file in handle.files.iter_mut().filter_map(|named| named.file.as_mut()) {
            // Nothing of this machine is read.
            file.path.clear();
            let sealed = sealed(&file.inline);
            (file.size, file.crc32c, file.inline) = (sealed.len() as u64, crc32c::crc32c(&sealed), sealed.into());
        }
        let tables = handle.tables.clone();
        let Ok(mut restored) = self.backend.open(Self::request(vec![handle])) else { return false };
        tables.iter().fold(true, |taken, descriptor| {
            let Ok(table) = restored.table(descriptor) else { return false };
            let read = restored
                .kept_back(table)
                .and_then(|_| restored.scan(table, &[], &mut |_, _| Ok(ControlFlow::Continue(()))));
            read.is_ok() && taken
        })
    }
}

/// The file with checksums of header, index and footer that are right, so that what they guard is looked at; mostly.
fn sealed(file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    if bytes.len() < HEADER + FOOTER || crc32c::crc32c(file).is_multiple_of(8) {
        return bytes;
    }
    bytes[..8].copy_from_slice(b"WIESELKS");
    let crc = crc32c::crc32c(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&crc.to_be_bytes());
    let end = bytes.len() - FOOTER;
    let start = bytes[end..].first_chunk().map_or(u64::MAX, |start| u64::from_be_bytes(*start));
    if let Some(index) = usize::try_from(start).ok().and_then(|start| bytes.get(start..end)) {
        let crc = crc32c::crc32c(index);
        bytes[end + 12..end + 16].copy_from_slice(&crc.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[end..end + 24]);
    bytes[end + 24..end + 28].copy_from_slice(&crc.to_be_bytes());
    bytes[end + 28..].copy_from_slice(b"WIESELKE");
    bytes
}

#[test]
fn state_files() {
    let world = World::new();
    let seeds: Vec<Vec<u8>> = [0, 3, 400].map(|entries| world.savepoint(entries).encode_to_vec()).to_vec();
    assert!(world.restore(&seeds[2]), "the layout of the files is another");
    let target = Target { inputs: 1000, memory: 64 << 20, ..Target::new("state_files") };
    target.run(seeds, move |input| world.restore(input));
}
