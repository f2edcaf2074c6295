//! Functions of strings, by characters (code points) as Flink's `BinaryStringData` counts them.
use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use wiesel_common::ending::Steps;

use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Bytes, Kernel, Reader, Text};
use crate::types::TypeKind;

/// A typed reader for each operand.
fn texts(args: &Args) -> Result<Vec<Reader<'_, Text>>> {
    (0..args.len()).map(|index| args.read::<Text>(index)).collect()
}

/// An INT operand, whatever integer type it has.
pub(super) fn integers(args: &Args, index: usize) -> Result<arrow::array::ArrayRef> {
    let array = args.array(index);
    Ok(if *array.data_type() == DataType::Int32 {
        array.clone()
    } else {
        arrow::compute::cast(array, &DataType::Int32)?
    })
}

pub(super) fn concat(site: &Site) -> Result<Kernel> {
    if matches!(site.operand_type(0)?, TypeKind::Binary(_) | TypeKind::Varbinary(_)) {
        return Ok(Box::new(|args| {
            let parts = (0..args.len()).map(|index| args.read::<Bytes>(index)).collect::<Result<Vec<_>>>()?;
            args.byte_strings(|row, out| {
                for part in &parts {
                    let Some(part) = part.get(row) else { return Ok(false) };
                    check_value(out.len() + part.len())?;
                    out.extend_from_slice(part);
                }
                Ok(true)
            })
        }));
    }
    Ok(Box::new(|args| {
        let parts = texts(args)?;
        args.strings(|row, out| {
            for part in &parts {
                let Some(part) = part.get(row) else { return Ok(false) };
                check_value(out.len() + part.len())?;
                out.push_str(part);
            }
            Ok(true)
        })
    }))
}

pub(super) fn concat_ws(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let parts = texts(args)?;
        args.strings(|row, out| {
            let Some(separator) = parts[0].get(row) else { return Ok(false) };
            for (at, part) in parts[1..].iter().filter_map(|part| part.get(row)).enumerate() {
                check_value(out.len() + separator.len() + part.len())?;
                out.push_str(if at > 0 { separator } else { "" });
                out.push_str(part);
            }
            Ok(true)
        })
    }))
}

/// A function of one string.
fn mapped(write: impl Fn(&str, &mut String) + Send + Sync + 'static) -> Result<Kernel> {
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            write(text, out);
            Ok(true)
        })
    }))
}

pub(super) fn upper(_: &Site) -> Result<Kernel> {
    mapped(|text, out| {
        if text.is_ascii() {
            out.push_str(text);
            out.make_ascii_uppercase();
        } else {
            text.chars().for_each(|c| out.extend(c.to_uppercase()));
        }
    })
}

pub(super) fn lower(_: &Site) -> Result<Kernel> {
    mapped(|text, out| {
        if text.is_ascii() {
            out.push_str(text);
            out.make_ascii_lowercase();
        } else {
            // By the whole string: a final sigma has its own form.
            out.push_str(&text.to_lowercase());
        }
    })
}

pub(super) fn reverse(_: &Site) -> Result<Kernel> {
    mapped(|text, out| out.extend(text.chars().rev()))
}

pub(super) fn initcap(_: &Site) -> Result<Kernel> {
    mapped(|text, out| {
        // As Calcite: words are runs of ASCII letters and digits, other characters separate them.
        let mut inside = false;
        for c in text.chars() {
            if inside {
                out.push(c.to_ascii_lowercase())
            } else {
                out.push(c.to_ascii_uppercase())
            }
            inside = c.is_ascii_alphanumeric();
        }
    })
}

pub(super) fn char_length(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.collect::<Int32Type>(|row| Ok(text.get(row).map(|text| char_count(text) as i32)))
    }))
}

/// How many characters.
pub(super) fn char_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// The part of a text from one character up to another.
fn slice(text: &str, start: usize, end: usize) -> &str {
    if text.is_ascii() {
        return &text[start.min(text.len())..end.min(text.len())];
    }
    let mut bounds = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let Some(from) = bounds.nth(start) else { return "" };
    if end <= start {
        return "";
    }
    &text[from..bounds.nth(end - start - 1).unwrap_or(text.len())]
}

