//! Messages of the formats that files are made of, too.
use wiesel_operators::operator::Result;

use super::{DeserializationSchema, Made, Rows};
use crate::formats::{BYTE_ORDER_MARK, Decoder};

/// Makes inserts of messages, by the decoder of the format's files.
pub(crate) struct DecodedMessages {
    decoder: Box<dyn Decoder>,
}

impl DecodedMessages {
    pub(crate) fn new(decoder: Box<dyn Decoder>) -> Self {
        Self { decoder }
    }
}

impl DeserializationSchema for DecodedMessages {
    fn deserialize(&mut self, message: &[u8]) -> Result<Made> {
        let before = self.decoder.batch().rows();
        self.decoder.batch().budget.begin();
        self.decoder.decode_message(message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message))?;
        Ok(self.decoder.batch().made_since(before))
    }

    fn is_full(&self) -> bool {
        self.decoder.is_full()
    }

    fn take(&mut self) -> Rows {
        self.decoder.batch().take()
    }
}
