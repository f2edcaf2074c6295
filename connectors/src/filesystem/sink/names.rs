//! Names of part files: `part-<uuid>-<subtask>-<n>`, and while they are hidden
//! `.part-<uuid>-<subtask>-<n>.inprogress.<run>.<attempt>.<random>`.
//!
//! The first half of the UUID stays the same over restarts: by it a sink knows the files that an attempt of its own left behind,
//! by the run whether the number of that attempt can be compared with its own (each run of a job counts from 0), and by the
//! number whether it was an earlier one. The second half is new for each attempt, so that no two ever choose the same name.
//!
//! In a store a file is under no name while it is being written: its upload is found by its final name, which has run and attempt
//! at its end, `part-<uuid>-<subtask>-<n>-<run>-<attempt>`.
//!
//! `.part-<first half>-<subtask>.savepoint.<run>.<attempt>` keeps the hidden files of an attempt of a subtask ([`guard_of`]).

/// The names of one attempt of one subtask.
pub(super) struct Names {
    sink: u64,
    /// Random, new for each attempt.
    attempt: u64,
    run: u64,
    /// How many attempts of this run there were before.
    attempt_number: u32,
    subtask: u32,
    next: u64,
}

/// The subtask of an attempt that made a hidden file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The first half of the UUID.
    pub(super) sink: u64,
    pub(super) subtask: u32,
    /// Which run of the job; none for files of before names had it.
    pub(super) run: Option<u64>,
    /// How many attempts of that run there had been before; 0 for files of before names had it.
    pub(super) attempt_number: u32,
}

const VERSION_BITS: u64 = 0xf000;
const VARIANT_BITS: u64 = 0xc000_0000_0000_0000;

impl Names {
    /// `sink` as [`Names::new_sink`] made it.
    pub(super) fn new(sink: u64, subtask: u32, run: u64, attempt_number: u32, random: u64) -> Self {
        // The variant of RFC 4122.
        let attempt = (random & !VARIANT_BITS) | 0x8000_0000_0000_0000;
        Self { sink, attempt, run, attempt_number, subtask, next: 0 }
    }

    /// The first half of a random UUID (version 4).
    pub(super) fn new_sink(random: u64) -> u64 {
        (random & !VERSION_BITS) | 0x4000
    }

    /// The name of the next file in a store.
    pub(super) fn next_object(&mut self) -> String {
        let (_, name) = self.next();
        format!("{name}-{:016x}-{}", self.run, self.attempt_number)
    }

    /// Hidden and final name of the next file.
    pub(super) fn next(&mut self) -> (String, String) {
        let (sink, attempt) = (self.sink, self.attempt);
        let name = format!(
            "part-{}-{:04x}-{:012x}-{}-{}",
            first_half(sink),
            attempt >> 48,
            attempt & 0xffff_ffff_ffff,
            self.subtask,
            self.next
        );
        self.next += 1;
        (format!(".{name}.inprogress.{:016x}.{}.{attempt:016x}", self.run, self.attempt_number), name)
    }

    /// The name of the guard of this attempt's hidden files.
    pub(super) fn guard(&self) -> String {
        guard(self.sink, self.subtask, self.run, self.attempt_number)
    }
}

fn first_half(sink: u64) -> String {
    format!("{:08x}-{:04x}-{:04x}", sink >> 32, (sink >> 16) & 0xffff, sink & 0xffff)
}

fn guard(sink: u64, subtask: u32, run: u64, attempt_number: u32) -> String {
    format!(".part-{}-{subtask}.savepoint.{run:016x}.{attempt_number}", first_half(sink))
}

/// The name of the guard of a hidden file; none: it is no part file in progress, or of before names had the run, when there
/// were no guards.
pub(super) fn guard_of(hidden: &str) -> Option<String> {
    guard_of_owner(owner(hidden)?)
}

/// The name of the guard of what that attempt of a subtask has written.
pub(super) fn guard_of_owner(owner: Owner) -> Option<String> {
    Some(guard(owner.sink, owner.subtask, owner.run?, owner.attempt_number))
}

/// The subtask that made a file in a store; none: no sink did.
pub(super) fn object_owner(name: &str) -> Option<Owner> {
    let (name, attempt_number) = name.strip_prefix("part-")?.rsplit_once('-')?;
    let (name, run) = name.rsplit_once('-')?;
    let run = u64::from_str_radix(run, 16).ok().filter(|_| run.len() == 16)?;
    let (sink, subtask) = sink_and_subtask(name)?;
    Some(Owner { sink, subtask, run: Some(run), attempt_number: attempt_number.parse().ok()? })
}

/// The subtask that made a hidden file; none: it is no part file in progress.
pub(super) fn owner(hidden: &str) -> Option<Owner> {
    let (name, attempt) = hidden.strip_prefix(".part-")?.split_once(".inprogress.")?;
    let attempt: Vec<&str> = attempt.split('.').collect();
    let (run, attempt_number) = match attempt[..] {
        [run, number, _] => (Some(u64::from_str_radix(run, 16).ok()?), number.parse().ok()?),
        [number, _] => (None, number.parse().ok()?),
        _ => (None, 0),
    };
    let (sink, subtask) = sink_and_subtask(name)?;
    Some(Owner { sink, subtask, run, attempt_number })
}

/// Of `<uuid>-<subtask>-<n>`.
fn sink_and_subtask(name: &str) -> Option<(u64, u32)> {
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
        let mut names = Names::new(sink, 3, 0xabc, 12, u64::MAX);
        names.next();
        let (hidden, name) = names.next();
        assert_eq!(name, "part-01234567-89ab-4def-bfff-ffffffffffff-3-1");
        assert_eq!(hidden, format!(".{name}.inprogress.0000000000000abc.12.bfffffffffffffff"));
        assert_eq!(owner(&hidden), Some(Owner { sink, subtask: 3, run: Some(0xabc), attempt_number: 12 }));
        let guard = ".part-01234567-89ab-4def-3.savepoint.0000000000000abc.12";
        assert_eq!((names.guard().as_str(), guard_of(&hidden).as_deref()), (guard, Some(guard)));
        for (old, attempt_number) in [("12.bfffffffffffffff", 12), ("bfffffffffffffff", 0)] {
            let old = format!(".{name}.inprogress.{old}");
            assert_eq!(owner(&old), Some(Owner { sink, subtask: 3, run: None, attempt_number }));
            assert_eq!(guard_of(&old), None);
        }
        let object = names.next_object();
        assert_eq!(object, "part-01234567-89ab-4def-bfff-ffffffffffff-3-2-0000000000000abc-12");
        assert_eq!(object_owner(&object), Some(Owner { sink, subtask: 3, run: Some(0xabc), attempt_number: 12 }));
        assert_eq!(object_owner(&object).and_then(guard_of_owner).as_deref(), Some(guard));
        for other in [&name, "part-1", "_SUCCESS", "part-01234567-89ab-4def-bfff-ffffffffffff-3-2-abc-12"] {
            assert_eq!(object_owner(other), None, "{other}");
        }
        let short = ".part-01234567-89ab-4def-bfff-ffffffffffff-3.inprogress.x";
        for other in [&name, guard, ".part-1.inprogress.x", short, "_SUCCESS"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