/// `BinaryStringDataUtil.substringSQL`: positions count from 1, negative ones from the end, and 0 is as 1.
fn substring_sql(text: &str, position: i32, length: Option<i32>) -> Option<&str> {
    if length.is_some_and(|length| length < 0) {
        return None;
    }
    let length = i64::from(length.unwrap_or(i32::MAX));
    let position = i64::from(position);
    if text.is_empty() {
        return Some("");
    }
    let start = match position {
        1.. => position - 1,
        0 => 0,
        _ => {
            let count = char_count(text) as i64;
            if -position > count {
                return Some("");
            }
            count + position
        }
    };
    Some(slice(text, start as usize, (start + length) as usize))
}

pub(super) fn substring(site: &Site) -> Result<Kernel> {
    let with_length = site.operands.len() > 2;
    if matches!(site.operand_type(0)?, TypeKind::Binary(_) | TypeKind::Varbinary(_)) {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let position = args.read::<Int32Type>(1)?;
        let length = if with_length { Some(args.read::<Int32Type>(2)?) } else { None };
        args.substrings(0, |row| {
            let (Some(text), Some(position)) = (text.get(row), position.get(row)) else { return Ok(None) };
            let length = match &length {
                Some(length) => match length.get(row) {
                    Some(length) => Some(length),
                    None => return Ok(None),
                },
                None => None,
            };
            Ok(substring_sql(text, position, length))
        })
    }))
}

pub(super) fn left(_: &Site) -> Result<Kernel> {
    ends(|text, count| slice(text, 0, count))
}

pub(super) fn right(_: &Site) -> Result<Kernel> {
    ends(|text, count| slice(text, char_count(text).saturating_sub(count), usize::MAX - 1))
}

fn ends(part: impl Fn(&str, usize) -> &str + Send + Sync + 'static) -> Result<Kernel> {
    Ok(Box::new(move |args| {
        let (text, count) = (args.read::<Text>(0)?, args.read::<Int32Type>(1)?);
        args.substrings(0, |row| {
            Ok(text.get(row).zip(count.get(row)).map(|(text, count)| part(text, count.max(0) as usize)))
        })
    }))
}

pub(super) fn replace(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let (text, search, with) = (args.read::<Text>(0)?, args.read::<Text>(1)?, args.read::<Text>(2)?);
        args.strings(|row, out| {
            let (Some(text), Some(search), Some(with)) = (text.get(row), search.get(row), with.get(row)) else {
                return Ok(false);
            };
            let mut rest = 0;
            for (at, found) in text.match_indices(search) {
                check_value(out.len() + (at - rest) + with.len())?;
                out.push_str(&text[rest..at]);
                out.push_str(with);
                rest = at + found.len();
            }
            out.push_str(&text[rest..]);
            Ok(true)
        })
    }))
}

pub(super) fn repeat(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let (text, count) = (args.read::<Text>(0)?, args.read::<Int32Type>(1)?);
        args.strings(|row, out| {
            let (Some(text), Some(count)) = (text.get(row), count.get(row)) else { return Ok(false) };
            // Before it is made: a few letters may become gigabytes.
            check_value(text.len().saturating_mul(count.max(0) as usize))?;
            (0..count).for_each(|_| out.push_str(text));
            Ok(true)
        })
    }))
}

pub(super) fn pad(site: &Site) -> Result<Kernel> {
    let at_left = site.function == "LPAD";
    Ok(Box::new(move |args| {
        let (text, length, filling) = (args.read::<Text>(0)?, args.read::<Int32Type>(1)?, args.read::<Text>(2)?);
        args.strings(|row, out| {
            let (Some(text), Some(length), Some(filling)) = (text.get(row), length.get(row), filling.get(row)) else {
                return Ok(false);
            };
            if length < 0 || filling.is_empty() {
                return Ok(false);
            }
            let length = length as usize;
            // Java counts UTF-16 units here.
            let units = text.chars().map(char::len_utf16).sum::<usize>();
            check_value(length.saturating_sub(units))?;
            if units >= length {
                push_units(text.chars(), length, out);
            } else if at_left {
                push_units(filling.chars().cycle(), length - units, out);
                out.push_str(text);
            } else {
                out.push_str(text);
                push_units(filling.chars().cycle(), length - units, out);
            }
            Ok(true)
        })
    }))
}

