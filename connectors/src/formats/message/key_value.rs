//! The options that say which formats and which columns the key and the value of a message have.
use wiesel_common::config::ConfigValue;
use wiesel_common::quote::quote;
use wiesel_expressions::types::RowField;
use wiesel_operators::operator::{Error, Result as TaskResult};

use super::deserializer::KeyValueDeserializer;
use super::serializer::KeyValueSerializer;
use crate::factory::ChangelogMode;
use crate::formats::Format;
use crate::options::{Options, Result, invalid, unparsable};

const FORMAT: &str = "format";
const KEY_FORMAT: &str = "key.format";
const VALUE_FORMAT: &str = "value.format";
const KEY_FIELDS: &str = "key.fields";
const KEY_FIELDS_PREFIX: &str = "key.fields-prefix";
const VALUE_FIELDS_INCLUDE: &str = "value.fields-include";

/// The formats of a table whose records are messages with a key and a value.
#[derive(Clone, Debug)]
pub struct KeyValueFormat {
    /// None: keys are neither read nor written.
    key: Option<Part>,
    value: Part,
}

/// The format of a key or a value.
#[derive(Clone, Debug)]
struct Part {
    format: Format,
    /// Where its columns stand among the physical ones.
    columns: Vec<usize>,
}

/// Whether a table is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Scan,
    Sink,
}

impl KeyValueFormat {
    /// The options that a connector has to support, those of the named formats (`key.json.*`) among them.
    pub fn options(options: Options<'_>) -> Vec<String> {
        let own = [FORMAT, KEY_FORMAT, VALUE_FORMAT, KEY_FIELDS, KEY_FIELDS_PREFIX, VALUE_FIELDS_INCLUDE];
        let mut supported = own.map(str::to_owned).to_vec();
        for (key, prefix) in [(FORMAT, ""), (KEY_FORMAT, "key."), (VALUE_FORMAT, "value.")] {
            supported.extend(options.text(key).map(|name| format!("{prefix}{name}.*")));
        }
        supported
    }

    /// Of a source with these physical columns.
    pub fn of_source(options: Options<'_>, physical: &[RowField]) -> Result<Self> {
        Self::new(options, physical, Use::Scan)
    }

    /// Of a sink with these physical columns.
    pub fn of_sink(options: Options<'_>, physical: &[RowField]) -> Result<Self> {
        Self::new(options, physical, Use::Sink)
    }

    fn new(options: Options<'_>, physical: &[RowField], purpose: Use) -> Result<Self> {
        let key_columns = key_columns(options, physical)?;
        let value_columns = value_columns(options, physical, &key_columns)?;
        let prefix = options.text(KEY_FIELDS_PREFIX).unwrap_or_default();
        let named = |columns: &[usize], prefix: &str| -> Vec<RowField> {
            let column = |index: &usize| {
                let RowField { name, data_type } = &physical[*index];
                RowField::new(name.strip_prefix(prefix).unwrap_or(name), data_type.clone())
            };
            columns.iter().map(column).collect()
        };
        let key = match options.text(KEY_FORMAT) {
            None => None,
            Some(name) => {
                let format = format(name, options, "key.", named(&key_columns, prefix), purpose)?;
                Some(Part { format, columns: key_columns })
            }
        };
        let (name, options_prefix) = match (options.text(FORMAT), options.text(VALUE_FORMAT)) {
            (Some(name), _) => (name, ""),
            (None, Some(name)) => (name, "value."),
            (None, None) => {
                let purpose = if purpose == Use::Scan { "scan" } else { "sink" };
                return invalid(format!("Could not find required {purpose} format '{VALUE_FORMAT}'."));
            }
        };
        let format = format(name, options, options_prefix, named(&value_columns, ""), purpose)?;
        Ok(Self { key, value: Part { format, columns: value_columns } })
    }

    /// Which changes the messages say: those of the values.
    pub fn changelog_mode(&self) -> ChangelogMode {
        self.value.format.changelog_mode()
    }

    /// What makes rows of messages. `wanted`: which of the physical columns they have. A column that key and value have is the value's.
    ///
    /// # Errors
    /// There is no such column.
    pub fn deserializer(&self, wanted: &[usize]) -> TaskResult<KeyValueDeserializer> {
        let (mut of_key, mut of_value, mut columns) = (Vec::new(), Vec::new(), Vec::with_capacity(wanted.len()));
        for column in wanted {
            let within = |part: &Part| part.columns.iter().position(|index| index == column);
            if let Some(index) = within(&self.value) {
                columns.push((false, of_value.len()));
                of_value.push(index);
            } else if let Some(index) = self.key.as_ref().and_then(within) {
                columns.push((true, of_key.len()));
                of_key.push(index);
            } else {
                return Err(Error::Plan(format!("neither the key nor the value of a message has column {column}")));
            }
        }
        let schema =
            |part: &Part, wanted: Vec<usize>| part.format.deserialization_schema(wanted).ok_or_else(no_messages);
        let key = self.key.as_ref().map(|key| schema(key, of_key)).transpose()?;
        Ok(KeyValueDeserializer::new(key, schema(&self.value, of_value)?, columns))
    }

