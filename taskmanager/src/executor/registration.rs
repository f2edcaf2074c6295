//! The way to the ResourceManager: registers, again and again if need be, then exchanges heartbeats until one side is gone.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use wiesel_common::id::LeaderSessionId;
use wiesel_common::leader::{LeaderInformation, another_leads};
use wiesel_common::rpc::{Channel, Connector, describe};
use wiesel_proto as proto;
use wiesel_proto::resource_manager_client::ResourceManagerClient;

use super::SlotStatus;

/// The first and the longest pause while no process listens at the ResourceManager's address.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// A registration that is lost sooner is followed by a pause.
const LASTING: Duration = Duration::from_secs(5);
/// How long taking leave may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// When it is first said that registering takes long, and how often again.
const SAY_AFTER: Duration = Duration::from_secs(5);
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What the actor learns.
pub(crate) enum Event {
    /// This is the ResourceManager now, at this address; what another one gave is void. It numbers registrations: what is said of the
    /// slots from now on belongs to this one.
    Registered { address: String, fence: Bytes, registration: u64 },
    /// It is gone, or counts as gone.
    Lost { reason: String },
    /// No ResourceManager answered for too long.
    GaveUp { reason: String },
}

/// The times of `cluster.registration.*` and `taskmanager.registration.timeout`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) initial_timeout: Duration,
    pub(crate) max_timeout: Duration,
    pub(crate) error_delay: Duration,
    pub(crate) refused_delay: Duration,
    pub(crate) give_up_after: Duration,
}

/// Keeps the TaskManager registered as long as the process lives.
pub(crate) struct Registration {
    /// Who leads.
    pub(crate) leader: watch::Receiver<Option<LeaderInformation>>,
    /// Whom it registers with, or has.
    pub(crate) known: Option<LeaderInformation>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) request: proto::RegisterTaskManagerRequest,
    /// The newest epoch of a JobManager that it has registered with.
    pub(crate) epoch: u64,
    pub(crate) options: Options,
    pub(crate) events: mpsc::Sender<Event>,
    /// What each heartbeat says; a change is sent at once.
    pub(crate) status: watch::Receiver<SlotStatus>,
    pub(crate) metrics: Box<dyn Fn() -> proto::TaskManagerMetrics + Send + Sync>,
}

