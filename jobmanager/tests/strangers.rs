//! Peers that do not belong to the cluster, or claim to be another process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use support::{Cluster, DEADLINE, TaskManager, registration, shuffle, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use wiesel_common::rpc::{Callee, Connector, Tcp};
use wiesel_common::secret::Secret;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;
use wiesel_proto::resource_manager_client::ResourceManagerClient;

fn channel(cluster: &Cluster, secret: Option<&str>) -> wiesel_common::rpc::Channel {
    let secret = secret.map(|text| Secret::new(text).unwrap());
    let tcp = Tcp { connect_timeout: DEADLINE, secret, callee: Callee::JobManager };
    tcp.connect(&cluster.manager.rpc_address().to_string()).unwrap()
}

/// Before, any peer that reached the port got the fence with its registration, and with it slots and jobs.
#[tokio::test]
async fn no_caller_without_the_secret_is_heard() {
    const SECRET: &str = "a secret of the cluster";
    let cluster = Cluster::start(&[("security.internal.secret", SECRET)]).await;
    for stranger in [None, Some("a secret of another one")] {
        let mut client = ResourceManagerClient::new(channel(&cluster, stranger));
        let refused = client.register_task_manager(registration("a", "127.0.0.1:1", 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("internal.secret") && !refused.message().contains(SECRET), "{refused}");
        let mut client = JobMasterClient::new(channel(&cluster, stranger));
        let refused = client.offer_slots(proto::OfferSlotsRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    assert!(cluster.manager.resource_manager().describe().await.task_managers.is_empty());
    let mut client = ResourceManagerClient::new(channel(&cluster, Some(SECRET)));
    client.register_task_manager(registration("a", "127.0.0.1:1", 1)).await.unwrap();
    cluster.await_task_managers(1).await;
}

/// Before, what was no call of a cluster's process was looked at as if it were one, or waited for.
#[tokio::test]
async fn what_is_no_connection_of_the_cluster_ends_at_once_and_says_why() {
    let secured = Cluster::start(&[("security.internal.secret", "a secret of the cluster")]).await;
    let open = Cluster::start(&[]).await;
    for cluster in [&secured, &open] {
        let address = cluster.manager.rpc_address();
        let plain = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let request = registration("a", "127.0.0.1:1", 1);
        let mut client = ResourceManagerClient::new(plain);
        let refused = tokio::time::timeout(DEADLINE, client.register_task_manager(request)).await.expect("no hang");
        refused.unwrap_err();

        let mut curl = TcpStream::connect(address).await.unwrap();
        curl.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        tokio::time::timeout(DEADLINE, curl.read_to_end(&mut told)).await.expect("no hang").unwrap();
        assert!(String::from_utf8_lossy(&told).contains("rest.port"), "{told:?}");
        assert!(cluster.manager.resource_manager().describe().await.task_managers.is_empty());
    }
    // One that has a secret says so of a cluster that has none.
    let mut client = ResourceManagerClient::new(channel(&open, Some("a secret of the cluster")));
    let refused = client.register_task_manager(registration("a", "127.0.0.1:1", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("the called process has none"), "{refused}");
}

/// Before, it was given tasks that it might read otherwise. Earlier releases do not say what they are.
#[tokio::test]
async fn a_task_manager_of_another_release_is_refused_with_both_releases() {
    let cluster = Cluster::start(&[]).await;
    let mut client = ResourceManagerClient::new(channel(&cluster, None));
    for (release, named) in [("", "an earlier release"), ("0.0.9 (messages 1)", "0.0.9 (messages 1)")] {
        let request =
            proto::RegisterTaskManagerRequest { release: release.to_owned(), ..registration("a", "127.0.0.1:1", 1) };
        let refused = client.register_task_manager(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(named) && refused.message().contains(proto::RELEASE), "{refused}");
    }
    assert!(cluster.manager.resource_manager().describe().await.task_managers.is_empty());
    let registered = client.register_task_manager(registration("a", "127.0.0.1:1", 1)).await.unwrap().into_inner();
    assert_eq!(registered.release, proto::RELEASE);
}

/// Before, the second one took the id, and with it went all that ran on the first.
#[tokio::test]
async fn the_id_of_a_task_manager_that_lives_is_not_given_again() {
    // However slow this machine is, its last heartbeat is not old.
    let cluster = Cluster::start(&[("heartbeat.interval", "10 s")]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let mut stranger = ResourceManagerClient::new(channel(&cluster, None));
    let refused = stranger.register_task_manager(registration("a", "127.0.0.1:1", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    assert!(refused.message().contains("taskmanager.resource-id"), "{refused}");
    assert_eq!(cluster.job(id).await.status, JobStatus::Running);
    // Once it is gone its id is free at once.
    a.kill().await;
    until("the id is free", async || {
        stranger.clone().register_task_manager(registration("a", "127.0.0.1:1", 1)).await.ok()
    })
    .await;
}
