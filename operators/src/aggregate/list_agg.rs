//! `LISTAGG`: texts that are not null, joined by a separator (`,`) in the order in which rows came.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;

use super::{Accumulators, Rows, not_splittable, sum::wrong_argument};
use crate::operator::Result;

pub(super) struct ListAgg {
    retract: bool,
    /// What is joined so far; none: nothing.
    joined: Vec<Option<String>>,
    /// If rows can be taken back: each text with the separator before it.
    texts: Vec<Vec<(Box<str>, Box<str>)>>,
}

impl ListAgg {
    pub(super) fn new(retract: bool) -> Self {
        Self { retract, joined: Vec::new(), texts: Vec::new() }
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

impl Accumulators for ListAgg {
    fn resize(&mut self, groups: usize) {
        self.joined.resize(groups, None);
        self.texts.resize(groups, Vec::new());
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.joined[*group as usize] = None;
            self.texts[*group as usize] = Vec::new();
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
                append(&mut self.joined[group], separator, text);
            } else if weight > 0 {
                self.texts[group].push((separator.into(), text.into()));
            } else if let Some(at) = self.texts[group].iter().position(|(_, kept)| **kept == *text) {
                self.texts[group].remove(at);
            }
        });
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let (target, source) = (*target as usize, *source as usize);
            if let Some(text) = self.joined[source].clone() {
                append(&mut self.joined[target], ",", &text);
            }
            let texts = self.texts[source].clone();
            self.texts[target].extend(texts);
        }
        Ok(())
    }

    fn state(&self, _: &[u32]) -> Result<Vec<ArrayRef>> {
        Err(not_splittable("LISTAGG"))
    }

    fn merge(&mut self, _: &[u32], _: &[ArrayRef]) -> Result<()> {
        Err(not_splittable("LISTAGG"))
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        if !self.retract {
            let joined = groups.iter().map(|group| self.joined[*group as usize].as_deref());
            return Ok(Arc::new(joined.collect::<StringViewArray>()));
        }
        let joined = groups.iter().map(|group| {
            let mut joined = None;
            for (separator, text) in &self.texts[*group as usize] {
                append(&mut joined, separator, text);
            }
            joined
        });
        Ok(Arc::new(joined.collect::<StringViewArray>()))
    }
}
