//! Origins: for which pages a browser sends requests. A page that a user has open can send requests to whatever the user's
//! machine reaches: which pages may change something here, which may read answers, and under which names this endpoint answers.
//!
//! Clients that are no browsers name no page, and are asked nothing.
use std::net::IpAddr;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HOST, ORIGIN, REFERER,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use wiesel_common::exposure::is_this_machine;
use wiesel_common::quote::quote;

use super::error::RestError;
use crate::options::RestOptions;

/// Says in a browser's request whether the page is of this site.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// GET requests that change something.
const CHANGING_PATHS: [&str; 2] = ["/yarn-cancel", "/yarn-stop"];

/// See the module.
pub(super) struct Origins {
    /// `web.access-control-allow-origin`: origins, or `*`.
    allowed: Vec<String>,
    /// Only this machine reaches the endpoint, but for pages whose name leads here (DNS rebinding).
    loopback: bool,
    /// Names that the endpoint is configured with.
    names: Vec<String>,
}

impl Origins {
    /// `bound`: where the server listens, whatever it is called in the configuration.
    pub(super) fn new(options: &RestOptions, bound: IpAddr) -> Self {
        let allowed = options.allow_origin.split(',').map(|origin| origin.trim().trim_end_matches('/').to_lowercase());
        let names = [&options.address, &options.bind_address].into_iter().chain(&options.names);
        Self {
            allowed: allowed.filter(|origin| !origin.is_empty()).collect(),
            loopback: bound.to_canonical().is_loopback(),
            names: names.map(|name| name.to_lowercase()).collect(),
        }
    }

    /// Refuses what a foreign page has no business to ask. Returns the origin that may read the answer, if it is a foreign one.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, RestError> {
        self.check_host(uri, headers)?;
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            || CHANGING_PATHS.iter().any(|path| uri.path().ends_with(path));
        if changes && let Some(page) = self.foreign_page(headers) {
            return Err(RestError::plain(
                StatusCode::FORBIDDEN,
                format!(
                    "This changes something and comes from a page of another origin ({}): set \
                     web.access-control-allow-origin to that origin if its pages may do so.",
                    quote(&page)
                ),
            ));
        }
        let origin = headers.get(ORIGIN).filter(|origin| self.allows(&text_of(origin)));
        Ok(origin.cloned())
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), RestError> {
        if !self.loopback {
            return Ok(());
        }
        let mut hosts = headers.get_all(HOST).iter().map(text_of).chain(uri.authority().map(ToString::to_string));
        match hosts.find(|host| !self.is_ours(name_of(host))) {
            None => Ok(()),
            Some(host) => Err(RestError::plain(
                StatusCode::FORBIDDEN,
                format!(
                    "This endpoint is not known by the name {}: it listens on the loopback interface only. Ask \
                     localhost, or set rest.address to that name.",
                    quote(&host)
                ),
            )),
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        is_this_machine(name) || self.names.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    /// The page that a request comes from, if it is a foreign one without permission.
    fn foreign_page(&self, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(HOST).map(|host| text_of(host).to_lowercase());
        let own = |origin: &str| authority_of(origin).is_some_and(|authority| Some(authority) == host.as_deref());
        let named = headers.get(ORIGIN).map(|origin| text_of(origin).to_lowercase());
        let named = named.or_else(|| headers.get(REFERER).and_then(|page| origin_of(&text_of(page).to_lowercase())));
        match named {
            Some(origin) => (!own(&origin) && !self.allows(&origin)).then_some(origin),
            None => {
                let site = headers.get(SEC_FETCH_SITE)?.as_bytes();
                let foreign = site == b"cross-site" || site == b"same-site";
                (foreign && !self.allows("")).then(|| "which is not named".to_owned())
            }
        }
    }

    fn allows(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == "*" || origin.eq_ignore_ascii_case(allowed))
    }
}

