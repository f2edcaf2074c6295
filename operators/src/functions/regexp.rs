//! The functions of regular expressions. Java's syntax is translated; look-around and back references are refused.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use regex::{Match, Regex};

use super::Build;
use super::strings::{integers, utf16_count};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Kernel, Reader, Text};
use crate::operator::{Error, Result};

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

/// A Java pattern in the syntax of the `regex` crate: Java's classes `\d`, `\w`, `\s` are ASCII, its `\p{Alpha}` are
/// POSIX classes, and `[` within a class nests.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.char_indices();
    let mut depth = 0_u32;
    while let Some((at, c)) = chars.next() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some((_, escaped)) = chars.next() else {
            out.push('\\');
            break;
        };
        let (inner, negated) = match escaped {
            'd' => ("0-9", false),
            'D' => ("0-9", true),
            'w' => ("A-Za-z0-9_", false),
            'W' => ("A-Za-z0-9_", true),
            's' => (r" \t\n\x0B\f\r", false),
            'S' => (r" \t\n\x0B\f\r", true),
            'h' => (r" \t\u{A0}", false),
            'Z' => {
                out.push_str(r"(?:\n?\z)");
                continue;
            }
            'p' | 'P' => {
                let rest = &pattern[at + 2..];
                let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
                match name.and_then(posix) {
                    Some(class) => {
                        chars.nth(name.map_or(0, str::len) + 1);
                        (class, escaped == 'P')
                    }
                    None => {
                        out.push('\\');
                        out.push(escaped);
                        continue;
                    }
                }
            }
            'Q' => {
                let rest = &pattern[at + 2..];
                let quoted = rest.split_once(r"\E").map_or(rest, |(quoted, _)| quoted);
                out.push_str(&regex::escape(quoted));
                let skipped = quoted.chars().count() + if quoted.len() < rest.len() { 2 } else { 0 };
                if skipped > 0 {
                    chars.nth(skipped - 1);
                }
                continue;
            }
            other => {
                out.push('\\');
                out.push(other);
                continue;
            }
        };
        match (depth > 0, negated) {
            (true, false) => out.push_str(inner),
            (_, true) => {
                out.push_str("[^");
                out.push_str(inner);
                out.push(']');
            }
            (false, false) => {
                out.push('[');
                out.push_str(inner);
                out.push(']');
            }
        }
    }
    out
}

fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "Alpha" => "[:alpha:]",
        "Digit" => "0-9",
        "Alnum" => "[:alnum:]",
        "Upper" => "[:upper:]",
        "Lower" => "[:lower:]",
        "Punct" => "[:punct:]",
        "Space" => "[:space:]",
        "Blank" => "[:blank:]",
        "Cntrl" => "[:cntrl:]",
        "Graph" => "[:graph:]",
        "Print" => "[:print:]",
        "XDigit" => "[:xdigit:]",
        "ASCII" => "[:ascii:]",
        _ => return None,
    })
}

/// A compiled pattern; none if it is malformed, which Flink's functions answer with null or false.
fn compile(pattern: &str) -> Result<Option<Regex>> {
    match Regex::new(&translate(pattern)) {
        Ok(regex) => Ok(Some(regex)),
        Err(error) => {
            let text = error.to_string();
            if text.contains("look-around") || text.contains("backreference") || text.contains("size limit") {
                let reason = text.lines().last().unwrap_or("").trim().to_owned();
                return Err(Error::Plan(format!("the pattern '{pattern}' cannot be used: {reason}")));
            }
            Ok(None)
        }
    }
}

/// The pattern operand of a call: compiled once if constant, else whenever it changes from row to row.
struct Pattern(Option<Option<Regex>>);

impl Pattern {
    fn of(site: &Site, index: usize) -> Result<Self> {
        site.operand_type(index)?;
        Ok(Self(site.text(index).map(compile).transpose()?))
    }

    fn reader<'a>(&'a self, args: &'a Args, index: usize) -> Result<Patterns<'a>> {
        Ok(Patterns { constant: self.0.as_ref(), texts: args.read::<Text>(index)?, last: None })
    }
}

struct Patterns<'a> {
    constant: Option<&'a Option<Regex>>,
    texts: Reader<'a, Text>,
    last: Option<(&'a str, Option<Regex>)>,
}

