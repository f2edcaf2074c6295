//! Finds records and fields in delimited text, as Jackson's CSV parser does.

/// Where a field lies in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldRange {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The field holds doubled quotes or escapes: [`Tokenizer::unescape`] gives its text.
    pub(crate) escaped: bool,
    /// The field was quoted (the range is inside the quotes).
    pub(crate) quoted: bool,
}

/// What stands at a place in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record, which ends before `next`.
    Record { next: usize },
    /// Lines that hold no record.
    Skip { next: usize },
    /// A record that does not follow the rules; the next one is at `next`.
    Malformed { next: usize, why: String },
    /// More bytes are needed to tell.
    Incomplete,
}

/// The rules of a table.
#[derive(Clone, Debug)]
pub(crate) struct Tokenizer {
    delimiter: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    comments: bool,
    /// So many fields of a record are noted.
    most: usize,
    /// True for bytes that end or change an unquoted field.
    special: [bool; 256],
}

impl Tokenizer {
    /// Quote and escape are ASCII. Of a record `most` fields are noted, however many there are: a line of delimiters has millions.
    pub(crate) fn new(delimiter: char, quote: Option<u8>, escape: Option<u8>, comments: bool, most: usize) -> Self {
        let delimiter = delimiter.to_string().into_bytes();
        let mut special = [false; 256];
        for byte in [b'\n', b'\r', delimiter[0]].into_iter().chain(escape) {
            special[usize::from(byte)] = true;
        }
        Self { delimiter, quote, escape, comments, most, special }
    }

    /// Finds the fields of the record at `start`. `last`: nothing follows the buffer.
    pub(crate) fn record(&self, buffer: &[u8], start: usize, last: bool, fields: &mut Vec<FieldRange>) -> Found {
        fields.clear();
        if start >= buffer.len() {
            return Found::Incomplete;
        }
        let mut at = start;
        if self.comments {
            at = match begin(buffer, start, last) {
                Ok(at) => at,
                Err(found) => return found,
            };
        }
        loop {
            let quoted = self.quote.is_some() && buffer.get(at).copied() == self.quote;
            let end = if quoted { self.quoted(buffer, at, last, fields) } else { self.plain(buffer, at, fields) };
            let end = match end {
                Ok(end) => end,
                Err(found) => return found,
            };
            match buffer.get(end) {
                Some(b'\n') => return Found::Record { next: end + 1 },
                Some(b'\r') => match buffer.get(end + 1) {
                    Some(b'\n') => return Found::Record { next: end + 2 },
                    None if !last => return Found::Incomplete,
                    _ => return Found::Record { next: end + 1 },
                },
                Some(_) if buffer[end..].starts_with(&self.delimiter) => at = end + self.delimiter.len(),
                Some(_) => {
                    let character = String::from_utf8_lossy(&buffer[end..(end + 4).min(buffer.len())]).chars().next();
                    let character = character.unwrap_or('\u{fffd}');
                    let why = format!(
                        "Unexpected character ('{character}' (code {})): Expected column separator character ('{}' \
                         (code {})) or end-of-line",
                        u32::from(character),
                        String::from_utf8_lossy(&self.delimiter),
                        u32::from(self.delimiter[0])
                    );
                    return self.malformed(buffer, end, last, why);
                }
                None if last => return Found::Record { next: end },
                None => return Found::Incomplete,
            }
        }
    }

    /// An unquoted field: up to a delimiter or the end of the line.
    #[inline]
    fn plain(&self, buffer: &[u8], start: usize, fields: &mut Vec<FieldRange>) -> Result<usize, Found> {
        let mut at = start;
        let mut escaped = false;
        while at < buffer.len() {
            let byte = buffer[at];
            if !self.special[usize::from(byte)] {
                at += 1;
            } else if Some(byte) == self.escape {
                escaped = true;
                at += 2;
            } else if byte == b'\n'
                || byte == b'\r'
                || self.delimiter.len() == 1
                || buffer[at..].starts_with(&self.delimiter)
            {
                break;
            } else {
                at += 1;
            }
        }
        let end = at.min(buffer.len());
        self.note(fields, FieldRange { start, end, escaped, quoted: false });
        Ok(end)
    }

