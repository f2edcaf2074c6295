//! Ports that others than this machine can reach. There is no TLS yet, and REST asks nobody who he is, so it is said.
use std::net::{IpAddr, SocketAddr};

/// Warns where a port can be reached from other machines, and where it cannot although others are told of it.
///
/// `what` is the port for people, `key` the option that sets the interface, `told` the host by which others are told to
/// reach it.
pub fn warn(what: &str, key: &str, bound: SocketAddr, told: &str) {
    if let Some(warning) = warning(what, key, bound, told) {
        tracing::warn!("{warning}");
    }
}

fn warning(what: &str, key: &str, bound: SocketAddr, told: &str) -> Option<String> {
    match (bound.ip().is_loopback(), is_this_machine(told)) {
        (false, _) => Some(format!(
            "{what} listens on {bound}, where other machines reach it, and there is no TLS yet: whoever reaches it may \
             read and change what this cluster does. Set {key} to localhost, or let nobody else into that network"
        )),
        (true, false) => Some(format!(
            "{what} listens on {bound}, where only this machine reaches it, but others are told to find it at {told}: \
             set {key} to an address of this machine in their network if they are to"
        )),
        (true, true) => None,
    }
}

/// Whether a name or an address leads nowhere but to this machine.
pub fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bound: &str, told: &str) -> Option<String> {
        warning("the REST port", "rest.bind-address", bound.parse().unwrap(), told)
    }

    #[test]
    fn who_reaches_a_port_and_who_thinks_so() {
        for (bound, told) in [("127.0.0.1:1", "localhost"), ("127.0.0.1:1", "127.0.0.1"), ("[::1]:1", "::1")] {
            assert_eq!(said(bound, told), None);
        }
        for bound in ["0.0.0.0:8081", "10.1.2.3:8081", "[::]:8081"] {
            let open = said(bound, "localhost").unwrap();
            assert!([bound, "rest.bind-address", "TLS"].iter().all(|part| open.contains(part)), "{open}");
        }
        let hidden = said("127.0.0.1:8081", "master.example.org").unwrap();
        assert!(hidden.contains("only this machine") && hidden.contains("master.example.org"), "{hidden}");
    }
}
