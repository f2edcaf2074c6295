//! Time zones as `java.time.ZoneId` reads them.
use std::fmt;
use std::ops::Range;

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{OffsetName, Tz};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A region or a fixed offset: the same wherever it is asked. `default` is none; the process that plans a job says which zone that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Always the same offset.
    Fixed(FixedOffset),
    /// A region with its rules.
    Region(Tz),
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self::Region(Tz::UTC);

    /// The zone of this process: `TZ`, else the machine's. Two processes may have two: what is computed must not ask for it.
    pub fn of_process() -> Self {
        of_environment(std::env::var("TZ").ok().as_deref()).unwrap_or_else(of_machine)
    }

    /// Reads `UTC`, `Z`, `GMT+02:00`, `+02:00`, `Europe/Berlin`, `PST`.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "" => return Err("it is empty".into()),
            "Z" => return Ok(Self::UTC),
            _ => {}
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        if offset.is_empty() {
            return Ok(Self::UTC);
        }
        if offset.starts_with(['+', '-']) {
            return fixed(offset).map(Self::Fixed).ok_or_else(|| format!("bad offset {offset}"));
        }
        if let Some((_, region)) = SHORT.iter().find(|(short, _)| *short == name) {
            return Self::parse(region);
        }
        name.parse().map(Self::Region).map_err(|_| "unknown region".into())
    }

    /// Reads what [`Zone::parse`] does but the abbreviations, as `ZoneId.of` alone does.
    pub fn parse_id(name: &str) -> Result<Self, String> {
        match SHORT.iter().any(|(short, _)| *short == name) {
            true => Err("unknown region".into()),
            false => Self::parse(name),
        }
    }

    /// Reads a name as `java.util.TimeZone` does: an offset is one only behind `GMT`, and what is no zone is UTC.
    pub fn of_time_zone(name: &str) -> Self {
        let offset = ["GMT", "UTC", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        match offset.starts_with(['+', '-']) {
            true if name.starts_with("GMT") => custom(offset).map_or(Self::UTC, Self::Fixed),
            true => Self::UTC,
            false => Self::parse(name).unwrap_or(Self::UTC),
        }
    }

    /// Seconds east of UTC at an instant, in seconds since the epoch.
    pub fn offset_at(&self, seconds: i64) -> i64 {
        match self {
            Self::Fixed(offset) => i64::from(offset.local_minus_utc()),
            Self::Region(Tz::UTC) => 0,
            Self::Region(region) => {
                let instant = DateTime::<Utc>::from_timestamp(seconds, 0).map(|instant| instant.naive_utc());
                instant
                    .map_or(0, |instant| i64::from(region.offset_from_utc_datetime(&instant).fix().local_minus_utc()))
            }
        }
    }

    /// Seconds east of UTC at an instant, and seconds around it in which they are the same: the day of UTC, or its part before
    /// or behind a change. Changes may come at any second, but in no zone are two of them in one day: the nearest are almost
    /// a week apart.
    pub fn offset_around(&self, seconds: i64) -> (i64, Range<i64>) {
        if matches!(self, Self::Fixed(_) | Self::Region(Tz::UTC)) {
            return (self.offset_at(seconds), i64::MIN..i64::MAX);
        }
        let start = seconds.div_euclid(DAY).saturating_mul(DAY);
        let end = start.saturating_add(DAY);
        let (first, last) = (self.offset_at(start), self.offset_at(end - 1));
        if first == last {
            return (first, start..end);
        }
        let change = self.change_between(start, end - 1);
        if seconds < change { (first, start..change) } else { (last, change..end) }
    }

    /// The first second of the offset that there is at `end`, where the offset changes once after `start`, up to `end`.
    pub fn change_between(&self, start: i64, end: i64) -> i64 {
        let offset = self.offset_at(end);
        let (mut before, mut behind) = (start, end);
        while behind - before > 1 {
            let middle = before + (behind - before) / 2;
            match self.offset_at(middle) == offset {
                true => behind = middle,
                false => before = middle,
            }
        }
        behind
    }

    /// Seconds east of UTC for a local time, in seconds since the local epoch. As `java.time` does: of two the earlier
    /// instant, in a gap the offset before it.
    pub fn offset_of_local(&self, seconds: i64) -> i64 {
        self.offset_of(seconds, false)
    }

    /// As [`Self::offset_of_local`], but as `java.util.Calendar` does: of two the later instant.
    pub fn offset_of_wall_clock(&self, seconds: i64) -> i64 {
        self.offset_of(seconds, true)
    }

    fn offset_of(&self, seconds: i64, later: bool) -> i64 {
        match self {
            Self::Fixed(offset) => i64::from(offset.local_minus_utc()),
            Self::Region(Tz::UTC) => 0,
            Self::Region(region) => {
                let Some(local) = DateTime::<Utc>::from_timestamp(seconds, 0).map(|instant| instant.naive_utc()) else {
                    return 0;
                };
                let offset = match region.offset_from_local_datetime(&local) {
                    MappedLocalTime::Single(offset) => offset,
                    MappedLocalTime::Ambiguous(_, second) if later => second,
                    MappedLocalTime::Ambiguous(first, _) => first,
                    MappedLocalTime::None => return before_gap(region, local),
                };
                i64::from(offset.fix().local_minus_utc())
            }
        }
    }

    /// Writes the short name at an instant, in seconds since the epoch: `UTC`, `CEST`, `GMT+02:00`.
    pub fn write_name(&self, seconds: i64, out: &mut String) {
        match self {
            Self::Fixed(offset) => {
                out.push_str("GMT");
                out.push_str(&offset.to_string());
            }
            Self::Region(region) => {
                let instant = DateTime::<Utc>::from_timestamp(seconds, 0).map(|instant| instant.naive_utc());
                let offset = instant.map(|instant| region.offset_from_utc_datetime(&instant));
                let name = offset.as_ref().and_then(|offset| offset.abbreviation());
                out.push_str(name.unwrap_or(region.name()));
            }
        }
    }
}

