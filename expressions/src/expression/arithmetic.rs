//! `+ - * / %` and `NEG`: integers wrap and fail on division by zero, floats follow IEEE 754, decimals are rounded half
//! up to the scale of the result and null where they exceed its precision.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, i256,
};

use super::compile::Site;
use super::decimal;
use super::kernel::{Args, Kernel};
use crate::error::{Error, Result};
use crate::types::TypeKind;

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Java's integer division by zero.
pub(crate) fn division_by_zero() -> Error {
    Error::data("java.lang.ArithmeticException", "/ by zero")
}

/// An arithmetic operation of two operands.
pub(crate) fn build(site: &Site) -> Result<Kernel> {
    let operation = match site.function {
        "+" => Operation::Add,
        "-" => Operation::Subtract,
        "*" => Operation::Multiply,
        "/" => Operation::Divide,
        "%" | "MOD" => Operation::Modulo,
        _ => return Err(site.unsupported()),
    };
    site.operand_type(1)?;
    Ok(match &site.data_type.kind {
        TypeKind::Tinyint => integers::<Int8Type>(operation),
        TypeKind::Smallint => integers::<Int16Type>(operation),
        TypeKind::Int => integers::<Int32Type>(operation),
        TypeKind::Bigint => integers::<Int64Type>(operation),
        TypeKind::Float => floats::<Float32Type>(operation),
        TypeKind::Double => floats::<Float64Type>(operation),
        TypeKind::IntervalDayTime(_) => intervals::<DurationMillisecondType>(operation, |millis| millis),
        TypeKind::IntervalYearMonth(_) => intervals::<IntervalYearMonthType>(operation, |months| months as i32),
        TypeKind::Decimal(precision, scale) => match product(site, operation, *precision, *scale)? {
            Some(kernel) => kernel,
            None => decimals(operation, *precision, *scale),
        },
        _ => return Err(site.unsupported()),
    })
}

/// Applies an operation to the values of two operands of the same type, in rows that are null too.
fn apply<T: ArrowPrimitiveType>(
    args: &Args,
    operation: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    args.read::<T>(0)?;
    args.read::<T>(1)?;
    let left: &PrimitiveArray<T> = args.array(0).as_primitive();
    let right: &PrimitiveArray<T> = args.array(1).as_primitive();
    let (left, right) = (left.values(), right.values());
    let values: ScalarBuffer<T::Native> = match (args.operand(0).constant, args.operand(1).constant) {
        (false, false) => left.iter().zip(right.iter()).map(|(left, right)| operation(*left, *right)).collect(),
        (false, true) => {
            let right = right[0];
            left.iter().map(|left| operation(*left, right)).collect()
        }
        (true, false) => {
            let left = left[0];
            right.iter().map(|right| operation(left, *right)).collect()
        }
        (true, true) => std::iter::once(operation(left[0], right[0])).collect(),
    };
    Ok(Arc::new(PrimitiveArray::<T>::new(values, args.nulls())))
}

fn integers<T: ArrowPrimitiveType>(operation: Operation) -> Kernel
where
    T::Native: ArrowNativeTypeOp,
{
    match operation {
        Operation::Add => Box::new(|args| apply::<T>(args, |left, right| left.add_wrapping(right))),
        Operation::Subtract => Box::new(|args| apply::<T>(args, |left, right| left.sub_wrapping(right))),
        Operation::Multiply => Box::new(|args| apply::<T>(args, |left, right| left.mul_wrapping(right))),
        Operation::Divide => Box::new(|args| {
            refuse_zero::<T>(args)?;
            apply::<T>(args, |left, right| if right.is_zero() { right } else { left.div_wrapping(right) })
        }),
        Operation::Modulo => Box::new(|args| {
            refuse_zero::<T>(args)?;
            apply::<T>(args, |left, right| if right.is_zero() { right } else { left.mod_wrapping(right) })
        }),
    }
}

/// Fails if a row divides a value by zero.
fn refuse_zero<T: ArrowPrimitiveType>(args: &Args) -> Result<()>
where
    T::Native: ArrowNativeTypeOp,
{
    let divisors = args.read::<T>(1)?;
    if args.operand(1).constant && divisors.get(0).is_none_or(|divisor| !divisor.is_zero()) {
        return Ok(());
    }
    if !args.array(1).as_primitive::<T>().values().iter().any(|divisor| divisor.is_zero()) {
        return Ok(());
    }
    let nulls = args.nulls();
    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    match (0..args.rows).any(|row| valid(row) && divisors.get(row).is_some_and(|divisor| divisor.is_zero())) {
        true => Err(division_by_zero()),
        false => Ok(()),
    }
}

