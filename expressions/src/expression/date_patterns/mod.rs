//! Texts of dates and times by patterns, as two classes of Java write and read them. Here is what both share.
use std::iter::Peekable;
use std::str::Chars;

use super::datetime::{civil, days};
use crate::cast::write_integer;

pub(crate) mod date_time_formatter;
pub(crate) mod simple_date_format;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What stands between quotes, the first of which was taken; two quotes are one character. False if the end is missing.
fn quoted(chars: &mut Peekable<Chars>, mut push: impl FnMut(char)) -> bool {
    if chars.next_if_eq(&'\'').is_some() {
        push('\'');
        return true;
    }
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => push('\''),
            Some('\'') => return true,
            Some(c) => push(c),
            None => return false,
        }
    }
}

fn padded(value: i64, width: usize, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log as usize + 1);
    (digits..width).for_each(|_| out.push('0'));
    write_integer(value.saturating_abs(), out);
}

/// The year and the week of a day where weeks begin on Sundays and the one with January 1st is the first.
fn sunday_week(day: i64) -> (i64, i64) {
    let sunday = day - (day + 4).rem_euclid(7);
    let year = civil(sunday + 6).0;
    let first = days(year, 1, 1);
    let first_sunday = first - (first + 4).rem_euclid(7);
    (year, (sunday - first_sunday) / 7 + 1)
}

/// How many days of its week lie before the first of a day's month.
fn days_before(day: i64, day_of_month: i64) -> i64 {
    (day - day_of_month + 1 + 4).rem_euclid(7)
}
