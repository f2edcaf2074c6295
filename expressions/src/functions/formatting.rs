//! DATE_FORMAT, TO_TIMESTAMP, TO_TIMESTAMP_LTZ, TO_DATE, FROM_UNIXTIME, UNIX_TIMESTAMP, CONVERT_TZ.
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit};

use crate::cast::{as_timestamps, to_instant, to_local};
use crate::error::{Error, Result};
use crate::expression::Zone;
use crate::expression::compile::Site;
use crate::expression::date_patterns::date_time_formatter::{DateTimeFormatter, Reading};
use crate::expression::date_patterns::simple_date_format::SimpleDateFormat;
use crate::expression::datetime::{DAY, Instant, add_months, parse_date, parse_timestamp, timestamps};
use crate::expression::decimal;
use crate::expression::java_sql;
use crate::expression::kernel::{Args, Kernel, Reader, Text};
use crate::types::{TypeKind, timestamp_unit};

/// A pattern operand: prepared once if constant, else when it changes.
struct Formats<P> {
    parse: fn(&str) -> Result<P>,
    constant: Option<P>,
    index: usize,
}

impl<P> Formats<P> {
    fn of(site: &Site, index: usize, default: &str, parse: fn(&str) -> Result<P>) -> Result<Self> {
        let constant = match site.operands.len() > index {
            true => match site.text(index) {
                // A malformed one fails when it is used.
                Some(text) => parse(text).ok(),
                None => None,
            },
            false => Some(parse(default)?),
        };
        Ok(Self { parse, constant, index })
    }

    fn reader<'a>(&'a self, args: &'a Args) -> Result<FormatReader<'a, P>> {
        let texts = if self.constant.is_none() { Some(args.read::<Text>(self.index)?) } else { None };
        Ok(FormatReader { formats: self, texts, last: None })
    }
}

struct FormatReader<'a, P> {
    formats: &'a Formats<P>,
    texts: Option<Reader<'a, Text>>,
    last: Option<(&'a str, P)>,
}

impl<P> FormatReader<'_, P> {
    fn get(&mut self, row: usize) -> Result<Option<&P>> {
        if let Some(constant) = &self.formats.constant {
            return Ok(Some(constant));
        }
        let Some(text) = self.texts.as_ref().and_then(|texts| texts.get(row)) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, (self.formats.parse)(text)?));
        }
        Ok(self.last.as_ref().map(|(_, pattern)| pattern))
    }
}

/// When the hundred years begin that years of two digits are of: eighty years ago, as Java's class has it.
fn century(site: &Site) -> i64 {
    let now = site.context.clock.now_millis();
    add_months(now.div_euclid(DAY), -80 * 12) * DAY + now.rem_euclid(DAY)
}

/// `DATE_FORMAT(timestamp or text, pattern)`.
pub(super) fn date_format(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    if matches!(site.operand_type(0)?, TypeKind::Char(_) | TypeKind::Varchar(_)) {
        // Texts are read and written by the older of Java's two classes.
        let formats = Formats::of(site, 1, "", SimpleDateFormat::parse)?;
        let (default, century) = (SimpleDateFormat::parse(DEFAULT)?, century(site));
        return Ok(Box::new(move |args| {
            let text = args.read::<Text>(0)?;
            let mut formats = formats.reader(args)?;
            args.strings(|row, out| {
                let (Some(text), Some(format)) = (text.get(row), formats.get(row)?) else { return Ok(false) };
                let Some(moment) = default.read(text, century) else { return Ok(false) };
                format.write(moment.millis(Zone::UTC), Zone::UTC, out);
                Ok(true)
            })
        }));
    }
    let formats = Formats::of(site, 1, "", DateTimeFormatter::parse)?;
    let zone = matches!(site.operand_type(0)?, TypeKind::TimestampLtz(..)).then_some(site.context.zone);
    Ok(Box::new(move |args| {
        let array = args.array(0);
        let (counts, unit) = timestamps(array)?;
        let mut formats = formats.reader(args)?;
        args.strings(|row, out| {
            let at = args.row(0, row);
            if array.is_null(at) {
                return Ok(false);
            }
            let Some(format) = formats.get(row)? else { return Ok(false) };
            let instant = Instant::of(counts[at], unit);
            format.write(zone.map_or(instant, |zone| to_local(instant, zone)), out)?;
            Ok(true)
        })
    }))
}

