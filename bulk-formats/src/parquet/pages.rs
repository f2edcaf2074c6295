//! What the headers of pages announce, before the library sets it aside: it makes room for a whole page, unpacked, and for the
//! values of a dictionary before it looks at either. And whether a row group has the rows that it says: the library takes its word
//! where no column is read, and reads on in the next row group where a column ends too soon.

use parquet::basic::{Compression, Type as Physical};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use wiesel_common::ending;
use wiesel_connectors::formats::parquet::MAX_PAGE_BYTES;
use wiesel_expressions::expression::MAX_VALUE_BYTES;
use wiesel_operators::operator::{Error, Result};

use super::thrift::Shape::{Bool, Integer, Noted, Struct};
use super::thrift::{Fault, Note, Shape, Walk};
use super::values;
use crate::input::InputFile;

/// The most bytes of the pages, unpacked, that are held at once: of each column the longest one and the dictionary.
const MAX_OPEN_BYTES: u64 = 2 * MAX_PAGE_BYTES;
/// So much is read of a header at first. Statistics can make it longer.
const HEADER_BYTES: u64 = 512;

/// A page's header as `parquet.thrift` has it; the library skips statistics.
const HEADER: &[(i16, Shape)] = &[
    (1, Integer),
    (2, Noted(Note::Unpacked)),
    (3, Noted(Note::Packed)),
    (4, Integer),
    (5, Struct(&[(1, Noted(Note::DataValues)), (2, Noted(Note::Encoding)), (3, Integer), (4, Integer)])),
    (6, Struct(&[])),
    (7, Struct(&[(1, Noted(Note::DictionaryValues)), (2, Integer), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, Noted(Note::DataValues)),
            (2, Integer),
            (3, Integer),
            (4, Noted(Note::Encoding)),
            (5, Integer),
            (6, Noted(Note::RepetitionBytes)),
            (7, Bool),
        ]),
    ),
];

/// A page's header; what it does not say is 0.
#[derive(Debug, Default)]
struct Header {
    /// Its own length.
    bytes: u64,
    unpacked: u64,
    packed: u64,
    data_values: u64,
    dictionary_values: u64,
    /// It has the lengths of texts as differences, and how many these are.
    has_lengths: bool,
    /// Of the repetition levels of a page of version 2, with which its data begin.
    repetition_bytes: u64,
}

/// What the pages of a column take.
struct Column {
    /// Of those that are held at once.
    open: u64,
    /// The longest text of the dictionary.
    longest: u64,
}

/// Fails for row groups of whose columns a page announces more than it can hold, and for those that announce other rows than they
/// have. How many bytes dictionaries give to a row at most.
pub(super) fn check(file: &InputFile, groups: &[RowGroupMetaData], mine: &[usize], names: &[&str]) -> Result<u64> {
    let length = file.length();
    let mut longest_row = 0;
    for group in mine.iter().filter_map(|at| groups.get(*at)) {
        let (mut open, mut row) = (0, 0);
        if wanted(group, names).next().is_none() {
            let checked = check_unread(file, length, group);
            ending::check()?;
            checked?;
        }
        for column in wanted(group, names) {
            let checked = check_column(file, length, column, group.num_rows());
            ending::check()?;
            let checked = checked.map_err(|why| blame(column, &why))?;
            open += checked.open;
            row += checked.longest;
            if open > MAX_OPEN_BYTES {
                let path = column.column_path().string();
                return Err(refused(format!(
                    "the pages of a row group up to column '{path}' need {open} bytes at once: at most {MAX_OPEN_BYTES} are held"
                )));
            }
        }
        longest_row = row.max(longest_row);
    }
    Ok(longest_row)
}

/// The columns of a row group that are read.
pub(super) fn wanted<'a>(
    group: &'a RowGroupMetaData,
    names: &'a [&'a str],
) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
    let is_wanted = move |root: &String| names.contains(&root.as_str());
    group.columns().iter().filter(move |column| column.column_path().parts().first().is_some_and(is_wanted))
}

fn refused(why: String) -> Error {
    Error::External { message: format!("Parquet: {why}"), source: None }
}

fn blame(column: &ColumnChunkMetaData, why: &str) -> Error {
    refused(format!("column '{}' is refused: {why}", column.column_path().string()))
}

