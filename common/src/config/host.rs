//! Hosts by name or address.
use std::fmt::Display;
use std::net::Ipv6Addr;

use super::ConfigValue;

/// A host's name or its address, without a port. One of IPv6 may be written in brackets, as in a URL, and is kept without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// Where a process listens that was not told: on this machine only, since any client that reaches its ports can run jobs.
pub const LOOPBACK: &str = "localhost";

/// The names of hosts are no longer.
const MAX_BYTES: usize = 253;

impl Host {
    /// The name or address.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Host and port as URLs have them and connections take them: an address of IPv6 stands in brackets.
pub fn host_and_port(host: &str, port: impl Display) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Whether a host is an address of IPv6, maybe with the interface behind it (`fe80::1%eth0`).
fn is_ipv6(host: &str) -> bool {
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Whether a host is written in figures, as an address of IPv4 is and no name.
fn is_number(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether figures are an address of IPv4 as systems read it: one to four numbers, of which the last stands for all bytes that are
/// left.
fn is_address(figures: &str) -> bool {
    let parts: Vec<Option<u32>> = figures.split('.').map(|part| part.parse().ok()).collect();
    let Some((last, first)) = parts.split_last() else { return false };
    let bytes_left = 4_usize.saturating_sub(first.len());
    let is_byte = |part: &Option<u32>| part.is_some_and(|part| part < 256);
    let fits = |part: u32| u64::from(part) < 1 << (8 * bytes_left);
    bytes_left > 0 && first.iter().all(is_byte) && last.is_some_and(fits)
}

impl ConfigValue for Host {
    fn parse(text: &str) -> Result<Self, String> {
        let host = text.trim();
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = in_brackets.filter(|host| is_ipv6(host)).unwrap_or(host);
        let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '[' | ']');
        let has_port = host.contains(':') && !is_ipv6(host);
        if host.len() > MAX_BYTES {
            return Err(format!("expected the name or the address of a host, which has at most {MAX_BYTES} letters"));
        }
        if is_number(host) && !is_address(host) {
            return Err(
                "expected the name or the address of a host: a number as large as that is no address".to_owned()
            );
        }
        if host.is_empty() || host.contains(strange) || has_port {
            return Err("expected the name or the address of a host, without scheme and port".to_owned());
        }
        Ok(Self(host.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for host in ["localhost", " 10.0.0.1 ", "::1", "jobmanager.example.org", "my_host", "1", "127.1", "4294967295"]
        {
            assert_eq!(Host::parse(host).unwrap().into_string(), host.trim());
        }
        for no_host in
            ["", "  ", "a b", "localhost:8081", "http://localhost", "a\u{1b}[31m", "[::1]:8081", "[host]", "a:b:c"]
        {
            assert!(Host::parse(no_host).unwrap_err().contains("expected"), "{no_host}");
        }
    }

    /// Before, one in brackets could not be bound, and one without made an address with a port that was none.
    #[test]
    fn an_address_of_ipv6_may_stand_in_brackets() {
        for (text, host, authority) in [
            ("::1", "::1", "[::1]:8081"),
            (" [::1] ", "::1", "[::1]:8081"),
            ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:8081"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.1:8081"),
            ("localhost", "localhost", "localhost:8081"),
        ] {
            let parsed = Host::parse(text).unwrap().into_string();
            assert_eq!((&*parsed, host_and_port(&parsed, 8081)), (host, authority.to_owned()), "{text}");
        }
        assert_eq!(host_and_port("[::1]", "1 to 2"), "[::1]:1 to 2");
    }

    /// Before, names of any length and numbers of any size were taken, and found to be none when they were connected to.
    #[test]
    fn what_no_host_can_be_called() {
        assert!(Host::parse(&"x".repeat(253)).is_ok());
        assert!(Host::parse(&"x".repeat(254)).unwrap_err().contains("at most 253"));
        for number in ["18446744073709551615", "4294967296", "256.1.1.1", "1.2.3.256", "1.2.3.4.5", "1..2", "."] {
            assert!(Host::parse(number).unwrap_err().contains("no address"), "{number}");
        }
    }
}
