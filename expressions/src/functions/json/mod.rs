//! JSON_VALUE, JSON_QUERY, JSON_EXISTS, IS_JSON, JSON_QUOTE, JSON_UNQUOTE; [`variant`]: PARSE_JSON; [`writing`]: JSON_STRING, JSON_ARRAY, JSON_OBJECT.
use arrow::datatypes::{Float64Type, Int32Type};
use document::{Kind, Value as Json};
use path::{Found, Path, Refusal};

use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Bool, Kernel, Reader, StringLists, Text, Value};
use crate::types::TypeKind;

mod document;
mod path;
mod variant;
mod writing;

pub use document::push_text;
pub use variant::push_shown;
pub(super) use variant::{item, parse_json};
pub(super) use writing::{array, embedded, object, string};

/// Why a constant path of a JSON function cannot be followed, though Flink would follow it.
pub fn refusal_of_path(text: &str) -> Option<String> {
    match Path::parse(text) {
        Err(Refusal::Unsupported(reason)) => Some(reason),
        _ => None,
    }
}

fn failure(reason: impl Into<String>) -> Error {
    Error::data("org.apache.flink.table.api.TableRuntimeException", reason)
}

/// What comes of a path in a document.
enum Outcome<'a> {
    /// In strict mode: the document is none, or has nothing there.
    Failed,
    /// In lax mode likewise.
    Nothing,
    Found(Found<'a>),
}

/// The constant path of a call.
struct Search {
    function: String,
    path: Option<Path>,
}

impl Search {
    fn of(site: &Site) -> Result<Self> {
        let function = site.function.to_owned();
        let text = site.text(1).ok_or_else(|| Error::Plan(format!("{function} with a path that is no constant")))?;
        match Path::parse(text) {
            Ok(path) => Ok(Self { function, path: Some(path) }),
            Err(Refusal::Malformed) => Ok(Self { function, path: None }),
            Err(Refusal::Unsupported(reason)) => Err(Error::Plan(reason)),
        }
    }

    fn is_lax(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.is_lax)
    }

    fn run<'a>(&self, text: &'a str) -> Result<Outcome<'a>> {
        let Some(path) = &self.path else { return Ok(Outcome::Failed) };
        let found = match document::parse(text) {
            Some(document) => path.find(document)?,
            None => None,
        };
        Ok(match found {
            Some(found) => Outcome::Found(found),
            None if path.is_lax => Outcome::Nothing,
            None => Outcome::Failed,
        })
    }

    /// The error of a call that asks for one.
    fn failure(&self, clause: &str) -> Error {
        let function = &self.function;
        failure(format!(
            "{function}: the document is malformed or has no such value at its path, and {clause} is ERROR"
        ))
    }
}

/// What takes the place of a value that is not there.
enum Otherwise {
    Null,
    Error,
    /// The value of an operand.
    Default(usize),
}

impl Otherwise {
    fn of(site: &Site, index: usize) -> Result<Self> {
        Ok(match site.text(index) {
            None | Some("NULL") => Self::Null,
            Some("ERROR") => Self::Error,
            Some("DEFAULT") => Self::Default(index + 1),
            Some(_) => return Err(site.unsupported()),
        })
    }

    fn reader<'a, T: Value>(&self, args: &'a Args) -> Result<Option<Reader<'a, T>>> {
        match self {
            Self::Default(index) => args.read::<T>(*index).map(Some),
            _ => Ok(None),
        }
    }
}

/// JSON_VALUE: the operands are document, path, and if there are clauses what to do on empty, its default, what to do on error, its
/// default.
struct Picker {
    search: Search,
    on_empty: Otherwise,
    on_error: Otherwise,
}

/// What JSON_VALUE gives.
enum Picked<'a, T> {
    Scalar(Json<'a>),
    Default(Option<T>),
}

impl Picker {
    /// The column of a call: each scalar is read, or the default stands for it.
    fn pick<'a, T: Value>(
        &'a self,
        args: &'a Args,
    ) -> Result<impl Fn(usize) -> Result<Option<Picked<'a, T::Item<'a>>>>> {
        let text = args.read::<Text>(0)?;
        let (empty, error) = (self.on_empty.reader::<T>(args)?, self.on_error.reader::<T>(args)?);
        Ok(move |row: usize| -> Result<Option<Picked<'a, T::Item<'a>>>> {
            let Some(text) = text.get(row) else { return Ok(None) };
            let scalar = match self.search.run(text)? {
                Outcome::Found(Found::One(value)) if value.kind() == Kind::Null => Err(true),
                Outcome::Found(Found::One(value)) if value.is_scalar() => Ok(value),
                Outcome::Found(_) => Err(self.search.is_lax()),
                Outcome::Nothing => Err(true),
                Outcome::Failed => Err(false),
            };
            let (otherwise, reader, clause) = match scalar {
                Ok(value) => return Ok(Some(Picked::Scalar(value))),
                Err(true) => (&self.on_empty, &empty, "ON EMPTY"),
                Err(false) => (&self.on_error, &error, "ON ERROR"),
            };
            match otherwise {
                Otherwise::Error => Err(self.search.failure(clause)),
                _ => Ok(Some(Picked::Default(reader.as_ref().and_then(|reader| reader.get(row))))),
            }
        })
    }
}