/// Looks at a column that is to be read.
fn check_column(
    file: &InputFile,
    length: u64,
    column: &ColumnChunkMetaData,
    rows: i64,
) -> std::result::Result<Column, String> {
    if column.column_descr().type_length() > MAX_VALUE_BYTES as i32 {
        let bytes = column.column_descr().type_length();
        return Err(format!("each of its values has {bytes} bytes: at most {MAX_VALUE_BYTES} are read"));
    }
    let (mut dictionary, mut longest, mut has_lengths) = (0, 0, false);
    let values = for_each_header(file, length, column, |header, data| {
        check_header(header, column)?;
        check_start(file, data, header, column)?;
        has_lengths |= header.has_lengths;
        match header.dictionary_values {
            0 => longest = header.unpacked.max(longest),
            _ => dictionary = header.unpacked.max(dictionary),
        }
        Ok(())
    })?;
    check_rows(column, values, rows)?;
    let has_texts = dictionary > 0 && column.column_type() == Physical::BYTE_ARRAY;
    let longest_text = if has_texts || has_lengths { values::check(file, column, has_lengths)? } else { 0 };
    Ok(Column { open: dictionary + longest, longest: if has_texts { longest_text } else { 0 } })
}

/// Looks at a row group of which no column is read, but the rows are counted: by one column, which need not be unpacked.
fn check_unread(file: &InputFile, length: u64, group: &RowGroupMetaData) -> Result<()> {
    let shortest = group.columns().iter().min_by_key(|column| (!is_flat(column), column.compressed_size()));
    match shortest {
        Some(column) => for_each_header(file, length, column, |_, _| Ok(()))
            .and_then(|values| check_rows(column, values, group.num_rows()))
            .map_err(|why| blame(column, &why)),
        None if group.num_rows() == 0 => Ok(()),
        None => Err(refused(format!("a row group says {} rows and has no columns", group.num_rows()))),
    }
}

/// Whether each row is one value, null or not.
fn is_flat(column: &ColumnChunkMetaData) -> bool {
    column.column_descr().max_rep_level() == 0
}

/// Fails for a column that has other rows than its row group. In a list a row is one value or more.
fn check_rows(column: &ColumnChunkMetaData, values: u64, rows: i64) -> std::result::Result<(), String> {
    match u64::try_from(rows) {
        Ok(rows) if values == rows || (values > rows && !is_flat(column)) => Ok(()),
        _ => Err(format!("its pages have {values} values: the row group says {rows} rows")),
    }
}

/// Looks at all headers of a column, and where the data of their pages begin: how many values the pages have.
fn for_each_header(
    file: &InputFile,
    length: u64,
    column: &ColumnChunkMetaData,
    mut look: impl FnMut(&Header, u64) -> std::result::Result<(), String>,
) -> std::result::Result<u64, String> {
    let offset = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (start, size) = (u64::try_from(offset).ok(), u64::try_from(column.compressed_size()).ok());
    let range = start.zip(size).and_then(|(start, size)| Some(start..start.checked_add(size)?));
    let Some(range) = range.filter(|range| range.end <= length) else {
        let size = column.compressed_size();
        return Err(format!("its {size} bytes from {offset} on do not lie in the file, which has {length}"));
    };
    file.expect_to_read(range.start, range.end).map_err(|error| format!("cannot be read: {error}"))?;
    let (mut at, mut values) = (range.start, 0);
    while at < range.end {
        go_on()?;
        let here = |why: String| format!("the header of the page at byte {at} {why}");
        let header = read_header(file, at, range.end).map_err(here)?;
        let rest = range.end - at - header.bytes;
        if header.packed > rest {
            return Err(here(format!("says {} bytes: the column has {rest} more", header.packed)));
        }
        look(&header, at + header.bytes).map_err(here)?;
        values += header.data_values;
        if u64::try_from(column.num_values()).is_ok_and(|most| values > most) {
            let most = column.num_values();
            return Err(here(format!("says {values} values with those before it: the column has {most}")));
        }
        at += header.bytes + header.packed;
    }
    Ok(values)
}

/// Fails where the task is to end: a column may have any number of pages. The caller that gets the error asks as well.
pub(super) fn go_on() -> std::result::Result<(), String> {
    ending::check().map_err(|error| error.to_string())
}

