//! `Double.toString` and `Float.toString` as Java 17 and older print them.
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
pub(crate) fn write_float(value: f32, out: &mut String) {
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
