//! Casts among DATE, TIME, TIMESTAMP and TIMESTAMP_LTZ.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};

use super::{Cast, identity};
use crate::error::{Error, Result};
use crate::expression::Zone;
use crate::expression::datetime::{DAY, Instant, timestamps};
use crate::types::{TypeKind, timestamp_unit};

/// A cast between two temporal types; none if there is no such cast.
pub(super) fn cast(from: &TypeKind, to: &TypeKind, zone: Zone) -> Option<Cast> {
    use TypeKind as T;
    Some(match (from, to) {
        (T::Date, T::Timestamp(..)) => {
            let target = to.clone();
            Box::new(move |array| {
                let days = array.as_primitive::<Date32Type>();
                instants(&target, days, |day| Instant::from_millis(i64::from(day) * DAY))
            })
        }
        (T::Date, T::TimestampLtz(..)) => {
            let target = to.clone();
            Box::new(move |array| {
                let days = array.as_primitive::<Date32Type>();
                instants(&target, days, |day| to_instant(Instant::from_millis(i64::from(day) * DAY), zone))
            })
        }
        (T::Time(_), T::Timestamp(..)) => {
            let target = to.clone();
            Box::new(move |array| {
                let times = array.as_primitive::<Time32MillisecondType>();
                instants(&target, times, |time| Instant::from_millis(i64::from(time)))
            })
        }
        (T::Time(_), T::TimestampLtz(..)) => {
            let target = to.clone();
            Box::new(move |array| {
                let times = array.as_primitive::<Time32MillisecondType>();
                instants(&target, times, |time| to_instant(Instant::from_millis(i64::from(time)), zone))
            })
        }
        (T::Time(source), T::Time(precision)) => {
            if precision >= source {
                return Some(identity());
            }
            let unit = time_unit(*precision);
            Box::new(move |array| {
                let times: PrimitiveArray<Time32MillisecondType> =
                    array.as_primitive::<Time32MillisecondType>().unary(|time| time / unit * unit);
                Ok(Arc::new(times))
            })
        }
        (T::Timestamp(source, _), T::Timestamp(precision, _))
        | (T::TimestampLtz(source, _), T::TimestampLtz(precision, _)) => {
            if source == precision {
                return Some(identity());
            }
            convert(to, |instant| instant)
        }
        (T::Timestamp(..), T::TimestampLtz(..)) => convert(to, move |local| to_instant(local, zone)),
        (T::TimestampLtz(..), T::Timestamp(..)) => convert(to, move |instant| to_local(instant, zone)),
        // Towards zero: before 1970 Flink gives the day after for all but midnight.
        (T::Timestamp(..), T::Date) => Box::new(|array| date_of(array, |local| local.millis / DAY)),
        (T::TimestampLtz(..), T::Date) => {
            Box::new(move |array| date_of(array, |instant| to_local(instant, zone).millis.div_euclid(DAY)))
        }
        (T::Timestamp(..), T::Time(precision)) => {
            let unit = time_unit(*precision);
            // Towards zero, as for a DATE.
            let whole = move |local: Instant| local.millis / i64::from(unit) * i64::from(unit);
            Box::new(move |array| time_of(array, unit, |local| Instant { millis: whole(local), ..local }))
        }
        (T::TimestampLtz(..), T::Time(precision)) => {
            let unit = time_unit(*precision);
            Box::new(move |array| time_of(array, unit, |instant| to_local(instant, zone)))
        }
        (T::Date, T::Date) => identity(),
        _ => return None,
    })
}

/// The instant of a local time.
pub(crate) fn to_instant(local: Instant, zone: Zone) -> Instant {
    local.plus_seconds(-zone.offset_of_local(local.millis.div_euclid(1000)))
}

/// The local time of an instant.
pub(crate) fn to_local(instant: Instant, zone: Zone) -> Instant {
    instant.plus_seconds(zone.offset_at(instant.millis.div_euclid(1000)))
}

fn time_unit(precision: u8) -> i32 {
    10_i32.pow(u32::from(3 - precision.min(3)))
}

