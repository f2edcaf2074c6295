//! DOUBLE and FLOAT as text, for casts, results and all formats: `Double.toString` and `Float.toString` of JDK 17, on which Flink
//! usually runs. Only where JDK 17 prints more digits than name the number, or not those nearest to it (numbers from 2^63 to
//! about 10^26, powers of two, the smallest ones; JDK-4511638), the text is that of JDK 19 and later.
use crate::expression::decimal::power;

/// Writes a DOUBLE: `1.0E10`, `0.001`, `NaN`, `-Infinity`.
pub fn write_double(value: f64, out: &mut String) {
    if !value.is_finite() || value == 0.0 {
        return write_special(value, out);
    }
    let magnitude = value.abs();
    if magnitude > 2f64.powi(53) && magnitude < 2f64.powi(63) {
        return write_whole(value < 0.0, magnitude as u64, 53, out);
    }
    write_shortest(ryu::Buffer::new().format_finite(value), &|| format!("{value:.1e}"), out);
}

/// Writes a FLOAT.
pub fn write_float(value: f32, out: &mut String) {
    if !value.is_finite() || value == 0.0 {
        return write_special(f64::from(value), out);
    }
    let magnitude = f64::from(value.abs());
    if magnitude > 2f64.powi(24) && magnitude < 2f64.powi(63) {
        return write_whole(value < 0.0, magnitude as u64, 24, out);
    }
    write_shortest(ryu::Buffer::new().format_finite(value), &|| format!("{value:.1e}"), out);
}

fn write_special(value: f64, out: &mut String) {
    out.push_str(match value {
        v if v.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        v if v.is_sign_negative() => "-0.0",
        _ => "0.0",
    });
}

/// Whole numbers beyond the mantissa's range (`bits` long): Java prints all decimal digits of the number but those that
/// the bits below the mantissa leave open, which may be more digits than tell the number apart from its neighbours.
fn write_whole(negative: bool, value: u64, bits: u32, out: &mut String) {
    let exponent = 63 - value.leading_zeros();
    let open_bits = if exponent > bits { exponent - bits - 1 } else { 0 };
    let open_digits = if open_bits > 1 { (1u64 << open_bits).ilog10() } else { 0 };
    let unit = power(open_digits) as u64;
    let rounded = value / unit + u64::from(open_digits > 0 && value % unit >= unit / 2);
    let mut buffer = [0; 20];
    let digits = write_digits(rounded, &mut buffer);
    let point = digits.len() as i32 + open_digits as i32;
    write_parts(negative, digits, point, out);
}

fn write_digits(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[at..];
        }
    }
}

/// From the digits of the shortest number that reads back as the same value. Java prints two digits at least: those
/// nearest to the value (`4.9E-324`), where one would do.
fn write_shortest(text: &str, two_digits: &dyn Fn() -> String, out: &mut String) {
    if text.bytes().filter(u8::is_ascii_digit).count() == 1 || text.contains("e-") && !text.contains('.') {
        return write_text(&two_digits(), out);
    }
    write_text(text, out);
}

fn write_text(text: &str, out: &mut String) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0; 40];
    let mut length = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits[length] = byte;
        length += 1;
    }
    let leading = digits[..length].iter().take_while(|digit| **digit == b'0').count();
    let point = whole.len() as i32 + exponent - leading as i32;
    write_parts(negative, &digits[leading..length], point, out);
}

/// Writes `0.digits * 10^point`.
fn write_parts(negative: bool, digits: &[u8], point: i32, out: &mut String) {
    let used = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..used];
    let push = |out: &mut String, digits: &[u8]| digits.iter().for_each(|digit| out.push(char::from(*digit)));
    if negative {
        out.push('-');
    }
    if (1..=7).contains(&point) {
        let point = point as usize;
        push(out, &digits[..point.min(used)]);
        (used..point).for_each(|_| out.push('0'));
        out.push('.');
        if used > point { push(out, &digits[point..]) } else { out.push('0') }
    } else if (-2..=0).contains(&point) {
        out.push_str("0.");
        (point..0).for_each(|_| out.push('0'));
        push(out, digits);
    } else {
        push(out, &digits[..1]);
        out.push('.');
        if used > 1 {
            push(out, &digits[1..])
        } else {
            out.push('0')
        }
        out.push('E');
        write_integer(i64::from(point - 1), out);
    }
}

