//! Threads on which uploaded scripts are parsed and planned. They are made for that alone and few at once, so that scripts take
//! from running jobs neither the threads on which these do blocking work, nor the memory: planning one script may need much of it.
//! One peer has at most half of the threads and of the places of waiting requests.
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wiesel_common::time::Clock;
use wiesel_sql::{spawn_on_deep_stack, while_wanted};

use super::error::RestError;
use super::peers::{Peer, Shares, permits};

/// The most scripts that are planned at once.
const AT_ONCE: usize = 2;
/// The most requests that wait until one of them is done; others are refused.
const WAITING: usize = 32;
/// How long one waits, before it is refused too.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A script is not planned on after so long, in milliseconds.
const LONGEST_PLANNING: i64 = 60_000;

/// See the module.
#[derive(Clone)]
pub(crate) struct Planning {
    /// One permit for each script that is planned or waits for it.
    seats: Arc<Semaphore>,
    /// One for each that is planned.
    threads: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    shares: Arc<PeerShares>,
}

/// What of them one peer may have.
struct PeerShares {
    seats: Shares,
    threads: Shares,
}

impl Planning {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let shares = PeerShares {
            seats: Shares::new("places for scripts to plan", (AT_ONCE + WAITING) / 2),
            threads: Shares::new("threads for scripts to plan", AT_ONCE / 2),
        };
        Self {
            seats: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            threads: Arc::new(Semaphore::new(AT_ONCE)),
            clock,
            shares: Arc::new(shares),
        }
    }

    /// Does work with SQL for a peer, once there is a thread for it. What has begun ends early, with what parser, analyser and
    /// planner say of that, once the client has gone (this is dropped then) or it has taken too long.
    ///
    /// # Errors
    /// Those of the work; or too many scripts are being planned.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        peer: Peer,
        work: impl FnOnce() -> Result<T, RestError> + Send + 'static,
    ) -> Result<T, RestError> {
        let until = Instant::now() + LONGEST_WAIT;
        let Ok(_own_seat) = self.shares.seats.of(peer).map(Semaphore::try_acquire_owned).transpose() else {
            self.shares.seats.warn(peer);
            return Err(too_many(self.shares.seats.most()));
        };
        let Ok(_seat) = Arc::clone(&self.seats).try_acquire_owned() else { return Err(busy()) };
        let threads = self.threads_for(peer, until).await.ok_or_else(busy)?;
        let (reply, answer) = oneshot::channel();
        let gone = CancellationToken::new();
        let _asking = gone.clone().drop_guard();
        let clock = Arc::clone(&self.clock);
        let started = spawn_on_deep_stack(move || {
            let begun = clock.monotonic_millis();
            let wanted = move || {
                if gone.is_cancelled() {
                    return Err("The client does not wait for the answer any more.".to_owned());
                }
                if clock.monotonic_millis().saturating_sub(begun) > LONGEST_PLANNING {
                    let seconds = LONGEST_PLANNING / 1000;
                    return Err(format!("Planning took more than {seconds} seconds. Split the script."));
                }
                Ok(())
            };
            let outcome = while_wanted(wanted, work);
            drop(threads);
            let _ = reply.send(outcome);
        });
        started.map_err(|error| {
            RestError::internal(format!("java.lang.OutOfMemoryError: unable to plan the script: {error}"))
        })?;
        let abnormal = |_| Err(RestError::internal("java.lang.RuntimeException: planning the script ended abnormally"));
        answer.await.unwrap_or_else(abnormal)
    }

    /// A thread, of the peer's own and of all, for as long as what is returned lives. A peer waits for its own first: the
    /// requests that wait for the others are of different peers.
    async fn threads_for(&self, peer: Peer, until: Instant) -> Option<Vec<OwnedSemaphorePermit>> {
        let own = self.shares.threads.of(peer);
        let mut threads = Vec::with_capacity(2);
        for semaphore in own.into_iter().chain([Arc::clone(&self.threads)]) {
            threads.push(permits(semaphore, 1, until).await?);
        }
        Some(threads)
    }
}

fn too_many(most: usize) -> RestError {
    RestError::handler(
        StatusCode::TOO_MANY_REQUESTS,
        format!("Of this address {most} scripts are planned or wait for it, as many as one may have. Try again later."),
    )
}

