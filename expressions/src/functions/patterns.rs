//! LIKE and SIMILAR TO.
use wiesel_common::ending;
use wiesel_common::quote::quote;

use super::java_regex::{MAX_PATTERN, Regexp, check_length};
use super::like::{Like, Part};
use super::similar;
use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};

/// A pattern of LIKE of so many parts may be of any length, one of more has a longest.
const SIMPLE: usize = 3;

/// A prepared pattern.
enum Matcher {
    Like(Like),
    /// SIMILAR TO.
    Java(Box<Regexp>),
}

impl Matcher {
    fn matches(&self, text: &str) -> Result<bool> {
        match self {
            Self::Like(like) => like.matches(text),
            Self::Java(regex) => regex.is_match(text),
        }
    }

    /// What it takes, more or less, once it is compiled.
    fn bytes(&self) -> usize {
        match self {
            Self::Like(like) => like.bytes(),
            Self::Java(regex) => regex.bytes(),
        }
    }

    fn like(pattern: &str, escape: Option<char>) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = pattern.char_indices();
        while let Some((at, c)) = chars.next() {
            // Before there are millions of them.
            if parts.len() > SIMPLE && pattern.len() > MAX_PATTERN {
                return Err(too_complex(pattern));
            }
            let literal = if Some(c) == escape {
                match chars.next() {
                    Some((_, next)) if next == '_' || next == '%' || Some(next) == escape => next,
                    _ => return Err(bad_escape(pattern, at)),
                }
            } else {
                match c {
                    '%' => {
                        if parts.last() != Some(&Part::Many) {
                            parts.push(Part::Many);
                        }
                        continue;
                    }
                    '_' => {
                        match parts.last_mut() {
                            Some(Part::Characters(count)) => *count += 1,
                            _ => parts.push(Part::Characters(1)),
                        }
                        continue;
                    }
                    c => c,
                }
            };
            match parts.last_mut() {
                Some(Part::Text(text)) => text.push(literal),
                _ => parts.push(Part::Text(literal.to_string())),
            }
        }
        if pattern.len() > MAX_PATTERN && !is_simple(&parts) {
            return Err(too_complex(pattern));
        }
        Ok(Self::Like(Like::new(&parts)))
    }

    fn similar(pattern: &str, escape: Option<char>) -> Result<Self> {
        let name = format!("the pattern '{}' of SIMILAR TO", quote(pattern));
        check_length(pattern, &name)?;
        let regex = similar::to_regex(pattern, escape)?;
        let regex = Regexp::compile(&regex, name)?.ok_or_else(|| similar::bad_pattern(pattern))?;
        Ok(Self::Java(Box::new(regex)))
    }
}

/// A text with `%` around it.
fn is_simple(parts: &[Part]) -> bool {
    let texts = parts.iter().filter(|part| **part != Part::Many).count();
    texts <= 1 && !parts.iter().any(|part| matches!(part, Part::Characters(_)))
}

fn too_complex(pattern: &str) -> Error {
    Error::data(
        "org.apache.flink.table.api.TableRuntimeException",
        format!(
            "The pattern '{}' of LIKE has {} bytes and too many wildcards: one that is more than a text with % around it may have \
             {MAX_PATTERN} bytes at most.",
            quote(pattern),
            pattern.len()
        ),
    )
}

/// Of a pattern, at this byte.
pub(super) fn bad_escape(pattern: &str, at: usize) -> Error {
    let position = pattern[..at].encode_utf16().count();
    Error::data("java.lang.RuntimeException", format!("Invalid escape sequence '{}', {position}", quote(pattern)))
}

fn matcher(similar: bool, pattern: &str, escape: Option<&str>) -> Result<Matcher> {
    // Each row may have its own.
    ending::check()?;
    let escape = match escape {
        Some(escape) => {
            let mut chars = escape.chars();
            match (chars.next(), chars.next()) {
                (Some(escape), None) if escape.len_utf16() == 1 => Some(escape),
                _ => {
                    let message = format!("Invalid escape character '{}'", quote(escape));
                    return Err(Error::data("java.lang.RuntimeException", message));
                }
            }
        }
        None => None,
    };
    if similar { Matcher::similar(pattern, escape) } else { Matcher::like(pattern, escape) }
}

/// Why a constant pattern of SIMILAR TO cannot be used, though Flink would use it.
pub(super) fn refusal(pattern: &str, escape: Option<&str>) -> Option<String> {
    match matcher(true, pattern, escape) {
        Err(Error::Plan(reason)) => Some(reason),
        _ => None,
    }
}

pub(super) fn build(site: &Site) -> Result<Kernel> {
    let similar = site.function.ends_with("SIMILAR");
    let positive = !site.function.starts_with("NOT");
    let with_escape = site.operands.len() > 2;
    let constant = match (site.text(1), with_escape, site.text(2)) {
        (Some(pattern), false, _) => matcher(similar, pattern, None).ok(),
        (Some(pattern), true, Some(escape)) => matcher(similar, pattern, Some(escape)).ok(),
        _ => None,
    };
    if let Some(matcher) = constant {
        let share = site.context.patterns.claim(matcher.bytes())?;
        return Ok(Box::new(move |args| {
            let _held = &share;
            let text = args.read::<Text>(0)?;
            args.booleans(|row| text.get(row).map(|text| matcher.matches(text).map(|is| is == positive)).transpose())
        }));
    }
    Ok(Box::new(move |args| {
        let (text, pattern) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let escape = if with_escape { Some(args.read::<Text>(2)?) } else { None };
        let mut last: Option<(&str, Option<&str>, Matcher)> = None;
        args.booleans(|row| {
            let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else { return Ok(None) };
            let escape = match &escape {
                Some(escape) => match escape.get(row) {
                    Some(escape) => Some(escape),
                    None => return Ok(None),
                },
                None => None,
            };
            if !matches!(&last, Some((known, with, _)) if *known == pattern && *with == escape) {
                last = Some((pattern, escape, matcher(similar, pattern, escape)?));
            }
            last.as_ref().map(|(_, _, matcher)| matcher.matches(text).map(|is| is == positive)).transpose()
        })
    }))
}
