//! Patterns of LIKE: texts, and `%` and `_` between them. To Flink `_` is the `.` of Java's patterns, which is no end of a line.
//!
//! `%` parts a pattern into segments. Each but the first and the last is looked for behind the one before it: the first place is
//! as good as any other. So a text is read once, and once more for as much of a segment as each place of its first letters needs.
use memchr::memmem::Finder;
use wiesel_common::ending::Steps;

use crate::error::Result;

/// A prepared pattern.
pub(super) enum Like {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(Box<Finder<'static>>),
    Any,
    Segments(Box<Segments>),
}

/// What a pattern consists of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// `%`
    Many,
    /// So many `_`.
    Characters(usize),
    Text(String),
}

impl Like {
    pub fn new(parts: &[Part]) -> Self {
        match parts {
            [] => Self::Exact(String::new()),
            [Part::Many] => Self::Any,
            [Part::Text(text)] => Self::Exact(text.clone()),
            [Part::Text(text), Part::Many] => Self::Prefix(text.clone()),
            [Part::Many, Part::Text(text)] => Self::Suffix(text.clone()),
            [Part::Many, Part::Text(text), Part::Many] => Self::Contains(finder(text)),
            parts => Self::Segments(Box::new(Segments::new(parts))),
        }
    }

    pub fn matches(&self, text: &str) -> Result<bool> {
        Ok(match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Any => true,
            Self::Segments(segments) => return segments.matches(text),
        })
    }

    /// What it takes beside its letters, more or less.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Segments(segments) => segments.between.len() * (size_of::<Segment>() + size_of::<Finder<'static>>()),
            _ => 0,
        }
    }
}

/// A pattern with several `%` or with `_`.
pub(super) struct Segments {
    first: Vec<Part>,
    between: Vec<Segment>,
    /// Behind the last `%`; none if there is no `%`.
    last: Option<Vec<Part>>,
}

/// What stands between two `%`.
struct Segment {
    /// So many characters before its first text.
    characters: usize,
    /// None if it has no text.
    text: Option<Box<Finder<'static>>>,
    /// Behind that text.
    rest: Vec<Part>,
}

fn finder(text: &str) -> Box<Finder<'static>> {
    Box::new(Finder::new(text.as_bytes()).into_owned())
}

impl Segments {
    fn new(parts: &[Part]) -> Self {
        let mut split = parts.split(|part| *part == Part::Many);
        let first = split.next().map(<[Part]>::to_vec).unwrap_or_default();
        let mut others: Vec<_> = split.collect();
        let last = others.pop().map(<[Part]>::to_vec);
        Self { first, between: others.into_iter().map(Segment::new).collect(), last }
    }

    fn matches(&self, text: &str) -> Result<bool> {
        let Some(mut rest) = behind(text, &self.first) else { return Ok(false) };
        let Some(last) = &self.last else { return Ok(rest.is_empty()) };
        let mut steps = Steps::default();
        for segment in &self.between {
            match segment.behind_first(rest, &mut steps)? {
                Some(behind) => rest = behind,
                None => return Ok(false),
            }
        }
        Ok(before(rest, last).is_some())
    }
}

impl Segment {
    fn new(parts: &[Part]) -> Self {
        let texts = parts.iter().position(|part| matches!(part, Part::Text(_))).unwrap_or(parts.len());
        let (skipped, parts) = parts.split_at(texts);
        let characters = skipped.iter().map(|part| if let Part::Characters(count) = part { *count } else { 0 }).sum();
        match parts.split_first() {
            Some((Part::Text(text), rest)) => Self { characters, text: Some(finder(text)), rest: rest.to_vec() },
            _ => Self { characters, text: None, rest: Vec::new() },
        }
    }

    /// What is behind the first place where the segment is; none if it is nowhere.
    fn behind_first<'t>(&self, text: &'t str, steps: &mut Steps) -> Result<Option<&'t str>> {
        steps.step()?;
        let Some(finder) = &self.text else { return Ok(behind_line(text, self.characters)) };
        // From where on the text is looked for; and how many characters of one line end at a place before.
        let (mut from, mut counted, mut in_line) = (0, 0, 0_usize);
        while let Some(found) = finder.find(&text.as_bytes()[from..]) {
            let at = from + found;
            if self.characters > 0 {
                in_line = text[counted..at].chars().fold(in_line, |count, c| if ends_line(c) { 0 } else { count + 1 });
                counted = at;
            }
            if in_line >= self.characters
                && let Some(behind) = behind(&text[at + finder.needle().len()..], &self.rest)
            {
                return Ok(Some(behind));
            }
            steps.step()?;
            from = at + text[at..].chars().next().map_or(1, char::len_utf8);
        }
        Ok(None)
    }
}

/// The ends of lines that Java knows.
fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What is behind the first place where one line has so many characters.
fn behind_line(text: &str, count: usize) -> Option<&str> {
    let (mut chars, mut in_line) = (text.chars(), 0);
    while in_line < count {
        in_line = if ends_line(chars.next()?) { 0 } else { in_line + 1 };
    }
    Some(chars.as_str())
}

