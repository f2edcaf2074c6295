//! Names of state files: `<run>-<checkpoint>-<random>`, for example `00c0ffee00c0ffee-17-9f…`.
//!
//! A name is used once, for ever, and tells for which checkpoint of which run of the job the file was written. So a run can
//! tell from a listing alone what is left of its checkpoints that failed, however late it appears, and what is somebody
//! else's. Until the run was noted a name was a random UUID; such files are known as state, of an unknown run.

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) run: u64,
    pub(super) checkpoint: u64,
}

/// A name that nobody has had.
pub(super) fn new(run: u64, checkpoint: u64) -> String {
    format!("{run:016x}-{checkpoint}-{}", wiesel_common::random::uuid().simple())
}

/// Whose a file is, or was to be if it is half written; none: it is of an unknown run, or no state.
pub(super) fn owner(name: &str) -> Option<Owner> {
    let mut parts = whole(name).splitn(3, '-');
    let (run, checkpoint, random) = (parts.next()?, parts.next()?, parts.next()?);
    if !is_hex(run, 16) || !is_hex(random, 32) || checkpoint.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    Some(Owner { run: u64::from_str_radix(run, 16).ok()?, checkpoint: checkpoint.parse().ok()? })
}

/// Whether it is a file of state, maybe half written.
pub(super) fn is_state(name: &str) -> bool {
    owner(name).is_some() || is_uuid(whole(name))
}

/// Whether it is metadata that was not completely written.
pub(super) fn is_half_metadata(name: &str) -> bool {
    whole(name) == super::METADATA && name != super::METADATA
}

/// The name that a file is to have when it is complete: a local one is written as `.<name>.<random>.tmp`.
fn whole(name: &str) -> &str {
    let hidden =
        name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp")).and_then(|rest| rest.rsplit_once('.'));
    hidden.filter(|(_, random)| is_hex(random, 32)).map_or(name, |(whole, _)| whole)
}

fn is_uuid(name: &str) -> bool {
    let digits = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = name.split('-').collect();
    parts.len() == digits.len() && parts.iter().zip(digits).all(|(part, digits)| is_hex(part, digits))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_the_file_is() {
        let (run, checkpoint) = (0xc0ffee, 17);
        let name = new(run, checkpoint);
        let half = format!(".{name}.{}.tmp", wiesel_common::random::uuid().simple());
        assert!(name.starts_with("0000000000c0ffee-17-") && name != new(run, checkpoint), "{name}");
        for name in [&name, &half] {
            assert_eq!(owner(name), Some(Owner { run, checkpoint }), "{name}");
        }
        let old = wiesel_common::random::uuid().to_string();
        assert!(is_state(&old) && is_state(&half) && owner(&old).is_none());
        assert!(is_half_metadata(&format!("._metadata.{}.tmp", wiesel_common::random::uuid().simple())));
        let others = [
            "_metadata",
            ".keep",
            "thesis.tex",
            "0000000000c0ffee-17-x",
            "0000000000C0FFEE-17-00000000000000000000000000000000",
            "0000000000c0ffee-+7-00000000000000000000000000000000",
            "..tmp",
            "",
        ];
        for other in others {
            assert!(!is_state(other) && !is_half_metadata(other), "{other}");
        }
    }
}
