//! Text from users, files and the network in a line of the log: it stays one line and does nothing to a terminal.
use std::borrow::Cow;
use std::fmt::{self, Write};

/// A text for the middle of a line, be it of a log or on a terminal: with its control characters as they would be written in a
/// program, such as `\n` and `\u{1b}`.
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(changes_the_line) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    // A string takes all that is written to it.
    let _ = write(text, &mut line);
    Cow::Owned(line)
}

/// Writes [`in_one_line`].
pub(super) fn write(text: &str, writer: &mut impl Write) -> fmt::Result {
    let mut rest = text;
    while let Some((at, character)) = rest.char_indices().find(|(_, character)| changes_the_line(*character)) {
        writer.write_str(&rest[..at])?;
        match character {
            '\n' => writer.write_str("\\n")?,
            '\r' => writer.write_str("\\r")?,
            '\t' => writer.write_str("\\t")?,
            other => write!(writer, "{}", other.escape_unicode())?,
        }
        rest = &rest[at + character.len_utf8()..];
    }
    writer.write_str(rest)
}

/// Control characters, what breaks lines, and what turns the direction of a text.
fn changes_the_line(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_line_is_spelled_out() {
        let escaped = |text: &str| in_one_line(text).into_owned();
        assert_eq!(escaped("Zürich, 東京 'a\\b'"), "Zürich, 東京 'a\\b'");
        assert_eq!(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escaped("\u{1b}[2J\0\u{85}x\u{202e}"), "\\u{1b}[2J\\u{0}\\u{85}x\\u{202e}");
        assert_eq!(escaped(""), "");
    }
}
