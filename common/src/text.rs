//! Texts that people wrote.

/// A text without the byte order mark that some editors put before it: parsers take it for the beginning of a name.
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Longer names are not likened to others: that takes the product of both lengths.
const MAX_LIKENED: usize = 128;

/// The known name that is most like this one, if one is like it.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    if length > MAX_LIKENED {
        return None;
    }
    let limit = (length / 3).clamp(1, 3);
    let distance = |other: &str| {
        if other.eq_ignore_ascii_case(name) { 0 } else { strsim::damerau_levenshtein(name, other) }
    };
    let as_long = |other: &&str| *other != name && other.chars().count().abs_diff(length) <= limit;
    let close = known.filter(as_long).map(|other| (distance(other), other));
    close.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

/// `; did you mean 'x'?` or nothing.
pub fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(name, known).map_or_else(String::new, |other| format!("; did you mean '{other}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_likened_to_those_that_are_near() {
        let known = ["connector", "path", "a"];
        let near = |name: &str| nearest(name, known.into_iter());
        assert_eq!([near("conector"), near("PATH"), near("paht")], [Some("connector"), Some("path"), Some("path")]);
        assert_eq!([near("path"), near("x-y-z"), near(&"a".repeat(200))], [None; 3]);
        assert_eq!(suggestion("pth", known.into_iter()), "; did you mean 'path'?");
        assert_eq!(suggestion("format", known.into_iter()), "");
    }

    #[test]
    fn only_the_mark_before_it_goes() {
        for (text, without) in [("\u{feff}a", "a"), ("a\u{feff}", "a\u{feff}"), ("", ""), ("\u{feff}", "")] {
            assert_eq!(without_byte_order_mark(text), without);
        }
    }
}
