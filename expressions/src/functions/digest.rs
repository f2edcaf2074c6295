//! MD5 (RFC 1321) and SHA-1 (RFC 3174).

/// The message in blocks of 64 bytes: followed by a bit, zeros and its length in bits.
fn blocks(bytes: &[u8], length: [u8; 8], mut visit: impl FnMut(&[u8; 64])) {
    let mut block = [0; 64];
    let mut chunks = bytes.chunks_exact(64);
    for chunk in chunks.by_ref() {
        block.copy_from_slice(chunk);
        visit(&block);
    }
    let rest = chunks.remainder();
    block = [0; 64];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x80;
    if rest.len() >= 56 {
        visit(&block);
        block = [0; 64];
    }
    block[56..].copy_from_slice(&length);
    visit(&block);
}

fn word(block: &[u8; 64], at: usize) -> [u8; 4] {
    [block[4 * at], block[4 * at + 1], block[4 * at + 2], block[4 * at + 3]]
}

/// The MD5 digest.
pub(super) fn md5(bytes: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let constants: [u32; 64] = std::array::from_fn(|i| ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32);
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    blocks(bytes, (bytes.len() as u64).wrapping_mul(8).to_le_bytes(), |block| {
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mixed, at) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let sum =
                a.wrapping_add(mixed).wrapping_add(constants[i]).wrapping_add(u32::from_le_bytes(word(block, at)));
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        state =
            [state[0].wrapping_add(a), state[1].wrapping_add(b), state[2].wrapping_add(c), state[3].wrapping_add(d)];
    });
    let mut digest = [0; 16];
    digest.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    digest
}

/// The SHA-1 digest.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    blocks(bytes, (bytes.len() as u64).wrapping_mul(8).to_be_bytes(), |block| {
        let mut words = [0; 80];
        for i in 0..80 {
            words[i] = match i {
                0..16 => u32::from_be_bytes(word(block, i)),
                _ => (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1),
            };
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (mixed, constant) = match i / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        let added = [a, b, c, d, e];
        state.iter_mut().zip(added).for_each(|(state, added)| *state = state.wrapping_add(added));
    });
    let mut digest = [0; 20];
    digest.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    digest
}
