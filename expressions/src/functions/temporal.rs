//! Dates and times plus intervals, their differences, rounding to units, and the functions that read the clock.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMillisecondType, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType,
    TimeUnit,
};

use crate::cast::{as_timestamps, to_local};
use crate::error::{Error, Result};
use crate::expression::NO_WATERMARK;
use crate::expression::compile::Site;
use crate::expression::datetime::{DAY, Instant, add_months, civil, days, timestamps};
use crate::expression::kernel::{Args, Kernel};
use crate::types::{TypeKind, timestamp_unit};

/// A temporal operand as instants: dates at midnight, times on the first day.
fn instants(array: &ArrayRef) -> Result<Vec<Instant>> {
    Ok(match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().values();
            days.iter().map(|day| Instant::from_millis(i64::from(*day) * DAY)).collect()
        }
        DataType::Time32(_) => {
            let times = array.as_primitive::<Time32MillisecondType>().values();
            times.iter().map(|time| Instant::from_millis(i64::from(*time))).collect()
        }
        _ => {
            let (counts, unit) = timestamps(array)?;
            counts.iter().map(|count| Instant::of(*count, unit)).collect()
        }
    })
}

/// Instants as a column of a temporal type.
fn from_instants(kind: &TypeKind, args: &Args, value: impl Fn(usize) -> Instant) -> Result<ArrayRef> {
    let nulls = args.nulls();
    let rows = 0..args.rows;
    Ok(match kind {
        TypeKind::Date => {
            // Towards zero, as Flink divides.
            let days = rows.map(|row| (value(row).millis / DAY) as i32);
            Arc::new(PrimitiveArray::<Date32Type>::new(days.collect(), nulls))
        }
        TypeKind::Time(_) => {
            let times = rows.map(|row| value(row).millis.rem_euclid(DAY) as i32);
            Arc::new(PrimitiveArray::<Time32MillisecondType>::new(times.collect(), nulls))
        }
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => {
            let unit = timestamp_unit(*precision);
            let counts = rows.map(|row| match &nulls {
                Some(nulls) if nulls.is_null(row) => Ok(None),
                _ => value(row).count(unit).map(Some),
            });
            let counts: PrimitiveArray<Int64Type> = counts.collect::<Result<Vec<_>>>()?.into_iter().collect();
            as_timestamps(&counts, unit, kind.to_arrow())
        }
        other => return Err(Error::Plan(format!("{other} where a date or time was expected"))),
    })
}

fn plus_months(at: Instant, months: i64) -> Instant {
    let (day, time) = (at.millis.div_euclid(DAY), at.millis.rem_euclid(DAY));
    Instant { millis: add_months(day, months) * DAY + time, nanos: at.nanos }
}

/// `TIMESTAMP_ADD(datetime, interval)`.
pub(super) fn add(site: &Site) -> Result<Kernel> {
    let kind = site.data_type.kind.clone();
    let from = site.operand_type(0)?.clone();
    if matches!(site.operand_type(1)?, TypeKind::IntervalYearMonth(_)) {
        return Ok(Box::new(move |args| {
            let at = instants(args.array(0))?;
            let months = args.array(1).as_primitive::<IntervalYearMonthType>().values();
            from_instants(&kind, args, |row| plus_months(at[args.row(0, row)], i64::from(months[args.row(1, row)])))
        }));
    }
    let millis_only =
        |kind: &TypeKind| matches!(kind, TypeKind::Timestamp(0..=3, _) | TypeKind::TimestampLtz(0..=3, _));
    let fast = millis_only(&kind) && millis_only(&from);
    let date = from == TypeKind::Date;
    Ok(Box::new(move |args| {
        let durations = args.array(1).as_primitive_opt::<DurationMillisecondType>();
        let durations = durations.ok_or_else(|| Error::Plan("an interval was expected".into()))?.values();
        if fast {
            let (counts, _) = timestamps(args.array(0))?;
            let sums = match (args.operand(0).constant, args.operand(1).constant) {
                (false, true) => {
                    let duration = durations[0];
                    counts.iter().map(|count| count.wrapping_add(duration)).collect()
                }
                _ => (0..args.rows)
                    .map(|row| counts[args.row(0, row)].wrapping_add(durations[args.row(1, row)]))
                    .collect(),
            };
            let sums = PrimitiveArray::<Int64Type>::new(sums, args.nulls());
            return Ok(as_timestamps(&sums, TimeUnit::Millisecond, kind.to_arrow()));
        }
        let at = instants(args.array(0))?;
        from_instants(&kind, args, |row| {
            let (at, by) = (at[args.row(0, row)], durations[args.row(1, row)]);
            // A date is moved by whole days.
            let by = if date && kind == TypeKind::Date { by / DAY * DAY } else { by };
            Instant { millis: at.millis.wrapping_add(by), nanos: at.nanos }
        })
    }))
}

