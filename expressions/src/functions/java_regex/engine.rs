//! The engine of Java's semantics: `krabka-java-regex`, of which only replacing and matching whole texts can be called.
//!
//! Where matches and groups lie is read from a replacement: they are put between marks, characters that the text lacks.
use std::ops::Range;
use std::sync::OnceLock;

use krabka_java_regex::JavaPattern;
use wiesel_common::ending;
use wiesel_common::quote::quote;

use super::after;
use super::extent::Extent;
use crate::error::{Error, Result};
use crate::expression::check_value;

/// A text of more bytes is searched piece by piece where the pattern allows it. A search for all matches in one call looks through
/// the whole text at each match, and nothing can end it.
const PIECE: usize = 1 << 10;

/// A pattern of this engine.
pub(super) struct Java {
    source: String,
    /// What errors call it.
    name: String,
    pattern: JavaPattern,
    extent: Extent,
    /// For each group what tells whether it took part.
    probes: Vec<OnceLock<Option<Probe>>>,
}

/// A match, and the text of the group that was asked for.
pub(super) struct Found<'t> {
    pub span: Range<usize>,
    pub group: Option<&'t str>,
}

impl Java {
    /// None if Java refuses the pattern too; an error with the reason if only this engine does.
    pub fn compile(source: &str, name: &str) -> std::result::Result<Option<Self>, String> {
        let source = &with_unicode_properties(source);
        match JavaPattern::compile(source) {
            Ok(pattern) => {
                let probes = (0..pattern.group_count()).map(|_| OnceLock::new()).collect();
                let (source, extent, name) = (source.clone(), Extent::of(source), name.to_owned());
                Ok(Some(Self { source, name, pattern, extent, probes }))
            }
            Err(error) => match refusal(source, &error.to_string()) {
                Some(reason) => Err(reason),
                None => Ok(None),
            },
        }
    }

    pub fn group_count(&self) -> usize {
        self.pattern.group_count()
    }

    pub fn is_match(&self, text: &str) -> Result<bool> {
        Ok(self.first(text, 0)?.is_some())
    }