/// Whether a browser asks what a page of another origin may send, before it sends it.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer for pages of an origin that is allowed: all that the API knows. Others are told what Flink, which knows no
/// OPTIONS, tells everybody.
pub(super) fn preflight() -> Response {
    let may_send = [
        (ACCESS_CONTROL_ALLOW_METHODS, "DELETE, GET, PATCH, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, X-Requested-With"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, may_send).into_response()
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A host without its port. Behind an address in brackets nothing else may stand: such a host is none of ours.
fn name_of(host: &str) -> &str {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => host,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Scheme, host and port of a URL, without what follows.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    Some(format!("{scheme}://{authority}"))
}

/// Host and port of an origin. The scheme is left out: a proxy in front of this endpoint may speak TLS.
fn authority_of(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is bound where the configuration says so.
    fn origins(bind_address: &str, bound: &str, allowed: &str) -> Origins {
        let pairs = [
            ("rest.bind-address", bind_address),
            ("rest.address", "flink.example"),
            ("web.access-control-allow-origin", allowed),
            ("web.upload.dir", "/nowhere"),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let configuration = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Origins::new(&RestOptions::read(&configuration).unwrap(), bound.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    type Pairs<'a> = &'a [(&'static str, &'static str)];

    fn refused(origins: &Origins, method: &Method, path: &str, pairs: Pairs<'_>) -> bool {
        match origins.check(method, &path.parse().unwrap(), &headers(pairs)) {
            Ok(_) => false,
            Err(error) => {
                assert!(format!("{error:?}").contains("403"), "{error:?}");
                true
            }
        }
    }

    /// Before, any page that a user had open could upload and run scripts, and cancel jobs.
    #[test]
    fn foreign_pages_change_nothing() {
        let origins = origins("0.0.0.0", "0.0.0.0", "");
        let host = ("host", "flink.example:8081");
        let foreign: [Pairs<'_>; 7] = [
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://flink.example:8082")],
            &[host, ("origin", "http://evil.example/?http://flink.example:8081")],
            &[host, ("origin", "null")],
            &[host, ("referer", "http://evil.example/page?http://flink.example:8081/")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ];
        for pairs in foreign {
            for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
                assert!(refused(&origins, &method, "/jars/upload", pairs), "{method} {pairs:?}");
            }
            assert!(refused(&origins, &Method::GET, "/v1/jobs/00/yarn-cancel", pairs), "{pairs:?}");
            assert!(
                !refused(&origins, &Method::GET, "/jobs/overview", pairs),
                "without permission to read it: {pairs:?}"
            );
        }
        let ours: [Pairs<'_>; 6] = [
            &[host],
            &[],
            &[host, ("origin", "http://flink.example:8081")],
            &[host, ("origin", "https://FLINK.example:8081")],
            &[host, ("referer", "http://flink.example:8081/#/overview"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ];
        for pairs in ours {
            assert!(!refused(&origins, &Method::POST, "/jars/upload", pairs), "{pairs:?}");
            assert!(!refused(&origins, &Method::GET, "/jobs/00/yarn-cancel", pairs), "{pairs:?}");
        }
    }

    #[test]
    fn pages_of_origins_that_are_allowed_read_and_change() {
        let read = |origins: &Origins, origin: &'static str| {
            let pairs = headers(&[("host", "flink.example:8081"), ("origin", origin)]);
            origins.check(&Method::POST, &"/jars/upload".parse().unwrap(), &pairs).ok().flatten()
        };
        let page = "https://ui.example:3000";
        let some = origins("0.0.0.0", "0.0.0.0", "https://ui.example:3000/, https://other.example");
        assert_eq!(read(&some, page), Some(HeaderValue::from_static(page)));
        assert_eq!(read(&some, "https://evil.example"), None);
        assert_eq!(read(&some, "http://flink.example:8081"), None, "it needs no permission");
        assert_eq!(read(&origins("0.0.0.0", "0.0.0.0", "*"), page), Some(HeaderValue::from_static(page)));
        assert_eq!(read(&origins("0.0.0.0", "0.0.0.0", ""), page), None);
    }

    /// A page's name can be made to lead to 127.0.0.1: the browser then takes it for the page's own origin.
    #[test]
    fn a_foreign_name_does_not_lead_to_a_loopback_endpoint() {
        for (bind_address, bound) in [
            ("localhost", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            // Before, the check went by how the address is spelt, and was left out for these.
            ("127.1", "127.0.0.1"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
            ("a-name-of-127.0.1.1", "127.0.1.1"),
        ] {
            let origins = origins(bind_address, bound, "");
            for ours in ["localhost:8081", "LOCALHOST", "127.0.0.1:8081", "127.1.2.3", "[::1]:8081", "flink.example:1"]
            {
                assert!(!refused(&origins, &Method::GET, "/overview", &[("host", ours)]), "{ours}");
            }
            for foreign in [
                "evil.example:8081",
                "localhost.evil.example",
                "192.168.0.1:8081",
                "0.0.0.0:8081",
                "",
                "x@y",
                "[localhost]evil.example",
                "[::1]evil.example:8081",
            ] {
                assert!(refused(&origins, &Method::GET, "/overview", &[("host", foreign)]), "{foreign}");
            }
            assert!(refused(&origins, &Method::GET, "http://evil.example/overview", &[("host", "localhost")]));
            assert!(!refused(&origins, &Method::GET, "/overview", &[]), "a client that names no host");
        }
        for (bind_address, bound) in [("0.0.0.0", "0.0.0.0"), ("flink.example", "10.1.2.3"), ("localhost", "10.1.2.3")]
        {
            let origins = origins(bind_address, bound, "");
            assert!(!refused(&origins, &Method::GET, "/overview", &[("host", "any.example")]), "{bound}");
        }
    }
}
