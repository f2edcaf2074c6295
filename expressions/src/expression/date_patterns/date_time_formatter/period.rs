//! Periods of the day in English, as Java has them from Unicode's CLDR.

/// A part of the day in minutes, without its end; those of noon and midnight are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DayPeriod {
    from: i64,
    to: i64,
}

/// Each with its name and its narrow one.
const PERIODS: [(DayPeriod, &str, &str); 8] = [
    (DayPeriod { from: 0, to: 720 }, "AM", "a"),
    (DayPeriod { from: 720, to: 1440 }, "PM", "p"),
    (DayPeriod { from: 0, to: 0 }, "midnight", "mi"),
    (DayPeriod { from: 720, to: 720 }, "noon", "n"),
    (DayPeriod { from: 360, to: 720 }, "in the morning", "in the morning"),
    (DayPeriod { from: 720, to: 1080 }, "in the afternoon", "in the afternoon"),
    (DayPeriod { from: 1080, to: 1260 }, "in the evening", "in the evening"),
    (DayPeriod { from: 1260, to: 360 }, "at night", "at night"),
];

impl DayPeriod {
    pub fn includes(self, minute: i64) -> bool {
        // Midnight ends the day, too.
        if (self.from, self.to, minute) == (0, 0, 1440) || self.from == minute && self.to == minute {
            return true;
        }
        match self.from <= self.to {
            true => self.from <= minute && minute < self.to,
            false => self.from <= minute || minute < self.to,
        }
    }

    pub fn middle(self) -> i64 {
        (self.from + self.duration() / 2) % 1440
    }

    fn duration(self) -> i64 {
        (self.to - self.from).rem_euclid(1440)
    }

    /// Names as `count` letters stand for them, with their periods.
    pub fn names(count: usize) -> impl Iterator<Item = (Self, &'static str)> {
        PERIODS.into_iter().map(move |(period, name, narrow)| (period, if count == 5 { narrow } else { name }))
    }

    /// The name of the shortest period that a time of the day is in.
    pub fn name_at(minute: i64, count: usize) -> &'static str {
        let periods = Self::names(count).filter(|(period, _)| period.includes(minute));
        periods.min_by_key(|(period, _)| period.duration()).map_or("", |(_, name)| name)
    }
}
