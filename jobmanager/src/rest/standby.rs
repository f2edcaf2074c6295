//! REST of a JobManager that stands by: whatever is asked for, it is where the leader is. What checks whether a process is ready
//! sees that it takes no work.
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wiesel_common::leader::{LeaderInformation, NOBODY_LEADS, STANDS_BY};

use super::error::RestError;
use super::{Gate, serve, transport};
use crate::options::RestOptions;

/// Who leads, and the address of this process.
#[derive(Clone)]
struct Leader {
    leader: watch::Receiver<Option<LeaderInformation>>,
    own: Arc<str>,
}

/// Answers as long as it is polled. `own`: `host:port` under which clients reach this process.
pub(crate) async fn stand_by(
    listener: &TcpListener,
    options: &RestOptions,
    bound: SocketAddr,
    own: &str,
    leader: watch::Receiver<Option<LeaderInformation>>,
) {
    let leader = Leader { leader, own: own.into() };
    serve(listener, router(options, bound, leader), CancellationToken::new()).await;
}

fn router(options: &RestOptions, bound: SocketAddr, leader: Leader) -> Router {
    let gate = Arc::new(Gate::new(options, bound));
    Router::new().fallback(refer).layer(from_fn_with_state(gate, transport)).with_state(leader)
}

async fn refer(State(leader): State<Leader>) -> Response {
    let said = match &*leader.leader.borrow() {
        Some(known) if *known.rest_address != *leader.own => {
            format!("{STANDS_BY} REST of the one that leads is at http://{}.", known.rest_address)
        }
        // A lease of this address is that of a process that has gone.
        _ => NOBODY_LEADS.to_owned(),
    };
    RestError::plain(StatusCode::SERVICE_UNAVAILABLE, said).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_is_told_where_the_leader_is() {
        let (sender, leader) = watch::channel(None);
        let options = RestOptions::read(&Default::default()).unwrap();
        let leader = Leader { leader, own: "own:8081".into() };
        let api = router(&options, ([127, 0, 0, 1], 8081).into(), leader);
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).header("host", "localhost:8081");
            let request = request.body(Body::from("{}")).unwrap();
            let answer = TowerToHyperService::new(api.clone()).call(request).await.unwrap();
            let (status, body) = (answer.status().as_u16(), to_bytes(answer.into_body(), 1 << 16).await.unwrap());
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            (status, body["errors"][0].as_str().unwrap().to_owned())
        };
        let (status, said) = ask("GET", "/v1/jobs/overview").await;
        assert!(status == 503 && said == NOBODY_LEADS, "{status} {said}");
        let leads = |rest_address: &str| {
            let (rpc_address, rest_address) = ("jm:6123".to_owned(), rest_address.to_owned());
            sender.send_replace(Some(LeaderInformation { session: None, rpc_address, rest_address }));
        };
        leads("own:8081");
        let (status, said) = ask("GET", "/").await;
        assert!(status == 503 && said == NOBODY_LEADS, "{status} {said}");
        leads("jm:8081");
        for (method, path) in [("GET", "/"), ("POST", "/v1/jobs"), ("PATCH", "/jobs/1"), ("DELETE", "/cluster")] {
            let (status, said) = ask(method, path).await;
            assert!(status == 503 && said.contains("http://jm:8081."), "{method} {path}: {status} {said}");
        }
    }
}
