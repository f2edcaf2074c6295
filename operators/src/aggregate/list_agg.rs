//! `LISTAGG`: texts that are not null, joined by a separator (`,`) in the order in which rows came.
//!
//! A group of many texts has them as rows of keyed state, too ([`NumberedRows`]). Where rows cannot be taken back, only what is joined
//! is kept, and a row has what was added to it between two barriers.
use std::any::Any;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use wiesel_expressions::expression::{MAX_VALUE_BYTES, check_value};
use wiesel_expressions::types::TypeKind;
use wiesel_state::keyed::KeyedBackend;

use super::keeps_rows::{KeepsRows, RowsRequest, no_rows};
use super::kept::{Keep, Kept, KeptGroups};
use super::keys::KeyStore;
use super::number_hasher::NumberHasher;
use super::numbered_rows::NumberedRows;
use super::saved::{Lists, lists};
use super::spill::{INLINE, KeyedBatch};
use super::{Accumulators, Rows, sum::wrong_argument};
use crate::operator::Result;
use crate::state::write_back::Backend;

/// Bytes of what is joined that a group keeps in its own value, at most.
const INLINE_BYTES: usize = INLINE * 16;

pub(super) struct ListAgg {
    retract: bool,
    /// What is joined so far; none: nothing.
    joined: Vec<Option<String>>,
    /// Bytes of what is joined.
    heap: usize,
    /// If rows can be taken back: all texts.
    texts: KeptGroups<Text>,
    /// What each group's texts count.
    counted: Vec<usize>,
    /// Bytes of the longest text that was ever to be joined.
    longest: usize,
    /// Where the texts of groups are that have many.
    rows: Option<NumberedRows>,
    /// If rows cannot be taken back: of these groups, how much of what is joined is rows.
    pieces: HashMap<u32, Pieces, BuildHasherDefault<NumberHasher>>,
    /// There may be such rows.
    any_pieces: bool,
    /// Groups that were loaded, and whose rows have not been read yet.
    unread: Vec<u32>,
}

/// Rows of what is joined.
#[derive(Clone, Copy, Default)]
struct Pieces {
    /// The number of the next one.
    next: i64,
    /// Bytes of those that there are.
    written: usize,
}

impl ListAgg {
    pub(super) fn new(retract: bool) -> Self {
        let (joined, heap, texts, counted, longest) = Default::default();
        let (pieces, any_pieces, unread) = Default::default();
        Self { retract, joined, heap, texts, counted, longest, rows: None, pieces, any_pieces, unread }
    }
}

/// A text with the separator before it. That of a row that is taken back may be another.
#[derive(Clone)]
struct Text {
    separator: Box<str>,
    text: Box<str>,
}

impl Text {
    /// Bytes of the result.
    fn length(&self) -> usize {
        self.separator.len() + self.text.len()
    }

    /// What it counts of the limit of a value: as an element of a list, because it takes memory however short it is.
    fn counted(&self) -> usize {
        size_of::<u128>() + self.length()
    }
}

impl Keep for Text {
    fn key(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.length()
    }
}

fn append(joined: &mut Option<String>, separator: &str, text: &str) {
    match joined {
        Some(joined) => {
            joined.push_str(separator);
            joined.push_str(text);
        }
        None => *joined = Some(text.into()),
    }
}

impl ListAgg {
    /// What would be too long is not joined: [`check_value`] of `longest` tells.
    fn join(&mut self, group: usize, separator: &str, text: &str) {
        let joined = &mut self.joined[group];
        let before = joined.as_ref().map_or(0, String::len);
        self.longest = self.longest.max(before + separator.len() + text.len());
        if self.longest > MAX_VALUE_BYTES {
            return;
        }
        append(joined, separator, text);
        self.heap += joined.as_ref().map_or(0, String::len) - before;
    }

    /// What is joined of groups, but for those where it is rows.
    fn save_joined(&self, groups: &[u32]) -> ArrayRef {
        let joined = groups.iter().map(|group| match self.pieces.contains_key(group) {
            true => None,
            false => self.joined[*group as usize].as_deref(),
        });
        Arc::new(joined.collect::<StringViewArray>())
    }

    /// Nothing is what was saved of a group whose texts are all null, and of one where what is joined is rows.
    fn load_joined(&mut self, groups: &[u32], saved: &ArrayRef) -> Result<()> {
        for (group, joined) in groups.iter().zip(saved.as_string_view()) {
            match joined {
                Some(joined) => self.join(*group as usize, "", joined),
                None => self.unread.extend(self.any_pieces.then_some(*group)),
            }
        }
        Ok(check_value(self.longest)?)
    }