/// The precision and the Arrow type of a timestamp type.
fn precision_of(kind: &TypeKind) -> Result<(u8, DataType)> {
    match kind {
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => Ok((*precision, kind.to_arrow())),
        _ => Err(Error::Plan(format!("{kind} is no timestamp"))),
    }
}

fn instants<F: ArrowPrimitiveType>(
    target: &TypeKind,
    source: &PrimitiveArray<F>,
    convert: impl Fn(F::Native) -> Instant,
) -> Result<ArrayRef> {
    let (precision, data_type) = precision_of(target)?;
    let unit = timestamp_unit(precision);
    let counts: PrimitiveArray<Int64Type> =
        source.try_unary(|value| convert(value).truncated(precision).count(unit))?;
    Ok(as_timestamps(&counts, unit, data_type))
}

/// Counts as a column of timestamps.
pub(crate) fn as_timestamps(counts: &PrimitiveArray<Int64Type>, unit: TimeUnit, data_type: DataType) -> ArrayRef {
    match unit {
        TimeUnit::Microsecond => {
            Arc::new(counts.reinterpret_cast::<TimestampMicrosecondType>().with_data_type(data_type))
        }
        TimeUnit::Nanosecond => {
            Arc::new(counts.reinterpret_cast::<TimestampNanosecondType>().with_data_type(data_type))
        }
        _ => Arc::new(counts.reinterpret_cast::<TimestampMillisecondType>().with_data_type(data_type)),
    }
}

fn convert(to: &TypeKind, convert: impl Fn(Instant) -> Instant + Send + Sync + 'static) -> Cast {
    let target = to.clone();
    Box::new(move |array| {
        let (counts, unit) = timestamps(array)?;
        let counts = PrimitiveArray::<Int64Type>::new(counts.to_vec().into(), array.nulls().cloned());
        instants(&target, &counts, |count| convert(Instant::of(count, unit)))
    })
}

fn date_of(array: &ArrayRef, day: impl Fn(Instant) -> i64) -> Result<ArrayRef> {
    let (counts, unit) = timestamps(array)?;
    let days = counts.iter().map(|count| day(Instant::of(*count, unit)) as i32);
    Ok(Arc::new(PrimitiveArray::<Date32Type>::new(days.collect(), array.nulls().cloned())))
}

fn time_of(array: &ArrayRef, precision: i32, local: impl Fn(Instant) -> Instant) -> Result<ArrayRef> {
    let (counts, unit) = timestamps(array)?;
    let times = counts.iter().map(|count| {
        let time = local(Instant::of(*count, unit)).millis.rem_euclid(DAY) as i32;
        time / precision * precision
    });
    Ok(Arc::new(PrimitiveArray::<Time32MillisecondType>::new(times.collect(), array.nulls().cloned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimeAttribute;

    /// They were null, or failed the job because a column that is NOT NULL held one.
    #[test]
    fn a_time_that_nanoseconds_cannot_count_is_an_error() {
        let timestamp = |precision| TypeKind::Timestamp(precision, TimeAttribute::Regular);
        let local = |precision| TypeKind::TimestampLtz(precision, TimeAttribute::Regular);
        let year_one: ArrayRef = Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(vec![-62_135_596_800_000]));
        let last_day: ArrayRef = Arc::new(PrimitiveArray::<Date32Type>::from(vec![2_932_896]));
        for (from, to, array, text) in [
            (timestamp(3), timestamp(9), &year_one, "0001-01-01 00:00:00.000000000"),
            (timestamp(3), local(7), &year_one, "0001-01-01 00:00:00.000000000"),
            (TypeKind::Date, timestamp(9), &last_day, "9999-12-31 00:00:00.000000000"),
        ] {
            let error = cast(&from, &to, Zone::UTC).unwrap()(array).unwrap_err().to_string();
            assert!(error.contains(&format!("the timestamp {text} is out of range: ")), "{error}");
        }
        assert!(cast(&timestamp(3), &timestamp(6), Zone::UTC).unwrap()(&year_one).is_ok());
        assert!(cast(&TypeKind::Date, &timestamp(6), Zone::UTC).unwrap()(&last_day).is_ok());
    }
}
