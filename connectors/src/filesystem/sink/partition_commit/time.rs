//! The time that a partition stands for: `partition.time-extractor.*`.
use wiesel_common::quote::quote;
use wiesel_expressions::expression::{Zone, parse_local_time};
use wiesel_operators::operator::{Error, Result};

use crate::filesystem::path::unescape;
use crate::options::{self, Options, invalid};

/// Flink's default extractor.
pub(super) struct PartitionTimeExtractor {
    /// `$key` stands for the value of a partition column. None: the value of the first one is the time.
    pattern: Option<String>,
    /// A pattern of `DateTimeFormatter`.
    formatter: Option<String>,
    /// What the watermark's zone is.
    zone: Zone,
}

impl PartitionTimeExtractor {
    pub(super) fn new(options: Options<'_>) -> options::Result<Self> {
        match options.text("partition.time-extractor.kind").unwrap_or("default") {
            kind if kind.eq_ignore_ascii_case("default") => {}
            kind if kind.eq_ignore_ascii_case("custom") => {
                return invalid(
                    "The partition time extractor 'custom' names a Java class, which cannot be run. Use 'default' with \
                     'partition.time-extractor.timestamp-pattern'.",
                );
            }
            kind => return invalid(format!("Unsupported extractor kind: {}", quote(kind))),
        }
        const ZONE: &str = "sink.partition-commit.watermark-time-zone";
        let name = options.text(ZONE).unwrap_or("UTC");
        let zone = Zone::parse(name).map_err(|why| options::unparsable(ZONE, name, why))?;
        let owned = |key: &str| options.text(key).map(str::to_owned);
        let formatter = owned("partition.time-extractor.timestamp-formatter");
        if let Some(formatter) = &formatter {
            parse_local_time(formatter, "")
                .map_err(|why| options::unparsable("partition.time-extractor.timestamp-formatter", formatter, why))?;
        }
        Ok(Self { pattern: owned("partition.time-extractor.timestamp-pattern"), formatter, zone })
    }

    /// Milliseconds since the epoch.
    pub(super) fn of(&self, folder: &str) -> Result<i64> {
        let values: Vec<(&str, String)> = folder
            .split('/')
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key, unescape(value)))
            .collect();
        let text = match &self.pattern {
            None => values.first().map(|(_, value)| value.clone()).unwrap_or_default(),
            Some(pattern) => {
                values.iter().fold(pattern.clone(), |text, (key, value)| text.replace(&format!("${key}"), value))
            }
        };
        let local = match &self.formatter {
            Some(formatter) => parse_local_time(formatter, &text)?,
            None => parse_default(&text),
        };
        let local = local.ok_or_else(|| {
            Error::data(
                "java.time.format.DateTimeParseException",
                format!("Text '{}' of partition '{}' could not be parsed as a time", quote(&text), quote(folder)),
            )
        })?;
        Ok(local - self.zone.offset_of_local(local.div_euclid(1000)) * 1000)
    }
}

/// Milliseconds of `yyyy-[m]m-[d]d`, maybe followed by ` [h]h:[m]m:[s]s` and a fraction.
fn parse_default(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let mut millis = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
    if let Some(time) = time {
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let mut parts = time.splitn(3, ':').map(|part| part.parse::<u32>().ok());
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        let time = chrono::NaiveTime::from_hms_opt(hour, minute, second)?;
        millis += i64::from(chrono::Timelike::num_seconds_from_midnight(&time)) * 1000;
        if !fraction.is_empty() {
            let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
            millis += digits.parse::<u16>().ok().map(i64::from)?;
        }
    }
    Some(millis)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn time(folder: &str, options: &[(&str, &str)]) -> Result<i64> {
        let options: BTreeMap<String, String> =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PartitionTimeExtractor::new(Options::new(&options)).unwrap().of(folder)
    }

    #[test]
    fn a_partition_stands_for_a_time_as_in_flink() {
        const PATTERN: &str = "partition.time-extractor.timestamp-pattern";
        const FORMATTER: &str = "partition.time-extractor.timestamp-formatter";
        const ZONE: &str = "sink.partition-commit.watermark-time-zone";
        let day = 1_709_164_800_000;
        assert_eq!(time("dt=2024-02-29/", &[]).unwrap(), day);
        assert_eq!(time("dt=2024-2-29/hr=5/", &[]).unwrap(), day);
        assert_eq!(time("dt=2024-02-29 1%3A2%3A03.5/", &[]).unwrap(), day + 3_723_500);
        let hours = (PATTERN, "$dt $hr:00:00");
        assert_eq!(time("dt=2024-02-29/hr=07/", &[hours]).unwrap(), day + 7 * 3_600_000);
        let compact = [(PATTERN, "$dt$hr"), (FORMATTER, "yyyyMMddHH")];
        assert_eq!(time("dt=20240229/hr=07/", &compact).unwrap(), day + 7 * 3_600_000);
        assert_eq!(time("dt=2024-02-29/", &[(ZONE, "Asia/Shanghai")]).unwrap(), day - 8 * 3_600_000);
        for bad in ["dt=today/", "dt=2024-02-30/", "dt=__DEFAULT_PARTITION__/"] {
            let error = time(bad, &[]).unwrap_err().to_string();
            assert!(error.contains("could not be parsed") && error.contains(bad), "{error}");
        }
    }
}
