//! Bytes as the text that Java's decoder of UTF-8 makes of them.
use std::borrow::Cow;

/// The text of bytes. What is no UTF-8 becomes one replacement character for as many bytes as Java counts together: as Rust does, but that
/// half of a surrogate pair, `ED A0 80` to `ED BF BF`, is one character and not three.
pub(crate) fn utf8_as_java(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        if chunk.invalid().is_empty() {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        rest = &rest[chunk.valid().len()..];
        rest = &rest[surrogate_length(rest).unwrap_or(chunk.invalid().len())..];
    }
    Cow::Owned(text)
}

/// How many bytes half of a surrogate pair has that the bytes begin with; the last one may be missing.
fn surrogate_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => Some(3),
        [0xed, 0xa0..=0xbf, ..] => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::utf8_as_java;

    /// What Flink made of the same bytes. Failed before: half of a surrogate pair was three characters.
    #[test]
    fn what_is_no_utf_8_is_replaced_as_java_replaces_it() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"a\xc3\xa9", "a\u{e9}"),
            (b"\xff", "\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}"),
            (b"\xed\xbf\xbfa", "\u{fffd}a"),
            (b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed", "\u{fffd}"),
            (b"\xed\xa0a", "\u{fffd}a"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
            (b"\xc3\xc3\xa9", "\u{fffd}\u{e9}"),
            (b"\xf8\x80\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
        ] {
            assert_eq!(utf8_as_java(bytes), text, "{bytes:x?}");
        }
    }
}
