//! What Java's class writes and reads, as Flink's answers have it.
use super::*;

fn read(pattern: &str, text: &str) -> Option<String> {
    let Reading::Time(instant) = DateTimeFormatter::parse(pattern).unwrap().read(text) else { return None };
    let mut out = String::new();
    crate::expression::datetime::write_timestamp(instant, 3, &mut out);
    Some(out)
}

fn written(pattern: &str, millis: i64) -> Result<String> {
    let mut out = String::new();
    DateTimeFormatter::parse(pattern)?.write(Instant::from_millis(millis), &mut out)?;
    Ok(out)
}

/// Failed before: names of one letter were whole names, and letters too many were taken.
#[test]
fn five_letters_stand_for_one_and_more_are_refused() {
    let thursday = 1_577_934_245_678; // 2020-01-02 03:04:05.678
    let pattern = "GGGG|GGGGG|MMMM|MMMMM|LLLLL|QQQQ|qqqqq|EEEE|EEEEE|eeeee|ccccc|B|g|gggggg";
    let expected = "Anno Domini|A|January|J|J|1st quarter|1|Thursday|T|T|T|at night|58850|058850";
    assert_eq!(written(pattern, thursday).unwrap(), expected);
    assert_eq!(written("y G GGGG g ggg", -62_198_755_200_000).unwrap(), "2 BC Before Christ -679306 -679306");
    assert_eq!(written("B,BBBBB", 0).unwrap(), "midnight,mi");
    assert_eq!(written("YYYYYYYYYYYYYYYYYYYYYY", 0).unwrap(), "0000000000000000001970");
    for refused in ["GGGGGG", "MMMMMM", "EEEEEE", "www", "WW", "DDDD", "cc", "aa", "SSSSSSSSSS", "V", "OO", "BB"] {
        assert!(DateTimeFormatter::parse(refused).is_err(), "{refused}");
    }
}

