//! What a footer announces, before the library sets it aside: the library makes room for as many elements of a list as the file
//! says that there are, and follows a schema as deep as it goes.

use parquet::file::metadata::ParquetMetaData;
use wiesel_operators::operator::{Error, Result};

use super::thrift::Shape::{Binary, Bool, Byte, Double, Integer, List, Node, Noted, Struct};
use super::thrift::{Fault, Note, Shape, Walk};
use crate::input::InputFile;

/// The longest footer: one of 1,000 columns and 100 row groups has about 15 MiB.
const MAX_FOOTER_BYTES: u64 = 32 << 20;
/// How deep columns may be nested: the library goes down a call a level.
const MAX_LEVELS: usize = 100;
/// The length of the footer and the magic number, at the end of a file.
const TAIL: u64 = 8;

// Each struct as `parquet.thrift` has it, without the fields that the library skips.
const EMPTY: Shape = Struct(&[]);
const TIME: Shape = Struct(&[(1, Bool), (2, Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))]);
const LOGICAL_TYPE: Shape = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, Integer), (2, Integer)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, Integer)])),
]);
const SCHEMA_ELEMENT: Shape = Node(&[
    (1, Integer),
    (2, Integer),
    (3, Integer),
    (4, Binary),
    (5, Noted(Note::Children)),
    (6, Integer),
    (7, Integer),
    (8, Integer),
    (9, Integer),
    (10, LOGICAL_TYPE),
]);
const STATISTICS: Shape =
    Struct(&[(1, Binary), (2, Binary), (3, Integer), (4, Integer), (5, Binary), (6, Binary), (7, Bool), (8, Bool)]);
const BOX: Shape =
    Struct(&[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)]);
const ENCODING_STATS: Shape = Struct(&[(1, Integer), (2, Integer), (3, Integer)]);
const SIZE_STATISTICS: Shape = Struct(&[(1, Integer), (2, List(&Integer)), (3, List(&Integer))]);
const COLUMN: Shape = Struct(&[
    (1, Integer),
    (2, List(&Integer)),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (9, Integer),
    (10, Integer),
    (11, Integer),
    (12, STATISTICS),
    (13, List(&ENCODING_STATS)),
    (14, Integer),
    (15, Integer),
    (16, SIZE_STATISTICS),
    (17, Struct(&[(1, BOX), (2, List(&Integer))])),
]);
const CHUNK: Shape =
    Struct(&[(1, Binary), (2, Integer), (3, COLUMN), (4, Integer), (5, Integer), (6, Integer), (7, Integer)]);
const SORTING: Shape = Struct(&[(1, Integer), (2, Bool), (3, Bool)]);
const ROW_GROUP: Shape =
    Struct(&[(1, List(&CHUNK)), (2, Integer), (3, Integer), (4, List(&SORTING)), (5, Integer), (7, Integer)]);
const KEY_VALUE: Shape = Struct(&[(1, Binary), (2, Binary)]);
const FOOTER: &[(i16, Shape)] = &[
    (1, Integer),
    (2, List(&SCHEMA_ELEMENT)),
    (3, Integer),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY)]))),
];

/// Fails for a footer that announces more than it holds.
pub(super) fn check(file: &InputFile) -> Result<()> {
    let failed = |error: std::io::Error| Error::external("Parquet: cannot read the footer", error);
    let length = file.length();
    let mut tail = [0; TAIL as usize];
    // What is no Parquet file at all is the library's to refuse.
    let Some(end) = length.checked_sub(TAIL) else { return Ok(()) };
    file.read_exact_at(&mut tail, end).map_err(failed)?;
    let [a, b, c, d, magic @ ..] = tail;
    if magic != *b"PAR1" {
        return Ok(());
    }
    let bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(start) = end.checked_sub(bytes) else {
        return refused(format!("it would have {bytes} bytes, the file has {length}"));
    };
    if bytes > MAX_FOOTER_BYTES {
        return refused(format!("it has {bytes} bytes: at most {MAX_FOOTER_BYTES} are read"));
    }
    let mut footer = vec![0; bytes as usize];
    file.read_exact_at(&mut footer, start).map_err(failed)?;
    let mut walk = Walk::new(&footer);
    match walk.fields(FOOTER) {
        Ok(()) => check_tree(&walk.noted),
        Err(Fault::Short(more)) => refused(format!("it ends where it announces {more} bytes or elements more")),
        Err(Fault::Wrong(why)) => refused(why),
    }
}

/// Fails for a schema that is not the tree that it says, or too deep.
fn check_tree(noted: &[(Note, i64)]) -> Result<()> {
    let mut children: Vec<u64> = Vec::new();
    for (note, value) in noted {
        match (note, children.last_mut()) {
            (Note::Node, _) => children.push(0),
            (Note::Children, Some(last)) => *last = u64::try_from(*value).unwrap_or(0),
            _ => {}
        }
    }
    let (announced, there) = (children.iter().sum::<u64>(), children.len());
    if announced > there as u64 {
        return refused(format!("its schema announces {announced} fields and has {there}"));
    }
    // Of each level above a field, how many fields follow.
    let mut open: Vec<u64> = Vec::new();
    for fields in children {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(fields);
        if open.len() > MAX_LEVELS {
            return refused(format!("its columns are nested deeper than {MAX_LEVELS}"));
        }
    }
    Ok(())
}

/// Fails for a file that says other rows than its row groups do: the library reads no more at once than the file has, and of one
/// that says 0 none at all, as if it were empty.
pub(super) fn check_rows(footer: &ParquetMetaData) -> Result<()> {
    let rows = footer.file_metadata().num_rows();
    let of_groups = footer.row_groups().iter().map(|group| i128::from(group.num_rows())).sum::<i128>();
    if i128::from(rows) == of_groups {
        return Ok(());
    }
    refused(format!("it says {rows} rows, and its row groups say {of_groups}"))
}

fn refused<T>(why: String) -> Result<T> {
    Err(Error::External { message: format!("Parquet: the footer is refused: {why}"), source: None })
}
