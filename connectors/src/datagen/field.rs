//! What fills a field: the `fields.#` options, checked against its type.
use wiesel_common::quote::quote;
use wiesel_expressions::expression::MAX_VALUE_BYTES;
use wiesel_expressions::types::{LogicalType, MAX_LENGTH, RowField, TypeKind};

use crate::options::{Options, Result, invalid};

/// How the values of a field are made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Of which type.
    pub(crate) data_type: LogicalType,
    /// How likely a value is null.
    pub(crate) null_rate: f32,
    /// What the values are.
    pub(crate) values: Values,
}

impl Field {
    /// The bytes that a value may take, at most.
    pub(crate) fn most_bytes(&self) -> usize {
        let times = |length: usize, bytes: usize| length.saturating_mul(bytes).saturating_add(4);
        match &self.values {
            Values::Boolean => 1,
            Values::Sequence(_) | Values::Integer(..) | Values::Float(..) | Values::Now(_) => 32,
            Values::Text(length) | Values::Bytes(length) => length.most.saturating_add(16),
            Values::Row(fields) => fields.iter().map(Self::most_bytes).fold(1, usize::saturating_add),
            Values::Array(element, length) => times(*length, element.most_bytes()),
            Values::Map(key, value, length) => times(*length, key.most_bytes().saturating_add(value.most_bytes())),
        }
    }
}

/// The values of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Whole numbers, one after the other, as the field's type.
    Sequence(Sequence),
    /// True or false.
    Boolean,
    /// Between two whole numbers, both included.
    Integer(i64, i64),
    /// Between two numbers.
    Float(f64, f64),
    /// Hexadecimal digits.
    Text(Length),
    /// Bytes.
    Bytes(Length),
    /// Now (DATE, TIME, TIMESTAMP), up to so many milliseconds ago.
    Now(u64),
    /// A ROW.
    Row(Vec<Field>),
    /// An ARRAY of so many elements.
    Array(Box<Field>, usize),
    /// A MAP of so many entries, or a MULTISET with counts from 0 to 10.
    Map(Box<Field>, Box<Field>, usize),
}

/// How long a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    /// At most.
    pub(crate) most: usize,
    /// Any length from 1.
    pub(crate) varies: bool,
}

/// Whole numbers from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// The first.
    pub(crate) start: i64,
    /// How many.
    pub(crate) count: u64,
}

const DEFAULT_LENGTH: u32 = 100;
const DEFAULT_ELEMENTS: i64 = 3;

/// Reads the options of fields and remembers which there are.
pub(crate) struct FieldOptions<'a> {
    pub(crate) options: Options<'a>,
    pub(crate) supported: Vec<String>,
}

