//! Casts among numbers and truth values: integers wrap, floats saturate and then wrap as Java's casts do, decimals are
//! rounded half up and null where they do not fit.
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, PrimitiveBuilder};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType,
};

use super::{Cast, Mode, identity, java_float::write_double};
use crate::error::{Error, Result};
use crate::expression::decimal;
use crate::types::TypeKind;

/// A number on its way between types.
trait Number: Copy + Send + Sync + 'static {
    fn to_long(self) -> i64;
    fn to_int(self) -> i32 {
        self.to_long() as i32
    }
    fn to_double(self) -> f64;
    fn to_float(self) -> f32;
    fn is_zero(self) -> bool;
    fn is_finite(self) -> bool {
        true
    }
    fn to_decimal(self, precision: u8, scale: i8, buffer: &mut String) -> Option<i128>;
}

macro_rules! whole_number {
    ($native:ty) => {
        impl Number for $native {
            fn to_long(self) -> i64 {
                i64::from(self)
            }
            fn to_double(self) -> f64 {
                self as f64
            }
            fn to_float(self) -> f32 {
                self as f32
            }
            fn is_zero(self) -> bool {
                self == 0
            }
            fn to_decimal(self, precision: u8, scale: i8, _: &mut String) -> Option<i128> {
                within(decimal::rescale(i128::from(self), 0, scale), precision)
            }
        }
    };
}

whole_number!(i8);
whole_number!(i16);
whole_number!(i32);
whole_number!(i64);

