//! `=`, `<>`, `<`, `<=`, `>`, `>=`, `IS_DISTINCT_FROM`, `IN`, as Flink's generated code compares: floats as Java's
//! primitives (NaN equals nothing, -0.0 equals 0.0) but in a list, and beside a DECIMAL, as its objects (NaN equals itself and
//! is above all, -0.0 is below 0.0), strings by their UTF-16 units, bytes by themselves, decimals by their numbers.
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Decimal128Array, ListArray, MapArray, PrimitiveArray,
    StructArray, UInt32Array, make_comparator,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Field, Fields, Float32Type, Float64Type, SchemaRef, i256,
};
use datafusion_common::ScalarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::in_list as static_list;

use super::budget::Budget;
use super::compile::{Site, compile};
use super::datetime::{Instant, timestamps};
use super::kernel::{Args, Call, Kernel, from_datafusion};
use super::{Expression, Node};
use crate::cast::numeric_to_double;
use crate::error::{Error, Result};
use crate::types::{LogicalType, TypeKind};

/// The comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "=" | "IS_NOT_DISTINCT_FROM" => Self::Equal,
            "<>" | "IS_DISTINCT_FROM" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A comparison of two operands.
pub(crate) fn build(site: &Site) -> Result<Kernel> {
    let relation = Relation::of(site.function).ok_or_else(|| site.unsupported())?;
    site.operand_type(1)?;
    let distinct = site.function.starts_with("IS_");
    Ok(Box::new(move |args| {
        let compared = compare(relation, args)?;
        if !distinct {
            return Ok(Arc::new(compared));
        }
        // Null beside null is no difference, null beside a value is one.
        let (left, right) = (args.expanded(0)?, args.expanded(1)?);
        let (left, right) = (left.logical_nulls(), right.logical_nulls());
        let null = |nulls: &Option<NullBuffer>, row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let values = BooleanBuffer::collect_bool(args.rows, |row| match (null(&left, row), null(&right, row)) {
            (false, false) => compared.value(row),
            (one, other) => (one == other) == (relation == Relation::Equal),
        });
        Ok(Arc::new(BooleanArray::new(values, None)))
    }))
}

fn compare(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let (left, right) = (args.array(0).data_type(), args.array(1).data_type());
    match (left, right) {
        (DataType::Null, _) | (_, DataType::Null) => Ok(BooleanArray::new_null(args.rows)),
        (DataType::Float32, DataType::Float32) => Ok(primitives::<Float32Type>(relation, args)),
        (DataType::Float64, DataType::Float64) => Ok(primitives::<Float64Type>(relation, args)),
        (DataType::Decimal128(_, l), DataType::Decimal128(_, r)) if l == r => {
            Ok(primitives::<Decimal128Type>(relation, args))
        }
        (DataType::Decimal128(_, l), DataType::Decimal128(_, r)) => Ok(decimals(relation, args, *l, *r)),
        (DataType::Decimal128(..), DataType::Float32 | DataType::Float64)
        | (DataType::Float32 | DataType::Float64, DataType::Decimal128(..)) => objects(relation, args),
        (DataType::Utf8View, DataType::Utf8View) if !relation.is_equality() && beyond_basic_plane(args) => {
            Ok(strings(relation, args))
        }
        _ if left == right && !left.is_nested() => {
            let (left, right) = (args.operand(0), args.operand(1));
            Ok(match relation {
                Relation::Equal => cmp::eq(left, right),
                Relation::NotEqual => cmp::neq(left, right),
                Relation::Less => cmp::lt(left, right),
                Relation::LessOrEqual => cmp::lt_eq(left, right),
                Relation::Greater => cmp::gt(left, right),
                Relation::GreaterOrEqual => cmp::gt_eq(left, right),
            }?)
        }
        (DataType::Timestamp(_, l), DataType::Timestamp(_, r)) if l == r => instants(relation, args),
        _ if left.is_nested() && right.is_nested() => nested(relation, args),
        _ => Err(Error::Plan(format!("{left} cannot be compared with {right}"))),
    }
}

