//! `LISTAGG`: texts that are not null, joined by a separator (`,`) in the order in which rows came.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use wiesel_expressions::expression::{MAX_VALUE_BYTES, check_value};

use super::kept::{Keep, Kept, KeptGroups};
use super::saved::{Lists, lists};
use super::{Accumulators, Rows, sum::wrong_argument};
use crate::operator::Result;

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
}

impl ListAgg {
    pub(super) fn new(retract: bool) -> Self {
        Self { retract, joined: Vec::new(), heap: 0, texts: KeptGroups::default(), counted: Vec::new(), longest: 0 }
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
            return Ok(vec![self.evaluate(groups)?]);
        }
        let of = |group: &u32| self.texts.of(*group as usize);
        let separators = StringViewArray::from_iter_values(groups.iter().flat_map(of).map(|text| &*text.separator));
        let texts = StringViewArray::from_iter_values(groups.iter().flat_map(of).map(|text| &*text.text));
        let columns: Vec<ArrayRef> = vec![Arc::new(separators), Arc::new(texts)];
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), columns)?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        if !self.retract {
            let joined = saved[0].as_string_view();
            for (group, joined) in groups.iter().zip(joined) {
                joined.into_iter().for_each(|joined| self.join(*group as usize, "", joined));
            }
            return Ok(check_value(self.longest)?);
        }
        let saved = Lists::new(saved, 2)?;
        let (separators, texts) = (saved.column(0).as_string_view(), saved.column(1).as_string_view());
        // What a release without the limit has saved may be more.
        saved.for_each(groups, |group, row| {
            let text = Text { separator: separators.value(row).into(), text: texts.value(row).into() };
            self.keep_unchecked(group, text);
        });
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Option<String>>() + size_of::<Kept<Text>>() + size_of::<usize>()
    }

    fn heap(&self) -> usize {
        self.heap + self.texts.heap()
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
