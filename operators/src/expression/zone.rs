//! Time zones as `java.time.ZoneId` reads them.
use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{OffsetName, Tz};

/// A region or a fixed offset.
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

    /// Reads `default` (the machine's zone), `UTC`, `Z`, `GMT+02:00`, `+02:00`, `Europe/Berlin`, `PST`.
    pub fn parse(name: &str) -> Result<Self, String> {
        if name.eq_ignore_ascii_case("default") {
            return Ok(machine());
        }
        if name == "Z" {
            return Ok(Self::UTC);
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

fn machine() -> Zone {
    if let Ok(name) = std::env::var("TZ")
        && let Ok(zone) = Zone::parse(name.trim_start_matches(':'))
        && !name.is_empty()
    {
        return zone;
    }
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
