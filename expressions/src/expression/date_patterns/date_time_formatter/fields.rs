//! What was read of a date and a time, resolved as `java.time.format.Parsed` does in its smart style: what the text tells
//! twice has to agree, and what it does not tell stays open where nothing follows from the rest.
use super::Reading;
use super::period::DayPeriod;
use crate::expression::date_patterns::{days_before, sunday_week};
use crate::expression::datetime::{DAY, Instant, civil, days, month_length};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// One since Christ.
    Era,
    YearOfEra,
    Year,
    WeekBasedYear,
    Quarter,
    Month,
    /// Of the week-based year.
    Week,
    WeekOfMonth,
    Day,
    DayOfYear,
    /// From Monday, which is one.
    DayOfWeek,
    /// From Sunday, which is one.
    LocalDayOfWeek,
    /// Where the first day of a month is the first of a week, too.
    AlignedDayOfWeek,
    /// From 1858-11-17, which is zero.
    ModifiedJulianDay,
    /// One in the afternoon.
    HalfOfDay,
    HourOfHalf,
    /// With twelve for zero.
    ClockHourOfHalf,
    Hour,
    /// With twenty-four for zero.
    ClockHour,
    Minute,
    Second,
    Nano,
    Milli,
    MilliOfDay,
    NanoOfDay,
    /// Seconds east of UTC.
    Offset,
}

const FIELDS: usize = Field::Offset as usize + 1;

const NANOS_OF_SECOND: i64 = 1_000_000_000;
/// The largest year of Java; the smallest is as far on the other side.
const MAX_YEAR: i64 = 999_999_999;
/// The largest year of which milliseconds can be counted, about.
const MAX_RESULT_YEAR: i64 = 290_000_000;
/// Seconds east of UTC that a whole date and time may have, and as many west.
pub(super) const MAX_OFFSET: i64 = 18 * 3600;
/// 1970-01-01 as a Modified Julian Day.
const JULIAN_EPOCH: i64 = 40_587;

/// The values of fields as they were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    values: [Option<i64>; FIELDS],
    period: Option<DayPeriod>,
}

impl Fields {
    /// None if the field has another value.
    pub fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let known = self.values[field as usize].replace(value);
        known.is_none_or(|known| known == value).then_some(())
    }

    pub fn set_period(&mut self, period: DayPeriod) {
        self.period = Some(period);
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.values[field as usize]
    }

    fn take(&mut self, field: Field) -> Option<i64> {
        self.values[field as usize].take()
    }

    fn clear(&mut self, fields: &[Field]) {
        fields.iter().for_each(|field| self.values[*field as usize] = None);
    }

    fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }

    /// If the field has a value, it is this one.
    fn agrees(&self, field: Field, value: i64) -> bool {
        self.get(field).is_none_or(|known| known == value)
    }

    pub fn resolve(self) -> Reading {
        let mut resolved = Resolved { fields: self, date: None, time: None, excess_day: false };
        match resolved.resolve() {
            None => Reading::Misfit,
            Some(()) => resolved.instant().map_or(Reading::NoSuchTime, Reading::Time),
        }
    }
}

/// What is known so far, and the fields that it does not follow from.
struct Resolved {
    fields: Fields,
    /// Days since the epoch.
    date: Option<i64>,
    /// Nanoseconds of the day.
    time: Option<i64>,
    /// The time is the midnight that ends the day.
    excess_day: bool,
}

impl Resolved {
    /// None: fields contradict each other, or cannot have such a value.
    fn resolve(&mut self) -> Option<()> {
        self.dates()?;
        self.times()?;
        if self.weeks()? {
            self.dates()?;
            self.times()?;
        }
        self.incomplete_time()?;
        self.agree()
    }

    fn set_date(&mut self, date: i64) -> Option<()> {
        let known = self.date.replace(date);
        known.is_none_or(|known| known == date).then_some(())
    }

