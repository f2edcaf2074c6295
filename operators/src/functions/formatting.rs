//! DATE_FORMAT, TO_TIMESTAMP, TO_TIMESTAMP_LTZ, TO_DATE, FROM_UNIXTIME, UNIX_TIMESTAMP, CONVERT_TZ.
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type};

use super::Build;
use crate::cast::{as_timestamps, numeric_to_double, to_instant, to_local};
use crate::expression::Zone;
use crate::expression::compile::Site;
use crate::expression::datetime::{DAY, Instant, parse_date, parse_timestamp, timestamps, write_timestamp};
use crate::expression::java_pattern::Pattern;
use crate::expression::kernel::{Args, Kernel, Reader, Text};
use crate::operator::{Error, Result};
use crate::types::{TypeKind, timestamp_unit};

pub(super) fn lookup(name: &str) -> Option<Build> {
    Some(match name {
        "DATE_FORMAT" => date_format,
        "TO_TIMESTAMP" => to_timestamp,
        "TO_TIMESTAMP_LTZ" => to_timestamp_ltz,
        "TO_DATE" => to_date,
        "FROM_UNIXTIME" => from_unixtime,
        "UNIX_TIMESTAMP" => unix_timestamp,
        "CONVERT_TZ" => convert_tz,
        _ => return None,
    })
}

/// A pattern operand: prepared once if constant, else when it changes.
struct Formats {
    constant: Option<Pattern>,
    index: usize,
}

impl Formats {
    fn of(site: &Site, index: usize, default: &str) -> Result<Self> {
        let constant = match site.operands.len() > index {
            true => match site.text(index) {
                // A malformed one fails when it is used.
                Some(text) => Pattern::parse(text).ok(),
                None => None,
            },
            false => Some(Pattern::parse(default)?),
        };
        Ok(Self { constant, index })
    }

    fn reader<'a>(&'a self, args: &'a Args) -> Result<FormatReader<'a>> {
        let texts = if self.constant.is_none() { Some(args.read::<Text>(self.index)?) } else { None };
        Ok(FormatReader { constant: self.constant.as_ref(), texts, last: None })
    }
}

struct FormatReader<'a> {
    constant: Option<&'a Pattern>,
    texts: Option<Reader<'a, Text>>,
    last: Option<(&'a str, Pattern)>,
}

impl FormatReader<'_> {
    fn get(&mut self, row: usize) -> Result<Option<&Pattern>> {
        if let Some(constant) = self.constant {
            return Ok(Some(constant));
        }
        let Some(text) = self.texts.as_ref().and_then(|texts| texts.get(row)) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, Pattern::parse(text)?));
        }
        Ok(self.last.as_ref().map(|(_, pattern)| pattern))
    }
}

/// `DATE_FORMAT(timestamp or text, pattern)`.
fn date_format(site: &Site) -> Result<Kernel> {
    let formats = Formats::of(site, 1, "")?;
    site.operand_type(1)?;
    if matches!(site.operand_type(0)?, TypeKind::Char(_) | TypeKind::Varchar(_)) {
        return Ok(Box::new(move |args| {
            let text = args.read::<Text>(0)?;
            let mut formats = formats.reader(args)?;
            args.strings(|row, out| {
                let (Some(text), Some(format)) = (text.get(row), formats.get(row)?) else { return Ok(false) };
                let Some(local) = parse_lenient(text) else { return Ok(false) };
                format.write(local, out)?;
                Ok(true)
            })
        }));
    }
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

fn parse_lenient(text: &str) -> Option<Instant> {
    parse_timestamp(text, 3).ok()
}

/// By a pattern; what does not fit it, as `java.sql.Timestamp` or `Date` reads it.
fn parse_by(format: &Pattern, text: &str, precision: u8) -> Option<Instant> {
    match format.read(text) {
        Some((local, _)) => Some(local.truncated(precision)),
        None => parse_timestamp(text.trim(), 9).ok(),
    }
}

fn to_timestamp(site: &Site) -> Result<Kernel> {
    let TypeKind::Timestamp(precision, _) = site.data_type.kind else { return Err(site.unsupported()) };
    let (unit, data_type) = (timestamp_unit(precision), site.arrow_type());
    let formats = if site.operands.len() > 1 { Some(Formats::of(site, 1, "")?) } else { None };
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.as_ref().map(|formats| formats.reader(args)).transpose()?;
        let counts = args.collect::<Int64Type>(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let parsed = match &mut formats {
                None => parse_timestamp(text, precision).ok(),
                Some(formats) => match formats.get(row)? {
                    Some(format) => parse_by(format, text, precision),
                    None => None,
                },
            };
            Ok(parsed.and_then(|instant| instant.count(unit)))
        })?;
        Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
    }))
}

