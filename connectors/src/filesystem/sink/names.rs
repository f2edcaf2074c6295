//! Names of part files: `part-<uuid>-<subtask>-<n>`, and while they are hidden `.part-<uuid>-<subtask>-<n>.inprogress.<random>`.
//!
//! The first half of the UUID stays the same over restarts, it is in the checkpoint: by it a sink knows the files that an
//! attempt of its own left behind. The second half is new for each attempt, so that no two ever choose the same name.

/// The names of one attempt of one subtask.
pub(super) struct Names {
    sink: u64,
    attempt: u64,
    subtask: u32,
    next: u64,
}

const VERSION_BITS: u64 = 0xf000;
const VARIANT_BITS: u64 = 0xc000_0000_0000_0000;

impl Names {
    /// `sink` as [`Names::new_sink`] made it.
    pub(super) fn new(sink: u64, subtask: u32, random: u64) -> Self {
        // The variant of RFC 4122.
        Self { sink, attempt: (random & !VARIANT_BITS) | 0x8000_0000_0000_0000, subtask, next: 0 }
    }

    /// The first half of a random UUID (version 4).
    pub(super) fn new_sink(random: u64) -> u64 {
        (random & !VERSION_BITS) | 0x4000
    }

    /// Hidden and final name of the next file.
    pub(super) fn next(&mut self) -> (String, String) {
        let (sink, attempt) = (self.sink, self.attempt);
        let name = format!(
            "part-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}-{}-{}",
            sink >> 32,
            (sink >> 16) & 0xffff,
            sink & 0xffff,
            attempt >> 48,
            attempt & 0xffff_ffff_ffff,
            self.subtask,
            self.next
        );
        self.next += 1;
        (format!(".{name}.inprogress.{attempt:016x}"), name)
    }
}

/// Which sink (first half of the UUID) and which subtask made a hidden file; none: it is no part file in progress.
pub(super) fn owner(hidden: &str) -> Option<(u64, u32)> {
    let (name, _) = hidden.strip_prefix(".part-")?.split_once(".inprogress.")?;
    let mut parts = name.split('-');
    let mut hex =
        |digits: usize| parts.next().filter(|part| part.len() == digits).map(|part| u64::from_str_radix(part, 16));
    let sink = (hex(8)?.ok()? << 32) | (hex(4)?.ok()? << 16) | hex(4)?.ok()?;
    hex(4)?.ok()?;
    hex(12)?.ok()?;
    let subtask = parts.next()?.parse().ok()?;
    parts.next()?.parse::<u64>().ok()?;
    parts.next().is_none().then_some((sink, subtask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_name_tells_whose_it_is() {
        let sink = Names::new_sink(0x0123_4567_89ab_cdef);
        let mut names = Names::new(sink, 3, u64::MAX);
        names.next();
        let (hidden, name) = names.next();
        assert_eq!(name, "part-01234567-89ab-4def-bfff-ffffffffffff-3-1");
        assert_eq!(hidden, format!(".{name}.inprogress.bfffffffffffffff"));
        assert_eq!(owner(&hidden), Some((sink, 3)));
        for other in
            [&name, ".part-1.inprogress.x", ".part-01234567-89ab-4def-bfff-ffffffffffff-3.inprogress.x", "_SUCCESS"]
        {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
