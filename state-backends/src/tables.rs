//! The tables of a back end: their names, their types, and whether those are what a restored table has.
use std::ops::RangeInclusive;

use wiesel_proto as proto;
use wiesel_state::keyed::TableId;
use wiesel_state::{Error, Result};

/// Tables by number, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Tables {
    descriptors: Vec<proto::StateTableDescriptor>,
}

impl Tables {
    pub(crate) fn all(&self) -> &[proto::StateTableDescriptor] {
        &self.descriptors
    }

    pub(crate) fn get(&self, table: TableId) -> Result<&proto::StateTableDescriptor> {
        let found = self.descriptors.get(table.0 as usize);
        found.ok_or_else(|| Error::Backend(format!("there is no state table {}", table.0)))
    }

    /// The table of that name, and whether it is new. Of a table that is there its time-to-live may change.
    pub(crate) fn add(&mut self, descriptor: &proto::StateTableDescriptor, task: &str) -> Result<(TableId, bool)> {
        let known = self.descriptors.iter().position(|known| known.name == descriptor.name);
        let Some(index) = known else {
            self.descriptors.push(descriptor.clone());
            return Ok((TableId(self.descriptors.len() as u32 - 1), true));
        };
        check(&self.descriptors[index], descriptor, task)?;
        self.descriptors[index] = descriptor.clone();
        Ok((TableId(index as u32), false))
    }

    /// The tables of a handle that is restored.
    pub(crate) fn restore(&mut self, handle: &proto::KeyedStateHandle, task: &str) -> Result<()> {
        handle.tables.iter().try_for_each(|descriptor| self.add(descriptor, task).map(|_| ()))
    }

    pub(crate) fn row_format(&self, name: &str) -> Option<u32> {
        let known = self.descriptors.iter().find(|known| known.name == name);
        known.map(|known| known.row_format)
    }

    /// All rows of a table are in another encoding now.
    pub(crate) fn rewritten(&mut self, table: TableId, row_format: u32) -> Result<()> {
        let found = self.descriptors.get_mut(table.0 as usize);
        let found = found.ok_or_else(|| Error::Backend(format!("there is no state table {}", table.0)))?;
        found.row_format = row_format;
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<TableId> {
        self.descriptors.iter().position(|known| known.name == name).map(|index| TableId(index as u32))
    }
}

/// Whether a table can be read as what it is asked for as.
fn check(kept: &proto::StateTableDescriptor, asked: &proto::StateTableDescriptor, task: &str) -> Result<()> {
    let differs = |what: &str, kept: String, asked_as: String| {
        let name = &asked.name;
        Err(Error::Incompatible(format!(
            "the state '{name}' of {task} does not fit: its {what} was kept as {kept} and is asked for as {asked_as}; \
             start without this state or give the query back its types"
        )))
    };
    for (what, kept, asked) in [("key", &kept.key, &asked.key), ("value", &kept.value, &asked.value)] {
        if !same_types(fields(kept), fields(asked)) {
            return differs(what, shown(fields(kept)), shown(fields(asked)));
        }
    }
    if kept.row_format != asked.row_format {
        return Err(Error::Incompatible(format!(
            "the rows of the state '{}' of {task} are in version {} of their encoding and are asked for in version {}: \
             start without this state or with a release of Wiesel that has this version",
            asked.name, kept.row_format, asked.row_format
        )));
    }
    if (kept.ttl == 0) != (asked.ttl == 0) {
        let ttl = |ttl: u64| if ttl == 0 { "without time-to-live" } else { "with a time-to-live" }.to_owned();
        return differs("value", ttl(kept.ttl), ttl(asked.ttl));
    }
    Ok(())
}

fn fields(schema: &Option<proto::Schema>) -> &[proto::Field] {
    schema.as_ref().map_or(&[], |schema| &schema.fields)
}

/// Names, nullability and time attributes may change: they are not in the bytes.
fn same_types(one: &[proto::Field], other: &[proto::Field]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_type(&one.r#type, &other.r#type))
}

fn same_type(one: &Option<proto::DataType>, other: &Option<proto::DataType>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            (one.root, one.precision, one.scale, &one.resolution)
                == (other.root, other.precision, other.scale, &other.resolution)
                && same_types(&one.children, &other.children)
        }
        _ => one.is_none() == other.is_none(),
    }
}

