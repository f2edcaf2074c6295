//! Finds the parts of a JSON text without building them: RFC 8259, and raw control characters inside strings.
use wiesel_common::quote::quote_bytes;

/// A value in its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    /// As it is written.
    Number(&'a [u8]),
    /// What is between the quotes, escapes untouched.
    Text(&'a [u8]),
    /// From `[` to `]`.
    Array(&'a [u8]),
    /// From `{` to `}`.
    Object(&'a [u8]),
}

/// Nesting may be so deep.
const DEEPEST: usize = 1000;

/// The outcome of a step; an error says what was found where.
pub(crate) type Scanned<T> = Result<T, String>;

/// Walks over a text.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Over white space.
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected<T>(&self, wanted: &str) -> Scanned<T> {
        match self.peek() {
            None => Err(format!("Unexpected end-of-input: was expecting {wanted}")),
            Some(byte) => Err(format!(
                "Unexpected character ('{}') at column {}: was expecting {wanted}",
                char::from(byte),
                self.at + 1
            )),
        }
    }

    /// Takes a byte if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, wanted: &str) -> Scanned<()> {
        if self.take(byte) { Ok(()) } else { self.unexpected(wanted) }
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Scanned<Value<'a>> {
        self.nested_value(0)
    }

    fn nested_value(&mut self, depth: usize) -> Scanned<Value<'a>> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => {
                self.at += 1;
                self.members(
                    depth,
                    |cursor| {
                        cursor.skip_space();
                        cursor.string()?;
                        cursor.skip_space();
                        cursor.expect(b':', "a colon to separate field name and value")?;
                        cursor.nested_value(depth + 1).map(drop)
                    },
                    b'}',
                )?;
                Ok(Value::Object(&self.text[start..self.at]))
            }
            Some(b'[') => {
                self.at += 1;
                self.members(depth, |cursor| cursor.nested_value(depth + 1).map(drop), b']')?;
                Ok(Value::Array(&self.text[start..self.at]))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let rest = &self.text[start..];
                let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                let value = match &rest[..word] {
                    b"null" => Value::Null,
                    b"true" => Value::Boolean(true),
                    b"false" => Value::Boolean(false),
                    b"" => return self.unexpected("a value"),
                    word => {
                        return Err(format!(
                            "Unrecognized token '{}': was expecting (JSON String, Number, Array, Object or token 'null', \
                             'true' or 'false')",
                            quote_bytes(word)
                        ));
                    }
                };
                self.at += word;
                Ok(value)
            }
            None => self.unexpected("a value"),
        }
    }

    /// Members up to the closing bracket, the opening one taken.
    fn members(&mut self, depth: usize, member: impl Fn(&mut Self) -> Scanned<()>, close: u8) -> Scanned<()> {
        if depth >= DEEPEST {
            return Err(format!("nesting is deeper than {DEEPEST}"));
        }
        self.skip_space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            member(self)?;
            self.skip_space();
            if self.take(close) {
                return Ok(());
            }
            self.expect(b',', "a comma or the end of the array or object")?;
        }
    }

    /// A string: what is between its quotes.
    pub(crate) fn string(&mut self) -> Scanned<&'a [u8]> {
        self.expect(b'"', "double-quote to start field name")?;
        let start = self.at;
        loop {
            let Some(offset) = memchr::memchr2(b'"', b'\\', &self.text[self.at..]) else {
                self.at = self.text.len();
                return Err("Unexpected end-of-input in a string".to_owned());
            };
            self.at += offset;
            if self.text[self.at] == b'"' {
                self.at += 1;
                return Ok(&self.text[start..self.at - 1]);
            }
            self.at = (self.at + 2).min(self.text.len());
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Scanned<Value<'a>> {
        let start = self.at;
        self.take(b'-');
        if self.peek() == Some(b'0') && self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) {
            return Err("Invalid numeric value: Leading zeroes not allowed".to_owned());
        }
        if self.digits() == 0 {
            return self.unexpected("a digit");
        }
        if self.take(b'.') && self.digits() == 0 {
            return self.unexpected("a digit after the decimal point");
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return self.unexpected("a digit in the exponent");
            }
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return self.unexpected("the end of a number");
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }
}

/// Calls `each` with the fields of an object that was scanned before.
pub(crate) fn for_each_field<'a>(
    object: &'a [u8],
    mut each: impl FnMut(&'a [u8], Value<'a>) -> Scanned<()>,
) -> Scanned<()> {
    let mut cursor = Cursor::new(object);
    cursor.expect(b'{', "an object")?;
    cursor.skip_space();
    if cursor.take(b'}') {
        return Ok(());
    }
    loop {
        cursor.skip_space();
        let name = cursor.string()?;
        cursor.skip_space();
        cursor.expect(b':', "a colon to separate field name and value")?;
        let value = cursor.value()?;
        each(name, value)?;
        cursor.skip_space();
        if cursor.take(b'}') {
            return Ok(());
        }
        cursor.expect(b',', "a comma or the end of the object")?;
    }
}

/// Calls `each` with the elements of an array that was scanned before.
pub(crate) fn for_each_element<'a>(array: &'a [u8], mut each: impl FnMut(Value<'a>) -> Scanned<()>) -> Scanned<()> {
    let mut cursor = Cursor::new(array);
    cursor.expect(b'[', "an array")?;
    cursor.skip_space();
    if cursor.take(b']') {
        return Ok(());
    }
    loop {
        each(cursor.value()?)?;
        cursor.skip_space();
        if cursor.take(b']') {
            return Ok(());
        }
        cursor.expect(b',', "a comma or the end of the array")?;
    }
}

/// The text of a string without its escapes.
pub(crate) fn unescape<'s>(raw: &'s [u8], scratch: &'s mut Vec<u8>) -> Scanned<&'s [u8]> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Ok(raw);
    }
    scratch.clear();
    let mut rest = raw;
    while let Some(escape) = memchr::memchr(b'\\', rest) {
        scratch.extend_from_slice(&rest[..escape]);
        rest = &rest[escape + 1..];
        let Some((code, tail)) = rest.split_first() else { return Err("a string ends in an escape".to_owned()) };
        rest = tail;
        let plain = match code {
            b'"' | b'\\' | b'/' => *code,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = hex(&mut rest)?;
                if (0xd800..0xdc00).contains(&unit) && rest.starts_with(b"\\u") {
                    let mut after = &rest[2..];
                    let low = hex(&mut after)?;
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        rest = after;
                    }
                }
                let character = char::from_u32(unit).unwrap_or('?');
                scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => return Err(format!("Unrecognized character escape '{}'", char::from(*other))),
        };
        scratch.push(plain);
    }
    scratch.extend_from_slice(rest);
    Ok(scratch)
}

fn hex(rest: &mut &[u8]) -> Scanned<u32> {
    let wrong = || "a \\u escape without four hexadecimal digits".to_owned();
    let (digits, tail) = rest.split_at_checked(4).ok_or_else(wrong)?;
    let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
    *rest = tail;
    u32::from_str_radix(digits, 16).map_err(|_| wrong())
}
