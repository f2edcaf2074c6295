//! The bytes of keys, each key under the number of its group.
//!
//! They lie in segments. One piece of memory that grows is copied to one of twice its size, and until that is done there are both: in
//! a process that is half full that is more than there is, and nobody can stop a task in the middle of it.
use std::ops::Range;

/// Bytes of a segment, at most, but for those of one long key.
const SEGMENT: usize = 1 << 20;
/// Longer keys than such a part of a segment have one of their own: little room is left at the ends of segments.
const LONG: usize = 8;
/// The length of a key that has a segment of its own: that of the segment.
const WHOLE: u32 = u32::MAX;

/// Where a key lies. There is one for each group, so that they are kept small.
#[derive(Clone, Copy, Default)]
struct Span {
    segment: u32,
    start: u32,
    /// 0: the group has no key.
    length: u32,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    /// Of keys that were removed.
    garbage: usize,
}

/// See the module.
pub(crate) struct KeyBytes {
    segment_size: usize,
    segments: Vec<Segment>,
    /// The segment that new keys go to.
    current: Option<usize>,
    /// Segments without bytes.
    empty: Vec<usize>,
    /// By group.
    spans: Vec<Span>,
    /// Bytes of all segments, and those of them that are garbage.
    bytes: usize,
    garbage: usize,
}

impl Default for KeyBytes {
    fn default() -> Self {
        Self::with_segments_of(SEGMENT)
    }
}

impl KeyBytes {
    fn with_segments_of(segment_size: usize) -> Self {
        let (segments, empty, spans) = Default::default();
        Self { segment_size, segments, current: None, empty, spans, bytes: 0, garbage: 0 }
    }

    /// The key of a group; empty if it has none.
    #[inline]
    pub(crate) fn get(&self, group: u32) -> &[u8] {
        let span = self.spans[group as usize];
        if span.length == 0 {
            return &[];
        }
        &self.segments[span.segment as usize].bytes[self.range(span)]
    }

    /// Where in its segment a key lies.
    #[inline]
    fn range(&self, span: Span) -> Range<usize> {
        match span.length {
            WHOLE => 0..self.segments[span.segment as usize].bytes.len(),
            length => span.start as usize..span.start as usize + length as usize,
        }
    }

    fn is_long(&self, length: usize) -> bool {
        length > self.segment_size / LONG
    }

    /// Makes room for groups up to this one.
    pub(crate) fn extend_to(&mut self, group: u32) {
        if self.spans.len() <= group as usize {
            self.spans.resize(group as usize + 1, Span::default());
        }
    }

    /// Gives a key to a group that has none.
    pub(crate) fn set(&mut self, group: u32, key: &[u8]) {
        self.extend_to(group);
        let segment = self.room_for(key.len());
        self.segments[segment].bytes.extend_from_slice(key);
        self.added(group, segment, key.len());
    }

    /// Gives the key of one group to another that has none.
    pub(super) fn copy(&mut self, from: u32, to: u32) {
        self.extend_to(to);
        let span = self.spans[from as usize];
        if span.length == 0 {
            return;
        }
        let range = self.range(span);
        let length = range.len();
        let (source, target) = (span.segment as usize, self.room_for(length));
        if source == target {
            self.segments[target].bytes.extend_from_within(range);
        } else {
            let bytes = std::mem::take(&mut self.segments[source].bytes);
            self.segments[target].bytes.extend_from_slice(&bytes[range]);
            self.segments[source].bytes = bytes;
        }
        self.added(to, target, length);
    }

    /// Takes the keys of groups.
    pub(crate) fn remove(&mut self, groups: &[u32]) {
        for group in groups {
            let span = std::mem::take(&mut self.spans[*group as usize]);
            if span.length > 0 {
                self.taken(span.segment as usize, self.range(span).len());
            }
        }
        if self.garbage > self.segment_size && self.garbage > self.bytes / 2 {
            self.compact();
        }
    }

    /// How many bytes the keys take, roughly; where they lie is said for so many groups.
    pub(crate) fn size(&self, groups: usize) -> usize {
        self.bytes - self.garbage + groups * size_of::<Span>()
    }

    /// A segment with room for so many bytes.
    fn room_for(&mut self, length: usize) -> usize {
        let is_long = self.is_long(length);
        let has_room = |current: &usize| self.segments[*current].bytes.len() + length <= self.segment_size;
        let segment = match self.current.filter(|current| !is_long && has_room(current)) {
            Some(current) => current,
            None => self.empty.pop().unwrap_or_else(|| {
                self.segments.push(Segment::default());
                self.segments.len() - 1
            }),
        };
        if !is_long {
            self.current = Some(segment);
        }
        let bytes = &mut self.segments[segment].bytes;
        let needed = bytes.len() + length;
        if needed > bytes.capacity() {
            // Twice as much, as of any vector, but not beyond the end of a segment.
            let wanted = (2 * bytes.capacity()).min(self.segment_size).max(needed);
            bytes.reserve_exact(wanted - bytes.len());
        }
        segment
    }

    /// So many bytes were added at the end of a segment.
    fn added(&mut self, group: u32, segment: usize, length: usize) {
        let start = self.segments[segment].bytes.len() - length;
        let in_span = if self.is_long(length) { WHOLE } else { length as u32 };
        self.spans[group as usize] = Span { segment: segment as u32, start: start as u32, length: in_span };
        self.bytes += length;
    }