/// Patterns of TO_TIMESTAMP: what is none makes NULL of each text.
type ReadingFormats = Formats<Option<DateTimeFormatter>>;

fn reading_formats(site: &Site) -> Result<Option<ReadingFormats>> {
    if site.operands.len() < 2 {
        return Ok(None);
    }
    Formats::of(site, 1, "", |pattern| Ok(DateTimeFormatter::parse(pattern).ok())).map(Some)
}

/// By a pattern; what does not fit it, as `java.sql.Timestamp` or `Date` reads it.
fn parse_by(format: &DateTimeFormatter, text: &str, precision: u8) -> Option<Instant> {
    match format.read(text) {
        Reading::Time(local) => Some(local.truncated(precision)),
        Reading::Misfit => java_sql::parse_timestamp(text),
        Reading::NoSuchTime => None,
    }
}

pub(super) fn to_timestamp(site: &Site) -> Result<Kernel> {
    let TypeKind::Timestamp(precision, _) = site.data_type.kind else { return Err(site.unsupported()) };
    let (unit, data_type) = (timestamp_unit(precision), site.arrow_type());
    let formats = reading_formats(site)?;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.as_ref().map(|formats| formats.reader(args)).transpose()?;
        let counts = args.collect::<Int64Type>(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let parsed = match &mut formats {
                None => parse_timestamp(text, precision).ok(),
                Some(formats) => match formats.get(row)? {
                    Some(Some(format)) => parse_by(format, text, precision),
                    Some(None) | None => None,
                },
            };
            parsed.map(|instant| instant.count(unit)).transpose()
        })?;
        Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
    }))
}

/// `TO_TIMESTAMP_LTZ(number[, precision])` and `TO_TIMESTAMP_LTZ(text[, pattern[, zone]])`: NULL by a zone that there is not.
pub(super) fn to_timestamp_ltz(site: &Site) -> Result<Kernel> {
    let TypeKind::TimestampLtz(precision, _) = site.data_type.kind else { return Err(site.unsupported()) };
    let (unit, data_type) = (timestamp_unit(precision), site.arrow_type());
    if matches!(site.operand_type(0)?, TypeKind::Char(_) | TypeKind::Varchar(_)) {
        let formats = reading_formats(site)?;
        if let Some(Err(error)) = site.text(1).map(DateTimeFormatter::parse) {
            return Err(Error::Plan(format!("Invalid pattern for parsing TIMESTAMP_LTZ: {error}")));
        }
        if let Some(Err(problem)) = site.text(2).map(Zone::parse_id) {
            return Err(Error::Plan(format!("Invalid timezone for parsing TIMESTAMP_LTZ: {problem}")));
        }
        let with_zone = site.operands.len() > 2;
        return Ok(Box::new(move |args| {
            let text = args.read::<Text>(0)?;
            let zones = if with_zone { Some(args.read::<Text>(2)?) } else { None };
            let mut formats = formats.as_ref().map(|formats| formats.reader(args)).transpose()?;
            let counts = args.collect::<Int64Type>(|row| {
                let Some(text) = text.get(row) else { return Ok(None) };
                let local = match &mut formats {
                    None => Some(parse_timestamp(text, precision).map_err(|error| error.into_error(text))?),
                    Some(formats) => match formats.get(row)? {
                        Some(Some(format)) => parse_by(format, text, precision),
                        Some(None) | None => None,
                    },
                };
                let zone = match &zones {
                    None => Some(Zone::UTC),
                    Some(zones) => zones.get(row).and_then(|zone| Zone::parse_id(zone).ok()),
                };
                local.zip(zone).map(|(local, zone)| to_instant(local, zone).count(unit)).transpose()
            })?;
            Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
        }));
    }
    let with_precision = site.operands.len() > 1;
    Ok(Box::new(move |args| {
        let precisions = if with_precision { Some(super::strings::integers(args, 1)?) } else { None };
        let precisions = precisions.as_ref().map(|precisions| precisions.as_primitive::<Int32Type>());
        let numbers = Epochs::of(args.array(0))?;
        let counts = args.collect::<Int64Type>(|row| {
            let precision = match precisions {
                None => 3,
                Some(precisions) => {
                    let row = args.row(1, row);
                    if precisions.is_null(row) {
                        return Ok(None);
                    }
                    precisions.value(row)
                }
            };
            if !(0..=9).contains(&precision) {
                let message = format!("The precision value '{precision}' for function TO_TIMESTAMP_LTZ(numeric, precision) is unsupported, the supported value is '0' for second or '3' for millisecond.");
                return Err(Error::data("org.apache.flink.table.api.TableException", message));
            }
            let instant = numbers.get(args.row(0, row), precision as u32);
            instant.map(|instant| instant.count(unit)).transpose()
        })?;
        Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
    }))
}