    fn set_time(&mut self, hour: i64, minute: i64, second: i64, nano: i64) -> Option<()> {
        let minute = within(minute, 0, 59)?;
        let nano = within(nano, 0, NANOS_OF_SECOND - 1)?;
        let ends_day = (hour, minute, second, nano) == (24, 0, 0, 0);
        let hour = if ends_day { 0 } else { within(hour, 0, 23)? };
        let time = (hour * 3600 + minute * 60 + within(second, 0, 59)?) * NANOS_OF_SECOND + nano;
        self.excess_day = ends_day;
        let known = self.time.replace(time);
        known.is_none_or(|known| known == time).then_some(())
    }

    fn dates(&mut self) -> Option<()> {
        let fields = &mut self.fields;
        if let Some(year_of_era) = fields.take(Field::YearOfEra) {
            within(year_of_era, 1, MAX_YEAR + 1)?;
            let since_christ = match fields.take(Field::Era) {
                Some(era) => era == 1,
                None => fields.get(Field::Year).is_none_or(|year| year > 0),
            };
            fields.set(Field::Year, if since_christ { year_of_era } else { 1 - year_of_era })?;
        }
        let Some(year) = fields.get(Field::Year) else { return Some(()) };
        let date = if let (Some(month), Some(day)) = (fields.get(Field::Month), fields.get(Field::Day)) {
            let (year, month) = (valid_year(year)?, within(month, 1, 12)?);
            // The last day of a shorter month stands for those that it does not have.
            let day = within(day, 1, 31)?.min(month_length(year, month));
            fields.clear(&[Field::Year, Field::Month, Field::Day]);
            days(year, month, day)
        } else if let Some(day) = fields.get(Field::DayOfYear) {
            let first = days(valid_year(year)?, 1, 1);
            let length = days(year + 1, 1, 1) - first;
            fields.clear(&[Field::Year, Field::DayOfYear]);
            first + within(day, 1, length)? - 1
        } else {
            return Some(());
        };
        self.set_date(date)
    }

    fn times(&mut self) -> Option<()> {
        let fields = &mut self.fields;
        if let Some(hour) = fields.take(Field::ClockHour) {
            fields.set(Field::Hour, within(hour, 0, 24)? % 24)?;
        }
        if let Some(hour) = fields.take(Field::ClockHourOfHalf) {
            fields.set(Field::HourOfHalf, within(hour, 0, 12)? % 12)?;
        }
        if let (Some(half), Some(hour)) = (fields.get(Field::HalfOfDay), fields.get(Field::HourOfHalf)) {
            fields.clear(&[Field::HalfOfDay, Field::HourOfHalf]);
            fields.set(Field::Hour, half * 12 + within(hour, 0, 11)?)?;
        }
        if let Some(nanos) = fields.take(Field::NanoOfDay) {
            within(nanos, 0, DAY * 1_000_000 - 1)?;
            set_clock(fields, nanos / NANOS_OF_SECOND)?;
            fields.set(Field::Nano, nanos % NANOS_OF_SECOND)?;
        }
        if let Some(millis) = fields.take(Field::MilliOfDay) {
            within(millis, 0, DAY - 1)?;
            set_clock(fields, millis / 1000)?;
            fields.set(Field::Milli, millis % 1000)?;
        }
        if let Some(nano) = fields.get(Field::Nano) {
            within(nano, 0, NANOS_OF_SECOND - 1)?;
            if fields.take(Field::Milli).is_some_and(|milli| milli != nano / 1_000_000) {
                return None;
            }
        }
        if let (Some(period), Some(hour)) = (fields.period, fields.get(Field::HourOfHalf)) {
            fields.take(Field::HourOfHalf);
            within(hour, 0, 11)?;
            let minute = fields.get(Field::Minute).unwrap_or(0).rem_euclid(60);
            let excess = if period.includes((hour + 12) * 60 + minute) { 12 } else { 0 };
            fields.set(Field::Hour, hour + excess)?;
            fields.period = None;
        }
        let whole = [Field::Hour, Field::Minute, Field::Second, Field::Nano].map(|field| fields.get(field));
        if let [Some(hour), Some(minute), Some(second), Some(nano)] = whole {
            fields.clear(&[Field::Hour, Field::Minute, Field::Second, Field::Nano]);
            self.set_time(hour, minute, second, nano)?;
        }
        Some(())
    }

