use std::io::Write as _;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wiesel_common::config::Configuration;
use wiesel_common::filesystem::unsure::{PutFault, UnsureBucket};

use super::super::stored_fence::FENCE;
use super::*;

const JOB: RecordKey = RecordKey::Job(JobId([7; 16]));
const RESULT: RecordKey = RecordKey::Result(JobId([7; 16]));

fn storage(uri: &str) -> ClusterStorage {
    let config: Configuration = [("high-availability.storageDir".to_owned(), uri.to_owned())].into_iter().collect();
    ClusterStorage::open(&config).unwrap()
}

/// A leader that has begun.
async fn leader(storage: &ClusterStorage, epoch: u64) -> StoredRecords {
    let records = StoredRecords::new(storage);
    records.fence(epoch).await.unwrap();
    records
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn content(records: &StoredRecords, epoch: u64, key: RecordKey) -> Option<Bytes> {
    records.read(epoch, key).await.unwrap().map(|record| record.bytes)
}

async fn files(storage: &ClusterStorage) -> Vec<String> {
    let mut files = storage.records().tagged_files().await.unwrap();
    files.retain(|file| file != FENCE);
    files
}

fn is_unknown<T>(outcome: &Result<T, RecordError>) -> bool {
    matches!(outcome, Err(RecordError::Unknown { .. }))
}

/// What every place has to do.
async fn round_trip(storage: &ClusterStorage) {
    let records = leader(storage, 1).await;
    assert_eq!(records.read(1, JOB).await, Ok(None));
    let first = records.write(1, JOB, None, bytes("a")).await.unwrap();
    assert_eq!(records.write(1, JOB, None, bytes("b")).await, Err(RecordError::Conflict { key: JOB }));
    let second = records.write(1, JOB, Some(&first), bytes("a")).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(records.write(1, JOB, Some(&first), bytes("b")).await, Err(RecordError::Conflict { key: JOB }));
    assert_eq!(records.delete(1, JOB, &first).await, Err(RecordError::Conflict { key: JOB }));
    assert_eq!(records.read(1, JOB).await, Ok(Some(Record { bytes: bytes("a"), version: second })));
    for key in [RESULT, RecordKey::Application] {
        records.write(1, key, None, bytes("")).await.unwrap();
    }
    assert_eq!(records.list(1, RecordKind::Job).await.unwrap(), [JOB]);
    assert_eq!(records.list(1, RecordKind::Result).await.unwrap(), [RESULT]);
    assert_eq!(records.list(1, RecordKind::Application).await.unwrap(), [RecordKey::Application]);

    // The next leader finds all of it, and the former one writes nothing any more.
    let next = leader(storage, 2).await;
    assert_eq!(next.list(2, RecordKind::Job).await.unwrap(), [JOB]);
    let found = next.read(2, JOB).await.unwrap().unwrap();
    assert_eq!(found.bytes, "a");
    let of_former = records.read(1, JOB).await;
    let superseded = RecordError::Superseded { epoch: 1, newer: 2 };
    assert_eq!(of_former, Err(superseded.clone()));
    let version = records.with_state(1, |state| state.entries[&JOB].version().cloned()).unwrap().unwrap();
    assert_eq!(records.write(1, JOB, Some(&version), bytes("c")).await, Err(superseded.clone()));
    assert_eq!(records.delete(1, JOB, &version).await, Err(superseded.clone()));
    assert_eq!(records.fence(1).await, Err(superseded));
    next.delete(2, JOB, &found.version).await.unwrap();
    assert_eq!(next.read(2, JOB).await, Ok(None));
    assert_eq!(files(storage).await.len(), 2);
    next.write(2, JOB, None, bytes("again")).await.unwrap();
    assert_eq!(content(&leader(storage, 3).await, 3, JOB).await, Some(bytes("again")));
}

#[tokio::test]
async fn records_in_a_folder_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    round_trip(&storage(&folder.path().join("ha").display().to_string())).await;
}

