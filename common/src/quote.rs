//! Values of users in messages: enough to recognise them, never the whole of what may have any size. A message goes through
//! calls, logs, histories and answers, each of which holds it once more.
use std::borrow::Cow;

/// Bytes of a value that a message quotes, at most.
pub const MAX_QUOTED: usize = 300;

/// A value as a message quotes it: as it is, or its beginning and how much is left out.
pub fn quote(value: &str) -> Cow<'_, str> {
    bounded(value, MAX_QUOTED)
}

/// [`quote`] of bytes that should be text.
pub fn quote_bytes(value: &[u8]) -> Cow<'_, str> {
    if value.len() <= MAX_QUOTED {
        return String::from_utf8_lossy(value);
    }
    let (shown, rest) = value.split_at(MAX_QUOTED);
    // A character that is cut in two is none.
    let shown = shown.utf8_chunks().map(|chunk| chunk.valid()).collect::<Vec<_>>().join("\u{fffd}");
    Cow::Owned(left_out(&shown, rest.len()))
}

/// A text of at most so many bytes and a remark.
pub fn bounded(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max);
    Cow::Owned(left_out(&text[..end], text.len() - end))
}

/// [`bounded`], in place.
pub fn bound(text: &mut String, max: usize) {
    let shorter = match bounded(text, max) {
        Cow::Owned(shorter) => shorter,
        Cow::Borrowed(_) => return,
    };
    *text = shorter;
}

fn left_out(shown: &str, rest: usize) -> String {
    format!("{shown}... ({rest} more bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_quoted_by_its_beginning() {
        assert_eq!(quote("short"), "short");
        assert_eq!(quote(&"x".repeat(MAX_QUOTED)).len(), MAX_QUOTED);
        let long = "\u{e4}".repeat(MAX_QUOTED);
        assert_eq!(quote(&long), format!("{}... (300 more bytes)", "\u{e4}".repeat(MAX_QUOTED / 2)));
        assert!(matches!(quote("x"), Cow::Borrowed(_)), "what is short is not copied");
    }

    #[test]
    fn bytes_are_quoted_however_they_are_cut() {
        assert_eq!(quote_bytes(b"a\xffb"), "a\u{fffd}b");
        let odd = [b"x".repeat(MAX_QUOTED - 1), "\u{e4}".repeat(10).into_bytes()].concat();
        let shown = quote_bytes(&odd);
        assert!(shown.starts_with(&"x".repeat(MAX_QUOTED - 1)) && shown.ends_with("... (19 more bytes)"), "{shown}");
        assert!(shown.len() < MAX_QUOTED + 50);
        assert!(quote_bytes(&vec![0xff; 70 << 20]).len() < 3 * MAX_QUOTED + 50);
    }

    #[test]
    fn a_text_is_bounded_in_place() {
        let mut text = "\u{e4}".repeat(100);
        bound(&mut text, 51);
        assert_eq!(text, format!("{}... (150 more bytes)", "\u{e4}".repeat(25)));
        let same = text.clone();
        bound(&mut text, 1000);
        assert_eq!(text, same);
    }
}