#[test]
fn optional_sections_are_left_out_where_they_do_not_fit() {
    let pattern = "yyyy-MM-dd[ HH:mm[:ss[.SSS]]]";
    assert_eq!(read(pattern, "2024-01-05").unwrap(), "2024-01-05 00:00:00.000");
    assert_eq!(read(pattern, "2024-01-05 10:11").unwrap(), "2024-01-05 10:11:00.000");
    assert_eq!(read(pattern, "2024-01-05 10:11:12.500").unwrap(), "2024-01-05 10:11:12.500");
    assert_eq!(read(pattern, "2024-01-05 10:11:12.5"), None);
    assert_eq!(written("yyyy[-MM][ XXX]", 0).unwrap(), "1970-01");
    assert!(DateTimeFormatter::parse("yyyy]").is_err());
    assert!(DateTimeFormatter::parse("yyyy#").is_err());
    assert!(DateTimeFormatter::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn years_have_as_many_digits_as_letters_but_behind_a_sign() {
    assert_eq!(read("yyyy-MM-dd", "20240-01-05"), None);
    assert_eq!(read("yyyy-MM-dd", "+12024-01-05").unwrap(), "2024-01-05 00:00:00.000");
    assert_eq!(read("yyyy-MM-dd", "99999999999999999-01-05"), None);
    assert_eq!(written("yyyy", 253_402_300_800_000).unwrap(), "+10000");
    assert_eq!(written("yy y", 253_402_300_800_000).unwrap(), "00 10000");
    assert!(DateTimeFormatter::parse("HHH").is_err());
    assert!(DateTimeFormatter::parse(&"y".repeat(1_000_000)).is_err());
}

#[test]
fn midnight_may_end_a_day_and_weekdays_must_be_right() {
    assert_eq!(read("yyyy-MM-dd HH:mm", "2024-01-05 24:00").unwrap(), "2024-01-06 00:00:00.000");
    assert_eq!(read("yyyy-MM-dd HH:mm", "2024-01-05 24:01"), None);
    assert_eq!(read("EEE yyyy-MM-dd", "Fri 2024-01-05").unwrap(), "2024-01-05 00:00:00.000");
    assert_eq!(read("EEE yyyy-MM-dd", "Mon 2024-01-05"), None);
}

/// Each text with its pattern and the time, without the part that all have.
fn assert_read(cases: &[(&str, &str, Option<&str>)]) {
    for (text, pattern, expected) in cases {
        let expected = expected.map(|expected| format!("{expected}.000"));
        assert_eq!(read(pattern, text), expected, "'{text}' by '{pattern}'");
    }
}

/// Failed before: none of these letters was read, and an era made a year of none.
#[test]
fn eras_quarters_and_weeks_are_read() {
    assert_read(&[
        ("2020-01-02 Anno Domini", "yyyy-MM-dd GGGG", Some("2020-01-02 00:00:00")),
        ("2020-01-02 A", "yyyy-MM-dd GGGGG", Some("2020-01-02 00:00:00")),
        ("0001-02-29 BC", "yyyy-MM-dd G", Some("0000-02-29 00:00:00")),
        ("2020-01-02 BC", "uuuu-MM-dd G", None),
        ("0000-01-01", "yyyy-MM-dd", None),
        ("0000-01-01", "uuuu-MM-dd", Some("0000-01-01 00:00:00")),
        ("2020-05-02 2nd quarter", "yyyy-MM-dd QQQQ", Some("2020-05-02 00:00:00")),
        ("2020-05-02 Q3", "yyyy-MM-dd qqq", None),
        ("2020 2", "yyyy Q", Some("2020-01-01 00:00:00")),
        ("2020-1-5", "YYYY-w-e", Some("2020-01-02 00:00:00")),
        ("2020-53-7", "YYYY-ww-c", Some("2020-12-26 00:00:00")),
        ("2016-53-7", "YYYY-ww-e", Some("2016-12-31 00:00:00")),
        ("2020-54-7", "YYYY-ww-c", None),
        ("2020-05-Fri-5", "YYYY-ww-E-e", None),
        ("2019-12-29 2020", "yyyy-MM-dd YYYY", Some("2019-12-29 00:00:00")),
        ("2020-02 6 7", "yyyy-MM W e", Some("2020-03-07 00:00:00")),
        ("2020-02 0 1", "yyyy-MM W e", Some("2020-01-19 00:00:00")),
        ("2020-02 7 1", "yyyy-MM W e", None),
        ("2020-01-02 Fri 5", "yyyy-MM-dd E e", Some("2020-01-02 00:00:00")),
        ("2020-01-02 Thu 6", "yyyy-MM-dd E e", None),
        ("2020-01-05 S", "yyyy-MM-dd EEEEE", Some("2020-01-05 00:00:00")),
        ("2020-J-15", "yyyy-MMMMM-dd", Some("2020-07-15 00:00:00")),
        ("2020-01-09 2", "yyyy-MM-dd F", Some("2020-01-09 00:00:00")),
        ("2020-01-09 3", "yyyy-MM-dd F", None),
        ("58850 04", "g HH", Some("2020-01-02 04:00:00")),
        ("2021 58850", "yyyy g", None),
        ("2021366", "yyyyDDD", None),
        ("2020-02 060", "yyyy-MM DDD", Some("2020-02-29 00:00:00")),
        ("2020-03 060", "yyyy-MM DDD", None),
    ]);
}

/// Failed before: counted times were not read, and a part of the day told nothing of the hour.
#[test]
fn times_of_day_are_read_in_each_way_and_have_to_agree() {
    assert_eq!(read("yyyy-MM-dd A", "2020-01-02 11045678").unwrap(), "2020-01-02 03:04:05.678");
    assert_eq!(read("yyyy-MM-dd HH:mm:ss.SSS N", "2020-01-02 03:04:05.679 11045678000000"), None);
    assert_read(&[
        ("2020-01-02 03:04 11045000", "yyyy-MM-dd HH:mm A", Some("2020-01-02 03:04:05")),
        ("2020-01-02 86400000", "yyyy-MM-dd A", None),
        ("2020-01-02 03 07", "yyyy-MM-dd HH ss", Some("2020-01-02 03:00:07")),
        ("2020-01-02 03 99", "yyyy-MM-dd HH ss", None),
        ("2020-01-02 PM", "yyyy-MM-dd a", Some("2020-01-02 18:00:00")),
        ("2020-01-02 05 PM", "yyyy-MM-dd mm a", Some("2020-01-02 00:05:00")),
        ("2020-01-02 15 AM", "yyyy-MM-dd HH a", None),
        ("2020-01-02 00 PM", "yyyy-MM-dd hh a", Some("2020-01-02 12:00:00")),
        ("2020-01-02 at night", "yyyy-MM-dd B", Some("2020-01-02 01:30:00")),
        ("2020-01-02 10 at night", "yyyy-MM-dd h B", Some("2020-01-02 22:00:00")),
        ("2020-01-02 12:01 noon", "yyyy-MM-dd HH:mm B", None),
        ("2020-01-02 24:00 midnight", "yyyy-MM-dd HH:mm B", Some("2020-01-03 00:00:00")),
        ("2020-01-02 p", "yyyy-MM-dd BBBBB", Some("2020-01-02 18:00:00")),
        ("2020-01-02 10 GMT+05:30", "yyyy-MM-dd HH ZZZZ", Some("2020-01-02 10:00:00")),
        ("2020-01-02 10 GMT+5", "yyyy-MM-dd HH O", Some("2020-01-02 10:00:00")),
        ("2020-01-02 10 +19", "yyyy-MM-dd HH X", None),
        ("2020-01-02 10 Z", "yyyy-MM-dd HH xxx", None),
        ("2020-01-02 10 Europe/Paris", "yyyy-MM-dd HH VV", Some("2020-01-02 10:00:00")),
        ("2020-01-02 10 GMT+5", "yyyy-MM-dd HH VV", None),
        ("2020-01-02 10 GMT\u{e9}12", "yyyy-MM-dd HH O", None),
    ]);
}

/// Failed before: a number left digits to some of those that can follow it only.
#[test]
fn numbers_share_digits_as_their_letters_say() {
    assert_read(&[
        ("20200102030405", "yyyyMMddHHmmss", Some("2020-01-02 03:04:05")),
        ("20200102", "yMMdd", Some("2020-01-02 00:00:00")),
        ("12020012", "yMMd", None),
        ("2020011", "YYYYwwe", Some("2019-12-29 00:00:00")),
        ("20200115", "YYYYwwee", None),
        ("20200102", "yyyy[MMdd]", None),
        ("2020-01-02 0000000000003", "yyyy-MM-dd H", Some("2020-01-02 03:00:00")),
        ("99999999999999999999", "g", None),
        ("-0-01-02", "u-MM-dd", None),
        ("2020-01-02   3", "yyyy-MM-dd pppH", Some("2020-01-02 03:00:00")),
        ("2020-01-02  3", "yyyy-MM-dd pppH", None),
        ("2020-01-02    3", "yyyy-MM-dd pppH", None),
    ]);
}

/// Failed before: such a text was read in another way, and as the first of March.
#[test]
fn a_text_that_fits_may_be_no_time() {
    let formatter = DateTimeFormatter::parse("YYYY-MM-dd").unwrap();
    assert_eq!(formatter.read("2020-02-30"), Reading::NoSuchTime);
    assert_eq!(formatter.read("2020-02"), Reading::Misfit);
}

/// Failed before: `p` and `v` were no letters.
#[test]
fn blanks_fill_a_field_up() {
    let time = 1_577_934_245_000; // 2020-01-02 03:04:05
    assert_eq!(written("pppH|pppmm|ppppEEE|ppM|pd", time).unwrap(), "  3| 04| Thu| 1|2");
    assert!(written("pdd", time).is_err());
    for refused in ["p", "pp-", "ppHmm", "vv"] {
        assert!(DateTimeFormatter::parse(refused).is_err(), "{refused}");
    }
}
