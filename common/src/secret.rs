//! The secret that the processes of a cluster share: without it a caller can neither call one of them nor take rows from it.
//!
//! What goes over the wire is a message authentication code (HMAC-SHA-256), never the secret, at the beginning of each
//! connection, over what both ends made up for the occasion (`handshake`, and that of the data plane in `network`). That keeps
//! strangers out. It is no encryption: an eavesdropper sees calls and rows, and a man in the middle of two processes can change
//! them. It can be tried out offline, so a secret should be made by chance, as `start-cluster.sh` does.
use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::{ConfigError, ConfigOption, Configuration};
use crate::filesystem::withhold;

/// The secret; without it the file [`FILE`] in the configuration folder counts.
pub const SECRET: ConfigOption<String> = ConfigOption::new("security.internal.secret");

/// The file in the configuration folder that holds the secret, for its owner alone. `start-cluster.sh` makes it.
pub const FILE: &str = "internal.secret";

/// What to do where two processes do not have the same one.
pub const ADVICE: &str = "all processes of a cluster need the same 'security.internal.secret', or the same file internal.secret \
                          in their configuration folders";

/// The least bytes of a secret: fewer can be tried out.
const MIN_BYTES: usize = 16;
/// The most bytes of a secret.
const MAX_BYTES: usize = 4096;
/// Bytes of a code.
pub const CODE: usize = 32;
/// Bytes that SHA-256 takes at once.
const BLOCK: usize = 64;

/// See the module. Cheap to clone; nothing shows it.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(******)")
    }
}

impl Secret {
    /// From a text, without blanks around it.
    ///
    /// # Errors
    /// What is wrong with its length.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if (MIN_BYTES..=MAX_BYTES).contains(&text.len()) {
            return Ok(Self(text.as_bytes().into()));
        }
        Err(format!("expected {MIN_BYTES} to {MAX_BYTES} bytes, there are {}", text.len()))
    }

    /// The configured one; none: no caller is asked for it.
    ///
    /// # Errors
    /// Its length.
    pub fn from_configuration(configuration: &Configuration) -> Result<Option<Self>, ConfigError> {
        let Some(text) = configuration.get_optional(&SECRET)? else { return Ok(None) };
        Self::new(&text).map(Some).map_err(|expected| SECRET.bad_value(SECRET.key(), &text, expected))
    }

    /// The code of some parts for a purpose.
    pub fn code(&self, purpose: &str, parts: &[&[u8]]) -> [u8; CODE] {
        let mut key = [0; BLOCK];
        if self.0.len() > BLOCK {
            key[..CODE].copy_from_slice(&Sha256::digest(&self.0));
        } else {
            key[..self.0.len()].copy_from_slice(&self.0);
        }
        let padded = |pad: u8| Sha256::new_with_prefix(key.map(|byte| byte ^ pad));
        let mut inner = padded(0x36);
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            // With its length: no two lists of parts are the same bytes.
            inner.update((part.len() as u64).to_le_bytes());
            inner.update(part);
        }
        let mut outer = padded(0x5c);
        outer.update(inner.finalize());
        outer.finalize().into()
    }

    /// Whether that is the code; how long this takes says nothing of how much of it is right.
    pub fn is_code(&self, purpose: &str, parts: &[&[u8]], given: &[u8]) -> bool {
        is_same(&self.code(purpose, parts), given)
    }
}

/// Whether bytes are the same; how long this takes says nothing of how many are.
fn is_same(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected.iter().zip(given).fold(0_u8, |difference, (one, other)| difference | (one ^ other));
    given.len() == expected.len() && std::hint::black_box(difference) == 0
}

/// Random bytes, which cannot be foreseen and do not come again.
pub fn nonce() -> [u8; CODE] {
    let mut bytes = [0; CODE];
    let (one, other) = bytes.split_at_mut(16);
    one.copy_from_slice(crate::random::uuid().as_bytes());
    other.copy_from_slice(crate::random::uuid().as_bytes());
    bytes
}

