//! Patterns of SIMILAR TO as regular expressions of Java's. Flink takes the translation of Apache Calcite, whose rules these are.
use wiesel_common::quote::quote;

use super::patterns::bad_escape;
use crate::error::{Error, Result};

/// What has a meaning in a pattern, and what may be escaped in it.
const SPECIAL: &str = "[]()|^-+*_%?{}";

/// Classes within brackets: `[:ALPHA:]`.
const CLASSES: [(&str, &str); 7] = [
    ("ALPHA", r"\p{Alpha}"),
    ("UPPER", r"\p{Upper}"),
    ("LOWER", r"\p{Lower}"),
    ("DIGIT", r"\d"),
    ("SPACE", " "),
    ("WHITESPACE", r"\s"),
    ("ALNUM", r"\p{Alnum}"),
];

/// The regular expression for the whole of a text.
pub(super) fn to_regex(pattern: &str, escape: Option<char>) -> Result<String> {
    // Where none is given it is NUL.
    let escape = escape.unwrap_or('\0');
    check_escapes(pattern, escape)?;
    let mut translation = Translation { pattern, escape, at: 0, regex: String::from(r"\A(?:") };
    translation.run()?;
    translation.regex.push_str(r")\z");
    Ok(translation.regex)
}

/// What the standard asks of escape characters that have a meaning themselves.
fn check_escapes(pattern: &str, escape: char) -> Result<()> {
    if SPECIAL.contains(escape) {
        for (at, _) in pattern.match_indices(escape) {
            let next = pattern[at + escape.len_utf8()..].chars().next();
            if !next.is_some_and(|next| SPECIAL.contains(next)) {
                return Err(bad_escape(pattern, at));
            }
        }
    }
    if escape == ':' && !(pattern.contains("[:") && pattern.contains(":]")) {
        let message = format!("Invalid escape sequence '{}', -1", quote(pattern));
        return Err(Error::data("java.lang.RuntimeException", message));
    }
    Ok(())
}