fn primitives<T: ArrowPrimitiveType>(relation: Relation, args: &Args) -> BooleanArray
where
    T::Native: ArrowNativeTypeOp + PartialOrd,
{
    fn run<T: ArrowPrimitiveType>(args: &Args, test: impl Fn(T::Native, T::Native) -> bool) -> BooleanArray {
        let left: &PrimitiveArray<T> = args.array(0).as_primitive();
        let right: &PrimitiveArray<T> = args.array(1).as_primitive();
        let (left, right) = (left.values(), right.values());
        let values = match (args.operand(0).constant, args.operand(1).constant) {
            (false, false) => BooleanBuffer::collect_bool(args.rows, |row| test(left[row], right[row])),
            (false, true) => {
                let right = right[0];
                BooleanBuffer::collect_bool(args.rows, |row| test(left[row], right))
            }
            (true, false) => {
                let left = left[0];
                BooleanBuffer::collect_bool(args.rows, |row| test(left, right[row]))
            }
            (true, true) => BooleanBuffer::collect_bool(args.rows, |_| test(left[0], right[0])),
        };
        BooleanArray::new(values, args.nulls())
    }
    match relation {
        Relation::Equal => run::<T>(args, |left, right| left == right),
        Relation::NotEqual => run::<T>(args, |left, right| left != right),
        Relation::Less => run::<T>(args, |left, right| left < right),
        Relation::LessOrEqual => run::<T>(args, |left, right| left <= right),
        Relation::Greater => run::<T>(args, |left, right| left > right),
        Relation::GreaterOrEqual => run::<T>(args, |left, right| left >= right),
    }
}

/// The order of `Double.compare`: -0.0 is less than 0.0, NaN above all, whatever its sign, which a division may give it.
pub(crate) fn object_order(left: f64, right: f64) -> Ordering {
    let object = |value: f64| if value.is_nan() { f64::NAN } else { value };
    object(left).total_cmp(&object(right))
}

/// A DECIMAL and a FLOAT or DOUBLE, as `Double.compare` orders them.
fn objects(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let (left, right) = (numeric_to_double(args.array(0))?, numeric_to_double(args.array(1))?);
    let (left, right) = (left.values(), right.values());
    let values = BooleanBuffer::collect_bool(args.rows, |row| {
        relation.holds(object_order(left[args.row(0, row)], right[args.row(1, row)]))
    });
    Ok(BooleanArray::new(values, args.nulls()))
}

/// Timestamps of different units: in the finer one a time of the other may not fit.
fn instants(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let ((left, l), (right, r)) = (timestamps(args.array(0))?, timestamps(args.array(1))?);
    let values = BooleanBuffer::collect_bool(args.rows, |row| {
        let left = Instant::of(left[args.row(0, row)], l);
        relation.holds(left.cmp(&Instant::of(right[args.row(1, row)], r)))
    });
    Ok(BooleanArray::new(values, args.nulls()))
}

/// The order of two strings by their UTF-16 units. It is that of their UTF-8 but for characters beyond the basic plane,
/// which begin with a byte from F0 on: their surrogates come before U+E000, whose bytes begin with EE.
pub(crate) fn utf16_order(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let rank = |byte: u8| if matches!(byte, 0xEE | 0xEF) { byte + 0x10 } else { byte };
    match left.iter().zip(right).find(|(left, right)| left != right) {
        Some((left, right)) => rank(*left).cmp(&rank(*right)),
        None => left.len().cmp(&right.len()),
    }
}

/// Whether the order of the operands' bytes may not be that of their UTF-16 units. It is if one of them is a constant
/// without such characters, as most are.
fn beyond_basic_plane(args: &Args) -> bool {
    let plain = |index: usize| {
        let operand = args.operand(index);
        operand.constant && operand.array.as_string_view().iter().flatten().all(|text| text.bytes().all(|b| b < 0xEE))
    };
    !plain(0) && !plain(1)
}

