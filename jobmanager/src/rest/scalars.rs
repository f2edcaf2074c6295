//! Numbers and truth values in the bodies of requests.
use std::fmt::Display;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One that may be written as a text, as Flink takes it: its dashboard sends what was typed into a form. A blank text is none.
pub(super) fn scalar<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned + FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Value::String(text)) => match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(D::Error::custom),
        },
        Some(value) => serde_json::from_value(value).map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "scalar")]
        drain: Option<bool>,
        #[serde(deserialize_with = "scalar")]
        number: Option<u32>,
    }

    fn read(text: &str) -> Result<(Option<bool>, Option<u32>), String> {
        let body: Result<Body, _> = serde_json::from_str(text);
        body.map(|body| (body.drain, body.number)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_is_what_it_says() {
        assert_eq!(read(r#"{"drain": true, "number": 4294967295}"#), Ok((Some(true), Some(u32::MAX))));
        assert_eq!(read(r#"{"drain": "false", "number": " 7 "}"#), Ok((Some(false), Some(7))));
        for none in ["{}", r#"{"drain": null, "number": null}"#, r#"{"drain": "", "number": " "}"#] {
            assert_eq!(read(none), Ok((None, None)), "{none}");
        }
        for wrong in ["1", "\"1\"", "{}", "[true]", "1e400"] {
            assert!(read(&format!("{{\"drain\": {wrong}}}")).is_err(), "{wrong}");
        }
    }
}
