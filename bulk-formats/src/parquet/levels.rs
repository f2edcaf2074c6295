//! Nested columns taken apart into leaves with definition and repetition levels, after the Dremel paper (Melnik et al., 2010).
use arrow::array::{Array, ArrayRef, AsArray};
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_operators::operator::{Error, Result};

/// A place in a column that holds a value or says why there is none.
#[derive(Clone, Copy)]
struct Slot {
    definition: i16,
    repetition: i16,
    /// Where the value stands in its array; [`NONE`]: there is none.
    index: u32,
}

const NONE: u32 = u32::MAX;

/// One leaf of a column.
pub(super) struct Leaf<'a> {
    pub(super) array: &'a dyn Array,
    pub(super) kind: &'a TypeKind,
    /// None: every row has a value.
    pub(super) definition: Option<Vec<i16>>,
    /// None: no list is around it.
    pub(super) repetition: Option<Vec<i16>>,
    /// Where its values stand in the array.
    pub(super) indexes: Vec<u32>,
}

/// The depth of a place in the type.
#[derive(Clone, Copy, Default)]
struct Depth {
    definition: i16,
    repetition: i16,
}

/// Calls `leaf` for each leaf of a column, in the order of the schema.
pub(super) fn for_each_leaf<'a>(
    array: &'a ArrayRef,
    data_type: &'a LogicalType,
    leaf: &mut dyn FnMut(Leaf<'a>) -> Result<()>,
) -> Result<()> {
    let slots = (0..array.len() as u32).map(|index| Slot { definition: 0, repetition: 0, index }).collect();
    descend(array.as_ref(), data_type, data_type.nullable, slots, Depth::default(), leaf)
}

fn descend<'a>(
    array: &'a dyn Array,
    data_type: &'a LogicalType,
    nullable: bool,
    mut slots: Vec<Slot>,
    mut depth: Depth,
    leaf: &mut dyn FnMut(Leaf<'a>) -> Result<()>,
) -> Result<()> {
    if nullable {
        depth.definition += 1;
        for slot in slots.iter_mut().filter(|slot| slot.index != NONE) {
            if array.is_null(slot.index as usize) {
                slot.index = NONE;
            } else {
                slot.definition += 1;
            }
        }
    }
    match &data_type.kind {
        TypeKind::Row(fields) => {
            let children = array.as_struct().columns();
            for (child, field) in children.iter().zip(fields) {
                descend(child.as_ref(), &field.data_type, field.data_type.nullable, slots.clone(), depth, leaf)?;
            }
            Ok(())
        }
        TypeKind::Array(element) => {
            let list = array.as_list::<i32>();
            let (slots, depth) = repeat(&slots, list.value_offsets(), depth);
            descend(list.values().as_ref(), element, element.nullable, slots, depth, leaf)
        }
        TypeKind::Map(_, value) => entries(array, Some(value), &slots, depth, &data_type.kind, leaf),
        TypeKind::Multiset(_) => entries(array, None, &slots, depth, &data_type.kind, leaf),
        kind => {
            if !nullable && slots.iter().any(|slot| slot.index != NONE && array.is_null(slot.index as usize)) {
                return Err(Error::data(
                    "java.lang.NullPointerException",
                    format!("a null where Parquet takes none: a field or a map key of type {data_type}"),
                ));
            }
            leaf(Leaf {
                array,
                kind,
                definition: (depth.definition > 0).then(|| slots.iter().map(|slot| slot.definition).collect()),
                repetition: (depth.repetition > 0).then(|| slots.iter().map(|slot| slot.repetition).collect()),
                indexes: slots.iter().map(|slot| slot.index).filter(|index| *index != NONE).collect(),
            })
        }
    }
}

/// The keys and the values of maps. Keys are never null; the counts of a multiset neither.
fn entries<'a>(
    array: &'a dyn Array,
    value: Option<&'a LogicalType>,
    slots: &[Slot],
    depth: Depth,
    kind: &'a TypeKind,
    leaf: &mut dyn FnMut(Leaf<'a>) -> Result<()>,
) -> Result<()> {
    static COUNT: LogicalType = LogicalType { kind: TypeKind::Int, nullable: false };
    let map = array.as_map();
    let (slots, depth) = repeat(slots, map.value_offsets(), depth);
    let (TypeKind::Map(key, _) | TypeKind::Multiset(key)) = kind else {
        return Err(Error::Plan("a map without a key type".into()));
    };
    let value = value.unwrap_or(&COUNT);
    descend(map.keys().as_ref(), key, false, slots.clone(), depth, leaf)?;
    descend(map.values().as_ref(), value, value.nullable, slots, depth, leaf)
}

/// One slot for each element of the lists.
fn repeat(slots: &[Slot], offsets: &[i32], depth: Depth) -> (Vec<Slot>, Depth) {
    let depth = Depth { definition: depth.definition + 1, repetition: depth.repetition + 1 };
    let mut elements = Vec::with_capacity(slots.len());
    for slot in slots {
        let range = match slot.index {
            NONE => 0..0,
            index => offsets[index as usize] as u32..offsets[index as usize + 1] as u32,
        };
        if range.is_empty() {
            elements.push(Slot { index: NONE, ..*slot });
            continue;
        }
        let first = range.start;
        elements.extend(range.map(|index| Slot {
            definition: slot.definition + 1,
            repetition: if index == first { slot.repetition } else { depth.repetition },
            index,
        }));
    }
    (elements, depth)
}
