//! Lists and maps in one line of text: `a;b`, `k:v,k:v`, with quotes, or in YAML's flow style.
use std::collections::BTreeMap;

use serde_norway::Value;

use super::aliases::parse;
use super::nesting::is_too_deep;

const EXPECTED_MAP: &str = "expected a map such as `key1:value1,key2:value2`";

/// The items of a list: separated by semicolons, or a YAML list.
pub(super) fn split_list(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[')
        && !is_too_deep(text)
        && let Ok(Value::Sequence(items)) = parse(text)
    {
        return Ok(items.into_iter().map(super::sources::scalar_text).collect());
    }
    Ok(split(text, ';')?.iter().map(|item| unquote(item)).collect())
}

/// The pairs of a map: `k:v,k:v`, or a YAML map.
pub(super) fn split_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    if text.trim_start().starts_with('{')
        && !is_too_deep(text)
        && let Ok(Value::Mapping(pairs)) = parse(text)
    {
        let text = super::sources::scalar_text;
        return Ok(pairs.into_iter().map(|(key, value)| (text(key), text(value))).collect());
    }
    let mut map = BTreeMap::new();
    for pair in split(text, ',')? {
        let parts = split(&pair, ':')?;
        // A value may hold colons of its own, such as an address.
        let [key, value @ ..] = parts.as_slice() else { return Err(EXPECTED_MAP.to_owned()) };
        if value.is_empty() {
            return Err(format!("`{}` has no value; {EXPECTED_MAP}", pair.trim()));
        }
        let value = match value {
            [one] => unquote(one),
            _ => value.join(":").trim().to_owned(),
        };
        map.insert(unquote(key), value);
    }
    Ok(map)
}

/// An item as it is written in a list or map: in quotes unless it is plain.
pub(super) fn quoted(item: &str) -> String {
    let plain = !item.contains([';', ',', ':', '\'', '"', '[', '{']) && item.trim() == item && !item.is_empty();
    if plain { item.to_owned() } else { format!("'{}'", item.replace('\'', "''")) }
}

/// Cuts at separators outside quotes; quotes stay. A quote opens at the start of an item or after a colon. Nothing but
/// blanks between separators is no item.
fn split(text: &str, separator: char) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut quote = None;
    let mut closed = None;
    for c in text.chars() {
        // A doubled quote closes and opens again.
        let reopens = closed.take() == Some(c);
        match quote {
            None if c == separator => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            None if c == '\'' || c == '"' => {
                let before = item.trim_end();
                if reopens || before.is_empty() || before.ends_with(':') {
                    quote = Some(c);
                }
            }
            Some(open) if c == open => {
                quote = None;
                closed = Some(c);
            }
            _ => {}
        }
        item.push(c);
    }
    if let Some(quote) = quote {
        return Err(format!("a quote {quote} is opened and not closed in `{text}`"));
    }
    items.push(item);
    items.retain(|item| !item.trim().is_empty());
    Ok(items)
}

fn unquote(item: &str) -> String {
    let item = item.trim();
    for quote in ['\'', '"'] {
        if item.len() >= 2 && item.starts_with(quote) && item.ends_with(quote) {
            return item[1..item.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    item.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<String> {
        split_list(text).unwrap()
    }

    #[test]
    fn lists() {
        assert_eq!(list("a;b ; c"), ["a", "b", "c"]);
        assert_eq!(list("[a, 'b;c', 3]"), ["a", "b;c", "3"]);
        assert_eq!(list("'a;b';c"), ["a;b", "c"]);
        assert_eq!(list(""), [""; 0]);
        assert!(split_list("'a;b").unwrap_err().contains("not closed"));
    }

    #[test]
    fn maps() {
        let map = split_map("a:1, b:'x:y,z' ,c:http://host:80").unwrap();
        let pairs: Vec<_> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x:y,z"), ("c", "http://host:80")]);
        assert_eq!(split_map("{a: 1, b: 'c d'}").unwrap()["b"], "c d");
        assert!(split_map("a").unwrap_err().contains("expected a map"));
    }

    proptest! {
        #[test]
        fn joined_and_split_again(items in proptest::collection::vec("[a-z;:,'\" ]{1,8}", 0..5)) {
            let text = items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(";");
            prop_assert_eq!(split_list(&text).unwrap(), items);
        }

        #[test]
        fn no_text_panics(text in "[a-c;:,'\"\\[\\]{}]{0,20}") {
            let _ = split_list(&text);
            let _ = split_map(&text);
        }
    }
}
