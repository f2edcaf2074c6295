//! Memory sizes as Flink writes them: `64mb`, `1 g`, a bare number is bytes.
use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemorySize(pub u64);

/// Units from the largest, with the label that is shown and all labels that are read.
const UNITS: [(u64, &str, &[&str]); 5] = [
    (1 << 40, "tb", &["t", "tb", "tebibytes"]),
    (1 << 30, "gb", &["g", "gb", "gibibytes"]),
    (1 << 20, "mb", &["m", "mb", "mebibytes"]),
    (1 << 10, "kb", &["k", "kb", "kibibytes"]),
    (1, "bytes", &["b", "bytes"]),
];

const EXPECTED: &str = "expected a memory size such as `64mb`, `1 g`, `512k` or a number of bytes";

impl MemorySize {
    /// Flink's largest size, for maxima that are none.
    pub const MAX: MemorySize = MemorySize(i64::MAX as u64);

    /// A size in mebibytes.
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size times a factor that is not negative, rounded down to bytes. Exact in the factor's shortest decimal
    /// digits, as Flink calculates; the largest size if the product is larger.
    pub fn multiply(self, factor: f64) -> Self {
        if !factor.is_finite() || factor < 0.0 {
            return Self(0);
        }
        let digits = format!("{factor:e}");
        let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let number: u128 = format!("{whole}{fraction}").parse().unwrap_or(0);
        let exponent = exponent.parse::<i32>().unwrap_or(0) - fraction.len() as i32;
        let product = number * u128::from(self.0);
        let scale = 10u128.checked_pow(exponent.unsigned_abs());
        let bytes = match (scale, exponent < 0) {
            (Some(scale), true) => product / scale,
            (Some(scale), false) => product.saturating_mul(scale),
            (None, true) => 0,
            (None, false) => u128::MAX,
        };
        Self(bytes.min(u128::from(Self::MAX.0)) as u64)
    }

    /// For people: `1.500gb (1610612736 bytes)`, or the bytes alone below one kibibyte.
    pub fn human_readable(self) -> String {
        let step = UNITS.iter().find(|(per_unit, ..)| *per_unit > 1 && self.0 > *per_unit);
        match step {
            Some((per_unit, label, _)) => {
                // Three digits, a half rounded up.
                let thousandths = (u128::from(self.0) * 1000 + u128::from(per_unit / 2)) / u128::from(*per_unit);
                format!("{}.{:03}{label} ({} bytes)", thousandths / 1000, thousandths % 1000, self.0)
            }
            None => format!("{} bytes", self.0),
        }
    }
}

/// Flink's spelling in configurations: the largest unit that divides the size, as `64 mb`.
impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_memory_size(*self))
    }
}

/// Reads a memory size. The error says what was expected.
pub fn parse_memory_size(text: &str) -> Result<MemorySize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, label) = (&text[..digits], text[digits..].trim().to_lowercase());
    if number.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let per_unit = if label.is_empty() {
        1
    } else {
        let found = UNITS.iter().find(|(_, _, labels)| labels.contains(&label.as_str()));
        found.ok_or_else(|| format!("`{label}` is no unit of memory; {EXPECTED}"))?.0
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(per_unit));
    match bytes {
        Some(bytes) if bytes <= MemorySize::MAX.0 => Ok(MemorySize(bytes)),
        _ => Err(format!("the size is too large; {EXPECTED}")),
    }
}

/// The largest unit that divides the size, as `64 mb`.
pub fn format_memory_size(size: MemorySize) -> String {
    let (per_unit, label, _) =
        UNITS.iter().find(|(per_unit, ..)| size.0 != 0 && size.0.is_multiple_of(*per_unit)).unwrap_or(&UNITS[4]);
    format!("{} {label}", size.0 / per_unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling() {
        let cases = [
            ("64mb", 64 << 20),
            ("1g", 1 << 30),
            ("1 G", 1 << 30),
            ("2t", 2 << 40),
            ("512 kibibytes", 512 << 10),
            ("1024", 1024),
            ("7b", 7),
            (" 7 bytes ", 7),
            ("0", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_memory_size(text), Ok(MemorySize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size() {
        for text in ["", "mb", "-1 mb", "1.5 g", "12 parsecs", "99999999999999999999", "9999999999 t"] {
            assert!(parse_memory_size(text).unwrap_err().contains("expected a memory size"), "{text}");
        }
    }

    #[test]
    fn shown() {
        assert_eq!(MemorySize::from_mebibytes(64).to_string(), "64 mb");
        assert_eq!(MemorySize(0).to_string(), "0 bytes");
        assert_eq!(MemorySize(1025).to_string(), "1025 bytes");
        assert_eq!(MemorySize(1728 << 20).human_readable(), "1.688gb (1811939328 bytes)");
        assert_eq!(MemorySize(1600 << 20).human_readable(), "1.563gb (1677721600 bytes)");
        assert_eq!(MemorySize(7).human_readable(), "7 bytes");
    }

    #[test]
    fn multiplied_in_decimal() {
        let flink = MemorySize::from_mebibytes(1280);
        assert_eq!(flink.multiply(0.1), MemorySize(134217728));
        assert_eq!(flink.multiply(f64::from(0.1f32)), MemorySize(134217730));
        assert_eq!(MemorySize::MAX.multiply(1e30), MemorySize::MAX);
        assert_eq!(MemorySize(10).multiply(1e-300), MemorySize(0));
        assert_eq!(MemorySize(10).multiply(20.0), MemorySize(200));
    }

    proptest! {
        #[test]
        fn shown_and_read_again(bytes in 0..MemorySize::MAX.0) {
            prop_assert_eq!(parse_memory_size(&MemorySize(bytes).to_string()), Ok(MemorySize(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse_memory_size(&text);
        }
    }
}