/// `TO_TIMESTAMP_LTZ(number[, precision])` and `TO_TIMESTAMP_LTZ(text[, pattern[, zone]])`.
fn to_timestamp_ltz(site: &Site) -> Result<Kernel> {
    let TypeKind::TimestampLtz(precision, _) = site.data_type.kind else { return Err(site.unsupported()) };
    let (unit, data_type) = (timestamp_unit(precision), site.arrow_type());
    if matches!(site.operand_type(0)?, TypeKind::Char(_) | TypeKind::Varchar(_)) {
        let formats = if site.operands.len() > 1 { Some(Formats::of(site, 1, "")?) } else { None };
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
                        Some(format) => parse_by(format, text, precision),
                        None => None,
                    },
                };
                let zone = match &zones {
                    None => Some(Zone::UTC),
                    Some(zones) => zones.get(row).map(|zone| Zone::parse(zone).unwrap_or(Zone::UTC)),
                };
                Ok(local.zip(zone).and_then(|(local, zone)| to_instant(local, zone).count(unit)))
            })?;
            Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
        }));
    }
    let with_precision = site.operands.len() > 1;
    let fractional = matches!(site.operand_type(0)?, TypeKind::Float | TypeKind::Double | TypeKind::Decimal(..));
    Ok(Box::new(move |args| {
        let precisions = if with_precision { Some(super::strings::integers(args, 1)?) } else { None };
        let precisions = precisions.as_ref().map(|precisions| precisions.as_primitive::<Int32Type>());
        let scale = |row: usize| match precisions {
            None => Some(3),
            Some(precisions) => {
                let row = args.row(1, row);
                precisions.is_valid(row).then(|| precisions.value(row))
            }
        };
        let counts = if fractional {
            let numbers = numeric_to_double(args.array(0))?;
            args.collect::<Int64Type>(|row| {
                let at = args.row(0, row);
                let Some(scale) = scale(row).filter(|_| numbers.is_valid(at)) else { return Ok(None) };
                let millis = (numbers.value(at) * 10f64.powi(3 - scale)) as i64;
                Ok(Instant::from_millis(millis).count(unit))
            })?
        } else {
            let numbers = arrow::compute::cast(args.array(0), &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            args.collect::<Int64Type>(|row| {
                let at = args.row(0, row);
                let Some(scale) = scale(row).filter(|_| numbers.is_valid(at)) else { return Ok(None) };
                let number = numbers.value(at);
                let instant = match scale {
                    0..=3 => number.checked_mul(10_i64.pow(3 - scale as u32)).map(Instant::from_millis),
                    4..=9 => {
                        let unit = 10_i64.pow(scale as u32 - 3);
                        let nanos = number.rem_euclid(unit) * 10_i64.pow(9 - scale as u32);
                        Some(Instant { millis: number.div_euclid(unit), nanos })
                    }
                    other => {
                        let message = format!("The precision value '{other}' for function TO_TIMESTAMP_LTZ(numeric, precision) is unsupported, the supported value is '0' for second or '3' for millisecond.");
                        return Err(Error::data("org.apache.flink.table.api.TableException", message));
                    }
                };
                Ok(instant.and_then(|instant| instant.count(unit)))
            })?
        };
        Ok(as_timestamps(counts.as_primitive::<Int64Type>(), unit, data_type.clone()))
    }))
}