impl FieldOptions<'_> {
    /// What fills a column of the table.
    pub(crate) fn column(&mut self, column: &RowField) -> Result<Field> {
        let prefix = format!("fields.{}", column.name);
        let kind = self.key(&prefix, "kind");
        match self.options.text(&kind).unwrap_or("random") {
            "random" => self.random(&column.name, &prefix, &column.data_type),
            "sequence" => self.sequence(&prefix, &column.data_type),
            other => invalid(format!("Unsupported generator kind: {}", quote(other))),
        }
    }

    /// Declares an option.
    fn key(&mut self, prefix: &str, name: &str) -> String {
        let key = format!("{prefix}.{name}");
        self.supported.push(key.clone());
        key
    }

    fn sequence(&mut self, prefix: &str, data_type: &LogicalType) -> Result<Field> {
        match &data_type.kind {
            TypeKind::Boolean | TypeKind::Date | TypeKind::Time(_) => return self.plain(data_type),
            TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Binary(_) | TypeKind::Varbinary(_) => {}
            TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint => {}
            TypeKind::Float | TypeKind::Double | TypeKind::Decimal(..) => {}
            _ => return invalid(format!("Unsupported type: {data_type}")),
        }
        let mut bound = |name: &str| -> Result<i64> {
            let key = self.key(prefix, name);
            match self.options.number(&key)? {
                Some(bound) => Ok(bound),
                None => invalid(format!("Could not find required property '{key}' for sequence generator.")),
            }
        };
        // Both bounds are values of the field's type: one that is too large wraps around.
        let narrow = |bound: i64| match data_type.kind {
            TypeKind::Tinyint => i64::from(bound as i8),
            TypeKind::Smallint => i64::from(bound as i16),
            TypeKind::Int => i64::from(bound as i32),
            _ => bound,
        };
        let (start, end) = (narrow(bound("start")?), narrow(bound("end")?));
        let count = end.wrapping_sub(start).wrapping_add(1).unsigned_abs();
        let values = Values::Sequence(Sequence { start, count });
        Ok(Field { data_type: data_type.clone(), null_rate: 0.0, values })
    }

    /// Types that take no options.
    fn plain(&mut self, data_type: &LogicalType) -> Result<Field> {
        let values = match &data_type.kind {
            TypeKind::Boolean => Values::Boolean,
            _ => Values::Now(0),
        };
        Ok(Field { data_type: data_type.clone(), null_rate: 0.0, values })
    }

    fn random(&mut self, name: &str, prefix: &str, data_type: &LogicalType) -> Result<Field> {
        let fixed = matches!(data_type.kind, TypeKind::Char(_) | TypeKind::Binary(_));
        let varies = matches!(data_type.kind, TypeKind::Varchar(_) | TypeKind::Varbinary(_));
        if fixed && self.options.text(&format!("{prefix}.length")).is_some() {
            return invalid(format!(
                "Custom length for fixed-length type (CHAR/BINARY) field '{name}' is not supported."
            ));
        }
        if !varies && self.options.boolean(&format!("{prefix}.var-len"), false)? {
            return invalid(format!(
                "Only supports specifying 'var-len' option for variable-length types (VARCHAR/STRING/VARBINARY/BYTES). The \
                 type of field '{name}' is not within this range."
            ));
        }
        let mut null_rate = 0.0;
        if !matches!(data_type.kind, TypeKind::Binary(_) | TypeKind::Varbinary(_) | TypeKind::Date | TypeKind::Time(_))
        {
            let key = self.key(prefix, "null-rate");
            null_rate = self.options.number(&key)?.unwrap_or(0.0);
        }
        let values = match &data_type.kind {
            TypeKind::Boolean => Values::Boolean,
            TypeKind::Tinyint => self.integers::<i8>(prefix, i8::MIN, i8::MAX)?,
            TypeKind::Smallint => self.integers::<i16>(prefix, i16::MIN, i16::MAX)?,
            TypeKind::Int => self.integers::<i32>(prefix, i32::MIN, i32::MAX)?,
            TypeKind::Bigint => self.integers::<i64>(prefix, i64::MIN, i64::MAX)?,
            TypeKind::Float => self.floats(prefix, f64::from(f32::MAX))?,
            TypeKind::Double => self.floats(prefix, f64::MAX)?,
            TypeKind::Decimal(precision, scale) => {
                self.floats(prefix, 10f64.powi(i32::from(*precision) - i32::from(*scale)))?
            }
            TypeKind::Char(length) => Values::Text(Length { most: within(name, *length)?, varies: false }),
            TypeKind::Binary(length) => Values::Bytes(Length { most: within(name, *length)?, varies: false }),
            TypeKind::Varchar(length) => Values::Text(self.length(name, prefix, *length)?),
            TypeKind::Varbinary(length) => Values::Bytes(self.length(name, prefix, *length)?),
            TypeKind::Date | TypeKind::Time(_) => Values::Now(0),
            TypeKind::Timestamp(..) | TypeKind::TimestampLtz(..) => {
                let key = self.key(prefix, "max-past");
                Values::Now(self.options.duration(&key)?.unwrap_or(0))
            }
            TypeKind::Row(fields) => {
                let fields = fields.iter().map(|field| {
                    self.random(
                        &format!("{name}.{}", field.name),
                        &format!("{prefix}.{}", field.name),
                        &field.data_type,
                    )
                });
                Values::Row(fields.collect::<Result<_>>()?)
            }
            TypeKind::Array(element) => {
                let length = self.elements(prefix)?;
                Values::Array(self.child(name, prefix, "element", element)?, length)
            }
            TypeKind::Multiset(element) => {
                let length = self.elements(prefix)?;
                let counts =
                    Field { data_type: TypeKind::Int.not_null(), null_rate: 0.0, values: Values::Integer(0, 10) };
                Values::Map(self.child(name, prefix, "element", element)?, Box::new(counts), length)
            }
            TypeKind::Map(key, value) => {
                let length = self.elements(prefix)?;
                let key = self.child(name, prefix, "key", key)?;
                Values::Map(key, self.child(name, prefix, "value", value)?, length)
            }
            _ => return invalid(format!("Unsupported type: {data_type}")),
        };
        Ok(Field { data_type: data_type.clone(), null_rate, values })
    }

    fn child(&mut self, name: &str, prefix: &str, part: &str, data_type: &LogicalType) -> Result<Box<Field>> {
        Ok(Box::new(self.random(&format!("{name}.{part}"), &format!("{prefix}.{part}"), data_type)?))
    }

    fn integers<T: std::str::FromStr + Into<i64>>(&mut self, prefix: &str, least: T, most: T) -> Result<Values> {
        let options = self.options;
        let least = options.number::<T>(&self.key(prefix, "min"))?.unwrap_or(least).into();
        let most = options.number::<T>(&self.key(prefix, "max"))?.unwrap_or(most).into();
        if least > most {
            return invalid(format!("lower bound ({least}) must be strictly less than upper bound ({most})"));
        }
        Ok(Values::Integer(least, most))
    }

    fn floats(&mut self, prefix: &str, largest: f64) -> Result<Values> {
        let options = self.options;
        let least = options.number::<f64>(&self.key(prefix, "min"))?.unwrap_or(0.0);
        let most = options.number::<f64>(&self.key(prefix, "max"))?.unwrap_or(largest);
        if least > most || !least.is_finite() || !most.is_finite() {
            return invalid(format!("lower bound ({least}) must be strictly less than upper bound ({most})"));
        }
        Ok(Values::Float(least, most))
    }

    fn length(&mut self, name: &str, prefix: &str, declared: u32) -> Result<Length> {
        let options = self.options;
        let varies = options.boolean(&self.key(prefix, "var-len"), false)?;
        let most = match options.number::<i32>(&self.key(prefix, "length"))? {
            None => declared.min(DEFAULT_LENGTH),
            Some(length) if i64::from(length) > i64::from(declared) && declared != MAX_LENGTH => {
                return invalid(format!(
                    "Custom length '{length}' for variable-length type (VARCHAR/STRING/VARBINARY/BYTES) field '{name}' \
                     should be shorter than '{declared}' defined in the schema."
                ));
            }
            Some(length) => match u32::try_from(length) {
                Ok(length) if length > 0 || !varies => length,
                _ => return invalid(format!("Custom length '{length}' of field '{name}' must be a positive number.")),
            },
        };
        Ok(Length { most: within(name, most)?, varies })
    }

    fn elements(&mut self, prefix: &str) -> Result<usize> {
        let key = self.key(prefix, "length");
        let length = self.options.number::<i32>(&key)?.map_or(DEFAULT_ELEMENTS, i64::from);
        match usize::try_from(length) {
            Ok(length) => Ok(length),
            Err(_) => invalid(format!("Option '{key}' must not be negative, but was: {length}")),
        }
    }
}

/// The length of a field's values, which a single value must be able to have.
fn within(name: &str, length: u32) -> Result<usize> {
    if length as usize <= MAX_VALUE_BYTES {
        return Ok(length as usize);
    }
    invalid(format!(
        "The values of field '{name}' would have {length} bytes: a single value may have at most {MAX_VALUE_BYTES}. Set \
         'fields.{name}.length', or give the field a shorter type."
    ))
}
