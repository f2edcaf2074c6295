//! `_metadata`: any file is a checkpoint or refused, also one whose checksums are right.
use bytes::Bytes;
use prost::Message;
use wiesel_fuzz::Target;
use wiesel_proto as proto;
use wiesel_state::storage::metadata::{VERSION, decode, encode};
use wiesel_state::storage::{all_files, shared_files};

const FOLDER: &str = "file:/c/chk-7";

fn checkpoint() -> proto::CheckpointMetadata {
    let file = |path: &str| Some(proto::StateFile { path: path.into(), size: 100, crc32c: 7, ..Default::default() });
    let keyed = proto::KeyedStateHandle {
        first_key_group: 0,
        last_key_group: 63,
        files: vec![proto::KeyedStateFile { shared: true, file: file("file:/c/shared/a"), ..Default::default() }],
        ..Default::default()
    };
    let operator = proto::OperatorSubtaskState { uid: vec![1; 16].into(), keyed: vec![keyed], ..Default::default() };
    let channel = proto::ChannelState { file: file("file:/c/chk-7/b"), ..Default::default() };
    let task = proto::TaskState { operators: vec![operator], channels: vec![channel], ..Default::default() };
    let mut second = task.clone();
    let keyed = &mut second.operators[0].keyed[0];
    (keyed.first_key_group, keyed.last_key_group) = (64, 127);
    let vertex = proto::VertexState {
        vertex_id: vec![2; 16].into(),
        parallelism: 2,
        max_parallelism: 128,
        operators: vec![proto::OperatorName { uid: vec![1; 16].into(), ..Default::default() }],
        subtasks: vec![task, second],
        ..Default::default()
    };
    let job_id = vec![3; 16].into();
    proto::CheckpointMetadata {
        checkpoint_id: 7,
        job_id,
        hash_version: 1,
        vertices: vec![vertex],
        ..Default::default()
    }
}

/// A file whose checksums are right.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"WIESELCP".to_vec();
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn metadata() {
    let whole = encode(&checkpoint(), FOLDER);
    let seeds = vec![checkpoint().encode_to_vec(), whole.to_vec()];
    assert!(decode(&sealed(&seeds[0]).into(), "f", FOLDER).is_ok(), "the layout of the header is another");
    let target = Target { inputs: 2000, ..Target::new("metadata") };
    target.run(seeds, |input| {
        let files = [Bytes::copy_from_slice(input), sealed(input).into()];
        files.iter().fold(false, |taken, file| match decode(file, "f", FOLDER) {
            Ok(metadata) => {
                let (all, shared) = (all_files(&metadata), shared_files(&metadata));
                assert!(shared.is_subset(&all));
                !encode(&metadata, FOLDER).is_empty()
            }
            Err(error) => {
                assert!(error.to_string().len() < 4096 + input.len(), "the error is longer than what is wrong");
                taken
            }
        })
    });
}