/// `TIMESTAMP_DIFF(a, b)`: the interval from b to a.
pub(super) fn difference(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    if matches!(site.data_type.kind, TypeKind::IntervalYearMonth(_)) {
        return Ok(Box::new(|args| {
            let (to, from) = (instants(args.array(0))?, instants(args.array(1))?);
            let months = (0..args.rows).map(|row| months_between(from[args.row(1, row)], to[args.row(0, row)]) as i32);
            Ok(Arc::new(PrimitiveArray::<IntervalYearMonthType>::new(months.collect(), args.nulls())))
        }));
    }
    Ok(Box::new(|args| {
        let (to, from) = (instants(args.array(0))?, instants(args.array(1))?);
        let millis = (0..args.rows).map(|row| to[args.row(0, row)].millis.wrapping_sub(from[args.row(1, row)].millis));
        Ok(Arc::new(PrimitiveArray::<DurationMillisecondType>::new(millis.collect(), args.nulls())))
    }))
}

/// Whole months from one instant to another, where the last day of a month may stand for a later one: from January 31st
/// to February 29th it is one.
fn months_between(from: Instant, to: Instant) -> i64 {
    let split = |at: Instant| (at.millis.div_euclid(DAY), at.millis.rem_euclid(DAY));
    let ((from_day, from_time), (to_day, to_time)) = (split(from), split(to));
    let months = if to_day >= from_day { months_of_days(from_day, to_day) } else { -months_of_days(to_day, from_day) };
    months - i64::from(add_months(from_day, months) == to_day && to_time < from_time)
}

/// The most months after which a day is not after another that is not before it.
fn months_of_days(from: i64, to: i64) -> i64 {
    let mut months = (to - from) / 31;
    while add_months(from, months) < to && add_months(from, months + 1) <= to {
        months += 1;
    }
    months
}

/// Milliseconds of a unit; none for months and longer.
fn unit_millis(unit: &str) -> Option<i64> {
    Some(match unit {
        "MILLISECOND" => 1,
        "SECOND" => 1000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        "DAY" => DAY,
        "WEEK" => 7 * DAY,
        _ => return None,
    })
}

fn unit_months(unit: &str) -> Option<i64> {
    Some(match unit {
        "MONTH" => 1,
        "QUARTER" => 3,
        "YEAR" => 12,
        "DECADE" => 120,
        "CENTURY" => 1_200,
        "MILLENNIUM" => 12_000,
        _ => return None,
    })
}

fn unit_of(site: &Site, index: usize) -> Result<String> {
    let unit = site.text(index).ok_or_else(|| site.unsupported())?;
    let unit = unit.to_ascii_uppercase();
    Ok(unit.strip_prefix("SQL_TSI_").map_or(unit.clone(), str::to_owned))
}

/// `TIMESTAMPADD(unit, count, datetime)`.
pub(super) fn add_units(site: &Site) -> Result<Kernel> {
    let unit = unit_of(site, 0)?;
    site.operand_type(2)?;
    let kind = site.data_type.kind.clone();
    let (millis, months) = (unit_millis(&unit), unit_months(&unit));
    if millis.is_none() && months.is_none() {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let at = instants(args.array(2))?;
        let counts = arrow::compute::cast(args.array(1), &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>().values();
        from_instants(&kind, args, |row| {
            let (at, count) = (at[args.row(2, row)], counts[args.row(1, row)]);
            match (millis, months) {
                (Some(millis), _) => {
                    Instant { millis: at.millis.wrapping_add(count.wrapping_mul(millis)), nanos: at.nanos }
                }
                (None, months) => plus_months(at, count.wrapping_mul(months.unwrap_or(1))),
            }
        })
    }))
}

/// `TIMESTAMPDIFF(unit, from, to)`.
pub(super) fn count_units(site: &Site) -> Result<Kernel> {
    let unit = unit_of(site, 0)?;
    site.operand_type(2)?;
    if let "MICROSECOND" | "NANOSECOND" = unit.as_str() {
        return Ok(count_fractions(unit == "NANOSECOND"));
    }
    let (millis, months) = (unit_millis(&unit), unit_months(&unit));
    if millis.is_none() && months.is_none() {
        return Err(site.unsupported());
    }
    Ok(Box::new(move |args| {
        let (from, to) = (instants(args.array(1))?, instants(args.array(2))?);
        let counts = (0..args.rows).map(|row| {
            let (from, to) = (from[args.row(1, row)], to[args.row(2, row)]);
            match (millis, months) {
                (Some(millis), _) => (to.millis.wrapping_sub(from.millis) / millis) as i32,
                (None, months) => (months_between(from, to) / months.unwrap_or(1)) as i32,
            }
        });
        Ok(Arc::new(PrimitiveArray::<Int32Type>::new(counts.collect(), args.nulls())))
    }))
}

