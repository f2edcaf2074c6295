//! JSON_STRING, JSON_ARRAY and JSON_OBJECT: values of any type as JSON.
use arrow::array::{Array, ArrayRef, AsArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wiesel_common::quote::quote;

use super::document::{parse, push_decimal, push_text};
use super::variant::push_shown;
use crate::cast;
use crate::error::{Error, Result};
use crate::expression::comparison::utf16_order;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Kernel, Text};
use crate::expression::{Zone, check_value};
use crate::types::{RowField, TypeKind};

/// Writes what is in a row.
type Writer<'a> = Box<dyn Fn(usize, &mut String) -> Result<()> + 'a>;

/// How often a value is in a MULTISET.
static COUNT: TypeKind = TypeKind::Int;

/// Prepares the writing of a column's values.
fn writer<'a>(kind: &'a TypeKind, array: &'a ArrayRef) -> Result<Writer<'a>> {
    let write = writer_of_valid(kind, array)?;
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push_str("null");
            return Ok(());
        }
        write(row, out)
    }))
}

fn writer_of_valid<'a>(kind: &'a TypeKind, array: &'a ArrayRef) -> Result<Writer<'a>> {
    Ok(match kind {
        TypeKind::Char(_) | TypeKind::Varchar(_) => {
            let values = array.as_string_view();
            Box::new(move |row, out| {
                push_text(values.value(row), out);
                check_value(out.len())
            })
        }
        TypeKind::Variant => {
            let values = array.as_string_view();
            Box::new(move |row, out| {
                push_shown(values.value(row), out);
                check_value(out.len())
            })
        }
        TypeKind::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| {
                out.push_str(if values.value(row) { "true" } else { "false" });
                Ok(())
            })
        }
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            let values = array.as_binary_view();
            Box::new(move |row, out| {
                out.push('"');
                STANDARD.encode_string(values.value(row), out);
                out.push('"');
                check_value(out.len())
            })
        }
        TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint => {
            of_text(kind, array, |text, out| out.push_str(text))?
        }
        TypeKind::Decimal(..) => of_text(kind, array, push_number)?,
        // A FLOAT is widened, and shows that.
        TypeKind::Float | TypeKind::Double => {
            let values = cast::numeric_to_double(array)?;
            Box::new(move |row, out| {
                let mut text = String::new();
                cast::write_double(values.value(row), &mut text);
                push_number(&text, out);
                Ok(())
            })
        }
        TypeKind::Timestamp(..) => of_text(kind, array, |text, out| push_time(text, "", out))?,
        TypeKind::TimestampLtz(..) => of_text(kind, array, |text, out| push_time(text, "Z", out))?,
        TypeKind::Array(element) => {
            let list = array.as_list::<i32>();
            let (write, offsets) = (writer(&element.kind, list.values())?, list.offsets());
            Box::new(move |row, out| {
                let elements = offsets[row] as usize..offsets[row + 1] as usize;
                push_list(elements, out, &write)
            })
        }
        TypeKind::Map(_, value) => map_writer(&value.kind, array)?,
        TypeKind::Multiset(_) => map_writer(&COUNT, array)?,
        TypeKind::Row(fields) | TypeKind::Structured(_, fields) => {
            let columns = array.as_struct().columns();
            let named = |(field, column): (&'a RowField, &'a ArrayRef)| -> Result<(&'a str, Writer<'a>)> {
                Ok((field.name.as_str(), writer(&field.data_type.kind, column)?))
            };
            let fields = fields.iter().zip(columns).map(named);
            let mut fields = fields.collect::<Result<Vec<_>>>()?;
            fields.sort_by(|(left, _), (right, _)| utf16_order(left, right));
            Box::new(move |row, out| {
                let members = fields.iter().map(|(name, write)| (*name, move |out: &mut String| write(row, out)));
                push_members(members, out)
            })
        }
        other => return Err(Error::Plan(format!("{other} as JSON is not supported"))),
    })
}

/// What is made of the text that a CAST gives.
fn of_text<'a>(kind: &'a TypeKind, array: &'a ArrayRef, push: impl Fn(&str, &mut String) + 'a) -> Result<Writer<'a>> {
    let write = cast::writer(kind, array, Zone::UTC)?;
    Ok(Box::new(move |row, out| {
        let mut text = String::new();
        write(row, &mut text);
        push(&text, out);
        Ok(())
    }))
}

/// A number as Java's BigDecimal; what is no number as a text.
fn push_number(text: &str, out: &mut String) {
    if text.bytes().any(|byte| byte.is_ascii_digit()) {
        push_decimal(text, out);
    } else {
        push_text(text, out);
    }
}

