use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::FutureExt;
use futures::future::{join_all, select_all};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use wiesel_common::config::Configuration;
use wiesel_common::filesystem::unsure::{PutFault, UnsureBucket};
use wiesel_common::leader::{LeaderRetrieval, LeaseRetrieval};

use super::*;
use crate::ha::{RecordStore, StoredRecords, while_leading};

const SECOND: Duration = Duration::from_secs(1);
const TIMES: LeaseTimes =
    LeaseTimes { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry_period: SECOND };

/// Both clocks of a machine, each of which began somewhere.
struct MachineClock {
    started: Instant,
    wall: i64,
    monotonic: AtomicI64,
}

impl MachineClock {
    fn new(wall: i64, monotonic: i64) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), wall, monotonic: AtomicI64::new(monotonic) })
    }
}

impl Clock for MachineClock {
    fn now_millis(&self) -> i64 {
        self.wall + self.started.elapsed().as_millis() as i64
    }

    fn monotonic_millis(&self) -> i64 {
        self.monotonic.load(Ordering::SeqCst) + self.started.elapsed().as_millis() as i64
    }
}

fn storage(uri: &str) -> ClusterStorage {
    let pairs = [("high-availability.storageDir", uri), ("high-availability.cluster-id", "a/b ä")];
    let config = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ClusterStorage::open(&config).unwrap()
}

fn candidate_with(storage: &ClusterStorage, clock: Arc<MachineClock>) -> LeaseElection {
    LeaseElection::new(storage.clone(), TIMES, clock)
}

fn candidate(storage: &ClusterStorage) -> LeaseElection {
    candidate_with(storage, MachineClock::new(0, 0))
}

async fn campaign(candidate: &mut LeaseElection) -> Box<dyn Leadership> {
    candidate.campaign("jm:6123", "jm:8081").await.unwrap()
}

