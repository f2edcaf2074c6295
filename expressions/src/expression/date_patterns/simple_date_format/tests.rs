//! What Java's class gives for texts that do not fit a pattern to the letter.
use super::SimpleDateFormat;
use crate::expression::Zone;

/// 1946-01-01, as of a pattern made in 2026.
const CENTURY: i64 = -757_382_400_000;

fn seconds(pattern: &str, text: &str) -> Option<i64> {
    let format = SimpleDateFormat::parse(pattern).unwrap();
    format.read(text, CENTURY).map(|moment| moment.millis(Zone::UTC) / 1000)
}

fn written(pattern: &str, millis: i64, zone: &str) -> String {
    let mut out = String::new();
    SimpleDateFormat::parse(pattern).unwrap().write(millis, Zone::parse(zone).unwrap(), &mut out);
    out
}

#[test]
fn a_text_need_only_begin_with_what_fits() {
    let full = "yyyy-MM-dd HH:mm:ss";
    assert_eq!(seconds(full, "2024-01-01 00:00:05.000"), Some(1_704_067_205));
    assert_eq!(seconds(full, "2024-01-01 00:00:05Z"), Some(1_704_067_205));
    assert_eq!(seconds("yyyy-MM-dd", "2024-01-01 00:00:05"), Some(1_704_067_200));
    assert_eq!(seconds("yyyy-MM-dd HH:mm:ss.SSS", "2024-01-01 00:00:05.250"), Some(1_704_067_205));
    assert_eq!(seconds(full, "2024-01-01"), None);
    assert_eq!(seconds(full, "2024-01-01T00:00:05"), None);
    assert_eq!(seconds(full, ""), None);
    assert_eq!(seconds("", "2024"), None);
}

#[test]
fn numbers_may_be_short_long_or_out_of_range() {
    let full = "yyyy-MM-dd HH:mm:ss";
    assert_eq!(seconds(full, "2024-1-1 0:0:5"), Some(1_704_067_205));
    assert_eq!(seconds(full, "  2024- 01-01 00:00:05"), Some(1_704_067_205));
    assert_eq!(seconds(full, "2023-12-31 24:00:05"), Some(1_704_067_205));
    assert_eq!(seconds(full, "2023-13-01 00:00:05"), Some(1_704_067_205));
    assert_eq!(seconds(full, "2024-02-30 00:00:00"), seconds(full, "2024-03-01 00:00:00"));
    // Java's well-known trap: the pattern's digits end where the letters do, and a minus makes a number negative.
    assert_eq!(seconds("yyyyMMdd", "20240105"), Some(1_704_412_800));
    assert_eq!(seconds("yyyyMMdd", "2024-1-5"), seconds("yyyy-MM-dd", "2023-10-26"));
    assert_eq!(seconds("yyyyMMdd", "202401"), None);
    assert_eq!(seconds(full, "99999999999999999999-01-01 00:00:00"), None);
}

#[test]
fn names_offsets_and_years_of_two_digits() {
    assert_eq!(seconds("dd/MMM/yyyy:HH:mm:ss Z", "05/Jan/2024:10:11:12 +0000"), Some(1_704_449_472));
    assert_eq!(seconds("d MMM yyyy", "5 january 2024"), Some(1_704_412_800));
    assert_eq!(seconds("EEE, d MMM yyyy HH:mm:ss z", "Fri, 5 Jan 2024 12:11:12 GMT+02:00"), Some(1_704_449_472));
    assert_eq!(seconds("yyyy-MM-dd HH:mm:ss z", "2024-01-05 05:11:12 EST"), Some(1_704_449_472));
    assert_eq!(seconds("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-01-05T12:11:12+02:00"), Some(1_704_449_472));
    assert_eq!(seconds("yyyy-MM-dd'T'HH:mm:ssX", "2024-01-05T10:11:12Z"), Some(1_704_449_472));
    assert_eq!(seconds("yyyy-MM-dd'T'HH:mm:ss'Z'", "2024-01-05T10:11:12Z"), Some(1_704_449_472));
    assert_eq!(seconds("yyyy-MM-dd h:mm a", "2024-01-05 3:04 pm"), Some(1_704_467_040));
    assert_eq!(seconds("HH:mm", "10:11"), Some(36_660));
    assert_eq!(seconds("dd/MM/yy", "05/01/24"), Some(1_704_412_800));
    assert_eq!(seconds("dd/MM/yy", "05/01/2024"), Some(1_704_412_800));
    assert_eq!(seconds("dd/MM/yy", "05/01/70"), Some(345_600));
}

/// Failed before: whole names of eras were not read.
#[test]
fn eras_have_two_names() {
    assert_eq!(seconds("G yyyy-MM-dd", "anno domini 2020-01-02"), seconds("yyyy-MM-dd", "2020-01-02"));
    assert_eq!(seconds("GGGG yyyy-MM-dd", "BC 0001-03-01"), seconds("yyyy-MM-dd", "0000-03-01"));
    assert_eq!(seconds("G yyyy-MM-dd", "Ann 2020-01-02"), None);
}

#[test]
fn days_follow_from_weeks_and_days_of_the_year() {
    assert_eq!(seconds("yyyy-DDD", "2024-060"), seconds("yyyy-MM-dd", "2024-02-29"));
    assert_eq!(seconds("YYYY-'W'ww-u", "2024-W01-1"), seconds("yyyy-MM-dd", "2024-01-01"));
    assert_eq!(seconds("yyyy-MM EEE", "2024-01 Fri"), seconds("yyyy-MM-dd", "2024-01-05"));
}

#[test]
fn a_time_that_clocks_show_twice_is_the_later_and_a_skipped_one_moves_on() {
    let format = SimpleDateFormat::parse("yyyy-MM-dd HH:mm:ss").unwrap();
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let seconds = |text: &str| format.read(text, CENTURY).unwrap().millis(berlin) / 1000;
    assert_eq!(seconds("2024-10-27 02:30:00"), 1_729_992_600);
    assert_eq!(seconds("2024-03-31 02:30:00"), 1_711_848_600);
    assert_eq!(seconds("2024-07-01 12:00:00"), 1_719_828_000);
}

#[test]
fn writes_as_java_does() {
    assert_eq!(written("yyyyMMdd HH:mm:ss.SSS", 1_704_067_205_007, "UTC"), "20240101 00:00:05.007");
    assert_eq!(written("S SS u F E EEEE yy y", 1_704_067_205_007, "UTC"), "7 07 1 1 Mon Monday 24 2024");
    assert_eq!(written("HH Z X XXX", 1_704_067_205_000, "Asia/Kolkata"), "05 +0530 +05 +05:30");
    assert_eq!(written("z", 1_719_828_000_000, "Europe/Berlin"), "CEST");
    assert_eq!(written("zzz zzzz", 1_719_828_000_000, "UTC"), "UTC Coordinated Universal Time");
    assert_eq!(written("k K h a", 1_704_067_205_000, "UTC"), "24 0 12 AM");
}

#[test]
fn malformed_patterns_are_refused() {
    assert!(SimpleDateFormat::parse("yyyy-nn").is_err());
    assert!(SimpleDateFormat::parse("yyyy'T").is_err());
    assert!(SimpleDateFormat::parse("XXXX").is_err());
}