fn before_gap(region: &Tz, local: NaiveDateTime) -> i64 {
    let earlier = local - TimeDelta::hours(24);
    i64::from(region.offset_from_utc_datetime(&earlier).fix().local_minus_utc())
}

impl fmt::Display for Zone {
    /// As [`Zone::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(offset) => write!(f, "{offset}"),
            Self::Region(region) => f.write_str(region.name()),
        }
    }
}

/// What `TZ` names, if anything that is known.
fn of_environment(name: Option<&str>) -> Option<Zone> {
    let name = name?.trim_start_matches(':');
    if name.is_empty() { None } else { Zone::parse(name).ok() }
}

fn of_machine() -> Zone {
    let link = std::fs::canonicalize("/etc/localtime").ok();
    let link = link.as_deref().and_then(|path| path.to_str()).and_then(|path| path.split_once("zoneinfo/"));
    let named = link.and_then(|(_, name)| name.parse().ok());
    let named =
        named.or_else(|| std::fs::read_to_string("/etc/timezone").ok().and_then(|name| name.trim().parse().ok()));
    named.map_or(Zone::UTC, Zone::Region)
}

/// `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`, up to 18 hours.
fn fixed(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else if digits.len() <= 2 {
        vec![digits]
    } else {
        (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2)).collect::<Option<_>>()?
    };
    if parts.len() > 1 && parts.iter().any(|part| part.len() != 2) {
        return None;
    }
    let numbers =
        parts.iter().map(|part| part.parse::<i32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())));
    let numbers: Vec<i32> = numbers.collect::<Option<_>>()?;
    let (hours, rest) = numbers.split_first()?;
    if rest.len() > 2 || rest.iter().any(|part| *part > 59) {
        return None;
    }
    let seconds = hours * 3600 + rest.first().unwrap_or(&0) * 60 + rest.get(1).unwrap_or(&0);
    if seconds > 18 * 3600 { None } else { FixedOffset::east_opt(sign * seconds) }
}

/// `+h`, `+hh`, `+hmm`, `+hhmm`, `+h:mm`, `+hh:mm`, up to 23:59, as `java.util.TimeZone` reads them.
fn custom(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = (if text.starts_with('-') { -1 } else { 1 }, text.get(1..)?);
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, Some(minutes)),
        None if digits.len() > 2 => {
            digits.split_at_checked(digits.len() - 2).map(|(hours, rest)| (hours, Some(rest)))?
        }
        None => (digits, None),
    };
    let number = |part: &str, most: i32| {
        let number = part.parse::<i32>().ok().filter(|number| *number <= most)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
    };
    if hours.len() > 2 || minutes.is_some_and(|minutes| minutes.len() != 2) {
        return None;
    }
    let seconds = number(hours, 23)? * 3600 + number(minutes.unwrap_or("0"), 59)? * 60;
    FixedOffset::east_opt(sign * seconds)
}