fn to_date(site: &Site) -> Result<Kernel> {
    let formats = if site.operands.len() > 1 { Some(Formats::of(site, 1, "")?) } else { None };
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.as_ref().map(|formats| formats.reader(args)).transpose()?;
        args.collect::<Date32Type>(|row| {
            let Some(text) = text.get(row) else { return Ok(None) };
            let day = match &mut formats {
                None => parse_date(text),
                Some(formats) => match formats.get(row)? {
                    Some(format) => format.read(text).map(|(local, _)| local.millis.div_euclid(DAY)),
                    None => None,
                },
            };
            Ok(day.map(|day| day as i32))
        })
    }))
}

const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

/// `FROM_UNIXTIME(seconds[, pattern])` in the session's zone.
fn from_unixtime(site: &Site) -> Result<Kernel> {
    let formats = Formats::of(site, 1, DEFAULT)?;
    let zone = site.context.zone;
    Ok(Box::new(move |args| {
        let seconds = arrow::compute::cast(args.array(0), &DataType::Int64)?;
        let seconds = seconds.as_primitive::<Int64Type>();
        let mut formats = formats.reader(args)?;
        args.strings(|row, out| {
            let at = args.row(0, row);
            let Some(format) = formats.get(row)?.filter(|_| seconds.is_valid(at)) else { return Ok(false) };
            let instant = Instant::from_millis(seconds.value(at).wrapping_mul(1000));
            format.write(to_local(instant, zone), out)?;
            Ok(true)
        })
    }))
}

/// `UNIX_TIMESTAMP()`, `UNIX_TIMESTAMP(text[, pattern])` in the session's zone; the least BIGINT for what is no time.
fn unix_timestamp(site: &Site) -> Result<Kernel> {
    if site.operands.is_empty() {
        let clock = site.context.clock.clone();
        return Ok(Box::new(move |args| {
            let now = clock.now_millis().div_euclid(1000);
            args.collect::<Int64Type>(|_| Ok(Some(now)))
        }));
    }
    let formats = Formats::of(site, 1, DEFAULT)?;
    let zone = site.context.zone;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let mut formats = formats.reader(args)?;
        args.collect::<Int64Type>(|row| {
            let (Some(text), Some(format)) = (text.get(row), formats.get(row)?) else { return Ok(None) };
            let instant = format.read(text).map(|(local, offset)| match offset {
                Some(offset) => local.plus_seconds(-offset),
                None => to_instant(local, zone),
            });
            Ok(Some(instant.map_or(i64::MIN, |instant| instant.millis.div_euclid(1000))))
        })
    }))
}

/// `CONVERT_TZ(text, from, to)`; an unknown zone is UTC, as Java's `TimeZone` has it.
fn convert_tz(site: &Site) -> Result<Kernel> {
    site.operand_type(2)?;
    Ok(Box::new(|args| {
        let (text, from, to) = (args.read::<Text>(0)?, args.read::<Text>(1)?, args.read::<Text>(2)?);
        let mut known: Vec<(&str, Zone)> = Vec::new();
        args.strings(|row, out| {
            let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else {
                return Ok(false);
            };
            let mut zone = |name| match known.iter().find(|(known, _)| *known == name) {
                Some((_, zone)) => *zone,
                None => {
                    let zone = Zone::parse(name).unwrap_or(Zone::UTC);
                    if known.len() < 16 {
                        known.push((name, zone));
                    }
                    zone
                }
            };
            let Some(local) = parse_lenient(text) else { return Ok(false) };
            let instant = to_instant(local, zone(from));
            write_timestamp(to_local(instant, zone(to)), 0, out);
            Ok(true)
        })
    }))
}
