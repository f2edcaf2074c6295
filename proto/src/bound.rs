//! Messages from outside: an empty message within another takes two bytes where it comes from and some hundred in memory. So
//! what a message would take is counted before it is decoded.
use std::error::Error;
use std::fmt;

use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint};

/// How deep messages may be within each other: what is deeper is not decoded either.
const MAX_DEPTH: usize = 100;
/// What a string takes beside its characters: itself, and what an allocation rounds up to.
const STRING: usize = 40;
/// What a number of a list takes at most.
const NUMBER: usize = 8;

/// What a kind of message takes.
#[derive(Debug)]
pub struct Shape {
    /// Without what its fields refer to.
    pub(crate) bytes: usize,
    /// Its fields whose content has a length, by number.
    pub(crate) fields: &'static [(u32, Holds)],
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Holds {
    Message(&'static Shape),
    /// A string, which is copied.
    Text,
    /// Bytes, which stay where they are.
    Bytes,
    /// A list of numbers.
    Numbers,
}

/// A message whose kind is known by its type: every message of this crate.
pub trait Shaped: Message + Default {
    /// What it takes.
    fn shape() -> &'static Shape;
}

/// Why a message is not decoded.
#[derive(Debug)]
pub enum Undecodable {
    /// It would take more memory than this.
    TooLarge(u64),
    /// Its fields do not fit into each other.
    Malformed(&'static str),
    /// A field is not what it should be.
    Invalid(prost::DecodeError),
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => {
                write!(
                    f,
                    "it has so many entries that it would take more than {limit} bytes of memory, which is the limit"
                )
            }
            Self::Malformed(what) => write!(f, "it is malformed: {what}"),
            Self::Invalid(error) => write!(f, "{error}"),
        }
    }
}

impl Error for Undecodable {}

/// Decodes a message that takes at most so many bytes of memory, beside the bytes that it comes from. While its lists grow it may
/// take up to three times as much.
///
/// # Errors
/// It would take more, or cannot be decoded.
pub fn decode_at_most<M: Shaped>(bytes: Bytes, limit: u64) -> Result<M, Undecodable> {
    check_memory::<M>(&bytes, limit)?;
    M::decode(bytes).map_err(Undecodable::Invalid)
}

/// Whether [`decode_at_most`] will find that a message takes too much.
///
/// # Errors
/// As there, but not all of what is invalid is found.
pub fn check_memory<M: Shaped>(bytes: &[u8], limit: u64) -> Result<(), Undecodable> {
    Count { memory: 0, limit }.message(bytes, M::shape(), 0)
}

struct Count {
    memory: u64,
    limit: u64,
}

impl Count {
    fn add(&mut self, bytes: usize) -> Result<(), Undecodable> {
        self.memory = self.memory.saturating_add(bytes as u64);
        if self.memory > self.limit { Err(Undecodable::TooLarge(self.limit)) } else { Ok(()) }
    }

    /// What is malformed ends the count and is not decoded: a decoder that finds out later that a message is longer than the one
    /// that it is in has decoded it by then.
    fn message(&mut self, mut wire: &[u8], shape: &Shape, depth: usize) -> Result<(), Undecodable> {
        if depth > MAX_DEPTH {
            return Err(Undecodable::Malformed("too many messages are within each other"));
        }
        self.add(shape.bytes)?;
        while !wire.is_empty() {
            let (number, wire_type) = decode_key(&mut wire).map_err(Undecodable::Invalid)?;
            match wire_type {
                WireType::Varint => {
                    decode_varint(&mut wire).map_err(Undecodable::Invalid)?;
                    if let Some(Holds::Numbers) = shape.holds(number) {
                        self.add(NUMBER)?;
                    }
                }
                WireType::SixtyFourBit => _ = take(&mut wire, 8)?,
                WireType::ThirtyTwoBit => _ = take(&mut wire, 4)?,
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut wire).map_err(Undecodable::Invalid)?;
                    let content = take(&mut wire, length)?;
                    self.content(content, shape.holds(number), depth)?;
                }
                WireType::StartGroup | WireType::EndGroup => {
                    return Err(Undecodable::Malformed("it has groups, which no message has"));
                }
            }
        }
        Ok(())
    }

    fn content(&mut self, content: &[u8], holds: Option<&Holds>, depth: usize) -> Result<(), Undecodable> {
        match holds {
            Some(Holds::Message(shape)) => self.message(content, shape, depth + 1),
            Some(Holds::Text) => self.add(STRING.saturating_add(content.len())),
            Some(Holds::Bytes) => self.add(size_of::<Bytes>()),
            Some(Holds::Numbers) => self.add(NUMBER.saturating_mul(content.len())),
            // Of a later release, and skipped.
            None => Ok(()),
        }
    }
}

impl Shape {
    fn holds(&self, number: u32) -> Option<&Holds> {
        self.fields.iter().find(|(field, _)| *field == number).map(|(_, holds)| holds)
    }
}

