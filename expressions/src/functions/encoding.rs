//! Hashes, base 64, hexadecimal digits, character sets, URLs, Internet addresses.
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::Digest;
use wiesel_common::quote::quote;

use super::digest::{md5, sha1};
use super::numeric::text_of_integer;
use crate::cast::utf8_as_java;
use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};
use crate::types::TypeKind;

/// Bits of the last letter that belong to no byte are not looked at when it is read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn push_hex(bytes: &[u8], digits: &[u8; 16], out: &mut String) {
    for byte in bytes {
        out.push(char::from(digits[usize::from(byte >> 4)]));
        out.push(char::from(digits[usize::from(byte & 15)]));
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn is_binary(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Binary(_) | TypeKind::Varbinary(_))
}

/// A function of a string's or byte string's bytes that writes text.
fn of_bytes(write: impl Fn(&[u8], &mut String) -> Result<bool> + Send + Sync + 'static) -> Result<Kernel> {
    Ok(Box::new(move |args| {
        let bytes = match args.array(0).data_type() {
            DataType::Utf8View => args.array(0).as_string_view().clone().to_binary_view(),
            DataType::BinaryView => args.array(0).as_binary_view().clone(),
            other => return Err(Error::Plan(format!("{other} where a string was expected"))),
        };
        let nulls = arrow::array::Array::nulls(&bytes);
        args.strings(|row, out| {
            let row = args.row(0, row);
            if nulls.is_some_and(|nulls| nulls.is_null(row)) { Ok(false) } else { write(bytes.value(row), out) }
        })
    }))
}

fn digest_of(bits: i32, bytes: &[u8], out: &mut String) -> bool {
    match bits {
        224 => push_hex(&sha2::Sha224::digest(bytes), LOWER, out),
        256 => push_hex(&sha2::Sha256::digest(bytes), LOWER, out),
        384 => push_hex(&sha2::Sha384::digest(bytes), LOWER, out),
        512 => push_hex(&sha2::Sha512::digest(bytes), LOWER, out),
        _ => return false,
    }
    true
}

pub(super) fn hash(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    match site.function {
        "MD5" => of_bytes(|bytes, out| {
            push_hex(&md5(bytes), LOWER, out);
            Ok(true)
        }),
        "SHA1" => of_bytes(|bytes, out| {
            push_hex(&sha1(bytes), LOWER, out);
            Ok(true)
        }),
        name => {
            let bits: i32 = name.trim_start_matches("SHA").parse().map_err(|_| site.unsupported())?;
            of_bytes(move |bytes, out| Ok(digest_of(bits, bytes, out)))
        }
    }
}

pub(super) fn sha2(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (text, bits) = (args.read::<Text>(0)?, args.read::<Int32Type>(1)?);
        args.strings(|row, out| {
            let (Some(text), Some(bits)) = (text.get(row), bits.get(row)) else { return Ok(false) };
            if digest_of(bits, text.as_bytes(), out) {
                return Ok(true);
            }
            Err(Error::data("java.lang.RuntimeException", "Unsupported algorithm."))
        })
    }))
}

pub(super) fn to_base64(_: &Site) -> Result<Kernel> {
    of_bytes(|bytes, out| {
        BASE64.encode_string(bytes, out);
        Ok(true)
    })
}

pub(super) fn from_base64(_: &Site) -> Result<Kernel> {
    of_bytes(|bytes, out| {
        out.push_str(&utf8_as_java(&decode_base64(bytes)?));
        Ok(true)
    })
}

/// The bytes that a text stands for; the padding is there in full or not at all.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>> {
    const WRONG_END: &str = "Input byte array has wrong 4-byte ending unit";
    let refused = |message: String| Error::data("java.lang.IllegalArgumentException", message);
    if text.ends_with(b"=") && !text.len().is_multiple_of(4) {
        return Err(refused(WRONG_END.to_owned()));
    }
    BASE64.decode(text).map_err(|error| match error {
        base64::DecodeError::InvalidByte(_, byte) => refused(format!("Illegal base64 character {byte:x}")),
        _ => refused(WRONG_END.to_owned()),
    })
}