/// Microseconds as INT, which overflows as in Flink, or nanoseconds as BIGINT.
fn count_fractions(nanos: bool) -> Kernel {
    Box::new(move |args| {
        let (from, to) = (instants(args.array(1))?, instants(args.array(2))?);
        let counts = (0..args.rows).map(|row| {
            let (from, to) = (from[args.row(1, row)], to[args.row(2, row)]);
            let fraction = to.nanos - from.nanos;
            to.millis.wrapping_sub(from.millis).wrapping_mul(1_000_000).wrapping_add(fraction)
        });
        if nanos {
            return Ok(Arc::new(PrimitiveArray::<Int64Type>::new(counts.collect(), args.nulls())));
        }
        let micros = counts.map(|count| (count / 1000) as i32);
        Ok(Arc::new(PrimitiveArray::<Int32Type>::new(micros.collect(), args.nulls())))
    })
}

/// A day rounded down or up to a unit of days or longer.
fn round_day(unit: &str, day: i64, up: bool) -> Option<i64> {
    let (year, month, first) = civil(day);
    let next = |months: i64| {
        let months = year * 12 + month - 1 + months;
        days(months.div_euclid(12), months.rem_euclid(12) + 1, 1)
    };
    let span = |span: i64| span * ((year + span - 1) / span);
    Some(match unit {
        "DAY" => day + i64::from(up),
        "WEEK" => {
            let sunday = day - (day + 4).rem_euclid(7);
            if up && sunday != day { sunday + 7 } else { sunday }
        }
        "MONTH" if up && first > 1 => next(1),
        "MONTH" => next(0),
        // As Flink: from the first of a quarter but the year's on to the next.
        "QUARTER" if up && (first > 1 || month > 1) => next(3 - (month - 1) % 3),
        "QUARTER" => next(-((month - 1) % 3)),
        "YEAR" if up && (first > 1 || month > 1) => days(year + 1, 1, 1),
        "YEAR" => days(year, 1, 1),
        "DECADE" => days(10 * (year / 10 + i64::from(up)), 1, 1),
        "CENTURY" => days(if up { span(100) + 1 } else { span(100) - 99 }, 1, 1),
        "MILLENNIUM" => days(if up { span(1000) + 1 } else { span(1000) - 999 }, 1, 1),
        _ => return None,
    })
}

fn round_millis(value: i64, unit: i64, up: bool) -> i64 {
    let floor = value.div_euclid(unit) * unit;
    if up && floor != value { floor + unit } else { floor }
}

/// FLOOR and CEIL of a datetime to a unit; without a unit they are functions of numbers.
pub(super) fn round_to_unit(site: &Site) -> Result<Kernel> {
    if site.operands.len() < 2 {
        return super::numeric::round_to_whole(site);
    }
    let unit = unit_of(site, 1)?;
    let up = site.function == "CEIL";
    let kind = site.data_type.kind.clone();
    let zone = matches!(site.operand_type(0)?, TypeKind::TimestampLtz(..)).then_some(site.context.zone);
    let date = kind == TypeKind::Date;
    let short = unit_millis(&unit).filter(|_| unit != "WEEK" && !date);
    if short.is_none() && round_day(&unit, 0, up).is_none() {
        return if date { Ok(Box::new(|args| Ok(args.array(0).clone()))) } else { Err(site.unsupported()) };
    }
    Ok(Box::new(move |args| {
        let at = instants(args.array(0))?;
        from_instants(&kind, args, |row| {
            let at = at[args.row(0, row)];
            let offset = zone.map_or(0, |zone| zone.offset_at(at.millis.div_euclid(1000)) * 1000);
            let local = at.millis + offset;
            let rounded = match short {
                Some(1) if up && at.nanos > 0 => local + 1,
                Some(unit) => round_millis(local, unit, up),
                // Towards zero, as Flink counts days here.
                None => round_day(&unit, if date { local.div_euclid(DAY) } else { local / DAY }, up).unwrap_or(0) * DAY,
            };
            Instant::from_millis(rounded - offset)
        })
    }))
}

/// The clock, once a batch.
pub(super) fn clock(site: &Site) -> Result<Kernel> {
    let (clock, zone, kind) = (site.context.clock.clone(), site.context.zone, site.data_type.kind.clone());
    let local = matches!(site.function, "LOCALTIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIME" | "LOCALTIME");
    Ok(Box::new(move |args| {
        let now = Instant::from_millis(clock.now_millis());
        let now = if local { to_local(now, zone) } else { now };
        from_instants(&kind, args, |_| now)
    }))
}

/// The operator's watermark; null before the first.
pub(super) fn watermark(site: &Site) -> Result<Kernel> {
    let (watermark, kind) = (site.context.watermark.clone(), site.data_type.kind.clone());
    Ok(Box::new(move |args| {
        let millis = watermark.load(Ordering::Relaxed);
        if millis == NO_WATERMARK {
            return Ok(arrow::array::new_null_array(&kind.to_arrow(), args.rows));
        }
        let args = Args::new(vec![], args.rows);
        from_instants(&kind, &args, |_| Instant::from_millis(millis))
    }))
}
