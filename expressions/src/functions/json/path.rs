//! Paths into JSON documents: `$.a[0]['b']`, `lax $.a[*]`, as Flink's library reads and follows them.
use wiesel_common::ending::Steps;
use wiesel_common::quote::quote;

use super::document::{Kind, Value};
use crate::error::Result;
use crate::expression::check_value;

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Elements by their places; negative ones count from the end.
    Elements(Vec<i64>),
    /// Elements from one place to another: either may be missing.
    Slice(Option<i64>, Option<i64>),
    /// All members or elements.
    All,
}

impl Step {
    /// Whether it leads to one value at most.
    fn is_definite(&self) -> bool {
        match self {
            Self::Member(_) => true,
            Self::Elements(places) => places.len() == 1,
            Self::Slice(..) | Self::All => false,
        }
    }
}

/// A path.
#[derive(Debug)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// What is not there is no error.
    pub is_lax: bool,
}

/// Why a text is no path that can be followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none, to Flink too: each document is an error.
    Malformed,
    /// Flink would follow it.
    Unsupported(String),
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    One(Value<'a>),
    /// Of a path that may lead to several: an array of them.
    Many(Vec<Value<'a>>),
}

/// The mode before a path, if there is one, and the path.
fn split_mode(text: &str) -> (bool, &str) {
    let trimmed = text.trim_start();
    for (mode, is_lax) in [("lax", true), ("strict", false)] {
        if let Some((word, rest)) = trimmed.split_at_checked(mode.len())
            && word.eq_ignore_ascii_case(mode)
            && rest.starts_with(char::is_whitespace)
            && !rest.trim_start().is_empty()
        {
            return (is_lax, rest.trim_start());
        }
    }
    (false, text)
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (is_lax, body) = split_mode(text);
        let body = body.trim();
        if body.is_empty() || body.ends_with('.') {
            return Err(Refusal::Malformed);
        }
        let from_root = body.strip_prefix(['$', '@']);
        let mut reader = Reader { rest: from_root.unwrap_or(body), text };
        let mut steps = Vec::new();
        if from_root.is_none() {
            steps.push(reader.step()?);
        }
        while let Some(first) = reader.rest.chars().next() {
            if first == '.' {
                reader.rest = &reader.rest[1..];
                if reader.rest.starts_with('.') {
                    return Err(reader.unsupported("'..'"));
                }
            } else if first != '[' {
                return Err(Refusal::Malformed);
            }
            steps.push(reader.step()?);
        }
        Ok(Self { steps, is_lax })
    }

    fn is_definite(&self) -> bool {
        self.steps.iter().all(Step::is_definite)
    }

    /// What the path leads to in a document; none: to nothing, of which strict mode makes an error.
    pub fn find<'a>(&self, document: Value<'a>) -> Result<Option<Found<'a>>> {
        let mut found = vec![document];
        let mut is_definite = true;
        for (at, step) in self.steps.iter().enumerate() {
            let mut next = Vec::new();
            for value in found {
                let is_fit = match step {
                    Step::Member(_) => value.kind() == Kind::Object,
                    Step::Elements(_) | Step::Slice(..) => value.kind() == Kind::Array,
                    Step::All => true,
                };
                let before = next.len();
                if is_fit {
                    follow(step, value, &mut next)?;
                }
                let is_missing = matches!(step, Step::Member(_)) && next.len() == before && at + 1 < self.steps.len();
                if is_definite && !self.is_lax && (!is_fit || is_missing) {
                    return Ok(None);
                }
                check_value(next.len() * size_of::<Value>())?;
            }
            is_definite &= step.is_definite();
            found = next;
        }
        Ok(match self.is_definite() {
            true => found.into_iter().next().map(Found::One),
            false => Some(Found::Many(found)),
        })
    }
}

fn follow<'a>(step: &Step, value: Value<'a>, found: &mut Vec<Value<'a>>) -> Result<()> {
    match step {
        Step::Member(name) => found.extend(value.member(name)),
        Step::Elements(places) if places.len() == 1 && places[0] >= 0 => {
            found.extend(
                places.iter().filter_map(|place| value.elements().nth(*place as usize)).map(|(_, value)| value),
            );
        }
        Step::Elements(places) => {
            let elements = elements(value)?;
            found.extend(places.iter().filter_map(|place| element(&elements, *place)));
        }
        Step::Slice(from, to) => {
            let elements = elements(value)?;
            let count = elements.len() as i64;
            let (start, end) = match (*from, *to) {
                (Some(from), Some(to)) => (from, to.min(count)),
                (Some(from), None) => ((if from < 0 { from + count } else { from }).max(0), count),
                (None, to) => {
                    let to = to.unwrap_or(count);
                    (0, (if to < 0 { to + count } else { to }).min(count))
                }
            };
            // From a negative place to another, each is counted from the end by itself.
            found.extend((start.max(-count)..end).filter_map(|place| element(&elements, place)));
        }
        Step::All => match value.kind() {
            Kind::Array => found.extend(elements(value)?),
            _ => found.extend(value.members()?.into_iter().map(|(_, value)| value)),
        },
    }
    Ok(())
}