fn check_header(header: &Header, column: &ColumnChunkMetaData) -> std::result::Result<(), String> {
    let Header { unpacked, packed, dictionary_values, .. } = header;
    if (*unpacked).max(*packed) > MAX_PAGE_BYTES {
        return Err(format!("says {packed} bytes, {unpacked} unpacked: at most {MAX_PAGE_BYTES} are read"));
    }
    // Each has a few bytes that pack nothing.
    let most = packed.saturating_mul(most_packed(column.compression())).saturating_add(1 << 10);
    if *unpacked > most {
        let codec = column.compression();
        return Err(format!("says {packed} bytes, {unpacked} unpacked: {codec} packs at most {most} so"));
    }
    let least = dictionary_values.saturating_mul(value_bytes(column));
    if least > *unpacked {
        return Err(format!("says {dictionary_values} values in {unpacked} bytes: they take {least}"));
    }
    Ok(())
}

/// Fails for a page of version 2 that begins within a row. The format forbids it, so the library takes the rest of that row for a row
/// of its own; but some writers did it.
fn check_start(
    file: &InputFile,
    data: u64,
    header: &Header,
    column: &ColumnChunkMetaData,
) -> std::result::Result<(), String> {
    if is_flat(column) || header.data_values == 0 {
        return Ok(());
    }
    let size = header.repetition_bytes.min(header.packed).min(values::FIRST_LEVEL_BYTES as u64) as usize;
    let mut levels = vec![0; size];
    file.read_exact_at(&mut levels, data).map_err(|error| format!("is followed by what cannot be read: {error}"))?;
    match values::first_level(&levels, column.column_descr().max_rep_level()) {
        // What is not there is the library's to refuse.
        None | Some(0) => Ok(()),
        Some(_) => {
            let why = "is of a page of version 2 that begins within a row, which the format forbids: write the file again, with \
                       pages of version 1 or another writer";
            Err(why.to_owned())
        }
    }
}

/// Into how many bytes a codec unpacks one, at most, generously.
fn most_packed(codec: Compression) -> u64 {
    match codec {
        // Their longest copy takes 3 bytes for 64, and a byte for 255.
        Compression::SNAPPY => 64,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        // A match of 258 bytes takes 2 bits or more.
        Compression::GZIP(_) => 1100,
        // A block of 128 KiB takes 4 bytes or more.
        Compression::ZSTD(_) => 1 << 16,
        _ => MAX_PAGE_BYTES,
    }
}

/// How many bytes a value of a dictionary takes in its page, at least.
fn value_bytes(column: &ColumnChunkMetaData) -> u64 {
    match column.column_type() {
        Physical::BOOLEAN => 0,
        Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
        Physical::INT64 | Physical::DOUBLE => 8,
        Physical::INT96 => 12,
        Physical::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.column_descr().type_length()).unwrap_or(0),
    }
}

fn read_header(file: &InputFile, at: u64, end: u64) -> std::result::Result<Header, String> {
    let most = (end - at).min(MAX_PAGE_BYTES);
    let mut size = HEADER_BYTES.min(most);
    loop {
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, at).map_err(|error| format!("cannot be read: {error}"))?;
        let mut walk = Walk::new(&bytes);
        match walk.fields(HEADER) {
            Ok(()) => return Ok(header(bytes.len() - walk.left(), &walk.noted)),
            Err(Fault::Short(_)) if size < most => size = (size * 16).min(most),
            Err(Fault::Short(more)) => return Err(format!("goes on for {more} bytes where the column ends")),
            Err(Fault::Wrong(why)) => return Err(format!("is damaged: {why}")),
        }
    }
}

fn header(bytes: usize, noted: &[(Note, i64)]) -> Header {
    let mut header = Header { bytes: bytes as u64, ..Header::default() };
    for (note, value) in noted {
        let value = u64::try_from(*value).unwrap_or(0);
        match note {
            // What is there twice: the library takes the last.
            Note::Unpacked => header.unpacked = value,
            Note::Packed => header.packed = value,
            Note::DataValues => header.data_values = value.max(header.data_values),
            Note::DictionaryValues => header.dictionary_values = value.max(header.dictionary_values),
            // DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY.
            Note::Encoding => header.has_lengths |= matches!(value, 6 | 7),
            Note::RepetitionBytes => header.repetition_bytes = value,
            Note::Node | Note::Children => {}
        }
    }
    header
}