fn floats<T: ArrowPrimitiveType>(operation: Operation) -> Kernel
where
    T::Native: ArrowNativeTypeOp,
{
    match operation {
        Operation::Add => Box::new(|args| apply::<T>(args, |left, right| left.add_wrapping(right))),
        Operation::Subtract => Box::new(|args| apply::<T>(args, |left, right| left.sub_wrapping(right))),
        Operation::Multiply => Box::new(|args| apply::<T>(args, |left, right| left.mul_wrapping(right))),
        Operation::Divide => Box::new(|args| apply::<T>(args, |left, right| left.div_wrapping(right))),
        Operation::Modulo => Box::new(|args| apply::<T>(args, |left, right| left.mod_wrapping(right))),
    }
}

/// Intervals are added and subtracted, and multiplied or divided by integers. They wrap as integers do, by `narrow`: null would
/// be a value that their type does not have.
fn intervals<T: ArrowPrimitiveType>(operation: Operation, narrow: fn(i64) -> T::Native) -> Kernel
where
    T::Native: ArrowNativeTypeOp,
{
    match operation {
        Operation::Add | Operation::Subtract => integers::<T>(operation),
        _ => Box::new(move |args| {
            let whole = |index: usize| -> Result<ArrayRef> {
                let array = args.array(index);
                let array = match array.data_type() {
                    DataType::Interval(_) => {
                        let months = array.as_primitive::<IntervalYearMonthType>();
                        Arc::new(months.reinterpret_cast::<Int32Type>()) as ArrayRef
                    }
                    _ => array.clone(),
                };
                Ok(arrow::compute::cast(&array, &DataType::Int64)?)
            };
            let (left, right) = (whole(0)?, whole(1)?);
            let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
            let nulls = args.nulls();
            args.collect::<T>(|row| {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    return Ok(None);
                }
                let (left, right) = (left.value(args.row(0, row)), right.value(args.row(1, row)));
                let value = match operation {
                    Operation::Multiply => left.wrapping_mul(right),
                    _ if right == 0 => return Err(division_by_zero()),
                    _ => left.wrapping_div(right),
                };
                Ok(Some(narrow(value)))
            })
        }),
    }
}