fn busy() -> RestError {
    RestError::handler(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "Too many scripts are being planned: {AT_ONCE} at once, and {WAITING} may wait, each for {} seconds. Try again later.",
            LONGEST_WAIT.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::mpsc;

    use wiesel_common::time::SystemClock;
    use wiesel_sql::still_wanted;

    use super::*;

    fn planning() -> Planning {
        Planning::new(Arc::new(SystemClock))
    }

    /// Work that has no end of its own.
    fn endless() -> Result<(), RestError> {
        loop {
            still_wanted().map_err(|error| RestError::bad_request(error.to_string()))?;
            std::thread::yield_now();
        }
    }

    /// Before, two requests whose clients hung up kept everybody from having scripts planned for as long as theirs took.
    #[tokio::test]
    async fn planning_whose_client_is_gone_gives_its_thread_back() {
        let planning = planning();
        for _ in 0..AT_ONCE {
            let (begun, beginning) = oneshot::channel();
            let request = planning.run(Peer::default(), move || {
                let _ = begun.send(());
                endless()
            });
            tokio::select! {
                _ = request => panic!("it has no end"),
                begun = beginning => begun.unwrap(),
            }
        }
        assert!(planning.run(Peer::default(), || Ok(())).await.is_ok());
    }

    /// Ten seconds pass between two looks at it.
    struct Hurried(AtomicI64);

    impl Clock for Hurried {
        fn now_millis(&self) -> i64 {
            self.monotonic_millis()
        }

        fn monotonic_millis(&self) -> i64 {
            self.0.fetch_add(10_000, Ordering::Relaxed)
        }
    }

    /// Before, the time was looked at between statements only.
    #[tokio::test]
    async fn what_takes_too_long_ends() {
        let planning = Planning::new(Arc::new(Hurried(AtomicI64::new(0))));
        let refused = format!("{:?}", planning.run(Peer::default(), endless).await.unwrap_err());
        assert!(refused.contains("Planning took more than 60 seconds"), "{refused}");
    }

    /// Before, 16 scripts that took long to plan took all blocking threads, and no job read files or took checkpoints any more.
    #[tokio::test]
    async fn few_are_planned_at_once_some_wait_and_the_rest_is_refused() {
        let planning = planning();
        let (begun, beginnings) = mpsc::channel();
        let (mut gates, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..AT_ONCE + WAITING {
            let (gate, closed) = mpsc::channel::<()>();
            gates.push(gate);
            let (planning, begun) = (planning.clone(), begun.clone());
            tasks.push(tokio::spawn(async move {
                planning
                    .run(Peer::default(), move || {
                        begun.send(()).unwrap();
                        // Until the gate is dropped.
                        let _ = closed.recv();
                        Ok(())
                    })
                    .await
                    .is_ok()
            }));
        }
        while planning.seats.available_permits() > 0 || planning.threads.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = format!("{:?}", planning.run(Peer::default(), || Ok(())).await.unwrap_err());
        assert!(refused.contains("503") && refused.contains("Too many scripts are being planned"), "{refused}");
        // Blocking threads are as free as ever.
        assert_eq!(tokio::task::spawn_blocking(|| 1).await.unwrap(), 1);
        for _ in 0..AT_ONCE {
            beginnings.recv().unwrap();
        }
        assert!(beginnings.try_recv().is_err(), "no more than {AT_ONCE} are planned at once");
        drop(gates);
        for task in tasks {
            assert!(task.await.unwrap());
        }
        assert!(planning.run(Peer::default(), || Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_panics_gives_its_thread_back() {
        let planning = planning();
        for _ in 0..AT_ONCE + 1 {
            let panics = || -> Result<(), RestError> { panic!("a fault of the planner") };
            let outcome = planning.run(Peer::default(), panics).await;
            assert!(format!("{:?}", outcome.unwrap_err()).contains("abnormally"));
        }
    }

    /// Before, one address could take all threads and all places, and kept everybody else from running scripts.
    #[tokio::test]
    async fn one_peer_leaves_room_for_others() {
        let planning = planning();
        let peer = |last: u8| Peer::of([192, 0, 2, last].into());
        let (gate, closed) = mpsc::channel::<()>();
        let closed = Arc::new(parking_lot::Mutex::new(closed));
        let mut greedy = Vec::new();
        for _ in 0..(AT_ONCE + WAITING) / 2 {
            let (planning, closed) = (planning.clone(), Arc::clone(&closed));
            greedy.push(tokio::spawn(async move {
                planning
                    .run(peer(1), move || {
                        // Until the gate is dropped.
                        let _ = closed.lock().recv();
                        Ok(())
                    })
                    .await
                    .is_ok()
            }));
        }
        while planning.seats.available_permits() > (AT_ONCE + WAITING) / 2 || planning.threads.available_permits() > 1 {
            tokio::task::yield_now().await;
        }
        let refused = format!("{:?}", planning.run(peer(1), || Ok(())).await.unwrap_err());
        assert!(refused.contains("429") && refused.contains("Of this address 17 scripts"), "{refused}");
        for other in [peer(2), peer(3), Peer::default()] {
            assert!(planning.run(other, || Ok(())).await.is_ok());
        }
        drop(gate);
        for task in greedy {
            assert!(task.await.unwrap());
        }
    }
}
