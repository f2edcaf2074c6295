//! The bytes of keys, each key under the number of its group.
//!
//! They lie in segments. One piece of memory that grows is copied to one of twice its size, and until that is done there are both: in
//! a process that is half full that is more than there is, and nobody can stop a task in the middle of it.

/// Bytes of a segment, at most, but for those of one long key.
const SEGMENT: usize = 1 << 20;
/// Longer keys than such a part of a segment have one of their own: little room is left at the ends of segments.
const LONG: usize = 8;

/// Where a key lies.
#[derive(Clone, Copy, Default)]
struct Span {
    segment: u32,
    start: u32,
    length: usize,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    /// Of keys that were removed.
    garbage: usize,
}

/// See the module.
pub(super) struct KeyBytes {
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
    pub(super) fn get(&self, group: u32) -> &[u8] {
        let Span { segment, start, length } = self.spans[group as usize];
        if length == 0 {
            return &[];
        }
        &self.segments[segment as usize].bytes[start as usize..start as usize + length]
    }

    /// Makes room for groups up to this one.
    pub(super) fn extend_to(&mut self, group: u32) {
        if self.spans.len() <= group as usize {
            self.spans.resize(group as usize + 1, Span::default());
        }
    }

    /// Gives a key to a group that has none.
    pub(super) fn set(&mut self, group: u32, key: &[u8]) {
        self.extend_to(group);
        let segment = self.room_for(key.len());
        self.segments[segment].bytes.extend_from_slice(key);
        self.added(group, segment, key.len());
    }

    /// Gives the key of one group to another that has none.
    pub(super) fn copy(&mut self, from: u32, to: u32) {
        self.extend_to(to);
        let Span { segment, start, length } = self.spans[from as usize];
        if length == 0 {
            return;
        }
        let range = start as usize..start as usize + length;
        let (source, target) = (segment as usize, self.room_for(length));
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
    pub(super) fn remove(&mut self, groups: &[u32]) {
        for group in groups {
            let Span { segment, length, .. } = std::mem::take(&mut self.spans[*group as usize]);
            if length == 0 {
                continue;
            }
            let (at, segment) = (segment as usize, &mut self.segments[segment as usize]);
            segment.garbage += length;
            self.garbage += length;
            if segment.garbage == segment.bytes.len() {
                self.discard(at);
            }
        }
        if self.garbage > self.segment_size && self.garbage > self.bytes / 2 {
            self.compact();
        }
    }

    /// How many bytes the keys take, roughly; where they lie is said for so many groups.
    pub(super) fn size(&self, groups: usize) -> usize {
        self.bytes - self.garbage + groups * size_of::<Span>()
    }

    /// A segment with room for so many bytes.
    fn room_for(&mut self, length: usize) -> usize {
        let is_long = length > self.segment_size / LONG;
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
        self.spans[group as usize] = Span { segment: segment as u32, start: start as u32, length };
        self.bytes += length;
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
    /// the work again.
    fn compact(&mut self) {
        let is_sparse = |segment: &Segment| !segment.bytes.is_empty() && segment.garbage >= segment.bytes.len() / 4;
        let sparse: Vec<bool> = self.segments.iter().map(is_sparse).collect();
        self.current = self.current.filter(|current| !sparse[*current]);
        for group in 0..self.spans.len() {
            let span = self.spans[group];
            // Segments that were added meanwhile are not among them.
            if span.length > 0 && sparse.get(span.segment as usize).is_some_and(|sparse| *sparse) {
                self.copy(group as u32, group as u32);
            }
        }
        for (at, _) in sparse.iter().enumerate().filter(|(_, sparse)| **sparse) {
            self.discard(at);
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