/// The next bytes.
fn take<'a>(wire: &mut &'a [u8], count: u64) -> Result<&'a [u8], Undecodable> {
    let short = Undecodable::Malformed("a field is longer than what it is in");
    let count = usize::try_from(count).ok().filter(|count| *count <= wire.len()).ok_or(short)?;
    let (taken, rest) = wire.split_at(count);
    *wire = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as proto;

    fn decoded(body: Vec<u8>, limit: u64) -> Result<proto::CheckpointMetadata, Undecodable> {
        decode_at_most(body.into(), limit)
    }

    fn checkpoint() -> proto::CheckpointMetadata {
        let file = proto::StateFile { path: "x".into(), size: 3, crc32c: 4, inline: vec![7; 100_000].into() };
        let channel = proto::ChannelState { edge: 1, file: Some(file), rows: 9, ..Default::default() };
        let task = proto::TaskState { channels: vec![channel], ..Default::default() };
        let vertex = proto::VertexState { name: "v".into(), subtasks: vec![task], ..Default::default() };
        proto::CheckpointMetadata { run: 5, vertices: vec![vertex], ..Default::default() }
    }

    /// Before, twelve million vertices without anything, of two bytes each, took 1890 MB.
    #[test]
    fn entries_without_content_count() {
        let body = [checkpoint().encode_to_vec(), [0x42, 0].repeat(1000)].concat();
        let needed = 1000 * size_of::<proto::VertexState>() as u64;
        assert_eq!(decoded(body.clone(), 2 * needed).unwrap().vertices.len(), 1001);
        assert!(matches!(decoded(body.clone(), needed), Err(Undecodable::TooLarge(limit)) if limit == needed));
        // Also within others: one vertex of many tasks, and a list of many texts.
        let tasks = |count: usize| [0x32, 0].repeat(count);
        for inner in [tasks(60), [0x2a, 4, 0x1a, 2, 0x12, 0].repeat(20)] {
            let body = [vec![0x42, inner.len() as u8], inner].concat();
            let needed = size_of::<proto::CheckpointMetadata>() + size_of::<proto::VertexState>();
            assert!(matches!(decoded(body.clone(), needed as u64 + 500), Err(Undecodable::TooLarge(_))), "{body:?}");
            assert!(decoded(body, 1 << 20).is_ok());
        }
    }

    /// What is in the bytes anyway counts once.
    #[test]
    fn bytes_do_not_count_again() {
        assert_eq!(decoded(checkpoint().encode_to_vec(), 10_000).unwrap(), checkpoint());
    }

    #[test]
    fn all_that_a_graph_has_counts() {
        let graph = |body: Vec<u8>, limit: u64| decode_at_most::<proto::JobGraph>(body.into(), limit).map(drop);
        let numbers = proto::JobEdge { keys: vec![1; 10_000], ..Default::default() };
        let node = proto::ExpressionNode { r#type: 1, ..Default::default() };
        let condition = proto::Expression { nodes: vec![node; 10_000], ..Default::default() };
        let calc = proto::CalcSpec { condition: Some(condition), ..Default::default() };
        let kind = Some(proto::operator_spec::Kind::Calc(calc));
        let operators = vec![proto::OperatorSpec { kind, ..Default::default() }];
        let vertex = proto::JobVertex { operators, ..Default::default() };
        let configuration = (0..1000).map(|number| (number.to_string(), String::new())).collect();
        let graphs = [
            proto::JobGraph { edges: vec![numbers], ..Default::default() },
            proto::JobGraph { vertices: vec![vertex], ..Default::default() },
            proto::JobGraph { configuration, ..Default::default() },
        ];
        for graph_of in graphs {
            let body = graph_of.encode_to_vec();
            assert!(matches!(graph(body.clone(), 40_000), Err(Undecodable::TooLarge(40_000))), "{body:?}");
            assert!(graph(body, 10 << 20).is_ok());
        }
    }

    /// A decoder alone decodes what is longer than the message that it is in before it finds that out.
    #[test]
    fn what_does_not_fit_into_each_other_is_not_decoded() {
        // A vertex of two bytes, in which a task is longer.
        let body = [vec![0x42, 2, 0x32, 100], [0x0a, 0].repeat(50)].concat();
        assert!(matches!(decoded(body, 1 << 20), Err(Undecodable::Malformed(_))));
        for body in [vec![0x42, 5], vec![0x43], vec![0x51, 1], vec![0xff; 12], vec![0x08]] {
            assert!(decoded(body, 1 << 20).is_err());
        }
    }

    /// As deep as a decoder goes, and no deeper: the stack of the count has an end as well.
    #[test]
    fn depth_has_an_end() {
        let nested = |levels: usize| {
            let around = |inner: proto::Literal, _| {
                let list = proto::LiteralList { items: vec![inner] };
                proto::Literal { value: Some(proto::literal::Value::List(list)), ..Default::default() }
            };
            (0..levels).fold(proto::Literal::default(), around).encode_to_vec()
        };
        for levels in [10, 49, 50, 51, 60] {
            let body = nested(levels);
            let counted = check_memory::<proto::Literal>(&body, 1 << 20).is_ok();
            assert_eq!(counted, proto::Literal::decode(&body[..]).is_ok(), "{levels}");
        }
    }
}
