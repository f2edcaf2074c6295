//! Tables and views as the statements that make them.
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::{MetadataColumn, ResolvedColumnKind, ResolvedTable, ResolvedView};

/// A name as a statement has it whatever its characters are.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A type as it is written in a statement: `VARCHAR(2147483647)`, not `STRING`.
fn type_text(data_type: &LogicalType) -> String {
    let kind = match &data_type.kind {
        TypeKind::Varchar(length) => format!("VARCHAR({length})"),
        TypeKind::Varbinary(length) => format!("VARBINARY({length})"),
        TypeKind::TimestampLtz(precision, _) => format!("TIMESTAMP({precision}) WITH LOCAL TIME ZONE"),
        TypeKind::Array(element) => format!("ARRAY<{}>", type_text(element)),
        TypeKind::Multiset(element) => format!("MULTISET<{}>", type_text(element)),
        TypeKind::Map(key, value) => format!("MAP<{}, {}>", type_text(key), type_text(value)),
        TypeKind::Row(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", quote(&field.name), type_text(&field.data_type)));
            format!("ROW<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        TypeKind::Structured(class, fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", quote(&field.name), type_text(&field.data_type)));
            format!("STRUCTURED<'{class}', {}>", fields.collect::<Vec<_>>().join(", "))
        }
        kind => kind.to_string(),
    };
    if data_type.nullable { kind } else { format!("{kind} NOT NULL") }
}

fn comment_text(comment: Option<&String>) -> String {
    comment.map_or_else(String::new, |comment| format!(" COMMENT {}", literal(comment)))
}

/// `METADATA FROM 'key' VIRTUAL`.
pub(crate) fn metadata_text(column: &MetadataColumn) -> String {
    let from = column.from.as_ref().map_or_else(String::new, |key| format!(" FROM {}", literal(key)));
    let is_virtual = if column.is_virtual { " VIRTUAL" } else { "" };
    format!("METADATA{from}{is_virtual}")
}

/// The statement that makes a table.
pub(crate) fn show_create_table(table: &ResolvedTable, temporary: bool) -> String {
    let mut lines = Vec::new();
    for column in &table.columns {
        let name = quote(&column.field.name);
        let what = match &column.kind {
            ResolvedColumnKind::Physical(_) => type_text(&column.field.data_type),
            ResolvedColumnKind::Metadata(index) => {
                format!("{} {}", type_text(&column.field.data_type), metadata_text(&table.metadata[*index]))
            }
            ResolvedColumnKind::Computed(_) => format!("AS {}", column.text.as_deref().unwrap_or_default()),
        };
        lines.push(format!("  {name} {what}{}", comment_text(column.comment.as_ref())));
    }
    if let (Some((rowtime, _)), Some(text)) = (&table.watermark, &table.watermark_text) {
        lines.push(format!("  WATERMARK FOR {} AS {text}", quote(&table.columns[*rowtime].field.name)));
    }
    if !table.primary_key.is_empty() {
        let names: Vec<&str> =
            table.primary_key.iter().map(|index| table.columns[*index].field.name.as_str()).collect();
        let key: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let constraint = quote(&format!("PK_{}", names.join("_")));
        lines.push(format!("  CONSTRAINT {constraint} PRIMARY KEY ({}) NOT ENFORCED", key.join(", ")));
    }
    let temporary = if temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}TABLE {} (\n{}\n)\n", table.identifier.serializable(), lines.join(",\n"));
    if let Some(comment) = &table.comment {
        text.push_str(&format!("COMMENT {}\n", literal(comment)));
    }
    if !table.partition_keys.is_empty() {
        let keys: Vec<String> = table.partition_keys.iter().map(|key| quote(key)).collect();
        text.push_str(&format!("PARTITIONED BY ({})\n", keys.join(", ")));
    }
    let shown = |key: &str, value: &str| {
        if wiesel_common::config::is_secret(key) { wiesel_common::config::HIDDEN.to_owned() } else { value.to_owned() }
    };
    let options =
        table.options.iter().map(|(key, value)| format!("  {} = {}", literal(key), literal(&shown(key, value))));
    text.push_str(&format!("WITH (\n{}\n)\n", options.collect::<Vec<_>>().join(",\n")));
    text
}

/// The statement that makes a view of this query.
pub(crate) fn show_create_view(view: &ResolvedView, query: &str, temporary: bool) -> String {
    let columns: Vec<String> = view.columns.iter().map(|column| format!("  {}", quote(&column.name))).collect();
    let temporary = if temporary { "TEMPORARY " } else { "" };
    let comment = view.comment.as_ref().map_or_else(String::new, |text| format!("COMMENT {}\n", literal(text)));
    format!(
        "CREATE {temporary}VIEW {} (\n{}\n)\n{comment}AS {query}\n",
        view.identifier.serializable(),
        columns.join(",\n")
    )
}
