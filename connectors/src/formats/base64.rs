//! Bytes in text: Base64 with padding, as csv and json hold BYTES.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes of a text, as Jackson reads them: blanks and control characters may stand between groups of four characters,
/// not within them.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while let Some(start) = rest.iter().position(|byte| *byte > b' ') {
        let group = &rest[start..(start + 4).min(rest.len())];
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        let mut bits = 0u32;
        for byte in &group[..group.len() - padding] {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(format!("Illegal character '{}' in Base64 content", char::from(*byte))),
            };
            bits = bits << 6 | u32::from(digit);
        }
        match (group.len(), padding) {
            (4, 0) => out.extend_from_slice(&bits.to_be_bytes()[1..]),
            (4, 1) => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
            (4, 2) => out.push((bits >> 4) as u8),
            (4, _) => return Err("Illegal padding in Base64 content".to_owned()),
            _ => return Err("Unexpected end of Base64 content: padding is missing".to_owned()),
        }
        rest = &rest[start + 4..];
    }
    Ok(out)
}

/// The text of bytes.
pub(crate) fn encode(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
}