/// Puts the secret of the folder's file into a configuration that has none. Jobs of this process cannot read that file.
///
/// # Errors
/// The file cannot be read, or others than its owner can.
pub fn load(configuration: &mut Configuration, folder: &Path) -> Result<(), ConfigError> {
    if configuration.contains(&SECRET) {
        return Ok(());
    }
    let path = folder.join(FILE);
    let unreadable = |reason: String| ConfigError::Unreadable { source_name: path.display().to_string(), reason };
    let failed = |error: io::Error| {
        let advice = "it holds the secret that the cluster's processes share: its owner must be able to read it";
        unreadable(format!("{error}; {advice}"))
    };
    // No job reads it, which would run with the rights of this process.
    let file = match withhold(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    check_owner_only(&file.metadata().map_err(failed)?, &path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(2 * MAX_BYTES as u64).read_to_string(&mut text).map_err(failed)?;
    Secret::new(&text).map_err(&unreadable)?;
    configuration.set(SECRET.key(), text.trim());
    Ok(())
}

#[cfg(unix)]
fn check_owner_only(metadata: &Metadata, path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "others than its owner may use it (mode {mode:03o}), and it is a secret: type `chmod 600 '{}'`",
        path.display()
    ))
}

#[cfg(not(unix))]
fn check_owner_only(_metadata: &Metadata, _path: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As Python says: `hmac.new(key, parts with their lengths, 'sha256').hexdigest()`.
    #[test]
    fn a_code_is_an_hmac() {
        let short = Secret::new("0123456789abcdef").unwrap();
        assert_eq!(hex(&short.code("rpc", &[])), "8f6f389a6ee3c5b3d37046de94514f4c7e468b79ed7135fc7e1abd35719196c1");
        let long = Secret::new(&"k".repeat(100)).unwrap();
        assert_eq!(
            hex(&long.code("data", &[b"ab", b""])),
            "c56f26fc1c071e28461750ea37490f0cb499e25fc7523c4d9ab992dcdca3ad99"
        );
    }

    #[test]
    fn only_the_same_secret_purpose_and_parts_give_the_same_code() {
        let secret = Secret::new(" 0123456789abcdef\n").unwrap();
        let code = secret.code("p", &[b"ab", b"c"]);
        assert!(secret.is_code("p", &[b"ab", b"c"], &code));
        assert!(!secret.is_code("q", &[b"ab", b"c"], &code));
        assert!(!secret.is_code("p", &[b"a", b"bc"], &code));
        assert!(!secret.is_code("p", &[b"ab", b"c"], &code[..31]) && !secret.is_code("p", &[b"ab", b"c"], &[]));
        assert!(!Secret::new("0123456789abcdeF").unwrap().is_code("p", &[b"ab", b"c"], &code));
        for bit in 0..CODE * 8 {
            let mut other = code;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!secret.is_code("p", &[b"ab", b"c"], &other), "{bit}");
        }
        assert_ne!(nonce(), nonce());
        assert_eq!(format!("{secret:?}"), "Secret(******)");
    }

    #[test]
    fn the_file_counts_where_the_configuration_has_none_and_nobody_but_its_owner_can_use_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut none = Configuration::default();
        load(&mut none, folder.path()).unwrap();
        assert!(Secret::from_configuration(&none).unwrap().is_none());

        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        // Before, the group could read it.
        for (others, shown) in [(0o644, "644"), (0o640, "640"), (0o604, "604"), (0o620, "620"), (0o601, "601")] {
            mode(others);
            let error = load(&mut Configuration::default(), folder.path()).unwrap_err().to_string();
            let advice = format!("type `chmod 600 '{}'`", path.display());
            assert!(error.contains(shown) && error.contains(&advice) && !error.contains("0123456"), "{error}");
        }
        mode(0o600);
        let mut found = Configuration::default();
        load(&mut found, folder.path()).unwrap();
        assert_eq!(found.get(&SECRET).unwrap(), "0123456789abcdef");
        let refused = crate::filesystem::read_regular(&path, 1 << 20).unwrap_err().to_string();
        assert!(refused.contains("which no job is given"), "{refused}");

        let mut set = Configuration::default();
        set.set(SECRET.key(), "another one that is long");
        load(&mut set, folder.path()).unwrap();
        assert_eq!(set.get(&SECRET).unwrap(), "another one that is long");
        set.set(SECRET.key(), "too short");
        let error = Secret::from_configuration(&set).unwrap_err().to_string();
        assert!(
            error.contains("security.internal.secret") && error.contains("16") && !error.contains("too short"),
            "{error}"
        );
    }
}
