//! Jobs that end with their client: the JobManager cancels them if it hears nothing of it for a while.
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::AbortHandle;
use wiesel_common::config::options::client;
use wiesel_common::config::{ConfigError, Configuration, FOR_EVER, format_duration, saturating_millis};
use wiesel_common::id::JobId;
use wiesel_common::time::{Clock as _, SystemClock};

use crate::rest::{Error, RestClient};
use crate::termination::beside;

/// How a client says that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    interval: Duration,
    timeout: Duration,
}

impl Lease {
    /// The lease of a query: it has one unless the user wants it otherwise. The job's configuration says the same then.
    pub fn of_query(
        configuration: &Configuration,
        job: &mut BTreeMap<String, String>,
    ) -> Result<Option<Self>, ConfigError> {
        for key in [client::ATTACHED.key(), client::SHUTDOWN_ON_ATTACHED_EXIT.key()] {
            job.entry(key.to_owned()).or_insert_with(|| "true".to_owned());
        }
        let lease = Self::of(&configuration.merged(job.clone()))?;
        if let Some(lease) = &lease {
            // The JobManager is to count as this client does, whatever its own configuration says.
            job.insert(client::HEARTBEAT_TIMEOUT.key().to_owned(), format_duration(lease.timeout));
        }
        Ok(lease)
    }

    /// The lease of another job: it has one if the configuration says so and its client waits for it.
    pub fn of_job(configuration: &Configuration, waits: bool) -> Result<Option<Self>, ConfigError> {
        Self::of(&configuration.merged([(client::ATTACHED.key().to_owned(), waits.to_string())]))
    }

    /// What the configuration of such a job says, so that the JobManager counts as its client does, whatever its own
    /// configuration says: a job whose client is silent is tied to no client.
    pub fn terms(lease: Option<&Self>) -> Vec<(&'static str, String)> {
        let mut terms = vec![(client::ATTACHED.key(), lease.is_some().to_string())];
        if let Some(lease) = lease {
            terms.push((client::SHUTDOWN_ON_ATTACHED_EXIT.key(), true.to_string()));
            terms.push((client::HEARTBEAT_TIMEOUT.key(), format_duration(lease.timeout)));
        }
        terms
    }

    /// The lease that a configuration asks for.
    fn of(configuration: &Configuration) -> Result<Option<Self>, ConfigError> {
        let tied = configuration.get(&client::ATTACHED)? && configuration.get(&client::SHUTDOWN_ON_ATTACHED_EXIT)?;
        let interval = configuration.get(&client::HEARTBEAT_INTERVAL)?;
        let timeout = configuration.get(&client::HEARTBEAT_TIMEOUT)?;
        if !tied || timeout.is_zero() {
            return Ok(None);
        }
        if interval.is_zero() || interval >= timeout {
            return Err(ConfigError::Inconsistent(format!(
                "{} ({}) must be greater than zero and less than {} ({})",
                client::HEARTBEAT_INTERVAL.key(),
                format_duration(interval),
                client::HEARTBEAT_TIMEOUT.key(),
                format_duration(timeout)
            )));
        }
        Ok(Some(Self { interval: interval.min(FOR_EVER), timeout: timeout.min(FOR_EVER) }))
    }

    /// Says from now on that the client of a job lives, also while it stands in a write: a user who reads page by page has not
    /// gone away.
    pub fn keep(self, client: &RestClient, job: JobId) -> Heartbeats {
        let client = client.anew();
        let task = beside(async move {
            loop {
                tokio::time::sleep(self.interval).await;
                let expires = SystemClock.now_millis().saturating_add(saturating_millis(self.timeout));
                let said = tokio::time::timeout(self.interval, client.heartbeat(job, expires)).await;
                if let Ok(Err(Error::Refused { status: 404, .. })) = said {
                    return;
                }
                // After another failure the next interval says it again; the fetch of rows or the wait for the job reports it.
            }
        });
        Heartbeats(task)
    }
}

/// Heartbeats go on as long as this is kept.
pub(crate) struct Heartbeats(AbortHandle);

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_query_is_tied_to_its_client_with_flinks_defaults() {
        let mut job = BTreeMap::new();
        let lease = Lease::of_query(&Configuration::default(), &mut job).unwrap().unwrap();
        assert_eq!((lease.interval, lease.timeout), (Duration::from_secs(30), Duration::from_secs(180)));
        let said = |key: &str| job.get(key).map(String::as_str);
        assert_eq!(said("execution.attached"), Some("true"));
        assert_eq!(said("execution.shutdown-on-attached-exit"), Some("true"));
        assert_eq!(said("client.heartbeat.timeout"), Some("3 min"));
    }

    /// Failed before: an upload was tied by the JobManager's configuration, and its client, which knew nothing of it, was silent.
    #[test]
    fn a_job_is_tied_only_to_a_client_that_says_that_it_lives() {
        let plain = Configuration::default();
        let tying = configuration(&[
            ("execution.shutdown-on-attached-exit", "true"),
            ("client.heartbeat.interval", "1 s"),
            ("client.heartbeat.timeout", "20 s"),
        ]);
        for (configuration, waits) in [(&plain, true), (&plain, false), (&tying, false)] {
            let lease = Lease::of_job(configuration, waits).unwrap();
            assert_eq!(lease, None);
            assert_eq!(Lease::terms(lease.as_ref()), [("execution.attached", "false".to_owned())]);
        }
        let lease = Lease::of_job(&tying, true).unwrap();
        let terms = [
            ("execution.attached", "true"),
            ("execution.shutdown-on-attached-exit", "true"),
            ("client.heartbeat.timeout", "20 s"),
        ];
        assert_eq!(Lease::terms(lease.as_ref()), terms.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn a_query_outlives_its_client_only_where_the_configuration_says_so() {
        let wish = ("execution.shutdown-on-attached-exit", "false");
        let mut job = BTreeMap::from([(wish.0.to_owned(), wish.1.to_owned())]);
        assert_eq!(Lease::of_query(&configuration(&[wish]), &mut job).unwrap(), None);
        assert_eq!(job[wish.0], "false");
        assert_eq!(Lease::of(&Configuration::default()).unwrap(), None, "other jobs are not tied");
    }

    #[test]
    fn heartbeats_must_fit_into_their_timeout() {
        let pairs = [("client.heartbeat.interval", "10 s"), ("client.heartbeat.timeout", "10 s")];
        let error = Lease::of_query(&configuration(&pairs), &mut BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("client.heartbeat.interval (10 s)"), "{error}");
    }
}