impl Patterns<'_> {
    /// The pattern of a row: none if null; inner none if malformed.
    fn get(&mut self, row: usize) -> Result<Option<Option<&Regex>>> {
        if let Some(constant) = self.constant {
            return Ok(Some(constant.as_ref()));
        }
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, compile(text)?));
        }
        Ok(self.last.as_ref().map(|(_, regex)| regex.as_ref()))
    }
}

/// All matches as `Matcher.find` finds them: an empty match may follow right after another.
fn find_all<'t>(regex: &Regex, text: &'t str, mut visit: impl FnMut(Match<'t>)) {
    let mut at = 0;
    while at <= text.len() {
        let Some(found) = regex.find_at(text, at) else { return };
        visit(found);
        at = match found.is_empty() {
            false => found.end(),
            true => match text[found.end()..].chars().next() {
                Some(next) => found.end() + next.len_utf8(),
                None => return,
            },
        };
    }
}

fn regexp(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    Ok(Box::new(move |args| {
        let (text, texts) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let mut patterns = pattern.reader(args, 1)?;
        args.booleans(|row| {
            let (Some(text), Some(source)) = (text.get(row), texts.get(row)) else { return Ok(None) };
            if text.is_empty() || source.is_empty() {
                return Ok(Some(false));
            }
            Ok(patterns.get(row)?.map(|regex| regex.is_some_and(|regex| regex.is_match(text))))
        })
    }))
}

fn extract(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    let with_group = site.operands.len() > 2;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = if with_group { Some(integers(args, 2)?) } else { None };
        let group = group.as_ref().map(|group| group.as_primitive::<Int32Type>());
        let mut patterns = pattern.reader(args, 1)?;
        // One set of group positions for all rows of a constant pattern.
        let mut groups = pattern.0.as_ref().and_then(|regex| regex.as_ref()).map(Regex::capture_locations);
        args.substrings(0, |row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let group = match group {
                Some(group) if group.is_null(args.row(2, row)) => return Ok(None),
                Some(group) => group.value(args.row(2, row)),
                None => 0,
            };
            let Some(Some(regex)) = patterns.get(row)? else { return Ok(None) };
            let Ok(group) = usize::try_from(group) else { return Ok(None) };
            if group == 0 {
                return Ok(regex.find(text).map(|found| found.as_str()));
            }
            if let Some(groups) = &mut groups {
                let found = regex.captures_read(groups, text).and_then(|_| groups.get(group));
                return Ok(found.map(|(start, end)| &text[start..end]));
            }
            Ok(regex.captures(text).and_then(|captures| captures.get(group)).map(|found| found.as_str()))
        })
    }))
}

fn extract_all(site: &Site) -> Result<Kernel> {
    let pattern = Pattern::of(site, 1)?;
    let with_group = site.operands.len() > 2;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let group = if with_group { Some(integers(args, 2)?) } else { None };
        let group = group.as_ref().map(|group| group.as_primitive::<Int32Type>());
        let mut patterns = pattern.reader(args, 1)?;
        let mut lists =
            ListBuilder::new(StringViewBuilder::new()).with_field(Field::new("item", DataType::Utf8View, true));
        for row in 0..args.rows {
            let group = match group {
                Some(group) => group.is_valid(args.row(2, row)).then(|| group.value(args.row(2, row))),
                None => Some(1),
            };
            let found = match (text.get(row), group.map(usize::try_from), patterns.get(row)?) {
                (Some(text), Some(Ok(group)), Some(Some(regex))) if group < regex.captures_len() => {
                    for captures in regex.captures_iter(text) {
                        lists.values().append_option(captures.get(group).map(|found| found.as_str()));
                    }
                    true
                }
                _ => false,
            };
            lists.append(found);
        }
        Ok(Arc::new(lists.finish()) as ArrayRef)
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
            let (mut rest, mut fits) = (0, Ok(()));
            find_all(regex, text, |found| {
                if fits.is_ok() {
                    fits = check_value(out.len() + (found.start() - rest) + with.len());
                }
                if fits.is_ok() {
                    out.push_str(&text[rest..found.start()]);
                    out.push_str(with);
                    rest = found.end();
                }
            });
            fits?;
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
            find_all(regex, text, |_| count += 1);
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
            Ok(Some(regex.find(text).map_or(0, |found| utf16_count(&text[..found.start()]) as i32 + 1)))
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
            Ok(regex.find(text).map(|found| found.as_str()))
        })
    }))
}