struct Translation<'p> {
    pattern: &'p str,
    escape: char,
    /// So many bytes of the pattern were read.
    at: usize,
    regex: String,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<()> {
        // What the pattern leaves open or closes must not pair with what is put around it.
        let mut open = 0_u32;
        while let Some(c) = self.take() {
            match c {
                c if c == self.escape => self.escaped()?,
                '_' => self.regex.push('.'),
                '%' => self.regex.push_str("(?s:.*)"),
                '[' => self.brackets()?,
                ']' => return Err(bad_expression(self.pattern)),
                '\\' | '$' => self.literal(c),
                '(' => {
                    open += 1;
                    self.regex.push(c);
                }
                ')' => {
                    open = open.checked_sub(1).ok_or_else(|| bad_pattern(self.pattern))?;
                    self.regex.push(c);
                }
                c => self.regex.push(c),
            }
        }
        if open == 0 { Ok(()) } else { Err(bad_pattern(self.pattern)) }
    }

    fn take(&mut self) -> Option<char> {
        let next = self.pattern[self.at..].chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn literal(&mut self, c: char) {
        self.regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// What is behind an escape character.
    fn escaped(&mut self) -> Result<()> {
        let at = self.at - self.escape.len_utf8();
        match self.take() {
            Some(c) if c == self.escape || SPECIAL.contains(c) => {
                self.literal(c);
                Ok(())
            }
            _ => Err(bad_escape(self.pattern, at)),
        }
    }

    /// One of several characters, up to the first bracket that closes.
    fn brackets(&mut self) -> Result<()> {
        self.regex.push('[');
        loop {
            match self.take() {
                Some(']') => {
                    self.regex.push(']');
                    return Ok(());
                }
                Some(c) if c == self.escape => self.escaped().map_err(|_| bad_expression(self.pattern))?,
                Some(c @ ('-' | '^')) => self.regex.push(c),
                Some('[') => self.class()?,
                Some(c) if !SPECIAL.contains(c) => self.regex.push(c),
                _ => return Err(bad_expression(self.pattern)),
            }
        }
    }

    /// What a bracket within brackets begins: `:ALPHA:]`, in capitals or in small letters.
    fn class(&mut self) -> Result<()> {
        let rest = &self.pattern[self.at..];
        let known = CLASSES.iter().find_map(|(name, class)| {
            let [capitals, small] = [format!(":{name}:]"), format!(":{}:]", name.to_ascii_lowercase())];
            (rest.starts_with(&capitals) || rest.starts_with(&small)).then_some((capitals.len(), *class))
        });
        let (length, class) = known.ok_or_else(|| bad_expression(self.pattern))?;
        self.at += length;
        self.regex.push_str(class);
        Ok(())
    }
}

/// What the translation refuses.
fn bad_expression(pattern: &str) -> Error {
    Error::data("java.lang.RuntimeException", format!("Invalid regular expression '{}'", quote(pattern)))
}

/// What Java refuses of what was translated.
pub(super) fn bad_pattern(pattern: &str) -> Error {
    Error::data("java.util.regex.PatternSyntaxException", format!("Invalid pattern '{}' of SIMILAR TO", quote(pattern)))
}

#[cfg(test)]
mod tests {
    use super::super::java_regex::Regexp;
    use super::*;

    fn matches(text: &str, pattern: &str, escape: Option<char>) -> bool {
        let regex = to_regex(pattern, escape).unwrap();
        Regexp::compile(&regex, String::new()).unwrap().unwrap().is_match(text).unwrap()
    }

    /// Failed before: a backslash and a dollar sign had their meaning in Java's patterns, `_` took the end of a line, and a
    /// quantifier behind `%` made it possessive.
    #[test]
    fn only_what_sql_knows_has_a_meaning() {
        for (text, pattern, expected) in [
            ("ab", "(a|b)+", true),
            ("xab", "(a|b)+", false),
            ("ab", "a|b", false),
            ("", "", true),
            ("a\nb", "a%b", true),
            ("a\nb", "a_b", false),
            ("a\u{85}b", "a_b", false),
            ("a\nb", "a.b", false),
            ("axb", "a.b", true),
            ("a😀b", "a_b", true),
            (r"\d", r"\d", true),
            ("7", r"\d", false),
            ("a$", "a$", true),
            ("a", "a$", false),
            ("aab", "a%+b", true),
            ("aab", "%*b", true),
            ("a7", "[[:alpha:]][[:DIGIT:]]", true),
            ("a", "[^b-d]", true),
            ("c", "[^b-d]", false),
            ("$", "[$]", true),
        ] {
            assert_eq!(matches(text, pattern, None), expected, "{text:?} SIMILAR TO {pattern:?}");
        }
        for (text, pattern, escape, expected) in [
            ("50%", "50!%", '!', true),
            ("50!", "50!!", '!', true),
            ("a-b", "a!-b", '!', true),
            ("]", "[!]]", '!', true),
            (r"\", r"\\", '\\', true),
            ("%_", "%%%_", '%', true),
        ] {
            let found = matches(text, pattern, Some(escape));
            assert_eq!(found, expected, "{text:?} SIMILAR TO {pattern:?} ESCAPE '{escape}'");
        }
    }

    /// Failed before: these were taken, one way or another.
    #[test]
    fn what_flink_refuses_is_refused() {
        for (pattern, escape, error) in [
            ("a]", None, "Invalid regular expression 'a]'"),
            ("[a", None, "Invalid regular expression '[a'"),
            ("[a_]", None, "Invalid regular expression '[a_]'"),
            ("[[:Alpha:]]", None, "Invalid regular expression '[[:Alpha:]]'"),
            ("[a[b]]", None, "Invalid regular expression '[a[b]]'"),
            ("[!a]", Some('!'), "Invalid regular expression '[!a]'"),
            ("é!a", Some('!'), "Invalid escape sequence 'é!a', 1"),
            ("a!", Some('!'), "Invalid escape sequence 'a!', 1"),
            ("a%b", Some('%'), "Invalid escape sequence 'a%b', 1"),
            ("a", Some(':'), "Invalid escape sequence 'a', -1"),
            ("a)|(b", None, "Invalid pattern 'a)|(b'"),
            ("(a", None, "Invalid pattern '(a'"),
        ] {
            let found = to_regex(pattern, escape).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(found.contains(error), "{pattern}: expected `{error}`: {found}");
        }
    }
}
