//! SPLIT_INDEX, SPLIT, STR_TO_MAP.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringViewBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::Int32Type;
use wiesel_common::ending::Steps;

use super::constructors::new_map;
use super::regexp::Pattern;
use super::strings::integers;
use crate::error::Result;
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};
use crate::java_map;
use crate::types::TypeKind;

/// The part at an index, none beyond the last; an empty text has no parts.
fn part<'a>(text: &'a str, separator: &str, index: usize) -> Option<&'a str> {
    if text.is_empty() {
        return None;
    }
    match separator.as_bytes() {
        // Without a separator Java splits at white space.
        [] => text.split([' ', '\t', '\n', '\r', '\x0c', '\x0b']).nth(index),
        [byte] if byte.is_ascii() => {
            let (mut start, mut seen) = (0, 0);
            for at in memchr::memchr_iter(*byte, text.as_bytes()) {
                if seen == index {
                    return Some(&text[start..at]);
                }
                seen += 1;
                start = at + 1;
            }
            (seen == index).then(|| &text[start..])
        }
        _ => text.split(separator).nth(index),
    }
}

pub(super) fn split_index(site: &Site) -> Result<Kernel> {
    site.operand_type(2)?;
    let by_character = !matches!(site.operand_type(1)?, TypeKind::Char(_) | TypeKind::Varchar(_));
    Ok(Box::new(move |args| {
        let (text, index) = (args.read::<Text>(0)?, integers(args, 2)?);
        let index = index.as_primitive::<Int32Type>();
        let at = |row: usize| {
            let row = args.row(2, row);
            index.is_valid(row).then(|| usize::try_from(index.value(row)).ok()).flatten()
        };
        if by_character {
            let characters = integers(args, 1)?;
            let characters = characters.as_primitive::<Int32Type>();
            return args.substrings(0, |row| {
                let character = args.row(1, row);
                let (Some(text), Some(index)) = (text.get(row), at(row)) else { return Ok(None) };
                let character = characters.is_valid(character).then(|| characters.value(character));
                let character = character.and_then(|code| u8::try_from(code).ok()).filter(|code| *code > 0);
                let Some(character) = character else { return Ok(None) };
                let mut buffer = [0; 4];
                Ok(part(text, char::from(character).encode_utf8(&mut buffer), index))
            });
        }
        let separator = args.read::<Text>(1)?;
        args.substrings(0, |row| {
            let (Some(text), Some(index)) = (text.get(row), at(row)) else { return Ok(None) };
            Ok(separator.get(row).and_then(|separator| part(text, separator, index)))
        })
    }))
}

pub(super) fn split(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (text, separator) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let mut lists = args.string_lists();
        for row in 0..args.rows {
            let (Some(text), Some(separator)) = (text.get(row), separator.get(row)) else {
                lists.end(false);
                continue;
            };
            if separator.is_empty() {
                for (at, c) in text.char_indices() {
                    lists.push(Some(&text[at..at + c.len_utf8()]))?;
                }
            } else if !text.is_empty() {
                text.split(separator).try_for_each(|part| lists.push(Some(part)))?;
            }
            lists.end(true);
        }
        lists.finish()
    }))
}

/// The delimiters are regular expressions. As in Flink a malformed one fails the first row that it is to split.
pub(super) fn str_to_map(site: &Site) -> Result<Kernel> {
    let (between_entries, within_entry) = (Pattern::or_default(site, 1, ",")?, Pattern::or_default(site, 2, "=")?);
    Ok(Box::new(move |args| {
        let (mut between_entries, mut within_entry) = (between_entries.reader(args)?, within_entry.reader(args)?);
        let texts = args.read::<Text>(0)?;
        let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
        let mut lengths = Vec::with_capacity(args.rows);
        let mut valid = Vec::with_capacity(args.rows);
        let mut found: Vec<(&str, Option<&str>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let (mut made, mut steps) = (args.made(), Steps::default());
        for row in 0..args.rows {
            found.clear();
            places.clear();
            let has_delimiters = between_entries.text(row).is_some() && within_entry.text(row).is_some();
            let text = texts.get(row).filter(|_| has_delimiters);
            let mut entries = Vec::new();
            if let Some(text) = text.filter(|text| !text.is_empty())
                && let Some(delimiter) = between_entries.well_formed(row)?
            {
                entries = delimiter.split(text)?;
            }
            let expected = entries.len();
            for entry in entries {
                steps.step()?;
                let Some(delimiter) = within_entry.well_formed(row)? else { break };
                let (key, value) = delimiter.split_once(entry)?;
                let place = *places.entry(key).or_insert(found.len());
                match found.get_mut(place) {
                    Some((_, old)) => *old = value,
                    None => found.push((key, value)),
                }
            }
            java_map::sort_strings(&mut found, expected);
            let before = made.bytes;
            for (key, value) in &found {
                check_value(made.bytes - before)?;
                made.add_element(Some(*key))?;
                made.add_element(*value)?;
                keys.append_value(key);
                values.append_option(*value);
            }
            lengths.push(found.len());
            valid.push(text.is_some());
        }
        args.claim(made.bytes)?;
        let nulls = NullBuffer::from(valid);
        new_map(Arc::new(keys.finish()), Arc::new(values.finish()), OffsetBuffer::from_lengths(lengths), Some(nulls))
    }))
}