/// Characters up to a number of UTF-16 units; half a character becomes what Java writes for it.
fn push_units(chars: impl Iterator<Item = char>, mut units: usize, out: &mut String) {
    for c in chars {
        if units == 0 {
            break;
        }
        if c.len_utf16() > units {
            out.push('?');
            break;
        }
        out.push(c);
        units -= c.len_utf16();
    }
}

pub(super) fn trim(site: &Site) -> Result<Kernel> {
    let side = site.text(0).ok_or_else(|| site.unsupported())?;
    let (start, end) = (side != "TRAILING", side != "LEADING");
    Ok(Box::new(move |args| {
        let (chars, text) = (args.read::<Text>(1)?, args.read::<Text>(2)?);
        args.substrings(2, |row| Ok(text.get(row).zip(chars.get(row)).map(|(text, set)| strip(text, set, start, end))))
    }))
}

/// Bytes of a set of characters from which on it is made a table.
const LONG_SET: usize = 256;

fn strip<'a>(text: &'a str, set: &str, start: bool, end: bool) -> &'a str {
    let mut text = text;
    if set == " " {
        text = if start { text.trim_start_matches(' ') } else { text };
        return if end { text.trim_end_matches(' ') } else { text };
    }
    // Looked for in the set for each character of the text: a long one is made a table first.
    let table: Option<HashSet<char>> = (set.len() > LONG_SET).then(|| set.chars().collect());
    let within = |c: char| table.as_ref().map_or_else(|| set.contains(c), |table| table.contains(&c));
    text = if start { text.trim_start_matches(within) } else { text };
    if end { text.trim_end_matches(within) } else { text }
}

pub(super) fn trim_chars(site: &Site) -> Result<Kernel> {
    let (start, end) = (site.function != "RTRIM", site.function != "LTRIM");
    let with_set = site.operands.len() > 1;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let set = if with_set { Some(args.read::<Text>(1)?) } else { None };
        args.substrings(0, |row| {
            let set = match &set {
                Some(set) => set.get(row),
                None => Some(" "),
            };
            Ok(text.get(row).zip(set).map(|(text, set)| strip(text, set, start, end)))
        })
    }))
}

/// The character, from 1, at which the nth occurrence of a needle begins, searched from a character; from a negative one
/// backwards, counted from the end: there an occurrence has to end at that character or before. Occurrences may overlap.
fn nth_position(text: &str, needle: &str, start: i32, nth: i32) -> Result<Option<i32>> {
    let Some(before) = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1)) else {
        return Err(Error::data("java.lang.IllegalArgumentException", "nthAppearance must be positive!"));
    };
    let Some(skipped) = (start.unsigned_abs() as usize).checked_sub(1) else { return Ok(None) };
    let found = match (start > 0, needle.is_empty()) {
        // As in Flink, wherever it begins and whichever of them is asked for.
        (true, true) => Some(0),
        (false, true) => Some(text.len()),
        (true, false) => {
            let beginnings = text.char_indices().map(|(at, _)| at).skip(skipped);
            nth_place(beginnings, |at| text[at..].starts_with(needle), before)?
        }
        (false, false) => {
            // Behind each character, the last one first.
            let ends = text.char_indices().rev().map(|(at, c)| at + c.len_utf8()).skip(skipped);
            let end = nth_place(ends, |end| text[..end].ends_with(needle), before)?;
            end.map(|end| end - needle.len())
        }
    };
    Ok(found.map(|found| char_count(&text[..found]) as i32 + 1))
}

/// The place that has a needle, after so many others. A needle as long as half the text makes this quadratic.
fn nth_place(
    places: impl Iterator<Item = usize>,
    has_needle: impl Fn(usize) -> bool,
    mut before: usize,
) -> Result<Option<usize>> {
    let mut steps = Steps::default();
    for at in places {
        steps.step()?;
        if has_needle(at) {
            if before == 0 {
                return Ok(Some(at));
            }
            before -= 1;
        }
    }
    Ok(None)
}

