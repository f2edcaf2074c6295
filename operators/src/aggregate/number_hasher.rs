//! The hash of tables whose keys are numbers that were given out one after another.
use std::hash::Hasher;

/// Numbers of values are dense: spreading them is all the hash has to do.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        let product = u128::from(self.0 ^ u64::from(number) ^ 0x9E37_79B9_7F4A_7C15) * 0xA24B_AED4_963E_E407;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}