#[tokio::test]
async fn records_in_a_store() {
    UnsureBucket::mount("records");
    round_trip(&storage("s3://records/ha")).await;
}

/// On the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
#[tokio::test]
async fn records_on_a_server() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let Ok(endpoint) = std::env::var("WIESEL_S3_ENDPOINT") else {
        if let Ok(list) = std::env::var("WIESEL_SKIPPED") {
            let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
            writeln!(list, "records_on_a_server: no S3 server").unwrap();
        }
        return;
    };
    let mut config = Configuration::default();
    config.set("s3.access-key", variable("WIESEL_S3_ACCESS_KEY", "wiesel"));
    config.set("s3.secret-key", variable("WIESEL_S3_SECRET_KEY", "wiesel-secret"));
    config.set("s3.endpoint", endpoint);
    let folder = format!("s3://{}/ha-{}", variable("WIESEL_S3_BUCKET", "wiesel"), random::uuid().simple());
    config.set("high-availability.storageDir", folder);
    round_trip(&ClusterStorage::open(&config).unwrap()).await;
}

#[tokio::test]
async fn what_a_superseded_leader_makes_never_comes_back() {
    UnsureBucket::mount("ghosts");
    let storage = storage("s3://ghosts/ha");
    let former = leader(&storage, 1).await;
    let next = leader(&storage, 2).await;
    // The store takes it, because no record is there.
    let superseded = RecordError::Superseded { epoch: 1, newer: 2 };
    assert_eq!(former.write(1, JOB, None, bytes("ghost")).await, Err(superseded.clone()));
    assert_eq!(former.write(1, RESULT, None, bytes("ghost")).await, Err(superseded));
    assert_eq!(files(&storage).await.len(), 2);
    assert_eq!((next.read(2, JOB).await, next.list(2, RecordKind::Job).await), (Ok(None), Ok(Vec::new())));
    next.write(2, JOB, None, bytes("real")).await.unwrap();
    let last = leader(&storage, 3).await;
    assert_eq!(last.list(3, RecordKind::Job).await.unwrap(), [JOB]);
    assert_eq!(content(&last, 3, JOB).await, Some(bytes("real")));
    assert_eq!(last.list(3, RecordKind::Result).await.unwrap(), []);
    assert_eq!(files(&storage).await.len(), 1);
}

#[tokio::test]
async fn what_was_done_while_the_next_leader_begins_is_found_by_it() {
    UnsureBucket::mount("between");
    let storage = storage("s3://between/ha");
    let former = leader(&storage, 1).await;
    let version = former.write(1, JOB, None, bytes("a")).await.unwrap();
    let next = StoredRecords::new(&storage);
    assert_eq!(next.fence.begin(2).await, Ok(1));
    former.write(1, JOB, Some(&version), bytes("b")).await.unwrap();
    next.fence(2).await.unwrap();
    assert_eq!(content(&next, 2, JOB).await, Some(bytes("b")));
    // A leader that has not begun here has no records.
    assert!(matches!(next.read(3, JOB).await, Err(RecordError::Unreachable { .. })));
}

#[tokio::test]
async fn a_leader_that_died_in_the_middle_of_beginning_has_taken_nothing() {
    let bucket = UnsureBucket::mount("half-begun");
    let storage = storage("s3://half-begun/ha");
    let first = leader(&storage, 1).await;
    first.write(1, JOB, None, bytes("job")).await.unwrap();
    first.write(1, RESULT, None, bytes("result")).await.unwrap();
    // The fence, one of two records, and no more.
    bucket.fail_puts(&[PutFault::None, PutFault::None, PutFault::Lost]);
    assert!(matches!(StoredRecords::new(&storage).fence(2).await, Err(RecordError::Unreachable { .. })));
    let third = leader(&storage, 3).await;
    assert_eq!(content(&third, 3, JOB).await, Some(bytes("job")));
    assert_eq!(content(&third, 3, RESULT).await, Some(bytes("result")));
    // One whose last answer was lost begins again.
    bucket.fail_puts(&[PutFault::None, PutFault::None, PutFault::None, PutFault::Lost]);
    let fourth = StoredRecords::new(&storage);
    assert!(fourth.fence(4).await.is_err());
    fourth.fence(4).await.unwrap();
    assert_eq!(content(&fourth, 4, JOB).await, Some(bytes("job")));
}

