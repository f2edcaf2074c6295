use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int8Array, Int32Array, Int64Array, StringViewArray};

use super::*;

/// What Flink gave for PRINTF of this format and value; none: NULL.
fn of(format: &str, kind: TypeKind, value: ArrayRef) -> Option<String> {
    let pieces = specifier::parse(format).ok()?;
    let kinds = [kind];
    let operands = [value.clone(), value.clone()];
    let operands = operands.map(|array| crate::expression::kernel::Operand { array, constant: true });
    let args = Args::new(operands.into(), 1);
    let values = vec![Values::of(&kinds[0], &value).unwrap()];
    let mut out = String::new();
    write_all(&pieces, &values, &args, 0, &mut out).ok().map(|()| out)
}

fn int(format: &str, value: i32) -> Option<String> {
    of(format, TypeKind::Int, Arc::new(Int32Array::from(vec![value])))
}

fn double(format: &str, value: f64) -> Option<String> {
    of(format, TypeKind::Double, Arc::new(Float64Array::from(vec![value])))
}

fn text(format: &str, value: &str) -> Option<String> {
    of(format, TypeKind::string(), Arc::new(StringViewArray::from(vec![value])))
}

#[test]
fn integers_are_written_as_java_writes_them() {
    let written = [
        ("%d", -2147483648, "-2147483648"),
        ("%05d", 42, "00042"),
        ("%-5d|", 42, "42   |"),
        ("%+d", 42, "+42"),
        ("%,d", 1_234_567, "1,234,567"),
        ("% d", 42, " 42"),
        ("%(d", -42, "(42)"),
        ("%(06d", -42, "(0042)"),
        ("%#x", 255, "0xff"),
        ("%X", 255, "FF"),
        ("%o", 8, "10"),
        ("%x", -1, "ffffffff"),
        ("%c", 65, "A"),
        ("%h", 5, "5"),
        ("%1$d %<d %d", 7, "7 7 7"),
    ];
    for (format, value, expected) in written {
        assert_eq!(int(format, value).as_deref(), Some(expected), "{format} of {value}");
    }
    let byte: ArrayRef = Arc::new(Int8Array::from(vec![-1]));
    assert_eq!(of("%x", TypeKind::Tinyint, byte).as_deref(), Some("ff"));
    let long: ArrayRef = Arc::new(Int64Array::from(vec![-1]));
    assert_eq!(of("%x", TypeKind::Bigint, long.clone()).as_deref(), Some("ffffffffffffffff"));
    assert_eq!(of("%c", TypeKind::Bigint, long), None);
    for format in
        ["%q", "%", "%-d", "%-05d", "%.1d", "%#d", "%+ d", "%D", "%d %d", "%f", "%++d", "%<d", "%99999999999d"]
    {
        assert_eq!(int(format, 1), None, "{format}");
    }
}

#[test]
fn floating_point_numbers_are_rounded_half_up() {
    let written = [
        ("%5.2f", 2.5, " 2.50"),
        ("%.1f", 0.25, "0.3"),
        ("%.1f", 0.35, "0.4"),
        ("%.0f", 2.5, "3"),
        ("%.2f", 0.004, "0.00"),
        ("%.2f", 0.999, "1.00"),
        ("%e", 0.0, "0.000000e+00"),
        ("%e", 1e10, "1.000000e+10"),
        ("%g", 1e-5, "1.00000e-05"),
        ("%g", 123_456_789.0, "1.23457e+08"),
        ("%g", 0.0, "0.00000"),
        ("%G", 1e-5, "1.00000E-05"),
        ("%f", f64::NAN, "NaN"),
        ("%f", f64::INFINITY, "Infinity"),
        ("%+f", f64::INFINITY, "+Infinity"),
        ("%,.2f", 1_234_567.891, "1,234,567.89"),
        ("%010.3f", -3.14259, "-00003.143"),
        ("%012.3e", -3.14259, "-003.143e+00"),
        ("%s", 1e10, "1.0E10"),
        ("%f", -0.0, "-0.000000"),
        ("%g", 0.05, "0.0500000"),
        // Failed before: the fewest digits were taken, where Java has more.
        ("%.0f", 1152921504606846976.0, "1152921504606846980"),
        ("%.17e", 1152921504606846976.0, "1.15292150460684698e+18"),
        ("%e", 5e-324, "4.900000e-324"),
    ];
    for (format, value, expected) in written {
        assert_eq!(double(format, value).as_deref(), Some(expected), "{format} of {value}");
    }
    assert_eq!([double("%d", 1.0), double("%,e", 1.0), double("%#g", 1.0)], [const { None }; 3]);
}

/// Before, a format of 64 MiB took forty times as much.
#[test]
fn a_format_of_too_many_specifiers_is_refused() {
    assert!(specifier::parse(&"%n".repeat(1000)).is_ok());
    assert!(matches!(specifier::parse(&"%n".repeat(2 << 20)), Err(Failure::TooLong(_))));
}

#[test]
fn texts_are_cut_and_filled_up() {
    let written = [
        ("%10s", "       abc"),
        ("%-10s|", "abc       |"),
        ("%.2s", "ab"),
        ("%S", "ABC"),
        ("%b", "true"),
        ("100%%%n", "100%\n"),
    ];
    for (format, expected) in written {
        assert_eq!(text(format, "abc").as_deref(), Some(expected), "{format}");
    }
    assert_eq!([text("%d", "a"), text("%c", "a"), text("%#s", "a"), text("%05s", "a")], [const { None }; 4]);
    let null: ArrayRef = Arc::new(BooleanArray::from(vec![None]));
    let nulls = ["%s", "%5.1f", "%b"].map(|format| of(format, TypeKind::Boolean, null.clone()));
    assert_eq!(nulls.map(Option::unwrap), ["null", "    n", "false"]);
    let mut out = String::new();
    push_time("2020-01-01 00:00:00.000", &mut out);
    out.push(' ');
    push_time("2020-01-01 10:11:12.1200", &mut out);
    assert_eq!(out, "2020-01-01T00:00 2020-01-01T10:11:12.120");
}
