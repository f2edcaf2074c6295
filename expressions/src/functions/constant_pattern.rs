//! Constant regular expressions, for the planner: what they cost and whether they can be used.
use datafusion_common::ScalarValue;

use super::{java_regex, patterns};
use crate::error::Error;
use crate::expression::{Expression, Node};

/// What a property of Unicode (`\p{L}`) or a class that lacks some characters costs, beside a letter.
const PROPERTY: usize = 50;
/// What another class or any character costs.
const CLASS: usize = 4;

/// A constant regular expression among the operands of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConstantPattern {
    text: String,
    /// Of SIMILAR TO, and not of `java.util.regex`.
    similar: bool,
    escape: Option<String>,
}

impl ConstantPattern {
    /// Those of a call.
    pub fn of_call(name: &str, operands: &[Expression]) -> Vec<Self> {
        let text = |index: usize| match operands.get(index).map(|operand| &operand.node) {
            Some(Node::Literal(ScalarValue::Utf8View(Some(text)) | ScalarValue::Utf8(Some(text)))) => {
                Some(text.clone())
            }
            _ => None,
        };
        let similar = name == "SIMILAR";
        let positions: &[usize] = match name {
            "STR_TO_MAP" => &[1, 2],
            "SIMILAR" | "REGEXP" | "REGEXP_EXTRACT" | "REGEXP_EXTRACT_ALL" | "REGEXP_REPLACE" | "REGEXP_COUNT"
            | "REGEXP_INSTR" | "REGEXP_SUBSTR" => &[1],
            _ => return Vec::new(),
        };
        let escape = if similar { text(2) } else { None };
        let texts = positions.iter().filter_map(|position| text(*position));
        texts.map(|text| Self { text, similar, escape: escape.clone() }).collect()
    }

    /// Why it cannot be used, though Flink would use it. It is compiled for that.
    pub fn refusal(&self) -> Option<String> {
        if self.similar {
            return patterns::refusal(&self.text, self.escape.as_deref());
        }
        match java_regex::Regexp::compile(&self.text, java_regex::name_of(&self.text)) {
            Err(Error::Plan(reason)) => Some(reason),
            _ => None,
        }
    }

    /// About how much there is to compile, in letters.
    pub fn cost(&self) -> usize {
        letters(&self.text)
    }
}

/// How many letters a pattern has, classes counted as several: each part as often as counts such as `{1,90}` repeat it.
pub(super) fn letters(pattern: &str) -> usize {
    // Of the group that is open: the sum, and what its last part takes of it. And the sums of those around it.
    let (mut sum, mut last) = (0_usize, 0_usize);
    let mut around: Vec<usize> = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let part = match c {
            '(' => {
                around.push(std::mem::take(&mut sum));
                last = 0;
                continue;
            }
            ')' => {
                last = sum;
                sum = sum.saturating_add(around.pop().unwrap_or(0));
                continue;
            }
            '{' => {
                if let Some((counts, behind)) = rest.split_once('}')
                    && let Some(times) = most_times(counts)
                {
                    rest = behind;
                    let repeated = last.saturating_mul(times);
                    sum = sum.saturating_add(repeated.saturating_sub(last));
                    last = repeated.max(last);
                    continue;
                }
                1
            }
            '*' | '+' | '?' | '|' => continue,
            '[' => {
                let end = rest.char_indices().skip(1).find(|(_, c)| *c == ']').map_or(0, |(end, _)| end);
                let (class, behind) = rest.split_at(end);
                rest = behind.strip_prefix(']').unwrap_or(behind);
                if class.starts_with('^') || class.contains(r"\p") || class.contains(r"\P") { PROPERTY } else { CLASS }
            }
            '.' | '%' | '_' => CLASS,
            '\\' => {
                let escaped = rest.chars().next();
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
                match escaped {
                    Some('p' | 'P') => {
                        if let Some((_, behind)) = rest.strip_prefix('{').and_then(|name| name.split_once('}')) {
                            rest = behind;
                        }
                        PROPERTY
                    }
                    _ => 1,
                }
            }
            _ => 1,
        };
        sum = sum.saturating_add(part);
        last = part;
    }
    around.into_iter().fold(sum, usize::saturating_add)
}

/// The larger number of `2`, `2,` or `2,3`; none if it is none of these.
pub(super) fn most_times(counts: &str) -> Option<usize> {
    let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is too large to be read is refused as a pattern.
        true => Some(digits.parse::<usize>().unwrap_or(usize::MAX)),
        false => None,
    };
    if least.is_empty() {
        return None;
    }
    let least = number(least)?;
    if most.is_empty() { Some(least) } else { number(most).map(|most| most.max(least)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TypeKind;

    fn text(text: &str) -> Expression {
        Expression::literal(ScalarValue::Utf8View(Some(text.to_owned())), TypeKind::string().not_null())
    }

    fn cost(pattern: &str) -> usize {
        ConstantPattern { text: pattern.to_owned(), similar: false, escape: None }.cost()
    }

    #[test]
    fn what_is_repeated_counts_as_often() {
        for (pattern, letters) in [
            ("", 0),
            ("abc", 3),
            ("a{1,90}b", 91),
            ("(ab){3}", 6),
            ("(a{1,9}){2,}c", 19),
            (r"(\p{L}{1,90}){1,2}7", 50 * 90 * 2 + 1),
            ("[^a]x[]a]", 50 + 1 + 4),
            ("(a", 1),
            ("a{b}", 4),
            ("[", 4),
            ("\\", 1),
            ("é)ü", 2),
        ] {
            assert_eq!(cost(pattern), letters, "{pattern}");
        }
        assert_eq!(cost(&format!("{}a{}", "(".repeat(50), "){1,999}".repeat(50))), usize::MAX);
    }

    #[test]
    fn the_patterns_of_a_call_are_its_constants() {
        let column = Expression::input(0, TypeKind::string().nullable());
        let of = |name: &str, operands: &[Expression]| ConstantPattern::of_call(name, operands);
        assert_eq!(of("STR_TO_MAP", &[column.clone(), text(","), text("=")]).len(), 2);
        assert!(of("REGEXP", &[column.clone(), column.clone()]).is_empty());
        assert!(of("LIKE", &[column.clone(), text("a")]).is_empty());
        let similar = of("SIMILAR", &[column.clone(), text("a"), text("!")]);
        assert_eq!(similar[0].escape.as_deref(), Some("!"));
        assert_ne!(similar, of("SIMILAR", &[column.clone(), text("a")]));
        let refused = of("REGEXP", &[column, text(r"\p{InGreek}")]);
        assert!(refused[0].refusal().is_some());
    }
}