fn strings(relation: Relation, args: &Args) -> BooleanArray {
    let (left, right) = (args.array(0).as_string_view(), args.array(1).as_string_view());
    let values = BooleanBuffer::collect_bool(args.rows, |row| {
        relation.holds(utf16_order(left.value(args.row(0, row)), right.value(args.row(1, row))))
    });
    BooleanArray::new(values, args.nulls())
}

fn decimals(relation: Relation, args: &Args, left_scale: i8, right_scale: i8) -> BooleanArray {
    let left = args.array(0).as_primitive::<Decimal128Type>().values();
    let right = args.array(1).as_primitive::<Decimal128Type>().values();
    let power = 10_i128.pow(u32::from(left_scale.abs_diff(right_scale)));
    let widen_left = left_scale < right_scale;
    let (narrow, wide, constant) = match widen_left {
        true => (left, right, args.operand(0).constant && !args.operand(1).constant),
        false => (right, left, args.operand(1).constant && !args.operand(0).constant),
    };
    if constant && let Some(bound) = narrow[0].checked_mul(power) {
        let values = BooleanBuffer::collect_bool(args.rows, |row| {
            relation.holds(if widen_left { bound.cmp(&wide[row]) } else { wide[row].cmp(&bound) })
        });
        return BooleanArray::new(values, args.nulls());
    }
    let values = BooleanBuffer::collect_bool(args.rows, |row| {
        let (left, right) = (left[args.row(0, row)], right[args.row(1, row)]);
        let (narrow, other) = if widen_left { (left, right) } else { (right, left) };
        let order = match narrow.checked_mul(power) {
            Some(wide) => wide.cmp(&other),
            None => i256::from_i128(narrow).wrapping_mul(i256::from_i128(power)).cmp(&i256::from_i128(other)),
        };
        relation.holds(if widen_left { order } else { order.reverse() })
    });
    BooleanArray::new(values, args.nulls())
}

/// Two columns that can be compared, whatever the units of the timestamps in them.
fn alike(left: &ArrayRef, right: &ArrayRef) -> Result<(ArrayRef, ArrayRef)> {
    if left.data_type().equals_datatype(right.data_type()) {
        return Ok((left.clone(), right.clone()));
    }
    Ok((with_wide_instants(left)?, with_wide_instants(right)?))
}

/// A column with the timestamps in it as nanoseconds in 128 bits, which hold all of them.
fn with_wide_instants(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Timestamp(..) => {
            let (counts, unit) = timestamps(array)?;
            let nanos = counts.iter().map(|count| {
                let instant = Instant::of(*count, unit);
                i128::from(instant.millis) * 1_000_000 + i128::from(instant.nanos)
            });
            Arc::new(Decimal128Array::new(nanos.collect(), array.nulls().cloned()))
        }
        DataType::Struct(fields) => {
            let row = array.as_struct();
            let columns = row.columns().iter().map(with_wide_instants).collect::<Result<Vec<_>>>()?;
            let fields: Fields = fields.iter().zip(&columns).map(|(field, column)| retyped(field, column)).collect();
            Arc::new(StructArray::try_new_with_length(fields, columns, row.nulls().cloned(), row.len())?)
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let elements = with_wide_instants(list.values())?;
            let field = Arc::new(retyped(field, &elements));
            Arc::new(ListArray::try_new(field, list.offsets().clone(), elements, list.nulls().cloned())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = with_wide_instants(&entries)?;
            let field = Arc::new(retyped(field, &entries).with_nullable(false));
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(field, offsets, entries.as_struct().clone(), nulls, *sorted)?)
        }
        _ => array.clone(),
    })
}

fn retyped(field: &Field, array: &ArrayRef) -> Field {
    field.clone().with_data_type(array.data_type().clone()).with_nullable(true)
}

