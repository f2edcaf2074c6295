//! The randomness that the operating system gives, made to follow from a seed on threads that simulate.
//!
//! Ids, the order of hash maps and the choices of `tokio::select!` all come from `getrandom`. Defined here, it takes the place
//! of the C library's in programs of this package; threads that have not called [`seed`] get true randomness.
use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::io::Read;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What this thread is given from now on follows from the seed.
pub fn seed(seed: u64) {
    STATE.set(Some(seed));
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    let Some(mut state) = STATE.get() else {
        return std::fs::File::open("/dev/urandom")?.read_exact(bytes);
    };
    for chunk in bytes.chunks_mut(8) {
        let number;
        (state, number) = next(state);
        chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
    }
    STATE.set(Some(state));
    Ok(())
}

/// `getrandom(2)`: fills `length` bytes at `buffer`, and returns how many.
#[expect(unsafe_code, reason = "the only place where all randomness of a process can be made to follow from a seed")]
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    // SAFETY: callers hand over a buffer of that length, as the C library's function demands.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    if fill(bytes).is_ok() { length as isize } else { -1 }
}
