//! The JobManager itself.
use axum::extract::State;
use serde_json::{Value, json};

use super::{Answer, Rest, json as answer};

/// `GET /jobmanager/config`.
pub(super) async fn config(State(state): Rest) -> Answer {
    let pairs: Vec<Value> =
        state.configuration.iter_masked().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    answer(Value::Array(pairs))
}

/// `GET /jobmanager/environment`: there is no JVM, but the dashboard asks for one.
pub(super) async fn environment() -> Answer {
    answer(json!({
        "jvm": {
            "version": format!("none (Wiesel {}, native)", env!("CARGO_PKG_VERSION")),
            "arch": std::env::consts::ARCH,
            "options": [],
        },
        "classpath": [],
    }))
}