/// A column with the entries of each map in it, but for maps in arrays, in the order of their keys: maps are equal if they hold the
/// same entries in whatever order these were added. Arrays are equal in Flink if their bytes are, and the order of entries is in
/// these.
pub(crate) fn with_sorted_maps(array: &ArrayRef) -> Result<ArrayRef> {
    if !holds_maps(array.data_type()) {
        return Ok(array.clone());
    }
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let row = array.as_struct();
            let columns = row.columns().iter().map(with_sorted_maps).collect::<Result<Vec<_>>>()?;
            let fields: Fields = fields.iter().zip(&columns).map(|(field, column)| retyped(field, column)).collect();
            Arc::new(StructArray::try_new_with_length(fields, columns, row.nulls().cloned(), row.len())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = with_sorted_maps(&entries)?;
            let entries = take(&entries, &order_by_keys(entries.as_struct(), map.offsets())?, None)?;
            let field = Arc::new(retyped(field, &entries).with_nullable(false));
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(field, offsets, entries.as_struct().clone(), nulls, *sorted)?)
        }
        _ => array.clone(),
    })
}

fn holds_maps(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_maps(field.data_type())),
        _ => false,
    }
}

/// The positions of all entries, those of each map by their keys, and by their values where a key is there twice.
fn order_by_keys(entries: &StructArray, maps: &OffsetBuffer<i32>) -> Result<UInt32Array> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let keys = make_comparator(keys, keys, SortOptions::default())?;
    let values = make_comparator(values, values, SortOptions::default())?;
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    for map in maps.windows(2) {
        order[map[0] as usize..map[1] as usize].sort_unstable_by(|one, other| {
            let (one, other) = (*one as usize, *other as usize);
            keys(one, other).then_with(|| values(one, other))
        });
    }
    Ok(order.into())
}

fn nested(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let (left, right) = alike(args.array(0), args.array(1))?;
    let (left, right) = (with_sorted_maps(&left)?, with_sorted_maps(&right)?);
    let comparator = make_comparator(&left, &right, SortOptions::default())?;
    let values =
        BooleanBuffer::collect_bool(args.rows, |row| relation.holds(comparator(args.row(0, row), args.row(1, row))));
    Ok(BooleanArray::new(values, args.nulls()))
}

/// FLOAT or DOUBLE among constants, as Java's objects are equal: NaN is NaN, -0.0 is not 0.0.
fn float_list(list: &[Expression]) -> Kernel {
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    let mut known = HashSet::with_capacity(list.len());
    let mut has_null = false;
    for item in list {
        match &item.node {
            Node::Literal(ScalarValue::Float64(Some(value))) => _ = known.insert(bits(*value)),
            Node::Literal(ScalarValue::Float32(Some(value))) => _ = known.insert(bits(f64::from(*value))),
            _ => has_null = true,
        }
    }
    Box::new(move |args| {
        let array = args.array(0);
        let found = match array.data_type() {
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                BooleanBuffer::collect_bool(args.rows, |row| known.contains(&bits(f64::from(values[args.row(0, row)]))))
            }
            _ => {
                let values = array.as_primitive::<Float64Type>().values();
                BooleanBuffer::collect_bool(args.rows, |row| known.contains(&bits(values[args.row(0, row)])))
            }
        };
        let nulls = args.nulls();
        // What is not found beside a null is unknown.
        let nulls =
            if has_null { NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(found.clone()))) } else { nulls };
        Ok(Arc::new(BooleanArray::new(found, nulls)))
    })
}

