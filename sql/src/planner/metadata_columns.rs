//! Metadata columns: what a table declares, and what its connector has of it.
use std::sync::Arc;

use wiesel_connectors::factory::{SinkDescription, SourceDescription};
use wiesel_expressions::types::RowField;

use crate::catalog::{MetadataColumn, ResolvedTable};
use crate::error::{Error, Result};
use crate::functions::cast::{can_cast, cast_to, plain};
use crate::rel::{LogicalProject, Rel, RelNode, SourceColumns};
use crate::rex::Expression;

/// What a connector can give of a table.
pub(super) struct Reading {
    pub given: Arc<SourceColumns>,
    /// Where each metadata column of the table stands in it.
    pub places: Vec<usize>,
}

/// What the connector of a table can give of it. Metadata is what the connector says that it is: it is cast behind the source.
///
/// # Errors
/// The connector does not have what the table declares.
pub(super) fn reading(table: &ResolvedTable, source: &SourceDescription) -> Result<Reading> {
    if !table.metadata.is_empty() && source.metadata.is_empty() {
        return Err(invalid(format!(
            "Table '{}' declares metadata columns, but the underlying DynamicTableSource doesn't implement the \
             SupportsReadingMetadata interface. Therefore, metadata cannot be read from the given source.",
            table.identifier
        )));
    }
    let mut fields = table.physical.clone();
    let physical = fields.len();
    fields.extend(source.metadata.iter().cloned());
    let mut places = Vec::with_capacity(table.metadata.len());
    for column in &table.metadata {
        let place = physical + key_of(table, column, &source.metadata, "DynamicTableSource", "reading")?;
        let (had, wanted) = (&fields[place].data_type, &column.field.data_type);
        if !can_cast(&had.kind, &wanted.kind) {
            return Err(uncastable(table, column, "castable from", &had.to_string()));
        }
        let is_same = plain(&had.kind) == plain(&wanted.kind);
        fields[place] = RowField::new(&column.field.name, if is_same { wanted.clone() } else { had.clone() });
        places.push(place);
    }
    let keys = source.metadata.iter().map(|field| field.name.clone()).collect();
    Ok(Reading { given: Arc::new(SourceColumns { fields, keys }), places })
}

/// What a source gives as the table declares it.
pub(super) fn declared(source: Rel, fields: Vec<RowField>) -> Rel {
    let is_same =
        |(given, declared): (&RowField, &RowField)| plain(&given.data_type.kind) == plain(&declared.data_type.kind);
    if source.fields.iter().zip(&fields).all(is_same) {
        return source;
    }
    let inputs = source.fields.iter().enumerate();
    let inputs = inputs.map(|(index, field)| Expression::input(index, field.data_type.clone()));
    let expressions = inputs.zip(&fields).map(|(input, declared)| {
        let value = cast_to(input, &declared.data_type.kind);
        Expression { node: value.node, data_type: declared.data_type.clone() }
    });
    let expressions = expressions.collect();
    Rel { node: RelNode::Project(LogicalProject { input: Box::new(source), expressions }), fields }
}

/// The rows that a sink gets: the physical columns, then metadata in the connector's order and as it has it.
pub(super) struct Writing {
    pub expressions: Vec<Expression>,
    pub fields: Vec<RowField>,
    /// The keys of the metadata.
    pub keys: Vec<String>,
    /// The columns of metadata that are declared NOT NULL.
    pub not_null: Vec<usize>,
}

/// What a sink gets of an INSERT with these columns: the physical ones, then the metadata columns that are written. None: it gets
/// them as they are, for there is no metadata among them.
///
/// # Errors
/// The connector does not have what the table declares.
pub(super) fn writing(table: &ResolvedTable, sink: &SinkDescription, input: &[RowField]) -> Result<Option<Writing>> {
    let order = written(table, sink)?;
    if order.is_empty() {
        return Ok(None);
    }
    let physical = table.physical.len();
    let mut writing = Writing { expressions: Vec::new(), fields: Vec::new(), keys: Vec::new(), not_null: Vec::new() };
    let column = |index: usize| Expression::input(index, input[index].data_type.clone());
    for (index, field) in input.iter().enumerate().take(physical) {
        writing.expressions.push(column(index));
        writing.fields.push(field.clone());
    }
    for (key, number) in order {
        let taken = &sink.metadata[key];
        let value = cast_to(column(physical + number), &taken.data_type.kind);
        let is_declared = table.metadata.iter().filter(|column| !column.is_virtual).nth(number);
        if is_declared.is_some_and(|column| !column.field.data_type.nullable) || !taken.data_type.nullable {
            writing.not_null.push(writing.fields.len());
        }
        writing.fields.push(RowField::new(&input[physical + number].name, value.data_type.clone()));
        writing.expressions.push(value);
        writing.keys.push(taken.name.clone());
    }
    Ok(Some(writing))
}

/// The metadata that is written, in the connector's order: its place there, and the number of the column among those written.
pub(super) fn written(table: &ResolvedTable, sink: &SinkDescription) -> Result<Vec<(usize, usize)>> {
    let persisted: Vec<&MetadataColumn> = table.metadata.iter().filter(|column| !column.is_virtual).collect();
    if !persisted.is_empty() && sink.metadata.is_empty() {
        return Err(invalid(format!(
            "Table '{}' declares persistable metadata columns, but the underlying DynamicTableSink doesn't implement the \
             SupportsWritingMetadata interface. If the column should not be persisted, it can be declared with the VIRTUAL keyword.",
            table.identifier
        )));
    }
    let mut order = Vec::with_capacity(persisted.len());
    for (number, column) in persisted.into_iter().enumerate() {
        let key = key_of(table, column, &sink.metadata, "DynamicTableSink", "writing")?;
        let taken = &sink.metadata[key].data_type;
        if !can_cast(&column.field.data_type.kind, &taken.kind) {
            return Err(uncastable(table, column, "castable to", &taken.to_string()));
        }
        order.push((key, number));
    }
    order.sort_unstable();
    Ok(order)
}