/// `INSTR(text, needle[, start[, occurrence]])`: from 1, 0 if not found.
pub(super) fn instr(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (text, needle) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let start = if args.len() > 2 { Some(args.read::<Int32Type>(2)?) } else { None };
        let nth = if args.len() > 3 { Some(args.read::<Int32Type>(3)?) } else { None };
        let number = |reader: &Option<Reader<'_, Int32Type>>, row: usize| match reader {
            Some(reader) => reader.get(row),
            None => Some(1),
        };
        args.collect::<Int32Type>(|row| {
            let (Some(text), Some(needle)) = (text.get(row), needle.get(row)) else { return Ok(None) };
            let (Some(start), Some(nth)) = (number(&start, row), number(&nth, row)) else { return Ok(None) };
            if (start, nth) == (1, 1) {
                return Ok(Some(text.find(needle).map_or(0, |at| char_count(&text[..at]) as i32 + 1)));
            }
            Ok(Some(nth_position(text, needle, start, nth)?.unwrap_or(0)))
        })
    }))
}

/// `POSITION(needle, text)`, `LOCATE(needle, text[, start])`: from 1, 0 if not found.
pub(super) fn position(site: &Site) -> Result<Kernel> {
    let with_start = site.operands.len() > 2;
    Ok(Box::new(move |args| {
        let (needle, text) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let start = if with_start { Some(args.read::<Int32Type>(2)?) } else { None };
        args.collect::<Int32Type>(|row| {
            let (Some(needle), Some(text)) = (needle.get(row), text.get(row)) else { return Ok(None) };
            let start = match &start {
                Some(start) => match start.get(row) {
                    Some(start) => start,
                    None => return Ok(None),
                },
                None => 1,
            };
            if needle.is_empty() {
                return Ok(Some(1));
            }
            let skipped = slice(text, 0, start.max(1) as usize - 1);
            let found = text[skipped.len()..].find(needle);
            Ok(Some(found.map_or(0, |at| char_count(&text[..skipped.len() + at]) as i32 + 1)))
        })
    }))
}

pub(super) fn overlay(site: &Site) -> Result<Kernel> {
    let with_length = site.operands.len() > 3;
    Ok(Box::new(move |args| {
        let (text, with, start) = (args.read::<Text>(0)?, args.read::<Text>(1)?, args.read::<Int32Type>(2)?);
        let length = if with_length { Some(args.read::<Int32Type>(3)?) } else { None };
        args.strings(|row, out| {
            let (Some(text), Some(with), Some(start)) = (text.get(row), with.get(row), start.get(row)) else {
                return Ok(false);
            };
            let length = match &length {
                Some(length) => match length.get(row) {
                    Some(length) => length,
                    None => return Ok(false),
                },
                None => utf16_count(with) as i32,
            };
            // Java counts UTF-16 units.
            let count = utf16_count(text) as i32;
            if start <= 0 || start > count {
                out.push_str(text);
                return Ok(true);
            }
            if count as usize != char_count(text) {
                overlay_units(text, with, start as usize - 1, usize::try_from(length).unwrap_or(0), out);
                return Ok(true);
            }
            out.push_str(slice(text, 0, start as usize - 1));
            out.push_str(with);
            if length > 0 && start.saturating_add(length) <= count {
                out.push_str(slice(text, (start - 1 + length) as usize, usize::MAX - 1));
            }
            Ok(true)
        })
    }))
}

/// Puts a string over UTF-16 units of another that has characters of two of them; half a character becomes a question mark.
fn overlay_units(text: &str, with: &str, start: usize, length: usize, out: &mut String) {
    let units: Vec<u16> = text.encode_utf16().collect();
    let behind = match start.saturating_add(length) {
        at if length > 0 && at < units.len() => &units[at..],
        _ => &[],
    };
    let joined = units[..start].iter().copied().chain(with.encode_utf16()).chain(behind.iter().copied());
    out.extend(char::decode_utf16(joined).map(|c| c.unwrap_or('?')));
}

/// How many UTF-16 units a string has.
pub(super) fn utf16_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

pub(super) fn ascii(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.collect::<Int32Type>(|row| {
            Ok(text.get(row).map(|text| text.as_bytes().first().map_or(0, |byte| i32::from(*byte as i8))))
        })
    }))
}

pub(super) fn chr(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let code = arrow::compute::cast(args.array(0), &DataType::Int64)?;
        let code = code.as_primitive::<arrow::datatypes::Int64Type>();
        args.strings(|row, out| {
            let row = args.row(0, row);
            if code.is_null(row) {
                return Ok(false);
            }
            let code = code.value(row);
            if code >= 0 {
                out.push(char::from((code & 0xff) as u8));
            }
            Ok(true)
        })
    }))
}