/// A timestamp as ISO 8601 has it, without zeros at its end.
fn push_time(text: &str, zone: &str, out: &mut String) {
    let (day, time) = text.split_once(' ').unwrap_or((text, ""));
    let time = match time.split_once('.') {
        Some(_) => time.trim_end_matches('0').trim_end_matches('.'),
        None => time,
    };
    push_text(&format!("{day}T{time}{zone}"), out);
}

fn push_list(
    elements: impl Iterator<Item = usize>,
    out: &mut String,
    write: impl Fn(usize, &mut String) -> Result<()>,
) -> Result<()> {
    out.push('[');
    for (index, element) in elements.enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        check_value(out.len())?;
        write(element, out)?;
    }
    out.push(']');
    Ok(())
}

fn push_members<'n, W: Fn(&mut String) -> Result<()>>(
    members: impl Iterator<Item = (&'n str, W)>,
    out: &mut String,
) -> Result<()> {
    out.push('{');
    for (index, (name, write)) in members.enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        check_value(out.len())?;
        push_text(name, out);
        out.push(':');
        write(out)?;
    }
    out.push('}');
    Ok(())
}

/// A map by its keys, which are texts; of one key the last value.
fn map_writer<'a>(value: &'a TypeKind, array: &'a ArrayRef) -> Result<Writer<'a>> {
    let map = array.as_map();
    let keys =
        map.keys().as_string_view_opt().ok_or_else(|| Error::Plan("a MAP as JSON whose keys are no texts".into()))?;
    let (write, offsets) = (writer(value, map.values())?, map.offsets());
    Ok(Box::new(move |row, out| {
        let write = &write;
        let mut entries: Vec<usize> = (offsets[row] as usize..offsets[row + 1] as usize).collect();
        // Stable: of one key the last value is behind the others.
        entries.sort_by(|left, right| utf16_order(keys.value(*left), keys.value(*right)));
        let is_last = |(index, entry): &(usize, &usize)| {
            entries.get(index + 1).is_none_or(|next| keys.value(*next) != keys.value(**entry))
        };
        let last = entries.iter().enumerate().filter(is_last).map(|(_, entry)| *entry);
        push_members(last.map(|entry| (keys.value(entry), move |out: &mut String| write(entry, out))), out)
    }))
}

/// `JSON_STRING(value)`.
pub(in crate::functions) fn string(site: &Site) -> Result<Kernel> {
    let kind = site.operand_type(0)?.clone();
    Ok(Box::new(move |args| {
        let array = args.array(0);
        let write = writer(&kind, array)?;
        args.strings(|row, out| {
            let row = args.row(0, row);
            if array.is_null(row) {
                return Ok(false);
            }
            write(row, out)?;
            Ok(true)
        })
    }))
}

/// `JSON(text)` within JSON_ARRAY and JSON_OBJECT: the document as it is written there.
pub(in crate::functions) fn embedded(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let value = parse(text).ok_or_else(|| {
                let message = format!("JSON: '{}' is no JSON document", quote(text));
                Error::data("org.apache.flink.table.api.TableRuntimeException", message)
            })?;
            value.write_json(out)?;
            Ok(true)
        })
    }))
}

/// The values of JSON_ARRAY and JSON_OBJECT. The first operand says what becomes of null, and with a letter for each value whether it
/// is JSON already: `ABSENT:VJV`.
struct Values {
    absent_on_null: bool,
    /// Each value's operand, its type, and whether it is JSON.
    values: Vec<(usize, TypeKind, bool)>,
}

impl Values {
    fn of(site: &Site, operand_of: impl Fn(usize) -> usize) -> Result<Self> {
        let (on_null, letters) =
            site.text(0).and_then(|text| text.split_once(':')).ok_or_else(|| site.unsupported())?;
        let value = |(index, letter): (usize, char)| -> Result<(usize, TypeKind, bool)> {
            let operand = operand_of(index);
            Ok((operand, site.operand_type(operand)?.clone(), letter == 'J'))
        };
        let values = letters.chars().enumerate().map(value).collect::<Result<Vec<_>>>()?;
        Ok(Self { absent_on_null: on_null == "ABSENT", values })
    }

