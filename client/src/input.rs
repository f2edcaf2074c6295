//! Scripts, as the clients read them: from files, from pipes and from standard input, each within a bound.
use std::io;
use std::path::Path;

use wiesel_common::input::{Bound, read_input, read_within};
use wiesel_common::quote::quote;
use wiesel_common::text::without_byte_order_mark;
use wiesel_sql::MAX_UPLOAD_BYTES;

use crate::cli::Failure;

const ADVICE: &str = "split it, or read rows that it contains from a file";

/// What a script may have that is uploaded: the JobManager takes no more.
pub(crate) const UPLOADED: Bound = Bound { bytes: MAX_UPLOAD_BYTES, advice: ADVICE };
/// What a script may have that the SQL client runs by itself, statement by statement.
pub(crate) const RUN_HERE: Bound = Bound { bytes: 16 << 20, advice: ADVICE };

/// The text of a script.
pub(crate) fn script(path: &Path, bound: &Bound) -> Result<String, Failure> {
    let bytes = read_input(path, bound).map_err(|error| unreadable(path, &error))?;
    text(bytes).map_err(|error| unreadable(path, &error))
}

/// The script that comes through standard input, whatever that is.
pub(crate) fn script_of_stdin() -> Result<String, Failure> {
    let bytes = read_within(io::stdin().lock(), &RUN_HERE);
    bytes
        .and_then(text)
        .map_err(|error| anyhow::anyhow!("the client cannot read the script on standard input: {error}"))
}

fn unreadable(path: &Path, reason: &io::Error) -> Failure {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    anyhow::anyhow!("the client cannot read the script {}: {reason}", quote(&absolute.to_string_lossy()))
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    // Whatever it is called: a JAR is a ZIP archive.
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is a ZIP archive, as JARs are: this cluster has no JVM for jars",
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(without_byte_order_mark(&text).to_owned()),
        Err(error) => {
            let reason = format!("it is no text in UTF-8 ({})", error.utf8_error());
            Err(io::Error::new(io::ErrorKind::InvalidData, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: a script that was a device was read until the memory was full.
    #[test]
    fn scripts_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.sql");
        std::fs::write(&path, " ".repeat(MAX_UPLOAD_BYTES + 1)).unwrap();
        let refused = script(&path, &UPLOADED).unwrap_err().to_string();
        for part in ["long.sql", "2097153 bytes, of at most 2097152", "split it"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert_eq!(script(&path, &RUN_HERE).unwrap().len(), MAX_UPLOAD_BYTES + 1);
        let refused = script(Path::new("/dev/zero"), &RUN_HERE).unwrap_err().to_string();
        assert!(refused.contains("the script /dev/zero: it is a device"), "{refused}");
        // Failed before: all of it was in the message.
        let refused = script(Path::new(&"x".repeat(130_000)), &RUN_HERE).unwrap_err().to_string();
        assert!(refused.len() < 1000 && refused.contains("more bytes"), "{refused}");
    }
}