pub(super) fn hex(site: &Site) -> Result<Kernel> {
    let kind = site.operand_type(0)?;
    if matches!(kind, TypeKind::Char(_) | TypeKind::Varchar(_)) || is_binary(kind) {
        return of_bytes(|bytes, out| {
            push_hex(bytes, UPPER, out);
            Ok(true)
        });
    }
    text_of_integer(|number, out| {
        out.push_str(&format!("{number:X}"));
        true
    })
}

pub(super) fn unhex(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.byte_strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
            // Flink reads an odd first digit and makes it a zero.
            let (first, pairs) = text.as_bytes().split_at(text.len() % 2);
            if let Some(first) = first.first() {
                if digit(*first).is_none() {
                    return Ok(false);
                }
                out.push(0);
            }
            for pair in pairs.chunks(2) {
                let value = pair.iter().try_fold(0, |value, byte| Some(value << 4 | digit(*byte)?));
                let Some(value) = value else { return Ok(false) };
                out.push(value);
            }
            Ok(true)
        })
    }))
}

/// The character sets that Java's names mean here.
#[derive(Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// With a byte order mark when written.
    Utf16,
    Utf16Be,
    Utf16Le,
}

fn charset(name: &str) -> Result<Charset> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "US-ASCII" | "ASCII" => Charset::Ascii,
        "ISO-8859-1" | "LATIN1" => Charset::Latin1,
        "UTF-8" | "UTF8" => Charset::Utf8,
        "UTF-16" => Charset::Utf16,
        "UTF-16BE" => Charset::Utf16Be,
        "UTF-16LE" => Charset::Utf16Le,
        _ => {
            let message = format!("Unsupported encoding: {}", quote(name));
            return Err(Error::data("java.lang.RuntimeException", message));
        }
    })
}

pub(super) fn encode(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (text, name) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        args.byte_strings(|row, out| {
            let (Some(text), Some(name)) = (text.get(row), name.get(row)) else { return Ok(false) };
            let single = |limit: u32| text.chars().map(move |c| if (c as u32) < limit { c as u32 as u8 } else { b'?' });
            match charset(name)? {
                Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
                Charset::Ascii => out.extend(single(128)),
                Charset::Latin1 => out.extend(single(256)),
                Charset::Utf16 => {
                    out.extend([0xfe, 0xff]);
                    out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
                }
                Charset::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
                Charset::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            }
            Ok(true)
        })
    }))
}

pub(super) fn decode(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (bytes, name) = (args.read::<crate::expression::kernel::Bytes>(0)?, args.read::<Text>(1)?);
        args.strings(|row, out| {
            let (Some(bytes), Some(name)) = (bytes.get(row), name.get(row)) else { return Ok(false) };
            match charset(name)? {
                Charset::Utf8 => out.push_str(&utf8_as_java(bytes)),
                Charset::Ascii => {
                    out.extend(bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }))
                }
                Charset::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
                Charset::Utf16 if bytes.starts_with(&[0xff, 0xfe]) => push_utf16(&bytes[2..], u16::from_le_bytes, out),
                Charset::Utf16 if bytes.starts_with(&[0xfe, 0xff]) => push_utf16(&bytes[2..], u16::from_be_bytes, out),
                Charset::Utf16 | Charset::Utf16Be => push_utf16(bytes, u16::from_be_bytes, out),
                Charset::Utf16Le => push_utf16(bytes, u16::from_le_bytes, out),
            }
            Ok(true)
        })
    }))
}

/// The text of two bytes a unit. As Java reads it, the first half of a pair takes what is behind it with it if that is not the second,
/// and what is left of a unit at the end is one character that cannot be read.
fn push_utf16(bytes: &[u8], from: fn([u8; 2]) -> u16, out: &mut String) {
    let pairs = bytes.chunks_exact(2);
    let is_cut_off = !pairs.remainder().is_empty();
    let mut units = pairs.map(|pair| u32::from(from([pair[0], pair[1]])));
    while let Some(unit) = units.next() {
        if !(0xd800..0xdc00).contains(&unit) {
            out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            continue;
        }
        let second = units.next();
        let pair = second.filter(|second| (0xdc00..0xe000).contains(second));
        let character = pair.and_then(|second| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00)));
        out.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        if second.is_none() {
            return;
        }
    }
    if is_cut_off {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}

