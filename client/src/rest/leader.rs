//! The JobManager that leads, of a cluster in which there may be several: its lease says where its REST port is, as it does to
//! TaskManagers.
//!
//! A lease stays as it is for a while after its holder has gone. So a call that nobody has taken is made again, to whoever leads by
//! then, until `rest.await-leader-timeout` is over. One that may have been taken is made again only if it changes nothing.
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Request, StatusCode, Url};
use tokio::time::{Instant, sleep, timeout_at};
use wiesel_common::config::options::high_availability::{self, HighAvailabilityMode};
use wiesel_common::config::{Configuration, FOR_EVER, options};
use wiesel_common::filesystem;
use wiesel_common::leader::lease::{LeaseFile, LeaseTimes};
use wiesel_common::leader::{ClusterStorage, is_said_by_standby, unsupported};

use super::limits::{Limits, Missing};
use super::{Answer, exchange};

/// What stands in a request for the address of the leader, before that is known.
pub(super) const ANYBODY: &str = "http://leader.invalid";

/// The leader, as far as it is known.
pub(super) struct Leader {
    file: LeaseFile,
    pause: Duration,
    patience: Duration,
    /// `http://host:port`.
    known: Mutex<Option<String>>,
}

impl Leader {
    /// None: there is no election.
    pub fn configured(configuration: &Configuration) -> filesystem::Result<Option<Self>> {
        match configuration.get(&high_availability::TYPE)? {
            HighAvailabilityMode::None => Ok(None),
            HighAvailabilityMode::ObjectStore => Ok(Some(Self {
                file: ClusterStorage::open(configuration)?.lease(),
                pause: LeaseTimes::read(configuration)?.retry_period,
                patience: configuration.get(&options::rest::AWAIT_LEADER_TIMEOUT)?.min(FOR_EVER),
                known: Mutex::default(),
            })),
            HighAvailabilityMode::ZooKeeper | HighAvailabilityMode::Kubernetes => Err(unsupported().into()),
        }
    }

    /// `http://host:port`; none: it was not found yet.
    pub fn known(&self) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it says that it leads.
    pub fn place(&self) -> &str {
        self.file.uri()
    }

    /// Looks who leads now, at the most until then. An error: why that is not known.
    async fn look(&self, until: Instant) -> Result<(), String> {
        let read = timeout_at(until, self.file.read()).await;
        let found = read.map_err(|_| "reading it took too long".to_owned())?.map_err(|error| error.to_string())?;
        let leader = found.and_then(|(lease, _)| lease.leader);
        let address = leader.map(|leader| format!("http://{}", leader.rest_address));
        let found = address.is_some();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = address;
        if found { Ok(()) } else { Err("no JobManager leads".to_owned()) }
    }