/// Whether a leader is not lost for so long.
async fn is_kept(leadership: &mut Box<dyn Leadership>, seconds: u32) -> bool {
    tokio::time::timeout(SECOND * seconds, leadership.until_lost()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_gone_is_followed_by_another_one_whatever_the_clocks_say() {
    UnsureBucket::mount("followed");
    let storage = storage("s3://followed/ha");
    const HOUR: i64 = 3_600_000;
    let mut first = candidate_with(&storage, MachineClock::new(HOUR, 5));
    let mut second = candidate_with(&storage, MachineClock::new(-HOUR, HOUR * 100));
    let mut former = campaign(&mut first).await;
    assert_eq!(former.session().epoch(), 1);
    // As long as it renews its lease nobody else gets it.
    {
        let mut waits = std::pin::pin!(campaign(&mut second));
        tokio::select! {
            _ = &mut waits => panic!("two lead"),
            loss = former.until_lost() => panic!("{loss}"),
            () = tokio::time::sleep(SECOND * 600) => {}
        }
        drop(former);
        let gone = Instant::now();
        let latter = waits.await;
        assert_eq!(latter.session().epoch(), 2);
        let waited = gone.elapsed();
        assert!((SECOND * 14..=SECOND * 17).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_candidates_one_leads() {
    UnsureBucket::mount("many");
    let storage = storage("s3://many/ha");
    let mut candidates: Vec<_> = (0..5).map(|_| candidate(&storage)).collect();
    let mut campaigns: Vec<_> = candidates.iter_mut().map(|candidate| campaign(candidate).boxed()).collect();
    for epoch in 1..=5 {
        let (leadership, _, others) = select_all(campaigns).await;
        assert_eq!(leadership.session().epoch(), epoch);
        campaigns = others;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_resigns_is_followed_at_once_and_others_hear_of_both() {
    UnsureBucket::mount("resigned");
    let storage = storage("s3://resigned/ha");
    let mut watching = LeaseRetrieval::new(storage.lease(), SECOND);
    assert_eq!(watching.changed().await.unwrap(), None);
    let mut first = candidate(&storage);
    let former = first.campaign("one:6123", "one:8081").await.unwrap();
    let told = watching.changed().await.unwrap().unwrap();
    assert_eq!((told.session, told.rpc_address.as_str()), (Some(former.session()), "one:6123"));
    former.resign().await;
    assert_eq!(watching.changed().await.unwrap(), None);
    let resigned = Instant::now();
    let latter = candidate(&storage).campaign("two:6123", "two:8081").await.unwrap();
    assert!(resigned.elapsed() <= SECOND);
    let told = watching.changed().await.unwrap().unwrap();
    assert_eq!((told.session, told.rest_address.as_str()), (Some(latter.session()), "two:8081"));
    assert_eq!(latter.session().epoch(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_knows_it_before_another_one_leads() {
    let bucket = UnsureBucket::mount("cut-off");
    let storage = storage("s3://cut-off/ha");
    let mut first = candidate(&storage);
    let mut former = campaign(&mut first).await;
    assert!(is_kept(&mut former, 20).await);
    let begin = Instant::now();
    bucket.fail_puts(&[PutFault::Lost; 100]);
    let loss = former.until_lost().await;
    assert!(matches!(&loss, Loss::NotRenewed { reason } if reason.contains("no answer")), "{loss}");
    assert!(begin.elapsed() <= TIMES.renew_deadline);
    bucket.fail_puts(&[]);
    let mut second = candidate(&storage);
    assert_eq!(campaign(&mut second).await.session().epoch(), 2);
    assert!(begin.elapsed() > TIMES.renew_deadline);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_without_an_answer_is_read_back() {
    let bucket = UnsureBucket::mount("unanswered");
    let storage = storage("s3://unanswered/ha");
    let mut first = candidate(&storage);
    let mut leadership = campaign(&mut first).await;
    for fault in [PutFault::LostAnswer, PutFault::Repeated, PutFault::Late, PutFault::Conflict, PutFault::Lost] {
        bucket.fail_puts(&[fault]);
        bucket.fail_reads(u32::from(fault == PutFault::LostAnswer));
        assert!(is_kept(&mut leadership, 30).await, "{fault:?}");
        bucket.deliver().await;
    }
    // One that arrives before the next one is sent.
    bucket.fail_puts(&[PutFault::Late]);
    assert!(tokio::time::timeout(SECOND * 3 / 2, leadership.until_lost()).await.is_err());
    assert_eq!(bucket.deliver().await, 1);
    assert!(is_kept(&mut leadership, 60).await);
    assert_eq!(leadership.session().epoch(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_late_is_this_candidates_and_has_no_effect_twice() {
    let bucket = UnsureBucket::mount("late-claim");
    let storage = storage("s3://late-claim/ha");
    let mut first = candidate(&storage);
    // Behind the three puts that try the store.
    bucket.fail_puts(&[PutFault::None, PutFault::None, PutFault::None, PutFault::Late]);
    {
        let mut claims = std::pin::pin!(campaign(&mut first));
        tokio::select! {
            biased;
            _ = &mut claims => panic!("its claim has no answer"),
            () = tokio::time::sleep(SECOND / 2) => {}
        }
        assert_eq!(bucket.deliver().await, 1);
        let leadership = claims.await;
        assert_eq!(leadership.session().epoch(), 2);
    }
    assert_eq!(bucket.deliver().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stood_still_leads_no_more() {
    UnsureBucket::mount("stopped");
    let storage = storage("s3://stopped/ha");
    let clock = MachineClock::new(0, 0);
    let mut first = candidate_with(&storage, clock.clone());
    let mut former = campaign(&mut first).await;
    // No time passes for anybody else.
    clock.monotonic.fetch_add(10_000, Ordering::SeqCst);
    let loss = former.until_lost().now_or_never();
    assert_eq!(loss, Some(Loss::NotRenewed { reason: "this process stood still".to_owned() }));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_anothers_or_gone_is_lost() {
    UnsureBucket::mount("others");
    let storage = storage("s3://others/ha");
    let mut first = candidate(&storage);
    let mut former = campaign(&mut first).await;
    let (lease, tag) = storage.lease().read().await.unwrap().unwrap();
    let other = Lease { epoch: 9, holder: "other".to_owned(), ..lease };
    let other = Lease { leader: None, ..other };
    storage.lease().write(Some(&tag), &other).await.unwrap();
    let begin = Instant::now();
    let work = while_leading(&mut *former, std::future::pending::<()>());
    assert_eq!(work.await, Err(Loss::Superseded { epoch: 9 }));
    assert!(begin.elapsed() <= SECOND);
    let mut latter = campaign(&mut first).await;
    assert_eq!(latter.session().epoch(), 10);
    Location::of_uri(storage.lease().uri(), &Configuration::default()).unwrap().delete().await.unwrap();
    let loss = latter.until_lost().await;
    assert!(matches!(&loss, Loss::Removed { uri } if uri == "s3://others/ha/a%2Fb%20%C3%A4/leader"), "{loss}");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_conditions_is_refused() {
    let bucket = UnsureBucket::mount("without-conditions");
    bucket.ignore_conditions();
    let storage = storage("s3://without-conditions/ha");
    let error = candidate(&storage).campaign("jm:6123", "jm:8081").await.err().unwrap().to_string();
    assert!(error.contains("If-None-Match") && error.contains("two JobManagers could lead"), "{error}");
    assert_eq!(storage.lease().read().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_yet_is_waited_for() {
    let bucket = UnsureBucket::mount("not-yet");
    bucket.fail_puts(&[PutFault::Lost; 7]);
    bucket.fail_reads(2);
    let storage = storage("s3://not-yet/ha");
    assert_eq!(campaign(&mut candidate(&storage)).await.session().epoch(), 1);
}

/// Failed before: the next leader had the epoch 1, was refused as one that another one has superseded, and ended; so did each after
/// it, until there had been as many as before.
#[tokio::test(start_paused = true)]
async fn where_the_lease_was_removed_the_next_epoch_is_beyond_that_of_the_records() {
    UnsureBucket::mount("removed-lease");
    let storage = storage("s3://removed-lease/ha");
    StoredRecords::new(&storage).fence(41).await.unwrap();
    let leadership = campaign(&mut candidate(&storage)).await;
    assert_eq!(leadership.session().epoch(), 42);
    StoredRecords::new(&storage).fence(42).await.unwrap();
    leadership.resign().await;
    assert_eq!(campaign(&mut candidate(&storage)).await.session().epoch(), 43);
    // There is no later one: nobody leads.
    let storage = self::storage("s3://removed-lease/other");
    StoredRecords::new(&storage).fence(u64::MAX).await.unwrap();
    let error = candidate(&storage).campaign("jm:6123", "jm:8081").await.err().unwrap().to_string();
    assert!(error.contains("used up"), "{error}");
}

/// What is no lease is not written over: it may be somebody's.
#[tokio::test]
async fn what_is_no_lease_ends_the_campaign() {
    UnsureBucket::mount("no-lease");
    let storage = storage("s3://no-lease/ha");
    let file = Location::of_uri(storage.lease().uri(), &Configuration::default()).unwrap();
    file.write(Bytes::from_static(b"another program's")).await.unwrap();
    let error = candidate(&storage).campaign("jm:6123", "jm:8081").await.err().unwrap().to_string();
    assert!(error.contains("is no lease of a leader"), "{error}");
    assert_eq!(file.read_at_most(100).await.unwrap(), "another program's");
}

/// Processes that campaign, lead for a while, and give up or die, by one store that fails.
struct Contenders {
    storage: ClusterStorage,
    bucket: UnsureBucket,
    /// The epoch of whoever leads.
    leading: Mutex<Option<u64>>,
    /// Those of all who led, in their order.
    led: Mutex<Vec<u64>>,
}

impl Contenders {
    async fn contend(&self, mut random: StdRng) {
        loop {
            let mut candidate =
                candidate_with(&self.storage, MachineClock::new(random.random_range(-1_000_000_000..1_000_000_000), 0));
            let mut leadership = campaign(&mut candidate).await;
            let epoch = leadership.session().epoch();
            assert_eq!(self.leading.lock().replace(epoch), None, "another one leads beside {epoch}");
            self.led.lock().push(epoch);
            let term = Duration::from_millis(random.random_range(1..60_000));
            let is_lost = tokio::time::timeout(term, leadership.until_lost()).await.is_ok();
            *self.leading.lock() = None;
            if !is_lost && random.random_bool(0.5) {
                leadership.resign().await;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20_000))).await;
        }
    }

    async fn fail(&self, mut random: StdRng) {
        const FAULTS: [PutFault; 5] =
            [PutFault::Lost, PutFault::LostAnswer, PutFault::Repeated, PutFault::Late, PutFault::Conflict];
        loop {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..8_000))).await;
            let many = if random.random_bool(0.1) { 40 } else { 3 };
            let faults: Vec<PutFault> = (0..many).map(|_| FAULTS[random.random_range(0..FAULTS.len())]).collect();
            self.bucket.fail_puts(&faults);
            self.bucket.fail_reads(random.random_range(0..4));
            if random.random_bool(0.5) {
                self.bucket.deliver().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_never_lead_at_once_whatever_the_store_loses() {
    for seed in 0..8 {
        let name = format!("contenders-{seed}");
        let bucket = UnsureBucket::mount(&name);
        let storage = storage(&format!("s3://{name}/ha"));
        let contenders = Contenders { storage, bucket, leading: Mutex::default(), led: Mutex::default() };
        let random = |number: u64| StdRng::seed_from_u64(seed * 10 + number);
        let all = join_all((0..3).map(|number| contenders.contend(random(number))));
        tokio::select! {
            _ = all => panic!("they go on for ever"),
            () = contenders.fail(random(9)) => panic!("it goes on for ever"),
            () = tokio::time::sleep(SECOND * 3600) => {}
        }
        let led = contenders.led.lock();
        assert!(led.len() > 20 && led.is_sorted_by(|one, next| one < next), "seed {seed}: {led:?}");
    }
}

/// Of several that follow each other each is told once, where nothing has to be waited for.
async fn succession(storage: &ClusterStorage) {
    for epoch in 1..=3 {
        let leadership = campaign(&mut candidate(storage)).await;
        assert_eq!(leadership.session().epoch(), epoch);
        let (lease, _) = storage.lease().read().await.unwrap().unwrap();
        assert_eq!(lease.leader.unwrap().session, Some(leadership.session()));
        leadership.resign().await;
    }
}

#[tokio::test]
async fn leaders_follow_each_other_in_a_folder_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    succession(&storage(&folder.path().join("not yet there").display().to_string())).await;
}

/// On the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
#[tokio::test]
async fn leaders_follow_each_other_on_a_server() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let Ok(endpoint) = std::env::var("WIESEL_S3_ENDPOINT") else {
        if let Ok(list) = std::env::var("WIESEL_SKIPPED") {
            let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
            writeln!(list, "leaders_follow_each_other_on_a_server: no S3 server").unwrap();
        }
        return;
    };
    let mut config = Configuration::default();
    config.set("s3.access-key", variable("WIESEL_S3_ACCESS_KEY", "wiesel"));
    config.set("s3.secret-key", variable("WIESEL_S3_SECRET_KEY", "wiesel-secret"));
    config.set("s3.endpoint", endpoint);
    let folder = format!("s3://{}/ha-{}", variable("WIESEL_S3_BUCKET", "wiesel"), random::uuid().simple());
    config.set("high-availability.storageDir", folder);
    succession(&ClusterStorage::open(&config).unwrap()).await;
}