#[tokio::test]
async fn a_write_without_an_answer_is_known_once_the_record_was_read() {
    let bucket = UnsureBucket::mount("unknown");
    let storage = storage("s3://unknown/ha");
    let records = leader(&storage, 1).await;
    // Made, and not made.
    for (fault, key) in [(PutFault::LostAnswer, JOB), (PutFault::Lost, RESULT)] {
        bucket.fail_puts(&[fault]);
        bucket.fail_reads(1);
        assert!(is_unknown(&records.write(1, key, None, bytes("a")).await));
    }
    assert_eq!(content(&records, 1, JOB).await, Some(bytes("a")));
    assert_eq!(content(&records, 1, RESULT).await, None);
    records.write(1, RESULT, None, bytes("b")).await.unwrap();
    // Made, and the fence could not be looked at.
    bucket.fail_reads(1);
    assert!(is_unknown(&records.write(1, RecordKey::Application, None, bytes("a")).await));
    assert_eq!(content(&records, 1, RecordKey::Application).await, Some(bytes("a")));
    // Replaced late: it comes before the next write, which is a conflict, or behind it, and has no effect.
    for delivers_first in [true, false] {
        let version = records.read(1, JOB).await.unwrap().unwrap().version;
        bucket.fail_puts(&[PutFault::Late]);
        assert!(is_unknown(&records.write(1, JOB, Some(&version), bytes("late")).await));
        if delivers_first {
            assert_eq!(bucket.deliver().await, 1);
            let conflict = records.write(1, JOB, Some(&version), bytes("next")).await;
            assert_eq!(conflict, Err(RecordError::Conflict { key: JOB }));
            assert_eq!(content(&records, 1, JOB).await, Some(bytes("late")));
        } else {
            records.write(1, JOB, Some(&version), bytes("next")).await.unwrap();
            assert_eq!(bucket.deliver().await, 0);
            assert_eq!(content(&records, 1, JOB).await, Some(bytes("next")));
        }
    }
    // Deleted.
    let version = records.read(1, JOB).await.unwrap().unwrap().version;
    bucket.fail_puts(&[PutFault::LostAnswer]);
    bucket.fail_reads(1);
    assert!(is_unknown(&records.delete(1, JOB, &version).await));
    assert_eq!(content(&records, 1, JOB).await, None);
    records.write(1, JOB, None, bytes("again")).await.unwrap();
}

/// A put that makes a record would be taken where the record was removed: a job that has ended would run again.
#[tokio::test]
async fn a_record_that_comes_late_does_not_come_back() {
    let bucket = UnsureBucket::mount("late-record");
    let storage = storage("s3://late-record/ha");
    let records = leader(&storage, 1).await;
    bucket.fail_puts(&[PutFault::Late]);
    assert!(is_unknown(&records.write(1, JOB, None, bytes("late")).await));
    assert_eq!(content(&records, 1, JOB).await, None);
    let version = records.write(1, JOB, None, bytes("job")).await.unwrap();
    records.delete(1, JOB, &version).await.unwrap();
    assert_eq!(bucket.deliver().await, 0);
    assert_eq!(leader(&storage, 2).await.list(2, RecordKind::Job).await.unwrap(), []);
    assert_eq!(files(&storage).await, [] as [&str; 0]);
}

