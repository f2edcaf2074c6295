//! Keys that promise protection or survival and have no effect. A process that only warned of them would look safe and not
//! be: it does not start. They go from here as their subjects come.
use super::{ConfigError, Configuration, keys};

/// The keys that choose the service for high availability, the former ones too.
const HIGH_AVAILABILITY: [&str; 3] = ["high-availability.type", "high-availability", "recovery.mode"];

/// What there is in place of services that keep records and elect leaders.
pub(crate) const OBJECT_STORE: &str = "Set it to object-store, which needs no service but a folder, local or in S3 \
    (high-availability.storageDir), or remove it";

/// Refuses a configuration that asks for what would be missed too late.
pub(super) fn refuse(config: &Configuration) -> Result<(), ConfigError> {
    match config.iter().find_map(|(key, value)| Some((key, asks_for(key, value.trim())?))) {
        Some((key, (what, instead))) => Err(ConfigError::Unsupported { key: key.to_owned(), what, instead }),
        None => Ok(()),
    }
}

/// What a key asks for, and what to do instead.
fn asks_for(key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let is_one_of = |names: [&str; 3]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    if HIGH_AVAILABILITY.contains(&key) {
        // What is no kind at all is refused where it is read.
        let services =
            [("zookeeper", "high availability by ZooKeeper"), ("kubernetes", "high availability by Kubernetes")];
        let service = services.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name));
        return service.map(|(_, what)| (what, OBJECT_STORE));
    }
    // What is switched off is not missed.
    if !key.starts_with("security.") || keys::is_honoured(key) || is_one_of(["", "false", "off"]) {
        return None;
    }
    let kerberos = ["security.kerberos.", "security.keytab", "security.principal", "security.delegation."];
    let by_kerberos = kerberos.iter().any(|prefix| key.starts_with(prefix));
    Some((if by_kerberos { "Kerberos" } else { "TLS or another protection" }, "Remove the option"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: &str) -> Option<String> {
        let config = [(key.to_owned(), value.to_owned())].into_iter().collect();
        refuse(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn what_would_be_missed_too_late() {
        for (key, value, what) in [
            ("security.ssl.internal.enabled", "true", "TLS"),
            ("security.ssl.rest.keystore", "/keys", "TLS"),
            ("security.ssl.made-up", "x", "TLS"),
            ("security.kerberos.login.keytab", "/keys", "Kerberos"),
            ("security.principal", "me", "Kerberos"),
        ] {
            let error = refused(key, value).unwrap_or_else(|| panic!("{key}: {value} is taken"));
            assert!(error.contains(key) && error.contains(what) && error.contains("Remove"), "{error}");
        }
        for (key, value, what) in [
            ("high-availability.type", "ZooKeeper", "high availability by ZooKeeper"),
            ("high-availability", " kubernetes", "high availability by Kubernetes"),
            ("recovery.mode", "zookeeper", "high availability by ZooKeeper"),
        ] {
            let error = refused(key, value).unwrap_or_else(|| panic!("{key}: {value} is taken"));
            let parts = [key, what, "object-store", "high-availability.storageDir"];
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn what_asks_for_nothing() {
        for (key, value) in [
            ("security.ssl.internal.enabled", " false"),
            ("security.ssl.rest.keystore", ""),
            ("high-availability.type", "NONE"),
            ("high-availability", "none"),
            // Failed before: no job outlived its JobManager.
            ("high-availability.type", "object-store"),
            ("high-availability.storageDir", "/ha"),
            ("rest.port", "8081"),
        ] {
            assert_eq!(refused(key, value), None, "{key}: {value}");
        }
    }

    #[test]
    fn no_secret_is_repeated() {
        let error = refused("security.ssl.rest.key-password", "abc").unwrap();
        assert!(!error.contains("abc"), "{error}");
    }
}
