//! `=`, `<>`, `<`, `<=`, `>`, `>=`, `IS_DISTINCT_FROM`, `IN`, as Flink's generated code compares: floats as Java's
//! primitives (NaN equals nothing, -0.0 equals 0.0), strings and bytes by their bytes, decimals by their numbers.
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray, make_comparator};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::SortOptions;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, SchemaRef, i256};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::in_list as static_list;

use super::compile::{Site, compile};
use super::kernel::{Args, Kernel, from_datafusion};
use super::{Expression, Node};
use crate::operator::{Error, Result};
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
        (DataType::Timestamp(_, l), DataType::Timestamp(_, r)) if l == r => {
            let finest = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, l.clone());
            let cast = |index: usize| arrow::compute::cast(args.array(index), &finest);
            let (one, other) = (cast(0)?, cast(1)?);
            let operands = [(one, 0), (other, 1)]
                .map(|(array, index)| super::kernel::Operand { array, constant: args.operand(index).constant });
            compare(relation, &Args::new(operands.into(), args.rows))
        }
        (DataType::Map(..), DataType::Map(..)) => maps(relation, args),
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

fn nested(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let comparator = make_comparator(args.array(0), args.array(1), SortOptions::default())?;
    let values =
        BooleanBuffer::collect_bool(args.rows, |row| relation.holds(comparator(args.row(0, row), args.row(1, row))));
    Ok(BooleanArray::new(values, args.nulls()))
}

/// Maps are equal if they hold the same entries in whatever order.
fn maps(relation: Relation, args: &Args) -> Result<BooleanArray> {
    let (left, right) = (args.array(0).as_map(), args.array(1).as_map());
    let keys = make_comparator(left.keys(), right.keys(), SortOptions::default())?;
    let values = make_comparator(left.values(), right.values(), SortOptions::default())?;
    let (left, right) = (left.value_offsets(), right.value_offsets());
    let equal = BooleanBuffer::collect_bool(args.rows, |row| {
        let (one, other) = (args.row(0, row), args.row(1, row));
        let one = left[one] as usize..left[one + 1] as usize;
        let other = right[other] as usize..right[other + 1] as usize;
        let same = one.len() == other.len()
            && one.clone().all(|l| other.clone().any(|r| keys(l, r).is_eq() && values(l, r).is_eq()));
        relation.holds(if same { Ordering::Equal } else { Ordering::Less })
    });
    Ok(BooleanArray::new(equal, args.nulls()))
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
    if constant && list.len() > 2 && !kind.is_floating() && !kind.is_nested() {
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