/// A column of numbers as counts since the epoch: of a FLOAT or DOUBLE fractions count.
enum Epochs {
    Whole(PrimitiveArray<Int64Type>),
    Fraction(PrimitiveArray<Float64Type>),
    Decimal(PrimitiveArray<Decimal128Type>, i128),
}

impl Epochs {
    fn of(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Float32 | DataType::Float64 => {
                let numbers = arrow::compute::cast(array, &DataType::Float64)?;
                Self::Fraction(numbers.as_primitive::<Float64Type>().clone())
            }
            DataType::Decimal128(_, scale) => {
                let unit = decimal::power(u32::from(scale.unsigned_abs()));
                Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), unit)
            }
            _ => Self::Whole(arrow::compute::cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
        })
    }

    /// The instant of a count of units of 10 to the minus `precision` seconds. None: null, or not of the years 0 to 9999.
    fn get(&self, row: usize, precision: u32) -> Option<Instant> {
        match self {
            Self::Whole(numbers) => numbers.is_valid(row).then(|| whole_units(numbers.value(row).into(), precision))?,
            Self::Decimal(numbers, one) => {
                numbers.is_valid(row).then(|| whole_units(numbers.value(row) / one, precision))?
            }
            Self::Fraction(numbers) => {
                numbers.is_valid(row).then(|| fraction_of_units(numbers.value(row), precision))?
            }
        }
    }
}

/// The first and the last whole unit of the years 0 to 9999.
fn four_digit_years(precision: u32) -> (i128, i128) {
    let second = decimal::power(precision);
    (-62_167_219_200 * second, 253_402_300_800 * second - 1)
}

fn whole_units(count: i128, precision: u32) -> Option<Instant> {
    let (first, last) = four_digit_years(precision);
    if !(first..=last).contains(&count) {
        return None;
    }
    if precision <= 3 {
        let millis = count * decimal::power(3 - precision);
        return i64::try_from(millis).ok().map(Instant::from_millis);
    }
    let milli = decimal::power(precision - 3);
    let nanos = (count.rem_euclid(milli) * decimal::power(9 - precision)) as i64;
    i64::try_from(count.div_euclid(milli)).ok().map(|millis| Instant { millis, nanos })
}

/// As Flink, which counts nanoseconds in 64 bits, towards zero: what is no number is zero. Beyond 64 bits Flink gives the last time that
/// they can count; here it is that of the microseconds, or, where the type has more digits, too large for it.
fn fraction_of_units(count: f64, precision: u32) -> Option<Instant> {
    const WIDTH: f64 = 9_223_372_036_854_775_808.0;
    let (first, last) = four_digit_years(precision);
    if count < first as f64 || count > last as f64 {
        return None;
    }
    let nanos = count * decimal::power(9 - precision) as f64;
    if nanos.is_nan() || (-WIDTH..WIDTH).contains(&nanos) {
        return Some(Instant::of(nanos as i64, TimeUnit::Nanosecond));
    }
    if precision <= 6 {
        return Some(Instant::of((count * decimal::power(6 - precision) as f64) as i64, TimeUnit::Microsecond));
    }
    whole_units(count as i128, precision)
}

