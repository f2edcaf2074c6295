//! The functions of regular expressions. As in Flink what is no pattern gives null, REGEXP false, and replacements are
//! taken literally: `$1` is no group.
use arrow::array::{Array, AsArray, Int32Array};
use arrow::datatypes::Int32Type;

use super::java_regex::{Regexp, name_of};
use super::strings::{integers, utf16_count};
use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Kernel, Reader, Text};

/// The pattern operand of a call: compiled once if constant, else whenever it changes from row to row.
pub(super) struct Pattern {
    function: String,
    index: usize,
    /// Its text and what came of it.
    constant: Option<(String, Option<Regexp>)>,
}

impl Pattern {
    fn of(site: &Site, index: usize) -> Result<Self> {
        site.operand_type(index)?;
        Self::new(site, index, site.text(index))
    }

    /// That of an operand that may be left out.
    pub(super) fn or_default(site: &Site, index: usize, default: &str) -> Result<Self> {
        let is_given = site.operands.len() > index;
        Self::new(site, index, if is_given { site.text(index) } else { Some(default) })
    }

    fn new(site: &Site, index: usize, constant: Option<&str>) -> Result<Self> {
        let mut pattern = Self { function: site.function.to_owned(), index, constant: None };
        if let Some(text) = constant {
            let regexp = Regexp::compile_constant(text, pattern.name(text), &site.context.patterns)?;
            pattern.constant = Some((text.to_owned(), regexp));
        }
        Ok(pattern)
    }

    pub(super) fn reader<'a>(&'a self, args: &'a Args) -> Result<Patterns<'a>> {
        let texts = match self.constant {
            Some(_) => None,
            None => Some(args.read::<Text>(self.index)?),
        };
        Ok(Patterns { pattern: self, texts, last: None })
    }

    /// What errors call a pattern at this place.
    fn name(&self, text: &str) -> String {
        format!("{} (argument {} of {})", name_of(text), self.index + 1, self.function)
    }

    fn malformed(&self, text: &str) -> Error {
        let message = format!(
            "{} is malformed: write what is to be taken as it is between \\Q and \\E, or its special characters after \\",
            self.name(text)
        );
        Error::data("java.util.regex.PatternSyntaxException", message)
    }
}

pub(super) struct Patterns<'a> {
    pattern: &'a Pattern,
    /// None for a constant.
    texts: Option<Reader<'a, Text>>,
    last: Option<(&'a str, Option<Regexp>)>,
}

impl<'a> Patterns<'a> {
    /// The text of a row: none if null.
    pub(super) fn text(&self, row: usize) -> Option<&'a str> {
        match &self.texts {
            Some(texts) => texts.get(row),
            None => self.pattern.constant.as_ref().map(|(text, _)| text.as_str()),
        }
    }

    /// The pattern of a row: none if null; inner none if malformed.
    fn get(&mut self, row: usize) -> Result<Option<Option<&Regexp>>> {
        if let Some((_, constant)) = &self.pattern.constant {
            return Ok(Some(constant.as_ref()));
        }
        let Some(text) = self.text(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, Regexp::compile(text, self.pattern.name(text))?));
        }
        Ok(self.last.as_ref().map(|(_, regex)| regex.as_ref()))
    }

    /// The pattern of a row where a malformed one is an error: none if null.
    pub(super) fn well_formed(&mut self, row: usize) -> Result<Option<&Regexp>> {
        let (pattern, text) = (self.pattern, self.text(row));
        match (self.get(row)?, text) {
            (Some(Some(regexp)), _) => Ok(Some(regexp)),
            (Some(None), Some(text)) => Err(pattern.malformed(text)),
            _ => Ok(None),
        }
    }
}

pub(super) fn regexp(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args)?;
        args.booleans(|row| {
            let (Some(text), Some(source)) = (text.get(row), patterns.text(row)) else { return Ok(None) };
            if source.is_empty() {
                return Ok(Some(false));
            }
            match patterns.get(row)? {
                Some(Some(regex)) => regex.is_match(text).map(Some),
                Some(None) => Ok(Some(false)),
                None => Ok(None),
            }
        })
    }))
}

/// The third operand, which may be left out: the number of a group of the pattern.
fn group_operand(args: &Args) -> Result<Option<Int32Array>> {
    let group = (args.len() > 2).then(|| integers(args, 2)).transpose()?;
    Ok(group.map(|group| group.as_primitive::<Int32Type>().clone()))
}

pub(super) fn extract(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = group_operand(args)?;
        let mut patterns = pattern.reader(args)?;
        // One set of group positions for all rows of a constant pattern.
        let mut groups = pattern.constant.as_ref().and_then(|(_, regexp)| regexp.as_ref()).and_then(Regexp::locations);
        args.substrings(0, |row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let group = match &group {
                Some(group) if group.is_null(args.row(2, row)) => return Ok(None),
                Some(group) => group.value(args.row(2, row)),
                None => 0,
            };
            let Some(Some(regex)) = patterns.get(row)? else { return Ok(None) };
            let Ok(group) = usize::try_from(group) else { return Ok(None) };
            regex.group(text, group, groups.as_mut())
        })
    }))
}

pub(super) fn extract_all(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = group_operand(args)?;
        let mut patterns = pattern.reader(args)?;
        let mut lists = args.string_lists();
        for row in 0..args.rows {
            let group = match &group {
                Some(group) => group.is_valid(args.row(2, row)).then(|| group.value(args.row(2, row))),
                None => Some(1),
            };
            let found = match (text.get(row), group.map(usize::try_from), patterns.get(row)?) {
                (Some(text), Some(Ok(group)), Some(Some(regex))) if group <= regex.group_count()? => {
                    regex.each_group(text, group, |found| lists.push(found))?;
                    true
                }
                _ => false,
            };
            lists.end(found);
        }
        lists.finish()
    }))
}

pub(super) fn replace(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let (text, with) = (args.read::<Text>(0)?, args.read::<Text>(2)?);
        let mut patterns = pattern.reader(args)?;
        args.strings(|row, out| {
            let (Some(text), Some(with)) = (text.get(row), with.get(row)) else { return Ok(false) };
            let Some(Some(regex)) = patterns.get(row)? else { return Ok(false) };
            let mut rest = 0;
            regex.each(text, |found| {
                check_value(out.len() + (found.start - rest) + with.len())?;
                out.push_str(&text[rest..found.start]);
                out.push_str(with);
                rest = found.end;
                Ok(())
            })?;
            out.push_str(&text[rest..]);
            Ok(true)
        })
    }))
}

pub(super) fn count(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args)?;
        args.collect::<Int32Type>(|row| {
            let (Some(text), Some(Some(regex))) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
            let mut count = 0;
            regex.each(text, |_| {
                count += 1;
                Ok(())
            })?;
            Ok(Some(count))
        })
    }))
}

pub(super) fn instr(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args)?;
        args.collect::<Int32Type>(|row| {
            let (Some(text), Some(Some(regex))) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
            Ok(Some(regex.find(text)?.map_or(0, |found| utf16_count(&text[..found.start]) as i32 + 1)))
        })
    }))
}

pub(super) fn substr(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args)?;
        args.substrings(0, |row| {
            let (Some(text), Some(Some(regex))) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
            Ok(regex.find(text)?.map(|found| &text[found]))
        })
    }))
}