    /// A quoted field: up to its closing quote, and the blanks and control characters after that.
    fn quoted(&self, buffer: &[u8], start: usize, last: bool, fields: &mut Vec<FieldRange>) -> Result<usize, Found> {
        let Some(quote) = self.quote else { return Err(Found::Incomplete) };
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest),
                None => memchr::memchr(quote, rest),
            };
            let Some(offset) = found else {
                if !last {
                    return Err(Found::Incomplete);
                }
                let why = "Missing closing quote for value".to_owned();
                return Err(Found::Malformed { next: buffer.len(), why });
            };
            at += offset;
            if buffer[at] != quote {
                escaped = true;
                at += 2;
                continue;
            }
            match buffer.get(at + 1) {
                None if !last => return Err(Found::Incomplete),
                Some(byte) if *byte == quote => {
                    escaped = true;
                    at += 2;
                }
                _ => break,
            }
        }
        self.note(fields, FieldRange { start: start + 1, end: at, escaped, quoted: true });
        at += 1;
        while buffer.get(at).is_some_and(|byte| *byte <= b' ' && !matches!(byte, b'\n' | b'\r'))
            && !buffer[at..].starts_with(&self.delimiter)
        {
            at += 1;
        }
        if at >= buffer.len() && !last {
            return Err(Found::Incomplete);
        }
        Ok(at)
    }

    #[inline]
    fn note(&self, fields: &mut Vec<FieldRange>, field: FieldRange) {
        if fields.len() < self.most {
            fields.push(field);
        }
    }

    fn malformed(&self, buffer: &[u8], at: usize, last: bool, why: String) -> Found {
        match behind_line_end(&buffer[at..], last) {
            Some(next) => Found::Malformed { next: at + next, why },
            None if last => Found::Malformed { next: buffer.len(), why },
            None => Found::Incomplete,
        }
    }

    /// The text of a field with escapes, into `out`.
    pub(crate) fn unescape(&self, text: &[u8], quoted: bool, out: &mut Vec<u8>) {
        out.clear();
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            if Some(byte) == self.escape {
                out.extend(bytes.next().map(|byte| match byte {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    byte => byte,
                }));
                continue;
            }
            out.push(byte);
            if quoted && Some(byte) == self.quote {
                bytes.next();
            }
        }
    }
}

/// Where the line begins that follows the first line end, which is `\n`, `\r` or both; none: that is not in the buffer, or what
/// follows tells whether it is all of the line end.
pub(super) fn behind_line_end(buffer: &[u8], last: bool) -> Option<usize> {
    let end = memchr::memchr2(b'\n', b'\r', buffer)?;
    if buffer[end] == b'\n' {
        return Some(end + 1);
    }
    match buffer.get(end + 1) {
        Some(b'\n') => Some(end + 2),
        None if !last => None,
        _ => Some(end + 1),
    }
}

/// Where a record begins where comments are allowed: behind spaces. The error: an empty line, or one that begins with `#`.
fn begin(buffer: &[u8], start: usize, last: bool) -> Result<usize, Found> {
    let rest = &buffer[start..];
    let Some(spaces) = rest.iter().position(|byte| *byte != b' ') else {
        return Err(if last { Found::Skip { next: buffer.len() } } else { Found::Incomplete });
    };
    let end = match rest[spaces] {
        b'#' => memchr::memchr2(b'\n', b'\r', rest),
        b'\n' | b'\r' => Some(spaces),
        _ => return Ok(start + spaces),
    };
    Err(match end {
        Some(end) if rest[end] == b'\r' && end + 1 == rest.len() && !last => Found::Incomplete,
        Some(end) if rest[end..].starts_with(b"\r\n") => Found::Skip { next: start + end + 2 },
        Some(end) => Found::Skip { next: start + end + 1 },
        None if last => Found::Skip { next: buffer.len() },
        None => Found::Incomplete,
    })
}