    /// Writes values of rows; none is there where the value is null and null is left out.
    fn writers<'a>(&'a self, args: &'a Args) -> Result<Vec<Writer<'a>>> {
        let writers = self.values.iter().map(|(operand, kind, is_json)| -> Result<Writer<'a>> {
            if *is_json {
                let text = args.read::<Text>(*operand)?;
                return Ok(Box::new(move |row, out| {
                    out.push_str(text.get(row).unwrap_or("null"));
                    check_value(out.len())
                }));
            }
            let write = writer(kind, args.array(*operand))?;
            Ok(Box::new(move |row, out| write(args.row(*operand, row), out)))
        });
        writers.collect()
    }

    fn is_there(&self, index: usize, args: &Args, row: usize) -> bool {
        let operand = self.values[index].0;
        !self.absent_on_null || args.array(operand).is_valid(args.row(operand, row))
    }
}

/// `JSON_ARRAY(values)`.
pub(in crate::functions) fn array(site: &Site) -> Result<Kernel> {
    let values = Values::of(site, |index| index + 1)?;
    Ok(Box::new(move |args| {
        let writers = values.writers(args)?;
        args.strings(|row, out| {
            let there = (0..writers.len()).filter(|index| values.is_there(*index, args, row));
            push_list(there, out, |index, out| writers[index](row, out))?;
            Ok(true)
        })
    }))
}

/// `JSON_OBJECT(names and values)`: the names are constants.
pub(in crate::functions) fn object(site: &Site) -> Result<Kernel> {
    let values = Values::of(site, |index| 2 * index + 2)?;
    let names = (0..values.values.len()).map(|index| site.text(2 * index + 1).map(str::to_owned));
    let names: Vec<String> = names.collect::<Option<_>>().ok_or_else(|| site.unsupported())?;
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|left, right| utf16_order(&names[*left], &names[*right]));
    Ok(Box::new(move |args| {
        let writers = values.writers(args)?;
        args.strings(|row, out| {
            let there: Vec<usize> = order.iter().copied().filter(|index| values.is_there(*index, args, row)).collect();
            // Of one name the last value that is there.
            let is_last =
                |(at, index): &(usize, &usize)| there.get(at + 1).is_none_or(|next| names[*next] != names[**index]);
            let last = there.iter().enumerate().filter(is_last).map(|(_, index)| *index);
            let writers = &writers;
            let member = |index: usize| (names[index].as_str(), move |out: &mut String| writers[index](row, out));
            push_members(last.map(member), out)?;
            Ok(true)
        })
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryViewArray, Decimal128Array, Float32Array, Float64Array, StringViewArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    fn json(kind: &TypeKind, array: ArrayRef) -> Vec<String> {
        let write = writer(kind, &array).unwrap();
        let row = |row: usize| {
            let mut out = String::new();
            write(row, &mut out).unwrap();
            out
        };
        (0..array.len()).map(row).collect()
    }

    #[test]
    fn values_are_written_as_flinks_library_writes_them() {
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(1e30), Some(1e-10), None]));
        assert_eq!(json(&TypeKind::Double, doubles.clone()), ["1.5", "1.0E+30", "1.0E-10", "null"]);
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["ä\"\\/\n"]));
        assert_eq!(json(&TypeKind::string(), texts), ["\"ä\\\"\\\\/\\n\""]);
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![&[0_u8, 255][..]]));
        assert_eq!(json(&TypeKind::bytes(), bytes), ["\"AP8=\""]);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.1, f32::NAN]));
        assert_eq!(json(&TypeKind::Float, floats), ["0.10000000149011612", "\"NaN\""]);
        let decimal = Decimal128Array::from(vec![125, 100]).with_precision_and_scale(5, 1).unwrap();
        assert_eq!(json(&TypeKind::Decimal(5, 1), Arc::new(decimal)), ["12.5", "10.0"]);
        let fields = vec![
            Field::new("b", doubles.data_type().clone(), true),
            Field::new("a", doubles.data_type().clone(), true),
        ];
        let row: ArrayRef =
            Arc::new(StructArray::new(fields.into(), vec![doubles.slice(0, 1), doubles.slice(3, 1)], None));
        let named = ["b", "a"].map(|name| RowField::new(name, TypeKind::Double.nullable()));
        assert_eq!(json(&TypeKind::Row(named.into()), row), [r#"{"a":null,"b":1.5}"#]);
    }

    #[test]
    fn a_time_has_no_zeros_at_its_end() {
        let time = |text: &str, zone: &str| {
            let mut out = String::new();
            push_time(text, zone, &mut out);
            out
        };
        assert_eq!(time("2020-01-01 00:00:00.120", ""), "\"2020-01-01T00:00:00.12\"");
        assert_eq!(time("2020-01-01 00:00:00.000", "Z"), "\"2020-01-01T00:00:00Z\"");
        assert_eq!(time("2020-01-01 00:00:00", ""), "\"2020-01-01T00:00:00\"");
    }
}