    /// So many bytes of a segment are garbage from now on.
    fn taken(&mut self, at: usize, length: usize) {
        let segment = &mut self.segments[at];
        segment.garbage += length;
        self.garbage += length;
        if segment.garbage == segment.bytes.len() {
            self.discard(at);
        }
    }

    /// Gives the memory of a segment back, in which there is no key any more.
    fn discard(&mut self, at: usize) {
        let segment = std::mem::take(&mut self.segments[at]);
        self.bytes -= segment.bytes.len();
        self.garbage -= segment.garbage;
        if self.current == Some(at) {
            self.current = None;
        }
        self.empty.push(at);
    }

    /// Moves keys out of segments that are a quarter garbage or more. Of what stays a quarter has to be removed before it is worth
    /// the work again. One segment after the other, and each is given back when it is done: beside what there was, there is
    /// never more than a segment.
    fn compact(&mut self) {
        let is_sparse = |segment: &Segment| !segment.bytes.is_empty() && segment.garbage >= segment.bytes.len() / 4;
        let sparse: Vec<bool> = self.segments.iter().map(is_sparse).collect();
        self.current = self.current.filter(|current| !sparse[*current]);
        let in_sparse = |(_, span): &(usize, &Span)| span.length > 0 && sparse[span.segment as usize];
        let mut moved: Vec<u32> =
            self.spans.iter().enumerate().filter(in_sparse).map(|(group, _)| group as u32).collect();
        moved.sort_unstable_by_key(|group| self.spans[*group as usize].segment);
        for group in moved {
            let span = self.spans[group as usize];
            let length = self.range(span).len();
            self.copy(group, group);
            self.taken(span.segment as usize, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Before, all keys lay in one piece of memory, of which there were two while it grew.
    #[test]
    fn no_piece_of_memory_grows_with_the_number_of_keys() {
        let mut keys = KeyBytes::default();
        let key = |group: u32| group.to_le_bytes().repeat(250);
        for group in 0..20_000 {
            keys.set(group, &key(group));
        }
        assert_eq!(keys.bytes, 20_000_000);
        assert!(keys.segments.iter().all(|segment| segment.bytes.capacity() <= SEGMENT));
        assert!(keys.segments.len() < 25, "{}", keys.segments.len());
        assert!((0..20_000).all(|group| keys.get(group) == key(group)));
        // A long one neither takes a segment that has room nor more than it needs.
        let (current, long) = (keys.current, vec![7; 3 * SEGMENT]);
        keys.set(20_000, &long);
        assert!(keys.get(20_000) == long && keys.current == current);
        assert_eq!(keys.segments.iter().map(|segment| segment.bytes.capacity()).max(), Some(3 * SEGMENT));
        keys.remove(&(0..=20_000).collect::<Vec<_>>());
        assert_eq!((keys.bytes, keys.garbage), (0, 0));
        assert!(keys.segments.iter().all(|segment| segment.bytes.capacity() == 0), "it is given back");
    }

    /// Before, all segments that keys were moved out of were kept until the last key was moved: half as much again, to free memory.
    #[test]
    fn a_compaction_takes_no_more_memory_than_there_is() {
        let mut keys = KeyBytes::with_segments_of(1 << 16);
        let key = |group: u32| group.to_le_bytes().repeat(25);
        // The order of groups is not that in which their keys came.
        let order: Vec<u32> = (0..20_000).map(|at| at * 7_919 % 20_000).collect();
        for group in &order {
            keys.set(*group, &key(*group));
        }
        let most = keys.segments.len();
        assert!(most > 30, "{most}");
        let removed: Vec<u32> = (0..20_000_usize).filter(|at| at % 50 >= 24).map(|at| order[at]).collect();
        let kept: Vec<u32> = (0..20_000_usize).filter(|at| at % 50 < 24).map(|at| order[at]).collect();
        keys.remove(&removed);
        assert_eq!((keys.bytes, keys.garbage), (kept.len() * 100, 0));
        assert!(kept.iter().all(|group| keys.get(*group) == key(*group)));
        // A segment that was given back is taken again: so many there were at once.
        assert!(keys.segments.len() <= most + 1, "{} after {most}", keys.segments.len());
    }

    proptest! {
        /// Whatever comes and goes: each group has its key, and at most half is garbage.
        #[test]
        fn groups_keep_their_keys(steps in prop::collection::vec((0..40_u32, 0..40_u32, 0..30_usize), 0..600)) {
            let mut keys = KeyBytes::with_segments_of(64);
            let mut expected: std::collections::BTreeMap<u32, Vec<u8>> = Default::default();
            for (number, (group, like, length)) in steps.into_iter().enumerate() {
                if expected.remove(&group).is_some() {
                    keys.remove(&[group]);
                } else if let Some(key) = expected.get(&like).cloned() {
                    keys.copy(like, group);
                    expected.insert(group, key);
                } else {
                    let key = vec![number as u8; length];
                    keys.set(group, &key);
                    expected.insert(group, key);
                }
                for (group, key) in &expected {
                    prop_assert_eq!(keys.get(*group), &key[..]);
                }
                let live: usize = expected.values().map(Vec::len).sum();
                prop_assert_eq!(keys.size(0), live);
                prop_assert_eq!(keys.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>(), keys.bytes);
                prop_assert!(keys.garbage <= 64_usize.max(keys.bytes / 2), "{} of {}", keys.garbage, keys.bytes);
            }
        }
    }
}
