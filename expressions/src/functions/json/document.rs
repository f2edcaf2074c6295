//! JSON documents as Flink's functions read and write them: its JSON library accepts what follows the first value, keeps numbers as
//! they are, and writes objects in the order of their names.
//!
//! A document is checked once; its values are parts of its text, found again by scanning. A tree would take a hundred times the
//! memory of `[0,0,0,…]`.
use std::borrow::Cow;
use std::collections::HashMap;

use wiesel_common::ending::{self, Steps};

use crate::error::Result;
use crate::expression::check_value;
use crate::expression::comparison::utf16_order;

/// Values within each other, at most; more is no document, as to Flink's library.
const MAX_DEPTH: usize = 1000;
/// Letters of a number, at most, likewise.
const MAX_NUMBER: usize = 1000;

/// A value: its text, from its first to its last letter, in a document that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a>(&'a str);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

/// The first value of a text; none: the text is no document.
pub(super) fn parse(text: &str) -> Option<Value<'_>> {
    let mut checker = Checker { bytes: text.as_bytes(), at: 0 };
    checker.space();
    let start = checker.at;
    checker.value()?;
    let is_apart = match text.as_bytes()[start] {
        b'{' | b'[' | b'"' => true,
        b'-' | b'0'..=b'9' => text[checker.at..].bytes().next().is_none_or(is_space),
        _ => !text[checker.at..].starts_with(|c: char| c.is_alphanumeric() || c == '_'),
    };
    is_apart.then(|| Value(&text[start..checker.at]))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Goes over a text and says whether it is JSON.
struct Checker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Checker<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A value with all that is in it, without recursion: documents are as deep as strangers make them.
    fn value(&mut self) -> Option<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here a value begins.
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    if open.len() == MAX_DEPTH {
                        return None;
                    }
                    self.at += 1;
                    self.space();
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek()? == close {
                        self.at += 1;
                    } else {
                        open.push(close);
                        self.name(close)?;
                        continue;
                    }
                }
                b'"' => self.text()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            // Behind a value.
            loop {
                let Some(close) = open.last().copied() else { return Some(()) };
                self.space();
                if self.peek()? == close {
                    self.at += 1;
                    open.pop();
                    continue;
                }
                self.take(b',')?;
                self.space();
                self.name(close)?;
                break;
            }
        }
    }

    /// The name before a value, if it is of an object.
    fn name(&mut self, close: u8) -> Option<()> {
        if close == b'}' {
            self.text()?;
            self.space();
            self.take(b':')?;
            self.space();
        }
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        (self.bytes.get(self.at..end)? == word.as_bytes()).then(|| self.at = end)
    }

    fn text(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => {
                    let escaped = self.peek()?;
                    self.at += 1;
                    match escaped {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.bytes.get(self.at..self.at + 4)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 4;
                        }
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let exponent = self.at;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            let exponent = std::str::from_utf8(&self.bytes[exponent..self.at]).ok()?;
            exponent.parse::<i32>().ok()?;
        }
        (self.at - start <= MAX_NUMBER).then_some(())
    }
}

/// Where a value ends that begins at a place of a document that was checked.
fn end_of(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0_usize;
    loop {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => at = end_of_text(bytes, at) - 1,
            _ if depth == 0 => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || is_space(*byte);
                return bytes[at..].iter().position(is_end).map_or(bytes.len(), |length| at + length);
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}

fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

impl<'a> Value<'a> {
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The value as it is written.
    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn is_scalar(self) -> bool {
        !matches!(self.kind(), Kind::Array | Kind::Object)
    }

    /// Whether it is a number without a point and an exponent.
    pub fn is_integer(self) -> bool {
        self.kind() == Kind::Number && !self.0.contains(['.', 'e', 'E'])
    }

    /// The elements of an array; nothing of other values.
    pub fn elements(self) -> Parts<'a> {
        self.parts(Kind::Array)
    }

    /// The names and values of an object as they are written; nothing of other values.
    pub fn written_members(self) -> Parts<'a> {
        self.parts(Kind::Object)
    }

    fn parts(self, of: Kind) -> Parts<'a> {
        let text = if self.kind() == of { self.0 } else { "" };
        Parts { text, at: 1, is_object: of == Kind::Object }
    }

    /// The value of a name: the last one, if several have it.
    pub fn member(self, name: &str) -> Option<Value<'a>> {
        self.written_members().filter(|(key, _)| unescaped(key) == name).last().map(|(_, value)| value)
    }

    /// The values of an object in the order of their names' first places, each name's last value.
    pub fn members(self) -> Result<Vec<(Cow<'a, str>, Value<'a>)>> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut steps = Steps::default();
        for (name, value) in self.written_members() {
            steps.step()?;
            let name = unescaped(name);
            match places.get(&name) {
                Some(place) => members[*place].1 = value,
                None => {
                    check_value(members.len() * size_of::<(Cow<str>, Value)>())?;
                    places.insert(name.clone(), members.len());
                    members.push((name, value));
                }
            }
        }
        Ok(members)
    }

    /// Writes a scalar as text: a text without its quotes, a number as Java's BigDecimal or BigInteger prints it.
    pub fn write_scalar(self, out: &mut String) {
        match self.kind() {
            Kind::Text => out.push_str(&unescaped(self.0)),
            Kind::Number if self.is_integer() => out.push_str(if self.0 == "-0" { "0" } else { self.0 }),
            Kind::Number => push_decimal(self.0, out),
            _ => out.push_str(self.0),
        }
    }

    /// Writes the value as JSON: the members of objects by name.
    pub fn write_json(self, out: &mut String) -> Result<()> {
        ending::check()?;
        check_value(out.len())?;
        match self.kind() {
            Kind::Text => push_text(&unescaped(self.0), out),
            Kind::Array => {
                out.push('[');
                for (index, (_, element)) in self.elements().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    element.write_json(out)?;
                }
                out.push(']');
            }
            Kind::Object => {
                let mut members = self.members()?;
                members.sort_by(|(left, _), (right, _)| utf16_order(left, right));
                out.push('{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    push_text(&name, out);
                    out.push(':');
                    value.write_json(out)?;
                }
                out.push('}');
            }
            _ => self.write_scalar(out),
        }
        Ok(())
    }

    pub fn as_boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    pub fn as_double(self) -> Option<f64> {
        if self.kind() == Kind::Number { self.0.parse().ok() } else { None }
    }

    /// An INT, if it is a whole number that is one.
    pub fn as_int(self) -> Option<i32> {
        if self.is_integer() { self.0.parse().ok() } else { None }
    }
}

