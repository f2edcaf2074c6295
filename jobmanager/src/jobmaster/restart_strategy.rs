//! Flink's restart strategies: whether a failed job runs again, and when.
use std::collections::VecDeque;
use std::time::Duration;

use wiesel_common::config::saturating_millis;

/// What the configuration asks for (`restart-strategy.type`).
#[derive(Clone, Debug, PartialEq)]
pub enum RestartStrategyOptions {
    /// `none`, `off`, `disable`: a failure is final. The default without checkpointing.
    None,
    /// `fixed-delay`: so many restarts, so far apart.
    FixedDelay {
        /// Restarts before the job fails.
        attempts: u32,
        /// Wait before each.
        delay: Duration,
    },
    /// `failure-rate`: restarts as long as failures are rare enough.
    FailureRate {
        /// Failures allowed in an interval.
        max_failures: u32,
        /// The interval.
        interval: Duration,
        /// Wait before each restart.
        delay: Duration,
    },
    /// `exponential-delay`: waits longer after each failure, shorter again after a quiet time.
    ExponentialDelay {
        /// First wait.
        initial: Duration,
        /// Longest wait.
        max: Duration,
        /// Growth of the wait.
        multiplier: f64,
        /// Quiet time after which the wait is the first one again.
        reset_threshold: Duration,
        /// Random share of the wait, to either side.
        jitter: f64,
        /// Restarts before the job fails.
        attempts: u32,
    },
}

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Run the job again after this wait.
    RestartAfter(Duration),
    /// Give up; the text is Flink's description of the strategy that said so.
    Suppress(String),
}

/// A strategy with the failures it has seen.
#[derive(Clone, Debug)]
pub struct RestartStrategy {
    options: RestartStrategyOptions,
    restarts: u32,
    failures: VecDeque<i64>,
    backoff: Duration,
    last_failure: Option<i64>,
}

impl RestartStrategy {
    /// A strategy that has seen nothing yet.
    pub fn new(options: RestartStrategyOptions) -> Self {
        let backoff = match &options {
            RestartStrategyOptions::ExponentialDelay { initial, .. } => *initial,
            _ => Duration::ZERO,
        };
        Self { options, restarts: 0, failures: VecDeque::new(), backoff, last_failure: None }
    }

    /// Decides about a failure at `now` (milliseconds of a monotonic clock); `random` is in 0..1 and decides the jitter.
    pub fn on_failure(&mut self, now: i64, random: f64) -> Decision {
        let suppress = Decision::Suppress(self.to_string());
        match &self.options {
            RestartStrategyOptions::None => suppress,
            RestartStrategyOptions::FixedDelay { attempts, delay } => {
                if self.restarts >= *attempts {
                    return suppress;
                }
                self.restarts += 1;
                Decision::RestartAfter(*delay)
            }
            RestartStrategyOptions::FailureRate { max_failures, interval, delay } => {
                self.failures.push_back(now);
                while self.failures.front().is_some_and(|first| now - first > saturating_millis(*interval)) {
                    self.failures.pop_front();
                }
                if self.failures.len() > *max_failures as usize {
                    return suppress;
                }
                Decision::RestartAfter(*delay)
            }
            RestartStrategyOptions::ExponentialDelay {
                initial,
                max,
                multiplier,
                reset_threshold,
                jitter,
                attempts,
            } => {
                let quiet_time = saturating_millis(reset_threshold.saturating_add(self.backoff));
                let quiet = self.last_failure.is_some_and(|last| now - last > quiet_time);
                if quiet {
                    self.restarts = 0;
                }
                self.last_failure = Some(now);
                if self.restarts >= *attempts {
                    return suppress;
                }
                self.backoff =
                    if self.restarts == 0 { *initial } else { times(self.backoff, multiplier.max(1.0)).min(*max) };
                self.restarts += 1;
                let factor = 1.0 + jitter * (2.0 * random - 1.0);
                Decision::RestartAfter(times(self.backoff, factor.max(0.0)).min(*max).max(*initial))
            }
        }
    }
}

/// At most the longest duration.
fn times(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// As Flink prints its strategies in `Recovery is suppressed by ...`.
impl std::fmt::Display for RestartStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.options {
            RestartStrategyOptions::None => f.write_str("NoRestartBackoffTimeStrategy"),
            RestartStrategyOptions::FixedDelay { attempts, delay } => write!(
                f,
                "FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts={attempts}, backoffTimeMS={})",
                delay.as_millis()
            ),
            RestartStrategyOptions::FailureRate { max_failures, interval, delay } => write!(
                f,
                "FailureRateRestartBackoffTimeStrategy(FailureRateRestartBackoffTimeStrategy(failuresIntervalMS={},\
                 backoffTimeMS={},maxFailuresPerInterval={max_failures})",
                interval.as_millis(),
                delay.as_millis()
            ),
            RestartStrategyOptions::ExponentialDelay {
                initial,
                max,
                multiplier,
                reset_threshold,
                jitter,
                attempts,
            } => write!(
                f,
                "ExponentialDelayRestartBackoffTimeStrategy(initialBackoffMS={}, maxBackoffMS={}, \
                 backoffMultiplier={multiplier:?}, resetBackoffThresholdMS={}, jitterFactor={jitter:?}, \
                 currentBackoffMS={}, attemptsBeforeResetBackoff={attempts})",
                initial.as_millis(),
                max.as_millis(),
                reset_threshold.as_millis(),
                self.backoff.as_millis()
            ),
        }
    }
}

