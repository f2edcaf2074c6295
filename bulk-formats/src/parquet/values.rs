//! What pages announce inside: the library makes room for as many lengths of texts as their encoding says that there are, and
//! repeats a text of a dictionary in a batch as often as rows have it.
use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::pages::go_on;
use crate::input::InputFile;

type Checked<T> = std::result::Result<T, String>;

/// Looks into the pages of a column of texts, into the dictionary alone where no page has lengths: the longest text of the
/// dictionary.
pub(super) fn check(file: &InputFile, column: &ColumnChunkMetaData, all: bool) -> Checked<u64> {
    let pages = SerializedPageReader::new(Arc::new(file.clone()), column, 0, None);
    let mut pages = pages.map_err(|error| error.to_string())?;
    let mut longest = 0;
    while let Some(page) = pages.get_next_page().map_err(|error| error.to_string())? {
        go_on()?;
        match &page {
            Page::DictionaryPage { buf, num_values, .. } => longest = longest_value(buf, *num_values),
            page => check_page(page, column)?,
        }
        if !all {
            break;
        }
    }
    Ok(longest)
}

/// Of a dictionary: a length before each value.
fn longest_value(mut dictionary: &[u8], values: u32) -> u64 {
    let mut longest = 0;
    for _ in 0..values {
        // A shorter dictionary is the library's to refuse.
        let Some((length, rest)) = dictionary.split_first_chunk::<4>() else { break };
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        dictionary = rest.get(length as usize..).unwrap_or(&[]);
    }
    longest
}

/// Fails for a page whose encoding says that it has more values than the page's header does.
fn check_page(page: &Page, column: &ColumnChunkMetaData) -> Checked<()> {
    let encoding = page.encoding();
    if !matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
        return Ok(());
    }
    // What is not there is the library's to refuse.
    let Some(data) = behind_levels(page, column).filter(|data| !data.is_empty()) else { return Ok(()) };
    let most = u64::from(page.num_values());
    let lengths = Lengths::of(data, most)?;
    if encoding == Encoding::DELTA_BYTE_ARRAY {
        let end = lengths.end(data).ok_or("a page ends within the lengths of what its texts have in common")?;
        Lengths::of(&data[end..], most)?;
    }
    Ok(())
}

/// The values of a page.
fn behind_levels<'a>(page: &'a Page, column: &ColumnChunkMetaData) -> Option<&'a [u8]> {
    match page {
        Page::DataPage { buf, num_values, def_level_encoding, rep_level_encoding, .. } => {
            let (repetition, definition) =
                (column.column_descr().max_rep_level(), column.column_descr().max_def_level());
            let data = behind(buf, repetition, *rep_level_encoding, *num_values)?;
            behind(data, definition, *def_level_encoding, *num_values)
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            buf.get((def_levels_byte_len.checked_add(*rep_levels_byte_len)?) as usize..)
        }
        Page::DictionaryPage { .. } => None,
    }
}

fn behind(data: &[u8], most: i16, encoding: Encoding, values: u32) -> Option<&[u8]> {
    if most <= 0 {
        return Some(data);
    }
    match encoding {
        Encoding::RLE => {
            let (length, rest) = data.split_first_chunk::<4>()?;
            rest.get(u32::from_le_bytes(*length) as usize..)
        }
        // Packed in bits, as long ago.
        _ => {
            let bits = u64::from(i16::BITS - most.leading_zeros());
            data.get(usize::try_from((u64::from(values) * bits).div_ceil(8)).ok()?..)
        }
    }
}

/// So many bytes of levels hold the first one.
pub(super) const FIRST_LEVEL_BYTES: usize = 12;

/// The first of the levels of a page of version 2: behind the length of a run, which is one level repeated, or of several packed in
/// bits from the lowest one on.
pub(super) fn first_level(levels: &[u8], most: i16) -> Option<u16> {
    let mut at = 0;
    varint(levels, &mut at)?;
    let low = *levels.get(at)?;
    let high = levels.get(at + 1).copied().unwrap_or(0);
    let bits = i16::BITS - most.leading_zeros();
    Some(u16::from_le_bytes([low, high]) & ((1 << bits) - 1))
}

/// Lengths as differences, in blocks of parts, each with its width in bits: a width of 0 makes any number of them of nothing.
struct Lengths {
    /// Where the first block begins.
    start: usize,
    parts: usize,
    /// Lengths of a part.
    of_part: u64,
    count: u64,
}

impl Lengths {
    fn of(data: &[u8], most: u64) -> Checked<Self> {
        let short = "a page ends where the number of its texts is expected";
        let mut start = 0;
        let block = varint(data, &mut start).ok_or(short)?;
        let parts = varint(data, &mut start).ok_or(short)?;
        let count = varint(data, &mut start).ok_or(short)?;
        varint(data, &mut start).ok_or(short)?;
        if count > most {
            return Err(format!("a page has the lengths of {count} texts: its header says {most} values"));
        }
        let of_part = block.checked_div(parts).filter(|of_part| *of_part > 0);
        let of_part = of_part.ok_or("the lengths of the texts of a page are in blocks of nothing")?;
        let parts = usize::try_from(parts).map_err(|error| error.to_string())?;
        Ok(Self { start, parts, of_part, count })
    }

    /// Where they end.
    fn end(&self, data: &[u8]) -> Option<usize> {
        let mut at = self.start;
        // The first is not in a block.
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            varint(data, &mut at)?;
            let end = at.checked_add(self.parts)?;
            let widths = data.get(at..end)?;
            at = end;
            for width in widths {
                // Those that hold nothing more are left out, whatever their width.
                if left > 0 {
                    let bytes = self.of_part.checked_mul(u64::from(*width))? / 8;
                    at = at.checked_add(usize::try_from(bytes).ok()?)?;
                }
                left = left.saturating_sub(self.of_part);
            }
        }
        (at <= data.len()).then_some(at)
    }
}

fn varint(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