/// An operand as decimals: its unscaled values and its scale.
fn unscaled(args: &Args, index: usize) -> Result<(ArrayRef, i8)> {
    let array = args.array(index);
    let whole = |precision| -> Result<(ArrayRef, i8)> {
        Ok((arrow::compute::cast(array, &DataType::Decimal128(precision, 0))?, 0))
    };
    match array.data_type() {
        DataType::Decimal128(_, scale) => Ok((array.clone(), *scale)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => whole(10),
        DataType::Int64 => whole(19),
        other => Err(Error::Plan(format!("decimal arithmetic with {other}"))),
    }
}

/// The digits and the scale of a decimal or an integer.
fn digits(kind: &TypeKind) -> Option<(u8, i8)> {
    Some(match kind {
        TypeKind::Tinyint => (3, 0),
        TypeKind::Smallint => (5, 0),
        TypeKind::Int => (10, 0),
        TypeKind::Bigint => (19, 0),
        TypeKind::Decimal(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

/// A product that needs neither rounding nor a check, as its type holds all digits of both factors.
fn product(site: &Site, operation: Operation, precision: u8, scale: i8) -> Result<Option<Kernel>> {
    let operands = digits(site.operand_type(0)?).zip(digits(site.operand_type(1)?));
    let Some(((left, left_scale), (right, right_scale))) = operands else { return Ok(None) };
    if operation != Operation::Multiply || left + right > precision || left_scale + right_scale != scale {
        return Ok(None);
    }
    let data_type = DataType::Decimal128(precision, scale);
    Ok(Some(Box::new(move |args| {
        let (left, right) = (wide(args.array(0))?, wide(args.array(1))?);
        let values: ScalarBuffer<i128> = match (args.operand(0).constant, args.operand(1).constant) {
            (false, false) => left.iter().zip(right.iter()).map(|(left, right)| left.wrapping_mul(*right)).collect(),
            (true, false) => right.iter().map(|right| left[0].wrapping_mul(*right)).collect(),
            (false, true) => left.iter().map(|left| left.wrapping_mul(right[0])).collect(),
            (true, true) => std::iter::once(left[0].wrapping_mul(right[0])).collect(),
        };
        let values = PrimitiveArray::<Decimal128Type>::new(values, args.nulls());
        Ok(Arc::new(values.with_data_type(data_type.clone())))
    })))
}

/// The values of a column of decimals or integers.
fn wide(array: &ArrayRef) -> Result<ScalarBuffer<i128>> {
    Ok(match array.data_type() {
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().values().clone(),
        DataType::Int8 => array.as_primitive::<Int8Type>().values().iter().map(|value| i128::from(*value)).collect(),
        DataType::Int16 => array.as_primitive::<Int16Type>().values().iter().map(|value| i128::from(*value)).collect(),
        DataType::Int32 => array.as_primitive::<Int32Type>().values().iter().map(|value| i128::from(*value)).collect(),
        DataType::Int64 => array.as_primitive::<Int64Type>().values().iter().map(|value| i128::from(*value)).collect(),
        other => return Err(Error::Plan(format!("decimal arithmetic with {other}"))),
    })
}

fn decimals(operation: Operation, precision: u8, scale: i8) -> Kernel {
    let data_type = DataType::Decimal128(precision, scale);
    let limit = decimal::limit(precision);
    Box::new(move |args| {
        let ((left, left_scale), (right, right_scale)) = (unscaled(args, 0)?, unscaled(args, 1)?);
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        let nulls = args.nulls();
        // Many conditions are the same for every row: the common cases run on 128 bits, checked.
        let common = left_scale.max(right_scale);
        let widen = [common - left_scale, common - right_scale].map(|by| decimal::power(by as u32));
        let shift = i32::from(scale) + i32::from(right_scale) - i32::from(left_scale);
        args.collect_as::<Decimal128Type>(&data_type, |row| {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return Ok(None);
            }
            let (left, right) = (left.value(args.row(0, row)), right.value(args.row(1, row)));
            let value = match operation {
                Operation::Add | Operation::Subtract => {
                    let narrow = left.checked_mul(widen[0]).zip(right.checked_mul(widen[1]));
                    let narrow = narrow.and_then(|(left, right)| match operation {
                        Operation::Add => left.checked_add(right),
                        _ => left.checked_sub(right),
                    });
                    match narrow {
                        Some(sum) => decimal::rescale(sum, common, scale),
                        None => {
                            let left = i256::from_i128(left).wrapping_mul(i256::from_i128(widen[0]));
                            let right = i256::from_i128(right).wrapping_mul(i256::from_i128(widen[1]));
                            let right = if operation == Operation::Add { right } else { right.wrapping_neg() };
                            decimal::rescale_wide(left.wrapping_add(right), common, scale)
                        }
                    }
                }
                Operation::Multiply => match left.checked_mul(right) {
                    Some(product) => decimal::rescale(product, left_scale + right_scale, scale),
                    None => {
                        let product = i256::from_i128(left).wrapping_mul(i256::from_i128(right));
                        decimal::rescale_wide(product, left_scale + right_scale, scale)
                    }
                },
                Operation::Divide | Operation::Modulo if right == 0 => {
                    let undefined = operation == Operation::Divide && left == 0;
                    let message = if undefined { "Division undefined" } else { "Division by zero" };
                    return Err(Error::data("java.lang.ArithmeticException", message));
                }
                Operation::Divide => decimal::divide(left, right, shift),
                Operation::Modulo => {
                    let left = i256::from_i128(left).wrapping_mul(i256::from_i128(widen[0]));
                    let right = i256::from_i128(right).wrapping_mul(i256::from_i128(widen[1]));
                    if !decimal::fits(left.wrapping_div(right)) {
                        return Err(Error::data("java.lang.ArithmeticException", "Division impossible"));
                    }
                    decimal::rescale_wide(left.wrapping_rem(right), common, scale)
                }
            };
            Ok(value.filter(|value| value.unsigned_abs() < limit))
        })
    })
}

/// The unary minus.
pub(crate) fn negate(site: &Site) -> Result<Kernel> {
    fn negated<T: ArrowPrimitiveType>() -> Kernel
    where
        T::Native: ArrowNativeTypeOp,
    {
        Box::new(|args| {
            args.read::<T>(0)?;
            let array = args.array(0).as_primitive::<T>();
            let result: PrimitiveArray<T> = array.unary(|value| value.neg_wrapping());
            Ok(Arc::new(result.with_data_type(array.data_type().clone())))
        })
    }
    Ok(match site.operand_type(0)? {
        TypeKind::Tinyint => negated::<Int8Type>(),
        TypeKind::Smallint => negated::<Int16Type>(),
        TypeKind::Int => negated::<Int32Type>(),
        TypeKind::Bigint => negated::<Int64Type>(),
        TypeKind::Float => negated::<Float32Type>(),
        TypeKind::Double => negated::<Float64Type>(),
        TypeKind::Decimal(..) => negated::<Decimal128Type>(),
        TypeKind::IntervalDayTime(_) => negated::<DurationMillisecondType>(),
        TypeKind::IntervalYearMonth(_) => negated::<IntervalYearMonthType>(),
        _ => return Err(site.unsupported()),
    })
}