    /// What belongs to weeks that begin on Sundays, and days that are counted. False if there is none of it.
    fn weeks(&mut self) -> Option<bool> {
        let mut changed = self.date_in_week()?;
        if let Some(day) = self.fields.take(Field::ModifiedJulianDay) {
            let (least, most) = (days(-MAX_YEAR, 1, 1), days(MAX_YEAR, 12, 31));
            let day = within(day, least + JULIAN_EPOCH, most + JULIAN_EPOCH)?;
            self.set_date(day - JULIAN_EPOCH)?;
            changed = true;
        }
        if let Some(day) = self.fields.take(Field::LocalDayOfWeek) {
            // It takes the place of the day from Monday on, even if that is another one.
            self.fields.values[Field::DayOfWeek as usize] = Some((within(day, 1, 7)? + 5) % 7 + 1);
            self.date_in_week()?;
            changed = true;
        }
        Some(changed)
    }

    /// The date of a day in a week of a month or of a week-based year. False if it is not known.
    fn date_in_week(&mut self) -> Option<bool> {
        let fields = &mut self.fields;
        let Some(day_of_week) = fields.get(Field::DayOfWeek) else { return Some(false) };
        let month_and_week = (fields.get(Field::Month), fields.get(Field::WeekOfMonth));
        let week_of_year = (fields.get(Field::WeekBasedYear), fields.get(Field::Week));
        let (first, week) = match (fields.get(Field::Year), month_and_week, week_of_year) {
            (Some(year), (Some(month), Some(week)), _) => {
                let first = days(valid_year(year)?, within(month, 1, 12)?, 1);
                fields.clear(&[Field::Year, Field::Month, Field::WeekOfMonth]);
                (first, within(week, 0, 6)?)
            }
            (None, _, (Some(year), Some(week))) => {
                let first = days(valid_year(year)?, 1, 1);
                // A year without a 53rd week has its last one instead.
                let weeks = (days_from_sunday(first) + days(year + 1, 1, 1) - first) / 7;
                fields.clear(&[Field::WeekBasedYear, Field::Week]);
                (first, within(week, 1, 53)?.min(weeks))
            }
            _ => return Some(false),
        };
        fields.take(Field::DayOfWeek);
        self.set_date(first - days_from_sunday(first) + 7 * (week - 1) + day_of_week % 7)?;
        Some(true)
    }

    /// A time from less than all of its fields, if what is missing is of the smaller ones.
    fn incomplete_time(&mut self) -> Option<()> {
        let parts = [Field::Hour, Field::Minute, Field::Second, Field::Nano];
        if self.time.is_none() {
            if let Some(milli) = self.fields.take(Field::Milli) {
                self.fields.set(Field::Nano, milli * 1_000_000)?;
            }
            if !parts.iter().any(|part| self.fields.has(*part)) {
                self.middle_of_period()?;
            }
        }
        let [hour, minute, second, nano] = parts.map(|part| self.fields.get(part));
        if let (None, Some(hour)) = (self.time, hour) {
            let has_gap =
                minute.is_none() && (second.is_some() || nano.is_some()) || second.is_none() && nano.is_some();
            if has_gap {
                return Some(());
            }
            let minute = minute.unwrap_or(0);
            let minute_of_day = hour.saturating_mul(60).saturating_add(minute);
            if self.fields.period.is_some_and(|period| !period.includes(minute_of_day)) {
                return None;
            }
            self.set_time(hour, minute, second.unwrap_or(0), nano.unwrap_or(0))?;
            self.fields.clear(&parts);
        }
        self.valid_times()
    }

    /// A text that tells no more of the time than a part of the day means the middle of it.
    fn middle_of_period(&mut self) -> Option<()> {
        if let Some(period) = self.fields.period.take() {
            let middle = period.middle();
            self.set_time(middle / 60, middle % 60, 0, 0)
        } else if let Some(half) = self.fields.take(Field::HalfOfDay) {
            self.set_time(half * 12 + 6, 0, 0, 0)
        } else {
            Some(())
        }
    }