/// Where the connector has the key of a column.
fn key_of(
    table: &ResolvedTable,
    column: &MetadataColumn,
    known: &[RowField],
    interface: &str,
    purpose: &str,
) -> Result<usize> {
    known.iter().position(|field| field.name == column.key()).ok_or_else(|| {
        let connector = table.options.get("connector").map_or("", String::as_str);
        let keys: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
        invalid(format!(
            "Invalid metadata key '{}' in column '{}' of table '{}'. The {interface} '{connector}' supports the following metadata \
             keys for {purpose}:\n{}",
            column.key(),
            column.field.name,
            table.identifier,
            keys.join("\n")
        ))
    })
}

fn uncastable(table: &ResolvedTable, column: &MetadataColumn, how: &str, data_type: &str) -> Error {
    let name = &column.field.name;
    let key = match column.key() == name {
        true => String::new(),
        false => format!(" with metadata key '{}'", column.key()),
    };
    invalid(format!(
        "Invalid data type for metadata column '{name}'{key} of table '{}'. The column cannot be declared as '{}' because the type \
         must be {how} metadata type '{data_type}'.",
        table.identifier, column.field.data_type
    ))
}

fn invalid(message: String) -> Error {
    Error::validation(message, None)
}

#[cfg(test)]
mod tests {
    use wiesel_connectors::factory::ChangelogMode;
    use wiesel_expressions::types::{TimeAttribute, TypeKind};

    use super::*;
    use crate::catalog::ObjectIdentifier;

    /// A table of an INT with these metadata columns: name, key, type, whether it is virtual.
    fn table(metadata: &[(&str, &str, TypeKind, bool)]) -> ResolvedTable {
        let [catalog, database, object] = ["c", "d", "t"].map(str::to_owned);
        let column = |(name, key, kind, is_virtual): &(&str, &str, TypeKind, bool)| MetadataColumn {
            field: RowField::new(*name, kind.clone().nullable()),
            from: Some((*key).to_owned()),
            is_virtual: *is_virtual,
        };
        ResolvedTable {
            identifier: ObjectIdentifier { catalog, database, object },
            columns: Vec::new(),
            physical: vec![RowField::new("id", TypeKind::Int.nullable())],
            metadata: metadata.iter().map(column).collect(),
            watermark: None,
            watermark_text: None,
            primary_key: Vec::new(),
            partition_keys: Vec::new(),
            options: [("connector".to_owned(), "queue".to_owned())].into(),
            comment: None,
        }
    }

    /// A sink of messages: it takes a time and a text.
    fn sink() -> SinkDescription {
        let time = TypeKind::TimestampLtz(3, TimeAttribute::Regular);
        SinkDescription {
            parallelism: None,
            changelog: ChangelogMode::InsertOnly,
            metadata: vec![
                RowField::new("note", TypeKind::string().not_null()),
                RowField::new("timestamp", time.nullable()),
            ],
        }
    }

    #[test]
    fn a_sink_gets_metadata_in_its_order_and_with_its_types() {
        let time = TypeKind::Timestamp(3, TimeAttribute::Regular);
        let table = table(&[
            ("ts", "timestamp", time.clone(), false),
            ("offset", "offset", TypeKind::Bigint, true),
            ("remark", "note", TypeKind::string(), false),
        ]);
        let input = [("id", TypeKind::Int), ("ts", time), ("remark", TypeKind::string())];
        let input = input.map(|(name, kind)| RowField::new(name, kind.nullable()));
        let writing = writing(&table, &sink(), &input).unwrap().unwrap();
        assert_eq!(writing.keys, ["note", "timestamp"]);
        let fields: Vec<String> =
            writing.fields.iter().map(|field| format!("{} {}", field.name, field.data_type)).collect();
        assert_eq!(fields, ["id INT", "remark STRING", "ts TIMESTAMP_LTZ(3)"]);
        assert_eq!(writing.expressions[1], Expression::input(2, TypeKind::string().nullable()));
        assert_eq!(writing.expressions[2], {
            let ts = Expression::input(1, input[1].data_type.clone());
            cast_to(ts, &TypeKind::TimestampLtz(3, TimeAttribute::Regular))
        });
        assert_eq!(writing.not_null, [1]);
    }

    #[test]
    fn metadata_that_a_sink_does_not_have_is_refused() {
        let refused = |columns: &[(&str, &str, TypeKind, bool)]| {
            written(&table(columns), &sink()).err().map_or_else(String::new, |error| error.message().to_owned())
        };
        assert_eq!(refused(&[("x", "offset", TypeKind::Bigint, true)]), "");
        let words = "Invalid metadata key 'offset' in column 'x' of table 'c.d.t'. The DynamicTableSink 'queue' supports the following \
                     metadata keys for writing:\nnote\ntimestamp";
        assert_eq!(refused(&[("x", "offset", TypeKind::Bigint, false)]), words);
        let words = "Invalid data type for metadata column 'x' with metadata key 'timestamp' of table 'c.d.t'. The column cannot be \
                     declared as 'BOOLEAN' because the type must be castable to metadata type 'TIMESTAMP_LTZ(3)'.";
        assert_eq!(refused(&[("x", "timestamp", TypeKind::Boolean, false)]), words);
    }
}
