//! Which keys hold secrets. Their values are never logged or shown.

/// What stands in place of a secret.
pub const HIDDEN: &str = "******";

const MARKS: [&str; 11] = [
    "password",
    "secret",
    "fs.azure.account.key",
    "apikey",
    "api-key",
    "auth-params",
    "service-key",
    "token",
    "basic-auth",
    "jaas.config",
    "http-headers",
];

/// Whether a key names a secret, by the words that Flink goes by.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    MARKS.iter().any(|mark| key.contains(mark))
}