fn wrong_type(value: Json, wanted: &str) -> Error {
    let mut text = String::new();
    value.write_scalar(&mut text);
    let text = wiesel_common::quote::quote(&text).to_string();
    Error::data("java.lang.ClassCastException", format!("JSON_VALUE found '{text}', which is no {wanted}"))
}

pub(super) fn value(site: &Site) -> Result<Kernel> {
    let search = Search::of(site)?;
    let picker = Picker { search, on_empty: Otherwise::of(site, 2)?, on_error: Otherwise::of(site, 4)? };
    Ok(match site.data_type.kind {
        TypeKind::Char(_) | TypeKind::Varchar(_) => Box::new(move |args| {
            let pick = picker.pick::<Text>(args)?;
            args.strings(|row, out| {
                match pick(row)? {
                    Some(Picked::Scalar(value)) => value.write_scalar(out),
                    Some(Picked::Default(Some(text))) => out.push_str(text),
                    _ => return Ok(false),
                }
                Ok(true)
            })
        }),
        TypeKind::Boolean => Box::new(move |args| {
            let pick = picker.pick::<Bool>(args)?;
            args.booleans(|row| match pick(row)? {
                Some(Picked::Scalar(value)) => value.as_boolean().map(Some).ok_or_else(|| wrong_type(value, "BOOLEAN")),
                Some(Picked::Default(default)) => Ok(default),
                None => Ok(None),
            })
        }),
        TypeKind::Int => Box::new(move |args| {
            let pick = picker.pick::<Int32Type>(args)?;
            args.collect::<Int32Type>(|row| match pick(row)? {
                Some(Picked::Scalar(value)) => value.as_int().map(Some).ok_or_else(|| wrong_type(value, "INT")),
                Some(Picked::Default(default)) => Ok(default),
                None => Ok(None),
            })
        }),
        TypeKind::Double => Box::new(move |args| {
            let pick = picker.pick::<Float64Type>(args)?;
            args.collect::<Float64Type>(|row| match pick(row)? {
                Some(Picked::Scalar(value)) => value.as_double().map(Some).ok_or_else(|| wrong_type(value, "DOUBLE")),
                Some(Picked::Default(default)) => Ok(default),
                None => Ok(None),
            })
        }),
        _ => return Err(site.unsupported()),
    })
}

/// What JSON_QUERY puts in the place of a value that is not there.
#[derive(Clone, Copy)]
enum Substitute {
    Null,
    Error,
    EmptyArray,
    EmptyObject,
}

impl Substitute {
    fn of(site: &Site, index: usize) -> Result<Self> {
        Ok(match site.text(index) {
            None | Some("NULL") => Self::Null,
            Some("ERROR") => Self::Error,
            Some("EMPTY ARRAY") => Self::EmptyArray,
            Some("EMPTY OBJECT") => Self::EmptyObject,
            Some(_) => return Err(site.unsupported()),
        })
    }
}

/// Whether JSON_QUERY puts what it found into an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapper {
    Without,
    Conditional,
    Unconditional,
}

/// JSON_QUERY: the operands are document, path, and if there are clauses the wrapper, what to do on empty, what to do on error.
struct Query {
    search: Search,
    wrapper: Wrapper,
    on_empty: Substitute,
    on_error: Substitute,
}

/// What JSON_QUERY gives.
enum Queried<'a> {
    Found(Found<'a>),
    /// Within an array of one.
    Wrapped(Found<'a>),
    Substitute(Substitute),
}

impl Query {
    fn of(site: &Site) -> Result<Self> {
        let wrapper = match site.text(2) {
            None | Some("WITHOUT") => Wrapper::Without,
            Some("CONDITIONAL") => Wrapper::Conditional,
            Some("UNCONDITIONAL") => Wrapper::Unconditional,
            Some(_) => return Err(site.unsupported()),
        };
        let (on_empty, on_error) = (Substitute::of(site, 3)?, Substitute::of(site, 4)?);
        Ok(Self { search: Search::of(site)?, wrapper, on_empty, on_error })
    }

    fn run<'a>(&self, text: &'a str) -> Result<Queried<'a>> {
        let found = match self.search.run(text)? {
            Outcome::Found(Found::One(value)) if value.kind() == Kind::Null => None,
            Outcome::Found(found) => Some(found),
            Outcome::Nothing => None,
            Outcome::Failed => return self.otherwise(self.on_error, "ON ERROR"),
        };
        let Some(found) = found else { return self.otherwise(self.on_empty, "ON EMPTY") };
        let is_array = match &found {
            Found::One(value) => value.kind() == Kind::Array,
            Found::Many(_) => true,
        };
        let is_scalar = matches!(&found, Found::One(value) if value.is_scalar());
        match self.wrapper {
            Wrapper::Unconditional => Ok(Queried::Wrapped(found)),
            Wrapper::Conditional if !is_array => Ok(Queried::Wrapped(found)),
            Wrapper::Without if is_scalar && self.search.is_lax() => self.otherwise(self.on_empty, "ON EMPTY"),
            Wrapper::Without if is_scalar => self.otherwise(self.on_error, "ON ERROR"),
            _ => Ok(Queried::Found(found)),
        }
    }

    fn otherwise<'a>(&self, substitute: Substitute, clause: &str) -> Result<Queried<'a>> {
        match substitute {
            Substitute::Error => Err(self.search.failure(clause)),
            substitute => Ok(Queried::Substitute(substitute)),
        }
    }
}

