//! Java's regular expressions.
//!
//! The `regex` crate answers the patterns that it reads as Java does ([`scan`]), in time linear in the text. Look-around,
//! back references, possessive quantifiers, `\R`, flags within, classes by their properties and the like go to an engine
//! that backtracks as Java does ([`engine`]).
use std::ops::Range;
use std::sync::OnceLock;

use regex::CaptureLocations;
use wiesel_common::ending::{self, Steps};
use wiesel_common::quote::quote;

use super::compiled::{self, Compiled, Share};
use crate::error::{Error, Result};
use crate::expression::check_value;

mod engine;
mod extent;
mod scan;
#[cfg(test)]
mod tests;

use engine::Java;
use scan::Fast;

/// The longest pattern in bytes.
pub(super) const MAX_PATTERN: usize = 64 << 10;
/// What one search of the fast engine may take: bytes of the text times bytes of the compiled pattern. At worst it looks at each
/// part of the pattern for each character, some seconds for so much, and nothing can end it.
const MAX_SEARCH: usize = 1 << 37;
/// A search of more asks before it begins whether the task is to end.
const LONG_SEARCH: usize = 1 << 30;

/// A compiled pattern.
pub(super) struct Regexp {
    source: String,
    /// What errors call it: the pattern, and where it stands.
    name: String,
    fast: Option<Fast>,
    /// Behind a fast one made when a text first needs it.
    java: OnceLock<std::result::Result<Java, String>>,
    /// Of what the constant patterns of an operator may take.
    _share: Option<Share>,
}

impl Regexp {
    /// None for what is no pattern in Java either. [`Error::Plan`] for a pattern that Java takes and this version does not.
    pub fn compile(source: &str, name: String) -> Result<Option<Self>> {
        // A pattern may take a second, and may be another for each row.
        ending::check()?;
        check_length(source, &name)?;
        let fast = scan::fast(source);
        let java = match fast {
            Some(_) => OnceLock::new(),
            None => match Java::compile(source, &name) {
                Ok(Some(java)) => OnceLock::from(Ok(java)),
                Ok(None) => return Ok(None),
                Err(reason) => return Err(unusable(&name, &reason)),
            },
        };
        Ok(Some(Self { source: source.to_owned(), name, fast, java, _share: None }))
    }

    /// The same for a pattern that stays as long as its operator.
    pub fn compile_constant(source: &str, name: String, patterns: &Compiled) -> Result<Option<Self>> {
        let mut compiled = Self::compile(source, name)?;
        if let Some(regexp) = &mut compiled {
            regexp._share = Some(patterns.claim(regexp.bytes())?);
        }
        Ok(compiled)
    }

    /// What it takes, more or less.
    pub fn bytes(&self) -> usize {
        self.fast.as_ref().map_or_else(|| compiled::bytes(&self.source), |fast| fast.bytes)
    }

    /// The engine of Java's semantics.
    fn java(&self) -> Result<&Java> {
        let compiled = self.java.get_or_init(|| match Java::compile(&self.source, &self.name) {
            Ok(Some(java)) => Ok(java),
            Ok(None) => Err("it is malformed".to_owned()),
            Err(reason) => Err(reason),
        });
        compiled.as_ref().map_err(|reason| unusable(&self.name, reason))
    }

    /// The fast engine, if it answers for the text.
    fn fast(&self, text: &str) -> Result<Option<&Fast>> {
        let Some(fast) = self.fast.as_ref().filter(|fast| fast.answers(text)) else { return Ok(None) };
        let search = text.len().saturating_mul(fast.bytes);
        if search > MAX_SEARCH {
            return Err(self.takes_too_much(text, fast));
        }
        if search > LONG_SEARCH {
            ending::check()?;
        }
        Ok(Some(fast))
    }

    fn fast_with_groups(&self, text: &str) -> Result<Option<&Fast>> {
        Ok(self.fast(text)?.filter(|fast| fast.groups_alike))
    }

    fn takes_too_much(&self, text: &str, fast: &Fast) -> Error {
        let message = format!(
            "{} met a text of {} bytes. Compiled it has about {} bytes, and texts have {} bytes at most for so large a pattern: write \
             it with smaller counts of repetition or fewer alternatives, or shorten the text",
            self.name,
            text.len(),
            fast.bytes,
            MAX_SEARCH / fast.bytes.max(1)
        );
        Error::data("java.lang.RuntimeException", message)
    }

    /// The number of groups, without the whole match.
    pub fn group_count(&self) -> Result<usize> {
        match &self.fast {
            Some(fast) => Ok(fast.regex.captures_len() - 1),
            None => Ok(self.java()?.group_count()),
        }
    }

    /// The positions of groups, to be used again for each text.
    pub fn locations(&self) -> Option<CaptureLocations> {
        self.fast.as_ref().map(|fast| fast.regex.capture_locations())
    }

    /// `Matcher.find`.
    pub fn is_match(&self, text: &str) -> Result<bool> {
        match self.fast(text)? {
            Some(fast) => Ok(fast.regex.is_match(text)),
            None => self.java()?.is_match(text),
        }
    }

    /// The first match.
    pub fn find(&self, text: &str) -> Result<Option<Range<usize>>> {
        match self.fast(text)? {
            Some(fast) => Ok(fast.regex.find(text).map(|found| found.range())),
            None => Ok(self.java()?.first(text, 0)?.map(|found| found.span)),
        }
    }