/// `IN` over constants as a hash set, over anything else as a chain of comparisons.
pub(super) fn in_list(
    site: &Site,
    operands: impl Fn() -> Result<Vec<Arc<dyn PhysicalExpr>>>,
    input: &SchemaRef,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some((value, list)) = site.operands.split_first() else { return Ok(None) };
    let kind = value.data_type.kind.to_arrow();
    let constant = list.iter().all(|item| matches!(&item.node, Node::Literal(literal) if literal.data_type() == kind));
    if constant && list.len() > 1 && kind.is_floating() {
        let mut operands = operands()?;
        operands.truncate(1);
        return Ok(Some(Arc::new(Call {
            name: site.function.to_owned(),
            operands,
            kernel: Arc::new(float_list(list)),
            result: Arc::new(Field::new(site.function, DataType::Boolean, true)),
            deterministic: true,
            // It makes no texts.
            budget: Budget::default(),
        })));
    }
    if constant && list.len() > 2 && !kind.is_nested() {
        let mut operands = operands()?;
        let value = operands.remove(0);
        return Ok(Some(static_list(value, operands, &false, input).map_err(from_datafusion)?));
    }
    let boolean = |nullable| LogicalType { kind: TypeKind::Boolean, nullable };
    let equals: Vec<Expression> = list
        .iter()
        .map(|item| {
            let nullable = value.data_type.nullable || item.data_type.nullable;
            Expression::call("=", vec![value.clone(), item.clone()], boolean(nullable))
        })
        .collect();
    let any = match equals.len() {
        1 => equals.into_iter().next(),
        _ => Some(Expression::call("OR", equals, boolean(true))),
    };
    any.map(|any| compile(&any, input, site.context)).transpose()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray};

    use super::*;
    use crate::expression::kernel::Operand;

    #[test]
    fn strings_are_ordered_by_their_utf16_units() {
        let texts =
            ["", " ", "a", "aa", "a\u{1F600}b", "é", "\u{D7FF}", "\u{1F600}", "\u{1F600}a", "\u{E000}", "\u{FFFF}x"];
        for left in texts {
            for right in texts {
                let units = left.encode_utf16().cmp(right.encode_utf16());
                assert_eq!(utf16_order(left, right), units, "{left:?} and {right:?}");
            }
        }
    }

    /// As nanoseconds the year 1 was null.
    #[test]
    fn timestamps_of_different_units_are_compared_as_they_are() {
        let coarse: ArrayRef =
            Arc::new(TimestampMillisecondArray::from(vec![Some(-62_135_596_800_000), Some(1), None, Some(2)]));
        let fine: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(1), Some(1_000_000), Some(1), Some(1)]));
        let args = Args::new([coarse, fine].map(|array| Operand { array, constant: false }).into(), 4);
        for (relation, expected) in [
            (Relation::Less, vec![Some(true), Some(false), None, Some(false)]),
            (Relation::Equal, vec![Some(false), Some(true), None, Some(false)]),
        ] {
            assert_eq!(compare(relation, &args).unwrap(), BooleanArray::from(expected), "{relation:?}");
        }
    }

    /// They could not be compared, and were cast to nanoseconds, which do not reach as far.
    #[test]
    fn timestamps_within_others_are_compared_as_they_are() {
        let coarse: ArrayRef =
            Arc::new(TimestampMillisecondArray::from(vec![Some(-62_135_596_800_000), Some(1), None, Some(1)]));
        let fine: ArrayRef =
            Arc::new(TimestampNanosecondArray::from(vec![Some(1), Some(1_000_000), None, Some(1_000_001)]));
        let field = |array: &ArrayRef| Field::new("t", array.data_type().clone(), true);
        let row = |array: &ArrayRef| -> ArrayRef {
            Arc::new(StructArray::new(vec![field(array)].into(), vec![array.clone()], None))
        };
        let list = |array: &ArrayRef| -> ArrayRef {
            let offsets = arrow::buffer::OffsetBuffer::from_lengths([1; 4]);
            Arc::new(ListArray::new(Arc::new(field(array)), offsets, array.clone(), None))
        };
        let map = |array: &ArrayRef| -> ArrayRef {
            let keys: ArrayRef = Arc::new(StringViewArray::from(vec!["k"; 4]));
            let fields = vec![Field::new("key", DataType::Utf8View, false), field(array)];
            let entries = StructArray::new(fields.into(), vec![keys, array.clone()], None);
            let entry = Arc::new(Field::new("entries", entries.data_type().clone(), false));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths([1; 4]);
            Arc::new(MapArray::new(entry, offsets, entries, None, false))
        };
        for (left, right) in [
            (row(&coarse), row(&fine)),
            (list(&coarse), list(&fine)),
            (list(&row(&coarse)), list(&row(&fine))),
            (map(&coarse), map(&fine)),
            (row(&map(&coarse)), row(&map(&fine))),
        ] {
            let args = Args::new([left, right].map(|array| Operand { array, constant: false }).into(), 4);
            let expected = BooleanArray::from(vec![false, true, true, false]);
            assert_eq!(compare(Relation::Equal, &args).unwrap(), expected, "{}", args.array(0).data_type());
        }
    }

    /// -0.0 was not less than a DECIMAL of zero, and NaN not above it.
    #[test]
    fn decimals_and_doubles_are_ordered_as_objects() {
        let doubles = vec![Some(-0.0), Some(0.0), Some(f64::NAN), Some(-f64::NAN), Some(-1.0), None];
        let doubles: ArrayRef = Arc::new(Float64Array::from(doubles));
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![0_i128; 6]).with_precision_and_scale(10, 2).unwrap());
        let zero: ArrayRef = Arc::new(Decimal128Array::from(vec![0_i128]).with_precision_and_scale(2, 2).unwrap());
        let some = |values: [bool; 5]| values.map(Some).into_iter().chain([None]).collect::<BooleanArray>();
        for (right, constant) in [(decimals, false), (zero, true)] {
            let right = Operand { array: right, constant };
            let args = Args::new(vec![Operand { array: doubles.clone(), constant: false }, right], 6);
            for (relation, expected) in [
                (Relation::Less, [true, false, false, false, true]),
                (Relation::GreaterOrEqual, [false, true, true, true, false]),
                (Relation::Greater, [false, false, true, true, false]),
                (Relation::NotEqual, [true, false, true, true, true]),
            ] {
                assert_eq!(compare(relation, &args).unwrap(), some(expected), "{relation:?}");
            }
        }
    }

    #[test]
    fn comparisons_know_of_surrogates_in_columns_and_constants() {
        let column = |texts: &[&str]| -> ArrayRef { Arc::new(texts.iter().map(Some).collect::<StringViewArray>()) };
        let operand = |texts: &[&str], constant| Operand { array: column(texts), constant };
        let args = Args::new(vec![operand(&["\u{E000}", "a"], false), operand(&["\u{1F600}", "b"], false)], 2);
        assert_eq!(compare(Relation::Less, &args).unwrap(), BooleanArray::from(vec![false, true]));
        let args = Args::new(vec![operand(&["\u{E000}", "a"], false), operand(&["\u{1F600}"], true)], 2);
        assert_eq!(compare(Relation::Less, &args).unwrap(), BooleanArray::from(vec![false, true]));
        let args = Args::new(vec![operand(&["\u{E000}", "a"], false), operand(&["b"], true)], 2);
        assert_eq!(compare(Relation::Less, &args).unwrap(), BooleanArray::from(vec![false, true]));
    }

    #[test]
    fn lists_of_floats_hold_objects() {
        let double = || TypeKind::Double.not_null();
        let literal = |value| Expression::literal(ScalarValue::Float64(value), double());
        let values: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(2.0), None]));
        let args = || Args::new(vec![Operand { array: values.clone(), constant: false }], 5);
        let found = float_list(&[literal(Some(0.0)), literal(Some(2.0))])(&args()).unwrap();
        let expected = BooleanArray::from(vec![Some(true), Some(false), Some(false), Some(true), None]);
        assert_eq!(found.as_boolean(), &expected);
        let found = float_list(&[literal(Some(f64::NAN)), literal(None)])(&args()).unwrap();
        let expected = BooleanArray::from(vec![None, None, Some(true), None, None]);
        assert_eq!(found.as_boolean(), &expected);
    }
}
