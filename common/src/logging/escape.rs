//! Text from users, files and the network in a line of the log: it stays one line and does nothing to a terminal.
use std::fmt::{self, Write};

/// Writes a text with its control characters as they would be written in a program, such as `\n` and `\u{1b}`.
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
        let escaped = |text: &str| {
            let mut written = String::new();
            write(text, &mut written).unwrap();
            written
        };
        assert_eq!(escaped("Zürich, 東京 'a\\b'"), "Zürich, 東京 'a\\b'");
        assert_eq!(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escaped("\u{1b}[2J\0\u{85}x\u{202e}"), "\\u{1b}[2J\\u{0}\\u{85}x\\u{202e}");
        assert_eq!(escaped(""), "");
    }
}