pub(super) fn to_date(site: &Site) -> Result<Kernel> {
    let formats = if site.operands.len() > 1 { Some(Formats::of(site, 1, "", SimpleDateFormat::parse)?) } else { None };
    let century = century(site);
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.as_ref().map(|formats| formats.reader(args)).transpose()?;
        args.collect::<Date32Type>(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let day = match &mut formats {
                None => parse_date(text),
                Some(formats) => match formats.get(row)? {
                    Some(format) => format.read(text, century).map(|moment| moment.millis(Zone::UTC).div_euclid(DAY)),
                    None => None,
                },
            };
            Ok(day.and_then(|day| i32::try_from(day).ok()))
        })
    }))
}

const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

/// `FROM_UNIXTIME(seconds[, pattern])` in the session's zone.
pub(super) fn from_unixtime(site: &Site) -> Result<Kernel> {
    let formats = Formats::of(site, 1, DEFAULT, SimpleDateFormat::parse)?;
    let zone = site.context.zone;
    Ok(Box::new(move |args| {
        let seconds = arrow::compute::cast(args.array(0), &DataType::Int64)?;
        let seconds = seconds.as_primitive::<Int64Type>();
        let mut formats = formats.reader(args)?;
        args.strings(|row, out| {
            let at = args.row(0, row);
            let Some(format) = formats.get(row)?.filter(|_| seconds.is_valid(at)) else { return Ok(false) };
            format.write(seconds.value(at).wrapping_mul(1000), zone, out);
            Ok(true)
        })
    }))
}

/// `UNIX_TIMESTAMP()`, `UNIX_TIMESTAMP(text[, pattern])` in the session's zone; the least BIGINT for what is no time.
pub(super) fn unix_timestamp(site: &Site) -> Result<Kernel> {
    if site.operands.is_empty() {
        let clock = site.context.clock.clone();
        return Ok(Box::new(move |args| {
            let now = clock.now_millis().div_euclid(1000);
            args.collect::<Int64Type>(|_| Ok(Some(now)))
        }));
    }
    let formats = Formats::of(site, 1, DEFAULT, SimpleDateFormat::parse)?;
    let (zone, century) = (site.context.zone, century(site));
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.reader(args)?;
        args.collect::<Int64Type>(|row| {
            let (Some(text), Some(format)) = (text.get(row), formats.get(row)?) else { return Ok(None) };
            // Towards zero, as Flink divides.
            Ok(Some(format.read(text, century).map_or(i64::MIN, |moment| moment.millis(zone) / 1000)))
        })
    }))
}

