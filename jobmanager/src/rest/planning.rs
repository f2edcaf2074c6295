//! Threads on which uploaded scripts are parsed and planned. They are made for that alone and few at once, so that scripts take
//! from running jobs neither the threads on which these do blocking work, nor the memory: planning one script may need much of it.
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, oneshot};
use wiesel_sql::spawn_on_deep_stack;

use super::error::RestError;

/// The most scripts that are planned at once.
const AT_ONCE: usize = 2;
/// The most requests that wait until one of them is done; others are refused.
const WAITING: usize = 32;
/// How long one waits, before it is refused too.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone)]
pub(crate) struct Planning {
    /// One permit for each script that is planned or waits for it.
    seats: Arc<Semaphore>,
    /// One for each that is planned.
    threads: Arc<Semaphore>,
}

impl Default for Planning {
    fn default() -> Self {
        Self { seats: Arc::new(Semaphore::new(AT_ONCE + WAITING)), threads: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Planning {
    /// Does work with SQL once there is a thread for it. What has begun keeps its thread to its end, also if whoever asked has
    /// gone.
    ///
    /// # Errors
    /// Those of the work; or too many scripts are being planned.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RestError> + Send + 'static,
    ) -> Result<T, RestError> {
        let Ok(_seat) = Arc::clone(&self.seats).try_acquire_owned() else { return Err(busy()) };
        let waiting = tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.threads).acquire_owned());
        let Ok(Ok(thread)) = waiting.await else { return Err(busy()) };
        let (reply, answer) = oneshot::channel();
        let started = spawn_on_deep_stack(move || {
            let outcome = work();
            drop(thread);
            let _ = reply.send(outcome);
        });
        started.map_err(|error| {
            RestError::internal(format!("java.lang.OutOfMemoryError: unable to plan the script: {error}"))
        })?;
        let abnormal = |_| Err(RestError::internal("java.lang.RuntimeException: planning the script ended abnormally"));
        answer.await.unwrap_or_else(abnormal)
    }
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
    use std::sync::mpsc;

    use super::*;

    /// Before, 16 scripts that took long to plan took all blocking threads, and no job read files or took checkpoints any more.
    #[tokio::test]
    async fn few_are_planned_at_once_some_wait_and_the_rest_is_refused() {
        let planning = Planning::default();
        let (begun, beginnings) = mpsc::channel();
        let (mut gates, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..AT_ONCE + WAITING {
            let (gate, closed) = mpsc::channel::<()>();
            gates.push(gate);
            let (planning, begun) = (planning.clone(), begun.clone());
            tasks.push(tokio::spawn(async move {
                planning
                    .run(move || {
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
        let refused = format!("{:?}", planning.run(|| Ok(())).await.unwrap_err());
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
        assert!(planning.run(|| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_panics_gives_its_thread_back() {
        let planning = Planning::default();
        for _ in 0..AT_ONCE + 1 {
            let outcome = planning.run(|| -> Result<(), RestError> { panic!("a fault of the planner") }).await;
            assert!(format!("{:?}", outcome.unwrap_err()).contains("abnormally"));
        }
    }
}
