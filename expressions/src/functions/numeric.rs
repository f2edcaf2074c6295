//! Functions of numbers.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::strings::integers;
use crate::cast::{numeric_to_double, round_double};
use crate::error::Result;
use crate::expression::compile::Site;
use crate::expression::decimal;
use crate::expression::kernel::{Args, Kernel};
use crate::types::TypeKind;

/// A function of a DOUBLE; other numbers are widened.
pub(super) fn unary(site: &Site) -> Result<Kernel> {
    let function: fn(f64) -> f64 = match site.function {
        // To Flink a power, which knows neither a negative zero nor that there is no root of -Infinity.
        "SQRT" => |x| if x == f64::NEG_INFINITY { f64::INFINITY } else { x.sqrt() + 0.0 },
        "EXP" => f64::exp,
        "LN" => f64::ln,
        "LOG10" => f64::log10,
        "LOG2" => |x| x.ln() / 2f64.ln(),
        "SIN" => f64::sin,
        "COS" => f64::cos,
        "TAN" => f64::tan,
        "COT" => |x| 1.0 / x.tan(),
        "ASIN" => f64::asin,
        "ACOS" => f64::acos,
        "ATAN" => f64::atan,
        "SINH" => f64::sinh,
        "COSH" => f64::cosh,
        "TANH" => f64::tanh,
        "DEGREES" => |x| x * 57.295_779_513_082_32,
        _ => |x| x * 0.017_453_292_519_943_295,
    };
    site.operand_type(0)?;
    Ok(Box::new(move |args| {
        let result: PrimitiveArray<Float64Type> = numeric_to_double(args.array(0))?.unary(function);
        Ok(Arc::new(result))
    }))
}

fn doubles(args: &Args, function: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (numeric_to_double(args.array(0))?, numeric_to_double(args.array(1))?);
    args.collect::<Float64Type>(|row| {
        let (l, r) = (args.row(0, row), args.row(1, row));
        Ok((left.is_valid(l) && right.is_valid(r)).then(|| function(left.value(l), right.value(r))))
    })
}

pub(super) fn binary(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    let function: fn(f64, f64) -> f64 = if site.function == "POWER" { f64::powf } else { f64::atan2 };
    Ok(Box::new(move |args| doubles(args, function)))
}

/// `LOG(x)`, `LOG(base, x)`.
pub(super) fn log(site: &Site) -> Result<Kernel> {
    if site.operands.len() < 2 {
        return Ok(Box::new(|args| {
            let result: PrimitiveArray<Float64Type> = numeric_to_double(args.array(0))?.unary(f64::ln);
            Ok(Arc::new(result))
        }));
    }
    Ok(Box::new(|args| doubles(args, |base, x| x.ln() / base.ln())))
}

pub(super) fn constant(site: &Site) -> Result<Kernel> {
    let value = if site.function == "PI" { std::f64::consts::PI } else { std::f64::consts::E };
    Ok(Box::new(move |args| Ok(Arc::new(PrimitiveArray::<Float64Type>::from_value(value, args.rows)))))
}