pub(super) fn url_encode(_: &Site) -> Result<Kernel> {
    of_bytes(|bytes, out| {
        for byte in bytes {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(*byte)),
                b' ' => out.push('+'),
                byte => {
                    out.push('%');
                    push_hex(&[*byte], UPPER, out);
                }
            }
        }
        Ok(true)
    })
}

pub(super) fn url_decode(_: &Site) -> Result<Kernel> {
    of_bytes(|bytes, out| {
        let mut decoded = Vec::with_capacity(bytes.len());
        let mut rest = bytes.iter();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => decoded.push(b' '),
                b'%' => {
                    let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                    let (Some(high), Some(low)) = (digit(), digit()) else { return Ok(false) };
                    decoded.push((high << 4 | low) as u8);
                }
                byte => decoded.push(*byte),
            }
        }
        out.push_str(&utf8_as_java(&decoded));
        Ok(true)
    })
}

pub(super) fn inet_aton(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let text = args.read::<Text>(0)?;
        args.collect::<Int64Type>(|row| Ok(text.get(row).and_then(address)))
    }))
}

/// The number of a dotted address of one to four bytes; the last one is the last: `1.2.3` is `1.2.0.3`.
fn address(text: &str) -> Option<i64> {
    let mut bytes = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value = match part.trim_start_matches('0') {
            "" => 0,
            digits => digits.parse::<u8>().ok()?,
        };
        *bytes.get_mut(count)? = value;
        count += 1;
    }
    bytes.swap(count - 1, 3);
    Some(i64::from(u32::from_be_bytes(bytes)))
}

pub(super) fn inet_ntoa(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    text_of_integer(|number, out| {
        let Ok(number) = u32::try_from(number) else { return false };
        out.push_str(&std::net::Ipv4Addr::from(number).to_string());
        true
    })
}

#[cfg(test)]
mod tests {
    use super::{address, decode_base64, push_utf16};

    /// Before, the last part could have several bytes.
    #[test]
    fn an_address_has_one_to_four_bytes() {
        for (text, number) in [
            ("127.0.0.1", Some(2_130_706_433)),
            ("255.255.255.255", Some(4_294_967_295)),
            ("10.1", Some(167_772_161)),
            ("1.2.3", Some(16_908_291)),
            ("7", Some(7)),
            ("000001.02.03.04", Some(16_909_060)),
            ("256.1.1.1", None),
            ("1.16777215", None),
            ("4294967295", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("", None),
            (" 1.2.3.4", None),
            ("-1.2.3.4", None),
        ] {
            assert_eq!(address(text), number, "{text}");
        }
    }

    /// What Java's decoders of UTF-16 make of bytes. Failed before: the last of an odd number of bytes was left out.
    #[test]
    fn what_is_no_utf_16_is_replaced() {
        for (bytes, text) in [
            (&[0x61][..], "\u{fffd}"),
            (&[0, 0x61, 0], "a\u{fffd}"),
            (&[0xd8, 0x3d, 0xde, 0, 0, 0x61], "\u{1f600}a"),
            (&[0xd8, 0x3d], "\u{fffd}"),
            (&[0xd8, 0x3d, 0xde], "\u{fffd}"),
            (&[0xd8, 0, 0, 0x61], "\u{fffd}"),
            (&[0xd8, 0, 0xd8, 0, 0xdc, 0], "\u{fffd}\u{fffd}"),
            (&[0xdc, 0, 0, 0x61], "\u{fffd}a"),
        ] {
            let mut found = String::new();
            push_utf16(bytes, u16::from_be_bytes, &mut found);
            assert_eq!(found, text, "{bytes:x?}");
        }
    }

    /// Failed before: bits behind the last byte were an error, and half of the padding was none.
    #[test]
    fn base_64_may_have_bits_to_spare_and_no_padding() {
        for (text, bytes) in [("YQ", "a"), ("YR", "a"), ("YR==", "a"), ("YWJ", "ab"), ("YWJ=", "ab"), ("", "")] {
            assert_eq!(decode_base64(text.as_bytes()).unwrap(), bytes.as_bytes(), "{text}");
        }
        for text in ["YQ=", "Y", "YQ=x", "YQ==YQ==", "====", "Y Q="] {
            assert!(decode_base64(text.as_bytes()).is_err(), "{text}");
        }
    }
}