/// `java.time.ZoneId.SHORT_IDS`.
const SHORT: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Zones whose clocks change at a minute past the hour, by seconds, by half an hour, by two hours, by a day, and often.
    const ZONES: [&str; 10] = [
        "America/St_Johns",
        "Africa/Monrovia",
        "Europe/Amsterdam",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Antarctica/Troll",
        "Pacific/Apia",
        "Asia/Manila",
        "Asia/Gaza",
        "Africa/Casablanca",
    ];

    /// All changes from 1840 to 2100.
    fn changes(zone: Zone) -> Vec<i64> {
        let steps = (-4_102_444_800..4_102_444_800).step_by(6 * DAY as usize).map(|start| (start, start + 6 * DAY));
        let changing = steps.filter(|(start, end)| zone.offset_at(*start) != zone.offset_at(*end));
        changing.map(|(start, end)| zone.change_between(start, end)).collect()
    }

    #[test]
    fn changes_come_at_any_second() {
        let of = |name: &str| changes(Zone::parse(name).unwrap());
        let st_johns = of("America/St_Johns");
        assert!(st_johns.contains(&1_268_537_460) && st_johns.contains(&1_289_097_060), "03:31 and 02:31 of UTC");
        let monrovia = Zone::parse("Africa/Monrovia").unwrap();
        assert_eq!(of("Africa/Monrovia").last(), Some(&63_593_070), "00:44:30 of UTC");
        assert_eq!(monrovia.offset_around(63_593_069), (-2670, 63_590_400..63_593_070));
        assert_eq!(monrovia.offset_around(63_593_070), (0, 63_593_070..63_676_800));
        assert_eq!(Zone::parse("Europe/Amsterdam").unwrap().offset_at(-2_450_995_201), 1050);
    }

    #[test]
    fn an_offset_holds_for_all_seconds_that_come_with_it() {
        for name in ZONES {
            let zone = Zone::parse(name).unwrap();
            for change in changes(zone) {
                for second in [-DAY, -3600, -900, -30, -1, 0, 1, 30, 900, 3600, DAY].map(|apart| change + apart) {
                    let (offset, held) = zone.offset_around(second);
                    assert!(held.contains(&second), "{name} {second} {held:?}");
                    let mut within = held.clone().step_by(3607).chain([second, held.end - 1]);
                    assert!(within.all(|second| zone.offset_at(second) == offset), "{name} {second} {held:?}");
                    assert!(!held.contains(&(change - 1)) || !held.contains(&change), "{name} {change} {held:?}");
                }
            }
        }
    }

    /// What a plan says of its zone is read by every task of the job.
    #[test]
    fn a_zone_is_read_as_it_is_written() {
        for (name, written) in [
            ("UTC", "UTC"),
            ("Z", "UTC"),
            ("GMT+02:00", "+02:00"),
            ("-1", "-01:00"),
            ("+05:45:30", "+05:45:30"),
            ("EST", "-05:00"),
            ("PST", "America/Los_Angeles"),
            ("Asia/Tokyo", "Asia/Tokyo"),
        ] {
            let zone = Zone::parse(name).unwrap();
            assert_eq!(zone.to_string(), written, "{name}");
            assert_eq!(Zone::parse(written), Ok(zone), "{name}");
        }
    }

    /// What Java's two classes make of names. Failed before: each was read as the other reads them, and UTC if neither knows it.
    #[test]
    fn names_are_read_as_the_class_of_java_reads_them() {
        let at = |zone: Zone| zone.offset_at(1_704_103_200) / 60;
        for (name, time_zone, id) in [
            ("GMT+8", 480, Some(480)),
            ("GMT-8", -480, Some(-480)),
            ("GMT+08:00", 480, Some(480)),
            ("GMT+0800", 480, Some(480)),
            ("GMT+800", 480, None),
            ("GMT+8:05", 485, None),
            ("GMT+8:5", 0, None),
            ("GMT+8:60", 0, None),
            ("GMT+20", 1200, None),
            ("GMT+23:59", 1439, None),
            ("GMT+24", 0, None),
            ("GMT+", 0, None),
            ("GMT+123456", 0, Some(754)),
            ("GMT+08:00:00", 0, Some(480)),
            ("UTC+5", 0, Some(300)),
            ("+8", 0, Some(480)),
            ("+08:00", 0, Some(480)),
            ("EST", -300, None),
            ("PST", -480, None),
            ("EST5EDT", -300, Some(-300)),
            ("Z", 0, Some(0)),
            ("utc", 0, None),
            ("America/new_york", 0, None),
            ("Nowhere/X", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(at(Zone::of_time_zone(name)), time_zone, "{name} as a TimeZone");
            assert_eq!(Zone::parse_id(name).ok().map(at), id, "{name} as a ZoneId");
        }
    }

    /// Before, it was UTC.
    #[test]
    fn an_empty_name_is_no_zone() {
        assert_eq!(Zone::parse(""), Err("it is empty".to_owned()));
        assert_eq!(["UTC", "GMT", "UT"].map(Zone::parse), [Ok(Zone::UTC), Ok(Zone::UTC), Ok(Zone::UTC)]);
    }

    /// Before, it was the zone of whichever process read it; with `TZ=default` it had no end.
    #[test]
    fn what_a_process_has_for_a_default_is_no_zone() {
        for name in ["default", "DEFAULT"] {
            assert!(Zone::parse(name).is_err(), "{name}");
            assert_eq!(of_environment(Some(name)), None);
        }
        assert_eq!((of_environment(None), of_environment(Some("")), of_environment(Some("Mars"))), (None, None, None));
        let tokyo = Zone::parse("Asia/Tokyo").unwrap();
        assert_eq!([Some("Asia/Tokyo"), Some(":Asia/Tokyo"), Some("JST")].map(of_environment), [Some(tokyo); 3]);
    }

    #[test]
    fn the_ends_of_time_have_offsets() {
        for name in ["UTC", "+02:00", "Europe/Berlin"] {
            let zone = Zone::parse(name).unwrap();
            for second in [i64::MIN, i64::MIN / 1000, i64::MAX / 1000, i64::MAX] {
                assert_eq!(zone.offset_around(second).0, zone.offset_at(second));
            }
        }
    }
}