fn shown(fields: &[proto::Field]) -> String {
    let one = |field: &proto::Field| match &field.r#type {
        None => "?".to_owned(),
        Some(of) if !of.children.is_empty() => format!("{}{}", of.root().as_str_name(), shown(&of.children)),
        Some(of) if of.precision == 0 && of.scale == 0 => of.root().as_str_name().to_owned(),
        Some(of) => format!("{}({}, {})", of.root().as_str_name(), of.precision, of.scale),
    };
    format!("({})", fields.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The key group that a key begins with.
pub(crate) fn key_group(key: &[u8]) -> Result<u16> {
    let group = key.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
    group.ok_or_else(|| Error::Backend("a key of a state table has no key group".to_owned()))
}

/// The key groups of a handle.
pub(crate) fn range(handle: &proto::KeyedStateHandle) -> Result<RangeInclusive<u16>> {
    let bound = |bound: u32| {
        let message = || Error::Corrupt(format!("a state handle names the key group {bound}: the largest is 65535"));
        u16::try_from(bound).map_err(|_| message())
    };
    Ok(bound(handle.first_key_group)?..=bound(handle.last_key_group)?)
}

/// What two ranges share.
pub(crate) fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> Option<RangeInclusive<u16>> {
    let (first, last) = (*one.start().max(other.start()), *one.end().min(other.end()));
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(root: proto::TypeRoot, precision: i32, nullable: bool) -> proto::Field {
        let of = proto::DataType { root: root.into(), precision, nullable, ..Default::default() };
        proto::Field { name: format!("f{nullable}"), r#type: Some(of) }
    }

    fn table(key: proto::Field, ttl: u64) -> proto::StateTableDescriptor {
        let schema = proto::Schema { fields: vec![key] };
        let (name, key, value) = ("t".into(), Some(schema.clone()), Some(schema));
        proto::StateTableDescriptor { name, key, value, ttl, row_format: 1 }
    }

    #[test]
    fn a_table_keeps_its_types() {
        let mut tables = Tables::default();
        let bigint = |nullable| field(proto::TypeRoot::Bigint, 0, nullable);
        assert_eq!(tables.add(&table(bigint(true), 5), "x").unwrap(), (TableId(0), true));
        assert_eq!(tables.add(&table(bigint(false), 6), "x").unwrap(), (TableId(0), false));
        assert_eq!(tables.get(TableId(0)).unwrap().ttl, 6);
        let text = |error: Error| error.to_string();
        let other = tables.add(&table(field(proto::TypeRoot::Varchar, 3, true), 6), "x").map_err(text).unwrap_err();
        assert!(
            other.contains("'t' of x") && other.contains("(BIGINT)") && other.contains("(VARCHAR(3, 0))"),
            "{other}"
        );
        let ttl = tables.add(&table(bigint(true), 0), "x").map_err(text).unwrap_err();
        assert!(ttl.contains("without time-to-live"), "{ttl}");
    }

    /// Neither are rows of two encodings in one table, nor is one of another release taken for this one's.
    #[test]
    fn a_table_keeps_the_encoding_of_its_rows() {
        let mut tables = Tables::default();
        let now = table(field(proto::TypeRoot::Bigint, 0, true), 0);
        let versions = |row_format| proto::StateTableDescriptor { row_format, ..now.clone() };
        let (kept, _) = tables.add(&versions(0), "x").unwrap();
        assert_eq!((tables.row_format("t"), tables.row_format("u")), (Some(0), None));
        for (asked, shown) in [(1, "version 0 of their encoding"), (7, "asked for in version 7")] {
            let error = tables.add(&versions(asked), "x").unwrap_err().to_string();
            assert!(error.contains("'t' of x") && error.contains(shown), "{error}");
        }
        tables.rewritten(kept, 1).unwrap();
        assert_eq!(tables.add(&now, "x").unwrap(), (kept, false));
        assert!(tables.add(&versions(0), "x").is_err() && tables.rewritten(TableId(1), 1).is_err());
    }
}