/// Writes an integer.
pub(crate) fn write_integer(value: i64, out: &mut String) {
    let mut buffer = [0; 20];
    if value < 0 {
        out.push('-');
    }
    for digit in write_digits(value.unsigned_abs(), &mut buffer) {
        out.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: &str) -> String {
        let mut text = String::new();
        write_double(value.parse().unwrap(), &mut text);
        text
    }

    fn float(value: &str) -> String {
        let mut text = String::new();
        write_float(value.parse().unwrap(), &mut text);
        text
    }

    /// What Apache Flink 2.3 printed on JDK 17.
    #[test]
    fn doubles_are_written_as_flink_writes_them() {
        for (value, text) in [
            ("4.9E-324", "4.9E-324"),
            ("1.5E-323", "1.5E-323"),
            ("2.2250738585072014E-308", "2.2250738585072014E-308"),
            ("9.99E-4", "9.99E-4"),
            ("1.0E-3", "0.001"),
            ("2E-3", "0.002"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("-0.0", "-0.0"),
            ("100", "100.0"),
            ("9999999", "9999999.0"),
            ("1E7", "1.0E7"),
            ("12345678", "1.2345678E7"),
            ("9007199254740991", "9.007199254740991E15"),
            ("9007199254740992", "9.007199254740992E15"),
            ("9007199254740994", "9.007199254740994E15"),
            ("18014398509481984", "1.8014398509481984E16"),
            ("123456789012345678", "1.2345678901234568E17"),
            ("1152921504606846976", "1.15292150460684698E18"),
            ("-1152921504606846976", "-1.15292150460684698E18"),
            ("1131077703239266560", "1.13107770323926656E18"),
            ("4611686018427387904", "4.6116860184273879E18"),
            ("9223372036854774784", "9.2233720368547748E18"),
            ("9223372036854775808", "9.223372036854776E18"),
            ("18446744073709551616", "1.8446744073709552E19"),
            ("1E21", "1.0E21"),
            ("1E22", "1.0E22"),
            ("1.7976931348623157E308", "1.7976931348623157E308"),
        ] {
            assert_eq!(double(value), text, "{value}");
        }
    }

    /// What Apache Flink 2.3 printed on JDK 17.
    #[test]
    fn floats_are_written_as_flink_writes_them() {
        for (value, text) in [
            ("1.4E-45", "1.4E-45"),
            ("2.8E-45", "2.8E-45"),
            // A power of two: JDK 17 writes one digit more, from JDK 19 on the shortest text.
            ("1.17549435E-38", "1.1754944E-38"),
            ("1.0E-3", "0.001"),
            ("3.3", "3.3"),
            ("9999999", "9999999.0"),
            ("1E7", "1.0E7"),
            ("16777215", "1.6777215E7"),
            ("16777216", "1.6777216E7"),
            ("16777218", "1.6777218E7"),
            ("33554432", "3.3554432E7"),
            ("90745184", "9.0745184E7"),
            ("123456789", "1.23456792E8"),
            ("1E10", "1.0E10"),
            ("1152921504606846976", "1.1529215E18"),
            ("9223372036854775808", "9.223372E18"),
            ("1E23", "1.0E23"),
            ("3.4028235E38", "3.4028235E38"),
        ] {
            assert_eq!(float(value), text, "{value}");
        }
    }

    /// JDK 17 prints 9.999999999999999E22, 8.409999999999999E21 and 1.0E-323.
    #[test]
    fn numbers_that_jdk_17_misnames_have_the_fewest_digits_that_name_them() {
        assert_eq!(double("1E23"), "1.0E23");
        assert_eq!(double("8.41E21"), "8.41E21");
        assert_eq!(double("9.9E-324"), "9.9E-324");
    }
}