/// The elements of an array, or the names with the values of an object; elements have no name.
pub(super) struct Parts<'a> {
    text: &'a str,
    at: usize,
    is_object: bool,
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.text;
        let bytes = text.as_bytes();
        let between = |byte: u8| is_space(byte) || matches!(byte, b',' | b':');
        let skip = |at: usize| at + bytes[at..].iter().take_while(|byte| between(**byte)).count();
        if self.at + 1 >= bytes.len() {
            return None;
        }
        let mut start = skip(self.at);
        if start + 1 >= bytes.len() {
            return None;
        }
        let mut name = "";
        if self.is_object {
            let end = end_of_text(bytes, start);
            name = &text[start..end];
            start = skip(end);
        }
        self.at = end_of(bytes, start);
        Some((name, Value(&text[start..self.at])))
    }
}

/// A text between quotes as what it means. Half a character beyond the basic plane is what Java writes for it.
pub(super) fn unescaped(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut units: Vec<u16> = Vec::new();
    let mut text = String::with_capacity(inner.len());
    let flush = |units: &mut Vec<u16>, text: &mut String| {
        text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or('?')));
    };
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let plain = match c {
            '\\' => {
                let escaped = rest.chars().next().unwrap_or('\\');
                rest = &rest[escaped.len_utf8().min(rest.len())..];
                match escaped {
                    'u' => {
                        let digits = rest.get(..4).unwrap_or("");
                        units.push(u16::from_str_radix(digits, 16).unwrap_or(u16::from(b'?')));
                        rest = &rest[digits.len()..];
                        continue;
                    }
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }
            }
            c => c,
        };
        flush(&mut units, &mut text);
        text.push(plain);
    }
    flush(&mut units, &mut text);
    Cow::Owned(text)
}

/// A text between quotes.
pub fn push_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number with a point or an exponent as Java's BigDecimal prints it: `1.50` as it is, `1e3` as `1E+3`.
pub(super) fn push_decimal(number: &str, out: &mut String) {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = match all.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let scale = fraction.len() as i64 - exponent;
    let adjusted = digits.len() as i64 - 1 - scale;
    out.push_str(if digits == "0" { "" } else { sign });
    if scale == 0 {
        out.push_str(digits);
    } else if scale > 0 && adjusted >= -6 {
        // At most six zeros are put before the digits.
        let scale = scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (before, behind) = padded.split_at(padded.len() - scale);
        out.push_str(&format!("{before}.{behind}"));
    } else {
        let (first, behind) = digits.split_at(1);
        let point = if behind.is_empty() { "" } else { "." };
        out.push_str(&format!("{first}{point}{behind}E{adjusted:+}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Option<String> {
        let mut out = String::new();
        parse(text)?.write_json(&mut out).unwrap();
        Some(out)
    }

    #[test]
    fn documents_are_written_as_flinks_library_writes_them() {
        for (text, wanted) in [
            (r#" { "b" : 1 , "a" : [ 1 , 2.0 ] , "c" : { } } x"#, r#"{"a":[1,2.0],"b":1,"c":{}}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"["ä\u00e4\n\/","\ud83d\ude00","\ud83d"]"#, "[\"ää\\n/\",\"😀\",\"?\"]"),
            (r#""\u001f""#, r#""\u001F""#),
            (
                "[1e3,1E-7,0.000001,1.50e1,-0,-0.0,12345678901234567890]",
                "[1E+3,1E-7,0.000001,15.0,0,0.0,12345678901234567890]",
            ),
            ("[100e-2,1.0e10,0e5,true,false,null]", "[1.00,1.0E+10,0E+5,true,false,null]"),
            ("[[],[[]],{\"\":{}}]", "[[],[[]],{\"\":{}}]"),
            ("17 x", "17"),
        ] {
            assert_eq!(json(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "-",
            "17x",
            "truex",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "[1 2]",
            "[}",
            "NaN",
            "1e99999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse(&"[".repeat(1_000_000)).is_none());
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&deep(MAX_DEPTH)).is_some() && parse(&deep(MAX_DEPTH + 1)).is_none());
        assert!(parse(&"1".repeat(MAX_NUMBER + 1)).is_none());
    }

    #[test]
    fn parts_are_found_again() {
        let value = parse(r#"{"x":"}]\"","y":[1,"a,b",[2,3],{"z":{}}]}"#).unwrap();
        assert_eq!(value.member("x").map(Value::kind), Some(Kind::Text));
        let elements: Vec<&str> = value.member("y").unwrap().elements().map(|(_, element)| element.0).collect();
        assert_eq!(elements, ["1", r#""a,b""#, "[2,3]", r#"{"z":{}}"#]);
        assert_eq!(value.member("z"), None);
        assert_eq!(parse("[ ]").unwrap().elements().count(), 0);
    }
}