impl Number for f64 {
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
    fn to_long(self) -> i64 {
        self as i64
    }
    fn to_int(self) -> i32 {
        self as i32
    }
    fn to_double(self) -> f64 {
        self
    }
    fn to_float(self) -> f32 {
        self as f32
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
    fn to_decimal(self, precision: u8, scale: i8, buffer: &mut String) -> Option<i128> {
        // As BigDecimal.valueOf: through the shortest decimal text.
        buffer.clear();
        write_double(self, buffer);
        super::from_text::parse_big_decimal(buffer, precision, scale)
    }
}

impl Number for f32 {
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    fn to_long(self) -> i64 {
        self as i64
    }
    fn to_int(self) -> i32 {
        self as i32
    }
    fn to_double(self) -> f64 {
        f64::from(self)
    }
    fn to_float(self) -> f32 {
        self
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
    fn to_decimal(self, precision: u8, scale: i8, buffer: &mut String) -> Option<i128> {
        f64::from(self).to_decimal(precision, scale, buffer)
    }
}

fn within(value: Option<i128>, precision: u8) -> Option<i128> {
    value.filter(|value| value.unsigned_abs() < decimal::limit(precision))
}

/// A cast between two numeric types or BOOLEAN; none if one is neither.
pub(super) fn cast(from: &TypeKind, to: &TypeKind, mode: Mode) -> Option<Cast> {
    match from {
        TypeKind::Tinyint => numbers::<Int8Type>(from, to, mode),
        TypeKind::Smallint => numbers::<Int16Type>(from, to, mode),
        TypeKind::Int => numbers::<Int32Type>(from, to, mode),
        TypeKind::Bigint => numbers::<Int64Type>(from, to, mode),
        TypeKind::Float => numbers::<Float32Type>(from, to, mode),
        TypeKind::Double => numbers::<Float64Type>(from, to, mode),
        TypeKind::Decimal(_, scale) => decimals(*scale, to),
        TypeKind::Boolean => booleans(to),
        TypeKind::IntervalDayTime(_) => match to {
            TypeKind::IntervalDayTime(_) => Some(identity()),
            TypeKind::Bigint => Some(Box::new(|array| {
                Ok(Arc::new(array.as_primitive::<DurationMillisecondType>().reinterpret_cast::<Int64Type>()))
            })),
            _ => None,
        },
        TypeKind::IntervalYearMonth(_) => match to {
            TypeKind::IntervalYearMonth(_) => Some(identity()),
            TypeKind::Int => Some(Box::new(|array| {
                Ok(Arc::new(array.as_primitive::<IntervalYearMonthType>().reinterpret_cast::<Int32Type>()))
            })),
            TypeKind::Bigint => Some(Box::new(|array| {
                let longs: PrimitiveArray<Int64Type> = array.as_primitive::<IntervalYearMonthType>().unary(i64::from);
                Ok(Arc::new(longs))
            })),
            _ => None,
        },
        _ => None,
    }
}

fn each<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    convert: impl Fn(F::Native) -> T::Native + Send + Sync + 'static,
) -> Option<Cast> {
    Some(Box::new(move |array| {
        let converted: PrimitiveArray<T> = array.as_primitive::<F>().unary(&convert);
        Ok(Arc::new(converted))
    }))
}

fn numbers<F: ArrowPrimitiveType>(from: &TypeKind, to: &TypeKind, mode: Mode) -> Option<Cast>
where
    F::Native: Number,
{
    match to {
        _ if from == to => Some(identity()),
        TypeKind::Tinyint => each::<F, Int8Type>(|value| value.to_int() as i8),
        TypeKind::Smallint => each::<F, Int16Type>(|value| value.to_int() as i16),
        TypeKind::Int => each::<F, Int32Type>(Number::to_int),
        TypeKind::Bigint => each::<F, Int64Type>(Number::to_long),
        TypeKind::Float => each::<F, Float32Type>(Number::to_float),
        TypeKind::Double => each::<F, Float64Type>(Number::to_double),
        TypeKind::Boolean => Some(Box::new(|array| {
            let array = array.as_primitive::<F>();
            Ok(Arc::new(BooleanArray::from_unary(array, |value| !value.is_zero())))
        })),
        TypeKind::Decimal(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            Some(Box::new(move |array| {
                let mut buffer = String::new();
                let values = array.as_primitive::<F>();
                if !mode.lenient && values.iter().flatten().any(|value| !value.is_finite()) {
                    return Err(not_finite(values.iter().flatten().find(|value| !value.is_finite())));
                }
                let data_type = DataType::Decimal128(precision, scale);
                let mut builder =
                    PrimitiveBuilder::<Decimal128Type>::with_capacity(values.len()).with_data_type(data_type);
                for value in values {
                    builder.append_option(value.and_then(|value| value.to_decimal(precision, scale, &mut buffer)));
                }
                Ok(Arc::new(builder.finish()))
            }))
        }
        TypeKind::IntervalDayTime(_) => each::<F, DurationMillisecondType>(Number::to_long),
        TypeKind::IntervalYearMonth(_) => each::<F, IntervalYearMonthType>(Number::to_int),
        _ => None,
    }
}

/// What `BigDecimal` says of `NaN` and the infinities.
fn not_finite<T: Number>(value: Option<T>) -> Error {
    let first = if value.is_some_and(|value| value.to_double().is_nan()) { 'N' } else { 'I' };
    let message = format!(
        "Character {first} is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark."
    );
    Error::data("java.lang.NumberFormatException", message)
}

fn decimals(scale: i8, to: &TypeKind) -> Option<Cast> {
    let unit = decimal::power(u32::from(scale.unsigned_abs()));
    match to {
        TypeKind::Tinyint => each::<Decimal128Type, Int8Type>(move |value| (value / unit) as i8),
        TypeKind::Smallint => each::<Decimal128Type, Int16Type>(move |value| (value / unit) as i16),
        TypeKind::Int => each::<Decimal128Type, Int32Type>(move |value| (value / unit) as i32),
        TypeKind::Bigint => each::<Decimal128Type, Int64Type>(move |value| (value / unit) as i64),
        TypeKind::Double => each::<Decimal128Type, Float64Type>(move |value| to_double(value, scale)),
        TypeKind::Float => each::<Decimal128Type, Float32Type>(move |value| to_float(value, scale)),
        TypeKind::Boolean => Some(Box::new(|array| {
            Ok(Arc::new(BooleanArray::from_unary(array.as_primitive::<Decimal128Type>(), |value| value != 0)))
        })),
        TypeKind::Decimal(precision, target) => {
            let (precision, target) = (*precision, *target);
            Some(Box::new(move |array| {
                let values: PrimitiveArray<Decimal128Type> = array
                    .as_primitive::<Decimal128Type>()
                    .unary_opt(|value| within(decimal::rescale(value, scale, target), precision));
                Ok(Arc::new(values.with_data_type(DataType::Decimal128(precision, target))))
            }))
        }
        _ => None,
    }
}

/// The nearest DOUBLE.
pub(crate) fn to_double(value: i128, scale: i8) -> f64 {
    // Both exact: one rounding, by the division.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    let mut text = String::with_capacity(45);
    decimal::write(value, scale, &mut text);
    text.parse().unwrap_or(f64::NAN)
}

/// A DOUBLE with so many digits after the point: its shortest decimal text rounded, as `BigDecimal.valueOf` goes.
pub(crate) fn round_double(value: f64, digits: i32, half_up: bool, buffer: &mut String) -> Result<f64> {
    if !value.is_finite() {
        return Err(not_finite(Some(value)));
    }
    let Ok(scale) = i8::try_from(digits) else { return Ok(if digits > 0 { value } else { 0.0 }) };
    buffer.clear();
    write_double(value, buffer);
    Ok(match super::from_text::read_big_decimal(buffer, 38, scale, half_up) {
        Some(unscaled) if scale >= 0 => to_double(unscaled, scale),
        Some(unscaled) => unscaled as f64 * 10f64.powi(-digits),
        // More digits than a decimal holds: nothing to round.
        None => value,
    })
}

/// A numeric column as DOUBLE.
///
/// # Errors
/// It is not numeric.
pub fn numeric_to_double(array: &ArrayRef) -> Result<PrimitiveArray<Float64Type>> {
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        DataType::Decimal128(_, scale) => {
            array.as_primitive::<Decimal128Type>().unary(|value| to_double(value, *scale))
        }
        _ => arrow::compute::cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
    })
}

