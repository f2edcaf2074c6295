//! Which patterns the `regex` crate answers as Java does, written in its syntax.
//!
//! The scan is strict: what it does not know goes to the engine of Java's semantics, which is right and slower. What it
//! takes: literals, classes, groups, alternatives, greedy and lazy repetition, `.`, `^`, `$`, `\b`, `(?i)` and `(?s)`
//! at the start, `(?s:` and the empty pattern.
use regex::Regex;

use crate::functions::compiled;

/// Nested groups that are followed.
const MAX_NESTING: u32 = 50;
/// The largest count of a repetition.
const MAX_COUNT: u32 = 1000;
/// `.` without DOTALL: Java knows more ends of lines than `regex`.
const DOT: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// A pattern that both engines answer alike, for the texts that [`Fast::answers`] names.
pub(super) struct Fast {
    pub regex: Regex,
    /// What it takes, more or less.
    pub bytes: usize,
    /// Groups within a repetition may hold other text than Java's.
    pub groups_alike: bool,
    needs: Needs,
}

/// What a text must be.
#[derive(Clone, Copy, Default)]
struct Needs {
    /// Without an end of a line at its end, before which Java's `$` matches too.
    no_last_line_end: bool,
    /// For `\b`: of ASCII, since Java looks at marks above letters.
    ascii: bool,
}

impl Fast {
    pub fn answers(&self, text: &str) -> bool {
        (!self.needs.no_last_line_end || !text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']))
            && (!self.needs.ascii || text.is_ascii())
    }
}

/// The pattern for `regex`; none if the two might differ.
pub(super) fn fast(pattern: &str) -> Option<Fast> {
    let mut scan = Scan::new(pattern);
    scan.flags();
    // The empty pattern, which is found before each character and at the end; by Java also within those beyond the basic plane.
    if !scan.rest.is_empty() {
        scan.alternatives()?;
    }
    if !scan.rest.is_empty() {
        return None;
    }
    let (regex, bytes) = compiled::compile(&scan.out)?;
    Some(Fast { regex, bytes, groups_alike: scan.groups_alike, needs: scan.needs })
}

/// What a part of a pattern may do.
#[derive(Clone, Copy)]
struct Part {
    /// Match nothing.
    empty: bool,
    /// Hold a group that captures.
    captures: bool,
    /// Be followed by a quantifier.
    repeats: bool,
}

const CHARACTER: Part = Part { empty: false, captures: false, repeats: true };
const ANCHOR: Part = Part { empty: true, captures: false, repeats: false };

/// A member of a class.
enum Member {
    One(char),
    Set(&'static str),
}

struct Scan<'a> {
    rest: &'a str,
    out: String,
    names: Vec<&'a str>,
    fold: bool,
    dot_all: bool,
    groups_alike: bool,
    needs: Needs,
    depth: u32,
}

impl<'a> Scan<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            names: Vec::new(),
            fold: false,
            dot_all: false,
            groups_alike: true,
            needs: Needs::default(),
            depth: 0,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `(?i)` and `(?s)` at the start.
    fn flags(&mut self) {
        while let Some((flags, rest)) = self.rest.strip_prefix("(?").and_then(|rest| rest.split_once(')')) {
            if flags.is_empty() || !flags.chars().all(|flag| matches!(flag, 'i' | 's')) {
                return;
            }
            self.fold |= flags.contains('i');
            self.dot_all |= flags.contains('s');
            self.rest = rest;
        }
    }