    /// The first match with a group, which the pattern must have.
    pub fn first<'t>(&self, text: &'t str, group: usize) -> Result<Option<Found<'t>>> {
        let mut first = None;
        self.walk(text, group, false, |found| {
            first = Some(found);
            Ok(false)
        })?;
        Ok(first)
    }

    /// All matches with a group, which the pattern must have, until one is the last that is asked for.
    pub fn each<'t>(&self, text: &'t str, group: usize, visit: impl FnMut(Found<'t>) -> Result<bool>) -> Result<()> {
        self.walk(text, group, true, visit)
    }

    fn walk<'t>(
        &self,
        text: &'t str,
        group: usize,
        all: bool,
        mut visit: impl FnMut(Found<'t>) -> Result<bool>,
    ) -> Result<()> {
        if text.len() > PIECE && self.extent.is_forward(text) {
            return self.walk_pieces(text, group, all, visit);
        }
        self.check(text, if all { self.extent.longest_for_all } else { self.extent.longest })?;
        for found in self.search(text, group, all)? {
            ending::check()?;
            if !visit(found)? {
                break;
            }
        }
        Ok(())
    }

    /// The matches of a pattern that does not look behind. If it does not look far ahead either, each piece of the text is
    /// searched with what a match in it may look at; if it does, the rest of the text is searched for one match after the other.
    fn walk_pieces<'t>(
        &self,
        text: &'t str,
        group: usize,
        all: bool,
        mut visit: impl FnMut(Found<'t>) -> Result<bool>,
    ) -> Result<()> {
        let mut from = 0_usize;
        loop {
            // Matches are right that begin before `bound`.
            let bound = boundary(text, from.saturating_add(PIECE));
            let end = self.extent.reach.map_or(text.len(), |reach| boundary(text, bound.saturating_add(reach)));
            let is_last = end == text.len();
            let piece = &text[from..end];
            self.check(piece, self.extent.longest)?;
            let (mut next, mut found_any) = (Some(from), false);
            for mut found in self.search(piece, group, all && self.extent.reach.is_some())? {
                found.span = from + found.span.start..from + found.span.end;
                if !is_last && found.span.start >= bound {
                    break;
                }
                (next, found_any) = (after(text, found.span.clone()), true);
                if !visit(found)? {
                    return Ok(());
                }
            }
            from = match next {
                Some(next) if !is_last => next.max(bound),
                // Only one match was looked for.
                Some(next) if found_any && self.extent.reach.is_none() => next,
                _ => return Ok(()),
            };
        }
    }

    /// The first match or all in one call.
    pub fn search<'t>(&self, text: &'t str, group: usize, all: bool) -> Result<Vec<Found<'t>>> {
        let mut found = self.spans(text, all)?;
        if group == 0 || found.is_empty() {
            found.iter_mut().for_each(|found| found.group = Some(&text[found.span.clone()]));
            return Ok(found);
        }
        // Groups of look-around may hold the whole text at each match.
        if self.source.contains("(?=") || self.source.contains("(?<=") {
            check_value(found.len().saturating_mul(text.len()))?;
        }
        let mark = self.mark(text)?;
        let out = self.replace(&self.pattern, text, &format!("{mark}${group}{mark}"), all)?;
        let groups: Vec<&str> = out.split(mark).skip(1).step_by(2).collect();
        let took_part = match groups.iter().any(|group| group.is_empty()) {
            true => Some(self.took_part(text, group, all)?),
            false => None,
        };
        for (index, (found, group)) in found.iter_mut().zip(groups).enumerate() {
            ending::check()?;
            let is_set = !group.is_empty() || took_part.as_ref().is_some_and(|took| took.get(index) == Some(&true));
            // Any place with the same characters will do.
            found.group = text.find(group).filter(|_| is_set).map(|start| &text[start..start + group.len()]);
        }
        Ok(found)
    }

    fn spans<'t>(&self, text: &str, all: bool) -> Result<Vec<Found<'t>>> {
        let mark = self.mark(text)?;
        let out = self.replace(&self.pattern, text, &format!("{mark}$0{mark}"), all)?;
        let (mut spans, mut at) = (Vec::new(), 0);
        for (index, part) in out.split(mark).enumerate() {
            if index % 2 == 1 {
                spans.push(Found { span: at..at + part.len(), group: None });
            }
            at += part.len();
        }
        Ok(spans)
    }

    /// For each match whether a group took part in it, which an empty text of the group does not tell.
    fn took_part(&self, text: &str, group: usize, all: bool) -> Result<Vec<bool>> {
        let groups = self.group_count();
        let probe =
            self.probes.get(group - 1).map(|probe| probe.get_or_init(|| Probe::new(&self.source, group, groups)));
        let Some(Some(probe)) = probe else {
            return Err(self.failure("whether an empty group took part cannot be told"));
        };
        if text.is_empty() {
            return Ok(vec![probe.on_empty]);
        }
        let mark = self.mark(text)?;
        let replacement = format!("{mark}${}${}{mark}", groups + 1, groups + 2);
        let out = self.replace(&probe.pattern, text, &replacement, all)?;
        Ok(out.split(mark).skip(1).step_by(2).map(|neighbour| !neighbour.is_empty()).collect())
    }

    fn replace(&self, pattern: &JavaPattern, text: &str, with: &str, all: bool) -> Result<String> {
        ending::check()?;
        pattern.replace(text, with, all).map_err(|error| self.failure(&error.to_string()))
    }

    fn check(&self, text: &str, longest: usize) -> Result<()> {
        if text.len() <= longest { Ok(()) } else { Err(too_long(&self.name, text.len(), longest)) }
    }

    /// The replacements are ours, so what fails is a search that needs more steps than it may take.
    fn failure(&self, reason: &str) -> Error {
        let message = format!(
            "{} gave no answer for a text: {reason}. A search may take 1000000 steps of backtracking: write the pattern without \
             repetitions within repetitions",
            self.name
        );
        Error::data("java.lang.RuntimeException", message)
    }

    /// A character that the text lacks, and that means nothing in a replacement.
    fn mark(&self, text: &str) -> Result<char> {
        let mut candidates = ('\x01'..='\x08').chain('\u{E000}'..='\u{F8FF}').chain('\u{F0000}'..='\u{FFFFD}');
        candidates.find(|candidate| !text.contains(*candidate)).ok_or_else(|| {
            let message = format!("{} met a text of all characters for private use", self.name);
            Error::data("java.lang.RuntimeException", message)
        })
    }
}

/// The place or the next one that does not cut a character; the end if it is beyond it.
fn boundary(text: &str, mut place: usize) -> usize {
    while place < text.len() && !text.is_char_boundary(place) {
        place += 1;
    }
    place.min(text.len())
}

fn too_long(name: &str, bytes: usize, longest: usize) -> Error {
    let message = format!(
        "{name} met a text of {bytes} bytes. For what it has (look-around, a back reference, a possessive quantifier and the like, \
         also `$` before the end of a line and `\\b` beside letters beyond ASCII) texts are searched by backtracking, and have \
         {longest} bytes at most for this pattern: write it without that or with fewer repetitions, or shorten the text"
    );
    Error::data("java.lang.RuntimeException", message)
}