    /// What makes messages of rows with all physical columns.
    ///
    /// # Errors
    /// A format without messages.
    pub fn serializer(&self) -> TaskResult<KeyValueSerializer> {
        let schema = |part: &Part| {
            let schema = part.format.serialization_schema().ok_or_else(no_messages)?;
            Ok::<_, Error>((schema, part.columns.clone()))
        };
        Ok(KeyValueSerializer::new(self.key.as_ref().map(schema).transpose()?, schema(&self.value)?))
    }
}

fn no_messages() -> Error {
    Error::Plan("a format that has no messages".into())
}

/// The columns of the key, by position among the physical ones.
fn key_columns(options: Options<'_>, physical: &[RowField]) -> Result<Vec<usize>> {
    let fields = match options.text(KEY_FIELDS) {
        None => None,
        Some(text) => Some(Vec::<String>::parse(text).map_err(|why| unparsable(KEY_FIELDS, text, why))?),
    };
    let fields = match (options.text(KEY_FORMAT), fields) {
        (None, Some(_)) => {
            return invalid(format!(
                "The option '{KEY_FIELDS}' can only be declared if a key format is defined using '{KEY_FORMAT}'."
            ));
        }
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(fields)) if !fields.is_empty() => fields,
        (Some(_), _) => {
            return invalid(format!(
                "A key format '{KEY_FORMAT}' requires the declaration of one or more of key fields using '{KEY_FIELDS}'."
            ));
        }
    };
    let prefix = options.text(KEY_FIELDS_PREFIX).unwrap_or_default();
    fields.iter().map(|field| key_column(field, prefix, physical)).collect()
}

fn key_column(field: &str, prefix: &str, physical: &[RowField]) -> Result<usize> {
    let Some(column) = physical.iter().position(|column| column.name == field) else {
        let known: Vec<&str> = physical.iter().map(|column| column.name.as_str()).collect();
        return invalid(format!(
            "Could not find the field '{}' in the table schema for usage in the key format. A key field must be a regular, physical \
             column. The following columns can be selected in the '{KEY_FIELDS}' option:\n[{}]",
            quote(field),
            known.join(", ")
        ));
    };
    if !field.starts_with(prefix) {
        return invalid(format!(
            "All fields in '{KEY_FIELDS}' must be prefixed with '{}' when option '{KEY_FIELDS_PREFIX}' is set but field '{field}' is \
             not prefixed.",
            quote(prefix)
        ));
    }
    Ok(column)
}

/// The columns of the value, by position among the physical ones.
fn value_columns(options: Options<'_>, physical: &[RowField], key: &[usize]) -> Result<Vec<usize>> {
    let all = 0..physical.len();
    match options.text(VALUE_FIELDS_INCLUDE).unwrap_or("ALL") {
        include if include.eq_ignore_ascii_case("ALL") => {
            if options.text(KEY_FIELDS_PREFIX).is_some_and(|prefix| !prefix.is_empty()) {
                return invalid(format!(
                    "A key prefix is not allowed when option '{VALUE_FIELDS_INCLUDE}' is set to 'ALL'. Set it to 'EXCEPT_KEY' instead \
                     to avoid field overlaps."
                ));
            }
            Ok(all.collect())
        }
        include if include.eq_ignore_ascii_case("EXCEPT_KEY") => {
            Ok(all.filter(|column| !key.contains(column)).collect())
        }
        other => Err(unparsable(VALUE_FIELDS_INCLUDE, other, "Expected one of [ALL, EXCEPT_KEY]")),
    }
}

/// The format of a part; its options begin with the part's prefix.
fn format(name: &str, options: Options<'_>, prefix: &str, columns: Vec<RowField>, purpose: Use) -> Result<Format> {
    let own = options.below(prefix);
    let format = Format::new(name, Options::new(&own), columns)?;
    if matches!(format, Format::Bulk(_)) {
        let interface = match purpose {
            Use::Scan => "DeserializationFormatFactory",
            Use::Sink => "SerializationFormatFactory",
        };
        return invalid(format!(
            "Could not find any factory for identifier '{name}' that implements 'org.apache.flink.table.factories.{interface}' in the \
             classpath: the format is one of files, not of messages."
        ));
    }
    Ok(format)
}