    /// A group of the first match; none if there is no match, no such group, or it took no part.
    pub fn group<'t>(
        &self,
        text: &'t str,
        group: usize,
        locations: Option<&mut CaptureLocations>,
    ) -> Result<Option<&'t str>> {
        if group == 0 {
            return Ok(self.find(text)?.map(|span| &text[span]));
        }
        if let Some(fast) = self.fast_with_groups(text)? {
            return Ok(match locations {
                Some(locations) => {
                    let found = fast.regex.captures_read(locations, text).and_then(|_| locations.get(group));
                    found.map(|(start, end)| &text[start..end])
                }
                None => fast.regex.captures(text).and_then(|captures| captures.get(group)).map(|found| found.as_str()),
            });
        }
        let java = self.java()?;
        if group > java.group_count() {
            return Ok(None);
        }
        Ok(java.first(text, group)?.and_then(|found| found.group))
    }

    /// All matches as `Matcher.find` finds them: an empty match may follow right after another.
    pub fn each(&self, text: &str, mut visit: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
        self.each_until(text, |span| visit(span).map(|()| true))
    }

    /// The matches up to the first for which there is to be no other.
    fn each_until(&self, text: &str, mut visit: impl FnMut(Range<usize>) -> Result<bool>) -> Result<()> {
        let Some(fast) = self.fast(text)? else {
            return self.java()?.each(text, 0, |found| visit(found.span));
        };
        let (mut at, mut questions) = (Some(0), Questions::of(text, fast));
        while let Some(found) = at.and_then(|at| fast.regex.find_at(text, at)) {
            questions.ask()?;
            if !visit(found.range())? {
                break;
            }
            at = after(text, found.range());
        }
        Ok(())
    }

    /// A group, which the pattern has, of each match.
    pub fn each_group<'t>(
        &self,
        text: &'t str,
        group: usize,
        mut visit: impl FnMut(Option<&'t str>) -> Result<()>,
    ) -> Result<()> {
        if group == 0 {
            return self.each(text, |span| visit(Some(&text[span])));
        }
        let Some(fast) = self.fast_with_groups(text)? else {
            return self.java()?.each(text, group, |found| visit(found.group).map(|()| true));
        };
        let mut locations = fast.regex.capture_locations();
        let (mut at, mut questions) = (Some(0), Questions::of(text, fast));
        while let Some(found) = at.and_then(|at| fast.regex.captures_read_at(&mut locations, text, at)) {
            questions.ask()?;
            visit(locations.get(group).map(|(start, end)| &text[start..end]))?;
            at = after(text, found.range());
        }
        Ok(())
    }

    /// The parts between the matches as `String.split` gives them: without empty ones at the end, and without one before
    /// an empty match at the start.
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>> {
        let (mut parts, mut start) = (Vec::new(), 0);
        self.each(text, |span| {
            if span.end > 0 {
                check_value(parts.len() * size_of::<&str>())?;
                parts.push(&text[start..span.start]);
                start = span.end;
            }
            Ok(())
        })?;
        if parts.is_empty() {
            return Ok(vec![text]);
        }
        parts.push(&text[start..]);
        parts.truncate(parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1));
        Ok(parts)
    }

    /// What is before the first match and what is behind it, as `String.split` with a limit of two gives them.
    pub fn split_once<'t>(&self, text: &'t str) -> Result<(&'t str, Option<&'t str>)> {
        let mut first = None;
        match self.find(text)? {
            Some(span) if span.end > 0 => first = Some(span),
            Some(_) => self.each_until(text, |span| {
                first = Some(span).filter(|span| span.end > 0);
                Ok(first.is_none())
            })?,
            None => {}
        }
        Ok(match first {
            Some(span) => (&text[..span.start], Some(&text[span.end..])),
            None => (text, None),
        })
    }
}

/// Whether the task is to end is asked once in many matches, or at each if a search may take long: it is linear, so all of them
/// together may be quadratic.
struct Questions {
    is_long: bool,
    steps: Steps,
}

impl Questions {
    fn of(text: &str, fast: &Fast) -> Self {
        Self { is_long: text.len().saturating_mul(fast.bytes) > LONG_SEARCH, steps: Steps::default() }
    }

    fn ask(&mut self) -> Result<()> {
        let asked = if self.is_long { ending::check() } else { self.steps.step() };
        Ok(asked?)
    }
}

/// Where the next search begins; none behind an empty match at the end.
fn after(text: &str, found: Range<usize>) -> Option<usize> {
    match found.is_empty() {
        false => Some(found.end),
        true => text[found.end..].chars().next().map(|next| found.end + next.len_utf8()),
    }
}

/// What errors call a pattern of which they need not say, or do not know, where it stands.
pub(super) fn name_of(source: &str) -> String {
    format!("the regular expression '{}'", quote(source))
}

/// Refuses a pattern that is too long to be compiled.
pub(super) fn check_length(source: &str, name: &str) -> Result<()> {
    if source.len() <= MAX_PATTERN {
        return Ok(());
    }
    Err(unusable(name, &format!("it has {} bytes, at most {MAX_PATTERN} are possible", source.len())))
}

fn unusable(name: &str, reason: &str) -> Error {
    Error::Plan(format!("{name} cannot be used: {reason}"))
}
