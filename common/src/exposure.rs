//! Ports that others than this machine can reach. There is no TLS yet, and not every port authenticates its clients: warnings say so.
use std::net::{IpAddr, SocketAddr};

use crate::secret::{FILE, SECRET, Secret};

/// What a port asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, whatever is configured.
    Nothing,
    /// The cluster's secret.
    Secret,
    /// The cluster's secret, if there were one.
    MissingSecret,
}

impl Asked {
    /// Of a port between processes.
    pub fn between_processes(secret: Option<&Secret>) -> Self {
        if secret.is_some() { Self::Secret } else { Self::MissingSecret }
    }
}

/// Warns where a port can be reached from other machines, and where it cannot although others are told of it.
///
/// `what` is the port for people, `key` the option that sets the interface, `told` the host by which others are told to
/// reach it.
pub fn warn(what: &str, key: &str, bound: SocketAddr, told: &str, asked: Asked) {
    if let Some(warning) = warning(what, key, bound, told, asked) {
        tracing::warn!("{warning}");
    }
}

fn warning(what: &str, key: &str, bound: SocketAddr, told: &str, asked: Asked) -> Option<String> {
    if bound.ip().is_loopback() {
        return (!is_this_machine(told)).then(|| {
            format!(
                "{what} listens on {bound}, where only this machine reaches it, but others are told to find it at {told}: \
                 set {key} to an address of this machine in their network if they are to"
            )
        });
    }
    let danger = match asked {
        Asked::Nothing => "any client that reaches it can run jobs here, with the rights of the cluster's processes",
        Asked::Secret => {
            "peers without the cluster's secret are refused, but any machine on the way can read and change rows"
        }
        Asked::MissingSecret => "any peer that reaches it can run jobs here, and read and change rows",
    };
    let mut warning = format!(
        "{what} listens on {bound}, where other machines reach it, and there is no TLS yet: {danger}. Set {key} to localhost, or \
         let no other machine into that network"
    );
    if asked == Asked::MissingSecret {
        let key = SECRET.key();
        warning = format!(
            "{warning}, and give all processes the same secret ('{key}', or the file '{FILE}' beside config.yaml)"
        );
    }
    Some(warning)
}

/// Whether a name or an address leads nowhere but to this machine.
pub fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bound: &str, told: &str, asked: Asked) -> Option<String> {
        warning("the REST port", "rest.bind-address", bound.parse().unwrap(), told, asked)
    }

    #[test]
    fn a_warning_names_an_open_port_and_an_advertised_address_that_is_not_bound() {
        for asked in [Asked::Nothing, Asked::Secret, Asked::MissingSecret] {
            for (bound, told) in [("127.0.0.1:1", "localhost"), ("127.0.0.1:1", "127.0.0.1"), ("[::1]:1", "::1")] {
                assert_eq!(said(bound, told, asked), None);
            }
            for bound in ["0.0.0.0:8081", "10.1.2.3:8081", "[::]:8081"] {
                let open = said(bound, "localhost", asked).unwrap();
                assert!([bound, "rest.bind-address", "TLS"].iter().all(|part| open.contains(part)), "{open}");
                assert_eq!(open.contains("run jobs"), asked != Asked::Secret, "{open}");
                assert_eq!(open.contains("internal.secret"), asked == Asked::MissingSecret, "{open}");
            }
            let hidden = said("127.0.0.1:8081", "master.example.org", asked).unwrap();
            assert!(hidden.contains("only this machine") && hidden.contains("master.example.org"), "{hidden}");
        }
    }

    /// Before, it said "who" and "nobody".
    #[test]
    fn a_warning_names_what_it_warns_of() {
        for (asked, danger) in [
            (Asked::Nothing, "any client that reaches it can run jobs"),
            (Asked::Secret, "peers without the cluster's secret are refused, but any machine on the way can"),
            (Asked::MissingSecret, "any peer that reaches it can run jobs"),
        ] {
            let warning = said("0.0.0.0:8081", "localhost", asked).unwrap();
            assert!(
                warning.contains(danger) && warning.contains("let no other machine into that network"),
                "{warning}"
            );
        }
    }

    #[test]
    fn a_port_between_processes_asks_for_the_secret_if_there_is_one() {
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert_eq!(Asked::between_processes(Some(&secret)), Asked::Secret);
        assert_eq!(Asked::between_processes(None), Asked::MissingSecret);
    }
}