impl RestartStrategyOptions {
    /// As the configuration page of a job shows it.
    pub fn summary(&self) -> String {
        match self {
            Self::None => "Restart deactivated.".into(),
            Self::FixedDelay { attempts, delay } => {
                format!("Restart with fixed delay (PT{}S). #{attempts} restart attempts.", delay.as_secs_f64())
            }
            Self::FailureRate { max_failures, interval, delay } => format!(
                "Failure rate restart with maximum of {max_failures} failures within interval PT{}S and fixed delay PT{}S.",
                interval.as_secs_f64(),
                delay.as_secs_f64()
            ),
            Self::ExponentialDelay { initial, max, multiplier, reset_threshold, jitter, .. } => format!(
                "Restart with exponential delay: starting at PT{}S, increasing by {multiplier:?}, with maximum PT{}S. \
                 Delay resets after PT{}S with jitter {jitter:?}",
                initial.as_secs_f64(),
                max.as_secs_f64(),
                reset_threshold.as_secs_f64()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(options: RestartStrategyOptions, failures: &[i64]) -> Vec<Option<u128>> {
        let mut strategy = RestartStrategy::new(options);
        failures
            .iter()
            .map(|&now| match strategy.on_failure(now, 0.5) {
                Decision::RestartAfter(delay) => Some(delay.as_millis()),
                Decision::Suppress(_) => None,
            })
            .collect()
    }

    #[test]
    fn none_never_restarts() {
        assert_eq!(delays(RestartStrategyOptions::None, &[0]), [None]);
    }

    #[test]
    fn fixed_delay_gives_up_after_its_attempts() {
        let options = RestartStrategyOptions::FixedDelay { attempts: 2, delay: Duration::from_secs(1) };
        assert_eq!(delays(options, &[0, 5, 10, 15]), [Some(1000), Some(1000), None, None]);
    }

    #[test]
    fn failure_rate_forgets_old_failures() {
        let options = RestartStrategyOptions::FailureRate {
            max_failures: 2,
            interval: Duration::from_secs(60),
            delay: Duration::from_millis(10),
        };
        assert_eq!(
            delays(options, &[0, 1_000, 100_000, 100_001, 100_002]),
            [Some(10), Some(10), Some(10), Some(10), None]
        );
    }

    #[test]
    fn exponential_delay_grows_to_its_limit_and_resets() {
        let options = RestartStrategyOptions::ExponentialDelay {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(3),
            multiplier: 2.0,
            reset_threshold: Duration::from_secs(100),
            jitter: 0.1,
            attempts: u32::MAX,
        };
        assert_eq!(
            delays(options, &[0, 2_000, 6_000, 10_000, 900_000]),
            [Some(1000), Some(2000), Some(3000), Some(3000), Some(1000)]
        );
    }

    /// Before, the product, and the sum with the quiet time, overflowed.
    #[test]
    fn delays_that_never_end_are_added_and_multiplied() {
        let never = Duration::from_secs(i64::MAX as u64);
        let options = RestartStrategyOptions::ExponentialDelay {
            initial: never,
            max: never,
            multiplier: f64::MAX,
            reset_threshold: Duration::MAX,
            jitter: 1.0,
            attempts: u32::MAX,
        };
        assert_eq!(delays(options, &[0, 1, i64::MAX]), [Some(never.as_millis()); 3]);
        let options = RestartStrategyOptions::FailureRate { max_failures: 1, interval: never, delay: never };
        assert_eq!(delays(options, &[0, i64::MAX]), [Some(never.as_millis()), None]);
    }

    #[test]
    fn exponential_delay_jitters_to_both_sides() {
        let options = RestartStrategyOptions::ExponentialDelay {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier: 2.0,
            reset_threshold: Duration::from_secs(3600),
            jitter: 0.1,
            attempts: 2,
        };
        let mut low = RestartStrategy::new(options.clone());
        let mut high = RestartStrategy::new(options);
        low.on_failure(0, 0.5);
        high.on_failure(0, 0.5);
        assert_eq!(low.on_failure(1, 0.0), Decision::RestartAfter(Duration::from_millis(1800)));
        assert_eq!(high.on_failure(1, 1.0), Decision::RestartAfter(Duration::from_millis(2200)));
        assert!(matches!(low.on_failure(2, 0.0), Decision::Suppress(_)));
    }
}
