//! Flink's logical types, and the Arrow types that hold their values.
//!
//! | Flink | Arrow |
//! | --- | --- |
//! | `CHAR(n)`, `VARCHAR(n)`, `STRING` | `Utf8View` |
//! | `BINARY(n)`, `VARBINARY(n)`, `BYTES` | `BinaryView` |
//! | `DECIMAL(p, s)` | `Decimal128(p, s)` |
//! | `DATE`, `TIME(p)` | `Date32`, `Time32(Millisecond)` |
//! | `TIMESTAMP(p)` | `Timestamp(unit, None)`: milliseconds for p ≤ 3, microseconds for p ≤ 6, else nanoseconds |
//! | `TIMESTAMP_LTZ(p)` | the same with zone `UTC` |
//! | `INTERVAL` year to month, day to second | `Interval(YearMonth)`, `Duration(Millisecond)` |
//! | `ARRAY`, `MAP`, `MULTISET` | `List`, `Map`, `Map` to `Int32` |
//! | `ROW`, `STRUCTURED` | `Struct` |
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{
    DataType as ArrowType, Field as ArrowField, Fields, IntervalUnit, Schema as ArrowSchema, SchemaRef, TimeUnit,
};
use wiesel_proto as proto;

/// The length of `STRING` and `BYTES`.
pub const MAX_LENGTH: u32 = i32::MAX as u32;

/// What a timestamp that does not fit its type is told: those of more than six digits count nanoseconds in 64 bits.
pub const TIMESTAMP_RANGE: &str =
    "TIMESTAMP(7) to TIMESTAMP(9) reach from 1677-09-21 to 2262-04-11, those of at most six digits farther";

/// Whether a timestamp is a time attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// A plain value.
    #[default]
    Regular,
    /// Event time.
    Rowtime,
    /// Processing time.
    Proctime,
}

/// A logical type with its nullability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogicalType {
    /// What kind of value.
    pub kind: TypeKind,
    /// Whether null is one of the values.
    pub nullable: bool,
}

/// A logical type without its nullability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// `CHAR(n)`.
    Char(u32),
    /// `VARCHAR(n)`; `STRING` with [`MAX_LENGTH`].
    Varchar(u32),
    /// `BOOLEAN`.
    Boolean,
    /// `BINARY(n)`.
    Binary(u32),
    /// `VARBINARY(n)`; `BYTES` with [`MAX_LENGTH`].
    Varbinary(u32),
    /// `DECIMAL(precision, scale)`.
    Decimal(u8, i8),
    /// `TINYINT`.
    Tinyint,
    /// `SMALLINT`.
    Smallint,
    /// `INT`.
    Int,
    /// `BIGINT`.
    Bigint,
    /// `FLOAT`.
    Float,
    /// `DOUBLE`.
    Double,
    /// `DATE`.
    Date,
    /// `TIME(precision)`.
    Time(u8),
    /// `TIMESTAMP(precision)`.
    Timestamp(u8, TimeAttribute),
    /// `TIMESTAMP_LTZ(precision)`.
    TimestampLtz(u8, TimeAttribute),
    /// `INTERVAL` of years and months, with its resolution as Flink prints it (`YEAR(2) TO MONTH`, `MONTH`).
    IntervalYearMonth(String),
    /// `INTERVAL` of days to seconds, with its resolution as Flink prints it (`DAY(2) TO SECOND(6)`, `SECOND(3)`).
    IntervalDayTime(String),
    /// `ARRAY<element>`.
    Array(Box<LogicalType>),
    /// `MULTISET<element>`.
    Multiset(Box<LogicalType>),
    /// `MAP<key, value>`.
    Map(Box<LogicalType>, Box<LogicalType>),
    /// `ROW<name type, ...>`.
    Row(Vec<RowField>),
    /// `STRUCTURED<'class', name type, ...>`: a row that has a class's name.
    Structured(String, Vec<RowField>),
    /// `VARIANT`: a JSON value, kept as its text in one form.
    Variant,
    /// `BITMAP`: a set of 32-bit integers, kept in its serialized form.
    Bitmap,
    /// The type of an untyped `NULL`.
    Null,
}

/// A field of a row: a column of a table or of a `ROW`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: LogicalType,
}

impl RowField {
    /// A field.
    pub fn new(name: impl Into<String>, data_type: LogicalType) -> Self {
        Self { name: name.into(), data_type }
    }
}

impl TypeKind {
    /// This type with null among its values.
    pub fn nullable(self) -> LogicalType {
        LogicalType { kind: self, nullable: true }
    }

    /// This type without null.
    pub fn not_null(self) -> LogicalType {
        LogicalType { kind: self, nullable: false }
    }