/// `CONVERT_TZ(text, from, to)`; the zones are those of Java's `TimeZone`.
pub(super) fn convert_tz(site: &Site) -> Result<Kernel> {
    site.operand_type(2)?;
    let (format, century) = (SimpleDateFormat::parse(DEFAULT)?, century(site));
    Ok(Box::new(move |args| {
        let (text, from, to) = (args.read::<Text>(0)?, args.read::<Text>(1)?, args.read::<Text>(2)?);
        let mut known: Vec<(&str, Zone)> = Vec::new();
        args.strings(|row, out| {
            let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else {
                return Ok(false);
            };
            let mut zone = |name| match known.iter().find(|(known, _)| *known == name) {
                Some((_, zone)) => *zone,
                None => {
                    let zone = Zone::of_time_zone(name);
                    if known.len() < 16 {
                        known.push((name, zone));
                    }
                    zone
                }
            };
            let Some(moment) = format.read(text, century) else { return Ok(false) };
            format.write(moment.millis(zone(from)), zone(to), out);
            Ok(true)
        })
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Float32Type;

    use super::*;

    fn instant(array: ArrayRef, precision: u32) -> Option<Instant> {
        Epochs::of(&array).unwrap().get(0, precision)
    }

    fn millis(array: ArrayRef, precision: u32) -> Option<i64> {
        instant(array, precision).map(|instant| instant.millis)
    }

    fn nanos(array: ArrayRef, precision: u32) -> Option<i64> {
        instant(array, precision).map(|instant| instant.count(TimeUnit::Nanosecond).unwrap())
    }

    fn float(value: f32) -> ArrayRef {
        Arc::new(PrimitiveArray::<Float32Type>::from_value(value, 1))
    }

    fn double(value: f64) -> ArrayRef {
        Arc::new(PrimitiveArray::<Float64Type>::from_value(value, 1))
    }

    fn whole(value: i64) -> ArrayRef {
        Arc::new(PrimitiveArray::<Int64Type>::from_value(value, 1))
    }

    fn decimal(value: i128) -> ArrayRef {
        let array = PrimitiveArray::<Decimal128Type>::from_value(value, 1);
        Arc::new(array.with_precision_and_scale(38, 3).unwrap())
    }

    /// Failed before: fractions of a FLOAT were left out, those of a DOUBLE with a precision of 3 or more.
    #[test]
    fn fractions_count_in_floats_and_doubles() {
        assert_eq!(millis(double(1.5), 0), Some(1500));
        assert_eq!(millis(double(-1.5), 0), Some(-1500));
        assert_eq!(millis(double(1500.9), 3), Some(1500));
        assert_eq!(millis(double(-1.5), 3), Some(-2));
        assert_eq!(nanos(double(-1.5), 8), Some(-15));
        assert_eq!(nanos(double(-1.5), 9), Some(-1));
        assert_eq!(millis(double(1_234_567.89), 0), Some(1_234_567_890));
        assert_eq!(millis(double(1_234_567.89), 1), Some(123_456_788));
        assert_eq!(millis(float(1.5), 0), Some(1500));
        assert_eq!(millis(float(-1.2), 0), Some(-1201));
        assert_eq!(millis(float(1.9), 1), Some(189));
        assert_eq!(millis(decimal(1500), 0), Some(1000));
        assert_eq!(millis(decimal(-1500), 0), Some(-1000));
        assert_eq!(millis(decimal(1_500_900), 3), Some(1500));
    }

    #[test]
    fn times_beyond_four_digits_of_years_are_null() {
        assert_eq!(millis(whole(253_402_300_799), 0), Some(253_402_300_799_000));
        assert_eq!(millis(whole(253_402_300_800), 0), None);
        assert_eq!(millis(whole(-62_167_219_200_000), 3), Some(-62_167_219_200_000));
        assert_eq!(millis(whole(-62_167_219_200_001), 3), None);
        assert_eq!(millis(whole(i64::MAX), 0), None);
        assert_eq!(millis(double(253_402_300_799.5), 0), None);
        assert_eq!(millis(double(f64::INFINITY), 3), None);
        assert_eq!(millis(double(f64::NAN), 0), Some(0));
        assert_eq!(millis(double(f64::NAN), 9), Some(0));
        assert_eq!(millis(decimal(10_i128.pow(37)), 0), None);
    }

    /// Failed before: the least count of nanoseconds was out of range, and a DOUBLE beyond all times was the last one that can be counted.
    #[test]
    fn times_at_the_ends_of_64_bits_are_counted_or_refused() {
        assert_eq!(nanos(whole(i64::MIN), 9), Some(i64::MIN));
        assert_eq!(nanos(whole(i64::MAX), 9), Some(i64::MAX));
        assert_eq!(instant(double(1e30), 9), None);
        assert_eq!(instant(double(-1e30), 7), None);
        assert_eq!(millis(double(1e10), 0), Some(10_000_000_000_000));
        assert!(instant(double(9.3e18), 9).unwrap().count(TimeUnit::Nanosecond).is_err());
    }
}