    /// Reads what is joined.
    fn read_pieces(&mut self, keyed: &KeyedBatch<'_>, groups: &[u32]) -> Result<()> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let (joined, heap, pieces) = (&mut self.joined, &mut self.heap, &mut self.pieces);
        rows.read(keyed, groups, |group, numbers, columns| {
            let Some(last) = numbers.last() else { return Ok(()) };
            let text: String = columns[0].as_string_view().iter().flatten().collect();
            pieces.insert(group, Pieces { next: last.saturating_add(1), written: text.len() });
            *heap += text.len();
            joined[group as usize] = Some(text);
            Ok(())
        })
    }

    /// What is joined of those of these groups of which that is long is rows from now on.
    fn cut(&mut self, groups: &[u32]) {
        let Some(rows) = &mut self.rows else { return };
        for group in groups {
            let length = self.joined[*group as usize].as_ref().map_or(0, String::len);
            if length > INLINE_BYTES {
                self.pieces.entry(*group).or_default();
                self.any_pieces = true;
            }
        }
        rows.touch(groups.iter().copied().filter(|group| self.pieces.contains_key(group)));
    }

    /// Makes a row of each of what was joined since the last one.
    fn write_pieces(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        for group in rows.take_touched() {
            let (Some(joined), Some(pieces)) = (&self.joined[group as usize], self.pieces.get_mut(&group)) else {
                continue;
            };
            if pieces.written < joined.len() {
                let piece: ArrayRef = Arc::new(StringViewArray::from_iter_values([&joined[pieces.written..]]));
                rows.put(backend, keys, &[group], vec![pieces.next], &[piece])?;
                *pieces = Pieces { next: pieces.next.saturating_add(1), written: joined.len() };
            }
        }
        Ok(())
    }

    /// What would be too much is not kept: [`check_value`] of `longest` tells.
    fn keep(&mut self, group: usize, text: Text) {
        let counted = self.counted[group] + text.counted();
        self.longest = self.longest.max(counted);
        if self.longest <= MAX_VALUE_BYTES {
            self.keep_unchecked(group, text);
        }
    }

    fn keep_unchecked(&mut self, group: usize, text: Text) {
        self.counted[group] += text.counted();
        self.texts.change(group, |texts| texts.push(text));
    }

    /// The first that is equal; as in Flink nothing if there is none.
    fn take_back(&mut self, group: usize, text: &str) {
        if let Some(text) = self.texts.change(group, |texts| texts.take_first(text.as_bytes())) {
            self.counted[group] -= text.counted();
        }
    }
}