    /// Fields of the time from which nothing follows are to be valid all the same.
    fn valid_times(&self) -> Option<()> {
        let most = [
            (Field::Hour, 23),
            (Field::HourOfHalf, 11),
            (Field::Minute, 59),
            (Field::Second, 59),
            (Field::Nano, NANOS_OF_SECOND - 1),
        ];
        let valid = |(field, most)| self.fields.get(field).is_none_or(|value| (0..=most).contains(&value));
        most.into_iter().all(valid).then_some(())
    }

    /// What is left of the fields has to agree with the date and the time.
    fn agree(&self) -> Option<()> {
        if let Some(date) = self.date {
            let (year, month, day) = civil(date);
            let (week_based_year, week) = sunday_week(date);
            let of_date = [
                (Field::Era, i64::from(year > 0)),
                (Field::Year, year),
                (Field::WeekBasedYear, week_based_year),
                (Field::Quarter, (month + 2) / 3),
                (Field::Month, month),
                (Field::Week, week),
                (Field::WeekOfMonth, (day + days_before(date, day) - 1) / 7 + 1),
                (Field::Day, day),
                (Field::DayOfYear, date - days(year, 1, 1) + 1),
                (Field::DayOfWeek, (date + 3).rem_euclid(7) + 1),
                (Field::AlignedDayOfWeek, (day - 1) % 7 + 1),
            ];
            of_date.iter().all(|(field, value)| self.fields.agrees(*field, *value)).then_some(())?;
        }
        if self.date.is_some() && self.time.is_some() {
            let offset = self.fields.get(Field::Offset).unwrap_or(0);
            within(offset, -MAX_OFFSET, MAX_OFFSET)?;
        }
        if let Some(time) = self.time {
            let seconds = time / NANOS_OF_SECOND;
            let hour = seconds / 3600;
            let of_time = [
                (Field::HalfOfDay, hour / 12),
                (Field::HourOfHalf, hour % 12),
                (Field::Hour, hour),
                (Field::Minute, seconds / 60 % 60),
                (Field::Second, seconds % 60),
                (Field::Nano, time % NANOS_OF_SECOND),
            ];
            of_time.iter().all(|(field, value)| self.fields.agrees(*field, *value)).then_some(())?;
        }
        Some(())
    }

    /// With 1970-01-01 00:00:00 for what nothing is known of.
    fn instant(&self) -> Option<Instant> {
        let part = |field, default, least, most| within(self.fields.get(field).unwrap_or(default), least, most);
        let date = match self.date {
            Some(date) => date + i64::from(self.excess_day && self.time.is_some()),
            None => {
                let year = valid_year(self.fields.get(Field::Year).unwrap_or(1970))?;
                let month = part(Field::Month, 1, 1, 12)?;
                days(year, month, part(Field::Day, 1, 1, month_length(year, month))?)
            }
        };
        let time = match self.time {
            Some(time) => time,
            None => {
                let hour = part(Field::Hour, 0, 0, 23)?;
                let (minute, second) = (part(Field::Minute, 0, 0, 59)?, part(Field::Second, 0, 0, 59)?);
                let nano = part(Field::Nano, 0, 0, NANOS_OF_SECOND - 1)?;
                (hour * 3600 + minute * 60 + second) * NANOS_OF_SECOND + nano
            }
        };
        within(civil(date).0, -MAX_RESULT_YEAR, MAX_RESULT_YEAR)?;
        Some(Instant { millis: date * DAY + time / 1_000_000, nanos: time % 1_000_000 })
    }
}

/// The hour, the minute and the second of a second of the day.
fn set_clock(fields: &mut Fields, second: i64) -> Option<()> {
    fields.set(Field::Hour, second / 3600)?;
    fields.set(Field::Minute, second / 60 % 60)?;
    fields.set(Field::Second, second % 60)
}

fn within(value: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&value).then_some(value)
}

fn valid_year(year: i64) -> Option<i64> {
    within(year, -MAX_YEAR, MAX_YEAR)
}

/// 1970-01-01 was a Thursday.
fn days_from_sunday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}