fn write_found(found: &Found, out: &mut String) -> Result<()> {
    match found {
        Found::One(value) => value.write_json(out),
        Found::Many(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                value.write_json(out)?;
            }
            out.push(']');
            Ok(())
        }
    }
}

pub(super) fn query(site: &Site) -> Result<Kernel> {
    let query = Query::of(site)?;
    if matches!(site.data_type.kind, TypeKind::Array(_)) {
        return Ok(Box::new(move |args| query_texts(&query, args)));
    }
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            match query.run(text)? {
                Queried::Found(found) => write_found(&found, out)?,
                Queried::Wrapped(found) => {
                    out.push('[');
                    write_found(&found, out)?;
                    out.push(']');
                }
                Queried::Substitute(Substitute::EmptyArray) => out.push_str("[]"),
                Queried::Substitute(Substitute::EmptyObject) => out.push_str("{}"),
                Queried::Substitute(_) => return Ok(false),
            }
            Ok(true)
        })
    }))
}

/// JSON_QUERY … RETURNING ARRAY: scalars as texts, arrays and objects as JSON.
fn query_texts(query: &Query, args: &Args) -> Result<arrow::array::ArrayRef> {
    let text = args.read::<Text>(0)?;
    let mut lists = args.string_lists();
    for row in 0..args.rows {
        let queried = match text.get(row) {
            Some(text) => query.run(text)?,
            None => Queried::Substitute(Substitute::Null),
        };
        let is_object = |found: &Found| matches!(found, Found::One(value) if value.kind() == Kind::Object);
        let queried = match queried {
            Queried::Found(found) if is_object(&found) => query.otherwise(query.on_error, "ON ERROR")?,
            queried => queried,
        };
        let is_valid = match queried {
            Queried::Found(Found::One(array)) => {
                array.elements().try_for_each(|(_, element)| push_element(element, &mut lists))?;
                true
            }
            Queried::Found(Found::Many(values)) => {
                values.into_iter().try_for_each(|element| push_element(element, &mut lists))?;
                true
            }
            Queried::Wrapped(Found::One(value)) => {
                push_element(value, &mut lists)?;
                true
            }
            Queried::Wrapped(found) => {
                let mut json = String::new();
                write_found(&found, &mut json)?;
                lists.push(Some(&json))?;
                true
            }
            Queried::Substitute(Substitute::EmptyArray) => true,
            Queried::Substitute(_) => false,
        };
        lists.end(is_valid);
    }
    lists.finish()
}

fn push_element(element: Json, lists: &mut StringLists) -> Result<()> {
    if element.kind() == Kind::Null {
        return lists.push(None);
    }
    let mut text = String::new();
    if element.is_scalar() {
        element.write_scalar(&mut text);
    } else {
        element.write_json(&mut text)?;
    }
    lists.push(Some(&text))
}

/// `JSON_EXISTS(document, path[, 'TRUE' | 'FALSE' | 'UNKNOWN' | 'ERROR'])`: the last one is what an error gives.
pub(super) fn exists(site: &Site) -> Result<Kernel> {
    let search = Search::of(site)?;
    let on_error = match site.text(2) {
        None | Some("FALSE") => Ok(Some(false)),
        Some("TRUE") => Ok(Some(true)),
        Some("UNKNOWN") => Ok(None),
        Some("ERROR") => Err(()),
        Some(_) => return Err(site.unsupported()),
    };
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.booleans(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            Ok(match search.run(text)? {
                Outcome::Found(Found::One(value)) => Some(value.kind() != Kind::Null),
                Outcome::Found(Found::Many(_)) => Some(true),
                Outcome::Nothing => Some(false),
                Outcome::Failed => on_error.map_err(|()| search.failure("ON ERROR"))?,
            })
        })
    }))
}

/// `IS_JSON(text[, 'VALUE' | 'OBJECT' | 'ARRAY' | 'SCALAR'])`.
pub(super) fn is_json(site: &Site) -> Result<Kernel> {
    let wanted = site.text(1).unwrap_or("VALUE").to_owned();
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.booleans(|row| {
            let value = text.get(row).and_then(document::parse);
            Ok(Some(value.is_some_and(|value| match wanted.as_str() {
                "OBJECT" => value.kind() == Kind::Object,
                "ARRAY" => value.kind() == Kind::Array,
                "SCALAR" => value.is_scalar(),
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
                    '/' => out.push_str("\\/"),
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

/// A text between quotes that is JSON as what it means; anything else as it is.
pub(super) fn unquote(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let is_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
            match is_quoted && document::parse(text).is_some() {
                true => out.push_str(&document::unescaped(text)),
                false => out.push_str(text),
            }
            Ok(true)
        })
    }))
}