/// A DOUBLE as a decimal, rounded half up; none where it does not fit. The buffer is written over.
pub fn to_decimal(value: f64, precision: u8, scale: i8, buffer: &mut String) -> Option<i128> {
    Number::to_decimal(value, precision, scale, buffer)
}

fn to_float(value: i128, scale: i8) -> f32 {
    let mut text = String::with_capacity(45);
    decimal::write(value, scale, &mut text);
    text.parse().unwrap_or(f32::NAN)
}

fn booleans(to: &TypeKind) -> Option<Cast> {
    fn from<T: ArrowPrimitiveType>(array: &ArrayRef, zero: T::Native, one: T::Native) -> ArrayRef {
        let values = array.as_boolean();
        let numbers = values.values().iter().map(|value| if value { one } else { zero });
        Arc::new(PrimitiveArray::<T>::new(numbers.collect(), arrow::array::Array::nulls(values).cloned()))
    }
    Some(match to {
        TypeKind::Boolean => identity(),
        TypeKind::Tinyint => Box::new(|array| Ok(from::<Int8Type>(array, 0, 1))),
        TypeKind::Smallint => Box::new(|array| Ok(from::<Int16Type>(array, 0, 1))),
        TypeKind::Int => Box::new(|array| Ok(from::<Int32Type>(array, 0, 1))),
        TypeKind::Bigint => Box::new(|array| Ok(from::<Int64Type>(array, 0, 1))),
        TypeKind::Float => Box::new(|array| Ok(from::<Float32Type>(array, 0.0, 1.0))),
        TypeKind::Double => Box::new(|array| Ok(from::<Float64Type>(array, 0.0, 1.0))),
        TypeKind::Decimal(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            Box::new(move |array| {
                let one = within(decimal::rescale(1, 0, scale), precision);
                let one = one.ok_or_else(|| Error::Plan(format!("TRUE as DECIMAL({precision}, {scale})")))?;
                let numbers = from::<Decimal128Type>(array, 0, one);
                let numbers = numbers.as_primitive::<Decimal128Type>().clone();
                Ok(Arc::new(numbers.with_data_type(DataType::Decimal128(precision, scale))))
            })
        }
        _ => return None,
    })
}
