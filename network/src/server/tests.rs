use wiesel_common::id::{JobId, LeaderSessionId};

use super::*;
use crate::buffer_pool::{LocalBufferPool, NetworkBufferPool};
use crate::frame::put_control;
use crate::id::PartitionId;

fn key() -> ChannelKey {
    let session = LeaderSessionId([2; 16]);
    ChannelKey {
        partition: PartitionId { job: JobId([1; 16]), session, execution: 0, edge: 0, producer: 0 },
        consumer: 0,
    }
}

/// Asks for the channel over a connection of its own; the connection is only alive as long as what is returned.
fn open(registry: &Registry) -> (Arc<Shared>, VecDeque<(Instant, Arc<View>)>) {
    let shared = Arc::new(Shared::default());
    let mut payload = key().encode().to_vec();
    payload.extend_from_slice(&[0; 12]);
    let length = payload.len() as u32;
    let header = Header { kind: Kind::Open, channel: 0, backlog: 0, sequence: 0, length, checked: true };
    let view = handle(header, &payload, &shared, registry).unwrap().unwrap();
    (shared, VecDeque::from([(Instant::now(), view)]))
}

fn subpartition() -> Arc<Subpartition> {
    let pool = NetworkBufferPool::new(1 << 20, 32 << 10);
    let pool = LocalBufferPool::new(&pool, 1, 1, Arc::default()).unwrap();
    Subpartition::new(key(), pool, 1 << 20, 0, Arc::default())
}

/// What a request that was refused or is over takes back is its own claim. Before, it took back whatever claim stood under its
/// name: the next consumer was neither given the partition nor told that it is not there, and waited for ever.
#[test]
fn a_late_duplicate_leaves_its_successors_claim_alone() {
    let registry = Registry::default();
    let (_first_connection, mut first) = open(&registry);
    let (_second_connection, mut duplicate) = open(&registry);
    assert!(first[0].1.refusal.get().is_none() && duplicate[0].1.refusal.get().is_some());
    let gone = first[0].1.clone();
    expire(&mut first, &registry);
    assert_eq!(gone.refusal.get(), Some(&(FAILURE_NOT_FOUND, String::new())));
    let (_third_connection, successor) = open(&registry);
    assert!(successor[0].1.refusal.get().is_none(), "nobody waits any more");
    expire(&mut duplicate, &registry);
    gone.let_go(&registry);
    registry.offer(subpartition());
    assert!(successor[0].1.subpartition.get().is_some(), "the successor's claim is gone");
}

#[test]
fn a_consumer_that_goes_takes_its_own_claim_back() {
    let registry = Registry::default();
    let (_connection, first) = open(&registry);
    first[0].1.let_go(&registry);
    assert!(registry.is_empty());
    let (_connection, mut waiting) = open(&registry);
    let view = waiting[0].1.clone();
    registry.offer(subpartition());
    expire(&mut waiting, &registry);
    assert!(view.subpartition.get().is_some() && view.refusal.get().is_none());
}

/// Before, a header without what it announces held its connection for ever.
#[tokio::test]
async fn a_frame_that_does_not_come_ends_its_connection() {
    let patience = Patience { first_frame: Duration::from_millis(20), whole_frame: Duration::from_millis(20) };
    let mut whole = Vec::new();
    put_control(&mut whole, Kind::Close, 7, 0, b"abc");
    let header = &whole[..HEADER_LENGTH];
    let begun = [&whole[..], &header[..5]].concat();
    for (sent, reason) in [
        (&header[..0], "no frame came"),
        (&header[..5], "no frame came"),
        (header, UNFINISHED),
        (&begun[..], UNFINISHED),
    ] {
        let (mut peer, stream) = tokio::io::duplex(1024);
        peer.write_all(sent).await.unwrap();
        let (shared, registry) = (Arc::default(), Arc::default());
        let end = read(stream, &shared, &registry, Duration::from_secs(10), patience).await;
        assert!(matches!(&end, End::Protocol(why) if why.contains(reason)), "{end}");
    }
    let (mut peer, stream) = tokio::io::duplex(1024);
    peer.write_all(&whole).await.unwrap();
    let (shared, registry) = (Arc::default(), Arc::default());
    let serving = read(stream, &shared, &registry, Duration::from_secs(10), patience);
    let silent = tokio::time::timeout(Duration::from_millis(100), serving).await;
    assert!(silent.is_err(), "who has sent a frame may be silent");
}