fn elements(array: Value<'_>) -> Result<Vec<Value<'_>>> {
    let mut elements = Vec::new();
    let mut steps = Steps::default();
    for (_, element) in array.elements() {
        steps.step()?;
        check_value(elements.len() * size_of::<Value>())?;
        elements.push(element);
    }
    Ok(elements)
}

fn element<'a>(elements: &[Value<'a>], place: i64) -> Option<Value<'a>> {
    let place = if place < 0 { place + elements.len() as i64 } else { place };
    elements.get(usize::try_from(place).ok()?).copied()
}

/// Reads the steps of a path.
struct Reader<'a> {
    rest: &'a str,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn unsupported(&self, what: &str) -> Refusal {
        Refusal::Unsupported(format!("{what} in the JSON path '{}' is not supported", quote(self.text)))
    }

    /// The next step, behind the point that may be before it.
    fn step(&mut self) -> Result<Step, Refusal> {
        if let Some(rest) = self.rest.strip_prefix('[') {
            let (step, rest) = self.in_brackets(rest.trim_start())?;
            self.rest = rest;
            return Ok(step);
        }
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            return Ok(Step::All);
        }
        let end = self.rest.find(['.', '[', '(', ' ']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        match rest.chars().next() {
            Some('(') => return Err(self.unsupported("a function")),
            Some(' ') => return Err(Refusal::Malformed),
            _ if name.is_empty() => return Err(Refusal::Malformed),
            _ => {}
        }
        self.rest = rest;
        Ok(Step::Member(name.to_owned()))
    }

    /// What is between brackets, and what follows them.
    fn in_brackets(&self, inner: &'a str) -> Result<(Step, &'a str), Refusal> {
        if let Some(quote) = inner.chars().next().filter(|c| *c == '\'' || *c == '"') {
            return self.quoted_name(&inner[1..], quote);
        }
        let (inner, rest) = inner.split_once(']').ok_or(Refusal::Malformed)?;
        let inner = inner.trim();
        if inner.starts_with('?') {
            return Err(self.unsupported("a filter"));
        }
        if inner == "*" {
            return Ok((Step::All, rest));
        }
        let number = |text: &str| text.trim().parse::<i32>().map(i64::from).map_err(|_| Refusal::Malformed);
        let place = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
        let step = match inner.split_once(':') {
            Some((from, to)) => match (place(from)?, place(to)?) {
                (None, None) => return Err(Refusal::Malformed),
                (from, to) => Step::Slice(from, to),
            },
            None => Step::Elements(inner.split(',').map(number).collect::<Result<_, _>>()?),
        };
        Ok((step, rest))
    }

    fn quoted_name(&self, inner: &'a str, quote: char) -> Result<(Step, &'a str), Refusal> {
        let mut name = String::new();
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                c if c == quote => {
                    let behind = inner[at + 1..].trim_start();
                    if behind.starts_with(',') {
                        return Err(self.unsupported("a list of names"));
                    }
                    let rest = behind.strip_prefix(']').ok_or(Refusal::Malformed)?;
                    return Ok((Step::Member(name), rest));
                }
                c => name.push(c),
            }
        }
        Err(Refusal::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    /// What a path leads to, as JSON; `-` is nothing.
    fn find(path: &str, document: &str) -> String {
        let mut out = String::new();
        match Path::parse(path).unwrap().find(parse(document).unwrap()).unwrap() {
            None => out.push('-'),
            Some(Found::One(value)) => value.write_json(&mut out).unwrap(),
            Some(Found::Many(values)) => {
                out.push('*');
                for value in values {
                    value.write_json(&mut out).unwrap();
                    out.push(' ');
                }
            }
        }
        out
    }

    #[test]
    fn steps_are_followed() {
        let document = r#"{"a": {"b": [1, 2, 3]}, "c d": null, "e": {}, "f.g": 4}"#;
        for (path, wanted) in [
            ("$", r#"{"a":{"b":[1,2,3]},"c d":null,"e":{},"f.g":4}"#),
            ("a.b", "[1,2,3]"),
            ("$.a.b[0]", "1"),
            ("$.a.b[-1]", "3"),
            ("$.a.b[3]", "-"),
            ("$['a']['b'][ 1 ]", "2"),
            (r#"$["c d"]"#, "null"),
            (r"$['f.g']", "4"),
            ("$.a.b[*]", "*1 2 3 "),
            ("$.a.b[0,2]", "*1 3 "),
            ("$.a.b[1:]", "*2 3 "),
            ("$.a.b[:2]", "*1 2 "),
            ("$.a.b[0:2]", "*1 2 "),
            ("$.a.b[-2:]", "*2 3 "),
            ("$.e.*", "*"),
            ("$.a.*[1]", "*2 "),
            ("$.zz", "-"),
            ("$.zz[*]", "-"),
            ("lax $.zz[*]", "*"),
            ("$.a[0]", "-"),
            ("$.*.b", "*[1,2,3] "),
            ("  LAX  $.a.b[2]", "3"),
        ] {
            assert_eq!(find(path, document), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_told_from_what_is_not_followed() {
        for path in ["", " ", "$.", "$.a.", "$x", "$[", "$['a'", "$[a]", "$[:]", "$.a b", "lax"] {
            let is_name = path == "lax";
            assert_eq!(matches!(Path::parse(path), Err(Refusal::Malformed)), !is_name, "{path}");
        }
        for path in ["$..a", "$[?(@.a > 1)]", "$.a.length()", "$['a','b']"] {
            assert!(matches!(Path::parse(path), Err(Refusal::Unsupported(_))), "{path}");
        }
    }
}