impl Registration {
    /// Runs until the actor is gone or the ResourceManager cannot be reached for too long.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (mut client, answer) = match self.register().await {
                Ok((client, answer, epoch)) => {
                    self.epoch = epoch;
                    (client, answer)
                }
                Err(reason) => {
                    let _ = self.events.send(Event::GaveUp { reason }).await;
                    return;
                }
            };
            let address = self.address();
            tracing::info!(address, "registered at the ResourceManager");
            let (fence, registration) = (answer.fence.clone(), answer.registration);
            let registered = Event::Registered { address: address.to_owned(), fence, registration };
            if self.events.send(registered).await.is_err() {
                return;
            }
            let since = Instant::now();
            let reason = self.exchange_heartbeats(&mut client, &answer).await;
            tracing::warn!(address = self.address(), reason, "lost the ResourceManager");
            if self.events.send(Event::Lost { reason }).await.is_err() {
                return;
            }
            // Two TaskManagers under one resource id would end each other's registration without a pause.
            if since.elapsed() >= LASTING {
                pause = FIRST_PAUSE;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// "host:port" of the ResourceManager, if it is known.
    fn address(&self) -> &str {
        self.known.as_ref().map_or("", |leader| leader.rpc_address.as_str())
    }

    /// Waits until it is known who leads. False: nobody did by then.
    async fn find_leader(&mut self, deadline: Instant) -> bool {
        match timeout_at(deadline, self.leader.wait_for(Option::is_some)).await {
            Ok(Ok(leader)) => self.known = leader.clone(),
            Ok(Err(_)) | Err(_) => return false,
        }
        true
    }

    /// Waits for so long, or until another JobManager leads.
    async fn pause(&mut self, delay: Duration) {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = another_leads(&mut self.leader, &self.known) => {}
        }
    }

    /// Why no registration came about in time.
    fn gave_up(&self, last: &str) -> String {
        let seconds = self.options.give_up_after.as_secs();
        format!(
            "Could not register at the ResourceManager within the specified maximum registration duration of {seconds} s \
             (taskmanager.registration.timeout). This indicates a problem with this instance. {last}"
        )
    }

    /// Gives the way to the ResourceManager, its answer, and the epoch in which it leads.
    async fn register(
        &mut self,
    ) -> Result<(ResourceManagerClient<Channel>, proto::RegisterTaskManagerResponse, u64), String> {
        let begun = Instant::now();
        let deadline = begun + self.options.give_up_after;
        let mut pause = FIRST_PAUSE;
        let mut patience = self.options.initial_timeout;
        let mut complaints = Complaints::new(begun);
        loop {
            if !self.find_leader(deadline).await {
                return Err(self.gave_up("No JobManager leads, as far as is known."));
            }
            let address = self.address();
            let unusable = |status: Status| format!("the ResourceManager's address '{address}': {}", status.message());
            // A new connection each time: what hangs in an old one does not hold this one up.
            let channel = self.connector.connect(address).map_err(unusable)?;
            let mut client = ResourceManagerClient::new(channel);
            let answer = tokio::select! {
                answer = timeout(patience, client.register_task_manager(self.request.clone())) => answer,
                () = another_leads(&mut self.leader, &self.known) => continue,
            };
            let (reason, delay) = match answer {
                Ok(Ok(answer)) => {
                    let answer = answer.into_inner();
                    let reason = match check_release(&answer).and_then(|()| check_epoch(&answer, self.epoch)) {
                        Ok(epoch) => return Ok((client, answer, epoch)),
                        Err(reason) => reason,
                    };
                    self.take_leave(&answer, &reason).await;
                    (reason, self.options.refused_delay)
                }
                Ok(Err(status)) => match status.code() {
                    Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => {
                        (status.message().to_owned(), self.options.refused_delay)
                    }
                    // The TaskManager that had its id before may be gone in a moment.
                    Code::Unavailable | Code::AlreadyExists => {
                        let delay = pause;
                        pause = (pause * 2).min(LAST_PAUSE);
                        (describe(&status), delay)
                    }
                    _ => (describe(&status), self.options.error_delay),
                },
                Err(_) => {
                    let waited = patience;
                    patience = (patience * 2).min(self.options.max_timeout);
                    (format!("no answer within {} ms", waited.as_millis()), Duration::ZERO)
                }
            };
            if Instant::now() + delay >= deadline {
                return Err(self.gave_up(&format!("The last attempt at {} failed: {reason}", self.address())));
            }
            let now = Instant::now();
            if complaints.are_due(now, delay) {
                let seconds = (now - begun).as_secs();
                let address = self.address();
                tracing::warn!(address, seconds, reason, "could not register at the ResourceManager, trying again");
            }
            self.pause(delay).await;
        }
    }

    /// Gives up a registration that is not used.
    async fn take_leave(&self, registered: &proto::RegisterTaskManagerResponse, reason: &str) {
        let message = proto::DisconnectTaskManagerRequest {
            fence: registered.fence.clone(),
            resource_id: self.request.resource_id.clone(),
            reason: reason.to_owned(),
            registration: registered.registration,
        };
        // Without it the registration ends by itself, because no heartbeat follows.
        if let Err(status) = disconnect(&*self.connector, self.address(), message).await {
            tracing::debug!(%status, "could not take leave of the ResourceManager");
        }
    }

    /// Gives the reason for which the ResourceManager counts as lost.
    async fn exchange_heartbeats(
        &mut self,
        client: &mut ResourceManagerClient<Channel>,
        registered: &proto::RegisterTaskManagerResponse,
    ) -> String {
        let interval = Duration::from_millis(registered.heartbeat_interval.max(1));
        let silence = Duration::from_millis(registered.heartbeat_timeout.max(1));
        let (outgoing, heartbeats) = mpsc::channel(4);
        if outgoing.send(self.heartbeat(registered)).await.is_err() {
            return "the heartbeat stream could not be opened".to_owned();
        }
        let opening = timeout(silence, client.heartbeat(ReceiverStream::new(heartbeats))).await;
        let mut incoming = match opening {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) => return format!("no answer to the first heartbeat within {} ms", silence.as_millis()),
        };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                received = incoming.next() => match received {
                    Some(Ok(_)) => heard = Instant::now(),
                    Some(Err(status)) => return status.message().to_owned(),
                    None => return "the ResourceManager closed the heartbeat stream".to_owned(),
                },
                _ = ticks.tick() => {
                    // Never waits for room: a peer that does not read its heartbeats is found by its silence.
                    let _ = outgoing.try_send(self.heartbeat(registered));
                }
                changed = self.status.changed() => {
                    if changed.is_err() {
                        return "the TaskManager is shutting down".to_owned();
                    }
                    let _ = outgoing.try_send(self.heartbeat(registered));
                }
                () = another_leads(&mut self.leader, &self.known) => return "another JobManager leads".to_owned(),
                () = tokio::time::sleep_until(heard + silence) => {
                    return format!("no heartbeat from the ResourceManager for {} ms", silence.as_millis());
                }
            }
        }
    }

    fn heartbeat(&mut self, registered: &proto::RegisterTaskManagerResponse) -> proto::TaskManagerHeartbeat {
        let SlotStatus { slots, version } = self.status.borrow_and_update().clone();
        proto::TaskManagerHeartbeat {
            fence: registered.fence.clone(),
            resource_id: self.request.resource_id.clone(),
            slots,
            metrics: Some((self.metrics)()),
            slots_version: version,
            registration: registered.registration,
        }
    }
}