/// Failed before: the second leader removed what kept the late put away, and the third one believed it.
#[tokio::test]
async fn a_record_that_comes_late_does_not_come_back_when_a_leader_dies_as_it_begins() {
    let bucket = UnsureBucket::mount("late-half-begun");
    let storage = storage("s3://late-half-begun/ha");
    let records = leader(&storage, 1).await;
    bucket.fail_puts(&[PutFault::Late]);
    assert!(is_unknown(&records.write(1, JOB, None, bytes("late")).await));
    let version = records.write(1, JOB, None, bytes("job")).await.unwrap();
    records.delete(1, JOB, &version).await.unwrap();
    // It has begun, and does not come to say that it is complete.
    bucket.fail_puts(&[PutFault::None, PutFault::Lost]);
    assert!(StoredRecords::new(&storage).fence(2).await.is_err());
    assert_eq!(bucket.deliver().await, 0);
    assert_eq!(leader(&storage, 3).await.list(3, RecordKind::Job).await.unwrap(), []);
    assert_eq!(files(&storage).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_record_that_is_damaged_is_not_passed_over() {
    UnsureBucket::mount("damaged");
    let storage = storage("s3://damaged/ha");
    leader(&storage, 1).await.write(1, JOB, None, bytes("a")).await.unwrap();
    let file = storage.records().join(&files(&storage).await[0]);
    let mut stored = file.read_at_most(100).await.unwrap().to_vec();
    stored[HEADER] ^= 1;
    file.write(stored.into()).await.unwrap();
    let error = StoredRecords::new(&storage).fence(2).await.unwrap_err().to_string();
    assert!(error.contains(file.uri()) && error.contains("checksum"), "{error}");
    // What is none is left alone.
    file.delete().await.unwrap();
    for name in ["other.txt", "job.x.y", "application"] {
        storage.records().join(name).write(bytes("x")).await.unwrap();
    }
    let records = leader(&storage, 3).await;
    assert_eq!(records.list(3, RecordKind::Job).await.unwrap(), []);
    assert_eq!(files(&storage).await.len(), 3);
    let error = records.write(3, JOB, None, vec![0; MAX_RECORD + 1].into()).await.unwrap_err();
    assert_eq!(error, RecordError::TooLong { key: JOB, bytes: MAX_RECORD + 1 });
}

/// A cluster whose store loses, repeats and delays, whose leaders change and go on writing: what was answered as done is there, and
/// nothing else ever is.
struct Model {
    random: StdRng,
    bucket: UnsureBucket,
    storage: ClusterStorage,
    epoch: u64,
    leaders: Vec<StoredRecords>,
    /// What the leader knows of each record: none for one that is not there.
    known: BTreeMap<RecordKey, Option<Record>>,
    writes: u64,
}

impl Model {
    async fn new(seed: u64) -> Self {
        let name = format!("model-{seed}");
        let bucket = UnsureBucket::mount(&name);
        let storage = storage(&format!("s3://{name}/ha"));
        let (random, known) = (StdRng::seed_from_u64(seed), BTreeMap::from([(JOB, None), (RESULT, None)]));
        let mut model = Self { random, bucket, storage, epoch: 0, leaders: Vec::new(), known, writes: 0 };
        model.change_leader().await;
        model
    }

    fn fail(&mut self) {
        const FAULTS: [PutFault; 6] =
            [PutFault::None, PutFault::None, PutFault::Lost, PutFault::LostAnswer, PutFault::Repeated, PutFault::Late];
        let faults: Vec<PutFault> = (0..3).map(|_| FAULTS[self.random.random_range(0..FAULTS.len())]).collect();
        self.bucket.fail_puts(&faults);
        self.bucket.fail_reads(u32::from(self.random.random_bool(0.2)));
    }

    fn heal(&self) {
        self.bucket.fail_puts(&[]);
        self.bucket.fail_reads(0);
    }

    async fn change_leader(&mut self) {
        self.epoch += 1;
        let records = StoredRecords::new(&self.storage);
        self.fail();
        while records.fence(self.epoch).await.is_err() {
            self.heal();
        }
        self.heal();
        self.leaders.push(records);
        self.check().await;
    }

    /// What the leader reads is what it knows.
    async fn check(&mut self) {
        for (key, known) in &mut self.known {
            let found = self.leaders.last().unwrap().read(self.epoch, *key).await.unwrap();
            let content = |record: &Option<Record>| record.as_ref().map(|record| record.bytes.clone());
            assert_eq!(content(&found), content(known), "{key} in epoch {}", self.epoch);
            *known = found;
        }
    }

    /// The leader writes or deletes, and tries again until it knows that it was done.
    async fn step(&mut self, key: RecordKey) {
        self.writes += 1;
        let before = self.known[&key].clone();
        let deletes = before.is_some() && self.random.random_bool(0.3);
        let after = (!deletes).then(|| bytes(&self.writes.to_string()));
        self.fail();
        let outcome = self.act(key, before.as_ref(), after.as_ref()).await;
        self.heal();
        assert!(outcome.is_ok() || is_unknown(&outcome), "{outcome:?}");
        if self.random.random_bool(0.5) {
            self.bucket.deliver().await;
        }
        if self.content(key).await != after {
            assert!(is_unknown(&outcome), "what was answered as done is not there");
            self.act(key, before.as_ref(), after.as_ref()).await.unwrap();
            assert_eq!(self.content(key).await, after);
        }
        let found = self.leaders.last().unwrap().read(self.epoch, key).await.unwrap();
        self.known.insert(key, found);
    }

    async fn act(&self, key: RecordKey, before: Option<&Record>, after: Option<&Bytes>) -> Result<(), RecordError> {
        let records = self.leaders.last().unwrap();
        match (before, after) {
            (Some(before), None) => records.delete(self.epoch, key, &before.version).await,
            (before, after) => {
                let version = before.map(|record| &record.version);
                records.write(self.epoch, key, version, after.unwrap().clone()).await.map(drop)
            }
        }
    }

    async fn content(&self, key: RecordKey) -> Option<Bytes> {
        content(self.leaders.last().unwrap(), self.epoch, key).await
    }

    /// A former leader tries what it last tried to do.
    async fn step_of_former(&mut self, key: RecordKey) {
        let former = self.random.random_range(0..self.leaders.len() - 1);
        let (records, epoch) = (&self.leaders[former], former as u64 + 1);
        let version = records.with_state(epoch, |state| state.entries.get(&key)?.version().cloned()).unwrap();
        let outcome = records.write(epoch, key, version.as_ref(), bytes("former")).await;
        assert!(matches!(outcome, Err(RecordError::Superseded { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_is_done_stays_whatever_the_store_loses() {
    for seed in 0..40 {
        let mut model = Model::new(seed).await;
        for _ in 0..60 {
            let key = if model.random.random_bool(0.5) { JOB } else { RESULT };
            match model.random.random_range(0..10) {
                0 => model.change_leader().await,
                1 | 2 if model.leaders.len() > 1 => model.step_of_former(key).await,
                _ => model.step(key).await,
            }
        }
    }
}

/// Failed before: the JobManager that was to lead ended, and what it said was no help.
#[tokio::test]
async fn a_damaged_record_keeps_everybody_from_leading_until_it_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(&folder.path().join("ha").display().to_string());
    let records = leader(&storage, 1).await;
    records.write(1, JOB, None, bytes("a")).await.unwrap();
    records.write(1, RESULT, None, bytes("b")).await.unwrap();
    let name = files(&storage).await.into_iter().find(|file| file.starts_with("job.")).unwrap();
    let file = storage.records().join(&name);
    let place = file.as_local().unwrap();
    for content in std::fs::read_dir(place).unwrap() {
        std::fs::write(content.unwrap().path(), "damaged").unwrap();
    }
    let said = StoredRecords::new(&storage).fence(2).await.unwrap_err().to_string();
    assert!(said.contains(&name) && said.contains("move it away") && said.contains("-s"), "{said}");
    std::fs::rename(place, folder.path().join("away")).unwrap();
    let records = leader(&storage, 3).await;
    assert_eq!(content(&records, 3, JOB).await, None);
    assert_eq!(content(&records, 3, RESULT).await, Some(bytes("b")));
}
