//! How deep lists and maps in YAML's flow style are nested. The parser refuses what is too deep only when it has read it all, which
//! takes the product of the depth and the length.

/// So many levels the parser takes.
pub(super) const MAX_DEPTH: usize = 128;

/// Whether brackets are nested deeper than the parser takes. It reads quotes and comments, and no more of YAML.
pub(super) fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut before = '\n';
    let (mut quote, mut closed) = (None, false);
    let mut comment = false;
    for c in text.chars() {
        let reopens = std::mem::take(&mut closed);
        // Within a word they mean themselves.
        let begins = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':');
        match (c, quote) {
            ('\n', None) => comment = false,
            _ if comment => {}
            // A doubled one closes and opens again, as far as brackets are concerned.
            (_, Some(open)) if c == open && (open == '\'' || before != '\\') => {
                quote = None;
                closed = true;
            }
            (_, Some(_)) => {}
            ('#', None) if before.is_whitespace() => comment = true,
            ('\'' | '"', None) if begins || reopens => quote = Some(c),
            ('[' | '{', None) if begins => depth += 1,
            (']' | '}', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
        // A backslash that is escaped escapes nothing.
        before = if c == '\\' && before == '\\' { ' ' } else { c };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_where_they_nest() {
        for open in ["[", "{", "[ ", "[\n", "[{", "{a: ", "- [", "[,"] {
            assert!(is_too_deep(&format!("a: {}", open.repeat(100_000))), "{open}");
        }
        assert!(!is_too_deep(&format!("a: {}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))));
        assert!(is_too_deep(&format!("a: {}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1))));
        for line in [
            "a: [1, [2]]\n",
            "# see [\n",
            "a: b # see [\n",
            "a: '['\n",
            "a: 'it''s ['\n",
            "a: \"[\"\n",
            "a: \"\\\"[\"\n",
            "a: \"\\\\\"\n",
            "a: x[y\n",
            "it's: b\n",
            "it''s: b\n",
        ] {
            assert!(!is_too_deep(&line.repeat(1000)), "{line}");
        }
    }
}