/// Refuses a JobManager of another release. Those of today refuse such a TaskManager themselves, earlier ones do not ask.
fn check_release(registered: &proto::RegisterTaskManagerResponse) -> Result<(), String> {
    if registered.release == proto::RELEASE {
        return Ok(());
    }
    let theirs = if registered.release.is_empty() { "an earlier release" } else { registered.release.as_str() };
    Err(format!(
        "the JobManager is of {theirs}, and this TaskManager of {}: start both from the same installation",
        proto::RELEASE
    ))
}

/// The epoch of a JobManager, which is refused if a later one is known: it has been superseded, and may not know.
fn check_epoch(registered: &proto::RegisterTaskManagerResponse, newest: u64) -> Result<u64, String> {
    let fence = LeaderSessionId::from_bytes(&registered.fence);
    let epoch = fence.ok_or("the JobManager's session id has not 16 bytes")?.epoch();
    if epoch >= newest {
        return Ok(epoch);
    }
    Err(format!(
        "the JobManager led in epoch {epoch}, and this TaskManager was registered with one of epoch {newest}: it has been superseded"
    ))
}

/// When it is said that the TaskManager still waits for its registration, and why.
struct Complaints {
    next: Instant,
    none_yet: bool,
}

impl Complaints {
    fn new(begun: Instant) -> Self {
        Self { next: begun + SAY_AFTER, none_yet: true }
    }

    /// Whether it is to be said now, of an attempt that failed and after which there is this pause.
    fn are_due(&mut self, now: Instant, pause: Duration) -> bool {
        // What is not over in a moment is said at once.
        let due = now >= self.next || self.none_yet && pause >= LAST_PAUSE;
        if due {
            self.next = now + SAY_EVERY;
            self.none_yet = false;
        }
        due
    }
}

/// Tells the ResourceManager that the TaskManager stops in an orderly way.
pub(crate) async fn disconnect(
    connector: &dyn Connector,
    address: &str,
    message: proto::DisconnectTaskManagerRequest,
) -> Result<(), Status> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(DISCONNECT_TIMEOUT);
    let mut client = ResourceManagerClient::new(connector.connect(address)?);
    let call = client.disconnect_task_manager(request);
    let unanswered = |_| Status::deadline_exceeded("the ResourceManager does not answer");
    timeout(DISCONNECT_TIMEOUT, call).await.map_err(unanswered)?.map(|_| ())
}

#[cfg(test)]
mod tests {
    use tonic::body::Body;
    use tonic::codegen::http;
    use wiesel_common::rpc::{Answer, Transport};

