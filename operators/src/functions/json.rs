//! JSON_VALUE, JSON_QUERY, JSON_EXISTS, IS_JSON, JSON_QUOTE, JSON_UNQUOTE.
use serde_json::Value;
use wiesel_common::quote::quote as shown;

use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};
use crate::operator::{Error, Result};

/// A step of a path.
#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
    /// All members or elements.
    All,
}

/// A JSON path: `$.a.b[0]`, `$['a']`, `$.*`, with `lax` or `strict` before it.
struct Path {
    steps: Vec<Step>,
    /// Steps that name several values: what is found is an array.
    many: bool,
}

impl Path {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::data("java.lang.RuntimeException", format!("Illegal jsonpath spec '{}'", shown(text)));
        let body = text.trim();
        let body = body.strip_prefix("lax").or_else(|| body.strip_prefix("strict")).unwrap_or(body).trim_start();
        let mut rest = body.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while let Some(first) = rest.chars().next() {
            if first == '.' {
                rest = &rest[1..];
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let name = &rest[..end];
                if name.is_empty() {
                    return Err(wrong());
                }
                steps.push(if name == "*" { Step::All } else { Step::Member(name.to_owned()) });
                rest = &rest[end..];
            } else if first == '[' {
                let quoted = rest[1..].chars().next().filter(|c| *c == '\'' || *c == '"');
                let (inner, after) = match quoted {
                    Some(mark) => {
                        let (name, after) = rest[2..].split_once(mark).ok_or_else(wrong)?;
                        steps.push(Step::Member(name.to_owned()));
                        ("", after.strip_prefix(']').ok_or_else(wrong)?)
                    }
                    None => rest[1..].split_once(']').ok_or_else(wrong)?,
                };
                match inner.trim() {
                    "" if quoted.is_some() => {}
                    "*" => steps.push(Step::All),
                    index => steps.push(Step::Element(index.parse().map_err(|_| wrong())?)),
                }
                rest = after;
            } else {
                return Err(wrong());
            }
        }
        let many = steps.iter().any(|step| matches!(step, Step::All));
        Ok(Self { steps, many })
    }

    /// The value at the path; for a path that names several, an array of them.
    fn find(&self, root: Value) -> Option<Value> {
        let mut found = vec![root];
        for step in &self.steps {
            found = found
                .into_iter()
                .flat_map(|value| match (step, value) {
                    (Step::Member(name), Value::Object(mut members)) => members.remove(name).into_iter().collect(),
                    (Step::Element(index), Value::Array(mut elements)) if *index < elements.len() => {
                        vec![elements.swap_remove(*index)]
                    }
                    (Step::All, Value::Array(elements)) => elements,
                    (Step::All, Value::Object(members)) => members.into_iter().map(|(_, value)| value).collect(),
                    _ => vec![],
                })
                .collect();
        }
        if self.many { Some(Value::Array(found)) } else { found.into_iter().next() }
    }
}

fn path(site: &Site) -> Result<Path> {
    let text = site.text(1).ok_or_else(|| Error::Plan(format!("{} with a path that is no constant", site.function)))?;
    Path::parse(text)
}

pub(super) fn get(site: &Site) -> Result<Kernel> {
    if site.operands.len() > 2 {
        return Err(Error::Plan(format!(
            "{} with ON EMPTY, ON ERROR, RETURNING or wrappers is not supported",
            site.function
        )));
    }
    let path = path(site)?;
    let scalar = site.function == "JSON_VALUE";
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(document) = text.get(row).and_then(|text| serde_json::from_str(text).ok()) else {
                return Ok(false);
            };
            match path.find(document) {
                None | Some(Value::Null) => Ok(false),
                Some(value @ (Value::Array(_) | Value::Object(_))) => {
                    if scalar {
                        return Ok(false);
                    }
                    out.push_str(&value.to_string());
                    Ok(true)
                }
                Some(_) if !scalar => Ok(false),
                Some(Value::String(text)) => {
                    out.push_str(&text);
                    Ok(true)
                }
                Some(value) => {
                    out.push_str(&value.to_string());
                    Ok(true)
                }
            }
        })
    }))
}

pub(super) fn exists(site: &Site) -> Result<Kernel> {
    let path = path(site)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.booleans(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let found = serde_json::from_str(text).ok().and_then(|document| path.find(document));
            Ok(Some(found.is_some_and(|value| !value.is_null())))
        })
    }))
}

/// `IS_JSON(text[, 'VALUE' | 'OBJECT' | 'ARRAY' | 'SCALAR'])`.
pub(super) fn is_json(site: &Site) -> Result<Kernel> {
    let kind = site.text(1).unwrap_or("VALUE").to_ascii_uppercase();
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.booleans(|row| {
            let Some(text) = text.get(row) else { return Ok(Some(false)) };
            let value: Option<Value> = serde_json::from_str(text).ok();
            Ok(Some(value.is_some_and(|value| match kind.as_str() {
                "OBJECT" => value.is_object(),
                "ARRAY" => value.is_array(),
                "SCALAR" => !value.is_object() && !value.is_array(),
                _ => true,
            })))
        })
    }))
}

pub(super) fn quote(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            out.push('"');
            for c in text.chars() {
                match c {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    '\u{8}' => out.push_str("\\b"),
                    '\u{c}' => out.push_str("\\f"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
                    c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
                }
            }
            out.push('"');
            Ok(true)
        })
    }))
}

pub(super) fn unquote(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            match serde_json::from_str::<Value>(text) {
                Ok(Value::String(inner)) if text.starts_with('"') => out.push_str(&inner),
                _ => out.push_str(text),
            }
            Ok(true)
        })
    }))
}
