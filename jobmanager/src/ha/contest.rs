//! When a candidate takes the lease of a leader: decided from what it saw of it, and when by its own clock.
use std::time::Duration;

use wiesel_common::config::saturating_millis;
use wiesel_common::filesystem::Tag;
use wiesel_common::leader::lease::Lease;

/// What a candidate knows.
pub(super) struct Contest {
    holder: String,
    duration: Duration,
    seen: Option<Seen>,
}

struct Seen {
    found: Option<(Lease, Tag)>,
    /// Since when it was seen unchanged, in milliseconds of a clock that only runs.
    since: i64,
}

/// What it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It takes the lease in the place of this one.
    Claim {
        /// The one that it replaces; none if there is none.
        expected: Option<Tag>,
        /// Its epoch.
        epoch: u64,
    },
    /// It looks again, at the latest after so long.
    Wait(Duration),
    /// There is no larger epoch.
    Exhausted,
}

impl Contest {
    /// Of a candidate that holds leases under this name and lets others hold theirs for so long, at least.
    pub(super) fn new(holder: String, duration: Duration) -> Self {
        Self { holder, duration, seen: None }
    }

    /// Takes note of the lease as it was read by this time. Each content of it is another one: the same tag says that nothing was
    /// written in between, however long nobody looked.
    pub(super) fn observe(&mut self, found: Option<(Lease, Tag)>, now: i64) {
        let tag = |found: &Option<(Lease, Tag)>| found.as_ref().map(|(_, tag)| tag.clone());
        match &self.seen {
            Some(seen) if tag(&seen.found) == tag(&found) => {}
            _ => self.seen = Some(Seen { found, since: now }),
        }
    }

    pub(super) fn decide(&self, now: i64) -> Step {
        let Some(seen) = &self.seen else { return Step::Wait(Duration::ZERO) };
        let Some((lease, tag)) = &seen.found else { return Step::Claim { expected: None, epoch: 1 } };
        let left = self.left(lease, now.saturating_sub(seen.since));
        if !left.is_zero() {
            return Step::Wait(left);
        }
        match lease.epoch.checked_add(1) {
            Some(epoch) => Step::Claim { expected: Some(tag.clone()), epoch },
            None => Step::Exhausted,
        }
    }

    /// How long a lease still counts that has stood unchanged for so many milliseconds. One that was given up does not, nor one of
    /// this candidate: it asked for it and had no answer.
    fn left(&self, lease: &Lease, stood: i64) -> Duration {
        if lease.leader.is_none() || lease.holder == self.holder {
            return Duration::ZERO;
        }
        let counts = saturating_millis(lease.duration.max(self.duration));
        Duration::from_millis(counts.saturating_sub(stood).max(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::config::Configuration;
    use wiesel_common::filesystem::Location;
    use wiesel_common::leader::LeaderInformation;

    use super::*;

    fn lease(holder: &str, epoch: u64) -> Lease {
        let leader =
            LeaderInformation { session: None, rpc_address: "jm:6123".to_owned(), rest_address: "jm:8081".to_owned() };
        let duration = Duration::from_secs(15);
        Lease { epoch, holder: holder.to_owned(), renewals: 0, duration, leader: Some(leader) }
    }

    /// Two contents of a file.
    async fn tags() -> [Tag; 2] {
        let folder = tempfile::tempdir().unwrap();
        let uri = folder.path().join("f").display().to_string();
        let file = Location::resolve(&uri, &Configuration::default()).unwrap();
        let first = file.swap(None, "1".into()).await.unwrap();
        let second = file.swap(Some(&first), "2".into()).await.unwrap();
        [first, second]
    }

    fn wait(seconds: u64) -> Step {
        Step::Wait(Duration::from_secs(seconds))
    }

    fn claim(tag: &Tag, epoch: u64) -> Step {
        Step::Claim { expected: Some(tag.clone()), epoch }
    }

    #[tokio::test]
    async fn a_lease_ends_when_it_has_stood_unchanged_by_the_clock_of_who_looks() {
        let [first, second] = tags().await;
        let mut contest = Contest::new("me".to_owned(), Duration::from_secs(15));
        // Whatever time this clock has: nothing of the holder's is compared with it.
        let begin = -7_200_000;
        contest.observe(Some((lease("other", 4), first.clone())), begin);
        assert_eq!(contest.decide(begin), wait(15));
        contest.observe(Some((lease("other", 4), first.clone())), begin + 14_000);
        assert_eq!(contest.decide(begin + 14_000), wait(1));
        // Renewed: it counts from when that was seen.
        contest.observe(Some((lease("other", 4), second.clone())), begin + 14_500);
        assert_eq!(contest.decide(begin + 15_000), Step::Wait(Duration::from_millis(14_500)));
        // Nobody looked meanwhile, and it is still the same.
        contest.observe(Some((lease("other", 4), second.clone())), begin + 100_000);
        assert_eq!(contest.decide(begin + 100_000), claim(&second, 5));
    }

    #[tokio::test]
    async fn the_longer_duration_counts() {
        let [first, _] = tags().await;
        for (mine, theirs, expected) in [(15, 40, 40), (40, 15, 40)] {
            let mut contest = Contest::new("me".to_owned(), Duration::from_secs(mine));
            let theirs = Lease { duration: Duration::from_secs(theirs), ..lease("other", 1) };
            contest.observe(Some((theirs, first.clone())), 0);
            assert_eq!(contest.decide(0), wait(expected));
        }
    }

    #[tokio::test]
    async fn what_nobody_counts_on_is_claimed_at_once() {
        let [first, _] = tags().await;
        let mut contest = Contest::new("me".to_owned(), Duration::from_secs(15));
        assert_eq!(contest.decide(0), wait(0));
        contest.observe(None, 0);
        assert_eq!(contest.decide(0), Step::Claim { expected: None, epoch: 1 });
        for (lease, expected) in [
            (Lease { leader: None, ..lease("other", 6) }, claim(&first, 7)),
            (lease("me", 6), claim(&first, 7)),
            (Lease { leader: None, ..lease("other", u64::MAX) }, Step::Exhausted),
        ] {
            let mut contest = Contest::new("me".to_owned(), Duration::from_secs(15));
            contest.observe(Some((lease, first.clone())), 0);
            assert_eq!(contest.decide(0), expected);
        }
    }
}
