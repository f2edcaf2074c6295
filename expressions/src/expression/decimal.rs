//! Arithmetic on the unscaled values of decimals, rounding half up (away from zero) as `java.math.BigDecimal` does.
use arrow::datatypes::i256;

/// 10^exponent; the largest power for exponents beyond 38.
pub(crate) fn power(exponent: u32) -> i128 {
    10_i128.pow(exponent.min(38))
}

/// The smallest magnitude that does not fit a precision.
pub(crate) fn limit(precision: u8) -> u128 {
    10_u128.pow(u32::from(precision.min(38)))
}

/// Whether a number has no more than 38 digits.
pub(crate) fn fits(value: i256) -> bool {
    value.to_i128().is_some_and(|value| value.unsigned_abs() < limit(38))
}

fn power_wide(exponent: u32) -> i256 {
    let low = i256::from_i128(power(exponent.min(38)));
    if exponent <= 38 { low } else { low.wrapping_mul(i256::from_i128(power((exponent - 38).min(38)))) }
}

/// A quotient rounded half up.
pub(crate) fn divide_half_up(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    // Twice the rest could overflow where the divisor is near the limit.
    let up = rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs();
    if !up || rest == 0 {
        quotient
    } else if (value < 0) == (by < 0) {
        quotient + 1
    } else {
        quotient - 1
    }
}

/// The same number at another scale; none if it does not fit 128 bits.
pub(crate) fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    let by = u32::from(from.abs_diff(to));
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => Some(value),
        std::cmp::Ordering::Less if by > 38 => (value == 0).then_some(0),
        std::cmp::Ordering::Less => value.checked_mul(power(by)),
        std::cmp::Ordering::Greater if by > 38 => Some(0),
        std::cmp::Ordering::Greater => Some(divide_half_up(value, power(by))),
    }
}

/// As [`rescale`] from 256 bits.
pub(crate) fn rescale_wide(value: i256, from: i8, to: i8) -> Option<i128> {
    if from <= to {
        return value.checked_mul(power_wide(u32::from(from.abs_diff(to))))?.to_i128();
    }
    let by = power_wide(u32::from(from.abs_diff(to)));
    half_up(value.wrapping_div(by), value.wrapping_rem(by), by, (value < i256::ZERO) != (by < i256::ZERO))
}

fn half_up(quotient: i256, rest: i256, by: i256, negative: bool) -> Option<i128> {
    let (rest, by) = (rest.wrapping_abs(), by.wrapping_abs());
    let up = rest >= by.wrapping_sub(rest) && rest != i256::ZERO;
    let quotient = match (up, negative) {
        (false, _) => quotient,
        (true, false) => quotient.wrapping_add(i256::ONE),
        (true, true) => quotient.wrapping_sub(i256::ONE),
    };
    quotient.to_i128()
}

/// `left * 10^shift / right` rounded half up; none if it does not fit 128 bits.
pub(crate) fn divide(left: i128, right: i128, shift: i32) -> Option<i128> {
    if (0..=38).contains(&shift)
        && let Some(scaled) = left.checked_mul(power(shift as u32))
    {
        return Some(divide_half_up(scaled, right));
    }
    let (wide_left, wide_right) = (i256::from_i128(left), i256::from_i128(right));
    let negative = (left < 0) != (right < 0);
    if shift < 0 {
        let by = wide_right.checked_mul(power_wide(shift.unsigned_abs()))?;
        return half_up(wide_left.wrapping_div(by), wide_left.wrapping_rem(by), by, negative);
    }
    // Digit by digit: the rest stays below the divisor, so that nothing overflows before the quotient does.
    let by = wide_right.wrapping_abs();
    let (mut quotient, mut rest) =
        (wide_left.wrapping_abs().wrapping_div(by), wide_left.wrapping_abs().wrapping_rem(by));
    let ten = i256::from_i128(10);
    for _ in 0..shift {
        rest = rest.wrapping_mul(ten);
        quotient = quotient.checked_mul(ten)?.checked_add(rest.wrapping_div(by))?;
        rest = rest.wrapping_rem(by);
    }
    let magnitude = half_up(quotient, rest, by, false)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Writes a decimal as `BigDecimal.toPlainString` does.
pub(crate) fn write(value: i128, scale: i8, out: &mut String) {
    use std::fmt::Write;
    let scale = scale.max(0) as usize;
    if value < 0 {
        out.push('-');
    }
    let start = out.len();
    // Writing to a string cannot fail.
    let _ = write!(out, "{}", value.unsigned_abs());
    let digits = out.len() - start;
    if scale > 0 {
        for _ in digits..=scale {
            out.insert(start, '0');
        }
        out.insert(out.len() - scale, '.');
    }
}
