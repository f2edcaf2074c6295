//! Texts that people wrote.

/// A text without the byte order mark that some editors put before it: parsers take it for the beginning of a name.
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_before_it_goes() {
        for (text, without) in [("\u{feff}a", "a"), ("a\u{feff}", "a\u{feff}"), ("", ""), ("\u{feff}", "")] {
            assert_eq!(without_byte_order_mark(text), without);
        }
    }
}