    fn alternatives(&mut self) -> Option<Part> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return None;
        }
        let mut all = self.sequence()?;
        while self.eat("|") {
            self.out.push('|');
            let next = self.sequence()?;
            all.empty |= next.empty;
            all.captures |= next.captures;
        }
        self.depth -= 1;
        Some(all)
    }

    /// One alternative, which must not be empty.
    fn sequence(&mut self) -> Option<Part> {
        let mut all = self.repeated()?;
        while !matches!(self.peek(), None | Some('|' | ')')) {
            let next = self.repeated()?;
            all.empty &= next.empty;
            all.captures |= next.captures;
        }
        Some(Part { repeats: true, ..all })
    }

    /// An atom and its quantifier. What may match nothing is not repeated: the engines count its rounds differently.
    fn repeated(&mut self) -> Option<Part> {
        let mut part = self.atom()?;
        let (least, once) = match self.peek() {
            Some(c @ ('*' | '+' | '?')) => {
                self.take();
                self.out.push(c);
                (u32::from(c == '+'), c == '?')
            }
            Some('{') => (self.counts()?, false),
            _ => return Some(part),
        };
        if part.empty || !part.repeats {
            return None;
        }
        if self.eat("?") {
            self.out.push('?');
        }
        // A possessive quantifier, or one of a quantifier.
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return None;
        }
        self.groups_alike &= once || !part.captures;
        part.empty = least == 0;
        Some(part)
    }

    /// `{2}`, `{2,}`, `{2,3}`; the least count.
    fn counts(&mut self) -> Option<u32> {
        let (counts, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { digits.parse::<u32>().ok().filter(|count| *count <= MAX_COUNT) } else { None }
        };
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let least = number(least)?;
        if !most.is_empty() && number(most)? < least {
            return None;
        }
        self.rest = rest;
        self.out.push('{');
        self.out.push_str(counts);
        self.out.push('}');
        Some(least)
    }

    fn atom(&mut self) -> Option<Part> {
        match self.take()? {
            '(' => self.group(),
            '[' => self.class(),
            '.' => {
                self.out.push_str(if self.dot_all { "(?s:.)" } else { DOT });
                Some(CHARACTER)
            }
            '^' => self.anchor(r"\A"),
            '$' => self.dollar(),
            '\\' => self.escape(),
            '*' | '+' | '?' | '{' | ')' | '|' => None,
            c => self.literal(c),
        }
    }

    fn anchor(&mut self, anchor: &str) -> Option<Part> {
        self.out.push_str(anchor);
        Some(ANCHOR)
    }

    fn dollar(&mut self) -> Option<Part> {
        self.needs.no_last_line_end = true;
        self.anchor(r"\z")
    }

    /// Characters beyond the basic plane are two of Java's: not here.
    fn literal(&mut self, c: char) -> Option<Part> {
        if c > '\u{FFFF}' {
            return None;
        }
        if self.fold && c.is_ascii_alphabetic() {
            self.out.extend(['[', c.to_ascii_lowercase(), c.to_ascii_uppercase(), ']']);
        } else {
            self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        Some(CHARACTER)
    }

    fn escape(&mut self) -> Option<Part> {
        match self.take()? {
            'A' => self.anchor(r"\A"),
            'z' => self.anchor(r"\z"),
            'Z' => self.dollar(),
            'b' => {
                self.needs.ascii = true;
                self.anchor(r"(?-u:\b)")
            }
            'Q' => self.quoted(),
            c => match self.member(c)? {
                Member::One(c) => self.literal(c),
                Member::Set(set) => {
                    self.out.push('[');
                    self.out.push_str(set);
                    self.out.push(']');
                    Some(CHARACTER)
                }
            },
        }
    }

    /// What an escape means within a class and outside.
    fn member(&mut self, escaped: char) -> Option<Member> {
        Some(match escaped {
            't' => Member::One('\t'),
            'n' => Member::One('\n'),
            'r' => Member::One('\r'),
            'f' => Member::One('\x0c'),
            'd' => Member::Set("0-9"),
            'w' => Member::Set("A-Za-z0-9_"),
            's' => Member::Set(r" \t\n\x0B\f\r"),
            'D' => Member::Set("[^0-9]"),
            'W' => Member::Set("[^A-Za-z0-9_]"),
            'S' => Member::Set(r"[^ \t\n\x0B\f\r]"),
            'p' if !self.fold => {
                let (name, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
                self.rest = rest;
                Member::Set(posix(name)?)
            }
            c if c.is_ascii_punctuation() || c == ' ' => Member::One(c),
            _ => return None,
        })
    }

    /// `\Q...\E`.
    fn quoted(&mut self) -> Option<Part> {
        let (quoted, rest) = self.rest.split_once(r"\E")?;
        self.rest = rest;
        let mut part = None;
        for c in quoted.chars() {
            part = Some(self.literal(c)?);
        }
        part
    }

    fn group(&mut self) -> Option<Part> {
        let dot_all = self.dot_all;
        let captures = if !self.eat("?") {
            true
        } else if self.eat(":") {
            false
        } else if self.eat("s:") {
            self.dot_all = true;
            false
        } else {
            let (name, rest) = self.rest.strip_prefix('<')?.split_once('>')?;
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_name || self.names.contains(&name) {
                return None;
            }
            self.names.push(name);
            self.rest = rest;
            true
        };
        self.out.push_str(if captures { "(" } else { "(?:" });
        let inner = self.alternatives()?;
        self.dot_all = dot_all;
        if !self.eat(")") {
            return None;
        }
        self.out.push(')');
        Some(Part { captures: captures || inner.captures, ..inner })
    }

    /// A class without classes within and without intersections.
    fn class(&mut self) -> Option<Part> {
        let negated = self.eat("^");
        self.out.push_str(if negated { "[^" } else { "[" });
        let mut first = true;
        loop {
            let member = match self.take()? {
                ']' if !first => break,
                '[' | ']' => return None,
                '&' if self.peek() == Some('&') => return None,
                '-' if !first && self.peek() != Some(']') => return None,
                '\\' => {
                    let escaped = self.take()?;
                    self.member(escaped)?
                }
                c => Member::One(c),
            };
            first = false;
            match member {
                Member::Set(set) if negated && set.starts_with("[^") => return None,
                Member::Set(set) => self.out.push_str(set),
                Member::One(low) => {
                    let high = self.range_end()?.unwrap_or(low);
                    self.range(low, high)?;
                }
            }
        }
        self.out.push(']');
        Some(CHARACTER)
    }

    /// The end of a range: inner none if there is no range.
    fn range_end(&mut self) -> Option<Option<char>> {
        if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
            return Some(None);
        }
        self.take();
        let end = match self.take()? {
            '\\' => {
                let escaped = self.take()?;
                self.member(escaped)?
            }
            '[' | ']' | '&' | '-' => return None,
            c => Member::One(c),
        };
        match end {
            Member::One(end) => Some(Some(end)),
            Member::Set(_) => None,
        }
    }

    /// No range includes surrogates: Java may find halves of characters by them.
    fn range(&mut self, low: char, high: char) -> Option<()> {
        if low > high || high > '\u{FFFF}' || (low <= '\u{D7FF}' && high >= '\u{E000}') {
            return None;
        }
        self.push_range(low, high);
        if self.fold {
            let letters = ('A'..='Z').chain('a'..='z').filter(|letter| (low..=high).contains(letter));
            for letter in letters {
                let other =
                    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
                self.push_range(other, other);
            }
        }
        Some(())
    }

    fn push_range(&mut self, low: char, high: char) {
        self.out.push_str(&format!(r"\x{{{:X}}}-\x{{{:X}}}", u32::from(low), u32::from(high)));
    }
}

/// The classes of ASCII by their names in Java.
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