    /// `STRING`.
    pub fn string() -> Self {
        Self::Varchar(MAX_LENGTH)
    }

    /// `BYTES`.
    pub fn bytes() -> Self {
        Self::Varbinary(MAX_LENGTH)
    }

    /// The fields of a `ROW` or a structured type.
    pub fn fields(&self) -> Option<&[RowField]> {
        match self {
            Self::Row(fields) | Self::Structured(_, fields) => Some(fields),
            _ => None,
        }
    }

    /// The Arrow type of its arrays.
    pub fn to_arrow(&self) -> ArrowType {
        match self {
            Self::Char(_) | Self::Varchar(_) | Self::Variant => ArrowType::Utf8View,
            Self::Boolean => ArrowType::Boolean,
            Self::Binary(_) | Self::Varbinary(_) | Self::Bitmap => ArrowType::BinaryView,
            Self::Decimal(precision, scale) => ArrowType::Decimal128(*precision, *scale),
            Self::Tinyint => ArrowType::Int8,
            Self::Smallint => ArrowType::Int16,
            Self::Int => ArrowType::Int32,
            Self::Bigint => ArrowType::Int64,
            Self::Float => ArrowType::Float32,
            Self::Double => ArrowType::Float64,
            Self::Date => ArrowType::Date32,
            Self::Time(_) => ArrowType::Time32(TimeUnit::Millisecond),
            Self::Timestamp(precision, _) => ArrowType::Timestamp(timestamp_unit(*precision), None),
            Self::TimestampLtz(precision, _) => ArrowType::Timestamp(timestamp_unit(*precision), Some("UTC".into())),
            Self::IntervalYearMonth(_) => ArrowType::Interval(IntervalUnit::YearMonth),
            Self::IntervalDayTime(_) => ArrowType::Duration(TimeUnit::Millisecond),
            Self::Array(element) => ArrowType::List(Arc::new(element.to_arrow_field("item"))),
            Self::Multiset(element) => map_type(element, &Self::Int.not_null()),
            Self::Map(key, value) => map_type(key, value),
            Self::Row(fields) | Self::Structured(_, fields) => ArrowType::Struct(to_arrow_fields(fields)),
            Self::Null => ArrowType::Null,
        }
    }
}

/// The unit in which a timestamp of this precision is held.
pub fn timestamp_unit(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn map_type(key: &LogicalType, value: &LogicalType) -> ArrowType {
    // Unlike Arrow's, a key may be null.
    let entries = ArrowType::Struct(Fields::from(vec![key.to_arrow_field("key"), value.to_arrow_field("value")]));
    ArrowType::Map(Arc::new(ArrowField::new("entries", entries, false)), false)
}

impl LogicalType {
    /// The same kind with this nullability.
    pub fn with_nullable(&self, nullable: bool) -> Self {
        Self { kind: self.kind.clone(), nullable }
    }

    /// How many types it is made of, itself included.
    pub fn parts(&self) -> usize {
        1 + match &self.kind {
            TypeKind::Array(element) | TypeKind::Multiset(element) => element.parts(),
            TypeKind::Map(key, value) => key.parts() + value.parts(),
            TypeKind::Row(fields) | TypeKind::Structured(_, fields) => {
                fields.iter().map(|field| field.data_type.parts()).sum()
            }
            _ => 0,
        }
    }

    /// How many types stand within each other, itself included.
    pub fn depth(&self) -> usize {
        1 + match &self.kind {
            TypeKind::Array(element) | TypeKind::Multiset(element) => element.depth(),
            TypeKind::Map(key, value) => key.depth().max(value.depth()),
            TypeKind::Row(fields) | TypeKind::Structured(_, fields) => {
                fields.iter().map(|field| field.data_type.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// An Arrow field of this type.
    pub fn to_arrow_field(&self, name: &str) -> ArrowField {
        ArrowField::new(name, self.kind.to_arrow(), self.nullable)
    }
}

/// Arrow fields of a row's fields.
pub fn to_arrow_fields(fields: &[RowField]) -> Fields {
    fields.iter().map(|field| field.data_type.to_arrow_field(&field.name)).collect()
}

/// The Arrow schema of a row.
pub fn to_arrow_schema(fields: &[RowField]) -> SchemaRef {
    Arc::new(ArrowSchema::new(to_arrow_fields(fields)))
}

/// As Flink's `LogicalType.asSummaryString` prints it: `VARCHAR(3) NOT NULL`, `` ROW<`a` INT> ``, `TIMESTAMP(3) *ROWTIME*`.
impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.nullable {
            f.write_str(" NOT NULL")?;
        }
        match &self.kind {
            TypeKind::Timestamp(_, time) | TypeKind::TimestampLtz(_, time) => match time {
                TimeAttribute::Regular => Ok(()),
                TimeAttribute::Rowtime => f.write_str(" *ROWTIME*"),
                TimeAttribute::Proctime => f.write_str(" *PROCTIME*"),
            },
            _ => Ok(()),
        }
    }
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char(length) => write!(f, "CHAR({length})"),
            Self::Varchar(MAX_LENGTH) => f.write_str("STRING"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Varbinary(MAX_LENGTH) => f.write_str("BYTES"),
            Self::Varbinary(length) => write!(f, "VARBINARY({length})"),
            Self::Decimal(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Tinyint => f.write_str("TINYINT"),
            Self::Smallint => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::Bigint => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Date => f.write_str("DATE"),
            Self::Time(precision) => write!(f, "TIME({precision})"),
            Self::Timestamp(precision, _) => write!(f, "TIMESTAMP({precision})"),
            Self::TimestampLtz(precision, _) => write!(f, "TIMESTAMP_LTZ({precision})"),
            Self::IntervalYearMonth(resolution) | Self::IntervalDayTime(resolution) => {
                write!(f, "INTERVAL {resolution}")
            }
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Multiset(element) => write!(f, "MULTISET<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}`{}` {}", field.name.replace('`', "``"), field.data_type)?;
                }
                f.write_str(">")
            }
            // Also where there are no fields a comma stands behind the class.
            Self::Structured(class, fields) => {
                write!(f, "STRUCTURED<'{class}', ")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}`{}` {}", field.name.replace('`', "``"), field.data_type)?;
                }
                f.write_str(">")
            }
            Self::Variant => f.write_str("VARIANT"),
            Self::Bitmap => f.write_str("BITMAP"),
            Self::Null => f.write_str("NULL"),
        }
    }
}

