//! The page at `/` until there is a web dashboard: what runs, asked from this API, and which paths it has.
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use super::FLINK_VERSION;

/// Where it is. These alone answer HEAD, which Flink does not know.
pub(super) const PATHS: [&str; 4] = ["/", "/index.html", "/index.js", "/index.css"];

/// It loads what comes with it, asks this endpoint, and is shown by no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `GET /`, `GET /index.html`.
pub(super) async fn index() -> Response {
    let page = include_str!("page/index.html").replace("{{version}}", env!("CARGO_PKG_VERSION"));
    part("text/html; charset=UTF-8", page.replace("{{flink-version}}", FLINK_VERSION))
}

/// `GET /index.js`.
pub(super) async fn script() -> Response {
    part("text/javascript; charset=UTF-8", include_str!("page/index.js"))
}

/// `GET /index.css`.
pub(super) async fn style() -> Response {
    part("text/css; charset=UTF-8", include_str!("page/index.css"))
}

fn part(kind: &'static str, content: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        // The next version has another one.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}
