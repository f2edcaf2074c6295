//! A failure in the form that Flink's Java clients insist on: an `org.apache.flink.util.SerializedThrowable` as the Java
//! Object Serialization Stream Protocol (version 5) writes it, without the original exception inside.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::failure::FailureInfo;

const MAGIC_AND_VERSION: [u8; 4] = [0xac, 0xed, 0, 5];
const NULL: u8 = 0x70;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const ARRAY: u8 = 0x75;
const END_OF_BLOCK: u8 = 0x78;
/// A reference to the second thing of the stream: the string "Ljava/lang/String;".
const STRING_TYPE: [u8; 5] = [0x71, 0, 0x7e, 0, 1];
/// Strings are cut here: the length has 16 bits.
const MAX_STRING: usize = 60_000;

#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A length of two bytes and the text in Java's modified UTF-8.
    fn text(&mut self, text: &str) -> &mut Self {
        let mut encoded = Vec::with_capacity(text.len());
        for unit in text.encode_utf16() {
            if encoded.len() > MAX_STRING {
                break;
            }
            match unit {
                1..=0x7f => encoded.push(unit as u8),
                0 | 0x80..=0x7ff => encoded.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]),
                _ => encoded.extend([
                    0xe0 | (unit >> 12) as u8,
                    0x80 | ((unit >> 6) & 0x3f) as u8,
                    0x80 | (unit & 0x3f) as u8,
                ]),
            }
        }
        let length = encoded.len() as u16;
        self.bytes(&length.to_be_bytes()).bytes(&encoded)
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.byte(STRING).text(text)
    }

    /// A class: name, version, flags and how many fields follow.
    fn class(&mut self, name: &str, version: u64, flags: u8, fields: u16) -> &mut Self {
        self.byte(CLASS).text(name).bytes(&version.to_be_bytes()).byte(flags).bytes(&fields.to_be_bytes())
    }

    fn field(&mut self, kind: u8, name: &str) -> &mut Self {
        self.byte(kind).text(name)
    }
}

/// The failure, serialised, in Base64.
pub(super) fn serialized_throwable(failure: &FailureInfo) -> String {
    let mut stream = Stream::default();
    stream.bytes(&MAGIC_AND_VERSION).byte(OBJECT);
    stream.class("org.apache.flink.util.SerializedThrowable", 0x6516_9df5_1fa7_13f3, 2, 3);
    stream.field(b'L', "fullStringifiedStackTrace").string("Ljava/lang/String;");
    stream.field(b'L', "originalErrorClassName").bytes(&STRING_TYPE);
    stream.field(b'[', "serializedException").string("[B").byte(END_OF_BLOCK);
    stream.class("java.lang.Exception", 0xd0fd_1f3e_1a3b_1cc4, 2, 0).byte(END_OF_BLOCK);
    stream.class("java.lang.Throwable", 0xd5c6_3527_3977_b8cb, 3, 4);
    stream.field(b'L', "cause").string("Ljava/lang/Throwable;");
    stream.field(b'L', "detailMessage").bytes(&STRING_TYPE);
    stream.field(b'[', "stackTrace").string("[Ljava/lang/StackTraceElement;");
    stream.field(b'L', "suppressedExceptions").string("Ljava/util/List;").byte(END_OF_BLOCK).byte(NULL);
    // Throwable: no cause, the message, no frames, nothing suppressed.
    stream.byte(NULL).string(&failure.to_string());
    stream.byte(ARRAY).class("[Ljava.lang.StackTraceElement;", 0x0246_2a3c_3cfd_2239, 2, 0);
    stream.byte(END_OF_BLOCK).byte(NULL).bytes(&0_u32.to_be_bytes());
    stream.byte(OBJECT).class("java.util.Collections$EmptyList", 0x7ab8_17b4_3ca7_9ede, 2, 0);
    stream.byte(END_OF_BLOCK).byte(NULL).byte(END_OF_BLOCK);
    // SerializedThrowable: the text, the class, no original.
    stream.string(&failure.stack_trace()).string(&failure.class);
    stream.byte(ARRAY).class("[B", 0xacf3_17f8_0608_54e0, 2, 0).byte(END_OF_BLOCK).byte(NULL);
    stream.bytes(&0_u32.to_be_bytes());
    STANDARD.encode(&stream.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java wrote for the same failure.
    const SAMPLE: &str = include_str!("../../tests/data/serialized_throwable.b64");

    #[test]
    fn it_is_what_java_writes() {
        let failure = FailureInfo::new("org.apache.flink.util.FlinkException", "WIESEL_MESSAGE");
        assert_eq!(serialized_throwable(&failure), SAMPLE.trim());
    }

    #[test]
    fn text_is_javas_utf8() {
        let mut stream = Stream::default();
        stream.text("a\u{0}é€😀");
        assert_eq!(stream.0, b"\0\x0ea\xc0\x80\xc3\xa9\xe2\x82\xac\xed\xa0\xbd\xed\xb8\x80");
    }
}