    use super::*;

    struct Silence;

    impl Transport for Silence {
        fn call(&self, _: http::Request<Body>) -> Answer {
            Box::pin(std::future::pending())
        }
    }

    /// Says whom it was to connect to, and gives a connection on which nobody answers.
    struct Recorder(mpsc::Sender<String>);

    impl Connector for Recorder {
        fn connect(&self, address: &str) -> Result<Channel, Status> {
            self.0.try_send(address.to_owned()).unwrap();
            Ok(Channel::new(Silence))
        }
    }

    fn registration(
        leader: watch::Receiver<Option<LeaderInformation>>,
        give_up_after: Duration,
    ) -> (Registration, mpsc::Receiver<String>, mpsc::Receiver<Event>) {
        let ((connected, addresses), (events, happened)) = (mpsc::channel(16), mpsc::channel(16));
        let long = Duration::from_secs(600);
        let options =
            Options { initial_timeout: long, max_timeout: long, error_delay: long, refused_delay: long, give_up_after };
        let registration = Registration {
            leader,
            known: None,
            connector: Arc::new(Recorder(connected)),
            request: proto::RegisterTaskManagerRequest::default(),
            epoch: 0,
            options,
            events,
            status: watch::channel(SlotStatus::default()).1,
            metrics: Box::new(proto::TaskManagerMetrics::default),
        };
        (registration, addresses, happened)
    }

    #[tokio::test]
    async fn it_registers_with_whoever_leads() {
        let (sender, leader) = watch::channel(None);
        let (registration, mut addresses, _happened) = registration(leader, Duration::from_secs(3600));
        let running = tokio::spawn(registration.run());
        let leads = |rpc_address: &str| {
            let rpc_address = rpc_address.to_owned();
            Some(LeaderInformation { session: None, rpc_address, rest_address: String::new() })
        };
        sender.send_replace(leads("one:6123"));
        assert_eq!(addresses.recv().await.as_deref(), Some("one:6123"));
        // Nobody leads for a while, and the first one is still asked.
        sender.send_replace(None);
        // The call to the first one, which has ten minutes, is not waited for.
        sender.send_replace(leads("two:6123"));
        assert_eq!(addresses.recv().await.as_deref(), Some("two:6123"));
        running.abort();
    }

    #[tokio::test]
    async fn it_gives_up_where_nobody_leads() {
        let (_sender, leader) = watch::channel(None);
        let (registration, _addresses, mut happened) = registration(leader, Duration::ZERO);
        registration.run().await;
        let Some(Event::GaveUp { reason }) = happened.recv().await else { panic!("nobody leads") };
        assert!(
            reason.contains("taskmanager.registration.timeout") && reason.contains("No JobManager leads"),
            "{reason}"
        );
    }

    #[test]
    fn a_job_manager_of_an_earlier_epoch_is_refused() {
        let of = |fence: Bytes| proto::RegisterTaskManagerResponse { fence, ..Default::default() };
        let answer = of(LeaderSessionId::of_epoch(4).to_bytes());
        assert_eq!([3, 4].map(|newest| check_epoch(&answer, newest)), [Ok(4), Ok(4)]);
        let refused = check_epoch(&answer, 5).unwrap_err();
        assert!(refused.contains("epoch 4") && refused.contains("epoch 5"), "{refused}");
        assert!(check_epoch(&of(Bytes::from_static(b"short")), 0).is_err());
    }

    /// Before, it was said once, and never where no call was answered.
    #[test]
    fn waiting_for_the_registration_is_logged_once_a_minute() {
        let begun = Instant::now();
        let said = |pause: Duration| -> Vec<u64> {
            let mut complaints = Complaints::new(begun);
            let seconds = (0..200).filter(|second| complaints.are_due(begun + Duration::from_secs(*second), pause));
            seconds.collect()
        };
        assert_eq!(said(Duration::ZERO), [5, 65, 125, 185], "no answer");
        assert_eq!(said(FIRST_PAUSE), [5, 65, 125, 185]);
        assert_eq!(said(LAST_PAUSE), [0, 60, 120, 180], "refused");
    }
}
