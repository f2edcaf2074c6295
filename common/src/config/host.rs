//! Hosts by name or address.
use super::ConfigValue;

/// A host's name or its address, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// Where a process listens that was not told: on this machine only, since who reaches its ports can run jobs.
pub const LOOPBACK: &str = "localhost";

impl Host {
    /// The name or address.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl ConfigValue for Host {
    fn parse(text: &str) -> Result<Self, String> {
        let host = text.trim();
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        // An address of IPv6 has more than one.
        let has_port = host.matches(':').count() == 1;
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
        for host in ["localhost", " 10.0.0.1 ", "::1", "jobmanager.example.org", "my_host"] {
            assert_eq!(Host::parse(host).unwrap().into_string(), host.trim());
        }
        for no_host in ["", "  ", "a b", "localhost:8081", "http://localhost", "a\u{1b}[31m"] {
            assert!(Host::parse(no_host).unwrap_err().contains("expected"), "{no_host}");
        }
    }
}
