//! jemalloc's arenas, as far as they are used here. A thread that has entered one allocates there, also what is large; what is
//! freed goes back to the arena that it came from, whichever thread frees it. So what an arena has given out and not got back is
//! what its threads have allocated and no thread has freed, but for a few megabytes that threads keep for their next allocations.
use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::ptr::null_mut;

use tikv_jemalloc_sys::mallctl;

/// Stands for all arenas in jemalloc's names (`MALLCTL_ARENAS_ALL`).
const ALL: u32 = 4096;

/// Whether jemalloc serves this process, and counts: another allocator may, in tests above all.
pub(super) fn are_there() -> bool {
    let allocated = || read::<u64>(c"thread.allocated");
    let before = allocated();
    let block = black_box(Box::new([0_u8; 4096]));
    let after = allocated();
    drop(block);
    before.zip(after).is_some_and(|(before, after)| before < after) && refresh() && live_bytes(0).is_some()
}

/// A new arena; none if jemalloc can have no more of them.
pub(super) fn create() -> Option<u32> {
    read(c"arenas.create")
}

/// From now on this thread allocates in this arena. Whether that could be done.
pub(super) fn enter(arena: u32) -> bool {
    write(c"thread.arena", arena)
}

/// Brings up to date what [`live_bytes`] tells.
pub(super) fn refresh() -> bool {
    write(c"epoch", 1_u64)
}

/// What was allocated in an arena and is not freed, as of the last [`refresh`]; none where jemalloc does not say.
pub(super) fn live_bytes(arena: u32) -> Option<u64> {
    let small: usize = read(&name(format!("stats.arenas.{arena}.small.allocated")))?;
    let large: usize = read(&name(format!("stats.arenas.{arena}.large.allocated")))?;
    Some(small as u64 + large as u64)
}

/// What was allocated in all arenas and is not freed, as of the last [`refresh`]; none where jemalloc does not say.
pub(super) fn live_bytes_of_all() -> Option<u64> {
    read::<usize>(c"stats.allocated").map(|bytes| bytes as u64)
}

/// Gives the system back what is free in an arena, and what this thread keeps for its next allocations.
pub(super) fn purge(arena: u32) {
    act(c"thread.tcache.flush");
    act(&name(format!("arena.{arena}.purge")));
}

/// Gives the system back what is free in all arenas.
pub(super) fn purge_all() {
    act(&name(format!("arena.{ALL}.purge")));
}

fn name(text: String) -> CString {
    CString::new(text).expect("names and numbers have no NUL")
}

/// What jemalloc has under its names here.
trait Number: Copy + Default {}
impl Number for u32 {}
impl Number for u64 {}
impl Number for usize {}

/// None if jemalloc has no such number, or one of another size.
#[allow(unsafe_code, reason = "jemalloc is told and asked through pointers only")]
fn read<T: Number>(name: &CStr) -> Option<T> {
    let mut value = T::default();
    let mut length = size_of::<T>();
    // SAFETY: the name ends with NUL, jemalloc writes at most `length` bytes to `value`, and all bits are a number.
    let code = unsafe { mallctl(name.as_ptr(), (&raw mut value).cast(), &raw mut length, null_mut(), 0) };
    (code == 0).then_some(value)
}

#[allow(unsafe_code, reason = "jemalloc is told and asked through pointers only")]
fn write<T: Number>(name: &CStr, mut value: T) -> bool {
    // SAFETY: the name ends with NUL, and jemalloc reads the bytes of `value`, or nothing if it expects another size.
    let code = unsafe { mallctl(name.as_ptr(), null_mut(), null_mut(), (&raw mut value).cast(), size_of::<T>()) };
    code == 0
}

/// A refusal is nothing to act on: what is not given back now is given back later.
#[allow(unsafe_code, reason = "jemalloc is told and asked through pointers only")]
fn act(name: &CStr) {
    // SAFETY: the name ends with NUL; nothing is read or written.
    let _ = unsafe { mallctl(name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    #[test]
    fn what_a_thread_has_allocated_is_its_arenas_until_it_is_freed_wherever_that_is() {
        assert!(are_there());
        let arena = create().unwrap();
        let live = || {
            assert!(refresh());
            live_bytes(arena).unwrap()
        };
        assert!(live() < 1 << 20);
        let thread = std::thread::spawn(move || {
            assert!(enter(arena));
            // What has come to an arena of large allocations otherwise, and many small ones.
            (vec![1_u8; 64 << 20], (0..10_000).map(|_| vec![1_u8; 1000]).collect::<Vec<_>>())
        });
        let held = thread.join().unwrap();
        assert!((73 << 20..85 << 20).contains(&live()), "{}", live());
        assert!(live_bytes_of_all().is_some_and(|all| all >= live()));
        drop(held);
        purge(arena);
        assert!(live() < 1 << 20, "{}", live());
    }
}