    /// Sends a request to whoever leads. `repeats`: it may be sent again though it may have been taken.
    pub async fn send(
        &self,
        http: &reqwest::Client,
        request: Request,
        limits: Limits,
        repeats: bool,
    ) -> Result<Answer, Missing> {
        let deadline = Instant::now() + self.patience;
        loop {
            let outcome = match self.directed(&request, deadline).await {
                Ok(attempt) => exchange(http.execute(attempt), limits).await,
                Err(missing) => Err(missing),
            };
            let is_over = match &outcome {
                Err(Missing::Unreachable(_)) => false,
                Err(Missing::Broken(_)) => !repeats,
                Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => !is_said_by_standby(body),
                _ => true,
            };
            if is_over || Instant::now() + self.pause >= deadline {
                return outcome.map_err(|missing| self.explained(missing));
            }
            sleep(self.pause).await;
            // What is known may be of one that has gone.
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The request, to the leader.
    async fn directed(&self, request: &Request, deadline: Instant) -> Result<Request, Missing> {
        if self.known().is_none() {
            self.look(deadline).await.map_err(Missing::Unreachable)?;
        }
        let unusable = || Missing::Unreachable("its address is none".to_owned());
        let leader = self.known().ok_or_else(unusable)?;
        let mut directed = request.try_clone().ok_or_else(unusable)?;
        let (path, query) = (request.url().path(), request.url().query());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        *directed.url_mut() = Url::parse(&format!("{leader}{path}{query}")).map_err(|_| unusable())?;
        Ok(directed)
    }

    fn explained(&self, missing: Missing) -> Missing {
        match missing {
            Missing::Unreachable(reason) => Missing::Unreachable(format!("{reason}; who leads is in {}", self.place())),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use serde_json::Value;
    use wiesel_common::id::LeaderSessionId;
    use wiesel_common::leader::lease::Lease;
    use wiesel_common::leader::{LeaderInformation, STANDS_BY};

    use super::super::{Error, RestClient};
    use super::*;

    /// Answers each connection in turn and says what was asked.
    fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let serve = |answer: String| {
                let (mut connection, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let read = connection.read(&mut request).unwrap();
                connection.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..read]).lines().next().unwrap_or_default().to_owned()
            };
            answers.into_iter().map(serve).collect()
        });
        (address, server)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    fn configuration(folder: &tempfile::TempDir, patience: &str) -> Configuration {
        let storage = format!("file://{}", folder.path().display());
        let pairs = [
            ("high-availability.type", "object-store"),
            ("high-availability.storageDir", storage.as_str()),
            ("high-availability.object-store.leader-election.retry-period", "10 ms"),
            ("rest.await-leader-timeout", patience),
            ("rest.address", "nobody.invalid"),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    async fn leads(configuration: &Configuration, epoch: u64, rest_address: String) {
        let file = ClusterStorage::open(configuration).unwrap().lease();
        let tag = file.read().await.unwrap().map(|(_, tag)| tag);
        let session = Some(LeaderSessionId::of_epoch(epoch));
        let leader = Some(LeaderInformation { session, rpc_address: "jm:1".to_owned(), rest_address });
        let duration = Duration::from_secs(15);
        let lease = Lease { epoch, holder: format!("jm{epoch}"), renewals: 0, duration, leader };
        file.write(tag.as_ref(), &lease).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_nobody_has_taken_is_made_to_the_next_leader() {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&folder, "60 s");
        let client = RestClient::from_configuration(&configuration).unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        leads(&configuration, 1, gone.to_string()).await;
        let standby = answer("503 Service Unavailable", &format!("{{\"errors\":[\"{STANDS_BY} x\"]}}"));
        // The second breaks off: what changes nothing is asked again.
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned();
        let (address, server) = serve(vec![standby, cut, answer("200 OK", "{\"jobs\":[]}")]);
        let (called, ()) = tokio::join!(client.get::<Value>("/v1/jobs?a=b"), async {
            sleep(Duration::from_millis(50)).await;
            leads(&configuration, 2, address.clone()).await;
        });
        assert_eq!(called.unwrap()["jobs"], Value::Array(Vec::new()));
        assert_eq!(server.join().unwrap(), ["GET /v1/jobs?a=b HTTP/1.1"; 3]);
        assert_eq!(client.address(), format!("http://{address}"));
    }

    #[tokio::test]
    async fn a_call_that_may_have_been_taken_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&folder, "60 s");
        let client = RestClient::from_configuration(&configuration).unwrap();
        let busy = answer("503 Service Unavailable", "{\"errors\":[\"busy\"]}");
        let (address, server) = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(), busy]);
        leads(&configuration, 1, address).await;
        let job = wiesel_common::id::JobId([7; 16]);
        assert!(matches!(client.cancel(job).await, Err(Error::Open { .. })));
        assert!(matches!(client.cancel(job).await, Err(Error::Refused { status: 503, .. })));
        assert_eq!(server.join().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn nobody_is_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&folder, "50 ms");
        let client = RestClient::from_configuration(&configuration).unwrap();
        let said = client.get::<Value>("/v1/jobs").await.unwrap_err().to_string();
        assert!(said.contains("no JobManager leads") && said.contains("default/leader"), "{said}");
    }
}