/// The pattern with properties of `java.lang.Character`, which the engine does not have, as properties of Unicode.
fn with_unicode_properties(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let end = match escape.as_bytes().get(1) {
            Some(b'Q') => escape.find("\\E").map_or(escape.len(), |end| end + 2),
            Some(letter @ (b'p' | b'P')) => match property(escape) {
                Some((length, property)) => {
                    out.push('\\');
                    out.push(char::from(*letter));
                    out.push_str(property);
                    rest = &escape[length..];
                    continue;
                }
                None => 2,
            },
            _ => escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end),
        };
        out.push_str(&escape[..end]);
        rest = &escape[end..];
    }
    out.push_str(rest);
    out
}

/// What stands for a property of `java.lang.Character` at the beginning of a text, which it is so many bytes of.
fn property(text: &str) -> Option<(usize, &'static str)> {
    let (name, _) = text[2..].strip_prefix("{java")?.split_once('}')?;
    let property = match name {
        "LowerCase" => "{IsLowercase}",
        "UpperCase" => "{IsUppercase}",
        "Alphabetic" => "{IsAlphabetic}",
        "Ideographic" => "{IsIdeographic}",
        "TitleCase" => "{Lt}",
        "Digit" => "{Nd}",
        "Letter" => "{L}",
        "SpaceChar" => "{Z}",
        "ISOControl" => "{Cc}",
        _ => return None,
    };
    Some((2 + "{java}".len() + name.len(), property))
}

/// The pattern with two groups behind it that hold a neighbour of the end of the match if a group took part.
struct Probe {
    pattern: JavaPattern,
    /// Whether the group takes part in the match of the empty text, which has no neighbours.
    on_empty: bool,
}

impl Probe {
    fn new(source: &str, group: usize, groups: usize) -> Option<Self> {
        // A character beyond the basic plane makes Java look behind by whole characters; but so would the pattern then.
        let looks_behind = source.contains("(?<=") || source.contains("(?<!");
        let any = if looks_behind { r"[\s\S]" } else { "[\\s\\S]|\u{1F600}" };
        let tail = format!(r"(?:(?=\{group})(?:(?=([\s\S]))|(?<=({any})))|)");
        // The end of a comment or of a quotation that the pattern leaves open and that would go on to our parenthesis.
        ["", "\n", r"\E"].iter().find_map(|end| {
            let pattern = JavaPattern::compile(&format!("(?:{source}{end}){tail}")).ok()?;
            if pattern.group_count() != groups + 2 {
                return None;
            }
            let empty = JavaPattern::compile(&format!(r"(?>{source}{end})\{group}")).ok()?;
            Some(Self { pattern, on_empty: empty.matches("").ok()? })
        })
    }
}

/// Why a pattern that Java takes cannot be used; none if Java refuses it as well.
fn refusal(source: &str, error: &str) -> Option<String> {
    const NAMED: [(&str, &str); 9] = [
        (r"\N{", r"characters by name (\N{...}): write \x{...} with its code"),
        (r"\X", r"\X (extended grapheme clusters)"),
        (r"\b{g}", r"\b{g} (bounds of grapheme clusters)"),
        (
            "{In",
            r"blocks of Unicode (\p{In...}): write a range such as [\x{370}-\x{3FF}] or a script such as \p{IsGreek}",
        ),
        ("{blk=", r"blocks of Unicode (\p{blk=...}): write a range or a script such as \p{IsGreek}"),
        ("{block=", r"blocks of Unicode (\p{block=...}): write a range or a script such as \p{IsGreek}"),
        ("overflows", "a look-behind whose length has no bound: give its repetitions one, such as {0,100}"),
        ("Target of repeat", "a quantifier of a look-around: leave it out"),
        ("Invalid back reference", "a reference to a group that the pattern does not have, or does not have before it"),
    ];
    // What the engine says of patterns that are none in Java.
    const MALFORMED: [&str; 11] = [
        "is not a java.util.regex pattern",
        "no obvious maximum length",
        "Opening parenthesis without",
        "Invalid repeat",
        "Backslash without",
        "Invalid escape",
        "Invalid hex",
        "Invalid codepoint",
        "Invalid character class",
        "Unknown group flag",
        "Could not parse group name",
    ];
    // The errors quote the pattern, so those that name a construct are looked for in what they say beside it.
    let said = error.replace(&format!("{source:?}"), "");
    let named = NAMED.iter().find(|(sign, _)| match sign.starts_with(['\\', '{']) {
        true => source.contains(sign),
        false => said.contains(sign),
    });
    if let Some((_, what)) = named {
        return Some(format!("it has {what}"));
    }
    if MALFORMED.iter().any(|sign| said.contains(sign)) { None } else { Some(quote(&said).into_owned()) }
}