/// What is behind so many characters, if they are of one line.
fn skip(text: &str, count: usize) -> Option<&str> {
    let mut chars = text.chars();
    let in_line = chars.by_ref().take(count).take_while(|c| !ends_line(*c)).count();
    (in_line == count).then_some(chars.as_str())
}

/// What is behind the parts at the beginning of a text.
fn behind<'t>(text: &'t str, parts: &[Part]) -> Option<&'t str> {
    parts.iter().try_fold(text, |rest, part| match part {
        Part::Text(part) => rest.strip_prefix(part.as_str()),
        Part::Characters(count) => skip(rest, *count),
        Part::Many => None,
    })
}

/// What is before the parts at the end of a text.
fn before<'t>(text: &'t str, parts: &[Part]) -> Option<&'t str> {
    parts.iter().rev().try_fold(text, |rest, part| match part {
        Part::Text(part) => rest.strip_suffix(part.as_str()),
        Part::Characters(count) => {
            let mut chars = rest.chars();
            let in_line = chars.by_ref().rev().take(*count).take_while(|c| !ends_line(*c)).count();
            (in_line == *count).then_some(chars.as_str())
        }
        Part::Many => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn parts(pattern: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        for c in pattern.chars() {
            match (c, parts.last_mut()) {
                ('%', Some(Part::Many)) => {}
                ('%', _) => parts.push(Part::Many),
                ('_', Some(Part::Characters(count))) => *count += 1,
                ('_', _) => parts.push(Part::Characters(1)),
                (c, Some(Part::Text(text))) => text.push(c),
                (c, _) => parts.push(Part::Text(c.to_string())),
            }
        }
        parts
    }

    /// All ways are tried.
    fn matches_plainly(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|at| matches_plainly(&text[at..], rest)),
            Some((c, rest)) => text.split_first().is_some_and(|(first, text)| {
                (*c == '_' && !ends_line(*first) || c == first) && matches_plainly(text, rest)
            }),
        }
    }

    /// All texts of up to so many of these characters.
    fn all(letters: &[char], most: usize) -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut last = texts.clone();
        for _ in 0..most {
            last = last.iter().flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}"))).collect();
            texts.extend(last.iter().cloned());
        }
        texts
    }

    /// Failed before: `_` took the end of a line.
    #[test]
    fn short_patterns_match_what_trying_all_ways_finds() {
        let texts: Vec<(String, Vec<char>)> =
            all(&['a', 'é', '\n'], 4).into_iter().map(|text| (text.clone(), text.chars().collect())).collect();
        for pattern in all(&['a', 'é', '_', '%'], 5) {
            let like = Like::new(&parts(&pattern));
            let plain: Vec<char> = pattern.chars().collect();
            for (text, chars) in &texts {
                let expected = matches_plainly(chars, &plain);
                assert_eq!(like.matches(text).unwrap(), expected, "{text:?} LIKE {pattern:?}");
            }
        }
    }

    /// Failed before: these were regular expressions, which look at each part of the pattern for each character: 137 s for two
    /// texts of 100,000.
    #[test]
    fn long_patterns_read_a_text_once() {
        let text = "a".repeat(8 << 20);
        let like = |pattern: &str| Like::new(&parts(pattern)).matches(&text).unwrap();
        assert!(!like(&format!("{}b", "%a".repeat(30_000))));
        assert!(like(&format!("{}%a", "%a".repeat(30_000))));
        assert!(!like(&format!("{}%b%", "%_a".repeat(20_000))));
        assert!(!like(&"_".repeat(60_000)));
    }

    /// The characters before a text are counted once, however often a line ends too soon.
    #[test]
    fn lines_that_are_too_short_are_read_once() {
        let line = "a".repeat(9_999) + "\n";
        let text = line.repeat(80);
        let like = |pattern: &str| Like::new(&parts(pattern)).matches(&text).unwrap();
        let characters = "_".repeat(9_999);
        assert!(like(&format!("%{characters}%")) && !like(&format!("%_{characters}%")));
        assert!(like(&format!("{}%", "%_".repeat(60_000))));
        assert!(!like(&format!("%{characters}a%")) && like(&format!("%{characters}\n%")));
    }

    #[test]
    fn a_character_is_no_end_of_a_line() {
        for end in ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"] {
            let text = format!("a{end}b");
            for (pattern, expected) in [("a_b", false), ("a%b", true), ("%_b", false), ("a_%", false), ("%_", true)] {
                assert_eq!(Like::new(&parts(pattern)).matches(&text).unwrap(), expected, "{text:?} LIKE {pattern:?}");
            }
        }
        assert!(Like::new(&parts("a_b")).matches("a😀b").unwrap());
    }

    /// Failed before: it went on for as long as it took.
    #[test]
    fn a_long_match_ends_with_the_task() {
        let like = |pattern: &str| Like::new(&parts(pattern));
        let text = "a".repeat(10_000);
        let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
        for pattern in ["%a".repeat(100) + "b", "%a_____b%".to_owned(), "%a_b_a%c".to_owned()] {
            assert!(matches!(like(&pattern).matches(&text), Err(Error::Cancelled)), "{pattern}");
        }
    }
}
