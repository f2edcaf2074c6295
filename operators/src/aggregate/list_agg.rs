//! `LISTAGG`: texts that are not null, joined by a separator (`,`) in the order in which rows came.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;

use super::saved::{Lists, lists};
use super::{Accumulators, Rows, sum::wrong_argument};
use crate::expression::{MAX_VALUE_BYTES, check_value};
use crate::operator::Result;

pub(super) struct ListAgg {
    retract: bool,
    /// What is joined so far; none: nothing.
    joined: Vec<Option<String>>,
    /// If rows can be taken back: each text with the separator before it.
    texts: Vec<Vec<(Box<str>, Box<str>)>>,
    /// Bytes of all texts.
    heap: usize,
    /// Bytes of the longest text that was ever to be joined.
    longest: usize,
}

impl ListAgg {
    pub(super) fn new(retract: bool) -> Self {
        Self { retract, joined: Vec::new(), texts: Vec::new(), heap: 0, longest: 0 }
    }
}

/// How many bytes a kept text takes.
fn size((separator, text): &(Box<str>, Box<str>)) -> usize {
    size_of::<(Box<str>, Box<str>)>() + separator.len() + text.len()
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

    fn keep(&mut self, group: usize, text: (Box<str>, Box<str>)) {
        self.heap += size(&text);
        self.texts[group].push(text);
    }
}

impl Accumulators for ListAgg {
    fn resize(&mut self, groups: usize) {
        self.joined.resize(groups, None);
        self.texts.resize(groups, Vec::new());
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.heap -= self.joined[*group as usize].take().map_or(0, |joined| joined.len());
            self.heap -= std::mem::take(&mut self.texts[*group as usize]).iter().map(size).sum::<usize>();
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
                self.keep(group, (separator.into(), text.into()));
            } else if let Some(at) = self.texts[group].iter().position(|(_, kept)| **kept == *text) {
                self.heap -= size(&self.texts[group].remove(at));
            }
        });
        check_value(self.longest)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let (target, source) = (*target as usize, *source as usize);
            if let Some(text) = self.joined[source].clone() {
                self.join(target, ",", &text);
            }
            for text in self.texts[source].clone() {
                self.keep(target, text);
            }
        }
        check_value(self.longest)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        if !self.retract {
            return Ok(vec![self.evaluate(groups)?]);
        }
        let of = |group: &u32| &self.texts[*group as usize];
        let separators =
            StringViewArray::from_iter_values(groups.iter().flat_map(of).map(|(separator, _)| &**separator));
        let texts = StringViewArray::from_iter_values(groups.iter().flat_map(of).map(|(_, text)| &**text));
        let columns: Vec<ArrayRef> = vec![Arc::new(separators), Arc::new(texts)];
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), columns)?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        if !self.retract {
            let joined = saved[0].as_string_view();
            for (group, joined) in groups.iter().zip(joined) {
                joined.into_iter().for_each(|joined| self.join(*group as usize, "", joined));
            }
            return check_value(self.longest);
        }
        let saved = Lists::new(saved, 2)?;
        let (separators, texts) = (saved.column(0).as_string_view(), saved.column(1).as_string_view());
        saved.for_each(groups, |group, row| self.keep(group, (separators.value(row).into(), texts.value(row).into())));
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Option<String>>() + size_of::<Vec<(Box<str>, Box<str>)>>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn result_heap(&self) -> usize {
        self.heap
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        if !self.retract {
            let joined = groups.iter().map(|group| self.joined[*group as usize].as_deref());
            return Ok(Arc::new(joined.collect::<StringViewArray>()));
        }
        let joined = groups.iter().map(|group| {
            let texts = &self.texts[*group as usize];
            check_value(texts.iter().map(|(separator, text)| separator.len() + text.len()).sum())?;
            let mut joined = None;
            for (separator, text) in texts {
                append(&mut joined, separator, text);
            }
            Ok(joined)
        });
        Ok(Arc::new(joined.collect::<Result<Vec<Option<String>>>>()?.into_iter().collect::<StringViewArray>()))
    }
}
