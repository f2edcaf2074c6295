//! Peers, and each one's share of what is limited: a peer that takes all of its share leaves as much to the others.
//!
//! An address is one peer. Those of this machine have no share and no bound: its own clients, and what stands in front of this
//! endpoint, come from there.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wiesel_common::logging::Limit;

/// The address that a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer(Option<IpAddr>);

impl Peer {
    pub(super) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self((!address.is_loopback()).then_some(address))
    }
}

/// The equal shares of peers in something that there is only so much of.
pub(super) struct Shares {
    /// What it is, for the log.
    of_what: &'static str,
    /// Permits of a share.
    most: usize,
    /// The shares that are in use.
    used: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
    warnings: Limit,
}

impl Shares {
    /// Each has so many permits, at least one.
    pub(super) fn new(of_what: &'static str, most: usize) -> Self {
        Self { of_what, most: most.max(1), used: Mutex::default(), warnings: Limit::once_a_minute() }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The share of a peer; none: he may have all.
    pub(super) fn of(&self, peer: Peer) -> Option<Arc<Semaphore>> {
        let address = peer.0?;
        let mut used = self.used.lock();
        if let Some(share) = used.get(&address).and_then(Weak::upgrade) {
            return Some(share);
        }
        // As many are kept as are in use, and what the last ones left.
        used.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.most));
        used.insert(address, Arc::downgrade(&share));
        Some(share)
    }

    /// Says, now and then, that a peer has all that he may have.
    pub(super) fn warn(&self, peer: Peer) {
        if let Some(unsaid) = self.warnings.admit_now() {
            let peer = peer.0.map(tracing::field::display);
            tracing::warn!(peer, unsaid, "a client is refused: it has all {} that one address may have", self.of_what);
        }
    }
}

/// So many permits, if they come in time.
pub(super) async fn permits(of: Arc<Semaphore>, count: u32, until: Instant) -> Option<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    timeout_at(until, of.acquire_many_owned(count)).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another machine.
    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    #[test]
    fn addresses_of_this_machine_have_no_share() {
        for ours in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(Peer::of(ours.parse().unwrap()), Peer::default());
        }
        assert_eq!(Peer::of("::ffff:192.0.2.1".parse().unwrap()), peer(1));
        assert!(Shares::new("places", 1).of(Peer::default()).is_none());
    }

    #[test]
    fn each_has_a_share_as_long_as_it_is_used() {
        let shares = Shares::new("places", 2);
        let first = shares.of(peer(1)).unwrap().try_acquire_many_owned(2).unwrap();
        assert!(shares.of(peer(1)).unwrap().try_acquire_owned().is_err());
        let second = shares.of(peer(2)).unwrap().try_acquire_owned().unwrap();
        drop(first);
        assert!(shares.of(peer(1)).unwrap().try_acquire_owned().is_ok());
        drop(second);
        drop(shares.of(peer(3)));
        assert_eq!(shares.used.lock().len(), 1, "the others have gone");
    }
}