impl Accumulators for ListAgg {
    fn resize(&mut self, groups: usize) {
        self.joined.resize(groups, None);
        self.texts.resize(groups);
        self.counted.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.heap -= self.joined[*group as usize].take().map_or(0, |joined| joined.len());
            self.texts.reset(*group as usize);
            self.counted[*group as usize] = 0;
            self.pieces.remove(group);
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let column = |at: usize| {
            let column = rows.arguments.get(at);
            column.map(|column| column.as_string_view_opt().ok_or_else(|| wrong_argument(rows, &DataType::Utf8View)))
        };
        let texts = column(0).transpose()?.ok_or_else(|| wrong_argument(rows, &DataType::Utf8View))?;
        let separators = column(1).transpose()?;
        rows.for_each_not_null(|row, group, weight| {
            let (text, separator) = (texts.value(row), separators.map_or(",", |separators| separators.value(row)));
            if !self.retract {
                self.join(group, separator, text);
            } else if weight > 0 {
                self.keep(group, Text { separator: separator.into(), text: text.into() });
            } else {
                self.take_back(group, text);
            }
        });
        Ok(check_value(self.longest)?)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let (target, source) = (*target as usize, *source as usize);
            if let Some(text) = self.joined[source].clone() {
                self.join(target, ",", &text);
            }
            let texts: Vec<Text> = self.texts.of(source).into_iter().cloned().collect();
            for text in texts {
                self.keep(target, text);
            }
        }
        Ok(check_value(self.longest)?)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        if !self.retract {
            return Ok(vec![self.save_joined(groups)]);
        }
        let (mut texts, mut lengths) = (Vec::new(), Vec::with_capacity(groups.len()));
        for group in groups {
            let (kept, before) = (self.texts.of(*group as usize), texts.len());
            match kept.is_numbered() {
                // Texts are not null but here.
                true => texts.push(None),
                false => texts.extend(kept.into_iter().map(Some)),
            }
            lengths.push(texts.len() - before);
        }
        let separators = texts.iter().map(|text| text.map(|text| &*text.separator)).collect::<StringViewArray>();
        let texts = texts.iter().map(|text| text.map(|text| &*text.text)).collect::<StringViewArray>();
        let columns: Vec<ArrayRef> = vec![Arc::new(separators), Arc::new(texts)];
        Ok(vec![lists(lengths.into_iter(), columns)?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        if !self.retract {
            return self.load_joined(groups, &saved[0]);
        }
        let saved = Lists::new(saved, 2)?;
        let (separators, texts) = (saved.column(0).as_string_view(), saved.column(1).as_string_view());
        // What a release without the limit has saved may be more.
        saved.for_each(groups, |group, row| {
            if texts.is_null(row) {
                self.texts.change(group, Kept::number);
                self.unread.push(group as u32);
                return;
            }
            let text = Text { separator: separators.value(row).into(), text: texts.value(row).into() };
            self.keep_unchecked(group, text);
        });
        if self.rows.is_none() && !self.unread.is_empty() { Err(no_rows("a LISTAGG")) } else { Ok(()) }
    }

    fn keeps_rows(&self) -> Option<&dyn KeepsRows> {
        Some(self)
    }

    fn keeps_rows_mut(&mut self) -> Option<&mut dyn KeepsRows> {
        Some(self)
    }

    fn width(&self) -> usize {
        size_of::<Option<String>>() + size_of::<Kept<Text>>() + size_of::<usize>()
    }

    fn heap(&self) -> usize {
        self.heap + self.texts.heap() + self.pieces.len() * 2 * size_of::<(u32, Pieces)>()
    }

    fn result_heap(&self) -> usize {
        self.heap + self.texts.values()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        if !self.retract {
            let joined = groups.iter().map(|group| self.joined[*group as usize].as_deref());
            return Ok(Arc::new(joined.collect::<StringViewArray>()));
        }
        let joined = groups.iter().map(|group| {
            let texts = self.texts.of(*group as usize);
            check_value(texts.into_iter().map(Text::length).sum())?;
            let mut joined = None;
            for text in texts {
                append(&mut joined, &text.separator, &text.text);
            }
            Ok(joined)
        });
        Ok(Arc::new(joined.collect::<Result<Vec<Option<String>>>>()?.into_iter().collect::<StringViewArray>()))
    }
}

impl KeepsRows for ListAgg {
    fn open_rows(&mut self, backend: &mut dyn KeyedBackend, request: RowsRequest<'_>) -> Result<()> {
        let text = || TypeKind::string().nullable();
        let value = if self.retract { vec![text(), text()] } else { vec![text()] };
        let rows = NumberedRows::open(backend, "list_agg", &request, &value)?;
        self.any_pieces = !rows.is_empty(backend)?;
        self.rows = Some(rows);
        Ok(())
    }

    fn take_rows(&mut self, other: &mut dyn KeepsRows) {
        if let Some(other) = (other as &mut dyn Any).downcast_mut::<Self>() {
            (self.rows, self.any_pieces) = (other.rows.take(), other.any_pieces);
        }
    }

    fn load_rows(&mut self, keyed: &KeyedBatch<'_>) -> Result<()> {
        let unread = std::mem::take(&mut self.unread);
        let Some(rows) = self.rows.as_ref().filter(|_| !unread.is_empty()) else { return Ok(()) };
        if !self.retract {
            return self.read_pieces(keyed, &unread);
        }
        let (kept, counted) = (&mut self.texts, &mut self.counted);
        rows.read(keyed, &unread, |group, numbers, columns| {
            let (separators, texts) = (columns[0].as_string_view(), columns[1].as_string_view());
            for (row, number) in numbers.iter().enumerate() {
                let text = Text { separator: separators.value(row).into(), text: texts.value(row).into() };
                counted[group as usize] += text.counted();
                kept.change(group as usize, |kept| kept.push_numbered(*number, text));
            }
            Ok(())
        })
    }

    fn spill(&mut self, _: &KeyStore, groups: &[u32]) -> Result<()> {
        if !self.retract {
            self.cut(groups);
        } else if let Some(rows) = &mut self.rows {
            rows.touch(self.texts.number(groups, INLINE));
        }
        Ok(())
    }

    fn flush_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        if !self.retract {
            return self.write_pieces(backend, keys);
        }
        let Some(rows) = &mut self.rows else { return Ok(()) };
        rows.write(backend, keys, &mut self.texts, |texts| {
            let separators = StringViewArray::from_iter_values(texts.iter().map(|text| &*text.separator));
            let texts = StringViewArray::from_iter_values(texts.iter().map(|text| &*text.text));
            let columns: Vec<ArrayRef> = vec![Arc::new(separators), Arc::new(texts)];
            Ok(columns)
        })
    }

    fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        // Where rows cannot be taken back, no group goes.
        self.rows.as_ref().map_or(Ok(()), |rows| rows.clear(backend, keys, &self.texts, groups))
    }
}