/// A function of an integer, widened to a BIGINT, that writes text; false is null.
pub(super) fn text_of_integer(write: impl Fn(i64, &mut String) -> bool + Send + Sync + 'static) -> Result<Kernel> {
    Ok(Box::new(move |args| {
        let numbers = arrow::compute::cast(args.array(0), &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        args.strings(|row, out| {
            let row = args.row(0, row);
            Ok(numbers.is_valid(row) && write(numbers.value(row), out))
        })
    }))
}

pub(super) fn bin(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    text_of_integer(|number, out| {
        out.push_str(&format!("{number:b}"));
        true
    })
}

/// A function that keeps a column's type.
fn same<T: ArrowPrimitiveType>(function: impl Fn(T::Native) -> T::Native + Send + Sync + 'static) -> Kernel {
    Box::new(move |args| {
        args.read::<T>(0)?;
        let array = args.array(0).as_primitive::<T>();
        let result: PrimitiveArray<T> = array.unary(&function);
        Ok(Arc::new(result.with_data_type(array.data_type().clone())))
    })
}

pub(super) fn abs(site: &Site) -> Result<Kernel> {
    Ok(match site.operand_type(0)? {
        TypeKind::Tinyint => same::<Int8Type>(i8::wrapping_abs),
        TypeKind::Smallint => same::<Int16Type>(i16::wrapping_abs),
        TypeKind::Int => same::<Int32Type>(i32::wrapping_abs),
        TypeKind::Bigint => same::<Int64Type>(i64::wrapping_abs),
        TypeKind::Float => same::<Float32Type>(f32::abs),
        TypeKind::Double => same::<Float64Type>(f64::abs),
        TypeKind::Decimal(..) => same::<Decimal128Type>(i128::wrapping_abs),
        _ => return Err(site.unsupported()),
    })
}

pub(super) fn sign(site: &Site) -> Result<Kernel> {
    let of_float = |x: f64| if x.is_nan() || x == 0.0 { x } else { x.signum() };
    Ok(match site.operand_type(0)? {
        TypeKind::Tinyint => same::<Int8Type>(i8::signum),
        TypeKind::Smallint => same::<Int16Type>(i16::signum),
        TypeKind::Int => same::<Int32Type>(i32::signum),
        TypeKind::Bigint => same::<Int64Type>(i64::signum),
        TypeKind::Float => same::<Float32Type>(move |x| of_float(f64::from(x)) as f32),
        TypeKind::Double => same::<Float64Type>(of_float),
        TypeKind::Decimal(_, scale) => {
            let one = decimal::power(u32::from(scale.unsigned_abs()));
            same::<Decimal128Type>(move |x| x.signum() * one)
        }
        _ => return Err(site.unsupported()),
    })
}

/// FLOOR and CEIL of a number.
pub(super) fn round_to_whole(site: &Site) -> Result<Kernel> {
    let up = site.function == "CEIL";
    Ok(match (site.operand_type(0)?, &site.data_type.kind) {
        (TypeKind::Float, _) => same::<Float32Type>(if up { f32::ceil } else { f32::floor }),
        (TypeKind::Double, _) => same::<Float64Type>(if up { f64::ceil } else { f64::floor }),
        (TypeKind::Decimal(_, scale), TypeKind::Decimal(_, target)) => {
            let unit = decimal::power(u32::from(scale.unsigned_abs()));
            let widen = decimal::power(u32::from(target.unsigned_abs()));
            let data_type = site.arrow_type();
            Box::new(move |args| {
                args.read::<Decimal128Type>(0)?;
                let values = args.array(0).as_primitive::<Decimal128Type>();
                let values: PrimitiveArray<Decimal128Type> = values.unary(|value| {
                    let floor = value.div_euclid(unit);
                    (floor + i128::from(up && value.rem_euclid(unit) != 0)) * widen
                });
                Ok(Arc::new(values.with_data_type(data_type.clone())))
            })
        }
        (TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint, _) => {
            Box::new(|args| Ok(args.array(0).clone()))
        }
        _ => return Err(site.unsupported()),
    })
}

/// `ROUND(x[, digits])` half up and `TRUNCATE(x[, digits])`.
pub(super) fn round(site: &Site) -> Result<Kernel> {
    let half_up = site.function == "ROUND";
    let with_digits = site.operands.len() > 1;
    let data_type = site.arrow_type();
    let target_scale = match &site.data_type.kind {
        TypeKind::Decimal(_, scale) => *scale,
        _ => 0,
    };
    let kind = site.operand_type(0)?.clone();
    let supported = matches!(
        kind,
        TypeKind::Tinyint
            | TypeKind::Smallint
            | TypeKind::Int
            | TypeKind::Bigint
            | TypeKind::Float
            | TypeKind::Double
            | TypeKind::Decimal(..)
    );
    if !supported {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let digits = if with_digits { Some(integers(args, 1)?) } else { None };
        let digits = digits.as_ref().map(|digits| digits.as_primitive::<Int32Type>());
        let digits = |row: usize| match digits {
            None => Some(0),
            Some(digits) => {
                let row = args.row(1, row);
                digits.is_valid(row).then(|| digits.value(row))
            }
        };
        match &kind {
            TypeKind::Double => {
                let values = args.read::<Float64Type>(0)?;
                let mut buffer = String::new();
                args.collect::<Float64Type>(|row| match values.get(row).zip(digits(row)) {
                    Some((value, digits)) => round_double(value, digits, half_up, &mut buffer).map(Some),
                    None => Ok(None),
                })
            }
            TypeKind::Float => {
                let values = args.read::<Float32Type>(0)?;
                let mut buffer = String::new();
                args.collect::<Float32Type>(|row| match values.get(row).zip(digits(row)) {
                    Some((value, digits)) => {
                        Ok(Some(round_double(f64::from(value), digits, half_up, &mut buffer)? as f32))
                    }
                    None => Ok(None),
                })
            }
            TypeKind::Decimal(_, scale) => {
                let values = args.read::<Decimal128Type>(0)?;
                args.collect_as::<Decimal128Type>(&data_type, |row| {
                    let Some((value, digits)) = values.get(row).zip(digits(row)) else { return Ok(None) };
                    let rounded = round_unscaled(value, i32::from(*scale), digits, half_up);
                    Ok(decimal::rescale(rounded, *scale, target_scale))
                })
            }
            _ => {
                let longs = arrow::compute::cast(args.array(0), &DataType::Int64)?;
                let longs = longs.as_primitive::<Int64Type>();
                let rounded = args.collect::<Int64Type>(|row| {
                    let at = args.row(0, row);
                    let Some(digits) = digits(row).filter(|_| longs.is_valid(at)) else { return Ok(None) };
                    Ok(Some(round_unscaled(i128::from(longs.value(at)), 0, digits, half_up) as i64))
                })?;
                Ok(arrow::compute::cast(&rounded, &data_type)?)
            }
        }
    }))
}

/// An unscaled value with its digits after the first `digits` behind the point set to zero.
fn round_unscaled(value: i128, scale: i32, digits: i32, half_up: bool) -> i128 {
    let cut = scale.saturating_sub(digits);
    if cut <= 0 {
        return value;
    }
    if cut > 38 {
        return 0;
    }
    let unit = decimal::power(cut as u32);
    let quotient = if half_up { decimal::divide_half_up(value, unit) } else { value / unit };
    quotient.checked_mul(unit).unwrap_or(value)
}
