//! What the aliases of a YAML text (`*a` for what `&a` names) stand for. A kilobyte of them can stand for gigabytes, and the parser
//! bounds only how many there are.
use std::cell::Cell;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Deserialize, DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_norway::{Deserializer, Value};

/// A value without aliases is at least two bytes of the text, and an escape shorter than what it stands for by one byte at most.
const FACTOR: usize = 2;
/// What aliases may add in a short text.
const MORE: usize = 64 << 10;

/// Parses a text whose aliases stand for no more than a few times its length.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let allowed = text.len().saturating_mul(FACTOR).saturating_add(MORE);
    let left = Cell::new(Some(allowed));
    // Another error comes again where the values are kept.
    let _ = Deserializer::from_str(text).deserialize_any(Counted { left: &left });
    if left.get().is_none() {
        return Err(format!("its aliases (`*name`) stand for more than {allowed} bytes: write the values out"));
    }
    Value::deserialize(Deserializer::from_str(text)).map_err(|error| error.to_string())
}

/// Reads values, keeps none and counts each with the bytes of its text.
#[derive(Clone, Copy)]
struct Counted<'a> {
    /// None: there were more than allowed.
    left: &'a Cell<Option<usize>>,
}

impl Counted<'_> {
    fn count<E: Error>(self, bytes: usize) -> Result<(), E> {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(bytes + 1)));
        self.left.get().map(drop).ok_or_else(|| E::custom("aliases stand for too much"))
    }
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.count(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.count(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.count(0)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        self.count(0)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        self.count(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.count(0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.count(text.len())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.count(0)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.count(0)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.count(0)?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.count(0)?;
        while entries.next_entry_seed(self, self)?.is_some() {}
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let ((), contents) = tagged.variant_seed(self)?;
        contents.newtype_variant_seed(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: it took 1.1 GB.
    #[test]
    fn aliases_that_stand_for_much_are_refused() {
        let mut text = format!("a: &a [{}]\n", vec!["x"; 270].join(", "));
        for (name, before) in [('b', 'a'), ('c', 'b'), ('d', 'c'), ('e', 'd'), ('f', 'e'), ('g', 'f')] {
            text.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
        }
        assert!(parse(&text).unwrap_err().starts_with("its aliases (`*name`) stand for more than "));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1_000].join(", "));
        assert!(parse(&long).unwrap_err().contains("aliases"));
    }

    #[test]
    fn aliases_are_read() {
        let read = |text: &str| serde_json::to_string(&parse(text).unwrap()).unwrap();
        assert_eq!(read("a: &a [1, 2]\nb: *a\n"), r#"{"a":[1,2],"b":[1,2]}"#);
        assert_eq!(
            read("a: &a {x: 1.5}\nb: [*a, *a, ~, true, -3]\n"),
            r#"{"a":{"x":1.5},"b":[{"x":1.5},{"x":1.5},null,true,-3]}"#
        );
        // Without aliases nothing is refused, however much each byte stands for.
        for item in ["x,", "\"\\L\",", "{a: b},", "!t x,", "1,", "~,"] {
            assert!(parse(&format!("a: [{}]", item.repeat(50_000))).is_ok(), "{item}");
        }
        assert!(parse(&"- \"\\P\"\n".repeat(50_000)).is_ok());
        assert!(parse("a: 1\na: 2\n").unwrap_err().contains("duplicate entry"));
    }
}