/// A message that no version of this program writes.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub String);

impl From<&LogicalType> for proto::DataType {
    fn from(logical: &LogicalType) -> Self {
        use proto::TypeRoot as Root;
        let mut message = Self { nullable: logical.nullable, ..Self::default() };
        let child = |data_type: &LogicalType| proto::Field { name: String::new(), r#type: Some(data_type.into()) };
        let root = match &logical.kind {
            TypeKind::Char(length) => (Root::Char, *length as i32),
            TypeKind::Varchar(length) => (Root::Varchar, *length as i32),
            TypeKind::Boolean => (Root::Boolean, 0),
            TypeKind::Binary(length) => (Root::Binary, *length as i32),
            TypeKind::Varbinary(length) => (Root::Varbinary, *length as i32),
            TypeKind::Decimal(precision, scale) => {
                message.scale = i32::from(*scale);
                (Root::Decimal, i32::from(*precision))
            }
            TypeKind::Tinyint => (Root::Tinyint, 0),
            TypeKind::Smallint => (Root::Smallint, 0),
            TypeKind::Int => (Root::Integer, 0),
            TypeKind::Bigint => (Root::Bigint, 0),
            TypeKind::Float => (Root::Float, 0),
            TypeKind::Double => (Root::Double, 0),
            TypeKind::Date => (Root::Date, 0),
            TypeKind::Time(precision) => (Root::TimeWithoutTimeZone, i32::from(*precision)),
            TypeKind::Timestamp(precision, time) => {
                message.set_time_attribute((*time).into());
                (Root::TimestampWithoutTimeZone, i32::from(*precision))
            }
            TypeKind::TimestampLtz(precision, time) => {
                message.set_time_attribute((*time).into());
                (Root::TimestampWithLocalTimeZone, i32::from(*precision))
            }
            TypeKind::IntervalYearMonth(resolution) => {
                message.resolution = resolution.clone();
                (Root::IntervalYearMonth, 0)
            }
            TypeKind::IntervalDayTime(resolution) => {
                message.resolution = resolution.clone();
                (Root::IntervalDayTime, 0)
            }
            TypeKind::Array(element) => {
                message.children = vec![child(element)];
                (Root::Array, 0)
            }
            TypeKind::Multiset(element) => {
                message.children = vec![child(element)];
                (Root::Multiset, 0)
            }
            TypeKind::Map(key, value) => {
                message.children = vec![child(key), child(value)];
                (Root::Map, 0)
            }
            TypeKind::Row(fields) => {
                message.children = fields.iter().map(proto::Field::from).collect();
                (Root::Row, 0)
            }
            TypeKind::Structured(class, fields) => {
                message.children = fields.iter().map(proto::Field::from).collect();
                message.resolution = class.clone();
                (Root::Structured, 0)
            }
            TypeKind::Variant => (Root::Variant, 0),
            TypeKind::Bitmap => (Root::Bitmap, 0),
            TypeKind::Null => (Root::Null, 0),
        };
        message.set_root(root.0);
        message.precision = root.1;
        message
    }
}

impl TryFrom<&proto::DataType> for LogicalType {
    type Error = Malformed;

