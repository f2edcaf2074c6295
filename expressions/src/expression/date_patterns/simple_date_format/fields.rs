//! What was read of a time, resolved as `java.util.GregorianCalendar` does: what was set last decides, and nothing is out
//! of range. All of it in the proleptic Gregorian calendar.
use super::Moment;
use crate::expression::datetime::{DAY, days};

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Era,
    Year,
    WeekYear,
    /// From zero.
    Month,
    WeekOfYear,
    WeekOfMonth,
    Day,
    DayOfYear,
    /// From Sunday, which is one.
    DayOfWeek,
    DayOfWeekInMonth,
    /// One in the afternoon.
    Half,
    HourOfHalf,
    HourOfDay,
    Minute,
    Second,
    Millisecond,
    /// Milliseconds.
    Offset,
}

const FIELDS: usize = Field::Offset as usize + 1;

/// Values with the order in which they were set; an order of zero is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    values: [i64; FIELDS],
    order: [u32; FIELDS],
    last: u32,
}

impl Fields {
    pub fn set(&mut self, field: Field, value: i64) {
        self.last += 1;
        self.values[field as usize] = value;
        self.order[field as usize] = self.last;
    }

    fn get(&self, field: Field) -> Option<i64> {
        (self.order[field as usize] > 0).then_some(self.values[field as usize])
    }

    fn order(&self, field: Field) -> u32 {
        self.order[field as usize]
    }

    /// The order of a pair, none of which counts alone.
    fn pair(&self, one: Field, other: Field) -> u32 {
        let (one, other) = (self.order(one), self.order(other));
        if one == 0 || other == 0 { 0 } else { one.max(other) }
    }

    /// Moves the year; its order stays.
    pub fn add_years(&mut self, years: i64) {
        self.values[Field::Year as usize] += years;
        self.values[Field::WeekYear as usize] += years;
    }

    /// None if it lies beyond what milliseconds can count.
    pub fn resolve(&self) -> Option<Moment> {
        let local = self.day().checked_mul(DAY)?.checked_add(self.time())?;
        Some(Moment { local, offset: self.get(Field::Offset) })
    }

    fn time(&self) -> i64 {
        let of_half = self.pair(Field::HourOfHalf, Field::Half);
        let by_half = match self.order(Field::HourOfDay).max(of_half) {
            0 => true,
            best => best == of_half,
        };
        let hour = if by_half {
            self.get(Field::HourOfHalf).unwrap_or(0) + 12 * self.get(Field::Half).unwrap_or(0)
        } else {
            self.get(Field::HourOfDay).unwrap_or(0)
        };
        let part = |field, unit: i64| self.get(field).unwrap_or(0) * unit;
        hour * 3_600_000 + part(Field::Minute, 60_000) + part(Field::Second, 1000) + part(Field::Millisecond, 1)
    }

    fn day(&self) -> i64 {
        let weekday = self.get(Field::DayOfWeek);
        if self.order(Field::WeekYear) > self.order(Field::Year) {
            let year = self.get(Field::WeekYear).unwrap_or(1970);
            let week = self.get(Field::WeekOfYear).unwrap_or(1);
            return sunday_before(days(year, 1, 1)) + 7 * (week - 1) + weekday.unwrap_or(1) - 1;
        }
        let year = self.get(Field::Year).unwrap_or(1970);
        let year = if self.get(Field::Era) == Some(0) { 1 - year } else { year };
        let month = self.get(Field::Month).unwrap_or(0);
        let first = days(year + month.div_euclid(12), month.rem_euclid(12) + 1, 1);
        match self.kind_of_day() {
            Field::DayOfYear => days(year, 1, 1) + self.get(Field::DayOfYear).unwrap_or(1) - 1,
            Field::WeekOfYear => {
                let week = self.get(Field::WeekOfYear).unwrap_or(1);
                in_week(sunday_before(days(year, 1, 1)), weekday) + 7 * (week - 1)
            }
            Field::WeekOfMonth => {
                let week = self.get(Field::WeekOfMonth).unwrap_or(1);
                in_week(sunday_before(first), weekday) + 7 * (week - 1)
            }
            Field::DayOfWeekInMonth => {
                let nth = self.get(Field::DayOfWeekInMonth).unwrap_or(1);
                let weekday = weekday.unwrap_or(1);
                let last = first + 7 * nth - 1;
                // 1970-01-01 was a Thursday.
                last - (last + 5 - weekday).rem_euclid(7)
            }
            _ => first + self.get(Field::Day).unwrap_or(1) - 1,
        }
    }

    /// What the day within the year follows from.
    fn kind_of_day(&self) -> Field {
        let candidates = [
            (Field::Day, self.order(Field::Day)),
            (Field::WeekOfMonth, self.pair(Field::WeekOfMonth, Field::DayOfWeek)),
            (Field::DayOfWeekInMonth, self.pair(Field::DayOfWeekInMonth, Field::DayOfWeek)),
            (Field::DayOfYear, self.order(Field::DayOfYear)),
            (Field::WeekOfYear, self.pair(Field::WeekOfYear, Field::DayOfWeek)),
        ];
        let alone = [
            (Field::WeekOfMonth, self.order(Field::WeekOfMonth)),
            (Field::DayOfWeekInMonth, self.order(Field::DayOfWeekInMonth).max(self.order(Field::DayOfWeek))),
            (Field::WeekOfYear, self.order(Field::WeekOfYear)),
        ];
        let latest = |candidates: &[(Field, u32)]| {
            let mut best = (Field::Day, 0);
            for candidate in candidates {
                if candidate.1 > best.1 {
                    best = *candidate;
                }
            }
            best
        };
        match latest(&candidates) {
            (_, 0) => latest(&alone).0,
            (field, _) => field,
        }
    }
}

fn sunday_before(day: i64) -> i64 {
    day - (day + 4).rem_euclid(7)
}

fn in_week(sunday: i64, weekday: Option<i64>) -> i64 {
    sunday + weekday.map_or(0, |weekday| (weekday - 1).rem_euclid(7))
}