pub(super) fn starts_or_ends(site: &Site) -> Result<Kernel> {
    let starts = site.function == "STARTSWITH";
    if matches!(site.operand_type(0)?, TypeKind::Binary(_) | TypeKind::Varbinary(_)) {
        return Ok(Box::new(move |args| {
            let (whole, part) = (args.read::<Bytes>(0)?, args.read::<Bytes>(1)?);
            args.booleans(|row| {
                let operands = whole.get(row).zip(part.get(row));
                Ok(operands.map(|(whole, part)| if starts { whole.starts_with(part) } else { whole.ends_with(part) }))
            })
        }));
    }
    Ok(Box::new(move |args| {
        let (text, part) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        args.booleans(|row| {
            let operands = text.get(row).zip(part.get(row));
            Ok(operands.map(|(text, part)| if starts { text.starts_with(part) } else { text.ends_with(part) }))
        })
    }))
}

/// `TRANSLATE(text, from, to)`: the text as it is where `from` is NULL; a `to` that is NULL is empty.
pub(super) fn translate(_: &Site) -> Result<Kernel> {
    Ok(Box::new(|args| {
        let (text, from, to) = (args.read::<Text>(0)?, args.read::<Text>(1)?, args.read::<Text>(2)?);
        let mut last: Option<(&str, &str, HashMap<char, Option<char>>)> = None;
        let mut steps = Steps::default();
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let (from, to) = (from.get(row).unwrap_or(""), to.get(row).unwrap_or(""));
            let known = last.take().filter(|(known_from, known_to, _)| *known_from == from && *known_to == to);
            let (_, _, replacements) = last.insert(match known {
                Some(known) => known,
                None => (from, to, replacements(from, to, &mut steps)?),
            });
            for c in text.chars() {
                steps.step()?;
                match replacements.get(&c) {
                    Some(replacement) => out.extend(*replacement),
                    None => out.push(c),
                }
            }
            Ok(true)
        })
    }))
}

/// What TRANSLATE makes of each character of `from`: the one at its first place in `to`, none beyond its end.
fn replacements(from: &str, to: &str, steps: &mut Steps) -> Result<HashMap<char, Option<char>>> {
    let mut replacements = HashMap::new();
    let mut to = to.chars();
    for c in from.chars() {
        steps.step()?;
        let replacement = to.next();
        replacements.entry(c).or_insert(replacement);
    }
    Ok(replacements)
}

pub(super) fn elt(site: &Site) -> Result<Kernel> {
    let is_bytes = matches!(site.operand_type(1)?, TypeKind::Binary(_) | TypeKind::Varbinary(_));
    Ok(Box::new(move |args| {
        let index = integers(args, 0)?;
        let index = index.as_primitive::<Int32Type>();
        let chosen = |row: usize| {
            let at = args.row(0, row);
            let place = index.is_valid(at).then(|| index.value(at))?;
            usize::try_from(place).ok()?.checked_sub(1)
        };
        if is_bytes {
            let parts = (1..args.len()).map(|at| args.read::<Bytes>(at)).collect::<Result<Vec<_>>>()?;
            return args.byte_strings(|row, out| {
                let part = chosen(row).and_then(|at| parts.get(at)).and_then(|part| part.get(row));
                out.extend_from_slice(part.unwrap_or_default());
                Ok(part.is_some())
            });
        }
        let parts = (1..args.len()).map(|at| args.read::<Text>(at)).collect::<Result<Vec<_>>>()?;
        args.strings(|row, out| {
            let part = chosen(row).and_then(|at| parts.get(at)).and_then(|part| part.get(row));
            out.push_str(part.unwrap_or_default());
            Ok(part.is_some())
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_counts_utf16_units() {
        let overlay = |start, length| {
            let mut out = String::new();
            overlay_units("a\u{1F600}bc", "x", start, length, &mut out);
            out
        };
        assert_eq!(overlay(1, 2), "axbc");
        assert_eq!(overlay(3, 1), "a\u{1F600}xc");
        assert_eq!(overlay(1, 1), "ax?bc");
        assert_eq!(overlay(2, 1), "a?xbc");
        assert_eq!(overlay(1, 9), "ax");
        assert_eq!(overlay(1, 0), "ax");
        assert_eq!(utf16_count("a\u{1F600}é"), 4);
    }
}