    fn try_from(message: &proto::DataType) -> Result<Self, Malformed> {
        use proto::TypeRoot as Root;
        let length = message.precision as u32;
        let precision = message.precision as u8;
        let child = |i: usize| -> Result<Box<LogicalType>, Malformed> {
            let field = message.children.get(i).ok_or_else(|| Malformed("a type without its element type".into()))?;
            Ok(Box::new(RowField::try_from(field)?.data_type))
        };
        let time = TimeAttribute::from(message.time_attribute());
        let kind = match message.root() {
            Root::Unspecified => return Err(Malformed("a type without a root".into())),
            Root::Char => TypeKind::Char(length),
            Root::Varchar => TypeKind::Varchar(length),
            Root::Boolean => TypeKind::Boolean,
            Root::Binary => TypeKind::Binary(length),
            Root::Varbinary => TypeKind::Varbinary(length),
            Root::Decimal => TypeKind::Decimal(precision, message.scale as i8),
            Root::Tinyint => TypeKind::Tinyint,
            Root::Smallint => TypeKind::Smallint,
            Root::Integer => TypeKind::Int,
            Root::Bigint => TypeKind::Bigint,
            Root::Float => TypeKind::Float,
            Root::Double => TypeKind::Double,
            Root::Date => TypeKind::Date,
            Root::TimeWithoutTimeZone => TypeKind::Time(precision),
            Root::TimestampWithoutTimeZone => TypeKind::Timestamp(precision, time),
            Root::TimestampWithLocalTimeZone => TypeKind::TimestampLtz(precision, time),
            Root::IntervalYearMonth => TypeKind::IntervalYearMonth(message.resolution.clone()),
            Root::IntervalDayTime => TypeKind::IntervalDayTime(message.resolution.clone()),
            Root::Array => TypeKind::Array(child(0)?),
            Root::Multiset => TypeKind::Multiset(child(0)?),
            Root::Map => TypeKind::Map(child(0)?, child(1)?),
            Root::Row => TypeKind::Row(message.children.iter().map(RowField::try_from).collect::<Result<_, _>>()?),
            Root::Structured => {
                let fields = message.children.iter().map(RowField::try_from).collect::<Result<_, _>>()?;
                TypeKind::Structured(message.resolution.clone(), fields)
            }
            Root::Variant => TypeKind::Variant,
            Root::Bitmap => TypeKind::Bitmap,
            Root::Null => TypeKind::Null,
        };
        Ok(Self { kind, nullable: message.nullable })
    }
}

impl From<TimeAttribute> for proto::TimeAttribute {
    fn from(time: TimeAttribute) -> Self {
        match time {
            TimeAttribute::Regular => Self::Regular,
            TimeAttribute::Rowtime => Self::Rowtime,
            TimeAttribute::Proctime => Self::Proctime,
        }
    }
}

impl From<proto::TimeAttribute> for TimeAttribute {
    fn from(time: proto::TimeAttribute) -> Self {
        match time {
            proto::TimeAttribute::Regular => Self::Regular,
            proto::TimeAttribute::Rowtime => Self::Rowtime,
            proto::TimeAttribute::Proctime => Self::Proctime,
        }
    }
}

impl From<&RowField> for proto::Field {
    fn from(field: &RowField) -> Self {
        Self { name: field.name.clone(), r#type: Some((&field.data_type).into()) }
    }
}

impl TryFrom<&proto::Field> for RowField {
    type Error = Malformed;

    fn try_from(message: &proto::Field) -> Result<Self, Malformed> {
        let data_type =
            message.r#type.as_ref().ok_or_else(|| Malformed(format!("field `{}` without a type", message.name)))?;
        Ok(Self { name: message.name.clone(), data_type: data_type.try_into()? })
    }
}

/// The message of a row's fields.
pub fn schema_to_proto(fields: &[RowField]) -> proto::Schema {
    proto::Schema { fields: fields.iter().map(proto::Field::from).collect() }
}

/// The fields in a message; an absent schema is malformed.
pub fn schema_from_proto(schema: Option<&proto::Schema>) -> Result<Vec<RowField>, Malformed> {
    let schema = schema.ok_or_else(|| Malformed("an operator without a schema".into()))?;
    schema.fields.iter().map(RowField::try_from).collect()
}
