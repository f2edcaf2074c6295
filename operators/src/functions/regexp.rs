//! The functions of regular expressions. As in Flink what is no pattern gives null, REGEXP false, and replacements are
//! taken literally: `$1` is no group.
use arrow::array::{Array, AsArray, Int32Array};
use arrow::datatypes::Int32Type;

use super::Build;
use super::java_regex::Regexp;
use super::strings::{integers, utf16_count};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Kernel, Reader, Text};
use crate::operator::Result;

pub(super) fn lookup(name: &str) -> Option<Build> {
    Some(match name {
        "REGEXP" | "RLIKE" => regexp,
        "REGEXP_EXTRACT" => extract,
        "REGEXP_EXTRACT_ALL" => extract_all,
        "REGEXP_REPLACE" => replace,
        "REGEXP_COUNT" => count,
        "REGEXP_INSTR" => instr,
        "REGEXP_SUBSTR" => substr,
        _ => return None,
    })
}

/// The pattern operand of a call: compiled once if constant, else whenever it changes from row to row.
struct Pattern(Option<Option<Regexp>>);

impl Pattern {
    fn of(site: &Site, index: usize) -> Result<Self> {
        site.operand_type(index)?;
        let constant = site.text(index).map(|text| Regexp::compile_constant(text, &site.context.patterns));
        Ok(Self(constant.transpose()?))
    }

    fn reader<'a>(&'a self, args: &'a Args, index: usize) -> Result<Patterns<'a>> {
        Ok(Patterns { constant: self.0.as_ref(), texts: args.read::<Text>(index)?, last: None })
    }
}

struct Patterns<'a> {
    constant: Option<&'a Option<Regexp>>,
    texts: Reader<'a, Text>,
    last: Option<(&'a str, Option<Regexp>)>,
}

impl Patterns<'_> {
    /// The pattern of a row: none if null; inner none if malformed.
    fn get(&mut self, row: usize) -> Result<Option<Option<&Regexp>>> {
        if let Some(constant) = self.constant {
            return Ok(Some(constant.as_ref()));
        }
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, Regexp::compile(text)?));
        }
        Ok(self.last.as_ref().map(|(_, regex)| regex.as_ref()))
    }
}

fn regexp(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let (text, texts) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let mut patterns = pattern.reader(args, 1)?;
        args.booleans(|row| {
            let (Some(text), Some(source)) = (text.get(row), texts.get(row)) else { return Ok(None) };
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

fn extract(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = group_operand(args)?;
        let mut patterns = pattern.reader(args, 1)?;
        // One set of group positions for all rows of a constant pattern.
        let mut groups = pattern.0.as_ref().and_then(|regex| regex.as_ref()).and_then(Regexp::locations);
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

fn extract_all(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = group_operand(args)?;
        let mut patterns = pattern.reader(args, 1)?;
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

fn replace(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let (text, with) = (args.read::<Text>(0)?, args.read::<Text>(2)?);
        let mut patterns = pattern.reader(args, 1)?;
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

fn count(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args, 1)?;
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

fn instr(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args, 1)?;
        args.collect::<Int32Type>(|row| {
            let (Some(text), Some(Some(regex))) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
            Ok(Some(regex.find(text)?.map_or(0, |found| utf16_count(&text[..found.start]) as i32 + 1)))
        })
    }))
}

fn substr(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut patterns = pattern.reader(args, 1)?;
        args.substrings(0, |row| {
            let (Some(text), Some(Some(regex))) = (text.get(row), patterns.get(row)?) else { return Ok(None) };
            Ok(regex.find(text)?.map(|found| &text[found]))
        })
    }))
}
