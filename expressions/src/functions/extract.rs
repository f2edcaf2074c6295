//! EXTRACT and the functions named after its units. Timestamps before 1970 are split as Flink splits them: by division
//! towards zero.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMillisecondType, Int64Type, IntervalYearMonthType, Time32MillisecondType,
};

use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::datetime::{DAY, Instant, civil, days, timestamps};
use crate::expression::kernel::Kernel;
use crate::types::TypeKind;

/// What a unit takes of a count of days.
fn of_date(unit: &str) -> Option<fn(i64) -> i64> {
    Some(match unit {
        "YEAR" => |day| civil(day).0,
        "QUARTER" => |day| (civil(day).1 + 2) / 3,
        "MONTH" => |day| civil(day).1,
        "WEEK" => |day| iso_week(day).1,
        "DAY" => |day| civil(day).2,
        "DOW" => |day| (day + 4).rem_euclid(7) + 1,
        "ISODOW" => |day| (day + 3).rem_euclid(7) + 1,
        "DOY" => day_of_year,
        "ISOYEAR" => |day| iso_week(day).0,
        "DECADE" => |day| civil(day).0.div_euclid(10),
        "CENTURY" => |day| since(civil(day).0, 100),
        "MILLENNIUM" => |day| since(civil(day).0, 1000),
        "EPOCH" => |day| day * 86_400,
        _ => return None,
    })
}

fn since(year: i64, span: i64) -> i64 {
    if year > 0 { (year + span - 1) / span } else { (year - span + 1) / span }
}

/// The day's number in its year, from 1.
pub(super) fn day_of_year(day: i64) -> i64 {
    day - days(civil(day).0, 1, 1) + 1
}

/// The ISO 8601 year and week of a day.
pub(super) fn iso_week(day: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    (civil(thursday).0, (day_of_year(thursday) - 1) / 7 + 1)
}

/// What a unit takes of the milliseconds of a day or of a timestamp, with the nanoseconds below.
fn of_time(unit: &str) -> Option<fn(Instant) -> i64> {
    Some(match unit {
        "HOUR" => |at| at.millis % DAY / 3_600_000,
        "MINUTE" => |at| at.millis % 3_600_000 / 60_000,
        "SECOND" => |at| at.millis % 60_000 / 1000,
        "MILLISECOND" => |at| at.millis % 1000,
        "MICROSECOND" => |at| at.millis % 1000 * 1000 + at.nanos / 1000,
        "NANOSECOND" => |at| at.millis % 1000 * 1_000_000 + at.nanos,
        "EPOCH" => |at| at.millis / 1000,
        _ => return None,
    })
}

pub(super) fn extract(site: &Site) -> Result<Kernel> {
    let (unit, index) = match site.function {
        "EXTRACT" => (site.text(0).ok_or_else(|| site.unsupported())?.to_ascii_uppercase(), 1),
        "DAYOFYEAR" => ("DOY".into(), 0),
        "DAYOFMONTH" => ("DAY".into(), 0),
        "DAYOFWEEK" => ("DOW".into(), 0),
        unit => (unit.to_owned(), 0),
    };
    let (date, time) = (of_date(&unit), of_time(&unit));
    let unknown =
        || Error::Plan(format!("EXTRACT({unit} FROM {}) is not supported", site.operands[index].data_type.kind));
    let zone = site.context.zone;
    Ok(match site.operand_type(index)? {
        TypeKind::Date => match date {
            Some(part) => Box::new(move |args| {
                let longs: PrimitiveArray<Int64Type> =
                    args.array(index).as_primitive::<Date32Type>().unary(|day| part(i64::from(day)));
                Ok(Arc::new(longs))
            }),
            None => Box::new(move |args| {
                let longs: PrimitiveArray<Int64Type> = args.array(index).as_primitive::<Date32Type>().unary(|_| 0);
                Ok(Arc::new(longs))
            }),
        },
        TypeKind::Time(_) => {
            let part = time.ok_or_else(unknown)?;
            Box::new(move |args| {
                let times = args.array(index).as_primitive::<Time32MillisecondType>();
                let longs: PrimitiveArray<Int64Type> = times.unary(|time| part(Instant::from_millis(i64::from(time))));
                Ok(Arc::new(longs))
            })
        }
        TypeKind::Timestamp(..) => match (time, date) {
            (Some(part), _) => Box::new(move |args| of_instants(args.array(index), part)),
            (None, Some(part)) => Box::new(move |args| of_instants(args.array(index), move |at| part(at.millis / DAY))),
            (None, None) => return Err(unknown()),
        },
        TypeKind::TimestampLtz(..) => {
            let local = move |at: Instant| at.plus_seconds(zone.offset_at(at.millis.div_euclid(1000)));
            match (time, date) {
                (Some(part), _) => Box::new(move |args| of_instants(args.array(index), move |at| part(local(at)))),
                (None, Some(part)) => {
                    Box::new(move |args| of_instants(args.array(index), move |at| part(local(at).millis / DAY)))
                }
                (None, None) => return Err(unknown()),
            }
        }
        TypeKind::IntervalDayTime(_) => {
            let part: fn(i64) -> i64 = match unit.as_str() {
                "DAY" => |millis| millis / DAY,
                "HOUR" => |millis| millis % DAY / 3_600_000,
                "MINUTE" => |millis| millis % 3_600_000 / 60_000,
                "SECOND" => |millis| millis % 60_000 / 1000,
                "MILLISECOND" => |millis| millis % 60_000,
                "EPOCH" => |millis| millis / 1000,
                _ => return Err(unknown()),
            };
            Box::new(move |args| {
                let longs: PrimitiveArray<Int64Type> =
                    args.array(index).as_primitive::<DurationMillisecondType>().unary(part);
                Ok(Arc::new(longs))
            })
        }
        TypeKind::IntervalYearMonth(_) => {
            let part: fn(i32) -> i64 = match unit.as_str() {
                "YEAR" => |months| i64::from(months / 12),
                "MONTH" => |months| i64::from(months % 12),
                "QUARTER" => |months| i64::from(months % 12 / 3 + 1),
                _ => return Err(unknown()),
            };
            Box::new(move |args| {
                let longs: PrimitiveArray<Int64Type> =
                    args.array(index).as_primitive::<IntervalYearMonthType>().unary(part);
                Ok(Arc::new(longs))
            })
        }
        TypeKind::Null => Box::new(move |args| Ok(arrow::array::new_null_array(&DataType::Int64, args.rows))),
        _ => return Err(site.unsupported()),
    })
}

fn of_instants(array: &ArrayRef, part: impl Fn(Instant) -> i64) -> Result<ArrayRef> {
    let (counts, unit) = timestamps(array)?;
    let longs = counts.iter().map(|count| part(Instant::of(*count, unit)));
    Ok(Arc::new(PrimitiveArray::<Int64Type>::new(longs.collect(), array.nulls().cloned())))
}
