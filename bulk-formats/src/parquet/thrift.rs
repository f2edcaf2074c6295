//! A walk over Thrift's compact protocol, in which Parquet has its footers and the headers of its pages: it finds what these
//! announce before the library sets memory aside for it.
//!
//! The library reads a field by its number, whatever type the file gives for it: a known field of another type is refused, so that
//! both see the same.

/// Elements of one list, at most: as many as Apache Arrow's C++ reader takes.
const MAX_ELEMENTS: u64 = 1_000_000;
/// How deep values that are skipped may be nested: as deep as the library follows them.
const MAX_DEPTH: usize = 64;

/// What is noted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A `Node` begins.
    Node,
    Children,
    Unpacked,
    Packed,
    DataValues,
    DictionaryValues,
    Encoding,
    RepetitionBytes,
}

/// What a field is known to be. A union is a struct of which one field is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Bool,
    Byte,
    /// Of any width: all are written alike.
    Integer,
    Double,
    Binary,
    /// An integer that is noted; a negative one is refused.
    Noted(Note),
    List(&'static Self),
    Struct(&'static [(i16, Self)]),
    /// A struct that is noted.
    Node(&'static [(i16, Self)]),
}

/// Why a walk ends early.
#[derive(Debug)]
pub(super) enum Fault {
    /// More is announced than there is: so many bytes, or elements of a list, each of which takes a byte or more.
    Short(u64),
    Wrong(String),
}

type Walked<T> = std::result::Result<T, Fault>;

pub(super) struct Walk<'a> {
    rest: &'a [u8],
    pub(super) noted: Vec<(Note, i64)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest, noted: Vec::new() }
    }

    /// Bytes that were not walked over.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Walks over a struct.
    pub(super) fn fields(&mut self, known: &[(i16, Shape)]) -> Walked<()> {
        self.fields_at(known, 0)
    }

    fn fields_at(&mut self, known: &[(i16, Shape)], depth: usize) -> Walked<()> {
        let mut last = 0i16;
        loop {
            let header = self.byte()?;
            let (delta, wire) = (header >> 4, header & 0x0f);
            if wire == 0 {
                return Ok(());
            }
            let id = match delta {
                0 => i16::try_from(self.integer()?).ok(),
                delta => last.checked_add(i16::from(delta)),
            };
            last = id.ok_or_else(|| Fault::Wrong("the number of a field does not fit 16 bits".into()))?;
            let shape = known.iter().find(|(id, _)| *id == last).map(|(_, shape)| shape);
            if shape.is_some_and(|shape| !fits(shape, wire)) {
                return Err(Fault::Wrong(format!("field {last} has the type {wire}, which it cannot have")));
            }
            // A boolean has its value in the type.
            if !matches!(wire, 1 | 2) {
                self.value(shape, wire, depth + 1)?;
            }
        }
    }

    fn value(&mut self, shape: Option<&Shape>, wire: u8, depth: usize) -> Walked<()> {
        if depth > MAX_DEPTH {
            return Err(Fault::Wrong(format!("values are nested deeper than {MAX_DEPTH}")));
        }
        match wire {
            3 => self.skip(1),
            4..=6 => {
                let value = self.integer()?;
                match shape {
                    Some(Shape::Noted(note)) => self.note(*note, value),
                    _ => Ok(()),
                }
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 => self.list(shape, depth),
            12 => match shape {
                Some(Shape::Struct(known)) => self.fields_at(known, depth),
                Some(Shape::Node(known)) => {
                    self.noted.push((Note::Node, 0));
                    self.fields_at(known, depth)
                }
                _ => self.fields_at(&[], depth),
            },
            other => Err(Fault::Wrong(format!("a value has the type {other}, which Parquet does not use there"))),
        }
    }

    fn list(&mut self, shape: Option<&Shape>, depth: usize) -> Walked<()> {
        let header = self.byte()?;
        let (count, wire) = match (header >> 4, header & 0x0f) {
            (15, wire) => (self.varint()?, wire),
            (count, wire) => (u64::from(count), wire),
        };
        if count > MAX_ELEMENTS {
            return Err(Fault::Wrong(format!("a list has {count} elements: at most {MAX_ELEMENTS} are read")));
        }
        if count > self.rest.len() as u64 {
            return Err(Fault::Short(count));
        }
        let element = match shape {
            Some(Shape::List(element)) => Some(*element),
            _ => None,
        };
        if count > 0 && element.is_some_and(|element| !fits(element, wire)) {
            return Err(Fault::Wrong(format!("a list has elements of the type {wire}, which it cannot have")));
        }
        (0..count).try_for_each(|_| self.value(element, wire, depth + 1))
    }

    fn note(&mut self, note: Note, value: i64) -> Walked<()> {
        if i32::try_from(value).is_err() || value < 0 {
            return Err(Fault::Wrong(format!("a size or a count is {value}")));
        }
        self.noted.push((note, value));
        Ok(())
    }

    fn byte(&mut self) -> Walked<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Fault::Short(1))?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, bytes: u64) -> Walked<()> {
        let rest = usize::try_from(bytes).ok().and_then(|bytes| self.rest.get(bytes..));
        self.rest = rest.ok_or(Fault::Short(bytes))?;
        Ok(())
    }

    fn varint(&mut self) -> Walked<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Wrong("a number is longer than 64 bits".into()))
    }

    /// A signed number: zigzag.
    fn integer(&mut self) -> Walked<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

/// Whether a value of this type is what a field is known to be.
fn fits(shape: &Shape, wire: u8) -> bool {
    match shape {
        Shape::Bool => matches!(wire, 1 | 2),
        Shape::Byte => wire == 3,
        Shape::Integer | Shape::Noted(_) => matches!(wire, 4..=6),
        Shape::Double => wire == 7,
        Shape::Binary => wire == 8,
        Shape::List(_) => wire == 9,
        Shape::Struct(_) | Shape::Node(_) => wire == 12,
    }
}
