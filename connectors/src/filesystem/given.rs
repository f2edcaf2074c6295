//! What is left to give out where an enumerator goes on from a state in which parts of files are that were given out since.
//!
//! The parts of a file are cut one behind the other, and go to different readers. One that was on its way to a reader when the
//! enumerator ended did not arrive: it is a gap between others, or behind them, and is given out again. Its bounds are those between
//! records, because the parts beside it have them.
use std::collections::{BTreeMap, HashSet, VecDeque};

use super::enumerator::Pending;
use super::split::FileVersion;

/// A part that a reader has, or has read: from `start` to before `end` of a file; the largest number: to the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenPart {
    pub(super) file: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The file as it was found.
    pub(super) found: Option<FileVersion>,
}

/// The parts by where they begin: where each ends, and the file as it was found.
type Parts = BTreeMap<(u32, u64), (u64, Option<FileVersion>)>;

/// What is left of what was pending, in its order, and of files that were found since. None: the parts are none of these.
pub(super) fn left(
    pending: VecDeque<Pending>,
    given: &[GivenPart],
    found_since: &HashSet<u32>,
) -> Option<VecDeque<Pending>> {
    let mut parts = Parts::new();
    for part in given {
        if part.end <= part.start || parts.insert((part.file, part.start), (part.end, part.found)).is_some() {
            return None;
        }
    }
    let mut left = VecDeque::with_capacity(pending.len());
    for whole in pending {
        let end = if whole.is_cut { u64::MAX } else { whole.end };
        take_out(whole, &take(&mut parts, whole, end)?, &mut left)?;
    }
    // How long these files were when they were found is not known: what is left behind the last part is one.
    let mut new: Vec<u32> = found_since.iter().copied().collect();
    new.sort_unstable();
    for file in new {
        let (_, (_, found)) = parts.range((file, 0)..).next()?;
        let whole = Pending { file, is_cut: true, start: 0, end: u64::MAX, found: *found };
        let begins = left.len();
        take_out(whole, &take(&mut parts, whole, u64::MAX)?, &mut left)?;
        left.iter_mut().skip(begins).for_each(|rest| rest.is_cut = false);
    }
    parts.is_empty().then_some(left)
}

/// The parts of what was pending that begin before `end`, in their order. None: one is of another content.
fn take(parts: &mut Parts, whole: Pending, end: u64) -> Option<Vec<(u64, u64)>> {
    let Pending { file, start, found, .. } = whole;
    // What a checkpoint says may be malformed.
    if start >= end {
        return Some(Vec::new());
    }
    let range = parts.range((file, start)..(file, end));
    let taken: Option<Vec<(u64, u64)>> =
        range.map(|((_, start), (end, of))| (*of == found).then_some((*start, *end))).collect();
    let taken = taken?;
    taken.iter().for_each(|(start, _)| _ = parts.remove(&(file, *start)));
    Some(taken)
}

fn take_out(whole: Pending, parts: &[(u64, u64)], left: &mut VecDeque<Pending>) -> Option<()> {
    if !whole.is_cut {
        return match parts {
            [] => {
                left.push_back(whole);
                Some(())
            }
            // It is given out as it is.
            [(start, end)] if (*start, *end) == (whole.start, whole.end) => Some(()),
            _ => None,
        };
    }
    let mut behind = whole.start;
    for (start, end) in parts {
        if *start < behind {
            return None;
        }
        if *start > behind {
            left.push_back(Pending { is_cut: false, start: behind, end: *start, ..whole });
        }
        behind = *end;
    }
    if behind < u64::MAX {
        left.push_back(Pending { start: behind, ..whole });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use wiesel_common::filesystem::Status;

    use super::*;

    const END: u64 = u64::MAX;

    /// What file it is.
    fn content(file: u32) -> Option<FileVersion> {
        Some(FileVersion::of(&Status { size: 1000, e_tag: None, modified: i64::from(file) }))
    }

    fn whole(file: u32, start: u64) -> Pending {
        Pending { file, is_cut: false, start, end: END, found: content(file) }
    }

    fn cut(file: u32, start: u64) -> Pending {
        Pending { file, is_cut: true, start, end: 1000, found: content(file) }
    }

    fn part(file: u32, start: u64, end: u64) -> GivenPart {
        GivenPart { file, start, end, found: content(file) }
    }

    fn rest(pending: &[Pending], given: &[GivenPart], found_since: &[u32]) -> Option<Vec<(u32, bool, u64, u64)>> {
        let left = left(pending.iter().copied().collect(), given, &found_since.iter().copied().collect())?;
        assert!(left.iter().all(|left| left.found == content(left.file)));
        Some(left.iter().map(|left| (left.file, left.is_cut, left.start, left.end)).collect())
    }

    #[test]
    fn what_was_given_is_not_left_and_what_did_not_arrive_is() {
        let pending = [whole(0, 0), cut(1, 200), whole(2, 0)];
        assert_eq!(rest(&pending, &[], &[]).unwrap().len(), 3);
        // In whatever order: they come from several readers.
        let given = [part(1, 500, 600), part(0, 0, END), part(1, 200, 300)];
        let expected = vec![(1, false, 300, 500), (1, true, 600, 1000), (2, false, 0, END)];
        assert_eq!(rest(&pending, &given, &[]), Some(expected));
        let all = [part(1, 200, 300), part(1, 300, END), part(0, 0, END), part(2, 0, END)];
        assert_eq!(rest(&pending, &all, &[]), Some(vec![]));
        // A gap that was left before.
        let gap = Pending { is_cut: false, end: 500, ..cut(1, 300) };
        let given = [part(1, 300, 500), part(1, 600, 700)];
        assert_eq!(rest(&[gap, cut(1, 600)], &given, &[]), Some(vec![(1, true, 700, 1000)]));
    }

    #[test]
    fn the_rest_of_a_file_that_was_found_since_is_one_part() {
        let given = [part(7, 100, 200), part(8, 0, END)];
        let expected = vec![(7, false, 0, 100), (7, false, 200, END)];
        assert_eq!(rest(&[], &given, &[7, 8]), Some(expected));
    }

    #[test]
    fn parts_that_cannot_have_been_given_are_told() {
        for given in [
            // Of a file of which nothing is left; of what was given before; twice; over one another; another cut; empty.
            vec![part(3, 0, END)],
            vec![part(1, 100, 200)],
            vec![part(1, 200, 300), part(1, 200, 300)],
            vec![part(1, 200, 300), part(1, 250, 400)],
            vec![part(0, 0, 100)],
            vec![part(1, 200, 200)],
            // Of another content than was found.
            vec![GivenPart { found: content(2), ..part(1, 200, 300) }],
            vec![GivenPart { found: None, ..part(0, 0, END) }],
        ] {
            assert_eq!(rest(&[whole(0, 0), cut(1, 200)], &given, &[]), None, "{given:?}");
        }
        let replaced = GivenPart { found: content(8), ..part(7, 100, 200) };
        assert_eq!(rest(&[], &[part(7, 0, 100), replaced], &[7]), None);
    }
}
